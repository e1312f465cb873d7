"""What a public function asks of its arrays; each check fails with one sentence.

The sentence names the operation, what was expected and what came, for example
``batch_norm: gamma must have shape (64,) to match x of shape (32, 64), got (32,)``.
"""

import sys
from numbers import Integral, Real

import numpy as np

FLOATS = (np.float16, np.float32, np.float64, np.complex128)


def float_array(operation, name, value):
    """`value` as an array of a floating dtype; complex128, for complex steps, too."""
    array = value if type(value) is np.ndarray else plain_array(operation, name, value)
    if array.dtype.type not in FLOATS:
        raise TypeError(
            f"{operation}: {name} must be an array of float16, float32 or float64 "
            f"(or complex128, for derivatives), got {array.dtype}"
        )
    return array


def real_array(operation, name, value):
    """`value` as an array of a floating dtype that is not complex."""
    array = float_array(operation, name, value)
    if array.dtype.kind == "c":
        raise TypeError(f"{operation}: {name} must be real, got {array.dtype}")
    return array


def plain_array(operation, name, value):
    """`value` as an array of any dtype; rows of different lengths and masks make none."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{operation}: {name} must be a plain array, got one with a mask")
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{operation}: {name} must be an array, got a {type(value).__name__} of unequal parts"
        ) from None


def shape(operation, name, array, expected, other):
    """`array` must have the shape `expected`, which the words `other` explain."""
    if array.shape != expected:
        raise ValueError(
            f"{operation}: {name} must have shape {expected} to match {other}, got {array.shape}"
        )


def labels(operation, value, other_name, other):
    """`value` as an array of class numbers, one for each example of the array `other`."""
    array = plain_array(operation, "labels", value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{operation}: labels must be integers, got {array.dtype}")
    if array.shape != other.shape[:1]:
        words = f"{other_name} of shape {other.shape}"
        shape(operation, "labels", array, other.shape[:1], words)
    return array


def same_shape(operation, name, array, other_name, other):
    """`array` must have the shape of the array `other`."""
    if array.shape != other.shape:
        shape(operation, name, array, other.shape, f"{other_name} of shape {other.shape}")


def batch(operation, x):
    """`x` as an array of shape (N, C, *spatial) that holds at least one value per channel."""
    x = float_array(operation, "x", x)
    if x.ndim < 2:
        raise ValueError(f"{operation}: x must have shape (N, C, *spatial), got {x.shape}")
    if x.shape[0] == 0 or 0 in x.shape[2:]:
        raise ValueError(f"{operation}: x must not be empty, got shape {x.shape}")
    return x


def examples(operation, x):
    """`x` as a batch of real numbers, such as a network is given."""
    return real_array(operation, "x", batch(operation, x))


def per_channel(operation, x, **vectors):
    """Each named vector as an array of one number per channel of `x`."""
    return [_per_channel(operation, x, name, value) for name, value in vectors.items()]


def affine(operation, x, gamma, beta):
    """Gamma and beta, each None or one number per channel of `x`."""
    if gamma is not None:
        gamma = _per_channel(operation, x, "gamma", gamma)
    if beta is not None:
        beta = _per_channel(operation, x, "beta", beta)
    return gamma, beta


def _per_channel(operation, x, name, value):
    array = float_array(operation, name, value)
    if array.shape != x.shape[1:2]:
        shape(operation, name, array, x.shape[1:2], f"x of shape {x.shape}")
    return array


def numbers(operation, name, value):
    """`value` as an array of float64: real numbers, whole ones and truth values too."""
    array = plain_array(operation, name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{operation}: {name} must hold real numbers, got {array.dtype}")
    return array.astype(np.float64)


def number(operation, name, value):
    """`value` must be a finite real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{operation}: {name} must be a number, got {_described(value)}")
    if not abs(_float(value)) < np.inf:
        raise ValueError(f"{operation}: {name} must be a finite number, got {value!r}")


def positive(operation, name, value):
    """`value` must be a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, float | Real):  # the quick case first
        raise TypeError(f"{operation}: {name} must be a number above 0, got {value!r}")
    if not 0 < _float(value) < np.inf:
        raise ValueError(f"{operation}: {name} must be a number above 0, got {value!r}")


def _float(value):
    """`value` as a float; a whole number beyond its range is infinite."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def flag(operation, name, value):
    """`value` must be True or False; 0, 1 and None are too easily something else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{operation}: {name} must be True or False, got {value!r}")


def not_negative(operation, name, value):
    """`value` must be a finite number, 0 or above."""
    number(operation, name, value)
    if value < 0:
        raise ValueError(f"{operation}: {name} must not be negative, got {value!r}")


def share(operation, name, value):
    """`value` must be a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{operation}: {name} must be a number from 0 to 1, got {value!r}")
    if not 0 <= value <= 1:  # type: ignore[operator]
        raise ValueError(f"{operation}: {name} must lie in [0, 1], got {value!r}")


def count(operation, name, value, least=1):
    """`value` must be a whole number above 0, or as large as is said, that fits a machine word."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{operation}: {name} must be a whole number, got {_described(value)}")
    if int(value) < least:
        raise ValueError(f"{operation}: {name} must be at least {least}, got {value!r}")
    if int(value) > sys.maxsize:
        raise ValueError(f"{operation}: {name} must be at most {sys.maxsize}, got {value!r}")


def within(operation, name, value, low, high):
    """`value` must be a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{operation}: {name} must be a whole number, got {_described(value)}")
    if not low <= int(value) <= high:
        raise ValueError(f"{operation}: {name} must lie in {low}..{high}, got {value!r}")


def counts(operation, name, values):
    """`values` as a list of whole numbers above 0."""
    values = sequence(operation, name, values)
    for value in values:
        count(operation, f"each of {name}", value)
    return values


def sequence(operation, name, values):
    """`values` as a list."""
    try:
        return list(values)
    except TypeError:
        raise TypeError(
            f"{operation}: {name} must be a sequence, got {_described(values)}"
        ) from None


def instance(operation, name, value, kind, words):
    """`value` must be of a class, or of one of several, which the words name."""
    if not isinstance(value, kind):
        raise TypeError(f"{operation}: {name} must be {words}, got {_described(value)}")


def cache(operation, value, kind):
    """`value` must be what the forward pass of this backward pass left: a tuple of its own class.

    The forward pass is named as the operation without "_backward".
    """
    if not isinstance(value, kind):
        forward = operation.removesuffix("_backward")
        raise TypeError(
            f"{operation}: cache must be the {kind.__name__} that {forward} returned, "
            f"got {_described(value)}"
        )


def function(operation, name, value):
    """`value` must be something that can be called."""
    if not callable(value):
        raise TypeError(f"{operation}: {name} must be a function, got {_described(value)}")


def pair(operation, name, value, words):
    """`value`, which a function has returned, must be the two things that the words name."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{operation}: {name} must return {words}, got {_described(value)}")
    return value


def made(operation, name, kind, make, *arguments, **options):
    """What a class makes, or a function in its place: it must be of the class `kind`."""
    function(operation, name, make)
    try:
        result = make(*arguments, **options)
    except TypeError as error:
        raise TypeError(f"{operation}: {name} must make a {kind.__name__}, got {error}") from error
    instance(operation, f"what {name} makes", result, kind, f"of the class {kind.__name__}")
    return result


def generator(operation, name, value):
    """`value` must be a numpy.random.Generator: nothing here draws from a hidden state."""
    instance(operation, name, value, np.random.Generator, "a numpy.random.Generator")


def network(operation, value, name="network"):
    """`value` must be a layer, or a network of layers: something that has `leaves()`."""
    if isinstance(value, type) or not callable(getattr(value, "leaves", None)):
        raise TypeError(
            f"{operation}: {name} must be a layer or a network, got {_described(value)}"
        )


def dtype(operation, value):
    """`value` must be a floating dtype, or the name of one."""
    try:
        floating = np.dtype(value).type in FLOATS
    except (TypeError, ValueError):
        floating = False
    if not floating:
        raise TypeError(
            f"{operation}: dtype must be float16, float32 or float64, got {_described(value)}"
        )


def one_of(operation, name, value, known):
    """`value` must be one of the known words."""
    if not isinstance(value, str) or value not in known:
        words = ", ".join(map(repr, known))
        raise ValueError(f"{operation}: {name} must be one of {words}, got {_described(value)}")


def _described(value):
    """A number or a word as it is, of anything else its type: it may be long."""
    short = isinstance(value, str | Real) or value is None
    return repr(value) if short else type(value).__name__
