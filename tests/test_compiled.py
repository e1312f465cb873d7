"""`bnlib.compiled` beside the reference: equal results, errors and state; exact statistics.

Without numba all but two tests are skipped, in CI they fail. NUMBA_DISABLE_JIT=1 runs the loops as
plain Python, for coverage. The oracle of `test_properties` judges here, too: in an
audit with BNLIB_INPUTS inputs of each kind, in every layout, and beside PyTorch.
"""

import builtins
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import test_properties as properties
from hypothesis import given
from hypothesis import strategies as st
from inputs import INPUTS, KINDS, long_shapes, nearly_equal, tried
from test_properties import torch  # noqa: F401 (a fixture)

from bnlib import compiled, datasets, layers, normalization, optim, training

SHAPES = [(1, 3), (2, 1), (7, 5), (67, 33), (130, 4), (3, 2, 1), (70, 3, 2, 2), (5, 4, 7, 9)]
ROUNDING = {"float16": 2e-3, "float32": 3e-6, "float64": 1e-12}


@pytest.fixture(autouse=True)
def numba(request):
    """All tests need numba but those that are about its absence; none minds an overflow."""
    if not request.node.name.startswith("test_without"):
        request.getfixturevalue("needs")("numba", "fast")
    with np.errstate(all="ignore"):
        yield


def case(shape, dtype="float64", seed=0):
    """A batch with its own scale in every channel, gamma, beta, and a random dy."""
    rng = np.random.default_rng(seed)
    channels = shape[1]
    along = (1, channels, *(1,) * (len(shape) - 2))
    x = rng.normal(size=shape) * 2.0 ** rng.integers(-2, 3, along) + rng.normal(size=along)
    gamma, beta = rng.normal(size=(2, channels))
    return [array.astype(dtype) for array in (x, gamma, beta, rng.normal(size=shape))]


def both(x, gamma, beta, dy):
    """The results of one forward and backward, (y, dx, dgamma, dbeta, mean, var), of each."""
    for module in (compiled, normalization):
        y, cache = module.batch_norm(x, gamma, beta)
        yield y, *module.batch_norm_backward(dy, cache), cache.mean, cache.var


def assert_close(got, expected, tolerance):
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    scale = np.abs(expected).max(initial=1)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_equal_the_reference(shape, dtype):
    for got, expected in zip(*both(*case(shape, dtype)), strict=True):
        assert_close(got, expected, ROUNDING[dtype])


@pytest.mark.parametrize("shape", [(9, 4), (3, 4, 5)])
def test_gamma_and_beta_may_be_left_out(shape):
    x, _, _, dy = case(shape)
    for got, expected in zip(*both(x, None, None, dy), strict=True):
        assert_close(got, expected, 1e-12)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", SHAPES)
def test_inference_equals_the_reference(shape, dtype):
    x, gamma, beta, _ = case(shape, dtype)
    mean, var = case((2, shape[1]), seed=1)[0]
    arguments = x, mean, var**2, gamma, beta
    got = compiled.batch_norm_inference(*arguments)
    assert_close(got, normalization.batch_norm_inference(*arguments), ROUNDING[dtype])


@pytest.mark.parametrize("given", [{}, {"eps": 0.5}])
@pytest.mark.parametrize("shape", [(9, 4), (3, 4, 5)])
def test_eps_is_the_reference_s_and_may_be_another(shape, given):
    x, gamma, beta, _ = case(shape)
    x *= 1e-3  # so that eps counts
    stored = x, np.full(4, 1e-3), np.full(4, 1e-6), gamma
    for name, arguments in {"batch_norm": (x, gamma, beta), "batch_norm_inference": stored}.items():
        got, expected = (
            getattr(each, name)(*arguments, **given) for each in (compiled, normalization)
        )
        if name == "batch_norm":
            assert_close(got[1].inv_std, expected[1].inv_std, 1e-12)
            got, expected = got[0], expected[0]
        assert_close(got, expected, 1e-12)


@pytest.mark.parametrize("shape", [(9, 4), (3, 4, 5)])
def test_x_hat_is_computed_in_the_dtype_of_x_also_far_from_zero(shape):
    x = case(shape)[0] + 1e4
    for dtype, tolerance in {"float32": 1e-6, "float64": 1e-12}.items():
        batch = x.astype(dtype)
        got = compiled.batch_norm(batch)[1].x_hat
        exact = normalization.batch_norm(batch.astype(float))[1].x_hat
        assert_close(got, exact.astype(dtype), tolerance)


def test_statistics_that_are_infinite_give_no_warning():
    x, infinite = case((9, 4))[0], np.full(4, np.inf)
    with np.errstate(all="raise"):
        nothing = compiled.batch_norm_inference(x, infinite, np.ones(4))
        silent = compiled.batch_norm_inference(x, np.zeros(4), infinite)
    assert np.isnan(nothing).all()
    np.testing.assert_array_equal(silent, 0)


@pytest.mark.parametrize("layout", ["channels last", "fortran", "strided"])
def test_any_layout_is_accepted(layout):
    x, gamma, beta, dy = case((6, 4, 3, 5))
    if layout == "channels last":
        x = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)
    elif layout == "fortran":
        x, dy = np.asfortranarray(x), np.asfortranarray(dy)
    else:
        x, gamma, dy = x[::2, :, ::-1], np.repeat(gamma, 2)[::2], dy[::2]
    for got, expected in zip(*both(x, gamma, beta, dy), strict=True):
        assert_close(got, expected, 1e-12)
    y, cache = compiled.batch_norm(x, gamma, beta)
    assert (layout == "channels last") == np.moveaxis(y, 1, -1).flags.c_contiguous
    assert_close(cache.x_hat, normalization.batch_norm(x)[1].x_hat, 1e-12)


def test_read_only_arrays_are_accepted():
    x, mean = np.ones((2, 3)), np.zeros(3)
    x.flags.writeable = mean.flags.writeable = False
    np.testing.assert_array_equal(compiled.batch_norm_inference(x, mean, mean, eps=1.0), x)


def test_gradients_of_another_dtype_than_x():
    x, gamma, beta, dy = case((8, 3), "float32")
    for got, expected in zip(*both(x, gamma, beta, dy.astype(float)), strict=True):
        assert_close(got, expected, 3e-6)


@pytest.mark.parametrize("shape", [(9, 4), (3, 4, 5)])
def test_gamma_and_beta_of_another_dtype_count_as_of_the_dtype_of_x(shape):
    x, gamma, beta, dy = (array.astype("float32") for array in case(shape))
    near = [array * (1 + 2.9e-8) for array in map(np.float64, (gamma, beta))]
    assert all(
        (array.astype("float32") == to).all() for array, to in zip(near, (gamma, beta), strict=True)
    )
    np.testing.assert_equal(next(both(x, *near, dy)), next(both(x, gamma, beta, dy)))


def test_what_float16_cannot_hold_is_infinite_without_a_warning():
    x, large = case((9, 4), "float16")[0], np.full(4, 6e4, np.float16)
    with np.errstate(over="raise"):
        y, cache = compiled.batch_norm(x, large)
        dx, *_ = compiled.batch_norm_backward(6e4 * np.sign(x), cache)
        z = compiled.batch_norm_inference(x, 0 * large, large / large, large)
    assert np.isinf(y).any() and np.isinf(dx).any() and np.isinf(z).any()


def test_arguments_are_left_alone():
    arrays = case((9, 4, 3))
    before = [array.copy() for array in arrays]
    list(both(*arrays))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


# --- accuracy -------------------------------------------------------------------------------------


def exact_statistics(column):
    """Mean and biased variance of a column, correctly rounded sums of float64."""
    values = [float(value) for value in column]
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((value - mean) ** 2 for value in values) / len(values)


def assert_exact(x, mean, var, tolerance):
    for column, got_mean, got_var in zip(np.moveaxis(x, 1, 0), mean, var, strict=True):
        exact_mean, exact_var = exact_statistics(column.ravel())
        assert abs(got_mean - exact_mean) <= tolerance * math.sqrt(exact_var)
        assert abs(got_var - exact_var) <= tolerance * exact_var


OFFSETS = [0.0, 1.0, 1e2, 1e4, 1e5]


@pytest.mark.parametrize("shape", [(65536, 2), (256, 2, 256)])
@pytest.mark.parametrize("offset", OFFSETS)
def test_float32_statistics_keep_their_digits_far_from_zero(shape, offset):
    x = np.random.default_rng(0).normal(offset, 1, shape).astype(np.float32)
    _, cache = compiled.batch_norm(x)
    # PyTorch's variance is wrong by a factor of ten at 1e4; the reference stays within 2e-6.
    assert_exact(x, cache.mean, cache.var, 2e-6)


@pytest.mark.parametrize("shape", [(300, 3), (100, 3, 40)])
def test_results_far_from_zero_are_those_of_float64(shape):
    x, gamma, beta, dy = case(shape, "float32")
    dy += np.sign(x)  # in step with x_hat, or the terms of dgamma would be too small to miss
    x += np.float32(1e4)
    expected = list(both(*(array.astype(float) for array in (x, gamma, beta, dy))))[1]
    for got, exact in zip(next(both(x, gamma, beta, dy)), expected, strict=True):
        np.testing.assert_allclose(got, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("first", [0, 1000])
@pytest.mark.parametrize("shape", [(300, 2), (60, 2, 5)])
def test_a_mean_between_two_numbers_of_float64_costs_no_digits(shape, first):
    """Whole numbers far from zero, exact in float64; their mean is not, it lies between two."""
    small = np.random.default_rng(0).integers(-9, 10, shape).astype(float)
    small.reshape(len(small), 2, -1)[0 if len(shape) > 2 else slice(16)] += first
    _, gamma, beta, dy = case(shape)
    expected = list(both(small, gamma, beta, dy))[1]
    far = small + 1e12
    for got, exact in zip([*next(both(far, gamma, beta, dy))][:4], expected, strict=False):
        assert_close(got, exact, 1e-10)
    x_hat = normalization.batch_norm(small)[1].x_hat
    assert_close(compiled.batch_norm(far)[1].x_hat, x_hat, 1e-10)


@pytest.mark.parametrize("shape", [(9, 2), (3, 2, 5)])
def test_a_stored_mean_between_two_numbers_of_float32_costs_no_digits(shape):
    x = (case(shape)[0] + 1e4).astype(np.float32)
    mean, var = np.array([1e4 + 3e-4, 1e4 - 2e-4]), np.full(2, 0.25)
    exact = normalization.batch_norm_inference(x.astype(float), mean, var)
    np.testing.assert_allclose(
        compiled.batch_norm_inference(x, mean, var), exact, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(20000, 2), (500, 2, 40)])
@pytest.mark.parametrize("first", [0.0, 1e4, 3e38])
def test_first_values_far_from_the_rest_cost_no_digits(shape, first):
    x = np.random.default_rng(0).normal(1e3, 1, shape).astype(np.float32)
    x.reshape(len(x), 2, -1)[0 if len(shape) > 2 else slice(16), :, :16] = first
    _, cache = compiled.batch_norm(x)
    assert_exact(x, cache.mean, cache.var, 2e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e37])
@pytest.mark.parametrize("shape", [(300, 3), (100, 3, 40)])
def test_squares_beyond_float32_cost_no_digits(shape, scale):
    x = (np.random.default_rng(0).normal(size=shape) * scale).astype(np.float32)
    _, cache = compiled.batch_norm(x, eps=1e-80)
    assert_exact(x, cache.mean, cache.var, 2e-6)


@pytest.mark.parametrize("x", [np.full((9, 2), 1e4), np.full((1, 2), 3.7), np.full((4, 2, 6), 0.1)])
def test_a_channel_without_spread_gives_beta_and_no_gradient(x):
    x = x.astype(np.float32)
    beta = np.array([5.0, -1.0], np.float32)
    y, cache = compiled.batch_norm(x, None, beta)
    dx, dgamma, dbeta = compiled.batch_norm_backward(np.ones_like(x), cache)
    np.testing.assert_array_equal(np.moveaxis(y, 1, -1) - beta, 0)
    np.testing.assert_array_equal(cache.var, 0)
    np.testing.assert_array_equal(dx, 0)


# --- the oracle ----------------------------------------------------------------------------------


class Compiled(properties.Case):
    """One call of batch norm in machine code."""

    def bnlib(self, **_):
        """y, the cache, the gradients."""
        y, cache = compiled.batch_norm(self.x, self.gamma, self.beta, eps=self.eps)
        return y, cache, compiled.batch_norm_backward(self.dy, cache)


def cases(**options):
    """As the oracle's; in CI not in the layouts for which numba compiles anew."""
    made = properties.cases(norms=["batch_norm"], **options).map(lambda case: Compiled(*case))
    return made if INPUTS else made.map(plainly_laid_out)


def plainly_laid_out(case):
    """x and dy writeable and aligned, their axes in the same order in memory."""
    return case._replace(x=np.array(case.x, order="K"), dy=np.array(case.dy, order="K"))


@pytest.mark.parametrize("kind", [*KINDS, None])
@given(data=st.data())
@tried(3)
def test_it_is_no_further_from_the_truth_than_the_problem_demands(kind, data):
    properties.check(data.draw(cases(kinds=[kind])))


@given(case=cases(shapes=long_shapes))
@tried(8)
def test_nor_is_it_where_columns_are_long(case):
    properties.check(case)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 60])
@pytest.mark.parametrize("shape", [(255, 8), (4097, 8), (6, 8, 30, 30)])
def test_nor_is_it_where_all_numbers_but_one_are_equal(shape, place, dtype):
    x, dy = nearly_equal(shape, dtype, place)
    properties.check(Compiled("batch_norm", properties.exact.BATCH, (), x, None, None, dy, 1e-5))


if INPUTS:  # in CI nothing here waits for PyTorch

    @pytest.mark.parametrize("kind", [*KINDS, None])
    @given(data=st.data())
    @tried(3)
    def test_nor_further_than_pytorch_s(torch, kind, data):
        properties.check_beside(torch, data.draw(cases(kinds=[kind])))


@given(history=properties.histories(compiled.BatchNorm))
@tried(20)
def test_its_running_averages_are_those_of_the_batches_or_nothing_happens(history):
    layer, xs = history
    properties.check_history(layer, xs if INPUTS else [np.array(x, order="K") for x in xs])


@pytest.mark.parametrize("largest", [1.0, 3e4, 1e10])
@pytest.mark.parametrize("examples", range(2, 12))
def test_an_outlier_in_front_costs_the_variance_few_bits(examples, largest):
    x = np.random.default_rng(examples).normal(size=(examples, 40, 2)).astype(np.float32)
    x[0] = largest * np.random.default_rng(1).uniform(1, 2, size=(40, 2))  # the first guess
    var = compiled.batch_norm(x)[1].var.ravel()
    exactly = x.astype(np.float64).var(axis=(0, 2))
    assert (np.abs(var - exactly) <= 4 * np.finfo(np.float32).eps * exactly).all()


# --- channels do not see each other ---------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 40])
@pytest.mark.parametrize("shape", [(50, 3), (50, 3, 4)])
def test_nan_and_infinity_stay_in_their_channel(shape, row, bad):
    arrays = case(shape, "float32")
    arrays[0][row, 1] = bad
    for got, expected in zip(*both(*arrays), strict=True):
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [1, 3, 8, 31])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_channel_is_the_same_to_the_bit_whatever_its_neighbours(dtype, width):
    x, gamma, beta, dy = case((70, 64), dtype)
    alone = slice(5, 5 + width)
    whole, part = [
        (y, *compiled.batch_norm_backward(dy[:, columns], cache), cache.var)
        for columns in (slice(None), alone)
        for y, cache in [compiled.batch_norm(x[:, columns], gamma[columns], beta[columns])]
    ]
    for of_all, of_few in zip(whole, part, strict=True):
        np.testing.assert_array_equal(of_all[..., alone], of_few)


# --- errors and what is left to the reference -----------------------------------------------------

ONE = np.ones((4, 3))
WRONG = {
    "integers": lambda module: module.batch_norm(np.ones((4, 3), int)),
    "complex64": lambda module: module.batch_norm(ONE.astype(np.complex64)),
    "one axis": lambda module: module.batch_norm(np.ones(3)),
    "empty": lambda module: module.batch_norm(np.ones((0, 3))),
    "gamma": lambda module: module.batch_norm(ONE, np.ones(2)),
    "beta": lambda module: module.batch_norm(ONE, None, np.ones((3, 1))),
    "eps": lambda module: module.batch_norm(ONE, eps=0),
    "dy": lambda module: module.batch_norm_backward(ONE[:2], module.batch_norm(ONE)[1]),
    "dy's dtype": lambda module: module.batch_norm_backward([[1]], module.batch_norm(ONE)[1]),
    "var": lambda module: module.batch_norm_inference(ONE, ONE[0], -ONE[0]),
    "mean": lambda module: module.batch_norm_inference(ONE, ONE[0, :2], ONE[0]),
    "stored eps": lambda module: module.batch_norm_inference(ONE, ONE[0], ONE[0], eps=np.nan),
    "x for stored statistics": lambda module: module.batch_norm_inference(ONE[0], ONE[0], ONE[0]),
    "gamma for stored statistics": lambda module: module.batch_norm_inference(
        ONE, ONE[0], ONE[0], ONE[0, :2]
    ),
    "beta for stored statistics": lambda module: module.batch_norm_inference(
        ONE, ONE[0], ONE[0], None, ONE[0, :2]
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_errors_are_those_of_the_reference(wrong):
    messages = []
    for module in (normalization, compiled):
        with pytest.raises((TypeError, ValueError)) as error:
            WRONG[wrong](module)
        messages.append((error.type, str(error.value)))
    assert messages[0] == messages[1]


def test_complex_steps_go_through_the_reference():
    x, gamma, beta, dy = case((6, 3))
    step = x.astype(complex)
    step[2, 1] += 1e-30j
    y, cache = compiled.batch_norm(step, gamma, beta)
    slope = (dy * y.imag).sum() / 1e-30
    dx, _, _ = compiled.batch_norm_backward(dy, compiled.batch_norm(x, gamma, beta)[1])
    assert dx[2, 1] == pytest.approx(slope, rel=1e-10)
    assert np.iscomplexobj(compiled.batch_norm_backward(dy, cache)[0])
    complex_dy = dy * (1 + 0.5j)
    expected = normalization.batch_norm_backward(complex_dy, normalization.batch_norm(x)[1])
    got = compiled.batch_norm_backward(complex_dy, compiled.batch_norm(x)[1])
    np.testing.assert_allclose(got[0], expected[0], rtol=0, atol=1e-12)
    stored = compiled.batch_norm_inference(step, gamma, beta**2)
    assert stored.dtype == np.complex128


STEP = np.array([1.0, 2.0, 3.0]) + 1e-20j


@pytest.mark.parametrize("place", ["x", "gamma", "beta"])
def test_one_complex_argument_is_enough_for_the_reference(place):
    x, gamma, beta, _ = case((6, 3))
    arguments = {"x": x, "gamma": gamma, "beta": beta}
    arguments[place] = arguments[place] * STEP
    expected, of_reference = normalization.batch_norm(**arguments, eps=0.5)
    got, cache = compiled.batch_norm(**arguments, eps=0.5)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(cache.x_hat, of_reference.x_hat)


@pytest.mark.parametrize("place", ["x", "mean", "var", "gamma", "beta"])
def test_one_complex_argument_of_stored_statistics_too(place):
    x, gamma, beta, _ = case((6, 3))
    arguments = {"x": x, "mean": gamma, "var": beta**2, "gamma": gamma, "beta": beta}
    arguments[place] = arguments[place] * STEP
    got = compiled.batch_norm_inference(**arguments, eps=0.5)
    np.testing.assert_array_equal(got, normalization.batch_norm_inference(**arguments, eps=0.5))


def test_complex_gradients_meet_the_scale_and_the_statistics():
    x, gamma, beta, dy = case((6, 3))
    expected, got = (
        module.batch_norm_backward(dy * (1 + 0.5j), module.batch_norm(x, gamma, beta)[1])
        for module in (normalization, compiled)
    )
    for theirs, ours in zip(expected, got, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_cache_of_the_reference_is_left_to_the_reference():
    x, gamma, beta, dy = case((6, 3))
    cache = normalization.batch_norm(x, gamma, beta)[1]
    expected = normalization.batch_norm_backward(dy, cache)
    for theirs, ours in zip(expected, compiled.batch_norm_backward(dy, cache), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- the layer ------------------------------------------------------------------------------------


def trained(norm):
    """A small float32 network after four steps, and what it says in evaluation."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(40, 6)).astype(np.float32), rng.integers(0, 3, 40)
    network = layers.mlp([6, 8, 8, 3], rng=rng, norm=norm, dtype=np.float32)
    data = datasets.Dataset(x, labels, x[:0], labels[:0])
    optimizer = optim.SGD(network, lr=0.1)
    history = training.fit(network, optimizer, data, epochs=2, batch_size=20, rng=rng)
    logits = network.forward(x, training=False)
    return history.loss, network.state_dict(), logits, network.backward(np.ones_like(logits))


def test_a_network_trains_and_evaluates_as_with_the_reference():
    loss, state, *outputs = trained(compiled.BatchNorm)
    expected_loss, expected_state, *expected_outputs = trained(layers.BatchNorm)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    assert state.keys() == expected_state.keys()
    for name, value in state.items():
        assert_close(value, expected_state[name], 1e-5)
    for got, expected in zip(outputs, expected_outputs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


def test_the_layer_needs_its_channels_and_finite_statistics():
    layer = compiled.BatchNorm(3, affine=False)
    with pytest.raises(ValueError, match=r"BatchNorm: x must have 3 channels"):
        layer.forward(np.ones((4, 2)), training=True)
    before = layer.state_dict()
    with pytest.raises(FloatingPointError, match="channel 1"):
        layer.forward(np.array([[1.0, np.inf, 2.0], [2.0, 1.0, 1.0]]), training=True)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


# --- numba is chosen, never needed ----------------------------------------------------------------


def test_without_numba_the_choice_says_what_to_install(monkeypatch):
    compiled._kernel.cache_clear()
    find = builtins.__import__

    def none_of_numba(name, *rest, **named):
        if name == "numba":
            raise ModuleNotFoundError("No module named 'numba'")
        return find(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", none_of_numba)
    for choose in (lambda: compiled.BatchNorm(3), lambda: compiled.batch_norm(ONE)):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'bnlib\[fast\]'"):
            choose()


def test_without_being_asked_nothing_looks_for_numba():
    statement = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np, bnlib.compiled, bnlib.layers\n"
        "bnlib.layers.BatchNorm(2).forward(np.eye(2), training=True)"
    )
    subprocess.run([sys.executable, "-c", statement], check=True, timeout=60)


def test_a_folder_that_cannot_be_written_costs_time_only(monkeypatch):
    """No place for the cache of machine code: numba's decorator raises, ours goes on without."""
    import numba

    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("numba compiles nothing")
    compile_ = numba.njit

    def without_a_folder(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'rows_affine': no locator available")
        return compile_(*arguments, **options)

    compiled._kernel.cache_clear()
    monkeypatch.setattr(numba, "njit", without_a_folder)
    mean, var = np.zeros(3), np.ones(3)
    y = compiled.batch_norm_inference(ONE, mean, var)
    compiled._kernel.cache_clear()
    assert_close(y, normalization.batch_norm_inference(ONE, mean, var), 1e-12)
