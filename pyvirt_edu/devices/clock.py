"""Simulated time for devices: what the clock says, and who is due next.

The processor runs at CPU_HZ. A device that has something to do later notes the cycle count
with `set_event`; the loop stops there at an instruction boundary (machine/attention.py), so
events come at the same instruction however the machine is run.
"""

from __future__ import annotations

from ..machine.state.handles import cpu, devices
from ..machine.state.jit import core
from ..machine.state.layout import CYCLES, DEADLINE, LEDGER, STOP, TIMER
from .layout import EVENT_SOURCES, EVENTS

CPU_HZ = 200_000_000  # a Pentium Pro of 1995
MICROSECOND = CPU_HZ // 1_000_000


@core
def now(m):
    """Cycles up to and including what the current instruction has cost so far."""
    c = cpu(m)
    return c[CYCLES] + c[LEDGER]


@core
def set_event(m, source, when):
    """A source wants to act at a cycle count, or NEVER."""
    c, d = cpu(m), devices(m)
    d[EVENTS + source] = when
    first = d[EVENTS]
    for i in range(EVENT_SOURCES):
        if d[EVENTS + i] < first:
            first = d[EVENTS + i]
    c[TIMER] = first
    if first < c[DEADLINE]:
        c[DEADLINE] = first
        c[STOP] = 1  # a block or a repeated string instruction in progress may be too long now


@core
def due_source(m, time):
    """The source whose event comes first, if its time has come; EVENT_SOURCES if none."""
    d = devices(m)
    found = EVENT_SOURCES
    for i in range(EVENT_SOURCES):
        if d[EVENTS + i] <= time and (found == EVENT_SOURCES or d[EVENTS + i] < d[EVENTS + found]):
            found = i
    return found
