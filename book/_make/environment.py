"""Bring `.venv`: everything in `requirements.lock`, checked by hash, and bnlib itself.

    python book/_make/environment.py [--lint] [--mutants] [PYTHON]

Nothing is done when the environment is current. This file and console.py must run under any Python
from 3.6 on: whoever has only an old one is told in a sentence what to do.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import console

SUPPORTED = ((3, 14), (3, 13), (3, 12), (3, 11))  # best first
ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "current.txt"
LOG = ROOT / ".venv.log"
EXTRAS = {"--lint", "--mutants"}  # what only some commands need, by its name in pyproject.toml

# version: (3, 12, 1); path: the interpreter itself, never a shim or another environment's link;
# has_venv: whether it can create an environment (Debian's cannot without a further package).
Interpreter = namedtuple("Interpreter", "version path has_venv")

PROBE = """
import sys
try:
    import ensurepip, venv
    has_venv = 1
except ImportError:
    has_venv = 0
path = getattr(sys, "_base_executable", sys.executable)
print("%d %d %d %d %s" % (tuple(sys.version_info[:3]) + (has_venv, path)))
"""

OFFLINE_SIGNS = ("Failed to establish a new connection", "NameResolutionError", "ProxyError",
                 "ConnectTimeoutError", "Network is unreachable", "Connection refused")  # fmt: skip


class NoEnvironment(Exception):
    """No environment can be made; the message says in one sentence what to do."""


def probe(command):
    """Return the Interpreter that this command starts, or None if it does not run."""
    try:
        answer = subprocess.run(
            [command, "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=console.utf8_environment(),
            check=True,
        ).stdout.decode("utf-8")
        major, minor, micro, has_venv, path = answer.strip().split(" ", 4)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return Interpreter((int(major), int(minor), int(micro)), path, has_venv == "1")


def choose(wanted, kept, find):
    """Return the interpreter to use, or raise with one sentence.

    `wanted` is what the user named or "", `kept` the interpreter that the present environment was
    made with, or "": without a new wish it stays. `find` turns a command into an Interpreter or
    None.
    """
    if wanted:
        return check_wanted(wanted, find(os.path.expanduser(wanted)))
    commands = [kept] if kept else []
    commands += ["python%d.%d" % version for version in SUPPORTED]
    commands += [sys.executable, "python3", "python"]  # Windows has no python3.12 and the like
    without_venv = None
    for command in commands:
        found = find(command)
        if found and found.version[:2] in SUPPORTED:
            if found.has_venv:
                return found
            without_venv = without_venv or found
    if without_venv:
        raise NoEnvironment(missing_venv(without_venv))
    raise NoEnvironment(
        "No Python 3.11, 3.12, 3.13 or 3.14 was found: install one of them, or name it with"
        " PYTHON=/path/to/python."
    )


def check_wanted(wanted, found):
    """Return the interpreter that the user named if it will do."""
    if found is None:
        raise NoEnvironment("PYTHON=%s does not run: name a Python from 3.11 to 3.14." % wanted)
    if found.version[:2] not in SUPPORTED:
        raise NoEnvironment(
            "PYTHON=%s is Python %s: name one from 3.11 to 3.14."
            % (wanted, ".".join(map(str, found.version)))
        )
    if not found.has_venv:
        raise NoEnvironment(missing_venv(found))
    return found


def missing_venv(found):
    """Return the sentence for an interpreter that cannot create environments."""
    package = "python%d.%d-venv" % found.version[:2]
    return (
        "%s cannot create environments: install python3-venv"
        " (on Debian and Ubuntu: apt install %s)." % (found.path, package)
    )


def wanted_stamp(interpreter, root):
    """Return the stamp of an environment that is as it should be: three lines.

    The interpreter's path; a digest of all that forces a new environment (its version, the lock,
    and the folder, whose path stands inside an environment's scripts); and a digest of
    pyproject.toml, for which reinstalling bnlib is enough.
    """
    version = ".".join(map(str, interpreter.version))
    lock = (root / "requirements.lock").read_bytes()
    place = str(root).encode("utf-8", "surrogateescape")
    return "\n".join((
        interpreter.path,
        hashlib.sha256(b"\0".join((version.encode(), place, lock))).hexdigest(),
        hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest(),
    ))  # fmt: skip


def missing_steps(stamp, wanted):
    """Return which of "environment" and "bnlib" must be installed, given the stamp found or ""."""
    found = stamp.split("\n")
    if len(found) != 3 or found[1] != wanted.split("\n")[1]:
        return ["environment", "bnlib"]
    return [] if found[2] == wanted.split("\n")[2] else ["bnlib"]


def read_stamp():
    """Return the stamp of the present environment, "" if there is none or it does not run."""
    try:
        stamp = STAMP.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return stamp if probe(str(VENV_PYTHON)) else ""


def run(*command):
    """Run a step of the installation with its talk in the log; raise with one sentence."""
    with LOG.open("ab") as log:
        done = subprocess.run(
            command, cwd=str(ROOT), stdout=log, stderr=log, env=console.utf8_environment()
        )
    if done.returncode:
        raise NoEnvironment(explain(LOG.read_text(encoding="utf-8", errors="replace")))


def explain(log):
    """Return what went wrong in one sentence, from what venv and pip wrote."""
    if any(sign in log for sign in OFFLINE_SIGNS):
        return "No network: pip reached no package index; connect and run the same command again."
    said = [line for line in log.splitlines() if line.strip()] or ["nothing was said"]
    errors = [line for line in said if line.lower().startswith("error:")] or said
    return "The installation failed (%s): %s has the rest." % (errors[-1].strip(), LOG.name)


def pip(*arguments):
    """Run the environment's own pip."""
    run(str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "install", *arguments)


def install_bnlib(version, *extra):
    """Install bnlib where it stands, so that a change in it is seen at once.

    Without isolation it is built by the locked hatchling: no network, nothing unhashed.
    """
    pip("--no-build-isolation", *extra)
    library = VENV / ("Lib" if os.name == "nt" else "lib/python%d.%d" % version[:2])
    make_relative(library / "site-packages" / "_bnlib.pth", ROOT)


def make_relative(path_file, folder):
    """Let the path file point at the folder by a relative path, which is plain ASCII.

    Python 3.11 and 3.12 read path files in the locale's encoding: under LC_ALL=C they do not even
    start where one holds a Korean folder name.
    """
    relative = os.path.relpath(str(folder), str(path_file.parent))
    path_file.write_text(relative + "\n", encoding="ascii")


def install(interpreter, wanted, steps):
    """Do the missing steps; the stamp comes last, so that an interrupted run leaves none."""
    if "environment" in steps:
        print(
            "Installing the locked packages into .venv with Python %d.%d.%d (once; a minute or two)"
            % interpreter.version,
            flush=True,
        )
        shutil.rmtree(str(VENV), ignore_errors=True)
        run(interpreter.path, "-m", "venv", str(VENV))
        # Compiled when first imported: most of it never is.
        pip("--no-compile", "--require-hashes", "-r", "requirements.lock")
    elif STAMP.exists():
        STAMP.unlink()
    install_bnlib(interpreter.version, "--no-deps", "-e", ".")
    STAMP.write_text(wanted, encoding="utf-8")


def forget_log():
    """Remove the log: only a failure leaves one."""
    if LOG.exists():
        LOG.unlink()


def main(arguments):
    """Bring the environment; return None or the sentence that says what to do."""
    wishes = [argument for argument in arguments if argument and argument not in EXTRAS]
    stamp = read_stamp()
    try:
        interpreter = choose(wishes[0] if wishes else "", stamp.split("\n")[0], probe)
        wanted = wanted_stamp(interpreter, ROOT)
        steps = missing_steps(stamp, wanted)
        forget_log()
        if steps:
            install(interpreter, wanted, steps)
        for extra in sorted(EXTRAS.intersection(arguments)):
            install_bnlib(interpreter.version, "-e", ".[%s]" % extra[2:])
        forget_log()
    except NoEnvironment as error:
        return str(error)
    except KeyboardInterrupt:
        return "Interrupted: the environment is not finished; run the same command again."
    return None


if __name__ == "__main__":
    console.survive_any_encoding()
    sys.exit(main(sys.argv[1:]))
