"""Exercises on evidence: `check_interval` and `check_contrast`."""

import numpy as np

from bnlib.exercises.answers import answer, table
from bnlib.exercises.calling import Unfit, a, as_number, is_missing, misfit
from bnlib.exercises.diagnosis import explain, follow
from bnlib.exercises.evidence_mistakes import (
    CONTRAST,
    CONTRAST_MISTAKES,
    INTERVAL,
    INTERVAL_MISTAKES,
    OWN,
    RAW,
    RIVAL,
)
from bnlib.exercises.examination import Exercise, examine, objection, unwritten
from bnlib.exercises.pointers import POINTERS
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples
from bnlib.verdicts import Contrast, Rule, verdict

SEEDS = (5, 4, 7, 10)  # few: 1.96 and t part
OUTPUTS = ("estimate", "low", "high")
MEASURE = "loss area"
# The standardized network's area under the loss, and how many times as large the plain network's
# and batch norm's are. No smallest effect in nats fits both levels. Nothing lies between 0.73 and
# 0.82: "a quarter faster" is 1 / 1.25 to one and 3 / 4 to another, and either will do.
LARGE, TINY = 4000, 0.004
EXPERIMENTS = (
    (LARGE, 1.6, 0.5),
    (TINY, 1.6, 0.5),
    (LARGE, 1.0, 0.73),
    (TINY, 1.0, 0.73),
    (TINY, 2.0, 0.02),
    (LARGE, 1.3, 0.82),
    (TINY, 1.1, 0.87),
    (LARGE, 1.1, 0.97),
    (TINY, 1.0, 1.0),
    (TINY, 3.0, 1.0),
    (LARGE, 1.6, 1.05),
    (TINY, 1.9, 1.15),
    (LARGE, 1.8, 1.2),
    (LARGE, 1.6, 2.0),
    (TINY, 1.6, 2.0),
    (LARGE, 0.7, 1.5),
)
ANSWERS = ("no", "open", "yes")


def check_interval(f, *, seed=0):
    """Check a reader's paired 95 % interval, and name the mistakes that are known.

    Parameters
    ----------
    f : callable
        ``f(a, b)`` to estimate, low, high: three numbers, the mean of a - b and the ends of its
        t-interval, as `bnlib.verdicts.paired_interval`. a and b are arrays of shape (seeds,).
    seed : int
        Chooses the made-up numbers.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(a, b):
    ...     d = a - b
    ...     half = 1.96 * d.std(ddof=1) / np.sqrt(len(d))
    ...     return d.mean(), d.mean() - half, d.mean() + half
    >>> check_interval(mine).mistakes
    ('normal_for_t',)
    """
    check_seed("check_interval", seed)
    problem = misfit(f, ["a", "b"])
    if problem:
        return answer(False, [problem])
    rng = np.random.default_rng(seed)
    pairs = [made_up_pair(rng, seeds) for seeds in enlarged(SEEDS, extra_examples(seed))]
    return examine(interval_exercise(), f, pairs)


def made_up_pair(rng, seeds):
    """Two arms of two decimals whose seeds share most of their luck."""
    luck = rng.normal(size=seeds)
    a, b = (luck + 0.4 * rng.normal(size=(2, seeds)) + rng.uniform(1, 3, (2, 1))).round(2)
    return {"a": a, "b": b}


def interval_exercise():
    """The exercise of `check_interval`."""

    def arguments(pair):
        return pair

    def run(f, a, b):
        return f(a, b)

    def unpack(value):
        if not isinstance(value, tuple | list | np.ndarray) or getattr(value, "ndim", 1) == 0:
            raise Unfit(f"Return estimate, low, high: three numbers; yours is {a(value)}.")
        if len(value) != len(OUTPUTS):
            raise Unfit(f"Return estimate, low, high: three numbers; yours are {len(value)}.")
        named = zip(OUTPUTS, value, strict=True)
        return {name: None if is_missing(v) else as_number(name, v) for name, v in named}

    def called(pair):
        return f"for {len(pair['a'])} seeds"

    return Exercise(
        INTERVAL,
        OUTPUTS,
        INTERVAL_MISTAKES,
        arguments,
        run,
        unpack,
        arguments,
        called=called,
        nouns=("pair of arrays", "pairs of arrays"),
    )


def check_contrast(contrast, *, seed=0):
    """Check whether a reader's contrast would convince a fair sceptic that batch norm is faster.

    It is asked about made-up experiments, so that it does not matter how it is written.

    Parameters
    ----------
    contrast : Contrast
        About the measure "loss area" (a small area under the loss is fast) of the arms "plain",
        "standardized" (plain, with standardized inputs) and "batch norm". It should say yes where
        batch norm is faster than the stronger of its rivals by at least a quarter, as a ratio.
    seed : int
        Chooses the made-up experiments.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> weights = {"batch norm": 1, "plain": -1}
    >>> check_contrast(Contrast("BN", "loss area", weights, "less", 1.25, "log")).mistakes
    ('raw_rival',)
    """
    check_seed("check_contrast", seed)
    if is_missing(contrast):
        return unwritten("there is no contrast")
    if not isinstance(contrast, Contrast):
        return answer(False, [f"The checker wants one Contrast; got {a(contrast)}."])
    if contrast.measure != MEASURE:
        sentence = f"The measure is {contrast.measure!r}; how fast a network learns is {MEASURE!r}."
        return objection("other_measure", sentence, "contrast")
    experiments = made_up_experiments(np.random.default_rng(seed))
    try:
        got = [experiment["asked"](contrast) for experiment in experiments]
    except ValueError as error:  # an arm that nobody has, or a count of what is no count
        return answer(False, [f"Not right yet. The contrast cannot be answered: {error}."])
    return _judge_contrast(got, experiments)


def made_up_experiments(rng):
    """Experiments, each with the areas of its arms and a function that asks them a contrast."""
    return [_made_up_experiment(rng, *levels) for levels in EXPERIMENTS]


def _made_up_experiment(rng, level, plain, batch_norm):
    luck = level * np.exp(0.1 * rng.normal(size=4))
    areas = {}
    for arm, times in ((RAW, plain), (RIVAL, 1), (OWN, batch_norm)):
        exact = times * luck * np.exp(0.002 * rng.normal(size=4))
        areas[arm] = np.array([float(f"{area:.4g}") for area in exact])
    per_seed = {(arm, MEASURE): values for arm, values in areas.items()}

    def asked(contrast):
        rule = Rule("C02", "batch norm is faster", (contrast,))
        return np.asarray(ANSWERS.index(verdict(per_seed, rule).needs[0].answer))

    return {"measure": MEASURE, "areas": areas, "asked": asked}


def _judge_contrast(got, experiments):
    expected = [follow(CONTRAST, experiment).answer for experiment in experiments]
    wrong = [i for i, both in enumerate(zip(got, expected, strict=True)) if both[0] != both[1]]
    if not wrong:
        return answer(
            True,
            [
                "Right: it says yes and no where a fair sceptic would, in all "
                f"{len(experiments)} made-up experiments."
            ],
        )
    mistakes = explain(CONTRAST, CONTRAST_MISTAKES, experiments, {"answer": got}) or ()
    unknown = ["It is wrong in a way that I have no name for."] * (not mistakes)
    together = " Two things at once:" if len(mistakes) > 1 else ""
    yours, right = (ANSWERS[answers[wrong[0]]] for answers in (got, expected))
    return answer(
        False,
        [
            f"Not right yet.{together}",
            *unknown,
            *(f"{mistake.sentence} Go back to {POINTERS[mistake.where]}." for mistake in mistakes),
            f"Areas under the loss to which it says {yours!r}, and a fair sceptic {right!r}:",
            *(table(arm, areas) for arm, areas in experiments[wrong[0]]["areas"].items()),
        ],
        [mistake.name for mistake in mistakes],
    )
