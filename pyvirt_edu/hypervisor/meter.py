"""What a hypervisor written in Python costs.

A handler in Python takes no simulated time by itself. So it works through the primitives
below, each of which charges the machine's clock a price of the `CostModel`, and every exit
ends up in a ledger with the cycles it really took: from the first cycle of the gate that led
to ring 0 to the last of the IRET that led back. Nobody picks a price for an exit.
"""

from __future__ import annotations

import html
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from ..machine.bare_machine import BareMachine
from ..machine.costs import CostModel
from ..machine.decode.instruction_decoder import decode
from ..machine.errors import AddressError

WORD = 4
TIMELINE_ROOM = 100_000  # records; what comes later is counted only


def primitive_prices(costs: CostModel) -> dict[str, int]:
    """Cycles of each primitive, from the prices of the instructions a compiler would make of it."""
    return {
        "decision": costs.simple + costs.branch,  # compare and jump
        "memory read": costs.load,
        "memory write": costs.store,
        "descriptor write": 2 * costs.store,  # eight bytes
        "page-table read": costs.load,
        "page-table write": costs.store,
        "TLB flush": costs.control + costs.flush,  # MOV to CR3
        "INVLPG": costs.flush,
        "port access": costs.port,
    }


def hardware_prices(costs: CostModel) -> dict[str, int]:
    """Cycles of what the processor does by itself around a handler."""
    return {"exception entry": costs.exception, "INT entry": costs.gate, "IRET": costs.iret}


@dataclass
class Account:
    """What the exits of one reason took."""

    reason: str = ""
    exits: int = 0
    cycles: int = 0
    primitives: Counter[str] = field(default_factory=Counter)
    hardware: Counter[str] = field(default_factory=Counter)  # entries and returns, by `hardware_prices`


@dataclass(frozen=True)
class ExitRecord:
    """One exit, on the machine's clock. ``eip``: where the guest was."""

    reason: str
    start: int
    end: int
    eip: int
    idle: int = 0  # cycles of it in which the processor was halted


class Meter:
    """Counts and charges what a hypervisor does to a machine.

    >>> with meter.exit() as account:
    ...     meter.decide()
    ...     account.reason = "#GP cli"
    """

    def __init__(self, machine: BareMachine) -> None:
        self.machine = machine
        self.prices = primitive_prices(machine.costs)
        self.accounts: dict[str, Account] = {}
        self.timeline: list[ExitRecord] = []
        self.dropped = 0  # exits that the timeline had no room for
        self._current = Account()
        self._owed = 0  # cycles not charged yet

    def settle(self) -> None:
        """Charge what is owed."""
        self.machine.charge(self._owed)
        self._owed = 0

    def spend(self, primitive: str, times: int = 1) -> None:
        """Count a primitive; its price is charged when the exit ends."""
        self._current.primitives[primitive] += times
        self._owed += self.prices[primitive] * times

    def decide(self, steps: int = 1) -> None:
        """So many comparisons that lead to a decision."""
        self.spend("decision", steps)

    def read(self, linear: int, size: int = WORD) -> int:
        """A number from memory, 4 bytes an access."""
        self.spend("memory read", -(-size // WORD))
        return int.from_bytes(self.machine.read_linear(linear, size), "little")

    def write(self, linear: int, value: int, size: int = WORD) -> None:
        self.spend("memory write", -(-size // WORD))
        self.machine.write_linear(linear, value.to_bytes(size, "little"))

    def port_in(self, port: int, size: int = 1) -> int:
        self._current.primitives["port access"] += 1  # the machine charges it
        return self.machine.port_in(port, size)

    def port_out(self, port: int, value: int, size: int = 1) -> None:
        self._current.primitives["port access"] += 1
        self.machine.port_out(port, value, size)

    @contextmanager
    def exit(self, since: int | None = None, frame: int | None = None) -> Iterator[Account]:
        """Everything inside belongs to one exit, which began when the clock stood at ``since``.

        ``frame`` is the linear address of what a gate pushed: vector, error code, EIP, CS, EFLAGS.
        Name the exit before it ends: ``account.reason``.
        """
        machine = self.machine
        asleep = machine.idle_cycles  # waiting for an interrupt is nobody's work
        started = machine.cycles if since is None else since
        outer, self._current = self._current, Account()
        entry, eip, delivered = self._current, machine.cpu.eip, machine.delivered_at
        if frame is not None:
            vector, _, eip = struct.unpack("<III", machine.read_linear(frame, 12))
            entry.hardware.update((self._entry(vector, eip), "IRET"))
        try:
            yield entry
        finally:
            self.settle()
            self._current = outer
            if frame is not None and machine.delivered_at != delivered:
                entry.hardware.update(("exception entry", "IRET"))  # of the interrupt it waited for
            idle = machine.idle_cycles - asleep
            total = self.accounts.setdefault(entry.reason, Account(entry.reason))
            total.exits += 1
            total.cycles += machine.cycles - started - idle
            total.primitives.update(entry.primitives)
            total.hardware.update(entry.hardware)
            if len(self.timeline) < TIMELINE_ROOM:
                self.timeline.append(ExitRecord(entry.reason, started, machine.cycles, eip, idle))
            else:
                self.dropped += 1

    def _entry(self, vector: int, eip: int) -> str:
        """How the processor came here: an INT stands before the EIP that it pushes."""
        for length in (1, 2):
            with suppress(AddressError):
                i = decode(self.machine.read_linear(eip - length & 0xFFFF_FFFF, length))
                if i and i.vector == vector:
                    return "INT entry"
        return "exception entry"

    @property
    def exits(self) -> int:
        return sum(account.exits for account in self.accounts.values())

    @property
    def cycles(self) -> int:
        return sum(account.cycles for account in self.accounts.values())

    def primitives(self) -> Counter[str]:
        """All accounts together."""
        total: Counter[str] = Counter()
        for account in self.accounts.values():
            total.update(account.primitives)
        return total

    def rows(self) -> list[tuple[str, int, int, int]]:
        """Reason, exits, cycles, cycles an exit: the dearest first."""
        items = sorted(self.accounts.items(), key=lambda item: (-item[1].cycles, item[0]))
        return [(reason, a.exits, a.cycles, round(a.cycles / a.exits)) for reason, a in items]

    def __repr__(self) -> str:
        head = f"{'exit':<24}{'times':>8}{'cycles':>12}{'each':>8}"
        lines = [f"{r:<24}{n:>8,}{c:>12,}{e:>8,}" for r, n, c, e in self.rows()]
        return "\n".join([head, *lines, f"{'total':<24}{self.exits:>8,}{self.cycles:>12,}"])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><td style='text-align:left'>{html.escape(reason)}</td>"
            f"<td>{times:,}</td><td>{cycles:,}</td><td>{each:,}</td></tr>"
            for reason, times, cycles, each in self.rows()
        )
        head = "<tr><th>exit</th><th>times</th><th>cycles</th><th>each</th></tr>"
        total = f"<tr><th>total</th><th>{self.exits:,}</th><th>{self.cycles:,}</th><th></th></tr>"
        return f"<table>{head}{body}{total}</table>"
