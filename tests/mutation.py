"""Do the tests notice when bnlib is wrong? One place is changed at a time, and one must fail.

    python tests/mutation.py                     every mutant of the modules that all else rests on
    python tests/mutation.py --sample 40         forty mutants of every other module
    python tests/mutation.py --sample 0 optim    all of bnlib/optim.py; a folder goes by its name
    python tests/mutation.py --again …           which tests reach a line is known from the last run
    python tests/mutation.py --survivors …       only those that no test noticed in the last run

mutmut knows what to change: `<` becomes `<=`, 1 becomes 2, an argument is left out. The unit tests
are collected once. For each mutant a child of that process exchanges the code of one function and
runs the tests that have reached the changed line, those that reach least first, until one fails.
Which they are is known from a run of all of them under coverage; it takes the longest.
A program that a test starts has the code of the file: what runs in such programs alone, as a
cluster's client does, lives here whatever these tests notice.

A mutant that no test notices is a survivor. In the modules that are tried whole it must stand in
equivalent_mutants.toml with the reason why it cannot be noticed. Of every other module nine in ten
must be caught, not counting those that stand there. What does must survive, so the list cannot rot.
A sample is no proof: one of nine in ten catches eight of ten or fewer every fourth time. So it is
held against a module when it is so bad that chance would make it so once in a hundred times.
"""

import argparse
import contextlib
import difflib
import gc
import importlib
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

import audit
import pytest
from _pytest.runner import runtestprotocol

from bnlib.experiments import arithmetic

ROOT = audit.ROOT
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
REACHED = ROOT / ".coverage"
OUTCOMES = ROOT / "_build" / "mutants.jsonl"
CORE = ("normalization", "graph", "gradcheck")
# Of a core module's mutants, equivalent ones too; of another's that are not listed as equivalent.
LEAST = {True: 0.95, False: 0.9}
# Seconds of tests, of the processor's own, so that a busy machine lets no mutant live; one that is
# alive by then counts as a survivor.
PATIENCE = 15
SHORT = 3  # the same for one that is listed as equivalent
HANGS = 120  # seconds of one test, none of which needs twenty
CHANCE = 0.01  # of a sample so bad, from which on it is held against its module


class Mutant(NamedTuple):
    """One changed place: the function that it is in, and the lines that differ."""

    where: str
    before: str
    after: str


class Place(NamedTuple):
    """A mutant, its file, the lines that it and its function have there, and what is to be run."""

    mutant: Mutant
    file: Path
    lines: range
    function: range
    source: str


def module_of(file):
    """The module that a file is: `bnlib.layers.norms`, `bnlib.layers`."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def listed():
    """Every equivalent mutant of the list, with its reason."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["mutant"]
    return [(Mutant(e["where"], e["before"], e["after"]), e["reason"]) for e in entries]


def changed_lines(before, after):
    """The lines of two texts that differ, each without its indentation."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))
    return tuple(
        "\n".join(line[1:].strip() for line in lines[2:] if line.startswith(sign)) for sign in "-+"
    )


def places(file, sample=None, seed=0):
    """Every place of a file that mutmut would change, or so many that other files do not move."""
    import libcst
    from libcst.metadata import MetadataWrapper, PositionProvider
    from mutmut.mutation.file_mutation import create_mutations

    tree, mutations, *_ = create_mutations(file.name, file.read_text(encoding="utf-8"))
    positions = MetadataWrapper(tree, unsafe_skip_copy=True).resolve(PositionProvider)
    classes = [node for node in tree.body if isinstance(node, libcst.ClassDef)]
    owners = {function: owner for owner in classes for function in owner.body.body}

    def lines(node):
        return range(positions[node].start.line, positions[node].end.line + 1)

    def code(node):
        return libcst.Module(body=[node]).code

    inside = [
        m for m in mutations if isinstance(m.contained_by_top_level_function, libcst.FunctionDef)
    ]
    if sample:
        dice = random.Random(f"{seed} {module_of(file)}")
        inside = dice.sample(inside, min(sample, len(inside)))
    for each in inside:
        function = each.contained_by_top_level_function
        changed = function.deep_replace(each.original_node, each.mutated_node)
        diff = changed_lines(code(function), code(changed))
        name, owner = function.name.value, owners.get(function)
        if owner:  # `super()` must find a class around it
            name = f"{owner.name.value}.{name}"
            block = libcst.IndentedBlock(body=[changed])
            changed = owner.with_changes(body=block, bases=[], keywords=[], decorators=[])
        mutant = Mutant(f"{module_of(file)}.{name}", *diff)
        yield Place(mutant, file, lines(each.original_node), lines(function), code(changed))


def living():
    """Every function in this process, by its module and its qualified name."""
    found = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is FunctionType:  # isinstance would ask strange objects, and some warn
            found[each.__globals__.get("__name__"), each.__code__.co_qualname].append(each)
    return found


def exchanges(old, new):
    """Pairs of the code that there is and of what takes its place, functions inside included."""
    yield old, new
    inside = [[c for c in code.co_consts if isinstance(c, CodeType)] for code in (old, new)]
    if len(inside[0]) == len(inside[1]):
        for pair in zip(*inside, strict=True):
            yield from exchanges(*pair)


def exchange(place, found):
    """Give a function of this process, and those that it made, the code of a mutant."""
    module = module_of(place.file)
    path = place.mutant.where.removeprefix(module + ".")
    space = dict(vars(sys.modules[module]))
    exec(compile(place.source, place.file, "exec"), space)
    owner, _, name = path.rpartition(".")
    new = vars(space[owner])[name] if owner else space[name]
    new = getattr(new, "__func__", new)  # of a static or class method
    for function in found[module, path]:
        for old, code in exchanges(function.__code__, new.__code__):
            for each in found[module, old.co_qualname]:
                if each.__code__ == old:
                    each.__code__ = code
        function.__defaults__, function.__kwdefaults__ = new.__defaults__, new.__kwdefaults__


def first_to_fail(items, patience=PATIENCE):
    """The name of the first test that fails, none if all pass or time is over."""
    end = time.process_time() + patience
    for item, following in zip(items, [*items[1:], None], strict=True):
        signal.alarm(HANGS)
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
            return item.nodeid
        if time.process_time() > end:
            break
    return ""


class Child:
    """A process that does something and says a word, or dies of it."""

    def __init__(self, work):
        self.folder = tempfile.mkdtemp()
        reads, writes = os.pipe()
        self.pipe = open(reads, encoding="utf-8")
        self.pid = os.fork()
        if self.pid:
            os.close(writes)
            return
        os.setsid()
        os.environ["PYTEST_DEBUG_TEMPROOT"] = self.folder
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(silence, stream)
        try:
            os.write(writes, work().encode())
        finally:
            os._exit(0)

    def _end_groups_of_their_own(self):
        """Kill what its tests had started apart, such as a cluster; Linux tells by the folder.

        It stands in the environment, which a program that renames itself overwrites, as Dask's do;
        and it is where they work.
        """
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                told = (process / "environ").read_bytes() + os.readlink(process / "cwd").encode()
                if self.folder.encode() in told:
                    os.kill(int(process.name), signal.SIGKILL)

    def last_word(self, status):
        """What it said, after its end; of what it has started and made nothing is left."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._end_groups_of_their_own()
        with self.pipe:
            word = self.pipe.read()
        shutil.rmtree(self.folder, ignore_errors=True)
        return "it died" if status else word


def side_by_side(works):
    """The last word of each, in order; as many run at once as there are processors."""
    running, words = {}, {}

    def wait():
        pid, status = os.wait()
        number, child = running.pop(pid)
        words[number] = child.last_word(status)

    for number, work in enumerate(works):
        if len(running) == (os.cpu_count() or 1):
            wait()
        child = Child(work)
        running[child.pid] = number, child
        if number % 100 == 99:
            print(f"{number + 1} tried", flush=True)
    while running:
        wait()
    return [words[number] for number in sorted(words)]


class Trials:
    """Instead of running all tests once it runs for every mutant those that reach it.

    `caught` is for each mutant the test that noticed, or nothing. `innocent` are tests that fail
    without any mutant: what they caught is not known to be caught.
    """

    def __init__(self, chosen, reached):
        self.chosen, self.reached = chosen, reached
        self.caught, self.innocent = [], []

    def pytest_runtestloop(self, session):
        """Try every mutant, and without one every test that caught any."""
        items = {item.nodeid: item for item in session.items}
        found = living()
        gc.freeze()

        equivalent = {mutant for mutant, _ in listed()}

        def trial(place):
            tests = [items[name] for name in self.reached(place) if name in items]

            def work():
                exchange(place, found)
                return first_to_fail(tests, SHORT if place.mutant in equivalent else PATIENCE)

            return work

        self.caught = side_by_side([trial(place) for place in self.chosen])
        blamed = [items[name] for name in sorted(set(self.caught) & items.keys())]
        alone = side_by_side([lambda item=item: first_to_fail([item]) for item in blamed])
        self.innocent = [word for word in alone if word]
        return True


def reached_by(data):
    """A function that says which tests reach a place, those that reach least of all first.

    None for what has run when modules were imported and never again: no child could run it.
    """
    lines = {Path(file): data.contexts_by_lineno(file) for file in data.measured_files()}
    much = Counter(test for each in lines.values() for tests in each.values() for test in tests)

    def reached(place):
        there = lines.get(place.file, {})
        for wanted in (place.lines, place.function):
            names = {test for line in wanted for test in there.get(line, [])} - {""}
            if names:
                return sorted(names, key=lambda test: (much[test], test))
        inside = [line for line in place.function[1:] if line in there]
        return None if inside else []

    return reached


def write(outcomes):
    """Every mutant and the test that caught it, a line of JSON each."""
    OUTCOMES.parent.mkdir(exist_ok=True)
    with OUTCOMES.open("w", encoding="utf-8") as lines:
        for place, test in outcomes:
            print(json.dumps({**place.mutant._asdict(), "caught": test}), file=lines)
    print(f"{OUTCOMES.relative_to(ROOT)} has every mutant and the test that caught it")


def survived():
    """The mutants that no test noticed in the last run."""
    outcomes = map(json.loads, OUTCOMES.read_text(encoding="utf-8").splitlines())
    return {Mutant(o["where"], o["before"], o["after"]) for o in outcomes if not o["caught"]}


def is_core(module):
    return module.removeprefix("bnlib.") in CORE


def score(outcomes, equivalent=()):
    """For each module how many of its mutants were caught, of how many that count."""
    counted = [
        (module, test)
        for place, test in outcomes
        if is_core(module := module_of(place.file)) or place.mutant not in equivalent
    ]
    total = Counter(module for module, _ in counted)
    caught = Counter(module for module, test in counted if test)
    return {module: (caught[module], total[module]) for module in sorted(total)}


def to_compare(outcomes, whole, known):
    """What has survived, and what must: of modules tried whole everything, else what is listed."""
    inside = tuple(f"{module}." for module in whole)
    survivors, equivalent = [], [mutant for mutant in known if mutant.where.startswith(inside)]
    for place, test in outcomes:
        entire, is_listed = module_of(place.file) in whole, place.mutant in known
        if not test and (entire or is_listed):
            survivors.append(place.mutant)
        if is_listed and not entire:
            equivalent.append(place.mutant)
    return survivors, equivalent


def chance(caught, total, share):
    """How probable so few or fewer are in a sample of what catches this share."""
    return sum(
        math.comb(total, n) * share**n * (1 - share) ** (total - n) for n in range(caught + 1)
    )


def complaints(scores, survivors, equivalent, sampled=False):
    """A sentence for everything that is not as it must be."""
    for module, (caught, total) in scores.items():
        least = LEAST[is_core(module)]
        if chance(caught, total, least) < CHANCE if sampled else caught < least * total:
            yield f"{module}: {caught} of {total} mutants were caught, {least:.0%} must be."
    for mutant in (Counter(survivors) - Counter(equivalent)).elements():
        yield f"No test notices: in {mutant.where}\n  {mutant.before}\n  {mutant.after}"
    for mutant in (Counter(equivalent) - Counter(survivors)).elements():
        yield f"Listed as equivalent, but no survivor: in {mutant.where}\n  {mutant.after}"


def files(names, core):
    """The files of bnlib that are asked for; without names those at the core, or all the others."""
    every = sorted((ROOT / "bnlib").rglob("*.py"))
    if names:
        return [file for file in every if {file.stem, file.parent.name} & set(names)]
    return [file for file in every if (file.stem in CORE and file.parent.name == "bnlib") == core]


def main(arguments):
    """Try the mutants, print the score of each module, and return the complaints."""
    parser = argparse.ArgumentParser(prog="python tests/mutation.py", description="Mutants.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--sample", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--survivors", action="store_true")
    asked = parser.parse_args(arguments)
    import coverage

    if not (asked.again and REACHED.exists()):
        audit.run("coverage")
    data = coverage.CoverageData(str(REACHED))
    data.read()
    os.chdir(ROOT)  # where mutmut and pytest look for their settings
    asked_for = files(asked.names, core=asked.sample is None)
    mutants = [place for file in asked_for for place in places(file, asked.sample, asked.seed)]
    if asked.survivors:
        alive = survived()
        mutants = [place for place in mutants if place.mutant in alive]
    for module in {module_of(place.file) for place in mutants}:
        importlib.import_module(module)
    reached = reached_by(data)
    idle = [place for place in mutants if reached(place) is None]
    mutants = [place for place in mutants if reached(place) is not None]
    print(f"{len(mutants)} mutants; {len(idle)} more are in what runs at import only: not tried")
    trials = Trials(mutants, reached)
    # Its own tests exchange functions, which they would not find in a child.
    files_of_tests = [file for file in audit.unit_tests() if file != "tests/test_mutation.py"]
    if pytest.main([*audit.OPTIONS, "-s", "--tb=no", *files_of_tests], plugins=[trials]):
        return "The tests could not be collected: what pytest says stands above."
    outcomes = list(zip(mutants, trials.caught, strict=True))
    write(outcomes)
    known = [mutant for mutant, _ in listed()]
    scores = score(outcomes, known)
    for module, (caught, total) in scores.items():
        print(f"{module}: {caught} of {total} caught ({caught / total:.1%})")
    whole = {module for module in scores if is_core(module) and not asked.sample}
    said = [f"{test} fails without a mutant." for test in trials.innocent]
    said += complaints(scores, *to_compare(outcomes, whole, known), sampled=bool(asked.sample))
    return "\n".join(said) or None


if __name__ == "__main__":
    os.environ |= {"NUMBA_DISABLE_JIT": "1", "OPENBLAS_NUM_THREADS": "1", "BNLIB_AGAIN": "1"}
    from bnlib.experiments import arithmetic

    arithmetic.start_again()  # results are measured once more in this process
    sys.exit(main(sys.argv[1:]))
