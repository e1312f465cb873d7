"""Does the shift explain the speed of batch norm? Noise that moves the distributions again: C09.

The networks are those of `covariate_shift`, which has the other claims of the chapter.
"""

from dataclasses import replace

import numpy as np

from bnlib.covariate_shift import distribution_drift, signals
from bnlib.experiments.arms import learning_rate, prepare, split, steps_to, train
from bnlib.experiments.contrasts import QUARTER, ratio
from bnlib.experiments.covariate_shift import ONE_STEP, PROBE, SHARED, STARTS, differs, rms
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training import PLAIN_ARMS
from bnlib.verdicts import Contrast, Rule

OWN = "at batch norm's rate"  # its tuned one, so that nothing but the noise is different
MOVING, STILL = "moving noise", "still noise"
TARGET = 0.5  # nats, of the mean of 20 batch losses
SLOWER = 1.15  # in steps
LOOKS = (*range(0, 100, 5), *range(100, 1200, 20))  # steps at which the movement is measured
FAR = 100.0  # spreads: what a movement without bounds counts as


def _noisy(name, start):
    """The arms with noise: the moving one at three rates, the still one for comparison at two."""
    normed = replace(start, batch_norm="before")
    moving, still = (replace(normed, noise=how) for how in ("per unit", "per example"))
    arms = {f"{name} {MOVING} tuned": moving}
    for how, rate in (("shared", SHARED[name]), (OWN, learning_rate(normed))):
        arms[f"{name} {MOVING} {how}"] = replace(moving, lr=rate)
        arms[f"{name} {STILL} {how}"] = replace(still, lr=rate)
    return arms


NOISY = ONE_STEP | _noisy("relu", STARTS["relu"]) | _noisy("sigmoid", STARTS["sigmoid"])


def noisy(seed, draw, arms):
    """C09: batch norm, and noise behind it that moves the distributions again (an intervention).

    Moving noise: behind every batch norm each unit is scaled and shifted by random numbers, the
    same for all examples and new in every step (Santurkar et al., 2018). Still noise: new for each
    example too, so that the values are as noisy and the distribution stays where it is. "steps"
    to a loss of 0.5 (the mean of the last 20 batches; the noise counts), one more than all if it is
    never reached. "movement": how far, from one step to the next, the distribution moves that the
    activations of the second and third hidden layer get, noise included, in its own spread over
    250 training images; root mean square over every fifth of the first 100 steps and every 20th of
    the others, until the loss is reached. "movements" has them one by one, and "losses" the means
    of each epoch's batch losses.
    """
    data, results = split(seed, draw), {}
    looks = {step for look in LOOKS for step in (look, look + 1)}
    for name in arms:
        arm = NOISY[name]
        watch = Movement(prepare(arm, data, seed).x_train[:PROBE])
        run = train({name: arm}, seed, data, observe=watch, observe_at=looks)[name]
        losses = run.losses(arm.epochs * (len(run.data.x_train) // arm.batch_size))
        steps = steps_to(TARGET, losses)
        looked = np.array([look for look in LOOKS if look < len(losses)])
        moved = np.full(len(looked), FAR)  # after a divergence there is no telling
        moved[: len(watch.found)] = np.fmin(watch.found, FAR)
        results[name] = {
            "steps": steps,
            "movement": rms(moved[looked < steps]),
            "movements": moved,
            "losses": losses.reshape(arm.epochs, -1).mean(axis=1),
            "test accuracy": run.test_accuracy,
        }
    return results


class Movement:
    """Notes how far distributions move from the first to the second of every two looks."""

    def __init__(self, probe):
        self.probe, self.found, self._before = probe, [], None

    @np.errstate(all="ignore")
    def __call__(self, network):
        """Look at a network between two steps; the noise is that of the next step."""
        inputs = np.hstack([layer.inputs for layer in signals(network, self.probe)[1:]])
        if self._before is None:
            self._before = inputs
        else:
            self.found.append(distribution_drift(self._before, inputs).whole)
            self._before = None


def _slower(name, how, other):
    """Moving noise takes more steps than another arm."""
    return ratio(f"{name} {MOVING} {how}", f"{name} {other}", "steps", smallest=SLOWER)


def _half_lost(name, how):
    """Moving noise takes back half of the ratio by which batch norm beats its better rival."""
    rivals = {f"{name} batch norm {how}": -0.5, f"{name} standardized {how}": -0.5}
    weights = {f"{name} {MOVING} {how}": 1.0, **rivals}
    return Contrast(f"half of it lost, {name} {how}", "steps", weights, "more", 1.0, "log")


def _explains(name, how="tuned"):
    """The moving noise slows learning, the still one does not, and half of the gain is lost."""
    one_rate = OWN if how == "tuned" else how
    return (
        *(_slower(name, rate, f"batch norm {how}") for rate in dict.fromkeys((one_rate, how))),
        _slower(name, one_rate, f"{STILL} {one_rate}"),
        _half_lost(name, how),
    )


def _moves(name, how="tuned"):
    """The noise has moved the distributions: more than without batch norm, and than still noise."""
    one_rate = OWN if how == "tuned" else how
    over = {f"{kind} {how}": 1.0 for kind in PLAIN_ARMS} | {f"batch norm {how}": QUARTER}
    found = [
        ratio(f"{name} {MOVING} {how}", f"{name} {other}", "movement", smallest=smallest)
        for other, smallest in over.items()
    ]
    still = ratio(f"{name} {MOVING} {one_rate}", f"{name} {STILL} {one_rate}", "movement")
    return (*found, still)


def _conditions_of_noise(contrasts, other, measure):
    """As for one step; what may differ is the ratio of moving noise to another arm."""

    def over(name, how):
        return f"{name} {MOVING} {how}", f"{name} {other} {how}"

    conditions = {
        f"the activation is {word}": (
            *contrasts(name),
            differs(over(name, "tuned"), over(rest, "tuned"), measure),
        )
        for word, name, rest in (("ReLU", "relu", "sigmoid"), ("sigmoid", "sigmoid", "relu"))
    }
    conditions["the activation is ReLU and all learn at one shared rate"] = (
        *contrasts("relu", "shared"),
        differs(over("relu", "shared"), over("relu", "tuned"), measure),
    )
    conditions["all learn at one shared rate"] = (
        *(one for name in STARTS for one in contrasts(name, "shared")),
        *(differs(over(name, "shared"), over(name, "tuned"), measure) for name in STARTS),
    )
    return conditions


C09_NOISE = Rule(
    claim="C09",
    part="noise moves the distributions",
    says=(
        "The check of the intervention. From step to step, the distributions that the activations "
        "get move more with moving noise than in either plain network, and at least 1.25 times as "
        "much as with batch norm alone (each at its tuned rate) and as with still noise (at batch "
        "norm's rate); for ReLU and for sigmoid."
    ),
    needs=tuple(one for name in STARTS for one in _moves(name)),
    when=_conditions_of_noise(_moves, "plain", "movement"),
)
C09_SPEED = Rule(
    claim="C09",
    part="the shift explains the speed",
    says=(
        "Moving noise behind batch norm needs at least 15 % more steps to a loss of 0.5 than batch "
        "norm alone (both at batch norm's tuned rate, and each at its own), at least 15 % more "
        "than still noise, and so many that half of batch norm's advantage over standardized "
        "inputs is lost (on the scale of ratios); for ReLU and for sigmoid."
    ),
    needs=tuple(one for name in STARTS for one in _explains(name)),
    when=_conditions_of_noise(_explains, "batch norm", "steps"),
)

EXPERIMENTS = (
    Experiment(
        name="noisy", chapter="covariate_shift", measure=noisy, arms=tuple(NOISY),
        rules=(C09_NOISE, C09_SPEED), seeds=10,
    ),
)  # fmt: skip
