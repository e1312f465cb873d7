"""Why a network does better or worse in evaluation mode than in training mode.

Between the two modes lie five changes, made one after the other on the same weights and the same
examples. The doctor climbs from the stored averages to the batches as they are served:

    stored averages
      Bessel          the stored variances, one factor that all share taken out
      stale average   the averages that training in such batches would store now
      shift           those that it would store if it saw the examined set
      small batches   each shuffled batch's own statistics instead
      sorted batches  those of the batches as served

The steps add up to the whole gap between the modes (on the examples that whole batches hold); in
another order each would have another size. The training set is climbed too: there the third step is
empty by construction, so that a shift of the test set cannot be mistaken for old averages. Workshop
`frameworks` examines patients.

What training would store: the average over shuffled batches of their means and of their unbiased
variances, each layer seeing what the batch norm below makes of a *batch*. In small batches these
are not the statistics of the whole set. A single layer's unbiased variances average to that of the
set; but two values, normalized by themselves, always come out as 1 and -1, so that deeper layers
see and store other numbers than they see in evaluation. That is an ailment of small batches, and
neither age nor a factor; measured by the whole set it would pass for one of these.

A step makes a cause when it is larger than chance and large enough to matter, in accuracy or in
loss. Chance: right answers gained minus right answers lost have, by the binomial law, a variance of
at most the number of examples that changed; the step must exceed as many of its standard errors as
hold 20 comparisons (5 steps, 2 sets, accuracy and loss) to one false alarm in 20 examinations. The
examples of one batch gain or lose together, so the last two steps must also exceed what whole
batches gain or lose by the luck of who is in them.
"""

import contextlib
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from bnlib import checks, functional
from bnlib.layers import BatchNorm, Layer

CAUSES = ("Bessel", "stale average", "shift", "small batches", "sorted batches")
IN_BATCHES = CAUSES[3:]
RUNGS = (
    "stored averages",
    "Bessel undone",
    "training set",
    "its own set",
    "shuffled batches",
    "batches as served",
)
SMALLEST_ACCURACY = 0.02  # batches of 50 take one or two points from networks on digits
SMALLEST_LOSS = 0.1  # nats
STANDARD_ERRORS = NormalDist().inv_cdf(1 - 0.05 / 20 / 2)
# All variances share one factor, and it could be Bessel's, when most channels agree within a third
# of it and at most a quarter (in logarithms) or within chance, their means are right, and the
# factor is at most that of two values, either way. Chance: a running average over few or small
# batches is itself off; but never by more than half of the factor.
AGREEING, WITHIN, MEANS_WITHIN, LARGEST_FACTOR = 0.9, 1.25, 0.3, 2.2
STRAY = 2  # deviations, which hold by chance clearly more than have to agree
SHUFFLES = 4


class Step(NamedTuple):
    """What one change of the statistics does, averaged over the examples.

    Attributes
    ----------
    accuracy, accuracy_error : float
        Share of right answers gained, and its standard error.
    loss, loss_error : float
        Cross-entropy gained (bad when positive), in nats, and its standard error.
    """

    accuracy: float
    accuracy_error: float
    loss: float
    loss_error: float

    def matters(self, *, only_better=False):
        """Whether the step is larger than chance and large enough, in accuracy or in loss."""
        return any(
            (size if only_better else abs(size)) >= max(smallest, STANDARD_ERRORS * error)
            for size, error, smallest in (
                (self.accuracy, self.accuracy_error, SMALLEST_ACCURACY),
                (-self.loss, self.loss_error, SMALLEST_LOSS),
            )
        )


class Ladder(NamedTuple):
    """One set of examples, seen with statistics from the stored ones to those of its batches.

    Attributes
    ----------
    accuracy, loss : ndarray of shape (6,)
        On each of `RUNGS`; the loss in nats.
    steps : dict of str to Step
        One for each of `CAUSES`, from a rung to the next.
    """

    accuracy: np.ndarray
    loss: np.ndarray
    steps: dict[str, Step]


class Diagnosis(NamedTuple):
    """What the doctor found.

    Attributes
    ----------
    causes : tuple of str
        Those of `CAUSES` that matter; empty when the modes agree, which is not the same as health:
        what ails both is not seen.
    train, test : Ladder
    factor : float
        The stored variances over those that training would store now, in the typical channel.
    advice : tuple of str
        A sentence or two for each cause.
    """

    causes: tuple[str, ...]
    train: Ladder
    test: Ladder
    factor: float
    advice: tuple[str, ...]

    def __str__(self):
        """Tell the ladders, the causes and the advice in text."""
        lines = [f"{'  statistics of':<20}{'training set':>12}{'test set':>12}"]
        lines.append(f"{'':20}{'right loss':>12}{'right loss':>12}")
        for row, name in enumerate(RUNGS):
            cells = [
                f"{100 * ladder.accuracy[row]:6.1f}{ladder.loss[row]:6.3f}"
                for ladder in (self.train, self.test)
            ]
            lines.append(f"{row + 1} {name:<18}{cells[0]}{cells[1]}")
        found = ", ".join(self.causes) or "no gap between the modes"
        return "\n".join([*lines, f"diagnosis: {found}"])


def examine(network, x_train, labels_train, x_test, labels_test, *, batch_size, rng):
    """Split the gap between training mode and evaluation mode into its causes.

    Parameters
    ----------
    network : bnlib.layers.Layer
        With batch norm that keeps running averages; it is left as it was. Only batch norm is
        switched: dropout stays silent throughout.
    x_train, x_test : ndarray of shape (N, D) or (N, C, H, W)
        In the order in which batches are cut from them. For the last step to say something about
        training, `x_train` must come in an order in which training sees it.
    labels_train, labels_test : integer ndarray of shape (N,)
    batch_size : int
        Of the training; at least 2, and no set may be smaller.
    rng : numpy.random.Generator
        Shuffles.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError
        For what is no layer, no real examples, no whole labels, no generator.
    ValueError
        For a network without running averages; for sets of shapes that do not match, that are not
        finite, or smaller than a batch.

    Examples
    --------
    >>> from bnlib.layers import Linear, Sequential
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> x = rng.normal(3 * labels[:, None] + 5, 1, size=(200, 2))
    >>> untrained = BatchNorm(2)                 # its averages never saw a batch
    >>> classify = Linear(2, 2, rng=rng)
    >>> classify.params["weight"] = np.array([[-3.0, -3.0], [3.0, 3.0]])
    >>> network = Sequential(untrained, classify)
    >>> examine(network, x, labels, x, labels, batch_size=100, rng=rng).causes
    ('stale average',)
    """
    checks.instance("examine", "network", network, Layer, "a layer")
    checks.generator("examine", "rng", rng)
    checks.count("examine", "batch_size", batch_size)
    norms = _tracking(network)
    sets = [
        _set("train", x_train, labels_train, batch_size),
        _set("test", x_test, labels_test, batch_size),
    ]
    with _left_as_it_was(network):
        seen = [_in_batches(network, norms, x, labels, batch_size, rng) for x, labels in sets]
        reference = seen[0].averages
        factor, typical = _shared_factor(norms, reference, seen[0].noise)
        train, test = (_ladder(network, norms, (reference, factor), each) for each in seen)
        scaled, exact = (
            _evaluated(network, norms, [_scaled(buffers, by) for buffers in reference], seen[0])
            for by in (factor, 1)
        )
    causes = _causes(train, test, _step(scaled, exact))
    advice = tuple(_ADVICE[cause](typical, batch_size) for cause in causes)
    return Diagnosis(causes, train, test, typical, advice)


def _set(name, x, labels, batch_size):
    """Examples and labels as arrays that can be served in batches."""
    x = checks.real_array("examine", f"x_{name}", x)
    if not np.isfinite(x).all():
        raise ValueError(f"examine: x_{name} must be finite, got inf or nan")
    labels = checks.plain_array("examine", f"labels_{name}", labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"examine: labels_{name} must be integers, got {labels.dtype}")
    if x.ndim < 2 or labels.ndim != 1:
        raise ValueError(
            f"examine: x_{name} must have shape (N, …) and labels_{name} (N,), got {x.shape} "
            f"and {labels.shape}"
        )
    if len(x) != len(labels) or not 2 <= batch_size <= len(x):
        raise ValueError(
            "examine: each set must have a label for each example and hold a batch of 2 or "
            f"more, got {len(x)} examples, {len(labels)} labels and batch_size {batch_size}"
        )
    return x, labels


def _causes(train, test, factor_alone):
    """A shift can only be seen on the test set; old or biased averages where nothing shifted.

    Beside averages that are altogether wrong, any factor may seem to help; so Bessel's must matter
    with the right ones, too.
    """
    bessel = train.steps["Bessel"].matters(only_better=True)
    found = {
        "Bessel": bessel and factor_alone.matters(only_better=True),
        "stale average": train.steps["stale average"].matters(only_better=True),
        "shift": test.steps["shift"].matters(only_better=True),
    }
    for cause in ("small batches", "sorted batches"):
        found[cause] = train.steps[cause].matters() or test.steps[cause].matters()
    return tuple(cause for cause in CAUSES if found[cause])


def _ladder(network, norms, references, examined):
    (reference, factor), stored = references, [norm.buffers for norm in norms]
    undone = [_scaled(buffers, 1 / factor) for buffers in stored]
    scores = [
        _evaluated(network, norms, statistics, examined)
        for statistics in (stored, undone, reference, examined.averages)
    ]
    _use(norms, stored)
    scores += [examined.shuffled, examined.served]
    steps = {
        cause: _step(before, after, examined.luck if cause in IN_BATCHES else 0.0)
        for cause, before, after in zip(CAUSES, scores[:-1], scores[1:], strict=True)
    }
    means = np.array([np.nanmean(score, axis=1) for score in scores])
    return Ladder(means[:, 0], means[:, 1], steps)


def _step(before, after, luck=0.0):
    change = after - before
    change = change[:, np.isfinite(change).all(axis=0)]  # examples that no whole batch held
    size, count = change.mean(axis=1), change.shape[1]
    error = np.maximum(change.std(axis=1) / np.sqrt(count), luck)
    # That nothing changed among `count` examples is known to one of them.
    return Step(size[0], max(error[0], 1 / count), size[1], error[1])


def _evaluated(network, norms, statistics, examined):
    _use(norms, statistics)
    return _score(network.forward(examined.x, training=False), examined.labels)


def _score(logits, labels):
    """Right or not, and the loss, of each example: shape (2, N)."""
    _, (log_softmax, _) = functional.softmax_cross_entropy(logits, labels)
    rows = np.arange(len(labels))
    return np.array([logits.argmax(axis=1) == labels, -log_softmax[rows, labels]])


class _Examined(NamedTuple):
    """A set of examples, once it has passed in batches."""

    x: np.ndarray
    labels: np.ndarray
    shuffled: np.ndarray  # scores of each example, NaN where no whole batch held it
    served: np.ndarray
    luck: np.ndarray  # standard error of the two scores' means, from batch to batch
    averages: list  # for each layer, what training in these batches would store, as buffers
    noise: list  # for each layer, the relative deviation of its batches' variances


def _in_batches(network, norms, x, labels, batch_size, rng):
    """Pass a set in batches, each normalized by itself: shuffled, and as served."""
    stored = [norm.buffers for norm in norms]
    total, times, batches = np.zeros((2, len(x))), np.zeros(len(x)), []
    statistics: list = [[] for _ in norms]

    def passed(order):
        for start in range(0, len(x) - batch_size + 1, batch_size):
            batch = order[start : start + batch_size]
            yield batch, _score(network.forward(x[batch], training=False), labels[batch])

    _use(norms, [{}] * len(norms))  # without averages, batch norm takes its batch's
    for _ in range(SHUFFLES):
        for batch, scores in passed(rng.permutation(len(x))):
            total[:, batch] += scores
            times[batch] += 1
            batches.append((batch, scores))
            for norm, seen in zip(norms, statistics, strict=True):
                seen.append((norm._cache.mean, norm._cache.var))
    shuffled = np.where(times > 0, total / np.maximum(times, 1), np.nan)
    served = np.full((2, len(x)), np.nan)
    for batch, scores in passed(np.arange(len(x))):
        served[:, batch] = scores
    counts = [norm._cache.x_hat.size // norm.num_features for norm in norms]
    _use(norms, stored)

    # A batch's own scores are among the means that they are compared with, which hides 1/SHUFFLES
    # of their variance; the step compares one order with the mean of SHUFFLES, which adds as much.
    factor = (1 + 1 / SHUFFLES) / (1 - 1 / SHUFFLES)
    luck = np.var([(own - shuffled[:, batch]).mean(axis=1) for batch, own in batches], axis=0)
    luck = np.sqrt(factor * luck / (len(x) // batch_size))
    averages, noise = [], []
    for own, count in zip(statistics, counts, strict=True):
        mean, var = np.mean(own, axis=0)
        averages.append({"running_mean": mean, "running_var": var * (count / (count - 1))})
        noise.append(np.std(own, axis=0)[1] / np.maximum(var, 1e-30))
    return _Examined(x, labels, shuffled, served, luck, averages, noise)


def _shared_factor(norms, reference, noise):
    """What to divide the stored variances by, 1 unless all share a factor; the typical one."""
    ratios, means, chance = [], [], []
    for norm, of_set, spread in zip(norms, reference, noise, strict=True):
        alive = of_set["running_var"] > norm.eps
        variance = of_set["running_var"][alive]
        ratios.append(norm.buffers["running_var"][alive] / variance)
        off = (norm.buffers["running_mean"] - of_set["running_mean"])[alive]
        means.append(np.abs(off) / np.sqrt(variance))
        batches = max(1, int(norm.buffers["num_batches_tracked"]))
        weight = norm.momentum
        left = 1 / batches if weight is None else weight / (2 - weight)  # after averaging
        chance.append(spread[alive] * np.sqrt(left))
    ratios = np.log(np.maximum(np.concatenate(ratios), 1e-30))
    if not len(ratios):
        return 1.0, 1.0
    size = np.median(ratios)
    within = min(np.log(WITHIN), abs(size) / 3)
    within = np.clip(STRAY * np.concatenate(chance), within, abs(size) / 2)
    agree = np.mean(np.abs(ratios - size) < within)
    right = np.mean(np.concatenate(means) < MEANS_WITHIN)
    one = min(agree, right) >= AGREEING and abs(size) < np.log(LARGEST_FACTOR)
    return (float(np.exp(size)) if one else 1.0), float(np.exp(size))


def _scaled(buffers, factor):
    return {**buffers, "running_var": buffers["running_var"] * factor}


def _use(norms, statistics):
    for norm, buffers in zip(norms, statistics, strict=True):
        norm.buffers = buffers


def _tracking(network):
    norms = [leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm)]
    if not norms or not all(norm.buffers for norm in norms):
        raise ValueError(
            "examine: network must hold batch norm layers, all with running averages, got "
            f"{len(norms)} batch norm layers, {sum(bool(n.buffers) for n in norms)} of them with"
        )
    return norms


@contextlib.contextmanager
def _left_as_it_was(network):
    before = [(leaf, dict(vars(leaf))) for leaf in network.leaves()]
    try:
        yield
    finally:
        for leaf, attributes in before:
            vars(leaf).clear()
            vars(leaf).update(attributes)


def _on_bessel(factor, batch_size):
    return (
        f"The stored variances are about {factor:.2f} times what training would store, in all "
        "channels alike. Below 1, the biased variances of small batches were stored; above 1, "
        "somebody applied Bessel's correction once too often, or with a wrong count. Divide them "
        "by that factor."
    )


_ADVICE = {
    "Bessel": _on_bessel,
    "stale average": lambda factor, batch_size: (
        "The stored averages are not those of the training set under today's weights. Measure "
        "them anew (bnlib.inference.reestimate); in training, give them more steps or a larger "
        "weight of the new value. A factor in their variances could not be told from age, and "
        "goes with it."
    ),
    "shift": lambda factor, batch_size: (
        "The test set has other statistics than the training set, and normalizing by its own "
        "helps: find out what changed in the inputs. New statistics may cure a part of it or all, "
        "and hide the shift from whoever should notice it."
    ),
    "small batches": lambda factor, batch_size: (
        f"The statistics of {batch_size} examples are noisy, and the answers in training mode "
        "with them. Use larger batches, statistics across devices, or group norm; never judge the "
        "network in training mode."
    ),
    "sorted batches": lambda factor, batch_size: (
        "The batches as served differ from random ones: they are sorted, or drawn from a few "
        "classes or sources each. Shuffle before cutting batches, and evaluate with the stored "
        "averages."
    ),
}
