"""Permissions, and faults that belong to single instructions."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .cases import ECX, EDX, Case, condition_flags, set_port
from .forms import Form
from .rules import BR, DB, DE, GP, NM, UD, WORD32, base, executes, fault, one, rule


@rule("#GP IOPL", lambda form: form.iopl)
def _iopl(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """CPL above IOPL: #GP(0)."""
    for level in (0, 2):
        case = base(form, rng)
        case.eflags = case.eflags & ~0x3000 | level << 12
        yield fault(case, GP, note=f"IOPL {level}")


@rule("#GP I/O map", lambda form: form.asks_io_map)
def _io_map(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The I/O permission map closes the port, or does not reach to it: #GP(0)."""
    for port in (w.CLOSED_PORT, 0xF8, 0x1000):
        if port > 0xFF and "Ib" in form.row.operands:
            continue
        case = base(form, rng)
        if not form.mode.v86:
            case.eflags &= ~0x3000
        set_port(case, port)
        yield fault(case, GP, note=f"port {port:#x}")


@rule("#DE", one("DIV", "IDIV", "AAM"))
def _divide(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """Division by zero, or a quotient that does not fit: #DE."""
    if form.operation == "AAM":
        case = base(form, rng)
        case.immediate = b"\0"
        yield fault(case, DE)
        return
    size = max(form.size, 8) // 8
    for place in form.places:
        for divisor, high in ((0, 0), (3, 3), (1, 0x40)):
            case = base(form, rng, place)
            case.set_operand(divisor.to_bytes(size, "little"))
            case.set_register(*((4, high, 1) if size == 1 else (EDX, high, size)))
            yield fault(case, DE, note=f"divisor {divisor}, high half {high:#x}")


@rule("#BR", one("BOUND"))
def _bound(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The index is below the lower or above the upper bound: #BR."""
    for index in (-5, 7):
        case = base(form, rng)
        case.put(case.linear, -4, 6)
        case.set_register(case.reg, index & WORD32, form.width)
        yield fault(case, BR, note=f"index {index}, bounds -4 and 6")


@rule("#OF", one("INTO"))
def _overflow(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """OF is set: through the gate of vector 4."""
    case = base(form, rng)
    case.eflags |= at.OF
    case.completes = True
    yield case


@rule("#NM", lambda form: executes(form) and (form.x87 or form.operation == "WAIT"))
def _not_available(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """x87 with CR0.EM or TS, WAIT with MP and TS: #NM."""
    for bits in (0xA,) if form.operation == "WAIT" else (4, 8):
        for place in form.places:
            case = base(form, rng, place)
            case.words[at.CR0] = 0x10 | bits | int(form.mode.pages)
            yield fault(case, NM, note=f"CR0 bits {bits:#x}")


NUMBERS = {"Cd": (1, 5, 6, 7), "Dd": (4, 5), "Sw": (1, 6, 7)}  #: that do not exist, or not like this


@rule("#UD register number", lambda form: executes(form) and set(form.row.operands) & set(NUMBERS))
def _register_number(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """A register that does not exist, CS as a destination, DR4 with CR4.DE: #UD."""
    for code in form.row.operands:
        for number in NUMBERS.get(code, ()):
            if code == "Sw" and form.row.operands[1] == "Sw" and number == 1:
                continue
            case = base(form, rng)
            case.reg = number
            case.words[at.CR4] = 8
            yield fault(case, UD, note=f"register {number}")


@rule("#DB general detect", one("MOVD"))
def _general_detect(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """DR7.GD: #DB before any use of a debug register, DR6.BD set."""
    case = base(form, rng)
    case.words[at.DR + 7] = 0x2400
    case.dr6 = 0xFFFF_2FF0
    yield fault(case, DB)


@rule(
    "#GP reserved", lambda form: form.operation == "MOVC" and executes(form) and form.row.operands[0] == "Cd"
)
def _reserved(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """PG without PE, NW without CD, reserved bits of CR4: #GP(0)."""
    for number, value in ((0, 0x8000_0010), (0, 0x2000_0011), (4, 0x8000_0000)):
        case = base(form, rng)
        case.reg = number
        case.set_register(case.rm, value)
        yield fault(case, GP, note=f"CR{number} = {value:#x}")


@rule("#GP MSR", one("RDMSR", "WRMSR"))
def _unknown_msr(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """A model-specific register that does not exist: #GP(0)."""
    case = base(form, rng)
    case.registers[ECX] = 0x1234_5678
    yield fault(case, GP)


@rule("#GP TSD", lambda form: form.operation == "RDTSC" and form.mode.cpl == 3)
def _time_stamp(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """CR4.TSD reserves RDTSC for ring 0: #GP(0)."""
    case = base(form, rng)
    case.words[at.CR4] = 4
    yield fault(case, GP)


@rule("#GP null MSR", one("SYSENTER", "SYSEXIT"))
def _no_fast_call(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """SYSENTER_CS is null: #GP(0)."""
    case = base(form, rng)
    case.words[at.SYSENTER_CS] = 0
    yield fault(case, GP)


@rule("#GP target", lambda form: form.jumps)
def _target(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """A near transfer beyond the limit of CS: #GP(0)."""
    for place in form.places:
        case = base(form, rng, place)
        if form.operation == "Jcc":
            case.eflags = case.eflags & ~0x8D5 | condition_flags(form.row.opcode & 15, True)
        elif form.operation == "JCXZ":
            case.registers[ECX] = 0
        elif form.operation in ("LOOP", "LOOPE", "LOOPNE"):
            case.registers[ECX] = 0x20002
            case.eflags = case.eflags & ~0x40 | (0x40 if form.operation == "LOOPE" else 0)
        case.words[at.LIMIT + w.CS] = case.offset(w.CS, case.where) + len(case.code()) - 1
        yield fault(case, GP)
