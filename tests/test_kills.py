"""The script that kills can say no: a job that writes carelessly is found out, another is not."""

import os
import sys

import numpy as np
import pytest
from kills import disturb
from victims import Victim

JOB = """
import os, sys, time
name = sys.argv[1]
for number in range(5):
    with open(os.path.abspath(name), "w") as file:
        file.write("be")
        file.flush()
        time.sleep(0.02)
        file.write("gun")
    os.replace(os.path.abspath(name), os.path.abspath("result"))
"""


class Writer(Victim):
    """Writes a file beside its place, or in it."""

    def __init__(self, folder, name):
        super().__init__(folder)
        self.command = [sys.executable, "-c", JOB, name]

    def torn(self):
        path = self.folder / "result"
        if path.exists() and path.read_text() != "begun":
            yield f"torn: {path.read_text()!r}"

    def wrong(self):
        return self.torn()


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_no_folder_with_data_is_handed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("BNLIB_DATA", "elsewhere")
    assert "BNLIB_DATA" not in Writer(tmp_path / "job", "beside").environment()


@pytest.mark.parametrize(("name", "careful"), [("beside", True), ("result", False)])
def test_a_careless_writer_is_found_out(tmp_path, name, careful):
    complaints = list(disturb(Writer(tmp_path / "job", name), 4, np.random.default_rng(0)))
    assert (complaints == []) == careful, complaints
    assert careful or "torn: " in complaints[0]
