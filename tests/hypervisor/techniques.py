"""What any hypervisor is held to, whatever its technique: `HypervisorUnderTest`.

A technique is given a guest and runs it to its end. The suite (test_every_technique.py) asks what it
printed, what is on its disk, what the ledger says and what is left of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pyvirt_edu import Machine
from pyvirt_edu.guests import sprout
from pyvirt_edu.guests.tiny import program, text_range
from pyvirt_edu.hypervisor.meter import Meter
from pyvirt_edu.hypervisor.three_ways import disk
from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate
from pyvirt_edu.hypervisor.trap_gates import MONITOR_AT, SIZE
from pyvirt_edu.machine.exits import Exit


@dataclass(frozen=True)
class Guest:
    """A kernel image, what is typed when, and lines that may differ because they tell the time."""

    name: str
    image: Callable[[], bytes]
    initrd: Callable[[], bytes] | None = None
    lines: tuple[str, ...] = ()
    ram: str = "16MiB"
    patch: tuple[int, int] = (0, 0)
    time_dependent: tuple[str, ...] = ()
    between: int = 400_000  # instructions from line to line

    def boot(self, m: Machine, keep: int) -> None:
        m.boot(self.image(), initrd=self.initrd() if self.initrd else None, disk=disk(), keep=keep)

    def play(self, m: Machine, run: Callable[[int | None], Exit]) -> Exit:
        """Type and run, to the end."""
        for line in self.lines:
            run(self.between)
            m.console.type(line)
        return run(20_000_000)

    def told(self, text: str) -> list[str]:
        """Its output without what depends on the time."""
        return [line for line in text.splitlines() if not line.startswith(self.time_dependent or ("\0",))]


SPROUT_LINES = ("ls /bin\n", "wild write\n", "cp /bin/sync /tmp/x\n", "ls /tmp\n", "forks 3\n", "poweroff\n")
GUESTS = {
    guest.name: guest
    for guest in (
        Guest("tiny2", lambda: program("tiny2"), ram="8MiB", patch=text_range(program("tiny2"))),
        Guest("sprout", sprout.image, sprout.root, ("", *SPROUT_LINES), between=1_500_000),
    )
}


class HypervisorUnderTest(Protocol):
    """A hypervisor with a guest in it, about to run."""

    machine: Machine
    meter: Meter

    def run(self, most: int | None) -> Exit: ...

    def check(self) -> None:
        """Its invariants."""

    def guest_in_ring_0(self) -> bool:
        """Whether an instruction of the guest is about to run at CPL 0."""

    def frames_left(self) -> dict[str, int] | None:
        """End it: what each owner still holds that it should not. None: it took the machine over for good."""


class TakenOver:
    """Chapter 00's monitor."""

    def __init__(self, guest: Guest, history: bool = False) -> None:
        self.machine = Machine(ram=guest.ram, history=history)
        guest.boot(self.machine, SIZE)
        self.monitor = TrapAndEmulate(self.machine, guest.patch)
        self.meter = self.monitor.meter

    def run(self, most: int | None) -> Exit:
        return self.monitor.gates.run(max_instructions=most)

    def check(self) -> None:
        self.monitor.gates.check()
        self.monitor.guest.check()
        self.monitor.guest.vm.map.check()
        self.monitor.guest.space.frames.check()

    def guest_in_ring_0(self) -> bool:
        cpu = self.machine.cpu
        return cpu.cpl == 0 and cpu.eip < MONITOR_AT

    def frames_left(self) -> None:
        return None


TECHNIQUES: dict[str, Callable[..., HypervisorUnderTest]] = {"trap and emulate": TakenOver}


@functools.cache
def bare_metal(name: str) -> tuple[list[str], list[bytes], str]:
    """What a guest prints, writes and ends with by itself."""
    guest = GUESTS[name]
    m = Machine(ram=guest.ram, history=False)
    guest.boot(m, SIZE)
    out = guest.play(m, lambda most: m.run(max_instructions=most))
    return guest.told(m.console.text), written(m), out.reason


def written(m: Any) -> list[bytes]:
    """What is on its disks."""
    return [b"" if one is None else one.written() for one in m.disks]
