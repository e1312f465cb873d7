"""Figures for the surface of the loss: clouds of settings."""

import matplotlib

from bnlib.plots import STYLE, colour, panels

MARKERS = {"plain": "o", "standardized": "s", "batch norm": "D", "dead": "X"}


def cloud(groups, *, xlabel, ylabel, xscale="log", yscale="log", ax=None):
    """One mark per setting, one kind of mark per group.

    Parameters
    ----------
    groups : dict of str to (ndarray of shape (K,), ndarray of shape (K,))
        For each group the places along x and y. A name that is a concept has that concept's colour;
        "dead" is grey.
    xlabel, ylabel : str
        In lower case, with units.
    xscale, yscale : str
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
    ax = panels(height=3.0) if ax is None else ax
    with matplotlib.rc_context(STYLE):
        for name, (x, y) in groups.items():
            ax.plot(
                x, y, MARKERS[name], color=colour("muted" if name == "dead" else name),
                markersize=6, markerfacecolor="none", markeredgewidth=1.4, label=name,
            )  # fmt: skip
        ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
        ax.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(groups), frameon=False,
            handletextpad=0.2, columnspacing=1.2,
        )  # fmt: skip
    return ax
