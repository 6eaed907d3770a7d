"""A guest's ports, done on the machine's own devices by its monitor: good for one guest, not for two.

One thing is not the guest's to say: which vectors the interrupt controllers raise. On the real processor
those are the monitor's (an interrupt that came as vector 8 would look like a double fault), and what the
guest asked for is put in when it gets the interrupt. Invariant: the controllers' bases are ours, or they
have never been initialized and raise nothing.
"""

from __future__ import annotations

from typing import Any

from .meter import Meter
from .virtual_machine import VirtualMachine

#: Command port of each 8259A, and the first of the eight vectors that it raises (data sheet, ICW1 and ICW2).
CONTROLLERS = {0x20: 0xE0, 0xA0: 0xE8}
FIRST_VECTOR = 0xE0
INITIALIZE = 0x10  # a command with this bit is ICW1; ICW2 follows at the next port


class PassThrough:
    """From now on each port access of the guest is one of the monitor."""

    def __init__(self, vm: VirtualMachine, meter: Meter) -> None:
        self.meter = meter
        self.bases = dict.fromkeys(CONTROLLERS, 0)  # as the guest has them
        self.waiting: list[int] = []  # controllers whose next word is ICW2
        vm.on_port(0, self.read, self.write, 1 << 16)

    def read(self, port: int, size: int) -> int:
        return self.meter.port_in(port, size)

    def write(self, port: int, value: int, size: int) -> None:
        """A wide access is one of each byte's port, as the bus has it."""
        if size > 1 and any(at & ~1 in CONTROLLERS for at in range(port, port + size)):
            for i in range(size):
                self.write(port + i & 0xFFFF, value >> 8 * i & 0xFF, 1)
            return
        if port in CONTROLLERS and value & INITIALIZE:
            self.waiting.append(port)
        elif port - 1 in self.waiting:
            self.waiting.remove(port - 1)
            self.bases[port - 1], value = value & 0xF8, CONTROLLERS[port - 1]
        self.meter.port_out(port, value, size)

    def vector(self, real: int) -> int:
        """What the guest calls an interrupt that came as a real vector."""
        for port, first in CONTROLLERS.items():
            if first <= real < first + 8:
                return self.bases[port] + real - first
        return real

    def state(self) -> Any:
        return {"bases": dict(self.bases), "waiting": list(self.waiting)}

    def restore(self, state: Any) -> None:
        self.bases, self.waiting = dict(state["bases"]), list(state["waiting"])
