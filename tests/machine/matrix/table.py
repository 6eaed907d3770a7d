"""The matrix as text: rows by opcode, one column for each outcome, one letter for each mode."""

from __future__ import annotations

from collections import Counter

from .cells import EXCLUSIONS, LETTERS, Cell, Result, all_cells, exclusion
from .world import MODES


def letter(counts: Counter[str]) -> str:
    """The oracle of a cell; a cell that nobody filled is a question mark."""
    return "".join(LETTERS[oracle] for oracle in counts)[:1] or "?"


def table(result: Result) -> str:
    """One paragraph for each row and size: every outcome with a letter for each mode."""
    rows: dict[tuple[str, int], dict[str, dict[str, str]]] = {}
    for group in all_cells().values():
        for cell in group:
            if cell in result.run:
                mark = letter(result.run[cell])
            else:
                mark = "x" if exclusion(cell) else "?"
            place = rows.setdefault((str(cell.form.row), cell.form.size), {})
            place.setdefault(cell.outcome, {})[cell.form.mode.name] = mark
    lines = [f"Modes, in this order: {' '.join(m.name for m in MODES)}", f"Letters: {legend()}", ""]
    for (row, size), outcomes in rows.items():
        lines.append(f"{row}  {size or '-'}")
        texts = [f"{name} {marks(modes)}" for name, modes in outcomes.items()]
        lines += fold(texts)
    return "\n".join(lines)


def marks(modes: dict[str, str]) -> str:
    return "".join(modes.get(mode.name, ".") for mode in MODES)


def fold(texts: list[str], width: int = 110) -> list[str]:
    """Several to a line."""
    lines, line = [], ""
    for text in texts:
        if line and len(line) + len(text) > width:
            lines.append(line.rstrip(" ;"))
            line = ""
        line = (line or "    ") + text + "; "
    return [*lines, line.rstrip(" ;")] if line else lines


def legend() -> str:
    known = ", ".join(f"{short} {name}" for name, short in LETTERS.items())
    return f"{known}, x excluded, . not possible in this mode, ? nobody"


def summary(result: Result) -> str:
    """Cells and cases by oracle, and what is excluded."""
    cells: Counter[str] = Counter()
    for counts in result.run.values():
        cells.update(dict.fromkeys(counts, 1))
    cases = result.totals()
    lines = [f"{'oracle':10}{'cells':>10}{'cases':>10}"]
    lines += [f"{oracle:10}{cells[oracle]:>10,}{cases[oracle]:>10,}" for oracle in LETTERS]
    lines.append(f"{'excluded':10}{result.excluded:>10,}")
    lines.append(f"{'empty':10}{len(result.empty()):>10,}")
    for item in EXCLUSIONS:
        count = sum(item.matches(cell) for cell in every_cell())
        lines.append(f"excluded: {count:,} cells {item.operations} {item.outcomes}: {item.reason}")
    return "\n".join(lines)


def every_cell() -> list[Cell]:
    return [cell for group in all_cells().values() for cell in group]
