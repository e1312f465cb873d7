"""IDX files: read right, and every fault refused in a sentence before it costs memory."""

import gzip
import itertools
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from bnlib import idx

ARRAY = np.random.default_rng(0).integers(0, 256, size=(5, 4, 3)).astype(np.uint8)


def written(array, code=0x08):
    """The bytes of an IDX file, by the format's description and not by our code."""
    sizes = b"".join(struct.pack(">I", length) for length in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


FILE = written(ARRAY)
PACKED = gzip.compress(FILE, mtime=0)


def header(*sizes, code=0x08, axes=None, begin=b"\0\0"):
    count = len(sizes) if axes is None else axes
    return begin + bytes([code, count]) + b"".join(struct.pack(">I", size) for size in sizes)


# --- read right ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")],
)
def test_every_type_comes_back(code, dtype):
    array = (np.random.default_rng(1).normal(size=(3, 2)) * 50).astype(dtype)
    found = idx.parse(written(array, code))
    assert found.dtype == np.dtype(dtype).newbyteorder("=") and found.dtype.isnative
    np.testing.assert_array_equal(found, array.astype(found.dtype))


@pytest.mark.parametrize("shape", [(7,), (0,), (2, 0, 3), (2, 3), (1, 1, 1, 2)])
def test_shapes_come_back(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    found = idx.parse(written(array))
    assert found.shape == shape and (found == array).all()
    assert found.flags.writeable and found.flags.owndata


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_unpacking_does_not_depend_on_the_pieces(step):
    pieces = [PACKED[at : at + step] for at in range(0, len(PACKED), step)]
    assert idx.unpack(pieces, len(FILE)) == FILE
    assert idx.unpack([b"", *itertools.chain(*((each, b"") for each in pieces))], len(FILE)) == FILE


def test_what_hardly_compresses_and_what_compresses_well_are_unpacked():
    big = np.random.default_rng(2).integers(0, 256, size=(3 << 20)).astype(np.uint8)
    for array in (big, np.zeros_like(big)):
        file = written(array)
        for level in (0, 9):
            assert idx.unpack([gzip.compress(file, level)], len(file)) == file


def test_the_announced_length_needs_only_the_header():
    assert idx.announced(header(5, 4, 3)) == len(FILE)
    assert all(idx.announced(FILE[:cut]) is None for cut in range(16))
    assert idx.announced(header(2, 3, code=0x0E)) == 12 + 48


# --- faults of the file --------------------------------------------------------------------------

PARSE_FAULTS = {
    "nothing": (b"", "a header must be whole"),
    "three bytes": (FILE[:3], "a header must be whole"),
    "a header without its last size": (FILE[:12], "a header must be whole"),
    "another first byte": (b"\1" + FILE[1:], "must begin with the bytes 00 00, got 01 00"),
    "another second byte": (b"\0\1" + FILE[2:], "must begin with the bytes 00 00, got 00 01"),
    "a gzip file": (PACKED, "must begin with the bytes 00 00, got 1f 8b"),
    "a web page": (b"<!DOCTYPE html>", "must begin with the bytes 00 00, got 3c 21"),
    "type 00": (header(60, code=0) + FILE[16:], "type of the values must be among 08, 09"),
    "type 0a": (header(60, code=0x0A) + FILE[16:], "got 0a"),
    "type ff": (header(60, code=0xFF) + FILE[16:], "got ff"),
    "little-endian type": (bytes([0, 0, 3, 8]) + FILE[4:], "got 03"),
    "no axes": (header() + b"\7", "1 to 32 axes, got 0"),
    "too many axes": (header(*[1] * 33), "1 to 32 axes, got 33"),
    "a value missing": (FILE[:-1], "file of 76 bytes, got 75: some are missing"),
    "all values missing": (FILE[:16], "got 16: some are missing"),
    "one value too many": (FILE + b"\0", "got 77: bytes trail behind"),
    "the file twice": (FILE * 2, "got 152: bytes trail behind"),
    "sizes in the other byte order": (
        bytes([0, 0, 8, 3]) + struct.pack("<3I", 5, 4, 3) + FILE[16:],
        "some are missing",
    ),
    "sizes of 16 exabytes": (header(2**32 - 1, 2**32 - 1) + b"\0", "some are missing"),
    "sizes that overflow 64 bits": (header(2**31, 2**31, 4) + b"", "some are missing"),
    "wider values": (header(5, 4, 3, code=0x0E) + FILE[16:], "some are missing"),
}


@pytest.mark.parametrize(("data", "words"), PARSE_FAULTS.values(), ids=PARSE_FAULTS)
def test_fault_in_a_file(data, words):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^idx: ") as caught:
            idx.parse(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert peak < 100_000


# --- faults of the packing -----------------------------------------------------------------------

BOMB = gzip.compress(header(5, 4, 3) + bytes(50_000_000))  # 48 kB
EMPTY_BLOCK = b"\0\0\0\xff\xff"  # of deflate: takes five bytes, gives none


def with_bit(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


UNPACK_FAULTS = {
    "nothing": ([], "must be whole, got one that ends after 0 bytes"),
    "empty pieces": ([b"", b""], "ends after 0 bytes"),
    "a web page": ([b"<!DOCTYPE html><title>Not found</title>"], "whole gzip, got damage"),
    "not packed": ([FILE], "whole gzip, got damage"),
    "zlib instead of gzip": ([zlib.compress(FILE)], "whole gzip, got damage"),
    "half": ([PACKED[: len(PACKED) // 2]], "must be whole"),
    "without its last byte": ([PACKED[:-1]], "must be whole"),
    "without its checksum": ([PACKED[:-8]], "must be whole"),
    "a wrong checksum": ([with_bit(PACKED, -6)], "whole gzip, got damage"),
    "a wrong length": ([PACKED[:-1] + b"\1"], "whole gzip, got damage"),
    "a byte behind": ([PACKED + b"\0"], "bytes behind it"),
    "a byte behind, in a piece of its own": ([PACKED, b"\0"], "bytes behind it"),
    "two files in one": ([PACKED + PACKED], "bytes behind it"),
    "another header": ([gzip.compress(b"\1" + FILE[1:])], "must begin with the bytes 00 00"),
    "another type": ([gzip.compress(header(60, code=0x0A) + FILE[16:])], "got 0a"),
    "fewer announced": ([gzip.compress(header(5, 4, 2) + FILE[16:])], "must announce 76 bytes"),
    "more announced": ([gzip.compress(header(5, 4, 2**30) + FILE[16:])], "must announce 76 bytes"),
    "a smaller file": ([gzip.compress(written(ARRAY[:4]))], "must announce 76 bytes, got 64"),
    "fewer values than announced": ([gzip.compress(FILE[:-3])], "must have 76 bytes, got 73"),
    "only the beginning of a header": ([gzip.compress(FILE[:7])], "must have 76 bytes, got 7"),
    "more values than announced": ([gzip.compress(FILE + b"\0")], "must have 76 bytes, got more"),
    "a bomb": ([BOMB], "must have 76 bytes, got more"),
    "a bomb in small pieces": (
        [BOMB[at : at + 100] for at in range(0, len(BOMB), 100)],
        "must have 76 bytes, got more",
    ),
    "a bomb in its own header": (
        [gzip.compress(header(2**32 - 1) + bytes(1_000_000))],
        "must announce 76 bytes, got 4294967303",
    ),
}


@pytest.mark.parametrize(("pieces", "words"), UNPACK_FAULTS.values(), ids=UNPACK_FAULTS)
def test_fault_in_the_packing(pieces, words):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^idx: ") as caught:
            idx.unpack(pieces, len(FILE))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert peak < 1_000_000  # the bomb has 50 megabytes


ENDLESS = {
    "zeros": (b"", bytes(1000), "got damage"),
    "blocks without content": (PACKED[:10], EMPTY_BLOCK * 100, "must take less room in gzip"),
    "a file name in the gzip header": (
        b"\x1f\x8b\x08\x08" + bytes(6),
        b"a" * 1000,
        "must take less room in gzip",
    ),
    "files behind the file": (PACKED, PACKED, "bytes behind it"),
    "nothing but a bomb": (BOMB[:2000], BOMB[2000:3000], "got more"),
}


@pytest.mark.parametrize(("begin", "again", "words"), ENDLESS.values(), ids=ENDLESS)
def test_fault_of_a_stream_without_end(begin, again, words):
    asked = itertools.count()

    def pieces():
        yield begin
        while True:
            next(asked)
            yield again

    with pytest.raises(ValueError, match=words):
        idx.unpack(pieces(), len(FILE))
    assert next(asked) <= (len(FILE) + idx.SPARE) / len(again) + 2


@pytest.mark.parametrize("cut", range(len(PACKED)))
def test_a_file_cut_anywhere_is_refused(cut):
    with pytest.raises(ValueError, match=r"^idx: .*whole"):
        idx.unpack([PACKED[:cut]], len(FILE))


def outcome(packed):
    """The content, or the sentence that refuses it."""
    try:
        return idx.unpack([packed], len(FILE))
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_a_changed_byte_anywhere_is_refused_or_changes_nothing(change):
    damaged = [
        PACKED[:at] + bytes([PACKED[at] ^ change]) + PACKED[at + 1 :] for at in range(len(PACKED))
    ]
    found = [outcome(each) for each in damaged]
    harmless = [at for at, each in enumerate(found) if each == FILE]
    # gzip's flags, time of packing and system; the bits that fill deflate's last byte
    assert set(harmless) <= {*range(3, 10), len(PACKED) - 9}
    assert all(each == FILE or each.startswith("idx: ") for each in found)
