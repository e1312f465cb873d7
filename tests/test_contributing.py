"""What contributors meet first: issue forms, conda's environment, the bibliography's addresses."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
FORMS = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in FORMS}
CONFIG = FORMS.pop("config")


# --- issue forms ----------------------------------------------------------------------------------


def test_there_are_the_three_forms():
    assert FORMS.keys() == {"number_differs", "unclear", "new_claim"}
    assert [form["name"] for form in FORMS.values()] == [
        "New claim",
        "My number differs",
        "Unclear",
    ]
    assert CONFIG == {"blank_issues_enabled": True}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_form_is_one_that_github_reads(form):
    assert form.keys() == {"name", "description", "title", "labels", "body"}
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    for field in form["body"]:
        assert field["type"] in ("input", "textarea")
        assert field.keys() <= {"type", "id", "attributes", "validations"}
        known = {"label", "description", "placeholder", "render"}
        assert {"label"} <= field["attributes"].keys() <= known
        assert "render" not in field["attributes"] or field["type"] == "textarea"
    assert any(field.get("validations", {}).get("required") for field in form["body"])


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_form_asks_for_the_versions(form):
    (field,) = (field for field in form["body"] if field["id"] == "versions")
    assert "`python -m bnlib`" in field["attributes"]["description"]
    required = field.get("validations", {}).get("required", False)
    assert required == (form["name"] == "My number differs")


# --- environments ---------------------------------------------------------------------------------


def pins(lines):
    found = (re.match(r"([\w-]+)==([\w.]+)", line) for line in lines)
    return dict(pin.groups() for pin in found if pin)


def test_conda_gets_the_same_pins_as_pip():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    *from_conda, from_pip = environment["dependencies"]
    assert from_conda == ["python=3.12", "pip"]
    wanted = pins((ROOT / "requirements.txt").read_text("utf-8").splitlines())
    assert wanted.keys() >= {"numpy", "jupyter-book"}
    assert pins(from_pip["pip"]) == wanted
    assert from_pip["pip"][-1] == "--editable ."
    assert environment["name"] == "bnlib"


def unhashed(lock):
    """The names in a lock that are not pinned, or whose files are not named by SHA-256."""
    for entry in re.findall(r"^[^ #\n].*(?:\n .*)*", lock, flags=re.M):
        first, *hashes = (line.strip(" \\") for line in entry.splitlines() if "# " not in line)
        pinned = re.fullmatch(r"[\w.-]+==[\w.+]+( ; .+)?", first)
        if not pinned or not hashes:
            yield first
        elif not all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes):
            yield first


def test_every_locked_package_is_hashed_and_the_direct_ones_are_as_pinned():
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert list(unhashed(lock)) == []
    locked = pins(lock.splitlines())
    wanted = pins((ROOT / "requirements.txt").read_text("utf-8").splitlines())
    assert len(locked) > 150 and wanted.items() <= locked.items()


@pytest.mark.parametrize(
    "entry",
    ["a==1\n", "a>=1 \\\n    --hash=sha256:X\n", "a==1 \\\n    --hash=md5:X\n", "a @ https://b\n"],
)
def test_the_test_of_the_lock_can_go_red(entry):
    good = "b==1 ; os_name == 'nt' \\\n    --hash=sha256:X\n    # via a\n".replace("X", "0" * 64)
    assert list(unhashed("# made\n" + good + entry.replace("X", "0" * 64) + good))
    assert not list(unhashed("# made\n" + good + good))


# --- the bibliography -----------------------------------------------------------------------------


def entries(text):
    """Yield key and fields of each entry."""
    for entry in re.split(r"^@", text, flags=re.M)[1:]:
        key = re.match(r"\w+\{([^,]+),", entry)[1]
        yield key, dict(re.findall(r"^\s*(\w+)\s*=\s*[{\"](.*?)[}\"],?\s*$", entry, flags=re.M))


def faults(text):
    """Yield what is wrong with where entries lead."""
    for key, fields in entries(text):
        address, doi = fields.get("url", ""), fields.get("doi", "")
        if not address and not doi:
            yield f"{key} has neither doi nor url"
        if address and not re.fullmatch(r"https?://[\w.-]+/\S*", address):
            yield f"{key} has the url {address!r}"
        if doi and not re.fullmatch(r"10\.\d{4,}/\S+", doi):
            yield f"{key} has the doi {doi!r}: it begins with 10."


def test_every_entry_of_the_bibliography_leads_somewhere():
    text = (ROOT / "book" / "references.bib").read_text("utf-8")
    assert len(dict(entries(text))) == text.count("\n@") + text.startswith("@") > 60
    assert not list(faults(text))


def test_the_test_of_the_bibliography_can_go_red():
    text = "@book{a,\n  title = {A}\n}\n@book{b,\n  url = {example}\n}\n@book{c,\n doi = {https://x}\n}"
    assert len(list(faults(text))) == 3
    assert not list(faults("@book{a,\n  doi = {10.1000/xyz},\n  url = {https://example.org/}\n}"))
