"""The book's rules, checked on the committed files: nothing is executed here, so this is fast.

A rule is a small function: it takes a `Page` and yields one sentence per fault, which says where it
is and what to do. Beside each rule stand made-up pages that break it and, where the border is fine,
pages that keep it: a rule that could not go red would be no rule.
"""

import ast
import copy
import json
import re
from typing import NamedTuple

import nbformat
import pytest
import yaml
from ledger import BOOK, chapters
from nbval.plugin import IPyNbFile, coalesce_streams

from bnlib import exercises

FRONT_MATTER = {"intro", "how_we_measure", "notation", "claims"}  # everything else is a chapter
GENERATED = {"claims"}

MAX_LINES, MAX_COLUMNS, MAX_KILOBYTES = 15, 79, 400

# Decimals that may stand in prose, since no run of the book measures them.
CONVENTIONS = {
    "0.1": "PyTorch's momentum",
    "0.9": "the posts' and Keras's momentum",
    "0.99": "Keras's default momentum",
    "1e-5": "PyTorch's default eps",
    "1e-3": "Keras's default eps",
    "10e-7": "the eps of a published class, quoted because it is wrong",
}
WIDGET = "application/vnd.jupyter.widget-view+json"
TEXT_TYPES = ("text/plain", "text/markdown", "text/html", "text/latex", "image/svg+xml")


class Page(NamedTuple):
    """One page of the book; a Markdown page is a notebook with a single Markdown cell."""

    name: str
    cells: list
    metadata: dict
    size: int

    @property
    def is_notebook(self):
        return bool(self.metadata)

    @property
    def is_chapter(self):
        return self.is_notebook and self.name not in FRONT_MATTER


def joined(text):
    """A notebook file stores a text as one string or as a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def page_of(name, text):
    """Make a page from the text of a notebook (JSON) or of a Markdown file."""
    if not text.startswith("{"):
        return Page(name, [{"cell_type": "markdown", "source": text}], {}, len(text.encode()))
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        cell["source"] = joined(cell["source"])
    return Page(name, notebook["cells"], notebook["metadata"], len(text.encode()))


def files_of_the_book():
    """Every file that the table of contents names, in its order."""
    for name in chapters(yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))):
        notebook = BOOK / f"{name}.ipynb"
        yield notebook if notebook.exists() else BOOK / f"{name}.md"


FILES = list(files_of_the_book())
BOOK_PAGES = [page_of(path.stem, path.read_text(encoding="utf-8")) for path in FILES]
NOTEBOOK_FILES = [path for path in FILES if path.suffix == ".ipynb"]
CLAIMS = yaml.safe_load((BOOK / "claims.yml").read_text(encoding="utf-8"))
CLAIM_IDS = {claim["id"] for claim in CLAIMS}
RULES = []


def rule(*, breaks, keeps=()):
    """Register a rule with pages that break it and pages that keep it."""

    def register(check):
        RULES.append((check, breaks, keeps))
        return check

    return register


# --- looking into a page -------------------------------------------------------------------------


def place(number, cell):
    first_line = cell["source"].strip().splitlines()[:1]
    return f"cell {number} ({first_line[0][:40] if first_line else 'empty'})"


def cells(page, kind):
    """Yield (where, cell) for the cells of one kind, counted from 1 over all cells."""
    for number, cell in enumerate(page.cells, start=1):
        if cell["cell_type"] == kind:
            yield place(number, cell), cell


def bundles(cell):
    """The mime bundles of a cell's outputs."""
    return [output["data"] for output in cell["outputs"] if "data" in output]


def texts(cell):
    """Yield every text that a cell has printed or shown."""
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            yield joined(output["text"])
        for kind, content in output.get("data", {}).items():
            if kind in TEXT_TYPES:
                yield joined(content)


def has_picture(cell):
    return any("image/png" in bundle for bundle in bundles(cell))


def figure_name(cell):
    return cell["metadata"].get("mystnb", {}).get("figure", {}).get("name", "")


def tags(cell):
    return cell["metadata"].get("tags", [])


def syntax(cell):
    """The syntax tree of a code cell; None if it is no Python, as `%time` and `!ls` are none."""
    try:
        return ast.parse(cell["source"])
    except SyntaxError:
        return None


def headings(page):
    """Every heading of a page as written, `## Exercises`, outside code fences."""
    for _, cell in cells(page, "markdown"):
        outside = re.sub(r"^(`{3,})[^`].*?^\1`*\s*$", "", cell["source"], flags=re.M | re.S)
        yield from re.findall(r"^#{1,6} .+$", outside, flags=re.M)


# --- making up a page ----------------------------------------------------------------------------


def md(text):
    return {"cell_type": "markdown", "id": "m", "metadata": {}, "source": text}


def code(source="1", *outputs, count=1, **metadata):
    return {
        "cell_type": "code",
        "id": "c",
        "metadata": metadata,
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
    }


def printed(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data):
    data = {kind.replace("_", "/"): content for kind, content in data.items()}
    return {"output_type": "display_data", "metadata": {}, "data": data}


def made_up(*contents, name="made_up", kernel="python3", **metadata):
    """A page like a committed notebook's, read back from its JSON."""
    metadata = {"kernelspec": {"name": kernel}, **metadata}
    return page_of(name, json.dumps({"cells": contents, "metadata": metadata}))


PICTURE = shown(image_png="iVBORw0KGgo=", text_plain="<figure: 1 axes, 2 marks, data 3f9a12bc>")


def pictured(caption="Means.", name="fig-means", alt="Two lines that part after the third layer."):
    mystnb = {"figure": {"caption": caption, "name": name}, "image": {"alt": alt}}
    return code("show(means(x))", PICTURE, mystnb=mystnb)


# --- the rules: cells ----------------------------------------------------------------------------


@rule(
    breaks=[
        made_up(code(count=None)),
        made_up(code(count=2)),
        made_up(code(count=1), code(count=3)),
        made_up(code("", count=1)),
    ],
    keeps=[made_up(code(count=1), md("x"), code(count=2))],
)
def every_cell_is_executed_in_order(page):
    # nbval compares nothing in a cell that was stored without a count and without outputs.
    for number, (where, cell) in enumerate(cells(page, "code"), start=1):
        if not cell["source"].strip():
            yield f"{where} is an empty code cell: remove it"
        if cell["execution_count"] != number:
            count = cell["execution_count"]
            yield f"{where} has execution count {count}, not {number}: run `make notebooks`"


@rule(
    breaks=[
        made_up(code("1/0", {"output_type": "error", "ename": "E", "evalue": "", "traceback": []})),
        made_up(code("x", printed("RuntimeWarning", name="stderr"))),
    ],
    keeps=[made_up(code("x", printed("1")))],
)
def no_cell_fails_or_warns(page):
    for where, cell in cells(page, "code"):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                yield f"{where} stores the error {output['ename']}: catch it and print its message"
            if output.get("name") == "stderr":
                yield f"{where} stores text of stderr: cure the warning"


@rule(
    breaks=[made_up(code("x\n" * (MAX_LINES + 1))), made_up(code("x" * (MAX_COLUMNS + 1)))],
    keeps=[made_up(code("x\n" * MAX_LINES + "\n")), made_up(code("x" * MAX_COLUMNS))],
)
def code_cells_are_short(page):
    for where, cell in cells(page, "code"):
        lines = cell["source"].strip().splitlines()
        if len(lines) > MAX_LINES:
            yield f"{where} has {len(lines)} lines, at most {MAX_LINES}: move code into bnlib"
        if any(len(line) > MAX_COLUMNS for line in lines):
            yield f"{where} has a line of more than {MAX_COLUMNS} columns: break it"


@rule(
    breaks=[
        made_up(code("from numpy import *")),
        made_up(code("import sys\nsys.path.insert(0, '..')")),
        made_up(code("from sys import path")),
        made_up(code("%matplotlib inline\nx = 1")),
        made_up(code("!pip install torch")),
        made_up(code("for i in x:\n    %time f(i)")),
    ],
    keeps=[
        made_up(code("same = (a\n    != b)\nrest = (a\n    % b)")),
        made_up(code("import sys\nprint(sys.version_info >= (3, 11))")),
    ],
)
def cells_are_plain_python_on_the_installed_package(page):
    for where, cell in cells(page, "code"):
        tree = syntax(cell)
        if not tree:
            yield f"{where} is not plain Python (a line of IPython's own?)"
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
                yield f"{where} imports a star: name what it needs"
            if ast.unparse(node).startswith(("sys.path", "from sys import path")):
                yield f"{where} touches sys.path: bnlib is installed, import it"
                break


@rule(
    breaks=[
        made_up(code("import torch")),
        made_up(code("from torch.nn import Linear")),
        made_up(code("def f():\n    import torch.nn.functional as F")),
    ],
    keeps=[made_up(code("import torch", tags=["optional"])), made_up(code("import numpy"))],
)
def torch_is_optional(page):
    for where, cell in cells(page, "code"):
        for node in ast.walk(syntax(cell) or ast.Module([], [])):
            modules = [alias.name for alias in getattr(node, "names", ())]
            modules.append(getattr(node, "module", None) or "")
            known = isinstance(node, ast.Import | ast.ImportFrom)
            if known and any(module.split(".")[0] == "torch" for module in modules):
                if "optional" not in tags(cell):
                    yield f"{where} imports torch: compare with stored values or tag it `optional`"


@rule(
    breaks=[
        made_up(code("x", tags=["nbval-ignore-output"])),
        made_up(code("x", tags=["nbval-skip"])),
        made_up(code("x", tags=["raises-exception"])),
        made_up(code("# NBVAL_IGNORE_OUTPUT\nx")),
    ],
    keeps=[
        made_up(code("x", tags=["hide-input"])),
        made_up(code("import torch", tags=["optional", "nbval-ignore-output"])),
    ],
)
def every_output_is_compared(page):
    for where, cell in cells(page, "code"):
        escapes = [t for t in tags(cell) if t.startswith("nbval-") or t == "raises-exception"]
        if "optional" in tags(cell):
            escapes = []
        if re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", cell["source"]):
            escapes.append("a comment for nbval")
        if escapes:
            yield f"{where} escapes nbval by {', '.join(escapes)}: make its output reproducible"


# --- the rules: outputs --------------------------------------------------------------------------

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|mnt)\b/?|\b[A-Z]:\\+Users\b")


@rule(
    breaks=[
        made_up(code("open('/home/someone/x')")),
        made_up(md("Look into /root/book.")),
        made_up(code("x", printed("/tmp/tmpab12/x.png"))),
        made_up(code("x", shown(text_plain="'/work/book'"))),
        made_up(code("x", printed(r"C:\Users\someone"))),
        made_up(code("x", shown(text_html="<a href='/Users/someone'>"))),
    ],
    keeps=[made_up(md("The [framework](https://example.org/home/) at home and a/work."))],
)
def no_machine_path(page):
    for kind in ("code", "markdown"):
        for where, cell in cells(page, kind):
            found = [*texts(cell)] if kind == "code" else []
            for text in [cell["source"], *found]:
                if match := MACHINE_PATH.search(text):
                    yield f"{where} holds the path {match.group()} of one machine: make it relative"


VOLATILE = {
    "an object's address": re.compile(r"\b0x[0-9a-f]{6,}\b|<[\w.]+ object at"),
    "a time that was measured": re.compile(r"\b\d+(\.\d+)?\s?([mµun]?s|sec|seconds|minutes)\b"),
    "a date or a clock": re.compile(r"\b20\d\d-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b"),
    "a progress bar": re.compile(r"\r|it/s\b"),
}


@rule(
    breaks=[
        made_up(code("x", shown(text_plain="<Layer object at 0x7f31c2d0a5e0>"))),
        made_up(code("x", printed("took 1.31 s"))),
        made_up(code("x", printed("12 ms per step"))),
        made_up(code("x", printed("done on 2026-11-20"))),
        made_up(code("x", printed("at 12:30:01"))),
        made_up(code("x", printed("10%\r100%"))),
    ],
    keeps=[
        made_up(code("x", printed("12 samples, 0.97, 0x1f, data 3f9a12bc"))),
        made_up(code("x", shown(text_plain="<figure: 3 axes, 12 marks, data 3f9a12bc>"))),
    ],
)
def no_volatile_output(page):
    for where, cell in cells(page, "code"):
        for text in texts(cell):
            for what, pattern in VOLATILE.items():
                if match := pattern.search(text):
                    yield f"{where} shows {what} ({match.group()!r}): it changes with every run"


@rule(
    breaks=[
        made_up(code("x", printed("-0.0"))),
        made_up(code("x", printed("[ 1.  -0.  2.]"))),
        made_up(code("x", printed("-0.000e+00"))),
        made_up(code("x", printed("-0"))),
        made_up(code("x", shown(text_html="<td>-0.00</td>"))),
    ],
    keeps=[made_up(code("x", printed("-0.05 1e-05 -0.0001 x-0 2026-0")))],
)
def no_negative_zero(page):
    for where, cell in cells(page, "code"):
        for text in texts(cell):
            if match := re.search(r"(?<![\w.])-0(\.0*)?(?![\d.])", text):
                yield f"{where} shows {match.group()}: add 0.0, the sign depends on the processor"


@rule(
    breaks=[made_up(code("x", printed("1" * MAX_KILOBYTES * 1024)))],
    keeps=[made_up(code("x", printed("1" * (MAX_KILOBYTES - 1) * 1024)))],
)
def a_page_is_light(page):
    if page.size > MAX_KILOBYTES * 1024:
        yield f"the file has {page.size // 1024} KB, at most {MAX_KILOBYTES}: lighter figures"


@rule(
    breaks=[
        made_up(code(), widgets={"application/vnd.jupyter.widget-state+json": {}}),
        made_up(code("x", {"output_type": "display_data", "data": {WIDGET: {"model_id": "1"}}})),
    ],
    keeps=[made_up(code("x", PICTURE))],
)
def no_widget_state(page):
    if "widgets" in page.metadata:
        yield "the metadata stores the state of widgets: run `make notebooks`"
    for where, cell in cells(page, "code"):
        if any(WIDGET in bundle for bundle in bundles(cell)):
            yield f"{where} stores a widget's id: run `make notebooks`"


@rule(
    breaks=[
        made_up({**md("x"), "id": ""}),
        made_up({**md("x"), "id": "a b"}),
        made_up(md("x"), {key: value for key, value in md("y").items() if key != "id"}),
        made_up(md("x"), md("y")),
    ],
    keeps=[made_up(md("x"), code())],
)
def cells_have_ids(page):
    seen = set()
    for number, cell in enumerate(page.cells if page.is_notebook else (), start=1):
        name = cell.get("id", "")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            yield f"{place(number, cell)} has no valid id ({name!r}): run `make notebooks`"
        if name in seen:
            yield f"{place(number, cell)} repeats the id {name!r}: run `make notebooks`"
        seen.add(name)


@rule(breaks=[made_up(code(), kernel="py311-of-someone")], keeps=[made_up(code())])
def the_kernel_is_python3(page):
    if page.is_notebook and page.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel's name must be python3, which everybody has: run `make notebooks`"


# --- the rules: figures --------------------------------------------------------------------------


@rule(
    breaks=[
        made_up(code("show(x)", PICTURE)),
        made_up(pictured(caption="")),
        made_up(pictured(name="means")),
        made_up(pictured(alt="")),
        made_up(pictured(alt="Too short.")),
        made_up(pictured(caption="Two lines that part after the third layer.")),
    ],
    keeps=[made_up(pictured()), made_up(code("x", printed("1")))],
)
def figures_are_described(page):
    for where, cell in cells(page, "code"):
        if not has_picture(cell):
            continue
        mystnb = cell["metadata"].get("mystnb", {})
        caption = mystnb.get("figure", {}).get("caption", "")
        alt = mystnb.get("image", {}).get("alt", "")
        if not caption.strip():
            yield f"{where} shows a picture without metadata mystnb.figure.caption"
        if not re.fullmatch(r"fig-[a-z0-9-]+", figure_name(cell)):
            yield f"{where} needs metadata mystnb.figure.name `fig-…`, got {figure_name(cell)!r}"
        if len(alt) < 30:
            yield f"{where} needs metadata mystnb.image.alt that tells what is seen, got {alt!r}"
        if alt.strip(" .") == caption.strip(" ."):
            yield f"{where} repeats its caption as alt text: tell what the picture shows"


@rule(
    breaks=[
        made_up(code("show(x)", shown(image_png="iVBORw0KGgo="))),
        made_up(code("show(x)", shown(image_png="iVBORw0KGgo=", text_plain="<Figure size 5x4>"))),
    ],
    keeps=[
        made_up(code("show(x)", PICTURE)),
        made_up(
            code(
                "moving_figure(draw, values, label='x')",
                shown(
                    image_png="iVBORw0KGgo=",
                    text_plain="<moving figure: 31 frames by 'x', data 9b1c00ff>",
                ),
            )
        ),
    ],
)
def pictures_carry_a_digest(page):
    # nbval never compares pictures, so the text beside a picture has to change with it.
    for where, cell in cells(page, "code"):
        for bundle in bundles(cell):
            text = joined(bundle.get("text/plain", ""))
            pictures = [kind for kind in bundle if kind.startswith("image/")]
            if pictures and not re.search(r"<(moving )?figure: .*\bdata [0-9a-f]{8,}", text):
                yield f"{where} shows a picture without a digest of its data: use bnlib.show"


@rule(
    breaks=[
        made_up(pictured()),
        made_up(pictured(), code()),
        made_up(pictured(), md("## Next section")),
        made_up(pictured(), md("(an-anchor)=\n## Next section\nText of the next section.")),
    ],
    keeps=[
        made_up(pictured(), md("The lines part.")),
        made_up(md("See {numref}`fig-means`."), pictured(), md("## Next")),
        made_up(md("See {numref}`Figure %s <fig-means>`."), pictured()),
    ],
)
def figures_are_read(page):
    prose = "\n".join(cell["source"] for _, cell in cells(page, "markdown"))
    for number, cell in enumerate(page.cells, start=1):
        if cell["cell_type"] != "code" or not has_picture(cell):
            continue
        name = re.escape(figure_name(cell))
        referenced = re.search(rf"\{{numref\}}`(?:[^`]*<)?{name}>?`", prose)
        following = page.cells[number] if number < len(page.cells) else md("#")
        read = following["cell_type"] == "markdown" and not re.match(
            r"\s*(\(.*\)=\s*)?#", following["source"]
        )
        if not referenced and not read:
            yield f"{place(number, cell)} shows a picture that no sentence reads: add one after it"


# --- the rules: prose ----------------------------------------------------------------------------


# Directives whose body is not prose.
CODE_DIRECTIVES = {"code", "code-block", "code-cell", "math", "raw", "bibliography"}
FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,}|:{3,})[ \t]*(?:\{([\w:-]+)\})?(.*)$")


def outside_fences(source):
    """Leave out code fences; the body of a note or of an exercise is prose and stays."""
    kept, open_prose, open_code = [], [], ""
    for line in source.splitlines():
        fence = FENCE.match(line)
        mark, directive, rest = fence.groups() if fence else ("", None, "")
        bare = not directive and not rest.strip()
        if open_code:
            if mark.startswith(open_code) and bare:
                open_code = ""
        elif not fence:
            kept.append(line)
        elif bare and open_prose and mark.startswith(open_prose[-1]):
            open_prose.pop()
        elif directive and directive not in CODE_DIRECTIVES:
            open_prose.append(mark)
            kept.append(rest)
        else:
            open_code = mark
    return "\n".join(kept)


NOT_PROSE = [
    r"\A---\n.*?\n---\n",  # front matter
    r"^\s*:[\w-]+:.*$",  # options of a directive
    r"\$\$.*?\$\$",
    r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}",
    r"(?<!\\)\$[^$\n]+\$",
    r"(`+)[^`].*?\1",  # code and roles
    r"(?<=\])\([^)\s]*\)",  # the target of a link
    r"<[^>\n]*>",  # tags and addresses
    r"https?://\S+",
    r"(?i)\b(arxiv|doi):\s?\S+",
    r"\bPython 3\.\d+( (to|and|or) 3\.\d+)?",
    r"\bCC BY 4\.0",
]
NUMBER = re.compile(
    r"(?<![\w.])\d+(?:\.\d+)?(?:[eE][-+]?\d+|\s?%|\s?‰|\s?per ?cent\b)"
    r"|(?<![\w.])\d+\.\d+(?![\w.]*\d)"
)


def prose(source):
    source = outside_fences(source)
    for pattern in NOT_PROSE:
        source = re.sub(pattern, " ", source, flags=re.M | re.S)
    return source


@rule(
    breaks=[
        made_up(md("The accuracy is 0.97 here.")),
        made_up(md("It reaches 97 % on test.")),
        made_up(md("It reaches 97% on test.")),
        made_up(md("It reaches 97 percent.")),
        made_up(md("The error is 3e-7.")),
        made_up(md("```{note}\nIt is 12.5 times faster.\n```\n")),
        made_up(md("```{note} 12.5 times\nYes.\n```\n")),
        made_up(md("````{note}\n```python\nx = 0.25\n```\nNow 0.25.\n````")),
        made_up(md("```\n0.25\n```\nNow 0.25.")),
        made_up(md("[about 0.97](claims.md)")),
        page_of("notation", "The loss is **2.30**."),
    ],
    keeps=[
        made_up(md("momentum 0.1, eps 1e-5, in 2015, 1,024 rows, section 3, Python 3.11 to 3.14.")),
        made_up(md("$x = 0.25$, `y = 0.25` and {cite}`key2.5`\n\n$$\n0.25\n$$\n")),
        made_up(md("```python\nx = 0.25\n```")),
        made_up(md("```{math}\n:label: eq-0.5\nx = 0.25\n```")),
        made_up(md("[paper](https://arxiv.org/abs/1502.03167) and arXiv:1502.03167.")),
        page_of("claims", "{'holds': 0.97}".replace("{", "(")),
    ],
)
def no_number_is_typed_in_prose(page):
    # What was measured stands in an output, which nbval compares; typed, it goes stale in silence.
    if page.name in GENERATED:
        return
    for where, cell in cells(page, "markdown"):
        for match in NUMBER.finditer(prose(cell["source"])):
            if match.group() not in CONVENTIONS:
                yield (
                    f"{where} types the number {match.group()!r}: print it in a code cell and say "
                    "in words what it means (a convention goes into CONVENTIONS)"
                )


LEARN = "What you will learn"
FRAME = {
    LEARN: "three to five points",
    "What we found": "the verdicts, in about five lines",
    "Exercises": "with solutions beside them",
    "Further reading": "cited",
}


def chapter(*, title="# Keep the outlier in", learn="- a\n- b\n- c\n\n30 minutes.", without=""):
    """A made-up chapter that keeps the frame."""
    texts = {name: f"## {name}\nText." for name in FRAME} | {LEARN: f"## {LEARN}\n{learn}"}
    live = [code("moving_figure(draw, values, label='x')"), code("guess('Where?', low=0, high=1)")]
    return made_up(md(title), *live, *(md(texts[name]) for name in texts if name != without))


@rule(
    breaks=[
        chapter(title="Keep the outlier in"),
        chapter(title="## Keep the outlier in"),
        made_up(code(), md("# Title")),
        chapter(learn="- a\n- b\n\n30 minutes."),
        chapter(learn="- a\n- b\n- c\n"),
        chapter(learn="- a\n- b\n- c\n\n30 minutes.\n\n# A second title"),
        *[chapter(without=name) for name in FRAME],
    ],
    keeps=[chapter(), made_up(md("# Title"), name="intro")],
)
def a_chapter_has_its_frame(page):
    if not page.is_chapter:
        return
    if not re.match(r"# \S", page.cells[0]["source"]):
        yield "the first cell must begin with `# ` and a title that begins with a verb"
    found = list(headings(page))
    if sum(heading.startswith("# ") for heading in found) != 1:
        yield "a page has one heading of the first level: use `##` for sections"
    everything = "\n".join(cell["source"] for _, cell in cells(page, "markdown"))
    for name, contents in FRAME.items():
        if not re.search(rf"^(#+|[`:]{{3,}}\{{\w+\}}|\*\*)\s*{name}", everything, flags=re.M):
            yield f"the section {name!r} ({contents}) is missing"
    learn = everything.partition(LEARN)[2]
    points = re.findall(r"^[-*] ", re.split(r"^#", learn, flags=re.M)[0], flags=re.M)
    if not 3 <= len(points) <= 5:
        yield f"{LEARN!r} has {len(points)} points, not three to five"
    if not re.search(r"\b\d+\s+min", everything):
        yield "say how many minutes the chapter takes"


@rule(
    breaks=[
        made_up(code("guess('Where?', low=0, high=1)")),
        made_up(code("moving_figure(draw, values, label='x')")),
    ],
    keeps=[chapter(), made_up(code("x"), name="intro")],
)
def a_chapter_moves_and_asks(page):
    if not page.is_chapter:
        return
    sources = "\n".join(cell["source"] for _, cell in cells(page, "code"))
    if "moving_figure(" not in sources:
        yield "a chapter has at least one figure that the reader can move (moving_figure)"
    if not re.search(r"\bguess(\(|=)", sources):
        yield "a chapter has at least one guess made before the answer (guess)"


# The checkers of bnlib.exercises, called in the last line of a cell.
CHECKERS = tuple(f"{name}(" for name in exercises.__all__ if name.startswith("check_"))


def exercise(answer, *tags):
    """A made-up cell that calls a checker and shows its answer."""
    return code("check_backward(mine)", shown(**{"text/plain": answer}), tags=[*tags])


@rule(
    breaks=[
        made_up(exercise("Right: dx agrees.")),
        made_up(exercise("Not right yet.\ndx is missing.")),
        made_up(exercise("Not yet: your function returns nothing.", "hide-cell")),
        made_up(exercise("Not right yet.\ndx is missing.", "hide-cell")),
    ],
    keeps=[
        made_up(exercise("Not yet: your function returns nothing.")),
        made_up(exercise("Right: dx agrees.", "hide-cell")),
    ],
)
def stubs_wait_and_solutions_pass(page):
    for where, cell in cells(page, "code"):
        if not cell["source"].splitlines()[-1].startswith(CHECKERS):
            continue
        answer, folded = "\n".join(texts(cell)), "hide-cell" in tags(cell)
        if folded and not answer.startswith("Right"):
            yield f"{where} is a solution that its checker does not pass: {answer.splitlines()[0]}"
        if not folded and not answer.startswith("Not yet"):
            yield f"{where} is a stub that should say 'Not yet': {answer.splitlines()[0]}"


def exercises_of(page):
    """The numbers of the exercises, `**2. Write it.**`, and whether one ends with a checker."""
    numbers, checked, inside = [], False, False
    for cell in page.cells:
        if cell["cell_type"] == "markdown":
            for line in cell["source"].splitlines():
                inside = line == "## Exercises" if line.startswith("## ") else inside
                found = re.match(r"\*\*(\d+)\. ", line)
                numbers += [int(found.group(1))] if inside and found else []
        elif inside:
            checked = checked or cell["source"].splitlines()[-1].startswith(CHECKERS)
    return numbers, checked


def with_exercises(*numbers, checker=True):
    """A made-up chapter with exercises of these numbers, the last with a checker."""
    asked = [md(f"**{number}. Write it.** And so on.") for number in numbers]
    cells = [exercise("Not yet: nothing.")] if checker else [code("print(1)")]
    return made_up(md("# Title"), md("## Exercises"), *asked, *cells, md("## Further reading"))


@rule(
    breaks=[
        with_exercises(),
        with_exercises(1, 2),
        with_exercises(1, 2, 3, 4, 5, 6, 7),
        with_exercises(1, 2, 4),
        with_exercises(1, 2, 3, checker=False),
        made_up(*with_exercises(1, 2, 3, checker=False).cells, exercise("Not yet: nothing.")),
    ],
    keeps=[with_exercises(1, 2, 3), with_exercises(*range(1, 7)), made_up(md("#"), name="intro")],
)
def a_chapter_has_three_to_six_exercises_and_a_checker(page):
    if not page.is_chapter:
        return
    numbers, checked = exercises_of(page)
    if not 3 <= len(numbers) <= 6 or numbers != [*range(1, len(numbers) + 1)]:
        yield f"the exercises, `**1. Title.** …`, are numbered {numbers}: three to six, in order"
    if not checked:
        yield "no exercise ends with a checker of bnlib.exercises, which names the mistake"


CLAIM = re.compile(r"\b(?:claims(?:\.md|\.html)?#|\{ref\}`(?:[^`]*<)?|\]\(#?)?([cC]\d\d)\b")


@rule(
    breaks=[
        made_up(md("See [C97](claims.md#c97).")),
        made_up(md("See {ref}`c97`.")),
        made_up(md("C97 holds.")),
        made_up(md("C00 holds.")),
        made_up(code("x", printed("yes  mean\nverdict C97: holds\n"))),
    ],
    keeps=[made_up(md("See [C05](claims.md#c05), C46 and C007.")), made_up(code("c50 = 1"))],
)
def claims_named_are_in_the_ledger(page):
    naming = [(where, cell["source"]) for where, cell in cells(page, "markdown")]
    for where, cell in cells(page, "code"):
        verdicts = re.findall(r"^verdict \w+", "\n".join(texts(cell)), flags=re.M)
        naming.append((where, "\n".join(verdicts)))
    for where, text in naming:
        for claim in CLAIM.findall(text):
            if claim.upper() not in CLAIM_IDS:
                yield f"{where} names {claim}, which book/claims.yml does not know"


@rule(
    breaks=[made_up(code(), name="forward_pass")],
    keeps=[
        made_up(
            *[
                code("shown(…)", printed(f"verdict {claim['id']}: holds when eps = 0\n"))
                for claim in CLAIMS
                if claim["chapter"] == "forward_pass"
            ],
            name="forward_pass",
        )
    ],
)
def a_chapter_gives_its_verdicts(page):
    # A measured claim waits for its experiment; what can be shown is shown in its chapter.
    if not page.is_chapter:
        return
    printed_here = "\n".join(text for _, cell in cells(page, "code") for text in texts(cell))
    for claim in CLAIMS:
        if claim["chapter"] == page.name and claim["kind"] == "shown":
            if not re.search(rf"^verdict {claim['id']}: ", printed_here, flags=re.M):
                yield f"no cell prints the verdict on {claim['id']}: call bnlib.verdicts.shown"


# --- the rules over the whole book ---------------------------------------------------------------


def repeated_figure_names(pages):
    """Yield a fault for every figure name that the book uses twice."""
    owner = {}
    for page in pages:
        for where, cell in cells(page, "code"):
            name = figure_name(cell)
            if name and name in owner:
                yield f"{page.name}, {where}: the name {name!r} belongs to {owner[name]} already"
            owner[name] = f"{page.name}, {where}"


def unknown_figure_references(pages):
    """Yield a fault for every `{numref}` to a figure that no cell carries."""
    known = {figure_name(cell) for page in pages for _, cell in cells(page, "code")}
    for page in pages:
        for where, cell in cells(page, "markdown"):
            for name in re.findall(r"\{numref\}`(?:[^`]*<)?(fig-[^`>]+)>?`", cell["source"]):
                if name not in known:
                    yield f"{page.name}, {where}: no figure is named {name!r}"


# --- the tests -----------------------------------------------------------------------------------


def named(check):
    return check.__name__


@pytest.mark.parametrize("page", BOOK_PAGES, ids=lambda page: page.name)
@pytest.mark.parametrize("check", [check for check, _, _ in RULES], ids=named)
def test_rule(check, page):
    faults = [f"{page.name}, {fault}" for fault in check(page)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("check", "breaks", "keeps"), RULES, ids=[named(r[0]) for r in RULES])
def test_rule_can_go_red(check, breaks, keeps):
    for number, page in enumerate(breaks):
        assert list(check(page)), f"broken page {number} passes"
    for number, page in enumerate(keeps):
        assert not list(check(page)), f"page {number} keeps the rule and fails"


def test_figure_names_are_unique():
    assert not list(repeated_figure_names(BOOK_PAGES))
    twice = [made_up(pictured(), name="a"), made_up(pictured(), name="b")]
    assert list(repeated_figure_names(twice)), "the check itself is blind"


def test_figure_references_lead_somewhere():
    assert not list(unknown_figure_references(BOOK_PAGES))
    nowhere = [made_up(md("See {numref}`Figure %s <fig-lost>`."), pictured())]
    assert list(unknown_figure_references(nowhere)), "the check itself is blind"


def test_the_table_of_contents_names_every_page():
    hidden = {"_build", ".ipynb_checkpoints", "jupyter_execute"}
    found = {
        path
        for kind in ("*.ipynb", "*.md")
        for path in BOOK.rglob(kind)
        if not hidden & set(path.parts)
    }
    assert found == set(FILES), "book/_toc.yml and the files in book/ differ"


def test_the_ledger_has_an_anchor_for_every_claim():
    assert CLAIM_IDS >= {f"C{number:02}" for number in range(1, 47)}
    ledger = (BOOK / "claims.md").read_text(encoding="utf-8")
    anchors = re.findall(r'(?:^\(|id="|\{#)(c\d\d)\b', ledger, flags=re.M)
    assert sorted(anchors) == sorted(claim.lower() for claim in CLAIM_IDS)


# --- one digit changed turns nbval red -----------------------------------------------------------


MAX_DIGITS = 500  # of one text; more would take minutes


def nbval_cells(request, path):
    """nbval's own items for the cells of a notebook, sanitizing as this run is configured."""
    notebook = IPyNbFile.from_parent(request.session, path=path)
    notebook.setup_sanitize_files()
    return list(notebook.collect())


def reports_a_difference(item, outputs):
    """Whether nbval, having run the cell and got `outputs`, would report that they differ."""
    if item.options["skip"] or not item.options["check"] or item.cell.execution_count is None:
        return False
    # Its report of a difference is slow, and nobody reads it here.
    item.format_output_compare = lambda key, left, right: None
    stored = coalesce_streams(copy.deepcopy(item.cell.outputs))
    return not item.compare_outputs(coalesce_streams(outputs), stored)


def with_one_digit_changed(outputs):
    """Yield copies of a cell's outputs, each with one digit of one text another one.

    Of a text with very many digits, some hundreds spread over it take their turn.
    """
    for number, output in enumerate(outputs):
        holder = output if output.output_type == "stream" else output.get("data", {})
        for kind in holder.keys() & {"text", *TEXT_TYPES}:
            digits = list(re.finditer(r"\d", holder[kind]))
            for match in digits[:: 1 + len(digits) // MAX_DIGITS]:
                start, digit = match.start(), (int(match.group()) + 1) % 10
                changed = copy.deepcopy(outputs)
                place = changed[number] if holder is output else changed[number].data
                place[kind] = f"{holder[kind][:start]}{digit}{holder[kind][start + 1 :]}"
                yield start, changed


def unnoticed_digits(items):
    """Yield a fault for every digit in a stored text that could change without nbval noticing."""
    for item in items:
        if "optional" in tags(item.cell):
            continue
        if reports_a_difference(item, copy.deepcopy(item.cell.outputs)):
            yield f"{item.name}: nbval finds that its outputs differ from themselves"
        for position, changed in with_one_digit_changed(item.cell.outputs):
            if not reports_a_difference(item, changed):
                yield f"{item.name}: digit {position} may change unnoticed: {item.cell.source[:60]}"


@pytest.mark.parametrize("path", NOTEBOOK_FILES, ids=lambda path: path.stem)
def test_nbval_notices_every_digit(request, path):
    faults = list(unnoticed_digits(nbval_cells(request, path)))
    assert not faults, "\n".join(faults[:10])


@pytest.mark.parametrize(
    "cell",
    [
        code("x", printed("0.97"), tags=["nbval-ignore-output"]),
        code("x", printed("0.97"), tags=["nbval-skip"]),
        code("# NBVAL_IGNORE_OUTPUT", printed("0.97")),
        code("x", printed("0.97"), count=None),
        code("x", printed("97%\r100%\n")),
        code("x", shown(image_png="iVBORw0KGgo=", text_plain="0.97"), tags=["nbval-ignore-output"]),
    ],
    ids=["ignored", "skipped", "comment", "not run", "overwritten", "picture"],
)
def test_the_digit_test_can_go_red(request, tmp_path, cell):
    path = tmp_path / "made_up.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.from_dict(cell)])
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert list(unnoticed_digits(nbval_cells(request, path)))


def test_the_digit_test_reads_all_kinds_of_text(request, tmp_path):
    outputs = [printed("1"), shown(text_plain="2", text_html="3", text_markdown="4")]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.from_dict(code("x", *outputs))])
    path = tmp_path / "made_up.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    (item,) = nbval_cells(request, path)
    assert len(list(with_one_digit_changed(item.cell.outputs))) == 4
    assert not list(unnoticed_digits([item]))
