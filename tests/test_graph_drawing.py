"""Drawings of graphs: what they say, that nothing lies on anything else, that digests notice."""

import itertools
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bnlib import display, graph, widgets
from bnlib.graph import Node, backward, in_order, wires_into
from bnlib.graph_drawing import _free, draw_graph, node_names, wire_names
from bnlib.graph_layout import arrange, columns, spread
from bnlib.graph_words import Words, numbers, readable
from bnlib.plots import PALETTE

DPI = 200
INPUTS = {"x": [[1.0], [2.0], [6.0]], "gamma": [1.5], "beta": [0.5], "dy": [[1.0], [-2.0], [0.5]]}


def batch_norm_loss(batch=None):
    x, gamma, beta, dy = (Node(value, name=name) for name, value in INPUTS.items())
    if batch is not None:
        x, dy = Node(batch, name="x"), Node(np.cos(batch), name="dy")
        gamma, beta = (Node(np.ones(batch.shape[1]), name=name) for name in ("gamma", "beta"))
    return graph.sum(graph.batch_norm(x, gamma, beta) * dy).called("loss")


def diamond():
    x = Node(2.0, name="x")
    return ((x**2).called("a") * graph.exp(x).called("b")).called("y")


def chain():
    y = Node([0.5, 1.0], name="x")
    for _ in range(3):
        y = graph.exp(y * 0.5)
    return graph.sum(y)


def square():
    x = Node(3.0, name="x")
    return x * x


def fan():
    x = Node(0.5, name="x")
    return x * x * x - x * 2 + graph.exp(x) * x


def perceptron():
    rng = np.random.default_rng(0)
    shapes = {"x": (50, 3), "W1": (3, 8), "b1": (8,), "W2": (8, 4)}
    x, w1, b1, w2 = (Node(rng.normal(size=shape), name=name) for name, shape in shapes.items())
    labels = Node(np.eye(4)[rng.integers(4, size=50)], name="labels")
    h = graph.relu(x @ w1 + graph.repeat(b1, (50, 8), 0)).called("h")
    z = (h @ w2).called("z")
    scores = graph.log(graph.sum(graph.exp(z), 1)).called("scores")
    return ((graph.sum(scores) - graph.sum(z * labels)) / 50).called("loss")


def softmax():
    z = Node([1.0, 2.0, 0.5], name="z")
    e = graph.exp(z).called("e")
    p = (e / graph.repeat(graph.sum(e).called("s"), (3,))).called("p")
    return graph.sum(p * Node([1.0, -2.0, 0.5], name="dp"))


def lonely():
    return Node(1.0, name="x")


GRAPHS = {
    "batch norm": batch_norm_loss,
    "batch norm, large": lambda: batch_norm_loss(np.random.default_rng(0).normal(size=(50, 2))),
    "diamond": diamond,
    "chain": chain,
    "square": square,
    "fan": fan,
    "perceptron": perceptron,
    "softmax": softmax,
    "lonely": lonely,
}


def frames(output):
    """All that a page may show of a graph, each as arguments of `draw_graph`."""
    gradients = backward(output)
    steps = [node for node in reversed(in_order(output)) if node.inputs]
    for folded in (False, True):
        wires = list(wire_names(output, folded))
        yield {"folded": folded}
        yield {"folded": folded, "shapes": True}
        yield {"folded": folded, "decimals": 1, "gradients": gradients}
        yield {"folded": folded, "gradients": gradients, "below": {"error of dx": 0.4, "rule": "0"}}
        for wire in wires:
            yield {"folded": folded, "cut": [wire], "below": {"error": 2.5}}
        for wire in wires[:: max(1, len(wires) // 4)]:
            yield {"folded": folded, "mark": wire, "gradients": gradients}
            severed = backward(output, cut=[wire])
            yield {"folded": folded, "cut": [wire], "gradients": severed}
        for count in range(0, len(steps) + 1, 4):
            now = steps[min(count, len(steps) - 1)] if steps else output
            yield {
                "folded": folded,
                "gradients": gradients,
                "reached": steps[:count],
                "mark": now if now in node_names(output, folded) else None,
            }


def drawn(output, **options):
    """Axes that have been rendered, with the texts' rectangles in inches from the upper left."""
    ax = draw_graph(output, **options)
    figure = ax.figure
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    renderer, height = canvas.get_renderer(), figure.get_figheight()
    rectangles = []
    for text in ax.texts:
        box = text.get_window_extent(renderer)
        x0, y0, x1, y1 = np.array(box.extents) / DPI
        rectangles.append((text, (x0, height - y1, x1, height - y0)))
    return ax, rectangles


def routes(ax):
    """The lines of wires, without the bands of marks and the bars under the graph."""
    return [
        line.get_xydata() for line in ax.lines if len(line.get_xdata()) > 1 and line.get_lw() < 5
    ]


def boxes(ax):
    """The rectangles of boxes, without bands, as (x0, y0, x1, y1)."""
    patches = [patch for patch in ax.patches if patch.get_alpha() is None]
    return [
        (p.get_x(), p.get_y(), p.get_x() + p.get_width(), p.get_y() + p.get_height())
        for p in patches
    ]


def overlap(one, other, by=0.0):
    return all(min(one[k + 2], other[k + 2]) - max(one[k], other[k]) > by for k in (0, 1))


def dense(route):
    steps = [np.linspace(a, b, 20) for a, b in itertools.pairwise(route)]
    return np.concatenate([route, *steps])


# --- nothing lies on anything else ---------------------------------------------------------------


@pytest.mark.parametrize("name", GRAPHS)
def test_texts_touch_nothing_in_any_frame(name):
    output = GRAPHS[name]()
    for options in frames(output):
        ax, rectangles = drawn(output, **options)
        width, height = ax.figure.get_size_inches()
        squares, lines = boxes(ax), [dense(route) for route in routes(ax)]
        for text, (x0, y0, x1, y1) in rectangles:
            said = text.get_text()
            assert 0 <= x0 and x1 <= width and 0 <= y0 and y1 <= height, said
            if text.get_ha() == "center":  # the label of a box lies within it
                assert any(a < x0 and x1 < c and b < y0 and y1 < d for a, b, c, d in squares), said
                continue
            inside = (x0, y0 + 0.01, x1, y1 - 0.01)  # letters are lower than their line
            assert not any(overlap(inside, square) for square in squares), said
            for line in lines:
                within = (line > inside[:2]) & (line < inside[2:])
                assert not within.all(axis=1).any(), said
        for (one, a), (other, b) in itertools.combinations(rectangles, 2):
            assert not overlap(a, b, by=0.012), (one.get_text(), other.get_text())


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_lie_apart_and_wires_around_them(name):
    output = GRAPHS[name]()
    for folded in (False, True):
        for gradients in (None, backward(output)):
            ax = draw_graph(output, gradients, folded=folded)
            squares = boxes(ax)
            for one, other in itertools.combinations(squares, 2):
                assert not overlap(one, other)
            for route, (x0, y0, x1, y1) in itertools.product(routes(ax), squares):
                inner = (x0 + 0.01, y0 + 0.01), (x1 - 0.01, y1 - 0.01)
                points = dense(route)
                assert not ((points > inner[0]) & (points < inner[1])).all(axis=1).any()


@pytest.mark.parametrize("name", GRAPHS)
def test_letters_are_large_enough_and_the_width_is_the_pages(name):
    output = GRAPHS[name]()
    ax = draw_graph(output, backward(output), below={"error": 0.5})
    assert {text.get_fontsize() for text in ax.texts} == {9.0}
    assert ax.figure.get_figwidth() == 4.8
    assert ax.get_position().bounds == (0, 0, 1, 1)
    assert ax.get_ylim() == (ax.figure.get_figheight(), 0)


def test_batch_norm_fits_a_page():
    output = batch_norm_loss()
    assert draw_graph(output).figure.get_figheight() < 6.4
    assert draw_graph(output, backward(output)).figure.get_figheight() < 7
    assert draw_graph(output, backward(output), folded=True).figure.get_figheight() < 3.8


def test_data_flow_downwards_and_operands_arrive_in_order():
    a, b = Node(1.0, name="a"), Node(2.0, name="b")
    for first, second in ((a, b), (b, a)):
        ax = draw_graph(first - second)
        labels = {text.get_text(): text.get_position()[0] for text in ax.texts}
        assert labels[first.name] < labels[second.name]
    for make in GRAPHS.values():
        for route in routes(draw_graph(make())):
            assert (np.diff(route[:, 1]) >= -1e-12).all()


def test_two_wires_between_the_same_two_nodes_are_two():
    for folded in (False, True):
        ax = draw_graph(square(), folded=folded)
        left, right = sorted(route[:, 0].mean() for route in routes(ax))
        assert right - left > 0.1
        assert len(wire_names(square(), folded)) == 2


def test_all_frames_of_a_stepper_have_the_same_places():
    output = batch_norm_loss()
    gradients = backward(output)
    steps = [node for node in reversed(in_order(output)) if node.inputs]
    whole = draw_graph(output, gradients)
    for count, step in enumerate(steps):
        ax = draw_graph(output, gradients, reached=steps[:count], mark=step)
        assert boxes(ax) == boxes(whole)
        assert ax.figure.get_figheight() == whole.figure.get_figheight()


@pytest.mark.parametrize("with_gradients", [False, True])
def test_all_frames_of_a_cut_have_the_same_places(with_gradients):
    output = batch_norm_loss()
    places = set()
    for wire in (None, *wire_names(output, folded=True)):
        cut = [wire] if wire else []
        gradients = backward(output, cut=cut) if with_gradients else None
        places.add(str(boxes(draw_graph(output, gradients, folded=True, cut=cut))))
    assert len(places) == 1


@pytest.mark.parametrize(
    ("own", "free"), [((1.5, 1.5), False), ((1.5, 2), True), ((2, 1.5), True), ((3, 1.5), True)]
)
def test_a_text_lies_beside_its_own_wire_and_may_touch_it(own, free):
    nothing = np.zeros((0, 2))
    assert _free((1, 1, 2, 2), [], nothing, np.array([own, (5, 5)])) == free


def test_a_graph_that_is_too_wide_is_refused():
    inputs = [Node([0.1, 0.2, 0.3], name=f"input{number}") for number in range(9)]
    mixed = graph.computed("mix", inputs, lambda *values: values[0], lambda dy: [dy] * 9)
    with pytest.raises(ValueError, match=r": shapes=True, folded=True or fewer decimals make it n"):
        draw_graph(mixed)
    large = batch_norm_loss(np.random.default_rng(0).normal(size=(50, 3)))
    draw_graph(large, backward(large), shapes=True)  # as the sentence says
    few = graph.computed("mix", inputs[:4], lambda *values: values[0], lambda dy: [dy] * 4)
    draw_graph(few, backward(few, inputs[0]), shapes=True)


# --- what it says --------------------------------------------------------------------------------


def said(ax):
    return [text.get_text() for text in ax.texts]


def test_what_stands_in_and_beside_the_boxes_of_batch_norm():
    texts = said(draw_graph(batch_norm_loss()))
    for text in ("x", "1, 2, 6", "γ", "β", "× 1/3", "mean = 3", "var = 4.67", "+ 10⁻⁵", "1/√"):
        assert text in texts
    assert "inv_std = 0.46" in texts and "x̂ = −0.93, −0.46, 1.39" in texts
    assert texts.count("repeat") == 5 and texts.count("× 1/3") == 2
    assert not any("↑" in text or text == "cut" for text in texts)


def test_a_folded_drawing_has_the_named_nodes_only():
    texts = said(draw_graph(batch_norm_loss(), folded=True))
    labels = [text for text in texts if not re.fullmatch(r"[−\d., ]+", text)]
    assert sorted(labels) == sorted(
        ["x", "mean", "var", "inv_std", "x̂", "γ", "β", "y", "dy", "loss"]
    )


def test_the_numbers_on_the_wires_are_the_gradients():
    output = batch_norm_loss()
    gradients = backward(output)
    for folded in (False, True):
        texts = said(draw_graph(output, gradients, folded=folded))
        for wire in wire_names(output, folded):
            assert f"↑ {numbers(gradients.along[wire].value, 2)}" in texts
        shares = [text for text in texts if text.startswith("↑")]
        assert len(shares) == len(wire_names(output, folded)) + 1  # and the output's own
        (x,) = (node for node in in_order(output) if node.name == "x")
        (mean,) = (node for node in in_order(output) if node.name == "mean")
        sums = {f"Σ ↑ {numbers(gradients.at[node].value, 2)}" for node in (x, mean)}
        assert sums == {text for text in texts if text.startswith("Σ")}


def test_the_shares_of_folded_wires_add_up():
    output = batch_norm_loss()
    gradients = backward(output)
    for node in node_names(output, folded=True):
        shares = [
            gradients.along[wire].value for wire in wire_names(output, True) if wire.source is node
        ]
        if shares:
            np.testing.assert_allclose(sum(shares), gradients.at[node].value, atol=1e-12)


def test_gradients_are_told_step_by_step():
    output = batch_norm_loss()
    gradients = backward(output)
    steps = [node for node in reversed(in_order(output)) if node.inputs]
    counts = []
    for count in range(len(steps) + 1):
        texts = said(draw_graph(output, gradients, reached=steps[:count]))
        counts.append(sum("↑" in text for text in texts))
    assert counts[0] == 0 and counts == sorted(counts)
    assert counts[-1] == sum("↑" in text for text in said(draw_graph(output, gradients)))
    last = said(draw_graph(output, gradients, reached=steps[:-1]))
    assert not any(text.startswith("Σ ↑ 0.96") for text in last)  # a branch is missing


def test_a_cut_is_a_gap_and_a_word():
    output = batch_norm_loss()
    for folded in (False, True):
        for wire in wire_names(output, folded):
            ax = draw_graph(output, folded=folded, cut=[wire])
            assert said(ax).count("cut") == 1
            gaps = [np.isnan(route).any() for route in routes(ax)]
            assert sum(gaps) == 1
            severed = routes(ax)[gaps.index(True)]
            assert not np.isnan(severed[[0, -1]]).any()
            (word,) = (text for text in ax.texts if text.get_text() == "cut")
            gone = routes(draw_graph(output, folded=folded))[gaps.index(True)]
            lost = dense(gone)[np.newaxis] - word.get_position()
            assert np.hypot(*lost.T).min() < 0.2


def test_colours_are_not_the_only_difference():
    output = square()
    gradients = backward(output)
    ax = draw_graph(output, gradients)
    for text in ax.texts:
        slanted = "↑" in text.get_text()
        assert (text.get_style() == "italic") == slanted
        assert (text.get_color() == PALETTE["red"][0]) == slanted
    forward, back = (
        {line.get_marker() for line in draw_graph(output, flow).lines} for flow in (None, gradients)
    )
    assert forward == {"None", "v"} and back == {"None", "^"}


def test_what_is_told_under_the_graph():
    output = diamond()
    plain = draw_graph(output)
    ax = draw_graph(output, below={"error of dx": 0.25, "rule": "small"}, full=0.5)
    assert said(ax)[-4:] == ["error of dx", "0.25", "rule", "small"]
    assert ax.figure.get_figheight() == pytest.approx(plain.figure.get_figheight() + 0.52)
    track, bar = (np.ptp(line.get_xdata()) for line in ax.lines[-2:])
    assert bar == pytest.approx(track / 2)
    over = draw_graph(output, below={"error of dx": 7.0}).lines[-2:]
    assert np.ptp(over[0].get_xdata()) == np.ptp(over[1].get_xdata())


def test_constants_are_told_where_they_are_used():
    a = Node(3.0, name="a")
    cases = {
        "× 1/3": a * (1 / 3),
        "× −1/4": a * -0.25,
        "× −1": -a,
        "+ 10⁻⁵": a + 1e-5,
        "1 −": 1 - a,
        "− 1": a - 1,
        "× 2": 2 * a,
        "× 0.3": a * 0.3,
        "× 0": a * 0,
        "− −2.5": a - -2.5,
        "+ 10²⁰": a + 1e20,
        "× 1/2": a * (1 / 2),
        "× 1/999": a * (1 / 999),
        "× 0.001": a * 0.001,
        "× 0.625": a * 0.625,
        "× 100": a * 100,
        "+ −1e−05": a + -1e-5,
        "+ 3e−05": a + 3e-5,
    }
    for label, node in cases.items():
        texts = said(draw_graph(node))
        assert label in texts, texts
        assert len(wire_names(node)) == 1
    named = a + 1e-5
    named.inputs[1].called("eps")
    assert "+ ε" in said(draw_graph(named))


def test_a_marked_node_has_a_band_around_its_box():
    x = Node(np.array([1.0, 2.0]), name="x")
    output = graph.sum(x, 0)

    def boxes(**options):
        ends = [patch.get_path().get_extents() for patch in draw_graph(output, **options).patches]
        return {tuple(end.extents.round(6)) for end in ends}

    (band,) = boxes(mark=x) - boxes()
    inside = [b for b in boxes() if b[0] > band[0] and b[1] > band[1] and b[2] < band[2]]
    assert inside and not boxes() - boxes(mark=x)


def test_larger_arrays_are_told_by_their_shape():
    x = Node(np.ones((50, 3)), name="x")
    texts = said(draw_graph(graph.sum(x, 0).called("total"), shapes=False))
    assert "(50, 3)" in texts and "total = 50, 50, 50" in texts
    assert "total (3,)" in said(draw_graph(graph.sum(x, 0).called("total"), shapes=True))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-1e-17, "0"),
        (-0.0, "0"),
        (-0.004, "−0.004"),
        ([1.0, -0.004], "1.00, 0.00"),
        ([1.0, 2.5], "1.0, 2.5"),
        (0.125, "0.13"),
        (-0.125, "−0.13"),
        ([0.125, -2 / 3], "0.13, −0.67"),
        (3e-5, "3e−05"),
        (123456.0, "1.2e+05"),
        (-123456.0, "−1.2e+05"),
        (99999.0, "99999"),
        (100000.0, "1e+05"),
        (0.0049, "0.0049"),
        (0.006, "0.01"),
        (2e-9, "2e−09"),
        (5e-10, "0"),
        (2.0000001, "2.00"),
        (2.00000001, "2"),
        (np.ones((2, 2)), "1, 1, 1, 1"),
        (np.ones(5), "(5,)"),
        (1j, "()"),
        (np.ones(0), "(0,)"),
    ],
)
def test_numbers(value, text):
    assert numbers(np.array(value), 2) == text


def test_numbers_do_not_hang_on_the_last_bit():
    for value in (0.125, -0.125, 0.375, 2.5e-3):
        noise = value * (1 + np.array([-1e-13, 0, 1e-13]))
        assert len({numbers(np.array(v), 2) for v in noise}) == 1


def test_names():
    names = ["x_hat", "gamma", "dgamma", "inv_std", "mean", "dbeta_hat", "W1", "", "gammas"]
    expected = ["x̂", "γ", "dγ", "inv_std", "mean", "dbeta_hat", "W1", "", "gammas"]
    assert [readable(name) for name in names] == expected
    names = ["eps", "dmu", "sigma", "theta", "d_hat", "_hat", "x_hats", "d", "\n_hat", "a\nb"]
    expected = ["ε", "dμ", "σ", "θ", "d\u0302", "_hat", "x_hats", "d", "\n\u0302", "a\nb"]
    assert [readable(name) for name in names] == expected


def test_an_input_without_a_name_is_called_one():
    assert said(draw_graph(graph.exp(Node(2.0)))) == ["input", "2", "exp", "7.39"]


def told(output, folded=False, decimals=2, shapes=False, flow=True):
    """All words of a drawing, by the names of its nodes and wires."""
    words = Words(output, backward(output) if flow else None, folded, decimals, shapes)
    nodes, wires = node_names(output, folded), wire_names(output, folded)
    return (
        {nodes[node]: (words.box[node], words.value[node]) for node in words.into},
        {wires[wire]: text for wire, text in words.share.items()},
        {nodes[node]: text for node, text in words.sum.items()},
    )


def test_all_words_of_a_drawing():
    x = Node([1.0, 3.0], name="x")
    loss = graph.sum((x * x).called("y") * 0.5 + x * 2).called("loss")
    boxes, shares, sums = told(loss)
    assert boxes == {
        "x": ("x", "1, 3"),
        "y": ("×", "y = 1, 9"),
        "× 1/2 in loss": ("× 1/2", "0.5, 4.5"),
        "× 2 in loss": ("× 2", "2, 6"),
        "+ in loss": ("+", "2.5, 10.5"),
        "loss": ("sum", "loss = 13"),
    }
    assert shares == {
        "x → y": "↑ 0.5, 1.5",
        "x → y (2)": "↑ 0.5, 1.5",
        "y → × 1/2 in loss": "↑ 0.5, 0.5",
        "× 1/2 → + in loss": "↑ 1, 1",
        "x → × 2 in loss": "↑ 2, 2",
        "× 2 → + in loss": "↑ 1, 1",
        "+ → loss": "↑ 1, 1",
    }
    assert sums == {"x": "Σ ↑ 3, 5", "loss": "↑ 1"}


def test_all_words_of_a_folded_drawing_and_of_one_with_shapes():
    x = Node([1.0, 3.0], name="x")
    loss = graph.sum((x * x).called("y") * 0.5 + x * 2).called("loss")
    assert told(loss, folded=True, decimals=0) == (
        {"x": ("x", "1, 3"), "y": ("y", "1, 9"), "loss": ("loss", "13")},
        {
            "x → y": "↑ 1, 2",
            "x → y (2)": "↑ 1, 2",
            "y → loss": "↑ 1, 1",
            "x → loss": "↑ 2, 2",
        },
        {"x": "Σ ↑ 3, 5", "loss": "↑ 1"},
    )
    boxes, shares, sums = told(loss, shapes=True, flow=False)
    assert boxes["y"] == ("×", "y (2,)") and boxes["x"] == ("x", "(2,)")
    assert boxes["+ in loss"] == ("+", "(2,)") and boxes["loss"] == ("sum", "loss ()")
    assert set(shares.values()) == {"cut"} and not sums


def test_of_equal_names_all_but_the_first_get_a_number():
    x = Node(2.0, name="x")
    assert list(node_names(((-x) * (-x) * (-x)).called("y")).values()) == [
        "x", "× −1 in y", "× −1 in y (2)", "× in y", "× −1 in y (3)", "y",
    ]  # fmt: skip


def test_gradients_of_another_graph_are_refused():
    with pytest.raises(ValueError, match=r"^draw_graph: gradients must be those of output, got th"):
        draw_graph(square(), backward(square()))


def test_a_constant_alone_is_drawn():
    half = (Node(3.0) * 0.5).inputs[1]
    assert said(draw_graph(half)) == ["0.5", "0.5"]
    assert list(node_names(half).values()) == ["0.5"] and not wire_names(half)


def test_folded_wires_have_the_names_of_their_ends():
    assert list(wire_names(batch_norm_loss(), folded=True).values()) == [
        "x → mean", "x → var", "mean → var", "var → inv_std", "x → x̂", "mean → x̂",
        "inv_std → x̂", "x̂ → y", "γ → y", "β → y", "y → loss", "dy → loss",
    ]  # fmt: skip


def test_folded_wires_are_those_at_the_beginning():
    output = batch_norm_loss()
    for wire, name in wire_names(output, folded=True).items():
        assert name.startswith(readable(wire.source.name))
        assert wire in wires_into(wire.target)
    loss = batch_norm_loss()
    wires = {name: wire for wire, name in wire_names(loss, folded=True).items()}
    whole, cut = (
        {n.name: g.value for n, g in backward(loss, cut=c).at.items()}
        for c in ([], [wires["mean → var"]])
    )
    np.testing.assert_allclose(cut["x"], whole["x"], atol=1e-12)  # the wire that may be cut


@pytest.mark.parametrize("name", GRAPHS)
def test_names_are_unique(name):
    output = GRAPHS[name]()
    for folded in (False, True):
        for names in (wire_names(output, folded), node_names(output, folded)):
            assert len(set(names.values())) == len(names)
            assert all(names.values())


def test_an_unnamed_node_that_feeds_several_is_not_folded():
    x = Node(2.0, name="x")
    shared = graph.exp(x)
    y = (shared * shared).called("y")
    assert list(wire_names(y, folded=True).values()) == ["x → exp in y", "exp → y", "exp → y (2)"]


# --- on the page ---------------------------------------------------------------------------------


def test_every_difference_is_in_the_digest():
    output = batch_norm_loss()
    gradients = backward(output)
    for folded in (False, True):
        wires, nodes = wire_names(output, folded), node_names(output, folded)
        variants = [{}, {"gradients": gradients}, {"shapes": True}, {"below": {"a": 0.5}}]
        variants += [{"below": {"a": 0.6}}, {"below": {"a": 0.5}, "full": 2}]
        variants += [{"cut": [wire]} for wire in wires] + [{"mark": wire} for wire in wires]
        variants += [{"mark": node} for node in nodes]
        variants += [{"gradients": gradients, "reached": [output]}]
        digests = [
            display.summary(draw_graph(output, folded=folded, **options).figure)[-1]
            for options in variants
        ]
        assert len(set(digests)) == len(digests)
        again = draw_graph(output, folded=folded, cut=[next(iter(wires))])
        assert display.summary(again.figure)[-1] == digests[6]


def test_the_page_sets_all_colours():
    output = batch_norm_loss()
    wire = next(iter(wire_names(output)))
    ax = draw_graph(output, backward(output), cut=[wire], mark=output, below={"error": 0.5})
    svg = display.inline_svg(ax.figure, 'role="img"')
    assert not re.search(r"(?<!, )#[0-9a-f]{6}", svg)
    for name in ("ink", "muted", "grid", "paper", "red", "orange", "blue"):
        assert f"var(--bn-{name}," in svg


def test_a_stepper_is_a_moving_figure():
    output = diamond()
    gradients = backward(output)
    steps = [node for node in reversed(in_order(output)) if node.inputs]
    names = node_names(output)
    moving = widgets.moving_figure(
        lambda k: draw_graph(output, gradients, reached=steps[:k], mark=steps[k]),
        range(len(steps)),
        label="next",
        text=lambda k: names[steps[k]],
    )
    assert repr(moving).startswith("<moving figure: 3 frames by 'next'")
    assert moving.texts == ["y", "b", "a"]


# --- the layout alone ----------------------------------------------------------------------------


def test_rows_of_batch_norm():
    output = batch_norm_loss()
    names = node_names(output)
    into = {node: [w for w in wires_into(node) if w.source in names] for node in names}
    rows = arrange(into)
    row = {item: number for number, line in enumerate(rows.lines) for item in line}
    for wire, way in rows.chains.items():
        assert [row[item] for item in way] == list(range(row[wire.source], row[way[-1]] + 1))
    by_name = {node.name: row[node] for node in names if node.name}
    assert by_name["x"] == 0 and by_name["loss"] == len(rows.lines) - 1 == 15
    assert by_name["gamma"] == by_name["x_hat"] - 1  # not far above where it is needed
    centred = next(node for node, name in names.items() if name == "− in x̂")
    assert row[centred] == 4  # high up: one long wire, not two


def test_columns_keep_their_distance_and_straight_lines():
    output = batch_norm_loss()
    names = node_names(output)
    rows = arrange({node: [w for w in wires_into(node) if w.source in names] for node in names})
    half = {item: 0.2 for line in rows.lines for item in line}
    found = list(columns(rows, half, half, low=0, high=4.8))
    assert found
    for x in found:
        for line in rows.lines:
            for a, b in itertools.pairwise(line):
                assert x[b] - x[a] > 0.4
            assert all(0.2 - 1e-9 <= x[item] <= 4.6 + 1e-9 for item in line)
    longest = max(rows.chains.values(), key=len)
    assert len({found[0][item] for item in longest[:-1]}) == 1


@pytest.mark.parametrize("seed", range(20))
def test_spread_is_the_nearest(seed):
    rng = np.random.default_rng(seed)
    wanted, weights = rng.normal(size=4).tolist(), rng.uniform(0.5, 2, size=4).tolist()
    got = spread(wanted, weights, low=-2, high=2, apart=0.5)
    assert (np.diff(got) >= 0.5 - 1e-12).all() and got[0] >= -2 and got[-1] <= 2 + 1e-12

    def loss(places):
        return sum(w * (p - q) ** 2 for w, p, q in zip(weights, places, wanted, strict=True))

    for _ in range(300):  # no neighbour that is allowed is better
        other = np.array(got) + 0.1 * rng.normal(size=4)
        if (np.diff(other) >= 0.5).all() and other[0] >= -2 and other[-1] <= 2:
            assert loss(other) >= loss(got) - 1e-12
