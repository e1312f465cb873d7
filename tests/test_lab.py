"""A moving figure and a guess under a running kernel, in JupyterLab."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

CELL = """
from bnlib.plots import panels
from bnlib.widgets import guess, moving_figure

def draw(power):
    ax = panels()
    ax.plot([0, 1, 2], [0, 1, 2**power])
    return ax

asked = guess("Where does it end?", low=0, high=2, answer=1)
moving_figure(draw, [1, 2, 3], label="power", guess=asked)
"""
START_SECONDS = 90


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a notebook in a JupyterLab that knows nothing of this machine's settings."""
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = new_notebook(cells=[new_code_cell(CELL.strip())], metadata=kernel)
    nbformat.write(notebook, folder / "moving.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ["CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"]
    own = {f"JUPYTER_{name}": str(home) for name in names}
    own |= {f"JUPYTERLAB_{name}_DIR": str(home) for name in ("SETTINGS", "WORKSPACES")}
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": "secret",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": "",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        + [f"--{name}={value}" for name, value in settings.items()],
        env=os.environ | own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api/status?token=secret", server)
        yield f"{address}/lab/tree/moving.ipynb?token=secret&reset"
    finally:
        server.terminate()
        server.wait()


def wait_for(address, server):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, "JupyterLab ended before it answered"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"JupyterLab did not answer within {START_SECONDS} s")


def test_the_slider_moves_the_figure_and_the_guess_is_drawn(browser, lab):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(1000 * START_SECONDS)
    page.goto(lab)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.get_by_text("| Idle").wait_for()  # before this, Run All does nothing and says nothing
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    frame = page.locator("svg.bn-svg:visible").first
    frame.wait_for()
    assert frame.get_attribute("aria-label") == "power: 1"
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    page.locator('svg.bn-svg[aria-label="power: 2"]:visible').wait_for()

    drawn = page.locator("svg.bn-svg:visible").get_by_text("your guess", exact=True)
    assert drawn.count() == 0
    page.locator(".widget-text input[type=number]").first.fill("1.5")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Show the answer").first.click()
    page.get_by_text("Your guess: 1.5").wait_for()
    page.get_by_text("The answer: 1").wait_for()
    drawn.first.wait_for()
    context.close()
