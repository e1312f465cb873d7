"""Intervals and p-values against published examples, definitions and simulation."""

import math

import numpy as np
import pytest

from bnlib.intervals import (
    bootstrap_interval,
    holm,
    p_above,
    p_share_above,
    paired_interval,
    wilson_interval,
)

# Extra hours of sleep by two drugs, the differences of ten patients (Student, 1908).
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def area_of_t(left, degrees, right=400.0, steps=400_000):
    """The area under Student's density from `left` to `right`, by the trapezoid rule."""
    x = np.linspace(left, right, steps + 1)
    scale = math.gamma((degrees + 1) / 2) / math.gamma(degrees / 2) / math.sqrt(degrees * math.pi)
    return np.trapezoid(scale * (1 + x**2 / degrees) ** (-(degrees + 1) / 2), x)


def test_student_s_own_example():
    assert paired_interval(SLEEP) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-7)
    assert 2 * p_above(SLEEP, 0) == pytest.approx(0.002833, abs=5e-7)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 1 - 0.05 / 46])
def test_a_t_interval_leaves_the_area_outside(confidence):
    values = np.random.default_rng(0).normal(3, 2, size=12)
    mean, low, high = paired_interval(values, confidence=confidence)
    assert mean == pytest.approx(values.mean()) and high - mean == pytest.approx(mean - low)
    half = (high - mean) / math.sqrt(values.var(ddof=1) / 12)
    assert 2 * area_of_t(half, 11) == pytest.approx(1 - confidence, rel=1e-4)
    assert p_above(values, low) == pytest.approx((1 - confidence) / 2)
    assert p_above(-values, -high) == pytest.approx((1 - confidence) / 2)


def test_a_t_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    ends = np.array([paired_interval(rng.normal(3, 2, size=5))[1:] for _ in range(5000)])
    assert np.mean((ends[:, 0] <= 3) & (ends[:, 1] >= 3)) == pytest.approx(0.95, abs=0.01)


def test_without_spread_nothing_is_uncertain():
    same = [0.1] * 3  # whose average is not 0.1 in floating point
    assert paired_interval(same) == (0.1, 0.1, 0.1)
    assert (p_above(same, 0.0), p_above(same, 0.1), p_above(same, 0.2)) == (0, 1, 1)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_s_interval_as_published(successes, total, low, high):
    """Newcombe (1998), table I, method 3."""
    share = successes / total
    assert wilson_interval(successes, total) == pytest.approx((share, low, high), abs=5e-5)
    mirrored = wilson_interval(total - successes, total)
    assert mirrored == pytest.approx((1 - share, 1 - high, 1 - low), abs=5e-5)


def test_wilson_s_interval_ends_where_the_share_would_just_be_rejected():
    z = 2.5758293035489004  # of 99 %
    share, *ends = wilson_interval(13, 20, confidence=0.99)
    for truth in ends:
        assert abs(share - truth) == pytest.approx(z * math.sqrt(truth * (1 - truth) / 20))
    assert wilson_interval(0, 7)[:2] == (0, 0) and wilson_interval(7, 7)[::2] == (1, 1)


@pytest.mark.parametrize(
    ("successes", "share"), [(0, 0.5), (3, 0.5), (10, 0.5), (9, 0.8), (2, 0.0)]
)
def test_the_binomial_p_value_is_its_sum(successes, share):
    terms = [math.comb(10, k) * share**k * (1 - share) ** (10 - k) for k in range(successes, 11)]
    assert p_share_above(successes, 10, share) == pytest.approx(math.fsum(terms), rel=1e-12)


def test_bootstrap_percentiles_of_two_values():
    """The mean of two draws from {0, 1} is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4."""
    for confidence, ends in [(0.4, (0.5, 0.5)), (0.6, (0, 1))]:
        interval = bootstrap_interval([0, 1], rng=np.random.default_rng(0), confidence=confidence)
        assert interval == (0.5, *ends)


def test_bootstrap_agrees_with_t_for_many_normal_values():
    values = np.random.default_rng(0).normal(3, 2, size=300)
    found = bootstrap_interval(values, rng=np.random.default_rng(1), confidence=0.9)
    assert found == pytest.approx(paired_interval(values, confidence=0.9), abs=0.02)
    assert found == bootstrap_interval(values, rng=np.random.default_rng(1), confidence=0.9)


def test_holm_rejects_step_by_step():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7):
        p = rng.uniform(size=size) ** 3
        p[size // 2] = p[0]  # a tie
        for alpha in (0.01, 0.05, 0.3, 0.9):
            rejected = set()
            for step, which in enumerate(sorted(range(size), key=lambda i: p[i])):
                if p[which] * (size - step) >= alpha:
                    break
                rejected.add(which)
            # Tied p-values share one fate, here the adjusted one of the first.
            rejected = {i for i in range(size) if any(p[i] == p[j] for j in rejected)}
            assert set(np.flatnonzero(holm(p) < alpha)) == rejected
    assert len(holm([])) == 0


def test_holm_as_r_s_p_adjust():
    adjusted = holm([0.05, 0.01, 0.04, 0.02, 0.03])
    np.testing.assert_allclose(adjusted, [0.09, 0.05, 0.09, 0.08, 0.09], rtol=1e-12)
    np.testing.assert_array_equal(holm([0.9, 0.8]), [1, 1])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: paired_interval([1.0]), "paired_interval: differences must hold .* two seeds"),
        (lambda: paired_interval(np.ones((3, 2))), r"two seeds, got shape \(3, 2\)"),
        (lambda: paired_interval([1.0, np.nan]), "differences must be finite, got"),
        (lambda: p_above([1.0, np.inf], 0), "p_above: values must be finite, got"),
        (lambda: paired_interval([1.0, 2.0], confidence=1), "must lie between 0 and 1, got 1"),
        (lambda: wilson_interval(3, 2), r"wilson_interval: successes must lie in 0\.\.2, got 3"),
        (lambda: wilson_interval(0.5, 2), r"successes must lie in 0\.\.2, got 0.5"),
        (lambda: wilson_interval(0, 0), "total must be at least 1, got 0"),
        (lambda: wilson_interval(1, 2, confidence=0.0), "must lie between 0 and 1, got 0"),
        (lambda: p_share_above(-1, 2, 0.5), r"successes must lie in 0\.\.2, got -1"),
        (lambda: p_share_above(1, 2, 1.5), r"share must lie in \[0, 1\], got 1.5"),
        (
            lambda: bootstrap_interval([1.0], rng=np.random.default_rng(0)),
            "bootstrap_interval: values must hold .* two seeds",
        ),
        (
            lambda: bootstrap_interval([1.0, 2.0], rng=np.random.default_rng(0), resamples=0),
            "resamples must be at least 1, got 0",
        ),
        (lambda: holm([0.1, np.nan]), "holm: p_values must be a list of numbers from 0 to 1"),
        (lambda: holm([[0.1]]), "holm: p_values must be a list of numbers from 0 to 1"),
    ],
)
def test_each_error_is_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
