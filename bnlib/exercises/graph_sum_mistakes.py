"""Sum, mean, variance and repeat as one node; the letters are those of `graph_node_mistakes`."""

import numpy as np

from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.graph_node_mistakes import SIGN_FLIPPED, UPSTREAM_FORGOTTEN, Operation


def rows(v, row):
    """Repeat a row over the rows of a: along axis 0."""
    return np.broadcast_to(row, v.a.shape)


def columns(v, column):
    """Repeat along axis 1, the wrong one wherever this is used."""
    return np.broadcast_to(column[:, None], v.a.shape)


OVER_FEATURES = Mistake(
    "axes_features",
    "batch",
    "The node adds up over the columns of each row (axis 1); it adds up over the rows (axis 0).",
    ({"axis": lambda v: 1},),
)
OVER_EVERYTHING = Mistake(
    "axes_everything",
    "batch",
    "The node adds up the whole array; every column has its own number: axis 0.",
    ({"axis": lambda v: None},),
)
WRONG_REPEAT = Mistake(
    "repeated_along_wrong_axis",
    "repeat_and_sum",
    "The gradient is repeated along the wrong axis: what was added up over axis 0 is copied along "
    "axis 0.",
    ({"spread": lambda v: columns(v, v.upstream)},),
)

# The sum over axis 0.
SUM = Operation(
    {"a": "NC"},
    "C",
    {
        "axis": lambda v: 0,
        "value": lambda v: v.a.sum(axis=v.axis),
        "upstream": lambda v: v.dy,
        "spread": lambda v: rows(v, v.upstream),
        "count": lambda v: 1,
        "da": lambda v: v.spread / v.count,
    },
    (
        Mistake(
            "mean_for_sum",
            "repeat_and_sum",
            "The value is an average; it is a sum, without 1/N.",
            ({"value": lambda v: v.a.mean(axis=v.axis)},),
        ),
        OVER_FEATURES,
        OVER_EVERYTHING,
        Mistake(
            "divided_by_n",
            "repeat_and_sum",
            "The gradient is divided by N. Each number enters the sum with weight 1, so each gets "
            "all of dy: that is 1/N of a mean.",
            ({"count": lambda v: len(v.a)},),
        ),
        WRONG_REPEAT,
        UPSTREAM_FORGOTTEN,
    ),
)

# The mean over axis 0.
MEAN = Operation(
    {"a": "NC"},
    "C",
    {
        "axis": lambda v: 0,
        "value": lambda v: v.a.mean(axis=v.axis),
        "upstream": lambda v: v.dy,
        "spread": lambda v: rows(v, v.upstream),
        "count": lambda v: len(v.a),
        "da": lambda v: v.spread / v.count,
    },
    (
        Mistake(
            "mean_is_sum",
            "mean",
            "The value is a sum: divide it by N.",
            ({"value": lambda v: v.a.sum(axis=v.axis)},),
        ),
        OVER_FEATURES,
        OVER_EVERYTHING,
        Mistake(
            "share_forgotten",
            "repeat_and_sum",
            "1/N is missing in the gradient: each of the N numbers moves the mean by 1/N of its "
            "own step.",
            ({"count": lambda v: 1},),
        ),
        Mistake(
            "divided_by_columns",
            "repeat_and_sum",
            "The gradient is divided by the number of columns; the mean runs over the rows.",
            ({"count": lambda v: v.a.shape[1]},),
        ),
        Mistake(
            "divided_by_size",
            "repeat_and_sum",
            "The gradient is divided by the size of the whole array; each mean has N values.",
            ({"count": lambda v: v.a.size},),
        ),
        WRONG_REPEAT,
        UPSTREAM_FORGOTTEN,
    ),
)

# The biased variance over axis 0.
VARIANCE = Operation(
    {"a": "NC"},
    "C",
    {
        "axis": lambda v: 0,
        "deviation": lambda v: v.a - v.a.mean(axis=0),
        "value_count": lambda v: len(v.a),
        "value": lambda v: (v.deviation**2).sum(axis=v.axis) / v.value_count,
        "upstream": lambda v: v.dy,
        "spread": lambda v: rows(v, v.upstream),
        "factor": lambda v: v.a - v.a.mean(axis=0),
        "two": lambda v: 2,
        "count": lambda v: len(v.a),
        "sign": lambda v: 1,
        "da": lambda v: v.sign * v.spread * v.two * v.factor / v.count,
    },
    (
        Mistake(
            "variance_n_minus_1",
            "var",
            "The value is divided by N - 1; the biased variance is divided by N.",
            ({"value_count": lambda v: len(v.a) - 1},),
        ),
        Mistake(
            "variance_is_sum",
            "var",
            "The value is a sum of squares: divide it by N.",
            ({"value_count": lambda v: 1},),
        ),
        Mistake(
            "variance_not_centred",
            "var",
            "The value averages the squares of a; it averages those of a - mean.",
            ({"deviation": lambda v: v.a},),
        ),
        Mistake(
            "std_for_variance",
            "var",
            "The value is the standard deviation; the variance is its square.",
            ({"value": lambda v: np.sqrt((v.deviation**2).sum(axis=v.axis) / v.value_count)},),
        ),
        OVER_EVERYTHING,
        Mistake(
            "axes_features",
            "batch",
            "The variance is taken along each row (axis 1); it is taken over the rows (axis 0).",
            ({"value": lambda v: v.a.var(axis=1)},),
        ),
        Mistake(
            "two_forgotten",
            "dvar",
            "The gradient is half of what it should be: a square has the slope 2 (a - mean).",
            ({"two": lambda v: 1},),
        ),
        Mistake(
            "share_forgotten",
            "dvar",
            "1/N is missing in the gradient: the variance is an average of squares.",
            ({"count": lambda v: 1},),
        ),
        Mistake(
            "divided_by_n_minus_1",
            "dvar",
            "The gradient is divided by N - 1, and the value by N.",
            ({"count": lambda v: len(v.a) - 1},),
        ),
        Mistake(
            "factor_not_centred",
            "dvar",
            "The gradient has a where a - mean belongs.",
            ({"factor": lambda v: v.a},),
        ),
        Mistake(
            "factor_forgotten",
            "dvar",
            "a - mean is missing in the gradient: the slope of a square depends on where it is.",
            ({"factor": lambda v: 1},),
        ),
        SIGN_FLIPPED,
        WRONG_REPEAT,
        UPSTREAM_FORGOTTEN,
    ),
)

# N copies of a row, one below the other.
REPEAT = Operation(
    {"a": "C"},
    "NC",
    {
        "value": lambda v: np.broadcast_to(v.a, (v.n, len(v.a))),
        "upstream": lambda v: v.dy,
        "axis": lambda v: 0,
        "count": lambda v: 1,
        "da": lambda v: v.upstream.sum(axis=v.axis) / v.count,
    },
    (
        Mistake(
            "repeated_along_wrong_axis",
            "repeat_and_sum",
            "The value is repeated along axis 1; the copies lie below each other, along axis 0.",
            ({"value": lambda v: np.broadcast_to(v.a[:, None], (len(v.a), v.n))},),
        ),
        Mistake(
            "copies_averaged",
            "repeat_and_sum",
            "The gradients of the copies are averaged; they add up, since each copy does its part.",
            ({"count": lambda v: v.n},),
        ),
        Mistake(
            "one_copy_only",
            "repeat_and_sum",
            "The gradient is that of the first copy alone; those of all copies add up.",
            ({"da": lambda v: v.upstream[0]},),
        ),
        Mistake(
            "axes_features",
            "repeat_and_sum",
            "The gradient adds up along axis 1; the copies lie along axis 0.",
            ({"axis": lambda v: 1},),
        ),
        UPSTREAM_FORGOTTEN,
    ),
    ("n",),
)
