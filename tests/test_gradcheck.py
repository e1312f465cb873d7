"""Right gradients pass the checker, wrong ones do not, and void questions are refused."""

import re

import numpy as np
import pytest

from bnlib.functional import linear, linear_backward, relu, relu_backward
from bnlib.gradcheck import (
    CannotFail,
    Compared,
    WrongGradient,
    check_backward,
    check_gradient,
    complex_step_gradient,
    numerical_gradient,
)
from bnlib.normalization import batch_norm, batch_norm_backward

METHODS = ["complex step", "finite differences"]
both_methods = pytest.mark.parametrize("method", METHODS)
SEEDS = range(5)


def rng(seed=0):
    """The generator of a check; see `example` for the other one."""
    return np.random.default_rng([seed, 1])


def smooth(x):
    """A function whose gradient at x is cos(x) + x[::-1], entry by entry."""
    return np.sin(x).sum() + (x * x[::-1]).sum() / 2


def smooth_gradient(x):
    return np.cos(x) + x[::-1]


def example(n=6, channels=3, seed=0, dtype=np.float64):
    """A batch with gamma and beta.

    Its generator is another than that of the check: an upstream gradient with the numbers of x
    would lie in the span of 1 and x_hat, where batch norm's gradient is 0 whatever the code does.
    """
    random = np.random.default_rng([seed, 0])
    x = 2 * random.normal(size=(n, channels)) + 1
    gamma, beta = random.normal(size=(2, channels))
    return {"x": x.astype(dtype), "gamma": gamma.astype(dtype), "beta": beta.astype(dtype)}


def only_x(gamma, beta, eps=1e-5):
    """Batch norm and its backward pass as functions of x alone."""

    def backward(dy, cache):
        return batch_norm_backward(dy, cache)[0]

    return lambda x: batch_norm(x, gamma, beta, eps=eps), backward


def only_gamma(x):
    def backward(dy, cache):
        return batch_norm_backward(dy, cache)[1]

    return lambda gamma: batch_norm(x, gamma), backward


# --- the two gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.7, [0.3, -1.2, 2.0], [[1.0, -2.0], [0.5, 3.0]]])
def test_both_gradients_of_a_cubic(x):
    x = np.array(x)
    expected = 3 * x**2 + 1

    def f(x):
        return (x**3 + x).sum()

    for gradient, accuracy in ((numerical_gradient, 1e-8), (complex_step_gradient, 1e-15)):
        found = gradient(f, x)
        assert found.shape == x.shape and found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=accuracy)


def test_central_differences_have_the_error_of_their_step():
    # (1 + h)^3 - (1 - h)^3 = 6h + 2h^3: too much by h^2.
    found = numerical_gradient(lambda x: (x**3).sum(), np.array([1.0]), step=0.5)
    assert found == pytest.approx(3 + 0.25, rel=1e-14)


def test_complex_steps_have_the_error_of_their_step():
    # Im (1 + ih)^3 = 3h - h^3: too little by h^2.
    found = complex_step_gradient(lambda x: (x**3).sum(), np.array([1.0]), step=0.5)
    assert found == pytest.approx(3 - 0.25, rel=1e-14)


@pytest.mark.parametrize(
    ("x", "dtype", "expected"),
    [
        ([3.0, 4.0], np.float64, 2.0 ** (-52 / 3)),
        ([-3.0, -4.0], np.float64, 2.0 ** (-52 / 3)),
        ([0.0, 0.0], np.float32, 2.0 ** (-23 / 3)),
    ],
)
def test_the_default_step(x, dtype, expected):
    seen = []
    x = np.array(x, dtype)

    def f(moved):
        seen.append(float(np.abs(moved - x).max()))
        return moved.sum()

    numerical_gradient(f, x)
    size = np.sqrt(12.5) if x.any() else 1.0  # the root mean square of 3 and 4
    np.testing.assert_allclose(seen, expected * size, rtol=1e-4)
    assert len(seen) == 4


def test_the_default_step_does_not_overflow():
    x = np.array([1e200, 1e200])
    np.testing.assert_allclose(numerical_gradient(lambda x: (x / 2).sum(), x), 0.5, rtol=1e-9)


def test_the_function_is_called_in_the_dtype_of_x():
    dtypes = set()

    def f(x):
        dtypes.add(x.dtype)
        return x.sum()

    numerical_gradient(f, np.ones(2, np.float32))
    assert dtypes == {np.dtype(np.float32)}
    complex_step_gradient(f, np.ones(2, np.float32))
    assert dtypes == {np.dtype(np.float32), np.dtype(np.complex128)}


def test_a_rounded_step_is_measured_and_not_assumed():
    # In float32, 1000 + 1e-4 is 1000.0001 rounded to a multiple of 6e-5.
    x = np.array([1000.0], np.float32)
    assert numerical_gradient(lambda x: x[0], x, step=1e-4) == 1.0


@pytest.mark.parametrize("gradient", [numerical_gradient, complex_step_gradient])
def test_gradients_leave_x_alone_even_if_f_does_not(gradient):
    x = np.array([1.0, 2.0])

    def f(x):
        x *= 2
        return x.sum()

    np.testing.assert_allclose(gradient(f, x), 2, rtol=1e-9)
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("gradient", [numerical_gradient, complex_step_gradient])
@pytest.mark.parametrize(
    ("f", "x", "options", "error", "message"),
    [
        (np.sum, np.array([1, 2]), {}, TypeError, "x must be an array of float16"),
        (np.sum, np.array([1j]), {}, TypeError, "x must be real, got complex128"),
        (np.sum, np.array([np.inf]), {}, ValueError, "x must be finite, got NaN or infinity"),
        (np.sum, np.ones(2), {"step": 0.0}, ValueError, "step must be a number above 0"),
        (np.exp, np.ones(2), {}, ValueError, "f must return one .*number, got"),
        (
            lambda x: x.sum() * np.nan,
            np.ones(2),
            {},
            ValueError,
            "f must be finite here, got .*nan",
        ),
    ],
)
def test_gradients_refuse(gradient, f, x, options, error, message):
    with pytest.raises(error, match=f"^{gradient.__name__}: {message}"):
        gradient(f, x, **options)


def test_dropped_imaginary_parts_are_refused():
    with pytest.raises(TypeError, match="f must return a complex number for a complex input, got "):
        complex_step_gradient(lambda x: np.abs(x).sum(), np.ones(2))


def test_differences_refuse_a_complex_value():
    with pytest.raises(ValueError, match="f must return one real number, got complex128 of shape"):
        numerical_gradient(lambda x: x.sum() + 0j, np.ones(2))


# --- right gradients pass ------------------------------------------------------------------------


@both_methods
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_right_gradient_passes(method, dtype, seed):
    x = rng(seed).normal(size=7).astype(dtype)
    gradients = {"x": smooth_gradient(x)}
    seen = check_gradient(smooth, {"x": x}, gradients, rng=rng(seed), method=method)
    assert seen["x"].relative_error < (1e-3 if dtype == np.float32 else 1e-8)


@both_methods
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", SEEDS)
def test_batch_norm_passes(method, dtype, seed):
    inputs = example(seed=seed, dtype=dtype)
    seen = check_backward(batch_norm, batch_norm_backward, inputs, rng=rng(seed), method=method)
    assert list(seen) == ["x", "gamma", "beta"]
    assert {compared.method for compared in seen.values()} == {method}


@both_methods
def test_linear_and_relu_pass(method):
    random = rng(1)
    inputs = {"x": random.normal(size=(4, 3)), "weight": random.normal(size=(2, 3))}
    inputs["bias"] = random.normal(size=2)
    check_backward(linear, linear_backward, inputs, rng=random, method=method)
    check_backward(relu, relu_backward, {"x": inputs["x"]}, rng=random, method=method)


@both_methods
@pytest.mark.parametrize("x", [3.0, -1e-3, 1e4])
def test_scalars_pass_and_fail(method, x):
    def check(slope):
        return check_gradient(lambda x: x**2, {"x": x}, {"x": slope}, rng=rng(), method=method)

    assert check(2 * x)["x"].relative_error < 1e-5
    with pytest.raises(WrongGradient):
        check(2.001 * x)


def test_what_is_reported():
    x = np.array([1.0, -2.0, 0.5])
    report = check_gradient(
        lambda x: (x**2).sum(), {"x": x}, {"x": 2.001 * x}, rng=rng(3), directions=4, rtol=0.01
    )
    seen = report["x"]
    directions, slopes, random = [], [], rng(3)
    for _ in range(4):
        directions.append(random.normal(size=3))
        random.choice([-1, 1], size=3)  # the nudge of x
        slopes.append(directions[-1] @ (2 * x))
    worst = np.argmax(np.abs(slopes))
    assert isinstance(seen, Compared) and seen.method == "complex step"
    assert seen.reference == pytest.approx(slopes[worst], rel=1e-12)
    assert seen.claimed == pytest.approx(1.0005 * slopes[worst], rel=1e-12)
    assert seen.size == pytest.approx(np.abs(slopes).max(), rel=1e-12)
    assert seen.tolerance == pytest.approx(0.01 * seen.size + seen.own_error, rel=1e-12)
    assert 0 < seen.own_error < 1e-13
    assert seen.relative_error == pytest.approx(0.0005, rel=1e-9)
    assert all(type(number) is float for number in seen[1:])


@both_methods
def test_every_direction_is_new(method):
    x, moves, drawn = np.array([5.0, 6.0, 7.0]), [], []

    def f(moved):
        step = moved.imag if np.iscomplexobj(moved) else moved - x
        moves.append(step / (np.linalg.norm(step) or 1))
        return (moved**2).sum()

    for seed in (0, 1):
        moves.clear()
        check_gradient(f, {"x": x}, {"x": 2 * x}, rng=rng(seed), method=method, directions=3)
        drawn += moves[1:13]
    angles = np.abs(np.array(drawn) @ np.array(drawn).T) > 1 - 1e-6
    assert len(np.unique(angles[:12], axis=0)) == 3, "three directions, four evaluations each"
    assert not angles[:12, 12:].any(), "another generator, other directions"


def test_complex_steps_see_a_small_gradient_beside_a_large_value():
    x = np.array([1.0, 2.0])

    def f(x):
        return 1e6 + 1e-8 * np.sin(x).sum()

    right = {"x": 1e-8 * np.cos(x)}
    check_gradient(f, {"x": x}, right, rng=rng())
    with pytest.raises(WrongGradient):
        check_gradient(f, {"x": x}, {"x": 0 * x}, rng=rng())
    with pytest.raises(CannotFail):
        check_gradient(f, {"x": x}, right, rng=rng(), method="finite differences")


def test_a_gradient_that_is_small_throughout_passes_by_both_methods():
    x = np.array([1.0, 2.0])
    for method in METHODS:
        right = {"x": 1e-200 * np.cos(x)}
        seen = check_gradient(
            lambda x: 1e-200 * np.sin(x).sum(), {"x": x}, right, rng=rng(), method=method
        )
        assert 0 < seen["x"].size < 1e-199


def test_only_the_named_inputs_are_checked():
    inputs = {"a": np.array([1.0, 2.0]), "unused": np.zeros(3), "b": np.array([3.0, 5.0])}

    def f(a, unused, b):
        return (a * b).sum()

    seen = check_gradient(f, inputs, {"b": inputs["a"]}, rng=rng())
    assert list(seen) == ["b"]
    with pytest.raises(WrongGradient, match="check_gradient: b: claimed a slope"):
        check_gradient(f, inputs, {"a": inputs["b"], "b": inputs["b"]}, rng=rng())


@both_methods
def test_inputs_are_not_changed(method):
    inputs = example()
    before = {name: value.copy() for name, value in inputs.items()}
    upstream = rng().normal(size=inputs["x"].shape)
    kept = upstream.copy()

    def forward(*values):
        y, cache = batch_norm(*(value.copy() for value in values))
        for value in values:
            value *= 0
        return y, cache

    def backward(dy, cache):
        gradients = batch_norm_backward(dy, cache)
        dy *= 0
        return gradients

    check_backward(forward, backward, inputs, rng=rng(), upstream=upstream, method=method)
    for name, value in before.items():
        np.testing.assert_array_equal(inputs[name], value)
    np.testing.assert_array_equal(upstream, kept)


# --- wrong gradients do not ----------------------------------------------------------------------


@both_methods
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wrong", [0.0, -1.0, 1000.0, 1e8, 1.001])
def test_a_wrong_factor_is_seen(method, seed, wrong):
    for dtype, factor in ((np.float64, wrong), (np.float32, wrong if wrong != 1.001 else 1.05)):
        inputs = example(seed=seed, dtype=dtype)

        def backward(dy, cache, factor=factor):
            dx, dgamma, dbeta = batch_norm_backward(dy, cache)
            return (dx * factor).astype(dx.dtype), dgamma, dbeta

        with pytest.raises(WrongGradient, match=r"^check_backward: x: claimed a slope of "):
            check_backward(batch_norm, backward, inputs, rng=rng(seed), method=method)


@pytest.mark.parametrize("place", range(7))
def test_one_wrong_entry_is_seen(place):
    x = rng().normal(size=7)
    wrong = smooth_gradient(x)
    wrong[place] += 1e-6
    with pytest.raises(WrongGradient):
        check_gradient(smooth, {"x": x}, {"x": wrong}, rng=rng())


@pytest.mark.parametrize(
    ("dtype", "method", "tolerance"),
    [
        (np.float64, "complex step", 2.0**-26),
        (np.float32, "complex step", 2.0**-11.5),
        (np.float64, "finite differences", 2.0 ** (-52 / 3)),
        (np.float32, "finite differences", 2.0 ** (-23 / 3)),
    ],
)
def test_the_default_tolerances(dtype, method, tolerance):
    x = np.array([1.0, 2.0, 3.0], dtype)

    def check(share):
        # Linear in x, so that the reference is as good as it can be; claimed in float64.
        def f(x):
            return (x * np.array([4, 2, 1])).sum()

        gradient = np.array([4.0, 2.0, 1.0]) * (1 + share)
        return check_gradient(f, {"x": x}, {"x": gradient}, rng=rng(), method=method)["x"]

    seen = check(0)
    assert seen.tolerance == pytest.approx(tolerance * seen.size + seen.own_error, rel=1e-12)
    check(0.9 * tolerance)
    with pytest.raises(WrongGradient):
        check(1.2 * tolerance + seen.own_error / seen.size)


def test_the_coarsest_dtype_decides():
    x, right = np.array([1.0, 2.0]), np.array([2.0, 4.0])

    def tolerance(f, x, right, **options):
        seen = check_gradient(f, {"x": x}, {"x": right}, rng=rng(), **options)["x"]
        return (seen.tolerance - seen.own_error) / seen.size

    def square(x):
        return (x**2).sum()

    coarse, fine = pytest.approx(2.0**-11.5), pytest.approx(2.0**-26)
    assert tolerance(square, x, right) == fine
    assert tolerance(square, x.astype(np.float32), right) == coarse
    assert tolerance(square, x, right.astype(np.float32)) == coarse
    assert tolerance(
        lambda x: np.float32(square(x)), x, right, method="finite differences"
    ) == pytest.approx(2.0 ** (-23 / 3))

    def forward(x):  # in float32 whatever it is given, unless that is complex
        y = x**2
        return (y if np.iscomplexobj(y) else y.astype(np.float32)), x

    report = check_backward(forward, lambda dy, x: 2 * x * dy, {"x": x}, rng=rng())["x"]
    assert (report.tolerance - report.own_error) / report.size == coarse


def test_the_error_names_what_differs():
    x = np.array([2.0])
    with pytest.raises(WrongGradient) as caught:
        check_gradient(lambda x: (x**2).sum(), {"weight": x}, {"weight": 3 * x}, rng=rng())
    message = str(caught.value)
    found = re.fullmatch(
        r"check_gradient: weight: claimed a slope of (\S+) along a random direction, the "
        r"reference \(complex step\) is (\S+): they differ by (\S+), tolerance (\S+)",
        message,
    )
    claimed, reference, difference, tolerance = map(float, found.groups())
    assert claimed / reference == pytest.approx(1.5, rel=1e-4)
    assert difference == pytest.approx(abs(claimed - reference), rel=0.05)
    assert 0 < tolerance < 1e-6


@both_methods
def test_the_worst_direction_is_named(method):
    x, wrong = np.array([1.0, 2.0]), np.array([2.0, 5.0])  # right: 2, 4
    with pytest.raises(WrongGradient) as caught:
        check_gradient(
            lambda x: (x**2).sum(), {"x": x}, {"x": wrong}, rng=rng(), method=method, directions=50
        )
    difference = float(re.search(r"differ by (\S+),", str(caught.value))[1])
    assert difference > 1.8  # the largest of 50 normal numbers


def test_more_directions_see_more():
    # Right along the first direction only: the component across it is wrong.
    x, first = np.array([1.0, 2.0]), rng(5).normal(size=2)
    across = np.array([-first[1], first[0]])

    def check(directions):
        wrong = {"x": 2 * x + across}
        return check_gradient(
            lambda x: (x**2).sum(), {"x": x}, wrong, rng=rng(5), directions=directions
        )

    assert check(1)["x"].relative_error < 1e-12
    with pytest.raises(WrongGradient):
        check(2)


@both_methods
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_wrong(method, bad):
    x = np.array([1.0, 2.0])
    wrong = {"x": np.array([2.0, bad])}
    with pytest.raises(WrongGradient, match="the gradient of x must be finite, got NaN or inf"):
        check_gradient(lambda x: (x**2).sum(), {"x": x}, wrong, rng=rng(), method=method)


# --- where nothing could fail --------------------------------------------------------------------


def honest(dy, cache):
    return batch_norm_backward(dy, cache)[0]


def zeros(dy, cache):
    return 0 * dy


@both_methods
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("backward", [honest, zeros])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n", "ones"), [(1, False), (2, True), (3, True), (50, True)])
def test_null_directions_of_batch_norm_cannot_fail(method, dtype, backward, seed, n, ones):
    inputs = example(n, seed=seed, dtype=dtype)
    x = inputs.pop("x")
    upstream = np.ones(x.shape) if ones else None
    forward, _ = only_x(**inputs)
    options = {"rng": rng(seed), "method": method, "upstream": upstream}
    with pytest.raises(CannotFail, match=r"^check_backward: x: the largest slope along 5 random "):
        check_backward(forward, backward, {"x": x}, **options)
    forward, right = only_gamma(x)
    with pytest.raises(CannotFail, match=r"^check_backward: gamma: "):
        check_backward(forward, right, {"gamma": inputs["gamma"]}, **options)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("eps", "dtype", "method", "outcome"),
    [
        (1e-5, np.float64, "complex step", None),
        (1e-30, np.float64, "complex step", CannotFail),
        (1e-5, np.float32, "complex step", (CannotFail, ValueError)),
        (1e-9, np.float64, "finite differences", CannotFail),
        (1e-5, np.float32, "finite differences", CannotFail),
    ],
)
def test_the_direction_of_x_hat_cannot_fail_unless_eps_is_seen(seed, eps, dtype, method, outcome):
    x = example(8, seed=seed, dtype=dtype)["x"]
    forward, backward = only_x(np.ones(3, dtype), np.zeros(3, dtype), eps)
    options = {"rng": rng(seed), "method": method, "upstream": forward(x)[1].x_hat}
    if outcome is None:
        check_backward(forward, backward, {"x": x}, **options)
        with pytest.raises(WrongGradient):
            check_backward(forward, zeros, {"x": x}, **options)
    else:
        with pytest.raises(outcome):
            check_backward(forward, backward, {"x": x}, **options)


@both_methods
def test_a_dead_relu_cannot_fail(method):
    x = -rng().uniform(1, 2, size=(4, 3))
    with pytest.raises(CannotFail, match="is 0, known to 0: a gradient of zeros would pass"):
        check_backward(relu, relu_backward, {"x": x}, rng=rng(), method=method)


@both_methods
def test_an_empty_input_cannot_fail(method):
    with pytest.raises(CannotFail):
        check_gradient(
            lambda x: (x**2).sum(), {"x": np.ones(0)}, {"x": np.ones(0)}, rng=rng(), method=method
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_value_that_does_not_change_by_more_than_its_rounding_cannot_fail(seed):
    x = rng(seed).normal(size=4)

    def f(x):
        return 1.0 + 1e-14 * x.sum()

    with pytest.raises(CannotFail):
        check_gradient(
            f, {"x": x}, {"x": 0 * x + 1e-14}, rng=rng(seed), method="finite differences"
        )


def bent(bend):
    """A function of slope 1 - bend to the left of 0 and 1 + bend to the right.

    Central differences give 1, and the four estimates lie 2 bend apart.
    """
    return lambda x: x * np.where(x > 0, 1 + bend, 1 - bend)


def test_cannot_fail_begins_at_ten_times_the_own_error():
    options = {"rng": rng(), "method": "finite differences", "rtol": 0.5}
    check_gradient(bent(0.0499), {"x": 0.0}, {"x": 1.0}, **options)
    with pytest.raises(CannotFail, match="along 5 random directions"):
        check_gradient(bent(0.0501), {"x": 0.0}, {"x": 1.0}, **options)


def test_the_own_error_must_not_exceed_the_tolerance():
    options = {"rng": rng(), "method": "finite differences", "rtol": 0.05}
    check_gradient(bent(0.0249), {"x": 0.0}, {"x": 1.0}, **options)
    with pytest.raises(ValueError, match=r"known to rtol = 0.05 of the largest, got 0.05 \(one"):
        check_gradient(bent(0.0251), {"x": 0.0}, {"x": 1.0}, **options)


# --- where the reference is not good enough ------------------------------------------------------


def test_a_reference_coarser_than_the_tolerance_is_refused():
    x = {"x": np.array([1.0, 2.0])}
    for wrong in (1.0, 1.001):
        gradients = {"x": wrong * 2 * x["x"]}
        with pytest.raises(ValueError, match=r"slopes must be known to rtol = 1e-12 of the large"):
            check_gradient(
                lambda x: (x**2).sum(),
                x, gradients, rng=rng(), method="finite differences", rtol=1e-12,
            )  # fmt: skip


def test_a_step_that_is_too_large_is_refused():
    x = {"x": np.array([1.0, 2.0])}
    right = {"x": np.exp(x["x"])}
    for method in METHODS:
        with pytest.raises(ValueError, match="slopes must be known to rtol"):
            check_gradient(lambda x: np.exp(x).sum(), x, right, rng=rng(), method=method, step=0.02)


def test_the_step_is_used():
    # Cubic: central differences are wrong by h^2 v^3, one-sided ones of second order twice that.
    steps, x = [], np.array([1.0])

    def f(moved):
        moved = np.asarray(moved)
        steps.append(moved.imag if np.iscomplexobj(moved) else moved - x)
        return (moved**2).sum()

    for method, expected in (
        ("complex step", [1, 1 / 3, 1, 1]),
        ("finite differences", [-1, -1 / 2, 1 / 2, 1]),
    ):
        steps.clear()
        options = {"rng": rng(), "method": method, "step": 1e-3, "directions": 1}
        check_gradient(f, {"x": x}, {"x": 2 * x}, **options)
        direction = rng().normal()
        np.testing.assert_allclose(
            np.ravel(steps[1:5]), 1e-3 * direction * np.array(expected), rtol=1e-9
        )


def test_the_four_estimates_of_finite_differences():
    # f = x^3 at 1 along v: h = 0.1 v gives 3v + h^2 v, 3v + h^2 v / 4, and from either side
    # 3v - h^2 v / 2: the reference is the first, and they lie 1.5 h^2 v apart.
    seen = check_gradient(
        lambda x: (x**3).sum(), {"x": np.array([1.0])}, {"x": np.array([3.0])},
        rng=rng(), method="finite differences", step=0.1, directions=1, rtol=0.5,
    )["x"]  # fmt: skip
    v = rng().normal()
    h = 0.1 * v
    assert seen.reference == pytest.approx((3 + h**2) * v, rel=1e-10)
    assert seen.own_error == pytest.approx(abs(1.5 * h**2 * v), rel=1e-8)


def test_one_sided_estimates_are_exact_for_a_parabola():
    seen = check_gradient(
        lambda x: (x**2).sum(), {"x": np.array([1.0])}, {"x": np.array([2.0])},
        rng=rng(), method="finite differences", step=0.1, directions=1,
    )["x"]  # fmt: skip
    assert seen.own_error < 1e-13


def test_inputs_are_nudged_by_a_few_last_digits_and_zeros_by_those_of_the_others():
    nudges = {"x": [], "other": []}
    inputs = {"x": np.array([0.0, 4.0]), "other": np.array([0.0, 0.0, 1e-3])}

    def f(x, other):
        nudges["x"].append(x.real - inputs["x"])
        nudges["other"].append(other.real - inputs["other"])
        return (x**2).sum() + other.sum() * x.sum()

    right = {"x": 2 * inputs["x"] + inputs["other"].sum()}
    check_gradient(f, inputs, right, rng=rng(), directions=8)
    digit = 4 * 2.0**-52
    expected = {"x": [np.sqrt(8), 4.0], "other": [1e-3 / np.sqrt(3)] * 2 + [1e-3]}
    for name, seen in nudges.items():
        moved = np.array(seen[1:33]).reshape(8, 4, -1)
        assert not moved[:, :2].any()
        np.testing.assert_array_equal(moved[:, 2], -moved[:, 3])
        sizes = np.abs(moved[:, 3]) / digit
        np.testing.assert_allclose(sizes, np.tile(expected[name], (8, 1)), rtol=0.3)
        assert (np.sign(moved[:, 3]) == 1).any(axis=0).all()
        assert (np.sign(moved[:, 3]) == -1).any(axis=0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_nudges_reveal_cancellation_that_two_steps_agree_on(seed):
    # The slope, sum(x - mean), is nothing but rounding that no complex step changes.
    x = rng(seed).normal(size=400)

    def f(x, scale):
        return scale * (x - x.mean()).sum()

    right = {"scale": np.asarray((x - x.mean()).sum())}
    with pytest.raises(CannotFail):
        check_gradient(f, {"x": x, "scale": 2.0}, right, rng=rng(seed))


@both_methods
def test_a_kink_is_named(method):
    inputs = {"x": np.array([0.0, 1.0, -1.0])}

    def f(x):
        return (x * (x.real > 0)).sum()

    for slope in (0.0, 0.5, 1.0):
        gradient = {"x": np.array([slope, 1.0, 0.0])}
        with pytest.raises((ValueError, CannotFail), match=r"to one side and .* to the other: a k"):
            check_gradient(f, inputs, gradient, rng=rng(), method=method)
    off = {"x": np.array([0.1, 1.0, -1.0])}
    check_gradient(f, off, {"x": np.array([1.0, 1.0, 0.0])}, rng=rng(), method=method)


@both_methods
def test_the_two_sides_of_a_kink_are_told(method):
    def f(x):  # slope 101 to the left, 103 to the right
        return (x * np.where(x.real > 0, 103, 101)).sum()

    x, right = {"x": np.zeros(1)}, {"x": np.full(1, 101.0)}
    with pytest.raises(ValueError, match="a kink") as caught:
        check_gradient(f, x, right, rng=rng(2), method=method, directions=40)
    sides = re.search(r"one is (\S+) to one side and (\S+) to", str(caught.value)).groups()
    low, high = sorted(abs(float(number)) for number in sides)
    assert high / low == pytest.approx(103 / 101, rel=0.01)
    assert high > 180, "the widest of forty gaps is reported"


def noisy(noise):
    """A function of slope 1 whose values carry relative noise: its slopes are known to `noise`."""
    random = rng(7)

    def f(x):
        return x.sum() * (1 + noise * random.uniform(-1, 1))

    return f


@pytest.mark.parametrize("seed", range(10))
def test_noise_is_not_called_a_kink(seed):
    x, right = {"x": np.ones(3)}, {"x": np.ones(3)}
    with pytest.raises(ValueError, match="known to") as caught:
        check_gradient(noisy(1e-3), x, right, rng=rng(seed), directions=1)
    assert "kink" not in str(caught.value)


@both_methods
def test_the_widest_gap_is_told_and_not_the_steepest_direction(method):
    def f(x):  # a kink at 0 in one entry, a steep slope in the other
        return (x[:1] * np.where(x[:1].real > 0, 103, 101)).sum() + 500 * x[1]

    x, right = {"x": np.array([0.0, 1.0])}, {"x": np.array([101.0, 500.0])}
    with pytest.raises(ValueError, match="a kink") as caught:
        check_gradient(f, x, right, rng=rng(), method=method, directions=40, rtol=1e-6)
    sides = re.search(r"one is (\S+) to one side and (\S+) to", str(caught.value)).groups()
    widest = max(abs(first) for first, _ in kink_directions(method))
    assert abs(float(sides[0]) - float(sides[1])) == pytest.approx(2 * widest, rel=0.3)


def kink_directions(method):
    """The directions of the test above, drawn as the checker draws them."""
    random = rng()
    for _ in range(40):
        yield random.normal(size=2)
        if method == "complex step":
            random.choice([-1, 1], size=2)


def test_the_whole_sentences():
    x = {"x": np.array([2.0])}
    coarse = (
        r"^check_gradient: x: slopes must be known to rtol = 1e-15 of the largest, got \S+: choose "
        r"another step or method, other inputs or a larger rtol$"
    )
    with pytest.raises(ValueError, match=coarse):
        check_gradient(lambda x: x[0] ** 2, x, x, rng=rng(), method=METHODS[1], rtol=1e-15)
    with pytest.raises(CannotFail) as none:
        check_gradient(lambda x: 0 * x[0], x, x, rng=rng())
    assert str(none.value) == (
        "check_gradient: x: the largest slope along 5 random directions is 0, known to 0: a "
        "gradient of zeros would pass, so nothing was checked; choose inputs (or a step) that move "
        "the result, for a backward pass a random upstream gradient and enough examples"
    )
    with pytest.raises(
        CannotFail, match=r"\d \(one is \S+ to one side and 0 to the other: a kink, such "
    ):
        check_gradient(bent(1.0), {"x": 0.0}, {"x": 1.0}, rng=rng(), method=METHODS[1])
    with pytest.raises(TypeError) as dropped:
        check_gradient(lambda x: x[0].real, x, x, rng=rng())
    assert str(dropped.value) == (
        "check_gradient: x: f must return a complex number for a complex input, got float64: it "
        "drops the imaginary part or does not depend on this input; "
        '"finite differences" do without complex numbers'
    )


def test_differences_are_taken_in_the_dtype_of_the_input():
    dtypes = set()

    def f(x):
        dtypes.add(x.dtype)
        return (x**2).sum()

    x = np.array([1.0, 2.0], np.float32)
    check_gradient(f, {"x": x}, {"x": 2 * x}, rng=rng(), method="finite differences")
    assert dtypes == {np.dtype(np.float32)}


# --- what the computation of a gradient leaves of its digits -------------------------------------


def test_a_gradient_is_not_asked_for_more_digits_than_it_has():
    # Along x_hat the gradient is the small rest of large numbers, which the reference, in double
    # precision, sees and the float32 backward pass does not.
    x = example(8, seed=1, dtype=np.float32)["x"]
    forward, backward = only_x(None, None)
    options = {"rng": rng(1), "upstream": forward(x)[1].x_hat}
    with pytest.raises((CannotFail, ValueError), match="known to"):
        check_backward(forward, backward, {"x": x}, **options)
    for wrong in (lambda dy, cache: dy, zeros):
        with pytest.raises(WrongGradient):
            check_backward(forward, wrong, {"x": x}, **options)


@pytest.mark.parametrize("seed", SEEDS)
def test_in_float64_a_batch_of_two_can_still_be_checked(seed):
    x = example(2, seed=seed)["x"]
    forward, backward = only_x(None, None)
    check_backward(forward, backward, {"x": x}, rng=rng(seed))
    with pytest.raises(WrongGradient):
        check_backward(forward, zeros, {"x": x}, rng=rng(seed))


def test_backward_runs_under_upstream_gradients_that_differ_in_their_last_digits():
    seen = []

    def backward(dy, cache):  # half of what is right
        seen.append(dy.copy())
        return dy

    upstream, random = np.array([1.0, -2.0]), rng()
    report = check_backward(
        lambda x: (2 * x, None), backward, {"x": np.ones(2)},
        rng=random, upstream=upstream, directions=1, rtol=0.6,
    )  # fmt: skip
    below, above, exact = seen
    np.testing.assert_array_equal(exact, upstream)
    np.testing.assert_allclose(np.abs(above - upstream), 4 * 2.0**-52 * np.abs(upstream), rtol=0.1)
    np.testing.assert_array_equal(above - upstream, upstream - below)
    again = rng()
    again.choice([-1, 1], size=2)
    direction = again.normal(size=2)
    apart = abs((above - below) @ direction)
    assert report["x"].own_error == pytest.approx(apart, rel=0.2, abs=0) and apart > 0


@pytest.mark.parametrize("seed", range(10))
def test_claims_that_are_far_too_large_are_wrong_and_not_rounded(seed):
    # Of either sign: with one direction, the slope is negative for some seeds.
    with pytest.raises(WrongGradient):
        check_backward(
            lambda x: (2 * x, None), lambda dy, cache: 2e9 * dy, {"x": np.ones(2, np.float32)},
            rng=rng(seed), directions=1,
        )  # fmt: skip


# --- check_backward ------------------------------------------------------------------------------


def test_the_upstream_gradient_is_random():
    seen = []

    def backward(dy, cache):
        seen.append(dy)
        return dy

    for seed in (0, 0, 1):
        check_backward(lambda x: (x, None), backward, {"x": np.ones((3, 2))}, rng=rng(seed))
    first, same, other = seen[2::3]
    np.testing.assert_array_equal(first, same)
    np.testing.assert_array_equal(first, rng(0).normal(size=(3, 2)))
    assert np.unique(first).size == 6 and not np.isclose(first, other).any()


def test_the_upstream_gradient_has_the_dtype_of_y():
    def backward(dy, cache):
        assert dy.dtype == np.float32
        return dy

    check_backward(lambda x: (x, None), backward, {"x": np.ones(2, np.float32)}, rng=rng())


def test_a_list_of_gradients_is_as_good_as_a_tuple():
    inputs = example()
    check_backward(batch_norm, lambda dy, c: list(batch_norm_backward(dy, c)), inputs, rng=rng())


def test_swapped_gradients_are_seen():
    def backward(dy, cache):
        dx, dgamma, dbeta = batch_norm_backward(dy, cache)
        return dx, dbeta, dgamma

    with pytest.raises(WrongGradient, match=r"^check_backward: gamma: claimed"):
        check_backward(batch_norm, backward, example(), rng=rng())


def test_the_sum_over_a_float32_batch_is_not_rounded_to_float32():
    # 1000 and -999 in turn: a rest of 1 that float32 sums see only to a percent.
    upstream = np.resize([1000.0, -999.0], 5000).astype(np.float32)
    check_backward(
        lambda x: (x * np.ones(5000, x.dtype), None),
        lambda dy, cache: dy.sum(keepdims=True, dtype=np.float64),
        {"x": np.full(1, 1.1, np.float32)},
        rng=rng(),
        upstream=upstream,
        method="finite differences",
        rtol=1e-3,
    )


def test_options_reach_both_checks():
    inputs, loose = example(), {"rtol": 0.3}

    def backward(dy, cache):
        return [1.1 * gradient for gradient in batch_norm_backward(dy, cache)]

    with pytest.raises(WrongGradient):
        check_backward(batch_norm, backward, inputs, rng=rng())
    check_backward(batch_norm, backward, inputs, rng=rng(), **loose)
    with pytest.raises(CannotFail, match="along 2 random directions"):
        check_backward(relu, relu_backward, {"x": -np.ones(3)}, rng=rng(), directions=2)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"method": "central"},
            ValueError,
            "method must be one of 'complex step', 'finite differences', got",
        ),
        ({"directions": 0}, ValueError, "directions must be at least 1, got 0"),
        ({"directions": 1.5}, TypeError, "directions must be a whole number"),
        ({"gradients": {}}, ValueError, "gradients must name at least one input, got none"),
        (
            {"gradients": {"w": np.ones(2)}},
            ValueError,
            r"gradients must name inputs \(x\), got 'w'",
        ),
        (
            {"gradients": {"x": np.ones(3)}},
            ValueError,
            r"the gradient of x must have shape \(2,\) to match x of shape \(2,\), got \(3,\)",
        ),
        (
            {"gradients": {"x": np.ones((2, 1))}},
            ValueError,
            r"the gradient of x must have shape .* got \(2, 1\)",
        ),
        ({"gradients": {"x": np.array([1, 2])}}, TypeError, "the gradient of x must be an array"),
        ({"gradients": {"x": 1j * np.ones(2)}}, TypeError, "the gradient of x must be real"),
        ({"inputs": {"x": np.array([1, 2])}}, TypeError, "x must be an array of float16"),
        ({"inputs": {"x": 1j * np.ones(2)}}, TypeError, "x must be real, got complex128"),
        ({"inputs": {"x": np.array([1.0, np.nan])}}, ValueError, "x must be finite"),
        ({"rtol": 0.0}, ValueError, "x: rtol must be a number above 0"),
        ({"rtol": 1.0}, ValueError, "x: rtol must be below 1, or zeros would pass, got 1"),
        ({"step": 0.0}, ValueError, "x: step must be a number above 0"),
        ({"step": 0.0, "method": METHODS[1]}, ValueError, "x: step must be a number above 0"),
        ({"f": np.exp}, ValueError, "f must return one real number, got float64 of shape"),
        ({"f": lambda x: np.log(-x[0] / np.inf - 0.0) * np.nan}, ValueError, "f must be finite"),
        ({"f": lambda x: abs(x[0])}, TypeError, "x: f must return a complex number"),
    ],
)
def test_check_gradient_refuses(changes, error, message):
    x = np.array([1.0, 2.0])
    arguments = {"f": lambda x: (x**2).sum(), "inputs": {"x": x}, "gradients": {"x": 2 * x}}
    with np.errstate(all="ignore"), pytest.raises(error, match=f"^check_gradient: {message}"):
        check_gradient(**(arguments | {"rng": rng()} | changes))


def test_nearly_one_is_a_tolerance():
    x = np.array([1.0, 2.0])
    f, inputs = (lambda x: (x**2).sum()), {"x": x}
    with pytest.raises(WrongGradient):
        check_gradient(f, inputs, {"x": 0 * x}, rng=rng(), rtol=0.99)


def test_a_function_that_leaves_the_finite_numbers_on_the_way_is_refused():
    def f(x):
        return np.where(x > 1, np.inf, x).sum()

    with pytest.raises(ValueError, match="check_gradient: x: f must be finite here, got inf"):
        check_gradient(
            f, {"x": np.ones(1)}, {"x": np.ones(1)}, rng=rng(), method="finite differences"
        )


@pytest.mark.parametrize(
    ("backward", "upstream", "message"),
    [
        (
            lambda dy, cache: dy,
            None,
            "backward must return one gradient for each of x, gamma, beta, got 1",
        ),
        (batch_norm_backward, np.ones((6, 2)), r"upstream must have shape \(6, 3\) to match y of"),
        (lambda dy, c: (dy, dy, dy), None, r"the gradient of gamma must have shape \(3,\)"),
    ],
)
def test_check_backward_refuses(backward, upstream, message):
    with pytest.raises(ValueError, match=f"^check_backward: {message}"):
        check_backward(batch_norm, backward, example(), rng=rng(), upstream=upstream, rtol=0.999)


def test_check_backward_refuses_what_is_no_real_float():
    with pytest.raises(TypeError, match="check_backward: x must be real"):
        check_backward(relu, relu_backward, {"x": np.ones(2) * 1j}, rng=rng())
    with pytest.raises(TypeError, match="check_backward: upstream must be an array of float16"):
        check_backward(relu, relu_backward, {"x": np.ones(2)}, rng=rng(), upstream=np.ones(2, int))
    with pytest.raises(TypeError, match="check_backward: y must be an array of float16"):
        check_backward(lambda x: (x > 0, None), relu_backward, {"x": np.ones(2)}, rng=rng())


def after(calls, then, before):
    """A function that returns something else once it has been called so often."""
    asked = []

    def f(*values):
        asked.append(values)
        return then if len(asked) > calls else before(*values)

    return f


@pytest.mark.parametrize(
    ("check", "calls", "operation"),
    [
        (lambda f, x: numerical_gradient(f, x), 0, "numerical_gradient"),
        (lambda f, x: numerical_gradient(f, x), 1, "numerical_gradient"),
        (lambda f, x: complex_step_gradient(f, x), 0, "complex_step_gradient"),
        (lambda f, x: check_gradient(f, {"x": x}, {"x": 2 * x}, rng=rng()), 0, "check_gradient"),
        (lambda f, x: check_gradient(f, {"x": x}, {"x": 2 * x}, rng=rng()), 1, "check_gradient: x"),
        (
            lambda f, x: check_gradient(f, {"x": x}, {"x": 2 * x}, rng=rng(), method=METHODS[1]),
            1,
            "check_gradient: x",
        ),
    ],
)
def test_what_f_returns_is_asked_for_every_time(check, calls, operation):
    uneven = after(calls, [[1.0], [1.0, 2.0]], lambda x: (x**2).sum())
    told = f"{operation}: what f returns must be an array, got a list of unequal parts"
    with pytest.raises(ValueError, match=f"^{told}$"):
        check(uneven, np.array([1.0, 2.0]))


def test_a_forward_pass_that_changes_the_shape_of_y_is_refused():
    # Once for y, three times for the claims: then the slopes are taken.
    forward = after(4, (np.ones(3), None), lambda x: (x, None))
    told = "y must have shape (2,) to match the first y of shape (2,), got (3,)"
    with pytest.raises(ValueError, match=f"^{re.escape(f'check_backward: {told}')}$"):
        check_backward(forward, lambda dy, cache: dy, {"x": np.array([1.0, 2.0])}, rng=rng())


def test_a_step_of_which_there_is_no_half_is_refused():
    least = 5e-324
    told = "step must move x within its range, got 4.94066e-324"
    with pytest.raises(ValueError, match=f"^check_gradient: x: {told}$"):
        check_gradient(
            lambda x: x.sum(), {"x": np.zeros(1)}, {"x": np.ones(1)}, rng=rng(),
            method=METHODS[1], step=least,
        )  # fmt: skip


def test_a_step_that_leaves_the_numbers_is_refused_even_if_f_does_not_care():
    with (
        np.errstate(over="ignore"),
        pytest.raises(ValueError, match="step must move x within its range"),
    ):
        numerical_gradient(lambda x: 0.0, np.array([1e308]), step=1.7e308)


# --- boundaries, met exactly ----------------------------------------------------------------------


class Drawn(np.random.Generator):
    """A generator that draws round numbers, where a test needs them as directions."""

    def __init__(self, *directions):
        super().__init__(np.random.PCG64(0))
        self.directions = list(directions)

    def normal(self, size):
        return np.full(size, self.directions.pop(0))

    def choice(self, values, size):
        return np.full(size, values[-1])


EXACT = {"method": "finite differences", "step": 1.0}  # of a linear function at 0


def test_a_difference_of_exactly_the_tolerance_passes():
    seen = check_gradient(lambda x: x, {"x": 0.0}, {"x": 0.5}, rng=rng(), rtol=0.5, **EXACT)["x"]
    assert abs(seen.claimed - seen.reference) == seen.tolerance


def test_an_own_error_of_exactly_the_tolerance_will_do():
    answers = iter([15 / 16, 1.0, 1.0])  # of the backward pass, rounded in three ways
    options = {"rng": Drawn(1.0), "directions": 1, "upstream": 1.0, "rtol": 1 / 16, **EXACT}
    seen = check_backward(
        lambda x: (x, None), lambda dy, cache: np.array(next(answers)), {"x": 0.0}, **options
    )["x"]
    assert seen.own_error == 1 / 16 == seen.tolerance / 2


def test_size_and_worst_direction_go_by_the_estimate_that_the_claim_is_held_to():
    # f = x^3 at 1 along v: 3v + h^2 v^3 at the step h, and 3v + h^2 v^3 / 4 at half of it. At h the
    # second direction is the worse one, at half of it the first.
    h, claimed, v = 0.2, 3.05, np.array([1.0, 2.0])
    whole, half = (3 * v + share * h**2 * v**3 for share in (1, 1 / 4))
    assert abs(claimed * v - whole).argmax() == 1 and abs(claimed * v - half).argmax() == 0
    seen = check_gradient(
        lambda x: x**3, {"x": 1.0}, {"x": claimed},
        rng=Drawn(*v), method="finite differences", step=h, directions=2, rtol=0.9,
    )["x"]  # fmt: skip
    assert seen.reference == pytest.approx(whole[1], rel=1e-12)
    assert seen.size == pytest.approx(whole.max(), rel=1e-12)


@both_methods
def test_a_kink_is_told_from_left_to_right(method):
    # These nudges point up, so the complex step, too, sees the left side first.
    sides = "0 to one side and 1 to the other: a kink, such as a ReLU at exactly 0?)"
    with pytest.raises(CannotFail, match=re.escape(sides)):
        check_gradient(
            lambda x: x * (x.real > 0), {"x": 0.0}, {"x": 1.0},
            rng=Drawn(1.0), directions=1, method=method,
        )  # fmt: skip


@both_methods
def test_a_count_cannot_fail(method):
    def f(x):  # an integer where x is real, a complex number where x is complex
        return (x.real > 0).sum() + (0j if np.iscomplexobj(x) else 0)

    with pytest.raises(CannotFail):
        check_gradient(f, {"x": np.ones(2)}, {"x": np.zeros(2)}, rng=rng(), method=method)


def test_a_function_that_is_not_finite_below_is_refused_by_name():
    def f(x):
        return np.where(x < 1, np.nan, x).sum()

    with pytest.raises(ValueError, match=r"^numerical_gradient: f must be finite here, got nan$"):
        numerical_gradient(f, np.ones(1))


def test_check_backward_passes_the_step_on():
    with pytest.raises(ValueError, match=r"^check_backward: x: step must be a number above 0"):
        check_backward(relu, relu_backward, {"x": np.ones(2)}, rng=rng(), step=0.0)


def test_errors_name_all_inputs_and_the_shape_that_is_wanted():
    x = np.ones(2)
    options = {"f": lambda x, y: x @ y, "inputs": {"x": x, "y": x}, "rng": rng()}
    with pytest.raises(ValueError, match=r"must name inputs \(x, y\), got 'z'$"):
        check_gradient(gradients={"z": x}, **options)
    with pytest.raises(ValueError, match=r"\(2,\) to match y of shape \(2,\), got \(3,\)$"):
        check_gradient(gradients={"y": np.ones(3)}, **options)


# --- complex numbers that are not treated like real ones -----------------------------------------


def with_numpy_var(x):
    """Batch norm as many write it: numpy's variance of a complex array is that of its size."""
    return ((x - x.mean(axis=0)) / np.sqrt(np.var(x, axis=0) + 1e-5)).sum(axis=1) ** 3


NOT_ANALYTIC = {
    "np.var": lambda x: with_numpy_var(x).sum(),
    "abs": lambda x: (np.abs(x) ** 2 * x).sum(),
    "real": lambda x: (x.real**2 * x).sum(),
    "conj": lambda x: (x.conj() ** 2).sum(),
    "vdot": lambda x: np.vdot(x, x),
}


@pytest.mark.parametrize("f", NOT_ANALYTIC.values(), ids=NOT_ANALYTIC)
def test_a_complex_step_through_a_function_that_is_not_analytic_is_refused(f):
    x = np.random.default_rng(3).normal(size=(6, 2))
    true = numerical_gradient(lambda x: np.real(f(x)), x)
    for claim in (true, 0 * x):
        with pytest.raises(
            ValueError,
            match=r"^check_gradient: x: f must treat complex numbers like real ones, got a slope "
            r"of \S+ by complex steps and of \S+ by real differences \(abs, real, conj, np.var or "
            r'np.vdot inside\?\): write it without them, or choose method="finite differences"$',
        ):
            check_gradient(f, {"x": x}, {"x": claim}, rng=np.random.default_rng(4))
    real = check_gradient(
        lambda x: float(np.real(f(x))),
        {"x": x},
        {"x": true},
        rng=np.random.default_rng(4),
        method="finite differences",
    )
    assert real["x"].relative_error < 1e-6


def test_what_is_zero_for_all_real_numbers_has_no_slope_by_complex_steps():
    x = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="by complex steps and of 0 by real differences"):
        check_gradient(lambda x: (x - x.real).sum(), {"x": x}, {"x": np.ones(2)}, rng=rng())


@pytest.mark.parametrize("share", [0.005, 0.05])
def test_coarse_differences_judge_coarsely(share):
    # A hundredth of the slope is what real differences are asked for: no more, and no less.
    def f(x):
        return (x + share * x.real).sum()

    x = np.random.default_rng(5).normal(size=4) + 3
    options = {"rng": np.random.default_rng(6), "rtol": 0.5}
    if share < 0.01:
        check_gradient(f, {"x": x}, {"x": np.ones(4)}, **options)
    else:
        with pytest.raises(ValueError, match="f must treat complex numbers like real ones"):
            check_gradient(f, {"x": x}, {"x": np.ones(4)}, **options)


@pytest.mark.parametrize(
    ("f", "gradient", "x"),
    [
        (lambda x: (x**2).sum(), lambda x: 2 * x, np.array([1e6, 1e6 + 1])),
        (lambda x: np.exp(50 * x).sum(), lambda x: 50 * np.exp(50 * x), np.array([3.0, 3.1])),
        (lambda x: np.sin(1e5 * x).sum(), lambda x: 1e5 * np.cos(1e5 * x), np.array([1.0, 2.0])),
    ],
    ids=["far from 0", "steep", "faster than the coarse step"],
)
def test_analytic_functions_are_not_taken_for_others(f, gradient, x):
    for seed in range(20):
        options = {"rng": np.random.default_rng(seed), "rtol": 1e-3}
        check_gradient(f, {"x": x}, {"x": gradient(x)}, **options)


def test_a_kink_is_not_taken_for_another_function():
    x = np.array([0.0, 1.0, -2.0])
    for seed in range(20):
        with pytest.raises((CannotFail, ValueError), match="kink"):
            check_gradient(
                lambda x: (x * (x.real > 0)).sum(),
                {"x": x},
                {"x": 1.0 * (x > 0)},
                rng=np.random.default_rng(seed),
            )


def test_rounding_noise_is_not_taken_for_another_function():
    # The true slope is 0: complex steps and real differences both see noise, of different size.
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = 1e3 * rng.normal(size=(8, 2)) + 1e4
        with pytest.raises(CannotFail):
            check_gradient(lambda x: (x - x.mean(axis=0)).sum(), {"x": x}, {"x": x}, rng=rng)


def test_real_differences_are_taken_along_the_same_directions_and_in_double_precision():
    x, complex_moves, real_moves = np.array([3.0, 4.0], np.float32), [], []

    def f(moved):
        if np.iscomplexobj(moved):
            complex_moves.append(moved.imag / 1e-30)
        elif moved.dtype == np.float64:
            real_moves.append(moved - x)
        return (moved**2).sum()

    check_gradient(f, {"x": x}, {"x": 2 * x}, rng=rng(), directions=3)
    size = 1e-4 * np.sqrt(12.5)  # of the root mean square of x
    expected = [
        share * size * direction
        for direction in complex_moves[::4]
        for share in (-1, -1 / 2, 1 / 2, 1)
    ]
    assert not real_moves[0].any()
    np.testing.assert_allclose(real_moves[1:], expected, rtol=1e-6)


def test_real_differences_that_leave_the_domain_are_no_objection():
    x = np.array([1e-9, 1.0])
    check_gradient(lambda x: np.log(x).sum(), {"x": x}, {"x": 1 / x}, rng=rng())


def test_real_differences_that_rounding_makes_agree_are_no_objection():
    # Steps of 1.2 and 2.4 units of the last digit are rounded to 1 and 2: all four estimates are
    # the same, and all are a sixth too small.
    large, direction = 1.5 * 2.0**40, rng().normal(size=1)
    slope = 2.4 * np.spacing(large) / (1e-4 * np.abs(direction))

    def f(x):
        return (large + slope * (x - 1)).sum()

    found = np.array([f(1 + share * 1e-4 * direction) - large for share in (-1, -0.5, 0.5, 1)])
    assert np.abs(found / np.spacing(large)).tolist() == [2, 1, 1, 2]
    check_gradient(f, {"x": np.ones(1)}, {"x": slope}, rng=rng(), directions=1)
