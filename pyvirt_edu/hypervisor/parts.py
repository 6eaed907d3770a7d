"""The parts of a hypervisor, and the one interface through which they act.

A part reads the exit (the frame) and does everything else through a `Host`. So what it did can be
recorded, and replayed against the same part or another (`recorded`, `replayed`).
"""

from __future__ import annotations

from typing import Any

from ..machine.errors import ConfigurationError, MachineError
from ..machine.state.layout import IF, RF
from .direct_execution import DirectExecution
from .instructions import FaultingInstruction, fetch
from .trap_frame import Frame


class Host:
    """What a part can do for one guest: each of these is metered."""

    PRIMITIVES = ("decide", "get", "put", "load", "store", "interpret", "interpret_load", "fill")

    def __init__(self, guest: DirectExecution) -> None:
        self.guest, self.meter = guest, guest.meter

    def decide(self, steps: int = 1) -> None:
        self.meter.decide(steps)

    def get(self, register: str) -> int:
        """A register of the guest's processor."""
        return int(getattr(self.guest.vm.cpu, register))

    def put(self, register: str, value: int) -> None:
        setattr(self.guest.vm.cpu, register, value)

    def load(self, offset: int, size: int = 4, segment: int = 8) -> int:
        """As the guest would load it, faults and all."""
        self.meter.spend("memory read")
        return self.guest.vm.guest_load(offset, size, segment)

    def store(self, offset: int, value: int, size: int = 4, segment: int = 8) -> None:
        self.meter.spend("memory write")
        self.guest.vm.guest_store(offset, value, size, segment)

    def interpret(self) -> None:
        """Let the core do the guest's next instruction."""
        self.guest.interpret()

    def interpret_load(self) -> None:
        """The same for one that may load segments."""
        self.guest.interpret_load()

    def fill(self, frame: Frame) -> str:
        """Put in the page-table entry that was missed, as `DirectExecution.fill`."""
        return self.guest.fill(frame)


class Decode:
    def __call__(self, host: Host, frame: Frame) -> FaultingInstruction:
        return fetch(frame, host.guest.vm)


class Walk:
    def __call__(self, host: Host, frame: Frame) -> str:
        return host.fill(frame)


class Emulate:
    """Do to the virtual processor what the instruction wanted done to the real one."""

    def __call__(self, host: Host, i: FaultingInstruction) -> str:
        match [i.name, *i.operands]:
            case ["cli"] if host.get("cpl") == 0:
                host.decide(8)
                host.put("eflags", host.get("eflags") & ~(IF | RF))
                host.put("eip", host.get("eip") + i.length)
            case ["invlpg", _]:
                host.interpret()
                host.guest.flush_page(i.linear(0))
            case _:
                host.guest.hide_ring(i)
                host.interpret_load()
        return i.name


class Reflect:
    """The guest's own handler is entered: the instruction faults on its processor, too."""

    def __call__(self, host: Host, frame: Frame) -> str:
        host.interpret()
        return f"exception {frame.vector}"


OURS: dict[str, type] = {"decode": Decode, "walk": Walk, "emulate": Emulate, "reflect": Reflect}


def chosen(given: dict[str, Any] | None) -> dict[str, Any]:
    """One of each part: those given, classes or objects, and ours for the rest."""
    given = dict(given or {})
    if unknown := sorted(set(given) - set(OURS)):
        raise ConfigurationError(f"there is no part {unknown[0]!r}; the parts are {', '.join(OURS)}")
    found = {name: given.get(name, ours) for name, ours in OURS.items()}
    parts = {name: part() if isinstance(part, type) else part for name, part in found.items()}
    for name, part in parts.items():
        if not callable(part):
            raise ConfigurationError(f"the part {name!r} cannot be called: give its class a method __call__")
    return parts


class RecordingHost(Host):
    """Notes what a part did: primitive, arguments, result."""

    def __init__(self, guest: DirectExecution, notes: list[Any]) -> None:
        super().__init__(guest)
        self.notes = notes

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name not in Host.PRIMITIVES:
            return found

        def noted(*arguments: Any) -> Any:
            result = found(*arguments)
            plain = tuple(a for a in arguments if not isinstance(a, Frame))
            self.notes.append((name, plain, result))
            return result

        return noted


class ReplayHost:
    """Gives a part the results that were noted, and refuses a call that differs."""

    def __init__(self, notes: list[Any]) -> None:
        self.notes = list(notes)

    def __getattr__(self, name: str) -> Any:
        if name not in Host.PRIMITIVES:
            raise MachineError(f"a part that is replayed has primitives only, not {name}")

        def answer(*arguments: Any) -> Any:
            plain = tuple(a for a in arguments if not isinstance(a, Frame))
            expected = self.notes.pop(0) if self.notes else None
            if expected is None or expected[:2] != (name, plain):
                raise MachineError(f"the part calls {name}{plain}; recorded was {expected}")
            return expected[2]

        return answer
