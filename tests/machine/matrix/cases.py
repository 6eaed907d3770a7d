"""A case: one encoding, registers and memory. `workable` makes one that completes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .forms import LOADS_POINTER, Access, Form, segment_of

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
STATUS = 0x8D5
FLAG_BITS = {"o": 0x800, "s": 0x80, "z": 0x40, "a": 0x10, "p": 4, "c": 1}
MSR_STACK = 0x175


@dataclass
class Case:
    form: Form
    place: str  #: register, memory or plain
    registers: list[int]
    eflags: int = 2
    prefixes: bytes = b""
    where: int = w.CODE  #: linear address of the instruction
    linear: int = w.OPERAND  #: and of the memory operand
    reg: int = EDX  #: ModRM.reg, where the opcode does not use it
    rm: int = EBX
    by_ebp: bool = False  #: the memory operand is [EBP + 0], which is in SS
    other_address: bool = False  #: the other address size, by prefix
    immediate: bytes = b""
    memory: list[tuple[int, bytes]] = field(default_factory=list)
    words: dict[int, int] = field(default_factory=dict)  #: words of the processor's row
    pages: dict[int, int] = field(default_factory=dict)  #: flags of page-table entries
    note: str = ""
    # what a fault should be
    vector: int | None = None
    error: int = 0
    cr2: range | None = None
    dr6: int | None = None
    completes: bool = False  #: the oracle of completions says what is left, then comes the trap
    steps: int = 1  #: how many steps until the trap or the fault comes
    repeated: bool = False  #: what is left is one iteration, then comes the fault

    def __str__(self) -> str:
        registers = " ".join(f"{r:08x}" for r in self.registers)
        what = ", ".join(filter(None, (self.code().hex(), self.note)))
        return f"{self.form} {self.place}: {what}; registers {registers} flags {self.eflags:x}"

    # --- encoding --------------------------------------------------------------------

    def code(self) -> bytes:
        form, row = self.form, self.form.row
        out = self.prefixes + (b"\x67" if self.other_address else b"")
        bits = form.mode.bits ^ (48 if self.other_address else 0)
        if form.sizable and form.size != form.mode.bits:
            out += b"\x66"
        out += b"\x0f" if row.two_byte else b""
        out += bytes([row.opcode])
        if row.has_modrm:
            reg = row.reg if row.reg is not None else self.reg
            if self.place == "register":
                rm = getattr(row, "rm", None)
                out += bytes([0xC0 | reg << 3 | (self.rm if rm is None else rm)])
            elif self.by_ebp:
                out += bytes([0x40 | reg << 3 | (6 if bits == 16 else 5), 0])
            elif bits == 16:
                out += bytes([0x06 | reg << 3]) + struct.pack("<H", self.offset(w.DS, self.linear))
            else:
                out += bytes([0x05 | reg << 3]) + struct.pack("<I", self.offset(w.DS, self.linear))
        elif any(o[0] == "O" for o in row.operands):
            offset = self.offset(w.DS, self.linear)
            out += offset.to_bytes(bits // 8, "little")
        return out + self.immediate

    def offset(self, segment: int, linear: int) -> int:
        """Offset of a linear address in a segment of this mode."""
        mask = 0xFFFF if self.form.mode.bits == 16 else 0xFFFF_FFFF
        return linear - self.words.get(at.BASE + segment, self.form.mode.base(segment)) & mask

    def page_entries(self) -> list[tuple[int, bytes]]:
        """The page-table entries that the case changes."""
        return [(w.TABLE + 4 * (page >> 12), (page | flags).to_bytes(4, "little"))
                for page, flags in self.pages.items()]  # fmt: skip

    # --- changing it -----------------------------------------------------------------

    def set_register(self, number: int, value: int, size: int = 4) -> None:
        """A register or its low part; numbers 4 to 7 of bytes are AH to BH."""
        shift = 8 if size == 1 and number > 3 else 0
        number &= 3 if size == 1 else 7
        mask = ((1 << 8 * size) - 1) << shift
        self.registers[number] = self.registers[number] & ~mask | value << shift & mask

    def point(self, number: int, segment: int, linear: int) -> None:
        """Let a register lead to a linear address; 16-bit code leaves its upper half as it is."""
        self.set_register(number, self.offset(segment, linear), self.form.mode.bits // 8)

    def set_operand(self, data: bytes) -> None:
        """The value of the operand that ModRM names."""
        if self.place == "register":
            self.set_register(self.rm, int.from_bytes(data, "little"), len(data))
        else:
            self.memory.append((self.linear, data))

    def put(self, linear: int, *values: int, size: int | None = None) -> None:
        """Words of the operand size, one after the other."""
        size = size or self.form.width
        mask = (1 << 8 * size) - 1
        data = b"".join((v & mask).to_bytes(size, "little") for v in values)
        self.memory.append((linear, data))

    def move(self, access: Access, linear: int) -> None:
        """Let an access begin at a linear address."""
        what = access.what
        if what == "operand":
            self.linear = linear
        elif what == "table":
            self.set_register(EAX, 0, 1)
            self.point(EBX, w.DS, linear)
        elif what == "source":
            self.point(ESI, w.DS, linear)
        elif what == "destination":
            self.point(EDI, w.ES, linear)
        elif what == "push":
            self.point(ESP, w.SS, linear + access.size)
        else:
            self.point(EBP if self.form.operation == "LEAVE" else ESP, w.SS, linear)

    def begins(self, access: Access) -> int:
        """The linear address at which an access begins."""
        if access.what == "operand":
            return self.linear
        if access.what == "table":
            return w.SOURCE + (self.registers[EAX] & 0xFF)
        fixed = {"source": w.SOURCE, "destination": w.DESTINATION, "pop": w.STACK}
        return fixed.get(access.what, w.STACK - access.size)


def code_selector(form: Form) -> int:
    return form.mode.selectors[w.CS]


def loadable(form: Form, segment: int, rng: random.Random) -> int:
    """A selector that can be loaded into a segment register, and is another than before."""
    mode = form.mode
    if not mode.protected:
        return w.OTHER_BASE >> 4
    if segment == w.SS and mode.cpl == 0:
        return rng.choice((w.OTHER_SS, w.FRESH_SS))
    return rng.choice((w.OTHER, w.FRESH)) | mode.cpl


def condition_flags(code: int, holds: bool) -> int:
    """EFLAGS in which a condition code (the low half of the opcode) holds, or does not."""
    yes = {0: "o", 2: "c", 4: "z", 6: "z", 8: "s", 10: "p", 12: "s", 14: "s"}[code & 14]
    return FLAG_BITS[yes] if holds != bool(code & 1) else 0


# --- what each operation needs to complete -------------------------------------------------

Prepare = Callable[[Case, random.Random], None]
PREPARE: dict[str, Prepare] = {}


def prepares(names: str) -> Callable[[Prepare], Prepare]:
    def register(function: Prepare) -> Prepare:
        PREPARE.update(dict.fromkeys(names.split(), function))
        return function

    return register


@prepares("DIV IDIV")
def _divide(case: Case, rng: random.Random) -> None:
    size = max(case.form.size, 8) // 8
    case.set_register(EAX, rng.randrange(0x3F), 4)
    case.registers[EDX] = 0
    case.set_operand(rng.randrange(0x40, 0x7F).to_bytes(size, "little"))


@prepares("ROL ROR RCL RCR SHL SHR SAR SHLD SHRD")
def _shift(case: Case, rng: random.Random) -> None:
    count = rng.choice((1, 1, 3, 7))
    if "CL" in case.form.row.operands:
        case.set_register(ECX, count, 1)
    elif "Ib" in case.form.row.operands:
        case.immediate = bytes([count])


@prepares("BT BTS BTR BTC")
def _bit(case: Case, rng: random.Random) -> None:
    if "Gv" in case.form.row.operands:
        case.set_register(case.reg, rng.randrange(16))


@prepares("CMPXCHG")
def _compare_exchange(case: Case, rng: random.Random) -> None:
    if rng.random() < 0.5:
        size = case.form.size // 8
        value = case.registers[EAX] & ((1 << 8 * size) - 1)
        case.set_operand(value.to_bytes(size, "little"))


@prepares("CMPXCHG8B")
def _compare_exchange_8(case: Case, rng: random.Random) -> None:
    if rng.random() < 0.5:
        case.set_operand(struct.pack("<II", case.registers[EAX], case.registers[EDX]))


@prepares("BOUND")
def _bound(case: Case, rng: random.Random) -> None:
    case.set_register(case.reg, 50, case.form.width)
    case.put(case.linear, -rng.randrange(1000) & 0xFFFF_FFFF, rng.randrange(50, 100))


@prepares("XLAT")
def _table(case: Case, rng: random.Random) -> None:
    case.point(EBX, w.DS, w.SOURCE)
    case.set_register(EAX, rng.randrange(64), 1)
    case.memory.append((w.SOURCE, rng.randbytes(64)))


@prepares("LOOP LOOPE LOOPNE JCXZ")
def _loop(case: Case, rng: random.Random) -> None:
    case.registers[ECX] = rng.choice((0x10001, 0x20002)) + rng.randrange(3)
    if case.form.operation == "JCXZ":
        case.registers[ECX] *= rng.randrange(2)
    case.immediate = b"\x10"


@prepares("JMP CALL Jcc")
def _jump(case: Case, rng: random.Random) -> None:
    kind = case.form.row.operands[0]
    if kind == "Ev":
        case.set_operand(case.offset(w.CS, w.TARGET).to_bytes(case.form.width, "little"))
    else:
        case.immediate = (0x10).to_bytes(1 if kind == "Jb" else case.form.width, "little")


@prepares("RET")
def _return(case: Case, rng: random.Random) -> None:
    case.put(w.STACK, case.offset(w.CS, w.TARGET))
    if case.form.row.operands:
        case.immediate = b"\x08\0"


@prepares("CALLF JMPF")
def _far(case: Case, rng: random.Random) -> None:
    pointer = case.offset(w.CS, w.TARGET).to_bytes(case.form.width, "little")
    far_pointer(case, pointer + code_selector(case.form).to_bytes(2, "little"))


def far_pointer(case: Case, pointer: bytes) -> None:
    if case.form.row.operands[0] == "Ap":
        case.immediate = pointer
    else:
        case.set_operand(pointer)


@prepares("RETF IRET")
def _far_return(case: Case, rng: random.Random) -> None:
    flags = rng.randrange(1 << 12) & STATUS | (0x3002 if case.form.mode.v86 else 2)
    case.put(w.STACK, case.offset(w.CS, w.TARGET), code_selector(case.form), flags)
    if case.form.row.operands:
        case.immediate = b"\x08\0"


@prepares("POPF")
def _pop_flags(case: Case, rng: random.Random) -> None:
    flags = rng.randrange(1 << 16) & (STATUS | 0x7600) | 2
    case.put(w.STACK, flags | (rng.choice((0, 0x40000, 0x200000)) if case.form.width == 4 else 0))


@prepares("POP")
def _pop(case: Case, rng: random.Random) -> None:
    segment = segment_of(case.form.row)
    if segment is None:
        case.put(w.STACK, rng.randrange(1 << 32))
    else:
        case.put(w.STACK, loadable(case.form, segment, rng))


@prepares("LEAVE")
def _leave(case: Case, rng: random.Random) -> None:
    case.point(EBP, w.SS, w.STACK)
    case.put(w.STACK, rng.randrange(1 << 32))


@prepares("ENTER")
def _enter(case: Case, rng: random.Random) -> None:
    case.immediate = bytes([0x10, 0, rng.randrange(4)])


@prepares("LDS LES LSS LFS LGS")
def _load_pointer(case: Case, rng: random.Random) -> None:
    selector = loadable(case.form, LOADS_POINTER[case.form.operation], rng)
    case.set_operand(rng.randbytes(case.form.width) + selector.to_bytes(2, "little"))


@prepares("MOV")
def _move(case: Case, rng: random.Random) -> None:
    operands = case.form.row.operands
    if "Sw" in operands:
        choices = (w.ES, w.SS, w.DS, w.FS, w.GS) + ((w.CS,) if operands[1] == "Sw" else ())
        case.reg = rng.choice(choices)
        if operands[0] == "Sw":
            case.set_operand(loadable(case.form, case.reg, rng).to_bytes(2, "little"))


@prepares("MOVC")
def _move_control(case: Case, rng: random.Random) -> None:
    case.reg = rng.choice((0, 2, 3, 4))
    if case.form.row.operands[0] == "Cd":
        status = 0x10 | int(case.form.mode.pages) | rng.choice((0, 2, 4, 8, 0x20, 0x1_0000))
        address = rng.randrange(1 << 32)
        values = {
            0: status,
            2: address,
            3: w.DIRECTORY | rng.choice((0, 8, 16)),
            4: rng.choice((0, 4, 8, 128)),
        }
        case.set_register(case.rm, values[case.reg])


@prepares("MOVD")
def _move_debug(case: Case, rng: random.Random) -> None:
    case.reg = rng.randrange(4)


@prepares("LLDT LTR VERR VERW LAR LSL")
def _selector(case: Case, rng: random.Random) -> None:
    selector = {"LLDT": w.LDT_HERE, "LTR": w.TSS_FREE}.get(case.form.operation, 0)
    if not selector:  # what can be seen of it, and whether, is the instruction's result
        shown = (w.OTHER, w.OTHER | 3, w.OTHER_SS, w.SHORT_CODE, w.SHORT_CODE_3, w.TSS_FREE, w.LDT_HERE)
        selector = rng.choice((*shown, w.TSS_BUSY, w.ABSENT_SYSTEM, w.BEYOND_GDT, 0, 3))
    case.set_operand(selector.to_bytes(2, "little"))


@prepares("ARPL")
def _adjust(case: Case, rng: random.Random) -> None:
    # raised, and so written; what is not raised has a test in test_transfers
    case.set_operand((w.OTHER | rng.randrange(2)).to_bytes(2, "little"))
    case.set_register(case.reg, w.OTHER | rng.randrange(2, 4), 2)


@prepares("LMSW")
def _machine_status(case: Case, rng: random.Random) -> None:
    paged = int(case.form.mode.pages)
    case.set_operand((rng.randrange(1 << 12) << 4 | rng.randrange(8) << 1 | paged).to_bytes(2, "little"))


@prepares("LGDT LIDT")
def _table_register(case: Case, rng: random.Random) -> None:
    case.set_operand(struct.pack("<HI", rng.randrange(1 << 16), rng.randrange(1 << 32)))


@prepares("WRMSR RDMSR")
def _model_specific(case: Case, rng: random.Random) -> None:
    case.registers[ECX] = MSR_STACK
    case.words[at.SYSENTER_ESP] = 0x1234_5678


@prepares("SYSENTER SYSEXIT")
def _fast_call(case: Case, rng: random.Random) -> None:
    case.words |= {at.SYSENTER_CS: w.CODE16, at.SYSENTER_EIP: w.TARGET, at.SYSENTER_ESP: w.STACK0}
    case.registers[ECX], case.registers[EDX] = w.STACK, w.TARGET


@prepares("CPUID")
def _identify(case: Case, rng: random.Random) -> None:
    case.registers[EAX] = 0


@prepares("IN OUT INS OUTS")
def _port(case: Case, rng: random.Random) -> None:
    set_port(case, w.OPEN_PORT)


def set_port(case: Case, port: int) -> None:
    if "Ib" in case.form.row.operands:
        case.immediate = bytes([port])
    else:
        case.set_register(EDX, port, 2)


@prepares("INT")
def _interrupt(case: Case, rng: random.Random) -> None:
    case.immediate = b"\x30"


@prepares("AAM AAD")
def _adjust_ascii(case: Case, rng: random.Random) -> None:
    case.immediate = b"\x0a"


@prepares("INTO")
def _overflow(case: Case, rng: random.Random) -> None:
    case.eflags &= ~0x800


def _immediate(form: Form, rng: random.Random) -> bytes:
    out = b""
    for code in form.row.operands:
        if code[0] == "I":
            out += rng.randbytes({"b": 1, "s": 1, "w": 2}.get(code[1], form.width))
    return out


def workable(form: Form, place: str, rng: random.Random, linear: int = w.OPERAND) -> Case:
    """A case in which the instruction completes (where the mode lets it)."""
    case = Case(form, place, [rng.randrange(1 << 32) for _ in range(8)], linear=linear)
    case.eflags = 2 | rng.randrange(1 << 12) & (STATUS | 0x400)
    if form.mode.cpl:
        case.eflags |= 0x3000  # IOPL 3, so that IOPL is nobody's problem but its own cells'
    case.point(ESP, w.SS, w.STACK)
    case.point(EBP, w.SS, w.STACK + 0x40)
    case.point(ESI, w.DS, w.SOURCE)
    case.point(EDI, w.ES, w.DESTINATION)
    case.memory += [(w.SOURCE, rng.randbytes(16)), (w.DESTINATION, rng.randbytes(16))]
    case.memory += [(w.STACK, rng.randbytes(0x40))]
    if form.memory_operand is not None and form.operation not in ("JMP", "CALL"):
        case.memory.append((case.linear, rng.randbytes(16)))
    case.immediate = _immediate(form, rng)
    prepare = PREPARE.get(form.operation)
    if prepare:
        prepare(case, rng)
    return case
