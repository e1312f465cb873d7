"""Batch normalization: forward, backward, and with stored statistics at test time.

Everything here is a pure function of numpy arrays; `bnlib.layers.BatchNorm` adds the parameters and
the running averages. Shapes are (N, C) or (N, C, *spatial): each of the C channels is normalized
over all its other axes, so a convolutional feature map is normalized per channel and never per
pixel.

Every function raises TypeError for arrays that are no floats, a cache from elsewhere and other
arguments of another kind, ValueError for shapes and numbers that do not fit.
"""

import math
from typing import NamedTuple

import numpy as np

from bnlib import checks
from bnlib.relatives import group_norm as group_norm
from bnlib.relatives import group_norm_backward as group_norm_backward
from bnlib.relatives import instance_norm as instance_norm
from bnlib.relatives import instance_norm_backward as instance_norm_backward
from bnlib.relatives import layer_norm as layer_norm
from bnlib.relatives import layer_norm_backward as layer_norm_backward
from bnlib.relatives import rms_norm as rms_norm
from bnlib.relatives import rms_norm_backward as rms_norm_backward

# How many float32 numbers are added up before their sum goes into float64: rows one after another,
# the pixels of a picture in many lanes at once. Rows of float64 are added up in such runs, too:
# each addition of an equal number loses the same, and what a thousand lose does not cancel.
ROWS, PIXELS = 256, 4096


class BatchNormCache(NamedTuple):
    """What the backward pass needs to remember, and the statistics of the batch.

    Attributes
    ----------
    x_hat : ndarray of shape (N, C, *spatial)
        The normalized batch, before gamma and beta.
    inv_std : ndarray of shape (C,)
        1 / sqrt(var + eps).
    gamma : ndarray of shape (C,), or None
        The scale that was used.
    mean, var : ndarray of shape (C,)
        Mean and biased variance (divided by the number of values, not by one less), float64.
    """

    x_hat: np.ndarray
    inv_std: np.ndarray
    gamma: np.ndarray | None
    mean: np.ndarray
    var: np.ndarray


def batch_norm(x, gamma=None, beta=None, *, eps=1e-5):
    """Normalize every channel by this batch's mean and biased variance, then scale and shift.

    Chapter `forward_pass` derives it; Ioffe and Szegedy (2015), algorithm 1.

    Parameters
    ----------
    x : ndarray of shape (N, C) or (N, C, *spatial)
        float16, float32 or float64; complex128 is accepted so that complex-step derivatives work.
    gamma, beta : ndarray of shape (C,), optional
        Scale and shift; None stands for 1 and 0.
    eps : float
        Added to the variance, in the squared units of x.

    Returns
    -------
    y : ndarray
        Shape and dtype of x. NaN and infinity stay within their channel.
    cache : BatchNormCache
        For `batch_norm_backward`.

    Raises
    ------
    TypeError
        For integer, object or complex64 arrays.
    ValueError
        For an empty batch, shapes that do not match, or eps that is not above 0.

    Examples
    --------
    >>> y, cache = batch_norm(np.array([[1.0], [2.0], [3.0]]))
    >>> y.ravel().round(3)
    array([-1.225,  0.   ,  1.225])
    """
    x = checks.batch("batch_norm", x)
    gamma, beta = checks.affine("batch_norm", x, gamma, beta)
    checks.positive("batch_norm", "eps", eps)
    dtype = _working_dtype(x, gamma, beta)

    with np.errstate(invalid="ignore", over="ignore"):
        x_hat, mean, var = _centre(np.asarray(x, dtype))
        inv_std = (1 / np.sqrt(var + eps)).astype(dtype)
        x_hat *= _along_channels(inv_std, x_hat)
        y = _restore_dtype(_scale_and_shift(x_hat, gamma, beta), x)
    return y, BatchNormCache(x_hat, inv_std, gamma, mean, var)


def batch_norm_backward(dy, cache):
    """Gradients of `batch_norm` in closed form.

    Changing one x moves the mean and the variance of its whole channel, so its gradient loses two
    components: the average of dy, and the part of dy along x_hat. Chapter `backward_pass` derives
    it.

    Parameters
    ----------
    dy : ndarray
        Gradient of the loss with respect to y, of the same shape.
    cache : BatchNormCache
        From `batch_norm`.

    Returns
    -------
    dx : ndarray
        Shape and dtype of dy.
    dgamma, dbeta : ndarray of shape (C,)
        float32 for float16 gradients: a sum over a batch soon leaves the range of float16.

    Raises
    ------
    TypeError
        For integer or object arrays, and for the cache of another function.
    ValueError
        For a dy whose shape is not that of y.

    Examples
    --------
    >>> y, cache = batch_norm(np.array([[1.0], [2.0], [4.0]]))
    >>> dx, dgamma, dbeta = batch_norm_backward(np.array([[1.0], [0.0], [0.0]]), cache)
    >>> dx.sum().round(12) + 0.0, dbeta
    (np.float64(0.0), array([1.]))
    """
    name = "batch_norm_backward"
    dy = checks.float_array(name, "dy", dy)
    checks.cache(name, cache, BatchNormCache)
    x_hat, inv_std, gamma, _, _ = cache
    checks.same_shape(name, "dy", dy, "y", x_hat)

    count = _values_per_channel(x_hat)
    with np.errstate(invalid="ignore", over="ignore"):
        upstream = np.asarray(dy, np.promote_types(dy.dtype, x_hat.dtype))
        dgamma, dbeta = _parameter_gradients(upstream, x_hat)
        slope = inv_std if gamma is None else inv_std * gamma
        dx = x_hat * _along_channels(-dgamma / count, upstream)
        dx += upstream
        dx -= _along_channels(dbeta / count, upstream)
        dx *= _along_channels(slope, upstream)
        return _restore_dtype(dx, dy), dgamma, dbeta


def batch_norm_inference(x, mean, var, gamma=None, beta=None, *, eps=1e-5):
    """Apply stored statistics: a fixed affine map of each channel, whatever else is in the batch.

    Parameters
    ----------
    x : ndarray of shape (N, C) or (N, C, *spatial)
        float16, float32, float64 or complex128; may hold a single example.
    mean, var : ndarray of shape (C,)
        Statistics from elsewhere, for instance running averages; var must not be negative.
    gamma, beta : ndarray of shape (C,), optional
        Scale and shift; None stands for 1 and 0.
    eps : float
        Added to the variance, as in training.

    Returns
    -------
    y : ndarray
        Shape and dtype of x.

    Examples
    --------
    >>> x = np.array([[1.0], [5.0]])
    >>> batch_norm_inference(x, np.array([1.0]), np.array([4.0])).ravel().round(3)
    array([0., 2.])
    """
    name = "batch_norm_inference"
    x = checks.batch(name, x)
    mean, var = _checked_statistics(name, x, mean, var)
    gamma, beta = checks.affine(name, x, gamma, beta)
    checks.positive(name, "eps", eps)

    with np.errstate(invalid="ignore", over="ignore"):
        y = _scale_and_shift(_standardize(x, mean, var, eps, gamma, beta), gamma, beta)
        return _restore_dtype(y, x)


def batch_norm_inference_backward(dy, x, mean, var, gamma=None, *, eps=1e-5):
    """Gradients of `batch_norm_inference`: the statistics are constants, so dx = dy gamma inv_std.

    Parameters
    ----------
    dy, x : ndarray of shape (N, C) or (N, C, *spatial)
        Upstream gradient, and the input of the forward pass.
    mean, var, gamma, eps
        As they were in the forward pass.

    Returns
    -------
    dx : ndarray
        Shape and dtype of dy.
    dgamma, dbeta : ndarray of shape (C,)

    Examples
    --------
    >>> x, one, four = np.array([[1.0], [5.0]]), np.array([1.0]), np.array([4.0])
    >>> dx, dgamma, dbeta = batch_norm_inference_backward(np.ones((2, 1)), x, one, four)
    >>> dx.ravel().round(3), dgamma.round(3), dbeta
    (array([0.5, 0.5]), array([2.]), array([2.]))
    """
    name = "batch_norm_inference_backward"
    x = checks.batch(name, x)
    dy = checks.float_array(name, "dy", dy)
    checks.same_shape(name, "dy", dy, "x", x)
    mean, var = _checked_statistics(name, x, mean, var)
    gamma, _ = checks.affine(name, x, gamma, None)
    checks.positive(name, "eps", eps)

    with np.errstate(invalid="ignore", over="ignore"):
        x_hat = _standardize(x, mean, var, eps, gamma)
        upstream = np.asarray(dy, np.promote_types(dy.dtype, x_hat.dtype))
        dgamma, dbeta = _parameter_gradients(upstream, x_hat)
        slope = (1 if gamma is None else gamma) / np.sqrt(var + eps)
        dx = upstream * _along_channels(slope, upstream)
        return _restore_dtype(dx, dy), dgamma, dbeta


def _centre(x):
    """x minus the mean of its channel; that mean; the biased variance.

    The mean is subtracted in two steps: first as well as the dtype of x can hold it, then what that
    rounding left over. So a batch that sits 100,000 standard deviations away from 0 keeps its
    digits.
    """
    count = _values_per_channel(x)
    mean = _sums(x) / count
    rounded = mean.astype(x.dtype)
    centred = x - _along_channels(rounded, x)
    rest = _sums(centred) / count
    centred -= _along_channels(rest, x)
    var = _sums(centred, centred) / count
    return centred, rounded + rest, var


def _checked_statistics(operation, x, mean, var):
    """Stored statistics, and wide enough for an eps: float16 would round 1 + eps to 1."""
    mean, var = checks.per_channel(operation, x, mean=mean, var=var)
    if np.any(var.real < 0):
        raise ValueError(f"{operation}: var must not be negative, got {var.real.min()}")
    return mean, var.astype(np.result_type(var, x, np.float32), copy=False)


def _standardize(x, mean, var, eps, *params):
    """(x - mean) / sqrt(var + eps) with given statistics, the mean again in two steps."""
    x = np.asarray(x, _working_dtype(x, mean, var, *params))
    rounded = mean.astype(x.dtype)
    x_hat = x - _along_channels(rounded, x)
    x_hat -= _along_channels(mean - rounded, x)
    x_hat *= _along_channels(1 / np.sqrt(var + eps), x)
    return x_hat


def _scale_and_shift(x_hat, gamma, beta):
    y = x_hat.copy() if gamma is None else x_hat * _along_channels(gamma, x_hat)
    if beta is not None:
        y += _along_channels(beta, x_hat)
    return y


def _parameter_gradients(dy, x_hat):
    return _sums(dy, x_hat).astype(dy.dtype), _sums(dy).astype(dy.dtype)


def _sums(x, other=None):
    """Sums of x, or of x times other, over all but the channels, accumulated in float64."""
    if x.dtype == np.float32 and (other is None or other.dtype == np.float32):
        sums = _sums_of_runs(x, other)
        if math.isfinite(sums @ sums):  # else a run has left the range of float32
            return sums
    axes, wide = (0, *range(2, x.ndim)), np.result_type(x, np.float64)
    product = x if other is None else np.multiply(x, other, dtype=wide)
    return sum(product[run].sum(axis=axes, dtype=wide) for run in _runs(len(x), ROWS))


def _sums_of_runs(x, other):
    """`_sums` of float32 in a third of the time: float32 within short runs, float64 over them."""
    if x.ndim == 2 and len(x) <= ROWS:
        return _sums_of_rows(x, other).astype(np.float64)
    sums = np.zeros(x.shape[1])
    if x.ndim == 2:
        for run in _runs(len(x), ROWS):
            sums += _sums_of_rows(x[run], None if other is None else other[run])
        return sums
    x = x.reshape(*x.shape[:2], -1)
    for run in _runs(x.shape[2], PIXELS):
        if other is None:
            each = np.einsum("ncp->nc", x[:, :, run])
        else:
            each = np.vecdot(x[:, :, run], other.reshape(x.shape)[:, :, run])
        sums += each.sum(axis=0, dtype=np.float64)
    return sums


def _sums_of_rows(x, other):
    return np.add.reduce(x, axis=0) if other is None else np.einsum("nc,nc->c", x, other)


def _runs(length, longest):
    return [slice(start, start + longest) for start in range(0, length, longest)]


def _values_per_channel(x):
    return math.prod(x.shape[:1] + x.shape[2:])


def _along_channels(vector, x):
    """A vector of shape (C,), in the dtype of x and shaped to broadcast over its channels."""
    vector = vector.astype(x.dtype, copy=False)
    return vector if x.ndim == 2 else vector.reshape(-1, *(1,) * (x.ndim - 2))


def _working_dtype(x, *others):
    """float16 is computed in float32; one complex argument makes the computation complex."""
    if any(other is not None and other.dtype.kind == "c" for other in others):
        return np.dtype(np.complex128)
    return np.promote_types(x.dtype, np.float32)


def _restore_dtype(result, like):
    """The caller's dtype; a result that complex parameters made complex stays so."""
    return result if result.dtype.kind == "c" else result.astype(like.dtype, copy=False)
