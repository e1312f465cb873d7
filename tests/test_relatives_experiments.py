"""The measures of the chapter on batch norm's relatives: crossover, detours, gradients, rates."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bnlib import datasets, functional, layers, training
from bnlib.experiments import convnets, tuning
from bnlib.experiments import cures as curing
from bnlib.experiments import relatives as experiment
from bnlib.experiments.arms import Arm, split
from bnlib.experiments.cures import (
    CURES,
    DEEP_RATES,
    Deep,
    build_deep,
    cures,
    first_over_last,
    train_deep,
    weight_gradients,
    with_detours,
)
from bnlib.experiments.relatives import (
    SHRINKING,
    crossover,
    shrinking_batches,
    values_per_channel,
)

DATA = split(3, datasets.digits)


# --- the crossover --------------------------------------------------------------------------------


def cross(*rows, sizes=(2, 4, 16)):
    return crossover(np.array(rows), sizes, rng=np.random.default_rng(0), resamples=500)


def test_the_crossover_lies_where_the_line_between_two_sizes_is_0():
    assert cross([0.3, 0.1, -0.1], [0.1, 0.1, -0.1]) == pytest.approx((8, 8, 8))
    assert cross([0.3, -0.1, -0.4])[0] == pytest.approx(2**1.75)


def test_no_crossover_is_infinite_and_one_below_all_sizes_is_0():
    assert cross([0.1, 0.2, 0.0]) == (np.inf, np.inf, np.inf)
    assert cross([-0.1, 0.2, -0.3]) == (0, 0, 0)


def test_the_crossover_s_interval_is_that_of_other_seeds():
    rng = np.random.default_rng(1)
    gains = np.array([0.04, 0.02, -0.02]) + rng.normal(0, 0.02, (40, 3))
    estimate, low, high = crossover(gains, (2, 4, 16), rng=rng)
    assert 4 < low < estimate < high < 16
    few = crossover(gains[:5], (2, 4, 16), rng=rng)
    assert few[2] - few[1] > high - low


def test_the_ends_of_the_crossover_s_interval_are_quantiles_over_resampled_seeds():
    gains = np.array([0.04, 0.02, -0.02]) + np.random.default_rng(1).normal(0, 0.02, (9, 3))
    _, low, high = crossover(gains, (2, 4, 16), rng=np.random.default_rng(0), resamples=41)
    drawn = np.random.default_rng(0).integers(9, size=(41, 9))
    other = np.random.default_rng(0)
    estimates = [crossover(gains[rows], (2, 4, 16), rng=other, resamples=1)[0] for rows in drawn]
    assert (low, high) == tuple(np.quantile(estimates, (0.025, 0.975)))  # the 2nd, and 2nd last


def test_the_longer_race_is_the_same_for_six_epochs(monkeypatch):
    asked = []

    def train(arms, seed, data):
        asked.append((arms, seed, data))
        run = SimpleNamespace(test_accuracy=0.5, train_accuracy=0.75)
        return dict.fromkeys(arms, run)

    monkeypatch.setattr(convnets, "train", train)
    names = ("group norm 2", "batch norm 64")
    found = experiment.longer_in_batches(3, datasets.digits, names)
    assert list(found) == list(names)
    assert all(own == {"test accuracy": 0.5, "train accuracy": 0.75} for own in found.values())
    ((arms, seed, data),) = asked
    assert arms == {
        "group norm 2": replace(SHRINKING["group norm 2"], epochs=6, lr=0.001),
        "batch norm 64": replace(SHRINKING["batch norm 64"], epochs=6, lr=0.1),
    }
    assert seed == 3 and (data.x_test == DATA.x_test).all()


def test_values_per_channel_are_those_that_batch_norm_sees():
    arm = SHRINKING["batch norm 2"]
    own = convnets.prepare(arm, DATA)
    network = convnets.build(arm, own, 3)
    x, seen = own.x_train[:2], []
    for layer in network.layers:
        if isinstance(layer, layers.BatchNorm):
            seen.append(x.size // layer.num_features)
        x = layer.forward(x, training=True)
    assert seen == values_per_channel(2)


# --- deep networks --------------------------------------------------------------------------------


def test_detours_keep_the_layers_and_add_what_goes_in():
    plain, detoured = (layers.mlp([4, 5, 5, 5, 2], rng=np.random.default_rng(0)) for _ in range(2))
    detoured = with_detours(detoured)
    kinds = [type(layer).__name__ for layer in detoured.layers]
    assert kinds == ["Linear", "ReLU", "Residual", "Residual", "Linear"]
    x = np.random.default_rng(1).normal(size=(3, 4))
    first, relu, *hidden, last = plain.layers
    expected = relu.forward(first.forward(x, training=True), training=True)
    for linear in hidden[::2]:
        z = linear.forward(expected, training=True)
        expected = expected + np.maximum(z, 0)
    expected = last.forward(expected, training=True)
    np.testing.assert_allclose(detoured.forward(x, training=True), expected, rtol=1e-13)


@pytest.mark.parametrize("cure", ["layer norm", "residual"])
def test_the_weights_of_a_cure_are_those_of_the_plain_network(cure):
    plain = curing.at_the_start(CURES["plain 5"], 3, DATA)[0]
    own = build_deep(Deep(cure, 5), 3)
    weights = [
        [leaf.params["weight"] for leaf in net.leaves() if isinstance(leaf, layers.Linear)]
        for net in (plain, own)
    ]
    assert len(weights[0]) == 6
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    norms = sum(isinstance(leaf, layers.LayerNorm) for leaf in own.leaves())
    assert norms == (5 if cure == "layer norm" else 0)


def test_weight_gradients_are_those_of_the_mean_loss():
    network = layers.mlp([4, 5, 5, 3], rng=np.random.default_rng(0), activation=layers.Tanh)
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(6, 4)), np.arange(6) % 3
    sizes = weight_gradients(network, x, labels)
    linears = [layer for layer in network.layers if isinstance(layer, layers.Linear)]

    def loss():
        return functional.softmax_cross_entropy(network.forward(x, training=True), labels)[0]

    for size, linear in zip(sizes, linears, strict=True):
        weight, slopes = linear.params["weight"], []
        for place in np.ndindex(weight.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = weight.copy()
                moved[place] += step
                linear.params = {**linear.params, "weight": moved}
                ends.append(loss())
            slopes.append((ends[0] - ends[1]) / 2e-5)
        linear.params = {**linear.params, "weight": weight}
        assert size == pytest.approx(np.sqrt(np.mean(np.square(slopes))), rel=1e-5)
    assert first_over_last(network, x, labels) == sizes[0] / sizes[1], "of the hidden layers"


def test_gradients_of_batch_norm_are_those_of_training():
    own = [layers.mlp([4, 5, 3], rng=np.random.default_rng(0), batch_norm=True) for _ in range(2)]
    x, labels = np.random.default_rng(1).normal(5, 2, size=(6, 4)), np.arange(6) % 3
    sizes = weight_gradients(own[0], x, labels)
    _, cache = functional.softmax_cross_entropy(own[1].forward(x, training=True), labels)
    own[1].backward(functional.softmax_cross_entropy_backward(cache))
    gradient = own[1].layers[0].grads["weight"]
    assert sizes[0] == pytest.approx(np.sqrt(np.mean(gradient**2)))


def test_cures_take_their_rates_from_where_they_were_tuned():
    for name, arm in CURES.items():
        known = isinstance(arm, Arm)
        assert known == (not name.startswith(("layer norm", "residual")))
        assert known or name in DEEP_RATES
        assert f"{arm.depth}" == name.split()[-1]
    assert CURES["weights x 4 8"].factor == 4 and CURES["ReLU 5"].activation == "relu"


# --- rules and rates ------------------------------------------------------------------------------


def test_every_cure_is_judged_at_every_depth():
    both = (*curing.PATIENTS, *curing.THREE)
    for rule, cures_of_it, depths in (
        (curing.VANISHES, both, curing.DEPTHS),
        (curing.TRAINS, both, (8,)),
        (curing.NO_OTHERS, curing.OTHERS, (8,)),
    ):
        named = {name for contrast in rule.needs for name in contrast.weights}
        assert named == {f"{cure} {depth}" for cure in cures_of_it for depth in depths}


def test_group_norm_must_beat_batch_norm_and_not_lose_to_either_plain_arm():
    named = [set(contrast.weights) for contrast in experiment.C33.needs]
    for size in (2, 4):
        assert {f"group norm {size}", f"batch norm {size}"} in named
    for rival in ("plain 2", "standardized 2"):
        assert {"group norm 2", rival} in named


def scores():
    return json.loads(experiment.SCORES.read_text(encoding="utf-8"))


def test_the_chosen_rates_are_the_best_of_the_stored_scores():
    assert {**experiment.CONV_RATES, **DEEP_RATES} == convnets.best(scores())
    assert scores().keys() == experiment.untuned().keys()


def test_no_chosen_rate_lies_at_the_edge_of_its_grid():
    for name, rate in convnets.best(scores()).items():
        tried = sorted(map(float, scores()[name]))
        assert tried[0] < rate < tried[-1] and len(tried) >= 4, name
        assert max(b / a for a, b in itertools.pairwise(tried)) < 3.4


def test_a_rate_is_scored_by_validation_of_its_own_kind_of_network(monkeypatch):
    asked = []

    def accuracy_of(arm, seed, data):
        asked.append((arm, seed, len(data.x_train), len(data.x_test)))
        return SimpleNamespace(test_accuracy=arm.lr)

    def train(named, seed, data):
        return {name: accuracy_of(arm, seed, data) for name, arm in named.items()}

    monkeypatch.setattr(experiment, "train_deep", accuracy_of)
    monkeypatch.setattr(convnets, "train", train)
    for arm in (Deep("residual", 2), SHRINKING["group norm 2"]):
        assert experiment._scores(arm, (0, -2), 7) == [1.0, 0.1]
        assert asked == [(replace(arm, lr=lr), 7, 800, 200) for lr in (1.0, 0.1)]
        asked.clear()


def test_choosing_starts_lower_for_smaller_batches_and_keeps_all_scores(
    monkeypatch, tmp_path, capsys
):
    asked = {}

    def tune(arms, measure, seeds, starts):
        asked.update(arms=arms, seeds=seeds, starts=starts)
        return {name: {-2: 0.5, 0: 0.75} for name in arms}

    monkeypatch.setattr(tuning, "tune", tune)
    monkeypatch.setattr(experiment, "SCORES", tmp_path / "scores.json")
    experiment.choose()
    wanted = experiment.untuned()
    assert asked["arms"] == {name: (arm,) for name, (arm, _) in wanted.items()}
    assert asked["seeds"] == experiment.SEEDS
    for size, places in ((2, [-6, -5, -4, -3]), (16, [-5, -4, -3, -2]), (64, [-4, -3, -2, -1])):
        assert asked["starts"][SHRINKING[f"batch norm {size}"].description] == places
    assert asked["starts"]["residual 8"] == [-2, -1, 0, 1]
    stored = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert stored == {name: {"0.1": 0.5, "1": 0.75} for name in wanted}
    assert "residual 8" in capsys.readouterr().out


def test_experiments_give_finite_numbers_for_a_few_steps(monkeypatch):
    short = {"batch norm 64": replace(SHRINKING["batch norm 64"], epochs=1, lr=0.1)}
    monkeypatch.setattr(experiment, "SHRINKING", short)
    got = shrinking_batches(3, datasets.digits, ("batch norm 64",))["batch norm 64"]
    assert got.keys() == {"test accuracy", "train accuracy"}
    names = ("layer norm 5", "residual 8", "batch norm 8", "plain 5")
    few = {name: replace(CURES[name], epochs=1, lr=0.1) for name in names}
    monkeypatch.setattr(curing, "CURES", few)
    monkeypatch.setattr(curing, "DEEP_RATES", dict.fromkeys(few, 0.1))
    got = cures(3, datasets.digits, names)
    assert got.pop("plain 5").keys() == {"gradient"}
    for values in got.values():
        assert np.isfinite(list(values.values())).all() and values["gradient"] > 0
        assert values["trains"] == (values["train accuracy"] > 0.9)


@pytest.mark.parametrize("cure", ["layer norm", "residual"])
def test_a_seed_fixes_the_training_of_a_cure_and_its_run_has_the_trained_network(cure):
    one, again = (train_deep(Deep(cure, 2, epochs=1), 3, DATA) for _ in range(2))
    np.testing.assert_array_equal(one.history.loss, again.history.loss)
    assert one.test_accuracy == training.accuracy(one.network, DATA.x_test, DATA.y_test)
    other = train_deep(Deep(cure, 2, epochs=1), 4, DATA)
    assert not np.array_equal(one.history.loss, other.history.loss)


def test_a_run_that_diverged_is_counted_as_guessing():
    run = train_deep(Deep("residual", 2, lr=1e308, epochs=1), 3, DATA)
    assert run.history.diverged and run.train_accuracy == 0.1
