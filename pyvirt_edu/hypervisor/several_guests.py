"""A hypervisor for several unmodified guests by trap and emulate, on one machine.

Each guest has memory and devices of its own (virtual_machine.py). The machine's timer is the
hypervisor's: it interrupts a thousand times a second, and whoever runs then may have to make room.
Invariant: at most one guest is on the processor; of all others everything is in their records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..devices.pit import PIT_HZ
from ..machine.bare_machine import BareMachine
from ..machine.errors import ConfigurationError
from ..machine.exits import Exit
from ..machine.state.layout import PAGE
from .domain import Domain
from .domain_config import DomainConfig
from .frames import Frames
from .guest_fault import GuestFault
from .meter import Meter
from .parts import Host, chosen
from .silent_instructions import BREAKPOINT
from .trap_frame import Frame
from .trap_gates import IDLE, MONITOR_AT, PAUSED, STUBS, TrapGates

GP = 13
PROGRAMS = 3  # ring
FIRST_VECTOR = 0xF0  # of the machine's interrupt controllers
TICKS_A_SECOND = 1000
QUANTUM = 10  # ticks
BELOW_1_MIB = 256  # frames: the PC's hole, and what firmware uses
STRINGS = ("insb", "insw", "insd", "outsb", "outsw", "outsd")


class RoundRobin:
    """The part `schedule`: each in turn, for QUANTUM ticks."""

    def __init__(self) -> None:
        self.left = QUANTUM

    def tick(self) -> None:
        self.left -= 1

    def choose(self, names: list[str], runnable: list[str], current: str) -> str:
        """Who goes on: one of `runnable`, or "" if there is none. `names`: all guests, in their order."""
        if current in runnable and self.left > 0:
            return current
        self.left = QUANTUM
        start = names.index(current) + 1 if current in names else 0
        return next((name for name in names[start:] + names[:start] if name in runnable), "")

    def state(self) -> Any:
        return self.left

    def restore(self, state: Any) -> None:
        self.left = state


class SeveralGuests:
    """The hypervisor: `create` guests, `run` them.

    ``schedule`` decides who has the processor (RoundRobin); ``parts`` replaces parts by others (parts.py).
    """

    def __init__(
        self, machine: BareMachine, schedule: Any = None, parts: dict[str, Any] | None = None
    ) -> None:
        self.machine = machine
        self.parts = chosen(parts)
        self.host: Callable[[Domain], Host] = Host  # what parts act through
        self.gates = TrapGates(machine, self._exit)
        self.gates.faulted = self._faulted
        self.ledger: Meter = self.gates.meter
        self.frames = Frames(BELOW_1_MIB, self.gates.physical // PAGE)
        self.schedule = schedule or RoundRobin()
        self.guests: dict[str, Domain] = {}
        self.current: Domain | None = None
        self.parking = False  # whoever is on the processor is to leave it
        self._since = 0  # when the current guest got the processor
        self._program_timer()
        self.gates.start(0, 0)
        machine.cpu.eip = MONITOR_AT + STUBS + IDLE
        self.gates.halt()
        machine.cpu.esp -= 64
        machine.attach("hypervisor", self)

    def _program_timer(self) -> None:
        out = self.ledger.port_out
        for chip, wires in ((0x20, 4), (0xA0, 2)):
            out(chip, 0x11)
            out(chip + 1, FIRST_VECTOR + (8 if chip == 0xA0 else 0))
            out(chip + 1, wires)
            out(chip + 1, 1)
        out(0x21, 0xFE)  # the timer alone
        out(0xA1, 0xFF)
        divisor = PIT_HZ // TICKS_A_SECOND
        out(0x43, 0x34)
        out(0x40, divisor & 0xFF)
        out(0x40, divisor >> 8)

    # --- the protocol --------------------------------------------------------------------------

    def create(self, config: DomainConfig) -> Domain:
        """A new guest, ready to begin."""
        if config.name in self.guests:
            raise ConfigurationError(f"there is a guest {config.name!r} already; give another name")
        before = self.frames.state()
        try:
            guest = Domain(self.gates, self.frames, config, self)
        except BaseException:
            self.frames.restore(before)
            raise
        self.guests[config.name] = guest
        self.gates.stopped = False
        self.begin_history()
        return guest

    def destroy(self, guest: Domain) -> None:
        """The end of a guest; its frames are free."""
        self._own(guest)
        self._park()
        guest.give_back()
        del self.guests[guest.name]
        self.begin_history()

    def run(self, until: Callable[[], bool] | None = None, max_instructions: int | None = None) -> Exit:
        """Run until a condition holds (asked every few milliseconds), or all guests have ended."""
        if self.gates.stopped:
            return self.gates._end()
        if until is None:
            return self.machine.run(max_instructions=max_instructions)
        if until():
            return Exit("until", self.machine.cpu.eip, self.machine.instructions)
        return self.machine.run(max_instructions=max_instructions, until=lambda _: until())

    def pause(self, guest: Domain) -> None:
        self._own(guest)
        self._park()
        guest.paused = True
        self.begin_history()

    def resume(self, guest: Domain) -> None:
        self._own(guest)
        guest.paused = False
        self.gates.stopped = False
        self.begin_history()

    def save(self, guest: Domain) -> dict[str, Any]:
        """One guest, as plain data; the whole host is ``machine.snapshot()``."""
        self._own(guest)
        self._park()
        return guest.data()

    def load(self, guest: Domain, data: dict[str, Any]) -> None:
        self._own(guest)
        self._park()
        guest.load(data)
        self.gates.stopped = False
        self.begin_history()

    def _own(self, guest: Domain) -> None:
        if self.guests.get(guest.name) is not guest:
            raise ConfigurationError(f"{guest.name} is no guest of this hypervisor any more")

    def begin_history(self) -> None:
        """What came from outside cannot be repeated: `back` goes as far as here."""
        if not self.machine._in_host_call:
            self.machine._due = self.machine._history.start(None)

    def _park(self) -> None:
        """Go on until no guest is on the processor."""
        if self.current is not None:
            self.parking = True
            self.begin_history()
            self.machine.run(until=lambda _: self.current is None)
            self.parking = False

    # --- an exit -------------------------------------------------------------------------------

    def _exit(self, frame: Frame) -> str:
        guest = self.current
        if guest is not None:
            guest.take(frame)
            if frame.vector == BREAKPOINT:
                guest.before_breakpoint()
            if frame.ring == PROGRAMS and not guest.patches.places:
                guest.interrupts = True  # the IRET to there went unseen
        if frame.vector >= FIRST_VECTOR and frame.vector < FIRST_VECTOR + 16:
            self.ledger.port_out(0x20, 0x20)
            self.schedule.tick()
            name = "tick"
        elif frame.vector == PAUSED:
            name = "interpreted"
        elif guest is None:
            name = f"vector {frame.vector} while idle"
        elif frame.vector >= 32:
            guest.interpret()  # INT n from ring 3 arrives as #GP; no device has this vector
            name = "interrupt"
        else:
            name = self.respond(guest, frame)
        self._go_on(frame)
        return name

    def _faulted(self, frame: Frame, fault: GuestFault) -> None:
        """An access for a guest has failed: the fault is its own."""
        if self.current is not None:
            self.current.deliver(fault)
        self._go_on(frame)

    def respond(self, guest: Domain, frame: Frame) -> str:
        self.ledger.decide(4)
        parts, host = self.parts, self.host(guest)
        found: str = parts["walk"](host, frame)
        if found == "hidden":
            return "#PF hidden"
        with guest.patches.lifted(guest.vm, guest.vm.cpu.eip) as patched:
            if frame.vector == GP or patched:
                return parts["emulate"](host, parts["decode"](host, frame))  # type: ignore[no-any-return]
        name: str = parts["reflect"](host, frame)
        return found or name

    def _go_on(self, frame: Frame) -> None:
        """Choose who has the processor next, and put him there."""
        for _ in range(len(self.guests) + 1):
            for guest in self.guests.values():
                if not guest.end and not guest.paused:
                    self.ledger.decide(2)
                    guest.catch_up()
            names = list(self.guests)
            runnable = [] if self.parking else [n for n in names if self.guests[n].runnable]
            current = self.current.name if self.current else ""
            chosen = self.schedule.choose(names, runnable, current)
            self._switch(self.guests.get(chosen))
            if self.current is None:
                break
            state = self.current.settle()
            self._pay(self.current)
            self.current.give(frame)
            if state == "direct":
                return
            if state == "busy" and not self.current.end:
                self.gates.pause()
                return
        if not self.parking and self.guests and all(guest.end for guest in self.guests.values()):
            self.gates.stop()
        self.gates.halt()

    def _pay(self, guest: Domain) -> None:
        """What was interpreted took as long as it takes: the host's clock is not behind the guest's."""
        self.ledger.settle()
        if ahead := guest.ahead():
            self.machine.charge(ahead)

    def _switch(self, to: Domain | None) -> None:
        if to is self.current:
            return
        now = self.machine.cycles
        if self.current is not None:
            self.current.used += now - self._since
            self.current.leave()
        self.current, self._since = to, now
        if to is not None:
            to.enter()

    # --- a part of the machine's state ---------------------------------------------------------

    def check(self) -> None:
        """The invariants of all."""
        self.frames.check()
        self.gates.check()
        for guest in self.guests.values():
            guest.vm.map.check()
            guest.check()
            assert guest is self.current or not guest.shadowed, f"{guest.name} left descriptors behind"

    def state(self) -> Any:
        return {
            "guests": {name: guest.state() for name, guest in self.guests.items()},
            "current": self.current.name if self.current else "",
            "numbers": (self.parking, self._since),
            "schedule": self.schedule.state(),
            "frames": self.frames.state(),
        }

    def restore(self, state: Any) -> None:
        if set(state["guests"]) != set(self.guests):
            raise ConfigurationError(
                f"the snapshot has the guests {sorted(state['guests'])}, and here are {sorted(self.guests)}"
            )
        for name, guest in state["guests"].items():
            self.guests[name].restore_state(guest)
        self.current = self.guests.get(state["current"])
        self.parking, self._since = state["numbers"]
        self.schedule.restore(state["schedule"])
        self.frames.restore(state["frames"])
