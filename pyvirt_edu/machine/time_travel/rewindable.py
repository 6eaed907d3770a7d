"""A machine that can be saved, put back, rewound, compared and recorded.

Invariant (snapshots.py): RAM equals ``_saved`` but for the pages that PAGE_DIRTY marks.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import numpy as np

from ..errors import MachineError, SnapshotError
from ..exits import REASONS, Exit
from ..memory.hostaccess_ops import HOST_NOTIFY_WRITE
from ..python_side.checks import amount
from ..python_side.memory import Memory
from ..python_side.ring_0 import Ring0
from ..python_side.running import Running
from ..state.arrays import Arrays
from ..state.layout import (
    INSTRUCTIONS,
    PAGE,
    PAGE_CODE,
    PAGE_DIRTY,
    REPLAY_COUNT,
    RIP,
    SHADOW,
    SHADOW_DEBUG,
    SHADOW_NEXT,
    TRAP_AFTER,
)
from . import state_digest
from .history import History
from .recorder import Recorder
from .snapshots import Layer, SavedPages, Snapshot, next_layer_number
from .tracing import Trace


class Part(Protocol):
    """Something in Python that belongs to a machine, for example its hypervisor."""

    def state(self) -> Any:
        """All of it, as plain data: numbers, text, bytes, lists, tuples, dictionaries."""

    def restore(self, state: Any) -> None:
        """Be as it was; RAM and processor have been put back."""


class Rewindable(Running, Memory, Ring0):
    """The history, and RAM as the last snapshot saved it."""

    def __init__(self, arrays: Arrays, history: bool) -> None:
        super().__init__(arrays)
        self._saved = SavedPages.empty(len(arrays.page_flags))
        self._history = History(self, history)
        self._due = 0
        self._parts: dict[str, Part] = {}

    def attach(self, name: str, part: Part) -> None:
        """From now on a part is in snapshots, in digests, and goes back with the machine. The history
        begins anew."""
        if name in self._parts:
            raise MachineError(f"this machine has a part called {name!r} already")
        self._parts[name] = part
        self._due = self._history.start(None)

    def snapshot(self) -> Snapshot:
        """The whole machine as data. Unchanged pages are shared with earlier snapshots."""
        a = self._a
        dirty = np.flatnonzero(a.page_flags & PAGE_DIRTY)
        if len(dirty):
            layer = Layer(next_layer_number(), a.ram_pages[dirty])
            self._saved = self._saved.with_pages(dirty, layer)
            a.page_flags[dirty] &= 0xFF - PAGE_DIRTY
            a.forget_writable()
        extra: dict[str, Any] = {"exits": list(self._exits), "queue": list(self._queue)}
        extra["asking"] = self._pending is not None and not self._c[REPLAY_COUNT]
        if self._parts:
            extra["parts"] = {name: part.state() for name, part in self._parts.items()}
        devices = None
        if self._platform is not None:
            extra["platform"] = self._platform.state()
            devices = (a.devices.copy(), a.device_bytes.copy())
        return Snapshot(self.ram_size, a.words.copy(), a.tlb.copy(), self._saved, extra, devices)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back (or forward) to a snapshot. The history begins anew there."""
        if self._running:
            raise MachineError("the machine is running: restore() cannot be called by a handler")
        if not isinstance(snapshot, Snapshot):
            raise SnapshotError(f"{type(snapshot).__name__} is no snapshot; take one with machine.snapshot()")
        if snapshot.ram_size != self.ram_size:
            raise SnapshotError(
                f"the snapshot has {snapshot.ram_size:,} bytes of RAM, this machine {self.ram_size:,}; "
                f"restore it in Machine(ram={snapshot.ram_size})"
            )
        if (snapshot.devices is None) != (self._platform is None):
            has, lacks = ("has none", "has") if snapshot.devices is None else ("has them", "has not")
            raise SnapshotError(
                f"the snapshot {has} of the PC's devices, this machine {lacks}: restore it in a machine "
                "made with the same devices"
            )
        parts = set(snapshot.extra.get("parts", ()))
        if parts != set(self._parts):
            has, wants = (", ".join(sorted(names)) or "none" for names in (self._parts, parts))
            raise SnapshotError(f"this machine's parts are {has}; the snapshot was taken with {wants}")
        self._put_back(snapshot)
        self._debugger_words()
        self._due = self._history.start(snapshot)

    def _put_back(self, snapshot: Snapshot) -> None:
        a = self._a
        differ = a.page_flags & PAGE_DIRTY != 0
        if snapshot.saved is not self._saved:
            differ |= snapshot.saved.places != self._saved.places
        pages = np.flatnonzero(differ)
        if len(pages):
            snapshot.saved.read_into(a.ram_pages, pages)
            for page in pages[a.page_flags[pages] & PAGE_CODE != 0].tolist():
                self._host(self._handle, HOST_NOTIFY_WRITE, page * PAGE, PAGE)
            a.page_flags[pages] &= 0xFF - PAGE_DIRTY
            a.forget_writable()
        self._saved = snapshot.saved
        a.words[:] = snapshot.cpu
        a.tlb[:] = snapshot.tlb
        if snapshot.extra.get("asking"):
            self._forget_read()
        state_digest.recompute(a, self._host)
        if self._platform is not None and snapshot.devices is not None:
            a.devices[:], a.device_bytes[:] = snapshot.devices
            self._platform.restore(snapshot.extra["platform"])
        self._exits[:] = snapshot.extra.get("exits", [0] * len(REASONS))
        self._queue = deque((w, v) for w, v in snapshot.extra.get("queue", ()))
        self._pending = None
        for name, state in snapshot.extra.get("parts", {}).items():
            self._parts[name].restore(state)

    def _forget_read(self) -> None:
        """Nobody answers that read any more: its instruction begins anew."""
        self._c[TRAP_AFTER] = 0
        if self._c[SHADOW]:
            self._c[SHADOW] = self._c[SHADOW] & SHADOW_DEBUG | SHADOW_NEXT

    def back(self, n: int = 1) -> Exit:
        """Rewind by n instructions: everything is as it was then, input included."""
        amount("n", n)
        if self._running:
            raise MachineError("the machine is running: back() cannot be called by a handler")
        if n:
            self._due = self._history.rewind(n)
        return Exit("rewound", self._c[RIP], self._c[INSTRUCTIONS])

    def digest(self) -> str:
        """A hash of the whole state, devices and RAM included (state_digest.py)."""
        more = [b"".join(word.to_bytes(8, "little") for write in self._queue for word in write)]
        if self._platform is not None:
            more += self._platform.media()
        more += [repr((name, part.state())).encode() for name, part in sorted(self._parts.items())]
        return state_digest.digest(self._a, more)

    def trace(self, n: int) -> Trace:
        """Run n instructions and record every change of registers and memory."""
        amount("n", n)
        first, segment = self.instructions, self.cpu.segment("cs")
        with Recorder(self) as recorder:
            out = self.run(max_instructions=n)
        chunks = recorder.chunks
        saved = self.snapshot().saved if any(chunk.switches() for chunk in chunks) else None
        return Trace(chunks, first, self.instructions - first, segment, self, out, saved)
