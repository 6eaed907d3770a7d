"""Far transfers: code segments, outer stacks, call gates, tasks."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .cases import Case
from .faults_gates import VECTOR_OF, gate_case
from .faults_segments import give_selector
from .forms import Form
from .rules import GP, NP, SS, TS, base, external, far, fault, rule


def far_cases(form: Form, rng: random.Random, triples: list[tuple[int, int, int]]) -> Iterator[Case]:
    for selector, vector, error in triples:
        case = base(form, rng)
        give_selector(case, selector)
        yield fault(case, vector, error, note=f"selector {selector:#x} for CS")


@rule("#GP code selector", far)
def _bad_code(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """Null: #GP(0); beyond the table, data, another privilege: #GP(selector)."""
    level = form.mode.cpl
    bad = [w.BEYOND_GDT | level, w.OTHER | level, w.LDT_HERE | level]
    bad.append((w.CODE32 | 3) if level == 3 else w.CODE32_3)
    yield from far_cases(form, rng, [(0, GP, 0), *((s, GP, s & ~3) for s in bad)])


@rule("#NP code", far)
def _absent_code(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The code segment is absent: #NP(selector)."""
    selector = w.ABSENT_CODE_3 if form.mode.cpl else w.ABSENT_CODE
    yield from far_cases(form, rng, [(selector | form.mode.cpl, NP, selector)])


def outward(form: Form) -> bool:
    """Returns from ring 0 to ring 3, with a stack of its own."""
    return far(form) and form.operation in ("RETF", "IRET") and form.mode.cpl == 0


def return_outward(form: Form, rng: random.Random, stack: int) -> Case:
    case = base(form, rng)
    words = [w.TARGET, w.CODE32_3 | 3]
    if form.operation == "IRET":
        words.append(2 | at.ZF)
    else:
        words += [0] * (len(case.immediate) * 4 // form.width)
    case.put(w.STACK, *words, w.STACK + 0x40, stack)
    return case


@rule("#GP outer stack", outward)
def _bad_outer_stack(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """SS for ring 3 is null: #GP(0); beyond the table, code, or of ring 0: #GP(selector)."""
    for stack in (0, w.BEYOND_GDT | 3, w.CODE32_3 | 3, w.DATA32 | 3, w.DATA32_3 | 1):
        yield fault(return_outward(form, rng, stack), GP, stack & ~3, note=f"SS {stack:#x}")


@rule("#SS outer stack", outward)
def _absent_outer_stack(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """SS for ring 3 is absent: #SS(selector)."""
    yield fault(return_outward(form, rng, w.ABSENT_DATA | 3), SS, w.ABSENT_DATA)


@rule("completes outward", lambda form: outward(form) and form.width == 4)
def _outward(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """To ring 3: segments that ring 3 may not use become null."""
    case = return_outward(form, rng, w.DATA32_3 | 3)
    case.completes = True
    yield case


@rule("#GP far target", lambda form: form.far)
def _far_target(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The offset lies beyond the limit of the new code segment: #GP(0)."""
    if form.mode.protected:
        selector = w.SHORT_CODE_3 | 3 if form.mode.cpl else w.SHORT_CODE
        yield from far_cases(form, rng, [(selector, GP, 0)])
        return
    case = base(form, rng)
    case.words[at.LIMIT + w.CS] = case.offset(w.CS, w.TARGET) - 1
    yield fault(case, GP)


@rule("#GP call gate", lambda form: far(form) and form.operation in ("CALLF", "JMPF"))
def _closed_call_gate(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The RPL of the selector, or CPL, is above the DPL of the gate: #GP(selector)."""
    yield from far_cases(form, rng, [(w.CALL_GATE | 3, GP, w.CALL_GATE)])


@rule("#NP call gate", lambda form: far(form) and form.operation in ("CALLF", "JMPF"))
def _absent_call_gate(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The gate is absent: #NP(selector)."""
    yield from far_cases(form, rng, [(w.ABSENT_GATE | form.mode.cpl, NP, w.ABSENT_GATE)])


def switches_task(form: Form) -> bool:
    """The transfers that can; the TSS of the world has DPL 0."""
    return far(form) and (form.operation == "IRET" or (form.operation != "RETF" and form.mode.cpl == 0))


@rule("#TS", switches_task)
def _short_tss(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """A task switch to a TSS that is too short: #TS(selector). IRET: by a wrong back link."""
    case = base(form, rng)
    if form.operation == "IRET":
        case.eflags |= at.NT
        case.memory.append((w.TSS, w.TSS_FREE.to_bytes(2, "little")))
        yield fault(case, TS, w.TSS_FREE, note="back link to a TSS that is not busy")
    else:
        give_selector(case, w.SHORT_TSS)
        yield fault(case, TS, w.SHORT_TSS)


TASKS = ((w.SHORT_TSS, TS), (w.TSS_BUSY, GP), (w.ABSENT_TSS, NP))  #: none can be switched to
NAMES_OF = {TS: "#TS task", GP: "#GP task", NP: "#NP task"}


def task_rule(selector: int, vector: int) -> None:
    """A TSS that is too short is #TS, a busy one #GP, an absent one #NP, all of its selector."""

    def by_transfer(form: Form) -> bool:
        return form.operation in ("CALLF", "JMPF") and switches_task(form)

    @rule(NAMES_OF[vector], lambda form: by_transfer(form) or (form.interrupts and form.mode.pages))
    def build(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
        """The TSS is too short (#TS), busy (#GP) or absent (#NP): the error code is its selector."""
        if not form.interrupts:
            case = base(form, rng)
            give_selector(case, selector)
            yield fault(case, vector, selector, note="directly")
        for case in through_task_gate(form, rng, selector):
            yield fault(case, vector, selector | external(form), note="through a task gate")


def through_task_gate(form: Form, rng: random.Random, selector: int) -> Iterator[Case]:
    gate = w.gate(selector, 0, 0xE5)
    if form.interrupts:
        case = gate_case(form, rng, 0xE5)
        table = w.IDT16 if form.mode is w.P16 else w.IDT32
        case.memory.append((table + 8 * VECTOR_OF[form.operation], gate))
    else:
        case = base(form, rng)
        case.memory.append((w.GDT + w.CALL_GATE, gate))
        give_selector(case, w.CALL_GATE)
    yield case


for _selector, _vector in TASKS:
    task_rule(_selector, _vector)
