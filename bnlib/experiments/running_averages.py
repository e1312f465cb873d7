"""Running averages against exact statistics, and queues that are sorted by class. Claim C25."""

import numpy as np

from bnlib import optim, training
from bnlib.experiments.arms import GUESSING, Arm, build, learning_rate, split
from bnlib.experiments.contrasts import POINT, difference
from bnlib.experiments.experiment import Experiment
from bnlib.inference import corrected_average, cumulative_average, exponential_average
from bnlib.layers import BatchNorm
from bnlib.verdicts import Contrast, Rule

NETWORKS = {
    "relu": Arm(batch_norm="before"),
    "5 layers": Arm(depth=5, batch_norm="before"),
    "sigmoid": Arm("sigmoid", batch_norm="before", scale="glorot", epochs=60),
}
EPOCHS, STEPS_IN_ALL = 20, 400
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 400)  # after which all rules are tried
LATE = tuple(step for step in STEPS if step >= 50)

# From the statistics of all batches so far, in order, and PyTorch's initial value.
AVERAGES = {
    "momentum 0.1": lambda values, start: exponential_average(values, 0.1, initial=start)[-1],
    "momentum 0.01": lambda values, start: exponential_average(values, 0.01, initial=start)[-1],
    "0.1 from 0": lambda values, start: exponential_average(values, 0.1)[-1],
    "0.01 from 0": lambda values, start: exponential_average(values, 0.01)[-1],
    "0.01 corrected": lambda values, start: corrected_average(values, 0.01)[-1],
    "cumulative": lambda values, start: cumulative_average(values)[-1],
    "last batch": lambda values, start: values[-1],
}
START = {"running_mean": 0.0, "running_var": 1.0}
POPULATION, ALONE = "population", "one at a time"
ARMS = tuple(f"{network}, {way}" for network in NETWORKS for way in (*AVERAGES, POPULATION, ALONE))


def norms(network):
    """The layers that keep running averages."""
    return [layer for layer in network.leaves() if isinstance(layer, BatchNorm)]


def trained(arm, seed, data, *, momentum=0.1, observe=None):
    """A network after 400 steps; `observe` sees it after each."""
    network = build(arm, data, seed)
    for layer in norms(network):
        layer.momentum = momentum
    training.fit(
        network,
        optim.SGD(network, lr=learning_rate(arm)),
        data,
        epochs=EPOCHS,
        batch_size=arm.batch_size,
        rng=np.random.default_rng([seed, 2]),
        evaluate="never",
        observe=observe,
        observe_at=range(1, STEPS_IN_ALL + 1),
    )
    return network


# --- C25: does the average stand in? --------------------------------------------------------------


def averages(seed, draw, arms):
    """C25: test accuracy by running averages of several rules, and by the exact statistics.

    Hidden layers of 100 units with batch norm, 1,000 training images, batches of 50, SGD for 20
    epochs, 400 steps: three or five layers of ReLU units and three of sigmoids, each at its tuned
    rate (for sigmoids that of 60 epochs). After 1 to 400 steps the same network is evaluated by
    every rule: "momentum" averages from mean 0 and variance 1, as PyTorch, "from 0" the variance
    too, "corrected" divides by the weight so far, "cumulative" averages all batches alike. All of
    them see unbiased variances. "population" are the mean and variance of the whole training set
    for the weights of that moment. "one at a time": after the last step every test image is
    normalized by itself. "gap": accuracy minus that by the population. "early": how much larger the
    gap is after 50 steps than after the last, whatever their signs. "other answers": share of test
    images for which the two differ.
    """
    data = split(seed, draw)
    found: dict = {}
    for name, arm in NETWORKS.items():
        ways = [way for way in (*AVERAGES, POPULATION, ALONE) if f"{name}, {way}" in arms]
        if ways:
            own = _by_all_ways(arm, seed, data, ways)
            found |= {f"{name}, {way}": values for way, values in own.items()}
    return found


def _by_all_ways(arm, seed, data, ways):
    batches: list = []  # of every step the statistics of each layer
    answers: dict = {way: [] for way in (*AVERAGES, POPULATION)}

    def look(network):
        batches.append([layer.buffers for layer in norms(network)])
        if len(batches) in STEPS:
            for way, own in answers.items():
                own.append(_answers(network, data, way, batches))

    # At momentum 1 a running average is the last batch; training itself never reads it.
    network = trained(arm, seed, data, momentum=1.0, observe=look)
    found = {way: _compared(answers[way], answers[POPULATION], data.y_test) for way in ways
             if way != ALONE}  # fmt: skip
    if ALONE in ways:
        right = float(np.mean(one_at_a_time(network, data.x_test) == data.y_test))
        found[ALONE] = {"accuracy at the end": right, "above guessing": right - GUESSING}
    return {way: found[way] for way in ways}


def _answers(network, data, way, batches):
    """The class of every test image by one rule; the network's buffers are then as before."""
    if way == POPULATION:
        with training.population_statistics(network, data.x_train):
            return network.forward(data.x_test, training=False).argmax(axis=1)
    before = [layer.buffers for layer in norms(network)]
    for place, layer in enumerate(norms(network)):
        seen = {name: np.array([step[place][name] for step in batches]) for name in START}
        stored = {name: AVERAGES[way](seen[name], START[name]) for name in START}
        layer.buffers = {**layer.buffers, **stored}
    classes = network.forward(data.x_test, training=False).argmax(axis=1)
    for layer, buffers in zip(norms(network), before, strict=True):
        layer.buffers = buffers
    return classes


def _compared(answers, exact, labels):
    """Accuracies, and how far they are from those by the exact statistics."""
    right = np.mean(np.array(answers) == labels, axis=1)
    gaps = right - np.mean(np.array(exact) == labels, axis=1)
    at = dict(zip(STEPS, gaps.tolist(), strict=True))
    return {
        "accuracy": right,
        "accuracy at the end": right[-1],
        "other answers": np.mean(np.array(answers) != exact, axis=1),
        **{f"gap after {step}": at[step] for step in LATE},
        "early": abs(at[50]) - abs(at[STEPS_IN_ALL]),
    }


def one_at_a_time(network, x):
    """The class of every example when each is normalized by itself alone.

    Without running averages, as a layer that keeps them refuses such a batch in training.
    """
    before = [layer.buffers for layer in norms(network)]
    for layer in norms(network):
        layer.buffers = {}
    classes = [network.forward(x[[row]], training=True).argmax() for row in range(len(x))]
    for layer, buffers in zip(norms(network), before, strict=True):
        layer.buffers = buffers
    return np.array(classes)


ROOM = 0.02  # a constant answer is right for the share of its class, which is not quite a tenth
HALF_A_POINT = 0.005
MOMENTA = ("0.1", "0.01")


def _stands_in(network, momentum, step):
    """By the running average as by the population, within half a point."""
    arm, measure = f"{network}, momentum {momentum}", f"gap after {step}"
    return Contrast(f"{arm}, step {step}", measure, {arm: 1.0}, "same", HALF_A_POINT)


def _all_stand_in(momenta, steps):
    return tuple(
        _stands_in(network, momentum, step)
        for network in NETWORKS
        for momentum in momenta
        for step in steps
    )


def _large_is_better(network):
    """After 50 steps the larger momentum is nearer the population by a point or more."""
    large, small = (f"{network}, momentum {momentum}" for momentum in MOMENTA)
    return difference(large, small, "gap after 50", smallest=POINT)


def _late_is_better(network):
    arm = f"{network}, momentum 0.01"
    return Contrast(f"{arm}, early - late", "early", {arm: 1.0}, "more", POINT)


C25 = (
    Rule(
        claim="C25",
        part="one example is not enough",
        says=(
            "Test images that are normalized each by itself are read as by guessing: a tenth of "
            "them right, within two points, in three networks."
        ),
        needs=tuple(
            Contrast(name, "above guessing", {f"{name}, {ALONE}": 1.0}, "same", ROOM)
            for name in NETWORKS
        ),
    ),
    Rule(
        claim="C25",
        part="the average stands in",
        says=(
            "From 50 steps on, test accuracy by the running averages is that by the exact "
            "statistics of the training set, within half a point, at momentum 0.1 and at 0.01, in "
            "three networks at their tuned rates."
        ),
        needs=_all_stand_in(MOMENTA, LATE),
        when={
            "a new batch weighs a tenth": (
                *_all_stand_in(MOMENTA[:1], LATE),
                *map(_large_is_better, NETWORKS),
            ),
            "a new batch weighs a tenth, from 200 steps on": (
                *_all_stand_in(MOMENTA[:1], LATE[-2:]),
                *map(_large_is_better, NETWORKS),
            ),
            "there were 400 steps": (
                *_all_stand_in(MOMENTA, LATE[-1:]),
                *map(_late_is_better, NETWORKS),
            ),
        },
    ),
)

# --- the sorted queue: no claim, exploratory ------------------------------------------------------

SIZES = (2, 5, 10, 25, 50, 150, 750)
SORTED = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
QUEUES = {f"{share:g} sorted": share for share in SORTED}
IN_LINE = 750  # a multiple of all sizes


def sorted_queue(seed, draw, arms):
    """Exploratory: test images normalized by their own batch, shuffled or sorted by class.

    A network of three hidden layers of ReLU units after 400 steps at its tuned rate. 750 test
    images stand in a queue sorted by class, of which a share stays where it is while the others
    change places among themselves; batches of 2 to 750 are cut from it in order and pass in
    training mode. "stored": accuracy of the same images in evaluation mode, by running averages of
    momentum 0.1.
    """
    data = split(seed, draw)
    network = trained(NETWORKS["relu"], seed, data)
    x, labels = data.x_test[:IN_LINE], data.y_test[:IN_LINE]
    stored = training.accuracy(network, x, labels)
    found = {}
    for name in arms:
        order = queue(labels, QUEUES[name], np.random.default_rng([seed, 5]))
        own = [accuracy_in_batches(network, x[order], labels[order], size) for size in SIZES]
        found[name] = {"accuracy": own, "stored": stored}
    return found


def queue(labels, share, rng):
    """Places of the labels, sorted, all but a share of them then shuffled among themselves.

    Examples
    --------
    >>> queue(np.array([1, 0, 1, 0]), 1.0, np.random.default_rng(0))
    array([1, 3, 0, 2])
    """
    order = np.argsort(labels, kind="stable")
    moving = np.sort(rng.permutation(len(labels))[round(share * len(labels)) :])
    order[moving] = order[rng.permutation(moving)]
    return order


def accuracy_in_batches(network, x, labels, size):
    """Share of right answers when every batch, in order, is normalized by itself.

    Nothing of the network moves.
    """
    before = [layer.buffers for layer in norms(network)]
    batches = np.arange(len(x)).reshape(-1, size)
    classes = [network.forward(x[rows], training=True).argmax(axis=1) for rows in batches]
    for layer, buffers in zip(norms(network), before, strict=True):
        layer.buffers = buffers
    return float(np.mean(np.concatenate(classes) == labels))


EXPERIMENTS = (
    Experiment("running_averages", "running_averages", averages, ARMS, C25),
    Experiment("sorted_queue", "running_averages", sorted_queue, tuple(QUEUES), seeds=10),
)
