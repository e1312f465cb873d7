"""The checker about moving distributions, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib.covariate_shift import distribution_drift
from bnlib.exercises import check_drift, drift, pointers
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects

PAIRS = drift.made_up_pairs(np.random.default_rng(0))


def carried(before, after):
    return np.sort(after) - np.sort(before)


def rms(values):
    return np.sqrt(np.mean(values**2))


def loop(before, after):
    total = 0
    for a, b in zip(sorted(before), sorted(after), strict=True):
        total += (b - a) ** 2 / len(before)
    mean = sum(before) / len(before)
    return (total / (sum((a - mean) ** 2 for a in before) / len(before))) ** 0.5


RIGHT = [
    loop,
    lambda a, b: rms(carried(a, b)) / a.std(),
    lambda a, b: np.linalg.norm(np.sort(a) - np.sort(b)) / np.linalg.norm(a - a.mean()),
    lambda a, b: distribution_drift(a[:, None], b[:, None]).whole,
]
PLANTED = [
    (lambda a, b: rms(b - a) / a.std(), {"not_sorted"}),
    (lambda a, b: rms(np.sort(b) - a) / a.std(), {"one_not_sorted"}),
    (lambda a, b: rms(b - np.sort(a)) / a.std(), {"one_not_sorted"}),
    (lambda a, b: abs(b.mean() - a.mean()) / a.std(), {"means_only"}),
    (lambda a, b: (b.mean() - a.mean()) / a.std(), {"means_only"}),
    (lambda a, b: abs(carried(a, b)).mean() / a.std(), {"absolute_values"}),
    (lambda a, b: np.mean(carried(a, b) ** 2) / a.std(), {"no_root"}),
    (lambda a, b: np.linalg.norm(carried(a, b)) / a.std(), {"sum_of_squares"}),
    (lambda a, b: rms(carried(a, b)), {"no_spread"}),
    (lambda a, b: rms(carried(a, b)) / b.std(), {"spread_after"}),
    (lambda a, b: rms(carried(a, b)) / a.var(), {"variance_for_spread"}),
    (lambda a, b: rms(carried(a, b)) / a.std(ddof=1), {"unbiased_spread"}),
    (lambda a, b: rms(b - a), {"not_sorted", "no_spread"}),
    (lambda a, b: abs(b.mean() - a.mean()), {"means_only", "no_spread"}),
    (lambda a, b: np.linalg.norm(b - a) / a.std(), {"not_sorted", "sum_of_squares"}),
]
OTHER = [
    lambda a, b: 0.5,
    lambda a, b: np.nan,
    lambda a, b: rms(carried(a, b)) / a.std() + 0.01,
    lambda a, b: abs(b.std() - a.std()) / a.std(),
]


@pytest.mark.parametrize("f", RIGHT)
def test_a_right_answer_passes_however_it_is_written(f):
    answer = check_drift(f)
    assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    answer = check_drift(f)
    assert not answer.right and set(answer.mistakes) == names, answer.text
    assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    answer = check_drift(f)
    assert not answer.right and answer.mistakes == (), answer.text


def test_a_stub_is_told_to_go_on_and_other_things_what_was_expected():
    assert check_drift(lambda before, after: ...).text.startswith("Not yet")
    assert "f(before, after)" in check_drift(lambda before: 1.0).text
    assert not check_drift(carried).right


def test_what_sorts_its_arguments_is_told_so():
    def careless(before, after):
        before.sort()
        after.sort()
        return rms(after - before) / before.std()

    assert "changes before and after in" in check_drift(careless).text


def test_every_mistake_is_planted_and_leads_somewhere():
    named = set().union(*(names for _, names in PLANTED))
    assert {mistake.name for mistake in drift.DRIFT_MISTAKES} == named
    assert {mistake.where for mistake in drift.DRIFT_MISTAKES} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith(".") for mistake in drift.DRIFT_MISTAKES)


def results(way):
    return [one for pair in PAIRS for one in outcomes(drift.DRIFT, ("drift",), pair, way)]


def test_mistakes_differ_from_each_other_and_from_right():
    seen = [("right", results({}))]
    seen += [
        (mistake.name, results(way)) for mistake in drift.DRIFT_MISTAKES for way in mistake.ways
    ]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    right = results({})
    for named, replaced in suspects(drift.DRIFT_MISTAKES):
        pairs = zip(results(replaced), right, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]


def test_the_measure_is_that_of_the_library():
    for pair in PAIRS:
        columns = (values[:, None] for values in pair.values())
        assert follow(drift.DRIFT, pair).drift == pytest.approx(distribution_drift(*columns).whole)
