"""One measured figure, and a table of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass
class Result:
    """Values of one figure; the median counts. ``more`` says whether larger is better."""

    name: str
    unit: str
    values: list[float]
    target: float
    more: bool = True
    detail: str = ""

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def reached(self) -> bool:
        return self.median >= self.target if self.more else self.median <= self.target

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.median, "reached": self.reached}


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(results: list[Result]) -> str:
    rows = [("figure", "median", "[min .. max]", "runs", "target", "", "detail")]
    for r in results:
        rows.append(
            (
                r.name,
                f"{_number(r.median)} {r.unit}",
                f"[{_number(min(r.values))} .. {_number(max(r.values))}]",
                str(len(r.values)),
                f"{'>=' if r.more else '<='} {_number(r.target)}",
                "reached" if r.reached else "MISSED",
                r.detail,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
