"""Sixteen scales, one curve: the learning rate that counts is lr / |W|². No claim, exploratory."""

from dataclasses import replace

import numpy as np

from bnlib import ensembles
from bnlib.experiments.arms import Run, build, split
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training import POST, SCALES, accuracy_curve
from bnlib.layers import Linear

POWERS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
REFERENCE = SCALES[7]  # where every power gives the same rate


def effective_rate(seed, draw, arms):
    """The 16 scales with batch norm, hidden learning rates proportional to a power of the scale.

    As in `sixteen_scales`, with the output layer at He's scale for all: the hidden layers' weights
    have the standard deviation W and learn at 0.01 (W / W0)^p, with W0 the eighth scale; gamma,
    beta and the output layer learn at 0.01. "areas" and "curves" have one entry per scale.
    """
    data = split(seed, draw)
    data = data._replace(x_test=data.x_test[:0], y_test=data.y_test[:0])
    arm = replace(POST, batch_norm="before", output_scale="he", lr=0.01)
    results = {}
    for name in arms:
        power = float(name.removeprefix("p = "))
        networks = [build(replace(arm, scale=scale), data, seed) for scale in SCALES]
        rates = np.array([arm.lr * (scale / REFERENCE) ** power for scale in SCALES])
        histories = ensembles.fit_together(
            networks,
            data,
            lr=per_leaf(networks[0], rates, arm.lr),
            epochs=arm.epochs,
            batch_size=arm.batch_size,
            rngs=[np.random.default_rng([seed, 2]) for _ in SCALES],
            evaluate="each epoch",
            statistics="population",
        )
        runs = map(Run, networks, [data] * len(SCALES), histories)
        curves = [accuracy_curve(run) for run in runs]
        areas = [float(curve.mean()) for curve in curves]
        results[name] = {
            "areas": areas,
            "curves": [curve.tolist() for curve in curves],
            "spread": max(areas) - min(areas),
        }
    return results


def per_leaf(network, hidden, others):
    """Learning rates for each layer that has parameters: `hidden` for the hidden linear layers."""
    leaves = [leaf for leaf in network.leaves() if leaf.params]
    *inner, _ = [leaf for leaf in leaves if isinstance(leaf, Linear)]
    rest = others + 0 * hidden
    return [hidden if leaf in inner else rest for leaf in leaves]


EXPERIMENTS = (
    Experiment(
        name="effective_rate",
        chapter="scale_invariance",
        measure=effective_rate,
        arms=tuple(f"p = {power:g}" for power in POWERS),
        seeds=5,
    ),
)
