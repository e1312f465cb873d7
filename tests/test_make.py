"""The scripts behind `make`: choosing a Python, stamps, storing notebooks, the ledger."""

import os
import subprocess
import sys
from pathlib import Path

import build
import environment
import ledger
import nbformat
import notebooks
import pytest
from environment import Interpreter, NoEnvironment
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

from bnlib.verdicts import Contrast, Finding, Interval, Rule, Verdict

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
    folder = tmp_path / "책 한 권"
    path_file = folder / ".venv" / "lib" / "_bnlib.pth"
    path_file.parent.mkdir(parents=True)
    environment.make_relative(path_file, folder)
    line = path_file.read_text(encoding="ascii").rstrip("\n")
    assert (path_file.parent / line).resolve() == folder.resolve()


# --- consoles that are not UTF-8 ------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp949", "utf-8"])
def test_no_console_encoding_crashes_a_message(encoding):
    code = "import console; console.survive_any_encoding(); print('책 \\u2713 done')"
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


# --- the ledger -----------------------------------------------------------------------------------


def claim(name, post, en, ko, **more):
    return {"id": name, "post": post, "kind": "shown", "en": en, "ko": ko, **more}


CLAIMS = [
    claim("C01", "0", "Scale\nmatters.", "크기가 중요하다."),
    claim("C05", "0, 1", "Mean 0.", "평균은 0이다."),
    claim("C09", "1 (against 2)", "No.", "아니다.", note="Yes."),
]


def chapter(*printed, target=""):
    """A chapter whose one code cell has printed these lines."""
    output = new_output("stream", name="stdout", text="\n".join(printed) + "\n")
    title = new_markdown_cell(f"# Follow the numbers\n{target}")
    return new_notebook(cells=[title, new_code_cell("show()", outputs=[output])])


def paragraphs(*chapters, rules=()):
    """The ledger's paragraphs by anchor."""
    page = ledger.ledger(CLAIMS, {f"chapter_{i}": book for i, book in enumerate(chapters)}, rules)
    parts = [part for part in page.split("\n\n") if part.startswith("(c")]
    return {part.split(")=")[0][1:]: part for part in parts if not part.startswith("(claims)")}


def test_without_a_verdict_a_claim_is_not_yet_tested():
    rows = paragraphs(chapter("nothing about it"))
    assert list(rows) == ["c01", "c05", "c09"]
    assert all("not yet tested" in row for row in rows.values())
    assert "Scale matters." in rows["c01"]
    assert '<span lang="ko">크기가 중요하다.</span>' in rows["c01"]
    assert "posts 0, 1" in rows["c05"]
    assert "Yes." in rows["c09"]


def test_a_verdict_line_gives_the_verdict_and_the_place():
    rows = paragraphs(chapter("other", "verdict C05: holds when eps = 0"))
    assert "**holds when eps = 0** in [Follow the numbers](chapter_0.ipynb)" in rows["c05"]
    assert "not yet tested" in rows["c01"]
    rows = paragraphs(chapter("verdict C05: holds", target="\n(zero-mean)="))
    assert "**holds** in [Follow the numbers](#zero-mean)" in rows["c05"]


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        (["verdict C99: holds"], "prints a verdict for C99"),
        (["verdict C05: holds", "verdict C05: does not hold here"], "C05 must have one verdict"),
        (
            ["verdict C05 (a): holds", "verdict C05 (a): does not hold here"],
            r"C05 \(a\) must have one verdict",
        ),
        (["verdict C99 (a): holds"], "prints a verdict for C99"),
        (["verdict C05: probably"], "no verdict that I know"),
        (["verdict C05 (): holds"], "no verdict that I know"),
        (["verdict C05 (a) holds"], "no verdict that I know"),
        (["verdict C5: holds"], "no verdict that I know"),
    ],
)
def test_verdicts_that_do_not_fit_are_refused(printed, sentence):
    with pytest.raises(ledger.LedgerError, match=sentence):
        paragraphs(chapter(*printed))


def test_two_chapters_cannot_disagree():
    with pytest.raises(ledger.LedgerError, match="C05 must have one verdict"):
        paragraphs(chapter("verdict C05: holds"), chapter("verdict C05: not resolved here"))


def test_a_claim_shows_all_its_parts_and_where_they_stand():
    first = chapter(
        "verdict C05 (the mean): holds",
        "verdict C05 (the variance): holds when eps = 0",
        "verdict C05 (the mean): holds",
        target="\n(zero-mean)=",
    )
    rows = paragraphs(first, chapter("verdict C05: does not hold here"))
    assert (
        rows["c05"]
        .splitlines()[1]
        .endswith(
            ": **holds** (the mean), **holds when eps = 0** (the variance) in"
            " [Follow the numbers](#zero-mean);"
            " **does not hold here** in [Follow the numbers](chapter_1.ipynb)\\"
        )
    )


def finding(name, estimate, *, wanted="more", scale="linear", answer="yes", seeds=20):
    smallest = {"most": 0.5, "more": 1.25 if scale == "log" else 0.01}[wanted]
    contrast = Contrast(name, "loss", {"a": 1.0}, wanted, smallest, scale)
    return Finding(
        contrast, Interval(estimate, 0.9 * estimate, 1.1 * estimate), 0.01, answer, seeds
    )


def measured(*findings, verdict="holds", part="", claim="C09"):
    """A rule of these findings, and its verdict."""
    rule = Rule(claim, "A ratio\nabove x1.25.", tuple(f.contrast for f in findings), part=part)
    return rule, Verdict(rule, verdict, findings, {}, 46)


def test_a_rule_is_told_before_there_are_results():
    rule, _ = measured(finding("BN / plain", 1.5, scale="log"))
    row = paragraphs(chapter("…"), rules=[(rule, None)])["c09"]
    assert "): not yet tested\\\n" in row
    assert "\\\n*Rule.* A ratio above x1.25.\\\n*Note.* Yes." in row
    assert "Measured" not in row


def test_effects_follow_their_rule():
    rules = [
        measured(
            finding("BN / plain", 1.5, scale="log"),
            finding("BN - plain", -0.0123456),
            finding("BN trains", 0.9, wanted="most"),
            finding("steps", 1234.56),
        ),
        measured(finding("gap", 0.0, seeds=40), part="the gap", verdict="not resolved here"),
    ]
    page = chapter("verdict C09: holds", "verdict C09 (the gap): not resolved here")
    row = paragraphs(page, rules=rules)["c09"]
    assert (
        "\\\n*Measured.* BN / plain: x1.50 [1.35, 1.65]; BN - plain: -0.0123 [-0.0111, -0.0136];"
        " BN trains: 18 of 20 seeds [0.810, 0.990]; steps: 1235 [1111, 1358];"
        " 20 seeds, one family of 46 intervals\\\n" in row
    )
    assert (
        "*Rule (the gap).* A ratio above x1.25.\\\n*Measured (the gap).* gap: 0 [0, 0]; 40" in row
    )


def test_of_many_effects_the_extremes_are_told():
    many = [finding(f"scale {i}", 1.0 + i, answer="yes" if i else "no") for i in range(16)]
    row = paragraphs(chapter("verdict C09: holds"), rules=[measured(*many)])["c09"]
    assert "*Measured.* 15 of 16 contrasts say yes; smallest: scale 0: 1.00 [" in row
    assert "; largest: scale 15: 16.0 [" in row
    assert "scale 7" not in row


def test_a_part_that_waits_is_named_and_not_counted():
    rule, _ = measured(finding("gap", 1.0), part="the gap")
    page = {"a": chapter("verdict C09: holds", "verdict C05: holds")}
    text = ledger.ledger(CLAIMS, page, [(rule, None)])
    assert "**holds** in [Follow the numbers](a.ipynb); not yet tested (the gap)" in text
    assert "Tested so far: 1 of 3." in text


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (["C09: holds", "C09 (on MNIST): holds"], "They agree."),
        (
            ["C09: holds", "C09 (on MNIST): not resolved here"],
            "They disagree: **holds** on the digits, **not resolved here** on MNIST.",
        ),
        (
            ["C09 (a): holds", "C09 (b): holds", "C09 (b, on MNIST): holds when cold",
             "C09 (a, on MNIST): holds"],
            "They disagree (b): **holds** on the digits, **holds when cold** on MNIST. "
            "They agree (a).",
        ),
        (["C09 (a): holds"], None),
        (["C09 (a, on MNIST): holds"], None),
    ],
)  # fmt: skip
def test_where_mnist_and_the_digits_disagree_is_said(printed, told):
    row = paragraphs(chapter(*(f"verdict {line}" for line in printed)))["c09"]
    if told is None:
        assert "MNIST and the digits" not in row
    else:
        assert f"*MNIST and the digits.* {told}\\\n" in row


def test_a_printed_verdict_must_be_that_of_the_results():
    rules = [measured(finding("gap", 1.0), verdict="does not hold here")]
    with pytest.raises(ledger.LedgerError, match="C09 is 'does not hold here' by its results"):
        paragraphs(chapter("verdict C09: holds"), rules=rules)
    paragraphs(chapter("verdict C09 (else): holds"), rules=rules)
    with pytest.raises(ledger.LedgerError, match="a rule for C99, no known claim"):
        paragraphs(chapter("…"), rules=[measured(finding("gap", 1.0), claim="C99")])


def test_the_rules_of_all_experiments_are_told():
    text = ledger.LEDGER.read_text(encoding="utf-8")
    for rule, judged in ledger.judged_rules():
        assert f"*{ledger.labelled('Rule', rule.part)}.* {ledger.one_line(rule.says)}" in text
        assert judged is None or judged.rule is rule


def test_an_id_stands_once_among_the_claims():
    with pytest.raises(ledger.LedgerError, match="'C01'"):
        ledger.ledger([*CLAIMS, CLAIMS[0]], {})


def test_every_page_of_the_table_of_contents_is_found():
    contents = {
        "root": "intro",
        "parts": [
            {"caption": "One", "chapters": [{"file": "a", "sections": [{"file": "b.ipynb"}]}]},
            {"chapters": [{"file": "c"}, {"url": "https://example.org"}]},
        ],
    }
    assert list(ledger.chapters(contents)) == ["intro", "a", "b", "c"]


def test_the_committed_ledger_is_what_the_notebooks_give():
    committed = ledger.LEDGER.read_text(encoding="utf-8")
    assert committed == ledger.page(sorted(ledger.BOOK.glob("*.ipynb")))


# --- the picture of the README --------------------------------------------------------------------


def test_the_readme_s_picture_is_what_the_opening_draws():
    opening = nbformat.read(ROOT / "book" / "intro.ipynb", as_version=4)
    assert notebooks.README_PICTURE.read_bytes() == notebooks.readme_picture(opening)
    picture = notebooks.README_PICTURE.relative_to(ROOT).as_posix()
    assert f"]({picture})" in (ROOT / "README.md").read_text(encoding="utf-8")
