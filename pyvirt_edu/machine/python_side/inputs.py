"""What enters a machine from Python, noted so that `back` can repeat it.

Invariant: whatever changes the state of a machine from outside passes `_poke`, `_core`,
`_core_value`, `Memory.write` or, for a device's answer, `DeviceClaims._answer`; each notes it in
the log before it acts. A reset, a restore and a changed disk begin the history anew instead. A log
entry is (instruction count, kind, data):

    WORDS   words of the processor's row that Python wrote: registers, interrupt lines
    BYTES   (address, bytes) that Python wrote to RAM
    CALL    (unit, words, a, b, c): a unit that Python called, for example to load a segment
    ANSWER  the value that a device gave to the read the instruction was waiting for
    IDLE_UNTIL  the cycle count of the next entry: the processor was halted meanwhile
    FAULT   vector of an exception that left the machine before it was delivered
    CALLED  a host call (stops.py) that ended the run; others come by themselves when the past is repeated

What a host call does is no input: repeating the past makes the same call again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..state.layout import ATTENTION, CYCLES, HALTED, INSTRUCTIONS
from .core import Core

if TYPE_CHECKING:
    from ..time_travel.history import History

WORDS, BYTES, CALL, ANSWER, FAULT, IDLE_UNTIL, CALLED = range(7)


class Inputs(Core):
    """Needs ``_history``, which keeps the log, and ``_due``, the instruction count of its next checkpoint;
    `Rewindable` makes both."""

    _history: History
    _due: int
    _in_host_call = False

    def _log(self, kind: int, data: Any) -> None:
        """Note an input, so that `back` can repeat it."""
        if self._history.checkpoints and not self._in_host_call:
            now = self._c[INSTRUCTIONS]
            if self._c[HALTED]:  # time passes without instructions: say when, too
                self._history.log.append((now, IDLE_UNTIL, self._c[CYCLES]))
            self._history.log.append((now, kind, data))

    def _poke(self, words: tuple[tuple[int, int], ...]) -> None:
        """Write words of the processor's row."""
        c = self._c
        self._log(WORDS, words)
        for offset, value in words:
            c[offset] = value

    def _core(self, unit: str, words: tuple[tuple[int, int], ...], a: int, b: int, c: int) -> int:
        self._log(CALL, (unit, words, a, b, c))
        return self._core_silently(unit, words, a, b, c)

    def _core_value(self, unit: str, a: int, b: int, c: int) -> int:
        """Call a unit for its value; logged like every input."""
        self._log(CALL, (unit, (), a, b, c))
        value = int(self._units[unit](self._handle, a, b, c))
        self._c[ATTENTION] = 1
        return value

    def _tell_devices(self, operation: int, a: int = 0, b: int = 0) -> None:
        """Something enters through a device: an operation of devices/layout.py, logged."""
        self._core("device_access", (), operation, a, b)

    def _apply(self, kind: int, data: Any) -> None:
        """Replay one entry of the log."""
        if kind == WORDS:
            for offset, value in data:
                self._c[offset] = value
        elif kind == BYTES:
            self._put(*data)
        elif kind == CALL:
            self._core_silently(*data)
