"""The script that tries other versions asks each for the right tests, and can say no."""

import subprocess
import sys

import elsewhere
import pytest
import versions


@pytest.fixture
def asked(monkeypatch):
    """The commands of a run in which nothing is installed and nothing started."""
    commands = []
    monkeypatch.setattr(versions, "bring", lambda name, folder: "python")
    monkeypatch.setattr(versions, "interpreter", lambda name: sys.executable)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    return commands


@pytest.mark.parametrize(
    ("name", "portable", "quiet"),
    [("lock-3.12", False, False), ("newest", True, False), ("oldest", True, True)],
)
def test_each_is_asked_for_quick_tests_and_some_notebooks(asked, name, portable, quiet):
    assert versions.main([name]) is None
    check, test = asked
    assert check == ["python", "-m", "pip", "check"]
    assert set(elsewhere.tests(versions.ROOT, whole=False)) < set(test)
    assert ("portable" in test, "-W" in test) == (portable, quiet)


def test_what_differs_and_what_does_not_exist_is_said(asked, monkeypatch, capsys):
    def fails(command, **_):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", fails)
    assert versions.main(["newest", "oldest"]) == "Something differs with newest, oldest."
    assert versions.main(["lock-2.7"]).startswith("There is no lock-2.7: lock-3.11, ")
    monkeypatch.setattr(versions, "interpreter", lambda name: None)
    assert versions.main(["lock-3.13"]) is None
    assert "lock-3.13: not tried" in capsys.readouterr().out


def test_the_oldest_are_the_lower_bounds():
    extras = {"a": ["b-c>=1.5", "d"], "e": ["f>=0.3,<1"]}
    project = {"dependencies": ["numpy>=2,<3"], "optional-dependencies": extras}
    assert versions.oldest(project) == ["b-c==1.5", "f==0.3", "numpy==2"]
