"""Figures of a queue and of shares: what is drawn, and where."""

import numpy as np
import pytest

from bnlib.plots import PAPER, colour
from bnlib.running_plots import queue, shares


def test_a_queue_parts_right_from_wrong_and_marks_its_batches():
    labels, right = np.array([2, 0, 5, 5, 1, 3]), np.array([1, 0, 1, 1, 0, 1], bool)
    ax = queue(labels, right, size=2)
    bad, good = ax.lines
    np.testing.assert_allclose(good.get_xydata(), [[0, 2], [2, 5], [3, 5], [5, 3]], atol=0.4)
    np.testing.assert_allclose(bad.get_xydata(), [[1, 0], [4, 1]], atol=0.4)
    assert good.get_ydata()[1] != good.get_ydata()[2]
    assert good.get_color() == colour("blue") and bad.get_markerfacecolor() == PAPER[0]
    grounds = [patch.get_x() for patch in ax.patches]
    assert grounds == pytest.approx([-0.5, 3.5])


def test_eight_neighbours_of_one_class_use_seven_heights_and_every_third_class_has_a_name():
    labels = np.array([9] * 14 + [4])
    bad, good = queue(labels, np.arange(15) > 0, size=4).lines
    heights = np.append(bad.get_ydata(), good.get_ydata())
    assert len(set(heights[:7])) == len(set(heights[:14])) == 7
    np.testing.assert_allclose(heights[:7].mean(), 9)
    np.testing.assert_array_equal(heights[7:14], heights[:7])
    assert (bad.get_label(), good.get_label()) == ("wrong", "right")
    assert good.axes.get_yticks().tolist() == [0, 3, 6, 9]


def test_a_dot_stands_on_each_line_at_the_place():
    series = {"one": np.array([0.1, 0.2, 0.3]), "two": np.array([1.0, 1.0, 1.0])}
    styles = {"one": "blue", "two": "purple"}
    x = np.array([0.0, 0.5, 1.0])
    ax = shares(x, series, 2, xlabel="x", ylabel="y", ylim=(0, 1), styles=styles)
    line, dot, *_ = ax.lines
    assert dot.get_xydata().tolist() == [[1.0, 0.3]] and line.get_color() == colour("blue")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]
