"""`player(trace)`: a recorded run that the reader scrubs in the browser.

The whole trace travels once; stepping asks no kernel. What is shown is the HTML of static.py, in
JupyterLab as on a static page. `live.TracePlayer` is the same player as a widget, for code that
wants to know the step or to set it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import static
from .document import Document, Guest, document, pack


class Player:
    """A trace, ready to be shown."""

    def __init__(self, found: Document, step: int = 0, height: int | None = None) -> None:
        self.document = found
        self.packed = pack(found)
        count = len(self.packed["steps"])
        if not -count - 1 <= step <= count:
            raise IndexError(f"step={step}: this trace has the positions 0 to {count}")
        self.step = step if step >= 0 else step + count + 1
        self.height = height

    def __repr__(self) -> str:
        return static.text(self.packed)

    def _repr_html_(self) -> str:
        return static.page_part(self.packed, self.step, self.height)

    def widget(self) -> Any:
        """The same as a live widget with the trait ``step``."""
        from .live import TracePlayer

        return TracePlayer(self)


def player(
    trace: Any,
    *,
    title: str = "",
    step: int = 0,
    limit: int = 1000,
    memory: Iterable[Any] | None = None,
    symbols: Mapping[int, str] | None = None,
    source: Mapping[int, str] | None = None,
    first: int = 0,
    guest: Guest | None = None,
    height: int | None = None,
) -> Player:
    """A player for a `Trace`, or for a trace document (see document.py).

    - ``step``: where it opens; negative counts from the end.
    - ``limit``: how many steps travel at most, ``first``: from which step of the trace on.
    - ``guest``: what knows the guest, a `CodeMap` of its image or the inspector of its operating
      system. With it the player shows functions, lines of source, rings and processes.
    - ``memory``: windows, each ``(address, length)``, ``(address, length, label)`` or
      ``(address, length, label, kind)``, kind "bytes", "stack" or "entries" (of a page table).
      "stack" in its place is the stack that the run used, or both if it changed rings. Without
      windows: the stack, and what the run wrote elsewhere.
    - ``symbols``: names of code addresses. ``source``: a line of source by code address.
    - ``height`` of the panes, in pixels.
    """
    found = document(
        trace,
        title=title,
        limit=limit,
        memory=memory,
        symbols=symbols,
        source=source,
        first=first,
        guest=guest,
    )
    return Player(found, step, height)
