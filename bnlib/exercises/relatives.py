"""The exercise on layer norm: `check_layer_norm_backward`."""

import numpy as np

from bnlib.exercises.answers import answer
from bnlib.exercises.calling import Unfit, as_array, is_missing, misfit
from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import Exercise, examine
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples
from bnlib.relatives import layer_norm

# The first batch can be shown in full; more features than examples, and fewer.
SHAPES = ((2, 4), (5, 3), (4, 6))
OUTPUTS = ("dx", "dgamma", "dbeta")

STEPS = {
    "upstream": lambda v: v.dy,
    "axis": lambda v: 1,
    "count": lambda v: v.x_hat.shape[1],
    "slope": lambda v: v.inv_std[:, np.newaxis],
    "g": lambda v: v.upstream * v.gamma,
    "mean_of": lambda v: v.g,
    "along_of": lambda v: v.g,
    "mean": lambda v: v.mean_of.sum(axis=v.axis, keepdims=True) / v.count,
    "along": lambda v: (v.along_of * v.x_hat).sum(axis=v.axis, keepdims=True) / v.count,
    "by_mean": lambda v: v.mean,
    "by_var": lambda v: v.x_hat * v.along,
    "dx": lambda v: v.slope * (v.g - v.by_mean - v.by_var),
    "examples": lambda v: 0,
    "parameter_count": lambda v: 1,
    "dgamma_of": lambda v: v.upstream * v.x_hat,
    "dgamma": lambda v: v.dgamma_of.sum(axis=v.examples) / v.parameter_count,
    "dbeta_of": lambda v: v.upstream,
    "dbeta": lambda v: v.dbeta_of.sum(axis=v.examples) / v.parameter_count,
}


def _over_everything(v):
    return v.g.mean()


def _along_over_everything(v):
    return v.x_hat * (v.g * v.x_hat).mean()


MISTAKES = (
    Mistake(
        "statistics_over_the_batch",
        "layer",
        "Both averages of dx run over the batch, axis 0, as in batch norm. In layer norm those "
        "share a mean that belong to one example: average over its features.",
        ({"axis": lambda v: 0, "count": lambda v: len(v.x_hat)},),
    ),
    Mistake(
        "gamma_pulled_out",
        "layer",
        "gamma is pulled out of the averages of dx. In batch norm that is allowed, for all that "
        "are averaged have one gamma; here each feature has its own: average dy * gamma.",
        (
            {
                "by_mean": lambda v: v.gamma * v.upstream.mean(axis=1, keepdims=True),
                "by_var": lambda v: (
                    v.gamma * v.x_hat * (v.upstream * v.x_hat).mean(axis=1, keepdims=True)
                ),
            },
        ),
    ),
    Mistake(
        "gamma_forgotten",
        "layer",
        "gamma is missing from dx: what reaches x_hat is dy * gamma.",
        ({"g": lambda v: v.upstream},),
    ),
    Mistake(
        "mean_without_gamma",
        "layer",
        "gamma is missing in the first average of dx: it is that of dy * gamma.",
        ({"mean_of": lambda v: v.upstream},),
    ),
    Mistake(
        "along_without_gamma",
        "layer",
        "gamma is missing in the average that multiplies x_hat: it is that of dy * gamma * x_hat.",
        ({"along_of": lambda v: v.upstream},),
    ),
    Mistake(
        "statistics_constant",
        "layer",
        "Mean and variance are taken as constants. Each x moves those of its example, and so all "
        "of its x_hat: two averages are missing from dx.",
        ({"by_mean": lambda v: 0, "by_var": lambda v: 0},),
    ),
    Mistake(
        "mean_dropped",
        "layer",
        "The average of dy * gamma is not subtracted. (Without it this is the backward pass of RMS "
        "norm, which subtracts no mean.)",
        ({"by_mean": lambda v: 0},),
    ),
    Mistake(
        "along_dropped",
        "layer",
        "The part along x_hat is not subtracted: the variance moves with x, too.",
        ({"by_var": lambda v: 0},),
    ),
    Mistake(
        "over_everything",
        "layer",
        "The averages of dx run over the whole array: without an axis numpy takes all examples "
        "together.",
        ({"by_mean": _over_everything, "by_var": _along_over_everything},),
    ),
    Mistake(
        "sums_for_means",
        "layer",
        "Both averages of dx are sums: divide by the number of features.",
        ({"count": lambda v: 1},),
    ),
    Mistake(
        "divided_by_examples",
        "layer",
        "Both sums of dx are divided by the number of examples; what is averaged are the features "
        "of one example.",
        ({"count": lambda v: len(v.x_hat)},),
    ),
    Mistake(
        "n_minus_1",
        "layer",
        "Both sums of dx are divided by D - 1; mean and variance of the forward pass are divided "
        "by D.",
        ({"count": lambda v: v.x_hat.shape[1] - 1},),
    ),
    Mistake(
        "inv_std_forgotten",
        "layer",
        "inv_std is missing from dx: x_hat is (x - mean) * inv_std.",
        ({"slope": lambda v: 1},),
    ),
    Mistake(
        "inv_std_squared",
        "layer",
        "dx is multiplied by inv_std twice, that is, divided by the variance; once is right.",
        ({"slope": lambda v: v.inv_std[:, np.newaxis] ** 2},),
    ),
    Mistake(
        "parameters_per_example",
        "layer",
        "dgamma and dbeta are summed over the features. The statistics belong to an example, gamma "
        "and beta to a feature: their gradients are sums over the examples.",
        ({"examples": lambda v: 1},),
    ),
    Mistake(
        "parameters_averaged",
        "layer",
        "dgamma and dbeta are averages over the examples; they are sums.",
        ({"parameter_count": lambda v: len(v.x_hat)},),
    ),
    Mistake(
        "dgamma_without_x_hat",
        "layer",
        "x_hat is missing in dgamma: y is gamma * x_hat + beta.",
        ({"dgamma_of": lambda v: v.upstream},),
    ),
)


def check_layer_norm_backward(f, *, seed=0):
    """Check a reader's backward pass of layer norm over rows, and name the mistakes it knows.

    Parameters
    ----------
    f : callable
        ``f(dy, cache)`` to dx, dgamma, dbeta, as `bnlib.layer_norm_backward`; to dx alone, or with
        None for what is not written yet. cache is a `LayerNormCache`, dy has the shape (N, D) of
        its x_hat.
    seed : int
        Chooses the made-up batches.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(dy, cache):
    ...     g = dy * cache.gamma
    ...     along = (g * cache.x_hat).mean(axis=1, keepdims=True)
    ...     return cache.inv_std[:, None] * (g - cache.x_hat * along)
    >>> check_layer_norm_backward(mine).mistakes
    ('mean_dropped',)
    """
    check_seed("check_layer_norm_backward", seed)
    problem = misfit(f, ["dy", "cache"])
    if problem:
        return answer(False, [problem])
    batches = made_up_batches(np.random.default_rng(seed), extra_examples(seed))
    exercise = Exercise(
        STEPS, OUTPUTS, MISTAKES, _arguments, _run, _unpack, _shown, optional=OUTPUTS[1:]
    )
    return examine(exercise, f, batches)


def made_up_batches(rng, extra=0):
    """Caches and upstream gradients of a few shapes, made from numbers of two decimals."""
    return [_made_up(rng, shape) for shape in enlarged(SHAPES, extra)]


def _made_up(rng, shape):
    x, dy = (2 * rng.normal(size=(2, *shape)) + rng.normal(size=(shape[0], 1))).round(2)
    gamma = rng.uniform(0.5, 2, shape[1]).round(2)
    cache = layer_norm(x, gamma, eps=0.1)[1]
    return {"dy": dy, "cache": cache, "x": x, **cache._asdict()}


def _arguments(batch):
    return {"dy": batch["dy"], "cache": batch["cache"]}


def _run(f, dy, cache):
    return f(dy, cache)


def _unpack(value):
    values = value if isinstance(value, tuple) else (value,)
    if len(values) not in (1, 3):
        raise Unfit(
            f"Return dx, dgamma, dbeta, three arrays (or dx alone); yours are {len(values)}."
        )
    named = zip(OUTPUTS, values, strict=False)
    return {n: None if is_missing(v) else as_array(n, v) for n, v in named}


def _shown(batch):
    return {"dy": batch["dy"], "x": batch["x"], "gamma": batch["gamma"], "eps": 0.1}
