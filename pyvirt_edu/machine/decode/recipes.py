"""Recipes of instructions on data: the ways they become micro-ops.

What can fault comes before what commits (emit.py).
"""

from __future__ import annotations

import numpy as np

from ..costs import COST_STORE
from ..state.handles import costs, uops
from ..state.jit import core
from ..state.layout import DS, RAX, RBX, RCX, RDX, T0, T1, T2, T3, T4, UD, ZERO
from .addressing import use_address, wrap_address
from .decoder_tables import P_IMMEDIATE, P_ONE
from .emit import (
    by_size,
    emit,
    emit_assist,
    emit_binary,
    emit_memory,
    emit_move,
    emit_unary,
    in_memory,
    is_high,
    is_immediate,
    load_kind,
    move_kind,
    number_of,
    place_of,
    read_to,
    register,
    size_of,
    store_kind,
    write_from,
)
from .scratch import (
    D_ACCESSES,
    D_ADDRESS,
    D_BASE,
    D_COST,
    D_DISPLACEMENT,
    D_EA_SEGMENT,
    D_FAULT,
    D_IMMEDIATE,
    D_INDEX,
    D_OPERAND,
    D_REG,
    D_RM,
    D_SCALE,
    D_SEGMENT,
    scratch,
)
from .uops import (
    A_ADD,
    U_BIT_OFFSET,
    U_BIT_SCAN,
    U_BIT_TEST,
    U_CMPXCHG,
    U_FLAGS,
    U_IMUL,
    U_LEA16,
    U_LEA32,
    U_LOAD8,
    U_LOAD32,
    U_MODIFY8,
    U_MODIFY16,
    U_MODIFY32,
    U_MOVE32,
    U_MOVE_IF,
    U_ROL32,
    U_ROR32,
    U_SAR32,
    U_SET_IF,
    U_SHL32,
    U_SHR32,
    U_SIGN8,
    U_SIGN16,
    U_STORE8,
    U_STORE32,
    U_SWAP16,
    U_SWAP32,
)


@core
def recipe_alu(m, op):
    d = scratch(m)
    size = size_of(m, 0)
    compare = op >= 7  # CMP and TEST write nothing
    source, source_high, imm = np.uint64(ZERO), np.uint64(0), np.uint64(0)
    if is_immediate(m, 1):
        imm = d[D_IMMEDIATE]
    elif in_memory(m, 1):
        emit_memory(m, load_kind(size), T0, 0, 0)
        source = np.uint64(T0)
    else:
        source = register(number_of(m, 1), size)
        source_high = is_high(number_of(m, 1), size)
    if in_memory(m, 0):
        if compare:
            emit_memory(m, load_kind(size), T0, 0, 0)
        else:
            emit_memory(m, by_size(size, U_MODIFY8, U_MODIFY16, U_MODIFY32), T0, 0, 0)
        emit_binary(m, op, size, T0, 0, source, source_high, imm)
        if not compare:
            emit_memory(m, store_kind(size), T0, 0, 0)
    else:
        n = number_of(m, 0)
        emit_binary(m, op, size, register(n, size), is_high(n, size), source, source_high, imm)


@core
def recipe_unary(m, op):
    size = size_of(m, 0)
    if in_memory(m, 0):
        emit_memory(m, by_size(size, U_MODIFY8, U_MODIFY16, U_MODIFY32), T0, 0, 0)
        emit_unary(m, op, size, T0, 0)
        emit_memory(m, store_kind(size), T0, 0, 0)
    else:
        n = number_of(m, 0)
        emit_unary(m, op, size, register(n, size), is_high(n, size))


@core
def recipe_shift(m, op):
    d = scratch(m)
    size = size_of(m, 0)
    source, imm = np.uint64(ZERO), np.uint64(0)
    if place_of(m, 1) == P_ONE:
        imm = np.uint64(1)
    elif is_immediate(m, 1):
        imm = d[D_IMMEDIATE]
    else:
        source = np.uint64(RCX)
    if size == 4 and op != 2 and op != 3:
        kind = np.uint64(U_SAR32)
        if op == 0:
            kind = np.uint64(U_ROL32)
        elif op == 1:
            kind = np.uint64(U_ROR32)
        elif op == 4:
            kind = np.uint64(U_SHL32)
        elif op == 5:
            kind = np.uint64(U_SHR32)
        if in_memory(m, 0):
            emit_memory(m, U_MODIFY32, T0, 0, 0)
            emit(m, kind, 0, 4, T0, T0, source, 0, imm)
            emit_memory(m, U_STORE32, T0, 0, 0)
        else:
            n = number_of(m, 0)
            emit(m, kind, 0, 4, n, n, source, 0, imm)
        return
    read_to(m, 0, T0, 1)
    emit(m, U_SIGN8, 0, 4, T4, ZERO, source, 0, imm)
    emit_assist(m, size, 0)
    write_from(m, 0, T0)


@core
def recipe_move(m):
    d = scratch(m)
    size = size_of(m, 0)
    if in_memory(m, 0):
        if is_immediate(m, 1):
            emit(m, U_MOVE32, 0, 4, T0, ZERO, ZERO, 0, d[D_IMMEDIATE])
            emit_memory(m, store_kind(size), T0, 0, 0)
        else:
            n = number_of(m, 1)
            emit_memory(m, store_kind(size), register(n, size), is_high(n, size), 0)
        return
    n = number_of(m, 0)
    dst, high = register(n, size), is_high(n, size)
    if is_immediate(m, 1):
        emit(m, move_kind(size), 0, size, dst, ZERO, ZERO, high, d[D_IMMEDIATE])
    elif in_memory(m, 1):
        if size == 4:
            emit_memory(m, U_LOAD32, dst, 0, 0)
        else:
            emit_memory(m, load_kind(size), T0, 0, 0)
            emit_move(m, size, dst, high, T0, 0)
    else:
        n = number_of(m, 1)
        emit_move(m, size, dst, high, register(n, size), is_high(n, size))


@core
def recipe_lea(m):
    d = scratch(m)
    kind = np.uint64(U_LEA32)
    if d[D_ADDRESS] == 2:
        kind = np.uint64(U_LEA16)
    if d[D_OPERAND] == 4:
        emit_memory(m, kind, d[D_REG], 0, 0)
    else:
        emit_memory(m, kind, T0, 0, 0)
        emit_move(m, 2, d[D_REG], 0, T0, 0)


@core
def recipe_xchg(m):
    size = size_of(m, 0)
    read_to(m, 0, T0, 1)
    n = number_of(m, 1)
    if in_memory(m, 0):
        emit_memory(m, store_kind(size), register(n, size), is_high(n, size), 0)
    else:
        k = number_of(m, 0)
        emit_move(m, size, register(k, size), is_high(k, size), register(n, size), is_high(n, size))
    emit_move(m, size, register(n, size), is_high(n, size), T0, 0)


@core
def recipe_extend(m, op):
    """MOVZX (0) and MOVSX (1)."""
    d = scratch(m)
    size = size_of(m, 1)
    read_to(m, 1, T0, 0)
    emit(m, by_size(size, U_SIGN8, U_SIGN16, U_SIGN16), op, d[D_OPERAND], d[D_REG], ZERO, T0, 0, 0)


@core
def recipe_imul(m):
    d = scratch(m)
    size = d[D_OPERAND]
    read_to(m, 1, T0, 0)
    if place_of(m, 2) != 0:
        emit(m, U_IMUL, 0, size, d[D_REG], T0, ZERO, 0, d[D_IMMEDIATE])
    else:
        emit(m, U_IMUL, 0, size, d[D_REG], d[D_REG], T0, 0, 0)


@core
def recipe_bit(m, op):
    d = scratch(m)
    size = d[D_OPERAND]
    source, imm = np.uint64(ZERO), np.uint64(0)
    if is_immediate(m, 1):
        imm = d[D_IMMEDIATE]
    else:
        source = d[D_REG]
    if in_memory(m, 0):
        if source != ZERO:
            # the bit may lie outside the operand: its word's address depends on the register
            number = emit_memory(m, U_BIT_OFFSET, T1, 0, 0)
            d[D_ACCESSES] -= 1
            d[D_COST] -= costs(m)[COST_STORE]
            u = uops(m)[number]
            u.imm = source
            u.size = np.uint8(size)
            u.op = np.uint8(d[D_ADDRESS])
            use_address(m, T1)
        if op == 0:
            emit_memory(m, load_kind(size), T0, 0, 0)
        else:
            emit_memory(m, by_size(size, U_MODIFY8, U_MODIFY16, U_MODIFY32), T0, 0, 0)
        emit(m, U_BIT_TEST, op, size, T0, T0, source, 0, imm)
        if op != 0:
            emit_memory(m, store_kind(size), T0, 0, 0)
    else:
        emit(m, U_BIT_TEST, op, size, d[D_RM], d[D_RM], source, 0, imm)


@core
def recipe_xadd(m):
    size = size_of(m, 0)
    n = number_of(m, 1)
    read_to(m, 0, T0, 1)
    emit(m, U_MOVE32, 0, 4, T2, ZERO, T0, 0, 0)
    emit_binary(m, A_ADD, size, T2, 0, register(n, size), is_high(n, size), 0)
    # a store's address may use the register; of two registers the destination comes last
    if in_memory(m, 0):
        write_from(m, 0, T2)
    emit_move(m, size, register(n, size), is_high(n, size), T0, 0)
    if not in_memory(m, 0):
        write_from(m, 0, T2)


@core
def recipe_cmpxchg(m):
    size = size_of(m, 0)
    read_to(m, 0, T0, 1)
    read_to(m, 1, T3, 0)
    # T2 = what the destination becomes, T4 = what the accumulator becomes
    emit(m, U_CMPXCHG, 0, size, T2, T0, T3, 0, 0)
    if in_memory(m, 0):
        write_from(m, 0, T2)
    emit_move(m, size, RAX, 0, T4, 0)
    if not in_memory(m, 0):
        write_from(m, 0, T2)


@core
def recipe_shift_double(m):
    d = scratch(m)
    size = d[D_OPERAND]
    read_to(m, 0, T0, 1)
    read_to(m, 1, T3, 0)
    if place_of(m, 2) == P_IMMEDIATE:
        emit(m, U_MOVE32, 0, 4, T4, ZERO, ZERO, 0, d[D_IMMEDIATE])
    else:
        emit(m, U_SIGN8, 0, 4, T4, ZERO, RCX, 0, 0)
    emit_assist(m, size, 0)
    write_from(m, 0, T0)


@core
def recipe_xlat(m):
    d = scratch(m)
    emit(m, U_SIGN8, 0, 4, T2, ZERO, RAX, 0, 0)
    d[D_BASE] = RBX
    d[D_INDEX] = T2
    d[D_SCALE] = 0
    d[D_DISPLACEMENT] = 0
    d[D_EA_SEGMENT] = DS
    if d[D_SEGMENT] < 8:
        d[D_EA_SEGMENT] = d[D_SEGMENT]
    wrap_address(m)
    emit_memory(m, U_LOAD8, T0, 0, 0)
    emit_move(m, 1, RAX, 0, T0, 0)


@core
def recipe_set_if(m, op):
    d = scratch(m)
    if in_memory(m, 0):
        emit(m, U_SET_IF, op, 1, T0, ZERO, ZERO, 0, 0)
        emit_memory(m, U_STORE8, T0, 0, 0)
    else:
        emit(m, U_SET_IF, op, 1, register(d[D_RM], 1), ZERO, ZERO, is_high(d[D_RM], 1), 0)


@core
def recipe_move_if(m, op):
    d = scratch(m)
    read_to(m, 1, T0, 0)
    emit(m, U_MOVE_IF, op, d[D_OPERAND], d[D_REG], ZERO, T0, 0, 0)


@core
def recipe_bit_scan(m, op):
    d = scratch(m)
    read_to(m, 1, T0, 0)
    emit(m, U_BIT_SCAN, op, d[D_OPERAND], d[D_REG], ZERO, T0, 0, 0)


@core
def recipe_bswap(m):
    size = scratch(m)[D_OPERAND]
    emit(m, by_size(size, U_SWAP16, U_SWAP16, U_SWAP32), 0, size, number_of(m, 0), ZERO, ZERO, 0, 0)


@core
def recipe_cbw(m):
    if scratch(m)[D_OPERAND] == 4:
        emit(m, U_SIGN16, 1, 4, RAX, ZERO, RAX, 0, 0)
    else:
        emit(m, U_SIGN8, 1, 2, RAX, ZERO, RAX, 0, 0)


@core
def recipe_cwd(m):
    emit(m, U_SIGN16, 2, scratch(m)[D_OPERAND], RDX, ZERO, RAX, 0, 0)


@core
def recipe_carry(m, op):
    """CLC, STC, CMC."""
    emit(m, U_FLAGS, op, 0, ZERO, ZERO, ZERO, 0, 0)


@core
def recipe_nop(m):
    emit(m, U_MOVE32, 0, 4, T0, ZERO, ZERO, 0, 0)


@core
def recipe_undefined(m):
    scratch(m)[D_FAULT] = UD + 1
