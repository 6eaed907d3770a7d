"""No empty cell: every opcode, size, mode and outcome is run and judged by somebody else.

The table itself: ``python -m tests.machine.matrix``.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("unicorn", reason="unicorn is the oracle of most completions")

from pyvirt_edu.machine.decode.decoder_tables import F_LOCKABLE, F_MEMORY_ONLY, ROW_FLAGS, ROW_OPERATION
from pyvirt_edu.machine.opcodes import ROWS, Row
from pyvirt_edu.machine.state import layout as at

from . import cells as matrix
from .bench import Expected
from .cases import workable
from .cells import (
    EXCLUSIONS,
    MOST_EXCLUDED,
    MOST_EXCLUSIONS,
    Cell,
    Exclusion,
    Result,
    Runner,
    all_cells,
    exclusion,
)
from .forms import Form
from .table import details, every_cell, summary, table
from .world import MODES, Mode


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner()


@pytest.fixture(scope="module")
def everything() -> Iterator[Result]:
    """What the groups found, for the summary at the end."""
    yield Result()


@pytest.mark.parametrize("operation", all_cells())
def test_group(runner: Runner, everything: Result, operation: str) -> None:
    result = runner.run(all_cells()[operation])
    everything.run |= result.run
    everything.excluded += result.excluded
    failures = result.failures()
    assert not failures, "\n".join([f"{len(failures)} failures; the first ones:", *failures[:20]])


def test_summary(everything: Result) -> None:
    print(summary(everything))
    assert not everything.empty()
    for oracle, least in (("Unicorn", 1), ("model", 1), ("manual", 1)):
        assert not everything.run or everything.totals()[oracle] >= least


# --- the matrix is whole ------------------------------------------------------------------


def test_every_row_is_in_it() -> None:
    """Every row of the opcode table, in all modes and every size it has."""
    seen = Counter(form.row.number for form in {cell.form for cell in every_cell()})
    assert set(seen) == {row.number for row in ROWS}
    assert all(count % 5 == 0 for count in seen.values())


def test_exclusions_are_few_and_alive() -> None:
    assert len(EXCLUSIONS) <= MOST_EXCLUSIONS
    counts = Counter(item for cell in every_cell() if (item := exclusion(cell)))
    for item in EXCLUSIONS:
        assert counts[item], f"nothing is excluded by {item}"
    assert counts.total() <= MOST_EXCLUDED


PREFIXES = (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x0F)


def holes() -> list[Row]:
    """Places of the opcode maps where the table has nothing, as rows without a name."""
    taken = {(row.two_byte, row.opcode, reg) for row in ROWS for reg in range(8) if row.reg in (None, reg)}
    return [
        Row(-1, opcode, two_byte, reg, "", "", "", ())
        for two_byte in (False, True)
        for opcode in range(256)
        for reg in range(8)
        if (two_byte, opcode, reg) not in taken
        and (two_byte or (opcode not in PREFIXES and not 0xD8 <= opcode <= 0xDF))
    ]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_what_no_row_names_is_undefined(runner: Runner, mode: Mode) -> None:
    """Every other opcode, and every other ModRM.reg of a group: #UD, and nothing has changed."""
    rows, wrong = holes(), []
    for row in rows:
        for place in ("register", "memory"):
            case = workable(Form(row, 0, mode), place, random.Random(f"{row} {place}"))
            wrong += [f"{case}: {text}" for text in runner.bench.check(case, Expected(vector=6))]
    assert len(rows) > 500
    assert not wrong, "\n".join(wrong[:20])


# --- and it bites --------------------------------------------------------------------------


def find(operation: str, outcome: str, mode: str = "p32") -> Cell:
    return next(
        cell
        for cell in all_cells()[operation]
        if cell.outcome == outcome and cell.form.mode.name == mode and cell.form.size in (0, 32)
    )


def test_a_hidden_cell_is_noticed(runner: Runner) -> None:
    cell = find("ADD", "#GP limit operand")
    assert cell.rule is not None
    hidden = cell._replace(rule=replace(cell.rule, build=lambda form, variant, rng: iter(())))
    result = runner.run([cell])
    assert not result.failures()
    assert runner.run([hidden]).failures() == [f"no case was run for {hidden}"]


@pytest.mark.parametrize(
    ("operation", "outcome"), [("ADD", "#PF write operand"), ("DIV", "#DE"), ("RET", "#GP target")]
)
def test_a_false_outcome_is_noticed(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, operation: str, outcome: str
) -> None:
    truth = matrix.faulted

    def another(case: matrix.Case) -> matrix.Expected:
        expected = truth(case)
        expected.vector = 17
        return expected

    monkeypatch.setattr(matrix, "faulted", another)
    result = runner.run([find(operation, outcome)])
    assert result.wrong and not result.empty()


def test_a_false_error_code_is_noticed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = matrix.faulted

    def another(case: matrix.Case) -> matrix.Expected:
        expected = truth(case)
        expected.error ^= 4
        return expected

    monkeypatch.setattr(matrix, "faulted", another)
    assert runner.run([find("ADD", "#PF absent operand")]).wrong


@pytest.mark.parametrize("outcome", ["completes memory", "#PF split operand", "#UD LOCK"])
@pytest.mark.parametrize("what", ["register", "flag", "memory", "segment"])
def test_an_imprecise_machine_is_noticed(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, outcome: str, what: str
) -> None:
    """One bit that changes behind the instruction's back."""
    machine = runner.bench.machine
    truth = machine.step

    def step(n: int = 1) -> object:
        exit = truth(n)
        if what == "register":
            machine._c[7] ^= 1 << 5
        elif what == "flag":
            machine._c[at.EFLAGS] ^= at.DF
        elif what == "segment":
            machine._c[at.LIMIT + at.GS] ^= 1
        else:
            machine._ram[0x1FFFF] ^= 1
        return exit

    monkeypatch.setattr(machine, "step", step)
    assert runner.run([find("SHLD", outcome)]).wrong


@pytest.mark.parametrize(
    ("operation", "outcome", "word", "change"),
    [
        ("MOV", "#UD LOCK", ROW_FLAGS, F_LOCKABLE),
        ("LEA", "#UD register", ROW_FLAGS, F_MEMORY_ONLY),
        ("ADD", "completes memory", ROW_OPERATION, 2),  # ADC
        ("SUB", "completes register", ROW_OPERATION, 5 ^ 3),  # SBB
        ("Jcc", "completes plain", ROW_OPERATION, 1),  # the opposite condition
    ],
)
def test_a_wrong_machine_is_noticed(
    runner: Runner, operation: str, outcome: str, word: int, change: int
) -> None:
    """A mutant: another bit in what the decoder knows of a row."""
    cell = find(operation, outcome)
    rows = runner.bench.machine._a.rows
    place = 8 * cell.form.row.number + word
    truth = rows[place]
    assert not runner.run([cell]).failures()
    rows[place] ^= np.uint64(change)
    try:
        assert runner.run([cell]).wrong
    finally:
        rows[place] = truth
    assert not runner.run([cell]).failures()


def test_a_dead_exclusion_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Exclusion("FROB", ".*", ".*", ".*", "there is no such instruction")
    monkeypatch.setitem(test_exclusions_are_few_and_alive.__globals__, "EXCLUSIONS", (*EXCLUSIONS, dead))
    with pytest.raises(AssertionError, match="FROB"):
        test_exclusions_are_few_and_alive()


def test_the_table_can_be_read(runner: Runner) -> None:
    cells = all_cells()["BSWAP"]
    result = runner.run(cells)
    lines = [line.split()[:6] for line in table(result, cells).splitlines() if "0F C8" in line]
    assert lines[0] == ["0F", "C8", "BSWAP", "Zv", "16", "xxxxx"]
    assert lines[1] == ["0F", "C8", "BSWAP", "Zv", "32", "UUUUU"]
    del result.run[find("BSWAP", "completes plain", "real")]
    assert "?UUUU" in table(result, cells)
    assert "#GP length                   M2" in details(result, cells)
