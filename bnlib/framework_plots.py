"""Figures of the workshop on frameworks."""

import matplotlib
import numpy as np

from bnlib import checks, plot_checks
from bnlib.plots import STYLE, colour, leave_a_margin, panels

SETS = {"training set": ("orange", 0.17), "test set": ("blue", -0.17)}
MARKS = {"training set": "o", "test set": "s"}


def waterfall(rows, losses, named, *, xlim):
    """How the loss falls or rises from row to row, for two sets of examples.

    Parameters
    ----------
    rows : sequence of K str
        From top to bottom: where it starts, then one name for each step.
    losses : dict of str to ndarray of shape (K,)
        For "training set" and "test set": the loss at the start and after each step, in nats.
    named : collection of str
        Rows that stand out.
    xlim : tuple of two floats
        Losses outside are drawn at the ends.

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = waterfall(["start", "step"], {"test set": np.array([1.0, 0.1])}, {"step"},
    ...                xlim=(0.01, 3))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['start', 'step']
    """
    rows = plot_checks.words("waterfall", "rows", rows)
    losses = plot_checks.table("waterfall", "losses", losses, plot_checks.numbers, len(rows))
    for name in losses:
        checks.one_of("waterfall", "each key of losses", name, SETS)
    for row in plot_checks.words("waterfall", "named", named, least=0):
        checks.one_of("waterfall", "each of named", row, rows)
    plot_checks.positive_ends("waterfall", "xlim", xlim)
    ax = panels(height=0.95 + 0.42 * len(rows))
    places = -np.arange(len(rows), dtype=float)
    with matplotlib.rc_context(STYLE):
        for row, place in zip(rows, places, strict=True):
            if row in named:
                ax.axhspan(place - 0.46, place + 0.46, color=colour("red"), alpha=0.16, linewidth=0)
        for name, values in losses.items():
            (own, shift), values = SETS[name], np.clip(values, *xlim)
            heights = places + shift
            for row in range(1, len(rows)):
                before, after = values[row - 1 : row + 1]
                down, across = heights[row - 1 : row + 1], [heights[row]] * 2
                ax.plot([before, before], down, color=colour(own), linewidth=0.8)
                ax.plot([before, after], across, color=colour(own), linewidth=3)
            style = {"color": colour(own), "markersize": 6, "clip_on": False}
            ax.plot(values, heights, MARKS[name], **style, label=name)
        ax.set(xscale="log", xlim=xlim, xlabel="loss, nats", ylim=(places[-1] - 0.6, 0.6))
        ax.set_yticks(places, rows)
        for label, row in zip(ax.get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if row in named else "normal")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, frameon=False)
    leave_a_margin(ax)
    return ax
