"""The front page: its cards say what the pages say of themselves."""

import cards
import nbformat


def test_the_front_page_has_the_cards_of_the_pages():
    cell = cards.written(nbformat.read(cards.INTRO, as_version=4))
    assert cell.source == cards.cards(), "run python book/_make/cards.py"


def test_minutes_and_needs_are_those_of_the_page(tmp_path, monkeypatch):
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(
                "# Try it\n\n## What you will learn\n\n- how to try;\n- why.\n\n"
                "About 25 minutes. You need [a page](page.ipynb) and numpy. Symbols follow."
            )
        ]
    )
    nbformat.write(notebook, tmp_path / "made_up.ipynb")
    monkeypatch.setattr(cards, "BOOK", tmp_path)
    assert cards.facts("made_up") == {
        "title": "Try it",
        "minutes": "25",
        "needs": "[a page](page.ipynb) and numpy",
        "learn": "How to try",
    }


def test_there_are_twelve_chapters_and_all_workshops():
    text = cards.cards()
    chapters, workshops = text.split("(workshops)=")
    assert chapters.count('class="bn-card"') == 12
    assert workshops.count('class="bn-card"') >= 6
    assert "**12. [" in chapters
