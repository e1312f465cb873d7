"""Grading: right notebooks get their points, hostile ones none, and the grader is unharmed."""

import builtins
import contextlib
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
import types
from pathlib import Path

import nbformat
import numpy as np
import pytest

import bnlib
from bnlib import exercises
from bnlib.exercises import answering, check_backward, check_forward, check_noise, grading
from bnlib.exercises.grading import grade, main

HOMEWORK = Path(__file__).resolve().parent.parent / "homework"
FORWARD = """
import numpy as np


def my_forward(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta
"""
BACKWARD = """
def my_backward(dy, cache):
    h, n = cache.x_hat, len(dy)
    dgamma, dbeta = (dy * h).sum(0), dy.sum(0)
    dx = cache.gamma * cache.inv_std / n * (n * dy - dbeta - h * dgamma)
    return dx, dgamma, dbeta
"""
AVERAGE = """
def my_average(running_mean, running_var, x, momentum, seen):
    a = 1 / (seen + 1) if momentum is None else momentum
    mean = running_mean + a * (x.mean(0) - running_mean)
    return mean, (1 - a) * running_var + a * x.var(0, ddof=1)
"""
ONLY_FORWARD = {"my_forward": "check_forward"}


@pytest.fixture
def write(tmp_path):
    def notebook(*sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        path = tmp_path / "notebook.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return notebook


# --- honest notebooks -----------------------------------------------------------------------------


def test_a_right_notebook_gets_full_score(write):
    score = grade(write(FORWARD, BACKWARD, AVERAGE))
    assert (score["score"], score["of"], score["errors"]) == (3, 3, [])
    assert all(task["right"] and task["mistakes"] == [] for task in score["tasks"])


WRONG = [
    (FORWARD.replace("+ eps", ""), "my_forward", "eps_forgotten"),
    (FORWARD.replace("x.var(0)", "x.var(0, ddof=1)"), "my_forward", "variance_n_minus_1"),
    (FORWARD.replace("return", "x *= 2; x /= 2; x += 1e-3; return"), "my_forward", "in_place"),
    (BACKWARD.replace("- dbeta", "+ dbeta"), "my_backward", "mean_path_flipped"),
    (BACKWARD.replace("return dx, dgamma, dbeta", "return dx, dbeta, dgamma"), "my_backward",
     "dgamma_dbeta_swapped"),
    (AVERAGE.replace("ddof=1", "ddof=0"), "my_average", "biased_stored"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "function", "name"), WRONG)
def test_a_wrong_notebook_gets_the_name_of_its_mistake(write, source, function, name):
    tasks = {function: grading.HOMEWORK["backward"][function]}
    score = grade(write("import numpy as np", source), tasks, seed=5)
    (task,) = score["tasks"]
    assert score["score"] == 0 and task["mistakes"] == [name], task["text"]


def test_seeds_choose_what_is_asked(write):
    """The texts of an unknown mistake show numbers: the same for one seed, others for another."""
    path = write(FORWARD.replace("+ beta", "+ 1.3 * beta"))
    texts = [grade(path, ONLY_FORWARD, seed=s)["tasks"][0]["text"] for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    path = write("def my_forward(x, gamma, beta, eps): ...")
    assert grade(path, ONLY_FORWARD)["seed"] != grade(path, ONLY_FORWARD)["seed"]


def test_cells_of_ipython_and_cells_that_fail_do_not_hold_up_the_others(write):
    cells = ("%matplotlib inline\n!pip list", "%%time\nx = ", "1 / 0", "def broken(:", FORWARD)
    score = grade(write(*cells, "from bnlib.exercises import check_forward"), ONLY_FORWARD)
    assert score["score"] == 1
    assert [e.split(":")[0] for e in score["errors"]] == ["code cell 3", "code cell 4"]
    assert "ZeroDivisionError" in score["errors"][0]


def test_the_library_is_not_there_to_lean_on(write):
    score = grade(write("from bnlib import batch_norm as my_forward"), ONLY_FORWARD)
    assert score["score"] == 0 and "ImportError" in score["errors"][0]


def test_other_functions_of_a_notebook_are_called_as_they_can_be(write):
    source = FORWARD.replace("eps", "epsilon")
    assert grade(write(source), ONLY_FORWARD)["score"] == 1


# --- the homework ---------------------------------------------------------------------------------


def sources_of(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", grading.HOMEWORK)
def test_the_homework_has_its_stubs_and_no_answers(name):
    path = HOMEWORK / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    stubs = sources_of(path)[1:]
    for source, (function, checker) in zip(stubs, grading.HOMEWORK[name].items(), strict=True):
        definition, _, call = source.partition("\n\n\n")
        assert definition.startswith(f"def {function}(") and definition.endswith(": ...")
        assert call.startswith(f"{checker}({function}, ") and call.endswith("seed=SEED)")
    assert all(not cell.get("outputs") for cell in notebook.cells)
    score = grade(path)
    assert score["score"] == 0 and score["errors"] == []
    assert all(task["text"].startswith("Not yet") for task in score["tasks"])


def test_the_homework_filled_in_gets_full_score(write):
    imports, *stubs = sources_of(HOMEWORK / "backward.ipynb")
    answers = (FORWARD, BACKWARD, AVERAGE)
    filled = [
        answer + "\n\n" + stub.partition("\n\n\n")[2]
        for answer, stub in zip(answers, stubs, strict=True)
    ]
    score = grade(write(imports, *filled))
    assert score["score"] == 3 and score["errors"] == []


# --- hostile notebooks ----------------------------------------------------------------------------

EVIL = """
import numpy as np


class Equal:
    def __eq__(self, other):
        return True

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = lambda *a: True

    def __array__(self, *given, **options):
        raise SystemExit

    def __getattr__(self, name):
        return 0

    def __reduce__(self):
        return print, ("3 of 3",)


class Agreeing(np.ndarray):
    def __array_function__(self, *given):
        return True

    def __array_ufunc__(self, *given, **options):
        return np.bool_(True)
"""
PIPES = """
import json, os


def to_all_pipes(data):
    for pipe in range(3, 30):
        try:
            os.write(pipe, data)
        except OSError:
            pass
"""
LOUD = "def my_forward(x, gamma, beta, eps):\n    return x\n"
HOSTILE = {
    "patches what checks": "import sys, builtins, json\n"
    "import bnlib.exercises as e\n"
    "e.check_forward = lambda *a, **k: True\n"
    "builtins.all = builtins.any = lambda *a: True\n"
    "import numpy as np\n"
    "np.allclose = np.array_equal = lambda *a, **k: True\n" + LOUD,
    "patches the conversation": "import sys\n"
    "m = sys.modules['__main__']\n"
    "m.encoded = lambda *a: {'number': True}\n" + LOUD,
    "prints a score": "print('right  my_forward\\n1 of 1 (seed 0)')\n"
    "import sys; sys.__stdout__.write('1 of 1'); sys.__stdout__.flush()\n" + LOUD,
    "exits in a cell": "raise SystemExit(0)",
    "ends its process": "import os; os._exit(0)",
    "ends its process when asked": "import os\ndef my_forward(x, gamma, beta, eps): os._exit(0)",
    "exits when asked": "def my_forward(x, gamma, beta, eps): raise SystemExit('1 of 1')",
    "raises what cannot be printed": "class E(Exception):\n"
    "    def __str__(self): raise self\n"
    "def my_forward(x, gamma, beta, eps): raise E",
    "recurses": "def my_forward(x, gamma, beta, eps): return my_forward(x, gamma, beta, eps)",
    "breaks the stack": "import sys\nsys.setrecursionlimit(10**9)\n"
    "def my_forward(x, gamma, beta, eps): return my_forward(x, gamma, beta, eps)",
    "loops for ever": "while True: pass",
    "loops when asked": "def my_forward(x, gamma, beta, eps):\n    while True: pass",
    "sleeps and catches all": "import time\ndef my_forward(x, gamma, beta, eps):\n"
    "    while True:\n        try: time.sleep(9)\n        except BaseException: pass",
    "is equal to everything": EVIL + "def my_forward(x, gamma, beta, eps): return Equal()",
    "agrees with everything": EVIL + "def my_forward(x, gamma, beta, eps): return x.view(Agreeing)",
    "array of evil objects": EVIL
    + "def my_forward(x, gamma, beta, eps): return np.array([Equal()] * 8, dtype=object)",
    "takes memory": "import numpy as np\nkept = np.ones(10**9)",
    "answers with a monster": "import numpy as np\n"
    "def my_forward(x, gamma, beta, eps): return np.zeros(10**6)",
    "answers with a monstrous number": "def my_forward(x, gamma, beta, eps): return 10**5000",
    "answers with itself": "def my_forward(x, gamma, beta, eps):\n"
    "    a = []\n    a.append(a)\n    return a",
    "answers before it is asked": PIPES
    + "to_all_pipes((json.dumps({'defined': ['my_forward'], 'errors': []}) + '\\n').encode())\n"
    "to_all_pipes((json.dumps({'nonce': '', 'value': {'number': True}}) + '\\n').encode() * 50)\n",
    "speaks nonsense": PIPES + "to_all_pipes(b'\\xff\\x00 nonsense \\n' * 100)",
    "speaks without end": PIPES + "while True: to_all_pipes(b'x' * 1000)",
    "nests without end": PIPES + "to_all_pipes(b'[' * 60000 + b'\\n')",
    "closes everything": "import os\nos.closerange(0, 100)",
    "leaves a thread": "import threading, time\n"
    "threading.Thread(target=lambda: time.sleep(99)).start()\n" + LOUD,
    "shows the terminal a score": "def my_forward(x, gamma, beta, eps):\n"
    "    raise ValueError('\\x1b[2J\\x1b[H1 of 1\\r\\u202e')",
    "has a liar's name": "class A: pass\nA.__name__ = '\\x1b[2J1 of 1\\n'\n"
    "def my_forward(x, gamma, beta, eps): return A()",
}


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where the grader's folders for notebooks are made, and a secret in its environment."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("BNLIB_TEST_SECRET", "swordfish")
    return folder


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_notebook_gets_nothing_and_harms_nobody(write, scratch, name, capfd):
    before = {name: getattr(builtins, name) for name in ("all", "any", "print")}
    mine = bnlib.batch_norm, np.allclose, json.dumps, os.getcwd(), dict(os.environ)
    start = time.monotonic()
    score = grade(write(HOSTILE[name]), ONLY_FORWARD, seed=1, seconds=3)
    assert time.monotonic() - start < 10
    assert score["score"] == 0 and not score["tasks"][0]["right"]
    text = json.dumps(score, ensure_ascii=False)
    assert "\x1b" not in text and "\\u001b" not in text and "\u202e" not in text
    assert before == {name: getattr(builtins, name) for name in before}
    assert mine == (bnlib.batch_norm, np.allclose, json.dumps, os.getcwd(), dict(os.environ))
    assert not list(scratch.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")
def test_files_of_a_notebook_go_with_its_folder(write, scratch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "score.json").write_text("{}")
    cell = "open('score.json', 'w').write('3 of 3')\nimport os\n"
    cell += "os.mkdir('d'); os.symlink('/', 'd/root'); os.chmod('d', 0)\n"
    cell += "home = os.path.expanduser('~')\n"
    cell += "open(os.path.join(home, '.profile'), 'w').write('evil')\n"
    cell += "raise ValueError(home == os.getcwd())"
    score = grade(write(cell), ONLY_FORWARD)
    assert score["errors"] == ["code cell 1: ValueError: True"]
    assert (tmp_path / "score.json").read_text() == "{}" and not list(scratch.iterdir())


def test_no_secret_is_handed_down(write, scratch):
    score = grade(write("import os\nraise ValueError(sorted(os.environ))"), ONLY_FORWARD)
    assert "HOME" in score["errors"][0] and "SECRET" not in score["errors"][0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_processes_of_a_notebook_end_with_it(write, scratch, tmp_path):
    children = tmp_path / "children"
    source = "import os, time\nfor _ in range(3):\n    if not os.fork():\n"
    source += f"        with open({str(children)!r}, 'a') as f: f.write(f'{{os.getpid()}}\\n')\n"
    source += "        time.sleep(60)\n        os._exit(0)\ntime.sleep(0.3)\n"
    score = grade(write(source, FORWARD), ONLY_FORWARD)
    assert score["score"] == 1 or score["tasks"][0]["text"].startswith("Not graded")
    deadline = time.monotonic() + 5
    started = children.read_text().split() if children.exists() else []
    while any(map(is_running, started)):  # a killed one may wait for init to bury it
        assert time.monotonic() < deadline, "a process has survived"
        time.sleep(0.05)


def is_running(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere not all bounds are kept")
def test_files_and_memory_are_bounded(write, scratch):
    big = "with open('big', 'wb') as f:\n    f.write(bytes(11 << 20))"
    errors = grade(write(big, "bytes(3 << 30)"), ONLY_FORWARD)["errors"]
    assert "OSError" in errors[0] and "MemoryError" in errors[1]


# --- the conversation -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1.5,
        np.float32(2.5),
        np.float64("nan"),
        np.arange(6.0).reshape(2, 3).T,
        np.zeros((0, 2), np.float32),
        (np.ones(2), None, [1, 2]),
        np.array([1 + 2j]),
    ],
)
def test_values_arrive_as_they_were(value):
    again = answering.decoded(json.loads(json.dumps(answering.encoded(value))))
    assert type(again) is type(value)
    np.testing.assert_equal(again, value)


def test_records_arrive_with_their_names():
    _, cache = bnlib.batch_norm(np.ones((2, 3)), np.ones(3))
    again = answering.decoded(json.loads(json.dumps(answering.encoded(cache))))
    assert type(again).__name__ == "BatchNormCache" and again._fields == cache._fields
    np.testing.assert_array_equal(again.x_hat, cache.x_hat)


ARRAY = answering.encoded(np.ones(2))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "^a message must be a shallow object$"),
        ([], "shallow"),
        ({}, "^a message of no known kind$"),
        ({"number": "1"}, "no known kind"),
        ({"number": [1]}, "no known kind"),
        (ARRAY | {"dtype": "|O8"}, "^an array of no known kind$"),
        (ARRAY | {"dtype": "object"}, "array of no known kind"),
        (ARRAY | {"dtype": "<U9"}, "array of no known kind"),
        (ARRAY | {"dtype": None}, "array of no known kind"),
        (ARRAY | {"shape": [3]}, "^an array of another size than it says$"),
        (ARRAY | {"shape": [-1]}, "^an array of no known shape$"),
        (ARRAY | {"shape": [-2]}, "no known shape"),
        (ARRAY | {"shape": [2.0]}, "no known shape"),
        (ARRAY | {"shape": "2"}, "no known shape"),
        (ARRAY | {"shape": None}, "no known shape"),
        (ARRAY | {"shape": [1] * 65}, "no known shape"),
        (ARRAY | {"array": 7}, "array of no known kind"),
        (ARRAY | {"array": "not base64!"}, None),
        (ARRAY | {"array": ARRAY["array"] + "!"}, None),
        ({"tuple": [{"missing": True}] * 21}, "^too many items$"),
        ({"tuple": {"a": 1}}, "too many items"),
        ({"tuple": [{"tuple": [{"tuple": [{"tuple": [{"tuple": []}]}]}]}]}, "shallow"),
        ({"tuple": [{"tuple": [{"tuple": [{"tuple": [{"missing": True}]}]}]}]}, "shallow"),
        ({"record": "R", "fields": ["a"], "items": []}, "^a record must name its items$"),
        ({"record": "R", "fields": None, "items": []}, "must name its items"),
        ({"record": "R", "fields": ["a", "a"], "items": [{"missing": 1}] * 2}, None),
        ({"record": "R", "fields": ["import"], "items": [{"missing": 1}]}, None),
    ],
)
def test_nothing_is_believed(message, reason):
    with pytest.raises(ValueError, match=reason):
        answering.decoded(message)


# --- the grader beside a process that says what it is told to ------------------------------------


class Scripted:
    """Stands for `Popen` and its process: each line that it hears brings the next that it says."""

    pid = 4242

    def __init__(self, *says):
        self.says = [says if isinstance(says, bytes) else line(says) for says in says]
        self.heard, self.ends, self.replies = [], [], queue.Queue()

    def __call__(self, command, **options):
        self.command, self.options = command, options
        self.stdin = self.stdout = self
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def write(self, text):
        self.heard.append(json.loads(text))
        if self.says:
            self.replies.put(self.says.pop(0))

    def flush(self):
        self.flushed = len(self.heard)

    def readline(self, most):
        return self.replies.get()[:most]

    def kill(self):
        self.ends.append("kill")
        self.replies.put(b"")

    def wait(self, timeout):
        self.ends.append("wait")
        raise subprocess.TimeoutExpired("python", timeout)

    def close(self):
        self.ends.append("close")


def line(message):
    return json.dumps(message).encode() + b"\n"


@pytest.fixture
def scripted(monkeypatch, scratch):
    """A function that makes the next process of the grader one that speaks these lines."""

    def scripted(*says):
        process = Scripted(*says)
        monkeypatch.setattr(subprocess, "Popen", process)
        monkeypatch.setattr(os, "killpg", lambda *given: process.ends.append(given), raising=False)
        monkeypatch.setattr(secrets, "token_hex", lambda size: "once")
        return process

    return scripted


HELLO = {"defined": ["f", "spy"], "errors": []}
REPLY = {"nonce": "once", "value": {"number": 2}, "after": {"tuple": []}}
NO_RULES = "its process does not keep to the rules of the conversation"
ENDED = "its process has ended, or says too much"


def test_the_grader_sends_the_task_and_its_questions(scripted):
    after = answering.encoded((np.ones(2), 0.5))
    process = scripted(HELLO | {"errors": ["a\x1bb"] * 25}, REPLY | {"after": after})
    x = np.zeros(2)
    with grading.Student(["x = 1"], ["f", "g"], 5) as student:
        assert (student.defined, student.trouble) == (["f"], "")
        assert student.errors == ["a b"] * 20
        f = student.function("f")
        assert f.__name__ == "f" and f(x, eps=0.5) == 2
    np.testing.assert_array_equal(x, [1.0, 1.0])
    task, question = process.heard
    assert task == {"cells": ["x = 1"], "functions": ["f", "g"], "seconds": 5}
    assert question == {
        "nonce": "once", "name": "f", "keys": ["eps"],
        "args": answering.encoded((np.zeros(2),)), "options": answering.encoded((0.5,)),
    }  # fmt: skip
    assert process.flushed == 2


def test_the_process_is_kept_apart_and_ended(scripted, scratch, monkeypatch):
    monkeypatch.setenv("PATH", "/here")
    process = scripted(HELLO)
    threads = set(threading.enumerate())
    with grading.Student([], [], 5):
        # Whoever holds the pipe open must not hold up the end of the grader.
        assert all(thread.daemon for thread in set(threading.enumerate()) - threads)
        (folder,) = map(str, scratch.iterdir())
        assert process.ends == []
    assert process.command == [sys.executable, "-I", "-B", answering.__file__]
    environment = process.options.pop("env")
    assert environment["PATH"] == "/here" and "BNLIB_TEST_SECRET" not in environment
    own = {"HOME": folder, "TMPDIR": folder, "OPENBLAS_NUM_THREADS": "1"}
    assert environment.items() >= own.items()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    assert process.options == {"cwd": folder, "start_new_session": True, **pipes}
    assert process.ends == [(4242, signal.SIGKILL), "kill", "wait", "close"]
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("error", [ProcessLookupError, AttributeError])
def test_a_group_that_cannot_be_ended_is_no_trouble(scripted, monkeypatch, error):
    def killpg(*given):
        raise error

    process = scripted(HELLO)
    monkeypatch.setattr(os, "killpg", killpg, raising=False)
    with grading.Student([], [], 5) as student:
        assert student.trouble == ""
    assert process.ends == ["kill", "wait", "close"]


@pytest.mark.parametrize(
    ("says", "seconds", "trouble"),
    [
        ([], 0, "it takes too long"),
        ([b""], 5, ENDED),
        ([b'{"defined": []'], 5, ENDED),
        ([b"1" * answering.MAX_BYTES + b"\n"], 5, ENDED),
        ([b"nonsense\n"], 5, NO_RULES),
        ([b"[" * 60000 + b"\n"], 5, NO_RULES),
        ([[]], 5, NO_RULES),
        ([{}], 5, NO_RULES),
        ([HELLO | {"errors": "none"}], 5, NO_RULES),
        ([HELLO | {"defined": "all"}], 5, NO_RULES),
    ],
)
def test_a_process_that_breaks_the_rules_is_ended_at_once(scripted, says, seconds, trouble):
    process = scripted(*says)
    with grading.Student([], ["f"], seconds) as student:
        assert (student.trouble, student.defined, student.errors) == (trouble, [], [])
        assert process.ends == [(4242, signal.SIGKILL), "kill", "wait"]
        with pytest.raises(grading.Gone, match=f"^{trouble}$"):
            student.function("f")()
    assert process.ends == [(4242, signal.SIGKILL), "kill", "wait", "close"]


@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (b"", ENDED),
        (REPLY | {"nonce": "again"}, NO_RULES),
        ({"nonce": "once"}, NO_RULES),
        (REPLY | {"value": {}}, NO_RULES),
        (REPLY | {"after": {"tuple": 3}}, NO_RULES),
    ],
)
def test_an_answer_that_breaks_the_rules_is_none(scripted, reply, trouble):
    scripted(HELLO, reply)
    with grading.Student([], ["f"], 5) as student:
        with pytest.raises(grading.Gone, match=f"^{trouble}$"):
            student.function("f")()
        assert student.trouble == trouble


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_question_that_nobody_hears_is_an_end(scripted, error):
    process = scripted(HELLO)

    def write(text):
        process.replies.put(b"")
        raise error

    with grading.Student([], ["f"], 5) as student:
        process.write = write
        with pytest.raises(grading.Gone, match=f"^{ENDED}$"):
            student.function("f")()


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        ({"error": "ZeroDivisionError", "text": "by \x1b0"}, "ZeroDivisionError", "by  0"),
        ({"error": "NotImplementedError", "text": "later"}, "NotImplementedError", "later"),
        ({"error": "no name"}, "object", ""),
    ],
)
def test_an_error_of_the_students_arrives_as_one_of_ours(scripted, reply, kind, text):
    scripted(HELLO, REPLY | reply)
    with grading.Student([], ["f"], 5) as student:
        with pytest.raises(Exception, match=f"^{text}$") as caught:
            student.function("f")()
        assert student.trouble == ""
    assert type(caught.value).__name__ == kind
    assert isinstance(caught.value, NotImplementedError) == (kind == "NotImplementedError")


def test_what_was_changed_in_place_is_changed_here_too():
    def arrays(value):
        return np.full(2, value), (np.full(3, value), value), np.full((), value), value

    ours = (*arrays(0.0), np.zeros(2), np.zeros(2), np.zeros(2))
    theirs = (*arrays(1.0), np.ones(3), None)
    grading._write_back(ours, theirs)
    grading._write_back(ours, [np.full(2, 7.0)])
    np.testing.assert_equal(ours[0], np.ones(2))
    np.testing.assert_equal(ours[1], (np.ones(3), 0.0))
    np.testing.assert_equal(ours[2:], (np.zeros(()), 0.0, *[np.zeros(2)] * 3))


def asked_of(f, checker, trouble="", defined=("f",)):
    """What a task gets whose function answers in this process."""

    def function(name):
        assert name == "f"
        return f

    student = types.SimpleNamespace(trouble=trouble, defined=defined, function=function)
    return grading._graded(student, "f", checker, 5)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"trouble": "it is ill"}, "Not graded: it is ill."),
        ({"defined": ()}, "The notebook defines no function f."),
    ],
)
def test_a_task_without_an_answer_gets_nothing(state, text):
    assert asked_of(None, "check_fold", **state) == ("f", "check_fold", False, [], text)


def test_a_task_gets_what_its_checker_says_to_that_seed():
    def f(x_hat, skewness, kurtosis, m):
        return m**-0.5

    expected = check_noise(f, seed=5)
    assert check_noise(f).text == expected.text  # the mistake has a name
    assert asked_of(f, "check_noise") == (
        *("f", "check_noise", False, ["scale_forgotten", "skewness_forgotten"], expected.text),
    )
    unknown = asked_of(lambda *given: 0.1, "check_noise").text
    assert unknown == check_noise(lambda *given: 0.1, seed=5).text


def test_a_backward_pass_is_graded_whole():
    def f(dy, cache):
        return bnlib.batch_norm_backward(dy, cache)[0]

    assert check_backward(f).right
    graded = asked_of(f, "check_backward")
    assert not graded.right and "dgamma and dbeta" in graded.text, graded.text


def test_a_process_that_fails_when_asked_gets_nothing():
    student = types.SimpleNamespace(trouble="", defined=["f"])

    def f(x_hat, skewness, kurtosis, m):
        student.trouble = "it takes too long"
        return bnlib.nothing

    student.function = lambda name: f
    graded = grading._graded(student, "f", "check_noise", 5)
    assert graded == ("f", "check_noise", False, [], "Not graded: it takes too long.")


class Ready(contextlib.nullcontext):
    """Stands for `Student`: it has every function at once, each its own name."""

    def __init__(self, *given):
        super().__init__(self)
        self.given, self.trouble, self.errors = given, "", ["one"]
        self.defined = given[1]

    def function(self, name):
        return name


def test_a_score_says_what_was_graded(write, monkeypatch):
    def check(f, *, seed):
        return exercises.Answer(f == "f", f"seed {seed}", () if f == "f" else ("none",))

    bits = []
    monkeypatch.setattr(secrets, "randbits", lambda number: bits.append(number) or 77)
    monkeypatch.setattr(grading, "Student", Ready)
    monkeypatch.setattr(exercises, "check_rate", check)
    path = write("x = 1")
    tasks = {"f": "check_rate", "g": "check_rate"}
    score = {
        "notebook": "notebook.ipynb", "seed": 77, "score": 1, "of": 2, "errors": ["one"],
        "tasks": [
            {"function": "f", "checker": "check_rate", "right": True, "mistakes": [],
             "text": "seed 77"},
            {"function": "g", "checker": "check_rate", "right": False, "mistakes": ["none"],
             "text": "seed 77"},
        ],
    }  # fmt: skip
    assert grade(path, tasks) == score and bits == [32]
    assert grade(path, tasks, seed=3)["tasks"][1]["text"] == "seed 3"
    assert grade(path, {}, seed=3)["seed"] == 3 and bits == [32]


def test_the_first_homework_is_graded_if_no_task_is_named(write, monkeypatch):
    monkeypatch.setattr(grading, "Student", Ready)
    tasks = grade(write("x = 1"), seed=3)["tasks"]
    assert {task["function"]: task["checker"] for task in tasks} == grading.HOMEWORK["backward"]


def test_a_checker_must_be_one_that_grades(write):
    with pytest.raises(ValueError, match=r"^grade: checkers must be among check_backward, check_d"):
        grade(write("x = 1"), {"f": "check_graph_node"})
    with pytest.raises(ValueError, match=r"check_whitening, got 'check_contrast'$"):
        grade(write("x = 1"), {"f": "check_unknown", "g": "check_contrast"})


def test_lines_that_are_no_python_are_passed_over():
    assert grading.plain_python("%time\nx = 7 % 4\n!ls") == "pass\nx = 7 % 4\npass"
    assert grading.plain_python("%%bash\nls") == "pass"


def test_the_process_is_given_the_cells_as_plain_python(write, monkeypatch):
    given = []
    monkeypatch.setattr(grading, "Student", lambda *of: given.append(of) or Ready(*of))
    cells = ("%matplotlib inline\nx = 7\n!pip list\ny = x % 4", "%%bash\nls", "z = 3")
    grade(write(*cells), {"f": "check_rate"}, seed=1, seconds=9)
    plain = ["pass\nx = 7\npass\ny = x % 4", "pass", "z = 3"]
    assert given == [(plain, ["f"], 9)]


def test_the_cells_of_a_notebook_are_those_with_code(tmp_path, monkeypatch):
    path = tmp_path / "notebook.ipynb"
    cells = [
        {"cell_type": "markdown", "source": "Text"},
        {"cell_type": "code", "source": ["x = 1\n", "y = 2"]},
    ]
    path.write_text(json.dumps({"cells": cells}))
    size = path.stat().st_size
    monkeypatch.setattr(grading, "MAX_NOTEBOOK", size)
    assert grading.code_cells(path) == ["x = 1\ny = 2"]
    monkeypatch.setattr(grading, "MAX_NOTEBOOK", size - 1)
    with pytest.raises(
        ValueError, match=rf"\.ipynb must be a notebook: more than {size - 1} bytes$"
    ):
        grading.code_cells(path)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_prints_and_writes_the_score(write, tmp_path, capsys):
    out = tmp_path / "score.json"
    path = write(FORWARD, AVERAGE)
    assert main(["grade", str(path), "--seed", "3", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("right  my_forward\nwrong  my_backward\n")
    assert "2 of 3 (seed 3)" in printed
    score = json.loads(out.read_text())
    assert (score["score"], score["of"], score["seed"]) == (2, 3, 3)


def test_other_tasks_can_be_asked_for(write, capsys):
    source = "def law(x_hat, skewness, kurtosis, m): return m**-0.5"
    assert main(["grade", str(write(source)), "--tasks", "law=check_noise"]) == 0
    assert "0 of 1" in capsys.readouterr().out
    assert main(["grade", str(write(source)), "--tasks", "law=check_contrast"]) == 2
    assert "checkers must be among" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}', "[" * 100000, "\x00"])
def test_what_is_no_notebook_is_refused(tmp_path, capsys, text):
    path = tmp_path / "notebook.ipynb"
    path.write_text(text)
    assert main(["grade", str(path)]) == 2
    assert "must be a notebook" in capsys.readouterr().err
    assert main(["grade", str(tmp_path / "missing.ipynb")]) == 2


def test_every_graded_checker_takes_arrays_through_the_conversation():
    """A right function, its arguments and answers sent to and fro in this process."""

    def f(*args, **options):
        question = {
            "nonce": "n", "name": "f", "args": answering.encoded(args),
            "keys": list(options), "options": answering.encoded(tuple(options.values())),
        }  # fmt: skip
        reply = answering.answer(json.loads(json.dumps(question)), {"f": bnlib.batch_norm})
        return answering.decoded(reply["value"])

    assert check_forward(f).right


SCORE = {
    "notebook": "notebook.ipynb", "seed": 3, "score": 1, "of": 2,
    "tasks": [
        {"function": "f", "right": True, "text": "Right."},
        {"function": "g", "right": False, "text": "Not right yet.\nbeta is missing."},
    ],
    "errors": ["code cell 1: KeyError: 3"],
}  # fmt: skip
PRINTED = """\
right  f
wrong  g
       Not right yet.
       beta is missing.
(failed: code cell 1: KeyError: 3)
1 of 2 (seed 3)
"""


def test_a_report_has_the_words_for_what_is_wrong(capsys):
    grading.report(SCORE)
    assert capsys.readouterr().out == PRINTED


@pytest.mark.parametrize(
    ("options", "tasks", "seed", "seconds"),
    [
        ("", grading.HOMEWORK["backward"], None, 60),
        ("--homework backward --seed 3", grading.HOMEWORK["backward"], 3, 60),
        ("--tasks f=check_fold,g=check_rate --seconds 7", {"f": "check_fold", "g": "check_rate"},
         None, 7),
    ],
)  # fmt: skip
def test_the_command_says_what_is_to_be_graded(
    monkeypatch, capsys, tmp_path, options, tasks, seed, seconds
):
    asked = []
    monkeypatch.setattr(grading, "grade", lambda *a, **k: asked.append((a, k)) or SCORE)
    out = tmp_path / "score.json"
    assert main(["grade", "my.ipynb", *options.split(), "--json", str(out)]) == 0
    assert asked == [(("my.ipynb", tasks), {"seed": seed, "seconds": seconds})]
    assert capsys.readouterr().out == PRINTED
    assert out.read_text().startswith('{\n "notebook": "notebook.ipynb",\n "seed": 3,\n')
    assert json.loads(out.read_text()) == SCORE and out.read_text().endswith("}\n")


def test_the_help_of_the_command_names_its_options(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for asked in (["--help"], ["grade", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(asked)
        assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m bnlib.exercises [-h] grade ...\n")
    assert grading.__doc__.strip() in text
    words = " ".join(text.split())
    for part in (
        " grade run a notebook in a process of its own and check its functions ",
        " notebook ",
        " --homework {backward} ",
        " --tasks TASKS others: my_forward=check_forward,my_fold=check_fold --seed SEED of the "
        "checkers; random if left out --seconds SECONDS for all, 60 --json FILE write the score "
        "there",
    ):
        assert part in words
    assert words.endswith(" there")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "required: grade"),
        ("grade", "required: notebook"),
        ("grade my.ipynb --homework forward", "invalid choice: 'forward'"),
        ("grade my.ipynb --seed one", "--seed: invalid int value"),
        ("grade my.ipynb --seconds long", "--seconds: invalid int value"),
    ],
)
def test_a_command_that_cannot_be_understood_is_refused(capsys, line, reason):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2 and reason in capsys.readouterr().err
