"""From an `Instruction` to bytes, by the opcode table.

`encode` writes an instruction in the form that it has: its row, the sizes of its immediate and
its displacement. `make` and `replace` choose the form where it is open: of the rows that take
the operands, the one with the shortest code.

    >>> i = decode(b"\\x74\\x10", at=0x1000)
    >>> encode(replace(i, operands=(0x9000,))).hex(" ")
    '0f 84 fa 7f 00 00'
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace as with_fields
from typing import Any, NamedTuple

from ..opcodes import ADDRESS_SIZE, LOCK, OPERAND_SIZE, ROWS, TWO_BYTE, Row
from .instruction import ONE, FarPointer, Immediate, Instruction, Memory, Operand, Relative
from .instruction_decoder import decode
from .instruction_forms import (
    FAR,
    FIXED,
    IMMEDIATE,
    LONGEST,
    OFFSET,
    RELATIVE,
    REPEATS,
    RM,
    SEGMENT_PREFIXES,
    SIGNED,
    SOURCE,
    STRING_REGISTERS,
    TARGET,
    Place,
    places,
)
from .modrm import encode_address, signed
from .operand_registers import REGISTERS, Register

ES = REGISTERS["es"]
_LOCK, _OPERAND_SIZE, _ADDRESS_SIZE = (bytes((byte,)) for byte in (LOCK, OPERAND_SIZE, ADDRESS_SIZE))
_REPEATS = {"": b"", **{word: bytes((byte,)) for byte, word in REPEATS.items()}}
_SEGMENTS = {register: bytes((byte,)) for byte, register in SEGMENT_PREFIXES.items()}
_SIGNED = {8: struct.Struct("<b").pack, 16: struct.Struct("<h").pack, 32: struct.Struct("<i").pack}
_UNSIGNED = {8: struct.Struct("<B").pack, 16: struct.Struct("<H").pack, 32: struct.Struct("<I").pack}

#: What `make` and `replace` take: a number stands for an immediate or a target of any width.
Given = Operand | int


class EncodingError(ValueError):
    """An instruction that the opcode table does not have."""


class _Plan(NamedTuple):
    """How to write one row at one operand size."""

    places: tuple[Place, ...]
    opcode: bytes
    has_modrm: bool
    reg: int  #: ModRM.reg and ModRM.rm where no operand says them
    rm: int
    lockable: bool


def _plans(operand_size: int) -> list[_Plan]:
    return [
        _Plan(
            places(row, operand_size),
            bytes((TWO_BYTE, row.opcode) if row.two_byte else (row.opcode,)),
            row.has_modrm,
            row.reg or 0,
            row.rm or 0,
            row.lockable,
        )
        for row in ROWS
    ]


_PLANS = {size: _plans(size) for size in (16, 32)}
_ROWS: dict[str, list[Row]] = {}
for _row in ROWS:
    _ROWS.setdefault(_row.mnemonic, []).append(_row)


def encode(i: Instruction, at: int | None = None) -> bytes:
    """The code of an instruction, in its own form; ``at``: where it will stand, if not at
    ``i.address``. Prefixes come in one order, and none twice."""
    plan = _PLANS[i.operand_size][i.row.number]
    if len(plan.places) != len(i.operands):
        raise EncodingError(f"{i.row} has {len(plan.places)} operands, not {len(i.operands)}")
    reg, rm, address, relative, tail = plan.reg, plan.rm, None, None, b""
    segment, address_size = i.segment, i.address_size
    try:
        for place, operand in zip(plan.places, i.operands):
            kind, size = place.kind, place.size
            if kind == FIXED:
                fits = operand == place.fixed
            elif isinstance(operand, Register):
                fits = bool(place.bank) and place.bank[operand.number] is operand
                if kind == RM:
                    rm = operand.number
                else:
                    reg = operand.number
            elif isinstance(operand, Memory):
                fits = operand.size == size and _fits(operand, place, i.address_size)
                address_size = operand.address_size
                if kind != TARGET:
                    segment = _override(operand, segment)
                if kind == RM:
                    address = operand
                elif kind == OFFSET:
                    tail = _SIGNED[address_size](operand.displacement)
            elif isinstance(operand, Relative):
                fits = kind == RELATIVE and operand.size == size
                relative = operand
            elif isinstance(operand, FarPointer):
                fits = kind == FAR and operand.size == size
                tail = _UNSIGNED[size](operand.offset) + _UNSIGNED[16](operand.selector)
            elif kind == IMMEDIATE:
                fits = operand.size == size
                tail += _UNSIGNED[size](operand.value)
            else:
                fits = kind == SIGNED and operand.size == 8 and operand.value >> i.operand_size == 0
                tail = _SIGNED[8](signed(operand.value, i.operand_size))
            if not fits:
                raise EncodingError(f"{operand} does not fit in {i.row} with {i.operand_size} bits")
        body = plan.opcode
        if address is not None:
            m = address
            body += encode_address(
                reg, m.base, m.index, m.scale, m.displacement, m.displacement_size, m.address_size
            )
        elif plan.has_modrm:
            body += bytes((0xC0 | reg << 3 | rm,))
        head = _REPEATS[i.repeat]
        if i.lock:
            if address is None or not plan.lockable:
                raise EncodingError(f"LOCK does not go with {i}")
            head = _LOCK + head
        if segment is not None:
            head += _SEGMENTS[segment]
        if i.operand_size != i.bits:
            head += _OPERAND_SIZE
        if address_size != i.bits:
            head += _ADDRESS_SIZE
        if relative is not None:
            end = (i.address if at is None else at) + len(head) + len(body) + (relative.size >> 3)
            tail = _SIGNED[relative.size](signed(relative.target - end, i.operand_size))
    except EncodingError:
        raise
    except (KeyError, ValueError, struct.error) as error:
        raise EncodingError(f"{i} has no code: {error}") from error
    code = head + body + tail
    if len(code) > LONGEST:
        raise EncodingError(f"{i} is longer than {LONGEST} bytes")
    return code


def _override(memory: Memory, segment: Register | None) -> Register | None:
    """The segment prefix that a memory operand wants; one that changes nothing stays."""
    if memory.segment is not memory.default_segment:
        return memory.segment
    return segment if segment is memory.segment else None


def _fits(memory: Memory, place: Place, address_size: int) -> bool:
    """Whether a memory operand, of the right width, can stand in a place."""
    kind = place.kind
    if kind == RM:
        return place.in_memory
    alone = memory.index is None and memory.displacement_size is None
    if kind == OFFSET:
        return memory.base is None and alone
    if kind not in (SOURCE, TARGET) or (kind == TARGET and memory.segment is not ES):
        return False
    pointer = STRING_REGISTERS[address_size][kind == TARGET]
    alone = alone and memory.address_size == address_size  # both of MOVS alike
    return memory.base is pointer and alone and not memory.displacement


def _loose(operand: Operand) -> Given:
    """The same operand, its width in the code left open."""
    if isinstance(operand, Immediate) and operand.size:
        return operand.value
    if isinstance(operand, Relative):
        return operand.target
    if isinstance(operand, Memory) and operand.displacement_size is not None:
        return with_fields(operand, displacement_size=None)
    return operand


def _settled(place: Place, given: Given, operand_size: int) -> Operand:
    """A number as the operand that a place wants."""
    if not isinstance(given, int):
        return given
    if place.kind == RELATIVE:
        return Relative(given & (1 << operand_size) - 1, place.size)
    if place.kind == FIXED:
        return ONE if given == 1 else Immediate(given, 8)
    size = operand_size if place.kind == SIGNED else place.size
    if not size or not -(1 << size - 1) <= given < 1 << size:
        raise EncodingError(f"{given} does not fit in {size} bits")
    return Immediate(given & (1 << size) - 1, place.size)


def _shortest(rows: Iterable[Row], given: tuple[Given, ...], draft: Instruction) -> Instruction:
    """The draft with these operands, in the row whose code is the shortest."""
    found: list[tuple[int, int, bytes]] = []
    problem = f"{draft.mnemonic} does not take {len(given)} operands"
    for order, row in enumerate(rows):
        where = _PLANS[draft.operand_size][row.number].places
        if len(where) != len(given):
            continue
        try:
            operands = tuple(_settled(p, g, draft.operand_size) for p, g in zip(where, given))
            code = encode(with_fields(draft, row=row, operands=operands))
        except EncodingError as error:
            problem = str(error)
            continue
        # the NOP with operands that is documented is the last of its rows
        found.append((len(code), -order if row.operation == "NOP" else order, code))
    if not found:
        raise EncodingError(problem)
    i = decode(min(found)[2], draft.bits, draft.address)
    assert isinstance(i, Instruction)
    return i


def make(
    mnemonic: str,
    *operands: Given,
    bits: int = 32,
    at: int = 0,
    operand_size: int | None = None,
    address_size: int | None = None,
    lock: bool = False,
    repeat: str = "",
    segment: Register | None = None,
) -> Instruction:
    """An instruction by its mnemonic in the opcode table, in its shortest form.

    A number may stand for an immediate or for the target of a jump. The operand size is the
    mode's own if it is not given and the operands allow it.

    >>> make("MOV", register("eax"), Memory(32, register("ebp"), displacement=-8)).code.hex(" ")
    '8b 45 f8'
    """
    rows = _ROWS.get(mnemonic.upper())
    if rows is None:
        raise EncodingError(f"the opcode table has no {mnemonic}")
    for size in (operand_size,) if operand_size else (bits, 48 - bits):
        draft = Instruction(rows[0], (), bits, size, address_size or bits, lock, repeat, segment, at)
        try:
            return _shortest(rows, operands, draft)
        except EncodingError as error:
            problem = error
    raise problem


def replace(i: Instruction, **changes: Any) -> Instruction:
    """An instruction with some fields changed, as `dataclasses.replace` does it.

    It keeps its form if that takes the operands; a number among them leaves its width open. The
    segment of an operand in memory follows the field ``segment``.

    >>> replace(i, operands=(register("ecx"), i.operands[1]), lock=False)
    """
    given: tuple[Given, ...] = changes.pop("operands", i.operands)
    if "segment" in changes:
        segment = changes["segment"]
        given = tuple(
            with_fields(o, segment=segment or o.default_segment)
            if isinstance(o, Memory) and not _is_target(i, n)
            else o
            for n, o in enumerate(given)
        )
    draft = with_fields(i, operands=(), **changes)
    for rows in ([draft.row], _ROWS[draft.mnemonic]):
        try:
            return _shortest(rows, given, draft)
        except EncodingError as error:
            problem = error
    raise problem


def _is_target(i: Instruction, n: int) -> bool:
    """Whether an operand is the ES:[DI] of a string instruction, which no prefix moves."""
    return _PLANS[i.operand_size][i.row.number].places[n].kind == TARGET


def shortest(i: Instruction) -> Instruction:
    """The same instruction in its shortest form: MOV EAX, 5 by B8 rather than by C7, short jumps."""
    return _shortest(_ROWS[i.mnemonic], tuple(map(_loose, i.operands)), i)
