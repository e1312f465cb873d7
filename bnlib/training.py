"""The one training loop."""

from typing import NamedTuple

import numpy as np

from bnlib import functional


class History(NamedTuple):
    """What happened in a training run.

    Attributes
    ----------
    loss : ndarray of shape (steps,)
        Loss of each mini-batch before its step, in nats.
    train_accuracy, test_accuracy : ndarray of shape (epochs,)
        Share of right answers in evaluation mode after each epoch; test_accuracy is empty without
        test data.
    diverged : bool
        True if the loss or a batch statistic stopped being finite; the run then ended early.
    """

    loss: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    diverged: bool


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

    Examples
    --------
    >>> from bnlib.layers import Sequential
    >>> float(accuracy(Sequential(), np.eye(2), np.array([0, 0])))
    0.5
    """
    return np.mean(network.forward(x, training=False).argmax(axis=1) == labels)


def fit(network, optimizer, data, *, epochs, batch_size, rng):
    """Train a classifier with softmax cross-entropy.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Changed by training.
    optimizer : object with `step()`
        Made for this network.
    data : bnlib.datasets.Dataset
        An empty `x_test` is not evaluated.
    epochs, batch_size : int
        Every epoch visits all examples in a new order; a last, smaller batch is left out.
    rng : numpy.random.Generator
        Draws the orders.

    Returns
    -------
    History

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
    if not 0 < batch_size <= len(data.x_train):
        raise ValueError(f"fit: batch_size must lie in 1..{len(data.x_train)}, got {batch_size}")
    losses, train_accuracy, test_accuracy = [], [], []
    diverged = False
    for _ in range(epochs):
        order = rng.permutation(len(data.x_train))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            batch = order[start : start + batch_size]
            losses.append(_step(network, optimizer, data.x_train[batch], data.y_train[batch]))
            if diverged := not np.isfinite(losses[-1]):
                break
        if diverged:
            break
        train_accuracy.append(accuracy(network, data.x_train, data.y_train))
        if len(data.x_test):
            test_accuracy.append(accuracy(network, data.x_test, data.y_test))
    return History(np.array(losses), np.array(train_accuracy), np.array(test_accuracy), diverged)


def _step(network, optimizer, x, labels):
    """One step on one mini-batch; its loss, or infinity when batch statistics are not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            logits = network.forward(x, training=True)
        except FloatingPointError:  # from BatchNorm, which has touched nothing
            return np.inf
        loss, cache = functional.softmax_cross_entropy(logits, labels)
        if np.isfinite(loss):
            network.backward(functional.softmax_cross_entropy_backward(cache))
            optimizer.step()
    return loss
