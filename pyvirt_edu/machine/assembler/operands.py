"""Operands: registers, memory, immediates and far pointers, read from the line.

Memory operands also know how wide their displacement is to be: `Memory.encode`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..decode.modrm import PAIRS_16, encode_address, signed
from ..decode.operand_registers import REGISTERS, SEGMENTS, Register
from .errors import AssemblyError
from .expressions import Parser, Value

#: Words that give an operand's width.
SIZES = {"byte": 8, "word": 16, "dword": 32, "fword": 48, "pword": 48, "qword": 64, "tword": 80, "tbyte": 80}
SIZES["xword"] = 80  # as disassemblers have it


@dataclass(frozen=True, slots=True)
class RegisterOperand:
    register: Register
    column: int
    size: int | None = None  #: explicit width, as in ``push dword eax``


@dataclass(frozen=True, slots=True)
class Immediate:
    """A number: an immediate or the target of a jump, as the instruction decides."""

    value: Value
    column: int
    size: int | None = None
    strict: bool = False  #: the width is not to be shortened
    distance: str = ""  #: "short" or "near" for jumps


@dataclass(frozen=True, slots=True)
class FarPointer:
    selector: Value
    offset: Value
    column: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """``size [segment: base + index * scale + displacement]``."""

    displacement: Value
    column: int
    address_size: int
    base: Register | None = None
    index: Register | None = None
    scale: int = 1
    segment: Register | None = None
    size: int | None = None
    displacement_size: int | None = None
    far: bool = False

    @property
    def absolute(self) -> bool:
        """Whether it is an address alone, without registers."""
        return self.base is None and self.index is None

    def check_displacement(self, size: int) -> None:
        number = self.displacement.number
        if self.displacement.known and not -(1 << size) <= number < 1 << size:
            remedy = "use [dword ...] for a 32-bit address" if size == 16 else ""
            raise AssemblyError(f"address {number:#x} does not fit in {size} bits", self.column, remedy)

    def encode(self, reg: int) -> bytes:
        """ModRM, SIB and displacement, with `reg` in ModRM.reg."""
        full, value, wanted = self.address_size, self.displacement, self.displacement_size
        self.check_displacement(full)
        number = signed(value.number, full)
        if wanted == 8 and not -128 <= number < 128:
            if value.known:
                raise AssemblyError(f"displacement {number} does not fit in a byte", self.column)
            number = signed(number, 8)  # a guess; the next pass knows better
        if self.base is None:
            wanted = None  # it is full anyway
        elif wanted is None and not value.plain:
            wanted = full
        return encode_address(reg, self.base, self.index, self.scale, number, wanted, full)


Operand = RegisterOperand | Immediate | FarPointer | Memory


def parse_operands(parser: Parser, bits: int) -> list[Operand]:
    """The operands up to the end of the line."""
    operands: list[Operand] = []
    while parser.token:
        if operands:
            parser.expect(",")
        operands.append(_parse_operand(parser, bits))
    return operands


def _parse_operand(parser: Parser, bits: int) -> Operand:
    column = parser.column
    size: int | None = None
    words: set[str] = set()
    while word := parser.take(*SIZES, "ptr", "far", "near", "short", "strict"):
        if word.lower in SIZES:
            size = SIZES[word.lower]
        else:
            words.add(word.lower)
    segment = None
    if parser.sees(*SEGMENTS) and _is(parser, 1, ":"):
        if not _is(parser, 2, "["):
            raise AssemblyError("expected '[' after the segment register", parser.column)
        segment = _segment(parser)
    if parser.take("["):
        return _parse_memory(parser, bits, column, size, segment, "far" in words)
    if parser.sees("st") and _is(parser, 1, "("):
        return _parse_x87_register(parser, column)
    value = parser.expression()
    if parser.take(":"):
        offset = parser.number("an offset")
        if value.registers:
            raise AssemblyError("a selector is a number, not a register", column)
        return FarPointer(value, offset, column, size)
    if value.registers:
        (register, count), *others = value.registers.items()
        if others or count != 1 or value.number or value.moves:
            raise AssemblyError("a sum with registers is an address", column, "put it in brackets: [ ... ]")
        if "far" in words:
            raise AssemblyError(
                "a register holds no far pointer", column, "far belongs before memory: far [ ... ]"
            )
        return RegisterOperand(register, column, size)
    distance = "short" if "short" in words else "near" if "near" in words else ""
    return Immediate(value, column, size, "strict" in words, distance)


def _parse_x87_register(parser: Parser, column: int) -> RegisterOperand:
    """``st(1)``; ``st1`` is a name like any other."""
    parser.expect("st")
    parser.expect("(")
    number = parser.number("the register's number")
    parser.expect(")")
    register = REGISTERS.get(f"st{number.number}")
    if register is None:
        raise AssemblyError(f"there is no st({number.number})", column, "st(0) to st(7) are the x87's")
    return RegisterOperand(register, column)


def _is(parser: Parser, ahead: int, text: str) -> bool:
    place = parser.position + ahead
    return place < len(parser.tokens) and parser.tokens[place].text == text


def _segment(parser: Parser) -> Register:
    token = parser.take(*SEGMENTS)
    assert token is not None
    parser.expect(":")
    return REGISTERS[token.lower]


def _parse_memory(
    parser: Parser, bits: int, column: int, size: int | None, segment: Register | None, far: bool
) -> Memory:
    """The inside of the brackets, up to the closing one."""
    wanted = None
    split = True
    while word := parser.take("byte", "word", "dword", "nosplit"):
        if word.lower == "nosplit":
            split = False  # [nosplit ebx*2] is not to become [ebx + ebx]
        else:
            wanted = SIZES[word.lower]
    if parser.sees(*SEGMENTS) and _is(parser, 1, ":"):
        segment = _segment(parser)
    inside = parser.column
    value = parser.expression()
    parser.expect("]")
    number = Value(value.number, value.moves, value.known)
    terms = list(value.registers.items())
    for register, _ in terms:
        if register.kind != "general" or register.size == 8:
            raise AssemblyError(f"{register.name} cannot be part of an address", inside)
    sizes = {register.size for register, _ in terms}
    if len(sizes) > 1:
        raise AssemblyError("an address mixes 16-bit and 32-bit registers", inside)
    if not terms:
        address_size = wanted if wanted in (16, 32) else bits
        return Memory(number, column, address_size, None, None, 1, segment, size, None, far)
    address_size = sizes.pop()
    if wanted not in (None, 8, address_size):
        raise AssemblyError(f"a {address_size}-bit address cannot have a {wanted}-bit displacement", inside)
    if len(terms) == 2 and terms[0][0] == value.index:
        terms.reverse()
    if address_size == 16:
        base, index, scale = _split_16(terms, inside)
    else:
        base, index, scale = _split_32(terms, inside)
        as_index = len(terms) == 1 and (terms[0][1] == 2 or (terms[0][1] == 1 and value.index))
        if not split and as_index and base is not None and base.name != "esp":
            base, index, scale = None, base, terms[0][1]
    return Memory(number, column, address_size, base, index, scale, segment, size, wanted, far)


Split = tuple[Register | None, Register | None, int]


def _split_16(terms: list[tuple[Register, int]], column: int) -> Split:
    """Base and index of a 16-bit address."""
    ordered = sorted((register for register, _ in terms), key=lambda r: r.name not in ("bx", "bp"))
    pair = (ordered[0], ordered[1] if len(ordered) > 1 else None)
    if len(terms) > 2 or any(count != 1 for _, count in terms) or pair not in PAIRS_16:
        remedy = "16-bit addresses are [bx or bp + si or di + displacement]"
        raise AssemblyError("no such 16-bit address", column, remedy)
    return *pair, 1


def _split_32(terms: list[tuple[Register, int]], column: int) -> Split:
    """Base, index and scale of a 32-bit address; the shortest way where there are several."""
    if len(terms) == 1:
        register, count = terms[0]
        if count == 1:
            return register, None, 1
        # eax*2 is eax + eax, which needs no displacement (and ebp*2 is in SS, in NASM too).
        if count in (2, 3, 5, 9):
            terms = [(register, 1), (register, count - 1)]
    base, index, scale = None, None, 1
    if len(terms) == 1:
        index, scale = terms[0]
    elif len(terms) == 2:
        if terms[0][1] != 1 or (terms[1][0].name == "esp" and terms[1][1] == 1):
            terms.reverse()
        (base, one), (index, scale) = terms
        if one != 1:
            index = None
    if index is None or scale not in (1, 2, 4, 8):
        remedy = "32-bit addresses are [base + index * 1, 2, 4 or 8 + displacement]"
        raise AssemblyError("no such 32-bit address", column, remedy)
    if index.name == "esp":
        raise AssemblyError("esp cannot be an index", column, "use it as the base, without a scale")
    return base, index, scale
