"""Do the same numbers come out elsewhere? Quick tests and notebooks in other surroundings.

    python tests/elsewhere.py               in all of them
    python tests/elsewhere.py home network  in those whose names begin so
    python tests/elsewhere.py --list        what there is

The notebooks are compared digit by digit: two of them, and all where numbers are computed in
another order, which may show anywhere. Each place has a proof, a line of Python that fails
anywhere else. Where it fails (a processor without AVX-512, a user who may not cut the network)
nothing is run, and the place is named and counted apart: it has not been tried.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy._core._multiarray_umath as umath

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ("how_we_measure", "running_averages")
# The tests that are quick and that surroundings may touch: numbers, text, files, folders, caches.
QUICK = """
    checkpoints claims convolution datasets display downloads figures functional gradcheck graph
    imports intervals landscape layers ledger links main make normalization optim plots portable
    training
""".split()
# Settings of the caller's that would hide those of the surroundings.
FOREIGN = ("PYTHON", "XDG_", "MPL", "IPYTHON", "JUPYTER", "OPENBLAS_", "NPY_", "LC_", "LANG", "TZ")
SCRATCH = "{scratch}"  # a new folder for each


class Place(NamedTuple):
    """Surroundings: what they are, their proof, variables, what starts a program there, and where.

    A variable that is None is taken away. Every text may have {scratch} in it. A clone has the last
    commit, and what runs there is its own. In some places the whole book runs.
    """

    shows: str
    proof: str
    environment: dict[str, str | None]
    start: tuple[str, ...] = ()
    folder: str = str(ROOT)
    clone: bool = False
    whole: bool = False


def shell(script, *before):
    """A program that runs a line of shell, and then what follows it on the command line."""
    return *before, "sh", "-c", f'{script} && exec "$@"', "sh"


def apart(*what):
    """A namespace of one's own: root's right, which others have where they may play root."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return ("unshare", *what) if root else ("unshare", "--map-root-user", *what)


def kernel(name):
    """One of OpenBLAS's kernels for products of matrices."""
    return Place(
        f"products of matrices by OpenBLAS's kernel for {name}",
        "import numpy, threadpoolctl; numpy.ones((9, 9)) @ numpy.ones((9, 9));"
        f" assert threadpoolctl.threadpool_info()[0]['architecture'] == '{name}'",
        {"OPENBLAS_CORETYPE": name},
        whole=True,
    )


def encoding(name):
    """The proof that this is the locale's encoding."""
    return f"import locale; assert locale.getpreferredencoding().lower() == '{name}'"


NOT_UTF8 = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "cp949"}
FAST = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]
PLACES = {
    "order-1": Place("tests in a random order", "", {"BNLIB_ORDER": "1"}),
    "order-2": Place("tests in another random order", "", {"BNLIB_ORDER": "2"}),
    "time": Place(
        "where it is tomorrow already",
        "import time; assert time.timezone < -12 * 3600",
        {"TZ": "Pacific/Apia"},
    ),
    "locale-korean": Place(
        "a Korean locale that is not UTF-8, and cp949 on the console",
        encoding("euc-kr"),
        {"LC_ALL": "ko_KR.EUC-KR", "LOCPATH": SCRATCH, **NOT_UTF8},
        shell(f"(localedef -i ko_KR -f EUC-KR {SCRATCH}/ko_KR.EUC-KR; true)"),
    ),
    "locale-c": Place(
        "a locale that knows nothing but ASCII, and cp949 on the console",
        encoding("ansi_x3.4-1968"),
        {"LC_ALL": "C", **NOT_UTF8},
    ),
    "folder": Place(
        "another working directory",
        f"import os; assert os.getcwd() == '{SCRATCH}'",
        {},
        folder=SCRATCH,
    ),
    "home-none": Place("no HOME", "import os; assert 'HOME' not in os.environ", {"HOME": None}),
    "home-read-only": Place(
        "a home that nobody can write",
        "import os; assert not os.access(os.environ['HOME'], os.W_OK)",
        {"HOME": SCRATCH},
        shell(f"mount -t tmpfs -o ro none {SCRATCH}", *apart("--mount")),
    ),
    "path": Place(
        "a clone in a folder with spaces and Korean letters",
        "import os, bnlib; assert bnlib.__file__.startswith(os.getcwd())",
        {},
        folder=f"{SCRATCH}/책 한 권, 둘째 판",
        clone=True,
    ),
    "network": Place(
        "no network but the machine's own",
        "import socket; assert [name for _, name in socket.if_nameindex()] == ['lo']",
        {},
        shell("ip link set lo up", *apart("--net")),
    ),
    "background": Place(
        "in the background, where Ctrl-C is ignored",
        "import signal; assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN",
        {},
        shell("trap '' INT"),
    ),
    "simd": Place(
        f"numpy without {', '.join(FAST)}",
        "import numpy._core._multiarray_umath as umath;"
        f" assert {FAST} and not any(umath.__cpu_features__[name] for name in {FAST})",
        {"NPY_DISABLE_CPU_FEATURES": " ".join(FAST)},
        whole=True,
    ),
    "threads": Place(
        "two threads of BLAS",
        "import numpy, threadpoolctl;"
        " assert threadpoolctl.threadpool_info()[0]['num_threads'] == 2",
        {"OPENBLAS_NUM_THREADS": "2"},
    ),
    **{f"blas-{name}": kernel(name) for name in ("Nehalem", "Sandybridge", "Haswell", "SkylakeX")},
}


def tests(root, whole):
    """The quick tests and the notebooks, by their paths."""
    quick = [root / "tests" / f"test_{name}.py" for name in QUICK]
    some = [root / "book" / f"{name}.ipynb" for name in NOTEBOOKS]
    notebooks = sorted((root / "book").glob("*.ipynb")) if whole else some
    return [str(path) for path in quick + notebooks]


def environment(place, root, scratch):
    """The caller's variables without those that would hide the place's, and the place's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    kept |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    for key, value in place.environment.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value.replace(SCRATCH, scratch)
    return kept


def tried(place, scratch):
    """What pytest said in a place, and whether all was well; None where its proof fails."""
    folder = Path(place.folder.replace(SCRATCH, scratch))
    root = folder if place.clone else ROOT
    if place.clone:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(root)], check=True)

    def python(*arguments):
        start = [text.replace(SCRATCH, scratch) for text in place.start]
        return subprocess.run(
            [*start, sys.executable, *arguments],
            cwd=folder,
            env=environment(place, root, scratch),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    try:
        proved = python("-c", place.proof.replace(SCRATCH, scratch)).returncode == 0
    except OSError:  # no program of that name
        proved = False
    if not proved:
        return None
    options = ["-c", str(root / "pyproject.toml"), "-n", "0", "-q", "-p", "no:cacheprovider"]
    done = python("-m", "pytest", *options, *tests(root, place.whole))
    return done.stdout.decode("utf-8", "replace"), done.returncode == 0


def main(arguments):
    """Try the places; return None, or a sentence about those where something differs."""
    parser = argparse.ArgumentParser(prog="python tests/elsewhere.py", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PLACES))
    parser.add_argument("--list", action="store_true", help="say what there is, and stop")
    asked = parser.parse_args(arguments)
    begins = tuple(asked.names) or ("",)
    places = {name: place for name, place in PLACES.items() if name.startswith(begins)}
    failed, absent = [], []
    for name, place in places.items():
        if asked.list:
            print(f"{name:17}{place.shows}")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            answer = tried(place, scratch)
        if answer is None:
            absent.append(name)
            print(f"{name}: not tried, {place.shows} is not to be had here", flush=True)
            continue
        text, good = answer
        print(f"{name}: {text.strip().splitlines()[-1] if good else text}", flush=True)
        failed += [] if good else [name]
    print(f"{len(places) - len(absent)} of {len(places)} surroundings tried, {len(failed)} differ")
    return f"Something differs in {', '.join(failed)}." if failed else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
