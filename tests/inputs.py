"""What the property-based tests feed the norms with, and how much of it.

    BNLIB_INPUTS=20000 python -m pytest tests/test_properties.py      # `make audit` does this

Without the variable a test tries a few dozen inputs, the same ones every time; with it so many, and
other ones every time.
"""

import os

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

INPUTS = int(os.environ.get("BNLIB_INPUTS", "0"))
# Slow machines are no failure, and the inputs that failed are printed, not stored.
COMMON = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate, Phase.shrink),
}


def tried(few):
    """Settings of a test: `few` inputs in CI, as many as are asked for in an audit."""
    if INPUTS:
        return settings(max_examples=INPUTS, print_blob=True, **COMMON)
    return settings(max_examples=few, derandomize=True, **COMMON)


DTYPES = (np.float16, np.float32, np.float64)
# The square of a float64 must stay in its range, and float32 ends at 3e38.
LARGEST = {np.float16: 6e4, np.float32: 1e30, np.float64: 1e30}
SEEDS = st.integers(0, 2**32 - 1)

shapes = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 4)),
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
)
# As many rows as a faster path might cut into blocks, one more and one fewer.
long_shapes = st.one_of(
    st.tuples(st.sampled_from([127, 255, 256, 257, 513, 1025, 2049, 4097]), st.just(2)),
    st.tuples(st.integers(2, 9), st.just(2), st.integers(8, 20), st.integers(8, 20)),
)
small_shapes = st.one_of(
    st.tuples(st.integers(2, 6), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(2, 3)),
)
epsilons = st.sampled_from([1e-5, 1e-3, 1e-12, 1e-8, 0.1, 10.0, 1e-15])
seeds = SEEDS.map(np.random.default_rng)


def plain(rng, n, dtype):
    return rng.normal(size=n) * rng.uniform(0.1, 10) + rng.normal()


def whole(rng, n, dtype):
    return rng.integers(-3, 4, n)


def constant(rng, n, dtype):
    return np.full(n, rng.normal() * 10.0 ** rng.integers(-8, 9))


def zero(rng, n, dtype):
    return np.zeros(n)


def denormal(rng, n, dtype):
    return rng.integers(-9, 10, n) * float(np.finfo(dtype).smallest_subnormal)


def tiny(rng, n, dtype):
    return rng.normal(size=n) * 10.0 ** -rng.integers(6, 46)


def huge(rng, n, dtype):
    return rng.normal(size=n) * 1e30


def far(rng, n, dtype):
    """The offset is a million times the spread."""
    return (rng.normal(size=n) + 1e6 * rng.choice([-1, 1])) * 10.0 ** rng.integers(-6, 7)


def fairly_far(rng, n, dtype):
    return rng.normal(size=n) + 10.0 ** rng.integers(1, 6)


def outlier(rng, n, dtype):
    row = rng.normal(size=n)
    row[rng.integers(n)] = 1e6
    return row


def every_size(rng, n, dtype):
    return rng.normal(size=n) * 10.0 ** rng.integers(-30, 31, n)


# None: each number as hypothesis likes.
KINDS = [plain, whole, constant, zero, denormal, tiny, huge, far, fairly_far, outlier, every_size]


def held(values, dtype):
    """The values as a dtype holds them, none beyond the range in which all norms have an answer."""
    return np.clip(values, -LARGEST[dtype], LARGEST[dtype]).astype(dtype)


@st.composite
def batches(draw, shape, dtype, axis, kind=None):
    """x: its rows along `axis` of one kind and of others, or number by number by hypothesis."""
    if kind is None and np.prod(shape) < 100:
        width = np.dtype(dtype).itemsize * 8
        largest = float(dtype(LARGEST[dtype]))
        return draw(arrays.arrays(dtype, shape, elements=st.floats(-largest, largest, width=width)))
    rng, x = draw(seeds), np.empty(shape, dtype)
    for number, row in enumerate(np.moveaxis(x, axis, 0)):
        kind = kind if number == 0 and kind else KINDS[rng.integers(len(KINDS))]
        row[...] = held(kind(rng, row.size, dtype).reshape(row.shape), dtype)
    return x


def nearly_equal(shape, dtype, place):
    """x and dy of equal numbers in each channel, but for one far away in x, counted from its first.

    What one addition loses the next loses again, so that errors add up instead of cancelling.
    """
    rng = np.random.default_rng(0)
    along = (shape[1], *(1,) * len(shape[2:]))
    x, dy = (np.full(shape, rng.normal(size=along), dtype) for _ in range(2))
    for channel in range(shape[1]):
        np.moveaxis(x, 1, 0)[channel].flat[place] += rng.uniform(1e6, 8e6)
    return x, dy


@st.composite
def upstreams(draw, shape, dtype):
    """dy: random, the same everywhere, or 0 nearly everywhere; small and large."""
    kind = draw(st.sampled_from(["random", "ones", "one"]))
    dy = draw(seeds).normal(size=shape) if kind == "random" else np.ones(shape)
    if kind == "one":
        dy.ravel()[1:] = 0
    return (dy * draw(st.sampled_from([1.0, 1.0, 1e-3, 1e3]))).astype(dtype)


@st.composite
def parameters(draw, shape, dtype):
    """Gamma and beta, some of gamma 0, or None."""
    affine = draw(st.sampled_from(["both", "both", "neither", "gamma", "beta"]))
    rng = draw(seeds)
    gamma, beta = (rng.normal(size=(2, *shape)) * draw(st.sampled_from([1, 30]))).astype(dtype)
    if draw(st.integers(0, 4)) == 0:
        gamma.ravel()[0] = 0
    return (
        gamma if affine in ("both", "gamma") else None,
        beta if affine in ("both", "beta") else None,
    )


def strided(array):
    wide = np.zeros([2 * size for size in array.shape], array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def reversed_strides(array):
    return np.flip(np.ascontiguousarray(np.flip(array)))


def channels_last(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def other_byte_order(array):
    return array.astype(array.dtype.newbyteorder())


LAYOUTS = [
    np.ascontiguousarray,
    np.asfortranarray,
    strided,
    reversed_strides,
    channels_last,
    unaligned,
    read_only,
    other_byte_order,
]
layouts = st.sampled_from(LAYOUTS)
