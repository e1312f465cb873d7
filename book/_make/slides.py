"""`make slides`: each moving figure of the built book as one file to open beside a lecture.

A file needs no network, no folder and no server. Arrow keys or a presenter's clicker move the
figure, `d` changes between light and dark; it fills its window.
"""

import re
import sys
from html import escape, unescape
from pathlib import Path

import build
import console

SLIDES = build.BUILD / "slides"
ASSETS = Path(__file__).resolve().parent.parent / "_assets"

FIGURE = re.compile(r'<figure [^>]*\bid="(fig-[\w-]+)">(.*?)</figure>', re.DOTALL)
MOVING = re.compile(r'<div class="bn-moving".*</div>(?=</div>\s*<figcaption>)', re.DOTALL)
CAPTION = re.compile(r'<span class="caption-text">(.*?)</span>(?=<a\b|</p>)', re.DOTALL)
TITLE = re.compile(r"<h1>(.*?)<", re.DOTALL)
LINK = re.compile(r"</?(?:a|span)\b[^>]*>")

STYLE = """
body { margin: 0; background: var(--bn-paper); color: var(--bn-ink); }
body { font: 1.25rem system-ui, sans-serif; }
main, .bn-moving { display: flex; flex-direction: column; }
main { box-sizing: border-box; height: 100vh; padding: 2vmin; }
.bn-moving { flex: 1; width: 100%; max-width: none; min-height: 0; }
.bn-frame:not([hidden]) { flex: 1; min-height: 40vh; }
.bn-frame svg { height: 100%; }
.bn-guess { max-width: none; width: 100%; box-sizing: border-box; }
footer { margin-top: 1vmin; color: var(--bn-muted); font-size: 1rem; }
"""

SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = (isDark) => { document.documentElement.dataset.theme = isDark ? "dark" : "light"; };
theme(dark.matches);
dark.addEventListener("change", () => theme(dark.matches));
const STEPS = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 };
document.addEventListener("keydown", (event) => {
  const slider = document.querySelector(".bn-controls input");
  if (event.target.closest("form") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "d") theme(document.documentElement.dataset.theme === "light");
  if (!slider || !(event.key in STEPS)) return;
  event.preventDefault();
  slider.valueAsNumber += STEPS[event.key];
  slider.dispatchEvent(new Event("input"));
});
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: {name}</title>
<style>{style}</style>
</head>
<body>
<main>
{figure}
<footer>{caption} <em>Batch Normalization, Tested</em>, {title}. CC BY 4.0</footer>
</main>
<script>{script}</script>
</body>
</html>
"""


def slides(html):
    """Yield (name, text of the file) for every moving figure in the HTML of a page."""
    title = unescape(TITLE.search(html)[1]).strip()
    for name, inside in FIGURE.findall(html):
        moving, caption = MOVING.search(inside), CAPTION.search(inside)
        if moving:
            text = LINK.sub("", caption[1]).strip() if caption else ""
            yield name, slide(name, escape(title), moving[0], text)


def slide(name, title, figure, caption):
    """Return one file: the figure, and all the style and script that it needs."""
    style, script = (
        (ASSETS / file).read_text(encoding="utf-8") for file in ("book.css", "moving.js")
    )
    return PAGE.format(
        name=name,
        title=title,
        figure=figure,
        caption=caption,
        style=style + STYLE,
        script=script + SCRIPT,
    )


def write(site, folder):
    """Write the slides of all pages of a site into a folder, in place of its older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("fig-*.html"):
        old.unlink()
    for page in sorted(site.glob("*.html")):
        html = page.read_text(encoding="utf-8")
        if 'class="bn-moving"' in html:
            for name, text in slides(html):
                (folder / f"{name}.html").write_text(text, encoding="utf-8", newline="\n")
    return sorted(folder.glob("fig-*.html"))


def main():
    """Write them; return None or what went wrong."""
    if not build.BUILT.exists():
        return "There is no built book to take figures from: run make book first."
    found = write(build.SITE, SLIDES)
    print(f"{len(found)} moving figures, a file each: {SLIDES.relative_to(build.ROOT)}")
    return None


if __name__ == "__main__":
    console.survive_any_encoding()
    sys.exit(main())
