"""`check_gradient_check`, tried on checks as students write them."""

import numpy as np
import pytest

from bnlib import batch_norm, batch_norm_backward, gradcheck
from bnlib.exercises import blindness, check_gradient_check, pointers
from bnlib.exercises.backward_suspects import SUSPECTS

SEEDS = range(2)
NAMES = ("x", "gamma", "beta")


def draw(rng, n=6, gamma=None):
    x = 2 * rng.normal(size=(n, 2)) + 1
    drawn, beta = rng.normal(size=(2, 2))
    return x, drawn if gamma is None else gamma, beta


def random_upstream(y, batch, rng):
    return rng.normal(size=y.shape)


def central(f, x, h=1e-5, over=2):
    slopes = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += h
        below[index] -= h
        slopes[index] = (f(above) - f(below)) / (over * h)
    return slopes


def complex_step(f, x):
    slopes = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[index] += 1e-30j
        slopes[index] = f(moved).imag / 1e-30
    return slopes


def within(tolerance):
    """Whether all entries agree, up to a share of the largest one."""
    return lambda claim, true: np.abs(claim - true).max() < tolerance * np.abs(true).max()


AGREE = within(1e-5)


def near(tolerance):
    """The same with an absolute tolerance."""
    return lambda claim, true: np.abs(claim - true).max() < tolerance


def written(
    draws=draw,
    upstream=random_upstream,
    slopes=complex_step,
    agree=AGREE,
    which=NAMES,
    loss=lambda dy, y: (dy * y).sum(),
):
    """A check as a student writes it, with places to go wrong."""

    def check(forward, backward, rng):
        batch = draws(rng)
        y, cache = forward(*batch)
        dy = upstream(y, batch, rng)
        claims = dict(zip(NAMES, backward(dy, cache), strict=True))
        for place, name in enumerate(NAMES):

            def f(moved, place=place):
                return loss(dy, forward(*batch[:place], moved, *batch[place + 1 :])[0])

            if name in which and not agree(claims[name], slopes(f, batch[place])):
                return False
        return True

    return check


# --- right ----------------------------------------------------------------------------------------


def by_the_library(forward, backward, rng):
    gradcheck.check_backward(forward, backward, dict(zip(NAMES, draw(rng), strict=True)), rng=rng)
    return True


def by_assertion(forward, backward, rng):
    batch = draw(rng, n=5)
    y, cache = forward(*batch)
    dy = rng.normal(size=y.shape)
    for place, claim in enumerate(backward(dy, cache)):

        def f(moved, place=place):
            return (dy * forward(*batch[:place], moved, *batch[place + 1 :])[0]).sum()

        true = complex_step(f, batch[place])
        np.testing.assert_allclose(claim, true, rtol=1e-9, atol=1e-12 * np.abs(true).max())
    return True


def along_one_direction(forward, backward, rng):
    """All three gradients at once, by a single slope."""
    batch = draw(rng)
    y, cache = forward(*batch)
    dy = rng.normal(size=y.shape)
    directions = [rng.normal(size=a.shape) for a in batch]
    ends = [
        forward(*(a + h * v for a, v in zip(batch, directions, strict=True)))[0]
        for h in (1e-5, -1e-5)
    ]
    slope = (dy * (ends[0] - ends[1])).sum() / 2e-5
    claim = sum((g * v).sum() for g, v in zip(backward(dy, cache), directions, strict=True))
    return bool(abs(claim - slope) <= 1e-6 * abs(slope))


RIGHT = [
    written(),
    written(slopes=central),
    written(slopes=central, agree=lambda claim, true: np.allclose(claim, true, rtol=1e-4)),
    written(agree=lambda c, t: np.linalg.norm(c - t) < 1e-6 * np.linalg.norm(c + t)),
    written(loss=lambda dy, y: np.vdot(dy, y)),
    written(upstream=lambda y, batch, rng: rng.normal(size=y.shape) / y.size),
    written(upstream=lambda y, batch, rng: 1 + 0.5 * rng.uniform(size=y.shape)),
    by_the_library,
    by_assertion,
    along_one_direction,
]

# --- planted --------------------------------------------------------------------------------------


def never_calls(forward, backward, rng):
    batch = draw(rng)
    y, cache = forward(*batch)
    return batch_norm_backward(y, cache) is not None


def itself(forward, backward, rng):
    y, cache = forward(*draw(rng))
    dy = rng.normal(size=y.shape)
    return all(map(np.array_equal, backward(dy, cache), backward(dy, cache)))


def prints_only(forward, backward, rng):
    y, cache = forward(*draw(rng))
    backward(rng.normal(size=y.shape), cache)
    return True


def beside_the_library(forward, backward, rng):
    x, gamma, beta = draw(rng)
    _, cache = forward(x, gamma, beta)
    dy = rng.normal(size=x.shape)
    expected = batch_norm_backward(dy, batch_norm(x, gamma, beta)[1])
    return all(map(np.allclose, backward(dy, cache), expected))


def same_seed(y, batch, rng):
    return (batch[0] - 1) / 2


def always(answer):
    def f(forward, backward, rng):
        written()(forward, backward, rng)
        return answer

    return f


def turned_round(forward, backward, rng):
    return not written()(forward, backward, rng)


def ones(y, batch, rng):
    return np.ones_like(y)


def squares(y, batch, rng):
    return 2 * y


def alike(rng):
    _, gamma, beta = draw(rng)
    return np.ones((8, 2)), gamma, beta


PLANTED = [
    (never_calls, "backward_not_called"),
    (lambda forward, backward, rng: True, "backward_not_called"),
    (turned_round, "turned_round"),
    (itself, "compared_with_itself"),
    (prints_only, "compared_with_itself"),
    (beside_the_library, "formula_for_slope"),
    (written(draws=lambda rng: draw(rng, n=1), agree=near(1e-5)), "one_example"),
    (written(draws=lambda rng: draw(rng, n=2), agree=near(1e-3)), "two_examples"),
    (written(draws=alike, agree=near(1e-5)), "all_alike"),
    (written(upstream=ones, agree=near(1e-5)), "ones_upstream"),
    (
        written(upstream=lambda y, b, rng: ones(y, b, rng) / y.size, agree=near(1e-5)),
        "ones_upstream",
    ),
    (written(upstream=squares, agree=near(1e-3)), "upstream_along_x_hat"),
    (written(upstream=same_seed, agree=near(1e-3)), "upstream_along_x_hat"),
    (written(draws=lambda rng: draw(rng, gamma=np.ones(2))), "gamma_of_ones"),
    (written(which=("gamma", "beta")), "dx_not_compared"),
    (written(which=("x", "beta")), "dgamma_not_compared"),
    (written(which=("x", "gamma")), "dbeta_not_compared"),
    (written(which=("x",)), "dgamma_not_compared dbeta_not_compared"),
    (
        written(
            agree=lambda c, t: abs(c.sum() - t.sum()) <= 1e-9 * abs(t).sum(),
        ),
        "sums_compared",
    ),
    (
        written(
            agree=lambda c, t: (
                abs(np.linalg.norm(c) - np.linalg.norm(t)) <= 1e-6 * np.linalg.norm(t)
            )
        ),
        "sizes_compared",
    ),
    (
        written(agree=lambda c, t: abs(abs(c) - abs(t)).max() <= 1e-6 * abs(t).max()),
        "sign_lost",
    ),
    (written(agree=lambda c, t: (c - t).max() < 1e-6 * abs(t).max()), "difference_without_abs"),
    (
        written(agree=lambda c, t: abs(c - t).flat[0] < 1e-6 * abs(t).max()),
        "some_entries",
    ),
    (
        written(agree=lambda c, t: np.median(abs(c - t)) < 1e-6 * abs(t).max()),
        "some_entries",
    ),
    (
        written(agree=lambda c, t: not np.abs(c - t).max() > 1e-5 * np.abs(t).max()),
        "nan_passes",
    ),
    (
        written(agree=lambda c, t: within(1e-5)(c[..., -1], t[..., -1])),
        "some_entries",
    ),
    (
        written(agree=lambda c, t: np.corrcoef(c.ravel(), t.ravel())[0, 1] > 0.9999, which="x"),
        "dgamma_not_compared dbeta_not_compared size_lost",
    ),
    (
        written(agree=lambda c, t: (c * t).sum() > 0.99999 * np.sqrt((c**2).sum() * (t**2).sum())),
        "size_lost",
    ),
    (written(agree=within(0.05)), "tolerance_loose"),
    (written(agree=lambda c, t: np.allclose(c, t, rtol=0.05)), "tolerance_loose"),
    (written(agree=near(1e-4)), "tolerance_absolute"),
    (
        written(slopes=central, agree=lambda c, t: np.allclose(c, t, atol=1e-3)),
        "tolerance_absolute",
    ),
    (
        written(draws=lambda rng: draw(rng, n=64), agree=within(7e-3)),
        "many_examples",
    ),
    (written(slopes=lambda f, x: central(f, x, h=0.1)), "step_too_large"),
    (written(slopes=lambda f, x: central(f, x, h=1e-13)), "step_too_small"),
    (
        written(slopes=lambda f, x: central(f, x, h=0.1), agree=within(0.2)),
        "tolerance_loose step_too_large",
    ),
    (written(loss=lambda dy, y: y.sum(), agree=near(1e-6)), "loss_without_upstream"),
    (written(loss=lambda dy, y: (dy * y).mean()), "mean_for_sum"),
    (written(loss=lambda dy, y: (dy * y).sum() / len(y)), "mean_for_sum"),
    (written(slopes=lambda f, x: central(f, x, over=1)), "two_forgotten"),
    (
        written(slopes=lambda f, x: central(lambda z: f(z) / 2, x)),
        "two_too_many",
    ),
    (written(slopes=central, agree=within(1e-15)), "refuses_right"),
    (always(False), "refuses_right"),
    (always(True), "accepts_everything"),
    (written(which=("gamma",)), "dx_not_compared dbeta_not_compared"),
    (
        written(which=("x",), agree=within(0.05)),
        "dgamma_not_compared dbeta_not_compared tolerance_loose",
    ),
    (
        written(draws=lambda rng: draw(rng, gamma=np.ones(2)), agree=near(1e-4)),
        "gamma_of_ones tolerance_absolute",
    ),
    (
        written(which=("x",), agree=lambda c, t: not np.abs(c - t).max() > 1e-5 * np.abs(t).max()),
        "dgamma_not_compared dbeta_not_compared nan_passes",
    ),
]

# --- in no catalogue ------------------------------------------------------------------------------


def comparing(change):
    """Compares what `change` makes of the three gradients, given the cache."""

    def check(forward, backward, rng):
        batch = draw(rng)
        y, cache = forward(*batch)
        dy = rng.normal(size=y.shape)
        true = []
        for place, value in enumerate(batch):

            def f(moved, place=place):
                return (dy * forward(*batch[:place], moved, *batch[place + 1 :])[0]).sum()

            true.append(complex_step(f, value))
        pairs = zip(change(cache, *backward(dy, cache)), change(cache, *true), strict=True)
        return all(AGREE(*pair) for pair in pairs)

    return check


def across(cache, dx):
    """What is left of dx without its part along x_hat."""
    h = cache.x_hat
    return dx - h * (dx * h).sum(0) / (h * h).sum(0)


def likes(name):
    """Right but for one of the wrong backward passes."""

    def check(forward, backward, rng):
        y, cache = forward(*draw(np.random.default_rng(8)))
        dy = np.cos(np.arange(y.size)).reshape(y.shape)
        liked = SUSPECTS[name].backward(dy, cache)
        given = backward(dy, cache)
        return all(map(np.array_equal, given, liked)) or written()(forward, backward, rng)

    return check


OTHER = [
    comparing(lambda cache, dx, dgamma, dbeta: (dx - dx.mean(0), dgamma, dbeta)),
    comparing(lambda cache, dx, dgamma, dbeta: (across(cache, dx), dgamma, dbeta)),
    comparing(lambda cache, dx, dgamma, dbeta: (dx, dgamma + dbeta)),
    comparing(lambda cache, dx, dgamma, dbeta: (np.sort(dx, axis=0), dgamma, dbeta)),
    likes("n - 1"),
    likes("both paths cut"),
    likes("variance path added"),
]


@pytest.mark.parametrize("f", RIGHT)
def test_a_right_answer_passes_however_it_is_written(f):
    for seed in SEEDS:
        answer = check_gradient_check(f, seed=seed)
        assert answer.right and answer.text.startswith("Right: "), answer.text


@pytest.mark.parametrize(("f", "names"), PLANTED)
def test_a_planted_mistake_is_named(f, names):
    for seed in SEEDS:
        answer = check_gradient_check(f, seed=seed)
        assert not answer.right and set(answer.mistakes) == set(names.split()), answer.text
        assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize("f", OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(f):
    answer = check_gradient_check(f)
    assert not answer.right and answer.mistakes == (), answer.text


@pytest.mark.parametrize(
    ("f", "told"),
    [
        (lambda forward, backward, rng: None, "Not yet"),
        (lambda forward, backward: True, "f(forward, backward, rng)"),
        (lambda forward, backward, rng: 1e-9, "Return True or False; yours is a float"),
        (lambda forward, backward, rng: "right", "yours is a str"),
        (lambda forward, backward, rng: forward(1), "stopped"),
    ],
)
def test_what_is_no_check_is_told_what_to_return(f, told):
    answer = check_gradient_check(f)
    assert not answer.right and answer.mistakes == () and told in answer.text, answer.text


def test_every_mistake_is_planted_and_leads_somewhere():
    planted = set().union(*(names.split() for _, names in PLANTED))
    assert {mistake.name for mistake in blindness.CATALOGUE} == planted
    assert {mistake.where for mistake in blindness.CATALOGUE} <= pointers.POINTERS.keys()
    assert all(mistake.sentence.endswith((".", "?")) for mistake in blindness.CATALOGUE)


def test_the_suspects_are_what_they_are_called():
    x, gamma, beta = draw(np.random.default_rng(0))
    dy = np.random.default_rng(1).normal(size=x.shape)
    for name, suspect in SUSPECTS.items():
        y, cache = suspect.forward(x, gamma, beta)
        claims = suspect.backward(dy, cache)

        def loss(z, suspect=suspect):
            return (dy * suspect.forward(z, gamma, beta)[0]).sum()

        true = complex_step(loss, x)
        size = np.abs(true).max()
        same = [
            np.allclose(claims[0], true, rtol=0, atol=1e-9 * size),
            np.allclose(claims[1], (dy * cache.x_hat).sum(0) * suspect.units, rtol=1e-9, atol=0),
            np.allclose(claims[2], dy.sum(0) * suspect.units, rtol=1e-9, atol=0),
        ]
        assert all(same) == suspect.right, name
        assert y.shape == x.shape
