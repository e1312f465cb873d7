"""Pictures and code on the page: what is drawn, what the digest notices, which colours."""

import ast
import base64
import importlib.util
import io
import re
import struct
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from bnlib import display
from bnlib.display import show
from bnlib.plots import PALETTE, PAPER, colour

BOOK = Path(__file__).resolve().parent.parent / "book"


@pytest.fixture(autouse=True)
def notebook(monkeypatch):
    """Run as an ordinary kernel does, unless `page` comes after."""
    monkeypatch.delenv("BNLIB_RENDER", raising=False)


@pytest.fixture
def page(monkeypatch, notebook):
    """Run as a kernel of the book's build does."""
    monkeypatch.setenv("BNLIB_RENDER", "page")


def axes_of(*, size=(5.4, 3), **figure):
    return Figure(figsize=size, **figure).subplots()


def digest(axes):
    return display.summary(axes.figure)[-1]


class Elements(HTMLParser):
    """Collect all elements of a piece of HTML and check that they nest."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def named(self, tag, **wanted):
        return [a for t, a in self.found if t == tag and wanted.items() <= a.items()]


# --- which form is shown where -----------------------------------------------------------------


def test_a_notebook_gets_a_picture_and_its_digest():
    axes = axes_of()
    axes.plot([1, 2], [3, 4])
    bundle = show(axes)._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "image/png"}
    assert re.fullmatch(r"<figure: 1 axes, 1 mark, data [0-9a-f]{8}>", bundle["text/plain"])
    png = base64.b64decode(bundle["image/png"])
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (594, 330)
    assert len(png) < 50_000


def test_the_paper_is_light_in_a_notebook_and_the_pages_own_on_a_page():
    axes = axes_of(facecolor="black")
    picture = imread(io.BytesIO(base64.b64decode(display.png(axes.figure))))
    assert (picture[0, 0] == 1).all()
    assert 'z " style="fill: var(--bn-paper, #ffffff)' in svg_of(axes)


def test_a_page_gets_inline_svg(page):
    axes = axes_of()
    axes.plot([1, 2], [3, 4])
    bundle = show(axes)._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "text/html"}
    svgs = Elements(bundle["text/html"]).named("svg")
    assert len(svgs) == 1
    assert svgs[0]["role"] == "img"


def test_figures_and_several_axes_can_be_shown():
    figure = Figure()
    several = figure.subplots(2, 2)
    assert str(show(several)) == str(show(figure)) == str(show(list(several.flat)))
    assert str(show(figure)).startswith("<figure: 4 axes, 0 marks")


@pytest.mark.parametrize("what", [3, "text", [], None, len])
def test_other_things_are_refused(what):
    with pytest.raises(TypeError, match="show: expected matplotlib axes"):
        show(what)


def test_the_extension_finds_the_figures_that_need_a_name(page):
    from bnlib import widgets

    path = BOOK / "_extensions" / "book_pages.py"
    specification = importlib.util.spec_from_file_location("book_pages", path)
    extension = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(extension)
    moving = widgets.moving_figure(lambda value: axes_of(), [1, 2], label="value")
    static = show(axes_of())
    for shown, mark in zip((static, moving), extension.NAMELESS, strict=True):
        html = shown._repr_mimebundle_()["text/html"]
        assert [html.count(nameless) for nameless in extension.NAMELESS].count(1) == 1
        assert mark in html


# --- the digest ----------------------------------------------------------------------------------


DRAWN = {
    "line": lambda axes, value: axes.plot([0, 1, 2], [0, value, 1]),
    "one point": lambda axes, value: axes.plot([value], [1], "o"),
    "all values": lambda axes, value: axes.plot([0, 1], [0, value]),
    "horizontal line": lambda axes, value: axes.axhline(value),
    "bars": lambda axes, value: axes.bar([0, 1], [value, 1]),
    "a single bar": lambda axes, value: axes.bar([0], [value]),
    "scatter": lambda axes, value: axes.scatter([0, 1], [value, 1]),
    "scatter's values": lambda axes, value: axes.scatter([0, 1], [0, 1], c=[value, 1]),
    "band": lambda axes, value: axes.fill_between([0, 1], [0, value], [1, 1]),
    "segments": lambda axes, value: axes.vlines([0, 1], 0, [value, 1]),
    "image": lambda axes, value: axes.imshow([[0, value], [1, 0]]),
    "mesh": lambda axes, value: axes.pcolormesh([[0, value], [1, 0]]),
    "text": lambda axes, value: axes.text(0, 0, f"{value:.3f}"),
    "place of a text": lambda axes, value: (axes.plot([0, 1]), axes.text(value, 0, "a")),
    "title": lambda axes, value: axes.set_title(f"{value:.3f}"),
    "axis label": lambda axes, value: axes.set_xlabel(f"{value:.3f}"),
    "legend": lambda axes, value: axes.plot([0], label=f"{value:.3f}") and axes.legend(),
    "inset": lambda axes, value: axes.inset_axes([0, 0, 0.5, 0.5]).plot([0, value, 1]),
    "figure title": lambda axes, value: axes.figure.suptitle(f"{value:.3f}"),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_the_digest_notices_a_change(draw):
    digests = []
    for value in (0.5, 0.5, 0.501, 0.25):
        axes = axes_of()
        draw(axes, value)
        digests.append(digest(axes))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_the_digest_notices_a_log_axis():
    linear, log = axes_of(), axes_of()
    for axes in (linear, log):
        axes.plot([1, 10])
    log.set_yscale("log")
    assert digest(linear) != digest(log)


def test_the_digest_notices_the_small_end_of_a_log_axis():
    digests = set()
    for smallest in (1e-6, 2e-6):
        axes = axes_of()
        axes.set(yscale="log")
        axes.plot([1, 2], [smallest, 1])
        digests.add(digest(axes))
    assert len(digests) == 2


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("seed", range(5))
def test_the_digest_overlooks_rounding_noise(scale, seed):
    rng = np.random.default_rng(seed)
    values = np.abs(np.r_[rng.normal(size=300), np.linspace(0, 1, 33), np.arange(10), 1 / 32])
    noise = values * (1 + 1e-13 * rng.normal(size=values.size))
    noise[values == 0] = 1e-17  # what should be nothing seldom is
    digests = set()
    for y in (values, noise):
        axes = axes_of()
        if scale == "log":
            y = np.where(y < 1e-3, 1, y)
            axes.set_yscale("log")
        axes.plot(y)
        axes.bar(range(len(y)), y)
        digests.add(digest(axes))
    assert len(digests) == 1


def test_the_digest_takes_missing_and_negative_zero():
    digests = []
    for y in ([0.0, np.nan, np.inf, 1], [-0.0, np.nan, np.inf, 1], [0.0, 1, np.inf, 1]):
        axes = axes_of()
        axes.plot([0, 1, 2, 3], y)
        axes.imshow(np.ma.masked_invalid([y]))
        digests.append(digest(axes))
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_tells_a_masked_value_from_zero():
    digests = set()
    for masked in (False, True):
        axes = axes_of()
        axes.imshow(np.ma.array([[0.0, 1.0]], mask=[[masked, False]]))
        digests.add(digest(axes))
    assert len(digests) == 2


# --- the SVG -------------------------------------------------------------------------------------


def svg_of(axes):
    return display.inline_svg(axes.figure, 'role="img"')


def a_busy_figure():
    axes = axes_of()
    axes.plot([1, 2, 3], [0.1, 0.2, 0.4], "o-", color=colour("batch norm"))
    axes.bar([1, 2], [0.2, 0.3], hatch="//", facecolor="white")
    axes.fill_between([1, 3], [0.1, 0.1], [0.2, 0.3], color=colour("plain"), alpha=0.3)
    axes.imshow(np.eye(3), extent=(1, 2, 0.1, 0.2), interpolation="none", aspect="auto")
    axes.set(xlabel='0.123456 kg & "more" <1>', ylabel=r"$\hat{x}$ and x̂")
    return axes


def test_the_svg_has_nothing_but_one_element_with_a_view_box():
    svg = svg_of(a_busy_figure())
    Elements(svg)
    assert svg.startswith('<svg role="img" viewBox="0 0 388.8 216"')
    for waste in ("<?xml", "<!", "metadata", "<style", "width=", "height=", "\n", "Bitstream"):
        assert waste not in re.sub(r"<(image|rect|pattern)[^>]*>", "", svg)


def test_ids_are_unique_and_all_references_lead_to_them():
    svgs = [svg_of(a_busy_figure()) for _ in range(2)]
    ids = re.findall(r' id="([^"]+)"', "".join(svgs))
    assert len(ids) == len(set(ids)) > 4
    for svg in svgs:
        used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
        assert used == set(re.findall(r' id="([^"]+)"', svg))


def test_drawing_twice_gives_the_same_but_for_the_ids():
    first, second = (re.sub(r"\bbn\d+-", "", svg_of(a_busy_figure())) for _ in range(2))
    assert first == second


def test_the_page_sets_the_colours():
    axes = a_busy_figure()
    axes.axhline(0.3, color=PALETTE["grid"][0])
    svg = svg_of(axes)
    for name in ("ink", "blue", "orange", "grid", "paper"):
        light = PAPER[0] if name == "paper" else PALETTE[name][0]
        assert f"var(--bn-{name}, {light})" in svg
        assert not re.search(rf"(?<!--bn-{name}, ){light}", svg)
    assert "#000000" not in svg


def test_the_page_sets_the_font_but_in_formulas():
    svg = svg_of(a_busy_figure())
    assert "font-family" not in re.sub(r"<tspan[^>]*>", "", svg)
    assert set(re.findall('font-family: [^;"]*', svg)) == {
        "font-family: 'DejaVu Sans', Verdana, sans-serif"
    }


def test_coordinates_are_short_and_text_is_left_alone():
    svg = svg_of(a_busy_figure())
    assert "0.123456 kg &amp;" in svg
    tags = "".join(re.findall(r"<[^>]*>", svg))
    assert not re.search(r"\d{2}\.\d{3}|[1-9]\.\d{4}", re.sub(r"base64,[^\"]*", "", tags))


def test_shortened_transforms_keep_an_image_in_its_place():
    axes = axes_of()
    axes.imshow(np.eye(300), interpolation="none", aspect="auto")
    (matrix,) = re.findall(r'transform="matrix\(([^)]*)\)"', svg_of(axes)) or [None]
    a, _, _, d, _, _ = map(float, matrix.replace(",", " ").split())
    box = axes.get_position()
    assert 300 * a == pytest.approx(box.width * 388.8, rel=2e-3)
    assert 300 * abs(d) == pytest.approx(box.height * 216, rel=2e-3)


# --- code ----------------------------------------------------------------------------------------


class Shelf:
    """A class to be shown.

    With several lines.
    """

    size = 3

    def __init__(self, size):
        """Set the size."""

        # why: a comment stays
        self.size = size

    @property
    def double(self):
        """Twice the size."""

    async def wait(self):
        return """Not a docstring."""


def test_code_is_shown_without_docstrings():
    code = show(Shelf)
    assert (
        str(code)
        == '''class Shelf:
    size = 3

    def __init__(self, size):
        # why: a comment stays
        self.size = size

    @property
    def double(self):
        ...

    async def wait(self):
        return """Not a docstring."""'''
    )
    ast.parse(str(code))
    bundle = code._repr_mimebundle_()
    assert bundle == {"text/plain": str(code), "text/markdown": f"````python\n{code}\n````"}


def without_words():
    def with_words():
        """Goes."""
        return 1

    return with_words


def test_docstrings_inside_what_has_none_are_left_out_too():
    lines = str(show(without_words)).split()
    assert "with_words():" in lines and "Goes." not in "".join(lines)


def test_code_of_every_function_here_still_parses():
    for item in vars(display).values():
        if getattr(item, "__module__", None) == display.__name__:
            assert ast.parse(str(show(item))).body


# --- colours -------------------------------------------------------------------------------------


def luminance(colour):
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_style_sheet_has_the_palette():
    css = (BOOK / "_assets" / "book.css").read_text(encoding="utf-8")
    blocks = re.findall(r'^html(\[data-theme="dark"\])? \{([^}]*)\}', css, flags=re.MULTILINE)
    assert [dark for dark, _ in blocks] == ["", '[data-theme="dark"]']
    expected = PALETTE | {"paper": PAPER}
    for index, (_, block) in enumerate(blocks):
        found = dict(re.findall(r"--bn-(\w+): (#[0-9a-f]{6});", block))
        assert found == {name: colours[index] for name, colours in expected.items()}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", [name for name in PALETTE if name != "grid"])
def test_colours_stand_out_from_the_paper(name, theme):
    needed = 4.5 if name in ("ink", "muted") else 3
    assert contrast(PALETTE[name][theme], PAPER[theme]) >= needed


def test_contrast_is_computed_as_the_guidelines_do():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
