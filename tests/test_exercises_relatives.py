"""`check_layer_norm_backward`, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib.exercises import check_layer_norm_backward, pointers
from bnlib.exercises import relatives as exercise
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.normalization import BatchNormCache, batch_norm_backward
from bnlib.relatives import layer_norm_backward

RIGHT, PLANTED, OTHER = [], [], []


def right(f):
    RIGHT.append(pytest.param(f, id=f.__name__))


def planted(*names):
    return lambda f: PLANTED.append(pytest.param(f, set(names), id=f.__name__))


def other(f):
    OTHER.append(pytest.param(f, id=f.__name__))


def rows(a):
    return a.mean(axis=1, keepdims=True)


def closed_form(dy, cache, g=None, first=None, second=None, power=1):
    g = dy * cache.gamma if g is None else g
    first = rows(g) if first is None else first
    second = rows(g * cache.x_hat) if second is None else second
    return cache.inv_std[:, None] ** power * (g - first - cache.x_hat * second)


@right
def in_closed_form(dy, cache):
    return closed_form(dy, cache), (dy * cache.x_hat).sum(axis=0), dy.sum(0)


@right
def only_dx(dy, cache):
    return closed_form(dy, cache)


@right
def one_row_after_the_other(dy, cache):
    out = np.empty_like(dy)
    for i, (row, x_hat) in enumerate(zip(dy * cache.gamma, cache.x_hat, strict=True)):
        jacobian = np.eye(len(row)) - 1 / len(row) - np.outer(x_hat, x_hat) / len(row)
        out[i] = cache.inv_std[i] * jacobian @ row
    return out, np.einsum("nd,nd->d", dy, cache.x_hat), np.einsum("nd->d", dy)


@right
def by_batch_norm_of_the_transpose(dy, cache):
    turned = BatchNormCache(cache.x_hat.T, cache.inv_std.ravel(), None, cache.mean, cache.var)
    dx, _, _ = batch_norm_backward((dy * cache.gamma).T, turned)
    return dx.T, None, None


@right
def by_the_library(dy, cache):
    return layer_norm_backward(dy, cache)


@planted("statistics_over_the_batch")
def batch_norm_s_backward(dy, cache):
    g = dy * cache.gamma
    return closed_form(dy, cache, first=g.mean(axis=0), second=(g * cache.x_hat).mean(axis=0))


@planted("gamma_pulled_out")
def gamma_outside(dy, cache):
    return cache.gamma * closed_form(dy, cache, g=dy)


@planted("gamma_forgotten")
def without_gamma(dy, cache):
    return closed_form(dy, cache, g=dy)


@planted("mean_without_gamma")
def first_without_gamma(dy, cache):
    return closed_form(dy, cache, first=rows(dy))


@planted("along_without_gamma")
def second_without_gamma(dy, cache):
    return closed_form(dy, cache, second=rows(dy * cache.x_hat))


@planted("statistics_constant")
def direct_only(dy, cache):
    return closed_form(dy, cache, first=0, second=0)


@planted("mean_dropped")
def rms_norm_s_backward(dy, cache):
    return closed_form(dy, cache, first=0)


@planted("along_dropped")
def mean_only(dy, cache):
    return closed_form(dy, cache, second=0)


@planted("over_everything")
def no_axis(dy, cache):
    g = dy * cache.gamma
    return closed_form(dy, cache, first=g.mean(), second=(g * cache.x_hat).mean())


@planted("sums_for_means")
def sums(dy, cache):
    g, d = dy * cache.gamma, dy.shape[1]
    return closed_form(dy, cache, first=d * rows(g), second=d * rows(g * cache.x_hat))


@planted("divided_by_examples")
def by_n(dy, cache):
    g, ratio = dy * cache.gamma, dy.shape[1] / len(dy)
    return closed_form(dy, cache, first=ratio * rows(g), second=ratio * rows(g * cache.x_hat))


@planted("n_minus_1")
def unbiased(dy, cache):
    g, ratio = dy * cache.gamma, dy.shape[1] / (dy.shape[1] - 1)
    return closed_form(dy, cache, first=ratio * rows(g), second=ratio * rows(g * cache.x_hat))


@planted("inv_std_forgotten")
def not_divided(dy, cache):
    return closed_form(dy, cache, power=0)


@planted("inv_std_squared")
def divided_twice(dy, cache):
    return closed_form(dy, cache, power=2)


@planted("parameters_per_example")
def summed_along_the_features(dy, cache):
    return closed_form(dy, cache), (dy * cache.x_hat).sum(axis=1), dy.sum(axis=1)


@planted("parameters_averaged")
def averaged(dy, cache):
    return closed_form(dy, cache), (dy * cache.x_hat).mean(axis=0), dy.mean(axis=0)


@planted("dgamma_without_x_hat")
def twice_dbeta(dy, cache):
    return closed_form(dy, cache), dy.sum(axis=0), dy.sum(axis=0)


@planted("gamma_forgotten", "n_minus_1")
def two_at_once(dy, cache):
    ratio = dy.shape[1] / (dy.shape[1] - 1)
    return closed_form(
        dy, cache, g=dy, first=ratio * rows(dy), second=ratio * rows(dy * cache.x_hat)
    )


@other
def zeros(dy, cache):
    return 0 * dy


@other
def passed_through(dy, cache):
    return dy


@other
def a_number(dy, cache):
    return 1.0


@other
def two_values(dy, cache):
    return dy, dy


@other
def an_error(dy, cache):
    return dy @ cache.gamma @ dy @ dy


SEEDS = range(3)


@pytest.mark.parametrize("f", RIGHT)
def test_right_answers_are_right(f):
    for seed in SEEDS:
        assert check_layer_norm_backward(f, seed=seed).right, check_layer_norm_backward(f).text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    for seed in SEEDS:
        answer = check_layer_norm_backward(f, seed=seed)
        assert not answer.right and set(answer.mistakes) == names, (seed, answer.text)
        assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    for seed in SEEDS:
        answer = check_layer_norm_backward(f, seed=seed)
        assert not answer.right and answer.mistakes == (), answer.text


def test_a_stub_is_told_that_it_is_one():
    assert check_layer_norm_backward(lambda dy, cache: None).text.startswith("Not yet")
    assert "f(dy, cache)" in check_layer_norm_backward(lambda dy: dy).text


def test_every_mistake_is_planted_and_leads_somewhere():
    names = set().union(*(p.values[1] for p in PLANTED))
    assert {mistake.name for mistake in exercise.MISTAKES} == names
    assert {mistake.where for mistake in exercise.MISTAKES} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith((".", ".)")) for mistake in exercise.MISTAKES)


def results(way, seed=0):
    return [
        array
        for batch in exercise.made_up_batches(np.random.default_rng(seed))
        for array in outcomes(exercise.STEPS, exercise.OUTPUTS, batch, way)
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_mistakes_differ_from_each_other_and_from_right(seed):
    seen = [("right", results({}, seed))]
    seen += [(one.name, results(way, seed)) for one in exercise.MISTAKES for way in one.ways]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    expected = results({})
    for named, replaced in suspects(exercise.MISTAKES):
        pairs = zip(results(replaced), expected, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]


def test_the_derivation_is_that_of_the_library():
    for batch in exercise.made_up_batches(np.random.default_rng(0)):
        v = follow(exercise.STEPS, batch)
        for got, expected in zip(
            (v.dx, v.dgamma, v.dbeta), layer_norm_backward(batch["dy"], batch["cache"]), strict=True
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
