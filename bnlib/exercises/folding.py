"""The exercise on folding: `check_fold`."""

import numpy as np

from bnlib.exercises.answers import answer
from bnlib.exercises.calling import Unfit, as_array, is_missing, misfit
from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import Exercise, examine
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples

# Shapes (out, in) of the weights, one of them square; eps is large enough to be seen.
LAYERS = [((2, 3), 0.5), ((3, 3), 0.2), ((4, 2), 0.1)]
GIVEN = ("weight", "bias", "mean", "var", "gamma", "beta", "eps")

STEPS = {
    "root": lambda v: np.sqrt(v.var + v.eps),
    "scale": lambda v: v.gamma / v.root,
    "rows": lambda v: v.scale[:, None],
    "new_weight": lambda v: v.rows * v.weight,
    "own": lambda v: v.scale * v.bias,
    "moved": lambda v: v.scale * v.mean,
    "shift": lambda v: v.beta,
    "new_bias": lambda v: v.own - v.moved + v.shift,
}
MISTAKES = (
    Mistake(
        "bias_unscaled",
        "fold",
        "The layer's own bias must be scaled too: it goes into batch norm with the rest.",
        ({"own": lambda v: v.bias},),
    ),
    Mistake(
        "bias_forgotten",
        "fold",
        "The layer's own bias is missing.",
        ({"own": lambda v: 0},),
    ),
    Mistake(
        "gamma_forgotten",
        "fold",
        "gamma is missing in the scale, which is gamma / sqrt(var + eps).",
        ({"scale": lambda v: 1 / v.root},),
    ),
    Mistake(
        "multiplied",
        "fold",
        "The scale multiplies by the standard deviation; batch norm divides by it.",
        ({"scale": lambda v: v.gamma * v.root},),
    ),
    Mistake(
        "eps_outside_the_root",
        "fold",
        "eps is added to the standard deviation; it belongs to the variance, under the root.",
        ({"root": lambda v: np.sqrt(v.var) + v.eps},),
    ),
    Mistake(
        "eps_forgotten",
        "fold",
        "eps is missing under the root.",
        ({"root": lambda v: np.sqrt(v.var)},),
    ),
    Mistake(
        "variance_for_std",
        "fold",
        "This divides by the variance; it is divided by its root, the standard deviation.",
        ({"root": lambda v: v.var + v.eps},),
    ),
    Mistake(
        "root_forgotten_and_eps",
        "fold",
        "This divides by the variance, without root and without eps.",
        ({"root": lambda v: v.var},),
    ),
    Mistake(
        "weight_unscaled",
        "fold",
        "The weights are as they were; each row must be multiplied by its channel's scale.",
        ({"new_weight": lambda v: v.weight},),
    ),
    Mistake(
        "columns_scaled",
        "fold",
        "The scale runs along the columns, which are the inputs; it belongs to the outputs, the "
        "rows: scale[:, None] * weight.",
        ({"rows": lambda v: v.scale},),
    ),
    Mistake(
        "mean_added",
        "fold",
        "The mean is added; batch norm subtracts it.",
        ({"moved": lambda v: -v.scale * v.mean},),
    ),
    Mistake(
        "mean_unscaled",
        "fold",
        "The mean must be scaled: it is subtracted before batch norm divides.",
        ({"moved": lambda v: v.mean},),
    ),
    Mistake(
        "mean_forgotten",
        "fold",
        "The mean is missing in the new bias.",
        ({"moved": lambda v: 0},),
    ),
    Mistake(
        "beta_forgotten",
        "fold",
        "beta is missing in the new bias.",
        ({"shift": lambda v: 0},),
    ),
    Mistake(
        "beta_scaled",
        "fold",
        "beta is scaled; it is added at the end, after the scaling.",
        ({"shift": lambda v: v.scale * v.beta},),
    ),
)


def check_fold(f, *, seed=0):
    """Check how a reader folds batch norm into a linear layer, and name the mistake if it is known.

    Parameters
    ----------
    f : callable
        ``f(weight, bias, mean, var, gamma, beta, eps)`` to the new weight and bias, as
        `bnlib.folding.fold_batch_norm`; weight has the shape (out, in).
    seed : int
        Chooses the made-up layers.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(weight, bias, mean, var, gamma, beta, eps):
    ...     scale = gamma / np.sqrt(var + eps)
    ...     return scale[:, None] * weight, bias - scale * mean + beta
    >>> check_fold(mine).mistakes
    ('bias_unscaled',)
    """
    check_seed("check_fold", seed)
    problem = misfit(f, list(GIVEN))
    if problem:
        return answer(False, [problem])
    exercise = Exercise(
        STEPS,
        ("new_weight", "new_bias"),
        MISTAKES,
        _arguments,
        lambda f, **given: f(*given.values()),
        _unpack,
        _arguments,
        nouns=("layer", "layers"),
    )
    return examine(exercise, f, made_up_layers(np.random.default_rng(seed), extra_examples(seed)))


def made_up_layers(rng, extra=0):
    """Layers of two decimals with all their statistics."""
    return [_made_up(rng, *layer) for layer in enlarged(LAYERS, extra)]


def _made_up(rng, shape, eps):
    mean, gamma, beta, bias = rng.uniform(0.5, 2, size=(4, shape[0])).round(2)
    var = rng.uniform(0.3, 3, shape[0]).round(2)
    values = (rng.normal(size=shape).round(2), bias, mean, var, gamma, beta, eps)
    return dict(zip(GIVEN, values, strict=True))


def _arguments(layer):
    return layer


def _unpack(value):
    if is_missing(value):
        return {}
    if not isinstance(value, tuple) or len(value) != 2:
        raise Unfit("Your function must return two arrays, weight, bias.")
    named = zip(("new_weight", "new_bias"), value, strict=True)
    return {name: as_array(name, array) for name, array in named if not is_missing(array)}
