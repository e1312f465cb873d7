"""The reverse-mode engine: values, gradients, their gradients, cuts and nudges."""

import itertools
import math
import operator
import re
import sys
from fractions import Fraction

import numpy as np
import pytest
from oracles import (
    batch_norm_backward_by_matrices,
    channel_rows,
    complex_step_gradient,
    exact_statistics,
    exact_x_hat,
)

from bnlib import graph, normalization
from bnlib.graph import Node, backward, in_order, replay, wires_into

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64 against float64
STEP = 1e-30  # of a complex step: nothing is subtracted, so it cannot be too small
SHAPES = [(5, 3), (2, 1), (3, 1), (4, 3, 2), (3, 2, 2, 4), (2, 2, 2, 1, 3)]


def draw(*shapes, seed=0):
    """Arrays of numbers from 0.5 to 2, where every operation is smooth."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.5, 2, shape) for shape in shapes]


def mixed(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def named(output):
    return {node.name: node for node in in_order(output) if node.name}


# --- every operation, its value and its gradient -----------------------------------------------


def numpy_relu(u):
    return np.where(u.real > 0, u, 0)


def numpy_repeat(u):
    return np.stack([np.stack([u] * 4, axis=1)] * 3, axis=0)  # (2, 5) -> (3, 2, 4, 5)


OPERATIONS = {
    # name: (of nodes, the same of arrays, shapes)
    "+": (operator.add, operator.add, [(3, 2), (3, 2)]),
    "-": (operator.sub, operator.sub, [(3, 2), (3, 2)]),
    "*": (operator.mul, operator.mul, [(3, 2), (3, 2)]),
    "/": (operator.truediv, operator.truediv, [(3, 2), (3, 2)]),
    "add": (graph.add, np.add, [(4,), (4,)]),
    "sub": (graph.sub, np.subtract, [(4,), (4,)]),
    "mul": (graph.mul, np.multiply, [(4,), (4,)]),
    "a + 3": (lambda a: a + 3, lambda u: u + 3, [(3, 2)]),
    "3 + a": (lambda a: 3 + a, lambda u: 3 + u, [(3, 2)]),
    "a - 3": (lambda a: a - 3, lambda u: u - 3, [(3, 2)]),
    "3 - a": (lambda a: 3 - a, lambda u: 3 - u, [(3, 2)]),
    "a * 3": (lambda a: a * 3, lambda u: u * 3, [(3, 2)]),
    "3 * a": (lambda a: 3 * a, lambda u: 3 * u, [(3, 2)]),
    "a / 3": (lambda a: a / 3, lambda u: u / 3, [(3, 2)]),
    "3 / a": (lambda a: 3 / a, lambda u: 3 / u, [(3, 2)]),
    "-a": (operator.neg, operator.neg, [(3, 2)]),
    "a ** 3": (lambda a: a**3, lambda u: u**3, [(3, 2)]),
    "a ** -0.5": (lambda a: a**-0.5, lambda u: u**-0.5, [(3, 2)]),
    "a ** 1": (lambda a: a**1, lambda u: u, [(3, 2)]),
    "a ** 0": (lambda a: a**0, lambda u: u * 0 + 1, [(3, 2)]),
    "exp": (graph.exp, np.exp, [(3, 2)]),
    "log": (graph.log, np.log, [(3, 2)]),
    "@": (operator.matmul, operator.matmul, [(3, 2), (2, 4)]),
    "matmul": (graph.matmul, np.matmul, [(1, 3), (3, 1)]),
    "transpose": (graph.transpose, np.transpose, [(3, 2)]),
    "sum": (graph.sum, np.sum, [(3, 2)]),
    "sum over rows": (lambda a: graph.sum(a, 0), lambda u: u.sum(0), [(3, 2)]),
    "sum over two": (lambda a: graph.sum(a, (2, 0)), lambda u: u.sum((0, 2)), [(3, 2, 4)]),
    "sum over the last": (lambda a: graph.sum(a, -1), lambda u: u.sum(-1), [(3, 2)]),
    "repeat": (lambda a: graph.repeat(a, (3, 2, 4, 5), (0, 2)), numpy_repeat, [(2, 5)]),
    "repeat a number": (lambda a: graph.repeat(a, (2, 3)), lambda u: u + np.zeros((2, 3)), [()]),
    "a used three times": (lambda a: a * a + a, lambda u: u * u + u, [(3,)]),
    "diamond": (lambda a: graph.exp(a) * graph.log(a), lambda u: np.exp(u) * np.log(u), [(3,)]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    of_nodes, of_arrays, shapes = OPERATIONS[name]
    arrays = draw(*shapes)
    inputs = [Node(u) for u in arrays]
    output = of_nodes(*inputs)
    expected = of_arrays(*arrays)
    assert output.shape == expected.shape
    np.testing.assert_allclose(output.value, expected, **EXACT)
    (upstream,) = mixed(output.shape, seed=1)
    at = backward(output, Node(upstream)).at
    for place, node in enumerate(inputs):

        def loss(moved, place=place):
            return (of_arrays(*arrays[:place], moved, *arrays[place + 1 :]) * upstream).sum()

        assert at[node].shape == node.shape
        np.testing.assert_allclose(
            at[node].value, complex_step_gradient(loss, arrays[place]), **EXACT
        )


def test_relu():
    x, upstream = Node([-2.0, 0.0, 3.0]), Node([10.0, 20.0, 30.0])
    y = graph.relu(x)
    assert y.value.tolist() == [0, 0, 3]
    assert backward(y, upstream).at[x].value.tolist() == [0, 0, 30]


def test_relu_of_a_complex_number_looks_at_its_real_part():
    y = graph.relu(Node([-1 + 2j, 1 - 2j, 0j + 1j]))
    assert y.value.tolist() == [0, 1 - 2j, 0]


def test_numbers_by_hand():
    x, y = Node(2.0), Node(5.0)
    gradients = backward(x * y - y / x)
    assert gradients.at[x].value == 5 + 5 / 4
    assert gradients.at[y].value == 2 - 1 / 2


def test_what_an_operation_is_called():
    a, b, m = Node([1.0]), Node([2.0]), Node([[1.0]])
    made = [a + b, a - b, a * b, a**-0.5, a**2, graph.exp(a), graph.log(a), graph.relu(a)]
    made += [m @ m, graph.transpose(m), graph.sum(a), graph.repeat(graph.sum(a), (2,))]
    words = ["+", "−", "×", "^-0.5", "^2", "exp", "log", "relu", "@", "T", "sum", "repeat"]
    assert [node.operation for node in made] == words
    assert a.operation == ""
    assert (a + 1e-5).inputs[1].operation == "constant"
    assert [(a + 1e-5).inputs[1].name, (-a).inputs[1].name] == ["1e-05", "-1"]


def test_a_node_tells_what_it_is():
    x = Node(np.zeros((2, 3)), name="x")
    assert repr(x) == "<node x, shape (2, 3)>"
    assert repr(Node(1.0)) == "<node input, shape ()>"
    assert repr(graph.sum(x).called("total")) == "<node total sum, shape ()>"
    y = graph.exp(x)
    assert y.called("y") is y and y.name == "y" and y.inputs == (x,)


def test_an_operation_of_ones_own():
    def cube(a):
        return graph.computed("cube", [a], lambda u: u**3, lambda dy: [dy * a * a * 3])

    x = Node(2.0)
    assert cube(x).operation == "cube" and cube(x).value == 8
    dx = backward(cube(x)).at[x]
    assert dx.value == 12 and backward(dx).at[x].value == 12


# --- sum and repeat ------------------------------------------------------------------------------

AXES = [
    (shape, axes)
    for shape in [(3,), (1,), (2, 3), (4, 1), (2, 3, 4), (2, 1, 3, 2)]
    for count in range(len(shape) + 1)
    for axes in itertools.combinations(range(len(shape)), count)
]


@pytest.mark.parametrize(("shape", "axes"), AXES, ids=str)
def test_sum_and_repeat_are_adjoint(shape, axes):
    """<Sx, y> = <x, S'y>: for all x and y this says that S' is the backward side of S."""
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    x, y = mixed(shape, kept, seed=3)
    summed, repeated = graph.sum(Node(x), axes), graph.repeat(Node(y), shape, axes)
    assert summed.shape == kept and repeated.shape == shape
    inner = np.vdot(summed.value, y)
    assert inner == pytest.approx(np.vdot(x, repeated.value), rel=1e-12, abs=1e-12)
    back_of_sum = backward(summed, Node(y)).at[summed.inputs[0]]
    back_of_repeat = backward(repeated, Node(x)).at[repeated.inputs[0]]
    np.testing.assert_array_equal(back_of_sum.value, repeated.value)
    np.testing.assert_array_equal(back_of_repeat.value, summed.value)
    assert (back_of_sum.operation, back_of_repeat.operation) == ("repeat", "sum")


def test_the_lowest_axis():
    (x,) = mixed((2, 3))
    np.testing.assert_array_equal(graph.sum(Node(x), -2).value, x.sum(0))


@pytest.mark.parametrize("axis", [1, -2, (1,), [1, -2], np.int64(1)])
def test_axes_may_be_given_in_every_way(axis):
    (x,) = mixed((2, 3, 4))
    np.testing.assert_array_equal(graph.sum(Node(x), axis).value, x.sum(1))
    repeated = graph.repeat(Node(x[:, 0]), (2, 3, 4), axis)
    np.testing.assert_array_equal(repeated.value, np.repeat(x[:, :1], 3, axis=1))


# --- errors --------------------------------------------------------------------------------------


def vector(*values):
    return Node(np.array(values, float))


ERRORS = {
    "an array of whole numbers": (
        lambda: Node([1, 2], name="x"),
        TypeError,
        "Node: x must be an array of float16, float32 or float64 .*, got int64",
    ),
    "no name": (lambda: Node([True]), TypeError, "Node: value must be .*, got bool"),
    "complex64": (lambda: Node(np.complex64(1)), TypeError, "Node: value must be .* got complex64"),
    "unequal shapes, add": (
        lambda: vector(1, 2) + vector(1),
        ValueError,
        r"add: shapes must be equal \(repeat makes them so\), got \(2,\) and \(1,\)$",
    ),
    "unequal shapes, sub": (
        lambda: vector(1, 2) - vector(1),
        ValueError,
        r"sub: shapes must be equal .*, got \(2,\) and \(1,\)$",
    ),
    "unequal shapes, mul": (
        lambda: vector(1) * vector(1, 2),
        ValueError,
        r"mul: shapes must be equal .*, got \(1,\) and \(2,\)$",
    ),
    "a node as an exponent": (
        lambda: vector(1) ** vector(2),
        TypeError,
        "power: exponent must be a number, got Node$",
    ),
    "a complex exponent": (
        lambda: graph.power(vector(1), 1j),
        TypeError,
        "power: exponent must be a number, got complex$",
    ),
    "vectors, matmul": (
        lambda: vector(1, 2) @ vector(1, 2),
        ValueError,
        r"matmul: shapes must be \(n, k\) and \(k, m\), got \(2,\) and \(2,\)$",
    ),
    "a matrix and a vector": (
        lambda: Node(np.ones((2, 2))) @ vector(1, 2),
        ValueError,
        r"matmul: shapes must be \(n, k\) and \(k, m\), got \(2, 2\) and \(2,\)$",
    ),
    "matrices that do not match": (
        lambda: Node(np.ones((2, 3))) @ Node(np.ones((2, 3))),
        ValueError,
        r"matmul: shapes must be \(n, k\) and \(k, m\), got \(2, 3\) and \(2, 3\)$",
    ),
    "an axis too high": (
        lambda: graph.sum(vector(1), 1),
        ValueError,
        "sum: axis must lie within 1 axes, got 1$",
    ),
    "an axis too low": (
        lambda: graph.sum(vector(1), (0, -2)),
        ValueError,
        "sum: axis must lie within 1 axes, got -2$",
    ),
    "an axis too high, repeat": (
        lambda: graph.repeat(vector(1), (2, 1), 2),
        ValueError,
        "repeat: axis must lie within 2 axes, got 2$",
    ),
    "a shape that cannot be reached": (
        lambda: graph.repeat(vector(1, 2), (3, 4), 0),
        ValueError,
        r"repeat: a must have shape \(4,\) to become \(3, 4\), got \(2,\)$",
    ),
    "no upstream": (
        lambda: backward(vector(1, 2)),
        ValueError,
        r"backward: upstream is needed for an output of shape \(2,\), got none$",
    ),
    "an upstream of another shape": (
        lambda: backward(vector(1, 2), vector(1)),
        ValueError,
        r"backward: upstream must have shape \(2,\), got \(1,\)$",
    ),
    "an array beside a node": (
        lambda: vector(1, 2) * np.ones(2),
        TypeError,
        "graph: an array must be made a Node first, got ndarray$",
    ),
    "a list beside a node": (
        lambda: vector(1, 2) - [1.0, 2.0],
        TypeError,
        "graph: an array must be made a Node first, got list$",
    ),
    "an array before a node": (lambda: np.ones(2) * vector(1, 2), TypeError, "made a Node first"),
    "gamma of another shape": (
        lambda: graph.batch_norm(Node(np.ones((3, 2))), vector(1), vector(1, 2)),
        ValueError,
        r"batch_norm: gamma must have shape \(2,\) to match x of shape \(3, 2\), got \(1,\)$",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    wrong, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        wrong()


# --- dtypes and purity ---------------------------------------------------------------------------


def everything(x, gamma, beta):
    """One number that every operation has a part in."""
    y = graph.batch_norm(x, gamma, beta, eps=1e-3)
    hidden = graph.relu(y @ graph.transpose(y)) + 1
    return graph.sum(graph.log(graph.exp(-hidden / 3) + 2) - 1) ** 2


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex128"])
def test_the_dtype_stays(dtype):
    inputs = [Node(u.astype(dtype)) for u in mixed((4, 3), (3,), (3,))]
    output = everything(*inputs)
    gradients = backward(output)
    again = backward(graph.sum(gradients.at[inputs[0]]))
    for node in [*in_order(output), *gradients.at.values(), *again.at.values()]:
        assert node.value.dtype == dtype, node
    assert replay(output).dtype == dtype


def test_nothing_that_was_given_is_changed():
    arrays = mixed((4, 3), (3,), (3,))
    before = [u.copy() for u in arrays]
    inputs = [Node(u) for u in arrays]
    output = everything(*inputs)
    values = {node: node.value.copy() for node in in_order(output)}
    gradients = backward(output)
    shares = {wire: share.value.copy() for wire, share in gradients.along.items()}
    backward(graph.sum(gradients.at[inputs[0]]))
    nudge = {inputs[0]: np.ones((4, 3))}
    replay(output, nudge)
    assert list(nudge) == [inputs[0]] and (nudge[inputs[0]] == 1).all()
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    for node, value in values.items():
        np.testing.assert_array_equal(node.value, value)
    for wire, value in shares.items():
        np.testing.assert_array_equal(gradients.along[wire].value, value)


# --- backward: branches, wires, cuts -------------------------------------------------------------


def test_branches_add():
    x = Node(3.0, name="x")
    y = x * x
    first, second = wires_into(y)
    assert first != second and first.source is second.source is x and first.target is y
    assert (first.place, second.place) == (0, 1)
    gradients = backward(y)
    assert {wire: share.value for wire, share in gradients.along.items()} == {first: 3, second: 3}
    assert gradients.at[x].value == 6


def test_shares_add_up_at_every_node():
    output = everything(*map(Node, mixed((4, 3), (3,), (3,))))
    gradients = backward(output)
    assert set(gradients.at) == set(in_order(output))
    wires = [wire for node in in_order(output) for wire in wires_into(node)]
    assert set(gradients.along) == set(wires)
    for node in in_order(output):
        shares = [share.value for wire, share in gradients.along.items() if wire.source is node]
        if shares:
            np.testing.assert_allclose(sum(shares), gradients.at[node].value, **EXACT)


def test_the_gradient_of_an_output_is_the_upstream():
    x, upstream = Node([1.0, 2.0]), Node([3.0, 4.0])
    assert backward(x, upstream) == ({x: upstream}, {})
    dx = backward(graph.exp(x), upstream).at[x]
    np.testing.assert_allclose(dx.value, [3 * math.e, 4 * math.e**2], **EXACT)


def test_without_an_upstream_it_is_one():
    x = Node(np.float32(2.0))
    gradients = backward(x)
    assert gradients.at[x].value == 1 and gradients.at[x].value.dtype == np.float32


def test_a_cut_wire_carries_nothing():
    x = Node(3.0)
    y = x * x
    for wire in wires_into(y):
        gradients = backward(y * 2, cut=[wire])
        assert gradients.along[wire].value == 0
        assert gradients.at[x].value == 6  # the other one alone
        assert gradients.at[y].value == 2
    both = backward(y, cut=set(wires_into(y)))
    assert both.at[x].value == 0


def test_a_cut_makes_the_source_a_constant():
    x = Node([1.0, 2.0, 6.0])
    mean = graph.sum(x) / 3
    centred = x - graph.repeat(mean, (3,))
    variance = graph.sum(centred**2) / 3
    (to_repeat,) = wires_into(centred.inputs[1])
    whole, cut = (backward(variance, cut=c).at[x].value for c in ([], [to_repeat]))
    np.testing.assert_allclose(whole, 2 / 3 * np.array([-2, -1, 3]), **EXACT)
    np.testing.assert_allclose(cut, whole, **EXACT)  # the mean minimizes the variance


# --- order and depth -----------------------------------------------------------------------------


def test_inputs_come_first_and_once():
    output = everything(*map(Node, mixed((4, 3), (3,), (3,))))
    order = in_order(output)
    assert len(order) == len(set(order)) and order[-1] is output
    place = {node: number for number, node in enumerate(order)}
    for node in order:
        assert all(place[source] < place[node] for source in node.inputs)


def test_the_first_operand_comes_first():
    a, b, c = (Node(v) for v in (1.0, 2.0, 3.0))
    first = b - a
    output = first * c
    assert in_order(output) == [b, a, first, c, output]


def test_a_deep_graph_needs_no_recursion():
    x = Node(0.5)
    y = x
    for _ in range(5000):
        y = y + x
    gradients = backward(y)
    assert len(in_order(y)) == 5001
    assert gradients.at[x].value == 5001
    assert replay(y, {x: 1.0}) == pytest.approx(1.5 * 5001)


# --- gradients of gradients ----------------------------------------------------------------------


def derivative(f, order, at):
    x = Node(at)
    y = f(x)
    for _ in range(order):
        gradients = backward(y)
        y = gradients.at.get(x, Node(0.0))
    return float(y.value)


@pytest.mark.parametrize("order", range(5))
@pytest.mark.parametrize("at", [0.0, 2.0, -1.5])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_derivatives_of_powers(exponent, at, order):
    factor = math.perm(exponent, order)
    expected = factor * at ** (exponent - order) if factor else 0
    with np.errstate(all="raise"):
        assert derivative(lambda x: x**exponent, order, at) == pytest.approx(expected)


@pytest.mark.parametrize("order", range(4))
def test_derivatives_of_exp_log_and_quotients(order):
    assert derivative(graph.exp, order, 0.7) == pytest.approx(math.exp(0.7), rel=1e-13)
    logs = [math.log(0.7), 1 / 0.7, -1 / 0.7**2, 2 / 0.7**3]
    assert derivative(graph.log, order, 0.7) == pytest.approx(logs[order], rel=1e-13)
    inverses = [(-1) ** order * math.factorial(order) / 0.7 ** (order + 1)]
    assert derivative(lambda x: 1 / x, order, 0.7) == pytest.approx(inverses[0], rel=1e-13)
    roots = [0.7**0.5, 0.5 * 0.7**-0.5, -0.25 * 0.7**-1.5, 0.375 * 0.7**-2.5]
    assert derivative(lambda x: x**0.5, order, 0.7) == pytest.approx(roots[order], rel=1e-13)


def test_relu_bends_nowhere_but_at_0():
    assert [derivative(lambda x: graph.relu(x) * x, 2, at) for at in (-1.0, 0.0, 2.0)] == [0, 0, 2]


def classifier(parameters, x, labels):
    """Mean softmax cross-entropy of a network with one hidden layer of relu units."""
    w1, b1, w2 = parameters
    hidden = graph.relu(x @ w1 + graph.repeat(b1, (x.shape[0], b1.shape[0]), 0))
    logits = hidden @ w2
    scores = graph.log(graph.sum(graph.exp(logits), 1))
    return (graph.sum(scores) - graph.sum(logits * labels)) / x.shape[0]


def classifier_case():
    x, labels = Node(mixed((6, 3), seed=5)[0]), Node(np.eye(4)[[0, 3, 1, 1, 2, 0]])
    return (lambda ps: classifier(ps, x, labels)), mixed((3, 5), (5,), (5, 4), seed=6)


def batch_norm_case(shape):
    """A loss that is not linear in y, so that the upstream gradient moves with x, too."""
    x, gamma, beta, dy = example(shape)

    def loss(parameters):
        y = graph.batch_norm(*parameters, eps=1e-3)
        return graph.sum(y * y * y + y * Node(dy.astype(y.value.dtype)))

    return loss, [x, gamma, beta]


SECOND_ORDER = {
    "classifier": classifier_case,
    "batch norm": lambda: batch_norm_case((5, 3)),
    "batch norm of pictures": lambda: batch_norm_case((3, 2, 2, 2)),
}


def gradients_of(loss, arrays):
    nodes = [Node(u) for u in arrays]
    at = backward(loss(nodes)).at
    return nodes, [at[node] for node in nodes]


@pytest.mark.parametrize("case", SECOND_ORDER)
def test_hessian_vector_products(case):
    """Complex step of the gradient along v, against the gradient of <gradient, v>."""
    loss, arrays = SECOND_ORDER[case]()
    directions = mixed(*(u.shape for u in arrays), seed=7)
    nodes, gradients = gradients_of(loss, arrays)
    products = [graph.sum(g * Node(v)) for g, v in zip(gradients, directions, strict=True)]
    at = backward(products[0] + products[1] + products[2]).at
    moved = [u + 1j * STEP * v for u, v in zip(arrays, directions, strict=True)]
    _, expected = gradients_of(loss, moved)
    for node, gradient in zip(nodes, expected, strict=True):
        scale = np.abs(gradient.value.imag / STEP).max()
        assert scale > 1e-3
        np.testing.assert_allclose(
            at[node].value / scale, gradient.value.imag / STEP / scale, **EXACT
        )


def test_gradients_of_the_classifier():
    loss, arrays = classifier_case()
    _, gradients = gradients_of(loss, arrays)
    x, labels = mixed((6, 3), seed=5)[0], [0, 3, 1, 1, 2, 0]
    for place, gradient in enumerate(gradients):

        def plain(moved, place=place):
            w1, b1, w2 = [*arrays[:place], moved, *arrays[place + 1 :]]
            logits = numpy_relu(x @ w1 + b1) @ w2
            chosen = logits[np.arange(6), labels]
            return (np.log(np.exp(logits).sum(1)) - chosen).mean()

        np.testing.assert_allclose(
            gradient.value, complex_step_gradient(plain, arrays[place]), **EXACT
        )


# --- batch norm ----------------------------------------------------------------------------------


def example(shape, seed=0):
    """A batch with its own mean and spread in every channel, and gamma, beta, dy."""
    rng = np.random.default_rng(seed)
    per_channel = (shape[1], *(1,) * (len(shape) - 2))
    x = rng.normal(size=shape) * rng.uniform(0.5, 3, per_channel) + rng.normal(size=per_channel)
    return x, *rng.normal(size=(2, shape[1])), rng.normal(size=shape)


def along_channels(v, x):
    return v.reshape(1, -1, *(1,) * (x.ndim - 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_node_by_node(shape):
    x, gamma, beta, _ = example(shape)
    y = graph.batch_norm(Node(x, name="x"), Node(gamma), Node(beta), eps=1e-3)
    nodes = named(y)
    assert {"mean", "var", "inv_std", "x_hat", "y"} < nodes.keys() and nodes["y"] is y
    for c, values in enumerate(channel_rows(x)):
        mean, _, var = exact_statistics(values)
        assert nodes["mean"].value[c] == pytest.approx(mean, rel=1e-13, abs=1e-14)
        assert nodes["var"].value[c] == pytest.approx(var, rel=1e-13)
        assert nodes["inv_std"].value[c] == pytest.approx((var + 1e-3) ** -0.5, rel=1e-13)
    x_hat = exact_x_hat(x, 1e-3)
    np.testing.assert_allclose(nodes["x_hat"].value, x_hat, **EXACT)
    expected = along_channels(gamma, x) * x_hat + along_channels(beta, x)
    np.testing.assert_allclose(y.value, expected, **EXACT)
    np.testing.assert_allclose(
        y.value, normalization.batch_norm(x, gamma, beta, eps=1e-3)[0], **EXACT
    )


def test_batch_norm_adds_1e_5_to_the_variance():
    y = graph.batch_norm(Node([[0.0], [2e-3]]), Node([1.0]), Node([0.0]))
    assert named(y)["inv_std"].value[0] == pytest.approx((1e-6 + 1e-5) ** -0.5)


def test_the_mean_feeds_the_numerator_and_the_variance():
    y = graph.batch_norm(Node(np.ones((3, 2))), Node(np.ones(2)), Node(np.ones(2)))
    wires = [wire for node in in_order(y) for wire in wires_into(node)]
    assert sum(wire.source is named(y)["mean"] for wire in wires) == 2
    assert sum(wire.source is y.inputs[0] for wire in wires) == 1


def plain_batch_norm(x, gamma, beta, eps):
    """Batch norm as numpy has it, also of complex numbers: mean and variance without conjugates."""
    axes = (0, *range(2, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    x_hat = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)
    return along_channels(gamma, x) * x_hat + along_channels(beta, x)


def by_graph(x, gamma, beta, dy, eps):
    nodes = Node(x), Node(gamma), Node(beta)
    at = backward(graph.batch_norm(*nodes, eps=eps), Node(dy)).at
    return [at[node].value for node in nodes]


def by_matrices(x, gamma, beta, dy, eps):
    return batch_norm_backward_by_matrices(x, gamma, dy, eps)


def by_formula(x, gamma, beta, dy, eps):
    _, cache = normalization.batch_norm(x, gamma, beta, eps=eps)
    return normalization.batch_norm_backward(dy, cache)


def by_complex_step(x, gamma, beta, dy, eps):
    return [
        complex_step_gradient(lambda v: (plain_batch_norm(v, gamma, beta, eps) * dy).sum(), x),
        complex_step_gradient(lambda v: (plain_batch_norm(x, v, beta, eps) * dy).sum(), gamma),
        complex_step_gradient(lambda v: (plain_batch_norm(x, gamma, v, eps) * dy).sum(), beta),
    ]


BACKWARDS = [by_graph, by_matrices, by_formula, by_complex_step]


@pytest.mark.parametrize("eps", [1e-5, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("one", "other"), list(itertools.combinations(BACKWARDS, 2)), ids=lambda f: f.__name__
)
def test_four_backwards_of_batch_norm_agree(one, other, shape, eps):
    case = example(shape, seed=len(shape))
    for a, b in zip(one(*case, eps), other(*case, eps), strict=True):
        assert np.abs(a).max() > 0
        np.testing.assert_allclose(a, b, **EXACT)


@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 2)])
def test_the_gradients_of_mean_and_variance(shape):
    """What the paper calls dl/d mean and dl/d variance, with the other held fast."""
    x, gamma, beta, dy = example(shape)
    y = graph.batch_norm(Node(x), Node(gamma), Node(beta), eps=1e-3)
    nodes, at = named(y), backward(y, Node(dy)).at
    axes = (0, *range(2, x.ndim))
    dx_hat = dy * along_channels(gamma, x)
    centred = x - x.mean(axes, keepdims=True)
    inv_std = (x.var(axes) + 1e-3) ** -0.5
    np.testing.assert_allclose(at[nodes["x_hat"]].value, dx_hat, **EXACT)
    dvar = -0.5 * inv_std**3 * (dx_hat * centred).sum(axes)
    np.testing.assert_allclose(at[nodes["var"]].value, dvar, **EXACT)
    dmean = -inv_std * dx_hat.sum(axes)  # its share by the variance is 0
    np.testing.assert_allclose(at[nodes["mean"]].value, dmean, **EXACT)


# --- replay --------------------------------------------------------------------------------------


def test_replay_without_a_nudge_gives_the_output():
    output = everything(*map(Node, mixed((4, 3), (3,), (3,))))
    for nudge in (None, {}, {output: 0.0}):
        np.testing.assert_array_equal(replay(output, nudge), output.value)


def test_replay_with_a_nudge():
    x = Node(3.0)
    y = x * x
    z = y + x
    left, right = wires_into(y)
    assert replay(z, {x: 1.0}) == 4 * 4 + 4
    assert replay(z, {left: 1.0}) == 4 * 3 + 3
    assert replay(z, {left: 1.0, right: 2.0}) == 4 * 5 + 3
    assert replay(z, {left: 1.0, x: 1.0}) == 5 * 4 + 4
    assert replay(z, {y: 1.0}) == 9 + 1 + 3
    assert replay(z, {z: 1.0}) == 9 + 3 + 1
    assert replay(z, {wires_into(z)[1]: 1.0}) == 9 + 4
    assert (x.value, y.value, z.value) == (3, 9, 12)


def complex_nudge(output, item, shape):
    """The derivative of the output with respect to each number at a node or on a wire."""
    slope = np.empty(shape)
    for index in np.ndindex(shape):
        nudge = np.zeros(shape, complex)
        nudge[index] = 1j * STEP
        slope[index] = replay(output, {item: nudge}).imag / STEP
    return slope


@pytest.mark.parametrize("shape", [(3, 1), (4, 2), (2, 2, 2)])
def test_the_number_on_a_wire_is_what_a_nudge_there_does(shape):
    x, gamma, beta, dy = example(shape)
    y = graph.batch_norm(Node(x), Node(gamma), Node(beta), eps=1e-3)
    loss = graph.sum(y * Node(dy) + y**2)
    gradients = backward(loss)
    for wire, share in gradients.along.items():
        expected = complex_nudge(loss, wire, wire.source.shape)
        np.testing.assert_allclose(share.value, expected, rtol=1e-11, atol=1e-11)
    for node, gradient in gradients.at.items():
        expected = complex_nudge(loss, node, node.shape)
        np.testing.assert_allclose(gradient.value, expected, rtol=1e-11, atol=1e-11)


def test_a_backward_side_that_forgets_an_input_is_refused():
    a, b = Node(2.0), Node(3.0)
    product = graph.computed("*", [a, b], operator.mul, lambda dy: [dy * b])
    with pytest.raises(ValueError, match="shorter"):
        backward(product)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: a(4) @ a(4, 2), "matmul: shapes must be (n, k) and (k, m), got (4,) and (4, 2)"),
        (lambda a: a(2, 4, 3) @ a(4, 2), "got (2, 4, 3) and (4, 2)"),
        (lambda a: a(2, 4) @ a(4, 2, 3), "got (2, 4) and (4, 2, 3)"),
        (lambda a: a(2, 3) @ a(4, 2), "got (2, 3) and (4, 2)"),
        (lambda a: a(2, 5) @ a(4, 2), "got (2, 5) and (4, 2)"),
        (lambda a: graph.repeat(a(1), (3, 2), 0), "shape (2,) to become (3, 2), got (1,)"),
        (lambda a: graph.repeat(a(3), (3, 2), 0), "shape (2,) to become (3, 2), got (3,)"),
        (lambda a: backward(a(2), a(1)), "backward: upstream must have shape (2,), got (1,)"),
        (lambda a: backward(a(2), a(3)), "backward: upstream must have shape (2,), got (3,)"),
        (lambda a: graph.sum(a(2, 3), (1, 7, 5)), "sum: axis must lie within 2 axes, got 7"),
    ],
)
def test_too_small_and_too_large_are_both_refused(call, says):
    with pytest.raises(ValueError, match=r"^(matmul|repeat|backward|sum): ") as caught:
        call(lambda *shape: Node(np.ones(shape)))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ([(3,), (3,), (3,)], "x must have shape (N, C, *spatial), got (3,)"),
        ([(0, 3), (3,), (3,)], "x must not be empty, got shape (0, 3)"),
        ([(2, 0), (0,), (0,)], "x must not be empty, got shape (2, 0)"),
        ([(2, 3), (2,), (3,)], "gamma must have shape (3,) to match x of shape (2, 3), got (2,)"),
        ([(2, 3), (3,), (2,)], "beta must have shape (3,) to match x of shape (2, 3), got (2,)"),
    ],
)
def test_batch_norm_asks_before_it_draws_a_node(shapes, says):
    with pytest.raises(ValueError, match=f"^batch_norm: {re.escape(says)}$"):
        graph.batch_norm(*(Node(np.ones(shape)) for shape in shapes))


def test_the_largest_power_and_one_that_is_a_fraction():
    assert graph.power(Node([1.0]), sys.float_info.max).value.tolist() == [1.0]
    root = graph.power(Node([4.0]), Fraction(1, 2))
    assert root.value.dtype == np.float64 and root.value.tolist() == [2.0]


def test_nothing_may_be_repeated_and_more_than_there_is_memory_may_not():
    assert graph.repeat(Node(1.0), (0,)).shape == (0,)
    told = "repeat: shape must fit into memory, got (1099511627776, 1099511627776)"
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        graph.repeat(Node(1.0), (2**40, 2**40))


# --- what the output does not depend on, and numbers that are not finite or not real -------------


def test_the_gradient_of_what_does_not_matter_is_zero():
    x, other = Node([1.0, 2.0]), Node([[3.0]], "other")
    at = backward(graph.sum(x * 5)).at
    assert at[other].value.tolist() == [[0.0]]
    assert other not in at, "asking stores nothing"
    # The slope of a line does not depend on x any more.
    assert backward(graph.sum(at[x])).at[x].value.tolist() == [0.0, 0.0]
    assert at[Node(np.float32([1]))].value.dtype == np.float32


def test_relu_of_infinity_and_nan():
    x = Node([-np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(graph.relu(x).value, [0.0, np.inf, np.nan])
    assert graph.relu(Node(np.float32([-1, 2]))).value.dtype == np.float32


def test_a_complex_number_beside_a_real_node():
    np.testing.assert_array_equal((Node([1.0, 2.0]) * (2 + 3j)).value, [2 + 3j, 4 + 6j])
