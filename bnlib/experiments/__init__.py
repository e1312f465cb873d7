"""Experiments: what each measures, its results, and the verdicts on the claims.

`python -m bnlib.experiments` runs them; the pages load what it has written.
"""

import os

from bnlib import checks
from bnlib.experiments import (
    adapting,
    backward_pass,
    covariate_shift,
    cures,
    distribution_shift,
    forward_pass,
    full_scale,
    judging,
    noisy_batch_norm,
    ood_networks,
    records,
    regularization,
    regularizers,
    relatives,
    running_averages,
    scale_invariance,
    signal_propagation,
    smooth_and_fast,
    smoothness,
    training,
    training_choices,
    whitening,
)
from bnlib.experiments.experiment import Experiment, ExperimentError, find
from bnlib.experiments.records import Results

__all__ = ["ALL", "Experiment", "ExperimentError", "Results", "live", "load", "verdicts"]

CHAPTERS = (
    signal_propagation,
    forward_pass,
    running_averages,
    training,
    training_choices,
    backward_pass,
    scale_invariance,
    covariate_shift,
    noisy_batch_norm,
    smoothness,
    smooth_and_fast,
    regularization,
    regularizers,
    distribution_shift,
    ood_networks,
    adapting,
    relatives,
    cures,
    whitening,
    full_scale,
)

ALL: dict[str, Experiment] = {
    experiment.name: experiment for chapter in CHAPTERS for experiment in chapter.EXPERIMENTS
}
"""Every experiment by its name, in the order of the book."""


def load(name, *, folder=None):
    """Read the results of an experiment.

    Parameters
    ----------
    name : str
    folder : str or Path, optional
        None: `results` in the repository.

    Returns
    -------
    Results

    Raises
    ------
    TypeError
        For a name that is no text, a folder that is none.
    ExperimentError
        A ValueError: if there are none.
    """
    checks.instance("load", "name", name, str, "text")
    _check_folder("load", folder)
    return judging.load(records.results_folder(folder), name)


def _check_folder(operation, folder):
    if folder is not None:
        checks.instance(operation, "folder", folder, str | os.PathLike, "a folder's name or None")


def verdicts(chapter, folder=None):
    """Judge the measured claims of a chapter, as one family.

    Parameters
    ----------
    chapter : str
    folder : str or Path, optional
        None: `results` in the repository.

    Returns
    -------
    dict of str to Verdict
        By claim, such as "C02", or by claim and part, such as "C31 (the values)".

    Raises
    ------
    TypeError
        For a chapter that is no text, a folder that is none.
    ExperimentError
        A ValueError: if an experiment of the chapter has no results.
    """
    checks.instance("verdicts", "chapter", chapter, str, "text")
    _check_folder("verdicts", folder)
    return judging.verdicts(ALL.values(), chapter, records.results_folder(folder))


def live(name, *, seeds=2, arms=None):
    """Measure the first seeds of an experiment now and compare them with its file.

    Parameters
    ----------
    name : str
    seeds : int
    arms : sequence of str, optional
        None: all.

    Returns
    -------
    Results
        The values just measured, of these seeds and arms.

    Raises
    ------
    AssertionError
        If a number differs from that in the file by more than the experiment's tolerance.
    TypeError, ValueError
        For seeds that are no count, arms that are no sequence of texts.
    ExperimentError
        If there are no such arms, seeds or results.
    """
    checks.instance("live", "name", name, str, "text")
    checks.count("live", "seeds", seeds)
    if arms is not None:
        arms = checks.sequence("live", "arms", arms)
        for arm in arms:
            checks.instance("live", "each of arms", arm, str, "text")
    return judging.live(find(name, ALL), records.results_folder(), seeds=seeds, arms=arms)
