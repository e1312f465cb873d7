"""The checker about the noise of batch norm, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib.batch_noise import noise_law
from bnlib.exercises import check_noise, noise, pointers
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects

CASES = [dict(zip(noise.GIVEN, case, strict=True)) for case in noise.CASES]


def law(add=1.0, quarter=0.25, off=1.0, sign=1.0, power=2, root_of_m=True):
    def f(x, skewness, kurtosis, m):
        total = add + quarter * (kurtosis - off) * x**power + sign * skewness * x
        return np.sqrt(total / m) if root_of_m else np.sqrt(total) / m

    return f


RIGHT = [
    law(),
    lambda x_hat, skewness, kurtosis, m: (
        (4 + (kurtosis - 1) * x_hat**2 + 4 * skewness * x_hat) ** 0.5 / 2 / m**0.5
    ),
    lambda x, s, k, m: (
        np.array(np.hypot(np.hypot(1, x / 2 * np.sqrt(k - 1)), 0) ** 2 + s * x) ** 0.5 / np.sqrt(m)
    ),
]
PLANTED = [
    (law(add=0), {"mean_forgotten"}),
    (law(quarter=0), {"scale_forgotten"}),
    (law(sign=0), {"skewness_forgotten"}),
    (law(sign=-1), {"skewness_subtracted"}),
    (law(off=0), {"whole_kurtosis"}),
    (law(off=3), {"excess_kurtosis"}),
    (law(quarter=1), {"variance_for_root"}),
    (law(quarter=1 / 2), {"variance_for_root"}),
    (law(power=1), {"x_not_squared"}),
    (lambda x, s, k, m: np.sqrt((1 + (k - 1) / 4 * abs(x) + s * x) / m), {"x_not_squared"}),
    (lambda *given: law()(*given) ** 2, {"variance_for_std"}),
    (lambda x, s, k, m: law()(x, s, k, 1), {"size_forgotten"}),
    (law(root_of_m=False), {"size_outside_the_root"}),
    (lambda x, s, k, m: m**-0.5, {"scale_forgotten", "skewness_forgotten"}),
    (law(quarter=1, off=0), {"variance_for_root", "whole_kurtosis"}),
    (lambda x, s, k, m: 1 / m, {"scale_forgotten", "skewness_forgotten", "variance_for_std"}),
    (lambda *given: law(sign=0)(*given) ** 2, {"skewness_forgotten", "variance_for_std"}),
]
OTHER = [
    lambda x, s, k, m: 0.1,
    lambda x, s, k, m: np.nan,
    lambda x, s, k, m: np.sqrt(1.02 + (k - 1) / 4 * x**2 + s * x) / np.sqrt(m),
    lambda x, s, k, m: x / m,
]


@pytest.mark.parametrize("f", RIGHT)
def test_a_right_answer_passes_however_it_is_written(f):
    answer = check_noise(f)
    assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    with np.errstate(invalid="ignore"):
        answer = check_noise(f)
    assert not answer.right
    if len(names) <= 2:  # three at once are more than a sentence can help with
        assert set(answer.mistakes) == names, answer.text
    assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    answer = check_noise(f)
    assert not answer.right and answer.mistakes == (), answer.text


def test_a_stub_is_told_to_go_on():
    assert check_noise(lambda x_hat, skewness, kurtosis, m: ...).text.startswith("Not yet")
    assert "f(x_hat, skewness, kurtosis, m)" in check_noise(lambda x: x).text


def test_every_mistake_is_planted_and_leads_somewhere():
    named = set().union(*(names for _, names in PLANTED))
    assert {mistake.name for mistake in noise.NOISE_MISTAKES} == named
    assert {mistake.where for mistake in noise.NOISE_MISTAKES} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith(".") for mistake in noise.NOISE_MISTAKES)


def results(way):
    with np.errstate(invalid="ignore"):
        return [one for case in CASES for one in outcomes(noise.NOISE, ("std",), case, way)]


def test_mistakes_differ_from_each_other_and_from_right():
    seen = [("right", results({}))]
    seen += [
        (mistake.name, results(way)) for mistake in noise.NOISE_MISTAKES for way in mistake.ways
    ]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    right = results({})
    for named, replaced in suspects(noise.NOISE_MISTAKES):
        pairs = zip(results(replaced), right, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]


def test_the_law_is_that_of_the_library():
    values = np.random.default_rng(0).gamma(2.0, size=(50, 1))
    x_hat = (values - values.mean()) / values.std()
    case = {"x_hat": float(x_hat[3, 0]), "skewness": float((x_hat**3).mean()),
            "kurtosis": float((x_hat**4).mean()), "m": 20}  # fmt: skip
    expected = np.sqrt(noise_law(values, size=20).variance[3, 0])
    assert follow(noise.NOISE, case).std == pytest.approx(expected, rel=1e-12)
