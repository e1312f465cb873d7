"""Covariate-shift measures against steps taken by hand; what the experiments make of them."""

import copy
import math

import numpy as np
import pytest
from oracles import complex_step_gradient
from scipy.optimize import linear_sum_assignment

from bnlib import datasets, functional, normalization
from bnlib.covariate_shift import (
    Drift,
    Interaction,
    distribution_drift,
    gradient_shift,
    layer_interaction,
    layers_of,
    signals,
    step,
)
from bnlib.experiments import arms, covariate_shift, noisy_batch_norm
from bnlib.experiments.arms import Arm
from bnlib.experiments.noisy_batch_norm import Movement
from bnlib.experiments.variants import Noise
from bnlib.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear, ReLU, Sequential, Tanh, mlp

rng = np.random.default_rng(0)
X, LABELS = rng.normal(0.5, 2, size=(7, 3)), np.array([0, 1, 2, 3, 0, 1, 3])
SIZES = [3, 5, 4, 4]
MEASURES = (
    lambda network, **how: step(network, X, LABELS, lr=0.5, **how),
    lambda network: gradient_shift(network, X, LABELS, lr=0.5),
    lambda network: layer_interaction(network, X, LABELS, lr=0.5),
)


def network_of(*, batch_norm=False, seed=1, activation=Tanh):
    made = mlp(SIZES, rng=np.random.default_rng(seed), batch_norm=batch_norm, activation=activation)
    fresh = np.random.default_rng(9)
    for leaf in made.leaves():
        leaf.params = {
            name: value + 0.3 * fresh.normal(size=value.shape)
            for name, value in leaf.params.items()
        }
    return made


# --- by hand: lists of parameters, complex steps, no layers ---------------------------------------


def by_hand(network):
    """The parameters of each layer: a weight and a bias, or a weight, gamma and beta."""
    return [[v for leaf in layer for v in leaf.params.values()] for layer in layers_of(network)]


def loss(params):
    x = X.astype(np.result_type(*(value for values in params for value in values)))
    for number, (weight, *rest) in enumerate(params):
        x = x @ weight.T + (rest[0] if len(rest) == 1 else 0)
        if len(rest) == 2:
            x = normalization.batch_norm(x, *(part.astype(x.dtype) for part in rest))[0]
        if number < len(params) - 1:
            x = np.tanh(x)
    return functional.softmax_cross_entropy(x, LABELS)[0]


def gradients(params):
    def of(layer, part):
        def moved(value):
            own = [list(values) for values in params]
            own[layer][part] = value
            return loss(own)

        return complex_step_gradient(moved, params[layer][part])

    return [[of(i, k) for k in range(len(values))] for i, values in enumerate(params)]


def stepped(params, lr, which):
    return [
        [v - lr * g for v, g in zip(values, own, strict=True)] if number in which else values
        for number, (values, own) in enumerate(zip(params, gradients(params), strict=True))
    ]


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("which", [None, [0], [1, 2], []])
def test_a_step_moves_the_layers_that_it_is_told(batch_norm, which):
    network = network_of(batch_norm=batch_norm)
    expected = stepped(by_hand(network), 0.5, range(3) if which is None else which)
    found = by_hand(step(network, X, LABELS, lr=0.5, layers=which))
    for own, other in zip(found, expected, strict=True):
        for a, b in zip(own, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradient_shift_as_its_definition_says(batch_norm):
    network = network_of(batch_norm=batch_norm)
    params, found = by_hand(network), gradient_shift(network, X, LABELS, lr=0.5)
    assert len(found) == 2
    for number, shift in enumerate(found, start=1):
        before = gradients(params)[number][0].ravel()
        after = gradients(stepped(params, 0.5, range(number)))[number][0].ravel()
        distance = math.dist(before, after)
        assert shift.distance == pytest.approx(distance, rel=1e-9)
        assert shift.relative == pytest.approx(distance / math.hypot(*before), rel=1e-9)
        cosine = math.fsum(before * after) / (math.hypot(*before) * math.hypot(*after))
        assert shift.cosine == pytest.approx(cosine, rel=1e-9)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_interaction_as_its_definition_says(batch_norm):
    network = network_of(batch_norm=batch_norm)
    params, found = by_hand(network), layer_interaction(network, X, LABELS, lr=0.5)
    alone = [loss(stepped(params, 0.5, [number])) - loss(params) for number in range(3)]
    together = loss(stepped(params, 0.5, range(3))) - loss(params)
    np.testing.assert_allclose([found.together, *found.alone], [together, *alone], rtol=1e-9)
    share = abs(together - sum(alone)) / sum(map(abs, alone))
    assert found.share == pytest.approx(share, rel=1e-7)


# --- answers known without computing --------------------------------------------------------------


def test_two_scalar_layers_with_pencil_and_paper():
    """Scores 0 and v w x; label 1. The loss is log(1 + exp(-v w x)), the second gradient -p w x."""
    w, x, lr = 0.5, 2.0, 0.1
    network = Sequential(
        Linear(1, 1, rng=rng, bias=False, scale=0), Linear(1, 2, rng=rng, bias=False, scale=0)
    )
    network.layers[0].params = {"weight": np.array([[w]])}
    network.layers[1].params = {"weight": np.array([[0.0], [1.0]])}

    def off(w):
        return 1 / (1 + math.exp(w * x))

    moved = w + lr * off(w) * x
    before, after = off(w) * w * x, off(moved) * moved * x  # of either score, with signs + and -
    (shift,) = gradient_shift(network, np.array([[x]]), np.array([1]), lr=lr)
    assert shift.distance == pytest.approx(math.sqrt(2) * abs(after - before))
    assert shift.relative == pytest.approx(abs(after / before - 1))
    assert shift.cosine == pytest.approx(1)


def test_a_single_layer_has_nobody_to_interact_with():
    network = Linear(3, 4, rng=np.random.default_rng(0))
    found = layer_interaction(network, X, LABELS, lr=0.5)
    assert found.alone == (found.together,) and found.share == 0
    assert gradient_shift(network, X, LABELS, lr=0.5) == []


@pytest.mark.parametrize("batch_norm", [False, True])
def test_shift_and_interaction_vanish_in_proportion_to_the_rate(batch_norm):
    network = network_of(batch_norm=batch_norm)
    for measure in (
        lambda lr: layer_interaction(network, X, LABELS, lr=lr).share,
        lambda lr: gradient_shift(network, X, LABELS, lr=lr)[1].relative,
    ):
        assert measure(1e-4) / measure(1e-3) == pytest.approx(0.1, rel=0.05)


def test_the_share_of_what_is_left_over():
    assert Interaction(-3.0, (-1.0, -2.0)).share == 0
    assert Interaction(1.0, (-1.0, -2.0)).share == pytest.approx(4 / 3)
    assert Interaction(-1.0, (1.0, -3.0)).share == pytest.approx(1 / 4)


def test_longer_weights_before_batch_norm_buy_a_shorter_distance_and_nothing_else():
    network = network_of(batch_norm=True)
    for leaf in network.leaves():
        if isinstance(leaf, BatchNorm):
            leaf.eps = 1e-30
    long = copy.deepcopy(network)
    *hidden, _ = [leaf for leaf in long.leaves() if isinstance(leaf, Linear)]
    rates = [50.0 if leaf in hidden else 0.5 for leaf in long.leaves() if leaf.params]
    for leaf in hidden:
        leaf.params = {"weight": 10 * leaf.params["weight"]}
    own = gradient_shift(network, X, LABELS, lr=0.5)
    other = gradient_shift(long, X, LABELS, lr=rates)
    assert other[0].distance == pytest.approx(own[0].distance / 10, rel=1e-9)
    for a, b in zip(own, other, strict=True):
        assert (b.relative, b.cosine) == pytest.approx((a.relative, a.cosine), rel=1e-9)


# --- distributions --------------------------------------------------------------------------------


def test_drift_is_the_cheapest_way_to_carry_the_values():
    before = rng.normal(size=(30, 4)) * [1, 2, 3, 4]
    after = rng.exponential(size=(30, 4)) * 3
    costs = []
    for own, other in zip(before.T, after.T, strict=True):
        ways = (own[:, None] - other) ** 2
        costs.append(ways[linear_sum_assignment(ways)].mean())
    spread = math.sqrt(math.fsum(before.var(axis=0)) / 4)
    drift = distribution_drift(before, after)
    assert drift.whole == pytest.approx(math.sqrt(math.fsum(costs) / 4) / spread)
    assert drift.whole > math.hypot(drift.mean, drift.std)


def test_a_shift_and_a_stretch_are_told_apart():
    z = rng.normal(size=(50, 3))
    spread = math.sqrt(z.var(axis=0).mean())
    shifted = distribution_drift(z, rng.permutation(z) + np.array([3, 0, -4]))
    assert shifted == pytest.approx((5 / math.sqrt(3) / spread, 0, 5 / math.sqrt(3) / spread))
    centred = z - z.mean(axis=0)
    assert distribution_drift(centred, 1.5 * centred) == pytest.approx(Drift(0, 0.5, 0.5))
    assert distribution_drift(7 * z + 2, 7 * rng.permutation(z) + 2) == pytest.approx((0, 0, 0))


def test_drift_of_what_does_not_vary():
    constant = np.ones((5, 2))
    assert math.isnan(distribution_drift(constant, constant).whole)
    assert math.isinf(distribution_drift(constant, constant + 1).whole)


@pytest.mark.parametrize("activation", [Tanh, ReLU])
def test_signals_as_computed_one_by_one(activation):
    network = network_of(batch_norm=True, activation=activation)
    x = X
    for layer, (first, norm, act) in zip(
        signals(network, X), [network.layers[:3], network.layers[3:6]], strict=True
    ):
        sums = x @ first.params["weight"].T
        inputs = normalization.batch_norm(sums, norm.params["weight"], norm.params["bias"])[0]
        np.testing.assert_allclose(layer.sums, sums)
        np.testing.assert_allclose(layer.inputs, inputs)
        x = act.forward(inputs, training=True)
    plain = signals(network_of(), X)[0]
    np.testing.assert_array_equal(plain.sums, plain.inputs)


def test_behind_batch_norm_mean_and_spread_cannot_drift():
    network = network_of(batch_norm=True)
    here, there = (signals(n, X)[1] for n in (network, step(network, X, LABELS, lr=1, layers=[0])))
    before, behind = distribution_drift(here.sums, there.sums), distribution_drift(
        here.inputs, there.inputs
    )  # fmt: skip
    assert min(before.mean, before.std) > 1e-3
    assert max(behind.mean, behind.std) < 1e-4 < behind.whole


# --- layers, errors, nothing is touched -----------------------------------------------------------


def test_layers_begin_with_their_weights():
    network = Sequential(
        BatchNorm(1), Conv2d(1, 2, 3, rng=rng), BatchNorm(2), ReLU(), Flatten(),
        Linear(2, 2, rng=rng),
    )  # fmt: skip
    names = [[type(leaf).__name__ for leaf in layer] for layer in layers_of(network)]
    assert names == [["BatchNorm", "Conv2d", "BatchNorm", "ReLU", "Flatten"], ["Linear"]]
    with pytest.raises(ValueError, match=r"layers_of: network must hold a linear .* got none"):
        layers_of(ReLU())


def test_what_cannot_be_measured():
    for layer in (Dropout(0.5, np.random.default_rng(0)), Noise("per unit", rng)):
        for measure in MEASURES:
            with pytest.raises(TypeError, match="must not contain dropout or other noise"):
                measure(Sequential(*network_of().layers, layer))
    with pytest.raises(ValueError, match=r"step: each of layers must lie in 0..2, got 3"):
        step(network_of(), X, LABELS, lr=1, layers=[3])
    with pytest.raises(ValueError, match=r"after must have shape \(2, 3\) to match before"):
        distribution_drift(np.ones((2, 3)), np.ones((3, 2)))


def everything(network):
    return [copy.deepcopy(dict(vars(leaf))) for leaf in network.leaves()]


@pytest.mark.parametrize("measure", [*MEASURES, lambda network: signals(network, X)])
def test_the_network_stays_as_it_was(measure):
    network = network_of(batch_norm=True)
    network.leaves()[1].frozen = {"bias"}
    network.backward(np.ones_like(network.forward(X[:4], training=True)))
    before, arrays = everything(network), [dict(vars(leaf)) for leaf in network.leaves()]
    measure(network)
    np.testing.assert_equal(everything(network), before)
    for leaf, attributes in zip(network.leaves(), arrays, strict=True):
        assert all(vars(leaf)[name] is value for name, value in attributes.items())


def test_what_is_frozen_stays_in_the_step_and_frozen_after_it():
    network = network_of(batch_norm=True)
    network.leaves()[1].frozen = {"bias"}
    moved = step(network, X, LABELS, lr=0.5, layers=[0])
    own, other = network.leaves()[1], moved.leaves()[1]
    assert (own.params["bias"] == other.params["bias"]).all()
    assert (own.params["weight"] != other.params["weight"]).any()
    assert [leaf.frozen for leaf in moved.leaves()] == [leaf.frozen for leaf in network.leaves()]


# --- the experiments ------------------------------------------------------------------------------

DATA = arms.split(3, datasets.digits)


def watched(arm):
    run = arms.train(
        {"one": arm}, 3, DATA, evaluate="never", test=False,
        observe=lambda network: network.state_dict(), observe_at=covariate_shift.WATCHED,
    )["one"]  # fmt: skip
    return run, covariate_shift.at_equal_loss(run)


def loss_at(network):
    return arms.cross_entropy(network, DATA.x_train, DATA.y_train)


def test_moments_are_the_first_below_each_loss():
    run, moments = watched(Arm(depth=2, epochs=3, lr=0.3))
    for loss, (moment, network) in zip(covariate_shift.LOSSES[:2], moments, strict=False):
        assert loss_at(network) < loss
        network.load_state_dict(run.history.observed[covariate_shift.WATCHED.index(moment) - 1])
        assert loss_at(network) >= loss


def test_what_is_never_reached_counts_as_the_worst():
    run, moments = watched(Arm(depth=2, epochs=1, lr=1e-6))
    assert moments == [(0, None)] * 4
    found = covariate_shift._summary(run, 1e-6, 3)
    assert found["reached"] == 0 and found["relative"] == 2
    run, _ = watched(Arm(depth=2, epochs=1, lr=1e300))
    assert run.history.diverged
    assert covariate_shift._summary(run, 1e300, 3)["interaction"] == 1


def test_all_of_a_run_by_its_parts():
    arm = Arm(depth=2, epochs=3, lr=0.3, batch_norm="before")
    run, moments = watched(arm)
    found = covariate_shift._summary(run, 0.3, 3)
    assert found["reached"] == 4
    x, labels = DATA.x_train, DATA.y_train
    rng = np.random.default_rng([3, 5])
    rows = [rng.choice(1000, 50, replace=False) for _ in range(5)]
    for number, (_, network) in enumerate(moments):
        logs, over, under, drifts = [], 0, 0, []
        for own in rows:
            how = (network, x[own], labels[own])
            logs += [math.log(shift.relative) for shift in gradient_shift(*how, lr=0.3)]
            both = layer_interaction(*how, lr=0.3)
            over += abs(both.together - sum(both.alone))
            under += sum(map(abs, both.alone))
            pair = [signals(n, x[:250])[1].sums for n in (network, step(*how, lr=0.3, layers=[0]))]
            drifts.append(math.log(distribution_drift(*pair).whole))
        assert found["relative at each loss"][number] == pytest.approx(np.exp(np.mean(logs)))
        assert found["interaction at each loss"][number] == pytest.approx(over / under)
        assert found["drift at each loss"][number] == pytest.approx(np.exp(np.mean(drifts)))
    per_change = found["drift at each loss"] / found["change at each loss"]
    assert found["drift per change"] == pytest.approx(np.exp(np.log(per_change).mean()))


def test_the_change_is_that_of_the_softmax_outputs():
    arm = Arm(depth=2, lr=0.3)
    network = arms.build(arm, DATA, 3)
    x, labels, rows = DATA.x_train, DATA.y_train, np.arange(50)
    found = covariate_shift.what_a_step_does(network, x, labels, [rows], 0.3)
    shares = []
    for n in (network, step(network, x[rows], labels[rows], lr=0.3)):
        scores = np.exp(n.forward(x[:250], training=True))
        shares.append(scores / scores.sum(axis=1, keepdims=True))
    assert found["change"] == pytest.approx(math.sqrt(np.square(np.diff(shares, axis=0)).mean()))


@pytest.mark.parametrize(("how", "moves"), [("per unit", True), ("per example", False)])
def test_moving_noise_moves_distributions_and_still_noise_does_not(how, moves):
    arm = Arm(depth=3, batch_norm="before", noise=how)
    network, watch = arms.build(arm, DATA, 3), Movement(DATA.x_train)
    for _ in range(4):
        watch(network)
        network.forward(DATA.x_train[:50], training=True)  # it draws what the probe has seen
    assert len(watch.found) == 2
    assert all((found > 0.3) == moves for found in watch.found)
    assert moves or max(watch.found) < 0.15


def test_the_noisy_arms_differ_from_batch_norm_in_the_noise_and_the_rate_alone():
    for name in ("relu", "sigmoid"):
        normed = arms.learning_rate(noisy_batch_norm.NOISY[f"{name} batch norm tuned"])
        for kind in (noisy_batch_norm.MOVING, noisy_batch_norm.STILL):
            arm = noisy_batch_norm.NOISY[f"{name} {kind} {noisy_batch_norm.OWN}"]
            assert arm.lr == normed
            shared = noisy_batch_norm.NOISY[f"{name} {kind} shared"]
            assert shared.lr == noisy_batch_norm.NOISY[f"{name} plain shared"].lr
