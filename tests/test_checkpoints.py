"""Saving and loading a network: whole or not at all, and nothing but what was saved."""

import io
import json
import pickle
import re
import signal
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from bnlib import checkpoints
from bnlib.checkpoints import ABOUT, digest, load, save, settings
from bnlib.inference import frozen_statistics
from bnlib.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    GroupNorm,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    Tanh,
    convnet,
    mlp,
)


def network(seed=0):
    """A small network whose every number is its own."""
    rng = np.random.default_rng(seed)
    made = Sequential(Conv2d(1, 2, 2, rng=rng), BatchNorm(2), Flatten(), Linear(8, 3, rng=rng))
    state = {name: value + rng.random(value.shape) for name, value in made.state_dict().items()}
    made.load_state_dict({**state, "1.num_batches_tracked": np.array(7 + seed)})
    return made


def same(one, two):
    pairs = zip(one.state_dict().items(), two.state_dict().items(), strict=True)
    return all(a == b and x.dtype == y.dtype and (x == y).all() for (a, x), (b, y) in pairs)


@pytest.fixture
def path(tmp_path):
    save(network(), tmp_path / "network.npz")
    return tmp_path / "network.npz"


def refused(path, *words):
    """The file is refused in one sentence with these words, and the network is as it was."""
    mine = network(seed=1)
    before = [dict(vars(leaf)) for leaf in mine.leaves()]
    with pytest.raises(ValueError, match=rf"^load: {re.escape(path.name)} must ") as caught:
        load(mine, path)
    sentence = str(caught.value)
    assert "\n" not in sentence and all(word in sentence for word in words), sentence
    for leaf, attributes in zip(mine.leaves(), before, strict=True):
        assert vars(leaf).keys() == attributes.keys()
        assert all(vars(leaf)[name] is value for name, value in attributes.items())


def rewrite(path, change, **options):
    """Write the archive anew with entries that `change` has had in its hands."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def entry(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def about(**values):
    return entry(np.frombuffer(json.dumps(values).encode(), np.uint8))


def about_of(state, told):
    return about(format=2, settings=told, digest=digest(state, told))


# --- there and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_a_network_comes_back_to_the_bit(tmp_path, dtype):
    def made(seed):
        rng = np.random.default_rng(seed)
        return convnet((1, 8, 8), [3, 4], 5, rng=rng, batch_norm=True, dtype=dtype)

    one, two = made(0), made(1)
    x = np.random.default_rng(2).normal(size=(6, 1, 8, 8)).astype(dtype)
    one.forward(x, training=True)
    assert not same(one, two)
    save(one, tmp_path / "a")
    load(two, tmp_path / "a")
    assert same(one, two)
    assert (one.forward(x, training=False) == two.forward(x, training=False)).all()


def test_arrays_larger_than_any_header_come_back_too(tmp_path):
    one, two = (mlp([300, 200, 10], rng=np.random.default_rng(seed)) for seed in (0, 1))
    save(one, tmp_path / "a")
    load(two, tmp_path / "a")
    assert same(one, two)


def test_numpy_opens_the_file_without_pickle(path):
    with np.load(path, allow_pickle=False) as file:
        state = {name: file[name] for name in file.files if name != ABOUT}
    mine = network().state_dict()
    assert list(state) == list(mine)
    assert all((state[name] == value).all() for name, value in mine.items())


def test_the_same_state_gives_the_same_bytes(tmp_path, path):
    save(network(), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    save(network(seed=1), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() != path.read_bytes()


def test_saving_replaces_the_file_behind_a_link_and_leaves_nothing_else(tmp_path, path):
    (tmp_path / "link").symlink_to(path)
    save(network(seed=3), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and sorted(p.name for p in tmp_path.iterdir()) == [
        "link",
        "network.npz",
    ]
    mine = network()
    load(mine, path)
    assert same(mine, network(seed=3))


def test_saving_and_loading_leave_the_network_s_own_arrays_alone(path):
    mine = network()
    arrays = [*mine.leaves()[1].params.values(), *mine.leaves()[1].buffers.values()]
    copies = [array.copy() for array in arrays]
    load(mine, path)
    mine.forward(np.random.default_rng(0).normal(size=(4, 1, 3, 3)), training=True)
    assert all((array == copy).all() for array, copy in zip(arrays, copies, strict=True))
    assert all(value.flags.writeable for value in mine.state_dict().values())


# --- what is not in the arrays -------------------------------------------------------------------

rng = np.random.default_rng(0)
SETTINGS = {
    "0.eps": [BatchNorm(2, eps=eps) for eps in (1e-3, 1e-5)],
    "0.momentum": [BatchNorm(2, momentum=momentum) for momentum in (0.1, None)],
    "0.layer": [ReLU(), Tanh()],
    "1.layer": [Sequential(ReLU()), Residual(ReLU())],
    "0.num_groups": [GroupNorm(groups, 4) for groups in (1, 2)],
    "0.padding": [Conv2d(1, 1, 3, rng=rng, padding=padding) for padding in (0, 1)],
    "0.size": [MaxPool2d(size) for size in (2, 3)],
    "0.rate": [Dropout(rate, rng) for rate in (0.1, 0.5)],
    "0.shape": [LayerNorm(shape, affine=False) for shape in (4, (2, 2))],
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_network_set_otherwise_is_refused(tmp_path, name, turned):
    layers = SETTINGS[name][::-1] if turned else SETTINGS[name]
    there, here = (
        Sequential(layer) if name[0] == "0" else Sequential(Flatten(), layer) for layer in layers
    )
    save(there, tmp_path / "a.npz")
    load(there, tmp_path / "a.npz")
    before = here.state_dict()
    with pytest.raises(ValueError, match=rf"^load: a\.npz must come .* with {name} ") as caught:
        load(here, tmp_path / "a.npz")
    key = name.partition(".")[2]
    for layer in layers:
        own = type(layer).__name__ if key == "layer" else getattr(layer, key)
        assert repr(list(own) if isinstance(own, tuple) else own) in str(caught.value)
    assert all((value == before[at]).all() for at, value in here.state_dict().items())


def test_a_layer_too_many_is_refused(tmp_path):
    save(Sequential(ReLU(), Flatten()), tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"with 1\.layer None, got 'Flatten'"):
        load(Sequential(ReLU()), tmp_path / "a.npz")


def test_statistics_may_be_frozen_meanwhile_and_numbers_be_numpy_s(tmp_path, path):
    with frozen_statistics(mine := network(seed=1)):
        load(mine, path)
    assert same(mine, network())
    save(BatchNorm(2, eps=np.float64(1e-3)), tmp_path / "a.npz")
    load(BatchNorm(np.int64(2), eps=1e-3), tmp_path / "a.npz")


def test_a_layer_of_one_s_own_has_its_own_name():
    class Own(Layer):
        pass

    class Frozen(BatchNorm):
        pass

    assert settings(Own())["layer"] == "Own" and settings(Frozen(2))["layer"] == "BatchNorm"


def test_settings_that_were_changed_are_refused(path):
    told = {**settings(network()), "1.eps": 1e-3}

    def change(entries):
        claimed = digest(network().state_dict(), settings(network()))
        entries[f"{ABOUT}.npy"] = about(format=2, settings=told, digest=claimed)

    rewrite(path, change)
    refused(path, "digest")
    rewrite(path, lambda e: e.update({f"{ABOUT}.npy": about_of(network().state_dict(), told)}))
    refused(path, "1.eps 1e-05, got 0.001")


def test_a_deep_network_s_settings_fit(tmp_path):
    deep = Sequential(*(BatchNorm(1) for _ in range(300)))
    save(deep, tmp_path / "a.npz")
    again = Sequential(*(BatchNorm(1) for _ in range(300)))
    again.layers[299].params["weight"] = np.array([2.0])
    load(again, tmp_path / "a.npz")
    assert again.layers[299].params["weight"] == 1


# --- stopped in the middle -----------------------------------------------------------------------


@pytest.mark.parametrize("where", [(checkpoints.npy, "write_array"), (checkpoints.os, "replace")])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left on device")])
def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch, where, error):
    before = path.read_bytes()
    calls, real = [], getattr(*where)

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3 or where[1] == "replace":
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(*where, failing)
    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        save(network(seed=1), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["network.npz"]


def test_a_full_disk_is_told_with_the_file(path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*network\.npz'"):
        save(network(seed=1), path)


KILLED = """
import os, signal, sys
import numpy as np
from bnlib import checkpoints, layers
real, calls = checkpoints.npy.write_array, []
def write_array(*args, **kwargs):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
checkpoints.npy.write_array = write_array
checkpoints.save(layers.mlp([2, 3, 2], rng=np.random.default_rng(0)), sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught")
def test_a_program_that_is_killed_while_saving_leaves_the_old_file(path):
    before = path.read_bytes()
    run = subprocess.run([sys.executable, "-c", KILLED, path], timeout=60, check=False)
    assert run.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(path.parent.glob(".network.npz.*.part"))) == 1  # what it had begun


def test_the_numbers_are_on_the_disk_before_the_name_is(path, monkeypatch):
    happened = []
    for name in ("fsync", "replace"):
        real = getattr(checkpoints.os, name)

        def noted(*args, name=name, real=real):
            happened.append(name)
            return real(*args)

        monkeypatch.setattr(checkpoints.os, name, noted)
    save(network(), path)
    assert happened[:2] == ["fsync", "replace"]


# --- files that are not right --------------------------------------------------------------------


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(network(), tmp_path / "nowhere.npz")


def test_a_truncated_file_is_refused(path):
    data = path.read_bytes()
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        refused(path, "network.npz")


def test_a_byte_that_changed_is_refused_or_does_not_matter(path):
    data, mine = path.read_bytes(), network()
    harmless = 0
    for place in range(0, len(data), 11):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :])
        two, refusal = network(seed=1), ""
        try:
            load(two, path)
        except ValueError as error:
            refusal = str(error)
        if refusal:
            assert refusal.startswith("load: ") and same(two, network(seed=1))
        else:  # dates and flags that nobody reads
            assert same(two, mine)
            harmless += 1
    assert harmless < len(data) / 11 / 4


@pytest.mark.parametrize(
    "content", [b"", b"weights", b"PK\x05\x06" + b"\0" * 18, pickle.dumps({"0.weight": 1.0})]
)
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    refused(tmp_path / "a.npz", "bnlib.checkpoints.save")


def test_an_archive_of_numpy_s_own_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **network().state_dict())
    refused(tmp_path / "a.npz", ABOUT)


def test_numbers_that_were_changed_are_refused(path):
    def change(entries):
        data = bytearray(entries["3.bias.npy"])
        data[-1] ^= 1
        entries["3.bias.npy"] = bytes(data)

    rewrite(path, change)
    refused(path, "digest")


class Bomb:
    """Unpickling it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("name", ["3.bias.npy", f"{ABOUT}.npy"])
def test_a_pickle_is_refused_and_never_opened(path, tmp_path, name):
    objects = np.array([Bomb(str(tmp_path / "ran"))] * 3, dtype=object)
    rewrite(path, lambda entries: entries.update({name: entry(objects, allow_pickle=True)}))
    refused(path, "never unpickles")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("array", [np.zeros(3, complex), np.zeros(3, bool), np.array(["a"] * 3)])
def test_what_is_not_a_plain_number_is_refused(path, array):
    rewrite(path, lambda entries: entries.update({"3.bias.npy": entry(array)}))
    refused(path, "plain numbers", "3.bias")


def test_another_shape_is_refused(path):
    rewrite(path, lambda entries: entries.update({"3.bias.npy": entry(np.zeros((3, 1)))}))
    refused(path, "3.bias", "(3,)", "(3, 1)")


def test_a_network_of_other_names_is_refused(tmp_path):
    save(mlp([8, 3], rng=np.random.default_rng(0)), tmp_path / "a.npz")
    refused(tmp_path / "a.npz", "0.weight", "1.running_mean")


def test_one_name_twice_is_refused(path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("3.bias.npy", entry(np.ones(3)))
    refused(path, "one name twice")


def test_a_value_that_no_training_leaves_is_refused_by_the_layer(path):
    mine, state = network(seed=1), network().state_dict()
    state["1.running_var"] = np.array([1.0, -1.0])

    def change(entries):
        entries["1.running_var.npy"] = entry(state["1.running_var"])
        entries[f"{ABOUT}.npy"] = about_of(state, settings(mine))

    rewrite(path, change)
    with pytest.raises(ValueError, match="running_var must not be negative"):
        load(mine, path)
    assert same(mine, network(seed=1))


@pytest.mark.parametrize("version", [1, 3, "2", None, [2]])
def test_another_format_is_refused(path, version):
    def change(entries):
        entries[f"{ABOUT}.npy"] = about(format=version, digest="0" * 64)

    rewrite(path, change)
    refused(path, "format 2", repr(version), "numpy.load")


@pytest.mark.parametrize(
    "text",
    [b"{", b"[]", b"{}", b'{"format": 2}', b"\xff", b"[" * 4000, b"1" * 4000]
    + [b'{"format": 2, "digest": "", "settings": %s}' % told for told in (b"3", b"[1]", b"null")],
)
def test_an_entry_about_nothing_is_refused(path, text):
    data = entry(np.frombuffer(text, np.uint8))
    rewrite(path, lambda entries: entries.update({f"{ABOUT}.npy": data}))
    refused(path, ABOUT)


def test_a_packed_archive_is_refused_before_it_is_unpacked(path):
    zeros = entry(np.zeros(3)) + bytes(20_000_000)
    change = {"3.bias.npy": zeros}
    rewrite(path, lambda entries: entries.update(change), compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 40_000
    tracemalloc.start()
    refused(path, "packed")
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("shape", ["(3, 1000000000000)", "(3,)", "(-3,)", "3", "(10**9,)"])
def test_a_header_that_promises_too_much_is_refused(path, shape):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + bytes([len(text), 0]) + text.encode() + bytes(16)
    rewrite(path, lambda entries: entries.update({"3.bias.npy": data}))
    refused(path, "3.bias")


def test_the_size_of_the_file_s_own_entry_is_bounded(path):
    rewrite(path, lambda e: e.update({f"{ABOUT}.npy": entry(np.zeros(2 * 10**6, np.uint8))}))
    refused(path, ABOUT)


def test_columns_first_is_refused(path):
    array = np.asfortranarray(network().state_dict()["3.weight"])
    rewrite(path, lambda entries: entries.update({"3.weight.npy": entry(array)}))
    refused(path, "plain numbers")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises((IsADirectoryError, PermissionError)):
        load(network(), tmp_path)
    with pytest.raises(ValueError, match="save: path must name a file, got the folder"):
        save(network(), tmp_path)
    assert not list(tmp_path.parent.glob("*.part"))
