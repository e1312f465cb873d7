"""What draws, shows, moves and is compiled, and the exercises: every argument spoilt in every way.

As `test_errors`, and further: axes that were given look as before when a call raises, what a call
accepts can be drawn, its other arguments are untouched then too, and no figure stays open.

    BNLIB_INPUTS=1 python -m pytest tests/test_errors_drawing.py     # all; else a few
"""

import contextlib
import importlib
import io
import sys
import types
import zlib

import calls
import calls_drawing
import numpy as np
import pytest
import test_errors as errors
from inputs import INPUTS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnlib import display, widgets

EVERY = 600  # in CI one input of so many: figures take their time
# What drawings and exercises raise; the functions of other modules say it themselves.
RAISED = (TypeError, ValueError)
SAY_IT = ("compiled", "downloads", "experiments")
MODULES = [
    *("plots", "effect_plots", "noise_plots", "running_plots", "ood_plots", "relatives_plots"),
    *("shift_plots", "landscape_plots", "whitening_plots", "framework_plots", "display", "widgets"),
    *("graph_drawing", "graph_words", "graph_layout", "downloads", "compiled", "kernels"),
]


def chosen(name, argument, kind):
    """All inputs in an audit, else a few, the same ones every time."""
    return INPUTS or zlib.crc32(f"{name} {argument} {kind}".encode()) % EVERY == 0


def looks(value):
    """What a figure shows, if the value is one or belongs to one."""
    if isinstance(value, widgets.MovingFigure):
        return repr(value)
    with contextlib.suppress(TypeError):
        figure = display.figure_of(value, "looks")
        return display.summary(figure), [(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes]
    return None


def finish(result):
    """Do with a result what it is for: exhaust it, in an audit draw it."""
    if isinstance(result, types.GeneratorType):
        list(result)
    elif INPUTS and isinstance(result, widgets.Guess | widgets.MovingFigure | display.Picture):
        result._repr_mimebundle_()
    elif INPUTS and isinstance(result, Axes | Figure | np.ndarray) and looks(result):
        figure = display.figure_of(result, "finish")
        display.summary(figure)
        figure.draw_without_rendering()


def fault(name, arguments):
    """As `test_errors.fault`, with what is said of figures above."""
    function, own = calls.function_of(name), calls_drawing.FUNCTIONS.get(name, ())
    watched = {each: errors.Watched(arguments[each]) for each in own if callable(arguments[each])}
    shown = {name: looks(value) for name, value in arguments.items()}
    done = []

    def call(**arguments):
        with contextlib.redirect_stdout(io.StringIO()):
            finish(function(**arguments))
        done.append(True)

    expected = errors.documented(function) if name.startswith(SAY_IT) else RAISED
    said = errors.fault(call, {**arguments, **watched}, watched.values(), expected)
    if said:
        return said
    if not done and shown != {name: looks(value) for name, value in arguments.items()}:
        return "damage", "drew into the axes, then raised"
    return None


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    calls_drawing.put(tmp_path)
    monkeypatch.setenv("BNLIB_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", calls_drawing.GOOD)
def test_a_wrong_argument_is_told_in_one_sentence_and_leaves_no_mark(name, request):
    if name.startswith("compiled."):
        request.getfixturevalue("needs")("numba", "fast")
    finish(calls.function_of(name)(**calls_drawing.GOOD[name]()))
    faults = []
    for argument, kind, make in calls_drawing.bad_arguments(name):
        said = chosen(name, argument, kind) and fault(name, make())
        if said:
            faults.append(f"{argument} = {kind}: {said[1]}")
    assert not faults, "\n" + "\n".join(faults)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_every_public_function_is_asked():
    asked = {name.split(":")[0] for name in calls_drawing.GOOD} | set(calls_drawing.OTHERWISE)
    public = set()
    for module in MODULES:
        for name, value in vars(importlib.import_module(f"bnlib.{module}")).items():
            holds = isinstance(value, type) and issubclass(value, tuple | Exception)
            own = getattr(value, "__module__", "") == f"bnlib.{module}"
            if callable(value) and own and not holds and name[0] != "_":
                public.add(f"{module}.{name}")
    assert sorted(public - asked) == []
