"""Software interrupts: the gate, and the stack of ring 0 (3A, 6.12)."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .cases import Case
from .forms import Form
from .rules import GP, NP, PF, SS, TS, WRITABLE, absent, base, external, fault, rule


@rule("#PF gate", lambda form: form.interrupts and form.mode.pages)
def _gate_out_of_reach(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The page of the IDT is absent: #PF, error code 0."""
    case = base(form, rng)
    case.eflags |= at.OF
    table = w.IDT16 if form.mode is w.P16 else w.IDT32
    begin = table + 8 * VECTOR_OF[form.operation]
    case.cr2 = range(begin, begin + 8)
    yield fault(absent(case, w.GDT), PF)


@rule("#PF TSS", lambda form: changes_stack(form) or form.asks_io_map)
def _absent_tss(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The page of the TSS is absent when the I/O map or the stack of ring 0 is needed: error code 0."""
    case = base(form, rng)
    case.eflags |= at.OF
    if form.asks_io_map and not form.mode.v86:
        case.eflags &= ~0x3000
    case.cr2 = range(w.TSS, w.TSS + w.TSS_LIMIT + 1)
    yield fault(absent(case, w.TSS), PF)


VECTOR_OF = {"INT": 0x30, "INT3": 3, "INTO": 4, "INT1": 1}


def gate_error(form: Form) -> int:
    """The error code that names the gate; EXT is set for INT1 alone, which no program asked for."""
    return VECTOR_OF[form.operation] << 3 | 2 | (form.operation == "INT1")


def gate_case(form: Form, rng: random.Random, kind: int) -> Case:
    """A case whose gate has another type byte."""
    case = base(form, rng)
    case.eflags |= at.OF
    table = w.IDT16 if form.mode is w.P16 else w.IDT32
    case.memory.append((table + 8 * VECTOR_OF[form.operation] + 5, bytes([kind])))
    return case


@rule("#GP gate", lambda form: form.interrupts)
def _no_gate(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """Beyond the limit of the IDT, or no gate: #GP(vector * 8 + 2)."""
    case = base(form, rng)
    case.eflags |= at.OF
    size = 8 if form.mode.pages else 4
    case.words[at.IDTR_LIMIT] = size * VECTOR_OF[form.operation] + size - 2
    yield fault(case, GP, gate_error(form), note="limit of the IDT")
    if form.mode.pages:
        yield fault(gate_case(form, rng, 0xE9), GP, gate_error(form), note="no gate")


@rule("#NP gate", lambda form: form.interrupts and form.mode.pages)
def _absent_gate(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The gate is absent: #NP(vector * 8 + 2)."""
    kind = 0x66 if form.mode is w.P16 else 0x6E
    yield fault(gate_case(form, rng, kind), NP, gate_error(form))


@rule("#GP gate DPL", lambda form: form.operation in ("INT", "INT3", "INTO") and form.mode.cpl == 3)
def _closed_gate(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The gate has a DPL below CPL: #GP(vector * 8 + 2)."""
    yield fault(gate_case(form, rng, 0x8E), GP, gate_error(form))


def changes_stack(form: Form) -> bool:
    """Through a gate to ring 0, with the stack that the TSS names."""
    return form.interrupts and form.mode.cpl == 3


def inner_stack(form: Form, rng: random.Random, esp: int, ss: int) -> Case:
    case = base(form, rng)
    case.eflags |= at.OF
    case.memory.append((w.TSS + 4, esp.to_bytes(4, "little") + ss.to_bytes(2, "little")))
    return case


@rule("#TS stack", changes_stack)
def _bad_inner_stack(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """SS0 of the TSS is null, beyond the table, of another privilege or read-only: #TS(selector)."""
    for selector in (0, w.BEYOND_GDT, w.DATA32_3 | 3, w.DATA32 | 1, w.CODE32):
        case = inner_stack(form, rng, w.STACK0, selector)
        yield fault(case, TS, selector & ~3 | external(form), note=f"SS0 {selector:#x}")


@rule("#SS stack", changes_stack)
def _no_inner_stack(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """SS0 is absent, or has no room for the frame: #SS(selector)."""
    case = inner_stack(form, rng, w.STACK0, w.ABSENT_SS)
    yield fault(case, SS, w.ABSENT_SS | external(form), note="absent")
    case = inner_stack(form, rng, 8, w.DATA32)
    yield fault(case, SS, w.DATA32 | external(form), note="ESP0 is 8")


@rule("#PF stack", changes_stack)
def _absent_inner_stack(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The page of the stack of ring 0 is absent: #PF of a supervisor's write."""
    case = inner_stack(form, rng, w.STACK0, w.DATA32)
    case.cr2 = range(w.STACK0 - 36, w.STACK0)
    yield fault(absent(case, w.STACK0 - 0x1000), PF, WRITABLE)
