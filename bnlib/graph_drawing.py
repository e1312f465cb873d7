"""A graph draws itself: values that flow down, gradients that flow back up, a wire that is cut.

`draw_graph` puts every node below what it was computed from and returns axes that
`bnlib.display.show` and `bnlib.widgets.moving_figure` put on the page. All distances are inches and
the axes fill the figure, so that a letter is as large as it says. Chapter `computational_graph`.
"""

import functools
import itertools
import math
import re

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import text_to_path

from bnlib import checks, plot_checks
from bnlib.graph import Node, Wire
from bnlib.graph_layout import Passing, arrange, bends, columns, spread
from bnlib.graph_words import Words, node_names, numbers, readable, wire_names
from bnlib.plots import PAPER, STYLE, WIDTH, colour

__all__ = ["draw_graph", "node_names", "wire_names"]

SIZE = 9.0  # points, of all letters
LETTER = 0.145  # inches, the height of a line of them
ROOM = 1.08  # a page may set letters wider than they are measured here
BOX, GAP, EDGE = 0.2, 0.18, 0.06  # height of a box, least distance of rows, around everything
PAD, PORT, ASIDE = 0.08, 0.11, 0.05  # beside a box's label, between its wires, from wire to text
FOLDED_GAP = 0.28  # where there are few rows
CORNER = 0.07  # radius of a bend
GROWTHS = 12  # how often a gap may grow by a fifth where a text has no place
BELOW = 0.26  # a line under the graph
GRADIENT, CUT, MARK = "gradient", "orange", "blue"


def draw_graph(
    output,
    gradients=None,
    *,
    folded=False,
    reached=None,
    mark=None,
    cut=(),
    decimals=2,
    shapes=False,
    below=None,
    full=1.0,
):
    """Draw what an output was computed from: values beside the boxes, gradients beside the wires.

    Inputs are round, operations square, and a constant is told in the box of its operation.

    Parameters
    ----------
    output : Node
    gradients : Gradients, optional
        What flows back, in slanted letters with an arrow: the share that each wire carries and,
        where several wires leave a node, their sum.
    folded : bool
        Draw inputs and named nodes only: a wire stands for all operations up to the next of them,
        and its gradient is what arrives at its beginning.
    reached : collection of Node, optional
        The nodes whose backward side has run; the other gradients are not told yet.
    mark : Node or Wire, optional
        Drawn on a band of colour.
    cut : collection of Wire
        Drawn with a gap and the word "cut".
    decimals : int
    shapes : bool
        Shapes in place of numbers; arrays of more than four numbers are always told so.
    below : dict of str to (str or float), optional
        What to tell under the graph: names with a text, or with a number of 0 and more as a bar.
    full : float
        The number whose bar is full.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the graph is too wide for a page.

    Examples
    --------
    >>> from bnlib.graph import Node, backward
    >>> x = Node(3.0, name="x")
    >>> y = (x * x).called("y")
    >>> [text.get_text() for text in draw_graph(y, backward(y)).texts]
    ['↑ 3', '↑ 3', 'x', '3', 'Σ ↑ 6', '×', 'y = 9', '↑ 1']
    """
    below = {} if below is None else below
    below = plot_checks.table("draw_graph", "below", below, plot_checks.amount, least=0)
    plot_checks.length("draw_graph", "full", full)
    if reached is not None:
        reached = plot_checks.members("draw_graph", "reached", reached, Node)
    if mark is not None:
        checks.instance("draw_graph", "mark", mark, (Node, Wire), "a Node or a Wire")
    cut = plot_checks.members("draw_graph", "cut", cut, Wire)
    plan = _Plan(Words(output, gradients, folded, decimals, shapes))
    height = plan.height + BELOW * len(below)
    with matplotlib.rc_context(STYLE | {"font.size": SIZE}):
        ax = Figure(figsize=(WIDTH, height)).add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, WIDTH), ylim=(height, 0))  # downwards, as the data flow
        ax.set_axis_off()
        told = set(plan.into if reached is None else reached) if gradients else set()
        for wire in plan.chains:
            _draw_wire(ax, plan, wire, told, wire == mark, wire in cut)
        for node in plan.into:
            _draw_node(ax, plan, node, told, node is mark)
        for place, name in enumerate(below):
            _draw_amount(ax, plan.height + BELOW * place + BOX / 2, below, name, full, decimals)
    return ax


@functools.lru_cache(maxsize=4096)
def _wide(text, weight="normal"):
    font = FontProperties(size=SIZE, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, False)[0] / 72 * ROOM


# --- where it stands -----------------------------------------------------------------------------


class _Plan:
    """Places for everything: y grows downwards from the upper edge."""

    def __init__(self, words):
        self.words, self.into, self.out = words, words.into, words.out
        rows = arrange(self.into)
        self.chains = rows.chains
        self.row = {item: number for number, line in enumerate(rows.lines) for item in line}
        self.wide = {node: self._box_width(node) for node in self.into}
        if not any(self._fits(rows, keep) for keep in ("room", "width", "sums", "nothing")):
            raise ValueError(
                f"draw_graph: the graph must fit into {WIDTH} inches, got more: "
                "shapes=True, folded=True or fewer decimals make it narrower"
            )

    def _fits(self, rows, keep):
        """Place everything, with room kept for the texts of the wires, sums too, or nothing."""
        self.keep = keep
        self.gaps = [FOLDED_GAP if self.words.folded else GAP] * (len(rows.lines) - 1)
        self.beside = {}  # a wire over several rows: the row in which its text stands
        places = list(columns(rows, *self._reaches(rows), low=EDGE, high=WIDTH - EDGE))
        return bool(places) and self._grow(min(places, key=lambda x: len(self._set(x))))

    def _grow(self, x):
        """Widen the gaps in which a text has no place, until all have one; tell whether they do."""
        for _ in range(GROWTHS):
            crowded = self._set(x)
            for row in set(crowded) - {len(self.gaps)}:
                self.gaps[row] *= 1.2
            if not crowded:
                return True
        return False

    def _box_width(self, node):
        ports = max(len(self.into[node]), len(self.out[node]))
        return max(_wide(self.words.box[node], "bold") + 2 * PAD, PORT * (2 * ports - 1))

    def _room(self, item):
        """The width of a gradient, at least that of small negative ones: frames are alike then."""
        text = self.words.sum.get(item) or self.words.share[item]
        if text == "cut" or "(" in text or self.keep != "room":
            return _wide(text)
        usual = re.sub("[−0-9.e]+", f"−0.{'0' * self.words.decimals}", text)
        return max(_wide(text), _wide(usual))

    def _reaches(self, rows):
        """How far everything extends to the left and right of its column."""
        words = self.words
        left = {item: self.wide.get(item, 2 * ASIDE) / 2 for item in self.row}
        right = dict(left)
        for node in self.into:
            right[node] += ASIDE + _wide(words.value[node])
            if self.keep == "sums" and node in words.sum:
                right[node] += 3 * ASIDE + self._room(node)
        load = [sum(left[i] + right[i] for i in line) for line in rows.lines]
        for wire, chain in self.chains.items() if self.keep != "nothing" else ():
            width = ASIDE + self._room(wire)
            if len(chain) > 2:
                passing = min(chain[1:-1], key=lambda item: load[item.row])
                load[passing.row] += width
                right[passing], self.beside[wire] = width, passing.row
            elif len(self.out[wire.source]) == 1:
                right[wire.source] = max(right[wire.source], width)
        return left, right

    def _set(self, x):
        """Place rows, wires and texts; return the rows below which a text found no place."""
        self.x = x
        tops = itertools.accumulate((BOX + gap for gap in self.gaps), initial=EDGE)
        self.y = [top + BOX / 2 for top in tops]
        self.height = self.y[-1] + BOX / 2 + EDGE
        self.route = self._routes()
        return self._place_texts()

    def _routes(self):
        leave: dict = {}
        arrive: dict = {}
        for node in self.into:
            down = sorted(self.out[node], key=lambda wire: self.x[self.chains[wire][1]])
            leave |= self._ports(node, down, 1)
            arrive |= self._ports(node, self.into[node], -2)
        stops = {}
        for wire, chain in self.chains.items():
            ys = [self.y[self.row[item]] + side for item in chain for side in (-BOX / 2, BOX / 2)]
            xs = [leave[wire], *(self.x[i] for i in chain[1:-1] for _ in "  "), arrive[wire]]
            stops[wire] = list(zip(xs, ys[1:-1], strict=True))
        turns = bends(stops, aside=1.5 * PORT)
        return {wire: _smooth(points, turns) for wire, points in stops.items()}

    def _ports(self, node, wires, neighbour):
        """Where wires leave or reach a box: straight ones first, the others make room."""
        x, half = self.x[node], (self.wide[node] - PORT) / 2
        ahead = [self.x[self.chains[wire][neighbour]] - x for wire in wires]
        wanted = [max(-half, min(offset, half)) for offset in ahead]
        weights = [1.0 if offset else 100.0 for offset in ahead]
        places = spread(wanted, weights, low=-half, high=half, apart=PORT)
        return {wire: x + place for wire, place in zip(wires, places, strict=True)}

    def _place_texts(self):
        words, self.text = self.words, {}
        taken = []
        for node in self.into:
            x, y = self.x[node], self.y[self.row[node]]
            side = x + self.wide[node] / 2 + ASIDE + _wide(words.value[node])
            taken.append((x - self.wide[node] / 2, y - BOX / 2, side, y + BOX / 2))
        ink = {wire: _dense(route) for wire, route in self.route.items()}
        crowded = []
        waiting = [*self.beside, *words.sum, *(w for w in self.chains if w not in self.beside)]
        for item in waiting:
            width = self._room(item)
            others = [line for wire, line in ink.items() if wire != item] or [np.zeros((0, 2))]
            around = np.concatenate(others)
            for place in self._candidates(item, width):
                x, y, side = place
                x0 = x - width * (side == "right")
                rectangle = (x0, y - LETTER / 2, x0 + width, y + LETTER / 2)
                if _free(rectangle, taken, around, ink.get(item)):
                    break
            else:
                crowded.append(self.row[item if item in words.sum else item.source])
            taken.append(rectangle)
            self.text[item] = place
        return crowded

    def _candidates(self, item, width):
        """Places for the text of a wire, or for the sum at a node, the best first."""
        if item in self.words.sum:
            row, reach = self.row[item], self.wide[item] / 2 + ASIDE
            x, y = self.x[item], self.y[row]
            yield x + reach + 2 * ASIDE + _wide(self.words.value[item]), y, "left"
            yield x - reach, y, "right"
            for y in (*self._levels(row), *self._levels(row - 1)):
                yield x + reach, y, "left"
                yield x - reach, y, "right"
            return
        if item in self.beside:
            passing = Passing(item, self.beside[item])
            yield self.x[passing] + ASIDE, self.y[passing.row], "left"
        x, y = _dense(self.route[item]).T
        for stop in self.chains[item][:-1]:
            row = self.row[stop]
            for level in (*self._levels(row), self.y[row]):
                there = x[np.abs(y - level) <= LETTER / 2]
                if there.size:
                    yield there.max() + ASIDE, level, "left"
                    yield there.min() - ASIDE, level, "right"
        for start in np.arange(x.min(), x.max() - width, 0.1):
            there = y[(x >= start) & (x <= start + width)]
            yield start, there.min() - LETTER / 2 - 0.01, "left"
            yield start, there.max() + LETTER / 2 + 0.01, "left"

    def _levels(self, row):
        """Heights at which a text can stand below a row, from the middle of the gap outwards."""
        if not 0 <= row < len(self.gaps):
            return []
        free = (self.gaps[row] - LETTER) / 2
        middle = self.y[row] + (BOX + self.gaps[row]) / 2
        return middle + np.array(
            sorted(np.linspace(-free, free, 3 + 2 * int(free / 0.05)), key=abs)
        )


def _smooth(stops, turns):
    """Points of a line that is vertical at every stop, and level where it goes far aside."""
    points = [stops[0]]
    for start, end in itertools.pairwise(stops):
        (x, y), (next_x, next_y) = start, end
        if (start, end) in turns:
            level = y + (next_y - y) * turns[start, end]
            corner = min(CORNER, level - y, next_y - level, abs(next_x - x) / 2)
            step = math.copysign(corner, next_x - x)
            points += _turn((x, level - corner), (x, level), (x + step, level))
            points += _turn((next_x - step, level), (next_x, level), (next_x, level + corner))
            points.append(end)
        elif abs(next_x - x) > 1e-6:
            middle = (y + next_y) / 2
            points += _turn((x, y), (x, middle), ((x + next_x) / 2, middle))
            points += _turn(((x + next_x) / 2, middle), (next_x, middle), (next_x, next_y))
        else:
            points.append(end)
    return np.array(points)


def _turn(start, corner, end):
    """Points of a curve that starts and ends in the directions of a corner."""
    t = np.linspace(0, 1, 7)[:, None]
    start, corner, end = map(np.array, (start, corner, end))
    return [*((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)]


def _dense(route):
    """The same line with points at most 0.02 inches apart."""
    along = np.concatenate([[0], np.hypot(*np.diff(route, axis=0).T).cumsum()])
    there = np.union1d(along, np.arange(0, along[-1], 0.02))
    return np.stack([np.interp(there, along, places) for places in route.T], axis=1)


def _free(rectangle, taken, around, own):
    """Whether a text lies on the paper, away from other texts and wires and off its own wire."""
    x0, y0, x1, y1 = rectangle
    if x0 < EDGE / 2 or x1 > WIDTH - EDGE / 2:
        return False
    if any(x0 < b + ASIDE and a < x1 + ASIDE and y0 < d and c < y1 for a, c, b, d in taken):
        return False
    x, y = around.T
    away = 2 * ASIDE  # and so nearer to its own
    touching = np.any((x > x0 - away) & (x < x1 + away) & (y > y0) & (y < y1))
    if own is not None:
        touching |= np.all((own > (x0, y0)) & (own < (x1, y1)), axis=1).any()
    return not touching


# --- the marks -----------------------------------------------------------------------------------


def _draw_wire(ax, plan, wire, told, marked, severed):
    route = plan.route[wire]
    back = plan.chains[wire][-1] in told and not severed
    own = colour(CUT if severed else GRADIENT if back else "muted")
    if marked:
        ax.plot(*route.T, color=colour(MARK), linewidth=9, alpha=0.4, zorder=0.5)
    if severed:
        _write(ax, plan.text[wire], "cut", color=own, weight="bold")
        route = _dense(route)
        inner = route[3:-3]  # both ends stay
        middle = inner[np.abs(inner[:, 1] - plan.text[wire][1]).argmin()]
        inner[np.hypot(*(inner - middle).T) < LETTER / 2] = np.nan
    elif back:
        _write(ax, plan.text[wire], plan.words.share[wire], color=own, style="italic")
    ax.plot(*route.T, color=own, linewidth=1.6 if back or severed else 1.1)
    (x, y), head = (route[0] + (0, 0.03), "^") if back else (route[-1] - (0, 0.03), "v")
    ax.plot(x, y, head, color=own, markersize=4.5)


def _draw_node(ax, plan, node, told, marked):
    words, wide = plan.words, plan.wide[node]
    x, y = plan.x[node], plan.y[plan.row[node]]
    corner = 0.04 if node.inputs else BOX / 2
    if marked:
        band = {"facecolor": colour(MARK), "alpha": 0.4, "linewidth": 0}
        _box(ax, x, y, wide + 0.1, BOX + 0.1, corner + 0.05, **band)
    edge = {"edgecolor": colour("ink"), "linewidth": 1.4}
    if node.inputs and not node.name:
        edge = {"edgecolor": colour("muted"), "linewidth": 0.9}
    _box(ax, x, y, wide, BOX, corner, facecolor=PAPER[0] if node.inputs else colour("grid"), **edge)
    weight = "bold" if words.box[node] == readable(node.name) else "normal"
    _write(ax, (x, y, "center"), words.box[node], weight=weight)
    _write(ax, (x + wide / 2 + ASIDE, y, "left"), words.value[node])
    if node in words.sum and told and all(plan.chains[wire][-1] in told for wire in plan.out[node]):
        _write(ax, plan.text[node], words.sum[node], color=colour(GRADIENT), style="italic")


def _draw_amount(ax, y, below, name, full, decimals):
    amount, start = below[name], EDGE + max(map(_wide, below)) + 0.15
    _write(ax, (EDGE, y, "left"), name)
    if isinstance(amount, str):
        _write(ax, (start, y, "left"), amount)
        return
    end = WIDTH - EDGE - 0.7
    filled = start + (end - start) * min(amount / full, 1)
    for stop, own in ((end, "grid"), (filled, CUT)):
        ax.plot([start, stop], [y, y], color=colour(own), linewidth=8, solid_capstyle="butt")
    _write(ax, (end + 0.1, y, "left"), numbers(np.array(amount), decimals))


def _box(ax, x, y, wide, high, corner, **style):
    shape = f"round,pad=0,rounding_size={corner}"
    ax.add_patch(FancyBboxPatch((x - wide / 2, y - high / 2), wide, high, boxstyle=shape, **style))


def _write(ax, place, text, **style):
    x, y, side = place
    ax.text(x, y, text, ha=side, va="center_baseline", **style)
