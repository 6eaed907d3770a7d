"""What an address of a compiled image is: function, source line, and the text of that line."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..machine.errors import ImageError
from .debug_files import Image
from .source_lines import SourceLine, SourceLines
from .symbols import Symbols

if TYPE_CHECKING:
    from ..machine.time_travel.tracing import Trace


class Place(NamedTuple):
    """Where an instruction is in what somebody wrote."""

    image: str  # "kernel", or the name of a program
    function: str
    offset: int  # bytes from its start
    source: SourceLine | None


class CodeMap:
    """``CodeMap(image, sources=folder)`` of an ELF that was compiled with ``-g``.

    Also the simplest `guest=` of the trace player: one image, no processes. Without -g there are
    functions and no lines; a stripped image has neither.
    """

    def __init__(self, image: Image, name: str = "kernel", sources: str | Path | None = None) -> None:
        self._image, self.name = image, name
        self._folder = None if sources is None else Path(sources)
        self._texts: dict[str, list[str]] = {}

    @cached_property
    def symbols(self) -> Symbols | None:
        try:
            return Symbols.of(self._image)
        except ImageError:
            return None

    @cached_property
    def lines(self) -> SourceLines | None:
        try:
            return SourceLines.of(self._image)
        except ImageError:
            return None

    def at(self, address: int) -> Place | None:
        found = self.symbols.place(address) if self.symbols else None
        return (
            None
            if found is None
            else Place(self.name, *found, self.lines.at(address) if self.lines else None)
        )

    # --- what the trace player asks ----------------------------------------------------

    def who(self, trace: Trace) -> list[tuple[int, str]]:
        """From which step on who runs: nobody here tells."""
        return []

    def place(self, who: str, ring: int, address: int) -> Place | None:
        """What an address is, to whoever runs."""
        return self.at(address)

    def text(self, file: str) -> list[str]:
        """The lines of a source file; none if the sources are not here."""
        if file not in self._texts:
            path = None if self._folder is None else self._folder / file
            there = path is not None and path.is_file()
            self._texts[file] = path.read_text(encoding="utf-8").splitlines() if path and there else []
        return self._texts[file]
