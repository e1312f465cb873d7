"""Which edition of the book a page belongs to: version, commit and date, in every footer.

The commit's date and not the day of the build: two builds of one commit are the same bytes. Without
git, as from an archive, the version stands alone. Sphinx need not write a page anew for a new
commit: the line is put into the finished pages.
"""

import re
import subprocess
import tomllib
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
PLACE = re.compile(r'(<span class="bn-edition">).*?(</span>)', re.DOTALL)


class Edition(NamedTuple):
    """A version, and the commit that was built with its date; "" without git."""

    version: str
    commit: str = ""
    date: str = ""

    def __str__(self):
        built = f", commit {self.commit} of {self.date}" if self.commit else ""
        return f"Version {self.version}{built}"


def git(root, *arguments):
    """Return what a command of git prints, "" where there is no git or no repository."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def edition(root=ROOT):
    """Return the edition of the files below `root`."""
    with (root / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    top = git(root, "rev-parse", "--show-toplevel")
    # An archive unpacked inside somebody's repository is none of that repository's commits.
    if not top or Path(top).resolve() != root.resolve():
        return Edition(version)
    commit, _, date = git(root, "log", "-1", "--abbrev=9", "--format=%h %cs").partition(" ")
    changed = git(root, "status", "--porcelain", "--untracked-files=no")
    return Edition(version, commit + " with changes" * bool(commit and changed), date)


def sign(html, line):
    """Return a page with the line in its place."""
    return PLACE.sub(lambda found: found[1] + escape(line) + found[2], html)


def sign_pages(app, exception):
    """Put the edition into every page."""
    if exception or app.builder.format != "html":
        return
    line = str(edition())
    for path in Path(app.outdir).glob("*.html"):
        html = path.read_text(encoding="utf-8")
        if (signed := sign(html, line)) != html:
            path.write_text(signed, encoding="utf-8", newline="\n")


def setup(app):
    """Connect the above to Sphinx."""
    app.connect("build-finished", sign_pages, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
