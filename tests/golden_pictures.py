"""A digest of what every drawing function draws and every telling one tells, for its good call.

    python tests/golden_pictures.py     # writes golden_pictures.json, after a drawing was changed

Look at the pictures before you commit the digests: `--show FOLDER` writes them there.
"""

import contextlib
import hashlib
import inspect
import io
import json
import os
import re
import sys
import unittest.mock
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import calls
import calls_drawing
import matplotlib
import more_drawings

from bnlib import display

REQUIRED = inspect.Parameter.empty
STORED = Path(__file__).with_suffix(".json")
# What has new names or other bytes in it each time.
CHANGING = ("display.png", "widgets.live_figure", "widgets.view")
NAMES = [name for name in calls_drawing.DRAWING if name not in CHANGING]
NAMES += more_drawings.DRAWINGS
# Numbers are compared to a hundredth of a point; names are made from all digits, or counted.
NUMBER = re.compile(r"-?\d+\.\d+(e-?\d+)?")
MADE_UP = re.compile(r"\b[a-z]+[0-9a-f]{10,}\b|(?<=\bbn)\d+(?=-)|(?<=bn-guess-)\d+")


def svg(drawn):
    """A figure as SVG, texts as texts."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "bnlib", "svg.fonttype": "none"}):
        display.figure_of(drawn, "svg").savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


@unittest.mock.patch.dict(os.environ, BNLIB_RENDER="page")
def picture(name, every=True):
    """What a good call gives, with every argument or what it needs: SVG, HTML, or a value."""
    good = more_drawings.DRAWINGS.get(name) or calls_drawing.GOOD[name]
    function, arguments = calls.function_of(name), good()
    if not every:
        parameters = inspect.signature(function).parameters
        arguments = {k: v for k, v in arguments.items() if parameters[k].default is REQUIRED}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            result = function(**arguments)
        except ValueError as error:  # it has to be told more
            return str(error)
    if hasattr(result, "_repr_mimebundle_") and not hasattr(result, "comm"):
        bundle = result._repr_mimebundle_()
        text = json.dumps(bundle[0] if isinstance(bundle, tuple) else bundle, sort_keys=True)
    else:
        given = arguments.get("axes") if result is None else None  # what was drawn into
        for drawn in (result, arguments.get("ax"), given):
            with contextlib.suppress(TypeError):
                text = svg(drawn)
                break
        else:
            text = repr(list(result) if hasattr(result, "__next__") else result)
    return text + printed.getvalue()


def lasting(text):
    """A picture without what differs from one drawing of it to the next."""
    text = NUMBER.sub(lambda number: f"{float(number[0]) + 0.0:.2f}", text)
    return re.sub(r" at 0x[0-9a-f]+", "", MADE_UP.sub("…", text))


def digests(name):
    """Sixteen digits of its picture, of a good call also of that with what it needs."""
    pictures = [picture(name)]
    if name in calls_drawing.GOOD:
        pictures.append(picture(name, every=False))
    return [hashlib.sha256(lasting(text).encode()).hexdigest()[:16] for text in pictures]


def show(folder):
    """Write every picture as a browser can show it; of what is none, the text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        text = picture(name)
        if text.startswith('{"'):  # what a notebook is given
            text = json.loads(text).get("text/html", text)
        kind = "svg" if text.startswith("<?xml") else "html" if text.startswith("<") else "txt"
        (folder / f"{name.replace(':', '-')}.{kind}").write_text(text, encoding="utf-8")


def main(arguments):
    """Write the digests, or the pictures themselves."""
    if arguments[:1] == ["--show"]:
        show(Path(arguments[1]))
        return
    stored = {name: digests(name) for name in NAMES}
    stored["matplotlib"] = matplotlib.__version__
    STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print(f"{len(NAMES)} functions")


if __name__ == "__main__":
    main(sys.argv[1:])
