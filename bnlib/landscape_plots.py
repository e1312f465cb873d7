"""Figures for the surface of the loss: clouds of settings."""

import matplotlib

from bnlib import checks, plot_checks
from bnlib.plots import STYLE, colour, panels

MARKERS = {"plain": "o", "standardized": "s", "batch norm": "D", "dead": "X"}
SIZE = 6  # points, of a mark


def cloud(groups, *, xlabel, ylabel, xscale="log", yscale="log", looks=None, ax=None):
    """One mark per setting, one kind of mark per group.

    Parameters
    ----------
    groups : dict of str to (ndarray of shape (K,), ndarray of shape (K,))
        For each group the places along x and y. A name that is a concept has that concept's colour;
        "dead" is grey.
    xlabel, ylabel : str
        In lower case, with units.
    xscale, yscale : str
    looks : dict of str to sequence of K (float, bool), optional
        For each group the size of every mark, in points, and whether it is filled; otherwise all
        are of one size and hollow.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np
    >>> ax = cloud({"plain": (np.ones(2), np.ones(2)), "dead": (np.ones(1), np.ones(1))},
    ...            xlabel="roughness, nats", ylabel="steps")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['plain', 'dead']
    """
    drawing = {"xlabel": xlabel, "ylabel": ylabel, "xscale": xscale, "yscale": yscale, "ax": ax}
    plot_checks.look("cloud", **drawing)
    groups = plot_checks.table("cloud", "groups", groups, _places)
    for name in groups:
        checks.one_of("cloud", "each key of groups", name, MARKERS)
    if looks is not None:
        looks = plot_checks.table("cloud", "looks", looks, _looks)
        plot_checks.has("cloud", "looks", looks, groups)
        for name, (x, _) in groups.items():
            if len(looks[name]) != len(x):
                raise ValueError(
                    f"cloud: looks[{name!r}] must be {len(x)} marks, got {len(looks[name])}"
                )
    ax = panels(height=3.0) if ax is None else ax
    with matplotlib.rc_context(STYLE):
        for name, (x, y) in groups.items():
            own = colour("muted" if name == "dead" else name)
            alike = {"color": own, "markeredgewidth": 1.4}
            plain = {"markersize": SIZE, "markerfacecolor": "none", "label": name}
            if looks is None:
                ax.plot(x, y, MARKERS[name], **plain, **alike)
                continue
            ax.plot([], [], MARKERS[name], **plain, **alike)  # for the legend
            for place, (size, filled) in zip(zip(x, y, strict=True), looks[name], strict=True):
                look = {"markersize": size, "markerfacecolor": own if filled else "none"}
                ax.plot(*place, MARKERS[name], **look, **alike)
        ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
        ax.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(groups), frameon=False,
            handletextpad=0.2, columnspacing=1.2,
        )  # fmt: skip
    return ax


def _places(operation, name, value):
    x, y = plot_checks.parts(operation, name, value, 2, "the places along x and along y")
    x = plot_checks.numbers(operation, f"x in {name}", x, "K")
    return x, plot_checks.numbers(operation, f"y in {name}", y, len(x))


def _looks(operation, name, value):
    values = checks.sequence(operation, name, value)
    for look in values:
        size, filled = plot_checks.parts(
            operation, f"each of {name}", look, 2, "a size, and whether it is filled"
        )
        plot_checks.length(operation, f"the size in {name}", size)
        checks.flag(operation, f"whether it is filled in {name}", filled)
    return values
