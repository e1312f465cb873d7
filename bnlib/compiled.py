"""Batch norm in machine code: the functions of `bnlib.normalization`, faster, for who asks.

    from bnlib.compiled import BatchNorm
    network = mlp([784, 100, 10], rng=rng, norm=BatchNorm, dtype=np.float32)

That import is the choice, and the only one: nothing else in bnlib looks whether numba is there, so
the book's numbers do not depend on it. It needs `pip install 'bnlib[fast]'`. The first call in a
dtype compiles for some seconds; the result is kept on disk where a folder is writable, and later
processes start with it.

`bnlib.normalization` stays the reference, and the file to read. What differs: the backward pass
computes x_hat again from x instead of storing it, which saves an array in memory and on the way to
it; so x must not be changed in place before it. Results agree to rounding, not to the bit.
"""

import functools
import sys
from typing import Any, NamedTuple

import numpy as np

from bnlib import checks, kernels, layers, normalization


class BatchNormCache(NamedTuple):
    """What the backward pass needs to remember, and the statistics of the batch.

    Attributes
    ----------
    x : ndarray of shape (N, C, *spatial)
        The batch itself, float32 or float64.
    gamma : ndarray of shape (C,)
        The scale that was used.
    statistics : ndarray of shape (4, C)
        Mean, biased variance and 1 / sqrt(var + eps), float64; also as `mean`, `var`, `inv_std`.
        Last what rounding has left out of the mean.
    """

    x: np.ndarray
    gamma: np.ndarray
    statistics: np.ndarray

    @property
    def mean(self):
        """Mean of each channel, float64."""
        return self.statistics[0]

    @property
    def var(self):
        """Biased variance of each channel, float64."""
        return self.statistics[1]

    @property
    def inv_std(self):
        """1 / sqrt(var + eps) of each channel, float64."""
        return self.statistics[2]

    @property
    def x_hat(self):
        """The normalized batch, before gamma and beta: computed when asked for."""
        return _affine(self.x, self.mean, self.inv_std, -self.statistics[3] * self.inv_std)


def batch_norm(x, gamma=None, beta=None, *, eps=1e-5):
    """Normalize every channel by this batch's mean and biased variance, then scale and shift.

    Arguments, results and errors are those of `bnlib.normalization.batch_norm`, but for the cache.
    Any layout of x is accepted; channels last is as fast as channels first, others are copied.
    complex128 is left to the reference.

    Parameters
    ----------
    x : ndarray of shape (N, C) or (N, C, *spatial)
    gamma, beta : ndarray of shape (C,), optional
    eps : float

    Returns
    -------
    y : ndarray
        Shape and dtype of x.
    cache : BatchNormCache

    Raises
    ------
    TypeError, ValueError
        As the reference.
    ModuleNotFoundError
        Without numba.
    """
    x = checks.batch("batch_norm", x)
    gamma, beta = checks.affine("batch_norm", x, gamma, beta)
    checks.positive("batch_norm", "eps", eps)
    if _is_complex(x, gamma, beta):
        return normalization.batch_norm(x, gamma, beta, eps=eps)

    dtype, channels = np.promote_types(x.dtype, np.float32), x.shape[1]
    gamma = np.ones(channels, dtype) if gamma is None else np.ascontiguousarray(gamma, dtype)
    beta = np.zeros(channels, dtype) if beta is None else np.ascontiguousarray(beta, dtype)
    flat = _flat(np.asarray(x, dtype))
    y = np.empty(flat.shape, dtype)
    statistics = np.empty((4, channels))
    forward = _kernel("rows_forward" if flat.ndim == 2 else "planes_forward")
    forward(flat, gamma, beta, float(eps), y, statistics)
    return _restored(y, x), BatchNormCache(_shaped(flat, x), gamma, statistics)


def batch_norm_backward(dy, cache):
    """Gradients of `batch_norm` in closed form, as `bnlib.normalization.batch_norm_backward`.

    Parameters
    ----------
    dy : ndarray
        Gradient of the loss with respect to y, of the same shape.
    cache : BatchNormCache
        From `batch_norm` of this module; one of the reference is left to the reference.

    Returns
    -------
    dx : ndarray
        Shape and dtype of dy.
    dgamma, dbeta : ndarray of shape (C,)
        float32 for float16 gradients.

    Raises
    ------
    TypeError, ValueError
        As the reference.
    """
    name = "batch_norm_backward"
    dy = checks.float_array(name, "dy", dy)
    if not isinstance(cache, BatchNormCache):
        return normalization.batch_norm_backward(dy, cache)
    x, gamma, statistics = cache
    if dy.shape != x.shape:
        checks.shape(name, "dy", dy, x.shape, f"y of shape {x.shape}")
    if _is_complex(dy):
        reference = normalization.BatchNormCache(
            cache.x_hat, cache.inv_std, gamma, cache.mean, cache.var
        )
        return normalization.batch_norm_backward(dy, reference)

    dtype = np.result_type(dy, x)
    flat = _flat(np.asarray(x, dtype))
    upstream = _flat(np.asarray(dy, dtype), rows=flat.ndim == 2)
    dx = np.empty(flat.shape, dtype)
    gradients = np.empty((2, x.shape[1]), dtype)
    backward = _kernel("rows_backward" if flat.ndim == 2 else "planes_backward")
    backward(upstream, flat, gamma, statistics, dx, gradients)
    return _restored(dx, dy), gradients[0], gradients[1]


def batch_norm_inference(x, mean, var, gamma=None, beta=None, *, eps=1e-5):
    """Apply stored statistics, as `bnlib.normalization.batch_norm_inference`.

    Parameters
    ----------
    x : ndarray of shape (N, C) or (N, C, *spatial)
    mean, var : ndarray of shape (C,)
    gamma, beta : ndarray of shape (C,), optional
    eps : float

    Returns
    -------
    y : ndarray
        Shape and dtype of x.

    Raises
    ------
    TypeError, ValueError
        As the reference.
    """
    arguments = (mean, var, gamma, beta)
    x, mean, var, gamma, beta = _checked_inference(x, *arguments, eps)
    if _is_complex(x, mean, var, gamma, beta):
        return normalization.batch_norm_inference(x, *arguments, eps=eps)

    working = np.asarray(x, np.promote_types(x.dtype, np.float32))
    with np.errstate(invalid="ignore", over="ignore"):
        scale = 1 / np.sqrt(np.asarray(var, np.float64) + eps)
        if gamma is not None:
            scale = scale * gamma
        y = _affine(working, mean, scale, 0 if beta is None else beta)
        return np.asarray(y, x.dtype)


class BatchNorm(layers.BatchNorm):
    """`bnlib.layers.BatchNorm` in machine code: same arguments, attributes, state and errors.

    The gradient in evaluation mode is the reference's.

    Raises
    ------
    TypeError, ValueError
        As `bnlib.layers.BatchNorm`.
    ModuleNotFoundError
        Without numba, when the layer is made.
    """

    _computes = sys.modules[__name__]

    def __init__(self, num_features, **options):
        super().__init__(num_features, **options)
        _kernel("rows_forward")


@functools.cache
def _kernel(name) -> Any:
    """A function of `bnlib.kernels` in machine code."""
    try:
        import numba
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "bnlib.compiled: numba must be installed: pip install 'bnlib[fast]'"
        ) from error
    # Fused multiply-add, and nothing else of "fast" arithmetic: NaN stays NaN, and the order of
    # additions is the one that is written down.
    options: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
    loops = getattr(kernels, name)
    try:
        return numba.njit(cache=True, **options)(loops)
    except RuntimeError:  # no folder to write to: every process compiles for itself
        return numba.njit(**options)(loops)


def _is_complex(*arrays):
    for array in arrays:  # written out: a generator costs more than all the looking
        if array is not None and array.dtype.kind == "c":
            return True
    return False


def _checked_inference(x, mean, var, gamma, beta, eps):
    name = "batch_norm_inference"
    x = checks.batch(name, x)
    mean, var = normalization._checked_statistics(name, x, mean, var)
    gamma, beta = checks.affine(name, x, gamma, beta)
    checks.positive(name, "eps", eps)
    return x, mean, var, gamma, beta


def _affine(x, mean, scale, offset):
    """(x - mean) scale + offset, channel by channel, in the dtype of x."""
    shift = mean.astype(x.dtype)
    offset = offset - (np.asarray(mean, np.float64) - shift) * scale
    flat = _flat(x)
    y = np.empty(flat.shape, x.dtype)
    affine = _kernel("rows_affine" if flat.ndim == 2 else "planes_affine")
    affine(flat, shift, np.asarray(scale, x.dtype), np.asarray(offset, x.dtype), y)
    return _shaped(y, x)


def _flat(x, rows=None):
    """`x` as contiguous rows (N, C) or planes (N, C, S), without a copy where possible.

    Channels last is rows: every pixel is an example of its own.
    """
    if x.ndim == 2:
        return np.ascontiguousarray(x)
    last = np.moveaxis(x, 1, -1)
    if rows is None:
        rows = last.flags.c_contiguous
    if rows:
        return np.ascontiguousarray(last.reshape(-1, x.shape[1]))
    return np.ascontiguousarray(x).reshape(*x.shape[:2], -1)


def _shaped(flat, like):
    """Undo `_flat`: rows or planes as a view of the shape of `like`."""
    if flat.ndim == like.ndim:
        return flat
    if flat.ndim == 2:
        flat = flat.reshape(len(like), *like.shape[2:], like.shape[1])
        return np.moveaxis(flat, -1, 1)
    return flat.reshape(like.shape)


def _restored(flat, like):
    """Rows or planes in the shape and dtype of `like`; float16 may overflow."""
    result = _shaped(flat, like)
    if result.dtype == like.dtype:
        return result
    with np.errstate(over="ignore"):
        return result.astype(like.dtype)
