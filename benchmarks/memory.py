"""How much memory a step needs beyond its inputs.

Everybody in a process of its own, which has compiled before: the highest resident memory during a
step, minus that before it, in units of x. Linux only, which can reset that mark.

    python -m benchmarks.memory CASE CONTESTANT
"""

import ctypes
import gc
import subprocess
import sys
from pathlib import Path

from benchmarks import peers
from benchmarks.timing import Answer

SHAPE = (65536, 256)
CASES = ["batch norm, 65536 x 256", "batch norm, 64 x 32 x 28 x 28"]


def _contestants(case):
    from benchmarks.batch_norm import batch, training_contestants

    shape = tuple(map(int, case.split(", ")[1].split(" x ")))
    return training_contestants(*batch(shape)), 4 * _product(shape)


def peak(case, name):
    """Extra memory of the second step of a contestant, in inputs; run it in a fresh process."""
    contestants, size = _contestants(case)
    step = contestants[name]
    step()  # compiles; what it returns is dropped, and its memory given back
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    _held = step()
    return max(0, _status("VmHWM") - before) / size


def memory():
    """Peak memory of one step, for everybody."""
    names = ["bnlib", "first numpy"]
    names += [name for name, of in _NEEDS.items() if peers.installed(of)]
    rows = {}
    for case in CASES if Path("/proc/self/clear_refs").exists() else []:
        rows[case] = {name: _in_its_own_process(case, name) for name in names}
    return Answer(
        "Peak memory of a step",
        "Highest memory during forward and backward beyond what was there before, in units of x. "
        "The results y and dx are two of them.",
        rows,
        axis="memory / that of x",
    )


_NEEDS = {"bnlib compiled": "numba", "PyTorch": "torch", "JAX jit": "jax"}


def _in_its_own_process(case, name):
    command = [sys.executable, "-m", "benchmarks.memory", case, name]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def _status(field):
    """A line of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise LookupError(f"memory: /proc/self/status must have {field}")


def _product(shape):
    size = 1
    for length in shape:
        size *= length
    return size


if __name__ == "__main__":
    print(peak(*sys.argv[1:]))
