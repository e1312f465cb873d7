"""The same last digits on every x86-64 processor that has AVX2: what a process is told for that.

OpenBLAS multiplies matrices, and numpy adds, in the order that suits the processor best, and with
AVX-512 it is another one. Most trainings lose the difference; one at the edge of failing may end
elsewhere. So whatever measures is told at its start to do without the newer instructions.

    python -m bnlib.experiments.arithmetic -m pytest tests/test_again.py

starts Python with these arguments so. Numbers of other kinds of processors differ in any case.
"""

import contextlib
import os
import platform
import sys
from typing import Any

import numpy as np

COMMAND = "python -m bnlib.experiments.arithmetic"
KERNEL = "OPENBLAS_CORETYPE"
WITHOUT = "NPY_DISABLE_CPU_FEATURES"


def settings():
    """The variables that a process must have before it imports numpy.

    Returns
    -------
    dict of str to str
        What this process does without already is among what others are to do without.

    Examples
    --------
    >>> sorted(settings().keys() - {KERNEL, WITHOUT})
    []
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return {}
    config: Any = np.show_config(mode="dicts")
    known = config["SIMD Extensions"]
    has = {*known["baseline"], *known.get("found", [])}
    if not has & {"X86_V3", "AVX2"}:  # older than that, it has an order of its own
        return {}
    newer = {name for name in has if name.startswith(("X86_V4", "AVX512"))}
    without = sorted(newer.union(os.environ.get(WITHOUT, "").split()))
    # numpy warns of names that the processor does not have.
    return {KERNEL: "Haswell"} | ({WITHOUT: " ".join(without)} if without else {})


def missing():
    """Those variables that this process was not given.

    Returns
    -------
    dict of str to str
    """
    return {name: told for name, told in settings().items() if os.environ.get(name) != told}


@contextlib.contextmanager
def for_new_processes():
    """Give the variables to processes that are started inside."""
    before = dict(os.environ)
    os.environ.update(settings())
    try:
        yield
    finally:
        for name in (KERNEL, WITHOUT):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def start_again():
    """Start this program once more with the variables, unless it has them."""
    if wanted := missing():
        arguments = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, **wanted})  # noqa: S606 (no shell)


if __name__ == "__main__":
    os.environ.update(settings())
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606 (no shell)
