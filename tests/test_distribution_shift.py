"""The measures of the chapter on shifted inputs: what is changed, compared and kept."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bnlib import datasets, layers, ood, training
from bnlib.experiments import (
    adapting,
    convnets,
    distribution_shift,
    ood_networks,
    shifted_digits,
    tuning,
)
from bnlib.experiments.arms import split

SEED = 3
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def data():
    whole = datasets.digits(RNG(0))
    return datasets.Dataset(*(part[:120] for part in whole))


def draw_few(rng):
    whole = datasets.digits(rng)
    return datasets.Dataset(*(part[:150] for part in whole))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(distribution_shift, "EPOCHS", 2)
    for table in (distribution_shift.RATES, ood_networks.RATES):
        for name in table:
            monkeypatch.setitem(table, name, 0.1)
    small = {
        n: replace(a, channels=(3, 4), epochs=1, lr=0.1) for n, a in ood_networks.TUNED.items()
    }
    monkeypatch.setattr(ood_networks, "TUNED", small)


# --- pictures -------------------------------------------------------------------------------------


def test_a_colour_changes_the_light_of_ink_and_not_that_of_paper(data):
    ink = data.x_test
    for how in ("grey", "yellow", "pastel"):
        planes = shifted_digits.recolour(ink, how, RNG(1)).reshape(len(ink), 3, 64)
        assert (planes[:, 0][ink == 0] == 1).all()
        contrast = (1 - planes) / np.where(ink > 0, ink, np.nan)[:, None]
        for channel in range(3):
            own = contrast[:, channel]
            low, high = np.nanmin(own, axis=1), np.nanmax(own, axis=1)
            assert low == pytest.approx(high)  # one contrast per picture and channel
            if how != "pastel":
                assert np.ptp(low) == pytest.approx(0, abs=1e-12)
            else:
                assert 0 <= low.min() < 0.1 and 0.4 < low.max() <= 0.5
    black, negative = (shifted_digits.recolour(ink, how, RNG(1)) for how in ("black", "negative"))
    assert (black == 1 - np.tile(ink, 3)).all() and (negative == np.tile(ink, 3)).all()


def test_pixels_count_light_or_ink(data):
    light, ink = (distribution_shift.in_colour(data, "pastel", SEED, p) for p in ("light", "ink"))
    assert (light.x_test == pytest.approx(1 - ink.x_test)) and (light.y_test == data.y_test).all()
    black = distribution_shift.in_colour(data, "black", SEED, "ink")
    assert black.x_train == pytest.approx(np.tile(data.x_train, 3))


def test_training_and_test_pictures_have_colours_of_their_own(data):
    same = data._replace(x_test=data.x_train[:120])
    own = distribution_shift.in_colour(same, "pastel", SEED)
    assert (own.x_train != own.x_test).any()


@pytest.mark.parametrize("how", shifted_digits.STRANGE)
def test_strange_pictures_are_as_many_of_the_same_range(data, how):
    strange = shifted_digits.strange_pictures(data.x_test, how, RNG(2))
    assert strange.shape == data.x_test.shape
    assert strange.min() >= 0 and strange.max() <= 1
    again = shifted_digits.strange_pictures(data.x_test, how, RNG(2))
    assert (strange == again).all()


def test_shuffled_pictures_keep_their_pixels_and_patches_are_of_the_photographs(data):
    shuffled = shifted_digits.strange_pictures(data.x_test, "shuffled", RNG(2))
    assert (np.sort(shuffled, axis=1) == np.sort(data.x_test, axis=1)).all()
    assert (shuffled != data.x_test).mean() > 0.3
    from sklearn.datasets import load_sample_images

    (patch,) = shifted_digits.photograph_patches(1, RNG(5), side=4)
    found = [
        np.isclose(patch[0], image[y : y + 4, x : x + 4].mean(axis=2).ravel()[0] / 255)
        and np.allclose(patch, image[y : y + 4, x : x + 4].mean(axis=2).ravel() / 255)
        for image in load_sample_images().images
        for y, x in np.argwhere(np.isclose(image.mean(axis=2) / 255, patch[0]))
        if y + 4 <= len(image) and x + 4 <= image.shape[1]
    ]
    assert any(found)


# --- recoloured digits ----------------------------------------------------------------------------


def test_accuracy_by_a_source_is_that_of_its_statistics(quick, data):
    black, grey = (distribution_shift.in_colour(data, c, SEED) for c in ("black", "grey"))
    (run,) = distribution_shift.train("BN", SEED, [black], [0.3])
    got = distribution_shift.accuracy_by("BN", run.network, grey.x_train, grey)
    with training.population_statistics(run.network, grey.x_train):
        assert got == training.accuracy(run.network, grey.x_test, grey.y_test)
    (run,) = distribution_shift.train("standardized", SEED, [black], [0.3])
    x = (grey.x_test - black.x_train.mean(axis=0)) / np.sqrt(black.x_train.var(axis=0) + 1e-5)
    got = distribution_shift.accuracy_by("standardized", run.network, black.x_train, grey)
    assert got == training.accuracy(run.network, x, grey.y_test)


@pytest.mark.parametrize("kind", distribution_shift.ADAPTS)
def test_new_statistics_undo_what_happened_to_all_pictures_alike(quick, kind):
    arms = (f"{kind} grey light", f"{kind} re-estimated grey light")
    found = distribution_shift.black_cats(SEED, draw_few, arms)
    assert abs(found[arms[1]]["drop"]) <= 0.02 < found[arms[0]]["drop"]
    expected = found[arms[1]]["drop"] - 0.1 * found[arms[0]]["drop"]
    assert found[arms[1]]["short"] == pytest.approx(expected)


def test_each_arm_asked_for_is_measured_as_with_all_others(quick):
    arms = ("LN yellow ink", "BN retrained grey light", "BN negative light")
    together = distribution_shift.black_cats(SEED, draw_few, arms)
    assert list(together) == list(arms)
    for arm in arms:
        assert distribution_shift.black_cats(SEED, draw_few, (arm,))[arm] == together[arm]


def test_a_retrained_network_saw_the_new_colour(quick):
    arm = "BN retrained negative light"
    got = distribution_shift.black_cats(SEED, draw_few, (arm,))[arm]["accuracy"]
    new = distribution_shift.in_colour(split(SEED, draw_few), "negative", SEED)
    (run,) = distribution_shift.train("BN", SEED, [new], [0.1])
    assert got == run.test_accuracy


def test_networks_of_a_kind_start_alike(quick, data):
    black = distribution_shift.in_colour(data, "black", SEED)
    one, two = distribution_shift.train("BN", SEED, [black, black], [0.1, 0.1])
    assert (one.history.loss == two.history.loss).all()


def weight_of(contrast):
    return sum(contrast.weights.values())


def test_rules_compare_what_they_say():
    c20, c39, c46 = (distribution_shift.EXPERIMENTS[0].rules[at] for at in range(3))
    assert len(c20.needs) == 4 * 4 * 2 and len(c39.needs) == 4 * 2 * 2 and len(c46.needs) == 16
    for rule in (c20, c39, c46):
        for key, contrasts in rule.when.items():
            assert weight_of(contrasts[-1]) == pytest.approx(0), key
            assert contrasts[-1].smallest == 0
    wanted = {arm for one in c39.needs for arm, weight in one.weights.items() if weight < 0}
    assert wanted == {f"BN {c} {p}" for c in shifted_digits.RECOLOURED for p in ("light", "ink")}
    assert {one.measure for one in c46.needs} == {"short", "accuracy"}


# --- batches and the dial -------------------------------------------------------------------------


def test_batches_cover_every_picture_once(quick, data):
    grey = distribution_shift.in_colour(data, "grey", SEED)
    (run,) = distribution_shift.train("BN", SEED, [grey], [0.3])
    order = RNG(1).permutation(120)
    whole = adapting._batch_by_batch(run.network, grey, order, "own", 120)
    with training.population_statistics(run.network, grey.x_test) as logits:
        assert whole == np.mean(logits.argmax(axis=1) == grey.y_test)
    right = 0
    for rows in (order[:50], order[50:100], order[100:]):
        with ood.mixed_statistics(run.network, grey.x_test[rows], prior=50) as logits:
            right += np.sum(logits.argmax(axis=1) == grey.y_test[rows])
    assert adapting._batch_by_batch(run.network, grey, order, "mixed", 50) == right / 120


def test_sorted_batches_are_worse(quick):
    found = adapting.batch_mixes(SEED, draw_few, ("own shuffled", "own sorted"))
    assert found["own sorted"]["accuracy"][0] < found["own shuffled"]["accuracy"][0]


def test_the_dial_ends_at_stored_and_own_statistics(quick):
    found = adapting.dial(SEED, draw_few, ("grey", "negative"))
    black = distribution_shift.black_cats(SEED, draw_few, ("BN grey light",))["BN grey light"]
    assert found["grey"]["accuracy"][0] == black["accuracy"]
    assert found["grey"]["AUROC"][-1] == pytest.approx(0.5, abs=0.02)
    assert len(found["negative"]["accuracy"]) == len(adapting.ALPHAS) == 11


# --- strange pictures -----------------------------------------------------------------------------


def test_measures_of_strange_pictures_are_those_of_the_library(quick):
    name = "BN own average"
    got = ood_networks.strange_inputs(SEED, draw_few, (name,))[name]
    data = split(SEED, draw_few)
    runs = convnets.train({"it": ood_networks.TUNED["BN average"]}, SEED, data)
    network, own = runs["it"].network, runs["it"].data
    inverted = 1 - own.x_test
    with training.population_statistics(network, own.x_train):
        rare = np.quantile(ood.penultimate(network, own.x_train), 0.999)
    with training.population_statistics(network, inverted) as logits:
        hidden = ood.penultimate(network, inverted)
    with training.population_statistics(network, own.x_test) as known:
        usual = ood.penultimate(network, own.x_test).mean()
    assert got["confidence, inverted"] == pytest.approx(ood.confidence(logits).mean())
    assert got["activations above, inverted"] == pytest.approx((hidden > rare).mean())
    assert got["activation ratio, inverted"] == pytest.approx(hidden.mean() / usual)
    assert got["AUROC, inverted"] == pytest.approx(ood.auroc(ood.energy(known), ood.energy(logits)))
    assert got["accuracy"] == np.mean(known.argmax(axis=1) == own.y_test)


def test_leads_are_what_three_of_four_kinds_reach(quick):
    arms = tuple(f"{kind} flatten" for kind in ("none", "BN", "BN own"))
    found = ood_networks.strange_inputs(SEED, draw_few, arms)
    own, none = found["BN flatten"], found["none flatten"]
    differences = [
        own[f"confidence, {s}"] - none[f"confidence, {s}"] for s in shifted_digits.STRANGE
    ]
    assert own["confidence over none"] == sorted(differences)[1]
    ratios = [
        own[f"activation ratio, {s}"] / none[f"activation ratio, {s}"]
        for s in shifted_digits.STRANGE
    ]
    assert own["activation ratio over none"] == sorted(ratios)[1]
    assert "activation ratio over BN own" not in own
    alone = ood_networks.strange_inputs(SEED, draw_few, ("BN flatten",))["BN flatten"]
    assert alone == own


def test_a_lead_is_what_is_reached_with_so_many_kinds_and_own_statistics_have_no_ratio():
    kinds = ("w", "x", "y", "z")
    numbers = {"BN": ([0.9, 0.8, 0.7, 0.6], [8.0, 6.0, 4.0, 3.0]),
               "none": ([0.5, 0.3, 0.6, 0.7], [2.0, 3.0, 4.0, 1.0])}  # fmt: skip
    numbers |= {rival: numbers["none"] for rival in ood_networks.RIVALS}
    found = {
        kind: {
            f"{measure}, {how}": value
            for measure, values in zip(("confidence", "activation ratio"), own, strict=True)
            for how, value in zip(kinds, values, strict=True)
        }
        for kind, own in numbers.items()
    }
    got = ood_networks.leads(found, kinds, 3)
    ratios = {name for name in got if name.startswith("activation ratio over")}
    assert ratios == {f"activation ratio over {r}" for r in ood_networks.RIVALS if r != "BN own"}
    assert all(got[name] == 2 for name in ratios)  # of 4, 2, 1 and 3
    assert got["activation ratio reached"] == 4
    for rival in ood_networks.RIVALS:
        assert got[f"confidence over {rival}"] == pytest.approx(0.1)  # of .4, .5, .1 and -.1
    assert ood_networks.leads(found, kinds, 4)["activation ratio reached"] == 3


def test_strange_pictures_are_standardized_as_the_training_images_are(data):
    arm = ood_networks.NETWORKS["standardized"]
    strange = 1 - data.x_test
    x = ood_networks.inputs_of(arm, data, strange)
    mean, var = data.x_train.mean(axis=0), data.x_train.var(axis=0)
    assert x.reshape(len(x), -1) == pytest.approx((strange - mean) / np.sqrt(var + 1e-5))
    own = ood_networks.inputs_of(arm, data, strange, strange)
    assert own.mean(axis=0) == pytest.approx(0, abs=1e-12)


def test_own_statistics_of_the_inputs_are_those_of_each_set(quick):
    name = "standardized own average"
    got = ood_networks.strange_inputs(SEED, draw_few, (name,))[name]
    data = split(SEED, draw_few)
    arm = ood_networks.TUNED["standardized average"]
    network = convnets.train({"it": arm}, SEED, data)["it"].network
    x = ood_networks.inputs_of(arm, data, 1 - data.x_test, 1 - data.x_test)
    expected = ood.confidence(network.forward(x, training=False)).mean()
    assert got["confidence, inverted"] == pytest.approx(expected)
    x = ood_networks.inputs_of(arm, data, data.x_test, data.x_test)
    expected = ood.confidence(network.forward(x, training=False)).mean()
    assert got["confidence, known"] == pytest.approx(expected)


def test_a_network_that_diverged_counts_as_guessing(quick):
    data = split(SEED, draw_few)
    arm = replace(ood_networks.TUNED["none flatten"], lr=1e300)
    (run,) = convnets.train({"it": arm}, SEED, data).values()
    found = ood_networks.examine(run, {"noise": run.data.x_test}, 0.0)
    fine = convnets.train({"it": replace(arm, lr=0.1)}, SEED, data)["it"]
    assert found.keys() == ood_networks.examine(fine, {"noise": run.data.x_test}, 0.0).keys()
    assert found["AUROC, noise"] == 0.5 and found["accuracy"] == 0.1


def test_held_out_classes_are_not_trained_on(quick, monkeypatch):
    seen = []
    train = convnets.train

    def watched(arms, seed, data, **options):
        seen.append((arms, data))
        return train({n: replace(a, epochs=1) for n, a in arms.items()}, seed, data, **options)

    monkeypatch.setattr(convnets, "train", watched)
    rated = {arm.description: 0.1 for arm in ood_networks.TUNED.values()}
    monkeypatch.setattr(ood_networks, "RATES", rated)
    arms = ("none average", "BN own average")
    found = ood_networks.held_out_classes(SEED, draw_few, arms)
    assert list(found) == list(arms) and "confidence, new" in found["BN own average"]
    (trained, known) = seen[0]
    assert set(trained) == {"none average", "BN average"}
    assert set(known.y_train) == set(known.y_test) == set(range(5))


# --- rates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [distribution_shift, ood_networks])
def test_the_chosen_rates_are_the_best_of_the_stored_scores_and_inside_their_grid(module):
    scores = json.loads(module.SCORES.read_text(encoding="utf-8"))
    assert convnets.best(scores) == module.RATES
    for name, own in scores.items():
        rates = sorted(map(float, own))
        assert len(rates) >= 4 and rates[0] < module.RATES[name] < rates[-1], name
        assert max(np.divide(rates[1:], rates[:-1])) < 3.4


def test_the_rates_of_all_networks_are_chosen_as_those_of_other_convnets(monkeypatch):
    asked = []
    monkeypatch.setattr(convnets, "choose", lambda arms, file: asked.append((list(arms), file)))
    ood_networks.choose()
    assert asked == [(list(ood_networks.TUNED.values()), ood_networks.SCORES)]


def test_rates_are_there_for_all_networks():
    assert ood_networks.RATES.keys() == {arm.description for arm in ood_networks.TUNED.values()}
    kinds = {f"{k} {p}" for k in distribution_shift.KINDS for p in distribution_shift.PIXELS}
    assert distribution_shift.RATES.keys() == kinds


def test_mlps_are_validated_on_training_images(monkeypatch):
    seen = []

    def train(kind, seed, sets, rates):
        seen.append((sets, rates))
        run = type("Run", (), {"test_accuracy": 0.5})
        return [run for _ in rates]

    monkeypatch.setattr(distribution_shift, "train", train)
    assert distribution_shift._scores("BN", "ink", [-1, 0], 4) == [0.5, 0.5]
    sets, rates = seen[0]
    assert rates == [0.3, 1.0] and len(sets) == 2
    validation = tuning.validation_data(4)
    assert (sets[0].x_test == np.tile(validation.x_test, 3)).all()


def test_norms_stand_where_their_names_say():
    for kind, norm in distribution_shift.NORMS.items():
        has = {"LN": layers.LayerNorm, "BN": layers.BatchNorm}.get(kind)
        assert norm is has
