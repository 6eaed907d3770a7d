"""`book/public.md` says what notebooks and readers may import: notebooks keep to it, and it is all there."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(p for folder in ("book", "exercises") for p in (ROOT / folder).rglob("*.ipynb"))
ENTRY = re.compile(r"^- `(pyvirt_edu[\w.]*)`: (.+(?:\n  .+)*)", re.MULTILINE)


@functools.cache
def listed() -> dict[str, set[str]]:
    """The page's entries: the names of each module."""
    names = {}
    for module, text in ENTRY.findall((ROOT / "book" / "public.md").read_text(encoding="utf-8")):
        if "`__all__`" in text:
            names[module] = set(importlib.import_module(module).__all__)
        else:
            names[module] = set(re.findall(r"`(\w+)`", text))
    return names


def imported(source: str) -> Iterator[tuple[str, str]]:
    """Module and name of everything of ours that a notebook imports, attributes of modules too."""
    tree = ast.parse(re.sub(r"^\s*[%!].*", "", source, flags=re.MULTILINE))
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "pyvirt_edu":
                    yield alias.name, ""
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pyvirt_edu":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in listed():
                    modules[alias.asname or alias.name] = inner
                else:
                    yield str(node.module), alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


def outside(source: str) -> list[tuple[str, str]]:
    """What a notebook imports that the page does not list."""
    names = listed()
    return [(module, name) for module, name in imported(source) if name not in names.get(module, ())]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_imports_what_is_public(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert not outside(source), "list it in book/public.md, and keep it, or do without"


@pytest.mark.parametrize("module", sorted(listed()))
def test_what_is_listed_is_there(module: str) -> None:
    found = importlib.import_module(module)
    assert listed()[module], "an entry names something"
    assert not [name for name in listed()[module] if not hasattr(found, name)]


def test_the_check_bites() -> None:
    assert outside("from pyvirt_edu.machine.errors import ImageError, MachineError") == []
    assert outside("from pyvirt_edu.machine import errors\nerrors.ImageError") == []
    for source in (
        "from pyvirt_edu.machine.errors import nothing",
        "from pyvirt_edu.machine.state.layout import CR0",
        "from pyvirt_edu.machine import errors\nerrors.sys",
        "import pyvirt_edu.machine.execute.loop",
    ):
        assert len(outside(source)) == 1, source
