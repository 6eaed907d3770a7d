"""Delivery of interrupts and exceptions through the IDT (manual 3A, chapter 6).

The rule this file keeps: nothing is changed until everything has been checked. The frame is
probed before its first word is written, and registers are loaded last, so that a fault on
the way (an absent gate, a full stack, a page that is missing) finds the processor as it was
and can itself be delivered. Such a fault is combined with the first by table 6-5: it is
handled in its turn, or becomes a double fault, or the processor shuts down.
"""

from __future__ import annotations

import numpy as np

from ..costs import COST_EXCEPTION
from ..memory.access import (
    count_access,
    fast_place,
    last_page,
    probe_write,
    read,
    read_pair,
    sees_everything,
    store_at,
    write,
)
from ..memory.descriptor_fields import descriptor_base, descriptor_limit, offset_in_limit
from ..memory.segment_cache import null_segment, set_descriptor, set_real_segment
from ..state.flags import read_eflags
from ..state.handles import call_unit, charge, costs, cpu, fault
from ..state.jit import UNIT_SWITCH_TASK, core, core_hot, unit
from ..state.layout import (
    AC,
    ATTRIBUTES,
    BASE,
    CPL,
    CR0,
    CR0_PE,
    CS,
    CYCLES,
    DB,
    DELIVERED_AT,
    DF_FAULT,
    DR7,
    DS,
    EFLAGS,
    ES,
    EVENT,
    EVENT_ERROR,
    EVENT_EXIT,
    EVENT_FAULT,
    EVENT_SHUTDOWN,
    EXIT_EXCEPTION,
    EXIT_REASON,
    EXIT_VALUE,
    EXIT_VECTOR,
    FS,
    GP,
    GS,
    HALTED,
    IDTR_BASE,
    IDTR_LIMIT,
    IF,
    INSTRUCTION_RIP,
    INTERCEPT_VECTORS,
    LIMIT,
    NP,
    NT,
    REPEATING,
    RF,
    RIP,
    RSP,
    SELECTOR,
    SS,
    SS_FAULT,
    TF,
    TRAP_AFTER,
    TS,
    USER,
    VM,
)
from .segments import inner_stack, mark_accessed, read_descriptor, stack_descriptor

WORD32 = 0xFFFF_FFFF
NOWHERE = 0xFFFF_FFFF_FFFF_FFFF  # not an index of RAM

# How the event came about
EXCEPTION, SOFTWARE, EXTERNAL, SOFTWARE_TRAP, ICEBP = 0, 1, 2, 3, 4

# Vectors that push an error code, and those table 6-4 calls contributory, as bit maps
WITH_ERROR = 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17
CONTRIBUTORY = 1 << 0 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13
PAGE_FAULT = 1 << 14
DOUBLE_FAULT = 1 << 8

# Attribute bits of a descriptor (bits 40 to 55)
PRESENT, CODE_OR_DATA, EXECUTABLE, CONFORMING, BIG = 0x80, 0x10, 0x08, 0x04, 0x4000


@core
def in_set(vectors, vector):
    """Whether an exception vector (0 to 31) is in a bit map."""
    if vector < 32:
        return (vectors >> vector) & 1
    return 0


# --- the stack frame ---------------------------------------------------------------------


@core_hot
def frame_fits(limit, attributes, mask, top, count, size):
    """Whether `count` pushes of `size` bytes, each wrapping by itself, stay in the stack segment."""
    for i in range(count):
        offset = (top - (np.uint64(i) + 1) * size) & mask
        if offset_in_limit(limit, attributes, offset, size) == 0:
            return 0
    return 1


@core_hot
def frame_place(m, base, mask, top, length, access):
    """Where in RAM the frame will lie if the fast path may write all of it, else NOWHERE."""
    lowest = (top - length) & mask
    linear = (base + lowest) & WORD32
    entry = fast_place(m, linear, access)
    if lowest + length > mask + 1 or entry.write != last_page(linear, length) or sees_everything(m, access):
        return np.uint64(NOWHERE)
    return linear + entry.offset


@core
def frame_present(m, base, mask, top, count, size, access):
    """Probe the pages of the frame, in the order of the pushes; sets EVENT on a page fault."""
    c = cpu(m)
    for i in range(count):
        offset = (top - (np.uint64(i) + 1) * size) & mask
        probe_write(m, base + offset, size, access)
        if c[EVENT]:
            return


@core_hot
def store_frame(m, place, first, last, size, frame):
    """Push frame[first:last] where frame_place says."""
    place += (last - first) * size
    for i in range(first, last):
        place -= size
        count_access(m)
        store_at(m, place, size, frame[i])


@core
def write_frame(m, base, mask, top, first, last, size, access, frame):
    """Push frame[first:last]; `frame` is a tuple of words in the order of the pushes."""
    place = top
    for i in range(first, last):
        place = (place - size) & mask
        write(m, base + place, size, frame[i], access)


# --- real mode ---------------------------------------------------------------------------------


@core
def deliver_real(m, vector):
    """Real-address mode: the table holds far pointers, the frame is three words (manual 3B, 20.1.4)."""
    c = cpu(m)
    if vector * 4 + 3 > c[IDTR_LIMIT]:
        fault(m, GP, 0)
        return
    entry = read(m, c[IDTR_BASE] + vector * 4, 4, 0)
    if c[EVENT]:
        return
    mask = stack_mask_of(c[ATTRIBUTES + SS])
    if frame_fits(c[LIMIT + SS], c[ATTRIBUTES + SS], mask, c[RSP], 3, 2) == 0:
        fault(m, SS_FAULT, 0)
        return
    frame_present(m, c[BASE + SS], mask, c[RSP], 3, 2, 0)
    if c[EVENT]:
        return
    frame = (read_eflags(m), c[SELECTOR + CS], c[RIP])
    write_frame(m, c[BASE + SS], mask, c[RSP], 0, 3, 2, 0, frame)
    c[RSP] = (c[RSP] & ~mask & WORD32) | ((c[RSP] - 6) & mask)
    set_real_segment(m, CS, entry >> 16)
    c[RIP] = entry & 0xFFFF
    c[EFLAGS] &= ~(IF | TF | RF | AC)


# --- protected mode ----------------------------------------------------------------------------


@core
def stack_mask_of(attributes):
    """Which bits of ESP are the stack pointer: SS.B decides."""
    if attributes & BIG:
        return 0xFFFF_FFFF
    return 0xFFFF


@core_hot
def read_gate(m, vector, kind):
    """The gate of a vector, checked; returns its low and high dword (manual 3A, 6.12.1)."""
    c = cpu(m)
    error = vector * 8 + 2
    if vector * 8 + 7 > c[IDTR_LIMIT]:
        fault(m, GP, error)
        return 0, 0
    low, high = read_pair(m, c[IDTR_BASE] + vector * 8)
    if c[EVENT]:
        return 0, 0
    kind_bits = (high >> 8) & 0x1F
    # task gate 5; 16-bit interrupt, trap gate 6, 7; 32-bit 14, 15
    if kind_bits != 5 and (kind_bits | 9) != 15:
        fault(m, GP, error)
        return 0, 0
    # INT n, INT3 and INTO need the gate's permission
    if (kind == SOFTWARE or kind == SOFTWARE_TRAP) and ((high >> 13) & 3) < c[CPL]:
        fault(m, GP, error)
        return 0, 0
    if (high & 0x8000) == 0:
        fault(m, NP, error)
        return 0, 0
    return low, high


@core_hot
def enter_handler(m, selector, low, high, level, offset, is_interrupt_gate):
    """The part of delivery that cannot fail: CS:EIP, CPL and the flags."""
    c = cpu(m)
    clear = TF | NT | RF | VM
    if is_interrupt_gate:
        clear |= IF
    c[EFLAGS] &= ~clear  # before the segments: what they allow depends on VM
    c[CPL] = level
    set_descriptor(m, CS, (selector & 0xFFFC) | level, low, high)
    c[RIP] = offset


@core_hot
def through_gate(m, low, high, has_error, error, image):
    """Enter the handler of an interrupt or trap gate (manual 3A, 6.12.1 and 20.3.1)."""
    c = cpu(m)
    selector = low >> 16
    size = 2
    offset = low & 0xFFFF
    if high & 0x800:
        size = 4
        offset |= high & 0xFFFF_0000
    is_interrupt_gate = 0
    if (high & 0x100) == 0:
        is_interrupt_gate = 1
    if (selector & 0xFFFC) == 0:
        fault(m, GP, 0)
        return
    code_low, code_high = read_descriptor(m, selector, GP)
    if c[EVENT]:
        return
    code = (code_high >> 8) & 0xF0FF
    level = (code >> 5) & 3
    is_code = (code & (CODE_OR_DATA | EXECUTABLE)) == (CODE_OR_DATA | EXECUTABLE)
    if not is_code or level > c[CPL]:
        fault(m, GP, selector & 0xFFFC)
        return
    if (code & PRESENT) == 0:
        fault(m, NP, selector & 0xFFFC)
        return
    if code & CONFORMING:
        level = c[CPL]
    from_v86 = c[EFLAGS] & VM
    if from_v86 and (level != 0 or (code & CONFORMING)):
        fault(m, GP, selector & 0xFFFC)  # out of virtual-8086 mode only to ring 0
        return

    # which stack
    first = 6
    stack_selector, stack_low, stack_high = 0, 0, 0
    access = 0
    if level < c[CPL]:
        first = 4
        if from_v86:
            first = 0
        stack_selector, top = inner_stack(m, level)
        if c[EVENT]:
            return
        stack_low, stack_high = stack_descriptor(m, stack_selector, level, TS)
        if c[EVENT]:
            return
        base = descriptor_base(stack_low, stack_high)
        limit = descriptor_limit(stack_low, stack_high)
        attributes = (stack_high >> 8) & 0xF0FF
        stack_error = stack_selector & 0xFFFC
    else:
        top = c[RSP]
        base, limit, attributes = c[BASE + SS], c[LIMIT + SS], c[ATTRIBUTES + SS]
        stack_error = 0
        if c[CPL] == 3:
            access = USER
    mask = stack_mask_of(attributes)
    last = 9 + has_error
    if frame_fits(limit, attributes, mask, top, last - first, size) == 0:
        fault(m, SS_FAULT, stack_error)
        return
    if offset > descriptor_limit(code_low, code_high):
        fault(m, GP, 0)
        return
    if first < 6:
        mark_accessed(m, stack_selector, stack_high)
        if c[EVENT]:
            return
    mark_accessed(m, selector, code_high)
    if c[EVENT]:
        return
    place = frame_place(m, base, mask, top, (last - first) * size, access)
    if place == NOWHERE:
        frame_present(m, base, mask, top, last - first, size, access)
    if c[EVENT]:
        return

    frame = (
        c[SELECTOR + GS],
        c[SELECTOR + FS],
        c[SELECTOR + DS],
        c[SELECTOR + ES],
        c[SELECTOR + SS],
        c[RSP],
        image,
        c[SELECTOR + CS],
        c[RIP],
        error,
    )
    if place == NOWHERE:
        write_frame(m, base, mask, top, first, last, size, access, frame)
    else:
        store_frame(m, place, first, last, size, frame)
    enter_handler(m, selector, code_low, code_high, level, offset, is_interrupt_gate)
    if first < 6:
        set_descriptor(m, SS, stack_selector, stack_low, stack_high)
    if first == 0:
        null_segment(m, ES, 0)
        null_segment(m, DS, 0)
        null_segment(m, FS, 0)
        null_segment(m, GS, 0)
    c[RSP] = (top & ~mask & WORD32) | ((top - (last - first) * size) & mask)


@core_hot
def deliver_protected(m, vector, kind, error):
    c = cpu(m)
    # virtual-8086 mode without VME: INT n needs IOPL 3 (manual 3B, 20.2.7)
    if kind == SOFTWARE and (c[EFLAGS] & VM) and ((c[EFLAGS] >> 12) & 3) < 3:
        fault(m, GP, 0)
        return
    low, high = read_gate(m, vector, kind)
    if c[EVENT]:
        return
    has_error = 0
    image = read_eflags(m)
    if kind == EXCEPTION:
        has_error = in_set(WITH_ERROR, vector)
        # faults push RF set, so that the breakpoint on the instruction is passed once
        # when it is tried again (manual 3B, 17.3.1.1)
        if vector != DB and vector < 32:
            image |= RF
    if c[REPEATING] == c[RIP] + 1:
        image |= RF  # so does what comes between two iterations of a string instruction
    if ((high >> 8) & 0x1F) == 5:
        # the flags saved in the old task's TSS say the same
        c[EFLAGS] |= image & RF
        call_unit(m, UNIT_SWITCH_TASK, low >> 16, 3, error | (has_error << 32))
    else:
        through_gate(m, low, high, has_error, error, image)


# --- one event, and what happens if its delivery fails -----------------------------------------


@core
def combine(first, kind, second):
    """Table 6-5: which vector to deliver when `second` was raised by the delivery of `first`.

    256 stands for shutdown. Software and external interrupts are benign whatever their vector.
    """
    if kind != EXCEPTION:
        return second
    severe = in_set(CONTRIBUTORY | PAGE_FAULT, second)
    if in_set(DOUBLE_FAULT, first) and severe:
        return 256
    if in_set(CONTRIBUTORY, first) and in_set(CONTRIBUTORY, second):
        return DF_FAULT
    if in_set(PAGE_FAULT, first) and severe:
        return DF_FAULT
    return second


@core
def intercepted(m, vector, error):
    """Leave to the caller of run() instead, if asked to."""
    c = cpu(m)
    if ((c[INTERCEPT_VECTORS + (vector >> 6)] >> (vector & 63)) & 1) == 0:
        return 0
    c[EXIT_REASON] = EXIT_EXCEPTION
    c[EXIT_VECTOR] = vector
    c[EXIT_VALUE] = error
    c[EVENT] = EVENT_EXIT
    return 1


@unit
def deliver(m, vector, kind, error):
    """Deliver an event; CS:EIP (the RIP word) is where the handler will return to.

    kind: 0 exception, 1 INT n, 2 external interrupt or NMI, 3 INT3 or INTO, 4 INT1.
    Returns 1 with EVENT clear when the handler is entered; else EVENT says why not.
    """
    c = cpu(m)
    # a page fault says nothing of EXT; others do, unless a program asked for the interrupt
    external = 1
    if kind == SOFTWARE or kind == SOFTWARE_TRAP:
        external = 0
    while True:
        c[EVENT] = 0
        if kind == EXCEPTION and intercepted(m, vector, error):
            break
        c[DELIVERED_AT] = c[CYCLES]
        if c[CR0] & CR0_PE:
            deliver_protected(m, vector, kind, error)
        else:
            deliver_real(m, vector)
        if c[EVENT] == 0:
            break
        if (c[EVENT] & EVENT_FAULT) == 0:
            break  # a device answers for the table or the stack: again, with its value
        second = c[EVENT] & 0xFF
        error = c[EVENT_ERROR]
        if in_set(CONTRIBUTORY, second):
            error |= external
        if kind != EXCEPTION and kind != EXTERNAL:
            c[RIP] = c[INSTRUCTION_RIP]  # INT itself faults, and can be tried again
        vector = combine(vector, kind, second)
        if vector == DF_FAULT:
            error = 0
        if vector > 255:
            c[EVENT] = EVENT_SHUTDOWN
            break
        kind = EXCEPTION
        external = 1
    if c[EVENT]:
        return 0
    if vector == DB:
        c[DR7] &= ~0x2000  # GD, so that the handler may use the debug registers
    c[HALTED] = 0
    c[TRAP_AFTER] = 0
    if kind == EXCEPTION or kind == EXTERNAL:
        charge(m, costs(m)[COST_EXCEPTION])  # INT and its kin carry their own price
    return 1
