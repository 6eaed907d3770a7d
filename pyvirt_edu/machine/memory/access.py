"""Memory as the units see it: the fast path, else slow_path.py's two units.

``access`` is USER for what the program itself touches at CPL 3, 0 for what the processor
touches on its own behalf (descriptor tables, TSS, gate stacks). After each call the caller
looks at EVENT.
"""

from __future__ import annotations

import numpy as np

from ..state.handles import (
    call_unit,
    cpu,
    fast,
    load_u8,
    load_u16,
    load_u32,
    load_u64,
    ram,
    store_u8,
    store_u16,
    store_u32,
    store_u64,
)
from ..state.jit import UNIT_LOAD_SLOW, UNIT_STORE_SLOW, core, core_hot
from ..state.layout import (
    AC,
    BASE,
    CPL,
    CR0,
    CR0_AM,
    DATA_ACCESSES,
    EFLAGS,
    EVENT,
    FAST_ENTRIES,
    PROBE,
    READ_END,
    T0,
    T1,
    USER,
    WRITE,
    WRITE_END,
)

NO_SEGMENT = 8  # "the offset is a linear address"


@core
def count_access(m):
    c = cpu(m)
    c[DATA_ACCESSES] += c[CR0] >> 31 & 1


@core
def program_access(m):
    """The access right of the running program."""
    if cpu(m)[CPL] == 3:
        return np.uint64(USER)
    return np.uint64(0)


@core_hot
def fast_place(m, linear, access):
    """The fast path's entry for a linear address, in the half the access right selects."""
    return fast(m)[(linear >> 12 & (FAST_ENTRIES - 1)) | access << 9 & FAST_ENTRIES]


@core_hot
def last_page(linear, size):
    """Page of the last byte: equal to the tag only if the access stays in one page."""
    return (linear + size - 1) & 0x1FFFFF000


@core_hot
def sees_everything(m, access):
    """Alignment checks are on: the fast path must not be used."""
    c = cpu(m)
    return access & USER != 0 and c[EFLAGS] & AC != 0 and c[CR0] & CR0_AM != 0


@core
def load_at(m, place, size):
    memory = ram(m)
    if size == 4:
        return load_u32(memory, place)
    if size == 2:
        return load_u16(memory, place)
    if size == 1:
        return load_u8(memory, place)
    return load_u64(memory, place)


@core
def store_at(m, place, size, value):
    memory = ram(m)
    if size == 4:
        store_u32(memory, place, value)
    elif size == 2:
        store_u16(memory, place, value)
    elif size == 1:
        store_u8(memory, place, value)
    else:
        store_u64(memory, place, value)


@core
def read(m, linear, size, access):
    count_access(m)
    linear &= 0xFFFFFFFF
    entry = fast_place(m, linear, access)
    if entry.read == last_page(linear, size) and not sees_everything(m, access):
        return load_at(m, linear + entry.offset, size)
    return call_unit(m, UNIT_LOAD_SLOW, linear, size | NO_SEGMENT << 8 | access << 16, 0)


@core
def read_pair(m, linear):
    """Two dwords of a table of the processor, low and high."""
    linear &= 0xFFFFFFFF
    entry = fast_place(m, linear, 0)
    if entry.read == last_page(linear, 8):
        count_access(m)
        count_access(m)
        place = linear + entry.offset
        return load_at(m, place, 4), load_at(m, place + 4, 4)
    low = read(m, linear, 4, 0)
    if cpu(m)[EVENT]:
        return np.uint64(0), np.uint64(0)
    return low, read(m, linear + 4, 4, 0)


@core
def write(m, linear, size, value, access):
    count_access(m)
    linear &= 0xFFFFFFFF
    entry = fast_place(m, linear, access)
    if entry.write == last_page(linear, size) and not sees_everything(m, access):
        store_at(m, linear + entry.offset, size, value)
    else:
        packed = size | NO_SEGMENT << 8 | (access | WRITE) << 16
        call_unit(m, UNIT_STORE_SLOW, linear, packed, value)


@core
def probe_write(m, linear, size, access):
    """Fault as a write would; change nothing but accessed and dirty bits."""
    linear &= 0xFFFFFFFF
    entry = fast_place(m, linear, access)
    if entry.write != last_page(linear, size) or sees_everything(m, access):
        packed = size | NO_SEGMENT << 8 | (access | WRITE | PROBE) << 16
        call_unit(m, UNIT_STORE_SLOW, linear, packed, 0)


@core
def read_segment(m, seg, offset, size):
    c = cpu(m)
    if offset + size <= c[READ_END + seg]:
        return read(m, c[BASE + seg] + offset, size, program_access(m))
    count_access(m)
    return call_unit(m, UNIT_LOAD_SLOW, offset, size | seg << 8 | program_access(m) << 16, 0)


@core
def word_operand(m, in_memory, seg):
    """The 16-bit operand of an instruction that asks first whether it may be executed."""
    c = cpu(m)
    if in_memory:
        return read_segment(m, seg, c[T1], 2)
    return c[T0] & 0xFFFF


@core
def write_segment(m, seg, offset, size, value):
    c = cpu(m)
    if offset + size <= c[WRITE_END + seg]:
        write(m, c[BASE + seg] + offset, size, value, program_access(m))
        return
    count_access(m)
    packed = size | seg << 8 | (program_access(m) | WRITE) << 16
    call_unit(m, UNIT_STORE_SLOW, offset, packed, value)


@core
def probe_segment_write(m, seg, offset, size):
    c = cpu(m)
    if offset + size <= c[WRITE_END + seg]:
        probe_write(m, c[BASE + seg] + offset, size, program_access(m))
        return
    packed = size | seg << 8 | (program_access(m) | WRITE | PROBE) << 16
    call_unit(m, UNIT_STORE_SLOW, offset, packed, 0)
