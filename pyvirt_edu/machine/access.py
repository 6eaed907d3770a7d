"""Memory as the units see it: thin calls into memory.py's two units.

``access`` is USER for what the program itself touches at CPL 3, 0 for what the processor
touches on its own behalf (descriptor tables, TSS, gate stacks). After each call the caller
looks at EVENT.
"""

from __future__ import annotations

import numpy as np

from .handles import call_unit, cpu
from .jit import UNIT_LOAD_SLOW, UNIT_STORE_SLOW, core
from .layout import CPL, CR0, DATA_ACCESSES, PROBE, USER, WRITE

NO_SEGMENT = 8  # "the offset is a linear address"


@core
def count_access(m):
    c = cpu(m)
    c[DATA_ACCESSES] += c[CR0] >> 31 & 1


@core
def program_access(m):
    """The access right of the running program."""
    if cpu(m)[CPL] == 3:
        return np.uint64(USER)
    return np.uint64(0)


@core
def read(m, linear, size, access):
    count_access(m)
    return call_unit(m, UNIT_LOAD_SLOW, linear & 0xFFFFFFFF, size | NO_SEGMENT << 8 | access << 16, 0)


@core
def write(m, linear, size, value, access):
    count_access(m)
    packed = size | NO_SEGMENT << 8 | (access | WRITE) << 16
    call_unit(m, UNIT_STORE_SLOW, linear & 0xFFFFFFFF, packed, value)


@core
def probe_write(m, linear, size, access):
    """Fault as a write would; change nothing but accessed and dirty bits."""
    packed = size | NO_SEGMENT << 8 | (access | WRITE | PROBE) << 16
    call_unit(m, UNIT_STORE_SLOW, linear & 0xFFFFFFFF, packed, 0)


@core
def read_segment(m, seg, offset, size):
    count_access(m)
    return call_unit(m, UNIT_LOAD_SLOW, offset, size | seg << 8 | program_access(m) << 16, 0)


@core
def write_segment(m, seg, offset, size, value):
    count_access(m)
    packed = size | seg << 8 | (program_access(m) | WRITE) << 16
    call_unit(m, UNIT_STORE_SLOW, offset, packed, value)


@core
def probe_segment_write(m, seg, offset, size):
    packed = size | seg << 8 | (program_access(m) | WRITE | PROBE) << 16
    call_unit(m, UNIT_STORE_SLOW, offset, packed, 0)
