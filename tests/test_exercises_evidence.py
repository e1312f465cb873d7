"""The checkers about evidence and weights, tried on answers as students write them."""

import itertools
import statistics

import numpy as np
import pytest
from scipy import stats

from bnlib.exercises import (
    check_contrast,
    check_interval,
    check_rate,
    check_scale,
    evidence,
    pointers,
    weights,
)
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.exercises.evidence_mistakes import CONTRAST, CONTRAST_MISTAKES, freedom_of_welch
from bnlib.verdicts import Contrast, paired_interval

SEEDS = range(5)
RIGHT, PLANTED, OTHER = [], [], []


def right(check):
    """Register a right answer."""
    return lambda f: RIGHT.append(pytest.param(check, f, id=f.__name__)) or f


def planted(check, *names):
    """Register a wrong answer, with the mistakes that are in it."""
    return lambda f: PLANTED.append(pytest.param(check, f, set(names), id=f.__name__)) or f


def other(check):
    """Register a wrong answer that is in no catalogue."""
    return lambda f: OTHER.append(pytest.param(check, f, id=f.__name__)) or f


def seeds_of(check):
    """The seeds to try: one where the checker takes none."""
    return SEEDS if check is check_interval else SEEDS[:1]


def asked(check, f, seed):
    """Call a checker, with a seed if it takes one; its answer must fit a page."""
    answer = check(f, seed=seed) if check is check_interval else check(f)
    assert max(map(len, answer.text.splitlines())) <= 70
    assert "made-\nup" not in answer.text
    return answer


# --- intervals -----------------------------------------------------------------------------------


def around(middle, half):
    return middle, middle - half, middle + half


@right(check_interval)
def interval_of_the_library(a, b):
    return paired_interval(a - b)


@right(check_interval)
def interval_by_scipy(a, b):
    ends = stats.ttest_rel(a, b).confidence_interval(0.95)
    return [(a - b).mean(), ends.low, ends.high]


@right(check_interval)
def interval_of_t(a, b):
    d = a - b
    return np.array([d.mean(), *stats.t.interval(0.95, len(d) - 1, d.mean(), stats.sem(d))])


@right(check_interval)
def interval_in_plain_python(a, b):
    d = [float(one - two) for one, two in zip(a, b, strict=True)]
    error = statistics.stdev(d) / len(d) ** 0.5
    return around(sum(d) / len(d), -stats.t.ppf(0.025, len(d) - 1) * error)


@right(check_interval)
def interval_with_the_other_root(a, b):
    """ddof=0 below √(N - 1) is ddof=1 below √N."""
    error = np.std(a - b) / np.sqrt(len(a) - 1)
    return around(a.mean() - b.mean(), stats.t.ppf(0.975, len(a) - 1) * error)


@planted(check_interval, "unpaired")
def interval_welch(a, b):
    ends = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    return a.mean() - b.mean(), ends.low, ends.high


@planted(check_interval, "unpaired")
def interval_pooled(a, b):
    ends = stats.ttest_ind(a, b).confidence_interval()
    return a.mean() - b.mean(), ends.low, ends.high


@planted(check_interval, "unpaired")
def interval_of_two_errors(a, b):
    error = np.hypot(stats.sem(a), stats.sem(b))
    return around(a.mean() - b.mean(), stats.t.ppf(0.975, len(a) - 1) * error)


@planted(check_interval, "ddof_0")
def interval_ddof(a, b):
    d = a - b
    return around(d.mean(), stats.t.ppf(0.975, len(d) - 1) * d.std() / len(d) ** 0.5)


def half_width(d, *, share=0.975, freedom=-1):
    return stats.t.ppf(share, len(d) + freedom) * stats.sem(d)


@planted(check_interval, "normal_for_t")
def interval_196(a, b):
    return around(np.mean(a - b), 1.96 * stats.sem(a - b))


@planted(check_interval, "normal_for_t")
def interval_normal(a, b):
    return around(np.mean(a - b), stats.norm.ppf(0.975) * stats.sem(a - b))


@planted(check_interval, "normal_for_t")
def interval_two_errors(a, b):
    return around(np.mean(a - b), 2 * stats.sem(a - b))


@planted(check_interval, "half_width_forgotten")
def interval_one_error(a, b):
    return around(np.mean(a - b), stats.sem(a - b))


@planted(check_interval, "deviation_for_error")
def interval_of_the_deviation(a, b):
    d = a - b
    return around(d.mean(), stats.t.ppf(0.975, len(d) - 1) * np.std(d, ddof=1))


@planted(check_interval, "root_forgotten")
def interval_over_n(a, b):
    d = a - b
    return around(d.mean(), stats.t.ppf(0.975, len(d) - 1) * np.std(d, ddof=1) / d.size)


@planted(check_interval, "root_of_n_minus_1")
def interval_twice_n_minus_1(a, b):
    d = a - b
    n = len(d) - 1
    return around(d.mean(), stats.t.ppf(0.975, n) * (((d - d.mean()) ** 2).sum() / n / n) ** 0.5)


@planted(check_interval, "freedom_n")
def interval_freedom(a, b):
    return around(np.mean(a - b), half_width(a - b, freedom=0))


@planted(check_interval, "sign_swapped")
def interval_swapped(a, b):
    return paired_interval(b - a)


@planted(check_interval, "one_sided")
def interval_90(a, b):
    return paired_interval(a - b, confidence=0.9)


@planted(check_interval, "one_sided")
def interval_from_below(a, b):
    d = a - b
    return d.mean(), d.mean() - half_width(d, share=0.95), np.inf


@planted(check_interval, "one_sided")
def interval_from_above(a, b):
    ends = stats.ttest_rel(a, b, alternative="less").confidence_interval()
    return np.mean(a - b), ends.low, ends.high


@planted(check_interval, "median_for_mean")
def interval_median(a, b):
    return around(np.median(a - b), half_width(a - b))


@planted(check_interval, "median_for_mean")
def interval_median_in_the_middle_only(a, b):
    return statistics.median(a - b), *paired_interval(a - b)[1:]


@planted(check_interval, "quantile_rounded")
def interval_from_a_table(a, b):
    table = {4: 3.182, 5: 2.776, 7: 2.447, 10: 2.262, 11: 2.228, 12: 2.201, 13: 2.179}
    quantile = table[len(a)]
    return around(np.mean(a - b), quantile * stats.sem(a - b))


@planted(check_interval, "percentiles_of_seeds")
def interval_percentiles(a, b):
    return np.mean(a - b), *np.quantile(a - b, [0.025, 0.975])


@planted(check_interval, "ends_swapped")
def interval_ends(a, b):
    estimate, low, high = paired_interval(a - b)
    return estimate, high, low


@planted(check_interval, "in_place")
def interval_in_place(a, b):
    a -= b
    return paired_interval(a)


@planted(check_interval, "ddof_0", "normal_for_t")
def interval_ddof_196(a, b):
    return around(np.mean(a - b), 1.96 * np.std(a - b) / len(a) ** 0.5)


@planted(check_interval, "unpaired", "normal_for_t")
def interval_unpaired_196(a, b):
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return around(a.mean() - b.mean(), 1.96 * error)


@planted(check_interval, "unpaired", "ddof_0")
def interval_unpaired_ddof(a, b):
    error = np.sqrt((a.var() + b.var()) / len(a))
    return around(a.mean() - b.mean(), stats.t.ppf(0.975, 2 * len(a) - 2) * error)


@planted(check_interval, "sign_swapped", "unpaired")
def interval_welch_swapped(a, b):
    ends = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    return b.mean() - a.mean(), ends.low, ends.high


@planted(check_interval, "deviation_for_error", "normal_for_t")
def interval_two_sigma(a, b):
    return around(np.mean(a - b), 2 * np.std(a - b, ddof=1))


@planted(check_interval, "deviation_for_error", "ddof_0")
def interval_deviation_ddof(a, b):
    return around(np.mean(a - b), stats.t.ppf(0.975, len(a) - 1) * (a - b).std())


@planted(check_interval, "one_sided", "normal_for_t")
def interval_1645(a, b):
    return around(np.mean(a - b), 1.645 * stats.sem(a - b))


@planted(check_interval, "freedom_n", "ddof_0")
def interval_n_everywhere(a, b):
    d = a - b
    return around(d.mean(), stats.t.ppf(0.975, len(d)) * np.sqrt(d.var() / len(d)))


@other(check_interval)
def interval_99(a, b):
    return paired_interval(a - b, confidence=0.99)


@other(check_interval)
def interval_of_ratios(a, b):
    return paired_interval(a / b)


@other(check_interval)
def interval_bootstrap(a, b):
    chosen = np.random.default_rng(0).integers(len(a), size=(2000, len(a)))
    means = (a - b)[chosen].mean(1)
    return means.mean(), *np.quantile(means, [0.025, 0.975])


@other(check_interval)
def interval_min_to_max(a, b):
    return np.mean(a - b), min(a - b), max(a - b)


@other(check_interval)
def interval_of_nan(a, b):
    return np.nan, np.nan, np.nan


@other(check_interval)
def interval_of_nothing(a, b):
    return 0, 0, 0


# --- the scale of weights ------------------------------------------------------------------------


@right(check_scale)
def scale_he(fan_in, fan_out):
    return np.sqrt(2 / fan_in)


@right(check_scale)
def scale_he_in_two_steps(fan_in, fan_out):
    variance = 1 / (0.5 * fan_in)
    return variance**0.5


@right(check_scale)
def scale_from_half_width(fan_in, fan_out):
    return np.array((6 / fan_in) ** 0.5) / 3**0.5


planted(check_scale, "constant")(lambda fan_in, fan_out: 0.01)
planted(check_scale, "constant")(lambda fan_in, fan_out: np.float64(0.2))
planted(check_scale, "constant")(lambda fan_in, fan_out: 1)


@planted(check_scale, "relu_forgotten")
def scale_lecun(fan_in, fan_out):
    return 1 / np.sqrt(fan_in)


@planted(check_scale, "relu_turned_round")
def scale_halved(fan_in, fan_out):
    return np.sqrt(0.5 / fan_in)


@planted(check_scale, "variance_for_std")
def scale_variance(fan_in, fan_out):
    return 2 / fan_in


@planted(check_scale, "root_over_two_only")
def scale_root_of_two(fan_in, fan_out):
    return 2**0.5 / fan_in


@planted(check_scale, "upside_down")
def scale_upside_down(fan_in, fan_out):
    return np.sqrt(fan_in / 2)


@planted(check_scale, "fan_out")
def scale_backwards(fan_in, fan_out):
    return np.sqrt(2.0 / fan_out)


@planted(check_scale, "glorot")
def scale_glorot(fan_in, fan_out):
    return np.sqrt(2 / (fan_in + fan_out))


@planted(check_scale, "fans_averaged")
def scale_averaged(fan_in, fan_out):
    return np.sqrt(4 / (fan_in + fan_out))


@planted(check_scale, "half_width")
def scale_half_width(fan_in, fan_out):
    return np.sqrt(6 / fan_in)


@planted(check_scale, "half_width", "glorot")
def scale_glorot_uniform(fan_in, fan_out):
    return np.sqrt(6 / (fan_in + fan_out))


@planted(check_scale, "relu_forgotten", "fan_out")
def scale_lecun_backwards(fan_in, fan_out):
    return fan_out**-0.5


@planted(check_scale, "variance_for_std", "glorot")
def scale_glorot_variance(fan_in, fan_out):
    return 2 / (fan_in + fan_out)


@other(check_scale)
def scale_cube(fan_in, fan_out):
    return (2 / fan_in) ** (1 / 3)


@other(check_scale)
def scale_of_both(fan_in, fan_out):
    return (fan_in * fan_out) ** -0.25


@other(check_scale)
def scale_leaky(fan_in, fan_out):
    return np.sqrt(2 / (1.01 * fan_in))


@other(check_scale)
def scale_nan(fan_in, fan_out):
    return np.nan


@other(check_scale)
def scale_zero(fan_in, fan_out):
    return 0


# --- the learning rate ---------------------------------------------------------------------------


@right(check_rate)
def rate_square(lr, factor):
    return lr * factor**2


@right(check_rate)
def rate_twice(lr, factor):
    longer_way = lr * factor
    return longer_way / (1 / factor)


@right(check_rate)
def rate_by_logs(lr, factor):
    return np.exp(np.log(lr) + 2 * np.log(factor))


@planted(check_rate, "unchanged")
def rate_unchanged(lr, factor):
    return lr


@planted(check_rate, "factor_once")
def rate_once(lr, factor):
    return factor * lr


@planted(check_rate, "divided")
def rate_divided(lr, factor):
    return lr / factor


@planted(check_rate, "divided_by_square")
def rate_divided_by_square(lr, factor):
    return lr / factor / factor


@planted(check_rate, "root")
def rate_root(lr, factor):
    return lr * np.sqrt(factor)


@planted(check_rate, "lr_forgotten")
def rate_factor_alone(lr, factor):
    return factor**2


@planted(check_rate, "lr_forgotten", "factor_once")
def rate_factor_itself(lr, factor):
    return factor


@other(check_rate)
def rate_cube(lr, factor):
    return lr * factor**3


@other(check_rate)
def rate_sum(lr, factor):
    return lr + factor**2


@other(check_rate)
def rate_square_of_all(lr, factor):
    return (lr * factor) ** 2


@other(check_rate)
def rate_capped(lr, factor):
    return min(1.0, lr * factor**2)


# --- contrasts -----------------------------------------------------------------------------------

BN, STANDARDIZED, PLAIN = "batch norm", "standardized", "plain"


def contrast(own, rivals, wanted="less", smallest=1.25, scale="log"):
    """A contrast with a name by which a test is called."""
    made = {BN: own, **rivals} if own else rivals
    name = f"{made} {wanted} {smallest:.3g} {scale}"
    return Contrast(name, "loss area", made, wanted, smallest, scale)


def add(to, *more):
    for made, *names in more:
        to.append(pytest.param(check_contrast, made, *map(set, names), id=made.name))


STRONG, WEAK = {STANDARDIZED: -1}, {PLAIN: -1}
add(
    RIGHT,
    (contrast(1, STRONG),),
    (contrast(-1, {STANDARDIZED: 1}, "more"),),
    (contrast(2.0, {STANDARDIZED: -2.0, PLAIN: 0}, "less", 1.25**2),),
    (contrast(-0.5, {STANDARDIZED: 0.5}, "more", 1.25**0.5),),
    (contrast(1, STRONG, "less", 4 / 3),),
)
add(
    PLANTED,
    (contrast(1, STRONG, "more"), {"turned_round"}),
    (contrast(-1, {STANDARDIZED: 1}), {"turned_round"}),
    (contrast(1, WEAK), {"raw_rival"}),
    (contrast(-1, {PLAIN: 1}, "more"), {"raw_rival"}),
    (contrast(1, {PLAIN: -0.5, STANDARDIZED: -0.5}), {"rivals_averaged"}),
    (contrast(1, STRONG, "same"), {"no_difference_wanted"}),
    (contrast(-1, {STANDARDIZED: 1}, "same"), {"no_difference_wanted"}),
    (contrast(1, STRONG, "not more"), {"not_worse_wanted"}),
    (contrast(-1, {STANDARDIZED: 1}, "not less"), {"not_worse_wanted"}),
    (contrast(1, STRONG, smallest=1.0), {"anything_counts"}),
    (contrast(1, STRONG, smallest=1.06), {"anything_counts"}),
    (contrast(1, STRONG, smallest=1.15), {"anything_counts"}),
    (contrast(1, STRONG, smallest=0, scale="linear"), {"anything_counts"}),
    (contrast(-1, {STANDARDIZED: 1}, "more", 0, "linear"), {"anything_counts"}),
    (contrast(1, STRONG, smallest=1.6), {"too_demanding"}),
    (contrast(1, STRONG, smallest=10), {"too_demanding"}),
    (contrast(1, STRONG, smallest=0.25, scale="linear"), {"difference_for_ratio"}),
    (contrast(1, STRONG, smallest=0.01, scale="linear"), {"difference_for_ratio"}),
    (contrast(-1, {STANDARDIZED: 1}, "more", 1.25, "linear"), {"difference_for_ratio"}),
    (contrast(1, {}), {"weights_do_not_cancel"}),
    (contrast(1, {STANDARDIZED: 1}), {"weights_do_not_cancel"}),
    (contrast(1, {STANDARDIZED: -0.5}), {"weights_do_not_cancel"}),
    (contrast(1, {STANDARDIZED: -2}), {"weights_do_not_cancel"}),
    (contrast(1, {STANDARDIZED: -1, PLAIN: -1}), {"weights_do_not_cancel"}),
    (contrast(1, {}, "less", 0.25, "linear"), {"weights_do_not_cancel"}),
    (contrast(1, WEAK, "more"), {"raw_rival", "turned_round"}),
    (contrast(1, WEAK, smallest=1.0), {"raw_rival", "anything_counts"}),
    (contrast(1, WEAK, smallest=0.25, scale="linear"), {"raw_rival", "difference_for_ratio"}),
    (contrast(1, WEAK, "same"), {"raw_rival", "no_difference_wanted"}),
    (contrast(1, STRONG, "more", 0.0, "linear"), {"turned_round", "anything_counts"}),
    (contrast(1, STRONG, "more", 0.1, "linear"), {"turned_round", "difference_for_ratio"}),
)
add(
    OTHER,
    (contrast(0, {STANDARDIZED: 1, PLAIN: -1}),),
    (contrast(0, {STANDARDIZED: 1, PLAIN: -1}, "more"),),
    (contrast(1, {PLAIN: -2, STANDARDIZED: 1}),),
    (contrast(1, STRONG, "less", 500, "linear"),),
    (contrast(0, {STANDARDIZED: 1, PLAIN: -1}, "same"),),
)


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("check", "f"), RIGHT)
def test_a_right_answer_passes_however_it_is_written(check, f):
    for seed in seeds_of(check):
        answer = asked(check, f, seed)
        assert answer.right, answer.text
        assert answer.mistakes == ()
        assert answer.text.startswith("Right: ")


@pytest.mark.parametrize(("check", "f", "names"), PLANTED)
def test_a_planted_mistake_is_named(check, f, names):
    for seed in seeds_of(check):
        answer = asked(check, f, seed)
        assert not answer.right
        assert set(answer.mistakes) == names, (seed, answer.text)
        assert "no name for" not in answer.text.replace("\n", " ")


@pytest.mark.parametrize(("check", "f"), OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(check, f):
    for seed in seeds_of(check):
        answer = asked(check, f, seed)
        assert not answer.right
        assert answer.mistakes == (), answer.text


def test_every_mistake_is_planted():
    for check, catalogue in [
        (check_interval, evidence.INTERVAL_MISTAKES),
        (check_scale, weights.SCALE_MISTAKES),
        (check_rate, weights.RATE_MISTAKES),
        (check_contrast, CONTRAST_MISTAKES),
    ]:
        names = set().union(*(p.values[2] for p in PLANTED if p.values[0] is check))
        assert {mistake.name for mistake in catalogue} == names - {"in_place", "constant"}
        assert {mistake.where for mistake in catalogue} <= pointers.POINTERS.keys()
        assert all(mistake.sentence.endswith((".", ")")) for mistake in catalogue)


def test_the_same_answer_comes_again():
    for check, f, *_ in (p.values for p in [*RIGHT[::4], *PLANTED[::8], *OTHER[::5]]):
        assert check(f) == check(f)


# --- the catalogues ------------------------------------------------------------------------------


def exercises(seed):
    pairs = [evidence.made_up_pair(np.random.default_rng([seed, n]), n) for n in evidence.SEEDS]
    yield evidence.INTERVAL, evidence.OUTPUTS, evidence.INTERVAL_MISTAKES, pairs
    if seed:
        return
    layers = [{"fan_in": one, "fan_out": two} for one, two in weights.LAYERS]
    yield weights.SCALE, ("std",), weights.SCALE_MISTAKES, layers
    cases = [{"lr": one, "factor": two} for one, two in weights.RATES]
    yield weights.RATE, ("rate",), weights.RATE_MISTAKES, cases
    experiments = evidence.made_up_experiments(np.random.default_rng(0))
    yield CONTRAST, ("answer",), CONTRAST_MISTAKES, experiments


@pytest.mark.parametrize("seed", SEEDS)
def test_mistakes_differ_from_each_other_and_from_right(seed):
    for steps, outputs, mistakes, batches in exercises(seed):

        def results(way, steps=steps, outputs=outputs, batches=batches):
            return [array for batch in batches for array in outcomes(steps, outputs, batch, way)]

        seen = [("right", results({}))]
        seen += [(mistake.name, results(way)) for mistake in mistakes for way in mistake.ways]
        for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
            pairs = zip(mine, theirs, strict=True)
            assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_no_two_mistakes_make_a_right_answer():
    for steps, outputs, mistakes, batches in exercises(0):
        for named, replaced in suspects(mistakes):
            undone = all(
                same(mine, np.asarray(getattr(follow(steps, batch), output)))
                for batch in batches
                for output, mine in zip(
                    outputs, outcomes(steps, outputs, batch, replaced), strict=True
                )
            )
            # The deviation with ddof=0 below √(N - 1) is the right standard error.
            names = {mistake.name for mistake in named}
            assert not undone or names == {"ddof_0", "root_of_n_minus_1"}, names


# --- the references ------------------------------------------------------------------------------


def test_the_interval_is_that_of_the_library():
    for pair in next(exercises(0))[3]:
        v = follow(evidence.INTERVAL, pair)
        expected = paired_interval(pair["a"] - pair["b"])
        np.testing.assert_allclose([v.estimate, v.low, v.high], expected, rtol=1e-12)


def test_welch_is_that_of_scipy():
    for pair in next(exercises(0))[3]:
        expected = stats.ttest_ind(pair["a"], pair["b"], equal_var=False).df
        found = freedom_of_welch(follow(evidence.INTERVAL, pair))
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_scale_keeps_the_mean_square():
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(2000, 300)), 0)
    std = follow(weights.SCALE, {"fan_in": 300, "fan_out": 500}).std
    y = np.maximum(x @ rng.normal(scale=std, size=(300, 500)), 0)
    assert abs((y**2).mean() / (x**2).mean() - 1) < 0.1  # the spread of 500 random units


def test_the_rate_takes_the_same_path():
    """Gradient descent on a function of the direction of w alone, as before a batch norm."""
    target = np.array([1.0, 2.0, -1.0])

    def step(w, lr):
        direction = w / np.linalg.norm(w)
        gradient = -(target - direction * (direction @ target)) / np.linalg.norm(w)
        return w - lr * gradient

    small, large = np.array([0.3, -0.2, 0.9]), 3 * np.array([0.3, -0.2, 0.9])
    rate = follow(weights.RATE, {"lr": 0.1, "factor": 3}).rate
    for _ in range(20):
        small, large = step(small, 0.1), step(large, rate)
    np.testing.assert_allclose(large, 3 * small, rtol=1e-12)


def test_a_fair_sceptic_looks_at_the_stronger_rival():
    for (_, plain, own), experiment in zip(
        evidence.EXPERIMENTS, evidence.made_up_experiments(np.random.default_rng(0)), strict=True
    ):
        answer = evidence.ANSWERS[follow(CONTRAST, experiment).answer]
        assert answer == ("yes" if own <= min(1, plain) / 1.25 else "no")


# --- kindness ------------------------------------------------------------------------------------


def raising(error):
    def f(a, b):
        raise error

    return f


KIND = [
    (check_interval, lambda a, b: None, "Not yet: your function returns nothing."),
    (check_interval, lambda a, b: ..., "Not yet: your function returns nothing."),
    (check_interval, lambda a, b: (..., ..., ...), "Not yet: your function returns nothing."),
    (check_interval, lambda a, b: (0.5, ..., None), "Not yet: low and high are missing."),
    (check_interval, lambda a, b: (None, 0, 1), "Not yet: estimate is missing."),
    (check_interval, lambda a, b: (a - b).mean(), "three numbers; yours is a float64."),
    (check_interval, lambda a, b: np.asarray(3.0), "three numbers; yours is a numpy array."),
    (check_interval, lambda a, b: (1, 2), "three numbers; yours are 2."),
    (check_interval, lambda a, b: (a, 1, 2), "estimate must be one number; yours is an array of"),
    (check_interval, lambda a, b: (1, "2", 3), "low must be a number; yours is a str."),
    (check_interval, lambda a, b: (1, 2, 3j), "high must be a number; yours is a complex."),
    (check_interval, lambda a, b: (1, 2, np.complex128(3)), "high must be real"),
    (check_interval, raising(ZeroDivisionError("by 0")), "line 2: ZeroDivisionError: by 0."),
    (check_interval, raising(NotImplementedError()), "Not yet: your function says"),
    (check_interval, lambda a: a, "The checker calls f(a, b); your function takes (a)."),
    (check_interval, None, "got a NoneType"),
    (check_interval, lambda a, b: [0, 0, 0][: len(a)], "estimate is 0 everywhere."),
    (check_scale, lambda fan_in, fan_out: None, "Not yet: your function returns nothing."),
    (check_scale, lambda fan_in, fan_out: ..., "Not yet: your function returns nothing."),
    (check_scale, lambda fan_in, fan_out: np.ones(3), "std must be one number; yours is an array"),
    (check_scale, lambda fan_in, fan_out: [0.1], "std must be a number; yours is a list."),
    (check_scale, lambda fan_in, fan_out: np.nan, "for fan_in = 50 and fan_out = 20 is std: 0.2"),
    (check_scale, lambda fan_in, fan_out: 1 / (fan_in - 20), "For fan_in = 50 and fan_out = 20 it"),
    (check_scale, lambda fan_in, fan_out: 1 / 0, "ZeroDivisionError: division by zero."),
    (check_scale, lambda n: n, "The checker calls f(fan_in, fan_out); your function takes (n)."),
    (check_scale, 0.1, "wants the function itself, f(fan_in, fan_out)"),
    (check_rate, lambda lr, factor: None, "Not yet: your function returns nothing."),
    (check_rate, lambda lr, factor: {}, "rate must be a number; yours is a dict."),
    (check_rate, lambda lr, factor: lr * 10**400, "OverflowError"),
    (check_rate, lambda lr, factor: 10**400, "rate must hold numbers"),
    (check_rate, rate_cube, "0.4 is right, yours is 0.8."),
    (check_contrast, None, "Not yet: there is no contrast."),
    (check_contrast, ..., "Not yet: there is no contrast."),
    (check_contrast, (contrast(1, STRONG),), "wants one Contrast; got a tuple."),
    (check_contrast, contrast(1, {"simple": -1}), "of the arm 'simple'"),
    (check_contrast, contrast(1, {}, "most", 0.5, "linear"), "needs values of 0 and 1"),
]


@pytest.mark.parametrize(("check", "f", "sentence"), KIND)
def test_whatever_comes_is_answered_in_a_sentence(check, f, sentence):
    answer = check(f)
    assert not answer.right and answer.mistakes == ()
    assert sentence in answer.text.replace("\n", " "), answer.text
    assert "Traceback" not in answer.text and "times the right one" not in answer.text


def test_another_measure_is_named():
    made = Contrast("BN", "test accuracy", {BN: 1, STANDARDIZED: -1}, "more", 0.01)
    answer = check_contrast(made)
    assert answer.mistakes == ("other_measure",)
    assert "is 'loss area'." in answer.text.replace("\n", " ")


def test_an_unknown_interval_is_shown_where_it_is():
    text = check_interval(interval_99).text
    assert text.startswith("Not right yet: low and high. (estimate is right.)")
    assert "for 5 seeds is low: " in text.replace("\n", " ")
    first = evidence.made_up_pair(np.random.default_rng(0), evidence.SEEDS[0])
    shown = {"array": np.array}
    block = text.split("The first pair of arrays was:\n")[1]
    exec("\n".join(line.strip() for line in block.splitlines()), shown)
    for name, values in first.items():
        np.testing.assert_array_equal(shown[name], values)


def test_a_wrong_contrast_is_shown_an_experiment():
    text = check_contrast(contrast(1, WEAK)).text.replace("\n", " ")
    assert "to which it says 'yes', and a fair sceptic 'no':     plain = [" in text


def test_the_book_asks_about_its_own_experiments():
    wrong = contrast(1, WEAK)
    assert check_contrast(wrong) == check_contrast(wrong, seed=0) != check_contrast(wrong, seed=1)


def test_every_seed_makes_its_own_numbers():
    assert len({check_interval(interval_99, seed=seed).text for seed in SEEDS}) == len(SEEDS)
