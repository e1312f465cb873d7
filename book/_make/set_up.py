"""The cell that lets a notebook run where the book is not installed, as on Colab.

It stands in the notebooks only when `book_repository` in `_config.yml` names where they come from:
`make notebooks` puts it below the title, or takes it away. The pages do not show it, and where
bnlib is installed it does nothing.
"""

from pathlib import Path

import nbformat
import yaml

CONFIG = Path(__file__).resolve().parent.parent.parent / "_config.yml"
ID = "set-up"
CODE = """\
# Where bnlib is missing, as on Colab, fetch the book and install it.
import importlib.util

if importlib.util.find_spec("bnlib") is None:
    import os
    import subprocess
    import sys

    source = "{address}"
    get = ["git", "clone", "-q", "--depth", "1", source, "the-book"]
    subprocess.run(get, check=True)
    os.chdir("the-book/book")  # results/ is found from here
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "..[plots,experiments]"], check=True)
    importlib.invalidate_caches()"""


def repository():
    """Return the setting `book_repository`."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return config["sphinx"]["config"]["book_repository"]


def code(address):
    """Return the code of the cell, for the address of a git repository."""
    return CODE.format(address=address)


def put(notebook, repository):
    """Put the cell below the title of a notebook, in place, or take it away without repository."""
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != ID]
    if repository:
        cell = nbformat.v4.new_code_cell(code(f"https://github.com/{repository}"), id=ID)
        cell.metadata["tags"] = ["remove-cell"]
        notebook.cells.insert(1, cell)
    return notebook
