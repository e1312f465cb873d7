"""Small jobs that kills.py and faults.py disturb: each knows what must be on the disk.

Every job has a folder of its own and works there on made-up things: nothing of the book's own is
touched. `wish(number)` asks for another outcome, `command` is what to run, `torn()` yields a
sentence for all that nobody may ever see, `wrong()` for what an undisturbed run must have mended.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import test_downloads
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_downloads import CHILD, CONTENT, NAME, RUN, SHA256
from test_experiments import GO, MADE_UP, records

from bnlib import checkpoints, downloads, layers

ROOT = Path(__file__).resolve().parent.parent


class Victim:
    """What all jobs have in common."""

    outcomes = 1  # how many there are, one for each wish

    def __init__(self, folder):
        self.folder, self.wanted = folder, 0
        folder.mkdir(parents=True)

    def wish(self, number):
        """Ask for one of the outcomes."""
        self.wanted = number

    def forget(self):
        """Begin from nothing, where a job goes on from what it finds."""

    def closed(self):
        """Give back what is held beside the folder."""

    def environment(self):
        """Variables of the job: all that it leaves behind stays in its folder."""
        own = {"TMPDIR": "tmp", "JUPYTER_RUNTIME_DIR": "tmp/jupyter", "IPYTHONDIR": "tmp/ipython"}
        for name in own.values():
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        found = {name: str(self.folder / place) for name, place in own.items()}
        found |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "*"}
        found |= {"PYTHONPATH": str(self.folder)}
        # A downloader that is given a folder downloads nothing.
        return {name: v for name, v in os.environ.items() if name != downloads.VARIABLE} | found

    def run(self, command=None, timeout=300):
        """Run to the end; return exit code and all that was said."""
        done = subprocess.run(
            command or self.command,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        return done.returncode, done.stdout


# --- experiments ---------------------------------------------------------------------------------


class Runner(Victim):
    """Forty seeds of a made-up experiment; the bytes of two runs are the same."""

    def __init__(self, folder, jobs=1):
        super().__init__(folder)
        for name, text in (("made_up", MADE_UP), ("go", GO)):
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        self.results, self.seeds = folder / "results", set()
        arguments = ["run", "slow", "--seeds", "40", "--jobs", str(jobs), "--results"]
        self.command = [sys.executable, "go.py", *arguments, str(self.results)]
        self.run()
        self.expected = contents(self.results)

    def environment(self):
        """Let a seed take a moment."""
        return super().environment() | {"SECONDS_PER_SEED": "0.02"}

    def wish(self, number):
        """Begin anew where all is there."""
        if (self.results / "slow.jsonl").exists():
            self.forget()

    def forget(self):
        """Begin without a seed."""
        shutil.rmtree(self.results, ignore_errors=True)
        self.seeds = set()

    def torn(self):
        """Yield what is half there or was lost."""
        path = self.results / "slow.jsonl"
        if path.exists():
            if path.read_bytes() != self.expected["slow.jsonl"]:
                yield "a file of results that is not the undisturbed one"
            return
        partial = sorted((self.results / records.PARTIAL / "slow").glob("*.json"))
        for seed in partial:
            try:
                json.loads(seed.read_text(encoding="utf-8"))
            except ValueError:
                yield f"the torn seed {seed.name}"
        found = {seed.name for seed in partial}
        if not self.seeds <= found:
            yield f"lost the seeds {sorted(self.seeds - found)}"
        self.seeds = found

    def wrong(self):
        """Yield what differs from an undisturbed run, files left behind included."""
        yield from differences(contents(self.results), self.expected)


# --- downloads -----------------------------------------------------------------------------------


class Downloader(Victim):
    """A file that a server on this machine hands out in slow pieces."""

    def __init__(self, folder):
        super().__init__(folder)
        self.server = test_downloads.Server()
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()
        mirror = self.server.mirror("slow", lambda to: test_downloads.in_parts(to, 0.005))
        self.path = folder / "made" / NAME
        self.begun = None  # what stands there before
        self.command = [sys.executable, "-c", CHILD + RUN, str(folder), mirror, NAME]
        self.command += [str(len(CONTENT)), SHA256]

    outcomes = 3

    def wish(self, number):
        """Ask for the file where none is, a torn one, or the whole one."""
        self.path.parent.mkdir(exist_ok=True)
        self.begun = (None, CONTENT[:5000], CONTENT)[number]
        self.path.unlink(missing_ok=True)
        if self.begun is not None:
            self.path.write_bytes(self.begun)

    def torn(self):
        """Yield it if another file than the one before or the whole one has the name."""
        found = self.path.read_bytes() if self.path.exists() else None
        if found not in (self.begun, CONTENT):
            yield f"{len(found or b'')} bytes under the file's name"

    def wrong(self):
        """Yield it if the file is not there whole."""
        if hashlib.sha256(self.path.read_bytes()).hexdigest() != SHA256:
            yield "the file is another one"

    def closed(self):
        """Stop the server."""
        self.server.stopping.set()
        self.server.shutdown()
        self.server.server_close()


# --- checkpoints ---------------------------------------------------------------------------------

SAVE = """
import sys
from pathlib import Path
from victims import network
from bnlib import checkpoints

path, count = Path("network.npz"), int(sys.argv[1])
told = Path("told").open("w")
for number in range(count):
    checkpoints.save(network(number), path)
    print(number, file=told, flush=True)
"""


def network(number):
    """The network number so and so, another one each time."""
    return layers.mlp([60, 40, 10], rng=np.random.default_rng(number))


class Saver(Victim):
    """Networks saved one after the other under one name."""

    count = 20

    def __init__(self, folder):
        super().__init__(folder)
        self.command = [sys.executable, "-c", SAVE, str(self.count)]
        self.path, self.told, self.before = folder / "network.npz", folder / "told", b""

    def environment(self):
        """Let it find this module."""
        return super().environment() | {"PYTHONPATH": str(ROOT / "tests")}

    def wish(self, number):
        """Save all of them again."""
        self.told.unlink(missing_ok=True)
        self.before = self.path.read_bytes() if self.path.exists() else b""

    def torn(self):
        """Yield it if the last network that was saved, or the next, cannot be loaded."""
        lines = self.told.read_text().split() if self.told.exists() else []
        if not lines and (not self.path.exists() or self.path.read_bytes() == self.before):
            return
        found = network(0)
        try:
            checkpoints.load(found, self.path)
        except (OSError, ValueError) as error:
            yield str(error)
            return
        if not any(same(found, network(n)) for n in (len(lines) - 1, len(lines)) if n >= 0):
            yield f"after {len(lines)} were saved, neither that network nor the next"

    def wrong(self):
        """Yield it if the last one is not there."""
        found = network(0)
        checkpoints.load(found, self.path)
        if not same(found, network(self.count - 1)):
            yield "the file is not the last network that was saved"


def same(one, two):
    """Whether two networks have the same numbers."""
    mine, other = one.state_dict(), two.state_dict()
    return all(np.array_equal(mine[name], other[name]) for name in mine)


# --- a book of two notebooks ---------------------------------------------------------------------

DOT = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
        "gg=="
    )
).decode()
HERO = f"""import base64

from IPython.display import Image

Image(base64.b64decode("{DOT}"))"""
CONTENTS = """format: jb-book
root: intro
chapters:
  - file: second
  - file: claims
  - file: references
"""
MARKS = re.compile(rb'\?v=[0-9a-f]{8}|"bytes": \d+')
VERDICTS = ("holds", "does not hold here")


class Book(Victim):
    """A tiny book with the real extensions; a wish is what its second page says."""

    outcomes = len(VERDICTS)
    script = "build.py"

    def __init__(self, folder, expected=None):
        super().__init__(folder)
        for name in ("_config.yml", "requirements.lock", "pyproject.toml", "CITATION.cff", "bnlib"):
            copied(ROOT / name, folder / name)
        for name in ("_make", "_assets", "_extensions", "_templates", "claims.yml"):
            copied(ROOT / "book" / name, folder / "book" / name)
        for name in ("references.bib", "references.md"):
            copied(ROOT / "book" / name, folder / "book" / name)
        (folder / "results").mkdir()
        self.book = folder / "book"
        (self.book / "_toc.yml").write_text(CONTENTS, encoding="utf-8")
        for name in ("claims.md", "claims.csv", "effects.csv"):
            (self.book / name).write_text("# None yet\n", encoding="utf-8")
        self.command = [sys.executable, f"book/_make/{self.script}"]
        page(self.book / "intro.ipynb", "Begin", HERO, "hero")
        self.expected = expected or []

    def learn(self):
        """Run undisturbed for each wish, from nothing, and remember what comes of it."""
        for number in range(self.outcomes):
            self.wish(number)
            self.forget()
            code, said = self.run()
            if code:
                raise RuntimeError(f"{self.script} failed undisturbed:\n{said}")
            self.expected.append(self.outcome())
        return self

    def wish(self, number):
        """Write the second page anew."""
        super().wish(number)
        code = f'print("verdict C01: {VERDICTS[number]}")'
        page(self.book / "second.ipynb", f"Go on to {number}", code, "says")

    def forget(self):
        """Begin from nothing."""
        shutil.rmtree(self.folder / "_build", ignore_errors=True)

    def outcome(self):
        """The site, without the marks that tell browsers that a file is new."""
        found = contents(self.folder / "_build" / "html")
        return {name: MARKS.sub(b"", content) for name, content in found.items()}

    def torn(self):
        """Yield it if the mark of a finished build stands beside pages of no such build."""
        built = self.folder / "_build" / "built.txt"
        if built.exists() and built.read_bytes() and self.outcome() not in self.expected:
            yield "the mark of a finished build, and pages of none"

    def wrong(self):
        """Yield what differs from the undisturbed outcome of this wish."""
        yield from differences(self.outcome(), self.expected[self.wanted])


class Notebooks(Book):
    """The notebooks of the same book, run again and stored."""

    script = "notebooks.py"

    def __init__(self, folder, expected=None):
        self.before = {}
        super().__init__(folder, expected)

    def wish(self, number):
        """Write the second page anew, without outputs."""
        super().wish(number)
        self.before = self.outcome()

    def forget(self):
        """There is nothing beside the notebooks."""

    def outcome(self):
        """Notebooks, ledger, tables and picture, and whatever else is there."""
        return contents(self.book, "*.*") | contents(self.book / "_assets", "company.png")

    def torn(self):
        """Yield what is neither as it was before nor as any run makes it."""
        may = [self.before, *self.expected]
        for name, content in self.outcome().items():
            if not name.endswith(".new") and content not in [one.get(name) for one in may]:
                yield f"{name}, {len(content)} bytes, is neither the old nor the new one"


def page(path, title, code, name):
    """Write a notebook of one cell of text and one of code."""
    cells = [
        new_markdown_cell(f"(label-{path.stem})=\n# {title}", id="title"),
        new_code_cell(code, id=name),
    ]
    path.write_text(nbformat.writes(new_notebook(cells=cells)), encoding="utf-8")


# --- files ---------------------------------------------------------------------------------------


def copied(source, target):
    """Copy a file or a folder without what Python compiled."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def contents(folder, pattern="**/*"):
    """All files below a folder, with their bytes."""
    paths = sorted(path for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def differences(found, expected):
    """Yield a sentence for each file that is missing, that is too many, or that differs."""
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} is too many"
        elif found[name] != expected[name]:
            yield f"{name} differs"


def survivors(folder, seconds=15):
    """How many processes of a job are still there so and so long after its end (Linux)."""
    mark, end = f"TMPDIR={folder / 'tmp'}\0".encode(), time.monotonic() + seconds
    while found := sum(mark in environment(path) for path in Path("/proc").glob("[0-9]*/environ")):
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return found


def environment(path):
    """The variables of a process, nothing if it is gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
