"""The files of results, one a experiment, and the folder of finished seeds beside them.

A file has a header line, then one line per seed and arm. It holds nothing that differs between two
runs, so two runs give the same bytes. Nothing is ever half written: a file appears whole.
"""

import contextlib
import json
import os
import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np

import bnlib
from bnlib.experiments.data import fingerprint
from bnlib.experiments.experiment import ExperimentError
from bnlib.experiments.sources import source_hash

PARTIAL = ".partial"  # below the results folder; git does not see it
ATTEMPTS = 5  # to write a file, while another run tidies up
COMMAND = "python -m bnlib.experiments"
# What values depend on, apart from the seed: a change of any of these makes them stale.
MEASURED_BY = ("source", "data", "data_hash", "arms")
VERSIONS = ("bnlib", "numpy", "python")


class Results(NamedTuple):
    """What an experiment has given.

    Attributes
    ----------
    per_seed : dict of (str, str) to ndarray of shape (seeds, ...)
        By arm and measure.
    seeds : tuple of int
    header : dict
        How it was measured: the first line of the file.
    """

    per_seed: dict[tuple[str, str], np.ndarray]
    seeds: tuple[int, ...]
    header: dict

    def first(self, count):
        """The same for the first `count` seeds.

        Returns
        -------
        Results
        """
        values = {key: array[:count] for key, array in self.per_seed.items()}
        return Results(values, self.seeds[:count], self.header)

    def base(self):
        """The same without the seeds that doubling has added.

        Returns
        -------
        Results
        """
        return self.first(self.header["base_seeds"])

    def by_seed(self):
        """The values as experiments return them, seed by seed.

        Returns
        -------
        dict of int to dict of str to dict
        """
        found: dict[int, dict] = {}
        for place, seed in enumerate(self.seeds):
            arms = found[seed] = {arm: {} for arm in self.header["arms"]}
            for (arm, measure), array in self.per_seed.items():
                arms[arm][measure] = array[place].tolist()
        return found


def results_folder(folder=None):
    """Find the folder of results.

    Parameters
    ----------
    folder : str or Path, optional
        Taken as it is. Otherwise `results` in the repository that bnlib is installed from, or in
        the one around the current folder.

    Returns
    -------
    Path

    Raises
    ------
    ExperimentError
        If neither is a repository of the book.
    """
    if folder is not None:
        return Path(folder)
    here = Path.cwd()
    for root in (Path(bnlib.__file__).resolve().parents[1], here, *here.parents):
        if (root / "pyproject.toml").is_file() and (root / "bnlib").is_dir():
            return root / "results"
    raise ExperimentError(
        "results: needs the book's repository around bnlib or around the current folder, got "
        "neither: name a folder with --results"
    )


def header_of(experiment, *, data, base_seeds, seed_start, doubled=False):
    """Describe a measurement: the first line of a file of results.

    Parameters
    ----------
    experiment : Experiment
    data : str
        "" for an experiment without data.
    base_seeds, seed_start : int
    doubled : bool

    Returns
    -------
    dict
    """
    options = f" --data {data}" if data else ""
    options += f" --seeds {base_seeds} --seed-start {seed_start}"
    return {
        "experiment": experiment.name,
        "command": f"{COMMAND} run {experiment.name}{options}",
        "arms": list(experiment.arms),
        "data": data,
        "base_seeds": base_seeds,
        "doubled": doubled,
        "seeds": list(range(seed_start, seed_start + base_seeds * (1 + doubled))),
        **origin(experiment.measure, data),
    }


def origin(measure, data):
    """Tell what the values of this process come from: code, data and versions.

    Parameters
    ----------
    measure : function
        An experiment's.
    data : str
        "" for none.

    Returns
    -------
    dict of str to str
        A part of a header.
    """
    return {
        "data_hash": fingerprint(data),
        "source": source_hash(measure),
        "bnlib": bnlib.__version__,
        "numpy": np.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


# --- files ---------------------------------------------------------------------------------------


def path_of(folder, name):
    """Return where the results of an experiment stand.

    Returns
    -------
    Path
    """
    return Path(folder) / f"{name}.jsonl"


def read(folder, name):
    """Read a file of results; None if there is none.

    Returns
    -------
    Results or None

    Raises
    ------
    ExperimentError
        If the file is damaged.
    """
    path = path_of(folder, name)
    if not path.exists():
        return None
    try:
        header, *lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        places = [(seed, arm) for seed in header["seeds"] for arm in header["arms"]]
        if [(line["seed"], line["arm"]) for line in lines] != places:
            raise ValueError("not the seeds and arms of its first line")
        values: dict[int, dict] = {seed: {} for seed in header["seeds"]}
        for line in lines:
            values[line["seed"]][line["arm"]] = line["values"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExperimentError(
            f"{path}: must be a whole file of results, got a damaged one ({error}): restore it "
            "with git or delete it"
        ) from error
    return assemble(header, values)


def assemble(header, values):
    """Stack what was measured seed by seed.

    Parameters
    ----------
    header : dict
    values : dict of int to dict of str to dict
        For each seed of the header, by arm and measure.

    Returns
    -------
    Results

    Raises
    ------
    ExperimentError
        If seeds differ in their measures or in how many numbers these have.
    """
    seeds, first = tuple(header["seeds"]), values[header["seeds"][0]]
    stacked = {}
    for arm in header["arms"]:
        for seed in seeds:
            if values[seed][arm].keys() != first[arm].keys():
                raise ExperimentError(
                    f"{header['experiment']}: arm {arm!r} needs the same measures for every seed, "
                    f"got {list(first[arm])} for {seeds[0]} and {list(values[seed][arm])} for "
                    f"{seed}"
                )
        for measure in first[arm]:
            try:
                stacked[arm, measure] = np.array([values[s][arm][measure] for s in seeds], float)
            except ValueError as error:
                raise ExperimentError(
                    f"{header['experiment']}: {measure!r} of arm {arm!r} needs equally many "
                    "numbers for every seed, got lists of several lengths"
                ) from error
    return Results(stacked, seeds, header)


def write(folder, results):
    """Write a file of results in its one canonical form.

    Parameters
    ----------
    folder : Path
    results : Results
    """
    lines = [results.header]
    for seed, arms in results.by_seed().items():
        lines += [{"seed": seed, "arm": arm, "values": own} for arm, own in arms.items()]
    name = results.header["experiment"]
    write_whole(path_of(folder, name), "".join(map(_line, lines)), Path(folder, PARTIAL, name))


def _line(content):
    return json.dumps(content, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_whole(path, text, workplace):
    """Write a file such that it is there whole or not at all, whenever the process is killed.

    Parameters
    ----------
    path : Path
    text : str
    workplace : Path
        A folder of the same disk, which the file leaves in one move. What a killed process leaves
        there is deleted with it.

    Raises
    ------
    ExperimentError
        If the disk does not take the file.
    """
    temporary = workplace / f"{path.name}.{os.getpid()}.tmp"
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            workplace.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            return
        except OSError as error:
            # Another run of the same experiment is complete, and has removed the workplace.
            if isinstance(error, FileNotFoundError) and attempts_left:
                continue
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise ExperimentError(
                f"results: {path.name} must be written to {path.parent}, got {error.strerror!r}: "
                "finished seeds are kept; the same command goes on from there"
            ) from error


class Partial:
    """The finished seeds of an experiment that is not complete.

    Parameters
    ----------
    folder : Path
        The results folder.
    header : dict
        Of the measurement that is going on: seeds that were measured otherwise do not count.
    """

    def __init__(self, folder, header):
        self.folder = Path(folder, PARTIAL, header["experiment"])
        self.key = {name: header[name] for name in (*MEASURED_BY, *VERSIONS)}

    def load(self):
        """Return the values of the seeds that are there, whole and not stale.

        Returns
        -------
        dict of int to dict
        """
        found = {}
        for path in self.folder.glob("*.json"):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                if content["key"] == self.key:
                    found[content["seed"]] = content["values"]
            except FileNotFoundError:
                continue  # another run has removed it meanwhile
            except (ValueError, KeyError, TypeError):
                continue  # torn by something stronger than a kill: measured again
        return found

    def save(self, seed, values):
        """Keep the values of a seed."""
        text = _line({"key": self.key, "seed": seed, "values": values})
        write_whole(self._path(seed), text, self.folder)

    def drop(self, seeds):
        """Delete these seeds, all that is stale, and folders that are then empty."""
        kept = {self._path(seed) for seed in self.load().keys() - set(seeds)}
        for path in set(self.folder.glob("*")) - kept:
            path.unlink(missing_ok=True)
        for folder in (self.folder, self.folder.parent):
            try:
                folder.rmdir()
            except OSError:  # seeds are in it, or it is not there
                return

    def _path(self, seed):
        return self.folder / f"{seed}.json"
