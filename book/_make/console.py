"""Talking to consoles of any encoding, and to child processes in UTF-8."""

import os
import re
import sys


def survive_any_encoding():
    """Escape what the console cannot show, such as a Korean folder name, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not in Python 3.6
            stream.reconfigure(errors="backslashreplace")


def utf8_environment(**extra):
    """Give the environment variables under which a Python child speaks UTF-8 to us."""
    return dict(os.environ, PYTHONUTF8="1", PYTHONIOENCODING="utf-8", **extra)


def plain(text):
    """Return the text without the codes that colour it on a terminal."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)
