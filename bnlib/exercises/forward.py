"""Exercises on the forward pass: `check_forward`."""

import numpy as np

from bnlib import checks
from bnlib.exercises.answers import answer
from bnlib.exercises.calling import Unfit, as_array, is_missing, misfit, takes
from bnlib.exercises.derivations import FORWARD
from bnlib.exercises.diagnosis import follow, same
from bnlib.exercises.examination import Exercise, examine, failed, find, keeps_dtype, objection
from bnlib.exercises.forward_mistakes import MISTAKES, ONE_PASS
from bnlib.exercises.image_mistakes import IMAGE_MISTAKES
from bnlib.exercises.seeds import check_seed, enlarged, extra_examples

# The first batch can be shown in full; a square one finds sums over the wrong axis that numpy
# refuses elsewhere. eps is large enough to be seen, and small beside some variances.
ROWS = [((4, 2), 0.5), ((5, 3), 0.002), ((4, 4), 0.1), ((6, 5), 0.3)]
IMAGES = [((2, 2, 1, 2), 0.5), ((3, 2, 2, 4), 0.002), ((3, 3, 3, 3), 0.1), ((4, 3, 2, 3), 0.3)]
FAR_AWAY = 1e-4  # a mean of numbers near 1e8 is right to 1e-8 or so


def check_forward(f, *, images=False, seed=0):
    """Check a reader's batch norm, and name the mistake if there is one that is known.

    Parameters
    ----------
    f : callable
        ``f(x, gamma, beta, eps)`` to y, or to a tuple whose first item is y, as
        `bnlib.batch_norm`; eps may be a keyword. x is an array of shape (N, C), gamma and beta are
        of shape (C,), eps is a number. float32 in, float32 out.
    images : bool
        Ask for x of shape (N, C, H, W) instead.
    seed : int
        Chooses the made-up batches.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(x, gamma, beta, eps):
    ...     return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta
    >>> check_forward(mine)
    Not right yet.
    gamma is missing: y is gamma * x_hat + beta. Go back to chapter
    forward_pass, “Four lines of arithmetic”, the line of y.
    """
    check_seed("check_forward", seed)
    checks.flag("check_forward", "images", images)
    problem = misfit(f, ["x", "gamma", "beta", "eps"])
    if problem and not takes(f, ["x", "gamma", "beta"], ["eps"]):
        return answer(False, [problem])
    return examine(
        exercise(images),
        f,
        made_up_batches(np.random.default_rng(seed), images, extra_examples(seed)),
    )


def made_up_batches(rng, images, extra=0):
    """Batches of two decimals, which can be shown as they are; channels differ in all respects."""
    return [_made_up(rng, *batch) for batch in enlarged(IMAGES if images else ROWS, extra)]


def _made_up(rng, shape, eps):
    channels = (1, shape[1], *(1,) * (len(shape) - 2))
    spread = rng.uniform(0.5, 3, channels)
    spread[:, -1] = 0.15  # a channel that shows what a small eps does
    x = rng.normal(size=shape) * spread + rng.uniform(1, 3, channels)
    gamma, beta = rng.uniform(0.4, 1.9, (2, *channels)) * rng.choice([-1, 1], (2, *channels))
    return {"x": x.round(2), "gamma": gamma.round(2), "beta": beta.round(2), "eps": eps}


def arguments(batch):
    """What a batch gives the reader's function: gamma and beta of shape (C,)."""
    gamma, beta = batch["gamma"].ravel(), batch["beta"].ravel()
    return {"x": batch["x"], "gamma": gamma, "beta": beta, "eps": batch["eps"]}


def _run(f, x, gamma, beta, eps):
    if takes(f, ["x", "gamma", "beta"], ["eps"]):
        return f(x, gamma, beta, eps=eps)
    return f(x, gamma, beta, eps)


def _unpack(value):
    if isinstance(value, tuple):
        if not value:
            raise Unfit("An empty tuple came back: return y.")
        value = value[0]
    return {"y": value if is_missing(value) else as_array("y", value)}


def _far_from_zero(exercise, f, batches, exact):
    """Object to a function that is right near 0 and wrong on the same batch, moved by 1e8."""
    if not exact:  # float32 has no digits left there, and that was said
        return None
    batch = batches[1] | {"x": batches[1]["x"] + 1e8}
    found = find(exercise, f, batch)
    if found.error:
        return failed(found.error, f, " on a batch of numbers near 1e8")
    y, right = found.outputs.get("y"), follow(exercise.steps, batch)
    if y is None or y.shape != right.y.shape:
        return objection(
            None,
            "y is right on ordinary batches; for numbers near 1e8 there is none of its shape.",
        )
    if same(y, right.y, FAR_AWAY):
        return None
    if _stretched(y, right):
        return objection(ONE_PASS.name, ONE_PASS.sentence, ONE_PASS.where)
    return objection(None, "y is right on ordinary batches and wrong for numbers near 1e8.")


def _stretched(y, right):
    """Whether y is right but for one factor per channel, as with a wrong variance (or NaN)."""
    with np.errstate(all="ignore"):
        factors = (y - right.beta) / (right.gamma * right.centred)
    rows = np.moveaxis(factors, 1, 0).reshape(y.shape[1], -1)
    return all(
        not np.isfinite(row).any() or np.ptp(row) <= FAR_AWAY * np.abs(row).max() for row in rows
    )


def exercise(images):
    """The exercise for rows or for images."""
    mistakes = MISTAKES + IMAGE_MISTAKES * images
    probes = (keeps_dtype, _far_from_zero)
    return Exercise(FORWARD, ("y",), mistakes, arguments, _run, _unpack, arguments, probes)
