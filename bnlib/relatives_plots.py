"""Figures of the norms' axes: which numbers of a batch share a mean and a variance."""

import math

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from bnlib import checks, plot_checks
from bnlib.plots import PAPER, STYLE, WIDTH, colour, coloured, leave_a_margin, panels


def sharing(norm, norm_backward, shape):
    """Number the sets of values that a norm normalizes together, by asking its backward pass.

    Changing one value moves those outputs, and only those, that share its mean and its variance; so
    the gradient of a single output is 0 everywhere else.

    Parameters
    ----------
    norm, norm_backward : callable
        ``norm(x)`` to y and a cache; ``norm_backward(dy, cache)`` to dx and perhaps more.
    shape : tuple of int
        Of x.

    Returns
    -------
    ndarray of int, of that shape
        0 for the set of the first value, 1 for the next that is not in it, and so on.

    Examples
    --------
    >>> from bnlib.relatives import layer_norm, layer_norm_backward
    >>> sharing(layer_norm, layer_norm_backward, (2, 3))
    array([[0, 0, 0],
           [1, 1, 1]])
    """
    checks.function("sharing", "norm", norm)
    checks.function("sharing", "norm_backward", norm_backward)
    shape = tuple(checks.counts("sharing", "shape", shape))
    if math.prod(shape) > plot_checks.MOST:
        raise ValueError(
            f"sharing: shape must be that of at most {plot_checks.MOST} numbers, got {shape}"
        )
    x = np.random.default_rng(0).normal(size=shape)
    _, cache = checks.pair("sharing", "norm", norm(x), "y and a cache")
    sets = np.full(shape, -1)
    for number, place in enumerate(np.ndindex(shape)):
        if sets[place] < 0:
            one = np.zeros(shape)
            one[place] = 1.0
            sets[_dx(norm_backward(one, cache), shape) != 0] = number
            sets[place] = number  # a value that is alone has no gradient at all
    return np.unique(sets, return_inverse=True)[1].reshape(shape)


def _dx(gradients, shape):
    if not isinstance(gradients, tuple | list) or not gradients:
        raise TypeError(
            "sharing: norm_backward must return a tuple that begins with dx, got a "
            f"{type(gradients).__name__}"
        )
    return plot_checks.numbers("sharing", "dx of norm_backward", gradients[0], *shape)


def cells(sets, marked, *, title=""):
    """A batch of pictures as blocks of cells, and who shares statistics with one of them.

    Parameters
    ----------
    sets : ndarray of int, of shape (N, C, places)
        As from `sharing`, the pixels of a picture in one row.
    marked : tuple of three int
        The cell that is asked about; its set is filled, and sets are parted by lines.
    title : str

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = cells(np.zeros((2, 3, 4), int), (0, 0, 0))
    >>> len(ax.patches)
    25
    """
    plot_checks.look("cells", title=title)
    sets = plot_checks.numbers("cells", "sets", sets, "N", "C", "places")
    plot_checks.at_most("cells", "sets", sets.ravel(), plot_checks.MOST)
    marked = tuple(plot_checks.parts("cells", "marked", marked, 3, "the three numbers of a cell"))
    for place, size in zip(marked, sets.shape, strict=True):
        checks.within("cells", "each of marked", place, 0, size - 1)
    examples, channels, places = sets.shape
    gap = 1.1
    ax = panels(height=WIDTH * (channels + 1.8) / (examples * (places + gap) + 0.6))
    with matplotlib.rc_context(STYLE):
        for (n, c, p), own in np.ndenumerate(sets):
            left, top = n * (places + gap) + p, c
            together = own == sets[marked]
            fill = colour("blue") if together else PAPER[0]
            look = {"facecolor": fill, "edgecolor": colour("grid"), "linewidth": 0.8}
            ax.add_patch(Rectangle((left, top), 1, 1, **look))
            _part(ax, sets, (n, c, p), left, top)
        n, c, p = marked
        left = n * (places + gap) + p
        ring = {"fill": False, "edgecolor": colour("orange"), "linewidth": 3, "zorder": 5}
        ax.add_patch(Rectangle((left + 0.1, c + 0.1), 0.8, 0.8, **ring))
        for n in range(examples):
            middle = n * (places + gap) + places / 2
            ax.text(middle, -0.25, f"example {n + 1}", ha="center", va="bottom")
            ax.text(middle, channels + 0.2, "pixels", ha="center", va="top", color=colour("muted"))
        ax.set_yticks(np.arange(channels) + 0.5, [f"channel {c + 1}" for c in range(channels)])
        width = examples * (places + gap) - gap
        ax.set(xlim=(-0.1, width + 0.1), ylim=(channels + 1, -1), xticks=[], aspect="equal")
        ax.tick_params(axis="y", length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(title)
    leave_a_margin(ax, left=0.05)
    return ax


def _part(ax, sets, place, left, top):
    """Draw a line on each side of a cell beyond which another set begins, or the picture ends."""
    n, c, p = place
    _, channels, places = sets.shape
    line = {"color": colour("ink"), "linewidth": 1.8, "zorder": 4, "solid_capstyle": "projecting"}
    sides = {
        (c - 1, p): ((left, left + 1), (top, top)),
        (c + 1, p): ((left, left + 1), (top + 1, top + 1)),
        (c, p - 1): ((left, left), (top, top + 1)),
        (c, p + 1): ((left + 1, left + 1), (top, top + 1)),
    }
    for (channel, pixel), (x, y) in sides.items():
        inside = 0 <= channel < channels and 0 <= pixel < places
        if not inside or sets[n, channel, pixel] != sets[place]:
            ax.plot(x, y, **line)


def by_layer(series, *, ylabel, marks=None, ax=None):
    """One number per layer of a network, on a logarithmic axis, a line for each kind of network.

    Parameters
    ----------
    series : dict of str to ndarray of shape (depth,)
        A name that is a concept has that concept's colour.
    ylabel : str
    marks : dict of str to tuple of two str
        Colour and dash of the other names.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> ax = by_layer({"plain": np.array([1e-3, 1.0])}, ylabel="gradient")
    >>> ax.get_yscale()
    'log'
    """
    plot_checks.look("by_layer", ylabel=ylabel, ax=ax)
    series = plot_checks.table("by_layer", "series", series, plot_checks.numbers, "depth")
    marks = {} if marks is None else plot_checks.table("by_layer", "marks", marks, _mark, least=0)
    for name in series.keys() - marks.keys():
        coloured("by_layer", "a name without a mark", name)
    ax = panels(height=3.2) if ax is None else ax
    with matplotlib.rc_context(STYLE):
        for name, values in series.items():
            own, dash = marks.get(name, (name, "-"))
            layer = np.arange(1, len(values) + 1)
            ax.plot(layer, values, color=colour(own), linestyle=dash, label=name)
        ax.set(xlabel="hidden layer", ylabel=ylabel, yscale="log")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, handlelength=2.6)
    return ax


def _mark(operation, name, value):
    own, dash = plot_checks.parts(operation, name, value, 2, "a colour and a dash")
    return (
        coloured(operation, f"the colour in {name}", own),
        plot_checks.dash(operation, f"the dash in {name}", dash),
    )
