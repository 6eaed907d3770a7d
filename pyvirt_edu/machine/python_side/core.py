"""The core of a machine: its arrays, and the compiled units that work on them.

Everything that a guest can see is in the arrays. What acts on them here leaves no note in the
history: it repeats what was noted before, or is no input at all. Inputs pass inputs.py.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ..exits import REASONS
from ..memory.hostaccess_ops import HOST_NOTIFY_WRITE
from ..state import jit
from ..state.arrays import Arrays
from ..state.layout import ATTENTION, CYCLES, EVENT, LEDGER
from ..state.progress import Progress

# `run` looks at its first argument only, and every argument that is not passed saves ctypes
# a good part of a microsecond; the calling conventions of our platforms allow it.
RUN_TYPE = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)


def _entry_points() -> dict[str, int]:
    if not jit.missing_units():
        return jit.entry_points()
    with Progress("compiling the processor") as progress:
        return jit.entry_points(progress)


class Core:
    """``_a``: the arrays. ``_row``, ``_c``: the processor's row, as an array and, faster for single
    words, as a memoryview. ``_call(_handle)`` runs the guest; ``_units[name]`` are the other units."""

    def __init__(self, arrays: Arrays) -> None:
        addresses = _entry_points()
        arrays.connect(addresses)
        self._a = arrays
        self._units = {name: jit.ENTRY_TYPE(address) for name, address in addresses.items()}
        self._call = RUN_TYPE(addresses["run"])
        self._host = self._units["host_access"]
        self._handle = arrays.handle.ctypes.data
        self._row = arrays.words[0]
        self._c: Any = memoryview(self._row)  # type: ignore[arg-type]
        self._ram = memoryview(arrays.ram)  # type: ignore[arg-type]
        self.ram_size = arrays.ram_size
        self._exits = [0] * len(REASONS)  # how often the core came back, by reason

    def _put(self, address: int, data: bytes) -> None:
        """Write RAM or ROM; decoded code that lay there is dropped."""
        if data:
            self._ram[address : address + len(data)] = data
            self._host(self._handle, HOST_NOTIFY_WRITE, address, len(data))

    def _core_silently(self, unit: str, words: tuple[tuple[int, int], ...], a: int, b: int, c: int) -> int:
        """Let a unit act as the guest's instruction would; returns EVENT (0: it did)."""
        row = self._c
        for offset, value in words:
            row[offset] = value
        row[EVENT] = 0
        self._units[unit](self._handle, a, b, c)
        event = int(row[EVENT])
        row[EVENT] = 0
        row[CYCLES] += row[LEDGER]
        row[LEDGER] = 0
        row[ATTENTION] = 1
        return event
