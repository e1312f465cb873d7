"""Whoever is killed at any moment and started again ends as if nothing had happened.

    python tests/kills.py               every victim, 260 kills in all
    python tests/kills.py saver book    these
    python tests/kills.py --kills 5     so many of each

Half of the kills come at a random time, half at a random moment when something is made, opened to
be written, renamed or removed, or a little later. Two of three end all processes of the group, as
a closed terminal or a cut machine does, one of three only the first, as who runs out of memory is
ended. After each kill nothing on the disk may be torn; every fourth time, and at the end, a run
that nobody disturbs must give the bytes of one that never was. Moments depend on the machine,
so `--seed` repeats what is asked for and not what happens.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from victims import Book, Downloader, Notebooks, Runner, Saver, survivors

# Python reads this before all else: it counts what touches the disk, over all processes of the
# group together, and kills when the number is reached.
STRIKER = """
import os, signal, sys, threading, time

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "sqlite3.connect"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def changes(event, given):
    if event in CHANGES or (event == "open" and (given[2] or 0) & WRITING):
        path = str(given[0])
        return "/" in path and "_static" not in path  # not each of a theme's hundreds of files

def strike():
    time.sleep(pause)
    if os.environ["STRIKE_ALL"] == "1":
        os.killpg(group, signal.SIGKILL)
    os.kill(group, signal.SIGKILL)

def hook(event, given):
    if changes(event, given) and os.getpgrp() == group:
        os.write(count, b".")
        if os.fstat(count).st_size == at:
            threading.Thread(target=strike, daemon=True).start() if pause else strike()

if "STRIKE_AT" in os.environ and os.name == "posix":
    at, pause = int(os.environ["STRIKE_AT"]), float(os.environ["STRIKE_PAUSE"])
    group = int(os.environ.setdefault("STRIKE_GROUP", str(os.getpgrp())))  # kernels have their own
    count = os.open(os.environ["STRIKE_COUNT"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.addaudithook(hook)
"""


def striking(folder, at=0, *, pause=0.0, everyone=True):
    """Variables that let a job be struck at its `at`-th change of the disk (0: only counted)."""
    (folder / "sitecustomize.py").write_text(STRIKER, encoding="utf-8")
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "tmp" / "changes").unlink(missing_ok=True)
    return {
        "STRIKE_AT": str(at),
        "STRIKE_PAUSE": str(pause),
        "STRIKE_ALL": str(int(everyone)),
        "STRIKE_COUNT": str(folder / "tmp" / "changes"),
    }


def start(victim, extra):
    """Start the job in a group of its own."""
    environment = victim.environment() | extra
    environment["PYTHONPATH"] += os.pathsep + str(victim.folder)
    with open(victim.folder / "tmp" / "said", "w") as said:
        return subprocess.Popen(
            victim.command,
            cwd=victim.folder,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def measured(victim):
    """Seconds and changes of the disk that the job takes undisturbed."""
    victim.wish(0)
    extra, begun = striking(victim.folder), time.monotonic()
    start(victim, extra).wait()
    return time.monotonic() - begun, (victim.folder / "tmp" / "changes").stat().st_size


def killed(victim, rng, seconds, changes):
    """Kill the job at a random moment; return whether it was there to be killed."""
    everyone, by_time = bool(rng.integers(3)), bool(rng.integers(2))
    at = 0 if by_time else int(rng.integers(1, changes + 1))
    pause = rng.choice([0, rng.uniform(0, 0.003)])
    process = start(victim, striking(victim.folder, at, pause=pause, everyone=everyone))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, seconds) if by_time else 10 * seconds + 60)
    if process.poll() is None:
        (os.killpg if everyone else os.kill)(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def disturb(victim, kills, rng):
    """Kill so many times; yield a sentence for all that goes wrong."""
    seconds, changes = measured(victim)
    done = 0
    while done < kills:
        if rng.integers(2):
            victim.forget()
        victim.wish(int(rng.integers(victim.outcomes)))
        if not killed(victim, rng, seconds, changes):
            continue
        done += 1
        for sentence in victim.torn():
            yield f"after kill {done}: {sentence}"
        if done % 4 == 0 or done == kills:
            yield from finished(victim, done)
    if left := survivors(victim.folder):
        yield f"{left} processes outlive it"


def finished(victim, done):
    """Run to the end, yield what is wrong then."""
    if done % 3:
        victim.wish(int(done % victim.outcomes))  # or what the last one was killed at
    code, said = victim.run()
    if code:
        yield f"after kill {done} it cannot go on: exit code {code}\n{said[-1500:]}"
    for sentence in victim.wrong():
        yield f"started again after kill {done}: {sentence}"


# Kills of each: books take ten seconds, the others one or two.
VICTIMS = {
    "runner": (50, Runner),
    "runner of two jobs": (40, lambda folder: Runner(folder, jobs=2)),
    "downloader": (50, Downloader),
    "saver": (60, Saver),
    "notebooks": (30, lambda folder: Notebooks(folder).learn()),
    "book": (30, lambda folder: Book(folder).learn()),
}


def main(arguments):
    """Disturb victims; return None, or how many complaints there were."""
    parser = argparse.ArgumentParser(prog="python tests/kills.py", description="Kill and look.")
    parser.add_argument("victims", nargs="*", metavar="VICTIM", help=", ".join(VICTIMS))
    parser.add_argument("--kills", type=int, help="of each victim")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.victims if name not in VICTIMS]:
        parser.error(f"there is no victim {unknown[0]}: {', '.join(VICTIMS)}")
    if os.name != "posix":
        return "Kills need the signals of Unix: run it on Linux or macOS."
    total, complaints = 0, 0
    for name in asked.victims or VICTIMS:
        usual, make = VICTIMS[name]
        kills = asked.kills or usual
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            victim = make(Path(folder).resolve() / "job")
            wrong = 0
            for sentence in disturb(victim, kills, np.random.default_rng(asked.seed)):
                print(f"{name}: {sentence}", flush=True)
                wrong += 1
            victim.closed()
        total, complaints = total + kills, complaints + wrong
        print(f"{name}: {kills} kills, {wrong} complaints", flush=True)
    print(f"{total} kills in all")
    return f"{complaints} complaints" if complaints else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
