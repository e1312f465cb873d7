"""Diagnostics against explicit loops and dense Hessians; the network stays as it was."""

import copy
import math

import numpy as np
import pytest
from oracles import complex_step_gradient

from bnlib import functional, normalization
from bnlib.diagnostics import layer_statistics, sharpness, update_ratios
from bnlib.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
    mlp,
)

rng = np.random.default_rng(0)
X, LABELS = rng.normal(0.5, 2, size=(7, 3)), np.array([0, 1, 2, 3, 0, 1, 3])
SIZES = [3, 5, 4, 4]
ROUNDING = {"rtol": 1e-12, "atol": 1e-14}
# Central differences of gradients, with steps of 1e-6 of all parameters.
CURVATURE = 1e-5

FUNCTIONS = {ReLU: functional.relu, Sigmoid: functional.sigmoid, Tanh: functional.tanh}
BACKWARD = {Sigmoid: functional.sigmoid_backward, Tanh: functional.tanh_backward}


def network_of(activation=Tanh, *, batch_norm=False, seed=1, **options):
    network = mlp(
        SIZES,
        rng=np.random.default_rng(seed),
        activation=activation,
        batch_norm=batch_norm,
        **options,
    )
    fresh = np.random.default_rng(9)
    for leaf in network.leaves():
        leaf.params = {
            name: value + 0.3 * fresh.normal(size=value.shape)
            for name, value in leaf.params.items()
        }
    return network


def signals(network, x=X):
    """The sums, the inputs and the outputs of each hidden layer, function by function."""
    found, sums = [], None
    for leaf in network.leaves():
        weight, bias = leaf.params.get("weight"), leaf.params.get("bias")
        if isinstance(leaf, Linear):
            x = sums = functional.linear(x, weight, bias)[0]
        elif isinstance(leaf, BatchNorm):
            x = normalization.batch_norm(x, weight, bias)[0]
        else:
            z, x = x, FUNCTIONS[type(leaf)](x)[0]
            found.append((sums, z, x))
    return found, x


def mean_and_std(values):
    values = [float(value) for value in np.ravel(values)]
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def everything(network):
    """All that the layers hold, the generators of dropout too."""
    held = []
    for leaf in network.leaves():
        attributes = dict(vars(leaf))
        if "rng" in attributes:
            attributes["rng"] = attributes["rng"].bit_generator.state
        held.append(copy.deepcopy(attributes))
    return held


def call_layer_statistics(network):
    layer_statistics(network, X, LABELS)


def call_sharpness(network):
    sharpness(network, X, LABELS, rng=np.random.default_rng(0), iterations=3)


# Layer statistics


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", [ReLU, Sigmoid, Tanh])
def test_signals_as_counted_one_by_one(activation, batch_norm):
    network = network_of(activation, batch_norm=batch_norm, scale=3.0)
    found = layer_statistics(network, X)
    expected = signals(network)[0]
    assert len(found) == len(expected) == 2
    for layer, (sums, z, y) in zip(found, expected, strict=True):
        numbers = [*mean_and_std(sums), *mean_and_std(z), mean_and_std(y)[1]]
        np.testing.assert_allclose(layer[:5], numbers, **ROUNDING)
        assert math.isnan(layer.gradient_rms)
        if activation is ReLU:
            signs = [{value > 0 for value in unit} for unit in z.T.tolist()]
            assert layer.dead == sum(seen == {False} for seen in signs) / len(signs)
            assert layer.linear == sum(seen == {True} for seen in signs) / len(signs)
            assert math.isnan(layer.saturated)
        else:
            # Where the slope is a twentieth of the steepest, z is so far out:
            edge = 4.35654 if activation is Sigmoid else 2.17827
            flat = [abs(value) > edge for value in z.ravel().tolist()]
            assert layer.saturated == sum(flat) / len(flat)
            assert math.isnan(layer.dead) and math.isnan(layer.linear)
    if activation is Tanh or (activation is Sigmoid and not batch_norm):
        assert any(0 < layer.saturated < 1 for layer in found)


def test_the_edge_of_saturation_is_where_the_slope_is_a_twentieth():
    edge = 2 * math.acosh(math.sqrt(20))  # slope of the sigmoid: 1 / (4 cosh(z / 2)^2)
    assert edge == pytest.approx(4.35654, abs=1e-5)
    assert edge / 2 == pytest.approx(2.17827, abs=1e-5)  # slope of tanh: 1 / cosh(z)^2


def test_dead_and_linear_units_that_were_planted():
    network = mlp([3, 8, 4], rng=np.random.default_rng(0))
    network.leaves()[0].params["bias"] = np.array([-99, -99, -99, 99, 0, 0, 0, 0.0])
    network.leaves()[0].params["weight"][4] = 0  # always exactly 0: dead too
    (layer,) = layer_statistics(network, rng.choice([-1.0, 1.0], size=(99, 3)))
    assert (layer.dead, layer.linear) == (4 / 8, 1 / 8)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_are_those_of_the_loss_by_complex_step(batch_norm):
    network = network_of(batch_norm=batch_norm)
    found = layer_statistics(network, X, LABELS)
    linears = [leaf for leaf in network.leaves() if isinstance(leaf, Linear)]
    for layer, leaf in zip(found, linears, strict=False):
        moved = copy.deepcopy(network)
        (twin,) = (
            other
            for other, own in zip(moved.leaves(), network.leaves(), strict=True)
            if own is leaf
        )

        def loss(weight, moved=moved, twin=twin):
            twin.params["weight"] = weight
            return functional.softmax_cross_entropy(signals(moved)[1], LABELS)[0]

        gradient = complex_step_gradient(loss, leaf.params["weight"])
        rms = math.sqrt(math.fsum(gradient.ravel() ** 2) / gradient.size)
        assert layer.gradient_rms == pytest.approx(rms, rel=1e-10)


def test_in_evaluation_stored_statistics_count():
    network = network_of(ReLU, batch_norm=True)
    norm = next(leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm))
    norm.buffers["running_mean"] = np.full(5, 1e3)
    assert layer_statistics(network, X, LABELS, training=False)[0].dead == 1
    assert layer_statistics(network, X, LABELS, training=True)[0].dead < 1


def test_a_channel_of_a_picture_is_one_unit():
    network = Sequential(
        Residual(Conv2d(2, 2, 3, padding=1, rng=np.random.default_rng(0)), ReLU()),
        Conv2d(2, 3, 3, rng=np.random.default_rng(1)),
        BatchNorm(3),
        ReLU(),
        Flatten(),
        Linear(12, 4, rng=np.random.default_rng(2)),
    )
    pictures = np.random.default_rng(3).normal(size=(7, 2, 4, 4))
    network.leaves()[0].params["bias"] = np.array([-99.0, 99.0])
    first, second = layer_statistics(network, pictures, LABELS)
    assert (first.dead, first.linear) == (0.5, 0.5)
    # Where the residual block ends, the dead channel is passed on, the other is added to itself.
    sums = network.layers[0].forward(pictures, training=True)
    np.testing.assert_array_equal(sums[:, 0], pictures[:, 0])
    sums = functional.conv2d(sums, *network.layers[1].params.values())[0]
    np.testing.assert_allclose([second.sum_mean, second.sum_std], mean_and_std(sums), **ROUNDING)
    np.testing.assert_allclose([second.pre_mean, second.pre_std], [0, 1], atol=1e-4)
    assert first.gradient_rms > 0 and second.gradient_rms > 0


def test_an_activation_needs_weights_before_it():
    network = Sequential(ReLU(), Linear(3, 4, rng=rng))
    with pytest.raises(ValueError, match=r"must come after a linear .* got ReLU before the first"):
        layer_statistics(network, X)


# Steps


def test_update_ratios_as_summed_one_by_one():
    before, after = network_of(batch_norm=True), network_of(batch_norm=True, seed=2)
    ratios = update_ratios(before.state_dict(), after.state_dict())
    assert list(ratios) == ["0.weight", "3.weight", "6.weight"]
    for name, ratio in ratios.items():
        old = before.state_dict()[name].ravel().tolist()
        new = after.state_dict()[name].ravel().tolist()
        moved = math.fsum((b - a) ** 2 for a, b in zip(old, new, strict=True))
        assert ratio == pytest.approx(math.sqrt(moved / math.fsum(a * a for a in old)))


def test_update_ratios_at_zero():
    zero, one = {"0.weight": np.zeros((2, 2))}, {"0.weight": np.ones((2, 2))}
    assert update_ratios(one, one) == {"0.weight": 0}
    assert update_ratios(zero, one) == {"0.weight": math.inf}
    assert math.isnan(update_ratios(zero, zero)["0.weight"])


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ({"1.weight": np.ones((2, 2))}, r"after must have the names \['0.weight'\], got \['1.w"),
        ({"0.weight": np.ones((2, 3))}, r"0.weight must have shape \(2, 2\) to match its value"),
    ],
)
def test_update_ratios_need_one_network(after, sentence):
    with pytest.raises(ValueError, match=f"update_ratios: {sentence}"):
        update_ratios({"0.weight": np.ones((2, 2))}, after)


# Curvature


def gradient_in_numbers(network, theta):
    """The gradient of the loss in all parameters, layer by layer, also at complex parameters."""
    tape, x, start = [], X.astype(theta.dtype), 0
    for leaf in network.leaves():
        params = []
        for value in leaf.params.values():
            params.append(theta[start : start + value.size].reshape(value.shape))
            start += value.size
        if isinstance(leaf, Linear):
            x, cache = functional.linear(x, *params)
            tape.append((functional.linear_backward, cache, len(params)))
        elif isinstance(leaf, BatchNorm):
            x, cache = normalization.batch_norm(x, *params)
            tape.append((normalization.batch_norm_backward, cache, 2))
        else:
            x, cache = FUNCTIONS[type(leaf)](x)
            tape.append((BACKWARD[type(leaf)], cache, 0))
    dy = functional.softmax_cross_entropy_backward(functional.softmax_cross_entropy(x, LABELS)[1])
    parts = []
    for backward, cache, count in reversed(tape):
        answers = backward(dy, cache)
        dy, *grads = answers if isinstance(answers, tuple) else (answers,)
        parts = [*(grad.ravel() for grad in grads[:count]), *parts]
    return np.concatenate(parts)


def parameters(network):
    return np.concatenate([v.ravel() for leaf in network.leaves() for v in leaf.params.values()])


def dense_hessian(network):
    """Column by column, each the complex-step derivative of the gradient: exact to rounding."""
    theta = parameters(network)
    columns = []
    for i in range(len(theta)):
        moved = theta.astype(complex)
        moved[i] += 1e-30j
        columns.append(gradient_in_numbers(network, moved).imag / 1e-30)
    hessian = np.array(columns)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    return hessian


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", [Sigmoid, Tanh])
@pytest.mark.parametrize("scale", ["he", 0.01, 3.0])
def test_sharpness_is_the_largest_eigenvalue(activation, batch_norm, scale):
    network = network_of(activation, batch_norm=batch_norm, scale=scale)
    largest = np.linalg.eigvalsh(dense_hessian(network))[-1]
    found = sharpness(network, X, LABELS, rng=np.random.default_rng(0), tolerance=1e-9)
    assert found == pytest.approx(largest, rel=CURVATURE)


@pytest.mark.parametrize(("seed", "scale"), [(0, 10.0), (1, 0.3), (7, 1.0), (9, 3.0)])
def test_a_stronger_negative_curvature_is_not_taken_for_it(seed, scale):
    network = mlp(SIZES, rng=np.random.default_rng(seed), activation=Tanh, scale=scale)
    smallest, *_, largest = np.linalg.eigvalsh(dense_hessian(network))
    assert smallest < -1.2 * largest
    found = sharpness(network, X, LABELS, rng=np.random.default_rng(0), tolerance=1e-9)
    assert found == pytest.approx(largest, rel=CURVATURE, abs=CURVATURE * -smallest)


def test_the_defaults_are_good_to_a_thousandth_from_any_start():
    network = network_of(batch_norm=True, scale=1.0)
    largest = np.linalg.eigvalsh(dense_hessian(network))[-1]
    for seed in range(5):
        found = sharpness(network, X, LABELS, rng=np.random.default_rng(seed))
        assert found == pytest.approx(largest, rel=1e-3)


def test_frozen_parameters_do_not_count():
    network = network_of()
    first, *_, last = network.leaves()
    first.frozen, last.frozen = {"weight", "bias"}, {"bias"}
    moves = np.concatenate(
        [
            np.full(value.size, name not in leaf.frozen)
            for leaf in network.leaves()
            for name, value in leaf.params.items()
        ]
    )
    hessian = dense_hessian(network)
    largest = np.linalg.eigvalsh(hessian[np.ix_(moves, moves)])[-1]
    assert largest < 0.9 * np.linalg.eigvalsh(hessian)[-1]
    found = sharpness(network, X, LABELS, rng=np.random.default_rng(0), tolerance=1e-9)
    assert found == pytest.approx(largest, rel=CURVATURE)


def test_steps_above_two_over_sharpness_diverge_and_below_do_not():
    """Softmax regression on two equal examples of two classes, near its minimum: a quadratic."""
    x, labels = np.array([[2.0], [2.0]]), np.array([0, 1])
    layer = Linear(1, 2, rng=np.random.default_rng(0), scale=1e-4, bias=False)
    largest = sharpness(layer, x, labels, rng=np.random.default_rng(0))
    for factor, grows in ((1.9, False), (2.1, True)):
        network, sizes = copy.deepcopy(layer), []
        for _ in range(50):
            logits = network.forward(x, training=True)
            _, cache = functional.softmax_cross_entropy(logits, labels)
            network.backward(functional.softmax_cross_entropy_backward(cache))
            sizes.append(np.ptp(network.params["weight"]))
            moved = network.params["weight"] - factor / largest * network.grads["weight"]
            network.params = {"weight": moved}
        assert bool(sizes[-1] > sizes[0]) is grows


def test_a_float32_network_is_measured_in_float64():
    network = network_of(batch_norm=True)
    small = network_of(batch_norm=True, dtype=np.float32)
    small.load_state_dict(network.state_dict())
    found = [sharpness(n, X, LABELS, rng=np.random.default_rng(0)) for n in (network, small)]
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_without_curvature_there_is_none():
    layer = Linear(3, 1, rng=np.random.default_rng(0))  # one class: the loss is always 0
    assert sharpness(layer, X, np.zeros(7, int), rng=np.random.default_rng(0)) == 0


def test_sharpness_needs_something_to_measure():
    dropout = Sequential(Linear(3, 4, rng=rng), Dropout(0.5, rng))
    with pytest.raises(TypeError, match="network must not contain dropout"):
        call_sharpness(dropout)
    frozen = Linear(3, 4, rng=rng, bias=False)
    frozen.frozen = {"weight"}
    with pytest.raises(ValueError, match="must have parameters that are not frozen, got none"):
        call_sharpness(frozen)
    frozen.frozen = set()
    frozen.params["weight"] = np.full((4, 3), np.nan)
    with pytest.raises(FloatingPointError, match="gradients must be finite"):
        call_sharpness(frozen)


# Nothing is touched


@pytest.mark.parametrize("call", [call_layer_statistics, call_sharpness])
@pytest.mark.parametrize("used", [False, True])
def test_the_network_stays_as_it_was(call, used):
    layers = network_of(ReLU, batch_norm=True).layers
    if call is call_layer_statistics:
        layers = (*layers[:3], Dropout(0.5, np.random.default_rng(0)), *layers[3:])
    network = Sequential(*layers)
    if used:
        network.backward(np.ones_like(network.forward(X[:4], training=True)))
    before, arrays = everything(network), [dict(vars(leaf)) for leaf in network.leaves()]
    call(network)
    np.testing.assert_equal(everything(network), before)
    for leaf, attributes in zip(network.leaves(), arrays, strict=True):
        assert vars(leaf).keys() == attributes.keys()
        assert all(vars(leaf)[name] is value for name, value in attributes.items())
