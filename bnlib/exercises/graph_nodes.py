"""Exercises on the graph: `check_graph_node`."""

import numpy as np

from bnlib import checks, graph
from bnlib.exercises.answers import answer, listed
from bnlib.exercises.calling import Unfit, a, as_array, ask, is_missing, misfit
from bnlib.exercises.diagnosis import follow, same
from bnlib.exercises.examination import Exercise, examine, failed, objection
from bnlib.exercises.graph_node_mistakes import INVERSE_ROOT, MATMUL, MUL, SQRT
from bnlib.exercises.graph_sum_mistakes import MEAN, REPEAT, SUM, VARIANCE
from bnlib.exercises.seeds import check_seed, extra_examples
from bnlib.gradcheck import COMPLEX_STEP
from bnlib.graph import Node

OPERATIONS = {
    "sum": SUM,
    "repeat": REPEAT,
    "mean": MEAN,
    "variance": VARIANCE,
    "sqrt": SQRT,
    "inverse_root": INVERSE_ROOT,
    "mul": MUL,
    "matmul": MATMUL,
}

# What the letters of the shapes stand for; a square batch finds what numpy refuses elsewhere.
SIZES = [{"N": 4, "C": 2, "M": 2}, {"N": 5, "C": 3, "M": 4}, {"N": 4, "C": 4, "M": 4}]
NUDGE = 0.25


def check_graph_node(f, node="mean", *, twice=False, seed=0):
    """Check an operation that a reader made with `bnlib.graph.computed`: value, then gradient.

    Parameters
    ----------
    f : callable
        ``f(a)`` to a `Node`, of one node a; ``f(a, b)`` for mul and matmul; ``f(a, n)`` for repeat,
        which makes n rows of a row.
    node : str
        Which operation: sum, repeat, mean, variance, sqrt, inverse_root, mul or matmul. Sum, mean
        and variance run over axis 0.
    twice : bool
        Look at the gradient of the gradient, too.
    seed : int
        Chooses the made-up numbers.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mean(a):
    ...     return graph.computed(
    ...         "mean", [a], lambda u: u.mean(0), lambda dy: [graph.repeat(dy, a.shape, 0)]
    ...     )
    >>> check_graph_node(mean).mistakes
    ('share_forgotten',)
    """
    check_seed("check_graph_node", seed)
    checks.flag("check_graph_node", "twice", twice)
    checks.one_of("check_graph_node", "node", node, OPERATIONS)
    operation = OPERATIONS[node]
    problem = misfit(f, [*operation.shapes, *operation.settings])
    if problem:
        return answer(False, [problem])
    rng = np.random.default_rng(seed)
    batches = [made_up(operation, sizes, rng) for sizes in _sizes(seed)]
    value = examine(value_exercise(operation), f, batches)
    return examine(gradient_exercise(operation, twice), f, batches) if value.right else value


def _sizes(seed):
    """The sizes; with another seed than 0 the second batch has more rows."""
    first, second, square = SIZES
    return [first, second | {"N": second["N"] + extra_examples(seed)}, square]


def made_up(operation, sizes, rng):
    """Positive inputs of two decimals, a dy, and for each input a direction to move it in."""

    def shape(letters):
        return tuple(sizes[letter] for letter in letters)

    batch = {"n": sizes["N"], "dy": rng.normal(size=shape(operation.value)).round(2)}
    for name, letters in operation.shapes.items():
        batch[name] = rng.uniform(0.5, 3, shape(letters)).round(2)
        batch[f"along_{name}"] = rng.normal(size=shape(letters))
    return batch


def value_exercise(operation):
    """The first half: what the node computes."""

    def arguments(batch):
        return {name: batch[name] for name in (*operation.shapes, *operation.settings)}

    def run(f, **inputs):
        output, _ = build(f, inputs)
        return output if is_missing(output) else output.value

    def unpack(value):
        return {"value": as_array("the value", value)}

    names = list(operation.steps)
    steps = {name: operation.steps[name] for name in names[: names.index("value") + 1]}
    mistakes = [m for m in operation.mistakes if any(way.keys() <= steps.keys() for way in m.ways)]
    return Exercise(steps, ("value",), tuple(mistakes), arguments, run, unpack, arguments)


def gradient_exercise(operation, twice):
    """The second half, of a node whose value is right: what it sends back to each input."""
    first = value_exercise(operation)
    names = {f"d{name}": name for name in operation.shapes}

    def arguments(batch):
        return {"dy": batch["dy"], **first.arguments(batch)}

    def run(f, dy, **inputs):
        output, nodes = build(f, inputs)
        gradients = send_back(output, nodes, Node(dy, name="dy"))
        return output.value, *(gradient.value for gradient in gradients)

    def unpack(values):
        return {
            name: as_array(name, value)
            for name, value in zip(("value", *names), values, strict=True)
        }

    def shown(batch):
        return {**first.arguments(batch), "dy": batch["dy"]}

    probes = (is_one_node, computes_again, *([has_gradients_of_gradients] if twice else []))
    outputs = ("value", *names)
    return Exercise(
        operation.steps, outputs, operation.mistakes, arguments, run, unpack, shown, probes
    )


def build(f, inputs):
    """Call the reader's function with nodes; return its node and those."""
    nodes = {name: Node(value, name=name) for name, value in inputs.items() if np.ndim(value)}
    settings = [value for name, value in inputs.items() if name not in nodes]
    output = f(*nodes.values(), *settings)
    if not is_missing(output) and not isinstance(output, Node):
        raise Unfit(
            f"The function must return the node that computed(...) makes; yours is {a(output)}."
        )
    return output, list(nodes.values())


def send_back(output, nodes, dy):
    """What the node sends back to each of the nodes, as nodes; Unfit if it has another form."""
    if not output.inputs:
        raise Unfit(
            "The value is right, but the node has no inputs, so no gradient finds its way back: "
            "make it with computed(name, [a], forward, backward)."
        )
    shares = output.backward(dy)
    if not isinstance(shares, list | tuple) or len(shares) != len(output.inputs):
        came = f"{len(shares)} of them" if isinstance(shares, list | tuple) else a(shares)
        raise Unfit(
            "The backward side must return a list with one gradient for each input, also where "
            f"there is only one; yours returns {came}, for {len(output.inputs)}."
        )
    for share in shares:
        if not isinstance(share, Node):
            raise Unfit(
                "The backward side must return nodes, so that gradients have gradients; in yours "
                f"is {a(share)}. Compute with dy and the inputs themselves, not with their .value."
            )
    at = graph.backward(output, dy).at
    if any(node not in at for node in nodes):
        raise Unfit("An input is missing in the list that computed(...) gets: nothing flows back.")
    return [at[node] for node in nodes]


def is_one_node(exercise, f, batches, exact):
    """Object to a right answer that is made of several nodes."""
    del exact

    def run(dy, **inputs):
        output, nodes = build(f, inputs)
        return set(output.inputs) <= set(nodes)

    if ask(run, exercise.arguments(batches[0])).value:
        return None
    sentence = (
        "The numbers are right, but they come from several nodes: make a single one with "
        "computed(...), and write its backward side yourself."
    )
    return objection("several_nodes", sentence, "operation")


def computes_again(exercise, f, batches, exact):
    """Object to a forward side that does not look at what it is given."""
    del exact
    batch = batches[0]

    def run(dy, **inputs):
        output, nodes = build(f, inputs)
        return graph.replay(output, dict.fromkeys(nodes, NUDGE))

    reply = ask(run, exercise.arguments(batch))
    if reply.error:
        return failed(reply.error, f, " when its forward side was asked again")
    moved = {name[1:]: batch[name[1:]] + NUDGE for name in exercise.outputs[1:]}
    if same(reply.value, follow(exercise.steps, batch | moved).value):
        return None
    sentence = (
        "The numbers are right, but the forward side does not use what it is given: in "
        "`lambda u: ...` compute with u, not with the node's own value. Else a nudge on the way "
        "is lost."
    )
    return objection("forward_ignores_input", sentence, "operation")


def has_gradients_of_gradients(exercise, f, batches, exact):
    """Object to a backward side whose numbers are right and which is not made of nodes throughout.

    Of `sum(along * gradient)` the gradient with respect to the inputs is how the gradient changes
    in the direction `along`, since second derivatives are symmetric; and with respect to dy, how
    the value does. A complex step gives both.
    """
    del exact
    names = ["dy", *(name[1:] for name in exercise.outputs[1:])]
    for batch in batches:
        along = {name: batch[f"along_{name}"] for name in names[1:]}

        def run(dy, along=along, **inputs):
            output, nodes = build(f, inputs)
            upstream = Node(dy)
            gradients = send_back(output, nodes, upstream)
            products = [
                graph.sum(g * Node(w)) for g, w in zip(gradients, along.values(), strict=True)
            ]
            at = graph.backward(sum(products[1:], start=products[0])).at
            return [at[node].value for node in (upstream, *nodes)]

        reply = ask(run, exercise.arguments(batch))
        if reply.error:
            return failed(reply.error, f, " when the gradient of its gradient was asked for")
        moved = {name: batch[name] + 1j * COMPLEX_STEP * w for name, w in along.items()}
        right = follow(exercise.steps, batch | moved)
        expected = [getattr(right, name).imag / COMPLEX_STEP for name in exercise.outputs]
        wrong = [
            n for n, *both in zip(names, reply.value, expected, strict=True) if not same(*both)
        ]
        if wrong:
            sentence = (
                f"The gradient is right; its own gradient, with respect to {listed(wrong)}, is "
                "not: something in the backward side is a plain number (a .value, an array) where "
                "a node should stand."
            )
            return objection("frozen_in_backward", sentence, "second")
    return None
