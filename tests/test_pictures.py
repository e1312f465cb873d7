"""What drawing functions draw is what was looked at and stored."""

import json

import golden_pictures
import matplotlib
import pytest

STORED = json.loads(golden_pictures.STORED.read_text(encoding="utf-8"))
VERSION = STORED.pop("matplotlib")


def test_every_drawing_function_has_its_digests():
    assert set(STORED) == set(golden_pictures.NAMES)


@pytest.mark.parametrize("name", STORED)
def test_a_drawing_is_the_one_that_was_looked_at(name):
    if matplotlib.__version__ != VERSION:
        pytest.skip(f"pictures are those of matplotlib {VERSION}")
    assert golden_pictures.digests(name) == STORED[name]
