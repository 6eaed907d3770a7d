"""The slow path of memory: every load and store that the fast path leaves to it, in two units.

The fast path is a few lines in loop.py (`load`, `store`) and access.py (`read`, `write`). They compare
the offset with the segment's end, look the page up in a small table (FAST_DTYPE in layout.py), and move
the bytes. What that table does not grant comes here: the first touch of a page, an access to two pages,
to a device or to ROM, a store to code or under a trace, watched pages, checks of alignment, all faults.

In order: segment check, alignment check, translation of every page touched, then the access.
Nothing is written before everything that can fault has been asked. Afterwards the fast path
learns the page, unless there is a reason to see every access to it.
"""

from __future__ import annotations

import numpy as np

from ..state.handles import cpu, fast, fault, handle, page_flags, watches
from ..state.jit import core, core_hot, unit
from ..state.layout import (
    AC,
    AC_FAULT,
    ATTENTION,
    BASE,
    CR0,
    CR0_AM,
    DEBUG_PENDING,
    DR,
    DR7,
    EFLAGS,
    EVENT,
    EXIT_LINEAR,
    EXIT_QUALIFICATION,
    EXIT_REASON,
    EXIT_WATCHPOINT,
    FAST_ENTRIES,
    H_WATCH_COUNT,
    PAGE_DIRTY,
    PROBE,
    STOP,
    TRACING,
    USER,
    WRITE,
)
from .physical import in_ram, is_shadowed, ones, read_physical, write_physical
from .segment_cache import segment_check
from .tlb import dirty_in_tlb, translate

NO_SEGMENT = 8


@core
def breakpoint_span(m, n):
    """Length in bytes of data breakpoint n, 0 if it is off or watches fetches or ports."""
    c = cpu(m)
    kind = c[DR7] >> (16 + 4 * n) & 3
    if not c[DR7] >> (2 * n) & 3 or not kind & 1:
        return np.uint64(0)
    length = (c[DR7] >> (18 + 4 * n) & 3) + 1
    if length == 3:
        return np.uint64(8)
    return length


@core
def page_is_watched(m, page):
    """Whether a linear page holds a watchpoint or a data breakpoint."""
    c = cpu(m)
    table = watches(m)
    for i in range(handle(m)[H_WATCH_COUNT]):
        if table[4 * i] < page + 0x1000 and table[4 * i + 1] > page:
            return True
    if c[DR7] & 0xFF:
        for i in range(4):
            n = np.uint64(i)
            span = breakpoint_span(m, n)
            if span and c[DR + n] < page + 0x1000 and c[DR + n] + span > page:
                return True
    return False


@core
def report_watches(m, linear, size, writing):
    """Note hits of watchpoints and data breakpoints; they take effect after the instruction."""
    c = cpu(m)
    table = watches(m)
    for i in range(handle(m)[H_WATCH_COUNT]):
        if table[4 * i] < linear + size and table[4 * i + 1] > linear and (writing or table[4 * i + 2] & 2):
            c[EXIT_REASON] = EXIT_WATCHPOINT
            c[EXIT_LINEAR] = linear
            c[EXIT_QUALIFICATION] = linear | size << 56
            c[STOP] = 1
            c[ATTENTION] = 1
    if c[DR7] & 0xFF:
        for i in range(4):
            n = np.uint64(i)
            span = breakpoint_span(m, n)
            start = c[DR + n] & ~(span - 1)
            if span and start < linear + size and start + span > linear:
                if writing or c[DR7] >> (16 + 4 * n) & 3 == 3:
                    c[DEBUG_PENDING] |= np.uint64(1) << n
                    c[STOP] = 1
                    c[ATTENTION] = 1


@core
def learn(m, linear, physical, access, watched):
    """Let the fast path handle this page from now on."""
    c = cpu(m)
    page = physical & ~np.uint64(0xFFF)
    if watched or not in_ram(m, page) or is_shadowed(m, page):
        return
    if access & WRITE and not dirty_in_tlb(m, linear):
        return  # behind nested tables: reads go elsewhere
    index = linear >> 12 & (FAST_ENTRIES - 1)
    if access & USER:
        if c[EFLAGS] & AC and c[CR0] & CR0_AM:
            return
        index += FAST_ENTRIES
    entry = fast(m)[index]
    tag = linear & 0xFFFFF000
    if entry.read != tag:
        entry.read = tag
        entry.write = np.uint64(0xFFFFFFFFFFFFFFFF)
        entry.offset = page - tag
    if access & WRITE and not c[TRACING] and page_flags(m)[page >> 12] == PAGE_DIRTY:
        entry.write = tag


@core
def linear_of(m, seg, offset, size, access):
    """Segment and alignment checks; the linear address. EVENT on a fault."""
    c = cpu(m)
    if seg < NO_SEGMENT:
        # a modify reads too, but what may be written may be read (manual 3A, 3.4.5.1)
        if not segment_check(m, seg, offset, size, access & WRITE):
            return np.uint64(0)
        offset = c[BASE + seg] + offset
    linear = offset & 0xFFFFFFFF
    if access & USER and c[EFLAGS] & AC and c[CR0] & CR0_AM and linear & (size - 1):
        fault(m, AC_FAULT, 0)
    return linear


@core_hot
def next_page_of(linear):
    return ((linear & 0xFFFFF000) + 0x1000) & 0xFFFFFFFF


@core
def source_of(m, linear, access):
    """Where a load finds its bytes. One to write back needs the right to both, and of ROM it reads what
    it cannot change."""
    place = translate(m, linear, access & (WRITE | USER))
    if access & WRITE and cpu(m)[EVENT] == 0:
        return translate(m, linear, access & USER)
    return place


@unit
def load_slow(m, offset, packed, unused):
    """Load ``size | seg << 8 | access << 16``; the value, or EVENT."""
    c = cpu(m)
    size, seg, access = packed & 0xFF, packed >> 8 & 0xFF, packed >> 16 & 0xFF
    linear = linear_of(m, seg, offset, size, access)
    if c[EVENT]:
        return np.uint64(0)
    physical = source_of(m, linear, access)
    if c[EVENT]:
        return np.uint64(0)
    left = 0x1000 - (linear & 0xFFF)
    watched = page_is_watched(m, linear & 0xFFFFF000)
    if size <= left:
        value = read_physical(m, physical, size)
        if c[EVENT] == 0:
            learn(m, linear, physical, access, watched)
    else:
        second = source_of(m, next_page_of(linear), access)
        if c[EVENT]:
            return np.uint64(0)
        watched = True
        value = np.uint64(0)
        for i in range(size):
            n = np.uint64(i)
            place = physical + n
            if n >= left:
                place = second + n - left
            value |= read_physical(m, place, 1) << (8 * n)
            if c[EVENT]:
                return np.uint64(0)
    if watched and c[EVENT] == 0:
        report_watches(m, linear, size, False)
    return value


@core
def store_within(m, physical, size, value):
    if size == 8:
        write_physical(m, physical, 4, value & 0xFFFFFFFF)
        write_physical(m, physical + 4, 4, value >> 32)
    else:
        write_physical(m, physical, size, value & ones(size))


@unit
def store_slow(m, offset, packed, value):
    """Store ``size | seg << 8 | access << 16``; with PROBE only ask whether one would fault."""
    c = cpu(m)
    size, seg, access = packed & 0xFF, packed >> 8 & 0xFF, packed >> 16 & 0xFF
    linear = linear_of(m, seg, offset, size, access)
    if c[EVENT]:
        return np.uint64(0)
    physical = translate(m, linear, WRITE | access & USER)
    if c[EVENT]:
        return np.uint64(0)
    left = 0x1000 - (linear & 0xFFF)
    second = np.uint64(0)
    if size > left:
        second = translate(m, next_page_of(linear), WRITE | access & USER)
        if c[EVENT]:
            return np.uint64(0)
    if access & PROBE:
        return np.uint64(0)
    watched = page_is_watched(m, linear & 0xFFFFF000)
    if size <= left:
        store_within(m, physical, size, value)
        learn(m, linear, physical, WRITE | access, watched)
    else:
        watched = True
        for i in range(size):
            n = np.uint64(i)
            place = physical + n
            if n >= left:
                place = second + n - left
            write_physical(m, place, 1, value >> (8 * n) & 0xFF)
    if watched:
        report_watches(m, linear, size, True)
    return np.uint64(0)
