"""The sentences with which bnlib refuses an argument, each with a call that brings it about.

    python tests/golden_sentences.py     # writes golden_sentences.json, after words were changed

Read the difference before you commit it: readers will meet these words.
"""

import contextlib
import io
import json
import os
import re
import tempfile
import types
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import calls
import calls_drawing
import numpy as np

STORED = Path(__file__).with_suffix(".json")
GOOD = calls.GOOD | {name: calls_drawing.GOOD[name] for name in calls_drawing.DRAWING}
# What would be done as asked, for years; what has another name on another machine.
LEFT_OUT = {"2**70", "10**400", "1e308", "infinity", "longdouble", "as longdouble", "module"}
# What drawings are asked with: they take their time, and these bring about nearly all sentences.
TELLING = """
    None; text; True; imaginary; NaN; -1; 0; 1e-320; list; ragged; list of text; dict; dict of text;
    no rows; one row; long vector; as masked; as longer; as transposed; as NaN; as negative;
    as one axis more; as one axis fewer; as complex128; one more; has the key 7
"""
TELLING = {kind.strip() for kind in TELLING.split(";")}


def kinds(name, argument, value):
    """What an argument may become, by kind; of a drawing also what it holds and gives."""
    if name in calls.GOOD:
        return {kind: make for kind, make in calls.bad(value) if kind not in LEFT_OUT}
    every = dict(calls_drawing.spoilt(value))
    if argument in calls_drawing.FUNCTIONS.get(name, ()):
        for kind, make in calls.BAD.items():
            every[f"gives {kind}"] = lambda make=make: calls.gives(make())
    return {kind: make for kind, make in every.items() if innermost(kind) in TELLING}


def innermost(kind):
    """What is spoilt in the end: "text" of "holds holds text"."""
    return kind.removeprefix("gives ").rpartition("holds ")[2]


def spoilt(name, argument, kind):
    """The arguments of a good call with one of them spoilt."""
    arguments = GOOD[name]()
    with np.errstate(all="ignore"):
        return {**arguments, argument: kinds(name, argument, arguments[argument])[kind]()}


def sentence(name, arguments):
    """What a call says, without addresses and paths; None if it goes well or numpy says it."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            result = calls.function_of(name)(**arguments)
            if isinstance(result, contextlib.AbstractContextManager):
                result.__enter__()
            elif name in calls_drawing.DRAWING and isinstance(result, types.GeneratorType):
                list(result)
        except Exception as error:
            text = re.sub(r"0x[0-9a-fA-F]+", "0x…", str(error))
            text = re.sub(r"'/[^']*'", "'/…'", text)
            return text if calls.SENTENCE.match(text) else None
    return None


def found(name):
    """Yield argument, kind and sentence, once for each that is not only about another value."""
    told = set()
    for argument, value in GOOD[name]().items():
        for kind in kinds(name, argument, value):
            text = sentence(name, spoilt(name, argument, kind))
            if text and (argument, text.partition(" got ")[0]) not in told:
                told.add((argument, text.partition(" got ")[0]))
                yield argument, kind, text


def main():
    """Write them all."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # "text" is a good path
        everything = {name: list(found(name)) for name in sorted(GOOD)}
    text = json.dumps(everything, indent=1, ensure_ascii=False)
    STORED.write_text(text + "\n", encoding="utf-8")
    print(f"{sum(map(len, everything.values()))} sentences of {len(everything)} functions")


if __name__ == "__main__":
    main()
