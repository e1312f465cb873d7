"""Every norm, its gradients and the running averages, computed with a hundred digits.

`decimal` is in every Python and its own arithmetic, so a machine whose long double is a plain
double has the same oracle. Nothing here shares code or a formula with bnlib: forward is the
definition, backward goes through it step by step, and a derivative of a derivative is a difference
quotient, which a hundred digits leave fifty of.
"""

import functools
import math
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np

DIGITS = 100
STEP = Decimal(10) ** -25  # of a difference quotient, in units of what it divides by

decimal = np.frompyfunc(lambda value: +Decimal(value), 1, 1)
square_root = np.frompyfunc(Decimal.sqrt, 1, 1)
to_float = np.frompyfunc(float, 1, 1)


def precisely(function):
    """Let a function compute with all the digits."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with localcontext(prec=DIGITS):
            return function(*args, **kwargs)

    return wrapped


def decimals(array):
    """An array of Decimal, one for every number; what is Decimal already stays."""
    array = np.asarray(array)
    if array.dtype == object:
        return array
    return np.asarray(decimal(array.astype(np.float64).astype(object)), object)


def floats(array):
    """The nearest float64 of every Decimal."""
    return np.asarray(to_float(array), np.float64)


class Norm(NamedTuple):
    """How a norm sees x: as rows that are normalized each by itself, and one gamma for many x.

    Attributes
    ----------
    rows : callable
        x to its rows, an array of shape (rows, values).
    shared : callable
        The axes of x along which gamma and beta are the same.
    centred : bool
        Whether a mean is subtracted.
    """

    rows: callable
    shared: callable
    centred: bool = True

    def back(self, rows, shape):
        """Rows in the places of x again."""
        places = self.rows(np.arange(math.prod(shape)).reshape(shape)).ravel()
        x = np.empty(math.prod(shape), rows.dtype)
        x[places] = rows.ravel()
        return x.reshape(shape)

    def spread_out(self, parameter, shape):
        """Gamma or beta for every x."""
        kept = [axis for axis in range(len(shape)) if axis not in self.shared(shape)]
        sizes = [shape[axis] if axis in kept else 1 for axis in range(len(shape))]
        return np.broadcast_to(parameter.reshape(sizes), shape)


def by_channel(shape):
    """Batch, group and instance norm have a gamma for each channel."""
    return (0, *range(2, len(shape)))


BATCH = Norm(lambda x: np.moveaxis(x, 1, 0).reshape(x.shape[1], -1), by_channel)
INSTANCE = Norm(lambda x: x.reshape(x.shape[0] * x.shape[1], -1), by_channel)


def group(num_groups):
    """Group norm."""
    return Norm(lambda x: x.reshape(len(x) * num_groups, -1), by_channel)


def layer(axis, *, centred=True):
    """Layer norm over `axis`, counted from the front, and all that follow; or RMS norm."""
    return Norm(
        lambda x: x.reshape(math.prod(x.shape[:axis]), -1), lambda shape: range(axis), centred
    )


class Forward(NamedTuple):
    """The mean, biased variance (or mean square) and 1 / sqrt(var + eps) of each row; x_hat, y."""

    mean: np.ndarray
    var: np.ndarray
    inverse: np.ndarray
    x_hat: np.ndarray
    y: np.ndarray


@precisely
def forward(norm, x, gamma, beta, eps):
    """The definition. Gamma and beta are arrays, of ones and zeros if need be."""
    x, gamma, beta = decimals(x), decimals(gamma), decimals(beta)
    rows = norm.rows(x)
    mean = rows.sum(1) / rows.shape[1] if norm.centred else rows.sum(1) * 0
    centred = rows - mean[:, None]
    var = (centred * centred).sum(1) / rows.shape[1]
    inverse = 1 / square_root(var + Decimal(eps))
    x_hat = norm.back(centred * inverse[:, None], x.shape)
    y = x_hat * norm.spread_out(gamma, x.shape) + norm.spread_out(beta, x.shape)
    return Forward(mean, var, inverse, x_hat, y)


class Backward(NamedTuple):
    """The gradients."""

    dx: np.ndarray
    dgamma: np.ndarray
    dbeta: np.ndarray


@precisely
def backward(norm, x, gamma, eps, dy):
    """Back through the steps of `forward`, one by one."""
    x, gamma, dy = decimals(x), decimals(gamma), decimals(dy)
    mean, _, inverse, x_hat, _ = forward(norm, x, gamma, gamma, eps)
    axes = tuple(norm.shared(x.shape))
    dgamma, dbeta = (dy * x_hat).sum(axes), dy.sum(axes)

    rows, dx_hat = norm.rows(x), norm.rows(dy * norm.spread_out(gamma, x.shape))
    centred = rows - mean[:, None]
    dinverse = (dx_hat * centred).sum(1)
    dvar = dinverse * inverse**3 / -2
    dcentred = dx_hat * inverse[:, None] + (2 * dvar / rows.shape[1])[:, None] * centred
    lost = dcentred.sum(1) / rows.shape[1] if norm.centred else dcentred.sum(1) * 0
    return Backward(norm.back(dcentred - lost[:, None], x.shape), dgamma, dbeta)


@precisely
def slope(function, at, unit, direction=None):
    """How a function of one array, whose value is a number, changes along every coordinate.

    Parameters
    ----------
    function : callable
    at : ndarray
    unit : float
        A change of `at` that matters, for instance the spread of x; the step is 1e-25 of it.
    direction : ndarray, optional
        Ask along this direction only: the result is then a number.
    """
    at, step = decimals(at), Decimal(unit) * STEP

    def along(direction):
        return (function(at + direction * step) - function(at - direction * step)) / (2 * step)

    if direction is not None:
        return along(decimals(direction))
    slopes = np.empty(at.shape, object)
    for index in np.ndindex(at.shape):
        slopes[index] = along(unit_vector(at.shape, index))
    return slopes


def unit_vector(shape, index):
    """0 everywhere, 1 at one place."""
    vector = decimals(np.zeros(shape))
    vector[index] = Decimal(1)
    return vector


@precisely
def inference(x, mean, var, gamma, beta, eps):
    """Batch norm with given statistics, one for each channel; and what it is before gamma, beta."""
    x, mean, var = decimals(x), decimals(mean), decimals(var)
    gamma, beta = decimals(gamma), decimals(beta)
    inverse = BATCH.spread_out(1 / square_root(var + Decimal(eps)), x.shape)
    x_hat = (x - BATCH.spread_out(mean, x.shape)) * inverse
    return x_hat, x_hat * BATCH.spread_out(gamma, x.shape) + BATCH.spread_out(beta, x.shape)


@precisely
def running(batches, momentum, mean, var):
    """The running mean and (unbiased) variance after some batches; momentum weighs the new."""
    mean, var = decimals(mean), decimals(var)
    for number, x in enumerate(batches, 1):
        rows = BATCH.rows(decimals(x))
        new_mean = rows.sum(1) / rows.shape[1]
        new_var = ((rows - new_mean[:, None]) ** 2).sum(1) / (rows.shape[1] - 1)
        weight = Decimal(1) / number if momentum is None else Decimal(float(momentum))
        mean = (1 - weight) * mean + weight * new_mean
        var = (1 - weight) * var + weight * new_var
    return mean, var
