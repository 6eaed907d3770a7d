"""From bytes to micro-ops.

`decode_instruction` reads prefixes, opcode, ModRM, SIB, displacement and immediate as the
opcode table says, then a recipe emits the micro-ops.
"""

from __future__ import annotations

import numpy as np

from ..state.handles import costs, cpu, decode_table, row_table, uops
from ..state.jit import core
from ..state.layout import DS, GP, MODE, MODE_CODE32, MODE_STACK32, RAX, RDX, SELECTOR, T0, UD, ZERO
from .addressing import decode_modrm, wrap_address
from .decoder_tables import (
    AS_ADDRESS,
    F_LOCKABLE,
    F_MEMORY_ONLY,
    F_MODRM,
    F_REGISTER_ONLY,
    P_FAR,
    P_IMMEDIATE,
    P_OFFSET,
    P_RELATIVE,
    P_SIGNED_BYTE,
    R_ALU,
    R_ASSIST,
    R_BIT,
    R_BIT_SCAN,
    R_BSWAP,
    R_CALL,
    R_CBW,
    R_CMPXCHG,
    R_CWD,
    R_EXTEND,
    R_FLAGS,
    R_FROM_SEGMENT,
    R_IMUL,
    R_JUMP,
    R_JUMP_IF,
    R_LEA,
    R_LEAVE,
    R_LOOP,
    R_MOVE,
    R_MOVE_IF,
    R_NOP,
    R_POP,
    R_PUSH,
    R_PUSH_SEGMENT,
    R_RETURN,
    R_SET_IF,
    R_SHIFT,
    R_SHIFT_DOUBLE,
    R_UNARY,
    R_X87,
    R_XADD,
    R_XCHG,
    R_XLAT,
    ROW_ASSIST,
    ROW_COST,
    ROW_FIXED,
    ROW_FLAGS,
    ROW_OPERATION,
    ROW_RECIPE,
)
from .emit import (
    by_size,
    emit,
    emit_memory,
    ends,
    in_memory,
    is_high,
    number_of,
    place_of,
    read_to,
    register,
    size_of,
)
from .recipes import (
    recipe_alu,
    recipe_bit,
    recipe_cmpxchg,
    recipe_extend,
    recipe_imul,
    recipe_lea,
    recipe_move,
    recipe_shift,
    recipe_shift_double,
    recipe_unary,
    recipe_xadd,
    recipe_xchg,
    recipe_xlat,
)
from .recipes_flow import (
    emit_push,
    recipe_assist,
    recipe_call,
    recipe_from_segment,
    recipe_jump,
    recipe_leave,
    recipe_pop,
    recipe_push,
    recipe_return,
    recipe_x87,
)
from .scratch import (
    D_ADDRESS,
    D_BASE,
    D_COST,
    D_DISPLACEMENT,
    D_EA_SEGMENT,
    D_ENDS,
    D_FALLS,
    D_FAULT,
    D_IMMEDIATE,
    D_IMMEDIATE2,
    D_INDEX,
    D_LOCK,
    D_MOD,
    D_MODRM,
    D_OPERAND,
    D_POSITION,
    D_REG,
    D_REPEAT,
    D_RM,
    D_ROW,
    D_SCALE,
    D_SEGMENT,
    D_SHORT,
    D_STACK32,
    D_START,
    D_UOP,
    MAX_LENGTH,
    fetch,
    fetch8,
    scratch,
    sign_extended,
)
from .uops import (
    U_BIT_SCAN,
    U_FAULT,
    U_FLAGS,
    U_JUMP_IF,
    U_LOOP,
    U_MOVE32,
    U_MOVE_IF,
    U_PAGE_END,
    U_SET_IF,
    U_SIGN8,
    U_SIGN16,
    U_STORE8,
    U_SWAP16,
    U_SWAP32,
)


@core
def decode_prefixes(m):
    """Read prefixes; returns the first opcode byte."""
    d = scratch(m)
    mode = cpu(m)[MODE]
    operand, address = np.uint64(2), np.uint64(2)
    if mode & MODE_CODE32:
        operand, address = np.uint64(4), np.uint64(4)
    d[D_SEGMENT] = 8
    d[D_REPEAT] = 0
    d[D_LOCK] = 0
    wide_operand, wide_address = operand, address
    byte = fetch8(m)
    while d[D_POSITION] <= MAX_LENGTH:
        if byte == 0x66:
            operand = 6 - wide_operand
        elif byte == 0x67:
            address = 6 - wide_address
        elif byte == 0xF3:
            d[D_REPEAT] = 1
        elif byte == 0xF2:
            d[D_REPEAT] = 2
        elif byte == 0xF0:
            d[D_LOCK] = 1
        elif byte & 0xE7 == 0x26:
            d[D_SEGMENT] = byte >> 3 & 3
        elif byte == 0x64 or byte == 0x65:
            d[D_SEGMENT] = byte & 7
        else:
            break
        byte = fetch8(m)
    d[D_OPERAND] = operand
    d[D_ADDRESS] = address
    d[D_STACK32] = mode & MODE_STACK32
    return byte


@core
def find_row(m, first):
    """Finish the opcode, read ModRM if there is one; returns row number + 1, 0 for #UD."""
    d = scratch(m)
    table = decode_table(m)
    index = first << 3
    last = first
    if first == 0x0F:
        last = fetch8(m)
        index = np.uint64(0x800) | last << 3
    d[D_IMMEDIATE2] = last
    d[D_MOD] = 3
    d[D_REG] = 0
    d[D_RM] = 0
    d[D_EA_SEGMENT] = DS
    number = table[index]
    for i in range(8):
        if number == 0:
            number = table[index + np.uint64(i)]
    if number == 0:
        return number
    flags = row_table(m)[(number - 1) * 8 + ROW_FLAGS]
    if flags & F_MODRM:
        decode_modrm(m, flags & F_REGISTER_ONLY)
        number = table[index + d[D_REG]]
        if first & 0xF8 == 0xD8 and d[D_MOD] == 3:
            number = table[0x1000 | (first & 7) << 6 | d[D_MODRM] & 63]
    return number


@core
def fetch_immediates(m):
    d = scratch(m)
    d[D_IMMEDIATE] = 0
    seen = np.uint64(0)
    for i in range(3):
        which = np.uint64(i)
        place = place_of(m, which)
        if place == P_IMMEDIATE:
            value = fetch(m, size_of(m, which))
            if seen:
                d[D_IMMEDIATE] |= value << 32  # ENTER has two
            else:
                d[D_IMMEDIATE] = value
            seen = np.uint64(1)
        elif place == P_SIGNED_BYTE:
            value = sign_extended(fetch(m, 1), 1)
            if d[D_OPERAND] == 2:
                value &= 0xFFFF
            d[D_IMMEDIATE] = value
        elif place == P_RELATIVE:
            size = size_of(m, which)
            d[D_IMMEDIATE] = sign_extended(fetch(m, size), size)
        elif place == P_OFFSET:
            d[D_BASE] = ZERO
            d[D_INDEX] = ZERO
            d[D_SCALE] = 0
            d[D_DISPLACEMENT] = fetch(m, d[D_ADDRESS])
            d[D_EA_SEGMENT] = DS
            if d[D_SEGMENT] < 8:
                d[D_EA_SEGMENT] = d[D_SEGMENT]
        elif place == P_FAR:
            offset = fetch(m, d[D_OPERAND])
            d[D_IMMEDIATE] = offset | fetch(m, 2) << 32


@core
def emit_recipe(m, row):
    """Dispatch on the recipe; see decoder_tables.py."""
    d = scratch(m)
    table = row_table(m)
    recipe = table[row + ROW_RECIPE]
    op = table[row + ROW_OPERATION]
    size = d[D_OPERAND]
    if recipe == R_ALU:
        recipe_alu(m, op)
    elif recipe == R_MOVE:
        recipe_move(m)
    elif recipe == R_UNARY:
        recipe_unary(m, op)
    elif recipe == R_SHIFT:
        recipe_shift(m, op)
    elif recipe == R_FROM_SEGMENT:
        recipe_from_segment(m)
    elif recipe == R_LEA:
        recipe_lea(m)
    elif recipe == R_XCHG:
        recipe_xchg(m)
    elif recipe == R_EXTEND:
        recipe_extend(m, op)
    elif recipe == R_PUSH:
        recipe_push(m)
    elif recipe == R_PUSH_SEGMENT:
        emit_push(m, SELECTOR + table[row + ROW_FIXED])
    elif recipe == R_POP:
        recipe_pop(m)
    elif recipe == R_JUMP_IF:
        ends(m)
        emit(m, U_JUMP_IF, op, size, ZERO, ZERO, ZERO, 0, d[D_IMMEDIATE])
    elif recipe == R_JUMP:
        recipe_jump(m)
    elif recipe == R_CALL:
        recipe_call(m)
    elif recipe == R_RETURN:
        recipe_return(m)
    elif recipe == R_LOOP:
        ends(m)
        # the count is CX or ECX by address size
        emit(m, U_LOOP, op, size, ZERO, d[D_ADDRESS], ZERO, 0, d[D_IMMEDIATE])
    elif recipe == R_SET_IF:
        if in_memory(m, 0):
            emit(m, U_SET_IF, op, 1, T0, ZERO, ZERO, 0, 0)
            emit_memory(m, U_STORE8, T0, 0, 0)
        else:
            emit(m, U_SET_IF, op, 1, register(d[D_RM], 1), ZERO, ZERO, is_high(d[D_RM], 1), 0)
    elif recipe == R_MOVE_IF:
        read_to(m, 1, T0, 0)
        emit(m, U_MOVE_IF, op, size, d[D_REG], ZERO, T0, 0, 0)
    elif recipe == R_IMUL:
        recipe_imul(m)
    elif recipe == R_BIT:
        recipe_bit(m, op)
    elif recipe == R_BIT_SCAN:
        read_to(m, 1, T0, 0)
        emit(m, U_BIT_SCAN, op, size, d[D_REG], ZERO, T0, 0, 0)
    elif recipe == R_BSWAP:
        emit(m, by_size(size, U_SWAP16, U_SWAP16, U_SWAP32), 0, size, number_of(m, 0), ZERO, ZERO, 0, 0)
    elif recipe == R_XADD:
        recipe_xadd(m)
    elif recipe == R_CMPXCHG:
        recipe_cmpxchg(m)
    elif recipe == R_SHIFT_DOUBLE:
        recipe_shift_double(m, op)
    elif recipe == R_CBW:
        if size == 4:
            emit(m, U_SIGN16, 1, 4, RAX, ZERO, RAX, 0, 0)
        else:
            emit(m, U_SIGN8, 1, 2, RAX, ZERO, RAX, 0, 0)
    elif recipe == R_CWD:
        emit(m, U_SIGN16, 2, size, RDX, ZERO, RAX, 0, 0)
    elif recipe == R_FLAGS:
        emit(m, U_FLAGS, op, 0, ZERO, ZERO, ZERO, 0, 0)
    elif recipe == R_XLAT:
        recipe_xlat(m)
    elif recipe == R_LEAVE:
        recipe_leave(m)
    elif recipe == R_ASSIST:
        around = table[row + ROW_ASSIST]
        recipe_assist(m, around & 0xFF, op, around >> 8)
    elif recipe == R_X87:
        recipe_x87(m, op)
    elif recipe == R_NOP:
        emit(m, U_MOVE32, 0, 4, T0, ZERO, ZERO, 0, 0)
    else:
        d[D_FAULT] = UD + 1


@core
def decode_instruction(m):
    """Decode one instruction at D_PHYSICAL; emits its micro-ops, returns its length.

    With D_SHORT set afterwards the bytes ran into an unknown page: nothing holds.
    """
    d = scratch(m)
    d[D_POSITION] = 0
    d[D_SHORT] = 0
    d[D_FAULT] = 0
    d[D_ENDS] = 0
    d[D_FALLS] = 0
    d[D_COST] = 0
    first = d[D_UOP]
    number = find_row(m, decode_prefixes(m))
    if number == 0:
        d[D_FAULT] = UD + 1
    else:
        row = (number - 1) * 8
        d[D_ROW] = row
        flags = row_table(m)[row + ROW_FLAGS]
        d[D_COST] = costs(m)[row_table(m)[row + ROW_COST]]
        fetch_immediates(m)
        if flags & F_MEMORY_ONLY and flags & F_MODRM and d[D_MOD] == 3:
            d[D_FAULT] = UD + 1
        if d[D_LOCK] and (not (flags & F_LOCKABLE) or d[D_MOD] == 3):
            d[D_FAULT] = UD + 1
        if d[D_FAULT] == 0 and d[D_SHORT] == 0:
            if flags & F_MODRM and d[D_MOD] != 3 and row_table(m)[row + ROW_RECIPE] != R_LEA:
                prepare_address(m, row)
            emit_recipe(m, row)
    if d[D_POSITION] > MAX_LENGTH:
        d[D_FAULT] = GP + 1
        d[D_SHORT] = 0
    if d[D_FAULT]:
        d[D_UOP] = first
        emit(m, U_FAULT, 0, 0, ZERO, ZERO, ZERO, 0, d[D_FAULT] - 1)
        d[D_ENDS] = 1
        d[D_FALLS] = 0
    elif d[D_FALLS]:
        emit(m, U_PAGE_END, 1, 0, ZERO, ZERO, ZERO, 0, 0)
    length = d[D_POSITION]
    for i in range(first, d[D_UOP]):
        u = uops(m)[i]
        u.next = np.uint16(d[D_START] + length)
        u.cost = np.uint16(d[D_COST])
    return length


@core
def prepare_address(m, row):
    """16-bit addresses wrap in T1 first, except where the assist computes the address."""
    around = row_table(m)[row + ROW_ASSIST] >> 8
    recipe = row_table(m)[row + ROW_RECIPE]
    if recipe == R_X87 or (recipe == R_ASSIST and around & AS_ADDRESS):
        return
    if recipe == R_POP:
        d = scratch(m)
        if d[D_ADDRESS] == 2:
            wrap_address(m)
        return
    wrap_address(m)
