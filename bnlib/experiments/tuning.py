"""Choose the learning rate of every arm on development seeds: `python -m bnlib.experiments.tuning`.

For each arm without a rate of its own: a grid of rates in steps of at most a factor of 3.4, five
development seeds that no result uses, and 200 of the 1,000 training images to validate on; the test
images are never read. The rate with the best mean validation accuracy wins, the smaller of equals:
accuracy at the end, or, for the claim about speed (C02), averaged over the epochs. The grid grows
while the best rate lies at its edge. Of a family of arms, such as dropout at several strengths, the
member with the best score at its own rate is chosen. All scores go to the file
`results/learning_rates.json`, the choices to `learning_rates.py` beside this one.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bnlib import datasets
from bnlib.experiments import (
    forward_pass,
    noisy_batch_norm,
    regularization,
    regularizers,
    signal_propagation,
    training,
    training_choices,
)
from bnlib.experiments.arms import GUESSING, split, train

SEEDS = tuple(range(5))
STEPS = (1.0, 3.0)  # times powers of five
VALIDATION = 200
CHOICES = Path(__file__).with_name("learning_rates.py")
SCORES = Path(__file__).parents[2] / "results" / "learning_rates.json"
START = (-4, -3, -2, -1, 0, 1)  # places on the ladder: 0.01 to 3
TABLES = (
    signal_propagation.PILES, training.FASTER, training.STABILITY, training_choices.ACTIVATIONS,
    training_choices.VALUES, training_choices.PLACES, training_choices.OPTIMIZERS,
    training_choices.GAMMA_AND_BETA, forward_pass.SIGMOIDS, forward_pass.FIVE_LAYERS,
    regularization.GHOST_BATCHES, regularization.SILENCED, regularization.SMALL_BATCHES,
    regularizers.UNREGULARIZED, noisy_batch_norm.NOISY,
)  # fmt: skip
FAMILIES = regularizers.FAMILIES  # of each the best member is chosen, at its own rate


def rate(place):
    """The learning rate at a place of the ladder: 0 is 1, 1 is 3, 2 is 10, -1 is 0.3.

    Examples
    --------
    >>> [rate(place) for place in (-2, -1, 0, 1, 2)]
    [0.1, 0.3, 1.0, 3.0, 10.0]
    """
    exponent, step = divmod(place, 2)
    return float(f"{STEPS[step] * 10.0**exponent:g}")


def untuned():
    """Every arm that needs a rate, once, with the score by which it is chosen."""
    speed = {arm.description for arm in training.FASTER.values()}
    tables = (*TABLES, *FAMILIES.values())
    arms = {a.description: a for table in tables for a in table.values() if a.lr is None}
    return {d: (arm, "area" if d in speed else "end") for d, arm in arms.items()}


def validation_data(seed, draw=datasets.digits, count=VALIDATION):
    """The training images of a seed, its last ones in the place of the test images."""
    data = split(seed, draw)
    x, y = data.x_train, data.y_train
    cut = len(x) - count
    return datasets.Dataset(x[:cut], y[:cut], x[cut:], y[cut:])


def scores(arm, score, places, seed):
    """Validation accuracy at each of some places of the ladder."""
    arms = {str(place): replace(arm, lr=rate(place)) for place in places}
    how = "each epoch" if score == "area" else "end"
    runs = train(arms, seed, validation_data(seed), evaluate=how)
    if score == "end":
        return [run.test_accuracy for run in runs.values()]
    return [area(run.history.test_accuracy, arm.epochs) for run in runs.values()]


def area(curve, epochs):
    """The mean over the epochs; those that a diverged run lacks count as guessing."""
    return float(np.concatenate([curve, np.full(epochs - len(curve), GUESSING)]).mean())


def tune(arms, measure, *, seeds=SEEDS, starts=None):
    """For each arm its mean score by place of the ladder, on a grid that holds the best inside.

    Parameters
    ----------
    arms : dict of str to tuple
        By name what `measure` must know of an arm: here (arm, score), as from `untuned`.
    measure : callable
        measure(jobs) gives, for each of the jobs (*arm, places, seed), the scores at those places.
    seeds : sequence of int
    starts : dict of str to sequence of int, optional
        Places to begin with, by name; None: `START` for all.

    Returns
    -------
    dict of str to dict of int to float
    """
    found: dict = {name: {} for name in arms}
    wanted = dict.fromkeys(arms, START) if starts is None else starts
    while wanted:
        jobs = [(*arms[name], places, seed) for name, places in wanted.items() for seed in seeds]
        measured = iter(measure(jobs))
        for name, places in wanted.items():
            means = np.mean([next(measured) for _ in seeds], axis=0).tolist()
            found[name] |= dict(zip(places, means, strict=True))
        best = {name: choice(found[name]) for name in wanted}
        beside = {n: tuple(p for p in (b - 1, b + 1) if p not in found[n]) for n, b in best.items()}
        wanted = {name: places for name, places in beside.items() if places}
    return {name: dict(sorted(by_place.items())) for name, by_place in found.items()}


def by_rate(by_place):
    """The scores of one arm as they are stored: by rate, rounded.

    Examples
    --------
    >>> by_rate({-2: 0.5, 0: 0.75})
    {'0.1': 0.5, '1': 0.75}
    """
    return {f"{rate(place):g}": round(mean, 6) for place, mean in by_place.items()}


def choice(measured):
    """The place with the best score, the smaller of equals."""
    return max(sorted(measured), key=lambda place: measured[place])


def in_parallel(scores, jobs):
    """scores(*job) of all jobs, on all cores."""
    import joblib

    with joblib.parallel_config("loky", inner_max_num_threads=1):
        return joblib.Parallel(n_jobs=-1, verbose=1)(joblib.delayed(scores)(*job) for job in jobs)


def write(found):
    """Store all scores, and the choices as Python."""
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    SCORES.write_text(text, encoding="utf-8", newline="\n")
    rates = [f'    "{name}": {best_rate(found[name])!r},' for name in sorted(found)]
    members = [f'    "{name}": "{member}",' for name, member in sorted(best_members(found).items())]
    start = CHOICES.read_text(encoding="utf-8").partition("LEARNING_RATES")[0]
    text = "\n".join(
        [
            f"{start}LEARNING_RATES: dict[str, float] = {{",
            *rates,
            "}",
            "",
            "# Of each family the arm with the best score at its own rate.",
            "CHOSEN: dict[str, str] = {",
            *members,
            "}",
            "",
        ]
    )
    CHOICES.write_text(text, encoding="utf-8", newline="\n")


def best_members(found):
    """Of each family the arm with the best score at its own rate, the first of equals."""
    return {
        family: max(members, key=lambda one: max(found[one].values()))
        for family, members in FAMILIES.items()
    }


def best_rate(scores):
    """The rate with the best score, the smaller of equals."""
    return max(sorted(map(float, scores)), key=lambda one: scores[f"{one:g}"])


def main():
    """Tune the arms that the file of scores does not have yet."""
    arms = untuned()
    known = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
    found = {name: scores for name, scores in known.items() if name in arms}
    missing = {name: arm for name, arm in arms.items() if name not in found}
    for name, by_place in tune(missing, partial(in_parallel, scores)).items():
        found[name] = by_rate(by_place)
    write(found)


if __name__ == "__main__":
    main()
