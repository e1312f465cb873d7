import sys

import numpy as np
import pytest

from bnlib import datasets, layers, optim
from bnlib.training import accuracy, fit, population_statistics

ROUNDING = {"rtol": 1e-12, "atol": 1e-12}  # means of a few hundred numbers of size 1


def run(*, lr=0.1, epochs=2, batch_size=50, data=None, seed=0, **options):
    rng = np.random.default_rng(seed)
    network = layers.mlp([64, 30, 10], rng=rng, **options)
    data = data or datasets.digits(np.random.default_rng(9))
    history = fit(
        network,
        optim.SGD(network, lr=lr),
        data,
        epochs=epochs,
        batch_size=batch_size,
        rng=rng,
    )
    return network, history, data


@pytest.mark.parametrize("batch_norm", [False, True])
def test_it_learns(batch_norm):
    network, history, data = run(epochs=15, batch_norm=batch_norm)
    assert history.loss.shape == (300,) and history.loss[-20:].mean() < 0.4
    assert history.train_accuracy.shape == history.test_accuracy.shape == (15,)
    assert history.test_accuracy[-1] > 0.9 and not history.diverged
    assert history.test_accuracy[-1] == accuracy(network, data.x_test, data.y_test)
    assert history.train_accuracy[-1] == accuracy(network, data.x_train, data.y_train)


def test_the_first_step_is_gradient_descent_on_the_first_batch():
    data = datasets.digits(np.random.default_rng(9))
    rng = np.random.default_rng(0)
    network = layers.mlp([64, 30, 10], rng=rng)
    batch = rng.permutation(1000)[:1000]
    logits = network.forward(data.x_train[batch], training=True)
    shifted = logits - logits.max(axis=1, keepdims=True)
    picked = shifted[np.arange(1000), data.y_train[batch]]
    loss = (np.log(np.exp(shifted).sum(axis=1)) - picked).mean()
    _, history, _ = run(epochs=1, batch_size=1000, data=data)
    assert history.loss == pytest.approx([loss])


def test_the_same_seed_gives_the_same_run_to_the_bit():
    first, second, other = run()[1], run()[1], run(seed=1)[1]
    np.testing.assert_array_equal(first.loss, second.loss)
    assert not np.array_equal(first.loss, other.loss)


def test_a_last_smaller_batch_is_left_out():
    assert run(epochs=1, batch_size=300)[1].loss.shape == (3,)


def test_without_test_data_there_is_no_test_accuracy():
    data = datasets.digits()
    history = run(data=data._replace(x_test=data.x_test[:0], y_test=data.y_test[:0]))[1]
    assert history.test_accuracy.shape == (0,) and history.train_accuracy.shape == (2,)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_diverged_run_ends_and_says_so(batch_norm):
    network, history, _ = run(lr=1e200, epochs=3, batch_norm=batch_norm)
    assert history.diverged and not np.isfinite(history.loss[-1])
    assert np.isfinite(history.loss[:-1]).all() and len(history.loss) < 60
    assert len(history.train_accuracy) < 3
    if batch_norm:
        assert np.isfinite(network.layers[1].buffers["running_var"]).all()


@pytest.mark.parametrize("batch_size", [0, -5, 1001])
def test_batch_size_must_fit_the_data(batch_size):
    with pytest.raises(ValueError, match=r"fit: batch_size must lie in 1\.\.1000"):
        run(batch_size=batch_size)


# --- small data from here on: what matters is when things happen, not what is learned ------------

RNG = np.random.default_rng(3)
SMALL = datasets.Dataset(
    RNG.normal(size=(40, 5)), RNG.integers(0, 3, 40), RNG.normal(size=(9, 5)), np.arange(9) % 3
)


def small_network(seed=0, **options):
    return layers.mlp([5, 6, 3], rng=np.random.default_rng(seed), batch_norm=True, **options)


def small_fit(network, *, epochs=3, optimizer=None, seed=1, **options):
    return fit(
        network,
        optimizer or optim.SGD(network, lr=0.1),
        SMALL,
        epochs=epochs,
        batch_size=12,
        rng=np.random.default_rng(seed),
        **options,
    )


@pytest.mark.parametrize(("evaluate", "count"), [("each epoch", 3), ("end", 1), ("never", 0)])
def test_when_to_evaluate(evaluate, count):
    network, always = small_network(), small_network()
    history, reference = small_fit(network, evaluate=evaluate), small_fit(always)
    np.testing.assert_equal(network.state_dict(), always.state_dict())
    np.testing.assert_array_equal(history.loss, reference.loss)
    for name in ("train_accuracy", "test_accuracy"):
        values, all_values = getattr(history, name), getattr(reference, name)
        np.testing.assert_array_equal(values, all_values[len(all_values) - count :])


@pytest.mark.parametrize("option", ["evaluate", "statistics"])
def test_unknown_choices_are_refused(option):
    with pytest.raises(ValueError, match=rf"fit: {option} must be one of .* got 'sometimes'"):
        small_fit(small_network(), **{option: "sometimes"})


def test_no_cache_of_the_data_stays_behind():
    network = small_network()
    small_fit(network)
    with pytest.raises(RuntimeError, match="call forward first"):
        network.backward(np.ones((9, 3)))


def test_observe_is_called_after_every_epoch():
    network, seen = small_network(), []

    def observe(given):
        assert given is network
        seen.append(network.layers[0].params["weight"])
        return len(seen)

    history = small_fit(network, observe=observe)
    assert history.observed == [1, 2, 3] and seen[2] is network.layers[0].params["weight"]
    assert not np.array_equal(seen[0], seen[1])
    assert small_fit(small_network()).observed == []


@pytest.mark.parametrize("at", [{0, 3, 7}, [1], ()])
def test_observe_at_looks_between_steps(at):
    network, weights = small_network(), []
    history = small_fit(
        network, observe=lambda given: given.layers[0].params["weight"], observe_at=at
    )
    assert len(history.observed) == len(at)
    if 0 in at:
        np.testing.assert_array_equal(
            history.observed[0], small_network().layers[0].params["weight"]
        )
        assert not np.array_equal(history.observed[1], history.observed[2])
    always = small_network()
    small_fit(always, observe=lambda given: weights.append(given.layers[0].params["weight"]),
              observe_at=range(100))  # fmt: skip
    for step, seen in zip(sorted(at), history.observed, strict=True):
        np.testing.assert_array_equal(weights[step], seen)


# --- population statistics ------------------------------------------------------------------------


def normalized(x, statistics_of):
    return (x - statistics_of.mean(axis=0)) / np.sqrt(statistics_of.var(axis=0) + 1e-5)


def by_hand(network, x, population):
    """Evaluate linear, batch norm, ReLU, batch norm, ReLU, linear, layer by layer."""
    *hidden, last = [layer for layer in network.layers if isinstance(layer, layers.Linear)]
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNorm)]
    for linear, norm in zip(hidden, norms, strict=True):
        z, z_population = (each @ linear.params["weight"].T for each in (x, population))
        gamma, beta = norm.params["weight"], norm.params["bias"]
        x = np.maximum(gamma * normalized(z, z_population) + beta, 0)
        population = np.maximum(gamma * normalized(z_population, z_population) + beta, 0)
    return x @ last.params["weight"].T + last.params["bias"]


def deep_network():
    network = layers.mlp([5, 8, 7, 3], rng=np.random.default_rng(0), batch_norm=True)
    rng = np.random.default_rng(1)
    for leaf in network.leaves():  # no scale is 1, no shift 0
        leaf.params = {k: v + rng.normal(size=v.shape) for k, v in leaf.params.items()}
    return network


def test_population_statistics_are_exact_layer_by_layer():
    network, x, test = deep_network(), SMALL.x_train + 3, SMALL.x_test
    before = [leaf.buffers for leaf in network.leaves()]
    with population_statistics(network, x) as y:
        np.testing.assert_allclose(y, by_hand(network, x, x), **ROUNDING)
        read = network.forward(test, training=False)
        np.testing.assert_allclose(read, by_hand(network, test, x), **ROUNDING)
        one = network.forward(test[:1], training=False)
        np.testing.assert_allclose(one, read[:1], **ROUNDING)
    assert all(leaf.buffers is old for leaf, old in zip(network.leaves(), before, strict=True))


def test_population_statistics_go_when_the_block_fails():
    network = deep_network()
    before = network.state_dict()
    with pytest.raises(KeyboardInterrupt), population_statistics(network, SMALL.x_train):
        raise KeyboardInterrupt
    np.testing.assert_equal(network.state_dict(), before)
    with pytest.raises(ValueError, match="linear"):
        with population_statistics(network, SMALL.x_train[:, :2]):
            pass
    np.testing.assert_equal(network.state_dict(), before)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_inside_the_block_a_network_can_be_trained(momentum):
    norm, x = layers.BatchNorm(1, momentum=momentum), np.array([[1.0], [5.0]])
    before = norm.state_dict()
    with population_statistics(norm, x):
        assert norm.state_dict().keys() == before.keys()
        norm.forward(x + 10, training=True)
        weight = 1 / 2 if momentum is None else momentum  # of the second batch
        np.testing.assert_allclose(norm.buffers["running_mean"], 3 + 10 * weight)
    assert all((norm.state_dict()[name] == value).all() for name, value in before.items())


def test_a_batch_norm_that_keeps_no_averages_reads_the_population_too():
    norm = layers.BatchNorm(1, track_running_stats=False)
    with population_statistics(norm, np.array([[1.0], [5.0]])):
        assert norm.forward(np.array([[3.0]]), training=False) == 0.0
    assert norm.buffers == {}


def test_fit_with_population_statistics_changes_the_accuracies_only():
    network, running = small_network(), small_network()
    history, reference = small_fit(network, statistics="population"), small_fit(running)
    np.testing.assert_array_equal(history.loss, reference.loss)
    np.testing.assert_equal(network.state_dict(), running.state_dict())
    with population_statistics(network, SMALL.x_train):
        expected = [
            accuracy(network, SMALL.x_train, SMALL.y_train),
            accuracy(network, SMALL.x_test, SMALL.y_test),
        ]
    assert [history.train_accuracy[-1], history.test_accuracy[-1]] == expected


# --- Ctrl-C ---------------------------------------------------------------------------------------


class Ringing(layers.ReLU):
    """Ctrl-C arrives in the middle of its forward or backward, after a number of calls."""

    def __init__(self, *, forward=None, backward=None):
        super().__init__()
        self.left = {"forward": forward, "backward": backward}

    def _ring(self, name):
        if self.left[name] is not None:
            self.left[name] -= 1
            if self.left[name] < 0:
                raise KeyboardInterrupt

    def _forward(self, x, training):
        self._ring("forward")
        return super()._forward(x, training)

    def _backward(self, dy, cache):
        self._ring("backward")
        return super()._backward(dy, cache)


class RingingSGD(optim.SGD):
    """Ctrl-C arrives in its step: before anything, or when everything has moved."""

    def __init__(self, network, *, whole_steps, late):
        super().__init__(network, lr=0.1, momentum=0.9)
        self.whole_steps, self.late, self.calls = whole_steps, late, 0

    def step(self):
        self.calls += 1
        if self.calls <= self.whole_steps:
            return super().step()
        if self.late:
            super().step()
        raise KeyboardInterrupt


def recorded(network, optimizer, **options):
    """History, and the state of the network after each step, of an undisturbed training."""
    states = [network.state_dict()]
    step = optimizer.step

    def stepping():
        step()
        states.append(network.state_dict())

    optimizer.step = stepping
    return small_fit(network, optimizer=optimizer, **options), states


def assert_ended_after(steps, network, history, momentum=0.0):
    undisturbed = small_network()
    optimizer = optim.SGD(undisturbed, lr=0.1, momentum=momentum)
    whole, states = recorded(undisturbed, optimizer)
    assert history.interrupted and not history.diverged
    np.testing.assert_array_equal(history.loss, whole.loss[:steps])
    epochs = steps // 3
    np.testing.assert_array_equal(history.train_accuracy, whole.train_accuracy[:epochs])
    np.testing.assert_array_equal(history.test_accuracy, whole.test_accuracy[:epochs])
    np.testing.assert_equal(network.state_dict(), states[steps])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_ctrl_c_in_the_optimizer_leaves_the_last_whole_step(steps, late):
    network = small_network()
    optimizer = RingingSGD(network, whole_steps=steps, late=late)
    history = small_fit(network, optimizer=optimizer)
    assert_ended_after(steps, network, history, momentum=0.9)


def test_ctrl_c_in_the_optimizer_takes_back_its_momentum():
    network = small_network()
    optimizer = RingingSGD(network, whole_steps=2, late=True)
    small_fit(network, optimizer=optimizer)
    undisturbed = small_network()
    reference = RingingSGD(undisturbed, whole_steps=2, late=False)
    small_fit(undisturbed, optimizer=reference)
    np.testing.assert_equal(optimizer.state, reference.state)


@pytest.mark.parametrize("forwards", [0, 1, 3, 4, 5, 7])  # 3 steps, 2 evaluations an epoch
def test_ctrl_c_in_a_forward(forwards):
    network = small_network()
    ringing = layers.Sequential(*network.layers[:2], Ringing(forward=forwards), network.layers[3])
    history = small_fit(ringing)
    steps = {0: 0, 1: 1, 3: 3, 4: 3, 5: 3, 7: 5}[forwards]
    undisturbed = small_network()
    whole, states = recorded(undisturbed, optim.SGD(undisturbed, lr=0.1))
    assert history.interrupted
    np.testing.assert_array_equal(history.loss, whole.loss[:steps])
    assert len(history.train_accuracy) == len(history.test_accuracy) == (forwards >= 5)
    np.testing.assert_equal(ringing.state_dict(), states[steps])


@pytest.mark.parametrize("forwards", [3, 4])
def test_ctrl_c_while_the_population_is_measured(forwards):
    network = small_network()
    ringing = layers.Sequential(*network.layers[:2], Ringing(forward=forwards), network.layers[3])
    history = small_fit(ringing, statistics="population")
    undisturbed = small_network()
    _, states = recorded(undisturbed, optim.SGD(undisturbed, lr=0.1))
    assert history.interrupted and len(history.loss) == 3 and len(history.train_accuracy) == 0
    np.testing.assert_equal(ringing.state_dict(), states[3])


def test_ctrl_c_in_a_backward_takes_the_running_averages_back():
    network = small_network()
    ringing = layers.Sequential(*network.layers[:2], Ringing(backward=4), network.layers[3])
    history = small_fit(ringing)
    assert_ended_after(4, ringing, history)


def test_ctrl_c_in_observe_keeps_the_epoch():
    def observe(network):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return "seen"

    calls: list = []
    network = small_network()
    history = small_fit(network, observe=observe)
    assert_ended_after(6, network, history)
    assert history.observed == ["seen"]


def test_any_other_error_is_raised_from_the_last_whole_step():
    def observe(network):
        raise LookupError("not here")

    network, undisturbed = small_network(), small_network()
    with pytest.raises(LookupError, match="not here"):
        small_fit(network, observe=observe)
    small_fit(undisturbed, epochs=1)
    np.testing.assert_equal(network.state_dict(), undisturbed.state_dict())


# --- the bar --------------------------------------------------------------------------------------


def test_a_bar_on_a_terminal_only(monkeypatch, capsys):
    pytest.importorskip("tqdm", exc_type=ImportError)
    small_fit(small_network())
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    small_fit(small_network())
    out, err = capsys.readouterr()
    assert out == "" and "/3" in err and err.endswith("\r")


def test_no_bar_without_its_package(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert len(small_fit(small_network()).loss) == 9 and capsys.readouterr() == ("", "")
