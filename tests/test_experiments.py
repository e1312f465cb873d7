"""Running experiments: the same bytes whatever happens, and nothing stale in silence."""

import ast
import contextlib
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bnlib import datasets, experiments
from bnlib.experiments import data, judging, processes, records, runs, sources
from bnlib.experiments.__main__ import KEPT, _chosen, main
from bnlib.experiments.experiment import Experiment, ExperimentError, find, measure_seed
from bnlib.experiments.reporting import Report
from bnlib.verdicts import Contrast, Rule

ROOT = Path(__file__).resolve().parent.parent

# Experiments in a module of their own: other processes must be able to import them.
MADE_UP = """
import os, time
import numpy as np
from bnlib.experiments.experiment import Experiment
from bnlib.verdicts import Contrast, Rule

def values(seed, arms, gap):
    found = {}
    for arm in arms:
        rng = np.random.default_rng([seed, ord(arm)])
        loss, curve = rng.normal() + gap * (arm == "a"), rng.normal(size=(2, 3))
        found[arm] = {"loss": loss, "curve": curve, "learns": np.bool(seed % 3 > 0)}
    return found

def clear(seed, draw, arms):
    return values(seed, arms, 5)

def faint(seed, draw, arms):
    return values(seed, arms, 0.3)

def modest(seed, draw, arms):
    return values(seed, arms, 1.2)

def slow(seed, draw, arms):
    if "PIDS" in os.environ:
        open(os.path.join(os.environ["PIDS"], str(os.getpid())), "w").close()
    time.sleep(float(os.environ.get("SECONDS_PER_SEED", 0)))
    return values(seed, arms, 5)

def failing(seed, draw, arms):
    if seed == 1001:
        raise RuntimeError("no luck\\nat all")
    if seed == 1002:
        time.sleep(0.5)  # what ended before on this worker has been sent by then
        os._exit(3)
    return values(seed, arms, 5)

def ragged(seed, draw, arms):
    return {arm: {"curve": [1.0] * (seed % 2 + 1)} for arm in arms}

MORE = Contrast("a - b", "loss", {"a": 1, "b": -1}, "more", 0.01)
ARMS = ("a", "b")

def made(measure, chapter, *rules, seeds=5, **options):
    return Experiment(measure.__name__, chapter, measure, ARMS, rules, seeds, data=(), **options)

EXPERIMENTS = {one.name: one for one in (
    made(clear, "one", Rule("C02", "Less loss.", (MORE,))),
    made(faint, "one", Rule("C03", "Less loss.", (MORE,), part="faint")),
    made(slow, "two", Rule("C04", "Less loss.", (MORE,)), seeds=60),
    made(modest, "five", Rule("C05", "Less loss.", (MORE,))),
    made(failing, "three"),
    made(ragged, "four"),
)}
"""
GO = """
import sys
from bnlib.experiments import __main__ as program
from made_up import EXPERIMENTS


def parser(made=program.parser):
    print("begun", file=sys.stderr, flush=True)  # main answers for Ctrl-C from here on
    return made()


if __name__ == "__main__":
    program.parser = parser
    sys.exit(program.main(sys.argv[1:], EXPERIMENTS))
"""
# The same without further processes: quick to start and always at the disk, so good to kill.
ALONE = (
    """
from bnlib.experiments import processes, runs
from bnlib.experiments.experiment import measure_seed

def outcomes(tasks, jobs):
    for task in tasks:
        one = task.experiment
        yield processes.Outcome(task, measure_seed(one.measure, task.seed, "", one.arms), "")

runs.outcomes = outcomes
"""
    + GO
)


@pytest.fixture(scope="session")
def made_up_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made_up")
    (folder / "made_up.py").write_text(MADE_UP, encoding="utf-8")
    (folder / "go.py").write_text(GO, encoding="utf-8")
    (folder / "alone.py").write_text(ALONE, encoding="utf-8")
    return folder


@pytest.fixture
def made_up(made_up_folder, monkeypatch):
    monkeypatch.syspath_prepend(str(made_up_folder))
    return importlib.import_module("made_up").EXPERIMENTS


@pytest.fixture
def here(monkeypatch):
    """Measure in this process: faster, and a test can interrupt it anywhere."""
    monkeypatch.setattr(runs, "outcomes", in_this_process)
    monkeypatch.setattr(records.os, "fsync", lambda file: None)  # no test cuts the power


def in_this_process(tasks, jobs):
    for task in tasks:
        one = task.experiment
        yield processes.Outcome(task, measure_seed(one.measure, task.seed, "", one.arms), "")


def note_seeds(monkeypatch):
    """A list of the seeds that are measured from now on."""
    asked = []

    def noted(tasks, jobs):
        asked.extend(task.seed for task in tasks)
        yield from in_this_process(tasks, jobs)

    monkeypatch.setattr(runs, "outcomes", noted)
    return asked


def go(known, *arguments, folder):
    return main([*arguments, "--results", str(folder)], known)


def content(folder):
    """All files below a folder, with their bytes."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(path, change):
    """Rewrite a file of results after `change` has had its header."""
    header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    header = json.loads(header)
    change(header)
    path.write_text(json.dumps(header, sort_keys=True) + "\n" + "".join(lines), encoding="utf-8")


# --- an experiment -------------------------------------------------------------------------------


def nothing(seed, draw, arms):
    return {arm: {"loss": 1.0} for arm in arms}


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "Two Words", "needs a name of a-z, 0-9 and _, got 'Two Words'"),
        ("arms", (), "needs distinct arms"),
        ("arms", ("a", "a"), "needs distinct arms"),
        ("seeds", 1, "needs at least 2 seeds, got 1"),
        ("tolerance", 0, "needs a tolerance above 0"),
        ("data", ("digit",), "needs a known data set, got 'digit'"),
    ],
)
def test_an_experiment_says_what_is_wrong_with_it(field, value, sentence):
    fields = {"name": "one", "chapter": "c", "measure": nothing, "arms": ("a", "b"), field: value}
    with pytest.raises(ExperimentError, match=sentence):
        Experiment(**fields)


def test_a_folder_that_cannot_be_written_to_is_refused_with_the_reason(tmp_path, monkeypatch):
    runs._check_writable(tmp_path / "one" / "two")
    monkeypatch.setattr(runs.os, "access", lambda path, mode: False)
    told = f"run: needs a results folder that it can write to, got {tmp_path} (it is read-only)"
    with pytest.raises(ExperimentError, match=f"^{re.escape(told)}$"):
        runs._check_writable(tmp_path)


def test_two_seeds_are_enough():
    assert Experiment("one", "c", nothing, ("a", "b"), seeds=2).seeds == 2


def test_seeds_that_measure_different_things_are_told_with_what_each_has():
    header = {"experiment": "one", "seeds": [3, 4], "arms": ["a"]}
    with pytest.raises(ExperimentError) as caught:
        records.assemble(header, {3: {"a": {"loss": 1.0}}, 4: {"a": {"steps": 2.0}}})
    assert str(caught.value) == (
        "one: arm 'a' needs the same measures for every seed, got ['loss'] for 3 and ['steps'] "
        "for 4"
    )


@pytest.mark.parametrize("condition", [False, True])
def test_a_rule_cannot_ask_for_an_arm_that_is_not_there(condition):
    good = Contrast("a", "loss", {"a": 1}, "more", 0.1)
    bad = Contrast("c", "loss", {"a": 1, "c": -1}, "more", 0.1)
    rule = Rule("C02", "…", (good if condition else bad,), when={"x": (bad,)} if condition else {})
    with pytest.raises(ExperimentError, match="needs the arms that C02 compares, got \\['c'\\]"):
        Experiment("one", "c", nothing, ("a", "b"), (rule,))


def test_values_become_plain_floats():
    found = {"a": {"n": np.int64(3), "b": True, "curve": np.arange(4.0).reshape(2, 2)}}
    values = measure_seed(lambda seed, draw, arms: found, 0, "", ["a"])
    assert values == {"a": {"b": 1.0, "curve": [[0.0, 1.0], [2.0, 3.0]], "n": 3.0}}
    assert all(type(values["a"][name]) is float for name in "bn")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"a": {"loss": np.nan}}, "'loss' of arm 'a' must be finite, got nan"),
        (
            {"a": {"curve": [0.5, [np.inf]]}},
            "'curve' of arm 'a' must be finite, got inf: the experiment must record",
        ),
        ({"a": {"loss": "low"}}, "must be a number or a list of numbers, got 'low'"),
        ({"a": {"loss": None}}, "must be a number or a list of numbers, got None"),
        ({}, r"must return the arms \['a'\], got \[\]"),
        ({"a": {}, "b": {}}, r"must return the arms \['a'\], got \['a', 'b'\]"),
    ],
)
def test_values_that_a_file_cannot_hold_are_refused(found, sentence):
    with pytest.raises(ExperimentError, match=sentence):
        measure_seed(lambda seed, draw, arms: found, 0, "", ["a"])


def test_a_diverged_run_must_be_recorded_as_a_failure():
    found = {"a": {"loss": [[np.inf]]}}
    with pytest.raises(ExperimentError) as raised:
        measure_seed(lambda seed, draw, arms: found, 0, "", ["a"])
    assert str(raised.value) == (
        "'loss' of arm 'a' must be finite, got inf: the experiment must record a diverged run as "
        "a failure"
    )


def test_an_experiment_is_found_by_its_name_and_a_wrong_one_gets_near_ones():
    known = dict.fromkeys(("clear", "faint", "clean"))
    known["faint"] = faint = Experiment("faint", "c", nothing, ("a",))
    assert find("faint", known) is faint
    start = "experiments: name must be that of an experiment, got "
    for name, hint in (
        ("claer", "did you mean clear or clean?"),
        ("zzzz", "the command `list` names all"),
    ):
        with pytest.raises(ExperimentError) as raised:
            find(name, known)
        assert str(raised.value) == f"{start}{name!r}: {hint}"


def test_one_seed_gets_its_data_and_one_thread():
    from threadpoolctl import threadpool_info, threadpool_limits

    def look(seed, draw, arms):
        threads = [pool["num_threads"] for pool in threadpool_info()]
        return {"a": {"threads": max(threads), "same": draw is datasets.digits, "seed": seed}}

    with threadpool_limits(limits=2):
        values = measure_seed(look, 7, "digits", ["a"])
    assert values == {"a": {"same": 1.0, "seed": 7.0, "threads": 1.0}}


# --- files ---------------------------------------------------------------------------------------


def test_a_file_tells_how_it_was_measured_and_loads_to_the_bit(made_up, here, tmp_path):
    assert go(made_up, "run", "clear", folder=tmp_path) == 0
    lines = (tmp_path / "clear.jsonl").read_text(encoding="utf-8").splitlines()
    header = json.loads(lines[0])
    assert header["command"] == (
        "python -m bnlib.experiments run clear --seeds 5 --seed-start 1000"
    )
    assert header["seeds"] == [1000, 1001, 1002, 1003, 1004]
    assert header["arms"] == ["a", "b"]
    assert header["numpy"] == np.__version__
    assert not header["doubled"]
    assert str(tmp_path) not in lines[0]
    places = [(json.loads(line)["seed"], json.loads(line)["arm"]) for line in lines[1:]]
    assert places == [(seed, arm) for seed in header["seeds"] for arm in "ab"]
    results = experiments.load("clear", folder=tmp_path)
    assert results.seeds == tuple(header["seeds"])
    assert results.per_seed["a", "curve"].shape == (5, 2, 3)
    again = [made_up["clear"].measure(seed, None, ("a", "b")) for seed in results.seeds]
    for (arm, measure), array in results.per_seed.items():
        np.testing.assert_array_equal(array, [values[arm][measure] for values in again])
    assert content(tmp_path).keys() == {"clear.jsonl"}  # and nothing is left of the seeds


def test_the_data_stand_in_the_file():
    command = records.header_of(
        experiments.ALL["faster"], data="digits", base_seeds=3, seed_start=5
    )["command"]
    assert command.endswith("run faster --data digits --seeds 3 --seed-start 5")
    assert re.fullmatch("[0-9a-f]{16}", data.fingerprint("digits"))


def test_other_data_have_another_hash(monkeypatch):
    before = data.fingerprint("digits")
    drawn = datasets.digits(np.random.default_rng(0))
    moved = drawn._replace(x_test=drawn.x_test + 1e-12)
    monkeypatch.setitem(data.SOURCES, "digits", data.Source(lambda rng: moved))
    assert data.fingerprint("digits") != before


def test_downloaded_data_are_told_apart_without_reading_them(monkeypatch):
    monkeypatch.setenv("BNLIB_DATA", "nowhere")
    names = [name for name, source in data.SOURCES.items() if source.files]
    before = {name: data.fingerprint(name) for name in names}
    assert len(set(before.values())) == len(names) == 3
    source = data.SOURCES["mnist"]
    other = source.files[-1]._replace(sha256="0" * 64)
    moved = source._replace(files=(*source.files[:-1], other))
    monkeypatch.setitem(data.SOURCES, "mnist", moved)
    assert data.fingerprint("mnist") != before["mnist"]


def test_no_data_have_no_hash_and_nothing_to_draw():
    assert data.fingerprint("") == ""
    assert data.draw_of("") is None and data.draw_of("digits") is datasets.digits


def test_smaller_sets_of_mnist_have_the_sizes_of_their_names(monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "mnist", lambda *given, **sizes: asked.append((*given, sizes)))
    rng = np.random.default_rng(0)
    for name in ("mnist_first", "mnist_10000"):
        data.draw_of(name)(rng)
    assert asked == [({"train": 1000},), (rng, {"train": 10_000, "test": 1000})]


def test_a_chapters_name_runs_all_of_its_experiments_once(made_up, here, tmp_path):
    chapter = made_up["clear"].chapter
    own = {name for name, one in made_up.items() if one.chapter == chapter}
    assert len(own) > 1
    assert [one.name for one in _chosen([chapter, "clear"], made_up)] == [
        name for name in made_up if name in own
    ]
    assert [one.name for one in _chosen(["clear"], made_up)] == ["clear"]
    assert _chosen([], made_up) == []


def test_an_experiment_without_name_runs_only_on_what_is_at_hand():
    downloads = {one.name for one in experiments.ALL.values() if one.downloads}
    assert downloads == {
        one.name for one in experiments.ALL.values() if one.chapter == "full_scale"
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "<<<<<<< HEAD\n" + text,
        lambda text: "".join(text.splitlines(keepends=True)[:-1]),
    ],
)
def test_a_damaged_file_is_told_and_left(made_up, here, tmp_path, capsys, damage):
    go(made_up, "run", "clear", folder=tmp_path)
    path = tmp_path / "clear.jsonl"
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    before = path.read_bytes()
    assert go(made_up, "run", "clear", folder=tmp_path) == 2
    assert "restore it with git or delete it" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_seeds_must_have_equally_many_numbers(made_up, here, tmp_path, capsys):
    assert go(made_up, "run", "ragged", "clear", folder=tmp_path) == 1
    assert "ragged: 'curve' of arm 'a' needs equally many numbers" in capsys.readouterr().err
    assert (tmp_path / "clear.jsonl").exists()
    assert not (tmp_path / "ragged.jsonl").exists()


def test_without_results_the_command_is_told(tmp_path):
    with pytest.raises(ExperimentError, match=r"bnlib\.experiments run faster"):
        experiments.load("faster", folder=tmp_path)


def test_the_results_folder_is_that_of_the_repository(tmp_path, monkeypatch):
    assert records.results_folder() == ROOT / "results"
    monkeypatch.setattr(records.bnlib, "__file__", str(tmp_path / "lib" / "bnlib" / "x.py"))
    monkeypatch.chdir(ROOT / "book")
    assert records.results_folder() == ROOT / "results"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match="needs the book's repository"):
        records.results_folder()
    assert records.results_folder("elsewhere") == Path("elsewhere")


# --- going on ------------------------------------------------------------------------------------


class Killed(BaseException):
    """As if the process were gone."""


CALLS = [(records.os, "fsync"), (records.os, "replace"), (Path, "unlink"), (Path, "rmdir")]


@contextlib.contextmanager
def death_at(count):
    """Raise at the count-th call that touches the disk, after tearing the file it was writing."""
    left = [count]
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CALLS:
            real = getattr(owner, name)

            def mortal(target, *rest, real=real, **options):
                left[0] -= 1
                if left[0] == 0:
                    if isinstance(target, int):
                        os.ftruncate(target, 20)
                    raise Killed
                return real(target, *rest, **options)

            patch.setattr(owner, name, mortal)
        yield left


def test_death_at_any_moment_changes_no_byte(made_up, here, tmp_path):
    wish = ("run", "clear", "faint", "--seeds", "3")
    undisturbed = tmp_path / "undisturbed"
    with death_at(10_000) as left:
        go(made_up, *wish, folder=undisturbed)
    calls = 10_000 - left[0]
    assert calls > 30  # three for each of nine seeds, two for each of three files
    for count in range(1, calls + 1):
        folder = tmp_path / str(count)
        with death_at(count), pytest.raises(Killed):
            go(made_up, *wish, folder=folder)
        assert go(made_up, *wish, folder=folder) == 0
        assert content(folder) == content(undisturbed), count


def test_another_run_may_tidy_up_meanwhile(made_up, tmp_path, monkeypatch):
    header = records.header_of(made_up["clear"], data="", base_seeds=2, seed_start=0)
    partial = records.Partial(tmp_path, header)
    real = records.os.replace
    tidied = []

    def tidy(source, target):
        if len(tidied) < 2:
            tidied.append(records.Partial(tmp_path, header).drop([0, 1]))
            assert not partial.folder.exists()
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(records.os, "replace", tidy)
        partial.save(0, {"a": {}})
    assert partial.load() == {0: {"a": {}}}
    monkeypatch.setattr(records.Path, "glob", lambda *_: [partial.folder / "gone.json"])
    assert partial.load() == {}


def test_a_seed_that_vanishes_meanwhile_hides_no_other(made_up, tmp_path, monkeypatch):
    partial = records.Partial(
        tmp_path, records.header_of(made_up["clear"], data="", base_seeds=3, seed_start=0)
    )
    for seed in range(3):
        partial.save(seed, {"a": {}})
    read, gone = Path.read_text, []

    def vanish(path, **how):
        if not gone:
            gone.append(int(path.stem))
            raise FileNotFoundError
        return read(path, **how)

    monkeypatch.setattr(records.Path, "read_text", vanish)
    assert partial.load().keys() == {0, 1, 2} - set(gone)


def test_a_file_that_cannot_even_be_opened_ends_with_a_sentence(tmp_path, monkeypatch):
    def refuse(path, *how, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(records.Path, "open", refuse)
    with pytest.raises(ExperimentError) as raised:
        records.write_whole(tmp_path / "one.jsonl", "text", tmp_path / "work")
    assert str(raised.value) == (
        f"results: one.jsonl must be written to {tmp_path}, got 'Permission denied': finished "
        "seeds are kept; the same command goes on from there"
    )


def test_a_file_where_the_workplace_should_be_is_told(tmp_path):
    (tmp_path / "work").write_text("mine", encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"results: one\.jsonl must be written to"):
        records.write_whole(tmp_path / "one.jsonl", "text", tmp_path / "work")
    assert (tmp_path / "work").read_text(encoding="utf-8") == "mine"


def test_words_of_other_alphabets_stand_in_a_file_as_they_are(tmp_path):
    records.write_whole(tmp_path / "one", records._line({"b": 1, "arm": "σ × 2"}), tmp_path / "w")
    assert (tmp_path / "one").read_bytes() == '{"arm": "σ × 2", "b": 1}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        records._line({"loss": np.inf})


def test_a_full_disk_ends_with_a_sentence_and_keeps_seeds(made_up, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "outcomes", in_this_process)
    left = [3]

    def full(file):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(records.os, "fsync", full)
        assert go(made_up, "run", "clear", folder=tmp_path) == 2
    told = capsys.readouterr().err
    assert told.startswith("results: 1003.json must be written to ") and told.count("\n") == 1
    assert "'No space left on device': finished seeds are kept" in told
    assert content(tmp_path).keys() == {"1000.json", "1001.json", "1002.json"}
    asked = note_seeds(monkeypatch)
    assert go(made_up, "run", "clear", folder=tmp_path) == 0
    assert asked == [1003, 1004]


def test_a_finished_seed_is_not_measured_again(made_up, here, tmp_path, monkeypatch):
    with death_at(7), pytest.raises(Killed):  # while it writes the fourth
        go(made_up, "run", "clear", folder=tmp_path)
    asked = note_seeds(monkeypatch)
    go(made_up, "run", "clear", folder=tmp_path)
    assert asked == [1003, 1004]


def spoil_key(name, value):
    def spoil(text):
        partial = json.loads(text)
        partial["key"][name] = value
        partial["values"]["a"]["loss"] = 77.0
        return json.dumps(partial)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:30],
        lambda text: "",
        lambda text: "[]",
        lambda text: '"text"',
        spoil_key("source", "0123456789abcdef"),
        spoil_key("data_hash", "0123456789abcdef"),
        spoil_key("arms", ["a"]),
        spoil_key("numpy", "1.0"),
        spoil_key("python", "3.0"),
    ],
)
def test_a_torn_or_stale_seed_is_measured_again(made_up, here, tmp_path, spoil):
    go(made_up, "run", "clear", folder=tmp_path / "undisturbed")
    folder = tmp_path / "disturbed"
    with death_at(11), pytest.raises(Killed):
        go(made_up, "run", "clear", folder=folder)
    partials = sorted((folder / records.PARTIAL / "clear").glob("*.json"))
    assert partials
    for path in partials:
        path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    go(made_up, "run", "clear", folder=folder)
    assert content(folder) == content(tmp_path / "undisturbed")


def test_what_is_up_to_date_is_left_alone(made_up, here, tmp_path, capsys, monkeypatch):
    go(made_up, "run", "clear", folder=tmp_path)
    capsys.readouterr()
    asked = note_seeds(monkeypatch)
    assert go(made_up, "run", "clear", folder=tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[0] == "clear: up to date"
    assert not asked


@pytest.mark.parametrize(
    ("name", "words"),
    [("source", "the code has changed"), ("data_hash", "the data have"), ("arms", "the arms have")],
)
def test_what_is_stale_is_measured_again_and_says_so(made_up, here, tmp_path, capsys, name, words):
    go(made_up, "run", "clear", folder=tmp_path)
    before = content(tmp_path)
    path = tmp_path / "clear.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("0.", "1."), encoding="utf-8")
    moved = {"source": "0" * 16, "data_hash": "0" * 16, "arms": ["b", "a"]}
    changed(path, lambda header: header.update({name: moved[name]}))
    if name == "arms":
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        lines = sorted(lines, key=lambda line: (json.loads(line)["seed"], '"a"' in line))
        path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    assert go(made_up, "list", folder=tmp_path) == 0
    assert words in capsys.readouterr().out
    assert go(made_up, "run", "clear", folder=tmp_path) == 0
    assert f"clear: {words}" in capsys.readouterr().out
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "wish"),
    [
        (["--seeds", "3"], "1000 to 1002"),
        (["--seed-start", "0"], "0 to 4"),
        (["--seed-start", "1001", "--seeds", "20"], "1001 to 1020"),
    ],
)
def test_other_seeds_never_replace_a_file(made_up, here, tmp_path, capsys, options, wish):
    go(made_up, "run", "clear", folder=tmp_path)
    before = content(tmp_path)
    assert go(made_up, "run", "faint", "clear", *options, folder=tmp_path) == 2
    told = capsys.readouterr().err
    assert f"has the seeds 1000 to 1004, got a wish for the seeds {wish}" in told
    assert "--results" in told
    assert told.count("\n") == 1
    assert content(tmp_path) == before
    assert go(made_up, "run", "clear", *options, folder=tmp_path / "other") == 0


def test_a_wish_tells_its_seeds_and_its_data():
    header = {"seeds": [7, 8, 9, 10], "base_seeds": 2, "data": "digits"}
    assert runs._told(header) == "the seeds 7 to 8 on digits"
    assert runs._told({**header, "data": ""}) == "the seeds 7 to 8"


def test_more_seeds_go_on_from_the_file(made_up, here, tmp_path, monkeypatch):
    go(made_up, "run", "slow", "--seeds", "8", folder=tmp_path / "at once")
    go(made_up, "run", "slow", "--seeds", "5", folder=tmp_path / "in steps")
    asked = note_seeds(monkeypatch)
    go(made_up, "run", "slow", "--seeds", "8", folder=tmp_path / "in steps")
    assert asked == [1005, 1006, 1007]
    assert content(tmp_path / "in steps") == content(tmp_path / "at once")
    # Values of another numpy are not mixed with new ones under one header.
    changed(tmp_path / "in steps" / "slow.jsonl", lambda header: header.update(numpy="1.0"))
    go(made_up, "run", "slow", "--seeds", "9", folder=tmp_path / "in steps")
    assert asked == [1005, 1006, 1007, *range(1000, 1009)]


# --- doubling and verdicts -----------------------------------------------------------------------


def test_open_claims_get_twice_the_seeds_once(made_up, here, tmp_path, capsys):
    assert go(made_up, "run", "clear", folder=tmp_path) == 0
    assert "one: its verdicts wait for faint" in capsys.readouterr().out
    assert go(made_up, "run", "faint", folder=tmp_path) == 0
    assert "faint: a claim is open: twice the seeds" in capsys.readouterr().out
    clear, faint = (experiments.load(name, folder=tmp_path) for name in ("clear", "faint"))
    assert (len(clear.seeds), clear.header["doubled"]) == (5, False)
    assert (len(faint.seeds), faint.header["doubled"]) == (10, True)
    assert faint.seeds == tuple(range(1000, 1010))
    assert "--seeds 5 " in faint.header["command"]
    before = content(tmp_path)
    go(made_up, "run", "clear", "faint", folder=tmp_path)  # still open, but once is enough
    assert content(tmp_path) == before
    judged = judging.verdicts(made_up.values(), "one", tmp_path)
    assert list(judged) == ["C02", "C03 (faint)"]
    assert judged["C02"].verdict == "holds"
    assert judged["C02"].needs[0].seeds == 5
    assert judged["C03 (faint)"].needs[0].seeds == 10
    assert judged["C03 (faint)"].family == 2


def test_what_more_seeds_resolve_stays_doubled(made_up, here, tmp_path):
    go(made_up, "run", "modest", folder=tmp_path)
    for base_only, verdict in ((True, "not resolved here"), (False, "holds")):
        judged = judging.verdicts(made_up.values(), "five", tmp_path, base_only=base_only)
        assert judged["C05"].verdict == verdict
    before = content(tmp_path)
    go(made_up, "run", "modest", folder=tmp_path)
    assert content(tmp_path) == before


def test_doubling_depends_on_the_base_seeds_alone(made_up, here, tmp_path):
    go(made_up, "run", "clear", "faint", folder=tmp_path / "all")
    go(made_up, "run", "faint", folder=tmp_path / "one by one")
    go(made_up, "run", "clear", folder=tmp_path / "one by one")
    assert content(tmp_path / "one by one") == content(tmp_path / "all")
    # A file that was doubled without need, by older code say, gets its size back.
    odd = tmp_path / "odd"
    go(made_up, "run", "clear", "--seeds", "10", folder=odd)
    changed(odd / "clear.jsonl", lambda header: header.update(doubled=True, base_seeds=5))
    go(made_up, "run", "clear", "faint", folder=odd)
    assert content(odd) == content(tmp_path / "all")


def test_verdicts_are_printed_for_all_or_some_chapters(made_up, here, tmp_path, capsys):
    go(made_up, "run", "clear", "faint", folder=tmp_path)
    capsys.readouterr()
    assert go(made_up, "verdicts", folder=tmp_path) == 0
    told = capsys.readouterr().out
    assert "verdict C02: holds\n" in told
    assert re.search(r"^verdict C03 \(faint\): ", told, flags=re.M)
    assert go(made_up, "verdicts", "two", folder=tmp_path) == 2
    assert "slow.jsonl" in capsys.readouterr().err
    assert go(made_up, "verdicts", "three", folder=tmp_path) == 2
    assert "needs a chapter with measured claims, got 'three'" in capsys.readouterr().err


def test_two_rules_cannot_judge_the_same_part(made_up):
    with pytest.raises(ExperimentError, match="needs one rule per part of a claim"):
        judging.rules_of([made_up["clear"], made_up["clear"]], "one")


def test_the_list_tells_what_is_there(made_up, here, tmp_path, capsys):
    go(made_up, "run", "clear", "faint", folder=tmp_path)
    capsys.readouterr()
    assert go(made_up, "list", folder=tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "experiment  chapter  claims  seeds  results",
        "clear       one      C02     5      up to date",
        "faint       one      C03     10     up to date",
        "slow        two      C04     60     not measured",
        "modest      five     C05     5      not measured",
        "failing     three            5      not measured",
        "ragged      four             5      not measured",
    ]


# --- confirming and live slices ------------------------------------------------------------------


def test_unchanged_numbers_renew_the_hash(made_up, tmp_path, capsys):
    go(made_up, "run", "clear", "--jobs", "2", folder=tmp_path)
    before = content(tmp_path)
    changed(tmp_path / "clear.jsonl", lambda header: header.update(source="0" * 16))
    assert go(made_up, "confirm", "clear", folder=tmp_path) == 0
    assert "clear: 3 seeds give the same numbers: confirmed" in capsys.readouterr().out
    assert content(tmp_path) == before
    assert go(made_up, "confirm", "clear", folder=tmp_path) == 0
    assert "clear: up to date" in capsys.readouterr().out


def move_value(path, seed, by):
    """Multiply one number of the file."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines[1:]:
        if line["seed"] == seed and line["arm"] == "b":
            line["values"]["curve"][1][2] *= by
    text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")


def test_changed_numbers_are_told_and_leave_the_file(made_up, here, tmp_path, capsys):
    go(made_up, "run", "clear", folder=tmp_path)
    path = tmp_path / "clear.jsonl"
    changed(path, lambda header: header.update(source="0" * 16))
    move_value(path, 1001, 1 + 1e-6)
    before = content(tmp_path)
    assert go(made_up, "confirm", "clear", folder=tmp_path) == 1
    told = capsys.readouterr().err
    assert "clear: not confirmed: arm 'b', seed 1001, 'curve': " in told
    assert " at 1, 2" in told
    assert content(tmp_path) == before


def test_other_data_cannot_be_confirmed(made_up, here, tmp_path, capsys):
    go(made_up, "run", "clear", folder=tmp_path)
    changed(tmp_path / "clear.jsonl", lambda header: header.update(data_hash="0", source="0"))
    assert go(made_up, "confirm", "clear", folder=tmp_path) == 2
    assert "the data have changed: only a new run" in capsys.readouterr().err


def test_a_live_slice_equals_its_file(made_up, here, tmp_path, capsys):
    go(made_up, "run", "clear", folder=tmp_path)
    capsys.readouterr()
    results = judging.live(made_up["clear"], tmp_path, seeds=2, arms=None)
    assert capsys.readouterr().out == (
        "2 seeds x 2 arms measured again: equal to results/clear.jsonl\n"
    )
    stored = experiments.load("clear", folder=tmp_path)
    np.testing.assert_array_equal(results.per_seed["a", "curve"], stored.per_seed["a", "curve"][:2])
    assert results.seeds == (1000, 1001)
    some = judging.live(made_up["clear"], tmp_path, seeds=1, arms=["a"])
    assert capsys.readouterr().out.startswith("1 seed x 1 arm measured")
    assert {arm for arm, _ in some.per_seed} == {"a"}


def test_a_live_slice_notices_another_number(made_up, here, tmp_path):
    go(made_up, "run", "clear", folder=tmp_path)
    path = tmp_path / "clear.jsonl"
    move_value(path, 1001, 1 + 1e-12)  # another processor
    judging.live(made_up["clear"], tmp_path, seeds=2, arms=None)
    move_value(path, 1001, 1 + 1e-7)
    sentence = r"clear must equal its file, got arm 'b', seed 1001, 'curve': [-\d.]+ in the file, "
    with pytest.raises(AssertionError, match=sentence):
        judging.live(made_up["clear"], tmp_path, seeds=2, arms=["b"])
    judging.live(made_up["clear"], tmp_path, seeds=2, arms=["a"])


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ({"a": {"x": 1.0}}, ""),
        ({"a": {"x": 1.0 + 1e-10}}, ""),
        ({"a": {"x": 1.0 + 1e-8}}, "'x': 1.0 in the file, 1.00000001 now"),
        ({"a": {"x": [1.0]}}, r"shape \(\) in the file, \(1,\) now"),
        ({"a": {}}, "'x': measured only once"),
        ({"a": {"x": 1.0, "y": 0.0}}, "'y': measured only once"),
    ],
)
def test_numbers_are_compared_one_by_one(new, told):
    found = judging.differences({3: {"a": {"x": 1.0}, "b": {}}}, {3: new}, 1e-9)
    assert re.search(told, judging.told(found)) if told else not found


def test_rounding_around_zero_is_no_difference():
    for old, new in ((1e-17, -3e-16), ([1.0, 1e-16], [1.0, -1e-16])):
        assert not judging.differences({3: {"a": {"x": old}}}, {3: {"a": {"x": new}}}, 1e-9)


def test_many_differences_stay_one_sentence():
    assert judging.told([str(i) for i in range(9)]) == "0; 1; 2; 3; 4; and 4 more"
    assert judging.told([str(i) for i in range(6)]) == "0; 1; 2; 3; 4; and 1 more"
    assert judging.told([str(i) for i in range(5)]) == "0; 1; 2; 3; 4"


@pytest.mark.parametrize(("seeds", "arms"), [(0, None), (6, None), (2, []), (2, ["c"])])
def test_a_live_slice_needs_seeds_and_arms_of_the_file(made_up, here, tmp_path, seeds, arms):
    go(made_up, "run", "clear", folder=tmp_path)
    with pytest.raises(
        ExperimentError, match=r"live: (seeds must lie in 1\.\.5|arms must be among)"
    ):
        judging.live(made_up["clear"], tmp_path, seeds=seeds, arms=arms)


def test_a_notebook_s_slice_is_of_two_seeds_and_all_arms_unless_told_otherwise(
    made_up, here, tmp_path, capsys, monkeypatch
):
    go(made_up, "run", "clear", folder=tmp_path)
    monkeypatch.setattr(experiments, "ALL", made_up)
    monkeypatch.setattr(records, "results_folder", lambda folder=None: folder or tmp_path)
    results = experiments.live("clear")
    assert (results.seeds, results.header["arms"]) == ((1000, 1001), ["a", "b"])
    results = experiments.live("clear", seeds=3, arms=("b",))
    assert (results.seeds, results.header["arms"]) == ((1000, 1001, 1002), ["b"])
    assert "3 seeds x 1 arm measured again" in capsys.readouterr().out


def test_verdicts_are_those_of_a_chapter_s_claims_by_the_folder_asked_for(tmp_path):
    found = experiments.verdicts("backward_pass")
    assert {verdict.rule.claim for verdict in found.values()} == {"C11"}
    assert len(found) == sum(len(one.rules) for one in experiments.backward_pass.EXPERIMENTS)
    with pytest.raises(ExperimentError, match=re.escape(f"load: needs {tmp_path}")):
        experiments.verdicts("backward_pass", folder=tmp_path)


@pytest.mark.parametrize(
    ("function", "arguments", "sentence"),
    [
        ("load", {"name": 3}, "load: name must be text, got 3"),
        ("load", {"name": "cures", "folder": 3},
         "load: folder must be a folder's name or None, got 3"),
        ("verdicts", {"chapter": 3}, "verdicts: chapter must be text, got 3"),
        ("verdicts", {"chapter": "training", "folder": 3},
         "verdicts: folder must be a folder's name or None, got 3"),
        ("live", {"name": 3}, "live: name must be text, got 3"),
        ("live", {"name": "cures", "seeds": "2"}, "live: seeds must be a whole number, got '2'"),
        ("live", {"name": "cures", "arms": 3}, "live: arms must be a sequence, got 3"),
        ("live", {"name": "cures", "arms": [3]}, "live: each of arms must be text, got 3"),
    ],
)  # fmt: skip
def test_what_notebooks_ask_of_experiments_is_refused_in_these_words(function, arguments, sentence):
    with pytest.raises(TypeError) as raised:
        getattr(experiments, function)(**arguments)
    assert str(raised.value) == sentence


# --- what the command line refuses ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "claer"], "experiment, got 'claer': did you mean clear"),
        (["run", "zzzz"], "experiment, got 'zzzz': the command `list` names all"),
        (["confirm", "claer"], "did you mean clear"),
        (["confirm", "clear"], "clear.jsonl, got no such file"),
        (["run", "clear", "--seeds", "1"], "--seeds must be at least 2, got 1"),
        (["run", "clear", "--seed-start", "-1"], "--seed-start must be at least 0, got -1"),
        (["run", "clear", "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["confirm", "clear", "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["run", "clear", "--jobs", "two"], "invalid int value: 'two'"),
        (["rnu"], "invalid choice: 'rnu'"),
    ],
)
def test_a_wrong_wish_gets_one_sentence(made_up, tmp_path, capsys, arguments, sentence):
    try:
        code = go(made_up, *arguments, folder=tmp_path)
    except SystemExit as end:
        code = end.code
    told = capsys.readouterr().err
    assert code == 2
    assert sentence in told
    assert told.count("\n") == 1
    assert not content(tmp_path)


HELP = {
    (): """
        usage: python -m bnlib.experiments [-h] {list,run,confirm,verdicts} ...
        Run experiments and judge claims.
        positional arguments:
        {list,run,confirm,verdicts}
        list what there is, and whether it is measured
        run measure what is missing; goes on where it stopped
        confirm show that changed code gives the same numbers, with three seeds
        verdicts print all verdicts
        options:
        -h, --help show this help message and exit
    """,
    ("list",): """
        usage: python -m bnlib.experiments list [-h] [--results DIR]
        options:
        -h, --help show this help message and exit
        --results DIR folder of results (the book's own)
    """,
    ("run",): """
        usage: python -m bnlib.experiments run [-h] [--results DIR] [--jobs JOBS] [--dask ADDRESS]
        [--data DATA] [--seeds SEEDS] [--seed-start SEED_START] [NAME ...]
        positional arguments:
        NAME experiments or chapters (all experiments that download nothing)
        options:
        -h, --help show this help message and exit
        --results DIR folder of results (the book's own)
        --jobs JOBS processes (here 1)
        --dask ADDRESS of a Dask scheduler: measure on its cluster, not here
        --data DATA data set (each experiment's own)
        --seeds SEEDS how many, before doubling (each experiment's own)
        --seed-start SEED_START the first seed (1000)
    """,
    ("confirm",): """
        usage: python -m bnlib.experiments confirm [-h] [--results DIR] [--jobs JOBS]
        [--dask ADDRESS] NAME [NAME ...]
        positional arguments:
        NAME experiments
        options:
        -h, --help show this help message and exit
        --results DIR folder of results (the book's own)
        --jobs JOBS processes (here 1)
        --dask ADDRESS of a Dask scheduler: measure on its cluster, not here
    """,
    ("verdicts",): """
        usage: python -m bnlib.experiments verdicts [-h] [--results DIR] [CHAPTER ...]
        positional arguments:
        CHAPTER chapters (all measured)
        options:
        -h, --help show this help message and exit
        --results DIR folder of results (the book's own)
    """,
}


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help_tells_what_may_be_asked_for(command, capsys, monkeypatch):
    """Also on a machine that does not tell how many processors it has."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.split() == HELP[command].split()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnu"], "(--help tells more)"),
        (["run", "--jobs", "two"], "argument --jobs: invalid int value: 'two' (--help tells more)"),
        ([], "the following arguments are required: command (--help tells more)"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_complained_about_in_one_sentence(
    arguments, sentence, capsys
):
    with pytest.raises(SystemExit) as end:
        main(arguments, {})
    told = capsys.readouterr()
    assert end.value.code == 2 and not told.out
    assert told.err.endswith(f"{sentence}\n") and told.err.count("\n") == 1


@pytest.fixture
def asked(monkeypatch):
    """What is handed to `runs` instead of being measured; nothing of it goes well."""
    handed = []

    def instead(*arguments):
        handed.append(arguments[:-1])  # all but the report
        return False

    monkeypatch.setattr(runs, "run", instead)
    monkeypatch.setattr(runs, "confirm", instead)
    return handed


def test_a_wish_is_handed_on_as_it_was_said(made_up, tmp_path, asked):
    options = ["--data", "digits", "--seeds", "2", "--seed-start", "0", "--jobs", "1"]
    assert go(made_up, "run", "clear", *options, "--dask", "tcp://one", folder=tmp_path) == 1
    said = {"data": "digits", "seeds": 2, "seed_start": 0, "jobs": 1, "dask": "tcp://one"}
    every = list(made_up.values())
    assert asked == [([made_up["clear"]], every, runs.Request(tmp_path, **said))]


def test_without_a_wish_all_that_downloads_nothing_is_run_on_all_processors(
    tmp_path, asked, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert main(["run", "--results", str(tmp_path)]) == 1
    every = list(experiments.ALL.values())
    at_hand = [one for one in every if one.chapter != "full_scale"]
    usual = runs.Request(tmp_path, data=None, seeds=None, seed_start=1000, jobs=7, dask=None)
    assert asked == [(at_hand, every, usual)]


def test_each_name_is_confirmed_once_and_one_that_fails_ends_with_1(made_up, tmp_path, asked):
    names = ["clear", "faint", "clear"]
    assert go(made_up, "confirm", *names, "--jobs", "3", folder=tmp_path) == 1
    request = runs.Request(tmp_path, jobs=3)
    assert asked == [(made_up["clear"], request), (made_up["faint"], request)]


@pytest.mark.parametrize("command", ["run", "confirm"])
def test_what_goes_well_ends_with_0(made_up, tmp_path, monkeypatch, command):
    monkeypatch.setattr(runs, command, lambda *asked: True)
    assert go(made_up, command, "clear", folder=tmp_path) == 0


def test_ctrl_c_is_told_and_a_second_one_is_not_heard(made_up, tmp_path, monkeypatch, capsys):
    def interrupted(*asked):
        raise KeyboardInterrupt

    heard = []
    monkeypatch.setattr(runs, "run", interrupted)
    monkeypatch.setattr(signal, "signal", lambda *what: heard.append(what))
    assert go(made_up, "run", "clear", folder=tmp_path) == 130
    assert heard == [(signal.SIGINT, signal.SIG_IGN)]
    told = "Interrupted. Finished seeds are kept; the same command goes on from there.\n"
    assert capsys.readouterr() == ("", told)


def test_no_console_ends_the_work(made_up, tmp_path, monkeypatch):
    """One that knows few letters gets others spelt out; one that is no file is left as it is."""
    few, other = io.TextIOWrapper(io.BytesIO(), encoding="ascii"), io.StringIO()
    monkeypatch.setattr(sys, "stdout", few)
    monkeypatch.setattr(sys, "stderr", other)
    assert go(made_up, "list", folder=tmp_path / "\u00e9") == 0
    assert few.errors == "backslashreplace"
    assert go(made_up, "confirm", "cl\u00e4r", folder=tmp_path) == 2
    assert "cl\u00e4r" in other.getvalue()


def test_an_unknown_data_set_gets_one_sentence(tmp_path, capsys):
    assert go(experiments.ALL, "run", "faster", "--data", "digit", folder=tmp_path) == 2
    assert "data of faster must be among digits, got digit" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_gets_one_sentence(made_up, tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert go(made_up, "run", "clear", folder=tmp_path / "file" / "results") == 2
    told = capsys.readouterr().err
    assert "needs a results folder that it can write to" in told
    assert told.count("\n") == 1


# --- processes -----------------------------------------------------------------------------------

unix = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")


@pytest.fixture
def start(made_up_folder):
    """Start the made-up experiments in a process group of their own, as a terminal does."""
    runs = []

    def start(folder, *arguments, pids=None, seconds=0.0, program="go.py"):
        environment = dict(os.environ, SECONDS_PER_SEED=str(seconds))
        if pids:
            environment["PIDS"] = str(pids)
        run = subprocess.Popen(
            [sys.executable, program, *arguments, "--results", str(folder)],
            cwd=made_up_folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        runs.append(run)
        assert run.stderr.readline() == "begun\n"  # before, Python itself and numpy answer Ctrl-C
        return run

    yield start
    for run in runs:
        run.kill()
        run.wait()
        run.stdout.close()
        run.stderr.close()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # a zombie is not alive, it waits for its parent to look
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def workers_of(pids):
    return [int(path.name) for path in pids.iterdir()]


@pytest.fixture
def pids(tmp_path):
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


def test_the_number_of_processes_changes_no_byte(start, tmp_path, pids):
    for jobs in ("1", "2"):
        run = start(
            tmp_path / jobs, "run", "slow", "clear", "faint", "--jobs", jobs,
            pids=pids, seconds=0.02,
        )  # fmt: skip
        out, err = run.communicate(timeout=300)
        assert (run.returncode, err) == (0, "")
        assert "slow: 60 seeds in slow.jsonl\n" in out
    assert len(workers_of(pids)) == 3
    assert content(tmp_path / "1") == content(tmp_path / "2")
    assert len(content(tmp_path / "1")) == 3


def test_a_seed_that_fails_does_not_stop_the_others(made_up, tmp_path, capsys):
    assert go(made_up, "run", "failing", "clear", "--jobs", "2", folder=tmp_path) == 1
    told = sorted(capsys.readouterr().err.splitlines())
    assert told == [
        "failing, seed 1001: RuntimeError: no luck at all",
        "failing, seed 1002: its process ended with exit code 3",
    ]
    kept = {path.stem for path in (tmp_path / records.PARTIAL / "failing").iterdir()}
    assert kept == {"1000", "1003", "1004"}
    assert content(tmp_path).keys() >= {"clear.jsonl"}
    assert not (tmp_path / "failing.jsonl").exists()


@unix
def test_ctrl_c_ends_at_once_and_says_how_to_go_on(start, tmp_path, pids):
    run = start(tmp_path / "r", "run", "slow", "--jobs", "2", pids=pids, seconds=30)
    assert wait_for(lambda: len(workers_of(pids)) == 2)
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to the whole group
    before = time.monotonic()
    out, err = run.communicate(timeout=60)
    assert time.monotonic() - before < 10  # a fifth of a second, but on a busy machine
    assert (run.returncode, out, err) == (130, "", KEPT + "\n")
    assert not any(map(alive, workers_of(pids)))


@unix
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.2])
def test_ctrl_c_at_any_moment_leaves_no_traceback(start, tmp_path, pids, pause):
    run = start(tmp_path / "r", "run", "slow", pids=pids, seconds=30)
    time.sleep(pause)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (130, KEPT + "\n")
    assert not any(map(alive, workers_of(pids)))


@unix
def test_no_process_outlives_a_killed_parent(start, tmp_path, pids):
    run = start(tmp_path / "r", "run", "slow", "--jobs", "2", pids=pids, seconds=30)
    assert wait_for(lambda: len(workers_of(pids)) == 2)
    assert all(map(alive, workers_of(pids)))
    run.kill()  # only the parent
    run.wait()
    assert wait_for(lambda: not any(map(alive, workers_of(pids))), seconds=20)
    run.communicate()


@unix
def test_twenty_kills_change_no_byte(start, tmp_path):
    wish = ["run", "slow", "--seeds", "200", "--jobs", "2"]
    rng = np.random.default_rng(0)
    folder = tmp_path / "killed"
    partial = folder / records.PARTIAL / "slow"
    for kill in range(20):
        program = "alone.py" if kill % 5 else "go.py"
        run = start(folder, *wish, seconds=0.005, program=program)
        assert wait_for(lambda kill=kill: len(list(partial.glob("*.json"))) > kill)
        time.sleep(rng.uniform(0, 0.05))
        run.kill()
        run.communicate()
    assert not (folder / "slow.jsonl").exists()  # else there was nothing to kill in the end
    run = start(folder, *wish, program="alone.py")
    run.communicate(timeout=300)
    assert run.returncode == 0
    run = start(tmp_path / "undisturbed", *wish)
    run.communicate(timeout=300)
    assert content(folder) == content(tmp_path / "undisturbed")


def test_a_bar_is_for_terminals_only(made_up, here, tmp_path, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    go(made_up, "run", "clear", folder=tmp_path / "lines")
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "clear: 5 seeds in clear.jsonl"
    assert shown.err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    go(made_up, "run", "clear", folder=tmp_path / "bar")
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "clear: 5 seeds in clear.jsonl"
    assert "clear" in shown.err and "5/5" in shown.err


def test_a_bar_is_drawn_now_and_then_steps_aside_for_lines_and_leaves_nothing(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    report = Report()
    report.begin(2000)
    for _ in range(1000):
        report.step("clear")
    drawn = capsys.readouterr().err
    assert "/2000 [" in drawn and "seed" in drawn and drawn.count("\r") < 200
    report.say("news")
    shown = capsys.readouterr()
    assert shown.out == "news\n"
    assert re.fullmatch(r"\r +\r\r?clear: +50%.* 1000/2000 .*", shown.err)
    report.end()
    assert re.fullmatch(r"\r +\r", capsys.readouterr().err)
    report.complain("trouble")
    report.end()  # as after Ctrl-C: there is no bar any more
    assert capsys.readouterr().err == "trouble\n"


def test_lines_are_told_at_once(monkeypatch):
    class Pipe(io.StringIO):
        seen = ""

        def flush(self):
            self.seen = self.getvalue()

    monkeypatch.setattr(sys, "stdout", Pipe())
    monkeypatch.setattr(sys, "stderr", Pipe())
    Report().say("news")
    Report().complain("trouble")
    assert (sys.stdout.seen, sys.stderr.seen) == ("news\n", "trouble\n")


# --- the hash of the code ------------------------------------------------------------------------

CHAPTER = '''
"""A chapter."""
import numpy as np
from bnlib import layers
from bnlib.experiments import settings
from bnlib.experiments.arms import train
from bnlib.verdicts import Contrast, Rule

GRID = (1, 2)
TABLE = {}
TABLE["x"] = 3
OTHER = 5

class Box:
    side = GRID

def measure(seed, draw, arms):
    """Measures."""
    box = Box()
    own = [OTHER_NAME for OTHER_NAME in box.side]
    return helper(own, settings.RATE) + layers.mlp(train(arms))

def helper(x, rate):
    return x * rate + TABLE["x"]

def unused(x):
    return OTHER

RULES = (Rule("C02", "More.", (Contrast("a", "loss", {"a": 1}, "more", 0.1),)),)
EXPERIMENTS = (measure, unused, RULES)
'''
FILES = {
    "made_up": CHAPTER,
    "bnlib": "from bnlib import layers\n__version__ = '1'\n",
    "bnlib.layers": "from bnlib import functional\nfrom .linear import Linear\nmlp = Linear\n",
    "bnlib.layers.linear": "import bnlib.checks\nclass Linear:\n    'Doc.'\n    x = 1\n",
    "bnlib.functional": "def relu(x):\n    return x\n",
    "bnlib.checks": "def check():\n    pass\n",
    "bnlib.verdicts": "class Rule: pass\nclass Contrast: pass\n",
    "bnlib.experiments": "from bnlib.experiments import machinery\n",
    "bnlib.experiments.machinery": "import os\n",
    "bnlib.experiments.settings": "RATE = 0.1\nOTHER_RATE = 0.2\n",
    "bnlib.experiments.arms": "def train(arms):\n    from bnlib.optim import SGD\n    return arms\n"
    "def untrained():\n    return 0\n",
    "bnlib.optim": "SGD = 1\nAdam = 2\n",
}
PACKAGES = {"bnlib", "bnlib.layers", "bnlib.experiments"}


@pytest.fixture
def hash_of(tmp_path, monkeypatch):
    """Hash `measure` in these files after a change of one of them."""

    def hash_of(module=None, old="", new=""):
        for name, source in FILES.items():
            path = place(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == module:
                assert old in source
                source = source.replace(old, new)
            path.write_text(source, encoding="utf-8")
        return sources.definition_hash("made_up", place("made_up"), "measure")

    def place(name):
        path = tmp_path.joinpath(*name.split("."))
        return path / "__init__.py" if name in PACKAGES else path.with_suffix(".py")

    monkeypatch.setattr(
        sources, "_file_of", lambda name: str(place(name)) if name in FILES else None
    )
    return hash_of


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("made_up", "box.side", "box.side[1:]"),
        ("made_up", "x * rate", "x / rate"),
        ("made_up", "GRID = (1, 2)", "GRID = (1, 3)"),
        ("made_up", "side = GRID", "side = 1"),
        ("made_up", 'TABLE["x"] = 3', 'TABLE["x"] = 4'),
        ("made_up", "TABLE = {}", "TABLE = {1: 2}"),
        ("made_up", 'TABLE["x"] = 3', "TABLE.update(x=3)"),
        ("bnlib.experiments.settings", "RATE = 0.1", "RATE = 0.3"),
        ("bnlib.experiments.arms", "return arms", "return arms[1:]"),
        ("bnlib.optim", "Adam = 2", "Adam = 3"),
        ("bnlib.layers", "mlp = Linear", "mlp = [Linear]"),
        ("bnlib.layers.linear", "x = 1", "x = 2"),
        ("bnlib.functional", "return x", "return -x"),
        ("bnlib.checks", "pass", "return 1"),
    ],
)
def test_the_hash_moves_with_the_code(hash_of, module, old, new):
    assert hash_of(module, old, new) != hash_of()


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("made_up", '"""Measures."""', '"""Measures\n    well."""'),
        ("made_up", "    box = Box()", "    # a box\n    box = (\n        Box()\n    )"),
        ("made_up", '"More."', '"Much more."'),
        ("made_up", '"more", 0.1', '"less", 0.2'),
        ("made_up", "OTHER = 5", "OTHER = 6"),
        ("made_up", "return OTHER", "return 2 * OTHER"),
        ("made_up", "OTHER = 5", "OTHER_NAME = 5"),
        ("made_up", '"""A chapter."""', '"""The chapter."""\nNEW = 1'),
        ("bnlib", "__version__ = '1'", "__version__ = '2'"),
        ("bnlib.verdicts", "pass", "x = 1"),
        ("bnlib.layers.linear", "    'Doc.'\n", ""),
        ("bnlib.experiments.machinery", "import os", "import sys"),
        ("bnlib.experiments.settings", "OTHER_RATE = 0.2", "OTHER_RATE = 0.3"),
        ("bnlib.experiments.arms", "return 0", "return 1"),
    ],
)
def test_the_hash_stays_with_words_rules_and_what_is_not_used(hash_of, module, old, new):
    assert hash_of(module, old, new) == hash_of()


@pytest.mark.parametrize(
    ("imported", "used"),
    [
        ("import bnlib.experiments.settings as settings", "settings.RATE"),
        ("from bnlib.experiments.settings import RATE as rate", "rate"),
        ("from bnlib.experiments import settings as s", "s.RATE"),
        ("from bnlib.experiments import settings as s", "getattr(s, 'RATE')"),
        ("import bnlib.experiments.settings", "bnlib.experiments.settings.RATE"),
    ],
)
def test_every_way_to_import_is_followed(hash_of, monkeypatch, imported, used):
    source = CHAPTER.replace("from bnlib.experiments import settings", imported)
    monkeypatch.setitem(FILES, "made_up", source.replace("settings.RATE", used))
    before = hash_of()
    assert hash_of("bnlib.experiments.settings", "RATE = 0.1", "RATE = 0.3") != before


@pytest.mark.parametrize(
    "first", ["from bnlib.experiments.settings import RATE", "from .settings import RATE"]
)
def test_a_name_that_a_file_has_from_another_is_followed(hash_of, monkeypatch, first):
    handed_on = f"{first}\n" + FILES["bnlib.experiments.arms"]
    monkeypatch.setitem(FILES, "bnlib.experiments.arms", handed_on)
    imported = "from bnlib.experiments.arms import RATE as rate"
    source = CHAPTER.replace("from bnlib.experiments import settings", imported)
    monkeypatch.setitem(FILES, "made_up", source.replace("settings.RATE", "rate"))
    before = hash_of()
    assert hash_of("bnlib.experiments.settings", "RATE = 0.1", "RATE = 0.3") != before
    assert hash_of("bnlib.experiments.settings", "RATE = 0.2", "RATE = 0.3") == before


def test_a_module_s_own_relative_imports_are_followed(hash_of, monkeypatch):
    source = FILES["bnlib.layers.linear"].replace("import bnlib.checks", "from .. import checks")
    monkeypatch.setitem(FILES, "bnlib.layers.linear", source)
    before = hash_of()
    assert hash_of("bnlib.checks", "pass", "return 1") != before


@pytest.mark.parametrize("inside", [True, False])
def test_relative_imports_of_an_experiment_are_followed(hash_of, monkeypatch, inside):
    source, absolute = FILES["bnlib.experiments.arms"], "from bnlib.optim import SGD"
    assert absolute in source
    source = source.replace(absolute, "from ..optim import SGD" if inside else "SGD")
    if not inside:
        source = "from ..optim import SGD\n" + source
    monkeypatch.setitem(FILES, "bnlib.experiments.arms", source)
    before = hash_of()
    assert hash_of("bnlib.optim", "Adam = 2", "Adam = 3") != before


def test_a_call_that_changes_a_table_is_followed(hash_of, monkeypatch):
    monkeypatch.setitem(FILES, "made_up", CHAPTER.replace('TABLE["x"] = 3', "TABLE.update(x=3)"))
    assert hash_of("made_up", "update(x=3)", "update(x=4)") != hash_of()


def test_only_definitions_at_the_top_have_a_hash(made_up):
    with pytest.raises(ValueError, match="needs a definition at the top of"):
        sources.source_hash(lambda seed, draw, arms: None)
    first = sources.source_hash(made_up["clear"].measure)
    assert first == sources.source_hash(made_up["clear"].measure)
    assert first != sources.source_hash(made_up["faint"].measure)


def test_trees_are_written_alike_in_every_python():
    # `type_params` is new in 3.12, and 3.13 leaves out what is empty: neither may matter.
    tree = ast.parse("def f(x, *, y=None):\n    'Doc.'\n    return f'{x!r:>3}', 1.0, True, b'z'")
    tree.body[0].type_params = []
    tree.body[0]._fields = (*tree.body[0]._fields, "type_params")
    assert sources.canonical(tree) == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='x')],"
        "kwonlyargs=[arg(arg='y')],kw_defaults=[Constant()]),body=[Return(value=Tuple(elts=["
        "JoinedStr(values=[FormattedValue(value=Name(id='x'),conversion=114,format_spec="
        "JoinedStr(values=[Constant(value='>3')]))]),Constant(value=1.0),Constant(value=True),"
        "Constant(value=b'z')]))])])"
    )


# --- the book's own ------------------------------------------------------------------------------

STORED = sorted((ROOT / "results").glob("*.jsonl"))


def test_no_two_experiments_have_one_name():
    assert len(experiments.ALL) == sum(len(one.EXPERIMENTS) for one in experiments.CHAPTERS)


def test_every_experiment_tells_what_it_does():
    for experiment in experiments.ALL.values():
        assert experiment.measure.__doc__, experiment.name
        for rule in experiment.rules:
            assert rule.says.strip(), rule.claim
    for chapter in {experiment.chapter for experiment in experiments.ALL.values()}:
        judging.rules_of(experiments.ALL.values(), chapter)


def test_every_file_of_results_belongs_to_an_experiment():
    assert {path.stem for path in STORED} <= experiments.ALL.keys()


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_results_are_those_of_this_code(path):
    state = runs.state(experiments.ALL[path.stem], path.parent)
    command = f"python -m bnlib.experiments confirm {path.stem}"
    assert state == "up to date", f"{path.name}: {state}: `{command}`, or `run` it again"


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_results_are_in_their_canonical_form(path, tmp_path):
    records.write(tmp_path, records.read(path.parent, path.stem))
    assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_seeds_are_doubled_where_a_claim_was_open():
    known = experiments.ALL.values()
    for chapter in judging.complete_chapters(known, ROOT / "results"):
        doubled = {
            one.name
            for one, _ in judging.rules_of(known, chapter)
            if experiments.load(one.name).header["doubled"]
        }
        assert doubled == judging.to_double(known, chapter, ROOT / "results"), chapter
