"""Convolution and max pooling of pictures, in the shape of batch norm: (y, cache), and a backward.

Both look through the same windows onto the picture. `_windows` is a linear map, a copy of numbers
to all windows that they are seen in, and `_add_windows` its adjoint: it adds up what all windows
say about a number. Import them from here or from `bnlib.functional`.

Every function raises TypeError for arrays that are no floats, a cache from elsewhere and other
arguments of another kind, ValueError for shapes and numbers that do not fit.
"""

import math
from typing import NamedTuple

import numpy as np

from bnlib import checks


class Conv2dCache(NamedTuple):
    """What `conv2d_backward` needs.

    Attributes
    ----------
    x : ndarray of shape (N, C, H, W)
    weight : ndarray of shape (out, C, height, width)
    stride, padding : int
    """

    x: np.ndarray
    weight: np.ndarray
    stride: int
    padding: int


class MaxPool2dCache(NamedTuple):
    """What `max_pool2d_backward` needs.

    Attributes
    ----------
    winners : integer ndarray, of the shape of y
        Position of the largest number within its window, counted row by row.
    shape : tuple of int
        Shape of x.
    size, stride : int
    """

    winners: np.ndarray
    shape: tuple[int, ...]
    size: int
    stride: int


def conv2d(x, weight, bias=None, *, stride=1, padding=0):
    """Slide each filter over the picture: y is the sum of filter times window, at every place.

    As everywhere in deep learning the filter is not flipped, so a mathematician would call this a
    cross-correlation. chapter `forward_pass`.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W)
    weight : ndarray of shape (out, C, height, width)
        One filter per output channel, as in PyTorch.
    bias : ndarray of shape (out,), optional
    stride : int
        Steps between places.
    padding : int
        Rows and columns of zeros around the picture.

    Returns
    -------
    y : ndarray of shape (N, out, H', W')
        H' = (H + 2 padding - height) // stride + 1, and W' alike.
    cache : Conv2dCache
        For `conv2d_backward`.

    Raises
    ------
    TypeError
        For integer, object or complex64 arrays.
    ValueError
        For shapes that do not match, or filters larger than the padded picture.

    Examples
    --------
    >>> x = np.array([[[[1.0, 2.0, 4.0], [0.0, 0.0, 1.0]]]])
    >>> difference = np.array([[[[-1.0, 1.0]]]])
    >>> y, cache = conv2d(x, difference)
    >>> y
    array([[[[1., 2.],
             [0., 1.]]]])
    """
    x = checks.float_array("conv2d", "x", x)
    weight = checks.float_array("conv2d", "weight", weight)
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            "conv2d: x must have shape (N, C, H, W) and weight (out, C, height, width) with the "
            f"same C, got {x.shape} and {weight.shape}"
        )
    if weight.size == 0:
        raise ValueError(f"conv2d: weight must not be empty, got shape {weight.shape}")
    checks.count("conv2d", "stride", stride)
    checks.count("conv2d", "padding", padding, least=0)
    _check_room("conv2d", x.shape, weight.shape[2:], padding)
    windows = _windows(_padded(x, padding), weight.shape[2:], stride)
    y = _rows(weight) @ _columns(windows)
    y = y.reshape(len(x), len(weight), *windows.shape[4:])
    if bias is not None:
        bias = checks.float_array("conv2d", "bias", bias)
        checks.shape("conv2d", "bias", bias, weight.shape[:1], f"weight of shape {weight.shape}")
        y = y + bias[:, np.newaxis, np.newaxis]
    return y, Conv2dCache(x, weight, stride, padding)


def conv2d_backward(dy, cache, *, input_gradient=True):
    """Gradients of `conv2d`.

    Parameters
    ----------
    dy : ndarray of shape (N, out, H', W')
    cache : Conv2dCache
        From `conv2d`.
    input_gradient : bool
        False: dx is None and costs nothing.

    Returns
    -------
    dx : ndarray of shape (N, C, H, W), or None
    dweight : ndarray of shape (out, C, height, width)
    dbias : ndarray of shape (out,)

    Examples
    --------
    >>> x = np.array([[[[1.0, 2.0, 4.0]]]])
    >>> y, cache = conv2d(x, np.array([[[[-1.0, 1.0]]]]))
    >>> dx, dweight, dbias = conv2d_backward(np.array([[[[1.0, 10.0]]]]), cache)
    >>> dx
    array([[[[-1., -9., 10.]]]])
    >>> dweight, dbias
    (array([[[[21., 42.]]]]), array([11.]))
    """
    checks.cache("conv2d_backward", cache, Conv2dCache)
    checks.flag("conv2d_backward", "input_gradient", input_gradient)
    x, weight, stride, padding = cache
    padded = _padded(x, padding)
    windows = _windows(padded, weight.shape[2:], stride)
    expected = (len(x), len(weight), *windows.shape[4:])
    dy = checks.float_array("conv2d_backward", "dy", dy)
    checks.shape("conv2d_backward", "dy", dy, expected, f"y of shape {expected}")
    upstream = dy.reshape(*dy.shape[:2], math.prod(dy.shape[2:]))
    dweight = (upstream @ _columns(windows).swapaxes(1, 2)).sum(axis=0).reshape(weight.shape)
    dbias = dy.sum(axis=(0, 2, 3))
    if not input_gradient:
        return None, dweight, dbias
    dwindows = (_rows(weight).T @ upstream).reshape(windows.shape)
    dpadded = _add_windows(dwindows, padded.shape, stride)
    height, width = x.shape[2:]
    dx = dpadded[:, :, padding : padding + height, padding : padding + width]
    return dx, dweight, dbias


def max_pool2d(x, size, *, stride=None):
    """Keep the largest number of every window.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W)
    size : int
        Height and width of the windows.
    stride : int, optional
        Steps between windows; None stands for `size`, so that they lie side by side. Rows and
        columns that fill no window are left out.

    Returns
    -------
    y : ndarray of shape (N, C, H', W')
        H' = (H - size) // stride + 1, and W' alike. A window with a NaN in it gives NaN.
    cache : MaxPool2dCache
        For `max_pool2d_backward`.

    Examples
    --------
    >>> max_pool2d(np.array([[[[1.0, 2.0, 5.0, 4.0], [3.0, 0.0, 6.0, 7.0]]]]), 2)[0]
    array([[[[3., 7.]]]])
    """
    x = checks.float_array("max_pool2d", "x", x)
    if x.ndim != 4:
        raise ValueError(f"max_pool2d: x must have shape (N, C, H, W), got {x.shape}")
    checks.count("max_pool2d", "size", size)
    stride = size if stride is None else stride
    checks.count("max_pool2d", "stride", stride)
    _check_room("max_pool2d", x.shape, (size, size), 0)
    first, *others = _places(x, (size, size), stride)
    whole = np.min_scalar_type(size * size - 1).type  # a byte, but for large windows
    y, winners = first.copy(), np.zeros(first.shape, whole)
    for place, number in enumerate(others, start=1):
        # Larger, or the first NaN; a complex step follows the real parts.
        better = ~(number.real <= y.real) & (y.real == y.real)
        y = np.where(better, number, y) if np.iscomplexobj(x) else np.maximum(y, number)
        np.maximum(winners, better * whole(place), out=winners)  # places only rise
    return y, MaxPool2dCache(winners, x.shape, size, stride)


def max_pool2d_backward(dy, cache):
    """Gradient of `max_pool2d`: each dy goes to the number that won, of equal ones to the first.

    Parameters
    ----------
    dy : ndarray of shape (N, C, H', W')
    cache : MaxPool2dCache
        From `max_pool2d`.

    Returns
    -------
    dx : ndarray of shape (N, C, H, W)

    Examples
    --------
    >>> y, cache = max_pool2d(np.array([[[[1.0, 3.0], [3.0, 0.0]]]]), 2)
    >>> max_pool2d_backward(np.array([[[[5.0]]]]), cache)
    array([[[[0., 5.],
             [0., 0.]]]])
    """
    checks.cache("max_pool2d_backward", cache, MaxPool2dCache)
    winners, shape, size, stride = cache
    dy = checks.float_array("max_pool2d_backward", "dy", dy)
    checks.shape("max_pool2d_backward", "dy", dy, winners.shape, f"y of shape {winners.shape}")
    dx = np.zeros(shape, dy.dtype)
    finite = np.isfinite(dy).all()  # a product is ten times as fast, but 0 times inf is NaN
    for place, number in enumerate(_places(dx, (size, size), stride)):
        won = winners == place
        number += dy * won if finite else np.where(won, dy, 0)
    return dx


def _padded(x, padding):
    """x with a frame of zeros around each picture."""
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def _windows(x, size, stride):
    """All windows onto x, a view of shape (N, C, height, width, H', W')."""
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))
    return np.moveaxis(windows[:, :, ::stride, ::stride], (4, 5), (2, 3))


def _add_windows(windows, shape, stride):
    """Adjoint of `_windows`: an array of that shape, in which each number sums over its windows."""
    total = np.zeros(shape, windows.dtype)
    size = windows.shape[2:4]
    for (i, j), numbers in zip(np.ndindex(*size), _places(total, size, stride), strict=True):
        numbers += windows[:, :, i, j]
    return total


def _places(x, size, stride):
    """Views of x, one for each place in a window, row by row: that number of every window."""
    rows, columns = ((x.shape[2 + k] - size[k]) // stride + 1 for k in (0, 1))
    for i, j in np.ndindex(*size):
        below, right = i + stride * rows, j + stride * columns
        yield x[:, :, i:below:stride, j:right:stride]


def _rows(weight):
    """Each filter as one row."""
    return weight.reshape(len(weight), -1)


def _columns(windows):
    """The windows of each example as the columns of a matrix, so that `_rows` can multiply them."""
    examples, channels, height, width, rows, columns = windows.shape
    return windows.reshape(examples, channels * height * width, rows * columns)


def _check_room(operation, shape, size, padding):
    """At least one window must fit into the picture."""
    room = tuple(length + 2 * padding for length in shape[2:])
    if size[0] > room[0] or size[1] > room[1]:
        raise ValueError(
            f"{operation}: a window of {size} must fit into the picture, got {room} "
            "with its padding"
        )
