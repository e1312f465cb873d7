"""What drawings ask: on each side of each border, and what comes back."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from matplotlib.figure import Figure

from bnlib import plot_checks

THOUSAND = ["a"] * 1000
AXES = Figure().add_subplot()
ONE, TWO = np.array([1.0]), np.array([1.0, 2.0])


def texts(*arguments, **options):
    return plot_checks.words("op", "w", *arguments, **options)


def entries(value, **options):
    return plot_checks.table("op", "t", value, plot_checks.vector, 1, **options)


def wanted(value, *shape, **options):
    return plot_checks.numbers("op", "n", value, *shape, **options)


def asked(name, *arguments):
    return getattr(plot_checks, name)("op", "v", *arguments)


REFUSED = [
    (lambda: asked("word", 3), "op: v must be text, got 3"),
    (lambda: texts("ab"), "op: w must be a sequence of texts, got 'ab'"),
    (lambda: texts(3), "op: w must be a sequence, got 3"),
    (lambda: texts(["a", 3]), "op: each of w must be text, got 3"),
    (lambda: texts([]), "op: w must be 1 to 1000 texts, got 0"),
    (lambda: texts([*THOUSAND, "a"]), "op: w must be 1 to 1000 texts, got 1001"),
    (lambda: texts(["a"], least=2), "op: w must be 2 to 1000 texts, got 1"),
    (lambda: texts(["a"], 2), "op: w must be 2 texts, got 1"),
    (
        lambda: asked("scale", "cubic"),
        "op: v must be one of 'linear', 'log', 'symlog', got 'cubic'",
    ),
    (lambda: asked("ends", [1, 2, 3]), "op: v must be two numbers, got 3 things"),
    (lambda: asked("ends", [2, 2]), "op: v must be two numbers that grow, got (2, 2)"),
    (lambda: asked("ends", [1, "a"]), "op: each of v must be a number, got 'a'"),
    (lambda: asked("ends", [0, np.inf]), "op: each of v must be a finite number, got inf"),
    (lambda: asked("positive_ends", [0, 1]), "op: v must be two numbers above 0, got (0, 1)"),
    (lambda: asked("positive_ends", [2, 1]), "op: v must be two numbers that grow, got (2, 1)"),
    (lambda: asked("size", 2e150), "op: v must be at most 1e+150 in size, got 2e+150"),
    (lambda: asked("size", -2e150), "op: v must be at most 1e+150 in size, got -2e+150"),
    (
        lambda: asked("size", sys.maxsize + 1),
        f"op: v must be at most 1e+150 in size, got {sys.maxsize + 1}",
    ),
    (lambda: asked("length", 0), "op: v must be a number above 0, got 0"),
    (lambda: asked("length", 2e150), "op: v must be at most 1e+150 in size, got 2e+150"),
    (lambda: plot_checks.look("op", xlabel=3), "op: xlabel must be text, got 3"),
    (lambda: plot_checks.look("op", title="t", within=3), "op: within must be text, got 3"),
    (
        lambda: plot_checks.look("op", yscale="no"),
        "op: yscale must be one of 'linear', 'log', 'symlog', got 'no'",
    ),
    (lambda: plot_checks.look("op", xlim=[1]), "op: xlim must be two numbers, got 1 things"),
    (lambda: plot_checks.look("op", ax=3), "op: ax must be matplotlib axes, got 3"),
    (lambda: asked("dash", "="), "op: v must be one of '-', '--', ':', '-.', got '='"),
    (lambda: asked("marker", "oo"), "op: v must be a marker, such as 'o', got 'oo'"),
    (lambda: asked("marker", 3), "op: v must be a marker, such as 'o', got 3"),
    (lambda: wanted(["a"]), "op: n must hold real numbers, got <U1"),
    (lambda: wanted([1j]), "op: n must hold real numbers, got complex128"),
    (lambda: wanted(TWO, 3), "op: n must have shape (3,), got (2,)"),
    (lambda: wanted(TWO, "K", 2), "op: n must have shape (K, 2), got (2,)"),
    (lambda: wanted([[1.0, 2.0]], "K", 3), "op: n must have shape (K, 3), got (1, 2)"),
    (lambda: wanted([]), "op: n must not be empty, got shape (0,)"),
    (lambda: wanted([1, 2e150]), "op: n must hold numbers of at most 1e+150, got 2e+150"),
    (lambda: wanted([1, -2e150]), "op: n must hold numbers of at most 1e+150, got -2e+150"),
    (
        lambda: wanted([1, np.nan], finite=True),
        "op: n must hold finite numbers, got NaN or infinity",
    ),
    (lambda: entries([1]), "op: t must be a dict by text, got list"),
    (lambda: entries({}), "op: t must have 1 to 1000 entries, got 0"),
    (
        lambda: entries({str(key): 1 for key in range(1001)}),
        "op: t must have 1 to 1000 entries, got 1001",
    ),
    (lambda: entries({"a": 1}, least=2), "op: t must have 2 to 1000 entries, got 1"),
    (lambda: entries({3: 1}), "op: each key of t must be text, got 3"),
    (lambda: entries({"a": TWO}), "op: t['a'] must be 1 numbers, got 2"),
    (lambda: asked("vector", TWO, 3), "op: v must be 3 numbers, got 2"),
    (lambda: asked("edges", ONE), "op: v must be two or more numbers that grow, got [1.]"),
    (lambda: asked("edges", [1, 1]), "op: v must be two or more numbers that grow, got [1, 1]"),
    (lambda: asked("edges", [1, np.inf]), "op: v must hold finite numbers, got NaN or infinity"),
    (lambda: asked("edges", [[1, 2]]), "op: v must have shape (K,), got (1, 2)"),
    (
        lambda: asked("rows", TWO, 3),
        "op: v must have shape (3,) or (seeds, 3) to match x, got (2,)",
    ),
    (
        lambda: asked("rows", np.ones((1, 1, 2)), 2),
        "op: v must have shape (2,) or (seeds, 2) to match x, got (1, 1, 2)",
    ),
    (lambda: asked("rows", 1.0, 1), "op: v must have shape (1,) or (seeds, 1) to match x, got ()"),
    (lambda: asked("classes", TWO), "op: v must hold whole numbers, got float64"),
    (lambda: asked("classes", [-1, 3]), "op: v must lie in 0..1000, got -1 to 3"),
    (lambda: asked("classes", [0, 1001]), "op: v must lie in 0..1000, got 0 to 1001"),
    (lambda: asked("parts", [1], 2, "a pair"), "op: v must be a pair, got [1]"),
    (lambda: asked("parts", "ab", 2, "a pair"), "op: v must be a pair, got 'ab'"),
    (lambda: asked("parts", b"ab", 2, "a pair"), "op: v must be a pair, got b'ab'"),
    (lambda: asked("members", [1, "a"], int), "op: each of v must be a int, got 'a'"),
    (
        lambda: asked("positive_ends", (0, 2.0)),
        "op: v must be two numbers above 0, got (0, 2.0)",
    ),
    (lambda: asked("size", Fraction(1, 2)), "op: v must be an int or a float, got Fraction(1, 2)"),
    (lambda: asked("amount", -1), "op: v must not be negative, got -1"),
    (lambda: asked("amount", 2e150), "op: v must be at most 1e+150 in size, got 2e+150"),
    (lambda: asked("has", {"a": 1}, "ab"), "op: v must have an entry for 'b', got ['a']"),
    (lambda: asked("at_most", {"a": 1}, 0), "op: v must have at most 0 entries, got 1"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED, ids=[told for _, told in REFUSED])
def test_beyond_a_border_it_is_refused_in_these_words(call, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value) == sentence


def test_on_a_border_it_is_taken_as_it_is():
    assert texts(("a", "b")) == ["a", "b"]
    assert texts(THOUSAND, 1000) == THOUSAND
    assert texts([], least=0) == []
    asked("ends", (-1e150, 1e150))
    asked("positive_ends", (1e-300, 1))
    asked("size", 2**62)
    asked("size", -1e150)
    asked("length", 1e150)
    plot_checks.look("op", xlabel="x", xscale="log", ylim=None, xlim=(0, 1), ax=None)
    plot_checks.look("op", ax=AXES)
    assert asked("dash", "-.") == "-."
    assert asked("marker", "s") == "s"
    assert asked("parts", (1, 2), 2, "a pair") == [1, 2]
    assert asked("members", (1, 2), int) == [1, 2]
    assert asked("amount", 0) == 0 and asked("amount", "much") == "much"
    asked("has", {"a": 1, "b": 2}, ["a"])
    asked("at_most", {"a": 1}, 1)
    assert asked("classes", [0, 1000]).tolist() == [0, 1000]
    assert asked("edges", [1, 2]).tolist() == [1, 2]
    assert asked("rows", [[1, 2]], 2).shape == (1, 2) and asked("rows", TWO, 2).shape == (2,)
    assert entries({"a": 1, "b": [2]}) == {"a": 1, "b": 2}
    assert entries({}, least=0) == {}
    assert asked("vector", [[1, 2], [3, 4]], 4).tolist() == [1, 2, 3, 4]


def test_a_vector_may_be_asked_to_be_finite():
    assert np.isnan(asked("vector", [np.nan], 1)).all()
    with pytest.raises(ValueError, match="op: v must hold finite numbers"):
        plot_checks.vector("op", "v", [np.nan], 1, finite=True)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.int8, np.int8),
        (np.uint8, np.uint8),
        (np.float16, np.float64),
        (np.longdouble, np.float64),
        (bool, np.float64),
    ],
)
def test_a_dtype_without_linear_algebra_becomes_a_wide_one(given, kept):
    taken = wanted(np.array([[0, 1]], given), "K", 2)
    assert taken.dtype == kept and taken.tolist() == [[0, 1]]


def test_a_gap_is_no_large_number():
    taken = wanted(np.array([np.nan, np.inf, -np.inf, 3e38], np.float32), 4)
    assert taken[3] == np.float32(3e38) and not np.isfinite(taken[:3]).any()
    assert wanted([1e150])[0] == 1e150
