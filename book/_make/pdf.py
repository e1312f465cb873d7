"""`make pdf`: the whole book as one PDF, `_build/book.pdf`, printed by the machine's own Chromium.

The built pages are put behind one another in one document, so that links from page to page become
links inside the PDF, and headings its outline. A moving figure shows its first frame.
"""

import contextlib
import functools
import http.server
import re
import sys
import threading

import browsers
import build
import console
import ledger
import yaml

PDF = build.BUILD / "book.pdf"
WHOLE = "whole.html"  # for as long as it is printed, beside the pages
PATIENCE = 600_000  # milliseconds: formulas by the thousand

ARTICLE = re.compile(r'<article class="bd-article">(.*)</article>', re.DOTALL)
LOOK = re.compile(r'<link[^>]*rel="stylesheet"[^>]*>')
MATHS = re.compile(r"<script>window\.MathJax.*?</script>|<script[^>]*mathjax/[^>]*></script>")
BOOK = re.compile(r"<title>.*?([^;<]*)</title>", re.DOTALL)
HEADING = re.compile(r"<article\b.*?<h1>(.*?)<a\b", re.DOTALL)
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
EDITION = re.compile(r'<span class="bn-edition">(.*?)</span>')
# Frames after the first, which are most of a page and which no paper shows.
HIDDEN_FRAME = re.compile(r'<div class="bn-frame" hidden[^>]*>.*?</svg>\s*</div>', re.DOTALL)
NAME = re.compile(r'\b(id|name|for|aria-labelledby|aria-describedby)="([^"]*)"')
FRAGMENT = re.compile(r'((?:xlink:)?href="|url\(["\']?)#')
TO_PAGE = re.compile(r'href="(\w+)\.html(#[^"]*)?"')

FOOTER = """<div style="width: 100%; padding: 0 18mm; font: 8pt sans-serif; color: #59636e;
display: flex; justify-content: space-between"><span>Batch Normalization, Tested</span>
<span class="pageNumber"></span></div>"""

DOCUMENT = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head><meta charset="utf-8"/><title>{book}</title>
{head}
</head>
<body class="bn-whole">
<main class="bd-main"><div class="bd-content"><div class="bd-article-container">
<section class="bn-title-page"><h1>{book}</h1>
<p>{edition}. Text and figures CC BY 4.0, code BSD 3-clause.</p>
<p>Printed from the site, where figures move, guesses wait for yours, and pages are searched.</p>
<ol>
{contents}
</ol></section>
{parts}
</div></div></main></body>
</html>
"""
PART = '<article class="bd-article bn-part" id="{name}">{text}</article>'
ROW = '<li><a href="#{name}">{title}</a></li>'

# What is closed on the screen, answers and solutions, is open on paper; not how to cite a claim,
# which is the same every time.
PREPARE = """async () => {
    for (const closed of document.querySelectorAll("details:not(.bn-cite)")) closed.open = true;
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
}"""


def rename(html, page, pages):
    """Return the HTML of an article with names that are its own in a document of all pages.

    `page--name` for every `name`; a link to another page leads to that page's part.
    """

    def own(found):
        names = " ".join(f"{page}--{name}" for name in found[2].split())
        return f'{found[1]}="{names}"'

    def inside(found):
        if found[1] not in pages:
            return found[0]
        return f'href="#{found[1]}--{found[2][1:]}"' if found[2] else f'href="#{found[1]}"'

    html = FRAGMENT.sub(rf"\1#{page}--", NAME.sub(own, html))
    return TO_PAGE.sub(inside, html)


def article(html):
    """Return the article of a page as paper shows it: no script, of moving figures one frame."""
    return HIDDEN_FRAME.sub("", SCRIPT.sub("", ARTICLE.search(html)[1]))


def whole(pages):
    """Return one document of all pages; `pages` has the HTML of each by its name, in order."""
    front = next(iter(pages.values()))
    maths = next((html for html in pages.values() if "mathjax/" in html), "")
    titles = {name: HEADING.search(html)[1] for name, html in pages.items()}
    texts = {name: rename(article(html), name, pages) for name, html in pages.items()}
    return DOCUMENT.format(
        book=BOOK.search(front)[1].strip(),
        head="\n".join([*LOOK.findall(front), *MATHS.findall(maths)]),
        edition=EDITION.search(front)[1],
        contents="\n".join(ROW.format(name=name, title=title) for name, title in titles.items()),
        parts="\n".join(PART.format(name=name, text=text) for name, text in texts.items()),
    )


@contextlib.contextmanager
def served(folder):
    """Serve a folder on a free port; yield its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Say nothing."""

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def print_page(browser_path, address, target):
    """Print one address as A4 with page numbers, links and an outline."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path,
            args=list(browsers.FLAGS),
            chromium_sandbox=not browsers.as_root(),
        )
        page = browser.new_page(color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.evaluate(PREPARE)
        page.pdf(
            path=target,
            format="A4",
            margin={"top": "16mm", "bottom": "18mm", "left": "18mm", "right": "18mm"},
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
            print_background=True,
            outline=True,
            tagged=True,
        )
        browser.close()


def names():
    """Return the pages of the book in their order."""
    return list(ledger.chapters(yaml.safe_load((ledger.BOOK / "_toc.yml").read_text("utf-8"))))


def main():
    """Print the book; return None or what went wrong."""
    if not build.BUILT.exists():
        return "There is no built book to print: run make book first."
    browser = browsers.find()
    if browser is None:
        return "No browser prints here: install Chromium, or name one in BROWSER_PATH."
    pages = {name: (build.SITE / f"{name}.html").read_text(encoding="utf-8") for name in names()}
    document = build.SITE / WHOLE
    try:
        document.write_text(whole(pages), encoding="utf-8", newline="\n")
        print(f"Printing {len(pages)} pages of the site: some minutes", flush=True)
        with served(build.SITE) as address:
            print_page(browser, f"{address}/{WHOLE}", PDF)
    finally:
        document.unlink(missing_ok=True)
    print(f"{PDF.relative_to(build.ROOT)}: {PDF.stat().st_size / 1e6:.1f} MB")
    return None


if __name__ == "__main__":
    console.survive_any_encoding()
    sys.exit(main())
