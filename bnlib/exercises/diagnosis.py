"""From wrong numbers to the mistake behind them.

A derivation is written once, as named steps in the order of the chapter; a mistake is the same
derivation with a step or two replaced. If the replaced steps give the reader's wrong numbers on
every made-up batch, then that is what the reader did.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from types import SimpleNamespace
from typing import Any

import numpy as np

Formula = Callable[[Any], Any]

# Relative to the largest number of an array. Two correct float64 computations agree to EXACT on
# these small batches; with float32 or finite differences inside they still agree to CLOSE.
EXACT, CLOSE = 1e-9, 3e-6
NOTHING = 1e-3  # the batches are made of numbers near 1; an array below this is all but zero


@dataclass(frozen=True, eq=False)
class Mistake:
    """A mistake of a catalogue.

    Attributes
    ----------
    name : str
    where : str
        The step of the derivation to go back to, a key of `POINTERS`.
    sentence : str
        What is wrong, said to the reader.
    ways : tuple of dict
        Each a way of making the mistake: the steps that it replaces.
    images_only : bool
        Whether it cannot be told from the right answer, or makes no sense, for shape (N, C).
    """

    name: str
    where: str
    sentence: str
    ways: tuple[dict[str, Formula], ...]
    images_only: bool = False


def follow(steps, given, replaced=None):
    """Compute all steps from the given values, some of the steps replaced.

    Examples
    --------
    >>> steps = {"twice": lambda v: 2 * v.x, "result": lambda v: v.twice + 1}
    >>> follow(steps, {"x": 3}).result
    7
    >>> follow(steps, {"x": 3}, {"twice": lambda v: v.x}).result
    4
    """
    v = SimpleNamespace(**given)
    for name, formula in steps.items():
        setattr(v, name, (replaced or {}).get(name, formula)(v))
    return v


def suspects(mistakes) -> Iterator[tuple[tuple[Mistake, ...], dict[str, Formula]]]:
    """Yield every mistake alone, then every two that replace different steps."""
    for mistake in mistakes:
        for way in mistake.ways:
            yield (mistake,), way
    for one, two in combinations(mistakes, 2):
        for first, second in product(one.ways, two.ways):
            if not first.keys() & second.keys():
                yield (one, two), {**first, **second}


def outcomes(steps, outputs, batch, replaced):
    """Outputs under replaced steps; None where numpy refuses, as it then refuses the reader."""
    try:
        with np.errstate(all="ignore"):
            v = follow(steps, batch, replaced)
    except (ValueError, IndexError):
        return [None] * len(outputs)
    return [np.asarray(getattr(v, output)) for output in outputs]


def explain(steps, mistakes, batches, got):
    """Return the one or two mistakes that give the reader's numbers on every batch, or None.

    `got` has for each output that is to be explained a list: its array (or None) on each batch. A
    suspect that agrees to the last digits is preferred to one that agrees as float32 would.
    """

    def fits(replaced, tolerance):
        return all(
            same(mine[number], theirs, tolerance)
            for number, batch in enumerate(batches)
            for mine, theirs in zip(
                got.values(), outcomes(steps, got, batch, replaced), strict=True
            )
        )

    nearly = None
    for named, replaced in suspects(mistakes):
        if fits(replaced, CLOSE):
            if fits(replaced, EXACT):
                return named
            nearly = nearly or named
    return nearly


def same(got, expected, tolerance=CLOSE):
    """Whether two arrays agree, NaN with NaN; None, a failure, agrees with None alone."""
    if got is None or expected is None:
        return got is expected
    if got.shape != expected.shape:
        return False
    return np.allclose(got, expected, rtol=0, atol=tolerance * scale(expected), equal_nan=True)


def scale(array):
    """The largest finite number of an array, by size; never so small as a rounding error."""
    return max(np.abs(array[np.isfinite(array)]).max(initial=0), NOTHING)
