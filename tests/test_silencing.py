"""Silenced units, against networks that were cut by hand."""

import numpy as np
import pytest

from bnlib import training
from bnlib.layers import Dropout, Linear, ReLU, Sequential, mlp
from bnlib.silencing import mean_activations, silenced

X = np.random.default_rng(0).normal(size=(40, 5))


def network(**options):
    return mlp([5, 6, 7, 3], rng=np.random.default_rng(1), **options)


def off(*chosen):
    return [np.isin(np.arange(size), own) for size, own in zip((6, 7), chosen, strict=True)]


def test_nobody_silenced_is_the_network_itself():
    net = network(batch_norm=True)
    np.testing.assert_array_equal(silenced(net, X, off([], [])), net.forward(X, training=False))


def test_a_silent_unit_is_one_whose_weights_onward_are_zero():
    net, cut = network(), network()
    for place, gone in ((2, [1, 4]), (4, [0, 6])):
        weight = cut.layers[place].params["weight"].copy()
        weight[:, gone] = 0
        cut.layers[place].params = {**cut.layers[place].params, "weight": weight}
    got = silenced(net, X, off([1, 4], [0, 6]))
    np.testing.assert_allclose(got, cut.forward(X, training=False), rtol=1e-12)


def test_a_unit_at_its_mean_moves_its_output_into_the_next_bias():
    net, cut = network(), network()
    means = mean_activations(net, X)
    np.testing.assert_allclose(
        means[0], np.maximum(net.layers[0].forward(X, training=False), 0).mean(axis=0)
    )
    after = cut.layers[4]
    weight, bias = (after.params[name].copy() for name in ("weight", "bias"))
    bias += weight[:, 2] * means[1][2]
    weight[:, 2] = 0
    after.params = {"weight": weight, "bias": bias}
    got = silenced(net, X, off([], [2]), instead=means)
    np.testing.assert_allclose(got, cut.forward(X, training=False), rtol=1e-12)


def test_everybody_silenced_says_the_same_of_every_example():
    got = silenced(network(batch_norm=True), X, off(range(6), range(7)))
    np.testing.assert_array_equal(got, np.broadcast_to(got[0], got.shape))


def test_population_statistics_are_used_and_dropout_is_not():
    net = network(batch_norm=True)
    noisy = Sequential(*net.layers[:3], Dropout(0.5, np.random.default_rng(0)), *net.layers[3:])
    with training.population_statistics(net, X) as expected:
        np.testing.assert_allclose(silenced(noisy, X, off([], [])), expected, atol=1e-12)


def test_the_network_stays_as_it_was():
    net = network(batch_norm=True)
    net.forward(X, training=True)
    before, caches = net.state_dict(), [id(leaf._cache) for leaf in net.leaves()]
    silenced(net, X, off([0], [1]), instead=mean_activations(net, X))
    assert all((before[name] == value).all() for name, value in net.state_dict().items())
    assert caches == [id(leaf._cache) for leaf in net.leaves()]


@pytest.mark.parametrize(
    ("masks", "instead", "told"),
    [
        ([np.zeros(6, bool)], None, "off must have one entry for each of the 2 activations, got 1"),
        (off([], []), [np.zeros(6)], "instead must have one entry for each of the 2"),
        ([np.zeros(5, bool), np.zeros(7, bool)], None, r"shape \(6,\)"),
    ],
)
def test_errors_say_what_was_expected(masks, instead, told):
    with pytest.raises(ValueError, match=told):
        silenced(network(), X, masks, instead=instead)


def test_no_activation_needs_no_mask():
    layer = Linear(5, 2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(silenced(layer, X, []), layer.forward(X, training=False))
    assert mean_activations(ReLU(), X)[0].shape == (5,)
