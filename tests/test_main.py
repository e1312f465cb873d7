"""`python -m bnlib`: the versions that a report needs, quickly and without secrets."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

import bnlib
from bnlib.__main__ import main, versions

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


def test_what_numpy_tells_of_its_build_is_passed_on(monkeypatch):
    built = {
        "Build Dependencies": {"blas": {"name": "openblas", "version": "0.3.30"}},
        "SIMD Extensions": {"baseline": ["SSE", "SSE2"], "found": ["AVX2"], "not found": ["SVE"]},
    }
    monkeypatch.setattr(np, "show_config", lambda mode: {"dicts": built}[mode])
    monkeypatch.setattr(importlib.metadata, "version", {"scipy": "1.2", "torch": "3.4"}.__getitem__)
    monkeypatch.setattr(importlib.metadata, "PackageNotFoundError", KeyError)
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "2", "HOME": "/nobody"})
    assert versions() == {
        "bnlib": bnlib.__version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "numpy": np.__version__,
        "BLAS": "openblas 0.3.30",
        "CPU features": "SSE SSE2 AVX2",
        "platform": platform.platform(),
        **{"scipy": "1.2", "torch": "3.4", "OMP_NUM_THREADS": "2"},
    }


def test_a_build_that_tells_nothing_is_unknown(monkeypatch):
    built = {"Build Dependencies": {"blas": {}}, "SIMD Extensions": {}}
    monkeypatch.setattr(np, "show_config", lambda mode: built)
    told = versions()
    assert (told["BLAS"], told["CPU features"]) == ("unknown", "")


def test_the_lines_are_a_table(capsys):
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    told = versions()
    width = max(len(name) for name in told)
    assert lines == [name.ljust(width) + "  " + value for name, value in told.items()]
