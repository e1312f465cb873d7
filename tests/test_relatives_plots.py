"""Figures of the norms' axes: what shares statistics, and what is drawn of it."""

import re
from functools import partial

import numpy as np
import pytest

from bnlib.normalization import batch_norm, batch_norm_backward
from bnlib.plot_checks import MOST
from bnlib.plots import PAPER, colour
from bnlib.relatives import (
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)
from bnlib.relatives_plots import by_layer, cells, sharing

SHAPE = (3, 4, 2, 2)


def where(axis, *, size=1):
    """Every value's place along an axis, or its group of `size` places."""
    along = np.arange(SHAPE[axis]) // size
    return np.broadcast_to(along.reshape(-1, *(1,) * (len(SHAPE) - 1 - axis)), SHAPE)


@pytest.mark.parametrize(
    ("norm", "backward", "expected"),
    [
        (batch_norm, batch_norm_backward, where(1)),
        (partial(layer_norm, axis=1), layer_norm_backward, where(0)),
        (partial(rms_norm, axis=1), rms_norm_backward, where(0)),
        (partial(group_norm, num_groups=2), group_norm_backward, 2 * where(0) + where(1, size=2)),
        (instance_norm, instance_norm_backward, 4 * where(0) + where(1)),
    ],
)
def test_sharing_asks_the_backward_pass(norm, backward, expected):
    np.testing.assert_array_equal(sharing(norm, backward, SHAPE), expected)


def test_a_value_alone_is_a_set_of_its_own():
    sets = sharing(instance_norm, instance_norm_backward, (2, 3))
    np.testing.assert_array_equal(sets, np.arange(6).reshape(2, 3))


def test_a_batch_too_large_to_be_asked_number_by_number_is_refused():
    told = f"sharing: shape must be that of at most {MOST} numbers, got ({MOST}, 2)"
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        sharing(layer_norm, layer_norm_backward, (MOST, 2))


def test_cells_fill_one_set_and_part_the_sets():
    sets = np.array([[[0, 0], [1, 1]], [[0, 0], [1, 1]]])
    ax = cells(sets, (0, 1, 0), title="batch norm")
    *blocks, ring = ax.patches
    filled = [block for block in blocks if block.get_facecolor() != to_rgba(PAPER[0])]
    assert len(blocks) == 8 and len(filled) == 4
    assert {block.get_y() for block in filled} == {1}
    assert ring.get_edgecolor() == to_rgba(colour("orange")) and not ring.get_fill()
    between = [line for line in ax.lines if set(line.get_ydata()) == {1}]
    assert len(between) == 8  # above and below the border, for two places of two examples
    assert ax.get_title() == "batch norm"


def to_rgba(name):
    from matplotlib.colors import to_rgba

    return to_rgba(name)


def test_by_layer_counts_from_one_and_keeps_the_concepts_colours():
    ax = by_layer(
        {"plain": np.array([1e-3, 1.0]), "layer norm": np.array([0.5, 1.0])},
        ylabel="gradient",
        marks={"layer norm": ("purple", "--")},
    )
    plain, layer = ax.lines
    np.testing.assert_array_equal(plain.get_xdata(), [1, 2])
    assert plain.get_color() == colour("plain")
    assert (layer.get_color(), layer.get_linestyle()) == (colour("purple"), "--")
    assert ax.get_yscale() == "log" and not ax.get_legend().get_frame_on()
