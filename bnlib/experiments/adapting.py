"""Adapting to new pictures: which of them share a batch, and what is hidden by it. Exploratory."""

import numpy as np

from bnlib import ood, training
from bnlib.experiments.arms import split
from bnlib.experiments.distribution_shift import RATES, in_colour, of_chapter, train
from bnlib.experiments.shifted_digits import RECOLOURED

# --- which pictures share a batch ----------------------------------------------------

SHARES = (10, 50, 200)  # test pictures in a batch
PRIOR = 50  # how many examples the stored statistics count for, where both are mixed
HOW_MIXED: dict[str, dict[str, float]] = {"own": {"alpha": 1.0}, "mixed": {"prior": PRIOR}}
ORDERS = ("shuffled", "sorted")


def batch_mixes(seed, draw, arms):
    """Exploratory: batch norm by the statistics of small test batches, shuffled or sorted by class.

    The batch norm networks of `black_cats` on grey digits, in batches of 10, 50 and 200 in random
    order or sorted by class. "own": by the batch's own statistics; "mixed": with a prior of 50
    examples on the stored ones.
    """
    data = split(seed, draw)
    old, new = (in_colour(data, colour, seed) for colour in ("black", "grey"))
    (run,) = train("BN", seed, [old], [RATES["BN light"]])
    rng = np.random.default_rng([seed, 8])
    shuffled = rng.permutation(len(new.y_test))
    orders = {"shuffled": shuffled, "sorted": shuffled[np.argsort(new.y_test[shuffled])]}
    with training.population_statistics(run.network, run.data.x_train):
        return {
            name: {"accuracy": [_batch_by_batch(run.network, new, orders[order], weight, size)
                                for size in SHARES]}
            for name in arms
            for weight, order in [name.split()]
        }  # fmt: skip


def _batch_by_batch(network, data, order, weight, size):
    """Accuracy when so many pictures at a time set the statistics, the last batch among them."""
    right = 0
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        with ood.mixed_statistics(network, data.x_test[rows], **HOW_MIXED[weight]) as logits:
            right += int(np.sum(logits.argmax(axis=1) == data.y_test[rows]))
    return right / len(order)


# --- one dial, two meters ------------------------------------------------------------

ALPHAS = tuple(np.linspace(0, 1, 11).round(1).tolist())


def dial(seed, draw, arms):
    """Exploratory: what adapting to new pictures gives, and what it hides.

    The batch norm networks of `black_cats`. A batch of 797 pictures is evaluated by alpha times its
    own statistics plus (1 - alpha) times the stored ones. "accuracy": on digits in a new colour,
    for each alpha; "AUROC": how well their energy tells them from black digits, which are evaluated
    the same way by their own batch.
    """
    data = split(seed, draw)
    old = in_colour(data, "black", seed)
    (run,) = train("BN", seed, [old], [RATES["BN light"]])
    network = run.network
    found: dict = {name: {"accuracy": [], "AUROC": []} for name in arms}
    with training.population_statistics(network, run.data.x_train):
        for alpha in ALPHAS:
            known = turned(network, old.x_test, alpha)
            for colour in arms:
                new = in_colour(data, colour, seed)
                logits = turned(network, new.x_test, alpha)
                right = logits.argmax(axis=1) == new.y_test
                found[colour]["accuracy"].append(float(right.mean()))
                scores = ood.energy(known), ood.energy(logits)
                found[colour]["AUROC"].append(ood.auroc(*scores))
    return found


def turned(network, x, alpha):
    """Logits of a batch with the dial at alpha."""
    with ood.mixed_statistics(network, x, alpha=alpha) as logits:
        return logits


EXPERIMENTS = (
    of_chapter(batch_mixes, (f"{how} {order}" for how in HOW_MIXED for order in ORDERS), seeds=10),
    of_chapter(dial, RECOLOURED, seeds=10),
)
