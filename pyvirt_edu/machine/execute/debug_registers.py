"""MOV to and from the debug registers (manual 3B, 17.2)."""

from __future__ import annotations

from ..memory.tlb import flush_fast
from ..protection.privilege import require_ring_0
from ..state.handles import cpu, fault
from ..state.jit import core
from ..state.layout import ATTENTION, CR4, CR4_DE, DB, DR, DR6, DR7, T0, UD

GD = 0x2000
DR6_WRITABLE, DR6_ONES = 0xE00F, 0xFFFF_0FF0
DR7_WRITABLE, DR7_ONES = 0xFFFF_23FF, 0x400


@core
def debug_register(m, number):
    """Which register the instruction means; 8 and a fault if it may not.

    DR4 and DR5 are other names of DR6 and DR7 until CR4.DE takes them away. DR7.GD makes any
    access a debug exception, so that a debugger can hide its own use of the registers.
    """
    c = cpu(m)
    if number == 4 or number == 5:
        if c[CR4] & CR4_DE:
            fault(m, UD, 0)
            return 8
        number += 2
    if require_ring_0(m) == 0:
        return 8
    if c[DR7] & GD:
        c[DR6] |= 0x2000  # BD
        fault(m, DB, 0)
        return 8
    return number


@core
def move_to_debug(m, reg):
    c = cpu(m)
    number = debug_register(m, reg)
    if number > 7:
        return
    value = c[T0] & 0xFFFF_FFFF
    if number == 6:
        value = (value & DR6_WRITABLE) | DR6_ONES
    elif number == 7:
        value = (value & DR7_WRITABLE) | DR7_ONES
    c[DR + number] = value
    if number != 6:
        flush_fast(m)  # pages with a data breakpoint stay off the fast path
        c[ATTENTION] = 1


@core
def move_from_debug(m, reg):
    c = cpu(m)
    number = debug_register(m, reg)
    if number < 8:
        c[T0] = c[DR + number]
