"""Ask every address that the book links to whether it is still there.

    python book/_make/links.py

It reads the sources, so nothing need be built, and only the standard library, so nothing need be
installed. `.github/workflows/links.yml` runs it weekly. Nothing waits for it: a page of others may
go at any time, and that is no fault of a change to the book.
"""

import concurrent.futures
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Not bnlib, which puts addresses together from pieces.
SOURCES = (
    "*.md",
    "*.cff",
    "book/*.md",
    "book/*.ipynb",
    "book/*.yml",
    "book/*.bib",
)
SECONDS = 30
AT_ONCE = 8
# Some sites refuse programs that do not say what they are.
HEADERS = {"User-Agent": "Mozilla/5.0 (link check of a book)", "Accept": "*/*"}

ADDRESS = re.compile(r"""https?://[^\s"'<>\\`{}\]]+""")
DOI = re.compile(r"""\bdoi\s*=\s*[{"]([^}"]+)""", re.IGNORECASE)
# Made up, or meant for one's own machine.
NOT_OURS = re.compile(r"https?://(example\.|localhost|127\.|somebody\.|HOST|www\.w3\.org)")
GONE = (404, 410)


def addresses(text):
    """Return the addresses in a text, without what the sentence adds to them."""
    found = {f"https://doi.org/{doi}" for doi in DOI.findall(text)}
    for address in ADDRESS.findall(text):
        address = address.rstrip(".,;:!?*")
        while address.endswith(")") and address.count("(") < address.count(")"):
            address = address[:-1].rstrip(".,;:")
        if not NOT_OURS.match(address):
            found.add(address.split("#")[0])
    return found


def collect(root=ROOT):
    """Return {address: names of the files that link to it}."""
    found = {}
    for path in sorted({path for pattern in SOURCES for path in root.glob(pattern)}):
        for address in addresses(path.read_text(encoding="utf-8")):
            found.setdefault(address, []).append(path.relative_to(root).as_posix())
    return found


def ask(address, attempts=2):
    """Return "" if the address answers, else what is wrong: it is gone, or nobody can tell."""
    request = urllib.request.Request(address, headers=HEADERS)  # noqa: S310 (`addresses`: http only)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return f"gone ({error.code})" if error.code in GONE else f"unsure ({error.code})"
    except (OSError, ValueError) as error:  # no such host, no answer in time, no address at all
        return ask(address, attempts - 1) if attempts > 1 else f"gone ({error})"


def main():
    """Print what does not answer; return 1 if something is gone."""
    found = collect()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(found, pool.map(ask, found), strict=True))
    wrong = {address: answer for address, answer in answers.items() if answer}
    for address, answer in sorted(wrong.items(), key=lambda item: item[1]):
        print(f"- {answer}: {address} in {', '.join(found[address])}")
    gone = sum(answer.startswith("gone") for answer in wrong.values())
    print(f"\n{len(found)} addresses asked, {gone} gone, {len(wrong) - gone} unsure.")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main())
