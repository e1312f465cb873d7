"""Addresses that others link to stay: claims, frameworks, definitions, figures, sections."""

import re
import subprocess
from pathlib import Path

import anchors
import ledger
import pytest

from bnlib.conventions import CONVENTIONS

KNOWN, PRESENT = anchors.known(), set(anchors.present())


def test_no_address_is_lost():
    lost = anchors.missing(KNOWN, PRESENT, anchors.moved())
    assert not lost, f"others link to {', '.join(lost)}: bring it back (a page: book_moved)"


def test_new_addresses_are_in_the_file():
    new = PRESENT - set(KNOWN)
    assert not new, f"run python book/_make/anchors.py: it adds {', '.join(sorted(new))}"


def test_every_claim_framework_figure_and_definition_has_an_address():
    ends = {address.partition("#")[2] for address in KNOWN}
    claims = {f"c{number:02}" for number in range(1, 47)}
    assert claims <= ends
    assert {"rule-c02", "rule-c03-faster", "rule-c27"} <= ends
    rows = {f"framework-{ledger.slug(name)}" for name in CONVENTIONS}
    assert rows - ends == {"framework-deep-learning-from-scratch"}
    assert "framework-dlfs" in ends, "its address is older than this test"
    assert sum(end.startswith("def-") for end in ends) >= 60
    assert sum(end.startswith("fig-") for end in ends) >= 90


def test_no_commit_has_taken_an_address_out():
    log = ["git", "log", "--format=", "--patch", "--", "book/anchors.txt"]
    root = Path(anchors.BOOK).parent
    try:
        history = subprocess.run(log, cwd=root, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        pytest.skip("no git")
    gone = set(re.findall(r"^-([a-z][\w#-]*)$", history.stdout, flags=re.M)) - set(KNOWN)
    assert not gone, f"book/anchors.txt only grows, but has lost {', '.join(sorted(gone))}"


def test_a_name_is_given_once_in_the_book():
    """A link `(#name)` leads to one place. What was given twice is kept on one page as it was."""
    pages = {}
    for address in PRESENT:
        page, _, name = address.partition("#")
        pages.setdefault(name, set()).add(page)
    twice = {name: found for name, found in pages.items() if name and len(found) > 1}
    assert twice == {"exercise-eps": {"backward_pass", "gradient_checks"}}, "an old one, kept"
    assert "(exercise-eps)=" not in (anchors.BOOK / "gradient_checks.ipynb").read_text("utf-8")


def test_the_built_pages_have_them(site):
    lost = []
    for page in {address.partition("#")[0] for address in PRESENT}:
        ids = set(re.findall(r'\bid="([^"]+)"', (site / f"{page}.html").read_text("utf-8")))
        own = {address.partition("#")[2] for address in PRESENT if address.startswith(f"{page}#")}
        lost += [f"{page}#{name}" for name in own - ids]
    assert not lost


def test_a_lost_address_is_named_and_a_moved_page_keeps_its_own():
    wanted, found = ["a", "a#one", "b", "b#two", "c#three"], {"a", "b", "b#two", "d", "d#three"}
    assert anchors.missing(wanted, found, {}) == ["a#one", "c#three"]
    assert anchors.missing(wanted, found, {"c": "e", "e": "d"}) == ["a#one"]


def test_new_addresses_are_added_and_none_goes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(anchors, "KNOWN", tmp_path / "anchors.txt")
    monkeypatch.setattr(anchors, "moved", dict)
    monkeypatch.setattr(anchors, "present", lambda: ["b", "b#z", "b#a"])
    assert "b#z" in anchors.main(["--check"])
    assert anchors.known() == []
    assert anchors.main([]) is None
    assert anchors.known() == ["b", "b#a", "b#z"]
    monkeypatch.setattr(anchors, "present", lambda: ["b", "b#a", "b#new"])
    assert "b#z" in anchors.main([])
    assert anchors.known() == ["b", "b#a", "b#z"]
