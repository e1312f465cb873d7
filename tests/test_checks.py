"""What is let through and what is refused at the edge, and the sentence that a refusal gets.

The public functions ask with these checks, and `test_errors` spoils every argument of theirs; here
stand the numbers that lie just inside, just outside and beyond every float.
"""

import re
import sys
from fractions import Fraction

import numpy as np
import pytest

from bnlib import checks
from bnlib.layers import BatchNorm, Layer

HUGE = 10**400  # no float
TINY = 5e-324  # the smallest above 0
ABOVE = "f: n must be a number above 0, got "
SHARE = "f: n must lie in [0, 1], got "


@pytest.mark.parametrize(
    ("check", "value"),
    [
        *((checks.positive, value) for value in (TINY, 1e308, 1, np.float32(0.5), Fraction(1, 3))),
        *((checks.not_negative, value) for value in (0, -0.0, TINY, 1e308)),
        *((checks.number, value) for value in (0, -1e308, 1e308, np.int8(-3), Fraction(1, 3))),
        *((checks.share, value) for value in (0, 1, 0.0, 1.0, TINY, Fraction(1, 3))),
        *((checks.count, value) for value in (1, sys.maxsize, np.int8(1))),
        *((checks.flag, value) for value in (True, False, np.True_)),
    ],
)
def test_what_lies_just_inside_passes(check, value):
    assert check("f", "n", value) is None


@pytest.mark.parametrize(
    ("check", "value", "error", "sentence"),
    [
        (checks.positive, 0, ValueError, ABOVE + "0"),
        (checks.positive, -TINY, ValueError, ABOVE + "-5e-324"),
        (checks.positive, np.inf, ValueError, ABOVE + "inf"),
        (checks.positive, np.nan, ValueError, ABOVE + "nan"),
        (checks.positive, HUGE, ValueError, f"{ABOVE}{HUGE}"),
        (checks.positive, -HUGE, ValueError, f"{ABOVE}{-HUGE}"),
        (checks.positive, True, TypeError, ABOVE + "True"),
        (checks.positive, "1", TypeError, ABOVE + "'1'"),
        (checks.positive, 1j, TypeError, ABOVE + "1j"),
        (checks.number, -np.inf, ValueError, "f: n must be a finite number, got -inf"),
        (checks.number, HUGE, ValueError, f"f: n must be a finite number, got {HUGE}"),
        (checks.number, -HUGE, ValueError, f"f: n must be a finite number, got {-HUGE}"),
        (checks.number, False, TypeError, "f: n must be a number, got False"),
        (checks.number, [1], TypeError, "f: n must be a number, got list"),
        (checks.number, None, TypeError, "f: n must be a number, got None"),
        (checks.not_negative, -TINY, ValueError, "f: n must not be negative, got -5e-324"),
        (checks.not_negative, -HUGE, ValueError, f"f: n must be a finite number, got {-HUGE}"),
        (checks.share, -TINY, ValueError, SHARE + "-5e-324"),
        (checks.share, np.nextafter(1, 2), ValueError, SHARE + "np.float64(1.0000000000000002)"),
        (checks.share, np.nan, ValueError, SHARE + "nan"),
        (checks.share, True, TypeError, "f: n must be a number from 0 to 1, got True"),
        (checks.share, "0", TypeError, "f: n must be a number from 0 to 1, got '0'"),
        (checks.count, 0, ValueError, "f: n must be at least 1, got 0"),
        (checks.count, 1.0, TypeError, "f: n must be a whole number, got 1.0"),
        (checks.count, True, TypeError, "f: n must be a whole number, got True"),
        (
            checks.count,
            sys.maxsize + 1,
            ValueError,
            f"f: n must be at most {sys.maxsize}, got {sys.maxsize + 1}",
        ),
        (checks.flag, 1, TypeError, "f: n must be True or False, got 1"),
        (checks.flag, None, TypeError, "f: n must be True or False, got None"),
        (checks.counts, 3, TypeError, "f: n must be a sequence, got 3"),
        (checks.counts, [2, 0], ValueError, "f: each of n must be at least 1, got 0"),
        (checks.function, 3, TypeError, "f: n must be a function, got 3"),
        (checks.generator, 3, TypeError, "f: n must be a numpy.random.Generator, got 3"),
        (checks.numbers, [1j], TypeError, "f: n must hold real numbers, got complex128"),
        (checks.numbers, ["a"], TypeError, "f: n must hold real numbers, got <U1"),
        (
            checks.numbers,
            [[1], [1, 2]],
            ValueError,
            "f: n must be an array, got a list of unequal parts",
        ),
        (
            checks.numbers,
            np.ma.array([1.0], mask=[True]),
            TypeError,
            "f: n must be a plain array, got one with a mask",
        ),
    ],
)
def test_what_lies_just_outside_is_refused_in_a_sentence(check, value, error, sentence):
    with pytest.raises(error) as caught:
        check("f", "n", value)
    assert str(caught.value) == sentence


def test_numbers_of_every_real_kind_become_float64():
    for value in ([True, False], np.uint8([1, 0]), [1, 0], np.float16([1, 0])):
        found = checks.numbers("f", "n", value)
        assert found.dtype == np.float64 and found.tolist() == [1, 0]


@pytest.mark.parametrize(("value", "passes"), [(1, False), (2, True), (5, True), (6, False)])
def test_a_whole_number_lies_within_both_ends(value, passes):
    if passes:
        assert checks.within("f", "n", value, 2, 5) is None
    else:
        with pytest.raises(ValueError, match=rf"^f: n must lie in 2\.\.5, got {value}$"):
            checks.within("f", "n", value, 2, 5)


@pytest.mark.parametrize("value", [True, 3.0, "3"])
def test_within_ends_only_whole_numbers_lie(value):
    with pytest.raises(TypeError, match=f"^f: n must be a whole number, got {value!r}$"):
        checks.within("f", "n", value, 0, 5)


def test_a_count_may_start_elsewhere():
    assert checks.count("f", "n", 0, least=0) is None
    with pytest.raises(ValueError, match=r"^f: n must be at least 2, got 1$"):
        checks.count("f", "n", 1, least=2)


@pytest.mark.parametrize("value", [(1, 2), [1, 2]])
def test_a_pair_is_a_tuple_or_a_list_of_two(value):
    assert checks.pair("f", "g", value, "two numbers") is value


@pytest.mark.parametrize(("value", "told"), [((1,), "tuple"), ([1, 2, 3], "list"), ("ab", "'ab'")])
def test_what_is_no_pair_is_refused(value, told):
    with pytest.raises(TypeError, match=f"^f: g must return two numbers, got {told}$"):
        checks.pair("f", "g", value, "two numbers")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (3, "f: norm must be a function, got 3"),
        (lambda channels: None, "f: what norm makes must be of the class Layer, got None"),
        (lambda: None, "f: norm must make a Layer, got .* takes 0 positional arguments but 1 .*"),
    ],
)
def test_what_makes_no_layer_is_refused(make, sentence):
    with pytest.raises(TypeError, match=f"^{sentence}$"):
        checks.made("f", "norm", Layer, make, 4)


def test_what_is_made_gets_its_arguments():
    made = checks.made("f", "norm", Layer, BatchNorm, 4, eps=0.5)
    assert (made.num_features, made.eps) == (4, 0.5)


@pytest.mark.parametrize(
    ("value", "told"), [("thre", "'thre'"), (["one"], "list"), (None, "None"), (1, "1")]
)
def test_a_word_is_one_of_those_that_are_known(value, told):
    assert checks.one_of("f", "n", "two", ("one", "two")) is None
    with pytest.raises(ValueError, match=f"^f: n must be one of 'one', 'two', got {told}$"):
        checks.one_of("f", "n", value, ("one", "two"))


@pytest.mark.parametrize("value", [np.float16, "float32", "float", np.dtype("f8"), complex])
def test_a_dtype_is_a_floating_one(value):
    assert checks.dtype("f", value) is None


@pytest.mark.parametrize(
    ("value", "told"), [(int, "type"), (np.complex64, "type"), ("f4,f8", "'f4,f8'"), ("x", "'x'")]
)
def test_other_dtypes_are_refused(value, told):
    with pytest.raises(TypeError) as caught:
        checks.dtype("f", value)
    assert str(caught.value) == f"f: dtype must be float16, float32 or float64, got {told}"


@pytest.mark.parametrize("value", [BatchNorm, 3, None])
def test_a_network_has_leaves_and_is_no_class(value):
    assert checks.network("f", BatchNorm(2)) is None
    told = "type" if value is BatchNorm else value
    with pytest.raises(TypeError) as caught:
        checks.network("f", value)
    assert str(caught.value) == f"f: network must be a layer or a network, got {told}"


def test_labels_are_whole_numbers_one_for_each_example():
    logits = np.ones((3, 2))
    assert checks.labels("f", np.uint8([0, 1, 1]), "logits", logits).tolist() == [0, 1, 1]
    with pytest.raises(TypeError, match=r"^f: labels must be integers, got float64$"):
        checks.labels("f", [0.0, 1.0, 1.0], "logits", logits)
    sentence = "f: labels must have shape (3,) to match logits of shape (3, 2), got (2,)"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        checks.labels("f", [0, 1], "logits", logits)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.ones(3), "f: x must have shape (N, C, *spatial), got (3,)"),
        (np.ones((0, 3)), "f: x must not be empty, got shape (0, 3)"),
        (np.ones((2, 3, 4, 0)), "f: x must not be empty, got shape (2, 3, 4, 0)"),
        (
            np.ones((2, 3), np.complex64),
            "f: x must be an array of float16, float32 or float64 (or complex128, for derivatives),"
            " got complex64",
        ),
    ],
)
def test_a_batch_holds_a_value_for_each_channel(x, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        checks.batch("f", x)
    assert str(caught.value) == sentence


def test_the_smallest_batches_pass():
    for shape in [(1, 1), (1, 0), (1, 2, 1, 1)]:
        x = np.ones(shape)
        assert checks.batch("f", x) is x


def test_a_whole_number_beyond_every_float_is_infinite_on_its_own_side():
    assert checks._float(HUGE) == np.inf and checks._float(-HUGE) == -np.inf
