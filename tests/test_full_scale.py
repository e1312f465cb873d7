"""Full scale: the measures on made-up images, and slices of the results where MNIST is at hand."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnlib import datasets, experiments
from bnlib.experiments import (
    arms,
    convnets,
    full_scale,
    full_scale_rates,
    judging,
    ood_networks,
    tuning,
)

at_hand = pytest.mark.skipif(
    not Path(os.environ.get("BNLIB_DATA", ""), "mnist").is_dir(),
    reason="BNLIB_DATA names no folder with MNIST, and tests download nothing",
)


def enlarged(x):
    """Digits of 8 x 8 pixels on 28 x 28: each pixel nine times, and a rim of paper."""
    large = np.kron(x.reshape(-1, 8, 8), np.ones((1, 3, 3)))
    return np.pad(large, ((0, 0), (2, 2), (2, 2))).reshape(len(x), 784)


def draw_few(rng):
    data = datasets.digits(rng)
    return datasets.Dataset(
        enlarged(data.x_train[:150]), data.y_train[:150], enlarged(data.x_test[:50]),
        data.y_test[:50],
    )  # fmt: skip


@pytest.fixture
def quick(monkeypatch):
    for name in (*full_scale.SIGMOIDS, *full_scale.CONVNETS, *full_scale.FASTER):
        monkeypatch.setitem(full_scale.RATES, name, 0.1)
    for table in (full_scale.SIGMOIDS, full_scale.CONVNETS):
        for name, arm in table.items():
            monkeypatch.setitem(table, name, replace(arm, epochs=2))
    letters = datasets.Dataset(*[np.zeros(0)] * 2, np.full((50, 784), 0.25), np.zeros(50, int))
    monkeypatch.setattr(datasets, "notmnist", lambda rng, train, test: letters)


# --- measures -------------------------------------------------------------------------------------


def test_every_arm_without_a_rate_of_its_own_has_one_that_was_chosen_on_mnist():
    for table in (full_scale.FASTER, full_scale.SIGMOIDS, full_scale.CONVNETS):
        for name, arm in table.items():
            assert full_scale.rated(name, arm).lr == (arm.lr or full_scale.RATES[name])


def test_a_rule_on_mnist_has_the_contrasts_of_the_digits():
    digits = {
        judging.key_of(rule): rule
        for one in experiments.ALL.values()
        for rule in one.rules
        if one.chapter != "full_scale"
    }
    repeated = [*full_scale.RULES_FASTER, *full_scale.RULES_SIXTEEN, *full_scale.RULES_STRANGE]
    for rule in (*repeated, full_scale.RULES_SIGMOIDS[1]):
        part = rule.part.removesuffix("on MNIST").removesuffix(", ")
        own = digits[judging.key_of(replace(rule, part=part))]
        assert (rule.needs, rule.at_least, rule.when) == (own.needs, own.at_least, own.when)


def test_sigmoids_are_looked_at_after_each_epoch(quick):
    arms = ("batch norm", "plain at 2")
    found = full_scale.sigmoids_mnist(0, draw_few, arms)
    assert list(found) == list(arms)
    for values in found.values():
        assert 0 <= values["test accuracy"] <= 1
        assert len(values["curve"]) == len(values["values"]) == len(values["percentiles"]) == 2
        assert values["rise"] == values["last"] - values["first"]
        low, middle, high = np.transpose(values["percentiles"])
        assert (low < middle).all() and (middle < high).all()
    alone = full_scale.sigmoids_mnist(0, draw_few, ("batch norm",))
    assert alone["batch norm"] == found["batch norm"]


def test_standardized_sigmoids_are_looked_at_on_what_they_see(quick):
    found = full_scale.sigmoids_mnist(0, draw_few, ("standardized", "plain"))
    assert found["standardized"]["values"] != found["plain"]["values"]


def test_a_lead_is_what_four_of_the_five_kinds_reach(quick):
    found = full_scale.strange_inputs_mnist(0, draw_few, ("BN flatten", "none flatten"))
    assert list(found) == ["BN flatten", "none flatten"]
    own, rival = found["BN flatten"], found["none flatten"]
    leads = [
        own[f"confidence, {how}"] - rival[f"confidence, {how}"]
        for how in ("letters", "natural", "inverted", "noise", "shuffled")
    ]
    assert own["confidence over none"] == sorted(leads)[1]
    assert sum(lead >= own["confidence over none"] for lead in leads) == 4
    alone = full_scale.strange_inputs_mnist(0, draw_few, ("BN flatten",))
    assert alone["BN flatten"] == own


def test_networks_of_both_heads_are_examined_together(quick, monkeypatch):
    def examine(head, kinds, seed, data, rows):
        return {kind: {"accuracy": f"of {kind}, {head}"} for kind in kinds}

    monkeypatch.setattr(full_scale, "_examine", examine)
    names = ("none average", "BN own flatten", "none flatten")
    found = full_scale.strange_inputs_mnist(0, draw_few, names)
    told = [values["accuracy"] for values in found.values()]
    assert told == ["of none, average", "of BN own, flatten", "of none, flatten"]


def test_own_statistics_are_those_of_the_pictures_that_come_in(quick):
    arms = ("BN average", "BN own average")
    found = full_scale.strange_inputs_mnist(0, draw_few, arms)
    stored, own = (found[name] for name in arms)
    assert stored["confidence, inverted"] != own["confidence, inverted"]
    assert own["activation ratio, shuffled"] != stored["activation ratio, shuffled"]


def test_strange_pictures_are_as_large_as_the_digits(quick):
    ink = draw_few(np.random.default_rng(0)).x_test
    for how in full_scale.STRANGE:
        x = full_scale.strange(ink, how, np.random.default_rng(1))
        assert x.shape == ink.shape and x.min() >= 0 and x.max() <= 1, how


def test_a_network_of_silent_units_is_no_error(quick, monkeypatch):
    """ReAct's limit, the ninth decile of all activations, is then 0, which `react` refuses."""
    monkeypatch.setattr(ood_networks.ood, "react_limit", lambda network, x: 0.0)
    found = full_scale.strange_inputs_mnist(0, draw_few, ("none flatten",))["none flatten"]
    assert 0 <= found["accuracy, clipped"] <= 1 and found["AUROC, clipped, noise"] == 0.5


# --- rates ----------------------------------------------------------------------------------------


def test_rates_are_those_with_the_best_scores():
    scores = json.loads(full_scale_rates.SCORES.read_text(encoding="utf-8"))
    assert {name: tuning.best_rate(own) for name, own in scores.items()} == full_scale.RATES
    for own in scores.values():  # the best is no edge
        rates = sorted(map(float, own))
        assert rates[0] < tuning.best_rate(own) < rates[-1]


def short(monkeypatch, name):
    """A few digits for a task that holds back thirty; they and its table of arms."""
    seen = draw_few(np.random.default_rng(0))
    monkeypatch.setattr(full_scale_rates, "draw_of", lambda name: lambda rng: seen)
    table, _, start = full_scale_rates.TASKS[name]
    monkeypatch.setitem(full_scale_rates.TASKS, name, (table, 30, start))
    return seen, table


@pytest.mark.parametrize("name", full_scale_rates.TASKS)
def test_rates_are_chosen_without_the_test_images(monkeypatch, name):
    seen, _ = short(monkeypatch, name)
    data = full_scale_rates.validation_data(0, name)
    assert (data.x_train == seen.x_train[:120]).all() and (data.x_test == seen.x_train[120:]).all()


@pytest.mark.parametrize("name", full_scale_rates.TASKS)
def test_a_score_is_the_validation_accuracy_at_a_rate_for_c02_over_all_epochs(monkeypatch, name):
    _, table = short(monkeypatch, name)
    arm = replace(list(table.values())[-1], epochs=2, lr=None)
    found = full_scale_rates.scores(name, arm, (-2, -1), 4)
    data = full_scale_rates.validation_data(4, name)
    train = arms.train if isinstance(arm, arms.Arm) else convnets.train
    for rate, score in zip((0.1, 0.3), found, strict=True):
        run = train({"": replace(arm, lr=rate)}, 4, data, evaluate="each epoch")[""]
        curve = run.history.test_accuracy
        assert score == pytest.approx(sum(curve) / 2 if name == "mnist_first" else curve[-1])


def test_what_has_scores_is_kept_and_what_has_none_is_measured(monkeypatch, tmp_path, capsys):
    file, asked = tmp_path / "rates.json", []
    stored = full_scale_rates.SCORES.read_text(encoding="utf-8")
    scores = json.loads(stored)
    known = {name: own for name, own in scores.items() if name != "BN average"}
    file.write_text(json.dumps(known), encoding="utf-8")

    def look_up(measure, jobs):
        asked.extend(jobs)
        return [
            [scores["BN average"][f"{tuning.rate(place):g}"] for place in job[2]] for job in jobs
        ]

    monkeypatch.setattr(full_scale_rates, "SCORES", file)
    monkeypatch.setattr(tuning, "in_parallel", look_up)
    full_scale_rates.main()
    assert file.read_text(encoding="utf-8") == stored
    assert capsys.readouterr().out == f"{full_scale.RATES}\n"
    assert {(data, arm) for data, arm, *_ in asked} == {
        ("mnist_10000", full_scale.CONVNETS["BN average"])
    }
    assert [seed for *_, seed in asked[:2]] == [0, 1]


# --- results --------------------------------------------------------------------------------------


@at_hand
@pytest.mark.parametrize(
    ("name", "arms"),
    [
        ("sixteen_scales_mnist", ["plain 0.293", "batch norm 0.00736"]),
        ("faster_mnist", ["standardized at 0.01", "batch norm tuned"]),
    ],
)
def test_a_slice_of_the_results_measured_again(name, arms):
    again = experiments.live(name, seeds=1, arms=arms)
    assert set(again.header["arms"]) == set(arms)


def test_every_result_of_full_scale_has_at_least_five_seeds():
    for one in full_scale.EXPERIMENTS:
        assert len(experiments.load(one.name).seeds) >= 5
