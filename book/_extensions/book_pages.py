"""What the book's pages need beyond Jupyter Book.

- Kernels draw for a page, as inline SVG and HTML (`BNLIB_RENDER=page`); the alt texts of the
  notebooks' cells are put on these.
- A change of bnlib, of results or of the environment executes every notebook again.
- A page is read again when what it is made from has changed, whatever the clock says.
- A build that failed is not half remembered: what was wrong is said again until it is mended.
- The ledger of claims is made from the notebooks just executed, after all of them; the page on one
  sheet likewise.
- Formulas are set by a copy of MathJax inside the site: no page asks another host.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from html import escape
from pathlib import Path

import address
import nbformat
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util import logging

ROOT = Path(__file__).resolve().parent.parent.parent
LEDGER = "claims"  # the page that is generated
COLLECT_VERDICTS = (LEDGER, "on_one_page")
LEDGER_MAKER = ROOT / "book" / "_make" / "ledger.py"
LEDGER_SOURCES = (
    LEDGER_MAKER,
    LEDGER_MAKER.with_name("citing.py"),
    LEDGER_MAKER.with_name("forest.py"),
    ROOT / "book" / "claims.yml",
    ROOT / "book" / "_toc.yml",
)

# What bnlib's display and widgets write, each to be followed by an aria-label.
NAMELESS = ('class="bn-picture" role="img"', 'class="bn-moving" role="group"')

# What notebooks compute with.
NUMBERS = ("bnlib/**/*.py", "results/*.jsonl", "requirements.lock")
# Shapes every page, and Sphinx does not watch it.
LOOKS = (
    "CITATION.cff",
    "book/_assets/*",
    "book/_extensions/*.py",
    "book/_make/*.py",
    "book/_templates/*",
)

MATHJAX = "mathjax/tex-mml-chtml.js"  # below the site's _static

logger = logging.getLogger(__name__)


# --- execution ---------------------------------------------------------------------------------


def digest(*patterns, root=ROOT):
    """Return a digest of Python's version and of the files that match, names and contents."""
    found = hashlib.sha256(sys.version.encode())
    for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            found.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return found.hexdigest()[:16]


def configure(app, config):
    """Draw for pages, keep one execution cache per state of the code, use our own MathJax."""
    os.environ["BNLIB_RENDER"] = "page"
    numbers = digest(*NUMBERS)
    looks = digest(*LOOKS)
    # Each page is read again when either changes, executed again when `numbers` does.
    config.bnlib_digest = numbers + looks
    caches = Path(app.outdir).parent / ".jupyter_cache"
    config.nb_execution_cache_path = str(caches / numbers)
    config.mathjax_path = MATHJAX
    for old in sorted(caches.glob("*")):
        if old.name != numbers and old.exists():
            drop(old)


def forget_mixed_build(app, exception):
    """Keep nothing that was executed while the code changed: it is of two states at once."""
    if app.config.bnlib_digest != digest(*NUMBERS) + digest(*LOOKS):
        cache = Path(app.config.nb_execution_cache_path)
        if cache.exists():
            drop(cache)
        logger.warning("bnlib, results or the book's looks changed meanwhile: build it again")


def drop(path):
    """Remove a folder or a file such that it is whole or gone when this is killed meanwhile."""
    gone = path.with_name("gone")
    if path != gone:
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
    gone.unlink() if gone.is_file() else shutil.rmtree(gone)


def forget_failed_build(app, exception):
    """Read every page again after a build with warnings: else the next one would be silent.

    Sphinx itself forgets only builds that raised; it sets its status after this event.
    """
    if app._warncount:
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)


# --- what has changed --------------------------------------------------------------------------


def content_digest(path):
    """Return a digest of a file, "" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def changed_pages(app, env, added, changed, removed):
    """Return the pages whose source, or another file that they were made from, has changed.

    Sphinx compares times. A clock that went back, a copy or an archive brings files that are new
    and look old.
    """
    known = getattr(env, "bnlib_contents", {})
    return [
        page
        for page in env.found_docs - added - changed
        if page not in known
        or any(content_digest(Path(path)) != old for path, old in known[page].items())
    ]


def remember_sources(app, env, docnames):
    """Note the sources before they are read: an edit meanwhile is an edit since."""
    known = env.bnlib_contents = getattr(env, "bnlib_contents", {})
    for page in docnames:
        path = env.doc2path(page)
        known[page] = {path: content_digest(Path(path))}


def remember_dependencies(app, env):
    """Note what else the pages were made from, which is known when they have been read."""
    for page, files in env.bnlib_contents.items():
        for name in env.dependencies.get(page, ()):
            path = Path(env.srcdir, name)
            files.setdefault(str(path), content_digest(path))


def shown_elsewhere(env):
    """Return, as one text, what pages show of other pages: titles, labels, numbers of formulas."""
    titles = {page: title.astext() for page, title in env.titles.items()}
    domains = env.domaindata
    labels, formulas = domains["std"]["labels"], domains["math"]["objects"]
    return repr([sorted(part.items()) for part in (titles, labels, formulas)])


def rewritten_pages(app, env):
    """Return all pages, to be written again, when a title or a label has changed.

    Sphinx writes only pages that it has read: the old title would stay in the others' margins.
    """
    before, env.bnlib_shown = getattr(env, "bnlib_shown", ""), shown_elsewhere(env)
    return sorted(env.found_docs) if env.bnlib_shown != before else []


# --- the ledger --------------------------------------------------------------------------------


def read_verdicts_last(app, env, docnames):
    """Read the pages that collect verdicts again, last, whenever any page has changed."""
    if docnames:
        last = [name for name in COLLECT_VERDICTS if name in env.found_docs]
        docnames[:] = [name for name in docnames if name not in last] + last


def executed_notebooks(app):
    """Return the paths of the notebooks that this build has executed, in alphabetical order.

    Of a notebook that its cache knows, MyST-NB puts there what is stored in the book: outputs that
    may be older than its code. They are replaced by those that the page shows.
    """
    from jupyter_cache import get_cache

    folder, found = Path(app.outdir).parent / "jupyter_execute", []
    cache = get_cache(app.config.nb_execution_cache_path)
    for name in sorted(app.env.found_docs):
        path = folder / f"{name}.ipynb"
        if path.exists():
            stored = nbformat.read(app.env.doc2path(name), as_version=4)
            with contextlib.suppress(KeyError):  # it was executed just now, or never
                nbformat.write(cache.merge_match_into_notebook(stored)[1], str(path))
            found.append(path)
    return found


def regenerate_ledger(app, docname, source):
    """Replace the committed ledger by that of the notebooks just executed."""
    if docname != LEDGER:
        return
    for path in LEDGER_SOURCES:
        app.env.note_dependency(str(path))
    specification = importlib.util.spec_from_file_location("ledger", LEDGER_MAKER)
    ledger = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(ledger)
    try:
        source[0] = ledger.page(executed_notebooks(app), address.of(app.config))
    except ledger.LedgerError as error:
        raise ExtensionError(str(error)) from error


# --- what readers hear -------------------------------------------------------------------------


def name_figures(app, doctree):
    """Put the alt text of each cell's metadata on the figures that the cell shows."""
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        alt = cell["cell_metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
        for output in cell.findall(nodes.raw):
            text = output.astext()
            if not any(mark in text for mark in NAMELESS):
                continue
            if not alt:
                logger.warning("a figure's cell needs metadata mystnb.image.alt", location=cell)
            for mark in NAMELESS:
                text = text.replace(mark, f'{mark} aria-label="{escape(alt)}"')
            output[:] = [nodes.Text(text)]


def mend_references(app, pagename, templatename, context, doctree):
    """Drop the roles that Sphinx writes around cited works although ARIA does not allow them."""
    if doctree is not None:
        body = context["body"].replace('<div role="list" class="citation-list">', "<div>")
        context["body"] = body.replace(' role="doc-biblioentry"', "")


# --- formulas ----------------------------------------------------------------------------------


def bring_mathjax(app):
    """Copy from the installed package the one script and the fonts that pages ask for."""
    if app.builder.format != "html":
        return
    for file in importlib.metadata.files("sphinx-mathjax-offline"):
        _, found, inside = file.as_posix().partition("static/mathjax/")
        if found and (f"mathjax/{inside}" == MATHJAX or "/woff-v2/" in inside):
            target = Path(app.outdir, "_static", "mathjax", inside)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def setup(app):
    """Connect the above to Sphinx."""
    app.add_config_value("bnlib_digest", "", "env")
    # A low number comes first: before myst-nb and sphinx.ext.mathjax look at their options.
    app.connect("config-inited", configure, priority=100)
    app.connect("builder-inited", bring_mathjax)
    app.connect("env-get-outdated", changed_pages)
    app.connect("env-before-read-docs", read_verdicts_last)
    app.connect("env-before-read-docs", remember_sources, priority=600)  # with those read last
    app.connect("env-updated", remember_dependencies)
    app.connect("env-updated", rewritten_pages)
    app.connect("source-read", regenerate_ledger)
    app.connect("doctree-read", name_figures)
    app.connect("html-page-context", mend_references)
    app.connect("build-finished", forget_mixed_build)
    app.connect("build-finished", forget_failed_build)
    # Not safe to read in parallel: the ledger must come last.
    return {"parallel_read_safe": False, "parallel_write_safe": True}
