"""The supporting cast, by complex step and by hand."""

import numpy as np
import pytest
from oracles import complex_step_gradient

from bnlib import functional as F

rng = np.random.default_rng(0)
X, W, B, DY = (rng.normal(size=s) for s in [(5, 3), (4, 3), (4,), (5, 4)])
LABELS = np.array([0, 2, 1, 1, 0])


def test_linear_by_hand():
    y, _ = F.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]]), np.array([7.0]))
    assert y == [[20.0]]


def test_linear_backward_is_the_complex_step_derivative():
    dx, dweight, dbias = F.linear_backward(DY, F.linear(X, W, B)[1])
    for value, gradient, loss in [
        (X, dx, lambda v: (DY * F.linear(v, W, B)[0]).sum()),
        (W, dweight, lambda v: (DY * F.linear(X, v, B)[0]).sum()),
        (B, dbias, lambda v: (DY * F.linear(X, W, v)[0]).sum()),
    ]:
        np.testing.assert_allclose(gradient, complex_step_gradient(loss, value), rtol=1e-12)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_activation_backward_is_the_complex_step_derivative(name):
    forward, backward = getattr(F, name), getattr(F, name + "_backward")
    x, dy = 3 * X, X[::-1]
    y, cache = forward(x)
    exact = complex_step_gradient(lambda v: (dy * forward(v)[0]).sum(), x)
    np.testing.assert_allclose(backward(dy, cache), exact, rtol=1e-10, atol=1e-14)
    assert y.dtype == np.float64 and forward(x.astype(np.float16))[0].dtype == np.float16


def test_activations_by_hand():
    x = np.array([-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(F.relu(x)[0], [0, 0, 2])
    np.testing.assert_array_equal(F.relu_backward(np.ones(3), F.relu(x)[1]), [0, 0, 1])
    np.testing.assert_allclose(F.sigmoid(x)[0], 1 / (1 + np.exp(-x)), rtol=1e-14)
    np.testing.assert_allclose(F.tanh(x)[0], np.tanh(x))


def test_activations_at_the_ends_and_nan():
    x = np.array([-1e4, 1e4, np.nan])
    np.testing.assert_array_equal(F.sigmoid(x)[0], [0, 1, np.nan])
    np.testing.assert_array_equal(F.relu(x)[0], [0, 1e4, np.nan])
    np.testing.assert_allclose(F.sigmoid(np.array([-40.0]))[0], np.exp(-40.0), rtol=1e-14)


def test_softmax_cross_entropy_by_hand():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    loss, _ = F.softmax_cross_entropy(logits, np.array([0, 2]))
    assert loss == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)


def test_softmax_cross_entropy_does_not_mind_large_logits():
    loss, cache = F.softmax_cross_entropy(X + 1e4, LABELS)
    expected, expected_cache = F.softmax_cross_entropy(X, LABELS)
    assert loss == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(
        F.softmax_cross_entropy_backward(cache),
        F.softmax_cross_entropy_backward(expected_cache),
        atol=1e-10,
    )


def test_softmax_cross_entropy_backward_is_the_complex_step_derivative():
    _, cache = F.softmax_cross_entropy(X, LABELS)
    exact = complex_step_gradient(lambda v: F.softmax_cross_entropy(v, LABELS)[0], X)
    np.testing.assert_allclose(F.softmax_cross_entropy_backward(cache), exact, atol=1e-14)


def test_dropout_silences_a_share_and_keeps_the_mean():
    ones = np.ones(100_000)
    y, _ = F.dropout(ones, 0.3, np.random.default_rng(0))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-15)
    # Four standard deviations of a share of 0.3 among 100,000.
    assert np.mean(y == 0) == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 1e5))


def test_dropout_backward_goes_through_the_same_mask():
    y, mask = F.dropout(X, 0.5, np.random.default_rng(0))
    assert 0 < (y == 0).sum() < y.size
    exact = complex_step_gradient(
        lambda v: (X[::-1] * F.dropout(v, 0.5, np.random.default_rng(0))[0]).sum(), X
    )
    np.testing.assert_allclose(F.dropout_backward(X[::-1], mask), exact, rtol=1e-15)


def test_dropout_at_its_ends_and_in_other_dtypes():
    np.testing.assert_array_equal(F.dropout(X, 0.0, np.random.default_rng(0))[0], X)
    np.testing.assert_array_equal(F.dropout(X, 1.0, np.random.default_rng(0))[0], 0 * X)
    wide, _ = F.dropout(X, 0.5, np.random.default_rng(0))
    for dtype in (np.float16, np.float32):
        y, mask = F.dropout(X.astype(dtype), 0.5, np.random.default_rng(0))
        assert y.dtype == mask.dtype == F.dropout_backward(y, mask).dtype == dtype
        np.testing.assert_array_equal(y == 0, wide == 0)


def test_arguments_are_left_alone():
    arrays = [X, W, B, DY, LABELS]
    before = [a.copy() for a in arrays]
    F.linear_backward(DY, F.linear(X, W, B)[1])
    for name in ("relu", "sigmoid", "tanh"):
        getattr(F, name + "_backward")(X, getattr(F, name)(X)[1])
    F.dropout_backward(X, F.dropout(X, 0.5, np.random.default_rng(0))[1])
    F.softmax_cross_entropy_backward(F.softmax_cross_entropy(X, LABELS)[1])
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: F.linear(X, W.T), ValueError, "linear: x must have shape (N, D) and weight"),
        (lambda: F.linear(X[0], W), ValueError, "got (3,) and (4, 3)"),
        (lambda: F.linear(X, W[0]), ValueError, "got (5, 3) and (3,)"),
        (lambda: F.linear(X, W, X[0]), ValueError, "linear: bias must have shape (4,)"),
        (lambda: F.linear(X.astype(int), W), TypeError, "linear: x must be an array of"),
        (lambda: F.linear(X, W.astype(object)), TypeError, "linear: weight must be an array of"),
        (lambda: F.linear_backward(X, F.linear(X, W)[1]), ValueError, "linear_backward: dy must"),
        (lambda: F.relu([1, 2]), TypeError, "relu: x must be"),
        (lambda: F.sigmoid(np.ones(2, bool)), TypeError, "sigmoid: x must be"),
        (lambda: F.tanh(np.ones(2, np.complex64)), TypeError, "tanh: x must be"),
        (lambda: F.relu_backward(DY, X), ValueError, "relu_backward: dy must have shape (5, 3)"),
        (lambda: F.sigmoid_backward(DY, X), ValueError, "sigmoid_backward: dy must have shape"),
        (lambda: F.tanh_backward(DY, X), ValueError, "tanh_backward: dy must have shape"),
        (lambda: F.dropout([1, 2], 0.5, rng), TypeError, "dropout: x must be an array of"),
        (lambda: F.dropout(X, 1.5, rng), ValueError, "dropout: rate must lie in [0, 1], got 1.5"),
        (lambda: F.dropout(X, "half", rng), TypeError, "dropout: rate must be a number"),
        (lambda: F.dropout_backward(DY, X), ValueError, "dropout_backward: dy must have shape"),
        (lambda: F.softmax_cross_entropy(X[0], LABELS), ValueError, "logits must have shape (N,"),
        (lambda: F.softmax_cross_entropy(X[:0], LABELS[:0]), ValueError, "got (0, 3)"),
        (lambda: F.softmax_cross_entropy(X, LABELS[:2]), ValueError, "labels must have shape (5,)"),
        (lambda: F.softmax_cross_entropy(X, LABELS / 1), TypeError, "integers, got float64"),
        (lambda: F.softmax_cross_entropy(X, LABELS + 1), ValueError, "in 0..2, got 1..3"),
        (lambda: F.softmax_cross_entropy(X, LABELS - 1), ValueError, "in 0..2, got -1..1"),
    ],
)
def test_bad_input(call, error, says):
    with pytest.raises(error) as caught:
        call()
    assert says in str(caught.value)
