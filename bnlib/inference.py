"""After training: what batch norm has stored, how it came about, and how to store it better.

Batch norm leaves training with two vectors per layer that no gradient has touched, averages of the
statistics of its batches. Here are the rules by which such averages are made, a way to measure the
statistics again when the weights no longer move, and one to hold them still while the rest of a
network learns on. Chapter `running_averages`.
"""

import contextlib

import numpy as np

from bnlib import checks
from bnlib.layers import BatchNorm

POOLINGS = ("whole", "mean")


# --- averages of a sequence -----------------------------------------------------------------------


def exponential_average(values, momentum=0.1, *, initial=0.0):
    """Move a share of the way towards each new value: what a running average does.

    After k values the initial one still has the weight (1 - momentum)^k.

    Parameters
    ----------
    values : ndarray of shape (K, …)
        In the order of time, for instance the variances of K batches.
    momentum : float in [0, 1]
        Weight of the *new* value, as in PyTorch.
    initial : float or ndarray of shape (…)
        Where it starts: PyTorch's running mean at 0, its running variance at 1.

    Returns
    -------
    ndarray of shape (K, …)
        The average after each value, float64.

    Raises
    ------
    TypeError
        For values that are no floats, an initial or a momentum that is no real number.
    ValueError
        For values without an axis of time, a momentum outside of [0, 1], or an initial of another
        shape than each value's.

    Examples
    --------
    >>> exponential_average(np.array([8.0, 8.0, 8.0]), 0.5, initial=0.0)
    array([4., 6., 7.])
    """
    values = _sequence("exponential_average", values)
    checks.share("exponential_average", "momentum", momentum)
    average = checks.numbers("exponential_average", "initial", initial)
    if average.ndim:
        each = values.shape[1:]
        checks.shape("exponential_average", "initial", average, each, f"values of shape {each}")
    averages = np.empty_like(values)
    for step, value in enumerate(values):
        averages[step] = average = (1 - momentum) * average + momentum * value
    return averages


def cumulative_average(values):
    """Average all values so far alike: PyTorch's `momentum=None`.

    Parameters
    ----------
    values : ndarray of shape (K, …)

    Returns
    -------
    ndarray of shape (K, …)
        The average after each value, float64. It has no initial value to forget, and forgets none
        of the others either.

    Raises
    ------
    TypeError, ValueError
        For values that are no floats, or without an axis of time.

    Examples
    --------
    >>> cumulative_average(np.array([8.0, 4.0, 0.0]))
    array([8., 6., 4.])
    """
    values = _sequence("cumulative_average", values)
    counts = np.arange(1, len(values) + 1).reshape(-1, *(1,) * (values.ndim - 1))
    return values.cumsum(axis=0) / counts


def corrected_average(values, momentum=0.1):
    """Average exponentially and divide by the weight that the values have had so far.

    From 0, the weights of the first k values sum to 1 - (1 - momentum)^k; divided by that, they sum
    to 1, and no initial value is left. Adam does so with its averages (Kingma and Ba, 2015).

    Parameters
    ----------
    values : ndarray of shape (K, …)
    momentum : float in (0, 1]
        Weight of the *new* value.

    Returns
    -------
    ndarray of shape (K, …)
        The average after each value, float64.

    Raises
    ------
    TypeError
        For values that are no floats, or a momentum that is no number.
    ValueError
        For values without an axis of time, or a momentum outside of (0, 1].

    Examples
    --------
    >>> corrected_average(np.array([8.0, 8.0, 8.0]), 0.5)
    array([8., 8., 8.])
    """
    values = _sequence("corrected_average", values)
    checks.positive("corrected_average", "momentum", momentum)
    weights = exponential_average(np.ones(len(values)), momentum)
    return exponential_average(values, momentum) / weights.reshape(-1, *(1,) * (values.ndim - 1))


def _sequence(operation, values):
    values = checks.float_array(operation, "values", values)
    if values.ndim < 1:
        raise ValueError(f"{operation}: values must have an axis of time, got a single number")
    return values.astype(np.result_type(values, np.float64))


# --- statistics measured again --------------------------------------------------------------------


def reestimate(network, x, *, batch_size=None, rng=None, pool="whole", bessel=True):
    """Measure the statistics of all batch norm layers again and store them as running averages.

    The weights stay as they are. Without `batch_size`, each layer gets the statistics of its input
    over all of x when the layers below already use theirs, as in
    `bnlib.training.population_statistics`: then evaluation on x normalizes exactly. With it, x
    passes in batches, each normalized by itself as in training, and each layer gets the statistics
    of what it saw there: "precise batch norm" (Wu and Johnson, 2021). Beyond the first layer the
    two differ.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Changed: `running_mean`, `running_var`, and `num_batches_tracked`, which becomes the number
        of batches. Layers without running averages are left alone; dropout is off.
    x : ndarray of shape (N, D) or (N, C, H, W)
        For instance all training examples.
    batch_size : int, optional
        Examples in a batch; a last, smaller one is left out. None: all of x at once.
    rng : numpy.random.Generator, optional
        Draws the order of the examples; None: as they come.
    pool : {"whole", "mean"}
        How the variances of several batches become one. "whole": that of all values together, the
        mean variance plus the variance of the means. "mean": the mean variance alone, as the older
        versions of fvcore's `update_bn_stats` store it.
    bessel : bool
        Store unbiased variances, as training does: times n / (n - 1), n being the number of values
        behind each variance.

    Raises
    ------
    TypeError
        For arguments of another kind, an x that is not real among them.
    ValueError
        For a batch size that does not fit, or an unbiased variance of a single value.
    FloatingPointError
        If a statistic is not finite. Whatever is raised, the network is as it was.

    Examples
    --------
    >>> layer = BatchNorm(1)
    >>> reestimate(layer, np.array([[1.0], [3.0], [5.0], [7.0]]), bessel=False)
    >>> layer.buffers["running_mean"], layer.buffers["running_var"]
    (array([4.]), array([5.]))
    """
    checks.network("reestimate", network)
    x = checks.examples("reestimate", x)
    checks.one_of("reestimate", "pool", pool, POOLINGS)
    checks.flag("reestimate", "bessel", bessel)
    size = len(x) if batch_size is None else batch_size
    checks.within("reestimate", "batch_size", size, 1, len(x))
    if rng is not None:
        checks.generator("reestimate", "rng", rng)
    order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
    batches = [order[at : at + size] for at in range(0, len(x) - size + 1, size)]

    leaves = [leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm) and leaf.buffers]
    seen = _statistics_of_batches(network, leaves, (x[rows] for rows in batches))
    new = [_pooled(own, pool, bessel) for own in seen]
    for leaf, (mean, var) in zip(leaves, new, strict=True):
        dtype = leaf.buffers["running_mean"].dtype
        leaf.buffers = {
            "running_mean": mean.astype(dtype),
            "running_var": var.astype(dtype),
            "num_batches_tracked": np.array(len(batches)),
        }


def _statistics_of_batches(network, leaves, batches):
    """For each of the leaves the number of values, mean and biased variance of every batch."""
    before = [(leaf, dict(vars(leaf))) for leaf in network.leaves()]
    seen: list = [[] for _ in leaves]
    try:
        for leaf in leaves:
            leaf.buffers = {}  # without running averages it evaluates by its batch
        for batch in batches:
            network.forward(batch, training=False)
            for leaf, own in zip(leaves, seen, strict=True):
                cache = leaf._cache
                own.append((cache.x_hat.size // leaf.num_features, cache.mean, cache.var))
    finally:
        for leaf, attributes in before:
            vars(leaf).update(attributes)
    return seen


def _pooled(own, pool, bessel):
    """One mean and one variance from those of batches of equal size."""
    (count, *_), means, variances = map(np.array, zip(*own, strict=True))
    var = variances.mean(axis=0)
    if pool == "whole":
        var, count = var + means.var(axis=0), count * len(own)
    if bessel:
        if count == 1:
            raise ValueError("reestimate: an unbiased variance needs two values, got batches of 1")
        var = var * (count / (count - 1))
    mean = means.mean(axis=0)
    if not np.isfinite([mean, var]).all():
        raise FloatingPointError("reestimate: statistics must be finite, got inf or nan")
    return mean, var


# --- statistics held still ------------------------------------------------------------------------


class FrozenBatchNorm(BatchNorm):
    """Batch norm that applies its running averages in training too, and leaves them alone.

    Each channel is a fixed affine map, so the gradient is that of evaluation. gamma and beta are
    learned on, unless they are `frozen` as well. (To freeze these two alone, as PyTorch's
    `requires_grad=False` does, stops neither the use of batch statistics nor the averaging.)

    Parameters
    ----------
    As `bnlib.layers.BatchNorm`; without running averages it evaluates by its batch, as that does.

    Examples
    --------
    >>> layer = FrozenBatchNorm(1)
    >>> layer.forward(np.array([[1.0], [3.0]]), training=True).ravel().round(3)
    array([1., 3.])
    >>> layer.buffers["running_mean"]
    array([0.])
    """

    def _forward(self, x, training):
        del training
        return super()._forward(x, training=False)


@contextlib.contextmanager
def frozen_statistics(network):
    """Inside the block, the network's batch norm layers are of the class `FrozenBatchNorm`.

    To train on with the statistics held still: for the last epochs, or on few new data.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Its layers without running averages are left alone.

    Raises
    ------
    TypeError
        For what is no network.

    Examples
    --------
    >>> network = BatchNorm(1)
    >>> with frozen_statistics(network):
    ...     network.forward(np.array([[1.0], [3.0]]), training=True).ravel().round(3)
    array([1., 3.])
    >>> network.forward(np.array([[1.0], [3.0]]), training=True).ravel().round(3)
    array([-1.,  1.])
    """
    checks.network("frozen_statistics", network)
    leaves = [leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm) and leaf.buffers]
    before = [type(leaf) for leaf in leaves]
    try:
        # The class alone differs: parameters, buffers and whoever refers to the layer stay.
        for leaf in leaves:
            leaf.__class__ = FrozenBatchNorm
        yield
    finally:
        for leaf, kind in zip(leaves, before, strict=True):
            leaf.__class__ = kind
