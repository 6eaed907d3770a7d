"""The primer's exercises: the solutions pass, and plausible wrong ones are told what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "book" / "primer-reading-machine-code.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
SOURCES = [(cell["cell_type"], "".join(cell["source"])) for cell in CELLS]
CODE = [text for kind, text in SOURCES if kind == "code"]
PROSE = [text for kind, text in SOURCES if kind == "markdown"]


@pytest.fixture(scope="module")
def space():
    """What the cells define that an exercise needs."""
    found = {}
    for text in CODE:
        if text.startswith(("import struct", "def load", "def run", "def check", "SUM =", "POWER =")):
            exec(text.split("\nprint(")[0], found)
    return found


def power(n):
    return 2**n


def solution():
    (text,) = (text for text in PROSE if "<summary>One solution</summary>" in text)
    blanks = re.search(r"The blanks: `(.+?)` and `(.+?)`", text)
    return blanks.groups(), re.search(r"```\n(larger:.+?)```", text, re.DOTALL)[1]


def fill(text, *instructions):
    for instruction in instructions:
        text = text.replace("nop", instruction, 1)
    return text


def test_solutions_pass(space):
    blanks, larger = solution()
    assert space["check"](fill(space["POWER"], *blanks), power) == "done"
    assert space["check_larger"](larger) == "done"


@pytest.mark.parametrize(
    "blanks",
    [
        ("nop", "nop"),
        ("add eax, 2", "jnz again"),
        ("add eax, eax", "jz again"),
        ("add eax, eax", "jmp again"),
    ],
)
def test_wrong_blanks(space, blanks):
    assert space["check"](fill(space["POWER"], *blanks), power).startswith("not yet: ECX ")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("larger: ret", r"larger\(4, 9\) returned 0"),
        ("larger: mov eax, [esp + 4]\nret", r"larger\(4, 9\) returned 4"),
        (
            "larger: mov eax, [esp + 4]\ncmp eax, [esp + 8]\nja first\nmov eax, [esp + 8]\nfirst: ret",
            r"larger\(-3, 2\) returned -3",  # an unsigned comparison
        ),
        (
            "larger: mov eax, [esp + 4]\nmov ebx, [esp + 8]\ncmp eax, ebx\njg done\nmov eax, ebx\ndone: ret",
            "ESP or EBX",
        ),
        (
            "larger: mov eax, [esp + 4]\ncmp eax, [esp + 8]\njg first\nmov eax, [esp + 8]\nfirst: ret 8",
            "ESP or EBX",  # the caller takes the arguments off, too
        ),
        ("larger: jmp larger", "does not come to its end"),
    ],
)
def test_wrong_functions(space, function, told):
    assert re.search(told, space["check_larger"](function))


def test_every_misconception_meets_an_experiment():
    found = [n for n, (kind, text) in enumerate(SOURCES) if kind == "markdown" and "**Misconception" in text]
    assert len(found) >= 3
    for n in found:
        after = [text for kind, text in SOURCES[n + 1 : n + 3] if kind == "code"]
        assert any("assert" in text for text in after), SOURCES[n][1]


def test_every_prediction_is_kept_before_its_result():
    asked = [re.findall(r"^(p\d+) = predict\(", text, re.MULTILINE) for text in CODE]
    told = [re.findall(r"(p\d+)\.reveal\(", text) for text in CODE]
    names = [name for cell in asked for name in cell]
    assert len(names) >= 4 and sorted(names) == sorted(name for cell in told for name in cell)
    for name in names:
        assert [name in cell for cell in asked].index(True) < [name in cell for cell in told].index(True)


def test_every_kind_of_drill_is_there():
    from pyvirt_edu.lab import drills

    kinds = {name for name in vars(drills) if name.endswith("_drill")}
    assert kinds == {text.split(".")[1].split("(")[0] for text in CODE if text.startswith("drills.")}
