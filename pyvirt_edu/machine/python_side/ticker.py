"""Calls long slices back, so that Python gets a word in every few milliseconds.

A slice of `Machine.run` is cut by an instruction count that fits the speed of the guest so
far. When the guest turns to something hundreds of times slower, this thread lowers the
limit of the slice that is under way; where a slice ends changes no count of the machine.
The thread lives while machines run, and a little longer.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ..state.layout import INSTRUCTION_LIMIT

if TYPE_CHECKING:
    from .running import Running

PERIOD = 0.008
LINGER = 100  # idle periods

_running: dict[int, Running] = {}
_thread: threading.Thread | None = None


def add(machine: Running) -> None:
    global _thread
    _running[id(machine)] = machine
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_tick, name="pyvirt ticker", daemon=True)
        _thread.start()


def remove(machine: Running) -> None:
    _running.pop(id(machine), None)


def _tick() -> None:
    idle = 0
    while idle < LINGER:
        time.sleep(PERIOD)
        idle = 0 if _running else idle + 1
        now = time.perf_counter()
        for machine in list(_running.values()):
            started = machine._slice_started
            if started and now - started > PERIOD:
                machine._c[INSTRUCTION_LIMIT] = 0
