"""Small mistakes in the core and in hypervisors, and a copy of the package that holds them.

All mutants live in one copy. At its place each asks ``_awake(n)``, which compares n with a number
at a fixed address: so the copy is compiled once, and a process becomes any of them by a store.
The question leaves a mark, too: a run in which all sleep tells which tests reach which mutant.

A mutant can only be in what runs after it woke. In Python that leaves out the bodies of modules
and classes, decorators and default arguments. Texts, types and what prints are left alone.
"""

from __future__ import annotations

import ast
import copy
import functools
import importlib.util
import marshal
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DECORATORS = ("core", "core_hot", "core_inlined", "unit")
SHARES = {"machine": 80, "hypervisor": 20}  # of a hundred mutants
PYTHON = ("hypervisor",)  # folders in which it is Python's functions that go wrong
PRINTING = ("__repr__", "_repr_html_")
ALONE = (ast.arguments, ast.JoinedStr, ast.pattern)  # with all that is in them
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
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}

#: Mutants that change nothing that a program or a user of the machine could see: module,
#: function, the statement's first line and the change, with the reason. A test caps the list.
EQUIVALENT: dict[tuple[str, str, str, str], str] = {
    (
        "machine.protection.tasks",
        "find_tss",
        "return (0, 0)",
        "0 becomes 1",
    ): "a fault has been raised, and the caller asks for that before it looks at the descriptor",
    (
        "machine.memory.links",
        "link_slot",
        "return (linear >> 12 & 63) << 6 | (linear ^ linear >> 6) & 63",
        "12 becomes 13",
    ): "another hash: an entry names its linear address, so what collides only costs time",
    (
        "machine.memory.slow_path",
        "learn",
        "if access & USER",
        "USER becomes AC",
    ): "what ring 3 may do, ring 0 may do: its half of the table learns, and ring 3 goes the slow way",
    (
        "machine.memory.slow_path",
        "learn",
        "if c[EFLAGS] & AC and c[CR0] & CR0_AM: return",
        "left out",
    ): "while alignment is checked nobody asks the fast path, and later the entry is right",
    (
        "machine.protection.interrupts",
        "frame_present",
        "if c[EVENT]: return",
        "left out",
    ): "once there is an event the other probes do nothing",
    (
        "machine.state.handles",
        "devices",
        "return _array(word(m, H_DEVICES), DEVICE_WORDS, np.uint64)",
        "DEVICE_WORDS becomes H_DEVICES",
    ): "a view's length is looked at by checks of bounds only, which the core is compiled without",
    (
        "machine.state.handles",
        "blocks",
        "return _array(word(m, H_BLOCKS), BLOCK_ROOM, BLOCK_DTYPE)",
        "BLOCK_ROOM becomes H_BLOCKS",
    ): "likewise",
    (
        "machine.x87.formats",
        "to_bcd",
        "for i in range(18)",
        "18 becomes 19",
    ): "of a number below 10**18 the nineteenth digit is 0",
    (
        "machine.x87.formats",
        "nan_of_two",
        "first = a_head < b_head",
        "Lt becomes LtE in a_head < b_head",
    ): "where the heads are equal, so are the significands: either is the result",
    (
        "machine.x87.instructions",
        "converted",
        "return (low, 0, flags)",
        "0 becomes 1",
    ): "of these formats only the low part is written",
    (
        "machine.memory.code_pages",
        "invalidate_granules",
        "page_flags(m)[pfn] &= np.uint8(255 - PAGE_CODE)",
        "left out",
    ): "the flag says that there may be code: later stores look once more and find none",
    (
        "machine.x87.transcendental",
        "constant",
        "low = HALF_PI_LOW",
        "HALF_PI_LOW becomes LN2",
    ): "more than half and no tie, both of them: 64 bits of pi are rounded alike",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small mistake: the node'th node of a module, changed in one way."""

    module: str  # below pyvirt_edu, without .py
    function: str  # with its class
    line: int
    node: int  # in the order of ast.walk
    kind: str  # operator, constant, name, condition, case or statement
    other: str  # what it becomes, where there is a choice
    statement: str
    change: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.module, self.function, self.statement, self.change

    @property
    def folder(self) -> str:
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"{self.module}.{self.function}:{self.line} {self.statement!r}: {self.change}"


def core_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions of a module that become machine code."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names = [d.id for d in node.decorator_list if isinstance(d, ast.Name)]
            if any(name in DECORATORS for name in names):
                yield node


def python_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods of a module by their names, but for those that only print."""
    for node in tree.body:
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for item in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(item, ast.FunctionDef) and item.name not in PRINTING:
                yield owner + item.name, item


def is_constant_name(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and len(node.id) > 1
        and node.id.isupper()
    )


def is_place(node: ast.AST) -> bool:
    """Something that outlives its function can be assigned there."""
    if isinstance(node, ast.Tuple):
        return all(is_place(n) for n in node.elts)
    return isinstance(node, ast.Subscript | ast.Attribute)


def is_series(node: ast.AST) -> bool:
    """A text or a list in full, or joined to one: no other operator works there."""
    if isinstance(node, ast.BinOp):
        return is_series(node.left) or is_series(node.right)
    if isinstance(node, ast.AugAssign):
        return is_series(node.value)
    return isinstance(node, ast.JoinedStr | ast.List) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def text(node: ast.AST) -> str:
    """A node as people write it; of a compound statement, its head."""
    if isinstance(node, ast.FunctionDef):
        return f"def {node.name}"
    head = copy.copy(node)
    for part in ("body", "orelse", "finalbody", "cases"):
        if isinstance(getattr(node, part, None), list):
            setattr(head, part, [])
    return ast.unparse(head).strip().rstrip(":")


def line_of(node: ast.AST) -> int:
    """0 for what has none, like an operator."""
    return getattr(node.pattern if isinstance(node, ast.match_case) else node, "lineno", 0)


def changes(node: ast.AST, fields: list[str], is_test: bool) -> list[tuple[str, str]]:
    """What can go wrong at a node: the kind, and what it becomes."""
    found = []
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPPED:
        if not is_series(node):
            found.append(("operator", SWAPPED[type(node.op)].__name__))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
        found.append(("operator", SWAPPED[type(node.ops[0])].__name__))
    if isinstance(node, ast.Constant) and type(node.value) is int:
        found.append(("constant", str(node.value + 1)))
        if node.value:
            found.append(("constant", str(node.value - 1)))
    if isinstance(node, ast.Constant) and type(node.value) is bool and not is_test:
        found.append(("constant", str(not node.value)))
    found += [("name", name) for name in fields]
    if is_test:
        found.append(("condition", ""))
    if isinstance(node, ast.match_case):
        found.append(("case", ""))
    stored = isinstance(node, ast.Assign) and all(is_place(target) for target in node.targets)
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    left = isinstance(node, ast.Return) and node.value is None
    if stored or called or left or isinstance(node, ast.AugAssign | ast.Continue | ast.Break | ast.Raise):
        found.append(("statement", ""))
    return found


def describe(node: ast.AST, kind: str, other: str) -> str:
    if kind == "operator":
        old = node.ops[0] if isinstance(node, ast.Compare) else node.op  # type: ignore[attr-defined]
        return f"{type(old).__name__} becomes {other} in {text(node)}"
    if kind in ("constant", "name"):
        return f"{text(node)} becomes {other}"
    return {"condition": f"not ({text(node)})", "case": "never taken", "statement": "left out"}[kind]


def mutated(node: ast.AST, kind: str, other: str) -> ast.AST:
    """A copy of the node with the mistake in it; for a statement, nothing is left."""
    new = copy.deepcopy(node)
    if kind == "operator" and isinstance(new, ast.Compare):
        new.ops = [getattr(ast, other)()]
    elif kind == "operator":
        new.op = getattr(ast, other)()  # type: ignore[attr-defined]
    elif kind == "constant":
        new.value = ast.literal_eval(other)  # type: ignore[attr-defined]
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


def mutants_in(
    tree: ast.Module,
    module: str,
    functions: Mapping[str, ast.FunctionDef],
    unread: set[str],
    values: Mapping[str, Any],
) -> Iterator[Mutant]:
    """Every mistake that can be made in some functions of a module.

    A named number is replaced by another that the function names; ``values`` tells which they are.
    """
    places = {id(node): place for place, node in enumerate(ast.walk(tree))}
    indexes = {
        n.slice.id  # type: ignore[attr-defined]
        for n in ast.walk(tree)
        if isinstance(n, ast.Subscript) and is_constant_name(n.slice)
    }

    for name, function in functions.items():
        nodes = list(ast.walk(function))
        parents = {id(child): node for node in nodes for child in ast.iter_child_nodes(node)}
        alone: list[ast.AST | None] = [*function.decorator_list, function.returns]
        alone += [n for n in nodes if isinstance(n, ALONE)]
        alone += [n.annotation for n in nodes if isinstance(n, ast.AnnAssign)]
        if name in unread:
            alone += [n.value for n in nodes if isinstance(n, ast.Return)]
        skipped = {id(n) for root in alone if root for n in ast.walk(root)}
        nodes = [n for n in nodes if id(n) not in skipped and n is not function]
        names = {n.id for n in nodes if is_constant_name(n)}  # type: ignore[attr-defined]
        names = {name for name in names if type(values.get(name)) is int}
        tests = {id(n.test) for n in nodes if isinstance(n, ast.If | ast.While | ast.IfExp)}
        tests |= {id(n.guard) for n in nodes if isinstance(n, ast.match_case) and n.guard}
        tests |= {id(test) for n in nodes if isinstance(n, ast.comprehension) for test in n.ifs}
        index_nodes = {id(n.slice) for n in nodes if isinstance(n, ast.Subscript)}
        for node in nodes:
            if not line_of(node):
                continue
            statement = node
            while not isinstance(statement, ast.stmt | ast.match_case):
                statement = parents[id(statement)]
            fields = set[str]()
            if isinstance(node, ast.Name) and node.id in names:
                fields = indexes & names if id(node) in index_nodes else names - indexes
                fields = {other for other in fields if values[other] != values[node.id]}
            choices = changes(node, sorted(fields), id(node) in tests)
            where = text(statement) if choices else ""
            if where in ("return", "continue", "break"):
                where = f"{text(parents[id(statement)])}: {where}"
            for kind, other in choices:
                change, place = describe(node, kind, other), places[id(node)]
                yield Mutant(module, name, line_of(node), place, kind, other, where, change)


def mutants_of(path: Path, package: Path, unread: set[str]) -> Iterator[Mutant]:
    """Every mistake that can be made in a file."""
    tree = ast.parse(path.read_text())
    module = ".".join(path.relative_to(package).with_suffix("").parts)
    if module.split(".")[0] in PYTHON:
        functions, unread = dict(python_functions(tree)), set()
    else:
        functions = {f.name: f for f in core_functions(tree)}
    if functions:
        values = vars(importlib.import_module(f"pyvirt_edu.{module}"))
        yield from mutants_in(tree, module, functions, unread, values)


@functools.cache
def all_mutants(folder: str) -> list[Mutant]:
    package = ROOT / "pyvirt_edu"
    unread = unread_results([ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))])
    return [m for path in sorted((package / folder).rglob("*.py")) for m in mutants_of(path, package, unread)]


def draw(count: int, seed: int, folder: str) -> list[Mutant]:
    """Mutants of a folder, every line in which there can be one being as likely as every other."""
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for mutant in all_mutants(folder):
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


def shares(count: int, of: Mapping[str, int]) -> dict[str, int]:
    """How many mutants each folder has of so many."""
    ends = [round(count * end / sum(of.values())) for end in accumulate(of.values(), initial=0)]
    return {folder: end - start for folder, (start, end) in zip(of, pairwise(ends))}


class _Plant(ast.NodeTransformer):
    """Put mutants in their places, inner nodes first."""

    def __init__(self, at: dict[int, list[tuple[int, Mutant]]]) -> None:
        self.at = at  # id of a node -> what goes wrong there

    def visit(self, node: ast.AST) -> ast.AST:
        plans = self.at.get(id(node), [])
        originals = [(number, m, mutated(node, m.kind, m.other)) for number, m in plans]
        result: ast.AST = self.generic_visit(node)
        for number, mutant, wrong in originals:
            awake = ast.Call(ast.Name("_awake", ast.Load()), [ast.Constant(number)], [])
            asleep = ast.UnaryOp(ast.Not(), awake)
            if isinstance(result, ast.match_case):
                result.guard = ast.BoolOp(ast.And(), [asleep, result.guard]) if result.guard else asleep
            elif isinstance(result, ast.stmt) and mutant.kind == "statement":
                result = ast.If(asleep, [result], [])
            elif isinstance(result, ast.stmt):
                result = ast.If(awake, [wrong], [result])  # type: ignore[list-item]
            else:
                result = ast.IfExp(awake, wrong, result)  # type: ignore[arg-type]
            ast.copy_location(result, node)
        return result


def planted(tree: ast.Module, numbered: Mapping[int, Mutant]) -> ast.Module:
    """A module with all these mutants in it; its tree is used up."""
    nodes = list(ast.walk(tree))
    at: dict[int, list[tuple[int, Mutant]]] = {}
    for number, mutant in numbered.items():
        at.setdefault(id(nodes[mutant.node]), []).append((number, mutant))
    _Plant(at).visit(tree)
    return ast.fix_missing_locations(tree)


def plant(numbered: Mapping[int, Mutant], folder: Path) -> None:
    """Make a copy of package and tests that holds all these mutants."""
    shutil.rmtree(folder, ignore_errors=True)
    copy_tests(folder)
    package = folder / "pyvirt_edu"
    shutil.copytree(ROOT / "pyvirt_edu", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("switch.py"), package / "machine" / "mutant_switch.py")
    by_module: dict[str, dict[int, Mutant]] = {}
    for number, mutant in numbered.items():
        by_module.setdefault(mutant.module, {})[number] = mutant
    for module, items in by_module.items():
        path = package.joinpath(*module.split(".")).with_suffix(".py")
        tree = planted(ast.parse(path.read_text()), items)
        awake = "awake_in_python" if module.split(".")[0] in PYTHON else "awake"
        line = f"from pyvirt_edu.machine.mutant_switch import {awake} as _awake"
        tree.body.insert(imports_begin(tree), ast.parse(line).body[0])
        if awake == "awake":  # Numba's functions are compiled from their source
            path.write_text(ast.unparse(tree) + "\n")
        else:
            write_bytecode(ast.fix_missing_locations(tree), path)


def write_bytecode(tree: ast.Module, path: Path) -> None:
    """Let Python load this in place of a source file, which stays as it is: a chapter looks at it."""
    unchecked = (1).to_bytes(4, "little") + bytes(8)  # PEP 552: a hash that nobody compares
    target = Path(importlib.util.cache_from_source(str(path)))
    target.parent.mkdir(exist_ok=True)
    code = marshal.dumps(compile(tree, str(path), "exec"))
    target.write_bytes(importlib.util.MAGIC_NUMBER + unchecked + code)


def imports_begin(tree: ast.Module) -> int:
    """Behind the docstring and what Python wants to come first."""
    first = [isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body]
    return first.index(True) + 1 if any(first) else int(ast.get_docstring(tree) is not None)


def copy_tests(folder: Path) -> None:
    """The tests as they are now, and the notebooks that one of them executes, beside the package."""
    ignore = shutil.ignore_patterns("__pycache__", "mutants")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tests", "book"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
