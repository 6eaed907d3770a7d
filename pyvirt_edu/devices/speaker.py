"""Port 61h: the gate and output of the speaker's counter, and the refresh toggle (82371SB data
sheet, NMI status and control register)."""

from __future__ import annotations

from ..machine.state.handles import devices
from ..machine.state.jit import core
from .clock import now
from .layout import SPEAKER
from .pit import counter_output, set_gate, ticks_at

CONTROL = SPEAKER
REFRESH_TICKS = 18  # DRAM is refreshed every 15 microseconds


@core
def speaker_read(m):
    """Bits 0 to 3 as written, bit 4 changes with every refresh, bit 5 is the counter's output."""
    refresh = ticks_at(now(m)) // REFRESH_TICKS & 1
    return devices(m)[CONTROL] | refresh << 4 | counter_output(m, 2) << 5


@core
def speaker_write(m, byte):
    devices(m)[CONTROL] = byte & 15
    set_gate(m, 2, byte & 1)


@core
def speaker_reset(m):
    devices(m)[CONTROL] = 0
