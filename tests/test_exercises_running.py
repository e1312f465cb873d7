"""The checkers about what batch norm stores and applies, on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib import batch_norm_inference
from bnlib.exercises import check_evaluation, check_running_average, pointers, running
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.layers import BatchNorm

UPDATES = running.made_up_batches(np.random.default_rng(0))
INPUTS = running.made_up_inputs(np.random.default_rng(0))


def update(
    weight=lambda momentum, seen: 1 / (seen + 1) if momentum is None else momentum,
    kept=lambda a: 1 - a,
    mean=lambda x: x.mean(axis=0),
    var=lambda x, old: x.var(axis=0, ddof=1),
):
    def f(running_mean, running_var, x, momentum, seen):
        a = weight(momentum, seen)
        b = kept(a)
        return b * running_mean + a * mean(x), b * running_var + a * var(x, running_mean)

    return f


def by_difference(running_mean, running_var, x, momentum, seen):
    a = momentum if momentum is not None else 1 / (1 + seen)
    mean = np.sum(x, axis=0) / len(x)
    var = ((x - mean) ** 2).sum(axis=0) / (len(x) - 1)
    return [running_mean + a * (mean - running_mean), running_var - a * (running_var - var)]


def by_layer(running_mean, running_var, x, momentum, seen):
    layer = BatchNorm(x.shape[1], momentum=momentum)
    buffers = {"running_mean": running_mean, "running_var": running_var}
    layer.buffers = {**buffers, "num_batches_tracked": np.array(seen)}
    layer.forward(x, training=True)
    return layer.buffers["running_mean"], layer.buffers["running_var"]


def corrected_average(running_mean, running_var, x, momentum, seen):
    a = 1 / (seen + 1) if momentum is None else momentum
    var = ((1 - a) * running_var + a * x.var(axis=0)) * len(x) / (len(x) - 1)
    return (1 - a) * running_mean + a * x.mean(axis=0), var


def ones(momentum, seen):
    return 1 / (seen + 1)


RIGHT = [update(), by_difference, by_layer]
PLANTED = [
    (update(weight=lambda m, k: 1 - m if m is not None else ones(m, k)), {"weights_swapped"}),
    (update(weight=lambda m, k: 1 - (m if m is not None else ones(m, k))), {"weights_swapped"}),
    (update(weight=lambda m, k: m or 0.1), {"none_means_default"}),
    (update(weight=lambda m, k: m or 0), {"none_means_zero"}),
    (update(weight=lambda m, k: m or 1 / k), {"one_batch_off"}),
    (update(weight=lambda m, k: m or 1 / (k + 2)), {"one_batch_off"}),
    (update(kept=lambda a: 1), {"nothing_fades"}),
    (update(weight=lambda m, k: 1, kept=lambda a: 0), {"only_this_batch"}),
    (update(var=lambda x, old: x.var(axis=0)), {"biased_stored"}),
    (update(var=lambda x, old: x.var(axis=0) * len(x) / (len(x) + 1)), {"bessel_upside_down"}),
    (update(var=lambda x, old: x.var(axis=0) * (len(x) - 1) / len(x)), {"bessel_upside_down"}),
    (update(mean=lambda x: x.sum(axis=0) / (len(x) - 1)), {"bessel_on_mean"}),
    (corrected_average, {"bessel_on_average"}),
    (update(var=lambda x, old: x.std(axis=0, ddof=1)), {"std_stored"}),
    (update(var=lambda x, old: x.std(axis=0)), {"std_stored"}),
    (
        update(var=lambda x, old: ((x - old) ** 2).sum(axis=0) / (len(x) - 1)),
        {"around_the_running_mean"},
    ),
    (update(var=lambda x, old: (x**2).sum(axis=0) / (len(x) - 1)), {"not_centred"}),
    (update(var=lambda x, old: x.var(axis=0) * len(x)), {"sum_of_squares"}),
    (
        update(mean=lambda x: x.mean(axis=1), var=lambda x, old: x.var(axis=1, ddof=1)),
        {"over_features"},
    ),
    (update(mean=lambda x: x.mean(), var=lambda x, old: x.var(ddof=1)), {"one_for_all"}),
    (
        update(
            weight=lambda m, k: 1 - m if m is not None else ones(m, k),
            var=lambda x, old: x.var(axis=0),
        ),
        {"weights_swapped", "biased_stored"},
    ),
    (
        update(weight=lambda m, k: m or 1 / k, var=lambda x, old: x.std(axis=0, ddof=1)),
        {"one_batch_off", "std_stored"},
    ),
]
OTHER = [
    lambda running_mean, running_var, x, momentum, seen: (running_mean, running_var),
    lambda running_mean, running_var, x, momentum, seen: (x.mean(axis=0) ** 3, x.max(axis=0)),
    lambda running_mean, running_var, x, momentum, seen: running_mean,
    update(weight=lambda m, k: 0.5),
]


def applied(eps_of=np.add, y=lambda g, x_hat, b: g * x_hat + b, root=np.sqrt):
    def f(x, mean, var, gamma, beta, eps):
        return y(gamma, (x - mean) / root(eps_of(var, eps)), beta)

    return f


def by_batch(x, mean, var, gamma, beta, eps):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta


RIGHT_EVALUATIONS = [
    applied(),
    lambda x, mean, var, gamma, beta, eps: batch_norm_inference(x, mean, var, gamma, beta, eps=eps),
    lambda x, mean, var, gamma, beta, eps: (
        x * (gamma / (var + eps) ** 0.5) + (beta - mean * gamma / (var + eps) ** 0.5)
    ),
]
PLANTED_EVALUATIONS = [
    (by_batch, {"batch_statistics"}),
    (lambda x, m, v, g, b, e: g * (x - x.mean(axis=0)) / np.sqrt(v + e) + b, {"batch_mean"}),
    (lambda x, m, v, g, b, e: g * x / np.sqrt(v + e) + b, {"not_centred"}),
    (lambda x, m, v, g, b, e: g * (x - m) / (np.sqrt(v) + e) + b, {"eps_outside"}),
    (applied(eps_of=lambda var, eps: var), {"eps_forgotten"}),
    (applied(root=lambda v: v), {"variance_for_root"}),
    (applied(eps_of=lambda var, eps: var, root=lambda v: v), {"variance_for_root"}),
    (
        lambda x, m, v, g, b, e: g * (x - m) / np.sqrt(v * len(x) / max(len(x) - 1, 1) + e) + b,
        {"unbiased_twice"},
    ),
    (applied(y=lambda g, x_hat, b: x_hat + b), {"gamma_forgotten"}),
    (applied(y=lambda g, x_hat, b: g * x_hat), {"beta_forgotten"}),
    (applied(y=lambda g, x_hat, b: g * (x_hat + b)), {"beta_inside"}),
    (
        lambda x, m, v, g, b, e: g * (x - m) / (np.sqrt(v) + e),
        {"eps_outside", "beta_forgotten"},
    ),
]

CATALOGUES = {
    "update": (running.UPDATE, ("new_mean", "new_var"), running.UPDATE_MISTAKES, UPDATES, PLANTED),
    "evaluation": (
        running.EVALUATION, ("y",), running.EVALUATION_MISTAKES, INPUTS, PLANTED_EVALUATIONS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("f", RIGHT)
def test_a_right_update_passes_however_it_is_written(f):
    answer = check_running_average(f)
    assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize("f", RIGHT_EVALUATIONS)
def test_a_right_evaluation_passes_however_it_is_written(f):
    answer = check_evaluation(f)
    assert answer.right and answer.text.startswith("Right: "), answer.text


def check_planted(check, f, names):
    answer = check(f)
    assert not answer.right
    assert set(answer.mistakes) == names, answer.text
    assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_mistake_planted_in_the_update_is_named(f, names):
    check_planted(check_running_average, f, names)


@pytest.mark.parametrize(("f", "names"), PLANTED_EVALUATIONS)
def test_a_mistake_planted_in_the_evaluation_is_named(f, names):
    check_planted(check_evaluation, f, names)


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    answer = check_running_average(f)
    assert not answer.right and answer.mistakes == (), answer.text


def test_a_stub_is_told_to_go_on():
    for check, call in (
        (check_running_average, "f(running_mean, running_var, x, momentum, seen)"),
        (check_evaluation, "f(x, mean, var, gamma, beta, eps)"),
    ):
        assert check(lambda *given: ...).text.startswith("Not yet")
        assert call in check(lambda x: x).text.replace("\n", " ")
    assert check_running_average(lambda *given: (..., ...)).text.startswith("Not yet")
    assert "two arrays" in check_running_average(lambda *given: (1.0, 2.0, 3.0)).text


def test_in_place_changes_are_noticed():
    def f(running_mean, running_var, x, momentum, seen):
        new = by_difference(running_mean, running_var, x, momentum, seen)
        running_mean[:] = new[0]
        return new

    assert check_running_average(f).mistakes == ("in_place",)


@pytest.mark.parametrize("name", CATALOGUES)
def test_every_mistake_is_planted_and_leads_somewhere(name):
    *_, mistakes, _, planted = CATALOGUES[name]
    named = set().union(*(names for _, names in planted))
    assert {mistake.name for mistake in mistakes} == named
    assert {mistake.where for mistake in mistakes} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith(".") for mistake in mistakes)


def results(name, way):
    steps, outputs, _, cases, _ = CATALOGUES[name]
    return [one for case in cases for one in outcomes(steps, outputs, case, way)]


@pytest.mark.parametrize("name", CATALOGUES)
def test_mistakes_differ_from_each_other_and_from_right(name):
    seen = [("right", results(name, {}))]
    seen += [(m.name, results(name, way)) for m in CATALOGUES[name][2] for way in m.ways]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


@pytest.mark.parametrize("name", CATALOGUES)
def test_no_two_mistakes_make_a_right_answer(name):
    right = results(name, {})
    for named, replaced in suspects(CATALOGUES[name][2]):
        pairs = zip(results(name, replaced), right, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]


def test_the_derivations_are_those_of_the_library():
    for batch in UPDATES:
        v = follow(running.UPDATE, batch)
        expected = by_layer(**batch)
        np.testing.assert_allclose([v.new_mean, v.new_var], expected, rtol=1e-12)
    for batch in INPUTS:
        y = follow(running.EVALUATION, batch).y
        np.testing.assert_allclose(y, batch_norm_inference(**batch), rtol=1e-12)
