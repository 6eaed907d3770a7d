"""What a row of the opcode table is, in an operand size and a mode.

Everything the matrix knows of an instruction's outcomes follows from these properties. The
sets below are the manual's own lists (volume 3A, 5.9, privileged instructions; volume 1,
19.5.1, IOPL-sensitive ones; volume 2, the pages of the instructions).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pyvirt_edu.machine.opcodes import FLAGS_WRITTEN_UNDEFINED, ROWS, Row

from .world import DS, ES, MODES, SS, Mode

SEGMENT_NAMES = ("ES", "CS", "SS", "DS", "FS", "GS")
IMPLIED = frozenset(("AL", "CL", "AX", "DX", "rAX", "1", "ST0", "STi", *SEGMENT_NAMES))
MEMORY_WIDTHS = {"b": 1, "w": 2, "d": 4, "q": 8, "s": 6, "t": 10}
#: Areas that the x87 loads and stores whole, with 16 and with 32 bits of operand size
AREAS = {"FLDENV": (14, 28), "FNSTENV": (14, 28), "FRSTOR": (94, 108), "FNSAVE": (94, 108)}
AREAS |= dict.fromkeys(("FXSAVE", "FXRSTOR"), (512, 512))
ALIGNED = frozenset(("FXSAVE", "FXRSTOR"))  #: #GP(0) if not at a multiple of 16
PRIVILEGED = frozenset(
    "HLT CLTS INVD WBINVD INVLPG LGDT LIDT LLDT LTR LMSW RDMSR WRMSR SYSEXIT MOVC MOVD".split()
)
PROTECTED_ONLY = frozenset("ARPL LAR LSL VERR VERW SLDT STR LLDT LTR".split())
UNDEFINED = frozenset("UD0 UD1 UD2".split())
PORTS = frozenset("IN OUT INS OUTS".split())
STRINGS = frozenset("MOVS CMPS SCAS LODS STOS INS OUTS".split())
SOFTWARE_INTERRUPTS = frozenset("INT INT3 INTO INT1".split())
LOADS_POINTER = {"LES": ES, "LSS": SS, "LDS": DS, "LFS": 4, "LGS": 5}
FAR = frozenset("CALLF JMPF RETF IRET".split())
LOOPS = frozenset("LOOP LOOPE LOOPNE JCXZ".split())

# Operand size matters although no operand says so
SIZED = (
    frozenset(
        "PUSHA POPA CBW CWD PUSHF POPF RET RETF IRET ENTER LEAVE Jcc JMP SGDT SIDT LGDT LIDT PUSH POP".split()
    )
    | LOOPS
)

# What happens to a memory operand that is named first; the others are read and written
WRITTEN = frozenset(
    "MOV SETcc POP SLDT STR SMSW SGDT SIDT "
    "FST FSTP FIST FISTP FBSTP FNSTENV FNSTCW FNSTSW FNSAVE FXSAVE".split()
)
ONLY_READ = frozenset(
    "CMP TEST PUSH CALL JMP CALLF JMPF MUL IMUL DIV IDIV BT LLDT LTR VERR VERW LMSW LGDT LIDT".split()
)
NO_ACCESS = frozenset("NOP LEA INVLPG UD0 UD1 ESC".split())
PUSHES = {"PUSH": 1, "PUSHA": 8, "PUSHF": 1, "CALL": 1, "CALLF": 2, "ENTER": 1}
POPS = {"POP": 1, "POPA": 8, "POPF": 1, "RET": 1, "RETF": 2, "IRET": 3, "LEAVE": 1}


@dataclass(frozen=True)
class Access:
    """One access to memory: which, in which segment by default, and how."""

    what: str  #: operand, source, destination, table, push, pop
    segment: int
    size: int  #: bytes of the piece that is touched first
    total: int
    reads: bool
    writes: bool

    @property
    def last(self) -> int:
        """Offset of the piece that is touched last, 0 if the access is of one piece."""
        return self.total - self.size

    @property
    def overridable(self) -> bool:
        return self.what in ("operand", "source", "table")


def operation(row: Row) -> str:
    """The mnemonic; MOV of control and debug registers are instructions of their own."""
    for letter in "CD":
        if any(o == letter + "d" for o in row.operands):
            return "MOV" + letter
    return row.operation


def sizes(row: Row) -> tuple[int, ...]:
    """Operand sizes of a row in bits; 0 where there is none to speak of."""
    widths = {o[1:] for o in row.operands if o not in IMPLIED or o == "rAX"}
    if row.operation in AREAS and not row.operation.startswith("FX"):
        return (16, 32)
    if widths & {"v", "z", "s", "p", "a", "AX"} or row.operation in SIZED or row.operation == "LEA":
        return (16, 32)
    if "AL" in row.operands or any(o[1:] == "b" and o[0] != "I" for o in row.operands):
        return (8,)
    for letter, size in (("w", 16), ("d", 32), ("q", 64), ("t", 80)):
        if letter in widths:
            return (size,)
    return (0,)


def segment_of(row: Row) -> int | None:
    """The segment register that a row names."""
    return next((SEGMENT_NAMES.index(o) for o in row.operands if o in SEGMENT_NAMES), None)


@dataclass(frozen=True)
class Form:
    """A row in one operand size and mode."""

    row: Row
    size: int
    mode: Mode

    def __str__(self) -> str:
        return f"{self.row} ({self.size}, {self.mode})"

    @cached_property
    def operation(self) -> str:
        return operation(self.row)

    @property
    def width(self) -> int:
        """Bytes of the operand size attribute."""
        return self.size // 8 if self.size in (16, 32) else self.mode.bits // 8

    @cached_property
    def memory_operand(self) -> int | None:
        """Which operand can be memory."""
        codes = self.row.operands
        return next((i for i, o in enumerate(codes) if o[0] in "EMO" and o not in IMPLIED), None)

    @property
    def sizable(self) -> bool:
        """An operand-size prefix chooses the size."""
        return sizes(self.row) == (16, 32)

    @property
    def x87(self) -> bool:
        """Also the two that save and restore the x87 in the layout of later processors."""
        escape = not self.row.two_byte and 0xD8 <= self.row.opcode <= 0xDF
        return escape or self.operation in ("FXSAVE", "FXRSTOR")

    @property
    def register_form_undefined(self) -> bool:
        """The operand must be memory, and no other row takes the register form."""
        row = self.row
        return self.memory_only and not any(
            (other.two_byte, other.opcode, other.reg) == (row.two_byte, row.opcode, row.reg)
            and other.mod != "m"
            and other is not row
            for other in ROWS
        )

    @property
    def lockable(self) -> bool:
        return self.row.lockable

    @cached_property
    def memory_only(self) -> bool:
        row = self.row
        return row.mod == "m" or (any(o[0] == "M" for o in row.operands) and row.has_modrm)

    @property
    def register_only(self) -> bool:
        return self.operation in ("MOVC", "MOVD")

    @cached_property
    def memory_form(self) -> bool:
        """Whether ModRM can name memory."""
        return self.row.has_modrm and not self.register_only and self.row.mod != "r"

    @property
    def register_form(self) -> bool:
        return self.row.has_modrm and not self.memory_only

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Where the operand can be: the forms in which the instruction completes."""
        if not self.row.has_modrm:
            return ("plain",)
        names = ("register",) if self.register_form else ()
        return (*names, "memory") if self.memory_form else names

    # --- permissions -----------------------------------------------------------------

    @property
    def forbidden(self) -> str:
        """The fault that meets every use of the instruction in this mode, or nothing."""
        name, mode = self.operation, self.mode
        if name in UNDEFINED:
            return "#UD opcode"
        if name in PROTECTED_ONLY and not mode.protected:
            return "#UD mode"
        if name in ("SYSENTER", "SYSEXIT") and not mode.pages:
            return "#GP mode"
        if name in PRIVILEGED and mode.cpl:
            return "#GP privilege"
        return ""

    @property
    def iopl(self) -> bool:
        """IOPL decides in this mode."""
        name, mode = self.operation, self.mode
        if mode.v86:
            return name in ("CLI", "STI", "PUSHF", "POPF", "INT", "IRET")
        return mode.cpl == 3 and name in ("CLI", "STI")

    @property
    def asks_io_map(self) -> bool:
        return self.operation in PORTS and self.mode.cpl == 3

    @property
    def holds_traps(self) -> bool:
        """MOV SS and POP SS hold traps off until after the next instruction (3A, 6.8.3)."""
        return self.operation == "POP" and segment_of(self.row) == SS

    # --- segments and jumps ------------------------------------------------------------

    @property
    def loads_segment(self) -> bool:
        """Puts a selector into ES, SS, DS, FS or GS."""
        if self.operation in LOADS_POINTER:
            return True
        if self.operation == "POP" and segment_of(self.row) is not None:
            return True
        return self.row.operands[:1] == ("Sw",)

    @property
    def jumps(self) -> bool:
        """Near transfers: a new EIP in the same segment."""
        return self.operation in LOOPS or self.operation in ("Jcc", "JMP", "CALL", "RET")

    @property
    def far(self) -> bool:
        return self.operation in FAR

    @property
    def interrupts(self) -> bool:
        return self.operation in SOFTWARE_INTERRUPTS

    # --- memory ------------------------------------------------------------------------

    def operand_bytes(self) -> int:
        """Bytes of the memory operand."""
        if self.operation in ("SLDT", "STR", "SMSW") or "Sw" in self.row.operands:
            return 2
        if self.operation in AREAS:
            return AREAS[self.operation][self.width == 4]
        assert self.memory_operand is not None
        width = self.row.operands[self.memory_operand][1:]
        if width in ("a", "p"):
            return 2 * self.width if width == "a" else self.width + 2
        return MEMORY_WIDTHS.get(width, self.width)

    def first_piece(self, total: int) -> int:
        """Bytes of the first part of an operand that is loaded or stored in parts."""
        assert self.memory_operand is not None
        kind = self.row.operands[self.memory_operand][1:]
        return {"a": self.width, "p": self.width, "s": 2}.get(kind, total)

    @cached_property
    def accesses(self) -> tuple[Access, ...]:
        """Data accesses, memory operand included, in no particular order."""
        found = []
        name = self.operation
        if self.memory_operand is not None and name not in NO_ACCESS:
            first = self.memory_operand == 0
            writes = name in WRITTEN if self.x87 else first and name not in ONLY_READ
            reads = not writes or name not in WRITTEN
            total = self.operand_bytes()
            found.append(Access("operand", DS, self.first_piece(total), total, reads, writes))
        size = 1 if self.size == 8 else self.width
        if name in STRINGS:
            if name in ("MOVS", "CMPS", "LODS", "OUTS"):
                found.append(Access("source", DS, size, size, True, False))
            if name in ("MOVS", "STOS", "INS"):
                found.append(Access("destination", ES, size, size, False, True))
            if name in ("CMPS", "SCAS"):
                found.append(Access("destination", ES, size, size, True, False))
        if name == "XLAT":
            found.append(Access("table", DS, 1, 1, True, False))
        if self.interrupts and self.mode.cpl == 0:  # else the frame is on the stack of ring 0
            size = self.mode.bits // 8
            found.append(Access("push", SS, size, 3 * size, False, True))
        if name in PUSHES:
            count = PUSHES[name]
            found.append(Access("push", SS, self.width, count * self.width, False, True))
        if name in POPS:
            count = POPS[name]
            found.append(Access("pop", SS, self.width, count * self.width, True, False))
        return tuple(found)

    # --- flags -------------------------------------------------------------------------

    def undefined_flags(self, count: int | None = None) -> str:
        """Letters of the flags that the manual leaves undefined, for a shift by its count."""
        name = self.operation
        undefined = FLAGS_WRITTEN_UNDEFINED.get(name, ("", ""))[1]
        if name in ("SHL", "SHR", "SAR", "SHLD", "SHRD", "ROL", "ROR", "RCL", "RCR") and count is not None:
            undefined = undefined if count else ""
            if count > 1:
                undefined += "o"
            if name in ("SHL", "SHR", "SHLD", "SHRD") and count >= max(self.size, 8):
                undefined += "c"
        return undefined


def forms() -> list[Form]:
    return [Form(row, size, mode) for row in ROWS for size in sizes(row) for mode in MODES]
