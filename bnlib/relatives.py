"""The relatives of batch norm: the same arithmetic over other axes.

Layer norm takes its mean and variance from one example instead of one batch. So it needs no running
averages, does the same in training and in evaluation, and works with a batch of one. Import it
from here or from `bnlib.normalization`.
"""

import math
from typing import NamedTuple

import numpy as np

from bnlib import checks


class LayerNormCache(NamedTuple):
    """What the backward pass needs to remember, and the statistics of each example.

    Attributes
    ----------
    x_hat : ndarray
        The normalized examples, before gamma and beta; of the shape of x.
    inv_std : ndarray of shape x.shape[:axis]
        1 / sqrt(var + eps).
    gamma : ndarray of shape x.shape[axis:], or None
        The scale that was used.
    mean, var : ndarray of shape x.shape[:axis]
        Mean and biased variance of each example, float64.
    """

    x_hat: np.ndarray
    inv_std: np.ndarray
    gamma: np.ndarray | None
    mean: np.ndarray
    var: np.ndarray


def layer_norm(x, gamma=None, beta=None, *, axis=-1, eps=1e-5):
    """Normalize every example by its own mean and biased variance, then scale and shift.

    Chapter `relatives`; Ba, Kiros and Hinton (2016).

    Parameters
    ----------
    x : ndarray of shape (N, D) or (N, …)
        float16, float32 or float64; complex128 is accepted so that complex-step derivatives work.
    gamma, beta : ndarray of shape x.shape[axis:], optional
        Scale and shift; None stands for 1 and 0.
    axis : int
        The first axis of an example: statistics are taken over `axis` and all that follow it.
        -1 normalizes rows; 1 normalizes each example of a batch, whatever its shape.
    eps : float
        Added to the variance, in the squared units of x.

    Returns
    -------
    y : ndarray
        Shape and dtype of x. NaN and infinity stay within their example.
    cache : LayerNormCache
        For `layer_norm_backward`.

    Raises
    ------
    TypeError
        For integer, object or complex64 arrays.
    ValueError
        For an empty x, an axis that x does not have, shapes that do not match, or eps that is not
        above 0.

    Examples
    --------
    >>> y, cache = layer_norm(np.array([[1.0, 2.0, 3.0], [10.0, 10.0, 40.0]]))
    >>> y.round(3)
    array([[-1.225,  0.   ,  1.225],
           [-0.707, -0.707,  1.414]])
    """
    x = checks.float_array("layer_norm", "x", x)
    axis = _checked_axis("layer_norm", x, axis)
    gamma, beta = _checked_affine("layer_norm", x, axis, gamma=gamma, beta=beta)
    checks.positive("layer_norm", "eps", eps)
    dtype = _working_dtype(x, gamma, beta)

    with np.errstate(invalid="ignore", over="ignore"):
        centred, mean, var = _centre(np.asarray(x, dtype), axis)
        inv_std = (1 / np.sqrt(var + eps)).astype(dtype)
        x_hat = centred * _per_example(inv_std, centred)
        y = x_hat.copy() if gamma is None else x_hat * gamma.astype(dtype)
        if beta is not None:
            y += beta.astype(dtype)
    cache = LayerNormCache(x_hat, inv_std, gamma, mean, var)
    return _restore_dtype(y, x), cache


def layer_norm_backward(dy, cache):
    """Gradients of `layer_norm` in closed form.

    Changing one x moves the mean and the variance of its example, so with g = gamma dy its gradient
    loses two components: the average of g, and the part of g along x_hat. In batch norm gamma is
    the same for all that are normalized together and can wait until the end; here it cannot.

    Parameters
    ----------
    dy : ndarray
        Gradient of the loss with respect to y, of the same shape.
    cache : LayerNormCache
        From `layer_norm`.

    Returns
    -------
    dx : ndarray
        Shape and dtype of dy.
    dgamma, dbeta : ndarray of shape x.shape[axis:]
        float32 for float16 gradients: a sum over a batch soon leaves the range of float16.

    Examples
    --------
    >>> y, cache = layer_norm(np.array([[1.0, 2.0, 4.0]]))
    >>> dx, dgamma, dbeta = layer_norm_backward(np.array([[1.0, 0.0, 0.0]]), cache)
    >>> dx.sum().round(12) + 0.0, dbeta
    (np.float64(0.0), array([1., 0., 0.]))
    """
    x_hat, inv_std, gamma, _, _ = cache
    dy = checks.float_array("layer_norm_backward", "dy", dy)
    checks.shape("layer_norm_backward", "dy", dy, x_hat.shape, f"y of shape {x_hat.shape}")

    axis = inv_std.ndim
    with np.errstate(invalid="ignore", over="ignore"):
        upstream = np.asarray(dy, np.result_type(dy, x_hat))
        dgamma, dbeta = _sum(upstream * x_hat, range(axis)), _sum(upstream, range(axis))
        g = upstream if gamma is None else upstream * gamma.astype(upstream.dtype)
        examples, count = range(axis, dy.ndim), math.prod(dy.shape[axis:])
        dx = g - x_hat * _per_example(_sum(g * x_hat, examples) / count, g)
        dx -= _per_example(_sum(g, examples) / count, g)
        dx *= _per_example(inv_std, g)
    return _restore_dtype(dx, dy), dgamma, dbeta


def _centre(x, axis):
    """x minus the mean of its example; that mean; the biased variance.

    As in batch norm the mean is subtracted in two steps: first as well as the dtype of x can hold
    it, then what that rounding left over. Sums are accumulated in float64.
    """
    axes, wide = tuple(range(axis, x.ndim)), np.result_type(x, np.float64)
    mean = x.mean(axis=axes, dtype=wide)
    rounded = mean.astype(x.dtype)
    centred = x - _per_example(rounded, x)
    rest = centred.mean(axis=axes, dtype=wide)
    centred -= _per_example(rest, x)
    var = np.square(centred, dtype=wide).mean(axis=axes)
    return centred, rounded + rest, var


def _sum(values, axes):
    """The sum over some axes, accumulated in float64 and given back in the dtype of the values."""
    wide = np.result_type(values, np.float64)
    return values.sum(axis=tuple(axes), dtype=wide).astype(values.dtype)


def _per_example(statistic, x):
    """One number per example, in the dtype of x and shaped to broadcast over the example."""
    rest = (1,) * (x.ndim - statistic.ndim)
    return statistic.astype(x.dtype).reshape(statistic.shape + rest)


def _checked_axis(operation, x, axis):
    """`axis` counted from the front; x must have it, and must hold something."""
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise TypeError(f"{operation}: axis must be a whole number, got {axis!r}")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{operation}: axis must be an axis of x, got {axis} for shape {x.shape}")
    if x.size == 0:
        raise ValueError(f"{operation}: x must not be empty, got shape {x.shape}")
    return int(axis) % x.ndim


def _checked_affine(operation, x, axis, **params):
    """Gamma and beta, each None or of the shape of one example."""
    checked = []
    for name, value in params.items():
        if value is not None:
            value = checks.float_array(operation, name, value)
            other = f"x of shape {x.shape} from axis {axis} on"
            checks.shape(operation, name, value, x.shape[axis:], other)
        checked.append(value)
    return checked


def _working_dtype(x, *others):
    """float16 is computed in float32; one complex argument makes the computation complex."""
    if any(np.iscomplexobj(other) for other in others):
        return np.complex128
    return np.promote_types(x.dtype, np.float32)


def _restore_dtype(result, like):
    """The caller's dtype; a result that complex parameters made complex stays so."""
    return result if np.iscomplexobj(result) else np.asarray(result, like.dtype)
