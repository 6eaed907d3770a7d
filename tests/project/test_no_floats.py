"""No float in the core. Older versions of Numba turn uint64 with int64 into float64, newer ones
into int64, and say nothing; from 2**53 on such a float is wrong."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyvirt_edu
from pyvirt_edu.machine.state import jit

PACKAGE = Path(pyvirt_edu.__file__).parent
DECORATORS = {"core", "core_hot", "core_inlined", "unit"}
#: Modules that may compute with floats. Not even the x87's: its numbers are the same on every host.
FLOATING: set[str] = set()


def core_functions(source: str) -> Iterator[ast.FunctionDef]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            names = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
            if names & DECORATORS:
                yield node


def float_makers(function: ast.FunctionDef) -> list[str]:
    """What in a function makes a float on sight: literals, true division, powers, conversions."""
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"line {node.lineno}: {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div | ast.Pow):
            found.append(f"line {node.lineno}: {'/' if isinstance(node.op, ast.Div) else '**'}")
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name.startswith("float"):
                found.append(f"line {node.lineno}: {name}")
    return found


def core_modules(package: Path) -> dict[str, list[ast.FunctionDef]]:
    """The functions of the core, by module."""
    return {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): functions
        for path in sorted(package.rglob("*.py"))
        if (functions := list(core_functions(path.read_text(encoding="utf-8"))))
    }


MODULES = core_modules(PACKAGE)


def test_the_core_is_found() -> None:
    """What the decorators made is what the search finds: no decorator of the core is forgotten."""
    made = set()
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in jit.CORE_FOLDERS:
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            for value in vars(importlib.import_module(name.removesuffix(".__init__"))).values():
                function = value if hasattr(value, "is_unit") else getattr(value, "core_source", None)
                made_from_rows = function is not None and function.__code__.co_filename.startswith("<")
                if function is not None and not made_from_rows:  # those are calls, and nothing else
                    made.add((function.__module__, function.__name__))
    assert made == {(module, function.name) for module in MODULES for function in MODULES[module]}


def test_the_core_lives_where_its_digest_looks() -> None:
    assert {module.split(".")[1] for module in MODULES} == set(jit.CORE_FOLDERS)


def test_sub_folders_are_searched(tmp_path: Path) -> None:
    room = tmp_path / "pyvirt_edu" / "machine" / "room"
    room.mkdir(parents=True)
    (room / "part.py").write_text("@core_hot\ndef f(m):\n    return 0.5\n", encoding="utf-8")
    found = core_modules(tmp_path / "pyvirt_edu")
    assert [float_makers(f) for f in found["pyvirt_edu.machine.room.part"]] == [["line 3: 0.5"]]


@pytest.mark.parametrize("module", sorted(MODULES.keys() - FLOATING))
def test_source_makes_no_float(module: str) -> None:
    found = {function.name: float_makers(function) for function in MODULES[module]}
    assert not {name: lines for name, lines in found.items() if lines}


def test_the_check_bites() -> None:
    source = "@core\ndef f(m, a):\n    a /= 2\n    b = 0.5\n    return a / b ** np.float64(a)\n"
    assert len(float_makers(next(core_functions(source)))) == 5


def floats(dispatcher: Any) -> list[str]:
    """Variables and values that Numba typed as floating-point, in every compiled version."""
    from numba import types

    def is_float(kind: Any) -> bool:
        parts = kind.types if isinstance(kind, types.BaseTuple) else [getattr(kind, "dtype", kind)]
        return any(isinstance(part, types.Float | types.Complex) for part in parts)

    return [
        f"{dispatcher.py_func.__module__}.{dispatcher.py_func.__name__}: {name} is {kind}"
        for result in dispatcher.overloads.values()
        for name, kind in result.type_annotation.typemap.items()
        if is_float(kind)
    ]


@pytest.mark.long
def test_numba_types_no_float() -> None:
    """Compile every unit in this process, then look at the types of all that it called."""
    from numba import njit
    from numba.core.dispatcher import Dispatcher

    found: list[str] = []
    for name in jit.UNITS:
        function = getattr(importlib.import_module(jit.unit_module(name)), name)
        found += floats(njit(jit.SIGNATURE, error_model="numpy")(jit._unsigned(function)))
    for module in MODULES.keys() - FLOATING:
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, Dispatcher):
                found += floats(value)
    assert not found, "\n".join(sorted(set(found)))


@pytest.mark.long
def test_the_types_are_looked_at() -> None:
    import numpy as np
    from numba import njit

    halved = njit("uint64(uint64)")(lambda a: np.uint64(a / np.uint64(2)))
    assert floats(halved)
