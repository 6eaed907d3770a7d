"""Appending micro-ops, and asking where an operand is and how wide.

Two rules make faults precise:

* whatever can fault comes before whatever commits: a memory operand that is read and
  written is read by MODIFY, which also proves that the STORE at the end cannot fault;
* a load goes to a temporary or to its register last.
"""

from __future__ import annotations

import numpy as np

from ..costs import COST_LOAD, COST_STORE
from ..state.handles import costs, row_table, uops
from ..state.jit import core
from ..state.layout import RAX, SS, ZERO
from .decoder_tables import (
    A_OPERATION,
    A_UNIT,
    A_WORDS,
    P_CONTROL,
    P_DEBUG,
    P_E,
    P_G,
    P_IMMEDIATE,
    P_M,
    P_OFFSET,
    P_ONE,
    P_R,
    P_SEGMENT,
    P_SIGNED_BYTE,
    P_Z,
    ROW_ASSIST,
    ROW_OPERANDS,
    W_BYTE,
    W_DWORD,
    W_WORD,
)
from .scratch import (
    D_ACCESSES,
    D_ADDRESS,
    D_BASE,
    D_COST,
    D_DISPLACEMENT,
    D_EA_SEGMENT,
    D_ENDS,
    D_FALLS,
    D_IMMEDIATE2,
    D_INDEX,
    D_MOD,
    D_OPERAND,
    D_ORDINAL,
    D_REG,
    D_REPEAT,
    D_RM,
    D_ROW,
    D_SCALE,
    D_START,
    D_UOP,
    SCRATCH,
    scratch,
)
from .uops import (
    MANNER,
    U_ADD32,
    U_ALU8,
    U_ALU16,
    U_ASSIST,
    U_INC32,
    U_LEA16,
    U_LEA32,
    U_LOAD8,
    U_LOAD16,
    U_LOAD32,
    U_MODIFY8,
    U_MODIFY16,
    U_MODIFY32,
    U_MOVE8,
    U_MOVE16,
    U_MOVE32,
    U_SIGN8,
    U_SIGN16,
    U_STORE8,
    U_STORE16,
    U_STORE32,
    U_UNARY8,
    U_UNARY16,
)


@core
def emit(m, kind, op, size, dst, a, b, high, imm):
    """Append a micro-op that does not touch memory; returns its number."""
    d = scratch(m)
    number = d[D_UOP]
    d[D_UOP] = number + 1
    u = uops(m)[number]
    u.kind = np.uint8(kind)
    u.op = np.uint8(op)
    u.size = np.uint8(size)
    u.dst = np.uint8(dst)
    u.a = np.uint8(a)
    u.b = np.uint8(b)
    u.seg = np.uint8(0)
    u.scale = np.uint8(0)
    u.high = np.uint8(high)
    u.imm = imm
    u.disp = np.uint64(0)
    u.rip = np.uint16(d[D_START])
    u.ordinal = np.uint8(d[D_ORDINAL])
    return number


@core
def emit_memory(m, kind, value, high, disp):
    """Append a load, modify, store or LEA at the decoded address plus ``disp``."""
    d = scratch(m)
    number = emit(m, kind, 0, 0, value, d[D_BASE], d[D_INDEX], high, 0)
    u = uops(m)[number]
    u.seg = np.uint8(d[D_EA_SEGMENT])
    u.scale = np.uint8(d[D_SCALE])
    u.disp = d[D_DISPLACEMENT] + disp
    if kind != U_LEA32 and kind != U_LEA16:
        d[D_ACCESSES] += 1
        if kind >= U_STORE8:
            d[D_COST] += costs(m)[COST_STORE]
        else:
            d[D_COST] += costs(m)[COST_LOAD]
    return number


@core
def emit_stack(m, kind, value, pointer, disp):
    """Append a load or store at SS:pointer + disp."""
    d = scratch(m)
    number = emit(m, kind, 0, 0, value, pointer, ZERO, 0, 0)
    u = uops(m)[number]
    u.seg = np.uint8(SS)
    u.disp = disp
    d[D_ACCESSES] += 1
    if kind >= U_STORE8:
        d[D_COST] += costs(m)[COST_STORE]
    else:
        d[D_COST] += costs(m)[COST_LOAD]
    return number


@core
def by_size(size, kind8, kind16, kind32):
    if size == 1:
        return kind8
    if size == 2:
        return kind16
    return kind32


@core
def load_kind(size):
    return by_size(size, U_LOAD8, U_LOAD16, U_LOAD32)


@core
def store_kind(size):
    return by_size(size, U_STORE8, U_STORE16, U_STORE32)


@core
def move_kind(size):
    return by_size(size, U_MOVE8, U_MOVE16, U_MOVE32)


@core
def register(number, size):
    """The row offset of a register; 4..7 of a byte operand are AH CH DH BH."""
    if size == 1 and number >= 4:
        return number - 4
    return number


@core
def is_high(number, size):
    if size == 1 and number >= 4:
        return np.uint64(1)
    return np.uint64(0)


@core
def emit_move(m, size, dst, dst_high, src, src_high):
    emit(m, move_kind(size), 0, size, dst, ZERO, src, dst_high | src_high << 2, 0)


@core
def place_of(m, which):
    return row_table(m)[scratch(m)[D_ROW] + ROW_OPERANDS] >> (16 * which) & 0xFF


@core
def size_of(m, which):
    """Operand size in bytes."""
    d = scratch(m)
    width = row_table(m)[d[D_ROW] + ROW_OPERANDS] >> (16 * which + 8) & 0xFF
    if width == W_BYTE:
        return np.uint64(1)
    if width == W_WORD:
        return np.uint64(2)
    if width == W_DWORD:
        return np.uint64(4)
    return d[D_OPERAND]


@core
def in_memory(m, which):
    place = place_of(m, which)
    if place == P_OFFSET or place == P_M or (place == P_E and scratch(m)[D_MOD] != 3):
        return np.uint64(1)
    return np.uint64(0)


@core
def number_of(m, which):
    """The register number of a register operand."""
    d = scratch(m)
    place = place_of(m, which)
    if place == P_E or place == P_R:
        return d[D_RM]
    if place == P_G or place == P_SEGMENT or place == P_CONTROL or place == P_DEBUG:
        return d[D_REG]
    if place == P_Z:
        return row_table(m)[SCRATCH + D_IMMEDIATE2] & 7
    return np.uint64(RAX)  # AL or rAX; recipes and rows say where CL and DX go


@core
def is_immediate(m, which):
    place = place_of(m, which)
    if place == P_IMMEDIATE or place == P_SIGNED_BYTE or place == P_ONE:
        return np.uint64(1)
    return np.uint64(0)


@core
def emit_binary(m, op, size, dst, dst_high, src, src_high, imm):
    """One of the eight ALU operations or TEST: dst = dst op (src + imm)."""
    if size == 4:
        emit(m, U_ADD32 + op, op, 4, dst, dst, src, 0, imm)
    elif size == 2:
        emit(m, U_ALU16, op, 2, dst, dst, src, 0, imm)
    else:
        emit(m, U_ALU8, op, 1, dst, dst, src, dst_high | dst_high << 1 | src_high << 2, imm)


@core
def emit_unary(m, op, size, dst, high):
    if size == 4:
        emit(m, U_INC32 + op, op, 4, dst, dst, ZERO, 0, 0)
    elif size == 2:
        emit(m, U_UNARY16, op, 2, dst, dst, ZERO, 0, 0)
    else:
        emit(m, U_UNARY8, op, 1, dst, dst, ZERO, high | high << 1, 0)


@core
def read_to(m, which, target, modify):
    """Bring an operand into a temporary, zero-extended."""
    size = size_of(m, which)
    if in_memory(m, which):
        if modify:
            emit_memory(m, by_size(size, U_MODIFY8, U_MODIFY16, U_MODIFY32), target, 0, 0)
        else:
            emit_memory(m, load_kind(size), target, 0, 0)
    else:
        n = number_of(m, which)
        if size == 1:
            emit(m, U_SIGN8, 0, 4, target, ZERO, register(n, 1), is_high(n, 1) << 2, 0)
        elif size == 2:
            emit(m, U_SIGN16, 0, 4, target, ZERO, n, 0, 0)
        else:
            emit(m, U_MOVE32, 0, 4, target, ZERO, n, 0, 0)


@core
def write_from(m, which, source):
    """Put a temporary into an operand."""
    size = size_of(m, which)
    if in_memory(m, which):
        emit_memory(m, store_kind(size), source, 0, 0)
    else:
        n = number_of(m, which)
        emit_move(m, size, register(n, size), is_high(n, size), source, 0)


@core
def emit_assist(m, size, immediate):
    """Hand the instruction to its unit. The operands that the unit gets are packed:

    bits 0-7 size, 8-15 address size, 16-23 segment, 24-31 ModRM.reg, 32-39 repeat prefix (1 REP,
    2 REPNE), 40 whether ModRM names memory, from 48 what the row says (AS_ in uops.py).
    """
    d = scratch(m)
    assist = row_table(m)[d[D_ROW] + ROW_ASSIST]
    memory = np.uint64(0)
    if d[D_MOD] != 3:
        memory = np.uint64(1)
    operation, unit = assist >> A_OPERATION & 0xFF, assist >> A_UNIT & 0xFF
    number = emit(m, U_ASSIST, operation, size, ZERO, unit, ZERO, 0, immediate)
    packed = size | d[D_ADDRESS] << 8 | d[D_EA_SEGMENT] << 16 | d[D_REG] << 24
    packed |= d[D_REPEAT] << 32 | memory << 40 | (assist >> A_WORDS & 0xFF) << MANNER
    uops(m)[number].disp = packed
    d[D_ENDS] = 1
    d[D_FALLS] = 2


@core
def ends(m):
    scratch(m)[D_ENDS] = 1
