"""The machine without a PC around it: processor, memory, and what Python can do with them.

Its parts, each in a file of its own, with their state; a part builds on those that it needs:

    core            the arrays, and the compiled units that work on them
    inputs          what enters from Python, noted so that it can be repeated
    memory          reading and writing RAM
    start_states    the processor after RESET#, and as a loader leaves it
    device_claims   ports and addresses that Python answers for
    stops           breakpoints, watchpoints, exceptions
    ring_0          registers, interrupts, ports: what a hypervisor does
    running         run, step
    rewindable      snapshots, back, digest, trace (in time_travel/)
"""

from __future__ import annotations

import html
from typing import Any

from .costs import CostModel
from .decode.decoder_tables import decoder_tables
from .errors import ConfigurationError
from .exits import REASONS
from .python_side.start_states import StartStates
from .state.arrays import Arrays, parse_size
from .time_travel.rewindable import Rewindable


class BareMachine(Rewindable, StartStates):
    """An x86 computer with nothing around it: a 32-bit processor of the P6 family, and RAM.

    >>> m = BareMachine(ram="1MiB")
    >>> m.load(b"\\xb8\\x2a\\x00\\x00\\x00\\xf4", at=0x10000)    # mov eax, 42; hlt
    >>> m.enter_protected_mode(eip=0x10000, esp=0x90000)
    >>> m.run().reason, m.cpu.eax
    ('halt', 42)
    """

    def __init__(
        self,
        ram: str | int = "64MiB",
        *,
        cpus: int = 1,
        devices: tuple[Any, ...] | None = None,
        costs: CostModel | None = None,
        history: bool = True,
        firmware: bool = False,
    ) -> None:
        size = parse_size(ram)
        if cpus != 1:
            raise ConfigurationError(f"cpus={cpus!r}: this version has machines of one processor; use cpus=1")
        if devices:
            raise ConfigurationError(
                "devices: leave it out for the standard PC platform, or say devices=() for none and "
                "bring your own with on_port and on_mmio"
            )
        self.costs = costs or CostModel()
        super().__init__(self._make_arrays(size, cpus, firmware), history)
        self.offered_ram = size  # what a kernel is told of
        self.reset()

    def _make_arrays(self, size: int, cpus: int, firmware: bool) -> Arrays:
        return Arrays(size, cpus, self.costs.array(), decoder_tables(), firmware)

    def reset(self) -> None:
        """Reset the processor (manual 3A, table 9-1): real mode, at F000:FFF0. RAM stays."""
        self._reset_processor()
        self._debugger_words()
        self._pending = None
        self._queue.clear()
        self._exits = [0] * len(REASONS)
        if self._platform is not None:
            self._platform.reset()
        self._due = self._history.start(None)

    def __repr__(self) -> str:
        return (
            f"Machine(ram={self.ram_size // 1024} KiB, instructions={self.instructions:,}, "
            f"cycles={self.cycles:,})\n{self.cpu!r}"
        )

    def _repr_html_(self) -> str:
        size = f"{self.ram_size // 1024:,} KiB of RAM"
        title = f"{size}, {self.instructions:,} instructions, {self.cycles:,} cycles"
        return f"<p>{html.escape(title)}</p>{self.cpu._repr_html_()}"
