"""Batch norm changed for an experiment, against batch norm itself and against slopes."""

import numpy as np
import pytest

from bnlib import datasets, normalization
from bnlib.experiments import arms, variants
from bnlib.experiments.arms import Arm
from bnlib.experiments.variants import GhostBatchNorm, Noise

RNG = np.random.default_rng(5)
X, DY = RNG.standard_normal((12, 4)) * [1, 2, 3, 4], RNG.standard_normal((12, 4))
DATA = arms.split(3, datasets.digits)


def layer_with(ghost):
    layer = GhostBatchNorm(4, ghost=ghost)
    layer.params = {"weight": np.array([1.0, -2.0, 0.5, 3.0]), "bias": np.arange(4.0)}
    return layer


@pytest.mark.parametrize("ghost", [2, 3, 4, 6, 12])
def test_each_ghost_batch_is_a_batch_of_its_own(ghost):
    layer = layer_with(ghost)
    y = layer.forward(X, training=True)
    dx = layer.backward(DY)
    dgamma, dbeta = np.zeros(4), np.zeros(4)
    for start in range(0, 12, ghost):
        rows = slice(start, start + ghost)
        own, cache = normalization.batch_norm(X[rows], *layer.params.values())
        own_dx, *own_grads = normalization.batch_norm_backward(DY[rows], cache)
        np.testing.assert_allclose(y[rows], own, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(dx[rows], own_dx, rtol=1e-12, atol=1e-12)
        dgamma, dbeta = dgamma + own_grads[0], dbeta + own_grads[1]
    np.testing.assert_allclose(layer.grads["weight"], dgamma, rtol=1e-12)
    np.testing.assert_allclose(layer.grads["bias"], dbeta, rtol=1e-12)


def test_ghost_batches_evaluate_as_one_batch():
    layer = layer_with(3)
    expected, _ = normalization.batch_norm(X, *layer.params.values())
    np.testing.assert_array_equal(layer.forward(X, training=False), expected)
    assert layer.backward(DY).shape == X.shape


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="multiple of 5 rows, got 12"):
        layer_with(5).forward(X, training=True)


@pytest.mark.parametrize(("how", "equal_rows"), [("per unit", True), ("per example", False)])
def test_noise_is_new_in_every_step_and_silent_in_evaluation(how, equal_rows):
    layer = Noise(how, np.random.default_rng(0))
    ones = np.ones((50, 200))
    first, second = (layer.forward(ones, training=True) for _ in range(2))
    assert not np.isclose(first, second).any()
    assert bool((first == first[0]).all()) == equal_rows
    shift = Noise(how, np.random.default_rng(0)).forward(0 * ones, training=True)
    scale = Noise(how, np.random.default_rng(0)).forward(ones, training=True) - shift
    for values, (low, high) in ((shift, variants.SHIFT), (scale, variants.SCALE)):
        assert values.min() >= low - 1e-12 and values.max() <= high + 1e-12
        assert np.ptp(values) > 0.9 * (high - low)
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.1 * (high - low))
    np.testing.assert_array_equal(layer.forward(ones, training=False), ones)
    np.testing.assert_array_equal(layer.backward(ones), ones)


def test_the_gradient_goes_through_the_scale_of_the_noise():
    layer, at = Noise("per example", np.random.default_rng(0)), RNG.standard_normal((6, 3))
    dy = RNG.standard_normal((6, 3))
    layer.forward(at, training=True)
    dx = layer.backward(dy)
    again = [
        Noise("per example", np.random.default_rng(0)).forward(at + side, training=True)
        for side in (0.5, -0.5)
    ]
    np.testing.assert_allclose(dx, dy * (again[0] - again[1]), rtol=1e-12)


# --- as arms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"dropout": 0.2}, ["Linear", "ReLU", "Dropout", "Linear"]),
        ({"dropout": 0.2, "batch_norm": "before"},
         ["Linear", "BatchNorm", "ReLU", "Dropout", "Linear"]),
        ({"noise": "per unit", "batch_norm": "before"},
         ["Linear", "BatchNorm", "Noise", "ReLU", "Linear"]),
        ({"ghost": 10, "batch_norm": "before"}, ["Linear", "GhostBatchNorm", "ReLU", "Linear"]),
    ],
)  # fmt: skip
def test_what_an_arm_is_built_of(change, kinds):
    network = arms.build(Arm(depth=1, **change), DATA, 3)
    assert [type(layer).__name__ for layer in network.leaves()] == kinds


def test_a_ghost_batch_of_the_whole_batch_is_batch_norm():
    arm = Arm(depth=2, epochs=2, lr=0.1, batch_norm="before")
    ghost = Arm(depth=2, epochs=2, lr=0.1, batch_norm="before", ghost=50)
    runs = arms.train({"batch norm": arm, "ghost": ghost}, 3, DATA)
    losses = [run.history.loss for run in runs.values()]
    np.testing.assert_allclose(*losses, rtol=1e-9)
    assert runs["ghost"].test_accuracy == runs["batch norm"].test_accuracy


@pytest.mark.parametrize("change", [{"dropout": 0.3}, {"noise": "per unit"}, {"ghost": 10}])
def test_disturbed_networks_are_evaluated_undisturbed(change):
    arm = Arm(depth=2, epochs=1, lr=0.1, batch_norm="before", **change)
    first, second = (arms.train({"one": arm}, 3, DATA)["one"] for _ in range(2))
    np.testing.assert_array_equal(first.history.loss, second.history.loss)
    plain = Arm(depth=2, epochs=1, lr=0.1, batch_norm="before")
    assert not np.array_equal(
        first.history.loss, arms.train({"one": plain}, 3, DATA)["one"].history.loss
    )
    assert first.test_accuracy == first.history.test_accuracy[-1] > 0.5


def test_wrong_labels():
    labels = DATA.y_train
    wrong = arms.mislabelled(labels, 0.2, 3)
    assert (wrong != labels).sum() == 200 and set(wrong) == set(range(10))
    np.testing.assert_array_equal(wrong, arms.mislabelled(labels, 0.2, 3))
    assert not np.array_equal(wrong, arms.mislabelled(labels, 0.2, 4))
    few = arms.prepare(Arm(examples=100, wrong_labels=0.5, inputs="standardized"), DATA, 3)
    assert few.x_train.shape == (100, 64) and (few.y_train != labels[:100]).sum() == 50
    np.testing.assert_array_equal(few.y_test, DATA.y_test)
    np.testing.assert_allclose(few.x_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(DATA.y_train, labels)


def test_weight_decay_shrinks_what_is_learned():
    runs = arms.train(
        {"none": Arm(epochs=2, lr=0.1), "decay": Arm(epochs=2, lr=0.1, weight_decay=0.1)}, 3, DATA
    )
    sizes = [np.linalg.norm(run.network.leaves()[0].params["weight"]) for run in runs.values()]
    assert sizes[1] < 0.9 * sizes[0]
