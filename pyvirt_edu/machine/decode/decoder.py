"""From bytes to micro-ops.

`decode_instruction` reads prefixes, opcode, ModRM, SIB, displacement and immediate as the
opcode table says, then a recipe emits the micro-ops. Two rules make faults precise:

* whatever can fault comes before whatever commits: a memory operand that is read and
  written is read by MODIFY, which also proves that the STORE at the end cannot fault;
* a load goes to a temporary or to its register last.

The scratch words below hold one instruction's decoding; they mean nothing afterwards.
"""

from __future__ import annotations

import numpy as np

from ..state.handles import costs, cpu, decode_table, ram, row_table, uops
from ..state.jit import (
    UNIT_ASSIST_ARITHMETIC,
    UNIT_ASSIST_STRING,
    UNIT_ASSIST_TRANSFER,
    UNIT_ASSIST_X87,
    core,
    core_inlined,
)
from ..state.layout import (
    DS,
    GP,
    MODE,
    MODE_CODE32,
    MODE_STACK32,
    RAX,
    RBP,
    RBX,
    RCX,
    RDX,
    RSP,
    SELECTOR,
    SS,
    T0,
    T1,
    T2,
    T3,
    T4,
    T5,
    T6,
    UD,
    ZERO,
)
from .decoder_tables import (
    AS_ADDRESS,
    AS_LOAD,
    AS_MODIFY,
    AS_PORT,
    AS_STORE,
    F_LOCKABLE,
    F_MEMORY_ONLY,
    F_MODRM,
    F_REGISTER_ONLY,
    P_CONTROL,
    P_DEBUG,
    P_E,
    P_FAR,
    P_FIXED,
    P_G,
    P_IMMEDIATE,
    P_M,
    P_OFFSET,
    P_ONE,
    P_R,
    P_RELATIVE,
    P_SEGMENT,
    P_SIGNED_BYTE,
    P_Z,
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
    ROW_OPERANDS,
    ROW_OPERATION,
    ROW_RECIPE,
    W_BYTE,
    W_DWORD,
    W_WORD,
)
from .uops import (
    A_ADD,
    COST_LOAD,
    COST_STORE,
    OP_FLDCW,
    OP_FST,
    OP_SHLD,
    U_ADD32,
    U_ALU8,
    U_ALU16,
    U_ASSIST,
    U_BIT_OFFSET,
    U_BIT_SCAN,
    U_BIT_TEST,
    U_CALL32,
    U_CHECK_TARGET,
    U_CMPXCHG,
    U_FAULT,
    U_FLAGS,
    U_IMUL,
    U_INC32,
    U_JUMP,
    U_JUMP_IF,
    U_JUMP_TO,
    U_LEA16,
    U_LEA32,
    U_LOAD8,
    U_LOAD16,
    U_LOAD32,
    U_LOOP,
    U_MODIFY8,
    U_MODIFY16,
    U_MODIFY32,
    U_MOVE8,
    U_MOVE16,
    U_MOVE32,
    U_MOVE_IF,
    U_PAGE_END,
    U_POP32,
    U_PUSH32,
    U_RETURN32,
    U_ROL32,
    U_ROR32,
    U_SAR32,
    U_SET_IF,
    U_SHL32,
    U_SHR32,
    U_SIGN8,
    U_SIGN16,
    U_STORE8,
    U_STORE16,
    U_STORE32,
    U_SWAP16,
    U_SWAP32,
    U_UNARY8,
    U_UNARY16,
)

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


# --- ModRM (manual 2A, 2.1.5) ----------------------------------------------------------


@core
def decode_modrm(m, register_only):
    """Read ModRM and what belongs to it; MOV CR and DR ignore the mod field."""
    d = scratch(m)
    modrm = fetch8(m)
    d[D_MODRM] = modrm
    d[D_MOD] = modrm >> 6
    if register_only:
        d[D_MOD] = 3
    d[D_REG] = modrm >> 3 & 7
    d[D_RM] = modrm & 7
    d[D_BASE] = ZERO
    d[D_INDEX] = ZERO
    d[D_SCALE] = 0
    d[D_DISPLACEMENT] = 0
    segment = np.uint64(DS)
    if d[D_MOD] != 3:
        if d[D_ADDRESS] == 2:
            segment = decode_address16(m)
        else:
            segment = decode_address32(m)
    if d[D_SEGMENT] < 8:
        segment = d[D_SEGMENT]
    d[D_EA_SEGMENT] = segment


@core
def decode_address16(m):
    """Table 2-1; returns the default segment."""
    d = scratch(m)
    rm = d[D_RM]
    mod = d[D_MOD]
    segment = np.uint64(DS)
    if mod == 0 and rm == 6:
        d[D_DISPLACEMENT] = fetch(m, 2)
        return segment
    if rm == 0 or rm == 1 or rm == 7:
        d[D_BASE] = RBX
    elif rm == 2 or rm == 3 or rm == 6:
        d[D_BASE] = RBP
        segment = np.uint64(SS)
    elif rm == 4:
        d[D_BASE] = 6
    else:
        d[D_BASE] = 7
    if rm == 0 or rm == 2:
        d[D_INDEX] = 6
    elif rm == 1 or rm == 3:
        d[D_INDEX] = 7
    if mod == 1:
        d[D_DISPLACEMENT] = sign_extended(fetch(m, 1), 1)
    elif mod == 2:
        d[D_DISPLACEMENT] = fetch(m, 2)
    return segment


@core
def decode_address32(m):
    """Tables 2-2 and 2-3; returns the default segment."""
    d = scratch(m)
    mod = d[D_MOD]
    base = d[D_RM]
    segment = np.uint64(DS)
    if base == 4:
        sib = fetch8(m)
        base = sib & 7
        if sib >> 3 & 7 != 4:
            d[D_INDEX] = sib >> 3 & 7
            d[D_SCALE] = sib >> 6
    if base == RBP and mod == 0:
        d[D_DISPLACEMENT] = fetch(m, 4)
        return segment
    d[D_BASE] = base
    if base == RSP or base == RBP:
        segment = np.uint64(SS)
    if mod == 1:
        d[D_DISPLACEMENT] = sign_extended(fetch(m, 1), 1)
    elif mod == 2:
        d[D_DISPLACEMENT] = fetch(m, 4)
    return segment


@core
def wrap_address(m):
    """A 16-bit offset wraps: compute it first, into T1."""
    d = scratch(m)
    if d[D_ADDRESS] == 2 and not (d[D_BASE] == ZERO and d[D_INDEX] == ZERO):
        emit_memory(m, U_LEA16, T1, 0, 0)
        use_address(m, T1)


@core
def use_address(m, pointer):
    d = scratch(m)
    d[D_BASE] = pointer
    d[D_INDEX] = ZERO
    d[D_SCALE] = 0
    d[D_DISPLACEMENT] = 0


# --- operands --------------------------------------------------------------------------


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
    # fixed: AL, rAX, CL, DX
    if size_of(m, which) == 1 and which == 1:
        return fixed_byte(m)
    return np.uint64(RAX)


@core
def fixed_byte(m):
    """AL, or CL for the shifts that count in it."""
    if row_table(m)[scratch(m)[D_ROW] + ROW_RECIPE] == R_SHIFT:
        return np.uint64(RCX)
    return np.uint64(RAX)


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


# --- recipes ---------------------------------------------------------------------------


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
def emit_unary(m, op, size, dst, high):
    if size == 4:
        emit(m, U_INC32 + op, op, 4, dst, dst, ZERO, 0, 0)
    elif size == 2:
        emit(m, U_UNARY16, op, 2, dst, dst, ZERO, 0, 0)
    else:
        emit(m, U_UNARY8, op, 1, dst, dst, ZERO, high | high << 1, 0)


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
    # the order of the group is that of the operations: ROL ROR RCL RCR SHL SHR SAL SAR
    operation = op
    if op == 7:
        operation = np.uint64(6)
    emit_assist(m, UNIT_ASSIST_ARITHMETIC, operation + OP_SHLD + 2, size, 0)
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
def recipe_extend(m, signed):
    d = scratch(m)
    size = size_of(m, 1)
    read_to(m, 1, T0, 0)
    emit(m, by_size(size, U_SIGN8, U_SIGN16, U_SIGN16), signed, d[D_OPERAND], d[D_REG], ZERO, T0, 0, 0)


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
def ends(m):
    scratch(m)[D_ENDS] = 1


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
def recipe_shift_double(m, op):
    d = scratch(m)
    size = d[D_OPERAND]
    read_to(m, 0, T0, 1)
    read_to(m, 1, T3, 0)
    if place_of(m, 2) == P_IMMEDIATE:
        emit(m, U_MOVE32, 0, 4, T4, ZERO, ZERO, 0, d[D_IMMEDIATE])
    else:
        emit(m, U_SIGN8, 0, 4, T4, ZERO, RCX, 0, 0)
    emit_assist(m, UNIT_ASSIST_ARITHMETIC, op, size, 0)
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
def emit_assist(m, unit, op, size, imm):
    """Hand the instruction to a unit (the argument words are described in assists' docs)."""
    d = scratch(m)
    memory = np.uint64(0)
    if d[D_MOD] != 3:
        memory = np.uint64(1)
    number = emit(m, U_ASSIST, op, size, ZERO, unit, ZERO, 0, imm)
    packed = size | d[D_ADDRESS] << 8 | d[D_EA_SEGMENT] << 16 | d[D_REG] << 24
    uops(m)[number].disp = packed | d[D_REPEAT] << 32 | memory << 40
    d[D_ENDS] = 1
    d[D_FALLS] = 2


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


# --- one instruction -------------------------------------------------------------------


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
