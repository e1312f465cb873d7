"""Verdicts: answers that are known, errors, tables, and what chance alone does, by simulation."""

import numpy as np
import pytest
import scipy.stats

from bnlib import verdicts
from bnlib.verdicts import Contrast, Rule, judge, shown, verdict

SEEDS = 20
PATTERN = np.random.default_rng(5).permutation(np.linspace(-1, 1, SEEDS))
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]  # Student (1908)
# A rate of 2000 simulated families may exceed .05 by three standard errors.
FAMILIES, AT_MOST = 2000, 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


# Shown claims


@pytest.mark.parametrize(
    ("checks", "when", "verdict"),
    [
        ({"a": True, "b": True}, None, "holds"),
        ({"a": True, "b": True}, {"rare": {"c": False}}, "holds"),
        ({"a": True, "b": False}, None, "does not hold here"),
        ({"a": False}, {"rare": {"c": True, "d": True}}, "holds when rare"),
        ({"a": False}, {"rare": {"c": True, "d": False}}, "does not hold here"),
        (
            {"a": False},
            {"x": {"c": True}, "y": {"c": False}, "z": {"c": True}},
            "holds when x, and when z",
        ),
    ],
)
def test_the_verdict_follows_from_the_checks(checks, when, verdict, capsys):
    assert shown("C05", checks, when) == verdict
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"verdict C05: {verdict}"
    assert len(lines) == 1 + len(checks) + sum(map(len, (when or {}).values()))
    assert lines[0].startswith("yes" if next(iter(checks.values())) else "no")


def test_a_part_stands_in_the_line(capsys):
    shown("C31", {"a": True}, part="the values")
    assert capsys.readouterr().out.splitlines()[-1] == "verdict C31 (the values): holds"


@pytest.mark.parametrize("arguments", [({},), ({"a": False}, {"rare": {}})])
def test_a_verdict_needs_checks(arguments):
    with pytest.raises(ValueError, match="C05 needs at least one check"):
        shown("C05", *arguments)


def test_a_check_is_true_or_false_and_not_both():
    with pytest.raises(
        ValueError, match=r"^shown: a must be true or false, got ndarray of several"
    ):
        shown("C05", {"a": np.array([True, False])})


# One contrast


def contrast(wanted, smallest, *, scale="linear", name="BN - plain"):
    weights = {"BN": 1} if wanted in ("most", "few") else {"BN": 1, "plain": -1}
    return Contrast(name, "m", weights, wanted, smallest, scale)


def pair(differences, scale="linear"):
    """Two noisy arms whose within-seed differences, or ratios, are these."""
    plain = np.random.default_rng(0).uniform(2, 9, size=len(differences))
    bn = plain * differences if scale == "log" else plain + differences
    return {("BN", "m"): bn, ("plain", "m"): plain}


def finding(wanted, smallest, values, scale="linear"):
    per_seed = {("BN", "m"): values} if wanted in ("most", "few") else pair(values, scale)
    (found,) = verdict(per_seed, Rule("C01", "", (contrast(wanted, smallest, scale=scale),))).needs
    return found


# Mean and half range of the within-seed differences; 20 seeds: the interval is about ± 0.3 ranges.
@pytest.mark.parametrize(
    ("wanted", "smallest", "mean", "spread", "answer"),
    [
        ("more", 1, 2, 1, "yes"),
        ("more", 1, 1.01, 0.5, "yes"),  # beyond 0 and large enough, though not surely above 1
        ("more", 1, 0.99, 0.5, "open"),  # surely above 0, perhaps too small
        ("more", 1, 0.2, 1, "no"),  # too small, whatever its sign
        ("more", 1, -2, 1, "no"),
        ("more", 1, 2, 9, "open"),  # large, but perhaps nothing
        ("more", 0, 0.5, 1, "yes"),
        ("more", 0, -0.5, 1, "no"),
        ("more", 0, 0.1, 1, "open"),
        ("same", 1, 0.2, 1, "yes"),
        ("same", 1, -0.2, 1, "yes"),
        ("same", 1, 0.9, 1, "open"),
        ("same", 1, 1.1, 1, "open"),
        ("same", 1, 2, 1, "no"),
        ("same", 1, -2, 1, "no"),
        ("not less", 1, 3, 1, "yes"),
        ("not less", 1, -0.5, 1, "yes"),
        ("not less", 1, -0.9, 1, "open"),
        ("not less", 1, -1.1, 1, "open"),
        ("not less", 1, -1.5, 1, "no"),
    ],
)
def test_an_answer_follows_from_mean_and_spread(wanted, smallest, mean, spread, answer):
    differences = mean + spread * PATTERN
    found = finding(wanted, smallest, differences)
    assert found.answer == answer
    assert found.seeds == SEEDS
    assert found.interval == pytest.approx(verdicts.paired_interval(differences))

    mirror = {"more": "less", "same": "same", "not less": "not more"}[wanted]
    mirrored = finding(mirror, smallest, -differences)
    assert (mirrored.answer, mirrored.p) == (answer, pytest.approx(found.p))
    estimate, low, high = found.interval
    assert mirrored.interval == pytest.approx((-estimate, -high, -low))

    # The logarithm of a ratio: the same question, asked of exp(mean).
    ratio = finding(wanted, np.exp(smallest), np.exp(differences), "log")
    assert (ratio.answer, ratio.p) == (answer, pytest.approx(found.p))
    assert ratio.interval == pytest.approx(np.exp(found.interval))


@pytest.mark.parametrize(
    ("wanted", "share", "ones", "answer"),
    [
        ("most", 0.5, 20, "yes"),
        ("most", 0.5, 15, "yes"),  # p = .021
        ("most", 0.5, 14, "open"),  # p = .058
        ("most", 0.5, 6, "open"),
        ("most", 0.5, 5, "no"),
        ("most", 0.5, 0, "no"),
        ("most", 0.8, 18, "open"),
        ("most", 0.8, 20, "yes"),
        ("few", 0.5, 0, "yes"),
        ("few", 0.5, 5, "yes"),
        ("few", 0.5, 6, "open"),
        ("few", 0.5, 14, "open"),
        ("few", 0.5, 15, "no"),
        ("few", 0.2, 0, "yes"),
        ("few", 0.2, 1, "open"),
    ],
)
def test_an_answer_about_a_share_of_seeds(wanted, share, ones, answer):
    values = PATTERN.argsort() < ones
    found = finding(wanted, share, values)
    assert found.answer == answer
    assert found.interval == verdicts.wilson_interval(ones, SEEDS)


def test_a_difference_is_tested_on_both_sides_and_equivalence_as_two_tests():
    two_sided = 0.002833  # R's t.test of these data
    assert finding("more", 0, np.array(SLEEP)).p == pytest.approx(two_sided, abs=5e-7)
    assert finding("less", 0, np.array(SLEEP)).p == pytest.approx(two_sided, abs=5e-7)
    # That the margin is just as far from the mean as 0 is makes one of the two tests the same.
    margin = 2 * np.mean(SLEEP)
    assert finding("same", margin, np.array(SLEEP)).p == pytest.approx(two_sided / 2, abs=5e-7)


@pytest.mark.parametrize(
    ("wanted", "smallest", "difference", "answer"),
    [
        ("more", 1, 2, "yes"),
        ("more", 1, 1, "yes"),
        ("more", 1, 0.5, "no"),
        ("more", 0, 0, "open"),
        ("less", 0, 0, "open"),
        ("same", 1, 0, "yes"),
        ("same", 1, 1.5, "no"),
        ("not less", 1, 0, "yes"),
        ("not less", 1, -1.5, "no"),
    ],
)
def test_without_spread_the_answer_is_exact(wanted, smallest, difference, answer):
    values = {("BN", "m"): [3 + difference] * 5, ("plain", "m"): [3.0] * 5}
    (found,) = verdict(values, Rule("C01", "", (contrast(wanted, smallest),))).needs
    assert found.answer == answer
    assert found.p in (0, 1)
    assert found.interval == (difference, difference, difference)


def test_rounding_is_no_effect_and_no_reason_to_fail():
    interaction = Contrast("x", "m", {"a": 1, "b": -1, "c": -1, "d": 1}, "more", 0)
    values = {(arm, "m"): [v] * 3 for arm, v in zip("abcd", (0.8, 0.7, 0.3, 0.2), strict=True)}
    assert 0.8 - 0.7 - 0.3 + 0.2 != 0
    found = verdict(values, Rule("C01", "", (interaction,)))
    assert found.needs[0].interval == (0, 0, 0) and found.needs[0].answer == "open"

    a_point = {("BN", "m"): [0.97] * 3, ("plain", "m"): [0.96] * 3}
    for wanted, sign in (("more", 1), ("less", -1)):
        point = Contrast("x", "m", {"BN": sign, "plain": -sign}, wanted, 0.97 - 0.96 + 1e-17)
        assert verdict(a_point, Rule("C01", "", (point,))).verdict == "holds"


def test_weights_make_an_interaction():
    rng = np.random.default_rng(0)
    values = {(arm, "m"): rng.normal(size=SEEDS) for arm in "abcd"}
    interaction = Contrast("x", "m", {"a": 1, "b": -1, "c": -1, "d": 0.5}, "same", 9)
    (found,) = verdict(values, Rule("C01", "", (interaction,))).needs
    expected = [
        values["a", "m"][i] - values["b", "m"][i] - values["c", "m"][i] + values["d", "m"][i] / 2
        for i in range(SEEDS)
    ]
    assert found.interval == pytest.approx(verdicts.paired_interval(expected))


# From answers to a verdict

ANSWERS = {"yes": "y", "no": "n", "open": "o"}


def case(needs, at_least=None, when=None):
    """A rule whose contrasts are answered as the letters say, and its values."""
    values, number = {}, 0

    def contrasts(letters):
        nonlocal number
        made = []
        for letter in letters:
            number += 1
            mean = {"y": 9, "n": -9, "o": 0.1}[letter]
            values[f"arm {number}", "m"] = mean + PATTERN
            made.append(Contrast(f"contrast {number}", "m", {f"arm {number}": 1}, "more", 0))
        return tuple(made)

    own = {key: contrasts(letters) for key, letters in (when or {}).items()}
    return values, Rule("C02", "", contrasts(needs), at_least, own)


@pytest.mark.parametrize(
    ("needs", "at_least", "when", "expected"),
    [
        ("y", None, {}, "holds"),
        ("yyy", None, {}, "holds"),
        ("yny", None, {}, "does not hold here"),
        ("yoy", None, {}, "not resolved here"),
        ("ono", None, {}, "does not hold here"),
        ("yyn", 2, {}, "holds"),
        ("yoo", 2, {}, "not resolved here"),
        ("yon", 2, {}, "not resolved here"),
        ("ynn", 2, {}, "does not hold here"),
        ("onn", 2, {}, "does not hold here"),
        ("nnn", 1, {}, "does not hold here"),
        ("nno", 1, {}, "not resolved here"),
        ("y", None, {"a": "n"}, "holds"),
        ("n", None, {"a": "yy", "b": "yn"}, "holds when a"),
        ("o", None, {"a": "yy", "b": "y"}, "holds when a, and when b"),
        ("n", None, {"a": "yo"}, "does not hold here"),
        ("o", None, {"a": "n"}, "not resolved here"),
    ],
)
def test_a_verdict_follows_from_the_answers(needs, at_least, when, expected):
    judged = verdict(*case(needs, at_least, when))
    assert judged.verdict == expected
    assert "".join(ANSWERS[found.answer] for found in judged.needs) == needs
    for key, letters in when.items():
        assert "".join(ANSWERS[found.answer] for found in judged.when[key]) == letters
    assert judged.family == len(needs) + sum(map(len, when.values()))


def test_a_chapter_s_rules_are_one_family():
    differences = 0.5 * np.array(SLEEP)
    first = Rule("C01", "", (contrast("more", 0),), when={"so": (contrast("same", 0.1),)})
    second = Rule("C02", "", (contrast("most", 0.5),))
    ones = {("BN", "m"): [1] * 9 + [0]}
    judged = judge([(pair(differences), first), (ones, second)])
    assert [each.rule.claim for each in judged] == ["C01", "C02"]
    assert [each.family for each in judged] == [3, 3]
    # Of three contrasts: t-test p = .0028 (smallest, times 3), binomial 11/1024 (times 2).
    assert judged[0].needs[0].p == pytest.approx(3 * 0.002833, abs=2e-6)
    assert judged[1].needs[0].p == pytest.approx(2 * 11 / 1024)
    assert judged[0].when["so"][0].p == pytest.approx(1, abs=0.01)
    wide = 1 - 0.05 / 3
    assert judged[0].needs[0].interval == pytest.approx(
        verdicts.paired_interval(differences, confidence=wide)
    )
    assert judged[1].needs[0].interval == verdicts.wilson_interval(9, 10, confidence=wide)
    assert judge([]) == []


# What chance does


def null_family(rng):
    """Arms that share a noisy baseline, and contrasts of which none deserves a yes."""
    plain = rng.normal(size=SEEDS)
    true_values = {"more": 0, "less": 0, "same": 1, "not less": -1, "not more": 1, "most": 0.5}
    values, contrasts = {("plain", "m"): plain}, []
    for wanted, truth in true_values.items():
        for copy in "ab":
            arm = f"{wanted} {copy}"
            if wanted == "most":
                values[arm, "m"] = rng.uniform(size=SEEDS) < truth
                contrasts.append(Contrast(arm, "m", {arm: 1}, wanted, 0.5))
            else:
                noise = rng.normal(size=SEEDS) if copy == "a" else plain
                values[arm, "m"] = truth + noise + rng.normal(0, 0.5, size=SEEDS)
                weights = {arm: 1} if copy == "a" else {arm: 1, "plain": -1}
                contrasts.append(Contrast(arm, "m", weights, wanted, abs(truth)))
    return values, Rule("C01", "", tuple(contrasts))


def test_chance_gives_a_family_a_yes_in_at_most_one_of_twenty():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(FAMILIES):
        wrong += any(found.answer == "yes" for found in verdict(*null_family(rng)).needs)
    assert wrong / FAMILIES <= AT_MOST


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_chance_calls_arms_a_margin_apart_the_same_in_at_most_one_of_twenty(spread):
    rng = np.random.default_rng(0)
    rule = Rule("C01", "", (Contrast("x", "m", {"a": 1}, "same", 1),))
    answers = [
        verdict({("a", "m"): rng.normal(1, spread, size=SEEDS)}, rule).needs[0].answer
        for _ in range(FAMILIES)
    ]
    assert answers.count("yes") / FAMILIES <= AT_MOST


def test_chance_gives_a_family_a_no_in_at_most_one_of_twenty():
    """Each truth lies exactly on the border, where neither yes nor no is right."""
    rng = np.random.default_rng(0)
    kinds = ("more", "less", "same", "not less", "not more")
    truths = np.array([1, -1, 1, -1, 1])
    contrasts = [Contrast(kind, "m", {kind: 1}, kind, 1) for kind in kinds]
    rule = Rule("C01", "", tuple(contrasts))
    wrong = 0
    for _ in range(FAMILIES):
        values = rng.normal(truths[:, None], 1, size=(5, SEEDS))
        judged = verdict({(kind, "m"): v for kind, v in zip(kinds, values, strict=True)}, rule)
        wrong += any(found.answer == "no" for found in judged.needs)
    assert wrong / FAMILIES <= AT_MOST


def test_simultaneous_intervals_cover_all_truths_in_nineteen_families_of_twenty():
    rng = np.random.default_rng(0)
    size = 5
    contrasts = [Contrast("x", f"m{i}", {"a": 1, "b": -1}, "more", 1, "log") for i in range(size)]
    rule = Rule("C01", "", tuple(contrasts))
    covered = 0
    for _ in range(FAMILIES):
        base = rng.normal(size=(size, SEEDS))
        values = {("b", f"m{i}"): np.exp(base[i]) for i in range(size)}
        moved = base + rng.normal(np.log(2), 0.3, size=(size, SEEDS))
        values |= {("a", f"m{i}"): np.exp(moved[i]) for i in range(size)}
        ends = [found.interval for found in verdict(values, rule).needs]
        covered += all(low <= 2 <= high for _, low, high in ends)
    # (1 - .05 / 5)^5 for independent intervals; three standard errors.
    assert covered / FAMILIES == pytest.approx(0.951, abs=0.015)


@pytest.mark.parametrize("wanted", ["more", "less"])
def test_twice_the_smallest_effect_is_found(wanted):
    """One point of accuracy matters, two are there, and seeds differ by one and a half."""
    rng = np.random.default_rng(0)
    effect = 0.02 if wanted == "more" else -0.02
    others = [Contrast(f"x{i}", "m", {f"x{i}": 1}, "more", 0) for i in range(45)]
    found = 0
    for _ in range(200):
        values = {(other.name, "m"): rng.normal(size=SEEDS) for other in others}
        plain = rng.normal(0.9, 0.03, size=SEEDS)
        values["plain", "m"] = plain
        values["BN", "m"] = plain + rng.normal(effect, 0.015, size=SEEDS)
        judged = verdict(values, Rule("C01", "", (contrast(wanted, 0.01), *others)))
        found += judged.needs[0].answer == "yes"
    assert found / 200 > 0.9


# What is printed

POINTS = {
    ("BN", "accuracy"): 0.97 + 0.005 * PATTERN,
    ("plain", "accuracy"): np.full(SEEDS, 0.93),
    ("standardized", "accuracy"): 0.97 - 0.005 * PATTERN,
    ("BN", "steps"): 1234.5 * np.exp(0.1 * PATTERN),
    ("plain", "steps"): np.full(SEEDS, 2000.0),
    ("BN", "fits"): np.arange(SEEDS) < 18,
}


def test_a_verdict_prints_as_a_table():
    rule = Rule(
        "C31",
        "",
        (
            Contrast("BN - plain, tuned", "accuracy", {"BN": 1, "plain": -1}, "more", 0.01),
            Contrast("BN fits", "fits", {"BN": 1}, "most", 0.5),
            Contrast("BN, steps", "steps", {"BN": 1}, "not more", 1000),
        ),
        at_least=3,
        when={
            "the rate is shared": (
                Contrast("BN / plain", "steps", {"BN": 1, "plain": -1}, "less", 1.25, "log"),
                Contrast("BN - std.", "accuracy", {"BN": 1, "standardized": -1}, "same", 0.01),
            )
        },
        part="the values",
    )
    assert str(verdict(POINTS, rule)).splitlines() == [
        "      contrast           estimate [interval]           wanted",
        "yes   BN - plain, tuned  0.0400 [0.0380, 0.0420]      >= 0.01",
        "yes   BN fits            18 of 20 [0.62, 0.98]          > 0.5",
        "no    BN, steps          1237 [1188, 1286]             < 1000",
        "(when the rate is shared)",
        "yes   BN / plain         x0.617 [0.593, 0.642]        <= x0.8",
        "yes   BN - std.          0 [-0.00398, 0.00398]    within 0.01",
        "2 of 3 said yes, at least 3 must",
        "20 seeds; intervals simultaneous over a family of 5",
        "verdict C31 (the values): holds when the rate is shared",
    ]


def test_a_long_table_stays_within_a_page():
    name = "BN - plain on standardized inputs, each of them at its own tuned learning rate"
    needs = (
        Contrast(name, "accuracy", {"BN": 1, "plain": -1}, "same", 1e-3),
        Contrast("BN - std.", "accuracy", {"BN": 1e-9, "standardized": -1e-9}, "not less", 1e-5),
        Contrast("BN", "steps", {"BN": -1e9}, "more", 0),
    )
    table = str(verdict(POINTS, Rule("C02", "", needs)))
    assert max(map(len, table.splitlines())) <= 79
    assert all(word in table for word in name.split())


def test_seeds_may_differ_between_contrasts_of_a_rule():
    few = {("BN", "m"): PATTERN[:5], ("plain", "other"): PATTERN}
    needs = (
        Contrast("a", "m", {"BN": 1}, "more", 0),
        Contrast("b", "other", {"plain": 1}, "more", 0),
    )
    assert "\n5 to 20 seeds; " in str(verdict(few, Rule("C02", "", needs)))


# Errors


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"wanted": "better"}, "wanted of 'x' must be one of more, less, .* got 'better'"),
        ({"scale": "linea"}, "scale of 'x' must be one of linear, log, got 'linea'"),
        ({"weights": {}}, "weights of 'x' must give each arm a finite number, got {}"),
        ({"weights": {"a": np.nan}}, "weights of 'x' must give each arm a finite number"),
        ({"smallest": -0.1}, "smallest of 'x' must be at least 0, got -0.1"),
        ({"smallest": np.nan}, "smallest of 'x' must be at least 0, got nan"),
        ({"smallest": np.inf}, "smallest of 'x' must be at least 0, got inf"),
        ({"smallest": 0.8, "scale": "log"}, "smallest of 'x' must be at least 1, got 0.8"),
        ({"smallest": 0, "wanted": "same"}, "smallest of 'x' must lie above 0, got 0"),
        ({"smallest": np.inf, "wanted": "same"}, "smallest of 'x' must lie above 0, got inf"),
        (
            {"smallest": 1, "wanted": "not less", "scale": "log"},
            "smallest of 'x' must lie above 1, got 1",
        ),
        ({"smallest": 1, "wanted": "most"}, "smallest of 'x' must lie between 0 and 1, got 1"),
        ({"smallest": 0, "wanted": "few"}, "smallest of 'x' must lie between 0 and 1, got 0"),
        (
            {"wanted": "few", "weights": {"a": 1, "b": -1}},
            "counts seeds and must have a single arm",
        ),
        ({"wanted": "most", "weights": {"a": 2}}, "counts seeds and must have a single arm"),
        ({"wanted": "most", "scale": "log"}, "counts seeds and must have .* scale 'linear'"),
    ],
)
def test_a_contrast_must_make_sense(fields, sentence):
    good = {"name": "x", "measure": "m", "weights": {"a": 1}, "wanted": "more", "smallest": 0.5}
    with pytest.raises(ValueError, match=f"Contrast: .*{sentence}"):
        Contrast(**good | fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"needs": ()}, "C02 needs at least one contrast, and one per condition"),
        ({"when": {"so": ()}}, "C02 needs at least one contrast, and one per condition"),
        ({"at_least": 0}, r"at_least of C02 must lie in 1\.\.1, got 0"),
        ({"at_least": 2}, r"at_least of C02 must lie in 1\.\.1, got 2"),
    ],
)
def test_a_rule_must_make_sense(fields, sentence):
    good = {"claim": "C02", "says": "", "needs": (contrast("more", 0),)}
    with pytest.raises(ValueError, match=f"Rule: {sentence}"):
        Rule(**good | fields)


@pytest.mark.parametrize("fields", [{"needs": ("x",)}, {"when": {"so": ("x",)}}])
def test_a_rule_needs_contrasts_and_nothing_else(fields):
    good = {"claim": "C02", "says": "", "needs": (contrast("more", 0),)}
    with pytest.raises(TypeError, match=r"^Rule: each need must be a Contrast, got 'x'$"):
        Rule(**good | fields)


def test_the_largest_finite_weight_and_all_of_the_needs_may_be_asked_for():
    largest = {"a": np.finfo(float).max}
    assert Contrast("x", "m", largest, "more", 0).weights == largest
    assert Rule("C02", "", (contrast("more", 0), contrast("less", 0)), at_least=2).at_least == 2


@pytest.mark.parametrize(
    ("wanted", "sign", "target"),
    [
        ("more", 1, 0.4), ("less", -1, 0.4), ("same", 1, 0.4), ("not less", 1, -0.4),
        ("not more", -1, -0.4), ("most", 1, 0.4), ("few", -1, -0.4),
    ],
)  # fmt: skip
def test_every_wish_is_turned_upwards_and_has_its_target(wanted, sign, target):
    own = contrast(wanted, 0.4)
    assert (own.upwards(3.0), own.target()) == (3 * sign, target)
    if wanted not in ("most", "few"):
        ratio = contrast(wanted, np.exp(0.4), scale="log")
        assert (ratio.upwards(3.0), ratio.target()) == (3 * sign, pytest.approx(target))


@pytest.mark.parametrize(
    ("changed", "wanted", "scale", "sentence"),
    [
        ({"plain": [1, 2, np.nan]}, "more", "linear", "finite values of 'm' of 'plain' .* got nan"),
        ({"BN": [1, 2, np.inf]}, "more", "linear", "finite values of 'm' of 'BN' .* got inf"),
        (
            {"BN": None},
            "more",
            "linear",
            r"the measure 'm' of the arm 'BN', got \[\('plain', 'm'\)",
        ),
        ({"BN": [1, 2]}, "more", "linear", r"the same seeds .* 'BN - plain', got \[2, 3\] values"),
        ({"BN": [1]}, "more", "linear", r"two seeds of 'm' of 'BN', got shape \(1,\)"),
        (
            {"BN": np.ones((3, 3))},
            "more",
            "linear",
            r"two seeds of 'm' of 'BN', got shape \(3, 3\)",
        ),
        ({"BN": [1, 0, 2]}, "more", "log", "values above 0 of 'm' of 'BN' for a ratio, got 0.0"),
        ({"BN": [1, 0, 0.5]}, "most", "linear", "values of 0 and 1 of 'm' of 'BN', got"),
        ({"BN": [1, 0, np.nan]}, "most", "linear", "finite values of 'm' of 'BN'"),
    ],
)
def test_values_that_do_not_answer_the_rule_raise(changed, wanted, scale, sentence):
    values = {"BN": [1, 2, 3], "plain": [1, 1, 1]} | changed
    per_seed = {(arm, "m"): v for arm, v in values.items() if v is not None}
    smallest = 0.5 if wanted == "most" else 1
    rule = Rule("C02", "", (contrast(wanted, smallest, scale=scale),))
    with pytest.raises(ValueError, match=f"judge: C02 needs .*{sentence}"):
        verdict(per_seed, rule)


def test_nothing_that_was_given_is_changed():
    values, rule = case("yo", None, {"a": "n"})
    before = {key: array.copy() for key, array in values.items()}
    verdict(values, rule)
    np.testing.assert_equal(values, before)


def test_the_family_counts_a_question_once():
    rng = np.random.default_rng(0)
    per_seed = {(arm, "x"): rng.normal(size=8) for arm in "abc"}
    ab = Contrast("a - b", "x", {"a": 1, "b": -1}, "more", 0.1)
    again = Contrast("the same", "x", {"a": 1, "b": -1}, "more", 0.1)
    other = Contrast("a - c", "x", {"a": 1, "c": -1}, "more", 0.1)
    smaller = Contrast("a - b, smaller", "x", {"a": 1, "b": -1}, "more", 0.05)
    rules = [
        Rule("C01", "r", (ab, other), when={"so": (ab,)}),
        Rule("C02", "r", (again, smaller)),
    ]
    first, second = judge([(per_seed, rule) for rule in rules])
    assert first.family == second.family == 3
    assert first.needs[0].interval == first.when["so"][0].interval == second.needs[0].interval
    assert first.needs[0].p == second.needs[0].p


@pytest.mark.parametrize("wanted", ["more", "less"])
@pytest.mark.parametrize("shift", [0.4, -0.4])
def test_the_p_value_of_a_lead_is_scipy_s_of_both_sides(wanted, shift):
    lead = np.random.default_rng(5).normal(size=9) + shift
    contrast = Contrast("a - b", "loss", {"a": 1, "b": -1}, wanted, 0.1)
    per_seed = {("a", "loss"): list(lead), ("b", "loss"): [0.0] * 9}
    finding = verdict(per_seed, Rule("C02", "It is so.", (contrast,))).needs[0]
    assert finding.p == pytest.approx(scipy.stats.ttest_1samp(lead, 0).pvalue, rel=1e-9)
    assert finding.seeds == 9


@pytest.mark.parametrize("wanted", ["not less", "not more", "same"])
def test_the_p_value_within_a_margin_is_scipy_s_of_one_side(wanted):
    difference, margin = np.random.default_rng(6).normal(size=9) + 0.2, 0.5
    contrast = Contrast("a - b", "loss", {"a": 1, "b": -1}, wanted, margin)
    per_seed = {("a", "loss"): list(difference), ("b", "loss"): [0.0] * 9}
    finding = verdict(per_seed, Rule("C02", "It is so.", (contrast,))).needs[0]
    sides = {
        "not less": scipy.stats.ttest_1samp(difference, -margin, alternative="greater").pvalue,
        "not more": scipy.stats.ttest_1samp(difference, margin, alternative="less").pvalue,
    }
    sides["same"] = max(sides.values())
    assert finding.p == pytest.approx(sides[wanted], rel=1e-9)
