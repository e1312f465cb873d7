"""What happens to a signal in plain networks: claims C37, C01, C26 and C45.

No arm here has batch norm: what it is supposed to cure is looked at first.
"""

from dataclasses import replace

import numpy as np

from bnlib.experiments.arms import (
    GUESSING,
    Arm,
    build,
    cross_entropy,
    pre_activations,
    split,
    standardized,
    steps_to,
    train,
)
from bnlib.experiments.contrasts import difference, few, interaction, most, ratio
from bnlib.experiments.experiment import Experiment
from bnlib.verdicts import Contrast, Rule

# --- C37: inputs of different sizes -------------------------------------------------------------

SIZES = (1, 10, 100)  # of the second input, in standard deviations of the first
SOFTMAX_RATES = tuple(0.05 * 2.0**k for k in range(11))  # 0.05 to 51
NETWORK_RATES = tuple(0.01 * 2.0**k for k in range(9))  # 0.01 to 2.6
TARGET = 0.3  # nats


def bowl(x, first):
    """Condition number of the bowl, and the steps of gradient descent to 1 % of the first loss.

    The loss is e' H e / 2 with H the mean of x x'; the rate is the best constant one,
    2 / (largest + smallest eigenvalue), so neither arm can gain by tuning.
    """
    curvatures, directions = np.linalg.eigh(x.T @ x / len(x))
    errors = directions.T @ first
    shrink = np.abs(1 - 2 / curvatures[[0, -1]].sum() * curvatures)
    parts = curvatures * errors**2
    steps, target = 0, 0.01 * parts.sum()
    while (parts * shrink ** (2 * steps)).sum() > target:
        steps += 1
    return {"condition number": curvatures[-1] / curvatures[0], "steps": steps}


def fewest_steps(data, depth, rates, *, seed, batch_size, epochs):
    """The fewest steps to the target loss that any of the rates needs, and that rate."""
    arms = {
        str(rate): Arm(depth=depth, batch_size=batch_size, epochs=epochs, lr=rate) for rate in rates
    }
    runs = train(arms, seed, data, evaluate="never", test=False)
    total = epochs * (len(data.x_train) // batch_size)
    over = 1 if batch_size == len(data.x_train) else 20
    steps = [steps_to(TARGET, run.losses(total), over=over) for run in runs.values()]
    best = int(np.argmin(steps))
    return {"steps": steps[best], "rate": rates[best]}


def input_scaling(seed, draw, arms):
    """C37: the same learning problem with inputs as they come and with normalized inputs.

    "bowl": two inputs, the second 1, 10 or 100 times as large as the first, both equally
    important; steps of gradient descent until the loss has fallen to 1 %, at the best rate there
    is. "softmax": one linear layer on all 1,000 training digits at once, raw or standardized.
    "network": three hidden layers of 100 ReLU units, batches of 50. For these two, steps until the
    loss (the mean of the last 20 batches for the network) is below 0.3 nats, at the best rate of a
    grid of factors of 2, chosen for each seed and each arm by this very number: the friendliest
    tuning, for all arms alike.
    """
    rng = np.random.default_rng([seed, 3])
    drawn, wish = rng.standard_normal((200, 2)), rng.choice([-1.0, 1.0], 2)
    data = split(seed, draw)
    inputs = {"raw": data, "standardized": standardized(data)}
    results = {}
    for size in SIZES:
        scales = np.array([1.0, size])
        results[f"bowl x {size}"] = bowl(drawn * scales, wish / scales)
    results["bowl standardized"] = bowl((drawn - drawn.mean(axis=0)) / drawn.std(axis=0), wish)
    for name, own in inputs.items():
        if f"softmax {name}" in arms:
            results[f"softmax {name}"] = fewest_steps(
                own, 0, SOFTMAX_RATES, seed=seed, batch_size=len(own.x_train), epochs=200
            )
        if f"network {name}" in arms:
            results[f"network {name}"] = fewest_steps(
                own, 3, NETWORK_RATES, seed=seed, batch_size=50, epochs=10
            )
    return {arm: results[arm] for arm in arms}


_BOWLS = tuple(ratio(f"bowl x {size}", "bowl standardized", "steps") for size in SIZES if size > 1)
_DIGITS = tuple(
    ratio(f"{model} raw", f"{model} standardized", "steps") for model in ("softmax", "network")
)


def _more_than(raw):
    """The gain in a linear problem exceeds the gain in the network: the interaction."""
    pair = raw, f"{raw.split()[0]} standardized"
    network = "network raw", "network standardized"
    return interaction(pair, network, "steps", smallest=1.0, scale="log")


C37 = Rule(
    claim="C37",
    says=(
        "Steps to a given loss at the best constant rate, raw over normalized inputs: at least a "
        "quarter more for two inputs whose sizes differ 10 and 100 times, for a linear classifier "
        "of digits, and for a network of three hidden layers on digits."
    ),
    needs=_BOWLS + _DIGITS,
    when={
        "the inputs differ in size": (*_BOWLS, _more_than("bowl x 10"), _more_than("bowl x 100")),
        "no hidden layer follows": (*_BOWLS, _DIGITS[0], _more_than("softmax raw")),
    },
)

# --- C01: the initial scale ---------------------------------------------------------------------

FACTORS = {"He / 10": 0.1, "He": 1.0, "10 He": 10.0}
WIDE_RATES = tuple(10.0 ** (k / 2) for k in range(-16, 5))  # 1e-8 to 100
TRAINED = 0.95  # of the training set


def initial_scales(seed, draw, arms):
    """C01: five hidden layers of 100 ReLU units, raw digits, batches of 100, SGD, 20 epochs.

    Initial weights at He's scale, at a tenth and at ten times of it, and for each the learning
    rates 1e-8 to 100 in steps of a factor 3.2: a scale fails only if it fails at every rate.
    "spread" is the standard deviation of the last hidden layer's activations over the first's,
    before training; "trains" is 1 if more than 95 % of the training set is right in the end at some
    rate.
    """
    data = split(seed, draw)
    results = {}
    for name in arms:
        rates = {
            str(rate): Arm(depth=5, batch_size=100, factor=FACTORS[name], lr=rate)
            for rate in WIDE_RATES
        }
        runs = train(rates, seed, data, test=False)
        accuracies = [run.train_accuracy for run in runs.values()]
        network = build(rates[str(WIDE_RATES[0])], data, seed)
        first, *_, last = (np.maximum(z, 0).std() for z in pre_activations(network, data.x_train))
        results[name] = {
            "trains": int(max(accuracies) > TRAINED),
            "train accuracy": max(accuracies),
            "train accuracy at each rate": accuracies,
            "spread": last / first,
        }
    return results


def _spread(arm, wanted):
    name = f"spread: last / first layer, {arm}"
    return Contrast(name, "spread", {arm: 1.0}, wanted, 3.0, "log")


_HE, _SMALL = (
    (most("He", "trains"), _spread("He", "same")),
    (
        few("He / 10", "trains"),
        _spread("He / 10", "less"),
    ),
)
_LARGE = (few("10 He", "trains"), _spread("10 He", "more"))
C01 = Rule(
    claim="C01",
    says=(
        "At He's scale the activations keep their spread from the first to the last layer within a "
        "factor of 3 and most seeds train (more than 95 % of the training set right) at some "
        "learning rate; at a tenth and at ten times that scale the spread shrinks or grows more "
        "than 3 times and most seeds train at no rate."
    ),
    needs=_HE + _SMALL + _LARGE,
    when={
        "the other scale is the smaller one": _HE + _SMALL,
        "the other scale is the larger one": _HE + _LARGE,
    },
)

# --- C26 and C45: units that see one side only ---------------------------------------------------

CENTRED = Arm(inputs="standardized", below=0.5)
PILES = {
    "centred": CENTRED,
    "99 % below": replace(CENTRED, below=0.99),
    "99 % above": replace(CENTRED, below=0.01),
    "half dead": replace(CENTRED, below=1.0, share=0.5),
    "90 % dead": replace(CENTRED, below=1.0, share=0.9),
    "all linear": replace(CENTRED, below=0.0),
    "linear for good": replace(CENTRED, activation="identity"),
}


def pile_up(seed, draw, arms):
    """C26, C45: biases set before training so that units see inputs of one side, mostly or only.

    Three hidden layers of 100 ReLU units, standardized inputs, He's weights, batches of 50, SGD at
    the rate tuned for each arm, 20 epochs. "below" counts inputs of a unit below 0, over the
    training set and before training: half of them (centred), all but 1 % or only 1 % (of every
    unit), all (dead) for a share of the units, none (linear) for all of them. "linear for good" has
    no activations at all.
    """
    data = split(seed, draw)
    runs = train({name: PILES[name] for name in arms}, seed, data)
    results = {}
    for name, run in runs.items():
        start = build(PILES[name], run.data, seed)
        results[name] = {
            "test accuracy": run.test_accuracy,
            "train accuracy": run.train_accuracy,
            "train loss": final_loss(run),
            "one-sided at the start": one_sided(start, run.data.x_train),
            "one-sided at the end": one_sided(run.network, run.data.x_train),
        }
    return results


def final_loss(run):
    """The loss over the training set at the end; that of guessing if the run diverged."""
    if run.history.diverged:
        return float(np.log(1 / GUESSING))
    return cross_entropy(run.network, run.data.x_train, run.data.y_train)


def one_sided(network, x):
    """Share of hidden units whose inputs over `x` lie all on one side of 0."""
    shares = [(z > 0).mean(axis=0) for z in pre_activations(network, x)]
    return float(np.mean([(share == 0) | (share == 1) for share in shares]))


C26 = Rule(
    claim="C26",
    part="its cost",
    says=(
        "With nine in ten units dead at the start, test accuracy is at least a point lower than "
        "with centred inputs; with units that are linear for good, the training loss in the end "
        "is at least a quarter higher (expresses less). Each at its own tuned rate."
    ),
    needs=(
        difference("centred", "90 % dead", "test accuracy"),
        ratio("linear for good", "centred", "train loss"),
    ),
    when={
        "nearly all units are dead": (difference("centred", "90 % dead", "test accuracy"),),
        "all units are linear": (ratio("linear for good", "centred", "train loss"),),
    },
)
C45 = Rule(
    claim="C45",
    says=(
        "Units that see 99 % of their inputs on one side at the start, below or above 0, cost at "
        "least a point of test accuracy against centred ones, each at its own tuned rate."
    ),
    needs=(
        difference("centred", "99 % below", "test accuracy"),
        difference("centred", "99 % above", "test accuracy"),
    ),
    when={
        "the side is the one that ReLU cuts off": (
            difference("centred", "99 % below", "test accuracy"),
            difference("99 % above", "99 % below", "test accuracy", smallest=0.0),
        ),
        "the side is the one that ReLU lets through": (
            difference("centred", "99 % above", "test accuracy"),
            difference("99 % below", "99 % above", "test accuracy", smallest=0.0),
        ),
    },
)

EXPERIMENTS = (
    Experiment(
        name="input_scaling",
        chapter="signal_propagation",
        measure=input_scaling,
        arms=(
            *(f"bowl x {size}" for size in SIZES),
            "bowl standardized",
            "softmax raw",
            "softmax standardized",
            "network raw",
            "network standardized",
        ),
        rules=(C37,),
        seeds=10,
    ),
    Experiment(
        name="initial_scales",
        chapter="signal_propagation",
        measure=initial_scales,
        arms=tuple(FACTORS),
        rules=(C01,),
        seeds=10,
    ),
    Experiment(
        name="pile_up",
        chapter="signal_propagation",
        measure=pile_up,
        arms=tuple(PILES),
        rules=(C26, C45),
        seeds=20,
    ),
)
