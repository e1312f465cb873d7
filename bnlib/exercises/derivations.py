"""The forward and the backward pass as named steps, so small that a mistake is one of them."""

import numpy as np


def total(v, a):
    """Add up over the axes of a derivation, which stay with length 1."""
    return a.sum(axis=v.axes, keepdims=v.keepdims)


def summed(v, a):
    """Add up over the axes of a derivation, which are then gone."""
    return a.sum(axis=v.axes)


def without_eps(v):
    """What inv_std would be without eps."""
    return 1 / np.sqrt(v.var)


# x has shape (N, C, *spatial); gamma and beta come shaped to broadcast along the channels.
FORWARD = {
    "axes": lambda v: (0, *range(2, v.x.ndim)),
    "keepdims": lambda v: True,
    "count": lambda v: v.x.size // v.x.sum(axis=v.axes).size,
    "mean_count": lambda v: v.count,
    "mean": lambda v: total(v, v.x) / v.mean_count,
    "centred": lambda v: v.x - v.mean,
    "deviation": lambda v: v.centred,
    "square": lambda v: v.deviation**2,
    "var_count": lambda v: v.count,
    "var": lambda v: total(v, v.square) / v.var_count,
    "spread": lambda v: v.var + v.eps,
    "std": lambda v: np.sqrt(v.spread),
    "numerator": lambda v: v.centred,
    "x_hat": lambda v: v.numerator / v.std,
    "scaled": lambda v: v.gamma * v.x_hat,
    "y": lambda v: v.scaled + v.beta,
}

# Node by node, as in the chapter; mean, var, inv_std and gamma come shaped to broadcast. The
# variance feels the mean, too, but that path carries 0: x - mean adds up to 0.
BACKWARD = {
    "upstream": lambda v: v.dy,
    "axes": lambda v: (0, *range(2, v.x_hat.ndim)),
    "keepdims": lambda v: True,
    "count": lambda v: v.x_hat.size // v.x_hat.sum(axis=v.axes).size,
    "centred": lambda v: v.x_hat / v.inv_std,
    "x": lambda v: v.centred + v.mean,
    "path_count": lambda v: v.count,
    "dx_hat": lambda v: v.upstream * v.gamma,
    "slope": lambda v: v.inv_std,
    # from x straight to x_hat
    "direct_dy": lambda v: v.dx_hat,
    "direct_slope": lambda v: v.slope,
    "direct": lambda v: v.direct_dy * v.direct_slope,
    # by the variance
    "var_dy": lambda v: v.dx_hat,
    "var_factor": lambda v: v.centred,
    "root_factor": lambda v: -0.5,
    "root_power": lambda v: v.inv_std**3,
    "dvar": lambda v: total(v, v.var_dy * v.var_factor) * v.root_factor * v.root_power,
    "two": lambda v: 2,
    "square_base": lambda v: v.centred,
    "var_count": lambda v: v.path_count,
    "by_var": lambda v: v.dvar * v.two * v.square_base / v.var_count,
    # by the mean
    "mean_dy": lambda v: v.dx_hat,
    "mean_slope": lambda v: v.slope,
    "dmean": lambda v: -total(v, v.mean_dy * v.mean_slope),
    "mean_outside": lambda v: 1,
    "mean_count": lambda v: v.path_count,
    "by_mean": lambda v: v.dmean * v.mean_outside / v.mean_count,
    "paths": lambda v: v.direct + v.by_var + v.by_mean,
    "scaled": lambda v: v.paths,
    "dx": lambda v: v.scaled,
    # the parameters
    "parameter_count": lambda v: 1,
    "dgamma_dy": lambda v: v.upstream,
    "dgamma_factor": lambda v: v.x_hat,
    "dgamma": lambda v: summed(v, v.dgamma_dy * v.dgamma_factor) / v.parameter_count,
    "dbeta_dy": lambda v: v.upstream,
    "dbeta_factor": lambda v: 1,
    "dbeta": lambda v: summed(v, v.dbeta_dy * v.dbeta_factor) / v.parameter_count,
}

# The same in closed form: equal, as long as the sums run along the right axes. inv_std and gamma
# stand outside of the sums, one or both.
CLOSED_FORM = {
    "mean_slope": lambda v: 1,
    "mean_outside": lambda v: v.slope,
    "var_factor": lambda v: v.x_hat,
    "root_power": lambda v: v.slope,
    "square_base": lambda v: v.x_hat,
}
CLOSED_FORM_GAMMA_OUTSIDE = CLOSED_FORM | {
    "mean_dy": lambda v: v.upstream,
    "mean_outside": lambda v: v.slope * v.gamma,
    "var_dy": lambda v: v.upstream,
    "root_power": lambda v: v.slope * v.gamma,
}
