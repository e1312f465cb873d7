"""What the figures show is what they were given; how they look is for eyes."""

import itertools
import re

import numpy as np
import pytest

from bnlib.plots import (
    PAPER,
    bars,
    batch_circle,
    colour,
    leave_a_margin,
    limits,
    marks,
    number_line,
    panels,
)

ROUNDING = 1e-12


def line(ax, label):
    """The points of the one line of that name."""
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return np.transpose(found.get_data())


def arrow(ax, label):
    start, end = line(ax, label)
    return end - start


@pytest.fixture
def batch():
    """A normalized batch of three, off every axis of symmetry, and a gradient."""
    values, dy = np.random.default_rng(5).normal(size=(2, 3))
    deviations = values - values.mean()
    return deviations / np.sqrt(np.mean(deviations**2)), dy


class TestBatchCircle:
    def test_the_dot_lies_on_the_circle(self, batch):
        ax = batch_circle(*batch)
        dot = line(ax, "x̂, the batch")
        assert np.linalg.norm(dot) == pytest.approx(np.sqrt(3), abs=ROUNDING)
        circle = np.transpose(ax.lines[0].get_data())
        assert np.allclose(np.linalg.norm(circle, axis=1), np.sqrt(3), rtol=0, atol=ROUNDING)

    def test_lengths_and_angles_are_those_of_the_three_numbers(self, batch):
        x_hat, dy = batch
        ax = batch_circle(x_hat, dy)
        dot, drawn = line(ax, "x̂, the batch")[0], arrow(ax, "dy")
        visible = dy - dy.mean()
        assert drawn @ drawn == pytest.approx(visible @ visible, abs=ROUNDING)
        assert drawn @ dot == pytest.approx(dy @ x_hat, abs=ROUNDING)

    def test_the_arrow_is_split_into_what_dies_and_what_survives(self, batch):
        ax = batch_circle(*batch)
        dot = line(ax, "x̂, the batch")[0]
        dies, survives = arrow(ax, "dies"), arrow(ax, "survives")
        assert np.allclose(dies + survives, arrow(ax, "dy"), atol=ROUNDING)
        assert survives @ dot == pytest.approx(0, abs=ROUNDING)
        assert dies[0] * dot[1] == pytest.approx(dies[1] * dot[0], abs=ROUNDING)

    def test_what_all_three_share_is_not_visible(self, batch):
        x_hat, dy = batch
        shifted = batch_circle(x_hat, dy + 7)
        for part in ("dy", "survives"):
            assert np.allclose(arrow(shifted, part), arrow(batch_circle(x_hat, dy), part))

    def test_an_arrow_has_a_head_if_it_has_a_length(self, batch):
        x_hat, dy = batch
        assert len(heads(batch_circle(x_hat, dy))) == 3
        assert len(heads(batch_circle(x_hat, x_hat))) == 2  # nothing survives
        assert len(heads(batch_circle(x_hat, np.ones(3)))) == 0

    def test_the_values_are_named_where_they_grow(self, batch):
        ax = batch_circle(*batch)
        places = {text.get_text(): text.get_position() for text in ax.texts if text.get_text()}
        assert places["$x_3$"][0] == pytest.approx(0) and places["$x_3$"][1] > 0
        assert places["$x_1$"][0] < 0 < places["$x_2$"][0]


def heads(ax):
    return [text for text in ax.texts if getattr(text, "arrow_patch", None)]


class TestBars:
    def test_every_number_is_a_bar_of_its_height(self):
        ax = bars(["a", "b"], {"dy": [1.0, -2.0], "dx": [0.5, 0.0]}, ylabel="gradient")
        assert [bar.get_height() for bar in ax.patches] == [1.0, -2.0, 0.5, 0.0]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]

    def test_the_bars_of_one_name_stand_together(self):
        ax = bars(["a", "b", "c"], {"dy": np.ones(3), "dx": np.ones(3)}, ylabel="gradient")
        middles = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
        assert np.mean([middles[:3], middles[3:]], axis=0) == pytest.approx([0, 1, 2])
        edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(edges))

    def test_concepts_have_their_colour_and_one_series_no_legend(self):
        ax = bars(["a"], {"gradient": [1.0]}, ylabel="gradient", ylim=(-2, 2), ax=panels())
        (bar,) = ax.patches
        assert bar.get_facecolor()[:3] == pytest.approx(rgb(colour("gradient")))
        assert ax.get_legend() is None and ax.get_ylim() == (-2, 2)

    def test_no_two_names_share_a_colour_while_there_are_others(self):
        for names in ("abcdefg", ("batch norm", "x", "gradient", "a", "b", "c", "d")):
            ax = bars(["one"], {name: np.ones(1) for name in names}, ylabel="y")
            assert len({bar.get_facecolor() for bar in ax.patches}) == 7
        assert bars(["one"], {name: np.ones(1) for name in "abcdefgh"}, ylabel="y")


def rgb(text):
    return [int(text[place : place + 2], 16) / 255 for place in (1, 3, 5)]


class TestLimits:
    @pytest.fixture
    def ax(self):
        words = {"xlabel": "error", "within": "passes", "beyond": "caught"}
        values = np.array([1e-6, 1e-30, 1e-4, 1e9])
        return limits(list("abcd"), values, 1e-4, xlim=(1e-12, 1e3), **words)

    def test_dots_stand_in_their_rows_and_inside_the_axis(self, ax):
        low, high = (np.transpose(dots.get_data()).tolist() for dots in ax.lines[1:])
        assert low == [[1e-6, 0], [1e-12, 1]], "below the limit"
        assert high == [[1e-4, 2], [1e3, 3]], "at the limit and above"
        assert ax.get_xlim() == (1e-12, 1e3) and ax.get_xscale() == "log"
        assert ax.yaxis_inverted(), "the first name is at the top"

    def test_the_two_sides_differ_by_more_than_colour(self, ax):
        line, low, high = ax.lines
        assert line.get_xdata() == [1e-4, 1e-4] and line.get_linestyle() == "--"
        assert low.get_markerfacecolor() == PAPER[0] != high.get_markerfacecolor()
        assert [text.get_text() for text in ax.texts] == ["← passes", "caught →"]


class TestMarks:
    @pytest.fixture
    def ax(self):
        return marks(["p", "q"], ["a", "b", "c"], [[1, 0, 0.25], [0.8, True, False]])

    def test_each_share_has_its_sign(self, ax):
        signs = {text.get_position(): text.get_text() for text in ax.texts}
        assert [signs[column, 0] for column in range(3)] == ["✓", "✗", "25%"]
        assert [signs[column, 1] for column in range(3)] == ["80%", "✓", "✗"]
        assert ax.yaxis_inverted(), "the first row is at the top"

    def test_all_but_ticks_are_tinted(self, ax):
        middles = [tuple(np.round(patch.get_center(), 6)) for patch in ax.patches]
        assert middles == [(1, 0), (2, 0), (0, 1), (2, 1)]

    def test_rows_and_columns_are_named(self, ax):
        assert [label.get_text() for label in ax.get_yticklabels()] == ["p", "q"]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: number_line(panels(), np.ones(1), "x", 0.0, 1.0, scale="log"),
            "number_line: low must be above 0 on a logarithmic line, got 0.0",
        ),
        (
            lambda: batch_circle(np.ones(3), np.ones(3)),
            "batch_circle: x_hat must be numbers that differ, got [1.0, 1.0, 1.0]",
        ),
        (
            lambda: leave_a_margin(panels(), 0.98),
            "leave_a_margin: left must leave room for the axes, got 0.98",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()
