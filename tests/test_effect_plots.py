"""Figures for measured effects: what is drawn, where, and in which colour."""

import numpy as np
import pytest

from bnlib.effect_plots import bands, descent, effects, fan, pairs, strips, turning
from bnlib.intervals import Interval
from bnlib.plots import PAPER, colour, panels
from bnlib.verdicts import Contrast, Finding


def finding(answer, low, high, scale="linear"):
    smallest = 0.01 if scale == "linear" else 1.25
    contrast = Contrast(answer, "accuracy", {"a": 1, "b": -1}, "more", smallest, scale)
    return Finding(contrast, Interval((low + high) / 2, low, high), 0.01, answer, 20)


class TestEffects:
    @pytest.fixture
    def ax(self):
        three = [finding("yes", 0.02, 0.04), finding("no", -0.03, 0.0), finding("open", 0.0, 0.02)]
        return effects(three, xlabel="accuracy")

    def test_each_row_has_its_interval_and_its_estimate(self, ax):
        _, *rows = ax.lines  # the first is the line of no effect
        assert [line.get_xdata().tolist() for line in rows[::2]] == [
            [0.02, 0.04], [-0.03, 0.0], [0.0, 0.02],
        ]  # fmt: skip
        estimates = [dot.get_xdata()[0] for dot in rows[1::2]]
        assert estimates == pytest.approx([0.03, -0.015, 0.01])
        assert [label.get_text() for label in ax.get_yticklabels()] == ["yes", "no", "open"]
        assert ax.yaxis_inverted(), "the first finding is at the top"

    def test_answers_differ_by_more_than_colour(self, ax):
        yes, no, still_open = ax.lines[2::2]
        assert yes.get_marker() == no.get_marker() == "o" != still_open.get_marker()
        assert no.get_markerfacecolor() == PAPER[0] != yes.get_markerfacecolor()
        assert [line.get_color() for line in (yes, no, still_open)] == [
            colour("blue"), colour("orange"), colour("muted"),
        ]  # fmt: skip

    def test_the_band_is_what_does_not_matter(self, ax):
        (band,) = ax.patches
        assert band.get_extents().xmin != band.get_extents().xmax
        x = band.get_x(), band.get_x() + band.get_width()
        assert x == pytest.approx((-0.01, 0.01))

    def test_ratios_stand_around_one(self):
        ax = effects([finding("yes", 1.5, 2.0, "log")], xlabel="steps", scale="log", names=["a"])
        (band,) = ax.patches
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.8, 1.25))
        assert ax.get_xscale() == "log" and ax.lines[0].get_xdata() == [1, 1]

    @pytest.mark.parametrize(
        ("low", "high", "ticks"),
        [
            (0.9, 1.1, ["0.8", "1", "1.25"]),
            (0.5, 5, ["0.5", "1", "2", "5"]),
            (0.9, 12000, ["1", "10", "100", "1,000", "10,000"]),
            (1e-5, 1e4, ["0.0001", "0.01", "1", "100", "10,000"]),
        ],
    )
    def test_ratios_are_written_out(self, low, high, ticks):
        ax = effects([finding("yes", low, high, "log")], xlabel="steps", scale="log")
        assert [label.get_text() for label in ax.get_xticklabels()] == ticks


class TestBands:
    def test_the_mean_and_the_range_of_the_seeds(self):
        values = np.array([[1.0, 2.0], [3.0, 6.0]])
        ax = bands([0, 1], {"plain": values}, xlabel="step", ylabel="loss, nats")
        assert ax.lines[0].get_ydata().tolist() == [2, 4]
        corners = ax.collections[0].get_paths()[0].vertices
        assert {tuple(corner) for corner in corners} >= {(0, 1), (0, 3), (1, 2), (1, 6)}
        assert ax.get_legend() is None

    def test_colours_and_dashes_tell_series_apart(self):
        series = {"plain": np.ones(2), "other": np.zeros(2)}
        words = {"xlabel": "step", "ylabel": "loss, nats", "styles": {"other": "purple"}}
        plain, other = bands([1, 10], series, **words, xscale="log", ax=panels()).lines
        assert (plain.get_color(), other.get_color()) == (colour("plain"), colour("purple"))
        assert plain.get_linestyle() != other.get_linestyle()


class TestDescent:
    CURVATURE = np.array([[2.0, 0.5], [0.5, 1.0]])
    PATH = np.array([[1.0, -1.0], [0.2, 0.3], [0.0, 0.1]])

    @pytest.fixture
    def ax(self):
        words = {"xlabel": "first weight", "ylabel": "second weight"}
        return descent(self.CURVATURE, self.PATH, xlim=(-2, 2), ylim=(-1, 1), **words)

    def loss(self, points):
        return np.einsum("ni,ij,nj->n", points, self.CURVATURE, points) / 2

    def test_a_ring_is_a_line_of_equal_loss(self, ax):
        start = self.loss(self.PATH)[0]
        for level, ring in enumerate(ax.lines[:4]):
            np.testing.assert_allclose(self.loss(ring.get_xydata()), start / 4**level)

    def test_the_path_is_drawn_last_and_units_are_equal(self, ax):
        np.testing.assert_array_equal(ax.lines[-1].get_xydata(), self.PATH)
        assert ax.get_aspect() == 1 and ax.get_xlim() == (-2, 2)


class TestPairs:
    def test_one_line_a_seed_and_one_column_an_arm(self):
        series = {"plain": np.array([1.0, 2.0, 3.0]), "batch norm": np.array([0.5, 2.5, 1.0])}
        ax = pairs(series, ylabel="loss, nats")
        *lines, plain, normed = ax.lines
        assert [line.get_ydata().tolist() for line in lines] == [[1, 0.5], [2, 2.5], [3, 1]]
        assert plain.get_xdata().tolist() == [0, 0, 0]
        assert normed.get_ydata().tolist() == [0.5, 2.5, 1.0]
        assert [dots.get_color() for dots in (plain, normed)] == [
            colour("plain"), colour("batch norm"),
        ]  # fmt: skip
        assert [label.get_text() for label in ax.get_xticklabels()] == ["plain", "batch norm"]


class TestTurning:
    PATH = np.array([[1.0, 0.0], [1.0, 0.5], [0.5, 1.5]])

    def test_the_circle_has_the_length_of_the_last_vector(self):
        circle, ray, path, vector, tip = turning(self.PATH, np.array([0.0, 3.0]), reach=2).lines
        radii = np.hypot(*circle.get_xydata().T)
        np.testing.assert_allclose(radii, np.hypot(0.5, 1.5))
        assert ray.get_xydata().tolist() == [[0, 0], [0, 4]], "beyond the edge, whatever its length"
        np.testing.assert_array_equal(path.get_xydata(), self.PATH)
        assert vector.get_xydata().tolist() == [[0, 0], [0.5, 1.5]]
        assert tip.get_xydata().tolist() == [[0.5, 1.5]]

    def test_units_are_equal(self):
        ax = turning(self.PATH, np.array([0.0, 1.0]), reach=2, ax=panels())
        assert ax.get_aspect() == 1 and ax.get_xlim() == ax.get_ylim() == (-2, 2)


class TestFan:
    def test_marked_lines_lie_on_top_and_are_named(self):
        rows = np.array([[0.0, 1.0], [0.5, 0.6], [0.7, 0.8]])
        words = {"xlabel": "epoch", "ylabel": "accuracy", "ylim": (0, 1), "ax": panels()}
        ax = fan([1, 2], rows, ["a", "b", "c"], marked={"a": "--"}, **words)
        assert [line.get_ydata().tolist() for line in ax.lines] == rows[[1, 2, 0]].tolist()
        assert [line.get_linestyle() for line in ax.lines] == ["-", "-", "--"]
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a"]
        assert ax.get_ylim() == (0, 1)


class TestStrips:
    def test_float32_is_as_good_as_float64(self):
        ax = strips({"a": np.array([-1e30, 1e30], np.float32)}, xlabel="variance")
        np.testing.assert_allclose(ax.lines[0].get_xdata(), [-1e30, 1e30], rtol=1e-6)

    def test_every_seed_has_a_dot_in_its_row_and_the_median_a_mark(self):
        series = {"a": np.array([3.0, 1.0, 8.0]), "b": np.array([2.0, 2.0])}
        ax = strips(series, xlabel="accuracy")
        for row, (dots, mark, values) in enumerate(
            zip(ax.lines[::2], ax.lines[1::2], series.values(), strict=True)
        ):
            assert dots.get_xdata().tolist() == values.tolist()
            assert np.abs(dots.get_ydata() - row).max() < 0.5
            assert np.unique(dots.get_ydata()).size == len(values), "equal seeds do not hide"
            assert [*mark.get_xdata(), *mark.get_ydata()] == [np.median(values), row]
        assert ax.yaxis_inverted() and len(ax.lines) == 4
