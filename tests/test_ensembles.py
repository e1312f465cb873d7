"""Together as alone: every comparison here is exact, to the bit."""

import contextlib
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from bnlib import datasets, layers, optim
from bnlib.ensembles import Ensemble, fit_together
from bnlib.training import Alone, fit, population_statistics

SIZES = [7, 9, 6, 4]
ARCHITECTURES = {
    "plain": {},
    "batch norm": {"batch_norm": True},
    "batch norm after": {"batch_norm": True, "placement": "after"},
    "layer norm": {"norm": layers.LayerNorm},
    "layer norm after": {"norm": layers.LayerNorm, "placement": "after"},
    "sigmoid": {"activation": layers.Sigmoid, "batch_norm": True},
    "tanh": {"activation": layers.Tanh, "scale": "glorot"},
    "float32": {"batch_norm": True, "dtype": np.float32},
    "float32, plain": {"dtype": np.float32},
}
OPTIMIZERS = {
    "sgd": (optim.SGD, {}),
    "momentum": (optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    "rmsprop": (optim.RMSprop, {}),
    "adam": (optim.Adam, {}),
}
LOOP = ("evaluate", "statistics", "observe", "observe_at")
BY_ARCHITECTURE = pytest.mark.parametrize(
    "options", ARCHITECTURES.values(), ids=ARCHITECTURES.keys()
)
BY_OPTIMIZER = pytest.mark.parametrize(
    ("optimizer", "settings"), OPTIMIZERS.values(), ids=OPTIMIZERS.keys()
)


def small_data(seed, *, train=50, features=7, classes=4, test=11):
    rng = np.random.default_rng(seed)
    return datasets.Dataset(
        rng.normal(size=(train, features)),
        rng.integers(0, classes, train),
        rng.normal(size=(test, features)),
        rng.integers(0, classes, test),
    )


def build(seed, *, sizes=SIZES, **options):
    return layers.mlp(sizes, rng=np.random.default_rng(seed), **options)


def generators(members):
    return [np.random.default_rng([seed, 1]) for seed in range(members)]


def assert_equal_histories(one, other):
    for name in ("loss", "train_accuracy", "test_accuracy"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.diverged, one.interrupted) == (other.diverged, other.interrupted)
    np.testing.assert_equal(one.observed, other.observed)


def assert_equal_networks(one, other):
    for mine, theirs in zip(one.leaves(), other.leaves(), strict=True):
        for name in ("params", "buffers", "grads"):
            np.testing.assert_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)
        for name, value in {**mine.params, **mine.buffers}.items():
            same = {**theirs.params, **theirs.buffers}[name]
            assert value.dtype == same.dtype and value.shape == same.shape
            assert same.flags.owndata  # not a part of an array that holds its neighbours too


def assert_together_as_alone(
    members,
    *,
    data=None,
    rates=0.1,
    optimizer=optim.SGD,
    settings=None,
    width=8,
    networks=None,
    batch_size=12,
    epochs=3,
    **options,
):
    """Train twice and compare everything; return the histories."""
    networks = networks or (lambda: [build(seed, **options) for seed in range(members)])
    data = data or [small_data(10 + seed) for seed in range(members)]
    rates, settings = np.broadcast_to(rates, members), settings or {}
    run = {"epochs": epochs, "batch_size": batch_size}
    together, alone = networks(), networks()
    histories = fit_together(
        together,
        data,
        lr=np.array(rates),
        rngs=generators(members),
        optimizer=optimizer,
        width=width,
        **run,
        **settings,
    )
    loop = {k: v for k, v in settings.items() if k in LOOP}
    rule = {k: v for k, v in settings.items() if k not in loop}
    for member, rng in enumerate(generators(members)):
        network = alone[member]
        stepping = optimizer(network, lr=float(rates[member]), **rule)
        history = fit(network, stepping, data[member], rng=rng, **run, **loop)
        assert_equal_histories(history, histories[member])
        assert_equal_networks(network, together[member])
    return histories


# --- whoever the neighbours are -------------------------------------------------------------------


@BY_ARCHITECTURE
@pytest.mark.parametrize("members", [1, 2, 3, 5, 8])
def test_together_as_alone(members, options):
    histories = assert_together_as_alone(members, rates=np.geomspace(0.05, 1, members), **options)
    assert len({tuple(history.loss) for history in histories}) == members  # not all the same run
    assert all(len(history.loss) == 12 for history in histories)  # 50 = 4 * 12 + 2, left out


@BY_ARCHITECTURE
@BY_OPTIMIZER
def test_with_every_optimizer(optimizer, settings, options):
    rates = [0.05, 0.01, 0.2]
    assert_together_as_alone(
        3, rates=rates, optimizer=optimizer, settings=dict(settings), **options
    )


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_whatever_the_width(width):
    assert_together_as_alone(5, width=width, batch_norm=True)


@pytest.mark.parametrize(
    ("sizes", "batch_size"),
    [
        ([7, 1, 4], 12),  # a batch norm and a linear layer of one unit
        ([7, 5, 1, 5, 4], 12),
        ([1, 5, 4], 12),
        ([7, 5, 4], 2),
        ([7, 4], 12),
        ([7, 33, 4], 17),
        ([65, 130, 17, 4], 31),
    ],
)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_whatever_the_sizes(sizes, batch_size, batch_norm):
    data = [small_data(seed, features=sizes[0]) for seed in range(4)]
    assert_together_as_alone(
        4, data=data, sizes=sizes, batch_size=batch_size, batch_norm=batch_norm
    )


def test_a_batch_of_one():
    assert_together_as_alone(3, batch_size=1, epochs=1, norm=layers.LayerNorm)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_whatever_the_number_of_threads(threads, batch_norm):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    data = [small_data(seed, train=250, features=64, classes=10) for seed in range(3)]
    with threadpoolctl.threadpool_limits(threads):
        assert_together_as_alone(
            3,
            data=data,
            sizes=[64, 100, 100, 10],  # large enough for BLAS to share out
            batch_size=100,
            epochs=1,
            batch_norm=batch_norm,
        )


def test_one_dataset_for_all():
    data = small_data(5)
    networks, alone = [build(0), build(1)], [build(0), build(1)]
    run = {"epochs": 2, "batch_size": 12}
    histories = fit_together(networks, data, lr=0.1, rngs=generators(2), **run)
    for network, rng, history in zip(alone, generators(2), histories, strict=True):
        assert_equal_histories(
            fit(network, optim.SGD(network, lr=0.1), data, rng=rng, **run), history
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"evaluate": "end"},
        {"evaluate": "never"},
        {"statistics": "population"},
        {"observe": lambda network: network.state_dict()},
        {"observe": lambda network: network.state_dict(), "observe_at": {0, 1, 7}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_with_every_way_to_look(settings):
    histories = assert_together_as_alone(3, settings=settings, batch_norm=True)
    assert ("observe" in settings) == bool(histories[0].observed)


def test_test_sets_of_different_sizes():
    data = [small_data(0, test=3), small_data(1, test=20), small_data(2, test=0)]
    histories = assert_together_as_alone(3, data=data)
    assert [len(history.test_accuracy) for history in histories] == [3, 3, 0]


def test_rates_for_each_layer_and_network():
    networks, alone, rates = [build(0), build(1)], [build(0), build(1)], np.array([0.3, 0.0])
    run = {"epochs": 2, "batch_size": 12}
    data = small_data(5)
    fit_together(networks, data, lr=[0.1, rates, 0.2], rngs=generators(2), **run)
    for network, other, rng, rate in zip(networks, alone, generators(2), rates, strict=True):
        fit(other, optim.SGD(other, lr=[0.1, float(rate), 0.2]), data, rng=rng, **run)
        assert_equal_networks(network, other)


def test_frozen_parameters():
    def networks():
        built = [build(seed, batch_norm=True) for seed in range(3)]
        for network in built:
            network.layers[1].frozen = {"weight"}
        return built

    assert_together_as_alone(3, networks=networks)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_networks_that_have_seen_different_numbers_of_batches(momentum):
    def networks():
        built = [build(seed, batch_norm=True) for seed in range(3)]
        for number, network in enumerate(built):
            for leaf in network.leaves():
                if isinstance(leaf, layers.BatchNorm):
                    leaf.momentum = momentum
            for _ in range(number):
                network.forward(small_data(9).x_train, training=True)
        return built

    assert_together_as_alone(3, networks=networks, epochs=1)


def test_other_settings_of_the_norms():
    def networks():
        rng = np.random.default_rng(0)
        return [
            layers.Sequential(
                layers.BatchNorm(7, affine=False, eps=1e-2),  # the first layer has no weights
                layers.Sequential(layers.Linear(7, 5, rng=rng), layers.ReLU()),
                layers.BatchNorm(5, track_running_stats=False),
                layers.LayerNorm(5, affine=False, eps=1e-2),
                layers.Linear(5, 4, rng=rng, bias=False),
            )
            for _ in range(3)
        ]

    assert_together_as_alone(3, networks=networks)


# --- one that diverges ----------------------------------------------------------------------------


def assert_one_diverges_unnoticed(where, **options):
    rates = np.array([0.01, 0.02, 0.03, 0.05, 0.04])
    rates[where] = 1e30 if options.get("dtype") is np.float32 else 1e200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        histories = assert_together_as_alone(5, rates=rates, epochs=2, **options)
    diverged = [history.diverged for history in histories]
    assert not any(diverged[:where] + diverged[where + 1 :])
    return diverged[where]


@BY_ARCHITECTURE
@BY_OPTIMIZER
def test_the_others_do_not_notice_one_that_diverges(optimizer, settings, options):
    """Not every architecture does at this rate: tanh and layer norm bound what they give."""
    assert_one_diverges_unnoticed(2, optimizer=optimizer, settings=dict(settings), **options)


@pytest.mark.parametrize("where", [0, 2, 4])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_wherever_the_one_that_diverges_lies(where, batch_norm):
    assert assert_one_diverges_unnoticed(where, batch_norm=batch_norm)


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_several_diverge_at_different_times_until_none_is_left(batch_norm, value):
    """The first batch with this example ends a training: of batch norm, of the loss."""
    data = [small_data(seed) for seed in range(5)]
    for member, example in enumerate([3, 14, 3, 30, 45]):
        data[member].x_train[example] = value
    histories = assert_together_as_alone(5, data=data, epochs=4, batch_norm=batch_norm)
    assert all(history.diverged for history in histories)
    assert len({len(history.loss) for history in histories}) > 1


def test_data_that_are_not_finite():
    data = [small_data(seed) for seed in range(3)]
    data[1].x_train[30:32] = [[np.inf], [np.nan]]
    for options in ({}, {"batch_norm": True}):
        histories = assert_together_as_alone(3, data=data, epochs=1, **options)
        assert [history.diverged for history in histories] == [False, True, False]


# --- Ctrl-C ---------------------------------------------------------------------------------------


class Bell(layers.ReLU):
    """An activation in which Ctrl-C arrives after so many calls, whoever makes them."""

    calls, limit = 0, 10**9

    def _forward(self, x, training):
        Bell.calls += 1
        if Bell.calls > Bell.limit:
            raise KeyboardInterrupt
        return super()._forward(x, training)


@pytest.mark.parametrize("calls", [0, 5, 6, 13])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_ctrl_c_ends_all_at_the_same_step(monkeypatch, calls, batch_norm):
    """Two layers with a bell: an epoch of 4 steps rings 8 times, then the evaluations of each."""
    monkeypatch.setattr(Bell, "calls", 0)
    monkeypatch.setattr(Bell, "limit", calls)
    options = {"activation": Bell, "batch_norm": batch_norm}
    networks, data = [build(seed, **options) for seed in range(3)], small_data(5)
    run = {"lr": 0.1, "rngs": generators(3), "epochs": 2, "batch_size": 12}
    histories = fit_together(networks, data, width=2, **run)
    steps = min(calls // 2, 4)
    assert [len(history.loss) for history in histories] == [steps, steps, 0]
    assert all(history.interrupted and not history.diverged for history in histories)
    monkeypatch.setattr(Bell, "limit", 10**9)
    for seed, (network, history) in enumerate(zip(networks, histories, strict=True)):
        losses, states = recorded(build(seed, **options), data, generators(3)[seed])
        np.testing.assert_array_equal(history.loss, losses[: len(history.loss)])
        np.testing.assert_equal(network.state_dict(), states[len(history.loss)])


class Recording(optim.SGD):
    """Keeps the network's state after every step."""

    def __init__(self, network, *, lr):
        super().__init__(network, lr=lr)
        self.states = [network.state_dict()]

    def step(self):
        super().step()
        self.states.append(self.network.state_dict())


def recorded(network, data, rng):
    """Losses, and states before the first and after each step, of an undisturbed training alone."""
    optimizer = Recording(network, lr=0.1)
    loss = fit(network, optimizer, data, epochs=2, batch_size=12, rng=rng).loss
    return loss, optimizer.states


BNLIB = str(Path(optim.__file__).parent)


@contextlib.contextmanager
def ctrl_c_at(place):
    """Ctrl-C arrives when so many lines of bnlib have run; yields the lines as they run."""
    lines: list = []

    def each_line(frame, event, argument):
        if event == "line":
            if len(lines) == place:
                raise KeyboardInterrupt  # Python then stops tracing
            lines.append((Path(frame.f_code.co_filename).name, frame.f_lineno))
        return each_line

    def each_call(frame, event, argument):
        return each_line if frame.f_code.co_filename.startswith(BNLIB) else None

    before = sys.gettrace()
    sys.settrace(each_call)
    try:
        yield lines
    finally:
        sys.settrace(before)


def train_two(networks, together):
    """Train them, the second one with a gap in its data that ends its training."""
    data = [small_data(0, train=30), small_data(1, train=30)]
    data[1].x_train[7] = np.inf
    run = {"epochs": 2, "batch_size": 12, "statistics": "population"}
    if together:
        return fit_together(networks, data, lr=0.1, rngs=generators(2), **run)
    return [fit(networks[0], optim.SGD(networks[0], lr=0.1), data[0], rng=generators(1)[0], **run)]


@pytest.mark.parametrize("together", [False, True])
def test_ctrl_c_anywhere(together):
    """At any line: the network is as after the last step of which there is a loss."""
    sizes = {"sizes": [7, 3, 4], "batch_norm": True}
    alone, data = build(0, **sizes), small_data(0, train=30)
    losses, states = recorded(alone, data, generators(1)[0])
    networks = [build(seed, **sizes) for seed in range(2)]
    with ctrl_c_at(None) as lines:
        train_two(networks, together)
    first, last = (find(lines, "training.py", text) for text in ("self._run()", "return [self._h"))
    places = np.random.default_rng(0).choice(np.arange(first, last), 80, replace=False)
    for place in sorted(places):
        networks = [build(seed, **sizes) for seed in range(2)]
        with ctrl_c_at(place):
            history, *_ = train_two(networks, together)
        assert history.interrupted and not history.diverged
        steps = len(history.loss)
        np.testing.assert_array_equal(history.loss, losses[:steps], err_msg=lines[place])
        np.testing.assert_equal(networks[0].state_dict(), states[steps], err_msg=lines[place])


def find(lines, file, text):
    """The first place among the lines where this text of the file has run."""
    source = (Path(BNLIB) / file).read_text(encoding="utf-8").splitlines()
    return next(k for k, (name, at) in enumerate(lines) if name == file and text in source[at - 1])


def test_ctrl_c_in_observe():
    seen: list = []

    def observe(network):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(network)
        return 1

    networks = [build(seed, batch_norm=True) for seed in range(2)]
    run = {"lr": 0.1, "epochs": 5, "batch_size": 12}
    histories = fit_together(networks, small_data(5), rngs=generators(2), observe=observe, **run)
    assert [len(history.loss) for history in histories] == [8, 8]
    assert [history.observed for history in histories] == [[1], [1]] and seen[0] is networks[0]
    fresh = [build(seed, batch_norm=True) for seed in range(2)]
    fit_together(fresh, small_data(5), rngs=generators(2), **{**run, "epochs": 2})
    for network, other in zip(networks, fresh, strict=True):
        assert_equal_networks(network, other)


def test_an_error_leaves_the_networks_after_their_last_whole_step():
    def observe(network):
        raise LookupError("not here")

    networks, fresh = ([build(seed) for seed in range(2)] for _ in range(2))
    run = {"lr": 0.1, "batch_size": 12}
    with pytest.raises(LookupError, match="not here"):
        fit_together(networks, small_data(5), rngs=generators(2), observe=observe, epochs=3, **run)
    fit_together(fresh, small_data(5), rngs=generators(2), epochs=1, **run)
    for network, other in zip(networks, fresh, strict=True):
        assert_equal_networks(network, other)


# --- the ensemble itself --------------------------------------------------------------------------


@BY_ARCHITECTURE
def test_an_ensemble_is_its_networks_side_by_side(options):
    networks = [build(seed, **options) for seed in range(3)]
    ensemble, rng = Ensemble(networks), np.random.default_rng(0)
    x, dy = rng.normal(size=(12, 21)), rng.normal(size=(12, 12))
    y = ensemble.forward(x, training=True)
    ensemble.backward(dy)
    ensemble.unstack()
    fresh = [build(seed, **options) for seed in range(3)]
    for member, network in enumerate(fresh):
        own, own_dy = x[:, 7 * member : 7 * member + 7], dy[:, 4 * member : 4 * member + 4]
        expected = network.forward(np.ascontiguousarray(own), training=True)
        network.backward(np.ascontiguousarray(own_dy))
        np.testing.assert_array_equal(y[:, 4 * member : 4 * member + 4], expected)
        assert_equal_networks(networks[member], network)


def test_stacking_and_unstacking_changes_nothing():
    networks, fresh = ([build(seed, batch_norm=True) for seed in range(3)] for _ in range(2))
    Ensemble(networks).unstack()
    for network, other in zip(networks, fresh, strict=True):
        assert_equal_networks(network, other)


def test_a_network_alone_has_the_same_face():
    network = build(0)
    alone, ensemble = Alone([network]), Ensemble([build(0)])
    x = small_data(0).x_train
    np.testing.assert_array_equal(
        alone.forward(x, training=True), ensemble.forward(x, training=True)
    )
    assert alone.unstack() is None and alone.leaves() == network.leaves()


# --- what is refused ------------------------------------------------------------------------------


def refused(networks, *, data=None, lr=0.1, rngs=None, **options):
    data = data or small_data(0)
    rngs = rngs or generators(len(networks))
    run = {"epochs": 1, "batch_size": 12, **options}
    return fit_together(networks, data, lr=lr, rngs=rngs, **run)


def test_layers_that_cannot_lie_side_by_side():
    class Special(layers.Linear):
        pass

    rng = np.random.default_rng(0)
    for layer in (Special(7, 4, rng=rng), layers.Flatten()):
        with pytest.raises(TypeError, match=f"fit_together: .* got {type(layer).__name__}"):
            refused([layers.Sequential(layer)])


@pytest.mark.parametrize(
    "other",
    [
        build(1, batch_norm=True),
        build(1, sizes=[7, 9, 5, 4]),
        build(1, dtype=np.float32),
        build(1, activation=layers.Tanh),
        layers.Sequential(*build(1).layers[:-1]),
    ],
)
def test_networks_of_different_architectures(other):
    with pytest.raises(ValueError, match="networks must have the same layers, shapes and settings"):
        refused([build(0), other])


def test_norms_of_different_settings():
    one, other = build(0, batch_norm=True), build(1, batch_norm=True)
    other.layers[1].momentum = 0.2
    with pytest.raises(ValueError, match="networks must have the same layers, shapes and settings"):
        refused([one, other])
    other.layers[1].momentum, other.layers[1].frozen = 0.1, {"bias"}
    with pytest.raises(ValueError, match="networks must have the same layers, shapes and settings"):
        refused([one, other])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": [small_data(0)]}, "data must have one entry for each of the 2 networks, got 1"),
        ({"rngs": generators(3)}, "rngs must have one entry for each of the 2 networks, got 3"),
        ({"lr": np.ones(3)}, "lr must have one entry for each of the 2 networks, got 3"),
        ({"lr": [0.1, np.ones(3), 0.1]}, r"lr\[1\] must have one entry for each of the 2 networks"),
        ({"lr": [0.1, 0.2]}, "a list lr must have an entry for each of the 3 leaves"),
        ({"rngs": generators(1) * 2}, "rngs must all be different, got one twice"),
        ({"data": [small_data(0), small_data(0, train=49)]}, "x_train must have the same shape"),
        ({"batch_size": 51}, r"fit_together: batch_size must lie in 1\.\.50, got 51"),
        ({"evaluate": "now"}, "fit_together: evaluate must be one of"),
        ({"width": 0}, "fit_together: width must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    networks, fresh = ([build(seed) for seed in range(2)] for _ in range(2))
    with pytest.raises(ValueError, match=words):
        refused(networks, **options)
    for network, other in zip(networks, fresh, strict=True):
        assert_equal_networks(network, other)


def test_a_network_given_twice():
    network = build(0)
    with pytest.raises(ValueError, match="networks must all be different, got one twice"):
        refused([network, network])
    with pytest.raises(ValueError, match="networks must all be different, got one twice"):
        refused([network, layers.Sequential(*network.layers)])


def test_no_networks_no_histories():
    assert refused([]) == []


def test_population_statistics_of_one_of_many():
    """The accuracy is that of the network itself, read with its own training set."""
    networks = [build(seed, batch_norm=True) for seed in range(2)]
    data = [small_data(0), small_data(1)]
    histories = fit_together(
        networks,
        data,
        lr=0.1,
        rngs=generators(2),
        epochs=1,
        batch_size=12,
        statistics="population",
    )
    for network, own, history in zip(networks, data, histories, strict=True):
        with population_statistics(network, own.x_train):
            right = network.forward(own.x_test, training=False).argmax(axis=1) == own.y_test
        assert history.test_accuracy == [right.mean()]
