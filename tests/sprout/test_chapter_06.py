"""The exercises of chapter 06: the printed solutions solve them, and wrong ones do not."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

CHAPTER = Path(__file__).parents[2] / "book" / "06-an-operating-system-to-virtualize.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    return json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def names(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """What the chapter's cells define."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in cells:
            text = "".join(cell["source"])
            left_out = "ConsoleWidget" in text or "busybox" in text or "native_linux" in text
            if cell["cell_type"] == "code" and not left_out:
                exec(text, names)
    return names


def test_the_solutions(cells: list[dict[str, Any]], names: dict[str, Any]) -> None:
    texts = ["".join(cell["source"]) for cell in cells]
    solution = next(
        m[1] for text in texts if (m := re.search(r"<details>.*?```python\n(.*?)```", text, re.DOTALL))
    )
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(solution, names)
    assert names["check_askers"](names["askers"]).startswith("right: ")
    fork = int(said.getvalue())
    row = int(re.search(r"fork, exit, wait +(\d+)", "".join(map(str, cells)))[1])  # type: ignore[index]
    assert row / 20 < fork < row


def test_wrong_solutions(names: dict[str, Any]) -> None:
    m, inspector, call_names = names["m"], names["inspector"], names["NAMES"]

    def askers_of(key: Any) -> Any:
        def askers(line: str) -> Counter[Any]:
            users: Counter[Any] = Counter()
            for number in names["knocks"](line):
                users[key(number)] += 1
            return users

        return askers

    check = names["check_askers"]
    assert check(askers_of(lambda number: (..., ...))) == "not finished yet"
    said = check(askers_of(lambda number: (inspector.current(m), call_names.get(number, number))))
    assert said.startswith("wrong: first the process, as text")
    said = check(askers_of(lambda number: (str(inspector.current(m)), number)))
    key = r"\('\w+ \(\d\)', ('\w+'|\d+)\)"
    assert re.fullmatch(f"wrong: you count {key}, there is {key}", said), said
    assert check(askers_of(lambda number: ...)).startswith("wrong: two parts")
    assert check(lambda line: None) == "wrong: return the counter"
    always = str(inspector.current(m))
    said = check(askers_of(lambda number: (always, call_names.get(number, number))))
    assert said.startswith("wrong: ") and always in said
    said = check(lambda line: Counter({("sh (2)", "read"): 1}))
    assert said.startswith("wrong: 1 calls of ")
