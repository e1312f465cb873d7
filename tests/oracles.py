"""Second opinions for the tests: slow, plain, and derived without bnlib."""

import math

import numpy as np


def channel_rows(x):
    """(N, C, *spatial) as a list of C flat float64 arrays, in the order of x.ravel()."""
    return [np.asarray(x, np.float64)[:, c].ravel() for c in range(x.shape[1])]


def exact_statistics(values):
    """Mean and biased variance of a float64 array, each sum rounded once."""
    mean = math.fsum(values) / len(values)
    # The mean is itself rounded; what that loses is put back, so a large offset costs nothing.
    rest = math.fsum(values - mean) / len(values)
    deviations = (values - mean) - rest
    return mean + rest, deviations, math.fsum(deviations**2) / len(values)


def exact_x_hat(x, eps):
    """x_hat of batch norm in float64, whatever the dtype of x."""
    out = np.empty(x.shape)
    for c, values in enumerate(channel_rows(x)):
        _, deviations, var = exact_statistics(values)
        out[:, c] = (deviations / math.sqrt(var + eps)).reshape(out[:, c].shape)
    return out


def complex_step_gradient(f, x, step=1e-30):
    """Gradient of the real function f at the float64 array x, exact to rounding.

    For analytic f, Im f(x + ih) / h has no subtraction and so no cancellation (Squire and Trapp,
    1998).
    """
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        moved = x.astype(np.complex128)
        moved[index] += 1j * step
        gradient[index] = f(moved).imag / step
    return gradient


def batch_norm_backward_by_matrices(x, gamma, dy, eps):
    """dx, dgamma, dbeta of batch norm, each channel as one column, step by step in matrices.

    With the all-ones matrix E, the mean is E x / N and the centring matrix C = I - E / N takes it
    off; backward goes through the transposes.
    """
    dx, dgamma, dbeta = np.empty(x.shape), np.empty(x.shape[1]), np.empty(x.shape[1])
    rows = zip(channel_rows(x), channel_rows(dy), strict=True)
    for c, (column, upstream) in enumerate(rows):
        count = len(column)
        ones = np.ones((count, count))
        centring = np.eye(count) - ones / count
        centred = centring @ column
        inv_std = (centred @ centred / count + eps) ** -0.5
        dbeta[c] = (ones @ upstream)[0]
        dgamma[c] = upstream @ centred * inv_std
        dx_hat = gamma[c] * upstream
        dinv_std = dx_hat @ centred
        dvar = -0.5 * inv_std**3 * dinv_std
        dcentred = inv_std * dx_hat + 2 / count * dvar * centred
        dx[:, c] = (centring.T @ dcentred).reshape(dx[:, c].shape)
    return dx, dgamma, dbeta
