"""`python -m bnlib`: what a report of a number that differs should tell of the machine."""

import importlib.metadata
import os
import platform
import sys

import numpy as np

import bnlib

OPTIONAL = (
    "scipy", "matplotlib", "ipywidgets", "scikit-learn", "pooch", "tqdm", "joblib", "threadpoolctl",
    "mpi4py", "distributed", "torch", "numba", "jupyter-book", "nbval", "pytest",
)  # fmt: skip
# Settings that change the last digits of a number.
SETTINGS = (
    "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
)  # fmt: skip


def versions():
    """Tell what numbers may depend on; no package is imported for it but numpy.

    Returns
    -------
    dict of str to str
        Versions of bnlib, Python and numpy, the BLAS library, what the processor can do, the
        platform, then optional packages and settings as far as they are there. No path, no name of
        a user or a machine.

    Examples
    --------
    >>> told = versions()
    >>> told["bnlib"] == bnlib.__version__, told["numpy"] == np.__version__
    (True, True)
    >>> list(told)[:6]
    ['bnlib', 'Python', 'numpy', 'BLAS', 'CPU features', 'platform']
    """
    built = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    features = built["SIMD Extensions"]
    told = {
        "bnlib": bnlib.__version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "numpy": np.__version__,
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "CPU features": " ".join(features.get("baseline", []) + features.get("found", [])),
        "platform": platform.platform(),
    }
    for package in OPTIONAL:
        try:
            told[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return told | {name: os.environ[name] for name in SETTINGS if name in os.environ}


def main():
    """Print them, a line each.

    Returns
    -------
    int
        Exit code 0.
    """
    told = versions()
    width = max(map(len, told))
    for name, value in told.items():
        print(f"{name:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
