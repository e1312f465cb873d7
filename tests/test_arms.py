"""The arms of the experiments: what a seed fixes, and the measures, against second opinions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnlib import datasets, layers
from bnlib.experiments import (
    arms,
    backward_pass,
    forward_pass,
    scale_invariance,
    signal_propagation,
    training,
    tuning,
)
from bnlib.experiments.arms import Arm
from bnlib.experiments.learning_rates import CHOSEN, LEARNING_RATES

ROOT = Path(__file__).resolve().parent.parent
DATA = arms.split(3, datasets.digits)


def weights(arm, seed=3):
    network = arms.build(arm, arms.prepare(arm, DATA, seed), seed)
    return [leaf.params["weight"] for leaf in network.leaves() if isinstance(leaf, layers.Linear)]


def biases(network):
    hidden = [leaf for leaf in network.leaves() if isinstance(leaf, layers.Linear)][:-1]
    return [leaf.params["bias"] for leaf in hidden]


def test_a_seed_fixes_the_split():
    np.testing.assert_array_equal(DATA.x_train, arms.split(3, datasets.digits).x_train)
    assert not np.array_equal(DATA.x_train, arms.split(4, datasets.digits).x_train)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_norm": "before"}, {"batch_norm": "after"}, {"inputs": "standardized"}, {"lr": 3.0},
        {"learned": "nothing", "batch_norm": "before"}, {"activation": "sigmoid"},
    ],
)  # fmt: skip
def test_arms_of_one_scale_start_from_the_same_weights(change):
    for own, other in zip(weights(Arm()), weights(replace(Arm(), **change)), strict=True):
        np.testing.assert_array_equal(own, other)
    assert not np.array_equal(weights(Arm())[0], weights(Arm(), seed=4)[0])


def test_scale_factor_and_equal_set_the_weights():
    for own, other in zip(weights(Arm()), weights(Arm(factor=4.0)), strict=True):
        np.testing.assert_array_equal(4 * own, other)
    assert all((weight == 0.1).all() for weight in weights(Arm(equal=0.1)))
    *hidden, last = weights(Arm(scale=0.01, output_scale="he"))
    assert hidden[1].std() == pytest.approx(0.01, rel=0.05)
    assert last.std() == pytest.approx(np.sqrt(2 / 100), rel=0.1)


def test_standardized_inputs_use_the_training_set_only():
    got = arms.standardized(DATA)
    spread = DATA.x_train.std(axis=0)
    np.testing.assert_allclose(got.x_train.mean(axis=0), 0, atol=1e-12)
    wide = spread > 0.1
    np.testing.assert_allclose(got.x_train.std(axis=0)[wide], 1, atol=1e-3)
    assert (got.x_train[:, spread == 0] == 0).all()
    changed = arms.standardized(DATA._replace(x_test=DATA.x_test + 1))
    np.testing.assert_array_equal(changed.x_train, got.x_train)
    assert not np.allclose(got.x_test.mean(axis=0), 0, atol=1e-3)


@pytest.mark.parametrize(("learned", "frozen"), [
    ("gamma, beta", set()), ("gamma", {"bias"}), ("beta", {"weight"}),
    ("nothing", {"weight", "bias"}),
])  # fmt: skip
def test_what_is_not_learned_keeps_its_value(learned, frozen):
    arm = Arm(depth=1, batch_norm="before", learned=learned, gamma=0.5, beta=0.25, epochs=1, lr=0.1)
    network = arms.train({"one": arm}, 3, DATA)["one"].network
    (norm,) = (leaf for leaf in network.leaves() if isinstance(leaf, layers.BatchNorm))
    assert norm.frozen == frozen
    for name, value in (("weight", 0.5), ("bias", 0.25)):
        assert (norm.params[name] == value).all() == (name in frozen)


@pytest.mark.parametrize(("below", "share"), [(0.5, 1.0), (0.99, 1.0), (1.0, 0.5), (0.0, 1.0)])
def test_piled_up_units_have_the_share_of_inputs_below_zero(below, share):
    arm = Arm(inputs="standardized", below=below, share=share)
    data = arms.prepare(arm, DATA, 3)
    network = arms.build(arm, data, 3)
    for z in arms.pre_activations(network, data.x_train):
        chosen = np.arange(z.shape[1]) < share * z.shape[1]
        np.testing.assert_allclose((z[:, chosen] < 0).mean(axis=0), below, atol=2e-3)
    assert all(((bias != 0) == chosen).all() for bias in biases(network))


def test_a_run_that_diverged_counts_as_guessing():
    arm = Arm(depth=2, lr=1e300, epochs=1)
    run = arms.train({"one": arm}, 3, DATA)["one"]
    assert run.history.diverged and run.test_accuracy == run.train_accuracy == 0.1
    losses = run.losses(20)
    assert losses.shape == (20,) and np.isfinite(losses).all()
    assert losses[-1] == pytest.approx(np.log(10))
    assert signal_propagation.final_loss(run) == pytest.approx(np.log(10))


def test_arms_trained_together_equal_arms_trained_alone_to_the_bit():
    chosen = {
        "plain": Arm(epochs=1, lr=0.1),
        "batch norm": Arm(epochs=1, lr=0.3, batch_norm="before"),
        "standardized": Arm(epochs=1, lr=0.1, inputs="standardized"),
    }
    together = arms.train(chosen, 3, DATA)
    for name, arm in chosen.items():
        alone = arms.train({name: arm}, 3, DATA)[name]
        np.testing.assert_array_equal(alone.history.loss, together[name].history.loss)
        assert alone.test_accuracy == together[name].test_accuracy


def test_population_statistics_leave_the_network_as_it_was():
    run = arms.train({"one": Arm(batch_norm="before", lr=0.1, epochs=1)}, 3, DATA)["one"]
    before = run.network.state_dict()
    arms.pre_activations(run.network, DATA.x_train)
    arms.cross_entropy(run.network, DATA.x_train, DATA.y_train)
    after = run.network.state_dict()
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize("size", [1, 3, 10])
def test_the_bowl_counts_the_steps_of_gradient_descent(size):
    rng = np.random.default_rng(size)
    x, first = rng.standard_normal((200, 2)) * [1, size], np.array([1.0, 1 / size])
    hessian = x.T @ x / 200
    low, high = np.linalg.eigvalsh(hessian)
    error, steps = first.copy(), 0
    while error @ hessian @ error > 0.01 * first @ hessian @ first:
        error, steps = error - 2 / (low + high) * hessian @ error, steps + 1
    got = signal_propagation.bowl(x, first)
    assert got["steps"] == steps and got["condition number"] == pytest.approx(high / low)


def test_a_line_through_a_sigmoid():
    z = np.random.default_rng(0).normal(size=(500, 3)) * [0.5, 1, 4]
    outputs = 1 / (1 + np.exp(-z))
    expected = [np.corrcoef(z[:, k], outputs[:, k])[0, 1] ** 2 for k in range(3)]
    assert forward_pass.line_explains(z) == pytest.approx(np.mean(expected))
    assert forward_pass.line_explains(np.ones((5, 2))) == 1


def test_one_sidedness():
    z = np.array([[1.0, -1.0, 1.0], [2.0, -1.0, -1.0], [1.0, -3.0, 1.0], [4.0, -1.0, -2.0]])
    assert forward_pass.tilt([z]) == pytest.approx(2 / 3)
    assert forward_pass.alone([z]) == pytest.approx(2 / 3)


def test_the_window_of_stability_starts_where_the_curve_is_ready():
    curve = np.concatenate([np.linspace(0, 0.89, 10), np.linspace(0.9, 1, 30)])
    np.testing.assert_array_equal(training.judged(curve), curve[10:26])
    np.testing.assert_array_equal(training.judged(0 * curve), (0 * curve)[-16:])
    late = np.concatenate([np.zeros(35), np.ones(5)])
    np.testing.assert_array_equal(training.judged(late), late[-16:])


def test_the_bias_drifts_only_without_the_gradient_through_the_mean():
    got = backward_pass.cheating_gradient(7, datasets.digits, ("honest", "mean constant"))
    assert max(got["honest"]["bias"]) < 1e-12 and got["mean constant"]["slope"] > 0


def test_only_hidden_linear_layers_get_the_scaled_rate():
    network = arms.build(Arm(depth=2, batch_norm="before"), DATA, 3)
    rates = scale_invariance.per_leaf(network, np.array([1.0, 2.0]), 0.5)
    kinds = [type(leaf).__name__ for leaf in network.leaves() if leaf.params]
    assert kinds == ["Linear", "BatchNorm", "Linear", "BatchNorm", "Linear"]
    assert [list(rate) for rate in rates] == [[1, 2], [0.5, 0.5], [1, 2], [0.5, 0.5], [0.5, 0.5]]


# --- the chosen learning rates --------------------------------------------------------------------


def test_every_arm_without_a_rate_has_a_chosen_one_and_no_other_has():
    assert LEARNING_RATES.keys() == tuning.untuned().keys()


def test_the_chosen_rates_are_the_best_of_the_stored_scores():
    text = (ROOT / "results" / "learning_rates.json").read_text(encoding="utf-8")
    for description, scores in json.loads(text).items():
        rates = sorted(map(float, scores))
        best = max(rates, key=lambda rate: scores[f"{rate:g}"])
        assert LEARNING_RATES[description] == best, description
        assert len(rates) >= 4 and rates[0] < best < rates[-1], f"{description}: at the edge"
        steps = np.divide(rates[1:], rates[:-1])
        assert (steps < 3.4).all(), f"{description}: the grid has a gap"


def test_the_member_chosen_of_each_family_has_the_best_score_of_all():
    scores = json.loads((ROOT / "results" / "learning_rates.json").read_text(encoding="utf-8"))
    assert tuning.FAMILIES.keys() == CHOSEN.keys() != set()
    for family, members in tuning.FAMILIES.items():
        best = {one: max(scores[one].values()) for one in members}
        assert best[CHOSEN[family]] == max(best.values()), family


def test_tuning_never_reads_the_test_images():
    full, held_out = arms.split(0, datasets.digits), tuning.validation_data(0)
    test = {image.tobytes() for image in full.x_test} - {i.tobytes() for i in full.x_train}
    seen = [*held_out.x_train, *held_out.x_test]
    assert len(held_out.x_test) == 200 and not any(image.tobytes() in test for image in seen)


def test_development_seeds_are_no_reported_seeds():
    assert max(tuning.SEEDS) < 1000


def test_tuning_widens_the_grid_until_the_best_lies_inside():
    peaks = {"at the edge": 4, "inside": -1}  # places of the ladder

    def measure(jobs):
        return [[-abs(place - peaks[arm]) for place in places] for arm, _, places, _ in jobs]

    found = tuning.tune({name: (name, "end") for name in peaks}, measure)
    for name, peak in peaks.items():
        assert tuning.choice(found[name]) == peak and {peak - 1, peak + 1} <= found[name].keys()
    assert list(found["inside"]) == list(tuning.START)
