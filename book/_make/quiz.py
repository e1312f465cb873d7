"""The concept quiz: from its questions, `book/quiz.yml`, to a form that marks itself.

Without a script each answer folds out of a details element; `book/_assets/moving.js` marks.
"""

import hashlib
import json
import re
from html import escape
from pathlib import Path

import yaml

BOOK = Path(__file__).resolve().parent.parent
QUESTIONS = BOOK / "quiz.yml"
FORMS = ("before", "after")


def load():
    """Return the questions as a list of dictionaries."""
    return yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))


def answers(question, form):
    """Return the four answers as (text, wrong one or None for the right), in their order.

    The order follows from the texts: as good as drawn by lot, and the same in every build.
    """
    found = [(question[form]["right"], None)]
    found += [(wrong[form], wrong) for wrong in question["wrong"]]
    return sorted(found, key=lambda answer: hashlib.sha256(repr(answer[0]).encode()).digest())


def html(questions, form):
    """Return one form of the quiz as HTML."""
    asked = "".join(fieldset(number, each, form) for number, each in enumerate(questions, start=1))
    return (
        # method="dialog" outside a dialog: submitting never leaves the page.
        f'<form class="bn-quiz" method="dialog" autocomplete="off">{asked}'
        '<p class="bn-score" tabindex="-1" hidden></p>'
        '<button type="submit" hidden>Mark my answers</button>'
        '<button type="reset" hidden>Start again</button></form>'
    )


def fieldset(number, question, form):
    """Return one question, its four answers, and what there is to say about each."""
    options, reasons = [], []
    for index, (answer, wrong) in enumerate(answers(question, form)):
        right = "" if wrong else " data-right"
        options.append(
            f'<label><input type="radio" name="{form}-{number}" value="{index}"{right}> '
            f"<span>{inline(answer)}</span></label>"
        )
        if wrong:
            reasons.append(
                f'<li data-answer="{index}">“{inline(answer)}”: {inline(wrong["reveals"])} '
                f"{link(wrong['mend'])}</li>"
            )
    because = f"<p>The answer: {inline(question[form]['right'])}. {inline(question['because'])}</p>"
    return (
        f"<fieldset><legend>{number}. {inline(question[form]['question'])}</legend>"
        f"{''.join(options)}"
        '<details class="bn-answer"><summary>Answer</summary>'
        f"{because}<ul>{''.join(reasons)}</ul></details></fieldset>"
    )


def inline(text):
    """Return a text as HTML, with `code` in its place."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def link(place):
    """Return a link to `page#anchor`, named by the page's title."""
    page, _, anchor = place.partition("#")
    return f'<a href="{page}.html#{anchor}">{escape(title(page), quote=False)}</a>'


def title(page):
    """Return the title of a notebook's page."""
    notebook = json.loads((BOOK / f"{page}.ipynb").read_text(encoding="utf-8"))
    first = "".join(notebook["cells"][0]["source"])
    return re.search(r"^# (.+)$", first, flags=re.MULTILINE)[1]
