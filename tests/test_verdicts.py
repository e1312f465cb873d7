import pytest

from bnlib.verdicts import shown


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


@pytest.mark.parametrize("arguments", [({},), ({"a": False}, {"rare": {}})])
def test_a_verdict_needs_checks(arguments):
    with pytest.raises(ValueError, match="C05 needs at least one check"):
        shown("C05", *arguments)
