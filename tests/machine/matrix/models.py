"""Completions that Unicorn cannot judge: the manual's pseudo-code, written again in Python.

What needs descriptors, gates, ports or the system registers is here. A model says what is
different afterwards; the bench checks that nothing else is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .bench import Expected
from .cases import EAX, EBP, EBX, ECX, EDI, EDX, ESI, ESP, STATUS, Case, code_selector
from .forms import LOADS_POINTER, Form, segment_of

Model = Callable[[Case], Expected]
MODELS: dict[str, Model] = {}
WORD32 = 0xFFFF_FFFF


def model(names: str) -> Callable[[Model], Model]:
    def register(function: Model) -> Model:
        MODELS.update(dict.fromkeys(names.split(), function))
        return function

    return register


def model_of(form: Form) -> Model | None:
    """The model of a form, or None: Unicorn judges it."""
    name = form.operation
    if name == "PUSH" and segment_of(form.row) is not None:
        return push_segment
    if name == "POP" and segment_of(form.row) is not None:
        return pop_segment
    if name == "MOV" and "Sw" in form.row.operands:
        return move_to_segment if form.row.operands[0] == "Sw" else move_from_segment
    return MODELS.get(name)


# --- helpers ---------------------------------------------------------------------------


def next_eip(case: Case) -> int:
    return case.offset(w.CS, case.where) + len(case.code())


def done(case: Case) -> Expected:
    """Completed, EIP at the next instruction."""
    return Expected({at.RIP: next_eip(case)})


def part(old: int, value: int, size: int) -> int:
    """A register whose low bytes take a value."""
    mask = (1 << 8 * size) - 1
    return old & ~mask | value & mask


def contents(case: Case, linear: int, size: int) -> int:
    """Memory as it is before the instruction."""
    data = bytearray(w.IMAGE[linear : linear + size])
    for address, written in case.memory:
        for i, byte in enumerate(written):
            if 0 <= address + i - linear < size:
                data[address + i - linear] = byte
    return int.from_bytes(data, "little")


def operand(case: Case, size: int) -> int:
    if case.place == "register":
        return case.registers[case.rm] & ((1 << 8 * size) - 1)
    return contents(case, case.linear, size)


def store(case: Case, expected: Expected, value: int, size: int, memory_size: int = 0) -> None:
    """Into the operand that ModRM names; some instructions write less to memory."""
    if case.place == "register":
        expected.words[case.rm] = part(case.registers[case.rm], value, size)
    else:
        size = memory_size or size
        expected.memory.append((case.linear, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")))


def stack_size(case: Case) -> int:
    return case.form.mode.bits // 8


def move_stack(case: Case, expected: Expected, by: int) -> None:
    pointer = case.registers[ESP]
    expected.words[ESP] = part(pointer, pointer + by, stack_size(case))


def push(case: Case, expected: Expected, *values: int) -> None:
    size = case.form.width
    place = w.STACK
    for value in values:
        place -= size
        expected.memory.append((place, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")))
    move_stack(case, expected, -size * len(values))


def segment(case: Case, expected: Expected, number: int, selector: int) -> None:
    """What a segment register holds after it was loaded."""
    expected.words[at.SELECTOR + number] = selector
    if not case.form.mode.protected:
        expected.words[at.BASE + number] = selector << 4
        if case.form.mode.v86:  # in real mode the limit stays what it was
            expected.words[at.LIMIT + number] = 0xFFFF
        return
    descriptor = w.NAMES[selector & ~7]
    expected.words[at.BASE + number] = descriptor.base
    expected.words[at.LIMIT + number] = descriptor.limit
    expected.words[at.ATTRIBUTES + number] = descriptor.attributes | 1
    if not descriptor.kind & 1:  # a first use is noted in the table
        expected.memory.append((w.GDT + (selector & ~7) + 5, bytes([descriptor.kind | 1])))


def whole_flags(case: Case) -> int:
    """EFLAGS with VM, which a case does not say."""
    return case.eflags | (at.VM if case.form.mode.v86 else 0) | 2


# --- segment registers --------------------------------------------------------------------


def push_segment(case: Case) -> Expected:
    """2B, PUSH: 32 bits of operand size write at least the selector; the P6 writes zeros above."""
    expected = done(case)
    number = segment_of(case.form.row)
    assert number is not None
    push(case, expected, case.form.mode.selectors[number])
    return expected


def pop_segment(case: Case) -> Expected:
    expected = done(case)
    number = segment_of(case.form.row)
    assert number is not None
    segment(case, expected, number, contents(case, w.STACK, 2))
    move_stack(case, expected, case.form.width)
    return expected


def move_to_segment(case: Case) -> Expected:
    expected = done(case)
    segment(case, expected, case.reg, operand(case, 2))
    return expected


def move_from_segment(case: Case) -> Expected:
    """2B, MOV: a 32-bit register is zero-extended, memory is always 16 bits."""
    expected = done(case)
    store(case, expected, case.form.mode.selectors[case.reg], case.form.width, 2)
    return expected


@model("LDS LES LSS LFS LGS")
def load_pointer(case: Case) -> Expected:
    expected = done(case)
    width = case.form.width
    segment(case, expected, LOADS_POINTER[case.form.operation], contents(case, case.linear + width, 2))
    value = contents(case, case.linear, width)
    expected.words[case.reg] = part(case.registers[case.reg], value, width)
    return expected


# --- far transfers ------------------------------------------------------------------------


def go_far(case: Case, expected: Expected, selector: int, offset: int) -> None:
    segment(case, expected, w.CS, selector)
    expected.words[at.RIP] = offset


@model("JMPF CALLF")
def far(case: Case) -> Expected:
    expected, width = Expected(), case.form.width
    if case.form.row.operands[0] == "Ap":
        pointer = int.from_bytes(case.immediate, "little")
    else:
        pointer = contents(case, case.linear, width + 2)
    if case.form.operation == "CALLF":
        push(case, expected, code_selector(case.form), next_eip(case))
    go_far(case, expected, pointer >> 8 * width, pointer & ((1 << 8 * width) - 1))
    return expected


@model("RETF")
def far_return(case: Case) -> Expected:
    expected, width = Expected(), case.form.width
    go_far(case, expected, contents(case, w.STACK + width, 2), contents(case, w.STACK, width))
    released = 8 if case.form.row.operands else 0
    move_stack(case, expected, 2 * width + released)
    change_stack(case, expected, w.STACK + 2 * width + released, released)
    return expected


def change_stack(case: Case, expected: Expected, place: int, released: int = 0) -> None:
    """A return to an outer ring: SS:ESP from the stack; what DPL forbids becomes null."""
    if expected.words[at.SELECTOR + w.CS] & 3 == case.form.mode.cpl or not case.form.mode.protected:
        return
    expected.words[at.CPL] = 3
    expected.words[ESP] = contents(case, place, 4) + released
    segment(case, expected, w.SS, contents(case, place + 4, 2))
    for number in (w.ES, w.DS, w.FS, w.GS):
        for field in (at.SELECTOR, at.BASE, at.LIMIT, at.ATTRIBUTES):
            expected.words[field + number] = 0


@model("IRET")
def interrupt_return(case: Case) -> Expected:
    """2A, IRET; to the same privilege. IOPL changes in ring 0, IF where IOPL allows."""
    expected, width = Expected(), case.form.width
    go_far(case, expected, contents(case, w.STACK + width, 2), contents(case, w.STACK, width))
    move_stack(case, expected, 3 * width)
    change_stack(case, expected, w.STACK + 3 * width)
    expected.eflags = popped_flags(case, contents(case, w.STACK + 2 * width, width))
    if width == 4:  # RF comes from the image, too: it is clear there
        expected.eflags &= ~at.RF
    return expected


def popped_flags(case: Case, image: int) -> int:
    """EFLAGS after POPF or IRET (2B, POPF, table 4-15)."""
    mode = case.form.mode
    changes = STATUS | at.TF | at.IF | at.DF | at.NT
    if case.form.width == 4:
        changes |= at.AC | at.ID
    if mode.cpl == 0:
        changes |= at.IOPL_MASK
    return whole_flags(case) & ~changes | image & changes | 2


@model("INT INT3 INTO INT1")
def software_interrupt(case: Case) -> Expected:
    """Through the interrupt table, or through an interrupt gate to ring 0 (3A, 6.12)."""
    mode, expected = case.form.mode, done(case)
    if case.form.operation == "INTO" and not case.eflags & at.OF:
        return expected
    flags = whole_flags(case)
    saved = next_eip(case)
    expected.eflags = flags & ~(at.TF | at.IF)
    if mode is w.REAL or mode is w.P16:
        frame = struct.pack("<HHH", saved, code_selector(case.form), flags & 0xFFFF)
        expected.memory.append((w.STACK - 6, frame))
        move_stack(case, expected, -6)
        expected.words[at.RIP] = w.HANDLER - w.CODE_PAGE
        if mode is w.P16:
            expected.eflags &= ~(at.NT | at.RF | at.VM)
        else:
            expected.eflags &= ~at.AC
        return expected
    expected.eflags &= ~(at.NT | at.RF | at.VM)
    words = [saved, code_selector(case.form), flags]
    top = w.STACK
    if mode.cpl == 3:
        words += [case.registers[ESP], mode.selectors[w.SS]]
        top = w.STACK0
        segment(case_in_ring_0(case), expected, w.SS, w.DATA32)
        expected.words[at.CPL] = 0
    if mode.v86:
        words += [mode.selectors[s] for s in (w.ES, w.DS, w.FS, w.GS)]
        for number in (w.ES, w.DS, w.FS, w.GS):
            for field in (at.SELECTOR, at.BASE, at.LIMIT, at.ATTRIBUTES):
                expected.words[field + number] = 0
    segment(case_in_ring_0(case), expected, w.CS, w.CODE32)
    expected.words[at.RIP] = w.HANDLER
    size = 4 * len(words)
    expected.words[ESP] = (top if mode.cpl == 3 else case.registers[ESP]) - size
    expected.memory.append((top - size, struct.pack(f"<{len(words)}I", *words)))
    return expected


def case_in_ring_0(case: Case) -> Case:
    """The same, for a look at what segments hold in protected mode."""
    return Case(Form(case.form.row, case.form.size, w.P32), case.place, case.registers)


@model("SYSENTER")
def fast_call(case: Case) -> Expected:
    """2B, SYSENTER: flat segments that no table is asked for; VM and IF clear."""
    expected = Expected({at.RIP: case.words[at.SYSENTER_EIP], ESP: case.words[at.SYSENTER_ESP], at.CPL: 0})
    expected.eflags = whole_flags(case) & ~(at.VM | at.IF | at.RF)
    flat(expected, case.words[at.SYSENTER_CS] & 0xFFFC, 0)
    return expected


@model("SYSEXIT")
def fast_return(case: Case) -> Expected:
    expected = Expected({at.RIP: case.registers[EDX], ESP: case.registers[ECX], at.CPL: 3})
    flat(expected, (case.words[at.SYSENTER_CS] + 16) | 3, 0x60)
    return expected


def flat(expected: Expected, selector: int, level: int) -> None:
    for number, chosen, kind in ((w.CS, selector, 0xC09B), (w.SS, selector + 8, 0xC093)):
        expected.words[at.SELECTOR + number] = chosen
        expected.words[at.BASE + number] = 0
        expected.words[at.LIMIT + number] = WORD32
        expected.words[at.ATTRIBUTES + number] = kind | level


# --- flags ---------------------------------------------------------------------------------


@model("PUSHF")
def push_flags(case: Case) -> Expected:
    """2B, PUSHF: VM and RF read as zero."""
    expected = done(case)
    push(case, expected, whole_flags(case) & ~(at.VM | at.RF))
    return expected


@model("POPF")
def pop_flags(case: Case) -> Expected:
    expected, width = done(case), case.form.width
    expected.eflags = popped_flags(case, contents(case, w.STACK, width))
    move_stack(case, expected, width)
    return expected


@model("CLI STI")
def interrupt_flag(case: Case) -> Expected:
    expected = done(case)
    on = case.form.operation == "STI"
    expected.eflags = whole_flags(case) & ~at.IF | (at.IF if on else 0)
    return expected


@model("SALC")
def set_al_on_carry(case: Case) -> Expected:
    expected = done(case)
    expected.words[EAX] = part(case.registers[EAX], 0xFF if case.eflags & 1 else 0, 1)
    return expected


# --- the stack frame, bounds ----------------------------------------------------------------


@model("ENTER")
def enter(case: Case) -> Expected:
    """2A, ENTER: the frame pointers of the levels above are copied, then the new one is pushed."""
    expected, width = done(case), case.form.width
    level = case.immediate[2] & 31
    frame = case.registers[ESP] - width
    display = w.STACK + 0x40  # where EBP leads in every case
    copied = [contents(case, display - width * i, width) for i in range(1, level)]
    push(case, expected, case.registers[EBP], *copied, *([frame] if level else []))
    expected.words[EBP] = part(case.registers[EBP], frame, case.form.width)
    room = int.from_bytes(case.immediate[:2], "little")
    expected.words[ESP] = part(frame, expected.words[ESP] - room, stack_size(case))
    return expected


@model("BOUND NOP WAIT INVD WBINVD INVLPG")
def nothing(case: Case) -> Expected:
    return done(case)


@model("HLT")
def halt(case: Case) -> Expected:
    expected = done(case)
    expected.words[at.HALTED] = 1
    return expected


# --- ports: nobody claimed them, they read as ones ---------------------------------------------


@model("IN OUT")
def port(case: Case) -> Expected:
    expected = done(case)
    if case.form.operation == "IN":
        size = 1 if case.form.size == 8 else case.form.width
        expected.words[EAX] = part(case.registers[EAX], WORD32, size)
    return expected


@model("INS OUTS")
def port_string(case: Case) -> Expected:
    expected = done(case)
    size = 1 if case.form.size == 8 else case.form.width
    register = EDI if case.form.operation == "INS" else ESI
    step = -size if case.eflags & at.DF else size
    address = case.form.mode.bits // 8
    expected.words[register] = part(case.registers[register], case.registers[register] + step, address)
    if case.form.operation == "INS":
        place = case.form.mode.base(w.ES) + (case.registers[EDI] & ((1 << 8 * address) - 1))
        expected.memory.append((place, b"\xff" * size))
    return expected


# --- selectors and descriptors ---------------------------------------------------------------


@model("ARPL")
def adjust_level(case: Case) -> Expected:
    expected = done(case)
    mine, other = operand(case, 2) & 3, case.registers[case.reg] & 3
    expected.eflags = whole_flags(case) & ~at.ZF
    if mine < other:
        expected.eflags |= at.ZF
        store(case, expected, operand(case, 2) & ~3 | other, 2)
    return expected


#: System descriptors that LAR and LSL accept (2A, LAR and LSL, tables of types)
SYSTEM_TYPES = {"LAR": (1, 2, 3, 4, 5, 9, 11, 12), "LSL": (1, 2, 3, 9, 11), "VERR": (), "VERW": ()}


def visible(case: Case, selector: int) -> bool:
    """Whether LAR, LSL, VERR or VERW (2A and 2B) may see a descriptor of the GDT."""
    name, descriptor = case.form.operation, w.NAMES.get(selector & ~7)
    if selector < 4 or selector & 4 or descriptor is None:
        return False
    kind, level = descriptor.kind, descriptor.kind >> 5 & 3
    conforming = kind & 0x1C == 0x1C
    if not conforming and level < max(case.form.mode.cpl, selector & 3):
        return False
    if not kind & 0x10:
        return kind & 15 in SYSTEM_TYPES[name]
    if name == "VERR":
        return not kind & 8 or bool(kind & 2)
    return name != "VERW" or kind & 0xA == 2


@model("VERR VERW LAR LSL")
def look(case: Case) -> Expected:
    """ZF says whether the descriptor can be seen; LAR and LSL then tell of it."""
    expected, width = done(case), case.form.width
    expected.eflags = whole_flags(case) & ~at.ZF
    selector = operand(case, 2)
    if not visible(case, selector):
        return expected
    expected.eflags |= at.ZF
    descriptor = w.NAMES[selector & ~7]
    if case.form.operation in ("LAR", "LSL"):
        value = descriptor.attributes << 8 if case.form.operation == "LAR" else descriptor.limit
        expected.words[case.reg] = part(case.registers[case.reg], value, width)
    return expected


@model("SLDT STR SMSW")
def store_word(case: Case) -> Expected:
    """2B: memory takes 16 bits; a 32-bit register is zero-extended, and SMSW gives all of CR0."""
    expected = done(case)
    value = {"SLDT": 0, "STR": w.TSS_BUSY, "SMSW": cr0(case)}[case.form.operation]
    store(case, expected, value, case.form.width, 2)
    return expected


def cr0(case: Case) -> int:
    return case.words.get(at.CR0, 0x10 | int(case.form.mode.pages))


@model("LLDT LTR")
def load_table(case: Case) -> Expected:
    expected = done(case)
    selector = operand(case, 2)
    descriptor = w.NAMES[selector]
    number, kind = at.LDTR, descriptor.kind
    if case.form.operation == "LTR":
        number, kind = at.TR, kind | 2  # busy
        expected.memory.append((w.GDT + selector + 5, bytes([kind])))
    expected.words[at.SELECTOR + number] = selector
    expected.words[at.BASE + number] = descriptor.base
    expected.words[at.LIMIT + number] = descriptor.limit
    expected.words[at.ATTRIBUTES + number] = kind
    return expected


@model("SGDT SIDT")
def store_table(case: Case) -> Expected:
    expected = done(case)
    base, limit = 0, 0xFFFF
    if case.form.mode.pages:
        base, limit = w.GDT, w.GDT_LIMIT
    if case.form.operation == "SIDT":
        base, limit = interrupt_table(case.form)
    expected.memory.append((case.linear, struct.pack("<HI", limit, base)))
    return expected


def interrupt_table(form: Form) -> tuple[int, int]:
    if not form.mode.pages:
        return 0, 0x3FF
    return (w.IDT16 if form.mode is w.P16 else w.IDT32), 8 * w.VECTORS - 1


@model("LGDT LIDT")
def load_table_register(case: Case) -> Expected:
    """2A, LGDT: a 16-bit operand size takes 24 bits of the base."""
    expected = done(case)
    base = contents(case, case.linear + 2, 4)
    places = (at.GDTR_BASE, at.GDTR_LIMIT) if case.form.operation == "LGDT" else (at.IDTR_BASE, at.IDTR_LIMIT)
    expected.words[places[0]] = base if case.form.width == 4 else base & 0xFF_FFFF
    expected.words[places[1]] = contents(case, case.linear, 2)
    return expected


# --- control, debug and model-specific registers ------------------------------------------------


@model("LMSW")
def load_status(case: Case) -> Expected:
    """2A, LMSW: the low four bits of CR0; PE is never cleared."""
    expected = done(case)
    expected.words[at.CR0] = cr0(case) & ~0xE | operand(case, 2) & 0xF
    return expected


@model("CLTS")
def clear_task_switched(case: Case) -> Expected:
    expected = done(case)
    expected.words[at.CR0] = cr0(case) & ~8
    return expected


CONTROL = {0: at.CR0, 2: at.CR2, 3: at.CR3, 4: at.CR4}


@model("MOVC")
def move_control(case: Case) -> Expected:
    expected = done(case)
    expected.undefined = STATUS
    if case.form.row.operands[0] == "Cd":
        expected.words[CONTROL[case.reg]] = case.registers[case.rm]
    else:
        values = {0: cr0(case), 2: 0, 3: w.DIRECTORY, 4: 0}
        expected.words[case.rm] = values[case.reg]
    return expected


@model("MOVD")
def move_debug(case: Case) -> Expected:
    expected = done(case)
    expected.undefined = STATUS
    if case.form.row.operands[0] == "Dd":
        expected.words[at.DR + case.reg] = case.registers[case.rm]
    else:
        expected.words[case.rm] = case.words.get(at.DR + case.reg, 0)
    return expected


@model("RDTSC")
def time_stamp(case: Case) -> Expected:
    """The count has begun at zero: EDX is still zero, EAX is anybody's guess."""
    expected = done(case)
    expected.words[EDX] = 0
    expected.free = frozenset((EAX,))
    return expected


@model("RDMSR")
def read_msr(case: Case) -> Expected:
    expected = done(case)
    expected.words |= {EAX: case.words[at.SYSENTER_ESP], EDX: 0}
    return expected


@model("WRMSR")
def write_msr(case: Case) -> Expected:
    expected = done(case)
    expected.words[at.SYSENTER_ESP] = case.registers[EAX]
    return expected


@model("CPUID")
def identify(case: Case) -> Expected:
    """Leaf 0: the highest leaf, and the vendor in EBX, EDX, ECX."""
    expected = done(case)
    name = b"GenuineIntel"
    b, d, c = struct.unpack("<III", name)
    expected.words |= {EAX: 2, EBX: b, EDX: d, ECX: c}
    return expected
