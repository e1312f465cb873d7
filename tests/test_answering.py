"""The student's process, function by function; tests/test_grading.py starts whole ones."""

import sys
import types

import numpy as np
import pytest

from bnlib.exercises import answering
from bnlib.exercises.answering import answer, decoded, described, encoded, run_cells


class Rude(Exception):
    def __str__(self):
        raise SystemExit("no text")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("too large"), "ValueError: too large"),
        (Rude(), "Rude: "),
        (KeyError("x" * 999), "KeyError: '" + "x" * 189),
    ],
)
def test_an_error_is_told_in_a_short_line(error, says):
    assert described(error) == says


def test_a_cell_that_fails_does_not_stop_the_next():
    names = {"start": 2}
    errors = run_cells(["a = start + 1", "a = 1 / 0", "raise SystemExit('out')", "b = a"], names)
    assert names["b"] == 3
    assert errors == [
        "code cell 2: ZeroDivisionError: division by zero",
        "code cell 3: SystemExit: out",
    ]


def ask(f, *args, **options):
    """What a function of the student's answers: the value or the error, and the arrays after it."""
    question = {
        **{"name": "f", "nonce": "once", "args": encoded(args), "keys": list(options)},
        "options": encoded(tuple(options.values())),
    }
    reply = answer(question, {"f": f})
    assert reply.pop("nonce") == "once"
    return {
        key: decoded(what) if key in ("value", "after") else what for key, what in reply.items()
    }


def test_an_answer_has_the_value_and_what_became_of_the_arrays():
    def f(x, eps):
        x += eps
        return x * 2

    reply = ask(f, np.ones(2), eps=1.0)
    np.testing.assert_array_equal(reply["value"], [4.0, 4.0])
    np.testing.assert_array_equal(reply["after"][0], [2.0, 2.0])
    assert reply["after"][1] == 1.0


def test_a_function_with_other_names_is_called_in_order():
    assert ask(lambda a, b: a - b, 5, eps=3)["value"] == 2


def test_a_type_error_of_a_function_without_options_is_its_own():
    reply = ask(lambda a: a + "1", 5)
    assert reply["error"] == "TypeError" and reply["text"].startswith("unsupported operand")


def test_a_function_that_is_not_there_is_an_error():
    question = {"name": "g", "nonce": "", "args": encoded(()), "keys": [], "options": encoded(())}
    assert answer(question, {})["error"] == "KeyError"


def test_in_place_of_bnlib_stand_modules_whose_checkers_do_nothing(monkeypatch):
    for name in ("bnlib", "bnlib.exercises"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    answering.stand_ins()
    from bnlib.exercises import check_forward

    assert check_forward(lambda x: x, seed=3) is None
    with pytest.raises(ImportError):
        from bnlib import batch_norm  # noqa: F401
    with pytest.raises(ImportError):
        from bnlib.exercises import quiz  # noqa: F401


def test_a_process_bounds_what_the_system_can_bound(monkeypatch):
    resource = pytest.importorskip("resource")
    bounds = {}

    def setrlimit(what, pair):
        if what == resource.RLIMIT_NPROC:
            raise ValueError("not here")
        bounds[what] = pair

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    answering.bound_oneself(7)
    assert bounds == {
        resource.RLIMIT_AS: (2 << 30, 2 << 30),
        resource.RLIMIT_CPU: (8, 8),
        resource.RLIMIT_FSIZE: (10 << 20, 10 << 20),
        resource.RLIMIT_CORE: (0, 0),
    }


def test_without_bounds_a_process_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert answering.bound_oneself(7) is None


@pytest.mark.parametrize(
    ("text", "printed"), [("a\x1b[2Jb\n", "a [2Jb "), ("é", "é"), ("x" * 300, "x" * 200)]
)
def test_what_could_move_a_cursor_is_not_printed(text, printed):
    assert answering.printable(text) == printed
