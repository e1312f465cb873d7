"""How long a training step takes, of a deep narrow network and of a small convolutional one.

Each step is whole: forward, loss, backward, running averages, plain gradient descent; float32.
"""

import numpy as np

from benchmarks import peers
from benchmarks.timing import Answer, race, ratios
from bnlib import compiled, ensembles, functional, layers, optim, training
from bnlib.datasets import Dataset

SIZES = [784, 100, 100, 100, 100, 100, 10]
SWEEP = 160  # networks: 16 initial scales, with and without batch norm, 5 seeds


def examples(count, *shape):
    """Pictures of noise and labels: what they show costs nobody time."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, *shape), np.float32), rng.integers(0, 10, count)


def bnlib_step(network, x, labels):
    """A training step of `training.fit`, without its drawing of batches."""
    optimizer = optim.SGD(network, lr=0.1)

    def step():
        logits = network.forward(x, training=True)
        _, cache = functional.softmax_cross_entropy(logits, labels)
        network.backward(functional.softmax_cross_entropy_backward(cache), input_gradient=False)
        optimizer.step()

    return step


def mlp(norm=None):
    """784-100x5-10 of bnlib in float32."""
    return layers.mlp(SIZES, rng=np.random.default_rng(0), norm=norm, dtype=np.float32)


def deep_step(batch_norm):
    """Contestants for one step of 784-100x5-10, batch 100."""
    x, labels = examples(100, 784)
    norm = layers.BatchNorm if batch_norm else None
    contestants = {"bnlib": bnlib_step(mlp(norm), x, labels)}
    if batch_norm and peers.installed("numba"):
        contestants["bnlib compiled"] = bnlib_step(mlp(compiled.BatchNorm), x, labels)
    if peers.installed("torch"):
        network = peers.torch_mlp(SIZES, batch_norm)
        contestants["PyTorch"] = peers.torch_step(network, x, labels)
    if peers.installed("jax"):
        contestants["JAX jit"] = peers.jax_step(SIZES, batch_norm, x, labels)
    return contestants


def step(rounds=11):
    """One step of 784-100x5-10, batch 100, with and without batch norm."""
    cases = {"with batch norm": True, "without": False}
    return Answer(
        "A training step of 784-100x5-10, batch 100",
        "Time divided by PyTorch's in eager mode.",
        {case: _to_torch(race(deep_step(on), rounds=rounds)) for case, on in cases.items()},
    )


def sweep(rounds=5, together=8, batches=4):
    """A slice of 160 networks x 20 epochs: 8 networks, 4 batches; every step costs the same."""
    x, labels = examples(100 * batches, 784)
    data = Dataset(x, labels, x[:0], labels[:0])

    def rngs():
        return [np.random.default_rng(seed) for seed in range(together)]

    def one_by_one(networks):
        settings = {"epochs": 1, "batch_size": 100, "evaluate": "never"}
        for network, rng in zip(networks, rngs(), strict=True):
            training.fit(network, optim.SGD(network, lr=0.1), data, rng=rng, **settings)

    def side_by_side(networks):
        settings = {"epochs": 1, "batch_size": 100, "evaluate": "never", "width": together}
        ensembles.fit_together(networks, data, lr=0.1, rngs=rngs(), **settings)

    rows = {}
    for case, on in {"with batch norm": True, "without": False}.items():
        norm = layers.BatchNorm if on else None
        alone, beside = [[mlp(norm) for _ in range(together)] for _ in range(2)]
        contestants = {
            "bnlib, one by one": lambda alone=alone: one_by_one(alone),
            "bnlib, side by side": lambda beside=beside: side_by_side(beside),
        }
        if peers.installed("torch"):
            contestants["PyTorch"] = _torch_epochs(on, together, x, labels, batches)
        rows[case] = _to_torch(race(contestants, rounds=rounds))
    return Answer(
        f"The sweep of {SWEEP} networks, extrapolated",
        f"Measured on a slice of {together} networks and {batches} batches of 100; the sweep is "
        "that slice over and over. Time divided by PyTorch's, one network after the other.",
        rows,
    )


def convolutional(rounds=11):
    """One step of conv8-conv16-linear on 64 pictures of 28 x 28."""
    x, labels = examples(64, 1, 28, 28)
    rng = np.random.default_rng

    def convnet(norm):
        network = layers.convnet((1, 28, 28), [8, 16], 10, rng=rng(0), norm=norm, dtype=np.float32)
        return bnlib_step(network, x, labels)

    contestants = {"bnlib": convnet(layers.BatchNorm)}
    if peers.installed("numba"):
        contestants["bnlib compiled"] = convnet(compiled.BatchNorm)
    if peers.installed("torch"):
        torch = peers.torch()
        plain, last = [peers.torch_convnet([8, 16], 28, 10) for _ in range(2)]
        contestants["PyTorch"] = peers.torch_step(plain, x, labels)
        last.to(memory_format=torch.channels_last)
        contestants["PyTorch, channels last"] = peers.torch_step(last, x, labels)
    return Answer(
        "A training step of a small convolutional network",
        "conv 8, conv 16 (3 x 3, each with batch norm, ReLU, pooling), linear; 64 pictures of "
        "28 x 28. Time divided by PyTorch's in its default layout.",
        {"with batch norm": _to_torch(race(contestants, rounds=rounds))},
    )


def _torch_epochs(batch_norm, together, x, labels, batches):
    networks = [peers.torch_mlp(SIZES, batch_norm) for _ in range(together)]
    torch = peers.torch()
    tx, tlabels = torch.from_numpy(x), torch.from_numpy(labels)
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.1) for network in networks]

    def epochs():
        for network, optimizer in zip(networks, optimizers, strict=True):
            order = torch.randperm(len(x))
            for batch in order.split(len(x) // batches):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(network(tx[batch]), tlabels[batch])
                loss.backward()
                loss.item()
                optimizer.step()

    return epochs


def _to_torch(samples):
    return ratios(samples, "PyTorch" if "PyTorch" in samples else next(iter(samples)))
