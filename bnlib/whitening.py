"""Whitening: batch norm's joint cousin, that makes the covariance of a batch the identity.

Batch norm divides each dimension by its own standard deviation and leaves dimensions as correlated
as they were. Whitening multiplies all of them by one matrix. In `group` batch norm is the case of
groups of one. Workshop `whitening` derives the backward pass.
"""

from typing import NamedTuple

import numpy as np

from bnlib import checks

HOW = ("zca", "cholesky")


class WhitenCache(NamedTuple):
    """What the backward pass needs, and the statistics of the batch; G groups of g dimensions.

    Attributes
    ----------
    y : ndarray of shape (G, N, g)
        The whitened batch, group by group.
    mean : ndarray of shape (D,)
    matrix : ndarray of shape (G, g, g)
        What the centred batch was multiplied by, from the right.
    roots, vectors : ndarray of shape (G, g) and (G, g, g), or None
        Of "zca": roots of the eigenvalues of the covariance with eps, and its eigenvectors.
    """

    y: np.ndarray
    mean: np.ndarray
    matrix: np.ndarray
    roots: np.ndarray | None
    vectors: np.ndarray | None


def whiten(x, *, eps=1e-5, how="zca", group=None):
    """Centre a batch and make its dimensions uncorrelated, each of variance 1.

    With S the biased covariance plus eps on the diagonal, the centred batch is multiplied by a
    matrix M with M' S M = 1. There are many: each may be followed by a rotation. "zca" takes the
    symmetric root of the inverse of S, of all the one that moves the data least; "cholesky" the
    transposed inverse of the triangular L with L L' = S, so that the first dimension becomes what
    batch norm makes of it, and each further one what the earlier ones do not tell. Kessy, Lewin and
    Strimmer (2018) compare them; Huang et al. (2018) put "zca" into networks.

    Parameters
    ----------
    x : ndarray of shape (N, D)
        Computed in float64.
    eps : float
        Added to the variances, in the squared units of x.
    how : "zca" or "cholesky"
    group : int, optional
        Only so many neighbouring dimensions are whitened together; it must divide D. 1 is batch
        norm without gamma and beta; None takes all.

    Returns
    -------
    y : ndarray of shape (N, D)
    cache : WhitenCache
        For `whiten_backward`; its mean and matrix are for `whiten_inference`.

    Raises
    ------
    TypeError
        For integer, object or complex arrays.
    ValueError
        For shapes other than (N, D), an empty batch, a group that does not divide D, or an unknown
        `how`.
    FloatingPointError
        If the covariance is not finite, or, for "cholesky", too flat for its eps to be factored.

    Examples
    --------
    >>> y, _ = whiten(np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 2.0], [3.0, 3.0]]), eps=1e-12)
    >>> (y.T @ y / 4).round(3) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """
    x = _table("whiten", "x", x)
    checks.positive("whiten", "eps", eps)
    checks.one_of("whiten", "how", how, HOW)
    mean = x.mean(axis=0)
    centred = _split(x - mean, _group_size(x, group))
    with np.errstate(all="ignore"):
        covariance = centred.swapaxes(1, 2) @ centred / len(x)
    if not np.isfinite(covariance).all():
        raise FloatingPointError("whiten: the covariance of x must be finite, got one that is not")
    matrix, *spectrum = _root(covariance, eps) if how == "zca" else _triangle(covariance, eps)
    y = centred @ matrix
    return _join(y), WhitenCache(y, mean, matrix, *spectrum)


def _root(covariance, eps):
    """The symmetric root of the inverse; what a derivative of it needs."""
    values, vectors = np.linalg.eigh(covariance)
    roots = np.sqrt(np.maximum(values, 0) + eps)  # rounding may leave a 0 just below 0
    matrix = vectors / roots[:, None, :] @ vectors.swapaxes(1, 2)
    return matrix, roots, vectors


def _triangle(covariance, eps):
    """The transposed inverse of the triangular factor."""
    try:
        factor = np.linalg.cholesky(covariance + eps * np.eye(covariance.shape[1]))
    except np.linalg.LinAlgError:
        raise FloatingPointError(
            f"whiten: the covariance plus eps must be positive definite, got none for eps={eps:g}"
        ) from None
    return np.linalg.inv(factor).swapaxes(1, 2), None, None


def whiten_backward(dy, cache):
    """The gradient with respect to x, through the mean and the covariance.

    With U = y' dy it is (dy - mean of dy - y T / N) M', where T is a symmetric matrix made of U.
    For one dimension it is U itself, as in batch norm. For "cholesky" it is the upper triangle of U
    with its mirror image; for "zca", in the basis of the eigenvectors and with the roots r of the
    eigenvalues, T_ij = (r_i U_ij + r_j U_ji) / (r_i + r_j).

    Parameters
    ----------
    dy : ndarray of shape (N, D)
    cache : WhitenCache
        From `whiten`.

    Returns
    -------
    dx : ndarray of shape (N, D)

    Raises
    ------
    TypeError
        For a cache that is not from `whiten`, or a dy that is not real.
    ValueError
        For a dy of another shape than y.

    Examples
    --------
    >>> _, cache = whiten(np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 2.0], [3.0, 3.0]]), eps=1e-12)
    >>> np.abs(whiten_backward(_join(cache.y), cache)).max().round(9)  # nothing along y comes back
    np.float64(0.0)
    """
    checks.cache("whiten_backward", cache, WhitenCache)
    y, _, matrix, roots, vectors = cache
    dy = _table("whiten_backward", "dy", dy)
    groups, count, size = y.shape
    checks.shape("whiten_backward", "dy", dy, (count, groups * size), "y")
    dy = _split(dy - dy.mean(axis=0), size)
    along = y.swapaxes(1, 2) @ dy
    if roots is None:
        symmetric = np.triu(along) + np.triu(along, 1).swapaxes(1, 2)
    else:
        turned = vectors.swapaxes(1, 2) @ along @ vectors
        weighted = roots[:, :, None] * turned
        weighted += weighted.swapaxes(1, 2)
        weighted /= roots[:, :, None] + roots[:, None, :]
        symmetric = vectors @ weighted @ vectors.swapaxes(1, 2)
    return _join((dy - y @ symmetric / count) @ matrix.swapaxes(1, 2))


def whiten_inference(x, mean, matrix):
    """Whiten with a mean and a matrix from elsewhere: a fixed affine map.

    Parameters
    ----------
    x : ndarray of shape (N, D)
    mean, matrix
        As in `WhitenCache`, for instance of the whole training set.

    Returns
    -------
    y : ndarray of shape (N, D)

    Raises
    ------
    TypeError
        For arrays that do not hold real numbers.
    ValueError
        For shapes that do not match, or an empty batch.

    Examples
    --------
    >>> whiten_inference(np.array([[1.0, 5.0]]), np.ones(2), np.array([[[1.0, 0.0], [0.0, 0.5]]]))
    array([[0., 2.]])
    """
    x = _table("whiten_inference", "x", x)
    mean = checks.numbers("whiten_inference", "mean", mean)
    checks.shape("whiten_inference", "mean", mean, x.shape[1:], "x")
    matrix = checks.numbers("whiten_inference", "matrix", matrix)
    if matrix.ndim != 3 or matrix.shape[1] != matrix.shape[2]:
        raise ValueError(f"whiten_inference: matrix must have shape (G, g, g), got {matrix.shape}")
    groups, size, _ = matrix.shape
    checks.shape("whiten_inference", "x", x, (len(x), groups * size), "matrix")
    return _join(_split(x - mean, size) @ matrix)


def correlation(z):
    """How correlated dimensions are: the mean size of the correlations of all pairs.

    Shifting a dimension, or multiplying it by a number other than 0, does not change it.

    Parameters
    ----------
    z : ndarray of shape (N, D)
        Dimensions that are constant are left out.

    Returns
    -------
    float
        From 0 to 1; 0 if fewer than two dimensions vary.

    Raises
    ------
    TypeError, ValueError
        For arrays that are not real floats, not of shape (N, D), or empty.

    Examples
    --------
    >>> z = np.array([[0.0, 0.0, 1.0], [1.0, 10.0, 1.0], [2.0, 20.0, 1.0]])
    >>> round(correlation(z), 3)
    1.0
    """
    pairs = _correlations("correlation", z)
    dimensions = len(pairs)
    if dimensions < 2:
        return 0.0
    return float(np.abs(pairs[np.triu_indices(dimensions, 1)]).mean())


def directions(z):
    """Over how many directions the correlated dimensions are spread: from 1 to D.

    The participation ratio of the eigenvalues of the correlation matrix, the square of their sum
    over the sum of their squares: k if k of them are equal and the others 0.

    Parameters
    ----------
    z : ndarray of shape (N, D)
        Dimensions that are constant are left out.

    Returns
    -------
    float
        0 if no dimension varies.

    Raises
    ------
    TypeError, ValueError
        As `correlation`.

    Examples
    --------
    >>> z = np.array([[0.0, 0.0, 1.0], [1.0, 10.0, 1.0], [2.0, 20.0, 1.0]])
    >>> round(directions(z), 3)
    1.0
    """
    pairs = _correlations("directions", z)
    # The squares of the entries add up to those of the eigenvalues.
    return len(pairs) ** 2 / float((pairs**2).sum()) if len(pairs) else 0.0


def _correlations(operation, z):
    """The correlation matrix of the dimensions that vary."""
    z = _table(operation, "z", z)
    z = z[:, z.max(axis=0) > z.min(axis=0)]
    # Near 1, where no square leaves the range; a power of two changes no digit.
    z = np.ldexp(z, -np.frexp(np.abs(z).max(axis=0))[1])
    centred = z - z.mean(axis=0)
    white = centred / np.sqrt((centred**2).mean(axis=0))
    return white.T @ white / len(z)


# --- counting operations --------------------------------------------------------------------------


class Counted:
    """A number that takes down every operation on it: `tally` grows by one with each.

    Arrays of such numbers add, multiply and divide with numpy as usual.

    Examples
    --------
    >>> tally = []
    >>> x = np.array([Counted(value, tally) for value in (1.0, 2.0, 3.0)])
    >>> (x @ x).value, len(tally)
    (14.0, 5)
    """

    def __init__(self, value, tally):
        self.value, self.tally = value, tally

    def _new(self, value):
        self.tally.append(None)
        return Counted(value, self.tally)

    def __add__(self, other):
        return self._new(self.value + _value(other))

    def __sub__(self, other):
        return self._new(self.value - _value(other))

    def __mul__(self, other):
        return self._new(self.value * _value(other))

    def __truediv__(self, other):
        return self._new(self.value / _value(other))

    def sqrt(self):
        """What numpy's sqrt calls."""
        return self._new(self.value**0.5)


def _value(number):
    return number.value if isinstance(number, Counted) else number


def operations(function, x):
    """How many additions, subtractions, products, quotients and roots a function makes of numbers.

    Parameters
    ----------
    function : callable
        Of one array; it must be made of numpy's arithmetic on arrays.
    x : ndarray of shape (N, D)

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        For a function that cannot be called, and an x that is not real, not of shape (N, D), or
        empty. What the function raises goes through.

    Examples
    --------
    >>> operations(lambda x: x.sum(axis=0), np.ones((5, 3)))
    12
    """
    checks.function("operations", "function", function)
    tally: list[None] = []
    counted = [[Counted(value, tally) for value in row] for row in _table("operations", "x", x)]
    function(np.array(counted))
    return len(tally)


def divide_by_deviations(x, eps=1e-5):
    """Batch norm without gamma and beta, in plain arithmetic, so that it can be counted.

    Parameters
    ----------
    x : ndarray of shape (N, D)
    eps : float

    Returns
    -------
    y : ndarray of shape (N, D)

    Raises
    ------
    TypeError, ValueError
        For an x that is not real, not of shape (N, D), or empty; an eps that is not above 0.

    Examples
    --------
    >>> divide_by_deviations(np.array([[1.0], [3.0]])).round(3).ravel()
    array([-1.,  1.])
    """
    x = _countable("divide_by_deviations", x, eps)
    centred = x - x.sum(axis=0) / len(x)
    var = (centred * centred).sum(axis=0) / len(x)
    return centred / np.sqrt(var + eps)


def divide_by_triangle(x, eps=1e-5):
    """Whitening by "cholesky" in plain arithmetic: factor the covariance, substitute forward.

    Only the lower triangle of the covariance is computed.

    Parameters
    ----------
    x : ndarray of shape (N, D)
    eps : float

    Returns
    -------
    y : ndarray of shape (N, D)

    Raises
    ------
    TypeError, ValueError
        For an x that is not real, not of shape (N, D), or empty; an eps that is not above 0.

    Examples
    --------
    >>> divide_by_triangle(np.array([[1.0], [3.0]])).round(3).ravel()
    array([-1.,  1.])
    """
    x = _countable("divide_by_triangle", x, eps)
    centred = x - x.sum(axis=0) / len(x)
    rows: list[list] = []
    y = np.empty_like(centred)
    for i in range(x.shape[1]):
        rows.append([])
        y[:, i] = centred[:, i]
        for j in range(i + 1):
            entry = (centred[:, i] * centred[:, j]).sum() / len(x)
            entry = entry + eps if i == j else entry
            for k in range(j):
                entry = entry - rows[i][k] * rows[j][k]
            rows[i].append(np.sqrt(entry) if i == j else entry / rows[j][j])
            y[:, i] = y[:, i] / rows[i][i] if i == j else y[:, i] - y[:, j] * rows[i][j]
    return y


def cost(examples, dimensions):
    """The operations of both: (per dimension, joint), as `operations` counts them.

    Parameters
    ----------
    examples, dimensions : int

    Returns
    -------
    tuple of two ints

    Raises
    ------
    TypeError, ValueError
        For what is not a whole number above 0.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(7, 4))
    >>> cost(7, 4) == (operations(divide_by_deviations, x), operations(divide_by_triangle, x))
    True
    """
    checks.count("cost", "examples", examples)
    checks.count("cost", "dimensions", dimensions)
    n, d = examples, dimensions
    pairs, triples = d * (d + 1) // 2, (d - 1) * d * (d + 1) // 6
    centring = 2 * n * d
    per_dimension = centring + d * (3 * n + 2)
    covariance, factor = pairs * 2 * n + d, 2 * triples + pairs
    return per_dimension, centring + covariance + factor + n * d * d


# --- shapes ---------------------------------------------------------------------------------------


def _table(operation, name, value):
    """`value` as a float64 array of shape (N, D) that is not empty."""
    array = checks.float_array(operation, name, value)
    if np.iscomplexobj(array):
        raise TypeError(f"{operation}: {name} must be real, got {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"{operation}: {name} must have shape (N, D) and not be empty, got {array.shape}"
        )
    return array.astype(np.float64, copy=False)


def _countable(operation, x, eps):
    """`x` as a table of real numbers, or as it is if `operations` counts what is done to it."""
    checks.positive(operation, "eps", eps)
    counted = isinstance(x, np.ndarray) and x.ndim == 2 and x.size and type(x[0, 0]) is Counted
    return x if counted else _table(operation, "x", x)


def _group_size(x, group):
    dimensions = x.shape[1]
    if group is None:
        return dimensions
    checks.count("whiten", "group", group)
    if dimensions % group:
        raise ValueError(f"whiten: group must divide the {dimensions} dimensions, got {group}")
    return group


def _split(x, size):
    """(N, D) to (G, N, size)."""
    return x.reshape(len(x), -1, size).swapaxes(0, 1)


def _join(y):
    """(G, N, size) to (N, D)."""
    groups, count, size = y.shape
    return y.swapaxes(0, 1).reshape(count, groups * size)
