"""Where the boxes of a graph go: rows from top to bottom, an order in each row, columns in inches.

A drawing in layers, as Sugiyama, Tagawa and Toda (1981) taught: every node stands below its
sources, wires that span several rows pass each of them at a place of their own, the order in a row
keeps wires from crossing, and chains are made vertical. Sources arrive in the order of the
operands, so that `a - b` has a on the left. Nothing here knows what nodes and wires are: a node is
anything hashable, a wire anything with a `source`.
"""

import itertools
from typing import Any, NamedTuple

from bnlib import checks

APART = (0.6, 0.4, 0.3, 0.22, 0.16, 0.12, 0.08)  # inches between neighbours in a row, if it can be


class Passing(NamedTuple):
    """The place where a wire passes a row between its two ends."""

    wire: Any
    row: int


class Rows(NamedTuple):
    """What stands in which row, and the way of every wire.

    Attributes
    ----------
    lines : list of list
        Nodes and passings of each row, from left to right.
    chains : dict of wire to list
        Its source, the passings, its target.
    """

    lines: list[list]
    chains: dict[Any, list]


def arrange(into):
    """Give every node a row and a place in it.

    Parameters
    ----------
    into : dict of node to list of wire
        The wires that end at each node, in the order of the operands.

    Returns
    -------
    Rows

    Examples
    --------
    >>> from collections import namedtuple
    >>> Wire = namedtuple("Wire", "source")
    >>> arrange({"x": [], "y": [Wire("x")]}).lines
    [['x'], ['y']]
    """
    _check_into(into)
    row = _rows(into)
    lines: list[list] = [[] for _ in range(max(row.values()) + 1)]
    chains = {}
    for node, wires in into.items():
        lines[row[node]].append(node)
        for wire in wires:
            between = [Passing(wire, r) for r in range(row[wire.source] + 1, row[node])]
            chains[wire] = [wire.source, *between, node]
            for passing in between:
                lines[passing.row].append(passing)
    ports = {wire: place for wires in into.values() for place, wire in enumerate(wires)}
    return Rows(_untangled(lines, chains, ports), chains)


def _check_into(into):
    checks.instance("arrange", "into", into, dict, "a dict by node")
    if not into:
        raise ValueError("arrange: into must have at least one node, got none")
    for wires in into.values():
        for wire in checks.sequence("arrange", "each of into", wires):
            if not hasattr(wire, "source"):
                raise TypeError(
                    f"arrange: each of into must be wires, got a {type(wire).__name__} among them"
                )
            if wire.source not in into:
                raise ValueError(
                    f"arrange: into must have every source of a wire, got none for {wire.source!r}"
                )
    place = {node: number for number, node in enumerate(_sources_first(into))}
    for node, wires in into.items():
        if any(place[wire.source] >= place[node] for wire in wires):
            raise ValueError(f"arrange: into must have no circle, got one through {node!r}")


def _rows(into):
    """Longest path to the last row, then up again where that shortens wires."""
    order = _sources_first(into)
    row: dict[Any, int] = {}
    for node in reversed(order):
        row.setdefault(node, 0)
        for wire in into[node]:
            row[wire.source] = min(row.get(wire.source, 0), row[node] - _step(wire, into[node]))
    top = min(row.values())
    row = {node: r - top for node, r in row.items()}
    leaving = {node: 0 for node in into}
    for wire in itertools.chain(*into.values()):
        leaving[wire.source] += 1
    moved = True
    while moved:
        moved = False
        for node in order:
            steps = [row[wire.source] + _step(wire, into[node]) for wire in into[node]]
            below = max(steps, default=row[node])
            if below < row[node] and len(into[node]) >= leaving[node]:
                row[node], moved = below, True
    return row


def _step(wire, siblings):
    """How many rows a wire leads down: more than two side by side need a row between."""
    return 1 if sum(other.source == wire.source for other in siblings) < 3 else 2


def _sources_first(into):
    order, seen, waiting = [], set(), [(node, False) for node in reversed(into)]
    while waiting:
        node, sources_done = waiting.pop()
        if sources_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(wire.source, False) for wire in reversed(into[node])]
    return order


def _untangled(lines, chains, ports):
    """Order every row so that few wires cross: sort by the neighbours, then swap while it helps."""
    links = [
        (upper, lower, 0.1 * ports[wire] if lower is chain[-1] else 0)
        for wire, chain in chains.items()
        for upper, lower in itertools.pairwise(chain)
    ]
    best, fewest = lines, _crossings(lines, links)
    for sweep in range(6):
        if not fewest:
            break
        lines = [list(line) for line in lines]
        _sort_by_neighbours(lines, links, downward=sweep % 2 == 0)
        count = _swap_while_it_helps(lines, links)
        if count < fewest:
            best, fewest = lines, count
    return best


def _places(lines):
    return {item: place for line in lines for place, item in enumerate(line)}


def _crossings(lines, links):
    place = _places(lines)
    row = {item: number for number, line in enumerate(lines) for item in line}
    levels: dict[int, list] = {}
    for upper, lower, port in links:
        levels.setdefault(row[upper], []).append((place[upper], place[lower] + port))
    return sum(
        (a - c) * (b - d) < 0
        for level in levels.values()
        for (a, b), (c, d) in itertools.combinations(level, 2)
    )


def _sort_by_neighbours(lines, links, *, downward):
    near: dict[Any, list] = {}
    for upper, lower, port in links:
        item, other = (lower, (upper, 0)) if downward else (upper, (lower, port))
        near.setdefault(item, []).append(other)
    for line in lines if downward else reversed(lines):
        place = _places(lines)
        wanted = {
            item: sum(place[other] + port for other, port in near[item]) / len(near[item])
            if item in near
            else place[item]
            for item in line
        }
        line.sort(key=wanted.__getitem__)


def _swap_while_it_helps(lines, links):
    count = _crossings(lines, links)
    better = True
    while better:
        better = False
        for line in lines:
            for k in range(1, len(line)):
                line[k - 1 : k + 1] = line[k], line[k - 1]
                now = _crossings(lines, links)
                if now < count:
                    count, better = now, True
                else:
                    line[k - 1 : k + 1] = line[k], line[k - 1]
    return count


def columns(rows, left, right, *, low, high):
    """Place everything from left to right: chains straight if there is room, and wide if there is.

    Parameters
    ----------
    rows : Rows
    left, right : dict of node or Passing to float
        How far each reaches to either side of its column.
    low, high : float
        The ends of the room.

    Yields
    ------
    dict of node or Passing to float
        Nothing if the room is too narrow, else one or several, the widest first.

    Examples
    --------
    >>> from collections import namedtuple
    >>> Wire = namedtuple("Wire", "source")
    >>> rows = arrange({"a": [], "b": [], "c": [Wire("a"), Wire("b")]})
    >>> half = dict.fromkeys("abc", 0.5)
    >>> [round(x["b"] - x["a"], 2) for x in columns(rows, half, half, low=0, high=2.2)]
    [1.16, 1.12, 1.08]
    >>> list(columns(rows, half, half, low=0, high=2))
    []
    """
    checks.instance("columns", "rows", rows, Rows, "the Rows of arrange")
    items = set(itertools.chain(*rows.lines))
    for name, reach in (("left", left), ("right", right)):
        checks.instance("columns", name, reach, dict, "a dict by node or passing")
        if not items <= reach.keys():
            raise ValueError(
                f"columns: {name} must have each of {len(items)} items, got {len(reach)} others"
            )
        for item in items:
            checks.not_negative("columns", f"each of {name}", reach[item])
    checks.number("columns", "low", low)
    checks.number("columns", "high", high)
    chains = sorted(rows.chains.values(), key=len, reverse=True)
    links = [pair for chain in chains for pair in itertools.pairwise(chain)]
    links.sort(key=lambda link: sum(isinstance(end, Passing) for end in link), reverse=True)
    straight = _straight(rows.lines, links)
    while _overflow(room := _Room(rows.lines, straight, left, right, low, high), APART[-1]) > 0:
        if not straight:
            return
        shorter = [straight - {link} for link in links if link in straight]
        straight = min(
            reversed(shorter),  # of equals, the link that matters least
            key=lambda kept: _overflow(_Room(rows.lines, kept, left, right, low, high), APART[-1]),
        )
    for apart in APART:
        if _overflow(room, apart) <= 0:
            yield _balanced(room, links, apart)


def _straight(lines, links):
    """The links that can be vertical: one up and one down from each, and none that cross."""
    place = _places(lines)
    row = {item: number for number, line in enumerate(lines) for item in line}
    below: dict[Any, Any] = {}
    for upper, lower in links:
        sides = [
            (place[upper] - place[a]) * (place[lower] - place[b])
            for a, b in below.items()
            if row[a] == row[upper]
        ]
        if all(side > 0 for side in sides):
            below[upper] = lower
    return set(below.items())


class _Room:
    """Blocks, which are what vertical links join, and the room that they need.

    Attributes
    ----------
    block : dict of item to item
        The uppermost item of its block.
    least, most : dict of block to float
        The ends of the room, less what the block's items reach to the sides.
    beside : dict of (block, block) to float
        How far apart two blocks must be that have neighbours in some row.
    """

    def __init__(self, lines, straight, left, right, low, high):
        above = {lower: upper for upper, lower in straight}
        self.block: dict[Any, Any] = {}
        self.least: dict[Any, float] = {}
        self.most: dict[Any, float] = {}
        self.beside: dict[Any, float] = {}
        for line in lines:
            for item in line:
                block = self.block[above[item]] if item in above else item
                self.block[item] = block
                self.least[block] = max(self.least.get(block, low), low + left[item])
                self.most[block] = min(self.most.get(block, high), high - right[item])
            for a, b in itertools.pairwise(line):
                pair = self.block[a], self.block[b]
                self.beside[pair] = max(self.beside.get(pair, 0), right[a] + left[b])


def _packed(room, apart):
    """Every block as far left as it can be."""
    x, moved = dict(room.least), True
    while moved:
        moved = False
        for (a, b), least in room.beside.items():
            if x[b] < x[a] + least + apart:
                x[b], moved = x[a] + least + apart, True
    return x


def _overflow(room, apart):
    x = _packed(room, apart)
    return max(x[block] - most for block, most in room.most.items())


def _balanced(room, links, apart):
    """Move packed blocks towards the middle of their neighbours, and all into the middle."""
    x = _packed(room, apart)
    near: dict[Any, list] = {block: [] for block in x}
    lefts: dict[Any, list] = {block: [] for block in x}
    rights: dict[Any, list] = {block: [] for block in x}
    for upper, lower in links:
        a, b = room.block[upper], room.block[lower]
        if a != b:
            near[a].append(b)
            near[b].append(a)
    for (a, b), least in room.beside.items():
        lefts[b].append((a, least + apart))
        rights[a].append((b, least + apart))
    for _ in range(40):
        for block in reversed(x):
            if near[block]:
                wanted = sum(x[other] for other in near[block]) / len(near[block])
                lowest = max([room.least[block], *(x[a] + gap for a, gap in lefts[block])])
                highest = min([room.most[block], *(x[b] - gap for b, gap in rights[block])])
                x[block] = max(lowest, min(wanted, highest))
    spare_left = min(x[block] - room.least[block] for block in x)
    spare_right = min(room.most[block] - x[block] for block in x)
    return {item: x[block] + (spare_right - spare_left) / 2 for item, block in room.block.items()}


def bends(stops, *, aside):
    """At which share of their way down lines turn: those that run side by side do so in turn.

    Parameters
    ----------
    stops : dict of wire to list of (float, float)
        Points, from the top, at which each line is vertical.
    aside : float
        Lines that go less far aside between two stops do not count.

    Returns
    -------
    dict of (start, end) to float

    Examples
    --------
    >>> one, other = ((0.0, 0.0), (2.0, 1.0)), ((1.0, 0.0), (3.0, 1.0))
    >>> list(bends({"a": one, "b": other}, aside=0.1).values())
    [0.3333333333333333, 0.6666666666666666]
    """
    checks.not_negative("bends", "aside", aside)
    checks.instance("bends", "stops", stops, dict, "a dict by wire")
    stops = {wire: _points(points) for wire, points in stops.items()}
    gaps: dict[float, dict[bool, list]] = {}
    for points in stops.values():
        for start, end in itertools.pairwise(points):
            if abs(end[0] - start[0]) > aside:
                sides = gaps.setdefault(start[1], {True: [], False: []})
                sides[end[0] > start[0]].append((start, end))
    turns: dict[tuple, float] = {}
    for sides in gaps.values():
        for rightward, pairs in sides.items():
            pairs.sort(reverse=rightward)  # of those that leave, the outermost turns first
        groups = list(sides.values())
        if _side_by_side(*groups):
            groups = [groups[0] + groups[1]]
        for pairs in groups:
            turns |= {pair: (k + 1) / (len(pairs) + 1) for k, pair in enumerate(pairs)}
    return turns


def _points(points):
    points = checks.sequence("bends", "each of stops", points)
    for point in points:
        if not isinstance(point, tuple) or len(point) != 2:
            raise TypeError(f"bends: each of stops must be points (x, y), got {point!r}")
        for number in point:
            checks.number("bends", "each of stops", number)
    return points


def _side_by_side(ones, others):
    """Whether a line of one group runs above one of the other."""
    spans = [sorted((start[0], end[0])) for start, end in ones]
    return any(
        low < max(start[0], end[0]) and min(start[0], end[0]) < high
        for low, high in spans
        for start, end in others
    )


def spread(wanted, weights, *, low, high, apart):
    """The numbers nearest to the wanted ones that keep their order, a distance and two bounds.

    Parameters
    ----------
    wanted, weights : list of float
        Where each would be, and how much it matters.
    low, high : float
    apart : float

    Returns
    -------
    list of float

    Examples
    --------
    >>> spread([0.0, 0.0], [1, 1], low=-2, high=2, apart=1)
    [-0.5, 0.5]
    """
    wanted = checks.sequence("spread", "wanted", wanted)
    weights = checks.sequence("spread", "weights", weights)
    if len(weights) != len(wanted):
        raise ValueError(f"spread: weights must be {len(wanted)} numbers, got {len(weights)}")
    for number in wanted:
        checks.number("spread", "each of wanted", number)
    for weight in weights:
        checks.positive("spread", "each of weights", weight)
    for name, number in (("low", low), ("high", high), ("apart", apart)):
        checks.number("spread", name, number)
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many: those that touch
    for place, (number, weight) in enumerate(zip(wanted, weights, strict=True)):
        pools.append((number - place * apart, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m, j), (b, n, k) = pools.pop(-2), pools.pop()
            pools.append(((a * m + b * n) / (m + n), m + n, j + k))
    flat = [mean for mean, _, count in pools for _ in range(count)]
    last = high - (len(flat) - 1) * apart
    return [max(low, min(mean, last)) + place * apart for place, mean in enumerate(flat)]
