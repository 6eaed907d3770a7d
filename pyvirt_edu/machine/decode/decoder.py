"""From bytes to micro-ops.

`decode_instruction` reads prefixes, opcode, ModRM, SIB, displacement and immediate as the
opcode table says, then a recipe emits the micro-ops.
"""

from __future__ import annotations

import numpy as np

from ..opcodes import (
    ADDRESS_SIZE,
    ESCAPE,
    ESCAPE_MASK,
    LOCK,
    OPERAND_SIZE,
    REP,
    REPNE,
    SEGMENT_PREFIXES,
    TWO_BYTE,
)
from ..state.handles import costs, cpu, decode_table, row_table, uops
from ..state.jit import core
from ..state.layout import DS, GP, MODE, MODE_CODE32, MODE_STACK32, UD, ZERO
from . import recipes, recipes_flow
from .addressing import decode_modrm, wrap_address
from .decoder_tables import (
    F_LOCKABLE,
    F_MEMORY_ONLY,
    F_MODRM,
    F_OWN_ADDRESS,
    F_REGISTER_ONLY,
    P_FAR,
    P_IMMEDIATE,
    P_NAMED_SEGMENT,
    P_OFFSET,
    P_RELATIVE,
    P_SIGNED_BYTE,
    P_STRING,
    ROW_COST,
    ROW_FIXED,
    ROW_FLAGS,
    ROW_OPERATION,
    ROW_RECIPE,
)
from .dispatch import recipes_by_number
from .emit import (
    emit,
    place_of,
    size_of,
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
    NO_ROW,
    fetch,
    fetch8,
    scratch,
    sign_extended,
)
from .uops import (
    U_FAULT,
    U_PAGE_END,
)

ES_PREFIX, FS_PREFIX, GS_PREFIX = (SEGMENT_PREFIXES[name] for name in ("ES", "FS", "GS"))


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
        if byte == OPERAND_SIZE:
            operand = 6 - wide_operand
        elif byte == ADDRESS_SIZE:
            address = 6 - wide_address
        elif byte == REP:
            d[D_REPEAT] = 1
        elif byte == REPNE:
            d[D_REPEAT] = 2
        elif byte == LOCK:
            d[D_LOCK] = 1
        elif byte & 0xE7 == ES_PREFIX:  # ES CS SS DS
            d[D_SEGMENT] = byte >> 3 & 3
        elif byte == FS_PREFIX or byte == GS_PREFIX:
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
    """Finish the opcode, read ModRM if there is one; returns row number + 1, 0 for #UD.

    D_ROW is then a row of the same opcode, or none: an undefined member of a group is as long as
    the others.
    """
    d = scratch(m)
    table = decode_table(m)
    index = first << 3
    last = first
    if first == TWO_BYTE:
        last = fetch8(m)
        index = np.uint64(0x800) | last << 3
    d[D_IMMEDIATE2] = last
    d[D_MOD] = 3
    d[D_REG] = 0
    d[D_RM] = 0
    d[D_EA_SEGMENT] = DS
    d[D_ROW] = NO_ROW
    number = table[index]
    for i in range(8):
        if number == 0:
            number = table[index + np.uint64(i)]
    if number == 0:
        return number
    d[D_ROW] = (number - 1) * 8
    flags = row_table(m)[d[D_ROW] + ROW_FLAGS]
    if flags & F_MODRM:
        decode_modrm(m, flags & F_REGISTER_ONLY)
        number = table[index + d[D_REG]]
        if first & ESCAPE_MASK == ESCAPE and d[D_MOD] == 3:
            number = table[0x1000 | (first & 7) << 6 | d[D_MODRM] & 63]
    return number


@core
def fetch_immediates(m):
    """Operands that ModRM does not name."""
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
        elif place == P_STRING:
            d[D_EA_SEGMENT] = DS
            if d[D_SEGMENT] < 8:
                d[D_EA_SEGMENT] = d[D_SEGMENT]
        elif place == P_NAMED_SEGMENT:
            d[D_REG] = row_table(m)[d[D_ROW] + ROW_FIXED]
        elif place == P_FAR:
            offset = fetch(m, d[D_OPERAND])
            d[D_IMMEDIATE] = offset | fetch(m, 2) << 32


emit_recipe = recipes_by_number((recipes, recipes_flow), globals())


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
        if d[D_ROW] != NO_ROW:
            fetch_immediates(m)
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
            if d[D_MOD] != 3 and not (flags & F_OWN_ADDRESS):
                wrap_address(m)
            emit_recipe(m, row_table(m)[row + ROW_RECIPE], row_table(m)[row + ROW_OPERATION])
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
