"""The browser that is already on this machine: for the tests, and for `make pdf`."""

import os
import shutil
import subprocess

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_SECONDS = 60


def candidates():
    """Return the paths of the browsers to try: the one that the user named, else all found."""
    named = os.environ.get("BROWSER_PATH")
    return [named] if named else [path for path in map(shutil.which, BROWSERS) if path]


def as_root():
    """Chromium refuses to start as root unless told to do without its sandbox."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def starts(path):
    """Whether the browser at `path` really opens a page: a stub or a broken one does not."""
    sandbox = ["--no-sandbox"] if as_root() else []
    command = [path, "--headless", *sandbox, *FLAGS, "--dump-dom", "about:blank"]
    try:
        shown = subprocess.run(command, capture_output=True, timeout=START_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return shown.returncode == 0 and b"<html>" in shown.stdout


def find():
    """Return the path of a browser that starts, None if there is none."""
    return next(filter(starts, candidates()), None)
