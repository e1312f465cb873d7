"""The doctor against networks that were made sick in known ways."""

import functools
import itertools

import numpy as np
import pytest

from bnlib import datasets, optim, training
from bnlib.doctor import (
    _ADVICE,
    CAUSES,
    RUNGS,
    SHUFFLES,
    Diagnosis,
    Ladder,
    Step,
    _shared_factor,
    examine,
)
from bnlib.functional import softmax_cross_entropy
from bnlib.inference import reestimate
from bnlib.layers import BatchNorm, Dropout, Linear, Residual, Sequential, convnet, mlp

BESSEL, STALE, SHIFT, SMALL, SORTED = CAUSES


class InBatchesOfClasses(np.random.Generator):
    """Orders for training whose batches hold examples of `classes` classes only."""

    def __init__(self, rng, labels, size, classes):
        super().__init__(rng.bit_generator)
        self.rng, self.labels, self.size, self.classes = rng, labels, size, classes

    def permutation(self, count):
        groups = self.rng.permutation(10).reshape(-1, self.classes)
        members = [self.rng.permutation(np.flatnonzero(np.isin(self.labels, g))) for g in groups]
        batches = [
            m[start : start + self.size]
            for m in members
            for start in range(0, len(m) - self.size + 1, self.size)
        ]
        order = np.concatenate([batches[i] for i in self.rng.permutation(len(batches))])
        return np.concatenate([order, np.setdiff1d(np.arange(count), order)])


@functools.cache
def trained(
    kind="mlp", size=50, epochs=8, lr=0.3, momentum=0.1, classes=None, seed=0, widths=(50, 50)
):
    """A network's maker, its state and its data, in an order in which it was trained."""
    rng = np.random.default_rng(seed)
    data = datasets.digits(rng)
    if kind == "conv":
        pictures = {k: getattr(data, k).reshape(-1, 1, 8, 8) for k in ("x_train", "x_test")}
        data = data._replace(**pictures)

    def make():
        rng = np.random.default_rng(seed)
        if kind == "conv":
            return convnet((1, 8, 8), [6, 8], 10, rng=rng, batch_norm=True)
        return mlp([64, *widths, 10], rng=rng, batch_norm=True)

    network = make()
    for norm in norms(network):
        norm.momentum = momentum
    order = InBatchesOfClasses(rng, data.y_train, size, classes) if classes else rng
    sgd = optim.SGD(network, lr=lr)
    training.fit(network, sgd, data, epochs=epochs, batch_size=size, rng=order, evaluate="never")
    served = order.permutation(len(data.x_train))
    data = data._replace(x_train=data.x_train[served], y_train=data.y_train[served])
    return make, network.state_dict(), data


def norms(network):
    return [leaf for leaf in network.leaves() if isinstance(leaf, BatchNorm)]


# --- how to make a healthy network sick ----------------------------------------------------------


def change_averages(network, change):
    for norm in norms(network):
        changed = change(norm.buffers["running_mean"], norm.buffers["running_var"])
        names = ("running_mean", "running_var")
        norm.buffers = {**norm.buffers, **dict(zip(names, changed, strict=True))}


def fresh_averages(network, data):
    change_averages(network, lambda mean, var: (0 * mean, 0 * var + 1))
    return data


def faint_averages(network, data):
    """After a few steps with momentum 0.1: two thirds of the start are left."""
    change_averages(network, lambda mean, var: (mean / 3, var / 3 + 2 / 3))
    return data


def corrected_for_two(network, data):
    change_averages(network, lambda mean, var: (mean, 2 * var))
    return data


def dimmed(network, data):
    return data._replace(x_test=0.3 * data.x_test)


def brighter(network, data):
    return data._replace(x_test=data.x_test + 0.6)


def inverted_contrast(network, data):
    return data._replace(x_test=3 * data.x_test - 1)


def a_few(network, data):
    return data._replace(**{name: value[:400] for name, value in data._asdict().items()})


def queue_of_classes(network, data):
    order = np.argsort(data.y_test, kind="stable")
    return data._replace(x_test=data.x_test[order], y_test=data.y_test[order])


def training_queue(network, data):
    order = np.argsort(data.y_train, kind="stable")
    return data._replace(x_train=data.x_train[order], y_train=data.y_train[order])


HEALTHY = {
    "mlp": {},
    "another seed": {"seed": 1},
    "a third seed": {"seed": 2},
    "short training": {"epochs": 4},
    "larger batches": {"size": 100},
    "conv": {"kind": "conv", "epochs": 3, "lr": 0.1},
}
SMALL_BATCHES = {"size": 4, "epochs": 2, "lr": 0.05, "momentum": 0.02}
BATCHES_OF_2 = {"size": 2, "epochs": 1, "lr": 0.05, "momentum": 0.01, "widths": (50, 50, 50)}
TWO_CLASSES = {"classes": 2, "epochs": 15, "lr": 0.1}
SICK = {
    "fresh averages": ({}, [fresh_averages], {STALE}),
    "faint averages": ({"seed": 1}, [faint_averages], {STALE}),
    "momentum far too small": ({"momentum": 0.001}, [], {STALE}),
    "conv, fresh averages": (HEALTHY["conv"], [fresh_averages], {STALE}),
    "corrected twice": ({}, [corrected_for_two], {BESSEL}),
    "conv, corrected twice": (HEALTHY["conv"], [corrected_for_two], {BESSEL}),
    "batches of 4": (SMALL_BATCHES, [], {SMALL}),
    "batches of 8": ({**SMALL_BATCHES, "size": 8, "lr": 0.1, "epochs": 4}, [], {SMALL}),
    "trained on two classes a batch": (TWO_CLASSES, [], {SORTED}),
    "trained on five classes a batch": ({**TWO_CLASSES, "classes": 5}, [], {SORTED}),
    "a queue of classes": ({}, [queue_of_classes], {SORTED}),
    "conv, a queue of classes": (HEALTHY["conv"], [queue_of_classes], {SORTED}),
    "dimmed": ({}, [dimmed], {SHIFT}),
    "brighter": ({"seed": 2}, [brighter], {SHIFT}),
    "conv, more contrast": (HEALTHY["conv"], [inverted_contrast], {SHIFT}),
    "fresh averages, dimmed": ({}, [fresh_averages, dimmed], {STALE, SHIFT}),
    "fresh averages, a queue": ({}, [fresh_averages, training_queue], {STALE, SORTED}),
    "corrected twice, brighter": ({}, [corrected_for_two, brighter], {BESSEL, SHIFT}),
    "corrected twice, a queue": ({}, [corrected_for_two, queue_of_classes], {BESSEL, SORTED}),
    "batches of 4, dimmed": (SMALL_BATCHES, [dimmed], {SMALL, SHIFT}),
    "batches of 4, fresh averages": (SMALL_BATCHES, [fresh_averages], {SMALL, STALE}),
    "batches of 4, a queue": (SMALL_BATCHES, [queue_of_classes], {SMALL, SORTED}),
    "brighter, a queue": ({"seed": 2}, [brighter, queue_of_classes], {SHIFT, SORTED}),
    "two classes a batch, dimmed": (TWO_CLASSES, [dimmed], {SORTED, SHIFT}),
    # In small batches deeper layers store other variances than the whole set has.
    "batches of 4, corrected twice": (SMALL_BATCHES, [corrected_for_two], {SMALL, BESSEL}),
    "batches of 2": (BATCHES_OF_2, [a_few], {SMALL}),
    # Old averages may have any variance: a factor in them cannot be told from age.
    "faint averages, corrected twice": ({"seed": 1}, [faint_averages, corrected_for_two], {STALE}),
}  # fmt: skip


def patient(settings, changes):
    make, state, data = trained(**settings)
    network = make()
    network.load_state_dict(state)
    for change in changes:
        data = change(network, data)
    return network, data


def diagnose(network, data, size=50, seed=5):
    rng = np.random.default_rng(seed)
    return examine(
        network, data.x_train, data.y_train, data.x_test, data.y_test, batch_size=size, rng=rng
    )


@pytest.mark.parametrize("name", HEALTHY)
def test_the_healthy_are_sent_home(name):
    diagnosis = diagnose(*patient(HEALTHY[name], []), HEALTHY[name].get("size", 50))
    assert diagnosis.causes == () and diagnosis.advice == (), diagnosis
    assert str(diagnosis).endswith("diagnosis: no gap between the modes")


@pytest.mark.parametrize("name", SICK)
def test_the_cause_is_named(name):
    settings, changes, causes = SICK[name]
    network, data = patient(settings, changes)
    diagnosis = diagnose(network, data, settings.get("size", 50))
    assert set(diagnosis.causes) == causes, diagnosis
    assert len(diagnosis.advice) == len(causes)
    assert all(sentence.endswith(".") for sentence in diagnosis.advice)


def test_there_are_enough_patients():
    alone = [causes for _, _, causes in SICK.values() if len(causes) == 1]
    pairs = [causes for _, _, causes in SICK.values() if len(causes) == 2]
    assert len(alone) >= 10 and len(pairs) >= 10 and len(SICK) >= 20
    assert set().union(*alone) == set(CAUSES)
    every = {frozenset(pair) for pair in itertools.combinations(CAUSES, 2)}
    assert every - {*map(frozenset, pairs)} == {frozenset({BESSEL, STALE})}


def test_a_factor_in_old_averages_cannot_be_told_from_age():
    """Two histories, one number: nothing that looks at the stored averages can part them."""
    aged, scaled = (BatchNorm(2, momentum=None) for _ in "ab")
    rng = np.random.default_rng(0)
    then, now = rng.normal(1, 2, size=(2, 50, 2))
    aged.forward(np.sqrt(2) * then, training=True)  # the layer below has since become narrower
    scaled.forward(then, training=True)
    scaled.buffers["running_mean"] = np.sqrt(2) * scaled.buffers["running_mean"]
    scaled.buffers["running_var"] = 2 * scaled.buffers["running_var"]  # corrected once too often
    expected = aged.forward(now, training=False)
    np.testing.assert_allclose(scaled.forward(now, training=False), expected, rtol=1e-12)
    both = diagnose(*patient(*SICK["faint averages, corrected twice"][:2]))
    assert "could not be told from age" in both.advice[0]


# --- what an examination is ----------------------------------------------------------------------


def small(seed=0, layers=None):
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(2, 3, size=(23, 4)), rng.integers(0, 3, 23)
    network = layers(rng) if layers else mlp([4, 5, 3], rng=rng, batch_norm=True)
    network.forward(x, training=True)
    return network, x, labels, rng


def test_the_steps_add_up_to_the_gap():
    network, x, labels, rng = small()
    diagnosis = examine(network, x[:12], labels[:12], x, labels, batch_size=4, rng=rng)
    ladder = diagnosis.train  # 12 examples, whole batches only
    total = sum(step.accuracy for step in ladder.steps.values())
    assert total == pytest.approx(ladder.accuracy[-1] - ladder.accuracy[0], abs=1e-12)
    total = sum(step.loss for step in ladder.steps.values())
    assert total == pytest.approx(ladder.loss[-1] - ladder.loss[0], abs=1e-12)
    assert list(ladder.steps) == list(CAUSES) and len(ladder.loss) == len(RUNGS)
    assert ladder.steps[SHIFT].accuracy == ladder.steps[SHIFT].loss == 0


def test_the_rungs_are_what_they_say():
    network, x, labels, rng = small()
    diagnosis = examine(network, x, labels, x[:12], labels[:12], batch_size=12, rng=rng)
    logits = network.forward(x, training=False)
    loss, _ = softmax_cross_entropy(logits, labels)
    assert diagnosis.train.loss[0] == pytest.approx(loss, rel=1e-12)
    # One batch holds the whole small set: served, shuffled, and what training mode gives.
    loss, _ = softmax_cross_entropy(network.forward(x[:12], training=True), labels[:12])
    np.testing.assert_allclose(diagnosis.test.loss[4:], loss, rtol=1e-10)


def test_the_third_rung_is_what_training_would_store(monkeypatch):
    """`reestimate` of the same shuffled batches is the oracle, in a network of two norms."""
    network, x, labels, rng = small(layers=deep)
    orders = [rng.permutation(len(x)) for _ in range(SHUFFLES)]
    served = np.concatenate([order[:20] for order in orders])  # five whole batches of each
    expected = Sequential(*network.layers)
    before = network.state_dict()
    reestimate(expected, x[served], batch_size=4, pool="mean")
    loss, _ = softmax_cross_entropy(expected.forward(x, training=False), labels)
    network.load_state_dict(before)
    given = iter([*orders, *orders])

    class Orders(np.random.Generator):
        def permutation(self, count):
            return next(given)

    diagnosis = examine(network, x, labels, x, labels, batch_size=4, rng=Orders(np.random.PCG64(0)))
    assert diagnosis.train.loss[2] == diagnosis.train.loss[3] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize(("kept", "causes"), [(1.0, ()), (0.5, (BESSEL,))])
def test_in_batches_of_two_the_unbiased_variance_is_no_ailment(kept, causes):
    """Outputs spread in evaluation as in training; with the biased variance, 1.41 times as far."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1200)
    x = rng.normal(0.7 * (2 * labels[:, None] - 1), 1, size=(1200, 3))
    norm = BatchNorm(3, momentum=None)
    pairs = x.reshape(600, 2, 3)
    trained = np.concatenate([norm.forward(pair, training=True) for pair in pairs])
    norm.buffers["running_var"] = kept * norm.buffers["running_var"]
    evaluated = norm.forward(x, training=False)
    assert evaluated.std() / trained.std() == pytest.approx(kept**-0.5, rel=0.02)
    classify = Linear(3, 2, rng=rng)
    classify.params["weight"] = np.array([[-3.0] * 3, [3.0] * 3])
    network = Sequential(norm, classify)
    diagnosis = examine(network, x, labels, x[:600], labels[:600], batch_size=2, rng=rng)
    assert set(diagnosis.causes) - {SMALL, SORTED} == set(causes), diagnosis
    assert diagnosis.factor == pytest.approx(kept, rel=0.1)


def deep(rng):
    inner = Residual(BatchNorm(4), Dropout(0.5, rng), Linear(4, 4, rng=rng))
    return Sequential(
        Linear(4, 4, rng=rng), BatchNorm(4, affine=False), inner, Linear(4, 3, rng=rng)
    )


def test_averages_over_few_values_may_scatter_about_their_factor():
    rng, norm = np.random.default_rng(0), BatchNorm(300, momentum=0.03)
    for batch in rng.normal(size=(400, 2, 300)):
        norm.forward(batch, training=True)
    norm.buffers["running_var"] = 2 * norm.buffers["running_var"]
    right = [{"running_mean": np.zeros(300), "running_var": np.ones(300)}]
    of_two = [np.full(300, np.sqrt(2))]  # deviation of the variance of two values, over its mean
    assert _shared_factor([norm], right, of_two)[0] == pytest.approx(2, rel=0.1)
    assert _shared_factor([norm], right, [np.zeros(300)])[0] == 1
    norm.buffers["running_var"] = np.exp(rng.uniform(-1, 2, 300))  # old, not scattered
    assert _shared_factor([norm], right, of_two)[0] == 1


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_network_is_left_as_it_was(monkeypatch, interrupted):
    network, x, labels, rng = small(layers=deep)
    before = [dict(vars(leaf)) for leaf in network.leaves()]
    if interrupted:
        calls = []

        def forward(self, x, *, training):
            calls.append(1)
            if len(calls) == 5:
                raise KeyboardInterrupt
            return real(self, x, training=training)

        real = Sequential.forward
        monkeypatch.setattr(Sequential, "forward", forward)
        with pytest.raises(KeyboardInterrupt):
            examine(network, x, labels, x, labels, batch_size=4, rng=rng)
    else:
        examine(network, x, labels, x, labels, batch_size=4, rng=rng)
    for leaf, attributes in zip(network.leaves(), before, strict=True):
        assert vars(leaf).keys() == attributes.keys()
        assert all(vars(leaf)[name] is value for name, value in attributes.items())


def test_a_step_matters_when_it_is_large_and_no_accident():
    assert Step(0.05, 0.01, 0.0, 0.0).matters()
    assert not Step(0.05, 0.03, 0.0, 0.0).matters()  # an accident
    assert not Step(0.015, 0.001, 0.0, 0.0).matters()  # too small
    assert Step(0.0, 0.01, -0.2, 0.01).matters(only_better=True)
    assert Step(0.0, 0.01, 0.2, 0.01).matters()
    assert not Step(-0.05, 0.01, 0.2, 0.01).matters(only_better=True)


def test_the_luck_of_whole_batches_is_part_of_the_error():
    """One outlier squeezes its whole batch: examples of a batch are not independent."""
    rng, steps = np.random.default_rng(0), []
    labels = rng.integers(0, 2, 300)
    x = rng.normal(1.5 * (2 * labels[:, None] - 1), 1, size=(300, 2))
    x[rng.random(300) < 0.03] *= 20
    network = Sequential(BatchNorm(2, momentum=None), Linear(2, 2, rng=rng))
    network.layers[1].params["weight"] = np.array([[-3.0, -3.0], [3.0, 3.0]])
    network.forward(x, training=True)
    for _ in range(25):
        order = rng.permutation(300)
        one, own = x[order], labels[order]
        found = examine(network, one, own, one[:10], own[:10], batch_size=10, rng=rng)
        steps.append(found.train.steps[SORTED])
    spread = np.std([step.loss for step in steps])
    assert spread < 1.1 * np.mean([step.loss_error for step in steps])


def test_chance_alone_is_no_cause():
    """Where nothing is learned, every step is chance; with 20 networks hardly one false alarm."""
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        network = Sequential(BatchNorm(4, momentum=None), Linear(4, 3, rng=rng, scale=0.3))
        x, labels = rng.normal(size=(300, 4)), rng.integers(0, 3, 300)
        for batch in x.reshape(6, 50, 4):
            network.forward(batch, training=True)
        alarms += bool(examine(network, x, labels, x, labels, batch_size=50, rng=rng).causes)
    assert alarms <= 2


def test_a_diagnosis_is_shown_as_two_ladders_and_a_line():
    train = Ladder(np.arange(1, 7) / 10, np.arange(6) / 4, {})
    test = Ladder(np.array([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]), np.arange(6) / 2, {})
    healthy = str(Diagnosis((), train, test, 1.0, ()))
    assert healthy.splitlines() == [
        "  statistics of     training set    test set",
        "                      right loss  right loss",
        "1 stored averages     10.0 0.000   0.0 0.000",
        "2 Bessel undone       20.0 0.250  12.5 0.500",
        "3 training set        30.0 0.500  25.0 1.000",
        "4 its own set         40.0 0.750  50.0 1.500",
        "5 shuffled batches    50.0 1.000  75.0 2.000",
        "6 batches as served   60.0 1.250 100.0 2.500",
        "diagnosis: no gap between the modes",
    ]
    sick = str(Diagnosis((BESSEL, SHIFT), train, test, 1.0, ()))
    assert sick.splitlines() == [*healthy.splitlines()[:-1], "diagnosis: Bessel, shift"]


def test_the_advice_about_a_factor_names_it_and_what_to_do():
    assert _ADVICE[BESSEL](0.5, 4) == (
        "The stored variances are about 0.50 times what training would store, in all channels "
        "alike. Below 1, the biased variances of small batches were stored; above 1, somebody "
        "applied Bessel's correction once too often, or with a wrong count. Divide them by that "
        "factor."
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 1}, "a batch of 2 or more"),
        ({"batch_size": 24}, "23 examples, 23 labels and batch_size 24"),
        ({"labels_test": np.zeros(5, int)}, "23 examples, 5 labels"),
        ({"x_test": np.full((23, 4), np.nan)}, "x_test must be finite"),
        ({"network": mlp([4, 3], rng=np.random.default_rng(0))}, "0 batch norm layers"),
        ({"network": BatchNorm(4, track_running_stats=False)}, "1 batch norm layers, 0 of them"),
    ],
)
def test_errors(change, words):
    network, x, labels, rng = small()
    given = {"network": network, "x_train": x, "labels_train": labels, "x_test": x}
    given |= {"labels_test": labels, "batch_size": 4, "rng": rng, **change}
    with pytest.raises(ValueError, match=f"examine: .*{words}"):
        examine(given.pop("network"), **given)
