"""Grading homework: `python -m bnlib.exercises grade NOTEBOOK`.

A notebook from a student is a program by a stranger, and grading runs it. This is what is done
about it, and what is not.

**The score.** The code cells run in a process of their own (`answering`). The grader, here, asks
its functions for arrays: it draws the inputs, compares, and names the mistake, and no right answer
ever reaches the other process. What comes back is lines of JSON, bounded in size and looked at with
suspicion: no pickle, no object of the student's, no code. So a notebook may patch what it likes,
print "3 of 3", exit, raise, recurse, loop, return objects that are equal to everything, or answer
before it is asked: it gets points for right arrays and for nothing else. Right arrays it can still
have from a neighbour, or from the source of this library, which is public. (`import bnlib` finds
stand-ins there, so that nobody does so by mistake.) A grader of numbers cannot know who wrote a
function: look at the code.

**The machine.** The other process has an empty folder as its working directory and home, which is
removed, an environment without your variables, no terminal, and bounds on time, memory, file size
and, unless you are root, new processes (on Windows: on time alone). Its process group is killed at
the end. That is against accidents and mischief, not against an attack: it runs under your account,
and so may do what any program of yours may: read your files and send them away, delete them, end
your processes, the grader among them. Grade as a user that owns nothing, without network, best in
a container that is thrown away, and never as root: root's processes are not counted, so that one
may leave its group, live on, and rewrite the file with the score.
"""

import argparse
import contextlib
import functools
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from bnlib import exercises
from bnlib.exercises import answering

SECONDS = 60
MAX_NOTEBOOK = 10 << 20  # bytes
KEPT = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL")  # of the environment

# Homework by name: a function that the notebook defines, and who checks it.
HOMEWORK = {
    "backward": {
        "my_forward": "check_forward",
        "my_backward": "check_backward",
        "my_average": "check_running_average",
    }
}
# They look at objects, not at arrays.
NOT_GRADED = {"check_contrast", "check_gradient_check", "check_graph_node"}
GRADED = sorted({n for n in exercises.__all__ if n.startswith("check_")} - NOT_GRADED)


class Gone(Exception):
    """The student's process answers no more, or not as it should."""


class Graded(NamedTuple):
    """A task and what its checker said.

    Attributes
    ----------
    function, checker : str
    right : bool
    mistakes : list of str
    text : str
    """

    function: str
    checker: str
    right: bool
    mistakes: list
    text: str


def grade(path, tasks=None, *, seed=None, seconds=SECONDS):
    """Run a notebook in a process of its own and check the functions that it defines.

    Parameters
    ----------
    path : path-like
        A notebook, of whose code cells all are run in order; lines of IPython's own are left out.
    tasks : dict of str to str, optional
        Names of functions, and of the checkers that are asked about them; by default those of the
        homework "backward".
    seed : int, optional
        That of the checkers; by default drawn at random.
    seconds : int
        For the notebook and all its answers together.

    Returns
    -------
    dict
        notebook, seed, score, of, tasks (a list of dict, see `Graded`) and errors of cells; all of
        it plain, for JSON.

    Raises
    ------
    ValueError
        If the file is no notebook, or a checker is not one of `GRADED`.
    """
    tasks = HOMEWORK["backward"] if tasks is None else tasks
    unknown = sorted(set(tasks.values()) - set(GRADED))
    if unknown:
        raise ValueError(f"grade: checkers must be among {', '.join(GRADED)}, got {unknown[0]!r}")
    cells = code_cells(path)
    seed = secrets.randbits(32) if seed is None else seed
    with Student(cells, list(tasks), seconds) as student:
        graded = [_graded(student, name, checker, seed) for name, checker in tasks.items()]
    return {
        "notebook": Path(path).name,
        "seed": seed,
        "score": sum(one.right for one in graded),
        "of": len(graded),
        "tasks": [one._asdict() for one in graded],
        "errors": student.errors,
    }


def _graded(student, name, checker, seed):
    if student.trouble:
        return Graded(name, checker, False, [], f"Not graded: {student.trouble}.")
    if name not in student.defined:
        return Graded(name, checker, False, [], f"The notebook defines no function {name}.")
    check = getattr(exercises, checker)
    if checker == "check_backward":
        check = functools.partial(check, whole=True)
    found = check(student.function(name), seed=seed)
    if student.trouble:  # whatever the checker made of it
        return Graded(name, checker, False, [], f"Not graded: {student.trouble}.")
    return Graded(name, checker, bool(found.right), list(found.mistakes), found.text)


# --- the notebook ---------------------------------------------------------------------------------


def code_cells(path):
    """The sources of a notebook's code cells, as plain Python; ValueError if it is none."""
    try:
        text = Path(path).read_bytes()
        if len(text) > MAX_NOTEBOOK:
            raise ValueError(f"more than {MAX_NOTEBOOK} bytes")
        cells = json.loads(text)["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return [plain_python("".join(source)) for source in sources]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"grade: {path} must be a notebook: {error}") from None


def plain_python(source):
    r"""A cell without IPython's own lines; all of it is left out under a `%%` at its start.

    Examples
    --------
    >>> plain_python("%matplotlib inline\nx = 7\\\n % 4")
    'pass\nx = 7\\\n % 4'
    """
    if source.startswith("%%"):
        return "pass"
    lines = ["pass" if line.startswith(("%", "!")) else line for line in source.splitlines()]
    return "\n".join(lines)


# --- the other process ----------------------------------------------------------------------------


class Student:
    """A process that has run the cells and answers questions; a context.

    Attributes
    ----------
    defined : list of str
        Which of the functions there are.
    errors : list of str
        The cells that failed.
    trouble : str
        Why it answers no more; empty as long as it does.
    """

    def __init__(self, cells, functions, seconds):
        self.defined, self.errors, self.trouble = [], [], ""
        self._end = time.monotonic() + seconds
        self._task = {"cells": cells, "functions": functions, "seconds": seconds}
        self._replies: queue.Queue = queue.Queue(maxsize=2)
        self._killed = False

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        here = self._folder.name
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", answering.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=here,
            env=kept | {"HOME": here, "TMPDIR": here, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        with contextlib.suppress(Gone):
            self._hear_of_the_cells()
        return self

    def __exit__(self, *exception):
        self._kill()
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._dismiss_the_listener()
        self._folder.cleanup()

    def function(self, name):
        """A function that asks the process for its answers."""

        def asked(*args, **options):
            return self._ask(name, args, options)

        asked.__name__ = name
        return asked

    def _hear_of_the_cells(self):
        # In a thread: a pipe takes some of a long notebook, and the rest when it is read.
        threading.Thread(target=self._send, args=(self._task,), daemon=True).start()
        hello = self._hear()
        defined, errors = hello.get("defined"), hello.get("errors")
        if not isinstance(defined, list) or not isinstance(errors, list):
            self._give_up("its process does not keep to the rules of the conversation")
        self.defined = [name for name in self._task["functions"] if name in defined]
        self.errors = [answering.printable(error) for error in errors[: answering.MAX_ITEMS]]

    def _ask(self, name, args, options):
        nonce = secrets.token_hex(16)
        question = {
            "nonce": nonce,
            "name": name,
            "args": answering.encoded(args),
            "keys": list(options),
            "options": answering.encoded(tuple(options.values())),
        }
        if self.trouble:
            raise Gone(self.trouble)
        self._send(question)
        reply = self._hear()
        try:
            if reply.get("nonce") != nonce:
                raise ValueError("an answer to another question")
            if "error" in reply:
                raise _raised(reply)
            _write_back((*args, *options.values()), answering.decoded(reply["after"]))
            return answering.decoded(reply["value"])
        except (ValueError, KeyError, RecursionError):
            self._give_up("its process does not keep to the rules of the conversation")

    def _send(self, message):
        questions = self._process.stdin
        assert questions
        with contextlib.suppress(OSError, ValueError):  # it is gone: so hearing will say
            questions.write(json.dumps(message).encode() + b"\n")
            questions.flush()

    def _listen(self):
        """Pass on lines; None for the end, and for a line that is too long."""
        assert self._process.stdout
        with self._process.stdout as replies:
            for line in iter(lambda: replies.readline(answering.MAX_BYTES), b""):
                if not line.endswith(b"\n"):
                    break
                self._replies.put(line)
        self._replies.put(None)

    def _dismiss_the_listener(self):
        """Let it end, which may wait for room; not for ever, if somebody else holds the pipe."""
        for _ in range(20):
            with contextlib.suppress(queue.Empty):
                self._replies.get_nowait()
            self._listener.join(timeout=0.05)
            if not self._listener.is_alive():
                return

    def _hear(self):
        try:
            line = self._replies.get(timeout=max(0, self._end - time.monotonic()))
        except queue.Empty:
            self._give_up("it takes too long")
        if line is None:
            self._give_up("its process has ended, or says too much")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._give_up("its process does not keep to the rules of the conversation")
        return message

    def _give_up(self, trouble):
        self.trouble = trouble
        self._kill()
        raise Gone(trouble)

    def _kill(self):
        if self._killed:
            return
        self._killed = True  # its number may be another's from now on
        with contextlib.suppress(OSError, AttributeError):  # Windows has no groups of this kind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)


def _raised(reply):
    """The exception that a reply tells of, as one of ours with its name."""
    name = answering._word(reply["error"])
    text = answering.printable(reply.get("text", ""))
    if name == "NotImplementedError":
        return NotImplementedError(text)
    return type(name, (Exception,), {})(text)


def _write_back(ours, theirs):
    """Make our arrays what they are after the call, so that a checker sees what was changed."""
    for mine, other in zip(ours, theirs if isinstance(theirs, tuple) else (), strict=False):
        if isinstance(mine, tuple):
            _write_back(mine, other)
        elif getattr(mine, "shape", None) and mine.shape == getattr(other, "shape", None):
            mine[...] = other


# --- the command ----------------------------------------------------------------------------------


def main(arguments=None):
    """`python -m bnlib.exercises grade NOTEBOOK`; returns the status for the shell."""
    parser = argparse.ArgumentParser(
        prog="python -m bnlib.exercises",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command = parser.add_subparsers(required=True, metavar="grade").add_parser(
        "grade", help="run a notebook in a process of its own and check its functions"
    )
    command.add_argument("notebook")
    command.add_argument("--homework", choices=HOMEWORK, default="backward")
    command.add_argument("--tasks", help="others: my_forward=check_forward,my_fold=check_fold")
    command.add_argument("--seed", type=int, help="of the checkers; random if left out")
    command.add_argument("--seconds", type=int, default=SECONDS, help="for all, %(default)s")
    command.add_argument("--json", metavar="FILE", help="write the score there")
    chosen = parser.parse_args(arguments)
    try:
        tasks = HOMEWORK[chosen.homework]
        if chosen.tasks:
            tasks = dict(task.split("=") for task in chosen.tasks.split(","))
        score = grade(chosen.notebook, tasks, seed=chosen.seed, seconds=chosen.seconds)
    except ValueError as error:
        print(answering.printable(error), file=sys.stderr)
        return 2
    report(score)
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(score, indent=1) + "\n", encoding="utf-8")
    return 0


def report(score):
    """Print a score."""
    for task in score["tasks"]:
        print(f"{'right' if task['right'] else 'wrong'}  {task['function']}")
        if not task["right"]:
            print("\n".join(f"       {line}" for line in task["text"].splitlines()))
    for error in score["errors"]:
        print(f"(failed: {error})")
    print(f"{score['score']} of {score['of']} (seed {score['seed']})")
