"""The checker about roughness, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib.exercises import check_roughness, pointers, roughness
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.landscape import along_gradient

CASES = roughness.made_up_cases(np.random.default_rng(0))
norm = np.linalg.norm


def changes(g, there):
    return norm(there - g, axis=1)


def loop(gradient, arrivals, rates):
    worst = 0.0
    for arrival, rate in zip(arrivals, rates, strict=True):
        change = sum((a - g) ** 2 for a, g in zip(arrival, gradient, strict=True)) ** 0.5
        worst = max(worst, change / (rate * sum(g**2 for g in gradient) ** 0.5))
    return worst


RIGHT = [
    loop,
    lambda gradient, arrivals, rates: (
        norm(arrivals - gradient, axis=1) / (rates * norm(gradient))
    ).max(),
    lambda g, there, rates: np.max(changes(g, there) / norm(np.outer(rates, g), axis=1)),
    lambda g, there, rates: float(max(norm((there - g) / rates[:, None], axis=1))) / norm(g),
]
PLANTED = [
    (lambda g, there, rates: changes(g, there).max(), {"not_divided"}),
    (lambda g, there, rates: max(changes(g, there) / rates), {"divided_by_rate"}),
    (lambda g, there, rates: max(changes(g, there) / norm(g)), {"divided_by_norm"}),
    (
        lambda g, there, rates: max(changes(g, there) / rates / norm(there, axis=1)),
        {"norm_at_arrival"},
    ),
    (
        lambda g, there, rates: max(changes(np.vstack([g, there[:-1]]), there) / rates / norm(g)),
        {"one_after_the_other"},
    ),
    (
        lambda g, there, rates: max(changes(np.vstack([g, there[:-1]]), there)),
        {"one_after_the_other", "not_divided"},
    ),
    (lambda g, there, rates: max(changes(-g, there) / rates / norm(g)), {"sum_of_gradients"}),
    (
        lambda g, there, rates: max(abs(norm(there, axis=1) - norm(g)) / rates / norm(g)),
        {"difference_of_lengths"},
    ),
    (
        lambda g, there, rates: max((norm(there, axis=1) - norm(g)) / rates / norm(g)),
        {"difference_of_lengths"},
    ),
    (
        lambda g, there, rates: max(changes(g, there) ** 2 / rates / norm(g)),
        {"square_for_length"},
    ),
    (
        lambda g, there, rates: max(abs(there - g).sum(axis=1) / rates / norm(g)),
        {"other_length"},
    ),
    (
        lambda g, there, rates: max(abs(there - g).max(axis=1) / rates / norm(g)),
        {"other_length"},
    ),
    (lambda g, there, rates: np.mean(changes(g, there) / rates / norm(g)), {"mean_of_steps"}),
    (lambda g, there, rates: changes(g, there)[0] / rates[0] / norm(g), {"one_step_only"}),
    (lambda g, there, rates: changes(g, there)[-1] / rates[-1] / norm(g), {"one_step_only"}),
    (lambda g, there, rates: min(changes(g, there) / rates / norm(g)), {"smallest"}),
    (
        lambda g, there, rates: changes(g, there).max() / (rates.max() * norm(g)),
        {"largest_of_each"},
    ),
    (
        lambda g, there, rates: np.mean(changes(g, there) / rates),
        {"mean_of_steps", "divided_by_rate"},
    ),
]
OTHER = [
    lambda g, there, rates: 4.1,
    lambda g, there, rates: np.nan,
    lambda g, there, rates: max(changes(g, there) / rates / norm(g)) + 0.01,
    lambda g, there, rates: norm(there),
]


@pytest.mark.parametrize("f", RIGHT)
def test_a_right_answer_passes_however_it_is_written(f):
    answer = check_roughness(f)
    assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    answer = check_roughness(f)
    assert not answer.right and set(answer.mistakes) == names, answer.text
    assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    answer = check_roughness(f)
    assert not answer.right and answer.mistakes == (), answer.text


def test_a_stub_is_told_to_go_on_and_other_things_what_was_expected():
    assert check_roughness(lambda gradient, arrivals, rates: ...).text.startswith("Not yet")
    assert "f(gradient, arrivals, rates)" in check_roughness(lambda g: g).text
    assert "must be one number" in check_roughness(lambda g, there, rates: changes(g, there)).text


def test_what_changes_its_arguments_is_told_so():
    def careless(gradient, arrivals, rates):
        arrivals -= gradient
        return max(norm(arrivals, axis=1) / rates / norm(gradient))

    assert "changes arrivals in place" in check_roughness(careless).text


def test_every_mistake_is_planted_and_leads_somewhere():
    named = set().union(*(names for _, names in PLANTED))
    assert {mistake.name for mistake in roughness.MISTAKES} == named
    assert {mistake.where for mistake in roughness.MISTAKES} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith((".", ".)")) for mistake in roughness.MISTAKES)


def results(way):
    return [one for case in CASES for one in outcomes(roughness.STEPS, ("roughness",), case, way)]


def test_mistakes_differ_from_each_other_and_from_right():
    seen = [("right", results({}))]
    seen += [(mistake.name, results(way)) for mistake in roughness.MISTAKES for way in mistake.ways]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    right = results({})
    for named, replaced in suspects(roughness.MISTAKES):
        pairs = zip(results(replaced), right, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]


def test_it_is_the_roughness_of_the_library():
    hessian = np.diag([1.0, 3.0, 7.0])

    def function(point):  # no bowl: the gradient bends
        return float(point @ hessian @ point) / 2, np.tanh(hessian @ point)

    point, rates = np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.2, 0.4])
    gradient = function(point)[1]
    arrivals = np.array([function(point - rate * gradient)[1] for rate in rates])
    case = {"gradient": gradient, "arrivals": arrivals, "rates": rates}
    expected = along_gradient(function, point, rates=rates).roughness
    assert follow(roughness.STEPS, case).roughness == pytest.approx(expected, rel=1e-12)
