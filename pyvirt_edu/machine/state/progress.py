"""A progress bar for what takes a while: one line that redraws itself on a terminal,
one plain line for each finished part in a log or a notebook."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

WIDTH = 30


class Progress:
    """``with Progress("compiling") as progress: work(progress)``; call it with
    (done, total, name of the part that has just finished)."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self.title = title
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.start = time.monotonic()
        self.done = self.total = 0
        self.finished = threading.Event()
        self.clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        if self.live:
            self.clock.start()
        return self

    def __call__(self, done: int, total: int, name: str) -> None:
        self.done, self.total = done, total
        if self.live:
            self._draw()
        elif done:
            self._say(f"{self.title}: {done} of {total} ({name}), {self.seconds:.0f} s\n")
        else:
            self._say(f"{self.title}: {total} parts, once; later starts find them compiled\n")

    def __exit__(self, *_: object) -> None:
        self.finished.set()
        if self.live:
            self.clock.join()
            if self.total:
                self._draw()
                self._say("\n")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def _tick(self) -> None:
        while not self.finished.wait(0.5):
            if self.total:
                self._draw()

    def _draw(self) -> None:
        filled = WIDTH * self.done // self.total
        bar = "#" * filled + "." * (WIDTH - filled)
        self._say(f"\r{self.title} [{bar}] {self.done}/{self.total}  {self.seconds:.0f} s ")

    def _say(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
