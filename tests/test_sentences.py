"""The words with which bnlib refuses an argument are those that were read and stored."""

import json

import golden_sentences
import pytest

STORED = json.loads(golden_sentences.STORED.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # "text" is a good path


def test_every_function_has_its_sentences():
    assert set(STORED) == set(golden_sentences.GOOD)


@pytest.mark.parametrize("name", STORED)
def test_a_wrong_argument_is_refused_in_these_words(name):
    for argument, kind, text in STORED[name]:
        said = golden_sentences.sentence(name, golden_sentences.spoilt(name, argument, kind))
        assert (argument, kind, said) == (argument, kind, text)
