"""`make pdf`: all pages in one document, in which every link still leads to its place."""

import re

import build
import pdf

SITE = {
    "intro": """<html><head><title>Two pages &#8212; Two pages</title>
<link href="a.css" rel="stylesheet" type="text/css" /><script src="moving.js"></script></head>
<body><h1>for the printer</h1><article class="bd-article">
<section id="start"><h1>Two pages<a class="headerlink" href="#start">#</a></h1>
<a href="second.html#c01">claim</a> <a href="second.html">page</a> <a href="#start">up</a>
<a href="https://example.org/second.html#c01">elsewhere</a></section></article>
<span class="bn-edition">Version 1</span></body></html>""",
    "second": """<html><head><script>window.MathJax = {}</script>
<script defer src="_static/mathjax/m.js"></script></head><body><article class="bd-article">
<section id="start"><h1>Second &amp; last<a class="headerlink" href="#start">#</a></h1>
<p id="c01" aria-labelledby="start c01">C01</p><script>run()</script>
<div class="bn-moving"><div class="bn-frame"><svg><path id="m1"/><use xlink:href="#m1"/>
<g clip-path="url(#m1)"/></svg></div>
<div class="bn-frame" hidden><svg><path id="m2"/></svg></div></div>
</section></article></body></html>""",
}


def test_every_name_is_there_once_and_every_link_leads_to_one():
    document = pdf.whole(SITE)
    names = re.findall(r'\bid="([^"]*)"', document)
    assert len(names) == len(set(names))
    asked = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', document)
    asked += [(name, "") for name in re.findall(r'labelledby="(.*?)"', document)[0].split()]
    assert {one or other for one, other in asked} <= set(names)
    assert '<a href="#second--c01">claim</a> <a href="#second">page</a>' in document
    assert 'href="https://example.org/second.html#c01"' in document


def test_the_document_has_what_paper_shows_and_no_more():
    document = pdf.whole(SITE)
    assert (
        document.index("Version 1") < document.index('id="intro"') < document.index('id="second"')
    )
    assert '<li><a href="#second">Second &amp; last</a></li>' in document
    assert 'id="second--m1"' in document and "m2" not in document
    assert re.findall(r"<script.*?>", document) == [
        "<script>",
        '<script defer src="_static/mathjax/m.js">',
    ]
    assert "run()" not in document and "for the printer" not in document
    assert "<title>Two pages</title>" in document and "a.css" in document


def test_without_a_book_or_a_browser_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "BUILT", tmp_path / "built.txt")
    assert pdf.main() == "There is no built book to print: run make book first."
    build.BUILT.touch()
    monkeypatch.setattr(pdf.browsers, "find", lambda: None)
    assert "Chromium" in pdf.main()
