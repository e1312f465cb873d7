"""A full disk, a clock that goes back, two runs at once: the old or the new outcome, and a word.

    python tests/faults.py              all of them
    python tests/faults.py disk clock   these

The jobs are those of kills.py, each in a temporary folder. A full disk is a real one, of memory:
to mount it takes root on Linux, and without that the step says that it was left out.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from victims import (
    Book,
    Downloader,
    Notebooks,
    Runner,
    Saver,
    contents,
    differences,
    network,
)

from bnlib import checkpoints

DAY = 86_400
PAGE = 4096  # what a disk of memory is made of, in bytes


# --- a full disk ---------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder, size="24m"):
    """Put a disk of memory where the folder is, with what is in it."""
    kept = contents(folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        for name, content in kept.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield folder / "filler"
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(filler, pages=0):
    """Write until nothing more fits, then leave room for so many pages of memory."""
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while file.write(b"\0" * PAGE):
            pass
    os.truncate(filler, max(0, filler.stat().st_size - pages * PAGE))


def mountable(folder):
    """Whether disks may be mounted here."""
    folder.mkdir()
    try:
        with small_disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def refused(name, victim, before, folder):
    """Run on a full disk: yield it if it says nothing short, or changes what was there."""
    code, said = victim.run()
    lines = [line for line in said.splitlines() if line]
    if not code or "No space left" not in said or "Traceback" in said:
        yield f"{name}: on a full disk exit code {code} and {lines[-1:]}"
    yield from (f"{name}, full disk: {it}" for it in differences(contents(folder), before))


def disk(root):
    """Yield what goes wrong on a full disk, and after room was made."""
    if not mountable(root / "try"):
        print("disk: left out: no disk can be mounted here, which takes root on Linux")
        return
    yield from full_for_the_saver(root / "saver")
    downloader = Downloader(root / "downloader")
    downloader.wish(1)
    runner = Runner(root / "runner")
    runner.wish(0)
    runner.results.mkdir()
    for name, victim, folder in (
        ("downloader", downloader, downloader.path.parent),
        ("runner", runner, runner.results),
    ):
        with small_disk(folder) as filler:
            fill(filler)
            yield from refused(name, victim, contents(folder), folder)
            filler.unlink()
            yield from room_again(name, victim)
    downloader.closed()
    yield from full_for_the_notebooks(root / "notebooks")
    yield from full_for_the_book(root / "book")


def full_for_the_saver(folder):
    """Yield it if a network that does not fit harms the one that is there."""
    folder.mkdir()
    with small_disk(folder) as filler:
        checkpoints.save(network(0), folder / "network.npz")
        fill(filler)
        before = contents(folder)
        try:
            checkpoints.save(network(1), folder / "network.npz")
            yield "saver: a full disk took a file"
        except OSError as error:
            if "No space left" not in str(error):
                yield f"saver: on a full disk it said {error}"
        yield from (f"saver, full disk: {it}" for it in differences(contents(folder), before))
        checkpoints.load(network(0), folder / "network.npz")


def full_for_the_notebooks(folder):
    """Yield it if a run that finds room for none or some of its files leaves a torn one."""
    notebooks = Notebooks(folder).learn()
    for pages in (0, 1, 2, 4, 8, 16):
        notebooks.wish(0)  # the ledger that is there has the other outcome
        with small_disk(notebooks.book) as filler:
            fill(filler, pages)
            if pages:
                yield from some_room(notebooks, pages)
            else:
                yield from refused("notebooks", notebooks, contents(notebooks.book), notebooks.book)
            filler.unlink()
            yield from room_again("notebooks", notebooks)


def some_room(notebooks, pages):
    """Yield it if a run that may end well or not leaves what no run makes, or says nothing."""
    code, said = notebooks.run()
    if code and ("No space left" not in said or "Traceback" in said):
        yield f"notebooks: with {pages} pages free exit code {code}: {said[-300:]}"
    yield from (f"notebooks, {pages} pages free: {it}" for it in notebooks.torn())
    if not code:
        yield from (f"notebooks, {pages} pages were enough: {it}" for it in notebooks.wrong())


def room_again(name, victim):
    """Yield it if the job cannot be done once there is room."""
    code, said = victim.run()
    if code:
        yield f"{name}: with room again exit code {code}: {said[-500:]}"
    yield from (f"{name}, with room again: {it}" for it in victim.wrong())


def full_for_the_book(folder):
    """Yield it if a build on disks of several sizes is taken for one, or cannot be mended."""
    book = Book(folder).learn()
    for size in ("200k", "1m", "2500k"):
        book.forget()
        (folder / "_build").mkdir()
        with small_disk(folder / "_build", size):
            code, said = book.run()
            told = "No space left" in said or "disk is full" in said  # as SQLite says it
            if not code or "not built" not in said or not told:
                yield f"book: on a disk of {size} exit code {code}: {said[-300:]}"
            yield from (f"book, full disk: {it}" for it in book.torn())
            subprocess.run(["mount", "-o", "remount,size=100m", folder / "_build"], check=True)
            yield from room_again("book", book)


# --- a clock that goes back ----------------------------------------------------------------------


def dated(path, days):
    """Date a file, or all files below a folder, so many days from now."""
    moment = time.time() + days * DAY
    for one in [path, *path.glob("**/*")]:
        os.utime(one, (moment, moment))


def clock(root):
    """Yield what is stale where new files look old, and old ones as if of tomorrow."""
    downloader = Downloader(root / "downloader")
    downloader.wish(1)
    dated(downloader.path, 1)
    downloader.run()
    yield from (f"downloader: {it}" for it in downloader.wrong())
    downloader.closed()

    book = Book(root / "book").learn()
    for name, old, new, shown in EDITS:
        path = book.folder / name
        text = path.read_text(encoding="utf-8")
        if old not in text:
            yield f"{name} has no {old!r} to edit"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        dated(path, -1)
        dated(book.folder / "_build" / "html", 1)
        code, said = book.run()
        if code:
            yield f"book: after an edit of {name} exit code {code}: {said[-500:]}"
        if shown.encode() not in book.outcome()["claims.html"]:
            yield f"book: {new!r} in {name}, which looks old, does not show"
    seen = book.outcome()
    book.forget()
    book.run()
    yield from (
        f"book, edited with dates of yesterday: {it}" for it in differences(seen, book.outcome())
    )


# Where, what, by what it is replaced, and what the ledger shows of it then.
EDITS = (
    ("book/second.ipynb", "does not hold here", "holds", "<strong>holds</strong></span> in"),
    ("book/second.ipynb", "Go on to 1", "Go on alone", "Go on alone"),
    ("book/claims.yml", "en: >-\n", "en: >-\n    Said anew.\n", "Said anew."),
    ("book/_templates/book-footer.html", "<", "<!-- edited --><", "<!-- edited -->"),
    ("book/_make/ledger.py", "Tested so far", "Tested up to now", "Tested up to now"),
    ("CITATION.cff", "title: Batch", "title: The Batch", "The Batch"),
    ("bnlib/__init__.py", '"""', '"""Edited. ', ""),
)


# --- two at once ---------------------------------------------------------------------------------


def started(victim):
    """Start the job."""
    return subprocess.Popen(
        victim.command,
        cwd=victim.folder,
        env=victim.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def at_once(victim, count=2):
    """Start the job so often at the same time; return exit codes and what was said."""
    running = [started(victim) for _ in range(count)]
    said = [one.communicate(timeout=600)[0] for one in running]
    return [one.returncode for one in running], said


def edited_meanwhile(book):
    """Yield what goes wrong when code or a page is saved while the book is built."""
    for name in ("bnlib/__init__.py", "book/second.ipynb"):
        book.forget()
        book.wish(0)
        process = started(book)
        while process.poll() is None and not list(book.folder.glob("_build/.jupyter_cache/*/*.db")):
            time.sleep(0.02)
        if name.endswith(".py"):
            with open(book.folder / name, "a") as file:
                file.write("# edited\n")
        else:
            book.wish(1)
        said = process.communicate(timeout=600)[0]
        if name.endswith(".py") and (not process.returncode or "build it again" not in said):
            yield f"book: {name} saved meanwhile: exit code {process.returncode}: {said[-300:]}"
        code, said = book.run()
        if code:
            yield f"book: after {name} was saved meanwhile exit code {code}: {said[-500:]}"
        yield from (f"book, {name} saved meanwhile: {it}" for it in book.wrong())


def two(root):
    """Yield what goes wrong when the same job is done twice, or edited, in the same folder."""
    for name, victim, times in (
        ("saver", Saver(root / "saver"), 3),
        ("downloader", Downloader(root / "downloader"), 3),
        ("runner", Runner(root / "runner"), 10),
        ("notebooks", Notebooks(root / "notebooks").learn(), 3),
        ("book", Book(root / "book").learn(), 3),
    ):
        for number in range(times):
            victim.wish(number % victim.outcomes)
            codes, said = at_once(victim)
            if any(codes):
                told = " / ".join(one[-400:] for one in said)
                yield f"{name}: two at once end with {codes}: {told}"
            yield from (f"{name}, two at once: {it}" for it in victim.wrong())
        if name == "book":
            yield from edited_meanwhile(victim)
        victim.closed()


STEPS = {"disk": disk, "clock": clock, "two": two}


def main(arguments):
    """Take the steps; return None, or how many complaints there were."""
    parser = argparse.ArgumentParser(prog="python tests/faults.py", description="Disturb and look.")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(STEPS))
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.steps if name not in STEPS]:
        parser.error(f"there is no step {unknown[0]}: {', '.join(STEPS)}")
    complaints = 0
    for name in asked.steps or STEPS:
        wrong = 0
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            for sentence in STEPS[name](Path(folder).resolve()):
                print(f"{name}: {sentence}", flush=True)
                wrong += 1
        complaints += wrong
        print(f"{name}: {wrong} complaints", flush=True)
    return f"{complaints} complaints" if complaints else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
