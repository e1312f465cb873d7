"""Batch norm folded into the layer before it: the same numbers in evaluation, one layer less.

In evaluation mode batch norm is a fixed affine map of each channel, and an affine map of a linear
layer's output is a linear layer again. Workshop `frameworks` derives it.

Every function raises TypeError for arguments of another kind, ValueError for shapes, numbers and
words that do not fit.
"""

import copy
from typing import NamedTuple

import numpy as np

from bnlib import checks
from bnlib.layers import BatchNorm, Conv2d, Layer, Linear, Sequential


def fold_batch_norm(weight, bias, mean, var, gamma=None, beta=None, *, eps=1e-5):
    """Fold batch norm with stored statistics into the linear layer or convolution before it.

    With s = gamma / sqrt(var + eps), s (W x + b - mean) + beta is (s W) x + (s (b - mean) + beta):
    the layer's own bias is scaled too.

    Parameters
    ----------
    weight : ndarray of shape (C, in) or (C, in, h, w)
    bias : ndarray of shape (C,), or None
        The layer's own; None stands for 0.
    mean, var : ndarray of shape (C,)
        The stored statistics.
    gamma, beta : ndarray of shape (C,), optional
        None stands for 1 and 0.
    eps : float

    Returns
    -------
    weight, bias : ndarray
        Of the shapes (C, ...) and (C,), in the dtype of weight.

    Examples
    --------
    >>> two, one = np.array([2.0]), np.array([1.0])
    >>> weight, bias = fold_batch_norm(np.array([[3.0]]), one, mean=two, var=4 * one, beta=one)
    >>> weight.round(3), bias.round(3)
    (array([[1.5]]), array([0.5]))
    """
    operation = "fold_batch_norm"
    weight = checks.float_array(operation, "weight", weight)
    if np.iscomplexobj(weight):
        raise TypeError(f"{operation}: weight must hold real numbers, got {weight.dtype}")
    if weight.ndim not in (2, 4):
        raise ValueError(
            f"{operation}: weight must have shape (out, in) or (out, in, h, w), got {weight.shape}"
        )
    checks.positive(operation, "eps", eps)
    channels = weight.shape[:1]
    names = {"bias": bias, "mean": mean, "var": var, "gamma": gamma, "beta": beta}
    given = {
        name: _per_output(operation, name, value, channels)
        for name, value in names.items()
        if value is not None or name in ("mean", "var")
    }
    if (given["var"] < 0).any():
        raise ValueError(f"{operation}: var must not be negative, got {given['var'].min()}")
    scale = given.get("gamma", 1.0) / np.sqrt(given["var"] + eps)
    folded = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    shift = scale * (given.get("bias", 0.0) - given["mean"]) + given.get("beta", 0.0)
    return folded.astype(weight.dtype), shift.astype(weight.dtype)


class Folded(NamedTuple):
    """What `fold` made of a network.

    Attributes
    ----------
    network : Sequential
        Shares nothing with the old one.
    folded : tuple of str
        Places of the batch norm layers that are gone, by their names in the old `state_dict`.
    left : dict of str to str
        Places of those that stay, and why.
    """

    network: Sequential
    folded: tuple[str, ...]
    left: dict[str, str]


def fold(network):
    """Fold away every batch norm that stands directly behind a linear layer or a convolution.

    In evaluation the new network computes what the old one does, up to rounding. It cannot be
    trained on as before: what is gone does not normalize batches any more.

    Parameters
    ----------
    network : bnlib.layers.Sequential
        May hold others and `Residual`; it is left as it was.

    Returns
    -------
    Folded

    Examples
    --------
    >>> from bnlib.layers import mlp
    >>> network = mlp([8, 16, 3], rng=np.random.default_rng(0), batch_norm=True)
    >>> new, folded, left = fold(network)
    >>> [type(layer).__name__ for layer in new.layers], folded
    (['Linear', 'ReLU', 'Linear'], ('1',))
    >>> x = np.ones((5, 8))
    >>> gap = new.forward(x, training=False) - network.forward(x, training=False)
    >>> bool(abs(gap).max() < 1e-12)
    True
    """
    if not isinstance(network, Sequential):
        raise TypeError(f"fold: network must be a Sequential, got {type(network).__name__}")
    done: list[str] = []
    left: dict[str, str] = {}
    return Folded(_fold(network, "", done, left), tuple(done), left)


def _fold(network, prefix, done, left):
    layers: list[Layer] = []
    for position, layer in enumerate(network.layers):
        name = f"{prefix}{position}"
        if isinstance(layer, BatchNorm):
            reason = _obstacle(layer, layers)
            if not reason:
                done.append(name)
                layers[-1] = _merged(layers[-1], layer)
                continue
            left[name] = reason
        if isinstance(layer, Sequential):
            layers.append(_fold(layer, f"{name}.", done, left))
        else:
            layers.append(_fresh(layer))
    return type(network)(*layers)


def _obstacle(norm, before):
    """Why a batch norm must stay, or nothing."""
    if not norm.buffers:
        return "it keeps no running averages, so even in evaluation it depends on the batch"
    if not before:
        return "it stands first"
    if not isinstance(before[-1], Linear | Conv2d):
        return f"it stands behind {type(before[-1]).__name__}"
    return ""


def _merged(layer, norm):
    weight, bias = fold_batch_norm(
        layer.params["weight"],
        layer.params.get("bias"),
        norm.buffers["running_mean"],
        norm.buffers["running_var"],
        norm.params.get("weight"),
        norm.params.get("bias"),
        eps=norm.eps,
    )
    merged = _fresh(layer)
    merged.params = {"weight": weight, "bias": bias}
    return merged


def _fresh(layer):
    """A copy with its own arrays and without cache or gradients."""
    new = copy.copy(layer)
    new.params = {name: value.copy() for name, value in layer.params.items()}
    new.buffers = {name: value.copy() for name, value in layer.buffers.items()}
    new.grads, new._cache = {}, None
    return new


def _per_output(operation, name, value, channels):
    array = checks.float_array(operation, name, value)
    if np.iscomplexobj(array):
        raise TypeError(f"{operation}: {name} must hold real numbers, got {array.dtype}")
    if array.shape != channels:
        raise ValueError(
            f"{operation}: {name} must have shape {channels}, one per output of weight, "
            f"got {array.shape}"
        )
    return array
