"""Experiments: what each measures, its results, and the verdicts on the claims.

`python -m bnlib.experiments` runs them; the pages load what it has written.
"""

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
    ExperimentError
        If there are none.
    """
    return judging.load(records.results_folder(folder), name)


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
    ExperimentError
        If an experiment of the chapter has no results.
    """
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
    ExperimentError
        If there are no such arms, seeds or results.
    """
    return judging.live(find(name, ALL), records.results_folder(), seeds=seeds, arms=arms)
