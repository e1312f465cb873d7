"""Whitening against PyTorch, slopes and counted operations; networks that whiten."""

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest

from bnlib import batch_norm, batch_norm_backward, datasets, layers, optim, training, whitening
from bnlib.experiments import arms
from bnlib.experiments import whitened_networks as nets
from bnlib.experiments import whitening as experiment
from bnlib.experiments.arms import split
from bnlib.whitening import (
    HOW,
    correlation,
    cost,
    directions,
    divide_by_deviations,
    divide_by_triangle,
    operations,
    whiten,
    whiten_backward,
    whiten_inference,
)

DATA = split(3, datasets.digits)
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}


def mixed(count, dimensions, seed=0):
    """A batch with correlated dimensions away from 0, and a random upstream gradient."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, dimensions)) @ rng.normal(size=(dimensions, dimensions))
    return x + rng.normal(size=dimensions), rng.normal(size=x.shape)


def covariance(y):
    return np.cov(y.T, bias=True)


# --- what comes out -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOW)
def test_means_are_0_and_the_covariance_is_the_identity(how):
    x, _ = mixed(200, 6)
    y, cache = whiten(x, eps=1e-14, how=how)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(covariance(y), np.eye(6), atol=1e-9)
    np.testing.assert_allclose(cache.mean, x.mean(axis=0))


@pytest.mark.parametrize("how", HOW)
def test_eps_keeps_variances_below_1_as_in_batch_norm(how):
    x, _ = mixed(200, 3)
    y, cache = whiten(x, eps=0.5, how=how)
    matrix = cache.matrix[0]
    expected = np.eye(3) - 0.5 * matrix.T @ matrix
    np.testing.assert_allclose(covariance(y), expected, **ROUNDING)


def test_zca_moves_the_data_least_and_the_triangle_takes_dimensions_in_order():
    x, _ = mixed(100, 4)
    centred = x - x.mean(axis=0)
    moved = {how: whiten(x, eps=1e-12, how=how)[0] for how in HOW}
    turns = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 4, 4)))[0]
    nearest = np.square(moved["zca"] - centred).sum()
    for turn in turns:
        assert np.square(moved["zca"] @ turn - centred).sum() >= nearest
    first = batch_norm(x[:, :1], eps=1e-12)[0]
    np.testing.assert_allclose(moved["cholesky"][:, :1], first, **ROUNDING)
    assert not np.allclose(moved["zca"][:, :1], first, atol=0.1)


def test_a_cloud_whose_answer_is_known():
    # Variances 5 and 5, covariance 4: the axes of the ellipse are the diagonals, of variance 9, 1.
    x = np.array([[3.0, 3.0], [-3.0, -3.0], [1.0, -1.0], [-1.0, 1.0]])
    np.testing.assert_allclose(covariance(x), [[5, 4], [4, 5]])
    y, _ = whiten(x, eps=1e-14)
    np.testing.assert_allclose(y, x / [[3], [3], [1], [1]], rtol=1e-9)


@pytest.mark.parametrize("how", HOW)
def test_groups_of_one_are_batch_norm_forward_and_backward(how):
    x, dy = mixed(20, 6)
    y, cache = whiten(x, how=how, group=1)
    expected, own = batch_norm(x)
    np.testing.assert_allclose(y, expected, **ROUNDING)
    dx = batch_norm_backward(dy, own)[0]
    np.testing.assert_allclose(whiten_backward(dy, cache), dx, **ROUNDING)


@pytest.mark.parametrize("how", HOW)
def test_groups_are_whitened_as_if_alone(how):
    x, dy = mixed(20, 6)
    y, cache = whiten(x, how=how, group=3)
    dx = whiten_backward(dy, cache)
    for part in (slice(0, 3), slice(3, 6)):
        alone, own = whiten(x[:, part], how=how)
        np.testing.assert_array_equal(y[:, part], alone)
        np.testing.assert_allclose(dx[:, part], whiten_backward(dy[:, part], own), **ROUNDING)


def test_stored_statistics_are_a_fixed_map():
    x, _ = mixed(20, 6)
    for how in HOW:
        for group in (None, 2):
            y, cache = whiten(x, how=how, group=group)
            again = whiten_inference(x[3:5], cache.mean, cache.matrix)
            np.testing.assert_allclose(again, y[3:5], **ROUNDING)


@pytest.mark.parametrize("count", [2, 5, 8, 9, 10, 30])
def test_a_batch_of_m_whitens_at_most_m_minus_1_directions(count):
    y, _ = whiten(mixed(count, 8)[0], eps=1e-10)
    assert np.linalg.matrix_rank(y, tol=1e-3) == min(count - 1, 8)


def test_a_small_batch_becomes_a_simplex_whatever_it_held():
    for seed in range(3):
        y, _ = whiten(mixed(7, 10, seed)[0], eps=1e-12)
        gaps = np.linalg.norm(y[:, None] - y, axis=2)
        np.testing.assert_allclose(gaps[~np.eye(7, dtype=bool)], np.sqrt(2 * 7), rtol=1e-6)


# --- what comes back ------------------------------------------------------------------------------


# Of a batch smaller than its dimensions autograd divides by differences of equal eigenvalues; the
# slopes below have no such trouble.
@pytest.mark.parametrize(
    ("how", "count", "dimensions", "eps"),
    [("zca", 9, 5, 1e-5), ("zca", 30, 1, 1e-5), ("cholesky", 9, 5, 1e-5), ("cholesky", 4, 6, 1e-2)],
)
def test_the_gradient_equals_pytorch(how, count, dimensions, eps):
    torch = pytest.importorskip("torch")
    x, dy = mixed(count, dimensions)
    own = torch.tensor(x, requires_grad=True)
    centred = own - own.mean(0)
    root = centred.T @ centred / count + eps * torch.eye(dimensions, dtype=torch.float64)
    if how == "zca":
        values, vectors = torch.linalg.eigh(root)
        matrix = vectors @ torch.diag(values**-0.5) @ vectors.T
    else:
        matrix = torch.linalg.inv(torch.linalg.cholesky(root)).T
    (centred @ matrix * torch.tensor(dy)).sum().backward()
    y, cache = whiten(x, eps=eps, how=how)
    np.testing.assert_allclose(y, (centred @ matrix).detach().numpy(), rtol=1e-8, atol=1e-8)
    expected = own.grad.numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(whiten_backward(dy, cache), expected, rtol=0, atol=1e-8 * scale)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("count", "dimensions"), [(9, 5), (4, 6)])
def test_the_gradient_equals_slopes(how, count, dimensions):
    x, dy = mixed(count, dimensions)
    _, cache = whiten(x, eps=0.1, how=how)
    dx, step = whiten_backward(dy, cache), 1e-6
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        ends = [(whiten(moved, eps=0.1, how=how)[0] * dy).sum() for moved in (up, down)]
        assert dx[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6)


@pytest.mark.parametrize("how", HOW)
def test_nothing_comes_back_that_only_moves_or_stretches_the_batch(how):
    x, _ = mixed(30, 4)
    y, cache = whiten(x, eps=1e-13, how=how)
    stretch = np.random.default_rng(2).normal(size=(4, 4))
    for dy in (np.ones_like(y) * [1, 2, 3, 4], y @ (stretch + stretch.T)):
        np.testing.assert_allclose(whiten_backward(dy, cache), 0, atol=1e-8)


def test_arguments_stay_as_they_were():
    x, dy = mixed(8, 4)
    before = x.copy(), dy.copy()
    for how in HOW:
        whiten_backward(dy, whiten(x, how=how)[1])
    np.testing.assert_array_equal(before, (x, dy))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: whiten(x[0]), ValueError, "shape (N, D)"),
        (lambda x: whiten(x[:0]), ValueError, "not be empty"),
        (lambda x: whiten(x.astype(int)), TypeError, "got int64"),
        (lambda x: whiten(x + 0j), TypeError, "must be real"),
        (lambda x: whiten(x, how="pca"), ValueError, "got 'pca'"),
        (lambda x: whiten(x, eps=0), ValueError, "eps must be a number above 0"),
        (lambda x: whiten(x, group=3), ValueError, "divide the 4 dimensions"),
        (lambda x: whiten(x * np.nan), FloatingPointError, "must be finite"),
        (
            lambda x: whiten(1e12 * x[:3], eps=1e-30, how="cholesky"),
            FloatingPointError,
            "eps=1e-30",
        ),
        (lambda x: whiten_backward(x[1:], whiten(x)[1]), ValueError, "to match y"),
        (lambda x: whiten_inference(x, np.ones(3), np.eye(4)[None]), ValueError, "mean"),
        (lambda x: whiten_inference(x, np.ones(4), np.eye(3)[None]), ValueError, "matrix"),
    ],
)
def test_errors_say_what_was_expected(call, error, words):
    with pytest.raises(error) as caught:
        call(mixed(8, 4)[0])
    assert words in str(caught.value)


# --- correlation ----------------------------------------------------------------------------------


def test_correlation_and_directions_of_known_tables():
    alike = np.arange(10.0)[:, None] * [1, 2, -3]
    assert correlation(alike) == pytest.approx(1) and directions(alike) == pytest.approx(1)
    apart, _ = whiten(mixed(50, 5)[0], eps=1e-13)
    assert correlation(apart) < 1e-9 and directions(apart) == pytest.approx(5)
    pairs = np.repeat(apart, 2, axis=1)
    assert directions(pairs) == pytest.approx(5)
    assert correlation(pairs) == pytest.approx(5 / 45)
    assert correlation(alike[:, :2]) == pytest.approx(1) and correlation(alike[:, :1]) == 0
    assert correlation(np.ones((4, 3))) == directions(np.ones((4, 3))) == 0


@pytest.mark.parametrize("power", [-1000, 1020])
def test_correlations_do_not_know_how_large_numbers_are(power):
    z = np.random.default_rng(3).uniform(-1, 1, size=(20, 5)) @ np.triu(np.ones((5, 5)))
    far = np.ldexp(z, power)
    assert correlation(far) == correlation(z)
    assert directions(far) == directions(z)


def test_batch_norm_leaves_correlations_as_they_were():
    x, _ = mixed(40, 5)
    y = batch_norm(x, np.array([1.0, 2, 3, 4, 5]), np.ones(5), eps=1e-12)[0]
    expected = np.corrcoef(x.T)
    np.testing.assert_allclose(np.corrcoef(y.T), expected, **ROUNDING)
    upper = np.abs(expected[np.triu_indices(5, 1)]).mean()
    assert correlation(y) == pytest.approx(upper) and upper > 0.1
    eigenvalues = np.linalg.eigvalsh(expected)
    assert directions(y) == pytest.approx(25 / (eigenvalues**2).sum())


# --- counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("examples", "dimensions"), [(1, 1), (2, 1), (5, 3), (3, 5), (8, 8)])
def test_the_formula_counts_what_is_counted(examples, dimensions):
    x = np.random.default_rng(0).normal(size=(examples, dimensions))
    counted = operations(divide_by_deviations, x), operations(divide_by_triangle, x)
    assert cost(examples, dimensions) == counted


def test_what_is_counted_is_batch_norm_and_whitening():
    x, _ = mixed(30, 6)
    np.testing.assert_allclose(divide_by_deviations(x), batch_norm(x)[0], **ROUNDING)
    triangle = whiten(x, how="cholesky")[0]
    np.testing.assert_allclose(divide_by_triangle(x), triangle, rtol=1e-8, atol=1e-8)


def test_every_kind_of_operation_counts_once():
    x = np.ones((2, 3))
    for function, count in {
        lambda x: x + 1: 6, lambda x: x - x: 6, lambda x: x * 2: 6, lambda x: x / x: 6,
        lambda x: np.sqrt(x): 6, lambda x: x @ x.T: 2 * 2 * 5,
    }.items():  # fmt: skip
        assert operations(function, x) == count


def test_every_public_function_is_documented():
    for name, function in inspect.getmembers(whitening, inspect.isfunction):
        if function.__module__ == whitening.__name__ and not name.startswith("_"):
            assert "Examples" in function.__doc__, name


# --- networks -------------------------------------------------------------------------------------


def test_the_layer_has_the_gradients_of_its_function():
    x, dy = mixed(12, 4)
    layer = nets.Whitening(4, group=2)
    layer.params = {"weight": np.arange(1.0, 5), "bias": np.ones(4)}
    y = layer.forward(x, training=True)
    dx = layer.backward(dy)
    white, cache = whiten(x, group=2)
    np.testing.assert_allclose(y, white * np.arange(1, 5) + 1, **ROUNDING)
    np.testing.assert_allclose(dx, whiten_backward(dy * np.arange(1, 5), cache), **ROUNDING)
    np.testing.assert_allclose(layer.grads["weight"], (dy * white).sum(axis=0), **ROUNDING)
    np.testing.assert_allclose(layer.grads["bias"], dy.sum(axis=0), **ROUNDING)


def test_the_layer_evaluates_by_the_last_batch_it_saw_in_training():
    x, _ = mixed(12, 4)
    layer = nets.Whitening(4)
    np.testing.assert_array_equal(layer.forward(x, training=False), x)
    y = layer.forward(x, training=True)
    np.testing.assert_allclose(layer.forward(x[:3], training=False), y[:3], **ROUNDING)
    with pytest.raises(RuntimeError, match="must be one of training"):
        layer.backward(y[:3])
    state = layer.state_dict()
    other = nets.Whitening(4)
    other.load_state_dict(state)
    np.testing.assert_array_equal(
        other.forward(x, training=False), layer.forward(x, training=False)
    )


def test_groups_of_one_train_as_batch_norm_does():
    arm = nets.Arm(group=1, batch_size=100, epochs=4, lr=0.3)
    values, *_ = nets.run(arm, 3, DATA)
    network = layers.mlp([64, 50, 50, 50, 10], rng=np.random.default_rng([3, 1]), batch_norm=True)
    history = training.fit(
        network, optim.SGD(network, lr=0.3), DATA, epochs=4, batch_size=100,
        rng=np.random.default_rng([3, 2]), statistics="population", evaluate="end",
    )  # fmt: skip
    assert values["test accuracy"] == history.test_accuracy[-1]
    assert values["train accuracy"] == history.train_accuracy[-1]


def test_arms_start_from_the_same_weights():
    first = [nets.build(arm, 3).layers[0].params["weight"] for arm in nets.BASES.values()]
    assert all((weight == first[0]).all() for weight in first)
    assert (nets.build(nets.Arm(), 4).layers[0].params["weight"] != first[0]).all()


def test_the_whole_set_in_one_batch_is_the_whole_set():
    """With a batch of all images, statistics of the batch and of the whole set are the same."""
    for group in (0, 1, 10, 50):
        arm = nets.Arm(group=group, batch_size=1000, epochs=40, lr=0.1)
        batch, whole = (nets.run(replace(arm, whole=w), 3, DATA)[0]["losses"] for w in (0, 1))
        np.testing.assert_allclose(batch, whole, rtol=1e-8)


def test_the_gradient_by_the_whole_set_is_a_slope():
    data = DATA._replace(x_train=DATA.x_train[:40], y_train=DATA.y_train[:40])
    network = nets.build(nets.Arm(group=50, eps=0.1), 3)
    learner = nets.ByWholeSet(network, data.x_train)
    places = np.array([[3.0], [8.0]])
    upstream = np.random.default_rng(0).normal(size=(2, 10))
    assert learner.forward(places, training=True).shape == (2, 10)
    learner.backward(upstream)
    first = network.layers[0]
    slope, weight = first.grads["weight"][2, 30], first.params["weight"]
    ends = []
    for step in (1e-5, -1e-5):
        moved = weight.copy()
        moved[2, 30] += step
        first.params = {**first.params, "weight": moved}
        ends.append((learner.forward(places, training=True) * upstream).sum())
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("change", [{}, {"group": 50}, {"group": 1, "whole": True}])
def test_a_run_that_diverged_counts_as_guessing(change):
    values, network, own = nets.run(nets.Arm(**change, batch_size=25, epochs=2, lr=1e200), 3, DATA)
    assert values["test accuracy"] == values["train accuracy"] == 0.1
    assert values["steps"] == 80 + 2
    assert np.isfinite(values["losses"]).all() and values["losses"].shape == (nets.LOOKS,)
    found = experiment.entanglement(network, own.x_train)
    assert found.keys() == {"correlation", "directions"}
    assert all(numbers == [0.0] * 3 for numbers in found.values())


def test_a_run_is_looked_at_forty_one_times_from_its_first_weights_to_its_last():
    arm = nets.Arm(group=10, batch_size=25, epochs=2, lr=0.1)
    values, network, own = nets.run(arm, 3, DATA)
    assert values["losses"].shape == (41,)
    first, last = (nets.look(n, own) for n in (nets.build(arm, 3), network))
    assert (values["losses"][0], values["losses"][-1]) == pytest.approx((first[0], last[0]))
    assert (values["train accuracy"], values["test accuracy"]) == last[1:]
    assert values["loss area"] == pytest.approx(values["losses"].mean())


def test_narrower_networks_start_from_the_weights_of_the_wider_ones():
    """50 and 100 units: the first layer's weights are drawn one after the other."""
    own = nets.build(nets.Arm(), 3).layers[0].params["weight"]
    wide = arms.build(arms.Arm(), DATA, 3).layers[0].params["weight"]
    np.testing.assert_array_equal(own, wide[: len(own)])


def test_the_first_crossing_is_found_between_two_looks():
    losses = np.array([1.0, 0.2, 0.05, 0.2, 0.01])
    assert nets.steps_to(0.1, losses, 40) == pytest.approx(15)
    assert nets.steps_to(0.2, losses, 40) == pytest.approx(20, abs=10)
    assert nets.steps_to(0.001, losses, 40) == 50
    assert nets.steps_to(2.0, losses, 40) == 0


def test_whitened_inputs_use_the_training_set_only():
    own = nets.prepare(nets.Arm(inputs="whitened"), DATA)
    np.testing.assert_array_equal(own.x_train, whiten(DATA.x_train)[0])
    changed = nets.prepare(nets.Arm(inputs="whitened"), DATA._replace(x_test=DATA.x_test + 1))
    np.testing.assert_array_equal(changed.x_train, own.x_train)


def test_hidden_sums_are_those_of_the_linear_layers():
    network = nets.build(nets.Arm(group=50), 3)
    before = network.state_dict()
    sums = nets.hidden_sums(network, DATA.x_train)
    assert [z.shape for z in sums] == [(1000, 50)] * 3
    np.testing.assert_allclose(
        sums[0], DATA.x_train @ network.layers[0].params["weight"].T, **ROUNDING
    )
    after = network.state_dict()
    assert all((before[name] == after[name]).all() for name in before)


# --- the experiment -------------------------------------------------------------------------------


def scores():
    return json.loads(experiment.SCORES.read_text(encoding="utf-8"))


def test_the_chosen_rates_are_the_best_of_the_stored_scores():
    assert experiment.best(scores()) == experiment.CHOSEN


def test_the_grids_have_no_gap_and_hold_the_best_inside():
    for own in scores().values():
        for name, by_rate in own.items():
            rates = sorted(map(float, by_rate))
            best = max(rates, key=lambda rate: by_rate[f"{rate:g}"])
            assert len(rates) >= 4 and rates[0] < best < rates[-1], f"{name}: at the edge"
            assert (np.divide(rates[1:], rates[:-1]) < 3.4).all(), f"{name}: the grid has a gap"


def test_the_chosen_eps_lies_inside_its_grid():
    for own in experiment.CHOSEN.values():
        for base, (_, eps) in own.items():
            if nets.BASES[base].group:
                assert experiment.EPS[0] < eps < experiment.EPS[-1], base


def test_the_best_is_the_smaller_of_equals(monkeypatch):
    monkeypatch.setattr(experiment, "RACERS", ("plain", "own"))
    made_up = {
        "plain eps 1e-05": {"0.1": 0.9, "0.3": 0.9},
        "own eps 1e-05": {"0.1": 0.7, "1": 0.8},
        "own eps 0.001": {"0.1": 0.9, "0.3": 0.8},
        "own eps 0.1": {"0.1": 0.9},
    }
    expected = {"plain": (0.1, 1e-5), "own": (0.1, 1e-3)}
    assert experiment.best({"tuned": made_up}) == {"tuned": expected}


def test_names_of_arms_say_what_they_are():
    arms = {name: experiment.arm_of(name) for name in experiment.ARMS}
    assert all(arm.lr == 0.1 and arm.eps == 1e-5 for n, arm in arms.items() if n.endswith("at 0.1"))
    for name, arm in arms.items():
        base = nets.BASES[
            name.removesuffix(" tuned").removesuffix(" for speed").removesuffix(" at 0.1")
        ]
        assert replace(arm, lr=0.1, eps=1e-5) == base
        assert arm.batch_size == (25 if " 25 " in name else 200)
        assert arm.whole == ("whole set" in name)
        assert arm.group == {"w": 50, "b": 1, "g": 10}.get(name[0], 0) * ("inputs" not in name)


def test_validation_is_on_training_images(monkeypatch):
    seen = []
    monkeypatch.setattr(experiment, "run", lambda arm, seed, data: (seen.append(data) or {
        "test accuracy": 0.5, "test area": 0.4}, None, None))  # fmt: skip
    got = experiment._scores(nets.Arm(), 0, 2)
    assert got == [0.5, 0.4]
    assert seen[0].x_test.shape == (200, 64) and seen[0].x_train.shape == (800, 64)


def test_a_seed_gives_every_arm_that_is_asked_for():
    arms = ("whitened 25 at 0.1", "plain 25 at 0.1")
    found = experiment.whitened_networks(7, datasets.digits, arms)
    assert tuple(found) == arms
    assert all(0 <= found[arm]["test accuracy"] <= 1 and found[arm]["steps"] > 0 for arm in arms)


def test_entanglement_is_told_of_tuned_large_batches_and_losses_of_arms_tuned_for_speed(
    monkeypatch,
):
    short = {name: replace(arm, epochs=8) for name, arm in nets.BASES.items()}
    monkeypatch.setattr(experiment, "BASES", short)
    names = ("standardized 200 tuned", "batch norm 200 for speed")
    found = experiment.whitened_networks(3, datasets.digits, names)
    tuned, speed = (found[name] for name in names)
    assert "losses" in speed and "losses" not in tuned and "correlation" not in speed
    own = nets.prepare(short["standardized 200"], DATA)
    fresh = nets.build(experiment.arm_of(names[0]), 3)
    for measure, values in experiment.entanglement(fresh, own.x_train).items():
        assert tuned[f"{measure} at the start"] == values
        assert tuned[measure] != values
