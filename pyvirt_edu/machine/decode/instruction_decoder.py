"""From bytes to an `Instruction`, by the opcode table.

What the compiled decoder (decoder.py) does for the machine, this one does for programs in Python:
hypervisors, translators, listings. For each opcode it keeps a `_Plan` at each operand size, made
from the rows once; where ModRM follows, one for each of its 256 values, so that finding the row
is one look-up and an encoding that no row has is found without a search.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import Literal, NamedTuple

from ..opcodes import ADDRESS_SIZE, LOCK, OPERAND_SIZE, PREFIXES, ROWS, TWO_BYTE, Row
from .instruction import FarPointer, Immediate, Instruction, Memory, Operand, Relative
from .instruction_forms import (
    FAR,
    FIXED,
    LONGEST,
    OFFSET,
    REG,
    RELATIVE,
    REPEATS,
    RM,
    SEGMENT_PREFIXES,
    SIGNED,
    SOURCE,
    STRING_REGISTERS,
    TARGET,
    Place,
    modrm_bytes,
    places,
)
from .modrm import FORMS, SIB_FORMS
from .operand_registers import REGISTERS, Register

DS, ES = REGISTERS["ds"], REGISTERS["es"]
_SIGNED = {8: Struct("<b").unpack_from, 16: Struct("<h").unpack_from, 32: Struct("<i").unpack_from}
_UNSIGNED = {8: Struct("<B").unpack_from, 16: Struct("<H").unpack_from, 32: Struct("<I").unpack_from}


class Undecoded:
    """What `decode` returns in place of an instruction; it counts as false."""

    __slots__ = ("reason", "vector")

    def __init__(self, reason: str, vector: int | None) -> None:
        self.reason = reason
        self.vector = vector  #: what the processor would raise, None if it would fetch more

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return f"<no instruction: {self.reason}>"


UNDEFINED = Undecoded("#UD, an invalid opcode", 6)
TOO_LONG = Undecoded(f"#GP, longer than {LONGEST} bytes", 13)
RAN_OUT = Undecoded("more bytes are needed", None)


class _Plan(NamedTuple):
    """How to read the operands of one row at one operand size."""

    row: Row | None  #: None: #UD
    places: tuple[Place, ...]
    memory: int | None  #: bits of the operand in memory, if ModRM may name memory
    bank: tuple[Operand | None, ...]  #: what ModRM.rm names as a register
    lockable: bool


_NOTHING = _Plan(None, (), None, (None,) * 8, False)
_NOTHING_THERE = _NOTHING._replace(memory=0)  # #UD by ModRM: the address is fetched all the same


def _plans(operand_size: int) -> list[_Plan | list[_Plan]]:
    """By opcode, 256 and more for those after 0F; by ModRM where there is one."""
    plans: list[_Plan | list[_Plan]] = [_NOTHING] * 512
    for row in ROWS:
        found = places(row, operand_size)
        rm = next((place for place in found if place.kind == RM), None)
        memory = 0 if rm is None else rm.size if rm.in_memory else None
        plan = _Plan(row, found, memory, rm.bank if rm and rm.bank else _NOTHING.bank, row.lockable)
        number = row.opcode | row.two_byte << 8
        if not row.has_modrm:
            plans[number] = plan
            continue
        by_modrm = plans[number]
        if not isinstance(by_modrm, list):
            by_modrm = plans[number] = [_NOTHING_THERE] * 256
        for modrm in modrm_bytes(row, found):
            by_modrm[modrm] = plan
    return plans


_PLANS = {size: _plans(size) for size in (16, 32)}


def decode(code: bytes, bits: int = 32, at: int = 0, start: int = 0) -> Instruction | Undecoded:
    """The instruction that begins at ``code[start]``.

    ``bits`` is the mode, 16 or 32; ``at`` its EIP or IP, for the targets of jumps. If there is
    none the answer is false and says why: `UNDEFINED`, `TOO_LONG` or `RAN_OUT`.
    """
    operand_size = address_size = bits
    segment, repeat, lock = None, "", False
    here = start
    try:
        byte = code[here]
        while byte in PREFIXES:
            if byte == OPERAND_SIZE:
                operand_size = 48 - bits
            elif byte == ADDRESS_SIZE:
                address_size = 48 - bits
            elif byte == LOCK:
                lock = True
            elif byte in REPEATS:
                repeat = REPEATS[byte]
            else:
                segment = SEGMENT_PREFIXES[byte]
            here += 1
            if here - start == LONGEST:
                return TOO_LONG
            byte = code[here]
        here += 1
        if byte == TWO_BYTE:
            byte = 0x100 | code[here]
            here += 1
        plan = _PLANS[operand_size][byte]
        modrm, rm = 0xC0, None
        if isinstance(plan, list):
            modrm = code[here]
            here += 1
            plan = plan[modrm]
            if modrm >= 0xC0 or plan.memory is None:
                rm = plan.bank[modrm & 7]
            else:
                rm, here = _memory(code, here, modrm, plan.memory, address_size, segment)
        operands: list[Operand | None] = []
        for place in plan.places:
            kind = place.kind
            if kind == RM:
                operands.append(rm)
            elif kind == REG:
                operands.append(place.bank[modrm >> 3 & 7])
            elif kind == FIXED:
                operands.append(place.fixed)
            elif kind == RELATIVE:
                (distance,) = _SIGNED[place.size](code, here)
                here += place.size >> 3
                target = at + here - start + distance & (1 << operand_size) - 1
                operands.append(Relative(target, place.size))
            elif kind == SOURCE or kind == TARGET:
                pointer = STRING_REGISTERS[address_size][kind == TARGET]
                where = ES if kind == TARGET else segment or DS
                operands.append(Memory(place.size, pointer, None, 1, 0, where, address_size))
            elif kind == OFFSET:
                (offset,) = _SIGNED[address_size](code, here)
                here += address_size >> 3
                operands.append(Memory(place.size, None, None, 1, offset, segment or DS, address_size))
            else:
                operand, here = _immediate(code, here, kind, place.size, operand_size)
                operands.append(operand)
    except (IndexError, struct.error):
        return RAN_OUT if len(code) - start < LONGEST else TOO_LONG
    if here - start > LONGEST:
        return TOO_LONG
    row = plan.row
    if row is None or (lock and not (plan.lockable and modrm < 0xC0)):
        return UNDEFINED
    return Instruction(
        row,
        tuple(operands),  # type: ignore[arg-type]  # None only without a row
        bits,
        operand_size,
        address_size,
        lock,
        repeat,
        segment,
        at,
        code[start:here],
    )


def _memory(
    code: bytes, here: int, modrm: int, size: int, address_size: int, segment: Register | None
) -> tuple[Memory, int]:
    """The operand in memory whose SIB or displacement begins at ``here``, and where it ends."""
    form = FORMS[address_size][modrm]
    if form is None:
        form = SIB_FORMS[modrm >> 6][code[here]]
        here += 1
    base, index, scale, default, width, fewest = form
    displacement, wanted = 0, None
    if width:
        (displacement,) = _SIGNED[width](code, here)
        here += width >> 3
        if width > fewest and (-128 <= displacement < 128 if width > 8 else displacement == 0):
            wanted = width  # longer than it need be
    where = segment or default
    return Memory(size, base, index, scale, displacement, where, address_size, wanted), here


def _immediate(
    code: bytes, here: int, kind: int, size: int, operand_size: int
) -> tuple[Immediate | FarPointer, int]:
    """The number or far pointer that begins at ``here``, and where it ends."""
    if kind == SIGNED:
        (value,) = _SIGNED[8](code, here)
        return Immediate(value & (1 << operand_size) - 1, 8), here + 1
    (value,) = _UNSIGNED[size](code, here)
    here += size >> 3
    if kind == FAR:
        return FarPointer(_UNSIGNED[16](code, here)[0], value, size), here + 2
    return Immediate(value, size), here
