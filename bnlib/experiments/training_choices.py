"""Activation, depth, placement, optimizer, gamma and beta: C06, C18, C30, C31, C34 and C42."""

from dataclasses import replace
from typing import Any

import numpy as np

from bnlib import layers
from bnlib.experiments.arms import Arm, pre_activations, split, steps_to, train
from bnlib.experiments.contrasts import difference, interaction, most, ratio
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training import PLAIN_ARMS, STANDING
from bnlib.verdicts import Contrast, Rule

# A long budget for the sigmoid, which learns slowly: else "plain fails" means "not started yet".
BASES = {"relu": Arm("relu", epochs=20), "sigmoid": Arm("sigmoid", scale="glorot", epochs=60)}
DEPTHS = (3, 5, 8)
TRAINED = 0.9  # of the training set

# --- C30 and C31: two activations, three depths ---------------------------------------------------

ACTIVATIONS = {
    f"{activation} {depth} {name}": replace(base, depth=depth, **change)
    for activation, base in BASES.items()
    for depth in DEPTHS
    for name, change in STANDING.items()
} | {
    f"sigmoid {depth} plain, weights x 4": replace(BASES["sigmoid"], depth=depth, factor=4.0)
    for depth in (5, 8)
}


def activations(seed, draw, arms):
    """C30, C31 (a): ReLU and sigmoid, 3, 5 and 8 hidden layers of 100, every arm at its own rate.

    Batches of 50, SGD; ReLU with He's weights for 20 epochs, sigmoid with Glorot's for 60. "weights
    x 4": a plain sigmoid network with initial weights four times as large, a cure without batch
    norm. "trains" is 1 if more than 90 % of the training set is right in the end.
    """
    runs = train({name: ACTIVATIONS[name] for name in arms}, seed, split(seed, draw))
    return {
        name: {
            "test accuracy": run.test_accuracy,
            "train accuracy": run.train_accuracy,
            "trains": int(run.train_accuracy > TRAINED),
        }
        for name, run in runs.items()
    }


def _gain(activation, depth, plain, wanted):
    start = f"{activation} {depth}"
    return difference(f"{start} batch norm", f"{start} {plain}", "test accuracy", wanted=wanted)


def _gain_grows(activation, plain):
    pairs = [(f"{activation} {d} batch norm", f"{activation} {d} {plain}") for d in (5, 3)]
    return interaction(pairs[0], pairs[1], "test accuracy")


C30 = Rule(
    claim="C30",
    says=(
        "With ReLU and 3 or 5 hidden layers, test accuracy with batch norm lies within a point of "
        "that without, for raw and for standardized inputs, every arm at its tuned rate."
    ),
    needs=tuple(_gain("relu", depth, plain, "same") for depth in (3, 5) for plain in PLAIN_ARMS),
    when={
        "the network is shallow (3 hidden layers)": (
            *(_gain("relu", 3, plain, "same") for plain in PLAIN_ARMS),
            *(_gain_grows("relu", plain) for plain in PLAIN_ARMS),
        )
    },
)
C31 = Rule(
    claim="C31",
    part="a clear difference",
    says=(
        "With sigmoid and 3 or 5 hidden layers, test accuracy with batch norm is at least a point "
        "higher than without, for raw and for standardized inputs, every arm at its tuned rate and "
        "given 60 epochs."
    ),
    needs=tuple(_gain("sigmoid", d, plain, "more") for d in (3, 5) for plain in PLAIN_ARMS),
    when={
        "the network is deeper (5 hidden layers)": (
            *(_gain("sigmoid", 5, plain, "more") for plain in PLAIN_ARMS),
            *(_gain_grows("sigmoid", plain) for plain in PLAIN_ARMS),
        ),
        "the rival's inputs are raw": (
            *(_gain("sigmoid", depth, "plain", "more") for depth in (3, 5)),
            *(
                difference(
                    f"sigmoid {d} standardized", f"sigmoid {d} plain", "test accuracy", smallest=0.0
                )
                for d in (3, 5)
            ),
        ),
    },
)

VALUES = {
    "batch norm": replace(BASES["sigmoid"], batch_norm="before"),
    "plain": BASES["sigmoid"],
    "plain at 2": replace(BASES["sigmoid"], lr=2.0),
    "batch norm at 2": replace(BASES["sigmoid"], batch_norm="before", lr=2.0),
}


def values_over_time(seed, draw, arms):
    """C31 (b): the mean input of the last hidden sigmoid, after each of 60 epochs.

    Three hidden layers. "last layer" can mean that, or the ten outputs; the post does not say with
    or without batch norm, nor at which rate. "first" is after one epoch, "last" after 60; what is
    averaged are all 100 units and 200 training digits.
    """
    data, results = split(seed, draw), {}

    def middle(network):
        x = data.x_train[:200]
        last_hidden = pre_activations(network, x)[-1].mean()
        return float(last_hidden), float(np.mean(network.forward(x, training=False)))

    for name in arms:
        run = train({name: VALUES[name]}, seed, data, observe=middle)[name]
        hidden, outputs = np.array(run.history.observed).T
        results[name] = {
            "first": hidden[0],
            "last": hidden[-1],
            "rise": hidden[-1] - hidden[0],
            "values": hidden.tolist(),
            "outputs": outputs.tolist(),
        }
    return results


def _starts_low(arm):
    return Contrast(f"first: {arm}, below 0", "first", {arm: 1.0}, "less", 2.5)


def _rises(arm):
    """The value rises by at least 1: toward 0, since it starts below."""
    return Contrast(f"rise from first to last: {arm}", "rise", {arm: 1.0}, "more", 1.0)


C31_VALUES = Rule(
    claim="C31",
    part="the values",
    says=(
        "The mean input of the last hidden sigmoid of a network with batch norm at its tuned rate "
        "is at most -2.5 after one epoch (half of the post's -5) and at least 1 higher after 60. "
        "Other readings: without batch norm, at the tuned rate or at the rate 2."
    ),
    needs=(_starts_low("batch norm"), _rises("batch norm")),
    when={
        "there is no batch norm": (_starts_low("plain"), _rises("plain")),
        "there is no batch norm and the rate is 2": (
            _starts_low("plain at 2"), _rises("plain at 2"),
        ),
        "the rate is 2": (_starts_low("batch norm at 2"), _rises("batch norm at 2")),
    },
)  # fmt: skip

# --- C06: before or after the activation ----------------------------------------------------------


PLACES = {
    f"{activation} {depth} {where}": replace(base, depth=depth, batch_norm=where)
    for activation, base in BASES.items()
    for depth in (3, 5)
    for where in ("before", "after")
}


def placement(seed, draw, arms):
    """C06: batch norm before or after the activation, 3 and 5 hidden layers, tuned rates.

    Otherwise as in `activations`: batches of 50, ReLU for 20 epochs, sigmoid for 60.
    """
    runs = train({name: PLACES[name] for name in arms}, seed, split(seed, draw))
    return {name: {"test accuracy": run.test_accuracy} for name, run in runs.items()}


_STARTS = tuple(f"{activation} {depth}" for activation in BASES for depth in (3, 5))


def _same_place(start):
    return difference(f"{start} after", f"{start} before", "test accuracy", wanted="same")


C06 = Rule(
    claim="C06",
    says=(
        "Test accuracy with batch norm after the activation minus that with batch norm before it "
        "lies within a point, for ReLU and sigmoid, 3 and 5 hidden layers, each at its tuned rate."
    ),
    part="the places are equivalent",
    needs=tuple(_same_place(start) for start in _STARTS),
    when={"the activation is ReLU": tuple(_same_place(start) for start in _STARTS[:2])},
)

# --- C18: three optimizers ----------------------------------------------------------------------

METHODS = ("SGD", "RMSprop", "Adam")
OPTIMIZERS = {
    f"{method} {how}": replace(
        BASES["relu"], batch_norm="before", optimizer=method, learned=learned
    )
    for method in METHODS
    for how, learned in (("learned", "gamma, beta"), ("frozen", "nothing"))
}
TARGET = 0.1  # nats, mean of 20 batches


def optimizers(seed, draw, arms):
    """C18: gamma and beta learned or frozen at 1 and 0, by three optimizers, each tuned.

    Three hidden layers of ReLU units, batches of 50, 20 epochs. "steps": until the mean loss of 20
    batches is below 0.1 nats. "moved": mean distance of gamma from 1 in the end. "reaches": more
    than 95 % of the training set right in the end.
    """
    runs = train({name: OPTIMIZERS[name] for name in arms}, seed, split(seed, draw))
    return {
        name: {
            "steps": steps_to(TARGET, run.losses(400)),
            "moved": float(np.mean([abs(gamma - 1).mean() for gamma in gammas(run.network)])),
            "reaches": int(run.train_accuracy > 0.95),
            "test accuracy": run.test_accuracy,
        }
        for name, run in runs.items()
    }


def gammas(network):
    """The scales of all batch norms of a network."""
    return [
        layer.params["weight"] for layer in network.layers if isinstance(layer, layers.BatchNorm)
    ]


C18 = Rule(
    claim="C18",
    says=(
        "With SGD, RMSprop and Adam, each tuned: most seeds reach 95 % of the training set, gamma "
        "moves from 1 by at least 1e-2 on average, and the loss reaches its target in at most a "
        "quarter more steps than with gamma and beta frozen."
    ),
    needs=tuple(
        contrast
        for method in METHODS
        for contrast in (
            most(f"{method} learned", "reaches"),
            Contrast(f"moved: {method}", "moved", {f"{method} learned": 1.0}, "more", 0.01),
            ratio(f"{method} learned", f"{method} frozen", "steps", wanted="not more"),
        )
    ),
)

# --- C34 and C42: learned or fixed ----------------------------------------------------------------

FIXED = {
    "fixed at 0.5, 0": {"gamma": 0.5},
    "fixed at 2, 0": {"gamma": 2.0},
    "fixed at 1, 1": {"beta": 1.0},
    "fixed at 1, -1": {"beta": -1.0},
}
HOW: dict[str, dict[str, Any]] = {
    "learned": {},
    "gamma learned": {"learned": "gamma"},
    "beta learned": {"learned": "beta"},
    "fixed at 1, 0": {"learned": "nothing"},
    **{name: {"learned": "nothing", **values} for name, values in FIXED.items()},
}
GAMMA_AND_BETA = {
    f"{activation} {name}": replace(base, batch_norm="before", **change)
    for activation, base in BASES.items()
    for name, change in HOW.items()
}


def gamma_and_beta(seed, draw, arms):
    """C34, C42: gamma and beta learned, or fixed at five pairs of values, each arm tuned.

    Three hidden layers, batch norm before the activation, batches of 50, SGD; ReLU for 20 epochs,
    sigmoid for 60.
    """
    runs = train({name: GAMMA_AND_BETA[name] for name in arms}, seed, split(seed, draw))
    return {name: {"test accuracy": run.test_accuracy} for name, run in runs.items()}


def _learned_gains(activation):
    pair = f"{activation} learned", f"{activation} fixed at 1, 0"
    return difference(*pair, "test accuracy")


def _learned_at_least(activation, name):
    pair = f"{activation} learned", f"{activation} {name}"
    return difference(*pair, "test accuracy", wanted="not less")


_OPTIMAL = {a: tuple(_learned_at_least(a, name) for name in FIXED) for a in BASES}


def _more_in(activation, other):
    pairs = [(f"{a} learned", f"{a} fixed at 1, 0") for a in (activation, other)]
    return interaction(pairs[0], pairs[1], "test accuracy")


C34 = Rule(
    claim="C34",
    says=(
        "Test accuracy with learned gamma and beta is at least a point higher than with mean 0 and "
        "variance 1 fixed, for ReLU and for sigmoid, and at most a point lower than with any of "
        "four other fixed pairs (the optimum is found)."
    ),
    needs=(*map(_learned_gains, BASES), *_OPTIMAL["relu"], *_OPTIMAL["sigmoid"]),
    when={
        "the activation is ReLU": (
            _learned_gains("relu"), *_OPTIMAL["relu"], _more_in("relu", "sigmoid"),
        ),
        "the activation is sigmoid": (
            _learned_gains("sigmoid"), *_OPTIMAL["sigmoid"], _more_in("sigmoid", "relu"),
        ),
    },
)  # fmt: skip
C42 = Rule(
    claim="C42",
    says=(
        "Test accuracy with learned gamma and beta is at least a point higher than with gamma 1 "
        "and beta 0 fixed, for ReLU and for sigmoid, each tuned."
    ),
    needs=tuple(map(_learned_gains, BASES)),
    when={
        "the activation is ReLU": (_learned_gains("relu"), _more_in("relu", "sigmoid")),
        "the activation is sigmoid": (_learned_gains("sigmoid"), _more_in("sigmoid", "relu")),
    },
)

EXPERIMENTS = (
    Experiment(
        name="activations",
        chapter="training",
        measure=activations,
        arms=tuple(ACTIVATIONS),
        rules=(C30, C31),
    ),
    Experiment(
        name="values_over_time", chapter="training", measure=values_over_time, arms=tuple(VALUES),
        rules=(C31_VALUES,), seeds=10,
    ),
    Experiment(
        name="placement",
        chapter="training",
        measure=placement,
        arms=tuple(PLACES),
        rules=(C06,),
    ),
    Experiment(
        name="optimizers",
        chapter="training",
        measure=optimizers,
        arms=tuple(OPTIMIZERS),
        rules=(C18,),
    ),
    Experiment(
        name="gamma_and_beta",
        chapter="training",
        measure=gamma_and_beta,
        arms=tuple(GAMMA_AND_BETA),
        rules=(C34, C42),
    ),
)  # fmt: skip
