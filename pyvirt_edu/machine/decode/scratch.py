"""One instruction while it is being decoded: its scratch words, and reading its bytes.

The words mean nothing once the instruction is done.
"""

from __future__ import annotations

import numpy as np

from ..state.handles import ram, row_table
from ..state.jit import core, core_inlined

SCRATCH = 8000  # the last words of the row table

(
    D_POSITION,  # bytes read of this instruction
    D_PHYSICAL,  # of its first byte
    D_PHYSICAL2,  # of the next page, 0 while unknown
    D_REMAINING,  # bytes left in the first page
    D_SHORT,  # 1: ran over the page's end with no next page known
    D_UOP,  # next free micro-op
    D_START,  # offset of the instruction in its block
    D_ORDINAL,
    D_ACCESSES,  # data accesses of the block so far
    D_ENDS,  # 1: the block ends here
    D_FALLS,  # 1: and a micro-op must say where to go on
    D_OPERAND,  # operand size, 2 or 4
    D_ADDRESS,  # address size
    D_SEGMENT,  # override, or 8
    D_REPEAT,
    D_LOCK,
    D_MOD,
    D_REG,
    D_RM,
    D_BASE,
    D_INDEX,
    D_SCALE,
    D_DISPLACEMENT,
    D_EA_SEGMENT,
    D_IMMEDIATE,
    D_STACK32,
    D_COST,
    D_FAULT,  # 0, or 1 + vector to raise instead
    D_IMMEDIATE2,
    D_ROW,
    D_MODRM,
) = range(31)

MAX_LENGTH = 15
NO_ROW = SCRATCH  # what D_ROW is when no row has the opcode


@core_inlined
def scratch(m):
    return row_table(m)[SCRATCH:]


@core
def fetch8(m):
    """The next instruction byte; past the known pages it says so and returns 0."""
    d = scratch(m)
    position = d[D_POSITION]
    d[D_POSITION] = position + 1
    memory = ram(m)
    if position < d[D_REMAINING]:
        address = d[D_PHYSICAL] + position
    elif d[D_PHYSICAL2] != 0:
        address = d[D_PHYSICAL2] - 1 + position - d[D_REMAINING]
    else:
        d[D_SHORT] = 1
        return np.uint64(0)
    if address >= np.uint64(memory.size):
        return np.uint64(0xFF)  # nothing there: the bus reads as ones
    return np.uint64(memory[address])


@core
def fetch(m, size):
    value = fetch8(m)
    if size > 1:
        value |= fetch8(m) << 8
    if size > 2:
        value |= fetch8(m) << 16
        value |= fetch8(m) << 24
    return value


@core
def sign_extended(value, size):
    """To 32 bits."""
    if size == 1 and value & 0x80:
        return value | 0xFFFFFF00
    if size == 2 and value & 0x8000:
        return value | 0xFFFF0000
    return value
