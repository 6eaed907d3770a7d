"""The matrix as text: a line for each row and size, a column for each kind of outcome."""

from __future__ import annotations

from collections import Counter

from .cells import COMPLETES, EXCLUSIONS, LETTERS, Cell, Result, all_cells, exclusion
from .world import MODES

KINDS = (COMPLETES, *"#DE #DB #BP #OF #BR #UD #NM #TS #NP #SS #GP #PF #AC".split())
EXCLUDED, EMPTY, SEVERAL, NONE = "x", "?", "*", "."


def every_cell() -> list[Cell]:
    return [cell for group in all_cells().values() for cell in group]


def mark(cell: Cell, result: Result) -> str:
    """The letter of the oracle that judged a cell."""
    if exclusion(cell):
        return EXCLUDED
    oracles = list(result.run.get(cell, ()))
    return LETTERS[oracles[0]] if len(oracles) == 1 else SEVERAL if oracles else EMPTY


def together(marks: set[str]) -> str:
    """One letter for several cells; one that is empty shows."""
    for letter in (EMPTY, EXCLUDED):
        if letter in marks and (letter == EMPTY or len(marks) == 1):
            return letter
    marks = marks - {EXCLUDED}
    return SEVERAL if len(marks) > 1 else marks.pop() if marks else NONE


def kind(outcome: str) -> str:
    return next(k for k in KINDS if outcome.startswith(k))


def table(result: Result, cells: list[Cell]) -> str:
    """Under each kind of outcome one letter for each mode."""
    found: dict[tuple[str, int], dict[tuple[str, str], set[str]]] = {}
    for cell in cells:
        line = found.setdefault((str(cell.form.row), cell.form.size), {})
        line.setdefault((kind(cell.outcome), cell.form.mode.name), set()).add(mark(cell, result))
    head = " ".join(f"{k[:5]:5}" for k in KINDS)
    lines = [legend(), "", f"{'':32}{'size':>4} {head}".rstrip()]
    for (row, size), marks in found.items():
        columns = ["".join(together(marks.get((k, m.name), set())) for m in MODES) for k in KINDS]
        lines.append(f"{row:32}{size or '-':>4} {' '.join(columns)}")
    return "\n".join(lines)


def details(result: Result, cells: list[Cell]) -> str:
    """Every outcome of some cells, with what it means and the number of cases in each mode."""
    found: dict[tuple[str, int], dict[str, dict[str, str]]] = {}
    meanings: dict[str, str] = {}
    for cell in cells:
        line = found.setdefault((str(cell.form.row), cell.form.size), {})
        count = result.run.get(cell, Counter()).total()
        text = EXCLUDED if exclusion(cell) else f"{mark(cell, result)}{count}"
        line.setdefault(cell.outcome, {})[cell.form.mode.name] = text
        meanings[cell.outcome] = cell.rule.doc.strip() if cell.rule else ""
    lines = [legend()]
    for (row, size), outcomes in found.items():
        lines += ["", f"{row}, size {size or '-'}"]
        for outcome, modes in outcomes.items():
            counts = "".join(f"{modes.get(m.name, NONE):4}" for m in MODES)
            lines.append(f"    {outcome:28} {counts} {' '.join(meanings[outcome].split())}".rstrip())
    return "\n".join(lines)


def legend() -> str:
    letters = ", ".join(f"{short} {name}" for name, short in LETTERS.items())
    return (
        f"Modes, in this order: {' '.join(m.name for m in MODES)}\n"
        f"Oracles: {letters}, {SEVERAL} several\n"
        f"{EXCLUDED} excluded, {NONE} not possible in this mode, {EMPTY} no case was run"
    )


def summary(result: Result) -> str:
    """Cells and cases by oracle, and what is excluded."""
    cells: Counter[str] = Counter()
    for counts in result.run.values():
        cells.update(dict.fromkeys(counts, 1))
    cases = result.totals()
    lines = [f"{'oracle':10}{'cells':>10}{'cases':>10}"]
    lines += [f"{oracle:10}{cells[oracle]:>10,}{cases[oracle]:>10,}" for oracle in LETTERS]
    lines.append(f"{'empty':10}{len(result.empty()):>10,}")
    lines.append(f"{'excluded':10}{result.excluded:>10,}")
    for item in EXCLUSIONS:
        count = sum(item.matches(cell) for cell in every_cell())
        lines.append(f"  {count:,} cells of {item.operations}: {item.reason}")
    return "\n".join(lines)
