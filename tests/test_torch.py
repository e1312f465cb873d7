"""bnlib against PyTorch: its stored answers always, PyTorch itself where it is installed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from golden_torch import BATCH_NORM_CASES, FILE, compute

from bnlib import functional, graph, layers
from bnlib.graph import Node, backward

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
TOLERANCE = {
    "float64": {"rtol": 1e-12, "atol": 1e-12},
    "float32": {"rtol": 2e-5, "atol": 2e-6},  # PyTorch's own rounding
}
CURVATURE = {"rtol": 1e-9, "atol": 1e-9}  # two backward passes of different formulas


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
def test_the_pages_pytorch_boxes_run(code):
    pytest.importorskip("torch", reason="PyTorch is an oracle", exc_type=ImportError)
    assert "assert " in code
    exec(compile(code, "box", "exec"), {})


def test_state_names_are_pytorch_s():
    step = GOLDEN["batch_norm"]["rows"]["steps"][0]
    assert set(layers.BatchNorm(3).state_dict()) <= set(step)


def test_golden_values_are_what_pytorch_says_today():
    pytest.importorskip(
        "torch", reason="PyTorch is an oracle, not a requirement", exc_type=ImportError
    )
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
