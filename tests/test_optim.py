import numpy as np
import pytest

from bnlib.layers import Sequential, mlp
from bnlib.optim import SGD

X = np.random.default_rng(0).normal(size=(6, 3))


def test_a_step_goes_against_every_gradient():
    network = mlp([3, 4, 2], rng=np.random.default_rng(0), batch_norm=True)
    network.forward(X, training=True)
    network.backward(np.random.default_rng(1).normal(size=(6, 2)))
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
    network = mlp([3, 4, 2], rng=np.random.default_rng(0))
    network.forward(X, training=True)
    network.backward(np.ones((6, 2)))
    network.layers[2].grads = {"weight": np.ones((7, 7)), "bias": np.ones(2)}
    before = network.state_dict()
    with pytest.raises(ValueError, match="broadcast"):
        SGD(network, lr=0.1).step()
    np.testing.assert_equal(network.state_dict(), before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_step_keeps_the_dtype(dtype):
    network = mlp([3, 4, 2], rng=np.random.default_rng(0), dtype=dtype, batch_norm=True)
    network.forward(X.astype(np.float64), training=True)
    network.backward(np.ones((6, 2)))
    SGD(network, lr=np.float64(0.1)).step()
    assert {v.dtype for leaf in network.leaves() for v in leaf.params.values()} == {np.dtype(dtype)}
