"""Exercises on shifted inputs: `check_mixed_statistics` and `check_energy`."""

import numpy as np

from bnlib.exercises.answers import answer
from bnlib.exercises.calling import as_array, is_missing, misfit
from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import Exercise, examine
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples

# --- mixed statistics -----------------------------------------------------------------------------

# eps is large so that its place can be seen. The first batch can be shown in full.
MIXED_SHAPES = ((3, 2), (5, 3), (8, 2), (4, 5))

MIXED = {
    "n": lambda v: len(v.x),
    "alpha": lambda v: v.n / (v.prior + v.n),
    "own_mean": lambda v: v.x.mean(axis=0),
    "own_var": lambda v: v.x.var(axis=0),
    "mixed_mean": lambda v: (1 - v.alpha) * v.mean + v.alpha * v.own_mean,
    "mixed_var": lambda v: (1 - v.alpha) * v.var + v.alpha * v.own_var,
    "std": lambda v: np.sqrt(v.mixed_var + v.eps),
    "x_hat": lambda v: (v.x - v.mixed_mean) / v.std,
}
MIXED_MISTAKES = (
    Mistake(
        "prior_on_the_other_side",
        "mixed",
        "The weights are exchanged: a large prior must leave the stored statistics nearly as they "
        "are, and n of prior + n is the share of the batch.",
        ({"alpha": lambda v: v.prior / (v.prior + v.n)},),
    ),
    Mistake(
        "own_statistics_only",
        "mixed",
        "The stored statistics do not count at all: that is the end alpha = 1 of the dial.",
        ({"alpha": lambda v: 1.0},),
    ),
    Mistake(
        "stored_statistics_only",
        "mixed",
        "The batch does not count at all: that is evaluation as usual, alpha = 0.",
        ({"alpha": lambda v: 0.0},),
    ),
    Mistake(
        "half_and_half",
        "mixed",
        "Both count one half, whatever the size of the batch and the prior.",
        ({"alpha": lambda v: 0.5},),
    ),
    Mistake(
        "numbers_counted",
        "mixed",
        "n is the number of examples; you count all numbers in the batch.",
        ({"n": lambda v: v.x.size},),
    ),
    Mistake(
        "units_counted",
        "mixed",
        "n is the number of examples, the length of the first axis; you count the units.",
        ({"n": lambda v: v.x.shape[1]},),
    ),
    Mistake(
        "pooled_variance",
        "mixed",
        "This is the variance of a pool of both sets, with alpha (1 - alpha) times the squared "
        "difference of the means on top. Mixed statistics average the variances alone.",
        (
            {
                "mixed_var": lambda v: (
                    (1 - v.alpha) * v.var
                    + v.alpha * v.own_var
                    + v.alpha * (1 - v.alpha) * (v.own_mean - v.mean) ** 2
                )
            },
        ),
    ),
    Mistake(
        "deviations_mixed",
        "mixed",
        "The standard deviations are averaged; average the variances and then take the root.",
        (
            {
                "std": lambda v: (
                    (1 - v.alpha) * np.sqrt(v.var + v.eps) + v.alpha * np.sqrt(v.own_var + v.eps)
                )
            },
            {"std": lambda v: (1 - v.alpha) * np.sqrt(v.var) + v.alpha * np.sqrt(v.own_var)},
            {
                "std": lambda v: np.sqrt(
                    ((1 - v.alpha) * np.sqrt(v.var) + v.alpha * np.sqrt(v.own_var)) ** 2 + v.eps
                )
            },
        ),
    ),
    Mistake(
        "outputs_mixed",
        "mixed",
        "The two normalized batches are averaged. Mix the statistics first, then normalize once.",
        (
            {
                "x_hat": lambda v: (
                    (1 - v.alpha) * (v.x - v.mean) / np.sqrt(v.var + v.eps)
                    + v.alpha * (v.x - v.own_mean) / np.sqrt(v.own_var + v.eps)
                )
            },
        ),
    ),
    Mistake(
        "mean_not_mixed",
        "mixed",
        "Only the variances are mixed; the mean is one of the two.",
        ({"mixed_mean": lambda v: v.mean}, {"mixed_mean": lambda v: v.own_mean}),
    ),
    Mistake(
        "variance_not_mixed",
        "mixed",
        "Only the means are mixed; the variance is one of the two.",
        ({"mixed_var": lambda v: v.var}, {"mixed_var": lambda v: v.own_var}),
    ),
    Mistake(
        "around_the_stored_mean",
        "var",
        "The batch's variance is taken around the stored mean; it belongs around its own.",
        ({"own_var": lambda v: ((v.x - v.mean) ** 2).mean(axis=0)},),
    ),
    Mistake(
        "not_centred",
        "var",
        "This is the mean of the squares, not of the squared distances from the mean.",
        ({"own_var": lambda v: (v.x**2).mean(axis=0)},),
    ),
    Mistake(
        "unbiased",
        "var",
        "The batch's variance is divided by n - 1; batch norm normalizes by the biased one, "
        "divided by n.",
        ({"own_var": lambda v: v.x.var(axis=0, ddof=1)},),
    ),
    Mistake(
        "eps_outside_the_root",
        "eps",
        "eps is added to the standard deviation; it belongs to the variance, under the root.",
        ({"std": lambda v: np.sqrt(v.mixed_var) + v.eps},),
    ),
    Mistake(
        "eps_forgotten",
        "eps",
        "eps is missing.",
        ({"std": lambda v: np.sqrt(v.mixed_var)},),
    ),
    Mistake(
        "variance_for_std",
        "x_hat",
        "x - mean is divided by the variance; it is divided by its root.",
        ({"std": lambda v: v.mixed_var + v.eps},),
    ),
)


def check_mixed_statistics(f, *, seed=0):
    """Check a reader's batch norm with mixed statistics, and name the mistake if it is known.

    Parameters
    ----------
    f : callable
        ``f(x, mean, var, prior, eps)`` to the batch x (N, D), normalized by statistics that mix
        the stored ones (D,), which count for `prior` examples, with its own, layer by itself as in
        `bnlib.ood.mixed_statistics`.
    seed : int
        Chooses the made-up batches.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(x, mean, var, prior, eps):
    ...     return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)
    >>> check_mixed_statistics(mine).mistakes
    ('own_statistics_only',)
    """
    check_seed("check_mixed_statistics", seed)
    given = ("x", "mean", "var", "prior", "eps")
    cases = mixed_cases(np.random.default_rng(seed), extra_examples(seed))
    return _examine("x_hat", MIXED, MIXED_MISTAKES, f, given, cases)


def mixed_cases(rng, extra=0):
    """Batches that are shifted against what is stored, with priors near their size."""
    return [
        {
            "x": rng.normal(1.5, 2.0, shape).round(2),
            "mean": rng.normal(size=shape[1]).round(2),
            "var": rng.uniform(0.5, 2.0, shape[1]).round(2),
            "prior": float(shape[0] + number + 2),
            "eps": 0.1,
        }
        for number, shape in enumerate(enlarged(MIXED_SHAPES, extra))
    ]


# --- energy ---------------------------------------------------------------------------------------

ENERGY_SHAPES = ((2, 3), (3, 4), (4, 2), (5, 5))

ENERGY = {
    "scaled": lambda v: v.logits / v.temperature,
    "each": lambda v: np.exp(v.scaled),
    "total": lambda v: v.each.sum(axis=1),
    "log": lambda v: np.log(v.total),
    "energy": lambda v: -v.temperature * v.log,
}
ENERGY_MISTAKES = (
    Mistake(
        "sign",
        "energy",
        "The sign is missing: the energy is low, not high, where a logit is large.",
        ({"energy": lambda v: v.temperature * v.log},),
    ),
    Mistake(
        "temperature_not_in_front",
        "energy",
        "The temperature divides the logits but no longer stands in front: then the energy is not "
        "in the units of the logits.",
        ({"energy": lambda v: -v.log},),
    ),
    Mistake(
        "temperature_not_inside",
        "energy",
        "The temperature stands in front, but the logits are not divided by it.",
        ({"scaled": lambda v: v.logits},),
    ),
    Mistake(
        "temperature_multiplied",
        "energy",
        "The logits are multiplied by the temperature; they are divided by it.",
        ({"scaled": lambda v: v.logits * v.temperature},),
    ),
    Mistake(
        "divided_in_front",
        "energy",
        "In front the temperature multiplies; you divide by it.",
        ({"energy": lambda v: -v.log / v.temperature},),
    ),
    Mistake(
        "log_forgotten",
        "energy",
        "The logarithm is missing: this is the sum of the exponentials.",
        ({"log": lambda v: v.total},),
    ),
    Mistake(
        "mean_for_sum",
        "energy",
        "The exponentials are averaged over the classes; the energy sums them.",
        ({"total": lambda v: v.each.mean(axis=1)},),
    ),
    Mistake(
        "largest_logit",
        "energy",
        "This is the largest logit alone, to which the energy comes near only for small "
        "temperatures.",
        ({"log": lambda v: v.scaled.max(axis=1)},),
    ),
    Mistake(
        "shift_not_added",
        "energy",
        "The largest logit was subtracted, as one should, but not added again afterwards: what is "
        "left is the logarithm of the confidence, which is blind to the logits' size.",
        ({"each": lambda v: np.exp(v.scaled - v.scaled.max(axis=1, keepdims=True))},),
    ),
    Mistake(
        "over_examples",
        "energy",
        "The sum runs over the examples, or over everything; it runs over the classes of each "
        "example, axis 1.",
        (
            {"total": lambda v: v.each.sum(axis=0)},
            {"total": lambda v: v.each.sum() + np.zeros(len(v.each))},
        ),
    ),
    Mistake(
        "other_logarithm",
        "energy",
        "The logarithm has another base; it is the natural one, which undoes the exponential.",
        ({"log": lambda v: np.log2(v.total)}, {"log": lambda v: np.log10(v.total)}),
    ),
)


def check_energy(f, *, seed=0):
    """Check a reader's energy of logits, and name the mistake if it is known.

    Parameters
    ----------
    f : callable
        ``f(logits, temperature)`` to the energies (N,) of logits (N, classes), as
        `bnlib.ood.energy`.
    seed : int
        Chooses the made-up logits.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(logits, temperature):
    ...     return temperature * np.log(np.exp(logits / temperature).sum(axis=1))
    >>> check_energy(mine).mistakes
    ('sign',)
    """
    check_seed("check_energy", seed)
    given = ("logits", "temperature")
    cases = energy_cases(np.random.default_rng(seed), extra_examples(seed))
    return _examine("energy", ENERGY, ENERGY_MISTAKES, f, given, cases)


def energy_cases(rng, extra=0):
    """Logits of a few examples, at temperatures from 1/2 to 3."""
    temperatures = (2.0, 0.5, 3.0, 1.5)
    return [
        {"logits": rng.normal(0.5, 2, shape).round(2), "temperature": temperature}
        for shape, temperature in zip(enlarged(ENERGY_SHAPES, extra), temperatures, strict=True)
    ]


def _examine(output, steps, mistakes, f, given, cases):
    problem = misfit(f, list(given))
    if problem:
        return answer(False, [problem])

    def arguments(case):
        return case

    def run(f, **case):
        return f(*case.values())

    def unpack(value):
        return {output: value if is_missing(value) else as_array(output, value)}

    exercise = Exercise(
        steps, (output,), mistakes, arguments, run, unpack, arguments, nouns=("batch", "batches")
    )
    return examine(exercise, f, cases)
