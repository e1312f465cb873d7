"""The list of equivalent mutants fits the code, and the script that checks it can say no."""

import importlib
import inspect
from functools import reduce

import pytest
from mutation import Mutant, changed_lines, complaints, listed, module_of, score, where

LISTED = listed()


@pytest.mark.parametrize(("mutant", "reason"), LISTED, ids=[mutant.where for mutant, _ in LISTED])
def test_what_is_listed_still_stands_in_the_code(mutant, reason):
    module = module_of(mutant.where)
    path = mutant.where.removeprefix(module + ".").split(".")
    function = reduce(getattr, path, importlib.import_module(module))
    code = "\n".join(line.strip() for line in inspect.getsource(function).splitlines())
    assert mutant.before in code
    assert mutant.after not in (mutant.before, "") and reason.endswith(".")


def test_a_diff_is_read():
    diff = "--- a.py\n+++ a.py\n@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2\n"
    assert (changed_lines(diff, "-"), changed_lines(diff, "+")) == ("return 1", "return 2")


def test_a_name_tells_the_function():
    assert where("bnlib.graph.xǁNodeǁ__add____mutmut_1") == "bnlib.graph.Node.__add__"
    assert where("bnlib.graph.x__axes__mutmut_12") == "bnlib.graph._axes"


def test_the_score_counts_by_module():
    outcomes = {
        "bnlib.graph.x_sum__mutmut_1": "killed",
        "bnlib.graph.x_sum__mutmut_2": "timeout",
        "bnlib.graph.x_sum__mutmut_3": "survived",
        "bnlib.graph.x_sum__mutmut_4": "no tests",
        "bnlib.optim.x_sgd__mutmut_1": "killed",
    }
    assert score(outcomes) == {"bnlib.graph": (2, 4), "bnlib.optim": (1, 1)}


ONE = Mutant("bnlib.graph.sum", "return 1", "return 2")


@pytest.mark.parametrize(
    ("scores", "survivors", "equivalent", "says"),
    [
        ({"bnlib.graph": (95, 100)}, [(ONE, "a")], [(ONE, "same")], []),
        ({"bnlib.graph": (94, 100)}, [], [], ["94 of 100 mutants were caught"]),
        ({}, [(ONE, "a")], [], ["No test notices a: in bnlib.graph.sum"]),
        ({}, [(ONE, "a"), (ONE, "b")], [(ONE, "same")], ["No test notices b"]),
        ({}, [], [(ONE, "same")], ["Listed as equivalent, but no survivor: in bnlib.graph.sum"]),
    ],
)
def test_what_is_not_as_it_must_be_is_said(scores, survivors, equivalent, says):
    said = list(complaints(scores, survivors, equivalent))
    assert len(said) == len(says)
    for sentence, part in zip(said, says, strict=True):
        assert part in sentence
