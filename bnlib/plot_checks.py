"""What a drawing asks of its arguments, before it draws; each check fails with one sentence.

Here is the line between bnlib and matplotlib. Asked are the numbers that are drawn and their
shapes, names and labels, colours, scales, ends of an axis, dashes and markers, the size of a
figure, and whether `ax` is an Axes; so that a call that raises leaves those axes as they were.
Not asked are the options that `panels` hands on as they are: matplotlib tells about those.

A number that is not finite is a gap in a line, as matplotlib has it. One above LARGEST has no
place on an axis.
"""

import sys

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bnlib import checks

SCALES = ("linear", "log", "symlog")
DASHES = ("-", "--", ":", "-.")
LARGEST = 1e150  # matplotlib squares distances
MOST = 1000  # names, frames, panels of one figure: beyond, it is a mistake and not a drawing


def word(operation, name, value):
    """`value` must be text."""
    checks.instance(operation, name, value, str, "text")
    return value


def words(operation, name, values, length=None, *, least=1):
    """`values` as a list of texts, of that length if it is given; one text is no list."""
    if isinstance(values, str):
        raise TypeError(f"{operation}: {name} must be a sequence of texts, got {values!r}")
    values = checks.sequence(operation, name, values)
    for value in values:
        word(operation, f"each of {name}", value)
    if not least <= len(values) <= MOST:
        raise ValueError(f"{operation}: {name} must be {least} to {MOST} texts, got {len(values)}")
    if length is not None and len(values) != length:
        raise ValueError(f"{operation}: {name} must be {length} texts, got {len(values)}")
    return values


def scale(operation, name, value):
    """`value` must be the name of a scale."""
    checks.one_of(operation, name, value, SCALES)


def ends(operation, name, value):
    """`value` must be two finite numbers, the smaller first: the ends of an axis."""
    pair = checks.sequence(operation, name, value)
    if len(pair) != 2:
        raise ValueError(f"{operation}: {name} must be two numbers, got {len(pair)} things")
    for end in pair:
        size(operation, f"each of {name}", end)
    if not pair[0] < pair[1]:
        raise ValueError(f"{operation}: {name} must be two numbers that grow, got {tuple(pair)}")


def positive_ends(operation, name, value):
    """`value` must be two finite numbers above 0, the smaller first: those of a log axis."""
    ends(operation, name, value)
    if not min(value) > 0:
        raise ValueError(f"{operation}: {name} must be two numbers above 0, got {tuple(value)}")


def size(operation, name, value):
    """`value` must be a number that has a place on an axis."""
    checks.number(operation, name, value)
    if not isinstance(value, int | float | np.number):
        raise TypeError(f"{operation}: {name} must be an int or a float, got {value!r}")
    if not abs(float(value)) <= (sys.maxsize if isinstance(value, int) else LARGEST):
        raise ValueError(f"{operation}: {name} must be at most {LARGEST:g} in size, got {value!r}")


def length(operation, name, value):
    """`value` must be a number above 0 that has a place on an axis."""
    checks.positive(operation, name, value)
    size(operation, name, value)


def _ends_if_given(operation, name, value):
    if value is not None:
        ends(operation, name, value)


def _axes_if_given(operation, name, value):
    if value is not None:
        checks.instance(operation, name, value, Axes, "matplotlib axes")


# An argument of one of these names is the same thing in every drawing.
LOOKS = {
    **dict.fromkeys(("xlabel", "ylabel", "title", "within", "beyond"), word),
    **dict.fromkeys(("xscale", "yscale", "scale"), scale),
    **dict.fromkeys(("xlim", "ylim"), _ends_if_given),
    "ax": _axes_if_given,
}


def look(operation, **arguments):
    """How a drawing shall look: each argument must be what its name in `LOOKS` says."""
    for name, value in arguments.items():
        LOOKS[name](operation, name, value)


def dash(operation, name, value):
    """`value` must be one of matplotlib's dashes."""
    checks.one_of(operation, name, value, DASHES)
    return value


def marker(operation, name, value):
    """`value` must be one of matplotlib's markers, such as "o"."""
    if not isinstance(value, str) or value not in Line2D.markers:
        raise ValueError(f"{operation}: {name} must be a marker, such as 'o', got {value!r}")
    return value


def numbers(operation, name, value, *shape, finite=False):
    """`value` as an array of real numbers of that shape: a number is a length, a letter any.

    Truth values become 0.0 and 1.0, of which there are differences; shorter floats than float32
    and longer ones than float64, for which there is no linear algebra, become float64.
    """
    array = checks.plain_array(operation, name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{operation}: {name} must hold real numbers, got {array.dtype}")
    if shape and not _fits(array.shape, shape):
        told = f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
        raise ValueError(f"{operation}: {name} must have shape {told}, got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{operation}: {name} must not be empty, got shape {array.shape}")
    with np.errstate(invalid="ignore", over="ignore"):  # LARGEST is infinite in float32
        large = np.isfinite(array) & ~(np.abs(array) <= LARGEST)
    if large.any():
        number = array[large].flat[0]
        raise ValueError(
            f"{operation}: {name} must hold numbers of at most {LARGEST:g}, got {number:g}"
        )
    if finite and not np.isfinite(array).all():
        raise ValueError(f"{operation}: {name} must hold finite numbers, got NaN or infinity")
    kind, width = array.dtype.kind, array.dtype.itemsize
    odd = kind == "b" or (kind == "f" and width not in (4, 8))
    return array.astype(np.float64) if odd else array


def _fits(shape, expected):
    return len(shape) == len(expected) and all(
        isinstance(wanted, str) or own == wanted
        for own, wanted in zip(shape, expected, strict=True)
    )


def table(operation, name, value, asked, *expected, least=1):
    """`value` as a dict by text, of which each entry is what `asked` makes of it.

    `asked` is called with the operation, the name of the entry, as in "series['plain']", the entry,
    and whatever is expected of it.
    """
    checks.instance(operation, name, value, dict, "a dict by text")
    if not least <= len(value) <= MOST:
        raise ValueError(
            f"{operation}: {name} must have {least} to {MOST} entries, got {len(value)}"
        )
    for key in value:
        word(operation, f"each key of {name}", key)
    return {
        key: asked(operation, f"{name}[{key!r}]", entry, *expected) for key, entry in value.items()
    }


def vector(operation, name, value, length, *, finite=False):
    """`value` as an array of that many real numbers, along whatever axes."""
    array = numbers(operation, name, value, finite=finite).ravel()
    if len(array) != length:
        raise ValueError(f"{operation}: {name} must be {length} numbers, got {len(array)}")
    return array


def edges(operation, name, value):
    """`value` as an array of finite numbers that grow: where bins end."""
    array = numbers(operation, name, value, "K", finite=True)
    if len(array) < 2 or not (np.diff(array) > 0).all():
        raise ValueError(f"{operation}: {name} must be two or more numbers that grow, got {value}")
    return array


def rows(operation, name, value, length):
    """`value` as an array of shape (length,) or (rows, length): one line, or a line per seed."""
    array = numbers(operation, name, value)
    if array.ndim not in (1, 2) or array.shape[-1] != length:
        raise ValueError(
            f"{operation}: {name} must have shape ({length},) or (seeds, {length}) to match x, "
            f"got {array.shape}"
        )
    return array


def classes(operation, name, value):
    """`value` as a vector of class numbers: whole, 0 or above."""
    array = numbers(operation, name, value, "K")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{operation}: {name} must hold whole numbers, got {array.dtype}")
    if array.min() < 0 or array.max() > MOST:
        raise ValueError(
            f"{operation}: {name} must lie in 0..{MOST}, got {array.min()} to {array.max()}"
        )
    return array


def parts(operation, name, value, count, words):
    """`value` as a list of so many things, which the words name."""
    values = checks.sequence(operation, name, value)
    if isinstance(value, str | bytes) or len(values) != count:
        raise ValueError(f"{operation}: {name} must be {words}, got {value!r}")
    return values


def members(operation, name, values, kind):
    """`values` as a list of things of one class."""
    values = checks.sequence(operation, name, values)
    for value in values:
        checks.instance(operation, f"each of {name}", value, kind, f"a {kind.__name__}")
    return values


def amount(operation, name, value):
    """`value` must be text, or a number of 0 or above: the length of a bar."""
    if not isinstance(value, str):
        size(operation, name, value)
        checks.not_negative(operation, name, value)
    return value


def has(operation, name, value, keys):
    """The dict `value` must have an entry for each of the keys."""
    missing = [key for key in keys if key not in value]
    if missing:
        raise ValueError(
            f"{operation}: {name} must have an entry for {missing[0]!r}, got {list(value)}"
        )


def at_most(operation, name, value, most):
    """The dict `value` must not have more entries than can be told apart."""
    if len(value) > most:
        raise ValueError(f"{operation}: {name} must have at most {most} entries, got {len(value)}")
