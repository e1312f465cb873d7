"""The picture of each page that others see where its address is shared, drawn from code.

A card says where the page belongs and what it is called, above what batch norm does: a shifted,
narrow bell becomes the standard one. Few flat colours keep a card at some twenty kilobytes.
"""

import io
import textwrap

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from bnlib.plots import PALETTE, PAPER

FOLDER = "_static/cards"
WIDTH, HEIGHT = 1200, 630  # pixels, what the social networks ask for
COLOURS = 32  # of the palette: enough for smooth letters


def file(page):
    """Return where the card of a page lies below the site."""
    return f"{FOLDER}/{page}.png"


def draw(title, book):
    """Return the PNG of one card, the same bytes every time."""
    ink, muted, blue, orange = (PALETTE[name][1] for name in ("ink", "muted", "blue", "orange"))
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=PAPER[1])
    axes = figure.add_axes((0, 0, 1, 0.42))
    axes.axis("off")
    x = np.linspace(-6, 14, 600)
    for mean, deviation, colour in ((7, 0.6, orange), (0, 1, blue)):  # before, after
        height = np.exp(-(((x - mean) / deviation) ** 2) / 2) / deviation
        axes.fill_between(x, height, color=colour, alpha=0.25, linewidth=0)
        axes.plot(x, height, color=colour, linewidth=5)
    arrow = {"arrowstyle": "-|>", "color": ink, "linewidth": 4, "mutation_scale": 40}
    axes.annotate("", (1.6, 0.8), (5.7, 0.8), arrowprops=arrow)
    axes.set(xlim=(-6, 14), ylim=(-0.3, 1.75))
    own = title != book
    if own:
        figure.text(0.06, 0.86, book, color=muted, fontsize=30)
    lines = textwrap.wrap(title, 28)
    figure.text(
        0.06,
        0.78 if own else 0.86,
        "\n".join(lines),
        color=ink,
        fontsize=50 if len(lines) < 3 else 40,
        fontweight="bold",
        verticalalignment="top",
        linespacing=1.15,
    )
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", facecolor=PAPER[1], metadata={"Software": None})
    small = io.BytesIO()
    picture = Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(small, format="png", optimize=True)
    return small.getvalue()


def draw_all(site, titles, book):
    """Write the card of every page into the site; `titles` has them by page."""
    remove(site)
    (site / FOLDER).mkdir(parents=True)
    for page, title in titles.items():
        path = site / file(page)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(title, book))


def remove(site):
    """Remove the cards of an earlier build."""
    for old in (site / FOLDER).glob("*.png"):
        old.unlink()
    if (site / FOLDER).exists():
        (site / FOLDER).rmdir()
