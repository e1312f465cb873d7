"""What the tests of the pages share: the built site and a browser."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import build
import pytest

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


@pytest.fixture(scope="session")
def browser_path():
    """The path of a browser that starts; where there is none the tests that need it are skipped."""
    found = candidates()
    for path in found:
        if starts(path):
            return path
    tried = f"does not start: {', '.join(found)}" if found else "found none"
    sentence = f"no browser ({tried}): install chromium, or name one in BROWSER_PATH"
    if os.environ.get("CI_REQUIRE_BROWSER") == "1":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def browser(browser_path):
    """A running Chromium of Playwright's: the machine's own, none is ever downloaded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=browser_path, args=list(FLAGS), chromium_sandbox=not as_root()
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def needs():
    """Ask for a package that not everybody has: without it a test is skipped, in CI it fails."""

    def needs(package, extra):
        if importlib.util.find_spec(package) is None:
            sentence = f"no {package}: pip install 'bnlib[{extra}]'"
            if os.environ.get("CI_REQUIRE_WORKERS") == "1":
                pytest.fail(sentence, pytrace=False)
            pytest.skip(sentence)

    return needs


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built pages; a book that was not built is a failure, not a skip."""
    if not build.BUILT.exists():
        pytest.fail("there is no built book in _build/html: run make book", pytrace=False)
    return build.SITE
