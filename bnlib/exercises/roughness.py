"""The exercise on roughness: `check_roughness`, the effective smoothness along a gradient."""

import numpy as np

from bnlib.exercises.answers import answer
from bnlib.exercises.calling import as_number, misfit
from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import Exercise, examine
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples

GIVEN = ("gradient", "arrivals", "rates")
# Numbers of parameters, and of arrivals. The first case can be shown in full.
SHAPES = ((2, 3), (3, 4), (5, 4), (4, 5))

STEPS = {
    "norm": lambda v: np.sqrt((v.gradient**2).sum()),
    "differences": lambda v: v.arrivals - v.gradient,
    "changes": lambda v: np.sqrt((v.differences**2).sum(axis=1)),
    "distances": lambda v: v.rates * v.norm,
    "per_distance": lambda v: v.changes / v.distances,
    "roughness": lambda v: v.per_distance.max(),
}
MISTAKES = (
    Mistake(
        "not_divided",
        "roughness",
        "The change of the gradient is not divided by anything: a longer step changes it more. "
        "(Much code that is passed on stops here.)",
        ({"distances": lambda v: 1 + 0 * v.rates},),
    ),
    Mistake(
        "divided_by_rate",
        "roughness",
        "The rate is not the distance: a step is the rate times the gradient, and so long is it.",
        ({"distances": lambda v: v.rates},),
    ),
    Mistake(
        "divided_by_norm",
        "roughness",
        "The rates are forgotten: this is the change as a share of the first gradient's length.",
        ({"distances": lambda v: v.norm + 0 * v.rates},),
    ),
    Mistake(
        "norm_at_arrival",
        "roughness",
        "The step was made with the gradient at the start, so its length is the rate times that "
        "gradient's, not that at the arrival.",
        ({"distances": lambda v: v.rates * np.sqrt((v.arrivals**2).sum(axis=1))},),
    ),
    Mistake(
        "one_after_the_other",
        "roughness",
        "Each gradient is compared with the one before it; all are to be compared with that at the "
        "start, from which all steps begin.",
        ({"differences": lambda v: np.diff(np.vstack([v.gradient, v.arrivals]), axis=0)},),
    ),
    Mistake(
        "sum_of_gradients",
        "roughness",
        "The two gradients are added; their difference says how much has changed.",
        ({"differences": lambda v: v.arrivals + v.gradient},),
    ),
    Mistake(
        "difference_of_lengths",
        "roughness",
        "This is the difference of the lengths, which a gradient that only turns does not change; "
        "take the length of the difference.",
        (
            {"changes": lambda v: np.abs(np.sqrt((v.arrivals**2).sum(axis=1)) - v.norm)},
            {"changes": lambda v: np.sqrt((v.arrivals**2).sum(axis=1)) - v.norm},
        ),
    ),
    Mistake(
        "square_for_length",
        "roughness",
        "The root is missing: this is the square of the length of the change.",
        ({"changes": lambda v: (v.differences**2).sum(axis=1)},),
    ),
    Mistake(
        "other_length",
        "roughness",
        "The length of a vector is the root of its sum of squares, not the sum or the largest of "
        "its entries.",
        (
            {"changes": lambda v: np.abs(v.differences).sum(axis=1)},
            {"changes": lambda v: np.abs(v.differences).max(axis=1)},
        ),
    ),
    Mistake(
        "mean_of_steps",
        "roughness",
        "This is the mean over the steps; the roughness is the largest.",
        ({"roughness": lambda v: v.per_distance.mean()},),
    ),
    Mistake(
        "one_step_only",
        "roughness",
        "Only one of the steps is looked at; the roughness is the largest over all of them.",
        (
            {"roughness": lambda v: v.per_distance[0]},
            {"roughness": lambda v: v.per_distance[-1]},
        ),
    ),
    Mistake(
        "smallest",
        "roughness",
        "The smallest is taken where the largest belongs.",
        ({"roughness": lambda v: v.per_distance.min()},),
    ),
    Mistake(
        "largest_of_each",
        "roughness",
        "The largest change is divided by the largest distance; divide first, then take the "
        "largest.",
        ({"roughness": lambda v: v.changes.max() / v.distances.max()},),
    ),
)


def check_roughness(f, *, seed=0):
    """Check a reader's roughness along a gradient, and name the mistake if it is known.

    Parameters
    ----------
    f : callable
        ``f(gradient, arrivals, rates)`` to the largest change of the gradient per distance:
        the gradient at the start (D,), the gradients at the arrivals (K, D), and the rates (K,) of
        the steps of gradient descent that led there; as `bnlib.landscape.Path.roughness`.
    seed : int
        Chooses the made-up gradients.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(gradient, arrivals, rates):
    ...     return max(np.linalg.norm(arrivals - gradient, axis=1))
    >>> check_roughness(mine).mistakes
    ('not_divided',)
    """
    check_seed("check_roughness", seed)
    problem = misfit(f, list(GIVEN))
    if problem:
        return answer(False, [problem])
    exercise = Exercise(
        STEPS, ("roughness",), MISTAKES, _arguments, _run, _unpack, _arguments,
        nouns=("case", "cases"),
    )  # fmt: skip
    return examine(exercise, f, made_up_cases(np.random.default_rng(seed), extra_examples(seed)))


def made_up_cases(rng, extra=0):
    """Gradients that change most per distance at a step in the middle, all but at the first."""
    return [_made_up(rng, *shape) for shape in enlarged(SHAPES, extra)]


def _made_up(rng, size, count):
    gradient = rng.normal(size=size) + np.sign(rng.normal(size=size))
    rates = 0.1 * 2.0 ** np.arange(count)
    per_distance = rng.uniform(1, 2, count)
    per_distance[1], per_distance[count // 2] = 0.5, 4  # neither at an end
    turns = rng.normal(size=(count, size))
    turns /= np.sqrt((turns**2).sum(axis=1, keepdims=True))
    reach = per_distance * rates * np.sqrt((gradient**2).sum())
    arrivals = gradient + reach[:, None] * turns
    return {"gradient": gradient.round(2), "arrivals": arrivals.round(2), "rates": rates}


def _arguments(case):
    return case


def _run(f, gradient, arrivals, rates):
    return f(gradient, arrivals, rates)


def _unpack(value):
    return {"roughness": as_number("roughness", value)}
