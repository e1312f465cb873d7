"""The weekly link check: what it takes for an address, and what for a dead one. Without network."""

import io
import urllib.error

import links
import pytest


def test_addresses_are_cut_out_of_sentences():
    text = (
        "See [a](https://a.org/x_(y)), <https://b.org/b>; https://c.org/c. "
        '"source": "d (https://d.org/d#part)\\n", doi = {10.1/abc}, '
        "https://example.org/no, http://localhost:8000/no"
    )
    assert links.addresses(text) == {
        "https://a.org/x_(y)",
        "https://b.org/b",
        "https://c.org/c",
        "https://d.org/d",
        "https://doi.org/10.1/abc",
    }


def test_the_book_links_to_others():
    found = links.collect()
    assert len(found) > 50
    assert any("references.bib" in name for names in found.values() for name in names)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (io.BytesIO(), ""),
        (404, "gone (404)"),
        (403, "unsure (403)"),
        (OSError("no such host"), "gone (no such host)"),
    ],
)
def test_what_is_said_of_an_answer(monkeypatch, answer, said):
    asked = []

    def urlopen(request, timeout):
        asked.append(request.full_url)
        if isinstance(answer, int):
            raise urllib.error.HTTPError(request.full_url, answer, "", {}, io.BytesIO())
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(links.urllib.request, "urlopen", urlopen)
    assert links.ask("https://a.org") == said
    assert len(asked) == (2 if isinstance(answer, OSError) else 1), "silence is asked twice"


def test_something_gone_is_named_with_its_files(monkeypatch, capsys):
    monkeypatch.setattr(
        links, "collect", lambda: {"https://a.org": ["x.md"], "https://b.org": ["y"]}
    )
    monkeypatch.setattr(links, "ask", lambda address: "gone (404)" * address.endswith("a.org"))
    assert links.main() == 1
    printed = capsys.readouterr().out
    assert "- gone (404): https://a.org in x.md" in printed
    assert "2 addresses asked, 1 gone, 0 unsure." in printed
