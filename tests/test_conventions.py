"""The table of conventions against what the frameworks themselves have answered."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from golden_frameworks import BETA, FILE, FRAMEWORKS, GAMMA, record

from bnlib.conventions import (
    AFFINE,
    CONVENTIONS,
    STATISTICS,
    batch_norm_like,
    convert,
    convert_weight,
)
from bnlib.layers import convnet, mlp

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
READ = {"Caffe", "cuDNN"}  # not run
RUN = [name for name, row in CONVENTIONS.items() if row.run]
FLOAT32 = {"rtol": 2e-4, "atol": 2e-6}  # the frameworks compute in it; eps shows above it
# Flax takes the variance as E[x²] - E[x]², which loses digits where the mean is 50 deviations.
ONE_PASS = {"rtol": 2e-3, "atol": 2e-6}
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def golden_state(name, mean, var):
    keys = CONVENTIONS[name].keys
    parts = {"weight": GAMMA, "bias": BETA, "running_mean": mean, "running_var": var}
    return {keys[ours]: np.array(value) for ours, value in parts.items()}


def stored(name, x, state):
    """The averages after one more batch, from the row alone: an oracle apart from `convert`."""
    row, new = CONVENTIONS[name], CONVENTIONS[name].weight_of_new()
    x = np.asarray(x, float)
    mean, var = x.mean(axis=0), x.var(axis=0, ddof=int(row.bessel and len(x) > 1))
    return [(1 - new) * np.array(old) + new * now for old, now in zip(state, (mean, var))]  # noqa: B905


def like(name):
    layer = batch_norm_like(name, 3)
    layer.load_state_dict({**layer.state_dict(), "weight": GAMMA, "bias": BETA})
    return layer


# --- every row against its framework -------------------------------------------------------------


def test_every_row_that_says_so_was_run():
    assert list(GOLDEN) == list(FRAMEWORKS)
    assert set(RUN) == set(GOLDEN)
    assert set(CONVENTIONS) - set(RUN) == READ
    for name in RUN:
        number = GOLDEN[name]["version"].split(",")[0].split()[-1]
        assert number in CONVENTIONS[name].run or "commit 07b11618" in GOLDEN[name]["version"]


@pytest.mark.parametrize("name", RUN)
def test_defaults_and_names(name):
    row, golden = CONVENTIONS[name], GOLDEN[name]
    assert (row.momentum, row.eps) == (golden["momentum"], golden["eps"])
    assert golden["initial"] == [[0.0] * 3, [row.initial_var] * 3]
    assert set(row.keys.values()) <= set(golden["names"])
    assert set(golden["names"]) - set(row.keys.values()) <= {"N"}  # Chainer's finetuning counts


@pytest.mark.parametrize("name", RUN)
def test_running_averages(name):
    state = GOLDEN[name]["initial"]
    for step in GOLDEN[name]["steps"]:
        state = stored(name, step["x"], state)
        np.testing.assert_allclose(state, step["state"], **FLOAT32)


@pytest.mark.parametrize("name", RUN)
def test_the_configured_layer_behaves_as_the_framework(name):
    layer, golden = like(name), GOLDEN[name]
    for batches, step in enumerate(golden["steps"], start=1):
        y = layer.forward(np.array(step["x"]), training=True)
        np.testing.assert_allclose(y, step["y"], **(ONE_PASS if name == "Flax" else FLOAT32))
        theirs = convert(
            layer.state_dict(), "PyTorch", name, count=6, batches=batches, momentum=layer.momentum
        )
        keys = CONVENTIONS[name].keys
        averages = [theirs[keys["running_mean"]], theirs[keys["running_var"]]]
        np.testing.assert_allclose(averages, step["state"], **FLOAT32)
    mean, var = golden["steps"][-1]["state"]
    state = convert(golden_state(name, mean, var), name, "PyTorch")
    layer.load_state_dict(state)
    y = layer.forward(np.array(golden["evaluation"]["x"]), training=False)
    np.testing.assert_allclose(y, golden["evaluation"]["y"], **FLOAT32)


@pytest.mark.parametrize("name", RUN)
def test_a_single_value(name):
    one, row = GOLDEN[name]["one"], CONVENTIONS[name]
    if row.single == "error":
        assert one["error"].startswith("ValueError")
    else:
        np.testing.assert_allclose(one["y"], [BETA], rtol=1e-6)
        state = stored(name, one["x"], GOLDEN[name]["steps"][-1]["state"])
        np.testing.assert_allclose(one["state"], state, **FLOAT32)
        assert (np.array(one["state"][1]) < GOLDEN[name]["steps"][-1]["state"][1]).all()
    assert bool(one["warning"]) == (name == "Chainer")


@pytest.mark.parametrize(
    ("field", "value"),
    [("momentum_weighs", None), ("bessel", None), ("eps", None), ("momentum", 0.95)],
)
@pytest.mark.parametrize("name", RUN)
def test_a_wrong_row_would_be_seen(name, field, value, monkeypatch):
    row = CONVENTIONS[name]
    wrong = {
        "momentum_weighs": "old" if row.momentum_weighs == "new" else "new",
        "bessel": not row.bessel,
        "eps": row.eps * (2 if row.eps < 1e-4 else 0.5),
        "momentum": value,
    }[field]
    monkeypatch.setitem(CONVENTIONS, name, replace(row, **{field: wrong}))
    with pytest.raises(AssertionError):
        both_tests(name)


def both_tests(name):
    test_running_averages(name)
    test_the_configured_layer_behaves_as_the_framework(name)


def test_in_mxnet_the_averages_wait_for_the_backward_pass():
    waiting = [name for name, row in CONVENTIONS.items() if row.moves_in == "backward"]
    assert waiting == ["MXNet"]
    assert GOLDEN["MXNet"]["mean before the first backward"] == [0.0] * 3
    assert GOLDEN["MXNet"]["steps"][0]["state"][0] != [0.0] * 3


def test_pytorch_says_the_same_today():
    pytest.importorskip("torch", reason="an oracle, not a requirement", exc_type=ImportError)
    fresh, golden = FRAMEWORKS["PyTorch"](), GOLDEN["PyTorch"]
    assert (fresh["momentum"], fresh["eps"]) == (golden["momentum"], golden["eps"])
    for now, then in zip(fresh["steps"], golden["steps"], strict=True):
        np.testing.assert_allclose(now["state"], then["state"], rtol=1e-5)
    assert fresh["one"]["error"] == golden["one"]["error"]


def test_every_row_names_what_was_read():
    for row in CONVENTIONS.values():
        assert row.sources and all(
            address.startswith("https://") and words for address, words in row.sources
        )
        if not row.run:  # read, not run: then with the line
            assert any("#L" in address for address, _ in row.sources)


# --- Caffe, from its source ----------------------------------------------------------------------


class Caffe:
    """The three blobs of its BatchNorm layer, as its source describes them."""

    def __init__(self, fraction):
        self.fraction, self.blobs = fraction, [np.zeros(2), np.zeros(2), np.zeros(1)]

    def train(self, x):
        now = [x.mean(axis=0), x.var(axis=0, ddof=1), np.ones(1)]
        self.blobs = [self.fraction * old + new for old, new in zip(self.blobs, now, strict=True)]

    def state(self):
        names = ("blobs[0]", "blobs[1]", "blobs[2]")
        return dict(zip(names, self.blobs, strict=True))


def test_caffe_to_pytorch_and_back():
    rng = np.random.default_rng(0)
    caffe, layer = Caffe(0.9), batch_norm_like("PyTorch", 2)
    batches = rng.normal(3, 2, size=(4, 5, 2))
    for x in batches:
        caffe.train(x)
        layer.forward(x, training=True)
    ours = layer.state_dict()
    found = convert(caffe.state(), "Caffe", "PyTorch", batches=4, momentum=0.9)
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(found[name], ours[name], **EXACT)
    theirs = convert(ours, "PyTorch", "Caffe", batches=4)
    for name, value in caffe.state().items():
        np.testing.assert_allclose(theirs[name], value, **EXACT)


def test_caffe_trains_on_from_a_converted_state():
    rng = np.random.default_rng(0)
    stayed, moved, layer = Caffe(0.999), Caffe(0.999), batch_norm_like("Caffe", 2)
    *batches, last = rng.normal(3, 2, size=(101, 5, 2))
    for x in batches:
        stayed.train(x)
        layer.forward(x, training=True)
    how = {"count": 5, "batches": 100, "momentum": layer.momentum}
    moved.blobs = list(convert(layer.state_dict(), "PyTorch", "Caffe", **how).values())[:3]
    for caffe in (stayed, moved):
        caffe.train(last)
    for name, value in stayed.state().items():
        np.testing.assert_allclose(moved.state()[name], value, **EXACT, err_msg=name)


def test_without_batches_caffe_gets_averages_for_evaluation():
    state = {name: np.array([8.0]) for name in CONVENTIONS["PyTorch"].keys}
    found = convert(state, "PyTorch", "Caffe")
    assert found["blobs[0]"] == found["blobs[1]"] == 8 and found["blobs[2]"] == 1
    own = {"blobs[0]": np.array([6.0]), "blobs[1]": np.array([9.0]), "blobs[2]": np.array([3.0])}
    assert convert(own, "Caffe", "Caffe") == own


def test_an_untrained_caffe_layer_has_no_variance():
    state = convert(Caffe(0.999).state(), "Caffe", "PyTorch")
    assert (state["running_var"] == 0).all() and (state["running_mean"] == 0).all()


# --- translating ---------------------------------------------------------------------------------


def train(name, x):
    """The averages that a framework would hold, its momentum such that the new weighs 0.1."""
    row = CONVENTIONS[name]
    mean, var = np.zeros(2), np.full(2, row.initial_var)
    for batch in x:
        mean = 0.9 * mean + 0.1 * batch.mean(axis=0)
        var = 0.9 * var + 0.1 * batch.var(axis=0, ddof=int(row.bessel))
    parts = {"weight": np.ones(2), "bias": np.zeros(2), "running_mean": mean, "running_var": var}
    if row.corrected:  # sums, in which the newest batch weighs 1, and the sum of the weights
        parts |= {"running_mean": mean / 0.1, "running_var": var / 0.1}
        parts["scale_factor"] = np.array([sum(0.9**k for k in range(len(x)))])
    return {theirs: parts[ours] for ours, theirs in row.keys.items() if ours in parts}


@pytest.mark.parametrize("source", sorted(set(CONVENTIONS) - {"cuDNN"}))
@pytest.mark.parametrize("target", sorted(set(CONVENTIONS) - {"cuDNN"}))
def test_any_to_any_gives_what_the_target_would_have(source, target):
    x = np.random.default_rng(1).normal(3, 2, size=(7, 4, 2))
    momentum = {"new": 0.1, "old": 0.9}[CONVENTIONS[source].momentum_weighs]
    state = train(source, x)
    found = convert(state, source, target, count=4, batches=7, momentum=momentum)
    expected = train(target, x)
    assert found.keys() - {"num_batches_tracked"} == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, **EXACT, err_msg=name)
    again = train(source, x)
    assert all((state[name] == value).all() for name, value in again.items())


@pytest.mark.parametrize("source", sorted(CONVENTIONS))
@pytest.mark.parametrize("target", sorted(CONVENTIONS))
def test_names_alone_leave_the_numbers(source, target):
    x = np.random.default_rng(1).normal(3, 2, size=(7, 4, 2))
    state = train("PyTorch", x)
    there = convert(convert(state, "PyTorch", source), source, target)
    back = convert(there, target, "PyTorch")
    for name, value in state.items():
        np.testing.assert_allclose(back[name], value, **EXACT)


def test_faded_start_and_dtype():
    state = {name: np.float32([8.0]) for name in CONVENTIONS["PyTorch"].keys}
    found = convert(state, "PyTorch", "Flax", count=2)
    assert found["batch_stats/var"] == 4 and found["batch_stats/var"].dtype == np.float32
    assert convert(found, "Flax", "PyTorch", batches=12)["num_batches_tracked"] == 12
    kept = convert({**state, "num_batches_tracked": np.array(5)}, "PyTorch", "PyTorch")
    assert kept["num_batches_tracked"] == 5


def test_momentum_is_translated():
    found = {name: row.weight_of_new() for name, row in CONVENTIONS.items() if row.momentum}
    assert found["PyTorch"] == found["Chainer"] == found["MXNet"] == 0.1
    assert found["Keras"] == found["Flax"] == found["TensorFlow 1"] == 0.01
    assert found["Caffe"] == 0.001
    assert CONVENTIONS["cuDNN"].weight_of_new(0.3) == 0.3


ROWS = (
    "'PyTorch', 'Keras', 'Keras 2', 'Keras 2 fused', 'TensorFlow 1', 'TensorFlow 1 fused', 'Flax', "
    "'Chainer', 'MXNet', 'Caffe', 'cuDNN', 'Deep Learning from Scratch'"
)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: convert({}, "PyTorch", "Keras"),
            "convert: a state of PyTorch must have the names ['weight', 'bias', 'running_mean', "
            "'running_var', 'num_batches_tracked'], got []",
        ),
        (
            lambda: convert(golden_state("Keras", [0], [1]), "PyTorch", "Keras"),
            "convert: a state of PyTorch must have the names ['weight', 'bias', 'running_mean', "
            "'running_var', 'num_batches_tracked'], "
            "got ['beta', 'gamma', 'moving_mean', 'moving_variance']",
        ),
        (
            lambda: convert({"moving_mean": np.ones(2)}, "Keras", "PyTorch"),
            "convert: a state of Keras must have the names ['gamma', 'beta', 'moving_mean', "
            "'moving_variance'], got ['moving_mean']",
        ),
        (
            lambda: convert({}, "Torch", "Keras"),
            f"convert: the framework must be one of {ROWS}, got 'Torch'",
        ),
        (
            lambda: batch_norm_like("keras", 3),
            f"batch_norm_like: the framework must be one of {ROWS}, got 'keras'",
        ),
        (
            lambda: batch_norm_like("cuDNN", 3, eps=1e-5),
            "cuDNN: exponentialAverageFactor has no default, got None",
        ),
        (
            lambda: batch_norm_like("cuDNN", 3, momentum=0.1),
            "batch_norm_like: eps has no default in cuDNN, got None",
        ),
        (
            lambda: CONVENTIONS["Keras"].weight_of_new(1.5),
            "Keras: momentum must lie in [0, 1], got 1.5",
        ),
        (
            lambda: convert_weight(np.zeros(3), "Keras", "Flax"),
            "convert_weight: weight must have 2 or 4 axes, got (3,)",
        ),
        (
            lambda: convert(golden_state("Keras", [0], [1]), "Keras", "PyTorch", count=1),
            "convert: count must be above 1 for an unbiased variance, got 1",
        ),
        (
            lambda: convert(golden_state("cuDNN", [0], [1]), "cuDNN", "PyTorch", batches=3),
            "convert: with cuDNN the caller chose the start: leave out batches",
        ),
        (
            lambda: convert(golden_state("PyTorch", [0], [1]), "PyTorch", "cuDNN", batches=3),
            "convert: with cuDNN the caller chose the start: leave out batches",
        ),
    ],
)
def test_errors(call, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()


def test_what_is_said_replaces_a_framework_s_defaults():
    usual = batch_norm_like("Keras", 2)
    assert usual.params["weight"].dtype == usual.buffers["running_var"].dtype == np.float64
    layer = batch_norm_like("Keras", 2, momentum=0.75, eps=0.5, dtype=np.float32)
    assert (layer.num_features, layer.momentum, layer.eps) == (2, 0.25, 0.5)
    assert layer.params["weight"].dtype == np.float32
    assert batch_norm_like("cuDNN", 3, momentum=0.125, eps=0.5).momentum == 0.125


def test_the_batches_so_far_are_kept_else_those_said_else_none():
    bare = {name: np.array([8.0]) for name in STATISTICS}  # a layer without gamma and beta
    assert convert(bare, "PyTorch", "PyTorch") == {**bare, "num_batches_tracked": 0}
    assert convert(bare, "PyTorch", "PyTorch", batches=12)["num_batches_tracked"] == 12
    counted = {**bare, "num_batches_tracked": np.array(5)}
    assert convert(counted, "PyTorch", "PyTorch", batches=12)["num_batches_tracked"] == 5


def test_two_values_are_enough_for_an_unbiased_variance():
    state = {name: np.array([8.0]) for name in STATISTICS}
    for source, target, expected in (("Keras", "PyTorch", 16), ("PyTorch", "Keras", 4)):
        given = convert(state, "PyTorch", source)
        assert convert(given, source, target, count=2)[CONVENTIONS[target].keys["running_var"]] == [
            expected
        ]


def test_weights_are_reordered():
    rng = np.random.default_rng(0)
    linear, conv = rng.normal(size=(3, 4)), rng.normal(size=(2, 5, 3, 4))
    assert (convert_weight(linear, "PyTorch", "Keras") == linear.T).all()
    there = convert_weight(conv, "PyTorch", "Flax")
    assert there.shape == (3, 4, 5, 2) and there[1, 2, 3, 0] == conv[0, 3, 1, 2]
    assert (convert_weight(there, "Flax", "Chainer") == conv).all()
    book = "Deep Learning from Scratch"
    assert convert_weight(conv, "Caffe", book).shape == conv.shape
    assert convert_weight(linear, "Caffe", book).shape == (4, 3)
    there[:] = 0
    assert conv.all()


def test_a_recording_keeps_the_error_of_a_layer_that_refuses():
    def refuse(x):
        if len(x) == 1:
            raise ValueError("no")
        return x

    entry = record(refuse, refuse, lambda: [0, 0])
    assert entry["one"]["error"] == "ValueError: no" and len(entry["steps"]) == 3


def test_a_state_travels_to_pytorch_and_back(tmp_path):
    torch = pytest.importorskip(
        "torch", reason="an oracle, not a requirement", exc_type=ImportError
    )
    from test_torch import twin

    rng = np.random.default_rng(0)
    network, home = (
        convnet((1, 8, 8), [4, 6], 10, rng=rng, batch_norm=True, dtype=np.float32) for _ in "ab"
    )
    for batch in rng.normal(1, 2, size=(5, 20, 1, 8, 8)).astype(np.float32):
        network.forward(batch, training=True)
    state = network.state_dict()
    abroad = twin(network, torch)  # torch.nn.Sequential of the same layers: the same names
    abroad.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    torch.save(abroad.state_dict(), tmp_path / "state.pt")
    returned = torch.load(tmp_path / "state.pt", weights_only=True)
    home.load_state_dict({name: value.numpy() for name, value in returned.items()})
    assert list(returned) == list(state)
    assert all((value == state[name]).all() for name, value in home.state_dict().items())
    x = rng.normal(1, 2, size=(30, 1, 8, 8)).astype(np.float32)
    expected = network.forward(x, training=False)
    with torch.no_grad():
        there = abroad.eval()(torch.tensor(x)).numpy()
    np.testing.assert_allclose(there, expected, rtol=2e-5, atol=2e-5)  # of float32
    np.testing.assert_array_equal(home.forward(x, training=False), expected)


@pytest.mark.parametrize("kind", ["mlp", "convnet"])
def test_a_state_travels_from_pytorch_and_back(kind):
    """Trained there, used here, and home again, unchanged; evaluated alike in all three places."""
    torch = pytest.importorskip(
        "torch", reason="an oracle, not a requirement", exc_type=ImportError
    )
    from test_torch import twin

    rng, single = np.random.default_rng(0), {"dtype": np.float32, "batch_norm": True}
    if kind == "mlp":
        network, shape = mlp([12, 9, 7, 5], rng=rng, **single), (12,)
    else:
        network, shape = convnet((1, 8, 8), [4, 6], 5, rng=rng, **single), (1, 8, 8)
    there, home = (flat(twin(network, torch), torch, kind) for _ in "ab")
    sgd = torch.optim.SGD(there.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(20):
        x, labels = rng.normal(1, 2, size=(16, *shape)), torch.tensor(rng.integers(0, 5, 16))
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(there(torch.tensor(x).float()), labels).backward()
        sgd.step()
    state = there.state_dict()
    network.load_state_dict({name: value.numpy() for name, value in state.items()})
    returned = {name: torch.tensor(value) for name, value in network.state_dict().items()}
    home.load_state_dict(returned)
    assert list(returned) == list(state)
    for name, value in state.items():
        assert returned[name].dtype == value.dtype and torch.equal(returned[name], value)
    x = rng.normal(1, 2, size=(30, *shape)).astype(np.float32)
    with torch.no_grad():
        first, last = (each.eval()(torch.tensor(x)) for each in (there, home))
    assert torch.equal(first, last)
    np.testing.assert_allclose(network.forward(x, training=False), first, rtol=2e-5, atol=2e-5)


def flat(network, torch, kind):
    """`twin` makes batch norm of pictures; in an mlp it must be that of rows."""
    if kind == "mlp":
        for at, module in enumerate(network):
            if isinstance(module, torch.nn.BatchNorm2d):
                network[at] = torch.nn.BatchNorm1d(module.num_features)
    return network


@pytest.mark.parametrize("target", [name for name in CONVENTIONS if name != "PyTorch"])
def test_a_network_in_another_s_names_and_axes_evaluates_alike(target):
    """By hand, from the translated arrays alone: kernels by their axes, then batch norm."""
    rng, row = np.random.default_rng(0), CONVENTIONS[target]
    network = mlp([6, 5, 3], rng=rng, batch_norm=True)
    for x in rng.normal(1, 2, size=(5, 20, 6)):
        network.forward(x, training=True)
    first, norm, _, last = network.layers
    kernels = [convert_weight(layer.params["weight"], "PyTorch", target) for layer in (first, last)]
    there = convert(norm.state_dict(), "PyTorch", target)
    x = rng.normal(1, 2, size=(30, 6))
    z = np.einsum(f"ni,{row.linear}->no", x, kernels[0])
    gamma, beta, mean, var = (there[row.keys[name]] for name in (*AFFINE, *STATISTICS))
    h = np.maximum((z - mean) / np.sqrt(var + norm.eps) * gamma + beta, 0)
    y = np.einsum(f"ni,{row.linear}->no", h, kernels[1]) + last.params["bias"]
    np.testing.assert_allclose(y, network.forward(x, training=False), **EXACT)
    back = convert(there, target, "PyTorch")
    assert all((back[name] == norm.state_dict()[name]).all() for name in (*AFFINE, *STATISTICS))
