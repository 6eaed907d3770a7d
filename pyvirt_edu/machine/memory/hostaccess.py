"""The machine as Python and devices with DMA reach into it: keeps what is derived true after outside
changes."""

from __future__ import annotations

import numpy as np

from ..state.handles import cpu, page_flags
from ..state.jit import core, unit
from ..state.layout import A20_MASK, CR0, CR0_PG, PAGE_DIRTY
from .code_pages import invalidate_granules, reset_blocks
from .hostaccess_ops import (
    HOST_DMA_READ,
    HOST_DMA_WRITE,
    HOST_FLUSH_FAST,
    HOST_FLUSH_PAGE,
    HOST_FLUSH_TLB,
    HOST_LOAD_SEGMENT_REAL,
    HOST_NOTIFY_WRITE,
    HOST_RESET_DERIVED,
    HOST_TRANSLATE,
    HOST_UPDATE_SEGMENTS,
)
from .paging import look_up
from .physical import dma_read_byte, dma_write_byte
from .segment_cache import set_real_segment, update_ends, update_mode
from .tlb import flush_fast, flush_tlb, invalidate_page

UNMAPPED = 0xFFFF_FFFF_FFFF_FFFF


@core
def peek_translation(m, linear):
    """Where a linear address leads, by the page tables alone; UNMAPPED if nowhere."""
    c = cpu(m)
    physical, wrong = linear & 0xFFFFFFFF, np.uint64(0)
    if c[CR0] & CR0_PG:
        physical, wrong = look_up(m, physical)
    if wrong:
        return np.uint64(UNMAPPED)
    return physical & c[A20_MASK]


@unit
def host_access(m, operation, address, value):
    """One of the operations of hostaccess_ops.py."""
    flags = page_flags(m)
    if operation == HOST_NOTIFY_WRITE:
        invalidate_granules(m, address, value)
        last = (address + value + 0xFFF) >> 12
        for i in range(address >> 12, last):
            if i < np.uint64(flags.size):
                flags[i] |= np.uint8(PAGE_DIRTY)
    elif operation == HOST_RESET_DERIVED:
        reset_blocks(m)
        flush_fast(m)
    elif operation == HOST_FLUSH_FAST:
        flush_fast(m)
    elif operation == HOST_TRANSLATE:
        return peek_translation(m, address)
    elif operation == HOST_UPDATE_SEGMENTS:
        for i in range(8):
            update_ends(m, np.uint64(i))
        update_mode(m)
    elif operation == HOST_LOAD_SEGMENT_REAL:
        set_real_segment(m, address, value)
    elif operation == HOST_FLUSH_TLB:
        flush_tlb(m, 0)
    elif operation == HOST_FLUSH_PAGE:
        invalidate_page(m, address)
    elif operation == HOST_DMA_READ:
        return dma_read_byte(m, value, address)
    elif operation == HOST_DMA_WRITE:
        dma_write_byte(m, value >> 8, address, value & 0xFF)
    return np.uint64(0)
