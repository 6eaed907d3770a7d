"""Micro-ops that access memory, and the fast path below them.

The fast path is a table of pages: where in RAM a linear page lies, for reads and for writes. What
it holds has passed every check but that of the segment's end, which is asked here (slow_path.py
says what may enter it, tlb.py what must leave it). Everything else goes the slow way, slow_path.py.

An access answers with its event: 0; EVENT_SLOW, it is done, but the block may have to end after this
instruction (never seen outside the loop); or what memory ran into. Then it is not done, and the
micro-op changes no register.

``window`` is what an access looks through: the table, RAM, and the part of the table that counts.
"""

from __future__ import annotations

import numpy as np

from ..state.handles import call_unit, cpu, load_u8, load_u16, load_u32, store_u8, store_u16, store_u32
from ..state.jit import UNIT_LOAD_SLOW, UNIT_STORE_SLOW, core, core_hot
from ..state.layout import (
    AC,
    BASE,
    CR0,
    CR0_AM,
    EFLAGS,
    EVENT,
    EVENT_SLOW,
    FAST_ENTRIES,
    LEDGER,
    MODE,
    MODE_USER,
    PROBE,
    READ_END,
    RSP,
    SS,
    STOP,
    USER,
    WRITE,
    WRITE_END,
)
from .moves import HIGH_DST, M32, address_of, byte_of, second

PAGE_33 = 0x1_FFFF_F000  # the page of a 33-bit address: beyond 4 GiB, where an access may end, no tag lies


# --- the slow path ---------------------------------------------------------------------


@core
def event_of_access(m):
    """What a slow access ran into; EVENT_SLOW if it cost cycles or something must be looked at."""
    c = cpu(m)
    if c[EVENT] == 0 and c[STOP] | c[LEDGER]:
        return EVENT_SLOW
    return c[EVENT]


@core
def packed(m, seg, size, access):
    """An access of the running code as the slow path takes it."""
    if cpu(m)[MODE] & MODE_USER:
        access |= USER
    return size | seg << 8 | access << 16


@core
def slow_load(m, seg, offset, size, access):
    value = call_unit(m, UNIT_LOAD_SLOW, offset, packed(m, seg, size, access), 0)
    return value, event_of_access(m)


@core
def slow_store(m, seg, offset, size, value):
    call_unit(m, UNIT_STORE_SLOW, offset, packed(m, seg, size, WRITE), value)
    return event_of_access(m)


@core_hot
def is_done(event):
    """Whether the access took place: only then registers change."""
    return event & ~EVENT_SLOW == 0


# --- the fast path ---------------------------------------------------------------------


@core
def fast_part(m):
    """The part of the table that counts now, as its first row: the supervisor's, the user's, or
    the third, always empty, while every access is checked for alignment."""
    c = cpu(m)
    if not c[MODE] & MODE_USER:
        return 0
    if c[EFLAGS] & AC and c[CR0] & CR0_AM:
        return 2 * FAST_ENTRIES
    return FAST_ENTRIES


@core_hot
def fast_row(part, linear):
    """The row of a page. A part starts at a multiple of its size: OR is addition."""
    return part | linear >> 12 & (FAST_ENTRIES - 1)


@core_hot
def tag_wanted(linear, size):
    """The page of the last byte. The row is the first byte's: an access that spans two pages finds a tag
    that differs."""
    return (linear + size - 1) & PAGE_33


@core_hot
def read_ram(memory, place, size):
    if size == 1:
        return load_u8(memory, place)
    if size == 2:
        return load_u16(memory, place)
    return load_u32(memory, place)


@core_hot
def load(m, c, window, seg, offset, size):
    """Read at seg:offset: (value, event)."""
    quick, memory, part = window
    if offset + size <= c[READ_END + seg]:
        linear = (c[BASE + seg] + offset) & M32
        entry = quick[fast_row(part, linear)]
        if entry.read == tag_wanted(linear, size):
            return read_ram(memory, linear + entry.offset, size), 0
    return slow_load(m, seg, offset, size, 0)


@core_hot
def load_to_modify(m, c, window, seg, offset, size):
    """Read what will be written back, and prove that the store cannot fault: (value, event)."""
    quick, memory, part = window
    if offset + size <= c[WRITE_END + seg] and offset + size <= c[READ_END + seg]:
        linear = (c[BASE + seg] + offset) & M32
        entry = quick[fast_row(part, linear)]
        tag = tag_wanted(linear, size)
        if entry.read == tag and entry.write == tag:
            return read_ram(memory, linear + entry.offset, size), 0
    return slow_load(m, seg, offset, size, WRITE | PROBE)


@core_hot
def store(m, c, window, seg, offset, size, value):
    """Write at seg:offset; the event."""
    quick, memory, part = window
    if offset + size <= c[WRITE_END + seg]:
        linear = (c[BASE + seg] + offset) & M32
        entry = quick[fast_row(part, linear)]
        if entry.write == tag_wanted(linear, size):
            place = linear + entry.offset
            if size == 1:
                store_u8(memory, place, value)
            elif size == 2:
                store_u16(memory, place, value)
            else:
                store_u32(memory, place, value)
            return 0
    return slow_store(m, seg, offset, size, value)


# --- the micro-ops ---------------------------------------------------------------------


@core_hot
def segment_of(u):
    """As a word, like the SS of pushes: Numba compiles a function once for each type of argument."""
    return np.uint64(u.seg)


@core_hot
def load_register(m, c, window, u, size):
    """``dst`` = memory, zero-extended."""
    value, event = load(m, c, window, segment_of(u), address_of(c, u), size)
    if is_done(event):
        c[u.dst] = value
    return event


@core_hot
def modify_register(m, c, window, u, size):
    """The first half of an instruction that reads, changes and writes its operand."""
    value, event = load_to_modify(m, c, window, segment_of(u), address_of(c, u), size)
    if is_done(event):
        c[u.dst] = value
    return event


@core_hot
def store_register(m, c, window, u, size):
    """Memory = ``dst``; of a byte register, perhaps its high byte."""
    value = c[u.dst]
    if size == 1:
        value = byte_of(value, u.high & HIGH_DST)
    return store(m, c, window, segment_of(u), address_of(c, u), size, value)


@core_hot
def push(m, c, window, value):
    """The stack pointer moves after the store: a push that faults leaves it (manual 2B, PUSH)."""
    place = (c[RSP] - 4) & M32
    event = store(m, c, window, SS, place, 4, value)
    if is_done(event):
        c[RSP] = place
    return event


@core_hot
def push32(m, c, window, u):
    """PUSH of a register or an immediate."""
    return push(m, c, window, second(c, u) & M32)


@core_hot
def pop32(m, c, window, u):
    """POP; of ESP itself, the value read stays (manual 2B, POP)."""
    value, event = load(m, c, window, SS, c[RSP] & M32, 4)
    if is_done(event):
        c[RSP] = (c[RSP] + 4) & M32
        c[u.dst] = value
    return event
