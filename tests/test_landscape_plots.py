"""The cloud of settings: what is drawn, where, and in which colour."""

import numpy as np
import pytest

from bnlib.landscape_plots import cloud
from bnlib.plots import colour, panels

GROUPS = {
    "plain": (np.array([1.0, 10.0]), np.array([50.0, 401.0])),
    "dead": (np.array([0.1]), np.array([401.0])),
}
WORDS = {"xlabel": "roughness, nats", "ylabel": "steps"}


def test_every_setting_has_its_mark_where_it_belongs():
    ax = cloud(GROUPS, **WORDS)
    for line, (x, y) in zip(ax.lines, GROUPS.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([x, y]))
        assert line.get_linestyle() == "None"
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("roughness, nats", "steps")


def test_groups_differ_by_colour_and_by_mark():
    plain, dead = cloud(GROUPS, **WORDS).lines
    assert (plain.get_color(), dead.get_color()) == (colour("plain"), colour("muted"))
    assert plain.get_marker() != dead.get_marker()


def test_it_draws_where_it_is_told_and_names_its_groups():
    ax = panels()
    assert cloud(GROUPS, **WORDS, xscale="linear", ax=ax) is ax
    assert ax.get_xscale() == "linear"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["plain", "dead"]


def test_an_unknown_group_has_no_mark():
    with pytest.raises(ValueError, match=r"each key of groups must be one of .* got 'alive'"):
        cloud({"alive": GROUPS["plain"]}, **WORDS)


def test_marks_may_differ_within_a_group_and_the_legend_has_one_of_each_kind():
    looks = {"plain": [(4, False), (9, True)], "dead": [(6, False)]}
    ax = cloud(GROUPS, **WORDS, looks=looks)
    drawn = [line for line in ax.lines if len(line.get_xdata())]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in drawn] == [
        (1.0, 50.0), (10.0, 401.0), (0.1, 401.0),
    ]  # fmt: skip
    assert [line.get_markersize() for line in drawn] == [4, 9, 6]
    assert [line.get_markerfacecolor() for line in drawn] == ["none", colour("plain"), "none"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["plain", "dead"]


def test_every_mark_needs_a_look():
    with pytest.raises(ValueError, match=r"looks\['plain'\] must be 2 marks, got 1"):
        cloud(GROUPS, **WORDS, looks={"plain": [(4, False)], "dead": [(6, False)]})
