"""What a seed changes besides random numbers: sizes, and numbers that the book has chosen by hand.

Seed 0 is the book's own. Any other gives a student batches that nobody else has.
"""

import numpy as np

from bnlib import checks

MOST = 3  # examples that a batch may have more


def check_seed(checker, seed):
    """The seed of a checker must be a whole number, 0 or above, and no very long one."""
    checks.count(checker, "seed", seed, least=0)


def extra_examples(seed):
    """How many examples more a batch has than in the book.

    Examples
    --------
    >>> extra_examples(0), extra_examples(1), extra_examples(2)
    (0, 2, 1)
    """
    return int(np.random.default_rng([seed, 1]).integers(1, MOST + 1)) if seed else 0


def enlarged(cases, number):
    """Make the last case that is not square larger: `number` is added to its first size.

    A case is a size, or a tuple that begins with sizes or with a shape. Square ones stay: they find
    sums over the wrong axis that numpy refuses elsewhere.

    Examples
    --------
    >>> enlarged([((4, 2), 0.5), ((5, 3), 0.1), ((4, 4), 0.3)], 2)
    [((4, 2), 0.5), ((7, 3), 0.1), ((4, 4), 0.3)]
    """
    place = max(i for i, case in enumerate(cases) if not _is_square(case))
    return [_larger(case, number) if i == place else case for i, case in enumerate(cases)]


def other_numbers(cases, seed):
    """Cases of numbers near those of the book: counts grow a little, other numbers move.

    Examples
    --------
    >>> other_numbers([(8, 1.5)], 0), other_numbers([(8, 1.5)], 1)
    ([(8, 1.5)], [(10, 1.842)])
    """
    rng = np.random.default_rng(seed)
    return [tuple(_near(value, rng) for value in case) for case in cases] if seed else cases


def _is_square(case):
    if not isinstance(case, tuple):
        return False
    shape = case[0] if isinstance(case[0], tuple) else case[:2]
    return len(set(shape)) == 1


def _larger(case, number):
    if isinstance(case, tuple):
        return (_larger(case[0], number), *case[1:])
    return case + number


def _near(value, rng):
    if isinstance(value, int):
        return value + int(rng.integers(1, 4))
    return round(value * float(rng.uniform(0.8, 1.25)), 3)
