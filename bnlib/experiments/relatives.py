"""Group norm in small batches: claim C33; and how this chapter's rates are chosen.

Rates that no other chapter has chosen are chosen by `choose`, also for `cures`, on development
seeds and validation images only; all scores are in `results/relatives_rates.json`.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnlib.experiments import convnets
from bnlib.experiments.arms import split
from bnlib.experiments.contrasts import difference, interaction
from bnlib.experiments.cures import CURES, Deep, train_deep
from bnlib.experiments.experiment import Experiment
from bnlib.verdicts import Rule

# --- C33: group norm as the batch shrinks ---------------------------------------------------------

SIZES = (2, 4, 16, 64)
ENDS = (SIZES[0], SIZES[-1])  # where the arms that are neither batch nor group norm are trained
SMALL = convnets.ConvArm(channels=(8, 16, 32), epochs=2)
NORMS: dict[str, dict[str, Any]] = {
    "batch norm": {"norm": "batch"},
    "group norm": {"norm": "group"},
    "layer norm": {"norm": "layer"},
    "plain": {},
    "standardized": {"inputs": "standardized"},
}
SHRINKING = {
    f"{name} {size}": replace(SMALL, batch_size=size, **change)
    for name, change in NORMS.items()
    for size in (SIZES if name in ("batch norm", "group norm") else ENDS)
}


def shrinking_batches(seed, draw, arms):
    """C33: batch norm and group norm in a conv net, batches of 2 to 64, the same examples for all.

    Three convolutions of 8, 16 and 32 channels on pictures of 8, 4 and 2 pixels a side, each with
    its norm, ReLU and max pooling, then one linear layer; 1,000 digits, two epochs of SGD with
    momentum 0.9, every arm and size at its own tuned rate. "group norm" has four groups, "layer
    norm" takes each picture's maps as a whole, "standardized" is the network without a norm, for
    inputs of mean 0 and variance 1. Batch norm is evaluated by the statistics of the training set.
    """
    runs = convnets.train(
        {name: SHRINKING[name] for name in arms}, seed, split(seed, draw), rates=CONV_RATES
    )
    return {
        name: {"test accuracy": run.test_accuracy, "train accuracy": run.train_accuracy}
        for name, run in runs.items()
    }


def longer_in_batches(seed, draw, arms):
    """Exploratory: the same race at both ends, trained three times as long.

    As `shrinking_batches`, for six epochs, batch norm and group norm in batches of 2 and of 64,
    at the rates that were tuned for two epochs.
    """
    longer = {}
    for name in arms:
        rate = CONV_RATES[SHRINKING[name].description]
        longer[name] = replace(SHRINKING[name], epochs=6, lr=rate)
    runs = convnets.train(longer, seed, split(seed, draw))
    return {
        name: {"test accuracy": run.test_accuracy, "train accuracy": run.train_accuracy}
        for name, run in runs.items()
    }


LONGER = tuple(f"{name} norm {size}" for name in ("batch", "group") for size in ENDS)


def values_per_channel(size, side=8, convolutions=3):
    """Count the values whose mean batch norm takes, in each layer of the nets above.

    Examples
    --------
    >>> values_per_channel(2)
    [128, 32, 8]
    """
    return [size * (side // 2**k) ** 2 for k in range(convolutions)]


def crossover(gains, sizes, *, rng, resamples=10_000):
    """The batch size where one network's mean gain over another passes from above 0 to below.

    Straight lines over the logarithm of the size join the means; the interval is that of the
    bootstrap over seeds.

    Parameters
    ----------
    gains : ndarray of shape (seeds, sizes)
        Of the network that is said to win in small batches.
    sizes : sequence of int
        Growing.
    rng : numpy.random.Generator
    resamples : int

    Returns
    -------
    estimate, low, high : float
        0 where the gain is below 0 at the smallest size already, infinite where it never is.

    Examples
    --------
    >>> gains = np.array([[0.03, 0.01, -0.01], [0.03, 0.01, -0.01]])
    >>> crossover(gains, (2, 4, 16), rng=np.random.default_rng(0))
    (8.0, 8.0, 8.0)
    """
    drawn = rng.integers(len(gains), size=(resamples, len(gains)))
    found = sorted(_crossing(gains[rows].mean(axis=0), sizes) for rows in drawn)
    low, high = (found[round(share * (resamples - 1))] for share in (0.025, 0.975))
    return _crossing(gains.mean(axis=0), sizes), low, high


def _crossing(means, sizes):
    below = np.flatnonzero(means < 0)
    if not len(below):
        return np.inf
    if below[0] == 0:
        return 0.0
    start, end = means[below[0] - 1 : below[0] + 1]
    logs = np.log2(sizes[below[0] - 1 : below[0] + 1])
    return float(2 ** (logs[0] + (logs[1] - logs[0]) * start / (start - end)))


def _wins(size, rival="batch norm", wanted="more"):
    pair = f"group norm {size}", f"{rival} {size}"
    return difference(*pair, "test accuracy", wanted=wanted)


def _wins_more_in_small_ones(size):
    large = f"group norm {SIZES[-1]}", f"batch norm {SIZES[-1]}"
    return interaction((f"group norm {size}", f"batch norm {size}"), large, "test accuracy")


# Else it would be the lack of batch norm that wins, not group norm.
_FAIR = tuple(_wins(SIZES[0], rival, "not less") for rival in ("plain", "standardized"))
C33 = Rule(
    claim="C33",
    part="it wins in small batches",
    says=(
        "In a small conv net, test accuracy with group norm is at least a point above that with "
        "batch norm in batches of 2 and of 4, by more than in batches of 64, and in batches of 2 "
        "not a point below the network without a norm, for raw and standardized inputs; all see "
        "the same number of examples, each at its tuned rate."
    ),
    needs=(
        *(_wins(size) for size in (2, 4)),
        *(_wins_more_in_small_ones(size) for size in (2, 4)),
        *_FAIR,
    ),
    when={"the batch has two examples": (_wins(2), _wins_more_in_small_ones(2), *_FAIR)},
)

EXPERIMENTS = (
    Experiment(
        name="shrinking_batches",
        chapter="relatives",
        measure=shrinking_batches,
        arms=tuple(SHRINKING),
        rules=(C33,),
        seeds=10,
        tolerance=1e-6,  # rounding grows in hundreds of steps of two examples
    ),
    Experiment(
        name="longer_in_batches",
        chapter="relatives",
        measure=longer_in_batches,
        arms=LONGER,
        seeds=2,
        tolerance=1e-6,
    ),
)

# --- choosing rates -------------------------------------------------------------------------------

SEEDS = (0, 1)
SCORES = Path(__file__).parents[2] / "results" / "relatives_rates.json"
CONV_RATES: dict[str, float] = {
    "norm=batch channels=(8, 16, 32) batch_size=2 epochs=2": 0.003,
    "norm=batch channels=(8, 16, 32) batch_size=4 epochs=2": 0.003,
    "norm=batch channels=(8, 16, 32) batch_size=16 epochs=2": 0.03,
    "norm=batch channels=(8, 16, 32) batch_size=64 epochs=2": 0.1,
    "norm=group channels=(8, 16, 32) batch_size=2 epochs=2": 0.001,
    "norm=group channels=(8, 16, 32) batch_size=4 epochs=2": 0.003,
    "norm=group channels=(8, 16, 32) batch_size=16 epochs=2": 0.03,
    "norm=group channels=(8, 16, 32) batch_size=64 epochs=2": 0.03,
    "norm=layer channels=(8, 16, 32) batch_size=2 epochs=2": 0.001,
    "norm=layer channels=(8, 16, 32) batch_size=64 epochs=2": 0.03,
    "channels=(8, 16, 32) batch_size=2 epochs=2": 0.003,
    "channels=(8, 16, 32) batch_size=64 epochs=2": 0.01,
    "inputs=standardized channels=(8, 16, 32) batch_size=2 epochs=2": 0.001,
    "inputs=standardized channels=(8, 16, 32) batch_size=64 epochs=2": 0.03,
}


def untuned():
    """Every arm that needs a rate, and the places of the ladder that are tried first."""
    found: dict[str, tuple[Any, set[int]]] = {}
    for arm in SHRINKING.values():
        middle = -4 if arm.batch_size < 8 else -3 if arm.batch_size < 64 else -2
        found[arm.description] = arm, {middle + step for step in (-2, -1, 0, 1)}
    for name, deep in CURES.items():
        if isinstance(deep, Deep):
            found[name] = deep, {-2, -1, 0, 1}
    return found


def choose():
    """Choose the rates, store all scores, and print the tables.

    As in `tuning`, with two development seeds and four rates to start with: a grid that grows while
    the best lies at its edge.
    """
    from bnlib.experiments import tuning

    wanted = untuned()
    found = tuning.tune(
        {name: (arm,) for name, (arm, _) in wanted.items()},
        partial(tuning.in_parallel, _scores),
        seeds=SEEDS,
        starts={name: sorted(places) for name, (_, places) in wanted.items()},
    )
    scores = {name: tuning.by_rate(by_place) for name, by_place in found.items()}
    SCORES.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(convnets.best(scores))


def _scores(arm, places, seed):
    """Validation accuracy at each of some places of the ladder."""
    from bnlib.experiments import tuning

    data = tuning.validation_data(seed)
    rated = [replace(arm, lr=tuning.rate(place)) for place in places]
    if isinstance(arm, Deep):
        return [train_deep(one, seed, data).test_accuracy for one in rated]
    return [convnets.train({"": one}, seed, data)[""].test_accuracy for one in rated]
