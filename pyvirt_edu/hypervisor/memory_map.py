"""Where a guest's memory is: the map from guest-physical pages to the machine's frames.

The map is a set of nested page tables (PAE format) in frames of the hypervisor, because whatever
runs on the virtual processor's record is translated by them, in the core. Python has a copy for
itself. Invariant: both say the same (`check`), and no entry leads to a frame that is not the guest's.
What is not mapped answers with ones and swallows stores, as an address without memory does.
"""

from __future__ import annotations

import struct
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
    """`pages` guest-physical pages from address 0. ``tables`` is the owner of the nested tables."""

    def __init__(self, machine: BareMachine, frames: Frames, owner: str, pages: int) -> None:
        self.machine, self.frames, self.owner, self.pages = machine, frames, owner, pages
        self.tables = f"{owner}'s map"
        self._place = np.full(pages, NOWHERE, np.int64)
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
        rights = ALL_RIGHTS if writable else ALL_RIGHTS & ~WRITABLE
        self._set(first, np.array(frames, np.int64) * PAGE, rights)

    def take(self, first: int, count: int = 1) -> list[int]:
        """Unmap guest pages; the frames that were there."""
        old = self._place[first : first + count]
        frames = (old[old != NOWHERE] // PAGE).tolist()
        self._set(first, np.full(count, NOWHERE, np.int64), 0)
        return frames  # type: ignore[no-any-return]

    def _set(self, first: int, places: np.ndarray, rights: int) -> None:
        self._place[first : first + len(places)] = places
        entries = np.where(places == NOWHERE, 0, places | rights).astype(np.uint64)
        for at in range(first, first + len(places), IN_TABLE):
            at -= at % IN_TABLE
            start, end = max(at, first), min(at + IN_TABLE, first + len(places))
            leaf = self._leaves[at // IN_TABLE] * PAGE
            self.machine.write(leaf + 8 * (start - at), entries[start - first : end - first].tobytes())

    def place(self, physical: int) -> int | None:
        """The machine address of a guest-physical one; None where the guest has no memory."""
        page = physical // PAGE
        place = self._place[page] if 0 <= page < self.pages else NOWHERE
        return None if place == NOWHERE else int(place) + physical % PAGE

    def trace(self, place: int, on: bool = True) -> None:
        """Note stores of the virtual processor to a page of the machine (TRACED in its row), or stop that."""
        flags = self.machine._a.page_flags
        if on:
            flags[place // PAGE] |= PAGE_TRACED
            self.machine._a.forget_writable()
        else:
            flags[place // PAGE] &= 0xFF - PAGE_TRACED

    def check(self) -> None:
        """The invariant."""
        for at in range(0, self.pages, IN_TABLE):
            leaf = self._leaves[at // IN_TABLE] * PAGE
            entries = np.frombuffer(self.machine.read(leaf, PAGE), "<u8")[: self.pages - at]
            there = np.where(entries & 1, entries & ~np.uint64(0xFFF), np.uint64(0xFFFF_FFFF_FFFF_FFFF))
            assert (there.astype(np.int64) == self._place[at : at + IN_TABLE]).all(), "the tables differ"
        held = self._place[self._place != NOWHERE] // PAGE
        assert all(self.frames.owner(frame) == self.owner for frame in held.tolist()), "a foreign frame"
        assert len(set(held.tolist())) == len(held), "a frame is mapped twice"

    def state(self) -> Any:
        return {"place": self._place.tobytes()}

    def restore(self, state: Any) -> None:
        """The tables themselves lie in the machine's memory, which has been put back."""
        self._place = np.frombuffer(state["place"], np.int64).copy()
