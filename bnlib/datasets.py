"""Real data, small enough to be at hand."""

from typing import NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Images and class numbers, for training and for testing.

    Attributes
    ----------
    x_train, x_test : ndarray of shape (N, D), float64 in [0, 1]
    y_train, y_test : ndarray of shape (N,), int64
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def digits(rng=None, *, train=1000):
    """1,797 handwritten digits of 8 x 8 pixels, from scikit-learn (Alpaydin and Kaynak, 1998).

    Parameters
    ----------
    rng : numpy.random.Generator, optional
        Shuffles before splitting, so that every writer is on both sides. Without it the data keep
        their order, which is by writer: the test then holds other writers, and is harder.
    train : int
        How many of them to train on; the others are the test.

    Returns
    -------
    Dataset
        D = 64 pixels, 10 classes.

    Examples
    --------
    >>> data = digits(np.random.default_rng(0))
    >>> data.x_train.shape, data.x_test.shape
    ((1000, 64), (797, 64))
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    if not 0 < train < len(x):
        raise ValueError(f"digits: train must lie in 1..{len(x) - 1}, got {train}")
    order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
    x, y = x[order] / 16, y[order].astype(np.int64)
    return Dataset(x[:train], y[:train], x[train:], y[train:])
