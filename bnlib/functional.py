"""The supporting cast, in the shape of batch norm: a forward that gives (y, cache), a backward.

Every cache is what its backward needs and nothing else. No function changes its arguments.
`conv2d` and `max_pool2d` stand in `bnlib.convolution` and can be imported from here.

Every function raises TypeError for arrays that are no floats, a cache from elsewhere and other
arguments of another kind, ValueError for shapes and numbers that do not fit.
"""

from typing import NamedTuple

import numpy as np

from bnlib import checks
from bnlib.convolution import conv2d as conv2d
from bnlib.convolution import conv2d_backward as conv2d_backward
from bnlib.convolution import max_pool2d as max_pool2d
from bnlib.convolution import max_pool2d_backward as max_pool2d_backward


class LinearCache(NamedTuple):
    """What `linear_backward` needs: x of shape (N, D) and weight of shape (out, D)."""

    x: np.ndarray
    weight: np.ndarray


class CrossEntropyCache(NamedTuple):
    """What `softmax_cross_entropy_backward` needs.

    Attributes
    ----------
    log_softmax : ndarray of shape (N, classes)
    labels : integer ndarray of shape (N,)
    """

    log_softmax: np.ndarray
    labels: np.ndarray


def linear(x, weight, bias=None):
    """y = x W' + b.

    Parameters
    ----------
    x : ndarray of shape (N, D)
    weight : ndarray of shape (out, D)
        One row per output unit, as in PyTorch.
    bias : ndarray of shape (out,), optional

    Returns
    -------
    y : ndarray of shape (N, out)
    cache : LinearCache
        For `linear_backward`.

    Examples
    --------
    >>> y, cache = linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    >>> y
    array([[11.,  2.]])
    """
    x = checks.float_array("linear", "x", x)
    weight = checks.float_array("linear", "weight", weight)
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            "linear: x must have shape (N, D) and weight (out, D) with the same D, "
            f"got {x.shape} and {weight.shape}"
        )
    y = x @ weight.T
    if bias is not None:
        bias = checks.float_array("linear", "bias", bias)
        checks.shape("linear", "bias", bias, weight.shape[:1], f"weight of shape {weight.shape}")
        y = y + bias
    return y, LinearCache(x, weight)


def linear_backward(dy, cache, *, input_gradient=True):
    """Gradients of `linear`.

    Parameters
    ----------
    dy : ndarray of shape (N, out)
    cache : LinearCache
        From `linear`.
    input_gradient : bool
        False: dx is None and costs nothing.

    Returns
    -------
    dx : ndarray of shape (N, D), or None
    dweight : ndarray of shape (out, D)
    dbias : ndarray of shape (out,)

    Examples
    --------
    >>> y, cache = linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    >>> linear_backward(np.array([[1.0]]), cache)
    (array([[3., 4.]]), array([[1., 2.]]), array([1.]))
    """
    checks.cache("linear_backward", cache, LinearCache)
    checks.flag("linear_backward", "input_gradient", input_gradient)
    x, weight = cache
    dy = _upstream("linear_backward", dy, (len(x), len(weight)))
    dx = dy @ weight if input_gradient else None
    return dx, dy.T @ x, dy.sum(axis=0)


def relu(x):
    """max(x, 0); NaN stays NaN. The slope at exactly 0 is taken as 0.

    Parameters
    ----------
    x : ndarray of any shape

    Returns
    -------
    y, cache : ndarray
        Shape and dtype of x.

    Examples
    --------
    >>> relu(np.array([-1.0, 2.0]))[0]
    array([0., 2.])
    """
    x = checks.float_array("relu", "x", x)
    # A complex step follows the branch that the real part is on.
    y = np.where(x.real > 0, x, x * 0) if np.iscomplexobj(x) else np.maximum(x, 0)
    return y, y


def relu_backward(dy, cache):
    """Gradient of `relu`: dy where the output was above 0, else 0.

    Examples
    --------
    >>> relu_backward(np.array([5.0, 5.0]), relu(np.array([-1.0, 2.0]))[1])
    array([0., 5.])
    """
    dy, y = _upstream_and_cache("relu_backward", dy, cache)
    return dy * (y.real > 0)


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow.

    Parameters
    ----------
    x : ndarray of any shape

    Returns
    -------
    y, cache : ndarray
        Shape and dtype of x.

    Examples
    --------
    >>> sigmoid(np.array([0.0, -1000.0]))[0]
    array([0.5, 0. ])
    """
    x = checks.float_array("sigmoid", "x", x)
    positive = x.real > 0
    small = np.exp(np.where(positive, -x, x))  # never above 1, so nothing overflows
    y = np.where(positive, 1, small) / (1 + small)
    return y, y


def sigmoid_backward(dy, cache):
    """Gradient of `sigmoid`: dy y (1 - y).

    Examples
    --------
    >>> sigmoid_backward(np.array([1.0]), sigmoid(np.array([0.0]))[1])
    array([0.25])
    """
    dy, y = _upstream_and_cache("sigmoid_backward", dy, cache)
    return dy * y * (1 - y)


def tanh(x):
    """The hyperbolic tangent.

    Parameters
    ----------
    x : ndarray of any shape

    Returns
    -------
    y, cache : ndarray
        Shape and dtype of x.

    Examples
    --------
    >>> tanh(np.array([0.0]))[0]
    array([0.])
    """
    y = np.tanh(checks.float_array("tanh", "x", x))
    return y, y


def tanh_backward(dy, cache):
    """Gradient of `tanh`: dy (1 - y squared).

    Examples
    --------
    >>> tanh_backward(np.array([1.0]), tanh(np.array([0.0]))[1])
    array([1.])
    """
    dy, y = _upstream_and_cache("tanh_backward", dy, cache)
    return dy * (1 - y * y)


def dropout(x, rate, rng):
    """Silence numbers at random and scale up those that are left, so that the mean stays.

    For training only: at test time nothing is done. Dividing by 1 - rate already here is what is
    called inverted dropout. Srivastava et al. (2014).

    Parameters
    ----------
    x : ndarray of any shape
    rate : float in [0, 1]
        Probability of being silenced, for each number by itself.
    rng : numpy.random.Generator
        Draws one number per number of x, whatever the rate and the dtype.

    Returns
    -------
    y : ndarray
        Shape and dtype of x.
    cache : ndarray
        The mask: 0, or 1 / (1 - rate).

    Examples
    --------
    >>> y, mask = dropout(np.ones(8), 0.5, np.random.default_rng(0))
    >>> y
    array([2., 0., 0., 0., 2., 2., 2., 2.])
    """
    x = checks.float_array("dropout", "x", x)
    checks.share("dropout", "rate", rate)
    checks.generator("dropout", "rng", rng)
    kept = rng.random(x.shape) >= rate
    mask = (kept / (1 - rate) if rate < 1 else kept).astype(x.real.dtype)
    return x * mask, mask


def dropout_backward(dy, cache):
    """Gradient of `dropout`: dy times the same mask.

    Examples
    --------
    >>> dropout_backward(np.array([3.0, 3.0]), np.array([0.0, 2.0]))
    array([0., 6.])
    """
    dy, mask = _upstream_and_cache("dropout_backward", dy, cache)
    return dy * mask


def softmax_cross_entropy(logits, labels):
    """The average over the batch of -log softmax(logits)[label], in nats.

    Parameters
    ----------
    logits : ndarray of shape (N, classes)
    labels : integer ndarray of shape (N,)
        Class numbers, 0 to classes - 1.

    Returns
    -------
    loss : numpy scalar
    cache : CrossEntropyCache
        For `softmax_cross_entropy_backward`.

    Examples
    --------
    >>> loss, cache = softmax_cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> bool(np.isclose(loss, np.log(4)))
    True
    """
    name = "softmax_cross_entropy"
    logits = checks.float_array(name, "logits", logits)
    if logits.ndim != 2 or logits.size == 0:
        raise ValueError(f"{name}: logits must have shape (N, classes), got {logits.shape}")
    labels = checks.labels(name, labels, "logits", logits)
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"{name}: labels must lie in 0..{logits.shape[1] - 1}, "
            f"got {labels.min()}..{labels.max()}"
        )
    with np.errstate(invalid="ignore"):  # a row of infinities gives NaN, as it should
        shifted = logits - logits.real.max(axis=1, keepdims=True)
        log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_softmax[np.arange(len(labels)), labels].mean()
    return loss, CrossEntropyCache(log_softmax, labels)


def softmax_cross_entropy_backward(cache):
    """Gradient of the loss with respect to the logits: (softmax - one-hot) / N.

    Examples
    --------
    >>> loss, cache = softmax_cross_entropy(np.zeros((1, 2)), np.array([0]))
    >>> softmax_cross_entropy_backward(cache)
    array([[-0.5,  0.5]])
    """
    checks.cache("softmax_cross_entropy_backward", cache, CrossEntropyCache)
    log_softmax, labels = cache
    dlogits = np.exp(log_softmax)
    dlogits[np.arange(len(labels)), labels] -= 1
    dlogits /= len(labels)
    return dlogits


def _upstream_and_cache(operation, dy, cache):
    """dy and a cache that is one array of the shape of y, as that of each activation is."""
    checks.cache(operation, cache, np.ndarray)
    checks.float_array(operation, "cache", cache)
    return _upstream(operation, dy, cache.shape), cache


def _upstream(operation, dy, expected):
    dy = checks.float_array(operation, "dy", dy)
    if dy.shape != expected:
        checks.shape(operation, "dy", dy, expected, f"y of shape {expected}")
    return dy
