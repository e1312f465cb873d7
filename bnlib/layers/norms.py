"""Layers that normalize."""

import numpy as np

from bnlib import checks, normalization
from bnlib.layers.layer import Layer


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
    ValueError
        In training with running averages and a single value per channel: no unbiased variance
        exists.
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
        checks.positive("BatchNorm", "eps", eps)
        if momentum is not None:
            checks.share("BatchNorm", "momentum", momentum)
        checks.flag("BatchNorm", "affine", affine)
        checks.flag("BatchNorm", "track_running_stats", track_running_stats)
        checks.float_array("BatchNorm", "dtype", np.empty(0, dtype))
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        if affine:
            self.params = {
                "weight": np.ones(num_features, dtype),
                "bias": np.zeros(num_features, dtype),
            }
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
        x = checks.batch("BatchNorm", x)
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm: x must have {self.num_features} channels (axis 1), got shape {x.shape}"
            )
        gamma, beta = self.params.get("weight"), self.params.get("bias")
        if self.buffers and not training:
            mean, var = self.buffers["running_mean"], self.buffers["running_var"]
            y = normalization.batch_norm_inference(x, mean, var, gamma, beta, eps=self.eps)
            return y, (x, mean, var, gamma), self.buffers
        y, cache = normalization.batch_norm(x, gamma, beta, eps=self.eps)
        return y, cache, self._updated_buffers(x, cache) if training else self.buffers

    def _backward(self, dy, cache):
        if isinstance(cache, normalization.BatchNormCache):
            dx, dgamma, dbeta = normalization.batch_norm_backward(dy, cache)
        else:
            dx, dgamma, dbeta = normalization.batch_norm_inference_backward(
                dy, *cache, eps=self.eps
            )
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
                statistic = statistic.astype(old.dtype)
            finite = np.isfinite(statistic)
            if not finite.all():
                channel = int(np.argmin(finite))
                raise FloatingPointError(
                    f"BatchNorm: {name} must stay finite, got {statistic[channel]} from this batch "
                    f"in channel {channel}; the running averages were left as they were"
                )
            updated[name] = ((1 - weight) * old + weight * statistic).astype(old.dtype)
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
        self.shape = num_features if isinstance(num_features, tuple) else (num_features,)
        for length in self.shape:
            checks.count("LayerNorm", "num_features", length)
        checks.positive("LayerNorm", "eps", eps)
        checks.flag("LayerNorm", "affine", affine)
        checks.float_array("LayerNorm", "dtype", np.empty(0, dtype))
        self.eps = eps
        if affine:
            self.params = {
                "weight": np.ones(self.shape, dtype),
                "bias": np.zeros(self.shape, dtype),
            }

    def _forward(self, x, training):
        x = checks.float_array("LayerNorm", "x", x)
        if x.shape[-len(self.shape) :] != self.shape:
            raise ValueError(f"LayerNorm: x must end in the shape {self.shape}, got {x.shape}")
        gamma, beta = self.params.get("weight"), self.params.get("bias")
        y, cache = normalization.layer_norm(x, gamma, beta, axis=-len(self.shape), eps=self.eps)
        return y, cache, self.buffers

    def _backward(self, dy, cache):
        dx, dgamma, dbeta = normalization.layer_norm_backward(dy, cache)
        return dx, {"weight": dgamma, "bias": dbeta} if self.params else {}
