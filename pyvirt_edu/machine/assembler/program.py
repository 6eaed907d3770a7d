"""What the assembler returns: bytes that know where they came from."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class ListingRow(NamedTuple):
    """One source line and what became of it."""

    address: int
    code: bytes
    source: str
    line: int  #: number of the source line, from 1
    bits: int  #: 16 or 32: the mode it was assembled for


class Program(bytes):
    """Machine code: the bytes themselves, with their labels and their listing.

    It is an ordinary `bytes` object, so it can be loaded, sliced, hashed and written to a file.
    """

    symbols: dict[str, int]  #: label -> address
    constants: dict[str, int]  #: what ``equ`` defined
    listing: list[ListingRow]
    source: str
    origin: int
    bits: int

    def __new__(
        cls,
        code: bytes = b"",
        symbols: Mapping[str, int] | None = None,
        listing: Iterable[ListingRow] = (),
        source: str = "",
        origin: int = 0,
        bits: int = 32,
        constants: Mapping[str, int] | None = None,
    ) -> Program:
        program = super().__new__(cls, code)
        program.symbols = dict(symbols or {})
        program.constants = dict(constants or {})
        program.listing = list(listing)
        program.source = source
        program.origin = origin
        program.bits = bits
        return program

    def address_of(self, line: int) -> int:
        """The address of what stands on a source line (from 1)."""
        for row in self.listing:
            if row.line == line:
                return row.address
        raise KeyError(f"line {line} is not in the listing")

    def _summary(self) -> str:
        labels = f", {len(self.symbols)} label{'s' * (len(self.symbols) != 1)}" if self.symbols else ""
        return f"Program of {len(self)} byte{'s' * (len(self) != 1)} at {self.origin:#x}{labels}"

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        for row in self.listing:
            if not row.source.strip() and not row.code:
                continue
            shown = row.code[:8].hex(" ") + (" …" if len(row.code) > 8 else "")
            yield (f"{row.address:08x}" if row.code else ""), shown, row.source.rstrip()

    def __repr__(self) -> str:
        rows = list(self._rows())
        lines = [f"{address:8}  {code:25}  {source}".rstrip() for address, code, source in rows[:60]]
        if len(rows) > 60:
            lines.append(f"... and {len(rows) - 60} more lines in .listing")
        return "\n".join([f"<{self._summary()}>", *lines])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:left;white-space:pre"><code>{html.escape(cell)}</code></td>'
                for cell in row
            )
            + "</tr>"
            for row in self._rows()
        )
        head = "".join(
            f'<th scope="col" style="text-align:left">{name}</th>' for name in ("Address", "Bytes", "Source")
        )
        caption = f"<caption>{self._summary()}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>"
