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
