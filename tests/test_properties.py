"""Every norm against a hundred digits and against PyTorch, for inputs that nobody chose.

How far bnlib may be from the truth follows from the problem. With w the spacing of numbers at 1 in
which it computes (float32's for float16 and float32) and a row of n values whose mean lies K
standard deviations (eps counted in) from 0, a row's numbers can be known to about

    level = w + sqrt(n) 2^-52 + (w + sqrt(n) 2^-52)^2 K

The first term is the rounding of each number; the second that of sums accumulated in float64; the
third what an offset costs when the mean is subtracted in two steps: only the square of the rounding
meets K. A one-step subtraction, as PyTorch's, has the rounding itself there. Every tolerance below
is SAFETY levels of what was added up to make the number, so a difference of two large things may
lose digits, and nothing else may.
"""

from typing import NamedTuple

import exact
import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st
from inputs import (
    DTYPES,
    batches,
    epsilons,
    layouts,
    long_shapes,
    parameters,
    shapes,
    tried,
    upstreams,
)

from bnlib import normalization

SAFETY = 3
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
    return st.one_of(
        st.just(("batch_norm", exact.BATCH, ())),
        st.just(("instance_norm", exact.INSTANCE, ())),
        st.sampled_from(divisors).map(lambda g: ("group_norm", exact.group(g), (g,))),
        axis.map(lambda a: ("layer_norm", exact.layer(a), (a,))),
        axis.map(lambda a: ("rms_norm", exact.layer(a, centred=False), (a,))),
    )


@st.composite
def cases(draw, shapes=shapes, dtypes=DTYPES):
    """A norm and what it is called with."""
    shape, dtype = draw(shapes), draw(st.sampled_from(dtypes))
    name, norm, option = draw(norms_of(shape))
    x = draw(batches(shape, dtype, axis=draw(st.integers(0, 1))))
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


def working_spacing(dtype):
    return float(np.finfo(np.promote_types(dtype, np.float32)).eps)


def truth(case):
    forward = exact.forward(case.norm, case.x, gamma_of(case), beta_of(case), case.eps)
    backward = exact.backward(case.norm, case.x, gamma_of(case), case.eps, case.dy)
    forward = exact.Forward(*map(exact.floats, forward))
    rows = case.norm.rows(case.x)
    rounding = working_spacing(case.x.dtype) + np.sqrt(rows.shape[1]) * DOUBLE
    level = rounding + rounding**2 * np.abs(forward.mean) * forward.inverse

    def everywhere(per_row):
        per_row = np.broadcast_to(per_row, len(rows))
        return case.norm.back(np.broadcast_to(per_row[:, None], rows.shape), case.x.shape)

    backward = exact.Backward(*map(exact.floats, backward))
    return Truth(
        forward, backward, everywhere(level), everywhere(rounding), everywhere(forward.inverse)
    )


def stored(values, dtype):
    """What may be lost when a value is stored: a spacing of its dtype, or what underflows."""
    kind = np.finfo(dtype)
    return float(kind.eps) * np.abs(values) + float(kind.smallest_normal)


def tolerances(case, exactly, level):
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
    sums = working_spacing(case.x.dtype) + np.sqrt(case.x.size) * DOUBLE
    dgamma = SAFETY * ((np.maximum(level, sums) * dy * size).sum(axes))
    dbeta = SAFETY * sums * dy.sum(axes)
    return (
        y + stored(exactly.forward.y, case.x.dtype),
        dx + stored(exactly.backward.dx, case.dy.dtype),
        dgamma + stored(exactly.backward.dgamma, working),
        dbeta + stored(exactly.backward.dbeta, working),
    )


def exact_answers(exactly):
    return exactly.forward.y, *exactly.backward


def errors(got, expected):
    """|got - expected|, 0 where both lie beyond the range of the dtype."""
    largest = float(np.finfo(got.dtype).max)
    beyond = (np.abs(expected) >= largest) & np.isinf(got) & (np.sign(got) == np.sign(expected))
    with np.errstate(invalid="ignore"):
        return np.where(beyond, 0, np.abs(got.astype(np.float64) - expected))


def check(case):
    """Every answer lies within its tolerance; nothing that was given has changed."""
    given_arrays = [a for a in (case.x, case.dy, case.gamma, case.beta) if a is not None]
    before = [a.tobytes() for a in given_arrays]
    y, _, gradients = case.bnlib()
    assert before == [a.tobytes() for a in given_arrays]
    assert y.dtype == case.x.dtype and gradients[0].dtype == case.dy.dtype
    exactly = truth(case)
    allowed = tolerances(case, exactly, exactly.level)
    for name, got, expected, tolerance in zip(
        ANSWERS, (y, *gradients), exact_answers(exactly), allowed, strict=False
    ):
        assert got.shape == expected.shape
        share = errors(got, expected) / tolerance
        assert share.max() <= 1, f"{name}: {share.max():.3g} times what may be lost"


@given(case=cases())
@tried(150)
def test_no_norm_is_further_from_the_truth_than_its_problem_demands(case):
    event(f"{case.name} {case.x.dtype}")
    check(case)


@given(case=cases(long_shapes))
@tried(8)
def test_nor_is_it_where_columns_are_long(case):
    check(case)


# PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip(
        "torch", reason="PyTorch is an oracle, not a requirement", exc_type=ImportError
    )


def pytorch(torch, case):
    """y, dx, dgamma, dbeta as PyTorch computes them; the last two only for what was given."""
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
    y.backward(dy)
    gradients = [None if leaf is None else leaf.grad for leaf in (x, gamma, beta)]
    return [None if a is None else a.detach().numpy() for a in (y, *gradients)]


def worst(got, expected):
    """The largest error, in float64; infinite where NaN came for a number."""
    return np.nan_to_num(errors(got, expected), nan=np.inf, posinf=np.inf).max(initial=0)


@given(case=cases())
@tried(60)
def test_no_norm_is_further_from_the_truth_than_pytorch_s(torch, case):
    assume(case.norm.rows(case.x).shape[1] > 1)  # PyTorch refuses a single value
    y, _, gradients = case.bnlib()
    exactly = truth(case)
    rounding = tolerances(case, exactly, exactly.level_without_offset)
    demanded = tolerances(case, exactly, exactly.level)
    theirs = pytorch(torch, case)
    for name, got, other, expected, least, most in zip(
        ANSWERS, (y, *gradients), theirs, exact_answers(exactly), rounding, demanded, strict=False
    ):
        if other is None:
            continue
        ours, others = worst(got, expected), worst(other, expected)
        assert ours <= others + least.max(), f"{name}: {ours:.3g}, PyTorch {others:.3g}"
        if others > 10 * (most + stored(expected, other.dtype)).max():
            event(f"PyTorch fails at {name} of {case.name}, {case.x.dtype}")
            assert ours < others
