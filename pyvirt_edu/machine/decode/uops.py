"""The micro-ops: what decoded code is made of.

The decoder turns each instruction into a few of these; micro_ops.py names for each the function
that is its single definition. A micro-op reads registers ``a`` and ``b`` and an immediate, and writes
``dst``. Register numbers are offsets into the processor's row, so a temporary or the zero
register is named like any other.
"""

from __future__ import annotations

# Kinds, the first level of dispatch
(
    U_MOVE32,
    U_MOVE16,
    U_MOVE8,
    U_LEA32,
    U_LEA16,
    U_ADD32,
    U_OR32,
    U_ADC32,
    U_SBB32,
    U_AND32,
    U_SUB32,
    U_XOR32,
    U_CMP32,
    U_TEST32,
    U_INC32,
    U_DEC32,
    U_NOT32,
    U_NEG32,
    U_SHL32,
    U_SHR32,
    U_SAR32,
    U_ROL32,
    U_ROR32,
    U_ALU16,
    U_ALU8,
    U_UNARY16,
    U_UNARY8,
    U_LOAD8,
    U_LOAD16,
    U_LOAD32,
    U_MODIFY8,
    U_MODIFY16,
    U_MODIFY32,
    U_STORE8,
    U_STORE16,
    U_STORE32,
    U_PUSH32,
    U_POP32,
    U_JUMP,
    U_JUMP_IF,
    U_JUMP_TO,
    U_CALL32,
    U_RETURN32,
    U_CHECK_TARGET,
    U_LOOP,
    U_SET_IF,
    U_MOVE_IF,
    U_SIGN8,
    U_SIGN16,
    U_IMUL,
    U_BIT_TEST,
    U_BIT_OFFSET,
    U_BIT_SCAN,
    U_SWAP16,
    U_SWAP32,
    U_CMPXCHG,
    U_FLAGS,
    U_ASSIST,
    U_FAULT,
    U_PAGE_END,
) = range(60)
KINDS = """
MOVE32 MOVE16 MOVE8 LEA32 LEA16 ADD32 OR32 ADC32 SBB32 AND32
SUB32 XOR32 CMP32 TEST32 INC32 DEC32 NOT32 NEG32 SHL32 SHR32
SAR32 ROL32 ROR32 ALU16 ALU8 UNARY16 UNARY8 LOAD8 LOAD16 LOAD32
MODIFY8 MODIFY16 MODIFY32 STORE8 STORE16 STORE32 PUSH32 POP32 JUMP JUMP_IF
JUMP_TO CALL32 RETURN32 CHECK_TARGET LOOP SET_IF MOVE_IF SIGN8 SIGN16 IMUL
BIT_TEST BIT_OFFSET BIT_SCAN SWAP16 SWAP32 CMPXCHG FLAGS ASSIST FAULT
PAGE_END
""".split()

# Binary operations, in the order of the opcode map
A_ADD, A_OR, A_ADC, A_SBB, A_AND, A_SUB, A_XOR, A_CMP, A_TEST = range(9)
# Unary ones
N_INC, N_DEC, N_NOT, N_NEG = range(4)

# What a unit is told of an assist from bit MANNER of its operands on, and AS_ADDRESS to AS_WRITES,
# which the decoder alone looks at; words of the rows in opcodes.py
MANNER = 48
AS_PROTECTED, AS_PORT, AS_CONTROL, AS_NO_WAIT, AS_ADDRESS, AS_WORD, AS_WRITES, AS_LATE = (
    1 << n for n in range(8)
)

# What assist_x87 is told of its operand: a format, ...
(
    FORMAT_REGISTER,
    FORMAT_SINGLE,
    FORMAT_DOUBLE,
    FORMAT_EXTENDED,
    FORMAT_INT16,
    FORMAT_INT32,
    FORMAT_INT64,
    FORMAT_BCD,
) = range(8)
POP_ONE = 0x10  # ... how often to pop, and whether the result goes to ST(i)
TO_STI = 0x40
