"""The scripts for other surroundings and versions: what they run exists, and they can say no."""

import os
import subprocess
import sys

import elsewhere
import pytest
import versions
from elsewhere import PLACES, ROOT, Place


def test_what_is_run_is_there():
    some, whole = (set(elsewhere.tests(ROOT, whole)) for whole in (False, True))
    assert all(os.path.exists(path) for path in some)
    book = {str(path) for path in (ROOT / "book").glob("*.ipynb")}
    assert whole == some | book != some
    assert {name for name, place in PLACES.items() if place.whole} == {
        name for name in PLACES if name.startswith(("simd", "blas"))
    }


def test_a_proof_fails_where_the_tests_run_anyway(tmp_path):
    proofs = {name: place.proof for name, place in PLACES.items() if place.proof}
    code = (
        f"for name, proof in {proofs}.items():\n"
        "  try: exec(proof)\n"
        "  except AssertionError: continue\n"
        "  print(name)"
    )
    plain = Place("", "", {"HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "TZ": "UTC"})
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=elsewhere.environment(plain, ROOT, ""),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    held = set(done.stdout.split()) - {"network"}  # a machine may have none
    assert len(held) <= 1 and all(name.startswith("blas-") for name in held)  # its own kernel


def test_variables_of_the_caller_do_not_hide_those_of_a_place(monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", "/somewhere")
    monkeypatch.setenv("HOME", "/somewhere/else")
    place = Place("", "", {"HOME": None, "CACHE": "{scratch}/cache"})
    given = elsewhere.environment(place, ROOT, "/new")
    assert given.keys().isdisjoint({"MPLCONFIGDIR", "HOME"})
    assert given["CACHE"] == "/new/cache"


def test_where_its_proof_fails_nothing_is_run(tmp_path):
    assert elsewhere.tried(Place("", "assert 0", {}), str(tmp_path)) is None
    assert elsewhere.tried(Place("", "", {}, ("no-such-program",)), str(tmp_path)) is None


@pytest.mark.parametrize(
    ("answer", "says", "prints"),
    [
        (("1 passed", True), None, "1 of 1 surroundings tried, 0 differ"),
        (("1 failed", False), "Something differs in here.", "1 of 1 surroundings tried, 1 differ"),
        (None, None, "0 of 1 surroundings tried, 0 differ"),
    ],
)
def test_what_differs_and_what_was_not_tried_is_said(monkeypatch, capsys, answer, says, prints):
    monkeypatch.setattr(elsewhere, "tried", lambda place, scratch: answer)
    monkeypatch.setattr(elsewhere, "PLACES", {"here": Place("", "", {})})
    assert elsewhere.main([]) == says
    assert capsys.readouterr().out.splitlines()[-1] == prints


def test_the_oldest_versions_are_those_of_the_bounds():
    project = {"dependencies": ["numpy>=2.0,<3"], "optional-dependencies": {"a": ["b>=1", "c"]}}
    assert versions.oldest(project) == ["b==1", "numpy==2.0"]
    assert versions.main(["lock-2.7"]).startswith("There is no lock-2.7: lock-3.11, ")
