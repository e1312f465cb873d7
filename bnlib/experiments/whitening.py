"""Does joint whitening learn better than batch norm, and are mini-batches enough? Claim C12.

The rates and eps of the arms were chosen by `choose`, on development seeds and validation images
only; all scores are in `results/whitening_rates.json`. The networks are in `whitened_networks`.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnlib.experiments.arms import split
from bnlib.experiments.contrasts import difference, interaction, ratio
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.whitened_networks import (
    BASES,
    BATCHES,
    HIDDEN,
    KINDS,
    build,
    hidden_sums,
    run,
)
from bnlib.verdicts import Rule
from bnlib.whitening import correlation, directions

# In steps of 3 where the best were found, of 100 where eps hardly counts.
EPS = (1e-5, 1e-3, 1e-1, 0.3, 1.0, 3.0, 10.0)
SHARED = 0.1
RACERS = tuple(f"{kind} {batch}" for batch in BATCHES for kind in KINDS)
# By name of a racer: (learning rate, eps), once for accuracy in the end, once for speed.
CHOSEN: dict[str, dict[str, tuple[float, float]]] = {
    "tuned": {
        "plain 200": (0.3, 1e-05),
        "standardized 200": (1.0, 1e-05),
        "batch norm 200": (1.0, 0.3),
        "groups of 10 200": (1.0, 0.3),
        "whitened 200": (3.0, 1.0),
        "plain 25": (0.1, 1e-05),
        "standardized 25": (0.3, 1e-05),
        "batch norm 25": (0.3, 0.1),
        "groups of 10 25": (0.3, 0.1),
        "whitened 25": (0.3, 1.0),
    },
    "for speed": {
        "plain 200": (0.3, 1e-05),
        "standardized 200": (1.0, 1e-05),
        "batch norm 200": (1.0, 0.3),
        "groups of 10 200": (3.0, 0.3),
        "whitened 200": (3.0, 1.0),
        "plain 25": (0.1, 1e-05),
        "standardized 25": (0.3, 1e-05),
        "batch norm 25": (0.3, 0.1),
        "groups of 10 25": (0.3, 0.3),
        "whitened 25": (1.0, 1.0),
    },
}
# Arms that were not tuned have the rate and eps of another.
BORROWED = {
    **{
        f"{kind}, whole set {b}": f"{kind} {b}"
        for kind in ("batch norm", "whitened")
        for b in BATCHES
    },
    "whitened by triangle 200": "whitened 200",
    "whitened inputs 200": "plain 200",
}


def arm_of(name):
    """An arm with its rate and eps, from its name: a base and "tuned", "for speed" or "at 0.1"."""
    for how, chosen in CHOSEN.items():
        if name.endswith(f" {how}"):
            base = name.removesuffix(f" {how}")
            lr, eps = chosen[BORROWED.get(base, base)]
            return replace(BASES[base], lr=lr, eps=eps)
    return replace(BASES[name.removesuffix(" at 0.1")], lr=SHARED)


ARMS = (
    *(f"{base} tuned" for base in BASES),
    *(
        f"{kind} {batch} {how}"
        for batch in BATCHES
        for kind in KINDS
        if kind != "groups of 10"
        for how in ("for speed", "at 0.1")
    ),
)

# --- C12: the measured parts ----------------------------------------------------------------------


def whitened_networks(seed, draw, arms):
    """C12: whitening of all hidden units together against batch norm, plain and standardized.

    Three hidden layers of 50 ReLU units at He's scale, SGD; batches of 200 for 40 epochs or of 25,
    fewer than there are units, for 10: 200 and 400 steps. "whitened" multiplies the centred units
    of a layer by the symmetric root of the inverse of their covariance in the batch, "by triangle"
    by the inverse of its triangular factor, "groups of 10" in five groups; all have gamma and beta,
    as batch norm, which is the same with groups of one. "whole set" takes the statistics of all
    1,000 training images in every step, with the gradient through them. "tuned" is the learning
    rate, and the eps out of seven of arms that normalize, with the best validation accuracy in the
    end; "for speed" that with the best mean over the training; "at 0.1" has eps 1e-5. "whole set"
    has the rate and eps of its twin with mini-batches, "by triangle" those of "whitened",
    "whitened inputs" the rate of "plain".

    Loss and accuracies are read at 41 moments by the statistics of the whole training set. "steps"
    until its loss is below 0.1 nats; a run that never is has one look more than all. A diverged run
    counts as guessing. Exploratory: "correlation" and "directions" (see `bnlib.whitening`) of what
    each hidden linear layer computes for the training set, "at the start" before the first step.
    """
    data = split(seed, draw)
    results = {}
    for name in arms:
        arm = arm_of(name)
        values, network, own = run(arm, seed, data)
        losses = values.pop("losses")
        if name.endswith("for speed"):
            values["losses"] = losses
        if name.endswith("200 tuned"):
            values |= entanglement(network, own.x_train)
            start = entanglement(build(arm, seed), own.x_train)
            values |= {f"{measure} at the start": value for measure, value in start.items()}
        results[name] = values
    return results


def entanglement(network, x):
    """How correlated the sums of each hidden layer are; of a network that diverged, 0."""
    try:
        sums = hidden_sums(network, x)
    except FloatingPointError:  # from a whitening
        sums = [np.array([[np.inf]])]
    if not all(np.isfinite(z).all() for z in sums):
        return dict.fromkeys(("correlation", "directions"), [0.0] * HIDDEN)
    return {
        "correlation": [correlation(z) for z in sums],
        "directions": [directions(z) for z in sums],
    }


RIVALS = ("batch norm", "plain", "standardized")


def _more_accurate(kind, batch, how, rivals=RIVALS):
    arms = [(f"{kind} {batch} {how}", f"{rival} {batch} {how}") for rival in rivals]
    return tuple(difference(own, rival, "test accuracy") for own, rival in arms)


def _faster(batch, how):
    return tuple(
        ratio(f"{rival} {batch} {how}", f"whitened {batch} {how}", "steps") for rival in RIVALS
    )


def _gain(batch, how):
    return f"whitened {batch} {how}", f"batch norm {batch} {how}"


def _gain_is_larger(this, that):
    """The gain in accuracy over batch norm is larger here than there."""
    return interaction(_gain(*this), _gain(*that), "test accuracy")


def _speed_up_is_larger(this, that):
    pair, other = _gain(*this)[::-1], _gain(*that)[::-1]
    return interaction(pair, other, "steps", smallest=1.0, scale="log")


def _conditions(own, contrasts, larger):
    """The conditions of a rule whose arms have the rate `own`, or the shared one."""
    many, few, shared = ("200", own), ("25", own), ("200", "at 0.1")
    return {
        "batches have four times as many examples as there are units": (
            *contrasts(*many), *contrasts(*shared),
            larger(many, few), larger(shared, ("25", "at 0.1")),
        ),
        "every arm has its own rate": (
            *contrasts(*many), *contrasts(*few),
            larger(many, shared), larger(few, ("25", "at 0.1")),
        ),
        "batches are that large and every arm has its own rate": (
            *contrasts(*many), larger(many, few), larger(many, shared),
        ),
    }  # fmt: skip


def _whitened_more_accurate(batch, how):
    return _more_accurate("whitened", batch, how)


def _by_whole_set(batch):
    own, twin = (f"{kind}, whole set {batch} tuned" for kind in ("whitened", "batch norm"))
    rivals = {"batch norm by the whole set": twin} | {
        rival: f"{rival} {batch} tuned" for rival in RIVALS
    }
    larger = interaction((own, twin), _gain(batch, "tuned"), "test accuracy")
    return (
        *(
            replace(difference(own, arm, "test accuracy"), name=f"whitened - {rival}, {batch}")
            for rival, arm in rivals.items()
        ),
        replace(larger, name=f"(whitened - batch norm, whole set) - (… by the batch), {batch}"),
    )


def _in_groups(batch):
    """Groups win against all rivals, and by however little against whitening all units."""
    groups, all_units = f"groups of 10 {batch} tuned", f"whitened {batch} tuned"
    better = difference(groups, all_units, "test accuracy", smallest=0.0)
    return (*_more_accurate("groups of 10", batch, "tuned"), better)


MORE_ACCURATE = Rule(
    claim="C12",
    part="joint whitening ends more accurate",
    says=(
        "Test accuracy of networks whose hidden units are whitened jointly: at least a point above "
        "batch norm, plain and standardized, with batches of 200 and of 25 for 50 units, every arm "
        "at its tuned rate and at the rate 0.1."
    ),
    needs=tuple(
        contrast
        for batch in BATCHES
        for how in ("tuned", "at 0.1")
        for contrast in _whitened_more_accurate(batch, how)
    ),
    when={
        **_conditions("tuned", _whitened_more_accurate, _gain_is_larger),
        "the statistics are those of the whole training set": (
            *_by_whole_set("200"),
            *_by_whole_set("25"),
        ),
        "units are whitened in groups of ten": (*_in_groups("200"), *_in_groups("25")),
    },
)
FASTER = Rule(
    claim="C12",
    part="joint whitening learns faster",
    says=(
        "Steps until the loss on the training set is below 0.1 nats: at least a quarter more with "
        "batch norm, plain and standardized than with joint whitening, with batches of 200 and of "
        "25 for 50 units, every arm at the rate tuned for speed and at the rate 0.1."
    ),
    needs=tuple(
        contrast
        for batch in BATCHES
        for how in ("for speed", "at 0.1")
        for contrast in _faster(batch, how)
    ),
    when=_conditions("for speed", _faster, _speed_up_is_larger),
)


def _loses_nothing(kind, batch):
    own, whole = f"{kind} {batch} tuned", f"{kind}, whole set {batch} tuned"
    contrast = difference(own, whole, "test accuracy", wanted="not less")
    return replace(contrast, name=f"batch - whole set, {kind} {batch}")


def _loses_less(kind):
    large, small = ((f"{kind} {b} tuned", f"{kind}, whole set {b} tuned") for b in BATCHES)
    contrast = interaction(large, small, "test accuracy")
    return replace(contrast, name=f"(batch - whole set, {kind} 200) - (… 25)")


def _enough(kind, part):
    return Rule(
        claim="C12",
        part=part,
        says=(
            f"Test accuracy of {kind} networks by the statistics of batches of 200 and of 25, each "
            "at its tuned rate, is not a point below that by the statistics of the whole training "
            "set in every step."
        ),
        needs=tuple(_loses_nothing(kind, batch) for batch in BATCHES),
        when={
            "batches have four times as many examples as there are units": (
                _loses_nothing(kind, "200"),
                _loses_less(kind),
            )
        },
    )


EXPERIMENTS = (
    Experiment(
        name="whitened_networks",
        chapter="whitening",
        measure=whitened_networks,
        arms=ARMS,
        tolerance=1e-5,  # rounding grows in steps of rate 1 along directions of hardly any variance
        rules=(
            MORE_ACCURATE,
            FASTER,
            _enough("batch norm", "mini-batches are enough for batch norm"),
            _enough("whitened", "mini-batches are enough for joint whitening"),
        ),
    ),
)

# --- choosing rates -------------------------------------------------------------------------------

SEEDS = (0, 1, 2)
SCORES = Path(__file__).parents[2] / "results" / "whitening_rates.json"
WANTED = {"tuned": "test accuracy", "for speed": "test area"}


def candidates():
    """Every racer with every eps that is tried: those that do not normalize have none to choose."""
    return {
        f"{base} eps {eps:g}": replace(BASES[base], eps=eps)
        for base in RACERS
        for eps in (EPS if BASES[base].group else EPS[:1])
    }


def choose():
    """Choose rate and eps of every racer, store all scores, and print the table `CHOSEN`.

    As in `tuning`, with three development seeds: a grid of rates that grows while the best, by
    either score, lies at its edge.
    """
    from bnlib.experiments import tuning

    arms = candidates()
    found: dict = {how: {name: {} for name in arms} for how in WANTED}
    wanted = {name: set(tuning.START) for name in arms}
    while any(wanted.values()):
        jobs = [(name, place) for name, places in wanted.items() for place in sorted(places)]
        each = [(arms[name], place, seed) for name, place in jobs for seed in SEEDS]
        measured = tuning.in_parallel(_scores, each)
        means = np.reshape(measured, (len(jobs), len(SEEDS), len(WANTED))).mean(axis=1)
        for (name, place), values in zip(jobs, means.tolist(), strict=True):
            for how, value in zip(WANTED, values, strict=True):
                found[how][name][place] = value
        for name in arms:
            best_places = [tuning.choice(found[how][name]) for how in WANTED]
            beside = {place + step for place in best_places for step in (-1, 1)}
            wanted[name] = beside - found["tuned"][name].keys()
    scores = {
        how: {
            name: {
                f"{tuning.rate(place):g}": round(own[name][place], 6) for place in sorted(own[name])
            }
            for name in arms
        }
        for how, own in found.items()
    }
    SCORES.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(best(scores))


def best(scores):
    """For each racer the rate and eps of the best score; the smaller rate, then eps, of equals."""
    chosen: dict = {how: {} for how in scores}
    for how, own in scores.items():
        for base in RACERS:
            tried = [
                (-score, float(rate), float(name.removeprefix(f"{base} eps ")))
                for name, by_rate in own.items()
                if name.startswith(f"{base} eps ")
                for rate, score in by_rate.items()
            ]
            chosen[how][base] = min(tried)[1:]
    return chosen


def _scores(arm, place, seed):
    """Both scores of one run, on the validation images."""
    from bnlib.experiments import tuning

    values, *_ = run(replace(arm, lr=tuning.rate(place)), seed, tuning.validation_data(seed))
    return [float(values[measure]) for measure in WANTED.values()]
