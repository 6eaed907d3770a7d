"""The exercises of chapter 00: the printed solutions solve them, plausible mistakes do not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

CHAPTER = Path(__file__).parents[2] / "book" / "00-the-whole-idea-in-an-hour.ipynb"


@pytest.fixture(scope="module")
def chapter() -> tuple[dict[str, Any], str]:
    """The chapter's names after all of its code, and the text of its solutions."""
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    solution = next(
        match[1]
        for cell in cells
        if cell["cell_type"] == "markdown"
        and (match := re.search(r"<details>.*?```python\n(.*?)```", "".join(cell["source"]), re.DOTALL))
    )
    return names, solution


def solved(chapter: tuple[dict[str, Any], str], old: str = "", new: str = "") -> dict[str, Any]:
    names, solution = chapter
    assert old in solution
    mine = dict(names)
    exec(solution.replace(old, new) if old else solution, mine)
    return mine


def test_the_solutions(chapter: tuple[dict[str, Any], str]) -> None:
    mine = solved(chapter)
    said = mine["check_batching"](mine["Batching"])
    assert said.startswith("right: ")
    assert int(re.findall(r"\d+", said)[0]) < 45  # 168 before
    said = mine["check_answers"](mine["AnswersItself"])
    assert said.startswith("right: ")
    assert int(re.findall(r"\d+", said)[0]) > 150


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.cpu.ebx + 0x1000 * n", "self.cpu.ebx"),  # one page, again and again
        ("self.cpu.ecx + 0x1000 * n", "self.cpu.ecx"),  # all pages to one frame
        ("self.cpu.ecx + 0x1000 * n", "self.cpu.ecx + n"),  # frames counted in bytes
    ],
)
def test_wrong_batches(chapter: tuple[dict[str, Any], str], old: str, new: str) -> None:
    mine = solved(chapter, old, new)
    assert mine["check_batching"](mine["Batching"]).startswith("wrong")


def test_a_wrong_answer(chapter: tuple[dict[str, Any], str]) -> None:
    """It forgets to move EIP behind the instruction."""
    mine = solved(chapter, "            self.vcpu.eip += i.length\n", "")
    assert mine["check_answers"](mine["AnswersItself"]).startswith("wrong")
