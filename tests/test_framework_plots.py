"""The waterfall of a gap: what is drawn, and where."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bnlib.framework_plots import SETS, waterfall
from bnlib.plots import colour

LOSSES = {"training set": np.array([1.0, 0.5, 0.02]), "test set": np.array([2.0, 2.0, 0.001])}


def drawn(named=()):
    return waterfall(["start", "one", "two"], LOSSES, named, xlim=(0.01, 3))


def test_every_step_is_a_bar_from_before_to_after():
    ax = drawn()
    bars = [line for line in ax.lines if line.get_linewidth() == 3]
    ends = [line.get_xdata().tolist() for line in bars]
    assert ends == [[1, 0.5], [0.5, 0.02], [2, 2], [2, 0.01]]  # what is outside, at the end
    owns = [colour(SETS[name][0]) for name in LOSSES for _ in "ab"]
    assert [to_hex(line.get_color()) for line in bars] == owns


def test_the_named_rows_stand_out():
    ax = drawn({"two"})
    (band,) = ax.patches
    assert band.get_y() == pytest.approx(-2.46) and band.get_height() == pytest.approx(0.92)
    weights = [label.get_fontweight() for label in ax.get_yticklabels()]
    assert weights == ["normal", "normal", "bold"] and not drawn().patches


def test_the_scale_is_the_same_in_every_frame():
    assert drawn().get_xlim() == drawn({"one"}).get_xlim() == (0.01, 3)
    assert drawn().get_xscale() == "log"
