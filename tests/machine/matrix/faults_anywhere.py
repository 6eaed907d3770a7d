"""What can happen to any instruction: in its fetch, by LOCK, or because it is forbidden."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .cases import Case
from .forms import Form
from .rules import (
    DB,
    GP,
    NM,
    PF,
    PRESENT,
    UD,
    USER,
    WRITABLE,
    absent,
    base,
    executes,
    fault,
    protect,
    rule,
    user,
)


def always(form: Form) -> bool:
    return True


@rule("#GP fetch limit", always)
def _fetch_limit(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The last byte lies beyond the limit of CS: #GP(0)."""
    case = base(form, rng)
    case.words[at.LIMIT + w.CS] = case.offset(w.CS, case.where) + len(case.code()) - 2
    yield fault(case, GP)


@rule("#GP length", always)
def _length(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """More than 15 bytes: #GP(0)."""
    case = base(form, rng)
    case.prefixes = b"\x3e" * (16 - len(case.code()))
    yield fault(case, GP)


@rule("#PF fetch", lambda form: form.mode.pages)
def _fetch_page(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The last byte lies in a page that is absent: #PF, CR2 is the first byte of that page."""
    case = base(form, rng)
    case.where = w.NEXT_CODE_PAGE - len(case.code()) + 1
    case.cr2 = range(w.NEXT_CODE_PAGE, w.NEXT_CODE_PAGE + 1)
    yield fault(absent(case, w.NEXT_CODE_PAGE), PF, user(form))
    if form.mode.cpl == 3:
        case = base(form, rng)
        case.where = w.NEXT_CODE_PAGE
        case.cr2 = range(w.NEXT_CODE_PAGE, w.NEXT_CODE_PAGE + 1)
        yield fault(protect(case, w.NEXT_CODE_PAGE, PRESENT | WRITABLE), PF, PRESENT | USER)


@rule("#DB breakpoint", always)
def _breakpoint(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """DR0 names the instruction: #DB before it, DR6.B0 set."""
    case = base(form, rng)
    case.words |= {at.DR: case.where, at.DR + 7: 0x401}
    case.dr6 = 0xFFFF_0FF1
    yield fault(case, DB)


@rule("#UD LOCK", lambda form: not form.lockable or form.register_form)
def _lock(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """LOCK with an instruction that does not take it, or without a memory destination: #UD."""
    for place in form.places:
        if not form.lockable or place == "register":
            case = base(form, rng, place)
            case.prefixes = b"\xf0"
            yield fault(case, UD)


@rule("completes LOCK", lambda form: form.lockable and form.memory_form)
def _locked(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """LOCK with a memory destination: as without, here."""
    case = base(form, rng, "memory")
    case.prefixes, case.completes = b"\xf0", True
    yield case


@rule("#UD register", lambda form: form.register_form_undefined)
def _register_form(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The operand must be memory: #UD."""
    case = base(form, rng)
    case.place = "register"
    yield fault(case, UD)


@rule("", lambda form: (form.forbidden,) if form.forbidden else ())
def _forbidden(form: Form, variant: str, rng: random.Random) -> Iterator[Case]:
    """The instruction does not exist in this mode, or is privileged."""
    for place in form.places:
        yield fault(base(form, rng, place), UD if variant.startswith("#UD") else GP)


# --- what is known before the operand is looked at (manual 3A, 6.9: faults of decoding come first) ---


def touches_operand(form: Form) -> bool:
    return form.memory_form and any(access.what == "operand" for access in form.accesses)


def unusable(form: Form, rng: random.Random, vector: int) -> Iterator[Case]:
    """A memory operand beyond the limit, and one in an absent page: neither matters."""
    case = base(form, rng, "memory")
    case.words[at.LIMIT + w.DS] = 0
    yield fault(case, vector, note="limit lowered")
    if form.mode.pages:
        case = base(form, rng, "memory")
        yield fault(absent(case, case.linear & ~0xFFF), vector, note="page absent")


@rule("#UD LOCK first", lambda form: touches_operand(form) and not form.lockable)
def _lock_first(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """LOCK that is not allowed, and an operand that cannot be used: #UD."""
    for case in unusable(form, rng, UD):
        case.prefixes = b"\xf0"
        yield case


def first(form: Form) -> tuple[str, ...]:
    return (f"{form.forbidden} first",) if form.forbidden and touches_operand(form) else ()


@rule("", first)
def _forbidden_first(form: Form, variant: str, rng: random.Random) -> Iterator[Case]:
    """The instruction is forbidden, and its operand cannot be used: the former counts."""
    yield from unusable(form, rng, UD if variant.startswith("#UD") else GP)


@rule("#UD register first", lambda form: executes(form) and form.row.operands[:1] == ("Sw",))
def _register_first(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """MOV to CS or to a segment register that does not exist, from an unusable operand: #UD."""
    for number in (w.CS, 6, 7):
        for case in unusable(form, rng, UD):
            case.reg = number
            yield case


@rule("#NM first", lambda form: executes(form) and form.x87 and touches_operand(form))
def _coprocessor_first(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The x87 must not be used, and the operand cannot be: #NM."""
    for case in unusable(form, rng, NM):
        case.words[at.CR0] = case.words.get(at.CR0, 0x10 | int(form.mode.pages)) | 8
        yield case


def falls_through(form: Form) -> bool:
    return executes(form) and not (form.jumps or form.far or form.interrupts)


@rule("completes at code limit", lambda form: falls_through(form) and "SYS" not in form.operation)
def _at_code_limit(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The last byte of the instruction is the last one of CS."""
    case = base(form, rng)
    case.words[at.LIMIT + w.CS] = case.offset(w.CS, case.where) + len(case.code()) - 1
    case.completes = True
    yield case


@rule("completes in 15 bytes", executes)
def _longest(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """As long as an instruction may be."""
    case = base(form, rng)
    case.prefixes = b"\x3e" * (15 - len(case.code()))
    case.completes = True
    yield case
