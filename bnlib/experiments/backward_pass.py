"""What it costs to take the mean for a constant: claim C11, the measured half."""

import numpy as np

from bnlib import layers, optim, training
from bnlib.experiments.arms import cross_entropy, split
from bnlib.experiments.contrasts import ratio
from bnlib.experiments.experiment import Experiment
from bnlib.verdicts import Contrast, Rule

GRADIENTS = {"honest": True, "mean constant": False}


class Centring(layers.Layer):
    """Subtract the batch mean of every unit; backward with the gradient through it, or without."""

    def __init__(self, honest):
        super().__init__()
        self.honest = honest

    def _forward(self, x, training):
        return x - x.mean(axis=0), (), self.buffers

    def _backward(self, dy, cache):
        return (dy - dy.mean(axis=0) if self.honest else dy), {}


def cheating_gradient(seed, draw, arms):
    """C11, measured: all parameters trained, with or without the gradient through the batch mean.

    One hidden layer of 50 ReLU units whose inputs are centred by the batch mean; raw digits,
    batches of 50, SGD at 0.1, 20 epochs. "bias" is the norm of the hidden layer's bias after each
    epoch; "slope" how much it grows per epoch over the last 10; "train loss" that of the end.
    """
    data = split(seed, draw)
    results = {}
    for name in arms:
        rng = np.random.default_rng([seed, 1])
        hidden, output = layers.Linear(64, 50, rng=rng), layers.Linear(50, 10, rng=rng)
        network = layers.Sequential(hidden, Centring(GRADIENTS[name]), layers.ReLU(), output)

        def size(_, hidden=hidden):
            return float(np.linalg.norm(hidden.params["bias"]))

        history = training.fit(
            network,
            optim.SGD(network, lr=0.1),
            data,
            epochs=20,
            batch_size=50,
            rng=np.random.default_rng([seed, 2]),
            evaluate="never",
            observe=size,
        )
        norms = np.round(history.observed, 12)  # what is below is rounding noise
        results[name] = {
            "bias": norms.tolist(),
            "slope": (norms[-1] - norms[-11]) / 10,
            "train loss": cross_entropy(network, data.x_train, data.y_train),
        }
    return results


C11 = Rule(
    claim="C11",
    part="measured",
    says=(
        "Everything trained, without the gradient through the mean: the norm of the bias still "
        "grows over the last 10 of 20 epochs, by at least 1e-2 per epoch; with it, it stays the "
        "same to 1e-9."
    ),
    needs=(
        Contrast("slope: mean constant", "slope", {"mean constant": 1.0}, "more", 0.01),
        Contrast("slope: honest", "slope", {"honest": 1.0}, "same", 1e-9),
    ),
)
C11_COST = Rule(
    claim="C11",
    part="cheating costs",
    says="The training loss in the end is at least a quarter higher without the gradient.",
    needs=(ratio("mean constant", "honest", "train loss"),),
)

EXPERIMENTS = (
    Experiment(
        name="cheating_gradient",
        chapter="backward_pass",
        measure=cheating_gradient,
        arms=tuple(GRADIENTS),
        rules=(C11, C11_COST),
        seeds=10,
    ),
)
