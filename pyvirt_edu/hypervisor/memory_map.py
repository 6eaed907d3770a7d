"""Where a guest's memory is: the map from guest-physical pages to the machine's frames.

The map is a set of nested page tables (PAE format) in frames of the hypervisor, because whatever
runs on the virtual processor's record is translated by them, in the core. Python has a copy for
itself. Invariant: both say the same (`check`), and no entry leads to a frame that is not the guest's.
What is not mapped answers with ones and swallows stores, as an address without memory does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ..machine.bare_machine import BareMachine
from ..machine.errors import AddressError
from ..machine.state.layout import CR4_PAE, NESTED_MODE, NESTED_ROOT, PAGE, PAGE_TRACED
from .frames import Frames

PRESENT, WRITABLE, USER, ACCESSED, DIRTY = 1, 2, 4, 0x20, 0x40
ALL_RIGHTS = PRESENT | WRITABLE | USER | ACCESSED | DIRTY
IN_TABLE = PAGE // 8
PDPT_IN_MEMORY = 1  # of a walk's mode (machine/memory/paging.py)
NOWHERE = -1


class MemoryMap:
    """`pages` guest-physical pages from address 0. ``tables`` is the owner of the nested tables;
    ``on_change`` is called when they are other ones, because processors remember what they said."""

    def __init__(self, machine: BareMachine, frames: Frames, owner: str, pages: int) -> None:
        self.machine, self.frames, self.owner, self.pages = machine, frames, owner, pages
        self.tables = f"{owner}'s map"
        self.on_change: Callable[[], object] = lambda: None
        self._place = np.full(pages, NOWHERE, np.int64)
        self._writable = np.zeros(pages, bool)
        self._hidden = np.zeros(pages, bool)  # behind a device
        self._traced: set[int] = set()  # frames
        leaves = -(-pages // IN_TABLE)
        self._root, *rest = self._new_tables(1 + -(-leaves // IN_TABLE) + leaves)
        directories, self._leaves = rest[: len(rest) - leaves], rest[len(rest) - leaves :]
        self._fill(self._root, [d * PAGE | PRESENT for d in directories])
        for i, directory in enumerate(directories):
            part = self._leaves[i * IN_TABLE : (i + 1) * IN_TABLE]
            self._fill(directory, [leaf * PAGE | ALL_RIGHTS for leaf in part])

    def _new_tables(self, count: int) -> list[int]:
        found = self.frames.allocate(self.tables, count)
        for frame in found:
            self.machine.write(frame * PAGE, bytes(PAGE))
        return found

    def _fill(self, table: int, entries: list[int]) -> None:
        self.machine.write(table * PAGE, struct.pack(f"<{len(entries)}Q", *entries))

    @property
    def root(self) -> dict[int, int]:
        """Words of the row of a virtual processor that uses this map."""
        return {NESTED_MODE: CR4_PAE | PDPT_IN_MEMORY, NESTED_ROOT: self._root * PAGE | PRESENT}

    def put(self, first: int, frames: list[int], writable: bool = True) -> None:
        """Map guest pages from `first` on to these frames of the guest."""
        for frame in frames:
            if self.frames.owner(frame) != self.owner:
                raise AddressError(
                    f"frame {frame:#x} is not {self.owner}'s: {self.frames.owner(frame)} has it"
                )
        if not 0 <= first <= first + len(frames) <= self.pages:
            raise AddressError(
                f"guest pages {first:#x} to {first + len(frames):#x}: there are {self.pages:#x}"
            )
        self._set(first, np.array(frames, np.int64) * PAGE, writable)

    def take(self, first: int, count: int = 1) -> list[int]:
        """Unmap guest pages; the frames that were there."""
        old = self._place[first : first + count]
        frames = (old[old != NOWHERE] // PAGE).tolist()
        self._set(first, np.full(count, NOWHERE, np.int64), False)
        return frames  # type: ignore[no-any-return]

    def hide(self, ranges: list[tuple[int, int]]) -> None:
        """Devices are in the way of these pages, each range from its first to before its end."""
        hidden = np.zeros(self.pages, bool)
        for first, end in ranges:
            hidden[first:end] = True
        changed = np.flatnonzero(hidden != self._hidden).tolist()
        self._hidden = hidden
        if changed:
            self._write(changed[0], changed[-1] + 1)

    def _set(self, first: int, places: np.ndarray, writable: bool) -> None:
        self._place[first : first + len(places)] = places
        self._writable[first : first + len(places)] = writable
        self._write(first, first + len(places))

    def _entries(self, first: int, end: int) -> np.ndarray:
        """What the tables say of pages."""
        places = self._place[first:end]
        rights = np.where(self._writable[first:end], ALL_RIGHTS, ALL_RIGHTS & ~WRITABLE)
        nothing = (places == NOWHERE) | self._hidden[first:end]
        return np.where(nothing, 0, places | rights).astype("<u8")

    def _write(self, first: int, end: int) -> None:
        entries = self._entries(first, end)
        at = first
        while at < end:
            part = min(end, at - at % IN_TABLE + IN_TABLE) - at
            entry = self._leaves[at // IN_TABLE] * PAGE + 8 * (at % IN_TABLE)
            self.machine.write(entry, entries[at - first : at - first + part].tobytes())
            at += part
        self.on_change()

    def place(self, physical: int) -> int | None:
        """The machine address of a guest-physical one; None where the guest has no memory."""
        page = physical // PAGE
        place = self._place[page] if 0 <= page < self.pages else NOWHERE
        return None if place == NOWHERE else int(place) + physical % PAGE

    def trace(self, physical: int, on: bool = True) -> None:
        """Note stores of the virtual processor to a page (TRACED in its row), or stop that."""
        place = self.place(physical)
        assert place is not None
        self.trace_page(place, on)

    def trace_page(self, place: int, on: bool = True) -> None:
        """The same by the page's machine address."""
        flags = self.machine._a.page_flags
        if on:
            self._traced.add(place // PAGE)
            flags[place // PAGE] |= PAGE_TRACED
            self.machine._a.forget_writable()
        else:
            self._traced.discard(place // PAGE)
            flags[place // PAGE] &= 0xFF - PAGE_TRACED

    def untrace(self) -> None:
        """No page is traced any more."""
        self.machine._a.page_flags[list(self._traced)] &= 0xFF - PAGE_TRACED
        self._traced.clear()

    def free(self) -> None:
        """Give all frames back, the guest's and the tables'."""
        self.untrace()
        for owner in (self.owner, self.tables):
            self.frames.free(owner, self.frames.owned(owner))

    def check(self) -> None:
        """The invariant."""
        for at in range(0, self.pages, IN_TABLE):
            leaf = self._leaves[at // IN_TABLE] * PAGE
            entries = np.frombuffer(self.machine.read(leaf, PAGE), "<u8")[: self.pages - at]
            assert (entries == self._entries(at, at + len(entries))).all(), "the tables differ"
        held = self._place[self._place != NOWHERE] // PAGE
        assert all(self.frames.owner(frame) == self.owner for frame in held.tolist()), "a foreign frame"
        assert len(set(held.tolist())) == len(held), "a frame is mapped twice"

    def state(self) -> Any:
        arrays = self._place, self._writable, self._hidden
        return {"pages": [array.tobytes() for array in arrays], "traced": sorted(self._traced)}

    def restore(self, state: Any) -> None:
        """The tables themselves lie in the machine's memory, which has been put back."""
        place, writable, hidden = state["pages"]
        self._place = np.frombuffer(place, np.int64).copy()
        self._writable = np.frombuffer(writable, bool).copy()
        self._hidden = np.frombuffer(hidden, bool).copy()
        self.untrace()
        self._traced = set(state["traced"])
        self.machine._a.page_flags[state["traced"]] |= PAGE_TRACED
        self.machine._a.forget_writable()
