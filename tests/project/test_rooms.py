"""The rooms of `machine/`: which stands on which. A room imports from rooms below it only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

MACHINE = Path(__file__).resolve().parents[2] / "pyvirt_edu" / "machine"

#: From the ground up: the folders of machine/ and the files that stand beside them.
ROOMS = (
    "errors exits opcodes costs state memory decode protection execute x87 assembler registers "
    "python_side time_travel bare_machine inspect_code"
).split()


def statements(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    """Imports that happen; those for the type checker alone may point anywhere."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom):
            yield node
        yield from statements(node)


def rooms_used(source: str, place: tuple[str, ...]) -> set[str]:
    """The rooms that a file at a place (below machine/, without .py) imports from."""
    used = set()
    for node in statements(ast.parse(source)):
        base = list(place[: len(place) - node.level]) if node.level else None
        if base is None:
            if (node.module or "").startswith("pyvirt_edu.machine."):
                used.add(str(node.module).split(".")[2])
        elif node.level <= len(place):
            path = base + (node.module.split(".") if node.module else [])
            used.update([path[0]] if path else [alias.name for alias in node.names])
    return used


def test_every_file_has_its_room() -> None:
    found = {path.relative_to(MACHINE).with_suffix("").parts[0] for path in MACHINE.rglob("*.py")}
    assert found - {"__init__"} == set(ROOMS)


def test_rooms_import_what_is_below_them() -> None:
    height = {room: number for number, room in enumerate(ROOMS)}
    wrong = []
    for path in sorted(MACHINE.rglob("*.py")):
        place = path.relative_to(MACHINE).with_suffix("").parts
        if place == ("__init__",):
            continue
        for room in rooms_used(path.read_text(encoding="utf-8"), place) - {place[0]}:
            if height[room] > height[place[0]]:
                wrong.append(f"{'/'.join(place)} imports from {room}")
    assert not wrong


def test_the_check_sees_every_way_to_import() -> None:
    place = ("memory", "tlb")
    assert rooms_used("from .paging import allowed", place) == {"memory"}
    assert rooms_used("from ..decode.uops import U_MOVE32", place) == {"decode"}
    assert rooms_used("from ..decode import uops", place) == {"decode"}
    assert rooms_used("from .. import costs, errors", place) == {"costs", "errors"}
    assert rooms_used("def f():\n    from pyvirt_edu.machine.x87.wide import add", place) == {"x87"}
    assert rooms_used("if TYPE_CHECKING:\n    from ..machine import Machine", place) == set()


def test_ten_topics_are_where_they_were_found() -> None:
    text = Path(__file__).with_name("ten_topics.txt").read_text(encoding="utf-8")
    places = [line.split() for line in text.splitlines() if line.startswith("   ")]
    assert len(places) == 11
    for file, name in places:
        source = (MACHINE / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *(?:def {name}\b|class {name}\b|{name} = )", source, re.MULTILINE), file
