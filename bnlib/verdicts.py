"""Verdicts: holds, holds when …, does not hold here, not resolved here; none is written by hand.

A *shown* claim is judged by named checks that its chapter computes. A *measured* claim is judged by
a `Rule`, written before its results: contrasts between arms, each with a direction and the smallest
effect that matters. `judge` answers all contrasts of one chapter as a family: a contrast can only
win by Holm's adjusted p-value, and only lose by its simultaneous interval. The line that either
prints last is what the ledger page reads.
"""

import textwrap
from collections.abc import Mapping
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from bnlib import checks
from bnlib.intervals import (
    Interval,
    bootstrap_interval,
    holm,
    p_above,
    p_share_above,
    paired_interval,
    wilson_interval,
)
from bnlib.rules import COUNTS, DOWNWARDS, Contrast, Rule

__all__ = [
    "Contrast",
    "Finding",
    "Interval",
    "Rule",
    "Verdict",
    "bootstrap_interval",
    "holm",
    "judge",
    "paired_interval",
    "shown",
    "verdict",
    "wilson_interval",
]

ALPHA = 0.05
WIDTH = 79
# What is smaller than its terms by this factor is their rounding, and no effect.
ROUNDING = 1e-14
# An effect of exactly the smallest size must not fail by its rounding.
TIE = 1e-9


class Finding(NamedTuple):
    """The answer to one contrast.

    Attributes
    ----------
    contrast : Contrast
    interval : Interval
        Simultaneous over the family; of a ratio on the log scale, of a share for "most" and "few".
    p : float
        Adjusted by Holm over the family.
    answer : str
        "yes", "no" or "open".
    seeds : int
    """

    contrast: Contrast
    interval: Interval
    p: float
    answer: str
    seeds: int


class Verdict(NamedTuple):
    """A judged rule; `print` shows its table and, last, the line that the ledger reads.

    Attributes
    ----------
    rule : Rule
    verdict : str
        "holds", "holds when …", "does not hold here" or "not resolved here".
    needs : tuple of Finding
        For the rule's `needs`, in their order.
    when : Mapping of str to tuple of Finding
        The same for its conditions.
    family : int
        How many different contrasts were answered together.
    """

    rule: Rule
    verdict: str
    needs: tuple[Finding, ...]
    when: Mapping[str, tuple[Finding, ...]]
    family: int

    def __str__(self):
        findings = [*self.needs, *chain(*self.when.values())]
        rows = iter(_table(findings))  # of which the first is the header
        lines = [*chain(*islice(rows, 1 + len(self.needs)))]
        for condition, own in self.when.items():
            lines += [f"(when {condition})", *chain(*islice(rows, len(own)))]
        if self.rule.at_least is not None:
            yes = sum(finding.answer == "yes" for finding in self.needs)
            lines.append(f"{yes} of {len(self.needs)} said yes, at least {self.rule.at_least} must")
        seeds = sorted({finding.seeds for finding in findings})
        number = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
        lines.append(f"{number} seeds; intervals simultaneous over a family of {self.family}")
        lines.append(_line(self.rule.claim, self.rule.part, self.verdict))
        return "\n".join(lines)


def shown(claim, checks, when=None, *, part=""):
    """Judge a claim by exact checks and print the verdict.

    Parameters
    ----------
    claim : str
        Its id, "C01" to "C46".
    checks : dict of str to bool
        The claim as it is worded, check by check. All true: it holds.
    when : dict of str to dict of str to bool, optional
        Conditions that were listed beforehand, each with its own checks. If the wording fails, the
        claim holds under those conditions whose checks are all true.
    part : str
        Which part of the claim, for claims with several verdicts.

    Returns
    -------
    str
        The verdict.

    Raises
    ------
    TypeError
        For words that are no words, and checks that are no dicts.
    ValueError
        Without a check, or a condition without one; for several answers in the place of one.

    Examples
    --------
    >>> verdict = shown("C13", {"for this batch": True, "for the next": False},
    ...                 when={"the batch stays the same": {"y = x": True}})
    yes  for this batch
    no   for the next
    yes  y = x  (when the batch stays the same)
    verdict C13: holds when the batch stays the same
    """
    when = {} if when is None else when
    _check_words(claim, part)
    _check_checks(claim, checks, when)
    lines = [f"{_yes_or_no(value)} {name}" for name, value in checks.items()]
    for condition, own_checks in when.items():
        lines += [f"{_yes_or_no(v)} {name}  (when {condition})" for name, v in own_checks.items()]
    met = [condition for condition, own_checks in when.items() if all(own_checks.values())]
    if all(checks.values()):
        verdict = "holds"
    elif met:
        verdict = _holds_when(met)
    else:
        verdict = "does not hold here"
    print("\n".join([*lines, _line(claim, part, verdict)]))
    return verdict


def verdict(per_seed, rule):
    """Judge one rule by itself; a chapter judges all of its rules as one family with `judge`.

    Parameters
    ----------
    per_seed : Mapping of (str, str) to ndarray of shape (seeds,)
        For each arm and measure one number per seed, in the same order of seeds.
    rule : Rule

    Returns
    -------
    Verdict

    Raises
    ------
    TypeError, ValueError
        As `judge`.

    Examples
    --------
    >>> rule = Rule("C02", "BN is faster.", (
    ...     Contrast("BN - plain", "steps", {"BN": 1, "plain": -1}, "less", 1.25, "log"),))
    >>> print(verdict({("BN", "steps"): [10, 12, 11], ("plain", "steps"): [31, 33, 35]}, rule))
          contrast    estimate [interval]     wanted
    yes   BN - plain  x0.333 [0.274, 0.404]  <= x0.8
    3 seeds; intervals simultaneous over a family of 1
    verdict C02: holds
    """
    return judge([(per_seed, rule)])[0]


def _check_words(claim, part):
    checks.instance("shown", "claim", claim, str, "a word")
    checks.instance("shown", "part", part, str, "a word")


def _check_checks(claim, wording, when):
    """The wording and each condition are checks with a name and an answer."""
    checks.instance("shown", "when", when, Mapping, "a dict of checks")
    for each in (wording, *when.values()):
        checks.instance("shown", "checks", each, Mapping, "a dict of names and truth values")
        for name, value in each.items():
            _check_truth(name, value)
    if not wording or not all(when.values()):
        raise ValueError(
            f"shown: {claim} needs at least one check, and one per condition, got none"
        )


def _check_truth(name, value):
    """It counts as true or as false; several numbers do not."""
    try:
        bool(value)
    except ValueError:
        raise ValueError(
            f"shown: {name} must be true or false, got {type(value).__name__} of several"
        ) from None


def judge(cases):
    """Judge several rules, usually all of one chapter, as one family.

    Parameters
    ----------
    cases : iterable of (per_seed, Rule)
        Each rule with the values that answer it, as for `verdict`.

    Returns
    -------
    list of Verdict
        In the order of `cases`.

    Raises
    ------
    TypeError
        For cases that are no pairs of values and Rule.
    ValueError
        Where an arm or a measure is missing, seeds do not match, or a value is not finite: a run
        that diverged is a failure to be counted by the experiment, never to be dropped.
    """
    cases = _cases(cases)
    questions = [
        (contrast, _numbers(per_seed, contrast, rule.claim))
        for per_seed, rule in cases
        for contrast in chain(rule.needs, *rule.when.values())
    ]
    # Two rules, or a rule and its condition, may ask the same: the family counts that once.
    asked = {_identity(*question): question for question in questions}
    family = len(asked)
    p_values = holm([_p_value(*question) for question in asked.values()])
    adjusted = dict(zip(asked, p_values, strict=True))
    findings = (
        _finding(*question, float(adjusted[_identity(*question)]), 1 - ALPHA / family)
        for question in questions
    )
    return [_judged(rule, findings, family) for _, rule in cases]


def _cases(cases):
    """`cases` as a list of pairs."""
    cases = checks.sequence("judge", "cases", cases)
    for case in cases:
        if not isinstance(case, tuple | list) or len(case) != 2:
            raise TypeError(f"judge: each case must be a pair of values and rule, got {case!r}")
        checks.instance("judge", "per_seed", case[0], Mapping, "a dict by arm and measure")
        checks.instance("judge", "rule", case[1], Rule, "a Rule")
    return cases


def _identity(contrast, numbers):
    """What makes two questions the same: all but the name."""
    compared = contrast.measure, *sorted(contrast.weights.items())
    return compared, contrast.wanted, contrast.smallest, contrast.scale, numbers.tobytes()


def _judged(rule, findings, family):
    """The verdict on a rule whose findings come next."""
    needs = tuple(islice(findings, len(rule.needs)))
    when = {key: tuple(islice(findings, len(own))) for key, own in rule.when.items()}
    answers = [finding.answer for finding in needs]
    needed = len(needs) if rule.at_least is None else rule.at_least
    met = [key for key, own in when.items() if all(finding.answer == "yes" for finding in own)]
    if answers.count("yes") >= needed:
        verdict = "holds"
    elif met:
        verdict = _holds_when(met)
    elif len(answers) - answers.count("no") < needed:
        verdict = "does not hold here"
    else:
        verdict = "not resolved here"
    return Verdict(rule, verdict, needs, when, family)


def _numbers(per_seed, contrast, claim):
    """One number per seed: the weighted sum of the arms, of their logarithms on the log scale."""
    terms = []
    for arm, weight in contrast.weights.items():
        if (arm, contrast.measure) not in per_seed:
            raise ValueError(
                f"judge: {claim} needs the measure {contrast.measure!r} of the arm {arm!r}, "
                f"got {sorted(per_seed, key=str)}"
            )
        name = f"{contrast.measure!r} of {arm!r}"
        values = checks.numbers("judge", name, per_seed[arm, contrast.measure])
        _check_values(claim, f"{contrast.measure!r} of {arm!r}", values, contrast)
        terms.append(float(weight) * (np.log(values) if contrast.scale == "log" else values))
    if len({len(term) for term in terms}) > 1:
        raise ValueError(
            f"judge: {claim} needs the same seeds of all arms of {contrast.name!r}, "
            f"got {[len(term) for term in terms]} values"
        )
    numbers = np.sum(terms, axis=0)
    rounding = np.abs(numbers) <= ROUNDING * np.sum(np.abs(terms), axis=0)
    return np.where(rounding, 0.0, numbers)


def _check_values(claim, what, values, contrast):
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            f"judge: {claim} needs one number for each of at least two seeds of {what}, "
            f"got shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"judge: {claim} needs finite values of {what} (a run that diverged is to be counted "
            f"as a failure), got {values[~np.isfinite(values)][0]}"
        )
    if contrast.wanted in COUNTS and not np.isin(values, (0, 1)).all():
        raise ValueError(f"judge: {claim} needs values of 0 and 1 of {what}, got {values}")
    if contrast.scale == "log" and values.min() <= 0:
        raise ValueError(
            f"judge: {claim} needs values above 0 of {what} for a ratio, got {values.min()}"
        )


def _p_value(contrast, numbers):
    """How surprising the numbers are if the contrast's answer is not yes."""
    upwards, target = contrast.upwards(numbers), contrast.target()
    if contrast.wanted in ("more", "less"):
        return min(1.0, 2 * min(p_above(upwards, 0), p_above(-upwards, 0)))
    if contrast.wanted == "same":
        return max(p_above(upwards, -target), p_above(-upwards, -target))
    if contrast.wanted in ("not less", "not more"):
        return p_above(upwards, target)
    ones, seeds, share = int(numbers.sum()), len(numbers), contrast.smallest
    if contrast.wanted == "most":
        return p_share_above(ones, seeds, share)
    return p_share_above(seeds - ones, seeds, 1 - share)


def _finding(contrast, numbers, p, confidence):
    if contrast.wanted in COUNTS:
        interval = wilson_interval(int(numbers.sum()), len(numbers), confidence=confidence)
    else:
        interval = paired_interval(numbers, confidence=confidence)
    answer = _answer(contrast, interval, p)
    if contrast.scale == "log":
        with np.errstate(over="ignore"):
            interval = Interval(*map(float, np.exp(interval)))
    return Finding(contrast, interval, p, answer, len(numbers))


def _answer(contrast, interval, p):
    low, high = sorted(contrast.upwards(np.array(interval[1:])))
    target = contrast.target()
    if contrast.wanted == "same":
        enough, lost = True, low > target or high < -target
    else:
        target -= TIE * abs(target)
        enough, lost = contrast.upwards(interval.estimate) >= target, high < target
    if p < ALPHA and enough:
        return "yes"
    return "no" if lost else "open"


def _holds_when(conditions):
    return "holds when " + ", and when ".join(conditions)


def _line(claim, part, verdict):
    return f"verdict {claim} ({part}): {verdict}" if part else f"verdict {claim}: {verdict}"


def _yes_or_no(value):
    return "yes " if value else "no  "


def _table(findings):
    """A header line, then a list of lines for each finding; long names go on below."""
    rows = [("", "contrast", "estimate [interval]", "wanted")]
    rows += [(f.answer, f.contrast.name, _estimate(f), _criterion(f.contrast)) for f in findings]
    _, names, estimates, criteria = (max(map(len, column)) for column in zip(*rows, strict=True))
    names = min(names, WIDTH - len("open  ") - estimates - criteria - 4)
    table = []
    for answer, name, estimate, criterion in rows:
        first, *rest = textwrap.wrap(name, names)
        line = f"{answer:<5} {first:<{names}}  {estimate:<{estimates}}  {criterion:>{criteria}}"
        table.append([line, *(" " * 6 + words for words in rest)])
    return table


def _estimate(finding):
    estimate, low, high = finding.interval
    if finding.contrast.wanted in COUNTS:
        return f"{round(estimate * finding.seeds)} of {finding.seeds} [{low:.2f}, {high:.2f}]"
    largest = max(abs(low), abs(high))
    estimate, low, high = (_digits(value, largest) for value in finding.interval)
    return f"{'x' if finding.contrast.scale == 'log' else ''}{estimate} [{low}, {high}]"


def _digits(value, largest):
    """Three digits, as many as another processor prints too; rounding noise is 0, and never -0."""
    if abs(value) <= TIE * largest:
        return "0"
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:#.3g}"


def _criterion(contrast):
    """What was wanted, in the contrast's own units: ">= 0.01", "<= x0.8", "within x1.25"."""
    times = "x" if contrast.scale == "log" else ""
    if contrast.wanted == "same":
        return f"within {times}{contrast.smallest:.4g}"
    bound = contrast.upwards(contrast.target()) + 0.0
    sign = "<" if contrast.wanted in DOWNWARDS else ">"
    if contrast.wanted in ("more", "less") and bound != 0:
        sign += "="
    return f"{sign} {times}{np.exp(bound) if times else bound:.4g}"
