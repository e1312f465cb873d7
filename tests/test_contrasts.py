"""The contrasts of most rules: who is compared with whom, by what measure, and how it is called."""

import pytest

from bnlib.experiments.contrasts import difference, few, interaction, most, ratio
from bnlib.verdicts import Contrast


def test_a_difference_is_the_first_less_the_second_by_a_point_unless_told_otherwise():
    weights = {"relu BN": 1, "relu plain": -1}
    name = "BN - plain, relu"
    assert difference(*weights, "area") == Contrast(name, "area", weights, "more", 0.01)
    told = difference(*weights, "area", smallest=0.2, wanted="not less")
    assert told == Contrast(name, "area", weights, "not less", 0.2)


def test_a_ratio_is_a_difference_of_logarithms_by_a_quarter_unless_told_otherwise():
    weights = {"plain": 1, "BN": -1}
    assert ratio(*weights, "steps") == Contrast("plain / BN", "steps", weights, "more", 1.25, "log")
    told = ratio(*weights, "steps", smallest=1.5, wanted="less")
    assert told == Contrast("plain / BN", "steps", weights, "less", 1.5, "log")


def test_most_and_few_count_more_and_less_than_half_of_the_seeds():
    assert most("BN 5", "trains") == Contrast("BN 5 trains", "trains", {"BN 5": 1}, "most", 0.5)
    assert few("BN 5", "trains") == Contrast("BN 5 trains", "trains", {"BN 5": 1}, "few", 0.5)


def test_an_interaction_is_the_first_difference_less_the_second():
    weights = {"BN 2": 1, "plain 2": -1, "BN 64": -1, "plain 64": 1}
    got = interaction(("BN 2", "plain 2"), ("BN 64", "plain 64"), "accuracy")
    name = "(BN - plain, 2) - (BN - plain, 64)"
    assert got == Contrast(name, "accuracy", weights, "more", 0.0)
    got = interaction(
        ("BN 2", "plain 2"), ("BN 64", "plain 64"), "steps", smallest=1.0, scale="log"
    )
    name = "(BN / plain, 2) / (BN / plain, 64)"
    assert got == Contrast(name, "steps", weights, "more", 1.0, "log")


def test_an_arm_of_both_differences_has_the_sum_of_its_weights():
    got = interaction(("a", "b"), ("b", "c"), "loss")
    assert got.weights == {"a": 1, "b": -2, "c": 1}
    assert interaction(("a", "b"), ("a", "c"), "loss").weights == {"a": 0, "b": -1, "c": 1}


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("BN", "plain", "BN - plain"),
        ("relu 3 batch norm", "relu 3 plain", "batch norm - plain, relu 3"),
        ("batch norm at 0.1", "plain at 0.1", "batch norm - plain, at 0.1"),
        ("relu batch norm tuned", "relu plain tuned", "batch norm - plain, relu tuned"),
        ("BN", "BN longer", "itself - longer, BN"),
        ("group norm 2", "2", "group norm - itself, 2"),
        ("a b", "b a", "a b - b a"),
        ("a a a", "a a", "a - itself, a a"),
    ],
)
def test_words_that_two_names_share_are_said_once_at_the_end(first, second, name):
    assert difference(first, second, "loss").name == name
