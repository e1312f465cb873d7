"""Group norm in small batches, and the cures for vanishing gradients: claims C33 and C29.

Rates that no other chapter has chosen are chosen by `choose`, on development seeds and validation
images only; all scores are in `results/relatives_rates.json`.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bnlib import functional, layers, optim, training
from bnlib.experiments import convnets
from bnlib.experiments.arms import Arm, Run, build, prepare, split, train
from bnlib.experiments.contrasts import difference, few, interaction, most
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training_choices import ACTIVATIONS, TRAINED
from bnlib.verdicts import Contrast, Rule

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

# --- C29: cures for vanishing gradients -----------------------------------------------------------

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
    Experiment(
        name="cures",
        chapter="relatives",
        measure=cures,
        arms=tuple(CURES),
        rules=(TRAINS, VANISHES, NO_OTHERS),
        seeds=10,
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
DEEP_RATES: dict[str, float] = {
    "layer norm 5": 0.3,
    "residual 5": 3.0,
    "layer norm 8": 0.3,
    "residual 8": 1.0,
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

    arms = untuned()
    found: dict = {name: {} for name in arms}
    wanted = {name: places for name, (_, places) in arms.items()}
    while any(wanted.values()):
        jobs = [(name, place) for name, places in wanted.items() for place in sorted(places)]
        runs = [(arms[name][0], place, seed) for name, place in jobs for seed in SEEDS]
        means = np.reshape(_measure(runs), (len(jobs), len(SEEDS))).mean(axis=1).tolist()
        for (name, place), mean in zip(jobs, means, strict=True):
            found[name][place] = mean
        best = {name: tuning.choice(own) for name, own in found.items()}
        wanted = {name: {best[name] - 1, best[name] + 1} - found[name].keys() for name in arms}
    scores = {
        name: {f"{tuning.rate(place):g}": round(own[place], 6) for place in sorted(own)}
        for name, own in found.items()
    }
    SCORES.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(convnets.best(scores))


def _measure(jobs):
    """The scores of all jobs (arm, place, seed), on two cores."""
    import joblib

    with joblib.parallel_config("loky", inner_max_num_threads=1):
        return joblib.Parallel(n_jobs=2, verbose=1)(joblib.delayed(_score)(*job) for job in jobs)


def _score(arm, place, seed):
    """Validation accuracy of one run."""
    from bnlib.experiments import tuning

    data, lr = tuning.validation_data(seed), tuning.rate(place)
    if isinstance(arm, Deep):
        return train_deep(replace(arm, lr=lr), seed, data).test_accuracy
    return convnets.train({"": replace(arm, lr=lr)}, seed, data)[""].test_accuracy
