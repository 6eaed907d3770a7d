"""The rows of a benchmark that ran in a guest, beside those of the same program elsewhere.

    benchmark_table({"sprout, simulated": text, "Linux, here": other})

A row of the text is a name and a number of cycles, as sprout's `ubench` prints it. Other lines are
left out; a row that only some columns have shows a dash in the others. Why a column lacks it stands
below the table, if the text says so.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from . import house

ROW = re.compile(r"^(?P<name>\S.*?) {2,}(?P<cycles>\d+) cycles\s*$", re.MULTILINE)
MISSING = re.compile(r"^(?P<name>\S.*?) {2,}not measured: (?P<why>.*?)\s*$", re.MULTILINE)


def benchmark_rows(text: str) -> dict[str, int]:
    """``{name: cycles}``, in the order of the text."""
    return {row["name"]: int(row["cycles"]) for row in ROW.finditer(text)}


class BenchmarkTable:
    """Columns of cycles, and of each column how many times the first one it is."""

    def __init__(self, columns: Mapping[str, str], note: str = "") -> None:
        self.columns = {name: benchmark_rows(text) for name, text in columns.items()}
        missing = [
            f"{name}: {row['name']} not measured, {row['why']}."
            for name, text in columns.items()
            for row in MISSING.finditer(text)
        ]
        self.notes = [*([note] if note else []), *missing]
        for name, rows in self.columns.items():
            if not rows:
                raise ValueError(f'"{name}" has no row such as "system call   617 cycles"')

    def _table(self) -> tuple[list[str], list[list[int | str]]]:
        first, *others = self.columns
        head = ["", first, *(cell for name in others for cell in (name, "ratio"))]
        names = dict.fromkeys(name for rows in self.columns.values() for name in rows)
        body: list[list[int | str]] = []
        for name in names:
            base = self.columns[first].get(name)
            row: list[int | str] = [name, base if base is not None else "–"]
            for other in others:
                cycles = self.columns[other].get(name)
                row.append(cycles if cycles is not None else "–")
                row.append(f"{cycles / base:.2f}" if base and cycles is not None else "–")
            body.append(row)
        return head, body

    def __repr__(self) -> str:
        head, body = self._table()
        return "\n".join([house.columns([head, *body]), *self.notes])

    def _repr_html_(self) -> str:
        head, body = self._table()
        style = f"<style>{house.style('house.css')}</style>"
        whole = house.table(head, body, "Cycles of each service")
        notes = "".join(f"<p class='pv-soft'>{html.escape(note)}</p>" for note in self.notes)
        return f"<div class='pv-house'>{style}{whole}{notes}</div>"


def benchmark_table(columns: Mapping[str, str], note: str = "") -> BenchmarkTable:
    """Texts of the same benchmark, by what ran it."""
    return BenchmarkTable(columns, note)
