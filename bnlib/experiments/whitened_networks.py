"""Networks whose hidden units are whitened, and one run of one of them: for claim C12."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnlib import functional, layers, optim, training
from bnlib.experiments.arms import GUESSING, standardized
from bnlib.whitening import whiten, whiten_backward, whiten_inference

HIDDEN, UNITS = 3, 50  # layers, and units of each


class Whitening(layers.Layer):
    """Whitening with a learned scale and shift of every unit, as batch norm has them.

    In training it whitens by its batch and remembers that batch's mean and matrix; in evaluation it
    applies them. So whoever wants the statistics of the whole training set shows it that last.

    Parameters
    ----------
    num_features : int
    group : int, optional
        Units that are whitened together; 1 is batch norm, None takes all.
    how, eps
        As in `bnlib.whitening.whiten`.

    Examples
    --------
    >>> layer = Whitening(2)
    >>> y = layer.forward(np.array([[0, 0], [2.0, 1], [1, 2], [3, 3]]), training=True)
    >>> (y.T @ y / 4).round(3) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """

    def __init__(self, num_features, *, group=None, how="zca", eps=1e-5, dtype=np.float64):
        super().__init__()
        self.group, self.how, self.eps = group, how, eps
        self.params = {
            "weight": np.ones(num_features, dtype),
            "bias": np.zeros(num_features, dtype),
        }
        size = group or num_features
        eyes = np.broadcast_to(np.eye(size, dtype=dtype), (num_features // size, size, size))
        self.buffers = {"mean": np.zeros(num_features, dtype), "matrix": eyes}

    def _forward(self, x, training):
        buffers, cache = self.buffers, None
        if training:
            white, cache = whiten(x, eps=self.eps, how=self.how, group=self.group)
            buffers = {"mean": cache.mean, "matrix": cache.matrix}
        else:
            white = whiten_inference(x, **buffers)
        return white * self.params["weight"] + self.params["bias"], (white, cache), buffers

    def _backward(self, dy, cache):
        white, whitening = cache
        if whitening is None:
            raise RuntimeError("Whitening.backward: the last forward must be one of training")
        grads = {"weight": (dy * white).sum(axis=0), "bias": dy.sum(axis=0)}
        return whiten_backward(dy * self.params["weight"], whitening), grads


class ByWholeSet(layers.Layer):
    """A network that normalizes by all training images in every step and learns from a few.

    Its input are places of training images. Forward sends *all* of them through the network and
    returns the rows asked for; backward lets the gradient of these rows flow through the statistics
    to all images.
    """

    def __init__(self, network, x_train):
        super().__init__()
        self.network, self.x_train = network, x_train

    def leaves(self):
        """The layers of the network."""
        return self.network.leaves()

    def forward(self, x, *, training):
        """Outputs for the training images at the places `x`, a column."""
        self.places = x[:, 0].astype(int)
        y = self.network.forward(self.x_train, training=training)
        return y[self.places]

    def backward(self, dy, **options):
        """Set the gradients; what comes back to all images."""
        everywhere = np.zeros((len(self.x_train), dy.shape[1]))
        everywhere[self.places] = dy
        return self.network.backward(everywhere, **options)


# --- arms -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """A network of three hidden layers of 50 ReLU units, its inputs, and how it is trained.

    Attributes
    ----------
    inputs : {"raw", "standardized", "whitened"}
    group : int
        Units whitened together before every activation: 0 none, 1 batch norm, 50 all.
    how : {"zca", "cholesky"}
    batch_size, epochs : int
    whole : bool
        Statistics of the whole training set in every step; the loss is that of the batch.
    lr, eps : float
    """

    inputs: str = "raw"
    group: int = 0
    how: str = "zca"
    batch_size: int = 200
    epochs: int = 40
    whole: bool = False
    lr: float = 0.1
    eps: float = 1e-5


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "standardized": {"inputs": "standardized"},
    "batch norm": {"group": 1},
    "groups of 10": {"group": 10},
    "whitened": {"group": UNITS},
}
WHOLE = {
    f"{kind}, whole set": {**KINDS[kind], "whole": True} for kind in ("batch norm", "whitened")
}
# 200 images for 50 units, and 25: fewer images than units.
BATCHES: dict[str, dict[str, Any]] = {
    "200": {"batch_size": 200, "epochs": 40},
    "25": {"batch_size": 25, "epochs": 10},
}
BASES = {
    f"{kind} {batch}": Arm(**change, **size)
    for batch, size in BATCHES.items()
    for kind, change in {**KINDS, **WHOLE}.items()
} | {
    "whitened by triangle 200": Arm(group=UNITS, how="cholesky"),
    "whitened inputs 200": Arm(inputs="whitened"),
}

# --- one run --------------------------------------------------------------------------------------

LOOKS = 41  # at the loss, evenly spread over a run, its start and end among them
TARGET = 0.1  # nats
GUESSED = np.log(10)


def build(arm, seed):
    """The network before training; the same weights for all arms."""
    norm = functools.partial(Whitening, group=arm.group, how=arm.how, eps=arm.eps)
    return layers.mlp(
        [64, *[UNITS] * HIDDEN, 10],
        rng=np.random.default_rng([seed, 1]),
        norm=norm if arm.group else None,
    )


def prepare(arm, data):
    """The data as the arm's network sees them."""
    if arm.inputs == "standardized":
        return standardized(data)
    if arm.inputs == "whitened":
        x_train, cache = whiten(data.x_train)
        x_test = whiten_inference(data.x_test, cache.mean, cache.matrix)
        return data._replace(x_train=x_train, x_test=x_test)
    return data


def run(arm, seed, data):
    """Train one network; what it was seen to do, the network, and its data.

    Returns
    -------
    dict of str to (float or ndarray)
    Sequential
    Dataset
    """
    data, network = prepare(arm, data), build(arm, seed)
    steps = arm.epochs * (len(data.x_train) // arm.batch_size)
    places = np.arange(len(data.x_train), dtype=float)[:, None]
    learner = ByWholeSet(network, data.x_train) if arm.whole else network
    history = training.fit(
        learner,
        optim.SGD(network, lr=arm.lr),
        data._replace(x_train=places) if arm.whole else data,
        epochs=arm.epochs,
        batch_size=arm.batch_size,
        rng=np.random.default_rng([seed, 2]),
        evaluate="never",
        observe=lambda _: look(network, data),
        observe_at=set(range(0, steps + 1, steps // (LOOKS - 1))),
    )
    if history.interrupted:
        raise KeyboardInterrupt  # half a training is no result
    missing = [(GUESSED, GUESSING, GUESSING)] * (LOOKS - len(history.observed))
    losses, train, test = np.array([*history.observed, *missing]).T
    return {
        "losses": losses,
        "steps": steps_to(TARGET, losses, steps),
        "loss area": losses.mean(),
        "train accuracy": train[-1],
        "test accuracy": test[-1],
        "test area": test.mean(),
    }, network, data  # fmt: skip


@np.errstate(all="ignore")
def look(network, data):
    """Loss and accuracy on the training set, by its own statistics; accuracy on the test set.

    A network whose numbers are not finite counts as guessing.
    """
    before = network.state_dict()
    try:
        logits = network.forward(data.x_train, training=True)  # now it holds their statistics
        loss = float(functional.softmax_cross_entropy(logits, data.y_train)[0])
        test = float(training.accuracy(network, data.x_test, data.y_test))
    except FloatingPointError:
        loss = np.inf
    network.load_state_dict(before)
    if not np.isfinite(loss):
        return GUESSED, GUESSING, GUESSING
    return loss, float((logits.argmax(axis=1) == data.y_train).mean()), test


def steps_to(target, losses, steps):
    """After how many steps the loss is first below the target, between two looks by their logs.

    If it never is, one look more than all steps.

    Examples
    --------
    >>> steps_to(0.1, np.array([10.0, 1.0, 0.01, 1.0]), 30)
    15.0
    """
    between = steps / (len(losses) - 1)
    below = np.flatnonzero(losses < target)
    if not len(below):
        return steps + between
    if below[0] == 0:
        return 0.0
    start, end = np.log(losses[below[0] - 1 : below[0] + 1])
    return float(between * (below[0] - (end - np.log(target)) / (end - start)))


@np.errstate(all="ignore")
def hidden_sums(network, x):
    """What each hidden linear layer computes, before any norm, by the statistics of `x` itself."""
    sums, before = [], network.state_dict()
    for layer in network.layers[:-1]:
        x = layer.forward(x, training=True)
        if isinstance(layer, layers.Linear):
            sums.append(x)
    network.load_state_dict(before)
    return sums
