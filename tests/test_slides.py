"""The moving figures as files for slides: whole, quiet, moved by keys."""

import re

import pytest
import slides
from matplotlib.figure import Figure

from bnlib import widgets

SITE_PAGE = """<h1>Turn &amp; look<a href="#">#</a></h1>
<figure class="align-default" id="fig-still"><div><svg></svg></div></figure>
<figure class="align-default" id="fig-turn">
<div class="output text_html">{figure}</div><figcaption>
<p><span class="caption-number">Fig. 1 </span><span class="caption-text">A line, see <a
class="reference internal" href="other.html#x"><span class="std">there</span></a>.</span><a
class="headerlink" href="#fig-turn">#</a></p></figcaption></figure>
"""


def draw(slope):
    axes = Figure(figsize=(4, 2)).subplots()
    axes.plot([0, 1], [0, slope])
    return axes


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "guessed"])
def made(request, tmp_path_factory):
    """The slide of one figure, made from a page as the book has them."""
    guess = widgets.guess("How steep?", low=0, high=1, answer=1) if request.param else None
    moving = widgets.moving_figure(draw, [1, 2, 3], label="slope", guess=guess)
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("slides")
    page = SITE_PAGE.format(figure=widgets.moving_html(moving))
    (site / "turn.html").write_text(page, encoding="utf-8")
    (folder / "fig-gone.html").write_text("of an older book", encoding="utf-8")
    (path,) = slides.write(site, folder)
    return path


def test_a_slide_is_whole(made):
    text = made.read_text(encoding="utf-8")
    assert made.name == "fig-turn.html"
    assert "<title>Turn &amp; look: fig-turn</title>" in text
    assert "<footer>A line, see there. <em>" in text
    assert text.count('class="bn-frame"') == 3
    body = text.partition("<body>")[2].partition("<script>")[0]
    assert body.count("<div") == body.count("</div")
    asks = re.findall(
        r'(?:src|href)="(?!#)[^"]*"|url\((?!#)|@import|https?://(?!www\.w3\.org)', text
    )
    assert not asks, "a slide asks nobody for anything"


def test_keys_move_a_slide_that_asks_nobody(browser, made):
    context = browser.new_context(viewport={"width": 1024, "height": 768}, offline=True)
    page, asked, faults = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(made.as_uri())
    shown = "() => [...document.querySelectorAll('.bn-frame')].findIndex(f => f.checkVisibility())"
    places = [page.evaluate(shown)]
    for key in ("ArrowRight", "PageDown", "PageUp"):
        page.keyboard.press(key)
        places.append(page.evaluate(shown))
    page.locator("input[type=range]").press("ArrowRight")  # focused, it must not step twice
    places.append(page.evaluate(shown))
    assert places == [0, 1, 2, 1, 2]
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.keyboard.press("d")
    assert page.evaluate(paper) != light
    assert page.evaluate("document.documentElement.scrollHeight") <= 768
    picture = page.locator(".bn-frame:not([hidden]) svg").bounding_box()
    assert picture["height"] > 300, "the figure fills its window"
    assert asked == [made.as_uri()]
    assert not faults
    context.close()
