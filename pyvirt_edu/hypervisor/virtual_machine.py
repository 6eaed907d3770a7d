"""A virtual machine: a processor's record and the devices of a PC, on memory that another machine lends.

It is a `Machine` in all but its RAM. The record has the state that the guest believes in; the core runs
on it as on any processor, and nested tables (memory_map.py) lead it to the frames that the guest was
given. So one instruction of a guest, of any kind and in any mode, is one step of this machine: that is
the hypervisors' interpreter, and the definition of each instruction stays the core's. Its ports reach
its own devices and never the host's; its clock is the guest's time.

Nothing here is fast by itself: hypervisors let the real processor run what is safe, and come here for
the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from ..computer import Image, Machine
from ..machine.bare_machine import BareMachine
from ..machine.errors import ConfigurationError, MachineError, SnapshotError
from ..machine.exits import Exit
from ..machine.memory.hostaccess_ops import HOST_NOTIFY_WRITE, HOST_WALK
from ..machine.memory.physical import NOBODY
from ..machine.state.arrays import Arrays, parse_size
from ..machine.state.layout import (
    BASE,
    CPL,
    CR2,
    EVENT,
    EVENT_ERROR,
    EVENT_FAULT,
    GENERATION,
    H_REGION_COUNT,
    LEDGER,
    PAGE,
    PAGE_CODE,
    PAGE_DIRTY,
    PROBE,
    REPLAY_COUNT,
    ROM_SIZE,
    TRACED,
    TRACED_COUNT,
    TRACED_ROOM,
    USER,
    WRITE,
)
from ..machine.time_travel.snapshots import Snapshot
from ..machine.time_travel.state_digest import without_scratch
from .frames import Frames
from .guest_fault import GuestFault
from .memory_map import MemoryMap

FLAT = 8  # instead of a segment's number: a linear address
PF = 14
LOOKED_AT = 0xFF - PAGE_DIRTY - PAGE_CODE  # flags of a page whose accesses matter to somebody


def lend(
    host: BareMachine,
    frames: Frames,
    name: str,
    ram: str | int,
    devices: tuple[Any, ...] | None = None,
    kind: type[VirtualMachine] | None = None,
) -> VirtualMachine:
    """A virtual machine with memory of its own: frames that are taken from `frames`, zeroed. It has a PC's
    devices, or with ``devices=()`` none. ``kind``: a class made of `VirtualMachine`."""
    if frames.held(name):
        raise ConfigurationError(f"{name} has frames already: take another name, or destroy that machine")
    size = parse_size(ram)
    memory = MemoryMap(host, frames, name, (size + (ROM_SIZE if devices is None else 0)) // PAGE)
    try:
        held = frames.allocate(name, size // PAGE)
        for frame in held:
            host.write(frame * PAGE, bytes(PAGE))
        memory.put(0, held)
        return (kind or VirtualMachine)(memory, size, devices)
    except Exception:
        memory.free()
        raise


class VirtualMachine(Machine):
    """``VirtualMachine(MemoryMap(...))``, or `lend` for one with memory of its own.

    ``map`` says where the memory is. Snapshots and rewinding are the host's, whose state includes it.
    """

    def __init__(self, memory: MemoryMap, size: int, devices: tuple[Any, ...] | None = None) -> None:
        self.host, self.map, self._destroyed = memory.machine, memory, False
        super().__init__(size, devices=devices, costs=self.host.costs, history=False)
        for word, value in memory.root.items():
            self._c[word] = value
        self._a.forget_addresses()
        self.map.on_change = self.flush_tlb

    def _make_arrays(self, size: int, cpus: int, firmware: bool) -> Arrays:
        return self.host._a.beside(size, ROM_SIZE if firmware else 0)

    def destroy(self) -> None:
        """Give everything back. The machine runs no more."""
        self.map.free()
        self._a.leave()
        self._destroyed = self._running = True

    def _go(self, target: int, deadline: int, until: Callable[[Self], bool] | None) -> Exit:
        if self._destroyed:
            raise MachineError(f"{self.map.owner} was destroyed: its memory is somebody else's")
        return super()._go(target, deadline, until)

    # --- memory: by the map --------------------------------------------------------------------

    def load_firmware(self, bios: Image, vga_bios: Image | None = None) -> None:
        if self.map.place(self.ram_size) is None:
            room = self.map.frames.allocate(self.map.owner, ROM_SIZE // PAGE)
            self.map.put(self.ram_size // PAGE, room, writable=False)
        super().load_firmware(bios, vga_bios)

    def _regions_changed(self) -> None:
        """Devices of the guest answer at its addresses, where its map has nothing."""
        a = self._a
        self._regions.sort(key=lambda item: item[0])
        for i, (first, end, _) in enumerate(self._regions):
            a.regions[2 * i], a.regions[2 * i + 1] = first | NOBODY, end | NOBODY
        a.handle[H_REGION_COUNT] = len(self._regions)
        self.map.hide([(first // PAGE, -(-end // PAGE)) for first, end, _ in self._regions])

    def _pieces(self, address: int, size: int) -> list[tuple[int | None, int]]:
        found = []
        while size:
            part = min(size, PAGE - address % PAGE)
            found.append((self.map.place(address), part))
            address, size = address + part, size - part
        return found

    def read(self, address: int, size: int) -> bytes:
        """Bytes of guest-physical memory; ones where a page is not mapped."""
        self._range(address, size, "read")
        parts = self._pieces(address, size)
        return b"".join(b"\xff" * n if at is None else bytes(self._ram[at : at + n]) for at, n in parts)

    def _put(self, address: int, data: bytes) -> None:
        done = 0
        for at, size in self._pieces(address, len(data)):
            if at is not None:
                self._ram[at : at + size] = data[done : done + size]
                self._host(self._handle, HOST_NOTIFY_WRITE, at, size)
            done += size

    # --- as the guest's own accesses -------------------------------------------------------------

    def guest_load(self, offset: int, size: int = 4, segment: int = FLAT, user: bool = False) -> int:
        """1, 2 or 4 bytes as the guest would load them, through a segment or (FLAT) at a linear address.
        What the processor would refuse raises `GuestFault`."""
        return self._access("load_slow", offset, size, segment, USER * user, 0)

    def guest_store(
        self, offset: int, value: int, size: int = 4, segment: int = FLAT, user: bool = False
    ) -> None:
        """Likewise; a store that faults has written nothing."""
        self._access("store_slow", offset, size, segment, WRITE | USER * user, value)

    def _access(self, unit: str, offset: int, size: int, segment: int, access: int, value: int) -> int:
        c = self._c
        c[EVENT] = 0
        found = self._units[unit](self._handle, offset, size | segment << 8 | access << 16, value)
        self._raise(c[CR2])
        return found & (1 << 8 * size) - 1

    def place_for(self, segment: int, offset: int, size: int, writes: bool) -> int | None:
        """The machine address of bytes in one page, if the guest may access all of them and nobody wants to
        see it; None: one by one, then."""
        access = (WRITE if writes else 0) | USER * (self._c[CPL] == 3)
        try:
            for at in (offset, offset + size - 1):
                self._access(
                    "store_slow" if writes else "load_slow", at, 1, segment, access | PROBE * writes, 0
                )
            page, _ = self.resolve(self._c[BASE + segment] + offset & 0xFFFF_F000, access)
        except GuestFault:
            return None
        if page >= self.host.ram_size or self.host._a.page_flags[page // PAGE] & LOOKED_AT:
            return None
        return page | (self._c[BASE + segment] + offset & 0xFFF)

    def resolve(self, linear: int, access: int) -> tuple[int, int]:
        """Where the guest's tables and the map lead for an access: machine address of the page and TLB
        rights. Accessed and dirty bits are set as by the processor. `GuestFault` if that is a #PF."""
        c = self._c
        cr2 = c[CR2]
        c[EVENT] = 0
        found = self._host(self._handle, HOST_WALK, linear, access)
        faulted = c[CR2]
        c[CR2] = cr2  # the fault has not been delivered
        self._raise(faulted)
        return found & ~0xFFF, found & 0xFFF

    def _raise(self, cr2: int) -> None:
        """The event of an access that failed."""
        c = self._c
        event = c[EVENT]
        c[EVENT] = c[LEDGER] = 0
        if event & EVENT_FAULT:
            vector = event & 0xFF
            raise GuestFault(vector, c[EVENT_ERROR], cr2 if vector == PF else None)

    def traced_stores(self) -> list[tuple[int, int]] | None:
        """Machine address and size of each store to a traced page since the last call; None: too many."""
        c = self._c
        count = c[TRACED_COUNT]
        c[TRACED_COUNT] = 0
        if count > TRACED_ROOM:
            return None
        return [(c[TRACED + i] & (1 << 56) - 1, c[TRACED + i] >> 56) for i in range(count)]

    # --- a part of the host's state ------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        a = self._a
        extra: dict[str, Any] = {"exits": list(self._exits), "queue": list(self._queue)}
        extra["asking"] = self._pending is not None and not self._c[REPLAY_COUNT]
        if self._platform is not None:
            extra["platform"] = self._platform.state()
        return {
            "row": without_scratch(a.words).tobytes(),
            "tlb": a.tlb.tobytes(),
            "devices": a.devices.tobytes(),
            "device_bytes": a.device_bytes.tobytes(),
            "map": self.map.state(),
            "extra": extra,
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        a = self._a
        for name, array in (
            ("row", a.words), ("tlb", a.tlb), ("devices", a.devices), ("device_bytes", a.device_bytes)
        ):  # fmt: skip
            array[:] = np.frombuffer(state[name], array.dtype).reshape(array.shape)
        self.map.restore(state["map"])
        self._exits[:] = state["extra"]["exits"]
        self._queue.clear()
        self._queue.extend(tuple(item) for item in state["extra"]["queue"])
        self._pending = None
        if state["extra"]["asking"]:
            self._forget_read()
        if self._platform is not None:
            self._platform.restore(state["extra"]["platform"])
        self._debugger_words()
        generation = self._c[GENERATION]
        a.forget_addresses()
        self._c[GENERATION] = generation  # hypervisors look whether it has moved

    def snapshot(self) -> Snapshot:
        raise SnapshotError("a virtual machine is saved with its host: take host.snapshot()")

    def restore(self, snapshot: Snapshot) -> None:
        raise SnapshotError("a virtual machine is restored with its host: host.restore(snapshot)")

    def back(self, n: int = 1) -> Exit:
        raise MachineError("a virtual machine goes back with its host: host.back(n)")
