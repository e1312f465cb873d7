"""`python -m bnlib`: the versions that a report needs, quickly and without secrets."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

import bnlib

HEAVY = {"torch", "scipy", "sklearn", "matplotlib", "IPython", "ipywidgets", "joblib", "tqdm"}


def run(*options, **environment):
    command = [sys.executable, *options, "-m", "bnlib"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


def test_it_tells_what_numbers_depend_on():
    lines = run(OPENBLAS_NUM_THREADS="1").stdout.splitlines()
    told = {name.strip(): value for name, _, value in (line.partition("  ") for line in lines)}
    told = {name: value.strip() for name, value in told.items()}
    assert told["bnlib"] == bnlib.__version__
    assert told["numpy"] == np.__version__
    assert told["Python"].startswith(platform.python_version())
    assert told["pytest"] == importlib.metadata.version("pytest")
    assert told["OPENBLAS_NUM_THREADS"] == "1"
    assert all(told[name] for name in ("BLAS", "CPU features", "platform"))


def test_it_tells_no_path():
    text = run().stdout
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text


def test_it_loads_nothing_heavy():
    loaded = {
        line.rpartition("|")[2].strip() for line in run("-X", "importtime").stderr.splitlines()
    }
    assert "numpy" in loaded
    assert not {name.split(".")[0] for name in loaded} & HEAVY
