"""Graph operations to be written as one node: value, gradient, and the mistakes in either.

The letters are those of the checker: a and b are the inputs, `value` is the node's, dy arrives, da
and db leave. N is the number of rows.
"""

from typing import NamedTuple

import numpy as np

from bnlib.exercises.diagnosis import Formula, Mistake


class Operation(NamedTuple):
    """What is to be written.

    Attributes
    ----------
    shapes : dict of str to str
        The inputs, and their shapes in letters.
    value : str
        The shape of the value, in the same letters.
    steps : dict of str to callable
    mistakes : tuple of Mistake
    settings : tuple of str
        Further arguments that are plain numbers, not nodes.
    """

    shapes: dict[str, str]
    value: str
    steps: dict[str, Formula]
    mistakes: tuple[Mistake, ...]
    settings: tuple[str, ...] = ()


UPSTREAM_FORGOTTEN = Mistake(
    "upstream_forgotten",
    "chain",
    "dy plays no part in the backward side: it multiplies the slope, whatever the slope is.",
    ({"upstream": lambda v: np.ones_like(v.dy)},),
)
SLOPE_FORGOTTEN = Mistake(
    "slope_forgotten",
    "chain",
    "The gradient passes unchanged: dy has to be multiplied by the slope of the operation.",
    ({"slope": lambda v: 1},),
)
SIGN_FLIPPED = Mistake(
    "sign_flipped",
    "chain",
    "The gradient has the wrong sign.",
    ({"sign": lambda v: -1},),
)
# The square root of each number.
SQRT = Operation(
    {"a": "NC"},
    "NC",
    {
        "value": lambda v: v.a**0.5,
        "upstream": lambda v: v.dy,
        "half": lambda v: 0.5,
        "power": lambda v: -0.5,
        "sign": lambda v: 1,
        "slope": lambda v: v.half * v.a**v.power,
        "da": lambda v: v.sign * v.upstream * v.slope,
    },
    (
        Mistake(
            "inverse_for_root",
            "operation",
            "The value is one over the root; it is the root.",
            ({"value": lambda v: v.a**-0.5},),
        ),
        Mistake(
            "half_forgotten",
            "dvar",
            "The gradient is twice what it should be: the exponent 1/2 of the root comes down.",
            ({"half": lambda v: 1},),
        ),
        Mistake(
            "exponent_not_lowered",
            "dvar",
            "The gradient has the root above the line; it stands below: 1/2 a^(-1/2).",
            ({"power": lambda v: 0.5},),
        ),
        Mistake(
            "exponent_wrong",
            "dvar",
            "The gradient has the wrong power of a: the slope of a^(1/2) is 1/2 a^(-1/2).",
            ({"power": lambda v: -1}, {"power": lambda v: -1.5}, {"power": lambda v: 0}),
        ),
        SIGN_FLIPPED,
        SLOPE_FORGOTTEN,
        UPSTREAM_FORGOTTEN,
    ),
)

# One over the square root of each number.
INVERSE_ROOT = Operation(
    {"a": "NC"},
    "NC",
    {
        "value": lambda v: v.a**-0.5,
        "upstream": lambda v: v.dy,
        "half": lambda v: 0.5,
        "power": lambda v: -1.5,
        "sign": lambda v: 1,
        "slope": lambda v: -v.half * v.a**v.power,
        "da": lambda v: v.sign * v.upstream * v.slope,
    },
    (
        Mistake(
            "root_for_inverse",
            "operation",
            "The value is the root; it is one over the root.",
            ({"value": lambda v: v.a**0.5},),
        ),
        Mistake(
            "root_forgotten",
            "operation",
            "The value is 1/a; it is one over the root of a.",
            ({"value": lambda v: 1 / v.a},),
        ),
        Mistake(
            "half_forgotten",
            "dvar",
            "The gradient is twice what it should be: the exponent -1/2 comes down, with its 1/2.",
            ({"half": lambda v: 1},),
        ),
        Mistake(
            "exponent_not_lowered",
            "dvar",
            "The gradient has a^(-1/2); the exponent goes down by one, to -3/2.",
            ({"power": lambda v: -0.5},),
        ),
        Mistake(
            "exponent_wrong",
            "dvar",
            "The gradient has the wrong power of a: the slope of a^(-1/2) is -1/2 a^(-3/2).",
            ({"power": lambda v: -1}, {"power": lambda v: 0.5}, {"power": lambda v: -2}),
        ),
        SIGN_FLIPPED,
        SLOPE_FORGOTTEN,
        UPSTREAM_FORGOTTEN,
    ),
)

# A times b, elementwise.
MUL = Operation(
    {"a": "NC", "b": "NC"},
    "NC",
    {
        "value": lambda v: v.a * v.b,
        "upstream": lambda v: v.dy,
        "slope": lambda v: v.b,
        "other_slope": lambda v: v.a,
        "da": lambda v: v.upstream * v.slope,
        "db": lambda v: v.upstream * v.other_slope,
    },
    (
        Mistake(
            "sum_for_product",
            "operation",
            "The value is a + b; it is a times b.",
            ({"value": lambda v: v.a + v.b},),
        ),
        Mistake(
            "inputs_swapped",
            "operation",
            "The two gradients have changed places: a gets dy times b, and b gets dy times a.",
            ({"slope": lambda v: v.a, "other_slope": lambda v: v.b},),
        ),
        Mistake(
            "own_factor",
            "operation",
            "This gradient is dy times the input itself; it is dy times the other one.",
            ({"slope": lambda v: v.a}, {"other_slope": lambda v: v.b}),
        ),
        Mistake(
            "slope_forgotten",
            "chain",
            "The gradient passes unchanged, as through a sum: dy is multiplied by the other input.",
            (
                {"slope": lambda v: 1, "other_slope": lambda v: 1},
                {"slope": lambda v: 1},
                {"other_slope": lambda v: 1},
            ),
        ),
        UPSTREAM_FORGOTTEN,
    ),
)

# The matrix product a @ b.
MATMUL = Operation(
    {"a": "NC", "b": "CM"},
    "NM",
    {
        "value": lambda v: v.a @ v.b,
        "upstream": lambda v: v.dy,
        "da": lambda v: v.upstream @ v.b.T,
        "db": lambda v: v.a.T @ v.upstream,
    },
    (
        Mistake(
            "factors_swapped",
            "operation",
            "The value is b @ a; it is a @ b.",
            ({"value": lambda v: v.b @ v.a},),
        ),
        Mistake(
            "not_transposed",
            "operation",
            "A transpose is missing: the gradients are dy @ b.T and a.T @ dy, as their shapes say.",
            (
                {"da": lambda v: v.upstream @ v.b, "db": lambda v: v.a @ v.upstream},
                {"da": lambda v: v.upstream @ v.b},
                {"db": lambda v: v.a @ v.upstream},
            ),
        ),
        Mistake(
            "product_turned_round",
            "operation",
            "The factors stand in the wrong order: the gradients are dy @ b.T and a.T @ dy.",
            (
                {"da": lambda v: v.b.T @ v.upstream, "db": lambda v: v.upstream @ v.a.T},
                {"da": lambda v: v.b.T @ v.upstream},
                {"db": lambda v: v.upstream @ v.a.T},
            ),
        ),
        Mistake(
            "result_transposed",
            "operation",
            "The gradient is transposed: it has the shape of the input that it belongs to.",
            (
                {"da": lambda v: (v.upstream @ v.b.T).T},
                {"db": lambda v: (v.a.T @ v.upstream).T},
            ),
        ),
        Mistake(
            "inputs_swapped",
            "operation",
            "The two gradients have changed places.",
            ({"da": lambda v: v.a.T @ v.upstream, "db": lambda v: v.upstream @ v.b.T},),
        ),
        UPSTREAM_FORGOTTEN,
    ),
)
