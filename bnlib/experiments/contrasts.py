"""Short names for the contrasts that most rules are made of."""

from itertools import takewhile

from bnlib.verdicts import Contrast

POINT = 0.01  # the smallest difference in accuracy that matters: one point
QUARTER = 1.25  # the smallest ratio that matters: a quarter more


def difference(more, less, measure, *, smallest=POINT, wanted="more"):
    """`more` minus `less`, within each seed.

    Examples
    --------
    >>> difference("relu 3 batch norm", "relu 3 plain", "test accuracy").name
    'batch norm - plain, relu 3'
    """
    name = _versus(more, "-", less)
    return Contrast(name, measure, {more: 1.0, less: -1.0}, wanted, smallest)


def ratio(more, less, measure, *, smallest=QUARTER, wanted="more"):
    """`more` over `less`, within each seed.

    Examples
    --------
    >>> ratio("plain", "BN", "steps").scale
    'log'
    """
    name = _versus(more, "/", less)
    return Contrast(name, measure, {more: 1.0, less: -1.0}, wanted, smallest, "log")


def most(arm, measure):
    """More than half of the seeds: `measure` is 1 or 0 in each.

    Examples
    --------
    >>> most("BN", "trains").wanted
    'most'
    """
    return Contrast(f"{arm} {measure}", measure, {arm: 1.0}, "most", 0.5)


def few(arm, measure):
    """Less than half of the seeds: `measure` is 1 or 0 in each.

    Examples
    --------
    >>> few("plain", "trains").wanted
    'few'
    """
    return Contrast(f"{arm} {measure}", measure, {arm: 1.0}, "few", 0.5)


def interaction(pair, other, measure, *, smallest=0.0, scale="linear"):
    """How much more the first difference is than the second, within each seed.

    Examples
    --------
    >>> interaction(("BN", "plain"), ("BN std", "std"), "area").weights
    {'BN': 1.0, 'plain': -1.0, 'BN std': -1.0, 'std': 1.0}
    """
    (a, b), (c, d) = pair, other
    sign = "/" if scale == "log" else "-"
    name = f"({_versus(a, sign, b)}) {sign} ({_versus(c, sign, d)})"
    weights = {a: 1.0, b: -1.0}
    for arm, weight in ((c, -1.0), (d, 1.0)):
        weights[arm] = weights.get(arm, 0.0) + weight
    return Contrast(name, measure, weights, "more", smallest, scale)


def _versus(first, sign, second):
    """Name a pair of arms; what both names begin or end with is said once, at the end."""
    a, b = first.split(), second.split()
    start = _in_common(a, b)
    end = _in_common(a[start:][::-1], b[start:][::-1])
    shared = " ".join(a[:start] + a[len(a) - end :])
    parts = [" ".join(words[start : len(words) - end]) or "itself" for words in (a, b)]
    return f" {sign} ".join(parts) + (f", {shared}" if shared else "")


def _in_common(these, those):
    """How many items two lists begin with alike."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(these, those, strict=False))))
