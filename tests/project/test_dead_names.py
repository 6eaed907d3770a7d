"""No dead names in the machine: what nothing reads goes. Names count, wherever they are read: in the
package, the tests or the book."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyvirt_edu
from pyvirt_edu.machine import exits, opcodes
from pyvirt_edu.machine.memory import hostaccess_ops
from pyvirt_edu.machine.state import layout

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(pyvirt_edu.__file__).parent
FOLDERS = ("machine", "devices")
CORE = {"core", "core_hot", "core_inlined", "unit"}

#: Names that nothing reads, and stay: so that a list is as complete as the manual's ...
COMPLETE = """
CR4_MCE MC LDT_TYPE A_ACCESSED A_CONFORMING A_GRANULARITY
SECONDS_ALARM MINUTES_ALARM HOURS_ALARM MOUSE_INTERRUPT DISK_PORT CRC_ERRORS STA I_RXE I_TXE I_CNT
"""
#: ... or because their number stands for them: the first of a row, or one that is counted to.
COUNTED = "UNIT_RUN P_NONE W_NONE A_AND A_TEST N_NEG"
#: Words that the machine's own code only writes: guests, or Python by the field's name, read them.
WRITTEN = "DR6 FETCH_MISSES EXIT_LENGTH BOOT_LATER LEDS ICW3"
MOST_LISTED = 32


class Uses:
    """How names are used: ``read``, as the index of a ``store``, or in a ``compare``."""

    def __init__(self) -> None:
        self.of: dict[str, set[str]] = defaultdict(set)
        self.words: set[str] = set()  # all words in strings
        self.prefixes: set[str] = set()  # "OP_" of getattr(uops, f"OP_{name}")
        asked = re.findall(r"\w+", opcodes.TABLE)  # rows name functions, recipes and parameters
        self.rows = {f"{prefix}{name}" for name in asked for prefix in ("", "recipe_")}
        self.rows |= {f"{prefix}{name.upper()}" for name in asked for prefix in ("COST_", "FORMAT_")}
        self.rows |= {"recipe_assist", "COST_SIMPLE"}  # of a row that says nothing else

    def add(self, tree: ast.AST) -> None:
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.of[node.id].add(way(node, parents))
            elif isinstance(node, ast.Attribute):
                self.of[node.attr].add(way(node, parents))
            elif isinstance(node, ast.alias) and node.asname:
                self.of[node.name].add("read")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.of[node.value].add("read")  # jit.UNITS, getattr
                self.words.update(re.findall(r"\w+", node.value))
            elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                self.prefixes.update(re.findall(r"^[A-Z]+_(?:[A-Z]+_)*$", str(node.values[0].value)))

    def ways(self, name: str) -> set[str]:
        composed = any(name.startswith(p) and name[len(p) :] in self.words for p in self.prefixes)
        return self.of[name] | ({"read"} if composed or name in self.rows else set())


def way(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> str:
    above = parents[node]
    while isinstance(above, ast.BinOp | ast.Tuple):
        node, above = above, parents[above]
    if isinstance(above, ast.Subscript) and node is above.slice and isinstance(above.ctx, ast.Store):
        return "store"
    return "compare" if isinstance(above, ast.Compare) else "read"


def defined(tree: ast.Module) -> Iterator[str]:
    """Constants, functions, classes and methods of a file."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f.name for f in node.body if isinstance(f, ast.FunctionDef))
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def dead(trees: list[ast.Module], uses: Uses) -> set[str]:
    """Names that are never read; ``visit_Name`` and ``__repr__`` are called by Python itself."""
    names = {name for tree in trees for name in defined(tree)}
    own = {name for name in names if not re.match("__|visit_", name)}
    return {name for name in own if not uses.ways(name) - {"store"}}


def sources() -> Iterator[ast.Module]:
    for folder in (PACKAGE, ROOT / "tests"):
        for path in folder.rglob("*.py"):
            if path != Path(__file__).resolve():
                yield ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("book", "exercises"):
        for path in (ROOT / folder).rglob("*.ipynb"):
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                if cell["cell_type"] == "code":
                    lines = "".join(cell["source"]).splitlines()
                    yield ast.parse("\n".join(x for x in lines if not x.lstrip().startswith(("%", "!"))))


def all_uses() -> Uses:
    uses = Uses()
    for tree in sources():
        uses.add(tree)
    return uses


USES = all_uses()


def test_nothing_is_dead() -> None:
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for folder in FOLDERS
        for path in (PACKAGE / folder).rglob("*.py")
    ]
    listed = f"{COMPLETE} {COUNTED} {WRITTEN}".split()
    assert dead(trees, USES) == set(listed)
    assert len(listed) <= MOST_LISTED


def test_dead_names_are_found() -> None:
    tree = ast.parse("A, B, OP_X, OP_Y = range(4)\nWORDS = 'X'\ndef f(c):\n    c[A + 1] = B\ndef g(): ...\n")
    uses = Uses()
    uses.add(tree)
    uses.add(ast.parse("getattr(m, f'OP_{WORDS}'), f"))
    assert dead([tree], uses) == {"A", "OP_Y", "g"}


def test_every_exit_happens() -> None:
    """The core returns or stores its number, or Python makes a word of its own for it."""
    numbers = {name: getattr(layout, name) for name in vars(layout) if name.startswith("EXIT_")}
    reasons = [name for name, number in numbers.items() if number < layout.EXIT_REASON]
    assert len(reasons) == len(exits.REASONS)
    core, python = Uses(), Uses()
    for path in PACKAGE.rglob("*.py"):
        if path != Path(exits.__file__):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            python.add(tree)
            for node in tree.body:
                if isinstance(node, ast.FunctionDef) and CORE & set(map(ast.unparse, node.decorator_list)):
                    core.add(node)
    assert not [name for name in reasons if "read" not in core.of[name]]
    assert set(exits.MEANINGS) - set(exits.REASONS) <= python.of.keys()


def test_every_host_operation_is_asked_for() -> None:
    operations = [name for name in vars(hostaccess_ops) if name.startswith("HOST_")]
    assert operations and not [name for name in operations if "read" not in USES.of[name]]
