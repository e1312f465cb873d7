"""Mistakes in dgamma and dbeta, after those that all three gradients share."""

import numpy as np

from bnlib.exercises.derivations import CLOSED_FORM, CLOSED_FORM_GAMMA_OUTSIDE
from bnlib.exercises.diagnosis import Formula, Mistake


def in_every_form(*ways):
    """Each way with the sums written node by node, and in closed form: here it matters."""
    forms: tuple[dict[str, Formula], ...] = ({}, CLOSED_FORM, CLOSED_FORM_GAMMA_OUTSIDE)
    return tuple(form | way for way in ways for form in forms)


MISTAKES = (
    Mistake(
        "dy_forgotten",
        "dy",
        "dy plays no part: the gradient that arrives was taken as 1. (Then dx and dgamma are 0, "
        "whatever the rest is: a check with a dy of ones cannot fail.)",
        ({"upstream": lambda v: np.ones_like(v.dy)},),
    ),
    Mistake(
        "axes_features",
        "batch",
        "The sums run over the features of each example; they run over the examples of each "
        "channel (axis 0, and the places of an image).",
        in_every_form(
            {"axes": lambda v: tuple(range(1, v.x_hat.ndim))},
            {"axes": lambda v: (1,), "keepdims": lambda v: False},
            {"axes": lambda v: tuple(range(1, v.x_hat.ndim)), "count": lambda v: len(v.x_hat)},
            {
                "axes": lambda v: (1,),
                "keepdims": lambda v: False,
                "count": lambda v: len(v.x_hat),
            },
        ),
    ),
    Mistake(
        "axes_everything",
        "batch",
        "The sums run over the whole array; every channel has its own.",
        in_every_form(
            {"axes": lambda v: tuple(range(v.x_hat.ndim))},
            {
                "axes": lambda v: tuple(range(v.x_hat.ndim)),
                "count": lambda v: v.x_hat.size // v.x_hat.shape[1],
            },
        ),
    ),
    Mistake(
        "axes_pixels",
        "images",
        "The sums run over the examples alone, for every pixel. A channel shares its statistics "
        "over all examples and all places: axes 0, 2 and 3.",
        ({"axes": lambda v: (0,)},),
        images_only=True,
    ),
    Mistake(
        "dgamma_from_x",
        "dgamma",
        "dgamma collects dy * x; gamma multiplies x_hat, so it collects dy * x_hat.",
        ({"dgamma_factor": lambda v: v.x},),
    ),
    Mistake(
        "dgamma_from_centred",
        "dgamma",
        "dgamma collects dy * (x - mean); gamma multiplies x_hat, so it collects dy * x_hat.",
        ({"dgamma_factor": lambda v: v.centred},),
    ),
    Mistake(
        "dgamma_without_x_hat",
        "dgamma",
        "x_hat is missing from dgamma: gamma multiplies x_hat, so dgamma adds up dy * x_hat.",
        ({"dgamma_factor": lambda v: 1},),
    ),
    Mistake(
        "dgamma_with_gamma",
        "dgamma",
        "dgamma has a gamma too many: it adds up dy * x_hat.",
        ({"dgamma_dy": lambda v: v.dx_hat},),
    ),
    Mistake(
        "dbeta_with_gamma",
        "dbeta",
        "dbeta has a gamma too many: beta is added last, so dbeta adds up dy as it arrives.",
        ({"dbeta_dy": lambda v: v.dx_hat},),
    ),
    Mistake(
        "dbeta_with_x_hat",
        "dbeta",
        "dbeta has an x_hat too many: beta is only added, so dbeta adds up dy.",
        ({"dbeta_factor": lambda v: v.x_hat},),
    ),
    Mistake(
        "parameters_averaged",
        "dbeta",
        "This is an average over the batch; gamma and beta act on every example, and their "
        "gradients add up: sum, without 1/N.",
        ({"parameter_count": lambda v: v.count},),
    ),
    Mistake(
        "parameters_not_summed",
        "dbeta",
        "The sum is missing: gamma and beta have one number per channel, which acts on every "
        "example, and the gradients of all examples add up.",
        ({"dgamma": lambda v: v.dgamma_dy * v.dgamma_factor, "dbeta": lambda v: v.dbeta_dy},),
    ),
    Mistake(
        "dgamma_dbeta_swapped",
        "dgamma",
        "dgamma and dbeta have changed places: dgamma adds up dy * x_hat, dbeta adds up dy.",
        (
            {
                "dgamma_factor": lambda v: 1,
                "dbeta_factor": lambda v: v.x_hat,
            },
        ),
    ),
)
