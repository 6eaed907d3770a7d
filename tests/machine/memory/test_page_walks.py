"""The walker's other users: what a walk notes, nested tables, and walks of the past.

That the processor's own walk is right says test_paging.py, by a walker written from the manual.
"""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.memory.paging import (
    ACCESS,
    DENIED,
    DENIED_NESTED,
    FAULT_PRESENT,
    LOOK,
    PDPT_IN_MEMORY,
    walk,
)
from pyvirt_edu.machine.python_side.memory import PageWalk, Reference
from pyvirt_edu.machine.state.layout import (
    NOTED_ADDRESS,
    NOTED_INNER,
    NOTED_SHIFT,
    PAGE_DIRTY,
    TLB_DIRTY,
    TLB_USER,
    TLB_WRITE,
    USER,
    WALK,
    WALK_COUNT,
    WRITE,
)
from pyvirt_edu.machine.time_travel.past_memory import Paging

P, W, U, A, D, PS, G = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
WP, PSE, PAE = 0x10000, 0x10, 0x20
ALL = P | W | U
u64 = np.uint64


def bare(ram: str = "8MiB") -> Machine:
    m = Machine(ram=ram, devices=(), history=False)
    m.enter_protected_mode(eip=0x3000, esp=0x8000)
    return m


def put(m: Machine, at: int, value: int, size: int = 4) -> None:
    m.write(at, value.to_bytes(size, "little"))


def entry(m: Machine, at: int, size: int = 4) -> int:
    return int.from_bytes(m.read(at, size), "little")


# --- what a walk reads ------------------------------------------------------------------


def test_two_levels_are_two_references() -> None:
    m = bare()
    put(m, 0x1004, 0x2000 | ALL)
    put(m, 0x2008, 0x5000 | ALL)
    m.cpu.cr3, m.cpu.cr0 = 0x1000, 0x8000_0001
    found = m.walk(0x402123)
    assert found.physical == 0x5123
    assert found.references == (Reference(0x1004, 0x2000 | ALL, 22), Reference(0x2008, 0x5000 | ALL, 12))
    assert entry(m, 0x1004) == 0x2000 | ALL, "a look marks nothing"
    assert m.ledger.walk_references == 0


def test_a_walk_that_ends_early_shows_where() -> None:
    m = bare()
    put(m, 0x1004, 0x2000 | ALL)
    m.cpu.cr3, m.cpu.cr0 = 0x1000, 0x8000_0001
    assert m.walk(0x402123) == (None, (Reference(0x1004, 0x2000 | ALL, 22), Reference(0x2008, 0, 12)))
    assert m.walk(0x1234) == (None, (Reference(0x1000, 0, 22),))


def test_large_pages_and_pae() -> None:
    m = bare()
    put(m, 0x1004, 0x400000 | ALL | PS)
    m.cpu.cr4, m.cpu.cr3, m.cpu.cr0 = PSE, 0x1000, 0x8000_0001
    assert m.walk(0x6ABCDE) == (0x6ABCDE, (Reference(0x1004, 0x400000 | ALL | PS, 22),))
    m = bare()
    put(m, 0x1008, 0x2000 | P, 8)
    put(m, 0x2010, 0x3000 | ALL, 8)
    put(m, 0x3018, 0x7000 | ALL, 8)
    m.cpu.cr4, m.cpu.cr3, m.cpu.cr0 = PAE, 0x1000, 0x8000_0001
    # the PDPTE is in a register: two references
    wanted = (Reference(0x2010, 0x3000 | ALL, 21), Reference(0x3018, 0x7000 | ALL, 12))
    assert m.walk(0x4040_3004) == (0x7004, wanted)


def test_without_paging_nothing_is_read() -> None:
    assert bare().walk(0x1234) == (0x1234, ())


# --- nested tables ----------------------------------------------------------------------

GUEST, HOST = 0x10000, 0x40000  # where the tables of each begin
TWO, THREE = WP, WP | PAE | PDPT_IN_MEMORY


class Tables:
    """Page tables of one format, filled as pages are mapped. ``at`` says where a table lies in RAM."""

    def __init__(self, m: Machine, mode: int, first: int, base: int = 0) -> None:
        self.m, self.mode, self.base = m, mode, base
        self.next = first + 0x1000
        self.root = first | P
        self.made: dict[tuple[int, int], int] = {}

    def map(self, linear: int, frame: int, flags: int = ALL) -> int:
        """Map a page; returns where its entry lies in RAM."""
        levels, size = ((22, 10), (12, 10)), 4
        if self.mode & PAE:
            levels, size = ((30, 2), (21, 9), (12, 9)), 8
        table = self.root & ~P
        for shift, bits in levels:
            at = self.base + table + (linear >> shift & (1 << bits) - 1) * size
            if shift == 12:
                put(self.m, at, frame | flags, size)
                return at
            key = shift, linear >> shift
            if key not in self.made:
                self.made[key] = self.next
                self.next += 0x1000
                put(self.m, at, self.made[key] | (P if shift == 30 else ALL), size)
            table = self.made[key]
        raise AssertionError


SHIFTED = 0x200000  # where the host has put the guest's memory


def nested(guest_mode: int, host_mode: int) -> tuple[Machine, Tables, Tables]:
    """A guest whose memory is RAM from SHIFTED on, with its own tables in it."""
    m = bare()
    host = Tables(m, host_mode, HOST)
    for page in range(0, 0x80000, 0x1000):
        host.map(page, SHIFTED + page)
    return m, Tables(m, guest_mode, GUEST, SHIFTED), host


def through(guest: Tables, host: Tables, linear: int, access: int, how: int = ACCESS) -> tuple[int, int, int]:
    m = guest.m
    m._row[WALK_COUNT] = 0
    context = tuple(map(u64, (guest.mode, guest.root, host.mode, host.root, 0)))
    page, rights, wrong = walk(u64(m._handle), context, u64(linear), u64(access), u64(how))
    return int(page), int(rights), int(wrong)


def noted(m: Machine) -> list[tuple[int, int, bool]]:
    words = m._row[WALK : WALK + 2 * int(m._row[WALK_COUNT]) : 2].tolist()
    return [(w & NOTED_ADDRESS, w >> NOTED_SHIFT & 63, bool(w & NOTED_INNER)) for w in words]


@pytest.mark.parametrize(
    "guest_mode, host_mode, count", [(TWO, TWO, 8), (TWO, THREE, 11), (THREE, TWO, 11), (THREE, THREE, 15)]
)
def test_a_nested_walk_reads_each_pair_of_levels(guest_mode: int, host_mode: int, count: int) -> None:
    """n levels over m: (n + 1)(m + 1) - 1 references (Bhargava et al., ASPLOS 2008)."""
    m, guest, host = nested(guest_mode, host_mode)
    place = guest.map(0x40_2000, 0x33000)
    page, rights, wrong = through(guest, host, 0x40_2678, USER | WRITE)
    assert (page, wrong) == (SHIFTED + 0x33000, 0)
    assert rights & (TLB_WRITE | TLB_USER | TLB_DIRTY) == TLB_WRITE | TLB_USER | TLB_DIRTY
    seen = noted(m)
    assert len(seen) == count
    own = [address for address, _, inner in seen if not inner]
    assert own[-1] == place and all(SHIFTED <= address < SHIFTED + 0x80000 for address in own)
    assert all(HOST <= address < SHIFTED for address, _, inner in seen if inner)
    assert entry(m, place) & (A | D) == A | D, "the guest's own entry is marked in the guest's memory"


def test_the_nested_tables_have_the_last_word() -> None:
    m, guest, host = nested(TWO, TWO)
    guest.map(0x40_2000, 0x33000)
    at = host.map(0x33000, SHIFTED + 0x33000, P | U)
    page, rights, wrong = through(guest, host, 0x40_2000, USER)
    assert wrong == 0 and rights & TLB_WRITE == 0, "read-only below is read-only"
    page, _, wrong = through(guest, host, 0x40_2000, USER | WRITE)
    assert wrong == DENIED_NESTED | DENIED | FAULT_PRESENT and page == 0x33000, "which guest page it was"
    put(m, at, 0)
    assert through(guest, host, 0x40_2000, USER)[2] == DENIED_NESTED | DENIED


def test_the_guests_own_refusal_is_the_guests() -> None:
    m, guest, host = nested(TWO, THREE)
    guest.map(0x40_2000, 0x33000, P | W)
    assert through(guest, host, 0x40_2000, USER)[2] == DENIED | FAULT_PRESENT
    assert through(guest, host, 0x40_3000, USER)[2] == DENIED


def test_an_entry_that_is_marked_is_not_written_again() -> None:
    """3A 4.8: the processor sets the flags where they are clear."""
    m, guest, host = nested(TWO, TWO)
    guest.map(0x40_2000, 0x33000)
    for dirty in (True, False):
        m._a.page_flags[:] = 0
        assert through(guest, host, 0x40_2000, USER | WRITE)[2] == 0
        assert bool((m._a.page_flags & PAGE_DIRTY).any()) == dirty


def test_a_look_marks_nothing_in_either() -> None:
    m, guest, host = nested(TWO, TWO)
    guest.map(0x40_2000, 0x33000)
    before = m.read(0, m.ram_size)
    assert through(guest, host, 0x40_2000, USER | WRITE, LOOK)[2] == 0
    assert m.read(0, m.ram_size) == before and m.ledger.walk_references == 0


# --- the past ---------------------------------------------------------------------------


@pytest.mark.parametrize("cr4, seed", list(product((0, PSE, PAE), range(3))))
def test_the_past_is_walked_like_the_present(cr4: int, seed: int) -> None:
    """Random tables; a trace that then changes them; at each end both walks agree on every address."""
    rng = random.Random(f"{cr4} {seed}")
    m = bare()
    size = 8 if cr4 & PAE else 4
    if cr4 & PAE:
        for i in range(4):
            put(m, 0x1000 + 8 * i, 0x2000 + 0x1000 * i | P, 8)
    first = 0x2000 if cr4 & PAE else 0x1000
    for at in range(first, 0xA000, size):
        if rng.random() < 0.7:
            flags = rng.choice([P, P | W, ALL, ALL | PS, 0, P | G])
            put(m, at, rng.randrange(2, 10) * 0x1000 + (rng.random() < 0.1) * 0x40_0000 | flags, size)
    addresses = [rng.randrange(1 << 32) for _ in range(60)]
    addresses += [rng.randrange(1 << 24) for _ in range(60)]

    def present() -> list[PageWalk]:
        """What the processor finds, with paging on for a moment."""
        kept = m.cpu.cr0, m.cpu.cr4
        m.cpu.cr4, m.cpu.cr3 = cr4, 0x1000
        m.cpu.cr0 = 0x8000_0001
        found = [m.walk(address) for address in addresses]
        m.cpu.cr0 = kept[0]
        m.cpu.cr4 = kept[1]
        return found

    before = present()
    read = [reference.address for found in before for reference in found.references if reference.shift < 30]
    code = "".join(
        f"mov dword [{rng.choice(read):#x}], {rng.randrange(2, 10) * 0x1000 | ALL:#x}\n" for _ in range(40)
    )
    m.load(assemble(code + "hlt", origin=0x20000), at=0x20000)
    m.cpu.eip = 0x20000
    trace = m.trace(40)
    after = present()
    assert before != after
    past, paging = trace.past, Paging(0x8000_0001, 0x1000, cr4)
    for step, then in ((0, before), (40, after)):
        assert [past.translate(at, paging, step) for at in addresses] == [found.physical for found in then]
