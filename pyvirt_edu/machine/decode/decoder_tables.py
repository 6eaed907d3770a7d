"""The opcode table in the form the compiled decoder reads.

Two arrays of words: from (map, opcode, ModRM.reg) to the number of a row, and for each row
a recipe, its operands and its price. The recipes are the ways decoder.py has of turning an
instruction into micro-ops; most instructions share one with many others.
"""

from __future__ import annotations

import re

import numpy as np

from ..opcodes import ROWS, Row
from ..state.jit import (
    UNIT_ASSIST_ARITHMETIC,
    UNIT_ASSIST_STRING,
    UNIT_ASSIST_SYSTEM,
    UNIT_ASSIST_TRANSFER,
    UNIT_ASSIST_X87,
)
from . import uops as u

(
    R_ALU,
    R_UNARY,
    R_SHIFT,
    R_MOVE,
    R_FROM_SEGMENT,
    R_LEA,
    R_XCHG,
    R_EXTEND,
    R_PUSH,
    R_PUSH_SEGMENT,
    R_POP,
    R_JUMP_IF,
    R_JUMP,
    R_CALL,
    R_RETURN,
    R_LOOP,
    R_SET_IF,
    R_MOVE_IF,
    R_IMUL,
    R_BIT,
    R_BIT_SCAN,
    R_BSWAP,
    R_XADD,
    R_CMPXCHG,
    R_SHIFT_DOUBLE,
    R_CBW,
    R_CWD,
    R_FLAGS,
    R_XLAT,
    R_LEAVE,
    R_NOP,
    R_UNDEFINED,
    R_ASSIST,
    R_X87,
) = range(34)

# Operand places, as the letters of opcodes.py
(
    P_NONE,
    P_E,
    P_G,
    P_M,
    P_R,
    P_Z,
    P_IMMEDIATE,
    P_SIGNED_BYTE,
    P_RELATIVE,
    P_OFFSET,
    P_FAR,
    P_SEGMENT,
    P_CONTROL,
    P_DEBUG,
    P_STRING,
    P_FIXED,
    P_ONE,
) = range(17)

# Operand widths
W_NONE, W_BYTE, W_WORD, W_DWORD, W_OPERAND, W_OTHER = range(6)

# Words of a row
(
    ROW_RECIPE,
    ROW_OPERATION,
    ROW_OPERANDS,  # three times 16 bits: place, width << 8
    ROW_FLAGS,
    ROW_COST,
    ROW_ASSIST,
    ROW_FIXED,  # register number of a P_FIXED operand
) = range(7)

F_MODRM, F_LOCKABLE, F_MEMORY_ONLY, F_REGISTER_ONLY = 1, 2, 4, 8

# What an assist wants done around it
AS_LOAD, AS_STORE, AS_ADDRESS, AS_MODIFY, AS_PORT = 1, 2, 4, 8, 16

_ALU = {n: i for i, n in enumerate("ADD OR ADC SBB AND SUB XOR CMP TEST".split())}
_UNARY = {n: i for i, n in enumerate("INC DEC NOT NEG".split())}
_SHIFT = {n: i for i, n in enumerate("ROL ROR RCL RCR SHL SHR SAL SAR".split())}
_SIMPLE = {
    "LEA": (R_LEA, 0),
    "XCHG": (R_XCHG, 0),
    "MOVZX": (R_EXTEND, 0),
    "MOVSX": (R_EXTEND, 1),
    "RET": (R_RETURN, 0),
    "CALL": (R_CALL, 0),
    "JMP": (R_JUMP, 0),
    "LOOPNE": (R_LOOP, 0),
    "LOOPE": (R_LOOP, 1),
    "LOOP": (R_LOOP, 2),
    "JCXZ": (R_LOOP, 3),
    "BT": (R_BIT, 0),
    "BTS": (R_BIT, 1),
    "BTR": (R_BIT, 2),
    "BTC": (R_BIT, 3),
    "BSF": (R_BIT_SCAN, 0),
    "BSR": (R_BIT_SCAN, 1),
    "BSWAP": (R_BSWAP, 0),
    "XADD": (R_XADD, 0),
    "CMPXCHG": (R_CMPXCHG, 0),
    "SHLD": (R_SHIFT_DOUBLE, u.OP_SHLD),
    "SHRD": (R_SHIFT_DOUBLE, u.OP_SHRD),
    "CBW": (R_CBW, 0),
    "CWD": (R_CWD, 0),
    "CLC": (R_FLAGS, 0),
    "STC": (R_FLAGS, 1),
    "CMC": (R_FLAGS, 2),
    "XLAT": (R_XLAT, 0),
    "LEAVE": (R_LEAVE, 0),
    "NOP": (R_NOP, 0),
    "UD0": (R_UNDEFINED, 0),
    "UD1": (R_UNDEFINED, 0),
    "UD2": (R_UNDEFINED, 0),
}

_TRANSFER = """
CALLF JMPF RETF IRET INT INT3 INTO INT1 SYSENTER SYSEXIT
LDS LES LSS LFS LGS BOUND ENTER PUSHA POPA ARPL LAR LSL VERR VERW
"""
_SYSTEM = """
SGDT SIDT LGDT LIDT SLDT STR LLDT LTR SMSW LMSW INVLPG CLTS
INVD WBINVD RDTSC RDMSR WRMSR CPUID HLT CLI STI PUSHF
POPF IN OUT CLD STD LAHF SAHF
"""
_STRING = "MOVS CMPS SCAS LODS STOS INS OUTS"
_ARITHMETIC = "DAA DAS AAA AAS AAM AAD MUL DIV IDIV CMPXCHG8B SALC"
_UNIT_OF = {
    **dict.fromkeys(_TRANSFER.split(), UNIT_ASSIST_TRANSFER),
    **dict.fromkeys(_SYSTEM.split(), UNIT_ASSIST_SYSTEM),
    **dict.fromkeys(_STRING.split(), UNIT_ASSIST_STRING),
    **dict.fromkeys(_ARITHMETIC.split(), UNIT_ASSIST_ARITHMETIC),
}
_AROUND = {
    **dict.fromkeys("ARPL".split(), AS_LOAD | AS_MODIFY | AS_STORE),
    **dict.fromkeys("LAR LSL VERR VERW LLDT LTR LMSW MUL DIV IDIV".split(), AS_LOAD),
    **dict.fromkeys("SLDT STR SMSW".split(), AS_STORE),
    **dict.fromkeys("LDS LES LSS LFS LGS BOUND SGDT SIDT LGDT LIDT INVLPG CMPXCHG8B".split(), AS_ADDRESS),
    **dict.fromkeys("IN OUT".split(), AS_PORT),
}
_COST = {
    "MUL": u.COST_MULTIPLY, "IMUL": u.COST_MULTIPLY, "DIV": u.COST_DIVIDE, "IDIV": u.COST_DIVIDE,
    "CALL": u.COST_CALL, "RET": u.COST_CALL, "CALLF": u.COST_FAR, "JMPF": u.COST_FAR, "RETF": u.COST_FAR,
    "IRET": u.COST_IRET, "INT": u.COST_GATE, "INT3": u.COST_GATE, "INTO": u.COST_SIMPLE,
    "INT1": u.COST_GATE,
    "SYSENTER": u.COST_SYSENTER, "SYSEXIT": u.COST_SYSENTER,
    "PUSHA": u.COST_STACK_MANY, "POPA": u.COST_STACK_MANY,
    "ENTER": u.COST_STACK_MANY, "IN": u.COST_PORT, "OUT": u.COST_PORT,
    "CPUID": u.COST_CPUID, "RDMSR": u.COST_MSR, "WRMSR": u.COST_MSR, "RDTSC": u.COST_SYSTEM,
    "INVLPG": u.COST_FLUSH, "WBINVD": u.COST_FLUSH, "INVD": u.COST_FLUSH, "SHLD": u.COST_SHIFT_DOUBLE,
    "SHRD": u.COST_SHIFT_DOUBLE, "BSF": u.COST_BIT_SCAN, "BSR": u.COST_BIT_SCAN, "JMP": u.COST_BRANCH,
    **dict.fromkeys("Jcc LOOP LOOPE LOOPNE JCXZ".split(), u.COST_BRANCH),
    **dict.fromkeys("DAA DAS AAA AAS AAM AAD SALC".split(), u.COST_BCD),
    **dict.fromkeys(_STRING.split(), u.COST_STRING),
    "INS": u.COST_PORT, "OUTS": u.COST_PORT,
    **dict.fromkeys("LDS LES LSS LFS LGS LLDT LTR".split(), u.COST_SEGMENT),
    **dict.fromkeys(
        (
            "SGDT SIDT LGDT LIDT SLDT STR SMSW LMSW CLTS HLT CLI STI PUSHF POPF "
            "ARPL LAR LSL VERR VERW BOUND"
        ).split(),
        u.COST_SYSTEM,
    ),
}  # fmt: skip

_X87_COST = {
    **dict.fromkeys("FADD FSUB FSUBR FCOM FUCOM FCOMI FUCOMI FTST FCMOV".split(), "FLOAT_ADD"),
    "FMUL": "FLOAT_MULTIPLY",
    **dict.fromkeys("FDIV FDIVR FPREM FPREM1 FXTRACT FRNDINT FSCALE".split(), "FLOAT_DIVIDE"),
    "FSQRT": "FLOAT_ROOT",
    **dict.fromkeys("F2XM1 FYL2X FYL2XP1 FPTAN FPATAN FSIN FCOS FSINCOS".split(), "FLOAT_SERIES"),
    **dict.fromkeys("FNSAVE FRSTOR FXSAVE FXRSTOR FNSTENV FLDENV FNINIT".split(), "FLOAT_STATE"),
}

_FIXED = {"AL": (0, W_BYTE), "AX": (0, W_WORD), "CL": (1, W_BYTE), "DX": (2, W_WORD), "rAX": (0, W_OPERAND)}
_SEGMENTS = {name: i for i, name in enumerate("ES CS SS DS FS GS".split())}
_WIDTHS = {"b": W_BYTE, "w": W_WORD, "d": W_DWORD, "v": W_OPERAND, "z": W_OPERAND}
_PLACES = {
    "E": P_E, "G": P_G, "M": P_M, "R": P_R, "Z": P_Z, "I": P_IMMEDIATE, "J": P_RELATIVE, "O": P_OFFSET,
    "A": P_FAR, "S": P_SEGMENT, "C": P_CONTROL, "D": P_DEBUG, "X": P_STRING, "Y": P_STRING,
}  # fmt: skip


def _operand(code: str) -> tuple[int, int]:
    """Place and width of one operand as opcodes.py spells it."""
    if code in _FIXED:
        return P_FIXED, _FIXED[code][1]
    if code in _SEGMENTS:
        return P_FIXED, W_WORD
    if code == "1":
        return P_ONE, W_BYTE
    if code in ("ST0", "STi"):
        return P_FIXED, W_OTHER
    if code == "Is":
        return P_SIGNED_BYTE, W_OPERAND
    return _PLACES[code[0]], _WIDTHS.get(code[1:], W_OTHER)


def _is_x87(row: Row) -> bool:
    return row.is_x87 or row.operation in ("WAIT", "FXSAVE", "FXRSTOR")


def _x87(row: Row) -> tuple[int, int, int]:
    """Operation, cost class, and what the unit is told as operand size: a format, how many
    registers to pop, whether ST(i) is the destination. 0 stands for the operand size."""
    name = row.operation
    constant = re.fullmatch("FLD(1|L2T|L2E|PI|LG2|LN2|Z)", name)
    pops = 0
    if not hasattr(u, f"OP_{name}"):
        pops = len(name) - len(name.rstrip("P"))
        name = name.rstrip("P")
    if name.startswith("FI") and name != "FINCSTP":
        name = "F" + name[2:]
    name = {"FBLD": "FLD", "FBST": "FST"}.get(name, name)
    if constant:
        name = "FLD_CONSTANT"
    elif name.startswith("FCMOV"):
        name = "FCMOV"
    operand = row.operands[0] if row.operands else ""
    kind = "REGISTER"
    if operand[:1] == "M" and len(operand) == 2:
        integer = row.operation[1] == "I" or operand == "Mw"
        kind = {"d": "SINGLE", "q": "DOUBLE", "t": "EXTENDED"}.get(operand[1], "")
        if integer:
            kind = {"w": "INT16", "d": "INT32", "q": "INT64"}[operand[1]]
        if row.operation in ("FBLD", "FBSTP"):
            kind = "BCD"
    packed = getattr(u, f"FORMAT_{kind}") | pops * u.POP_ONE
    if operand == "STi" and row.operands[1:] == ("ST0",):
        packed |= u.TO_STI
    if operand == "M":
        packed = 0
    return getattr(u, f"OP_{name}"), getattr(u, f"COST_{_X87_COST.get(name, 'FLOAT_MOVE')}"), packed


def _recipe(row: Row) -> tuple[int, int, int, int]:
    """Recipe, operation, assist unit and what is done around it."""
    name, operands = row.operation, row.operands
    if _is_x87(row):
        return R_X87, _x87(row)[0], UNIT_ASSIST_X87, 0
    if name in _ALU:
        return R_ALU, _ALU[name], 0, 0
    if name in _UNARY:
        return R_UNARY, _UNARY[name], 0, 0
    if name in _SHIFT:
        return R_SHIFT, _SHIFT[name], 0, 0
    if name in ("Jcc", "SETcc", "CMOVcc"):
        return {"Jcc": R_JUMP_IF, "SETcc": R_SET_IF, "CMOVcc": R_MOVE_IF}[name], row.opcode & 15, 0, 0
    if name in ("PUSH", "POP") and operands[0] in _SEGMENTS:
        if name == "PUSH":
            return R_PUSH_SEGMENT, 0, 0, 0
        return R_ASSIST, u.OP_POP_SREG, UNIT_ASSIST_TRANSFER, 0
    if name in ("PUSH", "POP"):
        return (R_PUSH if name == "PUSH" else R_POP), 0, 0, 0
    if name == "MOV":
        places = [_operand(o)[0] for o in operands]
        if places[0] == P_SEGMENT:
            return R_ASSIST, u.OP_MOV_SREG, UNIT_ASSIST_TRANSFER, AS_LOAD
        if places[1] == P_SEGMENT:
            return R_FROM_SEGMENT, 0, 0, 0
        for place, what in ((P_CONTROL, "CR"), (P_DEBUG, "DR")):
            if places[0] == place:
                return R_ASSIST, getattr(u, f"OP_MOV_TO_{what}"), UNIT_ASSIST_SYSTEM, AS_LOAD
            if places[1] == place:
                return R_ASSIST, getattr(u, f"OP_MOV_FROM_{what}"), UNIT_ASSIST_SYSTEM, AS_STORE
        return R_MOVE, 0, 0, 0
    if name == "IMUL":
        if len(operands) > 1:
            return R_IMUL, 0, 0, 0
        return R_ASSIST, u.OP_IMUL1, UNIT_ASSIST_ARITHMETIC, AS_LOAD
    if name in _SIMPLE:
        return (*_SIMPLE[name], 0, 0)
    around = _AROUND.get(name, 0)
    if name in ("CALLF", "JMPF") and operands[0] == "Mp":
        around = AS_ADDRESS
    return R_ASSIST, getattr(u, f"OP_{name}"), _UNIT_OF[name], around


def decoder_tables() -> tuple[np.ndarray, np.ndarray]:
    """The two arrays: row numbers + 1 (0: #UD), and uint64[8192] rows of 8 words.

    The first has 2 x 256 x 8 words, by map, opcode and ModRM.reg, then 8 x 64 for the register
    forms of the escape opcodes, by opcode and ModRM.
    """
    numbers = np.zeros(4096 + 512, np.uint64)
    rows = np.zeros((1024, 8), np.uint64)
    for row in ROWS:
        registers = range(8) if row.reg is None else (row.reg,)
        for reg in registers:
            if row.is_x87 and row.mod == "r":
                first = 4096 | (row.opcode & 7) << 6 | reg << 3
                for rm in range(8) if row.rm is None else (row.rm,):
                    numbers[first | rm] = row.number + 1
            else:
                numbers[(int(row.two_byte) << 11) | (row.opcode << 3) | reg] = row.number + 1
        recipe, operation, assist_unit, around = _recipe(row)
        operands = 0
        fixed = 0
        for i, code in enumerate(row.operands):
            place, width = _operand(code)
            operands |= (place | width << 8) << (16 * i)
            if code in _SEGMENTS:
                fixed = _SEGMENTS[code]
        if recipe == R_X87:
            fixed = _x87(row)[2]
        flags = F_MODRM * row.has_modrm + F_LOCKABLE * row.lockable
        if row.mod == "m" or any(code[0] == "M" for code in row.operands):
            flags |= F_MEMORY_ONLY
        if any(code[0] == "R" and code != "rAX" for code in row.operands):
            flags |= F_REGISTER_ONLY
        cost = _COST.get(row.operation, u.COST_SIMPLE)
        if recipe == R_ASSIST and operation == u.OP_MOV_SREG and assist_unit == UNIT_ASSIST_TRANSFER:
            cost = u.COST_SEGMENT
        if any(code in ("Cd", "Dd") for code in row.operands):
            cost = u.COST_CONTROL
        if recipe == R_X87:
            cost = _x87(row)[1]
        rows[row.number, : ROW_FIXED + 1] = (
            recipe, operation, operands, flags, cost, assist_unit | around << 8, fixed,
        )  # fmt: skip
    return numbers, rows.reshape(-1)
