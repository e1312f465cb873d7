"""Figures of inputs that training never saw."""

import matplotlib
import numpy as np

from bnlib import plot_checks
from bnlib.plots import PAPER, STYLE, WIDTH, colour, panels


def pictures(rows):
    """Small pictures in rows, as bright and coloured as they are.

    Parameters
    ----------
    rows : dict of str to ndarray of shape (K, H, W) or (K, H, W, 3)
        One row of K pictures each, under its name; 0 is black and 1 white, or full colour.

    Returns
    -------
    ndarray of Axes of shape (rows, K)

    Examples
    --------
    >>> pictures({"noise": np.ones((4, 2, 2, 3))}).shape
    (1, 4)
    """
    rows = plot_checks.table("pictures", "rows", rows, _pictures)
    columns = max(len(own) for own in rows.values())
    # The names stand to the left, in a column of their own width.
    axes = panels(len(rows), columns, height=0.86 * WIDTH / (columns + 2), squeeze=False)
    axes[0, 0].figure.get_layout_engine().set(h_pad=0.03, w_pad=0.02, rect=(0.2, 0, 0.8, 1))
    for line, (name, own) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(line, own, strict=False):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(visible=True, color=colour("grid"))
        for ax in line[len(own) :]:
            ax.set_axis_off()
        line[0].text(
            -0.25, 0.5, name,
            transform=line[0].transAxes, ha="right", va="center", in_layout=False, fontsize=10.5,
        )  # fmt: skip
    return axes


def _pictures(operation, name, value):
    array = plot_checks.numbers(operation, name, value, finite=True)
    if array.ndim != 3 and not (array.ndim == 4 and array.shape[3] == 3):
        raise ValueError(
            f"{operation}: {name} must have shape (K, H, W) or (K, H, W, 3), got {array.shape}"
        )
    if array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"{operation}: {name} must lie in [0, 1], got {array.min():g} to {array.max():g}"
        )
    return array


def meters(x, series, at, *, xlabel, ax=None):
    """Means over seeds on a dial, each with a dot where the dial stands.

    Parameters
    ----------
    x : sequence of K float
        Places of the dial.
    series : dict of str to ndarray of shape (seeds, K)
        At most four shares, 0 to 1; behind each mean the range of the seeds.
    at : float
        One of `x`.
    xlabel : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = meters([0.0, 1.0], {"accuracy": np.ones((2, 2))}, 1.0, xlabel="alpha")
    >>> len(ax.lines)
    3
    """
    plot_checks.look("meters", xlabel=xlabel, ax=ax)
    x = plot_checks.numbers("meters", "x", x, "K")
    series = plot_checks.table("meters", "series", series, plot_checks.rows, len(x))
    plot_checks.at_most("meters", "series", series, 4)
    plot_checks.size("meters", "at", at)
    if at not in x:
        raise ValueError(f"meters: at must be one of {x.tolist()}, got {at!r}")
    ax = panels(height=2.6) if ax is None else ax
    place = list(x).index(at)
    with matplotlib.rc_context(STYLE):
        ax.axvline(at, color=colour("muted"), linewidth=1)
        for name, own, dash in zip(
            series, ("blue", "red", "green", "purple"), ("-", "--", ":", "-."), strict=False
        ):
            values = np.atleast_2d(series[name])
            mean = values.mean(axis=0)
            ax.fill_between(
                x,
                values.min(axis=0),
                values.max(axis=0),
                color=colour(own),
                alpha=0.18,
                linewidth=0,
            )
            ax.plot(x, mean, color=colour(own), linestyle=dash, label=name)
            ax.plot(x[place], mean[place], "o", color=colour(own), markersize=9)
        ax.set(xlabel=xlabel, ylabel="share", ylim=(-0.03, 1.03))
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(series), frameon=False)
    return ax


def trade_offs(series, *, xlabel, ylabel, ax=None):
    """One line per shift from one end of a dial to the other, over two things that one wants.

    Parameters
    ----------
    series : dict of str to ndarray of shape (K, 2)
        Where the dial leads, from its start, a hollow mark, to its end, a filled one.
    xlabel, ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = trade_offs({"grey": np.eye(2)}, xlabel="accuracy", ylabel="AUROC")
    >>> len(ax.lines)
    3
    """
    plot_checks.look("trade_offs", xlabel=xlabel, ylabel=ylabel, ax=ax)
    series = plot_checks.table("trade_offs", "series", series, plot_checks.numbers, "K", 2)
    plot_checks.at_most("trade_offs", "series", series, 6)
    ax = panels(height=3.2) if ax is None else ax
    names = ("blue", "orange", "green", "purple", "red", "muted")
    with matplotlib.rc_context(STYLE):
        for (name, path), own, marker in zip(series.items(), names, "os^Dvp", strict=False):
            ax.plot(*path.T, color=colour(own), label=name, marker=marker, markersize=3)
            for end, fill in ((0, PAPER[0]), (-1, colour(own))):
                ax.plot(
                    *path[end],
                    marker,
                    color=colour(own),
                    markerfacecolor=fill,
                    markersize=9,
                    zorder=3,
                )
        ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.03, 1.03), ylim=(0.43, 1.03))
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(series), frameon=False,
                  handlelength=1.6, columnspacing=1)  # fmt: skip
    return ax
