"""Clouds and their ellipses: what is drawn, and where."""

import numpy as np
import pytest

from bnlib.plots import colour
from bnlib.whitening import whiten
from bnlib.whitening_plots import clouds, ellipse

POINTS = np.random.default_rng(0).normal(size=(50, 2)) @ [[2, 1], [0, 1]] + [1, -1]


def test_the_ellipse_is_two_deviations_away_in_every_direction():
    around = ellipse(POINTS) - POINTS.mean(axis=0)
    inverse = np.linalg.inv(np.cov(POINTS.T, bias=True))
    distances = np.sqrt(np.einsum("ki,ij,kj->k", around, inverse, around))
    np.testing.assert_allclose(distances, 2)


def test_the_ellipse_of_a_white_cloud_is_a_circle():
    white = whiten(POINTS, eps=1e-12)[0]
    np.testing.assert_allclose(np.linalg.norm(ellipse(white), axis=1), 2)


def test_points_on_a_line_have_a_flat_ellipse():
    line = np.arange(5.0)[:, None] * [1, 1]
    around = ellipse(line)
    np.testing.assert_allclose(around[:, 0], around[:, 1], atol=1e-7)


def test_every_cloud_has_its_points_its_ellipse_and_its_note():
    tables = {"raw": POINTS, "half": POINTS / 2}
    axes = clouds(tables, reach=5, notes={"half": "smaller"})
    for ax, (title, points) in zip(axes, tables.items(), strict=True):
        *_, dots, curve = ax.lines
        np.testing.assert_array_equal(np.column_stack(dots.get_data()), points)
        np.testing.assert_allclose(np.column_stack(curve.get_data()), ellipse(points))
        assert curve.get_color() == colour("blue") and ax.get_title() == title
        assert ax.get_xlim() == ax.get_ylim() == pytest.approx((-5, 5))
    assert [ax.get_xlabel() for ax in axes] == ["", "smaller"]


def test_a_single_cloud_is_fine():
    assert len(clouds({"raw": POINTS}, reach=5)) == 1
