"""The loss along its gradient, by the ruler of Santurkar et al. (2018) and by one without a scale.

From a point one gradient is followed over several lengths, and at each arrival the loss and the
gradient are taken anew. The three measures of the paper's section 3.2 are properties of the result;
its "effective beta-smoothness" is called `roughness` here, because large values of it are rough.
"""

import copy
from typing import NamedTuple

import numpy as np

from bnlib import checks, functional
from bnlib.layers import Dropout


class Path(NamedTuple):
    """What was met along one gradient.

    Attributes
    ----------
    loss, gradient_norm : float
        At the start.
    distances : ndarray of shape (K,)
        From the start to each arrival, in the coordinates of the function.
    losses, changes, cosines : ndarray of shape (K,)
        At each arrival: the loss; how long the gradient minus that of the start is; and the cosine
        of the angle between these two gradients.
    """

    loss: float
    gradient_norm: float
    distances: np.ndarray
    losses: np.ndarray
    changes: np.ndarray
    cosines: np.ndarray

    @property
    def loss_variation(self):
        """Largest minus smallest loss among the arrivals."""
        return float(np.ptp(self.losses))

    @property
    def gradient_change(self):
        """The largest change of the gradient: the paper's gradient predictiveness."""
        return float(self.changes.max())

    @property
    def roughness(self):
        """The largest change of the gradient per distance: the effective beta-smoothness."""
        return float((self.changes / self.distances).max())

    @property
    def relative_changes(self):
        """Each change as a share of the first gradient's length."""
        return self.changes / self.gradient_norm


@np.errstate(all="ignore")  # what overflows is refused in the end
def along_gradient(function, point, *, rates=None, lengths=None):
    """Follow the gradient at a point downhill, and compare loss and gradient at each arrival.

    Santurkar et al. (2018), "How does batch normalization help optimization?", section 3.2.

    Parameters
    ----------
    function : callable
        function(point) gives the loss and its gradient, as from `surface`. What it raises goes
        through.
    point : ndarray of shape (D,)
    rates : sequence of K floats, optional
        Each arrival is point - rate * gradient: a step of gradient descent.
    lengths : sequence of K floats, optional
        Instead of rates: each arrival lies so far away.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        For a function that cannot be called or gives anything else, a point, rates or lengths that
        are no real numbers.
    ValueError
        Unless either rates or lengths are given, all of them finite and above 0; where the
        gradient is 0 and leads nowhere, or has another shape than the point.
    FloatingPointError
        If a loss or a gradient is not finite.

    Examples
    --------
    >>> curvature = np.array([1.0, 3.0])
    >>> bowl = lambda point: (curvature @ point**2 / 2, curvature * point)
    >>> path = along_gradient(bowl, np.array([0.0, 2.0]), rates=[0.1, 0.2])
    >>> round(path.roughness, 6), path.relative_changes.round(6), path.cosines
    (3.0, array([0.3, 0.6]), array([1., 1.]))
    """
    asked = [each for each in (rates, lengths) if each is not None]
    if len(asked) != 1:
        raise ValueError("along_gradient: expected either rates or lengths, got both or neither")
    name = "lengths" if rates is None else "rates"
    steps = checks.numbers("along_gradient", name, asked[0])
    if steps.ndim != 1 or not len(steps) or not (np.isfinite(steps) & (steps > 0)).all():
        raise ValueError(f"along_gradient: {name} must be finite numbers above 0, got {asked[0]}")
    checks.function("along_gradient", "function", function)
    point = checks.real_array("along_gradient", "point", point)
    if point.ndim != 1:
        raise ValueError(f"along_gradient: point must have shape (D,), got {point.shape}")
    loss, gradient = _met(function, point)
    norm = np.linalg.norm(gradient)
    if norm == 0:
        raise ValueError("along_gradient: the gradient must lead somewhere, got one of length 0")
    if rates is None:
        steps = steps / norm
    losses, changes, cosines = [], [], []
    for step in steps:
        arrived, there = _met(function, point - step * gradient)
        losses.append(arrived)
        changes.append(np.linalg.norm(there - gradient))
        cosines.append(there @ gradient / (norm * np.linalg.norm(there) or 1))
    found = Path(float(loss), float(norm), *map(np.array, (steps * norm, losses, changes, cosines)))
    if not all(np.isfinite(values).all() for values in found):
        raise FloatingPointError("along_gradient: losses and gradients must be finite, got others")
    return found


def _met(function, point):
    """Loss and gradient at a point, once they are seen to be a number and a vector."""
    words = "a loss and its gradient"
    loss, gradient = checks.pair("along_gradient", "function", function(point), words)
    loss = checks.numbers("along_gradient", "the loss", loss)
    checks.shape("along_gradient", "the loss", loss, (), "one number")
    gradient = checks.real_array("along_gradient", "the gradient", gradient)
    checks.same_shape("along_gradient", "the gradient", gradient, "point", point)
    return loss, gradient


def surface(network, x, labels, *, relative=False):
    """The softmax cross-entropy as a function of one long vector of parameters.

    In relative coordinates every layer's parameters are measured in units of their own length at
    the start: weights and bias of a linear layer together, gamma and beta of a batch norm together.
    Whatever multiplies a layer without changing the network then leaves the surface as it is, such
    as any factor of the weights before a batch norm.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Without dropout, whose noise would be taken for roughness. Batch norm is in training mode.
        A copy is used.
    x : ndarray of shape (N, D) or (N, C, H, W)
    labels : integer ndarray of shape (N,)
    relative : bool

    Returns
    -------
    function : callable
        function(point) gives the loss and its gradient, in float64, over all parameters that are
        not frozen.
    point : ndarray of shape (P,)
        Where the network is. A layer of zeros has no length, and stays in relative coordinates.

    Raises
    ------
    TypeError
        For a network with dropout, and arguments of another kind.
    ValueError
        If no parameter is left to move; for labels that are not one for each example.

    Examples
    --------
    >>> from bnlib.layers import Linear
    >>> layer = Linear(1, 2, rng=np.random.default_rng(0), scale=3, bias=False)
    >>> function, point = surface(layer, np.array([[1.0]]), np.array([0]), relative=True)
    >>> round(float(np.linalg.norm(point)), 6), function(0 * point)[0].round(3)
    (1.0, np.float64(0.693))
    """
    checks.network("surface", network)
    checks.flag("surface", "relative", relative)
    network = copy.deepcopy(network)
    leaves = network.leaves()
    if any(isinstance(leaf, Dropout) for leaf in leaves):
        raise TypeError("surface: network must not contain dropout, whose noise is no roughness")
    free = [(leaf, name) for leaf in leaves for name in leaf.params if name not in leaf.frozen]
    if not free:
        raise ValueError("surface: network must have parameters that are not frozen, got none")
    x, start = checks.numbers("surface", "x", x), _together(free, "params")
    labels = checks.labels("surface", labels, "x", x)
    unit = _lengths(free) if relative else np.ones_like(start)

    @np.errstate(all="ignore")  # far away the numbers may overflow; the caller sees that
    def function(point):
        _place(free, unit * point)
        loss, cache = functional.softmax_cross_entropy(network.forward(x, training=True), labels)
        network.backward(functional.softmax_cross_entropy_backward(cache))
        return loss, unit * _together(free, "grads")

    return function, start / np.where(unit == 0, 1, unit)


def _together(free, kind):
    """The free parameters, or their gradients, as one long vector."""
    return np.concatenate([getattr(leaf, kind)[name].ravel() for leaf, name in free]).astype(float)


@np.errstate(over="ignore")  # of a network that is about to diverge
def _lengths(free):
    """For each number of the long vector, the length of all free parameters of its layer."""
    squares: dict[int, float] = {}
    for leaf, name in free:
        square = np.sum(np.square(leaf.params[name], dtype=float))
        squares[id(leaf)] = squares.get(id(leaf), 0.0) + float(square)
    return np.concatenate(
        [np.full(leaf.params[name].size, np.sqrt(squares[id(leaf)])) for leaf, name in free]
    )


def _place(free, values):
    """Replace the free parameters by the numbers of one long vector."""
    start = 0
    for leaf, name in free:
        shape, size = leaf.params[name].shape, leaf.params[name].size
        leaf.params = {**leaf.params, name: values[start : start + size].reshape(shape)}
        start += size
