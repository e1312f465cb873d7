"""Ask the questions: `python -m benchmarks [QUESTION …]`, or `make bench`.

All of them take some minutes and rewrite benchmarks/results.json and .md; some only print.
"""

import sys
from pathlib import Path

from benchmarks import accuracy, batch_norm, memory, networks, report, scaling

QUESTIONS = {
    "training": batch_norm.training,
    "inference": batch_norm.inference,
    "step": networks.step,
    "sweep": networks.sweep,
    "convolutional": networks.convolutional,
    "accuracy": accuracy.accuracy,
    "examples": scaling.in_examples,
    "features": scaling.in_features,
    "memory": memory.memory,
}
HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent / "_build" / "benchmarks"


def main(names):
    """Print a table and draw a picture for each question; store them if all were asked."""
    unknown = sorted(set(names) - QUESTIONS.keys())
    if unknown:
        sys.exit(f"benchmarks: questions are {', '.join(QUESTIONS)}; got {', '.join(unknown)}")
    about, answers = report.machine(), {}
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in names or QUESTIONS:
        answers[name] = QUESTIONS[name]()
        print(report.table(answers[name]), flush=True)
        report.picture(answers[name], PICTURES / f"{name}.png")
    print(f"Pictures: {PICTURES.relative_to(HERE.parent)}")
    if not names:
        report.write(answers, about, HERE)


if __name__ == "__main__":
    main(sys.argv[1:])
