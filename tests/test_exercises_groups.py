"""`check_group_norm`, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib.exercises import check_group_norm, groups, pointers
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.relatives import group_norm, layer_norm

SEEDS = range(3)
CHANNELS = (1, -1, 1, 1)


def written(
    split=lambda x, g: x.reshape(len(x), g, -1),
    axis=-1,
    var=lambda z, m, axis: ((z - m) ** 2).mean(axis, keepdims=True),
    top=lambda z, m: z - m,
    bottom=lambda v, eps: np.sqrt(v + eps),
    joined=lambda z, x: z.reshape(x.shape),
    last=lambda h, g, gamma, beta: gamma.reshape(CHANNELS) * h + beta.reshape(CHANNELS),
):
    """Group norm as a student writes it, with places to go wrong."""

    def f(x, num_groups, gamma, beta, eps):
        z = split(x, num_groups)
        mean = z.mean(axis, keepdims=True)
        h = top(z, mean) / bottom(var(z, mean, axis), eps)
        return last(joined(h, x), num_groups, gamma, beta)

    return f


def maps(x, g):
    return x.reshape(len(x), g, -1, *x.shape[2:])


def in_loops(x, num_groups, gamma, beta, eps):
    y, size = np.empty_like(x), x.shape[1] // num_groups
    for i, c in np.ndindex(x.shape[:2]):
        start = c // size * size
        group = x[i, start : start + size]
        y[i, c] = gamma[c] * (x[i, c] - group.mean()) / np.sqrt(group.var() + eps) + beta[c]
    return y


def by_layer_norm(x, num_groups, gamma, beta, *, eps):
    h, _ = layer_norm(x.reshape(len(x), num_groups, -1), eps=eps)
    return (gamma * np.moveaxis(h.reshape(x.shape), 1, -1) + beta).transpose(0, 3, 1, 2)


def with_split(x, num_groups, gamma, beta, eps):
    parts = np.split(x, num_groups, axis=1)
    axes = {"axis": (1, 2, 3), "keepdims": True}
    h = [(p - p.mean(**axes)) * (p.var(**axes) + eps) ** -0.5 for p in parts]
    return np.concatenate(h, axis=1) * gamma[:, None, None] + beta[:, None, None]


RIGHT = [written(), written(split=maps, axis=(2, 3, 4)), in_loops, by_layer_norm, with_split]
RIGHT.append(group_norm)


def by_group(h, g, gamma, beta):
    a, b = (np.repeat(p[:g], h.shape[1] // g).reshape(CHANNELS) for p in (gamma, beta))
    return a * h + b


def no_gamma(h, g, gamma, beta):
    return h + beta.reshape(CHANNELS)


PLANTED = [
    (written(split=lambda x, g: x.reshape(len(x), x.shape[1] // g, -1)), {"groups_are_sizes"}),
    (
        written(
            split=lambda x, g: x.reshape(len(x), -1, g, *x.shape[2:]),
            axis=(1, 3, 4),
        ),
        {"groups_interleaved"},
    ),
    (written(split=maps, axis=(0, 2, 3, 4)), {"statistics_over_the_batch"}),
    (written(split=maps, axis=2), {"every_place"}),
    (written(split=lambda x, g: x, axis=(2, 3)), {"instance_norm"}),
    (written(split=lambda x, g: x, axis=(1, 2, 3)), {"layer_norm"}),
    (written(split=lambda x, g: x, axis=(0, 1, 2, 3)), {"axes_everything"}),
    (written(var=lambda z, m, axis: z.var(axis, ddof=1, keepdims=True)), {"variance_n_minus_1"}),
    (
        written(var=lambda z, m, axis: (z**2).mean(axis, keepdims=True)),
        {"variance_not_centred"},
    ),
    (written(top=lambda z, m: z), {"numerator_not_centred"}),
    (
        written(top=lambda z, m: z, var=lambda z, m, axis: (z**2).mean(axis, keepdims=True)),
        {"mean_forgotten"},
    ),
    (written(bottom=lambda v, eps: v + eps), {"divided_by_variance"}),
    (written(bottom=lambda v, eps: v**0.5 + eps), {"eps_outside_root"}),
    (written(bottom=lambda v, eps: v**0.5), {"eps_forgotten"}),
    (written(last=no_gamma), {"gamma_forgotten"}),
    (written(last=lambda h, g, gamma, beta: gamma.reshape(CHANNELS) * h), {"beta_forgotten"}),
    (
        written(
            last=lambda h, g, gamma, beta: gamma.reshape(CHANNELS) * (h + beta.reshape(CHANNELS))
        ),
        {"beta_before_gamma"},
    ),
    (written(last=by_group), {"parameters_by_group"}),
    (written(last=lambda h, g, gamma, beta: gamma * h + beta), {"parameters_last_axis"}),
    (
        written(bottom=lambda v, eps: v + eps, last=no_gamma),
        {"divided_by_variance", "gamma_forgotten"},
    ),
    (
        written(split=maps, axis=(0, 2, 3, 4), bottom=lambda v, eps: v**0.5 + eps),
        {"statistics_over_the_batch", "eps_outside_root"},
    ),
    (
        written(split=lambda x, g: x, axis=(2, 3), last=by_group),
        {"instance_norm", "parameters_by_group"},
    ),
    (
        written(
            split=lambda x, g: x.reshape(len(x), x.shape[1] // g, -1),
            last=lambda h, g, gamma, beta: gamma * h + beta,
        ),
        {"groups_are_sizes", "parameters_last_axis"},
    ),
    (lambda *given: written()(*given).astype(np.float32), {"dtype"}),
]

OTHER = [
    lambda x, num_groups, gamma, beta, eps: x,
    lambda x, num_groups, gamma, beta, eps: 0 * x,
    lambda x, num_groups, gamma, beta, eps: written()(x, num_groups, gamma, beta, eps)[::-1],
    written(var=lambda z, m, axis: np.median((z - m) ** 2, axis, keepdims=True)),
    written(bottom=lambda v, eps: np.sqrt(v + eps) * 1.1),
    written(top=lambda z, m: np.abs(z - m)),
]


@pytest.mark.parametrize("f", RIGHT)
def test_a_right_answer_passes_however_it_is_written(f):
    for seed in SEEDS:
        answer = check_group_norm(f, seed=seed)
        assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    for seed in SEEDS:
        answer = check_group_norm(f, seed=seed)
        assert not answer.right and set(answer.mistakes) == names, answer.text
        assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    for seed in SEEDS:
        answer = check_group_norm(f, seed=seed)
        assert not answer.right and answer.mistakes == (), answer.text


def test_a_stub_is_told_that_it_is_one():
    assert check_group_norm(lambda x, num_groups, gamma, beta, eps: None).text.startswith("Not yet")
    assert "f(x, num_groups" in check_group_norm(lambda x: x).text
    assert "return y" in check_group_norm(lambda x, num_groups, gamma, beta, eps: ()).text


def test_every_mistake_is_planted_and_leads_somewhere():
    names = set().union(*(names for _, names in PLANTED)) - {"dtype"}
    assert {mistake.name for mistake in groups.MISTAKES} == names
    assert {mistake.where for mistake in groups.MISTAKES} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith(".") for mistake in groups.MISTAKES)


def results(way, seed=0):
    batches = groups.made_up_batches(np.random.default_rng(seed))
    return [one for batch in batches for one in outcomes(groups.STEPS, ("y",), batch, way)]


@pytest.mark.parametrize("seed", SEEDS)
def test_mistakes_differ_from_each_other_and_from_right(seed):
    seen = [("right", results({}, seed))]
    seen += [(one.name, results(way, seed)) for one in groups.MISTAKES for way in one.ways]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    expected = results({})
    for named, replaced in suspects(groups.MISTAKES):
        pairs = zip(results(replaced), expected, strict=True)
        assert not all(same(*pair) for pair in pairs), [mistake.name for mistake in named]


def test_the_derivation_is_that_of_the_library():
    for batch in groups.made_up_batches(np.random.default_rng(0)):
        y, _ = group_norm(**groups.arguments(batch))
        np.testing.assert_allclose(follow(groups.STEPS, batch).y, y, rtol=1e-12, atol=1e-12)
