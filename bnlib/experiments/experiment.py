"""One experiment: what is measured for one seed, for which arms, and how it is judged."""

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnlib.experiments.data import SOURCES, draw_of
from bnlib.verdicts import Rule

NAME = re.compile(r"[a-z][a-z0-9_]*")


class ExperimentError(ValueError):
    """Something is not as it must be; the message is one sentence for the person who runs it."""


@dataclass(frozen=True)
class Experiment:
    """A measurement that is repeated for many seeds, and the rules that judge it.

    Attributes
    ----------
    name : str
        Lower-case letters, digits and underscores: also the name of its file in `results`.
    chapter : str
        The page that shows it. All rules of a chapter form one family.
    measure : callable
        `measure(seed, draw, arms)` returns `{arm: {measure: number or list of numbers}}` for the
        arms asked for. `draw(rng)` gives the data set. Everything random follows from the seed.
        The docstring tells the settings and how they were chosen. A function of a module, so that
        other processes find it.
    arms : tuple of str
        What is compared within each seed.
    rules : tuple of Rule
        Written before the results. None: exploratory.
    seeds : int
        How many, before doubling.
    tolerance : float
        Relative, between the same number on two processors.
    data : tuple of str
        Names in `bnlib.experiments.data`, the usual one first. Empty: it draws no data.

    Raises
    ------
    ExperimentError
        If a field is not as described, or a rule asks for an arm that is not there.
    """

    name: str
    chapter: str
    measure: Callable[[int, Callable, Sequence[str]], dict]
    arms: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    seeds: int = 20
    tolerance: float = 1e-9
    data: tuple[str, ...] = ("digits",)

    def __post_init__(self):
        """Check what would otherwise fail after hours."""
        self._check(NAME.fullmatch(self.name), "a name of a-z, 0-9 and _", self.name)
        self._check(self.arms and len(set(self.arms)) == len(self.arms), "distinct arms", self.arms)
        self._check(self.seeds >= 2, "at least 2 seeds", self.seeds)
        self._check(self.tolerance > 0, "a tolerance above 0", self.tolerance)
        for name in self.data:
            self._check(name in SOURCES, "a known data set", name)
        for rule in self.rules:
            for contrast in (*rule.needs, *(one for many in rule.when.values() for one in many)):
                missing = set(contrast.weights) - set(self.arms)
                self._check(not missing, f"the arms that {rule.claim} compares", sorted(missing))

    def _check(self, good, expected, got):
        if not good:
            raise ExperimentError(f"Experiment {self.name}: needs {expected}, got {got!r}")

    @property
    def claims(self):
        """The ids of the claims that it judges, each once.

        Returns
        -------
        tuple of str
        """
        return tuple(dict.fromkeys(rule.claim for rule in self.rules))

    @property
    def downloads(self):
        """Whether its usual data set must be downloaded.

        Returns
        -------
        bool
        """
        return any(SOURCES[name].files for name in self.data[:1])


def find(name, known):
    """Find an experiment by its name.

    Parameters
    ----------
    name : str
    known : dict of str to Experiment

    Returns
    -------
    Experiment

    Raises
    ------
    ExperimentError
        If there is none of this name; tells the nearest ones.
    """
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "the command `list` names all"
    raise ExperimentError(f"experiments: name must be that of an experiment, got {name!r}: {hint}")


def measure_seed(measure, seed, data, arms):
    """Measure one seed, with one BLAS thread, and check what comes back.

    Parameters
    ----------
    measure : callable
        An experiment's.
    seed : int
    data : str
        A name of `bnlib.experiments.data`; "" for none.
    arms : sequence of str

    Returns
    -------
    dict of str to dict of str to (float or list)
        Values by arm, in the order of `arms`, and by measure; lists may be nested.

    Raises
    ------
    ExperimentError
        If arms are missing or too many, or a value is no finite number.

    Examples
    --------
    >>> measure_seed(lambda seed, draw, arms: {"a": {"loss": np.float64(seed)}}, 3, "", ["a"])
    {'a': {'loss': 3.0}}
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        values = measure(seed, draw_of(data), tuple(arms))
    if set(values) != set(arms):
        raise ExperimentError(f"it must return the arms {list(arms)}, got {list(values)}")
    return {
        arm: {name: _plain(value, arm, name) for name, value in sorted(values[arm].items())}
        for arm in arms
    }


def _plain(value: Any, arm, name):
    """Return numbers as Python's floats, arrays as lists; refuse what a file cannot hold."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one, arm, name) for one in value]
    if not isinstance(value, bool | int | float | np.bool | np.number):
        raise ExperimentError(
            f"{name!r} of arm {arm!r} must be a number or a list of numbers, got {value!r}"
        )
    if not math.isfinite(value):
        raise ExperimentError(
            f"{name!r} of arm {arm!r} must be finite, got {value}: the experiment must record a "
            "diverged run as a failure"
        )
    return float(value)
