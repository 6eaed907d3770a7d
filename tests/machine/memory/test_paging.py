"""Paging, TLB and physical memory: the two memory units against a walker written from the manual.

The walker below (3A, chapter 4) is plain Python and shares nothing with the core. Accesses go
straight to the units `load_slow` and `store_slow`, so that a test sees the event, the error
code and CR2 without a guest that handles them.
"""

from __future__ import annotations

import random
import struct
from typing import NamedTuple

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.memory.hostaccess_ops import HOST_FLUSH_FAST, HOST_FLUSH_TLB, HOST_TRANSLATE
from pyvirt_edu.machine.state.layout import (
    AC,
    AC_FAULT,
    CR2,
    CR3,
    DATA_MISSES,
    DEBUG_PENDING,
    EFLAGS,
    EVENT,
    EVENT_ERROR,
    EVENT_FAULT,
    EVENT_READ,
    EXIT_LINEAR,
    EXIT_PHYSICAL,
    LEDGER,
    PAGE_DIRTY,
    PF_FAULT,
    POSTED,
    POSTED_COUNT,
    STOP,
    TLB_SETS,
    TLB_WAYS,
    USER,
    WALK_REFERENCES,
    WRITE,
)

P, W, U, A, D, PS, G = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
PE, WP, AM, PG = 1, 0x10000, 0x40000, 0x80000000
PSE, PAE, PGE = 0x10, 0x20, 0x80
RAM = 8 << 20
ROOT, TABLES, TABLES_END = 0x1000, 0x2000, 0x10000
DATA = 0x400000  # frames of the random tables lie from here on, some beyond the end of RAM
NO_SEGMENT = 8
ONES = 0xFFFF_FFFF_FFFF_FFFF


def machine(cr4: int = 0, cr0: int = WP, root: int = ROOT) -> Machine:
    m = Machine(RAM, devices=(), history=False)
    m.enter_protected_mode(eip=0x3000, esp=0x8000)
    m.cpu.cr4 = cr4
    m.cpu.cr3 = root
    m.cpu.cr0 = PG | PE | cr0
    return m


def load(m: Machine, linear: int, size: int = 4, access: int = 0) -> int:
    m._row[EVENT] = 0
    return m._units["load_slow"](m._handle, linear, size | NO_SEGMENT << 8 | access << 16, 0)


def store(m: Machine, linear: int, value: int, size: int = 4, access: int = 0) -> None:
    m._row[EVENT] = 0
    m._units["store_slow"](m._handle, linear, size | NO_SEGMENT << 8 | (access | WRITE) << 16, value)


def page_fault(m: Machine) -> tuple[int, int] | None:
    """Error code and address of the page fault that the last access raised, if it did."""
    event = int(m._row[EVENT])
    if event == 0:
        return None
    assert event == EVENT_FAULT | PF_FAULT
    return int(m._row[EVENT_ERROR]), int(m._row[CR2])


def flush(m: Machine) -> None:
    m._host(m._handle, HOST_FLUSH_TLB, 0, 0)


def entry(m: Machine, at: int, value: int, size: int = 4) -> None:
    m.write(at, value.to_bytes(size, "little"))


def map_page(m: Machine, linear: int, frame: int, flags: int = P | W | U) -> None:
    """A 4 KiB page in a two-level table; each 4 MiB has its page table behind the root."""
    table = TABLES + (linear >> 22) % 8 * 0x1000
    entry(m, ROOT + (linear >> 22) * 4, table | P | W | U)
    entry(m, table + (linear >> 12 & 1023) * 4, frame | flags)


def misses(m: Machine) -> int:
    return int(m._row[DATA_MISSES])


# --- the walker of the manual ----------------------------------------------------------


class Walk(NamedTuple):
    error: int | None  # error code of #PF, or None
    physical: int
    marks: dict[int, int]  # entry address: its new value


def manual_walk(memory: bytes, cr0: int, cr3: int, cr4: int, linear: int, writing: bool, user: bool) -> Walk:
    code = W * writing | U * user
    wide = bool(cr4 & PAE)
    fmt, size = ("<Q", 8) if wide else ("<I", 4)
    bits = 9 if wide else 10
    at = cr3 & 0xFFFFF000
    if wide:
        (pointer,) = struct.unpack_from("<Q", memory, (cr3 & ~31) + (linear >> 30) * 8)
        if not pointer & P:
            return Walk(code, 0, {})
        at = pointer & 0xF_FFFF_F000
    path: list[tuple[int, int]] = []
    for shift in (12 + bits, 12):
        where = at + (linear >> shift & (1 << bits) - 1) * size
        (value,) = struct.unpack_from(fmt, memory, where)
        if not value & P:
            return Walk(code, 0, {})
        large = shift > 12 and value & PS and (wide or cr4 & PSE)
        must_be_zero = range(36, 64) if wide else range(0)
        if large:
            must_be_zero = [*range(13, shift), *must_be_zero]
        if any(value >> bit & 1 for bit in must_be_zero):
            return Walk(code | P | 8, 0, {})
        path.append((where, value))
        if large or shift == 12:
            break
        at = value & 0xF_FFFF_F000
    writable = all(value & W for _, value in path)
    for_user = all(value & U for _, value in path)
    if user:
        ok = for_user and (writable or not writing)
    else:
        ok = writable or not writing or not cr0 & WP
    if not ok:
        return Walk(code | P, 0, {})
    marks = {where: value | A for where, value in path}
    if writing:
        marks[where] |= D
    inside = (1 << shift) - 1
    return Walk(None, (value & 0xF_FFFF_FFFF & ~inside) | linear & inside, marks)


def random_entry(rng: random.Random, frame: int, wide: bool) -> int:
    value = frame | rng.choice((P, P, P, P, P, 0)) | rng.choice((W, W, 0)) | rng.choice((U, U, 0))
    value |= rng.choice((0, 0, A, A | D)) | rng.choice((0, 0, G)) | rng.randrange(8) << 9
    if wide and rng.random() < 0.05:
        value |= 1 << rng.randrange(36, 64)
    return value


def random_tables(rng: random.Random, m: Machine, cr4: int) -> list[int]:
    """Fill the paging structures; linear addresses worth trying."""
    wide = bool(cr4 & PAE)
    size, entries, shift = (8, 512, 21) if wide else (4, 1024, 22)
    large = 1 << shift
    directories = [ROOT]
    if wide:
        directories = [TABLES, TABLES + 0x1000, TABLES + 0x2000]
        for i, at in enumerate([*directories, 0]):
            entry(m, ROOT + 8 * i, at | P * bool(at), 8)
    tables = range(TABLES + 0x3000, TABLES_END, 0x1000)
    for table in tables:
        for i in rng.sample(range(entries), 20):
            frame = DATA + rng.randrange(RAM // 0x1000 * 5 // 8) * 0x1000
            entry(m, table + i * size, random_entry(rng, frame, wide), size)
    addresses = []
    for number, directory in enumerate(directories):
        for i in rng.sample(range(entries), 40):
            if rng.random() < 0.25:
                frame = rng.choice((DATA, DATA + 0x400000)) + (large if wide and rng.random() < 0.5 else 0)
                value = random_entry(rng, frame, wide) | PS
                if rng.random() < 0.2:
                    value |= 1 << rng.randrange(13, shift)
                if not cr4 & (PSE | PAE):
                    value = rng.choice(tables) | value & 0xFFF  # bit 7 means nothing then
            else:
                value = random_entry(rng, rng.choice(tables), wide)
            entry(m, directory + i * size, value, size)
            base = number << 30 | i << shift
            table = value & 0xFFFFF000
            for _ in range(4):
                index = rng.randrange(entries if not wide else 512)
                if table in tables and rng.random() < 0.8:
                    used = [n for n in range(entries) if any(m.read(table + n * size, size))]
                    index = rng.choice(used)
                addresses.append((base + index * 0x1000) & 0xFFFFF000 | rng.randrange(0x1000 // 4) * 4)
    addresses.append(0xFFFFF000)
    return addresses


@pytest.mark.parametrize("cr0", [0, WP])
@pytest.mark.parametrize("cr4", [0, PSE, PSE | PGE, PAE, PAE | PGE | PSE])
def test_random_tables_against_the_manual(cr4: int, cr0: int) -> None:
    """Value, fault, error code, CR2, and each accessed and dirty bit; the TLB empty or not."""
    rng = random.Random(cr4 << 20 | cr0)
    m = machine(0, cr0)
    m.cpu.cr0 = PE
    addresses = random_tables(rng, m, cr4)
    m.cpu.cr4 = cr4
    m.cpu.cr0 = PG | PE | cr0
    faults = 0
    for number in range(600):
        linear, writing, user = rng.choice(addresses), rng.random() < 0.5, rng.random() < 0.5
        if number % 2:
            flush(m)
        before = m.read(0, TABLES_END)
        want = manual_walk(before, cr0, ROOT, cr4, linear, writing, user)
        expected = bytearray(before)
        for where, value in want.marks.items():
            expected[where : where + 4] = (value & 0xFFFF_FFFF).to_bytes(4, "little")
        access = USER * user
        # a translation without side effects agrees on what is mapped, and changes nothing
        if want.error is None:
            assert m._host(m._handle, HOST_TRANSLATE, linear, 0) == want.physical
            assert m.read(0, TABLES_END) == before
        if writing:
            value = rng.getrandbits(32)
            store(m, linear, value, 4, access)
        else:
            value = load(m, linear, 4, access)
        if want.error is not None:
            faults += 1
            assert page_fault(m) == (want.error, linear), hex(linear)
        else:
            assert page_fault(m) is None, hex(linear)
            there = want.physical + 4 <= RAM
            if there or not writing:
                stored = m.read(want.physical, 4) if there else b"\xff" * 4
                assert value == int.from_bytes(stored, "little"), hex(linear)
        assert m.read(0, TABLES_END) == bytes(expected), hex(linear)
    assert 100 < faults < 550


def test_bits_of_an_absent_entry_mean_nothing() -> None:
    """3A 4.7: P is 0 in the error code, whatever else the entry holds."""
    m = machine(PSE)
    entry(m, ROOT + 4, 0xFFFF_FFFE)
    load(m, 0x400000, access=USER)
    assert page_fault(m) == (U, 0x400000)


# --- TLB -------------------------------------------------------------------------------


def test_hits_cost_nothing_and_replacement_is_first_in_first_out() -> None:
    m = machine()
    step = TLB_SETS * 0x1000  # pages of one set
    pages = [i * step for i in range(TLB_WAYS + 1)]
    for page in pages:
        map_page(m, page, DATA + page)
    flush(m)
    start = misses(m)
    for page in pages[:TLB_WAYS]:
        load(m, page)
    assert misses(m) - start == TLB_WAYS
    for page in reversed(pages[:TLB_WAYS]):
        load(m, page)
    assert misses(m) - start == TLB_WAYS  # all four are there
    load(m, pages[0])  # a hit does not make it younger
    load(m, pages[TLB_WAYS])
    load(m, pages[0])
    assert misses(m) - start == TLB_WAYS + 2
    load(m, pages[2])
    assert misses(m) - start == TLB_WAYS + 2


def test_what_a_walk_costs() -> None:
    """Two references for a 4 KiB page, one for a large one; the first store walks again."""
    m = machine(PSE)
    map_page(m, 0x1000, DATA)
    entry(m, ROOT + 4, DATA | P | W | PS)
    references = m._row[WALK_REFERENCES].item()
    m._row[LEDGER] = 0
    load(m, 0x1000)
    assert m._row[WALK_REFERENCES] - references == 2
    first = m._row[LEDGER].item()
    assert first > 0
    load(m, 0x1FFC)
    assert m._row[WALK_REFERENCES] - references == 2 and m._row[LEDGER] == first
    store(m, 0x1000, 1)  # the entry is not dirty yet
    store(m, 0x1004, 1)
    assert m._row[WALK_REFERENCES] - references == 4
    load(m, 0x400000)
    assert m._row[WALK_REFERENCES] - references == 5


def test_a_stale_translation_lives_until_it_is_dropped() -> None:
    m = machine()
    map_page(m, 0x5000, DATA)
    entry(m, DATA, 111)
    entry(m, DATA + 0x1000, 222)
    assert load(m, 0x5000) == 111
    map_page(m, 0x5000, DATA + 0x1000)
    assert load(m, 0x5000) == 111
    m.cpu.cr3 = ROOT
    assert load(m, 0x5000) == 222


def test_global_pages_survive_a_load_of_cr3() -> None:
    """3A 4.10.2.4; a change of CR4.PGE drops them too."""
    m = machine(PGE)
    map_page(m, 0x5000, DATA, P | W | G)
    map_page(m, 0x6000, DATA, P | W)
    load(m, 0x5000), load(m, 0x6000)
    start = misses(m)
    m.cpu.cr3 = ROOT
    load(m, 0x5000)
    assert misses(m) == start
    load(m, 0x6000)
    assert misses(m) == start + 1
    m.cpu.cr4 = 0
    load(m, 0x5000)
    assert misses(m) == start + 2


def test_invlpg_drops_one_page_and_all_of_a_large_one() -> None:
    m = machine(PSE)
    map_page(m, 0x3000, 0x3000)
    map_page(m, 0x5000, DATA)
    map_page(m, 0x6000, DATA)
    entry(m, ROOT + 4, DATA | P | W | PS)
    m.load(assemble("invlpg [0x5000]\ninvlpg [0x7FF000]\nhlt", origin=0x3000, bits=32), at=0x3000)
    touched = (0x5000, 0x6000, 0x400000, 0x6AB000)
    for page in touched:
        load(m, page)
    start = misses(m)
    assert m.run(10).reason == "halt"
    for page in touched:
        load(m, page)
    assert misses(m) == start + 3  # all but 0x6000


def test_the_fast_path_forgets_what_the_tlb_replaced() -> None:
    """A walk on a TLB hit (first store to a page) finds the page moved: every later access,
    fast or slow, goes to the new place."""
    program = f"""
        mov eax, [0x5000]           ; the fast path learns DATA
        mov dword [{0x8000 + 5 * 4}], {DATA + 0x1000 | P | W}  ; another frame, no INVLPG
        mov dword [0x5000], 1       ; not dirty: a walk, and the TLB has the new frame
        mov dword [0x5000], 2
        mov eax, [0x5000]
        hlt
    """
    results = []
    for forget in (False, True):
        m = machine()
        map_page(m, 0x3000, 0x3000)
        map_page(m, 0x8000, TABLES)  # the page table itself
        map_page(m, 0x5000, DATA, P | W)
        m.load(assemble(program, origin=0x3000, bits=32), at=0x3000)
        for _ in range(6):
            m.step()
            if forget:
                m._host(m._handle, HOST_FLUSH_FAST, 0, 0)
        results.append((m.cpu.eax, m.read(DATA, 4), m.read(DATA + 0x1000, 4)))
    assert results[0] == results[1] == (2, bytes(4), b"\2\0\0\0")


# --- accesses that cross a page --------------------------------------------------------


@pytest.mark.parametrize("size", [2, 4, 8])
def test_split_accesses(size: int) -> None:
    m = machine()
    map_page(m, 0x5000, DATA + 0x7000)
    map_page(m, 0x6000, DATA)
    for inside in range(1, size):
        value = random.Random(inside).getrandbits(8 * size)
        linear = 0x6000 - inside
        store(m, linear, value, size)
        assert page_fault(m) is None
        image = value.to_bytes(size, "little")
        assert m.read(DATA + 0x8000 - inside, inside) == image[:inside]
        assert m.read(DATA, size - inside) == image[inside:]
        assert load(m, linear, size) == value


def test_a_split_store_writes_both_pages_or_none() -> None:
    """The fault names the first byte that could not be reached."""
    m = machine()
    map_page(m, 0x5000, DATA)
    map_page(m, 0x6000, DATA + 0x1000, P)
    store(m, 0x5FFE, 0x11223344)
    assert page_fault(m) == (P | W, 0x6000)
    assert m.read(DATA + 0xFFE, 4) == bytes(4)
    map_page(m, 0x5000, DATA, 0)
    flush(m)
    store(m, 0x5FFE, 0x11223344)
    assert page_fault(m) == (W, 0x5FFE)


def test_linear_addresses_wrap() -> None:
    m = machine()
    map_page(m, 0xFFFFF000, DATA)
    map_page(m, 0, DATA + 0x5000)
    store(m, 0xFFFFFFFE, 0xAABBCCDD)
    assert page_fault(m) is None
    assert m.read(DATA + 0xFFE, 2) == b"\xdd\xcc" and m.read(DATA + 0x5000, 2) == b"\xbb\xaa"


# --- physical memory -------------------------------------------------------------------


def flat() -> Machine:
    m = Machine(RAM, devices=(), history=False)
    m.enter_protected_mode(eip=0x3000, esp=0x8000)
    return m


def test_the_a20_gate() -> None:
    m = flat()
    entry(m, 0x1234, 5)
    entry(m, 0x101234, 6)
    assert load(m, 0x101234) == 6
    m.a20 = False
    assert load(m, 0x101234) == 5 and load(m, 0x301234) == 0
    store(m, 0x101234, 7)
    m.a20 = True
    assert load(m, 0x1234) == 7 and load(m, 0x101234) == 6


def test_the_a20_gate_under_paging() -> None:
    """The walk itself goes through the gate, too."""
    m = machine()
    map_page(m, 0x5000, 0x500000)
    entry(m, 0x400000, 9)
    m.a20 = False
    assert load(m, 0x5000) == 9
    m.cpu.cr3 = 0x100000 | ROOT
    assert m._row[CR3] == 0x100000 | ROOT
    assert load(m, 0x5000) == 9


def test_the_a20_gate_in_a_large_page() -> None:
    m = machine(PSE)
    entry(m, ROOT + 4, DATA | P | W | PS)
    entry(m, DATA + 0x5000, 4)
    m.a20 = False
    assert load(m, 0x505000) == 4 and m.translate(0x505000) == DATA + 0x5000


def test_nobody_there() -> None:
    m = flat()
    assert [load(m, 0xE0000000, size) for size in (1, 2, 4, 8)] == [ONES >> 64 - 8 * n for n in (1, 2, 4, 8)]
    store(m, 0xE0000000, 1)
    assert m._row[EVENT] == 0 and load(m, 0xE0000000) == 0xFFFF_FFFF


def test_a_claimed_range() -> None:
    """A load waits for an answer; a store is noted and stops the block."""
    m = flat()
    m.on_mmio(0xF0000000, 16)
    load(m, 0xF0000004, 2)
    assert m._row[EVENT] == EVENT_READ and m._row[EXIT_PHYSICAL] == 0xF0000004
    store(m, 0xF0000008, 0x1234, 2)
    assert m._row[EVENT] == 0 and m._row[POSTED_COUNT] == 1 and m._row[STOP] == 1
    assert m._row[POSTED] == 0xF0000008 | 2 << 56 | 1 << 60 and m._row[POSTED + 1] == 0x1234
    assert load(m, 0xF0000010) == 0xFFFF_FFFF  # just behind it


def test_stores_mark_pages_dirty() -> None:
    m = flat()
    m._a.page_flags[:] = 0
    m._host(m._handle, HOST_FLUSH_FAST, 0, 0)
    store(m, 0x5FFE, 1)
    assert [i for i in range(16) if m._a.page_flags[i] & PAGE_DIRTY] == [5, 6]


# --- alignment, watchpoints ------------------------------------------------------------


def test_alignment_checks() -> None:
    """3A 6.15, interrupt 17: only for CPL 3, with CR0.AM and EFLAGS.AC."""
    m = machine(cr0=AM)
    map_page(m, 0x5000, DATA)
    m._row[EFLAGS] |= AC
    for linear, size, fails in (
        (0x5001, 2, 1),
        (0x5002, 2, 0),
        (0x5002, 4, 1),
        (0x5003, 1, 0),
        (0x5004, 8, 1),
    ):
        load(m, linear, size, USER)
        assert m._row[EVENT] == (EVENT_FAULT | AC_FAULT) * fails, (hex(linear), size)
        load(m, linear, size)
        assert m._row[EVENT] == 0
    m._row[EFLAGS] &= ~AC & 0xFFFF_FFFF
    load(m, 0x5001, 2, USER)
    assert m._row[EVENT] == 0


@pytest.mark.parametrize(
    ("kind", "length", "linear", "size", "writing", "hit"),
    [
        (1, 3, 0x5000, 4, True, True),
        (1, 3, 0x5000, 4, False, False),  # write only
        (3, 3, 0x5003, 1, False, True),
        (3, 3, 0x5004, 1, False, False),
        (3, 0, 0x4FFE, 4, True, True),  # a store that crosses into the watched page
        (1, 1, 0x5001, 1, True, True),  # two bytes, aligned down
        (0, 0, 0x5000, 4, False, False),  # execution
    ],
)
def test_data_breakpoints(kind: int, length: int, linear: int, size: int, writing: bool, hit: bool) -> None:
    """3B 17.2.4 and 17.2.5: kinds, lengths, overlaps."""
    m = flat()
    m.cpu.dr1 = 0x5000
    m.cpu.dr7 = 1 << 2 | kind << 20 | length << 22
    if writing:
        store(m, linear, 0, size)
    else:
        load(m, linear, size)
    assert m._row[DEBUG_PENDING] == 2 * hit


def test_a_watchpoint_says_where() -> None:
    m = flat()
    m.watch(0x5002, 2)
    store(m, 0x5000, 1, 2)
    assert m._row[STOP] == 0
    store(m, 0x5000, 1, 4)
    assert m._row[STOP] == 1 and m._row[EXIT_LINEAR] == 0x5000


ACCESSES = {  # an instruction, and how many times it goes to memory
    "8B0500900000": 1,  # mov eax, [9000h]
    "890500900000": 1,  # mov [9000h], eax
    "010500900000": 2,  # add [9000h], eax
    "030500900000": 1,  # add eax, [9000h]
    "50": 1,  # push eax
    "58": 1,  # pop eax
    "FF3500900000": 2,  # push dword [9000h]
    "8F0500900000": 2,  # pop dword [9000h]
    "668F0500900000": 2,  # pop word [9000h]
    "F60500900000FF": 1,  # test byte [9000h], FFh
    "90": 0,
}


@pytest.mark.parametrize("repeat", [1, 5])
@pytest.mark.parametrize("code", ACCESSES)
def test_data_accesses_are_counted(code: str, repeat: int) -> None:
    """With paging, each data access asks the TLB once; so says the ledger, for one step or a block."""
    m = machine()
    for page in range(16):
        map_page(m, page << 12, page << 12)
    flush(m)
    m.write(0x3000, bytes.fromhex(code) * repeat + b"\xf4")
    before = m.ledger.data_accesses
    m.run(max_instructions=repeat)
    assert m.ledger.data_accesses - before == ACCESSES[code] * repeat
