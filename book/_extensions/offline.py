"""Reading without network: what a reader's browser keeps of the site, once it is asked to.

Nothing is kept unless the reader presses the button. Then the browser fetches every file of the
site into a cache, and a service worker (`offline.js`) answers from it where the network does not.
It asks the network first: who is online never reads an old page. A zip would be simpler, but a
phone does not open pages from a folder; who has the folder needs none of this.
"""

import json
import shutil
from pathlib import Path

import edition

WORKER = Path(__file__).resolve().parent.parent / "_templates" / "offline.js"
LIST = "offline.json"

# What Sphinx and the theme copy and no page asks for. Without the script that draws its icons the
# theme takes those of the font, which pages load anyway: half a megabyte less for each reader.
NEEDLESS = (
    "_static/scripts/fontawesome.js*",
    "_static/scripts/*.map",
    "_static/styles/*.map",
    "_static/vendor/fontawesome/webfonts/*.ttf",
    "_static/vendor/fontawesome/webfonts/fa-brands*",
    "_static/locales",
)
ICONS = '<script defer src="_static/scripts/fontawesome.js'
# Cards are for others, `results/` is data and as large as all pages together.
NOT_KEPT = (
    "_static/cards/",
    "results/",
    LIST,
    "offline.js",
    "objects.inv",
    "sitemap.xml",
    "404.html",
)


def lighten(site):
    """Remove from the site what no page needs."""
    for pattern in NEEDLESS:
        for path in site.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in site.glob("*.html"):
        html = path.read_text(encoding="utf-8")
        before, found, after = html.partition(ICONS)
        if found:
            html = before + after.partition("</script>")[2].lstrip("\n")
            path.write_text(html, encoding="utf-8", newline="\n")


def kept(site):
    """Return the files to keep, by their addresses below the site, and their size in bytes."""
    paths = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if path.is_file()}
    names = sorted(name for name in paths if not name.startswith((*NOT_KEPT, ".")))
    return names, sum(paths[name].stat().st_size for name in names)


def write(site, line):
    """Write the worker and the list of what it needs; `line` names the edition."""
    names, size = kept(site)
    shutil.copyfile(WORKER, site / "offline.js")
    listed = {"edition": line, "bytes": size, "files": names}
    text = json.dumps(listed, indent=0) + "\n"
    (site / LIST).write_text(text, encoding="utf-8", newline="\n")


def lighten_site(app, exception):
    """Remove what no page needs from the site that was just built."""
    if not exception and app.builder.format == "html":
        lighten(Path(app.outdir))


def offer_copy(app, exception):
    """Let readers keep the site that was just built."""
    if not exception and app.builder.format == "html":
        write(Path(app.outdir), str(edition.edition()))


def setup(app):
    """Connect the above to Sphinx."""
    app.connect("build-finished", lighten_site, priority=700)
    app.connect("build-finished", offer_copy, priority=900)  # last of all
    return {"parallel_read_safe": True, "parallel_write_safe": True}
