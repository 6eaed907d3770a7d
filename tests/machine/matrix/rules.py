"""What a rule is: for which forms an outcome is possible, and the cases that bring it about.

A rule says for which forms the manual allows an outcome, and changes a case that completes
into one that must end so. What a fault must look like is the manual's word alone: vector,
error code, CR2; and that nothing else has changed (volume 3A, 6.5: faults). The rules are in
the files faults_*.py and traps.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .cases import Case, workable
from .forms import Access, Form

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


def pages_of(begin: int, access: Access) -> range:
    """Addresses that CR2 can hold if the page of an access is to blame."""
    if access.what == "push":
        return range(begin + access.size - access.total, begin + access.size)
    return range(begin, begin + access.total)


def error_of(form: Form, access: Access) -> int:
    """Of the first part of an access: ARPL writes only when it has read, others mean to at once."""
    writes = access.writes and form.operation != "ARPL"
    return user(form) | (WRITABLE if writes else 0)


def far(form: Form) -> bool:
    return form.mode.protected and form.far
