"""Running experiments: what is missing is measured, what is finished is kept, whatever happens.

A unit of work is one seed of one experiment. Its values are kept as soon as they are there; a file
of results appears when all seeds are. The bytes of that file do not depend on how many processes
worked, on which machines, nor on how often the work was killed and begun again.
"""

import os
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bnlib.experiments import cluster, judging, records
from bnlib.experiments.experiment import Experiment, ExperimentError
from bnlib.experiments.processes import Task, outcomes

CONFIRMED = 3  # seeds that show that changed code gives the same numbers
CHANGES = {
    "source": "the code has changed",
    "data_hash": "the data have changed",
    "arms": "the arms have changed",
}


class Request(NamedTuple):
    """What is asked for.

    Attributes
    ----------
    folder : Path
        Of results.
    data : str or None
        None: the first that each experiment names.
    seeds : int or None
        None: as many as each experiment wants.
    seed_start : int
    jobs : int
        How many processes.
    dask : str or None
        Address of a scheduler: measure on its cluster instead of in processes here.
    """

    folder: Path
    data: str | None = None
    seeds: int | None = None
    seed_start: int = 1000
    jobs: int = 1
    dask: str | None = None


@dataclass
class Plan:
    """A file of results to be, and the values that are there already."""

    experiment: Experiment
    header: dict
    partial: records.Partial
    values: dict[int, dict] = field(default_factory=dict)

    @property
    def missing(self):
        """The seeds to measure."""
        return [seed for seed in self.header["seeds"] if seed not in self.values]


def run(chosen, known, request, report):
    """Measure experiments, then judge their chapters and double the seeds of what is open.

    Parameters
    ----------
    chosen : sequence of Experiment
    known : sequence of Experiment
        All, among them the chapters' others.
    request : Request
    report : Report

    Returns
    -------
    bool
        Whether all went well.

    Raises
    ------
    ExperimentError
        If the folder cannot be written to or holds other seeds or data; nothing is changed then.
    """
    _check_writable(request.folder)
    headers = [_wanted(experiment, request) for experiment in chosen]
    for header in headers:
        _check_same_seeds(request.folder, header)
    planned = [
        _plan(experiment, header, request.folder, report)
        for experiment, header in zip(chosen, headers, strict=True)
    ]
    well = _carry_out([plan for plan in planned if plan], request, report)
    for chapter in dict.fromkeys(experiment.chapter for experiment in chosen):
        well &= _settle(chapter, known, request, report)
    return well


def _check_writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK) else "it is read-only"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise ExperimentError(
            f"run: needs a results folder that it can write to, got {folder} ({reason})"
        )


def _wanted(experiment, request):
    data = experiment.data[0] if experiment.data else ""
    if request.data and experiment.data:
        data = request.data
        if data not in experiment.data:
            raise ExperimentError(
                f"run: data of {experiment.name} must be among {', '.join(experiment.data)}, "
                f"got {data}"
            )
    return records.header_of(
        experiment,
        data=data,
        base_seeds=request.seeds or experiment.seeds,
        seed_start=request.seed_start,
    )


def _check_same_seeds(folder, header):
    """Refuse to replace results of other seeds or data: they may have taken days."""
    found = records.read(folder, header["experiment"])
    if found is None:
        return
    old = found.header
    if (
        old["data"] != header["data"]
        or old["seeds"][0] != header["seeds"][0]
        or old["base_seeds"] > header["base_seeds"]
    ):
        raise ExperimentError(
            f"run: {records.path_of(folder, header['experiment'])} has {_told(old)}, got a wish "
            f"for {_told(header)}: keep both by naming another folder with --results, or delete "
            "the file"
        )


def _told(header):
    start, count = header["seeds"][0], header["base_seeds"]
    data = f" on {header['data']}" if header["data"] else ""
    return f"the seeds {start} to {start + count - 1}{data}"


def changes(old, new):
    """Tell what two headers do not have in common, of what makes values stale.

    Returns
    -------
    str
        "" if nothing.
    """
    return ", ".join(words for name, words in CHANGES.items() if old[name] != new[name])


def _same_versions(old, new):
    return all(old[name] == new[name] for name in records.VERSIONS)


def _plan(experiment, header, folder, report):
    """Compare what is wanted with what is there; None if nothing is to be done."""
    found = records.read(folder, experiment.name)
    plan = Plan(experiment, header, records.Partial(folder, header))
    if found is None:
        return plan
    if changed := changes(found.header, header):
        report.say(f"{experiment.name}: {changed}: measured again")
    elif found.header["base_seeds"] == header["base_seeds"]:
        plan.partial.drop(found.seeds)
        report.say(f"{experiment.name}: up to date")
        return None
    elif _same_versions(found.header, header):
        plan.values = found.by_seed()
    return plan


def _carry_out(plans, request, report):
    """Measure what the plans miss and write their files; return whether all went well."""
    by_name = {plan.experiment.name: plan for plan in plans}
    well, tasks = True, []
    for plan in plans:
        plan.values = plan.partial.load() | plan.values
        if not plan.missing:
            well &= _finish(plan, request.folder, report)
        tasks += [Task(plan.experiment, seed, plan.header["data"]) for seed in plan.missing]
    report.begin(len(tasks))
    with closing(_outcomes(tasks, request)) as ended:
        for task, values, complaint in ended:
            plan = by_name[task.experiment.name]
            report.step(plan.experiment.name)
            if complaint:
                report.complain(f"{plan.experiment.name}, seed {task.seed}: {complaint}")
                well = False
                continue
            plan.partial.save(task.seed, values)
            plan.values[task.seed] = values
            if not plan.missing:
                well &= _finish(plan, request.folder, report)
    report.end()
    return well


def _outcomes(tasks, request):
    """Measure tasks where the request says."""
    if request.dask:
        return cluster.outcomes(tasks, request.dask)
    return outcomes(tasks, request.jobs)


def _finish(plan, folder, report):
    """Write the file of a plan whose seeds are all there."""
    try:
        results = records.assemble(plan.header, plan.values)
    except ExperimentError as error:
        report.complain(str(error))
        return False
    records.write(folder, results)
    plan.partial.drop(results.seeds)
    report.say(
        f"{plan.experiment.name}: {len(results.seeds)} seeds in {plan.experiment.name}.jsonl"
    )
    return True


def _settle(chapter, known, request, report):
    """Double the seeds where a complete chapter's base seeds leave a claim open, once."""
    folder = request.folder
    judged = {experiment.name: experiment for experiment, _ in judging.rules_of(known, chapter)}
    waiting = [one.name for one in judged.values() if state(one, folder) != "up to date"]
    if waiting:
        report.say(f"{chapter}: its verdicts wait for {', '.join(waiting)}")
    if waiting or not judged:
        return True
    due = judging.to_double(known, chapter, folder)
    plans = []
    for name, experiment in judged.items():
        found = records.read(folder, name)
        if found.header["doubled"] != (name in due):
            plans.append(_resized(experiment, found, folder, doubled=name in due))
            told = (
                "a claim is open: twice the seeds" if name in due else "half the seeds are enough"
            )
            report.say(f"{name}: {told}")
    return _carry_out(plans, request, report)


def _resized(experiment, found, folder, *, doubled):
    """Plan the file with the seeds of doubling or without them."""
    header = records.header_of(
        experiment,
        data=found.header["data"],
        base_seeds=found.header["base_seeds"],
        seed_start=found.seeds[0],
        doubled=doubled,
    )
    same = _same_versions(found.header, header)
    values = found.by_seed() if same else {}
    return Plan(experiment, header, records.Partial(folder, header), values)


def state(experiment, folder):
    """Tell in a few words whether an experiment's results are there and what this code gives.

    Returns
    -------
    str
        "up to date", "not measured", or what has changed.
    """
    found = records.read(folder, experiment.name)
    if found is None:
        return "not measured"
    return changes(found.header, _as_found(experiment, found)) or "up to date"


def _as_found(experiment, found):
    """The header that the present code would give to a file."""
    return records.header_of(
        experiment,
        data=found.header["data"],
        base_seeds=found.header["base_seeds"],
        seed_start=found.seeds[0],
        doubled=found.header["doubled"],
    )


def confirm(experiment, request, report):
    """Show with a few seeds that changed code gives the file's numbers, and say so in the file.

    Parameters
    ----------
    experiment : Experiment
    request : Request
        Its folder and jobs.
    report : Report

    Returns
    -------
    bool
        Whether the file belongs to the present code now.

    Raises
    ------
    ExperimentError
        If there is no file, or more than the code has changed.
    """
    name = experiment.name
    found = judging.load(request.folder, name)
    header = _as_found(experiment, found)
    changed = changes(found.header, header)
    if not changed:
        report.say(f"{name}: up to date")
        return True
    if changed != CHANGES["source"]:
        raise ExperimentError(f"confirm: {name}: {changed}: only a new run can give its results")
    seeds = found.seeds[:CONFIRMED]
    report.begin(len(seeds))
    values = {}
    tasks = [Task(experiment, seed, header["data"]) for seed in seeds]
    with closing(_outcomes(tasks, request)) as ended:
        for task, measured, complaint in ended:
            report.step(name)
            if complaint:
                report.complain(f"{name}, seed {task.seed}: {complaint}")
                return False
            values[task.seed] = measured
    report.end()
    different = judging.differences(found.by_seed(), values, experiment.tolerance)
    if different:
        report.complain(f"{name}: not confirmed: {judging.told(different)}")
        return False
    header = {**found.header, "source": header["source"]}
    records.write(request.folder, found._replace(header=header))
    records.Partial(request.folder, header).drop(found.seeds)
    report.say(f"{name}: {len(seeds)} seeds give the same numbers: confirmed")
    return True
