"""Every norm against a hundred digits and against PyTorch, for inputs that nobody chose.

How far bnlib may be from the truth follows from the problem. With w the spacing at 1 of the numbers
in which it computes (float32's for float16 and float32), a row of n values whose mean lies K
standard deviations (eps counted in) from 0 can be known to about

    rounding = w + sqrt(n) 2^-52        float32: w + w sqrt(min(n, 256)) / 4 + sqrt(n) 2^-52
    level = rounding + rounding^2 K

First the rounding of each number; then that of the sums, in float64 or, for float32, in runs of at
most 256 numbers that float64 adds up, were their errors as random as they look; last what an offset
costs when the mean is subtracted in two steps: only the square of the rounding meets K. In one
step, as in PyTorch, the rounding itself does. Every tolerance below is SAFETY levels of what was
added up to make the number: a difference of two large things may lose digits, nothing else may.

Errors are not random where most numbers of a long column are equal, or tiny beside an outlier: each
addition then loses the same, at most half a spacing. For long columns `one_way` allows for that in
addition to the square root. (`test_compiled` does not: its runs are a quarter as long.)
"""

import functools
from decimal import Decimal
from typing import NamedTuple

import exact
import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st
from inputs import (
    DTYPES,
    KINDS,
    batches,
    epsilons,
    layouts,
    long_shapes,
    nearly_equal,
    parameters,
    seeds,
    shapes,
    small_shapes,
    tried,
    upstreams,
)

from bnlib import graph, layers, normalization

SAFETY = 3
RUN = 256  # numbers that float32 adds up by itself
AVERAGES = ("running_mean", "running_var")
NORMS = ("batch_norm", "layer_norm", "instance_norm", "group_norm", "rms_norm")
ANSWERS = ("y", "dx", "dgamma", "dbeta")
DOUBLE = np.finfo(np.float64).eps


class Case(NamedTuple):
    """One call of one norm, forward and backward."""

    name: str
    norm: exact.Norm
    option: tuple  # num_groups of group norm, axis of layer and RMS norm
    x: np.ndarray
    gamma: np.ndarray | None
    beta: np.ndarray | None
    dy: np.ndarray
    eps: float

    def bnlib(self, x=None, gamma=None, dy=None):
        """y, the cache, the gradients."""
        x = self.x if x is None else x
        gamma, dy = self.gamma if gamma is None else gamma, self.dy if dy is None else dy
        norm = getattr(normalization, self.name)
        affine = (gamma,) if self.name == "rms_norm" else (gamma, self.beta)
        keywords = {"axis": self.option[0]} if self.name in ("layer_norm", "rms_norm") else {}
        option = self.option if self.name == "group_norm" else ()
        with np.errstate(over="ignore"):  # what float16 cannot hold is infinite
            y, cache = norm(x, *option, *affine, eps=self.eps, **keywords)
            return y, cache, getattr(normalization, f"{self.name}_backward")(dy, cache)


def norms_of(shape):
    """Every norm that takes x of this shape: its name, the oracle's view, its option."""
    axis = st.integers(1, len(shape) - 1)
    divisors = [groups for groups in range(1, shape[1] + 1) if shape[1] % groups == 0]
    return {
        "batch_norm": st.just((exact.BATCH, ())),
        "instance_norm": st.just((exact.INSTANCE, ())),
        "group_norm": st.sampled_from(divisors).map(lambda g: (exact.group(g), (g,))),
        "layer_norm": axis.map(lambda a: (exact.layer(a), (a,))),
        "rms_norm": axis.map(lambda a: (exact.layer(a, centred=False), (a,))),
    }


@st.composite
def cases(draw, shapes=shapes, dtypes=DTYPES, kinds=(*KINDS, None), norms=NORMS):
    """A norm and what it is called with."""
    shape, dtype = draw(shapes), draw(st.sampled_from(dtypes))
    name = draw(st.sampled_from(norms))
    norm, option = draw(norms_of(shape)[name])
    x = draw(batches(shape, dtype, draw(st.integers(0, 1)), draw(st.sampled_from(kinds))))
    shared = norm.shared(shape)
    gamma, beta = draw(
        parameters(tuple(n for axis, n in enumerate(shape) if axis not in shared), dtype)
    )
    dy = draw(upstreams(shape, dtype))
    if name == "rms_norm":
        beta = None
    lay_out = draw(layouts)
    return Case(name, norm, option, lay_out(x), gamma, beta, lay_out(dy), draw(epsilons))


def ones(case):
    """The shape of gamma, all ones."""
    shared = case.norm.shared(case.x.shape)
    return np.ones([n for axis, n in enumerate(case.x.shape) if axis not in shared])


def gamma_of(case):
    return ones(case) if case.gamma is None else case.gamma


def beta_of(case):
    return 0 * ones(case) if case.beta is None else case.beta


class Truth(NamedTuple):
    """The exact answers as float64, and the level of every number of x."""

    forward: exact.Forward
    backward: exact.Backward
    level: np.ndarray
    level_without_offset: np.ndarray
    inverse: np.ndarray  # for every number of x


def rounding(dtype, count):
    """What a number made of sums of `count` numbers may lose of its own size, and of theirs."""
    working = float(np.finfo(np.promote_types(dtype, np.float32)).eps)
    runs = np.sqrt(min(count, RUN)) / 4 if working > DOUBLE else 0
    return working * (1 + runs) + np.sqrt(count) * DOUBLE


def one_way(dtype, count):
    """The same where errors do not cancel: SAFETY of these allow for half a spacing each."""
    working = float(np.finfo(np.promote_types(dtype, np.float32)).eps)
    additions = working * min(count, RUN) / 2 + DOUBLE * count / RUN / 2
    return rounding(dtype, count) + additions / SAFETY


def truth(case, lost=rounding):
    forward = exact.forward(case.norm, case.x, gamma_of(case), beta_of(case), case.eps)
    backward = exact.backward(case.norm, case.x, gamma_of(case), case.eps, case.dy)
    forward = exact.Forward(*map(exact.floats, forward))
    rows = case.norm.rows(case.x)
    least = lost(case.x.dtype, rows.shape[1])
    level = least + least**2 * np.abs(forward.mean) * forward.inverse

    def everywhere(per_row):
        per_row = np.broadcast_to(per_row, len(rows))
        return case.norm.back(np.broadcast_to(per_row[:, None], rows.shape), case.x.shape)

    backward = exact.Backward(*map(exact.floats, backward))
    return Truth(
        forward, backward, everywhere(level), everywhere(least), everywhere(forward.inverse)
    )


def stored(values, dtype):
    """What may be lost when a value is stored: a spacing of its dtype, or what underflows."""
    kind = np.finfo(dtype)
    return float(kind.eps) * np.abs(values) + float(kind.smallest_normal)


def tolerances(case, exactly, level, lost=rounding):
    """How far y, dx, dgamma, dbeta may be from the truth: a spread-out bound for every number."""
    x_hat, dy = exactly.forward.x_hat, np.abs(case.dy.astype(np.float64))
    gamma = np.abs(case.norm.spread_out(gamma_of(case).astype(np.float64), case.x.shape))
    beta = np.abs(case.norm.spread_out(beta_of(case).astype(np.float64), case.x.shape))
    size = 1 + np.abs(x_hat)  # x_hat is a difference of things that are about 1
    axes = tuple(case.norm.shared(case.x.shape))
    working = np.promote_types(case.x.dtype, np.float32)
    # What underflows in a product is then divided by the spread.
    underflow = float(np.finfo(working).smallest_normal) * (1 + exactly.inverse)

    y = SAFETY * (level * (gamma * size + beta) + underflow * (1 + gamma))
    g = gamma * dy
    rows = case.norm.rows(g * size)
    shares = np.broadcast_to(rows.mean(1)[:, None], rows.shape)
    made_of = g + size * case.norm.back(shares, case.x.shape)
    dx = SAFETY * (level * exactly.inverse * made_of + underflow * size * (1 + gamma))
    sums = lost(case.x.dtype, case.x.size)
    dgamma = SAFETY * ((np.maximum(level, sums) * dy * size).sum(axes))
    dbeta = SAFETY * sums * dy.sum(axes)
    return (
        y + stored(exactly.forward.y, case.x.dtype),
        dx + stored(exactly.backward.dx, case.dy.dtype),
        dgamma + stored(exactly.backward.dgamma, working),
        dbeta + stored(exactly.backward.dbeta, working),
    )


def statistic_tolerances(case, exactly):
    """How far mean and biased variance of each row may be from the truth."""
    level = case.norm.rows(exactly.level)[:, 0]
    _, var, inverse = map(np.array, exactly.forward[:3])
    underflow = float(np.finfo(np.promote_types(case.x.dtype, np.float32)).smallest_normal)
    return (
        SAFETY * (level / inverse + DOUBLE * np.abs(exactly.forward.mean) + underflow),
        SAFETY * (level * var + (level / inverse) ** 2 + underflow),
    )


def exact_answers(exactly):
    return exactly.forward.y, *exactly.backward


def errors(got, expected):
    """|got - expected|, 0 where both lie beyond the range of the dtype."""
    largest = float(np.finfo(got.dtype).max)
    beyond = (np.abs(expected) >= largest) & np.isinf(got) & (np.sign(got) == np.sign(expected))
    with np.errstate(invalid="ignore"):
        return np.where(beyond, 0, np.abs(got.astype(np.float64) - expected))


@given(case=cases(small_shapes, (np.float64,)))
@tried(8)
def test_the_oracle_goes_back_the_way_it_came(case):
    """Its gradients, step by step, are difference quotients of its own forward pass."""
    assume(np.abs(case.x).max() < 1e8)  # beyond, a hundred digits are too few for a quotient
    arguments = {"x": case.x, "gamma": gamma_of(case), "beta": beta_of(case)}

    def loss(name, value):
        y = exact.forward(case.norm, eps=case.eps, **(arguments | {name: value})).y
        return (exact.decimals(case.dy) * y).sum()

    backward = exact.backward(case.norm, case.x, gamma_of(case), case.eps, case.dy)
    for name, gradient in zip(arguments, backward, strict=True):
        slopes = exact.slope(functools.partial(loss, name), arguments[name], case.eps)
        close = Decimal(10) ** -30 * max(1, *map(abs, slopes.ravel()))
        assert (np.abs(slopes - gradient) < close).all()


def check(case, lost=rounding):
    """Every answer lies within its tolerance; nothing that was given has changed."""
    given_arrays = [a for a in (case.x, case.dy, case.gamma, case.beta) if a is not None]
    before = [a.tobytes() for a in given_arrays]
    y, cache, gradients = case.bnlib()
    assert before == [a.tobytes() for a in given_arrays]
    assert y.dtype == case.x.dtype and gradients[0].dtype == case.dy.dtype
    exactly = truth(case, lost)
    allowed = tolerances(case, exactly, exactly.level, lost)
    for name, got, expected, tolerance in zip(
        ANSWERS, (y, *gradients), exact_answers(exactly), allowed, strict=False
    ):
        assert got.shape == expected.shape
        share = errors(got, expected) / tolerance
        assert share.max() <= 1, f"{name}: {share.max():.3g} times what may be lost"
    if case.norm.centred:
        truly = exactly.forward.mean, exactly.forward.var
        for name, expected, tolerance in zip(
            ("mean", "var"), truly, statistic_tolerances(case, exactly), strict=True
        ):
            assert (errors(getattr(cache, name).ravel(), expected) <= tolerance).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [*KINDS, None])
@given(data=st.data())
@tried(8)
def test_no_norm_is_further_from_the_truth_than_its_problem_demands(kind, dtype, data):
    check(data.draw(cases(dtypes=[dtype], kinds=[kind])))


@given(case=cases(long_shapes))
@tried(8)
def test_nor_is_it_where_columns_are_long(case):
    check(case, lost=one_way)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 60])
@pytest.mark.parametrize("shape", [(255, 8), (4097, 8), (4097, 4, 2, 2)])
def test_nor_is_batch_norm_where_all_numbers_but_one_are_equal(shape, place, dtype):
    x, dy = nearly_equal(shape, dtype, place)
    check(Case("batch_norm", exact.BATCH, (), x, None, None, dy, 1e-5), lost=one_way)


@given(shape=shapes, place=st.integers(0, 3), dtype=st.sampled_from(DTYPES))
@tried(30)
def test_without_a_number_there_is_no_norm_and_one_sentence_says_so(shape, place, dtype):
    axes = exact.by_channel(shape)
    empty = axes[place % len(axes)]
    x = np.empty([0 if axis == empty else n for axis, n in enumerate(shape)], dtype)
    for name in NORMS:
        option = (1,) if name == "group_norm" else ()
        with pytest.raises(ValueError, match=rf"^{name}: x must not be empty, got shape \("):
            getattr(normalization, name)(x, *option)


# Running averages and stored statistics


@st.composite
def histories(draw, make=layers.BatchNorm):
    """A layer and the batches that it meets in training."""
    shape = draw(shapes.filter(lambda shape: np.prod(shape) > shape[1]))
    dtype = draw(st.sampled_from(DTYPES))
    layer = make(
        shape[1],
        eps=draw(epsilons),
        momentum=draw(st.sampled_from([0.1, None, 0.0, 1.0, 0.9])),
        affine=draw(st.booleans()),
        dtype=dtype,
    )
    xs = [
        draw(layouts)(draw(batches(shape, dtype, 1, draw(st.sampled_from([*KINDS, None])))))
        for _ in range(draw(counts))
    ]
    return layer, xs


counts = st.integers(1, 3)


@given(history=histories())
@tried(60)
def test_running_averages_are_those_of_the_batches_or_nothing_happens(history):
    check_history(*history)


def check_history(layer, xs):
    """The layer's averages lie within their tolerance, or it has raised and is as it was."""
    dtype, zeros = layer.buffers["running_var"].dtype, np.zeros(layer.num_features)
    largest = float(np.finfo(dtype).max)
    taken, allowed = [], np.zeros((2, layer.num_features))
    for x in xs:
        case = Case("batch_norm", exact.BATCH, (), x, None, None, x, layer.eps)
        statistics = list(map(exact.floats, exact.running([x], 1.0, zeros, zeros)))
        doubtful = (statistics[1] > 0.99 * largest) & (statistics[1] < 1.01 * largest)
        assume(not doubtful.any())  # rounding decides what becomes infinite
        before = {name: array.tobytes() for name, array in layer.state_dict().items()}
        if (statistics[1] > largest).any():
            event(f"a variance beyond the range of {dtype}")
            with pytest.raises(FloatingPointError, match="BatchNorm: running_var must stay finite"):
                layer.forward(x, training=True)
            assert before == {name: array.tobytes() for name, array in layer.state_dict().items()}
            continue
        layer.forward(x, training=True)
        # Averages weigh what the statistics may be off by; each step stores old, new and sum.
        old = [layer.buffers[name].astype(np.float64) for name in AVERAGES]
        stores = [
            3 * stored(np.abs(a) + np.abs(b), dtype) for a, b in zip(old, statistics, strict=True)
        ]
        allowed += 2 * np.array(statistic_tolerances(case, truth(case))) + stores  # n/(n-1) <= 2
        taken.append(x)
    assert layer.buffers["num_batches_tracked"] == len(taken)
    expected = map(exact.floats, exact.running(taken, layer.momentum, zeros, zeros + 1))
    for name, truly, tolerance in zip(AVERAGES, expected, allowed, strict=True):
        assert (errors(layer.buffers[name], truly) <= tolerance + stored(1, dtype)).all(), name


@given(case=cases(), var=seeds)
@tried(60)
def test_stored_statistics_are_a_fixed_map_with_a_fixed_slope(case, var):
    x, dtype = case.x, case.x.dtype.newbyteorder("=")
    mean = np.array([row.flat[0] for row in np.moveaxis(x, 1, 0)], dtype)  # as far away as x is
    var = var.uniform(size=mean.shape) * var.choice([0, 1e-6, 1, 1e3], mean.shape)
    var = var.astype(dtype)
    gamma, beta = (
        (0.5 - mean[::-1] / np.abs(x).max(initial=1)).astype(dtype),
        mean[::-1] / dtype.type(2),
    )
    y = normalization.batch_norm_inference(x, mean, var, gamma, beta, eps=case.eps)
    dx, dgamma, dbeta = normalization.batch_norm_inference_backward(
        case.dy, x, mean, var, gamma, eps=case.eps
    )
    truly = exact.inference(x, mean, var, gamma, beta, case.eps)
    x_hat, expected = map(exact.floats, truly)
    inverse, gamma, beta = (
        exact.BATCH.spread_out(vector.astype(np.float64), x.shape)
        for vector in ((var.astype(np.float64) + case.eps) ** -0.5, gamma, beta)
    )
    dy, axes = case.dy.astype(np.float64), exact.by_channel(x.shape)
    level = rounding(dtype, x.size)
    underflow = float(np.finfo(np.promote_types(dtype, np.float32)).smallest_normal) * (1 + inverse)
    made_of = np.abs(gamma * x_hat) + np.abs(beta) + underflow / level
    for got, answer, scale in (
        (y, expected, made_of),
        (dx, dy * inverse * gamma, np.abs(dy * gamma) * inverse + underflow / level),
        (dgamma, (dy * x_hat).sum(axes), (np.abs(dy) * (np.abs(x_hat) + 1)).sum(axes)),
        (dbeta, dy.sum(axes), np.abs(dy).sum(axes)),
    ):
        tolerance = SAFETY * level * scale + stored(answer, got.dtype)
        assert (errors(got, answer) <= tolerance).all()


# The derivative of the backward pass


@st.composite
def curved(draw):
    """A case in float64 with few numbers, and two directions; a Python float asks x by x."""
    case = draw(cases(small_shapes, (np.float64,)))
    native = case.x.astype(np.float64)
    assume(np.abs(native).max() < 1e8)  # the derivatives to come divide by the cube of the spread
    v, u = draw(seeds).normal(size=(2, *native.shape))
    return case._replace(x=native, dy=case.dy.astype(np.float64)), v, u


def inner(case, v, x=None, gamma=None):
    """<v, dx> with all its digits, as a function of x or gamma."""
    x, gamma = case.x if x is None else x, gamma_of(case) if gamma is None else gamma
    return (exact.decimals(v) * exact.backward(case.norm, x, gamma, case.eps, case.dy).dx).sum()


def curvature_tolerance(case, v, u, level):
    """SAFETY levels of what a second derivative adds up, largest times largest in every row."""
    exactly = truth(case)
    g = np.abs(case.norm.spread_out(gamma_of(case), case.x.shape) * case.dy)
    size = 1 + np.abs(exactly.forward.x_hat)
    parts = [case.norm.rows(a) for a in (level, exactly.inverse, g * size, np.abs(u) * size, size)]
    level, inverse, g, u, size = (part.max(1) for part in parts)
    return SAFETY * (level * inverse**2 * g * u * size * case.norm.rows(np.abs(v)).sum(1)).sum()


@given(curved())
@tried(50)
def test_every_backward_pass_has_the_right_derivative(curve):
    case, v, u = curve
    step = 1e-30
    moved = case.bnlib(x=case.x + 1j * step * u)[2][0]
    truly = float(exact.slope(lambda x: inner(case, v, x), case.x, 1e-8, u))
    tolerance = curvature_tolerance(case, v, u, truth(case).level)
    assert abs((moved.imag * v).sum() / step - truly) <= tolerance


@given(curved())
@tried(40)
def test_gradients_of_gradients_in_the_graph(curve):
    """The graph computes batch norm as the paper writes it: there the rounding itself meets K."""
    case, v, u = curve
    gamma = np.linspace(-1, 2, case.x.shape[1])
    case = case._replace(name="batch_norm", norm=exact.BATCH, gamma=gamma, beta=None)
    x, scale, shift, dy, upstream = map(graph.Node, (case.x, gamma, 0 * gamma, case.dy, v))
    dx = graph.backward(graph.batch_norm(x, scale, shift, eps=case.eps), dy).at[x]
    again = graph.backward(dx, upstream).at
    exactly = truth(case)
    level = exactly.level_without_offset * (1 + np.abs(case.x).max() * exactly.inverse)

    truly = float(exact.slope(lambda x: inner(case, v, x), case.x, 1e-8, u))
    tolerance = curvature_tolerance(case, v, u, level)
    assert abs((again[x].value * u).sum() - truly) <= tolerance

    # dx is linear in dy, by a matrix that is its own transpose, and linear in gamma.
    other = case._replace(dy=v)
    tolerance = tolerances(other, truth(other), level)[1]
    assert (errors(again[dy].value, truth(other).backward.dx) <= tolerance).all()
    plain = case._replace(gamma=gamma**0)
    truly = exact.BATCH.rows(v * truth(plain).backward.dx).sum(1)
    tolerance = exact.BATCH.rows(np.abs(v) * tolerances(plain, truth(plain), level)[1]).sum(1)
    assert (errors(again[scale].value, truly) <= tolerance).all()


# PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip(
        "torch", reason="PyTorch is an oracle, not a requirement", exc_type=ImportError
    )


def pytorch_graph(torch, case):
    """PyTorch's y, its leaves x, gamma, beta, and dy."""
    functional = torch.nn.functional

    def tensor(array, leaf=True):
        if array is None:
            return None
        native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
        return torch.from_numpy(native).requires_grad_(leaf)

    gamma, beta = case.gamma, case.beta
    if gamma is None and beta is not None:  # with half of them its group norm fails
        gamma = np.ones_like(beta)
    x, gamma, beta, dy = map(tensor, (case.x, gamma, beta, case.dy))
    if case.name == "batch_norm":
        y = functional.batch_norm(x, None, None, gamma, beta, training=True, eps=case.eps)
    elif case.name == "instance_norm":
        y = functional.instance_norm(x, weight=gamma, bias=beta, eps=case.eps)
    elif case.name == "group_norm":
        y = functional.group_norm(x, case.option[0], gamma, beta, eps=case.eps)
    elif case.name == "layer_norm":
        y = functional.layer_norm(x, x.shape[case.option[0] :], gamma, beta, eps=case.eps)
    else:
        y = functional.rms_norm(x, x.shape[case.option[0] :], gamma, eps=case.eps)
    return y, (x, gamma, beta), dy


def pytorch(torch, case):
    """y, dx, dgamma, dbeta as PyTorch computes them; the last two only for what was given."""
    y, leaves, dy = pytorch_graph(torch, case)
    y.backward(dy)
    gradients = [None if leaf is None else leaf.grad for leaf in leaves]
    return [None if a is None else a.detach().numpy() for a in (y, *gradients)]


def worst(got, expected):
    """The largest error, in float64; infinite where NaN came for a number."""
    return np.nan_to_num(errors(got, expected), nan=np.inf, posinf=np.inf).max(initial=0)


@pytest.mark.parametrize("kind", [*KINDS, None])
@given(data=st.data())
@tried(8)
def test_no_norm_is_further_from_the_truth_than_pytorch_s(torch, kind, data):
    check_beside(torch, data.draw(cases(kinds=[kind])))


def check_beside(torch, case):
    """No answer is further from the truth than PyTorch's, by more than rounding."""
    assume(case.norm.rows(case.x).shape[1] > 1)  # PyTorch refuses a single value
    y, _, gradients = case.bnlib()
    exactly = truth(case)
    without_offset = tolerances(case, exactly, exactly.level_without_offset)
    demanded = tolerances(case, exactly, exactly.level)
    theirs = pytorch(torch, case)
    for name, got, other, expected, least, most in zip(
        ANSWERS,
        (y, *gradients),
        theirs,
        exact_answers(exactly),
        without_offset,
        demanded,
        strict=False,
    ):
        if other is None:
            continue
        ours, others = worst(got, expected), worst(other, expected)
        assert ours <= others + least.max(), f"{name}: {ours:.3g}, PyTorch {others:.3g}"
        if others > 10 * (most + stored(expected, other.dtype)).max():
            event(f"PyTorch fails at {name} of {case.name}, {case.x.dtype}")
            assert ours < others


@given(curved())
@tried(25)
def test_no_derivative_of_a_backward_pass_is_further_from_the_truth_than_pytorch_s(torch, curve):
    case, v, u = curve
    assume(case.norm.rows(case.x).shape[1] > 1)
    y, (x, *_), dy = pytorch_graph(torch, case)
    (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
    (theirs,) = torch.autograd.grad(dx, x, torch.from_numpy(v), allow_unused=True)
    theirs = 0.0 if theirs is None else float((theirs.numpy() * u).sum())
    ours = (case.bnlib(x=case.x + 1e-30j * u)[2][0].imag * v).sum() / 1e-30
    truly = float(exact.slope(lambda x: inner(case, v, x), case.x, 1e-8, u))
    least = curvature_tolerance(case, v, u, truth(case).level_without_offset)
    assert abs(ours - truly) <= np.nan_to_num(abs(theirs - truly), nan=np.inf) + least
