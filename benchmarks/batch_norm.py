"""How long batch norm takes, forward and backward, and at test time.

Seven shapes, float32, arrays in, arrays out: PyTorch's own kernels without its graph, JAX compiled,
bnlib's readable reference, bnlib compiled, and numpy as one writes it first. The floor is what the
memory needs: 5 arrays must move (x, y, dy, x again, dx), a copy moves 2.
"""

import numpy as np

from benchmarks import peers
from benchmarks.timing import Answer, race, ratios
from bnlib import compiled, normalization

SHAPES = [
    (100, 100),
    (128, 512),
    (256, 1024),
    (4096, 1024),
    (65536, 256),
    (64, 32, 28, 28),
    (128, 64, 16, 16),
]


def words(shape):
    """A shape as it is read aloud."""
    return " x ".join(map(str, shape))


def batch(shape, offset=0.0):
    """x, gamma, beta and dy in float32."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32) + np.float32(offset)
    gamma, beta = rng.standard_normal((2, shape[1]), np.float32)
    return x, gamma, beta, rng.standard_normal(shape, np.float32)


def training_contestants(x, gamma, beta, dy):
    """Forward and backward of everybody who is installed."""

    def ours(module):
        def both():
            y, cache = module.batch_norm(x, gamma, beta)
            return y, *module.batch_norm_backward(dy, cache)

        return both

    contestants = {"bnlib": ours(normalization), "first numpy": lambda: first_numpy(x, gamma, dy)}
    if peers.installed("numba"):
        contestants["bnlib compiled"] = ours(compiled)
    if peers.installed("torch"):
        contestants["PyTorch"] = _torch_training(x, gamma, beta, dy)
    if peers.installed("jax"):
        contestants["JAX jit"] = _jax_training(x, gamma, beta, dy)
    copy = np.empty_like(x)
    contestants["copy"] = lambda: np.copyto(copy, x)
    return contestants


def inference_contestants(x, gamma, beta):
    """The same with stored statistics."""
    mean, var = np.zeros_like(gamma), np.ones_like(gamma)
    stored = x, mean, var, gamma, beta
    contestants = {"bnlib": lambda: normalization.batch_norm_inference(*stored)}
    if peers.installed("numba"):
        contestants["bnlib compiled"] = lambda: compiled.batch_norm_inference(*stored)
    if peers.installed("torch"):
        torch = peers.torch()
        tx, tm, tv, tg, tb = map(torch.from_numpy, stored)
        contestants["PyTorch"] = lambda: torch.native_batch_norm(
            tx, tg, tb, tm, tv, False, 0.1, 1e-5
        )
    if peers.installed("jax"):
        contestants["JAX jit"] = _jax_inference(*stored)
    copy = np.empty_like(x)
    contestants["copy"] = lambda: np.copyto(copy, x)
    return contestants


def first_numpy(x, gamma, dy, eps=1e-5):
    """Batch norm as one writes it first: every term an array."""
    axes = (0, *range(2, x.ndim))
    slope = gamma.reshape(1, -1, *(1,) * (x.ndim - 2))
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    std = np.sqrt(var + np.float32(eps))
    x_hat = (x - mean) / std
    y = slope * x_hat
    count = x.size // x.shape[1]
    dx_hat = dy * slope
    dvar = (dx_hat * (x - mean) * -0.5 * std**-3).sum(axes, keepdims=True)
    dmean = (-dx_hat / std).sum(axes, keepdims=True)
    dx = dx_hat / std + dvar * 2 * (x - mean) / count + dmean / count
    return y, dx, (dy * x_hat).sum(axes), dy.sum(axes)


def training(rounds=11, shapes=SHAPES):
    """Forward and backward: time in units of PyTorch's; the floor too."""
    rows = {}
    for shape in shapes:
        rows[words(shape)] = _against(training_contestants(*batch(shape)), rounds, 2.5)
    return Answer(
        "Batch norm, forward and backward",
        "Time divided by PyTorch's kernels (native_batch_norm and its backward, no graph). "
        "`memory floor`: 2.5 copies of one array.",
        rows,
    )


def inference(rounds=11, shapes=SHAPES):
    """With stored statistics."""
    rows = {}
    for shape in shapes:
        rows[words(shape)] = _against(inference_contestants(*batch(shape)[:3]), rounds, 1)
    return Answer(
        "Batch norm at test time",
        "Time divided by PyTorch's, with stored statistics. `memory floor`: one copy.",
        rows,
    )


def _against(contestants, rounds, copies):
    """Ratios to PyTorch (to bnlib where that is missing), with copies in place of the floor."""
    samples = race(contestants, rounds=rounds)
    samples["memory floor"] = copies * samples.pop("copy")
    return ratios(samples, "PyTorch" if "PyTorch" in samples else "bnlib")


def _torch_training(x, gamma, beta, dy):
    torch = peers.torch()
    x, gamma, beta, dy = map(torch.from_numpy, (x, gamma, beta, dy))
    forward = torch.native_batch_norm
    backward = torch.ops.aten.native_batch_norm_backward

    def both():
        y, mean, inv_std = forward(x, gamma, beta, None, None, True, 0.1, 1e-5)
        three = [True, True, True]
        return y, *backward(dy, x, gamma, None, None, mean, inv_std, True, 1e-5, three)

    return both


def _jax_training(x, gamma, beta, dy):
    import jax

    @jax.jit
    def both(x, gamma, beta, dy):
        y, pull = jax.vjp(peers.jax_batch_norm, x, gamma, beta)
        return y, *pull(dy)

    arguments = [jax.numpy.asarray(array) for array in (x, gamma, beta, dy)]
    return lambda: jax.block_until_ready(both(*arguments))


def _jax_inference(x, mean, var, gamma, beta):
    import jax

    @jax.jit
    def apply(x, mean, var, gamma, beta):
        shape = (1, -1, *(1,) * (x.ndim - 2))
        scale = gamma * jax.lax.rsqrt(var + 1e-5)
        return (x - mean.reshape(shape)) * scale.reshape(shape) + beta.reshape(shape)

    arguments = [jax.numpy.asarray(array) for array in (x, mean, var, gamma, beta)]
    return lambda: jax.block_until_ready(apply(*arguments))
