"""IDX, the file format of MNIST, and the gzip around it; a file is not believed, only checked.

Two zero bytes, one that names the type of the values, one that counts the axes; the length of each
axis as four bytes; then the values, row by row. All numbers have their highest byte first.
(Y. LeCun, C. Cortes and C. J. C. Burges, *The MNIST database*, "File formats".)
"""

import math
import zlib

import numpy as np

from bnlib import checks

TYPES = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
MAX_AXES = 32
PIECE = 1 << 20  # bytes unpacked at a time
SPARE = 1 << 16  # gzip may make what cannot be compressed a little longer
GZIP = 31  # zlib's name for: a gzip header, the largest window, a checksum at the end


def parse(data):
    """Read the array in the bytes of an IDX file.

    Parameters
    ----------
    data : bytes
        The whole file, not compressed.

    Returns
    -------
    ndarray
        A new one, of the shape and type that the header announces, in the machine's byte order.

    Raises
    ------
    TypeError
        For what are no bytes.
    ValueError
        If the magic number, the type or the number of axes is none of IDX, or values are missing or
        left over. Nothing is allocated before the length is right.

    Examples
    --------
    >>> parse(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([[7, 8, 9]], dtype=uint8)
    """
    header = _header(data)
    if header is None:
        raise ValueError(f"idx: a header must be whole, got a file of {len(data)} bytes")
    dtype, shape, start = header
    if len(data) != (size := announced(data)):
        fault = "some are missing" if len(data) < size else "bytes trail behind"
        raise ValueError(
            f"idx: {dtype.name} values of shape {shape} must make a file of {size} bytes, "
            f"got {len(data)}: {fault}"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def announced(data):
    """Say how many bytes the whole file must have, by its header.

    Parameters
    ----------
    data : bytes
        The beginning of an IDX file, or all of it.

    Returns
    -------
    int or None
        None: the header goes on behind these bytes.

    Raises
    ------
    TypeError
        For what are no bytes.
    ValueError
        If the magic number, the type or the number of axes is none of IDX.

    Examples
    --------
    >>> announced(bytes([0, 0, 8, 1, 0, 0, 0, 3])), announced(bytes([0, 0, 8, 1, 0, 0]))
    (11, None)
    """
    header = _header(data)
    if header is None:
        return None
    dtype, shape, start = header
    return start + math.prod(shape) * dtype.itemsize


def unpack(chunks, size):
    """Unpack an IDX file from gzip, never more of it than is expected.

    Parameters
    ----------
    chunks : iterable of bytes
        The compressed file, in pieces of any size. It is not asked for more once a fault is seen.
    size : int
        The known length of the unpacked file, in bytes: at most so much memory is taken, and a
        little more.

    Returns
    -------
    bytes
        Exactly `size` of them, for `parse`.

    Raises
    ------
    ValueError
        If the file is not gzip, is damaged, ends too early, has something behind its end, is no IDX
        file, or if its header announces or it unpacks to another length.

    Examples
    --------
    >>> import gzip
    >>> packed = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    >>> parse(unpack([packed[:9], packed[9:]], 11))
    array([7, 8, 9], dtype=uint8)
    """
    machine = zlib.decompressobj(GZIP)
    content, taken, checked = bytearray(), 0, False
    for chunk in chunks:
        taken += len(chunk)
        if taken > size + SPARE:
            raise ValueError(f"idx: {size} bytes must take less room in gzip, got {taken} bytes")
        while chunk and not machine.eof:
            content += _unpack_some(machine, chunk, min(size - len(content) + 1, PIECE))
            checked = checked or _check_announced(content, size)
            if len(content) > size:
                raise ValueError(f"idx: the unpacked file must have {size} bytes, got more")
            chunk = machine.unconsumed_tail
        if machine.unused_data or chunk:
            raise ValueError("idx: a gzip file must end with its checksum, got bytes behind it")
    if not machine.eof:
        raise ValueError(f"idx: a gzip file must be whole, got one that ends after {taken} bytes")
    if len(content) < size:
        raise ValueError(f"idx: the unpacked file must have {size} bytes, got {len(content)}")
    return bytes(content)


def _header(data):
    """Type, shape and where the values start; None as long as the header is not complete."""
    checks.instance("idx", "data", data, bytes | bytearray, "bytes")
    if len(data) < 4:
        return None
    if data[:2] != b"\0\0":
        raise ValueError(f"idx: a file must begin with the bytes 00 00, got {data[:2].hex(' ')}")
    code, axes = data[2:4]
    if code not in TYPES:
        known = ", ".join(f"{each:02x}" for each in TYPES)
        raise ValueError(f"idx: the type of the values must be among {known}, got {code:02x}")
    if not 1 <= axes <= MAX_AXES:
        raise ValueError(f"idx: there must be 1 to {MAX_AXES} axes, got {axes}")
    start = 4 + 4 * axes
    if len(data) < start:
        return None
    return TYPES[code], tuple(np.frombuffer(data, ">u4", axes, 4).tolist()), start


def _check_announced(content, size):
    """Whether the header is there, and right: the file's own word against the known length."""
    found = announced(bytes(content[: 4 + 4 * MAX_AXES]))
    if found not in (None, size):
        raise ValueError(f"idx: the header must announce {size} bytes, got {found}")
    return found is not None


def _unpack_some(machine, chunk, most):
    try:
        return machine.decompress(chunk, most)
    except zlib.error as error:
        raise ValueError(f"idx: a file must be whole gzip, got damage ({error})") from None
