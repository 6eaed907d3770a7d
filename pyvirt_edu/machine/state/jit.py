"""From Python functions to machine code that is compiled once and kept.

Two decorators make the core:

``@core``
    A function of the processor. It is Numba code with one twist: every integer literal and
    every integer constant in it is an unsigned 64-bit number. Numba turns ``uint64 + int64``
    into a float; with no signed numbers about, that cannot happen, and the code can say
    ``eflags & IF`` rather than ``np.uint64(eflags) & np.uint64(0x200)``.

``@unit``
    An entry point with the signature ``uint64 f(uint64 machine, a, b, c)``. Units call each
    other through pointers in the machine's handle, so each is compiled, cached and
    recompiled on its own. `entry_points` returns their addresses, from the cache if it can.
"""

from __future__ import annotations

import ast
import ctypes
import functools
import hashlib
import importlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

import pyvirt_edu

from .code_digest import CodeDigest, definition, sources_digest

PACKAGE = Path(pyvirt_edu.__file__).resolve().parent
#: Functions of the core live here and nowhere else; a test looks.
CORE_FOLDERS = ("machine", "devices")
SIGNATURE = "uint64(uint64,uint64,uint64,uint64)"
ENTRY_TYPE = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)

#: With PYVIRT_CHECKED=1 every array access of the core is bounds-checked (slow; for fuzzing).
CHECKED = os.environ.get("PYVIRT_CHECKED", "") == "1"

#: Set in the processes that only compile units: nobody there calls a function from Python.
UNITS_ONLY = os.environ.get("PYVIRT_UNITS_ONLY", "") == "1"


class Unit(NamedTuple):
    """Where a unit is defined, and its slot in the handle."""

    module: str  #: in the package
    slot: int
    slow: bool  #: takes long to compile, so it starts first


#: Units by name. The core calls by slot; only this table, like a linker's, knows names.
UNITS: dict[str, Unit] = {}


def register(name: str, module: str, slot: int, slow: bool = False) -> int:
    """Say that a unit fills a slot; returns the slot. Who owns a unit registers it."""
    assert all(unit.slot != slot for unit in UNITS.values()), f"slot {slot} is taken"
    UNITS[name] = Unit(module, slot, slow)
    return slot


UNIT_RUN = register("run", "machine.execute.loop", 0, slow=True)
UNIT_FIND_BLOCK = register("find_block", "machine.decode.blocks", 1, slow=True)
UNIT_LOAD_SLOW = register("load_slow", "machine.memory.slow_path", 2)
UNIT_STORE_SLOW = register("store_slow", "machine.memory.slow_path", 3)
UNIT_DELIVER = register("deliver", "machine.protection.interrupts", 4)
register("assist_system", "machine.execute.system", 5, slow=True)
register("assist_transfer", "machine.protection.transfers", 6, slow=True)
register("assist_string", "machine.execute.strings", 7)
register("assist_arithmetic", "machine.execute.arithmetic", 8)
UNIT_HOST_ACCESS = register("host_access", "machine.memory.hostaccess", 9)
UNIT_SWITCH_TASK = register("switch_task", "machine.protection.tasks", 10)
register("assist_x87", "machine.x87.instructions", 11, slow=True)
UNIT_X87_SERIES = register("x87_series", "machine.x87.transcendental", 12)
#: Left to the platform around the processor: what answers for devices, and room for its own.
UNIT_DEVICES, UNIT_PLATFORM = 13, 14


class _Unsigned(ast.NodeTransformer):
    """Wrap integer literals and the module's integer constants in np.uint64."""

    def __init__(self, function: FunctionType) -> None:
        self.constants = function.__globals__
        self.locals = set(function.__code__.co_varnames)

    def _wrap(self, node: ast.expr, value: int) -> ast.expr:
        call = ast.Call(ast.Name("_uint64", ast.Load()), [ast.Constant(value)], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self._wrap(node, node.value) if type(node.value) is int else node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.constants.get(node.id)
        if isinstance(node.ctx, ast.Load) and type(value) is int and node.id not in self.locals:
            return self._wrap(node, value)
        return node


def _unsigned(function: FunctionType) -> FunctionType:
    tree = ast.Module([_Unsigned(function).visit(definition(function))], [])
    space: dict[str, Any] = {}
    function.__globals__["_uint64"] = np.uint64
    exec(compile(tree, function.__code__.co_filename, "exec"), function.__globals__, space)
    return space[function.__name__]


def _core(function: Callable[..., Any], flavour: str, **options: Any) -> Callable[..., Any]:
    from numba import njit

    if UNITS_ONLY:
        options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    made = njit(error_model="numpy", boundscheck=CHECKED, _nrt=False, **options)(_unsigned(function))  # type: ignore[arg-type]
    made.core_source, made.core_flavour = function, flavour
    return made  # type: ignore[no-any-return]


def core(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of the processor (see the module's docstring)."""
    return _core(function, "")


def core_hot(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `core`, and inlined by LLVM at every call: for what runs often and has few callers."""
    return _core(function, "hot", forceinline=True)


def core_inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `core`, and inlined by Numba itself: for what returns arrays."""
    return _core(function, "inlined", inline="always")


def in_python(function: Any) -> Callable[..., Any]:
    """What a function of the core was made of. It takes Python's numbers, if it calls no other."""
    return function.core_source  # type: ignore[no-any-return]


def unit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a unit; it is compiled by `entry_points`, not at import."""
    function.is_unit = True  # type: ignore[attr-defined]
    return function


# --- the cache -------------------------------------------------------------------------


def _platform_key() -> str:
    import llvmlite
    import llvmlite.binding as llvm
    import numba

    name = numba.config.CPU_NAME or llvm.get_host_cpu_name()
    features = numba.config.CPU_FEATURES
    if features is None:
        features = "" if numba.config.CPU_NAME else llvm.get_host_cpu_features().flatten()
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    return "|".join((*versions, sys.platform, name, features, str(CHECKED)))


def cache_directories() -> list[Path]:
    """Where compiled units are looked for; the first is where new ones are written.

    PYVIRT_CACHE_DIR names the first, PYVIRT_SHARED_CACHE a read-only second one.
    """
    own = os.environ.get("PYVIRT_CACHE_DIR")
    if own:
        first = Path(own)
    else:
        import platformdirs

        first = Path(platformdirs.user_cache_dir("pyvirt_edu", appauthor=False)) / "jit"
    shared = os.environ.get("PYVIRT_SHARED_CACHE")
    return [first] + ([Path(shared)] if shared else [])


def _function(name: str) -> FunctionType:
    return getattr(importlib.import_module(unit_module(name)), name)  # type: ignore[no-any-return]


def unit_module(name: str) -> str:
    """The module that defines a unit."""
    return f"pyvirt_edu.{UNITS[name].module}"


def unit_digests() -> dict[str, str]:
    """What the machine code of each unit depends on: its functions, Numba, the processor."""
    return _unit_digests(tuple(UNITS))


@functools.cache
def _unit_digests(names: tuple[str, ...]) -> dict[str, str]:
    key = f"{_platform_key()}|{sorted(UNITS.items())}"
    sources = sources_digest(PACKAGE, CORE_FOLDERS, key)
    file = f"index-{sources}.json"
    for directory in cache_directories():
        try:
            return json.loads((directory / file).read_text())  # type: ignore[no-any-return]
        except (OSError, ValueError):
            continue
    digest = CodeDigest()
    made = f"{key}|{digest.of(_unsigned)}|{digest.of(_core)}|{digest.of(_compile)}"
    digests = {
        name: hashlib.sha256(f"{made}|{digest.of(_function(name))}".encode()).hexdigest()[:24]
        for name in names
    }
    _keep(file, json.dumps(digests).encode())
    return digests


def _keep(file: str, data: bytes) -> None:
    """Write a file of the cache, whole or not at all."""
    directory = cache_directories()[0]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as part:
            part.write(data)
        os.replace(part.name, directory / file)
    except OSError as error:
        print(f"pyvirt_edu: cannot keep compiled code in {directory}: {error}", file=sys.stderr)


class CompiledUnit(NamedTuple):
    """What the cache keeps of a unit."""

    code: Any  # as Numba serializes it
    symbol: str
    seconds: float  # of the processor, to compile it


def _load(name: str, digest: str) -> CompiledUnit | None:
    for directory in cache_directories():
        try:
            data = (directory / f"{name}-{digest}.unit").read_bytes()
        except OSError:
            continue
        check, body = data[:32], data[32:]
        if hashlib.sha256(body).digest() == check:  # a torn or foreign file is compiled anew
            return CompiledUnit(*pickle.loads(body))
    return None


def _store(name: str, digest: str, item: CompiledUnit) -> None:
    body = pickle.dumps(tuple(item))  # plain: this module may be __main__
    _keep(f"{name}-{digest}.unit", hashlib.sha256(body).digest() + body)
    month_ago = time.time() - 30 * 86400
    for old in cache_directories()[0].glob(f"{name}-*.unit"):
        if old.stat().st_mtime < month_ago:
            old.unlink(missing_ok=True)


def _compile(function: FunctionType) -> CompiledUnit:
    from numba import cfunc

    start = time.process_time()
    compiled = cfunc(SIGNATURE, error_model="numpy", boundscheck=CHECKED, _nrt=False)(_unsigned(function))
    code = compiled._library.serialize_using_object_code()
    return CompiledUnit(code, compiled._wrapper_name, time.process_time() - start)


def compile_unit(name: str) -> CompiledUnit:
    """Compile one unit now and keep it."""
    return _compile_and_keep(*_order(name))


def _order(name: str) -> tuple[str, str, str]:
    """All that compiling a unit takes: a process that only does that knows no registry."""
    return name, unit_module(name), unit_digests()[name]


def _compile_and_keep(name: str, module: str, digest: str) -> CompiledUnit:
    item = _compile(getattr(importlib.import_module(module), name))
    _store(name, digest, item)
    return item


def compile_seconds() -> dict[str, float]:
    """What each unit in the cache took to compile, in seconds of the processor."""
    items = {name: _load(name, digest) for name, digest in unit_digests().items()}
    return {name: item.seconds for name, item in items.items() if item}


_libraries: dict[str, Any] = {}  # keeps the code alive
_addresses: dict[str, int] = {}


def _address(name: str, item: CompiledUnit) -> int:
    from numba.core.registry import cpu_target

    library = cpu_target.target_context.codegen().unserialize_library(item.code)
    _libraries[name] = library
    return library.get_pointer_to_function(item.symbol)


def missing_units() -> list[str]:
    """Units that are not in the cache, the slow ones first."""
    digests = unit_digests()
    names = [n for n in UNITS if n not in _addresses and _load(n, digests[n]) is None]
    return sorted(names, key=lambda n: not UNITS[n].slow)


def compile_missing(progress: Callable[[int, int, str], None] | None = None) -> None:
    """Compile all units that the cache lacks, in as many processes as there are cores.

    ``progress(done, total, name)`` is called before the first and after each.
    """
    names = missing_units()
    if not names:
        return
    total, done = len(names), 0
    if progress:
        progress(0, total, names[0])
    if len(names) == 1:
        _addresses[names[0]] = _address(names[0], compile_unit(names[0]))
        if progress:
            progress(1, 1, names[0])
        return
    running: dict[str, subprocess.Popen[bytes]] = {}
    queue, failed = list(names), []
    paths = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYVIRT_UNITS_ONLY": "1"}
    while queue or running:
        while queue and len(running) < max(1, os.cpu_count() or 1):
            name = queue.pop(0)
            command = [sys.executable, "-m", __name__, *_order(name)]
            running[name] = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        for name, process in list(running.items()):
            try:
                errors = process.communicate(timeout=0.05)[1]
            except subprocess.TimeoutExpired:
                continue
            del running[name]
            if process.returncode:
                failed.append((name, errors.decode(errors="replace")))
            done += 1
            if progress:
                progress(done, total, name)
    if failed:
        text = "\n".join(f"--- {name}\n{errors}" for name, errors in failed)
        raise RuntimeError(f"the processor could not be compiled:\n{text}")


def entry_points(progress: Callable[[int, int, str], None] | None = None) -> dict[str, int]:
    """Addresses of all units, compiled first where the cache lacks them."""
    if len(_addresses) < len(UNITS):
        compile_missing(progress)
        for name in UNITS:
            if name not in _addresses:
                item = _load(name, unit_digests()[name])
                _addresses[name] = _address(name, item if item else compile_unit(name))
    return _addresses


if __name__ == "__main__":
    _compile_and_keep(*sys.argv[1:])
