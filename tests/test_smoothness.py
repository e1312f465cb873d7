"""The experiments on smoothness: where they look, what counts as worst, and their ranks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from bnlib import datasets
from bnlib.experiments import arms, smooth_and_fast, smoothness
from bnlib.experiments.arms import Arm

DATA = arms.split(3, datasets.digits)
SHORT = Arm(depth=1, epochs=2, lr=0.3)


def trained(arm):
    states = []
    own = arms.train(
        {"": arm}, 3, DATA, evaluate="never", observe_at=range(41),
        observe=lambda network: states.append(network.state_dict()),
    )[""]  # fmt: skip
    return own, states


def loss_at(run, state):
    run.network.load_state_dict(state)
    return arms.cross_entropy(run.network, run.data.x_train, run.data.y_train)


@pytest.mark.parametrize("batch_norm", ["", "before"])
def test_levels_are_met_between_the_steps_that_cross_them(batch_norm):
    run, states = trained(replace(SHORT, batch_norm=batch_norm))
    losses = [loss_at(run, state) for state in states]
    levels = (1.7, 1.2)
    found = smoothness.crossings(run.network, states, run.data, levels)
    for level, state in zip(levels, found, strict=True):
        assert loss_at(run, state) == pytest.approx(level, abs=1e-3)
        after = next(k for k, loss in enumerate(losses) if loss <= level)
        weight = {place: states[place]["0.weight"] for place in (after - 1, after)}
        whole = weight[after] - weight[after - 1]
        part = state["0.weight"] - weight[after - 1]
        share = (part * whole).sum() / (whole**2).sum()
        assert 0 < share <= 1
        np.testing.assert_allclose(part, share * whole, atol=1e-12)


def test_a_level_that_is_never_met_is_looked_at_in_the_end():
    run, states = trained(SHORT)
    _, never = smoothness.crossings(run.network, states, run.data, (1.7, 1e-9))
    np.testing.assert_equal(never, states[-1])


@pytest.mark.parametrize("batch_norm", ["", "before"])
def test_a_run_that_diverges_is_as_rough_as_can_be(batch_norm):
    arm = replace(SHORT, lr=1e200, batch_norm=batch_norm)
    values = smoothness._surface(arm, DATA, 3)
    assert values["roughness"] == pytest.approx(smoothness.WORST)
    assert all(np.isfinite(value).all() for value in values.values())


def test_ratios_of_rulers_are_those_of_their_measures():
    values = smoothness._surface(SHORT, DATA, 3)
    expected = values["raw roughness"] / values["roughness"]
    assert values["raw over relative"] == pytest.approx(expected)
    by_loss = np.array(values["roughness by loss"])
    assert values["roughness"] == pytest.approx(by_loss.prod() ** (1 / 3))
    own = np.array(values["own gradient change by loss"])
    assert values["own gradient change"] == pytest.approx(own.prod() ** (1 / 3))


def test_a_step_of_its_own_at_the_shared_rate_is_the_usual_raw_step():
    run, _ = trained(SHORT)
    own, twice = (smoothness.look(run.network, run.data, lr) for lr in (0.1, 0.2))
    assert own["own loss variation"] == own["raw loss variation"]
    assert twice["own step over weights"] == pytest.approx(2 * own["own step over weights"])
    assert twice["raw roughness"] == own["raw roughness"]


def test_only_weight_matrices_move_where_it_is_said():
    run, _ = trained(replace(SHORT, batch_norm="before"))
    network = smoothness._only_weights(run.network)
    free = [name for leaf in network.leaves() for name in leaf.params if name not in leaf.frozen]
    assert free == ["weight", "weight"]
    assert not any(leaf.frozen for leaf in run.network.leaves())


@pytest.mark.parametrize("size", [2, 5, 30])
def test_rank_correlation_agrees_with_scipy(size):
    rng = np.random.default_rng(size)
    for _ in range(20):
        a, b = rng.integers(0, size, (2, size)) + np.array([[0.0], [1e12]])
        if np.ptp(a) and np.ptp(b):
            expected = spearmanr(a, b).statistic
            assert smooth_and_fast.rank_correlation(a, b) == pytest.approx(expected, abs=1e-12)


def test_what_does_not_vary_correlates_with_nothing():
    assert smooth_and_fast.rank_correlation([1.0, 1.0], [1.0, 2.0]) == 0
    assert (
        smooth_and_fast.rank_correlation([1.0], [2.0])
        == smooth_and_fast.rank_correlation([], [])
        == 0
    )


def test_the_largest_rise():
    assert smooth_and_fast._rise(np.array([3.0, 1.0, 2.0, 1.5, 2.5, 0.5])) == 1.5
    assert smooth_and_fast._rise(np.array([3.0, 2.0])) == 0


def test_settings_are_all_combinations_and_the_dead():
    kinds, dead = 3 * 2 * 3, 1
    assert len(smooth_and_fast.SETTINGS) == (kinds + dead) * 4 == 76
    assert smooth_and_fast.SETTINGS["dead, rate 0.3"] == Arm(below=1.0, lr=0.3)
    assert len({replace(arm, lr=None) for arm in smooth_and_fast.SETTINGS.values()}) == kinds + dead


def test_groups_and_ranks_of_made_up_settings(monkeypatch):
    monkeypatch.setattr(smooth_and_fast, "NETWORKS", dict.fromkeys("abc"))
    monkeypatch.setattr(smooth_and_fast, "SETTINGS", dict.fromkeys(range(12)))
    steps = np.array([50, 40, 401, 401, 90, 80, 70, 401, 401, 401, 401, 401])
    found = {"steps": steps, "errors": steps / 1000, "rise": np.arange(12.0)}
    for ruler in smooth_and_fast.RULERS:
        found[f"{ruler} at the start"] = np.repeat([1.0, 2.0, 3.0], 4)
        found[f"{ruler} after an epoch"] = -steps
    monkeypatch.setattr(smooth_and_fast, "_settings", lambda seed, data: found)
    got = smooth_and_fast.smooth_and_fast(3, datasets.digits, smooth_and_fast.GROUPS)
    learn, best = got["those that learn"], got["each at its best rate"]
    assert learn["settings"] == 5 and best["settings"] == 3
    assert best["speed by roughness"] == pytest.approx(1)
    expected = spearmanr([1, 1, 2, 2, 2], [50, 40, 90, 80, 70]).statistic
    assert learn["speed by roughness"] == pytest.approx(expected)
    everyone = got["all settings"]
    assert everyone["steps of each"] == steps.tolist() and "steps of each" not in learn
    expected = spearmanr(np.arange(12.0), steps).statistic
    assert everyone["accuracy by rise"] == pytest.approx(expected)
    alone = smooth_and_fast.smooth_and_fast(3, datasets.digits, smooth_and_fast.GROUPS[1:])
    assert "steps of each" not in alone[smooth_and_fast.GROUPS[1]]
    assert everyone["accuracy by roughness, after an epoch"] == pytest.approx(-1)
    assert everyone["speed by loss, later - early"] == pytest.approx(-1 - everyone["speed by loss"])


def test_groups_are_all_settings_those_that_learn_and_the_best_of_each_network(monkeypatch):
    monkeypatch.setattr(smooth_and_fast, "NETWORKS", dict.fromkeys("abc"))
    monkeypatch.setattr(smooth_and_fast, "SETTINGS", dict.fromkeys(range(12)))
    steps = np.array([50, 40, 401, 401, 90, 80, 70, 401, 401, 401, 400, 401])
    monkeypatch.setattr(smooth_and_fast, "_settings", lambda seed, data: {"steps": steps})
    monkeypatch.setattr(smooth_and_fast, "_correlations", lambda found, own: {"own": own.tolist()})
    got = smooth_and_fast.smooth_and_fast(3, datasets.digits, smooth_and_fast.GROUPS)
    everyone, learn, best = (own["own"] for own in got.values())
    assert everyone == [*range(12)] and learn == [0, 1, 4, 5, 6, 10] and best == [1, 6, 10]


def test_a_dead_network_does_not_learn_and_one_that_diverges_is_worst(monkeypatch):
    few = {name: smooth_and_fast.SETTINGS[name] for name in (
        "dead, rate 1", "standardized, depth 6, x 3, rate 1", "batch norm, depth 3, x 1, rate 0.3",
    )}  # fmt: skip
    monkeypatch.setattr(smooth_and_fast, "SETTINGS", few)
    found = smooth_and_fast._settings(3, DATA)
    dead, diverged, good = range(3)
    assert found["steps"][dead] == found["steps"][diverged] == 401 > found["steps"][good]
    assert found["rise"][diverged] == smoothness.WORST > found["rise"][good]
    assert found["roughness after an epoch"][diverged] == smoothness.WORST
    assert found["errors"][dead] > 0.8 > found["errors"][good]
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_network_whose_loss_cannot_be_followed_has_the_worst_of_every_ruler(monkeypatch):
    run = arms.train({"one": Arm(depth=1, epochs=1, lr=0.1)}, 3, DATA)["one"]
    state = run.network.state_dict()
    rulers = smooth_and_fast._rulers(run, state)
    assert tuple(rulers) == smooth_and_fast.RULERS
    assert max(rulers.values()) < smoothness.WORST
    x, labels = run.data.x_train, run.data.y_train
    shared = smoothness.SHARED * smoothness.LADDER
    raw = smoothness.follow(run.network, x, labels, rates=shared)
    assert rulers["raw roughness"] == smooth_and_fast.roughness_of(raw)
    monkeypatch.setattr(smooth_and_fast, "follow_relative", lambda network, x, labels: None)
    worst = dict.fromkeys(smooth_and_fast.RULERS, smoothness.WORST)
    assert smooth_and_fast._rulers(run, state) == worst


def test_the_edge_is_measured_in_units_of_two_over_the_rate(monkeypatch):
    monkeypatch.setattr(smooth_and_fast, "EDGE_STEPS", 0)
    plain = smooth_and_fast.edge(3, datasets.digits, ("plain at 0.03", "plain at 0.1"))
    (low,), (high,) = (values["sharpness x rate / 2"] for values in plain.values())
    assert high == pytest.approx(low / 0.3, rel=1e-2)
    assert len(plain["plain at 0.1"]["loss"]) == 1


def test_standardized_networks_see_standardized_digits_at_the_edge(monkeypatch):
    monkeypatch.setattr(smooth_and_fast, "EDGE_STEPS", 0)
    found = smooth_and_fast.edge(3, datasets.digits, ("standardized at 0.1",))
    digits = arms.standardized(arms.split(3, datasets.digits))
    plain = smooth_and_fast.edge(3, lambda rng: digits, ("plain at 0.1",))
    assert found["standardized at 0.1"] == plain["plain at 0.1"]
