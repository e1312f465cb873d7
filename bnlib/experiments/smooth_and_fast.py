"""Does smoothness predict speed and accuracy? Claim C38; and the edge of stability.

Curvature of networks of ReLU is measured over whole steps only. `diagnostics.sharpness` takes tiny
ones, and where a unit of some example switches within such a step, the jump looks like a curvature
without bound; so it is used on tanh here.
"""

from dataclasses import replace

import numpy as np

from bnlib import functional, optim
from bnlib.diagnostics import sharpness
from bnlib.experiments.arms import Arm, mislabelled, split, standardized, steps_to, train
from bnlib.experiments.experiment import Experiment
from bnlib.experiments.smoothness import (
    LADDER,
    SHARED,
    WORST,
    follow,
    follow_relative,
    roughness_of,
)
from bnlib.experiments.training import STANDING
from bnlib.layers import Tanh, mlp
from bnlib.verdicts import Contrast, Rule

# --- C38: does smoothness predict speed, and accuracy? --------------------------------------------

DEPTHS = (3, 6)
FACTORS = (0.3, 1.0, 3.0)  # of the initial weights, times He's scale
GRID = (0.03, 0.1, 0.3, 1.0)
NETWORKS = {
    **{
        f"{name}, depth {depth}, x {factor:g}": Arm(depth=depth, factor=factor, **change)
        for name, change in STANDING.items()
        for depth in DEPTHS
        for factor in FACTORS
    },
    "dead": Arm(below=1.0),
}
SETTINGS = {
    f"{name}, rate {lr:g}": replace(arm, lr=lr) for name, arm in NETWORKS.items() for lr in GRID
}
GROUPS = ("all settings", "those that learn", "each at its best rate")
TARGET = 0.5  # nats
WHEN = {"at the start": 0, "after an epoch": 20}  # steps
STEPS = 400
RULERS = ("roughness", "raw roughness", "gradient change", "promised steps", "loss")


def smooth_and_fast(seed, draw, arms):
    """C38: whether a smooth loss early in training goes with speed and accuracy, in 76 settings.

    Plain, standardized and batch norm; 3 and 6 hidden layers of 100 ReLU units; initial weights of
    0.3, 1 and 3 times He's scale; and a network of 3 layers all of whose units are dead: 19
    networks, each at the rates 0.03, 0.1, 0.3 and 1, batches of 50, SGD, 20 epochs. "steps": until
    the mean of 20 batch losses is below 0.5 nats; one more than all 400 if it never is. Before the
    first step, and after 20, the loss of the training set along its gradient: "roughness" without
    scale and "raw" as in `surfaces`, "gradient change", "loss", and "promised steps": the loss over
    twice the decrease that the best single step would bring on a bowl of that roughness, loss x
    roughness / gradient². What overflows counts as 1e12; so a run that has diverged within an epoch
    is as rough as can be by then, and slow, and only the rulers before the first step are judged
    without that coincidence. For the same reason: after an epoch a fast run has a lower loss.

    One number per seed: Spearman's rank correlation over the settings, of steps with the ruler
    ("speed by ..."; positive: smooth is fast) and of test errors with the ruler ("accuracy by ...";
    positive: smooth is accurate); 0 where one of the two is the same for all. "those that learn"
    reach the target in time; "each at its best rate": for each network the rate that needs the
    fewest steps. "rise" is the largest rise of an epoch's mean loss above an earlier epoch's.
    """
    data = split(seed, draw)
    found = _settings(seed, data)
    learn = np.flatnonzero(found["steps"] <= STEPS)
    by_network = found["steps"].reshape(len(NETWORKS), len(GRID))
    best = by_network.argmin(axis=1) + len(GRID) * np.arange(len(NETWORKS))
    members = dict(zip(GROUPS, (np.arange(len(SETTINGS)), learn, best), strict=True))
    results = {name: _correlations(found, members[name]) for name in arms}
    if GROUPS[0] in results:  # in the other groups the settings differ from seed to seed
        results[GROUPS[0]] |= {f"{name} of each": values.tolist() for name, values in found.items()}
    return results


def _settings(seed, data):
    """For each outcome and each ruler one number per setting."""
    runs = train(
        SETTINGS, seed, data, observe=lambda network: network.state_dict(),
        observe_at=tuple(WHEN.values()),
    )  # fmt: skip
    found: dict[str, list[float]] = {}
    at_the_start: dict[str, dict[str, float]] = {}  # all rates of a network start alike
    for setting, run in runs.items():
        name = setting.rpartition(",")[0]
        first, *later = run.history.observed
        if name not in at_the_start:
            at_the_start[name] = _rulers(run, first)
        after = _rulers(run, later[0]) if later else dict.fromkeys(RULERS, WORST)
        losses = run.losses(STEPS)
        values = {
            "steps": steps_to(TARGET, losses),
            "errors": 1 - run.test_accuracy,
            "rise": WORST if run.history.diverged else _rise(losses.reshape(20, -1).mean(axis=1)),
        }
        for when, rulers in zip(WHEN, (at_the_start[name], after), strict=True):
            values |= {f"{ruler} {when}": value for ruler, value in rulers.items()}
        for key, value in values.items():
            found.setdefault(key, []).append(min(value, WORST))
    return {key: np.array(values) for key, values in found.items()}


def _rise(curve):
    """The largest rise of a curve above an earlier value."""
    return float(np.max(curve - np.minimum.accumulate(curve)))


def _rulers(run, state):
    run.network.load_state_dict(state)
    x, labels = run.data.x_train, run.data.y_train
    path = follow_relative(run.network, x, labels)
    if path is None:
        return dict.fromkeys(RULERS, WORST)
    return {
        "roughness": path.roughness,
        "raw roughness": roughness_of(follow(run.network, x, labels, rates=SHARED * LADDER)),
        "gradient change": float(path.relative_changes.mean()),
        "promised steps": path.loss * path.roughness / path.gradient_norm**2,
        "loss": path.loss,
    }


def _correlations(found, members):
    values = {name: numbers[members].tolist() for name, numbers in found.items()}
    results: dict = {"settings": len(members)}
    for outcome, name in (("speed", "steps"), ("accuracy", "errors"), ("stability", "rise")):
        for ruler in RULERS:
            early, later = (
                rank_correlation(values[f"{ruler} {when}"], values[name]) for when in WHEN
            )
            results[f"{outcome} by {ruler}"] = early
            results[f"{outcome} by {ruler}, after an epoch"] = later
            results[f"{outcome} by {ruler}, later - early"] = later - early
    results["accuracy by rise"] = rank_correlation(values["rise"], values["errors"])
    return results


def rank_correlation(first, second):
    """Spearman's correlation of two lists; equal values share their mean rank.

    0 where one of the two says nothing: when it is the same for all, or has one value only.

    Examples
    --------
    >>> rank_correlation([1.0, 2.0, 3.0], [1.0, 100.0, 50.0])
    0.5
    """
    a, b = (_ranks(values) for values in (first, second))
    spread = a.std() * b.std() if len(a) else 0.0
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread else 0.0


def _ranks(values):
    values = np.asarray(values, float)
    below = (values < values[:, None]).sum(axis=1)
    equal = (values == values[:, None]).sum(axis=1)
    return below + (equal - 1) / 2


STRONG = 0.5  # the rank correlation that matters


def _predicts(group, measure):
    return Contrast(group, measure, {group: 1.0}, "more", STRONG)


def _more_than_all(group, measure):
    """Within a group the correlation is higher than over all settings: the interaction."""
    weights = {group: 1.0, "all settings": -1.0}
    return Contrast(f"{group} - all settings", measure, weights, "more", 0.0)


def _predicting(outcome, part, says):
    measure = f"{outcome} by roughness"
    return Rule(
        claim="C38",
        part=part,
        says=says,
        needs=(_predicts("all settings", measure),),
        when={
            "only settings that learn are compared": (
                _predicts("those that learn", measure),
                _more_than_all("those that learn", measure),
            ),
            "each network has its best rate": (
                _predicts("each at its best rate", measure),
                _more_than_all("each at its best rate", measure),
            ),
            "smoothness is measured after an epoch": (
                _predicts("all settings", f"{measure}, after an epoch"),
                Contrast("after an epoch - at the start", f"{measure}, later - early",
                         {"all settings": 1.0}, "more", 0.0),
            ),
        },
    )  # fmt: skip


C38 = (
    _predicting(
        "speed",
        "smooth is fast",
        "Over all settings, the rank correlation between the scale-free roughness before the first "
        "step and the number of steps to a loss is at least one half.",
    ),
    _predicting(
        "accuracy",
        "smooth is accurate",
        "Over all settings, the rank correlation between the scale-free roughness before the first "
        "step and the errors on new digits in the end is at least one half.",
    ),
)

# --- the edge of stability: no claim, exploratory -------------------------------------------------

EDGE_RATES = (0.03, 0.1)
EDGE = {f"{name} at {rate:g}": (name, rate) for rate in EDGE_RATES for name in STANDING}
EDGE_STEPS, EDGE_EVERY = 1000, 50


def edge(seed, draw, arms):
    """Exploratory: sharpness in units of 2 / rate while whole batches are learned.

    100 digits with labels that are all wrong, at random, in one batch; two hidden layers of 50
    units with tanh, Glorot's scale, gradient descent at 0.03 or 0.1, 1,000 steps. Wrong labels take
    long to learn by heart, which leaves the sharpness time to rise. Every 50 steps: "sharpness x
    rate / 2" (on a bowl, gradient descent diverges above 1) and the loss. Settings chosen by hand.
    """
    data = split(seed, draw)
    return {name: _descend(*EDGE[name], data, seed) for name in arms}


def _descend(name, rate, data, seed):
    if name == "standardized":
        data = standardized(data)
    x, labels = data.x_train[:100], mislabelled(data.y_train[:100], 1.0, seed)
    rng = np.random.default_rng([seed, 1])
    network = mlp([x.shape[1], 50, 50, 10], rng=rng, activation=Tanh, scale="glorot",
                  batch_norm=name == "batch norm")  # fmt: skip
    optimizer, sharp, losses = optim.SGD(network, lr=rate), [], []
    for step in range(EDGE_STEPS + 1):
        if step % EDGE_EVERY == 0:
            found = sharpness(network, x, labels, rng=rng, iterations=60, tolerance=1e-2)
            sharp.append(found * rate / 2)
        loss, cache = functional.softmax_cross_entropy(network.forward(x, training=True), labels)
        losses.append(loss)
        network.backward(functional.softmax_cross_entropy_backward(cache))
        optimizer.step()
    return {"sharpness x rate / 2": sharp, "loss": losses[::EDGE_EVERY]}


EXPERIMENTS = (
    Experiment(
        name="smooth_and_fast", chapter="smoothness", measure=smooth_and_fast, arms=GROUPS,
        rules=C38, seeds=10,
    ),
    Experiment(
        name="edge", chapter="smoothness", measure=edge, arms=tuple(EDGE), seeds=5,
    ),
)  # fmt: skip
