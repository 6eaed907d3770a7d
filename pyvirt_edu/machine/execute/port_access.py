"""The I/O address space: who may use a port, and where the access goes (manual 1, chapter 19).

A port is unclaimed (reads give all ones, writes are lost, nothing leaves the core), belongs to
a device of the platform (devices/, which answers at once), or is claimed in Python. There, a
read ends the instruction before it has done anything; it is executed again once the value is
known. A write is posted: the instruction completes, and Python gets the write right after.
"""

from __future__ import annotations

import numpy as np

from ..memory.access import read
from ..state.handles import call_unit, cpu, fault, ports
from ..state.jit import UNIT_DEVICES, core
from ..state.layout import (
    ATTENTION,
    ATTRIBUTES,
    BASE,
    CPL,
    CR0,
    CR0_PE,
    CR4,
    CR4_DE,
    DEBUG_PENDING,
    DEVICE_CLAIM,
    DR,
    DR7,
    EFLAGS,
    EVENT,
    EVENT_READ,
    EXIT_PORT_IN,
    EXIT_QUALIFICATION,
    EXIT_REASON,
    GP,
    LIMIT,
    POSTED,
    POSTED_COUNT,
    POSTED_ROOM,
    REPLAY,
    REPLAY_COUNT,
    REPLAY_INDEX,
    STOP,
    TR,
    VM,
)

DEVICE_READ, DEVICE_WRITE = 0, 1  # operations of the devices' unit (devices/bus.py)
IO_MAP_BASE = 0x66  # where a 32-bit TSS says at which offset its I/O permission bit map starts


@core
def check_port(m, port, size):
    """Fault with #GP(0) unless the program may access `size` ports from `port` on.

    Protected mode asks CPL <= IOPL first, virtual-8086 mode goes straight to the bit map of
    the TSS (manual 1, 19.5.1 and 19.5.2). Returns 1 if the access is allowed.
    """
    c = cpu(m)
    if (c[CR0] & CR0_PE) == 0:
        return 1
    if (c[EFLAGS] & VM) == 0 and c[CPL] <= ((c[EFLAGS] >> 12) & 3):
        return 1
    # only a 32-bit TSS (types 9 and 11) has a bit map
    kind = c[ATTRIBUTES + TR] & 0x9F
    if (kind | 2) != 0x8B or c[LIMIT + TR] < IO_MAP_BASE + 1:
        return fault(m, GP, 0)
    start = read(m, c[BASE + TR] + IO_MAP_BASE, 2, 0)
    if c[EVENT]:
        return 0
    place = start + (port >> 3)
    # the processor always reads two bytes, so both must lie within the limit
    if place + 1 > c[LIMIT + TR]:
        return fault(m, GP, 0)
    bits = read(m, c[BASE + TR] + place, 2, 0)
    if c[EVENT]:
        return 0
    if (bits >> (port & 7)) & ((1 << size) - 1):
        return fault(m, GP, 0)
    return 1


@core
def match_port_breakpoints(m, port, size):
    """Note the I/O breakpoints this access hits: R/W field 10 with CR4.DE (manual 3B, 17.2.4)."""
    c = cpu(m)
    if (c[DR7] & 0xFF) == 0 or (c[CR4] & CR4_DE) == 0:
        return
    hits = 0
    enabled = 0
    for i in range(4):
        k = np.uint64(i)
        kind = (c[DR7] >> (16 + 4 * k)) & 3
        length = ((c[DR7] >> (18 + 4 * k)) & 3) + 1
        if length == 3:
            length = 8  # encoding 10 is undefined before 64-bit processors, which use it so
        start = c[DR + k] & ~(length - 1)
        if kind == 2 and start < port + size and port < start + length:
            hits |= 1 << k
            enabled |= (c[DR7] >> (2 * k)) & 3
    if enabled:
        c[DEBUG_PENDING] |= hits
        c[ATTENTION] = 1


@core
def claim_of(m, port, size):
    """Who answers for the ports: 0 nobody, 1 Python, DEVICE_CLAIM and more a device.

    The first claimed port decides.
    """
    claims = ports(m)
    for i in range(size):
        claim = np.uint64(claims[(port + np.uint64(i)) & 0xFFFF])
        if claim:
            return claim
    return np.uint64(0)


@core
def port_read(m, port, size):
    """Read a port; sets EVENT_READ when the value must come from a device first."""
    c = cpu(m)
    claim = claim_of(m, port, size)
    if claim == 0:
        match_port_breakpoints(m, port, size)
        return (1 << (size << 3)) - 1
    if claim >= DEVICE_CLAIM:
        match_port_breakpoints(m, port, size)
        return call_unit(m, UNIT_DEVICES, DEVICE_READ | claim << 8, port | size << 16, 0)
    if c[REPLAY_INDEX] < c[REPLAY_COUNT]:
        value = c[REPLAY + c[REPLAY_INDEX]]
        c[REPLAY_INDEX] += 1
        match_port_breakpoints(m, port, size)
        return value & ((1 << (size << 3)) - 1)
    c[EVENT] = EVENT_READ
    c[EXIT_REASON] = EXIT_PORT_IN
    c[EXIT_QUALIFICATION] = port | (size << 56)
    return 0


@core
def port_write(m, port, size, value):
    """Write a port; nothing can fault here, so this may come last in an instruction."""
    c = cpu(m)
    match_port_breakpoints(m, port, size)
    claim = claim_of(m, port, size)
    if claim == 0:
        return
    if claim >= DEVICE_CLAIM:
        call_unit(m, UNIT_DEVICES, DEVICE_WRITE | claim << 8, port | size << 16, value)
        return
    count = c[POSTED_COUNT]
    if count < POSTED_ROOM:
        c[POSTED + 2 * count] = port | (size << 56)
        c[POSTED + 2 * count + 1] = value & ((1 << (size << 3)) - 1)
        c[POSTED_COUNT] = count + 1
    c[STOP] = 1
    c[ATTENTION] = 1
