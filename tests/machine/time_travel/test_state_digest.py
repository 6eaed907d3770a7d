"""The digest sees every word of state, and what it leaves out may be left out."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.registers import arithmetic_flags, lazy_pair
from pyvirt_edu.machine.state import layout as at
from pyvirt_edu.machine.time_travel.state_digest import (
    DERIVED,
    LEFT_OUT,
    OF_THE_RUN,
    ONE_SPELLING,
    SCRATCH,
    digest,
    recompute,
)

from ...devices.test_one_machine import guest as waiting
from ..every_mode import guest
from ..test_fuzz import random_machine
from .test_one_machine import program

NAMES = [
    name if kind.shape == () else f"{name}[{i}]"
    for name, (kind, _) in ((n, at.CPU_DTYPE.fields[n][:2]) for n in at.CPU_DTYPE.names)  # type: ignore
    for i in range(kind.itemsize // 8)
]
UNSEEN = frozenset(LEFT_OUT.tolist())
# A bit of each of these says nothing: here is one that does.
TELLING = {at.CC_RESULT: (0, 32, 47), at.CC_CARRIES: (3, 30, 31)}


def stopped(seed: int) -> Iterator[Machine]:
    """One machine at many random places: every mode, the x87, faults, halted, in shadows."""
    rng = random.Random(seed)
    m = (guest, program, random_machine, lambda _: waiting())[seed % 4](seed)
    for _ in range(80):
        yield m
        if rng.random() < 0.3:
            out = m.run(max_cycles=rng.randrange(5000))
        else:
            out = m.run(max_instructions=rng.choice((1, 1, 1, 2, rng.randrange(200))))
        if out.reason == "shutdown":
            return


# --- every word is seen --------------------------------------------------------------------------


def test_the_list_names_words_once() -> None:
    lists = (DERIVED, OF_THE_RUN, SCRATCH, ONE_SPELLING)
    names = [name for reasons in lists for name in reasons]
    assert len(names) == len(set(names)) and set(names) <= set(at.CPU_DTYPE.names or ())
    assert all(reason for reasons in lists for reason in reasons.values())


@pytest.fixture(scope="module")
def some() -> Machine:
    """A machine in the midst of its work, with translations in both TLBs, an answer waiting and a
    write under way."""
    m = Machine(ram="64KiB", devices=())
    other = guest(0)
    other.run(max_instructions=2000)
    m._a.words[:], m._a.tlb[:] = other._a.words, other._a.tlb
    m._row[at.SHADOW] = 0
    m._row[at.REPLAY_COUNT], m._row[at.POSTED_COUNT] = at.REPLAY_ROOM, at.POSTED_ROOM
    return m


def test_every_word_of_a_processor(some: Machine) -> None:
    """Turned over once, a word is seen exactly if no list names it."""
    row, before = some._row, digest(some._a)
    for word, name in enumerate(NAMES):
        kept = row[word]
        for bit in TELLING.get(word, (0, 17, 63)):
            row[word] = kept ^ np.uint64(1 << bit)
            if word in (at.REPLAY_COUNT, at.POSTED_COUNT):
                row[word] = kept - np.uint64(1 + bit % 3)
            assert (digest(some._a) == before) == (word in UNSEEN), (name, bit)
            row[word] = kept
    assert digest(some._a) == before


def test_every_word_of_the_tlbs(some: Machine) -> None:
    before = digest(some._a)
    valid = np.flatnonzero(some._a.tlb[0, : at.TLB_ENTRIES]["tag"] & at.TLB_VALID)
    assert valid[0] < at.FETCH_TLB <= valid[-1]
    empty = set(range(at.TLB_ENTRIES)) - set(valid.tolist())
    entries = [(int(i), field) for i in valid for field in at.TLB_DTYPE.names or ()]
    entries += [(i, "tag") for i in (min(empty), max(empty), *range(at.TLB_FIFO, at.TLB_ROWS))]
    for i, field in entries:
        some._a.tlb[0, i][field] ^= np.uint64(1)
        assert digest(some._a) != before, (i, field)
        some._a.tlb[0, i][field] ^= np.uint64(1)
    some._a.tlb[0, min(empty)]["page"] = 0x5000  # what a dropped entry held means nothing
    assert digest(some._a) == before


def test_every_word_of_the_devices(some: Machine) -> None:
    before = digest(some._a)
    for words, step in ((some._a.devices, 1), (some._a.device_bytes, 1021), (some._a.ram, 4093)):
        for i in range(0, len(words), step):
            words[i] ^= words.dtype.type(1)
            assert digest(some._a) != before, i
            words[i] ^= words.dtype.type(1)
    assert digest(some._a) == before


def test_what_waits_in_python() -> None:
    """Writes to ports that their owner has not seen yet, and what was written to disks."""
    m = Machine(ram="1MiB")
    disk = m.attach_disk(bytes(512 * 64))
    seen = [m.digest()]
    m._queue.append((1 << 56 | 0x80, 5))
    seen.append(m.digest())
    disk.write(3, b"a" * 512, cached=True)
    seen.append(m.digest())
    disk.flush()
    seen.append(m.digest())
    disk.write(4, b"a" * 512)
    seen.append(m.digest())
    assert len(set(seen)) == 5


def ran(source: str) -> str:
    m = Machine(ram="64KiB", devices=())
    m.enter_protected_mode(eip=0x1000, esp=0x8000)
    m.load(assemble(source), at=0x8000)
    m.cpu.eip = 0x8000
    m.run(max_instructions=2)
    m.write(0x8000, bytes(16))
    return m.digest()


def test_the_x87_is_seen() -> None:
    assert ran("fldz\n fldz") == ran("fldz\n fldz") != ran("fld1\n fldpi")


def test_flags_are_hashed_not_their_spelling() -> None:
    m = Machine(ram="64KiB", devices=())
    by_flags: dict[int, set[str]] = {}
    rng = random.Random(1)
    for _ in range(400):
        pair = rng.getrandbits(48) & rng.choice((0, 0xFF, 0x1_0000_00FF, -1 << 32, -1)), rng.getrandbits(32)
        flags = arithmetic_flags(*pair)
        for m._row[at.CC_RESULT], m._row[at.CC_CARRIES] in (pair, lazy_pair(flags)):
            by_flags.setdefault(flags, set()).add(m.digest())
    assert len(by_flags) > 40 and all(len(seen) == 1 for seen in by_flags.values())
    assert len(set.union(*by_flags.values())) == len(by_flags)


# --- what is left out can be left out ------------------------------------------------------------


def disturb(m: Machine, name: str, rng: np.random.Generator) -> None:
    """Noise in a field of the row."""
    row = m._a.processors[:1]
    row[name] = rng.integers(0, 1 << 63, row[name].shape, np.uint64)


def attention_is_due(m: Machine) -> bool:
    """Whether something waits that the next boundary must look at (attention.py)."""
    row = m._row.tolist()
    waits = any(row[i] for i in (at.SHADOW, at.TRAP_AFTER, at.DEBUG_PENDING, at.HALTED, at.SERVICE))
    waits |= bool(row[at.NMI_PENDING] or row[at.POSTED_COUNT] or row[at.TRACING])
    interrupt = row[at.INTERRUPT_LINE] or row[at.INTERRUPT_PIN]
    return waits or bool(row[at.EFLAGS] & (at.TF | at.RF) or (row[at.EFLAGS] & at.IF and interrupt))


def test_the_stops_are_everywhere() -> None:
    seen = {"halted": 0, "shadow": 0, "trap": 0, "x87": 0, "ring 3": 0, "PAE": 0, "faulted": 0}
    for seed in range(12):
        for m in stopped(seed):
            row = m._row.tolist()
            seen[m.cpu.mode] = seen.get(m.cpu.mode, 0) + 1
            seen["halted"] += row[at.HALTED]
            seen["shadow"] += row[at.SHADOW] != 0
            seen["trap"] += row[at.TRAP_AFTER]
            seen["x87"] += row[at.X87_VALID] not in (0, 0xFF)
            seen["ring 3"] += row[at.CPL] == 3
            seen["PAE"] += row[at.CR0] >> 31 and row[at.CR4] >> 5 & 1
            seen["faulted"] += row[at.DELIVERED_AT] != 0
    assert len(seen) == 10 and min(seen.values()) > 0, seen


@pytest.mark.parametrize("seed", range(12))
def test_derived_words_follow_from_the_others(seed: int) -> None:
    """`recompute` finds the very words that a machine had come to on its way."""
    for m in stopped(seed):
        was, before = m._row.copy(), m.digest()
        assert was[at.ATTENTION] or not (was[at.SINGLE] or attention_is_due(m))
        rng = np.random.default_rng(seed)
        for name in DERIVED:
            disturb(m, name, rng)
        recompute(m._a, m._host)
        for ends in (at.READ_END, at.WRITE_END):
            assert m._row[ends : ends + 8].tolist() == was[ends : ends + 8].tolist()
        assert m._row[at.MODE] == was[at.MODE] & ~np.uint64(at.MODE_SINGLE)
        assert m._row[at.DEADLINE] == min(m._row[at.RUN_DEADLINE], m._row[at.TIMER])
        assert m.digest() == before


@pytest.mark.parametrize("seed", range(8))
def test_any_value_will_do(seed: int) -> None:
    """Noise in what is scratch, of the run, or behind a count, at every stop: the machine goes on
    as one that was left alone."""
    rng = np.random.default_rng(seed)
    noisy = [*SCRATCH, "deadline", "instruction_limit", *(n for n in OF_THE_RUN if n.startswith("exit_"))]
    for m, other in zip(stopped(seed), stopped(seed), strict=True):
        assert m.digest() == other.digest()
        for name in noisy:
            disturb(m, name, rng)
        m._row[at.REPLAY + int(m._row[at.REPLAY_COUNT]) : at.REPLAY + at.REPLAY_ROOM] = 7
        m._row[at.POSTED : at.POSTED + 2 * at.POSTED_ROOM] = 7
        m._row[at.CC_RESULT], m._row[at.CC_CARRIES] = lazy_pair(m.cpu.eflags)
        if m._row[at.SHADOW] & np.uint64(at.SHADOW_ARMED):
            m._row[at.SHADOW] = rng.choice((0, at.SHADOW_ARMED, at.SHADOW_ARMED | at.SHADOW_DEBUG))
        if rng.random() < 0.3:
            m._row[at.ATTENTION], m._row[at.SINGLE] = 1, rng.integers(0, 2)
        elif rng.random() < 0.5:
            recompute(m._a, m._host)


def test_a_halt_is_one_state() -> None:
    """Whether a run ended right after HLT or found there that nothing can happen; the shadow of STI
    is over then, though its word is cleared in the second case only."""
    stepped, run = (Machine(ram="64KiB", devices=()) for _ in range(2))
    for m in (stepped, run):
        m.enter_protected_mode(eip=0x1000, esp=0x8000)
        m.load(assemble("sti\n hlt"), at=0x1000)
    assert stepped.run(max_instructions=2).reason == "limit" and run.run().reason == "halt"
    assert stepped._row[at.SHADOW] != run._row[at.SHADOW]
    assert stepped.digest() == run.digest()


def test_a_restore_leaves_no_link_to_other_code() -> None:
    """Generations begin again at the snapshot's: an old link must not be taken for a new one."""
    m = Machine(ram="64KiB", devices=())
    m.enter_protected_mode(eip=0x1000, esp=0x8000)
    m.load(assemble("invlpg [0x8000]\n jmp 0x8000", origin=0x1000), at=0x1000)
    m.load(assemble("mov al, 1\n hlt"), at=0x8000)
    m.load(assemble("mov al, 2\n hlt"), at=0x9000)
    m.write(0x2000, (0x3003).to_bytes(4, "little"))
    m.write(0x3000, b"".join((page << 12 | 3).to_bytes(4, "little") for page in range(16)))
    m.cpu.cr3 = 0x2000
    m.cpu.cr0 |= 1 << 31
    start = m.snapshot()
    m.write(0x3020, (0x9003).to_bytes(4, "little"))
    m.run()
    assert m.cpu.al == 2
    m.restore(start)
    m.run()
    assert m.cpu.al == 1
