"""Exercises on weights: `check_scale`, how large they start; `check_rate`, how fast they learn."""

import numpy as np

from bnlib.exercises.calling import ask
from bnlib.exercises.diagnosis import Mistake
from bnlib.exercises.examination import examine_number
from bnlib.exercises.seeds import check_seed, other_numbers

# Layers no two of which agree in any width, and rates and factors likewise.
LAYERS = ((50, 20), (20, 80), (64, 256), (100, 10))
RATES = ((0.1, 2.0), (0.02, 3.0), (0.5, 0.5), (0.04, 10.0))

SCALE = {
    "fan": lambda v: v.fan_in,
    "gain": lambda v: 2,  # the mean square before a ReLU, over that behind it
    "variance": lambda v: v.gain / v.fan,
    "std": lambda v: np.sqrt(v.variance),
}
SCALE_MISTAKES = (
    Mistake(
        "relu_forgotten",
        "scale",
        "The ReLU is forgotten: it sets half of the numbers to 0 and so halves the mean square, "
        "layer after layer. The weights have to double it.",
        ({"gain": lambda v: 1},),
    ),
    Mistake(
        "relu_turned_round",
        "scale",
        "The ReLU halves the mean square, so the weights have to double it; yours halve it again.",
        ({"gain": lambda v: 1 / 2},),
    ),
    Mistake(
        "variance_for_std",
        "scale",
        "This is the variance of the weights; their standard deviation is its root.",
        ({"std": lambda v: v.variance},),
    ),
    Mistake(
        "root_over_two_only",
        "scale",
        "The root is taken of the 2 alone; it belongs over the whole fraction.",
        ({"std": lambda v: np.sqrt(v.gain) / v.fan},),
    ),
    Mistake(
        "upside_down",
        "scale",
        "The fraction is upside down: the more inputs are added up, the smaller the weights must "
        "be.",
        ({"variance": lambda v: v.fan / v.gain},),
    ),
    Mistake(
        "fan_out",
        "scale",
        "fan_out stands where fan_in belongs: the signal of a unit adds up over its inputs. "
        "(fan_out keeps the gradient on its way back.)",
        ({"fan": lambda v: v.fan_out},),
    ),
    Mistake(
        "glorot",
        "scale",
        "This is Glorot's scale, 2 / (fan_in + fan_out) under the root: a compromise between the "
        "signal and the gradient, made for units that are linear near 0.",
        ({"fan": lambda v: v.fan_in + v.fan_out},),
    ),
    Mistake(
        "fans_averaged",
        "scale",
        "fan_in and fan_out are averaged; to keep the signal, only the number of inputs counts.",
        ({"fan": lambda v: (v.fan_in + v.fan_out) / 2},),
    ),
    Mistake(
        "half_width",
        "scale",
        "This is half the width of a uniform distribution, which is √3 times its standard "
        "deviation.",
        ({"std": lambda v: np.sqrt(3 * v.variance)},),
    ),
)

RATE = {
    "power": lambda v: 2,
    "start": lambda v: v.lr,
    "rate": lambda v: v.start * v.factor**v.power,
}
RATE_MISTAKES = (
    Mistake(
        "unchanged",
        "rate",
        "The learning rate stays as it was, and so does the output; but the gradient is divided by "
        "the factor, and the way to go is multiplied by it.",
        ({"power": lambda v: 0},),
    ),
    Mistake(
        "factor_once",
        "rate",
        "The factor comes in twice, and you have it once: the weights have a way to go that is so "
        "many times longer, and the gradient that moves them is so many times shorter.",
        ({"power": lambda v: 1},),
    ),
    Mistake(
        "divided",
        "rate",
        "The learning rate is divided by the factor. Larger weights before batch norm have a "
        "smaller gradient and need a larger rate.",
        ({"power": lambda v: -1},),
    ),
    Mistake(
        "divided_by_square",
        "rate",
        "The square is right and on the wrong side: with the same rate, larger weights learn that "
        "much more slowly, so the rate has to be multiplied by it.",
        ({"power": lambda v: -2},),
    ),
    Mistake(
        "root",
        "rate",
        "The root of the factor stands where its square belongs.",
        ({"power": lambda v: 1 / 2},),
    ),
    Mistake(
        "lr_forgotten",
        "rate",
        "lr plays no part: the new rate is the old one, times something.",
        ({"start": lambda v: 1},),
    ),
)


def check_scale(f, *, seed=0):
    """Check a reader's scale of initial weights for ReLU layers (He et al., 2015).

    Parameters
    ----------
    f : callable
        ``f(fan_in, fan_out)`` to the standard deviation of the weights of a layer with so many
        inputs and outputs that keeps the mean square of the signal from layer to layer.
    seed : int
        Chooses the layers.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> check_scale(lambda fan_in, fan_out: 2 / fan_in).mistakes
    ('variance_for_std',)
    """
    check_seed("check_scale", seed)
    layers = [
        dict(zip(("fan_in", "fan_out"), layer, strict=True))
        for layer in other_numbers(LAYERS, seed)
    ]
    mistakes = (*SCALE_MISTAKES, *_constant(f, layers[0]))
    return examine_number("std", SCALE, mistakes, f, layers, nouns=("layer", "layers"))


def check_rate(f, *, seed=0):
    """Check how a reader's learning rate follows the size of weights before batch norm.

    Parameters
    ----------
    f : callable
        ``f(lr, factor)`` to the learning rate with which a layer before batch norm, its weights all
        multiplied by the positive `factor`, takes the path that it took with `lr`, as large as the
        factor says.
    seed : int
        Chooses the numbers.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> check_rate(lambda lr, factor: lr * factor).mistakes
    ('factor_once',)
    """
    check_seed("check_rate", seed)
    cases = [dict(zip(("lr", "factor"), case, strict=True)) for case in other_numbers(RATES, seed)]
    return examine_number("rate", RATE, RATE_MISTAKES, f, cases, nouns=("case", "cases"))


def _constant(f, layer):
    """The mistake of giving every layer what f gives this one, if that is a number."""
    value = ask(lambda **given: f(*given.values()), layer).value
    if not isinstance(value, int | float | np.number) or not np.isfinite(value):
        return
    yield Mistake(
        "constant",
        "scale",
        "The scale is the same for all layers: the more inputs a unit adds up, the smaller their "
        "weights must be.",
        ({"std": lambda v: value},),
    )
