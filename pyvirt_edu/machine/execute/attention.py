"""What is looked at between two instructions.

The loop comes here only while the ATTENTION word is set. The order is the manual's
(volume 3A, table 6-2): traps of the last instruction, then interrupts, then faults on the
fetch of the next. `attend` leaves ATTENTION set for as long as there is a reason to come
back, and SINGLE set while blocks must be one instruction long.

After a load of SS by MOV or POP, not by LSS, interrupts, NMI and data breakpoints wait until one
more instruction is done; its single step and a breakpoint on the next are lost (3A, 6.8.3).
"""

from __future__ import annotations

import numpy as np

from ..state.flags import read_eflags
from ..state.handles import call_unit, cpu, handle, trace_buffer, traced_cpu
from ..state.jit import UNIT_DELIVER, UNIT_DEVICES, core
from ..state.layout import (
    ATTENTION,
    BASE,
    CR0,
    CR2,
    CR3,
    CR4,
    CS,
    CYCLES,
    DB,
    DEADLINE,
    DEBUG_PENDING,
    DR,
    DR6,
    DR7,
    EFLAGS,
    EVENT,
    EXIT_DEADLINE,
    EXIT_EXCEPTION,
    EXIT_HLT,
    EXIT_IDLE,
    EXIT_MMIO_WRITE,
    EXIT_NONE,
    EXIT_PORT_OUT,
    EXIT_REASON,
    EXIT_SERVICE,
    EXIT_TRACE_FULL,
    EXIT_WATCHPOINT,
    H_TRACE_ROOM,
    H_TRACE_USED,
    HALTED,
    IDLE_CYCLES,
    IF,
    INSTRUCTIONS,
    INTERRUPT_LINE,
    INTERRUPT_PIN,
    LEDGER,
    MODE,
    MODE_SINGLE,
    NEVER,
    NMI,
    NMI_BLOCKED,
    NMI_PENDING,
    POSTED,
    POSTED_COUNT,
    RF,
    RIP,
    RUN_DEADLINE,
    SELECTOR,
    SERVICE,
    SHADOW,
    SHADOW_ARMED,
    SHADOW_DEBUG,
    SHADOW_NEXT,
    SINGLE,
    TF,
    TIMER,
    TRACING,
    TRAP_AFTER,
)

DEVICE_EVENT, DEVICE_ACKNOWLEDGE = 2, 3  # operations of the devices' unit (devices/bus.py)
# Words that one step may record: while the processor is halted, the floppy controller moves up to
# 72 sectors byte by byte.
TRACE_RESERVE = 75 * 1024


@core
def record_register(m, used, offset, value):
    buffer = trace_buffer(m)
    traced_cpu(m)[offset] = value
    buffer[used] = offset | np.uint64(1) << 62
    buffer[used + 1] = value
    return used + 2


@core
def record_step(m):
    """Append what changed since the last record: stores are there already, then a header.

    The words are described in tracing.py. Bit 56 of the header marks a step that delivered
    an exception or interrupt instead of executing an instruction.
    """
    c, old, h = cpu(m), traced_cpu(m), handle(m)
    if c[INSTRUCTIONS] == old[INSTRUCTIONS]:
        return
    buffer = trace_buffer(m)
    header = h[H_TRACE_USED]
    used = header + 1
    rip = old[RIP]
    eflags = read_eflags(m)
    for i in range(8):
        n = np.uint64(i)
        if c[n] != old[n]:
            used = record_register(m, used, n, c[n])
    if eflags != old[EFLAGS]:
        used = record_register(m, used, EFLAGS, eflags)
    for i in range(6):
        n = SELECTOR + np.uint64(i)
        if c[n] != old[n]:
            used = record_register(m, used, n, c[n])
    if c[CR0] != old[CR0]:
        used = record_register(m, used, CR0, c[CR0])
    if c[CR2] != old[CR2]:
        used = record_register(m, used, CR2, c[CR2])
    if c[CR3] != old[CR3]:
        used = record_register(m, used, CR3, c[CR3])
    if c[CR4] != old[CR4]:
        used = record_register(m, used, CR4, c[CR4])
    buffer[header] = rip | (used - header - 1) >> 1 << 48 | old[EVENT] << 56
    old[EVENT] = 0
    old[RIP] = c[RIP]
    old[INSTRUCTIONS] = c[INSTRUCTIONS]
    h[H_TRACE_USED] = used


@core
def after_instruction(m):
    """What the last instruction left for the outside; returns an exit reason or 0."""
    c = cpu(m)
    if c[TRACING]:
        record_step(m)
        h = handle(m)
        if h[H_TRACE_USED] + TRACE_RESERVE > h[H_TRACE_ROOM]:
            return np.uint64(EXIT_TRACE_FULL)
    if c[POSTED_COUNT]:
        if c[POSTED] >> 60:
            return np.uint64(EXIT_MMIO_WRITE)
        return np.uint64(EXIT_PORT_OUT)
    if c[SERVICE]:
        return np.uint64(EXIT_SERVICE)
    if c[EXIT_REASON] == EXIT_WATCHPOINT:
        return np.uint64(EXIT_WATCHPOINT)
    return np.uint64(EXIT_NONE)


@core
def device_events(m):
    """The clock has reached the deadline: let devices act. Returns an exit reason or 0."""
    c = cpu(m)
    if c[CYCLES] >= c[TIMER]:
        call_unit(m, UNIT_DEVICES, DEVICE_EVENT, 0, 0)
    set_deadline(m)
    if c[SERVICE]:  # an event may need Python, as an instruction may
        return np.uint64(EXIT_SERVICE)
    if c[CYCLES] >= c[RUN_DEADLINE]:
        return np.uint64(EXIT_DEADLINE)
    return np.uint64(EXIT_NONE)


@core
def set_deadline(m):
    """The loop has one deadline: the caller's or the next event of a device."""
    c = cpu(m)
    c[DEADLINE] = c[RUN_DEADLINE]
    if c[TIMER] < c[DEADLINE]:
        c[DEADLINE] = c[TIMER]


@core
def idle(m):
    """Halted: time passes until a device does something; returns the exit reason.

    Where nothing can end the wait no time passes: the caller may inject an interrupt. Every
    event leaves the loop, so that Ctrl-C reaches a guest that waits for ever.
    """
    c = cpu(m)
    if c[TIMER] == NEVER or not c[EFLAGS] & IF:
        return np.uint64(EXIT_HLT)
    if c[CYCLES] < c[DEADLINE]:
        c[IDLE_CYCLES] += c[DEADLINE] - c[CYCLES]
        c[CYCLES] = c[DEADLINE]
    reason = device_events(m)
    if reason:
        return reason
    return np.uint64(EXIT_IDLE)


@core
def deliver_now(m, vector, kind):
    """Deliver at an instruction boundary; returns an exit reason or 0."""
    c = cpu(m)
    call_unit(m, UNIT_DELIVER, vector, kind, 0)
    traced_cpu(m)[EVENT] = 1
    c[INSTRUCTIONS] += 1
    c[CYCLES] += c[LEDGER]
    c[LEDGER] = 0
    if c[EVENT]:
        return np.uint64(EXIT_EXCEPTION)
    return np.uint64(EXIT_NONE)


@core
def fetch_breakpoint(m):
    """DR6 bits of the instruction breakpoints that match the next instruction."""
    c = cpu(m)
    hits = np.uint64(0)
    linear = (c[BASE + CS] + c[RIP]) & 0xFFFFFFFF
    for i in range(4):
        n = np.uint64(i)
        if c[DR7] >> (2 * n) & 3 and c[DR7] >> (16 + 4 * n) & 15 == 0 and c[DR + n] == linear:
            hits |= np.uint64(1) << n
    return hits


@core
def enabled_fetch_breakpoints(m):
    c = cpu(m)
    if not c[DR7] & 0xFF:
        return np.uint64(0)
    for i in range(4):
        n = np.uint64(i)
        if c[DR7] >> (2 * n) & 3 and c[DR7] >> (16 + 4 * n) & 15 == 0:
            return np.uint64(1)
    return np.uint64(0)


@core
def attend(m):
    """Traps and interrupts before the next instruction; returns an exit reason or 0.

    ATTENTION stays set if anything was delivered: the loop comes back before it goes on.
    """
    c = cpu(m)
    if c[TRAP_AFTER]:
        c[TRAP_AFTER] = 0
        if c[SHADOW] != SHADOW_NEXT | SHADOW_DEBUG:  # the single step over a load of SS is lost
            c[DEBUG_PENDING] |= 0x4000  # BS
    if c[SHADOW] & SHADOW_ARMED:
        c[SHADOW] = 0
    if c[DEBUG_PENDING] and c[SHADOW] & SHADOW_DEBUG == 0:
        c[DR6] |= c[DEBUG_PENDING]
        c[DEBUG_PENDING] = 0
        c[SHADOW] = 0
        c[HALTED] = 0
        return deliver_now(m, DB, 0)
    if c[SHADOW] == 0:
        if c[NMI_PENDING] and not c[NMI_BLOCKED]:
            c[NMI_PENDING] = 0
            c[NMI_BLOCKED] = 1
            c[HALTED] = 0
            return deliver_now(m, NMI, 2)
        if c[EFLAGS] & IF and (c[INTERRUPT_LINE] or c[INTERRUPT_PIN]):
            if c[INTERRUPT_LINE]:
                vector = c[INTERRUPT_LINE] & 0xFF
                c[INTERRUPT_LINE] = 0
            else:
                vector = call_unit(m, UNIT_DEVICES, DEVICE_ACKNOWLEDGE, 0, 0)
            c[HALTED] = 0
            return deliver_now(m, vector, 2)
    if c[HALTED]:
        return idle(m)
    watching = enabled_fetch_breakpoints(m)
    if watching and not c[EFLAGS] & RF and not c[SHADOW] & SHADOW_DEBUG:
        hits = fetch_breakpoint(m)
        if hits:
            c[DR6] |= hits
            return deliver_now(m, DB, 0)
    # RF holds for one instruction
    c[EFLAGS] &= ~np.uint64(RF)
    again = watching | c[TRACING]
    if c[EFLAGS] & TF:
        c[TRAP_AFTER] = 1
        again |= np.uint64(1)
    if c[SHADOW]:
        c[SHADOW] = c[SHADOW] & ~SHADOW_NEXT | SHADOW_ARMED
        again |= np.uint64(1)
    c[SINGLE] = again
    c[MODE] &= ~np.uint64(MODE_SINGLE)
    if again:
        c[MODE] |= MODE_SINGLE
    elif c[NMI_PENDING] == 0:
        c[ATTENTION] = 0  # an interrupt that IF holds off is looked at when IF changes
    return np.uint64(EXIT_NONE)
