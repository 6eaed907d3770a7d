"""The console: what a guest says on its serial port and on port E9h, and what it is told.

The core keeps what was sent in a ring (uart.py) and asks for Python when half of it is full.
Whoever looks earlier takes what there is. The number of characters sent is part of the
machine's state, how many of them Python has taken is not: looking changes nothing.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import numpy as np

from ..machine.bare_machine import BareMachine
from ..machine.errors import MachineError
from ..machine.exits import Exit
from ..machine.state.layout import RIP
from .layout import OP_UART_INPUT, SERVICE_CONSOLE, UART_OUT_BYTES
from .uart import (
    AWAITED,
    ENTRIES,
    ENTRY,
    FROM_DEBUG_PORT,
    FROM_UART,
    IN_HEAD,
    IN_TAIL,
    NOTHING_AWAITED,
    OUT_HEAD,
)

KEPT = 64 << 20  # bytes of entries; older output is forgotten
PIECE = 1 << 16
PATIENCE = 2_000_000_000  # instructions

Sink = Callable[[bytes], Any]


class Console:
    """The terminal at a machine's serial port, and the reader of its debug port.

    >>> m.console.text            # what came out so far, of both ports
    >>> m.console.type("ls\\n")    # keys for the serial port
    >>> m.console.wait_for("$ ")  # run until the guest has said that
    """

    bits = SERVICE_CONSOLE

    def __init__(self, machine: BareMachine) -> None:
        self._machine = machine
        self._typed: list[bytes] = []  # while the machine runs: for the end of the slice
        self._sink: Sink | None = None
        self._wanted: tuple[int, bytes] | None = None
        self._forget()

    def _forget(self) -> None:
        self._pieces: list[bytes] = []
        self._last = bytearray()
        self._taken = 0  # characters taken from the ring
        self._dropped = 0  # of them forgotten
        self._seen = 0  # where `wait_for` goes on
        self._shown = 0  # given to the sink

    # --- what came out -----------------------------------------------------------------

    def _take(self) -> None:
        """Fetch what the ring has."""
        a = self._machine._a
        head = int(a.devices[OUT_HEAD])
        while self._taken < head:
            first = self._taken % ENTRIES
            count = min(head - self._taken, ENTRIES - first)
            place = UART_OUT_BYTES + first * ENTRY
            self._last += a.device_bytes[place : place + count * ENTRY].tobytes()
            self._taken += count
        if len(self._last) >= PIECE:
            self._pieces.append(bytes(self._last))
            self._last.clear()
            while len(self._pieces) * PIECE > KEPT:
                self._dropped += len(self._pieces.pop(0)) // ENTRY

    def _entries(self, start: int = 0) -> bytes:
        """Entries of the ring from a character's number on."""
        self._take()
        skip = max(start - self._dropped, 0) * ENTRY
        wanted: list[bytes] = [bytes(self._last)]
        have = len(self._last)
        total = (self._taken - self._dropped) * ENTRY
        for piece in reversed(self._pieces):
            if total - have <= skip:
                break
            wanted.append(piece)
            have += len(piece)
        data = b"".join(reversed(wanted))
        return data[max(skip - (total - have), 0) :]

    def _only(self, source: int) -> bytes:
        entries = np.frombuffer(self._entries(), np.uint8).reshape(-1, ENTRY)
        return entries[entries[:, 1] == source, 0].tobytes()

    @property
    def output(self) -> bytes:
        """All bytes that came out, of both ports, in their order."""
        return self._entries()[::2]

    @property
    def text(self) -> str:
        """All that came out, of both ports, in its order."""
        return self.output.decode(errors="replace")

    @property
    def serial(self) -> str:
        """What came out of the serial port."""
        return self._only(FROM_UART).decode(errors="replace")

    @property
    def debug(self) -> str:
        """What came out of port E9h."""
        return self._only(FROM_DEBUG_PORT).decode(errors="replace")

    def attach(self, sink: Sink | None) -> None:
        """Hand all that comes out from now on to a function, every few milliseconds of a run,
        as bytes; None ends that."""
        self._take()
        self._sink, self._shown = sink, self._taken

    def pump(self) -> None:
        """Give the sink what is new, and the guest what was typed during a run."""
        while self._typed:
            self._enter(self._typed.pop(0))
        if self._sink is not None and not self._machine._replaying:
            start = self._shown
            new = self._entries(start)[::2]
            self._shown = max(self._taken, start)
            if new:
                self._sink(new)

    # --- what goes in ------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Characters typed that the serial port has not received yet."""
        words = self._machine._a.devices
        return int(words[IN_HEAD] - words[IN_TAIL]) + sum(len(data) for data in self._typed)

    def type(self, text: str | bytes) -> None:
        """Send keys to the serial port; they arrive as fast as the line and the guest permit.

        This is input: it is noted, and a rewound machine gets it again at the same moment.
        """
        data = text.encode() if isinstance(text, str) else bytes(text)
        if self.waiting + len(data) > ENTRIES:
            raise MachineError(
                f"type: {self.waiting:,} characters wait for the guest already and there is room for "
                f"{ENTRIES:,}; run the machine, so that it reads them"
            )
        if self._machine._running:
            self._typed.append(data)
        else:
            self._enter(data)

    def _enter(self, data: bytes) -> None:
        for i in range(0, len(data), 8):
            part = data[i : i + 8]
            self._machine._tell_devices(OP_UART_INPUT, len(part), int.from_bytes(part, "little"))

    def send_break(self) -> None:
        """Hold the line for longer than a character (a "break", which some kernels act on)."""
        self._machine._tell_devices(OP_UART_INPUT, 0, 0)

    # --- waiting -----------------------------------------------------------------------

    def wait_for(
        self,
        text: str | bytes,
        max_instructions: int | None = PATIENCE,
        max_cycles: int | None = None,
    ) -> Exit:
        """Run until the guest has said this, or something ends the run before.

        What earlier calls have found is not looked at again. The exit's reason is "until"
        when the text is there; the machine then stands behind the instruction that sent its
        last character.
        """
        wanted = text.encode() if isinstance(text, str) else bytes(text)
        if not wanted:
            raise MachineError("wait_for: there is no text to wait for")
        if self._found(wanted):
            m = self._machine
            return Exit("until", m._c[RIP], m.instructions)
        words = self._machine._a.devices
        self._wanted = (self._seen, wanted)
        words[AWAITED] = wanted[-1]
        try:
            return self._machine.run(max_instructions=max_instructions, max_cycles=max_cycles)
        finally:
            self._wanted = None
            words[AWAITED] = NOTHING_AWAITED

    def _found(self, wanted: bytes) -> bool:
        place = self._entries(self._seen)[::2].find(wanted)
        if place < 0:
            return False
        self._seen = max(self._seen, self._dropped) + place + len(wanted)
        return True

    # --- the part of a service (platform.py) -------------------------------------------

    def reset(self) -> None:
        """Power on."""
        self._forget()
        self._typed.clear()

    def serve(self, bits: int) -> Exit | None:
        self._take()
        if self._wanted is not None and not self._machine._replaying and self._found(self._wanted[1]):
            return Exit("until", self._machine._c[RIP], self._machine.instructions)
        return None

    def rewound(self) -> None:
        """What the replay has said again is known at the sink."""
        self._take()
        self._shown = self._taken

    def state(self) -> Any:
        self._take()
        return [list(self._pieces), bytes(self._last), self._taken, self._dropped, self._seen]

    def restore(self, state: Any) -> None:
        pieces, last, self._taken, self._dropped, self._seen = state
        self._pieces, self._last = list(pieces), bytearray(last)
        self._shown = min(self._shown, self._taken)
        if self._wanted is None:
            self._machine._a.devices[AWAITED] = NOTHING_AWAITED

    # --- looks -------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Console({self._taken:,} characters out, {self.waiting:,} waiting to go in)\n{self.text}"

    def _repr_html_(self) -> str:
        return (
            "<pre role='log' aria-label='console' style='background:#111;color:#eee;padding:.6em;"
            f"max-height:30em;overflow:auto'>{html.escape(self.text)}</pre>"
        )
