"""Convolutional arms: alike but for what they are compared in, and rates from validation alone."""

import json

import numpy as np
import pytest

from bnlib import datasets, layers
from bnlib.experiments import convnets, tuning
from bnlib.experiments.convnets import ConvArm
from bnlib.training import History, accuracy, population_statistics

HISTORY = History(np.ones(1), np.array([1.0]), np.array([0.7]), diverged=False)
SMALL = {"channels": (4, 4), "epochs": 1}
ARMS = {
    f"{norm} {head}": ConvArm(norm, head=head, lr=0.1, **SMALL)
    for norm in ("", "batch", "layer", "group", "instance")
    for head in ("flatten", "average")
}


@pytest.fixture(scope="module")
def data():
    whole = datasets.digits(np.random.default_rng(0))
    return datasets.Dataset(*(part[:200] for part in whole))


def test_arms_start_from_the_same_filters(data):
    networks = [convnets.build(a, convnets.prepare(a, data), 3) for a in ARMS.values()]
    for network in networks:
        convolutions = [one for one in network.layers if isinstance(one, layers.Conv2d)]
        first = [one for one in networks[0].layers if isinstance(one, layers.Conv2d)]
        for mine, theirs in zip(convolutions, first, strict=True):
            assert (mine.params["weight"] == theirs.params["weight"]).all()


def test_pictures_keep_their_rows_and_inputs_are_standardized(data):
    own = convnets.prepare(ConvArm(), data)
    assert (own.x_test[5, 0, 2] == data.x_test[5, 16:24]).all()
    own = convnets.prepare(ConvArm(inputs="standardized"), data)
    assert own.x_train.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert own.x_train.var(axis=0).max() == pytest.approx(1, abs=1e-3)


def test_each_arm_is_trained_as_if_alone_and_evaluates_by_population_statistics(data):
    together = convnets.train(ARMS, 3, data)
    name = "batch average"
    (alone,) = convnets.train({name: ARMS[name]}, 3, data).values()
    assert list(together) == list(ARMS)
    assert (together[name].history.loss == alone.history.loss).all()
    with population_statistics(alone.network, alone.data.x_train):
        expected = accuracy(alone.network, alone.data.x_test, alone.data.y_test)
    assert alone.test_accuracy == expected


def test_rates_come_from_the_arm_or_from_the_table(data):
    arm = ConvArm("batch", **SMALL)
    one, two = (
        convnets.train({"it": own}, 3, data, rates=rates, test=False)["it"].history.loss
        for own, rates in (
            (arm, {arm.description: 0.5}),
            (ConvArm("batch", lr=0.5, **SMALL), None),
        )
    )
    assert (one == two).all()


def test_rates_are_chosen_inside_their_grid_and_kept(tmp_path, monkeypatch, capsys):
    calls = []

    def measure(_, jobs):
        calls.append(jobs)
        # 3 is best for plain networks, 0.3 and 0.1 alike for the others
        goals = {"plain": [1], "norm=layer": [-1, -2]}
        return [
            [-min(abs(place - goal) for goal in goals[arm.description]) for place in places]
            for arm, places, _ in jobs
        ]

    monkeypatch.setattr(tuning, "in_parallel", measure)
    file = tmp_path / "rates.json"
    convnets.choose([ConvArm(), ConvArm("batch", lr=1.0)], file)
    tried = [sum(len(places) for _, places, _ in jobs) for jobs in calls]
    assert tried == [12, 3, 3]  # 0.03 to 1, then 3, then 10
    convnets.choose([ConvArm(), ConvArm("layer")], file)
    assert {arm.description for jobs in calls[3:] for arm, *_ in jobs} == {"norm=layer"}
    assert capsys.readouterr().out.splitlines()[1] == "{'plain': 3.0, 'norm=layer': 0.1}"
    assert list(json.loads(file.read_text())["plain"]) == ["0.03", "0.1", "0.3", "1", "3", "10"]


def test_scores_are_those_of_the_last_training_images(monkeypatch):
    seen = []

    def train(arms, seed, data, **_):
        seen.append((*arms.values(), seed, data))
        return {"it": convnets.Run(None, data, HISTORY)}

    monkeypatch.setattr(convnets, "train", train)
    assert convnets._scores(ConvArm(), [-2], 4) == [0.7]
    arm, seed, data = seen[0]
    assert arm.lr == 0.1 and seed == 4
    whole = tuning.split(4, datasets.digits)
    assert len(data.x_train) == 800 and (data.x_test == whole.x_train[800:]).all()
