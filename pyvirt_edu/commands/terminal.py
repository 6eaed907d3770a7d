"""The reader's terminal as the other end of a guest's serial line."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ESCAPE, QUIT = b"\x01", b"x"  # Ctrl-A, then x: as QEMU's -nographic has it


class Keys:
    """What is typed on standard input, read by a thread so that nobody waits for it."""

    def __init__(self) -> None:
        self._bytes: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._escaped = False
        self.quit = False
        threading.Thread(target=self._read, name="pyvirt keys", daemon=True).start()

    def _read(self) -> None:
        # not sys.stdin: its lock would still be held when the interpreter ends
        while data := os.read(0, 4096):
            self._bytes.put(data)

    def typed(self) -> bytes:
        """What has been typed since the last call."""
        out = b""
        while not self._bytes.empty():
            for number in self._bytes.get():
                key = bytes([number])
                if self._escaped:
                    self._escaped = False
                    self.quit |= key.lower() == QUIT
                    out += key if key == ESCAPE else b""
                elif key == ESCAPE and sys.stdin.isatty():
                    self._escaped = True
                else:
                    out += key
        return out


@contextmanager
def raw_terminal() -> Iterator[bool]:
    """Pass keys on one by one, Ctrl-C included; yields whether somebody sits there."""
    if not sys.stdin.isatty():
        yield False
        return
    try:
        import termios
        import tty
    except ImportError:  # Windows: whole lines, and Ctrl-C ends the run
        yield True
        return
    before: Any = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def show(data: bytes) -> None:
    """Guest output to standard output, as it is."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
