"""The parts that all checkers share, one by one: words, calls, comparisons, the search."""

import inspect
import re
from typing import NamedTuple

import numpy as np
import pytest

from bnlib.exercises import (
    answers,
    backward_suspects,
    blindness,
    calling,
    diagnosis,
    examination,
    gradient_checks,
)
from bnlib.exercises.calling import Unfit
from bnlib.exercises.diagnosis import CLOSE, EXACT, Mistake
from bnlib.normalization import batch_norm, batch_norm_backward

# --- words ----------------------------------------------------------------------------------------


def test_paragraphs_are_filled_and_lines_that_begin_with_a_blank_are_not():
    long = "    x = " + "1, " * 30
    answer = answers.answer(False, ["a-bc " * 20, long, "end"], ["one"])
    assert answer.text == f"{('a-bc ' * 14).strip()}\n{('a-bc ' * 6).strip()}\n{long}\nend"
    assert (answer.right, answer.mistakes) == (False, ("one",))
    assert answers.answer(True, ["x" * 65 + " half-full"]).text == "x" * 65 + "\nhalf-full"
    assert answers.answer(True, ["ab " * 23 + "c"]).text == "ab " * 23 + "c"
    assert answers.answer(True, ["ab " * 22 + "half-full"]).text == "ab " * 21 + "ab\nhalf-full"
    assert answers.answer(True, ["ab " * 23 + "cd"]).text == "ab " * 22 + "ab\ncd"


@pytest.mark.parametrize(
    ("names", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_names_are_listed_as_in_a_sentence(names, text):
    assert answers.listed(names) == text
    assert answers.verb(names, "is", "are") == ("is" if len(names) == 1 else "are")


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (1.23456, 1, "1.235"),
        (-2e-9, 1, "-2e-09"),
        (1e-9, 1, "1e-09"),
        (-9e-10, 1, "0"),
        (9e-7, 1000, "0"),
        (9e-10, 0.001, "9e-10"),
        (np.nan, 1, "nan"),
    ],
)
def test_a_number_has_four_digits_and_a_rounding_error_none(value, scale, text):
    assert answers.number_text(value, scale) == text


def test_a_rounding_error_is_one_beside_1():
    assert (answers.number_text(9e-10), answers.number_text(2e-9)) == ("0", "2e-09")


def test_a_table_can_be_pasted_into_a_cell_and_fits_a_page():
    assert answers.table("eps", 0.5) == "    eps = 0.5"
    assert answers.table("x", np.array([[1.5, -2], [0, 3]])) == (
        "    x = [[ 1.5, -2. ],\n         [ 0. ,  3. ]]"
    )
    for length in range(1, 12):  # in one line of 57 + length
        lines = answers.table("x" * length, np.arange(1, 11) / 10).splitlines()
        assert (len(lines) == 1) == (57 + length <= answers.COLUMNS - 4), lines


# --- calls ----------------------------------------------------------------------------------------


class Cache(NamedTuple):
    x: np.ndarray
    eps: float


def given():
    return {"dy": np.array([1.0, np.nan]), "cache": Cache(np.zeros(2), 0.5), "n": 3}


def test_a_call_gets_copies_and_tells_what_was_changed():
    def run(dy, cache, n):
        cache.x[0] = 7
        return dy, n

    arguments = given()
    reply = calling.ask(run, arguments)
    assert reply.value[0] is not arguments["dy"] and reply.value[1] == 3
    assert (reply.error, reply.changed) == (None, ("cache.x",))
    np.testing.assert_equal(arguments, given())
    assert calling.ask(lambda dy, cache, n: 1, arguments) == (1, None, ())


def test_what_a_call_raises_is_kept_and_ctrl_c_is_not():
    def run(error):
        raise error

    for error in (ValueError("x"), SystemExit(3)):
        assert calling.ask(run, {"error": error}) == (None, error, ())
    with pytest.raises(KeyboardInterrupt):
        calling.ask(run, {"error": KeyboardInterrupt()})


def test_warnings_of_a_call_are_kept_from_the_page():
    assert calling.ask(lambda x: np.log(-x), {"x": np.ones(1)}).error is None


def test_a_copy_may_have_another_dtype_in_all_of_its_fields():
    copy = calling.fresh(Cache(np.ones(2), 0.5), np.float32)
    assert type(copy) is Cache and copy.x.dtype == np.float32 and copy.eps == 0.5
    whole = np.arange(2)
    assert calling.fresh(whole).dtype == whole.dtype and calling.fresh(whole) is not whole


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda dy, cache: 1, None),
        (lambda *any: 1, None),
        (lambda dy: 1, "The checker calls f(dy, cache); your function takes (dy)."),
        (None, "The checker wants the function itself, f(dy, cache), and not a call of it; got a "
         "NoneType."),
        (np.ones(1), "The checker wants the function itself, f(dy, cache), and not a call of it; "
         "got a numpy array."),
        (Cache, "The checker wants the function itself, f(dy, cache), and not a call of it; got "
         "the class Cache."),
    ],
)  # fmt: skip
def test_a_function_that_does_not_fit_is_told_how_it_is_called(f, text):
    assert calling.misfit(f, ["dy", "cache"]) == text


def test_what_a_function_takes_is_a_number_of_arguments_and_names_of_options():
    def f(x, gamma, *, eps=0):
        return x

    assert calling.takes(f, ["a", "b"]) and calling.takes(f, ["a", "b"], ["eps"])
    assert not calling.takes(f, ["a"]) and not calling.takes(f, ["a", "b"], ["momentum"])


def test_a_function_in_c_that_does_not_tell_is_believed_to_take_arguments(monkeypatch):
    def signature(f):
        raise ValueError("no signature found")

    monkeypatch.setattr(inspect, "signature", signature)
    assert calling.takes(max, ["a", "b"]) and not calling.takes(max, ["a"], ["key"])


def inside(x):
    def deeper():
        return x[9]

    return deeper()


def outside(x):
    return np.linalg.inv(x)


def without_end(x):
    return without_end(x)


@pytest.mark.parametrize(
    ("f", "argument", "text"),
    [
        (inside, [1], "stopped on it in its line 3: IndexError: list index out of range."),
        (outside, np.zeros((1, 1)), "stopped on it in its line 2: LinAlgError: Singular matrix."),
        (without_end, 1, "calls itself without end in its line 2."),
        ([].index, 1, "stopped on it: ValueError: "),
    ],
)
def test_an_error_is_told_with_the_line_of_the_readers_function(f, argument, text):
    with pytest.raises((IndexError, RecursionError, ValueError)) as raised:
        f(argument)
    told = calling.stopped(raised.value, f, " on it")
    assert told.startswith(f"Your function {text}")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("too\nlarge"), "Your function stopped here: ValueError: too."),
        (ValueError("  Done.. "), "Your function stopped here: ValueError: Done."),
        (ValueError(), "Your function stopped here: ValueError."),
        (ValueError("x" * 201), f"Your function stopped here: ValueError: {'x' * 200}."),
        (KeyError("<A at 0x7fA0>"), "Your function stopped here: KeyError: '<A>'."),
        (SystemExit(), "Your function asks the whole program to end."),
        (RecursionError(), "Your function calls itself without end."),
    ],
)
def test_an_error_is_told_in_one_line_without_addresses(error, text):
    assert calling.stopped(error, print, " here") == text


def test_it_may_stop_anywhere():
    for f in (print, inside):
        assert calling.stopped(KeyError(1), f) == "Your function stopped: KeyError: 1."


class Valued:
    inputs = value = ()


ONLY_VALUE = type("OnlyValue", (), {"value": 1})()


@pytest.mark.parametrize(
    ("convert", "value", "text"),
    [
        (calling.as_array, 3, "y must be a numpy array; yours is an int."),
        (calling.as_array, [3], "y must be a numpy array; yours is a list: np.array(...) makes "
         "one of it."),
        (calling.as_array, Valued(), "y must be a numpy array; yours is a Valued of the graph: "
         "return its .value."),
        (calling.as_array, ONLY_VALUE, "y must be a numpy array; yours is an OnlyValue."),
        (calling.as_array, np.array([1j]), "y must be real, and yours is complex: take .real, or "
         ".imag / step."),
        (calling.as_array, np.array(["a"]), "y must hold numbers; yours has the dtype <U1."),
        (calling.as_array, np.array([None]), "y must hold numbers; yours has the dtype object."),
        (calling.as_number, "3", "y must be a number; yours is a str."),
        (calling.as_number, np.ones((2, 1)), "y must be one number; yours is an array of shape "
         "(2, 1)."),
        (calling.as_number, np.complex128(1), "y must be real, and yours is complex: take .real, "
         "or .imag / step."),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_unfit(convert, value, text):
    with pytest.raises(Unfit, match=f"^{re.escape(text)}$"):
        convert("y", value)


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint8, bool])
def test_arrays_of_numbers_stay_as_they_are(dtype):
    array = np.ones((2, 1), dtype)
    assert calling.as_array("y", array) is array
    assert calling.as_array("y", array[0, 0]) == 1
    assert calling.as_number("y", np.ones((), dtype)).shape == ()
    assert type(calling.as_number("y", 2)) is np.ndarray


def test_nothing_and_dots_are_missing():
    assert calling.is_missing(None) and calling.is_missing(...)
    assert not calling.is_missing(0) and not calling.is_missing(np.zeros(1))


# --- comparisons ----------------------------------------------------------------------------------

NAN = np.array([np.nan, 1.0])


@pytest.mark.parametrize(
    ("got", "expected", "is_same"),
    [
        (None, None, True),
        (None, np.ones(1), False),
        (np.ones(1), None, False),
        (np.ones(1), np.ones((1, 1)), False),
        (NAN, NAN, True),
        (NAN, np.ones(2), False),
        (np.array([1e6, 1.0]), np.array([1e6, 1.5]), True),
        (np.array([1e6, 1.0]), np.array([1e6, 4.5]), False),
        (np.array([2e-9]), np.zeros(1), True),
        (np.array([4e-9]), np.zeros(1), False),
    ],
)
def test_arrays_are_the_same_beside_their_largest_number(got, expected, is_same):
    assert diagnosis.same(got, expected) == is_same


def test_the_scale_of_an_array_is_its_largest_finite_number():
    assert diagnosis.scale(np.array([0.5, -3.0, np.inf, np.nan])) == 3.0
    assert diagnosis.scale(np.array([0.25])) == 0.25
    assert diagnosis.scale(np.array([1e-5])) == diagnosis.scale(np.array([np.nan])) == 1e-3


COMPARED = [
    ([np.ones(2)], True, True),
    ([np.zeros(2)], False, False),
    ([np.full(2, 1e-10)], False, False),
    ([np.array([0.0, 1.0])], True, True),
    ([np.full(2, np.nan)], True, False),
    ([NAN], True, True),
    ([None], False, False),
    ([None, np.ones(2)], True, True),
    ([np.full(2, np.nan), np.zeros(2)], True, True),
]


@pytest.mark.parametrize(("got", "something", "tells"), COMPARED)
def test_zeros_and_nan_tell_nothing(got, something, tells):
    compared = examination.Comparison(got, [np.ones(2)] * len(got))
    assert (compared.is_something(), bool(compared.tells())) == (something, tells)


def test_a_comparison_agrees_if_it_does_everywhere():
    right, near = np.ones(2), np.ones(2) + 1e-7
    assert examination.Comparison([right, near], [right, right]).agrees(CLOSE)
    assert not examination.Comparison([right, near], [right, right]).agrees(EXACT)
    assert not examination.Comparison([right, None], [right, right]).agrees(CLOSE)


# --- the search -----------------------------------------------------------------------------------

STEPS = {
    "a": lambda v: 2 * v.x,
    "b": lambda v: v.a + v.shift,
    "c": lambda v: v.b[v.place],
}
FIRST = Mistake("first", "y", "First.", ({"a": lambda v: 3 * v.x}, {"a": lambda v: v.x}))
NEARLY = Mistake("nearly", "y", "Nearly.", ({"b": lambda v: v.a + v.shift + 1 + 1e-7},))
EXACTLY = Mistake("exactly", "y", "Exactly.", ({"b": lambda v: v.a + v.shift + 1},))
BATCHES = [
    {"x": np.ones(2), "shift": 1.0, "place": 0},
    {"x": np.arange(3.0), "shift": 2, "place": 1},
]


def explained(change, mistakes):
    got = [STEPS["b"](diagnosis.follow(STEPS, batch)) + change for batch in BATCHES]
    found = diagnosis.explain(STEPS, mistakes, BATCHES, {"b": got})
    return found and [mistake.name for mistake in found]


def test_suspects_are_single_ways_then_pairs_that_do_not_meet():
    names = [
        [mistake.name for mistake in named]
        for named, _ in diagnosis.suspects([FIRST, NEARLY, EXACTLY])
    ]
    pairs = [["first", "nearly"]] * 2 + [["first", "exactly"]] * 2
    assert names == [["first"], ["first"], ["nearly"], ["exactly"], *pairs]
    replaced = [way.keys() for named, way in diagnosis.suspects([FIRST, EXACTLY])]
    assert replaced[-1] == {"a", "b"}


def test_a_mistake_that_fits_to_the_last_digit_is_preferred():
    assert explained(1, [FIRST, NEARLY, EXACTLY]) == ["exactly"]
    assert explained(1, [FIRST, NEARLY]) == ["nearly"]
    assert explained(1, [NEARLY, Mistake("other", "y", "", NEARLY.ways)]) == ["nearly"]
    assert explained(5, [FIRST, NEARLY, EXACTLY]) is None


def test_a_mistake_must_fit_every_batch():
    got = [np.full(2, 4.0), np.zeros(3)]
    assert diagnosis.explain(STEPS, [FIRST, EXACTLY], BATCHES, {"b": got}) is None
    assert diagnosis.explain(STEPS, [FIRST, EXACTLY], BATCHES[:1], {"b": got[:1]}) == (FIRST,)


def test_where_numpy_refuses_there_is_no_outcome():
    batch = BATCHES[0]
    assert diagnosis.outcomes(STEPS, ["b", "c"], batch | {"place": 7}, {}) == [None, None]
    assert diagnosis.outcomes(STEPS, ["b"], batch | {"shift": np.ones(3)}, {}) == [None]
    b, c = diagnosis.outcomes(STEPS, ["b", "c"], batch, {"a": lambda v: v.x})
    assert b.tolist() == [2.0, 2.0] and c == 2.0 and isinstance(c, np.ndarray)


# --- what is said about what was found ------------------------------------------------------------

NAMES = tuple("pqrstuv")
SEVEN = {name: lambda v, k=k: k * v.x for k, name in enumerate(NAMES, start=1)}


def toy(f, outputs=NAMES[:2], mistakes=(), **settings):
    """Ask f for multiples of x, which is all that this exercise is about."""
    batches = settings.pop("batches", [{"x": np.array([1.0, 2.0])}, {"x": np.arange(1.0, 10.0)}])
    exercise = examination.Exercise(
        SEVEN, outputs, mistakes, lambda batch: batch, lambda f, x: f(x),
        lambda value: dict(zip(outputs, value, strict=False)), lambda batch: batch, **settings,
    )  # fmt: skip
    answer = examination.examine(exercise, f, batches)
    return answer.right, answer.mistakes, " ".join(answer.text.split())


DOUBLED = Mistake("doubled", "y", "It is doubled.", ({"q": lambda v: 4 * v.x},))
Y = "Go back to chapter forward_pass, “Four lines of arithmetic”, the line of y."
SHOWN = " The first batch was: x = [1., 2.]"
RIGHT = "Right: p and q agree with the derivation on all 2 made-up batches."
Q = "Not right yet: q. (p is right.) q"
NO_NAME = "is wrong in a way that I have no name for. The first number that differs on a batch of"


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: (x, 2 * x), RIGHT),
        (lambda x: (x, 2 * x * (1 + 1e-7)), f"{RIGHT} They agree to about six digits and then "
         "part: something in it is float32, or a finite difference. The formula is right."),
        (lambda x: (x,), "Not yet: q is missing. Fill it in and run the cell again."),
        (lambda x: (None, ...), "Not yet: your function returns nothing. Fill it in and run the "
         "cell again."),
        (lambda x: (x, 3 * x), f"{Q} {NO_NAME} shape (2,) is q[0]: 2 is right, yours is 3. Every "
         f"number is 1.5 times the right one there.{SHOWN}"),
        (lambda x: (x + 1, 0 * x), f"Not right yet. Two things at once: p {NO_NAME} shape (2,) is "
         f"p[0]: 1 is right, yours is 2. q is 0 everywhere.{SHOWN}"),
        (lambda x: (x, np.where(x > 5, 0, 2 * x)), f"{Q} {NO_NAME} shape (9,) is q[5]: 12 is "
         "right, yours is 0."),
        (lambda x: (x, 2 * x[None]), f"{Q} must have the shape (2,) on a batch of shape (2,); "
         "yours has (1, 2). The numbers in it are right."),
        (lambda x: (x, 2 * x[:1]), f"{Q} must have the shape (2,) on a batch of shape (2,); yours "
         f"has (1,).{SHOWN}"),
        (lambda x: (x, 2 * x if len(x) == 2 else None), f"{Q} is missing on a batch of shape "
         "(9,)."),
        (lambda x: (x, 4 * x), f"Not right yet: q. (p is right.) It is doubled. {Y}"),
        (lambda x: (x, 3 * x) if len(x) == 9 else [][0], "Not right yet. Your function "
         "stopped on a batch of shape (2,) in its line 1: IndexError: list index out of range. On "
         "a batch of shape (9,) it ran."),
        (lambda x: [][0], "Not right yet. Your function stopped in its line 1: IndexError: list "
         "index out of range."),
    ],
)  # fmt: skip
def test_what_was_found_is_said(f, text):
    right, mistakes, said = toy(f, mistakes=(DOUBLED,))
    assert said == text
    assert right is text.startswith("Right")
    named = {"doubled": "doubled" in said, "shape": "numbers in it are right" in said}
    assert mistakes == tuple(name for name, is_said in named.items() if is_said)


def test_several_things_at_once_are_counted():
    numbers = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six", 7: "Several"}
    for number, word in numbers.items():
        text = toy(lambda x, n=number: [x + 1] * n, NAMES[:number])[2]
        assert text.startswith(f"Not right yet. {word} things at once: p is wrong")


def test_outputs_that_were_left_for_later_were_not_looked_at():
    text = "Right: p agrees with the derivation on all 2 made-up batches."
    for outputs, rest in (("pq", "q was"), ("pqr", "q and r were")):
        answer = toy(lambda x: (x,), tuple(outputs), optional=("q", "r"))
        assert answer == (True, (), f"{text} {rest} not looked at.")


def test_a_change_in_place_is_told_beside_right_and_wrong_numbers():
    def f(x):
        right = (x.copy(), factor * x)
        x -= 1
        return right

    damage = (
        "Your function changes x in place, and whoever called it still needs it: `x -= mean` "
        "writes into x, `x = x - mean` does not."
    )
    factor = 2
    right, mistakes, text = toy(f)
    assert (right, mistakes) == (False, ("in_place",))
    assert text == f"Not right yet. The numbers are right. {damage}"
    factor = 3
    right, mistakes, text = toy(f)
    assert (right, mistakes) == (False, ("in_place",))
    assert text.startswith("Not right yet: q. (p is right.) Two things at once: q is wrong")
    assert damage in text


def test_probes_ask_further_after_right_numbers_alone():
    asked = []

    def probe(exercise, f, batches, exact):
        asked.append((len(batches), exact))
        return examination.objection("slow", "It is slow.", "y") if slow else None

    slow = True
    said = toy(lambda x: (x, 2 * x), probes=(probe,))
    assert said == (False, ("slow",), f"Not right yet. It is slow. {Y}")
    slow = False
    assert toy(lambda x: (x, 2 * x * (1 + 1e-7)), probes=(probe, probe))[0]
    toy(lambda x: (x, x), probes=(probe,))
    assert asked == [(2, True), (2, False), (2, False)]
    assert examination.objection(None, "No.").mistakes == ()


def test_a_batch_is_shown_if_it_is_small_and_no_mere_number():
    wrong = "The first batch was"
    for size, is_shown in ((1, False), (2, True), (8, True), (9, False)):
        text = toy(lambda x: (x, x + 3), batches=[{"x": np.arange(1.0, size + 1)}])[2]
        assert (wrong in text) == is_shown
    text = toy(lambda x: (x, x + 3), nouns=("case", "cases"))[2]
    assert "The first case was:" in text
    right = toy(lambda x: (x, 2 * x), nouns=("case", "cases"))[2]
    assert right.endswith("on all 2 made-up cases.")


def test_batches_are_called_by_shape_or_by_their_numbers():
    assert examination.by_shape({"x": np.ones((2, 3)), "y": 1}) == "on a batch of shape (2, 3)"
    assert examination.by_value({"m": 32, "x_hat": 0.25}) == "for m = 32 and x_hat = 0.25"


def test_mistakes_that_differ_between_outputs_are_told_apart():
    halved = Mistake("halved", "y", "It is halved.", ({"p": lambda v: v.x / 2},))
    tripled = Mistake("tripled", "y", "It is tripled.", ({"r": lambda v: 9 * v.x},))
    right, mistakes, text = toy(
        lambda x: (x / 2, 4 * x, 9 * x), ("p", "q", "r"), (halved, DOUBLED, tripled)
    )
    assert (right, mistakes) == (False, ("halved", "doubled", "tripled"))
    assert text.startswith("Not right yet. Three things at once: In p: It is halved. Go back to")
    assert "In q: It is doubled. Go" in text and "In r: It is tripled. Go" in text


# --- suspects and what makes a check blind --------------------------------------------------------

X = np.array([[0.5, -2.0], [1.5, 1.0], [-1.0, 3.0], [0.25, 0.5]])
DY = np.array([[1.0, 0.5], [-2.0, 1.5], [0.5, -1.0], [0.75, 2.0]])
GAMMA = np.array([1.5, -0.5])
LAST = np.array([[0, 0], [0, 0], [0, 0], [0, 1]])
MOVED = np.array([-1, 2])  # how far: in sizes of the largest entry


def becomes(change):
    return lambda dx, dgamma, dbeta: (change(dx), dgamma, dbeta)


def largest(array):
    return np.abs(array).max()


WRONG = {
    "zeros": becomes(lambda dx: 0 * dx),
    "thousandfold": becomes(lambda dx: 1000 * dx),
    "gamma forgotten": becomes(lambda dx: dx / GAMMA),
    "flipped": becomes(lambda dx: -dx),
    "rows moved": becomes(lambda dx: dx[::-1]),
    "all too low": becomes(lambda dx: dx - largest(dx)),
    "all too high": becomes(lambda dx: dx + largest(dx)),
    "one entry": becomes(lambda dx: dx + largest(dx) * LAST),
    "one channel": becomes(lambda dx: dx * [-2, 1]),
    "nan": becomes(lambda dx: np.nan * dx),
    "dgamma": lambda dx, dgamma, dbeta: (dx, dgamma + largest(dgamma) * MOVED, dbeta),
    "dbeta": lambda dx, dgamma, dbeta: (dx, dgamma, dbeta + largest(dbeta) * MOVED),
    "swapped": lambda dx, dgamma, dbeta: (dx, dbeta, dgamma),
    "one percent": lambda *all: [1.01 * g for g in all],
    "doubled": lambda *all: [2 * g for g in all],
    "halved": lambda *all: [g / 2 for g in all],
    "by size": lambda *all: [g / 8 for g in all],
    "by rows": lambda *all: [g / 4 for g in all],
    "right, small units": lambda *all: [g * 1e-6 for g in all],
    "zeros, small units": lambda dx, dgamma, dbeta: (0 * dx, dgamma * 1e-6, dbeta * 1e-6),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_suspect_is_wrong_in_the_way_that_it_says(name):
    suspect = backward_suspects.SUSPECTS[name]
    cache = suspect.forward(X, GAMMA, np.zeros(2))[1]
    expected = WRONG[name](*batch_norm_backward(DY, cache))
    for got, want in zip(suspect.backward(DY, cache), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize(
    ("name", "mean", "var", "rows"),
    [
        ("variance path cut", 1, 0, 4),
        ("variance path added", 1, -1, 4),
        ("mean path cut", 0, 1, 4),
        ("both paths cut", 0, 0, 4),
        ("n - 1", 1, 1, 3),
    ],
)
def test_a_suspect_without_a_path_lacks_that_path_alone(name, mean, var, rows):
    cache = batch_norm(X, GAMMA, np.zeros(2))[1]
    dx, dgamma, dbeta = backward_suspects.SUSPECTS[name].backward(DY, cache)
    paths = mean * DY.sum(0) + var * cache.x_hat * (DY * cache.x_hat).sum(0)
    np.testing.assert_allclose(dx, GAMMA * cache.inv_std * (DY - paths / rows), rtol=1e-12)
    np.testing.assert_allclose([dgamma, dbeta], batch_norm_backward(DY, cache)[1:], rtol=1e-12)


def test_a_suspect_of_which_nothing_is_asked_is_right():
    cache = batch_norm(X, GAMMA, np.zeros(2))[1]
    right = batch_norm_backward(DY, cache)
    for backward in (backward_suspects.rebuilt(), backward_suspects.times()):
        for got, want in zip(backward(DY, cache), right, strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)  # rebuilt: eps has a part, too


def test_a_deaf_suspect_answers_as_to_ones():
    cache = batch_norm(X, GAMMA, np.zeros(2))[1]
    deaf = backward_suspects.SUSPECTS["deaf"].backward(DY, cache)
    for got, want in zip(deaf, batch_norm_backward(np.ones((4, 2)), cache), strict=True):
        np.testing.assert_array_equal(got, want)


def test_the_size_of_nothing_is_1():
    assert backward_suspects._size(np.zeros(2)) == 1.0
    assert backward_suspects._size(np.array([0.5, -3.0])) == 3.0


def asked(inputs=(), upstreams=(), passed=()):
    return blindness.Asked(list(inputs), list(upstreams), set(passed), set())


def at(*values):
    """Inputs of the forward pass whose x has one entry."""
    return [(np.array([[value]]), np.ones(1), np.zeros(1)) for value in values]


@pytest.mark.parametrize(
    ("inputs", "step"),
    [
        (at(1.0), 0.0),
        (at(1.0, 1.0), 0.0),
        (at(1.0, 1.25, 1.5, 1.625), 0.125),
        (at(1.0, 1.25, 3.0), 0.25),
        (at(1.0, 1.5), 0.0),
        (at(1.0, 3.0), 0.0),
        (at(1.0, 1.25, 1.25), 0.25),
        (at(1.0, 1.25, 1 + 1e-30j), 0.0),
        ([*at(1.0), (np.ones((2, 1)), np.ones(1), np.zeros(1))], 0.0),
        ([*at(1.0), (np.ones((1, 1)), np.ones(1), np.full(1, 0.25))], 0.25),
    ],
)
def test_a_step_is_the_shortest_way_from_call_to_call(inputs, step):
    assert asked(inputs).step() == step


def test_what_was_asked_must_be_on_record_as_a_whole():
    (whole,) = at(1.0)
    with pytest.raises(ValueError, match="zip"):
        asked([whole, whole[:2]]).step()
    with pytest.raises(ValueError, match="zip"):
        asked(upstreams=[(np.ones((3, 1)), np.ones((3, 2)), None)]).along(np.ones_like)


def test_points_are_counted_once_and_examples_of_the_smallest_batch():
    assert asked(at(1.0, 2.0, 1.0)).points() == 2
    assert asked(upstreams=[(np.ones((n, 1)), None, None) for n in (5, 3, 4)]).examples() == 3
    assert asked().gross() and not asked(passed=["zeros"]).gross()


def test_a_mix_of_directions_is_one_in_every_channel_and_call():
    x_hat = np.array([[-1.0, 1.5], [0.0, -1.0], [1.0, -0.5]])
    mixed, other = 3 * x_hat - 2, np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    ones, own = np.ones_like, np.asarray

    def along(*all, directions):
        return asked(upstreams=[(dy, x_hat, None) for dy in all]).along(*directions)

    assert along(mixed, directions=(ones, own))
    assert not along(mixed, directions=(ones,)) and not along(mixed, directions=(own,))
    assert along(np.ones((3, 2)), directions=(ones,))
    assert not along(mixed, other, directions=(ones, own))
    assert not along(np.column_stack([mixed[:, 0], other[:, 1]]), directions=(ones, own))
    assert along(mixed + 1e-8 * other, directions=(ones, own))
    assert not along(mixed + 1e-4 * other, directions=(ones, own))
    assert along(np.zeros((3, 2)), directions=(ones,))


def test_more_than_six_reasons_are_several():
    passed = backward_suspects.SUSPECTS.keys() - {"right", "flipped", "thousandfold", "zeros"}
    upstreams = [(np.array([[1.0], [0.0], [0.0]]), np.array([[-1.0], [0.0], [1.0]]), np.ones(1))]
    for names, word in ((passed, "Several"), ({"dgamma", "dbeta"}, "Three")):
        answer = gradient_checks._judge(asked(at(1.0, 1.25), upstreams, names))
        text = " ".join(answer.text.split())
        assert text.startswith(f"Not right yet. {word} things at once: "), text
        assert (len(answer.mistakes) > 6) == (word == "Several")
