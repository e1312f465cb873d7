"""Cures for vanishing gradients: claim C29, in chapter `relatives`.

The rates that no other chapter has chosen are chosen by `bnlib.experiments.relatives.choose`.
"""

from dataclasses import dataclass, replace

import numpy as np

from bnlib import functional, layers, optim, training
from bnlib.experiments.arms import Arm, Run, build, prepare, split, train
from bnlib.experiments.contrasts import few, most
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training_choices import ACTIVATIONS, TRAINED
from bnlib.verdicts import Contrast, Rule

DEPTHS = (5, 8)
TRAINED_AT = 8  # hidden layers; of those with 5, layer norm alone is trained, for comparison
THREE = ("ReLU", "batch norm", "layer norm")
OTHERS = ("weights x 4", "residual")
PATIENTS = ("plain", "standardized")


@dataclass(frozen=True)
class Deep:
    """A sigmoid network that `Arm` cannot describe: with layer norm, or with detours.

    Attributes
    ----------
    cure : {"layer norm", "residual"}
        Layer norm before every sigmoid; or each hidden layer but the first as the detour of a
        `bnlib.layers.Residual`.
    depth : int
        Number of hidden layers of 100.
    lr : float
    batch_size, epochs : int
    """

    cure: str
    depth: int
    lr: float = 0.1
    batch_size: int = 50
    epochs: int = 60


def cure_arm(cure, depth):
    """The arm of a cure: those that other chapters have tuned are taken from there."""
    if cure in ("layer norm", "residual"):
        return Deep(cure, depth)
    if cure == "ReLU":
        return ACTIVATIONS[f"relu {depth} plain"]
    how = "plain, weights x 4" if cure == "weights x 4" else cure
    return ACTIVATIONS[f"sigmoid {depth} {how}"]


CURES = {
    f"{cure} {depth}": cure_arm(cure, depth)
    for depth in DEPTHS
    for cure in (*PATIENTS, *THREE, *OTHERS)
}

DEEP_RATES: dict[str, float] = {
    "layer norm 5": 0.3,
    "residual 5": 3.0,
    "layer norm 8": 0.3,
    "residual 8": 1.0,
}
TO_TRAIN = {name for name, arm in CURES.items() if arm.depth == TRAINED_AT} | {"layer norm 5"}


def build_deep(arm, seed):
    """The network of a `Deep` before training; the weights are those of the plain network."""
    network = layers.mlp(
        [64, *[100] * arm.depth, 10],
        rng=np.random.default_rng([seed, 1]),
        activation=layers.Sigmoid,
        norm=layers.LayerNorm if arm.cure == "layer norm" else None,
        scale="glorot",
    )
    return with_detours(network) if arm.cure == "residual" else network


def with_detours(network):
    """The same layers, each hidden linear one but the first with what follows it as a detour."""
    first, *rest = _blocks(network)
    *hidden, last = rest
    return layers.Sequential(*first, *(layers.Residual(*block) for block in hidden), *last)


def _blocks(network):
    """The layers in blocks that each begin with a linear one."""
    blocks: list[list[layers.Layer]] = []
    for layer in network.layers:
        if isinstance(layer, layers.Linear):
            blocks.append([])
        blocks[-1].append(layer)
    return blocks


def train_deep(arm, seed, data):
    """Train the network of a `Deep` by SGD, on raw inputs.

    Returns
    -------
    Run
    """
    network = build_deep(arm, seed)
    history = training.fit(
        network,
        optim.SGD(network, lr=arm.lr),
        data,
        epochs=arm.epochs,
        batch_size=arm.batch_size,
        rng=np.random.default_rng([seed, 2]),
        evaluate="end",
        statistics="population",
    )
    if history.interrupted:
        raise KeyboardInterrupt  # half a training is no result
    return Run(network, data, history)


def cures(seed, draw, arms):
    """C29: sigmoid networks of 5 and 8 hidden layers of 100 whose gradient vanishes, and cures.

    "plain" and "standardized" (inputs) have no cure. "ReLU" has ReLU units and He's weights; "batch
    norm" and "layer norm" stand before every sigmoid; "weights x 4" has initial weights four times
    as large as Glorot's; "residual" adds to each hidden layer but the first its own input. Batches
    of 50, SGD, 60 epochs, ReLU 20; every arm at its tuned rate. "trains": more than 90 % of the
    training set right in the end. "gradient": before training, the root mean square of the loss's
    gradient for the weights of the first hidden layer, over that for the last, for 200 digits. The
    networks with 5 hidden layers are not trained, but for the one with layer norm (exploratory).
    """
    data = split(seed, draw)
    results = {
        name: {"gradient": first_over_last(*at_the_start(CURES[name], seed, data))} for name in arms
    }
    for name, run in _trained([name for name in arms if name in TO_TRAIN], seed, data).items():
        results[name] |= {
            "trains": int(run.train_accuracy > TRAINED),
            "train accuracy": run.train_accuracy,
            "test accuracy": run.test_accuracy,
        }
    return results


def _trained(names, seed, data):
    """The runs of some cures, each at its tuned rate."""
    known = {name: CURES[name] for name in names if isinstance(CURES[name], Arm)}
    others = {
        name: replace(CURES[name], lr=DEEP_RATES[name]) for name in names if name not in known
    }
    runs = train(known, seed, data)
    return runs | {name: train_deep(arm, seed, data) for name, arm in others.items()}


def at_the_start(arm, seed, data):
    """An arm's network before training, and 200 of the images as it sees them with their labels."""
    if isinstance(arm, Deep):
        network, own = build_deep(arm, seed), data
    else:
        own = prepare(arm, data, seed)
        network = build(arm, own, seed)
    return network, own.x_train[:200], own.y_train[:200]


def first_over_last(network, x, labels):
    """Root mean square of the gradient of the first hidden layer's weights over the last's."""
    sizes = weight_gradients(network, x, labels)
    return sizes[0] / sizes[-2]


def weight_gradients(network, x, labels):
    """Root mean square of the loss's gradient for the weights of each linear layer, in order."""
    logits = network.forward(x, training=True)
    _, cache = functional.softmax_cross_entropy(logits, labels)
    network.backward(functional.softmax_cross_entropy_backward(cache))
    linears = [leaf for leaf in network.leaves() if isinstance(leaf, layers.Linear)]
    return [float(np.sqrt(np.mean(one.grads["weight"] ** 2))) for one in linears]


VANISHED = 10.0  # the first layer's gradient is so many times smaller than the last's


def _gradient(name, wanted):
    label = f"gradient: first / last layer, {name}"
    return Contrast(label, "gradient", {name: 1.0}, wanted, VANISHED, "log")


def _at_all_depths(make, cures, *options):
    return tuple(make(f"{cure} {depth}", *options) for depth in DEPTHS for cure in cures)


def _trains(make, cures):
    return tuple(make(f"{cure} {TRAINED_AT}", "trains") for cure in cures)


_ILL = _trains(few, PATIENTS)
_VANISHING = _at_all_depths(_gradient, PATIENTS, "less")
TRAINS = Rule(
    claim="C29",
    part="each of the three lets deep networks train",
    says=(
        "Sigmoid networks of 8 hidden layers: without a cure, for raw and standardized inputs, "
        "fewer than half of the seeds end with more than 90 % of the training set right; with "
        "ReLU instead, with batch norm and with layer norm more than half do. Every arm at its "
        "tuned rate and given 60 epochs, ReLU 20."
    ),
    needs=(*_ILL, *_trains(most, THREE)),
    when={f"the cure is {cure}": (*_ILL, *_trains(most, (cure,))) for cure in THREE},
)
VANISHES = Rule(
    claim="C29",
    part="with each of the three the gradient no longer vanishes",
    says=(
        "Before training the weight gradient of the first hidden layer of 5 and of 8 is more than "
        "ten times smaller than that of the last without a cure, and at most ten times smaller "
        "with ReLU, with batch norm and with layer norm."
    ),
    needs=(*_VANISHING, *_at_all_depths(_gradient, THREE, "not less")),
    when={
        f"the cure is {cure}": (*_VANISHING, *_at_all_depths(_gradient, (cure,), "not less"))
        for cure in THREE
    },
)
NO_OTHERS = Rule(
    claim="C29",
    part="there are no others",
    says=(
        "Sigmoid networks of 8 hidden layers with initial weights four times Glorot's, or with "
        "residual connections, end in fewer than half of the seeds with more than 90 % of the "
        "training set right, each at its tuned rate."
    ),
    needs=_trains(few, OTHERS),
)

EXPERIMENTS = (
    Experiment(
        name="cures",
        chapter="relatives",
        measure=cures,
        arms=tuple(CURES),
        rules=(TRAINS, VANISHES, NO_OTHERS),
        seeds=10,
    ),
)
