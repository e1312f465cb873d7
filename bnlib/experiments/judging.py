"""Verdicts from results: one family a chapter, doubling where a claim stays open, live slices."""

import numpy as np

from bnlib.experiments import records
from bnlib.experiments.experiment import ExperimentError, measure_seed
from bnlib.verdicts import judge

OPEN = "not resolved here"
NOISE = 1e-12  # absolute: what rounding leaves, differently everywhere, where 0 is meant
SHOWN = 5  # differences that a message tells one by one


def load(folder, name):
    """Read the results of an experiment, which must be there.

    Returns
    -------
    Results
    """
    results = records.read(folder, name)
    if results is None:
        raise ExperimentError(
            f"load: needs {records.path_of(folder, name)}, got no such file: run "
            f"{records.COMMAND} run {name}"
        )
    return results


def rules_of(experiments, chapter):
    """Return (experiment, rule) for each rule of a chapter.

    Returns
    -------
    list of (Experiment, Rule)

    Raises
    ------
    ExperimentError
        If two rules judge the same part of a claim.
    """
    found = [
        (experiment, rule)
        for experiment in experiments
        if experiment.chapter == chapter
        for rule in experiment.rules
    ]
    names = [key_of(rule) for _, rule in found]
    if len(set(names)) < len(names):
        raise ExperimentError(
            f"verdicts: {chapter} needs one rule per part of a claim, got {names}"
        )
    return found


def key_of(rule):
    """Name the claim, and the part of it, that a rule judges: "C02", "C31 (the values)".

    Returns
    -------
    str
    """
    return f"{rule.claim} ({rule.part})" if rule.part else rule.claim


def verdicts(experiments, chapter, folder, *, base_only=False):
    """Judge all rules of a chapter as one family.

    Parameters
    ----------
    experiments : iterable of Experiment
    chapter : str
    folder : Path
    base_only : bool
        Without the seeds that doubling has added.

    Returns
    -------
    dict of str to Verdict
        By claim, or claim and part.

    Raises
    ------
    ExperimentError
        If a file is missing or the chapter has no rules.
    """
    rules = rules_of(experiments, chapter)
    if not rules:
        raise ExperimentError(f"verdicts: needs a chapter with measured claims, got {chapter!r}")
    read = {experiment.name: load(folder, experiment.name) for experiment, _ in rules}
    if base_only:
        read = {name: results.base() for name, results in read.items()}
    judged = judge([(read[experiment.name].per_seed, rule) for experiment, rule in rules])
    return {key_of(verdict.rule): verdict for verdict in judged}


def complete_chapters(experiments, folder):
    """Name the chapters that have rules, and results for all of them, in the order of the book.

    Returns
    -------
    list of str
    """
    experiments = list(experiments)
    chapters = dict.fromkeys(one.chapter for one in experiments if one.rules)
    return [
        chapter
        for chapter in chapters
        if all(
            records.path_of(folder, one.name).exists() for one, _ in rules_of(experiments, chapter)
        )
    ]


def to_double(experiments, chapter, folder):
    """Name the experiments of a chapter that need twice the seeds: by their base seeds alone.

    Returns
    -------
    set of str
        Those with a rule that the base seeds leave open.
    """
    judged = verdicts(experiments, chapter, folder, base_only=True)
    rules = rules_of(experiments, chapter)
    return {one.name for one, rule in rules if judged[key_of(rule)].verdict == OPEN}


def differences(old, new, tolerance):
    """Compare two measurements, number by number.

    Parameters
    ----------
    old, new : dict of int to dict of str to dict
        Values by seed, arm and measure. What `old` has besides the seeds and arms of `new` is not
        looked at.
    tolerance : float
        Relative to the larger number; for a list, to its largest.

    Returns
    -------
    list of str
        A sentence for each difference.
    """
    found = []
    for seed, arms in new.items():
        for arm, values in arms.items():
            expected = old[seed][arm]
            for measure in sorted(expected.keys() | values.keys()):
                where = f"arm {arm!r}, seed {seed}, {measure!r}"
                if measure not in expected or measure not in values:
                    found.append(f"{where}: measured only once")
                elif told := _difference(expected[measure], values[measure], tolerance):
                    found.append(f"{where}: {told}")
    return found


def _difference(old, new, tolerance):
    old, new = np.asarray(old), np.asarray(new)
    if old.shape != new.shape:
        return f"shape {old.shape} in the file, {new.shape} now"
    largest = max(np.abs(old).max(initial=0), np.abs(new).max(initial=0))
    apart = np.abs(old - new)
    if apart.max(initial=0) <= tolerance * largest + NOISE:
        return ""
    place = np.unravel_index(apart.argmax(), apart.shape)
    where = f" at {', '.join(map(str, place))}" if place else ""
    return f"{float(old[place])!r} in the file, {float(new[place])!r} now{where}"


def told(found):
    """Join differences to a sentence that stays short.

    Returns
    -------
    str
    """
    more = len(found) - SHOWN
    return "; ".join(found[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def live(experiment, folder, *, seeds, arms):
    """Measure the first seeds of a file again and compare.

    Parameters
    ----------
    experiment : Experiment
    folder : Path
    seeds : int
    arms : sequence of str or None
        None: all.

    Returns
    -------
    Results
        The new values.

    Raises
    ------
    AssertionError
        If a number differs from the file's.
    ExperimentError
        For more seeds than the file has, or unknown arms.
    """
    stored = load(folder, experiment.name)
    arms = experiment.arms if arms is None else tuple(arms)
    if not 1 <= seeds <= len(stored.seeds):
        raise ExperimentError(f"live: seeds must lie in 1..{len(stored.seeds)}, got {seeds}")
    if not arms or not set(arms) <= set(stored.header["arms"]):
        raise ExperimentError(f"live: arms must be among {stored.header['arms']}, got {list(arms)}")
    chosen = stored.seeds[:seeds]
    values = {
        seed: measure_seed(experiment.measure, seed, stored.header["data"], arms) for seed in chosen
    }
    found = differences(stored.by_seed(), values, experiment.tolerance)
    if found:
        raise AssertionError(f"live: {experiment.name} must equal its file, got {told(found)}")
    counts = f"{_count(seeds, 'seed')} x {_count(len(arms), 'arm')}"
    print(f"{counts} measured again: equal to results/{experiment.name}.jsonl")
    header = {**stored.header, "seeds": list(chosen), "arms": list(arms)}
    return records.assemble(header, values)


def _count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"
