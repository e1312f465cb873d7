"""Batch norm folded into the layer before it, against the unfolded network and PyTorch's own."""

import numpy as np
import pytest

from bnlib.folding import fold, fold_batch_norm
from bnlib.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    ReLU,
    Residual,
    Sequential,
    convnet,
    mlp,
)
from bnlib.normalization import batch_norm_inference

ROUNDING = {"rtol": 1e-10, "atol": 1e-10}


def numbers(seed, shape):
    """Weight, bias, mean, var, gamma, beta, all random: what is forgotten shows."""
    rng = np.random.default_rng(seed)
    bias, mean, gamma, beta = rng.normal(1, 1, size=(4, shape[0]))
    return rng.normal(size=shape), bias, mean, rng.random(shape[0]) + 0.1, gamma, beta


def randomized(network, seed=0):
    """The same network with no parameter and no statistic at its initial value."""
    rng = np.random.default_rng(seed)
    state = {
        name: np.array(9) if name.endswith("tracked") else value + rng.uniform(0.2, 1, value.shape)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_a_linear_layer(seed, eps):
    weight, bias, *norm = numbers(seed, (4, 3))
    x = np.random.default_rng(seed + 100).normal(size=(7, 3))
    folded, shift = fold_batch_norm(weight, bias, *norm, eps=eps)
    expected = batch_norm_inference(x @ weight.T + bias, *norm, eps=eps)
    np.testing.assert_allclose(x @ folded.T + shift, expected, **ROUNDING)


@pytest.mark.parametrize("missing", ["bias", "gamma", "beta"])
def test_what_is_none_stands_for_its_neutral_value(missing):
    weight, bias, mean, var, gamma, beta = numbers(3, (4, 3, 2, 2))
    given = {"bias": bias, "gamma": gamma, "beta": beta}
    neutral = {"bias": 0 * bias, "gamma": 0 * gamma + 1, "beta": 0 * beta}
    one = fold_batch_norm(weight, mean=mean, var=var, **{**given, missing: None})
    two = fold_batch_norm(weight, mean=mean, var=var, **{**given, missing: neutral[missing]})
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_arguments_and_dtype_stay():
    given = [value.astype(np.float32) for value in numbers(0, (4, 3, 2, 2))]
    copies = [value.copy() for value in given]
    weight, bias = fold_batch_norm(*given)
    assert weight.dtype == bias.dtype == np.float32
    assert all((a == b).all() for a, b in zip(given, copies, strict=True))


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 2, 2)])
def test_pytorch_folds_alike(shape):
    torch = pytest.importorskip("torch", reason="an oracle", exc_type=ImportError)
    from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

    weight, bias, mean, var, gamma, beta = numbers(1, shape)
    fuse = fuse_linear_bn_weights if len(shape) == 2 else fuse_conv_bn_weights
    tensors = [torch.tensor(value) for value in (weight, bias, mean, var)]
    expected = fuse(*tensors, 1e-3, torch.tensor(gamma), torch.tensor(beta))
    found = fold_batch_norm(weight, bias, mean, var, gamma, beta, eps=1e-3)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), **ROUNDING)


def nested(rng):
    """Batch norm in all places: to be folded away, first, behind ReLU, inside others, twice."""

    def block():
        return Residual(
            Conv2d(4, 4, 3, padding=1, rng=rng), BatchNorm(4, eps=0.1), ReLU(), BatchNorm(4)
        )

    return Sequential(
        BatchNorm(2),
        Conv2d(2, 4, 3, stride=2, padding=1, rng=rng, bias=False),
        BatchNorm(4, affine=False),
        BatchNorm(4),
        Sequential(block(), Dropout(0.5, rng), ReLU()),
        Flatten(),
        Linear(64, 3, rng=rng),
        BatchNorm(3, momentum=None),
        BatchNorm(3, track_running_stats=False),
    )


CASES = {
    "mlp": lambda rng: (mlp([6, 5, 4, 3], rng=rng, batch_norm=True), (7, 6)),
    "norm after": lambda rng: (
        mlp([6, 5, 3], rng=rng, batch_norm=True, placement="after"),
        (7, 6),
    ),
    "convnet": lambda rng: (convnet((2, 8, 8), [3, 4], 5, rng=rng, batch_norm=True), (7, 2, 8, 8)),
    "nested": lambda rng: (nested(rng), (7, 2, 8, 8)),
    "plain": lambda rng: (mlp([6, 5, 3], rng=rng), (7, 6)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_folded_network_evaluates_alike(name):
    rng = np.random.default_rng(0)
    network, shape = CASES[name](rng)
    randomized(network)
    x = rng.normal(size=shape)
    expected = network.forward(x, training=False)
    before = network.state_dict()
    new, folded, left = fold(network)
    np.testing.assert_allclose(new.forward(x, training=False), expected, **ROUNDING)
    assert all((value == before[key]).all() for key, value in network.state_dict().items())
    norms = [leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm)]
    assert len(folded) + len(left) == len(norms)
    assert sum(isinstance(leaf, BatchNorm) for leaf in new.leaves()) == len(left)


def test_it_tells_what_it_left_and_why():
    _, folded, left = fold(randomized(nested(np.random.default_rng(0))))
    assert folded == ("2", "3", "4.0.1", "7")
    assert set(left) == {"0", "4.0.3", "8"}
    assert "first" in left["0"] and "ReLU" in left["4.0.3"] and "no running" in left["8"]


def test_nothing_is_shared_with_the_old_network():
    network = randomized(CASES["convnet"](np.random.default_rng(0))[0])
    new = fold(network).network
    old = {id(array) for leaf in network.leaves() for array in leaf.params.values()}
    assert not old & {id(array) for leaf in new.leaves() for array in leaf.params.values()}
    assert not {id(leaf) for leaf in network.leaves()} & {id(leaf) for leaf in new.leaves()}
    with pytest.raises(RuntimeError, match="call forward first"):
        new.backward(np.ones((7, 5)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": np.ones(3)}, r"weight must have shape \(out, in\)"),
        ({"bias": np.ones(3)}, "bias must have shape"),
        ({"mean": np.ones((4, 1))}, "mean must have shape"),
        ({"var": -np.ones(4)}, "var must not be negative"),
        ({"eps": 0.0}, "eps must be a number above 0"),
    ],
)
def test_errors(change, words):
    names = ("weight", "bias", "mean", "var", "gamma", "beta")
    given = dict(zip(names, numbers(0, (4, 3)), strict=True))
    with pytest.raises(ValueError, match=f"fold_batch_norm: {words}"):
        fold_batch_norm(**{**given, **change})


def test_missing_statistics_and_other_networks_are_refused():
    weight, bias, *_ = numbers(0, (4, 3))
    with pytest.raises(TypeError, match="mean must be an array"):
        fold_batch_norm(weight, bias, None, None)
    with pytest.raises(TypeError, match="network must be a Sequential, got BatchNorm"):
        fold(BatchNorm(3))
