"""Task switches (manual 3A, chapter 7).

A switch has a point of no return. Up to it everything that can fail is tried first: the
descriptor of the new TSS, the size of both, the pages they lie in; a fault then belongs to
the old task. After it the new task's registers are in the processor, and what is wrong with
its segments (#TS, #NP, #SS) is a fault of the new task, before its first instruction.
"""

from __future__ import annotations

import numpy as np

from ..costs import COST_TASK
from ..memory.access import probe_write, read, write
from ..memory.descriptor_fields import descriptor_base, descriptor_limit
from ..memory.paging import load_pdptes, pdptes_are_valid
from ..memory.segment_cache import null_segment, set_cpl, set_descriptor, set_v86_segment
from ..memory.tlb import flush_for_cr3
from ..state.flags import read_eflags, write_eflags
from ..state.handles import charge, costs, cpu, fault
from ..state.jit import core, unit
from ..state.layout import (
    ATTENTION,
    ATTRIBUTES,
    BASE,
    CPL,
    CR0,
    CR0_PG,
    CR0_TS,
    CR3,
    CR4,
    CR4_PAE,
    CS,
    DEBUG_PENDING,
    DR7,
    DS,
    EFLAGS,
    ES,
    EVENT,
    FS,
    GDTR_BASE,
    GDTR_LIMIT,
    GP,
    GS,
    INSTRUCTION_RIP,
    LDTR,
    LIMIT,
    NP,
    NT,
    RIP,
    SELECTOR,
    SS,
    TR,
    TS,
    VM,
)
from .segments import mark_accessed, push, read_descriptor, stack_descriptor

WORD32 = 0xFFFF_FFFF
BY_JMP, BY_CALL, BY_IRET, BY_GATE = 0, 1, 2, 3
BUSY = 0x200  # in the high dword of a TSS descriptor
FLAG_BITS = 0x0027_7FD5  # the bits EFLAGS has; bit 1 reads as one

# Where a TSS keeps things: (16-bit, 32-bit)
LINK = 0
EIP_16, EIP_32 = 0x0E, 0x20  # then the flags and the eight registers
SEGMENTS_16, SEGMENTS_32 = 0x22, 0x48  # ES CS SS DS (FS GS)
LDT_16, LDT_32 = 0x2A, 0x60
CR3_32, TRAP_32 = 0x1C, 0x64
SMALLEST_16, SMALLEST_32 = 0x2B, 0x67  # limits


# --- the descriptor of the new TSS -------------------------------------------------------------


@core
def find_tss(m, selector, how):
    """Check the selector of a task and its descriptor (manual 3A, table 7-1, rows 1 to 4)."""
    c = cpu(m)
    vector = GP
    if how == BY_IRET:
        vector = TS
    error = selector & 0xFFFC
    if (selector & 4) or error == 0 or (selector | 7) > c[GDTR_LIMIT]:
        fault(m, vector, error)
        return 0, 0
    low, high = read_descriptor(m, selector, vector)
    if c[EVENT]:
        return 0, 0
    # available TSS: 1 and 9; busy: 3 and 11
    expected = 1
    if how == BY_IRET:
        expected = 3
    if ((high >> 8) & 0x17) != expected:
        fault(m, vector, error)
        return 0, 0
    if (high & 0x8000) == 0:
        fault(m, NP, error)
        return 0, 0
    smallest = SMALLEST_16
    if high & 0x800:
        smallest = SMALLEST_32
    if descriptor_limit(low, high) < smallest:
        fault(m, TS, error)
        return 0, 0
    return low, high


@core
def tss_present(m, base, last, for_writing):
    """Sets EVENT unless the pages of a TSS up to offset `last` can be used."""
    c = cpu(m)
    # a TSS is smaller than a page: its two ends name all its pages
    if for_writing:
        probe_write(m, base, 2, 0)
        if c[EVENT] == 0:
            probe_write(m, base + last - 1, 2, 0)
    else:
        read(m, base, 2, 0)
        if c[EVENT] == 0:
            read(m, base + last - 1, 2, 0)


@core
def set_busy(m, selector, busy):
    """Set or clear the busy bit of a TSS descriptor in the GDT."""
    place = (cpu(m)[GDTR_BASE] + (selector & 0xFFF8) + 4) & WORD32
    high = read(m, place, 4, 0) & ~BUSY
    if busy:
        high |= BUSY
    write(m, place, 4, high, 0)


# --- the old task --------------------------------------------------------------------------------


@core
def save_task(m, flags):
    """Save the outgoing task: EIP, flags, registers, selectors. CR3 and LDT are not saved."""
    c = cpu(m)
    base = c[BASE + TR]
    size, eip, segments, count = 2, EIP_16, SEGMENTS_16, 4
    if c[ATTRIBUTES + TR] & 8:
        size, eip, segments, count = 4, EIP_32, SEGMENTS_32, 6
    write(m, base + eip, size, c[RIP], 0)
    write(m, base + eip + size, size, flags, 0)
    for i in range(8):
        n = np.uint64(i)
        write(m, base + eip + (n + 2) * size, size, c[n], 0)
    for i in range(count):
        n = np.uint64(i)
        write(m, base + segments + n * size, 2, c[SELECTOR + n], 0)


# --- the segments of the new task ----------------------------------------------------------------


@core
def load_task_ldt(m, selector):
    """Rows 5 and 10 of table 7-1."""
    c = cpu(m)
    null_segment(m, LDTR, selector)
    if (selector & 0xFFFC) == 0:
        return
    if (selector & 4) or (selector | 7) > c[GDTR_LIMIT]:
        fault(m, TS, selector & 0xFFFC)
        return
    low, high = read_descriptor(m, selector, TS)
    if c[EVENT]:
        return
    if ((high >> 8) & 0x9F) != 0x82:
        fault(m, TS, selector & 0xFFFC)
        return
    set_descriptor(m, LDTR, selector, low, high)


@core
def load_task_code(m, selector):
    """Rows 6, 11 and 12: the RPL is the new CPL."""
    c = cpu(m)
    error = selector & 0xFFFC
    if error == 0:
        fault(m, TS, 0)
        return
    low, high = read_descriptor(m, selector, TS)
    if c[EVENT]:
        return
    kind = (high >> 8) & 0x1C
    level = (high >> 13) & 3
    wrong = kind < 0x18
    if kind == 0x18 and level != (selector & 3):
        wrong = True
    if kind == 0x1C and level > (selector & 3):
        wrong = True
    if wrong:
        fault(m, TS, error)
        return
    if (high & 0x8000) == 0:
        fault(m, NP, error)
        return
    mark_accessed(m, selector, high)
    if c[EVENT]:
        return
    set_descriptor(m, CS, selector, low, high)


@core
def load_task_stack(m, selector):
    """Rows 7, 8, 9 and 13."""
    c = cpu(m)
    low, high = stack_descriptor(m, selector, c[CPL], TS)
    if c[EVENT]:
        return
    mark_accessed(m, selector, high)
    if c[EVENT]:
        return
    set_descriptor(m, SS, selector, low, high)


@core
def load_task_data(m, seg, selector):
    """Rows 14 to 17."""
    c = cpu(m)
    error = selector & 0xFFFC
    if error == 0:
        return
    low, high = read_descriptor(m, selector, TS)
    if c[EVENT]:
        return
    kind = (high >> 8) & 0x1F
    level = (high >> 13) & 3
    wrong = (kind & 0x10) == 0 or (kind & 0xA) == 8  # a system segment, or code that cannot be read
    if (kind & 0xC) != 0xC and (level < c[CPL] or level < (selector & 3)):
        wrong = True
    if wrong:
        fault(m, TS, error)
        return
    if (high & 0x8000) == 0:
        fault(m, NP, error)
        return
    mark_accessed(m, selector, high)
    if c[EVENT]:
        return
    set_descriptor(m, seg, selector, low, high)


@core
def load_task_segments(m, ldt):
    """Load what the selectors name; the first that cannot be is a fault of the new task."""
    c = cpu(m)
    cs, ss = c[SELECTOR + CS], c[SELECTOR + SS]
    es, ds, fs, gs = c[SELECTOR + ES], c[SELECTOR + DS], c[SELECTOR + FS], c[SELECTOR + GS]
    if c[EFLAGS] & VM:
        load_task_ldt(m, ldt)
        for i in range(6):
            n = np.uint64(i)
            set_v86_segment(m, n, c[SELECTOR + n])
        set_cpl(m, 3)
        return
    for i in range(6):
        n = np.uint64(i)
        null_segment(m, n, c[SELECTOR + n])
    set_cpl(m, cs & 3)
    load_task_ldt(m, ldt)
    if c[EVENT] == 0:
        load_task_code(m, cs)
    if c[EVENT] == 0:
        load_task_stack(m, ss)
    if c[EVENT] == 0:
        load_task_data(m, ES, es)
    if c[EVENT] == 0:
        load_task_data(m, DS, ds)
    if c[EVENT] == 0:
        load_task_data(m, FS, fs)
    if c[EVENT] == 0:
        load_task_data(m, GS, gs)


# --- the switch ------------------------------------------------------------------------------------


@core
def load_task(m, base, is_32, how):
    """Read the new task's registers from its TSS; returns its LDT selector, its CR3 and its T bit."""
    c = cpu(m)
    size, eip, segments, count, ldt_place = 2, EIP_16, SEGMENTS_16, 4, LDT_16
    upper = 0xFFFF_0000  # an 80286 task has halves of registers; what is above them becomes ones
    cr3 = c[CR3]
    trap = 0
    if is_32:
        size, eip, segments, count, ldt_place = 4, EIP_32, SEGMENTS_32, 6, LDT_32
        upper = 0
        cr3 = read(m, base + CR3_32, 4, 0)
        trap = read(m, base + TRAP_32, 2, 0) & 1
    c[RIP] = read(m, base + eip, size, 0)
    flags = read(m, base + eip + size, size, 0)
    if how == BY_CALL or how == BY_GATE:
        flags |= NT
    for i in range(8):
        n = np.uint64(i)
        c[n] = read(m, base + eip + (n + 2) * size, size, 0) | upper
    c[SELECTOR + FS] = 0  # an 80286 task has none
    c[SELECTOR + GS] = 0
    for i in range(count):
        n = np.uint64(i)
        c[SELECTOR + n] = read(m, base + segments + n * size, 2, 0)
    ldt = read(m, base + ldt_place, 2, 0)
    write_eflags(m, flags, FLAG_BITS)
    return ldt, cr3, trap


@core
def can_switch(m, selector, high, base, how):
    """Everything of the switch itself that may fault, before the point of no return."""
    c = cpu(m)
    old_last = SMALLEST_16
    if c[ATTRIBUTES + TR] & 8:
        old_last = 0x5F
    if c[LIMIT + TR] < old_last:
        return fault(m, TS, c[SELECTOR + TR] & 0xFFFC)
    tss_present(m, c[BASE + TR], old_last, 1)
    if c[EVENT]:
        return 0
    is_32 = high & 0x800
    last = SMALLEST_16
    if is_32:
        last = SMALLEST_32
    for_link = 0
    if how == BY_CALL or how == BY_GATE:
        for_link = 1
    if for_link:
        probe_write(m, base, 2, 0)
        if c[EVENT]:
            return 0
    tss_present(m, base, last, 0)
    if c[EVENT]:
        return 0
    probe_write(m, c[GDTR_BASE] + (selector & 0xFFF8) + 4, 4, 0)
    if c[EVENT]:
        return 0
    if how == BY_JMP or how == BY_IRET:
        probe_write(m, c[GDTR_BASE] + (c[SELECTOR + TR] & 0xFFF8) + 4, 4, 0)
        if c[EVENT]:
            return 0
    if is_32 and (c[CR0] & CR0_PG) and (c[CR4] & CR4_PAE):
        cr3 = read(m, base + CR3_32, 4, 0)
        if pdptes_are_valid(m, cr3) == 0:
            return fault(m, GP, 0)
    return 1


@unit
def switch_task(m, selector, how, error):
    """Switch to the task of a TSS selector (manual 3A, 7.3).

    how: 0 JMP, 1 CALL, 2 IRET, 3 interrupt or exception through a task gate, whose error code,
    if it has one, is error with bit 32 set. RIP is where the old task will go on.
    """
    c = cpu(m)
    low, high = find_tss(m, selector, how)
    if c[EVENT]:
        return 0
    base = descriptor_base(low, high)
    is_32 = high & 0x800
    can_switch(m, selector, high, base, how)
    if c[EVENT]:
        return 0

    # no return from here on
    charge(m, costs(m)[COST_TASK])
    flags = read_eflags(m)
    old = c[SELECTOR + TR]
    if how == BY_IRET:
        flags &= ~NT
    if how == BY_JMP or how == BY_IRET:
        set_busy(m, old, 0)
    save_task(m, flags)
    if how == BY_CALL or how == BY_GATE:
        write(m, base + LINK, 2, old, 0)
    if how != BY_IRET:
        set_busy(m, selector, 1)
    set_descriptor(m, TR, selector, low, high | BUSY)
    ldt, cr3, trap = load_task(m, base, is_32, how)
    c[INSTRUCTION_RIP] = c[RIP]  # a fault from now on is one of the new task
    c[CR0] |= CR0_TS
    c[DR7] &= ~0x155  # local breakpoints end with the task
    if is_32 and (c[CR0] & CR0_PG):
        if c[CR4] & CR4_PAE:
            load_pdptes(m, cr3)
        c[CR3] = cr3
        flush_for_cr3(m)
    if trap:
        c[DEBUG_PENDING] |= 0x8000  # BT, reported before the first instruction
    c[ATTENTION] = 1
    load_task_segments(m, ldt)
    if c[EVENT]:
        return 0
    if error >> 32:
        size = 2
        if is_32:
            size = 4
        push(m, size, error & WORD32)
        if c[EVENT]:
            return 0
    if c[RIP] > c[LIMIT + CS]:
        return fault(m, GP, 0)
    return 1
