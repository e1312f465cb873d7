"""`make notebooks`: run notebooks again and store what they print.

    python book/_make/notebooks.py [NAME ...]

Without names it takes all of `book/*.ipynb`. Two runs give the same bytes. It prints which lines of
text have changed; if a cell fails, nothing at all is written. The ledger page is renewed last.
A notebook that somebody saves meanwhile is left as it is. A second run waits for the first.
"""

import asyncio
import base64
import difflib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import console
import home
import ledger
import nbformat
import set_up
import turn
import whole
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BOOK = Path(__file__).resolve().parent.parent
KERNELS = 2  # at a time
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


def execute(path, text):
    """Return the notebook of `path`, given as text, with fresh outputs, run in its own folder."""
    notebook = set_up.put(nbformat.reads(text, as_version=4), set_up.repository())
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns that TCP is not encrypted
    )
    try:
        return asyncio.run(client.async_execute())
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
    """Return the text of the notebook at `path`, and the text to store once it was run again."""
    old = path.read_text(encoding="utf-8")
    return old, serialize(strip(execute(path, old), path.name), path.name)


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


def store(path, old, text):
    """Write what a run gave, and say so; return whether the notebook was left alone meanwhile."""
    if path.read_text(encoding="utf-8") != old:
        print(f"{path.name}: somebody has saved it meanwhile, left as it is")
        return False
    if text == old:
        print(f"{path.name}: unchanged")
    else:
        whole.write(path, text)
        print(f"{path.name}: written\n{difference(old, text, path.name)}".rstrip())
    return True


def refresh_all(names):
    """Refresh the notebooks, then the ledger; return None or what went wrong."""
    whole.clear(BOOK)
    paths = chosen(names)
    os.environ.pop("BNLIB_RENDER", None)  # a stored picture is the ordinary one, not the page's
    # Threads: each waits for a kernel, which ends when this process does, even when it is killed.
    with ThreadPoolExecutor(KERNELS) as pool:
        texts = list(pool.map(refresh, paths))
    left = [path.name for path, own in zip(paths, texts, strict=True) if not store(path, *own)]
    picture = readme_picture(nbformat.read(BOOK / "intro.ipynb", as_version=4))
    whole.write(README_PICTURE, picture)
    again = f"{', '.join(left)}: saved while it ran: run make notebooks again" if left else None
    return ledger.main([]) or again


def main(names):
    """Refresh the notebooks when nobody else does; return None or what went wrong."""
    try:
        home.replace_if_read_only()
        with turn.taken(BOOK.parent / "_build" / "notebooks.lock", "run of the notebooks"):
            return refresh_all(names)
    except NotebookError as error:
        return f"{error}\nNothing was written."
    except OSError as error:
        return (
            f"notebooks: {error.filename or BOOK} must be written, got {error.strerror!r}: what is "
            "told above is stored, every other file is as it was; repeat the command afterwards"
        )


if __name__ == "__main__":
    console.survive_any_encoding()
    sys.exit(main(sys.argv[1:]))
