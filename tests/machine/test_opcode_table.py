"""One row is one instruction: nothing else in the package has to know of it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyvirt_edu.machine import opcodes
from pyvirt_edu.machine.decode import decoder_tables
from pyvirt_edu.machine.decode.dispatch import unit_by_rows
from pyvirt_edu.machine.decode.operations import calls
from pyvirt_edu.machine.opcodes import ROWS, rows_for
from pyvirt_edu.machine.state.jit import unit_module

PACKAGE = Path(opcodes.__file__).parents[1]

ROW = "0F 04    TRIPLE    Ev         arithmetic.triple T0=E E=T0 cost=multiply\n"
FUNCTION = '''@core
def triple(m, size):
    """Three times an operand: no processor has it."""
    c = cpu(m)
    c[T0] = c[T0] * 3 & size_mask(size)


'''
PROGRAM = """
import json
from pyvirt_edu import Machine, assemble
from pyvirt_edu.lab import opcode_map

m = Machine(ram="1MiB", devices=())
m.load(assemble("bits 32\\nmov eax, 14\\ntriple eax\\ntriple word [0x2000]\\nhlt", origin=0x1000), at=0x1000)
m.write(0x2000, b"\\x02\\x90\\x77\\x77")
m.enter_protected_mode(eip=0x1000, esp=0x8000)
m.step(3)
print(json.dumps([m.cpu.eax, m.read(0x2000, 4).hex(), opcode_map(True).cells[4]]))
"""


def insert(path: Path, before: str, text: str) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count(before) == 1
    path.write_text(source.replace(before, text + before), encoding="utf-8")


def test_an_instruction_is_a_row_and_a_function(tmp_path: Path) -> None:
    """In a copy of the package a row and a function are added, and nothing else."""
    copy = tmp_path / "pyvirt_edu"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    insert(copy / Path(opcodes.__file__).relative_to(PACKAGE), '"""\n\nCONDITIONS', ROW)
    unit = copy / "machine" / "execute" / "arithmetic.py"
    insert(unit, "assist_arithmetic = unit_by_rows(", FUNCTION)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [42, "06b07777", "TRIPLE Ev"]


def test_columns() -> None:
    """What a row says; a row without columns says what the first of its mnemonic does."""
    (row,) = rows_for("CPUID")
    assert (row.action.unit, row.action.call, row.action.cost) == ("system", "identify", "cpuid")
    first, *others = rows_for("ADD")
    assert first.action.written == "oszapc" and all(other.action is first.action for other in others)
    pop = next(row for row in ROWS if str(row).startswith("DE/5r"))
    assert (pop.action.call, pop.action.asked, pop.action.words) == ("calculate", "FSUB", {"pop", "to_sti"})
    (arpl,) = rows_for("ARPL")
    assert arpl.action.moves == (("late", "E"), ("T3", "G"), ("E", "T0")) and arpl.action.modes == "protected"


def test_a_prefix_can_belong_to_an_opcode() -> None:
    (row,) = opcodes._parse("F3 0F B8 POPCNT Gv,Ev bit_scan flags=oszapc\n")
    assert (row.prefix, row.two_byte, row.opcode, row.notation) == (0xF3, True, 0xB8, "F3 0F B8")
    with pytest.raises(ValueError, match="knows nothing of its prefix"):
        decoder_tables._row(row)


@pytest.mark.parametrize("columns", ["alu faster", "system.halt modes=long"])
def test_a_word_without_meaning_is_refused(columns: str) -> None:
    (row,) = opcodes._parse(f"F4 HLT {columns}\n")
    with pytest.raises(ValueError, match="the decoder knows nothing of"):
        decoder_tables._row(row)


def test_a_function_that_a_row_names_must_be_there() -> None:
    with pytest.raises(NameError, match="names push_flags, which a_unit does not have"):
        unit_by_rows("system", {"__name__": "a_unit"})


def spelled(nodes: list[ast.expr]) -> bool:
    """Whether a number that could be a prefix or an opcode stands there, by itself or in a collection."""
    items = [n for node in nodes for n in (getattr(node, "elts", None) or getattr(node, "values", [node]))]
    values = [n.value for n in items if isinstance(n, ast.Constant)]
    return any(isinstance(v, bytes) or (isinstance(v, int) and v >= SMALLEST_PREFIX) for v in values)


def numbers_said(tree: ast.AST) -> list[int]:
    """Lines where what is called an opcode, a prefix or code is compared with, or set to, a number."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            names = {n.id for n in ast.walk(node.left) if isinstance(n, ast.Name)}
            if names & {"opcode", "prefix", "first", "last", "byte", "code"} and spelled(node.comparators):
                found.append(node.lineno)
        if isinstance(node, ast.Assign):
            names = {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            if any("OPCODE" in n or "PREFIX" in n or n in NAMES for n in names) and spelled([node.value]):
                found.append(node.lineno)
    return found


SMALLEST_PREFIX = min(opcodes.PREFIXES)
NAMES = {row.mnemonic for row in ROWS} | {n for n, value in vars(opcodes).items() if isinstance(value, int)}
NAMES -= {"ESCAPE"}  # also a key of the terminal


def test_the_scan_sees_numbers() -> None:
    for text in (
        "if opcode == 0xCF: pass",
        "PREFIXES = {0x66, 0x67}",
        "INT3 = b'\\xcc'",
        "code[0] in (0xCC, 1)",
        "LOCK, REP = 0xF0, 0xF3",
    ):
        assert numbers_said(ast.parse(text)) == [1], text


def test_only_the_table_knows_opcodes() -> None:
    """Devices have codes and bytes of their own: there the words mean something else."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != Path(opcodes.__file__) and "devices" not in path.parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{path.relative_to(PACKAGE)}:{line}" for line in numbers_said(tree)]
    assert not found


@pytest.mark.parametrize("unit", sorted({row.action.unit for row in ROWS} - {""}))
def test_a_unit_imports_nothing_in_vain(unit: str) -> None:
    """The linter cannot tell: what a unit imports may be what a row names."""
    module = importlib.import_module(unit_module(f"assist_{unit}"))
    tree = ast.parse(inspect.getsource(module))
    imported = {a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
    named = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    rows = " ".join(call for _, call in calls(unit))
    texts = " ".join(n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value in imported)
    assert imported - named - set(re.findall(r"\w+", f"{rows} {texts}")) <= {"annotations"}
