"""A layer that is noisy in training and silent in evaluation."""

import numpy as np

from bnlib import checks, functional
from bnlib.layers.layer import Layer


class Dropout(Layer):
    """Silence numbers at random in training; do nothing in evaluation.

    Parameters
    ----------
    rate : float in [0, 1]
        Probability of being silenced.
    rng : numpy.random.Generator
        Draws a new mask in every training forward. It moves on, also when a layer behind this one
        raises.

    Examples
    --------
    >>> layer = Dropout(0.5, np.random.default_rng(0))
    >>> layer.forward(np.ones(8), training=True)
    array([2., 0., 0., 0., 2., 2., 2., 2.])
    >>> layer.forward(np.ones(8), training=False)
    array([1., 1., 1., 1., 1., 1., 1., 1.])
    """

    def __init__(self, rate, rng):
        super().__init__()
        checks.share("Dropout", "rate", rate)
        checks.generator("Dropout", "rng", rng)
        self.rate, self.rng = rate, rng

    def _forward(self, x, training):
        if training:
            y, mask = functional.dropout(x, self.rate, self.rng)
        else:
            y = checks.float_array("Dropout", "x", x)
            mask = np.ones_like(y)
        return y, mask, self.buffers

    def _backward(self, dy, cache):
        return functional.dropout_backward(dy, cache), {}
