"""Every argument of every public function, spoilt in every way that `calls` knows.

Either the call goes well, or it raises one of the documented errors with a sentence that names the
operation and what it got; and whatever it was given, arrays, layers and their caches, is then as it
was, to the bit. (A generator may have drawn, and a communicator may have talked.)

    BNLIB_INPUTS=1 python -m pytest tests/test_errors.py        # all; else every fortieth
"""

import importlib
import pkgutil
import re
import warnings
import zlib

import calls
import numpy as np
import pytest
from inputs import INPUTS

import bnlib
from bnlib.layers import Layer
from bnlib.optim import Optimizer

DOCUMENTED = (TypeError, ValueError, RuntimeError, FloatingPointError)
SENTENCE = re.compile(r"\w[\w. -]*: .*\bgot\b", re.DOTALL)
# What would be done as asked, for years.
ENDLESS = {"directions", "epochs", "resamples", "iterations"}
LARGE = {"2**70", "10**400", "1e308", "infinity"}
# Reports on numbers that leave the range of their dtype: numpy's own, and a caller's choice.
NUMPYS = ("overflow", "invalid value", "divide by zero", "underflow", "Mean of empty", "Degrees of")

# What these arguments are is not asked yet, at least not of every kind: a wrong one may raise what
# Python or numpy says. An audit wants each to be needed here, so the list can only shrink.
NOT_ASKED = {
    "graph.batch_norm": "eps gamma x",
    "graph.backward": "cut",
    "gradcheck.numerical_gradient": "f",
    "gradcheck.complex_step_gradient": "f",
    "gradcheck.check_gradient": "f inputs",
    "gradcheck.check_backward": "backward forward inputs",
    "verdicts.judge": "cases",
    "inference.exponential_average": "initial",
    "checkpoints.save": "path",
    "whitening.whiten_inference": "matrix mean",
    "whitening.directions": "z",
    "whitening.divide_by_deviations": "eps x",
    "whitening.divide_by_triangle": "eps x",
    "landscape.along_gradient": "function point rates",
    "covariate_shift.step": "layers x",
    "covariate_shift.gradient_shift": "x",
    "covariate_shift.layer_interaction": "x",
    "covariate_shift.signals": "network x",
    "silencing.mean_activations": "network",
    "silencing.silenced": "instead network off",
    "diagnostics.layer_statistics": "x",
    "diagnostics.update_ratios": "after before",
    "doctor.examine": "x_test x_train",
    "workers.merge": "parts",
    "workers.in_threads": "work",
    "idx.parse": "data",
    "idx.announced": "data",
}
# An observer that itself raises, when it is called: training has moved the network by then.
TOO_LATE = {
    "training.fit": "observe",
    "ensembles.fit_together": "observe",
}


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
        return snapshot({k: v for k, v in vars(value).items() if k not in ("rng", "comm")})
    if isinstance(value, int | float | complex | str | bytes | None):
        return repr(value)
    return id(value)


def chosen(name, argument, kind):
    """All inputs in an audit, else every fortieth, the same ones every time."""
    if argument in ENDLESS and kind in LARGE:
        return False
    return INPUTS or zlib.crc32(f"{name} {argument} {kind}".encode()) % 40 == 0


def fault(function, arguments):
    """What is wrong with how a call went: a kind of fault and a sentence, or None."""
    before = snapshot(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for text in NUMPYS:
                warnings.filterwarnings("ignore", text, RuntimeWarning)
            function(**arguments)
    except Exception as error:
        if snapshot(arguments) != before:
            return "damage", f"damaged its arguments, then said {error!r}"
        if not isinstance(error, DOCUMENTED):
            return "words", f"is not documented: {error!r}"
        if not SENTENCE.match(str(error)):
            return "words", f"does not name operation and what it got: {error!r}"
    return None


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # "text" is a good path


@pytest.mark.parametrize("name", calls.GOOD)
def test_a_wrong_argument_is_told_in_one_sentence_and_damages_nothing(name, capsys):
    function, own = calls.function_of(name), name.split(":")[0]
    function(**calls.GOOD[name]())
    excused = {"words": NOT_ASKED.get(own, "").split(), "damage": TOO_LATE.get(own, "").split()}
    faults, found = [], {"words": set(), "damage": set()}
    for argument, kind, arguments in calls.bad_arguments(name):
        said = chosen(name, argument, kind) and fault(function, arguments)
        if said:
            found[said[0]].add(argument)
            if argument not in excused[said[0]]:
                faults.append(f"{argument} = {kind}: {said[1]}")
    assert not faults, "\n" + "\n".join(faults)
    if INPUTS:
        assert all(set(excused[kind]) <= found[kind] for kind in found), "asked now: strike it out"


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
