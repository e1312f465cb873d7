"""Show a figure or a piece of code in a notebook and on the book's pages.

`show(axes)` returns a `Picture`, which draws itself as PNG in any notebook and, while the book is
built (`BNLIB_RENDER=page`), as inline SVG whose colours the page's style sheet sets. Its text names
a digest of what is drawn, so that a test that compares text only still notices another picture.
"""

import ast
import base64
import hashlib
import inspect
import io
import itertools
import json
import math
import os
import re
import textwrap

import matplotlib
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure, SubFigure

from bnlib import checks
from bnlib.plots import PALETTE, PAPER

PNG_DPI = 110
STEPS = 10_000  # the digest tells apart this many values between 0 and the largest of an axis

_drawings = itertools.count(1)  # one number per SVG keeps the ids on a page apart


def on_page():
    """Tell whether the book's build is running this kernel."""
    return os.environ.get("BNLIB_RENDER") == "page"


def show(what):
    """Show axes (or a figure) as a picture, or a function or class as its source code.

    Parameters
    ----------
    what : Axes, Figure, sequence of Axes of one figure, function or class
        Code is shown without docstrings.

    Returns
    -------
    Picture or Code
        An object that notebooks know how to display.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> line = axes.plot([0, 1, 2], [0, 1, 4])
    >>> show(axes)
    <figure: 1 axes, 1 mark, data fd5ad22a>
    >>> def double(x):
    ...     return 2 * x
    >>> show(show)  # doctest: +ELLIPSIS
    def show(what):
        if inspect.isfunction(what) or inspect.isclass(what):
    ...
    """
    if inspect.isfunction(what) or inspect.isclass(what):
        return Code(what)
    return Picture(figure_of(what, "show"))


def figure_of(drawn, operation):
    """Return the figure that axes, a sequence of axes or a figure belong to."""
    first = main_axes(drawn)
    if isinstance(first, Axes | Figure | SubFigure):
        return first.get_figure(root=True)
    raise TypeError(
        f"{operation}: expected matplotlib axes or a figure, or a function or class, "
        f"got {type(drawn).__name__}"
    )


def main_axes(drawn):
    """Return the first of several axes, of a figure's axes, or what was given."""
    if isinstance(drawn, Figure | SubFigure):
        return drawn.axes[0] if drawn.axes else drawn
    several = getattr(drawn, "flat", drawn)  # an array of axes, as `subplots` gives
    return next(iter(several), drawn) if hasattr(several, "__iter__") else drawn


class Picture:
    """A figure that draws itself in a notebook and on a page."""

    def __init__(self, figure):
        checks.instance("Picture", "figure", figure, Figure, "a matplotlib figure")
        self.figure = figure

    def __repr__(self):
        """Name what is drawn and its digest."""
        axes, marks, digest = summary(self.figure)
        return f"<figure: {axes} axes, {marks} mark{'s' * (marks != 1)}, data {digest}>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": repr(self)}
        if on_page():
            # The book's extension adds the alt text of the cell's metadata after role="img".
            svg = inline_svg(self.figure, 'class="bn-picture" role="img"')
            bundle["text/html"] = f'<div class="bn-figure">{svg}</div>'
        else:
            bundle["image/png"] = png(self.figure)
        return bundle


class Code:
    """The source of a function or class, without docstrings."""

    def __init__(self, item):
        self.text = source_without_docstrings(item)

    def __repr__(self):
        """Give the source itself."""
        return self.text

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.text, "text/markdown": f"````python\n{self.text}\n````"}


def source_without_docstrings(item):
    """Return the source of a function or class without its docstring and those inside it."""
    try:
        source = textwrap.dedent(inspect.getsource(item))
    except (OSError, TypeError):
        raise TypeError(
            "show: code must be a function or a class that stands in a file or a cell, "
            f"got {item!r}"
        ) from None
    lines = source.splitlines()
    dropped: set[int] = set()  # line numbers, which start at 1
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(node) is None:
            continue
        docstring, *rest = node.body
        first, last = docstring.lineno, docstring.end_lineno or docstring.lineno
        if rest:
            while not lines[last]:  # the blank lines that follow
                last += 1
            dropped.update(range(first, last + 1))
        else:
            lines[first - 1] = " " * docstring.col_offset + "..."
            dropped.update(range(first + 1, last + 1))
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in dropped)


# --- the digest of what is drawn ---------------------------------------------------------------


def summary(figure):
    """Return the number of axes, of marks (lines, patches, collections, …) and the digest."""
    checks.instance("summary", "figure", figure, Figure, "a matplotlib figure")
    drawn = [_drawn(axes) for axes in _with_insets(figure.axes)]
    words = [text.get_text() for text in figure.texts]
    text = json.dumps([words, [data for _, data in drawn]])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return len(drawn), sum(marks for marks, _ in drawn), digest


def _with_insets(several):
    """Yield axes, each followed by those inside it."""
    for axes in several:
        yield axes
        yield from _with_insets(axes.child_axes)


def _drawn(axes):
    """Return how many marks axes hold, and what they show as words and whole numbers."""
    texts = [text for text in axes.texts if text.get_text()]
    points = [text.get_position() for text in texts]
    arrays = []
    for line in axes.lines:
        points += line.get_xydata().tolist()
    for patch in axes.patches:
        points += patch.get_patch_transform().transform(patch.get_path().vertices).tolist()
    for collection in axes.collections:
        if isinstance(collection, PathCollection):  # a scatter: the paths are its markers
            points += collection.get_offsets().tolist()  # type: ignore[union-attr]  # an array
        else:
            for path in collection.get_paths():
                points += path.vertices.tolist()
        arrays.append(collection.get_array())
    for image in axes.images:
        arrays.append(image.get_array())
        left, right, bottom, top = image.get_extent()
        points += [(left, bottom), (right, top)]
    words = [text.get_text() for text in texts]
    words += [axes.get_title(where) for where in ("left", "center", "right")]
    words += [axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale(), axes.get_yscale()]
    if axes.get_legend():
        words += [text.get_text() for text in axes.get_legend().get_texts()]
    x, y = zip(*points, strict=True) if points else ((), ())
    numbers = [_scaled(x, axes.get_xscale()), _scaled(y, axes.get_yscale())]
    numbers += [_whole(array.ravel().tolist()) for array in arrays if array is not None]
    marks = len(axes.lines) + len(axes.patches) + len(axes.collections) + len(axes.images)
    return marks + len(texts), [words, numbers]


def _scaled(values, scale):
    """Return the values of one axis as whole numbers, by their place on a log axis."""
    if scale == "log":
        values = [math.log10(value) if value and value > 0 else math.nan for value in values]
    return _whole(values)


def _whole(values):
    """Round numbers to whole steps of their largest magnitude, and name that magnitude.

    Rounding noise, which differs from processor to processor, must not move a number into the next
    step. So the steps' edges are shifted by an odd amount: round numbers, and the zeros that come
    out as 1e-17, lie well inside a step.

    >>> _whole([0.0, -0.25, 0.5])
    ['5.001e-01', 0, -5000, 10000]
    >>> _whole([1e-17, -0.25, 0.5 - 1e-16])
    ['5.001e-01', 0, -5000, 10000]
    """
    values = [math.nan if value is None else value for value in values]  # None: a masked value
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0) or 1.0
    steps = [
        math.floor(value / largest * STEPS + 0.637) if math.isfinite(value) else str(value)
        for value in values
    ]
    return [f"{largest * 1.000137:.3e}", *steps]


# --- the two forms of a picture ----------------------------------------------------------------


def png(figure):
    """Return a figure as base64 text of a PNG, on light paper whatever the notebook's theme."""
    checks.instance("png", "figure", figure, Figure, "a matplotlib figure")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PNG_DPI, facecolor=PAPER[0], metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()


def inline_svg(figure, attributes):
    """Return a figure as SVG to stand inside a page, in the page's own colours and fonts.

    Parameters
    ----------
    figure : Figure
    attributes : str
        Further attributes of the SVG element, as HTML.

    Returns
    -------
    str
        One element without prolog, with ids that no other SVG of this kernel has.
    """
    checks.instance("inline_svg", "figure", figure, Figure, "a matplotlib figure")
    checks.instance("inline_svg", "attributes", attributes, str, "text")
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", facecolor=PAPER[0], metadata=nothing)
    svg = file.getvalue()
    view = svg.partition('viewBox="')[2].partition('"')[0]
    body = svg[svg.index("<g ") : svg.rindex("</svg>")].rstrip()
    # What matplotlib leaves black has no fill of its own: it takes the page's ink.
    style = f"fill: {variable('ink')}; stroke-linejoin: round; stroke-linecap: butt"
    body = _recoloured(_slim(_own_ids(body, f"bn{next(_drawings)}")))
    return f'<svg {attributes} viewBox="{view}" style="{style}">{body}</svg>'


def _own_ids(svg, prefix):
    """Keep only the ids that are referred to, and make them unique."""
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    names = {old: f"{prefix}-{number}" for number, old in enumerate(used)}
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", svg)
    return re.sub(r'(url\(#|href="#)([^)"]+)', lambda m: m[1] + names[m[2]], svg)


def _slim(svg):
    """Drop what a page does not need: comments, white space, long numbers, font names."""
    svg = re.sub(r"<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r">\s+<", "><", svg)
    svg = re.sub(r"<[^>]*>", lambda tag: _slim_tag(tag.group()), svg)
    return svg.replace("<g></g>", "")


def _slim_tag(tag):
    """Shorten one tag, never the text between tags."""
    tag = re.sub(r"\s+", " ", tag)
    tag = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", tag)
    # Formulas are set glyph by glyph at DejaVu's widths, which Verdana shares; other text flows.
    font = "; font-family: 'DejaVu Sans', Verdana, sans-serif" if tag.startswith("<tspan") else ""
    tag = re.sub(r"; font-family: [^;\"]*", font, tag)
    return re.sub(r"-?\d+\.\d+", lambda number: _short(number.group()), tag)


def _short(number):
    """Round a coordinate; small ones may be factors of a transform and keep four digits.

    >>> [_short(text) for text in ("236.169176", "-0.000000", "1.0044379", "12.50", "3.00024")]
    ['236.17', '0', '1.004', '12.5', '3']
    """
    value = float(number) + 0.0  # no -0.0
    return f"{value:.4g}" if abs(value) < 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def _recoloured(svg):
    """Replace palette colours by the page's variables of the same name, black by ink."""
    names = {light: variable(name) for name, (light, _) in PALETTE.items()}
    names |= {"#000000": variable("ink"), PAPER[0]: variable("paper")}
    svg = re.sub(r'fill="(#[0-9a-f]{6})"', r'style="fill: \1"', svg)  # as hatches write it
    return re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda m: names.get(m.group(), m.group()), svg)


def variable(name):
    """Return a palette colour as CSS, with its light value where no style sheet sets it."""
    checks.one_of("variable", "name", name, ("paper", *PALETTE))
    light = PAPER[0] if name == "paper" else PALETTE[name][0]
    return f"var(--bn-{name}, {light})"
