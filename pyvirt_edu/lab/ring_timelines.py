"""Who has the processor: rings and processes along a trace, two lanes for each process.

ring_timeline(trace, guest=sprout.Inspector())
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Protocol

import numpy as np

from .document import Guest
from .timelines import LaneTimeline, Span, Words


class Explaining(Guest, Protocol):
    """A guest that also knows why its kernel was entered."""

    def why(self, trace: Any, first: int, end: int) -> str: ...


class RingTimeline(LaneTimeline):
    """Turns: stretches of steps in one ring, of one process. In the order of their appearance."""

    words = Words(
        one="Turn",
        many="turns",
        unit="instruction",
        units="instructions",
        detail="entered by",
        keys="turn by turn",
    )

    def _order(self, sums: dict[str, tuple[int, int]]) -> list[str]:
        """A process's lane in ring 3 stands on top of that in ring 0."""
        processes = list(dict.fromkeys(reason.rpartition(", ")[0] for reason in sums))
        return sorted(sums, key=lambda lane: (processes.index(lane.rpartition(", ")[0]), lane[-1] == "0"))

    def lane_rows(self) -> list[list[Any]]:
        total = sum(length for *_, length in self.lanes)
        return [[*lane, f"{lane[2] / total:.0%}"] for lane in self.lanes]

    def lane_head(self) -> list[str]:
        return [*super().lane_head(), "share"]


def ring_spans(trace: Any, guest: Explaining | Guest) -> list[Span]:
    """The turns of a trace. A turn in ring 0 has as detail why the kernel was entered, if the guest tells."""
    _, rings = trace.path
    turns = guest.who(trace) or [(0, "")]
    borders = np.flatnonzero(np.diff(rings)) + 1
    starts = sorted({0, *borders.tolist(), *(step for step, _ in turns)} & set(range(len(trace))))
    why = getattr(guest, "why", None)
    out = []
    for first, end in zip(starts, [*starts[1:], len(trace)]):
        name = turns[bisect_right(turns, first, key=lambda turn: turn[0]) - 1][1]
        ring = int(rings[first])
        lane = f"{name}, ring {ring}" if name else f"ring {ring}"
        out.append(Span(lane, first, end, why(trace, first, end) if why and not ring else ""))
    return out


def ring_timeline(trace: Any, guest: Explaining | Guest, title: str = "") -> RingTimeline:
    """Rings and processes of a trace, as ``guest`` knows them (`CodeMap`, or an inspector)."""
    return RingTimeline(ring_spans(trace, guest), title)
