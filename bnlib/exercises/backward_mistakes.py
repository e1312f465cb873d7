"""Mistakes in dx alone; `parameter_mistakes` has the others of the backward pass."""

from bnlib.exercises.derivations import without_eps
from bnlib.exercises.diagnosis import Mistake

# In the order of the three paths; then the whole.
MISTAKES = (
    Mistake(
        "statistics_constant",
        "dx",
        "The mean and the variance are taken as constants. Each x also moves the mean and the "
        "variance of its channel, and so every other x_hat: two paths of dx are missing.",
        ({"by_mean": lambda v: 0, "by_var": lambda v: 0},),
    ),
    Mistake(
        "direct_path_dropped",
        "dx",
        "The direct path is missing from dx: dx_hat * inv_std, before mean and variance have "
        "their say.",
        ({"direct": lambda v: 0},),
    ),
    Mistake(
        "direct_path_without_gamma",
        "dx_hat",
        "gamma is missing in the direct path of dx: what reaches x_hat is dy * gamma.",
        ({"direct_dy": lambda v: v.upstream},),
    ),
    Mistake(
        "direct_path_without_inv_std",
        "dx",
        "inv_std is missing in the direct path of dx: x_hat is (x - mean) * inv_std.",
        ({"direct_slope": lambda v: 1},),
    ),
    Mistake(
        "direct_path_divided",
        "closed_form",
        "dy is divided by N in the direct path. With 1/N in front of the whole, dy needs an N.",
        ({"direct_slope": lambda v: v.slope / v.count},),
    ),
    Mistake(
        "mean_path_dropped",
        "dmean",
        "The mean path is missing from dx. Each x moves the mean of its channel, and the mean is "
        "subtracted from every x: dx loses the average of dx_hat * inv_std.",
        ({"by_mean": lambda v: 0},),
    ),
    Mistake(
        "mean_path_flipped",
        "dmean",
        "The mean path has the wrong sign: the mean is subtracted, so its gradient is negative.",
        ({"by_mean": lambda v: -v.dmean * v.mean_outside / v.mean_count},),
    ),
    Mistake(
        "mean_path_not_divided",
        "dmean",
        "The mean path lacks 1/N: x moves the mean by 1/N of its own step.",
        ({"mean_count": lambda v: 1},),
    ),
    Mistake(
        "mean_path_n_minus_1",
        "dmean",
        "The mean path is divided by N - 1; the mean is divided by N.",
        ({"mean_count": lambda v: v.count - 1},),
    ),
    Mistake(
        "mean_path_without_gamma",
        "dmean",
        "gamma is missing in the mean path: dmean collects dx_hat, which is dy * gamma.",
        ({"mean_dy": lambda v: v.upstream},),
    ),
    Mistake(
        "mean_path_without_inv_std",
        "dmean",
        "inv_std is missing in the mean path: x_hat is (x - mean) * inv_std.",
        ({"mean_slope": lambda v: 1},),
    ),
    Mistake(
        "mean_path_over_everything",
        "dmean",
        "The mean path adds up over the whole array: without an axis, numpy takes all channels "
        "together.",
        (
            {"by_mean": lambda v: -(v.dx_hat * v.slope).mean()},
            {"by_mean": lambda v: -v.slope * v.dx_hat.mean()},
            {"by_mean": lambda v: -v.slope * v.gamma * v.upstream.mean()},
            {"dmean": lambda v: -(v.dx_hat * v.slope).sum()},
        ),
    ),
    Mistake(
        "variance_path_dropped",
        "dvar",
        "The variance path is missing from dx. Each x moves the variance of its channel, and every "
        "x is divided by its root: dx loses what dx_hat has along x_hat.",
        ({"by_var": lambda v: 0},),
    ),
    Mistake(
        "variance_path_flipped",
        "dvar",
        "The variance path has the wrong sign: a larger variance makes x_hat smaller, so the slope "
        "of the inverse root is negative.",
        ({"by_var": lambda v: -v.dvar * v.two * v.square_base / v.var_count},),
    ),
    Mistake(
        "variance_path_not_divided",
        "dvar",
        "The variance path lacks 1/N: the variance is an average of squares.",
        ({"var_count": lambda v: 1},),
    ),
    Mistake(
        "variance_path_n_minus_1",
        "dvar",
        "The variance path is divided by N - 1; the variance of the forward pass is biased, with "
        "N.",
        ({"var_count": lambda v: v.count - 1},),
    ),
    Mistake(
        "variance_path_without_2",
        "dvar",
        "The variance path is half of what it should be: the square of x - mean has the slope "
        "2 (x - mean).",
        ({"two": lambda v: 1},),
    ),
    Mistake(
        "variance_path_without_half",
        "dvar",
        "The variance path is twice what it should be: the inverse root has the slope "
        "-1/2 (var + eps)^(-3/2), and the 1/2 is missing.",
        ({"root_factor": lambda v: -1},),
    ),
    Mistake(
        "variance_path_exponent",
        "dvar",
        "The variance path has the wrong power of var + eps: the slope of (var + eps)^(-1/2) is "
        "-1/2 (var + eps)^(-3/2). In the closed form both factors are x_hat, not x - mean.",
        (
            {"root_power": lambda v: v.inv_std},
            {"root_power": lambda v: v.inv_std**2},
        ),
    ),
    Mistake(
        "variance_path_not_centred",
        "dvar",
        "The variance path has x where x - mean (or x_hat) belongs: the variance is an average of "
        "(x - mean) squared.",
        (
            {"square_base": lambda v: v.x},
            {"square_base": lambda v: v.x / v.inv_std},
            {"var_factor": lambda v: v.x},
            {"var_factor": lambda v: v.x / v.inv_std},
        ),
    ),
    Mistake(
        "variance_path_without_x_hat",
        "dvar",
        "The variance path lacks one of its two factors x - mean (x_hat in the closed form): one "
        "stands in the sum of dvar, the other comes from the slope of the square.",
        (
            {"square_base": lambda v: 1},
            {"square_base": lambda v: 1 / v.inv_std},
            {"var_factor": lambda v: 1},
            {"var_factor": lambda v: 1 / v.inv_std},
        ),
    ),
    Mistake(
        "variance_path_without_gamma",
        "dvar",
        "gamma is missing in the variance path: dvar collects dx_hat, which is dy * gamma.",
        ({"var_dy": lambda v: v.upstream},),
    ),
    Mistake(
        "variance_path_over_everything",
        "dvar",
        "The variance path adds up over the whole array: without an axis, numpy takes all channels "
        "together.",
        (
            {"by_var": lambda v: -v.x_hat * v.slope * (v.dx_hat * v.x_hat).mean()},
            {"by_var": lambda v: -v.x_hat * v.slope * v.gamma * (v.upstream * v.x_hat).mean()},
            {"dvar": lambda v: (v.var_dy * v.centred).sum() * v.root_factor * v.root_power},
            {"dvar": lambda v: (v.var_dy * v.centred * v.root_factor * v.root_power).sum()},
        ),
    ),
    Mistake(
        "gamma_forgotten",
        "dx_hat",
        "gamma is missing from dx: what reaches x_hat is dy * gamma.",
        ({"dx_hat": lambda v: v.upstream},),
    ),
    Mistake(
        "gamma_twice",
        "dx_hat",
        "gamma is applied twice in dx: dx_hat is dy * gamma, and that is all.",
        ({"dx_hat": lambda v: v.upstream * v.gamma**2},),
    ),
    Mistake(
        "inv_std_forgotten",
        "dx",
        "inv_std is missing from dx: x_hat is (x - mean) * inv_std.",
        ({"scaled": lambda v: v.paths / v.inv_std}, {"slope": lambda v: 1.0}),
    ),
    Mistake(
        "divided_by_variance",
        "dx",
        "dx is divided by var + eps; it is divided by the root of it, that is, multiplied by "
        "inv_std once.",
        ({"scaled": lambda v: v.paths * v.inv_std}, {"slope": lambda v: v.inv_std**2}),
    ),
    Mistake(
        "multiplied_by_std",
        "dx",
        "dx is multiplied by the standard deviation where it should be divided by it.",
        ({"scaled": lambda v: v.paths / v.inv_std**2}, {"slope": lambda v: 1 / v.inv_std}),
    ),
    Mistake(
        "eps_forgotten",
        "eps",
        "eps is missing: the root is that of var + eps, and cache.inv_std has it already.",
        (
            {"scaled": lambda v: v.paths / v.inv_std * without_eps(v)},
            {"slope": without_eps},
            {"root_power": lambda v: without_eps(v) ** 3},
            {"slope": without_eps, "root_power": lambda v: without_eps(v) ** 3},
        ),
    ),
    Mistake(
        "n_minus_1",
        "dx",
        "Both sums of dx are divided by N - 1; mean and variance of the forward pass are divided "
        "by N.",
        ({"path_count": lambda v: v.count - 1},),
    ),
    Mistake(
        "sums_for_means",
        "closed_form",
        "Both sums of dx lack 1/N: the mean and the variance are averages.",
        ({"path_count": lambda v: 1},),
    ),
    Mistake(
        "divided_by_channels",
        "dx",
        "Both sums of dx are divided by the number of channels; N is the number of values in one "
        "channel.",
        ({"path_count": lambda v: v.x_hat.shape[1]},),
    ),
    Mistake(
        "divided_by_examples",
        "images",
        "Both sums of dx are divided by the number of examples. A channel of images has more "
        "values than that: examples times places.",
        ({"path_count": lambda v: len(v.x_hat)},),
        images_only=True,
    ),
    Mistake(
        "n_times",
        "closed_form",
        "dx is N times what it should be: the 1/N in front of the closed form is missing.",
        ({"dx": lambda v: v.scaled * v.count},),
    ),
    Mistake(
        "divided_by_n",
        "closed_form",
        "dx is divided by N once too often.",
        ({"dx": lambda v: v.scaled / v.count},),
    ),
    Mistake(
        "dx_flipped",
        "dx",
        "dx has the wrong sign.",
        ({"dx": lambda v: -v.scaled},),
    ),
)
