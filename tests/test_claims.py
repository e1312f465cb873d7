"""The list of claims, `book/claims.yml`: complete, well formed, and each claim said once."""

import re
from pathlib import Path

import pytest
import yaml

CLAIMS = yaml.safe_load(
    (Path(__file__).parents[1] / "book" / "claims.yml").read_text(encoding="utf-8")
)

REQUIRED = {"id", "kind", "chapter", "en", "ko"}
OPTIONAL = {"post", "source", "note", "rule"}
FROM_POSTS = 46
KINDS = {"shown", "measured", "shown and measured"}

# Also the chapters that are still to come: a claim names its chapter before the chapter exists.
CHAPTERS = {
    "signal_propagation", "forward_pass", "running_averages", "training", "computational_graph",
    "backward_pass", "scale_invariance", "covariate_shift", "smoothness", "regularization",
    "distribution_shift", "relatives",
}  # fmt: skip
WORKSHOPS = {
    "gradient_checks", "bug_clinic", "whitening", "frameworks", "many_workers", "full_scale",
    "on_one_page",
}  # fmt: skip

HANGUL = re.compile("[가-힣]")


def test_every_id_stands_once_and_in_order():
    numbers = range(1, len(CLAIMS) + 1)
    assert [claim["id"] for claim in CLAIMS] == [f"C{number:02d}" for number in numbers]
    assert [claim["id"] for claim in CLAIMS if "post" in claim] == [
        f"C{number:02d}" for number in range(1, FROM_POSTS + 1)
    ]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
class TestEachClaim:
    def test_has_the_keys_of_a_claim(self, claim):
        assert REQUIRED <= claim.keys() <= REQUIRED | OPTIONAL

    def test_has_only_text(self, claim):
        for key, value in claim.items():
            assert isinstance(value, str) and value.strip(), key

    def test_is_of_a_known_kind(self, claim):
        assert claim["kind"] in KINDS

    def test_names_a_post_or_another_source(self, claim):
        assert ("post" in claim) != ("source" in claim)
        assert re.match(r"[0-4]\b", claim.get("post", "0"))
        assert re.match(r"https://\S+$", claim.get("source", "https://example.org"))

    def test_names_a_page_of_the_curriculum(self, claim):
        assert claim["chapter"] in CHAPTERS | WORKSHOPS

    def test_has_each_language_where_it_belongs(self, claim):
        assert HANGUL.search(claim["ko"])
        assert not HANGUL.search(claim["en"] + claim.get("note", ""))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_two_claims_say_the_same(language):
    said = {}
    for claim in CLAIMS:
        words = re.sub(r"\W+", " ", claim[language]).strip().casefold()
        assert words not in said, f"{claim['id']} repeats {said[words]}"
        said[words] = claim["id"]
