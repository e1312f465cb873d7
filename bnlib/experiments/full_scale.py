"""What the posts say of MNIST, on MNIST: claims C02, C03, C31 and C32 at full scale.

Each experiment repeats one of the digits' with the same measures and the same rules, on images of
28 x 28 pixels; the rules of all four form one family. The data are downloaded, once. Rates are
chosen by `python -m bnlib.experiments.full_scale_rates`.
"""

from dataclasses import replace

import numpy as np

from bnlib import datasets, training
from bnlib.experiments import ood_networks, training_choices
from bnlib.experiments.arms import Arm, pre_activations, prepare, split, train
from bnlib.experiments.contrasts import difference
from bnlib.experiments.convnets import ConvArm
from bnlib.experiments.convnets import train as train_convnets
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.ood_networks import ALPHA, HEADS, examine, inputs_of, leads
from bnlib.experiments.shifted_digits import photograph_patches, strange_pictures
from bnlib.experiments.training import (
    C02,
    C03,
    FASTER,
    PLAIN_ARMS,
    SIXTEEN,
    STANDING,
    areas,
    sixteen_scales,
)
from bnlib.verdicts import Rule

CHAPTER = "full_scale"
PART = "on MNIST"
# The rates of all networks that have none of their own, by name; `full_scale_rates` chose them.
RATES: dict[str, float] = {
    "plain tuned": 0.1,
    "standardized tuned": 0.3,
    "batch norm tuned": 0.3,
    "plain": 3.0,
    "standardized": 1.0,
    "batch norm": 3.0,
    "none flatten": 0.03,
    "BN flatten": 0.03,
    "none average": 0.03,
    "BN average": 0.1,
}


def on_mnist(rule, says):
    """The same contrasts with the same smallest effects, as a part of the claim of its own."""
    part = f"{rule.part}, {PART}" if rule.part else PART
    return replace(rule, part=part, says=says)


# --- C02 and C03: post 0's textbook experiment ----------------------------------------------------

THE_SAME = "The rule of the digits, for the first 1,000 training images of MNIST: {}"


def faster_mnist(seed, draw, arms):
    """C02 on the first 1,000 training images of MNIST: otherwise as `faster`.

    Five hidden layers of 100 ReLU units at He's scale, batches of 100, SGD, 20 epochs, at the
    textbook's rate and at the rate of each arm that is best on MNIST. Test accuracy is that of the
    10,000 test images.
    """
    return areas({name: rated(name, FASTER[name]) for name in arms}, seed, split(seed, draw))


def rated(name, arm):
    """The arm with its own rate, or the one that was chosen for it on MNIST."""
    return arm if arm.lr is not None else replace(arm, lr=RATES[name])


RULES_FASTER = (on_mnist(C02, THE_SAME.format(C02.says)),)
RULES_SIXTEEN = tuple(on_mnist(rule, THE_SAME.format(rule.says)) for rule in C03)

# --- C31: the original paper's network ------------------------------------------------------------

PAPERS = Arm("sigmoid", scale="glorot", batch_size=60, epochs=5)
SIGMOIDS = {
    **{name: replace(PAPERS, **change) for name, change in STANDING.items()},
    "plain at 2": replace(PAPERS, lr=2.0),
    "batch norm at 2": replace(PAPERS, batch_norm="before", lr=2.0),
}
PERCENTILES = (15, 50, 85)  # those that the original paper draws
UNIT = 0  # the one whose inputs are drawn


def sigmoids_mnist(seed, draw, arms):
    """C31 with the network of the original paper, on all 60,000 training images of MNIST.

    Three hidden layers of 100 sigmoid units, batches of 60, SGD, 5 epochs, which are 5,000 steps
    (the paper takes 50,000, on images of black and white, and does not tell its rate); Glorot's
    weights; each arm at its own rate, and two at the rate 2, as for the digits. After each epoch
    "values" has the mean input of the last hidden sigmoids, "percentiles" the 15th, 50th and 85th
    of those of one unit, both over 1,000 training images with the statistics of these, and "curve"
    the test accuracy by running averages. "test accuracy" is that in the end, with the statistics
    of the whole training set.
    """
    data, results = split(seed, draw), {}
    for name in arms:
        arm = rated(name, SIGMOIDS[name])
        own = prepare(arm, data, seed)

        def look(network, own=own):
            last_hidden = pre_activations(network, own.x_train[:1000])[-1]
            return (
                float(last_hidden.mean()),
                np.percentile(last_hidden[:, UNIT], PERCENTILES).tolist(),
                float(training.accuracy(network, own.x_test, own.y_test)),
            )

        run = train({name: arm}, seed, data, observe=look)[name]
        values, percentiles, curve = zip(*run.history.observed, strict=True)
        results[name] = {
            "first": values[0],
            "last": values[-1],
            "rise": values[-1] - values[0],
            "values": values,
            "percentiles": percentiles,
            "curve": curve,
            "test accuracy": run.test_accuracy,
        }
    return results


def _gain(plain):
    return difference("batch norm", plain, "test accuracy")


RULES_SIGMOIDS = (
    Rule(
        claim="C31",
        part=f"a clear difference, {PART}",
        says=(
            "With the original paper's three hidden layers of 100 sigmoids, on all of MNIST, test "
            "accuracy with batch norm is at least a point higher than without, for raw and for "
            "standardized inputs, every arm at its tuned rate and given 5 epochs."
        ),
        needs=tuple(_gain(plain) for plain in PLAIN_ARMS),
        when={
            "the rival's inputs are raw": (
                _gain("plain"),
                difference("standardized", "plain", "test accuracy", smallest=0.0),
            )
        },
    ),
    on_mnist(
        training_choices.C31_VALUES,
        "The rule of the digits, for the original paper's network on all of MNIST: the mean input "
        "of the last hidden sigmoids with batch norm is at most -2.5 after the first epoch and at "
        "least 1 higher after the last, the fifth.",
    ),
)

# --- C32: strange pictures ------------------------------------------------------------------------

STRANGE = ("letters", "natural", "inverted", "noise", "shuffled")
NEEDED = 4  # of the five
SEEN = 2000  # training images that statistics and thresholds are taken from
SMALL = ConvArm(channels=(8, 16, 32), epochs=5)
CONVNETS = {
    f"{kind} {head}": replace(SMALL, norm=norm, head=head)
    for head in HEADS
    for kind, norm in (("none", ""), ("BN", "batch"))
}
KINDS = ("none", "BN", "BN own")


def strange_inputs_mnist(seed, draw, arms):
    """C32 on MNIST: what networks make of letters and of other pictures that are no digits.

    Convolutions to 8, 16 and 32 maps, ReLU, max-pooling, and a linear layer that sees all pixels of
    the last maps ("flatten") or the mean of each ("average"); 10,000 training images, batches of
    50, SGD with momentum 0.9, 5 epochs, each network at its tuned rate. Known pictures are 1,000
    test digits; strange ones 1,000 letters of notMNIST, patches of photographs, these digits with
    ink and paper exchanged, noise, and these digits with their pixels shuffled. Stored statistics
    are the exact ones of 2,000 training images. Measures as in `strange_inputs`; a lead is what
    batch norm reaches with at least four of the five kinds.

    The seeds begin at 2000: a first design, with two convolutions and 3 epochs, had been run on
    those from 1000 and left plain networks with the average head far behind, so that it compared
    confidences of networks that had learned with those of some that had not.
    """
    data = split(seed, draw)
    rows = {
        how: strange(data.x_test, how, np.random.default_rng([seed, 7, at]))
        for at, how in enumerate(STRANGE)
    }
    found: dict = {}
    for head in dict.fromkeys(name.rpartition(" ")[2] for name in arms):
        wanted = [name.removesuffix(f" {head}") for name in arms if name.endswith(head)]
        if "BN" in wanted:
            wanted = list(dict.fromkeys((*wanted, *ood_networks.RIVALS)))
        own = _examine(head, wanted, seed, data, rows)
        if "BN" in own:
            own["BN"] |= leads(own, STRANGE, NEEDED)
        found |= {f"{kind} {head}": values for kind, values in own.items()}
    return {name: found[name] for name in arms}


def strange(ink, how, rng):
    """As many pictures of 28 x 28 pixels that are no digits."""
    if how == "letters":
        return datasets.notmnist(rng, train=0, test=len(ink)).x_test
    if how == "natural":
        return photograph_patches(len(ink), rng, side=28)
    return strange_pictures(ink, how, rng)


def _examine(head, kinds, seed, data, rows):
    """Measures of each kind of network with that head."""
    names = {kind: f"{kind.split()[0]} {head}" for kind in kinds}
    networks = {name: rated(name, CONVNETS[name]) for name in names.values()}
    runs = train_convnets(networks, seed, data, evaluate="never")
    found = {}
    for kind, name in names.items():
        run = runs[name]
        seen = run.data._replace(x_train=run.data.x_train[:SEEN], y_train=run.data.y_train[:SEEN])
        inputs = {how: inputs_of(networks[name], data, own) for how, own in rows.items()}
        found[kind] = examine(run._replace(data=seen), inputs, ALPHA.get(kind, 0.0))
    return found


WORDS = {
    "stored statistics make units abnormally active": (
        "what the last layer of batch norm networks sees under stored statistics is on average at "
        "least a quarter more active than on known pictures, by a factor that is at least a "
        "quarter larger than that of networks without any norm"
    ),
    "and so over-confident": (
        "the confidence of batch norm networks under stored statistics is at least .05 above that "
        "of the same networks under the pictures' own statistics"
    ),
    "one fundamental cause": (
        "the confidence of batch norm networks under stored statistics is at least .05 above that "
        "of networks without any norm, and above that under own statistics, and on known pictures "
        "not more than .05 above that without"
    ),
}
RULES_STRANGE = tuple(
    on_mnist(
        rule,
        f"On MNIST, on at least four of five kinds of strange pictures, letters among them, "
        f"{WORDS[rule.part]}, with either head.",
    )
    for rule in ood_networks.C32
)

EXPERIMENTS = (
    Experiment(
        name="faster_mnist", chapter=CHAPTER, measure=faster_mnist, arms=tuple(FASTER),
        rules=RULES_FASTER, seeds=10, data=("mnist_first",),
    ),
    Experiment(
        name="sixteen_scales_mnist", chapter=CHAPTER, measure=sixteen_scales, arms=tuple(SIXTEEN),
        rules=RULES_SIXTEEN, seeds=5, data=("mnist_first",),
    ),
    Experiment(
        name="sigmoids_mnist", chapter=CHAPTER, measure=sigmoids_mnist, arms=tuple(SIGMOIDS),
        rules=RULES_SIGMOIDS, seeds=5, data=("mnist",),
    ),
    Experiment(
        name="strange_inputs_mnist", chapter=CHAPTER, measure=strange_inputs_mnist,
        arms=tuple(f"{kind} {head}" for head in HEADS for kind in KINDS), rules=RULES_STRANGE,
        seeds=5, tolerance=1e-6, data=("mnist_10000",),
    ),
)  # fmt: skip
