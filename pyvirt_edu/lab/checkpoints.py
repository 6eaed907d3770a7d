"""Known-good states, for a reader whose own got lost.

    start = checkpoint("a loaded machine", m)       keeps a snapshot of m
    ... any experiment ...
    start.restore()                                 m is as it was

With a function instead of a machine, ``restore`` calls it and returns what it made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Checkpoint:
    """A state with a name; ``restore`` brings it back, as often as wanted."""

    def __init__(self, name: str, subject: Any) -> None:
        self.name = name
        self._build: Callable[[], Any] | None = None
        if hasattr(subject, "snapshot") and hasattr(subject, "restore"):
            self._machine, self._snapshot = subject, subject.snapshot()
        elif callable(subject):
            self._build = subject
        else:
            raise TypeError(f"checkpoint({name!r}, ...) takes a machine or a function that makes the state")

    def restore(self) -> Any:
        """Bring the state back; the machine, or what the function made, is returned."""
        if self._build is not None:
            return self._build()
        self._machine.restore(self._snapshot)
        return self._machine

    def __repr__(self) -> str:
        return f"Checkpoint {self.name!r}: restore() brings it back"


def checkpoint(name: str, subject: Any) -> Checkpoint:
    """Keep the state of a machine, or how to make one, under a name."""
    return Checkpoint(name, subject)
