"""Layers: state, modes, and that a call that raises has done nothing."""

import copy
import functools
import re

import numpy as np
import pytest
from oracles import complex_step_gradient

from bnlib import functional, normalization
from bnlib.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAveragePool,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    Tanh,
    convnet,
    mlp,
)

rng = np.random.default_rng(0)
X, DY = rng.normal(1, 2, size=(6, 3)), rng.normal(size=(6, 3))
PICTURES = rng.normal(size=(4, 2, 5, 6))


def everything(layer):
    """All that a layer holds, copied deep enough to compare later."""
    return [copy.deepcopy(vars(leaf)) for leaf in layer.leaves()]


def assert_unchanged(layer, before):
    for now, then in zip(everything(layer), before, strict=True):
        np.testing.assert_equal(now, then)


# Linear and the activations


def test_linear_draws_its_weights_with_the_standard_deviation_asked_for():
    he = Linear(200, 300, rng=np.random.default_rng(0))
    small = Linear(200, 300, rng=np.random.default_rng(0), scale=1e-3)
    assert he.params["weight"].shape == (300, 200)
    assert he.params["weight"].std() == pytest.approx(0.1, rel=0.02)
    np.testing.assert_allclose(small.params["weight"], he.params["weight"] * 1e-2, rtol=1e-12)
    np.testing.assert_array_equal(he.params["bias"], np.zeros(300))
    assert Linear(2, 2, rng=rng, dtype=np.float32).params["weight"].dtype == np.float32


def test_the_rules_of_he_and_of_glorot():
    def spread(layer, *sizes, scale):
        return layer(*sizes, rng=np.random.default_rng(0), scale=scale).params["weight"].std()

    assert spread(Linear, 200, 600, scale="glorot") == pytest.approx(0.05, rel=0.02)
    assert spread(Conv2d, 8, 30, 5, scale="he") == pytest.approx(0.1, rel=0.02)
    assert spread(Conv2d, 8, 24, 5, scale="glorot") == pytest.approx(0.05, rel=0.02)
    for layer, sizes in [(Linear, (2, 2)), (Conv2d, (2, 2, 3))]:
        with pytest.raises(
            ValueError, match=r"scale must be a number or one of \['he', 'glorot'\]"
        ):
            layer(*sizes, rng=rng, scale="xavier")


def test_linear_without_bias():
    layer = Linear(3, 2, rng=np.random.default_rng(0), bias=False)
    y = layer.forward(X, training=True)
    np.testing.assert_allclose(y, X @ layer.params["weight"].T)
    layer.backward(np.ones((6, 2)))
    assert layer.params.keys() == layer.grads.keys() == {"weight"}


def test_backward_sets_and_accumulates_only_when_asked():
    layer = Linear(3, 3, rng=np.random.default_rng(0))
    layer.forward(X, training=True)
    layer.backward(DY)
    once = layer.grads["weight"]
    layer.backward(DY)
    np.testing.assert_array_equal(layer.grads["weight"], once)
    layer.backward(DY, accumulate=True)
    np.testing.assert_array_equal(layer.grads["weight"], 2 * once)
    fresh = Linear(3, 3, rng=np.random.default_rng(0))
    fresh.forward(X, training=True)
    fresh.backward(DY, accumulate=True)
    np.testing.assert_array_equal(fresh.grads["weight"], once)


def test_a_network_s_gradient_is_the_complex_step_derivative():
    network = mlp([3, 5, 4, 3], rng=np.random.default_rng(1), batch_norm=True, activation=Tanh)
    network.forward(X, training=True)
    dx = network.backward(DY)

    def loss(x):
        for leaf in network.leaves():
            if isinstance(leaf, BatchNorm):
                x = normalization.batch_norm(x, leaf.params["weight"], leaf.params["bias"])[0]
            else:
                x = leaf._forward(x, True)[0]
        return (DY * x).sum()

    np.testing.assert_allclose(dx, complex_step_gradient(loss, X), rtol=1e-9, atol=1e-12)


# Batch norm


def test_training_moves_the_running_averages_as_documented():
    layer = BatchNorm(3, momentum=0.25)
    layer.forward(X, training=True)
    np.testing.assert_allclose(layer.buffers["running_mean"], 0.25 * X.mean(axis=0))
    np.testing.assert_allclose(
        layer.buffers["running_var"], 0.75 + 0.25 * X.var(axis=0, ddof=1), rtol=1e-13
    )
    assert layer.buffers["num_batches_tracked"] == 1


def test_momentum_none_averages_all_batches_alike():
    layer = BatchNorm(3, momentum=None)
    for batch in (X[:2], X[2:4], X[4:]):
        layer.forward(batch, training=True)
    np.testing.assert_allclose(layer.buffers["running_mean"], X.mean(axis=0))
    variances = [b.var(axis=0, ddof=1) for b in (X[:2], X[2:4], X[4:])]
    np.testing.assert_allclose(layer.buffers["running_var"], np.mean(variances, axis=0))


@pytest.mark.parametrize(("momentum", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_momentum_at_its_ends(momentum, expected):
    layer = BatchNorm(3, momentum=momentum)
    layer.forward(X, training=True)
    np.testing.assert_allclose(layer.buffers["running_mean"], expected * X.mean(axis=0))


def test_evaluation_is_a_fixed_affine_map():
    layer = BatchNorm(3)
    layer.load_state_dict(
        {
            "weight": [1, 2, 3],
            "bias": [0.5, 0, -1],
            "running_mean": [1, 0, 2],
            "running_var": [4, 1, 9],
            "num_batches_tracked": 7,
        }
    )
    before = everything(layer)[0]["buffers"]
    y = layer.forward(X, training=False)
    expected = np.array([1, 2, 3]) * (X - [1, 0, 2]) / np.sqrt(np.array([4, 1, 9]) + 1e-5)
    np.testing.assert_allclose(y, expected + np.array([0.5, 0, -1]), rtol=1e-12)
    np.testing.assert_array_equal(layer.forward(X[:1], training=False), y[:1])
    np.testing.assert_equal(layer.buffers, before)


def test_backward_after_evaluation_is_that_of_the_affine_map_and_no_stale_cache():
    layer = BatchNorm(3)
    layer.forward(5 * X, training=True)
    mean, var = layer.buffers["running_mean"], layer.buffers["running_var"]
    layer.forward(X, training=False)
    dx = layer.backward(DY)
    np.testing.assert_allclose(dx, DY / np.sqrt(var + 1e-5))
    np.testing.assert_allclose(layer.grads["bias"], DY.sum(axis=0))
    x_hat = (X - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(layer.grads["weight"], (DY * x_hat).sum(axis=0))


def test_without_affine_there_is_nothing_to_learn():
    layer = BatchNorm(3, affine=False)
    y = layer.forward(X, training=True)
    np.testing.assert_array_equal(y, normalization.batch_norm(X)[0])
    layer.backward(DY)
    assert layer.params == layer.grads == {}
    layer.forward(X, training=False)
    layer.backward(DY)
    assert layer.grads == {}


def test_without_running_averages_evaluation_uses_its_own_batch():
    layer = BatchNorm(3, track_running_stats=False)
    trained = layer.forward(X, training=True)
    np.testing.assert_array_equal(layer.forward(X, training=False), trained)
    dx = layer.backward(DY)
    expected, _, _ = normalization.batch_norm_backward(DY, normalization.batch_norm(X)[1])
    np.testing.assert_array_equal(dx, expected)
    assert layer.buffers == {}


def test_one_value_per_channel_in_training():
    with pytest.raises(ValueError, match=r"more than one value per channel .* shape \(1, 3\)"):
        BatchNorm(3).forward(X[:1], training=True)
    free = BatchNorm(3, track_running_stats=False)
    np.testing.assert_array_equal(free.forward(X[:1], training=True), [[0, 0, 0]])
    one_picture = BatchNorm(3).forward(X.T.reshape(1, 3, 2, 3), training=True)
    assert np.isfinite(one_picture).all()


def test_eps_and_dtype_reach_the_computation():
    layer = BatchNorm(3, eps=0.5, dtype=np.float32)
    y = layer.forward(X.astype(np.float32), training=True)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, normalization.batch_norm(X, eps=0.5)[0], rtol=1e-5, atol=1e-6)
    assert {v.dtype for v in layer.params.values()} == {np.dtype(np.float32)}
    assert layer.buffers["running_var"].dtype == np.float32
    layer.forward(X.astype(np.float32), training=False)
    layer.backward(DY.astype(np.float32))
    slope = 1 / np.sqrt(layer.buffers["running_var"] + 0.5)
    np.testing.assert_allclose(layer.backward(DY), DY * slope, rtol=1e-5)


# Layer norm, dropout


def test_layer_norm_is_the_same_in_training_and_in_evaluation_and_alone():
    layer = LayerNorm(3, eps=0.5)
    layer.load_state_dict({"weight": [1, 2, 3], "bias": [0.5, 0, -1]})
    spread = np.sqrt(X.var(axis=1, keepdims=True) + 0.5)
    expected = (X - X.mean(axis=1, keepdims=True)) / spread * [1, 2, 3] + [0.5, 0, -1]
    y = layer.forward(X, training=True)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_array_equal(layer.forward(X, training=False), y)
    np.testing.assert_array_equal(layer.forward(X[:1], training=True), y[:1])
    assert layer.buffers == {}


def test_layer_norm_of_pictures_has_parameters_of_their_shape():
    layer = LayerNorm((2, 5, 6), dtype=np.float32)
    y = layer.forward(PICTURES, training=True)
    np.testing.assert_allclose(y.mean(axis=(1, 2, 3)), 0, atol=1e-12)
    layer.backward(PICTURES)
    for name in ("weight", "bias"):
        assert layer.params[name].shape == layer.grads[name].shape == (2, 5, 6)
        assert layer.params[name].dtype == np.float32


def test_layer_norm_without_affine_has_nothing_to_learn():
    layer = LayerNorm(3, affine=False)
    y = layer.forward(X, training=True)
    np.testing.assert_array_equal(y, normalization.layer_norm(X)[0])
    layer.backward(DY)
    assert layer.params == layer.grads == {}


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (GroupNorm(1, 2), lambda x, *p: normalization.group_norm(x, 1, *p)),
        (GroupNorm(2, 2, affine=False), lambda x: normalization.group_norm(x, 2)),
        (InstanceNorm(2), normalization.instance_norm),
        (InstanceNorm(2, affine=True), normalization.instance_norm),
        (RMSNorm((5, 6)), lambda x, *p: normalization.rms_norm(x, *p, axis=-2)),
        (RMSNorm(6, affine=False), normalization.rms_norm),
    ],
)
def test_a_relative_is_its_function_in_both_modes(layer, function):
    start = {name: 1 + rng.normal(size=v.shape) for name, v in layer.state_dict().items()}
    layer.load_state_dict(start)
    expected = function(PICTURES, *start.values())[0]
    for training in (True, False):
        y = layer.forward(PICTURES, training=training)
        np.testing.assert_array_equal(y, expected)
    layer.backward(PICTURES)
    assert list(layer.grads) == list(start)
    assert layer.buffers == {}


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (GroupNorm(2, 4), ["weight", "bias"]),
        (GroupNorm(2, 4, affine=False), []),
        (InstanceNorm(4), []),
        (InstanceNorm(4, affine=True), ["weight", "bias"]),
        (RMSNorm(4), ["weight"]),
        (RMSNorm(4, affine=False), []),
    ],
)
def test_the_state_of_the_relatives(layer, names):
    assert list(layer.state_dict()) == names
    assert all(value.shape == (4,) for value in layer.params.values())


@pytest.mark.parametrize("layer", [GroupNorm, InstanceNorm, RMSNorm])
def test_a_relative_takes_its_dtype(layer):
    sizes = (1, 2) if layer is GroupNorm else (2,)
    params = layer(*sizes, affine=True, dtype=np.float32).params
    assert {value.dtype for value in params.values()} == {np.dtype(np.float32)}


def test_dropout_is_noise_in_training_and_nothing_in_evaluation():
    layer = Dropout(0.5, np.random.default_rng(0))
    first, second = (layer.forward(X, training=True) for _ in range(2))
    assert (first != second).any()
    dx = layer.backward(DY)
    np.testing.assert_array_equal(dx, np.where(second == 0, 0, 2 * DY))
    np.testing.assert_array_equal(layer.forward(X, training=False), X)
    np.testing.assert_array_equal(layer.backward(DY), DY)


# State


def test_frozen_names_parameters():
    layer = Linear(3, 3, rng=np.random.default_rng(0))
    assert layer.frozen == frozenset()
    layer.frozen = ["weight"]
    assert layer.frozen == frozenset({"weight"})
    layer.forward(X, training=True)
    layer.backward(DY)
    assert layer.grads.keys() == {"weight", "bias"}
    for wrong in ({"gamma"}, "bias", {"weight", "running_mean"}):
        with pytest.raises(ValueError, match="Linear: frozen must name parameters among"):
            layer.frozen = wrong
    assert layer.frozen == frozenset({"weight"})


def test_nested_networks_have_dotted_names():
    block = Residual(Linear(3, 3, rng=rng), Sequential(BatchNorm(3), ReLU()))
    state = Sequential(Tanh(), block).state_dict()
    buffers = ["running_mean", "running_var", "num_batches_tracked"]
    names = ["weight", "bias", *buffers]
    assert list(state) == ["1.0.weight", "1.0.bias", *(f"1.1.0.{name}" for name in names)]
    Sequential(Tanh(), block).load_state_dict({name: value + 1 for name, value in state.items()})
    np.testing.assert_array_equal(block.layers[0].params["bias"], np.ones(3))


def test_state_dict_is_a_copy_and_round_trips():
    source = mlp([3, 4, 2], rng=np.random.default_rng(0), batch_norm=True)
    source.forward(X, training=True)
    target = mlp([3, 4, 2], rng=np.random.default_rng(1), batch_norm=True)
    state = source.state_dict()
    target.load_state_dict(state)
    expected = source.forward(X, training=False)
    for value in state.values():
        value[...] = 0
    np.testing.assert_array_equal(target.forward(X, training=False), expected)
    np.testing.assert_array_equal(source.forward(X, training=False), expected)
    assert list(state)[:3] == ["0.weight", "1.weight", "1.bias"]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"gain": np.ones(3)}, ValueError, "expected the names"),
        ({"weight": None}, TypeError, "weight must hold real numbers, got object"),
        ({"weight": np.ones(4)}, ValueError, "weight must have shape (3,) to match this layer"),
        ({"bias": np.ones((3, 1))}, ValueError, "bias must have shape (3,)"),
        ({"running_var": np.ones(3, complex)}, TypeError, "got complex128"),
        ({"num_batches_tracked": np.ones(3)}, ValueError, "must have shape ()"),
        ({"num_batches_tracked": -5}, ValueError, "num_batches_tracked must not be negative"),
        ({"running_var": np.array([1, -1.0, 1])}, ValueError, "running_var must not be negative"),
        ({"running_mean": np.array([1, np.nan, 1])}, ValueError, "running_mean must be finite"),
    ],
)
def test_load_state_dict_refuses_and_changes_nothing(change, error, says):
    for network in (BatchNorm(3), Sequential(BatchNorm(3), BatchNorm(3))):
        before = everything(network)
        last = "" if isinstance(network, BatchNorm) else "1."
        state = {k: np.asarray(v) + 1 for k, v in network.state_dict().items()}
        with pytest.raises(error) as caught:
            network.load_state_dict({**state, **{last + k: v for k, v in change.items()}})
        assert says in str(caught.value)
        assert_unchanged(network, before)


def test_a_diverged_network_can_be_stored_and_loaded():
    layer = Linear(3, 2, rng=np.random.default_rng(0))
    state = layer.state_dict() | {"bias": np.array([np.nan, np.inf])}
    layer.load_state_dict(state)
    np.testing.assert_equal(layer.state_dict(), state)


def test_load_state_dict_refuses_a_missing_name():
    for network in (BatchNorm(3), Sequential(BatchNorm(3))):
        state = network.state_dict()
        state.popitem()
        with pytest.raises(ValueError, match="expected the names"):
            network.load_state_dict(state)


# A call that raises has done nothing


class Interrupted(Layer):
    """A layer that is stopped in the middle, as by Ctrl-C."""

    def _forward(self, x, training):
        raise KeyboardInterrupt

    def _backward(self, dy, cache):
        raise KeyboardInterrupt


def bad_batches():
    nan, inf = X.copy(), X.copy()
    nan[2, 1], inf[0, 2] = np.nan, np.inf
    return {
        "NaN": (nan, FloatingPointError, "channel 1"),
        "infinity": (inf, FloatingPointError, "channel 2"),
        "too large for the average": (1e200 * X, FloatingPointError, "running_var"),
        "one value": (X[:1], ValueError, "more than one value"),
        "one pixel": (X[:1].reshape(1, 3, 1, 1), ValueError, "more than one value"),
        "empty": (X[:0], ValueError, "must not be empty"),
        "channels": (X[:, :2], ValueError, "BatchNorm: x must have 3 channels"),
        "integers": (X.astype(int), TypeError, "must be an array of float16"),
        "objects": (X.astype(object), TypeError, "got object"),
        "one axis": (X[0], ValueError, "(N, C, *spatial)"),
    }


@pytest.mark.parametrize("name", bad_batches())
@pytest.mark.parametrize("wrap", [lambda layer: layer, Sequential])
def test_a_bad_batch_leaves_everything_as_it_was(name, wrap):
    batch, error, says = bad_batches()[name]
    network = wrap(BatchNorm(3))
    network.forward(X, training=True)
    network.backward(DY)
    before = everything(network)
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(error) as caught:
        network.forward(batch, training=True)
    assert says in str(caught.value)
    assert_unchanged(network, before)


@pytest.mark.parametrize("how", ["forward", "backward"])
def test_ctrl_c_in_the_middle_of_a_network_leaves_everything_as_it_was(how):
    first, last = BatchNorm(3), Linear(3, 3, rng=np.random.default_rng(0))
    network = Sequential(first, Sequential(ReLU(), Interrupted()), last)
    Sequential(first, last).forward(X, training=True)
    Sequential(first, last).backward(DY)
    for layer in network.leaves():
        layer._cache = layer._cache or "something"
    before = everything(network)
    calls = {
        "forward": lambda: network.forward(X, training=True),
        "backward": lambda: network.backward(2 * DY),
    }
    with pytest.raises(KeyboardInterrupt):
        calls[how]()
    assert_unchanged(network, before)


@pytest.mark.parametrize("bad", [DY[:, :2], DY.astype(int)])
def test_a_bad_upstream_gradient_changes_nothing(bad):
    network = Sequential(Linear(3, 3, rng=np.random.default_rng(0)), BatchNorm(3), Sigmoid())
    network.forward(X, training=True)
    network.backward(DY)
    before = everything(network)
    with pytest.raises((TypeError, ValueError)):
        network.backward(bad)
    assert_unchanged(network, before)


@pytest.mark.parametrize(
    "layer",
    [
        BatchNorm(3),
        LayerNorm(3),
        GroupNorm(1, 3),
        InstanceNorm(3),
        RMSNorm(3),
        Linear(3, 3, rng=rng),
        Conv2d(3, 3, 1, rng=rng),
        Dropout(0.5, rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        GlobalAveragePool(),
        Sequential(ReLU(), Tanh()),
        Residual(ReLU()),
    ],
)
def test_backward_before_forward(layer):
    with pytest.raises(RuntimeError, match=r"\.backward: call forward first"):
        layer.backward(DY)


@pytest.mark.parametrize("mode", [1, 0, None, "train"])
def test_training_must_be_said_as_a_bool(mode):
    with pytest.raises(TypeError, match="training must be True or False"):
        Sequential(ReLU()).forward(X, training=mode)
    with pytest.raises(TypeError):
        ReLU().forward(X)


@pytest.mark.parametrize("eps", [0, -1.0, np.nan])
def test_eps_must_be_above_zero(eps):
    with pytest.raises(ValueError, match="BatchNorm: eps must be a number above 0"):
        BatchNorm(3, eps=eps)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"momentum": -0.1}, ValueError, "momentum must lie in [0, 1], got -0.1"),
        ({"momentum": 1.1}, ValueError, "momentum must lie in [0, 1], got 1.1"),
        ({"momentum": np.nan}, ValueError, "momentum must lie in [0, 1], got nan"),
        ({"momentum": "a"}, TypeError, "momentum must be a number from 0 to 1, got 'a'"),
        ({"momentum": True}, TypeError, "momentum must be a number from 0 to 1, got True"),
        ({"num_features": 0}, ValueError, "num_features must be at least 1, got 0"),
        ({"num_features": 3.0}, TypeError, "num_features must be a whole number, got 3.0"),
        ({"num_features": True}, TypeError, "num_features must be a whole number, got True"),
        ({"affine": "no"}, TypeError, "affine must be True or False, got 'no'"),
        ({"track_running_stats": 1}, TypeError, "track_running_stats must be True or False"),
        ({"dtype": int}, TypeError, "dtype must be float16"),
    ],
)
def test_bad_options(options, error, says):
    with pytest.raises(error) as caught:
        BatchNorm(**{"num_features": 3, **options})
    assert says in str(caught.value)


def test_a_layer_stands_in_a_network_once():
    relu = ReLU()
    with pytest.raises(ValueError, match="each layer may stand in it once"):
        Sequential(relu, Sequential(Tanh(), relu))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: LayerNorm(0), ValueError, "LayerNorm: num_features must be at least 1, got 0"),
        (lambda: LayerNorm((2, 3.0)), TypeError, "num_features must be a whole number, got 3.0"),
        (lambda: LayerNorm(3, eps=0), ValueError, "LayerNorm: eps must be a number above 0"),
        (lambda: LayerNorm(3, affine=1), TypeError, "LayerNorm: affine must be True or False"),
        (lambda: LayerNorm(3, dtype=int), TypeError, "LayerNorm: dtype must be float16"),
        (lambda: GroupNorm(2, 3), ValueError, "num_groups must divide the 3 channels, got 2"),
        (lambda: GroupNorm(0, 3), ValueError, "GroupNorm: num_groups must be at least 1, got 0"),
        (lambda: GroupNorm(1, 0), ValueError, "GroupNorm: num_channels must be at least 1, got 0"),
        (lambda: GroupNorm(1, 3, eps=0), ValueError, "GroupNorm: eps must be a number above 0"),
        (lambda: InstanceNorm(0), ValueError, "InstanceNorm: num_features must be at least 1"),
        (lambda: InstanceNorm(3, affine=1), TypeError, "InstanceNorm: affine must be True or"),
        (lambda: RMSNorm((3, 0)), ValueError, "RMSNorm: num_features must be at least 1, got 0"),
        (lambda: RMSNorm(3, dtype=int), TypeError, "RMSNorm: dtype must be float16"),
        (lambda: Dropout(1.5, rng), ValueError, "Dropout: rate must lie in [0, 1], got 1.5"),
        (lambda: Conv2d(1, 1, 0, rng=rng), ValueError, "Conv2d: size must be at least 1, got 0"),
    ],
)
def test_bad_options_of_other_layers(call, error, says):
    with pytest.raises(error) as caught:
        call()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "x", "error", "says"),
    [
        (LayerNorm(3), X[:, :2], ValueError, "LayerNorm: x must end in the shape (3,), got (6, 2)"),
        (LayerNorm((6, 3)), X[:5], ValueError, "x must end in the shape (6, 3), got (5, 3)"),
        (LayerNorm((6, 3)), X[0], ValueError, "x must end in the shape (6, 3), got (3,)"),
        (LayerNorm(3), X[:0], ValueError, "x must not be empty"),
        (GroupNorm(1, 2), X, ValueError, "GroupNorm: x must have 2 channels (axis 1), got"),
        (GroupNorm(1, 3), X[:0], ValueError, "GroupNorm: x must not be empty"),
        (InstanceNorm(2), X, ValueError, "InstanceNorm: x must have 2 channels (axis 1), got"),
        (InstanceNorm(3), X, ValueError, "more than one value per channel of an example, got"),
        (RMSNorm(2), X, ValueError, "RMSNorm: x must end in the shape (2,), got (6, 3)"),
        (Dropout(0.5, rng), X.astype(int), TypeError, "dropout: x must be an array of float16"),
        (Flatten(), X[0], ValueError, "Flatten: x must have shape (N, C, *spatial), got (3,)"),
        (GlobalAveragePool(), X[:0], ValueError, "GlobalAveragePool: x must not be empty"),
        (MaxPool2d(2), X, ValueError, "max_pool2d: x must have shape (N, C, H, W), got (6, 3)"),
        (
            Residual(Linear(3, 1, rng=rng)),
            X,
            ValueError,
            "Residual: f(x) must have shape (6, 3) to match x of shape (6, 3), got (6, 1)",
        ),
    ],
)
def test_a_bad_batch_for_other_layers(layer, x, error, says):
    before = everything(layer)
    with pytest.raises(error) as caught:
        layer.forward(x, training=True)
    assert says in str(caught.value)
    with pytest.raises(RuntimeError):
        layer.backward(X)
    if not isinstance(layer, Dropout):  # its generator has no ==
        assert_unchanged(layer, before)


@pytest.mark.parametrize("layer", [Flatten(), GlobalAveragePool(), MaxPool2d(2), Residual(Tanh())])
def test_a_bad_upstream_for_other_layers(layer):
    y = layer.forward(PICTURES, training=True)
    before = everything(layer)
    with pytest.raises(ValueError, match="dy must have shape"):
        layer.backward(np.ones((len(y) + 1, *y.shape[1:])))
    with pytest.raises(TypeError, match="dy must be an array of float16"):
        layer.backward(np.ones(y.shape, int))
    assert_unchanged(layer, before)


FLOATS = "an array of float16, float32 or float64 (or complex128, for derivatives), got int64"


@pytest.mark.parametrize(
    ("layer", "y", "operation"),
    [
        (Flatten(), (4, 60), "Flatten.backward"),
        (GlobalAveragePool(), (4, 2), "GlobalAveragePool.backward"),
        (MaxPool2d(2), (4, 2, 2, 3), "max_pool2d_backward"),
        (MaxPool2d(2, stride=1), (4, 2, 4, 5), "max_pool2d_backward"),
    ],
)
def test_layers_that_change_the_shape_name_it_to_an_upstream_that_does_not_fit(layer, y, operation):
    assert layer.forward(PICTURES, training=True).shape == y
    wrong = (*y[:-1], y[-1] + 1)
    with pytest.raises(ValueError, match="dy") as caught:
        layer.backward(np.ones(wrong))
    told = f"{operation}: dy must have shape {y} to match y of shape {y}, got {wrong}"
    assert str(caught.value) == told
    with pytest.raises(TypeError) as caught:
        layer.backward(np.ones(y, np.int64))
    assert str(caught.value) == f"{operation}: dy must be {FLOATS}"


@pytest.mark.parametrize("layer", [Dropout(0.5, rng), Flatten(), GlobalAveragePool()])
def test_a_layer_names_itself_to_a_batch_of_integers_in_evaluation(layer):
    with pytest.raises(TypeError) as caught:
        layer.forward(np.ones((2, 3), np.int64), training=False)
    assert str(caught.value) == f"{type(layer).__name__}: x must be {FLOATS}"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Dropout(-0.5, rng), "Dropout: rate must lie in [0, 1], got -0.5"),
        (lambda: Dropout(0.5, 0), "Dropout: rng must be a numpy.random.Generator, got 0"),
        (lambda: MaxPool2d(0), "MaxPool2d: size must be at least 1, got 0"),
        (lambda: MaxPool2d(2, stride=0), "MaxPool2d: stride must be at least 1, got 0"),
    ],
)
def test_dropout_and_pooling_are_asked_for_in_numbers_that_make_sense(make, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(sentence)}$"):
        make()


def test_dropout_is_evaluated_without_a_copy_and_hands_its_gradient_on():
    layer = Dropout(0.5, np.random.default_rng(0))
    assert layer.forward(X, training=False) is X
    np.testing.assert_array_equal(layer.backward(DY), DY)


def test_a_network_passes_accumulation_on_and_keeps_the_old_arrays():
    network = mlp([3, 4, 3], rng=np.random.default_rng(0), batch_norm=True)
    network.forward(X, training=True)
    network.backward(DY)
    once = [dict(leaf.grads) for leaf in network.leaves()]
    values = copy.deepcopy(once)
    network.backward(DY, accumulate=True)
    for leaf, old, value in zip(network.leaves(), once, values, strict=True):
        np.testing.assert_equal(old, value)
        for name, gradient in leaf.grads.items():
            np.testing.assert_array_equal(gradient, 2 * value[name])


def with_every_kind_of_first_layer():
    rng, block = np.random.default_rng(2), Residual(Linear(3, 3, rng=np.random.default_rng(3)))
    return {
        "linear": (Linear(3, 4, rng=rng), X),
        "linear without bias": (Linear(3, 4, rng=rng, bias=False), X),
        "batch norm": (Sequential(BatchNorm(3), Linear(3, 4, rng=rng)), X),
        "residual": (Sequential(block, Linear(3, 4, rng=rng)), X),
        "nothing": (Sequential(), X),
        "convolution": (convnet((2, 5, 6), [3], 4, rng=rng, batch_norm=True), PICTURES),
    }


@pytest.mark.parametrize("name", with_every_kind_of_first_layer())
def test_without_the_input_gradient_the_others_are_the_same_to_the_bit(name):
    network, x = with_every_kind_of_first_layer()[name]
    dy = np.random.default_rng(4).normal(size=network.forward(x, training=True).shape)
    assert network.backward(dy).shape == x.shape
    expected = [leaf.grads for leaf in network.leaves()]
    assert network.backward(dy, input_gradient=False) is None
    for leaf, grads in zip(network.leaves(), expected, strict=True):
        np.testing.assert_equal(leaf.grads, grads)
        assert leaf.grads is not grads or not leaf.params


def test_the_work_of_the_input_gradient_is_left_out_of_the_first_layer_alone(monkeypatch):
    network, asked = mlp([3, 4, 4, 3], rng=np.random.default_rng(0)), []
    real = functional.linear_backward

    def recorded(dy, cache, *, input_gradient=True):
        asked.append(input_gradient)
        return real(dy, cache, input_gradient=input_gradient)

    monkeypatch.setattr(functional, "linear_backward", recorded)
    network.forward(X, training=True)
    network.backward(DY, input_gradient=False)
    assert asked == [True, True, False]


def test_residual_adds_its_detour_in_both_directions_and_accumulates():
    linear = Linear(3, 3, rng=np.random.default_rng(0))
    block, weight = Residual(linear), linear.params["weight"]
    np.testing.assert_allclose(block.forward(X, training=True), X + X @ weight.T, rtol=1e-13)
    np.testing.assert_allclose(block.backward(DY), DY + DY @ weight, rtol=1e-13)
    once = linear.grads["weight"]
    block.backward(DY, accumulate=True)
    np.testing.assert_array_equal(linear.grads["weight"], 2 * once)


def test_a_residual_block_that_changes_the_shape_leaves_a_network_as_it_was():
    network = Sequential(BatchNorm(3), Residual(BatchNorm(3), Linear(3, 1, rng=rng)))
    before = everything(network)
    with pytest.raises(ValueError, match="Residual: f"):
        network.forward(X, training=True)
    assert_unchanged(network, before)


@pytest.mark.parametrize("position", [0, 1])
def test_ctrl_c_behind_and_in_a_residual_block_leaves_everything_as_it_was(position):
    inner = [BatchNorm(3), Interrupted()]
    block = Residual(*inner[: 1 + (position == 0)])
    network = Sequential(block) if position == 0 else Sequential(block, Interrupted())
    before = everything(network)
    with pytest.raises(KeyboardInterrupt):
        network.forward(X, training=True)
    assert_unchanged(network, before)


def test_a_layer_may_not_stand_inside_and_outside_of_a_residual_block():
    relu = ReLU()
    with pytest.raises(ValueError, match="each layer may stand in it once"):
        Sequential(relu, Residual(relu))


def test_flatten_and_global_average_pool_by_hand():
    flatten, pool = Flatten(), GlobalAveragePool()
    np.testing.assert_array_equal(flatten.forward(PICTURES, training=True)[1], PICTURES[1].ravel())
    dy = rng.normal(size=(4, 60))
    np.testing.assert_array_equal(flatten.backward(dy)[1].ravel(), dy[1])
    mean = pool.forward(PICTURES, training=True)
    np.testing.assert_allclose(mean, PICTURES.mean(axis=(2, 3)))
    dy = rng.normal(size=(4, 2))
    dx = pool.backward(dy)
    assert dx.shape == PICTURES.shape
    np.testing.assert_allclose(dx, dy[:, :, None, None] / 30 + 0 * PICTURES)


def test_conv2d_and_max_pool2d_pass_their_options_on():
    conv = Conv2d(2, 3, 3, stride=2, padding=1, rng=np.random.default_rng(0))
    conv.params = {**conv.params, "bias": np.array([1.0, 2.0, 3.0])}
    expected, _ = functional.conv2d(PICTURES, *conv.params.values(), stride=2, padding=1)
    np.testing.assert_array_equal(conv.forward(PICTURES, training=True), expected)
    free = Conv2d(2, 3, 3, bias=False, rng=np.random.default_rng(0))
    free.backward(free.forward(PICTURES, training=True))
    assert free.params.keys() == free.grads.keys() == {"weight"}
    expected, _ = functional.max_pool2d(PICTURES, 3, stride=2)
    pool = MaxPool2d(3, stride=2)
    np.testing.assert_array_equal(pool.forward(PICTURES, training=True), expected)


def test_batches_are_counted_in_whole_numbers():
    layer = BatchNorm(3)
    layer.forward(X, training=True)
    assert layer.state_dict()["num_batches_tracked"].dtype == np.int64


def test_a_complex_step_moves_the_averages_by_its_real_part():
    layers = BatchNorm(3), BatchNorm(3)
    for layer, x in zip(layers, (X, X + 1e-30j), strict=True):
        layer.forward(x, training=True)
    for name, buffer in layers[0].buffers.items():
        np.testing.assert_allclose(layers[1].buffers[name], buffer, rtol=1e-12)


def test_an_overflow_is_told_with_momentum_0_too():
    with np.errstate(over="ignore"), pytest.raises(FloatingPointError, match="got inf"):
        BatchNorm(3, momentum=0.0).forward(1e200 * X, training=True)


# mlp


def test_mlp_has_the_same_weights_with_and_without_batch_norm():
    plain = mlp([4, 5, 6, 2], rng=np.random.default_rng(3))
    normed = mlp([4, 5, 6, 2], rng=np.random.default_rng(3), batch_norm=True)
    names = [[type(layer).__name__ for layer in net.layers] for net in (plain, normed)]
    assert names[0] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert names[1] == ["Linear", "BatchNorm", "ReLU", "Linear", "BatchNorm", "ReLU", "Linear"]
    linears = [[la for la in net.layers if isinstance(la, Linear)] for net in (plain, normed)]
    for a, b in zip(*linears, strict=True):
        np.testing.assert_array_equal(a.params["weight"], b.params["weight"])
    assert ["bias" in la.params for la in linears[0]] == [True, True, True]
    assert ["bias" in la.params for la in linears[1]] == [False, False, True]


def test_mlp_passes_scale_activation_and_dtype_on():
    network = mlp([4, 5, 2], rng=rng, scale=0.0, activation=Tanh, dtype=np.float32, batch_norm=True)
    assert isinstance(network.layers[2], Tanh)
    assert {v.dtype for leaf in network.leaves() for v in leaf.params.values()} == {
        np.dtype(np.float32)
    }
    assert not network.layers[0].params["weight"].any()
    assert not network.layers[3].params["weight"].any()


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


@pytest.mark.parametrize("norm", [None, BatchNorm, LayerNorm])
@pytest.mark.parametrize("placement", ["before", "after"])
def test_mlp_has_the_same_weights_whatever_the_norm_and_its_place(norm, placement):
    plain = mlp([4, 5, 6, 2], rng=np.random.default_rng(3))
    network = mlp([4, 5, 6, 2], rng=np.random.default_rng(3), norm=norm, placement=placement)
    name = [norm.__name__] if norm else []
    block = ["Linear", *name, "ReLU"] if placement == "before" else ["Linear", "ReLU", *name]
    assert kinds(network) == [*block, *block, "Linear"]
    linears = [[la for la in net.layers if isinstance(la, Linear)] for net in (plain, network)]
    for a, b in zip(*linears, strict=True):
        np.testing.assert_array_equal(a.params["weight"], b.params["weight"])
    biased = not (norm is BatchNorm and placement == "before")
    assert ["bias" in la.params for la in linears[1]] == [biased, biased, True]


def test_batch_norm_true_is_short_for_its_norm():
    short = mlp([3, 4, 2], rng=np.random.default_rng(0), batch_norm=True)
    long = mlp([3, 4, 2], rng=np.random.default_rng(0), norm=BatchNorm)
    np.testing.assert_equal(short.state_dict(), long.state_dict())


def test_mlp_sets_the_output_scale_apart():
    def weights(**options):
        network = mlp([4, 5, 2], rng=np.random.default_rng(0), **options)
        return [la.params["weight"] for la in network.layers if isinstance(la, Linear)]

    (hidden, output), (same, larger) = weights(scale=0.1), weights(scale=0.1, output_scale=0.5)
    np.testing.assert_array_equal(hidden, same)
    np.testing.assert_allclose(larger, 5 * output, rtol=1e-14)
    assert not weights(scale="glorot", output_scale=0.0)[1].any()


@pytest.mark.parametrize("norm", [None, BatchNorm, LayerNorm, RMSNorm, InstanceNorm])
@pytest.mark.parametrize("head", ["flatten", "average"])
def test_convnet_has_the_same_filters_whatever_the_norm_and_the_head(norm, head):
    plain = convnet((2, 9, 8), [3, 4], 10, rng=np.random.default_rng(3))
    network = convnet((2, 9, 8), [3, 4], 10, rng=np.random.default_rng(3), norm=norm, head=head)
    block = ["Conv2d", *([norm.__name__] if norm else []), "ReLU", "MaxPool2d"]
    last = {"flatten": "Flatten", "average": "GlobalAveragePool"}[head]
    assert kinds(network) == [*block, *block, last, "Linear"]
    filters = [[la for la in net.layers if isinstance(la, Conv2d)] for net in (plain, network)]
    for a, b in zip(*filters, strict=True):
        np.testing.assert_array_equal(a.params["weight"], b.params["weight"])
        assert ("bias" in b.params) == (norm not in (BatchNorm, InstanceNorm))
    y = network.forward(np.ones((4, 2, 9, 8)), training=True)
    assert y.shape == (4, 10)
    assert network.backward(y).shape == (4, 2, 9, 8)


def test_group_norm_in_networks_gets_its_groups_by_partial():
    norm = functools.partial(GroupNorm, 2)
    deep = mlp([3, 4, 6, 2], rng=rng, norm=norm, dtype=np.float32)
    wide = convnet((2, 9, 8), [4, 6], 10, rng=rng, norm=norm)
    for network in (deep, wide):
        norms = [layer for layer in network.layers if isinstance(layer, GroupNorm)]
        assert [(one.num_groups, one.num_channels) for one in norms] == [(2, 4), (2, 6)]
        weighted = [layer for layer in network.layers if isinstance(layer, Linear | Conv2d)]
        assert all("bias" in layer.params for layer in weighted)
    assert {v.dtype for v in deep.state_dict().values()} == {np.dtype(np.float32)}


def test_instance_norm_takes_a_bias_away_and_group_norm_does_not():
    bias = np.array([3.0, -1.0])[:, None, None]
    instance, group = InstanceNorm(2), GroupNorm(1, 2)
    one, other = (instance.forward(x, training=True) for x in (PICTURES, PICTURES + bias))
    np.testing.assert_allclose(one, other, atol=1e-12)
    one, other = (group.forward(x, training=True) for x in (PICTURES, PICTURES + bias))
    assert np.abs(one - other).max() > 0.1


def test_convnet_passes_its_options_on():
    network = convnet(
        (1, 4, 4), [2], 3, rng=rng, batch_norm=True, activation=Tanh, scale=0.0, dtype=np.float32
    )
    assert kinds(network)[1:3] == ["BatchNorm", "Tanh"]
    params = [value for leaf in network.leaves() for value in leaf.params.values()]
    assert {value.dtype for value in params} == {np.dtype(np.float32)}
    assert not network.layers[0].params["weight"].any()
    assert not network.layers[-1].params["weight"].any()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: mlp([3, 2, 2], rng=rng, placement="behind"),
            "mlp: placement must be one of 'before', ",
        ),
        (lambda: mlp([3, 2], rng=rng, batch_norm=True, norm=LayerNorm), "exclude each other"),
        (lambda: mlp([3, 2], rng=rng, scale="big"), "Linear: scale must be a number or one of"),
        (lambda: mlp([3, 2], rng=rng, output_scale="big"), "Linear: scale must be a number or one"),
        (
            lambda: convnet((1, 8, 8), [2], 3, rng=rng, head="mean"),
            "convnet: head must be one of 'flatten', ",
        ),
        (lambda: mlp([3], rng=rng), "mlp: sizes must name inputs"),
        (lambda: convnet((8, 8), [2], 3, rng=rng), "convnet: shape must be (C, H, W), got 2"),
        (
            lambda: convnet((1, 8, 7), [2] * 3, 3, rng=rng),
            "must be at least 8 pixels high and wide",
        ),
    ],
)
def test_bad_options_of_networks(call, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        call()
