"""The built pages, as readers have them: in a real browser, with and without server, mouse, script.

`make book` builds what is read here. Each page is opened once, and most tests look at it from
another side (dark, narrow, on paper) or use it; what they find moved they move back.
"""

import contextlib
import functools
import http.server
import importlib.util
import json
import math
import re
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from ledger import BOOK, chapters

PAGES = list(chapters(yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))))

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 375, "height": 800}
# What axe is asked of each look of a page: whether it is dark changes nothing but colours, how wide
# it is everything else; and the colours take longer than the rest together.
LOOKS = {
    "light 1280": ("light", WIDE, {}),
    "light 375": ("light", NARROW, {"rules": {"color-contrast": {"enabled": False}}}),
    "dark 1280": ("dark", WIDE, {"runOnly": ["color-contrast"]}),
}
MIN_CONTRAST = 3.0  # of lines, marks and letters of a figure against its paper

# Faults of the theme that a book cannot cure: (rule of axe, part of the element's HTML) -> why.
THEME_FAULTS = {}


# --- opening a page ------------------------------------------------------------------------------


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(site):
    """The built site behind a small server, as `make serve` shows it."""
    handler = functools.partial(QuietHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def settle(page):
    """Wait until maths is set, fonts are there and nothing fades any more."""
    page.evaluate(
        """async () => {
            await window.MathJax?.startup?.promise;
            await document.fonts.ready;
        }"""
    )
    # Not by the promise `finished`: a transition that is hidden half-way never keeps it.
    page.wait_for_function(
        """() => document.getAnimations().every(animation => animation.playState !== "running"
            || animation.effect.getComputedTiming().endTime === Infinity)"""
    )


@contextlib.contextmanager
def reading(browser, url, **options):
    """Open a page for one reader; yield it and the list of what went wrong, which keeps growing."""
    context = browser.new_context(**{"viewport": WIDE, "color_scheme": "light", **options})
    complaints = []

    def refuse(route):
        complaints.append(f"asks another host: {route.request.url}")
        route.abort()

    def hear(message):
        if message.type in ("error", "warning"):
            complaints.append(f"console {message.type}: {message.text}")

    def judge(response):
        if response.status >= 400:
            complaints.append(f"status {response.status}: {response.url}")

    own = re.escape("{0.scheme}://{0.netloc}/".format(urlsplit(url)))
    context.route(re.compile(rf"^(?!{own}|data:|blob:)"), refuse)
    context.set_default_timeout(10_000)
    context.set_default_navigation_timeout(30_000)
    page = context.new_page()
    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    page.on("requestfailed", lambda request: complaints.append(f"request failed: {request.url}"))
    page.on("response", judge)
    page.goto(url)
    settle(page)
    yield page, complaints
    context.close()


@pytest.fixture(scope="module", params=PAGES)
def opened(request, browser, address):
    """A page that was opened once for all tests that only look; its complaints from opening it."""
    with reading(browser, f"{address}/{request.param}.html") as (page, complaints):
        yield page, complaints


@pytest.fixture
def looked_at(opened):
    """The page for looking: afterwards it is light, wide and on a screen again."""
    page, _ = opened
    yield page
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light", media="screen")


@pytest.fixture
def used(opened):
    """The page with its figures at the start; what it complains about in use is a fault too."""
    page, complaints = opened
    complaints.clear()
    for _, _, slider in moving_figures(page):
        slider.press("Home")
    yield page
    assert not complaints, "\n".join(complaints)


def look(page, scheme, size):
    page.emulate_media(color_scheme=scheme)
    if page.viewport_size != size:
        page.set_viewport_size(size)
        page.wait_for_timeout(400)  # the theme looks 300 ms later what can be scrolled now
    page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=scheme)
    settle(page)


# --- every page opens ----------------------------------------------------------------------------


def test_a_page_opens_quietly(opened):
    page, complaints = opened
    assert page.locator("article h1").count() == 1
    assert not complaints, "\n".join(complaints)


RAW_MATHS = """() => {
    const faults = [];
    for (const place of document.querySelectorAll(".math")) {
        if (!place.querySelector("mjx-container")) faults.push(`not set: ${place.textContent}`);
    }
    for (const error of document.querySelectorAll("mjx-merror, [data-mjx-error]")) {
        faults.push(`error: ${error.textContent}`);
    }
    const article = document.querySelector("article");
    const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const node = texts.currentNode;
        if (node.parentElement.closest("pre, code, script, style, mjx-container, svg")) continue;
        if (/\\$[^$\\n]+\\$|\\\\[([]|\\\\(frac|hat|sqrt|gamma|sigma|mu)\\b/.test(node.data)) {
            faults.push(`raw: ${node.data.trim()}`);
        }
    }
    return faults;
}"""


def test_maths_is_typeset(opened):
    page, _ = opened
    assert not page.evaluate(RAW_MATHS)


def test_a_page_works_from_a_folder(browser, site, opened):
    name = urlsplit(opened[0].url).path.strip("/")
    with reading(browser, (site / name).as_uri()) as (page, complaints):
        assert not page.evaluate(RAW_MATHS)
        for index in range(page.locator(".bn-moving").count()):
            before = frame_of(page, index)
            assert before["visible"] == [0], "at first the first frame shows"
            page.locator(".bn-moving").nth(index).locator("input[type=range]").press("ArrowRight")
            assert frame_of(page, index)["markup"] != before["markup"]
        for answer in page.locator("form.bn-guess .bn-answer").all():
            assert not answer.is_visible(), "the script of the guesses does not run"
    assert not complaints, "\n".join(complaints)


# --- figures that move ---------------------------------------------------------------------------

# What a reader sees of a moving figure. Ids differ from frame to frame, which no eye sees.
FRAME = """index => {
    const figure = document.querySelectorAll(".bn-moving")[index];
    const slider = figure.querySelector("input[type=range]");
    const frames = [...figure.querySelectorAll(".bn-frame")];
    const visible = frames.filter(frame => frame.checkVisibility({visibilityProperty: true}));
    const markup = frame => frame.innerHTML
        .replace(/<(title|desc|metadata)\\b.*?<\\/\\1>/gs, "")
        .replace(/\\b(id|href|aria-[a-z]+)="[^"]*"/g, "")
        .replace(/url\\([^)]*\\)/g, "");
    return {
        count: frames.length,
        visible: visible.map(frame => frames.indexOf(frame)),
        markup: visible.map(markup).join(),
        value: slider && slider.value,
        label: slider && slider.getAttribute("aria-label"),
        text: slider && slider.getAttribute("aria-valuetext"),
        output: figure.querySelector("output")?.textContent,
        controls: [...figure.querySelectorAll("input, button, output")]
            .filter(control => !control.closest("form"))
            .filter(control => control.checkVisibility({visibilityProperty: true})).length,
    };
}"""


def frame_of(page, index):
    return page.evaluate(FRAME, index)


def moving_figures(page):
    """Yield (index, figure, slider) for the moving figures of a page."""
    for index in range(page.locator(".bn-moving").count()):
        figure = page.locator(".bn-moving").nth(index)
        yield index, figure, figure.locator("input[type=range]")


def test_every_step_of_a_slider_changes_its_figure(used):
    for index, figure, slider in moving_figures(used):
        values = json.loads(figure.get_attribute("data-values"))
        state = frame_of(used, index)
        assert state["count"] == len(values) > 1
        assert state["visible"] == [0]
        assert state["label"] == figure.get_attribute("data-label")
        slider.focus()
        for step, value in enumerate(values):
            if step:
                used.keyboard.press("ArrowRight")
                before, state = state, frame_of(used, index)
                assert state["markup"] != before["markup"], f"step {step} shows the same picture"
            assert state["visible"] == [step]
            assert state["text"] == value, "a screen reader must hear the value"
            assert state["output"] == value
        used.keyboard.press("Home")
        assert frame_of(used, index)["visible"] == [0]


def test_play_moves_the_figure_pauses_and_ends(used):
    for index, figure, slider in moving_figures(used):
        last = frame_of(used, index)["count"] - 1
        play = figure.locator("button:not(form button)")
        names = [play.get_attribute("aria-label") or play.inner_text()]
        play.press("Enter")
        names.append(play.get_attribute("aria-label") or play.inner_text())
        used.wait_for_function(
            "index => document.querySelectorAll('.bn-moving input[type=range]')[index].value > 0",
            arg=index,
        )
        assert names[0] != names[1], "the button must say what it does next"
        if last > 1:  # of two frames the second is the end, where there is nothing to pause
            play.press("Enter")
        paused = frame_of(used, index)["visible"]
        used.wait_for_timeout(700)
        assert frame_of(used, index)["visible"] == paused, "paused, it must stand still"

        slider.focus()
        used.keyboard.press("End")
        used.keyboard.press("ArrowLeft")
        play.click()
        used.wait_for_function(
            "([index, last]) =>"
            " document.querySelectorAll('.bn-moving input[type=range]')[index].value == last",
            arg=[index, last],
        )
        used.wait_for_timeout(700)
        assert frame_of(used, index)["visible"] == [last], "at its end the figure stops"
        assert (play.get_attribute("aria-label") or play.inner_text()) == names[0]


def test_nothing_plays_for_readers_who_want_less_motion(used):
    used.emulate_media(reduced_motion="reduce")
    try:
        for index, figure, slider in moving_figures(used):
            figure.locator("button:not(form button)").wait_for(state="hidden")
            slider.press("ArrowRight")
            assert frame_of(used, index)["visible"] == [1]
    finally:
        used.emulate_media(reduced_motion="no-preference")


def test_who_wants_less_motion_may_say_so_before_the_page_opens(browser, address):
    with reading(browser, f"{address}/running_averages.html", reduced_motion="reduce") as (page, _):
        for _, figure, _ in moving_figures(page):
            assert not figure.locator("button:not(form button)").is_visible()


def test_on_paper_a_figure_is_its_first_frame(used):
    for _, _, slider in moving_figures(used):
        slider.press("ArrowRight")
    used.emulate_media(media="print")
    try:
        for index, _, _ in moving_figures(used):
            state = frame_of(used, index)
            assert state["visible"] == [0]
            assert state["controls"] == 0
    finally:
        used.emulate_media(media="screen")


def test_without_script_figures_show_and_answers_open(browser, address, opened):
    name = urlsplit(opened[0].url).path
    with reading(browser, address + name, java_script_enabled=False) as (page, _):
        for index in range(page.locator(".bn-moving").count()):
            state = frame_of(page, index)
            assert state["visible"] == [0]
            assert state["controls"] == 0
        for answer in page.locator(".bn-answer").all():
            assert answer.get_attribute("open") is None, "the answer must not be spoiled"
            answer.locator("summary").click()
            assert answer.get_attribute("open") is not None
            assert len(answer.inner_text()) > len("Answer") + 10


# --- guesses -------------------------------------------------------------------------------------


def commit_a_guess(form, lowest=-math.inf, highest=math.inf):
    """Guess by keyboard; return what was guessed, as the page should repeat it."""
    if form.locator("input[type=radio]").count():
        option = form.locator("input[type=radio]").last
        option.focus()
        option.press("Space")
        guessed = option.evaluate("input => input.labels[0].textContent.trim()")
    else:
        number = form.locator("input[type=number]")
        low = max(float(number.get_attribute("min")), lowest)
        high = min(float(number.get_attribute("max")), highest)
        guessed = f"{low + (high - low) / 4:g}"
        number.fill(guessed)
    form.locator("[type=submit]").press("Enter")
    return guessed


# How many frames draw a guess, and where the frame on view draws it: as a share of the way from
# the low to the high end of the axis, on the page and by the axis's own scale.
MARKS = """(figure, guessed) => {
    const marks = [...figure.querySelectorAll(".bn-frame [data-place]")];
    const seen = marks.filter(mark => getComputedStyle(mark).visibility === "visible");
    const mark = seen.find(mark => mark.checkVisibility());
    if (!mark) return {count: seen.length};
    const [axis, scale, low, high, start, end] = JSON.parse(mark.dataset.place);
    const move = mark.ownerSVGElement.getScreenCTM().inverse().multiply(mark.getScreenCTM());
    const number = scale === "log" ? Math.log : Number;
    return {
        count: seen.length,
        text: mark.textContent,
        drawn: ((axis === "x" ? move.e : move.f) - start) / (end - start),
        wanted: (number(guessed) - number(low)) / (number(high) - number(low)),
    };
}"""


def test_a_guess_comes_before_its_answer_and_is_drawn_into_every_frame(used):
    for form in used.locator("form.bn-guess").all():
        answer, figure = form.locator(".bn-answer"), form.locator("xpath=..")
        assert not answer.is_visible(), "the answer shows before the guess"
        form.locator("[type=submit]").click()
        assert not answer.is_visible(), "without a guess there is no answer"
        drawn = figure.locator("> .bn-frame [data-place]")
        axis = json.loads(drawn.first.get_attribute("data-place"))[2:4] if drawn.count() else ()
        assert figure.evaluate(MARKS, 0)["count"] == 0
        guessed = commit_a_guess(form, *axis)
        assert answer.is_visible()
        assert answer.get_attribute("open") is not None
        assert guessed in form.inner_text().split("Answer", 1)[-1], "say what was guessed"
        if axis:
            marks = figure.evaluate(MARKS, float(guessed))
            assert marks["count"] == figure.locator("> .bn-frame").count()
            assert marks["text"] == "your guess"
            assert marks["drawn"] == pytest.approx(marks["wanted"], abs=0.01)


# --- the quiz ------------------------------------------------------------------------------------


def test_the_quiz_marks_itself(browser, address):
    with reading(browser, f"{address}/quiz.html") as (page, complaints):
        form, other = page.locator("form.bn-quiz").first, page.locator("form.bn-quiz").last
        questions = form.locator("fieldset")
        submit, reset = form.locator("[type=submit]"), form.locator("[type=reset]")
        assert not form.locator(".bn-answer").first.is_visible(), "the answer shows before marking"

        questions.nth(0).locator("[data-right]").press("Space")
        wrong = questions.nth(1).locator("input:not([data-right])").first
        wrong.press("Space")
        said = wrong.evaluate("input => input.labels[0].textContent.trim()")
        submit.press("Enter")
        assert page.evaluate("document.activeElement.textContent") == "1 of 12 right."
        answers = [question.locator(".bn-answer") for question in questions.all()[:3]]
        words = [answer.locator("summary").inner_text() for answer in answers]
        assert words == ["Right", "Not right", "Not answered"]
        reasons = [answer.locator("li:visible").all() for answer in answers]
        assert [len(found) for found in reasons] == [0, 1, 0]
        assert said in reasons[1][0].inner_text()
        assert reasons[1][0].locator("a").get_attribute("href")
        assert not wrong.is_enabled()
        assert not other.locator(".bn-score").is_visible(), "each form for itself"

        reset.press("Enter")
        assert not answers[0].is_visible()
        assert form.locator("input:checked").count() == 0
        for question in questions.all():
            question.locator("[data-right]").check()
        submit.press("Enter")
        assert form.locator(".bn-score").inner_text() == "12 of 12 right."
    assert not complaints, "\n".join(complaints)


# --- one sheet -----------------------------------------------------------------------------------

# Letters smaller than the limit in CSS pixels (indices may be), and what is wider than its place.
CRAMPED = """limit => {
    const faults = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
        if (element.closest("mjx-container")) continue;
        if (parseFloat(getComputedStyle(element).fontSize) < limit) faults.push(element.outerHTML);
    }
    for (const place of document.querySelectorAll("article :is(div, table, p)")) {
        if (place.scrollWidth > place.clientWidth + 1) faults.push(place.outerHTML);
    }
    return faults;
}"""


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_one_page_is_one_page(browser, address, paper):
    with reading(browser, f"{address}/on_one_page.html") as (page, _):
        pdf = page.pdf(format=paper, outline=True, tagged=True)
        inches = {"A4": 210 / 25.4, "Letter": 8.5}[paper] - 18 / 25.4  # less the margins of @page
        page.set_viewport_size({"width": int(96 * inches), "height": 1000})
        page.emulate_media(media="print")
        cramped = page.evaluate(CRAMPED, 8 * 96 / 72)
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
    for heading in (b"Forward", b"Backward", b"Two modes", b"Frameworks", b"What was found"):
        assert b"/Title (" + heading in pdf
    assert not cramped, "\n".join(fault[:200] for fault in cramped)


# --- everyone can read it ------------------------------------------------------------------------


@functools.cache
def axe_script():
    package = Path(importlib.util.find_spec("axe_playwright_python").origin).parent
    return (package / "axe.min.js").read_text(encoding="utf-8")


# Nine tenths of a page's elements repeat: frames out of sight, words of code coloured like others,
# the insides of formulas and of drawings. Axe looks at a page without them, a fifth of the time.
# And it must not preload: it would fetch the style sheets again, and miss those that they import.
# The button "back to top" the theme shows only to readers who scroll up: here it always shows.
AXE = """async options => {
    document.getElementById("pst-back-to-top")?.style.setProperty("display", "block");
    const undo = [];
    const replaceBy = (element, other) => {
        element.replaceWith(other);
        undo.push(() => other.replaceWith(element));
    };
    const thinned = (element, thin) => {
        const copy = element.cloneNode(true);
        thin(copy);
        replaceBy(element, copy);
    };
    document.querySelectorAll(".bn-frame[hidden]")
        .forEach(frame => replaceBy(frame, document.createComment("frame")));
    const seen = new Set();
    document.querySelectorAll(".highlight pre").forEach(code => thinned(code, copy => {
        for (const word of copy.querySelectorAll("span[class]"))
            if (seen.has(word.className)) word.replaceWith(...word.childNodes);
            else seen.add(word.className);
        copy.normalize();
    }));
    [...document.querySelectorAll("mjx-container")].slice(3)
        .forEach(formula => thinned(formula, copy => copy.replaceChildren()));
    document.querySelectorAll("svg").forEach(drawing => thinned(drawing, copy =>
        copy.querySelectorAll("defs, path, use, rect").forEach(mark => mark.remove())));
    const found = await axe.run({resultTypes: ["violations"], preload: false, ...options});
    undo.reverse().forEach(bringBack => bringBack());
    return found.violations;
}"""


def known_fault(rule, html):
    return any(rule == known and part in html for known, part in THEME_FAULTS)


@pytest.mark.parametrize(("scheme", "size", "options"), LOOKS.values(), ids=LOOKS)
def test_axe_finds_nothing_serious(looked_at, scheme, size, options):
    look(looked_at, scheme, size)
    looked_at.evaluate(axe_script())
    faults = [
        f"{violation['impact']} {violation['id']}: {node['html'][:200]}"
        for violation in looked_at.evaluate(AXE, options)
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
        if not known_fault(violation["id"], node["html"])
    ]
    assert not faults, "\n".join(faults)


def test_nothing_overflows_a_phone(looked_at):
    look(looked_at, "light", NARROW)
    width = looked_at.evaluate("document.scrollingElement.scrollWidth")
    assert width <= NARROW["width"]


# Marks of the figures whose colours are too near to their paper. The grid is decoration and may be
# faint, as may washes (mostly transparent areas); a mark needs contrast in its fill or in its edge.
FAINT = """limit => {
    const probe = document.createElement("span");
    const rgba = colour => {
        const canvas = rgba.canvas ??= new OffscreenCanvas(1, 1).getContext("2d");
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const variable = (figure, name, other) => {
        figure.parentElement.append(probe);
        probe.style.color = `var(${name}, ${other})`;
        const colour = getComputedStyle(probe).color;
        probe.remove();
        return rgba(colour);
    };
    const light = ([r, g, b]) => [r, g, b]
        .map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const contrast = (a, b) => {
        const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
        return (high + 0.05) / (low + 0.05);
    };
    const over = ([r, g, b], alpha, paper) =>
        [r, g, b].map((v, i) => alpha * v + (1 - alpha) * paper[i]);
    const same = (a, b) => a.slice(0, 3).every((v, i) => Math.abs(v - b[i]) <= 1);

    const seen = {marks: 0, faults: []};
    for (const figure of document.querySelectorAll("article svg")) {
        if (figure.closest("mjx-container") || !figure.checkVisibility()) continue;
        const paper = variable(figure, "--bn-paper", "#ffffff");
        const grid = variable(figure, "--bn-grid", "#d4dae0");
        for (const mark of figure.querySelectorAll("path, line, rect, circle, use, text")) {
            if (mark.closest("defs, clipPath, symbol") || !mark.checkVisibility()) continue;
            const style = getComputedStyle(mark);
            const colours = ["fill", "stroke"].flatMap(paint => {
                if (style[paint] === "none" || style[paint].startsWith("url")) return [];
                const [r, g, b, a] = rgba(style[paint]);
                const alpha = a * style[`${paint}Opacity`] * style.opacity;
                return alpha < 0.5 || same([r, g, b], grid) ? [] : [over([r, g, b], alpha, paper)];
            });
            if (!colours.length || colours.every(colour => same(colour, paper))) continue;
            seen.marks += 1;
            const best = Math.max(...colours.map(colour => contrast(colour, paper)));
            if (best < limit) {
                seen.faults.push(`${best.toFixed(2)}: ${mark.outerHTML.slice(0, 160)}`);
            }
        }
    }
    return seen;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_stand_out_from_their_paper(looked_at, scheme):
    look(looked_at, scheme, WIDE)
    seen = looked_at.evaluate(FAINT, MIN_CONTRAST)
    assert not seen["faults"], "\n".join(seen["faults"])
    if looked_at.locator(".bn-frame svg").count():
        assert seen["marks"] > 0


def test_figures_say_what_they_show(opened):
    page, _ = opened
    silent = page.evaluate(
        """() => [...document.querySelectorAll("article svg, article img")]
            .filter(picture => !picture.closest("mjx-container, button, [aria-hidden=true]"))
            .filter(picture => {
                const named = picture.closest(".bn-moving") ?? picture.closest("[role=img], img");
                const name = named?.getAttribute("aria-label") ?? named?.getAttribute("alt");
                return !name || name.length < 30;
            })
            .map(picture => picture.outerHTML.slice(0, 120))"""
    )
    assert not silent, "\n".join(silent)


# --- the site as a whole -------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["server", "folder"])
def test_search_finds_a_word(browser, site, address, by):
    start = address if by == "server" else site.as_uri()
    with reading(browser, f"{start}/search.html?q=variance") as (page, complaints):
        page.locator("#search-results li a").first.wait_for()
        found = page.locator("#search-results li a").first.get_attribute("href")
        assert urlsplit(found).path.removesuffix(".html") in PAGES
    if by == "folder":  # where no browser lets the theme fetch the lines to quote below a result
        complaints = [complaint for complaint in complaints if "another host" in complaint]
    assert not complaints, "\n".join(complaints)


class Links(HTMLParser):
    """What a page offers (ids) and asks for (links; resources, which load by themselves)."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.resources = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        if tag == "link" and attrs.get("href") and attrs.get("rel") != "canonical":
            self.resources.append(attrs["href"])
        if tag in ("script", "img", "iframe", "source", "video", "object") and attrs.get("src"):
            self.resources.append(attrs["src"])


def dead_links(folder):
    """Yield a sentence for each link, anchor or resource of the site that leads nowhere."""
    pages = {
        path: Links(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.html")
        if "_static" not in path.relative_to(folder).parts
    }
    for path, page in pages.items():
        for url in page.resources:
            if urlsplit(url).netloc:
                yield f"{path.name} loads {url} from another host"
        for url in page.links + page.resources:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = path.parent / unquote(parts.path) if parts.path else path
            target = target.resolve()
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{path.name}: {url} leads to no file"
            elif parts.fragment and target in pages:
                if unquote(parts.fragment) not in pages[target].ids:
                    yield f"{path.name}: {url} leads to no anchor"


def test_every_link_leads_somewhere(site):
    faults = list(dead_links(site.resolve()))
    assert not faults, "\n".join(faults)


def test_the_link_test_can_go_red(tmp_path):
    (tmp_path / "other.html").write_text("<p id='here'>", encoding="utf-8")
    (tmp_path / "index.html").write_text(
        "<a href='gone.html'><a href='other.html#gone'><a href='#gone'>"
        "<script src='https://example.org/x.js'></script><img src='gone.png'>"
        "<a href='other.html#here'><a href='https://example.org'>",
        encoding="utf-8",
    )
    assert len(list(dead_links(tmp_path))) == 5


def test_every_claim_has_its_place_in_the_ledger(site):
    ids = Links((site / "claims.html").read_text(encoding="utf-8")).ids
    missing = {f"c{number:02}" for number in range(1, 47)} - ids
    assert not missing


def test_there_is_something_to_test(site):
    pages = [(site / f"{name}.html").read_text(encoding="utf-8") for name in PAGES]
    everything = "".join(pages)
    for mark in ('class="bn-moving', 'class="bn-guess', 'class="math', "<svg", 'class="bn-answer'):
        assert mark in everything, f"no page has {mark}: tests that look for it prove nothing"
