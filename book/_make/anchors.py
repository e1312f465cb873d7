"""The addresses that others link to: `book/anchors.txt` only grows.

`python book/_make/anchors.py` adds to it the pages and anchors that it does not have yet; with
`--check` it only says which. An anchor is the name of a section, a definition, a claim, a framework
or a figure. What stands in the file stays in the book: a test names an anchor that no page has any
more. A page that is renamed keeps its anchors through `book_moved` in `_config.yml`; an anchor that
is renamed stays at its place as `<span id="old-name"></span>`, which links of others still find.
"""

import json
import re
import sys
from pathlib import Path

import ledger
import yaml

BOOK = Path(__file__).resolve().parent.parent
KNOWN = BOOK / "anchors.txt"
HEAD = (
    "# Addresses of the book, written by book/_make/anchors.py. Lines are added, never removed.\n"
)
KEPT = re.compile(r'<span id="([\w-]+)"></span>')
FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1`*\s*$", re.MULTILINE | re.DOTALL)


def known():
    """Return the addresses in the file."""
    lines = KNOWN.read_text(encoding="utf-8").splitlines() if KNOWN.exists() else []
    return [line for line in lines if line and not line.startswith("#")]


def present():
    """Return the addresses that the book's files have now, in the order of its pages."""
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    return [address for page in ledger.chapters(contents) for address in addresses(page)]


def addresses(page):
    """Yield the address of a page, then those of its anchors."""
    yield page
    notebook = BOOK / f"{page}.ipynb"
    if notebook.exists():
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    else:
        cells = [{"cell_type": "markdown", "source": (BOOK / f"{page}.md").read_text("utf-8")}]
    for cell in cells:
        names = [cell.get("metadata", {}).get("mystnb", {}).get("figure", {}).get("name")]
        if cell["cell_type"] == "markdown":
            text = FENCED.sub("", "".join(cell["source"]))
            names = ledger.TARGET.findall(text) + KEPT.findall(text)
        for name in filter(None, names):
            yield f"{page}#{name.replace('_', '-')}"


def missing(wanted, found, moved):
    """Return the wanted addresses that are not found, at their page or where it has moved to."""

    def now(address):
        page, sign, anchor = address.partition("#")
        while page in moved:
            page = moved[page]
        return page + sign + anchor

    return [address for address in wanted if now(address) not in found]


def moved():
    """Return `{old page: new page}` of the settings."""
    config = yaml.safe_load((BOOK.parent / "_config.yml").read_text(encoding="utf-8"))
    return config["sphinx"]["config"].get("book_moved") or {}


def main(arguments):
    """Add what is new, or tell it."""
    had, found = known(), present()
    new = sorted(set(found) - set(had))
    if lost := missing(had, set(found), moved()):
        return f"book/anchors.txt has what no page has any more: {', '.join(lost)}"
    if new and "--check" in arguments:
        return f"New: {', '.join(new)}. Run: python book/_make/anchors.py"
    if new:
        text = HEAD + "".join(f"{address}\n" for address in sorted({*had, *new}))
        KNOWN.write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(new)} new, {len(had) + len(new)} in all: book/anchors.txt")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
