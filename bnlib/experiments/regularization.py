"""The noise of batch norm: how large it is, and whether it regularizes. Claims C22, C23 and C41.

The other claims of the chapter, C04 and C24, are in `regularizers`.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from bnlib import silencing, training
from bnlib.batch_noise import in_random_batches, layer_noise
from bnlib.experiments.arms import GUESSING, Arm, learning_rate, split, train
from bnlib.experiments.contrasts import POINT, difference, interaction, most
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training import PLAIN_ARMS, STANDING
from bnlib.verdicts import Contrast, Rule

LABELS: dict[str, dict[str, Any]] = {"clean": {}, "wrong": {"wrong_labels": 0.2}}
SHARED = 0.1  # the learning rate where all have one
HOW = {"tuned": None, "at 0.1": SHARED}
KNOWN = 0.99  # of the labels it was given, wrong ones too: the network knows them by heart

# Few examples, so that there is something to overfit.
FEW = Arm(examples=300, epochs=60)


def train_each_once(arms, seed, data):
    """Train arms of which some may be the same; each with its rate."""
    rated = {name: replace(arm, lr=learning_rate(arm)) for name, arm in arms.items()}
    keys = {name: f"{arm.description} at {arm.lr}" for name, arm in rated.items()}
    runs = train({keys[name]: arm for name, arm in rated.items()}, seed, data)
    return {name: runs[key] for name, key in keys.items()}


def at_the_rate_of(arm, other):
    """The arm with the learning rate that was chosen for another, unless it has its own."""
    return replace(arm, lr=learning_rate(other) if arm.lr is None else arm.lr)


def accuracies(run):
    """What most experiments of this chapter report."""
    return {
        "test accuracy": run.test_accuracy,
        "train accuracy": run.train_accuracy,
        "by heart": int(run.train_accuracy >= KNOWN),
    }


# --- C22: how the noise shrinks -------------------------------------------------------------------

SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512)
FROM = 16  # below, the corrections of the next order, 1 / m, are no longer small
LAYERS = ("layer 1", "layer 2", "layer 3")
OUTSIDE = "layer 1, not in its batch"
ROWS, DRAWS = range(10), 50


def noise_law(seed, draw, arms):
    """C22: the standard deviation of x_hat of fixed examples over random batches of 2 to 512.

    A trained network (three hidden layers of ReLU units, batch norm, batches of 50, 20 epochs, its
    tuned rate), with the weights held fixed. Ten training examples each pass through it in 50
    random batches of every size, drawn with replacement. "noise": the root of the variance of
    x_hat, averaged over examples and units, for each size. "slope off": the slope of its logarithm
    over that of the size, from 16 on, plus a half; the law says 0. In "layer k" the example is one
    of its batch, as in training, and deeper layers get the noise of the earlier ones.
    """
    data = split(seed, draw)
    network = train({"one": Arm(batch_norm="before")}, seed, data, test=False)["one"].network
    found: dict = {}
    if set(arms) & set(LAYERS):
        found |= _in_the_network(network, data.x_train, np.random.default_rng([seed, 5]))
    if OUTSIDE in arms:
        found[OUTSIDE] = _outside(network, data.x_train, np.random.default_rng([seed, 6]))
    return {name: {"noise": found[name], "slope off": slope(found[name]) + 0.5} for name in arms}


def _in_the_network(network, x, rng):
    """For each layer the noise at each size."""
    by_size = [
        [*map(root_mean_square, layer_noise(network, x, ROWS, size=size, draws=DRAWS, rng=rng))]
        for size in SIZES
    ]
    return dict(zip(LAYERS, map(list, zip(*by_size, strict=True)), strict=True))


def _outside(network, x, rng):
    """The noise in the first layer at each size, of examples that all others normalize."""
    z = network.layers[0].forward(x, training=False)
    options = {"draws": DRAWS, "rng": rng, "together": False}
    return [
        root_mean_square(
            [in_random_batches(z, row, size=size, **options).x_hat.std(axis=0) for row in ROWS]
        )
        for size in SIZES
    ]


def root_mean_square(values):
    """Of all numbers together."""
    return float(np.sqrt(np.mean(np.square(values))))


def slope(noise):
    """Of the line through the logarithms, from batches of 16 on."""
    chosen = np.array(SIZES) >= FROM
    return float(np.polyfit(np.log(SIZES)[chosen], np.log(noise)[chosen], 1)[0])


C22_LAW = Rule(
    claim="C22",
    part="one over the root of the batch",
    says=(
        "The noise of x_hat falls with the batch size with a log-log slope of -0.5, within 0.03, "
        "from batches of 16 to 512, in each of three layers."
    ),
    needs=tuple(
        Contrast(f"slope + 1/2, {layer}", "slope off", {layer: 1.0}, "same", 0.03)
        for layer in LAYERS
    ),
)

# --- C23, and the last part of C22: less noise, less regularization? ------------------------------

GHOSTS = (8, 32, 128)  # examples that share statistics, of the 128 of each step
FULL = Arm(depth=2, batch_norm="before", examples=128, batch_size=128, epochs=400)
GHOST_BATCHES = {
    f"statistics of {size}": replace(FULL, ghost=None if size == 128 else size) for size in GHOSTS
}
RATES = {"at 0.1": 0.1, "at 0.3": 0.3, "at 1": 1.0, "tuned": None}
CONDITIONS = {f"{labels}, {how}": (labels, how) for labels in LABELS for how in RATES}


def ghost_batches(seed, draw, arms):
    """C22, C23: the noise of small batches without their gradients.

    Two hidden layers of ReLU units, 128 training images, every step on all of them, so that the
    gradient has no noise of its own; batch norm takes the statistics of 8 or 32 at a time, in a new
    order each step, or of all 128. 400 steps of SGD, at three rates and at the rate tuned for each
    size on clean labels; clean labels, or a fifth of them wrong throughout. "by heart" is 1 if with
    each of the sizes the network ends with 99 % of the labels that it was given: else a difference
    could be early stopping in disguise. "trend": the slope of test accuracy over the logarithm of
    the size, downwards, times the range from 128 to 8; "largest": that from 128 to 8 alone.
    """
    data = split(seed, draw)
    wanted = {}
    for name in arms:
        labels, how = CONDITIONS[name]
        for size, clean in zip(GHOSTS, GHOST_BATCHES.values(), strict=True):
            arm = replace(clean, lr=RATES[how], **LABELS[labels])
            wanted[name, size] = at_the_rate_of(arm, clean)
    runs = train_each_once(wanted, seed, data)
    results = {}
    for name in arms:
        own = [accuracies(runs[name, size]) for size in GHOSTS]
        test = np.array([each["test accuracy"] for each in own])
        results[name] = {
            "test accuracy": test,
            "train accuracy": [each["train accuracy"] for each in own],
            "by heart": int(all(each["by heart"] for each in own)),
            "trend": trend(test),
            "largest": test[0] - test[-1],
        }
    return results


def trend(values):
    """What smaller ghost batches gain, from the largest to the smallest, by a line through all."""
    logs = np.log2(GHOSTS)
    return float(np.polyfit(logs, values, 1)[0] * (logs[0] - logs[-1]))


def _gains(name, measure="trend"):
    return Contrast(f"{measure}, {name}", measure, {name: 1.0}, "more", POINT)


def _gains_and_known(*names):
    return (*map(_gains, names), *(most(name, "by heart") for name in names))


def _more_trend(more, less):
    return Contrast(f"trend, {more} - {less}", "trend", {more: 1.0, less: -1.0}, "more", 0.0)


def _of(labels):
    return [f"{labels}, {how}" for how in RATES]


C22_REGULARIZES = Rule(
    claim="C22",
    part="it regularizes",
    says=(
        "Test accuracy with statistics of 8 examples is at least a point higher than with those of "
        "all 128, with the same gradient batch, each at its tuned rate, on clean and on wrong "
        "labels, all known by heart in most seeds."
    ),
    needs=tuple(
        contrast
        for labels in LABELS
        for contrast in (
            _gains(f"{labels}, tuned", "largest"),
            most(f"{labels}, tuned", "by heart"),
        )
    ),
)
C23 = Rule(
    claim="C23",
    says=(
        "Test accuracy rises as batch statistics are taken over 128, 32 and 8 examples: by at "
        "least a point over that range (a line through the three), with the same gradient batch, "
        "at three rates and at each size's tuned rate, on clean and on wrong labels, all known by "
        "heart in most seeds."
    ),
    needs=_gains_and_known(*CONDITIONS),
    when={
        f"the labels are {words}": (
            *_gains_and_known(*_of(labels)),
            _more_trend(f"{labels}, tuned", f"{other}, tuned"),
        )
        for labels, other, words in (
            ("clean", "wrong", "clean"),
            ("wrong", "clean", "partly wrong"),
        )
    }
    | {
        "the learning rate is small": (
            *_gains_and_known("clean, at 0.1", "wrong, at 0.1"),
            *(_more_trend(f"{labels}, at 0.1", f"{labels}, at 1") for labels in LABELS),
        ),
    },
)

# --- C41: silenced units --------------------------------------------------------------------------

SHARES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8)
FEWER = (0.2, 0.4, 0.6)  # of which the rule takes the average
MASKS = 5
FILLS = ("zero", "mean")  # what a silenced unit gives
RIVALS: dict[str, dict[str, Any]] = {
    **STANDING,
    "ghosts of 10": {"batch_norm": "before", "ghost": 10},
    "dropout": {"dropout": 0.2},
}
SILENCED = {
    f"{name} {how}": Arm(lr=rate, **change)
    for how, rate in HOW.items()
    for name, change in RIVALS.items()
}


def silenced_units(seed, draw, arms):
    """C41: how many test images a network gets wrong when a share of its hidden units is silenced.

    Three hidden layers of ReLU units, 1,000 training images, batches of 50, 20 epochs, at each
    arm's tuned rate or all at 0.1. After training the same units of each layer are switched off in
    all arms, at random, five times for each share. They give 0, or their own mean over the training
    set: then only what they knew is gone. "lost": the accuracy of the whole network minus that of
    the silenced one, averaged over shares of 0.2, 0.4 and 0.6. "ghosts of 10" has batch norm with
    more noise, "dropout" (0.2) a network that learned with silenced units: the measure must see it.
    """
    rng = np.random.default_rng([seed, 5])
    masks = [[rng.permutation(100) for _ in range(3)] for _ in range(MASKS)]
    runs = train({name: SILENCED[name] for name in arms}, seed, split(seed, draw))
    results: dict = {name: {"test accuracy": run.test_accuracy} for name, run in runs.items()}
    for name, run in runs.items():
        for how in FILLS:
            curve = silenced_accuracy(run, masks, how)
            fewer = np.mean([curve[SHARES.index(share)] for share in FEWER])
            lost = 1 - GUESSING if run.history.diverged else float(curve[0] - fewer)
            results[name] |= {f"accuracy, {how}": curve, f"lost, {how}": lost}
    return results


def silenced_accuracy(run, masks, how):
    """Test accuracy for each share of silenced units, averaged over the masks.

    The first units of each permutation in `masks` are switched off, so that who is silenced at one
    share is at the next, too.
    """
    if run.history.diverged:
        return [GUESSING for _ in SHARES]
    network, data = run.network, run.data
    with training.population_statistics(network, data.x_train):
        instead = silencing.mean_activations(network, data.x_train) if how == "mean" else None

        def right(share, mask):
            off = [order < round(share * len(order)) for order in mask]
            logits = silencing.silenced(network, data.x_test, off, instead=instead)
            return np.mean(logits.argmax(axis=1) == data.y_test)

        return [float(np.mean([right(share, mask) for mask in masks])) for share in SHARES]


def _loses_less(arm, rival, how, fill):
    contrast = difference(f"{arm} {how}", f"{rival} {how}", f"lost, {fill}", wanted="less")
    return replace(contrast, name=f"{contrast.name}, {fill}")


def _loses_less_than_both(hows, fills):
    return tuple(
        _loses_less("batch norm", plain, how, fill)
        for plain in PLAIN_ARMS
        for how in hows
        for fill in fills
    )


def _rate_matters(how, other):
    """What batch norm saves against standardized inputs is more at one rate than at the other."""
    pairs = [(f"standardized {rate}", f"batch norm {rate}") for rate in (how, other)]
    contrasts = [interaction(pairs[0], pairs[1], f"lost, {fill}") for fill in FILLS]
    return tuple(
        replace(contrast, name=f"{contrast.name}, {fill}")
        for contrast, fill in zip(contrasts, FILLS, strict=True)
    )


C41 = (
    Rule(
        claim="C41",
        part="it relies less on a few units",
        says=(
            "When a fifth to three fifths of the hidden units are silenced, batch norm loses at "
            "least a point less than the plain network, with raw and with standardized inputs, at "
            "one rate for all and at tuned rates, whether a silenced unit gives 0 or its mean."
        ),
        needs=_loses_less_than_both(HOW, FILLS),
        when={
            "every arm has its own tuned rate": (
                *_loses_less_than_both(("tuned",), FILLS),
                *_rate_matters("tuned", "at 0.1"),
            ),
            "all learn at one rate": (
                *_loses_less_than_both(("at 0.1",), FILLS),
                *_rate_matters("at 0.1", "tuned"),
            ),
        },
    ),
    Rule(
        claim="C41",
        part="because of the noise",
        says=(
            "Batch norm with the statistics of 10 examples, so with more noise, loses at least a "
            "point less than with those of the batch of 50, at one rate and at tuned rates, "
            "whether a silenced unit gives 0 or its mean."
        ),
        needs=tuple(
            _loses_less("ghosts of 10", "batch norm", how, fill) for how in HOW for fill in FILLS
        ),
    ),
)

# --- batches of two: no claim, exploratory --------------------------------------------------------

BATCHES = (2, 4, 8, 16, 50)
SMALL_BATCHES = {
    f"{kind} {size}": replace(FEW, epochs=20, batch_size=size, **STANDING[kind])
    for kind in ("plain", "batch norm")
    for size in BATCHES
}


def small_batches(seed, draw, arms):
    """Exploratory: how small may the batch be? Batches of 2 to 50, the same number of epochs.

    Three hidden layers of ReLU units, 300 training images, SGD, 20 epochs, each arm at its own
    tuned rate; accuracy with the statistics of the whole training set.
    """
    own = {name: SMALL_BATCHES[name] for name in arms}
    return {name: accuracies(r) for name, r in train(own, seed, split(seed, draw)).items()}


def of_chapter(measure, arms, **options):
    """Make an experiment of this chapter, with the name of its measure."""
    return Experiment(measure.__name__, "regularization", measure, tuple(arms), **options)


EXPERIMENTS = (
    of_chapter(noise_law, (*LAYERS, OUTSIDE), rules=(C22_LAW,), seeds=10),
    of_chapter(ghost_batches, CONDITIONS, rules=(C22_REGULARIZES, C23)),
    of_chapter(silenced_units, SILENCED, rules=C41),
    of_chapter(small_batches, SMALL_BATCHES, seeds=5),
)
