"""What several runs of `make bench` say together: `python -m benchmarks.runs`.

Each file in `runs` is the results.json of one run. Of every question with one row for each case it
prints the median over runs of the medians within them, the smallest and the largest.
"""

import json
import statistics
from pathlib import Path

RUNS = Path(__file__).resolve().parent / "runs"
QUESTIONS = ("training", "inference", "step", "sweep", "convolutional")


def ratios(run):
    """The median ratio of each of bnlib's rows of one run, by question, case and contestant."""
    return {
        (question, case, name): measured[0]
        for question in QUESTIONS
        for case, row in run["answers"][question]["rows"].items()
        for name, measured in row.items()
        if name.startswith("bnlib")
    }


def main():
    """Print a line for each ratio."""
    runs = [ratios(json.loads(file.read_text("utf-8"))) for file in sorted(RUNS.glob("*.json"))]
    for key in runs[0]:
        found = [run[key] for run in runs]
        middle, low, high = statistics.median(found), min(found), max(found)
        print(f"{', '.join(key):62} {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
