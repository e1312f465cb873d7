"""Every argument of every public function, spoilt in every way that `calls` knows.

Either the call goes well, or it raises one of the documented errors with a sentence that names the
operation and what it got; and whatever it was given, arrays, layers and their caches, is then as it
was, to the bit. (A generator may have drawn, and a communicator may have talked.) When it goes well
it has changed nothing but the network that it trains. What is to be entered (`with`) is entered and
used, and what it changes is put back on the way out. An error that the caller's own function has
raised arrives as it was raised.

    BNLIB_INPUTS=1 python -m pytest tests/test_errors.py        # all; else every fortieth
"""

import contextlib
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
import warnings
import zlib

import calls
import numpy as np
import pytest
from inputs import INPUTS

import bnlib
from bnlib import gradcheck, graph
from bnlib.downloads import DataError
from bnlib.layers import Layer
from bnlib.optim import Optimizer

# What gradcheck finds, about a gradient and not about its own arguments.
FINDINGS = (gradcheck.WrongGradient, gradcheck.CannotFail)
DOCUMENTED = (TypeError, ValueError, RuntimeError, FloatingPointError, DataError)
RAISES = re.compile(r"^Raises\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", re.DOTALL | re.MULTILINE)
# What would be done as asked, for years.
ENDLESS = {"directions", "epochs", "resamples", "iterations"}
LARGE = {"2**70", "10**400", "1e308", "infinity"}
# Reports on numbers that leave the range of their dtype: numpy's own, and a caller's choice.
NUMPYS = ("overflow", "invalid value", "divide by zero", "underflow", "Mean of empty", "Degrees of")


class Watched:
    """A function of the caller's; remembers how often it was called and what it has raised."""

    def __init__(self, function):
        self.function, self.calls, self.raised = function, 0, []

    def __call__(self, *arguments, **options):
        self.calls += 1
        try:
            return self.function(*arguments, **options)
        except Exception as error:
            self.raised.append(error)
            raise


def watched(name, arguments):
    """The arguments with the caller's functions among them watched, and these functions."""
    names = [each for each in calls.FUNCTIONS.get(name, ()) if callable(arguments[each])]
    functions = {each: Watched(arguments[each]) for each in names}
    return {**arguments, **functions}, list(functions.values())


def snapshot(value):
    """Something that is equal only if the value is the same to the bit."""
    if isinstance(value, np.ndarray):
        return (
            value.dtype,
            value.shape,
            repr(value.tolist()) if value.dtype == object else value.tobytes(),
        )
    if isinstance(value, dict):
        return [(repr(key), snapshot(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [snapshot(item) for item in value]
    if isinstance(value, Layer | Optimizer):
        own = {k: v for k, v in vars(value).items() if k not in ("rng", "comm")}
        return [type(value), snapshot(own)]
    if isinstance(value, graph.Node):
        return [value.name, snapshot(value.value)]
    if isinstance(value, int | float | complex | str | bytes | None):
        return repr(value)
    return id(value)


def chosen(name, argument, kind):
    """All inputs in an audit, else every fortieth, the same ones every time."""
    if argument in ENDLESS and kind in LARGE:
        return False
    return INPUTS or zlib.crc32(f"{name} {argument} {kind}".encode()) % 40 == 0


def inputs(arguments):
    """What no call may change: all but what a training is for."""
    changed = ("network", "networks", "optimizer")
    return snapshot({name: value for name, value in arguments.items() if name not in changed})


def stored(arguments):
    """What a network stores from one pass to the next, and the classes of its layers."""
    network = arguments.get("network")
    leaves = network.leaves() if isinstance(network, Layer) else []
    return snapshot([(type(leaf), leaf.params, leaf.buffers) for leaf in leaves])


def documented(function):
    """The errors that a function names under "Raises", or else its module, for all functions."""
    home = ".".join(function.__module__.split(".")[:2])
    raises = RAISES.search(inspect.getdoc(function) or "")
    text = raises[1] if raises else sys.modules[home].__doc__
    return tuple(e for e in (*DOCUMENTED, OSError, *FINDINGS) if e.__name__ in text)


def fault(function, arguments, functions=(), expected=DOCUMENTED):
    """What is wrong with how a call went: a kind of fault and a sentence, or None.

    `functions` are those of the arguments that are watched; `expected` errors are documented.
    """
    given, held = inputs(arguments), stored(arguments)
    kept, before = snapshot, snapshot(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for text in NUMPYS:
                warnings.filterwarnings("ignore", text, RuntimeWarning)
            result = function(**arguments)
            if isinstance(result, contextlib.AbstractContextManager):
                with result:
                    kept, before = stored, held  # the caches are those of the last pass
                    for training in (False, True):
                        arguments["network"].forward(calls.batch(), training=training)
                if stored(arguments) != held:
                    return "damage", "did not put back what it had changed"
    except Exception as error:
        if kept(arguments) != before:
            return "damage", f"damaged its arguments, then said {error!r}"
        if any(error is raised for each in functions for raised in each.raised):
            return None
        if not isinstance(error, expected):
            return "words", f"is not documented: {error!r}"
        # The system tells in its own words of a file that cannot be read.
        if not isinstance(error, (OSError, *FINDINGS)) and not calls.SENTENCE.match(str(error)):
            return "words", f"does not name operation and what it got: {error!r}"
    return None if inputs(arguments) == given else ("damage", "changed its arguments")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # "text" is a good path


@pytest.mark.parametrize("name", calls.GOOD)
def test_a_wrong_argument_is_told_in_one_sentence_and_damages_nothing(name, capsys):
    function = calls.function_of(name)
    expected = documented(function)
    assert fault(function, calls.GOOD[name]()) is None
    faults = []
    for argument, kind, arguments in calls.bad_arguments(name):
        if chosen(name, argument, kind):
            said = fault(function, *watched(name, arguments), expected)
            faults += [f"{argument} = {kind}: {said[1]}"] if said else []
    assert not faults, "\n" + "\n".join(faults)


def raising(function, error, at):
    """A function that raises an error when it is called for the so manieth time."""
    times = itertools.count(1)

    def until_then(*arguments):
        if next(times) == at:
            raise error
        return function(*arguments)

    return until_then


ASKED = [(name, argument) for name, own in calls.FUNCTIONS.items() for argument in own]


@pytest.mark.parametrize(("name", "argument"), ASKED)
def test_what_the_caller_s_own_function_raises_arrives_as_it_was_raised(name, argument):
    arguments, functions = watched(name, calls.GOOD[name]())
    calls.function_of(name)(**arguments)
    (calls_made,) = [each.calls for each in functions if each is arguments[argument]]
    assert calls_made
    for at in {1, calls_made}:
        arguments, error = calls.GOOD[name](), KeyError("the caller's own")
        arguments[argument] = raising(arguments[argument], error, at)
        before = snapshot(arguments)
        with pytest.raises(KeyError) as caught:
            calls.function_of(name)(**arguments)
        assert caught.value is error
        assert snapshot(arguments) == before


@pytest.mark.parametrize("name", ["gradcheck.check_backward"])
def test_what_cannot_be_called_is_refused_before_anything_is_called(name):
    for argument in calls.FUNCTIONS[name]:
        arguments, functions = watched(name, {**calls.GOOD[name](), argument: None})
        with pytest.raises(TypeError, match=f"{argument} must be a function, got None"):
            calls.function_of(name)(**arguments)
        assert functions
        assert not any(each.calls for each in functions)


@pytest.mark.parametrize("name", ["training.fit", "ensembles.fit_together"])
def test_an_observer_that_raises_later_leaves_the_last_whole_step(name):
    function, arguments, twin = calls.function_of(name), calls.GOOD[name](), calls.GOOD[name]()
    error = KeyError("the caller's own")
    arguments |= {"observe": raising(None, error, 1), "observe_at": None, "epochs": 2}
    with pytest.raises(KeyError) as caught:
        function(**arguments)
    assert caught.value is error
    function(**{**twin, "evaluate": "never"})  # one epoch, after which the other was asked
    networks = [each.get("networks") or [each["network"]] for each in (arguments, twin)]
    one, other = ([network.state_dict() for network in each] for each in networks)
    assert snapshot(one) == snapshot(other)
    assert snapshot(one) != snapshot([calls.network().state_dict() for _ in one])


MANAGERS = ["training.population_statistics", "ood.mixed_statistics", "inference.frozen_statistics"]


@pytest.mark.parametrize("name", MANAGERS)
def test_what_is_raised_inside_arrives_and_all_is_put_back(name):
    arguments, error = calls.GOOD[name](), KeyError("the caller's own")
    before = stored(arguments)

    def inside():
        with calls.function_of(name)(**arguments):
            assert stored(arguments) != before
            raise error

    with pytest.raises(KeyError) as caught:
        inside()
    assert caught.value is error
    assert stored(arguments) == before


BACKWARD = {name: calls.GOOD[name] for name in calls.GOOD if name.endswith("_backward")}
CACHES = {name: make()["cache"] for name, make in BACKWARD.items() if "cache" in make()}


@pytest.mark.parametrize("name", CACHES)
def test_the_cache_of_another_forward_pass_is_refused(name):
    function, own = calls.function_of(name), CACHES[name]
    for other in CACHES.values():
        if type(other) is not type(own):
            with pytest.raises(TypeError, match=rf"{function.__name__}: cache must be"):
                function(**{**calls.GOOD[name](), "cache": other})


def public():
    """Every public function and class of bnlib that computes: tuples and errors only hold."""
    for module in pkgutil.iter_modules(bnlib.__path__):
        if module.name in calls.ELSEWHERE or module.name.endswith("_plots"):
            continue
        contents = vars(importlib.import_module(f"bnlib.{module.name}"))
        for name, value in contents.items():
            holds = isinstance(value, type) and issubclass(value, tuple | Exception)
            home = getattr(value, "__module__", "") or ""
            own = home == f"bnlib.{module.name}" or home.startswith(f"bnlib.{module.name}.")
            if callable(value) and own and not holds and name[0] != "_":
                yield f"{module.name}.{name}"


def test_every_public_function_is_asked():
    asked = {name.split(":")[0] for name in calls.GOOD} | set(calls.OTHERWISE)
    assert sorted(set(public()) - asked) == []
