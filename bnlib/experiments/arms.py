"""The arms that experiments compare: a network, its inputs, and how it is trained.

A seed sets the split of the data, the initial weights and the order of the batches, together and
alike for all arms, so that a difference within one seed is a difference between the arms.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from bnlib import datasets, ensembles, functional, layers, optim, training
from bnlib.experiments import variants
from bnlib.experiments.learning_rates import LEARNING_RATES

OPTIMIZERS = {"SGD": optim.SGD, "RMSprop": optim.RMSprop, "Adam": optim.Adam}
GUESSING = 0.1  # the accuracy that a run which diverged is given: ten classes, one guess
EPS = 1e-5  # added to the variance of an input when it is standardized, as batch norm does


class Identity(layers.Activation):
    """No activation: a network of these is one linear map, however deep."""

    function = staticmethod(lambda x: (x, ()))
    function_backward = staticmethod(lambda dy, cache: dy)


ACTIVATIONS = {"relu": layers.ReLU, "sigmoid": layers.Sigmoid, "identity": Identity}


@dataclass(frozen=True)
class Arm:
    """One network of hidden layers of 100 units, its inputs, and how it is trained.

    Attributes
    ----------
    activation : {"relu", "sigmoid", "identity"}
    depth : int
        Number of hidden layers.
    inputs : {"raw", "standardized"}
        Pixels in [0, 1], or each pixel with mean 0 and variance 1 over the training set. A batch
        norm after the first layer does nearly the same for nothing: hence this second plain arm.
    batch_norm : {"", "before", "after"}
        Without, before every activation, or after it.
    learned : {"gamma, beta", "gamma", "beta", "nothing"}
        Which parameters of batch norm are learned; the others keep the values below.
    gamma, beta : float
        Their values at the start.
    eps : float
        Added to the variance by batch norm.
    scale, output_scale : float or "he" or "glorot"
        Standard deviation of the initial weights; of the last layer's, if it has its own.
    factor : float
        All initial weights are multiplied by it.
    equal : float, optional
        All initial weights have this value instead.
    below : float, optional
        Before training, the biases are set so that this share of each hidden unit's inputs to its
        activation, over the training set, lies below 0 (1: dead; 0: above 0 throughout).
    share : float
        The share of the units of each layer whose biases are set so.
    ghost : int, optional
        Batch norm takes the statistics of so many examples at a time.
    noise : {"", "per unit", "per example"}
        After every batch norm a random scale and shift, new in each step (see `variants.Noise`).
    dropout : float
        Share of the outputs of each hidden activation that are silenced.
    optimizer : {"SGD", "RMSprop", "Adam"}
    momentum : float
        Of SGD.
    weight_decay : float
        Of all parameters.
    lr : float, optional
        Learning rate; without one, that which development seeds chose for all the rest.
    batch_size, epochs : int
    examples : int, optional
        It trains on so many of the training images only; None: on all.
    wrong_labels : float
        Share of them that have a random label, for the whole of training.
    """

    activation: str = "relu"
    depth: int = 3
    inputs: str = "raw"
    batch_norm: str = ""
    learned: str = "gamma, beta"
    gamma: float = 1.0
    beta: float = 0.0
    eps: float = 1e-5
    scale: float | str = "he"
    output_scale: float | str | None = None
    factor: float = 1.0
    equal: float | None = None
    below: float | None = None
    share: float = 1.0
    ghost: int | None = None
    noise: str = ""
    dropout: float = 0.0
    optimizer: str = "SGD"
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 50
    epochs: int = 20
    examples: int | None = None
    wrong_labels: float = 0.0
    lr: float | None = None

    @property
    def description(self):
        """All but the learning rate, as far as it is not the default.

        Examples
        --------
        >>> Arm("sigmoid", depth=5, lr=1.0).description
        'activation=sigmoid depth=5'
        """
        told = (f for f in fields(self) if f.name != "lr" and getattr(self, f.name) != f.default)
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in told) or "plain"

    @property
    def architecture(self):
        """What arms must have in common to be trained side by side."""
        return (
            self.activation, self.depth, self.batch_norm, self.learned, self.eps, self.optimizer,
            self.momentum, self.weight_decay, self.batch_size, self.epochs, self.examples,
            self.ghost, self.noise, self.dropout,
        )  # fmt: skip

    @property
    def stands_beside_others(self):
        """Whether its layers are those that `bnlib.ensembles` can train side by side."""
        return not (self.ghost or self.noise or self.dropout)


class Run(NamedTuple):
    """A trained network, the data as it saw them, and what happened."""

    network: layers.Sequential
    data: datasets.Dataset
    history: training.History

    @property
    def test_accuracy(self):
        """At the end, with population statistics; that of guessing if the run diverged."""
        return self._last(self.history.test_accuracy)

    @property
    def train_accuracy(self):
        """At the end, with population statistics; that of guessing if the run diverged."""
        return self._last(self.history.train_accuracy)

    def _last(self, accuracies):
        return GUESSING if self.history.diverged else float(accuracies[-1])

    def losses(self, steps):
        """Loss of each of so many steps; that of guessing for those that a diverged run lacks."""
        losses = self.history.loss[np.isfinite(self.history.loss)]
        missing = np.full(steps - len(losses), np.log(10))
        return np.concatenate([losses, missing])


def learning_rate(arm):
    """The arm's own learning rate, or the one that was chosen for it on development seeds."""
    return LEARNING_RATES[arm.description] if arm.lr is None else arm.lr


def standardized(data):
    """Each input with mean 0 and variance 1 over the training set; constant ones become 0."""
    mean, var = data.x_train.mean(axis=0), data.x_train.var(axis=0)
    inv_std = 1 / np.sqrt(var + EPS)
    return data._replace(
        x_train=(data.x_train - mean) * inv_std, x_test=(data.x_test - mean) * inv_std
    )


def prepare(arm, data, seed):
    """The data as the arm's network sees them."""
    if arm.examples is not None:
        chosen = slice(arm.examples)
        data = data._replace(x_train=data.x_train[chosen], y_train=data.y_train[chosen])
    if arm.wrong_labels:
        data = data._replace(y_train=mislabelled(data.y_train, arm.wrong_labels, seed))
    return standardized(data) if arm.inputs == "standardized" else data


def mislabelled(labels, share, seed):
    """Labels of which that share, to a whole number, is replaced by one of the nine others."""
    rng = np.random.default_rng([seed, 3])
    chosen = rng.permutation(len(labels))[: round(share * len(labels))]
    wrong = labels.copy()
    wrong[chosen] = (labels[chosen] + rng.integers(1, 10, len(chosen))) % 10
    return wrong


def build(arm, data, seed):
    """The arm's network before training; the same weights for all arms of one shape and scale."""
    inputs, classes = data.x_train.shape[1], 10
    network = layers.mlp(
        [inputs, *[100] * arm.depth, classes],
        rng=np.random.default_rng([seed, 1]),
        activation=ACTIVATIONS[arm.activation],
        batch_norm=bool(arm.batch_norm),
        placement=arm.batch_norm or "before",
        scale=arm.scale,
        output_scale=arm.output_scale,
    )
    for layer in network.layers:
        if isinstance(layer, layers.Linear):
            weight = arm.factor * layer.params["weight"]
            if arm.equal is not None:
                weight = np.full_like(weight, arm.equal)
            layer.params = {**layer.params, "weight": weight}
        if isinstance(layer, layers.BatchNorm):
            layer.eps = arm.eps
            _set_gamma_and_beta(layer, arm)
    if arm.below is not None:
        _pile_up(network, arm, data.x_train)
    return network if arm.stands_beside_others else _varied(network, arm, seed)


def _varied(network, arm, seed):
    """The network with ghost batch norm, and with noise or dropout behind what they disturb."""
    rng, varied = np.random.default_rng([seed, 4]), []
    for layer in network.layers:
        if arm.ghost and isinstance(layer, layers.BatchNorm):
            ghost = variants.GhostBatchNorm(layer.num_features, ghost=arm.ghost, eps=layer.eps)
            ghost.params, ghost.frozen = layer.params, layer.frozen
            layer = ghost
        varied.append(layer)
        if arm.noise and isinstance(layer, layers.BatchNorm):
            varied.append(variants.Noise(arm.noise, rng))
        if arm.dropout and isinstance(layer, layers.Activation):
            varied.append(layers.Dropout(arm.dropout, rng))
    return layers.Sequential(*varied)


def _set_gamma_and_beta(layer, arm):
    ones = np.ones(layer.num_features)
    layer.params = {"weight": arm.gamma * ones, "bias": arm.beta * ones}
    names = {"gamma": "weight", "beta": "bias"}
    layer.frozen = frozenset(own for name, own in names.items() if name not in arm.learned)


def _pile_up(network, arm, x):
    """Set biases of the hidden layers, one layer after the other (see `Arm.below`)."""
    *hidden, _ = [layer for layer in network.layers if isinstance(layer, layers.Linear)]
    for layer in network.layers:
        if layer in hidden:
            z = layer.forward(x, training=True)
            chosen = np.arange(z.shape[1]) < round(arm.share * z.shape[1])
            reach = z.max(axis=0) - z.min(axis=0)
            cut = np.quantile(z, arm.below, axis=0)
            cut += 1e-3 * reach * ((arm.below == 1) - (arm.below == 0))  # beyond the last value
            layer.params = {**layer.params, "bias": np.where(chosen, -cut, 0.0)}
        x = layer.forward(x, training=True)


def split(seed, draw):
    """The data of a seed."""
    return draw(np.random.default_rng([seed, 0]))


def train(arms, seed, data, *, evaluate="end", observe=None, observe_at=None, test=True):
    """Train the arms on the same data; those of one architecture side by side.

    Parameters
    ----------
    arms : dict of str to Arm
    seed : int
    data : Dataset
        Raw; each arm prepares it.
    evaluate, observe, observe_at
        As in `bnlib.training.fit`. Accuracies are those with population statistics.
    test : bool
        False: the test images are not looked at, which saves time.

    Returns
    -------
    dict of str to Run
        In the order of `arms`.
    """
    if not test:
        data = data._replace(x_test=data.x_test[:0], y_test=data.y_test[:0])
    how = {"evaluate": evaluate, "statistics": "population", "observe": observe,
           "observe_at": observe_at}  # fmt: skip
    groups: dict = {}
    for name, arm in arms.items():
        groups.setdefault(arm.architecture, []).append(name)
    runs: dict[str, Run] = {}
    for names in groups.values():
        chosen = [arms[name] for name in names]
        prepared = [prepare(arm, data, seed) for arm in chosen]
        networks = [build(arm, own, seed) for arm, own in zip(chosen, prepared, strict=True)]
        together = _train_together if chosen[0].stands_beside_others else _train_one_by_one
        histories = together(networks, chosen, prepared, seed, how)
        if any(history.interrupted for history in histories):
            raise KeyboardInterrupt  # half a training is no result
        runs.update(zip(names, map(Run, networks, prepared, histories), strict=True))
    return {name: runs[name] for name in arms}


def _train_together(networks, arms, data, seed, how):
    first = arms[0]
    return ensembles.fit_together(
        networks,
        data,
        lr=np.array([learning_rate(arm) for arm in arms]),
        epochs=first.epochs,
        batch_size=first.batch_size,
        rngs=[np.random.default_rng([seed, 2]) for _ in arms],
        optimizer=OPTIMIZERS[first.optimizer],
        **_options(first),
        **how,
    )


def _train_one_by_one(networks, arms, data, seed, how):
    return [
        training.fit(
            network,
            OPTIMIZERS[arm.optimizer](network, lr=learning_rate(arm), **_options(arm)),
            own,
            epochs=arm.epochs,
            batch_size=arm.batch_size,
            rng=np.random.default_rng([seed, 2]),
            **how,
        )
        for network, arm, own in zip(networks, arms, data, strict=True)
    ]


def _options(arm):
    """What the optimizer is told besides the learning rate."""
    momentum = {"momentum": arm.momentum} if arm.momentum else {}
    return {**momentum, "weight_decay": arm.weight_decay}


def steps_to(target, losses, *, over=20):
    """Number of steps after which the mean of the last `over` losses is below the target.

    One more than all steps if it never is.

    Examples
    --------
    >>> steps_to(0.5, np.array([1.0, 0.6, 0.4, 0.2]), over=2)
    4
    """
    mean = np.convolve(losses, np.ones(over) / over, mode="valid")
    reached = np.flatnonzero(mean < target)
    return int(reached[0]) + over if len(reached) else len(losses) + 1


@np.errstate(all="ignore")  # a network that diverged may overflow
def pre_activations(network, x):
    """The input of each hidden activation, in evaluation mode by the statistics of `x` itself."""
    values, before = [], network.state_dict()
    for layer in network.layers:
        if isinstance(layer, layers.Activation):
            values.append(x)
        x = layer.forward(x, training=True)
    network.load_state_dict(before)  # the running averages have moved
    return values


@np.errstate(all="ignore")
def cross_entropy(network, x, labels):
    """The mean loss over all of `x`, batch norm using the statistics of `x` itself."""
    before = network.state_dict()
    logits = network.forward(x, training=True)
    network.load_state_dict(before)
    return float(functional.softmax_cross_entropy(logits, labels)[0])
