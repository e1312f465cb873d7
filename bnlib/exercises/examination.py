"""The course of an examination: ask on every batch, compare, name what is wrong, say it kindly."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bnlib.exercises.answers import answer, listed, number_text, table, verb
from bnlib.exercises.calling import Unfit, as_number, ask, fresh, is_missing, misfit, stopped
from bnlib.exercises.diagnosis import CLOSE, EXACT, Formula, Mistake, explain, follow, same, scale
from bnlib.exercises.pointers import POINTERS

SMALL = 8  # numbers in a batch that is shown in full
SINGLE = 1e-3  # what small batches of float32 keep in any order of computing
COUNTS = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six"}


def by_shape(given):
    """Call a batch by the shape of its first array."""
    return f"on a batch of shape {np.shape(next(iter(given.values())))}"


def by_value(given):
    """Call a batch that consists of numbers by these."""
    return f"for {listed([f'{name} = {value:g}' for name, value in given.items()])}"


class Exercise(NamedTuple):
    """What a checker must know about what the reader writes.

    Attributes
    ----------
    steps : dict of str to callable
        The derivation: each formula sees the given values and the results of the steps before it.
    outputs : tuple of str
        The steps that the reader's function returns; the first is what the exercise is about.
    mistakes : tuple of Mistake
    arguments : callable
        A batch (dict of given values) to the named arguments of `run`.
    run : callable
        The reader's function, and those arguments, to what it returns.
    unpack : callable
        What was returned to a dict of outputs; raises Unfit.
    shown : callable
        A batch to the dict of arrays that a reader needs to see what happens.
    probes : tuple of callable
        Further questions to an answer whose numbers are right, each (exercise, f, batches, exact)
        to None or an `Answer`.
    optional : tuple of str
        Outputs that may be left for later.
    called : callable
        What is shown of a batch to the words by which it is called.
    nouns : tuple of str
        What is called a batch here, one and several.
    """

    steps: dict[str, Formula]
    outputs: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    arguments: Callable[[dict], dict]
    run: Callable[..., Any]
    unpack: Callable[[Any], dict]
    shown: Callable[[dict], dict]
    probes: tuple[Callable, ...] = ()
    optional: tuple[str, ...] = ()
    called: Callable[[dict], str] = by_shape
    nouns: tuple[str, str] = ("batch", "batches")


class Found(NamedTuple):
    """What one batch brought: the outputs by name (or an error), and the arguments changed."""

    outputs: dict
    error: BaseException | None = None
    changed: tuple[str, ...] = ()


class Comparison(NamedTuple):
    """One output on all batches: the reader's (None where it stopped) beside the right one."""

    got: list
    expected: list

    def agrees(self, tolerance):
        """Whether it is right everywhere."""
        return all(same(*both, tolerance) for both in zip(self.got, self.expected, strict=True))

    def tells(self):
        """Whether the reader's numbers tell what was done: not if all are 0, none is finite."""
        finite = any(got is not None and np.isfinite(got).any() for got in self.got)
        return finite and self.is_something()

    def is_something(self):
        """Whether the reader's numbers are more than zeros and rounding errors."""
        return any(
            got is not None and not np.all(np.abs(got) < EXACT * scale(expected))
            for got, expected in zip(self.got, self.expected, strict=True)
        )


def examine(exercise, f, batches):
    """Ask the reader's function for every batch and judge what comes back.

    Parameters
    ----------
    exercise : Exercise
    f : callable
    batches : list of dict
        The first should be small: an unknown mistake is shown on it.

    Returns
    -------
    Answer
    """
    try:
        return _judge(exercise, f, batches, [find(exercise, f, batch) for batch in batches])
    except Unfit as unfit:
        return answer(False, [f"Not right yet. {unfit}"])


def examine_number(output, steps, mistakes, f, cases, *, nouns, called=by_value):
    """Examine a function that is called with the values of a case and returns one number."""
    problem = misfit(f, list(cases[0]))
    if problem:
        return answer(False, [problem])

    def arguments(case):
        return case

    def run(f, **given):
        return f(*given.values())

    def unpack(value):
        return {output: as_number(output, value)}

    exercise = Exercise(
        steps, (output,), mistakes, arguments, run, unpack, arguments, called=called, nouns=nouns
    )
    return examine(exercise, f, cases)


def _judge(exercise, f, batches, found):
    if all(one.error for one in found):
        return failed(found[0].error, f)
    written = [n for n in exercise.outputs if any(n in one.outputs for one in found)]
    missing = [n for n in exercise.outputs if n not in (*written, *exercise.optional)]
    if missing:
        return unwritten(
            f"{listed(missing)} {verb(missing, 'is', 'are')} missing"
            if written
            else "your function returns nothing"
        )
    right = [follow(exercise.steps, batch) for batch in batches]
    compared = {
        name: Comparison(
            [one.outputs.get(name) for one in found], [np.asarray(getattr(v, name)) for v in right]
        )
        for name in written
    }
    if all(both.agrees(CLOSE) for both in compared.values()):
        return praise(exercise, f, batches, found, compared)
    return diagnose(exercise, f, batches, found, compared)


def find(exercise, f, batch, dtype=np.float64):
    """Ask for one batch; raises Unfit for what cannot be compared."""
    arguments = {name: fresh(value, dtype) for name, value in exercise.arguments(batch).items()}
    reply = ask(lambda **given: exercise.run(f, **given), arguments)
    if isinstance(reply.error, Unfit):
        raise reply.error
    if reply.error:
        return Found({}, reply.error)
    outputs = {} if is_missing(reply.value) else exercise.unpack(reply.value)
    return Found({k: v for k, v in outputs.items() if not is_missing(v)}, None, reply.changed)


def failed(error, f, where=""):
    """Answer a function that raised."""
    if isinstance(error, NotImplementedError):
        return unwritten("your function says that it is not implemented")
    return answer(False, [f"Not right yet. {stopped(error, f, where)}"])


def unwritten(reason):
    """Answer a stub."""
    return answer(False, [f"Not yet: {reason}. Fill it in and run the cell again."])


# --- right ---------------------------------------------------------------------------------------


def praise(exercise, f, batches, found, compared):
    """Answer a function whose numbers are right; the probes may still find something."""
    changed = changed_places(found)
    if changed:
        return objection("in_place", f"The numbers are right. {damage_sentence(changed)}")
    exact = all(both.agrees(EXACT) for both in compared.values())
    for probe in exercise.probes:
        found_by_probe = probe(exercise, f, batches, exact)
        if found_by_probe is not None:
            return found_by_probe
    names = list(compared)
    lines = [
        f"Right: {listed(names)} {verb(names, 'agrees', 'agree')} with the derivation on "
        f"all {len(batches)} made-up {exercise.nouns[1]}."
    ]
    if not exact:
        lines.append(
            "They agree to about six digits and then part: something in it is float32, or a finite "
            "difference. The formula is right."
        )
    absent = [name for name in exercise.outputs if name not in compared]
    if absent:
        lines.append(f"{listed(absent)} {verb(absent, 'was', 'were')} not looked at.")
    return answer(True, lines)


def objection(name, sentence, where=None):
    """Answer a function whose numbers are right and that is wrong all the same."""
    back = f" Go back to {POINTERS[where]}." if where else ""
    return answer(False, ["Not right yet.", f"{sentence}{back}"], [name] if name else [])


def changed_places(found):
    """The arguments that were changed on any batch."""
    return list(dict.fromkeys(place for one in found for place in one.changed))


def damage_sentence(changed):
    """Say which arguments were changed and how that happens."""
    return (
        f"Your function changes {listed(changed)} in place, and whoever called it still needs "
        f"{verb(changed, 'it', 'them')}: `x -= mean` writes into x, `x = x - mean` does not."
    )


def keeps_dtype(exercise, f, batches, exact):
    """Object if float64 or float32 goes in and something else comes out."""
    del exact
    right = follow(exercise.steps, batches[0])
    for dtype in (np.float64, np.float32):
        found = find(exercise, f, batches[0], dtype)
        if found.error:
            return failed(found.error, f, f" on a batch of {np.dtype(dtype)}")
        other = [name for name, value in found.outputs.items() if value.dtype != dtype]
        if other:
            return objection("dtype", _dtype_sentence(other, found.outputs[other[0]], dtype))
        for name, value in found.outputs.items():
            if not same(value, getattr(right, name), SINGLE):
                return objection(
                    None, f"{name} is right in float64 and wrong in {np.dtype(dtype)}."
                )
        if not found.outputs:
            return objection(None, f"Your function returns nothing for {np.dtype(dtype)}.")
    return None


def _dtype_sentence(names, value, dtype):
    return (
        f"The numbers are right, but {np.dtype(dtype)} goes in and {value.dtype} comes out of "
        f"{listed(names)}. A network in float32 would change its precision halfway; np.empty_like "
        "and .astype(x.dtype) keep it."
    )


# --- wrong ---------------------------------------------------------------------------------------


def diagnose(exercise, f, batches, found, compared):
    """Answer a function whose numbers are wrong: named mistakes, then what has no name."""
    wrong = {name: both for name, both in compared.items() if not both.agrees(CLOSE)}
    reasons = causes(exercise, batches, compared, wrong)
    mistakes = list(dict.fromkeys(m for named in reasons.values() for m in named))
    paragraphs = [in_words(m, list(wrong), reasons) for m in mistakes]
    names = [m.name for m in mistakes]
    unnamed = {name: both for name, both in wrong.items() if not reasons[name]}
    batch = []
    if unnamed and any(one.error for one in found):
        paragraphs.append(where_it_stopped(exercise, f, batches, found))
    elif unnamed:
        names += ["shape"] * any(map(same_but_for_shape, unnamed.values()))
        paragraphs += [unexplained(exercise, batches, *item) for item in unnamed.items()]
        if not all(starts_well(both) for both in unnamed.values()):
            batch = shown(exercise, batches[0])
    changed = changed_places(found)
    if changed:
        paragraphs.append(damage_sentence(changed))
        names.append("in_place")
    together = f" {COUNTS.get(len(paragraphs), 'Several')} things at once:"
    start = heading(compared, wrong) + (together if len(paragraphs) > 1 else "")
    return answer(False, [start, *paragraphs, *batch], names)


def causes(exercise, batches, compared, wrong):
    """For each wrong output the mistakes behind it; first such as explain everything at once.

    Zeros alone tell nothing, nor does NaN: many mistakes give 0 somewhere, and so does a stub.
    """
    if not any(both.tells() for both in wrong.values()):
        return dict.fromkeys(wrong, ())
    got = {name: both.got for name, both in compared.items()}
    together = explain(exercise.steps, exercise.mistakes, batches, got)
    if together:
        return dict.fromkeys(wrong, together)
    return {
        name: explain(exercise.steps, exercise.mistakes, batches, {name: both.got}) or ()
        if both.tells()
        else ()
        for name, both in wrong.items()
    }


def heading(compared, wrong):
    """Say which outputs are wrong, and that the others are right."""
    fine = [name for name in compared if name not in wrong]
    if not fine:
        return "Not right yet."
    return f"Not right yet: {listed(wrong)}. ({listed(fine)} {verb(fine, 'is', 'are')} right.)"


def in_words(mistake, wrong, reasons):
    """Say what the mistake is, in which outputs if that is in doubt, and where to read again."""
    seen = [name for name in wrong if mistake in reasons[name]]
    prefix = "" if seen == wrong else f"In {listed(seen)}: "
    return f"{prefix}{mistake.sentence} Go back to {POINTERS[mistake.where]}."


def where_it_stopped(exercise, f, batches, found):
    """Say on which shape the function raised, and on which it did not."""
    places = [called(exercise, batch) for batch in batches]
    number = next(i for i, one in enumerate(found) if one.error)
    other = next(i for i, one in enumerate(found) if not one.error)
    sentence = stopped(found[number].error, f, f" {places[number]}")
    return f"{sentence} {places[other][0].upper()}{places[other][1:]} it ran."


def same_but_for_shape(both):
    """Whether only axes of length 1 are too many or missing."""
    return all(
        got is not None and same(got.squeeze(), expected.squeeze())
        for got, expected in zip(*both, strict=True)
    )


def starts_well(both):
    """Whether the first batch has nothing to show, because its numbers are right."""
    return same_but_for_shape(Comparison(both.got[:1], both.expected[:1]))


def unexplained(exercise, batches, name, both):
    """Say where and how far an output leaves the right numbers, without a reason."""
    number, got, expected = next(
        (i, got, expected)
        for i, (got, expected) in enumerate(zip(*both, strict=True))
        if not same(got, expected)
    )
    batch = called(exercise, batches[number])
    if got is None:
        return f"{name} is missing {batch}."
    if got.shape != expected.shape:
        fine = " The numbers in it are right." if same_but_for_shape(both) else ""
        return f"{name} must have the shape {expected.shape} {batch}; yours has {got.shape}.{fine}"
    if not both.is_something():
        return f"{name} is 0 everywhere."
    size = scale(expected)
    index = np.argwhere(~np.isclose(got, expected, rtol=0, atol=CLOSE * size))[0]
    place = f"{name}[{', '.join(map(str, index))}]" if len(index) else name
    right, yours = expected[tuple(index)], got[tuple(index)]
    factor = yours / right if right else np.nan
    times = f" Every number is {number_text(factor)} times the right one there."
    constant = expected.ndim and np.isfinite(factor) and same(got, factor * expected)
    return (
        f"{name} is wrong in a way that I have no name for. The first number that differs {batch} "
        f"is {place}: {number_text(right, size)} is right, yours is {number_text(yours, size)}."
        f"{times if constant else ''}"
    )


def shown(exercise, batch):
    """The batch as lines that can be pasted into a cell, if it is small, and no mere numbers."""
    values = exercise.shown(batch)
    if not 1 < max(np.size(value) for value in values.values()) <= SMALL:
        return []
    lines = [table(name, value) for name, value in values.items()]
    return [f"The first {exercise.nouns[0]} was:", *lines]


def called(exercise, batch):
    """The words by which a batch is called."""
    return exercise.called(exercise.shown(batch))
