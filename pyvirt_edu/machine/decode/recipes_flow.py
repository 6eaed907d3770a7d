"""Recipes of the stack, of jumps, and of what a unit executes.

What can fault comes before what commits (emit.py).
"""

from __future__ import annotations

import numpy as np

from ..costs import COST_LOAD, COST_STORE
from ..state.handles import costs, row_table, uops
from ..state.jit import core
from ..state.layout import CS, RBP, RDX, RSP, SELECTOR, T0, T1, T3, T4, T5, T6, UD, ZERO
from .decoder_tables import (
    A_BACK,
    A_PORT,
    A_SIZE,
    A_T0,
    A_T3,
    A_WORDS,
    NO_OPERAND,
    P_RELATIVE,
    P_SEGMENT,
    ROW_ASSIST,
    ROW_FIXED,
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
    D_FAULT,
    D_IMMEDIATE,
    D_IMMEDIATE2,
    D_MOD,
    D_MODRM,
    D_OPERAND,
    D_REG,
    D_RM,
    D_ROW,
    D_STACK32,
    scratch,
)
from .uops import (
    AS_ADDRESS,
    AS_CONTROL,
    AS_LATE,
    AS_PORT,
    AS_WORD,
    AS_WRITES,
    U_CALL32,
    U_CHECK_TARGET,
    U_JUMP,
    U_JUMP_IF,
    U_JUMP_TO,
    U_LEA16,
    U_LEA32,
    U_LOOP,
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
def recipe_push_segment(m):
    emit_push(m, SELECTOR + scratch(m)[D_REG])


@core
def recipe_jump_if(m, op):
    d = scratch(m)
    ends(m)
    emit(m, U_JUMP_IF, op, d[D_OPERAND], ZERO, ZERO, ZERO, 0, d[D_IMMEDIATE])


@core
def recipe_loop(m, op):
    d = scratch(m)
    ends(m)
    # the count is CX or ECX by address size
    emit(m, U_LOOP, op, d[D_OPERAND], ZERO, d[D_ADDRESS], ZERO, 0, d[D_IMMEDIATE])


# --- what a unit executes --------------------------------------------------------------


@core
def emit_address(m):
    """T1 = the address; it wraps at 64 KiB if it has 16 bits."""
    kind = np.uint64(U_LEA32)
    if scratch(m)[D_ADDRESS] == 2:
        kind = np.uint64(U_LEA16)
    emit_memory(m, kind, T1, 0, 0)


@core
def emit_port(m, which):
    """T1 = the port."""
    if is_immediate(m, which):
        emit(m, U_MOVE32, 0, 4, T1, ZERO, ZERO, 0, scratch(m)[D_IMMEDIATE])
    else:
        emit(m, U_SIGN16, 0, 4, T1, ZERO, RDX, 0, 0)


@core
def recipe_assist(m):
    """The row says which operands go to the unit, and which one comes back."""
    d = scratch(m)
    if place_of(m, 0) == P_SEGMENT and (d[D_REG] == CS or d[D_REG] > 5):
        d[D_FAULT] = UD + 1  # MOV to CS, or to a segment register that does not exist
        return
    assist = row_table(m)[d[D_ROW] + ROW_ASSIST]
    words = assist >> A_WORDS & 0xFF
    to_t0, to_t3, back = assist >> A_T0 & 3, assist >> A_T3 & 3, assist >> A_BACK & 3
    if words & AS_PORT:
        emit_port(m, assist >> A_PORT & 3)
    if words & AS_LATE and in_memory(m, to_t0):
        emit_address(m)
        d[D_COST] += costs(m)[COST_LOAD]
        if back != NO_OPERAND:
            d[D_COST] += costs(m)[COST_STORE]
        back = np.uint64(NO_OPERAND)
    elif to_t0 != NO_OPERAND:
        read_to(m, to_t0, T0, 0)
    if to_t3 != NO_OPERAND:
        read_to(m, to_t3, T3, 0)
    if words & AS_ADDRESS:
        emit_address(m)
    emit_assist(m, size_of(m, assist >> A_SIZE & 3), d[D_IMMEDIATE])
    if back != NO_OPERAND:
        if words & AS_WORD and in_memory(m, back):
            emit_memory(m, U_STORE16, T0, 0, 0)
        else:
            write_from(m, back, T0)


@core
def recipe_x87(m):
    """The unit reads and writes memory itself; its immediate is the x87's 11 bits of opcode."""
    d = scratch(m)
    row = d[D_ROW]
    words = row_table(m)[row + ROW_ASSIST] >> A_WORDS & 0xFF
    if d[D_MOD] != 3:
        emit_address(m)
        if words & AS_WRITES:
            d[D_COST] += costs(m)[COST_STORE]
        else:
            d[D_COST] += costs(m)[COST_LOAD]
    operand = row_table(m)[row + ROW_FIXED]
    if words & AS_CONTROL and operand == 0:
        operand = d[D_OPERAND]
    emit_assist(m, operand, (d[D_IMMEDIATE2] & 7) << 8 | d[D_MODRM])
