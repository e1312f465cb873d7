"""`make notebooks`: run notebooks again and store what they print.

    python book/_make/notebooks.py [NAME ...]

Without names it takes all of `book/*.ipynb`. Two runs give the same bytes. It prints which lines of
text have changed; if a cell fails, nothing at all is written. The ledger page is renewed last.
"""

import base64
import concurrent.futures
import difflib
import os
import sys
from pathlib import Path

import console
import ledger
import nbformat
import set_up
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BOOK = Path(__file__).resolve().parent.parent
PROCESSES = 2
MAX_BYTES = 400_000
CELL_SECONDS = 300

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
README_PICTURE = BOOK / "_assets" / "company.png"
# What editors and kernels write into a cell and no reader needs.
VOLATILE = ("execution", "ExecuteTime", "collapsed", "scrolled", "trusted")


class NotebookError(Exception):
    """A notebook cannot be stored as it is; the message names the cell."""


def execute(path):
    """Return the notebook at `path` with fresh outputs, run in its own folder."""
    os.environ.pop("BNLIB_RENDER", None)  # a stored picture is the ordinary one, not the page's
    notebook = set_up.put(nbformat.read(path, as_version=4), set_up.repository())
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns that TCP is not encrypted
    )
    try:
        return client.execute()
    except CellExecutionError as error:
        raise NotebookError(f"{path.name}: a cell failed\n{console.plain(str(error))}") from None


def strip(notebook, name):
    """Remove, in place, all that changes from run to run, and number the cells from 1."""
    metadata = notebook.metadata
    metadata.pop("widgets", None)
    metadata.update(kernelspec=dict(KERNELSPEC), language_info=dict(LANGUAGE))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    count = 0
    for index, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{index}")
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            count += 1
            strip_code(cell, count, f"{name}, cell {cell.id}")
    return notebook


def strip_code(cell, count, where):
    """Give a code cell its number and clean its outputs."""
    cell.execution_count = count
    for output in cell.outputs:
        if output.get("name") == "stderr":
            raise NotebookError(f"{where}: wrote to stderr:\n{output.text}")
        if output.output_type == "execute_result":
            output.execution_count = count
        if "data" in output:
            output.data.pop(WIDGET_VIEW, None)
    cell.outputs = [output for output in cell.outputs if output.get("data", True)]


def serialize(notebook, name):
    """Return the notebook's text as it is stored."""
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    size = len(text.encode("utf-8"))
    if size > MAX_BYTES:
        raise NotebookError(f"{name}: must not exceed {MAX_BYTES:,} bytes, has {size:,}")
    return text


def refresh(path):
    """Return the text to store for the notebook at `path`, run again."""
    return serialize(strip(execute(path), path.name), path.name)


def printed_lines(notebook):
    """Return all text among the outputs, line by line, each cell under its id."""
    lines = []
    for cell in notebook.cells:
        text = ledger.output_text(cell).strip("\n")
        if text:
            lines += [f"[{cell.get('id', '')}]", *text.split("\n")]
    return lines


def difference(old, new, name):
    """Return the unified difference of two stored notebooks' printed lines, "" if there is none."""
    before, after = (printed_lines(nbformat.reads(text, as_version=4)) for text in (old, new))
    return "\n".join(difflib.unified_diff(before, after, name, name, n=1, lineterm=""))


def replace(path, text):
    """Write a file so that whoever reads it meanwhile sees the old or the new one, whole."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, encoding="utf-8", newline="\n")
    beside.replace(path)


def readme_picture(notebook):
    """Return the PNG that the README shows: what the cell `hero` of the opening draws."""
    (cell,) = (cell for cell in notebook.cells if cell.get("id") == "hero")
    return base64.b64decode(cell.outputs[0].data["image/png"])


def chosen(names):
    """Return the paths of the notebooks with these names (all without any)."""
    if not names:
        return sorted(BOOK.glob("*.ipynb"))
    paths = [BOOK / (Path(name).name.removesuffix(".ipynb") + ".ipynb") for name in names]
    for path in paths:
        if not path.exists():
            raise NotebookError(f"There is no notebook book/{path.name}.")
    return paths


def main(names):
    """Refresh the notebooks, then the ledger; return None or what went wrong."""
    try:
        paths = chosen(names)
        with concurrent.futures.ProcessPoolExecutor(PROCESSES) as pool:
            texts = list(pool.map(refresh, paths))
    except NotebookError as error:
        return f"{error}\nNothing was written."
    for path, text in zip(paths, texts, strict=True):
        old = path.read_text(encoding="utf-8")
        if text == old:
            print(f"{path.name}: unchanged")
        else:
            replace(path, text)
            print(f"{path.name}: written\n{difference(old, text, path.name)}".rstrip())
    README_PICTURE.write_bytes(readme_picture(nbformat.read(BOOK / "intro.ipynb", as_version=4)))
    return ledger.main([])


if __name__ == "__main__":
    console.survive_any_encoding()
    sys.exit(main(sys.argv[1:]))
