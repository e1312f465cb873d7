"""An exercise on how far a distribution moves: `check_drift`."""

import numpy as np

from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import by_shape, examine_number
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples

SIZES = (5, 8, 7)

DRIFT = {
    "start": lambda v: np.sort(v.before),
    "end": lambda v: np.sort(v.after),
    "carried": lambda v: v.end - v.start,
    "square": lambda v: np.mean(v.carried**2),
    "distance": lambda v: np.sqrt(v.square),
    "spread": lambda v: np.std(v.before),
    "drift": lambda v: v.distance / v.spread,
}
DRIFT_MISTAKES = (
    Mistake(
        "not_sorted",
        "drift",
        "The values are compared example by example. Two examples that change places have moved, "
        "and the distribution has not: sort both before you subtract.",
        ({"start": lambda v: v.before, "end": lambda v: v.after},),
    ),
    Mistake(
        "one_not_sorted",
        "drift",
        "One of the two is sorted and the other is not.",
        ({"start": lambda v: v.before}, {"end": lambda v: v.after}),
    ),
    Mistake(
        "means_only",
        "drift",
        "This compares the means alone. A distribution that is stretched about its mean has moved "
        "too.",
        (
            {"distance": lambda v: abs(np.mean(v.carried))},
            {"distance": lambda v: np.mean(v.carried)},
        ),
    ),
    Mistake(
        "absolute_values",
        "drift",
        "This is the mean of how far each value is carried; the distance of order 2 is the root of "
        "the mean of the squares.",
        ({"distance": lambda v: np.mean(abs(v.carried))},),
    ),
    Mistake(
        "no_root",
        "drift",
        "The root of the mean square is missing, so the distance is in squared units.",
        ({"distance": lambda v: v.square},),
    ),
    Mistake(
        "sum_of_squares",
        "drift",
        "The squares are added up and not averaged: the distance would grow with the number of "
        "examples.",
        ({"square": lambda v: np.sum(v.carried**2)},),
    ),
    Mistake(
        "no_spread",
        "drift",
        "The distance is not divided by the spread. In a network with twice the weights everything "
        "would move twice as far.",
        ({"spread": lambda v: 1},),
    ),
    Mistake(
        "spread_after",
        "drift",
        "This divides by the spread afterwards; the ruler is that of the start.",
        ({"spread": lambda v: np.std(v.after)},),
    ),
    Mistake(
        "variance_for_spread",
        "drift",
        "The variance stands where the standard deviation belongs.",
        ({"spread": lambda v: np.var(v.before)},),
    ),
    Mistake(
        "unbiased_spread",
        "drift",
        "The standard deviation is the one with N - 1; batch norm's, and ours, has N.",
        ({"spread": lambda v: np.std(v.before, ddof=1)},),
    ),
)


def check_drift(f, *, seed=0):
    """Check a reader's measure of how far the distribution of one unit has moved.

    Parameters
    ----------
    f : callable
        ``f(before, after)`` to a number: Wasserstein's distance of order 2 between the values of
        one unit at two moments, over their standard deviation before, as
        `bnlib.covariate_shift.distribution_drift`. Both are arrays of shape (N,), the same examples
        in the same order.
    seed : int
        Chooses the made-up values.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> check_drift(lambda a, b: np.sqrt(np.mean((b - a) ** 2)) / a.std()).mistakes
    ('not_sorted',)
    """
    check_seed("check_drift", seed)
    pairs = made_up_pairs(np.random.default_rng(seed), extra_examples(seed))
    return examine_number(
        "drift", DRIFT, DRIFT_MISTAKES, f, pairs,
        nouns=("pair of arrays", "pairs of arrays"), called=by_shape,
    )  # fmt: skip


def made_up_pairs(rng, extra=0):
    """Values of one unit at two moments, with one decimal; they come closer and change places."""
    pairs = []
    for size in enlarged(SIZES, extra):
        before = rng.normal(1, 2, size)
        after = 0.3 * rng.permutation(before) + 0.5 * rng.normal(size=size) + 1.2
        pairs.append({"before": before.round(1), "after": after.round(1)})
    return pairs
