import numpy as np
import pytest

from bnlib.datasets import digits


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
    assert list(data.y_train[:10]) == list(range(10))
    assert not np.array_equal(data.x_train, digits(np.random.default_rng(0)).x_train)


@pytest.mark.parametrize("train", [0, -1, 1797, 5000])
def test_the_split_must_leave_something_on_both_sides(train):
    with pytest.raises(ValueError, match=r"digits: train must lie in 1\.\.1796"):
        digits(train=train)
