"""What float32 statistics cost, in digits and in time, far away from 0.

Unit spread around an offset, 65,536 values per channel; the truth is the same numbers in float64.
"""

import numpy as np

from benchmarks import peers
from benchmarks.batch_norm import batch
from benchmarks.timing import Answer, race, ratios
from bnlib import compiled, normalization

SHAPE = (65536, 32)
OFFSETS = [0.0, 1e2, 1e4, 1e5]


def statistics():
    """Name to a function that gives the variance it normalizes x by, after the forward pass."""

    def by_numpy(x):
        mean, var = x.mean(0), x.var(0)
        return var, (x - mean) / np.sqrt(var + np.float32(1e-5))

    found = {"numpy, mean and var": by_numpy, "bnlib": _ours(normalization)}
    if peers.installed("numba"):
        found["bnlib compiled"] = _ours(compiled)
        found["one pass, compiled"] = _one_pass()
    if peers.installed("torch"):
        torch = peers.torch()

        def by_torch(x):
            y, _, inv_std = torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
            return inv_std.double() ** -2 - 1e-5, y

        found["PyTorch"] = lambda x: by_torch(torch.from_numpy(x))
    if peers.installed("jax"):
        found["JAX jit"] = _jax()
    return found


def errors():
    """Largest relative error of the variance, by offset."""
    rows = {name: {} for name in statistics()}
    for offset in OFFSETS:
        x = batch(SHAPE, offset)[0]
        exact = x.var(axis=0, dtype=np.float64, mean=x.mean(0, dtype=np.float64, keepdims=True))
        for name, measure in statistics().items():
            wrong = np.abs(np.asarray(measure(x)[0], np.float64) - exact) / exact
            rows[name][f"offset {offset:g}"] = float(wrong.max())
    return rows


def accuracy(rounds=11):
    """Errors by offset, and beside them the time of the forward pass."""
    x = batch(SHAPE)[0]
    contestants = {name: lambda call=call: call(x) for name, call in statistics().items()}
    samples = race(contestants, rounds=rounds)
    reference = "PyTorch" if "PyTorch" in samples else "bnlib"
    times = ratios(samples, reference)
    rows = errors()
    for name, row in rows.items():
        row[f"forward, time / {reference}"] = times.get(name, 1.0)
    return Answer(
        "Float32 statistics far from 0, and their price",
        "Largest relative error of a channel's variance (65,536 values of spread 1 around the "
        "offset), then the time of the forward pass. `one pass, compiled`: E[x^2] - E[x]^2 in "
        "float32, as fast as it can be had; what separates it from `bnlib compiled` is what the "
        "digits cost.",
        rows,
        axis="relative error; time / PyTorch's",
    )


def _ours(module):
    def measure(x):
        y, cache = module.batch_norm(x)
        return cache.var, y

    return measure


def _one_pass():
    import numba

    @numba.njit(fastmath={"contract"}, error_model="numpy")
    def forward(x, y, mean, var, scale):
        count, channels = x.shape
        mean[:] = 0
        var[:] = 0
        for i in range(0, count - 3, 4):
            for j in range(channels):
                a, b, c, d = x[i, j], x[i + 1, j], x[i + 2, j], x[i + 3, j]
                mean[j] += (a + b) + (c + d)
                var[j] += (a * a + b * b) + (c * c + d * d)
        for j in range(channels):
            mean[j] /= count
            var[j] = var[j] / count - mean[j] * mean[j]
            scale[j] = 1 / np.sqrt(max(var[j], 0.0) + 1e-5)
        for i in range(count):
            for j in range(channels):
                y[i, j] = (x[i, j] - mean[j]) * scale[j]

    def measure(x):
        y = np.empty_like(x)
        mean, var, scale = np.empty((3, x.shape[1]), x.dtype)
        forward(x, y, mean, var, scale)
        return var, y

    return measure


def _jax():
    import jax

    @jax.jit
    def forward(x):
        mean, var = x.mean(0), x.var(0)
        return var, (x - mean) * jax.lax.rsqrt(var + 1e-5)

    return lambda x: jax.block_until_ready(forward(x))
