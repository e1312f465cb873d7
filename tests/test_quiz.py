"""The concept quiz: its answers are true by bnlib, and every wrong one leads to what mends it."""

import re
from fractions import Fraction

import numpy as np
import pytest
import quiz
from test_book import BOOK_PAGES, cells

from bnlib import batch_norm, batch_norm_backward, batch_norm_inference, gradcheck
from bnlib.layers import BatchNorm

QUESTIONS = {question["idea"]: question for question in quiz.load()}
WRONG = [(idea, wrong) for idea, question in QUESTIONS.items() for wrong in question["wrong"]]
forms = pytest.mark.parametrize("form", quiz.FORMS)


def asked(idea, form):
    """The whole numbers and decimals of a question, and its right answer."""
    question = QUESTIONS[idea][form]
    numbers = re.findall(r"\d+(?:\.\d+)?", question["question"])
    return [float(number) for number in numbers], question["right"]


def channel(*values):
    return np.array(values, float)[:, None]


def normalized(*values, eps=1e-12, gamma=1.0, beta=0.0):
    y, cache = batch_norm(channel(*values), np.array([gamma]), np.array([beta]), eps=eps)
    return y[:, 0], cache


def words(values):
    """Numbers as the quiz writes them."""
    return " and ".join(f"{value:.0f}".replace("-", "−") for value in np.atleast_1d(values))


# --- the data -------------------------------------------------------------------------------------


def test_there_are_twelve_ideas():
    assert len(QUESTIONS) == 12


@pytest.mark.parametrize("idea", QUESTIONS)
@forms
def test_a_question_has_four_different_answers(idea, form):
    question = QUESTIONS[idea]
    answers = quiz.answers(question, form)
    assert len({text for text, _ in answers}) == len(answers) == 4
    assert [wrong for _, wrong in answers].count(None) == 1
    before, after = (question[each]["question"] for each in quiz.FORMS)
    assert before != after, "the second form asks with other numbers"


@pytest.mark.parametrize(("idea", "wrong"), WRONG)
def test_a_wrong_answer_leads_to_what_mends_it(idea, wrong):
    assert wrong["reveals"].endswith(".")
    page, _, anchor = wrong["mend"].partition("#")
    (found,) = (each for each in BOOK_PAGES if each.name == page)
    everything = "\n".join(cell["source"] for _, cell in cells(found, "markdown"))
    assert f"({anchor})=" in everything, f"{page} has no anchor {anchor}"


def test_the_right_answer_stands_in_no_fixed_place():
    for form in quiz.FORMS:
        places = [
            [wrong for _, wrong in quiz.answers(question, form)].index(None)
            for question in QUESTIONS.values()
        ]
        assert {places.count(place) for place in range(4)} <= {2, 3, 4}


@forms
def test_the_page_asks_without_telling_names_and_escapes(form):
    page = quiz.html(quiz.load(), form)
    assert page.count("<fieldset>") == 12
    assert page.count(" data-right>") == 12
    assert page.count('type="radio"') == 48
    assert "<details open" not in page
    strange = quiz.html([{**QUESTIONS["eps"], form: {"question": "a < b", "right": "`c`"}}], form)
    assert "a &lt; b" in strange
    assert "<code>c</code>" in strange


# --- the right answers ----------------------------------------------------------------------------


@forms
def test_own_example(form):
    (first, second, *_), _ = asked("own-example", form)
    numbers, right = asked("own-example", form)
    here, other = numbers[-3:-1]
    assert words(normalized(first, second)[0]) == "−1 and 1"
    assert words(normalized(here, other)[0][0]) == right


@forms
def test_fixed_map(form):
    (mean, var, *batch, _, _), right = asked("fixed-map", form)
    x, one = channel(*batch), np.ones(1)
    assert words(batch_norm_inference(x, one * mean, one * var, eps=1e-12)[:, 0]) == right


@forms
def test_half_fire(form):
    numbers, right = asked("half-fire", form)
    passed = (normalized(*numbers[:4])[0] > 0).sum()
    assert ["None", "One", "Two", "Three", "Four"][passed] == right.split(",")[0]


@forms
def test_one_gamma(form):
    (channels, height, width, pictures), right = asked("one-gamma", form)
    layer = BatchNorm(int(channels))
    x = np.random.default_rng(0).normal(size=tuple(map(int, (pictures, channels, height, width))))
    layer.forward(x, training=True)
    assert str(layer.params["weight"].size) == right
    wrong = [each[form].replace(",", "") for each in QUESTIONS["one-gamma"]["wrong"]]
    assert wrong == ["1", f"{channels * height * width:.0f}", f"{channels * pictures:.0f}"]


@forms
def test_eps(form):
    times = {"before": 1, "after": 3}[form]
    _, right = asked("eps", form)
    values = np.array([-1.0, 1.0]) * np.sqrt(times * 1e-5)
    assert normalized(*values, eps=1e-5)[0].var() == pytest.approx(float(Fraction(right)))


@forms
def test_undo(form):
    (a, b, gamma, beta, _, _, c, d), right = asked("undo", form)
    assert words(normalized(a, b, gamma=gamma, beta=beta)[0]) == words([a, b])
    assert words(normalized(c, d, gamma=gamma, beta=beta)[0]) == right
    assert QUESTIONS["undo"]["wrong"][2][form] == words(gamma * np.array([c, d]) + beta)


@forms
def test_freezing(form):
    (start, momentum, mean), right = asked("freezing", form)
    layer = BatchNorm(1, momentum=momentum)
    layer.forward(channel(mean - 1, mean + 1), training=True)
    assert start == 0
    assert layer.buffers["running_mean"] == pytest.approx(float(right))
    keras = momentum * start + (1 - momentum) * mean
    assert float(QUESTIONS["freezing"]["wrong"][2][form]) == pytest.approx(keras)


@forms
def test_constants(form):
    (size, _, arrives), right = asked("constants", form)
    x = np.random.default_rng(0).normal(size=int(size))
    _, cache = normalized(*x)
    dx, _, _ = batch_norm_backward(np.full((int(size), 1), arrives), cache)
    np.testing.assert_allclose(dx, 0, atol=1e-12)
    assert right == "0 for each"


@forms
def test_passing_check(form):
    x = 3 * np.random.default_rng(0).normal(size=9)
    y, cache = normalized(*x, eps=1e-5)
    dy = np.ones(9) if form == "before" else 2 * y
    dx, _, _ = batch_norm_backward(dy[:, None], cache)
    assert abs(dx).max() < 1e-4, "zeros agree in four decimals"


@forms
def test_weight_decay(form):
    factor = {"before": 0.5, "after": 3.0}[form]
    rng = np.random.default_rng(0)
    x, weight, dy = rng.normal(size=(9, 4)), rng.normal(size=4), rng.normal(size=(9, 1))

    def out(weight):
        return batch_norm((x @ weight)[:, None], eps=1e-12)[0]

    def gradient(weight):
        return gradcheck.complex_step_gradient(lambda moved: (dy * out(moved)).sum(), weight)

    np.testing.assert_allclose(out(factor * weight), out(weight), rtol=1e-9)
    np.testing.assert_allclose(gradient(factor * weight), gradient(weight) / factor, rtol=1e-9)


@forms
def test_accumulation(form):
    (size, batches, whole), right = asked("accumulation", form)
    assert size * batches == whole
    assert right == f"{batches:.0f} times those of {size:.0f} examples"
