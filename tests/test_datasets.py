import os
import signal

import numpy as np
import pytest

from bnlib import datasets, downloads
from bnlib.datasets import digits, mnist, notmnist


def test_digits_are_all_there_once_in_the_unit_interval():
    data = digits(np.random.default_rng(0), train=900)
    assert data.x_train.shape == (900, 64) and data.x_test.shape == (897, 64)
    x = np.concatenate([data.x_train, data.x_test])
    assert x.dtype == np.float64 and x.min() == 0 and x.max() == 1
    y = np.concatenate([data.y_train, data.y_test])
    assert y.dtype == np.int64 and set(y) == set(range(10))
    original = digits(train=900)
    everything = np.concatenate([original.x_train, original.x_test])
    rows = sorted(map(bytes, x)), sorted(map(bytes, everything))
    assert rows[0] == rows[1]


def test_images_keep_their_labels_when_shuffled():
    plain, shuffled = digits(), digits(np.random.default_rng(1))
    label_of = {bytes(x): y for x, y in zip(plain.x_train, plain.y_train, strict=True)}
    label_of |= {bytes(x): y for x, y in zip(plain.x_test, plain.y_test, strict=True)}
    assert all(label_of[bytes(x)] == y for x, y in zip(*shuffled[:2], strict=True))
    assert all(label_of[bytes(x)] == y for x, y in zip(*shuffled[2:], strict=True))


def test_without_a_generator_the_order_is_the_writers():
    data = digits()
    assert (len(data.x_train), len(data.x_test)) == (1000, 797)
    assert list(data.y_train[:10]) == list(range(10))
    assert not np.array_equal(data.x_train, digits(np.random.default_rng(0)).x_train)


@pytest.mark.parametrize("train", [0, -1, 1797, 5000])
def test_the_split_must_leave_something_on_both_sides(train):
    with pytest.raises(ValueError, match=r"digits: train must lie in 1\.\.1796"):
        digits(train=train)


# --- MNIST and notMNIST, made up: what is done with the files ------------------------------------


@pytest.fixture
def made_up(monkeypatch):
    """Images of 2 x 3 pixels whose number stands in the first three of them."""

    def load(collection, file):
        count = 60_000 if file.name.startswith("train") else 10_000
        number = np.arange(count)
        if "labels" in file.name:
            return (number % 10).astype(np.uint8)
        images = np.full((count, 2, 3), 255, np.uint8)
        images[:, 0, :] = np.stack([number // 10_000, number // 100 % 100, number % 100], axis=1)
        return images

    monkeypatch.setattr(downloads, "load", load)


def numbers(x):
    """The numbers of the made-up images."""
    return np.rint(x[:, :3].astype(float) * 255).astype(int) @ [10_000, 100, 1]


def test_mnist_without_a_generator_gives_the_first_images(made_up):
    data = mnist(train=1000, test=20)
    assert data.x_train.shape == (1000, 6) and data.x_test.shape == (20, 6)
    assert (numbers(data.x_train) == range(1000)).all() and (
        numbers(data.x_test) == range(20)
    ).all()
    assert (data.y_train == np.arange(1000) % 10).all() and data.y_test.dtype == np.int64
    assert data.x_train.dtype == np.float64 and data.x_train.max() == 1
    assert data.x_train[999, 2] == 99 / 255


def test_mnist_draws_without_replacement_and_labels_stay_with_their_images(made_up):
    data = mnist(np.random.default_rng(0))
    assert sorted(numbers(data.x_train)) == list(range(60_000))
    assert sorted(numbers(data.x_test)) == list(range(10_000))
    assert (numbers(data.x_train) % 10 == data.y_train).all()
    assert (numbers(data.x_test) % 10 == data.y_test).all()
    fewer = mnist(np.random.default_rng(0), train=70, test=30)
    np.testing.assert_array_equal(fewer.x_train, data.x_train[:70])
    np.testing.assert_array_equal(fewer.x_test, data.x_test[:30])
    assert not np.array_equal(fewer.x_train, mnist(np.random.default_rng(1), train=70).x_train)


@pytest.mark.parametrize("make", [mnist, notmnist])
def test_pixels_may_be_float32(made_up, make):
    single, double = (make(train=9, test=9, dtype=dtype) for dtype in (np.float32, np.float64))
    assert single.x_train.dtype == single.x_test.dtype == np.float32
    np.testing.assert_allclose(single.x_train, double.x_train, rtol=1e-7)
    for wrong in (np.float16, np.int64, "complex128"):
        with pytest.raises(ValueError, match=f"{make.__name__}: dtype must be float64 or float32"):
            make(train=9, dtype=wrong)


def test_notmnist_is_split_like_the_digits(made_up):
    data = notmnist(np.random.default_rng(0))
    assert data.x_train.shape == data.x_test.shape == (5000, 6)
    both = [*numbers(data.x_train), *numbers(data.x_test)]
    assert sorted(both) == list(range(10_000)) and both != sorted(both)
    assert (np.array(both) % 10 == [*data.y_train, *data.y_test]).all()
    strangers = notmnist(train=0)
    assert strangers.x_train.shape == (0, 6) and (numbers(strangers.x_test) == range(10_000)).all()
    assert (numbers(notmnist(train=3, test=2).x_test) == [3, 4]).all()


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (mnist, {"train": 0}, r"mnist: train must lie in 1\.\.60000, got 0"),
        (mnist, {"train": 60_001}, r"mnist: train must lie in 1\.\.60000"),
        (mnist, {"test": 0}, r"mnist: test must lie in 1\.\.10000"),
        (mnist, {"test": -1}, "mnist: test must be at least 1"),
        (notmnist, {"train": 10_000}, r"notmnist: train must lie in 0\.\.9999"),
        (notmnist, {"train": 9_000, "test": 1_001}, r"notmnist: test must lie in 1\.\.1000"),
        (notmnist, {"test": 0}, r"notmnist: test must lie in 1\.\.5000"),
    ],
)
def test_there_must_be_so_many_images(made_up, make, options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)


def test_a_number_of_images_is_whole(made_up):
    with pytest.raises(TypeError, match=r"mnist: train must be a whole number, got 10\.0"):
        mnist(train=10.0)


@pytest.mark.parametrize("make", [mnist, notmnist])
@pytest.mark.parametrize("wrong", [{"train": -1}, {"test": 0}, {"dtype": np.int8}])
def test_wishes_are_checked_before_anything_is_downloaded(monkeypatch, make, wrong):
    monkeypatch.setattr(downloads, "load", lambda *_: pytest.fail("it downloads"))
    with pytest.raises(ValueError, match="must"):
        make(**wrong)


# --- the real ones -------------------------------------------------------------------------------

needs_data = pytest.mark.skipif(
    not os.environ.get(downloads.VARIABLE),
    reason="BNLIB_DATA names no folder with MNIST and notMNIST, and tests download nothing",
)


@needs_data
@pytest.mark.parametrize("name", datasets.PUBLISHED)
def test_the_real_files_are_what_is_published(name):
    files = datasets.PUBLISHED[name]
    shapes = {what: downloads.load(name, file).shape for what, file in files.items()}
    for what, shape in shapes.items():
        count = 60_000 if what.startswith("training") else 10_000
        assert shape == ((count, 28, 28) if "images" in what else (count,))


@needs_data
def test_the_real_mnist():
    data = mnist(train=1000)
    assert data.x_train.shape == (1000, 784) and data.x_test.shape == (10_000, 784)
    assert data.x_train.min() == 0 and data.x_train.max() == 1
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert 0.12 < data.x_train.mean() < 0.14  # mostly paper
    images = data.x_train.reshape(-1, 28, 28)
    assert images[:, 8:20, 8:20].mean() > 2 * images.mean()  # with the ink in the middle


@needs_data
def test_the_real_notmnist():
    data = notmnist(np.random.default_rng(0))
    assert data.x_train.shape == data.x_test.shape == (5000, 784)
    assert set(data.y_train) == set(data.y_test) == set(range(10))
    assert 0.3 < data.x_test.mean() < 0.5  # the letters are fat


# --- python -m bnlib.datasets: more of it in test_downloads --------------------------------------


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (
            [],
            """usage: python -m bnlib.datasets [-h] {fetch} ...
            Bring data that are not at hand, and check them.
            positional arguments:
            {fetch}
            fetch download what is missing or damaged; check the rest
            options:
            -h, --help show this help message and exit""",
        ),
        (
            ["fetch"],
            """usage: python -m bnlib.datasets fetch [-h] NAME [NAME ...]
            positional arguments:
            NAME mnist, notmnist
            options:
            -h, --help show this help message and exit""",
        ),
    ],
)
def test_help_tells_what_may_be_asked_for(command, text, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as end:
        datasets.main([*command, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.split() == text.split()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: command (--help tells more)\n"),
        (["fetch"], "the following arguments are required: NAME (--help tells more)\n"),
    ],
)
def test_a_wish_that_lacks_something_gets_one_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        datasets.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr() == ("", sentence)


def test_ctrl_c_is_told_and_a_second_one_is_not_heard(monkeypatch, capsys):
    def interrupted(collection, file):
        raise KeyboardInterrupt

    heard = []
    monkeypatch.setattr(downloads, "load", interrupted)
    monkeypatch.setattr(signal, "signal", lambda *what: heard.append(what))
    assert datasets.main(["fetch", "mnist"]) == 130
    assert heard == [(signal.SIGINT, signal.SIG_IGN)]
    told = "Interrupted. Whole files are kept; the same command goes on.\n"
    assert capsys.readouterr() == ("", told)


def test_every_file_of_a_name_is_asked_for_once_and_its_place_is_told(
    monkeypatch, tmp_path, capsys
):
    asked = []
    monkeypatch.setattr(downloads, "load", lambda name, file: asked.append((name, file)))
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path))
    assert datasets.main(["fetch", "notmnist", "mnist", "notmnist"]) == 0
    names = ("notmnist", "mnist")
    assert asked == [(name, file) for name in names for file in datasets.PUBLISHED[name].values()]
    assert capsys.readouterr().out.splitlines() == [
        f"notmnist: 2 files in {tmp_path / 'notmnist'}, each as it must be",
        f"mnist: 4 files in {tmp_path / 'mnist'}, each as it must be",
    ]
