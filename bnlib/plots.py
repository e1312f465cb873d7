"""One function per kind of figure: arrays in, matplotlib axes out.

Every figure of the book is drawn here, in one style and with one colour per concept. The functions use
`matplotlib.figure.Figure` and never pyplot, so nothing is shown by accident and nothing stays open;
`bnlib.display.show` puts the result on the page.
"""

from matplotlib.figure import Figure

# name: (on light paper, on dark paper). Each pair has a contrast of at least 3:1 with its paper, and the
# hues stay apart for colour-blind readers. `book/_assets/book.css` repeats them; a test compares the two.
PALETTE = {
    "ink": ("#1f2328", "#e6e8eb"),  # text, axes, the default line
    "muted": ("#59636e", "#a3adb8"),  # secondary text, reference lines
    "grid": ("#d4dae0", "#3d444d"),  # decoration only
    "blue": ("#0b62b3", "#6cb1ff"),
    "orange": ("#b35900", "#ffab5e"),
    "green": ("#00795f", "#45cfa9"),
    "purple": ("#8046c2", "#c8a2ff"),
    "red": ("#c0362c", "#ff9088"),
}
PAPER = ("#ffffff", "#121212")

# What each colour stands for, on every page.
CONCEPTS = {
    "batch norm": "blue",
    "plain": "orange",
    "standardized": "green",
    "stored statistics": "purple",
    "guess": "red",
    "x": "ink",
}

WIDTH = 5.4  # inches, for every figure: text of 10 points is still legible on a phone
STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
}


def colour(name):
    """The light-paper colour of a concept or of a palette entry."""
    return PALETTE[CONCEPTS.get(name, name)][0]
