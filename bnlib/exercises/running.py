"""Exercises on what batch norm stores and applies: `check_running_average`, `check_evaluation`."""

import numpy as np

from bnlib.exercises.answers import answer
from bnlib.exercises.calling import Unfit, a, as_array, is_missing, misfit
from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import Exercise, examine
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples

# --- the update in training -----------------------------------------------------------------------

UPDATED = ("running_mean", "running_var", "x", "momentum", "seen")
# Rows, channels, momentum and how many batches came before; a square batch finds wrong axes that
# numpy refuses elsewhere.
BATCHES = ((3, 2, 0.1, 7), (4, 4, 0.3, 2), (5, 3, None, 3), (4, 2, None, 6))

UPDATE = {
    "number": lambda v: v.seen + 1,
    "weight": lambda v: 1 / v.number if v.momentum is None else v.momentum,
    "kept": lambda v: 1 - v.weight,
    "count": lambda v: len(v.x),
    "mean": lambda v: v.x.mean(axis=0),
    "squares": lambda v: np.mean((v.x - v.mean) ** 2, axis=0),
    "bessel": lambda v: v.count / (v.count - 1),
    "variance": lambda v: v.squares * v.bessel,
    "stored_mean": lambda v: v.mean,
    "new_mean": lambda v: v.kept * v.running_mean + v.weight * v.stored_mean,
    "new_var": lambda v: v.kept * v.running_var + v.weight * v.variance,
}
UPDATE_MISTAKES = (
    Mistake(
        "weights_swapped",
        "momentum",
        "The weights are swapped: momentum is the weight of the new batch here, and the old "
        "average keeps the rest. Keras and the posts name it after the other one.",
        (
            {"weight": lambda v: 1 / v.number if v.momentum is None else 1 - v.momentum},
            {"weight": lambda v: 1 - 1 / v.number if v.momentum is None else 1 - v.momentum},
        ),
    ),
    Mistake(
        "none_means_default",
        "averages",
        "momentum=None means that all batches weigh alike, so the new one weighs 1 / (seen + 1); "
        "here it weighs a fixed tenth.",
        ({"weight": lambda v: 0.1 if v.momentum is None else v.momentum},),
    ),
    Mistake(
        "none_means_zero",
        "averages",
        "momentum=None is not 0: nothing is averaged in here, and None means that all batches "
        "weigh alike.",
        ({"weight": lambda v: 0.0 if v.momentum is None else v.momentum},),
    ),
    Mistake(
        "one_batch_off",
        "averages",
        "The count of the batches is off by one: `seen` came before, and this one makes seen + 1.",
        ({"number": lambda v: v.seen}, {"number": lambda v: v.seen + 2}),
    ),
    Mistake(
        "nothing_fades",
        "averages",
        "The old average keeps its whole weight: the two weights must sum to 1, or the average "
        "grows without end.",
        ({"kept": lambda v: 1},),
    ),
    Mistake(
        "only_this_batch",
        "averages",
        "This is the statistic of the one batch; a running average remembers the earlier ones.",
        ({"kept": lambda v: 0, "weight": lambda v: 1},),
    ),
    Mistake(
        "biased_stored",
        "bessel",
        "The biased variance is stored. It normalizes the batch, but for other data it is too "
        "small by 1 - 1/m on average: times m / (m - 1).",
        ({"bessel": lambda v: 1},),
    ),
    Mistake(
        "bessel_upside_down",
        "bessel",
        "The correction goes the wrong way: m / (m - 1) makes the variance larger.",
        (
            {"bessel": lambda v: v.count / (v.count + 1)},
            {"bessel": lambda v: (v.count - 1) / v.count},
        ),
    ),
    Mistake(
        "bessel_on_mean",
        "bessel",
        "The mean is corrected, too. A batch's mean is right on average; only its variance is too "
        "small.",
        ({"stored_mean": lambda v: v.mean * v.bessel},),
    ),
    Mistake(
        "bessel_on_average",
        "bessel",
        "The correction multiplies the whole average, so the past is corrected again with every "
        "batch. It belongs to the new variance alone.",
        ({"new_var": lambda v: v.bessel * (v.kept * v.running_var + v.weight * v.squares)},),
    ),
    Mistake(
        "std_stored",
        "averages",
        "The standard deviation is averaged; what is stored, and what sqrt(var + eps) expects, is "
        "the variance.",
        (
            {"variance": lambda v: np.sqrt(v.squares * v.bessel)},
            {"variance": lambda v: np.sqrt(v.squares)},
        ),
    ),
    Mistake(
        "around_the_running_mean",
        "averages",
        "The deviations are taken from the running mean; the variance of a batch is about the "
        "batch's own.",
        ({"squares": lambda v: np.mean((v.x - v.running_mean) ** 2, axis=0)},),
    ),
    Mistake(
        "not_centred",
        "averages",
        "This is the mean of the squares; the mean has not been subtracted.",
        ({"squares": lambda v: np.mean(v.x**2, axis=0)},),
    ),
    Mistake(
        "sum_of_squares",
        "averages",
        "The squared deviations are added up and not averaged.",
        ({"squares": lambda v: np.sum((v.x - v.mean) ** 2, axis=0), "bessel": lambda v: 1},),
    ),
    Mistake(
        "over_features",
        "batch",
        "The statistics are taken over the channels of each example; they go over the examples of "
        "each channel, axis 0.",
        (
            {"mean": lambda v: v.x.mean(axis=1), "squares": lambda v: v.x.var(axis=1)},
            {
                "mean": lambda v: v.x.mean(axis=1),
                "squares": lambda v: v.x.var(axis=1),
                "count": lambda v: v.x.shape[1],
            },
        ),
    ),
    Mistake(
        "one_for_all",
        "batch",
        "One mean and one variance are taken over everything; each channel has its own.",
        (
            {"mean": lambda v: v.x.mean(), "squares": lambda v: v.x.var()},
            {
                "mean": lambda v: v.x.mean(),
                "squares": lambda v: v.x.var(),
                "count": lambda v: v.x.size,
            },
        ),
    ),
)


def check_running_average(f, *, seed=0):
    """Check a reader's update of the running averages.

    Parameters
    ----------
    f : callable
        ``f(running_mean, running_var, x, momentum, seen)`` to the new running_mean and running_var,
        as `bnlib.layers.BatchNorm` keeps them. x is a batch of shape (N, C), the averages are of
        shape (C,), momentum is the weight of the new batch, or None: then all batches weigh alike,
        and `seen` is how many came before.
    seed : int
        Chooses the made-up batches.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(running_mean, running_var, x, momentum, seen):
    ...     a = 1 / (seen + 1) if momentum is None else momentum
    ...     return ((1 - a) * running_mean + a * x.mean(axis=0),
    ...             (1 - a) * running_var + a * x.var(axis=0))
    >>> check_running_average(mine).mistakes
    ('biased_stored',)
    """
    check_seed("check_running_average", seed)
    problem = misfit(f, list(UPDATED))
    if problem:
        return answer(False, [problem])
    exercise = Exercise(
        UPDATE, ("new_mean", "new_var"), UPDATE_MISTAKES, _itself, _call, _two, _arrays,
        called=_by_batch,
    )  # fmt: skip
    return examine(exercise, f, made_up_batches(np.random.default_rng(seed), extra_examples(seed)))


def made_up_batches(rng, extra=0):
    """Batches of one decimal, with averages that are not theirs."""
    return [
        {
            "running_mean": rng.uniform(-1, 1, channels).round(1),
            "running_var": rng.uniform(0.5, 4, channels).round(1),
            "x": rng.normal(2, 1.5, (rows, channels)).round(1),
            "momentum": momentum,
            "seen": seen,
        }
        for rows, channels, momentum, seen in enlarged(BATCHES, extra)
    ]


def _itself(batch):
    return dict(batch)


def _call(f, **given):
    return f(*given.values())


def _arrays(batch):
    return {name: value for name, value in batch.items() if isinstance(value, np.ndarray)}


def _by_batch(given):
    return f"on a batch of shape {given['x'].shape}"


def _two(value):
    """What was returned, as two arrays."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        came = f"{len(value)} values" if isinstance(value, list | tuple) else a(value)
        raise Unfit(f"Return two arrays, the new running_mean and running_var; yours is {came}.")
    names = ("new_mean", "new_var")
    return {
        name: one if is_missing(one) else as_array(name, one)
        for name, one in zip(names, value, strict=True)
    }


# --- the forward pass in evaluation ---------------------------------------------------------------

APPLIED = ("x", "mean", "var", "gamma", "beta", "eps")
SHAPES = ((4, 2, 0.5), (1, 3, 0.02), (5, 5, 0.1))  # a single example among them

EVALUATION = {
    "used_mean": lambda v: v.mean,
    "used_var": lambda v: v.var,
    "centred": lambda v: v.x - v.used_mean,
    "spread": lambda v: np.sqrt(v.used_var + v.eps),
    "x_hat": lambda v: v.centred / v.spread,
    "scaled": lambda v: v.gamma * v.x_hat,
    "y": lambda v: v.scaled + v.beta,
}
EVALUATION_MISTAKES = (
    Mistake(
        "batch_statistics",
        "modes",
        "This normalizes by the batch at hand, as in training. In evaluation the mean and the "
        "variance are those that are given.",
        (
            {
                "used_mean": lambda v: v.x.mean(axis=0),
                "used_var": lambda v: v.x.var(axis=0),
            },
        ),
    ),
    Mistake(
        "batch_mean",
        "modes",
        "The mean is that of the batch at hand; in evaluation it is given, like the variance.",
        ({"used_mean": lambda v: v.x.mean(axis=0)},),
    ),
    Mistake(
        "not_centred",
        "x_hat",
        "The stored mean is not subtracted.",
        ({"used_mean": lambda v: 0},),
    ),
    Mistake(
        "eps_outside",
        "eps",
        "eps stands outside the root: it is added to the variance, not to the standard deviation.",
        ({"spread": lambda v: np.sqrt(v.used_var) + v.eps},),
    ),
    Mistake(
        "eps_forgotten",
        "eps",
        "eps is missing. It must be there in evaluation, too: it was, when gamma was learned.",
        ({"spread": lambda v: np.sqrt(v.used_var)},),
    ),
    Mistake(
        "variance_for_root",
        "x_hat",
        "This divides by the variance; the root is missing.",
        ({"spread": lambda v: v.used_var + v.eps}, {"spread": lambda v: v.used_var}),
    ),
    Mistake(
        "unbiased_twice",
        "bessel",
        "The stored variance is corrected again; it has been made unbiased when it was stored.",
        ({"used_var": lambda v: v.var * len(v.x) / max(len(v.x) - 1, 1)},),
    ),
    Mistake("gamma_forgotten", "y", "gamma is missing.", ({"scaled": lambda v: v.x_hat},)),
    Mistake("beta_forgotten", "y", "beta is missing.", ({"y": lambda v: v.scaled},)),
    Mistake(
        "beta_inside",
        "y",
        "beta is multiplied by gamma: it is added after the scale.",
        ({"scaled": lambda v: v.x_hat, "y": lambda v: v.gamma * (v.x_hat + v.beta)},),
    ),
)


def check_evaluation(f, *, seed=0):
    """Check a reader's batch norm in evaluation mode.

    Parameters
    ----------
    f : callable
        ``f(x, mean, var, gamma, beta, eps)`` to y, as `bnlib.batch_norm_inference`. x has shape
        (N, C), also for N = 1; eps is a number and all others are of shape (C,).
    seed : int
        Chooses the made-up inputs.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(x, mean, var, gamma, beta, eps):
    ...     return gamma * (x - mean) / (np.sqrt(var) + eps) + beta
    >>> check_evaluation(mine).mistakes
    ('eps_outside',)
    """
    check_seed("check_evaluation", seed)
    problem = misfit(f, list(APPLIED))
    if problem:
        return answer(False, [problem])
    exercise = Exercise(EVALUATION, ("y",), EVALUATION_MISTAKES, _itself, _call, _one, _itself)
    inputs = made_up_inputs(np.random.default_rng(seed), extra_examples(seed))
    return examine(exercise, f, inputs)


def made_up_inputs(rng, extra=0):
    """Inputs of one decimal, with stored statistics that are not theirs."""
    return [
        {
            "x": rng.normal(2, 1.5, (rows, channels)).round(1),
            "mean": rng.uniform(-1, 1, channels).round(1),
            "var": rng.uniform(0.5, 4, channels).round(1),
            "gamma": rng.uniform(0.4, 1.9, channels).round(1),
            "beta": rng.uniform(0.5, 2, channels).round(1),
            "eps": eps,
        }
        for rows, channels, eps in enlarged(SHAPES, extra)
    ]


def _one(value):
    return {"y": value if is_missing(value) else as_array("y", value)}
