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
