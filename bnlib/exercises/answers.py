"""What a checker says: an answer that prints itself as text and can be read by a program."""

import textwrap
from dataclasses import dataclass

import numpy as np

COLUMNS = 70  # what a page of the book shows without scrolling


@dataclass(frozen=True, repr=False)
class Answer:
    """What a checker found out about a reader's function.

    Attributes
    ----------
    right : bool
        Whether everything that was looked at is right; also `bool(answer)`.
    text : str
        The sentences for the reader; a notebook shows them as the output of the cell.
    mistakes : tuple of str
        Names from the catalogue, in the order of the text; empty for an unknown mistake.

    Examples
    --------
    >>> answer = Answer(False, "Not right yet: beta is missing.", ("beta_forgotten",))
    >>> answer
    Not right yet: beta is missing.
    >>> bool(answer), answer.mistakes
    (False, ('beta_forgotten',))
    """

    right: bool
    text: str
    mistakes: tuple[str, ...] = ()

    def __bool__(self):
        return self.right

    def __repr__(self):
        return self.text


def answer(right, paragraphs, mistakes=()):
    """An answer whose paragraphs are wrapped; lines that begin with a blank stay as they are."""
    fill = textwrap.TextWrapper(COLUMNS, break_on_hyphens=False).fill
    lines = [p if p.startswith(" ") else fill(p) for p in paragraphs]
    return Answer(right, "\n".join(lines), tuple(mistakes))


def listed(names):
    """A, b and c."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def verb(names, one, many):
    """The form of a verb that fits a list of names."""
    return one if len(names) == 1 else many


def number_text(value, scale=1.0):
    """A number with four digits; rounding errors, far below the scale, are printed as 0."""
    return "0" if abs(value) < 1e-9 * scale else f"{value:.4g}"


def table(name, value):
    """A small array as lines that can be pasted into a cell."""
    start = f"    {name} = "
    if np.ndim(value) == 0:
        return f"{start}{value}"
    return f"{start}{np.array2string(value, COLUMNS - 4, separator=', ', prefix=start)}"
