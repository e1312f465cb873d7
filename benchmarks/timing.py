"""The clock that all questions share: contestants take turns, and only ratios leave this file.

Time is that of the processor (`time.process_time`, all threads of this process, of which each
contestant is given one), so that a busy machine lengthens a sample less than it would by the clock
on the wall. What remains, caches and memory that others use, comes and goes for seconds: therefore
everybody runs in every round, and a ratio is taken within a round.
"""

import time
from typing import NamedTuple

import numpy as np


class Ratio(NamedTuple):
    """Time of one contestant divided by another's: the median over rounds, and its quartiles."""

    median: float
    low: float
    high: float


class Answer(NamedTuple):
    """What a question found.

    Attributes
    ----------
    title, note : str
        The question, and what must be known to read the rows.
    rows : dict
        Case (a shape, say) to contestant to `Ratio` or number.
    lines : bool
        Whether the rows are sizes, whose values a line may join.
    axis : str
        What the values are.
    """

    title: str
    note: str
    rows: dict
    lines: bool = False
    axis: str = "time / PyTorch's"


def settle():
    """Bring the allocator to where a program that runs for a while has it.

    glibc maps and unmaps every large array anew, at the price of a page fault for each 4 KB, until
    a large block has been freed once. Whoever comes first would pay for all.
    """
    np.empty(31 * 2**20, np.uint8)


def race(contestants, *, rounds=11, sample=0.01):
    """Let functions without arguments take turns.

    Parameters
    ----------
    contestants : dict of str to callable
    rounds : int
        Everybody runs once in each, in rotating order.
    sample : float
        Processor seconds that one sample should last at least: so many calls are made.

    Returns
    -------
    dict of str to ndarray of shape (rounds,)
        Seconds per call.
    """
    settle()
    calls = {}
    for name, call in contestants.items():
        call()  # compiles
        call()
        calls[name] = max(1, int(sample / max(_seconds(call, 1), 1e-7)))
    samples = {name: np.empty(rounds) for name in contestants}
    order = list(contestants)
    for turn in range(rounds):
        for name in order:
            samples[name][turn] = _seconds(contestants[name], calls[name])
        order.append(order.pop(0))
    return samples


def ratios(samples, reference, scale=1.0):
    """Each contestant's time in units of `scale` times the reference's, within each round."""
    return {
        name: Ratio(*np.percentile(own / (scale * samples[reference]), [50, 25, 75]).tolist())
        for name, own in samples.items()
        if name != reference
    }


def _seconds(call, calls):
    start = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - start) / calls
