"""Layers that normalize."""

from typing import Any, NamedTuple

import numpy as np

from bnlib import checks, normalization
from bnlib.layers.layer import Layer


class StoredStatisticsCache(NamedTuple):
    """What the backward pass of a batch norm in evaluation needs: its arguments."""

    x: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    gamma: np.ndarray | None


class BatchNorm(Layer):
    """Batch norm with its learned scale and shift and its running averages.

    In training it normalizes by the statistics of the batch and moves the running averages; in
    evaluation it applies the running averages, a fixed affine map. Chapters `forward_pass`,
    `running_averages`.

    Parameters
    ----------
    num_features : int
        The number of channels C of x, shape (N, C) or (N, C, *spatial).
    eps : float
        Added to the variance.
    momentum : float in [0, 1], or None
        Weight of the *new* value in the running averages, as in PyTorch; None averages all batches
        alike.
    affine : bool
        With gamma (`weight`, starts at 1) and beta (`bias`, starts at 0), one of each per channel.
    track_running_stats : bool
        False: no running averages; evaluation then normalizes by its own batch too.
    dtype : dtype

    Attributes
    ----------
    params : dict
        `weight` (gamma) and `bias` (beta), of shape (C,).
    buffers : dict
        `running_mean`, `running_var` (unbiased, as PyTorch keeps it) and `num_batches_tracked`.

    Raises
    ------
    TypeError
        For arguments of another kind.
    ValueError
        For numbers and shapes that do not fit; in training with running averages and a single value
        per channel: no unbiased variance exists.
    FloatingPointError
        In training when a batch statistic is not finite; no buffer is touched.

    Examples
    --------
    >>> layer = BatchNorm(1)
    >>> layer.forward(np.array([[1.0], [3.0]]), training=True).ravel().round(3)
    array([-1.,  1.])
    >>> layer.buffers["running_mean"], layer.buffers["running_var"]
    (array([0.2]), array([1.1]))
    """

    _computes: Any = normalization  # the module whose functions it calls

    def __init__(
        self,
        num_features,
        *,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        dtype=np.float64,
    ):
        super().__init__()
        checks.count("BatchNorm", "num_features", num_features)
        if momentum is not None:
            checks.share("BatchNorm", "momentum", momentum)
        checks.flag("BatchNorm", "track_running_stats", track_running_stats)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.params = _scale_and_shift("BatchNorm", num_features, eps, affine, dtype)
        if track_running_stats:
            self.buffers = {
                "running_mean": np.zeros(num_features, dtype),
                "running_var": np.ones(num_features, dtype),
                "num_batches_tracked": np.array(0),
            }

    def _check_state(self, operation, state):
        for name in self.buffers:
            value = state[name]
            if not np.isfinite(value).all():
                raise ValueError(f"{operation}: {name} must be finite, got {value}")
            if name != "running_mean" and (value < 0).any():
                raise ValueError(f"{operation}: {name} must not be negative, got {value}")

    def _forward(self, x, training):
        x = _checked_channels("BatchNorm", x, self.num_features)
        gamma, beta = self.params.get("weight"), self.params.get("bias")
        if self.buffers and not training:
            mean, var = self.buffers["running_mean"], self.buffers["running_var"]
            y = self._computes.batch_norm_inference(x, mean, var, gamma, beta, eps=self.eps)
            return y, StoredStatisticsCache(x, mean, var, gamma), self.buffers
        y, cache = self._computes.batch_norm(x, gamma, beta, eps=self.eps)
        return y, cache, self._updated_buffers(x, cache) if training else self.buffers

    def _backward(self, dy, cache):
        if isinstance(cache, StoredStatisticsCache):
            dx, dgamma, dbeta = normalization.batch_norm_inference_backward(
                dy, *cache, eps=self.eps
            )
        else:
            dx, dgamma, dbeta = self._computes.batch_norm_backward(dy, cache)
        return dx, {"weight": dgamma, "bias": dbeta} if self.params else {}

    def _updated_buffers(self, x, cache):
        if not self.buffers:
            return self.buffers
        count = x.size // self.num_features
        if count == 1:
            raise ValueError(
                "BatchNorm: training needs more than one value per channel for the running "
                f"variance, got x of shape {x.shape}"
            )
        batches = self.buffers["num_batches_tracked"] + 1
        weight = 1 / batches if self.momentum is None else self.momentum
        updated = {"num_batches_tracked": np.array(batches)}
        new = {"running_mean": cache.mean, "running_var": cache.var * (count / (count - 1))}
        for name, statistic in new.items():
            old = self.buffers[name]
            with np.errstate(over="ignore", invalid="ignore"):
                statistic = statistic.real.astype(old.dtype, copy=False)
            finite = np.isfinite(statistic)
            if not finite.all():
                channel = int(np.argmin(finite))
                raise FloatingPointError(
                    f"BatchNorm: {name} must stay finite, got {statistic[channel]} from this batch "
                    f"in channel {channel}; the running averages were left as they were"
                )
            moved = (1 - weight) * old + weight * statistic
            updated[name] = moved.astype(old.dtype, copy=False)
        return {name: updated[name] for name in self.buffers}


class LayerNorm(Layer):
    """Layer norm with its learned scale and shift: the same in training and in evaluation.

    Parameters
    ----------
    num_features : int or tuple of int
        Shape of what is normalized together: the last axes of x. D for x of shape (N, D);
        (C, H, W) for pictures, each as a whole.
    eps : float
        Added to the variance.
    affine : bool
        With gamma (`weight`, starts at 1) and beta (`bias`, starts at 0), one of each per feature.
    dtype : dtype

    Examples
    --------
    >>> LayerNorm(2).forward(np.array([[1.0, 3.0], [8.0, 4.0]]), training=True).round(3)
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    def __init__(self, num_features, *, eps=1e-5, affine=True, dtype=np.float64):
        super().__init__()
        self.shape = _checked_shape("LayerNorm", num_features)
        self.eps = eps
        self.params = _scale_and_shift("LayerNorm", self.shape, eps, affine, dtype)

    def _forward(self, x, training):
        x = _checked_end("LayerNorm", x, self.shape)
        gamma, beta = self.params.get("weight"), self.params.get("bias")
        y, cache = normalization.layer_norm(x, gamma, beta, axis=-len(self.shape), eps=self.eps)
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        dx, dgamma, dbeta = normalization.layer_norm_backward(dy, cache)
        return dx, {"weight": dgamma, "bias": dbeta} if self.params else {}


class GroupNorm(Layer):
    """Group norm with its learned scale and shift: the same in training and in evaluation.

    Parameters
    ----------
    num_groups : int
        Divides num_channels.
    num_channels : int
        The number of channels C of x, shape (N, C) or (N, C, *spatial).
    eps : float
        Added to the variance.
    affine : bool
        With gamma (`weight`, starts at 1) and beta (`bias`, starts at 0), one of each per channel.
    dtype : dtype

    Notes
    -----
    `mlp` and `convnet` call a norm with the number of channels: give them
    ``norm=functools.partial(GroupNorm, 4)``.

    Examples
    --------
    >>> GroupNorm(2, 4).forward(np.array([[1.0, 3.0, 40.0, 20.0]]), training=True).round(3)
    array([[-1.,  1.,  1., -1.]])
    """

    def __init__(self, num_groups, num_channels, *, eps=1e-5, affine=True, dtype=np.float64):
        super().__init__()
        checks.count("GroupNorm", "num_groups", num_groups)
        checks.count("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_groups must divide the {num_channels} channels, got {num_groups}"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.params = _scale_and_shift("GroupNorm", num_channels, eps, affine, dtype)

    def _forward(self, x, training):
        x = _checked_channels("GroupNorm", x, self.num_channels)
        gamma, beta = self.params.get("weight"), self.params.get("bias")
        y, cache = normalization.group_norm(x, self.num_groups, gamma, beta, eps=self.eps)
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        dx, dgamma, dbeta = normalization.group_norm_backward(dy, cache)
        return dx, {"weight": dgamma, "bias": dbeta} if self.params else {}


class InstanceNorm(Layer):
    """Instance norm: each channel of each picture by itself, in training and in evaluation.

    As PyTorch's it starts without gamma and beta and keeps no running averages.

    Parameters
    ----------
    num_features : int
        The number of channels C of x, shape (N, C, *spatial).
    eps : float
        Added to the variance.
    affine : bool
        With gamma (`weight`, starts at 1) and beta (`bias`, starts at 0), one of each per channel.
    dtype : dtype

    Raises
    ------
    TypeError
        For arguments of another kind.
    ValueError
        For a single value per channel, as in x of shape (N, C): nothing of x would be left.

    Examples
    --------
    >>> InstanceNorm(1).forward(np.array([[[1.0, 3.0]], [[7.0, 2.0]]]), training=True).round(3)
    array([[[-1.,  1.]],
    <BLANKLINE>
           [[ 1., -1.]]])
    """

    def __init__(self, num_features, *, eps=1e-5, affine=False, dtype=np.float64):
        super().__init__()
        checks.count("InstanceNorm", "num_features", num_features)
        self.num_features, self.eps = num_features, eps
        self.params = _scale_and_shift("InstanceNorm", num_features, eps, affine, dtype)

    def _forward(self, x, training):
        x = _checked_channels("InstanceNorm", x, self.num_features)
        if x.size == x.shape[0] * x.shape[1]:
            raise ValueError(
                "InstanceNorm: x must have more than one value per channel of an example, "
                f"got shape {x.shape}"
            )
        gamma, beta = self.params.get("weight"), self.params.get("bias")
        y, cache = normalization.instance_norm(x, gamma, beta, eps=self.eps)
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        dx, dgamma, dbeta = normalization.instance_norm_backward(dy, cache)
        return dx, {"weight": dgamma, "bias": dbeta} if self.params else {}


class RMSNorm(Layer):
    """RMS norm with its learned scale: layer norm without the mean and without the shift.

    Parameters
    ----------
    num_features : int or tuple of int
        Shape of what is normalized together: the last axes of x, as for `LayerNorm`.
    eps : float
        Added to the mean square; PyTorch's default is smaller.
    affine : bool
        With gamma (`weight`, starts at 1), one per feature.
    dtype : dtype

    Examples
    --------
    >>> RMSNorm(2).forward(np.array([[3.0, 3.0], [0.0, 5.0]]), training=True).round(3)
    array([[1.   , 1.   ],
           [0.   , 1.414]])
    """

    def __init__(self, num_features, *, eps=1e-5, affine=True, dtype=np.float64):
        super().__init__()
        self.shape = _checked_shape("RMSNorm", num_features)
        self.eps = eps
        self.params = _scale_and_shift("RMSNorm", self.shape, eps, affine, dtype)
        self.params.pop("bias", None)

    def _forward(self, x, training):
        x = _checked_end("RMSNorm", x, self.shape)
        gamma, axis = self.params.get("weight"), -len(self.shape)
        y, cache = normalization.rms_norm(x, gamma, axis=axis, eps=self.eps)
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        dx, dgamma = normalization.rms_norm_backward(dy, cache)
        return dx, {"weight": dgamma} if self.params else {}


def _scale_and_shift(operation, shape, eps, affine, dtype):
    """The parameters of a norm, none if it is not affine; and the options that all norms share."""
    checks.positive(operation, "eps", eps)
    checks.flag(operation, "affine", affine)
    checks.dtype(operation, dtype)
    return {"weight": np.ones(shape, dtype), "bias": np.zeros(shape, dtype)} if affine else {}


def _checked_channels(operation, x, channels):
    x = checks.batch(operation, x)
    if x.shape[1] != channels:
        raise ValueError(
            f"{operation}: x must have {channels} channels (axis 1), got shape {x.shape}"
        )
    return x


def _checked_shape(operation, num_features):
    shape = num_features if isinstance(num_features, tuple) else (num_features,)
    for length in shape:
        checks.count(operation, "num_features", length)
    return shape


def _checked_end(operation, x, shape):
    x = checks.float_array(operation, "x", x)
    if x.shape[-len(shape) :] != shape:
        raise ValueError(f"{operation}: x must end in the shape {shape}, got {x.shape}")
    return x
