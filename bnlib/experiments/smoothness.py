"""Is the loss along its gradient smoother with batch norm? Claim C10.

C38, whether smoothness means speed, is in `smooth_and_fast`.
"""

import copy
from dataclasses import replace

import numpy as np

from bnlib.experiments.arms import Arm, cross_entropy, learning_rate, split, train
from bnlib.experiments.contrasts import interaction, ratio
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.training import PLAIN_ARMS, STANDING
from bnlib.landscape import along_gradient, surface
from bnlib.layers import Linear
from bnlib.verdicts import Rule

LADDER = np.array([0.5, 1.0, 2.0, 4.0])  # the paper's range of steps, around the usual one
SHARED = 0.1  # the rate that all share; the usual step in absolute coordinates
RELATIVE = 0.01  # the usual step in relative coordinates: each layer's weights have length 1
WORST = 1e12  # for what cannot be measured because it overflows: as rough as can be

# --- C10: smoother? -----------------------------------------------------------------------------

LEVELS = (1.0, 0.3, 0.1)  # training loss in nats at which the arms are compared
RATES = {"at 0.1": SHARED, "tuned": None}
SURFACES = {
    f"{name} {how}": replace(Arm(lr=rate), **change)
    for how, rate in RATES.items()
    for name, change in STANDING.items()
}
BATCHES = 5  # of 50 examples, for the same ruler on mini-batches


def surfaces(seed, draw, arms):
    """C10: the loss along its gradient, at equal loss.

    Three hidden layers of 100 ReLU units at He's scale, batches of 50, SGD, 20 epochs; "at 0.1" all
    arms learn at 0.1, "tuned" each at its own rate. The measures are taken where the loss of the
    whole training set, with the statistics of the whole set, is first 1, 0.3 and 0.1 nats: on the
    straight line between the two weights before and after the step that crosses that value (at the
    end, if none does). One number per value, and their geometric mean, which the rules judge.

    The primary ruler has no scale: each layer's parameters in units of their own length, four steps
    of 0.5 to 4 % along the gradient. "roughness" is the largest change of the gradient per distance
    (effective beta-smoothness), "gradient change" the mean of the four changes, as a share of the
    first gradient. It is chosen because multiplying the weights before a batch norm by any factor
    changes nothing that the network computes, and must change nothing that is measured. "raw": the
    paper's own ruler, steps of 0.05 to 0.4 times the gradient. "own": one step of the arm's own
    rate; its gradient change is the rate times the roughness, and on a bowl 2 is the edge of
    stability. Every gradient is that of the whole training set.

    Exploratory, as second opinions on the ruler: "in one length", all parameters in units of their
    length together; "of the weights", only weight matrices move; "in batches", the geometric mean
    over five batches of 50. What overflows counts as 1e12. "raw over relative" is the ratio of the
    two roughnesses, for the interaction.
    """
    data = split(seed, draw)
    return {name: _surface(SURFACES[name], data, seed) for name in arms}


def _surface(arm, data, seed):
    states, steps = [], range(arm.epochs * len(data.x_train) // arm.batch_size + 1)
    runs = train(
        {"": arm}, seed, data, evaluate="never", test=False, observe_at=steps,
        observe=lambda network: states.append(network.state_dict()),
    )  # fmt: skip
    network, own, _ = runs[""]
    looks = []
    for state in crossings(network, states, own, LEVELS):
        network.load_state_dict(state)
        looks.append(look(network, own, learning_rate(arm)))
    by_level = {name: [one[name] for one in looks] for name in looks[0]}
    means = {
        name: float(np.exp(np.mean(np.log(by_level[name]))))
        for name in ("roughness", "gradient change", "raw roughness", "raw gradient change",
                     "own gradient change", "roughness in batches")
    }  # fmt: skip
    means["raw over relative"] = means["raw roughness"] / means["roughness"]
    return {**{f"{name} by loss": values for name, values in by_level.items()}, **means}


def crossings(network, states, data, levels):
    """Where the training loss first is at each of some levels, from the highest to the lowest.

    Parameters
    ----------
    network : Sequential
        Used as a place for the states; it ends in another one.
    states : list of dict
        Before the first step and after every step.
    data : Dataset
        As the network sees it.
    levels : sequence of float

    Returns
    -------
    list of dict
        Between two states, on the straight line; the last state for a level that is not reached.
    """

    def loss(state):
        network.load_state_dict(state)
        try:
            found = cross_entropy(network, data.x_train, data.y_train)
        except FloatingPointError:  # batch statistics that overflow
            return np.inf
        return found if np.isfinite(found) else np.inf

    found, place = [], 0
    for level in levels:
        while place < len(states) and loss(states[place]) > level:
            place += 1
        if place in (0, len(states)):
            found.append(states[min(place, len(states) - 1)])
            continue
        low, high = 0.0, 1.0  # the share of the step after which the level is crossed
        for _ in range(12):
            middle = (low + high) / 2
            above = loss(_between(states[place - 1], states[place], middle)) > level
            low, high = (middle, high) if above else (low, middle)
        found.append(_between(states[place - 1], states[place], high))
    return found


def _between(before, after, share):
    return {name: (1 - share) * value + share * after[name] for name, value in before.items()}


@np.errstate(all="ignore")  # a network that diverged may overflow
def look(network, data, lr):
    """All measures at one point, as described in `surfaces`."""
    x, labels = data.x_train, data.y_train
    size = np.linalg.norm(surface(network, x, labels)[1])
    if not np.isfinite(size):
        return dict.fromkeys(MEASURED, WORST)
    raw = follow(network, x, labels, rates=SHARED * LADDER)
    own = follow(network, x, labels, rates=lr * LADDER)
    relative = follow_relative(network, x, labels)
    as_one = follow(network, x, labels, lengths=RELATIVE * LADDER * size)
    if not (raw and own and relative and as_one):
        return dict.fromkeys(MEASURED, WORST)
    batches = [slice(50 * k, 50 * (k + 1)) for k in range(BATCHES)]
    usual = int(np.flatnonzero(LADDER == 1)[0])
    values = {
        "loss": raw.loss,
        "roughness": relative.roughness,
        "gradient change": relative.relative_changes.mean(),
        "cosine": relative.cosines.min(),
        "raw roughness": raw.roughness,
        "raw gradient change": raw.relative_changes.mean(),
        "raw loss variation": raw.loss_variation,
        "raw predictiveness": raw.gradient_change,
        "raw cosine": raw.cosines.min(),
        "own gradient change": own.relative_changes[usual],
        "own cosine": own.cosines[usual],
        "own loss variation": own.loss_variation,
        "own step over weights": own.distances[usual] / size,
        "roughness in one length": as_one.roughness * size**2,
        "roughness of the weights": roughness_of(
            follow_relative(_only_weights(network), x, labels)
        ),
        "roughness in batches": np.exp(
            np.mean(
                [np.log(roughness_of(follow_relative(network, x[b], labels[b]))) for b in batches]
            )
        ),
        "gradient norm": raw.gradient_norm,
        "length of the weights": size,
    }
    return {name: float(values[name]) for name in MEASURED}


MEASURED = (
    "loss", "roughness", "gradient change", "cosine", "raw roughness", "raw gradient change",
    "raw loss variation", "raw predictiveness", "raw cosine", "own gradient change", "own cosine",
    "own loss variation", "own step over weights", "roughness in one length",
    "roughness of the weights", "roughness in batches", "gradient norm", "length of the weights",
)  # fmt: skip


def _only_weights(network):
    """A copy in which nothing but weight matrices may move."""
    network = copy.deepcopy(network)
    for leaf in network.leaves():
        kept = {"weight"} if isinstance(leaf, Linear) else set()
        leaf.frozen = frozenset(leaf.params) - kept
    return network


def follow_relative(network, x, labels):
    """The path of the primary ruler; None if it leads out of the numbers."""
    return follow(network, x, labels, relative=True, lengths=RELATIVE * LADDER)


def follow(network, x, labels, *, relative=False, **steps):
    """A path along the gradient; None if it leads out of the numbers."""
    try:
        return along_gradient(*surface(network, x, labels, relative=relative), **steps)
    except FloatingPointError:
        return None


def roughness_of(path):
    """The roughness of a path; the worst if there is none."""
    return path.roughness if path else WORST


def _rougher(plain, rate, measure):
    return ratio(f"{plain} {rate}", f"batch norm {rate}", measure)


def _standardizing_helps(rate, measure):
    """Batch norm's gain over raw inputs exceeds that over standardized ones: the interaction."""
    return ratio(f"plain {rate}", f"standardized {rate}", measure, smallest=1.0)


def _rate_matters(sign, measure):
    """Batch norm's gain over standardized inputs differs between the two kinds of rate."""
    rates = tuple(RATES)[::sign]
    pairs = [(f"standardized {rate}", f"batch norm {rate}") for rate in rates]
    return interaction(pairs[0], pairs[1], measure, smallest=1.0, scale="log")


def _conditions(measure):
    """The conditions that both parts of C10 list: the inputs, and the two kinds of rate."""
    return {
        "the rival's inputs are not standardized": (
            *(_rougher("plain", rate, measure) for rate in RATES),
            *(_standardizing_helps(rate, measure) for rate in RATES),
        ),
        "all have learned at one shared rate": (
            *(_rougher(plain, "at 0.1", measure) for plain in PLAIN_ARMS),
            _rate_matters(1, measure),
        ),
        "all have learned at their own tuned rates": (
            *(_rougher(plain, "tuned", measure) for plain in PLAIN_ARMS),
            _rate_matters(-1, measure),
        ),
    }


def _own_step(how, sign):
    measure = "own gradient change"
    return (
        *(_rougher(plain, how, measure) for plain in PLAIN_ARMS),
        _rate_matters(sign, measure),
    )


C10 = (
    Rule(
        claim="C10",
        part="smoother",
        says=(
            "At equal loss and with every layer measured in units of its own length, the gradient "
            "changes at least a quarter more per distance without batch norm: for raw and for "
            "standardized inputs, at one shared rate and with every arm at its tuned rate."
        ),
        needs=tuple(_rougher(plain, how, "roughness") for plain in PLAIN_ARMS for how in RATES),
        when={
            **_conditions("roughness"),
            "the length of the weights is left out of account": (
                *(_rougher(plain, how, "raw roughness") for plain in PLAIN_ARMS for how in RATES),
                *(
                    ratio(f"{plain} tuned", "batch norm tuned", "raw over relative", smallest=1.0)
                    for plain in PLAIN_ARMS
                ),
            ),
        },
    ),
    Rule(
        claim="C10",
        part="the gradient resembles",
        says=(
            "After equal relative steps along the gradient, at equal loss, the gradient has "
            "changed by at least a quarter more, as a share of its length, without batch norm: for "
            "raw and for standardized inputs, at one shared rate and at tuned rates."
        ),
        needs=tuple(
            _rougher(plain, how, "gradient change") for plain in PLAIN_ARMS for how in RATES
        ),
        when={
            **_conditions("gradient change"),
            "the step is one of training at a shared rate": _own_step("at 0.1", 1),
            "the step is one of training at each one's tuned rate": _own_step("tuned", -1),
        },
    ),
)

EXPERIMENTS = (
    Experiment(
        name="surfaces", chapter="smoothness", measure=surfaces, arms=tuple(SURFACES), rules=C10,
        seeds=10,
    ),
)  # fmt: skip
