"""Figures of noise: what is drawn, and where."""

import numpy as np
import pytest

from bnlib.noise_plots import clouds, rungs, straight_lines
from bnlib.plots import PAPER, colour


def test_clouds_stand_over_their_examples_between_the_lines_of_the_law():
    x, draws = np.array([-1.0, 0.5]), np.array([[-1.2, -0.8, -1.0], [0.4, 0.5, 0.6]])
    ax = clouds(x, draws, lambda at: 0.1 + at**2, reach=3)
    diagonal, low, high, *own = ax.lines
    np.testing.assert_allclose(diagonal.get_ydata(), diagonal.get_xdata())
    np.testing.assert_allclose(high.get_ydata() - low.get_ydata(), 0.2 + 2 * low.get_xdata() ** 2)
    for place, values, line in zip(x, draws, own, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
        np.testing.assert_allclose(line.get_xdata(), place, atol=0.1)
    assert ax.get_xlim() == ax.get_ylim() == (-3, 3)


def test_clouds_without_a_law_have_no_dashed_lines():
    x, draws = np.array([-1.0, 0.5]), np.ones((2, 3))
    ax = clouds(x, draws, None, reach=3)
    assert len(ax.lines) == 1 + len(x)


@pytest.mark.parametrize("own", [1, -2])
def test_the_line_of_the_examples_has_their_colour(own):
    lines = np.array([[0.5, 1.0], [1.0, 0.0], [2.0, 0.0]])
    *drawn, points = straight_lines(lines, np.zeros((2, 2)), reach=2, own=own).lines
    blue = [line.get_color() == points.get_color() for line in drawn]
    assert blue == [False, True, False]


def test_straight_lines_have_their_slope_and_height():
    dots = np.array([[0.0, 1.0], [1.0, 1.5]])
    ax = straight_lines(np.array([[0.5, 1.0]]), dots, reach=2)
    line, points = ax.lines
    np.testing.assert_allclose(line.get_ydata(), [0, 2])
    np.testing.assert_array_equal(points.get_xydata(), dots)


@pytest.fixture
def ladder():
    plain = {"nothing": np.array([0.1, 0.2, 0.6]), "dropout": np.array([0.5, 0.5, 0.5])}
    series = {"plain": plain, "batch norm": {"dropout": np.array([0.7, 0.7, 0.8])}}
    return rungs(["nothing", "dropout"], series, xlabel="accuracy")


def test_a_rung_has_its_mean_and_quartiles(ladder):
    spread, mean = ladder.lines[:2]
    np.testing.assert_allclose(spread.get_xdata(), [0.15, 0.4])
    assert mean.get_xdata()[0] == pytest.approx(0.3)
    assert len(ladder.lines) == 6, "what is not there is not drawn"


def test_rungs_differ_by_more_than_colour_and_are_named_once(ladder):
    plain, normed = ladder.lines[3], ladder.lines[5]
    assert plain.get_marker() != normed.get_marker()
    assert plain.get_markerfacecolor() == PAPER[0] and normed.get_color() == colour("batch norm")
    assert [text.get_text() for text in ladder.get_legend().get_texts()] == ["plain", "batch norm"]
    assert ladder.yaxis_inverted()
