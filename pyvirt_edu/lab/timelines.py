"""Spans of time in lanes, one lane for each reason: the figure under exit and ring timelines.

The reader selects a span with the mouse or the keys, sees what it was, and looks closer.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

from . import house

LIMIT = 2000  # spans that travel
LANES = 24
OTHERS = "others"
LABELS, WIDTH, LANE, AXIS = 150, 1000, 20, 28
FIRST_ROWS, LAST_ROWS = 12, 3


class Span(NamedTuple):
    """``start`` to ``end`` (not included), in the lane of its reason."""

    reason: str
    start: int
    end: int
    detail: str = ""
    idle: int = 0  # of its length, how much nobody worked


@dataclass(frozen=True)
class Words:
    """What a timeline calls its spans and its clock."""

    one: str  # "Exit"
    many: str
    unit: str
    units: str
    detail: str  # head of the column
    keys: str  # "←→" of whom
    idle: str = ""  # what a hollow span means


class LaneTimeline:
    """Shows as lanes; prints as a list."""

    words: ClassVar[Words]

    def __init__(self, spans: Sequence[Span], title: str, dropped: int = 0) -> None:
        self.title = title or self.words.many.capitalize()
        self.total = len(spans) + dropped
        self.spans = sorted(spans[:LIMIT], key=lambda span: (span.start, span.end))
        sums: dict[str, tuple[int, int]] = {}
        for span in self.spans:
            count, length = sums.get(span.reason, (0, 0))
            sums[span.reason] = count + 1, length + span.end - span.start - span.idle
        order = self._order(sums)
        kept = order if len(order) <= LANES else order[: LANES - 1]
        #: Reason, how many spans, how long in all.
        self.lanes: list[tuple[str, int, int]] = [(reason, *sums[reason]) for reason in kept]
        rest = [sums[reason] for reason in order[len(kept) :]]
        if rest:
            self.lanes.append((OTHERS, sum(n for n, _ in rest), sum(length for _, length in rest)))
        self._lane = {reason: min(i, LANES - 1) for i, reason in enumerate(order)}

    def _order(self, sums: dict[str, tuple[int, int]]) -> list[str]:
        """The lanes from top to bottom: the longest first."""
        return sorted(sums, key=lambda reason: (-sums[reason][1], reason))

    def span(self) -> tuple[int, int]:
        """The first moment and the last."""
        if not self.spans:
            return 0, 1
        low = self.spans[0].start
        return low, max(max(span.end for span in self.spans), low + 1)

    def summary(self) -> str:
        count = len(self.spans)
        if not count:
            return f"{self.title}: none"
        many = f"{count:,} {self.words.many if count > 1 else self.words.one.lower()}"
        if count < self.total:
            many = f"the first {count:,} of {self.total:,} {self.words.many}"
        low, high = self.span()
        return f"{self.title}: {many}, from {self.words.unit} {low:,} to {high:,}"

    def head(self) -> list[str]:
        words = self.words
        asleep = [words.idle] if words.idle else []
        return [words.one.lower(), "reason", f"from {words.unit}", words.units, *asleep, words.detail]

    def row(self, number: int) -> list[Any]:
        """What is known of a span."""
        s = self.spans[number]
        return [
            str(number + 1),
            s.reason,
            s.start,
            s.end - s.start,
            *([s.idle] if self.words.idle else []),
            s.detail,
        ]

    def rows(self) -> list[list[Any]]:
        """The first ones and the last ones."""
        count = len(self.spans)
        if count <= FIRST_ROWS + LAST_ROWS + 1:
            return [self.row(i) for i in range(count)]
        gap = ["…", f"{count - FIRST_ROWS - LAST_ROWS:,} more"]
        first = [self.row(i) for i in range(FIRST_ROWS)]
        gap += [""] * (len(first[0]) - len(gap))
        return [*first, gap, *(self.row(i) for i in range(count - LAST_ROWS, count))]

    def lane_rows(self) -> list[list[Any]]:
        """The ledger: a row for each lane, under `lane_head`."""
        return [list(lane) for lane in self.lanes]

    def lane_head(self) -> list[str]:
        return ["reason", self.words.many, self.words.units]

    def sentence(self, number: int) -> str:
        """A span in words, as the status line has it."""
        s = self.spans[number]
        detail = f", {self.words.detail} {s.detail}" if s.detail else ""
        idle = f", {s.idle:,} of them {self.words.idle}" if s.idle else ""
        return (
            f"{self.words.one} {number + 1:,} of {len(self.spans):,}: {s.reason}{detail}, "
            f"from {self.words.unit} {s.start:,}, {s.end - s.start:,} {self.words.units}{idle}."
        )

    # --- looks -------------------------------------------------------------------------

    def __repr__(self) -> str:
        lanes = house.columns([self.lane_head(), *self.lane_rows()])
        return "\n\n".join([self.summary(), lanes, house.columns([self.head(), *self.rows()], left=2)])

    def _svg(self) -> str:
        low, high = self.span()
        scale = (WIDTH - LABELS) / (high - low)
        height = LANE * len(self.lanes) + AXIS
        inside = ""
        for i, (reason, count, length) in enumerate(self.lanes):
            y = LANE * i
            words = html.escape(f"{reason}: {count:,} {self.words.many}, {length:,} {self.words.units}")
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
                f"text-anchor='{anchor}'>{self.words.unit} {end:,}</text>"
            )
        return (
            f"<svg viewBox='0 0 {WIDTH} {height}' width='100%' role='img' "
            f"aria-label='{html.escape(self.summary())}'>{inside}<g class='pv-marks'>{marks}</g></svg>"
        )

    def _path(self, lane: int, asleep: bool, low: int, scale: float) -> str:
        """The spans of a lane as boxes; idle ones have a path of their own."""
        out, top, last = "", LANE * lane + 3, -1.0
        for span in self.spans:
            if self._lane[span.reason] != lane or bool(span.idle) != asleep:
                continue
            end = round(LABELS + (span.end - low) * scale, 1)
            if end <= last:
                continue  # the mark before it covers this place, too
            x = max(round(LABELS + (span.start - low) * scale, 1), last)
            end = max(end, x + 1.2)
            out += f"M{x:g} {top}h{end - x:.3g}v{LANE - 6}h-{end - x:.3g}z"
            last = x + 1.2
        return out

    def _data(self) -> dict[str, Any]:
        rows, last = [], 0
        reasons, details = list(self._lane), list(dict.fromkeys(span.detail for span in self.spans))
        number = {reason: i for i, reason in enumerate(reasons)}
        which = {detail: i for i, detail in enumerate(details)}
        for s in self.spans:
            rows.append([number[s.reason], s.start - last, s.end - s.start, which[s.detail], s.idle])
            last = s.start
        return {
            "reasons": reasons,
            "details": details,
            "lanes": [self._lane[reason] for reason in reasons],
            "spans": rows,
            "span": self.span(),
            "layout": [WIDTH, LABELS, LANE],
            "words": asdict(self.words),
        }

    def _repr_html_(self) -> str:
        told = self.sentence(0) if self.spans else ""
        tables = house.table(self.lane_head(), self.lane_rows()) + house.table(self.head(), self.rows())
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
