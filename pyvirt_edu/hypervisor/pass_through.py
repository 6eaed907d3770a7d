"""A guest's ports, done on the machine's own devices by its monitor: good for one guest, not for two.

Two things are not the guest's to say. Which vectors the interrupt controllers raise: on the real processor
those are the monitor's (an interrupt that came as vector 8 would look like a double fault), and what the
guest asked for is put in when it gets the interrupt. And the gate at address line 20, which would move the
monitor's own memory: the guest's is its virtual processor's.

Invariant: the controllers' bases are ours, or they have never been initialized and raise nothing; the
machine's gate is open.
"""

from __future__ import annotations

from typing import Any

from .meter import Meter
from .virtual_machine import VirtualMachine

#: Command port of each 8259A, and the first of the eight vectors that it raises (data sheet, ICW1 and ICW2).
CONTROLLERS = {0x20: 0xE0, 0xA0: 0xE8}
FIRST_VECTOR = 0xE0
INITIALIZE = 0x10  # a command with this bit is ICW1; ICW2 follows at the next port
FAST_A20, A20_BIT = (
    0x92,
    2,
)  # system control port A; the bit is the same in the keyboard controller's output port
KEYBOARD_DATA, KEYBOARD_COMMAND, WRITE_OUTPUT_PORT, READ_OUTPUT_PORT = 0x60, 0x64, 0xD1, 0xD0
LONE_PORTS = 0x100  # below are chips that take bytes
GATE_COMMANDS = (0xDD, 0xDF)  # close and open it


class PassThrough:
    """From now on each port access of the guest is one of the monitor."""

    def __init__(self, vm: VirtualMachine, meter: Meter) -> None:
        self.meter = meter
        self.bases = dict.fromkeys(CONTROLLERS, 0)  # as the guest has them
        self.waiting: list[int] = []  # controllers whose next word is ICW2
        self.vm, self.last_command = vm, 0  # of the keyboard controller
        vm.on_port(0, self.read, self.write, 1 << 16)

    def read(self, port: int, size: int) -> int:
        value = self.meter.port_in(port, size)
        if port == FAST_A20 or port == KEYBOARD_DATA and self.last_command == READ_OUTPUT_PORT:
            value = value & ~A20_BIT | A20_BIT * self.vm.a20
        return value

    def write(self, port: int, value: int, size: int) -> None:
        """A wide access is one of each byte's port, as the bus has it."""
        if size > 1 and port < LONE_PORTS:
            for i in range(size):
                self.write(port + i & 0xFFFF, value >> 8 * i & 0xFF, 1)
            return
        if port in CONTROLLERS and value & INITIALIZE:
            self.waiting.append(port)
        elif port - 1 in self.waiting:
            self.waiting.remove(port - 1)
            self.bases[port - 1], value = value & 0xF8, CONTROLLERS[port - 1]
        elif port == KEYBOARD_COMMAND:
            self.last_command = value
            if value in GATE_COMMANDS:
                self.vm.a20 = value == GATE_COMMANDS[1]
                return
        elif port == FAST_A20 or port == KEYBOARD_DATA and self.last_command == WRITE_OUTPUT_PORT:
            self.vm.a20 = bool(value & A20_BIT)
            value |= A20_BIT
        if port == KEYBOARD_DATA:
            self.last_command = 0
        self.meter.port_out(port, value, size)

    def vector(self, real: int) -> int:
        """What the guest calls an interrupt that came as a real vector."""
        for port, first in CONTROLLERS.items():
            if first <= real < first + 8:
                return self.bases[port] + real - first
        return real

    def state(self) -> Any:
        return {"bases": dict(self.bases), "waiting": list(self.waiting), "last": self.last_command}

    def restore(self, state: Any) -> None:
        self.bases, self.waiting = dict(state["bases"]), list(state["waiting"])
        self.last_command = state["last"]
