"""Loading segment registers, LDTR and TR (3A, 5.4 to 5.7)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from . import world as w
from .cases import Case, far_pointer
from .forms import LOADS_POINTER, Form, segment_of
from .rules import GP, NP, PF, SS, absent, base, executes, far, fault, one, rule

READS_DESCRIPTOR = frozenset("LLDT LTR VERR VERW LAR LSL".split())


@rule(
    "#PF descriptor",
    lambda form: executes(form) and (loads_data(form) or far(form) or form.operation in READS_DESCRIPTOR),
)
def _absent_descriptor(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The page of the GDT is absent: #PF, error code 0."""
    case = base(form, rng)
    if form.operation in READS_DESCRIPTOR:
        give_selector(case, w.LDT_HERE)
    case.cr2 = range(w.GDT, w.GDT + w.GDT_LIMIT)
    yield fault(absent(case, w.GDT), PF)


def give_selector(case: Case, selector: int) -> None:
    """Let the instruction load this selector."""
    form, name = case.form, case.form.operation
    offset = case.offset(w.CS, w.TARGET)
    if name in ("CALLF", "JMPF"):
        far_pointer(case, offset.to_bytes(form.width, "little") + selector.to_bytes(2, "little"))
    elif name in ("RETF", "IRET"):
        case.put(w.STACK, offset, selector, 2)
    elif name == "POP":
        case.put(w.STACK, selector)
    elif name in LOADS_POINTER:
        case.set_operand(bytes(form.width) + selector.to_bytes(2, "little"))
    else:
        case.set_operand(selector.to_bytes(2, "little"))


def targets(form: Form) -> tuple[int, ...]:
    """Segment registers that a form can load."""
    if form.operation in LOADS_POINTER:
        return (LOADS_POINTER[form.operation],)
    named = segment_of(form.row)
    return (named,) if named is not None else (w.ES, w.SS, w.DS, w.FS, w.GS)


def selector_cases(
    form: Form, rng: random.Random, choose: Callable[[int], list[tuple[int, int, int]]]
) -> Iterator[Case]:
    """`choose` maps a segment register to (selector, vector, error code) triples."""
    for segment in targets(form):
        for selector, vector, error in choose(segment):
            case = base(form, rng)
            if form.row.operands[:1] == ("Sw",):
                case.reg = segment
            give_selector(case, selector)
            yield fault(case, vector, error, note=f"selector {selector:#x} for segment {segment}")


def loads_data(form: Form) -> bool:
    return form.mode.protected and form.loads_segment


@rule("#GP selector", loads_data)
def _bad_selector(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """Beyond the table, a system descriptor, a privilege that is lacking: #GP(selector)."""
    level = form.mode.cpl

    def choose(segment: int) -> list[tuple[int, int, int]]:
        bad = [w.BEYOND_GDT | level, w.TSS_FREE | level, w.LDT_HERE | level, 4 | level]
        if level == 3:
            bad.append(w.DATA_0 | 3)
        if segment == w.SS:
            bad.append(w.OTHER_SS | (level ^ 3))  # RPL is not CPL
        return [(selector, GP, selector & ~3) for selector in bad]

    yield from selector_cases(form, rng, choose)


@rule("#GP null SS", lambda form: loads_data(form) and w.SS in targets(form))
def _null_stack(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """A null selector for SS: #GP(0)."""
    yield from selector_cases(form, rng, lambda s: [(0, GP, 0), (3, GP, 0)] if s == w.SS else [])


@rule("#NP", lambda form: loads_data(form) and targets(form) != (w.SS,))
def _not_present(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The descriptor says absent: #NP(selector)."""
    choice = [(w.ABSENT_DATA | form.mode.cpl, NP, w.ABSENT_DATA)]
    yield from selector_cases(form, rng, lambda s: choice if s != w.SS else [])


@rule("#SS not present", lambda form: loads_data(form) and w.SS in targets(form))
def _stack_not_present(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The same for SS: #SS(selector)."""
    selector = w.ABSENT_DATA if form.mode.cpl else w.ABSENT_SS
    choice = [(selector | form.mode.cpl, SS, selector)]
    yield from selector_cases(form, rng, lambda s: choice if s == w.SS else [])


@rule("#GP table selector", one("LLDT", "LTR"))
def _bad_table(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """Not in the GDT, or of another type: #GP(selector)."""
    bad = [w.BEYOND_GDT, w.OTHER, 4, w.TSS_BUSY]
    for selector in bad:
        case = base(form, rng)
        give_selector(case, selector)
        yield fault(case, GP, selector & ~3, note=f"selector {selector:#x}")


@rule("#NP table", one("LLDT", "LTR"))
def _absent_table(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """An absent LDT or TSS: #NP(selector)."""
    selector = w.ABSENT_SYSTEM if form.operation == "LLDT" else w.ABSENT_TSS
    case = base(form, rng)
    give_selector(case, selector)
    yield fault(case, NP, selector)
