"""Traps: the instruction completes, then #DB (3B, chapter 17); or it does not trap at all."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .cases import Case, loadable, workable
from .faults_segments import give_selector
from .forms import Form
from .rules import DB, access_case, base, executes, fault, names, rule


@rule("completes beside", names)
def _beside_breakpoint(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """Data breakpoints on the bytes just before and behind the access: nothing happens."""
    case, access = access_case(form, what, rng)
    begin = case.begins(access)
    first = begin + access.size - access.total if what == "push" else begin
    case.words |= {at.DR: first - 1, at.DR + 1: first + access.total, at.DR + 7: 0x33_0405}
    case.completes = True
    yield case


def trapping(form: Form) -> bool:
    """INT n and its kin clear TF on the way into the handler."""
    return executes(form) and not form.interrupts and not form.holds_traps


def without_stack_load(case: Case) -> Case:
    if case.form.row.operands[:1] == ("Sw",) and case.reg == w.SS:
        case.reg = w.ES
    return case


@rule("#DB step", trapping)
def _single_step(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """TF is set before the instruction: #DB after it, DR6.BS set."""
    for place in form.places:
        case = without_stack_load(workable(form, place, rng))
        case.eflags |= at.TF
        case.completes, case.dr6, case.steps = True, 0xFFFF_4FF0, 2
        yield fault(case, DB)


@rule("#DB held", lambda form: executes(form) and (form.holds_traps or form.row.operands[:1] == ("Sw",)))
def _held_step(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """MOV SS and POP SS hold the trap off until the instruction behind them is done."""
    case = base(form, rng)
    case.reg = w.SS
    give_selector(case, loadable(form, w.SS, rng))
    case.memory.append((case.where + len(case.code()), b"\x90"))
    case.eflags |= at.TF
    case.completes, case.dr6, case.steps = True, 0xFFFF_4FF0, 3
    yield fault(case, DB)


@rule("completes RF", trapping)
def _resumed(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """DR0 names the instruction, but RF is set: it is executed, and RF cleared."""
    case = base(form, rng)
    case.words |= {at.DR: case.where, at.DR + 7: 0x401}
    case.eflags |= at.RF
    case.completes = True
    yield case


@rule("#DB data", lambda form: names(form) if trapping(form) else ())
def _data_breakpoint(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """DR2 names a byte of the access: #DB after the instruction, DR6.B2 set."""
    case, access = access_case(form, what, rng)
    without_stack_load(case)
    kind = 1 if access.writes and not access.reads else 3
    case.words |= {at.DR + 2: case.begins(access), at.DR + 7: 0x410 | kind << 24}
    case.completes, case.dr6, case.steps = True, 0xFFFF_0FF4, 2
    yield fault(case, DB)
