"""The page on one sheet: what it fills in, and that what it says is so."""

import ledger
import numpy as np
import one_page
import pytest

from bnlib import batch_norm, batch_norm_backward, batch_norm_inference
from bnlib.conventions import CONVENTIONS
from bnlib.folding import fold_batch_norm

CLAIMS = [
    {"id": "C01", "en": "First\nclaim."},
    {"id": "C02", "en": "Second claim."},
    {"id": "C03", "en": "Third claim."},
]
PRINTED = {
    "C01": {"": ("holds", "here"), "fast": ("does not hold here", "here")},
    "C02": {"a": ("holds", "here"), "b": ("holds", "here"), "c": ("holds when asked", "here")},
}
SHORT = {"C01": "one", "C02 (b)": "beta"}


def paragraph(text, group):
    (found,) = (part for part in text.split("\n\n") if part.startswith(f"**{group}:** "))
    return found.partition(":** ")[2]


def test_verdicts_are_grouped_and_said_in_few_words():
    text = one_page.verdicts(CLAIMS, PRINTED, SHORT)
    assert paragraph(text, "holds") == "[C01](#c01) one; [C02](#c02) a, beta."
    assert paragraph(text, "holds when …") == "[C02](#c02) c."
    assert paragraph(text, "does not hold here") == "[C01](#c01) fast."
    assert "not resolved" not in text
    assert "C03" not in text, "a claim that is not tested has no verdict"


def test_mnist_is_named_where_it_says_something_else():
    parts = {"": ("holds when asked", ""), "on MNIST": ("holds when told", "")}
    parts |= {"a": ("holds", ""), "a, on MNIST": ("not resolved here", "")}
    text = one_page.verdicts(CLAIMS[:1], {"C01": parts}, SHORT)
    assert paragraph(text, "holds when …") == "[C01](#c01) one."
    assert paragraph(text, "not resolved here") == "[C01](#c01) a on MNIST."


def test_a_claim_without_short_words_is_said_whole():
    assert "[C01](#c01) First claim" in one_page.verdicts(CLAIMS, PRINTED, {})


def test_every_short_line_belongs_to_a_verdict():
    claims, notebooks = ledger.read(sorted(ledger.BOOK.glob("*.ipynb")))
    printed = ledger.collect_verdicts(notebooks, {claim["id"] for claim in claims})
    known = {ledger.labelled(name, part) for name, parts in printed.items() for part in parts}
    short = one_page.yaml.safe_load(one_page.SHORT.read_text(encoding="utf-8"))
    assert short.keys() <= known
    text = one_page.verdicts_of(sorted(ledger.BOOK.glob("*.ipynb")))
    assert all(f"[{claim['id']}](#" in text for claim in claims)


def test_the_table_has_every_framework():
    lines = one_page.conventions().splitlines()
    assert len(lines) == 2 + len(CONVENTIONS)
    assert "| PyTorch | 0.1 new | 1e‑5 | unbiased | 1 | error |" in lines
    assert "| cuDNN | – new | – | unbiased | – | nan |" in lines


# --- what the page says by hand -------------------------------------------------------------------

EPS = 1e-5


def passed(x, dy, gamma=1.5):
    """x_hat and dx of one channel."""
    _, cache = batch_norm(x[:, None], np.array([gamma]), np.zeros(1), eps=EPS)
    return cache.x_hat[:, 0], batch_norm_backward(dy[:, None], cache)[0][:, 0]


def test_the_jacobian_is_the_backward_pass(rng):
    x, dy, n = rng.normal(size=7), rng.normal(size=7), 7
    x_hat, dx = passed(x, dy)
    scale, ones = 1.5 / np.sqrt(x.var() + EPS), np.ones(n)
    jacobian = scale * (np.eye(n) - np.outer(ones, ones) / n - np.outer(x_hat, x_hat) / n)
    np.testing.assert_allclose(jacobian @ dy, dx, atol=1e-12)
    np.testing.assert_allclose(jacobian @ ones, 0, atol=1e-12)
    np.testing.assert_allclose(jacobian @ x_hat, EPS / (x.var() + EPS) * scale * x_hat, atol=1e-12)
    assert abs(x_hat).max() <= np.sqrt(n - 1)
    np.testing.assert_allclose(x_hat.var(), x.var() / (x.var() + EPS))


def test_degenerate_batches(rng):
    for size in (1, 5):
        dy = rng.normal(size=size)
        x_hat, dx = passed(np.full(size, 3.0), dy)
        np.testing.assert_array_equal(x_hat, 0)
        np.testing.assert_allclose(dx, 1.5 / np.sqrt(EPS) * (dy - dy.mean()), atol=1e-9)
    x_hat, dx = passed(np.array([2.0, 9.0]), rng.normal(size=2))
    np.testing.assert_allclose(x_hat, [-1, 1], atol=EPS)
    np.testing.assert_allclose(dx, 0, atol=EPS)
    small, dy = 1e-6 * rng.normal(size=6), rng.normal(size=6)
    x_hat, dx = passed(small, dy)
    assert abs(x_hat).max() < 1e-2
    np.testing.assert_allclose(dx, 1.5 / np.sqrt(EPS) * (dy - dy.mean()), rtol=1e-4)
    np.testing.assert_allclose(passed(rng.normal(size=6), np.full(6, 2.0))[1], 0, atol=1e-12)


def test_evaluation_is_a_line_and_folds(rng):
    x, weight, bias = rng.normal(size=(8, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)
    mean, gamma, beta = rng.normal(size=(3, 3))
    var = rng.uniform(1, 2, size=3)
    a = gamma / np.sqrt(var + EPS)
    out = batch_norm_inference(x @ weight.T + bias, mean, var, gamma, beta, eps=EPS)
    np.testing.assert_allclose(x @ (a[:, None] * weight).T + a * (bias - mean) + beta, out)
    folded = fold_batch_norm(weight, bias, mean, var, gamma, beta, eps=EPS)
    np.testing.assert_allclose(folded[0], a[:, None] * weight)
    np.testing.assert_allclose(folded[1], a * (bias - mean) + beta)


@pytest.fixture
def rng():
    return np.random.default_rng(8)
