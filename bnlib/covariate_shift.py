"""Internal covariate shift: what a step of the earlier layers changes for a later one.

A *layer* is a linear or convolutional layer with all that follows until the next one, so gamma and
beta belong to the layer they follow. The step is that of plain gradient descent. Every function
works on a copy, so the network stays exactly as it was.
"""

import copy
from typing import NamedTuple

import numpy as np

from bnlib import checks, functional, optim
from bnlib.layers import Activation, Conv2d, Linear, Sequential


class GradientShift(NamedTuple):
    """How one layer's gradient changes when the layers before it take their step.

    Attributes
    ----------
    distance : float
        Length of the difference of the two gradients.
    relative : float
        The same over the length of the first gradient.
    cosine : float
        Of the angle between the two.
    """

    distance: float
    relative: float
    cosine: float


class Interaction(NamedTuple):
    """How a step changes the loss: of all layers at once, and of each by itself.

    Attributes
    ----------
    together : float
    alone : tuple of float
        One for each layer.
    """

    together: float
    alone: tuple[float, ...]

    @property
    def share(self):
        """What the layers do to each other's steps, over what the steps do alone."""
        return abs(self.together - sum(self.alone)) / np.sum(np.abs(self.alone))


class Drift(NamedTuple):
    """How far the distributions of some units moved, in units of their spread before.

    Attributes
    ----------
    mean, std : float
        Of their means, and of their standard deviations.
    whole : float
        Of the distributions as wholes: at least as much as both together.
    """

    mean: float
    std: float
    whole: float


class Signals(NamedTuple):
    """One hidden layer on one batch.

    Attributes
    ----------
    sums : ndarray of shape (N, units)
        Its weighted sums, before any norm.
    inputs : ndarray of shape (N, units)
        What its activation gets: the same, or the norm's output.
    """

    sums: np.ndarray
    inputs: np.ndarray


def layers_of(network):
    """The leaves of each layer, from the input to the output.

    Parameters
    ----------
    network : bnlib.layers.Layer
        With at least one linear or convolutional layer; what stands before the first belongs to it.

    Returns
    -------
    list of list of bnlib.layers.Layer
        The first of each that has a matrix of weights is the linear or convolutional one.

    Raises
    ------
    TypeError
        For what is no network.
    ValueError
        Without such a layer.

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> network = mlp([64, 100, 10], rng=np.random.default_rng(0), batch_norm=True)
    >>> [[type(leaf).__name__ for leaf in layer] for layer in layers_of(network)]
    [['Linear', 'BatchNorm', 'ReLU'], ['Linear']]
    """
    checks.network("layers_of", network)
    layers: list[list] = []
    before: list = []
    for leaf in network.leaves():
        if isinstance(leaf, Linear | Conv2d):
            layers.append([*before, leaf])
            before = []
        else:
            (layers[-1] if layers else before).append(leaf)
    if not layers:
        raise ValueError("layers_of: network must hold a linear or convolutional layer, got none")
    return layers


def step(network, x, labels, *, lr, layers=None):
    """A copy of the network after one step of gradient descent, of all its layers or of some.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Without dropout or other noise. Batch norm is in training mode.
    x : ndarray of shape (N, D) or (N, C, H, W)
    labels : integer ndarray of shape (N,)
    lr : float or list
        Learning rate, as for `bnlib.optim.Optimizer`.
    layers : collection of int, optional
        The numbers of those that move, as in `layers_of`, counted from 0; None: all.

    Returns
    -------
    bnlib.layers.Layer

    Raises
    ------
    TypeError
        For a network with dropout or other noise, which would be taken for a change; for arguments
        of another kind.
    ValueError
        If there is no layer of such a number; for shapes that do not match.
    FloatingPointError
        If a batch statistic is not finite.

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> network = mlp([2, 3, 2], rng=np.random.default_rng(0))
    >>> moved = step(network, np.eye(2), np.array([0, 1]), lr=0.1, layers=[1])
    >>> [bool((a.params["weight"] == b.params["weight"]).all())
    ...  for a, b in zip(network.layers[::2], moved.layers[::2], strict=True)]
    [True, False]
    """
    moved = _copy("step", network)
    blocks = layers_of(moved)
    chosen = range(len(blocks)) if layers is None else checks.sequence("step", "layers", layers)
    for number in chosen:
        checks.within("step", "each of layers", number, 0, len(blocks) - 1)
    x = checks.examples("step", x)
    _loss(moved, x, labels, backward=True)
    frozen = [(leaf, leaf.frozen) for leaf in moved.leaves()]
    for number, block in enumerate(blocks):
        for leaf in block:
            leaf.frozen = leaf.frozen if number in chosen else frozenset(leaf.params)
    optim.SGD(moved, lr=lr).step()
    for leaf, names in frozen:
        leaf.frozen = names
    return moved


def gradient_shift(network, x, labels, *, lr):
    """Internal covariate shift of each layer but the first, as its critics define it.

    Santurkar et al. (2018), definition 2.1: the gradient of the loss in a layer's weights, and the
    same gradient after the earlier layers alone have taken their step, on the same batch.

    Parameters
    ----------
    network, x, labels, lr
        As for `step`.

    Returns
    -------
    list of GradientShift
        From the second layer to the last. Relative distance and cosine are NaN where the first
        gradient is 0.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As `step`.

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> network = mlp([2, 3, 2], rng=np.random.default_rng(0))
    >>> (shift,) = gradient_shift(network, np.eye(2), np.array([0, 1]), lr=1.0)
    >>> 0 < shift.relative < 2
    True
    """
    before = _gradients(network, x, labels)
    shifts = []
    for number in range(1, len(before)):
        moved = step(network, x, labels, lr=lr, layers=range(number))
        shifts.append(_compared(before[number], _gradients(moved, x, labels)[number]))
    return shifts


def layer_interaction(network, x, labels, *, lr):
    """Change of the loss when all layers step at once, and when each steps alone.

    If the layers did not depend on each other, the first would be the sum of the others.

    Parameters
    ----------
    network, x, labels, lr
        As for `step`.

    Returns
    -------
    Interaction

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As `step`.

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> network = mlp([2, 3, 2], rng=np.random.default_rng(0))
    >>> one = layer_interaction(network, np.eye(2), np.array([0, 1]), lr=0.1)
    >>> one.together < 0, len(one.alone), bool(0 < one.share < 1)
    (True, 2, True)
    """
    x = checks.examples("layer_interaction", x)
    start = _loss(_copy("layer_interaction", network), x, labels)

    def change(layers):
        return _loss(step(network, x, labels, lr=lr, layers=layers), x, labels) - start

    numbers = range(len(layers_of(network)))
    return Interaction(change(None), tuple(change([number]) for number in numbers))


def distribution_drift(before, after):
    """How far the distributions of some units moved between two moments.

    The distance of two distributions is Wasserstein's of order 2: the root mean square of how far
    the sorted values have to be carried. It does not ask which example moved, only whether the
    whole did. All units together: root mean squares, over that of their standard deviations before.

    Parameters
    ----------
    before, after : ndarray of shape (N, units)
        The same examples, in any order.

    Returns
    -------
    Drift
        NaN, or infinite, where no unit had any spread before.

    Raises
    ------
    TypeError, ValueError
        For arrays that are not real floats, or of different shapes.

    Examples
    --------
    >>> z = np.array([[0.0], [2.0]])
    >>> distribution_drift(z, z[::-1] + 0.5)
    Drift(mean=0.5, std=0.0, whole=0.5)
    """
    before = checks.real_array("distribution_drift", "before", before)
    after = checks.real_array("distribution_drift", "after", after)
    checks.shape("distribution_drift", "after", after, before.shape, "before")
    spread = _rms(before.std(axis=0))
    carried = np.sort(after, axis=0) - np.sort(before, axis=0)
    moved = (after.mean(axis=0) - before.mean(axis=0), after.std(axis=0) - before.std(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Drift(*(float(_rms(move) / spread) for move in (*moved, carried)))


def signals(network, x):
    """What goes on in each hidden layer; batch norm in training mode.

    Parameters
    ----------
    network : bnlib.layers.Sequential
        Of leaves, as from `mlp`. Noise is drawn as the next step of training will draw it.
    x : ndarray of shape (N, D)

    Returns
    -------
    list of Signals

    Raises
    ------
    TypeError, ValueError
        For a network that is no Sequential, an x that is no batch of real numbers or does not fit.
    FloatingPointError
        If a batch statistic is not finite.

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> rng = np.random.default_rng(0)
    >>> network = mlp([64, 100, 100, 10], rng=rng, batch_norm=True)
    >>> second = signals(network, rng.standard_normal((500, 64)))[1]
    >>> bool(abs(second.sums.mean(axis=0)).max() > 0.5)
    True
    >>> bool(abs(second.inputs.mean(axis=0)).max() < 1e-12)
    True
    """
    checks.instance("signals", "network", network, Sequential, "a Sequential")
    x = checks.examples("signals", x)
    found, sums = [], x
    for layer in copy.deepcopy(network).layers:
        if isinstance(layer, Activation):
            found.append(Signals(sums, x))
        x = layer.forward(x, training=True)
        if isinstance(layer, Linear):
            sums = x
    return found


def _copy(operation, network):
    checks.network(operation, network)
    if any(hasattr(leaf, "rng") for leaf in network.leaves()):
        raise TypeError(f"{operation}: network must not contain dropout or other noise")
    return copy.deepcopy(network)


def _loss(network, x, labels, *, backward=False):
    """The loss of a network that may be touched; on wish its gradients are set."""
    loss, cache = functional.softmax_cross_entropy(network.forward(x, training=True), labels)
    if backward:
        network.backward(functional.softmax_cross_entropy_backward(cache))
    return float(loss)


def _gradients(network, x, labels):
    """The gradient in each layer's weights."""
    network, x = _copy("gradient_shift", network), checks.examples("gradient_shift", x)
    _loss(network, x, labels, backward=True)
    linear = [leaf for leaf in network.leaves() if isinstance(leaf, Linear | Conv2d)]
    return [leaf.grads["weight"] for leaf in linear]


def _compared(before, after):
    distance, length = np.linalg.norm(after - before), np.linalg.norm(before)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.sum(before * after) / (length * np.linalg.norm(after))
        return GradientShift(float(distance), float(distance / length), float(cosine))


def _rms(values):
    return np.sqrt(np.mean(np.square(values)))
