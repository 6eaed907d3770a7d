"""Devices in Python: who answers for a port or a physical address.

The core leaves `run` at an access to a claimed port or address. A read leaves before its
instruction takes effect; the answer goes into the row's replay queue, and the instruction begins
anew and takes it from there. A write is posted: the instruction is done when its device is told.

Invariant: ``_a.ports`` and ``_a.regions``, which the core looks at, say what ``_ports`` and
``_regions`` say. (A PC's chips have ports of their own: devices/platform.py.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..errors import AddressError, MachineError
from ..exits import REASONS, Exit
from ..memory.hostaccess_ops import HOST_FLUSH_FAST
from ..state.arrays import Arrays
from ..state.layout import (
    EXIT_PORT_IN,
    EXIT_QUALIFICATION,
    H_REGION_COUNT,
    INSTRUCTIONS,
    MAX_REGIONS,
    PAGE,
    PAGE_MMIO,
    REPLAY,
    REPLAY_COUNT,
    REPLAY_ROOM,
    RIP,
)
from .checks import amount, within
from .inputs import ANSWER, Inputs

PortRead = Callable[[int, int], int | None]
PortWrite = Callable[[int, int, int], None]


class _Device:
    """Who answers for a port or a range of addresses; neither: leave `run` and let the
    caller answer."""

    __slots__ = ("explicit", "read", "write")

    def __init__(self, read: PortRead | None, write: PortWrite | None, explicit: bool) -> None:
        self.read, self.write, self.explicit = read, write, explicit


class DeviceClaims(Inputs):
    """Who answers, the read that waits for its answer, and writes that nobody has been told of yet."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self._ports: dict[int, _Device] = {}
        self._regions: list[tuple[int, int, _Device]] = []
        self._queue: deque[tuple[int, int]] = deque()  # device writes not handed over yet
        self._pending: Exit | None = None  # a read that waits for its value

    def on_port(
        self, port: int, read: PortRead | None = None, write: PortWrite | None = None, count: int = 1
    ) -> None:
        """Let functions answer for ``count`` ports: ``read(port, size)`` returns the value,
        ``write(port, value, size)`` takes it. A read without a function gives ones."""
        self._claim_ports(port, count, _Device(read, write, False))

    def claim_port(self, port: int, count: int = 1) -> None:
        """Make `run` return at each access: "port-in", to be answered by setting
        ``exit.value`` (or with `complete`), and "port-out"."""
        self._claim_ports(port, count, _Device(None, None, True))

    def release_port(self, port: int, count: int = 1) -> None:
        """Nobody answers for these ports any more: reads give ones, writes are lost."""
        self._claim_ports(port, count, None)

    def _claim_ports(self, port: int, count: int, device: _Device | None) -> None:
        port = within("port", port, 16)
        if amount("count", count) < 1 or port + count > 65536:
            raise AddressError(f"ports {port:#x}..{port + count - 1:#x}: there are ports 0..0xffff")
        for number in range(port, port + count):
            if device is None:
                self._ports.pop(number, None)
            else:
                self._ports[number] = device
        self._a.ports[port : port + count] = device is not None

    def on_mmio(
        self, start: int, size: int, read: PortRead | None = None, write: PortWrite | None = None
    ) -> None:
        """Let functions answer for physical addresses: ``read(address, size)``,
        ``write(address, value, size)``. Without any, `run` returns at each access. RAM that
        lies under a claimed range is hidden, by whole pages."""
        start = within("start", start, 36)
        if amount("size", size) < 1:
            raise AddressError("on_mmio: size must be at least 1")
        if any(start < end and first < start + size for first, end, _ in self._regions):
            raise AddressError(f"on_mmio: {start:#x}..{start + size - 1:#x} overlaps a region claimed before")
        if len(self._regions) == MAX_REGIONS:
            raise MachineError(f"on_mmio: there is room for {MAX_REGIONS} regions")
        self._regions.append((start, start + size, _Device(read, write, read is None and write is None)))
        self._regions_changed()

    def release_mmio(self, start: int) -> None:
        """Nobody answers any more for the range claimed from this address on; RAM that was under
        it is back."""
        start = within("start", start, 36)
        kept = [region for region in self._regions if region[0] != start]
        if len(kept) == len(self._regions):
            raise AddressError(f"release_mmio: no range was claimed that begins at {start:#x}")
        self._regions = kept
        self._regions_changed()

    def _regions_changed(self) -> None:
        a = self._a
        self._regions.sort(key=lambda item: item[0])
        a.page_flags &= 0xFF - PAGE_MMIO
        for i, (first, end, _) in enumerate(self._regions):
            a.regions[2 * i], a.regions[2 * i + 1] = first, end
            a.page_flags[first // PAGE : -(-end // PAGE)] |= PAGE_MMIO
        a.handle[H_REGION_COUNT] = len(self._regions)
        self._host(self._handle, HOST_FLUSH_FAST, 0, 0)

    # --- accesses --------------------------------------------------------------------

    def _device_at(self, kind: int, where: int) -> _Device | None:
        if kind == 0:
            return self._ports.get(where)
        for first, end, device in self._regions:
            if first <= where < end:
                return device
        return None

    def _device_read(self, reason: int) -> Exit | None:
        c = self._c
        packed = c[EXIT_QUALIFICATION]
        size, where = packed >> 56, packed & 0xFF_FFFF_FFFF_FFFF
        kind = 0 if reason == EXIT_PORT_IN else 1
        device = self._device_at(1, where) if kind else self._ports.get(where)
        if device is None:  # only later bytes of the access are claimed
            value = 0
            for i in range(size):
                part = self._device_at(kind, where + i)
                byte = part.read(where + i, 1) if part and part.read else 0xFF
                value |= ((0xFF if byte is None else byte) & 0xFF) << (8 * i)
            self._answer(value)
            return None
        if device.explicit:
            self._pending = out = Exit(REASONS[reason], c[RIP], c[INSTRUCTIONS])
            out.address, out.size = where, size
            return out
        answer = device.read(where, size) if device.read is not None else None
        mask = (1 << 8 * size) - 1
        if answer is None:
            answer = mask
        try:
            self._answer(answer & mask)
        except TypeError:
            raise MachineError(
                f"the read handler of {where:#x} returned {answer!r}; return a whole number, or None for ones"
            ) from None
        return None

    def _answer(self, value: int) -> None:
        """Give the waiting read its value; the instruction restarts and takes it."""
        c = self._c
        history = self._history
        if history.checkpoints:
            history.log.append((c[INSTRUCTIONS], ANSWER, value))
            if len(history.log) > history.entries_due:
                self._due = 0
        count = c[REPLAY_COUNT]
        if count >= REPLAY_ROOM:
            raise MachineError(
                "one instruction made more device reads than there is room for; please report this"
            )
        c[REPLAY + count] = value
        c[REPLAY_COUNT] = count + 1

    def complete(self, value: int) -> None:
        """Answer the read that the last exit reported."""
        if self._pending is None:
            raise MachineError('nothing waits for a value: the last exit was no "port-in" or "mmio-read"')
        self._pending.value = value

    def _answer_pending(self) -> None:
        waiting, c = self._pending, self._c
        assert waiting is not None
        self._pending = None
        if waiting.eip != c[RIP] or waiting.instructions != c[INSTRUCTIONS]:
            self._poke(((REPLAY_COUNT, 0),))  # the program was sent elsewhere: the read is off
            return
        value, bits = waiting.value, 8 * waiting.size  # type: ignore[operator]
        if value is None:
            value = (1 << bits) - 1
        elif type(value) is not int or value >> bits:
            value = within("exit.value", value, bits)
        self._answer(value)

    def _hand_over(self) -> Exit | None:
        """Give posted writes to their devices; an Exit for one that the caller shall see."""
        queue = self._queue
        while queue:
            where, value = queue.popleft()
            kind, size, where = where >> 60, where >> 56 & 15, where & 0xFF_FFFF_FFFF_FFFF
            device = self._device_at(kind, where)
            if device is None:
                for i in range(size):
                    part = self._device_at(kind, where + i)
                    if part and part.write:
                        part.write(where + i, value >> (8 * i) & 0xFF, 1)
            elif device.explicit:
                name = "mmio-write" if kind else "port-out"
                out = Exit(name, self._c[RIP], self._c[INSTRUCTIONS])
                out.address, out.size, out.value = where, size, value
                return out
            elif device.write is not None:
                device.write(where, value, size)
        return None
