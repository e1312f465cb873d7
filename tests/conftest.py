"""What the tests of the pages share: the built site and a browser."""

import importlib.util
import os
import random
import signal
from pathlib import Path

import browsers
import build
import pytest


def pytest_configure():
    """Hear Ctrl-C also where a shell started the tests in the background, which ignores it.

    Programs inherit that, and some tests interrupt one.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Put the browser's pages, the longest file, first of all tests, so that nobody waits for it.

    They stay behind the notebooks: kernels start under a quiet event loop. With a number in
    BNLIB_ORDER the tests are shuffled; cells of notebooks stay in their order.
    """
    if seed := os.environ.get("BNLIB_ORDER"):
        tests = [item for item in items if item.path.parent.name == "tests"]
        random.Random(seed).shuffle(tests)
        items[:] = [item for item in items if item.path.parent.name != "tests"] + tests
    items.sort(
        key=lambda item: item.path.parent.name == "tests" and item.path.name != "test_pages.py"
    )


@pytest.fixture(scope="session")
def browser_path():
    """The path of a browser that starts; where there is none the tests that need it are skipped."""
    path = browsers.find()
    if path is not None:
        return path
    found = browsers.candidates()
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
            executable_path=browser_path,
            args=list(browsers.FLAGS),
            chromium_sandbox=not browsers.as_root(),
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
