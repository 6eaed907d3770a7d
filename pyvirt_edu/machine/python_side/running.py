"""Running: execute guest instructions until something needs Python, and say what in an `Exit`.

`run` is the line between hardware and software. It calls the core for a slice of some milliseconds
at a time; where a slice ends changes nothing that the guest could see or count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self

from ..costs import Ledger
from ..errors import MachineError
from ..exits import REASONS, Exit
from ..state.arrays import Arrays
from ..state.layout import (
    BASE,
    CS,
    CYCLES,
    DATA_ACCESSES,
    EXIT_DEADLINE,
    EXIT_IDLE,
    EXIT_LIMIT,
    EXIT_MMIO_READ,
    EXIT_MMIO_WRITE,
    EXIT_PORT_IN,
    EXIT_PORT_OUT,
    EXIT_QUALIFICATION,
    EXIT_SERVICE,
    EXIT_TRACE_FULL,
    FETCH_ACCESSES,
    IDLE_CYCLES,
    INSTRUCTION_LIMIT,
    INSTRUCTIONS,
    NEVER,
    POSTED,
    POSTED_COUNT,
    RESUME_BREAKPOINT,
    RIP,
    RUN_DEADLINE,
    SERVICE,
    WALK_REFERENCES,
)
from . import ticker
from .checks import amount, within
from .device_claims import DeviceClaims
from .stops import Stops

if TYPE_CHECKING:
    from ..time_travel.recorder import Recorder

M32 = 0xFFFF_FFFF
AIM_LONG, AIM_SHORT = 0.014, 0.006  # seconds that a slice of run() should take
FIRST_SLICE, SHORTEST_SLICE, LONGEST_SLICE = 50_000, 2_000, 16_000_000


class Platform(Protocol):
    """The devices around a processor, as the machine sees them (devices/platform.py)."""

    def reset(self) -> None: ...
    def service(self, devices: int) -> Exit | None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...
    def media(self) -> list[bytes]: ...


class Running(DeviceClaims, Stops):
    """The run under way, and who takes part in it."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self._running = False
        self._slice = FIRST_SLICE
        self._slice_started = 0.0  # when the slice under way began, 0 while there is none
        self._platform: Platform | None = None
        self._pump: Callable[[], None] | None = None  # called between slices of a run
        self._recorder: Recorder | None = None  # of the trace under way

    # --- counts ----------------------------------------------------------------------

    @property
    def instructions(self) -> int:
        """Instructions executed since reset. A delivered exception or interrupt counts too."""
        return self._c[INSTRUCTIONS]  # type: ignore[no-any-return]

    @property
    def cycles(self) -> int:
        """Simulated cycles since reset."""
        return self._c[CYCLES]  # type: ignore[no-any-return]

    @property
    def idle_cycles(self) -> int:
        """Cycles since reset in which the processor was halted."""
        return self._c[IDLE_CYCLES]  # type: ignore[no-any-return]

    @property
    def ledger(self) -> Ledger:
        """What was done so far, by kind."""
        c = self._c
        return Ledger(
            instructions=c[INSTRUCTIONS],
            cycles=c[CYCLES],
            data_accesses=c[DATA_ACCESSES],
            data_misses=c[DATA_ACCESSES + 1],
            fetch_accesses=c[FETCH_ACCESSES],
            fetch_misses=c[FETCH_ACCESSES + 1],
            walk_references=c[WALK_REFERENCES],
            exits={
                REASONS[i]: n for i, n in enumerate(self._exits) if n and i not in (EXIT_LIMIT, EXIT_DEADLINE)
            },
        )

    # --- running ---------------------------------------------------------------------

    def step(self, n: int = 1) -> Exit:
        """Execute n instructions; a breakpoint on the first one is passed."""
        if n == 1 and self._pending is None and not self._queue and not self._running:
            c = self._c
            now = c[INSTRUCTIONS]
            if now >= self._due:
                self._due = self._history.checkpoint()
            c[INSTRUCTION_LIMIT] = now + 1
            if self._breakpoints:
                c[RESUME_BREAKPOINT] = 1 + (c[BASE + CS] + c[RIP] & M32)
            reason = self._call(self._handle)
            if reason == EXIT_LIMIT and c[INSTRUCTIONS] > now:
                return Exit("limit", c[RIP], now + 1)
            self._running = True
            try:
                out = self._dispatch(reason) if reason != EXIT_LIMIT else None
            finally:
                self._running = False
            if out is not None:
                return out
            if c[INSTRUCTIONS] > now:
                return Exit("limit", c[RIP], now + 1)
            return self._go(now + 1, NEVER, None)
        return self.run(max_instructions=n)

    def run(
        self,
        max_instructions: int | None = None,
        max_cycles: int | None = None,
        until: int | Callable[[Self], bool] | None = None,
    ) -> Exit:
        """Execute until something needs Python.

        ``until`` is an address to stop before, or a function of the machine that is asked
        every few milliseconds and after each device access.
        """
        if max_instructions is None and max_cycles is None and until is None:
            return self._go(NEVER, NEVER, None)
        c = self._c
        target = deadline = NEVER
        if max_instructions is not None:
            target = c[INSTRUCTIONS] + amount("max_instructions", max_instructions)
        if max_cycles is not None:
            deadline = c[CYCLES] + amount("max_cycles", max_cycles)
        if until is None or callable(until):
            return self._go(target, deadline, until)
        stop = within("until", until, 32)
        if stop in self._breakpoints:
            return self._go(target, deadline, None)
        self.break_at(stop)
        try:
            out = self._go(target, deadline, None)
        finally:
            self.clear_break(stop)
        if out.reason == "breakpoint" and out.linear == stop:
            out.reason = "until"
        return out

    def _go(self, target: int, deadline: int, until: Callable[[Self], bool] | None) -> Exit:
        """Run in slices of a few milliseconds, so that Ctrl-C works and widgets live."""
        if self._running:
            raise MachineError(
                "the machine is running already: run() and step() cannot be called by a handler"
            )
        c, call, handle, pump = self._c, self._call, self._handle, self._pump
        if self._breakpoints:
            self._pass_breakpoint()
        waiting = self._pending
        if waiting is not None:
            value = waiting.value
            now = c[INSTRUCTIONS]
            if type(value) is int and now == waiting.instructions and waiting.eip == c[RIP]:
                if not value >> 8 * waiting.size:  # type: ignore[operator]
                    self._pending = None
                    self._answer(value)
            if self._pending is not None:
                self._answer_pending()
        if deadline != NEVER:
            c[RUN_DEADLINE] = deadline
        clock = time.perf_counter
        ticking = False
        self._running = True
        try:
            if self._queue:
                out = self._hand_over()
                if out is not None:
                    return out
            while True:
                now = c[INSTRUCTIONS]
                if now >= self._due:
                    self._due = self._history.checkpoint()
                end = now + self._slice
                c[INSTRUCTION_LIMIT] = end if end < target else target
                started = clock()
                if ticking:
                    self._slice_started = started
                reason = call(handle)
                if reason == EXIT_LIMIT:
                    self._slice_started = 0.0
                    elapsed = clock() - started
                    if not ticking:
                        ticking = True
                        ticker.add(self)
                    if elapsed > AIM_LONG:
                        self._slice = max(self._slice // 2, SHORTEST_SLICE)
                    elif elapsed < AIM_SHORT and c[INSTRUCTIONS] == end:
                        self._slice = min(self._slice * 2, LONGEST_SLICE)
                    if c[INSTRUCTIONS] >= target:
                        return Exit("limit", c[RIP], c[INSTRUCTIONS])
                else:
                    if reason == EXIT_PORT_IN:  # the most frequent exit takes a short way
                        self._exits[reason] += 1
                        packed = c[EXIT_QUALIFICATION]
                        device = self._ports.get(packed & 0xFFFF)
                        if device is not None and device.explicit:
                            self._pending = out = Exit("port-in", c[RIP], c[INSTRUCTIONS])
                            out.address, out.size = packed & 0xFFFF, packed >> 56
                            return out
                        out = self._device_read(reason)
                    else:
                        out = self._dispatch(reason)
                    if out is not None:
                        return out
                if pump is not None:
                    pump()
                if until is not None and until(self):
                    return Exit("until", c[RIP], c[INSTRUCTIONS])
        finally:
            self._running = False
            if deadline != NEVER:
                c[RUN_DEADLINE] = NEVER
            if pump is not None:
                pump()
            if ticking:
                self._slice_started = 0.0
                ticker.remove(self)

    def _dispatch(self, reason: int) -> Exit | None:
        """Deal with what the core came back for; an Exit if the caller has to."""
        c = self._c
        if reason == EXIT_TRACE_FULL:
            if self._recorder is not None:
                self._recorder.take_chunk()
            return None
        if reason == EXIT_IDLE:
            return None
        self._exits[reason] += 1
        if reason == EXIT_SERVICE:
            return self._service()
        if reason == EXIT_PORT_IN or reason == EXIT_MMIO_READ:
            return self._device_read(reason)
        if reason == EXIT_PORT_OUT or reason == EXIT_MMIO_WRITE:
            for i in range(POSTED, POSTED + 2 * c[POSTED_COUNT], 2):
                self._queue.append((c[i], c[i + 1]))
            c[POSTED_COUNT] = 0
            return self._hand_over()
        return self._other_exit(reason)

    def _service(self) -> Exit | None:
        """Devices that need the world outside: a disk's sectors, a frame sent, a reset."""
        devices = self._c[SERVICE]
        self._c[SERVICE] = 0
        return self._platform.service(devices) if self._platform is not None else None
