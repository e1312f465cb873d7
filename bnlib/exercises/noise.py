"""An exercise on the noise of batch norm: `check_noise`."""

import numpy as np

from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import examine_number
from bnlib.exercises.seeds import check_seed, other_numbers

# x_hat, skewness, kurtosis and batch size; the kurtosis exceeds 1 + skewness², as it always does.
GIVEN = ("x_hat", "skewness", "kurtosis", "m")
CASES = ((1.5, 0.4, 3.5, 32), (-0.7, 0.5, 5.0, 8), (2.5, -0.3, 4.0, 16), (-1.6, 0.6, 8.0, 50))

NOISE = {
    "excess": lambda v: v.kurtosis - 1,
    "x_squared": lambda v: v.x_hat**2,
    "additive": lambda v: 1,
    "multiplicative": lambda v: v.excess / 4 * v.x_squared,
    "common": lambda v: v.skewness * v.x_hat,
    "sum": lambda v: v.additive + v.multiplicative + v.common,
    "variance": lambda v: v.sum / v.m,
    "std": lambda v: np.sqrt(v.variance),
}
NOISE_MISTAKES = (
    Mistake(
        "mean_forgotten",
        "noise",
        "The 1 is missing: the mean of the batch moves every example, also one at x_hat = 0.",
        ({"additive": lambda v: 0},),
    ),
    Mistake(
        "scale_forgotten",
        "noise",
        "The standard deviation of the batch is random too: the part with x_hat² is missing.",
        ({"multiplicative": lambda v: 0},),
    ),
    Mistake(
        "skewness_forgotten",
        "noise",
        "Where values are skewed, mean and standard deviation of a batch go together: the part "
        "with the skewness is missing.",
        ({"common": lambda v: 0},),
    ),
    Mistake(
        "skewness_subtracted",
        "noise",
        "The part with the skewness has the wrong sign. With a long tail above, a batch of large "
        "mean has a large standard deviation too, and both pull a large x_hat down.",
        ({"common": lambda v: -v.skewness * v.x_hat},),
    ),
    Mistake(
        "whole_kurtosis",
        "noise",
        "The kurtosis stands where the kurtosis minus 1 belongs: values of two kinds, -1 and 1, "
        "have kurtosis 1, and their variance hardly varies.",
        ({"excess": lambda v: v.kurtosis},),
    ),
    Mistake(
        "excess_kurtosis",
        "noise",
        "3 is subtracted from the kurtosis, as for the excess over a normal distribution; the law "
        "subtracts 1.",
        ({"excess": lambda v: v.kurtosis - 3},),
    ),
    Mistake(
        "variance_for_root",
        "noise",
        "The quarter is missing or a half: a standard deviation moves, in per cent, half as much "
        "as the variance, and half of a deviation is a quarter of its square.",
        (
            {"multiplicative": lambda v: v.excess * v.x_squared},
            {"multiplicative": lambda v: v.excess / 2 * v.x_squared},
        ),
    ),
    Mistake(
        "x_not_squared",
        "noise",
        "x_hat is not squared in the part of the standard deviation, which grows with its square.",
        ({"x_squared": lambda v: v.x_hat}, {"x_squared": lambda v: abs(v.x_hat)}),
    ),
    Mistake(
        "variance_for_std",
        "noise",
        "This is the variance; the standard deviation is its root.",
        ({"std": lambda v: v.variance},),
    ),
    Mistake(
        "size_forgotten",
        "noise",
        "The size of the batch is missing: the noise of a mean falls with the root of m.",
        ({"variance": lambda v: v.sum},),
    ),
    Mistake(
        "size_outside_the_root",
        "noise",
        "The root is taken of the sum alone and not of m: four times the batch is half the noise, "
        "not a quarter.",
        ({"std": lambda v: np.sqrt(v.sum) / v.m},),
    ),
)


def check_noise(f, *, seed=0):
    """Check a reader's law of the noise of batch norm.

    Parameters
    ----------
    f : callable
        ``f(x_hat, skewness, kurtosis, m)`` to the standard deviation, over random batches of m, of
        what batch norm makes of an example that all examples together normalize to `x_hat`, to
        first order, as `bnlib.batch_noise.noise_law`. All numbers; the kurtosis of a normal
        distribution is 3.
    seed : int
        Chooses the numbers.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> check_noise(lambda x_hat, skewness, kurtosis, m: m**-0.5).mistakes
    ('scale_forgotten', 'skewness_forgotten')
    """
    check_seed("check_noise", seed)
    cases = [dict(zip(GIVEN, case, strict=True)) for case in other_numbers(CASES, seed)]
    return examine_number("std", NOISE, NOISE_MISTAKES, f, cases, nouns=("case", "cases"))
