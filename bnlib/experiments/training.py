"""Does batch norm make learning faster, and over which initial scales? Claims C02, C03 and C36.

The other claims of the chapter are in `training_choices`.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from bnlib import training
from bnlib.experiments.arms import Arm, prepare, split, train
from bnlib.experiments.contrasts import difference, few, interaction, ratio
from bnlib.experiments.experiment import Experiment
from bnlib.verdicts import Rule

# The three standing arms. A batch norm standardizes the inputs for nothing; hence the second.
STANDING: dict[str, dict[str, Any]] = {
    "plain": {},
    "standardized": {"inputs": "standardized"},
    "batch norm": {"batch_norm": "before"},
}
PLAIN_ARMS = ("plain", "standardized")

# The network, batch and rate of the textbook's experiment that post 0 follows, and its eps.
POST = Arm(depth=5, batch_size=100, epochs=20, eps=1e-6)

# --- C02: faster? -------------------------------------------------------------------------------

RATES = {"at 0.01": 0.01, "tuned": None}  # the post's, and each arm's own
FASTER = {
    f"{name} {how}": replace(POST, lr=rate, **change)
    for how, rate in RATES.items()
    for name, change in STANDING.items()
}


def faster(seed, draw, arms):
    """C02: the post's network and setting, and the same at the best rate of each arm.

    Five hidden layers of 100 ReLU units at He's scale, batches of 100, SGD, 20 epochs. "at 0.01" is
    the post's learning rate; "tuned" the rate with the largest area under the curve of validation
    accuracy. "loss area" is the mean of the batch losses of all steps, in nats.
    """
    return areas({name: FASTER[name] for name in arms}, seed, split(seed, draw))


def areas(arms, seed, data):
    """What `faster` measures, of arms that take 200 steps."""
    runs = train(arms, seed, data, evaluate="each epoch")
    return {
        name: {
            "loss area": run.losses(200).mean(),
            "losses": run.losses(200).reshape(20, 10).mean(axis=1).tolist(),
            "train accuracy": run.train_accuracy,
            "test accuracy": run.test_accuracy,
        }
        for name, run in runs.items()
    }


def _faster_than(plain, rate):
    return ratio(f"{plain} {rate}", f"batch norm {rate}", "loss area")


def _standardizing_helps(rate):
    """Batch norm's gain over raw inputs exceeds that over standardized ones: the interaction."""
    return ratio(f"plain {rate}", f"standardized {rate}", "loss area", smallest=1.0)


def _tuning_matters(sign):
    """Batch norm's gain over standardized inputs differs between the two rates."""
    rates = tuple(RATES)[::sign]
    pairs = [(f"standardized {rate}", f"batch norm {rate}") for rate in rates]
    return interaction(pairs[0], pairs[1], "loss area", smallest=1.0, scale="log")


C02 = Rule(
    claim="C02",
    says=(
        "Area under the loss: at least a quarter more without batch norm, for raw and for "
        "standardized inputs, at the post's learning rate and with every arm at its own tuned rate."
    ),
    needs=tuple(_faster_than(plain, rate) for plain in PLAIN_ARMS for rate in RATES),
    when={
        "the rival's inputs are not standardized": (
            *(_faster_than("plain", rate) for rate in RATES),
            *(_standardizing_helps(rate) for rate in RATES),
        ),
        "every arm has its own tuned rate": (
            *(_faster_than(plain, "tuned") for plain in PLAIN_ARMS),
            _tuning_matters(-1),
        ),
        "all learn at the post's rate": (
            *(_faster_than(plain, "at 0.01") for plain in PLAIN_ARMS),
            _tuning_matters(1),
        ),
    },
)

# --- C03: sixteen scales ------------------------------------------------------------------------

SCALES = tuple(float(f"{scale:.3g}") for scale in np.logspace(0, -4, 16))
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "standardized": {"inputs": "standardized"},
    "batch norm": {"batch_norm": "before"},
    "batch norm, He output": {"batch_norm": "before", "output_scale": "he"},
}
SIXTEEN = {
    f"{kind} {scale:g}": replace(POST, lr=0.01, scale=scale, **change)
    for kind, change in KINDS.items()
    for scale in SCALES
}
LEARNS = 0.2  # training accuracy: twice that of guessing


def sixteen_scales(seed, draw, arms):
    """C03: the post's experiment, 16 standard deviations of the initial weights from 1 to 1e-4.

    Five hidden layers of 100 ReLU units, batches of 100, SGD at 0.01, 20 epochs, eps 1e-6 as in the
    post. All layers have the scale, as in the post; "He output" leaves the output layer at He's.
    Accuracy is read after each epoch with the statistics of the whole training set, so no running
    average lags behind. "area" is the mean over the epochs of the training accuracy; "learns" is 1
    if it ends above 0.2, twice guessing.
    """
    chosen = {name: SIXTEEN[name] for name in arms}
    runs = train(chosen, seed, split(seed, draw), evaluate="each epoch", test=False)
    return {
        name: {
            "area": float(accuracy_curve(run).mean()),
            "learns": int(run.train_accuracy > LEARNS),
            "train accuracy": accuracy_curve(run).tolist(),
        }
        for name, run in runs.items()
    }


def accuracy_curve(run):
    """Training accuracy after each of 20 epochs; guessing for those that a diverged run lacks."""
    curve = np.full(20, run.train_accuracy)
    measured = run.history.train_accuracy
    curve[: len(measured)] = measured
    return curve


def _faster_at(scale, kind):
    return difference(f"batch norm {scale:g}", f"{kind} {scale:g}", "area")


C03 = (
    Rule(
        claim="C03",
        part="faster",
        says=(
            "Area under the training accuracy, at the post's rate: batch norm at least a point "
            "more than the plain network, at 14 or more of the 16 scales."
        ),
        needs=tuple(_faster_at(scale, "plain") for scale in SCALES),
        at_least=14,
    ),
    Rule(
        claim="C03",
        part="faster than with standardized inputs",
        says="The same against the plain network with standardized inputs.",
        needs=tuple(_faster_at(scale, "standardized") for scale in SCALES),
        at_least=14,
    ),
    Rule(
        claim="C03",
        part="some scales do not learn without it",
        says=(
            "At the largest and at the smallest of the scales the plain network stays below twice "
            "the accuracy of guessing in most seeds."
        ),
        needs=tuple(few(f"plain {scale:g}", "learns") for scale in (SCALES[0], SCALES[-1])),
    ),
    Rule(
        claim="C03",
        part="little depends on the scale",
        says=(
            "Batch norm's own area at the largest and at the smallest scale lies within ten points "
            "of that at the scale nearest to He's."
        ),
        needs=tuple(
            difference(f"batch norm {SCALES[3]:g}", f"batch norm {scale:g}", "area",
                       smallest=0.1, wanted="same")
            for scale in (SCALES[0], SCALES[-1])
        ),
    ),
)  # fmt: skip

# --- the largest learning rate: no claim, exploratory ---------------------------------------------

MANY_RATES = tuple(float(f"{0.01 * 2.0**k:.3g}") for k in range(13))  # 0.01 to 41


def largest_rate(seed, draw, arms):
    """Exploratory: the largest learning rate at which a network trains, for each arm.

    Three hidden layers of 100 ReLU units, batches of 50, SGD, 20 epochs, the rates 0.01 to 41 in
    steps of a factor 2. It trains if more than 95 % of the training set is right in the end.
    """
    data = split(seed, draw)
    results = {}
    for name in arms:
        rates = {str(rate): Arm(lr=rate, **STANDING[name]) for rate in MANY_RATES}
        accuracies = [run.train_accuracy for run in train(rates, seed, data, test=False).values()]
        trained = [rate for rate, a in zip(MANY_RATES, accuracies, strict=True) if a > 0.95]
        results[name] = {
            "largest rate": max(trained, default=MANY_RATES[0] / 2),
            "train accuracy at each rate": accuracies,
        }
    return results


# --- C36: a steadier curve? ---------------------------------------------------------------------

READY = 0.9  # test accuracy from which on the curve is judged, in every arm
WINDOW = 15  # epochs
STABILITY = {
    f"{name} {how}": replace(start, **change)
    for how, start in (
        ("at 0.01", replace(POST, epochs=60, lr=0.01)),
        ("tuned", Arm(epochs=40)),
    )
    for name, change in STANDING.items()
}
LEAST = 1e-4  # a curve that does not move at all counts as moving by this


def stability(seed, draw, arms):
    """C36: how much test accuracy changes from one epoch to the next, at matched accuracy.

    "at 0.01": the post's network and rate (five hidden layers, batches of 100), for 60 epochs.
    "tuned": three hidden layers, batches of 50, each arm at its own rate, 40 epochs. The measure,
    fixed beforehand: the standard deviation of 15 epoch-to-epoch changes of test accuracy, from the
    epoch on that first reaches 0.9 (the last 15 if none does in time), so that no arm is judged
    while still learning to walk. "wobble" reads by running averages, as practice does; "wobble,
    population" by the exact statistics of the training set.
    """
    data = split(seed, draw)
    results = {}
    for name in arms:
        own = prepare(STABILITY[name], data, seed)

        def read(network, own=own):
            return float(training.accuracy(network, own.x_test, own.y_test))

        runs = train({name: STABILITY[name]}, seed, data, evaluate="each epoch", observe=read)
        history = runs[name].history
        results[name] = {"test accuracy": runs[name].test_accuracy}
        for how, curve in (("", history.observed), (", population", history.test_accuracy)):
            window = judged(np.array(curve))
            results[name][f"wobble{how}"] = max(float(np.diff(window).std(ddof=1)), LEAST)
            results[name][f"mean accuracy{how}"] = float(window.mean())
    return results


def judged(curve):
    """The window of a curve that C36 looks at."""
    ready = np.flatnonzero(curve >= READY)
    start = ready[0] if len(ready) else len(curve)
    start = min(start, len(curve) - WINDOW - 1)
    return curve[start : start + WINDOW + 1]


def _steadier(plain, rate, measure="wobble"):
    return ratio(f"{plain} {rate}", f"batch norm {rate}", measure)


C36 = Rule(
    claim="C36",
    says=(
        "The standard deviation of the epoch-to-epoch change of test accuracy, over 15 epochs from "
        "the first at 90 %: at least a quarter more without batch norm, for raw and for "
        "standardized inputs, at the post's rate and at each arm's tuned rate."
    ),
    needs=tuple(_steadier(plain, rate) for plain in PLAIN_ARMS for rate in RATES),
    when={
        "read with exact statistics": tuple(
            _steadier(plain, rate, "wobble, population") for plain in PLAIN_ARMS for rate in RATES
        ),
        "every arm has its own tuned rate": tuple(
            _steadier(plain, "tuned") for plain in PLAIN_ARMS
        ),
        "all learn at the post's rate": tuple(_steadier(plain, "at 0.01") for plain in PLAIN_ARMS),
    },
)

EXPERIMENTS = (
    Experiment(
        name="faster", chapter="training", measure=faster, arms=tuple(FASTER), rules=(C02,)
    ),
    Experiment(
        name="sixteen_scales",
        chapter="training",
        measure=sixteen_scales,
        arms=tuple(SIXTEEN),
        rules=C03,
        seeds=10,
    ),
    Experiment(
        name="largest_rate", chapter="training", measure=largest_rate, arms=tuple(STANDING),
        seeds=5,
    ),
    Experiment(
        name="stability", chapter="training", measure=stability, arms=tuple(STABILITY),
        rules=(C36,),
    ),
)  # fmt: skip
