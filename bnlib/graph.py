"""A reverse-mode engine on one screen: values forward, gradients backward, and they are nodes too.

Nothing broadcasts by itself. Where numpy would repeat a row over a batch in silence, the graph has
a `repeat`, and its gradient is a `sum`; the gradient of a `sum` is a `repeat`. Every operation
below is a line with its value and its backward side next to each other, and the backward side is
made of the same operations, so that gradients have gradients. Chapter `computational_graph`.

Every operation raises TypeError for what is no node (or axis, or exponent), and ValueError for
shapes and numbers that do not fit.
"""

import math
import sys
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from bnlib import checks


class Node:
    """A value and where it came from.

    Parameters
    ----------
    value : array_like of float16, float32, float64 or complex128
        The value of an input.
    name : str
        How a drawing and an error call it.

    Attributes
    ----------
    value : ndarray
        Not to be changed: later nodes were computed from it.
    operation : str
        "" for an input, "constant" for a number that stands in a formula, else what was computed.
    inputs : tuple of Node
        What it was computed from.
    forward : callable
        Values of the inputs to the value; only where there are inputs.
    backward : callable
        The gradient with respect to this node, to a list with that of each input: nodes too.

    Examples
    --------
    >>> x = Node([1.0, 2.0], name="x")
    >>> (x * x + 1).value
    array([2., 5.])
    """

    operation = ""
    inputs: tuple["Node", ...] = ()
    forward: Callable[..., np.ndarray]
    backward: Callable[["Node"], list["Node"]]
    __array_ufunc__ = None  # `array * node` is an error here, not an array of nodes

    def __init__(self, value, name=""):
        checks.instance("Node", "name", name, str, "a word")
        self.value = checks.float_array("Node", name or "value", value)
        self.name = name

    @property
    def shape(self):
        """The shape of the value."""
        return self.value.shape

    def called(self, name):
        """Give the node a name, and return it."""
        self.name = name
        return self

    def __repr__(self):
        label = " ".join(part for part in (self.name, self.operation) if part)
        return f"<node {label or 'input'}, shape {self.shape}>"

    def __add__(self, other):
        return add(self, _node(other, self))

    def __sub__(self, other):
        return sub(self, _node(other, self))

    def __mul__(self, other):
        return mul(self, _node(other, self))

    def __truediv__(self, other):
        return mul(self, power(_node(other, self), -1))

    def __pow__(self, exponent):
        return power(self, exponent)

    def __matmul__(self, other):
        return matmul(self, other)

    def __neg__(self):
        return mul(self, _node(-1, self))

    def __rsub__(self, other):
        return sub(_node(other, self), self)

    def __rtruediv__(self, other):
        return mul(_node(other, self), power(self, -1))

    __radd__, __rmul__ = __add__, __mul__


def computed(operation, inputs, forward, backward):
    """Make the node of an operation; every operation below does.

    Parameters
    ----------
    operation : str
        How a drawing and an error call it.
    inputs : list of Node
    forward, backward : callable
        See the attributes of `Node`.

    Returns
    -------
    Node

    Examples
    --------
    >>> def square(a):
    ...     return computed("square", [a], lambda u: u * u, lambda dy: [dy * a * 2])
    >>> x = Node(3.0)
    >>> backward(square(x)).at[x].value
    array(6.)
    """
    node = Node(forward(*(source.value for source in inputs)))
    node.operation, node.inputs = operation, tuple(inputs)
    node.forward, node.backward = forward, backward
    return node


def add(a, b):
    """a + b, of equal shapes: both get the gradient as it is."""
    _same_shape("add", a, b)
    return computed("+", [a, b], np.add, lambda dy: [dy, dy])


def sub(a, b):
    """a - b, of equal shapes."""
    _same_shape("sub", a, b)
    return computed("−", [a, b], np.subtract, lambda dy: [dy, -dy])


def mul(a, b):
    """a times b, elementwise, of equal shapes: each gets the gradient times the other."""
    _same_shape("mul", a, b)
    return computed("×", [a, b], np.multiply, lambda dy: [dy * b, dy * a])


def power(a, exponent):
    """Raise to a fixed power, elementwise."""
    _nodes("power", a=a)
    if not isinstance(exponent, Real):
        raise TypeError(f"power: exponent must be a number, got {type(exponent).__name__}")
    if abs(exponent) > sys.float_info.max:  # type: ignore[operator]
        raise ValueError(f"power: exponent must be a finite number, got {exponent}")
    if not isinstance(exponent, int):
        exponent = float(exponent)

    def slope():  # of a constant: 0, where 0 * a**-1 would be NaN at a = 0
        return power(a, exponent - 1) * exponent if exponent else a * 0

    return computed(f"^{exponent:g}", [a], lambda u: u**exponent, lambda dy: [dy * slope()])


def exp(a):
    """Exponential, elementwise: its own slope."""
    _nodes("exp", a=a)
    return computed("exp", [a], np.exp, lambda dy: [dy * exp(a)])


def log(a):
    """Natural logarithm, elementwise."""
    _nodes("log", a=a)
    return computed("log", [a], np.log, lambda dy: [dy / a])


def relu(a):
    """Keep what is above 0; the slope at 0 is taken as 0."""
    _nodes("relu", a=a)
    above = Node((a.value.real > 0).astype(a.value.dtype))
    return computed("relu", [a], lambda u: np.where(u.real <= 0, 0, u), lambda dy: [dy * above])


def matmul(a, b):
    """Multiply matrices."""
    _nodes("matmul", a=a, b=b)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: shapes must be (n, k) and (k, m), got {a.shape} and {b.shape}")
    return computed("@", [a, b], np.matmul, lambda dy: [dy @ transpose(b), transpose(a) @ dy])


def transpose(a):
    """Swap rows and columns; its own adjoint."""
    _nodes("transpose", a=a)
    return computed("T", [a], lambda u: u.T, lambda dy: [transpose(dy)])


def sum(a, axis=None):
    """Add up over one or several axes, which are then gone: the gradient is repeated over them."""
    _nodes("sum", a=a)
    axis = _axes("sum", axis, len(a.shape))
    return computed("sum", [a], lambda u: u.sum(axis), lambda dy: [repeat(dy, a.shape, axis)])


def repeat(a, shape, axis=None):
    """Copy along new axes until the shape is reached: the gradients of all copies are added up.

    Parameters
    ----------
    a : Node
    shape : tuple of int
        Of the result.
    axis : int or tuple of int, optional
        The axes of the result along which it does not vary; all of them if not given.

    Examples
    --------
    >>> repeat(Node([1.0, 2.0]), (3, 2), axis=0).value
    array([[1., 2.],
           [1., 2.],
           [1., 2.]])
    """
    _nodes("repeat", a=a)
    checks.instance("repeat", "shape", shape, tuple | list, "a tuple of whole numbers")
    for size in shape:
        checks.count("repeat", "each of shape", size, least=0)
    axis = _axes("repeat", axis, len(shape))
    kept = tuple(size for place, size in enumerate(shape) if place not in axis)
    if math.prod(shape) > sys.maxsize // a.value.itemsize:
        raise ValueError(f"repeat: shape must fit into memory, got {shape}")
    if a.shape != kept:
        raise ValueError(f"repeat: a must have shape {kept} to become {shape}, got {a.shape}")

    def copies(u):
        return np.broadcast_to(np.expand_dims(u, axis), shape)

    return computed("repeat", [a], copies, lambda dy: [sum(dy, axis)])


def batch_norm(x, gamma, beta, *, eps=1e-5):
    """Batch norm, node by node, with the names mean, var, inv_std, x_hat and y.

    As in the paper, the mean feeds two places: the numerator, and the variance.

    Parameters
    ----------
    x : Node of shape (N, C) or (N, C, *spatial)
    gamma, beta : Node of shape (C,)
    eps : float

    Returns
    -------
    Node

    Raises
    ------
    TypeError
        For anything but nodes, and an eps that is no number.
    ValueError
        For shapes that do not match, an empty batch, or eps that is not above 0.

    Examples
    --------
    >>> x, one, zero = Node([[1.0], [2.0], [3.0]]), Node([1.0]), Node([0.0])
    >>> batch_norm(x, one, zero).value.ravel().round(3)
    array([-1.225,  0.   ,  1.225])
    """
    _check_batch_norm(x, gamma, beta, eps)
    axes = (0, *range(2, len(x.shape)))
    share = gamma.value.size / x.value.size  # 1 / values per channel

    def everywhere(a):
        return repeat(a, x.shape, axes)

    mean = (sum(x, axes) * share).called("mean")
    var = (sum((x - everywhere(mean)) ** 2, axes) * share).called("var")
    inv_std = ((var + eps) ** -0.5).called("inv_std")
    x_hat = ((x - everywhere(mean)) * everywhere(inv_std)).called("x_hat")
    return (x_hat * everywhere(gamma) + everywhere(beta)).called("y")


def _check_batch_norm(x, gamma, beta, eps):
    _nodes("batch_norm", x=x, gamma=gamma, beta=beta)
    checks.batch("batch_norm", x.value)
    checks.per_channel("batch_norm", x.value, gamma=gamma.value, beta=beta.value)
    checks.positive("batch_norm", "eps", eps)
    if not x.value.size:
        raise ValueError(f"batch_norm: x must not be empty, got shape {x.shape}")


class Wire(NamedTuple):
    """A connection: `source` is input number `place` of `target`."""

    source: Node
    target: Node
    place: int


class _ZeroElsewhere(dict):
    """Gradients by node; that of a node on which the output does not depend is 0."""

    def __missing__(self, node):
        return Node(np.zeros_like(node.value))


class Gradients(NamedTuple):
    """What flows backward.

    Attributes
    ----------
    at : dict of Node to Node
        The gradient with respect to each node, of the same shape; 0 for a node that the output
        does not depend on.
    along : dict of Wire to Node
        The share that each wire carries; the shares of the wires that leave a node add up.
    """

    at: dict[Node, Node]
    along: dict[Wire, Node]


def backward(output, upstream=None, *, cut=()):
    """Carry a gradient from the output back along every wire.

    Parameters
    ----------
    output : Node
    upstream : Node, optional
        The gradient of something with respect to the output; 1 for an output that is a number.
    cut : collection of Wire
        Wires that carry nothing back, as if their source were a constant.

    Returns
    -------
    Gradients
        Nodes again, so their own gradients can be asked for.

    Raises
    ------
    TypeError
        For an output or upstream that is no node, a cut that holds anything but wires.
    ValueError
        For an upstream of another shape than the output's, or none where it is needed.

    Examples
    --------
    >>> x = Node(3.0)
    >>> y = x * x
    >>> [share.value for share in backward(y).along.values()]
    [array(3.), array(3.)]
    >>> dx = backward(y).at[x]
    >>> backward(dx).at[x].value
    array(2.)
    """
    _nodes("backward", output=output)
    cut = checks.sequence("backward", "cut", cut)
    for wire in cut:
        checks.instance("backward", "each of cut", wire, Wire, "a Wire")
    if upstream is None:
        if output.shape != ():
            raise ValueError(
                f"backward: upstream is needed for an output of shape {output.shape}, got none"
            )
        upstream = Node(np.ones_like(output.value))
    _nodes("backward", upstream=upstream)
    if upstream.shape != output.shape:
        raise ValueError(f"backward: upstream must have shape {output.shape}, got {upstream.shape}")
    at, along = _ZeroElsewhere({output: upstream}), {}
    for node in reversed(in_order(output)):
        if not node.inputs:
            continue
        for wire, share in zip(wires_into(node), node.backward(at[node]), strict=True):
            share = share * 0 if wire in cut else share
            along[wire] = share
            at[wire.source] = at[wire.source] + share if wire.source in at else share
    return Gradients(at, along)


def replay(output, nudge=None):
    """Compute the output again, with something added on the way.

    Parameters
    ----------
    output : Node
    nudge : dict of Node or Wire to array_like
        What to add to a node, or to what arrives at the end of one wire. A complex step gives the
        derivative there: `replay(loss, {wire: 1e-30j}).imag / 1e-30`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> x = Node(3.0)
    >>> y = x * x
    >>> replay(y, {x: 1.0}), replay(y, {wires_into(y)[0]: 1.0})
    (np.float64(16.0), np.float64(12.0))
    """
    _nodes("replay", output=output)
    nudge = {} if nudge is None else nudge
    checks.instance("replay", "nudge", nudge, Mapping, "a dict of nodes and wires")
    values: dict[Node, np.ndarray] = {}
    for node in in_order(output):
        arriving = [values[wire.source] + nudge.get(wire, 0) for wire in wires_into(node)]
        value = node.forward(*arriving) if node.inputs else node.value
        values[node] = value + nudge.get(node, 0)
    return values[output]


def in_order(output):
    """List every node that the output depends on, inputs before what was computed from them."""
    _nodes("in_order", output=output)
    order, seen, waiting = [], set(), [(output, False)]
    while waiting:  # no recursion: a graph may be deeper than Python's stack
        node, inputs_done = waiting.pop()
        if inputs_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting.extend((source, False) for source in reversed(node.inputs))
    return order


def wires_into(node):
    """List the wires that end at a node."""
    _nodes("wires_into", node=node)
    return [Wire(source, node, place) for place, source in enumerate(node.inputs)]


def _node(value, like):
    """A number beside a node becomes a constant of its shape; everything else must be a node."""
    if isinstance(value, Node):
        return value
    if np.ndim(value):
        raise TypeError(f"graph: an array must be made a Node first, got {type(value).__name__}")
    dtype = np.complex128 if np.iscomplexobj(value) else like.value.dtype
    node = Node(np.full(like.shape, value, dtype), name=f"{value:g}")
    node.operation = "constant"
    return node


def _nodes(operation, **given):
    for name, value in given.items():
        checks.instance(operation, name, value, Node, "a Node")


def _same_shape(operation, a, b):
    _nodes(operation, a=a, b=b)
    if a.shape != b.shape:
        raise ValueError(
            f"{operation}: shapes must be equal (repeat makes them so), got {a.shape} and {b.shape}"
        )


def _axes(operation, axis, ndim):
    """Return axes as a tuple of numbers from 0; None means all of them."""
    axes = tuple(range(ndim)) if axis is None else axis
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    if not all(isinstance(a, Integral) for a in axes):
        raise TypeError(f"{operation}: axis must be a whole number or several, got {axis!r}")
    wrong = [a for a in axes if not -ndim <= a < ndim]
    if wrong:
        raise ValueError(f"{operation}: axis must lie within {ndim} axes, got {wrong[0]}")
    return tuple(sorted({int(a) % ndim for a in axes}))
