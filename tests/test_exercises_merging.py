"""`check_merge`, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib.exercises import merging, pointers
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.exercises.merging import check_merge
from bnlib.workers import merge, moments

CASES = [dict(zip(merging.GIVEN, case, strict=True)) for case in merging.CASES]


def merged(mean="w", within="w", between="w", finish=lambda var, total: var):
    """A student's function, written from the shares; each part may be another formula."""

    def f(n, p, u, m, q, v):
        w, s, d = n / (n + m), m / (n + m), p - q
        names = {"n": n, "m": m, "w": w, "s": s, "p": p, "q": q, "u": u, "v": v, "d": d}
        names["abs"] = abs

        def value(own, usual):
            return eval(usual if own == "w" else own, {}, names)

        var = value(within, "w*u + s*v") + value(between, "w*s*d**2")
        return value(mean, "w*p + s*q"), finish(var, n + m)

    return f


def by_deviations(n, p, u, m, q, v):
    mean = (n * p + m * q) / (n + m)
    return mean, (n * (u + (p - mean) ** 2) + m * (v + (q - mean) ** 2)) / (n + m)


def by_squares(n_a, mean_a, var_a, n_b, mean_b, var_b):
    total = n_a + n_b
    mean = (n_a * mean_a + n_b * mean_b) / total
    squares = n_a * (var_a + mean_a**2) + n_b * (var_b + mean_b**2)
    return [np.float64(mean), squares / total - mean**2]


def around_the_middle(n, p, u, m, q, v):
    mean = (p + q) / 2
    return mean, (n * (u + (p - mean) ** 2) + m * (v + (q - mean) ** 2)) / (n + m)


def from_unbiased(n, p, u, m, q, v):
    mean = (n * p + m * q) / (n + m)
    deviations = (n - 1) * u + (m - 1) * v + (p - q) ** 2 * n * m / (n + m)
    return mean, deviations / (n + m - 1)


def swapped(n, p, u, m, q, v):
    return merged()(m, p, u, n, q, v)


RIGHT = [merged(), by_deviations, by_squares]
PLANTED = [
    (merged(mean="(p + q) / 2"), {"mean_of_means"}),
    (around_the_middle, {"mean_of_means"}),
    (swapped, {"weights_swapped"}),
    (merged(mean="n*p + m*q"), {"sum_for_mean"}),
    (merged(between="0"), {"distance_forgotten"}),
    (merged(between="w*s*abs(d)"), {"distance_not_squared"}),
    (merged(between="-w*s*d"), {"distance_not_squared"}),
    (merged(between="d**2*n*m/(n + m)"), {"between_not_divided"}),
    (merged(between="d**2"), {"between_full"}),
    (merged(between="d**2/4"), {"between_full"}),
    (merged(between="(d/2)**2*2"), {"between_full"}),
    (merged(within="(u + v)/2"), {"variances_unweighted"}),
    (merged(within="u + v"), {"variances_added"}),
    (merged(within="w**2*u + s**2*v"), {"weights_squared"}),
    (merged(finish=lambda var, total: var * total / (total - 1)), {"unbiased_out"}),
    (merged(within="((n - 1)*u + (m - 1)*v)/(n + m)"), {"unbiased_in"}),
    (from_unbiased, {"unbiased_in"}),
    (merged(finish=lambda var, total: var**0.5), {"std_for_var"}),
    (merged(within="(w*u**.5 + s*v**.5)**2"), {"stds_averaged"}),
    (merged(between="w*p**2 + s*q**2"), {"raw_squares"}),
    (merged(finish=lambda var, total: var * total), {"deviations_for_var"}),
    (merged(within="(u + v)/2", between="0"), {"variances_unweighted", "distance_forgotten"}),
    (merged(within="u + v", between="0"), {"variances_added", "distance_forgotten"}),
    (
        merged(mean="(p + q)/2", within="w*u + s*v", between="0"),
        {"mean_of_means", "distance_forgotten"},
    ),
    (
        merged(mean="(p + q)/2", within="(u + v)/2", between="0"),
        {"mean_of_means", "variances_unweighted", "distance_forgotten"},
    ),
]
OTHER = [lambda *given: (0.1, 0.2), lambda *given: (np.nan, 1.0), merged(between="0.3*w*s*d**2")]


@pytest.mark.parametrize("f", RIGHT)
def test_a_right_answer_passes_however_it_is_written(f):
    answer = check_merge(f)
    assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    answer = check_merge(f)
    assert not answer.right
    assert set(answer.mistakes) == names, answer.text
    assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    answer = check_merge(f)
    assert not answer.right and answer.mistakes == (), answer.text


@pytest.mark.parametrize(
    ("f", "told"),
    [
        (lambda n_a, mean_a, var_a, n_b, mean_b, var_b: ..., "Not yet"),
        (lambda n, m: 0, "f(n_a, mean_a, var_a, n_b, mean_b, var_b)"),
        (lambda *given: 3.0, "Return mean, var: two numbers; yours is a float."),
        (lambda *given: (1.0, 2.0, 3.0), "Return mean, var: two numbers; yours are 3."),
        (lambda *given: (given[1], None), "var is missing"),
    ],
)
def test_what_is_no_answer_is_told_what_to_return(f, told):
    assert told in " ".join(check_merge(f).text.split())


def test_every_mistake_is_planted_and_leads_somewhere():
    named = set().union(*(names for _, names in PLANTED))
    assert {mistake.name for mistake in merging.MERGE_MISTAKES} == named
    assert {mistake.where for mistake in merging.MERGE_MISTAKES} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith(".") for mistake in merging.MERGE_MISTAKES)


def results(way):
    return [one for case in CASES for one in outcomes(merging.MERGE, merging.OUTPUTS, case, way)]


def test_mistakes_differ_from_each_other_and_from_right():
    seen = [("right", results({}))]
    seen += [
        (mistake.name, results(way)) for mistake in merging.MERGE_MISTAKES for way in mistake.ways
    ]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    right = results({})
    for named, replaced in suspects(merging.MERGE_MISTAKES):
        pairs = zip(results(replaced), right, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]


def test_the_rule_is_that_of_the_library():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 1))
    b = b[:3] + 2
    one, two = moments(a), moments(b)
    case = (5, a.mean(), a.var(), 3, b.mean(), b.var())
    v = follow(merging.MERGE, dict(zip(merging.GIVEN, case, strict=True)))
    assert v.mean == pytest.approx(merge([one, two]).mean[0], rel=1e-12)
    assert v.var == pytest.approx(merge([one, two]).var[0], rel=1e-12)
