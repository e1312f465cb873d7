"""The scripts behind `make`: choosing a Python, stamps, storing notebooks."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import book_pages
import build
import environment
import home
import nbformat
import notebooks
import pytest
import turn
import whole
from environment import Interpreter, NoEnvironment
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "book" / "_make"


# --- which Python ---------------------------------------------------------------------------------


def machine(**pythons):
    """A `find` for a machine with these interpreters; None is a command that does not run."""
    found = {name.replace("_", "."): python for name, python in pythons.items()}
    return found.get


def python(*version, has_venv=True):
    return Interpreter(version, "/usr/bin/python" + ".".join(map(str, version)), has_venv)


def test_the_newest_supported_python_is_chosen():
    find = machine(python3_11=python(3, 11, 2), python3_13=python(3, 13, 0), python=python(3, 9, 0))
    assert environment.choose("", "", find).version == (3, 13, 0)


def test_a_shim_that_does_not_run_is_passed_over():
    find = machine(python3_14=None, python3_13=None, python3_11=python(3, 11, 2))
    assert environment.choose("", "", find).version == (3, 11, 2)


def test_a_python_without_venv_is_passed_over_where_another_has_it():
    find = machine(python3_13=python(3, 13, 0, has_venv=False), python3_11=python(3, 11, 2))
    assert environment.choose("", "", find).version == (3, 11, 2)


def test_the_environment_keeps_its_python_until_another_is_asked_for():
    find = machine(python3_13=python(3, 13, 0), old=python(3, 11, 2))
    assert environment.choose("", "old", find).version == (3, 11, 2)
    assert environment.choose("python3.13", "old", find).version == (3, 13, 0)


@pytest.mark.parametrize(
    ("wanted", "find", "sentence"),
    [
        ("", machine(), "No Python 3.11, 3.12, 3.13 or 3.14 was found"),
        ("", machine(python3=python(3, 10, 13)), "No Python 3.11, 3.12, 3.13 or 3.14 was found"),
        ("", machine(python3_12=python(3, 12, 1, has_venv=False)), "install python3-venv"),
        ("mine", machine(mine=python(3, 12, 1, has_venv=False)), "apt install python3.12-venv"),
        ("mine", machine(mine=python(3, 10, 13)), "PYTHON=mine is Python 3.10.13"),
        ("mine", machine(mine=python(3, 15, 0)), "PYTHON=mine is Python 3.15.0"),
        ("mine", machine(python3=python(3, 12, 1)), "PYTHON=mine does not run"),
    ],
)
def test_what_will_not_do_gets_one_sentence(wanted, find, sentence):
    with pytest.raises(NoEnvironment, match=sentence) as caught:
        environment.choose(wanted, "", find)
    assert str(caught.value).count("\n") == 0


def test_a_command_is_probed_for_version_and_venv():
    found = environment.probe(sys.executable)
    assert found.version == sys.version_info[:3]
    assert found.has_venv
    assert environment.probe("no-such-python") is None


# --- stamps ---------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6")
    (tmp_path / "pyproject.toml").write_text("[project]")
    return tmp_path


def test_a_current_environment_needs_nothing(folder):
    stamp = environment.wanted_stamp(python(3, 12, 1), folder)
    assert environment.missing_steps(stamp, stamp) == []


@pytest.mark.parametrize("stamp", ["", "cut off", "a\nb"])
def test_without_a_whole_stamp_everything_is_installed(folder, stamp):
    wanted = environment.wanted_stamp(python(3, 12, 1), folder)
    assert environment.missing_steps(stamp, wanted) == ["environment", "bnlib"]


def test_another_python_lock_or_folder_forces_a_new_environment(folder, tmp_path_factory):
    stamp = environment.wanted_stamp(python(3, 12, 1), folder)
    other_python = environment.wanted_stamp(python(3, 12, 2), folder)
    moved = folder.rename(tmp_path_factory.mktemp("new") / "moved")
    other_folder = environment.wanted_stamp(python(3, 12, 1), moved)
    moved.rename(folder)
    (folder / "requirements.lock").write_text("numpy==2.4.7")
    other_lock = environment.wanted_stamp(python(3, 12, 1), folder)
    for wanted in (other_python, other_folder, other_lock):
        assert environment.missing_steps(stamp, wanted) == ["environment", "bnlib"]


def test_a_changed_pyproject_reinstalls_bnlib_alone(folder):
    stamp = environment.wanted_stamp(python(3, 12, 1), folder)
    (folder / "pyproject.toml").write_text("[project]\nname='bnlib'")
    wanted = environment.wanted_stamp(python(3, 12, 1), folder)
    assert environment.missing_steps(stamp, wanted) == ["bnlib"]


def test_a_failed_installation_is_told_in_one_sentence():
    offline = "WARNING: Retrying\nFailed to establish a new connection: [Errno -3]\nERROR: No match"
    assert environment.explain(offline).startswith("No network: ")
    assert "(ERROR: No space)" in environment.explain("Collecting numpy\nERROR: No space\nhint\n")
    assert "\n" not in environment.explain("")


def test_python_finds_bnlib_by_a_path_that_every_locale_can_read(tmp_path):
    folder = tmp_path / os.fsdecode("책 한 권".encode())  # in every locale the same bytes
    path_file = folder / ".venv" / "lib" / "_bnlib.pth"
    path_file.parent.mkdir(parents=True)
    environment.make_relative(path_file, folder)
    line = path_file.read_text(encoding="ascii").rstrip("\n")
    assert (path_file.parent / line).resolve() == folder.resolve()


# --- consoles that are not UTF-8 ------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp949", "utf-8"])
def test_no_console_encoding_crashes_a_message(encoding):
    code = "import console; console.survive_any_encoding(); print('\\ucc45 \\u2713 done')"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=SCRIPTS,
        env=dict(os.environ, PYTHONIOENCODING=encoding),
        capture_output=True,
        check=True,
    )
    assert shown.stdout.endswith(b"done" + os.linesep.encode())


# --- the build ------------------------------------------------------------------------------------


def test_a_failed_build_shows_the_cell_and_not_the_insides_of_sphinx():
    log = [
        "reading sources... [ 50%] intro",
        "intro.ipynb: WARNING: Executing notebook failed",
        "ZeroDivisionError: division by zero",
        build.CAUSES,
        "  File sphinx/application.py",
    ]
    assert build.complaints(log) == log[1:3]


def test_after_an_unfinished_build_no_page_is_left(tmp_path, monkeypatch):
    for name in ("SITE", "DOCTREES", "BUILT"):
        monkeypatch.setattr(build, name, tmp_path / name)
    build.SITE.mkdir()
    build.BUILT.write_text("shape", encoding="utf-8")
    build.forget_unless_built_as("shape")  # as every build begins
    assert build.SITE.exists()
    assert not build.BUILT.exists()
    build.forget_unless_built_as("shape")  # the one before did not come to its end
    assert not build.SITE.exists()


def test_a_kill_while_the_old_pages_are_dropped_leaves_no_mark(tmp_path, monkeypatch):
    for name in ("SITE", "DOCTREES", "BUILT"):
        monkeypatch.setattr(build, name, tmp_path / name)
    build.BUILT.write_text("shape", encoding="utf-8")

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(build.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        build.forget_unless_built_as("another shape")
    assert not build.BUILT.exists()


def test_a_build_on_a_full_disk_ends_with_a_sentence(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "build.log")

    monkeypatch.setattr(build, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(build, "build", full)
    assert build.main() == 1
    told = "The book was not built: No space left on device (build.log)\n"
    assert capsys.readouterr().err == told


def test_a_page_is_read_again_when_its_files_changed_whatever_their_dates(tmp_path):
    for name in ("a.md", "b.md", "data.yml"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    env = SimpleNamespace(
        srcdir=tmp_path,
        doc2path=lambda name: str(tmp_path / f"{name}.md"),
        dependencies={"b": {"data.yml", "not there.yml"}},
        found_docs={"a", "b"},
    )

    def changed():
        return sorted(book_pages.changed_pages(None, env, set(), set(), set()))

    def build_them(*pages):
        book_pages.remember_sources(None, env, pages)
        book_pages.remember_dependencies(None, env)

    assert changed() == ["a", "b"]
    build_them("a", "b")
    assert changed() == []
    for name, pages in (("a.md", ["a"]), ("data.yml", ["b"])):
        (tmp_path / name).write_text("new", encoding="utf-8")
        os.utime(tmp_path / name, (0, 0))
        assert changed() == pages
        build_them(*pages)
        assert changed() == []
    (tmp_path / "not there.yml").write_text("new", encoding="utf-8")
    assert changed() == ["b"]
    book_pages.remember_sources(None, env, ["b"])
    (tmp_path / "b.md").write_text("saved while it is read", encoding="utf-8")
    book_pages.remember_dependencies(None, env)
    assert changed() == ["b"]


def test_all_pages_are_written_when_another_s_title_or_label_has_changed():
    title = SimpleNamespace(astext=lambda: "Begin")
    domains = {"std": {"labels": {}}, "math": {"objects": {}}}
    env = SimpleNamespace(titles={"a": title}, found_docs={"a", "b"}, domaindata=domains)
    assert book_pages.rewritten_pages(None, env) == ["a", "b"]
    assert book_pages.rewritten_pages(None, env) == []
    title.astext = lambda: "Start"
    assert book_pages.rewritten_pages(None, env) == ["a", "b"]
    domains["std"]["labels"]["here"] = ("a", "here", "Here")
    assert book_pages.rewritten_pages(None, env) == ["a", "b"]
    assert book_pages.rewritten_pages(None, env) == []


def test_what_was_executed_while_the_code_changed_is_not_kept(tmp_path, monkeypatch):
    cache, told = tmp_path / "cache", []
    config = SimpleNamespace(bnlib_digest="a" * 32, nb_execution_cache_path=str(cache))
    monkeypatch.setattr(book_pages.logger, "warning", told.append)
    cache.mkdir()
    for now, kept in (("a" * 16, True), ("b" * 16, False)):
        monkeypatch.setattr(book_pages, "digest", lambda *_, now=now: now)
        book_pages.forget_mixed_build(SimpleNamespace(config=config), None)
        assert cache.exists() == kept == (told == [])


def test_dropping_is_all_or_nothing(tmp_path, monkeypatch):
    cache = tmp_path / "a1b2"
    cache.mkdir()
    (cache / "global.db").write_bytes(b"")

    def killed(path, **_):
        if path.exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(book_pages.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            book_pages.drop(cache)
    assert not cache.exists()  # though its files are still there
    cache.write_text("a file", encoding="utf-8")
    book_pages.drop(cache)
    assert list(tmp_path.iterdir()) == []


# --- whole, and one at a time ---------------------------------------------------------------------


def test_a_second_run_says_that_it_waits_and_goes_on_after_the_first(tmp_path, capsys):
    order = []

    def second():
        with turn.taken(tmp_path / "new" / "lock", "build"):
            order.append("second")

    waiting = threading.Thread(target=second)
    with turn.taken(tmp_path / "new" / "lock", "build"):
        waiting.start()
        waiting.join(0.3)
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]
    told = "Another build is under way in this folder: waiting for its end.\n"
    assert capsys.readouterr().out == told


HELD = """
import subprocess, sys, turn
from pathlib import Path
with turn.taken(Path(sys.argv[1]), "build") as descriptors:
    program = "input('begun')"
    subprocess.Popen([sys.executable, "-c", program], pass_fds=descriptors).wait()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows hands no descriptor on")
def test_the_turn_of_a_killed_run_is_over_when_its_child_is(tmp_path):
    command = [sys.executable, "-c", HELD, tmp_path / "lock"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    run = subprocess.Popen(command, cwd=SCRIPTS, **pipes)
    assert run.stdout.read(5) == b"begun"
    run.kill()
    run.wait()
    with open(tmp_path / "lock", "a") as file:
        assert not turn.free(file)  # its child works on
        run.stdin.close()
        assert run.stdout.read() == b""  # and has ended
        assert turn.free(file)
    run.stdout.close()


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "page.md"
    whole.write(path, "old, 가\n")

    def full(*_):
        raise OSError(28, "No space left on device")

    owner = whole.os if call == "fsync" else whole
    monkeypatch.setattr(owner, call, full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        whole.write(path, b"new")
    assert path.read_bytes() == "old, 가\n".encode()
    assert [one.name for one in tmp_path.iterdir()] == ["page.md"]


def test_what_a_killed_run_left_beside_is_removed(tmp_path):
    (tmp_path / f"a.ipynb{whole.BESIDE}").write_text("{", encoding="utf-8")
    (tmp_path / "a.ipynb").write_text("{}", encoding="utf-8")
    whole.clear(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.ipynb"]


# --- storing notebooks ----------------------------------------------------------------------------


def executed():
    """A notebook as a kernel leaves it."""
    view = {notebooks.WIDGET_VIEW: {"model_id": "5f0c"}, "text/plain": "<moving figure>"}
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell(
            "show()",
            execution_count=7,
            metadata={"execution": {"iopub.execute_input": "2026-01-01"}, "tags": ["hide-input"]},
            outputs=[
                new_output("execute_result", data=view, execution_count=7),
                new_output("display_data", data={notebooks.WIDGET_VIEW: {"model_id": "77aa"}}),
                new_output("stream", name="stdout", text="1.5\n"),
            ],
        ),
    ]
    cells[0]["id"], cells[1]["id"] = "title", "figure"
    metadata = {
        "widgets": {"state": {"5f0c": {}}},
        "kernelspec": {"display_name": ".venv", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "version": "3.11.7"},
    }
    return new_notebook(cells=cells, metadata=metadata)


def test_nothing_volatile_is_stored():
    stored = notebooks.strip(executed(), "a.ipynb")
    text = notebooks.serialize(stored, "a.ipynb")
    for volatile in ("widget", "5f0c", "77aa", "iopub", "3.11.7", ".venv"):
        assert volatile not in text
    title, figure = stored.cells
    assert (title.id, figure.id) == ("title", "figure")
    assert figure.execution_count == figure.outputs[0].execution_count == 1
    assert figure.metadata == {"tags": ["hide-input"]}
    assert [output.output_type for output in figure.outputs] == ["execute_result", "stream"]
    assert figure.outputs[0].data == {"text/plain": "<moving figure>"}


def test_storing_twice_gives_the_same_bytes():
    once = notebooks.serialize(notebooks.strip(executed(), "a.ipynb"), "a.ipynb")
    again = notebooks.strip(nbformat.reads(once, as_version=4), "a.ipynb")
    assert notebooks.serialize(again, "a.ipynb") == once
    assert once.endswith("}\n")


def test_text_on_stderr_is_refused():
    notebook = executed()
    notebook.cells[1].outputs.append(new_output("stream", name="stderr", text="Warning"))
    with pytest.raises(notebooks.NotebookError, match=r"a\.ipynb, cell figure: wrote to stderr"):
        notebooks.strip(notebook, "a.ipynb")


def test_a_notebook_too_large_is_refused():
    notebook = executed()
    notebook.cells[0].source = "x" * notebooks.MAX_BYTES
    with pytest.raises(notebooks.NotebookError, match=r"a\.ipynb: must not exceed 400,000 bytes"):
        notebooks.serialize(notebooks.strip(notebook, "a.ipynb"), "a.ipynb")


def test_the_author_sees_which_numbers_moved():
    old = notebooks.serialize(notebooks.strip(executed(), "a"), "a")
    changes = notebooks.difference(old, old.replace("1.5", "1.6"), "a").split("\n")
    assert "-1.5" in changes
    assert "+1.6" in changes
    assert notebooks.difference(old, old, "a") == ""


def test_a_failing_cell_leaves_every_notebook_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "BOOK", tmp_path)
    for name, source in (("good", "1 + 1"), ("failing", "1 / 0")):
        nbformat.write(new_notebook(cells=[new_code_cell(source)]), tmp_path / f"{name}.ipynb")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    sentence = notebooks.main([])
    assert "failing.ipynb: a cell failed" in sentence
    assert "ZeroDivisionError" in sentence
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_notebook_saved_while_it_ran_is_left_as_it_is(tmp_path, capsys):
    path = tmp_path / "a.ipynb"
    path.write_text("saved meanwhile", encoding="utf-8")
    assert not notebooks.store(path, "read before", "run")
    assert path.read_text(encoding="utf-8") == "saved meanwhile"
    assert capsys.readouterr().out == "a.ipynb: somebody has saved it meanwhile, left as it is\n"
    assert notebooks.store(path, "saved meanwhile", "saved meanwhile")
    assert capsys.readouterr().out == "a.ipynb: unchanged\n"


def test_a_full_disk_ends_with_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "a.ipynb.new")

    monkeypatch.setattr(notebooks, "BOOK", tmp_path / "book")
    monkeypatch.setattr(notebooks, "refresh_all", full)
    sentence = notebooks.main([])
    assert sentence.startswith(
        "notebooks: a.ipynb.new must be written, got 'No space left on device'"
    )
    assert "\n" not in sentence


# --- a home that cannot be written ----------------------------------------------------------------


COMPLAINERS = "import matplotlib.font_manager, IPython; IPython.paths.get_ipython_dir()"


def test_where_the_home_cannot_be_written_nobody_complains(tmp_path):
    path = tmp_path / "book" / "_make" / "home.py"
    path.parent.mkdir(parents=True)
    path.write_bytes(Path(home.__file__).read_bytes())
    done = subprocess.run(
        [sys.executable, path, "-c", COMPLAINERS],
        env={key: value for key, value in os.environ.items() if key not in home.KEPT}
        | {"HOME": f"{os.devnull}/home"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_home_that_can_be_written_and_what_somebody_named_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "FOLDER", tmp_path)
    monkeypatch.setattr(os, "environ", {"MPLCONFIGDIR": "mine"})
    monkeypatch.setattr(home, "writable", lambda: True)
    home.replace_if_read_only()
    assert os.environ == {"MPLCONFIGDIR": "mine"}
    monkeypatch.setattr(home, "writable", lambda: False)
    home.replace_if_read_only()
    assert os.environ.keys() == home.KEPT.keys()
    assert os.environ.pop("MPLCONFIGDIR") == "mine"
    assert all(Path(folder).is_dir() for folder in os.environ.values())


# --- the picture of the README --------------------------------------------------------------------


def test_the_readme_s_picture_is_what_the_opening_draws():
    opening = nbformat.read(ROOT / "book" / "intro.ipynb", as_version=4)
    assert notebooks.README_PICTURE.read_bytes() == notebooks.readme_picture(opening)
    picture = notebooks.README_PICTURE.relative_to(ROOT).as_posix()
    assert f"]({picture})" in (ROOT / "README.md").read_text(encoding="utf-8")
