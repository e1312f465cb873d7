"""The arms of the experiments: what a seed fixes, and the measures, against second opinions."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bnlib import datasets, experiments, layers
from bnlib.experiments import (
    arms,
    backward_pass,
    forward_pass,
    scale_invariance,
    signal_propagation,
    training,
    training_choices,
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
        if below in (0, 1):  # the last one, too
            np.testing.assert_array_equal((z[:, chosen] < 0).mean(axis=0), below)
    assert all(((bias != 0) == chosen).all() for bias in biases(network))


def test_the_optimizer_is_told_of_momentum_and_weight_decay():
    assert arms._options(Arm(momentum=0.9, weight_decay=0.1)) == {
        "momentum": 0.9, "weight_decay": 0.1,
    }  # fmt: skip
    assert arms._options(Arm()) == {"weight_decay": 0}


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


def test_a_rate_with_the_square_of_the_scale_gives_one_curve_for_all_scales(monkeypatch):
    def draw_few(rng):
        return datasets.Dataset(*(part[:200] for part in datasets.digits(rng)))

    scales = (scale_invariance.REFERENCE, 1.0)
    monkeypatch.setattr(scale_invariance, "SCALES", scales)
    monkeypatch.setattr(
        scale_invariance, "POST", replace(training.POST, depth=2, batch_size=20, lr=7.0)
    )
    found = scale_invariance.effective_rate(3, draw_few, ("p = 0", "p = 2"))
    arm = replace(training.POST, depth=2, batch_size=20, batch_norm="before", output_scale="he")
    runs = arms.train(
        {f"{scale}": replace(arm, scale=scale, lr=0.01) for scale in scales},
        3, arms.split(3, draw_few), evaluate="each epoch", test=False,
    )  # fmt: skip
    expected = [pytest.approx(run.history.train_accuracy) for run in runs.values()]
    assert found["p = 0"]["curves"] == expected
    assert found["p = 2"]["curves"] == [expected[0]] * 2
    for values in found.values():
        assert values["areas"] == pytest.approx(np.mean(values["curves"], axis=1))
        assert values["spread"] == pytest.approx(np.ptp(values["areas"]))
    assert found["p = 0"]["spread"] > 0.3


@pytest.mark.parametrize(("batch_size", "epochs", "over"), [(200, 100, 1), (50, 30, 20)])
def test_the_fewest_steps_are_those_of_the_best_rate(batch_size, epochs, over):
    few = DATA._replace(x_train=DATA.x_train[:200], y_train=DATA.y_train[:200])
    rates, how = (0.03, 1.0, 0.3), {"batch_size": batch_size, "epochs": epochs}
    needed = {}
    for rate in rates:
        arm = Arm(depth=0, lr=rate, **how)
        losses = arms.train({"": arm}, 3, few)[""].history.loss
        below = [
            k for k in range(over, len(losses) + 1)
            if losses[k - over : k].mean() < signal_propagation.TARGET
        ]  # fmt: skip
        needed[rate] = below[0] if below else len(losses) + 1
    best = min(rates, key=needed.get)
    found = signal_propagation.fewest_steps(few, 0, rates, seed=3, **how)
    assert found == {"steps": needed[best], "rate": best}
    assert needed[best] < max(needed.values())


def test_inputs_are_compared_in_one_layer_and_in_a_deep_network(monkeypatch):
    asked = []

    def fewest_steps(data, depth, rates, **how):
        asked.append((data.x_train, depth, rates, how))
        return {"steps": len(asked)}

    monkeypatch.setattr(signal_propagation, "fewest_steps", fewest_steps)
    names = ("network standardized", "bowl x 1", "softmax raw")
    found = signal_propagation.input_scaling(3, datasets.digits, names)
    assert list(found) == list(names)
    assert (found["softmax raw"], found["network standardized"]) == ({"steps": 1}, {"steps": 2})
    (raw, *softmax), (standardized, *network) = asked
    np.testing.assert_array_equal(raw, DATA.x_train)
    np.testing.assert_array_equal(standardized, arms.standardized(DATA).x_train)
    whole = {"seed": 3, "batch_size": 1000, "epochs": 200}
    assert softmax == [0, signal_propagation.SOFTMAX_RATES, whole]
    batches = {"seed": 3, "batch_size": 50, "epochs": 10}
    assert network == [3, signal_propagation.NETWORK_RATES, batches]


def test_the_bowl_s_wish_is_one_for_or_against_each_input_whatever_their_sizes(monkeypatch):
    asked = []
    monkeypatch.setattr(signal_propagation, "bowl", lambda x, first: asked.append((x, first)))
    few = datasets.Dataset(*(np.ones((4, 2)), np.arange(4)) * 2)
    monkeypatch.setattr(signal_propagation, "split", lambda seed, draw: few)
    wishes = set()
    for seed in range(20):
        signal_propagation.input_scaling(seed, None, ())
        *raw, (inputs, wish) = asked
        for size, (x, first) in zip(signal_propagation.SIZES, raw, strict=True):
            np.testing.assert_array_equal(first * (1, size), wish)
            np.testing.assert_allclose(x.std(axis=0) * inputs, x - x.mean(axis=0), atol=1e-12)
        wishes.add(tuple(wish))
        asked.clear()
    assert wishes == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def accurate(accuracies):
    """In the place of `train`: what each arm ends with, by its rate."""
    asked = {}

    def train(arms, seed, data, **how):
        asked.update(arms)
        return {
            name: SimpleNamespace(train_accuracy=accuracies[arm.lr]) for name, arm in arms.items()
        }

    return train, asked


def test_a_scale_is_tried_at_every_rate_before_it_fails(monkeypatch):
    rates = signal_propagation.WIDE_RATES
    for best, trains in ((0.95, 0), (0.951, 1)):
        accuracies = dict.fromkeys(rates, 0.3) | {rates[4]: best}
        train, asked = accurate(accuracies)
        monkeypatch.setattr(signal_propagation, "train", train)
        got = signal_propagation.initial_scales(3, datasets.digits, ("He / 10",))["He / 10"]
        assert (got["trains"], got["train accuracy"]) == (trains, best)
        assert got["train accuracy at each rate"] == list(accuracies.values())
        arm = Arm(depth=5, batch_size=100, factor=0.1)
        assert list(asked.values()) == [replace(arm, lr=rate) for rate in rates]
    z = arms.pre_activations(arms.build(arm, DATA, 3), DATA.x_train)
    expected = np.maximum(z[-1], 0).std() / np.maximum(z[0], 0).std()
    assert got["spread"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("trained", "largest"), [((), 0.005), ((0.01, 0.04), 0.04), ((0.01, 41.0), 41.0)]
)
def test_the_largest_rate_is_that_of_the_last_that_trains(trained, largest, monkeypatch):
    accuracies = {r: 0.951 if r in trained else 0.95 for r in training.MANY_RATES}
    train, asked = accurate(accuracies)
    monkeypatch.setattr(training, "train", train)
    got = training.largest_rate(3, datasets.digits, ("batch norm",))["batch norm"]
    assert got["largest rate"] == largest
    assert got["train accuracy at each rate"] == list(accuracies.values())
    assert list(asked.values()) == [Arm(lr=rate, batch_norm="before") for rate in accuracies]


@pytest.mark.parametrize(("accuracy", "reaches"), [(0.95, 0), (0.951, 1)])
def test_an_optimizer_reaches_its_aim_above_95_percent(accuracy, reaches, monkeypatch):
    network = arms.build(Arm(depth=1, batch_norm="before", gamma=0.75), DATA, 3)
    run = SimpleNamespace(
        train_accuracy=accuracy, test_accuracy=0.5, network=network,
        losses=lambda steps: np.linspace(1, 0, steps),
    )  # fmt: skip
    monkeypatch.setattr(training_choices, "train", lambda arms, seed, data: {"one": run})
    name = next(iter(training_choices.OPTIMIZERS))
    got = training_choices.optimizers(3, datasets.digits, (name,))["one"]
    assert (got["reaches"], got["moved"], got["test accuracy"]) == (reaches, 0.25, 0.5)
    assert got["steps"] == 370  # the mean of 20 is that of the middle two


class Enough(Exception):
    """What a test wanted to see has been asked."""


@pytest.mark.parametrize(
    ("name", "evaluate"),
    [
        ("input_scaling", "never"), ("one_step", "never"), ("surfaces", "never"),
        ("initial_scales", "end"), ("zero_weights", "end"), ("noise_law", "end"),
        ("largest_rate", "end"), ("sixteen_scales", "each epoch"),
    ],
)  # fmt: skip
def test_no_time_is_spent_on_accuracies_that_nobody_asks_for(name, evaluate, monkeypatch):
    one, asked = experiments.ALL[name], {}

    def train(arms, seed, data, **how):
        asked.update(how)
        raise Enough

    monkeypatch.setattr(sys.modules[one.measure.__module__], "train", train)
    with pytest.raises(Enough):
        one.measure(3, datasets.digits, one.arms[-1:])
    assert asked["test"] is False and asked.get("evaluate", "end") == evaluate


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


def test_a_start_is_tried_at_every_rate_with_its_own_norm_and_weights(monkeypatch):
    for best, trains in ((0.9, 0), (0.901, 1)):
        train, asked = accurate(dict.fromkeys(forward_pass.START_RATES, 0.5) | {0.3: best})
        monkeypatch.setattr(forward_pass, "train", train)
        got = forward_pass.zero_weights(3, datasets.digits, ("batch norm, tiny",))
        assert got == {"batch norm, tiny": {"train accuracy": best, "trains": trains}}
    assert sorted(arm.lr for arm in asked.values()) == [0.03, 0.1, 0.3, 1, 3]
    expected = Arm(batch_norm="before", factor=1e-8)
    assert {replace(arm, lr=None) for arm in asked.values()} == {expected}


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
