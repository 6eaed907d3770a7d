"""The cells of the matrix, what is excluded from it, and the running and counting of cases.

A cell is (row, operand size, mode, outcome). It is filled by cases that were run on our
machine and compared with an oracle that is not our core; a cell without a case is a failure.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .bench import Bench, Expected
from .cases import ECX, Case, workable
from .faults import RULES, Rule
from .faults_segments import READS_DESCRIPTOR
from .forms import Form, forms
from .models import model_of, whole_flags
from .unicorn_oracle import Judge

UNICORN, MODEL, MANUAL = "Unicorn", "model", "manual"
LETTERS = {UNICORN: "U", MODEL: "P", MANUAL: "M"}
COMPLETES = "completes"
TRAPS = {"INT3": "#BP", "INT1": "#DB"}  #: how these complete
CASES = 2  #: of every completion
NUMBERED = {"Sw", "Cd", "Dd"}  #: operands that ModRM.reg chooses among
MANY_CASES = 16  #: where a register number or a selector decides


class Cell(NamedTuple):
    form: Form
    outcome: str
    rule: Rule | None  #: None: the instruction completes
    variant: str

    def __str__(self) -> str:
        return f"{self.form}: {self.outcome}"


@dataclass(frozen=True)
class Exclusion:
    """Cells that the matrix leaves to somebody else."""

    operations: str  #: regular expressions, to match in full
    outcomes: str
    sizes: str
    modes: str
    reason: str

    def matches(self, cell: Cell) -> bool:
        name = "x87" if cell.form.x87 else cell.form.operation
        return bool(
            re.fullmatch(self.operations, name)
            and re.fullmatch(self.outcomes, cell.outcome)
            and re.fullmatch(self.sizes, str(cell.form.size))
            and re.fullmatch(self.modes, cell.form.mode.name)
        )


EXCLUSIONS = (
    Exclusion(
        "x87",
        "(completes|#DB (step|data)).*",
        ".*",
        ".*",
        "what the x87 computes: tests/machine/x87",
    ),
    Exclusion("BSWAP", "(completes|#DB step).*", "16", ".*", "the result is undefined (2A, BSWAP)"),
)
MOST_EXCLUSIONS, MOST_EXCLUDED = 2, 4_900  #: how many, and how many cells they may take


def cells_of(form: Form) -> Iterator[Cell]:
    """Every outcome that the properties of a form allow."""
    if not form.forbidden:
        for place in form.places:
            yield Cell(form, TRAPS.get(form.operation, f"{COMPLETES} {place}"), None, place)
    for rule in RULES:
        for outcome, variant in rule.outcomes(form):
            yield Cell(form, outcome, rule, variant)


@cache
def all_cells() -> dict[str, list[Cell]]:
    """The cells by operation."""
    groups: dict[str, list[Cell]] = {}
    for form in forms():
        groups.setdefault(form.operation, []).extend(cells_of(form))
    return groups


def exclusion(cell: Cell) -> Exclusion | None:
    return next((e for e in EXCLUSIONS if e.matches(cell)), None)


@dataclass
class Result:
    """What became of some cells."""

    run: dict[Cell, Counter[str]] = field(default_factory=dict)  #: cases by oracle
    wrong: list[str] = field(default_factory=list)
    excluded: int = 0

    def empty(self) -> list[Cell]:
        return [cell for cell, counts in self.run.items() if not counts.total()]

    def failures(self) -> list[str]:
        """What a test should complain about."""
        return [f"no case was run for {cell}" for cell in self.empty()] + self.wrong

    def totals(self) -> Counter[str]:
        return sum(self.run.values(), Counter())


class Runner:
    def __init__(self) -> None:
        self.bench = Bench()
        self.unicorn = Judge()

    def run(self, cells: list[Cell]) -> Result:
        result = Result()
        for cell in cells:
            if exclusion(cell):
                result.excluded += 1
            else:
                result.run[cell] = self.run_cell(cell, result.wrong)
        return result

    def run_cell(self, cell: Cell, wrong: list[str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for case, oracle, expected in self.cases(cell, wrong):
            counts[oracle] += 1
            problems = self.bench.check(case, expected)
            if problems:
                wrong.append(f"{cell.outcome}, {oracle}: {case}: " + "; ".join(problems))
        return counts

    def cases(self, cell: Cell, wrong: list[str]) -> Iterator[tuple[Case, str, Expected]]:
        for case in cases_of(cell):
            if not case.completes:
                yield case, MANUAL, faulted(case)
                continue
            oracle, expected = self.completed(case)
            if expected is None:
                wrong.append(f"{cell.outcome}: {case}: {oracle}")
            else:
                yield case, oracle, then(case, expected)

    def completed(self, case: Case) -> tuple[str, Expected | None]:
        """Who judges a completion, and what it says."""
        if case.repeated:
            case = replace(case, prefixes=b"")
        model = model_of(case.form)
        if model is not None:
            return MODEL, model(case)
        expected, problem = self.unicorn.judge(case)
        return (UNICORN, expected) if expected else (problem, None)


def cases_of(cell: Cell) -> Iterator[Case]:
    """The cases that fill a cell."""
    rng = random.Random(f"{cell.form.row.number} {cell.form.size} {cell.form.mode} {cell.outcome}")
    for case in cell.rule.build(cell.form, cell.variant, rng) if cell.rule else completions(cell, rng):
        yield case
        if not case.completes:
            yield otherwise(case, cell.variant)


def otherwise(case: Case, variant: str) -> Case:
    """The same with TF set and, where it can be, paging on and the other address size."""
    words = case.words
    if case.form.mode.pages and at.CR0 not in words:
        words = words | {at.CR0: 0x8000_0011}
    other = variant == "operand" and not case.by_ebp
    return replace(case, eflags=case.eflags | at.TF, words=words, other_address=other)


def completions(cell: Cell, rng: random.Random) -> Iterator[Case]:
    """Random registers and memory; memory operands also by the other address size, and over the
    end of a page with paging on."""
    form = cell.form
    count = MANY_CASES if form.operation in READS_DESCRIPTOR or set(form.row.operands) & NUMBERED else CASES
    found = [workable(form, cell.variant, rng) for _ in range(count)]
    if form.mode.bits == 16 and model_of(form) is None and not form.interrupts:
        found += list(wrapped(form, cell.variant, rng))
    if form.memory_operand is not None and cell.variant != "register":
        other = workable(form, cell.variant, rng)
        other.other_address = True
        split = workable(form, cell.variant, rng, w.DATA_PAGE + 0xFFF)
        found += [other, split]
    if form.mode.pages:
        found[-1].words[at.CR0] = 0x8000_0011
    for case in found:
        case.completes = True
        yield case


def wrapped(form: Form, place: str, rng: random.Random) -> Iterator[Case]:
    """The stack and strings at both ends of a 64 KiB segment: SP, SI and DI wrap."""
    for access in form.accesses:
        if access.what in ("push", "pop", "source", "destination"):
            case = workable(form, place, rng)
            top = form.mode.base(access.segment) + 0x1_0000 - access.size
            case.move(access, top)
            case.memory.append((top, (rng.randbytes(1) + b"\4\0\0")[: access.size]))
            case.note = "wraps"
            yield case


def then(case: Case, expected: Expected) -> Expected:
    """What comes after an instruction that completes: nothing, a trap, or the next iteration's fault."""
    expected.vector, expected.error, expected.cr2 = case.vector, case.error, case.cr2
    if case.dr6 is not None:
        expected.words[at.DR + 6] = case.dr6
        expected.words[at.HALTED] = 0
    expected.steps = case.steps
    if expected.eflags is None:
        expected.eflags = whole_flags(case)
    expected.eflags &= ~at.RF  # it holds for one instruction
    if case.steps == 3:
        expected.words[at.RIP] += 1  # the NOP behind it
    if case.repeated:
        expected.words[at.RIP] = case.offset(w.CS, case.where)
        expected.words[ECX] = case.registers[ECX] - 1
        if expected.ram is not None:  # Unicorn was not shown the prefix, nor the page table
            expected.memory += [(case.where, case.code()), *case.page_entries()]
    return expected


def faulted(case: Case) -> Expected:
    """Nothing has changed but what the fault itself reports."""
    expected = Expected(vector=case.vector, error=case.error, cr2=case.cr2)
    if case.dr6 is not None:
        expected.words[at.DR + 6] = case.dr6
    return expected
