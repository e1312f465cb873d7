"""Figures about moving distributions: what is drawn, where, and in which colour."""

import numpy as np
import pytest

from bnlib.plots import PAPER, colour, panels
from bnlib.shift_plots import percentiles, places, trade

STEPS = np.array([0, 10, 30])
BANDS = np.array([[-1.0, 0.0, 2.0], [-2.0, 0.5, 1.0], [0.0, 1.0, 3.0]])


def test_percentiles_are_three_lines_and_the_middle_one_is_thick():
    ax = percentiles(STEPS, BANDS, concept="batch norm", xlabel="step", ylabel="z")
    drawn = {line.get_linewidth(): line.get_ydata().tolist() for line in ax.lines}
    assert drawn[max(drawn)] == BANDS[:, 1].tolist()
    outer = [line.get_ydata().tolist() for line in ax.lines if line.get_linewidth() < 1]
    assert outer == BANDS[:, [0, 2]].T.tolist()
    assert {line.get_color() for line in ax.lines} == {colour("batch norm")}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "z")
    (band,) = ax.collections
    assert band.get_paths()[0].get_extents().ymax == 3


def test_percentiles_are_drawn_where_they_are_told():
    ax = panels()
    assert percentiles(STEPS, BANDS, concept="plain", xlabel="", ylabel="", ax=ax) is ax


class TestPlaces:
    BINS = np.linspace(-2, 2, 5)

    @pytest.fixture
    def axes(self):
        values = {"plain": ("plain", np.array([-9.0, 0.5])), "norm": ("batch norm", np.zeros(4))}
        return places(values, bins=self.BINS)

    def test_each_has_its_shares_over_the_same_bins(self, axes):
        for ax, shares in zip(axes, ([0.5, 0, 0.5, 0], [0, 0, 1, 0]), strict=True):
            (stairs,) = ax.patches
            np.testing.assert_array_equal(stairs.get_data().values, shares)
            np.testing.assert_array_equal(stairs.get_data().edges, self.BINS)

    def test_each_has_its_name_and_its_colour(self, axes):
        assert [ax.get_title(loc="left") for ax in axes] == ["plain", "norm"]
        assert axes[1].patches[0].get_facecolor()[:3] == pytest.approx(
            tuple(int(colour("batch norm")[i : i + 2], 16) / 255 for i in (1, 3, 5))
        )
        assert len({ax.get_ylim() for ax in axes}) == 1

    def test_each_axis_reaches_as_high_as_it_is_told(self):
        values = {"plain": ("plain", np.zeros(4)), "norm": ("batch norm", np.ones(4))}
        axes = places(values, bins=self.BINS, tops=(0.5, 2.0))
        assert [ax.get_ylim() for ax in axes] == [(0, 0.5), (0, 2)]
        with pytest.raises(ValueError, match="tops must be 2 heights"):
            places(values, bins=self.BINS, tops=(0.5,))


def test_a_trade_has_a_mark_for_each_arm_and_a_name_for_each_concept():
    points = [("plain", "o", True, 0.1, 2.0), ("plain", "s", False, 0.2, 3.0),
              ("batch norm", "o", True, 0.4, 1.0)]  # fmt: skip
    ax = trade(points, xlabel="change", ylabel="shift")
    assert [(*line.get_xdata(), *line.get_ydata()) for line in ax.lines] == [
        (0.1, 2.0), (0.2, 3.0), (0.4, 1.0),
    ]  # fmt: skip
    assert [line.get_marker() for line in ax.lines] == ["o", "s", "o"]
    own = colour("plain")
    assert [line.get_markerfacecolor() for line in ax.lines[:2]] == [own, PAPER[0]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["plain", "batch norm"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_a_trade_says_what_its_marks_mean_and_draws_nothing_for_it():
    marks = {"own rate": ("o", True), "one rate": ("o", False)}
    ax = trade([("plain", "s", True, 0.1, 2.0)], xlabel="", ylabel="", marks=marks)
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["plain", *marks]
    own = colour("muted")
    assert [line.get_markerfacecolor() for line in legend.get_lines()[1:]] == [own, PAPER[0]]
    assert [len(line.get_xdata()) for line in ax.lines] == [1, 0, 0]
