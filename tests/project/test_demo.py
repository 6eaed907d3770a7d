"""`pyvirt demo` prints the comparison and writes a page that needs nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyvirt_edu.cli", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_text_and_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = demo("--html", str(page))
    assert done.returncode == 0, done.stderr
    for name in ("bare metal", "trap and emulate", "hypercalls"):
        assert name in done.stdout
        assert name in (html := page.read_text(encoding="utf-8"))
    assert str(page) in done.stdout
    bars = [line for line in done.stdout.splitlines() if line.rstrip().endswith(("#", "+"))]
    assert len(bars) == 3
    assert "+" not in bars[0]
    assert "<svg" in html
    assert 'type="range"' in html
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", html)


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    done = demo("--html", str(tmp_path / "no" / "page.html"))
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "--html" in done.stderr
    assert "hypercalls" in done.stdout  # what was computed is not lost


def test_an_unknown_demo() -> None:
    done = demo("four-ways")
    assert done.returncode == 2
    assert "three-ways" in done.stderr
