"""Moving figures and guesses: what stands on the page, in a stored notebook and in a live one."""

import gzip
import html
import json
import re

import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from test_display import Elements

from bnlib import display, widgets
from bnlib.plots import colour
from bnlib.widgets import guess, moving_figure

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def notebook(monkeypatch):
    """Run as an ordinary kernel does, unless `page` comes after."""
    monkeypatch.delenv("BNLIB_RENDER", raising=False)


@pytest.fixture
def page(monkeypatch, notebook):
    """Run as a kernel of the book's build does."""
    monkeypatch.setenv("BNLIB_RENDER", "page")


def draw(value):
    axes = Figure(figsize=(5.4, 3)).subplots()
    axes.plot([0, 1, 2], [0, value, 1], color=colour("batch norm"))
    axes.set(xlim=(0, 2), ylim=(0, 10))
    return axes


def moving(**options):
    return moving_figure(draw, [1, 2.5, 4], **{"label": "height", **options})


def height(**options):
    return guess("How high?", **{"low": 0, "high": 10, "answer": 7.25, "unit": "cm", **options})


def choice(**options):
    return guess("Which?", **{"options": ["the first", "a < b"], "answer": 1, **options})


def html_of(shown):
    bundle = shown._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "text/html"}
    assert bundle["text/plain"] == repr(shown)
    return bundle["text/html"]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: moving_figure(draw, [], label="x"), ValueError, "at least one value, got none"),
        (lambda: moving(guess=3), TypeError, "must come from guess"),
        (lambda: moving(guess=choice()), ValueError, "ask for a number"),
        (lambda: moving(guess=height(), guess_axis="z"), ValueError, "guess_axis must be"),
        (lambda: moving_figure(str, [1], label="x"), TypeError, "moving_figure: expected .* axes"),
        (lambda: guess("?", answer=1), ValueError, "got neither"),
        (lambda: guess("?", low=1, answer=1), ValueError, "got neither"),
        (lambda: guess("?", options=["a"], low=1, high=2, answer=0), ValueError, "got both"),
        (
            lambda: guess("?", options=["a", "b"], answer=2),
            ValueError,
            "index .* lie in 0..1, got 2",
        ),
        (lambda: guess("?", options=["a", "b"], answer=-1), ValueError, "index .* in 0..1, got -1"),
        (lambda: guess("?", low=1, high=2, answer=3), ValueError, "from 1 to 2, got 3"),
        (lambda: guess("?", low=2, high=1, answer=1.5), ValueError, "from 2 to 1, got 1.5"),
        (lambda: guess("?", low=0, high=np.inf, answer=1), ValueError, "finite number, got inf"),
        (lambda: guess("?", low=0, high=1, answer=np.nan), ValueError, "got nan"),
    ],
)
def test_wrong_arguments_are_named(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_guess_needs_an_axis_that_can_be_computed(axis):
    def draw_strange(value):
        axes = draw(value)
        axes.set(**{f"{axis}scale": "symlog"})
        return axes

    with pytest.raises(ValueError, match="a linear or log axis, got 'symlog'"):
        moving_figure(draw_strange, [1], label="x", guess=height(), guess_axis=axis)


# --- a moving figure in a stored notebook --------------------------------------------------------


def test_a_stored_notebook_keeps_the_first_frame_and_a_digest():
    bundle = moving()._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "image/png", VIEW}
    assert bundle["image/png"] == display.png(draw(1).figure)
    assert re.fullmatch(
        r"<moving figure: 3 frames by 'height', data [0-9a-f]{8}>", bundle["text/plain"]
    )


def test_the_digest_is_that_of_all_frames_and_their_texts():
    def figure(*values, text=str):
        return repr(moving_figure(draw, values, label="height", text=text))

    assert figure(1, 2) == figure(1, 2)
    assert len({figure(1, 2), figure(1, 3), figure(2, 1), figure(1, 2, text="{:.2f}".format)}) == 4


# --- a moving figure on the page -----------------------------------------------------------------


def test_a_page_shows_the_first_frame_and_names_each(page):
    found = Elements(html_of(moving(label='"height" <cm>', text="{:.1f} cm".format)))
    (figure,) = found.named("div", **{"class": "bn-moving", "role": "group"})
    assert figure["data-label"] == '"height" <cm>'
    assert json.loads(figure["data-values"]) == ["1.0 cm", "2.5 cm", "4.0 cm"]
    frames = found.named("div", **{"class": "bn-frame"})
    assert ["hidden" in frame for frame in frames] == [False, True, True]
    names = [svg["aria-label"] for svg in found.named("svg", role="img")]
    assert names == ['"height" <cm>: 1.0 cm', '"height" <cm>: 2.5 cm', '"height" <cm>: 4.0 cm']


def test_no_frame_shares_an_id(page):
    ids = re.findall(r' id="([^"]+)"', html_of(moving()) + html_of(moving()))
    assert len(ids) == len(set(ids)) > 6


@pytest.mark.parametrize(("frames", "expected"), [(2, 600), (30, 200), (100, 120)])
def test_playing_takes_a_few_seconds(frames, expected):
    assert moving_figure(draw, range(frames), label="x").interval == expected


def test_a_page_with_two_moving_figures_is_light(page):
    def draw_much(value):
        axes = draw(value)
        axes.plot(np.linspace(0, 2, 300), np.random.default_rng(int(10 * value)).normal(size=300))
        return axes

    texts = [
        html_of(moving_figure(draw_much, np.linspace(0, 9, 30), label=label)) for label in "ab"
    ]
    assert len(gzip.compress("".join(texts).encode())) < 600_000


# --- the guess inside a frame --------------------------------------------------------------------


def place(svg, value):
    """What `place` in moving.js computes from a frame's data."""
    (data,) = re.findall('data-place="([^"]*)"', svg)
    axis, scale, low, high, start, end = json.loads(html.unescape(data))
    on_axis = np.log if scale == "log" else float
    share = (on_axis(value) - on_axis(low)) / (on_axis(high) - on_axis(low))
    return axis, start + share * (end - start)


@pytest.mark.parametrize("layout", [None, "constrained"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"xscale": "log", "yscale": "log", "xlim": (0.1, 100), "ylim": (0.01, 10)},
        {"xlim": (2, 0), "ylim": (10, 0)},
        {"aspect": "equal"},
    ],
    ids=["linear", "log", "inverted", "equal"],
)
@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_guess_is_placed_where_matplotlib_would(page, axis, change, layout):
    drawn = []

    def draw_two(value):
        figure = Figure(figsize=(5.4, 3), layout=layout)
        axes = figure.subplots(1, 2)
        axes[0].set(**{"xlim": (0, 2), "ylim": (0, 10), **change})
        drawn.append(axes[0])
        return axes

    one = moving_figure(draw_two, [1], label="x", guess=height(), guess_axis=axis)
    found, at = place(html_of(one), 0.7)
    assert found == axis
    (axes,) = drawn
    x, y = axes.transData.transform((0.7, 0.7)) * 72 / axes.figure.dpi
    assert at == pytest.approx(x if axis == "x" else 3 * 72 - y, abs=0.02)


def test_the_mark_waits_in_every_frame(page):
    found = Elements(html_of(moving(guess=height())))
    assert len(found.named("g", visibility="hidden")) == 3
    assert len(found.named("form")) == 1
    assert "data-place" not in html_of(moving())


# --- a guess -------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [height(because="Measured."), choice(because="Measured.")])
def test_text_asks_and_does_not_tell(asked):
    text = asked._repr_mimebundle_()["text/plain"]
    assert text.startswith(f"Guess, then run this cell: {asked.question}\n  ")
    assert "Measured" not in text
    assert "7.25" not in text
    assert text == repr(asked)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, 2e6, "a number from 0 to 2,000,000 cm"),
        (-3e4, 0.25, "a number from -30,000 to 0.25 cm"),
        (1e-7, 1e20, "a number from 1e-07 to 1e+20 cm"),
    ],
)
def test_numbers_are_written_as_readers_do(low, high, text):
    assert height(low=low, high=high, answer=high).range == text


def test_the_range_of_the_field_is_not_rounded(page):
    (field,) = Elements(html_of(height(low=0.12345678, high=1234567.8))).named("input")
    assert (field["min"], field["max"]) == ("0.12345678", "1234567.8")


def test_a_number_is_asked_for_by_a_native_form(page):
    found = Elements(html_of(height()))
    (field,) = found.named("input")
    wanted = {"type": "number", "min": "0.0", "max": "10.0", "step": "any", "data-unit": "cm"}
    assert wanted.items() <= field.items()
    assert "required" in field
    assert found.named("form", method="dialog", **{"class": "bn-guess"})


def test_options_are_radio_buttons_in_a_group_of_their_own(page):
    groups = []
    for _ in range(2):
        fields = Elements(html_of(choice())).named("input", type="radio")
        assert [field["value"] for field in fields] == ["0", "1"]
        groups.append({field["name"] for field in fields})
    assert len(groups[0]) == len(groups[1]) == 1
    assert groups[0] != groups[1]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (height(because="Half of 14.5."), "The answer: 7.25 cm. Half of 14.5."),
        (choice(), "The answer: a &lt; b."),
    ],
)
def test_without_a_script_the_details_give_the_answer(page, asked, answer):
    text = html_of(asked)
    assert "hidden" in Elements(text).named("button", type="submit")[0]
    before, _, details = text.partition('<details class="bn-answer">')
    assert f"<p>{answer}</p></details>" in details
    assert answer not in before


# --- in a live notebook --------------------------------------------------------------------------


def inside(widget, kind):
    """The widgets of one kind among a widget and all that it holds."""
    found = [widget] if type(widget) is kind else []
    return found + [one for child in getattr(widget, "children", ()) for one in inside(child, kind)]


def test_live_frames_follow_the_slider(monkeypatch):
    links = []
    monkeypatch.setattr(ipywidgets, "jslink", lambda *ends: links.append(ends))
    live = widgets.live_figure(moving(text="{:.1f}".format))
    (stack,) = inside(live, ipywidgets.Stack)
    (slider,) = inside(live, ipywidgets.SelectionSlider)
    (play,) = inside(live, ipywidgets.Play)
    assert [text for text, _ in slider.options] == ["1.0", "2.5", "4.0"]
    assert len(stack.children) == play.max + 1 == 3
    assert ((play, "value"), (slider, "index")) in links
    assert ((slider, "index"), (stack, "selected_index")) in links
    assert slider.index == stack.selected_index == 0


def test_a_live_number_draws_itself_into_every_frame():
    live = widgets.live_figure(moving(guess=height(because="So it is.")))
    (stack,) = inside(live, ipywidgets.Stack)
    (field,) = inside(live, ipywidgets.BoundedFloatText)
    (button,) = inside(live, ipywidgets.Button)
    said = inside(live, ipywidgets.HTML)
    assert not any("So it is." in one.value or "your guess" in one.value for one in said)
    field.value = 1.5
    button.click()
    assert all("your guess" in frame.value for frame in stack.children)
    (answer,) = [one.value for one in said if "So it is." in one.value]
    assert answer == "<p>Your guess: 1.5 cm.</p><p>The answer: 7.25 cm. So it is.</p>"
    assert field.disabled
    assert button.disabled


def test_a_live_choice_waits_until_one_is_made():
    guesses = []
    live = widgets.live_guess(choice(), guesses.append)
    (field,) = inside(live, ipywidgets.RadioButtons)
    (button,) = inside(live, ipywidgets.Button)
    button.click()
    assert not guesses
    assert not button.disabled
    field.index = 1
    button.click()
    assert guesses == [1]
    assert inside(live, ipywidgets.HTML)[-1].value == (
        "<p>Your guess: a &lt; b.</p><p>The answer: a &lt; b.</p>"
    )


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_drawn_guess_moves_nothing(axis):
    axes = draw(3)
    axes.autoscale(True)
    axes.figure.set_layout_engine("constrained")
    axes.figure.draw_without_rendering()
    before = (*axes.get_xlim(), *axes.get_ylim(), *axes.get_position().extents)
    for value in (1.99, 50):
        widgets.mark_guess(axes, axis, value)
    axes.figure.draw_without_rendering()
    after = (*axes.get_xlim(), *axes.get_ylim(), *axes.get_position().extents)
    assert after == before
    assert axes.lines[-2].get_color() == colour("guess")
