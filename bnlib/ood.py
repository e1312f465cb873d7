"""Does the network know this kind of input? Scores, unit activations, and whose statistics.

A *score* is one number per example, and a larger one means stranger: so `energy` is a score, and so
is minus the `confidence`. `auroc` and `fpr95` tell how well a score separates inputs like those of
the training ("known") from others ("strange"). Chapter `distribution_shift`.
"""

import contextlib
from typing import Any, NamedTuple

import numpy as np

from bnlib import checks
from bnlib.layers import BatchNorm, Sequential

# --- scores ---------------------------------------------------------------------------------------


def confidence(logits):
    """The largest softmax probability of each example.

    The baseline of Hendrycks and Gimpel (2017). Chapter `distribution_shift`.

    Parameters
    ----------
    logits : ndarray of shape (N, classes)

    Returns
    -------
    ndarray of shape (N,)
        In [1 / classes, 1]; minus it is a score.

    Raises
    ------
    TypeError
        For logits that are no floats.
    ValueError
        Without at least one class per example.

    Examples
    --------
    >>> confidence(np.array([[0.0, 0.0], [0.0, np.log(3.0)]])).round(3)
    array([0.5 , 0.75])
    """
    logits = _checked_logits("confidence", logits)
    with np.errstate(invalid="ignore"):
        return 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)


def energy(logits, *, temperature=1.0):
    """Minus the log of the sum of the exponentials of the logits: low for what is known.

    Training makes one logit large where there are training examples, so their energy is low: it is
    a score. Unlike the softmax it keeps how large the logits are altogether. Liu et al. (2020).

    Parameters
    ----------
    logits : ndarray of shape (N, classes)
    temperature : float
        T in -T log sum exp(logit / T); towards 0 the energy becomes minus the largest logit.

    Returns
    -------
    ndarray of shape (N,)
        In nats, as the logits.

    Raises
    ------
    TypeError, ValueError
        As `confidence`; for a temperature that is not above 0.

    Examples
    --------
    >>> energy(np.array([[0.0, 0.0], [0.0, 8.0]])).round(3)
    array([-0.693, -8.   ])
    """
    logits = _checked_logits("energy", logits)
    checks.positive("energy", "temperature", temperature)
    with np.errstate(invalid="ignore"):
        largest = logits.max(axis=1, keepdims=True)
        total = np.exp((logits - largest) / temperature).sum(axis=1)
        return -(largest[:, 0] + temperature * np.log(total))


def auroc(known, strange):
    """The probability that a strange example has a larger score than a known one.

    The area under the curve of strange examples that are noticed over known ones that are suspected
    by mistake, as the threshold moves. 1 is perfect, 1/2 is guessing; ties count half.

    Parameters
    ----------
    known, strange : ndarray of shape (N,) and (M,)
        Scores.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        For scores that are no real numbers.
    ValueError
        For empty arrays, or scores that are not finite.

    Examples
    --------
    >>> auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.875
    """
    from sklearn.metrics import roc_auc_score

    scores, is_strange = _both("auroc", known, strange)
    return float(roc_auc_score(is_strange, scores))


def fpr95(known, strange):
    """Share of strange examples that pass when 95 % of the known ones do.

    The threshold is the lowest score that lets at least that many of the known ones pass, who lie
    on it among them.

    Parameters
    ----------
    known, strange : ndarray of shape (N,) and (M,)
        Scores.

    Returns
    -------
    float
        0 is perfect.

    Raises
    ------
    TypeError
        For scores that are no real numbers.
    ValueError
        For empty arrays, or scores that are not finite.

    Examples
    --------
    >>> fpr95(np.arange(20.0), np.array([5.0, 18.0, 18.5, 30.0]))
    0.5
    """
    from sklearn.metrics import roc_curve

    scores, is_strange = _both("fpr95", known, strange)
    passing, known_passing, _ = roc_curve(~is_strange, -scores, drop_intermediate=False)
    return float(passing[np.argmax(known_passing >= 0.95)])


# --- unit activations -----------------------------------------------------------------------------


class UnitActivations(NamedTuple):
    """How active the last hidden units are on strange inputs.

    Attributes
    ----------
    ratio : float
        Their mean over that on known inputs.
    above : float
        Share of all activations above the limit.
    """

    ratio: float
    above: float


def penultimate(network, x):
    """What the last layer sees, in evaluation mode.

    Parameters
    ----------
    network : bnlib.layers.Sequential
        Its last layer is the linear one that gives the logits.
    x : ndarray
        Inputs, examples along the first axis.

    Returns
    -------
    ndarray of shape (N, units)

    Raises
    ------
    TypeError, ValueError
        For what is no Sequential, an x that does not fit.

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> network = mlp([2, 5, 3], rng=np.random.default_rng(0))
    >>> penultimate(network, np.ones((4, 2))).shape
    (4, 5)
    """
    checks.instance("penultimate", "network", network, Sequential, "a Sequential")
    with network._all_or_nothing():
        for layer in network.layers[:-1]:
            x = layer.forward(x, training=False)
    return x


def unit_activations(known, strange, limit):
    """Compare activations on strange inputs with those on known ones.

    Parameters
    ----------
    known, strange : ndarray of shape (N, units) and (M, units)
        From `penultimate`, not negative: behind a ReLU.
    limit : float
        What few activations on the *training* set exceed.

    Returns
    -------
    UnitActivations

    Raises
    ------
    TypeError
        For activations that are not real floats, or a limit that is no number.
    ValueError
        If no unit is active on known inputs.

    Examples
    --------
    >>> unit_activations(np.array([[1.0, 3.0]]), np.array([[0.0, 6.0]]), limit=5.0)
    UnitActivations(ratio=1.5, above=0.5)
    """
    known = checks.real_array("unit_activations", "known", known)
    strange = checks.real_array("unit_activations", "strange", strange)
    checks.number("unit_activations", "limit", limit)
    usual = float(np.mean(known))
    if not usual > 0:
        raise ValueError(f"unit_activations: the mean of known must be above 0, got {usual}")
    return UnitActivations(float(np.mean(strange)) / usual, float(np.mean(strange > limit)))


def react_limit(network, x_train, *, quantile=0.9):
    """The limit for `react`: a quantile of all activations of the last hidden units.

    Take it from training inputs. From the inputs that are scored afterwards it would depend on what
    is to be judged.

    Parameters
    ----------
    network : bnlib.layers.Sequential
    x_train : ndarray
    quantile : float in [0, 1]

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As `penultimate`; for a quantile outside of [0, 1].

    Examples
    --------
    >>> from bnlib.layers import Linear, ReLU, Sequential
    >>> network = Sequential(ReLU(), Linear(1, 2, rng=np.random.default_rng(0)))
    >>> react_limit(network, np.arange(11.0)[:, None])
    9.0
    """
    checks.share("react_limit", "quantile", quantile)
    x_train = checks.real_array("react_limit", "x_train", x_train)
    return float(np.quantile(penultimate(network, x_train), quantile))


def react(network, x, limit):
    """The logits when no last hidden unit may be more active than the limit.

    Sun, Guo and Li (2021): a few units that are abnormally active can no longer decide alone.

    Parameters
    ----------
    network : bnlib.layers.Sequential
    x : ndarray
    limit : float
        From `react_limit`.

    Returns
    -------
    ndarray of shape (N, classes)

    Raises
    ------
    TypeError, ValueError
        As `penultimate`; for a limit that is not above 0.

    Examples
    --------
    >>> from bnlib.layers import Linear, ReLU, Sequential
    >>> network = Sequential(ReLU(), Linear(1, 2, rng=np.random.default_rng(0)))
    >>> logits = react(network, np.array([[9.0], [500.0]]), limit=9.0)
    >>> bool((logits[0] == logits[1]).all())
    True
    """
    checks.positive("react", "limit", limit)
    checks.instance("react", "network", network, Sequential, "a Sequential")
    with network._all_or_nothing():
        hidden = np.minimum(penultimate(network, x), limit)
        return network.layers[-1].forward(hidden, training=False)


# --- whose statistics -----------------------------------------------------------------------------


@contextlib.contextmanager
def mixed_statistics(network, x, *, alpha=None, prior=None):
    """Inside the block, batch norm evaluates with stored statistics mixed with those of `x`.

    Each batch norm layer gets (1 - alpha) times its stored mean and variance plus alpha times those
    of its own input when the layers below use their mixtures already. With alpha = 0 nothing
    changes; alpha = 1 are the own statistics alone (`bnlib.training.population_statistics`, and
    Nado et al., 2020). After the block the stored statistics are as before.

    Variances are averaged as Schneider et al. (2020) do it. The variance of a pool of both sets
    would hold alpha (1 - alpha) times the square of the difference of the means besides: mixed
    statistics are a compromise between two normalizations, not the statistics of a pool.

    Parameters
    ----------
    network : bnlib.layers.Layer
    x : ndarray of shape (N, D) or (N, C, H, W)
        For instance a batch to be classified.
    alpha : float in [0, 1], optional
        Weight of the statistics of `x`.
    prior : float, optional
        Instead of alpha: how many examples the stored statistics count for. With n examples in x,
        alpha = n / (prior + n): a small batch is trusted less.

    Yields
    ------
    y : ndarray
        The network's output for `x`.

    Raises
    ------
    TypeError
        For what is no network, an x that does not hold real numbers, an alpha or a prior that is no
        number.
    ValueError
        Unless one of alpha and prior is given, or if a batch norm layer stores nothing; for an x
        that is no batch or does not fit. The network is then as it was.

    Examples
    --------
    >>> network, x = BatchNorm(1), np.array([[1.0], [5.0]])  # stored: mean 0, variance 1
    >>> with mixed_statistics(network, x, alpha=0.5) as y:
    ...     network.buffers["running_mean"], network.buffers["running_var"]
    (array([1.5]), array([2.5]))
    >>> network.buffers["running_mean"]
    array([0.])
    """
    checks.network("mixed_statistics", network)
    x = checks.examples("mixed_statistics", x)
    alpha = _weight_of_own(len(x), alpha, prior)
    leaves = [leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm)]
    before = [leaf.buffers for leaf in leaves]
    if not all(before):
        raise ValueError("mixed_statistics: batch norm must store statistics, got a layer without")
    try:
        with network._all_or_nothing():
            for leaf, stored in zip(leaves, before, strict=True):
                leaf.buffers = {}  # without stored statistics it evaluates by its batch: all of x
                network.forward(x, training=False)
                of_x: Any = leaf._cache
                leaf.buffers = {
                    **stored,
                    "running_mean": (1 - alpha) * stored["running_mean"] + alpha * of_x.mean,
                    "running_var": (1 - alpha) * stored["running_var"] + alpha * of_x.var,
                }
            y = network.forward(x, training=False)
        yield y
    finally:
        for leaf, buffers in zip(leaves, before, strict=True):
            leaf.buffers = buffers


def _weight_of_own(count, alpha, prior):
    if (alpha is None) == (prior is None):
        raise ValueError(
            f"mixed_statistics: needs either alpha or prior, got alpha={alpha}, prior={prior}"
        )
    if alpha is not None:
        checks.share("mixed_statistics", "alpha", alpha)
        return alpha
    checks.positive("mixed_statistics", "prior", prior)
    return count / (prior + count)


def _checked_logits(operation, logits):
    logits = checks.float_array(operation, "logits", logits)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"{operation}: logits must have shape (N, classes), got {logits.shape}")
    return logits


def _both(operation, known, strange):
    """All scores in one array, and which of them are of strange examples."""
    parts = {
        "known": checks.numbers(operation, "known", known),
        "strange": checks.numbers(operation, "strange", strange),
    }
    for name, part in parts.items():
        if part.ndim != 1 or not len(part) or not np.isfinite(part).all():
            raise ValueError(
                f"{operation}: {name} must be finite scores of shape (N,), got shape {part.shape} "
                f"with {np.count_nonzero(~np.isfinite(part))} that are not finite"
            )
    return np.concatenate(list(parts.values())), np.arange(len(known) + len(strange)) >= len(known)
