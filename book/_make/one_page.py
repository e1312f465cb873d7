"""What the page on one sheet does not type: the verdicts and the conventions of the frameworks.

The directives `verdicts` and `conventions` (`book/_extensions/generated.py`) put them on the page.
"""

import ledger
import yaml

SHORT = ledger.BOOK / "short_claims.yml"
GROUPS = ("holds", "holds when …", "does not hold here", "not resolved here")


def verdicts(claims, printed, short):
    """Return the verdicts as Markdown: a paragraph for each kind, in it the claims in few words.

    `claims` is the list in `claims.yml`, `printed` what `ledger.collect_verdicts` returns, `short`
    maps a claim, or a claim and its part, to few words. A verdict on MNIST is told where it differs
    from that on the digits.
    """
    groups = {group: [] for group in GROUPS}
    for claim in claims:
        name, parts = claim["id"], printed.get(claim["id"], {})
        told = {group: [] for group in GROUPS}
        for part, (verdict, _) in parts.items():
            mnist = ledger.ON_MNIST.fullmatch(part)
            of = mnist[1] or "" if mnist else part
            if mnist and of in parts and group_of(parts[of][0]) == group_of(verdict):
                continue
            words = short.get(ledger.labelled(name, of)) or of or ledger.one_line(claim["en"])
            told[group_of(verdict)].append(words + " on MNIST" * bool(mnist))
        for group, words in told.items():
            if words:
                groups[group].append(f"[{name}](#{name.lower()}) {', '.join(words)}")
    return "\n\n".join(
        f"**{group}:** {'; '.join(found)}." for group, found in groups.items() if found
    )


def group_of(verdict):
    """Return the kind of a verdict, without its condition."""
    return "holds when …" if verdict.startswith("holds when") else verdict


def verdicts_of(paths):
    """Return the verdicts that the notebooks at these paths have printed, as Markdown."""
    claims, notebooks = ledger.read(paths)
    printed = ledger.collect_verdicts(notebooks, {claim["id"] for claim in claims})
    return verdicts(claims, printed, yaml.safe_load(SHORT.read_text(encoding="utf-8")))


def conventions():
    """Return what frameworks do by default as a Markdown table."""
    # Here, so that what only needs the verdicts does not load bnlib.
    from bnlib.conventions import CONVENTIONS

    lines = ["| | momentum | eps | variance | from | one value |", "|---|---|---|---|---|---|"]
    for name, row in CONVENTIONS.items():
        momentum = f"{said(row.momentum)} {row.momentum_weighs}"
        kept = "unbiased" if row.bessel else "biased"
        cells = name, momentum, said(row.eps), kept, said(row.initial_var), row.single
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def said(value):
    """Return a setting, or a dash where the caller must choose it."""
    if value is None:
        return "–"
    return f"{value:g}".replace("e-0", "e\N{NON-BREAKING HYPHEN}")
