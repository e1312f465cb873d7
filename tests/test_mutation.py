"""The list of equivalent mutants fits the code, and the script that tries them can say no."""

import inspect
import os
import pkgutil
import signal
import subprocess
from pathlib import Path

import mutation
import numpy as np
import pytest
from mutation import (
    ROOT,
    Mutant,
    Place,
    changed_lines,
    complaints,
    exchange,
    exchanges,
    listed,
    living,
    module_of,
    reached_by,
    score,
    side_by_side,
    to_compare,
)
from test_experiments import wait_for

LISTED = listed()
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.mark.parametrize(("mutant", "reason"), LISTED, ids=[mutant.where for mutant, _ in LISTED])
def test_what_is_listed_still_stands_in_the_code(mutant, reason):
    function = pkgutil.resolve_name(mutant.where)
    code = "\n".join(line.strip() for line in inspect.getsource(function).splitlines())
    assert mutant.before in code
    assert mutant.after not in (mutant.before, "") and reason.endswith(".")


def test_the_lines_that_differ_are_found():
    before, after = "def f():\n    a = 0\n    return 1\n", "def f():\n    a = 0\n    return 2\n"
    assert changed_lines(before, after) == ("return 1", "return 2")


def test_a_file_is_a_module():
    assert module_of(ROOT / "bnlib" / "layers" / "norms.py") == "bnlib.layers.norms"
    assert module_of(ROOT / "bnlib" / "layers" / "__init__.py") == "bnlib.layers"


def tried(module, name, source, ask):
    """What a child says in which a function of bnlib was exchanged."""
    mutant, file = Mutant(f"bnlib.{module}.{name}", "", ""), ROOT / "bnlib" / f"{module}.py"
    found = living()

    def work():
        exchange(Place(mutant, file, range(1), range(1), source), found)
        return repr(ask())

    return side_by_side([work])[0]


def test_a_function_is_exchanged_in_a_child_only():
    from bnlib import folding

    changed = "def fold(network, much=2):\n    return much"
    assert tried("folding", "fold", changed, lambda: folding.fold(None)) == "2"
    with pytest.raises(TypeError):
        folding.fold(None)


def test_a_method_finds_the_class_above_it():
    from bnlib import layers, optim

    network = layers.mlp([2, 3], rng=np.random.default_rng(0))
    changed = """class Adam:
    def __init__(self, network, lr=2.0):
        super().__init__(network, lr=lr, weight_decay=0.0)
"""
    assert tried("optim", "Adam.__init__", changed, lambda: optim.Adam(network).lr) == "2.0"


def test_functions_inside_are_exchanged_too():
    codes = [
        compile(f"def f():\n    def g(): return {n}\n    return g", "", "exec") for n in (1, 2)
    ]
    names = [(old.co_name, new.co_name) for old, new in exchanges(*codes)]
    assert names == [("<module>", "<module>"), ("f", "f"), ("g", "g")]


def test_a_child_that_dies_is_noticed_and_leaves_nothing_behind():
    words = side_by_side(
        [lambda: "well", lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: 1 / 0]
    )
    assert words == ["well", "it died", ""]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux tells whose child it is")
@pytest.mark.parametrize("told_by", ["environment", "folder"])
def test_a_child_takes_with_it_what_it_has_started_apart(tmp_path, told_by):
    def work():
        by_folder = {"cwd": os.environ["PYTEST_DEBUG_TEMPROOT"], "env": {}}
        options = by_folder if told_by == "folder" else {}
        apart = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True, **options)
        (tmp_path / "pid").write_text(str(apart.pid))
        os.kill(os.getpid(), signal.SIGKILL)

    assert side_by_side([work]) == ["it died"]
    pid = int((tmp_path / "pid").read_text())
    assert wait_for(lambda: not _alive(pid))


def _alive(pid):
    """Whether it runs: not if it has ended and nobody asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Data:
    """What coverage tells: the tests that reached each line of a file."""

    def measured_files(self):
        return ["a.py"]

    def contexts_by_lineno(self, file):
        return {1: [""], 2: ["", "broad", "narrow"], 3: ["broad"], 5: [""], 6: [""]}


@pytest.mark.parametrize(
    ("lines", "function", "tests"),
    [
        (range(2, 3), range(1, 5), ["narrow", "broad"]),
        (range(3, 5), range(1, 5), ["broad"]),
        (range(1, 2), range(1, 5), ["narrow", "broad"]),  # a default: read at import
        (range(6, 7), range(5, 7), None),  # a function that was called at import only
        (range(8, 9), range(7, 9), []),
    ],
)
def test_the_tests_of_a_line_are_those_that_reach_it_the_narrow_ones_first(lines, function, tests):
    place = Place(Mutant("a.f", "", ""), Path("a.py"), lines, function, "")
    assert reached_by(Data())(place) == tests


def places_of(module, *mutants):
    file = ROOT / "bnlib" / f"{module}.py"
    return [Place(mutant, file, range(1), range(1), "") for mutant in mutants]


def test_the_score_counts_by_module():
    (graph,), (optim,) = (places_of(name, Mutant("", "", "")) for name in ("graph", "optim"))
    outcomes = [(graph, "a"), (graph, ""), (graph, "b"), (optim, "c")]
    assert score(outcomes) == {"bnlib.graph": (2, 3), "bnlib.optim": (1, 1)}


def test_what_is_listed_counts_in_whole_modules_only_and_must_survive_in_all():
    one, two, three = (Mutant("bnlib.graph.f", "a", after) for after in "bcd")
    same, other = Mutant("bnlib.graph_words.g", "a", "b"), Mutant("bnlib.graph_words.g", "a", "c")
    places = places_of("graph", one, two) + places_of("graph_words", same, same, other)
    outcomes = list(zip(places, ["", "a", "", "", ""], strict=True))
    known = [one, three, same]
    assert score(outcomes, known) == {"bnlib.graph": (1, 2), "bnlib.graph_words": (0, 1)}
    whole = to_compare(outcomes, {"bnlib.graph"}, known)
    assert whole == ([one, same, same], [one, three, same, same])
    assert to_compare(outcomes, set(), known) == ([one, same, same], [one, same, same])


def test_survivors_are_those_that_nothing_caught(monkeypatch):
    mutants = [Mutant("bnlib.graph.sum", "return 1", f"return {n}") for n in (2, 3)]
    monkeypatch.setattr(mutation, "OUTCOMES", ROOT / "_build" / "test_mutation.jsonl")
    try:
        places = places_of("graph", *mutants)
        mutation.write(list(zip(places, ["a test", ""], strict=True)))
        assert mutation.survived() == {mutants[1]}
    finally:
        mutation.OUTCOMES.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("sample", "says"), [((6, 10), 0), ((5, 10), 1), ((23, 30), 0), ((22, 30), 1), ((0, 0), 0)]
)
def test_a_sample_is_held_against_a_module_when_it_is_hardly_chance(sample, says):
    assert len(list(complaints({"bnlib.optim": sample}, [], [], sampled=True))) == says


def test_the_chance_of_a_sample():
    assert mutation.chance(1, 2, 0.9) == pytest.approx(0.19)
    assert mutation.chance(2, 2, 0.9) == pytest.approx(1)
    assert mutation.chance(8, 10, 0.9) == pytest.approx(0.2639, abs=1e-4)


ONE = Mutant("bnlib.graph.sum", "return 1", "return 2")


@pytest.mark.parametrize(
    ("scores", "survivors", "equivalent", "says"),
    [
        ({"bnlib.graph": (95, 100)}, [ONE], [ONE], []),
        ({"bnlib.graph": (94, 100)}, [], [], ["94 of 100 mutants were caught"]),
        ({"bnlib.optim": (90, 100)}, [], [], []),
        ({"bnlib.optim": (89, 100)}, [], [], ["89 of 100 mutants were caught"]),
        ({}, [ONE], [], ["No test notices: in bnlib.graph.sum"]),
        ({}, [ONE, ONE], [ONE], ["No test notices: in bnlib.graph.sum"]),
        ({}, [], [ONE], ["Listed as equivalent, but no survivor: in bnlib.graph.sum"]),
    ],
)
def test_what_is_not_as_it_must_be_is_said(scores, survivors, equivalent, says):
    said = list(complaints(scores, survivors, equivalent))
    assert len(said) == len(says)
    for sentence, part in zip(said, says, strict=True):
        assert part in sentence
