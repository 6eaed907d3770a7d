"""The same kernel three ways: on bare metal, under a monitor, and changed to ask a hypervisor."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..computer import Machine
from ..guests.tiny import program, text_range
from ..guests.tiny.para import para_program
from ..machine.costs import CostModel
from ..machine.errors import MachineError
from .hypercalls import Hypercalls
from .meter import Meter
from .own_work import own_work
from .trap_and_emulate import TrapAndEmulate
from .trap_gates import SIZE, TrapGates

RAM = "8MiB"
LIMIT = 300_000  # instructions; tiny2 takes less than half of it
DISK_TEXT = "a text of thirty-two characters!"


class Hypervisor(Protocol):
    gates: TrapGates
    meter: Meter


@dataclass(frozen=True)
class Run:
    """One run to its end.

    ``cycles`` of the simulated clock are all that passed, ``idle`` those in which the processor
    was halted; ``meter`` has the exits, None on bare metal; ``own`` counts the guest's own port
    accesses, interrupts and IRETs.
    """

    name: str
    text: str
    instructions: int
    cycles: int
    idle: int
    meter: Meter | None
    own: Counter[str]

    @property
    def exits(self) -> int:
        return self.meter.exits if self.meter else 0

    @property
    def exit_cycles(self) -> int:
        return self.meter.cycles if self.meter else 0

    @property
    def busy(self) -> int:
        """All but the cycles asleep."""
        return self.cycles - self.idle

    @property
    def guest_cycles(self) -> int:
        """What the guest itself took."""
        return self.busy - self.exit_cycles


def disk() -> bytes:
    """A disk whose first sector begins with a text."""
    return DISK_TEXT.encode().ljust(1 << 20, b"\0")


def machine(image: bytes, costs: CostModel | None = None) -> Machine:
    """A PC with a disk that stands at a kernel's first instruction."""
    m = Machine(ram=RAM, costs=costs)
    m.boot(image, disk=disk(), keep=SIZE)
    return m


def measure(name: str, m: Machine, hypervisor: Hypervisor | None = None) -> Run:
    """Run a guest to its end, an instruction at a time, so that its own work is counted, too."""
    runner = hypervisor.gates if hypervisor else m
    own, out = own_work(m, lambda: runner.run(max_instructions=1), hypervisor is not None, LIMIT)
    if out.reason != "halt":
        why = hypervisor.gates.why if hypervisor else ""
        raise MachineError(f"{name}: the guest did not come to its end: {out!r} {why}")
    meter = hypervisor.meter if hypervisor else None
    return Run(name, m.console.text, m.instructions, m.cycles, m.idle_cycles, meter, own)


def bare_metal(costs: CostModel | None = None) -> Run:
    return measure("bare metal", machine(program("tiny2"), costs))


def full_virtualization(
    costs: CostModel | None = None, monitor: Callable[..., Hypervisor] = TrapAndEmulate
) -> Run:
    """tiny2 as it is, in ring 1; ``monitor`` may be a reader's own."""
    m = machine(program("tiny2"), costs)
    return measure("trap and emulate", m, monitor(m, text_range(program("tiny2"))))


def para_virtualization(
    costs: CostModel | None = None, hypervisor: Callable[..., Hypervisor] = Hypercalls
) -> Run:
    """tiny2 with a few lines changed."""
    m = machine(para_program(), costs)
    return measure("hypercalls", m, hypervisor(m))


class Runs(list[Run]):
    """Runs side by side."""

    def rows(self) -> list[tuple[str, ...]]:
        head = ("", *(run.name for run in self))
        body = (
            ("exits", [run.exits for run in self]),
            ("cycles in exits", [run.exit_cycles for run in self]),
            ("cycles of the guest itself", [run.guest_cycles for run in self]),
            ("cycles busy", [run.busy for run in self]),
            ("cycles asleep", [run.idle for run in self]),
            ("cycles in all", [run.cycles for run in self]),
            ("instructions", [run.instructions for run in self]),
        )
        return [head, *((name, *(f"{n:,}" for n in numbers)) for name, numbers in body)]

    def __repr__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join(
            "  ".join(
                c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )

    def _repr_html_(self) -> str:
        head, *body = self.rows()
        cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
        lines = "".join(
            f"<tr><th style='text-align:left'>{row[0]}</th>"
            + "".join(f"<td style='text-align:right'>{c}</td>" for c in row[1:])
            + "</tr>"
            for row in body
        )
        return f"<table><tr>{cells}</tr>{lines}</table>"


def compare(costs: CostModel | None = None) -> Runs:
    """tiny2 all three ways. The outputs are equal, or this raises."""
    runs = Runs([bare_metal(costs), full_virtualization(costs), para_virtualization(costs)])
    for run in runs:
        if run.text != runs[0].text:
            raise MachineError(f"{run.name} printed something else than {runs[0].name}:\n{run.text}")
    return runs
