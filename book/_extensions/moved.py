"""Pages that no reader means to open: the site's front door, addresses that moved, and "not found".

`book_moved` in `_config.yml` has a line `old: new` for each page that was renamed, so that links of
others never break. The page for "not found" can be answered to any address, however deep: its links
begin at the root of the site where `book_repository` says what that is.
"""

from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import address
from sphinx.errors import ExtensionError

FORWARD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title>
{tags}<script>location.replace("{target}" + location.search + location.hash);</script>
<meta http-equiv="refresh" content="2; url={target}"/>
</head>
<body><main><h1>{title}</h1><p><a href="{target}">{target}</a></p></main></body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }
body { font: 1.0625rem/1.6 system-ui, sans-serif; }
body { background: light-dark(#ffffff, #121212); color: light-dark(#1f2328, #e6e8eb); }
a { color: light-dark(#0b62b3, #6cb1ff); }
form { display: flex; flex-wrap: wrap; gap: 0.5rem; }
input { flex: 1 1 12rem; }
input, button { min-height: 2.5rem; padding: 0 0.75rem; font: inherit; }
li { margin: 0.25rem 0; }
"""

NOT_FOUND = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="robots" content="noindex"/>
<title>No such page, {book}</title>
<link rel="icon" href="{root}_static/favicon.svg"/>
<style>{style}</style>
</head>
<body>
<main>
<h1>There is no such page</h1>
<p>The address may have been mistyped. Search the book, or choose a page.</p>
<form action="{root}search.html" method="get" role="search">
<input type="search" name="q" aria-label="Search the book"/> <button>Search</button>
</form>
<ul>
{pages}
</ul>
</main>
</body>
</html>
"""


def forward(target, title, tags=""):
    """Return a page that leads on to another, with what follows `?` and `#`."""
    return FORWARD.format(target=escape(target), title=escape(title), tags=tags and tags + "\n")


def check(moved, pages):
    """Refuse a table of moved pages that hides a page or leads nowhere."""
    for old, new in moved.items():
        if old in pages:
            raise ExtensionError(f"book_moved: {old} is a page and cannot be an old name")
        if new not in pages:
            raise ExtensionError(f"book_moved: {old} leads to {new}, which is no page")


def not_found(book, titles, root=""):
    """Return the page for an address that is none; `root` is what its links begin with."""
    rows = [
        f'<li><a href="{escape(root + page)}.html">{escape(title)}</a></li>'
        for page, title in titles.items()
    ]
    return NOT_FOUND.format(
        book=escape(book), style=STYLE, root=escape(root), pages="\n".join(rows)
    )


def write(site, front, titles, moved, place, book, about=""):
    """Write all of these pages; `titles` has the titles of the book's pages in their order."""
    check(moved, titles)
    root = urlsplit(place.site).path if place else ""
    texts = {
        "404": not_found(book, titles, root),
        # To the site's own address others link most: it has the card of the first page.
        "index": forward(f"{front}.html", book, address.tags(place, front, book, book, about)),
    }
    texts |= {old: forward(f"{new}.html", titles[new]) for old, new in moved.items()}
    for name, text in texts.items():
        (site / f"{name}.html").write_text(text, encoding="utf-8", newline="\n")


def write_pages(app, exception):
    """Write them into the site that was just built."""
    if exception or app.builder.format != "html":
        return
    front = app.config.root_doc
    write(
        Path(app.outdir),
        front,
        {page: app.env.titles[page].astext() for page in address.pages_in_order(app)},
        app.config.book_moved,
        address.of(app.config),
        app.config.html_title,
        address.description(app.env.get_doctree(front)),
    )


def setup(app):
    """Connect the above to Sphinx."""
    app.add_config_value("book_moved", {}, "html", dict)
    app.connect("build-finished", write_pages, priority=600)  # after the toctree's own index.html
    return {"parallel_read_safe": True, "parallel_write_safe": True}
