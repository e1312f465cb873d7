"""How sure a number is: intervals over seeds, and p-values adjusted for how many were asked.

The unit is a seed: each function takes one number per seed (chapter `how_we_measure`).
"""

from typing import NamedTuple

import numpy as np

from bnlib import checks


class Interval(NamedTuple):
    """An estimate and how far the truth may lie from it.

    Attributes
    ----------
    estimate, low, high : float
    """

    estimate: float
    low: float
    high: float


def paired_interval(differences, *, confidence=0.95):
    """Student's t-interval for a mean, here of within-seed differences.

    Parameters
    ----------
    differences : array-like of shape (seeds,)
        At least two finite numbers.
    confidence : float between 0 and 1

    Returns
    -------
    Interval
        Around the mean; without any spread it has no width.

    Raises
    ------
    TypeError
        For values or a confidence that are no real numbers.
    ValueError
        For fewer than two numbers, NaN or infinity, or a confidence that is not between 0 and 1.

    Examples
    --------
    >>> interval = paired_interval([1.0, 2.0, 3.0])
    >>> [round(float(end), 3) for end in interval]
    [2.0, -0.484, 4.484]
    """
    from scipy import special

    values = _per_seed("paired_interval", "differences", differences)
    _checked_confidence("paired_interval", confidence)
    mean, error = _mean_and_error(values)
    half = special.stdtrit(len(values) - 1, (1 + confidence) / 2) * error  # a quantile of t
    return Interval(float(mean), float(mean - half), float(mean + half))


def wilson_interval(successes, total, *, confidence=0.95):
    """Wilson's interval for a share (Wilson, 1927): sensible at 0 of n and n of n too.

    Parameters
    ----------
    successes, total : int
        0 to `total`, and at least 1.
    confidence : float between 0 and 1

    Returns
    -------
    Interval
        Around successes / total, which is not its middle.

    Raises
    ------
    TypeError
        For what are no numbers, counts that are not whole.
    ValueError
        For a count out of its range, or a confidence that is not between 0 and 1.

    Examples
    --------
    >>> [round(float(end), 3) for end in wilson_interval(18, 20)]
    [0.9, 0.699, 0.972]
    """
    from scipy import special

    _checked_counts("wilson_interval", successes, total)
    _checked_confidence("wilson_interval", confidence)
    share, z = successes / total, special.ndtri((1 + confidence) / 2)
    middle = share + z**2 / (2 * total)
    half = z * np.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    low, high = (middle + np.array([-half, half])) / (1 + z**2 / total)
    # At 0 and 1 the ends are exact: rounding must not put them a hair inside or outside.
    low, high = (low if successes else 0), (high if successes < total else 1)
    return Interval(share, float(low), float(high))


def bootstrap_interval(values, *, rng, confidence=0.95, resamples=10_000):
    """Percentiles of the mean of resampled values, for skewed ones (Efron, 1979).

    Parameters
    ----------
    values : array-like of shape (seeds,)
        At least two finite numbers.
    rng : numpy.random.Generator
    confidence : float between 0 and 1
    resamples : int

    Returns
    -------
    Interval
        Around the mean of `values`.

    Raises
    ------
    TypeError, ValueError
        As `paired_interval`.

    Examples
    --------
    >>> interval = bootstrap_interval([1.0, 1.0, 1.0, 9.0], rng=np.random.default_rng(0))
    >>> [float(end) for end in interval]
    [3.0, 1.0, 7.0]
    """
    values = _per_seed("bootstrap_interval", "values", values)
    _checked_confidence("bootstrap_interval", confidence)
    checks.count("bootstrap_interval", "resamples", resamples)
    checks.generator("bootstrap_interval", "rng", rng)
    chosen = rng.integers(len(values), size=(resamples, len(values)))
    ends = np.quantile(values[chosen].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(ends[0]), float(ends[1]))


def p_above(values, threshold):
    """One-sided p-value of a t-test: how likely such a mean is if the truth is at most `threshold`.

    Parameters
    ----------
    values : array-like of shape (seeds,)
        At least two finite numbers. Without any spread the p-value is 0 or 1.
    threshold : float

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As `paired_interval`.

    Examples
    --------
    >>> round(p_above([1.0, 2.0, 3.0], 0), 4), p_above([2.0, 2.0], 0), p_above([2.0, 2.0], 2)
    (0.0371, 0.0, 1.0)
    """
    from scipy import special

    values = _per_seed("p_above", "values", values)
    checks.number("p_above", "threshold", threshold)
    mean, error = _mean_and_error(values)
    if error == 0:
        return 0.0 if mean > threshold else 1.0
    return float(special.stdtr(len(values) - 1, (threshold - mean) / error))


def p_share_above(successes, total, share):
    """One-sided p-value of the exact binomial test: `successes` or more if the truth is `share`.

    Parameters
    ----------
    successes, total : int
        0 to `total`, and at least 1.
    share : float from 0 to 1

    Returns
    -------
    float

    Raises
    ------
    TypeError
        For what are no numbers, counts that are not whole.
    ValueError
        For a count or a share out of its range.

    Examples
    --------
    >>> round(p_share_above(5, 5, 0.5), 5)
    0.03125
    """
    from scipy import special

    _checked_counts("p_share_above", successes, total)
    checks.share("p_share_above", "share", share)
    return float(special.bdtrc(successes - 1, total, share))  # more than successes - 1 of total


def holm(p_values):
    """P-values adjusted for being several (Holm, 1979).

    Calling those below .05 effects is wrong for any of them in at most 5 % of all families,
    however they depend on each other.

    Parameters
    ----------
    p_values : array-like of shape (m,)

    Returns
    -------
    ndarray of shape (m,)
        In the order of `p_values`.

    Raises
    ------
    TypeError
        For what are no real numbers.
    ValueError
        For a p-value that does not lie in [0, 1].

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = checks.numbers("holm", "p_values", p_values)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"holm: p_values must be a list of numbers from 0 to 1, got {p_values}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    scaled = np.minimum(1, p[order] * np.arange(len(p), 0, -1))
    adjusted[order] = np.maximum.accumulate(scaled)
    return adjusted


def _per_seed(operation, name, values):
    values = checks.numbers(operation, name, values)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            f"{operation}: {name} must hold one number for each of at least two seeds, "
            f"got shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{operation}: {name} must be finite, got {values}")
    return values


def _mean_and_error(values):
    """The mean and its standard error; exactly 0 where all values are one and the same."""
    if values.min() == values.max():
        return values[0], 0.0
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def _checked_confidence(operation, confidence):
    checks.share(operation, "confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"{operation}: confidence must lie between 0 and 1, got {confidence}")


def _checked_counts(operation, successes, total):
    checks.count(operation, "total", total)
    checks.number(operation, "total", total)
    checks.number(operation, "successes", successes)
    if successes != int(successes) or not 0 <= successes <= total:
        raise ValueError(f"{operation}: successes must lie in 0..{total}, got {successes}")
