"""Loading segment registers: descriptors, their checks, and the stack (manual 3A, 5.4 to 5.7).

What a descriptor may be loaded into depends on its type, its privilege and the program's;
each refusal has its own vector and error code, and nothing is changed by it.
"""

from __future__ import annotations

import numpy as np

from ..memory.access import read, read_pair, write, write_segment
from ..memory.segment_cache import (
    is_real,
    is_v86,
    null_segment,
    set_descriptor,
    set_real_segment,
    set_v86_segment,
    stack_mask,
)
from ..state.handles import cpu, fault
from ..state.jit import core, core_hot
from ..state.layout import (
    ATTRIBUTES,
    BASE,
    CPL,
    EVENT,
    GDTR_BASE,
    GDTR_LIMIT,
    GP,
    LDTR,
    LIMIT,
    NP,
    RSP,
    SELECTOR,
    SS,
    SS_FAULT,
    TR,
    TS,
)

# Bits of a descriptor's upper dword
H_ACCESSED, H_WRITABLE, H_READABLE, H_CONFORMING, H_CODE = 0x100, 0x200, 0x200, 0x400, 0x800
H_CODE_OR_DATA, H_PRESENT = 0x1000, 0x8000


@core_hot
def table_of(m, selector):
    """Base and limit of the table a selector points into; the LDT may be absent."""
    c = cpu(m)
    if selector & 4:
        if not c[ATTRIBUTES + LDTR] & 0x80:
            return np.uint64(0), np.uint64(0)
        return c[BASE + LDTR], c[LIMIT + LDTR]
    return c[GDTR_BASE], c[GDTR_LIMIT]


@core
def read_descriptor(m, selector, vector):
    """The two dwords of a descriptor; outside its table: vector(selector)."""
    base, limit = table_of(m, selector)
    if (selector & 0xFFF8) + 7 > limit:
        fault(m, vector, selector & 0xFFFC)
        return np.uint64(0), np.uint64(0)
    return read_pair(m, base + (selector & 0xFFF8))


@core
def peek_descriptor(m, selector):
    """Like read_descriptor, for LAR and its kin: the third value is 0 outside the table."""
    base, limit = table_of(m, selector)
    if selector & 0xFFFC == 0 or (selector & 0xFFF8) + 7 > limit:
        return np.uint64(0), np.uint64(0), np.uint64(0)
    low, high = read_pair(m, base + (selector & 0xFFF8))
    return low, high, np.uint64(1)


@core_hot
def mark_accessed(m, selector, high):
    """Set the accessed bit of a code or data descriptor in its table, if it is clear."""
    if high & H_CODE_OR_DATA and not high & H_ACCESSED:
        base, limit = table_of(m, selector)
        write(m, base + (selector & 0xFFF8) + 5, 1, high >> 8 & 0xFF | 1, 0)


@core
def dpl_of(high):
    return high >> 13 & 3


@core
def stack_descriptor(m, selector, level, vector):
    """Of a stack for a level: writable data of exactly that privilege, or `vector`; absent, #SS."""
    low, high = np.uint64(0), np.uint64(0)
    if selector & 0xFFFC == 0:
        fault(m, vector, 0)
        return low, high
    low, high = read_descriptor(m, selector, vector)
    if cpu(m)[EVENT]:
        return low, high
    writable = high & (H_CODE_OR_DATA | H_CODE | H_WRITABLE) == H_CODE_OR_DATA | H_WRITABLE
    if selector & 3 != level or dpl_of(high) != level or not writable:
        fault(m, vector, selector & 0xFFFC)
    elif not high & H_PRESENT:
        fault(m, SS_FAULT, selector & 0xFFFC)
    return low, high


@core
def load_stack_segment(m, selector):
    """MOV SS and its kin, at the program's privilege."""
    c = cpu(m)
    low, high = stack_descriptor(m, selector, c[CPL], GP)
    if c[EVENT]:
        return
    mark_accessed(m, selector, high)
    if c[EVENT]:
        return
    set_descriptor(m, SS, selector, low, high | H_ACCESSED)


@core
def inner_stack(m, level):
    """SS and ESP for a more privileged level, from the TSS; returns selector, pointer."""
    c = cpu(m)
    if c[ATTRIBUTES + TR] & 8:
        place = level * 8 + 4
        width = 4
    else:
        place = level * 4 + 2
        width = 2
    # the last byte of the selector must lie within the TSS
    if place + width + 1 > c[LIMIT + TR]:
        fault(m, TS, c[SELECTOR + TR] & 0xFFFC)
        return 0, 0
    pointer = read(m, c[BASE + TR] + place, width, 0)
    if c[EVENT]:
        return 0, 0
    selector = read(m, c[BASE + TR] + place + width, 2, 0)
    return selector, pointer


@core
def load_data_segment(m, seg, selector):
    """MOV DS, ES, FS, GS: readable, and not more privileged than program or selector."""
    c = cpu(m)
    if selector & 0xFFFC == 0:
        null_segment(m, seg, selector)
        return
    low, high = read_descriptor(m, selector, GP)
    if c[EVENT]:
        return
    refused = not high & H_CODE_OR_DATA or (high & H_CODE and not high & H_READABLE)
    conforming = high & (H_CODE | H_CONFORMING) == H_CODE | H_CONFORMING
    if not conforming and (dpl_of(high) < c[CPL] or dpl_of(high) < selector & 3):
        refused = True
    if refused:
        fault(m, GP, selector & 0xFFFC)
        return
    if not high & H_PRESENT:
        fault(m, NP, selector & 0xFFFC)
        return
    mark_accessed(m, selector, high)
    if c[EVENT]:
        return
    set_descriptor(m, seg, selector, low, high | H_ACCESSED)


@core
def load_segment(m, seg, selector):
    """Load any data or stack segment register as MOV does, in every mode."""
    selector &= 0xFFFF
    if is_real(m):
        set_real_segment(m, seg, selector)
    elif is_v86(m):
        set_v86_segment(m, seg, selector)
    elif seg == SS:
        load_stack_segment(m, selector)
    else:
        load_data_segment(m, seg, selector)


@core_hot
def drop_privileged_segments(m):
    """On a return to an outer level, data segments it may not use become null."""
    c = cpu(m)
    for i in range(6):
        seg = np.uint64(i)
        if seg != 1 and seg != SS:
            attributes = c[ATTRIBUTES + seg]
            conforming = attributes & 0x1C == 0x1C
            if attributes & 0x10 and not conforming and (attributes >> 5 & 3) < c[CPL]:
                null_segment(m, seg, 0)


@core_hot
def set_stack_pointer(m, value):
    """Write SP or ESP by the stack's size."""
    c = cpu(m)
    if stack_mask(m) == 0xFFFF:
        c[RSP] = (c[RSP] & 0xFFFF0000) | value & 0xFFFF
    else:
        c[RSP] = value & 0xFFFFFFFF


@core
def push(m, size, value):
    """Push 2 or 4 bytes; the pointer moves only after the store succeeded."""
    c = cpu(m)
    place = (c[RSP] - size) & stack_mask(m)
    write_segment(m, SS, place, size, value)
    if not c[EVENT]:
        set_stack_pointer(m, place)
