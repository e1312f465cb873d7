"""Figures for measured effects: intervals beside the smallest effect that matters, and bands."""

import itertools

import matplotlib
import numpy as np

from bnlib import checks, plot_checks
from bnlib.plots import LINESTYLES, STYLE, colour, coloured, leave_a_margin, panels

ANSWERS = {"yes": "blue", "no": "orange", "open": "muted"}


def effects(findings, *, xlabel, names=None, scale="linear", ax=None):
    """One line per finding: estimate and interval, over the band of effects too small to matter.

    Parameters
    ----------
    findings : sequence of bnlib.verdicts.Finding
        Of one scale and one smallest effect. From top to bottom.
    xlabel : str
        The measure, in lower case, with its unit.
    names : sequence of str, optional
        Instead of the contrasts' own.
    scale : {"linear", "log"}
    ax : Axes, optional

    Returns
    -------
    Axes
        Blue: answered yes; orange, hollow: no; grey, a square: open.

    Examples
    --------
    >>> from bnlib.verdicts import Contrast, Rule, verdict
    >>> contrast = Contrast("a - b", "accuracy", {"a": 1, "b": -1}, "more", 0.01)
    >>> per_seed = {("a", "accuracy"): [0.5, 0.6, 0.7], ("b", "accuracy"): [0.4, 0.5, 0.61]}
    >>> got = verdict(per_seed, Rule("C02", "a beats b.", (contrast,)))
    >>> effects(got.needs, xlabel="accuracy").get_xlabel()
    'accuracy'
    """
    plot_checks.look("effects", xlabel=xlabel, ax=ax)
    checks.one_of("effects", "scale", scale, ("linear", "log"))
    findings = checks.sequence("effects", "findings", findings)
    for finding in findings:
        if not all(hasattr(finding, part) for part in ("contrast", "interval", "answer")):
            raise TypeError(
                f"effects: each of findings must be a Finding, got {type(finding).__name__}"
            )
    if not findings:
        raise ValueError("effects: findings must be at least one, got none")
    names = [finding.contrast.name for finding in findings] if names is None else names
    names = plot_checks.words("effects", "names", names, len(findings))
    ax = panels(height=0.9 + 0.3 * len(findings)) if ax is None else ax
    small = findings[0].contrast.smallest
    zero, low, high = (1.0, 1 / small, small) if scale == "log" else (0.0, -small, small)
    with matplotlib.rc_context(STYLE):
        ax.axvspan(low, high, color=colour("grid"), alpha=0.6, linewidth=0, zorder=0)
        ax.axvline(zero, color=colour("muted"), linewidth=1, zorder=1)
        for row, finding in enumerate(findings):
            own = colour(ANSWERS[finding.answer])
            marker, fill = {"yes": ("o", own), "no": ("o", "#ffffff"), "open": ("s", own)}[
                finding.answer
            ]
            ax.plot([finding.interval.low, finding.interval.high], [row, row], color=own)
            ax.plot(
                finding.interval.estimate, row, marker,
                color=own, markerfacecolor=fill, markersize=7,
            )  # fmt: skip
        ax.set(xscale=scale, xlabel=xlabel, ylim=(len(findings) - 0.5, -0.5))
        if scale == "log":
            _ratio_ticks(ax)
        ax.set_yticks(range(len(findings)), names)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    leave_a_margin(ax, left=0.06)
    return ax


def _ratio_ticks(ax):
    """Few ticks on a logarithmic axis of ratios, written out: 0.8, 1, 1.25 and not 8 x 10^-1."""
    low, high = np.log10(ax.get_xlim())
    steps, every = [1.0, 2.0, 5.0], 1.0
    if high - low < 0.5:
        steps = [1, 1.25, 1.6, 2, 2.5, 4, 5, 6.3, 8]
    elif high - low >= 2:
        steps, every = [1.0], np.ceil((high - low) / 6)
    decades = 10.0 ** np.arange(every * np.floor(low / every), high, every)
    ticks = [tick for tick in np.outer(decades, steps).ravel() if low <= np.log10(tick) <= high]
    ax.set_xticks(ticks, [f"{tick:,.4g}" if tick < 1000 else f"{tick:,.0f}" for tick in ticks])
    ax.minorticks_off()


def bands(x, series, *, xlabel, ylabel, xscale="linear", yscale="linear", styles=None, ax=None):
    """Means over seeds with the range from the smallest to the largest seed behind them.

    Parameters
    ----------
    x : ndarray of shape (K,)
    series : dict of str to ndarray of shape (seeds, K)
        A name that is a concept ("plain", "standardized", "batch norm") has that concept's colour.
    xlabel, ylabel : str
        In lower case, with units.
    xscale, yscale : str
    styles : dict of str to str, optional
        A colour (concept or palette entry) for other names.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = bands(np.arange(3), {"plain": np.zeros((2, 3))}, xlabel="step", ylabel="loss, nats")
    >>> len(ax.lines)
    1
    """
    looks = {"xlabel": xlabel, "ylabel": ylabel, "xscale": xscale, "yscale": yscale, "ax": ax}
    plot_checks.look("bands", **looks)
    x = plot_checks.numbers("bands", "x", x, "K")
    series = plot_checks.table("bands", "series", series, plot_checks.rows, len(x))
    if styles is None:
        styles = {}
    styles = plot_checks.table("bands", "styles", styles, coloured, least=0)
    for name in series.keys() - styles.keys():
        coloured("bands", "a name without a style", name)
    ax = panels() if ax is None else ax
    with matplotlib.rc_context(STYLE):
        for (name, values), dash in zip(series.items(), itertools.cycle(LINESTYLES)):
            own = colour(styles.get(name, name))
            values = np.atleast_2d(values)
            low, high = values.min(axis=0), values.max(axis=0)
            ax.fill_between(x, low, high, color=own, alpha=0.18, linewidth=0)
            ax.plot(x, values.mean(axis=0), color=own, linestyle=dash, label=name)
        ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
        if len(series) > 1:
            ax.legend(loc="best", handlelength=2.6)
    return ax


def descent(curvature, path, *, xlim, ylim, xlabel, ylabel, ax=None):
    """Steps of gradient descent in a bowl, seen from above.

    Parameters
    ----------
    curvature : ndarray of shape (2, 2)
        The loss is e' curvature e / 2; its minimum lies at 0.
    path : ndarray of shape (steps + 1, 2)
        Where each step begins; the rings are lines of equal loss, the outermost that of the start
        and each further one of a quarter of the loss.
    xlim, ylim : tuple of two floats
    xlabel, ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
        One unit is as long on both axes.

    Examples
    --------
    >>> ax = descent(np.eye(2), np.array([[1.0, 0.0], [0.0, 0.0]]), xlim=(-2, 2), ylim=(-1, 1),
    ...              xlabel="first weight", ylabel="second weight")
    >>> len(ax.lines)
    6
    """
    plot_checks.look("descent", xlabel=xlabel, ylabel=ylabel, xlim=xlim, ylim=ylim, ax=ax)
    curvature = plot_checks.numbers("descent", "curvature", curvature, 2, 2, finite=True)
    path = plot_checks.numbers("descent", "path", path, "steps", 2, finite=True)
    turn = np.linspace(0, 2 * np.pi, 61)
    try:
        ring = np.linalg.cholesky(np.linalg.inv(curvature)) @ [np.cos(turn), np.sin(turn)]
    except np.linalg.LinAlgError:
        raise ValueError(
            f"descent: curvature must be positive definite, got {curvature.tolist()}"
        ) from None
    ax = panels() if ax is None else ax
    start = np.sqrt(path[0] @ curvature @ path[0])
    with matplotlib.rc_context(STYLE):
        for level in range(4):
            ax.plot(*(start / 2**level * ring), color=colour("muted"), linewidth=0.8)
        ax.plot(0, 0, "+", color=colour("ink"), markersize=10)
        ax.plot(*path.T, "o-", color=colour("blue"), linewidth=1.2, markersize=3)
        ax.set(xlim=xlim, ylim=ylim, xlabel=xlabel, ylabel=ylabel, aspect="equal")
    return ax


def pairs(series, *, ylabel, ax=None):
    """One column of dots per arm, and one line per seed that joins its dots.

    Parameters
    ----------
    series : dict of str to ndarray of shape (seeds,)
        A name that is a concept has that concept's colour.
    ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = pairs({"plain": np.array([1.0, 2.0]), "batch norm": np.zeros(2)}, ylabel="loss, nats")
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['plain', 'batch norm']
    """
    plot_checks.look("pairs", ylabel=ylabel, ax=ax)
    series = plot_checks.table("pairs", "series", series, plot_checks.numbers, "seeds")
    first = next(iter(series))
    for name, own in series.items():
        coloured("pairs", "each key of series", name)
        plot_checks.vector("pairs", f"series[{name!r}]", own, len(series[first]))
    ax = panels() if ax is None else ax
    values = np.array(list(series.values()))
    with matplotlib.rc_context(STYLE):
        ax.plot(values, color=colour("muted"), linewidth=0.9, alpha=0.9, zorder=1)
        for column, (name, own) in enumerate(series.items()):
            at = np.full(len(own), column)
            ax.plot(at, own, "o", color=colour(name), markersize=6, zorder=2)
        ax.set(ylabel=ylabel, xlim=(-0.5, len(series) - 0.5))
        ax.set_xticks(range(len(series)), series)
    return ax


def turning(path, aim, *, reach, ax=None):
    """The last vector of a path on the circle of its length, and the way it came.

    Parameters
    ----------
    path : ndarray of shape (steps, 2)
        The tip after each step.
    aim : ndarray of 2 values
        The direction that it should have, drawn as a ray.
    reach : float
        Both axes go from -reach to reach.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = turning(np.array([[1.0, 0.0], [1.0, 0.5]]), np.array([0.0, 1.0]), reach=2)
    >>> ax.get_aspect()
    1.0
    """
    plot_checks.look("turning", ax=ax)
    path = plot_checks.numbers("turning", "path", path, "steps", 2, finite=True)
    aim = plot_checks.vector("turning", "aim", aim, 2, finite=True)
    if not aim.any():
        raise ValueError(f"turning: aim must have a length, got {aim.tolist()}")
    plot_checks.length("turning", "reach", reach)
    ax = panels(height=4.8) if ax is None else ax
    turn = np.linspace(0, 2 * np.pi, 91)
    radius = np.hypot(*path[-1])
    ray = 2 * reach * aim / np.hypot(*aim)
    with matplotlib.rc_context(STYLE):
        ax.plot(radius * np.cos(turn), radius * np.sin(turn), color=colour("muted"), linewidth=1)
        ax.plot([0, ray[0]], [0, ray[1]], color=colour("muted"), linestyle="--", linewidth=1.2)
        ax.plot(*path.T, "o-", color=colour("gradient"), linewidth=1.2, markersize=3)
        ax.plot([0, path[-1, 0]], [0, path[-1, 1]], color=colour("blue"), linewidth=2.2)
        ax.plot(*path[-1], "o", color=colour("blue"), markersize=7)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return ax


def fan(x, rows, names, *, marked, xlabel, ylabel, ylim=None, ax=None):
    """Many lines of one kind over a common x, of which a few are named.

    Parameters
    ----------
    x : ndarray of shape (K,)
    rows : ndarray of shape (lines, K)
    names : sequence of str
        One for each line.
    marked : dict of str to str
        The names that stand in the legend, with the dash of their line, such as "--".
    xlabel, ylabel : str
        In lower case, with units.
    ylim : tuple of two floats, optional
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = fan(np.arange(2), np.eye(2), ["1", "2"], marked={"2": ":"}, xlabel="t", ylabel="y")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['2']
    """
    plot_checks.look("fan", xlabel=xlabel, ylabel=ylabel, ylim=ylim, ax=ax)
    x = plot_checks.numbers("fan", "x", x, "K")
    names = plot_checks.words("fan", "names", names)
    rows = plot_checks.numbers("fan", "rows", rows, len(names), len(x))
    marked = plot_checks.table("fan", "marked", marked, plot_checks.dash)
    for name in marked:
        checks.one_of("fan", "each key of marked", name, names)
    ax = panels() if ax is None else ax
    with matplotlib.rc_context(STYLE):
        for name, row in zip(names, rows, strict=True):
            if name not in marked:
                ax.plot(x, row, color=colour("blue"), linewidth=0.8, alpha=0.8)
        for name, row in zip(names, rows, strict=True):
            if name in marked:
                own = colour("ink")
                ax.plot(x, row, color=own, linestyle=marked[name], linewidth=2, label=name)
        ax.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim)
        ax.legend(loc="best", handlelength=2.6)
    return ax


def strips(series, *, xlabel, xscale="linear", ax=None):
    """One row per arm, one dot per seed, and a mark at their median.

    Parameters
    ----------
    series : dict of str to ndarray of shape (seeds,)
        From top to bottom.
    xlabel : str
    xscale : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = strips({"a": np.array([1.0, 2.0, 9.0]), "b": np.zeros(3)}, xlabel="accuracy")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['a', 'b']
    """
    plot_checks.look("strips", xlabel=xlabel, xscale=xscale, ax=ax)
    series = plot_checks.table("strips", "series", series, plot_checks.numbers, "seeds")
    ax = panels(height=0.9 + 0.3 * len(series)) if ax is None else ax
    with matplotlib.rc_context(STYLE):
        for row, values in enumerate(series.values()):
            at = row + np.linspace(-0.2, 0.2, len(values))  # apart, so that equal ones are seen
            ax.plot(values, at, "o", color=colour("blue"), markersize=4, alpha=0.9)
            ax.plot(np.median(values), row, "|", color=colour("ink"), markersize=16)
        ax.set(xscale=xscale, xlabel=xlabel, ylim=(len(series) - 0.5, -0.5))
        ax.set_yticks(range(len(series)), series)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    leave_a_margin(ax, left=0.06)
    return ax
