"""What a drawing of a graph says: names, operations with their constants, numbers, shapes.

Here is also what a folded drawing leaves out. `bnlib.graph_drawing` sets all this on the page.
"""

import itertools
import re

import numpy as np

from bnlib import checks
from bnlib.graph import Gradients, Node, in_order, wires_into

MOST_DECIMALS = 17  # float64 has no more
MANY = 4  # more numbers than these are told by their shape
LETTERS = {"gamma": "γ", "beta": "β", "eps": "ε", "mu": "μ", "sigma": "σ", "theta": "θ"}
SIGNS = {"^2": "square", "^0.5": "√", "^-0.5": "1/√", "^-1": "invert", "T": "transpose"}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def wire_names(output, folded=False):
    """Name the wires of a drawing, in the order of the computation.

    Parameters
    ----------
    output : Node
    folded : bool
        As in `draw_graph`. A folded wire is known by its first one, where it can be cut.

    Returns
    -------
    dict of Wire to str
        Of several equal names all but the first get a number.

    Examples
    --------
    >>> from bnlib.graph import Node
    >>> a = Node(3.0, name="a")
    >>> b = (2 * a + a).called("b")
    >>> list(wire_names(b).values())
    ['a → × 2 in b', '× 2 → b', 'a → b']
    >>> list(wire_names(b, folded=True).values())
    ['a → b', 'a → b (2)']
    """
    _check("wire_names", output, folded)
    into, long = _wires(output, folded), _long_names(output)
    return _numbered(
        {
            wire: f"{long[wire.source].partition(' in ')[0]} → {long[node]}"
            for node in into
            for wire in into[node]
        }
    )


def node_names(output, folded=False):
    """Name the nodes of a drawing: an operation without a name is told by where it leads.

    Parameters
    ----------
    output : Node
    folded : bool
        As in `draw_graph`.

    Returns
    -------
    dict of Node to str
        In the order of the computation; of several equal names all but the first get a number.

    Examples
    --------
    >>> from bnlib.graph import Node
    >>> a = Node(3.0, name="gamma")
    >>> list(node_names((2 * a + a).called("b")).values())
    ['γ', '× 2 in b', 'b']
    """
    _check("node_names", output, folded)
    long = _long_names(output)
    return _numbered({node: long[node] for node in _wires(output, folded)})


class Words:
    """All texts of a drawing.

    Parameters
    ----------
    output, gradients, folded, decimals, shapes
        As in `bnlib.graph_drawing.draw_graph`.

    Attributes
    ----------
    into, out : dict of Node to list of Wire
        The wires that end at each drawn node, in operand order, and those that leave it.
    box, value : dict of Node to str
        What stands in its box, and beside it.
    share : dict of Wire to str
        What it carries back, else the word for a cut.
    sum : dict of Node to str
        The gradient there, where it is not simply what one wire carries.
    """

    def __init__(self, output, gradients, folded, decimals, shapes):
        _check("draw_graph", output, folded)
        checks.within("draw_graph", "decimals", decimals, 0, MOST_DECIMALS)
        checks.flag("draw_graph", "shapes", shapes)
        self.into = _wires(output, folded)
        _check_gradients(gradients, self.into)
        self.out: dict = {node: [] for node in self.into}
        for wire in itertools.chain(*self.into.values()):
            self.out[wire.source].append(wire)
        self.box, self.value, self.share, self.sum = {}, {}, {}, {}
        for node in self.into:
            name, value = readable(node.name), numbers(node.value, decimals, shapes)
            in_box = name and (folded or not node.inputs)
            between = " " if value.startswith("(") else " = "
            self.box[node] = name if in_box else _operation(node)
            self.value[node] = value if in_box or not name else name + between + value
            for wire in self.into[node]:
                self.share[wire] = "cut"
                if gradients:
                    share = numbers(gradients.along[wire].value, decimals, shapes)
                    self.share[wire] = f"↑ {share}"
            if gradients and len(self.out[node]) != 1:
                total = numbers(gradients.at[node].value, decimals, shapes)
                self.sum[node] = f"Σ ↑ {total}" if self.out[node] else f"↑ {total}"
        self.decimals, self.folded = decimals, folded


def _check(operation, output, folded):
    checks.instance(operation, "output", output, Node, "a Node")
    checks.flag(operation, "folded", folded)


def _check_gradients(gradients, into):
    """Gradients are those of the drawn graph, or None."""
    if gradients is None:
        return
    checks.instance("draw_graph", "gradients", gradients, Gradients, "the Gradients of backward")
    if not all(wire in gradients.along for wire in itertools.chain(*into.values())):
        raise ValueError("draw_graph: gradients must be those of output, got those of another")


def _wires(output, folded):
    """The drawn nodes, sources first, each with the drawn wires into it in operand order."""
    nodes = [n for n in in_order(output) if n.operation != "constant" or n is output]
    leaving = dict.fromkeys(nodes, 0)
    for node in nodes:
        for wire in _drawable(node):
            leaving[wire.source] += 1

    def drawn(node):  # an unnamed node that feeds several is drawn: each wire then has one end
        return not (folded and node.inputs and not node.name) or leaving[node] != 1

    into: dict = {}
    for node in filter(drawn, nodes):
        into[node], waiting = [], _drawable(node)[::-1]
        while waiting:
            wire = waiting.pop()
            if drawn(wire.source):
                into[node].append(wire)
            else:
                waiting += _drawable(wire.source)[::-1]
    return into


def _drawable(node):
    return [wire for wire in wires_into(node) if wire.source.operation != "constant"]


def _long_names(output):
    leads_to, names = {output: output}, {}
    for node in reversed(in_order(output)):
        end = node if node.name else leads_to[node]
        leads_to.update(dict.fromkeys(node.inputs, end))
        names[node] = readable(node.name) or _operation(node)
        if end is not node:
            names[node] += f" in {readable(end.name) or _operation(end)}"
    return names


def _numbered(names):
    seen: dict[str, int] = {}
    for item, name in names.items():
        seen[name] = seen.get(name, 0) + 1
        names[item] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names


def readable(name):
    """A name as the book's formulas have it.

    >>> [readable(name) for name in ("x_hat", "dgamma", "mean", "inv_std", "W1")]
    ['x̂', 'dγ', 'mean', 'inv_std', 'W1']
    """
    checks.instance("readable", "name", name, str, "text")
    stem, hat = (name[0], "\u0302") if re.fullmatch("._hat", name, re.DOTALL) else (name, "")
    before, word = re.fullmatch(r"(d?)(.*)", stem, re.DOTALL).groups()  # type: ignore[union-attr]
    return before + LETTERS[word] + hat if word in LETTERS else stem + hat


def _constant(node):
    """A constant by its name, else as a whole number's inverse, a power of ten or in digits."""
    number = node.value.flat[0]
    digits = f"{number:g}"
    if node.name not in ("", digits):
        return readable(node.name)
    inverse = 1 / number if number else 0
    if 1.5 < abs(inverse) < 1000 and np.isclose(inverse, round(inverse), rtol=1e-6):
        digits = f"1/{round(abs(inverse))}" if inverse > 0 else f"-1/{round(abs(inverse))}"
    elif re.fullmatch(r"1e.\d+", digits):
        return "10" + str(int(digits[2:])).translate(RAISED)
    return digits.replace("-", "−")


def _operation(node):
    """An operation with its constants: "× 1/3", "1 −"; "input" where there is none."""
    words = [SIGNS.get(node.operation, node.operation) or "input"]
    for place, source in enumerate(node.inputs):
        if source.operation == "constant":
            words.insert(0 if place == 0 and node.operation == "−" else 1, _constant(source))
    return " ".join(words)


def numbers(value, decimals, shapes=False):
    """A few numbers in digits, all with as many decimals as one of them needs, or their shape.

    >>> [numbers(np.array(v), 2) for v in ([1.0, -2.5], -1e-17, 1 / 3, 2e-4, [0.0] * 5)]
    ['1.0, −2.5', '0', '0.33', '0.0002', '(5,)']
    """
    value = checks.plain_array("numbers", "value", value)
    if value.dtype.kind not in "biufc":
        raise TypeError(f"numbers: value must hold numbers, got {value.dtype}")
    checks.within("numbers", "decimals", decimals, 0, MOST_DECIMALS)
    checks.flag("numbers", "shapes", shapes)
    if shapes or not 0 < value.size <= MANY or np.iscomplexobj(value):
        return str(value.shape)
    values = value.ravel() * (1 + 1e-9)  # halves must not be rounded as the processor likes
    largest = np.abs(values).max()
    if largest >= 1e5 or 1e-9 < largest < 10.0**-decimals / 2:
        texts = [f"{number:.{decimals}g}" for number in values]
    else:
        near = 1e-8 * max(1, largest)
        enough = (d for d in range(decimals) if np.all(np.abs(values - values.round(d)) < near))
        digits = next(enough, decimals)
        texts = [f"{number + 0.0:.{digits}f}" for number in values.round(digits)]  # no -0.00
    return ", ".join(texts).replace("-", "−")
