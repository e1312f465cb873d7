"""Every misconception that the book sets out to confront stands on its page, under its anchor.

The quiz, the teachers' page and links from outside lead to these anchors: they stay.
"""

import re

import pytest
from test_book import BOOK_PAGES, cells, made_up, md

# Page by page: the anchor without `misconception-`, and words of the misconception itself.
MISCONCEPTIONS = {
    "forward_pass": {
        "gaussian": "makes the data Gaussian",
        "one-gamma": "One gamma per layer",
        "eps": "only prevents 0/0",
        "undo": "can undo it on every batch",
        "per-pixel": "each example, or each pixel",
        "half-fire": "half of the ReLUs fire",
        "initialization": "frees you from initializing",
    },
    "running_averages": {
        "own-example": "depends on its own example",
        "trained-averages": "Running averages are trained",
        "momentum": "is the optimizer's",
        "freezing": "freezes batch norm",
        "evaluation": "normalizes what it sees",
    },
    "training": {
        "initial-scale": "frees you of initialization",
        "accuracy": "always raises accuracy",
    },
    "computational_graph": {"constants": "constants in the backward pass"},
    "backward_pass": {"constants-backward": "constants in the backward pass"},
    "scale_invariance": {
        "weight-decay": "shrinks the function",
        "eps-small-weights": "only prevents 0/0",
        "learning-rate": "learning rate a matter of taste",
    },
    "covariate_shift": {
        "reason": "because it reduces internal covariate shift",
        "disproved": "has been disproved",
    },
    "smoothness": {"smoother": "Smoother is better"},
    "regularization": {
        "dropout": "replaces dropout",
        "larger-batches": "Larger batches are always better",
        "accumulation": "Accumulated gradients equal",
    },
    "distribution_shift": {
        "protects": "protects from covariate shift",
        "fixed-map": "still normalizes what it sees",
    },
    "relatives": {"axes": "over the features"},
    "gradient_checks": {
        "passing-check": "passed a gradient check",
        "decimals": "More decimals",
        "large-check": "A larger batch",
    },
}
TARGET = re.compile(r"^\(misconception-([\w-]+)\)=\n(\*\*.+)", flags=re.M)


def anchored(page):
    """The misconceptions under an anchor in the section of that name: {anchor: paragraph}."""
    sections = [cell["source"] for _, cell in cells(page, "markdown")]
    sections = [text for text in sections if re.search(r"^## Misconceptions$", text, flags=re.M)]
    return {name: paragraph for text in sections for name, paragraph in TARGET.findall(text)}


@pytest.mark.parametrize("page", BOOK_PAGES, ids=lambda page: page.name)
def test_a_page_confronts_its_misconceptions(page):
    found, wanted = anchored(page), MISCONCEPTIONS.get(page.name, {})
    assert found.keys() == wanted.keys()
    for name, words in wanted.items():
        said, _, mended = found[name].rpartition('"** ')
        assert words in said, f"{name}: the misconception itself"
        assert len(mended) > 20, f"{name}: what is true instead"


def test_every_page_of_the_list_is_in_the_book():
    assert MISCONCEPTIONS.keys() <= {page.name for page in BOOK_PAGES}


def test_the_test_can_go_red():
    text = '## Misconceptions\n\n(misconception-eps)=\n**"It only prevents 0/0."** It sets a scale.'
    assert anchored(made_up(md(text))).keys() == {"eps"}
    assert not anchored(made_up(md(text.replace("(misconception-eps)=\n", ""))))
    assert not anchored(made_up(md(text.replace("## Misconceptions", "## Exercises"))))
