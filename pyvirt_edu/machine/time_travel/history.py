"""How a machine finds its way back: checkpoints, and a log of everything that came in.

The machine is deterministic, so a past instruction is reached by restoring a checkpoint
before it and running forward while the log gives the same input at the same instruction
counts. What an entry of the log is, stands where they are made: python_side/inputs.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import RewindError
from ..python_side.inputs import ANSWER, CALLED, FAULT, IDLE_UNTIL
from ..state.layout import (
    CYCLES,
    EXIT_DEADLINE,
    EXIT_EXCEPTION,
    EXIT_IDLE,
    EXIT_LIMIT,
    EXIT_MMIO_READ,
    EXIT_MMIO_WRITE,
    EXIT_PORT_IN,
    EXIT_PORT_OUT,
    EXIT_SERVICE,
    EXIT_VECTOR,
    EXIT_WATCHPOINT,
    INSTRUCTION_LIMIT,
    INSTRUCTIONS,
    INTERCEPT_VECTORS,
    NEVER,
    POSTED_COUNT,
    REPLAY,
    REPLAY_COUNT,
    RUN_DEADLINE,
    UD,
)
from .snapshots import Snapshot

if TYPE_CHECKING:
    from .rewindable import Rewindable

FIRST_INTERVAL = 20_000_000
MOST_CHECKPOINTS = 32
MOST_ENTRIES = 1_600_000
REPLAY_SLICE = 3_000_000


@dataclass
class Checkpoint:
    instructions: int
    snapshot: Snapshot
    position: int  # in the log

    def before(self, target: int) -> bool:
        """Whether a replay can start here; a device read that is answered already has begun."""
        begun = bool(self.snapshot.cpu[0, REPLAY_COUNT])
        return self.instructions + begun <= target


class History:
    def __init__(self, machine: Rewindable, enabled: bool) -> None:
        self.machine = machine
        self.enabled = enabled
        self.log: list[tuple[int, int, Any]] = []
        self.checkpoints: list[Checkpoint] = []
        self.interval = FIRST_INTERVAL
        self.entries_due = MOST_ENTRIES // 8  # so much input is reason for a checkpoint too
        self.last_time = 0.0

    def start(self, snapshot: Snapshot | None) -> int:
        """Begin anew, at a snapshot if there is one. Returns when a checkpoint is due."""
        self.log.clear()
        self.checkpoints.clear()
        self.interval = FIRST_INTERVAL
        self.entries_due = MOST_ENTRIES // 8
        if not self.enabled:
            return NEVER
        if snapshot is None:
            return 0
        self.checkpoints.append(Checkpoint(snapshot.instructions, snapshot, 0))
        self.last_time = time.perf_counter()
        return snapshot.instructions + self.interval

    def checkpoint(self) -> int:
        """Take one now. Returns the instruction count at which the next is due."""
        if not self.enabled:
            return NEVER
        started = time.perf_counter()
        snapshot = self.machine.snapshot()
        now = snapshot.instructions
        self.checkpoints.append(Checkpoint(now, snapshot, len(self.log)))
        if len(self.log) > MOST_ENTRIES:
            self._forget(len(self.log) // 2)
        self.entries_due = len(self.log) + MOST_ENTRIES // 8
        if len(self.checkpoints) > MOST_CHECKPOINTS:
            del self.checkpoints[1:-1:2]
            self.interval *= 2
        ended = time.perf_counter()
        if ended - started > 0.03 * (started - self.last_time) and len(self.checkpoints) > 1:
            self.interval *= 2
        self.last_time = ended
        return now + self.interval

    def _forget(self, entries: int) -> None:
        """Drop the older past before memory runs out: at least so many entries of the log."""
        self.checkpoints = [point for point in self.checkpoints if point.position >= entries]
        dropped = self.checkpoints[0].position
        del self.log[:dropped]
        for point in self.checkpoints:
            point.position -= dropped

    def rewind(self, n: int) -> int:
        """Put the machine n instructions back; returns when a checkpoint is due."""
        machine = self.machine
        now = int(machine._c[INSTRUCTIONS])
        if not self.enabled:
            raise RewindError("this machine keeps no history; make it with Machine(history=True)")
        if not self.checkpoints or now - self.checkpoints[0].instructions < n:
            past = now - self.checkpoints[0].instructions if self.checkpoints else 0
            raise RewindError(
                f"cannot rewind {n:,} instructions: the history of this machine goes {past:,} back; "
                "it begins at the first run, or at the last reset or restore"
            )
        target = now - n
        chosen = max(i for i, point in enumerate(self.checkpoints) if i == 0 or point.before(target))
        point = self.checkpoints[chosen]
        machine._put_back(point.snapshot)
        machine._quiet(True)
        try:
            position = self._replay(point.position, target)
        finally:
            machine._quiet(False)
        del self.log[position:]
        del self.checkpoints[chosen + 1 :]
        return point.instructions + self.interval

    def _replay(self, position: int, target: int) -> int:
        """Run forward with the logged input; returns the position behind what was used.

        Answers and host calls that came last at the target belong to the instruction that comes next,
        which has not begun there.
        """
        log, machine = self.log, self.machine
        end = position
        while end < len(log) and log[end][0] <= target:
            end += 1
        while end > position and log[end - 1][0] == target and log[end - 1][1] in (ANSWER, CALLED):
            end -= 1
        while position < end:
            count, kind, data = log[position]
            if kind == ANSWER:
                self._advance(NEVER, (EXIT_PORT_IN, EXIT_MMIO_READ), count)
                c = machine._c
                c[REPLAY + c[REPLAY_COUNT]] = data
                c[REPLAY_COUNT] += 1
            elif kind == FAULT:
                word = INTERCEPT_VECTORS + (data >> 6)
                machine._c[word] |= 1 << (data & 63)
                self._advance(NEVER, (EXIT_EXCEPTION,), count)
                machine._c[word] ^= 1 << (data & 63)
            elif kind == CALLED:
                self._advance(NEVER, (EXIT_EXCEPTION,), count)
                machine._make_host_call()
            elif kind == IDLE_UNTIL:
                self._advance(count, (EXIT_LIMIT,), count)
                self._idle_until(data)
            else:
                self._advance(count, (EXIT_LIMIT,), count)
                machine._apply(kind, data)
            position += 1
        self._advance(target, (EXIT_LIMIT,), target)
        return position

    def _advance(self, limit: int, reasons: tuple[int, ...], expected: int) -> None:
        """Run silently: devices have had their writes already."""
        machine = self.machine
        c = machine._c
        c[RUN_DEADLINE] = NEVER
        while True:
            c[INSTRUCTION_LIMIT] = min(limit, c[INSTRUCTIONS] + REPLAY_SLICE)
            reason = machine._call(machine._handle)
            if reason in (EXIT_PORT_OUT, EXIT_MMIO_WRITE):
                c[POSTED_COUNT] = 0
            elif reason == EXIT_SERVICE:
                machine._service()
            elif reason in (EXIT_WATCHPOINT, EXIT_IDLE) or (reason == EXIT_LIMIT and c[INSTRUCTIONS] < limit):
                continue
            elif reason in reasons and c[INSTRUCTIONS] == expected:
                return
            elif reason == EXIT_EXCEPTION and machine._host_call is not None and c[EXIT_VECTOR] == UD:
                machine._make_host_call()
            else:
                raise RewindError(
                    f"the replay left the recorded path at instruction {c[INSTRUCTIONS]:,} "
                    f"(exit {reason}, expected {reasons} at {expected:,}); please report this"
                )

    def _idle_until(self, cycles: int) -> None:
        """Let time pass for a halted processor."""
        machine = self.machine
        c = machine._c
        c[RUN_DEADLINE], c[INSTRUCTION_LIMIT] = cycles, NEVER
        while c[CYCLES] < cycles:
            reason = machine._call(machine._handle)
            if reason == EXIT_SERVICE:
                machine._service()
            elif reason == EXIT_EXCEPTION and machine._host_call is not None:
                machine._make_host_call()
            elif reason not in (EXIT_IDLE, EXIT_DEADLINE):
                raise RewindError(
                    f"the replay left the recorded path at cycle {c[CYCLES]:,} (exit {reason}); "
                    "please report this"
                )
        c[RUN_DEADLINE] = NEVER
