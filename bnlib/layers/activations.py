"""Activations: the non-linear steps between the layers with weights."""

from typing import ClassVar

from bnlib import functional
from bnlib.layers.layer import Layer


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
    >>> import numpy as np
    >>> ReLU().forward(np.array([-1.0, 2.0]), training=True)
    array([0., 2.])
    """

    function = staticmethod(functional.relu)
    function_backward = staticmethod(functional.relu_backward)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> import numpy as np
    >>> Sigmoid().forward(np.array([0.0]), training=True)
    array([0.5])
    """

    function = staticmethod(functional.sigmoid)
    function_backward = staticmethod(functional.sigmoid_backward)


class Tanh(Activation):
    """The hyperbolic tangent.

    Examples
    --------
    >>> import numpy as np
    >>> Tanh().forward(np.array([0.0]), training=True)
    array([0.])
    """

    function = staticmethod(functional.tanh)
    function_backward = staticmethod(functional.tanh_backward)
