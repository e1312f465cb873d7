"""Layers between convolutions and the linear layer at the end; nothing in them is learned."""

import math

import numpy as np

from bnlib import checks, functional
from bnlib.layers.layer import Layer


class MaxPool2d(Layer):
    """The largest number of every window.

    Parameters
    ----------
    size : int
        Height and width of the windows.
    stride : int, optional
        Steps between windows; None stands for `size`.

    Examples
    --------
    >>> MaxPool2d(2).forward(np.arange(16.0).reshape(1, 1, 4, 4), training=True)
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    def __init__(self, size, *, stride=None):
        super().__init__()
        checks.count("MaxPool2d", "size", size)
        if stride is not None:
            checks.count("MaxPool2d", "stride", stride)
        self.size, self.stride = size, stride

    def _forward(self, x, training):
        y, cache = functional.max_pool2d(x, self.size, stride=self.stride)
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        return functional.max_pool2d_backward(dy, cache), {}


class GlobalAveragePool(Layer):
    """The mean of every channel: (N, C, *spatial) becomes (N, C).

    Examples
    --------
    >>> GlobalAveragePool().forward(np.arange(8.0).reshape(1, 2, 2, 2), training=True)
    array([[1.5, 5.5]])
    """

    def _forward(self, x, training):
        x = checks.batch("GlobalAveragePool", x)
        return x.mean(axis=tuple(range(2, x.ndim))), x.shape, self.buffers

    def _backward(self, dy, cache):
        dy = _upstream("GlobalAveragePool", dy, cache[:2])
        spread = dy.reshape(*dy.shape, *(1,) * len(cache[2:])) / math.prod(cache[2:])
        return np.broadcast_to(spread, cache).copy(), {}


class Flatten(Layer):
    """Each example as one row: (N, C, *spatial) becomes (N, D).

    Examples
    --------
    >>> Flatten().forward(np.ones((5, 2, 3, 3)), training=True).shape
    (5, 18)
    """

    def _forward(self, x, training):
        x = checks.batch("Flatten", x)
        return x.reshape(len(x), -1), x.shape, self.buffers

    def _backward(self, dy, cache):
        dy = _upstream("Flatten", dy, (cache[0], math.prod(cache[1:])))
        return dy.reshape(cache), {}


def _upstream(layer, dy, expected):
    operation = f"{layer}.backward"
    dy = checks.float_array(operation, "dy", dy)
    checks.shape(operation, "dy", dy, expected, f"y of shape {expected}")
    return dy
