"""The tests themselves: each can fail, and none is left out in silence."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
FILES = sorted(TESTS.glob("*.py"))
# What raises where something is wrong, besides `assert`.
ASSERTIONS = {"raises", "warns", "fail"}
# File: how often it may skip, and where. In CI the browser, MPI, Dask and numba must be there.
SKIPS = {
    "conftest.py": (2, "no browser; no package of an extra"),
    "test_anchors.py": (1, "no git"),
    "test_answering.py": (1, "no POSIX"),
    "test_arithmetic.py": (1, "no x86-64"),
    "test_checkpoints.py": (1, "no SIGKILL"),
    "test_cluster.py": (1, "Windows"),
    "test_compiled.py": (1, "no numba"),
    "test_conventions.py": (3, "no PyTorch"),
    "test_datasets.py": (1, "no MNIST at hand"),
    "test_downloads.py": (5, "no pooch or tqdm; Windows"),
    "test_ensembles.py": (1, "no threadpoolctl"),
    "test_experiments.py": (3, "Windows; no tqdm"),
    "test_folding.py": (1, "no PyTorch"),
    "test_full_scale.py": (1, "no MNIST at hand"),
    "test_grading.py": (3, "no POSIX, no fork, no Linux"),
    "test_inference.py": (2, "no PyTorch"),
    "test_kills.py": (1, "Windows"),
    "test_make.py": (1, "Windows"),
    "test_mutation.py": (1, "no Linux"),
    "test_ood.py": (1, "no PyTorch"),
    "test_optim.py": (1, "no PyTorch"),
    "test_pictures.py": (1, "another matplotlib"),
    "test_properties.py": (1, "no PyTorch"),
    "test_side_by_side.py": (1, "no jupyter_cache"),
    "test_torch.py": (1, "no PyTorch"),
    "test_training.py": (1, "no tqdm"),
    "test_whitening.py": (1, "no PyTorch"),
}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def called(node):
    """The last name of everything that is called: `raises` of `pytest.raises(…)`."""
    calls = [inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    return {
        call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls
    }


def kept(node):
    """Whether it is `check=True`: a program that must succeed."""
    return isinstance(node, ast.keyword) and node.arg == "check" and getattr(node.value, "value", 0)


def asserts(node, helpers):
    """Whether a function has an assertion, or calls something that has."""
    names = called(node)
    return (
        any(isinstance(inner, ast.Assert | ast.Raise) for inner in ast.walk(node))
        or bool(names & (ASSERTIONS | helpers))
        or any(kept(inner) for inner in ast.walk(node))
        or any(name.startswith(("assert_", "check_", "expect")) for name in names)
    )


def asserting(trees):
    """The names of helpers that assert, directly or through others."""
    helpers, known = set(), None
    everything = [node for tree in trees for node in functions(tree)]
    while known != helpers:
        known = set(helpers)
        helpers |= {node.name for node in everything if asserts(node, helpers)}
    return helpers


def test_no_test_is_without_an_assertion():
    trees = {file.name: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
    helpers = asserting(trees.values())
    without = [
        f"{name}: {node.name}"
        for name, tree in trees.items()
        for node in functions(tree)
        if node.name.startswith("test_") and not asserts(node, helpers)
    ]
    assert without == []


def test_the_test_sees_one_without():
    tree = ast.parse("def test_nothing():\n    f(1)\ndef f(x):\n    return x == 2")
    assert not asserts(functions(tree)[0], asserting([tree]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_test_is_skipped_beyond_the_named_few(file):
    skips = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("skip", "skipif", "importorskip", "xfail", "skipTest", "SkipTest")
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr)
        in ("pytest", "mark", "unittest", "self")
    ]
    assert len(skips) == SKIPS.get(file.name, (0, ""))[0], [node.lineno for node in skips]
