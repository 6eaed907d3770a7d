"""What the machine code of a unit depends on, as a digest.

A unit depends on the functions it reaches and on the values of the constants they name, not
on comments, nor on the other functions of their files. So an edit recompiles the units that
execute the edited function and no other.

Finding that out means importing the whole core. The answer is therefore kept in an index,
under a digest of all its source files: a start with unchanged sources only reads those.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np


def sources_digest(package: Path, folders: Iterable[str], key: str) -> str:
    """A digest of all source files of the core, sub-folders too, and of what else the index depends on."""
    digest = hashlib.sha256(key.encode())
    for folder in folders:
        for path in sorted((package / folder).rglob("*.py")):
            source = path.read_bytes()
            digest.update(f"{path.relative_to(package).as_posix()}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()[:24]


def definition(function: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function, without decorators; line numbers as in its file."""
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef)
    node.decorator_list = []
    ast.increment_lineno(tree, first - 1)
    return node


def _text(function: FunctionType) -> str:
    node = definition(function)
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:]
    return ast.dump(node)


def _original(value: Any) -> FunctionType | None:
    """The function as its file has it, behind whatever a decorator made of it."""
    value = getattr(value, "core_source", value)  # @core
    value = getattr(value, "_defn", value)  # Numba's @intrinsic
    return value if isinstance(value, FunctionType) else None


class CodeDigest:
    """Digests of functions; shared helpers are looked at once."""

    def __init__(self) -> None:
        self._own: dict[FunctionType, tuple[str, list[FunctionType]]] = {}

    def of(self, function: Callable[..., Any]) -> str:
        """A digest of a function and of all that it reaches."""
        first = _original(function)
        assert first is not None
        seen: dict[FunctionType, str] = {}
        queue = [first]
        while queue:
            item = queue.pop()
            if item not in seen:
                seen[item], callees = self._look(item)
                queue += callees
        texts = sorted(f"{f.__module__}.{f.__qualname__} {text}" for f, text in seen.items())
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]

    def _look(self, function: FunctionType) -> tuple[str, list[FunctionType]]:
        """Its text with the values of the globals it names, and the functions among them."""
        if function in self._own:
            return self._own[function]
        callees: list[FunctionType] = []
        parts = [_text(function), repr([c.cell_contents for c in function.__closure__ or ()])]
        names = {n.id for n in ast.walk(definition(function)) if isinstance(n, ast.Name)}
        for name in sorted(names & function.__globals__.keys()):
            value = function.__globals__[name]
            callee = _original(value)
            if callee is not None and callee.__module__.startswith("pyvirt_edu."):
                callees.append(callee)
                parts.append(f"{name}: {getattr(value, 'core_flavour', '')} {callee.__module__}")
            elif isinstance(value, ModuleType):
                if value.__name__.startswith("pyvirt_edu."):
                    raise TypeError(
                        f"{function.__qualname__} names the module {name}; import what it needs from it"
                    )
            elif isinstance(value, np.ndarray):
                parts.append(f"{name} = {value.dtype} {value.tobytes().hex()}")
            elif isinstance(value, (int, str, np.dtype)):
                parts.append(f"{name} = {value!r} {getattr(value, 'itemsize', '')}")
        self._own[function] = "\n".join(parts), callees
        return self._own[function]
