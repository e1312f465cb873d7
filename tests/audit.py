"""The checks that take too long for every change: `make audit`.

    python tests/audit.py                   all of them, one after the other
    python tests/audit.py coverage errors   these
    python tests/audit.py --list            what there is

A step is a name, what it establishes, and a command; add yours to STEPS. Each runs to its end
whatever the others said, and the count of those that failed comes last. The machine is not asked
for more than one core: let it run over night.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
# They look at the built book in a browser and reach nothing of bnlib that the others do not.
PAGES = """
    anchors book lab ledger make one_page pages quiz reading_tools site slides
""".split()

# The notebooks that are quickest: fifty runs of each are the question, not which.
FLAKES = [f"book/{name}.ipynb" for name in ("intro", "how_we_measure", "running_averages")]


class Step(NamedTuple):
    """One check: commands that must all succeed, and what the environment says beside."""

    shows: str
    commands: list[list[str]]
    environment: Mapping[str, str] = MappingProxyType({})


# Tests one after the other, and no notebooks.
OPTIONS = ("-o", "addopts=", "-p", "no:cacheprovider", "-q", "-n", "0")


def pytest(*arguments):
    """A command that runs tests."""
    return [sys.executable, "-m", "pytest", *OPTIONS, *arguments]


def unit_tests():
    """Every file of tests that is not about pages."""
    pages = {f"test_{name}.py" for name in PAGES}
    return [
        f"tests/{file.name}" for file in sorted(TESTS.glob("test_*.py")) if file.name not in pages
    ]


def under_coverage(run, *report, start=()):
    """Commands that run something and tell which lines and branches of bnlib it has reached."""
    coverage = ["-m", "coverage"]
    return [
        [sys.executable, *coverage, "erase"],
        [sys.executable, *start, *coverage, "run", *run],
        [sys.executable, *coverage, "combine", "--quiet"],
        [sys.executable, *coverage, "report", *report],
    ]


def covered():
    """Lines and branches of bnlib that doctests and unit tests reach, numba switched off."""
    ordered = ["-m", "bnlib.experiments.arithmetic"]  # for what measures again
    # Coverage's own file would not fit on its disk.
    left_out = ["--deselect", "tests/test_downloads.py::test_fault_a_real_limit_of_the_disk"]
    options = ["-p", "contexts", *left_out, "--doctest-modules"]
    return under_coverage(pytest(*options, "bnlib", *unit_tests())[1:], start=ordered)


def covered_by_notebooks():
    """What executing the book reaches by itself."""
    return under_coverage(["tests/executed.py"], "--fail-under=0")


STEPS = {
    "properties": Step(
        "no norm, in numpy or compiled, is further from the truth than its problem demands, nor"
        " than PyTorch's: thousands of inputs of each kind",
        [
            pytest("tests/test_properties.py", "--hypothesis-show-statistics"),
            pytest("tests/test_compiled.py", "-k", "truth or long or further or averages"),
        ],
        {"BNLIB_INPUTS": "2000"},
    ),
    "errors": Step(
        "every argument of every public function, spoilt in every way, is told in a sentence",
        [pytest("tests/test_errors.py"), pytest("tests/test_errors_drawing.py")],
        {"BNLIB_INPUTS": "1"},
    ),
    "coverage": Step(
        "unit tests alone reach 98 % of bnlib's lines and branches",
        covered(),
        {"NUMBA_DISABLE_JIT": "1", "BNLIB_AGAIN": "1"},
    ),
    "notebooks": Step(
        "which lines and branches the notebooks reach by themselves: told, not demanded",
        covered_by_notebooks(),
        {"COVERAGE_FILE": str(ROOT / "_build" / "notebooks.coverage")},
    ),
    "mutants": Step(
        "tests notice 95 % of the changes in the three modules that all else rests on, and 90 % in"
        " each of the others, as far as thirty tell",
        [
            [sys.executable, "tests/mutation.py", "--again"],
            [sys.executable, "tests/mutation.py", "--again", "--sample", "30"],
        ],
    ),
    "kills": Step(
        "killed at any of 260 moments and started again, five programs lose, tear and forget"
        " nothing",
        [[sys.executable, "tests/kills.py"]],
    ),
    "faults": Step(
        "a full disk, a clock that goes back, two runs at once: the old or the new, and a word",
        [[sys.executable, "tests/faults.py"]],
    ),
    "elsewhere": Step(
        "the same numbers in other surroundings: order, time zone, locale, folder, home, kernels",
        [[sys.executable, "tests/elsewhere.py"]],
    ),
    "versions": Step(
        "the same with the lock on each Python; verdicts with the oldest and the newest packages",
        [[sys.executable, "tests/versions.py"]],
    ),
    "flakes": Step(
        "fifty runs of three notebooks in a row, without one other digit",
        [pytest("--nbval", "--nbval-current-env", *FLAKES)] * 50,
    ),
}


def run(name):
    """Whether all commands of a step succeed; stops at the first that does not."""
    step = STEPS[name]
    print(f"\n== {name}: {step.shows}", flush=True)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **step.environment}
    start = time.monotonic()
    good = all(
        subprocess.run(command, cwd=ROOT, env=environment).returncode == 0
        for command in step.commands
    )
    minutes = (time.monotonic() - start) / 60
    print(f"== {name}: {'holds' if good else 'DOES NOT HOLD'}, {minutes:.0f} minutes", flush=True)
    return good


def main(arguments):
    """Run steps; return None, or a sentence about those that failed."""
    parser = argparse.ArgumentParser(prog="python tests/audit.py", description="Long checks.")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(STEPS))
    parser.add_argument("--list", action="store_true", help="say what there is, and stop")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.steps if name not in STEPS]
    if unknown:
        parser.error(f"there is no step {unknown[0]}: {', '.join(STEPS)}")
    if asked.list:
        for name, step in STEPS.items():
            print(f"{name:12}{step.shows}")
        return None
    names = asked.steps or list(STEPS)
    failed = [name for name in names if not run(name)]
    return f"{len(failed)} of {len(names)} do not hold: {', '.join(failed)}" if failed else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
