"""What the checkers ask, and say to what is no answer, is what was read and stored."""

import json

import golden_questions
import numpy as np
import pytest
import test_exercises_catalogue as catalogue

from bnlib import exercises
from bnlib.exercises import (
    backward,
    drift,
    folding,
    forward,
    groups,
    merging,
    noise,
    relatives,
    roughness,
    running,
    shifted,
    weights,
    whitening,
)

STORED = json.loads(golden_questions.STORED.read_text(encoding="utf-8"))


def near(questions):
    """float32 has six digits, in whatever order numbers are added up."""
    return [pytest.approx(question, rel=1e-5, abs=1e-5) for question in questions]


def test_nothing_is_left_out():
    for kind in ("asked by the book", "asked of a student", "said"):
        assert STORED[kind].keys() == golden_questions.ANSWERS.keys()
    for key, cases in STORED["said"].items():
        assert cases.keys() == golden_questions.cases(key).keys()
    assert len(STORED["told"]) == len(golden_questions.RETURNED)
    assert STORED["refused"].keys() == set(exercises.__all__) - {"Answer"}


@pytest.mark.parametrize("key", STORED["asked by the book"])
def test_the_book_asks_with_its_own_seed(key):
    assert golden_questions.questions(key) == near(STORED["asked by the book"][key])


@pytest.mark.parametrize("key", STORED["asked of a student"])
def test_a_student_is_asked_what_the_seed_says(key):
    asked = golden_questions.questions(key, seed=catalogue.SEED)
    assert asked == near(STORED["asked of a student"][key])
    assert asked != golden_questions.questions(key)


@pytest.mark.parametrize(
    ("key", "name"), [(key, name) for key, cases in STORED["said"].items() for name in cases]
)
def test_what_is_no_answer_is_told_why(key, name):
    assert golden_questions.said(key, name) == STORED["said"][key][name]


@pytest.mark.parametrize("number", range(len(STORED["told"])))
def test_what_students_return_is_answered_in_these_words(number):
    assert golden_questions.told(number) == STORED["told"][number]


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (forward.made_up_batches, (False,)),
        (forward.made_up_batches, (True,)),
        (backward.made_up, (False,)),
        (drift.made_up_pairs, ()),
        (folding.made_up_layers, ()),
        (groups.made_up_batches, ()),
        (relatives.made_up_batches, ()),
        (roughness.made_up_cases, ()),
        (running.made_up_batches, ()),
        (running.made_up_inputs, ()),
        (shifted.mixed_cases, ()),
        (shifted.energy_cases, ()),
        (whitening.made_up_batches, ()),
    ],
)
def test_a_batch_has_no_more_examples_than_it_is_told(make, given):
    def made(*extra):
        return repr(make(np.random.default_rng(0), *given, *extra))

    assert made() == made(0) != made(1)


@pytest.mark.parametrize(
    ("check", "module", "table"),
    [
        (exercises.check_noise, noise, "CASES"),
        (exercises.check_merge, merging, "CASES"),
        (exercises.check_scale, weights, "LAYERS"),
        (exercises.check_rate, weights, "RATES"),
    ],
)
def test_a_case_that_lacks_a_number_is_none(check, module, table, monkeypatch):
    monkeypatch.setattr(module, table, [case[:-1] for case in getattr(module, table)])
    with pytest.raises(ValueError, match="zip"):
        check(lambda *given: 1.0)


@pytest.mark.parametrize("name", STORED["refused"])
def test_an_option_that_cannot_be_used_is_refused_in_these_words(name):
    refused = golden_questions.refusals(name)
    assert refused == STORED["refused"][name] and all(refused.values())
