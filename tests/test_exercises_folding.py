"""The checker about folding, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib.exercises import check_fold, folding, pointers
from bnlib.exercises.diagnosis import EXACT, outcomes, same, suspects
from bnlib.folding import fold_batch_norm

OUTPUTS = ("new_weight", "new_bias")


def fold(scale=None, bias=None):
    """A student's function: parts of the right one replaced."""

    def f(weight, b, mean, var, gamma, beta, eps):
        s = scale(var, gamma, eps) if scale else gamma / np.sqrt(var + eps)
        new = bias(s, b, mean, beta) if bias else s * (b - mean) + beta
        return s[:, None] * weight, new

    return f


def by_columns(weight, bias, mean, var, gamma, beta, eps):
    s = gamma / np.sqrt(var + eps)
    return s * weight, s * (bias - mean) + beta


def weight_as_it_was(weight, bias, mean, var, gamma, beta, eps):
    return weight, gamma / np.sqrt(var + eps) * (bias - mean) + beta


RIGHT = [
    fold(),
    lambda w, b, m, v, g, beta, eps: fold_batch_norm(w, b, m, v, g, beta, eps=eps),
    lambda w, b, m, v, g, beta, eps: (
        np.diag(g / (v + eps) ** 0.5) @ w,
        beta + g * (b - m) * (v + eps) ** -0.5,
    ),
]
PLANTED = [
    (fold(bias=lambda s, b, m, beta: b - s * m + beta), {"bias_unscaled"}),
    (fold(bias=lambda s, b, m, beta: -s * m + beta), {"bias_forgotten"}),
    (fold(lambda var, gamma, eps: 1 / np.sqrt(var + eps)), {"gamma_forgotten"}),
    (fold(lambda var, gamma, eps: gamma * np.sqrt(var + eps)), {"multiplied"}),
    (fold(lambda var, gamma, eps: gamma / (np.sqrt(var) + eps)), {"eps_outside_the_root"}),
    (fold(lambda var, gamma, eps: gamma / np.sqrt(var)), {"eps_forgotten"}),
    (fold(lambda var, gamma, eps: gamma / (var + eps)), {"variance_for_std"}),
    (fold(lambda var, gamma, eps: gamma / var), {"root_forgotten_and_eps"}),
    (weight_as_it_was, {"weight_unscaled"}),
    (by_columns, {"columns_scaled"}),
    (fold(bias=lambda s, b, m, beta: s * (b + m) + beta), {"mean_added"}),
    (fold(bias=lambda s, b, m, beta: s * b - m + beta), {"mean_unscaled"}),
    (fold(bias=lambda s, b, m, beta: s * b + beta), {"mean_forgotten"}),
    (fold(bias=lambda s, b, m, beta: s * (b - m)), {"beta_forgotten"}),
    (fold(bias=lambda s, b, m, beta: s * (b - m + beta)), {"beta_scaled"}),
    (fold(bias=lambda s, b, m, beta: b - m + beta), {"bias_unscaled", "mean_unscaled"}),
    (
        fold(lambda var, gamma, eps: 1 / (var + eps), lambda s, b, m, beta: s * (b - m) + beta),
        {"gamma_forgotten", "variance_for_std"},
    ),
    (
        fold(lambda var, gamma, eps: gamma / np.sqrt(var), lambda s, b, m, beta: s * b + beta),
        {"eps_forgotten", "mean_forgotten"},
    ),
]
OTHER = [
    lambda w, b, m, v, g, beta, eps: (w + 1, b),
    lambda w, b, m, v, g, beta, eps: (w.T, b),
    lambda w, b, m, v, g, beta, eps: (np.nan * w, b),
]


@pytest.mark.parametrize("f", RIGHT)
def test_a_right_answer_passes_however_it_is_written(f):
    answer = check_fold(f)
    assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    answer = check_fold(f)
    assert not answer.right and set(answer.mistakes) == names, answer.text
    assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    answer = check_fold(f)
    assert not answer.right and not set(answer.mistakes) - {"shape"}, answer.text


def test_a_stub_is_told_to_go_on():
    stub = check_fold(lambda weight, bias, mean, var, gamma, beta, eps: ...)
    assert stub.text.startswith("Not yet")
    assert "weight, bias, mean, var, gamma, beta, eps" in check_fold(lambda weight: ...).text
    one = check_fold(lambda weight, bias, mean, var, gamma, beta, eps: weight)
    assert "two arrays" in one.text


def test_arguments_that_were_changed_are_named():
    def f(weight, bias, mean, var, gamma, beta, eps):
        answer = RIGHT[0](weight, bias, mean, var, gamma, beta, eps)
        weight *= 2
        return answer

    answer = check_fold(f)
    assert not answer.right and answer.mistakes == ("in_place",), answer.text


def test_every_mistake_is_planted_and_leads_somewhere():
    named = set().union(*(names for _, names in PLANTED))
    assert {mistake.name for mistake in folding.MISTAKES} == named
    assert {mistake.where for mistake in folding.MISTAKES} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith(".") for mistake in folding.MISTAKES)


def results(way, seed=0):
    layers = folding.made_up_layers(np.random.default_rng(seed))
    return [one for layer in layers for one in outcomes(folding.STEPS, OUTPUTS, layer, way)]


def test_mistakes_differ_from_each_other_and_from_right():
    seen = [("right", results({}))]
    seen += [(mistake.name, results(way)) for mistake in folding.MISTAKES for way in mistake.ways]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    right = results({})
    for named, replaced in suspects(folding.MISTAKES):
        pairs = zip(results(replaced), right, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]
