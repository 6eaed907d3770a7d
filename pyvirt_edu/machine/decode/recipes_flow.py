"""Recipes of the stack, of jumps, and of what a unit executes.

What can fault comes before what commits (emit.py).
"""

from __future__ import annotations

import numpy as np

from ..state.handles import costs, row_table, uops
from ..state.jit import UNIT_ASSIST_STRING, UNIT_ASSIST_TRANSFER, UNIT_ASSIST_X87, core
from ..state.layout import DS, RBP, RDX, RSP, SELECTOR, T0, T1, T3, T4, T5, T6, UD, ZERO
from .decoder_tables import (
    AS_ADDRESS,
    AS_LOAD,
    AS_MODIFY,
    AS_PORT,
    AS_STORE,
    F_MODRM,
    P_E,
    P_FIXED,
    P_G,
    P_IMMEDIATE,
    P_R,
    P_RELATIVE,
    ROW_FIXED,
    ROW_FLAGS,
    ROW_OPERANDS,
    ROW_OPERATION,
    W_WORD,
)
from .emit import (
    emit,
    emit_assist,
    emit_memory,
    emit_move,
    emit_stack,
    ends,
    in_memory,
    is_immediate,
    load_kind,
    number_of,
    place_of,
    read_to,
    size_of,
    store_kind,
    write_from,
)
from .scratch import (
    D_ACCESSES,
    D_ADDRESS,
    D_BASE,
    D_COST,
    D_EA_SEGMENT,
    D_FAULT,
    D_IMMEDIATE,
    D_IMMEDIATE2,
    D_MOD,
    D_MODRM,
    D_OPERAND,
    D_REG,
    D_RM,
    D_ROW,
    D_SEGMENT,
    D_STACK32,
    scratch,
)
from .uops import (
    COST_LOAD,
    COST_STORE,
    OP_FLDCW,
    OP_FST,
    U_CALL32,
    U_CHECK_TARGET,
    U_JUMP,
    U_JUMP_TO,
    U_LEA16,
    U_LEA32,
    U_LOAD16,
    U_MOVE32,
    U_POP32,
    U_PUSH32,
    U_RETURN32,
    U_SIGN16,
    U_STORE16,
)


@core
def recipe_from_segment(m):
    """MOV Ev,Sw: memory always takes a word, a register the operand size."""
    d = scratch(m)
    if d[D_REG] > 5:
        d[D_FAULT] = UD + 1
    elif in_memory(m, 0):
        emit_memory(m, U_STORE16, SELECTOR + d[D_REG], 0, 0)
    else:
        emit_move(m, d[D_OPERAND], d[D_RM], 0, SELECTOR + d[D_REG], 0)


@core
def emit_push(m, value):
    """Push a register; the stack pointer moves only after the store."""
    d = scratch(m)
    size = d[D_OPERAND]
    if size == 4 and d[D_STACK32]:
        emit(m, U_PUSH32, 0, 4, ZERO, ZERO, value, 0, 0)
        d[D_ACCESSES] += 1
        d[D_COST] += costs(m)[COST_STORE]
        return
    move_stack_pointer(m, T5, 0 - size)
    emit_stack(m, store_kind(size), value, T5, 0)
    emit_move(m, stack_size(m), RSP, 0, T5, 0)


@core
def stack_size(m):
    if scratch(m)[D_STACK32]:
        return np.uint64(4)
    return np.uint64(2)


@core
def move_stack_pointer(m, dst, amount):
    """dst = stack pointer + amount, wrapped to the stack's size."""
    kind = np.uint64(U_LEA16)
    if scratch(m)[D_STACK32]:
        kind = np.uint64(U_LEA32)
    number = emit(m, kind, 0, 0, dst, RSP, ZERO, 0, 0)
    uops(m)[number].disp = amount


@core
def recipe_push(m):
    d = scratch(m)
    if is_immediate(m, 0):
        emit(m, U_MOVE32, 0, 4, T0, ZERO, ZERO, 0, d[D_IMMEDIATE])
        emit_push(m, T0)
    elif in_memory(m, 0):
        emit_memory(m, load_kind(d[D_OPERAND]), T0, 0, 0)
        emit_push(m, T0)
    else:
        emit_push(m, number_of(m, 0))


@core
def recipe_pop(m):
    d = scratch(m)
    size = d[D_OPERAND]
    if in_memory(m, 0):
        # an address that uses ESP sees it already incremented (manual, POP)
        adjust = np.uint64(0)
        if d[D_BASE] == RSP:
            adjust = size
        move_stack_pointer(m, T5, 0)
        emit_stack(m, load_kind(size), T0, T5, 0)
        move_stack_pointer(m, T6, size)
        emit_memory(m, store_kind(size), T0, 0, adjust)
        emit_move(m, stack_size(m), RSP, 0, T6, 0)
        return
    n = number_of(m, 0)
    if size == 4 and d[D_STACK32]:
        emit(m, U_POP32, 0, 4, n, ZERO, ZERO, 0, 0)
        d[D_ACCESSES] += 1
        d[D_COST] += costs(m)[COST_LOAD]
        return
    move_stack_pointer(m, T5, 0)
    emit_stack(m, load_kind(size), T0, T5, 0)
    move_stack_pointer(m, T6, size)
    emit_move(m, stack_size(m), RSP, 0, T6, 0)
    emit_move(m, size, n, 0, T0, 0)


@core
def emit_target(m):
    """T6 = the checked target, T4 = the return address."""
    d = scratch(m)
    if place_of(m, 0) == P_RELATIVE:
        emit(m, U_CHECK_TARGET, 0, d[D_OPERAND], T6, T4, ZERO, 0, d[D_IMMEDIATE])
    else:
        read_to(m, 0, T0, 0)
        emit(m, U_CHECK_TARGET, 1, d[D_OPERAND], T6, T4, T0, 0, 0)


@core
def recipe_call(m):
    d = scratch(m)
    ends(m)
    if d[D_OPERAND] == 4 and d[D_STACK32] and place_of(m, 0) == P_RELATIVE:
        emit(m, U_CALL32, 0, 4, ZERO, ZERO, ZERO, 0, d[D_IMMEDIATE])
        d[D_ACCESSES] += 1
        d[D_COST] += costs(m)[COST_STORE]
        return
    emit_target(m)
    emit_push(m, T4)
    emit(m, U_JUMP_TO, 0, d[D_OPERAND], ZERO, ZERO, T6, 0, 0)


@core
def recipe_jump(m):
    d = scratch(m)
    ends(m)
    if place_of(m, 0) == P_RELATIVE:
        emit(m, U_JUMP, 0, d[D_OPERAND], ZERO, ZERO, ZERO, 0, d[D_IMMEDIATE])
    else:
        read_to(m, 0, T0, 0)
        emit(m, U_JUMP_TO, 0, d[D_OPERAND], ZERO, ZERO, T0, 0, 0)


@core
def recipe_return(m):
    d = scratch(m)
    ends(m)
    size = d[D_OPERAND]
    if size == 4 and d[D_STACK32]:
        emit(m, U_RETURN32, 0, 4, ZERO, ZERO, ZERO, 0, d[D_IMMEDIATE])
        d[D_ACCESSES] += 1
        d[D_COST] += costs(m)[COST_LOAD]
        return
    move_stack_pointer(m, T5, 0)
    emit_stack(m, load_kind(size), T0, T5, 0)
    emit(m, U_CHECK_TARGET, 1, size, T6, T5, T0, 0, 0)
    move_stack_pointer(m, T4, size + d[D_IMMEDIATE])
    emit_move(m, stack_size(m), RSP, 0, T4, 0)
    emit(m, U_JUMP_TO, 0, size, ZERO, ZERO, T6, 0, 0)


@core
def recipe_leave(m):
    d = scratch(m)
    size = d[D_OPERAND]
    kind = np.uint64(U_LEA16)
    if d[D_STACK32]:
        kind = np.uint64(U_LEA32)
    emit(m, kind, 0, 0, T5, RBP, ZERO, 0, 0)
    emit_stack(m, load_kind(size), T0, T5, 0)
    number = emit(m, kind, 0, 0, T6, T5, ZERO, 0, 0)
    uops(m)[number].disp = size
    emit_move(m, stack_size(m), RSP, 0, T6, 0)
    emit_move(m, size, RBP, 0, T0, 0)


@core
def recipe_assist(m, unit, op, around):
    d = scratch(m)
    row = d[D_ROW]
    table = row_table(m)
    size = d[D_OPERAND]
    imm = d[D_IMMEDIATE]
    if unit == UNIT_ASSIST_STRING:
        size = size_of(m, 0)
        if place_of(m, 0) == P_FIXED:  # LODS AL,Xb; SCAS AL,Yb; OUTS DX,Xb
            size = size_of(m, 1)
        d[D_EA_SEGMENT] = DS
        if d[D_SEGMENT] < 8:
            d[D_EA_SEGMENT] = d[D_SEGMENT]
    elif around & (AS_LOAD | AS_STORE) and table[row + ROW_OPERANDS] != 0:
        size = size_of(m, 0)
    if place_of(m, 0) == P_FIXED and not (table[row + ROW_FLAGS] & F_MODRM) and unit == UNIT_ASSIST_TRANSFER:
        d[D_REG] = table[row + ROW_FIXED]  # POP of a segment register
    if around & AS_PORT:
        which = np.uint64(0)
        if place_of(m, 0) == P_FIXED and (place_of(m, 1) == P_IMMEDIATE or size_of(m, 1) == 2):
            which = np.uint64(1)
        if place_of(m, 0) == P_FIXED and place_of(m, 1) == P_FIXED and table[row + ROW_OPERATION] == op:
            # IN AL,DX has the port second; OUT DX,AL first: the word-wide fixed operand is DX
            which = np.uint64(1)
            if table[row + ROW_OPERANDS] >> 8 & 0xFF == W_WORD:
                which = np.uint64(0)
        size = size_of(m, 1 - which)
        if is_immediate(m, which):
            emit(m, U_MOVE32, 0, 4, T1, ZERO, ZERO, 0, imm & 0xFF)
        else:
            emit(m, U_SIGN16, 0, 4, T1, ZERO, RDX, 0, 0)
    source = np.uint64(0)  # the operand that goes to T0: E, R, or for LAR the second
    if around & (AS_LOAD | AS_MODIFY):
        place = place_of(m, 0)
        if place != P_E and place != P_R:
            source = np.uint64(1)
        if in_memory(m, source) and size_of(m, source) > 2 and is_selector_read(m, unit, op):
            emit_memory(m, U_LOAD16, T0, 0, 0)
        else:
            read_to(m, source, T0, around & AS_MODIFY)
    if around & AS_MODIFY:
        read_to(m, 1, T3, 0)  # ARPL
    if around & AS_ADDRESS:
        kind = np.uint64(U_LEA32)
        if d[D_ADDRESS] == 2:
            kind = np.uint64(U_LEA16)
        emit_memory(m, kind, T1, 0, 0)
    emit_assist(m, unit, op, size, imm)
    if around & AS_STORE:
        if in_memory(m, 0) and not (around & AS_MODIFY):
            emit_memory(m, U_STORE16, T0, 0, 0)  # SLDT, STR, SMSW: a word in memory
        else:
            write_from(m, 0, T0)


@core
def recipe_x87(m, op):
    """The unit reads and writes memory itself; its immediate is the x87's 11 bits of opcode."""
    d = scratch(m)
    if d[D_MOD] != 3:
        kind = np.uint64(U_LEA32)
        if d[D_ADDRESS] == 2:
            kind = np.uint64(U_LEA16)
        emit_memory(m, kind, T1, 0, 0)
        if op == OP_FST:
            d[D_COST] += costs(m)[COST_STORE]
        else:
            d[D_COST] += costs(m)[COST_LOAD]
    size = row_table(m)[d[D_ROW] + ROW_FIXED]
    if op >= OP_FLDCW and size == 0:
        size = d[D_OPERAND]
    emit_assist(m, UNIT_ASSIST_X87, op, size, (d[D_IMMEDIATE2] & 7) << 8 | d[D_MODRM])


@core
def is_selector_read(m, unit, op):
    """LAR and LSL read a word whatever the operand size."""
    if unit == UNIT_ASSIST_TRANSFER and place_of(m, 0) == P_G:
        return np.uint64(1)
    return np.uint64(0)
