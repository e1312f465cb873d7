"""Figures about moving distributions."""

import matplotlib
import numpy as np

from bnlib import checks, plot_checks
from bnlib.plots import PAPER, STYLE, colour, coloured, histogram, panels


def percentiles(steps, bands, *, concept, xlabel, ylabel, ax=None):
    """Three percentiles over time: the middle one drawn thick, the outer two with a band between.

    Parameters
    ----------
    steps : ndarray of shape (K,)
    bands : ndarray of shape (K, 3)
        The lower, the middle and the upper percentile at each step.
    concept : str
        Its colour is theirs.
    xlabel, ylabel : str
        In lower case, with units.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = percentiles(np.arange(2), np.array([[-1, 0, 1], [0, 1, 2]]), concept="plain",
    ...                  xlabel="step", ylabel="z")
    >>> len(ax.lines)
    3
    """
    plot_checks.look("percentiles", xlabel=xlabel, ylabel=ylabel, ax=ax)
    coloured("percentiles", "concept", concept)
    steps = plot_checks.numbers("percentiles", "steps", steps, "K")
    bands = plot_checks.numbers("percentiles", "bands", bands, len(steps), 3)
    ax = panels() if ax is None else ax
    low, middle, high = bands.T
    with matplotlib.rc_context(STYLE):
        own = colour(concept)
        ax.fill_between(steps, low, high, color=own, alpha=0.18, linewidth=0)
        for outer in (low, high):
            ax.plot(steps, outer, color=own, linewidth=0.9)
        ax.plot(steps, middle, color=own, linewidth=2.2)
        ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax


def places(values, *, bins, tops=None):
    """A histogram for each of several places in a network, one below the other, on one axis.

    Parameters
    ----------
    values : dict of str to (str, ndarray)
        Under the name of the place its concept, which gives the colour, and the values there.
        Those beyond the bins are counted at the ends.
    bins : ndarray
        Of all histograms.
    tops : sequence of float, optional
        How high each axis reaches, the same in every frame of a moving figure; otherwise all reach
        as high as the highest histogram.

    Returns
    -------
    ndarray of Axes

    Examples
    --------
    >>> axes = places({"before": ("plain", np.zeros(5))}, bins=np.linspace(-1, 1, 5))
    >>> axes[0].get_title(loc="left")
    'before'
    """
    bins = plot_checks.edges("places", "bins", bins)
    values = plot_checks.table("places", "values", values, _place)
    if tops is not None:
        tops = plot_checks.parts("places", "tops", tops, len(values), f"{len(values)} heights")
        for top in tops:
            plot_checks.length("places", "each of tops", top)
    how = {"height": 1.3, "sharex": True, "sharey": tops is None, "squeeze": False}
    axes = panels(len(values), **how)[:, 0]
    for ax, (name, (concept, own)) in zip(axes, values.items(), strict=True):
        inside = np.clip(own, bins[0], bins[-1])
        histogram(inside, bins=bins, concept=concept, xlabel="", ax=ax)
        ax.axvline(0, color=colour("muted"), linewidth=0.8)
        ax.set_ylabel("share")
        ax.set_title(name, loc="left")
    if tops is not None:
        for ax, top in zip(axes, tops, strict=True):
            ax.set_ylim(0, top)
    return axes


def _place(operation, name, value):
    concept, own = plot_checks.parts(operation, name, value, 2, "a concept and an array")
    coloured(operation, f"the concept in {name}", concept)
    return concept, plot_checks.numbers(operation, f"the array in {name}", own, finite=True)


def trade(points, *, xlabel, ylabel, marks=None, ax=None):
    """One mark per arm, on logarithmic axes: what it pays for what it gets.

    Parameters
    ----------
    points : sequence of (str, str, bool, float, float)
        The arm's concept (its colour), marker, whether the marker is filled, and its place.
    xlabel, ylabel : str
        In lower case, with units.
    marks : dict of str to (str, bool), optional
        What a marker, filled or not, stands for: further lines of the legend, without a colour.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = trade([("plain", "o", True, 0.1, 2.0)], xlabel="change", ylabel="shift")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['plain']
    """
    plot_checks.look("trade", xlabel=xlabel, ylabel=ylabel, ax=ax)
    points = checks.sequence("trade", "points", points)
    points = [_point("trade", "each of points", point) for point in points]
    if not points:
        raise ValueError("trade: points must be at least one, got none")
    marks = {} if marks is None else plot_checks.table("trade", "marks", marks, _mark, least=0)
    ax = panels(height=3.2) if ax is None else ax
    named = set()
    with matplotlib.rc_context(STYLE):
        for concept, marker, filled, x, y in points:
            own = colour(concept)
            face = own if filled else PAPER[0]
            label = None if concept in named else concept
            look = {"color": own, "markerfacecolor": face, "markersize": 8, "linestyle": "none"}
            ax.plot(x, y, marker=marker, label=label, **look)
            named.add(concept)
        for name, (marker, filled) in marks.items():
            own = colour("muted")
            look = {"color": own, "markerfacecolor": own if filled else PAPER[0]}
            ax.plot([], [], marker, label=name, markersize=8, **look)
        ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
        place = {"loc": "best", "handlelength": 1}
        if marks:  # too many lines for a corner
            place |= {"loc": "lower center", "bbox_to_anchor": (0.45, 1), "ncols": 3}
            place |= {"columnspacing": 0.9, "handletextpad": 0.2}
        ax.legend(frameon=False, **place)
    return ax


def _point(operation, name, value):
    words = "concept, marker, whether it is filled, x, y"
    concept, marker, filled, x, y = plot_checks.parts(operation, name, value, 5, words)
    coloured(operation, f"the concept in {name}", concept)
    _mark(operation, name, (marker, filled))
    for axis, number in (("x", x), ("y", y)):
        plot_checks.length(operation, f"{axis} in {name}", number)
    return concept, marker, filled, x, y


def _mark(operation, name, value):
    marker, filled = plot_checks.parts(operation, name, value, 2, "a marker, whether it is filled")
    plot_checks.marker(operation, f"the marker in {name}", marker)
    checks.flag(operation, f"the last in {name}", filled)
    return marker, filled
