"""What measures computes in the same order on every x86-64 processor, whatever else it could do."""

import os
import platform
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import threadpoolctl

from bnlib import experiments
from bnlib.experiments import arithmetic, judging, processes, records
from bnlib.experiments.experiment import Experiment

X86 = platform.machine() in ("x86_64", "AMD64")
OURS = (arithmetic.KERNEL, arithmetic.WITHOUT)


def order_of_computing(seed, draw, arms):
    """An experiment: does this process do without the newer instructions?"""
    np.ones((9, 9)) @ np.ones((9, 9))
    kernels = [one.get("architecture") for one in threadpoolctl.threadpool_info()]
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    newer = [name for name in found if "AVX512" in name or name == "X86_V4"]
    right = set(kernels) <= {"Haswell", None} and not newer
    return {"here": {"right": float(right), "nothing is missing": float(not arithmetic.missing())}}


TASK = processes.Task(Experiment("order", "c", order_of_computing, ("here",), data=()), 3, "")


@pytest.fixture
def untold(monkeypatch):
    for name in OURS:
        monkeypatch.delenv(name, raising=False)


def test_a_process_that_measures_has_the_order_and_this_one_keeps_its_own(monkeypatch):
    monkeypatch.setenv(arithmetic.KERNEL, "Zen")
    before = dict(os.environ)
    (outcome,) = processes.outcomes([TASK], 1)
    assert outcome.values == {"here": {"right": float(X86), "nothing is missing": 1.0}}
    assert dict(os.environ) == before


def test_what_is_done_without_already_stays_so(untold, monkeypatch):
    config = {"SIMD Extensions": {"baseline": [], "found": ["X86_V3", "X86_V4", "AVX512_ICL"]}}
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv(arithmetic.WITHOUT, "AVX512_SPR")
    wanted = {arithmetic.KERNEL: "Haswell", arithmetic.WITHOUT: "AVX512_ICL AVX512_SPR X86_V4"}
    assert arithmetic.settings() == wanted
    assert arithmetic.missing() == wanted
    with arithmetic.for_new_processes():
        assert arithmetic.missing() == {}
    assert arithmetic.missing() == wanted


@pytest.mark.parametrize(
    ("has", "wanted"),
    [
        ({"baseline": ["X86_V2"], "found": ["X86_V3"]}, {arithmetic.KERNEL: "Haswell"}),
        ({"baseline": ["SSE3", "AVX2"]}, {arithmetic.KERNEL: "Haswell"}),  # numpy before 2.4
        ({"baseline": ["X86_V2"], "not found": ["X86_V3", "X86_V4"]}, {}),
    ],
)
def test_a_processor_is_told_no_names_that_it_does_not_have(untold, monkeypatch, has, wanted):
    monkeypatch.setattr(np, "show_config", lambda mode: {"SIMD Extensions": has})
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    assert arithmetic.settings() == wanted


def test_another_kind_of_processor_is_told_nothing(untold, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert arithmetic.settings() == {}
    with arithmetic.for_new_processes():
        assert not set(OURS) & os.environ.keys()


AGAIN = """
from bnlib.experiments import arithmetic
import os, sys
print(sys.argv[1:], arithmetic.missing(), os.environ.get("SEEN"), flush=True)
os.environ["SEEN"] = "once"
arithmetic.start_again()
"""


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        # By itself it starts once more, with its arguments; started so, it has what it needs.
        ([], ["['a b', '--c']", "['a b', '--c'] {} once"] if X86 else ["['a b', '--c'] {} None"]),
        (["-m", "bnlib.experiments.arithmetic"], ["['a b', '--c'] {} None"]),
    ],
)
def test_a_program_starts_with_the_order(untold, before, lines, tmp_path):
    program = tmp_path / "a program.py"
    program.write_text(AGAIN, encoding="utf-8")
    command = [sys.executable, *before, str(program), "a b", "--c"]
    told = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    found = told.splitlines()
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))


@pytest.mark.skipif(not X86, reason="the digits are promised on x86-64")
def test_a_training_at_the_edge_of_failing_ends_where_its_file_says():
    """With AVX-512 the same seed learns nothing: a loss of 1.5 instead of 0.013."""
    pile_up = experiments.ALL["pile_up"]
    stored = judging.load(records.results_folder(), "pile_up")
    task = processes.Task(
        replace(pile_up, arms=("half dead",), rules=()), 1001, stored.header["data"]
    )
    (outcome,) = processes.outcomes([task], 1)
    assert outcome.complaint == ""
    assert outcome.values["half dead"] == stored.by_seed()[1001]["half dead"]
