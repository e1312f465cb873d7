"""Files that are downloaded once, into the user's cache, or read from a folder; always checked.

Where a file comes from does not matter: its unpacked content must have a known SHA-256. In the
cache it stands unpacked; a copy there that is torn or was changed is fetched again. A folder that
the variable BNLIB_DATA names is only read. What goes wrong is told in one sentence that says what
to do.
"""

import contextlib
import errno
import hashlib
import os
import queue
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from bnlib import checks, idx

VARIABLE = "BNLIB_DATA"
CHUNK = 1 << 16  # bytes
TIMEOUT = 20.0  # seconds without a sign of the server
PATIENCE = 30.0  # seconds until the file begins; and from then on until it is slower than
SLOWEST = 1000  # bytes in a second, on average
REDIRECTS = 5
NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class DataError(RuntimeError):
    """A file cannot be had; the message is one sentence and says what to do."""


class File(NamedTuple):
    """A published IDX file.

    Attributes
    ----------
    name : str
        Without `.gz`.
    size : int
        Bytes, unpacked.
    sha256 : str
        Of the unpacked content.
    mirrors : tuple of str
        Addresses of folders that hold `<name>.gz`, each with its final slash, the best first.
    """

    name: str
    size: int
    sha256: str
    mirrors: tuple[str, ...]


def load(collection, file):
    """Read a file from the folder that BNLIB_DATA names, else from the cache, filled if need be.

    Parameters
    ----------
    collection : str
        A folder's name, letters, digits and `_`: in BNLIB_DATA it holds `<name>.gz`, in the cache
        `<name>`.
    file : File

    Returns
    -------
    ndarray
        As `bnlib.idx.parse` gives it.

    Raises
    ------
    TypeError, ValueError
        For a collection that is no such name, a file that is no `File`.
    DataError
        If the folder has no such file or another one, or it can neither be found in the cache nor
        be downloaded and kept there.
    """
    checks.instance("downloads.load", "collection", collection, str, "text")
    if not collection.isidentifier():
        raise ValueError(f"downloads.load: collection must be a folder's name, got {collection!r}")
    checks.instance("downloads.load", "file", file, File, "a File")
    content = _from_folder(collection, file) if folder() else _from_cache(collection, file)
    return idx.parse(content)


def folder():
    """Where files are read from: what BNLIB_DATA names, None without it.

    Returns
    -------
    Path or None
    """
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else None


def cache():
    """Where downloaded files stand: a folder of this user's, by the custom of the system.

    Returns
    -------
    Path
    """
    try:
        import pooch
    except ImportError:
        raise DataError(
            "bnlib.downloads: needs the package pooch: run pip install 'bnlib[data]', or name a "
            f"folder with the data in {VARIABLE}"
        ) from None
    return Path(pooch.os_cache("bnlib"))


# --- a folder: read, never changed ---------------------------------------------------------------


def _from_folder(collection, file):
    path = folder() / collection / f"{file.name}.gz"
    expected = f"{collection}: {path}, in the folder that {VARIABLE} names, must"
    remedy = f"put there what {_address(file, file.mirrors[0])} has, or unset {VARIABLE}"
    try:
        with open(path, "rb") as packed:
            content = idx.unpack(iter(partial(packed.read, CHUNK), b""), file.size)
        _check_content(content, file)
    except OSError as error:
        raise DataError(f"{expected} be readable, got {_reason(error)!r}: {remedy}") from error
    except ValueError as error:
        raise DataError(f"{expected} hold {file.name} ({error}): {remedy}") from error
    return content


def _check_content(content, file):
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ValueError(f"its SHA-256 must be {file.sha256[:16]}…, got {found[:16]}…")


# --- the cache: filled when a file is missing or wrong -------------------------------------------


def _from_cache(collection, file):
    path = cache() / collection / file.name
    failures = []
    for mirror in file.mirrors:
        try:
            _retrieve(_address(file, mirror), path, file)
            return path.read_bytes()
        except _NotSent as failure:
            failures.append(f"{urlsplit(mirror).netloc}: {failure}")
        except (OSError, ValueError) as error:  # ValueError: pooch reads it back, and it differs
            full = isinstance(error, OSError) and error.errno in NO_ROOM
            remedy = "make room there" if full else "make that folder one to read and write"
            raise DataError(
                f"{collection}: the cache {path.parent} must keep {file.name} of {file.size} "
                f"bytes, got {_reason(error)!r}: {remedy}, or {_by_hand(collection, file)}"
            ) from error
    again = f"again, since the copy at {path} is damaged" if path.exists() else "once"
    raise DataError(
        f"{collection}: {file.name} must be downloaded {again}, got {'; '.join(failures)}: connect "
        f"to the network and repeat the command, or {_by_hand(collection, file)}"
    )


def _retrieve(address, path, file):
    """Leave a good file as it is; else download into another file beside it, check, and rename."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # its news of each file would stand between our own lines
    try:
        pooch.retrieve(
            address,
            known_hash=f"sha256:{file.sha256}",
            fname=path.name,
            path=path.parent,
            downloader=partial(_download, file),
        )
    finally:
        logger.setLevel(level)


def _address(file, mirror):
    return f"{mirror}{file.name}.gz"


def _by_hand(collection, file):
    return (
        f"put {_address(file, file.mirrors[0])} into a folder as {collection}/{file.name}.gz and "
        f"name that folder in {VARIABLE}"
    )


def _reason(error):
    """What the system says of an error; pooch packs it into another one."""
    said = (getattr(one, "strerror", None) for one in (error, error.__cause__))
    return next(filter(None, said), str(error).partition(":")[0])


# --- the network: believed in nothing ------------------------------------------------------------


class _NotSent(Exception):
    """A mirror did not send the file; the message says what it did instead."""


def _download(file, address, output, _pooch):
    """Write the unpacked, checked content of an address to a path: pooch's kind of downloader."""
    with contextlib.closing(_chunks(file, address)) as chunks:
        try:
            content = idx.unpack(chunks, file.size)
            _check_content(content, file)
        except ValueError as error:
            raise _NotSent(f"another file ({error})") from error
    with open(output, "wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())


def _chunks(file, address):
    """Yield what the server sends, as it comes, for as long as it could be the file."""
    import requests
    from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

    try:
        with requests.Session() as session, _in_time(_open, session, address) as response:
            left = response.raw.length_remaining
            if left is not None and left > file.size + idx.SPARE:
                raise _NotSent(f"a file of {left} bytes, too many")
            begun, received = time.monotonic(), 0
            with _progress(file.name, left) as bar:
                # A read returns what has come: who sends a byte now and then is found out below.
                while chunk := response.raw.read1(CHUNK, decode_content=False):
                    received += len(chunk)
                    if bar is not None:
                        bar.update(len(chunk))
                    yield chunk
                    spent = time.monotonic() - begun
                    if spent > PATIENCE and received < SLOWEST * spent:
                        raise _NotSent(f"only {received} bytes in {spent:.0f} seconds")
    except (requests.Timeout, ReadTimeoutError):
        raise _NotSent(f"no answer within {TIMEOUT:g} seconds") from None
    except requests.exceptions.SSLError as error:
        raise _NotSent("no secure connection") from error
    except requests.ConnectionError as error:
        raise _NotSent("no connection") from error
    except ProtocolError as error:
        raise _NotSent("the connection broke off") from error
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise _NotSent(f"a broken answer ({type(error).__name__})") from error


def _open(session, address):
    """Return the response that a few redirects lead to."""
    # Left to itself, requests reads the whole body of a redirect, however long it is.
    session.get_redirect_target = lambda response: None
    for _ in range(REDIRECTS + 1):
        response = session.get(
            address, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
        )
        if response.status_code == 200:
            return response
        response.close()
        if not response.is_redirect:
            raise _NotSent(f"HTTP status {response.status_code}")
        address = urljoin(address, response.headers["Location"])
    raise _NotSent(f"more than {REDIRECTS} redirects")


def _in_time(function, *arguments):
    """Return what a function returns; give up when a server keeps it waiting byte by byte."""
    outcomes: queue.SimpleQueue = queue.SimpleQueue()

    def call():
        try:
            outcomes.put((function(*arguments), None))
        except Exception as error:
            outcomes.put((None, error))

    threading.Thread(target=call, daemon=True).start()
    try:
        result, error = outcomes.get(timeout=PATIENCE)
    except queue.Empty:
        raise _NotSent(f"no answer within {PATIENCE:g} seconds") from None
    try:
        if error is not None:
            raise error
        return result
    finally:
        del error  # else it and this frame hold each other, and a broken connection, alive


def _progress(name, total):
    """A bar of bytes that disappears at the end, on a terminal that has tqdm; else None."""
    with contextlib.suppress(ImportError):
        if sys.stderr.isatty():
            from tqdm import tqdm

            return tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False)
    return contextlib.nullcontext()
