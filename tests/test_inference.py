"""After training: averages, statistics measured again, statistics held still."""

import copy
import math

import numpy as np
import pytest
from oracles import channel_rows, complex_step_gradient, exact_statistics

from bnlib import batch_norm_inference, datasets, optim
from bnlib.inference import (
    FrozenBatchNorm,
    corrected_average,
    cumulative_average,
    exponential_average,
    frozen_statistics,
    reestimate,
)
from bnlib.layers import BatchNorm, Dropout, Linear, ReLU, Sequential, convnet, mlp
from bnlib.training import fit, population_statistics

MOMENTA = (1.0, 0.5, 0.1, 0.01)


def rng(seed=0):
    return np.random.default_rng(seed)


def trained(seed=0, **options):
    network = mlp([64, 30, 20, 10], rng=rng(seed), batch_norm=True, **options)
    sgd = optim.SGD(network, lr=0.5)
    data = datasets.digits(rng(seed))
    fit(network, sgd, data, epochs=1, batch_size=50, rng=rng(seed), evaluate="never")
    return network, data


def norms(network):
    return [leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm)]


# --- averages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", MOMENTA)
def test_averages_are_the_weighted_sums_that_the_rules_say(momentum):
    values, initial = rng().normal(3, 2, size=(7, 4)), np.array([0.0, 1.0, -2.0, 5.0])
    exponential = exponential_average(values, momentum, initial=initial)
    corrected = corrected_average(values, momentum)
    cumulative = cumulative_average(values)
    for k in range(1, 8):
        weights = [momentum * (1 - momentum) ** (k - i) for i in range(1, k + 1)]
        for c in range(4):
            terms = [w * v for w, v in zip(weights, values[:k, c], strict=True)]
            start = (1 - momentum) ** k * initial[c]
            assert exponential[k - 1, c] == pytest.approx(math.fsum([start, *terms]), rel=1e-13)
            expected = math.fsum(terms) / math.fsum(weights)
            assert corrected[k - 1, c] == pytest.approx(expected, rel=1e-13)
            assert cumulative[k - 1, c] == pytest.approx(math.fsum(values[:k, c]) / k, rel=1e-13)


@pytest.mark.parametrize("momentum", [0.1, 0.3, None])
def test_averages_are_pytorch_s_buffers_after_every_step(momentum):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    layer = torch.nn.BatchNorm1d(3, momentum=momentum, dtype=torch.float64)
    batches = rng().gamma(2.0, size=(12, 5, 3))
    means, variances = batches.mean(axis=1), batches.var(axis=1, ddof=1)
    if momentum is None:
        expected = cumulative_average(means), cumulative_average(variances)
    else:
        expected = (
            exponential_average(means, momentum, initial=0.0),
            exponential_average(variances, momentum, initial=1.0),
        )
    for batch, mean, var in zip(batches, *expected, strict=True):
        layer(torch.tensor(batch))
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)


def test_the_weights_of_all_values_are_what_an_average_makes_of_unit_vectors():
    weights = exponential_average(np.eye(5), 0.25)
    np.testing.assert_allclose(weights[-1], 0.25 * 0.75 ** np.arange(4, -1, -1.0))
    np.testing.assert_allclose(corrected_average(np.eye(5), 0.25).sum(axis=1), 1, rtol=1e-15)


def test_averages_are_float64_and_change_nothing():
    values = np.full((3, 2), 0.1, np.float32)
    for rule in (exponential_average, cumulative_average, corrected_average):
        assert rule(values).dtype == np.float64 and rule(values).shape == (3, 2)
    assert (values == np.float32(0.1)).all()
    start = np.zeros(2)
    exponential_average(values, initial=start)
    assert (start == 0).all()


def test_what_is_no_average_is_refused():
    with pytest.raises(ValueError, match="momentum must lie in"):
        exponential_average(np.ones(3), 1.5)
    with pytest.raises(ValueError, match="momentum must be a number above 0"):
        corrected_average(np.ones(3), 0.0)
    with pytest.raises(ValueError, match="an axis of time"):
        cumulative_average(np.array(1.0))


# --- measured again -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rows", "images"])
def test_the_statistics_of_all_are_the_population_s(kind):
    if kind == "rows":
        network, data = trained()
        x = data.x_train
    else:
        network = convnet((1, 8, 8), [3, 4], 10, rng=rng(), batch_norm=True)
        x = rng().normal(size=(9, 1, 8, 8))
    with population_statistics(network, x) as y:
        expected = [copy.deepcopy(leaf.buffers) for leaf in norms(network)]
    reestimate(network, x, bessel=False)
    for leaf, own in zip(norms(network), expected, strict=True):
        for name, value in own.items():
            np.testing.assert_array_equal(leaf.buffers[name], value)
        assert leaf.buffers["num_batches_tracked"] == 1
    np.testing.assert_allclose(network.forward(x, training=False), y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("pool", ["whole", "mean"])
@pytest.mark.parametrize("bessel", [True, False])
@pytest.mark.parametrize("shape", [(12, 2), (12, 2, 3, 1)])
def test_batches_are_pooled_as_said(pool, bessel, shape):
    x, layer = rng().gamma(2.0, size=shape) * 3 + 100, BatchNorm(2)
    reestimate(layer, x, batch_size=4, pool=pool, bessel=bessel)
    parts = [x] if pool == "whole" else [x[0:4], x[4:8], x[8:12]]
    for c in range(2):
        mean, _, _ = exact_statistics(channel_rows(x)[c])
        rows = [channel_rows(part)[c] for part in parts]
        variances = [
            exact_statistics(r)[2] * (len(r) / (len(r) - 1) if bessel else 1) for r in rows
        ]
        assert layer.buffers["running_mean"][c] == pytest.approx(mean, rel=1e-13)
        var = math.fsum(variances) / len(parts)
        assert layer.buffers["running_var"][c] == pytest.approx(var, rel=1e-12)
    assert layer.buffers["num_batches_tracked"] == 3


def test_the_mean_of_variances_is_what_pytorch_s_momentum_none_stores():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    network, data = trained()
    twins = []
    for layer in network.layers:
        if isinstance(layer, Linear):
            sizes, bias = layer.params["weight"].shape[::-1], "bias" in layer.params
            twin = torch.nn.Linear(*sizes, bias=bias, dtype=torch.float64)
        elif isinstance(layer, BatchNorm):
            twin = torch.nn.BatchNorm1d(layer.num_features, momentum=None, dtype=torch.float64)
        else:
            twin = torch.nn.ReLU()
        twin.load_state_dict({k: torch.tensor(v) for k, v in layer.state_dict().items()})
        twins.append(twin)
        if isinstance(twin, torch.nn.BatchNorm1d):
            twin.reset_running_stats()
    model = torch.nn.Sequential(*twins)
    for rows in np.split(np.arange(1000), 20):
        model(torch.tensor(data.x_train[rows]))
    reestimate(network, data.x_train, batch_size=50, pool="mean")
    for layer, twin in zip(network.layers, twins, strict=True):
        for name, value in layer.buffers.items():
            np.testing.assert_allclose(twin.state_dict()[name], value, rtol=1e-10, atol=1e-12)


def test_beyond_the_first_layer_batches_see_something_else():
    network, data = trained()
    first, second = norms(network)
    reestimate(network, data.x_train, bessel=False)
    exact = first.buffers["running_var"], second.buffers["running_var"]
    reestimate(network, data.x_train, bessel=False, batch_size=50)
    np.testing.assert_allclose(first.buffers["running_var"], exact[0], rtol=1e-12)
    assert np.abs(second.buffers["running_var"] / exact[1] - 1).max() > 0.01


def test_the_order_comes_from_rng_and_the_rest_is_left_out():
    x = rng().normal(size=(10, 2))
    one, two, three = BatchNorm(2), BatchNorm(2), BatchNorm(2)
    reestimate(one, x, batch_size=4)
    reestimate(two, x[:8], batch_size=4)
    reestimate(three, x, batch_size=4, rng=rng())
    np.testing.assert_array_equal(one.buffers["running_mean"], two.buffers["running_mean"])
    assert (one.buffers["running_mean"] != three.buffers["running_mean"]).all()


def test_only_the_buffers_change():
    network, data = trained()
    network = Sequential(*network.layers, Dropout(0.9, rng()))
    network.forward(data.x_train[:5], training=True)
    before = [dict(vars(leaf)) for leaf in network.leaves()]
    reestimate(network, data.x_train, batch_size=50, rng=rng())
    for leaf, own in zip(network.leaves(), before, strict=True):
        after = dict(vars(leaf))
        changed = {name for name in own if after[name] is not own[name]}
        assert changed == ({"buffers"} if isinstance(leaf, BatchNorm) else set())


def test_float32_stays_float32_and_no_averages_stay_none():
    layer = Sequential(BatchNorm(2, dtype=np.float32), BatchNorm(2, track_running_stats=False))
    reestimate(layer, rng().normal(size=(6, 2)).astype(np.float32))
    assert layer.layers[0].buffers["running_var"].dtype == np.float32
    assert layer.layers[1].buffers == {}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"batch_size": 7}, ValueError, "batch_size must lie in 1..6, got 7"),
        ({"batch_size": 0}, ValueError, "batch_size must lie in 1..6, got 0"),
        ({"pool": "all"}, ValueError, "pool must be one of"),
        ({"bessel": 1}, TypeError, "bessel must be True or False"),
        ({"batch_size": 1, "pool": "mean"}, ValueError, "two values"),
        ({"x": np.array([[1.0, np.nan]] * 6)}, FloatingPointError, "finite"),
        ({"x": np.ones((6, 3))}, ValueError, "2 channels"),
    ],
)
def test_what_cannot_be_measured_leaves_all_as_it_was(change, error, words):
    network = Sequential(BatchNorm(2), ReLU(), BatchNorm(2))
    network.forward(rng().normal(size=(6, 2)), training=True)
    before = [dict(vars(leaf)) for leaf in network.leaves()]
    with pytest.raises(error, match=words):
        reestimate(network, **{"x": rng(1).normal(size=(6, 2)), **change})
    for leaf, own in zip(network.leaves(), before, strict=True):
        assert all(vars(leaf)[name] is value for name, value in own.items())


# --- held still -----------------------------------------------------------------------------------


def ready():
    layer = FrozenBatchNorm(3, eps=1e-3)
    layer.load_state_dict(
        {
            "weight": np.array([1.5, -0.5, 2.0]),
            "bias": np.array([0.1, 0.0, -1.0]),
            "running_mean": np.array([1.0, -2.0, 0.5]),
            "running_var": np.array([4.0, 0.3, 1.0]),
            "num_batches_tracked": 3,
        }
    )
    return layer


@pytest.mark.parametrize("training", [True, False])
def test_a_frozen_layer_is_a_fixed_map_with_its_gradient(training):
    layer, x, dy = ready(), rng().normal(size=(5, 3)), rng(1).normal(size=(5, 3))
    params, buffers = layer.params, layer.buffers
    stored = buffers["running_mean"], buffers["running_var"]

    def loss(x, gamma, beta):
        return np.sum(dy * batch_norm_inference(x, *stored, gamma, beta, eps=1e-3))

    gamma, beta = params["weight"], params["bias"]
    layer.forward(x, training=training)
    dx = layer.backward(dy)
    options = {"rtol": 1e-12, "atol": 1e-13}
    expected = complex_step_gradient(lambda v: loss(v, gamma, beta), x)
    np.testing.assert_allclose(dx, expected, **options)
    expected = complex_step_gradient(lambda v: loss(x, v, beta), gamma)
    np.testing.assert_allclose(layer.grads["weight"], expected, **options)
    expected = complex_step_gradient(lambda v: loss(x, gamma, v), beta)
    np.testing.assert_allclose(layer.grads["bias"], expected, **options)
    assert layer.buffers is buffers


def test_a_frozen_layer_trains_on_a_single_example():
    assert ready().forward(np.ones((1, 3)), training=True).shape == (1, 3)


def test_training_with_frozen_statistics_moves_all_but_these():
    network, data = trained()
    before, plain = copy.deepcopy(network.state_dict()), copy.deepcopy(network)
    with frozen_statistics(network):
        assert {type(leaf) for leaf in norms(network)} == {FrozenBatchNorm}
        sgd = optim.SGD(network, lr=0.1)
        options = {"epochs": 1, "batch_size": 50, "rng": rng(), "statistics": "population"}
        fit(network, sgd, data, **options)
        inside = network.forward(data.x_train, training=True)
    assert {type(leaf) for leaf in norms(network)} == {BatchNorm}
    for name, value in network.state_dict().items():
        stored = name.split(".")[1] in ("running_mean", "running_var", "num_batches_tracked")
        assert (value == before[name]).all() == stored, name
    np.testing.assert_array_equal(network.forward(data.x_train, training=False), inside)
    plain.forward(data.x_train, training=True)
    assert (plain.state_dict()["1.running_mean"] != before["1.running_mean"]).all()


def test_frozen_parameters_do_not_freeze_statistics():
    network, data = trained()
    for leaf in norms(network):
        leaf.frozen = {"weight", "bias"}
    before = copy.deepcopy(network.state_dict())
    sgd = optim.SGD(network, lr=0.1)
    fit(network, sgd, data, epochs=1, batch_size=50, rng=rng())
    after = network.state_dict()
    assert (after["1.weight"] == before["1.weight"]).all()
    assert (after["1.running_mean"] != before["1.running_mean"]).all()


def test_the_class_comes_back_after_nesting_and_after_an_error():
    network = Sequential(BatchNorm(2), BatchNorm(2, track_running_stats=False))
    with frozen_statistics(network):
        with frozen_statistics(network):
            pass
        assert [type(leaf) for leaf in network.layers] == [FrozenBatchNorm, BatchNorm]
        assert type(copy.deepcopy(network).layers[0]) is FrozenBatchNorm
    assert type(network.layers[0]) is BatchNorm
    with pytest.raises(ValueError, match="2 channels"), frozen_statistics(network):
        network.forward(np.ones((2, 3)), training=True)
    assert type(network.layers[0]) is BatchNorm


def test_statistics_can_be_measured_again_while_frozen():
    layer, x = BatchNorm(2), rng().normal(size=(6, 2))
    with frozen_statistics(layer):
        reestimate(layer, x)
        y = layer.forward(x, training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
