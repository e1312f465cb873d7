"""The exercise on group norm: `check_group_norm`."""

import numpy as np

from bnlib.exercises.answers import answer
from bnlib.exercises.calling import Unfit, as_array, is_missing, misfit, takes
from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import Exercise, examine, keeps_dtype
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples

# Shape, groups and eps. The first batch can be shown in full; in the second and the last a map is
# as wide as there are channels, so that numpy does not refuse gamma along the wrong axis.
BATCHES = (
    ((1, 4, 1, 2), 2, 0.5),
    ((3, 6, 2, 6), 3, 0.02),
    ((2, 6, 2, 2), 2, 0.1),
    ((4, 4, 4, 4), 2, 0.3),
)


def _split(v):
    """x with an axis for the groups: (N, groups, channels of a group, H, W)."""
    return v.x.reshape(len(v.x), v.groups, v.x.shape[1] // v.groups, *v.x.shape[2:])


STEPS = {
    "groups": lambda v: v.num_groups,
    "split": _split,
    "axes": lambda v: (2, 3, 4),
    "mean": lambda v: v.split.mean(axis=v.axes, keepdims=True),
    "centred": lambda v: v.split - v.mean,
    "deviation": lambda v: v.centred,
    "lost": lambda v: 0,
    "count": lambda v: v.split.size // v.mean.size - v.lost,
    "var": lambda v: (v.deviation**2).sum(axis=v.axes, keepdims=True) / v.count,
    "std": lambda v: np.sqrt(v.var + v.eps),
    "numerator": lambda v: v.centred,
    "grouped": lambda v: v.numerator / v.std,
    "x_hat": lambda v: v.grouped.reshape(v.x.shape),
    "scaled": lambda v: v.gamma * v.x_hat,
    "y": lambda v: v.scaled + v.beta,
}


def _every_so_many(v):
    """x with the groups as axis 1, if channel c belongs to group c % groups."""
    apart = v.x.reshape(len(v.x), v.x.shape[1] // v.groups, v.groups, *v.x.shape[2:])
    return apart.swapaxes(1, 2)


def _each_group_its_own(parameter, v):
    """The first values of a parameter, one for each group instead of one for each channel."""
    return np.repeat(parameter[:, : v.groups], v.x.shape[1] // v.groups, axis=1)


MISTAKES = (
    Mistake(
        "groups_are_sizes",
        "groups",
        "num_groups is taken as the number of channels in a group; it is the number of groups, "
        "and each has C / num_groups channels.",
        ({"groups": lambda v: v.x.shape[1] // v.num_groups},),
    ),
    Mistake(
        "groups_interleaved",
        "groups",
        "The channels of a group stand apart, like every second one; they follow one another: "
        "reshape to (N, groups, C / groups, H, W), in this order.",
        (
            {
                "split": _every_so_many,
                "x_hat": lambda v: v.grouped.swapaxes(1, 2).reshape(v.x.shape),
            },
        ),
    ),
    Mistake(
        "statistics_over_the_batch",
        "groups",
        "The statistics run over the examples, too, as in batch norm. Here every example has its "
        "own: axis 0 stays out.",
        ({"axes": lambda v: (0, 2, 3, 4)},),
    ),
    Mistake(
        "every_place",
        "groups",
        "The statistics run over the channels of a group only, so that every place of the map has "
        "its own; they run over its places, too.",
        ({"axes": lambda v: (2,)},),
    ),
    Mistake(
        "instance_norm",
        "groups",
        "Every channel has its own statistics: that is instance norm. The channels of a group "
        "share one mean and one variance.",
        ({"axes": lambda v: (3, 4)},),
    ),
    Mistake(
        "layer_norm",
        "groups",
        "One mean and one variance for the whole example: that is layer norm. Every group has its "
        "own.",
        ({"axes": lambda v: (1, 2, 3, 4)},),
    ),
    Mistake(
        "axes_everything",
        "groups",
        "One mean and one variance for the whole array; every group of every example has its own.",
        ({"axes": lambda v: (0, 1, 2, 3, 4)},),
    ),
    Mistake(
        "variance_n_minus_1",
        "groups",
        "The variance is divided by one less than the number of values; like that of batch norm it "
        "is the biased one.",
        ({"lost": lambda v: 1},),
    ),
    Mistake(
        "variance_not_centred",
        "groups",
        "The variance averages x squared; it is the average of (x - mean) squared.",
        ({"deviation": lambda v: v.split},),
    ),
    Mistake(
        "numerator_not_centred",
        "groups",
        "The mean is missing above the line: x_hat divides x - mean, not x.",
        ({"numerator": lambda v: v.split},),
    ),
    Mistake(
        "mean_forgotten",
        "rms",
        "The mean is not subtracted, neither in the variance nor from x: that is RMS norm by "
        "groups.",
        ({"centred": lambda v: v.split},),
    ),
    Mistake(
        "divided_by_variance",
        "groups",
        "x - mean is divided by the variance; it is divided by its root.",
        ({"std": lambda v: v.var + v.eps},),
    ),
    Mistake(
        "eps_outside_root",
        "groups",
        "eps is added to the standard deviation; it belongs under the root, to the variance.",
        ({"std": lambda v: np.sqrt(v.var) + v.eps},),
    ),
    Mistake(
        "eps_forgotten",
        "groups",
        "eps is missing: it is added to the variance, under the root.",
        ({"std": lambda v: np.sqrt(v.var)},),
    ),
    Mistake(
        "gamma_forgotten",
        "groups",
        "gamma is missing: y is gamma * x_hat + beta.",
        ({"scaled": lambda v: v.x_hat},),
    ),
    Mistake(
        "beta_forgotten",
        "groups",
        "beta is missing: y is gamma * x_hat + beta.",
        ({"y": lambda v: v.scaled},),
    ),
    Mistake(
        "beta_before_gamma",
        "groups",
        "beta is added before gamma multiplies, and so is multiplied too.",
        ({"scaled": lambda v: v.gamma * (v.x_hat + v.beta), "y": lambda v: v.scaled},),
    ),
    Mistake(
        "parameters_by_group",
        "groups",
        "There is one gamma and one beta for each group; only the statistics go by groups, gamma "
        "and beta belong to the channels.",
        (
            {
                "scaled": lambda v: _each_group_its_own(v.gamma, v) * v.x_hat,
                "y": lambda v: v.scaled + _each_group_its_own(v.beta, v),
            },
        ),
    ),
    Mistake(
        "parameters_last_axis",
        "images",
        "gamma and beta of shape (C,) meet the last axis, the width of the map; they belong to "
        "axis 1: give them the shape (C, 1, 1).",
        (
            {
                "scaled": lambda v: v.gamma.ravel() * v.x_hat,
                "y": lambda v: v.scaled + v.beta.ravel(),
            },
        ),
    ),
)


def check_group_norm(f, *, seed=0):
    """Check a reader's group norm of maps, and name the mistake if there is one that is known.

    Parameters
    ----------
    f : callable
        ``f(x, num_groups, gamma, beta, eps)`` to y, or to a tuple whose first item is y, as
        `bnlib.group_norm`; eps may be a keyword. x has the shape (N, C, H, W), gamma and beta are
        of shape (C,). float32 in, float32 out.
    seed : int
        Chooses the made-up batches.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(x, num_groups, gamma, beta, eps):
    ...     mean, var = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    ...     x_hat = (x - mean) / np.sqrt(var + eps)
    ...     return gamma[:, None, None] * x_hat + beta[:, None, None]
    >>> check_group_norm(mine).mistakes
    ('instance_norm',)
    """
    check_seed("check_group_norm", seed)
    given = ["x", "num_groups", "gamma", "beta"]
    problem = misfit(f, [*given, "eps"])
    if problem and not takes(f, given, ["eps"]):
        return answer(False, [problem])
    exercise = Exercise(
        STEPS, ("y",), MISTAKES, arguments, _run, _unpack, arguments, (keeps_dtype,)
    )
    return examine(exercise, f, made_up_batches(np.random.default_rng(seed), extra_examples(seed)))


def made_up_batches(rng, extra=0):
    """Maps of two decimals; examples, channels and places differ in all respects."""
    return [_made_up(rng, *batch) for batch in enlarged(BATCHES, extra)]


def _made_up(rng, shape, num_groups, eps):
    channels = (1, shape[1], 1, 1)
    x = rng.normal(size=shape) * rng.uniform(0.5, 3, channels) + rng.uniform(1, 3, channels)
    gamma, beta = rng.uniform(0.4, 1.9, (2, *channels)) * rng.choice([-1, 1], (2, *channels))
    return {
        "x": x.round(2),
        "num_groups": num_groups,
        "gamma": gamma.round(2),
        "beta": beta.round(2),
        "eps": eps,
    }


def arguments(batch):
    """What a batch gives the reader's function: gamma and beta of shape (C,)."""
    return batch | {"gamma": batch["gamma"].ravel(), "beta": batch["beta"].ravel()}


def _run(f, x, num_groups, gamma, beta, eps):
    if takes(f, ["x", "num_groups", "gamma", "beta"], ["eps"]):
        return f(x, num_groups, gamma, beta, eps=eps)
    return f(x, num_groups, gamma, beta, eps)


def _unpack(value):
    if isinstance(value, tuple):
        if not value:
            raise Unfit("An empty tuple came back: return y.")
        value = value[0]
    return {"y": value if is_missing(value) else as_array("y", value)}
