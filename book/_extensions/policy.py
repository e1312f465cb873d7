"""What a page may load: a content-security policy in every page, which forbids third parties.

A `<meta>` because the site is static: whoever serves it, or opens it from a folder, gets the policy
with the page. `file:` stands beside 'self' for the folder, where browsers differ in what 'self' is;
no browser lets a page of the web read files. What else is allowed, and why:

- scripts of the site, and those that the theme and Sphinx write into the page itself, each by its
  hash: any other is dead, and so is `eval`;
- styles inside the page, because MathJax and the figures' SVG write them, with values that no hash
  knows beforehand: a style cannot send anything anywhere, since pictures and fonts are the site's;
- pictures and fonts as `data:`, which the theme's style sheets carry;
- fetching from the site itself, for the search and for the copy that is read without network.
"""

import base64
import hashlib
import re
from pathlib import Path

SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL | re.IGNORECASE)
NO_CODE = re.compile(r"""\bsrc=|\btype=["']?(application|text)/(?!javascript)""", re.IGNORECASE)
HEAD = re.compile(r"<head[^>]*>\s*(?:<meta charset=[^>]*>)?", re.IGNORECASE)
META = re.compile(r'\n<meta http-equiv="Content-Security-Policy"[^>]*>')

OWN = "'self' file:"


def hashes(html):
    """Return the sources that allow the scripts inside a page, in the order of the alphabet."""
    found = set()
    for attributes, code in SCRIPT.findall(html):
        if not NO_CODE.search(attributes):
            digest = hashlib.sha256(code.encode()).digest()
            found.add(f"'sha256-{base64.b64encode(digest).decode()}'")
    return sorted(found)


def policy(html):
    """Return the policy of a page."""
    rules = {
        "default-src": "'none'",
        "script-src": " ".join([OWN, *hashes(html)]),
        "style-src": f"{OWN} 'unsafe-inline'",
        "img-src": f"{OWN} data:",
        "font-src": f"{OWN} data:",
        "connect-src": OWN,
        "worker-src": OWN,
        "form-action": OWN,
        "base-uri": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def protect(html):
    """Return a page with its policy, before anything that it could load."""
    html = META.sub("", html)
    meta = f'\n<meta http-equiv="Content-Security-Policy" content="{policy(html)}"/>'
    return HEAD.sub(lambda head: head[0] + meta, html, count=1)


def protect_pages(app, exception):
    """Give every page of the site its policy."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).glob("*.html"):
        html = path.read_text(encoding="utf-8")
        if (protected := protect(html)) != html:
            path.write_text(protected, encoding="utf-8", newline="\n")


def setup(app):
    """Connect the above to Sphinx."""
    app.connect("build-finished", protect_pages, priority=800)  # when nothing changes any more
    return {"parallel_read_safe": True, "parallel_write_safe": True}
