"""Layers with weights: each output is a weighted sum of inputs."""

import numpy as np

from bnlib import checks, functional
from bnlib.layers.layer import Layer


class Linear(Layer):
    """y = x W' + b.

    Parameters
    ----------
    in_features, out_features : int
    rng : numpy.random.Generator
        Draws the weights from a normal distribution with mean 0.
    scale : float, "he" or "glorot"
        Its standard deviation; "he" is sqrt(2 / in_features) (He et al., 2015), "glorot"
        sqrt(2 / (in_features + out_features)) (Glorot and Bengio, 2010).
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
        checks.count("Linear", "in_features", in_features)
        checks.count("Linear", "out_features", out_features)
        _check_options("Linear", rng, bias, dtype)
        std = _standard_deviation("Linear", scale, in_features, out_features)
        weight = std * rng.standard_normal((out_features, in_features))
        self.params["weight"] = weight.astype(dtype)
        if bias:
            self.params["bias"] = np.zeros(out_features, dtype)

    def _forward(self, x, training):
        y, cache = functional.linear(x, self.params["weight"], self.params.get("bias"))
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        dx, *grads = functional.linear_backward(dy, cache)
        return dx, _named(grads, self.params)

    def _gradients(self, dy, cache):
        _, *grads = functional.linear_backward(dy, cache, input_gradient=False)
        return _named(grads, self.params)


class Conv2d(Layer):
    """Filters that slide over a picture.

    Parameters
    ----------
    in_channels, out_channels : int
    size : int
        Height and width of the filters.
    stride : int
        Steps between places.
    padding : int
        Rows and columns of zeros around the picture.
    rng : numpy.random.Generator
        Draws the weights from a normal distribution with mean 0.
    scale : float, "he" or "glorot"
        Its standard deviation, as for `Linear`, with in_channels * size**2 inputs and
        out_channels * size**2 outputs.
    bias : bool
        With a bias, which starts at 0.
    dtype : dtype

    Examples
    --------
    >>> layer = Conv2d(1, 4, 3, padding=1, rng=np.random.default_rng(0))
    >>> layer.forward(np.ones((5, 1, 8, 8)), training=True).shape
    (5, 4, 8, 8)
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        size,
        *,
        rng,
        stride=1,
        padding=0,
        scale="he",
        bias=True,
        dtype=np.float64,
    ):
        super().__init__()
        checks.count("Conv2d", "in_channels", in_channels)
        checks.count("Conv2d", "out_channels", out_channels)
        checks.count("Conv2d", "size", size)
        checks.count("Conv2d", "stride", stride)
        checks.count("Conv2d", "padding", padding, least=0)
        _check_options("Conv2d", rng, bias, dtype)
        self.stride, self.padding = stride, padding
        area = size * size
        std = _standard_deviation("Conv2d", scale, in_channels * area, out_channels * area)
        weight = std * rng.standard_normal((out_channels, in_channels, size, size))
        self.params["weight"] = weight.astype(dtype)
        if bias:
            self.params["bias"] = np.zeros(out_channels, dtype)

    def _forward(self, x, training):
        weight, bias = self.params["weight"], self.params.get("bias")
        y, cache = functional.conv2d(x, weight, bias, stride=self.stride, padding=self.padding)
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        dx, *grads = functional.conv2d_backward(dy, cache)
        return dx, _named(grads, self.params)

    def _gradients(self, dy, cache):
        _, *grads = functional.conv2d_backward(dy, cache, input_gradient=False)
        return _named(grads, self.params)


def _named(grads, params):
    """The gradients of weight and bias under their names; without a bias there is none of it."""
    named = dict(zip(("weight", "bias"), grads, strict=True))
    return {name: named[name] for name in params}


def _check_options(operation, rng, bias, dtype):
    checks.generator(operation, "rng", rng)
    checks.flag(operation, "bias", bias)
    checks.dtype(operation, dtype)


def _standard_deviation(operation, scale, fan_in, fan_out):
    """The initial weights' standard deviation: a number, or the name of a rule for it."""
    if not isinstance(scale, str):
        checks.not_negative(operation, "scale", scale)
        return scale
    rules = {"he": 2 / fan_in, "glorot": 2 / (fan_in + fan_out)}
    if scale not in rules:
        raise ValueError(
            f"{operation}: scale must be a number or one of {list(rules)}, got {scale!r}"
        )
    return np.sqrt(rules[scale])
