"""The front page's list of chapters and workshops, made from what these pages say of themselves.

`python book/_make/cards.py` writes it into `book/intro.ipynb`, the cell `chapters`. Minutes, needs
and the first of the things to learn are the words of the page.
"""

import json
import re
import sys
from pathlib import Path

import ledger
import nbformat
import yaml

BOOK = Path(__file__).resolve().parent.parent
INTRO = BOOK / "intro.ipynb"
CELL = "chapters"
FIRST, LAST = "signal_propagation", "relatives"  # of the chapters; workshops follow

MINUTES = re.compile(r"\b[Aa]bout (\d+) minutes")
NEEDS = re.compile(r"\bYou need (.+?)\.(?=\s|$)")
LEARN = re.compile(r"## What you will learn\s+- (.+?)[;.]\n")
CARD = """\
<div class="bn-card">

**{number}[{title}]({page}.ipynb)**\\
{learn}.\\
<span class="bn-kind">{minutes} minutes. Needs {needs}.</span>

</div>"""
LISTS = """\
(chapters)=
## Twelve chapters

<div class="bn-cards">

{chapters}

</div>

(workshops)=
## Workshops, in any order

<div class="bn-cards">

{workshops}

</div>"""


def facts(page):
    """Return title, minutes, needs and the first thing to learn, in the words of the page."""
    notebook = json.loads((BOOK / f"{page}.ipynb").read_text(encoding="utf-8"))
    text = "\n".join(
        "".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"
    )
    learn = LEARN.search(text)[1]
    return {
        "title": ledger.title_of(page, notebook),
        "minutes": MINUTES.search(text)[1],
        "needs": NEEDS.search(text)[1],
        "learn": learn[0].upper() + learn[1:],
    }


def cards():
    """Return the lists as Markdown, in the order of the table of contents."""
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page for page in ledger.chapters(contents) if (BOOK / f"{page}.ipynb").exists()]
    first, last = pages.index(FIRST), pages.index(LAST) + 1
    chapters = [
        CARD.format(number=f"{number}. ", page=page, **facts(page))
        for number, page in enumerate(pages[first:last], start=1)
    ]
    workshops = [CARD.format(number="", page=page, **facts(page)) for page in pages[last:]]
    return LISTS.format(chapters="\n\n".join(chapters), workshops="\n\n".join(workshops))


def written(notebook):
    """Return the cell of the front page that has the lists."""
    (cell,) = (cell for cell in notebook.cells if cell.get("id") == CELL)
    return cell


def main():
    """Write the lists into the front page."""
    notebook = nbformat.read(INTRO, as_version=4)
    written(notebook).source = cards()
    INTRO.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
