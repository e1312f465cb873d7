"""What networks make of pictures that are no digits. Claim C32.

The networks are convolutional (see `convnets`), their rates chosen by `convnets.choose` on
development seeds and validation images only; all scores are in
`results/ood_rates.json`. The claims about recoloured digits, C20, C39 and C46, are
in `distribution_shift`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bnlib import ood, training
from bnlib.datasets import Dataset
from bnlib.experiments import convnets
from bnlib.experiments.arms import GUESSING, split
from bnlib.experiments.contrasts import QUARTER, difference
from bnlib.experiments.convnets import ConvArm
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.shifted_digits import STRANGE, strange_pictures
from bnlib.verdicts import Contrast, Rule

HEADS_IN_WORDS = {
    "flatten": "the last layer sees all pixels of the maps",
    "average": "the last layer sees the mean of each map",
}
HEADS = tuple(HEADS_IN_WORDS)
NETWORKS = {
    "none": ConvArm(),
    "standardized": ConvArm(inputs="standardized"),
    "LN": ConvArm("layer"),
    "GN": ConvArm("group"),
    "BN": ConvArm("batch"),
}
# The same batch norm networks with other statistics at test time: the weight of those of the batch.
ALPHA = {"BN own": 1.0, "BN half": 0.5}
OWN_INPUTS = "standardized own"  # inputs standardized by the pictures that come in
KINDS = (*NETWORKS, OWN_INPUTS, *ALPHA)
ARMS = tuple(f"{kind} {head}" for head in HEADS for kind in KINDS)
TUNED = {
    f"{kind} {head}": replace(arm, head=head) for head in HEADS for kind, arm in NETWORKS.items()
}
RATES = {
    "plain": 0.1,
    "norm=batch": 0.1,
    "norm=layer": 0.1,
    "norm=group": 0.03,
    "head=average": 0.1,
    "norm=batch head=average": 0.1,
    "norm=layer head=average": 0.1,
    "norm=group head=average": 0.1,
    "inputs=standardized": 0.03,
    "head=average inputs=standardized": 0.03,
}
SURE = 0.9  # of a confidence
RARE = 0.999  # share of all activations on the training set that lie below "abnormally high"
CONFIDENCE = 0.05  # the smallest difference that matters
RIVALS = ("none", "BN own")
SHIFTS_NEEDED = 3  # of the four
# What is written down for a network whose training diverged.
FAILED = {
    "activation ratio": 1.0,
    "activations above": 1 - RARE,
    "confidence": GUESSING,
    "sure": 0.0,
    "AUROC": 0.5,
    "AUROC of confidence": 0.5,
    "AUROC, clipped": 0.5,
    "FPR95": 0.95,
}


def strange_inputs(seed, draw, arms):
    """C32: activations, confidence and detection of pictures that are no digits.

    Batch norm against networks that store no statistics ("none", "LN", "GN"). "standardized" has no
    batch norm but stores the means and variances of its inputs, so it is no control: it shows what
    other stored statistics do; "standardized own" uses those of the pictures that come in.

    Convolutions to 16 and 32 maps, ReLU, max-pooling, and a linear layer that sees all pixels of
    the last maps ("flatten") or the mean of each ("average"); 1,000 training images, batches of 50,
    SGD with momentum 0.9, 10 epochs, each network at its tuned rate; group norm with four groups.
    Strange pictures: 797 each of `shifted_digits.STRANGE`; "known" are the 797 test digits. Batch
    norm evaluates with the statistics of the training set ("BN"), with those of the batch of 797
    itself ("BN own"), or with the mean of both, layer after layer ("BN half").

    "activation ratio": the mean of what the last layer sees on strange pictures over that on known
    ones. "activations above": share above the 99.9th percentile on the training set. "confidence":
    mean largest softmax probability; "sure": share above 0.9. "AUROC", "FPR95": of the energy;
    "clipped": after ReAct at the 90th percentile of the training set. "… over X": batch norm's
    number less (of the ratio: over) that of network X, the lead that it reaches with at least three
    of the four kinds of pictures, so the second smallest of four. A network that diverged counts as
    guessing.
    """
    data = split(seed, draw)
    heads = dict.fromkeys(name.rpartition(" ")[2] for name in arms)
    rows = {
        how: strange_pictures(data.x_test, how, np.random.default_rng([seed, 7, at]))
        for at, how in enumerate(STRANGE)
    }
    found: dict = {}
    for head in heads:
        kinds = [name.removesuffix(f" {head}") for name in arms if name.endswith(f" {head}")]
        needed = [*kinds, *RIVALS] if "BN" in kinds else kinds
        own = _examine(head, dict.fromkeys(needed), seed, data, rows)
        if "BN" in kinds:
            own["BN"] |= leads(own)
        found |= {f"{kind} {head}": own[kind] for kind in kinds}
    return {name: found[name] for name in arms}


def _examine(head, kinds, seed, data, rows):
    """Measures of each kind of network with that head."""
    names = {kind: f"{kind.split()[0]} {head}" for kind in kinds}
    wanted = dict.fromkeys(names.values())
    runs = convnets.train({name: TUNED[name] for name in wanted}, seed, data, rates=RATES)
    found = {}
    for kind, name in names.items():
        run = runs[name]
        if kind == OWN_INPUTS:
            inputs = {how: inputs_of(TUNED[name], data, own, own) for how, own in rows.items()}
            known = inputs_of(TUNED[name], data, data.x_test, data.x_test)
            run = run._replace(data=run.data._replace(x_test=known))
        else:
            inputs = {how: inputs_of(TUNED[name], data, own) for how, own in rows.items()}
        found[kind] = examine(run, inputs, ALPHA.get(kind, 0.0))
    return found


def inputs_of(arm, data, rows, source=None):
    """Rows of pixels as the arm's network sees them, standardized as its training images are.

    Or as other rows are, the `source`.
    """
    x_train = data.x_train if source is None else source
    return convnets.prepare(arm, data._replace(x_train=x_train, x_test=rows)).x_test


@np.errstate(all="ignore")  # a network that diverged may overflow
def examine(run, strange, alpha):
    """All measures of one network, for each kind of strange pictures."""
    if run.history.diverged:
        values = {
            "accuracy": GUESSING,
            "accuracy, clipped": GUESSING,
            "confidence, known": GUESSING,
        }
        each = {f"{measure}, {how}": v for how in strange for measure, v in FAILED.items()}
        return values | each
    network, data = run.network, run.data
    with training.population_statistics(network, data.x_train):
        on_training = ood.penultimate(network, data.x_train)
        rare = np.quantile(on_training, RARE)
        # A network of which nine tenths are silent has the limit 0, which `react` does not take.
        limit = max(ood.react_limit(network, data.x_train), np.finfo(float).tiny)
        known = respond(network, data.x_test, alpha, limit)
        found = {
            "accuracy": np.mean(known["logits"].argmax(axis=1) == data.y_test),
            "accuracy, clipped": np.mean(known["clipped"].argmax(axis=1) == data.y_test),
            "confidence, known": ood.confidence(known["logits"]).mean(),
        }
        for how, x in strange.items():
            there = respond(network, x, alpha, limit)
            values = compare(known, there, rare)
            found |= {f"{measure}, {how}": value for measure, value in values.items()}
    return found


def respond(network, x, alpha, limit):
    """What the last layer sees, and its logits, without and with clipping."""
    with ood.mixed_statistics(network, x, alpha=alpha) as logits:
        return {
            "hidden": ood.penultimate(network, x),
            "logits": logits,
            "clipped": ood.react(network, x, limit),
        }


def compare(known, strange, rare):
    """How strange pictures differ from known ones, by what a network makes of both."""
    ratio_, above = ood.unit_activations(known["hidden"], strange["hidden"], rare)
    sure = ood.confidence(strange["logits"])
    scores = [ood.energy(one["logits"]) for one in (known, strange)]
    clipped = [ood.energy(one["clipped"]) for one in (known, strange)]
    return {
        "activation ratio": ratio_,
        "activations above": above,
        "confidence": sure.mean(),
        "sure": np.mean(sure > SURE),
        "AUROC": ood.auroc(*scores),
        "AUROC of confidence": ood.auroc(-ood.confidence(known["logits"]), -sure),
        "AUROC, clipped": ood.auroc(*clipped),
        "FPR95": ood.fpr95(*scores),
    }


def leads(found, strange=STRANGE, needed=SHIFTS_NEEDED):
    """What batch norm has over its rivals with at least so many kinds of strange pictures."""

    def lead(measure, rival, less):
        own, other = (
            np.array([found[kind][f"{measure}, {how}"] for how in strange])
            for kind in ("BN", rival)
        )
        return reached_by(needed, less(own, other))

    ratios = [found["BN"][f"activation ratio, {how}"] for how in strange]
    measures = {"activation ratio reached": reached_by(needed, ratios)}
    for rival in RIVALS:
        measures[f"confidence over {rival}"] = lead("confidence", rival, np.subtract)
        if rival != "BN own":  # whose ratio is about 1 by construction
            measures[f"activation ratio over {rival}"] = lead("activation ratio", rival, np.divide)
    return measures


def reached_by(count, values):
    """What at least so many of the values reach.

    Examples
    --------
    >>> float(reached_by(3, [0.4, -0.2, 0.3, 0.1]))
    0.1
    """
    return np.sort(values)[-count]


def _reached(head, measure, smallest, scale="linear"):
    return Contrast(f"{measure}, {head}", measure, {f"BN {head}": 1.0}, "more", smallest, scale)


def _larger(head, measure, scale="linear"):
    """What is reached with one head is more than with the other."""
    (other,) = set(HEADS) - {head}
    weights = {f"BN {head}": 1.0, f"BN {other}": -1.0}
    name = f"{measure}, {head} - {other}"
    return Contrast(name, measure, weights, "more", float(scale == "log"), scale)


def _active(head):
    measures = ("activation ratio reached", "activation ratio over none")
    return tuple(_reached(head, measure, QUARTER, "log") for measure in measures)


def _confident(head, rivals):
    return tuple(_reached(head, f"confidence over {rival}", CONFIDENCE) for rival in rivals)


def _not_anyway(head):
    """Batch norm is not just more confident altogether."""
    own, other = (f"{kind} {head}" for kind in ("BN", "none"))
    more = {"wanted": "not more", "smallest": CONFIDENCE}
    contrast = difference(own, other, "confidence, known", **more)
    return replace(contrast, name=f"confidence on known, {contrast.name}")


def _caused(head):
    return (*_confident(head, RIVALS), _not_anyway(head))


def _by_head(needs, *larger):
    """The rule's needs for each head, and more with that head than with the other."""
    return {
        words: (*needs(head), *(_larger(head, *one) for one in larger))
        for head, words in HEADS_IN_WORDS.items()
    }


C32 = (
    Rule(
        claim="C32",
        part="stored statistics make units abnormally active",
        says=(
            "Under stored statistics, on at least three of four kinds of strange pictures, what "
            "the last layer of batch norm networks sees is on average at least a quarter more "
            "active than on known pictures, by a factor that is at least a quarter larger than "
            "that of networks without any norm, with either head."
        ),
        needs=tuple(contrast for head in HEADS for contrast in _active(head)),
        when=_by_head(
            _active, ("activation ratio reached", "log"), ("activation ratio over none", "log")
        ),
    ),
    Rule(
        claim="C32",
        part="and so over-confident",
        says=(
            "On at least three of four kinds of strange pictures the confidence of batch norm "
            "networks under stored statistics is at least .05 above that of the same networks "
            "under the pictures' own statistics, with either head."
        ),
        needs=tuple(one for head in HEADS for one in _confident(head, ("BN own",))),
        when=_by_head(lambda head: _confident(head, ("BN own",)), ("confidence over BN own",)),
    ),
    Rule(
        claim="C32",
        part="one fundamental cause",
        says=(
            "On at least three of four kinds of strange pictures the confidence of batch norm "
            "networks under stored statistics is at least .05 above that of networks without any "
            "norm, and above that under own statistics, and on known pictures not more than .05 "
            "above that without, with either head."
        ),
        needs=tuple(one for head in HEADS for one in _caused(head)),
        when=_by_head(_caused, ("confidence over none",)),
    ),
)

# --- new classes: a control, exploratory ----------------------------------------------------------

OLD = 5  # the digits 0 to 4 are learned, the others are new
HELD_OUT = ("none", "BN", "BN own")


def held_out_classes(seed, draw, arms):
    """Exploratory: networks that learned the digits 0 to 4 see the digits 5 to 9.

    As `strange_inputs`, with 20 epochs on the half of the training images, at the same rates. The
    new pictures are written by the same hands: their pixels are distributed nearly as before, and
    what stored statistics tell is nearly right.
    """
    data = split(seed, draw)
    old, new = data.y_test < OLD, data.y_test >= OLD
    learned = data.y_train < OLD
    known = Dataset(
        data.x_train[learned], data.y_train[learned], data.x_test[old], data.y_test[old]
    )
    networks = {
        name: replace(TUNED[name], epochs=20, lr=RATES[TUNED[name].description])
        for name in dict.fromkeys(own.replace("BN own", "BN") for own in arms)
    }
    runs = convnets.train(networks, seed, known)
    return {
        name: examine(
            runs[name.replace("BN own", "BN")],
            {"new": convnets.pictures(known._replace(x_test=data.x_test[new])).x_test},
            1.0 if "own" in name else 0.0,
        )
        for name in arms
    }


EXPERIMENTS = (
    Experiment(
        name="strange_inputs",
        chapter="distribution_shift",
        measure=strange_inputs,
        arms=ARMS,
        rules=C32,
        seeds=10,
        tolerance=1e-6,
    ),
    Experiment(
        name="held_out_classes",
        chapter="distribution_shift",
        measure=held_out_classes,
        arms=tuple(f"{kind} {head}" for head in HEADS for kind in HELD_OUT),
        seeds=5,
        tolerance=1e-6,
    ),
)

# --- choosing rates -------------------------------------------------------------------------------

SCORES = Path(__file__).parents[2] / "results" / "ood_rates.json"


def choose():
    """Choose the rates of all networks (see `convnets.choose`) and print the table `RATES`."""
    convnets.choose(TUNED.values(), SCORES)
