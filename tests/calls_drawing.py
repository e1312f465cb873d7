"""A good call of every public function that draws, shows, checks an exercise or is compiled.

In the style of `calls`, which has what numbers may become; here also what stands inside a dict or
a sequence is spoilt.
"""

import functools
import gzip
import hashlib

import calls
import numpy as np
from calls import batch, contrast, norm_arguments, vector
from matplotlib.figure import Figure

from bnlib import compiled, downloads, graph, graph_layout, verdicts, widgets
from bnlib.plots import panels
from bnlib.relatives import layer_norm, layer_norm_backward


def lines(*shape):
    return {"plain": batch(*shape), "batch norm": batch(*shape) + 1}


def labels(**more):
    return {"xlabel": "step", "ylabel": "loss, nats", **more}


def scales(**more):
    return labels(xscale="linear", yscale="linear", **more)


def findings():
    per_seed = {("BN", "loss"): [1.0, 1.2, 1.1], ("plain", "loss"): [3.1, 3.3, 3.5]}
    rule = verdicts.Rule("C02", "BN is faster.", (verdicts.Contrast(**contrast()),))
    return list(verdicts.verdict(per_seed, rule).needs)


def small_graph():
    x = graph.Node(3.0, name="x")
    return (x * x + 1.0).called("y")


def drawing(**more):
    output = small_graph()
    return {"output": output, "gradients": graph.backward(output), **more}


def draw(value):
    ax = Figure(figsize=(3, 2)).subplots()
    ax.plot([0, 1, 2], [0, 1, len(str(value))])
    return ax


def question(**more):
    return widgets.guess("Where is the mean?", low=0, high=10, answer=4.2, unit="cm", **more)


def moving(**more):
    return widgets.moving_figure(draw, ["1", "2"], label="power", **more)


def drawn():
    """Axes that have been drawn."""
    ax = draw("1")
    ax.figure.draw_without_rendering()
    return ax


def layout():
    """Wires into the nodes of a small graph, and its rows."""
    output = small_graph()
    return {node: graph.wires_into(node) for node in graph.in_order(output)}


def in_columns():
    rows = graph_layout.arrange(layout())
    items = [item for line in rows.lines for item in line]
    return {
        **{"rows": rows, "left": dict.fromkeys(items, 0.1), "right": dict.fromkeys(items, 0.2)},
        **{"low": 0, "high": 4.8},
    }


def right(*arguments):
    """What a reader's function may be: nothing is judged here."""
    raise NotImplementedError


def checker(**more):
    return {"f": right, **more, "seed": 0}


CHECKERS = (
    *("drift", "energy", "evaluation", "fold", "gradient_check", "group_norm", "interval"),
    *("layer_norm_backward", "merge", "mixed_statistics", "noise", "rate", "roughness"),
    *("running_average", "scale", "whitening"),
)

CONTENT = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 8])  # an IDX file of two numbers
FILE = downloads.File(
    "tiny", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), ("https://example.org/",)
)

GOOD = {
    # plots
    "plots.colour": lambda: {"name": "batch norm"},
    "plots.panels": lambda: {"rows": 2, "columns": 1, "height": 2.6},
    "plots.number_line": lambda: {
        **{"ax": panels(), "points": vector(), "title": "x", "low": 0, "high": 3},
        "scale": "linear",
    },
    "plots.curves": lambda: {"x": vector(), "series": lines(3, 4), **scales(), "ax": panels()},
    "plots.histogram": lambda: {
        **{"values": batch(), "xlabel": "value", "bins": 4, "concept": "x", "ax": panels()}
    },
    "plots.histogram:edges": lambda: {"values": batch(), "xlabel": "value", "bins": vector()},
    "plots.images": lambda: {
        **{"rows": {"noise": batch(2, 3, 3), "more": batch(2, 3, 3)}},
        **{"labels": {"noise": ["a", "b"]}, "marks": {"noise": ["plain", "blue"]}},
    },
    "plots.batch_circle": lambda: {
        **{"x_hat": np.array([-1.2, 0.0, 1.2]), "dy": np.array([1.0, 0.5, 0.0]), "ax": panels()}
    },
    "plots.bars": lambda: {
        **{"names": ["a", "b"], "series": lines(2), "ylabel": "gradient", "ylim": (-2, 2)},
        "ax": panels(),
    },
    "plots.limits": lambda: {
        **{"names": ["a", "b"], "values": vector(2), "limit": 1e-4, "xlabel": "error"},
        **{"within": "passes", "beyond": "caught", "xlim": (1e-12, 1e3)},
    },
    "plots.marks": lambda: {
        **{"rows": ["zeros"], "columns": ["one", "two"], "shares": np.array([[0.5, 1.0]])}
    },
    "plots.leave_a_margin": lambda: {"ax": panels(), "left": 0.02},
    # effect_plots
    "effect_plots.effects": lambda: {
        **{"findings": findings(), "xlabel": "loss", "names": ["BN"], "scale": "linear"},
        "ax": panels(),
    },
    "effect_plots.bands": lambda: {
        **{"x": vector(), "series": {"plain": batch(3, 4), "own": batch(3, 4)}, **scales()},
        **{"styles": {"own": "red"}, "ax": panels()},
    },
    "effect_plots.descent": lambda: {
        **{"curvature": np.eye(2), "path": batch(3, 2), "xlim": (-2, 2), "ylim": (-1, 1)},
        **labels(ax=panels()),
    },
    "effect_plots.pairs": lambda: {"series": lines(3), "ylabel": "loss", "ax": panels()},
    "effect_plots.turning": lambda: {
        **{"path": batch(3, 2), "aim": np.array([0.0, 1.0]), "reach": 2, "ax": panels()}
    },
    "effect_plots.fan": lambda: {
        **{"x": vector(), "rows": batch(2, 4), "names": ["1", "2"], "marked": {"2": ":"}},
        **labels(ylim=(0, 1), ax=panels()),
    },
    "effect_plots.strips": lambda: {
        **{"series": lines(3), "xlabel": "accuracy", "xscale": "linear", "ax": panels()}
    },
    # noise_plots, running_plots, ood_plots
    "noise_plots.clouds": lambda: {
        **{"x": vector(2), "draws": batch(2, 5), "spread": lambda x: 0.1 + 0 * x, "reach": 2},
        "ax": panels(),
    },
    "noise_plots.straight_lines": lambda: {
        **{"lines": batch(3, 2), "dots": batch(4, 2), "reach": 2, "own": 1, "ax": panels()}
    },
    "noise_plots.rungs": lambda: {
        **{"rows": ["nothing", "more"], "xlabel": "accuracy", "ax": panels()},
        "series": {"plain": {"nothing": vector(3)}, "batch norm": {"more": vector(3)}},
    },
    "running_plots.queue": lambda: {
        **{"labels": calls.labels(), "right": calls.labels() > 0, "size": 2, "ax": panels()}
    },
    "running_plots.shares": lambda: {
        **{"x": vector(), "series": {"a": vector(), "b": vector()}, "at": 1},
        **labels(ylim=(0, 1), styles={"a": "blue", "b": "red"}, ax=panels()),
    },
    "ood_plots.pictures": lambda: {
        **{"rows": {"grey": np.full((2, 3, 3), 0.5), "colour": np.full((2, 3, 3, 3), 0.5)}}
    },
    "ood_plots.meters": lambda: {
        **{"x": [0.0, 0.5, 1.0, 2.0], "series": lines(3, 4), "at": 0.5, "xlabel": "alpha"},
        "ax": panels(),
    },
    "ood_plots.trade_offs": lambda: {"series": lines(3, 2), **labels(ax=panels())},
    # relatives_plots, shift_plots, landscape_plots, whitening_plots, framework_plots
    "relatives_plots.sharing": lambda: {
        **{"norm": layer_norm, "norm_backward": layer_norm_backward, "shape": (2, 3)}
    },
    "relatives_plots.cells": lambda: {
        **{"sets": np.arange(8).reshape(2, 2, 2) % 3, "marked": (0, 1, 1), "title": "sets"}
    },
    "relatives_plots.by_layer": lambda: {
        **{"series": {"plain": vector(), "own": vector()}, "ylabel": "gradient"},
        **{"marks": {"own": ("red", "--")}, "ax": panels()},
    },
    "shift_plots.percentiles": lambda: {
        **{"steps": vector(), "bands": batch(4, 3), "concept": "plain", **labels(ax=panels())}
    },
    "shift_plots.places": lambda: {
        **{"values": {"before": ("plain", batch()), "after": ("x", batch())}},
        **{"bins": np.linspace(-1, 1, 5), "tops": (1.0, 2.0)},
    },
    "shift_plots.trade": lambda: {
        **{"points": [("plain", "o", True, 0.1, 2.0), ("batch norm", "s", False, 0.3, 1.0)]},
        **labels(marks={"small": ("o", True)}, ax=panels()),
    },
    "landscape_plots.cloud": lambda: {
        **{"groups": {"plain": (vector(2), vector(2)), "dead": (vector(1), vector(1))}},
        **labels(xscale="log", yscale="log", ax=panels()),
        "looks": {"plain": [(4.0, True), (6.0, False)], "dead": [(4.0, True)]},
    },
    "whitening_plots.clouds": lambda: {
        **{"tables": {"raw": batch(5, 2), "white": batch(5, 2)}, "reach": 3},
        "notes": {"raw": "as it is"},
    },
    "whitening_plots.ellipse": lambda: {"points": batch(5, 2)},
    "framework_plots.waterfall": lambda: {
        **{"rows": ["start", "step"], "losses": {"test set": vector(2)}, "named": {"step"}},
        "xlim": (0.01, 3),
    },
    # display
    "display.show": lambda: {"what": draw("1")},
    "display.figure_of": lambda: {"drawn": draw("1"), "operation": "show"},
    "display.main_axes": lambda: {"drawn": draw("1")},
    "display.Picture": lambda: {"figure": draw("1").figure},
    "display.Code": lambda: {"item": calls.batch},
    "display.source_without_docstrings": lambda: {"item": calls.batch},
    "display.summary": lambda: {"figure": draw("1").figure},
    "display.png": lambda: {"figure": draw("1").figure},
    "display.inline_svg": lambda: {"figure": draw("1").figure, "attributes": 'class="bn"'},
    "display.variable": lambda: {"name": "ink"},
    # widgets
    "widgets.moving_figure": lambda: {
        **{"draw": draw, "values": ["1", "2"], "label": "power", "text": str},
        **{"guess": question(), "guess_axis": "x"},
    },
    "widgets.guess": lambda: {
        **{"question": "Where is the mean?", "low": 0, "high": 10, "answer": 4.2},
        **{"unit": "cm", "because": "It says so."},
    },
    "widgets.guess:options": lambda: {
        **{"question": "How many?", "options": ["none", "all"], "answer": 1}
    },
    "widgets.scale_of": lambda: {"axes": draw("1"), "axis": "x"},
    "widgets.moving_html": lambda: {"moving": moving(guess=question())},
    "widgets.guess_mark": lambda: {"axes": drawn(), "axis": "x"},
    "widgets.guess_html": lambda: {"guess": question()},
    "widgets.view": lambda: {"widget": widgets.live_guess(question())},
    "widgets.live_figure": lambda: {"moving": moving()},
    "widgets.card": lambda: {"svg": "<svg></svg>"},
    "widgets.mark_guess": lambda: {"axes": drawn(), "axis": "x", "value": 1.0},
    "widgets.live_guess": lambda: {"guess": question(), "then": None},
    # graph_drawing, graph_words, graph_layout
    "graph_drawing.draw_graph": lambda: drawing(
        **{"folded": False, "reached": None, "mark": None, "cut": (), "decimals": 2},
        **{"shapes": False, "below": {"loss": 1.0, "step": "2"}, "full": 2.0},
    ),
    "graph_words.wire_names": lambda: {"output": small_graph(), "folded": True},
    "graph_words.node_names": lambda: {"output": small_graph(), "folded": True},
    "graph_words.Words": lambda: drawing(folded=False, decimals=2, shapes=False),
    "graph_words.readable": lambda: {"name": "x_hat"},
    "graph_words.numbers": lambda: {"value": vector(2), "decimals": 2, "shapes": False},
    "graph_layout.arrange": lambda: {"into": layout()},
    "graph_layout.columns": in_columns,
    "graph_layout.bends": lambda: {
        **{"stops": {"a": ((0.0, 0.0), (2.0, 1.0)), "b": ((1.0, 0.0), (3.0, 1.0))}, "aside": 0.1}
    },
    "graph_layout.spread": lambda: {
        **{"wanted": [0.0, 0.0], "weights": [1, 1], "low": -2, "high": 2, "apart": 1}
    },
    # downloads
    "downloads.load": lambda: {"collection": "small", "file": FILE},
    # compiled
    "compiled.batch_norm": norm_arguments,
    "compiled.batch_norm:image": lambda: norm_arguments(x=batch(2, 4, 3, 3)),
    "compiled.batch_norm_backward": lambda: calls.with_cache(
        compiled.batch_norm, batch(), vector(), vector()
    ),
    "compiled.batch_norm_inference": lambda: norm_arguments(mean=vector(), var=vector()),
    "compiled.BatchNorm": lambda: calls.layer_arguments(
        num_features=4, momentum=0.1, track_running_stats=True
    ),
    # exercises
    **{f"exercises.check_{name}": checker for name in CHECKERS},
    "exercises.check_backward": lambda: checker(images=False, whole=True),
    "exercises.check_forward": lambda: checker(images=True),
    "exercises.check_graph_node": lambda: checker(node="mean", twice=False),
    "exercises.check_contrast": lambda: {
        **{"contrast": verdicts.Contrast(**contrast(measure="loss area")), "seed": 0}
    },
    # experiments
    "experiments.live": lambda: {"name": "cheating_gradient", "seeds": 1, "arms": ["honest"]},
    "experiments.load": lambda: {"name": "noise_law", "folder": None},
    "experiments.verdicts": lambda: {"chapter": "forward_pass", "folder": None},
}

# Of exercises and experiments only what a notebook calls is asked: the rest is what the checkers
# are made from, runs on the terminal, or is what results were measured with. Not asked are also:
OTHERWISE = {
    **dict.fromkeys(
        ("kernels.rows_forward", "kernels.rows_backward", "kernels.rows_affine"),
        "loops without a check, for speed: each is asked through compiled",
    ),
    **dict.fromkeys(
        ("kernels.planes_forward", "kernels.planes_backward", "kernels.planes_affine"),
        "loops without a check, for speed: each is asked through compiled",
    ),
    "plots.coloured": "what drawings ask with",
    **dict.fromkeys(("display.on_page", "downloads.folder", "downloads.cache"), "take nothing"),
    **dict.fromkeys(("widgets.Guess", "widgets.MovingFigure"), "made by guess and moving_figure"),
}


# The functions of the modules that draw, tell a drawing's words or show it.
DRAWING = [
    name
    for name in GOOD
    if name.partition(".")[0].endswith("plots")
    or name.startswith(("widgets.", "graph_drawing.", "graph_words.", "graph_layout.", "display."))
]


def put(folder):
    """Lay the file of `FILE` where `downloads.load` finds it, in a folder that BNLIB_DATA names."""
    (folder / "small").mkdir()
    (folder / "small" / "tiny.gz").write_bytes(gzip.compress(CONTENT, mtime=0))


# Arguments that are the caller's functions, as in `calls`.
FUNCTIONS = {
    "noise_plots.clouds": ("spread",),
    "relatives_plots.sharing": ("norm", "norm_backward"),
    "widgets.moving_figure": ("draw", "text"),
}


def spoilt(value):
    """Yield (kind, a function that makes it): what a value becomes, and what it holds, at depth."""
    yield from calls.bad(value)
    if type(value) in (list, tuple, dict) and value:
        key = calls.first_inside(value)
        for kind, make in spoilt(value[key]):
            yield f"holds {kind}", lambda make=make: calls.holding(value, key, make())
    if type(value) is dict and value:
        yield "has the key 7", lambda: {**value, 7: value[key]}
    elif type(value) in (list, tuple) and value:
        yield "one more", lambda: type(value)([*value, value[0]])


def bad_arguments(name):
    """Yield (argument, what it becomes, a function that makes all arguments).

    As `calls.bad_arguments`, but at any depth, and none is made that is not asked: axes take time.
    """
    good = GOOD[name]
    for argument, value in good().items():
        kinds = list(spoilt(value))
        if argument in FUNCTIONS.get(name, ()):
            for kind, make in calls.BAD.items():
                kinds.append((f"gives {kind}", lambda make=make: calls.gives(make())))
        for kind, make in kinds:
            yield argument, kind, functools.partial(_with, good, argument, make)


def _with(good, argument, make):
    with np.errstate(all="ignore"):
        return {**good(), argument: make()}
