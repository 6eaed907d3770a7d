"""What the processor pushed when it came to ring 0, and the registers as the guest left them."""

from __future__ import annotations

import struct

from .meter import Meter


class Frame:
    """The guest's state at an exit.

    ``eip``, ``cs``, ``eflags``, ``esp`` and ``ss`` are on the hypervisor's stack; the other
    registers are still in the processor, as ``cpu``. Reading or assigning a field of the frame
    is a memory access, and is metered.
    """

    eip: int
    cs: int
    eflags: int
    esp: int
    ss: int
    FIELDS = {"eip": 8, "cs": 12, "eflags": 16, "esp": 20, "ss": 24}

    def __init__(self, meter: Meter, at: int) -> None:
        self.meter, self.at = meter, at
        self.vector, self.error = struct.unpack("<II", meter.machine.read_linear(at, 8))
        meter.spend("memory read", 2)
        self.cpu = meter.machine.cpu

    def __getattr__(self, name: str) -> int:
        if name not in Frame.FIELDS:
            raise AttributeError(f"a frame has {', '.join(Frame.FIELDS)}; not {name}")
        return self.meter.read(self.at + Frame.FIELDS[name])

    def __setattr__(self, name: str, value: object) -> None:
        if name in Frame.FIELDS:
            self.meter.write(self.at + Frame.FIELDS[name], int(value) & 0xFFFF_FFFF)  # type: ignore[call-overload]
        else:
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        numbers = struct.unpack("<7I", self.meter.machine.read_linear(self.at, 28))
        names = ("vector", "error", "eip", "cs", "eflags", "esp", "ss")
        return "<frame " + " ".join(f"{n} {v:#x}" for n, v in zip(names, numbers, strict=True)) + ">"

    @property
    def ring(self) -> int:
        """Where the guest was: the RPL of its CS."""
        return self.cs & 3

    def push(self, *values: int) -> None:
        """Onto the guest's stack."""
        esp = self.esp
        for value in values:
            esp -= 4
            self.meter.write(esp, value & 0xFFFF_FFFF)
        self.esp = esp

    def pop(self, count: int = 1) -> list[int]:
        """So many doublewords from the guest's stack."""
        esp = self.esp
        self.esp = esp + 4 * count
        return [self.meter.read(esp + 4 * i) for i in range(count)]
