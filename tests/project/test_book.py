"""The static book builds without a warning and asks no other host for anything."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: What a browser fetches by itself. Links that a reader may click are not among it.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["'](?:https?:)?//[^"']*"""
    r"""|<link\b(?=[^>]*\brel=["'](?:stylesheet|preload|icon|modulepreload))[^>]*\bhref=["'](?:https?:)?//[^"']*"""
    r"""|(?:@import|\bimport\(|\bfrom)\s*["'](?:https?:)?//[^"']*|url\(["']?(?:https?:)?//[^"')]*""",
    re.IGNORECASE,
)


def test_book_builds_offline(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_nb", "sphinx_book_theme"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), "book", str(tmp_path / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "html").rglob("*.html"))
    assert pages
    fetched = {
        f"{page.relative_to(tmp_path / 'html')}: {match[0]}"
        for page in pages
        for match in FETCHED.finditer(page.read_text(encoding="utf-8"))
    }
    assert not fetched, "\n".join(sorted(fetched))


def test_the_check_bites() -> None:
    for text in (
        '<script defer src="https://cdn.example/x.js">',
        '<link rel="stylesheet" type="text/css" href="//cdn.example/x.css">',
        'import("https://cdn.example/x.mjs")',
    ):
        assert FETCHED.search(text), text
    assert not FETCHED.search('<a href="https://example.org">a link to click</a>')


def test_picture_is_what_the_machine_does() -> None:
    """The README's picture, drawn anew."""
    images = ROOT / "book" / "images"
    space = runpy.run_path(str(images / "draw_bubble_sort.py"))
    assert space["draw"](*space["run"]()) == (images / "bubble-sort.svg").read_text(encoding="utf-8")
