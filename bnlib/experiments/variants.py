"""Batch norm changed for an experiment: smaller batches inside the batch, and noise behind it."""

import numpy as np

from bnlib import normalization
from bnlib.layers import BatchNorm, Layer

# Noisy batch norm (Santurkar et al., 2018): what is added, and what is multiplied, is drawn from
# distributions with these ends; the scale's mean is not 1, so the distribution moves as a whole.
SHIFT = (-0.5, 0.5)
SCALE = (1.0, 1.25)


class GhostBatchNorm(BatchNorm):
    """Batch norm that in training takes the statistics of a few examples at a time.

    The batch is cut into ghost batches (Hoffer et al., 2017), each normalized by itself: the noise
    of small batches without their gradients. No running averages: it evaluates by the batch, or by
    `bnlib.training.population_statistics`.

    Parameters
    ----------
    num_features : int
    ghost : int
        Examples of each ghost batch; the batch must be a multiple of it.
    eps : float

    Examples
    --------
    >>> layer = GhostBatchNorm(1, ghost=2)
    >>> layer.forward(np.array([[1.0], [3.0], [50.0], [60.0]]), training=True).ravel().round(3)
    array([-1.,  1., -1.,  1.])
    """

    def __init__(self, num_features, *, ghost, eps=1e-5):
        super().__init__(num_features, eps=eps, track_running_stats=False)
        self.ghost = ghost

    def _forward(self, x, training):
        if not training:
            return super()._forward(x, training)
        if len(x) % self.ghost:
            raise ValueError(
                f"GhostBatchNorm: x must have a multiple of {self.ghost} rows, got {len(x)}"
            )
        # Beside each other in the feature axis: batch norm is per feature already.
        gamma, beta = (np.tile(self.params[name], len(x) // self.ghost) for name in self.params)
        y, cache = normalization.batch_norm(self._beside(x), gamma, beta, eps=self.eps)
        return self._below(y), cache, self.buffers

    def _backward(self, dy, cache):
        if isinstance(cache, normalization.BatchNormCache) and len(cache.mean) == len(dy[0]):
            return super()._backward(dy, cache)
        dx, *both = normalization.batch_norm_backward(self._beside(dy), cache)
        dgamma, dbeta = (each.reshape(-1, self.num_features).sum(axis=0) for each in both)
        return self._below(dx), {"weight": dgamma, "bias": dbeta}

    def _beside(self, x):
        """(N, C) to (ghost, N / ghost * C)."""
        groups = x.reshape(-1, self.ghost, self.num_features)
        return groups.swapaxes(0, 1).reshape(self.ghost, -1)

    def _below(self, x):
        """Back to (N, C)."""
        groups = x.reshape(self.ghost, -1, self.num_features)
        return groups.swapaxes(0, 1).reshape(-1, self.num_features)


class Noise(Layer):
    """Multiply by a random scale and add a random shift, new in every training step.

    Parameters
    ----------
    how : "per unit" or "per example"
        One scale and shift for all examples of a unit, or for every number by itself.
    rng : numpy.random.Generator

    Examples
    --------
    >>> layer = Noise("per unit", np.random.default_rng(0))
    >>> y = layer.forward(np.zeros((2, 3)), training=True)
    >>> bool((y[0] == y[1]).all()), bool((y != 0).all())
    (True, True)
    """

    def __init__(self, how, rng):
        super().__init__()
        self.how, self.rng = how, rng

    def _forward(self, x, training):
        if not training:
            return x, 1.0, self.buffers
        shape = x.shape if self.how == "per example" else x.shape[1:]
        scale = self.rng.uniform(*SCALE, shape)
        return x * scale + self.rng.uniform(*SHIFT, shape), scale, self.buffers

    def _backward(self, dy, cache):
        return dy * cache, {}
