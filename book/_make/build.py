"""`make book`: execute every notebook and write the pages to `_build/html`.

A second build in the same folder waits for the first.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import console
import home
import turn

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "_build"
SITE = BUILD / "html"
DOCTREES = BUILD / ".doctrees"
LOG = BUILD / "build.log"
LOCK = BUILD / "build.lock"
# Exists only when the last build succeeded; holds a digest of what shapes every page.
BUILT = BUILD / "built.txt"

COMMAND = ("build", "book", "--config", "_config.yml", "-W", "-n", "--keep-going")

EXECUTED = re.compile(r"(\w+)\.ipynb: Executed notebook in ([\d.]+) seconds")
COMPLAINT = re.compile(r"WARNING:|ERROR|Error|Traceback|Exception")
PROGRESS = re.compile(r"\.\.\. *(\[|done|none found|$)|\[mystnb\]$|^\[IPKernelApp\]")
CAUSES = "The above exception was the direct cause of the following exception:"


def shape(root):
    """Return a digest of what all pages depend on but Sphinx does not watch page by page."""
    digest = hashlib.sha256(sys.version.encode())
    watched = [root / "_config.yml", root / "requirements.lock", root / "book/_toc.yml"]
    watched += sorted(root.glob("book/_extensions/*.py"))
    for path in watched:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def forget_unless_built_as(wanted):
    """Drop pages and Sphinx's memory unless the last build succeeded with the same shape.

    Sphinx does not repeat the warnings of pages that it has already read, so that after a failed
    or interrupted build the next one would pass; and it never removes a page that has left the
    table of contents. The executed notebooks stay cached.
    """
    known = BUILT.exists() and BUILT.read_text(encoding="utf-8") == wanted
    BUILT.unlink(missing_ok=True)  # first: what is half dropped below is not to be believed
    if not known:
        shutil.rmtree(DOCTREES, ignore_errors=True)
        shutil.rmtree(SITE, ignore_errors=True)


def run_jupyter_book(descriptors=()):
    """Run jupyter-book, telling which notebooks it executes; return its exit code and its log.

    It holds the descriptors open for as long as it lives.
    """
    script = Path(sys.executable).with_name("jupyter-book")
    process = subprocess.Popen(
        [script, *COMMAND],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=console.utf8_environment(),
        pass_fds=descriptors,
    )
    lines = []
    for line in process.stdout:
        lines.append(console.plain(line.rstrip()))
        executed = EXECUTED.search(lines[-1])
        if executed:
            print(f"  executed {executed[1]} in {float(executed[2]):.1f} s", flush=True)
    return process.wait(), lines


def complaints(lines):
    """Return the part of the log that a person must read.

    From the first complaint on, without progress, as far as the traceback of a failed cell: what
    follows that are the insides of Sphinx.
    """
    first = next((i for i, line in enumerate(lines) if COMPLAINT.search(line)), 0)
    last = lines.index(CAUSES) if CAUSES in lines else None
    return [line for line in lines[first:last] if line and not PROGRESS.search(line)]


def main():
    """Build the book when nobody else does; return the exit code."""
    try:
        home.replace_if_read_only()
        with turn.taken(LOCK, "build") as descriptors:
            return build(descriptors)
    except OSError as error:
        where = error.filename or BUILD
        print(f"The book was not built: {error.strerror} ({where})", file=sys.stderr)
        return 1


def build(descriptors=()):
    """Build the book; return the exit code."""
    start = time.monotonic()
    wanted = shape(ROOT)
    forget_unless_built_as(wanted)
    print("Building the book", flush=True)
    code, lines = run_jupyter_book(descriptors)
    LOG.write_text("\n".join(lines) + "\n", encoding="utf-8")
    index = SITE / "index.html"
    if code or not index.exists():
        print("\n".join(complaints(lines)), file=sys.stderr)
        print(f"The book was not built: {LOG.relative_to(ROOT)} has the rest.", file=sys.stderr)
        return code or 1
    BUILT.write_text(wanted, encoding="utf-8")
    print(f"Built in {time.monotonic() - start:.0f} s: {index.relative_to(ROOT)}")
    print(index.as_uri())
    return 0


if __name__ == "__main__":
    console.survive_any_encoding()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted: no book was built.")
