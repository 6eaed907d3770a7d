"""The PC: which ports its chips have, and what of them is Python's work.

The chips themselves are compiled (pic.py, pit.py ...; reached through bus.py). A few need the
world outside the machine: a disk its image, the serial port a console. They ask by a bit of
the processor's SERVICE word, and the machine calls `PC.service`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from ..machine.bare_machine import BareMachine
from ..machine.errors import ImageError
from ..machine.exits import Exit
from ..machine.state.layout import RIP
from .cmos import moment, switch_on
from .console import Console
from .drives import Drives
from .floppies import Floppies
from .keys import Keyboard
from .layout import (
    CLAIM_DMA,
    CLAIM_FLOPPY,
    CLAIM_IDE,
    CLAIM_KEYBOARD,
    CLAIM_PCI,
    CLAIM_PIC,
    CLAIM_PIT,
    CLAIM_RTC,
    CLAIM_SPEAKER,
    CLAIM_SYSTEM_PORTS,
    CLAIM_UART,
    CLAIM_VGA,
    OP_RESET,
    SERVICE_EXIT,
    SERVICE_RESET,
)
from .network import Network
from .roms import Board
from .screen import Screen
from .system_ports import EXIT_VALUE

#: Claim, first port, number of ports.
PORTS = (
    (CLAIM_PIC, 0x20, 2),
    (CLAIM_PIC, 0xA0, 2),
    (CLAIM_PIC, 0x4D0, 2),
    (CLAIM_PIT, 0x40, 4),
    (CLAIM_SPEAKER, 0x61, 1),
    (CLAIM_UART, 0x3F8, 8),
    (CLAIM_RTC, 0x70, 2),
    (CLAIM_KEYBOARD, 0x60, 1),
    (CLAIM_KEYBOARD, 0x64, 1),
    (CLAIM_VGA, 0x3B4, 2),
    (CLAIM_VGA, 0x3BA, 1),
    (CLAIM_VGA, 0x3C0, 16),
    (CLAIM_VGA, 0x3D4, 2),
    (CLAIM_VGA, 0x3DA, 1),
    (CLAIM_DMA, 0x00, 32),
    (CLAIM_SYSTEM_PORTS, 0x80, 1),
    (CLAIM_DMA, 0x81, 15),
    (CLAIM_SYSTEM_PORTS, 0x92, 1),
    (CLAIM_DMA, 0xC0, 32),
    (CLAIM_SYSTEM_PORTS, 0xE9, 1),
    (CLAIM_SYSTEM_PORTS, 0xF0, 1),
    (CLAIM_SYSTEM_PORTS, 0xF4, 4),
    (CLAIM_IDE, 0x1F0, 8),
    (CLAIM_IDE, 0x3F6, 1),
    (CLAIM_IDE, 0x170, 8),
    (CLAIM_IDE, 0x376, 1),
    (CLAIM_FLOPPY, 0x3F2, 4),  # as in an AT; 3F0h and 3F1h answer in a PS/2 only
    (CLAIM_FLOPPY, 0x3F7, 1),
    (CLAIM_PCI, 0xCF8, 8),
    (CLAIM_SYSTEM_PORTS, 0xCF9, 1),  # behind PCI's: a byte access there is a port of its own
)


class Service(Protocol):
    """The part of a device that Python plays."""

    #: its bits of the SERVICE word
    bits: int

    def reset(self) -> None:
        """Power on."""

    def serve(self, bits: int) -> Exit | None:
        """Do what the device asks for; an Exit ends `Machine.run`, and so does an ImageError."""

    def state(self) -> Any:
        """What a snapshot must keep: plain data."""

    def restore(self, state: Any) -> None:
        """Go back to such a state."""


class Power:
    """The ends of a run that the guest brings about: the exit port, and a reset."""

    bits = SERVICE_EXIT | SERVICE_RESET

    def __init__(self, pc: PC) -> None:
        self.pc = pc

    def reset(self) -> None:
        """There is nothing to reset."""

    def serve(self, bits: int) -> Exit:
        machine = self.pc.machine
        reason = "exit" if bits & SERVICE_EXIT else "reset"
        out = Exit(reason, machine._c[RIP], machine.instructions)
        if bits & SERVICE_EXIT:
            out.value = int(machine._a.devices[EXIT_VALUE])
        if bits & SERVICE_RESET:
            self.pc.restart()
        return out

    def state(self) -> Any:
        return None

    def restore(self, state: Any) -> None:
        """There is nothing to restore."""


class PC:
    """The standard platform of `Machine`."""

    def __init__(self, machine: BareMachine, date: str | datetime) -> None:
        self.machine = machine
        self.date = moment(date)
        self.keyboard = Keyboard(machine)
        self.screen = Screen(machine)
        self.console = Console(machine)
        self.board = Board(machine)
        self.drives = Drives(machine)
        self.floppies = Floppies(machine)
        self.network = Network(machine)
        self.services: dict[str, Service] = {
            "console": self.console,
            "board": self.board,
            "drives": self.drives,
            "floppies": self.floppies,
            "network": self.network,
            "power": Power(self),
        }
        for claim, port, count in PORTS:
            machine._a.ports[port : port + count] = claim

    def reset(self) -> None:
        self.machine._core_silently("device_access", (), OP_RESET, 0, 0)
        switch_on(self.machine, self.date)
        self.floppies.set_up()
        for service in self.services.values():
            service.reset()

    def restart(self) -> None:
        """The guest resets its PC: the processor and the chips begin anew, while RAM, the clock,
        the counts, the history and what was said on the console go on."""
        self.machine._reset_processor(in_operation=True)
        self.machine._core_silently("device_access", (), OP_RESET, 1, 0)
        for service in self.services.values():
            if service is not self.console:
                service.reset()

    def pump(self) -> None:
        """Between slices of a run: hand on what came out, and let in what waits outside."""
        self.console.pump()
        self.network.pump()

    def service(self, devices: int) -> Exit | None:
        """Let all that are asked serve, even if a disk's image fails."""
        out = problem = None
        for service in self.services.values():
            if service.bits & devices:
                try:
                    out = service.serve(service.bits & devices) or out
                except ImageError as raised:
                    problem = raised
        if problem:
            raise problem
        return out

    def state(self) -> dict[str, Any]:
        return {name: service.state() for name, service in self.services.items()}

    def restore(self, state: dict[str, Any]) -> None:
        for name, service in self.services.items():
            service.restore(state[name])

    def media(self) -> list[bytes]:
        """What the guest wrote to each disk, on the medium and in the cache."""
        return [b"" if disk is None else disk.written() for disk in self.drives.disks + self.floppies.disks]
