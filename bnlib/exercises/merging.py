"""The exercise on merging two shards: `check_merge`."""

import numpy as np

from bnlib.exercises.answers import answer
from bnlib.exercises.calling import Unfit, a, as_number, is_missing, misfit
from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import Exercise, by_value, examine
from bnlib.exercises.seeds import check_seed, other_numbers

GIVEN = ("n_a", "mean_a", "var_a", "n_b", "mean_b", "var_b")
# Sizes are far from equal, once the other way round; the last are not whole deviations apart.
CASES = (
    (6, 2.0, 1.5, 2, -1.0, 4.0),
    (3, -1.5, 0.8, 9, 0.5, 2.5),
    (20, 1.2, 2.2, 5, 4.0, 0.6),
    (1, 5.0, 0.0, 4, 1.0, 3.0),
)
OUTPUTS = ("mean", "var")

MERGE = {
    "total": lambda v: v.n_a + v.n_b,
    "w_a": lambda v: v.n_a / v.total,
    "w_b": lambda v: v.n_b / v.total,
    "mean": lambda v: v.w_a * v.mean_a + v.w_b * v.mean_b,
    "distance": lambda v: v.mean_b - v.mean_a,
    "within": lambda v: v.w_a * v.var_a + v.w_b * v.var_b,
    "between": lambda v: v.w_a * v.w_b * v.distance**2,
    "together": lambda v: v.within + v.between,
    "var": lambda v: v.together,
}


def _around_the_middle(v):
    middle = (v.mean_a + v.mean_b) / 2
    return v.w_a * (v.mean_a - middle) ** 2 + v.w_b * (v.mean_b - middle) ** 2


MERGE_MISTAKES = (
    Mistake(
        "mean_of_means",
        "merged_mean",
        "The mean of the two means forgets the sizes: a shard counts by its examples.",
        (
            {"mean": lambda v: (v.mean_a + v.mean_b) / 2},
            {"mean": lambda v: (v.mean_a + v.mean_b) / 2, "between": _around_the_middle},
        ),
    ),
    Mistake(
        "weights_swapped",
        "merged_mean",
        "Each shard has got the other's weight.",
        ({"w_a": lambda v: v.n_b / v.total, "w_b": lambda v: v.n_a / v.total},),
    ),
    Mistake(
        "sum_for_mean",
        "merged_mean",
        "The mean is a sum here: divide it by the number of all examples.",
        ({"mean": lambda v: v.n_a * v.mean_a + v.n_b * v.mean_b},),
    ),
    Mistake(
        "distance_forgotten",
        "merged_var",
        "The distance of the two means is missing: two shards without any variance have one "
        "together if their means differ.",
        ({"between": lambda v: 0},),
    ),
    Mistake(
        "distance_not_squared",
        "merged_var",
        "The distance of the means is not squared; a variance is made of squares.",
        (
            {"between": lambda v: v.w_a * v.w_b * v.distance},
            {"between": lambda v: v.w_a * v.w_b * abs(v.distance)},
        ),
    ),
    Mistake(
        "between_not_divided",
        "merged_var",
        "d² n m / (n + m) is what the distance adds to the *sum* of squared deviations; in the "
        "variance it is divided by n + m once more.",
        ({"between": lambda v: v.n_a * v.n_b / v.total * v.distance**2},),
    ),
    Mistake(
        "between_full",
        "merged_var",
        "The squared distance of the means counts w_a w_b times, the product of the two shares: "
        "nobody lies a whole distance away from the common mean.",
        (
            {"between": lambda v: v.distance**2},
            {"between": lambda v: v.distance**2 / 4},
            {"between": lambda v: v.distance**2 / 2},
        ),
    ),
    Mistake(
        "variances_unweighted",
        "merged_var",
        "The two variances are averaged without their sizes.",
        ({"within": lambda v: (v.var_a + v.var_b) / 2},),
    ),
    Mistake(
        "variances_added",
        "merged_var",
        "The two variances are added, as for a sum of two independent numbers. Here they are "
        "averaged, each by its size.",
        ({"within": lambda v: v.var_a + v.var_b},),
    ),
    Mistake(
        "weights_squared",
        "merged_var",
        "The weights of the variances are squared, as for the variance of a weighted mean. "
        "Here the question is how far examples lie from the mean, not how exact the mean is.",
        ({"within": lambda v: v.w_a**2 * v.var_a + v.w_b**2 * v.var_b},),
    ),
    Mistake(
        "unbiased_out",
        "merged_var",
        "The squared deviations of all are divided by one less than their number: that is the "
        "unbiased variance, and batch norm divides by the number.",
        ({"var": lambda v: v.together * v.total / (v.total - 1)},),
    ),
    Mistake(
        "unbiased_in",
        "merged_var",
        "The given variances are taken for unbiased ones: times n, not n - 1, they are the sums "
        "of squared deviations.",
        (
            {"within": lambda v: ((v.n_a - 1) * v.var_a + (v.n_b - 1) * v.var_b) / v.total},
            {
                "within": lambda v: ((v.n_a - 1) * v.var_a + (v.n_b - 1) * v.var_b) / (v.total - 1),
                "between": lambda v: v.n_a * v.w_b * v.distance**2 / (v.total - 1),
            },
        ),
    ),
    Mistake(
        "std_for_var",
        "merged_var",
        "This is the standard deviation; leave the root out.",
        ({"var": lambda v: np.sqrt(v.together)},),
    ),
    Mistake(
        "stds_averaged",
        "merged_var",
        "The standard deviations are averaged, then squared; average the variances.",
        ({"within": lambda v: (v.w_a * np.sqrt(v.var_a) + v.w_b * np.sqrt(v.var_b)) ** 2},),
    ),
    Mistake(
        "raw_squares",
        "merged_var",
        "This is the mean of the squares: the square of the common mean is still in it.",
        ({"between": lambda v: v.w_a * v.mean_a**2 + v.w_b * v.mean_b**2},),
    ),
    Mistake(
        "deviations_for_var",
        "merged_var",
        "This is the sum of squared deviations; divide it by the number of all examples.",
        ({"var": lambda v: v.together * v.total},),
    ),
)


def check_merge(f, *, seed=0):
    """Check a reader's mean and variance of two shards together.

    Parameters
    ----------
    f : callable
        ``f(n_a, mean_a, var_a, n_b, mean_b, var_b)`` to mean, var: those of all n_a + n_b values,
        as `bnlib.workers.merge`. All numbers; variances are biased ones.
    seed : int
        Chooses the numbers.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(n_a, mean_a, var_a, n_b, mean_b, var_b):
    ...     w = n_a / (n_a + n_b)
    ...     return w * mean_a + (1 - w) * mean_b, w * var_a + (1 - w) * var_b
    >>> check_merge(mine).mistakes
    ('distance_forgotten',)
    """
    check_seed("check_merge", seed)
    problem = misfit(f, list(GIVEN))
    if problem:
        return answer(False, [problem])
    cases = [dict(zip(GIVEN, case, strict=True)) for case in other_numbers(CASES, seed)]
    exercise = Exercise(
        MERGE,
        OUTPUTS,
        MERGE_MISTAKES,
        _given,
        _run,
        _unpack,
        _given,
        called=by_value,
        nouns=("pair of shards", "pairs of shards"),
    )
    return examine(exercise, f, cases)


def _given(case):
    return case


def _run(f, **given):
    return f(*given.values())


def _unpack(value):
    if not isinstance(value, tuple | list | np.ndarray) or getattr(value, "ndim", 1) == 0:
        raise Unfit(f"Return mean, var: two numbers; yours is {a(value)}.")
    if len(value) != len(OUTPUTS):
        raise Unfit(f"Return mean, var: two numbers; yours are {len(value)}.")
    named = zip(OUTPUTS, value, strict=True)
    return {name: None if is_missing(v) else as_number(name, v) for name, v in named}
