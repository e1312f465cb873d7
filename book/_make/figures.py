"""What every figure of a page offers under its caption: a line to cite it by, and its picture.

The buttons work by `book/_assets/figures.js`, which shows them; the citation is there without it.
"""

import re
from html import escape, unescape

import citing

FIGURE = re.compile(r'<figure [^>]*\bid="(fig-[\w-]+)">(?:(?!</figure>).)*', re.DOTALL)
NUMBER = re.compile(r'<span class="caption-number">\s*(.*?)\s*</span>', re.DOTALL)
OFFER = """\
<details class="bn-take"><summary>Take this figure</summary>
<p>{citation} CC BY 4.0.</p>
<p hidden><button type="button" data-kind="png">Save as PNG</button>
<button type="button" data-kind="svg">Save as SVG</button></p>
</details>
</figcaption>"""


def offered(body, page, title, site=""):
    """Return the HTML of a page of this title with the offer in each figure's caption."""

    def offer(figure):
        number = NUMBER.search(figure[0])
        place = unescape(number[1]).replace("Fig.", "figure") if number else figure[1]
        place = f"{place} ({title})"
        cited = citing.citation(place, f"{page}.html#{figure[1]}", site)
        text = OFFER.format(citation=escape(cited))
        return figure[0].replace("</figcaption>", text, 1)

    return FIGURE.sub(offer, body)
