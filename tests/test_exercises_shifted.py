"""The checkers about shifted inputs, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib import ood
from bnlib.exercises import check_energy, check_mixed_statistics, pointers, shifted
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.layers import BatchNorm

RNG = np.random.default_rng


def mixed(weight="n", own_axis=0, root=True, outside=0.0, inside=1.0, biased=0):
    """A student's mixed statistics with some places to go wrong."""

    def f(x, mean, var, prior, eps):
        n = {"n": len(x), "size": x.size, "units": x.shape[1]}[weight]
        a = n / (n + prior)
        own_var = x.var(axis=own_axis, ddof=biased)
        both = (1 - a) * var + a * own_var + inside * eps
        bottom = (np.sqrt(both) if root else both) + outside * eps
        return (x - ((1 - a) * mean + a * x.mean(axis=0))) / bottom

    return f


def weighted(weight):
    """The right mixture at another weight."""

    def f(x, mean, var, prior, eps):
        a = weight(len(x), prior)
        both = (1 - a) * var + a * x.var(0)
        return (x - (1 - a) * mean - a * x.mean(0)) / np.sqrt(both + eps)

    return f


def by(mean=None, var=None, finish=None):
    """With another mixed mean or variance, or another last line."""

    def f(x, stored_mean, stored_var, prior, eps):
        a, m, v = len(x) / (len(x) + prior), x.mean(0), x.var(0)
        both_m = (1 - a) * stored_mean + a * m if mean is None else mean(a, stored_mean, m)
        both_v = (1 - a) * stored_var + a * v
        if var is not None:
            both_v = var(a, stored_mean, stored_var, m, v, x)
        if finish:
            return finish(x, a, stored_mean, stored_var, m, v, eps)
        return (x - both_m) / np.sqrt(both_v + eps)

    return f


def layer_of_the_library(x, mean, var, prior, eps):
    layer = BatchNorm(x.shape[1], eps=eps)
    layer.buffers = {"running_mean": mean, "running_var": var}
    with ood.mixed_statistics(layer, x, prior=prior) as y:
        return y


def plain_energy(logits, t):
    return -t * np.log(np.exp(logits / t).sum(axis=1))


RIGHT = {
    check_mixed_statistics: [(mixed(),), (layer_of_the_library,)],
    check_energy: [(plain_energy,), (lambda logits, t: ood.energy(logits, temperature=t),)],
}
PLANTED = {
    check_mixed_statistics: [
        (weighted(lambda n, prior: prior / (prior + n)), {"prior_on_the_other_side"}),
        (weighted(lambda n, prior: 1), {"own_statistics_only"}),
        (weighted(lambda n, prior: 0), {"stored_statistics_only"}),
        (weighted(lambda n, prior: 0.5), {"half_and_half"}),
        (mixed("size"), {"numbers_counted"}),
        (mixed("units"), {"units_counted"}),
        (
            by(var=lambda a, M, V, m, v, x: (1 - a) * V + a * v + a * (1 - a) * (m - M) ** 2),
            {"pooled_variance"},
        ),
        (
            by(var=lambda a, M, V, m, v, x: ((1 - a) * V**0.5 + a * v**0.5) ** 2),
            {"deviations_mixed"},
        ),
        (
            by(
                finish=lambda x, a, M, V, m, v, eps: (
                    (1 - a) * (x - M) / (V + eps) ** 0.5 + a * (x - m) / (v + eps) ** 0.5
                )
            ),
            {"outputs_mixed"},
        ),
        (by(mean=lambda a, stored, own: stored), {"mean_not_mixed"}),
        (by(mean=lambda a, stored, own: own), {"mean_not_mixed"}),
        (by(var=lambda a, M, V, m, v, x: V), {"variance_not_mixed"}),
        (
            by(var=lambda a, M, V, m, v, x: (1 - a) * V + a * ((x - M) ** 2).mean(0)),
            {"around_the_stored_mean"},
        ),
        (by(var=lambda a, M, V, m, v, x: (1 - a) * V + a * (x**2).mean(0)), {"not_centred"}),
        (mixed(biased=1), {"unbiased"}),
        (mixed(outside=1, inside=0), {"eps_outside_the_root"}),
        (mixed(inside=0), {"eps_forgotten"}),
        (mixed(root=False), {"variance_for_std"}),
        (mixed("size", biased=1), {"numbers_counted", "unbiased"}),
    ],
    check_energy: [
        (lambda z, t: -plain_energy(z, t), {"sign"}),
        (lambda z, t: plain_energy(z, t) / t, {"temperature_not_in_front"}),
        (lambda z, t: t * plain_energy(z, 1), {"temperature_not_inside"}),
        (lambda z, t: -t * np.log(np.exp(z * t).sum(axis=1)), {"temperature_multiplied"}),
        (lambda z, t: plain_energy(z, t) / t**2, {"divided_in_front"}),
        (lambda z, t: -t * np.exp(z / t).sum(axis=1), {"log_forgotten"}),
        (lambda z, t: -t * np.log(np.exp(z / t).mean(axis=1)), {"mean_for_sum"}),
        (lambda z, t: -z.max(axis=1), {"largest_logit"}),
        (
            lambda z, t: -t * np.log(np.exp((z - z.max(axis=1)[:, None]) / t).sum(axis=1)),
            {"shift_not_added"},
        ),
        (
            lambda z, t: -t * np.log(np.exp(z / t).sum() + np.zeros(len(z))),
            {"over_examples"},
        ),
        (lambda z, t: plain_energy(z, t) / np.log(2), {"other_logarithm"}),
        (
            lambda z, t: t * np.log(np.exp(z).sum(axis=1)),
            {"sign", "temperature_not_inside"},
        ),
    ],
}
CATALOGUES = {
    check_mixed_statistics: (
        "x_hat", shifted.MIXED, shifted.MIXED_MISTAKES, shifted.mixed_cases(RNG(0)),
    ),
    check_energy: (
        "energy", shifted.ENERGY, shifted.ENERGY_MISTAKES, shifted.energy_cases(RNG(0)),
    ),
}  # fmt: skip
CHECKERS = list(CATALOGUES)


def flat(table):
    return [(checker, *item) for checker in CHECKERS for item in table[checker]]


@pytest.mark.parametrize(("check", "f"), flat(RIGHT))
def test_a_right_answer_passes_however_it_is_written(check, f):
    answer = check(f)
    assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize(("check", "f", "names"), flat(PLANTED))
def test_a_planted_mistake_is_named(check, f, names):
    answer = check(f)
    assert not answer.right
    assert set(answer.mistakes) == names, answer.text
    assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("check", CHECKERS)
def test_what_has_no_name_is_called_wrong_and_gets_none(check):
    first = CATALOGUES[check][3][0]
    right = follow(CATALOGUES[check][1], first)
    size = np.asarray(getattr(right, CATALOGUES[check][0])).shape
    for wrong in (np.full(size, 0.123), np.full(size, np.nan)):
        answer = check(lambda *given, wrong=wrong: wrong)
        assert not answer.right and "sign" not in answer.mistakes


def test_a_stub_is_told_to_go_on():
    assert check_energy(lambda logits, temperature: ...).text.startswith("Not yet")
    stub = check_mixed_statistics(lambda x, mean, var, prior, eps: None)
    assert stub.text.startswith("Not yet")
    assert "f(logits, temperature)" in check_energy(lambda logits: logits).text


@pytest.mark.parametrize("check", CHECKERS)
def test_every_mistake_is_planted_and_leads_somewhere(check):
    mistakes = CATALOGUES[check][2]
    named = set().union(*(names for _, names in PLANTED[check]))
    assert {mistake.name for mistake in mistakes} == named
    assert {mistake.where for mistake in mistakes} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith(".") for mistake in mistakes)
    assert len(mistakes) >= 8


def results(check, way):
    output, steps, _, cases = CATALOGUES[check]
    return [one for case in cases for one in outcomes(steps, (output,), case, way)]


@pytest.mark.parametrize("check", CHECKERS)
def test_mistakes_differ_from_each_other_and_from_right(check):
    mistakes = CATALOGUES[check][2]
    seen = [("right", results(check, {}))]
    seen += [(m.name, results(check, way)) for m in mistakes for way in m.ways]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


@pytest.mark.parametrize("check", CHECKERS)
def test_no_two_mistakes_make_a_right_answer(check):
    right = results(check, {})
    for named, replaced in suspects(CATALOGUES[check][2]):
        pairs = zip(results(check, replaced), right, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]
