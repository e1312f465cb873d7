"""The site around the pages: its address, its policy, its edition, moved pages, a reader's memory.

The two states of `book_repository` are tested on a book of three small pages, built here; what
every page of the real one must keep is read from the built files.
"""

import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sysconfig
import threading
import venv
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import address
import edition
import moved
import nbformat
import policy
import pytest
import set_up
import social_cards
import yaml
from docutils.core import publish_doctree
from PIL import Image
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parent.parent
EXTENSIONS = ROOT / "book" / "_extensions"
HOME = address.home("Somebody/batch-norm")
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def git(folder, *arguments, **more):
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, **more)


# --- the one setting -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("repository", "named", "site"),
    [
        ("Somebody/batch-norm", "", "https://somebody.github.io/batch-norm/"),
        ("somebody/Somebody.github.io", "", "https://somebody.github.io/"),
        ("somebody/batch-norm", "https://bn.example.org", "https://bn.example.org/"),
        ("somebody/batch-norm", "https://example.org/bn/", "https://example.org/bn/"),
    ],
)
def test_the_site_follows_from_the_repository(repository, named, site):
    assert address.home(repository, named) == address.Home(repository, site)


@pytest.mark.parametrize(
    ("repository", "named"),
    [
        ("batch-norm", ""),
        ("https://github.com/a/b", ""),
        ("a/b/c", ""),
        ("", "https://example.org"),
        ("a/b", "http://example.org"),
        ("a/b", "https://example.org/?x"),
    ],
)
def test_a_wrong_setting_is_told(repository, named):
    with pytest.raises(ExtensionError, match=r"^book_(repository|address): must .*, got '"):
        address.home(repository, named)


def test_links_of_a_notebook_a_page_and_a_generated_page():
    notebook = {link.text: link.address for link in address.links(HOME, "f", "f.ipynb")}
    assert list(notebook) == ["Run in Colab", "Run in Binder", "Edit this page", "Report"]
    colab = "https://colab.research.google.com/github/Somebody/batch-norm/blob/main/book/f.ipynb"
    assert notebook["Run in Colab"] == colab
    assert notebook["Run in Binder"].endswith(
        "/Somebody/batch-norm/main?urlpath=lab/tree/book/f.ipynb"
    )
    page = {link.text: link.address for link in address.links(HOME, "notation", "notation.md")}
    assert list(page) == ["Edit this page", "Report"]
    assert page["Edit this page"].endswith("/edit/main/book/notation.md")
    assert page["Report"] == "https://github.com/Somebody/batch-norm/issues/new/choose"
    assert address.links(HOME, "claims", "claims.md")[0].address.endswith("/book/claims.yml")
    assert address.links(None, "f", "f.ipynb") == []


def described(text):
    return address.description(publish_doctree(text))


def test_a_page_is_described_by_what_one_learns_or_by_its_first_sentence():
    learn = "What you will learn\n-------------------\n\n- How a ;\n- why :math:`b`;\n- why c.\n"
    assert described("Title\n=====\n\n" + learn + "\nNext\n----\n\nText") == "Learn how a ; why c."
    plain = "Title\n=====\n\nShort.\n\nA paragraph of more than forty letters tells what it is.\n"
    assert described(plain) == "A paragraph of more than forty letters tells what it is."
    assert described("Title\n=====\n") == ""
    long = address.shorten("word, " * 100)
    assert len(long) <= address.LONGEST_DESCRIPTION and long.endswith("word…")


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """Build a book of three pages with the extensions, for one setting; return its site."""
    folder = tmp_path_factory.mktemp("book")
    source = folder / "source"
    source.mkdir()
    toctree = "\n\n```{toctree}\nfirst\nsecond\n```\n"
    about = "This page tells in one sentence what the whole small book is about."
    texts = {
        "intro": f"# A small book\n\n{about}{toctree}",
        "first": "# One & two",
        "second": "# Two",
    }
    for name, text in texts.items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")
    (source / "conf.py").write_text(
        f"import sys; sys.path.append({str(EXTENSIONS)!r})\n"
        "extensions = ['myst_parser', 'address', 'edition', 'moved', 'policy']\n"
        "html_title, root_doc, html_theme = 'A small book', 'intro', 'basic'\n",
        encoding="utf-8",
    )

    def build(repository):
        from sphinx.application import Sphinx

        site = folder / (repository.replace("/", "-") or "nowhere")
        settings = {"book_repository": repository, "book_moved": {"old": "second"}}
        folders = (source, source, site, folder / "doctrees")
        app = Sphinx(*folders, "html", settings, status=None, warning=io.StringIO())
        app.build()
        assert app.statuscode == 0
        texts = [*site.glob("*.html"), *site.glob("*.xml")]
        files = {path.name: path.read_text(encoding="utf-8") for path in texts}
        return files | dict.fromkeys(
            path.relative_to(site).as_posix() for path in site.glob("_static/cards/*")
        )

    return functools.cache(build)


PERSONAL = re.compile(r"github|colab|binder|canonical|og:|twitter:|issues")


def test_without_a_repository_no_page_links_to_one(small_book):
    files = small_book("")
    pages = {name: text for name, text in files.items() if name.endswith(".html")}
    assert {"intro.html", "index.html", "404.html", "old.html"} <= set(pages)
    assert not [name for name, text in pages.items() if PERSONAL.search(text)]
    assert "sitemap.xml" not in files
    assert not [name for name in files if "cards" in name]
    assert CONFIG["sphinx"]["config"]["book_repository"] == "", "nobody has named a repository"


def attributes(html, tag, key, value):
    found = re.findall(rf'<{tag} {key}="([^"]+)" {value}="([^"]*)"', html)
    return dict(found)


def test_with_a_repository_pages_have_links_addresses_and_cards(small_book):
    files = small_book("Somebody/batch-norm")
    site = "https://somebody.github.io/batch-norm/"
    intro, first = files["intro.html"], files["first.html"]
    assert f'<link rel="canonical" href="{site}first.html" />' in first
    assert "https://github.com/Somebody/batch-norm/issues/new/choose" in first
    tags = attributes(first, "meta", "property", "content")
    assert tags["og:title"] == "One &amp; two"
    assert tags["og:site_name"] == "A small book"
    assert tags["og:url"] == site + "first.html"
    assert tags["og:image"] == f"{site}_static/cards/first.png"
    named = attributes(intro, "meta", "name", "content")
    assert named["twitter:card"] == "summary_large_image"
    assert named["description"].startswith("This page tells")
    assert attributes(files["index.html"], "meta", "property", "content")["og:image"].endswith(
        "intro.png"
    )
    assert {f"_static/cards/{page}.png" for page in ("intro", "first", "second")} <= set(files)
    places = [element.text for element in ElementTree.fromstring(files["sitemap.xml"]).iter()]
    assert [text for text in places if text and text.strip()] == [
        f"{site}{page}.html" for page in ("intro", "first", "second")
    ]
    assert 'href="/batch-norm/first.html"' in files["404.html"], (
        "a 404 may be answered at any depth"
    )


def test_a_card_is_light_and_the_same_every_time():
    title = "Move batch norm between frameworks, and find what ails it"
    card = social_cards.draw(title, "A book")
    assert Image.open(io.BytesIO(card)).size == (1200, 630)
    assert len(card) < 40_000
    assert card == social_cards.draw(title, "A book")
    assert card != social_cards.draw("Another", "A book")


# --- running a notebook elsewhere ----------------------------------------------------------------

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_COMPILE": "1"}
OFFLINE |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
CHECK = """
from bnlib import display, experiments, widgets
experiments.load("activations")
print(experiments.__file__)
"""


def test_the_set_up_cell_makes_a_bare_environment_ready(tmp_path):
    """As on Colab, but without network: the packages below bnlib are there, and bnlib is not."""
    repository = tmp_path / "repository"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bnlib", repository / "bnlib", ignore=ignore)
    for name in ("book", "results"):
        (repository / name).mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "results/activations.jsonl"):
        shutil.copy(ROOT / name, repository / name)
    (repository / "book" / "here.md").touch()
    git(repository, "init", "-q")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "all")

    venv.create(tmp_path / "bare")
    folders = os.pathsep.join(str(folder) for folder in (tmp_path / "bare").iterdir())
    python = shutil.which("python", path=folders)
    packages = sysconfig.get_path(
        "purelib"
    )  # listed like this, its own list with bnlib is not read
    (purelib,) = (tmp_path / "bare").glob("**/site-packages")
    (purelib / "below.pth").write_text(packages, encoding="utf-8")
    code = set_up.code(repository.as_uri())
    ran = subprocess.run(
        [python, "-c", f"{code}\n{CHECK}"],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH="", **OFFLINE),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()).is_relative_to(tmp_path / "bare")


def test_notebooks_have_the_cell_only_with_a_repository():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")])
    for _ in range(2):
        set_up.put(notebook, "a/b")
        assert [cell.get("id") == set_up.ID for cell in notebook.cells] == [False, True]
    source = notebook.cells[1].source
    assert '"https://github.com/a/b"' in source
    assert len(source.splitlines()) <= 15
    assert notebook.cells[1].metadata.tags == ["remove-cell"]
    assert len(set_up.put(notebook, "").cells) == 1
    assert set_up.repository() == CONFIG["sphinx"]["config"]["book_repository"]


# --- moved pages and pages that are not ----------------------------------------------------------


def test_a_moved_page_leads_on_with_what_follows_its_address(small_book):
    old = small_book("")["old.html"]
    assert 'location.replace("second.html" + location.search + location.hash)' in old
    assert 'content="2; url=second.html"' in old, "also where scripts are off"
    assert '<a href="second.html">' in old


@pytest.mark.parametrize("table", [{"first": "second"}, {"old": "gone"}])
def test_a_wrong_table_of_moved_pages_is_told(table):
    with pytest.raises(ExtensionError, match="book_moved"):
        moved.check(table, {"first", "second"})


def test_not_found_has_a_search(small_book):
    page = small_book("")["404.html"]
    assert '<form action="search.html" method="get" role="search">' in page
    assert 'name="q"' in page
    assert '<a href="first.html">One &amp; two</a>' in page


# --- the policy ----------------------------------------------------------------------------------


def test_a_page_may_run_its_own_scripts_and_no_others():
    html = (
        '<head>\n<meta charset="utf-8" /><script>run()</script>'
        '<script src="own.js"></script><script type="application/json">{}</script></head>'
    )
    protected = policy.protect(html)
    assert protected.index("Content-Security-Policy") < protected.index("<script")
    run, empty = (
        f"'sha256-{policy.base64.b64encode(hashlib.sha256(code).digest()).decode()}'"
        for code in (b"run()", b"")
    )
    assert run in protected
    assert empty not in protected
    assert policy.protect(protected) == protected
    scripts = policy.policy(html).split("script-src")[1].split(";")[0]
    assert "unsafe" not in scripts and "http" not in policy.policy(html)


class Loads(HTMLParser):
    """What a page makes a browser load by itself, and where its forms lead."""

    KEYS = frozenset({"src", "srcset", "poster", "data", "action", "formaction", "ping"})
    LINKS = frozenset({"stylesheet", "preload", "prefetch", "icon", "manifest", "modulepreload"})

    def __init__(self, html):
        super().__init__()
        self.found, self.styled = [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.styled = tag == "style"
        self.found += [attrs[key] for key in self.KEYS & set(attrs) if attrs[key]]
        self.found += styles(attrs.get("style") or "")
        loads = tag == "link" and self.LINKS & set((attrs.get("rel") or "").split())
        if loads or tag in ("use", "image", "base"):
            self.found += [attrs[key] for key in ("href", "xlink:href") if attrs.get(key)]

    def handle_data(self, data):
        if self.styled:
            self.found += styles(data)


# Most of a page: tags that load nothing, as long as no slash stands in them. Without them the rest
# is read five times as fast.
DRAWN = re.compile(r"<(?:path|span|g|text|tspan|use)\b[^>/]*/?>|</(?!style|script)\w+>")


@functools.cache
def loads(path):
    return Loads(DRAWN.sub("", path.read_text(encoding="utf-8"))).found


def styles(css):
    return re.findall(r"""(?:url\(|@import\s+)["']?([^"')\s;]+)""", css)


def foreign(addresses):
    return [found for found in addresses if re.match(r"(?:[a-z]+:)?//", found, re.IGNORECASE)]


def test_the_reader_of_pages_sees_what_they_load():
    page = (
        '<script src="https://a.org/a.js"></script><img srcset="//b.org/b.png 2x">'
        '<link rel="stylesheet" href="http://c.org/c.css"><p style="background:url(https://d.org/d)">'
        "<style>@import 'https://e.org/e.css';</style><form action='https://f.org'></form>"
        '<a href="https://fine.org">fine</a><link rel="canonical" href="https://fine.org">'
        '<img src="own.png"><svg><image href="https://g.org/g.png"></svg>'
    )
    assert len(foreign(Loads(page).found)) == 7
    assert len(foreign(Loads(DRAWN.sub("", page)).found)) == 7


def test_no_page_loads_anything_from_another_host(site):
    pages = sorted(site.glob("*.html"))
    assert len(pages) > 20
    for path in pages:
        html = path.read_text(encoding="utf-8")
        assert not foreign(loads(path)), path.name
        assert policy.protect(html) == html, (
            f"{path.name} has no policy, or not that of its scripts"
        )
        assert not re.search(r"<[^>]*\son\w+=[\"']", html), (
            f"{path.name}: the policy forbids handlers"
        )
    for path in site.rglob("*.css"):
        assert not foreign(styles(path.read_text(encoding="utf-8"))), path.name


# --- the edition ---------------------------------------------------------------------------------


def test_the_edition_is_that_of_the_commit_or_the_version_alone(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n', encoding="utf-8")
    assert str(edition.edition(tmp_path)) == "Version 1.2.3"

    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    date = dict(os.environ, GIT_COMMITTER_DATE="2026-02-03T12:00:00+0000")
    git(tmp_path, "commit", "-q", "-m", "first", env=date)
    line = str(edition.edition(tmp_path))
    assert re.fullmatch(r"Version 1\.2\.3, commit [0-9a-f]{9} of 2026-02-03", line)
    inner = tmp_path / "unpacked"
    inner.mkdir()
    shutil.copy(tmp_path / "pyproject.toml", inner)
    assert str(edition.edition(inner)) == "Version 1.2.3", "another repository's commit"
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.4"\n', encoding="utf-8")
    assert "with changes" in str(edition.edition(tmp_path))


def test_every_page_is_signed(site):
    page = (site / "intro.html").read_text(encoding="utf-8")
    (line,) = re.findall(r'<span class="bn-edition">(.*?)</span>', page)
    assert line.startswith("Version ")
    assert edition.sign(edition.sign(page, "a & b"), line) == page
    assert "No analytics, no cookies" in page


# --- a copy for the train ------------------------------------------------------------------------


def test_the_copy_has_every_page_and_what_pages_load(site):
    listed = json.loads((site / "offline.json").read_text(encoding="utf-8"))
    files = set(listed["files"])
    assert listed["bytes"] == sum((site / name).stat().st_size for name in files)
    for path in site.glob("*.html"):
        if path.name == "404.html":
            continue
        assert path.name in files
        for found in loads(path):
            name = found.split("?")[0].split("#")[0]
            if name and not name.startswith("data:"):
                assert name in files, f"{path.name} loads {name}"


def test_pages_do_not_bring_icons_twice(site):
    assert not (site / "_static/scripts/fontawesome.js").exists()
    assert "fontawesome.js" not in (site / "intro.html").read_text(encoding="utf-8")


# --- in a browser --------------------------------------------------------------------------------


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(folder):
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def reader(browser, site):
    """One reader's browser with an empty memory, the address of the site, and its server."""
    with serving(site) as server:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(30_000)
        yield context, f"http://127.0.0.1:{server.server_port}", server
        context.close()


def test_a_reader_comes_back_by_keyboard_alone(reader):
    context, root, _ = reader
    page = context.new_page()
    page.goto(f"{root}/notation.html#def-momentum")
    page.keyboard.press("?")
    window = page.locator("#bn-reading")
    assert window.is_visible()
    assert page.evaluate("document.activeElement.closest('#bn-reading') !== null")
    assert "0 of " in window.inner_text()
    page.keyboard.press("n")
    assert page.url.split("#")[0].endswith("notation.html"), "an open window takes the keys"
    page.keyboard.press("Escape")
    assert not window.is_visible()

    page.locator(".prev-next-footer").scroll_into_view_if_needed()
    read = ".bd-docs-nav .current .bn-read"
    page.locator(read).first.wait_for(state="attached")
    page.evaluate("location.hash = '#conventions'")
    page.wait_for_function("() => localStorage.getItem('bn-reading').includes('conventions')")
    page.goto(f"{root}/intro.html")
    back = page.locator(".bn-come-back a")
    assert back.inner_text() == "Notation and words: Conventions"
    assert page.locator(".bn-come-back").inner_text().count("1 of ") == 1
    page.keyboard.press("b")
    page.wait_for_url("**/notation.html#conventions")

    page.keyboard.press("p")
    page.wait_for_url(lambda url: "notation" not in url)
    theme = "document.documentElement.dataset.mode"
    before = page.evaluate(theme)
    page.keyboard.press("d")
    assert page.evaluate(theme) != before
    page.keyboard.press("s")
    assert page.locator("#pst-search-dialog input").is_visible()
    page.keyboard.type("np?")
    assert page.locator("#pst-search-dialog input").input_value() == "np?", (
        "letters are for the field"
    )
    page.keyboard.press("Escape")

    opener = page.locator(".bn-reading-open")
    opener.focus()
    page.keyboard.press("Enter")
    page.locator("[data-keys]").press("Space")
    page.keyboard.press("Escape")
    assert opener.evaluate("button => button === document.activeElement"), "focus goes back"
    page.keyboard.press("?")
    assert not window.is_visible(), "keys were turned off"
    assert context.cookies() == []
    page.close()


def test_the_book_is_read_without_network(reader):
    context, root, server = reader
    page = context.new_page()
    page.goto(f"{root}/about_site.html")
    page.locator(".bn-reading-open").click()
    assert "Nothing is kept" in page.locator("[data-copy]").inner_text()
    page.locator("[data-keep]").click()
    page.get_by_text("This device has a copy: Version").wait_for(timeout=60_000)
    page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    context.set_offline(True)
    try:
        page.goto(f"{root}/")
        page.wait_for_url("**/intro.html")
        page.goto(f"{root}/forward_pass.html")
        page.locator("mjx-container").first.wait_for()
        assert page.locator(".bn-moving input[type=range]").count()
        page.goto(f"{root}/search.html?q=variance")
        page.locator("#search-results li a").first.wait_for()
    finally:
        context.set_offline(False)
    page.goto(f"{root}/about_site.html")
    page.locator(".bn-reading-open").click()
    page.locator("[data-drop]").click()
    page.get_by_text("Nothing is kept yet").wait_for()
    assert page.evaluate("caches.keys()") == []
    page.close()


# --- what strangers come for ---------------------------------------------------------------------

# How far to the right of its icon each search field begins with letters, in pixels.
GAPS = """() => [...document.querySelectorAll("form.bd-search")].map(form => {
    const icon = form.querySelector(".fa-magnifying-glass").getBoundingClientRect();
    const field = form.querySelector("input");
    const padding = parseFloat(getComputedStyle(field).paddingLeft);
    return field.getBoundingClientRect().left + padding - icon.right;
})"""


def test_search_leads_to_the_section_that_says_it(reader):
    context, root, _ = reader
    page = context.new_page()
    page.goto(f"{root}/search.html?q=what+momentum+means+in+keras")
    places = page.locator(".bn-places a")
    places.first.wait_for()
    assert "frameworks.html#framework-keras" in [
        place.get_attribute("href") for place in places.all()
    ]
    assert all(gap >= 2 for gap in page.evaluate(GAPS)), "the icon covers the first letter"
    page.locator(".bn-places [href='frameworks.html#framework-keras']").click()
    page.wait_for_url("**/frameworks.html#framework-keras")
    assert page.locator("#framework-keras").is_visible()
    page.close()


def test_a_claim_is_found_by_its_number_and_cited_on_a_phone(reader):
    context, root, _ = reader
    page = context.new_page()
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(f"{root}/claims.html?post=0")
    numbers = page.locator(".bn-filter select").first
    assert numbers.locator("option").count() == 1 + 46
    numbers.select_option("c32")
    claim = page.locator(".bn-claim:has(#c32)")
    claim.wait_for(state="visible")
    assert page.url.endswith("#c32")
    claim.locator(".bn-cite summary").click()
    line = claim.locator(".bn-cite pre")
    assert "claim C32" in line.inner_text()
    assert line.evaluate("line => line.scrollWidth <= line.clientWidth"), "its end is out of sight"
    numbers.select_option("c32")
    page.close()


@pytest.mark.parametrize("size", [(1280, 900), (375, 800)])
def test_the_front_page_shows_its_picture_at_once(reader, browser, size):
    _, root, _ = reader
    size = dict(zip(("width", "height"), size, strict=True))
    page = browser.new_page(viewport=size)  # of a stranger: who comes back has a line above it
    page.goto(f"{root}/intro.html")
    page.wait_for_function(  # scripts that fold the code above it may still be at work
        "() => document.querySelector('#fig-company svg').getBoundingClientRect().bottom"
        " < innerHeight"
    )
    assert page.locator(".bd-docs-nav p.caption").nth(1).text_content() == "Chapters"
    number = "getComputedStyle(link, '::before').content"
    links = page.locator(".bd-docs-nav p.caption:nth-of-type(2) + ul > li > a")
    assert links.count() == 12
    assert "counter" in links.first.evaluate(f"link => {number}")
    page.keyboard.press("Tab")
    menu = page.locator(".sidebar-toggle.primary-toggle")
    menu.focus()
    assert menu.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.close()


# What paper must not keep in one piece although it may be longer than a page.
LONG = "article :is(details, .cell_output, .cell_output *)"
MONOLITHS = """long => [...document.querySelectorAll(long)]
    .filter(element => !element.closest("figure, svg, table, mjx-container, .bn-guess"))
    .filter(element => {
        const style = getComputedStyle(element);
        return style.breakInside === "avoid" || style.overflowY !== "visible";
    })
    .map(element => element.outerHTML.slice(0, 120))"""


def test_paper_breaks_what_is_long(reader):
    context, root, _ = reader
    page = context.new_page()
    page.goto(f"{root}/distribution_shift.html")
    page.emulate_media(media="print")
    assert page.locator("details.hide").count()
    kept = page.evaluate(MONOLITHS, LONG)
    assert not kept, "\n".join(kept[:5])
    page.close()
