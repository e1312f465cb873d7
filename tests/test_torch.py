"""bnlib against PyTorch: its stored answers always, PyTorch itself where it is installed."""

import functools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from golden_torch import BATCH_NORM_CASES, FILE, LAYER_NORM_CASES, compute

from bnlib import functional, graph, layers, normalization
from bnlib.graph import Node, backward

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
TOLERANCE = {
    "float64": {"rtol": 1e-12, "atol": 1e-12},
    "float32": {"rtol": 2e-5, "atol": 2e-6},  # PyTorch's own rounding
}
CURVATURE = {"rtol": 1e-9, "atol": 1e-9}  # two backward passes of different formulas
LIVE = {"rtol": 1e-10, "atol": 1e-10}  # sums of a few hundred products, in another order


@pytest.fixture
def torch():
    return pytest.importorskip(
        "torch", reason="PyTorch is an oracle, not a requirement", exc_type=ImportError
    )


@pytest.mark.parametrize("name", BATCH_NORM_CASES)
def test_batch_norm_layer(name):
    shape, dtype, momentum, eps, affine = BATCH_NORM_CASES[name]
    case, tolerance = GOLDEN["batch_norm"][name], TOLERANCE[dtype]
    layer = layers.BatchNorm(shape[1], eps=eps, momentum=momentum, affine=affine, dtype=dtype)
    if affine:
        layer.load_state_dict({**layer.state_dict(), "weight": case["gamma"], "bias": case["beta"]})
    for step in case["steps"]:
        y = layer.forward(np.array(step["x"], dtype), training=step["training"])
        np.testing.assert_allclose(y, step["y"], **tolerance)
        dx = layer.backward(np.array(step["dy"], dtype))
        np.testing.assert_allclose(dx, step["dx"], **tolerance)
        for key, value in layer.state_dict().items():
            np.testing.assert_allclose(value, step[key], **tolerance)
        if affine:
            np.testing.assert_allclose(layer.grads["weight"], step["dgamma"], **tolerance)
            np.testing.assert_allclose(layer.grads["bias"], step["dbeta"], **tolerance)


@pytest.mark.parametrize("name", LAYER_NORM_CASES)
def test_layer_norm_layer(name):
    _, features, dtype, eps, affine = LAYER_NORM_CASES[name]
    case, tolerance = GOLDEN["layer_norm"][name], TOLERANCE[dtype]
    layer = layers.LayerNorm(features, eps=eps, affine=affine, dtype=dtype)
    if affine:
        layer.load_state_dict({"weight": case["gamma"], "bias": case["beta"]})
    for training in (True, False):
        y = layer.forward(np.array(case["x"], dtype), training=training)
        np.testing.assert_allclose(y, case["y"], **tolerance)
        dx = layer.backward(np.array(case["dy"], dtype))
        np.testing.assert_allclose(dx, case["dx"], **tolerance)
        if affine:
            np.testing.assert_allclose(layer.grads["weight"], case["dgamma"], **tolerance)
            np.testing.assert_allclose(layer.grads["bias"], case["dbeta"], **tolerance)


def test_network_of_every_activation():
    case = GOLDEN["network"]
    rng = np.random.default_rng(0)
    modules = [layers.Linear(4, 4, rng=rng)]
    for activation in (layers.Sigmoid, layers.Tanh, layers.ReLU):
        modules += [activation(), layers.Linear(4, 4, rng=rng)]
    network = layers.Sequential(*modules)
    network.load_state_dict(case["state"])
    logits = network.forward(np.array(case["x"]), training=True)
    loss, cache = functional.softmax_cross_entropy(logits, np.array(case["labels"]))
    assert loss == pytest.approx(case["loss"], rel=1e-13)
    network.backward(functional.softmax_cross_entropy_backward(cache))
    for key, expected in case["gradients"].items():
        position, name = key.split(".")
        np.testing.assert_allclose(
            network.layers[int(position)].grads[name], expected, **TOLERANCE["float64"]
        )


@pytest.mark.parametrize("name", [name for name, case in BATCH_NORM_CASES.items() if case[-1]])
def test_batch_norm_in_the_graph(name):
    _, dtype, _, eps, _ = BATCH_NORM_CASES[name]
    case, tolerance = GOLDEN["batch_norm"][name], TOLERANCE[dtype]
    for step in (step for step in case["steps"] if step["training"]):
        arrays = (np.array(value, dtype) for value in (step["x"], case["gamma"], case["beta"]))
        x, gamma, beta = map(Node, arrays)
        y = graph.batch_norm(x, gamma, beta, eps=eps)
        np.testing.assert_allclose(y.value, step["y"], **tolerance)
        at = backward(y, Node(np.array(step["dy"], dtype))).at
        for node, key in ((x, "dx"), (gamma, "dgamma"), (beta, "dbeta")):
            np.testing.assert_allclose(at[node].value, step[key], **tolerance)


def test_gradients_of_gradients_in_the_graph():
    case = GOLDEN["curvature"]
    leaves = {name: Node(value, name=name) for name, value in case["values"].items()}
    x, labels = Node(case["x"]), Node(np.eye(4)[case["labels"]])
    hidden = x @ leaves["weight"]
    y = graph.batch_norm(hidden, leaves["gamma"], leaves["beta"], eps=1e-3)
    logits = graph.relu(y) @ leaves["out"]
    scores = graph.log(graph.sum(graph.exp(logits), 1))
    loss = (graph.sum(scores) - graph.sum(logits * labels)) / len(case["x"])
    assert loss.value == pytest.approx(case["loss"], rel=1e-12)
    at = backward(loss).at
    along = Node(0.0)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(at[leaf].value, case["gradients"][name], **CURVATURE)
        along = along + graph.sum(at[leaf] * Node(case["directions"][name]))
    again = backward(along).at
    for name, leaf in leaves.items():
        np.testing.assert_allclose(again[leaf].value, case["products"][name], **CURVATURE)


def pytorch_boxes():
    """The code of every "In PyTorch" box of the book, with its page."""
    for notebook in sorted((Path(__file__).parent.parent / "book").glob("*.ipynb")):
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            for code in re.findall(r"^```python\n(.*?)^```", "".join(cell["source"]), re.M | re.S):
                if "torch" in code:
                    yield pytest.param(code, id=notebook.stem)


@pytest.mark.parametrize("code", list(pytorch_boxes()))
def test_the_pages_pytorch_boxes_run(torch, code):
    assert "assert " in code
    exec(compile(code, "box", "exec"), {})


def test_state_names_are_pytorch_s():
    step = GOLDEN["batch_norm"]["rows"]["steps"][0]
    assert set(layers.BatchNorm(3).state_dict()) <= set(step)


@pytest.mark.parametrize("seed", range(20))
def test_conv2d_and_max_pool2d_of_random_shapes(torch, seed):
    rng = np.random.default_rng(seed)
    examples, channels, filters, stride, size, step = (int(n) for n in rng.integers(1, 4, 6))
    height, width, padding = (int(n) for n in rng.integers([5, 5, 0], [10, 10, 4]))
    x = rng.normal(size=(examples, channels, height, width))
    weight = rng.normal(size=(filters, channels, *rng.integers(1, 5, 2)))
    bias = rng.normal(size=filters)
    y, cache = functional.conv2d(x, weight, bias, stride=stride, padding=padding)
    size = min(size, *y.shape[2:])
    pooled, pool_cache = functional.max_pool2d(y, size, stride=step)
    dy = rng.normal(size=pooled.shape)
    gradients = functional.conv2d_backward(functional.max_pool2d_backward(dy, pool_cache), cache)

    leaves = [torch.tensor(value, requires_grad=True) for value in (x, weight, bias)]
    conv = torch.nn.functional.conv2d(*leaves, stride=stride, padding=padding)
    pool = torch.nn.functional.max_pool2d(conv, size, stride=step)
    pool.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, conv.detach(), **LIVE)
    np.testing.assert_allclose(pooled, pool.detach(), **LIVE)
    for gradient, leaf in zip(gradients, leaves, strict=True):
        np.testing.assert_allclose(gradient, leaf.grad, **LIVE)


def test_max_pool2d_breaks_ties_as_pytorch_does(torch):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, size=(2, 3, 7, 8)).astype(float)
    y, cache = functional.max_pool2d(x, 3, stride=2)
    dy = rng.normal(size=y.shape)
    leaf = torch.tensor(x, requires_grad=True)
    torch.nn.functional.max_pool2d(leaf, 3, stride=2).backward(torch.tensor(dy))
    np.testing.assert_allclose(functional.max_pool2d_backward(dy, cache), leaf.grad, **LIVE)


@pytest.mark.parametrize("seed", range(10))
def test_layer_norm_of_random_shapes(torch, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 5)))
    axis = int(rng.integers(-len(shape), 0))
    x, dy = rng.normal(5, 2, size=(2, *shape))
    gamma, beta = rng.normal(size=(2, *shape[axis:]))
    y, cache = normalization.layer_norm(x, gamma, beta, axis=axis)
    gradients = normalization.layer_norm_backward(dy, cache)
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, gamma, beta)]
    expected = torch.nn.functional.layer_norm(leaves[0], shape[axis:], *leaves[1:])
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach(), **LIVE)
    for gradient, leaf in zip(gradients, leaves, strict=True):
        np.testing.assert_allclose(gradient, leaf.grad, **LIVE)


@pytest.mark.parametrize("seed", range(10))
def test_rms_norm_of_random_shapes(torch, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 5)))
    axis = int(rng.integers(-len(shape), 0))
    x, dy = rng.normal(5, 2, size=(2, *shape))
    gamma = rng.normal(size=shape[axis:])
    y, cache = normalization.rms_norm(x, gamma, axis=axis)
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, gamma)]
    expected = torch.nn.functional.rms_norm(leaves[0], shape[axis:], leaves[1], eps=1e-5)
    compare_gradients(y, normalization.rms_norm_backward(dy, cache), expected, leaves, dy, torch)


@pytest.mark.parametrize("seed", range(10))
def test_group_norm_of_random_shapes(torch, seed):
    rng = np.random.default_rng(seed)
    groups, each = (int(n) for n in rng.integers(1, 4, 2))
    # PyTorch refuses one value per channel of the batch, though group norm does not need more.
    shape = (int(rng.integers(2, 5)), groups * each, *rng.integers(2, 6, rng.integers(0, 4)))
    x, dy = rng.normal(5, 2, size=(2, *shape))
    gamma, beta = rng.normal(size=(2, groups * each))
    y, cache = normalization.group_norm(x, groups, gamma, beta)
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, gamma, beta)]
    expected = torch.nn.functional.group_norm(leaves[0], groups, *leaves[1:])
    compare_gradients(y, normalization.group_norm_backward(dy, cache), expected, leaves, dy, torch)


@pytest.mark.parametrize("seed", range(10))
def test_instance_norm_of_random_shapes(torch, seed):
    rng = np.random.default_rng(seed)
    shape = (*rng.integers(1, 5, 2), *rng.integers(2, 6, rng.integers(1, 4)))
    x, dy = rng.normal(5, 2, size=(2, *shape))
    gamma, beta = rng.normal(size=(2, shape[1]))
    y, cache = normalization.instance_norm(x, gamma, beta)
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, gamma, beta)]
    expected = torch.nn.functional.instance_norm(
        leaves[0], weight=leaves[1], bias=leaves[2], eps=1e-5
    )
    gradients = normalization.instance_norm_backward(dy, cache)
    compare_gradients(y, gradients, expected, leaves, dy, torch)


def compare_gradients(y, gradients, expected, leaves, dy, torch):
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach(), **LIVE)
    for gradient, leaf in zip(gradients, leaves, strict=True):
        np.testing.assert_allclose(gradient, leaf.grad, **LIVE)


def twin(layer, torch):
    """The same network of PyTorch's own modules, before it gets the same state."""
    nn, params = torch.nn, {name: value.shape for name, value in layer.params.items()}
    bias = "bias" in params
    match layer:
        case layers.Residual():

            class Detour(nn.Sequential):
                def forward(self, x):
                    return x + super().forward(x)

            return Detour(*(twin(inner, torch) for inner in layer.layers))
        case layers.Sequential():
            return nn.Sequential(*(twin(inner, torch) for inner in layer.layers))
        case layers.Linear():
            return nn.Linear(*params["weight"][::-1], bias=bias)
        case layers.Conv2d():
            out, channels, *size = params["weight"]
            return nn.Conv2d(channels, out, size, layer.stride, layer.padding, bias=bias)
        case layers.BatchNorm():
            return nn.BatchNorm2d(layer.num_features)
        case layers.LayerNorm():
            return nn.LayerNorm(layer.shape)
        case layers.GroupNorm():
            return nn.GroupNorm(layer.num_groups, layer.num_channels)
        case layers.InstanceNorm():
            return nn.InstanceNorm2d(layer.num_features, affine=bool(params))
        case layers.RMSNorm():
            return nn.RMSNorm(layer.shape, layer.eps)
        case layers.MaxPool2d():
            return nn.MaxPool2d(layer.size, layer.stride)
        case layers.GlobalAveragePool():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case _:  # ReLU, Tanh, Flatten: the same name, no options
            return getattr(nn, type(layer).__name__)()


NORMS = [
    None,
    layers.BatchNorm,
    layers.LayerNorm,
    layers.RMSNorm,
    layers.InstanceNorm,
    functools.partial(layers.InstanceNorm, affine=True),
]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("head", ["flatten", "average"])
def test_convnet_is_pytorch_s_of_the_same_state(torch, norm, head):
    rng = np.random.default_rng(0)
    network = layers.convnet((2, 9, 8), [3, 4], 5, rng=rng, norm=norm, head=head)
    compare_with_twin(network, torch, rng.normal(1, 2, size=(4, 2, 9, 8)), rng)


def test_group_norm_in_networks_is_pytorch_s(torch):
    rng = np.random.default_rng(0)
    norm = functools.partial(layers.GroupNorm, 2)
    network = layers.convnet((2, 9, 8), [4, 6], 5, rng=rng, norm=norm)
    compare_with_twin(network, torch, rng.normal(1, 2, size=(4, 2, 9, 8)), rng)
    network = layers.mlp([3, 4, 6, 5], rng=rng, norm=norm)
    compare_with_twin(network, torch, rng.normal(1, 2, size=(7, 3)), rng)


def test_residual_blocks_are_pytorch_s_of_the_same_state(torch):
    rng = np.random.default_rng(0)

    def block():
        convolutions = [layers.Conv2d(3, 3, 3, padding=1, rng=rng) for _ in range(2)]
        return layers.Residual(convolutions[0], layers.BatchNorm(3), layers.ReLU(), convolutions[1])

    first = layers.Conv2d(2, 3, 3, stride=2, padding=1, rng=rng, bias=False)
    inner = layers.Sequential(layers.Tanh(), block())
    network = layers.Sequential(first, block(), inner, layers.LayerNorm((3, 4, 5)))
    compare_with_twin(network, torch, rng.normal(size=(3, 2, 7, 9)), rng)


def compare_with_twin(network, torch, x, rng):
    """Two training batches and one in evaluation: outputs, gradients, state and its names."""
    other = twin(network, torch).double()
    start = {name: rng.normal(1, 0.2, v.shape) for name, v in network.state_dict().items()}
    start |= {name: np.array(0) for name in start if name.endswith("num_batches_tracked")}
    network.load_state_dict(start)
    other.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    for training in (True, True, False):
        other.train(training)
        other.zero_grad()
        x = x + rng.normal(size=x.shape)
        leaf = torch.tensor(x, requires_grad=True)
        expected = other(leaf)
        y = network.forward(x, training=training)
        np.testing.assert_allclose(y, expected.detach(), **LIVE)
        dy = rng.normal(size=y.shape)
        expected.backward(torch.tensor(dy))
        np.testing.assert_allclose(network.backward(dy), leaf.grad, **LIVE)
        gradients = [leaf.grads[name] for leaf in network.leaves() for name in leaf.params]
        for gradient, parameter in zip(gradients, other.parameters(), strict=True):
            np.testing.assert_allclose(gradient, parameter.grad, **LIVE)
        state, theirs = network.state_dict(), other.state_dict()
        assert list(state) == list(theirs)
        for name, value in state.items():
            np.testing.assert_allclose(value, theirs[name], **LIVE)


def test_golden_values_are_what_pytorch_says_today(torch):
    fresh = compute()

    def compare(stored, now):
        if isinstance(stored, dict):
            assert stored.keys() == now.keys()
            for key, value in stored.items():
                compare(value, now[key])
        elif isinstance(stored, list) and stored and isinstance(stored[0], dict):
            for a, b in zip(stored, now, strict=True):
                compare(a, b)
        else:
            np.testing.assert_allclose(stored, now, rtol=1e-5, atol=1e-6)

    compare(GOLDEN, fresh)
