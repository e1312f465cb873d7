"""The stored choices of learning rates follow from the stored scores, by the code that chose them.

Each chooser runs again with a stand-in for training that looks a score up in the stored file: the
grid must grow to the same places, and the file and the choices must come out to the letter.
"""

import ast
import json
import os
from dataclasses import replace

import pytest

from bnlib.experiments import (
    arms,
    distribution_shift,
    full_scale,
    full_scale_rates,
    relatives,
    training,
    tuning,
    whitening,
)


def stored(module):
    return json.loads(module.SCORES.read_text(encoding="utf-8"))


def text(module):
    return module.SCORES.read_text(encoding="utf-8")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A function that gives a module an empty place for its scores."""

    def fresh(module):
        monkeypatch.setattr(module, "SCORES", tmp_path / module.SCORES.name)

    return fresh


def look_up(monkeypatch, score):
    """Let every chooser measure by a function of one job, in the place of its own."""

    def one_by_one(own, jobs):
        assert callable(own)
        return [score(*job) for job in jobs]

    monkeypatch.setattr(tuning, "in_parallel", one_by_one)


def on_the_ladder(by_rate, places):
    return [by_rate[f"{tuning.rate(place):g}"] for place in places]


def test_the_rates_of_most_arms(monkeypatch, fresh, tmp_path):
    scores, choices = stored(tuning), tuning.CHOICES.read_text(encoding="utf-8")
    before = text(tuning)
    look_up(
        monkeypatch, lambda arm, score, places, seed: on_the_ladder(scores[arm.description], places)
    )
    fresh(tuning)
    monkeypatch.setattr(tuning, "CHOICES", tmp_path / "learning_rates.py")
    tuning.CHOICES.write_text(choices.replace("LEARNING_RATES", "LEARNING_RATES: old", 1))
    tuning.main()
    assert text(tuning) == before
    assert tuning.CHOICES.read_text(encoding="utf-8") == choices


def test_what_has_scores_is_not_measured_again(monkeypatch, fresh, tmp_path):
    scores = stored(tuning)
    fresh(tuning)
    monkeypatch.setattr(tuning, "CHOICES", tmp_path / "learning_rates.py")
    tuning.CHOICES.write_text("")
    tuning.SCORES.write_text(json.dumps({**scores, "an arm of old": {"1": 0.5}}))
    look_up(monkeypatch, None)
    tuning.main()
    assert stored(tuning) == scores


def test_the_rates_of_the_relatives(monkeypatch, fresh, capsys):
    scores, before = stored(relatives), text(relatives)
    names = {arm: name for name, (arm, _) in relatives.untuned().items()}
    look_up(monkeypatch, lambda arm, places, seed: on_the_ladder(scores[names[arm]], places))
    fresh(relatives)
    relatives.choose()
    assert text(relatives) == before
    rates = ast.literal_eval(capsys.readouterr().out)
    assert relatives.CONV_RATES.items() <= rates.items()


def test_the_rates_of_whitened_networks(monkeypatch, fresh, capsys):
    scores, before = stored(whitening), text(whitening)
    names = {arm: name for name, arm in whitening.candidates().items()}

    def score(arm, place, seed):
        return [scores[how][names[arm]][f"{tuning.rate(place):g}"] for how in whitening.WANTED]

    look_up(monkeypatch, score)
    fresh(whitening)
    whitening.choose()
    assert text(whitening) == before
    assert capsys.readouterr().out.strip() == str(whitening.best(scores))


def test_the_rates_of_coloured_digits(monkeypatch, fresh, capsys):
    scores = stored(distribution_shift)
    monkeypatch.setattr(
        distribution_shift,
        "_scores",
        lambda kind, pixels, places, seed: on_the_ladder(scores[f"{kind} {pixels}"], places),
    )
    fresh(distribution_shift)
    distribution_shift.choose()
    again = stored(distribution_shift)
    # Of two means that are equal once rounded the larger one had made one grid grow further.
    assert scores["BN light"]["0.3"] == scores["BN light"]["1"]
    assert again == scores | {"BN light": {k: v for k, v in scores["BN light"].items() if k != "3"}}
    assert ast.literal_eval(capsys.readouterr().out) == distribution_shift.RATES


def test_the_rates_of_full_scale(monkeypatch, fresh, capsys):
    scores, before = stored(full_scale_rates), text(full_scale_rates)
    names = {
        (data, arm): name
        for data, (table, _, _) in full_scale_rates.TASKS.items()
        for name, arm in table.items()
    }
    look_up(
        monkeypatch,
        lambda data, arm, places, seed: on_the_ladder(scores[names[data, arm]], places),
    )
    fresh(full_scale_rates)
    full_scale_rates.main()
    assert text(full_scale_rates) == before
    assert ast.literal_eval(capsys.readouterr().out) == full_scale.RATES


def test_arms_that_are_to_be_fast_are_chosen_by_the_area_below_their_curve():
    wanted = tuning.untuned()
    fast = {arm.description for arm in training.FASTER.values()}
    assert {name for name, (_, score) in wanted.items() if score == "area"} == fast & set(wanted)
    assert {score for _, score in wanted.values()} == {"area", "end"}


def test_jobs_are_done_elsewhere_in_order_and_on_one_thread_each(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    pids = tuning.in_parallel(os.getpid, [(), ()])
    assert len(pids) == 2 and os.getpid() not in pids
    assert tuning.in_parallel(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert tuning.in_parallel(os.getenv, [("OPENBLAS_NUM_THREADS",)]) == ["1"]


def test_the_grid_of_whitened_networks_grows_to_both_sides(monkeypatch, fresh):
    low, high = min(tuning.START) - 1, max(tuning.START) + 1
    look_up(monkeypatch, lambda arm, place, seed: [-abs(place - low), -abs(place - high)])
    fresh(whitening)
    whitening.choose()
    places = [f"{tuning.rate(place):g}" for place in range(low - 1, high + 2)]
    for by_name in stored(whitening).values():
        assert all(list(by_rate) == places for by_rate in by_name.values())


@pytest.mark.parametrize("score", ["end", "area"])
def test_a_score_is_the_accuracy_on_validation_images(score):
    arm = replace(training.FASTER["batch norm tuned"], epochs=2)
    data = tuning.validation_data(0)
    run = arms.train({"": replace(arm, lr=0.1)}, 0, data, evaluate="each epoch")[""]
    accuracy = run.history.test_accuracy
    expected = accuracy[-1] if score == "end" else sum(accuracy) / 2
    found = tuning.scores(arm, score, [-2, -4], 0)
    assert len(found) == 2 and found[0] == pytest.approx(expected) and found[1] < found[0]


@pytest.mark.parametrize(("score", "when"), [("end", "end"), ("area", "each epoch")])
def test_accuracy_is_measured_as_often_as_the_score_asks(monkeypatch, score, when):
    asked = []
    monkeypatch.setattr(tuning, "train", lambda *_, evaluate: asked.append(evaluate) or {})
    assert tuning.scores(training.FASTER["batch norm tuned"], score, [-2], 0) == []
    assert asked == [when]


def test_epochs_that_a_diverged_run_lacks_count_as_guessing():
    assert tuning.area([0.5], 4) == pytest.approx((0.5 + 3 * arms.GUESSING) / 4)
