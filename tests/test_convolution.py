"""Convolution and pooling against loops, complex steps and adjoints."""

import numpy as np
import pytest
from oracles import complex_step_gradient

from bnlib import convolution, functional
from bnlib.convolution import conv2d, conv2d_backward, max_pool2d, max_pool2d_backward

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64 against float64
# (H, W), filter, stride, padding: windows that overlap, touch, leave gaps, leave a rest over
GEOMETRIES = [
    ((4, 5), (3, 3), 1, 1),
    ((5, 4), (2, 3), 2, 0),
    ((7, 6), (1, 2), 3, 2),
    ((3, 3), (3, 3), 1, 0),
    ((2, 2), (3, 4), 2, 1),
]


def example(geometry, channels=2, filters=3, seed=0):
    """x, weight, bias and dy of a convolution."""
    (height, width), size, stride, padding = geometry
    rng = np.random.default_rng(seed)
    places = [
        (length + 2 * padding - wide) // stride + 1
        for length, wide in zip((height, width), size, strict=True)
    ]
    shapes = [(2, channels, height, width), (filters, channels, *size), filters]
    return [rng.normal(size=shape) for shape in [*shapes, (2, filters, *places)]]


def padded(x, padding):
    out = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding, x.shape[3] + 2 * padding))
    out[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]] = x
    return out


# Convolution


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_conv2d_is_filter_times_window_at_every_place(geometry):
    x, weight, bias, dy = example(geometry)
    _, (height, width), stride, padding = geometry
    y, _ = conv2d(x, weight, bias, stride=stride, padding=padding)
    assert y.shape == dy.shape
    frame = padded(x, padding)
    for n, out, i, j in np.ndindex(y.shape):
        top, left = i * stride, j * stride
        window = frame[n, :, top : top + height, left : left + width]
        assert y[n, out, i, j] == pytest.approx((window * weight[out]).sum() + bias[out], rel=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_conv2d_backward_is_the_complex_step_derivative(geometry):
    x, weight, bias, dy = example(geometry, seed=1)
    options = {"stride": geometry[2], "padding": geometry[3]}
    gradients = conv2d_backward(dy, conv2d(x, weight, bias, **options)[1])

    def loss(name):
        def of(value):
            arguments = {"x": x, "weight": weight, "bias": bias, name: value}
            return (dy * conv2d(**arguments, **options)[0]).sum()

        return of

    values = {"x": x, "weight": weight, "bias": bias}
    for (name, value), gradient in zip(values.items(), gradients, strict=True):
        assert gradient.shape == value.shape
        np.testing.assert_allclose(gradient, complex_step_gradient(loss(name), value), **EXACT)


def test_conv2d_of_filters_as_large_as_the_picture_is_linear():
    x, weight, bias, _ = example(((3, 4), (3, 4), 1, 0))
    y, _ = conv2d(x, weight, bias)
    expected, _ = functional.linear(x.reshape(2, -1), weight.reshape(3, -1), bias)
    np.testing.assert_allclose(y[:, :, 0, 0], expected, **EXACT)


def test_an_example_does_not_see_its_neighbours_to_the_bit():
    x, weight, bias, _ = example(GEOMETRIES[0])
    y, _ = conv2d(x, weight, bias, padding=1)
    np.testing.assert_array_equal(conv2d(x[1:], weight, bias, padding=1)[0], y[1:])


def test_no_examples_are_no_work():
    x, weight, bias, dy = example(GEOMETRIES[0])
    y, cache = conv2d(x[:0], weight, bias, padding=1)
    dx, dweight, dbias = conv2d_backward(dy[:0], cache)
    pooled, pool_cache = max_pool2d(y, 2)
    assert y.shape == (0, *dy.shape[1:]) and dx.shape == (0, *x.shape[1:])
    assert not dweight.any() and not dbias.any()
    assert max_pool2d_backward(pooled, pool_cache).shape == y.shape


def test_without_bias():
    x, weight, _, _ = example(GEOMETRIES[0])
    np.testing.assert_array_equal(conv2d(x, weight)[0], conv2d(x, weight, np.zeros(3))[0])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_adding_up_windows_is_the_adjoint_of_looking_through_them(geometry):
    (x, _, _, _), (_, size, stride, padding) = example(geometry), geometry
    x = padded(x, padding)
    windows = convolution._windows(x, size, stride)
    upstream = np.random.default_rng(2).normal(size=windows.shape)
    back = convolution._add_windows(upstream, x.shape, stride)
    assert (windows * upstream).sum() == pytest.approx((x * back).sum(), rel=1e-12)


# Max pooling


POOLS = [((4, 6), 2, None), ((5, 5), 2, None), ((5, 6), 3, 1), ((7, 5), 2, 3), ((3, 3), 3, 2)]


@pytest.mark.parametrize(("picture", "size", "stride"), POOLS)
def test_max_pool2d_is_the_largest_of_every_window(picture, size, stride):
    x = np.random.default_rng(0).normal(size=(2, 3, *picture))
    y, _ = max_pool2d(x, size, stride=stride)
    step = stride or size
    assert y.shape == (2, 3, *((length - size) // step + 1 for length in picture))
    for n, c, i, j in np.ndindex(y.shape):
        window = x[n, c, i * step : i * step + size, j * step : j * step + size]
        assert y[n, c, i, j] == window.max()


@pytest.mark.parametrize(("picture", "size", "stride"), POOLS)
def test_max_pool2d_backward_is_the_complex_step_derivative(picture, size, stride):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 2, *picture))
    y, cache = max_pool2d(x, size, stride=stride)
    dy = rng.normal(size=y.shape)
    exact = complex_step_gradient(lambda v: (dy * max_pool2d(v, size, stride=stride)[0]).sum(), x)
    np.testing.assert_allclose(max_pool2d_backward(dy, cache), exact, **EXACT)


def test_of_equal_numbers_the_first_takes_the_whole_gradient():
    y, cache = max_pool2d(np.ones((1, 1, 3, 3)), 2, stride=1)
    dx = max_pool2d_backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), cache)
    np.testing.assert_array_equal(dx[0, 0], [[1, 2, 0], [3, 4, 0], [0, 0, 0]])


def test_nan_and_infinity_stay_in_their_window():
    x = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    x[0, 0, 0, 1], x[0, 0, 3, 3] = np.nan, np.inf
    y, cache = max_pool2d(x, 2)
    assert np.isnan(y[0, 0, 0, 0]) and y[0, 0, 1, 1] == np.inf and np.isfinite(y[0, 0, 0, 1])
    dx = max_pool2d_backward(np.array([[[[1.0, np.inf], [np.nan, 1.0]]]]), cache)
    assert np.isfinite(dx).sum() == 14 and dx[0, 0, 3, 3] == 1
    assert (dx == 0).sum() == 12


# Types, arguments, bad input


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_in_dtype_out(dtype):
    x, weight, bias, dy = (a.astype(dtype) for a in example(GEOMETRIES[0]))
    y, cache = conv2d(x, weight, bias, padding=1)
    pooled, pool_cache = max_pool2d(y, 2)
    arrays = [y, *conv2d_backward(dy, cache), pooled, max_pool2d_backward(pooled, pool_cache)]
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}


def test_arguments_are_left_alone():
    arrays = example(GEOMETRIES[0])
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    x, weight, bias, dy = arrays
    conv2d_backward(dy, conv2d(x, weight, bias, padding=1)[1])
    y, cache = max_pool2d(x, 2, stride=1)
    max_pool2d_backward(y, cache)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_functional_has_them_too():
    for name in ("conv2d", "conv2d_backward", "max_pool2d", "max_pool2d_backward"):
        assert getattr(functional, name) is getattr(convolution, name)


X, W = np.ones((2, 3, 4, 5)), np.ones((6, 3, 2, 2))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: conv2d(X[0], W), ValueError, "conv2d: x must have shape (N, C, H, W) and weight"),
        (lambda: conv2d(X, W[:, :2]), ValueError, "got (2, 3, 4, 5) and (6, 2, 2, 2)"),
        (lambda: conv2d(X, W[0]), ValueError, "got (2, 3, 4, 5) and (3, 2, 2)"),
        (lambda: conv2d(X.astype(int), W), TypeError, "conv2d: x must be an array of float16"),
        (lambda: conv2d(X, W.astype(int)), TypeError, "conv2d: weight must be an array of float16"),
        (lambda: conv2d(X, W, np.ones(3)), ValueError, "conv2d: bias must have shape (6,)"),
        (lambda: conv2d(X, W, [1]), TypeError, "conv2d: bias must be an array of float16"),
        (lambda: conv2d(X, W, stride=0), ValueError, "conv2d: stride must be at least 1, got 0"),
        (lambda: conv2d(X, W, stride=(1, 1)), TypeError, "stride must be a whole number"),
        (lambda: conv2d(X, W, padding=-1), ValueError, "padding must be at least 0, got -1"),
        (lambda: conv2d(X, W, padding=0.5), TypeError, "padding must be a whole number, got 0.5"),
        (lambda: conv2d(X, W, padding=False), TypeError, "padding must be a whole number"),
        (
            lambda: conv2d(X, np.ones((1, 3, 7, 2)), padding=1),
            ValueError,
            "conv2d: a window of (7, 2) must fit into the picture, got (6, 7) with its padding",
        ),
        (lambda: conv2d(X, np.ones((1, 3, 2, 6))), ValueError, "a window of (2, 6) must fit"),
        (
            lambda: conv2d_backward(X, conv2d(X, W)[1]),
            ValueError,
            "conv2d_backward: dy must have shape (2, 6, 3, 4)",
        ),
        (lambda: conv2d_backward(None, conv2d(X, W)[1]), TypeError, "conv2d_backward: dy must be"),
        (lambda: max_pool2d(X[0], 2), ValueError, "max_pool2d: x must have shape (N, C, H, W)"),
        (lambda: max_pool2d(X.astype(int), 2), TypeError, "max_pool2d: x must be an array of"),
        (lambda: max_pool2d(X, 0), ValueError, "max_pool2d: size must be at least 1"),
        (lambda: max_pool2d(X, 2, stride=0), ValueError, "max_pool2d: stride must be at least 1"),
        (lambda: max_pool2d(X, 5), ValueError, "max_pool2d: a window of (5, 5) must fit"),
        (
            lambda: max_pool2d_backward(X, max_pool2d(X, 2)[1]),
            ValueError,
            "max_pool2d_backward: dy must have shape (2, 3, 2, 2)",
        ),
    ],
)
def test_bad_input(call, error, says):
    with pytest.raises(error) as caught:
        call()
    assert says in str(caught.value)
