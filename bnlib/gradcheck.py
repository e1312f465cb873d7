"""Check a gradient against the function that it claims to differentiate.

A check compares the claimed gradient with slopes of the function itself along random directions. It
has two ways to fail: `WrongGradient` says that the answer is wrong, `CannotFail` that the question
was, because a gradient of zeros would have passed as well. Nothing here knows which function is
checked. Workshop `gradient_checks`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bnlib import checks

METHODS = ("complex step", "finite differences")
COMPLEX_STEP = 1e-30  # nothing is subtracted, so no step is too small
LAST_DIGITS = 4  # how far, in units of the last digit, inputs are moved to see what rounding does
CERTAIN = 10  # a slope is told from 0 if it is more than so many times its own error
COARSE, COARSELY = 1e-4, 1e-2  # relative step of real differences; how well they must agree
KINK = 1000  # slopes to the two sides differ by so many times more than those at two steps


class WrongGradient(AssertionError):
    """The claimed gradient is not the gradient of the function."""


class CannotFail(AssertionError):
    """The true gradient is too small to be seen: one of zeros would pass."""


class Compared(NamedTuple):
    """What the check of one input saw.

    Attributes
    ----------
    method : str
        "complex step" or "finite differences".
    claimed, reference : float
        Slopes along the random direction where they differ most.
    size : float
        The largest reference slope of all directions; `tolerance` is a share of it.
    own_error : float
        How far estimates of one reference slope lie apart, at most.
    tolerance : float
        The largest difference that passes.
    """

    method: str
    claimed: float
    reference: float
    size: float
    own_error: float
    tolerance: float

    @property
    def relative_error(self):
        """The difference as a share of `size`."""
        return abs(self.claimed - self.reference) / self.size


def numerical_gradient(f, x, *, step=None):
    """Gradient by central differences, (f(x + h) - f(x - h)) / 2h, entry by entry.

    A large step h misses the curve between the two points (truncation, in proportion to h²); a
    small one subtracts two nearly equal numbers (cancellation, in proportion to 1/h). The best of
    both is near the cube root of the rounding unit and leaves about two thirds of the digits.

    Parameters
    ----------
    f : callable
        Maps an array like `x` to a number. What it raises goes through.
    x : array_like of float16, float32 or float64
        Not changed; `f` is given copies of the same dtype.
    step : float, optional
        Absolute. By default the cube root of the dtype's rounding unit (6e-6 for float64, 5e-3 for
        float32) times the root mean square of x, or times 1 if x is 0.

    Returns
    -------
    ndarray of float64
        Of the shape of x.

    Raises
    ------
    TypeError, ValueError
        If f cannot be called, x is not real, the step not positive, or f does not return one finite
        number.

    Examples
    --------
    >>> numerical_gradient(lambda x: (x**3).sum(), [1.0, 2.0]).round(6)
    array([ 3., 12.])
    """
    operation = "numerical_gradient"
    checks.function(operation, "f", f)
    x = _real(operation, "x", x)
    h = _finite_step(operation, x, step, _unit(x))
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        # The two points are rounded: what lies between them is seldom exactly 2h.
        apart = float(above[index]) - float(below[index])
        if not 0 < apart < np.inf:
            raise ValueError(f"{operation}: step must move x within its range, got {h:g}")
        rise = _number(operation, f(above)) - _number(operation, f(below))
        gradient[index] = rise / apart
    return gradient


def complex_step_gradient(f, x, *, step=COMPLEX_STEP):
    """Gradient by complex steps, Im f(x + ih) / h, entry by entry: exact but for rounding.

    For an analytic f nothing is subtracted, so nothing cancels and the step may be as small as the
    numbers allow; Squire and Trapp (1998).

    Parameters
    ----------
    f : callable
        Maps a complex array like `x` to a complex number, without `abs`, conjugation or anything
        else that is not analytic. What it raises goes through.
    x : array_like of float16, float32 or float64
        Not changed; `f` is given complex128 copies.
    step : float

    Returns
    -------
    ndarray of float64
        Of the shape of x.

    Raises
    ------
    TypeError
        If f cannot be called or drops the imaginary part, or x is not real.
    ValueError
        If the step is not positive or f does not return one finite number.

    Examples
    --------
    >>> complex_step_gradient(lambda x: (x**3).sum(), [1.0, 2.0])
    array([ 3., 12.])
    """
    operation = "complex_step_gradient"
    checks.function(operation, "f", f)
    x = _real(operation, "x", x)
    checks.positive(operation, "step", step)
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        moved = x.astype(np.complex128)
        moved[index] += 1j * step
        gradient[index] = _imaginary(operation, f(moved)) / step
    return gradient


def check_gradient(
    f, inputs, gradients, *, rng, method=METHODS[0], directions=5, rtol=None, step=None
):
    """Compare claimed gradients with slopes of `f` along random directions.

    Every slope is estimated four times, at two step sizes and from both sides of the inputs; how
    far these lie apart is the reference's own error. Along a random direction every entry counts,
    but an error that is small beside the largest slope, by more than `rtol`, does not show: choose
    inputs that give all entries gradients of one scale.

    Parameters
    ----------
    f : callable
        `f(*inputs.values())` returns a number. What it raises goes through.
    inputs : dict of str to array_like
        Every argument of `f`, under the name that errors use.
    gradients : dict of str to array_like
        The claimed gradients of some or all of the inputs. An input on which `f` is not meant to
        depend is left out.
    rng : numpy.random.Generator
    method : {"complex step", "finite differences"}
        The first needs an `f` that takes complex numbers, sees small gradients beside large values,
        and treats a kink as `f` itself does. The second works in the dtype of the inputs.
    directions : int
        How many, for each input.
    rtol : float, optional
        Tolerance, as a share of the largest slope. By default half of the digits that the dtypes
        hold (1.5e-8 for float64, 3e-4 for float32), with finite differences a third of them (6e-6
        and 5e-3).
    step : float, optional
        By default 1e-30, or as in `numerical_gradient`.

    Returns
    -------
    dict of str to Compared
        One entry for each of `gradients`.

    Raises
    ------
    WrongGradient
        Naming the input, both slopes, their difference and the tolerance; or if a claimed gradient
        is not finite.
    CannotFail
        If the reference is not told from 0 by its own error.
    ValueError
        If the reference cannot serve at these inputs: not finite, or less accurate than the
        tolerance, as at a kink (a ReLU at 0), or a complex step through an `f` that is not analytic
        (`np.var` and `abs` are not). Also for shapes and names that do not match.
    TypeError
        For arrays that are not real floats, an `f` that cannot be called or drops imaginary parts,
        and other arguments of another kind.

    Examples
    --------
    >>> x, rng = np.array([1.0, 2.0, 3.0]), np.random.default_rng(0)
    >>> seen = check_gradient(lambda x: (x**2).sum(), {"x": x}, {"x": 2 * x}, rng=rng)
    >>> seen["x"].relative_error < 1e-14
    True
    >>> check_gradient(lambda x: (0 * x).sum(), {"x": x}, {"x": 0 * x},
    ...                rng=rng)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    bnlib.gradcheck.CannotFail: check_gradient: x: the largest slope along 5 random directions ...
    """
    return _check(
        "check_gradient", f, inputs, gradients, _Options(rng, method, directions, rtol, step)
    )


def check_backward(
    forward,
    backward,
    inputs,
    *,
    rng,
    upstream=None,
    method=METHODS[0],
    directions=5,
    rtol=None,
    step=None,
):
    """Check a backward pass against its forward pass, under a random upstream gradient.

    The backward pass runs three times, under upstream gradients that differ in their last digits:
    how far its results lie apart counts as error, too, since no gradient can be asked for more
    digits than its own computation leaves.

    Parameters
    ----------
    forward : callable
        `forward(*inputs.values())` returns `(y, cache)`, with y an array.
    backward : callable
        `backward(dy, cache)` returns the gradients of the inputs in their order: a tuple, or an
        array if there is one input. What it or `forward` raises goes through.
    inputs : dict of str to array_like
        The arguments of `forward`, under the names that errors use.
    rng : numpy.random.Generator
        Draws the upstream gradient and the directions.
    upstream : array_like, optional
        Instead of a random one: to see what a special one lets through.
    method, directions, rtol, step
        As in `check_gradient`.

    Returns
    -------
    dict of str to Compared
        One entry for each input.

    Raises
    ------
    WrongGradient, CannotFail, ValueError, TypeError
        As `check_gradient`; ValueError also for a wrong number of gradients, TypeError for a
        `forward` that does not return y and a cache.

    Examples
    --------
    >>> def scale(x, factor):
    ...     return x * factor, (x, factor)
    >>> def scale_backward(dy, cache):
    ...     x, factor = cache
    ...     return dy * factor, dy * x
    >>> inputs = {"x": np.array([1.0, 2.0]), "factor": np.array([3.0, 4.0])}
    >>> list(check_backward(scale, scale_backward, inputs, rng=np.random.default_rng(0)))
    ['x', 'factor']
    """
    operation = "check_backward"
    checks.function(operation, "forward", forward)
    checks.function(operation, "backward", backward)
    checks.generator(operation, "rng", rng)
    inputs = _inputs(operation, inputs)

    def run(*values):
        """What forward returns, once it is seen to be y and a cache."""
        y, cache = checks.pair(operation, "forward", forward(*values), "y and a cache")
        return checks.float_array(operation, "y", y), cache

    y, _ = run(*_copies(inputs))
    if upstream is None:
        upstream = rng.normal(size=y.shape)
    dy = _real(operation, "upstream", upstream)
    checks.shape(operation, "upstream", dy, y.shape, f"y of shape {y.shape}")
    dy = dy.astype(y.dtype)  # a copy, which backward may change

    def claimed(dy):
        gradients = backward(dy, run(*_copies(inputs))[1])
        gradients = gradients if isinstance(gradients, tuple | list) else (gradients,)
        if len(gradients) != len(inputs):
            raise ValueError(
                f"{operation}: backward must return one gradient for each of {', '.join(inputs)}, "
                f"got {len(gradients)}"
            )
        pairs = zip(inputs, gradients, strict=True)
        return {name: _gradient(operation, name, each, inputs) for name, each in pairs}

    weights = dy.astype(np.float64)  # so that no float32 layer is blamed for rounding the sum

    def loss(*values):
        again = run(*values)[0]
        checks.same_shape(operation, "y", again, "the first y", y)
        return np.sum(again * weights)

    options = _Options(rng, method, directions, rtol, step)
    nudge = _nudge(dy, rng)
    rounded = [claimed(dy - nudge), claimed(dy + nudge)]
    return _check(operation, loss, inputs, claimed(dy), options, rounded, like=y)


class _Options(NamedTuple):
    rng: "np.random.Generator"  # quoted, so that importing this module does not load it
    method: str
    directions: int
    rtol: float | None
    step: float | None


def _check(operation, f, inputs, gradients, options, rounded=(), like=None):
    """The body of both checks.

    `rounded` holds the gradients as they come out when their computation is rounded in other ways;
    `like` is an array whose dtype limits the precision, too.
    """
    checks.function(operation, "f", f)
    checks.generator(operation, "rng", options.rng)
    inputs = _inputs(operation, inputs)
    checks.instance(operation, "gradients", gradients, Mapping, "a dict of arrays")
    checks.one_of(operation, "method", options.method, METHODS)
    checks.count(operation, "directions", options.directions)
    if not gradients:
        raise ValueError(f"{operation}: gradients must name at least one input, got none")
    value = checks.plain_array(operation, "what f returns", f(*_copies(inputs)))
    _number(operation, value)
    gradients = {name: _claim(operation, name, g, inputs) for name, g in gradients.items()}
    seen = {}
    for name, gradient in gradients.items():
        unit = max(map(_unit, (inputs[name], gradient, value if like is None else like)))
        claims = [gradient, *(other[name] for other in rounded)]
        place = f"{operation}: {name}"
        seen[name] = _compare(place, f, inputs, name, claims, float(value), unit, options)
    return seen


def _claim(operation, name, gradient, inputs):
    """A claimed gradient as an array that can be judged."""
    gradient = _gradient(operation, name, gradient, inputs)
    if not np.isfinite(gradient).all():
        raise WrongGradient(
            f"{operation}: the gradient of {name} must be finite, got NaN or infinity"
        )
    return gradient


def _inputs(operation, inputs):
    """The inputs as finite real arrays."""
    checks.instance(operation, "inputs", inputs, Mapping, "a dict of arrays")
    if not inputs:
        raise ValueError(f"{operation}: inputs must hold at least one array, got none")
    return {name: _real(operation, name, value) for name, value in inputs.items()}


def _gradient(operation, name, gradient, inputs):
    """A gradient as a real array of the shape of its input."""
    if name not in inputs:
        raise ValueError(
            f"{operation}: gradients must name inputs ({', '.join(inputs)}), got {name!r}"
        )
    what, expected = f"the gradient of {name}", inputs[name].shape
    gradient = _real(operation, what, gradient, finite=False)
    checks.shape(operation, what, gradient, expected, f"{name} of shape {expected}")
    return gradient


def _compare(place, f, inputs, name, claims, value, unit, options):
    """Judge the gradient of one input: first the question, then the answer."""
    differences, x = options.method == METHODS[1], inputs[name]
    rtol = unit ** (1 / 3 if differences else 1 / 2) if options.rtol is None else options.rtol
    checks.positive(place, "rtol", rtol)
    if rtol >= 1:
        raise ValueError(f"{place}: rtol must be below 1, or zeros would pass, got {rtol:g}")
    h = _step(place, x, options, unit)

    claimed, estimates, directions = [], [], []
    for _ in range(options.directions):
        direction = options.rng.normal(size=x.shape)
        directions.append(direction)
        claimed.append([np.sum(claim * direction, dtype=np.float64) for claim in claims])
        if differences:
            estimates.append(_differences(place, f, inputs, name, direction, h, value))
        else:
            nudges = {k: _nudge(v.astype(np.float64), options.rng) for k, v in inputs.items()}
            estimates.append(_complex_steps(place, f, inputs, name, direction, h, nudges))
    slopes, truths = np.array(claimed), np.array(estimates)
    if not differences:
        _ask_the_reals(place, f, inputs, name, directions, truths)
    size = float(np.abs(truths[:, 0]).max())
    own_error = max(float(np.ptp(truths, axis=1).max()), _rounding(slopes, size))
    _ask(place, truths, size, own_error, rtol)

    pairs = zip(slopes[:, 0].tolist(), truths[:, 0].tolist(), strict=True)
    claim, truth = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
    tolerance = rtol * size + own_error
    if not abs(claim - truth) <= tolerance:
        raise WrongGradient(
            f"{place}: claimed a slope of {claim:.6g} along a random direction, the reference "
            f"({options.method}) is {truth:.6g}: they differ by {abs(claim - truth):.2g}, "
            f"tolerance {tolerance:.2g}"
        )
    return Compared(options.method, claim, truth, size, own_error, tolerance)


def _rounding(slopes, size):
    """How far claims of one slope lie apart, each rounded another way.

    Claims that are a thousand times too large vary a thousand times as much. They are wrong, and
    not merely rounded, so they are scaled down to the size that a gradient has here.
    """
    reach = float(np.abs(slopes).max())
    return float(np.ptp(slopes, axis=1).max()) * (size / reach if reach > size else 1.0)


def _ask_the_reals(place, f, inputs, name, directions, estimates):
    """Make sure that f means the same on complex numbers as on real ones.

    `np.var` of a complex array, `abs`, conjugation and the like are not analytic: a complex step
    then gives a wrong slope, and nothing about it looks wrong. Coarse differences of real numbers
    show it, where they agree among themselves.
    """
    wide = {key: np.asarray(value, np.float64) for key, value in inputs.items()}
    h = COARSE * _scale(wide[name])
    try:
        with np.errstate(all="ignore"):
            value = _number(place, f(*_copies(wide)))
            found = [_differences(place, f, wide, name, d, h, value) for d in directions]
    except ValueError:
        return  # too coarse a step leaves the domain of f, of a logarithm say: they cannot tell
    real, noise = np.mean(found, axis=1), np.ptp(found, axis=1).max()
    rounding = _unit(wide[name]) * abs(value) / h
    if CERTAIN * (noise + rounding) > COARSELY * np.abs(real).max():
        return  # a kink, rounding, or again too coarse a step
    slopes, own_error = estimates.mean(axis=1), np.ptp(estimates, axis=1).max()
    apart = np.abs(real - slopes)
    worst = np.argmax(apart)
    if apart[worst] > max(COARSELY * np.abs(real).max(), CERTAIN * own_error):
        raise ValueError(
            f"{place}: f must treat complex numbers like real ones, got a slope of "
            f"{slopes[worst]:.3g} by complex steps and of {real[worst]:.3g} by real differences "
            "(abs, real, conj, np.var or np.vdot inside?): write it without them, or choose "
            f'method="{METHODS[1]}"'
        )


def _ask(place, estimates, size, own_error, rtol):
    """Make sure that the reference can tell right from wrong, whatever is claimed."""
    if size <= CERTAIN * own_error:
        raise CannotFail(
            f"{place}: the largest slope along {len(estimates)} random directions is {size:.2g}, "
            f"known to {own_error:.2g}{_kink(estimates)}: a gradient of zeros would pass, so "
            "nothing was checked; choose inputs (or a step) that move the result, for a backward "
            "pass a random upstream gradient and enough examples"
        )
    if own_error > rtol * size:
        raise ValueError(
            f"{place}: slopes must be known to rtol = {rtol:.2g} of the largest, got "
            f"{own_error / size:.2g}{_kink(estimates)}: choose another step or method, other "
            "inputs or a larger rtol"
        )


def _kink(estimates):
    """What to add to an error where the slopes to both sides are two different, steady numbers."""
    one, two, before, after = estimates.T
    worst = np.argmax(np.abs(after - before))
    if not np.abs(after - before).max() > KINK * np.abs(two - one).max():
        return ""
    return (
        f" (one is {before[worst]:.3g} to one side and {after[worst]:.3g} to the other: a kink, "
        "such as a ReLU at exactly 0?)"
    )


def _complex_steps(place, f, inputs, name, direction, h, nudges):
    """Four estimates of a slope: at two steps, then with all inputs nudged to either side."""

    def slope(step, side):
        moved = {key: value + side * nudges[key] for key, value in inputs.items()}
        moved[name] = moved[name] + 1j * step * direction
        return _imaginary(place, f(*_copies(moved))) / step

    return slope(h, 0), slope(h / 3, 0), slope(h, -1), slope(h, 1)


def _differences(place, f, inputs, name, direction, h, value):
    """Four estimates, all good to h²: central at h and at h/2, then from the left and the right."""
    x = inputs[name]
    if not h / 2 > 0:
        raise ValueError(f"{place}: step must move {name} within its range, got {h:g}")

    def rise(step):
        moved = (x + step * direction).astype(x.dtype)
        return _number(place, f(*_copies(inputs | {name: moved}))) - value

    far_left, left, right, far_right = (rise(step) for step in (-h, -h / 2, h / 2, h))
    return (
        (far_right - far_left) / (2 * h),
        (right - left) / h,
        (far_left - 4 * left) / h,
        (4 * right - far_right) / h,
    )


def _nudge(x, rng):
    """A few units of the last digit of every entry of x, up or down."""
    size = LAST_DIGITS * _unit(x) * np.where(x == 0, _scale(x), x)
    return (size * rng.choice([-1, 1], size=x.shape)).astype(x.dtype)


def _step(place, x, options, unit):
    if options.method == METHODS[1]:
        return _finite_step(place, x, options.step, unit)
    step = COMPLEX_STEP if options.step is None else options.step
    checks.positive(place, "step", step)
    return step


def _finite_step(operation, x, step, unit):
    if step is None:
        return unit ** (1 / 3) * _scale(x)
    checks.positive(operation, "step", step)
    return float(step)


def _scale(x):
    """The root mean square of x; 1 for zeros and for an empty array."""
    largest = float(np.abs(x).max(initial=0))
    if not largest:
        return 1.0
    return largest * float(np.sqrt(np.mean((x.astype(np.float64) / largest) ** 2)))


def _unit(x):
    """The rounding unit of the dtype of x; of float64 for a complex128 or an integer."""
    return float(np.finfo(x.dtype if x.dtype.kind in "fc" else np.float64).eps)


def _real(operation, name, value, finite=True):
    """`value` as an array of a real floating dtype."""
    array = checks.real_array(operation, name, value)
    if finite and not np.isfinite(array).all():
        raise ValueError(f"{operation}: {name} must be finite, got NaN or infinity")
    return array


def _copies(inputs):
    """The inputs for one call, which may change them."""
    return [np.array(value) for value in inputs.values()]


def _number(operation, value):
    """What f returned, as a finite Python float."""
    value = checks.plain_array(operation, "what f returns", value)
    if value.shape != () or value.dtype.kind not in "biuf":
        raise ValueError(
            f"{operation}: f must return one real number, got {value.dtype} of shape {value.shape}"
        )
    if not np.isfinite(value):
        raise ValueError(f"{operation}: f must be finite here, got {value}")
    return float(value)


def _imaginary(operation, value):
    """The imaginary part of what f returned for complex input."""
    value = checks.plain_array(operation, "what f returns", value)
    if value.shape != ():
        raise ValueError(f"{operation}: f must return one number, got shape {value.shape}")
    if not np.iscomplexobj(value):
        raise TypeError(
            f"{operation}: f must return a complex number for a complex input, got {value.dtype}: "
            "it drops the imaginary part or does not depend on this input; "
            f'"{METHODS[1]}" do without complex numbers'
        )
    if not np.isfinite(value):
        raise ValueError(f"{operation}: f must be finite here, got {value}")
    return float(value.imag)
