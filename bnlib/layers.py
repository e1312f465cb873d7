"""Layers: a pure function, its parameters, and what it remembers between forward and backward.

A subclass says what it computes in two methods that change nothing, `_forward` and `_backward`;
`Layer` stores their results only when they have succeeded. Attributes are replaced, never changed
in place, so a call that raises leaves parameters, gradients, buffers and caches exactly as they
were.
"""

import contextlib
import itertools
from typing import ClassVar

import numpy as np

from bnlib import checks, functional, normalization


class Layer:
    """Base of all layers.

    The cache holds references, not copies: an input, output or parameter array that is changed in
    place between forward and backward changes the gradients.

    Attributes
    ----------
    params, grads, buffers : dict of str to ndarray
        What is learned; its gradients, set by `backward`; what is stored but not learned.
    """

    def __init__(self):
        self.params, self.grads, self.buffers = {}, {}, {}
        self._cache = None

    def forward(self, x, *, training):
        """Compute y and remember what the backward pass needs.

        Parameters
        ----------
        x : ndarray
        training : bool
            Always said: batch norm and dropout do different things in the two modes.

        Returns
        -------
        y : ndarray
        """
        checks.flag(f"{type(self).__name__}.forward", "training", training)
        y, cache, buffers = self._forward(x, training)
        self._cache, self.buffers = cache, buffers
        return y

    def backward(self, dy, *, accumulate=False):
        """Set `grads` from the gradient of the loss with respect to y; return dx.

        Parameters
        ----------
        dy : ndarray
            Same shape as the last y.
        accumulate : bool
            Add to the gradients that are there instead of replacing them.

        Returns
        -------
        dx : ndarray

        Raises
        ------
        RuntimeError
            Before the first forward.
        """
        if self._cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward: call forward first")
        dx, grads = self._backward(dy, self._cache)
        if accumulate and self.grads:
            grads = {name: self.grads[name] + gradient for name, gradient in grads.items()}
        self.grads = grads
        return dx

    def leaves(self):
        """The layers that hold parameters and buffers themselves, in order."""
        return [self]

    def state_dict(self):
        """Copies of all parameters and buffers, under PyTorch's names."""
        return {name: value.copy() for name, value in {**self.params, **self.buffers}.items()}

    def load_state_dict(self, state):
        """Replace all parameters and buffers; unknown or missing names and wrong shapes raise.

        Values are converted to the dtype of what they replace.
        """
        operation = f"{type(self).__name__}.load_state_dict"
        own = {**self.params, **self.buffers}
        if state.keys() != own.keys():
            raise ValueError(
                f"{operation}: expected the names {sorted(own)}, got {sorted(map(str, state))}"
            )
        loaded = {}
        for name, value in own.items():
            array = np.asarray(state[name])
            if array.dtype.kind not in "fiu":
                raise TypeError(f"{operation}: {name} must hold real numbers, got {array.dtype}")
            checks.shape(operation, name, array, value.shape, "this layer")
            with np.errstate(over="ignore", invalid="ignore"):
                loaded[name] = array.astype(value.dtype)
        self._check_state(operation, loaded)
        self.params, self.buffers = (
            {name: loaded[name] for name in self.params},
            {name: loaded[name] for name in self.buffers},
        )

    def _check_state(self, operation, state):
        """Refuse values that no training could have left in this layer."""

    def _forward(self, x, training):
        """Return (y, cache, buffers) and change nothing."""
        raise NotImplementedError

    def _backward(self, dy, cache):
        """Return (dx, grads) and change nothing."""
        raise NotImplementedError


class Linear(Layer):
    """y = x W' + b.

    Parameters
    ----------
    in_features, out_features : int
    rng : numpy.random.Generator
        Draws the weights from a normal distribution with mean 0.
    scale : float or "he"
        Its standard deviation; "he" is sqrt(2 / in_features) (He et al., 2015).
    bias : bool
        With a bias, which starts at 0. Before batch norm it is useless (chapter `forward_pass`).
    dtype : dtype

    Examples
    --------
    >>> layer = Linear(64, 10, rng=np.random.default_rng(0))
    >>> layer.forward(np.ones((5, 64)), training=True).shape
    (5, 10)
    """

    def __init__(self, in_features, out_features, *, rng, scale="he", bias=True, dtype=np.float64):
        super().__init__()
        std = np.sqrt(2 / in_features) if isinstance(scale, str) and scale == "he" else scale
        weight = std * rng.standard_normal((out_features, in_features))
        self.params["weight"] = weight.astype(dtype)
        if bias:
            self.params["bias"] = np.zeros(out_features, dtype)

    def _forward(self, x, training):
        y, cache = functional.linear(x, self.params["weight"], self.params.get("bias"))
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        dx, dweight, dbias = functional.linear_backward(dy, cache)
        grads = {"weight": dweight}
        if "bias" in self.params:
            grads["bias"] = dbias
        return dx, grads


class Activation(Layer):
    """A function of each number by itself; the subclasses name it and its backward."""

    function: ClassVar
    function_backward: ClassVar

    def _forward(self, x, training):
        y, cache = self.function(x)
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        return self.function_backward(dy, cache), {}


class ReLU(Activation):
    """max(x, 0).

    Examples
    --------
    >>> ReLU().forward(np.array([-1.0, 2.0]), training=True)
    array([0., 2.])
    """

    function = staticmethod(functional.relu)
    function_backward = staticmethod(functional.relu_backward)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> Sigmoid().forward(np.array([0.0]), training=True)
    array([0.5])
    """

    function = staticmethod(functional.sigmoid)
    function_backward = staticmethod(functional.sigmoid_backward)


class Tanh(Activation):
    """The hyperbolic tangent.

    Examples
    --------
    >>> Tanh().forward(np.array([0.0]), training=True)
    array([0.])
    """

    function = staticmethod(functional.tanh)
    function_backward = staticmethod(functional.tanh_backward)


class BatchNorm(Layer):
    """Batch norm with its learned scale and shift and its running averages.

    In training it normalizes by the statistics of the batch and moves the running averages; in
    evaluation it applies the running averages, a fixed affine map. Chapters `forward_pass`,
    `running_averages`.

    Parameters
    ----------
    num_features : int
        The number of channels C of x, shape (N, C) or (N, C, *spatial).
    eps : float
        Added to the variance.
    momentum : float in [0, 1], or None
        Weight of the *new* value in the running averages, as in PyTorch; None averages all batches
        alike.
    affine : bool
        With gamma (`weight`, starts at 1) and beta (`bias`, starts at 0), one of each per channel.
    track_running_stats : bool
        False: no running averages; evaluation then normalizes by its own batch too.
    dtype : dtype

    Attributes
    ----------
    params : dict
        `weight` (gamma) and `bias` (beta), of shape (C,).
    buffers : dict
        `running_mean`, `running_var` (unbiased, as PyTorch keeps it) and `num_batches_tracked`.

    Raises
    ------
    ValueError
        In training with running averages and a single value per channel: no unbiased variance
        exists.
    FloatingPointError
        In training when a batch statistic is not finite; no buffer is touched.

    Examples
    --------
    >>> layer = BatchNorm(1)
    >>> layer.forward(np.array([[1.0], [3.0]]), training=True).ravel().round(3)
    array([-1.,  1.])
    >>> layer.buffers["running_mean"], layer.buffers["running_var"]
    (array([0.2]), array([1.1]))
    """

    def __init__(
        self,
        num_features,
        *,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        dtype=np.float64,
    ):
        super().__init__()
        checks.count("BatchNorm", "num_features", num_features)
        checks.positive("BatchNorm", "eps", eps)
        if momentum is not None:
            checks.share("BatchNorm", "momentum", momentum)
        checks.flag("BatchNorm", "affine", affine)
        checks.flag("BatchNorm", "track_running_stats", track_running_stats)
        checks.float_array("BatchNorm", "dtype", np.empty(0, dtype))
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        if affine:
            self.params = {
                "weight": np.ones(num_features, dtype),
                "bias": np.zeros(num_features, dtype),
            }
        if track_running_stats:
            self.buffers = {
                "running_mean": np.zeros(num_features, dtype),
                "running_var": np.ones(num_features, dtype),
                "num_batches_tracked": np.array(0),
            }

    def _check_state(self, operation, state):
        for name in self.buffers:
            value = state[name]
            if not np.isfinite(value).all():
                raise ValueError(f"{operation}: {name} must be finite, got {value}")
            if name != "running_mean" and (value < 0).any():
                raise ValueError(f"{operation}: {name} must not be negative, got {value}")

    def _forward(self, x, training):
        x = checks.batch("BatchNorm", x)
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm: x must have {self.num_features} channels (axis 1), got shape {x.shape}"
            )
        gamma, beta = self.params.get("weight"), self.params.get("bias")
        if self.buffers and not training:
            mean, var = self.buffers["running_mean"], self.buffers["running_var"]
            y = normalization.batch_norm_inference(x, mean, var, gamma, beta, eps=self.eps)
            return y, (x, mean, var, gamma), self.buffers
        y, cache = normalization.batch_norm(x, gamma, beta, eps=self.eps)
        return y, cache, self._updated_buffers(x, cache) if training else self.buffers

    def _backward(self, dy, cache):
        if isinstance(cache, normalization.BatchNormCache):
            dx, dgamma, dbeta = normalization.batch_norm_backward(dy, cache)
        else:
            dx, dgamma, dbeta = normalization.batch_norm_inference_backward(
                dy, *cache, eps=self.eps
            )
        return dx, {"weight": dgamma, "bias": dbeta} if self.params else {}

    def _updated_buffers(self, x, cache):
        if not self.buffers:
            return self.buffers
        count = x.size // self.num_features
        if count == 1:
            raise ValueError(
                "BatchNorm: training needs more than one value per channel for the running "
                f"variance, got x of shape {x.shape}"
            )
        batches = self.buffers["num_batches_tracked"] + 1
        weight = 1 / batches if self.momentum is None else self.momentum
        updated = {"num_batches_tracked": np.array(batches)}
        new = {"running_mean": cache.mean, "running_var": cache.var * (count / (count - 1))}
        for name, statistic in new.items():
            old = self.buffers[name]
            with np.errstate(over="ignore", invalid="ignore"):
                statistic = statistic.astype(old.dtype)
            finite = np.isfinite(statistic)
            if not finite.all():
                channel = int(np.argmin(finite))
                raise FloatingPointError(
                    f"BatchNorm: {name} must stay finite, got {statistic[channel]} from this batch "
                    f"in channel {channel}; the running averages were left as they were"
                )
            updated[name] = ((1 - weight) * old + weight * statistic).astype(old.dtype)
        return {name: updated[name] for name in self.buffers}


class Sequential(Layer):
    """Layers one after the other; it holds no parameters of its own.

    Parameters
    ----------
    *layers : Layer
        Each may stand in it once.

    Examples
    --------
    >>> network = Sequential(BatchNorm(2), ReLU())
    >>> network.forward(np.array([[1.0, 4.0], [3.0, 2.0]]), training=True).round(3)
    array([[0., 1.],
           [1., 0.]])
    >>> sorted(network.state_dict())[:2]
    ['0.bias', '0.num_batches_tracked']
    """

    def __init__(self, *layers):
        super().__init__()
        self.layers = layers
        # A layer keeps one cache: used twice, it would answer with the wrong gradient.
        if len({id(leaf) for leaf in self.leaves()}) < len(self.leaves()):
            raise ValueError("Sequential: each layer may stand in it once, got one twice")

    def forward(self, x, *, training):
        """Run all layers; where one raises, all are left as they were."""
        with self._all_or_nothing():
            for layer in self.layers:
                x = layer.forward(x, training=training)
        return x

    def backward(self, dy, *, accumulate=False):
        """Run all layers backward; where one raises, all are left as they were."""
        with self._all_or_nothing():
            for layer in reversed(self.layers):
                dy = layer.backward(dy, accumulate=accumulate)
        return dy

    def leaves(self):
        """The layers that hold parameters and buffers themselves, in order."""
        return [leaf for layer in self.layers for leaf in layer.leaves()]

    def state_dict(self):
        """Copies of all parameters and buffers, under PyTorch's names ("0.weight", …)."""
        return {
            f"{position}.{name}": value
            for position, layer in enumerate(self.layers)
            for name, value in layer.state_dict().items()
        }

    def load_state_dict(self, state):
        """Replace all parameters and buffers, or none of them."""
        expected = self.state_dict().keys()
        if state.keys() != expected:
            raise ValueError(
                f"Sequential.load_state_dict: expected the names {sorted(expected)}, "
                f"got {sorted(map(str, state))}"
            )
        with self._all_or_nothing():
            for position, layer in enumerate(self.layers):
                start = f"{position}."
                layer.load_state_dict(
                    {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
                )

    @contextlib.contextmanager
    def _all_or_nothing(self):
        """Put every layer back when the block raises; Ctrl-C counts.

        Attributes are only ever replaced, so remembering the references is enough.
        """
        before = [(leaf, dict(vars(leaf))) for leaf in self.leaves()]
        try:
            yield
        except BaseException:
            for leaf, attributes in before:
                vars(leaf).update(attributes)
            raise


def mlp(sizes, *, rng, activation=ReLU, batch_norm=False, scale="he", dtype=np.float64):
    """A fully connected network: linear, [batch norm,] activation, …, linear.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units of each layer, outputs.
    rng : numpy.random.Generator
        The same seed gives the same weights with and without batch norm.
    activation : type of Layer
    batch_norm : bool
        Batch norm before every activation; the linear layers before it then have no bias.
    scale : float or "he"
        Standard deviation of the initial weights, for every layer (see `Linear`).
    dtype : dtype

    Returns
    -------
    Sequential

    Examples
    --------
    >>> network = mlp([64, 100, 10], rng=np.random.default_rng(0), batch_norm=True)
    >>> [type(layer).__name__ for layer in network.layers]
    ['Linear', 'BatchNorm', 'ReLU', 'Linear']
    """
    layers: list[Layer] = []
    *hidden, last = itertools.pairwise(sizes)
    for fan_in, fan_out in hidden:
        layers.append(
            Linear(fan_in, fan_out, rng=rng, scale=scale, bias=not batch_norm, dtype=dtype)
        )
        if batch_norm:
            layers.append(BatchNorm(fan_out, dtype=dtype))
        layers.append(activation())
    layers.append(Linear(*last, rng=rng, scale=scale, dtype=dtype))
    return Sequential(*layers)
