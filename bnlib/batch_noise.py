"""The noise that batch norm adds: the same example, normalized in one random batch after another.

With the mean and standard deviation of all examples (no subscript) and of a batch (subscript B),

    (x - mean_B) / std_B  =  scale * (x - mean) / std  +  shift,
    scale = std / std_B,     shift = (mean - mean_B) / std_B.

The scale multiplies and the shift adds; both are random because the batch is. Batch renormalization
(Ioffe, 2017) splits batch norm in the same two; how large they are follows from the moments of x by
the delta method, as in Teye, Azizpour and Smith (2018) for a normal distribution.
"""

import copy
from typing import Any, NamedTuple

import numpy as np

from bnlib import checks
from bnlib.layers import BatchNorm, Dropout

EPS = 1e-5  # added to the variance, as batch norm does


class Draws(NamedTuple):
    """One example in many random batches, each array of shape (draws, D).

    Attributes
    ----------
    x_hat : ndarray
        The example, normalized by each batch.
    scale, shift : ndarray
        What it is of the example normalized by all examples: x_hat = scale * x_hat_all + shift.
    """

    x_hat: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


class Law(NamedTuple):
    """Variance of each example's x_hat over random batches, in parts, each of shape (N, D).

    Attributes
    ----------
    additive : ndarray
        By the mean of the batch, the same for every example.
    multiplicative : ndarray
        By its standard deviation; it grows with the square of x_hat.
    common : ndarray
        Because the two vary together where the values are skewed; may be negative.
    """

    additive: np.ndarray
    multiplicative: np.ndarray
    common: np.ndarray

    @property
    def variance(self):
        """The sum of the three."""
        return self.additive + self.multiplicative + self.common


def in_random_batches(values, row, *, size, draws, rng, together=True, eps=EPS):
    """Normalize one example by the statistics of random batches.

    Parameters
    ----------
    values : ndarray of shape (N, D)
        All examples; the batches are drawn from them with replacement.
    row : int
        Which example.
    size, draws : int
        How many examples make a batch, at least 2, and how many batches.
    rng : numpy.random.Generator
    together : bool
        Whether the example is one of its batch, as in training, or all of the batch are others.
    eps : float
        Added to every variance.

    Returns
    -------
    Draws

    Raises
    ------
    TypeError
        For values that do not hold real numbers, a size that is not whole, and the like.
    ValueError
        For values that are no table, no such row, or a batch of fewer than two.

    Examples
    --------
    >>> values = np.array([[1.0], [3.0]])
    >>> rng = np.random.default_rng(0)
    >>> in_random_batches(values, 1, size=2, draws=4, rng=rng).x_hat.ravel().round(2) + 0.0
    array([0., 1., 1., 1.])
    """
    values = _table("in_random_batches", values)
    checks.within("in_random_batches", "row", row, 0, len(values) - 1)
    _check_draws("in_random_batches", size, draws, rng)
    checks.flag("in_random_batches", "together", together)
    checks.not_negative("in_random_batches", "eps", eps)
    batches = rng.integers(len(values), size=(draws, size))
    if together:
        batches[:, 0] = row
    drawn = values[batches]
    mean, std = drawn.mean(axis=1), np.sqrt(drawn.var(axis=1) + eps)
    mean_all, std_all = values.mean(axis=0), np.sqrt(values.var(axis=0) + eps)
    return Draws((values[row] - mean) / std, std_all / std, (mean_all - mean) / std)


def noise_law(values, *, size):
    """Predict how much x_hat varies over random batches, by the delta method.

    A batch of m has a mean that varies by 1 / m (in units of the variance), and a variance that
    varies by (kurtosis - 1) / m; the two together by skewness / m. To first order in 1 / m,

        m * variance of x_hat  =  1  +  (kurtosis - 1) / 4 * x_hat**2  +  skewness * x_hat,

    whether or not the example is one of its batch. What its own presence changes is smaller by
    another factor of 1 / m, as long as x_hat**2 is small beside m.

    Parameters
    ----------
    values : ndarray of shape (N, D)
        All examples. Every column must vary.
    size : int
        Examples of a batch.

    Returns
    -------
    Law

    Raises
    ------
    TypeError
        For values that do not hold real numbers, a size that is not whole.
    ValueError
        For a column that does not vary.

    Examples
    --------
    >>> values = np.array([[-1.0], [1.0]])  # all have the same |x_hat|: no multiplicative part
    >>> law = noise_law(values, size=10)
    >>> law.additive.ravel(), law.multiplicative.ravel()
    (array([0.1, 0.1]), array([0., 0.]))
    """
    values = _table("noise_law", values)
    checks.count("noise_law", "size", size)
    std = values.std(axis=0)
    if not (std > 0).all():
        raise ValueError(
            f"noise_law: every column of values must vary, got {int((std == 0).sum())} that do not"
        )
    x_hat = (values - values.mean(axis=0)) / std
    skewness, kurtosis = (x_hat**3).mean(axis=0), (x_hat**4).mean(axis=0)
    return Law(
        additive=np.full_like(x_hat, 1 / size),
        multiplicative=(kurtosis - 1) / 4 * x_hat**2 / size,
        common=skewness * x_hat / size,
    )


def layer_noise(network, x, rows, *, size, draws, rng):
    """Measure in a whole network how much x_hat of given examples varies over random batches.

    Each example passes the network in training mode in many batches that it is one of; the layers
    before a batch norm hand on noise of their own. Nothing of the network changes.

    Parameters
    ----------
    network : bnlib.layers.Layer
        With batch norm over the whole batch, and without dropout, whose noise would add to it.
    x : ndarray of shape (N, D)
        All examples; batches are drawn from them with replacement.
    rows : sequence of int
        The examples to look at.
    size, draws : int
        As for `in_random_batches`; for each example.
    rng : numpy.random.Generator

    Returns
    -------
    list of ndarray of shape (rows, units)
        For each batch norm the standard deviation over the draws.

    Raises
    ------
    TypeError
        For a network with dropout, and arguments of another kind.
    ValueError
        For shapes and numbers that do not fit.
    FloatingPointError
        If a batch statistic is not finite.

    Examples
    --------
    >>> network, x = BatchNorm(1), np.random.default_rng(0).normal(size=(500, 1))
    >>> (noise,) = layer_noise(network, x, [3], size=64, draws=500, rng=np.random.default_rng(1))
    >>> round(float(noise[0, 0]) * 64**0.5, 1)
    1.0
    """
    checks.network("layer_noise", network)
    _check_draws("layer_noise", size, draws, rng)
    network, x = copy.deepcopy(network), _table("layer_noise", x)
    leaves = network.leaves()
    if any(isinstance(leaf, Dropout) for leaf in leaves):
        raise TypeError("layer_noise: network must not contain dropout, which is noise of its own")
    rows = checks.sequence("layer_noise", "rows", rows)
    for row in rows:
        checks.within("layer_noise", "each of rows", row, 0, len(x) - 1)
    norms: list[Any] = [leaf for leaf in leaves if isinstance(leaf, BatchNorm)]
    found = []
    for row in rows:
        seen: list = [[] for _ in norms]
        for others in rng.integers(len(x), size=(draws, size - 1)):
            network.forward(x[[row, *others]], training=True)
            for values, norm in zip(seen, norms, strict=True):
                values.append(norm._cache.x_hat[0])
        found.append([np.std(values, axis=0) for values in seen])
    return [np.array(of_layer) for of_layer in zip(*found, strict=True)]


def _table(operation, values):
    values = checks.real_array(operation, "values", values)
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(
            f"{operation}: values must have shape (N, D) with N of at least 2, "
            f"got shape {values.shape}"
        )
    return values


def _check_draws(operation, size, draws, rng):
    checks.count(operation, "draws", draws)
    checks.count(operation, "size", size, least=2)
    checks.generator(operation, "rng", rng)
