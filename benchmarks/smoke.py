"""`make bench-smoke`: is anything much slower than it was; ratios with generous slack.

The bounds are about twice what a quiet machine shows; a step that falls back to something slow, a
copy too many or a kernel that is no longer vectorized goes beyond them.
"""

import sys

from benchmarks import batch_norm, networks, peers
from benchmarks.timing import race, ratios

# Case: contestants, then the most that each may take, in units of PyTorch's time.
BOUNDS = {
    "batch norm, 128 x 512": {"bnlib": 5.0, "bnlib compiled": 1.2},
    "batch norm, 8192 x 256": {"bnlib": 6.0, "bnlib compiled": 2.5},
    "batch norm, 32 x 32 x 28 x 28": {"bnlib": 4.0, "bnlib compiled": 1.2},
    "deep step, with batch norm": {"bnlib": 2.2, "bnlib compiled": 1.6},
    "deep step, without": {"bnlib": 1.6},
    "small CNN": {"bnlib": 2.5},
}


def measured():
    """Case to contestant to ratio."""
    for case in BOUNDS:
        kind, _, rest = case.partition(", ")
        if kind == "batch norm":
            shape = tuple(map(int, rest.split(" x ")))
            contestants = batch_norm.training_contestants(*batch_norm.batch(shape))
            contestants = {n: c for n, c in contestants.items() if n in (*BOUNDS[case], "PyTorch")}
            yield case, ratios(race(contestants, rounds=7), "PyTorch")
        elif kind == "deep step":
            contestants = networks.deep_step(rest.startswith("with "))
            contestants.pop("JAX jit", None)
            yield case, ratios(race(contestants, rounds=7), "PyTorch")
        else:
            yield case, networks.convolutional(rounds=5).rows["with batch norm"]


def main():
    """Print each ratio beside its bound; exit with 1 where one is broken."""
    missing = [name for name in ("torch", "numba") if not peers.installed(name)]
    if missing:
        sys.exit(f"bench-smoke: {' and '.join(missing)} must be installed to race with")
    broken = 0
    for case, found in measured():
        for name, bound in BOUNDS[case].items():
            slow = found[name].median > bound
            broken += slow
            verdict = "TOO SLOW" if slow else "ok"
            print(f"{case}: {name} {found[name].median:.2f} of PyTorch, at most {bound} {verdict}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
