"""Black digits learned, coloured digits seen. Claims C20, C39 and C46.

The claims about pictures that are no digits, C32, are in `ood_networks`. Rates were chosen by
`choose`, on development seeds and validation images only; all scores are in
`results/distribution_shift_rates.json`.
"""

import json
from pathlib import Path

import numpy as np

from bnlib import ensembles, layers, training
from bnlib.experiments.arms import Run, split, standardized
from bnlib.experiments.contrasts import POINT, difference
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.shifted_digits import COLOURS, RECOLOURED, recolour
from bnlib.verdicts import Contrast, Rule

PIXELS = ("light", "ink")  # what a pixel counts: paper is 1, or paper is 0
NORMS = {"plain": None, "standardized": None, "LN": layers.LayerNorm, "BN": layers.BatchNorm}
KINDS = tuple(NORMS)
PLAIN = ("plain", "standardized")
ADAPTS = ("standardized", "BN")  # kinds that hold statistics of their inputs
RATES = {
    "plain light": 0.03,
    "standardized light": 0.3,
    "LN light": 0.1,
    "BN light": 0.3,
    "plain ink": 0.3,
    "standardized ink": 0.3,
    "LN ink": 0.1,
    "BN ink": 1.0,
}
SIZES = (192, 100, 100, 100, 10)
EPOCHS, BATCH = 20, 50
IN_WORDS = {
    "grey": "all ink is grey",
    "yellow": "all ink is yellow",
    "pastel": "every picture has a pale ink of its own",
    "negative": "ink and paper are exchanged",
}
AGAIN, ANEW = " re-estimated", " retrained"
LARGE = 0.10  # a drop in accuracy that nobody would overlook: ten points
RECOVERED = 0.9  # of a drop: what a cure must give back


# --- training -------------------------------------------------------------------------------------


def in_colour(data, colour, seed, pixels="light"):
    """The same digits, and labels, in a colour; each set has random colours of its own.

    A pixel counts the light that comes from it or the ink that takes light away: 1 minus the other.
    """
    rng = np.random.default_rng([seed, 6, COLOURS.index(colour)])
    x_train, x_test = (recolour(ink, colour, rng) for ink in (data.x_train, data.x_test))
    if pixels == "ink":
        x_train, x_test = 1 - x_train, 1 - x_test
    return data._replace(x_train=x_train, x_test=x_test)


def prepare(kind, data):
    """The data as that kind of network sees them."""
    return standardized(data) if kind == "standardized" else data


def train(kind, seed, sets, rates):
    """One network for each data set and rate, of one kind, from the same weights; their runs."""
    prepared = [prepare(kind, data) for data in sets]
    networks = [
        layers.mlp(SIZES, rng=np.random.default_rng([seed, 1]), norm=NORMS[kind]) for _ in sets
    ]
    histories = ensembles.fit_together(
        networks,
        prepared,
        lr=np.array(rates),
        epochs=EPOCHS,
        batch_size=BATCH,
        rngs=[np.random.default_rng([seed, 2]) for _ in sets],
        evaluate="end",
        statistics="population",
    )
    if any(history.interrupted for history in histories):
        raise KeyboardInterrupt  # half a training is no result
    return list(map(Run, networks, prepared, histories))


# --- C20, C39, C46: recoloured digits -------------------------------------------------------------

ARMS = tuple(
    f"{kind}{how} {colour} {pixels}"
    for pixels in PIXELS
    for colour in RECOLOURED
    for how, kinds in (("", KINDS), (AGAIN, ADAPTS), (ANEW, ADAPTS if pixels == "light" else ()))
    for kind in kinds
)


def black_cats(seed, draw, arms):
    """C20, C39, C46: digits learned in black ink, seen in another colour.

    The label is a function of the drawing, which a colour does not change. Pictures have three
    channels; colours as in `shifted_digits.recolour`. A pixel counts "light" (white paper is 1) or
    "ink" (white paper is 0). Three hidden layers of 100 ReLU units, 1,000 training images in black,
    batches of 50, SGD for 20 epochs, each kind of network at its tuned rate: "plain";
    "standardized", whose inputs have mean 0 and variance 1 over the training set; "LN" and "BN",
    with layer norm and batch norm before every activation. Tested on 797 digits in the new colour,
    batch norm with the statistics of the black training set. "re-estimated": with those of 1,000
    training images in the new colour, without their labels; "standardized" with their means and
    variances of each input instead. "retrained": anew on them, with labels, at the same rate.

    "drop": accuracy on black test digits less that in the new colour, "retrained" less that of the
    new network. "short": of re-estimated ones, how far they are from nine tenths of the drop.
    """
    data = split(seed, draw)
    found: dict = {}
    for pixels in PIXELS:
        own = [name.removesuffix(f" {pixels}") for name in arms if name.endswith(f" {pixels}")]
        sets = {colour: in_colour(data, colour, seed, pixels) for colour in COLOURS}
        measured = _in_new_colours(own, seed, sets, pixels)
        found |= {f"{name} {pixels}": values for name, values in measured.items()}
    return {name: found[name] for name in arms}


def _in_new_colours(names, seed, sets, pixels):
    """Measures by name, "BN grey" or "BN re-estimated grey"; each network is trained once."""
    found = {}
    for kind in dict.fromkeys(name.split()[0] for name in names):
        own = [name.split() for name in names if name.split()[0] == kind]
        anew = [colour for *how, colour in own if how[-1] == "retrained"]
        trained = ["black", *anew]
        rates = [RATES[f"{kind} {pixels}"]] * len(trained)
        runs = dict(zip(trained, train(kind, seed, [sets[c] for c in trained], rates), strict=True))
        for *how, colour in own:
            new = runs[colour] if how[-1] == "retrained" else None
            values = _drop(kind, how[-1], runs["black"], new, sets["black"], sets[colour])
            found[" ".join([*how, colour])] = values
    return found


def _drop(kind, how, run, retrained, old, new):
    """Accuracy in the new colour, and what is lost against black."""
    clean = run.test_accuracy
    if retrained:
        accuracy = retrained.test_accuracy
        return {"accuracy": accuracy, "drop": clean - accuracy}
    stored = accuracy_by(kind, run.network, old.x_train, new)
    if how != "re-estimated":
        return {"accuracy": stored, "drop": clean - stored, "accuracy in black": clean}
    accuracy = accuracy_by(kind, run.network, new.x_train, new)
    short = clean - accuracy - (1 - RECOVERED) * (clean - stored)
    return {"accuracy": accuracy, "drop": clean - accuracy, "short": short}


@np.errstate(all="ignore")  # a network that diverged may overflow
def accuracy_by(kind, network, source, data):
    """Test accuracy by the statistics of `source`, training pictures of one colour or the other."""
    own = prepare(kind, data._replace(x_train=source))
    with training.population_statistics(network, own.x_train):
        return training.accuracy(network, own.x_test, own.y_test)


PLACES = tuple((colour, pixels) for colour in RECOLOURED for pixels in PIXELS)


def _on_average(measure, name, more, less, places=PLACES, less_at=None):
    """Some networks less others, averaged over places: for interactions."""
    weights: dict[str, float] = {}
    for kinds, where, sign in ((more, places, 1), (less, less_at or places, -1)):
        for kind in kinds:
            for place in where:
                arm = f"{kind} {' '.join(place)}"
                weights[arm] = weights.get(arm, 0) + sign / len(kinds) / len(where)
    return Contrast(name, measure, weights, "more", 0.0)


def _of(colour):
    """The places of a colour, and all others."""
    return [p for p in PLACES if p[0] == colour], [p for p in PLACES if p[0] != colour]


def _falls(kind, colour, pixels):
    arm = f"{kind} {colour} {pixels}"
    return Contrast(f"black - {colour}, {kind} {pixels}", "drop", {arm: 1.0}, "more", LARGE)


def _all_fall(places):
    return tuple(_falls(kind, *place) for place in places for kind in KINDS)


def _falls_more(colour):
    own, others = _of(colour)
    return _on_average("drop", f"{colour} - other colours", KINDS, KINDS, own, others)


C20 = Rule(
    claim="C20",
    says=(
        "Networks that learned digits in black ink lose at least 10 points of accuracy on digits "
        "in grey, yellow, pastel and exchanged colours, whether pixels count light or ink: plain, "
        "with standardized inputs, with layer norm and with batch norm."
    ),
    needs=_all_fall(PLACES),
    when={
        words: (*_all_fall(_of(colour)[0]), _falls_more(colour))
        for colour, words in IN_WORDS.items()
    }
    | {
        "the network has batch norm": (
            *(_falls("BN", *place) for place in PLACES),
            _on_average("drop", "BN - plain ones", ("BN",), PLAIN),
        )
    },
)


def _freer(places, how="", rivals=PLAIN):
    """Batch norm loses less than networks without it."""
    return tuple(
        difference(f"{rival} {' '.join(place)}", f"BN{how} {' '.join(place)}", "drop")
        for place in places
        for rival in rivals
    )


def _saves(places):
    """New statistics take away some of batch norm's drop."""
    return _on_average("drop", "stored - re-estimated", ("BN",), (f"BN{AGAIN}",), places)


def _freer_there(pixels, other):
    """What it loses less than plain networks is more where pixels count so."""
    weights: dict[str, float] = {}
    for where, sign in ((pixels, 1), (other, -1)):
        for kind, weight in (("plain", 0.5), ("standardized", 0.5), ("BN", -1.0)):
            weights |= {f"{kind} {c} {where}": sign * weight / len(RECOLOURED) for c in RECOLOURED}
    return Contrast(f"(plain ones - BN), {pixels} - {other}", "drop", weights, "more", 0.0)


C39 = Rule(
    claim="C39",
    says=(
        "On digits in grey, yellow, pastel and exchanged colours, whether pixels count light or "
        "ink, batch norm, with the statistics it learned in black, loses at least a point less "
        "accuracy than plain networks with raw and with standardized inputs."
    ),
    needs=_freer(PLACES),
    when={
        f"pixels count {pixels}": (
            *_freer([place for place in PLACES if place[1] == pixels]),
            _freer_there(pixels, other),
        )
        for pixels, other in (PIXELS, PIXELS[::-1])
    }
    | {
        "its statistics are measured again and the other networks stay as they are": (
            *_freer(PLACES, AGAIN),
            _saves(PLACES),
        ),
        "its statistics, and those of standardized inputs, are measured again": (
            *_freer(PLACES, AGAIN, ("plain", f"standardized{AGAIN}")),
            _saves(PLACES),
        ),
    }
    | {
        f"its statistics are measured again, the other networks stay as they are, and {words}": (
            *_freer(_of(colour)[0], AGAIN),
            _saves(_of(colour)[0]),
        )
        for colour, words in IN_WORDS.items()
    },
)


def _only_training_helps(colour):
    """No new statistics give back nine tenths of the drop, and labels do better."""
    found = []
    for kind in ADAPTS:
        again, anew = (f"{kind}{how} {colour} light" for how in (AGAIN, ANEW))
        name = f"short of 9/10, {kind} {colour}"
        found += [Contrast(name, "short", {again: 1.0}, "more", POINT)]
        found += [difference(anew, again, "accuracy")]
    return tuple(found)


def _shorter(colour):
    """Here new statistics fall shorter than in the other colours, averaged over both networks."""
    again = [f"{kind}{AGAIN}" for kind in ADAPTS]
    own, others = ([p for p in places if p[1] == "light"] for places in _of(colour))
    return _on_average("short", f"short, {colour} - other colours", again, again, own, others)


C46 = Rule(
    claim="C46",
    says=(
        "On digits in grey, yellow, pastel and exchanged colours statistics that are measured "
        "again without labels (of batch norm, or of standardized inputs) give back less than nine "
        "tenths of the lost accuracy, by at least a point, and training again gives at least a "
        "point more than they do."
    ),
    needs=tuple(one for colour in RECOLOURED for one in _only_training_helps(colour)),
    when={
        words: (*_only_training_helps(colour), _shorter(colour))
        for colour, words in IN_WORDS.items()
    },
)


def of_chapter(measure, arms, **options):
    """Make an experiment of this chapter, with the name of its measure."""
    return Experiment(
        name=measure.__name__,
        chapter="distribution_shift",
        measure=measure,
        arms=tuple(arms),
        tolerance=1e-6,
        **options,
    )


EXPERIMENTS = (of_chapter(black_cats, ARMS, rules=(C20, C39, C46)),)

# --- choosing rates -------------------------------------------------------------------------------

SCORES = Path(__file__).parents[2] / "results" / "distribution_shift_rates.json"
SEEDS = range(10)
START = (-4, -3, -2, -1, 0)  # places on the ladder of `tuning`: 0.01 to 1


def choose():
    """Choose the rate of every kind of network, store all scores, and print the table `RATES`.

    As in `tuning`: the best mean accuracy on 200 of the black training images, over ten
    development seeds, on a ladder of rates that grows while the best lies at its edge.
    """
    from bnlib.experiments import tuning

    arms = {f"{kind} {pixels}": (kind, pixels) for pixels in PIXELS for kind in KINDS}
    found = tuning.tune(arms, _measure, seeds=SEEDS, starts=dict.fromkeys(arms, START))
    scores = {name: tuning.by_rate(by_place) for name, by_place in found.items()}
    SCORES.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8", newline="\n")
    print({name: tuning.best_rate(own) for name, own in scores.items()})


def _measure(jobs):
    """The scores of all jobs (kind, pixels, places, seed)."""
    return [_scores(*job) for job in jobs]


def _scores(kind, pixels, places, seed):
    """Validation accuracy at each of some places of the ladder."""
    from bnlib.experiments import tuning

    data = in_colour(tuning.validation_data(seed), "black", seed, pixels)
    rates = [tuning.rate(place) for place in places]
    return [run.test_accuracy for run in train(kind, seed, [data] * len(rates), rates)]
