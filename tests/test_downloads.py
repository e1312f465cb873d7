"""Downloads: whatever a server, a disk or a reader of the cache does, the right file or a sentence.

Every server here is one of our own, on this machine; nothing reaches out.
"""

import contextlib
import errno
import gzip
import hashlib
import multiprocessing
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bnlib import datasets, downloads
from bnlib.downloads import DataError, File

pytest.importorskip("pooch")

ARRAY = np.random.default_rng(0).integers(0, 256, size=(50, 20, 20)).astype(np.uint8)
HEADER = bytes([0, 0, 8, 3]) + struct.pack(">3I", *ARRAY.shape)
CONTENT = HEADER + ARRAY.tobytes()
PACKED = gzip.compress(CONTENT, mtime=0)
NAME = "t10k-images-idx3-ubyte"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


# --- a server for every occasion -----------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Does for each address what the function in `answers` under its first folder does."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.stopping = {}, [], threading.Event()

    def mirror(self, name, answer):
        self.answers[name] = answer
        return f"http://127.0.0.1:{self.server_port}/{name}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have had enough
            self.server.answers[self.path.split("/")[1]](self)

    def log_message(self, *_):
        pass

    def head(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def wait(self, seconds=60):
        """Go on when the test is over."""
        self.server.stopping.wait(seconds)

    def for_ever(self, data, pause=0):
        while not self.server.stopping.wait(pause):
            self.wfile.write(data)


@pytest.fixture
def server():
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.stopping.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Return an empty cache."""
    monkeypatch.delenv(downloads.VARIABLE, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(downloads, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "made"


def good(handler):
    handler.head(Content_Length=str(len(PACKED)))
    handler.wfile.write(PACKED)


def sends(body, status=200, **headers):
    def answer(handler):
        handler.head(status, **{"Content_Length": str(len(body)), **headers})
        handler.wfile.write(body)

    return answer


def file(*mirrors):
    return File(NAME, len(CONTENT), SHA256, mirrors)


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def refused(wanted, *words):
    """A sentence with these words and with what to do; returns it."""
    with pytest.raises(DataError) as caught:
        downloads.load("made", wanted)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.startswith("made: "), sentence
    assert all(word in sentence for word in (*words, downloads.VARIABLE)), sentence
    return sentence


# --- a good server -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("collection", "file", "error", "says"),
    [
        (3, None, TypeError, "collection must be text, got 3"),
        ("..", None, ValueError, "collection must be a folder's name, got '..'"),
        ("mnist/..", None, ValueError, "collection must be a folder's name, got 'mnist/..'"),
        ("mnist", ("a", 3), TypeError, "file must be a File, got tuple"),
    ],
)
def test_what_is_no_collection_or_no_file_is_refused(collection, file, error, says):
    with pytest.raises(error, match=rf"^downloads\.load: {re.escape(says)}$"):
        downloads.load(collection, file)


def test_a_file_is_downloaded_once(server, cache):
    wanted = file(server.mirror("good", good))
    for _ in range(3):
        found = downloads.load("made", wanted)
        assert found.dtype == np.uint8 and (found == ARRAY).all()
    assert server.asked == [f"/good/{NAME}.gz"]
    assert files_in(cache) == [NAME] and (cache / NAME).read_bytes() == CONTENT


def in_chunks(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.head(Transfer_Encoding="chunked", Connection="close")
    for at in range(0, len(PACKED), 5000):
        part = PACKED[at : at + 5000]
        handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")


def without_length(handler):
    handler.head()
    handler.wfile.write(PACKED)


def one_redirect(handler):
    if handler.path.endswith(".gz"):
        return handler.head(302, Location="elsewhere?x=1", Content_Length="0")
    return good(handler)


def five_redirects(handler):
    done = int(handler.path.rpartition("?")[2]) if "?" in handler.path else 0
    if done < 5:
        return handler.head(301, Location=f"?{done + 1}", Content_Length="0")
    return good(handler)


@pytest.mark.parametrize(
    "answer",
    [
        in_chunks,
        without_length,
        one_redirect,
        five_redirects,
        sends(gzip.compress(CONTENT, 1)),  # packed by somebody else: the content counts
        sends(gzip.compress(CONTENT, 0)),
        sends(PACKED, Content_Encoding="gzip"),  # some servers call the file's own packing theirs
        sends(PACKED, Content_Type="text/html"),
        sends(PACKED, Content_Length="unknown"),
    ],
)
def test_the_ways_of_good_servers(server, answer):
    assert (downloads.load("made", file(server.mirror("good", answer))) == ARRAY).all()


def test_pooch_says_nothing_and_may_speak_again(server, capfd):
    import pooch

    level = pooch.get_logger().level
    downloads.load("made", file(server.mirror("good", good)))
    assert capfd.readouterr() == ("", "")
    assert pooch.get_logger().level == level


def test_a_terminal_sees_a_bar(server, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    downloads.load("made", file(server.mirror("good", good)))
    told = capsys.readouterr()
    assert NAME in told.err and "B/s" in told.err and told.out == ""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    downloads.load("other", file(server.mirror("good", good)))
    assert capsys.readouterr() == ("", "")


# --- faults of the server ------------------------------------------------------------------------


def silent(handler):
    handler.wait()


def drips_headers(handler):
    handler.send_response(200)
    handler.flush_headers()
    handler.for_ever(b"X", pause=0.05)


def stalls(handler):
    handler.head(Content_Length=str(len(PACKED)))
    handler.wfile.write(PACKED[:3000])
    handler.wait()


def drips(handler):
    handler.head(Content_Length=str(len(PACKED)))
    for byte in PACKED:
        handler.wfile.write(bytes([byte]))
        if handler.server.stopping.wait(0.05):
            break


def hangs_up_at_once(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def hangs_up_in_the_middle(handler):
    handler.head(Content_Length=str(len(PACKED)))
    handler.wfile.write(PACKED[:3000])


def resets(handler):
    handler.head(Content_Length=str(len(PACKED)))
    handler.wfile.write(PACKED[:3000])
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def endless(begin, again):
    def answer(handler):
        handler.head()
        handler.wfile.write(begin)
        handler.for_ever(again * 1000)

    return answer


def endless_headers(handler):
    handler.send_response(200)
    handler.flush_headers()
    handler.for_ever(b"X-More: and more\r\n")


def one_endless_header(handler):
    handler.send_response(200)
    handler.flush_headers()
    handler.for_ever(b"X-More" * 100)


def not_http(handler):
    handler.wfile.write(b"220 ftp ready\r\n" * 3)


def broken_chunks(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.head(Transfer_Encoding="chunked", Connection="close")
    handler.wfile.write(b"zz\r\n" + PACKED[:100])


def redirects(place, body=b"", again=b""):
    def answer(handler):
        handler.head(302, Location=place)
        handler.wfile.write(body)
        if again:
            handler.for_ever(again)

    return answer


BOMB = gzip.compress(HEADER + bytes(30_000_000))
WRONG = bytearray(CONTENT)
WRONG[5000] ^= 1
LONGER = HEADER[:7] + bytes([51]) + HEADER[8:] + ARRAY.tobytes() + bytes(400)

SLOW_FAULTS = {  # and the limit that ends them
    "silent": (silent, "TIMEOUT", "no answer within 1 seconds"),
    "stalls in the middle": (stalls, "TIMEOUT", "no answer within 1 seconds"),
    "drips": (drips, "PATIENCE", " seconds: connect"),
    "drips headers": (drips_headers, "PATIENCE", "no answer within 1 seconds"),
}
SERVER_FAULTS = {
    "hangs up at once": (hangs_up_at_once, "no connection"),
    "hangs up in the middle": (hangs_up_in_the_middle, "the connection broke off"),
    "resets the connection": (resets, "the connection broke off"),
    "not HTTP": (not_http, "no connection"),
    "endless headers": (endless_headers, "no connection"),
    "one endless header": (one_endless_header, "no connection"),
    "status 403": (sends(b"no", 403), "HTTP status 403"),
    "status 404": (sends(b"no", 404), "HTTP status 404"),
    "status 429": (sends(b"later", 429), "HTTP status 429"),
    "status 500": (sends(b"oh", 500), "HTTP status 500"),
    "status 503 with a file": (sends(PACKED, 503), "HTTP status 503"),
    "status 206": (sends(PACKED[:500], 206), "HTTP status 206"),
    "status 204": (sends(b"", 204), "HTTP status 204"),
    "empty": (sends(b""), "ends after 0 bytes"),
    "a web page": (sends(b"<!DOCTYPE html><p>Log in to the Wi-Fi"), "another file (idx: a file"),
    "a packed web page": (sends(gzip.compress(b"<!DOCTYPE html>")), "begin with the bytes 00 00"),
    "a cut file": (sends(PACKED[:-20]), "must be whole"),
    "too short a length": (sends(PACKED, Content_Length="1000"), "ends after 1000 bytes"),
    "too great a length": (sends(PACKED, Content_Length="20500"), "the connection broke off"),
    "a length of 10 GB": (sends(PACKED, Content_Length="10000000000"), "too many"),
    "two lengths": (sends(PACKED, Content_Length="5, 7"), "a broken answer"),
    "broken chunks": (broken_chunks, "the connection broke off"),
    "bytes behind": (sends(PACKED + b"more"), "bytes behind it"),
    "a flipped bit": (sends(PACKED[:9000] + bytes([PACKED[9000] ^ 1]) + PACKED[9001:]), "idx: "),
    "another image": (sends(gzip.compress(WRONG)), "its SHA-256 must be"),
    "more images": (sends(gzip.compress(LONGER)), f"must announce {len(CONTENT)} bytes"),
    "another IDX type": (sends(gzip.compress(b"\0\0\x0d" + CONTENT[3:])), "must announce"),
    "a bomb": (sends(BOMB), "got more"),
    "zeros for ever": (endless(b"", bytes(10)), "got damage"),
    "nothing, packed, for ever": (endless(PACKED[:10], b"\0\0\0\xff\xff"), "take less room"),
    # Bytes behind it, or more than there may be: the pieces in which they come decide.
    "files for ever": (endless(PACKED, PACKED[:50]), "another file (idx: "),
    "a bomb for ever": (endless(BOMB[:9000], BOMB[9000:9050]), "got more"),
    "redirected to itself": (redirects(f"{NAME}.gz"), "more than 5 redirects"),
    "redirected with an endless body": (
        redirects(f"{NAME}.gz", again=b"on" * 9999),
        "more than 5 redirects",
    ),
    "redirected to a file": (redirects("file:///etc/passwd"), "a broken answer (InvalidSchema)"),
    "redirected to nonsense": (redirects("http://[::1/"), "a broken answer"),
    "redirected nowhere": (lambda handler: handler.head(302), "HTTP status 302"),
    "redirected to a closed port": (redirects("http://127.0.0.1:1/"), "no connection"),
}


@pytest.mark.parametrize(("answer", "limit", "words"), SLOW_FAULTS.values(), ids=SLOW_FAULTS)
def test_fault_of_a_slow_server(server, cache, monkeypatch, answer, limit, words):
    wanted = file(server.mirror("bad", answer))
    with monkeypatch.context() as patch:
        patch.setattr(downloads, limit, 1)
        refused(wanted, words, "127.0.0.1", "must be downloaded once")
    assert files_in(cache) == []
    assert (downloads.load("made", file(server.mirror("good", good))) == ARRAY).all()


@pytest.mark.parametrize(("answer", "words"), SERVER_FAULTS.values(), ids=SERVER_FAULTS)
def test_fault_of_a_server(server, cache, answer, words):
    bad = file(server.mirror("bad", answer))
    sentence = refused(bad, words, "127.0.0.1", "must be downloaded once")
    assert len(sentence) < 500
    assert files_in(cache) == []
    # The next mirror is asked.
    both = bad._replace(mirrors=(*bad.mirrors, server.mirror("good", good)))
    assert (downloads.load("made", both) == ARRAY).all()
    assert files_in(cache) == [NAME]


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


def unknown_host(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def unreachable(*_, **__):
    raise OSError(errno.ENETUNREACH, "Network is unreachable")


NETWORK_FAULTS = {
    "closed port": (None, None, "no connection"),
    "unknown host": ("getaddrinfo", unknown_host, "no connection"),
    "no network": ("create_connection", unreachable, "no connection"),
    "TLS where there is none": ("https", None, "no secure connection"),
}


@pytest.mark.parametrize(("what", "fault", "words"), NETWORK_FAULTS.values(), ids=NETWORK_FAULTS)
def test_fault_of_the_network(server, cache, monkeypatch, what, fault, words):
    mirror = server.mirror("good", good) if what == "https" else closed_port()
    if what == "https":
        mirror = mirror.replace("http:", "https:")
        monkeypatch.setattr(server, "handle_error", lambda *_: None)
    elif what == "create_connection":
        from urllib3.util import connection

        monkeypatch.setattr(connection, what, fault)
    elif what:
        monkeypatch.setattr(socket, what, fault)
    refused(file(mirror), words, "connect to the network", f"as made/{NAME}.gz")
    assert files_in(cache) == []


def test_all_mirrors_are_named_in_the_sentence(server):
    mirrors = (
        server.mirror("a", sends(b"", 404)),
        closed_port(),
        server.mirror("b", sends(b"", 500)),
    )
    sentence = refused(file(*mirrors), "HTTP status 404; ", "no connection; ", "HTTP status 500: ")
    assert sentence.count("127.0.0.1:") == 4  # and the address to fetch by hand


def test_no_more_is_read_than_could_be_the_file(server):
    sent = []

    def generous(handler):
        handler.head()
        handler.wfile.write(PACKED[:10])
        for _ in range(1000):
            handler.wfile.write(b"\0\0\0\xff\xff" * 20_000)
            sent.append(100_000)

    refused(file(server.mirror("generous", generous)), "take less room")
    assert sum(sent) < 20_000_000  # what the sockets buffer, and not 100 MB


# --- faults of the disk --------------------------------------------------------------------------


def failing(error, text):
    def fails(*_, **__):
        raise OSError(error, text)

    return fails


class Full:
    """A file on a disk that takes no byte."""

    def __init__(self, path, mode):
        self.path = Path(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, data):
        self.path.write_bytes(data[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")


def lost_bytes(path, mode):
    """A disk that loses what was written, and says nothing."""
    return open(Path(path).parents[2] / "lost", mode)


DISK_FAULTS = {
    "full": (downloads, "open", Full, "'No space left on device': make room there"),
    "quota": (os, "fsync", failing(errno.EDQUOT, "Disk quota exceeded"), "make room there"),
    "broken": (os, "fsync", failing(errno.EIO, "Input/output error"), "'Input/output error'"),
    "loses bytes": (downloads, "open", lost_bytes, "SHA256 hash of downloaded file"),
    "no folder can be made": (
        os,
        "makedirs",
        failing(errno.EACCES, "No"),
        "'No': make that folder",
    ),
    "read-only": (
        "tempfile",
        "NamedTemporaryFile",
        failing(errno.EROFS, "Read-only file system"),
        "'Read-only file system': make that folder one to read and write",
    ),
    "no name can be given": (
        "shutil",
        "move",
        failing(errno.EPERM, "Operation not permitted"),
        "'Operation not permitted'",
    ),
}


@pytest.mark.parametrize("older", [None, b"torn"], ids=["empty cache", "damaged cache"])
@pytest.mark.parametrize(("where", "what", "fault", "words"), DISK_FAULTS.values(), ids=DISK_FAULTS)
def test_fault_of_the_disk(server, cache, monkeypatch, older, where, what, fault, words):
    if older:
        cache.mkdir(parents=True)
        (cache / NAME).write_bytes(older)
    elif what == "makedirs":
        assert not cache.exists()
    wanted = file(server.mirror("good", good), server.mirror("second", good))
    module = sys.modules[where] if isinstance(where, str) else where
    with monkeypatch.context() as patch:
        patch.setattr(module, what, fault, raising=False)
        if not (older and what == "makedirs"):  # there is a folder already
            refused(wanted, words, str(cache), f"of {len(CONTENT)} bytes")
            assert len(server.asked) <= 1  # another mirror would not help
    assert files_in(cache) == ([NAME] if older else [])
    assert not older or (cache / NAME).read_bytes() == older
    assert (downloads.load("made", wanted) == ARRAY).all()


def test_fault_a_file_where_the_folder_should_be(server, cache):
    cache.parent.mkdir()
    cache.write_bytes(b"mine")
    refused(file(server.mirror("good", good)), str(cache), "make that folder one to read and write")
    assert cache.read_bytes() == b"mine"


def test_fault_a_folder_where_the_file_should_be(server, cache):
    (cache / NAME).mkdir(parents=True)
    (cache / NAME / "mine").write_bytes(b"mine")
    refused(file(server.mirror("good", good)), "'Is a directory'")
    assert files_in(cache) == ["mine"]


CHILD = """
import sys
from pathlib import Path
from bnlib import datasets, downloads
from bnlib.downloads import File

cache, mirror, name, size, sha256 = sys.argv[1:6]
downloads.cache = lambda: Path(cache)
datasets.PUBLISHED = {"made": {"images": File(name, int(size), sha256, (mirror,))}}
"""


def child(script, cache, mirror, **options):
    """Start Python with the made-up data set; `cache` is the folder of all collections."""
    arguments = [str(cache), mirror, NAME, str(len(CONTENT)), SHA256]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def outcome(process):
    """Return code, output and complaint of a process that ends soon."""
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of files")
def test_fault_a_real_limit_of_the_disk(server, cache):
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
sys.exit(datasets.main(["fetch", "made"]))
"""
    process = child(script, cache.parent, server.mirror("good", good))
    code, out, err = outcome(process)
    assert code == 1 and out == "" and err.count("\n") == 1, err
    assert "'File too large': make room there" in err
    assert files_in(cache) == []


# --- faults of the cache -------------------------------------------------------------------------

CACHE_FAULTS = {
    "empty": b"",
    "torn": CONTENT[:10_000],
    "a flipped bit": bytes(WRONG),
    "longer": CONTENT + b"\0",
    "packed": PACKED,
    "a web page": b"<!DOCTYPE html>",
}


@pytest.mark.parametrize("content", CACHE_FAULTS.values(), ids=CACHE_FAULTS)
def test_fault_in_the_cache(server, cache, content):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(content)
    refused(file(closed_port()), "again, since the copy at", str(cache / NAME), "is damaged")
    assert (cache / NAME).read_bytes() == content
    assert (downloads.load("made", file(server.mirror("good", good))) == ARRAY).all()
    assert len(server.asked) == 1 and files_in(cache) == [NAME]
    assert (cache / NAME).read_bytes() == CONTENT


@pytest.mark.skipif(sys.platform == "win32", reason="the folder's own mode counts on POSIX only")
def test_a_cache_that_is_filled_and_read_only_is_enough(server, cache, monkeypatch):
    downloads.load("made", file(server.mirror("good", good)))
    cache.chmod(0o500)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", failing(errno.EROFS, "Read-only"))
    try:
        assert (downloads.load("made", file(closed_port())) == ARRAY).all()
    finally:
        cache.chmod(0o700)


def test_without_pooch_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.undo()
    monkeypatch.delenv(downloads.VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"run pip install 'bnlib\[data\]', or name a folder"):
        downloads.load("made", file("http://127.0.0.1:1/"))


def test_the_cache_is_the_user_s_own(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert downloads.cache().name in ("bnlib", "Cache")
    if sys.platform == "linux":
        assert downloads.cache() == tmp_path / "bnlib"


# --- faults of the folder ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of the collection in the folder that BNLIB_DATA names."""
    made = tmp_path / "data" / "made"
    made.mkdir(parents=True)
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path / "data"))
    return made


def test_a_folder_is_read_and_nothing_is_downloaded(server, folder, cache, monkeypatch):
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(CONTENT, 1))
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert (downloads.load("made", file(server.mirror("good", good))) == ARRAY).all()
    assert server.asked == [] and not cache.exists()
    monkeypatch.setenv("HOME", str(folder.parent.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent.parent))
    monkeypatch.setenv(downloads.VARIABLE, "~/data")
    assert (downloads.load("made", file("unused/")) == ARRAY).all()


def test_an_empty_variable_names_no_folder(server, monkeypatch):
    monkeypatch.setenv(downloads.VARIABLE, "")
    assert (downloads.load("made", file(server.mirror("good", good))) == ARRAY).all()


FOLDER_FAULTS = {
    "missing": (None, "'No such file or directory'"),
    "empty": (b"", "ends after 0 bytes"),
    "torn": (PACKED[:5000], "must be whole"),
    "not packed": (CONTENT, "got damage"),
    "a web page": (b"<!DOCTYPE html>", "got damage"),
    "tampered with": (gzip.compress(WRONG), "its SHA-256 must be"),
    "another magic number": (gzip.compress(b"\1" + CONTENT[1:]), "bytes 00 00, got 01 00"),
    "another size": (gzip.compress(LONGER), "must announce"),
    "bytes behind": (PACKED + b"\0", "bytes behind it"),
    "a bomb": (BOMB, "got more"),
}


@pytest.mark.parametrize(("content", "words"), FOLDER_FAULTS.values(), ids=FOLDER_FAULTS)
def test_fault_in_the_folder(server, folder, cache, content, words):
    path = folder / f"{NAME}.gz"
    if content is not None:
        path.write_bytes(content)
    refused(file(server.mirror("good", good)), words, str(path), "put there what", "or unset")
    assert content is None or path.read_bytes() == content  # never deleted, never mended
    assert server.asked == [] and not cache.exists() and len(files_in(folder)) <= 1


def test_fault_no_such_folder(folder, monkeypatch):
    monkeypatch.setenv(downloads.VARIABLE, str(folder / "nowhere"))
    refused(file("unused/"), "'No such file or directory'", str(folder / "nowhere"))


def test_fault_a_folder_that_may_not_be_read(folder, monkeypatch):
    (folder / f"{NAME}.gz").write_bytes(PACKED)
    fault = failing(errno.EACCES, "Permission denied")
    monkeypatch.setattr(downloads, "open", fault, raising=False)
    refused(file("unused/"), "'Permission denied'")


# --- several processes, and ends before the end --------------------------------------------------


def in_parts(handler, pause=0.02):
    """Good, but takes a second: the other process begins meanwhile."""
    handler.head(Content_Length=str(len(PACKED)))
    for at in range(0, len(PACKED), 400):
        handler.wfile.write(PACKED[at : at + 400])
        handler.wait(pause)


def load_in_a_process(cache, mirror, begin, results):
    downloads.cache = lambda: cache
    begin.wait(30)
    results.put(downloads.load("made", file(mirror)).tobytes())


def test_two_processes_at_once(server, cache):
    context = multiprocessing.get_context("spawn")
    begin, results = context.Barrier(2), context.Queue()
    arguments = (cache.parent, server.mirror("slow", in_parts), begin, results)
    processes = [context.Process(target=load_in_a_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    try:
        assert [results.get(timeout=60) for _ in processes] == [ARRAY.tobytes()] * 2
    finally:
        for process in processes:
            process.join(30)
            process.kill()
    assert files_in(cache) == [NAME] and (cache / NAME).read_bytes() == CONTENT
    assert len(server.asked) == 2  # both had begun


def test_a_reader_beside_a_writer_sees_the_old_file_or_the_new_one(server, cache):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(b"torn")
    seen, done = set(), threading.Event()

    def watch():
        while not done.is_set():
            seen.add((cache / NAME).read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        downloads.load("made", file(server.mirror("good", good)))
    finally:
        done.set()
        watcher.join()
    assert seen <= {b"torn", CONTENT}


RUN = 'sys.exit(datasets.main(["fetch", "made"]))'


def wait_for_a_request(server):
    for _ in range(6000):
        if server.asked:
            return
        time.sleep(0.02)
    pytest.fail("the process asked for nothing", pytrace=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console")
@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_ends_with_130_and_leaves_nothing(server, cache, times):
    process = child(RUN, cache.parent, server.mirror("bad", stalls))
    wait_for_a_request(server)
    for _ in range(times):
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
    code, out, err = outcome(process)
    assert code == 130 and out == "" and err.count("\n") == 1, err
    assert err.startswith("Interrupted.") and files_in(cache) == []


def test_a_kill_in_the_middle_does_no_harm(server, cache):
    process = child(RUN, cache.parent, server.mirror("bad", stalls))
    wait_for_a_request(server)
    process.kill()
    outcome(process)
    assert NAME not in files_in(cache)
    assert (downloads.load("made", file(server.mirror("good", good))) == ARRAY).all()


# --- python -m bnlib.datasets --------------------------------------------------------------------


def test_the_command_fetches_once_and_says_one_line(server, cache):
    for _ in range(2):
        code, out, err = outcome(child(RUN, cache.parent, server.mirror("good", good)))
        assert (code, err) == (0, "") and out == f"made: 1 files in {cache}, each as it must be\n"
    assert len(server.asked) == 1


@pytest.fixture
def published(monkeypatch):
    """Publish one made-up collection at an address."""

    def publish(mirror):
        monkeypatch.setattr(datasets, "PUBLISHED", {"made": {"images": file(mirror)}})

    return publish


def test_the_command_says_what_failed(server, published, capsys):
    published(server.mirror("bad", sends(b"", 404)))
    assert datasets.main(["fetch", "made"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "HTTP status 404" in err


def test_the_command_checks_the_folder(published, folder, capsys):
    published("unused/")
    assert datasets.main(["fetch", "made"]) == 1
    assert "put there what" in capsys.readouterr().err
    (folder / f"{NAME}.gz").write_bytes(PACKED)
    assert datasets.main(["fetch", "made", "made"]) == 0
    assert capsys.readouterr().out == f"made: 1 files in {folder}, each as it must be\n"


@pytest.mark.parametrize(
    "arguments", [[], ["fetch"], ["fetch", "made", "imagenet"], ["fly"], ["-x"]]
)
def test_a_wrong_wish_ends_with_2(published, capsys, arguments):
    published("unused/")
    with pytest.raises(SystemExit) as caught:
        datasets.main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "--help tells more" in err


def test_help_and_the_real_names(capsys):
    command = [sys.executable, "-m", "bnlib.datasets", "fetch", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "mnist, notmnist" in shown
    assert sorted(datasets.PUBLISHED) == ["mnist", "notmnist"]


def test_what_is_published_is_well_described():
    every = [each for files in datasets.PUBLISHED.values() for each in files.values()]
    assert len(every) == 6 and len({each.sha256 for each in every}) == 6
    for each in every:
        assert re.fullmatch("[0-9a-f]{64}", each.sha256)
        assert each.mirrors and all(re.fullmatch("https://.*/", each) for each in each.mirrors)
        assert each.size in (8 + 60_000, 8 + 10_000, 16 + 784 * 60_000, 16 + 784 * 10_000)
