"""Exercises on the backward pass: `check_backward`."""

import numpy as np

from bnlib import checks
from bnlib.exercises import backward_mistakes, parameter_mistakes
from bnlib.exercises.answers import answer
from bnlib.exercises.calling import Unfit, as_array, is_missing, misfit
from bnlib.exercises.derivations import BACKWARD
from bnlib.exercises.examination import Exercise, examine, keeps_dtype
from bnlib.exercises.forward import arguments, made_up_batches
from bnlib.exercises.seeds import check_seed, extra_examples
from bnlib.normalization import batch_norm

MISTAKES = (*backward_mistakes.MISTAKES, *parameter_mistakes.MISTAKES)
OUTPUTS = ("dx", "dgamma", "dbeta")


def check_backward(f, *, images=False, whole=False, seed=0):
    """Check a reader's backward pass of batch norm, and name the mistakes that are known.

    Parameters
    ----------
    f : callable
        ``f(dy, cache)`` to dx, dgamma, dbeta, as `bnlib.batch_norm_backward`; to dx alone, or with
        None for what is not written yet. cache is a `BatchNormCache`, dy has the shape (N, C) of
        its x_hat; float32 in, float32 out.
    images : bool
        Ask for the shape (N, C, H, W) instead.
    whole : bool
        Ask for all three gradients, as homework does.
    seed : int
        Chooses the made-up batches.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(dy, cache):
    ...     dx_hat = dy * cache.gamma
    ...     return cache.inv_std * (dx_hat - dx_hat.mean(axis=0))
    >>> check_backward(mine).mistakes
    ('variance_path_dropped',)
    """
    check_seed("check_backward", seed)
    checks.flag("check_backward", "images", images)
    checks.flag("check_backward", "whole", whole)
    problem = misfit(f, ["dy", "cache"])
    if problem:
        return answer(False, [problem])
    asked = exercise(images)._replace(optional=() if whole else OUTPUTS[1:])
    return examine(asked, f, made_up(np.random.default_rng(seed), images, extra_examples(seed)))


def made_up(rng, images, extra=0):
    """The batches of the forward exercise, each with a cache and a dy."""
    forward = [arguments(batch) for batch in made_up_batches(rng, images, extra)]
    return [_given(rng.normal(size=v["x"].shape).round(2), **v) for v in forward]


def _given(dy, x, gamma, beta, eps):
    """A batch: what the reader gets, and the same shaped for the derivation."""
    cache = batch_norm(x, gamma, beta, eps=eps)[1]
    along = (1, -1, *(1,) * (x.ndim - 2))
    return {
        "dy": dy,
        "cache": cache,
        "x_hat": cache.x_hat,
        "inv_std": cache.inv_std.reshape(along),
        "gamma": gamma.reshape(along),
        "mean": cache.mean.reshape(along),
        "var": cache.var.reshape(along),
        "made_from": {"dy": dy, "x": x, "gamma": gamma, "eps": eps},
    }


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
    return batch["made_from"]


def exercise(images):
    """The exercise for rows or for images."""
    mistakes = tuple(m for m in MISTAKES if images or not m.images_only)
    return Exercise(
        BACKWARD,
        OUTPUTS,
        mistakes,
        _arguments,
        _run,
        _unpack,
        _shown,
        (keeps_dtype,),
        optional=OUTPUTS[1:],
    )
