"""Look into a running sprout from outside: which process runs, and what its code is.

It reads guest memory as a debugger does, by the kernel's debugging information: `current`, and the
members of `struct process`. A hypervisor that does this calls it virtual machine introspection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...machine.time_travel.past_memory import PastMemory
from ..code_map import CodeMap, Place
from ..cpio import unpack
from ..structures import structure
from ..symbols import Symbols

if TYPE_CHECKING:
    from ...machine.bare_machine import BareMachine
    from ...machine.time_travel.tracing import Trace

HERE = Path(__file__).parent
NOBODY = "kernel"  # while it boots, before the first process
SYSTEM_CALL, FIRST_INTERRUPT = 128, 32  # vectors
BURST = 64  # a name is written byte by byte: stores nearer than this many steps are one change


class Process(NamedTuple):
    pid: int
    name: str
    directory: int  # physical address of its page directory, what CR3 holds while it runs; 0: none any more

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"


class Inspector:
    """``Inspector().processes(m)``, ``.current(m)``; and a ``guest=`` for the trace player.

    ``image`` and ``root`` are what the machine was booted with.
    """

    def __init__(
        self, image: str | Path | bytes | None = None, root: str | Path | bytes | None = None
    ) -> None:
        self._image = image or HERE / "images" / "sprout.elf"
        archive = root or HERE / "images" / "root.cpio"
        self._files = unpack(archive if isinstance(archive, bytes) else Path(archive).read_bytes())
        self.kernel = CodeMap(self._image, sources=HERE)
        self._maps: dict[str, CodeMap | None] = {}
        self.symbols = Symbols.of(self._image)
        self._function = cache(self.symbols.at)
        self._process = structure(self._image, "process")
        self._space = structure(self._image, "space")

    # --- processes ---------------------------------------------------------------------

    def processes(self, m: BareMachine) -> list[Process]:
        """All there are, in the order of the kernel's table."""
        table, slots = self.symbols.variables["processes"], self.symbols.variables["process_slots"]
        if not _mapped(m, table):
            return []
        pointers = [_word(m.read_linear, table + 4 * i) for i in range(_word(m.read_linear, slots))]
        return [self._read(m.read_linear, pointer) for pointer in pointers if pointer]

    def current(self, m: BareMachine) -> Process | None:
        """Whose turn it is: the program that runs, or on whose behalf the kernel does."""
        at = self.symbols.variables["current"]
        pointer = _word(m.read_linear, at) if _mapped(m, at) else 0
        found = self._read(m.read_linear, pointer) if pointer else None
        return found if found and found.pid else None  # number 0 is the boot itself

    def _read(self, read: Callable[[int, int], bytes], pointer: int) -> Process:
        def member(name: str) -> bytes:
            place = self._process[name]
            return read(pointer + place.offset, place.size)

        space = int.from_bytes(member("space"), "little")
        root = _word(read, space + self._space["root"].offset) if space else 0
        name = member("name").split(b"\0")[0].decode("ascii", "replace")
        return Process(int.from_bytes(member("pid"), "little"), name, root)

    # --- what the trace player asks ----------------------------------------------------

    def who(self, trace: Trace) -> list[tuple[int, str]]:
        """Rows ``(step, process)``: who runs from this step on."""
        past = trace.past
        variable = self.symbols.variables["current"]
        out: list[tuple[int, str]] = []
        step = 0
        while step < len(trace):
            until, label = self._turn(trace, past, variable, step)
            if not out or out[-1][1] != label:
                out.append((step, label))
            step = until
        return out

    def _turn(self, trace: Trace, past: PastMemory, variable: int, step: int) -> tuple[int, str]:
        """Who runs at a step, and the step at which that may change."""
        paging = trace.paging(step)
        place = past.translate(variable, paging, step)
        if place is None or not paging.cr0 >> 31:
            return min(step + BURST, len(trace)), NOBODY
        until = past.after(place, 4, step)
        pointer = past.word(place, step)
        if not pointer:
            return until, NOBODY

        def read(linear: int, size: int) -> bytes:
            return past.read_linear(linear, size, paging, step)

        name = self._process["name"]
        at = past.translate(pointer + name.offset, paging, step)
        renamed = until if at is None else past.after(at, name.size, step)
        if renamed < until:
            while (later := past.after(at or 0, name.size, renamed)) < renamed + BURST:
                renamed = later
            until = renamed
        process = self._read(read, pointer)
        return until, str(process) if process.pid else NOBODY

    def place(self, who: str, ring: int, address: int) -> Place | None:
        """What an address is, to the process that runs."""
        return self.kernel.at(address) or self._program(who.rsplit(" (", 1)[0], address)

    def _program(self, name: str, address: int) -> Place | None:
        if name not in self._maps:
            file = self._files.get(f"bin/{name}") or self._files.get(name)
            self._maps[name] = CodeMap(file.data, name, HERE) if file else None
        found = self._maps[name]
        return found.at(address) if found else None

    def why(self, trace: Trace, first: int, end: int) -> str:
        """Why the kernel was entered for a turn in ring 0: from step ``first`` to ``end``."""
        eips, _ = trace.path
        names = (self._function(int(eip)) or "" for eip in eips[first:end])
        vector = next((name for name in names if name.startswith("stub_")), "")
        if not vector:
            return ""
        number = int(vector.removeprefix("stub_"))
        if number == SYSTEM_CALL:
            return "system call " + next((name[4:] for name in names if name.startswith("sys_")), "")
        return f"interrupt {number}" if number >= FIRST_INTERRUPT else f"exception {number}"

    def text(self, file: str) -> list[str]:
        """The lines of one of sprout's sources."""
        return self.kernel.text(file)


def _word(read: Callable[[int, int], bytes], linear: int) -> int:
    return int.from_bytes(read(linear, 4), "little")


def _mapped(m: BareMachine, linear: int) -> bool:
    return bool(m.cpu.cr0 >> 31) and m.translate(linear) is not None
