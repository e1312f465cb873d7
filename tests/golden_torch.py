"""Writes golden_torch.json: what PyTorch answers, for machines that do not have it.

Run `python tests/golden_torch.py` where PyTorch is installed; `test_torch.py` compares bnlib with
the file always, and the file with PyTorch wherever it is at hand.
"""

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".json")
BATCH_NORM_CASES = {
    # name: (shape, dtype, momentum, eps, affine)
    "rows": ((6, 3), "float64", 0.1, 1e-5, True),
    "rows of float32": ((6, 3), "float32", 0.1, 1e-5, True),
    "pictures": ((3, 2, 2, 3), "float64", 0.3, 1e-3, True),
    "sequences": ((4, 3, 5), "float64", 0.1, 1e-5, False),
    "cumulative average": ((5, 2), "float64", None, 1e-5, True),
    "a batch of two": ((2, 2), "float64", 0.1, 1e-5, True),
}
LAYER_NORM_CASES = {
    # name: (shape, shape of what is normalized together, dtype, eps, affine)
    "rows": ((4, 5), (5,), "float64", 1e-5, True),
    "rows of float32": ((4, 5), (5,), "float32", 1e-5, True),
    "pictures": ((3, 2, 2, 3), (2, 2, 3), "float64", 1e-3, True),
    "sequences": ((2, 3, 4), (4,), "float64", 1e-5, False),
}


def draw(shape, count, dtype, seed):
    return np.random.default_rng(seed).normal(1, 2, size=(count, *shape)).astype(dtype)


def batch_norm_case(shape, dtype, momentum, eps, affine, torch):
    """Two training batches, then one in evaluation; each forward and backward."""
    make = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}[len(shape)]
    layer = make(shape[1], eps=eps, momentum=momentum, affine=affine, dtype=getattr(torch, dtype))
    gamma, beta = draw((shape[1],), 2, dtype, seed=1)
    if affine:
        layer.load_state_dict(
            {**layer.state_dict(), "weight": torch.tensor(gamma), "bias": torch.tensor(beta)}
        )
    case = {"gamma": gamma, "beta": beta, "steps": []}
    inputs, upstreams = draw(shape, 3, dtype, seed=2), draw(shape, 3, dtype, seed=3)
    for training, x, dy in zip([True, True, False], inputs, upstreams, strict=True):
        layer.train(training)
        layer.zero_grad()
        leaf = torch.tensor(x, requires_grad=True)
        y = layer(leaf)
        y.backward(torch.tensor(dy))
        step = {"x": x, "dy": dy, "y": y, "dx": leaf.grad, "training": training}
        step |= {name: value.clone() for name, value in layer.state_dict().items()}
        if affine:
            step |= {"dgamma": layer.weight.grad, "dbeta": layer.bias.grad}
        case["steps"].append(step)
    return case


def layer_norm_case(shape, features, dtype, eps, affine, torch):
    """One batch forward and backward."""
    layer = torch.nn.LayerNorm(
        features, eps=eps, elementwise_affine=affine, dtype=getattr(torch, dtype)
    )
    gamma, beta = draw(features, 2, dtype, seed=1)
    if affine:
        layer.load_state_dict({"weight": torch.tensor(gamma), "bias": torch.tensor(beta)})
    x, dy = draw(shape, 2, dtype, seed=9)
    leaf = torch.tensor(x, requires_grad=True)
    y = layer(leaf)
    y.backward(torch.tensor(dy))
    case = {"gamma": gamma, "beta": beta, "x": x, "dy": dy, "y": y, "dx": leaf.grad}
    if affine:
        case |= {"dgamma": layer.weight.grad, "dbeta": layer.bias.grad}
    return case


def network_case(torch):
    """A small classifier, every activation in it: loss, and the gradient of every parameter."""
    x, weights = draw((5, 4), 1, "float64", 4)[0], draw((4, 4), 4, "float64", 5)
    labels = np.array([0, 3, 1, 1, 2])
    linears = [torch.nn.Linear(4, 4, dtype=torch.float64) for _ in weights]
    for linear, weight in zip(linears, weights, strict=True):
        linear.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(weight[0])})
    a, b, c, d = linears
    network = torch.nn.Sequential(a, torch.nn.Sigmoid(), b, torch.nn.Tanh(), c, torch.nn.ReLU(), d)
    loss = torch.nn.functional.cross_entropy(network(torch.tensor(x)), torch.tensor(labels))
    loss.backward()
    gradients = {f"{name}": p.grad for name, p in network.named_parameters()}
    state = {name: p.detach() for name, p in network.named_parameters()}
    return {"x": x, "labels": labels, "loss": loss, "state": state, "gradients": gradients}


def curvature_case(torch):
    """Gradient, and Hessian times a direction, of a classifier with batch norm and relu."""
    x = draw((6, 3), 1, "float64", 6)[0]
    labels = np.array([0, 3, 1, 1, 2, 0])
    shapes = {"weight": (3, 5), "gamma": (5,), "beta": (5,), "out": (5, 4)}
    values = {name: draw(shape, 1, "float64", 7)[0] for name, shape in shapes.items()}
    directions = {name: draw(shape, 1, "float64", 8)[0] for name, shape in shapes.items()}
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    hidden = torch.tensor(x) @ leaves["weight"]
    y = torch.nn.functional.batch_norm(
        hidden, None, None, leaves["gamma"], leaves["beta"], training=True, eps=1e-3
    )
    logits = torch.relu(y) @ leaves["out"]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    gradients = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
    along = sum(
        (gradient * torch.tensor(direction)).sum()
        for gradient, direction in zip(gradients, directions.values(), strict=True)
    )
    products = torch.autograd.grad(along, list(leaves.values()))
    return {
        "x": x,
        "labels": labels,
        "values": values,
        "directions": directions,
        "loss": loss,
        "gradients": dict(zip(leaves, gradients, strict=True)),
        "products": dict(zip(leaves, products, strict=True)),
    }


def compute():
    import torch

    cases = {name: batch_norm_case(*c, torch) for name, c in BATCH_NORM_CASES.items()}
    layer_norms = {name: layer_norm_case(*c, torch) for name, c in LAYER_NORM_CASES.items()}
    network, curvature = network_case(torch), curvature_case(torch)
    answers = {"batch_norm": cases, "network": network, "curvature": curvature}
    return plain({**answers, "layer_norm": layer_norms})


def plain(value):
    """Nested lists and dicts of Python numbers; repr keeps every digit of a float64."""
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    return value.tolist() if hasattr(value, "tolist") else value


if __name__ == "__main__":
    FILE.write_text(json.dumps(compute(), indent=1) + "\n", encoding="utf-8")
