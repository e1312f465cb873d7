"""The data sets of the experiments, by the names that files of results and `--data` give them."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bnlib import datasets
from bnlib.downloads import File


class Source(NamedTuple):
    """Where a data set comes from.

    Attributes
    ----------
    draw : callable
        `draw(rng)` gives a `bnlib.datasets.Dataset`.
    files : tuple of bnlib.downloads.File
        What it reads of what is downloaded; none: it is at hand everywhere.
    """

    draw: Callable
    files: tuple[File, ...] = ()


def mnist_first(rng):
    """The first 1,000 training images of MNIST, as they were published, and 10,000 test images.

    They are what the textbook behind post 0 learned from: a seed draws no split here.
    """
    return datasets.mnist(train=1000)


def mnist_10000(rng):
    """10,000 training and 1,000 test images of MNIST, drawn."""
    return datasets.mnist(rng, train=10_000, test=1000)


MNIST = tuple(datasets.MNIST.values())
SOURCES = {
    "digits": Source(datasets.digits),
    "mnist_first": Source(mnist_first, MNIST),
    "mnist_10000": Source(mnist_10000, MNIST),
    "mnist": Source(datasets.mnist, MNIST),
}


def draw_of(name):
    """Return what draws the data set of that name; None for no name.

    Returns
    -------
    callable or None
    """
    return SOURCES[name].draw if name else None


def fingerprint(name):
    """Tell data sets apart, without reading what would have to be downloaded; "" for no name.

    A hash of the arrays, drawn with a fixed generator; of downloaded files, that of their
    checksums, which are compared each time they are read.

    Returns
    -------
    str
    """
    if not name:
        return ""
    found = hashlib.sha256()
    source = SOURCES[name]
    for file in source.files:
        found.update(f"{name} {file.name} {file.sha256} ".encode())
    for array in () if source.files else source.draw(np.random.default_rng(0)):
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]
