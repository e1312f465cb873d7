"""What batch norm does to a signal: claims C14, C27 and C44."""

from dataclasses import replace
from typing import Any

import numpy as np

from bnlib.experiments.arms import Arm, pre_activations, split, train
from bnlib.experiments.contrasts import difference, few, interaction, most, ratio
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training import PLAIN_ARMS, STANDING
from bnlib.experiments.training_choices import BASES
from bnlib.verdicts import Rule

# --- C14: is a normalized sigmoid a straight line? ------------------------------------------------

STRAIGHT = 0.95  # share of the sigmoid's variance that a line explains


SIGMOIDS = {
    f"{where} {how}": replace(BASES["sigmoid"], batch_norm=where, learned=learned)
    for where in ("before", "after")
    for how, learned in (("frozen", "nothing"), ("learned", "gamma, beta"))
}


def straight_sigmoid(seed, draw, arms):
    """C14: how much of what a hidden sigmoid does a straight line explains, in trained networks.

    Three hidden layers of sigmoids, batches of 50, SGD at each arm's tuned rate, 60 epochs. Batch
    norm before the sigmoid (the paper's reading) or after it (the post's), with gamma and beta
    frozen at 1 and 0 or learned. "line explains" is the squared correlation of a unit's input with
    its output over the training set, averaged over units and layers; "bends" is 1 minus that;
    "straight" is 1 if a line explains more than 95 %.
    """
    runs = train({name: SIGMOIDS[name] for name in arms}, seed, split(seed, draw))
    results = {}
    for name, run in runs.items():
        explained = np.mean(
            [line_explains(z) for z in pre_activations(run.network, run.data.x_train)]
        )
        results[name] = {
            "line explains": float(explained),
            "bends": float(1 - explained),
            "straight": int(explained > STRAIGHT),
            "test accuracy": run.test_accuracy,
        }
    return results


def line_explains(z):
    """Squared correlation of each column with its sigmoid, averaged; a constant column counts 1."""
    outputs = 1 / (1 + np.exp(-z))
    a, b = z - z.mean(axis=0), outputs - outputs.mean(axis=0)
    spread = (a * a).sum(axis=0) * (b * b).sum(axis=0)
    squared = np.divide(
        (a * b).sum(axis=0) ** 2, spread, out=np.ones_like(spread), where=spread > 0
    )
    return squared.mean()


def _pinned(where):
    return most(f"{where} frozen", "straight")


def _bends_back(where):
    return ratio(f"{where} learned", f"{where} frozen", "bends")


C14 = tuple(
    Rule(
        claim="C14",
        part=part,
        says=(
            f"Batch norm {where} the sigmoid: with gamma 1 and beta 0 a line explains more than "
            "95 % of the sigmoids' variance in most trained networks; with learned gamma and beta "
            "at least a quarter more is left unexplained."
        ),
        needs=(_pinned(where), _bends_back(where)),
    )
    for where, part in (("after", "the output normalized"), ("before", "the input normalized"))
)
C14_HARM = Rule(
    claim="C14",
    part="pinning costs accuracy",
    says=(
        "Batch norm before the sigmoid: test accuracy with learned gamma and beta is at least a "
        "point higher than with frozen ones."
    ),
    needs=(difference("before learned", "before frozen", "test accuracy"),),
)

# --- C27: does the data pile up on one side? ------------------------------------------------------


FIVE_LAYERS = {
    f"{activation} {name}": replace(base, depth=5, **change)
    for activation, base in BASES.items()
    for name, change in STANDING.items()
}


def one_sidedness(seed, draw, arms):
    """C27: how one-sided the inputs of hidden activations are, before and after training.

    Five hidden layers, batches of 50, SGD at each arm's tuned rate; ReLU 20 epochs, sigmoid 60. The
    one-sidedness of a unit is |share above 0 - share below 0| over the training set: 0 if half of
    its inputs lie on each side, 1 if all lie on one. Averaged over units and layers.
    """
    runs = train({name: FIVE_LAYERS[name] for name in arms}, seed, split(seed, draw))
    return {
        name: {
            "one-sidedness": tilt(pre_activations(run.network, run.data.x_train)),
            "one-sided units": alone(pre_activations(run.network, run.data.x_train)),
            "test accuracy": run.test_accuracy,
        }
        for name, run in runs.items()
    }


def tilt(values):
    """The mean one-sidedness of the columns of each array."""
    return float(np.mean([abs(2 * (z > 0).mean(axis=0) - 1) for z in values]))


def alone(values):
    """The share of columns that lie on one side altogether."""
    return float(np.mean([(z > 0).all(axis=0) | (z <= 0).all(axis=0) for z in values]))


def _less_tilted(activation, plain):
    return ratio(f"{activation} {plain}", f"{activation} batch norm", "one-sidedness")


C27 = Rule(
    claim="C27",
    says=(
        "After training, the inputs of the activations are at least a quarter more one-sided "
        "without batch norm, for raw and for standardized inputs, ReLU and sigmoid, each tuned."
    ),
    needs=tuple(_less_tilted(a, plain) for a in BASES for plain in PLAIN_ARMS),
    when={
        f"the activation is {name}": (
            *(_less_tilted(a, plain) for plain in PLAIN_ARMS),
            *(
                interaction(
                    (f"{a} {plain}", f"{a} batch norm"), (f"{b} {plain}", f"{b} batch norm"),
                    "one-sidedness", smallest=1.0, scale="log",
                )
                for plain in PLAIN_ARMS
            ),
        )
        for a, b, name in (("relu", "sigmoid", "ReLU"), ("sigmoid", "relu", "sigmoid"))
    },
)  # fmt: skip

# --- C44: weights that start at zero --------------------------------------------------------------

STARTS: dict[str, dict[str, Any]] = {
    "zero": {"factor": 0.0},
    "equal": {"equal": 0.1},
    "tiny": {"factor": 1e-8},
    "small": {"factor": 1e-2},
    "He": {},
}
START_RATES = (0.03, 0.1, 0.3, 1.0, 3.0)


def zero_weights(seed, draw, arms):
    """C44: initial weights 0, 0.1, 1e-8 or 1e-2 times He's, or He's, with and without batch norm.

    Three hidden layers of ReLU units, batches of 50, 20 epochs, at five learning rates from 0.03 to
    3, of which the best counts: a start fails only if it fails at all of them. "trains" is 1 if
    more than 90 % of the training set is right in the end.
    """
    data = split(seed, draw)
    results = {}
    for name in arms:
        kind, start = name.split(", ")
        rates = {str(rate): Arm(lr=rate, **STANDING[kind], **STARTS[start]) for rate in START_RATES}
        best = max(run.train_accuracy for run in train(rates, seed, data, test=False).values())
        results[name] = {"train accuracy": best, "trains": int(best > 0.9)}
    return results


C44 = (
    Rule(
        claim="C44",
        part="zero",
        says=(
            "From weights that are all 0 most seeds fail at every rate (90 % of the training set), "
            "with and without batch norm; from He's most train at some rate."
        ),
        needs=(
            *(few(f"{kind}, zero", "trains") for kind in ("plain", "batch norm")),
            *(most(f"{kind}, He", "trains") for kind in ("plain", "batch norm")),
        ),
    ),
    Rule(
        claim="C44",
        part="batch norm rescues tiny weights",
        says=(
            "From weights 1e-8 times He's most seeds train with batch norm at some rate, and "
            "without it at none. Condition listed beforehand: weights 1e-2 times He's."
        ),
        needs=(most("batch norm, tiny", "trains"), few("plain, tiny", "trains")),
        when={
            "they are small, not tiny": (
                most("batch norm, small", "trains"), few("plain, small", "trains"),
            )
        },
    ),
)  # fmt: skip

EXPERIMENTS = (
    Experiment(
        name="straight_sigmoid",
        chapter="forward_pass",
        measure=straight_sigmoid,
        arms=tuple(SIGMOIDS),
        rules=(*C14, C14_HARM),
    ),
    Experiment(
        name="one_sidedness",
        chapter="forward_pass",
        measure=one_sidedness,
        arms=tuple(FIVE_LAYERS),
        rules=(C27,),
        seeds=10,
    ),
    Experiment(
        name="zero_weights",
        chapter="forward_pass",
        measure=zero_weights,
        arms=tuple(f"{kind}, {start}" for kind in ("plain", "batch norm") for start in STARTS),
        rules=C44,
        seeds=10,
    ),
)
