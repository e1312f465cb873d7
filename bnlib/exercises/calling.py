"""Calling a function that somebody is still writing: whatever it does becomes a sentence."""

import inspect
import re
import traceback
import warnings
from typing import Any, NamedTuple

import numpy as np


class Unfit(Exception):
    """What came back cannot be compared with anything; the message is a sentence for the reader."""


class Reply(NamedTuple):
    """How a call ended.

    Attributes
    ----------
    value : object
        What was returned.
    error : BaseException or None
        What was raised instead.
    changed : tuple of str
        The arguments that are no longer what they were.
    """

    value: Any = None
    error: BaseException | None = None
    changed: tuple[str, ...] = ()


def ask(run, arguments):
    """Call `run` with copies of named arguments; its warnings are kept from the page.

    KeyboardInterrupt passes through: whoever presses stop wants to stop.
    """
    copies = {name: fresh(value) for name, value in arguments.items()}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            value = run(**copies)
    except (Exception, SystemExit) as error:
        return Reply(error=error)
    changed = [place for name in copies for place in damage(name, arguments[name], copies[name])]
    return Reply(value, changed=tuple(changed))


def fresh(value, dtype=None):
    """Copy an array, or every field of a cache, perhaps to another dtype."""
    if isinstance(value, np.ndarray):
        return value.astype(dtype or value.dtype)
    if isinstance(value, tuple):
        return type(value)(*(fresh(field, dtype) for field in value))
    return value


def damage(name, before, after):
    """Name the arrays that are no longer the same, among an argument or the fields of a cache."""
    if isinstance(before, np.ndarray):
        if not np.array_equal(before, after, equal_nan=True):
            yield name
    elif isinstance(before, tuple):
        for field, old, new in zip(type(before)._fields, before, after, strict=True):  # type: ignore[attr-defined]
            yield from damage(f"{name}.{field}", old, new)


def misfit(f, names):
    """Say why f cannot be called with arguments of these names in this order; None if it can."""
    call = f"f({', '.join(names)})"
    if isinstance(f, type) or not callable(f):
        kind = f"the class {f.__name__}" if isinstance(f, type) else a(f)
        return f"The checker wants the function itself, {call}, and not a call of it; got {kind}."
    if takes(f, names):
        return None
    return f"The checker calls {call}; your function takes {inspect.signature(f)}."


def takes(f, names, keywords=()):
    """Whether f can be called with so many arguments and these keywords."""
    try:
        inspect.signature(f).bind(*names, **dict.fromkeys(keywords))
    except TypeError:
        return False
    except ValueError:  # functions written in C need not tell what they take
        return not keywords
    return True


def stopped(error, f, where=""):
    """Say what exception the reader's function raised, and in which of its lines."""
    line = _line(error, f)
    if isinstance(error, RecursionError):
        return f"Your function calls itself without end{line}."
    if isinstance(error, SystemExit):
        return f"Your function asks the whole program to end{line}."
    # Addresses in memory differ from run to run, and a stored answer must not.
    message = re.sub(r" at 0x[0-9a-fA-F]+", "", str(error)).strip().partition("\n")[0][:200]
    reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"Your function stopped{where}{line}: {reason.rstrip('.')}."


def _line(error, f):
    """Where in the reader's function it happened, counted from its `def`."""
    code = getattr(f, "__code__", None)
    if code is None:
        return ""
    own = set(_with_inner(code))
    steps = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in steps if frame.f_code in own]
    return f" in its line {lines[-1] - code.co_firstlineno + 1}" if lines else ""


def _with_inner(code):
    """Yield the code of a function and of those written inside it."""
    yield code
    for inner in code.co_consts:
        if inspect.iscode(inner):
            yield from _with_inner(inner)


def as_array(name, value):
    """Return an output as an array of real numbers, or raise Unfit and say what came instead."""
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray):
        raise Unfit(f"{name} must be a numpy array; yours is {a(value)}{_way_out(value)}.")
    if np.iscomplexobj(value):
        raise Unfit(f"{name} must be real, and yours is complex: take .real, or .imag / step.")
    if value.dtype.kind not in "fiub":
        raise Unfit(f"{name} must hold numbers; yours has the dtype {value.dtype}.")
    return np.asarray(value)


def as_number(name, value):
    """Return an output that is one real number, as an array without axes, or raise Unfit."""
    if not isinstance(value, int | float | np.generic | np.ndarray):
        raise Unfit(f"{name} must be a number; yours is {a(value)}.")
    if np.ndim(value):
        raise Unfit(f"{name} must be one number; yours is an array of shape {np.shape(value)}.")
    return as_array(name, np.asarray(value))


def is_missing(value):
    """Whether a value is None or the dots of a stub."""
    return value is None or value is ...


def a(value):
    """Name a value's type, with the article."""
    if isinstance(value, np.ndarray):
        return "a numpy array"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _way_out(value):
    if hasattr(value, "inputs") and hasattr(value, "value"):
        return " of the graph: return its .value"
    if isinstance(value, list):
        return ": np.array(...) makes one of it"
    return ""
