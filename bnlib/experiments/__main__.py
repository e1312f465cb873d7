"""Run experiments and judge claims: `python -m bnlib.experiments --help`."""

import argparse
import os
import signal
import sys

from bnlib import experiments
from bnlib.experiments import judging, records, runs
from bnlib.experiments.experiment import Experiment, ExperimentError, find
from bnlib.experiments.reporting import Report

KEPT = "Interrupted. Finished seeds are kept; the same command goes on from there."
INTERRUPTED = 130  # what shells expect of a command that Ctrl-C has ended


class Parser(argparse.ArgumentParser):
    """Complains in one sentence."""

    def error(self, message):
        """End with exit code 2."""
        self.exit(2, f"{message} (--help tells more)\n")


def parser():
    """Describe the command line.

    Returns
    -------
    argparse.ArgumentParser
    """
    whole = Parser(prog=records.COMMAND, description="Run experiments and judge claims.")
    commands = whole.add_subparsers(dest="command", required=True, parser_class=Parser)
    folder = Parser(add_help=False)
    folder.add_argument("--results", metavar="DIR", help="folder of results (the book's own)")
    working = Parser(add_help=False)
    cores = os.cpu_count() or 1
    working.add_argument("--jobs", type=int, default=cores, help=f"processes (here {cores})")
    working.add_argument(
        "--dask", metavar="ADDRESS", help="of a Dask scheduler: measure on its cluster, not here"
    )
    commands.add_parser("list", parents=[folder], help="what there is, and whether it is measured")
    run = commands.add_parser(
        "run", parents=[folder, working], help="measure what is missing; goes on where it stopped"
    )
    run.add_argument(
        "names", nargs="*", metavar="NAME",
        help="experiments or chapters (all experiments that download nothing)",
    )  # fmt: skip
    run.add_argument("--data", help="data set (each experiment's own)")
    run.add_argument("--seeds", type=int, help="how many, before doubling (each experiment's own)")
    run.add_argument("--seed-start", type=int, default=1000, help="the first seed (1000)")
    confirm = commands.add_parser(
        "confirm",
        parents=[folder, working],
        help="show that changed code gives the same numbers, with three seeds",
    )
    confirm.add_argument("names", nargs="+", metavar="NAME", help="experiments")
    verdicts = commands.add_parser("verdicts", parents=[folder], help="print all verdicts")
    verdicts.add_argument("chapters", nargs="*", metavar="CHAPTER", help="chapters (all measured)")
    return whole


def main(arguments, known=None):
    """Do what the command line asks for.

    Parameters
    ----------
    arguments : sequence of str
    known : dict of str to Experiment, optional
        None: those of the book.

    Returns
    -------
    int
        Exit code: 0; 1 if a seed or a confirmation failed; 2 for a wrong wish; 130 after Ctrl-C.
    """
    known = experiments.ALL if known is None else known
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # no console is to end the work
    report = Report()
    try:
        wish = parser().parse_args(arguments)
        wish.folder = records.results_folder(wish.results)
        return COMMANDS[wish.command](wish, known, report)
    except (ExperimentError, OSError) as error:
        report.end()
        report.complain(str(error))
        return 2
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressing it twice makes no difference
        report.end()
        report.complain(KEPT)
        return INTERRUPTED


def _list(wish, known, report):
    rows = [("experiment", "chapter", "claims", "seeds", "results")]
    for one in known.values():
        found = records.read(wish.folder, one.name)
        seeds = len(found.seeds) if found else one.seeds
        state = runs.state(one, wish.folder)
        rows.append((one.name, one.chapter, " ".join(one.claims), str(seeds), state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        report.say("  ".join(map(str.ljust, row, widths)).rstrip())
    return 0


def _run(wish, known, report):
    request = _request(wish)
    if wish.seeds is not None and wish.seeds < 2:
        raise ExperimentError(f"run: --seeds must be at least 2, got {wish.seeds}")
    if wish.seed_start < 0:
        raise ExperimentError(f"run: --seed-start must be at least 0, got {wish.seed_start}")
    request = request._replace(data=wish.data, seeds=wish.seeds, seed_start=wish.seed_start)
    every = list(known.values())
    chosen = _chosen(wish.names, known) or [one for one in every if not one.downloads]
    well = runs.run(chosen, every, request, report)
    return 0 if well else 1


def _chosen(names, known):
    """The experiments of these names, each once; of a chapter's name all of its."""
    chosen: dict[str, Experiment] = {}
    for name in names:
        own = [one for one in known.values() if one.chapter == name and name not in known]
        chosen |= {one.name: one for one in own or [find(name, known)]}
    return list(chosen.values())


def _confirm(wish, known, report):
    request = _request(wish)
    chosen = [find(name, known) for name in dict.fromkeys(wish.names)]
    well = [runs.confirm(experiment, request, report) for experiment in chosen]
    return 0 if all(well) else 1


def _request(wish):
    if wish.jobs < 1:
        raise ExperimentError(f"{wish.command}: --jobs must be at least 1, got {wish.jobs}")
    return runs.Request(wish.folder, jobs=wish.jobs, dask=wish.dask)


def _verdicts(wish, known, report):
    chapters = wish.chapters or judging.complete_chapters(known.values(), wish.folder)
    for chapter in chapters:
        for verdict in judging.verdicts(known.values(), chapter, wish.folder).values():
            report.say(f"{verdict}\n")
    return 0


COMMANDS = {"list": _list, "run": _run, "confirm": _confirm, "verdicts": _verdicts}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
