"""What the checkers of the exercises ask, by seed, and what they say to what is no answer at all.

    python tests/golden_questions.py     # writes golden_questions.json, after either was changed

The pages of the book show numbers of seed 0, and a teacher who grades again with last week's seed
wants last week's questions. Read the difference before you commit it.
"""

import copy
import functools
import inspect
import json
from pathlib import Path

import numpy as np
import test_exercises
import test_exercises_catalogue as catalogue
import test_exercises_evidence

from bnlib import batch_norm, exercises, graph
from bnlib.relatives import group_norm
from bnlib.whitening import whiten

STORED = Path(__file__).with_suffix(".json")
# One right answer for each checker and its options; `check_contrast` asks no function.
ANSWERS = {
    catalogue.called(check, options): (check, f, options)
    for check, f, _, options in reversed(catalogue.RIGHT)
    if check is not exercises.check_contrast
}


def unfinished(*given, **options):
    raise NotImplementedError


def failing(*given, **options):
    raise ValueError("nothing yet")


NO_ANSWERS = {
    "a number": 3,
    "a class": dict,
    "no arguments": lambda: None,
    "unfinished": unfinished,
    "an error": failing,
    **{
        f"returns {name}": lambda *given, value=value, **options: value
        for name, value in {
            "nothing": None,
            "a text": "y",
            "no items": (),
            "two numbers": [0.5, 1.5],
            "three": (1.0, None, 3.0),
            "a complex number": 1j,
            "an array without axes": np.array(0.5),
            "seven numbers": np.ones(7),
        }.items()
    },
}


def in_place(given, value):
    for array in given:
        if isinstance(array, np.ndarray):
            array += 1
    return value


def each(change):
    """A function that changes what was returned, number by number."""

    def changed(given, value):
        if isinstance(value, tuple | list):
            return tuple(changed(given, item) for item in value)
        return change(np.asarray(value)) if isinstance(value, np.ndarray | float) else value

    return changed


# What is done to a right answer; a node of a graph, and yes or no, stay as they are.
CHANGES = {
    "in place": in_place,
    "in float32": each(np.float32),
    "to seven digits": each(lambda value: value * (1 + 1e-7)),
    "an axis more": each(lambda value: value[None]),
    "half as much again": each(lambda value: 1.5 * value),
    "zero": each(np.zeros_like),
    "NaN": each(lambda value: value * np.nan),
}
# Where `check_backward` goes through all pairs of its mistakes, which takes seconds.
SEARCHED = {"half as much again", "an axis more"}
SEARCHES = test_exercises.only_on_large_batches


def epsilon_in_place_of_eps(f, *names):
    """The same function for those who call eps otherwise, so that it must be given in order."""
    return lambda x, *given: f(x, **dict(zip([*names, "eps"], given, strict=True)))


def no_large_numbers(x, gamma, beta, eps):
    if x.max() > 100:
        raise OverflowError("too large")
    return batch_norm(x, gamma, beta, eps=eps)


def large_numbers_moved(x, gamma, beta, eps):
    return batch_norm(x, gamma, beta, eps=eps)[0] + (x > 100)


def no_float32(x, gamma, beta, eps):
    if x.dtype == np.float32:
        raise TypeError("float64 only")
    return batch_norm(x, gamma, beta, eps=eps)


def nothing_for_float32(x, gamma, beta, eps):
    return None if x.dtype == np.float32 else batch_norm(x, gamma, beta, eps=eps)


def wrong_in_float32(x, gamma, beta, eps):
    return batch_norm(x, gamma, beta, eps=eps)[0] * (1.5 if x.dtype == np.float32 else 1)


def no_nan(forward, backward, rng):
    y, cache = forward(rng.normal(size=(4, 2)), np.ones(2), np.zeros(2))
    if np.isnan(backward(y, cache)[0]).any():
        raise ValueError("NaN")
    return True


def no_second_gradient(a):
    def backward(dy):
        def refuse(upstream):
            raise TypeError("once is enough")

        n = len(a.value)
        return [graph.computed("share", [dy], lambda u: np.tile(u / n, (n, 1)), refuse)]

    return graph.computed("mean", [a], lambda u: u.mean(0), backward)


# What students return and raise; most of it is from the tests of its kind answers.
RETURNED = [
    *((exercises.check_backward, f, {}) for f, _ in test_exercises.KIND if f is not SEARCHES),
    *((exercises.check_graph_node, f, {}) for f, _ in test_exercises.NODES),
    *((check, f, {}) for check, f, _ in test_exercises_evidence.KIND),
    *(
        (exercises.check_forward, f, {})
        for f in (
            epsilon_in_place_of_eps(batch_norm, "gamma", "beta"),
            no_large_numbers,
            large_numbers_moved,
            no_float32,
            nothing_for_float32,
            wrong_in_float32,
        )
    ),
    (
        exercises.check_group_norm,
        epsilon_in_place_of_eps(group_norm, "num_groups", "gamma", "beta"),
        {},
    ),
    (exercises.check_whitening, lambda x, epsilon: whiten(x, eps=epsilon)[0], {}),
    (exercises.check_gradient_check, no_nan, {}),
    (exercises.check_graph_node, no_second_gradient, {"twice": True}),
]
NO_OPTIONS = [
    *(("seed", -1), ("seed", 0.5), ("seed", "one"), ("node", "norm")),
    *((name, "yes") for name in ("images", "whole", "twice")),
]


def summary(name, value):
    """Yield words and a number for each array of an argument, which any change of it would move."""
    if isinstance(value, graph.Node):
        value = value.value
    if isinstance(value, np.random.Generator):
        value = copy.deepcopy(value).normal()
    if isinstance(value, tuple):
        for number, field in enumerate(value):
            yield from summary(f"{name}.{number}", field)
    elif isinstance(value, np.ndarray | float | int):
        array = np.asarray(value)
        weights = np.cos(np.arange(array.size)).reshape(array.shape)
        yield f"{name}: {array.dtype} {array.shape}", round(float((weights * array).sum()), 6)


def questions(key, **seed):
    """Everything that a right answer is called with, call by call, by a checker with this seed."""
    check, f, options = ANSWERS[key]
    calls = []

    @functools.wraps(f)
    def watched(*given, **named):
        both = {**dict(enumerate(given)), **named}
        calls.append({k: v for name, value in both.items() for k, v in summary(name, value)})
        return f(*given, **named)

    check(watched, **options, **seed)
    return calls


def cases(key):
    """By name: what is no answer for a checker, and a right answer that was changed."""
    check, right, _ = ANSWERS[key]

    def changed(change):
        @functools.wraps(right)
        def f(*given, **named):
            return change((*given, *named.values()), right(*given, **named))

        return f

    if check in (exercises.check_graph_node, exercises.check_gradient_check):
        return NO_ANSWERS
    names = CHANGES.keys() - (SEARCHED if check is exercises.check_backward else set())
    return NO_ANSWERS | {name: changed(CHANGES[name]) for name in sorted(names)}


def said(key, name):
    """What a checker says to one of them."""
    check, _, options = ANSWERS[key]
    answer = catalogue.asked(check, cases(key)[name], options)
    return [answer.right, *answer.mistakes, answer.text]


def told(number):
    """What is said to one of `RETURNED`."""
    check, f, options = RETURNED[number]
    answer = check(f, **options)
    return [check.__name__, answer.right, *answer.mistakes, answer.text]


def refusals(name):
    """How a checker refuses its options, each with a value that it cannot use."""
    check = getattr(exercises, name)
    known = inspect.signature(check).parameters
    return {
        f"{option}={value!r}": refusal(check, {option: value})
        for option, value in NO_OPTIONS
        if option in known
    }


def refusal(check, options):
    try:
        check(unfinished, **options)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def main():
    """Write them all."""
    everything = {
        "asked by the book": {key: questions(key) for key in ANSWERS},
        "asked of a student": {key: questions(key, seed=catalogue.SEED) for key in ANSWERS},
        "said": {key: {name: said(key, name) for name in cases(key)} for key in ANSWERS},
        "told": list(map(told, range(len(RETURNED)))),
        "refused": {name: refusals(name) for name in exercises.__all__ if name != "Answer"},
    }
    text = json.dumps(everything, indent=1, sort_keys=True, ensure_ascii=False)
    STORED.write_text(text + "\n", encoding="utf-8")
    print(f"{sum(map(len, everything.values()))} questions and answers")


if __name__ == "__main__":
    main()
