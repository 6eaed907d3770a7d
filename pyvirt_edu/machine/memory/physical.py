"""Physical memory: RAM, devices that claimed a range, and nothing.

Every store of the guest, of the page walker and of the processor itself ends here or in the
fast path; the fast path takes only pages for which there is nothing to do (layout.py).
"""

from __future__ import annotations

import numpy as np

from ..state.handles import (
    cpu,
    handle,
    load_u8,
    load_u16,
    load_u32,
    page_flags,
    ram,
    regions,
    store_u8,
    store_u16,
    store_u32,
    trace_buffer,
)
from ..state.jit import core, core_hot
from ..state.layout import (
    A20_MASK,
    ATTENTION,
    EVENT,
    EVENT_READ,
    EXIT_MMIO_READ,
    EXIT_PHYSICAL,
    EXIT_QUALIFICATION,
    EXIT_REASON,
    H_FIRMWARE,
    H_RAM_END,
    H_REGION_COUNT,
    H_SHOWN,
    H_TRACE_ROOM,
    H_TRACE_USED,
    NESTED_ROOT,
    PAGE_CODE,
    PAGE_DIRTY,
    PAGE_MMIO,
    PAGE_TRACED,
    PLACE_MASK,
    POSTED,
    POSTED_COUNT,
    POSTED_ROOM,
    RAM_EVERYWHERE,
    RAM_MAP,
    REPLAY,
    REPLAY_COUNT,
    REPLAY_INDEX,
    STOP,
    TRACED,
    TRACED_COUNT,
    TRACED_ROOM,
    TRACING,
    WRITE,
)
from .code_pages import invalidate_granules

SHADOWED = 0xC0000  # from here to 1 MiB, reads and writes may go to RAM or to firmware
#: Added to an address: there is no memory. A guest behind nested tables may have a device there.
NOBODY = 1 << 40


@core_hot
def ones(size):
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> (64 - 8 * size)


@core
def place_in_firmware(m, physical, access):
    """The rest of `shown`: what a chip set maps (82441FX data sheet, PAM registers)."""
    end, firmware = handle(m)[H_SHOWN], handle(m)[H_FIRMWARE]
    if physical < 0x100000:
        rights = cpu(m)[RAM_MAP] >> 2 * (physical - SHADOWED >> 14)  # bit 0 reads RAM, bit 1 writes it
        if access & WRITE:
            rights >>= 1
        if rights & 1:
            return physical
        if firmware and physical >= 0xE0000 and not access & WRITE:
            return end + physical
        return physical | NOBODY
    if physical < end + firmware:
        return physical | NOBODY
    if firmware and physical >= 0xFFF00000 and physical >> 32 == 0 and not access & WRITE:
        return end + (physical & 0xFFFFF)
    return physical


@core
def shown(m, physical, access):
    """What the processor's chip set makes of a physical address: an index into RAM and the firmware
    behind it, or an address outside of both."""
    physical &= cpu(m)[A20_MASK]
    if physical < SHADOWED or physical >= 0x100000 and physical < handle(m)[H_SHOWN]:
        return physical
    return place_in_firmware(m, physical, access)


@core
def shown_or_known(m, physical, access):
    """Nested tables lead to places: the chip set was asked before them."""
    if cpu(m)[NESTED_ROOT]:
        return physical
    return place_in_firmware(m, physical, access)


@core_hot
def place_of(m, physical, access):
    """Where an access to a physical address goes: an index into the array of RAM and firmware
    behind it, or an address outside of it."""
    physical &= cpu(m)[PLACE_MASK]
    if physical < SHADOWED or physical >= 0x100000 and physical < handle(m)[H_RAM_END]:
        return physical
    return shown_or_known(m, physical, access)


@core_hot
def is_shadowed(m, place):
    """Whether reads and writes of a page may go to different places: nothing for shortcuts."""
    if place >= handle(m)[H_RAM_END]:
        return True
    return place >= SHADOWED and place < 0x100000 and cpu(m)[RAM_MAP] != RAM_EVERYWHERE


@core_hot
def in_ram(m, address):
    """Whether a place is memory and nobody claimed it."""
    pfn = address >> 12
    return pfn < np.uint64(page_flags(m).size) and page_flags(m)[pfn] & PAGE_MMIO == 0


@core
def is_claimed(m, address):
    table = regions(m)
    for i in range(handle(m)[H_REGION_COUNT]):
        if address >= table[2 * i] and address < table[2 * i + 1]:
            return True
    return False


@core
def device_read(m, address, size):
    """Take the answer of an earlier exit, or exit to ask."""
    c = cpu(m)
    if c[REPLAY_INDEX] < c[REPLAY_COUNT]:
        value = c[REPLAY + c[REPLAY_INDEX]]
        c[REPLAY_INDEX] += 1
        return value & ones(size)
    c[EVENT] = EVENT_READ
    c[EXIT_REASON] = EXIT_MMIO_READ
    address &= NOBODY - 1
    c[EXIT_QUALIFICATION] = address | size << 56
    c[EXIT_PHYSICAL] = address
    return np.uint64(0)


@core
def device_write(m, address, size, value):
    """Note the write; the loop leaves after the instruction."""
    c = cpu(m)
    count = c[POSTED_COUNT]
    if count < POSTED_ROOM:
        c[POSTED + 2 * count] = address & (NOBODY - 1) | size << 56 | np.uint64(1) << 60
        c[POSTED + 2 * count + 1] = value & ones(size)
        c[POSTED_COUNT] = count + 1
    c[STOP] = 1
    c[ATTENTION] = 1


@core
def read_physical(m, address, size):
    """1, 2, 4 or 8 bytes within one page, at a place."""
    if in_ram(m, address):
        memory = ram(m)
        if size == 1:
            return load_u8(memory, address)
        if size == 2:
            return load_u16(memory, address)
        if size == 4:
            return load_u32(memory, address)
        return load_u32(memory, address) | load_u32(memory, address + 4) << 32
    if is_claimed(m, address):
        return device_read(m, address, size)
    return ones(size)


@core
def trace_store(m, address, size, old, value):
    h = handle(m)
    used = h[H_TRACE_USED]
    if used + 2 <= h[H_TRACE_ROOM]:
        buffer = trace_buffer(m)
        buffer[used] = np.uint64(1) << 63 | size << 56 | address
        buffer[used + 1] = old | (value & ones(size)) << 32
        h[H_TRACE_USED] = used + 2


@core
def note_traced(m, address, size):
    """A hypervisor wants to know of this store."""
    c = cpu(m)
    count = c[TRACED_COUNT]
    if count < TRACED_ROOM:
        c[TRACED + count] = address | size << 56
    if count <= TRACED_ROOM:
        c[TRACED_COUNT] = count + 1


@core
def write_physical(m, address, size, value):
    """1, 2 or 4 bytes within one page, at a place."""
    c = cpu(m)
    if not in_ram(m, address):
        if is_claimed(m, address):
            device_write(m, address, size, value)
        return
    memory = ram(m)
    if c[TRACING]:
        trace_store(m, address, size, read_physical(m, address, size), value)
    pfn = address >> 12
    if page_flags(m)[pfn] & PAGE_CODE:
        invalidate_granules(m, address, size)
    if page_flags(m)[pfn] & PAGE_TRACED:
        note_traced(m, address, size)
    page_flags(m)[pfn] |= np.uint8(PAGE_DIRTY)
    if size == 1:
        store_u8(memory, address, value)
    elif size == 2:
        store_u16(memory, address, value)
    else:
        store_u32(memory, address, value)
