"""An instruction as an object: a row of the opcode table with its operands and prefixes.

`decode` (instruction_decoder.py) makes them from bytes, `encode`, `make` and `replace`
(instruction_encoder.py) go the other way. Sizes are in bits, as the manual has them. The objects
are values: nothing changes one once it is made.

    >>> i = decode(bytes.fromhex("8b 44 8d f8"))
    >>> i
    00000000  8b 44 8d f8           mov eax, dword [ebp + ecx*4 - 8]
    >>> i.memory.base.name, i.memory.segment.name, i.memory.displacement
    ('ebp', 'ss', -8)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..opcodes import CONDITIONS, FLAGS_WRITTEN_UNDEFINED, Row
from .modrm import DS, SS, STACK_BASES, signed
from .operand_registers import Register

WIDTHS = {8: "byte", 16: "word", 32: "dword", 48: "fword", 64: "qword", 80: "tword"}

#: Where an instruction may lead but to the next one.
FLOW = {
    **dict.fromkeys("JMP JMPF".split(), "jump"),
    **dict.fromkeys("Jcc JCXZ LOOP LOOPE LOOPNE".split(), "branch"),
    **dict.fromkeys("CALL CALLF".split(), "call"),
    **dict.fromkeys("RET RETF IRET SYSEXIT".split(), "return"),
    **dict.fromkeys("INT INT1 INT3 INTO SYSENTER UD0 UD1 UD2".split(), "trap"),
}

VECTORS = {"INT1": 1, "INT3": 3, "INTO": 4}
STRINGS = frozenset("MOVS CMPS STOS LODS SCAS INS OUTS".split())
_LETTERS = {8: "b", 16: "w", 32: "d"}
#: Names that tell the operand size.
_SIZED_NAMES = {
    "CBW": {16: "cbw", 32: "cwde"}, "CWD": {16: "cwd", 32: "cdq"},
    **{n: {16: f"{n.lower()}w", 32: f"{n.lower()}d"} for n in "PUSHA POPA PUSHF POPF IRET".split()},
}  # fmt: skip
_OTHER_NAMES = {"XLAT": "xlatb", "CALLF": "call", "JMPF": "jmp"}


def _number(value: int) -> str:
    return str(value) if value < 10 else f"{value:#x}"


@dataclass(slots=True, unsafe_hash=True)
class Immediate:
    """A number in the code. ``value`` is what the operation sees, not negative: sign-extended to
    the operand size where the opcode says so."""

    value: int
    size: int  #: bits in the code; 0: none, the 1 of the shifts

    def __str__(self) -> str:
        return _number(self.value)


@dataclass(slots=True, unsafe_hash=True)
class Relative:
    """Where a jump or call leads. In the code stands the distance from the end of the instruction."""

    target: int  #: EIP or IP
    size: int  #: bits of the distance in the code

    def __str__(self) -> str:
        return _number(self.target)


@dataclass(slots=True, unsafe_hash=True)
class FarPointer:
    """A selector and an offset in the code."""

    selector: int
    offset: int
    size: int  #: bits of the offset

    def __str__(self) -> str:
        return f"{_number(self.selector)}:{_number(self.offset)}"


@dataclass(slots=True, unsafe_hash=True, init=False)
class Memory:
    """An operand in memory: ``size [segment: base + index * scale + displacement]``."""

    size: int  #: bits; 0 where only the address counts, or for an area of state
    base: Register | None
    index: Register | None
    scale: int
    displacement: int  #: signed
    segment: Register  #: the one that is used, by a prefix or without
    address_size: int
    displacement_size: int | None  #: bits in the code, None: the fewest that do

    def __init__(
        self,
        size: int,
        base: Register | None = None,
        index: Register | None = None,
        scale: int = 1,
        displacement: int = 0,
        segment: Register | None = None,
        address_size: int = 0,
        displacement_size: int | None = None,
    ) -> None:
        if not address_size:
            register = base or index
            address_size = register.size if register else 32
        self.size = size
        self.base = base
        self.index = index
        self.scale = scale
        half = 1 << address_size - 1
        self.displacement = (
            displacement if -half <= displacement < half else signed(displacement, address_size)
        )
        self.segment = segment if segment is not None else SS if base in STACK_BASES else DS
        self.address_size = address_size
        self.displacement_size = displacement_size

    @property
    def default_segment(self) -> Register:
        """What ``segment`` is without a prefix."""
        return SS if self.base in STACK_BASES else DS

    def offset(self, value_of: Callable[[Register], int]) -> int:
        """The offset in the segment, with the registers' values as a function tells them.

        >>> memory.offset(lambda register: getattr(m.cpu, register.name))
        """
        offset = self.displacement
        if self.base is not None:
            offset += value_of(self.base)
        if self.index is not None:
            offset += value_of(self.index) * self.scale
        return offset & (1 << self.address_size) - 1

    def __str__(self) -> str:
        return self.text()

    def text(self, bits: int = 0, far: bool = False, pair: bool = False) -> str:
        """As the assembler reads it; ``bits``: the mode, if it tells the address size.

        Of a pair (bounds, offset and selector) no assembler says the width."""
        parts = [str(self.base)] if self.base else []
        if self.index:
            alone = self.base is None and self.scale == 1
            parts.append(f"{self.index}*{self.scale}" if self.scale > 1 or alone else str(self.index))
        inside, asked = " + ".join(parts), self.displacement_size
        if not parts:
            inside = _number(self.displacement & (1 << self.address_size) - 1)
            asked = self.address_size if bits and bits != self.address_size else None
        elif self.displacement or asked:
            inside += f" {'-' if self.displacement < 0 else '+'} {_number(abs(self.displacement))}"
        if self.segment is not self.default_segment:
            inside = f"{self.segment}:{inside}"
        if asked:
            inside = f"{WIDTHS[asked]} {inside}"
        width = "far " if far else f"{WIDTHS[self.size]} " if self.size and not pair else ""
        return f"{width}[{inside}]"


Operand = Register | Immediate | Relative | FarPointer | Memory
ONE = Immediate(1, 0)
_PAIRS = frozenset("BOUND LDS LES LSS LFS LGS SGDT SIDT LGDT LIDT".split())  # what they have in memory


@dataclass(slots=True, unsafe_hash=True, repr=False)
class Instruction:
    """One instruction. Two are equal if they do the same in the same form, wherever they stand."""

    row: Row
    operands: tuple[Operand, ...]
    bits: int  #: the mode of its code segment, 16 or 32
    operand_size: int
    address_size: int
    lock: bool = False
    repeat: str = ""  #: "rep" (F3) or "repne" (F2)
    segment: Register | None = None  #: the override prefix, if there is one
    address: int = field(default=0, compare=False)  #: EIP or IP
    code: bytes = field(default=b"", compare=False)

    @property
    def length(self) -> int:
        return len(self.code)

    @property
    def end(self) -> int:
        """The EIP or IP after it."""
        return (self.address + len(self.code)) & (0xFFFF_FFFF if self.bits == 32 else 0xFFFF)

    @property
    def mnemonic(self) -> str:
        """As in the opcode table: JNZ, MOVS, IRET."""
        return self.row.mnemonic

    @property
    def operation(self) -> str:
        """The mnemonic without a condition: Jcc for JNZ."""
        return self.row.operation

    @property
    def condition(self) -> str | None:
        """NZ for JNZ, SETNZ and CMOVNZ."""
        return CONDITIONS[self.row.opcode & 15] if self.row.operation.endswith("cc") else None

    @property
    def flow(self) -> str:
        """What it does to EIP: "jump", "branch" (a jump on a condition), "call", "return", "trap"
        (it enters a gate), "" (the next instruction follows)."""
        return FLOW.get(self.row.operation, "")

    @property
    def ends_block(self) -> bool:
        """Whether another instruction than the next in memory may follow."""
        return self.row.operation in FLOW

    @property
    def target(self) -> int | None:
        """Where a relative jump or call leads."""
        last = self.operands[-1] if self.operands else None
        return last.target if isinstance(last, Relative) else None

    @property
    def vector(self) -> int | None:
        """Of INT, INT1, INT3 and INTO."""
        first = self.operands[0] if self.operands else None
        if self.row.operation == "INT" and isinstance(first, Immediate):
            return first.value
        return VECTORS.get(self.row.operation)

    @property
    def memory(self) -> Memory | None:
        """The operand in memory, the first of two."""
        for operand in self.operands:
            if operand.__class__ is Memory:
                return operand
        return None

    @property
    def flags_written(self) -> str:
        """Letters of "oszapc" that it sets by its result (volume 1, appendix A)."""
        return FLAGS_WRITTEN_UNDEFINED.get(self.row.operation, ("", ""))[0]

    @property
    def flags_undefined(self) -> str:
        """Letters of "oszapc" that the manual leaves undefined after it."""
        return FLAGS_WRITTEN_UNDEFINED.get(self.row.operation, ("", ""))[1]

    @property
    def name(self) -> str:
        """The mnemonic that assemblers and listings use, without prefixes: jnz, movsb, iretd."""
        operation = self.row.operation
        if operation in STRINGS:
            memory = self.memory
            assert memory is not None
            return operation.lower() + _LETTERS[memory.size]
        if operation in _SIZED_NAMES:
            return _SIZED_NAMES[operation][self.operand_size]
        if operation == "JCXZ" and self.address_size == 32:
            return "jecxz"
        return _OTHER_NAMES.get(operation) or self.row.mnemonic.lower()

    def _shows_operand_size(self) -> bool:
        row = self.row
        if row.operation in _SIZED_NAMES or "rAX" in row.operands:
            return True
        if self.memory and self.memory.size == 16 and "Sw" in row.operands:
            return False  # MOV of a segment register stores a word at any size
        places = [code for code in row.operands if code[-1] == "v"]
        return bool(places) and not (row.operation in ("SLDT", "STR", "SMSW") and self.memory)

    @property
    def text(self) -> str:
        """Intel syntax, as the assembler reads it."""
        row, operands, words = self.row, self.operands, []
        if self.lock:
            words.append("lock")
        if self.repeat:
            words.append(
                "repe" if self.repeat == "rep" and row.operation in ("CMPS", "SCAS") else self.repeat
            )
        memory = self.memory
        shown = memory is not None and memory.segment is self.segment is not memory.default_segment
        if self.segment and (not shown or row.operation in STRINGS):
            words.append(self.segment.name)
        other = self.operand_size != self.bits
        sized_push = row.operation == "PUSH" and isinstance(operands[0], Immediate)
        if other and not sized_push and not self._shows_operand_size():
            words.append(f"o{self.operand_size}")
        implied = row.operation == "JCXZ" or (memory is not None and row.operation not in STRINGS)
        if self.address_size != self.bits and not implied:
            words.append(f"a{self.address_size}")
        words.append(self.name)
        if row.operation in STRINGS:
            return " ".join(words)
        far, pair = row.operation in ("CALLF", "JMPF"), row.operation in _PAIRS
        texts = [
            operand.text(self.bits, far, pair) if isinstance(operand, Memory) else str(operand)
            for operand in operands
        ]
        if sized_push and other:
            texts = [f"{WIDTHS[self.operand_size]} {texts[0]}"]
        return " ".join(words) + (" " + ", ".join(texts) if texts else "")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{self.address:08x}  {self.code.hex(' '):20}  {self.text}"
