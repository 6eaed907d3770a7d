"""Accesses to memory: limits, rights, pages, alignment; also how far an access may go."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .cases import EAX, EBP, ECX, ESP, Case
from .forms import ALIGNED, STRINGS, Form
from .rules import (
    AC,
    GP,
    PF,
    PRESENT,
    SS,
    USER,
    WRITABLE,
    absent,
    access_case,
    base,
    error_of,
    executes,
    external,
    fault,
    names,
    one,
    pages_of,
    protect,
    rule,
    segment_vector,
    user,
)


def _limit(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The last byte of the access lies beyond the limit: #SS(0) in SS, else #GP(0)."""
    case, access = access_case(form, what, rng)
    begin = case.begins(access)
    limit = case.offset(access.segment, begin) + access.size - 2
    case.words[at.LIMIT + access.segment] = limit
    yield fault(case, segment_vector(access.segment), external(form), note="limit lowered")
    if form.mode.bits == 16 and access.size > 1:
        case, access = access_case(form, what, rng)
        top = form.mode.base(access.segment) + 0xFFFF
        if what == "push":
            case.registers[ESP] = case.registers[ESP] & 0xFFFF_0000 | (access.size - 1)
        else:
            case.move(access, top)
        yield fault(case, segment_vector(access.segment), external(form), note="past FFFF")


rule("#GP limit", lambda form: names(form, lambda a: a.segment != w.SS))(_limit)


rule("#SS limit", lambda form: names(form, lambda a: a.segment == w.SS))(_limit)


@rule("#SS limit", lambda form: names(form, lambda a: a.overridable))
def _stack_override(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The same in SS, by a prefix or by EBP: #SS(0)."""
    case, access = access_case(form, what, rng)
    case.prefixes = b"\x36"
    offset = case.offset(w.DS, case.begins(access))
    case.words[at.LIMIT + w.SS] = offset + access.size - 2
    if case.offset(w.SS, w.STACK) + 8 < offset:
        case.note = "the stack itself is within its limit"
    yield fault(case, SS)
    if what == "operand" and form.row.has_modrm:
        case, access = access_case(form, what, rng)
        case.by_ebp = True
        case.words[at.LIMIT + w.SS] = case.offset(w.SS, w.STACK) + 0x80 + access.size - 2
        case.point(EBP, w.SS, w.STACK + 0x80)
        yield fault(case, SS, note="by EBP")


@rule("#GP null", lambda form: names(form, lambda a: a.segment != w.SS) if form.mode.protected else ())
def _null(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The segment register holds a null selector: #GP(0)."""
    case, access = access_case(form, what, rng)
    for part in (at.SELECTOR, at.BASE, at.LIMIT, at.ATTRIBUTES):
        case.words[part + access.segment] = 0
    if form.mode.bits == 16:
        case.linear, case.note = w.OPERAND - w.DATA_PAGE, "null"
    yield fault(case, GP)


@rule(
    "#GP read-only",
    lambda form: names(form, lambda a: a.writes and a.segment != w.SS) if form.mode.protected else (),
)
def _read_only(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """A write to a segment that may only be read, or to code: #GP(0)."""
    for kind in (0x91, 0x9B):
        case, access = access_case(form, what, rng)
        kinds = kind | form.mode.attributes(access.segment) & 0x4060
        case.words[at.ATTRIBUTES + access.segment] = kinds
        yield fault(case, GP, note=f"segment of type {kind:#x}")


@rule(
    "#GP execute-only",
    lambda form: names(form, lambda a: a.reads and a.overridable) if form.mode.protected else (),
)
def _execute_only(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """A read from a code segment that may only be executed: #GP(0)."""
    case, _ = access_case(form, what, rng)
    case.prefixes = b"\x2e"
    case.words[at.ATTRIBUTES + w.CS] = form.mode.attributes(w.CS) & ~2
    yield fault(case, GP)


@rule(
    "#GP expand-down",
    lambda form: names(form, lambda a: a.segment != w.SS) if form.mode.protected else (),
)
def _expand_down(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """An expand-down segment, and the access begins at its limit: #GP(0)."""
    case, access = access_case(form, what, rng)
    segment = access.segment
    case.words[at.ATTRIBUTES + segment] = form.mode.attributes(segment) | 4
    case.words[at.LIMIT + segment] = case.offset(segment, case.begins(access))
    yield fault(case, GP, note="below")
    if access.size > 1 and form.operation not in ALIGNED:
        case, access = access_case(form, what, rng)
        case.move(access, form.mode.base(segment) + 0xFFFF)
        case.words[at.ATTRIBUTES + segment] = 0xF7
        case.words[at.LIMIT + segment] = 0xFF
        yield fault(case, GP, note="past FFFF, with B clear")


@rule(
    "#SS expand-down",
    lambda form: names(form, lambda a: a.segment == w.SS) if form.mode.protected else (),
)
def _expand_down_stack(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """An expand-down stack, and the access begins at its limit: #SS(0)."""
    case, access = access_case(form, what, rng)
    case.words[at.ATTRIBUTES + w.SS] = form.mode.attributes(w.SS) | 4
    case.words[at.LIMIT + w.SS] = case.offset(w.SS, case.begins(access))
    yield fault(case, SS, external(form))


@rule("completes at limit", names)
def _at_limit(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The last byte of the access is the last one of the segment."""
    case, access = access_case(form, what, rng)
    if form.operation == "ENTER":
        case.immediate = b"\x10\0\0"  # without a display, which lies higher
    size = access.size if what == "push" else access.total
    case.words[at.LIMIT + access.segment] = case.offset(access.segment, case.begins(access)) + size - 1
    case.completes = True
    yield case


@rule("#PF absent", lambda form: names(form) if form.mode.pages else ())
def _absent(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The page is absent: #PF, bit 0 of the error code clear, CR2 the address."""
    case, access = access_case(form, what, rng)
    begin = case.begins(access)
    case.cr2 = pages_of(begin, access)
    yield fault(absent(case, begin & ~0xFFF), PF, error_of(form, access))


@rule("#PF user", lambda form: names(form) if form.mode.cpl == 3 else ())
def _supervisor(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The page belongs to the supervisor: #PF with bits 0 and 2 of the error code."""
    case, access = access_case(form, what, rng)
    begin = case.begins(access)
    case.cr2 = pages_of(begin, access)
    yield fault(protect(case, begin & ~0xFFF, PRESENT | WRITABLE), PF, PRESENT | error_of(form, access))


@rule("#PF write", lambda form: names(form, lambda a: a.writes) if form.mode.pages else ())
def _write_protected(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The page may not be written (below ring 3: with CR0.WP): #PF with bits 0 and 1."""
    case, access = access_case(form, what, rng)
    begin = case.begins(access)
    case.cr2 = pages_of(begin, access)
    case.words[at.CR0] = 0x1_0011
    yield fault(protect(case, begin & ~0xFFF, PRESENT | USER), PF, PRESENT | WRITABLE | user(form))


def odd(form: Form) -> tuple[str, ...]:
    """Accesses of several bytes that may be at an odd address."""
    return names(form, lambda a: a.size > 1) if form.operation not in ALIGNED else ()


@rule("#GP alignment", lambda form: executes(form) and form.operation in ALIGNED)
def _not_aligned(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """The operand is not at a multiple of 16: #GP(0)."""
    case = base(form, rng)
    case.linear += 8
    yield fault(case, GP)


@rule("#PF split", lambda form: odd(form) if form.mode.pages else ())
def _split(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The access runs into a page that is absent or may not be written: CR2 is that page."""
    case, access = access_case(form, what, rng)
    page = (case.begins(access) & ~0xFFF) + 0x1000
    begin = page - 1 if what != "push" else page + 1 - access.size
    for flags in (WRITABLE | USER, PRESENT | USER) if access.writes else (WRITABLE | USER,):
        case, _ = access_case(form, what, rng)
        case.move(access, begin)
        case.cr2 = range(page, page + 1)
        case.words[at.CR0] = 0x1_0011
        error = PRESENT | WRITABLE | user(form) if flags & PRESENT else error_of(form, access)
        yield fault(protect(case, page, flags), PF, error)


def in_pieces(form: Form) -> tuple[str, ...]:
    return names(form, lambda a: a.last)


@rule("#PF last piece", lambda form: in_pieces(form) if form.mode.pages else ())
def _last_piece(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """Of several pieces only the last lies in the absent page: the others have not been used."""
    case, access = access_case(form, what, rng)
    if what == "push":
        page = w.STACK_PAGE + 0x1000
        case.move(access, page + access.last - access.size)
        case.cr2 = range(page - access.size, page)
        yield fault(absent(case, w.STACK_PAGE), PF, error_of(form, access))
        return
    page = (case.begins(access) & ~0xFFF) + 0x1000
    case.move(access, page - access.last)
    case.cr2 = range(page, page + access.size)
    yield fault(absent(case, page), PF, error_of(form, access))


def _last_limit(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """Of several pieces only the last ends beyond the limit."""
    case, access = access_case(form, what, rng)
    begin = case.offset(access.segment, case.begins(access))
    if what == "push":  # downwards: the limit of an expand-down segment
        case.words[at.ATTRIBUTES + w.SS] = form.mode.attributes(w.SS) | 4
        case.words[at.LIMIT + w.SS] = begin - access.last
    else:
        case.words[at.LIMIT + access.segment] = begin + access.total - 2
    yield fault(case, segment_vector(access.segment), external(form))


def limit_of_last(form: Form, stack: bool) -> tuple[str, ...]:
    """Pushes need an expand-down segment for it, which only protected mode has."""
    return names(
        form,
        lambda a: a.last and (a.segment == w.SS) == stack and (a.what != "push" or form.mode.protected),
    )


rule("#GP limit last", lambda form: limit_of_last(form, False))(_last_limit)


rule("#SS limit last", lambda form: limit_of_last(form, True))(_last_limit)


@rule("#SS frame", one("ENTER"))
def _no_room(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """ENTER: the new stack pointer would lie beyond the limit: #SS(0)."""
    case = base(form, rng)
    case.immediate = b"\xff\xff\0"
    case.words[at.LIMIT + w.SS] = case.offset(w.SS, w.STACK) - 1
    if form.mode.bits == 16:
        case.immediate = b"\0\x18\0"
    yield fault(case, SS)


@rule("#PF frame", lambda form: form.operation == "ENTER" and form.mode.pages)
def _no_page(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """ENTER: a write at the new stack pointer would meet an absent page: #PF."""
    case = base(form, rng)
    case.immediate = b"\0\x18\0"
    offset = case.offset(w.SS, w.STACK) - form.width - 0x1800
    linear = form.mode.base(w.SS) + (offset & 0xFFFF)
    case.cr2 = range(linear, linear + form.width)
    yield fault(absent(case, linear & ~0xFFF), PF, user(form) | WRITABLE)


@rule("#PF display", lambda form: form.operation == "ENTER" and form.mode.pages)
def _no_display(form: Form, _: str, rng: random.Random) -> Iterator[Case]:
    """ENTER with levels: the frame pointers to be copied lie in an absent page: #PF."""
    case = base(form, rng)
    case.immediate = b"\x10\0\3"
    case.point(EBP, w.SS, w.OTHER_STACK + form.width)
    case.cr2 = range(w.OTHER_STACK, w.OTHER_STACK + form.width)
    yield fault(absent(case, w.OTHER_STACK & ~0xFFF), PF, user(form))


@rule("#AC", lambda form: odd(form) if form.mode.cpl == 3 else ())
def _misaligned(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """At CPL 3 with CR0.AM and EFLAGS.AC, at an odd address: #AC(0)."""
    case, access = access_case(form, what, rng)
    case.move(access, case.begins(access) + 1)
    case.words[at.CR0] = 0x4_0011
    case.eflags |= at.AC
    yield fault(case, AC)


def repeats(form: Form) -> tuple[str, ...]:
    return names(form) if form.operation in STRINGS and form.mode.pages else ()


@rule("#PF REP", repeats)
def _second_iteration(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """The second iteration meets an absent page: the first one counts, EIP stays."""
    case, access = access_case(form, what, rng)
    page = (case.begins(access) & ~0xFFF) + 0x1000
    case.move(access, page - access.size)
    case.memory += [(page - access.size, bytes([0x55] * access.size))]
    case.eflags &= ~at.DF
    case.registers[ECX], case.prefixes = 3, b"\xf3"
    if form.operation in ("CMPS", "SCAS"):
        case.prefixes = b"\xf2"  # goes on while they differ
        case.registers[EAX] = 0xAAAA_AAAA
        case.memory += [(w.SOURCE if what == "destination" else w.DESTINATION, b"\xaa" * 4)]
    case.completes = case.repeated = True
    case.steps = 2
    case.cr2 = range(page, page + 1)
    yield fault(absent(case, page), PF, error_of(form, access))
