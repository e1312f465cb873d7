"""Bring `_build/peers`: the book's numpy and matplotlib, and the peers that install here.

They are named in requirements.txt beside this file; `.venv/bin/python benchmarks/environment.py`.
"""

import importlib.metadata
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "_build" / "peers"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = FOLDER / "current.txt"
# PyTorch's own index has wheels without the gigabytes for graphics cards; not everybody reaches it.
WITHOUT_CUDA = ["--index-url", "https://download.pytorch.org/whl/cpu", "--no-deps"]
SHORTLY = ["--retries", "0", "--timeout", "10"]


def main():
    """Install what is missing; a peer that does not install is left out with a sentence."""
    ours = [f"{name}=={importlib.metadata.version(name)}" for name in ("numpy", "matplotlib")]
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    peers = [line for line in lines if line and not line.startswith("#")]
    wanted = "\n".join([*ours, *peers, sys.version])
    if STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    print("Installing the peers in _build/peers ...", flush=True)
    venv.create(FOLDER, with_pip=True, clear=True)
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *ours], check=True)
    for peer in peers:
        if peer.startswith("torch"):
            subprocess.run([*install, *WITHOUT_CUDA, *SHORTLY, peer], stderr=subprocess.DEVNULL)
        if subprocess.run([*install, peer, *ours]).returncode:
            print(
                f"{peer} does not install here: it is left out (remove _build/peers to try again).",
                flush=True,
            )
    STAMP.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
