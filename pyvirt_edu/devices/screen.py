"""The text screen of a PC, as text, as HTML and as a picture.

What is shown follows from the VGA's registers (vga.py) and from the characters in RAM: two
bytes each, the character in code page 437 and its attribute, the foreground colour in the
lower half and the background in the upper.
"""

from __future__ import annotations

import html
from itertools import groupby

import numpy as np

from ..machine.bare_machine import BareMachine
from .vga import ATTRIBUTE, CRTC, DAC, GRAPHICS

#: Code page 437 with the pictures that the screen has for control characters.
CODE_PAGE = (
    " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
    + bytes(range(32, 127)).decode("ascii")
    + "⌂"
    + bytes(range(128, 256)).decode("cp437")
)
PICTURES = np.array(list(CODE_PAGE))
WINDOWS = ((0xA0000, 0x20000), (0xA0000, 0x10000), (0xB0000, 0x8000), (0xB8000, 0x8000))
CELL_WIDTH, CELL_HEIGHT = 9, 16
# CRTC registers
HORIZONTAL_END, OVERFLOW, MAXIMUM_SCAN_LINE = 0x01, 0x07, 0x09
CURSOR_START, CURSOR_END, START, CURSOR, VERTICAL_END, OFFSET = 0x0A, 0x0B, 0x0C, 0x0E, 0x12, 0x13


class Screen:
    """The VGA screen in text mode.

    >>> m.screen.text          # what can be read
    >>> m.screen.cursor        # (row, column), or None where it is off
    >>> m.screen               # in a notebook: in colours
    """

    def __init__(self, machine: BareMachine) -> None:
        self._machine = machine

    # --- what the registers say --------------------------------------------------------

    def _register(self, place: int) -> int:
        return int(self._machine._a.device_bytes[place])

    def _crtc(self, index: int) -> int:
        return self._register(CRTC + index)

    def _crtc_pair(self, index: int) -> int:
        return self._crtc(index) << 8 | self._crtc(index + 1)

    @property
    def mode(self) -> str:
        """ "text" or "graphics" (of which nothing is shown)."""
        return "graphics" if self._register(GRAPHICS + 6) & 1 else "text"

    @property
    def columns(self) -> int:
        return self._crtc(HORIZONTAL_END) + 1

    @property
    def rows(self) -> int:
        overflow = self._crtc(OVERFLOW)
        end = self._crtc(VERTICAL_END) | (overflow >> 1 & 1) << 8 | (overflow >> 6 & 1) << 9
        return (end + 1) // ((self._crtc(MAXIMUM_SCAN_LINE) & 31) + 1)

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Row and column of the cursor; None if it is off or outside of the screen."""
        if self._crtc(CURSOR_START) & 0x20 or self._crtc(CURSOR_START) & 31 > self._crtc(CURSOR_END) & 31:
            return None
        pitch = max(2 * self._crtc(OFFSET), 1)
        row, column = divmod(self._crtc_pair(CURSOR) - self._crtc_pair(START), pitch)
        return (row, column) if 0 <= row < self.rows and column < self.columns else None

    @property
    def cells(self) -> np.ndarray:
        """Characters and attributes, as an array of rows by columns by 2."""
        base, size = WINDOWS[self._register(GRAPHICS + 6) >> 2 & 3]
        memory = np.frombuffer(self._machine.read(base, size), np.uint8).reshape(-1, 2)
        first, pitch = self._crtc_pair(START), 2 * self._crtc(OFFSET)
        rows, columns = self.rows, self.columns
        places = first + pitch * np.arange(rows)[:, None] + np.arange(columns)
        return memory[places % len(memory)]

    @property
    def colours(self) -> list[str]:
        """The 16 colours of attributes, as #rrggbb."""
        result = []
        for i in range(16):
            place = DAC + 3 * self._register(ATTRIBUTE + i)
            parts = self._machine._a.device_bytes[place : place + 3].tolist()
            result.append("#" + "".join(f"{(part & 63) * 255 // 63:02x}" for part in parts))
        return result

    # --- what can be read --------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """All rows, each of full width."""
        if self.mode != "text":
            return []
        pictures = PICTURES[self.cells[:, :, 0]]
        return pictures.view(f"<U{self.columns}")[:, 0].tolist()  # type: ignore[no-any-return]

    @property
    def text(self) -> str:
        """What stands on the screen, without the blanks at the end of each line and below."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")

    @property
    def attributes(self) -> np.ndarray:
        """The attribute of each character: rows by columns."""
        return self.cells[:, :, 1]

    # --- looks -------------------------------------------------------------------------

    def _runs(self) -> list[list[tuple[int, int, int, str]]]:
        """For each row: column, foreground, background and text of what has one colour."""
        backgrounds = 7 if self._register(ATTRIBUTE + 16) & 8 else 15  # bit 7 may mean blinking
        result = []
        for codes, line in zip(self.attributes.tolist(), self.lines, strict=True):
            runs, column = [], 0
            for attribute, group in groupby(codes):
                width = len(list(group))
                text = line[column : column + width]
                runs.append((column, attribute & 15, attribute >> 4 & backgrounds, text))
                column += width
            result.append(runs)
        return result

    def _repr_html_(self) -> str:
        if self.mode != "text":
            return "<p>The screen is in a graphics mode.</p>"
        colours = self.colours
        rows = [
            "".join(
                f'<span style="color:{colours[front]};background:{colours[back]}">{html.escape(text)}</span>'
                for _, front, back, text in runs
            )
            for runs in self._runs()
        ]
        style = "display:inline-block;line-height:1.2;padding:.5em;margin:0;overflow:auto"
        return (
            f'<pre role="img" aria-label="text screen" style="{style};'
            f'background:{colours[0]}">' + "\n".join(rows) + "</pre>"
        )

    def svg(self) -> str:
        """The screen as a picture; the text in it can be selected."""
        colours, width, height = self.colours, CELL_WIDTH * self.columns, CELL_HEIGHT * self.rows
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="text screen" '
            'font-family="monospace" font-size="15" xml:space="preserve">',
            f'<rect width="{width}" height="{height}" fill="{colours[0]}"/>',
        ]
        for y, runs in enumerate(self._runs() if self.mode == "text" else []):
            for column, front, back, text in runs:
                x, wide = CELL_WIDTH * column, CELL_WIDTH * len(text)
                if back:
                    parts.append(
                        f'<rect x="{x}" y="{CELL_HEIGHT * y}" width="{wide}" height="{CELL_HEIGHT}" '
                        f'fill="{colours[back]}"/>'
                    )
                if text.strip():
                    parts.append(
                        f'<text x="{x}" y="{CELL_HEIGHT * y + 12}" textLength="{wide}" '
                        f'fill="{colours[front]}">{html.escape(text)}</text>'
                    )
        cursor = self.cursor
        if cursor is not None:
            x, y = CELL_WIDTH * cursor[1], CELL_HEIGHT * cursor[0] + 13
            parts.append(f'<rect x="{x}" y="{y}" width="{CELL_WIDTH}" height="2" fill="{colours[7]}"/>')
        return "".join(parts) + "</svg>"

    def __repr__(self) -> str:
        if self.mode != "text":
            return "Screen(in a graphics mode)"
        where = "off" if self.cursor is None else f"row {self.cursor[0]}, column {self.cursor[1]}"
        return f"Screen({self.columns}x{self.rows}, cursor {where})\n{self.text}"
