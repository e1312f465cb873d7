"""The student's process, function by function; tests/test_grading.py starts whole ones."""

import collections
import contextlib
import json
import os
import sys
import types

import numpy as np
import pytest

from bnlib.exercises import answering
from bnlib.exercises.answering import answer, decoded, described, encoded, run_cells

Cache = collections.namedtuple("Cache", ["x"])


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


def test_a_function_that_wants_keywords_gets_them():
    assert ask(lambda a, *, eps: a - eps, 5, eps=3)["value"] == 2


def test_the_text_of_an_error_keeps_its_colons():
    def f():
        raise ValueError("x: too large: 7")

    assert ask(f) == {"error": "ValueError", "text": "x: too large: 7", "after": ()}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (..., {"missing": True}),
        ((1, [2.5]), {"tuple": [{"number": 1}, {"list": [{"number": 2.5}]}]}),
        (Cache(1), {"record": "Cache", "fields": ["x"], "items": [{"number": 1}]}),
        ([None] * 20, {"list": [{"missing": True}] * 20}),
        ([None] * 21, {"other": "list"}),
        ((((1,),),), {"tuple": [{"tuple": [{"tuple": [{"number": 1}]}]}]}),
        (((((),),),), {"tuple": [{"tuple": [{"tuple": [{"other": "tuple"}]}]}]}),
        (10**400, {"other": "int"}),
        (np.array(["text"]), {"other": "ndarray"}),
        (type("x" * 999, (), {})(), {"other": "x" * 200}),
    ],
)
def test_a_message_holds_what_can_be_sent_and_names_what_cannot(value, message):
    assert encoded(value) == message


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"other": "Equal"}, "Equal"),
        ({"other": "a b"}, "object"),
        ({"other": 7}, "object"),
        ({"record": "Cache", "fields": ["x"], "items": [{"missing": True}]}, "Cache"),
        ({"record": "\x1b[2J", "fields": ["x"], "items": [{"missing": True}]}, "object"),
        ({"tuple": []}, "tuple"),
        ({"list": [{"missing": True}] * 20}, "list"),
    ],
)
def test_what_is_received_has_the_name_that_was_sent_if_it_is_one(message, name):
    assert type(decoded(message)).__name__ == name


def test_an_array_may_have_eight_axes_and_a_byte_for_each_that_a_message_may_have():
    assert decoded(encoded(np.ones([1] * 8))).shape == (1,) * 8
    assert decoded(encoded(np.ones(answering.MAX_BYTES, bool))).shape == (answering.MAX_BYTES,)
    with pytest.raises(ValueError, match="no known shape"):
        decoded(encoded(np.ones([1] * 9)))


def test_what_was_received_can_be_written_to():
    received = decoded(encoded(np.ones(2)))
    received += 1
    np.testing.assert_array_equal(received, [2.0, 2.0])


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
    package = sys.modules["bnlib"]
    assert (package.__name__, package.exercises.__name__) == ("bnlib", "bnlib.exercises")
    with pytest.raises(AttributeError, match=r"^quiz$"):
        _ = package.exercises.quiz


@pytest.mark.parametrize("missing", ["AS", "CPU", "FSIZE", "CORE", "NPROC"])
def test_a_process_bounds_what_the_system_can_bound(monkeypatch, missing):
    resource = pytest.importorskip("resource")
    bounds = {}

    def setrlimit(what, pair):
        if what == getattr(resource, f"RLIMIT_{missing}"):
            raise ValueError("not here")
        bounds[what] = pair

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    answering.bound_oneself(7)
    every = {"AS": 2 << 30, "CPU": 8, "FSIZE": 10 << 20, "CORE": 0, "NPROC": 0}
    assert bounds == {
        getattr(resource, f"RLIMIT_{name}"): (bound, bound)
        for name, bound in every.items()
        if name != missing
    }


def test_without_bounds_a_process_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert answering.bound_oneself(7) is None


@pytest.mark.parametrize(
    ("text", "printed"), [("a\x1b[2Jb\n", "a [2Jb "), ("é", "é"), ("x" * 300, "x" * 200)]
)
def test_what_could_move_a_cursor_is_not_printed(text, printed):
    assert answering.printable(text) == printed


@contextlib.contextmanager
def streams(*paths):
    """Files in place of standard input, output and errors of this process."""
    kept = [os.dup(stream) for stream in range(3)]
    try:
        for stream, path in enumerate(paths):
            file = os.open(path, os.O_RDWR)
            os.dup2(file, stream)
            os.close(file)
        yield
    finally:
        for stream, file in enumerate(kept):
            os.dup2(file, stream)
            os.close(file)


def test_a_whole_conversation(monkeypatch, tmp_path):
    """The task comes first, then questions; nothing that a cell says or hears is part of it."""
    cells = [
        "import os\nheard = [os.read(0, 9), os.write(1, b'1 of 1'), os.write(2, b'1 of 1')]",
        "assert __name__ == '__main__' and heard[0] == b''",
        "from bnlib.exercises import check_noise",
        "def f(x, eps): return x - eps\nlaw = 3",
        *["1 / 0"] * 21,
    ]
    task = {"cells": cells, "functions": ["f", "law", "g"], "seconds": 7}
    question = {"nonce": "once", "name": "f", "keys": ["eps"]}
    question |= {"args": encoded((5,)), "options": encoded((3,))}
    asked, said, complained = (tmp_path / name for name in ("asked", "said", "complained"))
    asked.write_text("".join(json.dumps(each) + "\n" for each in (task, question, question)))
    said.touch()
    complained.touch()
    bounds, opened = [], []

    def fdopen(*given):
        opened.append(open(*given))
        return opened[-1]

    monkeypatch.setattr(
        os, "fdopen", fdopen
    )  # they are closed with the process, which goes on here
    monkeypatch.setattr(answering, "bound_oneself", bounds.append)
    for name in ("bnlib", "bnlib.exercises"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    with streams(asked, said, complained):
        answering.main()
    for file in opened:
        file.close()
    hello, *replies = map(json.loads, said.read_text().splitlines())
    failed = [f"code cell {number}: ZeroDivisionError: division by zero" for number in range(5, 25)]
    assert hello == {"defined": ["f"], "errors": failed}
    reply = {"value": {"number": 2}, "nonce": "once"}
    reply["after"] = {"tuple": [{"number": 5}, {"number": 3}]}
    assert replies == [reply, reply]
    assert bounds == [7] and complained.read_text() == ""
