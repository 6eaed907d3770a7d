"""What the processor pushed when it came to ring 0, and the registers as the guest left them."""

from __future__ import annotations

import struct
from operator import ne
from typing import Any

from ..machine.state.layout import PAGE, PAGE_DIRTY
from .meter import Meter

FRAME_BYTES = 28  # vector, error code, EIP, CS, EFLAGS, ESP, SS
FRAME = struct.Struct("<7I")


class Frame:
    """The guest's state at an exit: the exit record.

    ``vector`` and ``error`` say why; ``eip``, ``cs``, ``eflags``, ``esp`` and ``ss`` are read from the
    hypervisor's stack at once, and written back at the end of the exit if a handler assigned one. The
    other registers are still in the processor, as ``cpu``.
    """

    FIELDS = ("eip", "cs", "eflags", "esp", "ss")
    __slots__ = (*FIELDS, "_before", "_place", "at", "cpu", "error", "meter", "vector")

    def __init__(self, meter: Meter, at: int, place: int, vector: int | None = None) -> None:
        self.meter, self.at, self._place = meter, at, place
        self.cpu: Any = meter.machine.cpu
        meter.spend("memory read", 7)
        self._before = FRAME.unpack_from(meter.machine._ram, place)
        self.vector, self.error, self.eip, self.cs, self.eflags, self.esp, self.ss = self._before
        if vector is not None:  # an idle processor was woken: the frame is an older exit's
            self.vector, self.error = vector, 0

    def write_back(self) -> None:
        """The hypervisor's stack has no code on it, so its page needs no more than to be marked."""
        before, machine = self._before, self.meter.machine
        eip, esp = self.eip & 0xFFFF_FFFF, self.esp & 0xFFFF_FFFF
        after = (*before[:2], eip, self.cs, self.eflags, esp, self.ss)
        if after != before:
            self.meter.spend("memory write", sum(map(ne, after, before)))
            FRAME.pack_into(machine._ram, self._place, *after)
            machine._a.page_flags[self._place // PAGE] |= PAGE_DIRTY

    def __repr__(self) -> str:
        values = (self.vector, self.error, self.eip, self.cs, self.eflags, self.esp, self.ss)
        names = ("vector", "error", *self.FIELDS)
        return "<frame " + " ".join(f"{n} {v:#x}" for n, v in zip(names, values, strict=True)) + ">"

    @property
    def ring(self) -> int:
        """Where the guest was: the RPL of its CS."""
        return self.cs & 3
