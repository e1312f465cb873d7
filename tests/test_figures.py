"""What a figure offers under its caption."""

import figures

BODY = """\
<figure class="align-default" id="fig-one">
<svg></svg><figcaption>
<p><span class="caption-number">Fig. 6 </span><span class="caption-text">One &lt; two.</span></p>
</figcaption>
</figure>
<p>Text.</p>
<figure class="align-default" id="fig-two"><figcaption><p>Two.</p></figcaption></figure>
<figure class="other"><figcaption>No name.</figcaption></figure>"""


def test_every_named_figure_can_be_cited_and_saved():
    html = figures.offered(BODY, "training", "Race", "https://example.org/bn/")
    assert html.count('<details class="bn-take">') == 2
    first, second = html.split("<p>Text.</p>")
    assert "figure 6 (Race). https://example.org/bn/training.html#fig-one CC BY 4.0." in first
    assert "fig-two (Race). https://example.org/bn/training.html#fig-two CC" in second
    assert first.count("</figcaption>") == 1
    assert first.index("One &lt; two.") < first.index("bn-take") < first.index("</figcaption>")
    assert first.index("Save as PNG") < first.index("Save as SVG")


def test_without_a_site_a_citation_has_no_address():
    assert "figure 6 (Race). CC BY 4.0." in figures.offered(BODY, "training", "Race")
    assert "http" not in figures.offered(BODY, "training", "Race")


def test_nothing_else_changes():
    page = "<p>No figure here.</p>"
    assert figures.offered(page, "notation", "Words") == page
