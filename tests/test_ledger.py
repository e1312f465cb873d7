"""The ledger: verdicts from notebooks, effects in words and drawn, and the tables beside them."""

import csv
import io
import itertools
import math
import re
from html import unescape

import citing
import forest
import ledger
import pytest
from ledger import Judged
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bnlib.verdicts import Contrast, Finding, Interval, Rule, Verdict, verdict


def claim(name, post, en, ko, **more):
    return {"id": name, "post": post, "kind": "shown", "en": en, "ko": ko, **more}


CLAIMS = [
    claim("C01", "0", "Scale\nmatters.", "크기가 중요하다."),
    claim("C05", "0, 1", "Mean 0.", "평균은 0이다."),
    claim("C09", "1 (against 2)", "No.", "아니다.", note="Yes."),
]


def chapter(*printed, target=""):
    """A chapter whose one code cell has printed these lines."""
    output = new_output("stream", name="stdout", text="\n".join(printed) + "\n")
    title = new_markdown_cell(f"# Follow the numbers\n{target}")
    return new_notebook(cells=[title, new_code_cell("show()", outputs=[output])])


def rows_of(text):
    """A ledger's rows by anchor."""
    rows = text.split('<div class="bn-claim"')[1:]
    return {re.search(r"^\((c\d\d)\)=$", row, flags=re.M)[1]: row for row in rows}


def rows(*chapters, rules=()):
    books = {f"chapter_{i}": book for i, book in enumerate(chapters)}
    return rows_of(ledger.ledger(CLAIMS, books, rules))


# --- verdicts from notebooks ----------------------------------------------------------------------


def test_without_a_verdict_a_claim_is_not_yet_tested():
    found = rows(chapter("nothing about it"))
    assert list(found) == ["c01", "c05", "c09"]
    assert all("**not yet tested**</span>\n" in row for row in found.values())
    assert "**C01** Scale matters.\\\n" in found["c01"]
    assert '<span lang="ko">크기가 중요하다.</span>' in found["c01"]
    assert "posts 0, 1" in found["c05"]
    assert "*Note.* Yes." in found["c09"]


def test_a_verdict_line_gives_the_verdict_and_the_place():
    row = rows(chapter("other", "verdict C05: holds when eps = 0"))["c05"]
    assert "**holds when eps = 0**</span> in [Follow the numbers](chapter_0.ipynb)" in row
    assert ' data-post="0 1" data-parts="holds-when:chapter_0">' in row
    row = rows(chapter("verdict C05: holds", target="\n(zero-mean)="))["c05"]
    assert "**holds**</span> in [Follow the numbers](#zero-mean)" in row


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        (["verdict C99: holds"], "prints a verdict for C99"),
        (["verdict C05: holds", "verdict C05: does not hold here"], "C05 must have one verdict"),
        (
            ["verdict C05 (a): holds", "verdict C05 (a): does not hold here"],
            r"C05 \(a\) must have one verdict",
        ),
        (["verdict C99 (a): holds"], "prints a verdict for C99"),
        (["verdict C05: probably"], "no verdict that I know"),
        (["verdict C05 (): holds"], "no verdict that I know"),
        (["verdict C05 (a) holds"], "no verdict that I know"),
        (["verdict C5: holds"], "no verdict that I know"),
    ],
)
def test_verdicts_that_do_not_fit_are_refused(printed, sentence):
    with pytest.raises(ledger.LedgerError, match=sentence):
        rows(chapter(*printed))


def test_two_chapters_cannot_disagree():
    with pytest.raises(ledger.LedgerError, match="C05 must have one verdict"):
        rows(chapter("verdict C05: holds"), chapter("verdict C05: not resolved here"))


def test_a_claim_shows_all_its_parts_and_where_they_stand():
    first = chapter(
        "verdict C05 (the mean): holds",
        "verdict C05 (the variance): holds when eps = 0",
        "verdict C05 (the mean): holds",
        target="\n(zero-mean)=",
    )
    row = rows(first, chapter("verdict C05: does not hold here"))["c05"]
    assert "**holds**</span> (the mean) in [Follow the numbers](#zero-mean)\n" in row
    assert "**holds when eps = 0**</span> (the variance) in [Follow" in row
    assert "**does not hold here**</span> in [Follow the numbers](chapter_1.ipynb)\n" in row
    parts = "holds:chapter_0 holds-when:chapter_0 does-not-hold-here:chapter_1"
    assert f'data-parts="{parts}"' in row


def test_a_claim_of_no_post_names_its_source():
    others = claim("C10", "", "Bold.", "대담하다.", source="https://example.org/paper")
    del others["post"]
    known = [*CLAIMS, others], {"a": chapter("verdict C10: holds")}
    text = ledger.ledger(*known)
    assert "make the 3 claims below, and others the last ones; this" in text
    row = rows_of(text.split("## Elsewhere\n")[1])["c10"]
    assert 'data-post="elsewhere"' in row
    assert "shown, [source](https://example.org/paper)</span>" in row
    assert '<option value="elsewhere">elsewhere</option>' in text
    assert "C10,,holds,shown,https://example.org/paper,a," in ledger.tables(*known)["claims.csv"]


def test_the_kinds_of_verdicts_are_counted():
    lines = ["verdict C05 (a): holds", "verdict C05 (b): holds when hot", "verdict C09: holds"]
    text = ledger.ledger(CLAIMS, {"a": chapter(*lines)})
    assert "**holds** (2)" in text
    assert "**holds when …** (1)" in text
    assert "**not resolved here** (0)" in text
    assert "Tested so far: 2 of 3." in text


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (["C09: holds", "C09 (on MNIST): holds"], "They agree."),
        (
            ["C09: holds", "C09 (on MNIST): not resolved here"],
            "They disagree: **holds** on the digits, **not resolved here** on MNIST.",
        ),
        (
            ["C09 (a): holds", "C09 (b): holds", "C09 (b, on MNIST): holds when cold",
             "C09 (a, on MNIST): holds"],
            "They disagree (b): **holds** on the digits, **holds when cold** on MNIST. "
            "They agree (a).",
        ),
        (["C09 (a): holds"], None),
        (["C09 (a, on MNIST): holds"], None),
    ],
)  # fmt: skip
def test_where_mnist_and_the_digits_disagree_is_said(printed, told):
    row = rows(chapter(*(f"verdict {line}" for line in printed)))["c09"]
    if told is None:
        assert "MNIST and the digits" not in row
    else:
        assert f"*MNIST and the digits.* {told}\n" in row


def test_an_id_stands_once_among_the_claims():
    with pytest.raises(ledger.LedgerError, match="'C01'"):
        ledger.ledger([*CLAIMS, CLAIMS[0]], {})


def test_every_page_of_the_table_of_contents_is_found():
    contents = {
        "root": "intro",
        "parts": [
            {"caption": "One", "chapters": [{"file": "a", "sections": [{"file": "b.ipynb"}]}]},
            {"chapters": [{"file": "c"}, {"url": "https://example.org"}]},
        ],
    }
    assert list(ledger.chapters(contents)) == ["intro", "a", "b", "c"]


# --- rules and effects ----------------------------------------------------------------------------


def finding(name, estimate, *, wanted="more", scale="linear", answer="yes", seeds=20):
    smallest = {"most": 0.5, "more": 1.25 if scale == "log" else 0.01}[wanted]
    contrast = Contrast(name, "loss", {"a": 1.0}, wanted, smallest, scale)
    return Finding(
        contrast, Interval(estimate, 0.9 * estimate, 1.1 * estimate), 0.01, answer, seeds
    )


def measured(*findings, verdict="holds", part="", claim="C09", when=None):
    """A rule of these findings, and its verdict."""
    rule = Rule(claim, "A ratio\nabove x1.25.", tuple(f.contrast for f in findings), part=part)
    judged = Verdict(rule, verdict, findings, when or {}, 46)
    return Judged(rule, judged, "races.jsonl", "bnlib/experiments/races.py")


def test_a_rule_is_told_before_there_are_results():
    waiting = measured(finding("BN / plain", 1.5, scale="log"))._replace(verdict=None)
    row = rows(chapter("…"), rules=[waiting])["c09"]
    assert "**not yet tested**</span>\\\n*Rule.* A ratio above x1.25.\n" in row
    assert "bn-effects" not in row


def test_effects_follow_their_rule():
    rules = [
        measured(
            finding("BN / plain", 1.5, scale="log"),
            finding("BN - plain", -0.0123456, answer="no"),
            finding("BN trains", 0.9, wanted="most"),
            finding("steps", 1234.56),
        ),
        measured(finding("gap", 0.0, seeds=40), part="the gap", verdict="not resolved here"),
    ]
    page = chapter("verdict C09: holds", "verdict C09 (the gap): not resolved here")
    row = rows(page, rules=rules)["c09"]
    first, second = row.split("(rule-c09-the-gap)=")
    assert "\n(rule-c09)=\n" in first
    assert "20 seeds, one family of 46 intervals" in first
    assert '<a href="results/races.jsonl">races.jsonl</a>' in first
    assert "`bnlib/experiments/races.py`" in first
    assert "<span>3 of 4 say yes</span>" in first
    said = re.findall(r"<li><span>(.+?)<small>(.+?)</small>", first)
    assert said == [
        ("BN / plain", "<b>yes</b>: x1.50 [1.35, 1.65], asked ≥ x1.25"),
        ("BN - plain", "<b>no</b>: -0.0123 [-0.0111, -0.0136], asked ≥ 0.01"),
        ("BN trains", "<b>yes</b>: 18 of 20 seeds [0.810, 0.990], asked &gt; 0.5 of the seeds"),
        ("steps", "<b>yes</b>: 1235 [1111, 1358], asked ≥ 0.01"),
    ]
    assert "0 [0, 0]" in second
    assert "40 seeds" in second


def test_the_contrasts_of_a_condition_stand_behind_a_verdict_that_names_it():
    need, other, third = finding("a", 1.0), finding("b", 2.0), finding("c", 3.0)
    when = {"it rains": (need, other), "it snows": (third,)}
    rule = measured(need, verdict="holds when it rains", when=when)
    row = rows(chapter("verdict C09: holds when it rains"), rules=[rule])["c09"]
    assert re.findall(r"<li><span>(\w)<", row) == ["a", "b"]
    assert "1 of 1 say yes; and 1 of the condition" in row


def test_a_part_that_waits_is_named_and_not_counted():
    waiting = measured(finding("gap", 1.0), part="the gap")._replace(verdict=None)
    page = {"a": chapter("verdict C09: holds", "verdict C05: holds")}
    text = ledger.ledger(CLAIMS, page, [waiting])
    assert "**not yet tested**</span> (the gap)\\\n" in text
    assert "Tested so far: 1 of 3." in text


def test_a_printed_verdict_must_be_that_of_the_results():
    rules = [measured(finding("gap", 1.0), verdict="does not hold here")]
    with pytest.raises(ledger.LedgerError, match="C09 is 'does not hold here' by its results"):
        rows(chapter("verdict C09: holds"), rules=rules)
    rows(chapter("verdict C09 (else): holds"), rules=rules)
    with pytest.raises(ledger.LedgerError, match="a rule for C99, no known claim"):
        rows(chapter("…"), rules=[measured(finding("gap", 1.0), claim="C99")])
    with pytest.raises(ledger.LedgerError, match="C09 has two rules"):
        rows(chapter("…"), rules=rules * 2)


# --- the common axis ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "smallest", "scale", "interval", "multiples"),
    [
        ("more", 0.01, "linear", (0.03, 0.02, 0.04), (3, 2, 4)),
        ("less", 0.01, "linear", (-0.03, -0.04, -0.02), (3, 2, 4)),
        ("same", 0.01, "linear", (-0.005, -0.01, 0.01), (-0.5, -1, 1)),
        ("not less", 0.01, "linear", (-0.005, -0.02, 0.01), (-0.5, -2, 1)),
        ("not more", 0.01, "linear", (0.005, -0.01, 0.02), (-0.5, -2, 1)),
        ("more", 2.0, "log", (4.0, 0.5, 8.0), (2, -1, 3)),
        ("less", 2.0, "log", (0.25, 0.125, 2.0), (2, -1, 3)),
        ("most", 0.5, "linear", (0.9, 0.5, 1.0), (1.8, 1, 2)),
        ("few", 0.5, "linear", (0.1, 0.0, 0.5), (1.8, 1, 2)),
        ("more", 0.0, "linear", (0.3, 0.2, 0.4), (3, 2, 4)),
        ("more", 1.0, "log", (math.e**3, math.e**2, math.e**4), (3, 2, 4)),
    ],
)
def test_one_is_what_the_rule_asks(wanted, smallest, scale, interval, multiples):
    contrast = Contrast("a", "loss", {"a": 1}, wanted, smallest, scale)
    found = forest.multiples(Finding(contrast, Interval(*interval), 0.01, "yes", 20))
    assert found == pytest.approx(multiples, rel=0.01)


def test_the_axis_is_even_then_by_powers_of_ten_and_ends():
    steps = [forest.place(tick) for tick in forest.TICKS]
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps), abs=0.11)
    assert forest.place(0.5) - forest.place(0) == pytest.approx(gaps[0] / 2, abs=0.1)
    assert forest.place(1e6) == forest.place(forest.FARTHEST) < forest.WIDTH


RULES = ledger.judged_rules()
FINDINGS = [found for judged in RULES if judged.verdict for found in ledger.findings(judged)]


def test_a_yes_lies_in_its_zone_and_a_no_outside():
    answers = set()
    for found in FINDINGS:
        low_yes, high_yes = forest.zone(found.contrast)
        estimate, low, high = forest.multiples(found)
        answers.add(found.answer)
        if found.answer == "yes":
            assert low_yes - 0.01 <= estimate <= high_yes, found
        if found.answer == "no":
            # Intervals of seeds and p-values of counts are two tests: they differ at the edge.
            if found.contrast.wanted not in forest.COUNTS:
                assert high <= low_yes + 0.01 or low >= high_yes - 0.01, found
    assert answers == {"yes", "no", "open"}


@pytest.mark.parametrize("wanted", ["more", "less", "same", "not less", "not more", "most", "few"])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_what_is_asked_is_said_as_verdicts_say_it(wanted, scale):
    if wanted in forest.COUNTS and scale == "log":
        return
    smallest = 1.25 if scale == "log" else 0.4
    values = {("a", "loss"): [0.0, 1.0, 1.0] if wanted in forest.COUNTS else [0.8, 1.0, 1.1]}
    contrast = Contrast("a", "loss", {"a": 1}, wanted, smallest, scale)
    said = str(verdict(values, Rule("C01", "Says.", (contrast,)))).splitlines()[1]
    asked = forest.asked(contrast).replace("≥", ">=").replace("≤", "<=").replace("±", "")
    assert said.endswith(asked.removesuffix(" of the seeds"))


# --- the committed page and its tables ------------------------------------------------------------

KNOWN = *ledger.read(sorted(ledger.BOOK.glob("*.ipynb"))), RULES
PAGE = ledger.LEDGER.read_text(encoding="utf-8")


def table(name):
    return list(csv.DictReader(io.StringIO(ledger.TABLES[name].read_text(encoding="utf-8"))))


def test_the_committed_ledger_is_what_the_notebooks_give():
    assert ledger.ledger(*KNOWN) == PAGE
    for name, text in ledger.tables(*KNOWN).items():
        assert ledger.TABLES[name].read_text(encoding="utf-8") == text


def test_the_rules_of_all_experiments_are_told():
    for judged in RULES:
        rule = judged.rule
        assert f"({ledger.rule_anchor(rule.claim, rule.part)})=\n" in PAGE
        assert f"*Rule.* {ledger.one_line(rule.says)}" in PAGE


def test_the_tables_say_what_the_page_says():
    page = dict(sorted(rows_of(PAGE).items()))
    verdicts, effects = table("claims.csv"), table("effects.csv")
    assert {row["claim"].lower() for row in verdicts} == page.keys()
    told = [
        (name.upper(), verdict, part)
        for name, row in page.items()
        for verdict, part in re.findall(r"\*\*([^*]+)\*\*</span>(?: \(([^)]+)\))?", row)
    ]
    assert [(row["claim"], row["verdict"], row["part"]) for row in verdicts] == told
    drawn = [
        (name.upper(), *map(unescape, found))
        for name, row in page.items()
        for found in re.findall(r"<li><span>([^<]+)<small><b>(\w+)</b>: (.+?)\]", row)
    ]
    assert len(drawn) == len(effects) == len(FINDINGS)
    for row, (name, contrast, answer, numbers) in zip(effects, drawn, strict=True):
        assert [row["claim"], row["contrast"], row["answer"]] == [name, contrast, answer]
        assert numbers.endswith(f"[{row['low']}, {row['high']}")
        if row["wanted"] in forest.COUNTS:
            ones = round(float(row["estimate"]) * int(row["seeds"]))
            assert numbers.startswith(f"{ones} of {row['seeds']} seeds ")
        else:
            assert numbers.removeprefix("x").startswith(f"{row['estimate']} [")


def test_data_and_rules_that_rows_lead_to_are_there():
    root = ledger.BOOK.parent
    for judged in RULES:
        assert (root / judged.code).read_text(encoding="utf-8").count("Rule(")
        assert judged.verdict is None or (root / "results" / judged.data).exists()


# --- citing ---------------------------------------------------------------------------------------


class MadeUpHome:
    site = "https://example.org/bn/"

    def github(self, *parts):
        return "/".join(("https://example.com/me/bn", *parts))


def test_a_citation_has_title_version_place_and_address(monkeypatch):
    work = {"title": "A Book", "version": "2.1", "date-released": "2031-05-06"}
    monkeypatch.setattr(citing, "about", lambda: work | {"authors": [{"name": "Some people"}]})
    place = "claim C32", "claims.html#c32"
    assert citing.citation(*place, "https://example.org/") == (
        "Some people (2031). A Book, version 2.1, claim C32. https://example.org/claims.html#c32"
    )
    assert citing.citation(*place).endswith("version 2.1, claim C32.")
    assert citing.citation().endswith("A Book, version 2.1.")


def test_with_a_home_rows_have_addresses():
    books = {"a": chapter("verdict C09: holds")}
    text = ledger.ledger(CLAIMS, books, [measured(finding("gap", 1.0))], MadeUpHome())
    assert "claim C09. https://example.org/bn/claims.html#c09\n" in text
    code = "bnlib/experiments/races.py"
    assert f"the rule is in [`{code}`](https://example.com/me/bn/blob/main/{code})</span>" in text


def test_every_claim_can_be_cited():
    for name, row in rows_of(PAGE).items():
        assert citing.citation(f"claim {name.upper()}", f"claims.html#{name}") in row
