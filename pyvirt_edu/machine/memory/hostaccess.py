"""The machine as Python and devices with DMA reach into it: keeps what is derived true after outside
changes."""

from __future__ import annotations

import numpy as np

from ..costs import COST_PORT
from ..state.handles import call_unit, costs, cpu, page_flags
from ..state.jit import UNIT_DEVICES, core, unit
from ..state.layout import (
    A20_MASK,
    A20_OPEN,
    ATTENTION,
    CR0,
    CR0_PG,
    CYCLES,
    PAGE_DIRTY,
    PLACE_MASK,
    WRITE,
)
from .code_pages import invalidate_granules, reset_blocks
from .hostaccess_ops import (
    HOST_DMA_READ,
    HOST_DMA_WRITE,
    HOST_FLUSH_FAST,
    HOST_FLUSH_PAGE,
    HOST_FLUSH_TLB,
    HOST_LOAD_SEGMENT_REAL,
    HOST_NOTIFY_WRITE,
    HOST_PORT_READ,
    HOST_PORT_WRITE,
    HOST_RESET_DERIVED,
    HOST_TRANSLATE,
    HOST_UPDATE_SEGMENTS,
    HOST_WALK,
    PORT_COUNT,
    PORT_SIZE,
)
from .paging import look_up, place_behind, walk_page_table
from .physical import in_ram, read_physical, write_physical
from .segment_cache import set_real_segment, update_ends, update_mode
from .tlb import flush_fast, flush_tlb, invalidate_page

DEVICE_READ, DEVICE_WRITE = 0, 1  # operations of the devices' unit (devices/bus.py)
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


# --- devices that reach memory by themselves --------------------------------------------------


@core
def place_for_dma(m, address, access):
    """As `place_of`, for a device: the A20 gate is the processor's, nested tables are everybody's."""
    c = cpu(m)
    gate, mask = c[A20_MASK], c[PLACE_MASK]
    c[A20_MASK] = A20_OPEN
    c[PLACE_MASK] = A20_OPEN
    place = place_behind(m, address, access)
    c[A20_MASK] = gate
    c[PLACE_MASK] = mask
    return place


@core
def dma_read_byte(m, requester, address):
    """A byte for a device; ones where there is no memory. Devices do not reach each other.

    `requester` is who asks: for now every device may reach all of memory."""
    place = place_for_dma(m, address, 0)
    if in_ram(m, place):
        return read_physical(m, place, 1)
    return 0xFF


@core
def dma_write_byte(m, requester, address, value):
    place = place_for_dma(m, address, WRITE)
    if in_ram(m, place):
        write_physical(m, place, 1, value)


@core
def repeat_port(m, place, packed, writing):
    """INS or OUTS of many elements, done for somebody else: each pays a port's price and sees its time."""
    c = cpu(m)
    access, size = packed & 0xFF_FFFF, packed >> PORT_SIZE & 0xFF
    for i in range(packed >> PORT_COUNT):
        at = place + np.uint64(i) * size
        c[CYCLES] += costs(m)[COST_PORT]
        if writing:
            call_unit(m, UNIT_DEVICES, DEVICE_WRITE, access, read_physical(m, at, size))
        else:
            write_physical(m, at, size, call_unit(m, UNIT_DEVICES, DEVICE_READ, access, 0))
    c[ATTENTION] = 1


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
    elif operation == HOST_WALK:
        page, rights = walk_page_table(m, address, value)
        return page | rights & 0xFFF
    elif operation == HOST_PORT_READ:
        repeat_port(m, address, value, 0)
    elif operation == HOST_PORT_WRITE:
        repeat_port(m, address, value, 1)
    return np.uint64(0)
