"""Scores, unit activations and mixed statistics against counting, PyTorch and loops by hand."""

import numpy as np
import pytest

from bnlib import datasets, layers, ood
from bnlib.training import population_statistics

RNG = np.random.default_rng
EXACT = 1e-12


def trained(network, x):
    """Give batch norm some statistics, gammas and betas, as training would."""
    rng = RNG(5)
    for leaf in network.leaves():
        if isinstance(leaf, layers.BatchNorm):
            size = leaf.num_features
            leaf.params = {"weight": rng.uniform(0.5, 2, size), "bias": rng.normal(size=size)}
    for _ in range(3):
        network.forward(x, training=True)
    return network


def a_network():
    network = layers.mlp([6, 8, 7, 4], rng=RNG(0), batch_norm=True)
    return trained(network, RNG(1).normal(1, 2, size=(30, 6)))


def a_convnet():
    network = layers.convnet((1, 8, 8), [3, 4], 5, rng=RNG(0), batch_norm=True, head="average")
    return trained(network, RNG(1).normal(1, 2, size=(9, 1, 8, 8)))


# --- scores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0, 1e6])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
def test_energy_and_confidence_equal_pytorch(scale, temperature):
    torch = pytest.importorskip("torch")
    logits = scale * RNG(0).normal(size=(50, 10))
    expected = -temperature * torch.logsumexp(torch.from_numpy(logits) / temperature, dim=1)
    found = ood.energy(logits, temperature=temperature)
    assert found == pytest.approx(expected.numpy(), rel=EXACT)
    largest = torch.softmax(torch.from_numpy(logits), dim=1).max(dim=1).values
    assert ood.confidence(logits) == pytest.approx(largest.numpy(), rel=EXACT)


def test_energy_falls_as_logits_rise_and_confidence_does_not_see_a_common_shift():
    logits = RNG(0).normal(size=(5, 3))
    assert ood.energy(logits + 2) == pytest.approx(ood.energy(logits) - 2, rel=EXACT)
    assert ood.confidence(logits + 2) == pytest.approx(ood.confidence(logits), rel=EXACT)
    assert ood.energy(np.full((1, 8), -1.0)) == pytest.approx(1 - np.log(8))


def test_scores_keep_float32_and_pass_nan_on_by_example():
    logits = np.array([[0.0, 1.0], [np.nan, 1.0]], np.float32)
    for score in (ood.energy, ood.confidence):
        assert score(logits).dtype == np.float32
        assert list(np.isnan(score(logits))) == [False, True]


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_share_of_pairs_in_the_right_order(seed):
    rng = RNG(seed)
    known, strange = rng.integers(0, 12, size=40) / 4, rng.integers(3, 15, size=25) / 4  # with ties
    above = strange[:, None] > known
    ties = strange[:, None] == known
    expected = above.mean() + ties.mean() / 2
    assert ood.auroc(known, strange) == pytest.approx(expected, rel=EXACT)
    assert ood.auroc(strange, known) == pytest.approx(1 - expected, rel=EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_fpr95_is_what_passes_the_lowest_threshold_that_passes_enough_known_ones(seed):
    rng = RNG(seed)
    known, strange = rng.integers(0, 40, size=33) / 4, rng.integers(20, 60, size=25) / 4
    thresholds = [t for t in np.unique(known) if (known <= t).mean() >= 0.95]
    assert ood.fpr95(known, strange) == pytest.approx((strange <= thresholds[0]).mean(), rel=EXACT)


def test_the_threshold_of_fpr95_may_pass_just_95_percent():
    known = np.arange(20.0)  # 18 passes 19 of 20, with what lies on it
    assert ood.fpr95(known, np.array([5.0, 18.0, 18.5, 30.0])) == 0.5
    assert ood.fpr95(known, known) == 0.95


def test_infinite_logits_give_nan_without_a_warning():
    logits = np.array([[np.inf, 0.0], [0.0, 0.0]])
    with np.errstate(all="raise"):
        for score in (ood.energy, ood.confidence):
            assert list(np.isnan(score(logits))) == [True, False]


def test_perfect_and_reversed_scores():
    low, high = np.arange(50.0), np.arange(50.0) + 100
    assert (ood.auroc(low, high), ood.fpr95(low, high)) == (1.0, 0.0)
    assert (ood.auroc(high, low), ood.fpr95(high, low)) == (0.0, 1.0)


# --- unit activations -----------------------------------------------------------------------------


def test_the_last_layer_makes_logits_of_the_penultimate():
    network, x = a_network(), RNG(2).normal(size=(11, 6))
    logits = network.forward(x, training=False)
    last = network.layers[-1]
    assert (last.forward(ood.penultimate(network, x), training=False) == logits).all()


def test_activations_compared_by_hand():
    known, strange = np.array([[1.0, 0.0], [2.0, 1.0]]), np.array([[4.0, 0.0], [9.0, 3.0]])
    assert ood.unit_activations(known, strange, 3.0) == (4.0, 0.5)
    with pytest.raises(ValueError, match="mean of known must be above 0, got 0"):
        ood.unit_activations(0 * known, strange, 3.0)


def test_react_by_hand_and_as_no_change_for_a_high_limit():
    network, x = a_network(), RNG(2).normal(size=(11, 6))
    hidden, last = ood.penultimate(network, x), network.layers[-1]
    limit = ood.react_limit(network, x, quantile=0.75)
    assert limit == np.quantile(hidden, 0.75) > 0
    clipped = np.where(hidden > limit, limit, hidden)
    expected = clipped @ last.params["weight"].T + last.params["bias"]
    assert ood.react(network, x, limit) == pytest.approx(expected, rel=EXACT)
    assert (ood.react(network, x, hidden.max()) == network.forward(x, training=False)).all()


def test_unless_told_otherwise_react_cuts_off_a_tenth_of_all_activations():
    network, x = a_network(), RNG(2).normal(size=(500, 6))
    above = ood.penultimate(network, x) > ood.react_limit(network, x)
    assert above.mean() == pytest.approx(0.1, abs=1 / above.size)


# --- whose statistics -----------------------------------------------------------------------------


def inputs_for(make):
    return RNG(3).normal(-1, 3, size=(20, 6) if make is a_network else (20, 1, 8, 8))


@pytest.mark.parametrize("make", [a_network, a_convnet])
def test_the_ends_of_the_dial_are_stored_and_own_statistics(make):
    network, x = make(), inputs_for(make)
    with ood.mixed_statistics(network, x, alpha=0.0) as y:
        assert (y == network.forward(x, training=False)).all()
    assert (y == network.forward(x, training=False)).all()
    with population_statistics(network, x) as own:
        pass
    with ood.mixed_statistics(network, x, alpha=1.0) as y:
        assert y == pytest.approx(own, rel=EXACT)


def test_the_middle_layer_after_layer_by_hand():
    network, x = a_network(), inputs_for(a_network)
    with ood.mixed_statistics(network, x, alpha=0.3) as y:
        inside = [dict(leaf.buffers) for leaf in network.leaves()]
    value = x
    for layer, mixed in zip(network.layers, inside, strict=True):
        if isinstance(layer, layers.BatchNorm):
            mean = 0.7 * layer.buffers["running_mean"] + 0.3 * value.mean(axis=0)
            var = 0.7 * layer.buffers["running_var"] + 0.3 * value.var(axis=0)
            assert mixed["running_mean"] == pytest.approx(mean, rel=EXACT)
            assert mixed["running_var"] == pytest.approx(var, rel=EXACT)
            gamma, beta = layer.params["weight"], layer.params["bias"]
            value = gamma * (value - mean) / np.sqrt(var + layer.eps) + beta
        else:
            value = layer.forward(value, training=False)
    assert y == pytest.approx(value, rel=1e-10)


def test_a_prior_counts_as_so_many_examples():
    network, x = a_network(), inputs_for(a_network)
    with ood.mixed_statistics(network, x, prior=60) as mine:
        pass
    with ood.mixed_statistics(network, x, alpha=20 / 80) as expected:
        assert (mine == expected).all()


def test_the_mixture_is_with_what_is_stored_at_the_time():
    network, x = a_network(), inputs_for(a_network)
    with population_statistics(network, x), ood.mixed_statistics(network, x, alpha=0.4) as y:
        mixed = y
    with population_statistics(network, x) as expected:
        assert mixed == pytest.approx(expected, rel=1e-10)


def test_afterwards_all_is_as_before_also_when_it_raises():
    network, x = a_network(), inputs_for(a_network)
    before, copy = network.state_dict(), x.copy()
    with ood.mixed_statistics(network, x, alpha=0.5):
        pass
    with pytest.raises(RuntimeError), ood.mixed_statistics(network, x, alpha=0.5):
        raise RuntimeError
    with (
        pytest.raises(ValueError, match="weight"),
        ood.mixed_statistics(network, x[:, :3], alpha=0.5),
    ):
        pass
    after = network.state_dict()
    assert (
        all((after[name] == before[name]).all() for name in before)
        and before.keys() == after.keys()
    )
    assert (x == copy).all()


def test_own_statistics_undo_a_dimmed_picture_and_not_an_inverted_one():
    """The first batch norm takes away what one affine map did to all inputs, but for eps."""
    network = trained(
        layers.mlp([64, 20, 10], rng=RNG(0), batch_norm=True), RNG(1).random((40, 64))
    )
    x = datasets.digits(RNG(0)).x_test[:100]
    with population_statistics(network, x) as clean:
        pass
    with population_statistics(network, 0.3 * x + 0.2) as dimmed:
        assert dimmed == pytest.approx(clean, abs=1e-2)
    with population_statistics(network, 1 - x) as inverted:
        assert np.abs(inverted - clean).max() > 1


# --- errors ---------------------------------------------------------------------------------------

ONE, TWO = np.ones((2, 3)), np.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ood.confidence(TWO), ValueError, "confidence: logits must have shape"),
        (lambda: ood.energy(np.ones((2, 0))), ValueError, "energy: logits must have shape"),
        (lambda: ood.energy(np.ones((2, 3), int)), TypeError, "energy: logits must be an array of"),
        (lambda: ood.energy(ONE, temperature=0), ValueError, "temperature must be a number above"),
        (lambda: ood.auroc(TWO, ONE), ValueError, "auroc: strange must be finite scores"),
        (lambda: ood.auroc(TWO[:0], TWO), ValueError, "auroc: known must be finite scores"),
        (
            lambda: ood.fpr95(TWO, np.nan * TWO),
            ValueError,
            "strange .* 2 that are not finite",
        ),
        (
            lambda: ood.react(a_network(), np.ones((2, 6)), 0.0),
            ValueError,
            "limit must be a number",
        ),
        (
            lambda: ood.react_limit(a_network(), np.ones((2, 6)), quantile=90),
            ValueError,
            "quantile must lie in",
        ),
    ],
)
def test_errors_say_what_was_expected(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs either alpha or prior, got alpha=None, prior=None"),
        ({"alpha": 0.5, "prior": 3}, "needs either alpha or prior, got alpha=0.5, prior=3"),
        ({"alpha": 1.5}, r"alpha must lie in \[0, 1\], got 1.5"),
        ({"prior": -1}, "prior must be a number above 0, got -1"),
    ],
)
def test_the_dial_has_ends(options, words):
    with pytest.raises(ValueError, match=words), ood.mixed_statistics(a_network(), ONE, **options):
        pass


def test_batch_norm_without_stored_statistics_cannot_be_mixed():
    network = layers.Sequential(layers.BatchNorm(3, track_running_stats=False))
    words = "batch norm must store statistics"
    with pytest.raises(ValueError, match=words), ood.mixed_statistics(network, ONE, alpha=0.5):
        pass
