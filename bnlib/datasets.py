"""Real data: the digits, which are at hand; MNIST and notMNIST, which are downloaded once.

`python -m bnlib.datasets fetch mnist` downloads beforehand.

Every function raises TypeError for arguments of another kind, ValueError for numbers and words that
do not fit, and for files that are not what they should be.
"""

import argparse
import signal
import sys
from typing import NamedTuple

import numpy as np

from bnlib import checks, downloads
from bnlib.downloads import File

COMMAND = "python -m bnlib.datasets"
INTERRUPTED = 130  # what shells expect of a command that Ctrl-C has ended

# Addresses read in public sources: the first in torchvision/datasets/mnist.py (pytorch/vision), the
# second in tensorflow_datasets/image_classification/mnist.py (tensorflow/datasets). The authors'
# own server, yann.lecun.com, refuses downloads.
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST = {
    "training images": File(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        MNIST_MIRRORS,
    ),
    "training labels": File(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        MNIST_MIRRORS,
    ),
    "test images": File(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        MNIST_MIRRORS,
    ),
    "test labels": File(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        MNIST_MIRRORS,
    ),
}
# The sample of Y. Bulatov's letters that D. Flanagan put into MNIST's format, with permission; the
# files at the end of the branch were unpacked once and have these checksums.
NOTMNIST_MIRRORS = ("https://github.com/davidflanagan/notMNIST-to-MNIST/raw/master/",)
NOTMNIST = {
    "images": File(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "8e7f38ae95cc8f48e0986175ffc9137e5007ebcf3d8fdf6656c904eb9dab198b",
        NOTMNIST_MIRRORS,
    ),
    "labels": File(
        "t10k-labels-idx1-ubyte",
        10_008,
        "5f8e6012f2ce730700d8d05fca098bc47f71d25b890e4bec7ac5ebfd614a4001",
        NOTMNIST_MIRRORS,
    ),
}
PUBLISHED = {"mnist": MNIST, "notmnist": NOTMNIST}
PARTS = ("images", "labels")


class Dataset(NamedTuple):
    """Images and class numbers, for training and for testing.

    Attributes
    ----------
    x_train, x_test : ndarray of shape (N, D), float64 (or as asked for) in [0, 1]
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
    checks.within("digits", "train", train, 1, len(x) - 1)
    if rng is not None:
        checks.generator("digits", "rng", rng)
    order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
    x, y = x[order] / 16, y[order].astype(np.int64)
    return Dataset(x[:train], y[:train], x[train:], y[train:])


def mnist(rng=None, *, train=60_000, test=10_000, dtype=np.float64):
    """70,000 handwritten digits of 28 x 28 pixels (LeCun, Cortes and Burges, 1998).

    Downloaded once, 11 MB, or read from the folder that the variable BNLIB_DATA names; checked each
    time. Training and test images are kept apart as they were published: their writers
    are different people.

    Parameters
    ----------
    rng : numpy.random.Generator, optional
        Draws the images without replacement, of each side. Without it they are the first ones.
    train, test : int
        How many, of 60,000 and of 10,000.
    dtype : numpy.float64 or numpy.float32
        Of the pixels; all of them take 440 MB in float64.

    Returns
    -------
    Dataset
        D = 784 pixels, row by row, ink 1 and paper 0; 10 classes.

    Raises
    ------
    ValueError
        If `train` or `test` is not a number of images that there are, or `dtype` is another one.
    bnlib.downloads.DataError
        If the files cannot be had; says what to do.

    Examples
    --------
    >>> data = mnist(np.random.default_rng(0), train=1000)  # doctest: +SKIP
    >>> data.x_train.shape, data.x_test.shape  # doctest: +SKIP
    ((1000, 784), (10000, 784))
    >>> mnist(train=70_000)
    Traceback (most recent call last):
    ValueError: mnist: train must lie in 1..60000, got 70000
    """
    _check_amount("mnist", "train", train, 1, 60_000)
    _check_amount("mnist", "test", test, 1, 10_000)
    _check_dtype("mnist", dtype)
    sides = []
    for side, count in (("training", train), ("test", test)):
        images, labels = (downloads.load("mnist", MNIST[f"{side} {what}"]) for what in PARTS)
        chosen = _order(rng, len(images))[:count]
        sides += [_pixels(images[chosen], dtype), labels[chosen].astype(np.int64)]
    return Dataset(*sides)


def notmnist(rng=None, *, train=5000, test=None, dtype=np.float64):
    """10,000 letters from A to J in many fonts, of 28 x 28 pixels (Bulatov, 2011): not digits.

    Downloaded once, 3 MB, or read from the folder that the variable BNLIB_DATA names; checked each
    time.

    Parameters
    ----------
    rng : numpy.random.Generator, optional
        Shuffles before splitting. Without it the letters keep their order.
    train : int
        How many of them to train on; 0 if all are to test with.
    test : int, optional
        How many of the others to test with. None: all.
    dtype : numpy.float64 or numpy.float32
        Of the pixels.

    Returns
    -------
    Dataset
        D = 784 pixels, row by row; 10 classes, A is 0.

    Raises
    ------
    ValueError
        If `train` or `test` is not a number of images that there are, or `dtype` is another one.
    bnlib.downloads.DataError
        If the files cannot be had; says what to do.

    Examples
    --------
    >>> notmnist(train=0).x_test.shape  # doctest: +SKIP
    (10000, 784)
    >>> notmnist(train=10_000)
    Traceback (most recent call last):
    ValueError: notmnist: train must lie in 0..9999, got 10000
    """
    _check_amount("notmnist", "train", train, 0, 9_999)
    _check_amount("notmnist", "test", 1 if test is None else test, 1, 10_000 - train)
    _check_dtype("notmnist", dtype)
    images, labels = (downloads.load("notmnist", NOTMNIST[what]) for what in PARTS)
    order = _order(rng, len(images))
    sides = []
    for chosen in (order[:train], order[train:][:test]):
        sides += [_pixels(images[chosen], dtype), labels[chosen].astype(np.int64)]
    return Dataset(*sides)


def _check_amount(operation, name, value, least, most):
    if value != 0:
        checks.count(operation, name, value)
    if not least <= value <= most:
        raise ValueError(f"{operation}: {name} must lie in {least}..{most}, got {value}")


def _check_dtype(operation, dtype):
    if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise ValueError(f"{operation}: dtype must be float64 or float32, got {np.dtype(dtype)}")


def _order(rng, count):
    return np.arange(count) if rng is None else rng.permutation(count)


def _pixels(images, dtype):
    x = images.reshape(len(images), images.shape[1] * images.shape[2]).astype(dtype)
    x /= 255
    return x


# --- python -m bnlib.datasets --------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Complains in one sentence."""

    def error(self, message):
        """End with exit code 2."""
        self.exit(2, f"{message} (--help tells more)\n")


def main(arguments):
    """Do what the command line asks for: fetch and check.

    Parameters
    ----------
    arguments : sequence of str

    Returns
    -------
    int
        Exit code: 0; 1 if something cannot be had; 130 after Ctrl-C. A wrong wish exits with 2.
    """
    parser = Parser(prog=COMMAND, description="Bring data that are not at hand, and check them.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    fetch = commands.add_parser("fetch", help="download what is missing or damaged; check the rest")
    fetch.add_argument(
        "names", nargs="+", choices=PUBLISHED, metavar="NAME", help="mnist, notmnist"
    )
    names = parser.parse_args(arguments).names
    try:
        for name in dict.fromkeys(names):
            for file in PUBLISHED[name].values():
                downloads.load(name, file)
            place = (downloads.folder() or downloads.cache()) / name
            print(
                f"{name}: {len(PUBLISHED[name])} files in {place}, each as it must be", flush=True
            )
    except downloads.DataError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressing it twice makes no difference
        print("Interrupted. Whole files are kept; the same command goes on.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
