"""Every way an instruction can end other than by completing, and how to bring it about.

A rule says for which forms the manual allows an outcome, and changes a case that completes
into one that must end so. What a fault must look like is the manual's word alone: vector,
error code, CR2; and that nothing else has changed (volume 3A, 6.5: faults).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyvirt_edu.machine import layout as at

from . import world as w
from .cases import (
    EAX,
    EBP,
    ECX,
    EDX,
    ESP,
    Case,
    condition_flags,
    far_pointer,
    loadable,
    set_port,
    workable,
)  # fmt: skip
from .forms import ALIGNED, LOADS_POINTER, STRINGS, Access, Form, segment_of

DE, DB, BP, OF, BR, UD, NM, TS, NP, SS, GP, PF, AC = 0, 1, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 17
PRESENT, WRITABLE, USER = 1, 2, 4  #: page-table entries, and bits 0 to 2 of a #PF error code
PAGED = 0x8000_0000
WORD32 = 0xFFFF_FFFF

Build = Callable[[Form, str, random.Random], Iterator[Case]]


@dataclass(frozen=True)
class Rule:
    """One kind of outcome: for which forms, in which variants, and the cases."""

    name: str
    variants: Callable[[Form], tuple[str, ...]]
    build: Build
    doc: str

    def outcomes(self, form: Form) -> Iterator[tuple[str, str]]:
        """Names of the outcomes of a form by this rule, and the variants they stand for."""
        for variant in self.variants(form):
            yield f"{self.name} {variant}".strip(), variant


RULES: list[Rule] = []


def rule(name: str, applies: Callable[[Form], object]) -> Callable[[Build], Build]:
    """Register a rule; `applies` gives variants, or whether there is the one."""

    def variants(form: Form) -> tuple[str, ...]:
        found = applies(form)
        if isinstance(found, tuple):
            return found
        return ("",) if found else ()

    def register(build: Build) -> Build:
        RULES.append(Rule(name, variants, build, build.__doc__ or ""))
        return build

    return register


def fault(case: Case, vector: int, error: int = 0, note: str = "") -> Case:
    case.vector, case.error = vector, error
    case.note = case.note or note
    return case


def base(form: Form, rng: random.Random, place: str = "") -> Case:
    return workable(form, place or form.places[0], rng)


# --- any instruction at all -----------------------------------------------------------------


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


# --- memory operands -------------------------------------------------------------------------


def executes(form: Form) -> bool:
    return not form.forbidden


def one(*operations: str) -> Callable[[Form], bool]:
    return lambda form: form.operation in operations and executes(form)


def names(form: Form, keep: Callable[[Access], object] = lambda a: True) -> tuple[str, ...]:
    """The accesses of a form that a rule is about."""
    if not executes(form):
        return ()
    return tuple(a.what for a in form.accesses if keep(a))


def access_case(form: Form, what: str, rng: random.Random) -> tuple[Case, Access]:
    access = next(a for a in form.accesses if a.what == what)
    place = "memory" if what == "operand" and form.memory_form else form.places[0]
    case = workable(form, place, rng)
    if form.operation == "INTO":
        case.eflags |= at.OF
    return case, access


def user(form: Form) -> int:
    return USER if form.mode.cpl == 3 else 0


def protect(case: Case, page: int, flags: int) -> Case:
    """Turn paging on, with these flags for one page."""
    case.words[at.CR0] = case.words.get(at.CR0, 0x11) | PAGED
    case.pages[page] = flags | 0x60
    return case


def absent(case: Case, page: int) -> Case:
    return protect(case, page, WRITABLE | USER)


def segment_vector(segment: int) -> int:
    return SS if segment == w.SS else GP


def external(form: Form) -> int:
    """EXT: a fault on the way through the gate of INT1 is not the program's doing."""
    return int(form.operation == "INT1")


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


# --- as far as it may go: the same instructions complete ------------------------------------------


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


@rule("completes beside", names)
def _beside_breakpoint(form: Form, what: str, rng: random.Random) -> Iterator[Case]:
    """Data breakpoints on the bytes just before and behind the access: nothing happens."""
    case, access = access_case(form, what, rng)
    begin = case.begins(access)
    first = begin + access.size - access.total if what == "push" else begin
    case.words |= {at.DR: first - 1, at.DR + 1: first + access.total, at.DR + 7: 0x33_0405}
    case.completes = True
    yield case


def pages_of(begin: int, access: Access) -> range:
    """Addresses that CR2 can hold if the page of an access is to blame."""
    if access.what == "push":
        return range(begin + access.size - access.total, begin + access.size)
    return range(begin, begin + access.total)


def error_of(form: Form, access: Access) -> int:
    return user(form) | (WRITABLE if access.writes else 0)


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
    yield fault(protect(case, begin & ~0xFFF, PRESENT | USER), PF, PRESENT | error_of(form, access))


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
        yield fault(protect(case, page, flags), PF, flags & PRESENT | error_of(form, access))


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


# --- traps: the instruction completes, then #DB -------------------------------------------------


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


# --- repeated strings -------------------------------------------------------------------------


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


# --- the processor's own accesses: a supervisor's, whatever CPL is ---------------------------------


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


# --- permissions ----------------------------------------------------------------------------


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


# --- single instructions ----------------------------------------------------------------------


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


# --- jumps and segments -----------------------------------------------------------------------


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


def far(form: Form) -> bool:
    return form.mode.protected and form.far


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
