"""Checks of plain numbers, and of arrays that are counted or compared instead of trained on.

They stand beside `checks` because every result in `results/` depends on that whole file.
"""

from numbers import Real

import numpy as np

from bnlib.checks import _array, _described, _float


def numbers(operation, name, value):
    """`value` as an array of float64: real numbers, whole ones and truth values too."""
    array = _array(operation, name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{operation}: {name} must hold real numbers, got {array.dtype}")
    return array.astype(np.float64)


def number(operation, name, value):
    """`value` must be a finite real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{operation}: {name} must be a number, got {_described(value)}")
    if not abs(_float(value)) < np.inf:
        raise ValueError(f"{operation}: {name} must be a finite number, got {value!r}")
