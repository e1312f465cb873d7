"""The noise of batch norm: exact identities, cases that can be counted, and a simulation."""

import itertools

import numpy as np
import pytest

from bnlib import batch_norm
from bnlib.batch_noise import in_random_batches, layer_noise, noise_law
from bnlib.layers import BatchNorm, Dropout, mlp

VALUES = np.random.default_rng(0).gamma(2.0, size=(300, 3)) * [1, 10, 0.1]  # skewed


def rng(seed=1):
    return np.random.default_rng(seed)


def once(**change):
    return {"size": 2, "draws": 1, "rng": rng(), **change}


@pytest.mark.parametrize("together", [True, False])
def test_scale_and_shift_turn_the_one_x_hat_into_the_other(together):
    drawn = in_random_batches(VALUES, 7, size=5, draws=40, rng=rng(), together=together)
    x_hat_all = batch_norm(VALUES)[0][7]
    np.testing.assert_allclose(drawn.x_hat, drawn.scale * x_hat_all + drawn.shift, rtol=1e-10)
    assert (drawn.scale != 1).all() and (drawn.shift != 0).all()


def test_an_example_in_its_batch_gets_what_batch_norm_gives_it():
    drawn = in_random_batches(VALUES, 7, size=5, draws=3, rng=rng())
    for batch, x_hat in zip(rng().integers(300, size=(3, 5)), drawn.x_hat, strict=True):
        expected = batch_norm(VALUES[[7, *batch[1:]]])[0][0]
        np.testing.assert_allclose(x_hat, expected, rtol=1e-10)


def test_without_it_the_batch_is_all_others():
    values = np.array([[0.0], [1.0], [2.0]])
    got = in_random_batches(values, 0, size=2, draws=400, rng=rng(), together=False, eps=1e-3)
    possible = {
        float(np.round((0 - np.mean(pair)) / np.sqrt(np.var(pair) + 1e-3), 6))
        for pair in itertools.product([0.0, 1.0, 2.0], repeat=2)
    }
    assert set(np.round(got.x_hat.ravel(), 6).tolist()) == possible


def test_in_its_batch_nobody_goes_beyond_the_root_of_the_others():
    drawn = in_random_batches(VALUES, int(VALUES[:, 0].argmax()), size=5, draws=500, rng=rng())
    assert abs(drawn.x_hat).max() <= 2


def test_two_values_have_no_multiplicative_part():
    law = noise_law(np.array([[3.0], [5.0], [5.0], [3.0]]), size=16)
    np.testing.assert_allclose(law.additive, 1 / 16)
    np.testing.assert_allclose(law.multiplicative, 0, atol=1e-15)
    np.testing.assert_allclose(law.common, 0, atol=1e-15)


def test_the_law_in_the_normal_case_is_one_plus_half_the_square():
    values = rng().normal(size=(200_000, 1)) * 3 + 5
    law, x_hat = noise_law(values, size=64), batch_norm(values)[0]
    np.testing.assert_allclose(law.variance * 64, 1 + x_hat**2 / 2, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("together", [True, False])
def test_the_law_predicts_skewed_values_in_large_batches(together):
    law = noise_law(VALUES, size=200).variance
    upper = int(VALUES[:, 0].argsort()[270])
    for row in (0, upper, int(VALUES[:, 1].argmin())):
        options = {"size": 200, "draws": 4000, "together": together}
        got = in_random_batches(VALUES, row, rng=rng(row), **options).x_hat.var(axis=0)
        np.testing.assert_allclose(got, law[row], rtol=0.15)


def test_the_parts_are_the_variances_of_shift_and_scale():
    law = noise_law(VALUES, size=200)
    drawn = in_random_batches(VALUES, 3, size=200, draws=4000, rng=rng(), together=False)
    x_hat = batch_norm(VALUES)[0][3]
    np.testing.assert_allclose(drawn.shift.var(axis=0), law.additive[3], rtol=0.1)
    scaled = (drawn.scale * x_hat).var(axis=0)
    np.testing.assert_allclose(scaled, law.multiplicative[3], rtol=0.15)
    both = 2 * np.mean(
        (drawn.scale - drawn.scale.mean(axis=0)) * x_hat * (drawn.shift - drawn.shift.mean(axis=0)),
        axis=0,
    )
    np.testing.assert_allclose(both, law.common[3], atol=0.15 / 200)


def test_in_the_first_layer_a_network_has_the_noise_of_its_values():
    network = mlp([3, 4, 4, 2], rng=rng(), batch_norm=True)
    first, second = layer_noise(network, VALUES, [2, 5], size=8, draws=600, rng=rng(2))
    z = network.layers[0].forward(VALUES, training=False)
    for place, row in enumerate((2, 5)):
        alone = in_random_batches(z, row, size=8, draws=600, rng=rng(3)).x_hat.std(axis=0)
        np.testing.assert_allclose(first[place], alone, rtol=0.12)
    assert second.shape == (2, 4) and (second > 0).all()


def test_each_draw_is_the_example_with_as_many_others_as_fill_the_batch():
    found = layer_noise(BatchNorm(3), VALUES, [7, 9], size=5, draws=3, rng=rng())
    generator = rng()
    for place, row in enumerate((7, 9)):
        batches = generator.integers(300, size=(3, 4))
        x_hats = [batch_norm(VALUES[[row, *others]])[0][0] for others in batches]
        np.testing.assert_allclose(found[0][place], np.std(x_hats, axis=0), rtol=1e-10)


def test_the_law_of_a_rare_value_by_counting():
    """One of four is 1: mean 1/4, variance 3/16, skewness 2 / sqrt(3), kurtosis 7/3."""
    law = noise_law(np.array([[0.0], [0.0], [0.0], [1.0]]), size=10)
    np.testing.assert_allclose(law.additive, 0.1)
    np.testing.assert_allclose(law.multiplicative[:, 0], np.array([1, 1, 1, 9]) / 90, rtol=1e-12)
    np.testing.assert_allclose(law.common[:, 0], np.array([-1, -1, -1, 3]) / 15, rtol=1e-12)
    np.testing.assert_allclose(law.variance, law.additive + law.multiplicative + law.common)


def test_the_network_stays_as_it_was():
    network = mlp([3, 4, 2], rng=rng(), batch_norm=True)
    network.forward(VALUES, training=True)
    before, caches = network.state_dict(), [id(leaf._cache) for leaf in network.leaves()]
    layer_noise(network, VALUES, [0], size=4, draws=2, rng=rng())
    after = network.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    assert caches == [id(leaf._cache) for leaf in network.leaves()]


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: in_random_batches(VALUES, 300, **once()), ValueError, "0..299"),
        (lambda: in_random_batches(VALUES, 0, **once(size=1)), ValueError, "at least 2"),
        (lambda: in_random_batches(VALUES, 0, **once(draws=0)), ValueError, "draws"),
        (lambda: in_random_batches(VALUES[:, 0], 0, **once()), ValueError, "(N, D)"),
        (lambda: noise_law(np.ones((4, 2)), size=2), ValueError, "got 2 that do not"),
        (lambda: noise_law(VALUES, size=0), ValueError, "size"),
        (lambda: layer_noise(BatchNorm(3), VALUES, [0], **once(size=1)), ValueError, "at least 2"),
        (lambda: layer_noise(Dropout(0.1, rng()), VALUES, [0], **once()), TypeError, "dropout"),
    ],
)  # fmt: skip
def test_errors_say_what_was_expected(call, error, told):
    with pytest.raises(error, match=told.replace("(", r"\(").replace(")", r"\)")):
        call()
