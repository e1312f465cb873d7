"""The measures of the chapter on running averages: what they compare, and what they leave alone."""

import numpy as np
import pytest

from bnlib import datasets, training
from bnlib.experiments import arms
from bnlib.experiments import running_averages as measured

SEED = 3


@pytest.fixture
def data():
    return arms.split(SEED, datasets.digits)


@pytest.fixture
def short(monkeypatch):
    """Three epochs of 20 steps, and rules tried within them."""
    monkeypatch.setattr(measured, "EPOCHS", 3)
    monkeypatch.setattr(measured, "STEPS_IN_ALL", 60)
    monkeypatch.setattr(measured, "STEPS", (1, 10, 50, 60))
    monkeypatch.setattr(measured, "LATE", (50, 60))


ARM = measured.NETWORKS["relu"]


def same_state(one, two):
    return all((one[name] == two[name]).all() for name in one)


def test_the_average_is_the_layer_s_own_after_every_step(short, data):
    """Training at momentum 1 and averaging afterwards is training with the average."""
    found = measured._by_all_ways(ARM, SEED, data, ["momentum 0.1", "population"])
    own = {"by layer": [], "exact": []}

    def look(network):
        own["by layer"].append(training.accuracy(network, data.x_test, data.y_test))
        with training.population_statistics(network, data.x_train):
            own["exact"].append(training.accuracy(network, data.x_test, data.y_test))

    measured.trained(ARM, SEED, data, observe=look)
    at = [step - 1 for step in measured.STEPS]
    np.testing.assert_array_equal(found["momentum 0.1"]["accuracy"], np.array(own["by layer"])[at])
    np.testing.assert_array_equal(found["population"]["accuracy"], np.array(own["exact"])[at])
    gap = own["by layer"][49] - own["exact"][49]
    assert found["momentum 0.1"]["gap after 50"] == pytest.approx(gap, abs=1e-15)
    assert found["population"]["gap after 50"] == 0
    assert (found["population"]["other answers"] == 0).all()


def test_other_rules_start_where_they_say(short, data):
    ways = ["momentum 0.1", "0.1 from 0", "0.01 corrected", "cumulative", "last batch"]
    found = measured._by_all_ways(ARM, SEED, data, ways)
    answers = [found[way]["other answers"][0] for way in ways]
    assert answers[2] == answers[3] == answers[4]  # after one batch all three hold that batch
    assert answers[0] > answers[4] and answers[1] > answers[4]


def test_looking_changes_neither_training_nor_buffers(short, data):
    alone = measured.trained(ARM, SEED, data, momentum=1.0)
    seen = measured.trained(
        ARM, SEED, data, momentum=1.0,
        observe=lambda network: measured._answers(
            network, data, "momentum 0.1", [[layer.buffers for layer in measured.norms(network)]]
        ),
    )  # fmt: skip
    assert same_state(alone.state_dict(), seen.state_dict())


def test_one_at_a_time_all_get_one_answer_and_nothing_moves(short, data):
    network = measured.trained(ARM, SEED, data)
    before = network.state_dict()
    classes = measured.one_at_a_time(network, data.x_test[:20])
    assert classes.shape == (20,) and len(set(classes.tolist())) == 1
    assert same_state(before, network.state_dict())


def test_a_queue_keeps_its_share_in_place():
    labels = np.random.default_rng(0).integers(10, size=200)
    line = np.argsort(labels, kind="stable")
    for share in measured.SORTED:
        order = measured.queue(labels, share, np.random.default_rng(1))
        assert sorted(order.tolist()) == list(range(200))
        assert np.sum(order == line) >= share * 200
    assert (np.diff(labels[order]) >= 0).all()
    shuffled = measured.queue(labels, 0.0, np.random.default_rng(1))
    assert np.mean(labels[shuffled] == labels[line]) < 0.3


def test_in_batches_of_all_the_order_does_not_count_and_nothing_moves(short, data):
    network = measured.trained(ARM, SEED, data)
    x, labels, before = data.x_test[:100], data.y_test[:100], network.state_dict()
    order = np.argsort(labels)
    whole = [
        measured.accuracy_in_batches(network, x[o], labels[o], 100) for o in (range(100), order)
    ]
    assert whole[0] == pytest.approx(whole[1])
    assert measured.accuracy_in_batches(network, x[order], labels[order], 10) < whole[0] - 0.2
    assert same_state(before, network.state_dict())


def test_arms_alone_and_together_have_the_same_numbers(short):
    names = ("5 layers, cumulative", "5 layers, one at a time")
    together = measured.averages(SEED, datasets.digits, names)
    alone = measured.averages(SEED, datasets.digits, names[:1])
    assert tuple(together) == names and tuple(alone) == names[:1]
    np.testing.assert_array_equal(alone[names[0]]["accuracy"], together[names[0]]["accuracy"])
    assert set(together[names[1]]) == {"accuracy at the end", "above guessing"}


def test_every_contrast_asks_for_what_is_measured(short, data):
    found = measured._by_all_ways(ARM, SEED, data, ["momentum 0.01", measured.ALONE])
    has = {way: set(values) for way, values in found.items()}
    for rule in measured.C25:
        for contrast in (*rule.needs, *(one for own in rule.when.values() for one in own)):
            way = measured.ALONE if measured.ALONE in str(contrast.weights) else "momentum 0.01"
            known = has[way] | {f"gap after {step}" for step in (100, 200, 400)}
            assert contrast.measure in known
            assert set(contrast.weights) <= set(measured.ARMS)
