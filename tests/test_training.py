import numpy as np
import pytest

from bnlib import datasets, layers, optim
from bnlib.training import accuracy, fit


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
