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
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import calls
import numpy as np

STORED = Path(__file__).with_suffix(".json")
GOOD = calls.GOOD
# What would be done as asked, for years; what has another name on another machine.
LEFT_OUT = {"2**70", "10**400", "1e308", "infinity", "longdouble", "as longdouble", "module"}


def spoilt(name, argument, kind):
    """The arguments of a good call with one of them spoilt."""
    arguments = GOOD[name]()
    with np.errstate(all="ignore"):
        return {**arguments, argument: dict(calls.bad(arguments[argument]))[kind]()}


def sentence(name, arguments):
    """What a call says, without addresses and paths; None if it goes well or numpy says it."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            result = calls.function_of(name)(**arguments)
            if isinstance(result, contextlib.AbstractContextManager):
                result.__enter__()
        except Exception as error:
            text = re.sub(r"0x[0-9a-fA-F]+", "0x…", str(error))
            text = re.sub(r"'/[^']*'", "'/…'", text)
            return text if calls.SENTENCE.match(text) else None
    return None


def found(name):
    """Yield argument, kind and sentence, once for each that is not only about another value."""
    told = set()
    for argument, value in GOOD[name]().items():
        for kind, _ in calls.bad(value):
            if kind in LEFT_OUT:
                continue
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
