"""The PC: which ports its chips have, and what of them is Python's work.

The chips themselves are compiled (pic.py, pit.py ...; reached through bus.py). A few need the
world outside the machine: a disk its image, the serial port a console. They ask by a bit of
the processor's SERVICE word, and the machine calls `PC.service`.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..machine.exits import Exit
from ..machine.machine import Machine
from .layout import CLAIM_PIC, CLAIM_PIT, CLAIM_SPEAKER, OP_RESET

#: Claim, first port, number of ports.
PORTS = (
    (CLAIM_PIC, 0x20, 2),
    (CLAIM_PIC, 0xA0, 2),
    (CLAIM_PIC, 0x4D0, 2),
    (CLAIM_PIT, 0x40, 4),
    (CLAIM_SPEAKER, 0x61, 1),
)


class Service(Protocol):
    """The part of a device that Python plays."""

    #: its bits of the SERVICE word
    bits: int

    def reset(self) -> None:
        """Power on."""

    def serve(self, bits: int) -> Exit | None:
        """Do what the device asks for; an Exit ends `Machine.run`."""

    def state(self) -> Any:
        """What a snapshot must keep: plain data."""

    def restore(self, state: Any) -> None:
        """Go back to such a state."""


class PC:
    """The standard platform of `Machine`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.services: dict[str, Service] = {}
        for claim, port, count in PORTS:
            machine._a.ports[port : port + count] = claim

    def reset(self) -> None:
        self.machine._core_silently("device_access", (), OP_RESET, 0, 0)
        for service in self.services.values():
            service.reset()

    def service(self, devices: int) -> Exit | None:
        out = None
        for service in self.services.values():
            if service.bits & devices:
                out = service.serve(service.bits & devices) or out
        return out

    def state(self) -> dict[str, Any]:
        return {name: service.state() for name, service in self.services.items()}

    def restore(self, state: dict[str, Any]) -> None:
        for name, service in self.services.items():
            service.restore(state[name])
