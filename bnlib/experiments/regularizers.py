"""Batch norm against regularizers that were made for it. Claims C04 and C24.

The noise of batch norm itself is in `regularization`.
"""

from dataclasses import replace
from typing import Any

from bnlib.experiments.arms import Arm, split
from bnlib.experiments.contrasts import POINT, difference, interaction, most
from bnlib.experiments.learning_rates import CHOSEN
from bnlib.experiments.regularization import (
    FEW,
    HOW,
    LABELS,
    SHARED,
    accuracies,
    at_the_rate_of,
    of_chapter,
    train_each_once,
)
from bnlib.experiments.training import PLAIN_ARMS, STANDING
from bnlib.verdicts import Contrast, Rule

# --- C04, first half: does it suppress overfitting? -----------------------------------------------

CONDITIONS = {
    f"{labels}, {how}": (wrong, rate)
    for labels, wrong in LABELS.items()
    for how, rate in HOW.items()
}


def by_heart(seed, draw, arms):
    """C04 (it suppresses overfitting): three networks that all know their training set by heart.

    Three hidden layers of ReLU units, 300 training images, batches of 50, SGD for 120 epochs, long
    enough to learn wrong labels too (a fifth). "tuned": each network at the rate that was chosen
    for it on clean labels and 60 epochs; a rate chosen on wrong labels would be one too small to
    learn them. "gain over": test accuracy with batch norm minus that of the plain network, with raw
    or with standardized inputs. "by heart" is 1 if all three end with 99 % of the labels that they
    were given.
    """
    wanted = {}
    for name in arms:
        wrong, rate = CONDITIONS[name]
        for kind, change in STANDING.items():
            tuned = replace(FEW, **change)
            arm = replace(tuned, epochs=120, lr=rate, **wrong)
            wanted[name, kind] = at_the_rate_of(arm, tuned)
    runs = train_each_once(wanted, seed, split(seed, draw))
    results = {}
    for name in arms:
        own = {kind: accuracies(runs[name, kind]) for kind in STANDING}
        test = {kind: each["test accuracy"] for kind, each in own.items()}
        results[name] = {
            "test accuracy": list(test.values()),
            "train accuracy": [each["train accuracy"] for each in own.values()],
            "by heart": int(all(each["by heart"] for each in own.values())),
            **{f"gain over {plain}": test["batch norm"] - test[plain] for plain in PLAIN_ARMS},
        }
    return results


def _fits_better(name, plain):
    return Contrast(f"gain over {plain}, {name}", f"gain over {plain}", {name: 1.0}, "more", POINT)


def _fits_better_and_known(*names):
    return (
        *(_fits_better(name, plain) for name in names for plain in PLAIN_ARMS),
        *(most(name, "by heart") for name in names),
    )


def _more_where(labels, other):
    """The gain over either rival is larger with one kind of labels than with the other."""
    weights = {f"{labels}, tuned": 1.0, f"{other}, tuned": -1.0}
    return tuple(
        Contrast(f"gain over {plain}, {labels} - {other}, tuned", f"gain over {plain}", weights,
                 "more", 0.0)
        for plain in PLAIN_ARMS
    )  # fmt: skip


C04_OVERFITTING = Rule(
    claim="C04",
    part="it suppresses overfitting",
    says=(
        "When all know their training labels by heart, test accuracy with batch norm is at least a "
        "point higher than without, for raw and for standardized inputs, on clean and on wrong "
        "labels, at one rate for all and at each network's tuned rate."
    ),
    needs=_fits_better_and_known(*CONDITIONS),
    when={
        f"the labels are {words}": (
            *_fits_better_and_known(*(f"{labels}, {how}" for how in HOW)),
            *_more_where(labels, other),
        )
        for labels, other, words in (
            ("clean", "wrong", "clean"),
            ("wrong", "clean", "partly wrong"),
        )
    },
)

# --- C04, second half, and C24: against regularizers made for it ----------------------------------

STRENGTHS: dict[str, list[dict[str, Any]]] = {
    "dropout": [{"dropout": rate} for rate in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)],
    "weight decay": [{"weight_decay": d} for d in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)],
    "early stopping": [{"epochs": epochs} for epochs in (2, 5, 10, 20, 40, 60)],
    "ghosts": [{"ghost": size} for size in (2, 5, 10, 25)],  # the dose of batch norm's own noise
    "nothing": [{}],
}
UNREGULARIZED = {
    f"{kind} {labels}": replace(FEW, **change, **wrong)
    for labels, wrong in LABELS.items()
    for kind, change in STANDING.items()
}
METHODS = ("dropout", "weight decay", "early stopping")
CONTENTS = {
    **{f"{kind} + dropout": ((kind, "dropout"),) for kind in PLAIN_ARMS},
    **{f"plain + {method}": (("plain", method),) for method in METHODS[1:]},
    **{f"batch norm + {method}": (("batch norm", method),) for method in METHODS},
    "batch norm + noise": (("batch norm", "nothing"), ("batch norm", "ghosts")),
    "best without batch norm": (
        *(("plain", method) for method in METHODS), ("standardized", "dropout"),
    ),
    "best with batch norm": tuple(("batch norm", method) for method in METHODS),
}  # fmt: skip


def family(contents, labels):
    """All strengths of some methods in some networks, by their descriptions."""
    members = [
        replace(UNREGULARIZED[f"{kind} {labels}"], **strength)
        for kind, method in contents
        for strength in STRENGTHS[method]
    ]
    return {arm.description: arm for arm in members}


# Of each family the member with the best validation accuracy is taken, each at its own tuned rate.
FAMILIES: dict[str, dict[str, Arm]] = {
    f"{name} {labels}": family(contents, labels)
    for labels in LABELS
    for name, contents in CONTENTS.items()
}


def chosen(name):
    """The member of a family that development seeds chose."""
    return FAMILIES[name][CHOSEN[name]]


DROPOUT = tuple(f"{kind} + dropout" for kind in STANDING)
AGAINST = tuple(
    f"{name} {labels} {how}"
    for how, names in (("tuned", (*STANDING, *CONTENTS)), ("at 0.1", (*STANDING, *DROPOUT)))
    for labels in LABELS
    for name in names
)


def regularizers(seed, draw, arms):
    """C04 (dropout is needed less), C24: batch norm against regularizers made for it.

    Three hidden layers of ReLU units, 300 training images, batches of 50, SGD, 60 epochs (fewer for
    early stopping); clean labels, or a fifth of them wrong. Each arm at the rate, and each
    regularizer at the strength, with the best accuracy on validation images of other seeds, whose
    labels are right: dropout 0.05 to 0.8, weight decay 0.001 to 0.3, 2 to 60 epochs, and, for batch
    norm's own noise, the statistics of 2, 5, 10, 25 or all 50 examples. A low rate may itself be a
    regularizer; every arm was offered it. "at 0.1": the same strengths, all at one rate. "best": of
    all dropout, decay and early stopping.
    """
    wanted = {}
    for name in arms:
        what = name.removesuffix(" tuned").removesuffix(" at 0.1")
        arm = UNREGULARIZED[what] if what in UNREGULARIZED else chosen(what)
        wanted[name] = arm if name.endswith("tuned") else replace(arm, lr=SHARED)
    runs = train_each_once(wanted, seed, split(seed, draw))
    return {name: accuracies(run) for name, run in runs.items()}


def _dropout_gains_less(plain, end):
    """What dropout gains without batch norm, minus what it gains with it."""
    pairs = [(f"{kind} + dropout {end}", f"{kind} {end}") for kind in (plain, "batch norm")]
    contrast = interaction(pairs[0], pairs[1], "test accuracy")
    return replace(contrast, name=f"dropout spared, {plain}, {end}")


def _replaces_dropout(plain, end):
    pair = f"batch norm {end}", f"{plain} + dropout {end}"
    return difference(*pair, "test accuracy", wanted="not less")


def _needed_less(*ends):
    return tuple(
        contrast(plain, end)
        for end in ends
        for plain in PLAIN_ARMS
        for contrast in (_dropout_gains_less, _replaces_dropout)
    )


def _even_less(plain, more, less):
    """The same interaction, more of it at one end than at the other."""
    weights: dict[str, float] = {}
    for end, sign in ((more, 1.0), (less, -1.0)):
        for arm, weight in _dropout_gains_less(plain, end).weights.items():
            weights[arm] = sign * weight
    name = f"dropout spared, {plain}, {more} - {less}"
    return Contrast(name, "test accuracy", weights, "more", 0.0)


C04_DROPOUT = Rule(
    claim="C04",
    part="dropout is needed less",
    says=(
        "Dropout gains less with batch norm than without (the interaction is above 0), and batch "
        "norm alone is at most a point worse than the network without it and its best dropout: for "
        "raw and for standardized inputs, on clean and on wrong labels, every rate and strength "
        "tuned."
    ),
    needs=_needed_less("clean tuned", "wrong tuned"),
    when={
        "the labels are clean": (
            *_needed_less("clean tuned"),
            *(_even_less(plain, "clean tuned", "wrong tuned") for plain in PLAIN_ARMS),
        ),
        "the labels are partly wrong": (
            *_needed_less("wrong tuned"),
            *(_even_less(plain, "wrong tuned", "clean tuned") for plain in PLAIN_ARMS),
        ),
        "all learn at one rate": (
            *_needed_less("clean at 0.1", "wrong at 0.1"),
            *(_even_less("standardized", f"{la} at 0.1", f"{la} tuned") for la in LABELS),
        ),
    },
)  # fmt: skip

NOISE = "batch norm + noise"  # batch norm with the dose of its own noise that suits best


def _no_loss(labels):
    pair = f"best without batch norm {labels} tuned", f"{NOISE} {labels} tuned"
    return difference(*pair, "test accuracy", wanted="not less")


def _less_loss(labels, other):
    pairs = [
        (f"best without batch norm {each} tuned", f"{NOISE} {each} tuned")
        for each in (labels, other)
    ]
    return interaction(pairs[0], pairs[1], "test accuracy")


def _a_gain(labels):
    pair = f"best with batch norm {labels} tuned", f"{NOISE} {labels} tuned"
    return difference(*pair, "test accuracy")


def _more_gain(labels, other):
    pairs = [
        (f"best with batch norm {each} tuned", f"{NOISE} {each} tuned") for each in (labels, other)
    ]
    return interaction(pairs[0], pairs[1], "test accuracy")


C24 = (
    Rule(
        claim="C24",
        part="who follows it loses nothing",
        says=(
            "Without batch norm, the best of dropout, weight decay and early stopping is at most a "
            "point worse than batch norm alone with the best dose of its own noise, on clean and "
            "on wrong labels, everything tuned."
        ),
        needs=tuple(map(_no_loss, LABELS)),
        when={
            "the labels are clean": (_no_loss("clean"), _less_loss("clean", "wrong")),
            "the labels are partly wrong": (_no_loss("wrong"), _less_loss("wrong", "clean")),
        },
    ),
    Rule(
        claim="C24",
        part="who does not loses something",
        says=(
            "A network with batch norm and the best of dropout, weight decay and early stopping is "
            "at least a point better than batch norm alone with the best dose of its own noise, on "
            "clean and on wrong labels, everything tuned."
        ),
        needs=tuple(map(_a_gain, LABELS)),
        when={
            "the labels are clean": (_a_gain("clean"), _more_gain("clean", "wrong")),
            "the labels are partly wrong": (_a_gain("wrong"), _more_gain("wrong", "clean")),
        },
    ),
)

EXPERIMENTS = (
    of_chapter(by_heart, CONDITIONS, rules=(C04_OVERFITTING,)),
    of_chapter(regularizers, AGAINST, rules=(C04_DROPOUT, *C24)),
)
