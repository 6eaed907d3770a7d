"""When a hypervisor was at work: its exits along the simulated clock, one lane for each reason.

The reader selects an exit with the mouse or the keys, sees what it was, and looks closer.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from ..hypervisor.meter import ExitRecord, Meter
from . import house

LIMIT = 2000  # exits that travel
LANES = 24
OTHERS = "others"
LABELS, WIDTH, LANE, AXIS = 150, 1000, 20, 24
FIRST_ROWS, LAST_ROWS = 12, 3
HEAD = ("exit", "reason", "from cycle", "cycles", "asleep", "instruction at")


class ExitTimeline:
    """Shows as lanes; prints as a list."""

    def __init__(self, records: Meter | Iterable[ExitRecord], title: str = "") -> None:
        dropped = records.dropped if isinstance(records, Meter) else 0
        found = list(records.timeline if isinstance(records, Meter) else records)
        self.title = title or "Exits"
        self.total = len(found) + dropped
        self.records = sorted(found[:LIMIT], key=lambda record: (record.start, record.end))
        sums: dict[str, tuple[int, int]] = {}
        for r in self.records:
            count, cycles = sums.get(r.reason, (0, 0))
            sums[r.reason] = count + 1, cycles + r.end - r.start - r.idle
        order = sorted(sums, key=lambda reason: (-sums[reason][1], reason))
        kept = order if len(order) <= LANES else order[: LANES - 1]
        #: Reason, exits, cycles.
        self.lanes: list[tuple[str, int, int]] = [(reason, *sums[reason]) for reason in kept]
        rest = [sums[reason] for reason in order[len(kept) :]]
        if rest:
            self.lanes.append((OTHERS, sum(n for n, _ in rest), sum(cycles for _, cycles in rest)))
        self._lane = {reason: min(i, LANES - 1) for i, reason in enumerate(order)}

    def span(self) -> tuple[int, int]:
        """First and last cycle."""
        if not self.records:
            return 0, 1
        low = self.records[0].start
        return low, max(max(record.end for record in self.records), low + 1)

    def summary(self) -> str:
        count = len(self.records)
        if not count:
            return f"{self.title}: none"
        exits = f"{count:,} exit{'' if count == 1 else 's'}"
        if count < self.total:
            exits = f"the first {count:,} of {self.total:,} exits"
        low, high = self.span()
        return f"{self.title}: {exits}, from cycle {low:,} to {high:,}"

    def row(self, number: int) -> list[Any]:
        """What is known of an exit."""
        r = self.records[number]
        return [str(number + 1), r.reason, r.start, r.end - r.start, r.idle, f"{r.eip:#x}"]

    def rows(self) -> list[list[Any]]:
        """The first ones and the last ones."""
        count = len(self.records)
        if count <= FIRST_ROWS + LAST_ROWS + 1:
            return [self.row(i) for i in range(count)]
        gap = ["…", f"{count - FIRST_ROWS - LAST_ROWS:,} more", "", "", "", ""]
        first = [self.row(i) for i in range(FIRST_ROWS)]
        return [*first, gap, *(self.row(i) for i in range(count - LAST_ROWS, count))]

    def sentence(self, number: int) -> str:
        """An exit in words, as the status line has it."""
        r = self.records[number]
        asleep = f", {r.idle:,} of them asleep" if r.idle else ""
        return (
            f"Exit {number + 1:,} of {len(self.records):,}: {r.reason}, instruction at {r.eip:#x}, "
            f"from cycle {r.start:,}, {r.end - r.start:,} cycles{asleep}."
        )

    # --- looks -------------------------------------------------------------------------

    def __repr__(self) -> str:
        lanes = house.columns([("reason", "exits", "cycles"), *self.lanes])
        return "\n\n".join([self.summary(), lanes, house.columns([HEAD, *self.rows()], left=2)])

    def _svg(self) -> str:
        low, high = self.span()
        scale = (WIDTH - LABELS) / (high - low)
        height = LANE * len(self.lanes) + AXIS
        inside = ""
        for i, (reason, count, cycles) in enumerate(self.lanes):
            y = LANE * i
            words = html.escape(f"{reason}: {count:,} exits, {cycles:,} cycles")
            size = f"width='{WIDTH - LABELS}' height='{LANE - 2}'"
            inside += (
                f"<g class='pv-lane'><title>{words}</title>"
                f"<rect class='pv-ground' x='{LABELS}' y='{y + 1}' {size}/>"
                f"<text x='{LABELS - 8}' y='{y + 15}' font-size='13' text-anchor='end'>"
                f"{html.escape(_short(reason))}</text></g>"
            )
        marks = "".join(
            f"<path class='pv-{kind}' d='{self._path(i, kind == 'asleep', low, scale)}'/>"
            for i in range(len(self.lanes))
            for kind in ("exits", "asleep")
        )
        for end, anchor, place in ((low, "start", LABELS), (high, "end", WIDTH)):
            inside += (
                f"<text class='pv-end' x='{place}' y='{height - 5}' font-size='12' "
                f"text-anchor='{anchor}'>cycle {end:,}</text>"
            )
        return (
            f"<svg viewBox='0 0 {WIDTH} {height}' width='100%' role='img' "
            f"aria-label='{html.escape(self.summary())}'>{inside}<g class='pv-marks'>{marks}</g></svg>"
        )

    def _path(self, lane: int, asleep: bool, low: int, scale: float) -> str:
        """The exits of a lane as boxes; those in which the processor slept have a path of their own."""
        out, top, last = "", LANE * lane + 3, -1.0
        for record in self.records:
            if self._lane[record.reason] != lane or bool(record.idle) != asleep:
                continue
            x = max(round(LABELS + (record.start - low) * scale, 1), last)
            end = max(round(LABELS + (record.end - low) * scale, 1), x + 1.2)
            out += f"M{x:g} {top}h{end - x:.3g}v{LANE - 6}h-{end - x:.3g}z"
            last = x + 1.2
        return out

    def _data(self) -> dict[str, Any]:
        rows, last = [], 0
        reasons = list(self._lane)
        number = {reason: i for i, reason in enumerate(reasons)}
        for r in self.records:
            rows.append([number[r.reason], r.start - last, r.end - r.start, r.eip, r.idle])
            last = r.start
        lanes = [self._lane[reason] for reason in reasons]
        layout = [WIDTH, LABELS, LANE]
        return {"reasons": reasons, "lanes": lanes, "exits": rows, "span": self.span(), "layout": layout}

    def _repr_html_(self) -> str:
        told = self.sentence(0) if self.records else ""
        tables = house.table(("reason", "exits", "cycles"), self.lanes) + house.table(HEAD, self.rows())
        content = (
            f"<div class='pv-head'><span class='pv-title'>{html.escape(self.summary())}</span></div>"
            f"<p class='pv-status' role='status' aria-live='polite'>{html.escape(told)}</p>{self._svg()}"
            f"<details><summary>As a table</summary>"
            f"{tables}</details>"
        )
        return house.piece("timeline", content, self._data(), "(root, data) => new Timeline(root, data)")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _short(reason: str) -> str:
    return reason if len(reason) <= 21 else reason[:20] + "…"


def exit_timeline(records: Meter | Iterable[ExitRecord], title: str = "") -> ExitTimeline:
    """The exits of a hypervisor on the clock: ``exit_timeline(hypervisor.meter)``."""
    return ExitTimeline(records, title)
