"""Directives for what pages show of data, `verdicts`, `conventions`, `quiz`; and files to take."""

import shutil
import sys
from pathlib import Path

import address
from book_pages import LEDGER_SOURCES, executed_notebooks
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.append(str(Path(__file__).resolve().parent.parent / "_make"))

import figures
import ledger
import one_page
import quiz


class Generated(SphinxDirective):
    """A directive that is replaced by the Markdown that `text` returns."""

    sources = (one_page.__file__,)

    def run(self):
        """Return the nodes of the Markdown."""
        for path in self.sources:
            self.env.note_dependency(str(path))
        found = nodes.Element()
        self.state.nested_parse(StringList(self.text().splitlines(), ""), 0, found)
        return found.children


class Verdicts(Generated):
    """The verdicts of the notebooks just executed, in few words."""

    sources = (one_page.__file__, one_page.SHORT, *LEDGER_SOURCES)

    def text(self):
        """Return the paragraphs, one for each kind of verdict."""
        return one_page.verdicts_of(executed_notebooks(self.env.app))


class Conventions(Generated):
    """What frameworks do by default."""

    def text(self):
        """Return the table."""
        return one_page.conventions()


class Quiz(SphinxDirective):
    """One form of the quiz: `before` or `after`."""

    required_arguments = 1

    def run(self):
        """Return the form as HTML."""
        for path in (quiz.__file__, quiz.QUESTIONS):
            self.env.note_dependency(str(path))
        form = quiz.html(quiz.load(), self.arguments[0])
        return [nodes.raw("", form, format="html")]


def bring_tables(app):
    """Put the ledger's tables and the results that they rest on beside the pages."""
    if app.builder.format != "html":
        return
    results = Path(app.outdir, "results")
    shutil.rmtree(results, ignore_errors=True)  # else an experiment that is gone stays
    results.mkdir(parents=True)
    for path in ledger.TABLES.values():
        shutil.copyfile(path, Path(app.outdir, path.name))
    for path in sorted((ledger.BOOK.parent / "results").glob("*.jsonl")):
        shutil.copyfile(path, results / path.name)


def offer_figures(app, pagename, templatename, context, doctree):
    """Offer each figure to be cited and saved, and what is searched by its sections."""
    if pagename == "search":
        app.add_js_file("search.js", defer="defer")  # to this page only
    if doctree is not None:
        home = address.of(app.config)
        site = home.site if home else ""
        title = app.env.titles[pagename].astext()
        context["body"] = figures.offered(context["body"], pagename, title, site)


def setup(app):
    """Make the directives known."""
    app.connect("html-page-context", offer_figures)
    app.add_js_file("figures.js", defer="defer")
    app.connect("builder-inited", bring_tables)
    app.add_directive("verdicts", Verdicts)
    app.add_directive("conventions", Conventions)
    app.add_directive("quiz", Quiz)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
