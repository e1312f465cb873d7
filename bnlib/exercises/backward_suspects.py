"""Backward passes of batch norm, right and wrong, that a gradient check is asked about."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bnlib.normalization import batch_norm, batch_norm_backward

SMALL_UNITS = 1e-6


class Suspect(NamedTuple):
    """A backward pass with its forward pass.

    Attributes
    ----------
    words : str
        What it does, as the end of "It lets through: …".
    backward : callable
        ``backward(dy, cache)`` to dx, dgamma, dbeta.
    right : bool
    eps : float
        That of the forward pass.
    units : float
        The forward pass returns y in other units: this times y.
    """

    words: str
    backward: Callable
    right: bool = False
    eps: float = 1e-5
    units: float = 1.0

    def forward(self, x, gamma, beta):
        """Batch norm, perhaps with another eps, perhaps in other units."""
        y, cache = batch_norm(x, gamma, beta, eps=self.eps)
        return self.units * y, cache


def rebuilt(mean=1, var=1, less=0, with_gamma=True):
    """A backward pass in closed form whose terms can be weighted."""

    def backward(dy, cache):
        x_hat, n = cache.x_hat, len(dy) - less
        dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
        with np.errstate(all="ignore"):  # N - 1 of a batch of one
            dx = cache.inv_std * (dy - mean * dbeta / n - var * x_hat * dgamma / n)
        return cache.gamma * dx if with_gamma else dx, dgamma, dbeta

    return backward


def dx_becomes(change):
    """The right backward pass with another dx."""

    def backward(dy, cache):
        dx, dgamma, dbeta = batch_norm_backward(dy, cache)
        return change(dx), dgamma, dbeta

    return backward


def times(dx=1.0, dgamma=1.0, dbeta=1.0):
    """The right backward pass with each gradient multiplied by a factor."""

    def backward(dy, cache):
        right = batch_norm_backward(dy, cache)
        return tuple(k * g for k, g in zip((dx, dgamma, dbeta), right, strict=True))

    return backward


def _size(gradient):
    """Its largest entry, or 1 where all are zero."""
    return float(np.abs(gradient).max()) or 1.0


def _last_entry_off(dx):
    changed = dx.copy()
    changed[-1, -1] += _size(dx)
    return changed


def _first_channel_off(dx):
    changed = dx.copy()
    changed[:, 0] *= -2
    return changed


def _moved(parameter):
    """A parameter's gradient, every entry wrong by another amount, to either side."""
    number = np.arange(1, len(parameter) + 1)
    return parameter + _size(parameter) * number * (-1) ** number


def _dgamma_moved(dy, cache):
    dx, dgamma, dbeta = batch_norm_backward(dy, cache)
    return dx, _moved(dgamma), dbeta


def _dbeta_moved(dy, cache):
    dx, dgamma, dbeta = batch_norm_backward(dy, cache)
    return dx, dgamma, _moved(dbeta)


def _swapped(dy, cache):
    dx, dgamma, dbeta = batch_norm_backward(dy, cache)
    return dx, dbeta, dgamma


def _deaf(dy, cache):
    return batch_norm_backward(np.ones_like(dy), cache)


def _divided_by_size(dy, cache):
    return tuple(g / dy.size for g in batch_norm_backward(dy, cache))


def _divided_by_rows(dy, cache):
    return tuple(g / len(dy) for g in batch_norm_backward(dy, cache))


SUSPECTS = {
    "right": Suspect("the right one", batch_norm_backward, right=True),
    "right, other eps": Suspect(
        "the right one of a batch norm with eps = 0.5", batch_norm_backward, right=True, eps=0.5
    ),
    "right, small units": Suspect(
        "the right one of a batch norm whose y is a million times smaller",
        times(*3 * [SMALL_UNITS]),
        right=True,
        units=SMALL_UNITS,
    ),
    "zeros": Suspect("a dx of zeros", times(dx=0)),
    "thousandfold": Suspect("a dx that is a thousand times too large", times(dx=1000)),
    "gamma forgotten": Suspect("a dx without gamma", rebuilt(with_gamma=False)),
    "variance path cut": Suspect("a dx without the variance path", rebuilt(var=0)),
    "variance path added": Suspect("a dx with the variance path added", rebuilt(var=-1)),
    "mean path cut": Suspect("a dx without the mean path", rebuilt(mean=0)),
    "both paths cut": Suspect("a dx without both paths", rebuilt(mean=0, var=0)),
    "n - 1": Suspect("a dx with N - 1 for N", rebuilt(less=1)),
    "flipped": Suspect("a dx of the wrong sign", times(dx=-1)),
    "rows moved": Suspect("a dx whose rows have changed places", dx_becomes(np.flipud)),
    "all too low": Suspect(
        "a dx whose entries are all too low", dx_becomes(lambda a: a - _size(a))
    ),
    "all too high": Suspect(
        "a dx whose entries are all too high", dx_becomes(lambda a: a + _size(a))
    ),
    "one entry": Suspect("a dx that is wrong in its last entry only", dx_becomes(_last_entry_off)),
    "one channel": Suspect(
        "a dx that is wrong in its first channel only", dx_becomes(_first_channel_off)
    ),
    "nan": Suspect("a dx of NaN", times(dx=np.nan)),
    "dgamma": Suspect("a wrong dgamma", _dgamma_moved),
    "dbeta": Suspect("a wrong dbeta", _dbeta_moved),
    "swapped": Suspect("dgamma and dbeta in each other's place", _swapped),
    "one percent": Suspect("gradients that are all wrong by a hundredth", times(1.01, 1.01, 1.01)),
    "deaf": Suspect("gradients that do not depend on dy", _deaf),
    "doubled": Suspect("gradients that are all twice too large", times(2, 2, 2)),
    "halved": Suspect("gradients that are all half of what they should be", times(0.5, 0.5, 0.5)),
    "by size": Suspect("gradients divided by the size of y", _divided_by_size),
    "by rows": Suspect("gradients divided by N", _divided_by_rows),
    "zeros, small units": Suspect(
        "a dx of zeros where y is a million times smaller",
        times(0, SMALL_UNITS, SMALL_UNITS),
        units=SMALL_UNITS,
    ),
}
