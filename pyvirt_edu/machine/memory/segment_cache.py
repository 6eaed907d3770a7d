"""The hidden part of the segment registers: base, limit, attributes, and what follows.

For each segment two ends are kept: offsets below READ_END may be read, below WRITE_END
written, with no further question. An end of 0 sends every access to `segment_check`, which
knows expand-down segments, null selectors and the rest (manual 3A, 5.3 to 5.5).
"""

from __future__ import annotations

import numpy as np

from ..state.handles import cpu, fault
from ..state.jit import core
from ..state.layout import (
    ATTRIBUTES,
    BASE,
    CPL,
    CR0,
    CR0_PE,
    CS,
    EFLAGS,
    GP,
    LIMIT,
    MODE,
    MODE_CODE32,
    MODE_SINGLE,
    MODE_STACK32,
    MODE_USER,
    READ_END,
    SELECTOR,
    SINGLE,
    SS,
    SS_FAULT,
    VM,
    WRITE_END,
)
from .descriptor_fields import descriptor_base, descriptor_limit, offset_in_limit

# Bits of the attributes word (descriptor bits 40 to 55)
A_ACCESSED, A_WRITABLE, A_READABLE, A_EXPAND_DOWN, A_CONFORMING, A_CODE = 1, 2, 2, 4, 4, 8
A_CODE_OR_DATA, A_PRESENT, A_BIG, A_GRANULARITY = 0x10, 0x80, 0x4000, 0x8000


@core
def is_real(m):
    return cpu(m)[CR0] & CR0_PE == 0


@core
def is_v86(m):
    c = cpu(m)
    return c[CR0] & CR0_PE != 0 and c[EFLAGS] & VM != 0


@core
def is_protected(m):
    """Protected mode proper: selectors name descriptors."""
    c = cpu(m)
    return c[CR0] & CR0_PE != 0 and c[EFLAGS] & VM == 0


@core
def stack_mask(m):
    if cpu(m)[ATTRIBUTES + SS] & A_BIG:
        return np.uint64(0xFFFFFFFF)
    return np.uint64(0xFFFF)


@core
def may_write(m, attributes):
    """Data segments by their type; in real and V86 mode every segment."""
    if not is_protected(m):
        return True
    return attributes & A_CODE == 0 and attributes & A_WRITABLE != 0


@core
def update_ends(m, seg):
    c = cpu(m)
    attributes = c[ATTRIBUTES + seg]
    c[READ_END + seg] = 0
    c[WRITE_END + seg] = 0
    if attributes & A_PRESENT == 0 or attributes & A_CODE_OR_DATA == 0:
        return
    if attributes & A_CODE:
        if attributes & A_READABLE or not is_protected(m):
            c[READ_END + seg] = c[LIMIT + seg] + 1
    elif attributes & A_EXPAND_DOWN == 0:
        c[READ_END + seg] = c[LIMIT + seg] + 1
    if may_write(m, attributes):
        c[WRITE_END + seg] = c[READ_END + seg]


@core
def segment_fault(m, seg):
    """#SS for the stack segment, #GP for the others, with error code 0."""
    if seg == SS:
        fault(m, SS_FAULT, 0)
    else:
        fault(m, GP, 0)
    return np.uint64(0)


@core
def segment_check(m, seg, offset, size, write):
    """Whether [offset, offset + size) of a segment may be accessed; else raises, returns 0."""
    c = cpu(m)
    attributes = c[ATTRIBUTES + seg]
    if attributes & A_PRESENT == 0 or attributes & A_CODE_OR_DATA == 0:
        return segment_fault(m, seg)
    if is_protected(m):
        if attributes & A_CODE and attributes & A_READABLE == 0 and not write:
            return segment_fault(m, seg)
        if write and not may_write(m, attributes):
            return segment_fault(m, seg)
    if not offset_in_limit(c[LIMIT + seg], attributes, offset, size):
        return segment_fault(m, seg)
    return np.uint64(1)


@core
def update_mode(m):
    """The mode key that decoded blocks depend on."""
    c = cpu(m)
    mode = np.uint64(0)
    if c[ATTRIBUTES + CS] & A_BIG:
        mode |= MODE_CODE32
    if c[ATTRIBUTES + SS] & A_BIG:
        mode |= MODE_STACK32
    if c[CPL] == 3:
        mode |= MODE_USER
    if c[SINGLE]:
        mode |= MODE_SINGLE
    c[MODE] = mode


@core
def set_cpl(m, cpl):
    cpu(m)[CPL] = cpl
    update_mode(m)


@core
def set_real_segment(m, seg, selector):
    """A segment load in real mode: selector and base; the rest of the cache stays.

    A register that was made null in protected mode has no rest to keep: it becomes what it
    is after reset (manual 3A, table 9-1).
    """
    c = cpu(m)
    if c[ATTRIBUTES + seg] & A_PRESENT == 0:
        c[LIMIT + seg] = 0xFFFF
        c[ATTRIBUTES + seg] = 0x93
    c[SELECTOR + seg] = selector & 0xFFFF
    c[BASE + seg] = (selector & 0xFFFF) << 4
    update_ends(m, seg)
    update_mode(m)


@core
def set_v86_segment(m, seg, selector):
    """A segment load in virtual-8086 mode: 64 KiB, present, writable, DPL 3 (manual 3B, 20.2)."""
    c = cpu(m)
    c[SELECTOR + seg] = selector & 0xFFFF
    c[BASE + seg] = (selector & 0xFFFF) << 4
    c[LIMIT + seg] = 0xFFFF
    c[ATTRIBUTES + seg] = 0xF3
    update_ends(m, seg)


@core
def null_segment(m, seg, selector):
    c = cpu(m)
    c[SELECTOR + seg] = selector & 0xFFFF
    c[BASE + seg] = 0
    c[LIMIT + seg] = 0
    c[ATTRIBUTES + seg] = 0
    update_ends(m, seg)


@core
def set_descriptor(m, seg, selector, low, high):
    """Install a descriptor (manual 3A, figure 3-8). CPL is set before CS."""
    c = cpu(m)
    c[SELECTOR + seg] = selector & 0xFFFF
    c[BASE + seg] = descriptor_base(low, high)
    c[LIMIT + seg] = descriptor_limit(low, high)
    c[ATTRIBUTES + seg] = high >> 8 & 0xF0FF
    update_ends(m, seg)
    if seg == CS or seg == SS:
        update_mode(m)
