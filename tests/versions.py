"""Do the tests pass with other versions? Each in an environment of its own below _build/versions.

    python tests/versions.py                    all of them
    python tests/versions.py lock-3.12 oldest   these

`lock-…`: a Python with the locked packages, where the notebooks must print the same digits.
`oldest`: the oldest packages that pyproject.toml allows, on the oldest Python; `newest`: the newest
there are, on the newest Python here. There notebooks are held to their verdicts and tolerances.
Packages come from the index, so this needs a network; what is installed is kept for the next time.
"""

import re
import subprocess
import sys
import tomllib
from itertools import chain

import elsewhere

ROOT = elsewhere.ROOT
sys.path.insert(0, str(ROOT / "book" / "_make"))

import environment  # noqa: E402

FOLDER = ROOT / "_build" / "versions"
LOCKED = tuple(f"lock-3.{minor}" for minor in (11, 12, 13))
NAMES = (*LOCKED, "oldest", "newest")


def oldest(project):
    """For every lower bound in pyproject.toml the version that it allows.

    >>> oldest({"dependencies": ["numpy>=2,<3"], "optional-dependencies": {"a": ["b>=1", "c"]}})
    ['b==1', 'numpy==2']
    """
    asked = chain(project["dependencies"], *project["optional-dependencies"].values())
    found = (re.match(r"([\w-]+)>=([\d.]+)", requirement) for requirement in asked)
    return sorted({f"{bound[1]}=={bound[2]}" for bound in found if bound})


def interpreter(name):
    """The Python for an environment, None if it is not here."""
    supported = environment.SUPPORTED  # best first
    versions = {"oldest": supported[-1:], "newest": supported}.get(name)
    if versions is None:
        versions = [tuple(map(int, name.removeprefix("lock-").split(".")))]
    found = (environment.probe(f"python{major}.{minor}") for major, minor in versions)
    return next(filter(None, found), None)


def bring(name, folder):
    """The Python of an environment in which everything is installed, or was the last time."""
    python, stamp = folder / "bin" / "python", folder / "settings.txt"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = ROOT / "requirements.lock"
    wanted = f"{project}\n{lock.read_text(encoding='utf-8')}"  # a linter's settings do not matter
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    subprocess.run([interpreter(name).path, "-m", "venv", "--clear", folder], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if name in LOCKED:
        subprocess.run([*pip, "--require-hashes", "-r", lock], check=True)
        subprocess.run([*pip, "--no-build-isolation", "--no-deps", "-e", ROOT], check=True)
    else:
        limits = folder / "limits.txt"
        bounds = oldest(project) if name == "oldest" else []
        limits.write_text("\n".join(bounds), encoding="utf-8")
        subprocess.run([*pip, "-e", f"{ROOT}[test,book]", "-c", limits], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def tried(name):
    """Whether all fits together and every test passes in an environment."""
    print(f"== {name}", flush=True)
    options = ["-n", "0", "-q", "-p", "no:cacheprovider"]
    options += [] if name in LOCKED else ["-p", "portable"]
    if name == "oldest":  # its packages deprecate each other
        options += ["-W", "ignore::DeprecationWarning"]
    try:
        python = bring(name, FOLDER / name)
        for step in (["pip", "check"], ["pytest", *options, *elsewhere.tests(ROOT, whole=False)]):
            subprocess.run([python, "-m", *step], cwd=ROOT, check=True)
    except subprocess.CalledProcessError:
        return False
    return True


def main(names):
    """Try the versions; return None, or a sentence about those with which something differs."""
    names = names or NAMES
    if unknown := set(names) - set(NAMES):
        return f"There is no {unknown.pop()}: {', '.join(NAMES)}."
    here = [name for name in names if interpreter(name)]
    failed = [name for name in here if not tried(name)]
    for name in set(names) - set(here):
        print(f"{name}: not tried, its Python is not here")
    print(f"{len(here)} of {len(names)} versions tried, {len(failed)} differ")
    return f"Something differs with {', '.join(failed)}." if failed else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
