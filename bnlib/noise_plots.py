"""Figures of noise and of what is done against overfitting."""

import matplotlib
import numpy as np

from bnlib import checks, plot_checks
from bnlib.plots import PAPER, STYLE, colour, coloured, leave_a_margin, panels


def clouds(x, draws, spread, *, reach, ax=None):
    """What some examples become in many batches, over what they are in all, and the law.

    Parameters
    ----------
    x : ndarray of shape (K,)
        x_hat of the examples by the statistics of all.
    draws : ndarray of shape (K, R)
        x_hat of each in R batches.
    spread : callable or None
        From x_hat, an ndarray, to the standard deviation that is expected there; drawn on either
        side of the diagonal, dashed. None draws nothing.
    reach : float
        Both axes go from -reach to reach.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = clouds(np.array([0.0, 1.0]), np.ones((2, 5)), lambda x: 0.1 + 0 * x, reach=2)
    >>> len(ax.lines)
    5
    """
    plot_checks.look("clouds", ax=ax)
    x = plot_checks.numbers("clouds", "x", x, "K")
    draws = plot_checks.numbers("clouds", "draws", draws, len(x), "R")
    plot_checks.length("clouds", "reach", reach)
    line = np.linspace(-reach, reach, 81)
    if spread is not None:
        checks.function("clouds", "spread", spread)
        width = plot_checks.numbers("clouds", "what spread returns", spread(line), len(line))
    ax = panels(height=3.4) if ax is None else ax
    with matplotlib.rc_context(STYLE):
        ax.plot(line, line, color=colour("muted"), linewidth=1)
        for side in (-1, 1) if spread is not None else ():
            beside = line + side * width
            ax.plot(line, beside, color=colour("ink"), linestyle="--", linewidth=1.2)
        for place, own in zip(x, draws, strict=True):
            at = place + 0.006 * reach * np.linspace(-5, 5, len(own))  # so that equal ones are seen
            ax.plot(at, own, "o", color=colour("blue"), markersize=2.5, alpha=0.9)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
        ax.set(xlabel="x̂ among all examples", ylabel="x̂ in a batch")
    return ax


def straight_lines(lines, dots, *, reach, own=None, ax=None):
    """Noise as straight lines through the plane of before and after, and examples on them.

    Parameters
    ----------
    lines : ndarray of shape (L, 2)
        Slope and height at 0 of each.
    dots : ndarray of shape (K, 2)
        Examples, before and after.
    reach : float
        Both axes go from -reach to reach.
    own : int, optional
        The line that the examples lie on, -1 for the last; it has their colour.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = straight_lines(np.array([[1.25, 0.0], [0.0, 0.0]]), np.zeros((3, 2)), reach=2)
    >>> len(ax.lines)
    3
    """
    plot_checks.look("straight_lines", ax=ax)
    lines = plot_checks.numbers("straight_lines", "lines", lines, "L", 2)
    dots = plot_checks.numbers("straight_lines", "dots", dots, "K", 2)
    plot_checks.length("straight_lines", "reach", reach)
    if own is not None:
        checks.within("straight_lines", "own", own, -len(lines), len(lines) - 1)
    ax = panels(height=2.6) if ax is None else ax
    ends, drawn = np.array([-reach, reach]), []
    with matplotlib.rc_context(STYLE):
        for slope, height in lines:
            look = {"color": colour("muted"), "linewidth": 0.9, "alpha": 0.8}
            drawn += ax.plot(ends, slope * ends + height, **look)
        if own is not None:
            drawn[own].set(color=colour("blue"), linewidth=2, alpha=1, zorder=2.5)
        ax.plot(*np.transpose(dots), "o", color=colour("blue"), markersize=5, zorder=3)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    return ax


def rungs(rows, series, *, xlabel, ax=None):
    """Means over seeds, one row per remedy and one mark per kind of network.

    Parameters
    ----------
    rows : sequence of str
        From top to bottom.
    series : dict of str to dict of str to ndarray of shape (seeds,)
        For each kind of network the rows that it has. A name that is a concept has that concept's
        colour; the first is drawn hollow.
    xlabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
        A thin line goes from the lower to the upper quartile of the seeds.

    Examples
    --------
    >>> ax = rungs(["nothing"], {"plain": {"nothing": np.array([0.8, 0.9])}}, xlabel="accuracy")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['nothing']
    """
    plot_checks.look("rungs", xlabel=xlabel, ax=ax)
    rows = plot_checks.words("rungs", "rows", rows)
    seeds = plot_checks.numbers, "seeds"  # what stands in a table of a table
    series = plot_checks.table("rungs", "series", series, plot_checks.table, *seeds)
    for name in series:
        coloured("rungs", "each key of series", name)
    if not any(row in own for own in series.values() for row in rows):
        raise ValueError(f"rungs: series must have one of the rows {rows}, got none of them")
    ax = panels(height=0.9 + 0.34 * len(rows)) if ax is None else ax
    apart = np.linspace(-0.14, 0.14, len(series)) if len(series) > 1 else [0.0]
    with matplotlib.rc_context(STYLE):
        for number, (name, own) in enumerate(series.items()):
            fill = PAPER[0] if number == 0 else colour(name)
            for place, row in enumerate(rows):
                if row not in own:
                    continue
                height = place + apart[number]
                quartiles = np.quantile(own[row], (0.25, 0.75))
                ax.plot(quartiles, [height, height], color=colour(name), linewidth=1.2)
                ax.plot(
                    np.mean(own[row]), height, "os^"[number % 3], color=colour(name),
                    markerfacecolor=fill, markersize=7, label=name,
                )  # fmt: skip
        once = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
        ax.legend(
            once.values(), once, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(once),
            handletextpad=0.2,
        )  # fmt: skip
        ax.set(xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5))
        ax.set_yticks(range(len(rows)), rows)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="y", color=colour("grid"), linewidth=0.8)
        ax.set_axisbelow(True)
    leave_a_margin(ax, left=0.04)
    return ax
