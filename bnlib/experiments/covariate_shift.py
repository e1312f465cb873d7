"""Internal covariate shift on trial: what one step does to later layers. C09, C21 and C40.

All networks have three hidden layers of 100 units and learn from batches of 50: ReLU at He's scale
for 20 epochs, sigmoid at Glorot's for 60. Each arm learns at its tuned rate, and again at a rate
that all arms share. Whether the shift explains the speed is asked in `noisy_batch_norm`.
"""

import copy
from dataclasses import replace

import numpy as np

from bnlib import functional
from bnlib.covariate_shift import (
    distribution_drift,
    gradient_shift,
    layer_interaction,
    signals,
    step,
)
from bnlib.experiments.arms import (
    Arm,
    cross_entropy,
    learning_rate,
    split,
    train,
)
from bnlib.experiments.contrasts import interaction, ratio
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training import PLAIN_ARMS, STANDING
from bnlib.verdicts import Rule

STARTS = {
    "relu": Arm(),
    "sigmoid": Arm(activation="sigmoid", scale="glorot", epochs=60),
}
SHARED = {"relu": 0.1, "sigmoid": 0.5}  # the rates of earlier looks at the question

# --- C09, C21, C40: one step, at equal loss -------------------------------------------------------

ONE_STEP = {
    f"{name} {kind} {how}": replace(start, lr=rate, **change)
    for name, start in STARTS.items()
    for how, rate in (("tuned", None), ("shared", SHARED[name]))
    for kind, change in STANDING.items()
}
LOSSES = (1.5, 1.0, 0.5, 0.3)  # nats; guessing has 2.3
WATCHED = (*range(41), *range(45, 101, 5), *range(120, 1201, 20))
BATCHES = 5
PROBE = 250  # training images on which signals and outputs are compared
# What a run counts as at a loss that it never reaches, or reaches only when it has diverged: a
# gradient turned round, a distribution carried ten of its spreads, losses that do not add up at
# all. The change of the outputs is then the largest there is.
WORST = {"distance": 100.0, "relative": 2.0, "cosine": -1.0, "drift": 10.0, "input drift": 10.0,
         "interaction": 1.0, "change": 1.0, "step": 1201.0}  # fmt: skip


def one_step(seed, draw, arms):
    """C09, C21, C40: what one step of gradient descent does to later layers, at equal loss.

    A moment is the first at which the loss of the whole training set, by its own batch statistics,
    lies below 1.5, 1, 0.5 or 0.3 (looked at after every step up to 40, then every 5, from 100 on
    every 20). There each arm takes the step of plain gradient descent at its own rate, on each
    of five batches of 50, the same for all arms. "relative": the change of a layer's weight
    gradient by the step of the layers below, over its length (Santurkar et al., 2018, definition
    2.1), geometric mean over layers and batches; "distance" the same in absolute length, "cosine"
    the mean cosine. "drift": how far the distribution of a hidden layer's weighted sums, before any
    norm, moves by the step of the layers below, in its own spread, over 250 training images;
    "input drift" the same for what the activation gets. "interaction": the loss change of all
    layers together minus the sum of those of each alone, in absolute value, over the sum of
    absolute changes, both summed over the batches. "change": the root mean square change of the
    softmax outputs, which is the measure of progress. Without further word a measure is the
    geometric mean over the four moments, "at each loss" one by one, and "per change" divided by
    the change of the outputs. A loss that is never reached counts as the worst.
    """
    chosen = {name: ONE_STEP[name] for name in arms}
    watching = {"observe": lambda network: network.state_dict(), "observe_at": WATCHED}
    runs = train(chosen, seed, split(seed, draw), evaluate="never", test=False, **watching)
    return {name: _summary(run, learning_rate(chosen[name]), seed) for name, run in runs.items()}


@np.errstate(all="ignore")
def _summary(run, lr, seed):
    """All measures of a run, at each loss and over all of them."""
    x, labels = run.data.x_train, run.data.y_train
    rng = np.random.default_rng([seed, 5])
    batches = [rng.choice(len(x), 50, replace=False) for _ in range(BATCHES)]
    found = []
    for moment, network in at_equal_loss(run):
        measured = network and what_a_step_does(network, x, labels, batches, lr)
        well = measured and np.isfinite(list(measured.values())).all()
        found.append({**measured, "step": moment} if well else WORST)
    by_loss = {name: np.array([one[name] for one in found]) for name in WORST}
    summary = {f"{name} at each loss": values for name, values in by_loss.items()}
    for name in ("distance", "relative", "drift", "input drift", "interaction", "change"):
        summary[name] = _geometric(by_loss[name])
        summary[f"{name} per change"] = _geometric(by_loss[name] / by_loss["change"])
    return {**summary, "reached": sum(one is not WORST for one in found)}


def at_equal_loss(run):
    """For each loss the first step after which the run lies below it, and the network then."""
    network = copy.deepcopy(run.network)
    moments: list[tuple] = []
    for moment, state in zip(WATCHED, run.history.observed, strict=False):
        network.load_state_dict(state)
        loss = cross_entropy(network, run.data.x_train, run.data.y_train)
        reached = sum(loss < target for target in LOSSES)
        moments += [(moment, copy.deepcopy(network))] * (reached - len(moments))
        if len(moments) == len(LOSSES):
            break
    return moments + [(0, None)] * (len(LOSSES) - len(moments))


def what_a_step_does(network, x, labels, batches, lr):
    """The measures of `one_step` at one moment, over some batches (rows of x)."""
    probe, shifts, drifts, inputs, changes, both = x[:PROBE], [], [], [], [], []
    here, outputs = signals(network, probe), _softmax(network, probe)
    for rows in batches:
        how = {"x": x[rows], "labels": labels[rows], "lr": lr}
        shifts += gradient_shift(network, **how)
        together, alone = layer_interaction(network, **how)
        both.append((abs(together - sum(alone)), np.abs(alone).sum()))
        changes.append(rms(_softmax(step(network, **how), probe) - outputs))
        for number in range(1, len(here)):
            there = signals(step(network, layers=range(number), **how), probe)[number]
            drifts.append(distribution_drift(here[number].sums, there.sums).whole)
            inputs.append(distribution_drift(here[number].inputs, there.inputs).whole)
    left_over, whole = np.sum(both, axis=0)
    return {
        "distance": _geometric([shift.distance for shift in shifts]),
        "relative": _geometric([shift.relative for shift in shifts]),
        "cosine": np.mean([shift.cosine for shift in shifts]),
        "drift": _geometric(drifts),
        "input drift": _geometric(inputs),
        "interaction": left_over / whole,
        "change": _geometric(changes),
    }


def _softmax(network, x):
    logits = copy.deepcopy(network).forward(x, training=True)
    _, (log_softmax, _) = functional.softmax_cross_entropy(logits, np.zeros(len(x), int))
    return np.exp(log_softmax)


def _geometric(values):
    return float(np.exp(np.mean(np.log(values))))


def rms(values):
    """Root mean square."""
    return np.sqrt(np.mean(np.square(values)))


def _less(plain, name, how, measure):
    """Batch norm has at most 0.8 times as much."""
    return ratio(f"{name} batch norm {how}", f"{name} {plain} {how}", measure, wanted="less")


def _all_less(measure, *, names=tuple(STARTS), how="tuned", plains=PLAIN_ARMS):
    return tuple(_less(plain, name, how, measure) for name in names for plain in plains)


def differs(pair, other, measure):
    """The first ratio is the larger one, by whatever: the interaction."""
    return interaction(pair, other, measure, smallest=1.0, scale="log")


def _pair(name, how):
    """The pair whose ratio is how much less batch norm has than its better rival."""
    return f"{name} standardized {how}", f"{name} batch norm {how}"


def _conditions(measure):
    """What may decide, listed beforehand: each with the contrast that says that it does."""
    conditions = {
        f"the activation is {word}": (
            *_all_less(measure, names=(name,)),
            differs(_pair(name, "tuned"), _pair(other, "tuned"), measure),
        )
        for word, name, other in (("ReLU", "relu", "sigmoid"), ("sigmoid", "sigmoid", "relu"))
    }
    conditions["all learn at one shared rate"] = (
        *_all_less(measure, how="shared"),
        *(differs(_pair(name, "shared"), _pair(name, "tuned"), measure) for name in STARTS),
    )
    conditions["the activation is ReLU and all learn at one shared rate"] = (
        *_all_less(measure, names=("relu",), how="shared"),
        differs(_pair("relu", "shared"), _pair("relu", "tuned"), measure),
    )
    conditions["the rival's inputs are not standardized"] = (
        *_all_less(measure, plains=("plain",)),
        *(
            ratio(f"{name} plain tuned", f"{name} standardized tuned", measure, smallest=1.0)
            for name in STARTS
        ),
    )
    return conditions


C09_SHIFT = Rule(
    claim="C09",
    part="batch norm reduces the shift",
    says=(
        "The relative change of a layer's gradient by the step of the layers below, at equal loss "
        "and with every arm at its own tuned rate: with batch norm at most 0.8 of that of either "
        "plain network, for ReLU and for sigmoid."
    ),
    needs=_all_less("relative"),
    when={
        **_conditions("relative"),
        "it is counted per change of the outputs": _all_less("relative per change"),
        "it is counted in absolute length": _all_less("distance"),
    },
)
C21 = Rule(
    claim="C21",
    says=(
        "How far the step of the layers below moves the distribution of a layer's weighted sums "
        "(before batch norm), in its own spread and per change of the outputs, at equal loss and "
        "tuned rates: with batch norm at most 0.8 of that of either plain network, for ReLU and "
        "for sigmoid."
    ),
    needs=_all_less("drift per change"),
    when={
        **_conditions("drift per change"),
        "it is counted per step": _all_less("drift"),
    },
)
C40 = Rule(
    claim="C40",
    says=(
        "The loss change when all layers step minus the sum of the changes when each steps alone, "
        "over the sum of the absolute changes, at equal loss and tuned rates: with batch norm at "
        "most 0.8 of that of either plain network, for ReLU and for sigmoid."
    ),
    needs=_all_less("interaction"),
    when={
        **_conditions("interaction"),
        "it is counted per change of the outputs": _all_less("interaction per change"),
    },
)

EXPERIMENTS = (
    Experiment(
        name="one_step", chapter="covariate_shift", measure=one_step, arms=tuple(ONE_STEP),
        rules=(C09_SHIFT, C21, C40), seeds=10,
    ),
)  # fmt: skip
