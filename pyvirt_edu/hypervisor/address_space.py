"""The page tables that the real processor uses while a guest runs: a cache of what the guest's own say.

They begin empty. At a page fault the guest's tables are walked as the processor would walk them, on its
virtual processor, and if the access is allowed one entry is put in: a TLB kept by software. A guest
that changes its tables tells the processor so (INVLPG, CR3), and these entries go then.

Invariant: an entry leads to a frame of the guest's map, or to none; it allows no more than the guest's
tables and the map allow; it is writable only if the guest's entry is marked dirty and nobody traces the
page. `check` walks again.
"""

from __future__ import annotations

import struct
from typing import Any

from ..machine.state.layout import PAGE, PAGE_TRACED, TLB_DIRTY, TLB_LARGE, TLB_USER, TLB_WRITE, WRITE
from .frames import Frames, OutOfFrames
from .guest_fault import GuestFault
from .trap_gates import MONITOR_AT, PAGE_DIRECTORY, PRESENT, TrapGates
from .virtual_machine import VirtualMachine

OWNER = "page tables"
E_WRITE, E_USER = 2, 4
NO_TABLE, ABSENT = struct.pack("<I", 0), bytes(PAGE)


class AddressSpace:
    def __init__(self, gates: TrapGates, vm: VirtualMachine, frames: Frames) -> None:
        self.gates, self.vm, self.frames = gates, vm, frames
        self.machine, self.meter = gates.machine, gates.meter
        self.tables: dict[int, int] = {}  # frames of page tables, by index in the directory
        self.large = set[int]()  # indexes with entries of a large page of the guest
        gates._directory(NO_TABLE * 1023)
        self.machine.flush_tlb()

    def fill(self, linear: int, access: int) -> str:
        """Put in the entry for an access that has just faulted: "hidden". There may be none to put in,
        because stores to the page are traced ("trace"), or because the guest's tables forbid the access or
        lead to no memory ("")."""
        if linear >= MONITOR_AT:
            return ""
        try:
            page, rights = self.vm.resolve(linear, access)
        except GuestFault:
            return ""
        finally:
            self.meter.spend("page-table read", 2)
        if page >= self.machine.ram_size:
            return ""
        traced = self.machine._a.page_flags[page // PAGE] & PAGE_TRACED
        if access & WRITE and traced:
            return "trace"
        entry = page | PRESENT
        if rights & TLB_USER:
            entry |= E_USER
        if rights & TLB_WRITE:
            entry |= E_WRITE if rights & TLB_DIRTY and not traced else 0
        elif access & WRITE:  # CR0.WP is clear: the kernel may, programs may not (as KVM does it)
            entry = page | PRESENT | E_WRITE
        self._put(linear, entry)
        if rights & TLB_LARGE:
            self.large.add(linear >> 22)
        return "hidden"

    def _put(self, linear: int, entry: int) -> None:
        index = linear >> 22
        if index not in self.tables:
            self.tables[index] = self._new_table()
            self._write_directory(index, self.tables[index] * PAGE | PRESENT | E_WRITE | E_USER)
        self.meter.spend("page-table write")
        at = self.tables[index] * PAGE + (linear >> 12 & 1023) * 4
        self.machine.write(at, struct.pack("<I", entry))

    def _new_table(self) -> int:
        try:
            (frame,) = self.frames.allocate(OWNER)
        except OutOfFrames:
            self.flush()  # a cache may forget
            (frame,) = self.frames.allocate(OWNER)
        self.machine.write(frame * PAGE, ABSENT)
        self.meter.spend("page-table write", 1024)
        return frame

    def _write_directory(self, index: int, entry: int) -> None:
        self.meter.spend("page-table write")
        self.gates._place(PAGE_DIRECTORY + 4 * index, struct.pack("<I", entry))

    def forget_writable(self, page: int) -> None:
        """No entry lets anybody write a page of memory any more."""
        for linear, entry in self.entries().items():
            if entry & ~0xFFF == page and entry & E_WRITE:
                self._put(linear, entry & ~E_WRITE)
                self.machine.flush_tlb(linear)
                self.meter.spend("INVLPG")

    def flush(self) -> None:
        """Forget everything, as a TLB does when CR3 is loaded."""
        for index in self.tables:
            self._write_directory(index, 0)
        self.frames.free(OWNER, list(self.tables.values()))
        self.tables.clear()
        self.large.clear()
        self.meter.spend("TLB flush")
        self.machine.flush_tlb()

    def flush_page(self, linear: int) -> None:
        """Forget one page, as INVLPG does. A large page of the guest is many here: all in 4 MiB go."""
        index = linear >> 22
        if index in self.large:
            self.large.discard(index)
            self.frames.free(OWNER, [self.tables.pop(index)])
            self._write_directory(index, 0)
            self.machine.flush_tlb()
        elif index in self.tables:
            self._put(linear, 0)
            self.machine.flush_tlb(linear)
        self.meter.spend("INVLPG")

    def entries(self) -> dict[int, int]:
        """Linear page and entry of all that is there."""
        found = {}
        for index, frame in self.tables.items():
            for i, entry in enumerate(struct.unpack("<1024I", self.machine.read(frame * PAGE, PAGE))):
                if entry & PRESENT:
                    found[index << 22 | i << 12] = entry
        return found

    def check(self) -> None:
        """The invariant; entries that a guest has yet to invalidate may be older than its tables."""
        owner, flags = self.vm.map.owner, self.machine._a.page_flags
        for linear, entry in self.entries().items():
            assert self.frames.owner(entry >> 12) == owner, f"{linear:#x} leads to a foreign frame"
            traced = flags[entry >> 12] & PAGE_TRACED
            assert not (entry & E_WRITE and traced), f"{linear:#x} is traced and writable"

    def state(self) -> Any:
        return {"tables": dict(self.tables), "large": sorted(self.large)}

    def restore(self, state: Any) -> None:
        self.tables, self.large = dict(state["tables"]), set(state["large"])
