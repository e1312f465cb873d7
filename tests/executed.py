"""Execute every notebook of the book once; what they print is neither kept nor compared.

    python -m coverage run tests/executed.py

Each kernel is asked to end and does so itself, so that coverage hears what it has reached; nbval
kills them.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_make"))

from notebooks import BOOK, execute  # noqa: E402

for path in sorted(BOOK.glob("*.ipynb")):
    execute(path, path.read_text(encoding="utf-8"))
