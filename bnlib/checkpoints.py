"""A network's numbers in a file: saved whole or not at all, checked before they are used.

The file is an `.npz` archive that `np.load` opens too: one array for each name of the network's
`state_dict`, uncompressed, and one entry that says which format this is, which layers the network
has, with their settings (eps, momentum, strides), and what the digest of all that must be. There is
no pickle in it, so loading a stranger's file runs no code of theirs: the code makes the network,
the file fills it. Settings are compared, not set, since the same arrays with another eps answer
differently.
"""

import contextlib
import hashlib
import json
import os
import secrets
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from bnlib import checks

FORMAT = 2  # 1 had no settings
ABOUT = "__bnlib__"  # the entry with format, settings and digest, as the bytes of a JSON text
# What zipfile raises when it meets nonsense; OSError when it is sent to a place before the start.
DAMAGED = (
    zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, struct.error,
    UnicodeDecodeError,
)  # fmt: skip
MAX_HEADER = 4096  # bytes that precede the numbers in an entry
SETTING = (bool, int, float, str, list, type(None))
MAX_ABOUT = 2**20  # bytes: the settings of some ten thousand layers


def save(network, path):
    """Write all parameters and buffers of a network into one file.

    The file appears under its name when it is whole and on the disk; until then, and when the
    program is stopped in the middle, an older file of that name stays what it was. The same state
    gives the same bytes.

    Parameters
    ----------
    network : bnlib.layers.Layer
    path : str or path
        As given: no ending is added.

    Raises
    ------
    TypeError
        For what is no network, or no path.
    ValueError
        For a path that leads to a folder.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from bnlib.layers import BatchNorm
    >>> layer, other = BatchNorm(2), BatchNorm(2)
    >>> y = layer.forward(np.array([[1.0, 2.0], [3.0, 5.0]]), training=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(layer, f"{folder}/layer.npz")
    ...     load(other, f"{folder}/layer.npz")
    >>> other.buffers["running_mean"]
    array([0.2 , 0.35])
    """
    told = settings(network)
    checks.instance("save", "path", path, str | os.PathLike, "the name of a file")
    state = {name: np.asarray(value, order="C") for name, value in network.state_dict().items()}
    about = {"format": FORMAT, "settings": told, "digest": digest(state, told)}
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    path = Path(path).resolve()  # where a link leads, not the link
    if path.is_dir():
        raise ValueError(f"save: path must name a file, got the folder {str(path)!r}")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for name, value in {ABOUT: text, **state}.items():
                    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as entry:
                        npy.write_array(entry, value, version=(1, 0), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and not error.filename:  # as of a full disk
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


def load(network, path):
    """Fill a network with what `save` wrote.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Made by the same code; numbers are converted to its dtypes. When the file is not right, it
        stays as it was.
    path : str or path

    Raises
    ------
    TypeError
        For what is no network, or no path.
    ValueError
        For a file that is truncated, damaged, carelessly changed (see `digest`), not one of
        `save`'s, of another format, or of a network with arrays of other names or shapes, other
        layers or other settings. Nothing in it is executed, and no more memory is taken than the
        network's own state needs in float64.
    OSError
        If the file cannot be read: FileNotFoundError, where there is none.

    Examples
    --------
    >>> import tempfile
    >>> from bnlib.layers import BatchNorm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(BatchNorm(2), f"{folder}/two.npz")
    ...     load(BatchNorm(3), f"{folder}/two.npz")
    Traceback (most recent call last):
    ValueError: load: two.npz must hold weight of shape (3,) to fit this network, got (2,)
    """
    own = settings(network)
    checks.instance("load", "path", path, str | os.PathLike, "the name of a file")
    expected = {name: value.shape for name, value in network.state_dict().items()}
    name = Path(path).name
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                told, claimed = _about(name, archive)
                state = _state(name, archive, expected)
        except _Refused as refused:
            raise ValueError(str(refused)) from None
        except DAMAGED as error:
            raise ValueError(
                f"load: {name} must be a whole file that bnlib.checkpoints.save wrote, got a "
                "truncated, damaged or foreign one"
            ) from error
    if digest(state, told) != claimed:
        raise ValueError(
            f"load: {name} must hold the numbers that were saved, got a digest that does not "
            "match: the file was changed"
        )
    for each in {**own, **told}:
        if told.get(each) != own.get(each):
            raise ValueError(
                f"load: {name} must come from a network set as this one, with {each} "
                f"{own.get(each)!r}, got {told.get(each)!r}"
            )
    network.load_state_dict(state)


def settings(network):
    """What a network's layers are and how they are set: all that is not in its arrays.

    Parameters
    ----------
    network : bnlib.layers.Layer

    Returns
    -------
    dict of str to number, str, bool, None or list
        "layer" and the public attributes of each layer, under the names of a `state_dict`. A
        subclass counts as the layer of `bnlib.layers` that it extends: frozen or synchronized batch
        norm evaluates as batch norm does. A generator of random numbers is no setting.

    Raises
    ------
    TypeError
        For what is no network.

    Examples
    --------
    >>> from bnlib.layers import BatchNorm, Flatten, Sequential
    >>> settings(Sequential(Flatten(), BatchNorm(2)))["1.momentum"]
    0.1
    """
    kinds = [kind for kind in type(network).__mro__ if kind.__module__.startswith("bnlib.layers.")]
    if not kinds:
        raise TypeError(f"settings: network must be a layer, got {type(network).__name__}")
    kind = type(network) if kinds[0].__name__ == "Layer" else kinds[0]
    found: dict = {"layer": kind.__name__}
    for name, value in vars(network).items():
        value = value.item() if isinstance(value, np.generic) else value
        value = list(value) if isinstance(value, tuple) else value
        if name[0] != "_" and name != "layers" and isinstance(value, SETTING):
            found[name] = value
    for position, layer in enumerate(getattr(network, "layers", ())):
        found |= {f"{position}.{name}": value for name, value in settings(layer).items()}
    return found


def digest(state, told):
    """SHA-256 over settings and the names, dtypes, shapes and bytes of a state.

    It finds damage and careless edits. Who forges a file on purpose can compute it too: to know
    whom a file comes from takes a signature.

    Parameters
    ----------
    state : dict of str to ndarray
    told : dict
        As `settings` returns it.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> digest({"a": np.zeros(2)}, {})[:8], digest({"a": np.zeros((2, 1))}, {})[:8]
    ('99b97c8b', '3ae83fcc')
    """
    found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, value in sorted(state.items()):
        found.update(json.dumps([name, value.dtype.str, value.shape]).encode())
        found.update(value.tobytes())
    return found.hexdigest()


class _Refused(Exception):
    """A sentence about what is wrong with a file."""


def _about(name, archive):
    """Settings and digest that the file names, once its format is known to be ours."""
    foreign = f"load: {name} must be a file that bnlib.checkpoints.save wrote, got"
    if f"{ABOUT}.npy" not in archive.namelist():
        raise _Refused(f"{foreign} an archive without an entry {ABOUT}")
    text = _array(name, archive, ABOUT, None).tobytes()
    try:
        about = json.loads(text)
        version, claimed = about["format"], about["digest"]
        told = dict(about["settings"]) if version == FORMAT else {}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _Refused(f"{foreign} an entry {ABOUT} that cannot be read") from None
    if version != FORMAT:
        raise _Refused(
            f"load: {name} must have format {FORMAT}, which this bnlib reads, got {version!r}: it "
            "was written by another version, and numpy.load can still read its arrays"
        )
    return told, claimed


def _state(name, archive, expected):
    """The arrays, when their names are those of the network."""
    found = [entry.removesuffix(".npy") for entry in archive.namelist() if entry != f"{ABOUT}.npy"]
    if len({*found}) < len(archive.namelist()) - 1:
        raise _Refused(f"load: {name} must hold each name once, got one name twice")
    if {*found} != {*expected}:
        raise _Refused(
            f"load: {name} must hold the names {sorted(expected)} of this network's state, "
            f"got {sorted(found)}"
        )
    return {each: _array(name, archive, each, shape) for each, shape in expected.items()}


def _array(name, archive, key, shape):
    """One array; what its header says is checked before a byte of its numbers is read."""
    entry = archive.getinfo(f"{key}.npy")
    if entry.compress_type != zipfile.ZIP_STORED:
        raise _Refused(f"load: {name} must be uncompressed, as save writes it, got a packed {key}")
    with archive.open(entry) as file:
        try:
            version = npy.read_magic(file)
            found, by_columns, dtype = npy.read_array_header_1_0(file)
        except (ValueError, SyntaxError, OverflowError, RecursionError):
            raise _Refused(f"load: {name} must hold numpy arrays, got none in {key}") from None
        if version != (1, 0) or by_columns or dtype.kind not in "fiu":
            kind = "Python objects, which it never unpickles" if dtype.hasobject else dtype
            raise _Refused(f"load: {name} must hold plain numbers, got {kind} in {key}")
        if shape is not None and found != shape:
            raise _Refused(
                f"load: {name} must hold {key} of shape {shape} to fit this network, got {found}"
            )
        count = int(np.prod(found, dtype=object))
        bounded = entry.file_size <= count * dtype.itemsize + MAX_HEADER
        most = MAX_ABOUT if shape is None else max(np.prod(shape), 0)
        numbers = file.read() if bounded and count <= most else b""
    if len(numbers) != count * dtype.itemsize:
        raise _Refused(f"load: {name} must hold all numbers of {key}, got too many or too few")
    return np.frombuffer(numbers, dtype).reshape(found)


def _sync_folder(folder):
    """Make the new name itself outlive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
