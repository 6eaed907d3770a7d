"""A hypervisor by somebody else: a package whose modules are parts; those that it lacks are ours."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from ..machine.errors import ConfigurationError
from .parts import OURS


def load_parts(name: str) -> dict[str, Any]:
    """The parts in a package or folder: a module ``walk`` has a class ``Walk``, or the package has it."""
    found = {}
    package = _package(name)
    for part in OURS:
        kind = getattr(package, part.capitalize(), None)
        if kind is None and _has(package, part):
            module = _imported(f"{package.__name__}.{part}")
            kind = getattr(module, part.capitalize(), None)
            if kind is None:
                raise ConfigurationError(f"{module.__file__} has no class {part.capitalize()}")
        if kind is None:
            continue
        if not isinstance(kind, type):
            raise ConfigurationError(f"{name}: {part.capitalize()} is to be a class")
        if "__call__" not in {attribute for base in kind.__mro__[:-1] for attribute in vars(base)}:
            raise ConfigurationError(f"{name}: {part.capitalize()} has no method __call__")
        found[part] = kind
    return found


def whose(name: str, parts: dict[str, Any]) -> str:
    """For the reader: which parts are whose."""
    mine, ours = (", ".join(p for p in OURS if (p in parts) is there) or "none" for there in (True, False))
    return f"parts of {name}: {mine}; ours: {ours}"


def _has(package: ModuleType, part: str) -> bool:
    return any((Path(folder) / f"{part}.py").is_file() for folder in getattr(package, "__path__", ()))


def _package(name: str) -> ModuleType:
    folder = Path(name)
    if folder.is_dir():
        parent, module = str(folder.resolve().parent), folder.resolve().name
        if parent not in sys.path:
            sys.path.insert(0, parent)
        return _imported(module)
    try:
        known = importlib.util.find_spec(name) if name.replace(".", "").isidentifier() else None
    except ModuleNotFoundError:
        known = None
    if known is None:
        raise ConfigurationError(f"--on {name}: neither a technique (bare, trap), nor a package or a folder")
    return _imported(name)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        raise ConfigurationError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigurationError(
            f"{last.filename}, line {last.lineno}: {type(error).__name__}: {error}"
        ) from error
