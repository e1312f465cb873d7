"""Mistakes in the forward pass."""

import numpy as np

from bnlib.exercises.diagnosis import Mistake

MISTAKES = (
    Mistake(
        "mean_is_sum",
        "mean",
        "The mean is a sum: divide it by N, the number of values in the channel.",
        ({"mean_count": lambda v: 1},),
    ),
    Mistake(
        "mean_n_minus_1",
        "mean",
        "The mean is divided by N - 1; N values have a mean with N below the line.",
        ({"mean_count": lambda v: v.count - 1},),
    ),
    Mistake(
        "numerator_not_centred",
        "x_hat",
        "The mean is missing above the line: x_hat divides x - mean, not x.",
        ({"numerator": lambda v: v.x},),
    ),
    Mistake(
        "mean_added",
        "x_hat",
        "The mean is added to x where it should be subtracted.",
        ({"numerator": lambda v: v.x + v.mean},),
    ),
    Mistake(
        "mean_over_everything",
        "batch",
        "One mean for all channels: without an axis, numpy averages the whole array. Every channel "
        "has its own mean.",
        ({"mean": lambda v: v.x.mean()},),
    ),
    Mistake(
        "variance_n_minus_1",
        "var",
        "The variance is divided by N - 1. Batch norm normalizes by the biased variance, with N; "
        "N - 1 (ddof=1) belongs to the running variance.",
        ({"var_count": lambda v: v.count - 1},),
    ),
    Mistake(
        "variance_is_sum",
        "var",
        "The variance is a sum of squares: divide it by N.",
        ({"var_count": lambda v: 1},),
    ),
    Mistake(
        "variance_not_centred",
        "var",
        "The variance averages x squared; it is the average of (x - mean) squared.",
        ({"deviation": lambda v: v.x},),
    ),
    Mistake(
        "variance_not_squared",
        "var",
        "The variance averages x - mean itself, which is always 0; it averages its square.",
        ({"square": lambda v: v.deviation},),
    ),
    Mistake(
        "variance_of_absolutes",
        "var",
        "The variance averages |x - mean|; it averages the square of x - mean.",
        ({"square": lambda v: np.abs(v.deviation)},),
    ),
    Mistake(
        "variance_over_everything",
        "batch",
        "One variance for all channels: without an axis, numpy averages the whole array. Every "
        "channel has its own variance.",
        ({"var": lambda v: v.square.mean()}, {"var": lambda v: v.x.var()}),
    ),
    Mistake(
        "mean_forgotten",
        "x_hat",
        "The mean is not subtracted, neither in the variance nor from x.",
        ({"centred": lambda v: v.x},),
    ),
    Mistake(
        "eps_forgotten",
        "eps",
        "eps is missing: x - mean is divided by the root of var + eps.",
        ({"spread": lambda v: v.var},),
    ),
    Mistake(
        "eps_outside_root",
        "eps",
        "eps is added to the standard deviation; it belongs under the root, to the variance.",
        ({"spread": lambda v: v.var, "std": lambda v: np.sqrt(v.var) + v.eps},),
    ),
    Mistake(
        "eps_squared",
        "eps",
        "eps is squared; it is added to the variance as it is.",
        ({"spread": lambda v: v.var + v.eps**2},),
    ),
    Mistake(
        "eps_root",
        "eps",
        "The root of eps is added to the standard deviation; eps belongs under the root, beside "
        "the variance (the root of a sum is not the sum of the roots).",
        ({"spread": lambda v: v.var, "std": lambda v: np.sqrt(v.var) + np.sqrt(v.eps)},),
    ),
    Mistake(
        "eps_averaged",
        "eps",
        "eps is added before the division by N and so comes out N times too small; it is added to "
        "the variance.",
        ({"spread": lambda v: v.var + v.eps / v.count},),
    ),
    Mistake(
        "eps_fixed",
        "eps",
        "eps is always 1e-5, whatever the argument says: use the eps that is given.",
        ({"spread": lambda v: v.var + 1e-5},),
    ),
    Mistake(
        "divided_by_variance",
        "x_hat",
        "x - mean is divided by the variance; it is divided by its root, the standard deviation.",
        ({"std": lambda v: v.spread},),
    ),
    Mistake(
        "multiplied_by_std",
        "x_hat",
        "x - mean is multiplied by the standard deviation where it should be divided by it.",
        ({"x_hat": lambda v: v.numerator * v.std},),
    ),
    Mistake(
        "not_divided",
        "x_hat",
        "x - mean is not divided by anything: the standard deviation is missing.",
        ({"std": lambda v: 1.0},),
    ),
    Mistake(
        "gamma_forgotten",
        "y",
        "gamma is missing: y is gamma * x_hat + beta.",
        ({"scaled": lambda v: v.x_hat},),
    ),
    Mistake(
        "gamma_twice",
        "y",
        "gamma is applied twice: y is gamma * x_hat + beta.",
        ({"scaled": lambda v: v.gamma**2 * v.x_hat},),
    ),
    Mistake(
        "beta_forgotten",
        "y",
        "beta is missing: y is gamma * x_hat + beta.",
        ({"y": lambda v: v.scaled},),
    ),
    Mistake(
        "beta_before_gamma",
        "y",
        "beta is added before gamma multiplies, and so is multiplied too: y is gamma * x_hat, and "
        "then beta.",
        ({"scaled": lambda v: v.gamma * (v.x_hat + v.beta), "y": lambda v: v.scaled},),
    ),
    Mistake(
        "beta_subtracted",
        "y",
        "beta is subtracted; it is added.",
        ({"y": lambda v: v.scaled - v.beta},),
    ),
    Mistake(
        "gamma_beta_swapped",
        "y",
        "gamma and beta have changed places: gamma multiplies, beta is added.",
        ({"scaled": lambda v: v.beta * v.x_hat, "y": lambda v: v.scaled + v.gamma},),
    ),
    Mistake(
        "axes_features",
        "batch",
        "The statistics run over the features of each example; they run over the examples of each "
        "channel (axis 0, and the places of an image).",
        (
            {"axes": lambda v: tuple(range(1, v.x.ndim))},
            {"axes": lambda v: (1,)},
            {"axes": lambda v: (1,), "keepdims": lambda v: False},
            {
                "axes": lambda v: (1,),
                "keepdims": lambda v: False,
                "centred": lambda v: v.x - v.mean,
                "deviation": lambda v: v.x - v.x.mean(axis=1, keepdims=True),
            },
        ),
    ),
    Mistake(
        "axes_everything",
        "batch",
        "One mean and one variance for the whole array; every channel has its own.",
        ({"axes": lambda v: tuple(range(v.x.ndim))},),
    ),
)

# Not found by numbers on an ordinary batch, but by how they fail far from 0.
ONE_PASS = Mistake(
    "one_pass_variance",
    "one_pass",
    "The formulas are right, but the variance loses its digits when a batch lies far from 0, as "
    "mean(x**2) - mean**2 does: it subtracts two large numbers that are nearly equal. Average the "
    "square of x - mean instead.",
    (),
)
