"""Notebooks on a machine that prints other digits: `python -m pytest -p portable`.

The book's promise of the same digits is for x86-64 Linux with the locked packages. With this plugin
every cell still runs and must not fail, but what it prints is compared only where it judges: the
verdicts, what checkers of exercises say, and lines that end with True or False (most of them
say whether a difference is below a tolerance). Other numbers, words and pictures may differ.
"""

import re

from ledger import output_text
from nbformat.v4 import new_output
from nbval.plugin import IPyNbCell

JUDGEMENT = re.compile(
    r"^(?:verdict\b|Right:|Not yet:|Not right yet\b).*$|^.*\b(?:True|False)$", re.MULTILINE
)


def judgements(outputs):
    """One printed text with the judging lines of all outputs; no output if there are none."""
    lines = JUDGEMENT.findall(output_text({"outputs": outputs}))
    return [new_output("stream", name="stdout", text="\n".join(lines))] if lines else []


def pytest_itemcollected(item):
    """Let a notebook's cell compare judgements instead of outputs."""
    if isinstance(item, IPyNbCell):
        compare = item.compare_outputs
        item.compare_outputs = lambda new, stored: compare(judgements(new), judgements(stored))
