"""Why a gradient check could not see: mistakes in the question, in the reference, in the verdict.

What a check asked is on record (`Asked`); which of the suspects it let through and which right ones
it refused, too. A mistake is a sentence and a condition on these.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bnlib.exercises.backward_suspects import SUSPECTS

WRONG = {name for name, suspect in SUSPECTS.items() if not suspect.right}
LARGE_STEP, SMALL_STEP = 0.03, 1e-9  # how far apart two calls lie; the inputs are near 1
NO_STEP = 0.5  # so far apart, they are two batches and not two ends of a step
MANY = 32  # examples among which N - 1 for N hides


class Asked(NamedTuple):
    """What a check asked of the right backward pass, and how all suspects fared.

    Attributes
    ----------
    inputs : list of tuple of ndarray
        x, gamma, beta of each call of the forward pass.
    upstreams : list of tuple of ndarray
        dy, x_hat and gamma of each call of the backward pass.
    passed : set of str
        The wrong suspects that were let through.
    refused : set of str
        The right ones that were not.
    """

    inputs: list
    upstreams: list
    passed: set
    refused: set

    def gross(self):
        """Whether what is grossly wrong in dx is caught."""
        return "zeros" not in self.passed

    def examples(self):
        """The size of the smallest batch."""
        return min(len(dy) for dy, _, _ in self.upstreams)

    def points(self):
        """How many different inputs the forward pass saw."""
        return len({b"".join(a.tobytes() for a in arrays) for arrays in self.inputs})

    def step(self):
        """The shortest way from one call to the next, 0 if imaginary or if none is short."""
        if any(np.iscomplexobj(a) for arrays in self.inputs for a in arrays):
            return 0.0
        pairs = zip(self.inputs, self.inputs[1:], strict=False)
        ways = [_apart(*pair) for pair in pairs]
        return min((way for way in ways if 0 < way < NO_STEP), default=0.0)

    def along(self, *directions):
        """Whether every dy is a mix of these directions of (dy, x_hat), channel by channel."""
        return all(_mixed(dy, directions, x_hat) for dy, x_hat, _ in self.upstreams)


def _apart(one, two):
    """The largest difference between the inputs of two calls; infinite for other shapes."""
    if any(a.shape != b.shape for a, b in zip(one, two, strict=True)):
        return np.inf
    return max(float(np.abs(a - b).max(initial=0)) for a, b in zip(one, two, strict=True))


def _mixed(dy, directions, x_hat):
    for channel, normalized in zip(dy.T, x_hat.T, strict=True):
        basis = np.stack([direction(normalized) for direction in directions], axis=1)
        rest = channel - basis @ np.linalg.lstsq(basis, channel, rcond=None)[0]
        if np.abs(rest).max() > 1e-6 * np.abs(channel).max():
            return False
    return True


ONE, X_HAT = np.ones_like, np.asarray


class Blindness(NamedTuple):
    """A mistake in a gradient check.

    Attributes
    ----------
    name : str
    where : str
        A key of `POINTERS`.
    sentence : str
    seen : callable
        `Asked` to whether this is the mistake.
    """

    name: str
    where: str
    sentence: str
    seen: Callable[[Asked], bool]


# Each ends the search: what else is found rests on an answer to some question.
NO_QUESTION = (
    Blindness(
        "backward_not_called",
        "compare",
        "The backward pass that is to be checked is not called at all.",
        lambda a: not a.upstreams,
    ),
    Blindness(
        "turned_round",
        "can_fail",
        "The answer is turned round: True means that the backward pass is right.",
        lambda a: "right" in a.refused and a.passed == WRONG,
    ),
    Blindness(
        "compared_with_itself",
        "compare",
        "The gradient is compared with itself, or with nothing: the forward pass was never asked "
        "at a second point. The reference has to come from slopes of the forward pass.",
        lambda a: a.points() < 2 and not a.refused,
    ),
    Blindness(
        "formula_for_slope",
        "compare",
        "The gradient is compared with a formula, which may have the same mistake, and which knows "
        "one forward pass only: the forward pass was never asked at a second point. The reference "
        "has to come from its slopes.",
        lambda a: a.points() < 2,
    ),
)
EVERYTHING = Blindness(
    "accepts_everything",
    "can_fail",
    "Everything passes: what is measured has no say in the answer.",
    lambda a: a.passed == WRONG,
)
# Where one of these holds, the answers tell nothing further.
QUESTION = (
    Blindness(
        "one_example",
        "missed",
        "The batch has one example: then x_hat is 0, the true dx is 0 for every dy, and zeros pass "
        "like anything that is multiplied by x_hat.",
        lambda a: a.examples() == 1,
    ),
    Blindness(
        "two_examples",
        "missed",
        "The batch has two examples: the constant direction and x_hat use up both, and the true dx "
        "is as small as eps. Take a few more.",
        lambda a: a.examples() == 2,
    ),
    Blindness(
        "all_alike",
        "missed",
        "All examples of the batch are alike, so x_hat is 0 and with it most of what could be "
        "wrong: draw x at random.",
        lambda a: a.examples() > 2 and all(np.abs(h).max() < 1e-6 for _, h, _ in a.upstreams),
    ),
    Blindness(
        "ones_upstream",
        "missed",
        "The upstream gradient is the same for all examples, as that of a sum over the outputs is. "
        "Along it the true dx and dgamma are 0: draw dy at random.",
        lambda a: a.examples() > 2 and a.along(ONE),
    ),
    Blindness(
        "upstream_along_x_hat",
        "missed",
        "The upstream gradient is a multiple of x_hat, plus a constant, as that of a sum of "
        "squares is, or one drawn with the seed of x. Along it the true dx is as small as eps: "
        "draw dy at random, from the generator that drew x.",
        lambda a: a.examples() > 2 and a.along(ONE, X_HAT) and not a.along(ONE),
    ),
)
ANSWER = (
    Blindness(
        "gamma_of_ones",
        "can_fail",
        "gamma is 1 everywhere, and so nobody notices where it was forgotten: draw it at random.",
        lambda a: "gamma forgotten" in a.passed and all((g == 1).all() for *_, g in a.upstreams),
    ),
    Blindness(
        "dx_not_compared",
        "compare",
        "dx is not compared: what is wrong in dx alone passes.",
        lambda a: (
            {"zeros", "thousandfold", "all too low", "all too high"} <= a.passed
            and not {"dgamma", "dbeta"} <= a.passed
        ),
    ),
    Blindness(
        "dgamma_not_compared",
        "compare",
        "dgamma is not compared: a wrong one passes.",
        lambda a: "dgamma" in a.passed,
    ),
    Blindness(
        "dbeta_not_compared",
        "compare",
        "dbeta is not compared: a wrong one passes.",
        lambda a: "dbeta" in a.passed,
    ),
    Blindness(
        "sums_compared",
        "compare",
        "The entries are added up before they are compared. A true dx adds up to 0 in each "
        "channel, and so do zeros: compare entry by entry, or along a random direction.",
        lambda a: (
            {"zeros", "thousandfold", "rows moved"} <= a.passed and "all too high" not in a.passed
        ),
    ),
    Blindness(
        "sizes_compared",
        "compare",
        "Only the sizes are compared, such as the norms of two gradients: a dx with the wrong sign "
        "and one with its rows in another order have the right size. Compare the difference.",
        lambda a: a.gross() and {"rows moved", "flipped"} <= a.passed,
    ),
    Blindness(
        "sign_lost",
        "compare",
        "The sign is lost: absolute values are compared, where the absolute value of the "
        "difference should be.",
        lambda a: a.gross() and "flipped" in a.passed and "rows moved" not in a.passed,
    ),
    Blindness(
        "size_lost",
        "compare",
        "The size is not compared: gradients that are a thousand times too large pass, as long as "
        "they point the right way.",
        lambda a: a.gross() and {"thousandfold", "doubled"} <= a.passed,
    ),
    Blindness(
        "difference_without_abs",
        "compare",
        "The difference has no absolute value: whatever is wrong to one side is below every "
        "tolerance.",
        lambda a: a.gross() and ("all too low" in a.passed) != ("all too high" in a.passed),
    ),
    Blindness(
        "some_entries",
        "compare",
        "It is enough that some of the entries agree: a dx that is wrong in one entry, or in one "
        "channel, passes. Compare all of them, or along a random direction.",
        lambda a: (
            a.gross()
            and bool({"one entry", "one channel"} & a.passed)
            and not {"flipped", "thousandfold"} & a.passed
        ),
    ),
    Blindness(
        "nan_passes",
        "can_fail",
        "NaN passes: every comparison with NaN is False, so ask whether the difference is within "
        "the tolerance, not whether it is beyond.",
        lambda a: a.gross() and "nan" in a.passed,
    ),
    Blindness(
        "tolerance_loose",
        "kill",
        "The tolerance is too wide: gradients that are all wrong by a hundredth pass.",
        lambda a: a.gross() and "one percent" in a.passed and "doubled" not in a.passed,
    ),
    Blindness(
        "tolerance_absolute",
        "kill",
        "The tolerance is absolute: where gradients are small, as those of a mean over many "
        "examples are, it is wider than they are, and zeros pass. Measure the difference as a "
        "share of the gradient's own size.",
        lambda a: a.gross() and "zeros, small units" in a.passed,
    ),
    Blindness(
        "many_examples",
        "can_fail",
        "The batch is so large that faults of the mean and of the variance path, N - 1 for N "
        "before all, hide in it: take fewer examples.",
        lambda a: (
            a.gross()
            and "n - 1" in a.passed
            and "one percent" not in a.passed
            and a.examples() > MANY
        ),
    ),
    Blindness(
        "step_too_large",
        "compare",
        "The step is too large: between the two points the function bends. Near 1e-5 central "
        "differences are at their best.",
        lambda a: a.step() > LARGE_STEP,
    ),
    Blindness(
        "step_too_small",
        "compare",
        "The step is too small: the two values share nearly all of their digits, and what is left "
        "of the difference is rounding. Near 1e-5 central differences are at their best; for 1e-30 "
        "the step must be imaginary.",
        lambda a: 0 < a.step() < SMALL_STEP,
    ),
)
# Reasons why a right backward pass is refused.
REFUSAL = (
    Blindness(
        "loss_without_upstream",
        "compare",
        "The slopes are those of the plain sum of y, and the backward pass is given another dy: "
        "the loss must be the sum of dy * y.",
        lambda a: "deaf" in a.passed,
    ),
    Blindness(
        "mean_for_sum",
        "compare",
        "The loss is an average, and the backward pass is given dy undivided: dy belongs to the "
        "sum of dy * y.",
        lambda a: bool({"by size", "by rows"} & a.passed),
    ),
    Blindness(
        "two_forgotten",
        "compare",
        "The slopes are twice what they should be: from x - h to x + h it is 2 h.",
        lambda a: "doubled" in a.passed,
    ),
    Blindness(
        "two_too_many",
        "compare",
        "The slopes are half of what they should be: from x to x + h it is h, and not 2 h.",
        lambda a: "halved" in a.passed,
    ),
)
REFUSES_RIGHT = Blindness(
    "refuses_right",
    "can_fail",
    "A right backward pass is refused. Is the tolerance tighter than the reference is exact? Are "
    "the slopes those of the sum of dy * y, at the x, gamma and beta that the backward pass was "
    "given?",
    lambda a: True,
)
CATALOGUE = (*NO_QUESTION, *QUESTION, EVERYTHING, *ANSWER, *REFUSAL, REFUSES_RIGHT)


def reasons(asked):
    """The mistakes in a check that let something through or refused a right one."""
    for group in (NO_QUESTION, QUESTION, (EVERYTHING,)):
        found = [mistake for mistake in group if mistake.seen(asked)]
        if found:
            return found[:1]
    found = [mistake for mistake in ANSWER if mistake.seen(asked)]
    if "right" in asked.refused:
        found += [mistake for mistake in REFUSAL if mistake.seen(asked)]
    if asked.refused and not found:
        found.append(REFUSES_RIGHT)
    return found
