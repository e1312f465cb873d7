"""The relatives of batch norm against oracles that do not share their code."""

import math
import warnings

import numpy as np
import pytest
from oracles import complex_step_gradient, exact_x_hat

import bnlib
from bnlib import normalization, relatives
from bnlib.relatives import (
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)

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
    for name in ("group_norm", "instance_norm", "rms_norm"):
        for whole in (name, f"{name}_backward"):
            assert getattr(normalization, whole) is getattr(relatives, whole)


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


def test_what_float16_cannot_hold_is_infinite_without_a_warning():
    x, large = example((4, 6), dtype=np.float16)[0], np.full(6, 6e4, np.float16)
    for name, groups in (("layer_norm", ()), ("rms_norm", ()), ("group_norm", (2,))):
        y, cache = getattr(relatives, name)(x, *groups, large)
        dx, *_ = getattr(relatives, f"{name}_backward")(6e4 * np.sign(x), cache)
        assert np.isinf(y).any() and np.isinf(dx).any()


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


# Group, instance and RMS norm. Each as (forward, backward, slow x_hat) of x of shape (3, 6, 2, 2)


def group_x_hat(groups):
    def x_hat(x, eps=1e-5):
        return expected_x_hat(x.reshape(len(x), groups, -1), 2, eps).reshape(x.shape)

    return x_hat


def rms_x_hat(x, eps=1e-5):
    """Rows of the last two axes, each square summed without rounding."""
    rows = np.asarray(x, np.float64).reshape(-1, math.prod(x.shape[-2:]))
    squares = np.array([math.fsum(row**2) / len(row) for row in rows])
    return (rows / np.sqrt(squares + eps)[:, None]).reshape(x.shape)


def by_groups(groups):
    def forward(x, gamma=None, beta=None, **options):
        return group_norm(x, groups, gamma, beta, **options)

    return forward


def rms(x, gamma=None, **options):
    return rms_norm(x, gamma, axis=-2, **options)


SHAPE = (3, 6, 2, 2)
NORMS = {
    "group 1": (by_groups(1), group_norm_backward, group_x_hat(1)),
    "group 2": (by_groups(2), group_norm_backward, group_x_hat(2)),
    "group 6": (by_groups(6), group_norm_backward, group_x_hat(6)),
    "instance": (instance_norm, instance_norm_backward, group_x_hat(6)),
    "RMS": (rms, rms_norm_backward, rms_x_hat),
}


def relative(name, dtype=np.float64, seed=0):
    """The norm of that name; x, (gamma,) or (gamma, beta), broadcast shape of these, dy."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.5, 3, (3, 6, 1, 1))
    x = rng.normal(size=SHAPE) * spread + rng.normal(size=(3, 6, 1, 1))
    params = rng.normal(size=(1, 2, 2)) if name == "RMS" else rng.normal(size=(2, 6))
    along = (2, 2) if name == "RMS" else (6, 1, 1)
    dy = rng.normal(size=SHAPE)
    arrays = x.astype(dtype), [p.astype(dtype) for p in params], dy.astype(dtype)
    return NORMS[name], *arrays, along


def affine(x_hat, params, along):
    gamma, *beta = [p.reshape(along) for p in params]
    return gamma * x_hat + sum(beta)


@pytest.fixture(params=NORMS)
def norm_name(request):
    return request.param


def test_a_relative_s_forward_is_its_formula(norm_name):
    (norm, _, slow), x, params, _, along = relative(norm_name)
    y, cache = norm(x, *params, eps=1e-3)
    np.testing.assert_allclose(cache.x_hat, slow(x, 1e-3), **EXACT)
    np.testing.assert_allclose(y, affine(slow(x, 1e-3), params, along), **EXACT)
    np.testing.assert_allclose(norm(x)[0], slow(x), **EXACT)
    np.testing.assert_allclose(norm(x, params[0])[0], params[0].reshape(along) * slow(x), **EXACT)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_statistics_of_groups(groups):
    _, x, _, _, _ = relative("group 2")
    _, cache = group_norm(x, groups, eps=1e-3)
    rows = x.reshape(3, groups, -1)
    np.testing.assert_allclose(cache.mean, rows.mean(axis=2), **EXACT)
    np.testing.assert_allclose(cache.var, rows.var(axis=2), **EXACT)
    np.testing.assert_allclose(cache.inv_std, (rows.var(axis=2) + 1e-3) ** -0.5, **EXACT)


def test_the_statistic_of_rms_norm():
    x = np.random.default_rng(0).normal(3, 2, size=(4, 5))
    _, cache = rms_norm(x, eps=0.1)
    np.testing.assert_allclose(cache.inv_rms, ((x**2).mean(axis=1) + 0.1) ** -0.5, **EXACT)


@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_a_relative_s_backward_is_the_complex_step_derivative(norm_name, eps):
    (norm, backward, _), x, params, dy, _ = relative(norm_name)
    arguments = [x, *params]
    gradients = backward(dy, norm(*arguments, eps=eps)[1])
    assert len(gradients) == len(arguments)
    for position, gradient in enumerate(gradients):

        def loss(value, position=position):
            changed = [*arguments[:position], value, *arguments[position + 1 :]]
            return (dy * norm(*changed, eps=eps)[0]).sum()

        slope = complex_step_gradient(loss, arguments[position])
        np.testing.assert_allclose(gradient, slope, **SLOPES)


def test_a_relative_without_parameters_has_the_gradients_of_ones_and_zeros(norm_name):
    (norm, backward, _), x, params, dy, _ = relative(norm_name)
    neutral = [np.ones_like(params[0]), *(np.zeros_like(p) for p in params[1:])]
    pairs = zip(backward(dy, norm(x)[1]), backward(dy, norm(x, *neutral)[1]), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def test_one_group_is_layer_norm_and_a_group_per_channel_instance_norm():
    _, x, (gamma, beta), dy, along = relative("group 1")
    whole = [np.broadcast_to(p.reshape(along), SHAPE[1:]) for p in (gamma, beta)]
    y, cache = group_norm(x, 1, gamma, beta)
    other, other_cache = layer_norm(x, *whole, axis=1)
    np.testing.assert_allclose(y, other, **EXACT)
    dx, dgamma, dbeta = group_norm_backward(dy, cache)
    expected, *spread = layer_norm_backward(dy, other_cache)
    np.testing.assert_allclose(dx, expected, **EXACT)
    for gradient, per_value in zip((dgamma, dbeta), spread, strict=True):
        np.testing.assert_allclose(gradient, per_value.sum(axis=(1, 2)), **EXACT)

    y, cache = group_norm(x, 6, gamma, beta)
    other, other_cache = instance_norm(x, gamma, beta)
    np.testing.assert_array_equal(y, other)
    pairs = zip(
        group_norm_backward(dy, cache), instance_norm_backward(dy, other_cache), strict=True
    )
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def test_instance_norm_is_batch_norm_of_each_example():
    _, x, (gamma, beta), dy, _ = relative("instance")
    y, cache = instance_norm(x, gamma, beta)
    dx, dgamma, dbeta = instance_norm_backward(dy, cache)
    alone = [normalization.batch_norm(x[i : i + 1], gamma, beta) for i in range(3)]
    np.testing.assert_allclose(y, np.concatenate([one for one, _ in alone]), **EXACT)
    slopes = [normalization.batch_norm_backward(dy[i : i + 1], c) for i, (_, c) in enumerate(alone)]
    np.testing.assert_allclose(dx, np.concatenate([one for one, _, _ in slopes]), **EXACT)
    np.testing.assert_allclose(dgamma, sum(one for _, one, _ in slopes), **EXACT)
    np.testing.assert_allclose(dbeta, sum(one for _, _, one in slopes), **EXACT)


def test_rms_norm_of_a_centred_example_is_layer_norm():
    x = np.random.default_rng(0).normal(size=(5, 8))
    x -= x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(rms_norm(x)[0], layer_norm(x)[0], **EXACT)
    assert np.abs(rms_norm(x + 1)[0] - layer_norm(x)[0]).max() > 0.1


def test_one_value_per_channel_gives_beta_and_no_gradient():
    _, _, (gamma, beta), _, _ = relative("instance")
    x, dy = np.random.default_rng(0).normal(size=(2, 3, 6))
    y, cache = instance_norm(x, gamma, beta)
    np.testing.assert_array_equal(y, np.broadcast_to(beta, x.shape))
    np.testing.assert_array_equal(instance_norm_backward(dy, cache)[0], 0 * x)


@pytest.mark.parametrize("axis", [1, 2, -1, -3])
def test_rms_norm_over_any_trailing_axes(axis):
    x, gamma, _, _ = example(SHAPE, axis)
    axes = tuple(range(axis % 4, 4))
    expected = gamma * x / np.sqrt((x**2).mean(axis=axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(rms_norm(x, gamma, axis=axis)[0], expected, **EXACT)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_groups_of_float32_keep_their_digits_at_a_large_offset(offset):
    x = (np.random.default_rng(0).normal(size=(2, 4, 32, 32)) + offset).astype(np.float32)
    for groups in (1, 2, 4):
        _, cache = group_norm(x, groups)
        assert cache.x_hat.dtype == np.float32
        assert np.abs(cache.x_hat - group_x_hat(groups)(x)).max() < 2e-6


@pytest.mark.parametrize("magnitude", [1e-30, 1e-20, 1e20, 1e30])
def test_relatives_of_float32_at_the_ends_of_its_range(norm_name, magnitude):
    (norm, _, slow), x, _, _, _ = relative(norm_name)
    x = (magnitude * x).astype(np.float32)
    assert np.abs(norm(x)[0] - slow(x)).max() < 2e-6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_of_the_relatives(norm_name, dtype):
    (norm, backward, slow), x, params, dy, along = relative(norm_name, dtype)
    y, cache = norm(x, *params)
    dx, *others = backward(dy, cache)
    assert y.dtype == dx.dtype == dtype
    assert {g.dtype for g in others} == {np.promote_types(dtype, np.float32)}
    tolerance = 20 * np.finfo(dtype).eps
    wide = [p.astype(float) for p in params]
    np.testing.assert_allclose(y, affine(slow(x), wide, along), rtol=tolerance, atol=tolerance)
    expected = backward(dy.astype(float), norm(x.astype(float), *wide)[1])
    for narrow, value in zip((dx, *others), expected, strict=True):
        np.testing.assert_allclose(narrow, value, rtol=tolerance, atol=tolerance)


def test_relatives_sum_float32_gradients_in_float64():
    x = np.random.default_rng(0).normal(size=(65_536, 2)).astype(np.float32)
    dy = (np.random.default_rng(5).normal(size=x.shape) + 100).astype(np.float32)
    exact = [math.fsum(dy[:, c].astype(float)) for c in range(2)]
    assert group_norm_backward(dy, group_norm(x, 1)[1])[2] == pytest.approx(exact, rel=1e-7)
    _, cache = rms_norm(x)
    products = [math.fsum((dy * cache.x_hat)[:, c].astype(float)) for c in range(2)]
    assert rms_norm_backward(dy, cache)[1] == pytest.approx(products, rel=1e-6)


@pytest.mark.parametrize("spoilt", ["x", "dy"])
@pytest.mark.parametrize("by", [np.nan, np.inf, 1e308])
def test_a_spoilt_group_is_silent_and_leaves_the_others_alone(norm_name, spoilt, by):
    (norm, backward, _), x, params, dy, _ = relative(norm_name)
    groups = {"instance": 6, "RMS": 6}.get(norm_name) or int(norm_name[-1])
    clean = {"x": x, "dy": dy}

    def both(x, dy):
        y, cache = norm(x, *params)
        return [a.reshape(3, groups, -1) for a in (y, backward(dy, cache)[0])]

    changed = clean | {spoilt: clean[spoilt].copy()}
    changed[spoilt].reshape(3, groups, -1)[1, groups // 2, 1] = by
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        now = both(**changed)
    others = np.arange(3 * groups).reshape(3, groups) != groups + groups // 2
    for then, after in zip(both(**clean), now, strict=True):
        np.testing.assert_array_equal(after[others], then[others])
    assert not np.array_equal(now[1][1, groups // 2], both(**clean)[1][1, groups // 2])


def test_one_complex_argument_makes_a_relative_complex(norm_name):
    (norm, backward, _), x, params, dy, _ = relative(norm_name)
    arguments = [x, *params]
    for position in range(len(arguments)):
        mixed = [a + 0j if i == position else a for i, a in enumerate(arguments)]
        y, cache = norm(*mixed)
        assert y.dtype == np.complex128
        np.testing.assert_allclose(y, norm(*arguments)[0], **EXACT)
        assert backward(dy + 0j, cache)[0].dtype == np.complex128
    assert norm(x.astype(np.float32), *params)[0].dtype == np.float32


@pytest.mark.parametrize("view", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]])
def test_layout_does_not_matter_to_the_relatives(norm_name, view):
    (norm, backward, _), x, params, dy, _ = relative(norm_name)
    pairs = [(norm(v(x), *params), v(dy)) for v in (view, np.ascontiguousarray)]
    (y, cache), dy_view = pairs[0]
    (other, other_cache), dy_plain = pairs[1]
    np.testing.assert_allclose(y, other, **EXACT)
    gradients = zip(backward(dy_view, cache), backward(dy_plain, other_cache), strict=True)
    for a, b in gradients:
        np.testing.assert_allclose(a, b, **EXACT)


def test_relatives_leave_their_arguments_alone_and_share_no_memory(norm_name):
    (norm, backward, _), x, params, dy, _ = relative(norm_name)
    arrays = [x, *params, dy]
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    for y, cache in (norm(x, *params), norm(x)):
        saved = [np.copy(field) for field in cache]
        dx = backward(dy, cache)[0]
        for a, b in zip([*arrays, *cache], [*before, *saved], strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(y, cache.x_hat) and not np.shares_memory(y, x)
        assert not np.shares_memory(cache.x_hat, x) and not np.shares_memory(dx, dy)


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
        (lambda: group_norm(X, 2), ValueError, "num_groups must divide the 3 channels of x, got 2"),
        (lambda: group_norm(X, 0), ValueError, "group_norm: num_groups must be at least 1, got 0"),
        (lambda: group_norm(X, 1.0), TypeError, "num_groups must be a whole number, got 1.0"),
        (lambda: group_norm(X[0], 1), ValueError, "group_norm: x must have shape (N, C, *spatial)"),
        (lambda: group_norm(X[:0], 1), ValueError, "group_norm: x must not be empty"),
        (lambda: group_norm(X[:, :0], 1), ValueError, "x must not be empty, got shape (4, 0)"),
        (lambda: group_norm(X.astype(int), 1), TypeError, "group_norm: x must be an array of"),
        (lambda: group_norm(X, 1, X), ValueError, "group_norm: gamma must have shape (3,)"),
        (lambda: group_norm(X, 1, V, V[:2]), ValueError, "group_norm: beta must have shape (3,)"),
        (lambda: group_norm(X, 1, eps=-1), ValueError, "group_norm: eps must be a number above 0"),
        (
            lambda: group_norm_backward(V, group_norm(X, 1)[1]),
            ValueError,
            "group_norm_backward: dy must have shape (4, 3) to match y of shape (4, 3), got (3,)",
        ),
        (lambda: instance_norm(X[:, :0]), ValueError, "instance_norm: x must not be empty"),
        (lambda: instance_norm(X[0]), ValueError, "instance_norm: x must have shape (N, C"),
        (lambda: instance_norm(X, V[:2]), ValueError, "instance_norm: gamma must have shape (3,)"),
        (lambda: instance_norm(X, eps=0), ValueError, "instance_norm: eps must be a number above"),
        (
            lambda: instance_norm_backward([1], instance_norm(X)[1]),
            TypeError,
            "instance_norm_backward: dy must be an array",
        ),
        (lambda: rms_norm(X.astype(int)), TypeError, "rms_norm: x must be an array of float16"),
        (lambda: rms_norm(X, axis=2), ValueError, "rms_norm: axis must be an axis of x, got 2"),
        (lambda: rms_norm(X[:0]), ValueError, "rms_norm: x must not be empty"),
        (lambda: rms_norm(X, X), ValueError, "rms_norm: gamma must have shape (3,)"),
        (lambda: rms_norm(X, eps=0), ValueError, "rms_norm: eps must be a number above 0"),
        (
            lambda: rms_norm_backward(V, rms_norm(X)[1]),
            ValueError,
            "rms_norm_backward: dy must have shape (4, 3) to match y of shape (4, 3), got (3,)",
        ),
    ],
)
def test_bad_input(call, error, says):
    with pytest.raises(error) as caught:
        call()
    assert says in str(caught.value)
