"""Figures that the reader moves, and guesses made before the answer: live and on the static page.

In a running notebook both are ipywidgets. While the book is built (`BNLIB_RENDER=page`) they are
HTML that shows the first frame and folds the answer away without any script, and that
`book/_assets/moving.js` brings to life. A stored notebook keeps the first frame and a digest, or
the question.
"""

import hashlib
import itertools
import json
from dataclasses import dataclass
from html import escape

from matplotlib.axes import Axes

from bnlib import checks, display, plot_checks
from bnlib.plots import PALETTE, PAPER

PLAY_SECONDS = 6  # for all frames, unless that makes a frame shorter or longer than
FRAME_MILLISECONDS = (120, 600)

_forms = itertools.count(1)  # one number per form keeps the radio groups on a page apart


def moving_figure(draw, values, *, label, text=str, guess=None, guess_axis="x"):
    """Draw a figure for each of several values, for the reader to move through.

    Parameters
    ----------
    draw : callable
        `draw(value)` returns new axes, or several of one figure; the first are the main ones.
    values : sequence
        One frame each, in the order of the slider.
    label : str
        What the values are, to stand beside the slider.
    text : callable, optional
        Turns a value into the text that the reader sees.
    guess : Guess, optional
        A guess of a number, asked above the figure. Once made, it is drawn into every frame.
    guess_axis : {"x", "y"}
        The axis of the main axes on which the guessed number lies; linear or logarithmic.

    Returns
    -------
    MovingFigure
        An object that notebooks know how to display.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> def draw(power):
    ...     axes = Figure(figsize=(3, 2)).subplots()
    ...     axes.plot([0, 1, 2], [0, 1, 2**power])
    ...     return axes
    >>> moving_figure(draw, [1, 2, 3], label="power")
    <moving figure: 3 frames by 'power', data 397f48b7>
    """
    checks.function("moving_figure", "draw", draw)
    checks.function("moving_figure", "text", text)
    plot_checks.word("moving_figure", "label", label)
    values = checks.sequence("moving_figure", "values", values)
    if not values:
        raise ValueError("moving_figure: values must hold at least one value, got none")
    if guess is not None and not isinstance(guess, Guess):
        raise TypeError(f"moving_figure: guess must come from guess(…), got {type(guess).__name__}")
    if guess is not None and guess.options:
        raise ValueError("moving_figure: guess must ask for a number (low, high), got options")
    checks.one_of("moving_figure", "guess_axis", guess_axis, ("x", "y"))
    texts = plot_checks.words("moving_figure", "what text returns", map(text, values))
    drawn = [draw(value) for value in values]
    for axes in drawn:
        display.figure_of(axes, "moving_figure")
        if guess is not None:
            scale_of(display.main_axes(axes), guess_axis)
    return MovingFigure(drawn, texts, label, guess, guess_axis)


def guess(question, *, options=None, low=None, high=None, answer, unit="", because=""):
    """Ask the reader for a guess, one of several options or a number, before giving the answer.

    Parameters
    ----------
    question : str
    options : sequence of str, optional
        What to choose from.
    low, high : float, optional
        The range of the number to guess; instead of options.
    answer : int or float
        The index of the right option, or the number.
    unit : str, optional
        Stands behind the numbers.
    because : str, optional
        Why this is the answer, in a sentence or two.

    Returns
    -------
    Guess
        An object that notebooks know how to display; as text it does not tell the answer.

    Examples
    --------
    >>> guess("How many features have a mean of zero?", options=["none", "all"], answer=1)
    Guess, then run this cell: How many features have a mean of zero?
      ( ) none
      ( ) all
    >>> guess("Where is the mean?", low=0, high=10, answer=4.2, unit="cm")
    Guess, then run this cell: Where is the mean?
      a number from 0 to 10 cm
    """
    for name, value in (("question", question), ("unit", unit), ("because", because)):
        plot_checks.word("guess", name, value)
    if options is not None:
        options = tuple(map(str, checks.sequence("guess", "options", options)))
        if low is not None or high is not None:
            raise ValueError("guess: expected options or low and high, got both")
        if not options:
            raise ValueError("guess: options must be at least one, got none")
        checks.within("guess", "answer, an index of the options,", answer, 0, len(options) - 1)
        return Guess(question, options, None, None, int(answer), unit, because)
    if low is None or high is None:
        raise ValueError("guess: expected options, or low and high, got neither")
    for name, value in (("low", low), ("high", high), ("answer", answer)):
        plot_checks.size("guess", name, value)
    low, high, answer = float(low), float(high), float(answer)
    if not low <= answer <= high:
        raise ValueError(f"guess: answer must lie from {low:g} to {high:g}, got {answer:g}")
    return Guess(question, (), low, high, answer, unit, because)


@dataclass(frozen=True, repr=False)
class Guess:
    """A question with options (then `answer` is an index) or with a range of numbers."""

    question: str
    options: tuple[str, ...]
    low: float | None
    high: float | None
    answer: float
    unit: str
    because: str

    def said(self, value):
        """Return a guess or the answer as the reader sees it."""
        return self.options[int(value)] if self.options else self.measure(value)

    def measure(self, value):
        """Return a number with its unit, whole ones in full: 2,000,000 and not 2e+06."""
        whole = value == round(value) and abs(value) < 1e12
        return f"{value:{',.0f' if whole else 'g'}} {self.unit}".rstrip()

    @property
    def range(self):
        """What may be guessed, in words."""
        low = self.measure(self.low).removesuffix(self.unit).rstrip()
        return f"a number from {low} to {self.measure(self.high)}"

    @property
    def explanation(self):
        """The answer and its reason."""
        return f"The answer: {self.said(self.answer)}. {self.because}".rstrip()

    def __repr__(self):
        """Ask without telling the answer."""
        lines = [f"( ) {option}" for option in self.options] or [self.range]
        return "\n  ".join([f"Guess, then run this cell: {self.question}", *lines])

    def _repr_mimebundle_(self, include=None, exclude=None):
        if display.on_page():
            return {"text/plain": repr(self), "text/html": guess_html(self)}
        return {"text/plain": repr(self)} | view(live_guess(self))


class MovingFigure:
    """One figure per value: a slider moves through them."""

    def __init__(self, drawn, texts, label, guess, guess_axis):
        self.drawn = drawn
        self.texts = texts
        self.label = label
        self.guess = guess
        self.guess_axis = guess_axis

    @property
    def figures(self):
        """The figure of each frame."""
        return [display.figure_of(axes, "moving_figure") for axes in self.drawn]

    def __repr__(self):
        """Name the frames and the digest of them all."""
        parts = [display.summary(figure)[-1] for figure in self.figures] + self.texts
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
        frames = f"{len(self.texts)} frame{'s' * (len(self.texts) != 1)}"
        return f"<moving figure: {frames} by {self.label!r}, data {digest}>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        if display.on_page():
            return {"text/plain": repr(self), "text/html": moving_html(self)}
        bundle = {"text/plain": repr(self), "image/png": display.png(self.figures[0])}
        return bundle | view(live_figure(self))

    def frames(self):
        """Return one SVG per value, named by it."""
        names = [escape(f"{self.label}: {text}") for text in self.texts]
        return [
            display.inline_svg(figure, f'class="bn-svg" role="img" aria-label="{name}"')
            for figure, name in zip(self.figures, names, strict=True)
        ]

    @property
    def interval(self):
        """How long a frame stands while the figure plays, in milliseconds."""
        shortest, longest = FRAME_MILLISECONDS
        return round(min(max(1000 * PLAY_SECONDS / len(self.texts), shortest), longest))


def scale_of(axes, axis):
    """Return the scale of an axis if a guess can be placed on it."""
    checks.instance("moving_figure", "what draw returns", axes, Axes, "matplotlib axes")
    checks.one_of("moving_figure", "guess_axis", axis, ("x", "y"))
    scale = getattr(axes, f"get_{axis}scale")()
    if scale not in ("linear", "log"):
        raise ValueError(f"moving_figure: a guess needs a linear or log axis, got {scale!r}")
    return scale


# --- on the static page ------------------------------------------------------------------------


def moving_html(moving):
    """Return a moving figure as HTML: without a script the first frame and, if asked, the guess."""
    checks.instance("moving_html", "moving", moving, MovingFigure, "a MovingFigure")
    frames = moving.frames()
    if moving.guess is not None:
        marks = [guess_mark(display.main_axes(axes), moving.guess_axis) for axes in moving.drawn]
        frames = [
            svg.removesuffix("</svg>") + mark + "</svg>"
            for svg, mark in zip(frames, marks, strict=True)
        ]
    return (
        # The book's extension adds the alt text of the cell's metadata after role="group".
        f'<div class="bn-moving" role="group" data-label="{escape(moving.label)}" '
        f'data-values="{escape(json.dumps(moving.texts, ensure_ascii=False))}" '
        f'data-interval="{moving.interval}">'
        + (guess_html(moving.guess) if moving.guess else "")
        + "".join(
            f'<div class="bn-frame"{" hidden" * (number > 0)}>{svg}</div>'
            for number, svg in enumerate(frames)
        )
        + "</div>"
    )


def guess_mark(axes, axis):
    """Return a hidden dashed line "your guess" as SVG, for axes that have been drawn.

    It carries what `moving.js` needs to place it: the axis and its scale, the two limits, and where
    in the SVG these two ends of the axis lie.
    """
    scale = scale_of(axes, axis)
    figure = axes.get_figure(root=True)
    width, height = figure.get_size_inches() * 72  # one unit of the SVG is a point
    box = axes.get_window_extent().transformed(figure.transFigure.inverted())
    left, right = round(box.x0 * width, 2), round(box.x1 * width, 2)
    top, bottom = round((1 - box.y1) * height, 2), round((1 - box.y0) * height, 2)
    if axis == "x":
        place = [*axes.get_xlim(), left, right]
        line, label = f"M0 {top}V{bottom}", f'x="4" y="{top + 9:g}"'
    else:
        place = [*axes.get_ylim(), bottom, top]
        line, label = f"M{left} 0H{right}", f'x="{left + 4:g}" y="-4"'
    data = json.dumps([axis, scale, *map(float, place)])
    ink, paper = display.variable("ink"), display.variable("paper")
    halo = f"paint-order: stroke; stroke: {paper}; stroke-width: 3"
    return (
        f'<g visibility="hidden" data-place="{escape(data)}">'
        f'<path d="{line}" style="stroke: {ink}; stroke-width: 1.5; stroke-dasharray: 5 3"/>'
        f'<text {label} style="font-size: 10px; fill: {ink}; {halo}">your guess</text></g>'
    )


def guess_html(guess):
    """Return a guess as a form, in which the details element alone gives the answer."""
    checks.instance("guess_html", "guess", guess, Guess, "a Guess")
    if guess.options:
        group = f"bn-guess-{next(_forms)}"
        fields = "".join(
            f'<label><input type="radio" name="{group}" value="{index}" required> '
            f"<span>{escape(option)}</span></label>"
            for index, option in enumerate(guess.options)
        )
    else:
        fields = (
            f"<label><span>Your guess, {escape(guess.range)}</span> "
            f'<input type="number" step="any" min="{guess.low}" max="{guess.high}" '
            f'data-unit="{escape(guess.unit)}" required></label>'
        )
    return (
        # method="dialog" outside a dialog: submitting never leaves the page.
        '<form class="bn-guess" method="dialog" autocomplete="off">'
        f"<fieldset><legend>{escape(guess.question)}</legend>{fields}</fieldset>"
        '<button type="submit" hidden>Show the answer</button>'
        '<details class="bn-answer"><summary>Answer</summary>'
        f"<p>{escape(guess.explanation)}</p></details></form>"
    )


# --- in a running notebook ---------------------------------------------------------------------


def view(widget):
    """Return the part of a widget's bundle by which a notebook shows it."""
    import ipywidgets

    checks.instance("view", "widget", widget, ipywidgets.Widget, "a widget")
    kind = "application/vnd.jupyter.widget-view+json"
    return {kind: widget._repr_mimebundle_()[kind]}


def live_figure(moving):
    """Return a moving figure as a stack of frames that a slider and a play button turn over."""
    import ipywidgets

    checks.instance("live_figure", "moving", moving, MovingFigure, "a MovingFigure")
    wide = {"width": "34rem", "max_width": "100%"}
    frames = [ipywidgets.HTML(card(svg), layout=wide) for svg in moving.frames()]
    stack = ipywidgets.Stack(frames, selected_index=0)
    options = [(text, index) for index, text in enumerate(moving.texts)]
    slider = ipywidgets.SelectionSlider(
        options=options,
        description=moving.label,
        style={"description_width": "initial"},
        layout={"width": "28rem", "max_width": "100%"},
    )
    play = ipywidgets.Play(max=len(frames) - 1, interval=moving.interval)
    # Links in the browser: the figure moves while the kernel is busy, too.
    ipywidgets.jslink((play, "value"), (slider, "index"))
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    parts = [stack, ipywidgets.HBox([slider, play])]

    def draw_guess(value):
        for axes in moving.drawn:
            mark_guess(display.main_axes(axes), moving.guess_axis, value)
        for frame, svg in zip(frames, moving.frames(), strict=True):
            frame.value = card(svg)

    if moving.guess is not None:
        parts.insert(0, live_guess(moving.guess, draw_guess))
    return ipywidgets.VBox(parts)


def card(svg):
    """Return a frame on light paper, whatever the notebook's theme."""
    plot_checks.word("card", "svg", svg)
    return f'<div style="background: {PAPER[0]}">{svg}</div>'


def mark_guess(axes, axis, value):
    """Draw a guess into axes without moving their limits or their frame."""
    scale_of(axes, axis)
    plot_checks.size("mark_guess", "value", value)
    axes.autoscale(False)
    ink = PALETTE["ink"][0]
    if axis == "x":
        axes.axvline(value, color=ink, linestyle="--")
        across, _ = axes.transAxes.inverted().transform(axes.transData.transform((value, 1)))
        side, offset = ("right", (-4, -12)) if across > 0.5 else ("left", (4, -12))
        place = {"xy": (value, 1), "xycoords": axes.get_xaxis_transform()}
    else:
        axes.axhline(value, color=ink, linestyle="--")
        side, offset = "left", (4, 4)
        place = {"xy": (0, value), "xycoords": axes.get_yaxis_transform()}
    label = axes.annotate(
        "your guess", **place, xytext=offset, textcoords="offset points", color=ink, ha=side
    )
    label.set_in_layout(False)


def live_guess(guess, then=None):
    """Return a guess as widgets: the answer appears once a guess is made, which `then` is given."""
    import ipywidgets

    checks.instance("live_guess", "guess", guess, Guess, "a Guess")
    if then is not None:
        checks.function("live_guess", "then", then)
    if guess.options:
        kind = ""
        field = ipywidgets.RadioButtons(options=guess.options, index=None, layout={"width": "auto"})
    else:
        kind = f"<br>Your guess, {escape(guess.range)}:"
        field = ipywidgets.BoundedFloatText(guess.low, min=guess.low, max=guess.high)
    button = ipywidgets.Button(description="Show the answer")
    answer = ipywidgets.HTML()

    def commit(_):
        value = field.index if guess.options else field.value
        if value is None:
            return
        field.disabled = button.disabled = True
        yours = f"Your guess: {guess.said(value)}."
        answer.value = f"<p>{escape(yours)}</p><p>{escape(guess.explanation)}</p>"
        if then:
            then(value)

    button.on_click(commit)
    question = ipywidgets.HTML(f"<strong>{escape(guess.question)}</strong>{kind}")
    return ipywidgets.VBox([question, field, button, answer])
