"""Notebooks are executed several at a time, and MyST-NB finds the results in its cache."""

import importlib.util
import shutil
import threading
from types import SimpleNamespace

import book_pages
import nbformat
import pytest
from ledger import BOOK

pytest.importorskip("jupyter_cache")


@pytest.fixture
def extension():
    path = BOOK / "_extensions" / "side_by_side.py"
    specification = importlib.util.spec_from_file_location("side_by_side", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def book(tmp_path):
    """Three notebooks, a page without code, and what the extension asks of Sphinx."""
    for name in ("one", "two", "wrong"):
        cells = [nbformat.v4.new_code_cell(f"print({name!r})")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    config = SimpleNamespace(
        nb_execution_cache_path=str(tmp_path / "cache"), nb_execution_timeout=60
    )
    suffix = {"words": ".md"}
    env = SimpleNamespace(doc2path=lambda name: str(tmp_path / (name + suffix.get(name, ".ipynb"))))
    return SimpleNamespace(config=config), env, ["one", "words", "two", "wrong"]


def test_what_ran_is_cached_and_what_failed_is_left_to_myst_nb(extension, book, monkeypatch):
    app, env, pages = book
    together, ran = threading.Barrier(2, timeout=30), []

    def execute(notebook, *, cwd, timeout, allow_errors):
        (cell,) = notebook.cells
        ran.append(cell.source)
        assert timeout == 60 and not allow_errors
        if "wrong" in cell.source:
            return SimpleNamespace(nb=notebook, time=0.1, err=ValueError())
        together.wait()  # two that wait for each other end only side by side
        cell.outputs = [nbformat.v4.new_output("stream", text="done\n")]
        return SimpleNamespace(nb=notebook, time=0.1, err=None)

    monkeypatch.setattr(extension, "single_nb_execution", execute)
    monkeypatch.setattr(extension.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(extension.os, "environ", {})
    extension.execute_side_by_side(app, env, pages)
    assert sorted(ran) == ["print('one')", "print('two')", "print('wrong')"]
    assert extension.os.environ == {"OPENBLAS_NUM_THREADS": "1"}

    ran.clear()
    extension.execute_side_by_side(app, env, ["wrong"])
    extension.execute_side_by_side(app, env, pages[:3])
    assert ran == ["print('wrong')"]
    cache = extension.get_cache(app.config.nb_execution_cache_path)
    notebook = nbformat.read(env.doc2path("one"), as_version=4)
    _, merged = cache.merge_match_into_notebook(notebook)
    assert merged.cells[0].outputs[0].text == "done\n"


def torn(cache, key):
    (cache.path / "executed" / key / "base.ipynb").write_text('{"cells": [', encoding="utf-8")


def gone(cache, key):
    (cache.path / "executed" / key / "base.ipynb").unlink()


def folder_gone(cache, key):
    shutil.rmtree(cache.path / "executed" / key)


def not_recorded(cache, key):
    gone(cache, key)
    cache.db.dispose()
    (cache.path / "global.db").unlink()


def without_tables(cache, key):
    cache.db.dispose()
    (cache.path / "global.db").write_bytes(b"")


def damaged(cache, key):
    cache.db.dispose()
    (cache.path / "global.db").write_bytes(b"SQLite format 3\0" + bytes(5000))


LEFT = [torn, gone, folder_gone, not_recorded, without_tables, damaged]


@pytest.mark.parametrize("leave", LEFT)
def test_what_a_killed_build_has_left_in_the_cache_is_executed_again(
    extension, book, monkeypatch, leave
):
    app, env, _ = book
    path = env.doc2path("one")
    ran = []

    def execute(notebook, **_):
        ran.append(1)
        notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="done\n")]
        return SimpleNamespace(nb=notebook, time=0.1, err=None)

    monkeypatch.setattr(extension, "single_nb_execution", execute)
    extension.execute_side_by_side(app, env, ["one"])
    cache = extension.get_cache(app.config.nb_execution_cache_path)
    notebook = nbformat.read(path, as_version=4)
    leave(cache, cache.create_hashed_notebook(notebook)[1])
    for _ in range(2):
        extension.execute_side_by_side(app, env, ["one"])
        cache = extension.get_cache(app.config.nb_execution_cache_path)
        _, merged = cache.merge_match_into_notebook(notebook)
        assert merged.cells[0].outputs[0].text == "done\n"
    assert len(ran) == 2


def test_the_ledger_reads_what_was_executed_and_not_what_is_stored(
    extension, book, monkeypatch, tmp_path
):
    app, env, _ = book

    def execute(notebook, **_):
        notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="new\n")]
        return SimpleNamespace(nb=notebook, time=0.1, err=None)

    monkeypatch.setattr(extension, "single_nb_execution", execute)
    path = tmp_path / "one.ipynb"
    stored = nbformat.read(path, as_version=4)
    stored.cells[0].outputs = [nbformat.v4.new_output("stream", text="old\n")]
    nbformat.write(stored, path)
    extension.execute_side_by_side(app, env, ["one"])
    app.outdir, app.env = tmp_path / "build" / "html", env
    env.found_docs = {"one", "two", "words"}
    as_myst_nb_writes = tmp_path / "build" / "jupyter_execute" / "one.ipynb"
    as_myst_nb_writes.parent.mkdir(parents=True)
    nbformat.write(stored, as_myst_nb_writes)
    assert book_pages.executed_notebooks(app) == [as_myst_nb_writes]
    read = nbformat.read(as_myst_nb_writes, as_version=4)
    assert read.cells[0].outputs[0].text == "new\n"
