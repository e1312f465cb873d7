"""`check_whitening`, tried on answers as students write them."""

import itertools

import numpy as np
import pytest

from bnlib.exercises import check_whitening, pointers
from bnlib.exercises import whitening as exercise
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.whitening import whiten

RIGHT, PLANTED, OTHER = [], [], []


def right(f):
    RIGHT.append(pytest.param(f, id=f.__name__))


def planted(*names):
    return lambda f: PLANTED.append(pytest.param(f, set(names), id=f.__name__))


def other(f):
    OTHER.append(pytest.param(f, id=f.__name__))


def centre(x):
    return x - x.mean(axis=0)


def spread_of(x, eps):
    return np.cov(x.T, bias=True) + eps * np.eye(x.shape[1])


def root(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**power) @ vectors.T


@right
def by_eigenvectors(x, eps):
    return centre(x) @ root(spread_of(x, eps), -0.5)


@right
def by_keyword(x, *, eps):
    return whiten(x, eps=eps)[0]


@right
def by_singular_values(x, eps):
    u, s, v = np.linalg.svd(centre(x), full_matrices=False)
    inside = u * (s / np.sqrt(s**2 / len(x) + eps)) @ v
    return inside


@right
def in_float32(x, eps):
    return by_hand(x.astype(np.float32), eps).astype(np.float32)


def by_hand(x, eps):
    values, vectors = np.linalg.eigh(centre(x).T @ centre(x) / len(x))
    return centre(x) @ (vectors / np.sqrt(np.maximum(values, 0) + eps)) @ vectors.T


@planted("mean_forgotten")
def nowhere_centred(x, eps):
    return x @ root(x.T @ x / len(x) + eps * np.eye(x.shape[1]), -0.5)


@planted("numerator_not_centred")
def not_centred_in_front(x, eps):
    return x @ root(spread_of(x, eps), -0.5)


@planted("covariance_not_centred")
def not_centred_inside(x, eps):
    return centre(x) @ root(x.T @ x / len(x) + eps * np.eye(x.shape[1]), -0.5)


@planted("covariance_is_sum")
def summed(x, eps):
    return centre(x) @ root(centre(x).T @ centre(x) + eps * np.eye(x.shape[1]), -0.5)


@planted("covariance_n_minus_1")
def unbiased(x, eps):
    return centre(x) @ root(np.cov(x.T) + eps * np.eye(x.shape[1]), -0.5)


@planted("batch_norm")
def each_for_itself(x, eps):
    return centre(x) / np.sqrt(x.var(axis=0) + eps)


@planted("eps_forgotten")
def without_eps(x, eps):
    return centre(x) @ root(np.cov(x.T, bias=True) + 1e-30 * np.eye(x.shape[1]), -0.5)


@planted("eps_everywhere")
def eps_on_every_entry(x, eps):
    return centre(x) @ root(np.cov(x.T, bias=True) + eps, -0.5)


@planted("root_forgotten")
def inverse(x, eps):
    return centre(x) @ np.linalg.inv(spread_of(x, eps))


@planted("not_inverted")
def stretched(x, eps):
    return centre(x) @ root(spread_of(x, eps), 0.5)


@planted("entry_by_entry")
def power_of_entries(x, eps):
    return centre(x) @ spread_of(x, eps) ** -0.5


@planted("entry_by_entry")
def root_of_entries(x, eps):
    return centre(x) @ np.sqrt(np.linalg.inv(spread_of(x, eps)))


@planted("turned")
def by_the_triangle(x, eps):
    return centre(x) @ np.linalg.inv(np.linalg.cholesky(spread_of(x, eps))).T


@planted("turned")
def in_the_basis_of_the_eigenvectors(x, eps):
    values, vectors = np.linalg.eigh(spread_of(x, eps))
    return centre(x) @ vectors / np.sqrt(values)


@planted("covariance_n_minus_1", "eps_everywhere")
def two_at_once(x, eps):
    return centre(x) @ root(np.cov(x.T) + eps, -0.5)


@other
def nothing_but_zeros(x, eps):
    return 0 * x


@other
def as_it_came(x, eps):
    return x


@other
def only_turned(x, eps):
    return centre(x) @ np.linalg.eigh(spread_of(x, eps))[1]


@other
def a_number(x, eps):
    return 1.0


@other
def an_error(x, eps):
    return x @ x @ x[0, 0, 0]


SEEDS = range(3)


@pytest.mark.parametrize("f", RIGHT)
def test_right_answers_are_right(f):
    for seed in SEEDS:
        assert check_whitening(f, seed=seed).right, check_whitening(f, seed=seed).text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    for seed in SEEDS:
        answer = check_whitening(f, seed=seed)
        assert not answer.right and set(answer.mistakes) == names, (seed, answer.text)
        assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    for seed in SEEDS:
        answer = check_whitening(f, seed=seed)
        assert not answer.right and answer.mistakes == (), answer.text


def test_a_stub_is_told_that_it_is_one():
    assert check_whitening(lambda x, eps: None).text.startswith("Not yet")
    assert "f(x, eps)" in check_whitening(lambda x: x).text


def test_every_mistake_is_planted():
    names = set().union(*(p.values[1] for p in PLANTED))
    assert {mistake.name for mistake in exercise.MISTAKES} == names - {"turned"}
    assert {mistake.where for mistake in exercise.MISTAKES} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith(".") for mistake in exercise.MISTAKES)


def batches(seed):
    return exercise.made_up_batches(np.random.default_rng(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_mistakes_differ_from_each_other_and_from_right(seed):
    def results(way):
        return [
            array
            for batch in batches(seed)
            for array in outcomes(exercise.STEPS, ("y",), batch, way)
        ]

    seen = [("right", results({}))]
    seen += [(one.name, results(way)) for one in exercise.MISTAKES for way in one.ways]
    for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
        pairs = zip(mine, theirs, strict=True)
        assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    for named, replaced in suspects(exercise.MISTAKES):
        undone = all(
            same(
                outcomes(exercise.STEPS, ("y",), batch, replaced)[0],
                follow(exercise.STEPS, batch).y,
            )
            for batch in batches(0)
        )
        assert not undone, [mistake.name for mistake in named]


def test_the_derivation_is_that_of_the_library():
    for batch in batches(0):
        expected = whiten(batch["x"], eps=batch["eps"])[0]
        np.testing.assert_allclose(follow(exercise.STEPS, batch).y, expected, rtol=1e-9, atol=1e-12)
