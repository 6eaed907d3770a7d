"""The recording of a trace under way: what the core writes down goes into chunks."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ..state.layout import ATTENTION, EFLAGS, H_TRACE_USED, INSTRUCTIONS, PAGE_RECORDED, TRACING
from .tracing import TraceChunk, traced_words

if TYPE_CHECKING:
    from .rewindable import Rewindable


class Recorder:
    """``with Recorder(machine) as recorder``: what runs inside is recorded into ``recorder.chunks``.

    Each page is marked as traced meanwhile, so that every store to it is seen.
    """

    def __init__(self, machine: Rewindable) -> None:
        self.machine = machine
        self.chunks: list[TraceChunk] = []
        self._start = traced_words(machine._row, machine.cpu.eflags)

    def __enter__(self) -> Recorder:
        machine = self.machine
        a, c = machine._a, machine._c
        a.trace_cpu[:] = machine._row
        a.trace_cpu[EFLAGS] = machine.cpu.eflags
        a.handle[H_TRACE_USED] = 0
        a.page_flags |= PAGE_RECORDED
        a.forget_writable()
        c[TRACING], c[ATTENTION] = 1, 1
        machine._recorder = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        machine = self.machine
        a, c = machine._a, machine._c
        c[TRACING], c[ATTENTION] = 0, 1
        a.page_flags &= 0xFF - PAGE_RECORDED
        a.forget_writable()
        self.take_chunk()
        machine._recorder = None

    def take_chunk(self) -> None:
        """Empty the core's buffer; the run calls it when that is full."""
        machine = self.machine
        a = machine._a
        used = int(a.handle[H_TRACE_USED])
        if used:
            self.chunks.append(TraceChunk(a.trace[:used].copy(), self._start, int(machine._c[INSTRUCTIONS])))
            self._start = traced_words(machine._row, machine.cpu.eflags)
            a.handle[H_TRACE_USED] = 0
