"""How the book, or a place in it, is cited: made from CITATION.cff."""

import functools
from pathlib import Path

import yaml

CITATION = Path(__file__).resolve().parent.parent.parent / "CITATION.cff"


def citation(place="", path="", site=""):
    """Return a line to cite a place of the book by.

    `place` is its name ("claim C32"), `path` its address below the site's ("claims.html#c32"), and
    `site` that address, which ends in a slash; "" while there is none.
    """
    work = about()
    authors = " and ".join(author["name"] for author in work["authors"])
    year, version = work["date-released"][:4], work["version"]
    cited = f"{authors} ({year}). {work['title']}, version {version}"
    cited += f", {place}." if place else "."
    return f"{cited} {site}{path}" if site else cited


@functools.cache
def about():
    """Return what CITATION.cff says of the book."""
    return yaml.safe_load(CITATION.read_text(encoding="utf-8"))
