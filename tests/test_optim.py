import math

import numpy as np
import pytest

from bnlib.layers import BatchNorm, Linear, Sequential, mlp
from bnlib.optim import SGD, Adam, RMSprop

X = np.random.default_rng(0).normal(size=(6, 3))
STEPS = 25
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}  # a few roundings in each of the steps
CASES = {
    "sgd": (SGD, {}),
    "decay": (SGD, {"weight_decay": 0.1}),
    "momentum": (SGD, {"momentum": 0.9}),
    "momentum and decay": (SGD, {"momentum": 0.5, "weight_decay": 0.1}),
    "rmsprop": (RMSprop, {}),
    "rmsprop, all options": (RMSprop, {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    "adam": (Adam, {}),
    "adam, all options": (Adam, {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
}
ALL_CASES = pytest.mark.parametrize(("optimizer", "options"), CASES.values(), ids=CASES.keys())


def with_random_gradients(network, rng):
    for leaf in network.leaves():
        leaf.grads = {name: rng.normal(size=value.shape) for name, value in leaf.params.items()}


def parameters(network):
    return [value for leaf in network.leaves() for value in leaf.params.values()]


def gradients(network):
    return [leaf.grads[name] for leaf in network.leaves() for name in leaf.params]


def trained(network):
    """The network after one forward and backward."""
    network.forward(X, training=True)
    network.backward(np.random.default_rng(1).normal(size=(6, 2)))
    return network


# --- a step is whole, or it is none ---------------------------------------------------------------


def test_a_step_goes_against_every_gradient():
    network = trained(mlp([3, 4, 2], rng=np.random.default_rng(0), batch_norm=True))
    before = [dict(leaf.params) for leaf in network.leaves()]
    SGD(network, lr=0.25).step()
    for leaf, old in zip(network.leaves(), before, strict=True):
        for name, value in leaf.params.items():
            np.testing.assert_allclose(value, old[name] - 0.25 * leaf.grads[name], rtol=1e-14)
    assert before[0]["weight"] is not network.leaves()[0].params["weight"]


def test_a_step_before_backward_moves_nothing():
    network = Sequential(*mlp([3, 4, 2], rng=np.random.default_rng(0)).layers)
    y = network.layers[0].forward(X, training=True)
    network.layers[0].backward(y)
    before = network.state_dict()
    with pytest.raises(RuntimeError, match=r"SGD\.step: call backward first"):
        SGD(network, lr=1.0).step()
    np.testing.assert_equal(network.state_dict(), before)


def test_a_step_that_fails_moves_nothing():
    network = trained(mlp([3, 4, 2], rng=np.random.default_rng(0)))
    network.layers[2].grads = {"weight": np.ones((7, 7)), "bias": np.ones(2)}
    before = network.state_dict()
    with pytest.raises(ValueError, match="broadcast"):
        SGD(network, lr=0.1).step()
    np.testing.assert_equal(network.state_dict(), before)


class Slippery(Linear):
    """Ctrl-C arrives just when its parameters are replaced, once."""

    def __setattr__(self, name, value):
        if name == "params" and getattr(self, "armed", False):
            self.armed = False
            raise KeyboardInterrupt
        super().__setattr__(name, value)


def test_ctrl_c_between_two_layers_moves_nothing():
    first, last = (Slippery(3, 3, rng=np.random.default_rng(seed)) for seed in (0, 1))
    network = Sequential(first, last)
    adam = Adam(network, lr=0.1)
    with_random_gradients(network, np.random.default_rng(2))
    adam.step()
    before, state = network.state_dict(), adam.state
    last.armed = True
    with pytest.raises(KeyboardInterrupt):
        adam.step()
    np.testing.assert_equal(network.state_dict(), before)
    assert adam.state is state
    adam.step()
    assert not np.array_equal(network.state_dict()["0.weight"], before["0.weight"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@ALL_CASES
def test_a_step_keeps_the_dtype(dtype, optimizer, options):
    network = mlp([3, 4, 2], rng=np.random.default_rng(0), dtype=dtype, batch_norm=True)
    trained(network)
    optimizer(network, lr=np.float64(0.1), **options).step()
    assert {value.dtype for value in parameters(network)} == {np.dtype(dtype)}


def test_a_wide_parameter_with_a_narrow_gradient_keeps_its_digits():
    layer = Linear(1, 1, rng=np.random.default_rng(0), scale=0, bias=False)
    layer.params = {"weight": np.array([[1 + 2.0**-40]])}
    layer.grads = {"weight": np.zeros((1, 1), np.float32)}
    SGD(layer, lr=1.0).step()
    assert layer.params["weight"] == 1 + 2.0**-40


# --- the rules ------------------------------------------------------------------------------------


def by_hand(optimizer, options, value, slopes, lr):
    """One parameter after the steps, number by number, as PyTorch documents its rules."""
    option = {"momentum": 0.0, "weight_decay": 0.0, "alpha": 0.99, "eps": 1e-8}
    option |= {"betas": (0.9, 0.999)} | options
    velocity = mean = square = 0.0
    for step, slope in enumerate(slopes, start=1):
        slope += option["weight_decay"] * value
        if optimizer is SGD:
            velocity = option["momentum"] * velocity + slope
            value -= lr * velocity
        elif optimizer is RMSprop:
            square = option["alpha"] * square + (1 - option["alpha"]) * slope**2
            value -= lr * slope / (math.sqrt(square) + option["eps"])
        else:
            old_mean, old_square = option["betas"]
            mean = old_mean * mean + (1 - old_mean) * slope
            square = old_square * square + (1 - old_square) * slope**2
            root = math.sqrt(square / (1 - old_square**step))
            value -= lr * (mean / (1 - old_mean**step)) / (root + option["eps"])
    return value


@ALL_CASES
def test_many_steps_are_as_by_hand(optimizer, options):
    network, rng = mlp([3, 4, 2], rng=np.random.default_rng(0)), np.random.default_rng(1)
    start, slopes, stepping = parameters(network), [], optimizer(network, lr=0.03, **options)
    for _ in range(STEPS):
        with_random_gradients(network, rng)
        slopes.append(gradients(network))
        stepping.step()
    for before, slope, after in zip(
        start, zip(*slopes, strict=True), parameters(network), strict=True
    ):
        columns = np.stack([each.ravel() for each in slope], axis=1)
        expected = [
            by_hand(optimizer, options, value, column, 0.03)
            for value, column in zip(before.ravel().tolist(), columns.tolist(), strict=True)
        ]
        np.testing.assert_allclose(after.ravel(), expected, **ROUNDING)


@ALL_CASES
def test_many_steps_are_as_in_pytorch(optimizer, options):
    torch = pytest.importorskip(
        "torch", reason="PyTorch is an oracle, not a requirement", exc_type=ImportError
    )
    network = mlp([3, 4, 2], rng=np.random.default_rng(0), batch_norm=True)
    rng = np.random.default_rng(1)
    theirs = [torch.tensor(value, requires_grad=True) for value in parameters(network)]
    their_stepping = getattr(torch.optim, optimizer.__name__)(theirs, lr=0.03, **options)
    stepping = optimizer(network, lr=0.03, **options)
    for _ in range(STEPS):
        with_random_gradients(network, rng)
        for tensor, slope in zip(theirs, gradients(network), strict=True):
            tensor.grad = torch.tensor(slope)
        stepping.step()
        their_stepping.step()
        for ours, tensor in zip(parameters(network), theirs, strict=True):
            np.testing.assert_allclose(ours, tensor.detach().numpy(), **ROUNDING)


# --- which parameters move, and how far -----------------------------------------------------------


@ALL_CASES
def test_frozen_parameters_stay_and_the_others_do_not_care(optimizer, options):
    free, held = (mlp([3, 4, 2], rng=np.random.default_rng(0), batch_norm=True) for _ in range(2))
    held.layers[1].frozen = {"weight"}
    before = held.layers[1].params["weight"]
    for network in (free, held):
        stepping, rng = optimizer(network, lr=0.1, **options), np.random.default_rng(1)
        for _ in range(3):
            with_random_gradients(network, rng)
            stepping.step()
    assert held.layers[1].params["weight"] is before
    np.testing.assert_array_equal(held.layers[1].params["bias"], free.layers[1].params["bias"])
    np.testing.assert_array_equal(parameters(held)[0], parameters(free)[0])
    assert not np.array_equal(free.layers[1].params["weight"], before)


@ALL_CASES
def test_each_leaf_may_have_its_own_rate(optimizer, options):
    rates = [0.1, 0.0, 0.02]  # linear, batch norm, linear; the activation has no parameters
    network = mlp([3, 4, 2], rng=np.random.default_rng(0), batch_norm=True)
    alone = {rate: mlp([3, 4, 2], rng=np.random.default_rng(0), batch_norm=True) for rate in rates}
    options = {**options, "weight_decay": 0.0}
    for each, rate in ((network, rates), *((net, rate) for rate, net in alone.items())):
        stepping, rng = optimizer(each, lr=rate, **options), np.random.default_rng(1)
        for _ in range(3):
            with_random_gradients(each, rng)
            stepping.step()
    for place, rate in zip((0, 1, 3), rates, strict=True):
        expected = alone[rate].layers[place].params
        np.testing.assert_equal(network.layers[place].params, expected)


def side_by_side(channels, members):
    """Batch norms of several members, one after the other, with random parameters."""
    layer = BatchNorm(channels * members)
    rng = np.random.default_rng(0)
    layer.params = {name: rng.normal(size=channels * members) for name in layer.params}
    return layer


def one_of(layer, member, channels):
    """That member's batch norm by itself."""
    single, place = BatchNorm(channels), slice(member * channels, (member + 1) * channels)
    single.params = {name: value[place] for name, value in layer.params.items()}
    single.grads = {name: value[place] for name, value in layer.grads.items()}
    return single


@ALL_CASES
def test_each_member_may_have_its_own_rate_and_keeps_its_state_when_others_leave(
    optimizer, options
):
    rates, rng = np.array([0.1, 0.7, 0.03]), np.random.default_rng(1)
    layer = side_by_side(4, 3)
    singles = [one_of(layer, member, 4) for member in range(3)]
    stepping = optimizer(layer, lr=rates, **options)
    alone = [
        optimizer(single, lr=float(rate), **options)
        for single, rate in zip(singles, rates, strict=True)
    ]
    members = [0, 1, 2]
    for step in range(6):
        if step == 3:  # the one in the middle leaves
            members, kept = [0, 2], side_by_side(4, 2)
            kept.params = {
                name: value.reshape(3, 4)[members].ravel() for name, value in layer.params.items()
            }
            layer, stepping = kept, stepping.keep(kept, members, 3)
        with_random_gradients(layer, rng)
        for place, member in enumerate(members):
            singles[member].grads = one_of(layer, place, 4).grads
            alone[member].step()
        stepping.step()
        for place, member in enumerate(members):
            np.testing.assert_equal(one_of(layer, place, 4).params, singles[member].params)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "options", "error", "words"),
    [
        (SGD, {"lr": -0.1}, ValueError, "SGD: lr must be finite and not negative, got -0.1"),
        (SGD, {"lr": np.nan}, ValueError, "SGD: lr must be finite"),
        (Adam, {"lr": np.array([0.1, -1.0])}, ValueError, "Adam: lr must be finite"),
        (
            SGD,
            {"lr": "fast"},
            TypeError,
            "SGD: lr must be a number or an array of them, got 'fast'",
        ),
        (SGD, {"lr": [0.1]}, ValueError, "a list lr must have an entry for each of the 2 leaves"),
        (SGD, {"lr": 0.1, "momentum": 1.5}, ValueError, r"SGD: momentum must lie in \[0, 1\]"),
        (SGD, {"lr": 0.1, "weight_decay": -1}, ValueError, "SGD: weight_decay must be finite"),
        (RMSprop, {"lr": 0.1, "alpha": 2}, ValueError, r"RMSprop: alpha must lie in \[0, 1\]"),
        (RMSprop, {"lr": 0.1, "eps": 0}, ValueError, "RMSprop: eps must be a number above 0"),
        (Adam, {"lr": 0.1, "betas": (0.9, 1)}, ValueError, "Adam: betas must lie below 1"),
        (Adam, {"lr": 0.1, "betas": (-1, 0.9)}, ValueError, r"Adam: betas must lie in \[0, 1\]"),
        (Adam, {"lr": 0.1, "betas": (0.9,)}, ValueError, "betas must be a pair of numbers, got 1"),
        (Adam, {"lr": 0.1, "eps": 0}, ValueError, "Adam: eps must be a number above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(optimizer, options, error, words):
    with pytest.raises(error, match=words):
        optimizer(mlp([3, 4, 2], rng=np.random.default_rng(0)), **options)
