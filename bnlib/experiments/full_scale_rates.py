"""Choose the rates of full scale: `python -m bnlib.experiments.full_scale_rates`.

As in `tuning`, with two development seeds and the last of the training images to validate on; the
test images are never read. All scores go to `results/full_scale_rates.json`; what it has already
is not measured again. The choices are printed, for `full_scale.RATES`.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bnlib.experiments import convnets, tuning
from bnlib.experiments.arms import train
from bnlib.experiments.data import draw_of
from bnlib.experiments.full_scale import CONVNETS, SIGMOIDS
from bnlib.experiments.training import FASTER

SCORES = Path(__file__).parents[2] / "results" / "full_scale_rates.json"
SEEDS = (0, 1)
# By data set: the arms, how many images to validate on, and the places to begin with.
TASKS: dict[str, tuple[dict[str, Any], int, tuple[int, ...]]] = {
    "mnist_first": (FASTER, 200, (-4, -3, -2, -1, 0, 1)),
    "mnist": (SIGMOIDS, 5000, (-1, 0, 1)),
    "mnist_10000": (CONVNETS, 1000, (-4, -3, -2, -1)),
}


def validation_data(seed, name):
    """The training images of a seed, its last ones in the place of the test images."""
    return tuning.validation_data(seed, draw_of(name), TASKS[name][1])


def scores(name, arm, places, seed):
    """Validation accuracy at some places of the ladder; for C02 its mean over the epochs."""
    data = validation_data(seed, name)
    arms = {str(place): replace(arm, lr=tuning.rate(place)) for place in places}
    if name == "mnist_10000":
        return [run.test_accuracy for run in convnets.train(arms, seed, data).values()]
    runs = train(arms, seed, data, evaluate="each epoch" if name == "mnist_first" else "end")
    if name == "mnist_first":
        return [tuning.area(run.history.test_accuracy, arm.epochs) for run in runs.values()]
    return [run.test_accuracy for run in runs.values()]


def main():
    """Tune the arms that the file of scores does not have yet, one data set after the other."""
    known = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
    measure = partial(tuning.in_parallel, scores)
    for data, (arms, _, start) in TASKS.items():
        missing = {
            name: (data, arm) for name, arm in arms.items() if arm.lr is None and name not in known
        }
        found = tuning.tune(missing, measure, seeds=SEEDS, starts=dict.fromkeys(missing, start))
        known |= {name: tuning.by_rate(by_place) for name, by_place in found.items()}
        SCORES.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8", newline="\n")
    print({name: tuning.best_rate(own) for name, own in known.items()})


if __name__ == "__main__":
    main()
