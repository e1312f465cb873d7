"""Figures of a queue of examples and of what an average remembers."""

import itertools

import matplotlib
import numpy as np

from bnlib import checks, plot_checks
from bnlib.plots import LINESTYLES, PAPER, STYLE, colour, coloured, panels


def queue(labels, right, *, size, ax=None):
    """Examples in their order, each at the height of its class, in batches of `size`.

    Parameters
    ----------
    labels : integer ndarray of shape (K,)
    right : bool ndarray of shape (K,)
        Blue dots were answered rightly, hollow orange ones wrongly.
    size : int
        Every second batch has a grey ground.
    ax : Axes, optional

    Returns
    -------
    Axes
        Dots of one class lie at seven heights, close together.

    Examples
    --------
    >>> ax = queue(np.array([0, 1, 1, 0]), np.array([True, True, False, True]), size=2)
    >>> [len(line.get_xdata()) for line in ax.lines]
    [1, 3]
    """
    plot_checks.look("queue", ax=ax)
    labels = plot_checks.classes("queue", "labels", labels)
    right = checks.plain_array("queue", "right", right)
    if right.dtype != bool or right.shape != labels.shape:
        raise TypeError(
            f"queue: right must be {len(labels)} truth values, got {right.dtype} of shape "
            f"{right.shape}"
        )
    checks.count("queue", "size", size)
    ax = panels(height=1.7) if ax is None else ax
    places = np.arange(len(labels))
    heights = labels + 0.11 * (places % 7 - 3)  # neighbours of one class do not cover each other
    with matplotlib.rc_context(STYLE):
        for start in range(0, len(labels), 2 * size):
            ax.axvspan(
                start - 0.5, start + size - 0.5, color=colour("grid"), alpha=0.5, linewidth=0
            )
        for chosen, own, fill, name in (
            (~right, colour("orange"), PAPER[0], "wrong"),
            (right, colour("blue"), colour("blue"), "right"),
        ):
            ax.plot(
                places[chosen], heights[chosen], "o", color=own, markerfacecolor=fill,
                markersize=2.8, markeredgewidth=0.7, label=name,
            )  # fmt: skip
        ax.set(xlim=(-0.5, len(labels) - 0.5), ylim=(-0.7, labels.max() + 0.7))
        ax.set(xlabel="place in the queue", ylabel="class", yticks=range(0, labels.max() + 1, 3))
    return ax


def shares(x, series, at, *, xlabel, ylabel, ylim, styles, ax=None):
    """Lines with a dot on each at one place: where the slider stands.

    Parameters
    ----------
    x : ndarray of shape (K,)
    series : dict of str to ndarray of shape (K,)
    at : int
        Index of the place.
    xlabel, ylabel : str
    ylim : tuple of float
    styles : dict of str to str
        The colour (concept or palette entry) of each.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> words = {"xlabel": "share sorted", "ylabel": "accuracy", "ylim": (0, 1)}
    >>> ax = shares(np.arange(3), {"a": np.ones(3)}, 1, styles={"a": "blue"}, **words)
    >>> ax.lines[1].get_xdata().tolist()
    [1]
    """
    plot_checks.look("shares", xlabel=xlabel, ylabel=ylabel, ylim=ylim, ax=ax)
    x = plot_checks.numbers("shares", "x", x, "K")
    series = plot_checks.table("shares", "series", series, plot_checks.numbers, len(x))
    checks.within("shares", "at", at, 0, len(x) - 1)
    styles = plot_checks.table("shares", "styles", styles, coloured)
    plot_checks.has("shares", "styles", styles, series)
    ax = panels(height=2.2) if ax is None else ax
    with matplotlib.rc_context(STYLE):
        for (name, values), dash in zip(series.items(), itertools.cycle(LINESTYLES)):
            own = colour(styles[name])
            ax.plot(x, values, color=own, linestyle=dash, linewidth=1.5, label=name)
            ax.plot([x[at]], [values[at]], "o", color=own, markersize=8)
        ax.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim)
        ax.legend(loc="lower left", handlelength=2.6)
    return ax
