"""Physical memory: RAM, devices that claimed a range, and nothing.

Every store of the guest, of the page walker and of the processor itself ends here or in the
fast path; the fast path takes only pages for which there is nothing to do (layout.py).
"""

from __future__ import annotations

import numpy as np

from .code_pages import invalidate_granules
from .handles import (
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
from .jit import core, core_hot
from .layout import (
    A20_MASK,
    ATTENTION,
    EVENT,
    EVENT_READ,
    EXIT_MMIO_READ,
    EXIT_PHYSICAL,
    EXIT_QUALIFICATION,
    EXIT_REASON,
    H_REGION_COUNT,
    H_TRACE_ROOM,
    H_TRACE_USED,
    PAGE_CODE,
    PAGE_DIRTY,
    PAGE_MMIO,
    POSTED,
    POSTED_COUNT,
    POSTED_ROOM,
    REPLAY,
    REPLAY_COUNT,
    REPLAY_INDEX,
    STOP,
    TRACING,
)


@core_hot
def ones(size):
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> (64 - 8 * size)


@core_hot
def in_ram(m, address):
    """Whether a physical address is RAM and nobody claimed it."""
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
    c[EXIT_QUALIFICATION] = address | size << 56
    c[EXIT_PHYSICAL] = address
    return np.uint64(0)


@core
def device_write(m, address, size, value):
    """Note the write; the loop leaves after the instruction."""
    c = cpu(m)
    count = c[POSTED_COUNT]
    if count < POSTED_ROOM:
        c[POSTED + 2 * count] = address | size << 56 | np.uint64(1) << 60
        c[POSTED + 2 * count + 1] = value & ones(size)
        c[POSTED_COUNT] = count + 1
    c[STOP] = 1
    c[ATTENTION] = 1


@core
def read_physical(m, address, size):
    """1, 2, 4 or 8 bytes within one page."""
    c = cpu(m)
    address &= c[A20_MASK]
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
def write_physical(m, address, size, value):
    """1, 2 or 4 bytes within one page."""
    c = cpu(m)
    address &= c[A20_MASK]
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
    page_flags(m)[pfn] |= np.uint8(PAGE_DIRTY)
    if size == 1:
        store_u8(memory, address, value)
    elif size == 2:
        store_u16(memory, address, value)
    else:
        store_u32(memory, address, value)
