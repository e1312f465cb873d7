"""Switch off hidden units of a trained network, to see how much it relied on them."""

import copy

import numpy as np

from bnlib import checks
from bnlib.layers import Activation


def mean_activations(network, x):
    """Average output of every hidden unit over examples, in evaluation mode.

    Parameters
    ----------
    network : bnlib.layers.Layer
    x : ndarray of shape (N, D)

    Returns
    -------
    list of ndarray of shape (units,)
        One for each activation, in order.

    Raises
    ------
    TypeError, ValueError
        For what is no network, an x that is no batch of real numbers or does not fit.

    Examples
    --------
    >>> from bnlib.layers import ReLU
    >>> mean_activations(ReLU(), np.array([[-1.0, 2.0], [3.0, 4.0]]))
    [array([1.5, 3. ])]
    """
    checks.network("mean_activations", network)
    x = checks.examples("mean_activations", x)
    network, means = copy.deepcopy(network), []
    for leaf in network.leaves():
        x = leaf.forward(x, training=False)
        if isinstance(leaf, Activation):
            means.append(x.mean(axis=0))
    return means


def silenced(network, x, off, *, instead=None):
    """Output of a network in evaluation mode, some of whose hidden units say always the same.

    A unit that is switched off gives 0 (Srivastava et al., 2014, do so in training), or a number of
    its own, such as its mean: then what it knew is gone, and what the next layer gets is as large
    as ever.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Layers one after the other. It stays as it is.
    x : ndarray of shape (N, D)
    off : sequence of bool ndarray of shape (units,)
        For each activation the units that are switched off.
    instead : sequence of ndarray of shape (units,), optional
        What they give, as from `mean_activations`; None: 0.

    Returns
    -------
    ndarray of shape (N, classes)

    Raises
    ------
    TypeError
        For what is no network, an x that does not hold real numbers, an `off` of anything but truth
        values.
    ValueError
        If there is not one array for each activation, or not one entry for each unit.

    Examples
    --------
    >>> from bnlib.layers import ReLU
    >>> silenced(ReLU(), np.array([[1.0, 2.0]]), [np.array([True, False])])
    array([[0., 2.]])
    """
    checks.network("silenced", network)
    x = checks.examples("silenced", x)
    network = copy.deepcopy(network)
    leaves = network.leaves()
    count = sum(isinstance(leaf, Activation) for leaf in leaves)
    off = _one_each("off", off, count)
    instead = [None] * count if instead is None else _one_each("instead", instead, count)
    waiting = zip(off, instead, strict=True)
    for leaf in leaves:
        x = leaf.forward(x, training=False)
        if isinstance(leaf, Activation):
            own, value = next(waiting)
            x = np.where(_switches(own, x), 0.0 if value is None else _values(value, x), x)
    return x


def _one_each(name, arrays, count):
    arrays = checks.sequence("silenced", name, arrays)
    if len(arrays) != count:
        raise ValueError(
            f"silenced: {name} must have one entry for each of the {count} activations, "
            f"got {len(arrays)}"
        )
    return arrays


def _switches(own, x):
    """Which units of one layer are off, when its output is x."""
    own = checks.plain_array("silenced", "off", own)
    if own.dtype != bool:
        raise TypeError(f"silenced: off must hold truth values, got {own.dtype}")
    checks.shape("silenced", "off", own, x.shape[1:], f"{x.shape[1]} units")
    return own


def _values(value, x):
    """What they say instead."""
    value = checks.real_array("silenced", "instead", value)
    checks.shape("silenced", "instead", value, x.shape[1:], f"{x.shape[1]} units")
    return value
