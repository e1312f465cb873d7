"""The one training loop, for one network and for several side by side."""

import contextlib
import sys
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from bnlib import checks, functional
from bnlib.datasets import Dataset
from bnlib.layers import BatchNorm
from bnlib.optim import Optimizer


class History(NamedTuple):
    """What happened in a training run.

    Attributes
    ----------
    loss : ndarray of shape (steps,)
        Loss of each mini-batch before its step, in nats.
    train_accuracy, test_accuracy : ndarray of shape (evaluations,)
        Share of right answers in evaluation mode, after each epoch or at the end; test_accuracy is
        empty without test data.
    diverged : bool
        True if the loss or a batch statistic stopped being finite; the run then ended early, and
        the last loss is not finite.
    interrupted : bool
        True if Ctrl-C ended the run early.
    observed : list
        What `observe` returned, each time in order.
    """

    loss: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    diverged: bool
    interrupted: bool = False
    observed: Sequence = ()


def accuracy(network, x, labels):
    """Share of right answers in evaluation mode.

    Parameters
    ----------
    network : bnlib.layers.Layer
        It keeps the cache of this forward pass, as of any other.
    x : ndarray of shape (N, D)
    labels : integer ndarray of shape (N,)

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        For arguments of another kind, shapes that do not match, an empty batch.

    Examples
    --------
    >>> from bnlib.layers import Sequential
    >>> float(accuracy(Sequential(), np.eye(2), np.array([0, 0])))
    0.5
    """
    checks.network("accuracy", network)
    x = checks.batch("accuracy", x)
    labels = checks.labels("accuracy", labels, "x", x)
    with network._all_or_nothing():
        return _share_right(network.forward(x, training=False), labels)


@contextlib.contextmanager
def population_statistics(network, x):
    """Inside the block, batch norm evaluates with the exact statistics of `x`.

    Each batch norm layer gets the mean and the biased variance of its own input when the layers
    below it already use theirs: one forward pass. After the block the running averages are as
    before.

    Parameters
    ----------
    network : bnlib.layers.Layer
    x : ndarray of shape (N, D) or (N, C, H, W)
        For instance all training examples.

    Yields
    ------
    y : ndarray
        The network's output for `x`.

    Raises
    ------
    TypeError, ValueError
        For what is no network, an x that is no batch of real numbers or does not fit. The network
        is then as it was.

    Examples
    --------
    >>> network, x = BatchNorm(1), np.array([[1.0], [5.0]])
    >>> with population_statistics(network, x) as y:
    ...     network.forward(np.array([[3.0], [5.0]]), training=False).ravel().round(3), y.ravel()
    (array([0., 1.]), array([-0.99999875,  0.99999875]))
    >>> network.buffers["running_mean"]
    array([0.])
    """
    checks.network("population_statistics", network)
    x = checks.examples("population_statistics", x)
    leaves = [leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm)]
    before = [leaf.buffers for leaf in leaves]
    try:
        for leaf in leaves:
            leaf.buffers = {}  # without running averages it evaluates by its batch: all of x
        y = network.forward(x, training=False)
        for leaf in leaves:
            of_x: Any = leaf._cache
            leaf.buffers = {
                "running_mean": of_x.mean,
                "running_var": of_x.var,
                "num_batches_tracked": np.array(1),  # that batch
            }
        yield y
    finally:
        for leaf, buffers in zip(leaves, before, strict=True):
            leaf.buffers = buffers


def fit(
    network,
    optimizer,
    data,
    *,
    epochs,
    batch_size,
    rng,
    evaluate="each epoch",
    statistics="running",
    observe=None,
    observe_at=None,
):
    """Train a classifier with softmax cross-entropy.

    Ctrl-C ends the training, not the program: the network is then as after its last whole step.
    `bnlib.ensembles.fit_together` trains several networks in less time, with the same numbers.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Changed by training.
    optimizer : bnlib.optim.Optimizer
        Made for this network.
    data : bnlib.datasets.Dataset
        An empty `x_test` is not evaluated.
    epochs, batch_size : int
        Every epoch visits all examples in a new order; a last, smaller batch is left out.
    rng : numpy.random.Generator
        Draws the orders.
    evaluate : "each epoch", "end" or "never"
        When to measure the accuracies.
    statistics : "running" or "population"
        What batch norm normalizes by in these evaluations: its running averages, or the exact
        statistics of the whole training set (see `population_statistics`).
    observe : callable, optional
        Called as observe(network) after each epoch; it must leave parameters and buffers alone.
        What it raises goes through, and the network is as after its last whole step.
    observe_at : collection of int, optional
        Call `observe` after so many steps instead; 0 is before the first.

    Returns
    -------
    History

    Raises
    ------
    TypeError
        For arguments of another kind.
    ValueError
        For a batch size that is larger than the training set, negative epochs, and words other than
        those above.

    Examples
    --------
    >>> from bnlib import datasets, layers, optim
    >>> rng = np.random.default_rng(0)
    >>> network = layers.mlp([64, 50, 10], rng=rng, batch_norm=True)
    >>> sgd = optim.SGD(network, lr=0.5)
    >>> history = fit(network, sgd, datasets.digits(rng), epochs=2, batch_size=50, rng=rng)
    >>> history.loss.shape, bool(history.test_accuracy[-1] > 0.8)
    ((40,), True)
    """
    checks.network("fit", network)
    checks.instance("fit", "optimizer", optimizer, Optimizer, "an optimizer")
    checks.instance("fit", "data", data, Dataset, "a Dataset")
    checks.generator("fit", "rng", rng)
    settings = Settings("fit", epochs, batch_size, evaluate, statistics, observe, observe_at)
    (history,) = Training(Alone([network]), optimizer, [data], [rng], settings).run()
    return history


class Settings(NamedTuple):
    """What all networks of a training share; `operation` is the function that was called."""

    operation: str
    epochs: int
    batch_size: int
    evaluate: str
    statistics: str
    observe: Any
    observe_at: Collection[int] | None = None

    def check(self, examples):
        """Refuse what cannot be trained with this number of examples."""
        operation, at = self.operation, self.observe_at
        checks.count(operation, "epochs", self.epochs, least=0)
        checks.within(operation, "batch_size", self.batch_size, 1, examples)
        checks.one_of(operation, "evaluate", self.evaluate, ("each epoch", "end", "never"))
        checks.one_of(operation, "statistics", self.statistics, ("running", "population"))
        if self.observe is not None:
            checks.function(operation, "observe", self.observe)
        if at is not None:
            if isinstance(at, str) or not isinstance(at, Collection):
                raise TypeError(f"{operation}: observe_at must be a collection, got {at!r}")
            for step in checks.sequence(operation, "observe_at", at):
                checks.count(operation, "each of observe_at", step, least=0)


class Alone:
    """A network as an ensemble of one: what the loop asks of `bnlib.ensembles.Ensemble`."""

    def __init__(self, networks):
        (network,) = self.networks = networks
        self.forward, self.backward, self.leaves = network.forward, network.backward, network.leaves

    def unstack(self):
        """Nothing to do: the network holds its own parameters."""


class Training:
    """The loop: the steps of an ensemble, and the record of what happened to each member.

    A member whose loss or batch statistics stop being finite leaves; the others go on as if it had
    never been there.

    Parameters
    ----------
    ensemble : Alone or bnlib.ensembles.Ensemble
    optimizer : bnlib.optim.Optimizer
        Made for the ensemble.
    data : list of bnlib.datasets.Dataset
    rngs : list of numpy.random.Generator
    settings : Settings
    """

    def __init__(self, ensemble, optimizer, data, rngs, settings):
        settings.check(len(data[0].x_train))
        self.ensemble, self.optimizer = ensemble, optimizer
        self.data, self.rngs, self.settings = data, rngs, settings
        self.members = list(range(len(data)))  # those who still train, in the ensemble's order
        # One entry for each step, evaluation, epoch: member to value. An entry is appended whole,
        # so Ctrl-C finds all members at the same place.
        self.losses, self.accuracies, self.observed = [], [], []

    def run(self):
        """Train, and return a list with the History of each network."""
        everyone, interrupted = self.members, False
        # glibc learns from a large block that is freed to keep memory for the next arrays, instead
        # of asking the system for every large one anew; elsewhere this does nothing.
        np.empty(30 * 2**20, np.uint8)
        self._remember()
        try:
            self._run()
            self._unstack()
        except KeyboardInterrupt:
            interrupted = True
            self._back_to_last_whole_step()
        except BaseException:
            self._back_to_last_whole_step()
            raise
        return [self._history(member, interrupted) for member in everyone]

    def _run(self):
        self._observe_if_due(whole_epoch=False)
        for _ in _progress(self.settings.epochs):
            self._epoch()
            if not self.members:
                return
            if self.settings.evaluate == "each epoch":
                self._evaluate()
            self._observe_if_due(whole_epoch=True)
        if self.settings.evaluate == "end":
            self._evaluate()

    def _epoch(self):
        examples, size = len(self.data[0].x_train), self.settings.batch_size
        orders = {member: self.rngs[member].permutation(examples) for member in self.members}
        for start in range(0, examples - size + 1, size):
            if self.members:
                self._step({m: orders[m][start : start + size] for m in self.members})
                self._remember()
                self._observe_if_due(whole_epoch=False)

    @np.errstate(all="ignore")
    def _step(self, batches):
        """One step of each member on its own mini-batch; who diverges leaves before the step."""
        losses, dlogits = self._losses(self.ensemble, self.members, batches)
        taken = dict(zip(self.members, losses, strict=True))
        if not np.isfinite(losses).all():
            if len(taken) == 1:
                self._unstack()
            else:
                taken = self._diverged(batches)
            self._dismiss(taken)
            if self.members:
                losses, dlogits = self._losses(self.ensemble, self.members, batches)
                taken |= zip(self.members, losses, strict=True)
        if self.members:
            self.ensemble.backward(dlogits, input_gradient=False)
            self.optimizer.step()
        self.losses.append(taken)

    def _losses(self, ensemble, members, batches):
        """Each member's loss, infinite when batch statistics are not finite; their gradient."""
        x = _side_by_side([self.data[m].x_train[batches[m]] for m in members])
        labels = np.stack([self.data[m].y_train[batches[m]] for m in members])
        try:
            logits = ensemble.forward(x, training=True)
        except FloatingPointError:  # from BatchNorm, which has touched nothing
            return np.full(len(members), np.inf), None
        return _cross_entropy(logits, labels)

    def _diverged(self, batches):
        """Let each network try the batch alone; the losses of those that cannot."""
        self._back_to_last_whole_step()
        diverged = {}
        for member, network in zip(self.members, self.ensemble.networks, strict=True):
            before = _attributes(network.leaves())
            (loss,), _ = self._losses(network, [member], batches)
            if np.isfinite(loss):
                _restore(before)
            else:
                diverged[member] = loss
        return diverged

    def _dismiss(self, gone):
        """Go on with the other members; the networks of those who go stay as they are."""
        stay = [place for place, member in enumerate(self.members) if member not in gone]
        if stay:
            ensemble = type(self.ensemble)([self.ensemble.networks[place] for place in stay])
            self.optimizer = self.optimizer.keep(ensemble, stay, len(self.members))
            self.ensemble = ensemble
        self.members = [self.members[place] for place in stay]

    @np.errstate(all="ignore")
    def _evaluate(self):
        self._unstack()
        population = self.settings.statistics == "population"
        self.accuracies.append(
            {
                member: _accuracies(network, self.data[member], population)
                for member, network in zip(self.members, self.ensemble.networks, strict=True)
            }
        )

    def _observe_if_due(self, *, whole_epoch):
        at = self.settings.observe_at
        due = whole_epoch if at is None else not whole_epoch and len(self.losses) in at
        if self.settings.observe is None or not due or not self.members:
            return
        self._unstack()
        networks = zip(self.members, self.ensemble.networks, strict=True)
        self.observed.append({m: self.settings.observe(network) for m, network in networks})

    def _unstack(self):
        if self.members:  # networks that have left keep what they had then
            self.ensemble.unstack()

    def _remember(self):
        """Take down, in one assignment, where a whole step has led."""
        state = _attributes([*self.ensemble.leaves(), self.optimizer])
        self._whole = (self.ensemble, self.optimizer, self.members, len(self.losses), state)

    def _back_to_last_whole_step(self):
        self.ensemble, self.optimizer, self.members, steps, state = self._whole
        del self.losses[steps:]
        _restore(state)
        self._unstack()

    def _history(self, member, interrupted):
        loss = np.array([losses[member] for losses in self.losses if member in losses])
        shares = [each[member] for each in self.accuracies if member in each]
        diverged = bool(len(loss)) and not np.isfinite(loss[-1])
        return History(
            loss,
            np.array([train for train, *_ in shares]),
            np.array([test for _, *tests in shares for test in tests]),
            diverged,
            interrupted and not diverged,
            [each[member] for each in self.observed if member in each],
        )


def _progress(epochs):
    """The epochs, with a bar that disappears at the end, on a terminal that has tqdm."""
    with contextlib.suppress(ImportError):
        if sys.stderr.isatty():
            from tqdm import tqdm

            return tqdm(range(epochs), unit="epoch", leave=False)
    return range(epochs)


def _attributes(owners):
    """What each owner holds; attributes are only ever replaced, so references are enough."""
    return [(owner, dict(vars(owner))) for owner in owners]


def _restore(attributes):
    for owner, values in attributes:
        vars(owner).update(values)


def _side_by_side(arrays):
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)


def _cross_entropy(logits, labels):
    """Softmax cross-entropy of each member and the gradients, of logits (N, members * classes).

    Each member's numbers are summed in the order in which they are summed for one network.
    """
    members, count = labels.shape
    if members > 1:
        logits = logits.reshape(count, members, -1).swapaxes(0, 1).reshape(members * count, -1)
    _, (log_softmax, picked) = functional.softmax_cross_entropy(logits, labels.ravel())
    rows = np.arange(len(picked))
    losses = -log_softmax[rows, picked].reshape(members, count).mean(axis=1)
    dlogits = np.exp(log_softmax)
    dlogits[rows, picked] -= 1
    dlogits /= count
    if members > 1:
        dlogits = dlogits.reshape(members, count, -1).swapaxes(0, 1).reshape(count, -1)
    return losses, dlogits


def _accuracies(network, data, population):
    """Train accuracy and, with test data, test accuracy; no cache of the data stays behind."""
    statistics: contextlib.AbstractContextManager = (
        population_statistics(network, data.x_train)
        if population
        else contextlib.nullcontext(network.forward(data.x_train, training=False))
    )
    with statistics as logits:
        shares = [_share_right(logits, data.y_train)]
        if len(data.y_test):
            shares.append(accuracy(network, data.x_test, data.y_test))
    for leaf in network.leaves():
        leaf._cache = None
    return shares


def _share_right(logits, labels):
    return np.mean(logits.argmax(axis=1) == labels)
