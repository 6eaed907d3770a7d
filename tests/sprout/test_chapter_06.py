"""The exercises of chapter 06: the printed solutions solve them."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

CHAPTER = Path(__file__).parents[2] / "book" / "06-an-operating-system-to-virtualize.ipynb"


def test_the_solutions() -> None:
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and "ConsoleWidget" not in text and "busybox" not in text:
            exec(text, names)
    texts = ("".join(cell["source"]) for cell in cells)
    solution = next(
        m[1] for text in texts if (m := re.search(r"<details>.*?```python\n(.*?)```", text, re.DOTALL))
    )
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(solution, names)
    assert names["check_ports"](names["Ports"]).startswith("right: ")
    fork = int(said.getvalue())
    row = int(re.search(r"fork, exit, wait +(\d+)", "".join(map(str, cells)))[1])  # type: ignore[index]
    assert row / 20 < fork < row
