"""Who is there to race with, and the networks of the peers; what is not installed is left out."""

import importlib.util
import itertools

import numpy as np


def installed(name):
    """Whether a package can be imported."""
    return importlib.util.find_spec(name) is not None


def torch():
    """PyTorch on one thread."""
    import torch

    torch.set_num_threads(1)
    return torch


def torch_step(network, x, labels, lr=0.1):
    """A training step of a PyTorch module in eager mode, as a function without arguments."""
    torch_ = torch()
    x, labels = torch_.from_numpy(x), torch_.from_numpy(labels)
    optimizer = torch_.optim.SGD(network.parameters(), lr=lr)

    def step():
        optimizer.zero_grad()
        torch_.nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()

    return step


def torch_mlp(sizes, batch_norm):
    """Linear, [BatchNorm1d,] ReLU, …, Linear: the network of `bnlib.layers.mlp`."""
    nn = torch().nn
    layers = []
    for inputs, outputs in itertools.pairwise(sizes[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=not batch_norm))
        layers += [nn.BatchNorm1d(outputs)] if batch_norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))


def torch_convnet(channels, size, classes):
    """The network of `bnlib.layers.convnet` with batch norm, for pictures of one channel."""
    nn = torch().nn
    layers, depth = [], 1
    for out in channels:
        convolution = nn.Conv2d(depth, out, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
        depth, size = out, size // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(depth * size * size, classes))


def jax_batch_norm(x, gamma, beta, eps=1e-5):
    """Batch norm of (N, C, *spatial) as a JAX user writes it."""
    from jax import lax

    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *(1,) * (x.ndim - 2))
    mean = x.mean(axes, keepdims=True)
    var = x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(var + eps) * gamma.reshape(shape) + beta.reshape(shape)


def jax_step(sizes, batch_norm, x, labels, lr=0.1):
    """A training step of the same network as `torch_mlp`, compiled by JAX as a whole."""
    import jax
    from jax import numpy as jnp

    rng = np.random.default_rng(0)

    def layer(inputs, outputs):
        weight = rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype(np.float32)
        one, zero = jnp.ones(outputs), jnp.zeros(outputs)
        return {"weight": jnp.asarray(weight), "gamma": one, "beta": zero}

    def loss(params, state):
        h, new_state = x, []
        for index, p in enumerate(params):
            h = h @ p["weight"]
            if index == len(params) - 1:
                h = h + p["beta"]
            elif batch_norm:
                now = h.mean(0), h.var(0)
                new_state.append(
                    [0.9 * a + 0.1 * b for a, b in zip(state[index], now, strict=True)]
                )
                h = jax.nn.relu(jax_batch_norm(h, p["gamma"], p["beta"]))
            else:
                h = jax.nn.relu(h + p["beta"])
        logs = jax.nn.log_softmax(h)
        return -logs[jnp.arange(len(labels)), labels].mean(), new_state

    @jax.jit
    def update(params, state):
        (_, state), grads = jax.value_and_grad(loss, has_aux=True)(params, state)
        return jax.tree.map(lambda p, g: p - lr * g, params, grads), state

    params = [layer(*pair) for pair in itertools.pairwise(sizes)]
    state = [[jnp.zeros(n), jnp.ones(n)] for n in sizes[1:-1]] if batch_norm else []
    held = [params, state]

    def step():
        held[:] = jax.block_until_ready(update(*held))

    return step
