"""What a hypervisor written in Python costs.

A handler in Python takes no simulated time by itself. So it works through the primitives
below, each of which charges the machine's clock a price of the `CostModel`, and every exit
ends up in a ledger with the cycles it really took: from the first cycle of the gate that led
to ring 0 to the last of the IRET that led back. Nobody picks a price for an exit.

Invariant: what the accounts hold is what the timeline holds, but for the times asleep, and no two exits
overlap on the clock.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..machine.bare_machine import BareMachine
from ..machine.costs import CostModel
from ..machine.memory.hostaccess_ops import HOST_PORT_READ, HOST_PORT_WRITE, PORT_COUNT, PORT_SIZE
from ..machine.state.layout import ATTENTION, CYCLES, DELIVERED_AT, RETURNED_AT

TIMELINE_ROOM = 100_000  # records; what comes later is counted only
ASLEEP = "asleep"  # what the timeline calls the time between an exit that waits and the next
CHUNK = 1024  # records that snapshots share once they are written


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

    def state(self) -> tuple[Any, ...]:
        return self.reason, self.exits, self.cycles, dict(self.primitives), dict(self.hardware)


def _account(item: Any) -> Account:
    """From the state of one."""
    reason, exits, cycles, primitives, hardware = item
    return Account(reason, exits, cycles, Counter(primitives), Counter(hardware))


class ExitRecord(NamedTuple):
    """One exit, on the machine's clock. ``eip``: where the guest was."""

    reason: str
    start: int
    end: int
    eip: int
    idle: int = 0  # cycles of it in which the processor was halted


class Meter:
    """Counts and charges what a hypervisor does to a machine.

    >>> with meter.exit():
    ...     meter.decide()
    ...     meter.reason = "#GP cli"
    """

    def __init__(self, machine: BareMachine) -> None:
        self.machine = machine
        self.prices = primitive_prices(machine.costs)
        self.by_software: set[int] = set()  # vectors that come by INT and no other way
        self._accounts: dict[str, Account] = {}
        self._records: list[ExitRecord] = []
        self._chunks: list[tuple[ExitRecord, ...]] = []
        self.dropped = 0  # exits that the timeline had no room for
        self.reason = ""  # of the exit under way, whose handler says it
        self._counts: dict[str, int] = {}  # its primitives; before the first exit, what setting up took
        self._entry = ""  # how the processor came to it
        self._owed = 0  # cycles not charged yet
        self._started, self._eip = 0, 0
        self._asleep: int | None = None  # since when the processor is halted
        self._returning: int | None = None  # since when the exit is over but for its way back

    # --- primitives ----------------------------------------------------------------------------

    def spend(self, primitive: str, times: int = 1) -> None:
        """Count a primitive; its price is charged when the exit ends."""
        counts = self._counts
        counts[primitive] = counts.get(primitive, 0) + times
        self._owed += self.prices[primitive] * times

    def decide(self, steps: int = 1) -> None:
        """So many comparisons that lead to a decision."""
        self.spend("decision", steps)

    def port_in(self, port: int, size: int = 1) -> int:
        self._count_ports(1)
        device = self.machine._ports.get(port)
        if device is not None:  # one in Python
            value = device.read(port, size) if device.read else None
            return (1 << 8 * size) - 1 if value is None else value & (1 << 8 * size) - 1
        return self.machine.port_in(port, size)

    def port_out(self, port: int, value: int, size: int = 1) -> None:
        self._count_ports(1)
        device = self.machine._ports.get(port)
        if device is None:
            self.machine.port_out(port, value, size)
        elif device.write:
            device.write(port, value, size)

    def _count_ports(self, times: int) -> None:
        """Without a price: the machine charges it."""
        self._counts["port access"] = self._counts.get("port access", 0) + times

    def ports(self, place: int, port: int, size: int, count: int, reads: bool) -> None:
        """So many accesses of a port at once, to or from physical memory."""
        self._count_ports(count)
        packed = port | size << PORT_SIZE | count << PORT_COUNT
        self.machine._core_value("host_access", HOST_PORT_READ if reads else HOST_PORT_WRITE, place, packed)

    def settle(self) -> None:
        """Charge what is owed."""
        if self._owed:
            c = self.machine._c
            c[CYCLES] += self._owed
            c[ATTENTION] = 1
            self._owed = 0

    # --- exits ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """An exit through a gate begins; on the clock it began when the processor entered the gate."""
        if self._returning is not None:
            self._close()
        self.settle()
        self._counts = {}
        self._started = self.machine._c[DELIVERED_AT]
        if self._asleep is not None:
            since, self._asleep = self._asleep, None
            self._record(ExitRecord(ASLEEP, since, self._started, self._eip, self._started - since))

    def met(self, vector: int, eip: int) -> None:
        """What the exit is about: a vector, and where the guest was."""
        self._eip = eip
        self._entry = "INT entry" if vector in self.by_software else "exception entry"

    def finish(self, returns: bool, sleeps: bool = False) -> None:
        """The handler is done. With ``returns`` the exit goes on to the end of the IRET that follows; with
        ``sleeps`` the processor is halted then, until the next exit begins."""
        self.settle()
        self._returning = self.machine.cycles
        if not returns:
            self._asleep = self._returning if sleeps else None
            self._enter(self._returning)

    def _close(self) -> None:
        """Enter the last exit, if its IRET has been executed."""
        returned = self.machine._c[RETURNED_AT] + self.machine.costs.iret
        if self._returning is not None and returned >= self._returning:
            self._enter(returned, "IRET")

    def _enter(self, end: int, way_back: str = "") -> None:
        reason, self._returning = self.reason, None
        total = self._accounts.get(reason)
        if total is None:
            total = self._accounts[reason] = Account(reason)
        total.exits += 1
        total.cycles += end - self._started
        for name, times in self._counts.items():
            total.primitives[name] += times
        for name in (self._entry, way_back):
            if name:
                total.hardware[name] += 1
        self._counts, self._entry = {}, ""
        self._record(ExitRecord(reason, self._started, end, self._eip))

    def _record(self, record: ExitRecord) -> None:
        if len(self._records) < TIMELINE_ROOM:
            self._records.append(record)
        else:
            self.dropped += 1

    @contextmanager
    def exit(self) -> Iterator[Meter]:
        """Everything inside is one exit, without a gate. Name it before it ends: ``meter.reason``."""
        self.begin()
        self._started, self._eip = self.machine.cycles, self.machine.cpu.eip
        try:
            yield self
        finally:
            self.finish(returns=False)

    # --- the ledger ----------------------------------------------------------------------------

    @property
    def accounts(self) -> dict[str, Account]:
        """By reason: the exits that are over."""
        self._close()
        return self._accounts

    @property
    def timeline(self) -> list[ExitRecord]:
        self._close()
        return self._records

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

    def table(self) -> str:
        """The ledger as text."""
        return repr(self)

    # --- a part of the machine's state (its hypervisor's) ----------------------------------------

    def state(self) -> Any:
        self._close()
        whole = len(self._records) // CHUNK * CHUNK
        chunks = tuple(self._chunk(i) for i in range(0, whole, CHUNK))
        return {
            "accounts": [account.state() for account in self._accounts.values()],
            "inside": (self.reason, dict(self._counts), self._entry),
            "records": (chunks, tuple(self._records[whole:])),
            "numbers": (self.dropped, self._owed, self._started, self._eip, self._returning, self._asleep),
        }

    def _chunk(self, first: int) -> tuple[ExitRecord, ...]:
        """Records that are in a snapshot already are not copied again."""
        number = first // CHUNK
        if number == len(self._chunks):
            self._chunks.append(tuple(self._records[first : first + CHUNK]))
        return self._chunks[number]

    def restore(self, state: Any) -> None:
        self._accounts = {item[0]: _account(item) for item in state["accounts"]}
        self.reason, counts, self._entry = state["inside"]
        self._counts = dict(counts)
        chunks, rest = state["records"]
        self._chunks = [tuple(ExitRecord(*record) for record in chunk) for chunk in chunks]
        self._records = [record for chunk in self._chunks for record in chunk]
        self._records += [ExitRecord(*record) for record in rest]
        self.dropped, self._owed, self._started, self._eip, self._returning, self._asleep = state["numbers"]

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
