"""Batch norm against oracles that do not share its code."""

import math
import warnings

import numpy as np
import pytest
from oracles import channel_rows, complex_step_gradient, exact_statistics, exact_x_hat

from bnlib.normalization import (
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    batch_norm_inference_backward,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64 against float64
SUMMED = 1e-6  # of the sum of the absolute values: float32 one after another loses ten times this
SHAPES = [(5, 3), (2, 1), (7, 1), (4, 3, 2), (3, 2, 2, 4), (2, 2, 2, 1, 3)]


def example(shape, seed=0, dtype=np.float64):
    """A batch with its own mean and spread in every channel, and gamma, beta, dy."""
    rng = np.random.default_rng(seed)
    per_channel = (shape[1], *(1,) * (len(shape) - 2))
    x = rng.normal(size=shape) * rng.uniform(0.5, 3, per_channel) + rng.normal(size=per_channel)
    gamma, beta = rng.normal(size=(2, shape[1]))
    return [a.astype(dtype) for a in (x, gamma, beta, rng.normal(size=shape))]


def broadcast(v, x):
    return v.reshape(1, -1, *(1,) * (x.ndim - 2))


# Forward


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_is_the_formula(shape):
    x, gamma, beta, _ = example(shape)
    y, cache = batch_norm(x, gamma, beta, eps=1e-3)
    x_hat = exact_x_hat(x, 1e-3)
    np.testing.assert_allclose(cache.x_hat, x_hat, **EXACT)
    np.testing.assert_allclose(y, broadcast(gamma, x) * x_hat + broadcast(beta, x), **EXACT)
    for c, values in enumerate(channel_rows(x)):
        mean, _, var = exact_statistics(values)
        assert cache.mean[c] == pytest.approx(mean, rel=1e-14)
        assert cache.var[c] == pytest.approx(var, rel=1e-13)
        assert cache.inv_std[c] == pytest.approx((var + 1e-3) ** -0.5, rel=1e-13)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2, 2)])
def test_gamma_and_beta_are_optional(shape):
    x, gamma, beta, _ = example(shape)
    ones, zeros = np.ones(3), np.zeros(3)
    np.testing.assert_array_equal(batch_norm(x)[0], batch_norm(x, ones, zeros)[0])
    np.testing.assert_array_equal(batch_norm(x, gamma)[0], batch_norm(x, gamma, zeros)[0])
    np.testing.assert_array_equal(batch_norm(x, None, beta)[0], batch_norm(x, ones, beta)[0])


def test_default_eps_is_1e_5():
    x = np.array([[0.0], [2e-3]])
    assert batch_norm(x)[1].inv_std[0] == pytest.approx((1e-6 + 1e-5) ** -0.5)
    np.testing.assert_allclose(
        batch_norm_inference(x, np.zeros(1), np.full(1, 1e-6)), x / np.sqrt(1.1e-5), **EXACT
    )
    dx, _, _ = batch_norm_inference_backward(x, x, np.zeros(1), np.full(1, 1e-6))
    np.testing.assert_allclose(dx, x / np.sqrt(1.1e-5), **EXACT)


def test_convolution_is_normalized_per_channel_not_per_pixel():
    x = example((8, 3, 4, 5))[0]
    y, cache = batch_norm(x, eps=1e-12)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1, rtol=1e-9)
    assert np.abs(y.mean(axis=0)).max() > 0.1
    assert cache.mean.shape == (3,)


@pytest.mark.parametrize("n", [100, 4096, 65_536])
@pytest.mark.parametrize("offset", [0.0, 1e2, 1e3, 1e4, 1e5])
def test_float32_keeps_its_digits_at_a_large_offset(n, offset):
    x = (np.random.default_rng(0).normal(size=(n, 3)) + offset).astype(np.float32)
    x_hat = batch_norm(x)[1].x_hat
    assert x_hat.dtype == np.float32
    assert np.abs(x_hat - exact_x_hat(x, 1e-5)).max() < 2e-6


def test_float32_keeps_its_digits_in_a_large_picture():
    x = (np.random.default_rng(0).normal(size=(1, 2, 1024, 1024)) + 1e4).astype(np.float32)
    assert np.abs(batch_norm(x)[1].x_hat - exact_x_hat(x, 1e-5)).max() < 2e-6


def test_float32_keeps_its_digits_in_many_small_pictures():
    """Added one after another in float32 their sum would be wrong by three in ten thousand."""
    x = np.full((30_000, 3, 3), 0.1, np.float32)
    _, cache = batch_norm(x)
    np.testing.assert_allclose(cache.mean, np.float32(0.1), rtol=SUMMED)
    _, _, dbeta = batch_norm_backward(x, cache)
    np.testing.assert_allclose(dbeta, 90_000 * float(np.float32(0.1)), rtol=SUMMED)


def test_float32_survives_an_outlier_in_the_first_row():
    x = np.random.default_rng(0).normal(size=(65_536, 2)).astype(np.float32)
    x[0] = 1e6
    assert np.abs(batch_norm(x)[1].x_hat - exact_x_hat(x, 1e-5)).max() < 2e-5  # x_hat[0] is 256


def test_float64_keeps_its_digits_at_a_large_offset():
    x = np.random.default_rng(0).normal(size=(5_000, 2)) + 1e6
    assert np.abs(batch_norm(x)[1].x_hat - exact_x_hat(x, 1e-5)).max() < 1e-10


@pytest.mark.parametrize("magnitude", [1e-30, 1e-20, 1e20, 1e30])
def test_float32_at_the_ends_of_its_range(magnitude):
    x = (magnitude * np.random.default_rng(0).normal(size=(50, 2))).astype(np.float32)
    assert np.abs(batch_norm(x)[0] - exact_x_hat(x, 1e-5)).max() < 2e-6


def test_a_sum_may_leave_the_range_of_float32():
    x = (1e37 * np.random.default_rng(0).normal(10, 1, size=(50, 2))).astype(np.float32)
    assert x.sum(axis=0, dtype=float).min() > np.finfo(np.float32).max
    assert np.abs(batch_norm(x)[0] - exact_x_hat(x, 1e-5)).max() < 2e-6


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_one_value_per_channel_gives_beta_and_no_gradient(shape):
    x, gamma, beta, dy = example(shape)
    y, cache = batch_norm(x, gamma, beta)
    np.testing.assert_array_equal(y, broadcast(beta, x))
    dx, dgamma, dbeta = batch_norm_backward(dy, cache)
    np.testing.assert_array_equal(dx, 0 * x)
    np.testing.assert_array_equal(dgamma, 0 * gamma)
    np.testing.assert_array_equal(dbeta, dy.ravel())


def test_no_channels_are_no_work():
    y, cache = batch_norm(np.ones((4, 0)))
    dx, dgamma, dbeta = batch_norm_backward(np.ones((4, 0)), cache)
    assert y.shape == dx.shape == (4, 0) and dgamma.shape == dbeta.shape == (0,)


def test_a_constant_channel_gives_beta():
    x = np.full((4, 2), 1e8)
    np.testing.assert_array_equal(batch_norm(x, None, np.array([2.0, 3.0]))[0], [[2.0, 3.0]] * 4)


def test_nan_and_infinity_stay_in_their_channel():
    x, gamma, beta, dy = example((5, 4))
    dirty = x.copy()
    dirty[2, 1], dirty[0, 2] = np.nan, np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, cache = batch_norm(dirty, gamma, beta)
        dx, dgamma, dbeta = batch_norm_backward(dy, cache)
    clean, clean_cache = batch_norm(x, gamma, beta)
    clean_dx, clean_dgamma, _ = batch_norm_backward(dy, clean_cache)
    assert np.isnan(y[:, 1:3]).all() and np.isnan(dx[:, 1:3]).all() and np.isnan(dgamma[1:3]).all()
    np.testing.assert_array_equal(y[:, [0, 3]], clean[:, [0, 3]])
    np.testing.assert_array_equal(dx[:, [0, 3]], clean_dx[:, [0, 3]])
    np.testing.assert_array_equal(dgamma[[0, 3]], clean_dgamma[[0, 3]])


def all_results(x, gamma, beta, dy, mean, var):
    """Every array that the four functions return."""
    y, cache = batch_norm(x, gamma, beta)
    return [
        y,
        *batch_norm_backward(dy, cache),
        batch_norm_inference(x, mean, var, gamma, beta),
        *batch_norm_inference_backward(dy, x, mean, var, gamma),
    ]


@pytest.mark.parametrize("spoilt", ["x", "gamma", "beta", "dy", "mean", "var"])
@pytest.mark.parametrize("by", [np.nan, np.inf, 1e308])  # 1e308 is finite, its sums are not
def test_a_spoilt_channel_is_silent_and_leaves_its_neighbours_alone(spoilt, by):
    x, gamma, beta, dy = example((6, 3))
    arguments = {"x": x, "gamma": gamma, "beta": beta, "dy": dy, "mean": beta, "var": gamma**2}
    clean = all_results(**arguments)
    arguments[spoilt] = arguments[spoilt].copy()
    arguments[spoilt][..., 1] = by
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = all_results(**arguments)
    changed = 0
    for a, b in zip(results, clean, strict=True):
        np.testing.assert_array_equal(a[..., [0, 2]], b[..., [0, 2]])
        changed += not np.array_equal(a[..., 1], b[..., 1])
    assert changed


def test_two_channels_do_not_see_their_neighbours_to_the_bit():
    # A single channel is summed by numpy in another order, and equals only to rounding.
    x, gamma, beta, dy = example((50, 6), dtype=np.float32)
    y, cache = batch_norm(x, gamma, beta)
    together = [y, *batch_norm_backward(dy, cache)]
    y, cache = batch_norm(x[:, 2:4], gamma[2:4], beta[2:4])
    alone = [y, *batch_norm_backward(dy[:, 2:4], cache)]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a[..., 2:4], b)


# Backward


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_backward_is_the_complex_step_derivative(shape, eps):
    x, gamma, beta, dy = example(shape, seed=1)
    _, cache = batch_norm(x, gamma, beta, eps=eps)
    dx, dgamma, dbeta = batch_norm_backward(dy, cache)

    def loss(x=x, gamma=gamma, beta=beta):
        return (dy * batch_norm(x, gamma, beta, eps=eps)[0]).sum()

    tolerance = {"rtol": 1e-10, "atol": 1e-11}  # complex arithmetic rounds a few times more
    np.testing.assert_allclose(dx, complex_step_gradient(lambda v: loss(x=v), x), **tolerance)
    np.testing.assert_allclose(
        dgamma, complex_step_gradient(lambda v: loss(gamma=v), gamma), **tolerance
    )
    np.testing.assert_allclose(
        dbeta, complex_step_gradient(lambda v: loss(beta=v), beta), **tolerance
    )


def test_backward_without_gamma_is_backward_with_ones():
    x, _, _, dy = example((6, 3))
    without = batch_norm_backward(dy, batch_norm(x)[1])
    with_ones = batch_norm_backward(dy, batch_norm(x, np.ones(3))[1])
    for a, b in zip(without, with_ones, strict=True):
        np.testing.assert_array_equal(a, b)


def test_backward_takes_a_complex_upstream():
    x, gamma, beta, dy = example((6, 3))
    _, cache = batch_norm(x, gamma, beta)
    whole = batch_norm_backward(dy + 1j * x, cache)
    for total, re, im in zip(
        whole, batch_norm_backward(dy, cache), batch_norm_backward(x, cache), strict=True
    ):
        np.testing.assert_allclose(total, re + 1j * im, **EXACT)


# With stored statistics


@pytest.mark.parametrize("shape", SHAPES)
def test_inference_is_the_affine_map_of_the_statistics(shape):
    x, gamma, beta, dy = example(shape)
    mean, var = np.linspace(-1, 2, shape[1]), np.linspace(0.5, 3, shape[1])
    slope = gamma / np.sqrt(var + 1e-3)
    y = batch_norm_inference(x, mean, var, gamma, beta, eps=1e-3)
    expected = broadcast(slope, x) * (x - broadcast(mean, x)) + broadcast(beta, x)
    np.testing.assert_allclose(y, expected, **EXACT)

    dx, dgamma, dbeta = batch_norm_inference_backward(dy, x, mean, var, gamma, eps=1e-3)
    np.testing.assert_allclose(dx, broadcast(slope, x) * dy, **EXACT)
    for parameter, gradient in [("gamma", dgamma), ("beta", dbeta)]:
        start = {"gamma": gamma, "beta": beta}

        def loss(v, parameter=parameter, start=start):
            params = {**start, parameter: v}
            return (dy * batch_norm_inference(x, mean, var, **params, eps=1e-3)).sum()

        np.testing.assert_allclose(
            gradient, complex_step_gradient(loss, start[parameter]), rtol=1e-10, atol=1e-11
        )


def test_inference_without_gamma_and_beta():
    x, _, _, dy = example((4, 2))
    mean, var = np.zeros(2), np.array([3.0, 0.0])
    np.testing.assert_allclose(
        batch_norm_inference(x, mean, var, eps=1.0), x / np.array([2.0, 1.0]), **EXACT
    )
    dx, dgamma, dbeta = batch_norm_inference_backward(dy, x, mean, var, eps=1.0)
    np.testing.assert_allclose(dx, dy / np.array([2.0, 1.0]), **EXACT)


def test_narrow_statistics_do_not_cost_the_batch_its_digits():
    x, _, _, dy = example((4, 2))
    mean, var = np.zeros(2, np.float32), np.array([3.0, 0.0], np.float32)
    y = batch_norm_inference(x, mean, var, eps=1.0)
    np.testing.assert_allclose(y, x / np.array([2.0, 1.0]), **EXACT)
    dx, dgamma, _ = batch_norm_inference_backward(dy, x, mean, var, eps=1.0)
    np.testing.assert_allclose(dx, dy / np.array([2.0, 1.0]), **EXACT)
    np.testing.assert_allclose(dgamma, (dy * y).sum(axis=0), **EXACT)


def test_inference_backward_is_linear_in_complex_arguments():
    # The complex step of a network needs it: its upstream, its gamma are complex, its x is not.
    x, gamma, beta, dy = example((6, 3))
    mean, var = beta, gamma**2
    real = batch_norm_inference_backward(dy, x, mean, var, gamma)
    whole = batch_norm_inference_backward(dy + 1j * x, x, mean, var, gamma)
    for total, re, im in zip(
        whole, real, batch_norm_inference_backward(x, x, mean, var, gamma), strict=True
    ):
        np.testing.assert_allclose(total, re + 1j * im, **EXACT)
    dx, dgamma, dbeta = batch_norm_inference_backward(dy, x, mean, var, gamma * (1 + 2j))
    np.testing.assert_allclose(dx, real[0] * (1 + 2j), **EXACT)
    np.testing.assert_allclose(dgamma, real[1], **EXACT)
    np.testing.assert_allclose(dbeta, real[2], **EXACT)


def test_inference_with_the_batch_s_own_statistics_is_training():
    x, gamma, beta, _ = example((9, 3))
    y, cache = batch_norm(x, gamma, beta)
    np.testing.assert_allclose(
        batch_norm_inference(x, cache.mean, cache.var, gamma, beta), y, **EXACT
    )


def test_inference_keeps_float32_digits_at_a_large_offset():
    x = (np.random.default_rng(0).normal(size=(500, 2)) + 1e5).astype(np.float32)
    _, cache = batch_norm(x)
    y = batch_norm_inference(x, cache.mean, cache.var)
    assert np.abs(y - exact_x_hat(x, 1e-5)).max() < 2e-6


# Types, layouts, arguments left alone


def test_what_float16_cannot_hold_is_infinite_without_a_warning():
    x, large = example((5, 3), dtype=np.float16)[0], np.full(3, 6e4, np.float16)
    y, cache = batch_norm(x, large)
    dx, dgamma, _ = batch_norm_backward(6e4 * np.sign(x), cache)
    assert np.isinf(y).any() and np.isinf(dx).any() and np.isfinite(dgamma).all()
    one, zero = np.ones_like(large), np.zeros_like(large)
    assert np.isinf(batch_norm_inference(2 * np.sign(x), zero, one, large)).all()
    assert np.isinf(batch_norm_inference_backward(2 * np.sign(x), x, zero, one, large)[0]).all()


def test_eps_counts_beside_a_variance_in_float16():
    x, one = np.ones((1, 1)), np.ones(1, np.float16)
    y = batch_norm_inference(x, 0 * one, one, eps=1e-4)  # np.float16(1) + 1e-4 is 1
    dx, _, _ = batch_norm_inference_backward(x, x, 0 * one, one, eps=1e-4)
    np.testing.assert_allclose(np.stack([y, dx]), 1.0001**-0.5, **EXACT)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2, 2)])
def test_dtype_in_dtype_out(dtype, shape):
    x, gamma, beta, dy = example(shape, dtype=dtype)
    y, cache = batch_norm(x, gamma, beta)
    dx, dgamma, _ = batch_norm_backward(dy, cache)
    stored = batch_norm_inference(x, gamma, np.abs(beta), gamma, beta)
    stored_dx, stored_dgamma, _ = batch_norm_inference_backward(dy, x, gamma, np.abs(beta))
    assert y.dtype == dx.dtype == stored.dtype == stored_dx.dtype == dtype
    assert dgamma.dtype == stored_dgamma.dtype == np.promote_types(dtype, np.float32)
    assert cache.mean.dtype == cache.var.dtype == np.float64
    tolerance = 20 * np.finfo(dtype).eps
    expected = broadcast(gamma, x) * exact_x_hat(x, 1e-5) + broadcast(beta, x)
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)


def test_dtype_of_x_wins_over_the_parameters():
    x, gamma, beta, dy = example((6, 3))
    y, cache = batch_norm(x.astype(np.float32), gamma, beta)
    assert y.dtype == cache.x_hat.dtype == np.float32
    assert batch_norm_inference(x.astype(np.float32), gamma, beta**2).dtype == np.float32


def test_one_complex_argument_makes_the_result_complex():
    x, gamma, beta, _ = example((6, 3))
    for arguments in [(x + 0j, gamma, beta), (x, gamma + 0j, beta), (x, gamma, beta + 0j)]:
        y = batch_norm(*arguments)[0]
        assert y.dtype == np.complex128
        np.testing.assert_allclose(y, batch_norm(x, gamma, beta)[0], **EXACT)
    mean, var = np.zeros(3), np.ones(3)
    for statistics in [(mean + 0j, var), (mean, var + 0j)]:
        assert batch_norm_inference(x, *statistics).dtype == np.complex128


def test_layout_does_not_matter():
    x, gamma, beta, dy = example((4, 6, 3, 5))
    expected = [batch_norm(x, gamma, beta)[0], *batch_norm_backward(dy, batch_norm(x, gamma)[1])]
    views = [
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1),
        lambda a: a[::-1][::-1],
    ]
    for view in views:
        got = [
            batch_norm(view(x), gamma, beta)[0],
            *batch_norm_backward(view(dy), batch_norm(view(x), gamma)[1]),
        ]
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, **EXACT)


def test_arguments_are_left_alone():
    x, gamma, beta, dy = example((6, 3))
    mean, var = np.zeros(3), np.ones(3)
    arrays = [x, gamma, beta, dy, mean, var]
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    y, cache = batch_norm(x, gamma, beta)
    saved = [np.copy(field) for field in cache]
    batch_norm_backward(dy, cache)
    batch_norm_inference(x, mean, var, gamma, beta)
    batch_norm_inference_backward(dy, x, mean, var, gamma)
    for a, b in zip([*arrays, *cache], [*before, *saved], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(65_536, 2), (64, 2, 32, 32)])
def test_parameter_gradients_of_float32_are_summed_over_runs_in_float64(shape):
    # Two columns: numpy adds a single one up in pairs, which hides what float32 would lose.
    x, _, _, _ = example(shape, dtype=np.float32)
    _, cache = batch_norm(x)
    far = np.random.default_rng(5).normal(size=x.shape) + 100
    dy = (far * np.sign(cache.x_hat)).astype(np.float32)  # so no sum of products cancels
    _, dgamma, dbeta = batch_norm_backward(dy, cache)
    for c in range(2):
        products = dy[:, c].astype(float) * cache.x_hat[:, c]
        assert dgamma[c] == pytest.approx(math.fsum(products.ravel()), rel=SUMMED)
        upstream = dy[:, c].astype(float).ravel()
        assert dbeta[c] == pytest.approx(math.fsum(upstream), abs=SUMMED * np.abs(upstream).sum())


def test_a_sum_of_products_that_leaves_the_range_of_float32_on_its_way_is_finite():
    x, _, _, _ = example((64, 2), dtype=np.float32)
    _, cache = batch_norm(x)
    dy = (
        np.sign(cache.x_hat) * np.float32(2e37) * np.where(np.arange(64) < 32, 1, -1)[:, np.newaxis]
    )
    dy = dy.astype(np.float32)
    _, dgamma, _ = batch_norm_backward(dy, cache)
    exact = [math.fsum(dy[:, c].astype(float) * cache.x_hat[:, c]) for c in range(2)]
    np.testing.assert_allclose(dgamma, exact, rtol=1e-5)


def test_the_mean_of_a_far_float32_batch_keeps_its_digits():
    x = (np.random.default_rng(0).normal(size=(1000, 2)) + 1e5).astype(np.float32)
    np.testing.assert_allclose(batch_norm(x)[1].mean, x.astype(float).mean(axis=0), rtol=1e-12)


def test_unknown_stored_variance_passes_through():
    x = np.ones((2, 2))
    y = batch_norm_inference(x, np.zeros(2), np.array([np.nan, 1.0]))
    assert np.isnan(y[:, 0]).all() and np.isfinite(y[:, 1]).all()


def test_y_and_the_cache_share_no_memory():
    y, cache = batch_norm(example((4, 2))[0])
    assert not np.shares_memory(y, cache.x_hat)


# Bad input: one sentence that names the operation, what was expected and what came

X = np.ones((4, 3))
V = np.ones(3)
CALLS = {
    "batch_norm": lambda **k: batch_norm(**{"x": X, **k}),
    "batch_norm_inference": lambda **k: batch_norm_inference(**{"x": X, "mean": V, "var": V, **k}),
    "batch_norm_inference_backward": lambda **k: batch_norm_inference_backward(
        **{"dy": X, "x": X, "mean": V, "var": V, **k}
    ),
    "batch_norm_backward": lambda **k: batch_norm_backward(
        **{"dy": X, "cache": batch_norm(X)[1], **k}
    ),
}


@pytest.mark.parametrize("operation", CALLS)
def test_good_calls_pass(operation):
    assert CALLS[operation]() is not None


EVERY_FORWARD = ["batch_norm", "batch_norm_inference", "batch_norm_inference_backward"]
WITH_STATISTICS = EVERY_FORWARD[1:]
BACKWARDS = ["batch_norm_backward", "batch_norm_inference_backward"]


@pytest.mark.parametrize(
    ("operations", "argument", "value", "error", "says"),
    [
        (EVERY_FORWARD, "x", np.ones(3), ValueError, "(N, C, *spatial), got (3,)"),
        (EVERY_FORWARD, "x", np.ones((0, 3)), ValueError, "empty, got shape (0, 3)"),
        (EVERY_FORWARD, "x", np.ones((4, 3, 0)), ValueError, "empty, got shape (4, 3, 0)"),
        (EVERY_FORWARD, "x", np.ones((0, 0)), ValueError, "empty, got shape (0, 0)"),
        (EVERY_FORWARD, "x", np.ones((4, 3), int), TypeError, "x must be an array of float16"),
        (EVERY_FORWARD, "x", np.ones((4, 3), object), TypeError, "got object"),
        (EVERY_FORWARD, "x", np.ones((4, 3), np.complex64), TypeError, "got complex64"),
        (EVERY_FORWARD, "gamma", np.ones(4), ValueError, "gamma must have shape (3,) to match x"),
        (EVERY_FORWARD, "gamma", np.ones((1, 3)), ValueError, "of shape (4, 3), got (1, 3)"),
        (EVERY_FORWARD, "gamma", np.ones(3, int), TypeError, "gamma must be an array"),
        (EVERY_FORWARD[:2], "beta", np.ones(4), ValueError, "beta must have shape (3,)"),
        (WITH_STATISTICS, "mean", np.ones(2), ValueError, "mean must have shape (3,)"),
        (WITH_STATISTICS, "mean", None, TypeError, "mean must be an array"),
        (WITH_STATISTICS, "var", np.ones(2), ValueError, "var must have shape (3,)"),
        (WITH_STATISTICS, "var", np.array([1, -2.0, 0]), ValueError, "negative, got -2.0"),
        (WITH_STATISTICS, "var", np.array([1, -1e-9, 0]), ValueError, "negative, got -1e-09"),
        (EVERY_FORWARD, "eps", 0, ValueError, "eps must be a number above 0, got 0"),
        (EVERY_FORWARD, "eps", -1e-5, ValueError, "eps must be a number above 0, got -1e-05"),
        (EVERY_FORWARD, "eps", float("nan"), ValueError, "got nan"),
        (EVERY_FORWARD, "eps", np.inf, ValueError, "got inf"),
        (EVERY_FORWARD, "eps", "small", TypeError, "got 'small'"),
        (EVERY_FORWARD, "eps", True, TypeError, "got True"),
        (BACKWARDS, "dy", np.ones((3, 4)), ValueError, "dy must have shape (4, 3)"),
        (BACKWARDS[:1], "dy", np.ones(3), ValueError, "to match y of shape (4, 3), got (3,)"),
        (BACKWARDS[1:], "dy", np.ones(3), ValueError, "to match x of shape (4, 3), got (3,)"),
        (BACKWARDS, "dy", np.ones((4, 3), int), TypeError, "dy must be an array"),
    ],
)
def test_bad_input(operations, argument, value, error, says):
    for operation in operations:
        with pytest.raises(error) as caught:
            CALLS[operation](**{argument: value})
        assert str(caught.value).startswith(f"{operation}: ")
        assert says in str(caught.value)
