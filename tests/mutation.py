"""Do the tests notice when bnlib is wrong? mutmut changes one place at a time and runs them.

    python tests/mutation.py        # `make mutants` installs mutmut first

A change that no test notices is a survivor. It must stand in equivalent_mutants.toml with the
reason why it cannot be noticed, and what stands there must survive: so the list cannot rot.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "mutants"  # mutmut's own name for the folder of its copies and results
STAMP = WORK / "inputs.txt"
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
LEAST = 0.95  # of all mutants of a module, those that nothing can kill included
CAUGHT = {"killed", "timeout"}


class Mutant(NamedTuple):
    """One changed place: the function that it is in, and the lines that differ."""

    where: str
    before: str
    after: str


def where(name):
    """The function that a mutant's name is made from.

    >>> where("bnlib.graph.xǁNodeǁ__add____mutmut_1"), where("bnlib.graph.x_sum__mutmut_12")
    ('bnlib.graph.Node.__add__', 'bnlib.graph.sum')
    """
    module, owner, function = re.fullmatch(r"(.+)\.x(?:_|ǁ(\w+)ǁ)(\w+)__mutmut_\d+", name).groups()
    return ".".join(part for part in (module, owner, function) if part)


def module_of(place):
    """`bnlib.graph` of `bnlib.graph.Node.__add__`."""
    return ".".join(place.split(".")[:2])


def changed_lines(diff, sign):
    """The lines of a unified diff that have the sign, without their indentation."""
    lines = [line for line in diff.splitlines() if line.startswith(sign)]
    return "\n".join(line[1:].strip() for line in lines if not line.startswith(3 * sign))


def listed():
    """Every equivalent mutant of the list, with its reason."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["mutant"]
    return [(Mutant(e["where"], e["before"], e["after"]), e["reason"]) for e in entries]


def score(outcomes):
    """For each module how many of its mutants were caught, and how many there are."""
    total, caught = Counter(), Counter()
    for name, outcome in outcomes.items():
        module = module_of(where(name))
        total[module] += 1
        caught[module] += outcome in CAUGHT
    return {module: (caught[module], total[module]) for module in sorted(total)}


def complaints(scores, survivors, equivalent):
    """A sentence for everything that is not as it must be."""
    for module, (caught, total) in scores.items():
        if caught < LEAST * total:
            yield f"{module}: {caught} of {total} mutants were caught, {LEAST:.0%} must be."
    for mutant, name in unmatched(survivors, equivalent):
        yield f"No test notices {name}: in {mutant.where}\n  {mutant.before}\n  {mutant.after}"
    for mutant, _ in unmatched(equivalent, survivors):
        yield f"Listed as equivalent, but no survivor: in {mutant.where}\n  {mutant.after}"


def unmatched(these, those):
    """Those pairs of the first list whose mutant does not stand in the second as often."""
    left = Counter(mutant for mutant, _ in those)
    for mutant, note in these:
        if left[mutant]:
            left[mutant] -= 1
        else:
            yield mutant, note


def mutmut(*arguments, capture=True):
    """What a command of mutmut prints; it reads the settings in pyproject.toml."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    stdout = subprocess.PIPE if capture else None
    done = subprocess.run(command, cwd=ROOT, stdout=stdout, encoding="utf-8", check=True)
    return done.stdout


def digest_of_inputs():
    """A digest of all that an outcome depends on: bnlib, its tests, the settings, Python."""
    files = sorted([*ROOT.glob("bnlib/**/*.py"), *ROOT.glob("tests/*.py"), ROOT / "pyproject.toml"])
    content = [sys.version.encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"\0".join(content)).hexdigest()


def forget_what_is_stale():
    """Throw the results away if anything has changed since: else mutmut goes on with them."""
    digest = digest_of_inputs()
    if not STAMP.exists() or STAMP.read_text(encoding="utf-8") != digest:
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir()
        STAMP.write_text(digest, encoding="utf-8")


def outcomes_by_name():
    """The outcome of every mutant: killed, timeout, survived, no tests, ..."""
    lines = mutmut("results", "--all", "True").splitlines()
    return dict(line.strip().split(": ") for line in lines if "__mutmut_" in line)


def read_mutant(name):
    """What a mutant changes."""
    diff = mutmut("show", name)
    return Mutant(where(name), changed_lines(diff, "-"), changed_lines(diff, "+"))


def main():
    """Run, print the score of each module, and return the complaints."""
    if not hasattr(os, "fork"):
        return "mutmut needs fork, which Windows has not: run it on Linux or macOS."
    forget_what_is_stale()
    try:
        mutmut("run", "--max-children", "1", capture=False)
    except KeyboardInterrupt:
        return "Interrupted: the same command goes on from here."
    except subprocess.CalledProcessError:
        return "mutmut did not finish: what it says stands above."
    outcomes, equivalent = outcomes_by_name(), listed()
    survivors = [(read_mutant(n), n) for n, outcome in outcomes.items() if outcome not in CAUGHT]
    scores = score(outcomes)
    for module, (caught, total) in scores.items():
        same = sum(module_of(mutant.where) == module for mutant, _ in equivalent)
        print(f"{module}: {caught} of {total} caught ({caught / total:.1%}), {same} equivalent")
    return "\n".join(complaints(scores, survivors, equivalent)) or None


if __name__ == "__main__":
    sys.exit(main())
