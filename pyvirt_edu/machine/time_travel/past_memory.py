"""Physical memory as it was at any step of a trace, and what it was mapped to.

Memory at the end of the trace, with the recorded stores undone. A trace that goes through
several address spaces needs it: when somebody looks, the page tables of an early step may
be gone, and their frames used for something else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from ..state.jit import in_python
from ..state.layout import CR4_PAE, CR4_PSE, PAGE
from .snapshots import SavedPages


@cache
def page_tables() -> SimpleNamespace:
    """The shape of the page tables as paging.py has it; that is core, so only who asks loads it."""
    from ..memory import paging

    shape = "entry_address entry_size first_shift index_bits is_large page_of reserved_bits"
    functions = {name: in_python(getattr(paging, name)) for name in shape.split()}
    return SimpleNamespace(**functions, PRESENT=paging.E_PRESENT, PDPT_IN_MEMORY=paging.PDPT_IN_MEMORY)


class Paging(NamedTuple):
    """The control registers that a translation depends on."""

    cr0: int
    cr3: int
    cr4: int


class Walk(NamedTuple):
    """Where a page lay, from one step to another."""

    first: int
    end: int
    physical: int | None


class PastMemory:
    """``read(address, size, step)``: bytes as they were before a step.

    ``stores`` are rows ``(step, address, size, old)`` in the order they happened.
    """

    def __init__(
        self, saved: SavedPages, ram_size: int, stores: Iterable[tuple[int, int, int, int]], length: int
    ) -> None:
        self._saved, self.ram_size, self.length = saved, ram_size, length
        self._pages: dict[int, bytes] = {}
        self._walks: dict[tuple[int, Paging], Walk] = {}
        rows = np.array(list(stores), np.int64).reshape(-1, 4)
        sizes = rows[:, 2]
        byte = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        steps, addresses, _, olds = np.repeat(rows, sizes, axis=0).T  # a row for each byte
        addresses, olds = addresses + byte, olds >> 8 * byte & 0xFF
        # stable: stores of one step to one byte stay in order, the first holds the oldest value
        order = np.lexsort((steps, addresses))
        self._addresses, self._steps, self._olds = addresses[order], steps[order], olds[order]

    def _page(self, number: int) -> bytes:
        if number not in self._pages:
            self._pages[number] = self._saved.page(number)
        return self._pages[number]

    def _end(self, address: int, size: int) -> bytearray:
        """Memory at the end of the trace; nothing is behind the end of RAM."""
        out = bytearray()
        size = max(0, min(size, self.ram_size - address))
        while size:
            part = min(size, PAGE - address % PAGE)
            out += self._page(address // PAGE)[address % PAGE : address % PAGE + part]
            address, size = address + part, size - part
        return out

    def _stores(self, address: int, size: int) -> slice:
        return slice(*np.searchsorted(self._addresses, (address, address + size)).tolist())

    def read(self, address: int, size: int, step: int) -> bytes:
        """Bytes at a physical address before a step; fewer where RAM ends."""
        out = self._end(address, size)
        hits = self._stores(address, size)
        for i in range(hits.stop - 1, hits.start - 1, -1):  # the first store from the step on is undone last
            if self._steps[i] >= step:
                out[int(self._addresses[i]) - address] = int(self._olds[i])
        return bytes(out)

    def read_linear(self, linear: int, size: int, paging: Paging, step: int) -> bytes:
        """Bytes at a linear address before a step; fewer where the mapping ends."""
        out = b""
        while len(out) < size:
            at = linear + len(out) & 0xFFFF_FFFF
            part = min(size - len(out), PAGE - at % PAGE)
            physical = self.translate(at, paging, step)
            found = b"" if physical is None else self.read(physical, part, step)
            out += found
            if len(found) < part:
                break
        return out

    def changes(self, address: int, size: int) -> list[int]:
        """The steps that store to any of these bytes, each once, ascending."""
        return np.unique(self._steps[self._stores(address, size)]).tolist()

    def after(self, address: int, size: int, step: int) -> int:
        """The first step behind a store to any of these bytes that this or a later step makes."""
        later = self._steps[self._stores(address, size)]
        later = later[later >= step]
        return int(later.min()) + 1 if len(later) else self.length

    def word(self, address: int, step: int) -> int:
        """A little-endian word of 32 bits."""
        return int.from_bytes(self.read(address, 4, step), "little")

    def translate(self, linear: int, paging: Paging, step: int) -> int | None:
        """The physical address that a linear one led to (manual 3A, chapter 4), or None."""
        if not paging.cr0 >> 31:
            return linear
        page, low = linear & ~(PAGE - 1), linear & PAGE - 1
        known = self._walks.get((page, paging))
        if known is None or not known.first <= step < known.end:
            known = self._walks[page, paging] = self._walk(page, paging, step)
        return None if known.physical is None else known.physical | low

    def _walk(self, linear: int, paging: Paging, step: int) -> Walk:
        """The walk of paging.py, and from which step to which its entries stayed as they are."""
        tables = page_tables()
        mode, root = paging.cr4 & (CR4_PSE | CR4_PAE), paging.cr3 & 0xFFFF_F000
        if mode & CR4_PAE:
            # the processor holds the four PDPTEs; they are taken to be those in memory
            mode, root = mode | tables.PDPT_IN_MEMORY, paging.cr3 & 0xFFFF_FFE0
        shift, entry, size = tables.first_shift(mode), root, tables.entry_size(mode)
        first, end = 0, self.length + 1
        while True:
            at = tables.entry_address(mode, shift, entry, linear)
            changes = self.changes(at, size)
            place = bisect_left(changes, step)
            first = max([first, *(change + 1 for change in changes[:place])])
            end = min([end, *(change + 1 for change in changes[place:])])
            entry = int.from_bytes(self.read(at, size, step), "little")
            large = tables.is_large(mode, shift, entry)
            if not entry & tables.PRESENT or entry & tables.reserved_bits(mode, shift, large):
                return Walk(first, end, None)
            if large or shift == 12:
                return Walk(first, end, tables.page_of(shift, entry, linear))
            shift -= tables.index_bits(mode)
