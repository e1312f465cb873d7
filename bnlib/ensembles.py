"""Several networks at once: the only place that knows of it.

Networks of one architecture lie side by side in the feature axis: where one network has (N, D), M
of them have (N, M * D), member by member. Batch norm is per feature already and activations per
number; a linear layer multiplies M pairs of matrices, and layer norm goes from member to member.
Everything stacked, parameters too, is laid out member by member along its axis.

The numbers of a network do not depend on its neighbours, to the bit: every sum runs over the same
numbers in the same order as for the network alone.
"""

import copy
import math
from typing import Any

import numpy as np

from bnlib import checks, optim
from bnlib.datasets import Dataset
from bnlib.layers import Activation, BatchNorm, Layer, LayerNorm, Linear, Sequential
from bnlib.normalization import layer_norm, layer_norm_backward
from bnlib.training import History, Settings, Training


def fit_together(
    networks,
    data,
    *,
    lr,
    epochs,
    batch_size,
    rngs,
    optimizer=optim.SGD,
    evaluate="each epoch",
    statistics="running",
    observe=None,
    observe_at=None,
    width=8,
    **options,
):
    """Train several networks of one architecture in less time, each as `training.fit` would alone.

    Losses, parameters, buffers and accuracies are those of `fit`, to the bit, whoever the
    neighbours are; one that diverges leaves and the others go on.

    Parameters
    ----------
    networks : sequence of bnlib.layers.Sequential
        Linear, BatchNorm, LayerNorm and activations, as from `mlp`. Changed by training.
    data : bnlib.datasets.Dataset, or a sequence with one for each network
        With equally many training examples.
    lr : float, ndarray of shape (networks,), or list
        Learning rate, for all or for each network; a list has one such entry for each layer with
        parameters.
    epochs, batch_size, evaluate, statistics, observe, observe_at
        As for `fit`; `observe` is called with each network.
    rngs : sequence of numpy.random.Generator
        One for each network.
    optimizer : type of bnlib.optim.Optimizer
        Called with `lr` and the `options`.
    width : int
        How many networks lie side by side.

    Returns
    -------
    list of bnlib.training.History
        One for each network. After Ctrl-C those that had not started have no losses.

    Raises
    ------
    TypeError
        For networks with other layers, and arguments of another kind.
    ValueError
        For networks of different shapes, or when data, lr or rngs are not one for each. Also as
        `fit`.

    Examples
    --------
    >>> from bnlib import datasets, layers
    >>> rngs = [np.random.default_rng(seed) for seed in range(3)]
    >>> networks = [layers.mlp([64, 50, 10], rng=rng, batch_norm=True) for rng in rngs]
    >>> data = datasets.digits(np.random.default_rng(0))
    >>> rates = np.array([0.1, 0.3, 1.0])
    >>> histories = fit_together(networks, data, lr=rates, epochs=2, batch_size=50, rngs=rngs)
    >>> [bool(history.test_accuracy[-1] > 0.8) for history in histories]
    [True, True, True]
    """
    name = "fit_together"
    networks = checks.sequence(name, "networks", networks)
    rngs = checks.sequence(name, "rngs", rngs)
    one = isinstance(data, Dataset)
    data = [data] * len(networks) if one else checks.sequence(name, "data", data)
    _check_architectures(name, networks)
    _check_one_each(networks, data, rngs, lr)
    checks.count("fit_together", "width", width)
    if any(_is_one_wide(layer) for network in networks for layer in _layers(network)):
        width = 1
    settings = Settings(name, epochs, batch_size, evaluate, statistics, observe, observe_at)
    histories: list[History] = []
    for start in range(0, len(networks), width):
        group = slice(start, start + width)
        ensemble = Ensemble(networks[group])
        rates = optim.lr_of(lr, group)
        mover = checks.made(
            name, "optimizer", optim.Optimizer, optimizer, ensemble, lr=rates, **options
        )
        histories += Training(ensemble, mover, data[group], rngs[group], settings).run()
        if any(history.interrupted for history in histories):
            break
    return histories + [_not_started() for _ in networks[len(histories) :]]


class Ensemble(Sequential):
    """Networks side by side, as one network from (N, M * D) to (N, M * classes).

    The networks keep their own parameters and buffers until `unstack`.

    Parameters
    ----------
    networks : list of Sequential
        Of one architecture.

    Raises
    ------
    TypeError
        For networks with other layers than `fit_together` takes, or what are no networks.
    ValueError
        For networks of different shapes.

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> networks = [mlp([3, 5, 2], rng=np.random.default_rng(seed)) for seed in range(4)]
    >>> ensemble = Ensemble(networks)
    >>> ensemble.forward(np.ones((7, 4 * 3)), training=True).shape
    (7, 8)
    """

    def __init__(self, networks):
        networks = checks.sequence("Ensemble", "networks", networks)
        _check_architectures("Ensemble", networks)
        self.networks = networks
        columns = list(zip(*map(_layers, networks), strict=True))
        super().__init__(*map(_beside, columns))
        self._shapes = [
            {name: value.shape for name, value in {**layer.params, **layer.buffers}.items()}
            for layer, *_ in columns
        ]

    def backward(self, dy, *, accumulate=False, input_gradient=True):
        """Set all gradients and forget the batch: its memory serves the next one."""
        dx = super().backward(dy, accumulate=accumulate, input_gradient=input_gradient)
        for layer in self.layers:
            layer._cache = None
        return dx

    def unstack(self):
        """Give every network its parameters, gradients and buffers."""
        for member, network in enumerate(self.networks):
            each = zip(_layers(network), self.layers, self._shapes, strict=True)
            for own, stacked, shapes in each:
                own.params = self._share(stacked.params, member, shapes)
                own.buffers = self._share(stacked.buffers, member, shapes)
                if stacked.grads:
                    own.grads = self._share(stacked.grads, member, shapes)

    def _share(self, stacked, member, shapes):
        """A member's part of stacked arrays, each in the shape that one network has."""
        shares = {}
        for name, value in stacked.items():
            share = value.reshape(len(self.networks), -1)[member]
            shares[name] = share[: math.prod(shapes[name])].reshape(shapes[name]).copy()
        return shares


class _Linears(Layer):
    """A linear layer of each member."""

    def __init__(self, members):
        super().__init__()
        self.members = members

    def _forward(self, x, training):
        x, weight = self._each(checks.float_array("Ensemble", "x", x)), self._weight()
        y = np.empty((x.shape[1], self.members * weight.shape[1]), np.result_type(x, weight))
        np.matmul(x, weight.swapaxes(1, 2), out=self._each(y))
        if "bias" in self.params:
            y += self.params["bias"]
        return y, (x, weight), self.buffers

    def _backward(self, dy, cache):
        x, weight = cache
        dx = np.empty((len(dy), self.members * x.shape[2]), np.result_type(dy, weight))
        np.matmul(self._each(dy), weight, out=self._each(dx))
        return dx, self._gradients(dy, cache)

    def _gradients(self, dy, cache):
        x, _ = cache
        dweight = np.matmul(self._each(dy).swapaxes(1, 2), x)
        grads = {"weight": dweight.reshape(self.params["weight"].shape)}
        if "bias" in self.params:
            grads["bias"] = dy.sum(axis=0)
        return grads

    def _each(self, x):
        """View (N, M * D) as M matrices of shape (N, D)."""
        return x.reshape(len(x), self.members, -1).swapaxes(0, 1)

    def _weight(self):
        weight = self.params["weight"]
        return weight.reshape(self.members, -1, weight.shape[1])


class _LayerNorms(Layer):
    """A layer norm of each member."""

    def __init__(self, members, eps):
        super().__init__()
        self.members, self.eps = members, eps

    def _forward(self, x, training):
        gammas, betas = self._split(self.params.get("weight")), self._split(self.params.get("bias"))
        each = zip(self._split(x), gammas, betas, strict=True)
        ys, caches = zip(*[layer_norm(*one, eps=self.eps) for one in each], strict=True)
        return np.concatenate(ys, axis=1), caches, self.buffers

    def _backward(self, dy, cache):
        each = zip(self._split(dy), cache, strict=True)
        dxs, dgammas, dbetas = zip(*[layer_norm_backward(*one) for one in each], strict=True)
        grads = {"weight": np.concatenate(dgammas), "bias": np.concatenate(dbetas)}
        return np.concatenate(dxs, axis=1), grads if self.params else {}

    def _split(self, values):
        return [None] * self.members if values is None else np.split(values, self.members, axis=-1)


def _beside(layers):
    """One layer that does what each of the layers does on its own share of the features."""
    layer, members = layers[0], len(layers)
    stacked: Any
    if isinstance(layer, Linear):
        stacked = _Linears(members)
    elif isinstance(layer, LayerNorm):
        stacked = _LayerNorms(members, layer.eps)
    else:
        stacked = copy.copy(layer)  # batch norm works per feature, an activation per number
        stacked.grads, stacked._cache = {}, None
    if isinstance(layer, BatchNorm):
        stacked.num_features = members * layer.num_features
        # The number of batches becomes one for each channel: members may have seen different ones.
        stacked.buffers = _stacked([_per_channel(one) for one in layers])
    stacked.params = _stacked([one.params for one in layers])
    stacked.frozen = layer.frozen
    return stacked


def _stacked(dicts):
    return {name: np.concatenate([each[name] for each in dicts]) for name in dicts[0]}


def _layers(network):
    """The layers of a network in order, those of Sequentials within it too."""
    if isinstance(network, Sequential):
        return [layer for part in network.layers for layer in _layers(part)]
    return [network]


def _per_channel(layer):
    return {k: np.broadcast_to(v, layer.num_features) for k, v in layer.buffers.items()}


def _not_started():
    return History(np.empty(0), np.empty(0), np.empty(0), diverged=False, interrupted=True)


def _is_one_wide(layer):
    """Whether it works on a single column, which numpy sums in another order than one of many."""
    return any(1 in value.shape for value in layer.params.values())


def _check_architectures(operation, networks):
    for network in networks:
        for layer in _layers(network):
            if type(layer) not in (Linear, BatchNorm, LayerNorm) and not isinstance(
                layer, Activation
            ):
                raise TypeError(
                    f"{operation}: networks must be Sequentials of Linear, BatchNorm, LayerNorm "
                    f"and activations, got {type(layer).__name__}"
                )
        if _architecture(network) != _architecture(networks[0]):
            raise ValueError(
                f"{operation}: networks must have the same layers, shapes and settings, got "
                f"{_architecture(networks[0])} and {_architecture(network)}"
            )


def _architecture(network):
    """What networks must share in order to lie side by side: all but the numbers in arrays."""
    state = {"params", "grads", "buffers", "_cache"}
    return [
        (
            type(layer).__name__,
            {name: value for name, value in vars(layer).items() if name not in state},
            {k: (v.shape, v.dtype) for k, v in {**layer.params, **layer.buffers}.items()},
        )
        for layer in _layers(network)
    ]


def _check_one_each(networks, data, rngs, lr):
    for rng in rngs:
        checks.generator("fit_together", "each of rngs", rng)
    for each in data:
        checks.instance("fit_together", "each of data", each, Dataset, "a Dataset")
    given = {"data": data, "rngs": rngs}
    for place, rate in enumerate(lr if isinstance(lr, list) else [lr]):
        if np.ndim(rate):
            given[f"lr[{place}]" if isinstance(lr, list) else "lr"] = rate
    for name, values in given.items():
        if len(values) != len(networks):
            raise ValueError(
                f"fit_together: {name} must have one entry for each of the {len(networks)} "
                f"networks, got {len(values)}"
            )
    leaves = [layer for network in networks for layer in network.leaves()]
    for name, values in {"networks": leaves, "rngs": rngs}.items():
        if len(set(map(id, values))) < len(values):
            raise ValueError(f"fit_together: {name} must all be different, got one twice")
    kinds = {(each.x_train.shape, each.x_train.dtype) for each in data}
    if len(kinds) > 1:
        raise ValueError(
            f"fit_together: x_train must have the same shape and dtype in all data, got {kinds}"
        )
