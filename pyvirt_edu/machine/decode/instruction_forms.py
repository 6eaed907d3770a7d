"""Where the operands of a row are found, for the decoder and the encoder in Python.

`places` reads the letters of opcodes.py (manual, A.2) for one row and one operand size.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .. import opcodes
from ..opcodes import Row
from .instruction import ONE, Operand
from .operand_registers import GENERAL_8, GENERAL_16, GENERAL_32, REGISTERS, Register

REPEATS = {opcodes.REP: "rep", opcodes.REPNE: "repne"}
SEGMENT_PREFIXES = {byte: REGISTERS[name.lower()] for name, byte in opcodes.SEGMENT_PREFIXES.items()}
LONGEST = 15  # bytes of an instruction

# The kinds of places.
(
    RM,  # ModRM.rm: register or memory
    REG,  # ModRM.reg
    FIXED,  # the opcode says it all
    IMMEDIATE,
    SIGNED,  # a byte, sign-extended to the operand size
    RELATIVE,
    OFFSET,  # an address without ModRM
    FAR,
    SOURCE,  # of a string instruction: [SI]
    TARGET,  # of a string instruction: ES:[DI]
) = range(10)

#: SI and DI by address size.
STRING_REGISTERS = {
    16: (REGISTERS["si"], REGISTERS["di"]),
    32: (REGISTERS["esi"], REGISTERS["edi"]),
}

Bank = tuple[Register | None, ...]
_GENERAL: dict[int, Bank] = {8: GENERAL_8, 16: GENERAL_16, 32: GENERAL_32}
_SEGMENTS: Bank = tuple(REGISTERS[name] for name in "es cs ss ds fs gs".split()) + (None, None)
_LOADABLE: Bank = tuple(r if r is None or r.name != "cs" else None for r in _SEGMENTS)
#: CR1 and CR5 to CR7 are #UD (manual 2B, MOV).
_CONTROL: Bank = tuple(REGISTERS[f"cr{n}"] if n in (0, 2, 3, 4) else None for n in range(8))
_DEBUG: Bank = tuple(REGISTERS[f"dr{n}"] for n in range(8))
_X87: Bank = tuple(REGISTERS[f"st{n}"] for n in range(8))
_WIDTHS = {"b": 8, "w": 16, "d": 32, "q": 64, "t": 80, "s": 48}
_KINDS = {"I": IMMEDIATE, "J": RELATIVE, "O": OFFSET, "A": FAR, "X": SOURCE, "Y": TARGET}
_IMPLIED = frozenset("AL AX CL DX ES CS SS DS FS GS ST0".split())


class Place(NamedTuple):
    """Where one operand is."""

    kind: int
    size: int = 0  #: bits: of memory, or in the code
    bank: Bank = ()  #: what a register number means; empty: it must be memory
    fixed: Operand | None = None
    in_memory: bool = True  #: whether an RM place may be memory


def stores_word(row: Row, code: str) -> bool:
    """Whether a place as wide as the operand size is a word in memory all the same."""
    return code == "Ev" and (row.operands[1:] == ("Sw",) or row.operation in ("SLDT", "STR", "SMSW"))


@cache
def _place(code: str, operand_size: int, low: int, mod: str, word: bool, loaded: bool) -> Place:
    """Of one operand. ``low``: the opcode's low three bits; ``word``: see `stores_word`;
    ``loaded``: it is the destination."""
    if code == "1":
        return Place(FIXED, fixed=ONE)
    if code == "rAX":
        return Place(FIXED, fixed=_GENERAL[operand_size][0])
    if code in _IMPLIED:
        return Place(FIXED, fixed=REGISTERS[code.lower()])
    if code == "STi":
        return Place(RM, 0, _X87, in_memory=False)
    if code == "Is":
        return Place(SIGNED, 8)
    where, letter = code[0], code[1:]
    width = _WIDTHS.get(letter) or {
        "v": operand_size, "z": operand_size, "p": 16 + operand_size, "a": 2 * operand_size, "": 0,
    }[letter]  # fmt: skip
    if where == "E":
        return Place(RM, 16 if word else width, () if mod == "m" else _GENERAL[width], None, mod != "r")
    if where == "M":
        return Place(RM, width)
    if where == "R":
        return Place(RM, 0, _GENERAL[width], in_memory=False)
    if where == "G":
        return Place(REG, width, _GENERAL[width])
    if where == "S":
        return Place(REG, 16, _LOADABLE if loaded else _SEGMENTS)
    if where in "CD":
        return Place(REG, 32, _CONTROL if where == "C" else _DEBUG)
    if where == "Z":
        return Place(FIXED, fixed=_GENERAL[width][low])
    return Place(_KINDS[where], operand_size if where == "A" else width)


def places(row: Row, operand_size: int) -> tuple[Place, ...]:
    """Where the operands of a row are at an operand size, in their order."""
    return tuple(
        _place(code, operand_size, row.opcode & 7, row.mod, stores_word(row, code), n == 0)
        for n, code in enumerate(row.operands)
    )


@cache
def _modrm_bytes(mods: tuple[int, ...], regs: tuple[int, ...], rm: int | None) -> list[int]:
    rms = range(8) if rm is None else (rm,)
    return [mod << 6 | reg << 3 | rm for mod in mods for reg in regs for rm in rms]


def modrm_bytes(row: Row, found: tuple[Place, ...]) -> list[int]:
    """The ModRM bytes with which an opcode is this row, whose places were found; with the others it
    is another row, or #UD."""
    memory, registers = row.mod != "r", row.mod != "m"
    regs = (row.reg,) if row.reg is not None else tuple(range(8))
    for place in found:
        if place.kind == RM:
            memory, registers = memory and place.in_memory, registers and bool(place.bank)
        elif place.kind == REG:
            regs = tuple(reg for reg in regs if place.bank[reg])
    if "Rd" in row.operands:
        memory = True  # MOV of control and debug registers ignores ModRM.mod
    mods = ((0, 1, 2) if memory else ()) + ((3,) if registers else ())
    return _modrm_bytes(mods, regs, row.rm)
