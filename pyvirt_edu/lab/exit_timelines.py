"""When a hypervisor was at work: its exits along the simulated clock, one lane for each reason."""

from __future__ import annotations

from collections.abc import Iterable

from ..hypervisor.meter import ExitRecord, Meter
from .timelines import LaneTimeline, Span, Words


class ExitTimeline(LaneTimeline):
    """The lanes with the most cycles stand on top."""

    words = Words(
        one="Exit",
        many="exits",
        unit="cycle",
        units="cycles",
        detail="instruction at",
        keys="exit by exit",
        idle="asleep",
    )

    def __init__(self, records: Meter | Iterable[ExitRecord], title: str = "") -> None:
        dropped = records.dropped if isinstance(records, Meter) else 0
        found = records.timeline if isinstance(records, Meter) else records
        super().__init__(
            [Span(r.reason, r.start, r.end, f"{r.eip:#x}", r.idle) for r in found], title, dropped
        )


def exit_timeline(records: Meter | Iterable[ExitRecord], title: str = "") -> ExitTimeline:
    """The exits of a hypervisor on the clock: ``exit_timeline(hypervisor.meter)``."""
    return ExitTimeline(records, title)
