"""The machine as Python and devices with DMA reach into it: keeps what is derived true after outside
changes."""

from __future__ import annotations

import numpy as np

from ..state.handles import cpu, page_flags
from ..state.jit import core, unit
from ..state.layout import A20_MASK, CR0, CR3, CR4, CR4_PAE, CR4_PSE, PAGE_DIRTY, PDPTE
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
from .physical import dma_read_byte, dma_write_byte, place_of, read_physical
from .segment_cache import set_real_segment, update_ends, update_mode
from .tlb import flush_fast, flush_tlb, invalidate_page

UNMAPPED = 0xFFFF_FFFF_FFFF_FFFF


@core
def peek_translation(m, linear):
    """Where a linear address leads, by the page tables alone; UNMAPPED if nowhere."""
    c = cpu(m)
    linear &= 0xFFFFFFFF
    if not c[CR0] >> 31 & 1:
        return linear & c[A20_MASK]
    if c[CR4] & CR4_PAE:
        directory = c[PDPTE + (linear >> 30)]
        if not directory & 1:
            return np.uint64(UNMAPPED)
        pde = read_physical(m, place_of(m, (directory & 0xFFFFFF000) + (linear >> 21 & 511) * 8, 0), 8)
        if not pde & 1:
            return np.uint64(UNMAPPED)
        if pde & 0x80:
            return (pde & 0xFFFE00000 | linear & 0x1FFFFF) & c[A20_MASK]
        pte = read_physical(m, place_of(m, (pde & 0xFFFFFF000) + (linear >> 12 & 511) * 8, 0), 8)
    else:
        pde = read_physical(m, place_of(m, (c[CR3] & 0xFFFFF000) + (linear >> 22) * 4, 0), 4)
        if not pde & 1:
            return np.uint64(UNMAPPED)
        if pde & 0x80 and c[CR4] & CR4_PSE:
            return (pde & 0xFFC00000 | linear & 0x3FFFFF) & c[A20_MASK]
        pte = read_physical(m, place_of(m, (pde & 0xFFFFF000) + (linear >> 12 & 1023) * 4, 0), 4)
    if not pte & 1:
        return np.uint64(UNMAPPED)
    return (pte & 0xFFFFFF000 | linear & 0xFFF) & c[A20_MASK]


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
