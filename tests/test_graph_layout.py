"""Where the boxes of a graph go: what a reader would notice, on graphs that nobody has drawn."""

import itertools
import re

import pytest
from more_drawings import Joint, in_columns, tangle

from bnlib.graph_layout import APART, Passing, arrange, bends, columns, spread

SEEDS = range(12)


def graph_of(**sources):
    """A graph by the names of its nodes, each with the names of its sources."""
    return {
        node: [Joint(source, node, place) for place, source in enumerate(own)]
        for node, own in sources.items()
    }


def crossings(lines, chains):
    """How many pairs of steps from one row to the next cross; those that share an end do not."""
    place = {item: number for line in lines for number, item in enumerate(line)}
    row = {item: number for number, line in enumerate(lines) for item in line}
    steps = [step for chain in chains.values() for step in itertools.pairwise(chain)]
    return sum(
        row[a] == row[c] and (place[a] - place[c]) * (place[b] - place[d]) < 0
        for (a, b), (c, d) in itertools.combinations(steps, 2)
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_sources_stand_above_and_every_wire_passes_each_row(seed):
    into = tangle(seed, 14)
    rows = arrange(into)
    row = {item: number for number, line in enumerate(rows.lines) for item in line}
    assert sum(map(len, rows.lines)) == len(row), "nothing stands twice"
    assert {item for item in row if not isinstance(item, Passing)} == set(into)
    assert all(rows.lines) and all(row[wire.source] < row[wire.target] for wire in rows.chains)
    for wire, chain in rows.chains.items():
        assert (chain[0], chain[-1]) == (wire.source, wire.target)
        assert [row[item] for item in chain] == list(range(row[wire.source], row[wire.target] + 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_untangled_rows_cross_less_than_rows_in_the_order_of_the_nodes(seed):
    rows = arrange(tangle(seed, 10))

    def age(item):
        return (item, 0) if isinstance(item, int) else (item.wire.source, 1 + item.wire.target)

    as_they_come = [sorted(line, key=age) for line in rows.lines]
    assert crossings(rows.lines, rows.chains) <= crossings(as_they_come, rows.chains)


def test_wires_that_need_not_cross_do_not():
    into = graph_of(a="", b="", c="", d="c", e="b", f="a", end="def")
    rows = arrange(into)
    assert crossings(rows.lines, rows.chains) == 0
    assert rows.lines == [["c", "b", "a"], ["d", "e", "f"], ["end"]]


def test_operands_stand_in_their_order():
    for first, second in ("ab", "ba"):
        rows = arrange(graph_of(a="", b="", c=first + second))
        assert rows.lines == [[first, second], ["c"]]


def test_more_than_two_wires_side_by_side_need_a_row_between():
    assert [len(line) for line in arrange(graph_of(x="", y="xx")).lines] == [1, 1]
    assert [len(line) for line in arrange(graph_of(x="", y="xxx")).lines] == [1, 3, 1]
    assert [len(line) for line in arrange(graph_of(x="", z="", y="xzx")).lines] == [2, 1]


def test_a_source_stands_next_to_where_it_is_needed():
    rows = arrange(graph_of(x="", a="x", b="a", z="", y="bz"))
    assert rows.lines == [["x"], ["a"], ["b", "z"], ["y"]]


def test_what_is_made_from_as_many_as_it_feeds_stands_high():
    rows = arrange(graph_of(x="", a="x", b="x", c="b", d="c", y="ad"))
    assert [["a" in line, "d" in line] for line in rows.lines] == [
        [False, False], [True, False], [False, False], [False, True], [False, False],
    ]  # fmt: skip
    assert [len(chain) for chain in rows.chains.values()] == [2, 2, 2, 2, 4, 2]


@pytest.mark.parametrize(
    ("into", "sentence"),
    [
        ({}, "arrange: into must have at least one node, got none"),
        (
            {"y": [Joint("x", "y", 0)]},
            "arrange: into must have every source of a wire, got none for 'x'",
        ),
        ({"y": ["x"]}, "arrange: each of into must be wires, got a str among them"),
        (graph_of(x="y", y="x"), "arrange: into must have no circle, got one through 'y'"),
        (graph_of(x="x"), "arrange: into must have no circle, got one through 'x'"),
    ],
)
def test_what_is_no_graph_is_refused(into, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(sentence)}$"):
        arrange(into)


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_keep_what_stands_in_them_apart_and_in_the_room(seed):
    given = in_columns(seed, 9, 6)
    left, right, found = given["left"], given["right"], list(columns(**given))
    for x, apart in zip(found[::-1], APART[::-1], strict=False):
        for line in given["rows"].lines:
            assert all(0.1 + left[item] <= x[item] + 1e-9 for item in line)
            assert all(x[item] + right[item] <= 6 + 1e-9 for item in line)
            for a, b in itertools.pairwise(line):
                assert x[b] - x[a] >= right[a] + left[b] + apart - 1e-9
    assert len(found) <= len(APART)


def test_a_chain_is_straight_and_stands_in_the_middle():
    rows = arrange(graph_of(x="", a="x", b="a"))
    half = dict.fromkeys("xab", 0.5)
    for x in columns(rows, half, half, low=1, high=6):
        assert x == dict.fromkeys("xab", 3.5)
    (x, *_) = columns(rows, half, dict.fromkeys("xab", 1.5), low=1, high=6)
    assert x == dict.fromkeys("xab", 3.0), "what stands beside a box counts"


def test_a_room_is_wide_enough_to_the_inch_or_too_narrow():
    rows = arrange(graph_of(a="", b="", c="ab"))
    half = dict.fromkeys("abc", 0.5)
    needed = 2 + APART[-1]
    assert list(columns(rows, half, half, low=0, high=needed - 1e-6)) == []
    (x,) = columns(rows, half, half, low=0, high=needed + 1e-6)
    assert x == pytest.approx({"a": 0.5, "b": 1.5 + APART[-1], "c": 0.5}, abs=1e-5)
    assert len(list(columns(rows, half, half, low=0, high=2 + APART[0] + 1e-6))) == len(APART)


def test_columns_need_the_reach_of_every_item():
    given = in_columns(0, 3, 6)
    for side in ("left", "right"):
        short = dict(list(given[side].items())[:-1])
        with pytest.raises(ValueError, match=rf"^columns: {side} must have each of \d+ items, got"):
            list(columns(**given | {side: short}))


def turns(**lines):
    """The share at which each line turns that goes aside, from one height to the next."""
    stops = {name: ((x, 0.0), (to, 1.0)) for name, (x, to) in lines.items()}
    found = bends(stops, aside=0.1)
    return {name: found[stops[name]] for name in lines if stops[name] in found}


def test_lines_that_run_side_by_side_turn_in_turn():
    assert turns(a=(0.0, 2.0)) == {"a": 1 / 2}
    assert turns(a=(0.0, 2.0), b=(1.0, 3.0)) == {"b": 1 / 3, "a": 2 / 3}, "the outermost first"
    assert turns(a=(3.0, 1.0), b=(2.0, 0.0)) == {"b": 1 / 3, "a": 2 / 3}
    assert turns(a=(0.0, 2.0), c=(3.0, 1.0)) == {"a": 1 / 3, "c": 2 / 3}
    assert turns(a=(0.0, 2.0), c=(5.0, 4.0)) == {"a": 1 / 2, "c": 1 / 2}, "apart"
    assert turns(a=(0.0, 2.0), c=(3.0, 2.0)) == {"a": 1 / 2, "c": 1 / 2}, "they only meet"
    assert turns(c=(2.0, 0.0), a=(2.0, 3.0)) == {"a": 1 / 2, "c": 1 / 2}
    assert turns(a=(0.0, 0.1), b=(1.0, 0.9)) == {}, "hardly aside"
    assert turns(a=(0.0, 0.1), b=(0.0, 0.2)) == {"b": 1 / 2}


def test_lines_at_other_heights_do_not_count():
    stops = {"a": [(0.0, 0.0), (2.0, 1.0), (4.0, 2.0)], "b": [(1.0, 1.0), (3.0, 2.0)]}
    assert bends(stops, aside=0) == {
        ((0.0, 0.0), (2.0, 1.0)): 1 / 2,
        ((2.0, 1.0), (4.0, 2.0)): 1 / 3,
        ((1.0, 1.0), (3.0, 2.0)): 2 / 3,
    }


@pytest.mark.parametrize(
    ("wanted", "weights", "room", "apart", "expected"),
    [
        ([], [], (0, 1), 1, []),
        ([0.5], [1], (0, 1), 1, [0.5]),
        ([1, 5], [1, 1], (0, 9), 2, [1, 5]),
        ([0, 0, 0], [1, 1, 2], (-5, 5), 1, [-1.25, -0.25, 0.75]),
        ([3, 0], [3, 1], (-5, 5), 1, [2, 3]),
        ([9, 9], [1, 1], (0, 10), 2, [8, 10]),
        ([12, 30], [1, 1], (0, 10), 2, [8, 10]),
        ([-3, -1], [1, 1], (0, 10), 1, [0, 1]),
        ([0, 0], [1, 1], (0, 0.5), 1, [0, 1]),
    ],
)
def test_spread(wanted, weights, room, apart, expected):
    low, high = room
    got = spread(wanted, weights, low=low, high=high, apart=apart)
    assert got == pytest.approx(expected, abs=1e-12)
