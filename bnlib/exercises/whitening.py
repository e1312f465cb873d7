"""The exercise on whitening: `check_whitening`."""

import numpy as np

from bnlib.exercises.answers import answer
from bnlib.exercises.calling import as_array, ask, is_missing, misfit, takes
from bnlib.exercises.diagnosis import Mistake, follow, same
from bnlib.exercises.examination import Exercise, examine
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples

# The first batch can be shown in full; eps is large enough to be seen. All have enough examples:
# else the covariance has no inverse, and where eps is forgotten there is nothing but rounding.
BATCHES = [((4, 2), 0.5), ((6, 3), 0.02), ((9, 4), 0.1), ((5, 3), 0.3)]


STEPS = {
    "mean": lambda v: v.x.mean(axis=0),
    "centred": lambda v: v.x - v.mean,
    "factor": lambda v: v.centred,
    "count": lambda v: len(v.x),
    "covariance": lambda v: v.factor.T @ v.factor / v.count,
    "ridge": lambda v: v.eps * np.eye(v.x.shape[1]),
    "spread": lambda v: v.covariance + v.ridge,
    "values": lambda v: np.linalg.eigh(v.spread)[0],
    "vectors": lambda v: np.linalg.eigh(v.spread)[1],
    "scales": lambda v: 1 / np.sqrt(v.values),
    "matrix": lambda v: v.vectors * v.scales @ v.vectors.T,
    "numerator": lambda v: v.centred,
    "y": lambda v: v.numerator @ v.matrix,
}
MISTAKES = (
    Mistake(
        "mean_forgotten",
        "white",
        "The mean is not subtracted, neither in the covariance nor from x.",
        ({"centred": lambda v: v.x},),
    ),
    Mistake(
        "numerator_not_centred",
        "white",
        "The matrix is right, and multiplies x where it should multiply x - mean.",
        ({"numerator": lambda v: v.x},),
    ),
    Mistake(
        "covariance_not_centred",
        "white",
        "The covariance is made of x; it is made of x - mean.",
        ({"factor": lambda v: v.x},),
    ),
    Mistake(
        "covariance_is_sum",
        "white",
        "The covariance is a sum over the examples: divide it by their number.",
        ({"count": lambda v: 1},),
    ),
    Mistake(
        "covariance_n_minus_1",
        "white",
        "The covariance is divided by N - 1, as numpy's cov does unless bias=True. Like the "
        "variance of batch norm it is divided by N.",
        ({"count": lambda v: len(v.x) - 1},),
    ),
    Mistake(
        "batch_norm",
        "white",
        "This is batch norm: each dimension is divided by its own standard deviation, and they "
        "stay as correlated as they were. Use the whole covariance.",
        ({"matrix": lambda v: np.diag(1 / np.sqrt(np.diag(v.spread)))},),
    ),
    Mistake(
        "eps_forgotten",
        "white",
        "eps is missing: it is added to the diagonal of the covariance.",
        ({"ridge": lambda v: 0},),
    ),
    Mistake(
        "eps_everywhere",
        "white",
        "eps is added to every entry of the covariance; it belongs to the diagonal alone.",
        ({"ridge": lambda v: v.eps},),
    ),
    Mistake(
        "root_forgotten",
        "white",
        "The matrix is the inverse of the covariance; it must be a root of the inverse.",
        ({"scales": lambda v: 1 / v.values},),
    ),
    Mistake(
        "not_inverted",
        "white",
        "The matrix is a root of the covariance itself: it stretches the cloud where it should "
        "shrink it. Take the root of the inverse.",
        ({"scales": lambda v: np.sqrt(v.values)},),
    ),
    Mistake(
        "entry_by_entry",
        "white",
        "The root is taken entry by entry. The root of a matrix is another matter: take it of the "
        "eigenvalues.",
        (
            {"matrix": lambda v: 1 / np.sqrt(v.spread)},
            {"matrix": lambda v: np.sqrt(np.linalg.inv(v.spread))},
        ),
    ),
)
TURNED = (
    "y is white, and turned away from the answer: after a rotation it is still white. The "
    "symmetric root turns least: with the eigenvectors U it is U diag(1 / root of the eigenvalues) "
    "U'."
)


def check_whitening(f, *, seed=0):
    """Check a reader's whitening by the symmetric root, and name the mistake if it is known.

    Parameters
    ----------
    f : callable
        ``f(x, eps)`` to y, as `bnlib.whitening.whiten` computes it; eps may be a keyword.
    seed : int
        Chooses the made-up batches.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> check_whitening(lambda x, eps: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)).mistakes
    ('batch_norm',)
    """
    check_seed("check_whitening", seed)
    problem = misfit(f, ["x", "eps"])
    if problem and not takes(f, ["x"], ["eps"]):
        return answer(False, [problem])
    batches = made_up_batches(np.random.default_rng(seed), extra_examples(seed))
    mistakes = (*MISTAKES, *_turned(f, batches))
    exercise = Exercise(STEPS, ("y",), mistakes, arguments, _run, _unpack, arguments)
    return examine(exercise, f, batches)


def made_up_batches(rng, extra=0):
    """Batches of two decimals whose dimensions are correlated."""
    return [_made_up(rng, shape, eps) for shape, eps in enlarged(BATCHES, extra)]


def _made_up(rng, shape, eps):
    # Roots of single entries must not be NaN in all batches: the covariances of two dimensions are
    # negative (and those of the inverse positive), those of more are mostly positive.
    mixing = np.abs(rng.normal(size=(shape[1], shape[1])))
    mixing[:, 1] *= -1 if shape[1] == 2 else 1
    x = rng.normal(size=shape) @ mixing + rng.uniform(1, 3, shape[1])
    return {"x": x.round(2), "eps": eps}


def arguments(batch):
    """What the reader's function is given, all of it."""
    return batch


def _run(f, x, eps):
    return f(x, eps=eps) if takes(f, ["x"], ["eps"]) else f(x, eps)


def _unpack(value):
    return {"y": value if is_missing(value) else as_array("y", value)}


def _turned(f, batches):
    """The mistake of another rotation, if every answer of the reader is the right one turned.

    Then the examples lie to each other as they should.
    """
    own = {}
    for batch in batches:
        y = ask(lambda **given: _run(f, **given), batch).value
        right = follow(STEPS, batch).y
        if not isinstance(y, np.ndarray) or y.shape != right.shape or y.dtype.kind != "f":
            return
        if not same(y @ y.T, right @ right.T):
            return
        own[batch["x"].tobytes()] = y
    yield Mistake("turned", "white", TURNED, ({"y": lambda v: own[v.x.tobytes()]},))
