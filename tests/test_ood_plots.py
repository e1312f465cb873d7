"""Figures of the chapter on shifted inputs: what is drawn, where, and in which colour."""

import numpy as np
import pytest

from bnlib.ood_plots import meters, pictures, trade_offs
from bnlib.plots import PAPER, panels


def test_pictures_are_drawn_in_their_own_light():
    grey, red = np.full((2, 3, 3), 0.5), np.zeros((3, 3, 3, 3))
    red[..., 0] = 1
    axes = pictures({"grey": grey, "red": red})
    assert axes.shape == (2, 3)
    (drawn,) = axes[0, 0].images
    assert drawn.get_clim() == (0, 1) and (drawn.get_array() == 0.5).all()
    assert (axes[1, 2].images[0].get_array() == red[2]).all()
    assert not axes[0, 2].images and not axes[0, 2].axison
    assert [line[0].texts[0].get_text() for line in axes] == ["grey", "red"]


X = (0.0, 0.5, 1.0)
SERIES = {"accuracy": np.array([[0.1, 0.5, 0.9], [0.3, 0.5, 1.0]]), "AUROC": np.ones((2, 3))}


def test_each_mean_has_a_dot_where_the_dial_stands():
    ax = meters(X, SERIES, 1.0, xlabel="alpha")
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["accuracy"].get_ydata() == pytest.approx([0.2, 0.5, 0.95])
    dots = [line.get_xydata()[0].tolist() for line in ax.lines if line.get_marker() == "o"]
    assert dots == [pytest.approx([1.0, 0.95]), pytest.approx([1.0, 1.0])]
    colours = {lines[name].get_color() for name in SERIES}
    assert len(colours) == 2 and ax.get_xlabel() == "alpha"
    low, high = ax.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (0.1, 1.0)


def test_the_dial_stands_at_a_place_it_has():
    with pytest.raises(ValueError, match="meters: at must be one of"):
        meters(X, SERIES, 0.3, xlabel="alpha")


def test_more_lines_than_can_be_told_apart_are_refused():
    path = np.array([[0.2, 0.9], [0.5, 0.7]])
    with pytest.raises(ValueError, match=r"^trade_offs: series must have at most 6 .* got 7$"):
        trade_offs(dict.fromkeys("abcdefg", path), xlabel="x", ylabel="y", ax=panels())
    with pytest.raises(ValueError, match=r"^meters: series must have at most 4 .* got 5$"):
        meters(X, dict.fromkeys("abcde", next(iter(SERIES.values()))), X[0], xlabel="alpha")


def test_a_trade_off_goes_from_a_hollow_to_a_filled_mark():
    path = np.array([[0.2, 0.9], [0.5, 0.7], [0.9, 0.5]])
    ax = panels()
    assert trade_offs({"grey": path}, xlabel="accuracy", ylabel="AUROC", ax=ax) is ax
    line, start, end = ax.lines
    assert (line.get_xydata() == path).all()
    assert start.get_xydata()[0].tolist() == [0.2, 0.9]
    assert start.get_markerfacecolor() == PAPER[0] != end.get_markerfacecolor()
    assert end.get_xydata()[0].tolist() == [0.9, 0.5]
