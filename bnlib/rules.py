"""Rules: what a claim needs, in numbers, written before its results.

`bnlib.verdicts` judges by them. Chapter `how_we_measure`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np

from bnlib import checks

WANTED = ("more", "less", "same", "not less", "not more", "most", "few")
DOWNWARDS = ("less", "not more", "few")
COUNTS = ("most", "few")


@dataclass(frozen=True)
class Contrast:
    """One question about arms; its number for a seed is the weighted sum of their values.

    Attributes
    ----------
    name : str
        What a table shows, at most some 30 characters: "BN - plain, tuned rate".
    measure : str
        What was measured of each arm: "test accuracy".
    weights : Mapping of str to float
        A weight for each arm: `{"BN": 1, "plain": -1}` is the difference.
    wanted : str
        "more" or "less" than 0 by at least `smallest`; "same": within ± `smallest`; "not less" than
        -`smallest`; "not more" than `smallest`. "most" and "few" are about values of 0 and 1 of a
        single arm of weight 1: the share of seeds with a 1 is above, or below, `smallest`.
    smallest : float
        The smallest effect that matters, the margin, or that share (usually 0.5).
    scale : str
        "log": the weights apply to the logarithm of the values, so that `{"BN": 1, "plain": -1}` is
        a ratio; `smallest` is then a ratio above 1, such as 1.25 ("less": at most 1 / 1.25).

    Raises
    ------
    TypeError
        For fields of another kind.
    ValueError
        For fields that do not fit together.
    """

    name: str
    measure: str
    weights: Mapping[str, float]
    wanted: str
    smallest: float
    scale: str = "linear"

    def __post_init__(self):
        """Refuse what no data could answer."""
        for field_name, known in (("wanted", WANTED), ("scale", ("linear", "log"))):
            got = getattr(self, field_name)
            if not isinstance(got, str) or got not in known:
                raise ValueError(
                    f"Contrast: {field_name} of {self.name!r} must be one of "
                    f"{', '.join(known)}, got {got!r}"
                )
        checks.instance("Contrast", "weights", self.weights, Mapping, "a dict of numbers")
        for arm, weight in self.weights.items():
            checks.instance("Contrast", f"the weight of {arm!r}", weight, Real, "a number")
        checks.instance("Contrast", "smallest", self.smallest, Real, "a number")
        within = (abs(weight) <= sys.float_info.max for weight in self.weights.values())
        if not self.weights or not all(within):
            raise ValueError(
                f"Contrast: weights of {self.name!r} must give each arm a finite number, "
                f"got {self.weights}"
            )
        if self.wanted in COUNTS and (list(self.weights.values()), self.scale) != ([1], "linear"):
            raise ValueError(
                f"Contrast: {self.name!r} counts seeds and must have a single arm of weight 1 and "
                f"scale 'linear', got {self.weights} and {self.scale!r}"
            )
        zero = float(self.scale == "log")  # what "no effect" is
        if self.wanted in COUNTS:
            fits, asked = 0 < self.smallest < 1, "lie between 0 and 1"
        elif self.wanted in ("more", "less"):
            fits, asked = zero <= self.smallest < np.inf, f"be at least {zero:g}"
        else:
            fits, asked = zero < self.smallest < np.inf, f"lie above {zero:g}"
        if not fits:
            raise ValueError(
                f"Contrast: smallest of {self.name!r} must {asked}, got {self.smallest}"
            )

    def upwards(self, numbers):
        """Turn numbers so that more is better."""
        return -numbers if self.wanted in DOWNWARDS else numbers

    def target(self):
        """Return what numbers that are turned upwards must reach; for "same" the margin."""
        smallest = np.log(self.smallest) if self.scale == "log" else self.smallest
        return -smallest if self.wanted in ("not less", "not more", "few") else smallest


@dataclass(frozen=True)
class Rule:
    """How a measured claim is judged, written before its results.

    Attributes
    ----------
    claim : str
        Its id, "C01" to "C46".
    says : str
        The rule in one or two plain sentences, for the ledger and the page.
    needs : tuple of Contrast
        The claim as it is worded.
    at_least : int, optional
        How many of `needs` must be answered yes; None: all.
    when : Mapping of str to tuple of Contrast
        Conditions that were listed beforehand: if the wording is not met, the claim holds when
        <key> for each key whose contrasts are all answered yes.
    part : str
        Which part of the claim, for claims with several verdicts.

    Raises
    ------
    TypeError
        For fields of another kind.
    ValueError
        Without contrasts, for a condition without contrasts, or an impossible `at_least`.
    """

    claim: str
    says: str
    needs: tuple[Contrast, ...]
    at_least: int | None = None
    when: Mapping[str, tuple[Contrast, ...]] = field(default_factory=dict)
    part: str = ""

    def __post_init__(self):
        """Refuse what no findings could satisfy."""
        checks.instance("Rule", "when", self.when, Mapping, "a dict of contrasts")
        for contrasts in (self.needs, *self.when.values()):
            checks.instance("Rule", "needs and each condition", contrasts, tuple, "a tuple")
            for contrast in contrasts:
                checks.instance("Rule", "each need", contrast, Contrast, "a Contrast")
        if not self.needs or not all(self.when.values()):
            raise ValueError(
                f"Rule: {self.claim} needs at least one contrast, and one per condition, got "
                f"{len(self.needs)} and {[len(own) for own in self.when.values()]}"
            )
        if self.at_least is not None:
            checks.instance("Rule", "at_least", self.at_least, Integral, "a whole number")
        if self.at_least is not None and not 1 <= self.at_least <= len(self.needs):
            raise ValueError(
                f"Rule: at_least of {self.claim} must lie in 1..{len(self.needs)}, "
                f"got {self.at_least}"
            )
