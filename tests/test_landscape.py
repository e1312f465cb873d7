"""The ruler along the gradient: bowls with exact answers, and networks against single steps."""

import numpy as np
import pytest

from bnlib import functional, optim
from bnlib.landscape import along_gradient, surface
from bnlib.layers import BatchNorm, Dropout, Linear, ReLU, Sequential, Tanh, mlp

rng = np.random.default_rng(0)
X, LABELS = rng.normal(0.5, 2, size=(9, 3)), np.array([0, 1, 2, 3, 0, 1, 3, 2, 2])
FACTOR = rng.normal(size=(5, 5))
HESSIAN, CENTRE = FACTOR @ FACTOR.T, rng.normal(size=5)
RATES = [0.01, 0.03, 0.2]
ROUNDING = {"rtol": 1e-10, "atol": 1e-13}


def bowl(point):
    away = point - CENTRE
    return away @ HESSIAN @ away / 2, HESSIAN @ away


def network_of(activation=Tanh, *, batch_norm=True, **options):
    network = mlp(
        [3, 6, 5, 4], rng=np.random.default_rng(1), activation=activation, batch_norm=batch_norm,
        **options,
    )  # fmt: skip
    fresh = np.random.default_rng(2)
    for leaf in network.leaves():
        leaf.params = {
            name: value + 0.3 * fresh.normal(size=value.shape)
            for name, value in leaf.params.items()
        }
    return network


def without_eps(network):
    for leaf in network.leaves():
        if isinstance(leaf, BatchNorm):
            leaf.eps = 1e-30
    return network


def loss_of(network):
    return functional.softmax_cross_entropy(network.forward(X, training=True), LABELS)


def hidden(network):
    return [leaf for leaf in network.leaves() if isinstance(leaf, Linear)][:-1]


# --- on a bowl every answer is known --------------------------------------------------------------


def test_on_a_bowl_everything_is_exact():
    start = rng.normal(size=5)
    loss, g = bowl(start)
    path = along_gradient(bowl, start, rates=RATES)
    norm, curved = np.sqrt(g @ g), HESSIAN @ g
    assert path.loss == pytest.approx(loss) and path.gradient_norm == pytest.approx(norm)
    for k, rate in enumerate(RATES):
        there = g - rate * curved
        assert path.distances[k] == pytest.approx(rate * norm)
        assert path.losses[k] == pytest.approx(
            loss - rate * norm**2 + rate**2 / 2 * g @ curved, rel=1e-9
        )
        assert path.changes[k] == pytest.approx(rate * np.linalg.norm(curved))
        cosine = there @ g / np.sqrt(there @ there) / norm
        assert path.cosines[k] == pytest.approx(cosine)
    assert path.roughness == pytest.approx(np.linalg.norm(curved) / norm)
    assert path.gradient_change == pytest.approx(RATES[-1] * np.linalg.norm(curved))
    assert path.loss_variation == pytest.approx(max(path.losses) - min(path.losses))
    np.testing.assert_allclose(path.relative_changes, path.changes / norm, **ROUNDING)


def test_along_an_eigenvector_the_roughness_is_the_eigenvalue():
    values, vectors = np.linalg.eigh(HESSIAN)
    for value, vector in zip(values, vectors.T, strict=True):
        path = along_gradient(bowl, CENTRE + 2 * vector, lengths=[0.1, 0.4])
        assert path.roughness == pytest.approx(value, rel=1e-6)


def test_beyond_the_bottom_the_gradient_has_turned_round():
    path = along_gradient(lambda p: (p @ p / 2, p), np.array([3.0, 4.0]), rates=[0.5, 1.0, 1.5])
    np.testing.assert_allclose(path.cosines, [1, 0, -1], **ROUNDING)
    np.testing.assert_allclose(path.losses, 12.5 * np.array([0.25, 0, 0.25]), **ROUNDING)
    assert path.loss_variation == pytest.approx(12.5 / 4)


def test_roughness_is_the_largest_change_per_distance_and_need_not_be_the_last():
    def stairs(point):  # a slope that bends once, soon after the start
        slope = 1 - 0.5 * (point[0] < -0.1)
        return slope * point[0], np.array([slope])

    path = along_gradient(stairs, np.array([0.0]), lengths=[0.05, 0.2, 1.0])
    np.testing.assert_allclose(path.changes, [0, 0.5, 0.5], **ROUNDING)
    assert path.roughness == pytest.approx(0.5 / 0.2)


def test_rates_and_lengths_are_two_names_of_one_path():
    start = rng.normal(size=5)
    norm = np.linalg.norm(bowl(start)[1])
    by_rate = along_gradient(bowl, start, rates=RATES)
    by_length = along_gradient(bowl, start, lengths=np.array(RATES) * norm)
    np.testing.assert_allclose(by_length.distances, np.array(RATES) * norm, **ROUNDING)
    for own, other in zip(by_rate, by_length, strict=True):
        np.testing.assert_allclose(own, other, **ROUNDING)


# --- the surface of a network ---------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_rate_on_the_path_is_a_step_of_gradient_descent(batch_norm):
    path = along_gradient(*surface(network_of(batch_norm=batch_norm), X, LABELS), rates=RATES)
    for k, rate in enumerate(RATES):
        network = network_of(batch_norm=batch_norm)
        gradients = []
        for _ in range(2):
            loss, cache = loss_of(network)
            network.backward(functional.softmax_cross_entropy_backward(cache))
            gradients.append(
                np.concatenate(
                    [g.ravel() for leaf in network.leaves() for g in leaf.grads.values()]
                )
            )
            optim.SGD(network, lr=rate).step()
        assert path.losses[k] == pytest.approx(loss, rel=1e-12)
        first, second = gradients
        assert path.changes[k] == pytest.approx(np.linalg.norm(second - first), rel=1e-9)
        cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
        assert path.cosines[k] == pytest.approx(cosine, rel=1e-9)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_gradient_is_the_slope_of_the_loss(relative, batch_norm):
    network = network_of(batch_norm=batch_norm)
    function, point = surface(network, X, LABELS, relative=relative)
    loss, gradient = function(point)
    assert loss == pytest.approx(loss_of(network)[0], rel=1e-12)
    for direction in np.random.default_rng(5).normal(size=(5, len(point))):
        step = 1e-6 * direction
        slope = (function(point + step)[0] - function(point - step)[0]) / 2e-6
        assert gradient @ direction == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_in_relative_coordinates_every_layer_has_length_one():
    network = network_of()
    _, point = surface(network, X, LABELS, relative=True)
    start = 0
    for leaf in network.leaves():
        size = sum(value.size for value in leaf.params.values())
        if size:
            own = np.concatenate([value.ravel() for value in leaf.params.values()])
            got = point[start : start + size]
            np.testing.assert_allclose(got, own / np.linalg.norm(own), **ROUNDING)
            start += size
    assert start == len(point)


@pytest.mark.parametrize("c", [0.01, 7.0, 1000.0])
def test_the_relative_ruler_does_not_see_the_length_of_weights_before_batch_norm(c):
    paths = []
    for factor in (1.0, c):
        network = without_eps(network_of(ReLU))
        for layer in hidden(network):
            layer.params = {"weight": factor * layer.params["weight"]}
        chart = surface(network, X, LABELS, relative=True)
        paths.append(along_gradient(*chart, lengths=[0.01, 0.1, 0.5]))
    for own, other in zip(*paths, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-7)


def test_nor_that_of_gamma_and_beta_between_two_batch_norms():
    paths = []
    for factor in (1.0, 50.0):
        network = without_eps(network_of(ReLU))
        first = next(leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm))
        first.params = {name: factor * value for name, value in first.params.items()}
        paths.append(
            along_gradient(*surface(network, X, LABELS, relative=True), lengths=[0.01, 0.1])
        )
    for own, other in zip(*paths, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-7)


def test_the_raw_ruler_shrinks_with_the_square_of_the_length():
    found = []
    for factor in (1.0, 10.0):
        network = without_eps(network_of(Tanh))
        for leaf in network.leaves():
            if leaf not in hidden(network):
                leaf.frozen = frozenset(leaf.params)
        for layer in hidden(network):
            layer.params = {"weight": factor * layer.params["weight"]}
        found.append(along_gradient(*surface(network, X, LABELS), lengths=[1e-3 * factor]))
    assert found[1].loss == pytest.approx(found[0].loss, rel=1e-12)
    assert found[1].gradient_norm == pytest.approx(found[0].gradient_norm / 10, rel=1e-9)
    assert found[1].roughness == pytest.approx(found[0].roughness / 100, rel=1e-7)


def test_what_is_frozen_stays():
    network = network_of()
    last = network.leaves()[-1]
    last.frozen = {"weight", "bias"}
    function, point = surface(network, X, LABELS)
    own = sum(value.size for leaf in network.leaves() for value in leaf.params.values())
    assert len(point) == own - sum(value.size for value in last.params.values())
    last.frozen = set()
    all_free = surface(network, X, LABELS)[0]
    whole = all_free(surface(network, X, LABELS)[1])[1]
    np.testing.assert_allclose(function(point)[1], whole[: len(point)], **ROUNDING)


def test_a_layer_of_zeros_stays_where_it_is():
    network = network_of(batch_norm=False)
    first = hidden(network)[0]
    first.params = {name: 0 * value for name, value in first.params.items()}
    function, point = surface(network, X, LABELS, relative=True)
    size = sum(value.size for value in first.params.values())
    assert not point[:size].any() and not function(point)[1][:size].any()
    assert np.isfinite(along_gradient(function, point, lengths=[0.1]).roughness)


def test_a_float32_network_is_measured_in_float64():
    small = network_of(dtype=np.float32)
    function, point = surface(small, X, LABELS)
    large = network_of()
    large.load_state_dict(small.state_dict())
    assert point.dtype == np.float64
    assert function(point)[0] == pytest.approx(surface(large, X, LABELS)[0](point)[0], rel=1e-5)


# --- what cannot be measured, and what must not be touched ----------------------------------------


@pytest.mark.parametrize(
    "asked", [{}, {"rates": [1], "lengths": [1]}, {"rates": []}, {"rates": [0.1, 0.0]},
              {"lengths": [-1.0]}, {"lengths": [np.nan]}, {"rates": [[0.1]]}],
)  # fmt: skip
def test_a_path_needs_steps(asked):
    with pytest.raises(ValueError, match="along_gradient: "):
        along_gradient(bowl, CENTRE + 1, **asked)


def test_at_the_bottom_there_is_no_way_down():
    with pytest.raises(ValueError, match="must lead somewhere, got one of length 0"):
        along_gradient(bowl, CENTRE, rates=[0.1])


def test_a_path_out_of_the_numbers_is_no_path():
    with pytest.raises(FloatingPointError, match="along_gradient: losses and gradients"):
        along_gradient(lambda p: (np.inf, p), np.ones(2), rates=[0.1])
    network = network_of(ReLU, batch_norm=False)
    with pytest.raises(FloatingPointError):
        along_gradient(*surface(network, X, LABELS), rates=[1e300])


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (("low", np.ones(2)), TypeError, "the loss must hold real numbers, got <U3"),
        ((np.ones(2), np.ones(2)), ValueError,
         "the loss must have shape () to match one number, got (2,)"),
        ((1.0, 1j * np.ones(2)), TypeError, "the gradient must be real, got complex128"),
        ((1.0, np.ones(3)), ValueError,
         "the gradient must have shape (2,) to match point of shape (2,), got (3,)"),
    ],
)  # fmt: skip
def test_a_path_needs_a_loss_and_its_gradient(given, error, sentence):
    with pytest.raises(error) as raised:
        along_gradient(lambda point: given, np.ones(2), rates=[0.1])
    assert str(raised.value) == f"along_gradient: {sentence}"


def test_a_surface_needs_something_to_move_and_no_noise():
    noisy = Sequential(Linear(3, 4, rng=rng), Dropout(0.5, rng))
    sentence = "surface: network must not contain dropout, whose noise is no roughness"
    with pytest.raises(TypeError, match=rf"^{sentence}$"):
        surface(noisy, X, LABELS)
    frozen = Linear(3, 4, rng=rng, bias=False)
    frozen.frozen = {"weight"}
    sentence = "surface: network must have parameters that are not frozen, got none"
    with pytest.raises(ValueError, match=rf"^{sentence}$"):
        surface(frozen, X, LABELS)


def test_the_network_stays_as_it_was():
    network = network_of(ReLU)
    network.backward(np.ones_like(network.forward(X[:4], training=True)))
    before = [dict(vars(leaf)) for leaf in network.leaves()]
    values = network.state_dict()
    along_gradient(*surface(network, X, LABELS, relative=True), lengths=[0.1])
    for leaf, attributes in zip(network.leaves(), before, strict=True):
        assert vars(leaf).keys() == attributes.keys()
        assert all(vars(leaf)[name] is value for name, value in attributes.items())
    np.testing.assert_equal(network.state_dict(), values)
