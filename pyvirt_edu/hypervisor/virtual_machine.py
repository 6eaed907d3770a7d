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
from ..machine.memory.hostaccess_ops import HOST_NOTIFY_WRITE
from ..machine.memory.physical import NOBODY
from ..machine.state.arrays import Arrays, parse_size
from ..machine.state.layout import (
    H_REGION_COUNT,
    PAGE,
    REPLAY_COUNT,
    ROM_SIZE,
    TRACED,
    TRACED_COUNT,
    TRACED_ROOM,
)
from ..machine.time_travel.snapshots import Snapshot
from .frames import Frames
from .memory_map import MemoryMap


class VirtualMachine(Machine):
    """``VirtualMachine(host, frames, "web", ram="16MiB")`` takes its memory from `frames`.

    ``map`` says where the memory is. Snapshots and rewinding are the host's, whose state includes it.
    """

    def __init__(
        self,
        host: BareMachine,
        frames: Frames,
        name: str,
        ram: str | int,
        devices: tuple[Any, ...] | None = None,
    ) -> None:
        if frames.held(name):
            raise ConfigurationError(f"{name} has frames already: take another name, or destroy that machine")
        self.host, self.frames, self.name, self._destroyed = host, frames, name, False
        pages = parse_size(ram) // PAGE
        self.map = MemoryMap(host, frames, name, pages + (ROM_SIZE // PAGE if devices is None else 0))
        try:
            held = frames.allocate(name, pages)
            for frame in held:
                host.write(frame * PAGE, bytes(PAGE))
            self.map.put(0, held)
            super().__init__(ram=ram, devices=devices, costs=host.costs, history=False)
        except Exception:
            self._free()
            raise
        for word, value in self.map.root.items():
            self._c[word] = value
        self._a.forget_addresses()
        self.map.on_change = self.flush_tlb

    def _make_arrays(self, size: int, cpus: int, firmware: bool) -> Arrays:
        return self.host._a.beside(size, ROM_SIZE if firmware else 0)

    def destroy(self) -> None:
        """Give everything back. The machine runs no more."""
        self._free()
        self._a.leave()
        self._destroyed = self._running = True

    def _go(self, target: int, deadline: int, until: Callable[[Self], bool] | None) -> Exit:
        if self._destroyed:
            raise MachineError(f"{self.name} was destroyed: its memory is somebody else's")
        return super()._go(target, deadline, until)

    def _free(self) -> None:
        self.map.untrace()
        self.frames.free(self.name, self.frames.owned(self.name))
        self.frames.free(self.map.tables, self.frames.owned(self.map.tables))

    # --- memory: by the map --------------------------------------------------------------------

    def load_firmware(self, bios: Image, vga_bios: Image | None = None) -> None:
        if self.map.place(self.ram_size) is None:
            room = self.frames.allocate(self.name, ROM_SIZE // PAGE)
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
            "row": a.words.tobytes(),
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
        a.forget_addresses()

    def snapshot(self) -> Snapshot:
        raise SnapshotError("a virtual machine is saved with its host: take host.snapshot()")

    def restore(self, snapshot: Snapshot) -> None:
        raise SnapshotError("a virtual machine is restored with its host: host.restore(snapshot)")

    def back(self, n: int = 1) -> Exit:
        raise MachineError("a virtual machine goes back with its host: host.back(n)")
