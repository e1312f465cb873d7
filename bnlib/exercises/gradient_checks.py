"""The exercise on gradient checks themselves: `check_gradient_check`."""

import numpy as np

from bnlib.exercises.answers import answer, listed
from bnlib.exercises.backward_suspects import SUSPECTS
from bnlib.exercises.blindness import Asked, reasons
from bnlib.exercises.calling import a, ask, is_missing, misfit
from bnlib.exercises.examination import COUNTS, failed, unwritten
from bnlib.exercises.pointers import POINTERS
from bnlib.exercises.seeds import check_seed

SHOWN = 3  # how many of those that were let through are told


def check_gradient_check(f, *, seed=0):
    """Check a reader's check of a backward pass, and say why it could not see.

    It is asked about right and wrong backward passes of batch norm, and what it asks them is put on
    record.

    Parameters
    ----------
    f : callable
        ``f(forward, backward, rng)`` to True if the backward pass is right; False, or an
        AssertionError, if it is wrong. ``forward(x, gamma, beta)`` returns y and a cache, for x of
        shape (N, C) that may be complex; ``backward(dy, cache)`` returns dx, dgamma, dbeta; rng is
        a numpy generator.
    seed : int
        That of the generator.

    Returns
    -------
    Answer
        Whose text is the output of a notebook's cell.

    Examples
    --------
    >>> def mine(forward, backward, rng):
    ...     x, v = rng.normal(size=(2, 8, 3))
    ...     gamma, beta = rng.normal(size=(2, 3))
    ...     y, cache = forward(x, gamma, beta)
    ...     dx, dgamma, dbeta = backward(np.ones_like(y), cache)
    ...     moved = forward(x + 1e-30j * v, gamma, beta)[0]
    ...     return abs(moved.sum().imag / 1e-30 - (dx * v).sum()) < 1e-6
    >>> check_gradient_check(mine).mistakes
    ('ones_upstream',)
    """
    check_seed("check_gradient_check", seed)
    problem = misfit(f, ["forward", "backward", "rng"])
    if problem:
        return answer(False, [problem])
    passed: set[str] = set()
    refused: set[str] = set()
    asked: tuple[list, list] = ([], [])  # inputs, upstream gradients
    for name, suspect in SUSPECTS.items():
        forward, backward = suspect.forward, suspect.backward
        if name == "right":
            forward, backward = on_record(asked, forward, backward)
        rng = np.random.default_rng(seed)
        given = {"forward": forward, "backward": backward, "rng": rng}
        reply = ask(lambda **given: f(*given.values()), given)
        accepted = reply.value
        if reply.error and not isinstance(reply.error, AssertionError):
            return failed(reply.error, f, f" on {suspect.words}" if name != "right" else "")
        if reply.error:
            accepted = False
        if is_missing(accepted):
            return unwritten("your function returns nothing")
        if not isinstance(accepted, bool | np.bool_):
            return answer(False, [f"Not right yet. Return True or False; yours is {a(accepted)}."])
        if bool(accepted) != suspect.right:
            (refused if suspect.right else passed).add(name)
    return _judge(Asked(*asked, passed, refused))


def on_record(asked, forward, backward):
    """The two functions, which write down what they are asked."""
    inputs, upstreams = asked

    def forward_on_record(x, gamma, beta):
        inputs.append(tuple(np.array(value) for value in (x, gamma, beta)))
        return forward(x, gamma, beta)

    def backward_on_record(dy, cache):
        upstreams.append(tuple(np.array(value) for value in (dy, cache.x_hat, cache.gamma)))
        return backward(dy, cache)

    return forward_on_record, backward_on_record


def _judge(asked):
    right = sum(suspect.right for suspect in SUSPECTS.values())
    if not asked.passed and not asked.refused:
        sentence = (
            f"Right: it accepts the right backward pass, in {right} settings, and refuses every "
            f"one of {len(SUSPECTS) - right} wrong ones."
        )
        return answer(True, [sentence])
    found = reasons(asked)
    several = f" {COUNTS.get(len(found), 'Several')} things at once:" if len(found) > 1 else ""
    paragraphs = [f"{mistake.sentence} Go back to {POINTERS[mistake.where]}." for mistake in found]
    paragraphs += ["It is wrong in a way that I have no name for."] * (not found)
    if asked.refused:
        paragraphs.append(f"It refuses {_words(asked.refused)}.")
    if asked.passed:
        paragraphs.append(f"It lets through {_words(asked.passed)}.")
    return answer(False, [f"Not right yet.{several}", *paragraphs], [m.name for m in found])


def _words(names):
    """The first of some suspects in words, in the order of the list, and how many more."""
    words = [suspect.words for name, suspect in SUSPECTS.items() if name in names]
    more = [f"{len(words) - SHOWN} more"] * (len(words) > SHOWN)
    return listed([*words[:SHOWN], *more])
