"""Who may know whom: the arrows of the design, read from the source and from what gets loaded."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "bnlib"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_CODE_LINES = 300
CHECKS = "checks"

# Module of bnlib: what it may import from bnlib. CHECKS stands below all and may be used by all.
# `graph` and `normalization` derive the same gradient twice; their agreement is the test's worth,
# so they never know each other.
BASE = {"normalization", "functional", "graph", "gradcheck", "optim", "verdicts", "datasets"}
MODEL = BASE | {"layers"}
TRAINED = MODEL | {"training", "ensembles"}
MAY_KNOW = {
    "checks": set(),
    "checkpoints": set(),
    "normalization": {"relatives"},
    "kernels": set(),
    "compiled": {"kernels", "layers", "normalization"},
    "relatives": set(),
    "functional": {"convolution"},
    "convolution": set(),
    "graph": set(),
    "gradcheck": set(),
    "optim": set(),
    "intervals": set(),
    "rules": set(),
    "verdicts": {"intervals", "rules"},
    "datasets": {"downloads"},
    "downloads": {"idx"},
    "idx": set(),
    "layers": BASE,
    "training": MODEL,
    "ensembles": MODEL | {"training"},
    "whitening": set(),
    "diagnostics": TRAINED | {"landscape"},
    "landscape": MODEL,
    "covariate_shift": MODEL,
    "batch_noise": MODEL,
    "silencing": MODEL,
    "conventions": MODEL,
    "folding": MODEL,
    "doctor": TRAINED,
    "inference": TRAINED,
    "ood": TRAINED,
    "experiments": TRAINED
    | {"diagnostics", "downloads", "inference", "ood", "whitening"}
    | {"covariate_shift", "landscape", "batch_noise", "silencing"},
    "exercises": {"normalization", "relatives", "graph", "gradcheck", "verdicts"},
    "workers": {"normalization", "layers"},
    "graph_layout": set(),
    "graph_words": {"graph"},
    "graph_drawing": {"graph", "graph_layout", "graph_words", "plots", "plot_checks"},
    "plot_checks": set(),
    "plots": {"plot_checks"},
    "effect_plots": {"plots", "plot_checks"},
    "landscape_plots": {"plots", "plot_checks"},
    "shift_plots": {"plots", "plot_checks"},
    "whitening_plots": {"plots", "plot_checks"},
    "framework_plots": {"plots", "plot_checks"},
    "noise_plots": {"plots", "plot_checks"},
    "ood_plots": {"plots", "plot_checks"},
    "relatives_plots": {"plots", "plot_checks"},
    "running_plots": {"plots", "plot_checks"},
    "display": {"plots", "graph_drawing"},
    "widgets": {"display", "plots", "plot_checks", "graph_drawing"},
    "__init__": {"normalization"},
    "__main__": set(),
}

# Packages beyond numpy and the standard library: at the top of a module, and inside functions only.
AT_TOP = {
    "plot_checks": {"matplotlib"},
    "plots": {"matplotlib"},
    "effect_plots": {"matplotlib"},
    "landscape_plots": {"matplotlib"},
    "shift_plots": {"matplotlib"},
    "whitening_plots": {"matplotlib"},
    "framework_plots": {"matplotlib"},
    "noise_plots": {"matplotlib"},
    "ood_plots": {"matplotlib"},
    "relatives_plots": {"matplotlib"},
    "running_plots": {"matplotlib"},
    "graph_drawing": {"matplotlib"},
    "display": {"matplotlib", "IPython"},
    "widgets": {"matplotlib", "IPython", "ipywidgets"},
}
INSIDE_FUNCTIONS = {
    "compiled": {"numba"},
    "datasets": {"sklearn"},
    "downloads": {"pooch", "requests", "urllib3", "tqdm"},
    "intervals": {"scipy"},
    "training": {"tqdm"},
    "ensembles": {"tqdm", "joblib"},
    "diagnostics": {"tqdm", "joblib", "sklearn"},
    "inference": {"tqdm", "joblib", "sklearn"},
    "ood": {"tqdm", "joblib", "sklearn"},
    "exercises": {"scipy"},
    "experiments": {"tqdm", "joblib", "sklearn", "threadpoolctl", "distributed"},
    "workers": {"mpi4py"},
    "display": {"matplotlib", "IPython"},
    "widgets": {"matplotlib", "IPython", "ipywidgets"},
}
# What numpy.random offers without a hidden global state.
WITHOUT_STATE = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64", "Philox"}


def module_of(path):
    """`bnlib/experiments/training.py` is part of the module `experiments`."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def at_import(tree):
    """Yield the nodes that run when the module is imported: all but the bodies of functions."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            defaults = [default for default in node.args.kw_defaults if default]
            waiting += [*node.args.defaults, *defaults, *getattr(node, "decorator_list", [])]
        else:
            waiting += ast.iter_child_nodes(node)


def imported(nodes):
    """Yield the dotted names that import statements among the nodes name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "bnlib" if node.level else ""
            base = ".".join(part for part in (start, node.module) if part)
            if base == "bnlib":
                yield from (f"bnlib.{alias.name}" for alias in node.names)
            else:
                yield base


def neighbours(tree):
    """The modules of bnlib that a module imports, anywhere."""
    names = imported(ast.walk(tree))
    return {name.split(".")[1] for name in names if name.startswith("bnlib.")}


def packages(nodes):
    """The packages beyond numpy, bnlib and the standard library among import statements."""
    tops = {name.split(".")[0] for name in imported(nodes)}
    return tops - set(sys.stdlib_module_names) - {"numpy", "bnlib"}


def wrong_arrows(module, tree):
    """Yield a sentence for each import that the tables above do not allow."""
    if module not in MAY_KNOW:
        yield f"{module} has no place in MAY_KNOW: the design says who may know whom"
        return
    for other in sorted(neighbours(tree) - MAY_KNOW[module] - {CHECKS, module}):
        yield f"{module} must not import bnlib.{other}"
    top = packages(at_import(tree)) - AT_TOP.get(module, set())
    for name in sorted(top):
        yield f"{module} must not import {name} at its top"
    allowed = INSIDE_FUNCTIONS.get(module, set()) | AT_TOP.get(module, set())
    for name in sorted(packages(ast.walk(tree)) - top - allowed):
        yield f"{module} must not import {name}, not even inside a function"


def dotted(node):
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def hidden_randomness(tree):
    """Yield a sentence for random numbers that no `rng` argument controls."""
    for node in ast.walk(tree):
        name = dotted(node)
        for prefix in ("np.random.", "numpy.random."):
            if name.startswith(prefix) and name.count(".") == 2:
                if name.removeprefix(prefix) not in WITHOUT_STATE:
                    yield f"line {node.lineno}: {name} uses numpy's global generator"
    for node in at_import(tree):
        if isinstance(node, ast.Call) and ".random." in f".{dotted(node.func)}":
            yield f"line {node.lineno}: {dotted(node.func)} runs at import: take `rng` instead"
    for name in imported(ast.walk(tree)):
        if name == "random" or name.startswith(("random.", "numpy.random")):
            yield f"imports {name}: take `rng: np.random.Generator` as an argument"


def shortcuts(tree):
    """Yield a sentence for star imports and for changes of sys.path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield f"line {node.lineno}: star import"
        if dotted(node) == "sys.path":
            yield f"line {node.lineno}: sys.path"


def code_lines(source):
    """Count the lines that hold code: not blank, no comment, no docstring."""
    tree = ast.parse(source)
    docstrings = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(getattr(body[0].value, "value", None), str):
                docstrings.update(range(body[0].lineno, body[0].end_lineno + 1))
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    empty |= {tokenize.ENDMARKER, tokenize.ENCODING}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in empty:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


# --- the source ----------------------------------------------------------------------------------


def file_id(path):
    return path.relative_to(PACKAGE).as_posix()


@pytest.fixture(params=FILES, ids=file_id)
def source_file(request):
    return request.param


def test_imports_follow_the_design(source_file):
    tree = ast.parse(source_file.read_text(encoding="utf-8"))
    assert not list(wrong_arrows(module_of(source_file), tree))


def test_nothing_is_imported_by_star_or_found_by_path(source_file):
    assert not list(shortcuts(ast.parse(source_file.read_text(encoding="utf-8"))))


def test_randomness_comes_from_an_argument(source_file):
    assert not list(hidden_randomness(ast.parse(source_file.read_text(encoding="utf-8"))))


def test_a_file_can_be_read_in_one_sitting(source_file):
    count = code_lines(source_file.read_text(encoding="utf-8"))
    assert count <= MAX_CODE_LINES, f"{file_id(source_file)} has {count} lines of code: split it"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("graph", "from bnlib.normalization import batch_norm"),
        ("graph", "from bnlib import normalization"),
        ("graph", "from . import normalization"),
        ("graph", "from .normalization import batch_norm"),
        ("normalization", "import bnlib.graph"),
        ("normalization", "def f():\n    from bnlib import graph"),
        ("layers", "from bnlib import plots"),
        ("training", "def f():\n    from bnlib.widgets import guess"),
        ("plots", "from bnlib import display"),
        ("display", "from bnlib import widgets"),
        ("layers", "import torch"),
        ("layers", "def f():\n    import torch.nn"),
        ("datasets", "from sklearn.datasets import load_digits"),
        ("datasets", "class A:\n    import pooch"),
        ("plots", "import ipywidgets"),
        ("somewhere_new", "import numpy"),
    ],
)
def test_wrong_arrows_are_seen(module, source):
    assert list(wrong_arrows(module, ast.parse(source)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("layers", "import contextlib\nimport numpy as np\nfrom bnlib import checks, functional"),
        ("datasets", "def digits():\n    from sklearn.datasets import load_digits"),
        ("widgets", "import ipywidgets\nfrom bnlib.display import show"),
    ],
)
def test_right_arrows_pass(module, source):
    assert not list(wrong_arrows(module, ast.parse(source)))


@pytest.mark.parametrize("source", ["from numpy import *", "import sys\nsys.path.append('x')"])
def test_shortcuts_are_seen(source):
    assert list(shortcuts(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    return np.random.randn(3)",
        "np.random.seed(0)",
        "RNG = np.random.default_rng(0)",
        "def f(rng=np.random.default_rng(0)):\n    return rng",
        "def f(*, rng=np.random.default_rng(0)):\n    return rng",
        "class A:\n    rng = np.random.default_rng(0)",
        "import random",
        "from numpy.random import default_rng",
    ],
)
def test_hidden_randomness_is_seen(source):
    assert list(hidden_randomness(ast.parse(source)))


def test_randomness_from_an_argument_passes():
    source = "def f(rng: np.random.Generator):\n    return np.random.default_rng(rng).normal()"
    assert not list(hidden_randomness(ast.parse(source)))


def test_code_lines_are_counted():
    source = '"""Docstring\nof two lines."""\n\n# comment\nx = [\n    1,\n]  # three lines\n\n\n'
    source += 'def f():\n    """Docstring."""\n    return """text\n\ntext"""\n'
    assert code_lines(source) == 7


# --- what really gets loaded ---------------------------------------------------------------------

MODULES = {module_of(path) for path in FILES} - {"__init__"}


def loaded(statement, warnings=()):
    """The modules in a fresh interpreter after a statement; told warnings need not be errors."""
    report = "import sys; print('\\n'.join(sys.modules))"
    command = [sys.executable, *(f"-W{one}" for one in ("error", *warnings))]
    command += ["-c", f"{statement}\n{report}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def foreign(modules):
    """The packages that neither Python nor numpy has loaded by itself."""
    return {name.split(".")[0] for name in modules - WITH_NUMPY} - set(sys.stdlib_module_names)


WITH_NUMPY = loaded("import numpy")


def all_of(modules):
    return ", ".join(["bnlib", *(f"bnlib.{name}" for name in sorted(modules))])


def test_importing_loads_numpy_and_nothing_heavier():
    assert foreign(loaded(f"import {all_of(MODULES - AT_TOP.keys())}")) == {"bnlib"}


def test_heavier_packages_would_be_seen():
    assert "sklearn" in foreign(loaded("import bnlib, sklearn"))


def test_drawing_does_not_need_pyplot(pytestconfig):
    told = pytestconfig.getoption("pythonwarnings") or ()  # tests/versions.py: of old packages
    modules = loaded(f"import {all_of(MODULES & AT_TOP.keys())}", told)
    assert "matplotlib" in modules and "matplotlib.pyplot" not in modules
