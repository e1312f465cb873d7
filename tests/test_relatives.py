"""Layer norm against oracles that do not share its code."""

import math
import warnings

import numpy as np
import pytest
from oracles import complex_step_gradient, exact_x_hat

import bnlib
from bnlib import normalization, relatives
from bnlib.relatives import layer_norm, layer_norm_backward

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64 against float64
SLOPES = {"rtol": 1e-10, "atol": 1e-11}  # complex arithmetic rounds a few times more
CASES = [((5, 3), -1), ((4, 1), 1), ((6,), 0), ((3, 2, 4), 1), ((3, 2, 4), -1), ((2, 3, 2, 2), -3)]


def example(shape, axis=-1, seed=0, dtype=np.float64):
    """Examples that each have their own mean and spread, and gamma, beta, dy."""
    rng = np.random.default_rng(seed)
    axis %= len(shape)
    each = (*shape[:axis], *(1,) * (len(shape) - axis))
    x = rng.normal(size=shape) * rng.uniform(0.5, 3, each) + rng.normal(size=each)
    gamma, beta = rng.normal(size=(2, *shape[axis:]))
    return [a.astype(dtype) for a in (x, gamma, beta, rng.normal(size=shape))]


def expected_x_hat(x, axis=-1, eps=1e-5):
    """Each example as one channel of the slow oracle for batch norm."""
    axis %= x.ndim
    rows = x.reshape(math.prod(x.shape[:axis]), -1)
    return exact_x_hat(rows.T, eps).T.reshape(x.shape)


def results(x, gamma, beta, dy, axis=-1):
    y, cache = layer_norm(x, gamma, beta, axis=axis)
    return [y, *layer_norm_backward(dy, cache)]


# Forward


@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_forward_is_the_formula(shape, axis):
    x, gamma, beta, _ = example(shape, axis)
    y, cache = layer_norm(x, gamma, beta, axis=axis, eps=1e-3)
    x_hat = expected_x_hat(x, axis, 1e-3)
    np.testing.assert_allclose(cache.x_hat, x_hat, **EXACT)
    np.testing.assert_allclose(y, gamma * x_hat + beta, **EXACT)
    axes = tuple(range(axis % len(shape), len(shape)))
    np.testing.assert_allclose(cache.mean, x.mean(axis=axes), **EXACT)
    np.testing.assert_allclose(cache.var, x.var(axis=axes), **EXACT)
    np.testing.assert_allclose(cache.inv_std, (x.var(axis=axes) + 1e-3) ** -0.5, **EXACT)


def test_it_is_batch_norm_of_the_transpose():
    x, _, _, dy = example((7, 4))
    y, cache = normalization.batch_norm(x.T)
    dx, _, _ = normalization.batch_norm_backward(dy.T, cache)
    other, other_cache = layer_norm(x)
    np.testing.assert_allclose(other, y.T, **EXACT)
    np.testing.assert_allclose(layer_norm_backward(dy, other_cache)[0], dx.T, **EXACT)


def test_it_can_be_imported_from_three_places():
    assert bnlib.layer_norm is normalization.layer_norm is relatives.layer_norm
    assert bnlib.layer_norm_backward is normalization.layer_norm_backward is layer_norm_backward


def test_gamma_and_beta_are_optional():
    x, gamma, beta, dy = example((6, 3))
    ones, zeros = np.ones(3), np.zeros(3)
    np.testing.assert_array_equal(layer_norm(x)[0], layer_norm(x, ones, zeros)[0])
    np.testing.assert_array_equal(layer_norm(x, gamma)[0], layer_norm(x, gamma, zeros)[0])
    np.testing.assert_array_equal(layer_norm(x, None, beta)[0], layer_norm(x, ones, beta)[0])
    for a, b in zip(results(x, None, None, dy), results(x, ones, zeros, dy), strict=True):
        np.testing.assert_array_equal(a, b)


def test_defaults_are_rows_and_1e_5():
    x = np.array([[0.0, 2e-3]])
    assert layer_norm(x)[1].inv_std[0] == pytest.approx((1e-6 + 1e-5) ** -0.5)
    assert layer_norm(np.ones((4, 3, 2)))[1].mean.shape == (4, 3)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e3, 1e4, 1e5])
def test_float32_keeps_its_digits_at_a_large_offset(offset):
    x = (np.random.default_rng(0).normal(size=(3, 4096)) + offset).astype(np.float32)
    _, cache = layer_norm(x)
    assert cache.x_hat.dtype == np.float32
    assert np.abs(cache.x_hat - expected_x_hat(x)).max() < 2e-6
    np.testing.assert_allclose(cache.mean, x.astype(float).mean(axis=1), rtol=1e-12, atol=1e-7)


def test_float64_keeps_its_digits_at_a_large_offset():
    x = np.random.default_rng(0).normal(size=(2, 5_000)) + 1e6
    assert np.abs(layer_norm(x)[1].x_hat - expected_x_hat(x)).max() < 1e-10


@pytest.mark.parametrize("magnitude", [1e-30, 1e-20, 1e20, 1e30])
def test_float32_at_the_ends_of_its_range(magnitude):
    x = (magnitude * np.random.default_rng(0).normal(size=(2, 50))).astype(np.float32)
    assert np.abs(layer_norm(x)[0] - expected_x_hat(x)).max() < 2e-6


def test_a_sum_may_leave_the_range_of_float32():
    x = (1e37 * np.random.default_rng(0).normal(10, 1, size=(2, 50))).astype(np.float32)
    assert x.sum(axis=1, dtype=float).min() > np.finfo(np.float32).max
    assert np.abs(layer_norm(x)[0] - expected_x_hat(x)).max() < 2e-6


def test_a_single_feature_gives_beta_and_no_gradient():
    x, gamma, beta, dy = example((4, 1))
    y, dx, dgamma, dbeta = results(x, gamma, beta, dy)
    np.testing.assert_array_equal(y, np.broadcast_to(beta, (4, 1)))
    np.testing.assert_array_equal(dx, 0 * x)
    assert dgamma == 0 and dbeta == pytest.approx(dy.sum())


def test_a_constant_example_gives_beta():
    np.testing.assert_array_equal(
        layer_norm(np.full((2, 3), 1e8), None, np.arange(3.0))[0][0], [0, 1, 2]
    )


# Backward


@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_backward_is_the_complex_step_derivative(shape, axis, eps):
    x, gamma, beta, dy = example(shape, axis, seed=1)
    _, cache = layer_norm(x, gamma, beta, axis=axis, eps=eps)
    gradients = layer_norm_backward(dy, cache)

    def loss(name):
        def of(value):
            arguments = {"x": x, "gamma": gamma, "beta": beta, name: value}
            return (dy * layer_norm(**arguments, axis=axis, eps=eps)[0]).sum()

        return of

    for name, value, gradient in zip(
        ("x", "gamma", "beta"), (x, gamma, beta), gradients, strict=True
    ):
        np.testing.assert_allclose(gradient, complex_step_gradient(loss(name), value), **SLOPES)


def test_backward_takes_a_complex_upstream():
    x, gamma, beta, dy = example((6, 3))
    _, cache = layer_norm(x, gamma, beta)
    whole = layer_norm_backward(dy + 1j * x, cache)
    parts = zip(layer_norm_backward(dy, cache), layer_norm_backward(x, cache), strict=True)
    for total, (re, im) in zip(whole, parts, strict=True):
        np.testing.assert_allclose(total, re + 1j * im, **EXACT)


def test_parameter_gradients_of_float32_are_summed_in_float64():
    x, _, _, _ = example((65_536, 2), dtype=np.float32)
    dy = (np.random.default_rng(5).normal(size=x.shape) + 100).astype(np.float32)
    _, cache = layer_norm(x)
    _, dgamma, dbeta = layer_norm_backward(dy, cache)
    for c in range(2):
        assert dbeta[c] == pytest.approx(math.fsum(dy[:, c].astype(float)), rel=1e-7)
        products = (dy * cache.x_hat)[:, c].astype(float)
        assert dgamma[c] == pytest.approx(math.fsum(products), rel=1e-6)


# Examples do not see each other; arguments are left alone


def test_an_example_does_not_see_its_neighbours_to_the_bit():
    x, gamma, beta, dy = example((50, 64), dtype=np.float32)
    y, dx, _, _ = results(x, gamma, beta, dy)
    alone_y, alone_dx, _, _ = results(x[7:8], gamma, beta, dy[7:8])
    np.testing.assert_array_equal(y[7:8], alone_y)
    np.testing.assert_array_equal(dx[7:8], alone_dx)


@pytest.mark.parametrize("spoilt", ["x", "dy"])
@pytest.mark.parametrize("by", [np.nan, np.inf, 1e308])  # 1e308 is finite, its sums are not
def test_a_spoilt_example_is_silent_and_leaves_its_neighbours_alone(spoilt, by):
    x, gamma, beta, dy = example((4, 3))
    arguments = {"x": x, "gamma": gamma, "beta": beta, "dy": dy}
    y, dx, _, _ = results(**arguments)
    arguments[spoilt] = arguments[spoilt].copy()
    arguments[spoilt][1] = by
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spoilt_y, spoilt_dx, _, _ = results(**arguments)
    others = [0, 2, 3]
    np.testing.assert_array_equal(spoilt_y[others], y[others])
    np.testing.assert_array_equal(spoilt_dx[others], dx[others])
    assert not np.array_equal(spoilt_dx[1], dx[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_in_dtype_out(dtype):
    x, gamma, beta, dy = example((4, 3, 2), 1, dtype=dtype)
    y, cache = layer_norm(x, gamma, beta, axis=1)
    dx, dgamma, dbeta = layer_norm_backward(dy, cache)
    assert y.dtype == dx.dtype == dtype
    assert dgamma.dtype == dbeta.dtype == np.promote_types(dtype, np.float32)
    assert cache.mean.dtype == cache.var.dtype == np.float64
    tolerance = 20 * np.finfo(dtype).eps
    expected = gamma * expected_x_hat(x, 1) + beta
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    wide = results(*(a.astype(float) for a in (x, gamma, beta, dy)), axis=1)
    for narrow, value in zip((dx, dgamma, dbeta), wide[1:], strict=True):
        np.testing.assert_allclose(narrow, value, rtol=tolerance, atol=tolerance)


def test_dtype_of_x_wins_and_one_complex_argument_makes_the_result_complex():
    x, gamma, beta, _ = example((6, 3))
    assert layer_norm(x.astype(np.float32), gamma, beta)[0].dtype == np.float32
    for arguments in [(x + 0j, gamma, beta), (x, gamma + 0j, beta), (x, gamma, beta + 0j)]:
        y = layer_norm(*arguments)[0]
        assert y.dtype == np.complex128
        np.testing.assert_allclose(y, layer_norm(x, gamma, beta)[0], **EXACT)


@pytest.mark.parametrize("view", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]])
def test_layout_does_not_matter(view):
    x, gamma, beta, dy = example((4, 6, 3), 1)
    got = results(view(x), gamma, beta, view(dy), axis=1)
    for a, b in zip(got, results(x, gamma, beta, dy, axis=1), strict=True):
        np.testing.assert_allclose(a, b, **EXACT)


def test_arguments_are_left_alone_and_share_no_memory_with_the_results():
    arrays = example((6, 3))
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    x, gamma, beta, dy = arrays
    for y, cache in (layer_norm(x, gamma, beta), layer_norm(x)):
        saved = [np.copy(field) for field in cache]
        layer_norm_backward(dy, cache)
        for a, b in zip([*arrays, *cache], [*before, *saved], strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(y, cache.x_hat) and not np.shares_memory(y, x)


# Bad input


X, V = np.ones((4, 3)), np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: layer_norm(X.astype(int)), TypeError, "layer_norm: x must be an array of float16"),
        (lambda: layer_norm(X, V.astype(object)), TypeError, "layer_norm: gamma must be an array"),
        (lambda: layer_norm(X[:0]), ValueError, "x must not be empty, got shape (0, 3)"),
        (lambda: layer_norm(X[:, :0]), ValueError, "x must not be empty, got shape (4, 0)"),
        (lambda: layer_norm(X, axis=2), ValueError, "axis of x, got 2 for shape (4, 3)"),
        (lambda: layer_norm(X, axis=-3), ValueError, "axis of x, got -3 for shape (4, 3)"),
        (lambda: layer_norm(X[0, 0]), ValueError, "axis of x, got -1 for shape ()"),
        (lambda: layer_norm(X, axis=(0, 1)), TypeError, "axis must be a whole number"),
        (lambda: layer_norm(X, axis=True), TypeError, "axis must be a whole number, got True"),
        (
            lambda: layer_norm(X, np.ones(4)),
            ValueError,
            "gamma must have shape (3,) to match x of shape (4, 3) from axis 1 on, got (4,)",
        ),
        (lambda: layer_norm(X, V, V, axis=0), ValueError, "gamma must have shape (4, 3)"),
        (lambda: layer_norm(X, V, X), ValueError, "beta must have shape (3,)"),
        (lambda: layer_norm(X, eps=0), ValueError, "layer_norm: eps must be a number above 0"),
        (
            lambda: layer_norm_backward(V, layer_norm(X)[1]),
            ValueError,
            "layer_norm_backward: dy must have shape (4, 3) to match y of shape (4, 3), got (3,)",
        ),
        (lambda: layer_norm_backward([1], layer_norm(X)[1]), TypeError, "dy must be an array"),
    ],
)
def test_bad_input(call, error, says):
    with pytest.raises(error) as caught:
        call()
    assert says in str(caught.value)
