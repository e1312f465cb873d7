"""The teachers' page: plans that fill their time, commands that work, a list that is complete."""

import re
import shlex

import pytest
from ledger import BOOK
from test_book import BOOK_PAGES
from test_misconceptions import anchored

from bnlib.exercises import grading

TEXT = (BOOK / "for_teachers.md").read_text(encoding="utf-8")
SESSIONS = [part.partition("\n(")[0] for part in TEXT.split("\n(session-")[1:]]
COMMANDS = re.findall(r"^python -m bnlib\.exercises (.+)$", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize("session", SESSIONS, ids=["one", "two", "three"])
def test_a_session_fills_ninety_minutes(session):
    assert sum(map(int, re.findall(r"^\| (\d+) \|", session, flags=re.MULTILINE))) == 90
    for part in (
        "**Goal.**",
        "**guess:**",
        "**Typical wrong answers.**",
        "**Skip**",
        "**Homework.**",
    ):
        assert part in session


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command, monkeypatch, tmp_path):
    asked = []

    def grade(path, tasks, **options):
        asked.append((path, tasks, options))
        return {"tasks": [], "errors": [], "score": 0, "of": 0, "seed": 0}

    monkeypatch.setattr(grading, "grade", grade)
    monkeypatch.chdir(tmp_path)  # where the score is written
    assert grading.main(shlex.split(command)) == 0
    ((path, tasks, _),) = asked
    assert path.endswith(".ipynb")
    assert set(tasks.values()) <= set(grading.GRADED)


def test_there_are_commands():
    assert len(COMMANDS) == 2


def test_every_misconception_is_listed():
    listed = re.findall(r"\(#misconception-([\w-]+)\)", TEXT.partition("\n(misconceptions)=")[2])
    assert listed == [name for anchors in map(anchored, BOOK_PAGES) for name in anchors]
