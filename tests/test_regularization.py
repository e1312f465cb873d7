"""The measures of the chapter on regularization: what they count, and what the rules compare."""

from dataclasses import replace

import numpy as np
import pytest

from bnlib import datasets
from bnlib.batch_noise import layer_noise
from bnlib.experiments import arms, regularization, regularizers
from bnlib.experiments.arms import Arm, Run
from bnlib.experiments.learning_rates import LEARNING_RATES

RULES = [
    rule
    for module in (regularization, regularizers)
    for experiment in module.EXPERIMENTS
    for rule in experiment.rules
]


class SomeRate(dict):
    """A rate for arms that have not been tuned yet, too."""

    def __missing__(self, description):
        return 0.3


@pytest.fixture
def rated(monkeypatch):
    monkeypatch.setattr(arms, "LEARNING_RATES", SomeRate(LEARNING_RATES))


def test_the_slope_of_a_root_law_is_minus_a_half():
    noise = 3 / np.sqrt(regularization.SIZES)
    assert regularization.slope(noise) == pytest.approx(-0.5)
    bent = np.where(np.array(regularization.SIZES) < regularization.FROM, 9.0, noise)
    assert regularization.slope(bent) == pytest.approx(-0.5)


def test_the_noise_of_each_layer_is_that_of_the_library_and_falls_with_the_root(monkeypatch):
    sizes, train = (16, 64), arms.train
    for name, value in (("SIZES", sizes), ("ROWS", range(3)), ("DRAWS", 60)):
        monkeypatch.setattr(regularization, name, value)
    arm = Arm(batch_norm="before", epochs=1, lr=0.1)
    monkeypatch.setattr(regularization, "train", lambda _, *how, **more: train(
        {"one": arm}, *how, **more))  # fmt: skip
    names = (regularization.OUTSIDE, "layer 3", "layer 1")
    found = regularization.noise_law(3, datasets.digits, names)
    assert tuple(found) == names
    data = arms.split(3, datasets.digits)
    network, rng = train({"one": arm}, 3, data)["one"].network, np.random.default_rng([3, 5])
    for at, size in enumerate(sizes):
        noise = layer_noise(network, data.x_train, range(3), size=size, draws=60, rng=rng)
        for name, layer in (("layer 1", noise[0]), ("layer 3", noise[2])):
            own = np.sqrt(np.mean(np.square(layer)))
            assert found[name]["noise"][at] == pytest.approx(own)
    for values in found.values():
        large, small = values["noise"]
        assert large / small == pytest.approx(2, rel=0.2)
        assert values["slope off"] == pytest.approx(0.5 - np.log(large / small) / np.log(4))


def test_the_trend_of_a_line_is_what_lies_between_its_ends():
    sizes = np.log2(regularization.GHOSTS)
    assert regularization.trend(1 - 0.02 * sizes) == pytest.approx(0.02 * 4)  # 8 to 128
    assert regularization.trend([0.5, 0.5, 0.5]) == pytest.approx(0)
    assert regularization.trend([0.5, 0.6, 0.7]) < 0


def test_arms_that_are_the_same_are_trained_once(monkeypatch):
    seen = []

    def train(chosen, seed, data):
        seen.append(chosen)
        return {name: f"run {name}" for name in chosen}

    monkeypatch.setattr(regularization, "train", train)
    one, other = Arm(lr=0.1), Arm(lr=0.3)
    runs = regularization.train_each_once({"a": one, "b": other, "c": one}, 3, None)
    assert len(seen[0]) == 2 and runs["a"] == runs["c"] != runs["b"]


def test_a_rate_is_lent_only_to_an_arm_without_its_own(rated):
    plain, wrong = Arm(), Arm(wrong_labels=0.2, epochs=120)
    assert regularization.at_the_rate_of(wrong, plain).lr == LEARNING_RATES["plain"]
    assert regularization.at_the_rate_of(replace(wrong, lr=7.0), plain).lr == 7


def trained(seed=3, **change):
    arm = Arm(depth=2, epochs=2, lr=0.1, batch_norm="before", **change)
    return arms.train({"one": arm}, seed, arms.split(seed, datasets.digits))["one"]


def test_silencing_starts_at_the_test_accuracy_and_ends_lower():
    run, rng = trained(), np.random.default_rng(0)
    masks = [[rng.permutation(100) for _ in range(2)] for _ in range(2)]
    curves = {how: regularization.silenced_accuracy(run, masks, how) for how in ("zero", "mean")}
    for curve in curves.values():
        assert curve[0] == pytest.approx(run.test_accuracy, abs=1e-12)
        assert len(curve) == len(regularization.SHARES) and curve[-1] < curve[0]
    assert curves["zero"] != curves["mean"]


def test_a_run_that_diverged_loses_everything(rated, monkeypatch):
    monkeypatch.setitem(regularization.SILENCED, "plain tuned", Arm(lr=1e300, epochs=1))
    got = regularization.silenced_units(3, datasets.digits, ("plain tuned",))["plain tuned"]
    assert got["lost, zero"] == got["lost, mean"] == 0.9 and got["test accuracy"] == 0.1


def test_by_heart_means_wrong_labels_too():
    run = Run(None, None, type("History", (), {"diverged": False, "train_accuracy": [0.5, 0.989],
                                               "test_accuracy": [0.5]})())  # fmt: skip
    assert regularization.accuracies(run)["by heart"] == 0


def test_every_family_offers_strengths_to_choose_from_and_nothing_else():
    for name, members in regularizers.FAMILIES.items():
        assert len(members) >= 4, name
        for description, arm in members.items():
            assert arm.description == description and arm.lr is None
            assert arm.wrong_labels == (0.2 if "wrong" in name else 0)
            assert bool(arm.batch_norm) == ("batch norm" in name and "without" not in name)
    best = regularizers.FAMILIES["best without batch norm clean"]
    assert set(best) >= set(regularizers.FAMILIES["standardized + dropout clean"])
    assert "batch_norm=before epochs=60 examples=300" in regularizers.FAMILIES[
        "batch norm + noise clean"
    ]  # fmt: skip


def test_the_interaction_of_dropout_is_a_difference_of_two_gains():
    contrast = regularizers._dropout_gains_less("plain", "clean tuned")
    assert contrast.weights == {
        "plain + dropout clean tuned": 1, "plain clean tuned": -1,
        "batch norm + dropout clean tuned": -1, "batch norm clean tuned": 1,
    }  # fmt: skip
    both = regularizers._even_less("plain", "clean tuned", "wrong tuned")
    assert sum(both.weights.values()) == 0 and len(both.weights) == 8
    assert set(both.weights.values()) == {1, -1}
    assert both.weights["plain + dropout wrong tuned"] == -1
    assert contrast.measure == both.measure == "test accuracy" and both.smallest == 0


def test_by_heart_each_condition_has_its_labels_and_its_rate(rated, monkeypatch):
    asked = {}

    def train_each_once(wanted, seed, data):
        asked.update(wanted)
        return dict.fromkeys(wanted)

    values = {"test accuracy": 0.5, "train accuracy": 1.0, "by heart": 1}
    monkeypatch.setattr(regularizers, "train_each_once", train_each_once)
    monkeypatch.setattr(regularizers, "accuracies", lambda run: values)
    got = regularizers.by_heart(3, datasets.digits, tuple(regularizers.CONDITIONS))
    assert all(found["gain over plain"] == 0 and found["by heart"] == 1 for found in got.values())
    for (name, _), arm in asked.items():
        assert arm.wrong_labels == (0.2 if name.startswith("wrong") else 0)
        assert arm.epochs == 120 and (arm.lr == regularizers.SHARED or name.endswith("tuned"))


def test_a_claim_is_judged_against_both_plain_arms():
    for rule in RULES:
        if rule.claim in ("C04", "C41") and rule.part != "because of the noise":
            named = " ".join(f"{c.measure} {list(c.weights)}" for c in rule.needs)
            assert "plain" in named and "standardized" in named, rule.part


def test_all_experiments_give_finite_numbers_for_a_few_steps(rated, monkeypatch):
    monkeypatch.setattr(regularizers, "FAMILIES", {
        name: {key: replace(arm, epochs=1) for key, arm in members.items()}
        for name, members in regularizers.FAMILIES.items()
    })  # fmt: skip
    got = regularizers.regularizers(3, datasets.digits, ("batch norm + noise clean at 0.1",))
    assert np.isfinite(list(got.popitem()[1].values())).all()
