"""The registers that say where the descriptor tables are (manual 3A, 2.4)."""

from __future__ import annotations

from ..memory.access import (
    probe_segment_write,
    probe_write,
    read,
    read_segment,
    word_operand,
    write,
    write_segment,
)
from ..memory.segment_cache import null_segment, set_descriptor
from ..state.handles import cpu, fault
from ..state.jit import core
from ..state.layout import (
    EVENT,
    GDTR_BASE,
    GDTR_LIMIT,
    GP,
    IDTR_BASE,
    IDTR_LIMIT,
    LDTR,
    NP,
    SELECTOR,
    T0,
    T1,
    TR,
)
from .privilege import require_ring_0
from .segments import read_descriptor

WORD32 = 0xFFFF_FFFF


@core
def store_table(m, seg, address_size, is_idt):
    """SGDT, SIDT: six bytes, whatever the operand size."""
    c = cpu(m)
    wrap = (1 << (address_size << 3)) - 1
    offset = c[T1] & wrap
    following = (offset + 2) & wrap
    probe_segment_write(m, seg, offset, 2)
    if c[EVENT]:
        return
    probe_segment_write(m, seg, following, 4)
    if c[EVENT]:
        return
    base, limit = c[GDTR_BASE], c[GDTR_LIMIT]
    if is_idt:
        base, limit = c[IDTR_BASE], c[IDTR_LIMIT]
    write_segment(m, seg, offset, 2, limit)
    write_segment(m, seg, following, 4, base)


@core
def load_table(m, seg, address_size, size, is_idt):
    """LGDT, LIDT: a limit and a base; 16-bit operand size takes 24 bits of the base."""
    c = cpu(m)
    if require_ring_0(m) == 0:
        return
    wrap = (1 << (address_size << 3)) - 1
    limit = read_segment(m, seg, c[T1] & wrap, 2)
    if c[EVENT]:
        return
    base = read_segment(m, seg, (c[T1] + 2) & wrap, 4)
    if c[EVENT]:
        return
    if size == 2:
        base &= 0xFF_FFFF
    if is_idt:
        c[IDTR_LIMIT] = limit
        c[IDTR_BASE] = base
    else:
        c[GDTR_LIMIT] = limit
        c[GDTR_BASE] = base


@core
def store_selector(m, seg):
    """SLDT, STR."""
    c = cpu(m)
    c[T0] = c[SELECTOR + seg]


@core
def load_local_table(m, in_memory, seg):
    """LLDT (manual 2A): a null selector makes the table unusable, and is no fault."""
    c = cpu(m)
    if require_ring_0(m) == 0:
        return
    selector = word_operand(m, in_memory, seg)
    if c[EVENT]:
        return
    error = selector & 0xFFFC
    if error == 0:
        null_segment(m, LDTR, selector)
        return
    if selector & 4:
        fault(m, GP, error)
        return
    low, high = read_descriptor(m, selector, GP)
    if c[EVENT]:
        return
    if ((high >> 8) & 0x1F) != 2:
        fault(m, GP, error)
    elif (high & 0x8000) == 0:
        fault(m, NP, error)
    else:
        set_descriptor(m, LDTR, selector, low, high)


@core
def load_task_register(m, in_memory, seg):
    """LTR (manual 2A): the TSS must be available, and is marked busy."""
    c = cpu(m)
    if require_ring_0(m) == 0:
        return
    selector = word_operand(m, in_memory, seg)
    if c[EVENT]:
        return
    error = selector & 0xFFFC
    if error == 0 or (selector & 4):
        fault(m, GP, error)
        return
    low, high = read_descriptor(m, selector, GP)
    if c[EVENT]:
        return
    if ((high >> 8) & 0x17) != 1:
        fault(m, GP, error)
        return
    if (high & 0x8000) == 0:
        fault(m, NP, error)
        return
    place = (c[GDTR_BASE] + (selector & 0xFFF8) + 4) & WORD32
    probe_write(m, place, 4, 0)
    if c[EVENT]:
        return
    write(m, place, 4, read(m, place, 4, 0) | 0x200, 0)
    set_descriptor(m, TR, selector, low, high | 0x200)
