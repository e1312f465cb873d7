"""The relatives of batch norm: the same arithmetic over other axes.

Layer norm takes its mean and variance from one example instead of one batch, group norm from one
group of an example's channels, instance norm from one channel of an example; RMS norm divides an
example by its root mean square and subtracts nothing. So all of them do without running averages,
do the same in training and in evaluation, and work with a batch of one. Import them from here or
from `bnlib.normalization`; chapter `relatives` compares them.

Every function raises TypeError for arrays that are no floats, a cache from elsewhere and other
arguments of another kind, ValueError for shapes and numbers that do not fit.
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


class GroupNormCache(NamedTuple):
    """What the backward pass needs to remember, and the statistics of each group of channels.

    Attributes
    ----------
    x_hat : ndarray of shape (N, C, *spatial)
        The normalized examples, before gamma and beta.
    inv_std : ndarray of shape (N, num_groups)
        1 / sqrt(var + eps).
    gamma : ndarray of shape (C,), or None
        The scale that was used.
    mean, var : ndarray of shape (N, num_groups)
        Mean and biased variance of each group, float64.
    """

    x_hat: np.ndarray
    inv_std: np.ndarray
    gamma: np.ndarray | None
    mean: np.ndarray
    var: np.ndarray


class RMSNormCache(NamedTuple):
    """What the backward pass needs to remember.

    Attributes
    ----------
    x_hat : ndarray
        The examples divided by their root mean square, before gamma; of the shape of x.
    inv_rms : ndarray of shape x.shape[:axis]
        1 / sqrt(mean of x**2 + eps).
    gamma : ndarray of shape x.shape[axis:], or None
        The scale that was used.
    """

    x_hat: np.ndarray
    inv_rms: np.ndarray
    gamma: np.ndarray | None


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
        x_hat, inv_std, mean, var = _normalize(np.asarray(x, dtype), axis, eps)
        y = _scale_and_shift(x_hat, gamma, beta)
        return _restore_dtype(y, x), LayerNormCache(x_hat, inv_std, gamma, mean, var)


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
    checks.cache("layer_norm_backward", cache, LayerNormCache)
    x_hat, inv_std, gamma, _, _ = cache
    dy = _checked_upstream("layer_norm_backward", dy, x_hat)
    batch = range(inv_std.ndim)
    with np.errstate(invalid="ignore", over="ignore"):
        upstream = np.asarray(dy, np.result_type(dy, x_hat))
        dgamma, dbeta = _sum(upstream * x_hat, batch), _sum(upstream, batch)
        dx = _input_gradient(_scale_and_shift(upstream, gamma), x_hat, inv_std)
        return _restore_dtype(dx, dy), dgamma, dbeta


def group_norm(x, num_groups, gamma=None, beta=None, *, eps=1e-5):
    """Normalize each group of an example's channels by its own mean and biased variance.

    It is layer norm over a view that has an axis for the groups; gamma and beta belong to the
    channels all the same. One group is layer norm of the whole example, C groups are instance norm.
    Chapter `relatives`; Wu and He (2018).

    Parameters
    ----------
    x : ndarray of shape (N, C) or (N, C, *spatial)
        float16, float32 or float64; complex128 is accepted so that complex-step derivatives work.
    num_groups : int
        Divides C; each group is C / num_groups channels that follow one another.
    gamma, beta : ndarray of shape (C,), optional
        Scale and shift; None stands for 1 and 0.
    eps : float
        Added to the variance, in the squared units of x.

    Returns
    -------
    y : ndarray
        Shape and dtype of x. NaN and infinity stay within their group.
    cache : GroupNormCache
        For `group_norm_backward`.

    Raises
    ------
    TypeError
        For integer, object or complex64 arrays.
    ValueError
        For an empty x, groups that do not divide the channels, shapes that do not match, or eps
        that is not above 0.

    Examples
    --------
    >>> y, cache = group_norm(np.array([[1.0, 3.0, 40.0, 20.0]]), 2)
    >>> y.round(3)
    array([[-1.,  1.,  1., -1.]])
    """
    x = _checked_channels("group_norm", x)
    checks.count("group_norm", "num_groups", num_groups)
    if x.shape[1] % num_groups:
        raise ValueError(
            f"group_norm: num_groups must divide the {x.shape[1]} channels of x, got {num_groups}"
        )
    return _by_groups("group_norm", x, num_groups, gamma, beta, eps)


def group_norm_backward(dy, cache):
    """Gradients of `group_norm`: those of layer norm, group by group.

    Parameters
    ----------
    dy : ndarray
        Gradient of the loss with respect to y, of the same shape.
    cache : GroupNormCache
        From `group_norm`.

    Returns
    -------
    dx : ndarray
        Shape and dtype of dy.
    dgamma, dbeta : ndarray of shape (C,)
        float32 for float16 gradients.

    Examples
    --------
    >>> y, cache = group_norm(np.array([[1.0, 2.0, 4.0, 0.0, 5.0, 5.0]]), 2)
    >>> dx, _, _ = group_norm_backward(np.array([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]), cache)
    >>> (dx != 0).tolist()
    [[True, True, True, False, False, False]]
    """
    return _by_groups_backward("group_norm_backward", dy, cache)


def instance_norm(x, gamma=None, beta=None, *, eps=1e-5):
    """Normalize each channel of each example by its own mean and biased variance.

    It is group norm with a group for each channel. A channel that holds a single value, as in x of
    shape (N, C), becomes beta. Chapter `relatives`; Ulyanov, Vedaldi and Lempitsky (2016).

    Parameters
    ----------
    x : ndarray of shape (N, C, *spatial)
        float16, float32 or float64; complex128 is accepted so that complex-step derivatives work.
    gamma, beta : ndarray of shape (C,), optional
        Scale and shift; None stands for 1 and 0.
    eps : float
        Added to the variance, in the squared units of x.

    Returns
    -------
    y : ndarray
        Shape and dtype of x. NaN and infinity stay within their channel of their example.
    cache : GroupNormCache
        For `instance_norm_backward`; one group for each channel.

    Raises
    ------
    TypeError
        For integer, object or complex64 arrays.
    ValueError
        For an empty x, shapes that do not match, or eps that is not above 0.

    Examples
    --------
    >>> y, cache = instance_norm(np.array([[[1.0, 3.0], [40.0, 20.0]]]))
    >>> y.round(3)
    array([[[-1.,  1.],
            [ 1., -1.]]])
    """
    x = _checked_channels("instance_norm", x)
    return _by_groups("instance_norm", x, x.shape[1], gamma, beta, eps)


def instance_norm_backward(dy, cache):
    """Gradients of `instance_norm`: those of layer norm, channel by channel of each example.

    Parameters
    ----------
    dy : ndarray
        Gradient of the loss with respect to y, of the same shape.
    cache : GroupNormCache
        From `instance_norm`.

    Returns
    -------
    dx : ndarray
        Shape and dtype of dy.
    dgamma, dbeta : ndarray of shape (C,)
        float32 for float16 gradients.

    Examples
    --------
    >>> y, cache = instance_norm(np.array([[[1.0, 3.0, 5.0], [4.0, 2.0, 9.0]]]))
    >>> dx, _, dbeta = instance_norm_backward(np.ones((1, 2, 3)), cache)
    >>> np.abs(dx).max() < 1e-12, dbeta
    (np.True_, array([3., 3.]))
    """
    return _by_groups_backward("instance_norm_backward", dy, cache)


def rms_norm(x, gamma=None, *, axis=-1, eps=1e-5):
    """Divide every example by its root mean square, then scale; no mean, no shift.

    Chapter `relatives`; Zhang and Sennrich (2019).

    Parameters
    ----------
    x : ndarray of shape (N, D) or (N, …)
        float16, float32 or float64; complex128 is accepted so that complex-step derivatives work.
    gamma : ndarray of shape x.shape[axis:], optional
        Scale; None stands for 1.
    axis : int
        The first axis of an example, as in `layer_norm`.
    eps : float
        Added to the mean square, in the squared units of x. PyTorch's default is the spacing of
        the dtype at 1 instead, 2.2e-16 for float64.

    Returns
    -------
    y : ndarray
        Shape and dtype of x. NaN and infinity stay within their example.
    cache : RMSNormCache
        For `rms_norm_backward`.

    Raises
    ------
    TypeError
        For integer, object or complex64 arrays.
    ValueError
        For an empty x, an axis that x does not have, shapes that do not match, or eps that is not
        above 0.

    Examples
    --------
    >>> y, cache = rms_norm(np.array([[3.0, 4.0, 0.0, 0.0]]))
    >>> y.round(3)
    array([[1.2, 1.6, 0. , 0. ]])
    """
    x = checks.float_array("rms_norm", "x", x)
    axis = _checked_axis("rms_norm", x, axis)
    (gamma,) = _checked_affine("rms_norm", x, axis, gamma=gamma)
    checks.positive("rms_norm", "eps", eps)

    with np.errstate(invalid="ignore", over="ignore"):
        x_hat, inv_rms = _divide_by_spread(np.asarray(x, _working_dtype(x, gamma)), axis, eps)[:2]
        y = _scale_and_shift(x_hat, gamma)
        return _restore_dtype(y, x), RMSNormCache(x_hat, inv_rms, gamma)


def rms_norm_backward(dy, cache):
    """Gradients of `rms_norm` in closed form.

    With g = gamma dy only the part of g along x_hat is lost; its average stays, for no mean was
    subtracted.

    Parameters
    ----------
    dy : ndarray
        Gradient of the loss with respect to y, of the same shape.
    cache : RMSNormCache
        From `rms_norm`.

    Returns
    -------
    dx : ndarray
        Shape and dtype of dy.
    dgamma : ndarray of shape x.shape[axis:]
        float32 for float16 gradients.

    Examples
    --------
    >>> y, cache = rms_norm(np.array([[1.0, -1.0]]))
    >>> dx, dgamma = rms_norm_backward(np.array([[1.0, 1.0]]), cache)
    >>> dx.round(3), dgamma.round(3)
    (array([[1., 1.]]), array([ 1., -1.]))
    """
    checks.cache("rms_norm_backward", cache, RMSNormCache)
    x_hat, inv_rms, gamma = cache
    dy = _checked_upstream("rms_norm_backward", dy, x_hat)
    with np.errstate(invalid="ignore", over="ignore"):
        upstream = np.asarray(dy, np.result_type(dy, x_hat))
        dgamma = _sum(upstream * x_hat, range(inv_rms.ndim))
        dx = _input_gradient(_scale_and_shift(upstream, gamma), x_hat, inv_rms, centred=False)
        return _restore_dtype(dx, dy), dgamma


def _by_groups(operation, x, num_groups, gamma, beta, eps):
    """Layer norm over the last axis of x as (N, groups, values), gamma and beta by channel."""
    gamma, beta = checks.affine(operation, x, gamma, beta)
    checks.positive(operation, "eps", eps)
    groups = np.asarray(x, _working_dtype(x, gamma, beta)).reshape(len(x), num_groups, -1)

    with np.errstate(invalid="ignore", over="ignore"):
        x_hat, inv_std, mean, var = _normalize(groups, 2, eps)
        x_hat = x_hat.reshape(x.shape)
        y = _scale_and_shift(x_hat, _along_channels(gamma, x), _along_channels(beta, x))
        return _restore_dtype(y, x), GroupNormCache(x_hat, inv_std, gamma, mean, var)


def _by_groups_backward(operation, dy, cache):
    checks.cache(operation, cache, GroupNormCache)
    x_hat, inv_std, gamma, _, _ = cache
    dy = _checked_upstream(operation, dy, x_hat)
    all_but_channels = (0, *range(2, dy.ndim))
    with np.errstate(invalid="ignore", over="ignore"):
        upstream = np.asarray(dy, np.result_type(dy, x_hat))
        dgamma = _sum(upstream * x_hat, all_but_channels)
        dbeta = _sum(upstream, all_but_channels)
        g = _scale_and_shift(upstream, _along_channels(gamma, dy))
        groups = (*inv_std.shape, -1)
        dx = _input_gradient(g.reshape(groups), x_hat.reshape(groups), inv_std).reshape(dy.shape)
        return _restore_dtype(dx, dy), dgamma, dbeta


def _normalize(x, axis, eps):
    """x_hat over the axes from `axis` on; 1 / sqrt(var + eps); the mean; the biased variance."""
    centred, mean = _centre(x, axis)
    x_hat, inv_std, var = _divide_by_spread(centred, axis, eps)
    return x_hat, inv_std, mean, var


def _centre(x, axis):
    """x minus the mean of its example, and that mean.

    As in batch norm the mean is subtracted in two steps: first as well as the dtype of x can hold
    it, then what that rounding left over. Sums are accumulated in float64.
    """
    axes, wide = tuple(range(axis, x.ndim)), np.result_type(x, np.float64)
    mean = x.mean(axis=axes, dtype=wide)
    rounded = mean.astype(x.dtype)
    centred = x - _per_example(rounded, x)
    rest = centred.mean(axis=axes, dtype=wide)
    centred -= _per_example(rest, x)
    return centred, rounded + rest


def _divide_by_spread(x, axis, eps):
    """x / sqrt(s + eps), 1 / sqrt(s + eps) and s, the mean of the squares of an example."""
    axes, wide = tuple(range(axis, x.ndim)), np.result_type(x, np.float64)
    mean_square = np.square(x, dtype=wide).mean(axis=axes)
    inverse = (1 / np.sqrt(mean_square + eps)).astype(x.dtype)
    return x * _per_example(inverse, x), inverse, mean_square


def _scale_and_shift(x_hat, gamma, beta=None):
    y = x_hat.copy() if gamma is None else x_hat * gamma.astype(x_hat.dtype)
    if beta is not None:
        y += beta.astype(x_hat.dtype)
    return y


def _input_gradient(g, x_hat, inverse, *, centred=True):
    """What is left of g = gamma dy: its part along x_hat is lost and, if centred, its average."""
    axes, count = range(inverse.ndim, g.ndim), math.prod(g.shape[inverse.ndim :])
    dx = g - x_hat * _per_example(_sum(g * x_hat, axes) / count, g)
    if centred:
        dx -= _per_example(_sum(g, axes) / count, g)
    dx *= _per_example(inverse, g)
    return dx


def _sum(values, axes):
    """The sum over some axes, accumulated in float64 and given back in the dtype of the values."""
    wide = np.result_type(values, np.float64)
    return values.sum(axis=tuple(axes), dtype=wide).astype(values.dtype)


def _per_example(statistic, x):
    """One number per example, in the dtype of x and shaped to broadcast over the example."""
    rest = (1,) * (x.ndim - statistic.ndim)
    return statistic.astype(x.dtype).reshape(statistic.shape + rest)


def _along_channels(vector, x):
    """None, or a vector of shape (C,) shaped to broadcast over the channels of x."""
    return None if vector is None else vector.reshape(-1, *(1,) * (x.ndim - 2))


def _checked_axis(operation, x, axis):
    """`axis` counted from the front; x must have it, and must hold something."""
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise TypeError(f"{operation}: axis must be a whole number, got {axis!r}")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{operation}: axis must be an axis of x, got {axis} for shape {x.shape}")
    _check_not_empty(operation, x)
    return int(axis) % x.ndim


def _checked_channels(operation, x):
    x = checks.batch(operation, x)
    _check_not_empty(operation, x)
    return x


def _check_not_empty(operation, x):
    if x.size == 0:
        raise ValueError(f"{operation}: x must not be empty, got shape {x.shape}")


def _checked_upstream(operation, dy, x_hat):
    dy = checks.float_array(operation, "dy", dy)
    checks.shape(operation, "dy", dy, x_hat.shape, f"y of shape {x_hat.shape}")
    return dy


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
