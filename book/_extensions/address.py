"""Where the book lives: one setting, and every link and tag that follows from it.

`book_repository` in `_config.yml` is "owner/name" on GitHub. Empty, as long as nobody has named a
repository, no page has a link to one, no canonical address and no social card. Set, each page gets
"run", "edit" and "report" links, its canonical address, the tags of its social card, and the site
a sitemap. The site's address follows from the repository, unless `book_address` names another.
"""

import re
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import social_cards
from docutils import nodes
from sphinx.errors import ExtensionError

BRANCH = "main"
# What is edited where a page is generated from another file of `book/`.
EDITED = {"claims": "claims.yml"}
LONGEST_DESCRIPTION = 200


class Home(NamedTuple):
    """A repository on GitHub, and the address of the site that is published from it."""

    repository: str
    site: str

    def github(self, *parts):
        """Return an address inside the repository."""
        return "/".join(("https://github.com", self.repository, *parts))


def home(repository, address=""):
    """Return the `Home` that the two settings name, None if they are empty."""
    if not repository and not address:
        return None
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ExtensionError(f'book_repository: must be "owner/name", got {repository!r}')
    if address and not re.fullmatch(r"https://[^/?#\s]+(/[^?#\s]*)?", address):
        raise ExtensionError(f"book_address: must begin with https://, got {address!r}")
    owner, name = repository.lower().split("/")
    usual = f"https://{owner}.github.io/"
    if name != f"{owner}.github.io":  # a project's site, not the owner's own
        usual += repository.split("/")[1] + "/"
    return Home(repository, (address or usual).rstrip("/") + "/")


# --- links ---------------------------------------------------------------------------------------


class Link(NamedTuple):
    """What a reader is offered, and where it leads."""

    text: str
    address: str


def links(place, page, file):
    """Return the links of one page: run it (a notebook only), edit it, report what is wrong.

    `file` is the page's source below `book/`. GitHub's own editor shows a notebook as JSON; its
    sister at github.dev shows cells.
    """
    if place is None:
        return []
    found = []
    file = quote(EDITED.get(page, file))
    notebook = file.endswith(".ipynb")
    if notebook:
        colab = "https://colab.research.google.com/github"
        binder = f"https://mybinder.org/v2/gh/{place.repository}/{BRANCH}"
        found += [
            Link("Run in Colab", f"{colab}/{place.repository}/blob/{BRANCH}/book/{file}"),
            Link("Run in Binder", f"{binder}?urlpath=lab/tree/book/{file}"),
        ]
    dev = f"https://github.dev/{place.repository}/blob/{BRANCH}/book/{file}"
    edit = dev if notebook else place.github("edit", BRANCH, "book", file)
    return [*found, Link("Edit this page", edit), Link("Report", place.github("issues/new/choose"))]


def row(found):
    """Return the links as a line of HTML, "" if there are none."""
    if not found:
        return ""
    anchors = " ".join(f'<a href="{escape(link.address)}">{link.text}</a>' for link in found)
    return f'\n<nav class="bn-links d-print-none" aria-label="This page elsewhere">{anchors}</nav>'


# --- what machines read --------------------------------------------------------------------------


def shorten(text, longest=LONGEST_DESCRIPTION):
    """Return the text on one line, cut between words where it is too long."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    return text[: longest - 1].rsplit(" ", 1)[0].rstrip(",;:.") + "…"


def has_maths(node):
    """Whether a formula stands in it, which would read badly as plain text."""
    return next(node.findall(nodes.math), None) is not None


def description(doctree):
    """Say what a page is about: what one will learn there, else its first paragraph."""
    for section in doctree.findall(nodes.section):
        if section.next_node(nodes.title).astext() == "What you will learn":
            items = [item for item in section.findall(nodes.list_item) if not has_maths(item)]
            learned = " ".join(item.astext() for item in items)
            return shorten(f"Learn {learned[:1].lower()}{learned[1:]}")
    for paragraph in doctree.findall(nodes.paragraph):
        if not has_maths(paragraph) and len(paragraph.astext()) > 40:
            return shorten(paragraph.astext())
    return ""


def tags(place, page, title, book, about):
    """Return the tags of one page for search engines and for social cards."""
    found = [("name", "description", about)] if about else []
    if place is not None:
        found += [
            ("property", "og:type", "article"),
            ("property", "og:site_name", book),
            ("property", "og:title", title),
            ("property", "og:description", about),
            ("property", "og:url", f"{place.site}{page}.html"),
            ("property", "og:image", f"{place.site}{social_cards.file(page)}"),
            ("property", "og:image:width", str(social_cards.WIDTH)),
            ("property", "og:image:height", str(social_cards.HEIGHT)),
            ("property", "og:image:alt", f"{title}, a page of {book}"),
            ("name", "twitter:card", "summary_large_image"),
        ]
    return "\n".join(
        f'<meta {key}="{name}" content="{escape(text)}"/>' for key, name, text in found
    )


def sitemap(place, pages):
    """Return the text of sitemap.xml."""
    rows = [f"  <url><loc>{escape(place.site + page)}.html</loc></url>" for page in pages]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">',
            *rows,
            "</urlset>",
            "",
        ]
    )


# --- Sphinx --------------------------------------------------------------------------------------


def of(config):
    """Return the `Home` of a configuration."""
    return home(config.book_repository, config.book_address)


def configure(app, config):
    """Tell Sphinx the canonical address; stop a wrong setting before anything is built."""
    place = of(config)
    if place is not None:
        config.html_baseurl = place.site


def describe(app, pagename, templatename, context, doctree):
    """Put the links of a page below its title, and its tags where the template finds them."""
    if doctree is None:  # search, index of words: nothing to run, to edit or to share
        return
    place = of(app.config)
    file = app.env.doc2path(pagename, base=False)
    offered = row(links(place, pagename, Path(file).as_posix()))
    context["body"] = context["body"].replace("</h1>", f"</h1>{offered}", 1)
    title = app.env.titles[pagename].astext()
    found = tags(place, pagename, title, app.config.html_title, description(doctree))
    context["metatags"] = context.get("metatags", "") + found


def pages_in_order(app):
    """Return the pages in the order of the table of contents."""
    order = app.env.toctree_includes.get(app.config.root_doc, [])
    return [app.config.root_doc, *(name for name in order if name in app.env.found_docs)]


def publish(app, exception):
    """Write the sitemap and draw the social cards, or remove those of another setting."""
    if exception or app.builder.format != "html":
        return
    place, site = of(app.config), Path(app.outdir)
    map_file = site / "sitemap.xml"
    if place is None:
        map_file.unlink(missing_ok=True)
        social_cards.remove(site)
        return
    pages = pages_in_order(app)
    map_file.write_text(sitemap(place, pages), encoding="utf-8", newline="\n")
    titles = {page: app.env.titles[page].astext() for page in pages}
    social_cards.draw_all(site, titles, app.config.html_title)


def setup(app):
    """Connect the above to Sphinx."""
    app.add_config_value("book_repository", "", "html", str)
    app.add_config_value("book_address", "", "html", str)
    app.connect("config-inited", configure)
    app.connect("html-page-context", describe)
    app.connect("build-finished", publish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
