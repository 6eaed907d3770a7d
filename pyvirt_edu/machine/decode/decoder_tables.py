"""The opcode table in the form the compiled decoder reads.

Two arrays of words: from (map, opcode, ModRM.reg) to the number of a row, and for each row
a recipe, its operands, its price and what a unit is asked for. The recipes are the ways the
decoder has of turning an instruction into micro-ops; most instructions share one with many
others.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ..costs import COST_CLASSES
from ..opcodes import ROWS, Row
from ..state.jit import UNITS
from . import uops as u
from .operations import CONDITIONAL, MICRO_OPERATIONS, RECIPES, operation

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
    P_FIXED,  # AL, AX, rAX, CL, DX
    P_NAMED_SEGMENT,  # ES to GS, written out
    P_ONE,
) = range(18)

# Operand widths
W_NONE, W_BYTE, W_WORD, W_DWORD, W_OPERAND, W_OTHER = range(6)

# Words of a row
(
    ROW_RECIPE,
    ROW_OPERATION,  # what the recipe is asked for, operations.MICRO_OPERATIONS
    ROW_OPERANDS,  # three times 16 bits: place, width << 8
    ROW_FLAGS,
    ROW_COST,
    ROW_ASSIST,  # the fields below
    ROW_FIXED,  # number of a segment register written out, or what assist_x87 is told of its operand
) = range(7)

F_MODRM, F_LOCKABLE, F_MEMORY_ONLY, F_REGISTER_ONLY, F_OWN_ADDRESS = 1, 2, 4, 8, 16

# Fields of ROW_ASSIST, from bits: the unit, its operation, words (AS_) ...
A_UNIT, A_OPERATION, A_WORDS = 0, 8, 16
# ... and which operand goes to T0, to T3, comes back from T0, is the port, has the size
A_T0, A_T3, A_BACK, A_PORT, A_SIZE = 24, 26, 28, 30, 32
NO_OPERAND = 3

_FIXED = {"AL": W_BYTE, "AX": W_WORD, "CL": W_BYTE, "DX": W_WORD, "rAX": W_OPERAND}
_SEGMENTS = {name: i for i, name in enumerate("ES CS SS DS FS GS".split())}
_WIDTHS = {"b": W_BYTE, "w": W_WORD, "d": W_DWORD, "v": W_OPERAND, "z": W_OPERAND}
_PLACES = {
    "E": P_E, "G": P_G, "M": P_M, "R": P_R, "Z": P_Z, "I": P_IMMEDIATE, "J": P_RELATIVE, "O": P_OFFSET,
    "A": P_FAR, "S": P_SEGMENT, "C": P_CONTROL, "D": P_DEBUG, "X": P_STRING, "Y": P_STRING,
}  # fmt: skip
_FORMATS = {
    "single": u.FORMAT_SINGLE, "double": u.FORMAT_DOUBLE, "extended": u.FORMAT_EXTENDED,
    "int16": u.FORMAT_INT16, "int32": u.FORMAT_INT32, "int64": u.FORMAT_INT64, "bcd": u.FORMAT_BCD,
    "pop": u.POP_ONE, "pop2": 2 * u.POP_ONE, "to_sti": u.TO_STI,
}  # fmt: skip
_WORDS = {
    "control": u.AS_CONTROL, "no_wait": u.AS_NO_WAIT, "word": u.AS_WORD, "writes": u.AS_WRITES, "lock": 0,
}  # fmt: skip
_ASSIST_FIELDS = {"T0": A_T0, "T3": A_T3, "port": A_PORT}


def _operand(code: str) -> tuple[int, int]:
    """Place and width of one operand as opcodes.py spells it."""
    if code in _FIXED:
        return P_FIXED, _FIXED[code]
    if code in _SEGMENTS:
        return P_NAMED_SEGMENT, W_OTHER
    if code == "1":
        return P_ONE, W_BYTE
    if code in ("ST0", "STi"):
        return P_FIXED, W_OTHER
    if code == "Is":
        return P_SIGNED_BYTE, W_OPERAND
    return _PLACES[code[0]], _WIDTHS.get(code[1:], W_OTHER)


def _asked_of_recipe(row: Row) -> int:
    recipe = row.action.recipe
    if recipe in CONDITIONAL:
        return row.opcode & 15
    return MICRO_OPERATIONS[recipe].index(row.operation) if recipe in MICRO_OPERATIONS else 0


def _assist(row: Row) -> int:
    """What the unit is asked for, and where its operands are."""
    action = row.action
    if not action.unit:
        return 0
    which = dict.fromkeys((A_T0, A_T3, A_BACK, A_PORT, A_SIZE), NO_OPERAND)
    words = sum(_WORDS.get(word, 0) for word in action.words)
    if action.modes == "protected":
        words |= u.AS_PROTECTED
    for to, what in action.moves:
        if (to, what) == ("T1", "&M"):
            words |= u.AS_ADDRESS
        elif to == "late":
            words |= u.AS_LATE
            which[A_T0] = _which(row, what)
        elif what == "T0":
            which[A_BACK] = _which(row, to)
        else:
            which[_ASSIST_FIELDS[to]] = _which(row, what)
    if which[A_PORT] != NO_OPERAND:
        words |= u.AS_PORT
    for i, code in enumerate(row.operands):  # the size is that of the first operand with data
        if code[0] != "I" and code != "DX":
            which[A_SIZE] = i
            break
    unit = UNITS[f"assist_{action.unit}"].slot
    fields = unit << A_UNIT | operation(action) << A_OPERATION | words << A_WORDS
    return fields | sum(operand << place for place, operand in which.items())


def _which(row: Row, what: str) -> int:
    """The operand that a row calls E, R, G, Ib or DX where it says what moves."""
    return next(i for i, code in enumerate(row.operands) if what in (code, code[0]))


def _flags(row: Row) -> int:
    flags = F_MODRM * row.has_modrm + F_LOCKABLE * row.lockable
    if row.mod == "m" or any(code[0] == "M" for code in row.operands):
        flags |= F_MEMORY_ONLY
    if any(code[0] == "R" for code in row.operands):
        flags |= F_REGISTER_ONLY
    if row.action.recipe in ("lea", "x87") or {"T1", "late"} & {to for to, _ in row.action.moves}:
        flags |= F_OWN_ADDRESS
    return flags


def _row(row: Row) -> tuple[int, ...]:
    """The words of a row, in order."""
    action = row.action
    unknown = action.words - _WORDS.keys() - _FORMATS.keys()
    if unknown or action.modes not in ("", "protected") or row.prefix is not None:
        raise ValueError(f"{row}: the decoder knows nothing of {unknown or action.modes or 'its prefix'}")
    operands = sum(
        (place | width << 8) << 16 * i for i, (place, width) in enumerate(map(_operand, row.operands))
    )
    fixed = sum(_FORMATS.get(word, 0) for word in action.words)
    fixed += sum(_SEGMENTS.get(code, 0) for code in row.operands)
    cost = COST_CLASSES.index(action.cost.upper())
    recipe = RECIPES.index(action.recipe)
    return recipe, _asked_of_recipe(row), operands, _flags(row), cost, _assist(row), fixed


@cache
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
        rows[row.number, : ROW_FIXED + 1] = _row(row)
    return numbers, rows.reshape(-1)
