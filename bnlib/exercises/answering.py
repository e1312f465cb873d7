"""The other process of `grading`: it runs a student's cells and answers questions with arrays.

It is started as a script, knows nothing of bnlib, and is told no right answer. A message is one
line of JSON in either direction; `encoded` and `decoded` turn arrays, numbers, tuples and records
into such and back, without pickle, and `decoded` believes nothing.
"""

import base64
import collections
import json
import math
import os
import re
import sys
import types

import numpy as np

MAX_BYTES = 1 << 20  # of a message
MAX_ITEMS, MAX_DEPTH, MAX_TEXT = 20, 3, 200
DTYPES = {np.dtype(code).str for code in "?bBhHiIlLqQefdFD"}
MEMORY, FILE = 2 << 30, 10 << 20  # bytes

# --- messages -------------------------------------------------------------------------------------


def encoded(value, depth=MAX_DEPTH):
    """A value as what JSON can hold; what it cannot hold is named by its type.

    Examples
    --------
    >>> encoded((1.5, None))
    {'tuple': [{'number': 1.5}, {'missing': True}]}
    >>> encoded({1, 2})
    {'other': 'set'}
    """
    if value is None or value is ...:
        return {"missing": True}
    if isinstance(value, bool | int | float) and abs(value) < 1e300:
        return {"number": value}
    if isinstance(value, np.ndarray | np.generic | float):
        array = np.asarray(value)
        if array.dtype.str in DTYPES:
            data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
            kind = "array" if isinstance(value, np.ndarray) else "scalar"
            return {kind: data, "dtype": array.dtype.str, "shape": list(array.shape)}
    if isinstance(value, tuple | list) and depth and len(value) <= MAX_ITEMS:
        items = [encoded(item, depth - 1) for item in value]
        if hasattr(value, "_fields"):
            return {"record": type(value).__name__, "fields": list(value._fields), "items": items}
        return {"tuple" if isinstance(value, tuple) else "list": items}
    return {"other": str(type(value).__name__)[:MAX_TEXT]}


def decoded(message, depth=MAX_DEPTH):
    """The value of a message; ValueError for whatever `encoded` does not make.

    Examples
    --------
    >>> decoded(encoded((1.5, np.ones(2))))
    (1.5, array([1., 1.]))
    """
    if not isinstance(message, dict) or depth < 0:
        raise ValueError("a message must be a shallow object")
    if "missing" in message:
        return None
    if "number" in message and isinstance(message["number"], bool | int | float):
        return message["number"]
    for kind in ("array", "scalar"):
        if kind in message:
            array = _array(message[kind], message.get("dtype"), message.get("shape"))
            return array if kind == "array" else array[()]
    for kind in ("tuple", "list"):
        if kind in message:
            items = _items(message[kind], depth)
            return tuple(items) if kind == "tuple" else items
    if "record" in message:
        return _record(message["record"], message.get("fields"), _items(message["items"], depth))
    if "other" in message:
        return type(_word(message["other"]), (), {})()
    raise ValueError("a message of no known kind")


def _array(data, dtype, shape):
    sizes = shape if isinstance(shape, list) and len(shape) <= 8 else [-1]
    if dtype not in DTYPES or not isinstance(data, str):
        raise ValueError("an array of no known kind")
    if not all(type(size) is int and 0 <= size <= MAX_BYTES for size in sizes):
        raise ValueError("an array of no known shape")
    flat = np.frombuffer(base64.b64decode(data, validate=True), dtype)
    if math.prod(sizes) != flat.size:
        raise ValueError("an array of another size than it says")
    return flat.reshape(sizes).copy()


def _items(items, depth):
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        raise ValueError("too many items")
    return [decoded(item, depth - 1) for item in items]


def _record(name, fields, items):
    if not isinstance(fields, list) or len(fields) != len(items):
        raise ValueError("a record must name its items")
    return collections.namedtuple(_word(name), map(_word, fields))(*items)


def _word(text):
    """A text that may be the name of a type."""
    return text if isinstance(text, str) and re.fullmatch(r"[A-Za-z]\w{0,40}", text) else "object"


def printable(text):
    """A text without anything that could move a terminal's cursor, and not long."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:MAX_TEXT])


# --- the student's process ------------------------------------------------------------------------


def stand_ins():
    """Modules in place of bnlib: homework that takes the library's own functions is no homework."""
    package, checkers = types.ModuleType("bnlib"), types.ModuleType("bnlib.exercises")

    def checker(name):
        if name.startswith("check_"):
            return lambda *given, **options: None
        raise AttributeError(name)

    checkers.__getattr__ = checker  # type: ignore[method-assign]
    package.exercises = checkers  # type: ignore[attr-defined]
    sys.modules.update({"bnlib": package, "bnlib.exercises": checkers})


def bound_oneself(seconds):
    """Bound memory, time, files and, unless one is root, new processes, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    bounds = {
        "RLIMIT_AS": MEMORY,
        "RLIMIT_CPU": seconds + 1,
        "RLIMIT_FSIZE": FILE,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
    }
    for name, bound in bounds.items():
        try:
            resource.setrlimit(getattr(resource, name), (bound, bound))
        except (AttributeError, ValueError, OSError):  # macOS knows some of them only by name
            continue


def run_cells(cells, names):
    """Run the cells one after the other, also after one that fails; the namespace, the errors."""
    errors = []
    for number, source in enumerate(cells, start=1):
        try:
            exec(compile(source, f"<cell {number}>", "exec"), names)  # noqa: S102 (its purpose)
        except BaseException as error:  # whatever it is, the next cell gets its turn
            errors.append(f"code cell {number}: {described(error)}")
    return errors


def described(error):
    """An exception in one line; its own __str__ may fail, too."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}"[:MAX_TEXT]


def answer(question, names):
    """Call the function that a question names, and say what came back."""
    args, options = (
        decoded(question["args"]),
        dict(zip(question["keys"], decoded(question["options"]), strict=True)),
    )
    try:
        value = _called(names[question["name"]], args, options)
        reply = {"value": encoded(value)}
    except BaseException as error:
        reply = {"error": type(error).__name__, "text": described(error).partition(": ")[2]}
    after = (*args, *options.values())
    return reply | {"nonce": question["nonce"], "after": encoded(after)}


def _called(f, args, options):
    """Call f by keywords if it has these names, else in their order."""
    try:
        return f(*args, **options)
    except TypeError:
        if not options:
            raise
        return f(*args, *options.values())


def main():
    """Read what to run, run it, answer questions until there are none."""
    questions, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)

    def say(message):
        replies.write(json.dumps(message).encode() + b"\n")
        replies.flush()

    task = json.loads(questions.readline())
    stand_ins()
    bound_oneself(task["seconds"])
    names = {"__name__": "__main__"}
    errors = run_cells(task["cells"], names)
    say(
        {
            "defined": [n for n in task["functions"] if callable(names.get(n))],
            "errors": errors[:MAX_ITEMS],
        }
    )
    for line in questions:
        say(answer(json.loads(line), names))


if __name__ == "__main__":
    main()
