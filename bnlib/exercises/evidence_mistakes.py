"""An interval and a contrast as named steps, and the mistakes in either."""

import numpy as np

from bnlib.exercises.diagnosis import Mistake
from bnlib.verdicts import Contrast

OWN, RIVAL, RAW = "batch norm", "standardized", "plain"  # the arms


def quantile_of_t(freedom, share):
    """Below which a share of Student's t lies."""
    from scipy import special

    return special.stdtrit(freedom, share)


def quantile_of_normal(share):
    """Below which a share of the normal distribution lies."""
    from scipy import special

    return special.ndtri(share)


def unpaired_error(v):
    """The standard error of a difference of two independent means."""
    return np.sqrt(v.a.var(ddof=v.ddof) + v.b.var(ddof=v.ddof)) / v.root


def freedom_of_welch(v):
    """Welch's degrees of freedom, of as many a as b."""
    variances = np.array([v.a.var(), v.b.var()])
    return (v.count - 1) * variances.sum() ** 2 / (variances**2).sum()


INTERVAL = {
    "differences": lambda v: v.a - v.b,
    "estimate": lambda v: v.differences.mean(),
    "count": lambda v: len(v.a),
    "ddof": lambda v: 1,
    "deviation": lambda v: v.differences.std(ddof=v.ddof),
    "root": lambda v: np.sqrt(v.count),
    "error": lambda v: v.deviation / v.root,
    "freedom": lambda v: v.count - 1,
    "below": lambda v: 0.975,
    "quantile": lambda v: quantile_of_t(v.freedom, v.below),
    "half": lambda v: v.quantile * v.error,
    "low": lambda v: v.estimate - v.half,
    "high": lambda v: v.estimate + v.half,
}
INTERVAL_MISTAKES = (
    Mistake(
        "sign_swapped",
        "paired",
        "The sign is swapped: the difference is a - b, and yours is b - a.",
        ({"differences": lambda v: v.b - v.a},),
    ),
    Mistake(
        "unpaired",
        "paired",
        "a and b are treated as two independent samples. a[i] and b[i] share a seed, and so its "
        "luck: take the differences a - b first, and everything else from these.",
        (
            {"error": unpaired_error},
            {"error": unpaired_error, "freedom": lambda v: 2 * v.count - 2},
            {"error": unpaired_error, "freedom": freedom_of_welch},
        ),
    ),
    Mistake(
        "median_for_mean",
        "interval",
        "The estimate is a median; the interval is one for the mean, and lies around it.",
        (
            {"estimate": lambda v: np.median(v.differences)},
            {"estimate": lambda v: np.median(v.a) - np.median(v.b)},
        ),
    ),
    Mistake(
        "ddof_0",
        "interval",
        "The standard deviation is divided by N (ddof=0). The mean of so few differences was "
        "fitted to them, so their spread around it is too small: divide by N - 1 (ddof=1).",
        ({"ddof": lambda v: 0},),
    ),
    Mistake(
        "deviation_for_error",
        "interval",
        "The half-width has the standard deviation, which says how far seeds lie apart; how well "
        "their mean is known is the standard error, the deviation over √N.",
        ({"root": lambda v: 1},),
    ),
    Mistake(
        "root_forgotten",
        "interval",
        "The standard deviation is divided by N; for the standard error divide it by √N.",
        ({"root": lambda v: v.count},),
    ),
    Mistake(
        "root_of_n_minus_1",
        "interval",
        "N - 1 stands below both roots: with ddof=1 in the deviation, it is divided by √N.",
        ({"root": lambda v: np.sqrt(v.count - 1)},),
    ),
    Mistake(
        "half_width_forgotten",
        "interval",
        "The half-width is one standard error, which is a 68 % interval at best; it takes the "
        "quantile of t times as much.",
        ({"quantile": lambda v: 1},),
    ),
    Mistake(
        "normal_for_t",
        "interval",
        "The half-width takes its 1.96 (or 2) from the normal distribution. With few seeds the "
        "standard error is itself uncertain: take the quantile of Student's t.",
        (
            {"quantile": lambda v: quantile_of_normal(v.below)},
            {"quantile": lambda v: quantile_of_normal(v.below).round(2)},
            {"quantile": lambda v: quantile_of_normal(v.below).round(3)},
            {"quantile": lambda v: 2},
        ),
    ),
    Mistake(
        "freedom_n",
        "interval",
        "t has N degrees of freedom in your interval; N differences around their own mean leave "
        "N - 1.",
        ({"freedom": lambda v: v.count},),
    ),
    Mistake(
        "one_sided",
        "interval",
        "This is the one-sided quantile, .95. Of a 95 % interval, 2.5 % lie out on each side: take "
        "the quantile .975, and both ends.",
        (
            {"below": lambda v: 0.95},
            {"below": lambda v: 0.95, "high": lambda v: np.inf},
            {"below": lambda v: 0.95, "low": lambda v: -np.inf},
        ),
    ),
    Mistake(
        "quantile_rounded",
        "interval",
        "The quantile of t is rounded, as in a printed table; scipy.stats.t.ppf(0.975, N - 1) has "
        "all digits.",
        (
            {"quantile": lambda v: quantile_of_t(v.freedom, v.below).round(3)},
            {"quantile": lambda v: quantile_of_t(v.freedom, v.below).round(2)},
        ),
    ),
    Mistake(
        "percentiles_of_seeds",
        "interval",
        "low and high are percentiles of the differences: they say where single seeds lie, not how "
        "well the mean is known.",
        (
            {
                "low": lambda v: np.percentile(v.differences, 2.5),
                "high": lambda v: np.percentile(v.differences, 97.5),
            },
        ),
    ),
    Mistake(
        "ends_swapped",
        "interval",
        "low and high have changed places.",
        ({"low": lambda v: v.estimate + v.half, "high": lambda v: v.estimate - v.half},),
    ),
)

CONTRAST = {
    "rivals": lambda v: {RIVAL: -1.0},
    "sign": lambda v: 1,
    "weights": lambda v: {arm: v.sign * w for arm, w in {OWN: 1.0, **v.rivals}.items()},
    "wanted": lambda v: "less",
    "smallest": lambda v: 1.25,
    "scale": lambda v: "log",
    "contrast": lambda v: Contrast("", v.measure, v.weights, v.wanted, v.smallest, v.scale),
    "answer": lambda v: v.asked(v.contrast),
}
CONTRAST_MISTAKES = (
    Mistake(
        "turned_round",
        "contrast",
        "The direction is the wrong way round: a small area under the loss is fast. Batch norm "
        "wins with less of it, so (batch norm - rival) has to be less, or (rival - batch norm) "
        "more.",
        ({"sign": lambda v: -1},),
    ),
    Mistake(
        "raw_rival",
        "rival",
        "The rival is the raw plain network. A first batch norm layer also scales the inputs, "
        "which standardizing them does for free: the rival to beat is the standardized one.",
        ({"rivals": lambda v: {RAW: -1.0}},),
    ),
    Mistake(
        "rivals_averaged",
        "rival",
        "The two rivals are averaged, and the weak one makes the strong one easier to beat: weigh "
        "the standardized network alone.",
        ({"rivals": lambda v: {RAW: -0.5, RIVAL: -0.5}},),
    ),
    Mistake(
        "no_difference_wanted",
        "contrast",
        'Wanted is "same", which says yes when batch norm gains nothing; the claim is that it is '
        "faster.",
        ({"wanted": lambda v: "same"},),
    ),
    Mistake(
        "not_worse_wanted",
        "contrast",
        '"not more" and "not less" are content when batch norm is hardly slower; the claim is that '
        "it is faster.",
        ({"wanted": lambda v: "not more"},),
    ),
    Mistake(
        "anything_counts",
        "contrast",
        "The smallest effect is so small that a gain nobody would notice counts. Ask for a "
        "quarter: a ratio of 1.25.",
        (
            {"smallest": lambda v: 1.0},
            {"smallest": lambda v: 1.1},
            {"smallest": lambda v: 1.2},
        ),
    ),
    Mistake(
        "too_demanding",
        "contrast",
        "The smallest effect is so large that a clear gain does not count. Ask for a quarter: a "
        "ratio of 1.25.",
        ({"smallest": lambda v: 1.5}, {"smallest": lambda v: 3.0}),
    ),
    Mistake(
        "difference_for_ratio",
        "contrast",
        "This is a difference of areas, in nats; what counts as much depends on how long and how "
        'hard the training is. scale="log" makes a ratio of it, and a quarter is a quarter '
        "everywhere.",
        ({"scale": lambda v: "linear"},),
    ),
    Mistake(
        "weights_do_not_cancel",
        "contrast",
        "The weights do not add up to 0: if all networks take twice as long, the answer must stay "
        "what it is.",
        (
            {"weights": lambda v: {OWN: 1.0}},
            {"weights": lambda v: {OWN: -1.0}},
            {"weights": lambda v: {OWN: 1.0}, "scale": lambda v: "linear"},
        ),
    ),
)
