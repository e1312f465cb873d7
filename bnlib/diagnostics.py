"""What goes on inside a network: its signals, its gradients, its steps, its curvature.

Every function works on a copy, so the network stays exactly as it was: weights, gradients, running
averages, caches, and the generators of its dropout layers.
"""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bnlib import checks, functional
from bnlib.landscape import surface
from bnlib.layers import Activation, Conv2d, Linear, ReLU, Sigmoid, Tanh

STEEPEST = {Sigmoid: 0.25, Tanh: 1.0}
# An output is saturated where the slope is below this share of the steepest.
FLAT = 0.05
# Length of a step along a direction, relative to the length of all parameters together.
STEP = 1e-6


class LayerStatistics(NamedTuple):
    """One hidden layer on one batch; means and standard deviations are over examples and units.

    Attributes
    ----------
    sum_mean, sum_std : float
        Of the weighted sums, before any norm: a norm's output has mean 0 and standard deviation 1
        by construction.
    pre_mean, pre_std : float
        Of what the activation gets.
    activation_std : float
        Of what the activation gives.
    gradient_rms : float
        Root mean square of the loss's gradient in the layer's weights; NaN without labels.
    dead, linear : float
        Share of ReLU units that are at or below 0, or above 0, for all examples; NaN for others.
    saturated : float
        Share of sigmoid or tanh outputs where the slope is below 5 % of its steepest; NaN for
        others.
    """

    sum_mean: float
    sum_std: float
    pre_mean: float
    pre_std: float
    activation_std: float
    gradient_rms: float
    dead: float
    linear: float
    saturated: float


def layer_statistics(network, x, labels=None, *, training=True):
    """Signals and gradients of every hidden layer.

    Parameters
    ----------
    network : bnlib.layers.Layer
        A hidden layer is an activation and the linear or convolutional layer that comes before it.
    x : ndarray of shape (N, D) or (N, C, H, W)
    labels : integer ndarray of shape (N,), optional
        For the gradient of the softmax cross-entropy.
    training : bool
        Whether batch norm uses this batch's statistics.

    Returns
    -------
    list of LayerStatistics
        From the input to the output; a channel of a picture is one unit.

    Raises
    ------
    TypeError
        For what is no network, an x that does not hold real numbers, labels that are not whole.
    ValueError
        If an activation comes before the first linear or convolutional layer; for shapes that do
        not match.
    FloatingPointError
        If a batch statistic is not finite.

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> rng = np.random.default_rng(0)
    >>> network = mlp([64, 1000, 1000, 10], rng=rng, batch_norm=True)
    >>> for layer in layer_statistics(network, rng.standard_normal((500, 64)), training=True):
    ...     print(f"{layer.sum_std:.1f} {layer.pre_std:.1f} {layer.dead:.1f}")
    1.4 1.0 0.0
    1.0 1.0 0.0
    """
    checks.network("layer_statistics", network)
    x = checks.examples("layer_statistics", x)
    network = copy.deepcopy(network)
    passed = _record(network)
    logits = network.forward(x, training=training)
    if labels is not None:
        _, cache = functional.softmax_cross_entropy(logits, labels)
        network.backward(functional.softmax_cross_entropy_backward(cache))
    found, weighted = [], None
    for leaf in network.leaves():
        if isinstance(leaf, Linear | Conv2d):
            weighted = leaf
        elif isinstance(leaf, Activation):
            if weighted is None:
                raise ValueError(
                    "layer_statistics: each activation must come after a linear or convolutional "
                    f"layer, got {type(leaf).__name__} before the first"
                )
            sums, (z, y) = passed[weighted][1], passed[leaf]
            dead, linear, saturated = _shares(leaf, z, y)
            found.append(
                LayerStatistics(
                    sum_mean=float(sums.mean()),
                    sum_std=float(sums.std()),
                    pre_mean=float(z.mean()),
                    pre_std=float(z.std()),
                    activation_std=float(y.std()),
                    gradient_rms=np.nan if labels is None else _rms(weighted.grads["weight"]),
                    dead=dead,
                    linear=linear,
                    saturated=saturated,
                )
            )
    return found


def update_ratios(before, after):
    """How far training moved each weight matrix: rms(after - before) / rms(before).

    Parameters
    ----------
    before, after : dict of str to ndarray
        Two `state_dict()` of one network.

    Returns
    -------
    dict of str to float
        For the weights of linear and convolutional layers, whose arrays have two or more axes.

    Raises
    ------
    TypeError
        For what are no dicts of arrays, and weights that are not real.
    ValueError
        If the two have not the same names and shapes.

    Examples
    --------
    >>> update_ratios({"0.weight": np.array([[3.0, 4.0]])}, {"0.weight": np.array([[3.0, 4.5]])})
    {'0.weight': 0.1}
    """
    checks.instance("update_ratios", "before", before, Mapping, "a dict of arrays")
    checks.instance("update_ratios", "after", after, Mapping, "a dict of arrays")
    if before.keys() != after.keys():
        raise ValueError(
            f"update_ratios: after must have the names {sorted(map(str, before))}, "
            f"got {sorted(map(str, after))}"
        )
    ratios = {}
    for name in before:
        weight, moved = (
            checks.plain_array("update_ratios", name, state[name]) for state in (before, after)
        )
        checks.shape("update_ratios", name, moved, weight.shape, "its value before")
        if weight.ndim >= 2:
            weight = checks.real_array("update_ratios", name, weight)
            moved = checks.real_array("update_ratios", name, moved)
            with np.errstate(divide="ignore", invalid="ignore"):  # from 0: infinity, or NaN
                ratios[name] = float(np.divide(_rms(moved - weight), _rms(weight)))
    return ratios


def sharpness(network, x, labels, *, rng, iterations=100, tolerance=1e-6):
    """The largest eigenvalue of the Hessian of the full-batch loss.

    The Hessian times a direction is the difference of two gradients, a small step to either side.
    Multiplying again and again, power iteration, turns any direction towards the strongest
    curvature; Lanczos's method (1950) does the same and makes use of all directions on the way, so
    it is faster, and finds the largest eigenvalue also where a negative one is stronger. Gradient
    descent on a quadratic diverges where lr exceeds 2 / sharpness (Cohen et al., 2021).

    For smooth activations, such as tanh. Where a ReLU of some example switches within a small step,
    its jump is divided by the step and taken for a curvature; over whole steps, measure with
    `bnlib.landscape`.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Without dropout, whose noise would be taken for curvature. Batch norm is in training mode.
    x : ndarray of shape (N, D) or (N, C, H, W)
    labels : integer ndarray of shape (N,)
    rng : numpy.random.Generator
        Draws the first direction.
    iterations : int
        At most so many, each of two gradients.
    tolerance : float
        It ends when the estimate changes by less than this share of it.

    Returns
    -------
    float
        Over all parameters that are not frozen, in float64.

    Raises
    ------
    TypeError
        For a network with dropout, and arguments of another kind.
    ValueError
        If no parameter is left to move; for iterations below 1 or a tolerance below 0.
    FloatingPointError
        If a gradient is not finite.

    Examples
    --------
    >>> from bnlib.layers import Linear
    >>> layer = Linear(1, 2, rng=np.random.default_rng(0), scale=0, bias=False)
    >>> x, labels = np.array([[2.0], [2.0]]), np.array([0, 1])
    >>> round(sharpness(layer, x, labels, rng=np.random.default_rng(0)), 6)
    2.0
    """
    checks.generator("sharpness", "rng", rng)
    checks.count("sharpness", "iterations", iterations)
    checks.not_negative("sharpness", "tolerance", tolerance)
    function, centre = surface(network, x, labels)
    step = STEP * (np.linalg.norm(centre) or 1)

    def curvature(direction):
        """The Hessian times a direction of length 1."""
        (_, above), (_, below) = (function(centre + side * direction) for side in (step, -step))
        return (above - below) / (2 * step)

    start = rng.standard_normal(len(centre))
    return _largest_eigenvalue(curvature, start, iterations, tolerance)


def _record(network):
    """Let every leaf note what goes in and what comes out, in the dict that is returned."""
    passed = {}

    def noting(leaf):
        forward = leaf.forward

        def noted(x, *, training):
            y = forward(x, training=training)
            passed[leaf] = (x, y)
            return y

        return noted

    for leaf in network.leaves():
        leaf.forward = noting(leaf)
    return passed


def _shares(activation, z, y):
    """The shares of dead and linear units and of saturated outputs; NaN where there are none."""
    if isinstance(activation, ReLU):
        units = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1]) > 0
        return float(np.mean(~units.any(axis=0))), float(np.mean(units.all(axis=0))), np.nan
    steepest = STEEPEST.get(type(activation))
    if steepest is None:
        return np.nan, np.nan, np.nan
    slope = activation.function_backward(np.ones_like(y), y)
    return np.nan, np.nan, float(np.mean(slope < FLAT * steepest))


def _rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def _largest_eigenvalue(product, direction, iterations, tolerance):
    """Of a symmetric map, by Lanczos: the map's matrix in the directions seen so far."""
    basis = [direction / np.linalg.norm(direction)]
    diagonal: list[float] = []
    beside: list[float] = []
    estimate = -np.inf
    for _ in range(min(iterations, len(direction))):
        image = product(basis[-1])
        if not np.isfinite(image).all():
            raise FloatingPointError("sharpness: gradients must be finite, got NaN or infinity")
        diagonal.append(float(basis[-1] @ image))
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        previous, estimate = estimate, float(np.linalg.eigvalsh(matrix)[-1])
        for _ in range(2):  # once leaves rounding in the old directions, which would grow
            image = image - np.array(basis).T @ (np.array(basis) @ image)
        length = float(np.linalg.norm(image))
        if length == 0 or abs(estimate - previous) <= tolerance * abs(estimate):
            break
        beside.append(length)
        basis.append(image / length)
    return estimate
