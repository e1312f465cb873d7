"""Figures for the workshop `whitening`: clouds of points and the ellipse of their covariance."""

import matplotlib
import numpy as np

from bnlib import plot_checks
from bnlib.plots import STYLE, colour, panels

TURN = np.linspace(0, 2 * np.pi, 73)


def clouds(tables, *, reach, notes=None):
    """Clouds of points side by side, each with the ellipse two standard deviations away.

    Parameters
    ----------
    tables : dict of str to ndarray of shape (N, 2)
        By title.
    reach : float
        All axes go from -reach to reach.
    notes : dict of str to str, optional
        What stands below each.

    Returns
    -------
    ndarray of Axes

    Examples
    --------
    >>> axes = clouds({"raw": np.eye(2), "white": np.ones((3, 2))}, reach=3)
    >>> [ax.get_title() for ax in axes]
    ['raw', 'white']
    """
    tables = plot_checks.table("clouds", "tables", tables, _points)
    plot_checks.length("clouds", "reach", reach)
    if notes is None:
        notes = {}
    notes = plot_checks.table("clouds", "notes", notes, plot_checks.word, least=0)
    axes = np.atleast_1d(panels(1, len(tables), height=2.1))
    with matplotlib.rc_context(STYLE):
        for ax, (title, points) in zip(axes, tables.items(), strict=True):
            ax.axhline(0, color=colour("grid"), linewidth=1, zorder=0)
            ax.axvline(0, color=colour("grid"), linewidth=1, zorder=0)
            ax.plot(*points.T, "o", color=colour("muted"), markersize=2.2, alpha=0.8)
            ax.plot(*ellipse(points).T, color=colour("blue"), linewidth=2)
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
            ax.set_title(title)
            ax.set_xlabel(notes.get(title, ""))
            ax.spines[:].set_visible(False)
    return axes


def ellipse(points):
    """The points two standard deviations from the mean, in the sense of the covariance.

    Parameters
    ----------
    points : ndarray of shape (N, 2)

    Returns
    -------
    ndarray of shape (73, 2)

    Examples
    --------
    >>> points = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> np.abs(ellipse(points)).max(axis=0).round(3)
    array([4.243, 1.414])
    """
    points = _points("ellipse", "points", points)
    mean = points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(points.T, bias=True))
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return mean + 2 * np.column_stack([np.cos(TURN), np.sin(TURN)]) @ root


def _points(operation, name, value):
    return plot_checks.numbers(operation, name, value, "N", 2, finite=True)
