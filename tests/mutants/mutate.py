"""Small mistakes in the core: where they can be made, and a copy of the package that holds them.

All mutants live in one copy. Each guards its place with ``_mutant() == n``, and ``_mutant``
reads the number from a page at a fixed place: so the copy is compiled once, and a process
becomes any of them by a store.
"""

from __future__ import annotations

import ast
import copy
import functools
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DECORATORS = ("core", "core_hot", "core_inlined", "unit")
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.FloorDiv: ast.Mod,
    ast.Mod: ast.FloorDiv,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.And: ast.Or,
    ast.Or: ast.And,
}

#: Mutants that change nothing that a program or a user of the machine could see: module,
#: function, the statement's first line and the change, with the reason. A test caps the list.
EQUIVALENT: dict[tuple[str, str, str, str], str] = {
    (
        "machine.tasks",
        "find_tss",
        "return (0, 0)",
        "0 becomes 1",
    ): "a fault has been raised, and the caller asks for that before it looks at the descriptor",
    (
        "machine.links",
        "link_slot",
        "return (linear >> 12 & 63) << 6 | (linear ^ linear >> 6) & 63",
        "12 becomes 13",
    ): "another hash: an entry names its linear address, so what collides only costs time",
    (
        "machine.memory",
        "learn",
        "if access & USER",
        "USER becomes AC",
    ): "what ring 3 may do, ring 0 may do: its half of the table learns, and ring 3 goes the slow way",
    (
        "machine.memory",
        "learn",
        "if c[EFLAGS] & AC and c[CR0] & CR0_AM: return",
        "left out",
    ): "while alignment is checked nobody asks the fast path, and later the entry is right",
    (
        "machine.interrupts",
        "frame_present",
        "if c[EVENT]: return",
        "left out",
    ): "once there is an event the other probes do nothing",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small mistake: the node'th node of a function, changed in one way."""

    module: str  # below pyvirt_edu, without .py
    function: str
    line: int
    node: int  # in the order of ast.walk
    kind: str  # operator, constant, name, condition or statement
    other: str  # what it becomes, where there is a choice
    statement: str
    change: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.module, self.function, self.statement, self.change

    def __str__(self) -> str:
        return f"{self.module}.{self.function}:{self.line} {self.statement!r}: {self.change}"


def core_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions of a module that become machine code."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names = [d.id for d in node.decorator_list if isinstance(d, ast.Name)]
            if any(name in DECORATORS for name in names):
                yield node


def is_constant_name(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and len(node.id) > 1
        and node.id.isupper()
    )


def text(node: ast.AST) -> str:
    """A node as people write it; of a compound statement, its head."""
    if isinstance(node, ast.If | ast.While | ast.For):
        head = node.iter if isinstance(node, ast.For) else node.test
        return f"{type(node).__name__.lower()} {ast.unparse(head)}"
    return ast.unparse(node)


def changes(node: ast.AST, fields: list[str], is_test: bool) -> list[tuple[str, str]]:
    """What can go wrong at a node: the kind, and what it becomes."""
    found = []
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPPED:
        found.append(("operator", SWAPPED[type(node.op)].__name__))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
        found.append(("operator", SWAPPED[type(node.ops[0])].__name__))
    if isinstance(node, ast.Constant) and type(node.value) is int:
        found.append(("constant", str(node.value + 1)))
        if node.value:
            found.append(("constant", str(node.value - 1)))
    if is_constant_name(node):
        found += [("name", name) for name in fields if name != node.id]  # type: ignore[attr-defined]
    if is_test:
        found.append(("condition", ""))
    stored = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript | ast.Attribute)
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    left = isinstance(node, ast.Return) and node.value is None
    if stored or called or left or isinstance(node, ast.AugAssign | ast.Continue | ast.Break):
        found.append(("statement", ""))
    return found


def describe(node: ast.AST, kind: str, other: str) -> str:
    if kind == "operator":
        old = node.ops[0] if isinstance(node, ast.Compare) else node.op  # type: ignore[attr-defined]
        return f"{type(old).__name__} becomes {other} in {text(node)}"
    if kind in ("constant", "name"):
        return f"{text(node)} becomes {other}"
    return f"not ({text(node)})" if kind == "condition" else "left out"


def mutated(node: ast.AST, kind: str, other: str) -> ast.AST:
    """A copy of the node with the mistake in it; for a statement, nothing is left."""
    new = copy.deepcopy(node)
    if kind == "operator" and isinstance(new, ast.Compare):
        new.ops = [getattr(ast, other)()]
    elif kind == "operator":
        new.op = getattr(ast, other)()  # type: ignore[attr-defined]
    elif kind == "constant":
        new.value = int(other)  # type: ignore[attr-defined]
    elif kind == "name":
        new.id = other  # type: ignore[attr-defined]
    elif kind == "condition":
        new = ast.UnaryOp(ast.Not(), new)  # type: ignore[arg-type]
    else:
        new = ast.Pass()
    return new


def unread_results(trees: list[ast.Module]) -> set[str]:
    """Functions whose result no caller reads: Numba wants them to return a number."""
    functions = [f for tree in trees for f in core_functions(tree)]
    names = {f.name for f in functions}
    slots = {f"UNIT_{f.name.upper()}": f.name for f in functions}
    read = {"run", "host_access", "device_access", "find_block"}  # Python, or the loop, looks
    passed_on: dict[str, set[str]] = {}  # what a function returns of another's result
    for function in functions:
        ignored = {id(n.value) for n in ast.walk(function) if isinstance(n, ast.Expr)}
        returned = {id(n.value) for n in ast.walk(function) if isinstance(n, ast.Return)}
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and id(node) not in ignored:
                unit = node.args[1] if node.func.id == "call_unit" else None
                name = slots.get(unit.id, "") if isinstance(unit, ast.Name) else node.func.id
                if id(node) in returned:
                    passed_on.setdefault(function.name, set()).add(name)
                else:
                    read.add(name)
    queue = list(read)
    while queue:
        new = passed_on.get(queue.pop(), set()) - read
        read |= new
        queue += new
    return names - read


def mutants_of(path: Path, package: Path, unread: set[str]) -> Iterator[Mutant]:
    """Every mistake that can be made in a file's machine code."""
    tree = ast.parse(path.read_text())
    module = str(path.relative_to(package).with_suffix("")).replace("/", ".")
    indexes = {
        n.slice.id  # type: ignore[attr-defined]
        for n in ast.walk(tree)
        if isinstance(n, ast.Subscript) and is_constant_name(n.slice)
    }
    for function in core_functions(tree):
        nodes = list(ast.walk(function))
        names = {n.id for n in nodes if is_constant_name(n)}  # type: ignore[attr-defined]
        tests = {id(n.test) for n in nodes if isinstance(n, ast.If | ast.While | ast.IfExp)}
        index_nodes = {id(n.slice) for n in nodes if isinstance(n, ast.Subscript)}
        parents = {id(child): node for node in nodes for child in ast.iter_child_nodes(node)}
        skipped = {id(n) for d in function.decorator_list for n in ast.walk(d)}
        if function.name in unread:
            skipped |= {id(n.value) for n in nodes if isinstance(n, ast.Return)}
        if ast.get_docstring(function):
            skipped |= {id(n) for n in ast.walk(function.body[0])}
        for place, node in enumerate(nodes):
            if node is function or id(node) in skipped or not hasattr(node, "lineno"):
                continue
            statement = node
            while not isinstance(statement, ast.stmt):
                statement = parents[id(statement)]
            fields = sorted(indexes & names if id(node) in index_nodes else names - indexes)
            choices = changes(node, fields, id(node) in tests)
            where = text(statement) if choices else ""
            if where in ("return", "continue", "break"):
                where = f"{text(parents[id(statement)])}: {where}"
            for kind, other in choices:
                change = describe(node, kind, other)
                yield Mutant(module, function.name, node.lineno, place, kind, other, where, change)


@functools.cache
def all_mutants(folders: tuple[str, ...]) -> list[Mutant]:
    package = ROOT / "pyvirt_edu"
    files = [p for folder in folders for p in sorted((package / folder).glob("*.py"))]
    unread = unread_results([ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))])
    return [m for path in files for m in mutants_of(path, package, unread)]


def draw(count: int, seed: int, folders: tuple[str, ...]) -> list[Mutant]:
    """Mutants, every line of machine code being as likely as every other."""
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for mutant in all_mutants(folders):
        by_line.setdefault((mutant.module, mutant.line), []).append(mutant)
    rng = random.Random(seed)
    lines = list(by_line)
    chosen: dict[Mutant, None] = {}
    while len(chosen) < count:
        at_line = by_line[rng.choice(lines)]
        kind = rng.choice(sorted({m.kind for m in at_line}))  # many names must not drown the rest
        mutant = rng.choice([m for m in at_line if m.kind == kind])
        chosen[mutant] = None
    return list(chosen)


SWITCH = '''"""Which mutant this process is."""

import ctypes
import mmap

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import core

PLACE = 0x10_0000_0000  # a page of our own, where nothing else is mapped
_map = ctypes.CDLL(None, use_errno=True).mmap
_map.restype = ctypes.c_void_p
_map.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
FIXED_NOREPLACE = 0x100000
if _map(PLACE, 4096, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | FIXED_NOREPLACE, -1, 0) != PLACE:
    raise OSError("no room for the number of the mutant")


@intrinsic
def _number(typing):
    def generate(context, builder, signature, arguments):
        word = ir.IntType(64)
        return builder.load(ir.Constant(word, PLACE).inttoptr(word.as_pointer()))

    return types.uint64(), generate


@core
def _mutant():
    return _number()
'''


def _guard(number: int, op: ast.cmpop) -> ast.expr:
    return ast.Compare(ast.Call(ast.Name("_mutant", ast.Load()), [], []), [op], [ast.Constant(number)])


class _Plant(ast.NodeTransformer):
    """Put mutants in their places, inner nodes first."""

    def __init__(self, at: dict[int, list[tuple[int, Mutant]]]) -> None:
        self.at = at  # id of a node -> what goes wrong there

    def visit(self, node: ast.AST) -> ast.AST:
        plans = self.at.get(id(node), [])
        originals = [(number, m, mutated(node, m.kind, m.other)) for number, m in plans]
        result: ast.AST = self.generic_visit(node)
        for number, mutant, wrong in originals:
            if isinstance(result, ast.stmt) and mutant.kind == "statement":
                result = ast.If(_guard(number, ast.NotEq()), [result], [])
            elif isinstance(result, ast.stmt):
                result = ast.If(_guard(number, ast.Eq()), [wrong], [result])  # type: ignore[list-item]
            else:
                result = ast.IfExp(_guard(number, ast.Eq()), wrong, result)  # type: ignore[arg-type]
        return result


def plant(numbered: dict[int, Mutant], folder: Path) -> None:
    """Make a copy of package and tests whose core holds all these mutants."""
    shutil.rmtree(folder, ignore_errors=True)
    copy_tests(folder)
    package = folder / "pyvirt_edu"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pyvirt_edu", package, ignore=ignore)
    (package / "machine" / "mutant_switch.py").write_text(SWITCH)
    by_module: dict[str, list[tuple[int, Mutant]]] = {}
    for number, mutant in numbered.items():
        by_module.setdefault(mutant.module, []).append((number, mutant))
    for module, items in by_module.items():
        path = package / (module.replace(".", "/") + ".py")
        tree = ast.parse(path.read_text())
        at: dict[int, list[tuple[int, Mutant]]] = {}
        for function in core_functions(tree):
            nodes = list(ast.walk(function))
            for number, mutant in items:
                if mutant.function == function.name:
                    at.setdefault(id(nodes[mutant.node]), []).append((number, mutant))
        tree = _Plant(at).visit(tree)
        start = next(i for i, n in enumerate(tree.body) if isinstance(n, ast.ImportFrom) and n.level)
        tree.body.insert(start, ast.parse("from pyvirt_edu.machine.mutant_switch import _mutant").body[0])
        path.write_text(ast.unparse(ast.fix_missing_locations(tree)) + "\n")


def copy_tests(folder: Path) -> None:
    """The tests as they are now, beside the package."""
    shutil.rmtree(folder / "tests", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "mutants"))
    shutil.copy(ROOT / "pyproject.toml", folder)
