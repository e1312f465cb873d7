"""One function per kind of figure: arrays in, matplotlib axes out.

Every figure of the book is drawn here, in one style and with one colour per concept. The functions
use `matplotlib.figure.Figure` and never pyplot, so nothing is shown by accident and nothing stays
open; `bnlib.display.show` puts the result on the page.
"""

import itertools
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from bnlib import checks, plot_checks

# name: (on light paper, on dark paper). Each pair has a contrast of at least 3:1 with its paper,
# and the hues stay apart for colour-blind readers. `book/_assets/book.css` repeats them; a test
# compares the two.
PALETTE = {
    "ink": ("#1f2328", "#e6e8eb"),  # text, axes, the default line
    "muted": ("#59636e", "#a3adb8"),  # secondary text, reference lines
    "grid": ("#d4dae0", "#3d444d"),  # decoration only
    "blue": ("#0b62b3", "#6cb1ff"),
    "orange": ("#b35900", "#ffab5e"),
    "green": ("#00795f", "#45cfa9"),
    "purple": ("#8046c2", "#c8a2ff"),
    "red": ("#c0362c", "#ff9088"),
}
PAPER = ("#ffffff", "#121212")

# What each colour stands for, on every page.
CONCEPTS = {
    "batch norm": "blue",
    "plain": "orange",
    "standardized": "green",
    "stored statistics": "purple",
    "guess": "ink",
    "gradient": "red",  # what flows backward
    "x": "ink",
    "x̂ in training": "blue",
    "x̂, stored": "purple",
}

WIDTH = 4.8  # inches, for every figure: its text is still legible on a phone
SHORTEST, TALLEST = 0.1, 500  # inches: of a panel, of a figure, which has at most 65,535 pixels
LONGEST = 50  # panels in a row or a column
STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALETTE["muted"][0],
    "axes.labelcolor": PALETTE["ink"][0],
    "axes.titlesize": 10.5,
    "axes.titlecolor": PALETTE["ink"][0],
    "text.color": PALETTE["ink"][0],
    "xtick.color": PALETTE["muted"][0],
    "ytick.color": PALETTE["muted"][0],
    "xtick.labelcolor": PALETTE["ink"][0],
    "ytick.labelcolor": PALETTE["ink"][0],
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
}
LINESTYLES = ("-", "--", ":", "-.")  # a second difference, for readers who do not see the first


def colour(name):
    """The light-paper colour of a concept or of a palette entry.

    Examples
    --------
    >>> colour("batch norm") == colour("blue")
    True
    """
    coloured("colour", "name", name)
    return PALETTE[CONCEPTS.get(name, name)][0]


def coloured(operation, name, value):
    """`value` must be a concept or an entry of the palette: what has a colour."""
    checks.one_of(operation, name, value, (*CONCEPTS, *PALETTE))
    return value


def _colours(names):
    """Concepts in their own colour, other names in those that are left; no arm's if others do."""
    taken = {CONCEPTS[name] for name in names if name in CONCEPTS}
    left = ("ink", "red", "muted", "purple", "green", "orange", "blue")
    others = itertools.cycle([name for name in left if name not in taken] or left)
    return [colour(name if name in CONCEPTS else next(others)) for name in names]


def panels(rows=1, columns=1, *, height=2.6, **options):
    """New axes in the book's style.

    Parameters
    ----------
    rows, columns : int
    height : float
        Of one row, in inches.
    **options
        For `Figure.subplots`, such as `sharex`.

    Returns
    -------
    Axes, or ndarray of Axes

    Examples
    --------
    >>> panels(2).shape
    (2,)
    """
    checks.within("panels", "rows", rows, 1, LONGEST)
    checks.within("panels", "columns", columns, 1, LONGEST)
    checks.positive("panels", "height", height)
    if not SHORTEST <= height <= TALLEST / rows:
        raise ValueError(
            f"panels: height must lie from {SHORTEST} to {TALLEST / rows:g} inches, for {rows} "
            f"rows, got {height!r}"
        )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
        return figure.subplots(rows, columns, **options)


def number_line(ax, points, title, low, high, scale="linear"):
    """Draw points on one line; the last is the one to watch, and larger.

    Parameters
    ----------
    ax : Axes
    points : ndarray of N values
    title : str
        An entry of `CONCEPTS`: its colour is that of the last point.
    low, high : float
        The ends of the line.
    scale : {"linear", "log", "symlog"}

    Examples
    --------
    >>> ax = panels()
    >>> number_line(ax, np.array([1.0, 2.0]), "x", 0, 3)
    >>> len(ax.lines)
    3
    """
    checks.instance("number_line", "ax", ax, Axes, "matplotlib axes")
    points = plot_checks.numbers("number_line", "points", points).ravel()
    coloured("number_line", "title", title)
    plot_checks.look("number_line", scale=scale, xlim=(low, high))
    if scale == "log" and low <= 0:
        raise ValueError(f"number_line: low must be above 0 on a logarithmic line, got {low!r}")
    ax.set(xscale=scale, xlim=(low, high), ylim=(-1, 1), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.axhline(0, color=colour("grid"), zorder=0)
    ax.plot(points[:-1], 0 * points[:-1], "o", color=colour("muted"), markersize=7, alpha=0.8)
    ax.plot(points[-1:], [0], "o", color=colour(title), markersize=11)
    ax.set_title(title, loc="left")


def curves(x, series, *, xlabel, ylabel, xscale="linear", yscale="linear", ax=None):
    """Lines over a common x, one colour and one dash per line.

    Parameters
    ----------
    x : ndarray of shape (K,)
    series : dict of str to ndarray of shape (K,) or (seeds, K)
        A name that is a concept has that concept's colour. Several seeds are drawn thin, with their
        mean drawn thick.
    xlabel, ylabel : str
        In lower case, with units.
    xscale, yscale : str
    ax : Axes, optional
        Where to draw; new axes if not given.

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = curves(np.arange(3), {"plain": np.zeros((2, 3))}, xlabel="step", ylabel="loss, nats")
    >>> len(ax.lines)
    3
    """
    looks = {"xlabel": xlabel, "ylabel": ylabel, "xscale": xscale, "yscale": yscale, "ax": ax}
    plot_checks.look("curves", **looks)
    x = plot_checks.numbers("curves", "x", x, "K")
    series = plot_checks.table("curves", "series", series, plot_checks.rows, len(x))
    ax = panels() if ax is None else ax
    with matplotlib.rc_context(STYLE):
        lines = zip(series.items(), _colours(series), itertools.cycle(LINESTYLES))
        for (name, values), own, dash in lines:
            values = np.atleast_2d(values)
            if len(values) > 1:
                ax.plot(x, values.T, color=own, linewidth=0.7, alpha=0.85)
            ax.plot(x, values.mean(axis=0), color=own, linestyle=dash, label=name)
        ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
        if len(series) > 1:
            ax.legend(loc="best", handlelength=2.6)
    return ax


def histogram(values, *, xlabel, bins=40, concept="x", ax=None):
    """How often values occur, as shares of all.

    Parameters
    ----------
    values : ndarray of any shape
    xlabel : str
    bins : int or sequence
    concept : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> histogram(np.arange(10.0), xlabel="value", bins=5).get_ylabel()
    'share of values'
    """
    plot_checks.look("histogram", xlabel=xlabel, ax=ax)
    coloured("histogram", "concept", concept)
    values = plot_checks.numbers("histogram", "values", values, finite=True)
    if checks.plain_array("histogram", "bins", bins).ndim == 0:
        checks.within("histogram", "bins", bins, 1, plot_checks.MOST)
    else:
        bins = plot_checks.edges("histogram", "bins", bins)
    counts, edges = np.histogram(values, bins)
    if not counts.sum():
        raise ValueError(
            f"histogram: values must lie from {edges[0]:g} to {edges[-1]:g}, at least one of them, "
            f"got {values.min():g} to {values.max():g}"
        )
    ax = panels() if ax is None else ax
    with matplotlib.rc_context(STYLE):
        ax.stairs(counts / counts.sum(), edges, fill=True, color=colour(concept), alpha=0.85)
        ax.set(xlabel=xlabel, ylabel="share of values")
    return ax


def images(rows, *, labels=None, marks=None):
    """Small grey pictures in rows.

    Parameters
    ----------
    rows : dict of str to ndarray of shape (K, H, W)
        One row of K pictures each, under its name. White is 0 and black the row's largest value; in
        a row with negative values 0 is middle grey.
    labels : dict of str to sequence of str, optional
        A word under each picture of a row.
    marks : dict of str to sequence of str, optional
        The colour (concept or palette entry) of those words.

    Returns
    -------
    ndarray of Axes of shape (rows, K)

    Examples
    --------
    >>> images({"noise": np.eye(3)[None].repeat(4, axis=0)}).shape
    (1, 4)
    """
    rows = plot_checks.table("images", "rows", rows, _pictures)
    if labels is not None:
        labels = plot_checks.table("images", "labels", labels, plot_checks.words, least=0)
    if marks is not None:
        marks = plot_checks.table("images", "marks", marks, plot_checks.words, least=0)
    if labels and marks:
        _check_marks(labels, marks)
    columns = max(len(pictures) for pictures in rows.values())
    size = WIDTH / columns
    axes = panels(len(rows), columns, height=size + (0.55 if labels else 0.35), squeeze=False)
    # The names span several pictures: they are left out of the layout, which gets room for them.
    axes[0, 0].figure.get_layout_engine().set(h_pad=0.16, w_pad=0.02)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        reach = np.abs(pictures).max() or 1.0
        white = -reach if pictures.min() < 0 else 0
        for column, ax in enumerate(line):
            ax.set_axis_off()
            if column < len(pictures):
                ax.imshow(pictures[column], cmap="gray_r", vmin=white, vmax=reach)
            if labels and column < len(labels.get(name, ())):
                mark = colour(marks[name][column]) if marks else colour("ink")
                ax.text(
                    0.5, -0.06, labels[name][column],
                    transform=ax.transAxes, ha="center", va="top", color=mark, fontsize=12,
                )  # fmt: skip
        line[0].text(
            0, 1.06, name,
            transform=line[0].transAxes, ha="left", va="bottom", in_layout=False,
        )  # fmt: skip
    return axes


def _pictures(operation, name, value):
    return plot_checks.numbers(operation, name, value, "K", "H", "W", finite=True)


def _check_marks(labels, marks):
    """Each label must have its mark, which has a colour."""
    for name, own in labels.items():
        if len(marks.get(name, ())) < len(own):
            raise ValueError(
                f"images: marks[{name!r}] must be {len(own)} colours, one for each label, got "
                f"{len(marks.get(name, ()))}"
            )
        for mark in marks[name]:
            coloured("images", f"each of marks[{name!r}]", mark)


def batch_circle(x_hat, dy, *, ax=None):
    """A normalized batch of three as a point on a circle, and what is left of a gradient there.

    The picture is the plane of all triples that sum to 0, seen along (1, 1, 1).

    Parameters
    ----------
    x_hat : ndarray of 3 values
        With mean 0.
    dy : ndarray of 3 values
        The gradient that arrives; its part along (1, 1, 1) points at the reader and is not drawn.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = batch_circle(np.array([-1.2, 0.0, 1.2]), np.array([1.0, 0.0, 0.0]))
    >>> ax.get_aspect()
    1.0
    """
    plot_checks.look("batch_circle", ax=ax)
    x_hat = plot_checks.vector("batch_circle", "x_hat", x_hat, 3, finite=True)
    dy = plot_checks.vector("batch_circle", "dy", dy, 3, finite=True)
    if not np.ptp(x_hat) > 0:
        raise ValueError(f"batch_circle: x_hat must be numbers that differ, got {x_hat.tolist()}")
    ax = panels(height=WIDTH) if ax is None else ax
    plane = np.array([[-1, 1, 0], [-1, -1, 2]]) / np.sqrt([[2], [6]])
    dot, arrow = plane @ x_hat, plane @ dy
    radius = np.hypot(*dot)
    along = dot * (arrow @ dot) / radius**2
    turn = np.linspace(0, 2 * np.pi, 121)
    with matplotlib.rc_context(STYLE):
        ax.plot(radius * np.cos(turn), radius * np.sin(turn), color=colour("muted"), linewidth=1)
        for number, axis in enumerate(plane.T, 1):  # the directions in which one value grows
            ax.plot(*zip(0 * axis, 0.8 * axis, strict=True), color=colour("grid"), linewidth=1)
            ax.text(*1.1 * axis, f"$x_{number}$", color=colour("muted"), ha="center", va="center")
        ax.plot(*dot, "o", color=colour("x̂ in training"), markersize=10, label="x̂, the batch")
        _arrow(ax, dot, arrow, "ink", "--", "dy")
        _arrow(ax, dot, along, "muted", ":", "dies")
        _arrow(ax, dot, arrow - along, "gradient", "-", "survives")
        # The circle on the left, room for the words on the right.
        ax.set(xlim=(-3, 5.6), ylim=(-2.7, 3.4), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.legend(loc="center right", borderaxespad=0, labelspacing=0.8)
    return ax


def _arrow(ax, start, step, concept, dash, label):
    """A line with a head at its far end; without one if it has no length."""
    end, own = start + step, colour(concept)
    ax.plot(*zip(start, end, strict=True), color=own, linestyle=dash, label=label)
    if np.hypot(*step) > 0.05:
        head = {"arrowstyle": "-|>", "color": own, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", end, end - 0.01 * step, arrowprops=head)


def bars(names, series, *, ylabel, ylim=None, ax=None):
    """Numbers of both signs side by side, one group of bars per name.

    Parameters
    ----------
    names : sequence of K str
    series : dict of str to ndarray of K values
        A name that is a concept has that concept's colour.
    ylabel : str
    ylim : tuple of two floats, optional
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = bars(["a", "b"], {"dy": np.array([1.0, -1.0])}, ylabel="gradient")
    >>> len(ax.patches)
    2
    """
    plot_checks.look("bars", ylabel=ylabel, ylim=ylim, ax=ax)
    names = plot_checks.words("bars", "names", names)
    series = plot_checks.table("bars", "series", series, plot_checks.vector, len(names))
    ax = panels() if ax is None else ax
    places, width = np.arange(len(names)), 0.8 / len(series)
    with matplotlib.rc_context(STYLE):
        for number, (name, own) in enumerate(zip(series, _colours(series), strict=True)):
            left = places - 0.4 + width * (number + 0.5)
            ax.bar(left, series[name], width * 0.9, color=own, label=name)
        ax.axhline(0, color=colour("muted"), linewidth=1)
        ax.set(ylabel=ylabel, ylim=ylim)
        ax.set_xticks(places, names)
        if len(series) > 1:
            ax.legend(loc="best", ncols=len(series))
    return ax


def limits(names, values, limit, *, xlabel, within, beyond, xlim):
    """One dot per name on a logarithmic line, and a limit that divides them.

    Parameters
    ----------
    names : sequence of K str
        From top to bottom.
    values : ndarray of K positive values
        Those outside `xlim` are drawn at its ends.
    limit : float
    xlabel : str
    within, beyond : str
        What it means to lie below the limit (open dots) and above (filled dots).
    xlim : tuple of two floats

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = limits(["a", "b"], np.array([1e-9, 1.0]), 1e-4, xlabel="error",
    ...             within="passes", beyond="caught", xlim=(1e-12, 1e3))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['a', 'b']
    """
    plot_checks.look("limits", xlabel=xlabel, within=within, beyond=beyond)
    names = plot_checks.words("limits", "names", names)
    values = plot_checks.vector("limits", "values", values, len(names))
    plot_checks.length("limits", "limit", limit)
    plot_checks.positive_ends("limits", "xlim", xlim)
    if not min(xlim) <= limit <= max(xlim):
        raise ValueError(f"limits: limit must lie in {tuple(xlim)}, got {limit!r}")
    ax = panels(height=0.9 + 0.27 * len(names))
    values, rows = np.clip(values, *xlim), np.arange(len(names))
    with matplotlib.rc_context(STYLE):
        ax.hlines(rows, *xlim, color=colour("grid"), linewidth=1, zorder=0)
        ax.axvline(limit, color=colour("ink"), linestyle="--", linewidth=1.2, zorder=1)
        low = values < limit
        for chosen, own, fill in ((low, "orange", PAPER[0]), (~low, "blue", colour("blue"))):
            ax.plot(
                values[chosen], rows[chosen], "o",
                color=colour(own), markerfacecolor=fill, markersize=8, clip_on=False,
            )  # fmt: skip
        for word, side, shift in ((f"← {within}", "right", -5), (f"{beyond} →", "left", 5)):
            ax.annotate(
                word, (limit, 1), (shift, 3), xycoords=ax.get_xaxis_transform(),
                textcoords="offset points", ha=side, va="bottom",
            )  # fmt: skip
        ax.set(xscale="log", xlim=xlim, xlabel=xlabel, ylim=(len(names) - 0.5, -0.5))
        ax.set_yticks(rows, names)
        ax.tick_params(axis="y", length=0, pad=9)
        ax.spines["left"].set_visible(False)
    leave_a_margin(ax)
    return ax


def marks(rows, columns, shares):
    """A table of ticks and crosses: how often a column catches a row.

    Parameters
    ----------
    rows, columns : sequence of str
    shares : ndarray of shape (rows, columns)
        A tick for 1 (always), a cross for 0 (never), else the share in per cent; all but ticks
        stand on a tinted cell.

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = marks(["zeros"], ["ones", "two", "random"], np.array([[0, 0.15, 1]]))
    >>> [text.get_text() for text in ax.texts]
    ['✗', '15%', '✓']
    """
    rows, columns = (
        plot_checks.words("marks", name, own)
        for name, own in (("rows", rows), ("columns", columns))
    )
    shares = plot_checks.numbers("marks", "shares", shares, len(rows), len(columns), finite=True)
    if shares.min() < 0 or shares.max() > 1:
        raise ValueError(
            f"marks: shares must lie in [0, 1], got {shares.min():g} to {shares.max():g}"
        )
    ax = panels(height=1.4 + 0.29 * len(rows))
    with matplotlib.rc_context(STYLE):
        for (row, column), share in np.ndenumerate(np.asarray(shares, float)):
            always = share == 1
            if not always:
                corner = (column - 0.46, row - 0.44)
                tint = {"facecolor": colour("orange"), "alpha": 0.25, "linewidth": 0}
                ax.add_patch(Rectangle(corner, 0.92, 0.88, **tint))
            sign = {1.0: "✓", 0.0: "✗"}.get(share)
            ax.text(
                column, row, sign or f"{share:.0%}",
                ha="center", va="center", fontsize=13 if sign else 10,
                fontweight="normal" if always else "bold",
                color=colour("muted" if always else "ink"),
            )  # fmt: skip
        ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        ax.set_yticks(range(len(rows)), rows)
        ax.set_xticks(range(len(columns)), columns, rotation=55, ha="left", rotation_mode="anchor")
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    leave_a_margin(ax)
    return ax


def leave_a_margin(ax, left=0.02):
    """Room at both sides for long row names in a page's font, which may be wider than ours.

    Parameters
    ----------
    ax : Axes
    left : float
        Share of the width at the left; a fiftieth stays free at the right.
    """
    checks.instance("leave_a_margin", "ax", ax, Axes, "matplotlib axes")
    checks.share("leave_a_margin", "left", left)
    if left >= 0.98:
        raise ValueError(f"leave_a_margin: left must leave room for the axes, got {left!r}")
    layout = ax.figure.get_layout_engine()
    if isinstance(layout, ConstrainedLayoutEngine):  # others have no such margin
        layout.set(rect=(left, 0, 0.98 - left, 1))
