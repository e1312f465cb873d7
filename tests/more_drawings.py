"""Further good calls of what draws: the branches and sizes that one good call does not reach.

Of each `golden_pictures` stores a digest, too.
"""

import dataclasses
import random
from typing import NamedTuple

import numpy as np
import test_display
import test_graph_drawing
from calls import batch, contrast, vector
from calls_drawing import labels, moving, question
from matplotlib.figure import Figure

from bnlib import graph, graph_layout, verdicts, widgets
from bnlib.intervals import Interval
from bnlib.plots import panels

LATTICE = np.linspace(-1, 1, 5)


class Joint(NamedTuple):
    """A wire of a graph of numbers."""

    source: int
    target: int
    place: int


def tangle(seed, nodes):
    """A graph of so many numbers, each with up to three wires from some before it."""
    dice = random.Random(seed)
    into = {0: []}
    for node in range(1, nodes):
        sources = [dice.randrange(max(0, node - 5), node) for _ in range(dice.randrange(1, 4))]
        into[node] = [Joint(source, node, place) for place, source in enumerate(sources)]
    return into


def in_columns(seed, nodes, high):
    """A tangle's rows with boxes of several widths, and the room for them."""
    rows = graph_layout.arrange(tangle(seed, nodes))
    items = [item for line in rows.lines for item in line]
    left = {item: 0.1 + 0.05 * (number % 3) for number, item in enumerate(items)}
    right = {item: 0.1 + 0.07 * (number % 4) for number, item in enumerate(items)}
    return {"rows": rows, "left": left, "right": right, "low": 0.1, "high": high}


def of(name, *, cut=(), mark=None, flow=True, steps=None, **options):
    """A drawing of one of the graphs of `test_graph_drawing`; wires and nodes by their number."""
    output = test_graph_drawing.GRAPHS[name]()
    folded = options.get("folded", False)
    wires = list(test_graph_drawing.wire_names(output, folded))
    nodes = list(test_graph_drawing.node_names(output, folded))
    cut = [wires[number] for number in cut]
    if flow:
        options["gradients"] = graph.backward(output, cut=cut)
    if steps is not None:
        inner = [node for node in reversed(graph.in_order(output)) if node.inputs]
        options["reached"] = inner[:steps]
    if mark is not None:
        options["mark"] = nodes[mark] if mark >= 0 else wires[mark]
    return {"output": output, "cut": cut, **options}


def findings(scale, *intervals):
    """A finding of each answer, and again, with these intervals."""
    smallest = 0.01 if scale == "linear" else 1.25
    own = verdicts.Contrast(**contrast(smallest=smallest, scale=scale))
    return [
        verdicts.Finding(
            dataclasses.replace(own, name=f"finding {number}"),
            Interval((low + high) / 2, low, high),
            0.01,
            ("yes", "no", "open")[number % 3],
            20,
        )
        for number, (low, high) in enumerate(intervals)
    ]


def busy():
    """A figure with everything that a digest tells apart, on several axes."""
    figure = Figure(figsize=(6, 6))
    axes = figure.subplots(5, 4)
    for ax, put in zip(axes.flat, test_display.DRAWN.values(), strict=False):
        put(ax, 0.37)
    axes[4, 3].set(xscale="log", yscale="log")
    axes[4, 3].plot([0.001, 1, 10], [0.2, -1, 30], "^:")
    return figure


def rows_of(count, *, low=0):
    return np.arange(count * 9, dtype=float).reshape(count, 3, 3) / (9 * count) + low


def on_an_axis(**changes):
    """Axes that have been drawn."""
    ax = Figure(figsize=(4, 3)).subplots()
    ax.plot([1, 2, 4], [1, 3, 9])
    ax.set(**changes)
    ax.figure.draw_without_rendering()
    return ax


def choice():
    return widgets.guess("Which <one>?", options=["the first", "a < b"], answer=1, because="So.")


DRAWINGS = {
    # graphs, with what a page may show of them
    **{
        f"graph_drawing.draw_graph:{name}": lambda name=name: of(name)
        for name in test_graph_drawing.GRAPHS
    },
    "graph_drawing.draw_graph:no gradients": lambda: of("batch norm", flow=False, decimals=3),
    "graph_drawing.draw_graph:folded": lambda: of("batch norm", folded=True, decimals=1),
    "graph_drawing.draw_graph:folded shapes": lambda: of("batch norm", folded=True, shapes=True),
    "graph_drawing.draw_graph:a step": lambda: of("batch norm", steps=6, mark=7),
    "graph_drawing.draw_graph:cut": lambda: of("batch norm", cut=[3, 9], mark=-4, flow=False),
    "graph_drawing.draw_graph:cut with gradients": lambda: of(
        "batch norm", folded=True, cut=[2], mark=0, below={"error": 3.0, "rest": "a word"}, full=4
    ),
    "graph_drawing.draw_graph:bars": lambda: of(
        "diamond", mark=-1, below={"much": 9.0, "a longer name": 0.5, "none": 0.0}, full=1.5
    ),
    "graph_drawing.draw_graph:fan, folded": lambda: of("fan", folded=True, mark=-2, shapes=True),
    "graph_drawing.draw_graph:marked": lambda: of("softmax", mark=-3, decimals=0),
    **{
        f"graph_words.wire_names:{name}": lambda name=name: {
            "output": test_graph_drawing.GRAPHS[name]()
        }
        for name in ("batch norm", "perceptron")
    },
    # the layout of graphs that nobody has drawn
    **{
        f"graph_layout.arrange:{nodes} nodes": lambda nodes=nodes: {"into": tangle(nodes, nodes)}
        for nodes in (1, 6, 9, 12, 15, 18)
    },
    **{
        f"graph_layout.columns:{nodes} nodes in {high}": lambda nodes=nodes, high=high: in_columns(
            nodes, nodes, high
        )
        for nodes, high in ((6, 3), (9, 4.5), (12, 6), (12, 12), (15, 5), (15, 9), (9, 3))
    },
    "graph_layout.bends:many": lambda: {
        "stops": {
            number: ((0.3 * number, 0.0), (0.9 * number - 0.8, 1.0), (0.4, 2.0 + number % 2))
            for number in range(7)
        },
        "aside": 0.2,
    },
    "graph_layout.bends:apart": lambda: {
        "stops": {
            "a": [(0.0, 0.0), (1.0, 1.0)],
            "b": [(3.0, 0.0), (2.0, 1.0)],
            "c": [(1.0, 0.0), (0.9, 1.0)],
            "d": [(4.0, 0.0), (5.0, 1.0)],
        },
        "aside": 0.1,
    },
    "graph_layout.spread:pools": lambda: {
        "wanted": [0.3, 0.2, 0.9, 2.5, 2.4],
        "weights": [1, 3, 2, 100, 1],
        "low": 0.1,
        "high": 3,
        "apart": 0.4,
    },
    # plots
    "plots.curves:one": lambda: {"x": vector(), "series": {"plain": vector()}, **labels()},
    "plots.curves:many": lambda: {
        "x": vector(),
        "series": {name: batch(2, 4) + k for k, name in enumerate("abcde")},
        **labels(xscale="log", yscale="symlog"),
    },
    "plots.histogram:concept": lambda: {
        "values": batch(),
        "xlabel": "value",
        "concept": "batch norm",
    },
    "plots.images:rows": lambda: {
        "rows": {
            "white to black": rows_of(3),
            "about grey": rows_of(2, low=-0.4),
            "nothing": np.zeros((4, 3, 3)),
        },
        "labels": {"about grey": ["a", "b"], "nothing": ["only one"]},
    },
    "plots.batch_circle:no gradient": lambda: {
        "x_hat": np.array([1.4, -0.6, -0.8]),
        "dy": np.array([0.02, 0.0, 0.0]),
    },
    "plots.bars:many": lambda: {
        "names": ["a", "b", "c"],
        "series": {name: vector(3) - k for k, name in enumerate("abcd")},
        "ylabel": "gradient",
    },
    "plots.bars:one": lambda: {"names": ["a"], "series": {"plain": vector(1)}, "ylabel": "y"},
    "plots.limits:beyond": lambda: {
        "names": ["a", "b", "c", "d"],
        "values": np.array([1e-30, 1e-5, 1e-4, 1e9]),
        "limit": 1e-4,
        "xlabel": "error",
        "within": "passes",
        "beyond": "caught",
        "xlim": (1e-12, 1e3),
    },
    "plots.marks:all": lambda: {
        "rows": ["p", "q"],
        "columns": ["a", "b", "c"],
        "shares": np.array([[1, 0, 0.25], [0.995, 0.01, 1]]),
    },
    "plots.number_line:log": lambda: {
        "ax": panels(),
        "points": vector(),
        "title": "plain",
        "low": 0.1,
        "high": 30,
        "scale": "log",
    },
    "plots.panels:several": lambda: {"rows": 3, "columns": 2, "height": 1.1, "sharex": True},
    # effect_plots
    "effect_plots.effects:answers": lambda: {
        "findings": findings("linear", (0.02, 0.05), (-0.03, 0.001), (-0.02, 0.02), (0.0, 0.03)),
        "xlabel": "accuracy",
    },
    "effect_plots.effects:few ratios": lambda: {
        "findings": findings("log", (0.9, 1.2), (1.0, 1.3)),
        "xlabel": "steps",
        "scale": "log",
    },
    "effect_plots.effects:ratios": lambda: {
        "findings": findings("log", (0.5, 5), (0.3, 2)),
        "xlabel": "steps",
        "scale": "log",
    },
    "effect_plots.effects:large ratios": lambda: {
        "findings": findings("log", (1e-5, 1e4)),
        "xlabel": "steps",
        "scale": "log",
    },
    "effect_plots.effects:thousands": lambda: {
        "findings": findings("log", (300, 5e5)),
        "xlabel": "steps",
        "scale": "log",
    },
    "effect_plots.bands:one": lambda: {"x": vector(), "series": {"plain": vector()}, **labels()},
    "effect_plots.bands:many": lambda: {
        "x": vector(),
        "series": {name: batch(3, 4) + k for k, name in enumerate("abcde")},
        "styles": dict(zip("abcde", ("red", "blue", "plain", "x", "muted"), strict=True)),
        **labels(xscale="log", yscale="symlog"),
    },
    "effect_plots.descent:valley": lambda: {
        "curvature": np.array([[2.0, 0.5], [0.5, 1.0]]),
        "path": batch(4, 2),
        "xlim": (-3, 3),
        "ylim": (-2, 2),
        **labels(),
    },
    "effect_plots.pairs:three": lambda: {
        "series": {"plain": vector(3), "batch norm": vector(3) ** 2, "standardized": vector(3) - 1},
        "ylabel": "loss",
    },
    "effect_plots.turning:long": lambda: {
        "path": batch(5, 2),
        "aim": np.array([3.0, -4.0]),
        "reach": 1.5,
    },
    "effect_plots.fan:two": lambda: {
        "x": vector(),
        "rows": batch(4, 4),
        "names": ["1", "2", "3", "4"],
        "marked": {"2": ":", "3": "--"},
        **labels(),
    },
    "effect_plots.strips:three": lambda: {
        "series": {name: vector(4) * (k + 1) for k, name in enumerate("abc")},
        "xlabel": "steps",
        "xscale": "log",
    },
    # figures of one chapter each
    "framework_plots.waterfall:two sets": lambda: {
        "rows": ["start", "one", "two"],
        "named": ["one"],
        "xlim": (0.01, 3),
        "losses": {"training set": np.array([1.0, 0.5, 0.002]), "test set": vector(3)},
    },
    "noise_plots.clouds:no law": lambda: {
        "x": vector(3),
        "draws": batch(3, 6),
        "spread": None,
        "reach": 3,
    },
    "noise_plots.clouds:law": lambda: {
        "x": vector(3),
        "draws": batch(3, 6),
        "spread": lambda x: 0.1 + x**2,
        "reach": 3,
    },
    "noise_plots.straight_lines:last": lambda: {
        "lines": batch(3, 2),
        "dots": batch(4, 2),
        "reach": 3,
        "own": -1,
    },
    "noise_plots.rungs:four": lambda: {
        "rows": ["nothing", "more", "most"],
        "xlabel": "accuracy",
        "series": {
            name: {row: vector(4) + k for row in rows}
            for k, (name, rows) in enumerate(
                {
                    "plain": ["nothing", "most"],
                    "batch norm": ["more"],
                    "standardized": ["nothing"],
                    "x": ["more", "most"],
                }.items()
            )
        },
    },
    "noise_plots.rungs:one": lambda: {
        "rows": ["nothing"],
        "xlabel": "accuracy",
        "series": {"plain": {"nothing": vector(3)}},
    },
    "ood_plots.pictures:rows": lambda: {
        "rows": {"grey": rows_of(3), "colour": rows_of(6).reshape(2, 3, 3, 3)}
    },
    "ood_plots.meters:four": lambda: {
        "x": vector(),
        "at": 2.0,
        "xlabel": "alpha",
        "series": {name: vector(4) / (k + 2) for k, name in enumerate("abcd")},
    },
    "ood_plots.meters:seeds": lambda: {
        "x": vector(),
        "at": 0.5,
        "xlabel": "alpha",
        "series": {"a": np.abs(batch(3, 4)) / 3, "b": np.abs(batch(2, 4)) / 4},
    },
    "ood_plots.trade_offs:six": lambda: {
        "series": {name: np.abs(batch(3, 2)) / (k + 2) for k, name in enumerate("abcdef")},
        **labels(),
    },
    "shift_plots.places:own heights": lambda: {
        "values": {
            "a": ("plain", batch()),
            "b": ("batch norm", 3 * batch()),
            "c": ("x", batch() - 1),
        },
        "bins": LATTICE,
    },
    "shift_plots.percentiles:log": lambda: {
        "steps": vector(),
        "bands": np.sort(batch(4, 3)),
        "concept": "batch norm",
        "xlabel": "step",
        "ylabel": "z",
    },
    "shift_plots.trade:no marks": lambda: {
        "points": [
            ("plain", "o", True, 0.1, 2.0),
            ("plain", "s", False, 0.2, 3.0),
            ("batch norm", "^", True, 0.4, 1.0),
        ],
        **labels(),
    },
    "shift_plots.trade:marks": lambda: {
        "points": [("plain", "o", True, 0.1, 2.0), ("x", "s", False, 0.2, 3.0)],
        "marks": {"own rate": ("o", True), "one rate": ("o", False), "none": ("s", True)},
        **labels(),
    },
    # display, widgets
    "display.inline_svg:hatched": lambda: {
        "figure": test_display.a_busy_figure().figure,
        "attributes": 'class="bn"',
    },
    "display.summary:busy": lambda: {"figure": busy()},
    "display.source_without_docstrings:class": lambda: {"item": test_display.Shelf},
    "widgets.moving_html:no guess": lambda: {"moving": moving()},
    "widgets.moving_html:height": lambda: {
        "moving": moving(guess=question(because="It is <so>."), guess_axis="y")
    },
    "widgets.guess_html:options": lambda: {"guess": choice()},
    "widgets.live_guess:options": lambda: {"guess": choice()},
    "widgets.guess_mark:y": lambda: {"axes": on_an_axis(yscale="log"), "axis": "y"},
    "widgets.guess_mark:log": lambda: {"axes": on_an_axis(xscale="log"), "axis": "x"},
    **{
        f"widgets.mark_guess:{axis} {value}": lambda axis=axis, value=value: {
            "axes": on_an_axis(),
            "axis": axis,
            "value": value,
        }
        for axis, value in (("x", 1.5), ("x", 3.5), ("y", 6.0))
    },
    "widgets.guess:because": lambda: {
        "question": "How much?",
        "low": -2.5,
        "high": 2e6,
        "answer": 1e6,
        "because": "So.",
    },
    "display.figure_of:several": lambda: {"drawn": panels(2), "operation": "show"},
    "display.show:code": lambda: {"what": test_display.Shelf},
}
