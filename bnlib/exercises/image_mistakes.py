"""Mistakes in batch norm of images, (N, C, H, W), which rows cannot show."""

import numpy as np

from bnlib.exercises.diagnosis import Mistake


def _channels_last(a):
    return np.moveaxis(a, 1, -1)


def _rows_mixed(v):
    """x_hat of the rows that a reshape makes without moving the channels to the end first."""
    rows = v.x.reshape(-1, v.x.shape[1])
    return (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + v.eps)


IMAGE_MISTAKES = (
    Mistake(
        "divided_by_examples",
        "images",
        "Mean and variance are divided by the number of examples. A channel of images has more "
        "values than that: examples times places.",
        ({"count": lambda v: len(v.x)},),
        images_only=True,
    ),
    Mistake(
        "axes_pixels",
        "images",
        "Every pixel has its own statistics. After a convolution a channel shares one mean and one "
        "variance over all examples and all places: axes 0, 2 and 3.",
        ({"axes": lambda v: (0,)},),
        images_only=True,
    ),
    Mistake(
        "axes_one_image",
        "images",
        "Every image is normalized by itself. Batch norm takes the places of all examples "
        "together: axis 0 belongs to the axes, too.",
        ({"axes": lambda v: tuple(range(2, v.x.ndim))},),
        images_only=True,
    ),
    Mistake(
        "axes_one_direction",
        "images",
        "One of the two directions of the image is missing from the axes, so that every row or "
        "column of pixels has its own statistics: axes 0, 2 and 3.",
        ({"axes": lambda v: (0, 2)}, {"axes": lambda v: (0, 3)}),
        images_only=True,
    ),
    Mistake(
        "axes_channels_last",
        "images",
        "The statistics run over axes 0, 1 and 2, as if the channels stood last. Here they are "
        "axis 1.",
        ({"axes": lambda v: (0, 1, 2)},),
        images_only=True,
    ),
    Mistake(
        "variances_averaged",
        "images",
        "The variances of single images (or single pixels) are averaged. That forgets how far "
        "their means lie apart: take one variance over axes 0, 2 and 3, around one mean.",
        (
            {"var": lambda v: v.x.var(axis=(2, 3), keepdims=True).mean(axis=0, keepdims=True)},
            {"var": lambda v: v.x.var(axis=0, keepdims=True).mean(axis=(2, 3), keepdims=True)},
        ),
        images_only=True,
    ),
    Mistake(
        "parameters_last_axis",
        "images",
        "gamma and beta of shape (C,) meet the last axis, the width of the image; they belong to "
        "axis 1: give them the shape (C, 1, 1).",
        (
            {
                "scaled": lambda v: v.gamma.ravel() * v.x_hat,
                "y": lambda v: v.scaled + v.beta.ravel(),
            },
        ),
        images_only=True,
    ),
    Mistake(
        "reshaped_without_moving",
        "images",
        "x.reshape(-1, C) does not sort by channels: the array is stored channel after channel of "
        "each example, and the rows mix them. Move axis 1 to the end first, np.moveaxis(x, 1, -1).",
        (
            {"x_hat": lambda v: _rows_mixed(v).reshape(v.x.shape)},
            {
                "x_hat": _rows_mixed,
                "scaled": lambda v: v.gamma.ravel() * v.x_hat,
                "y": lambda v: (v.scaled + v.beta.ravel()).reshape(v.x.shape),
            },
        ),
        images_only=True,
    ),
    Mistake(
        "not_moved_back",
        "images",
        "The channels were moved to the end and not moved back; a reshape alone does not sort the "
        "numbers: np.moveaxis(y, -1, 1).",
        (
            {"y": lambda v: _channels_last(v.scaled + v.beta).reshape(v.x.shape)},
            {"y": lambda v: _channels_last(v.scaled + v.beta)},
        ),
        images_only=True,
    ),
)
