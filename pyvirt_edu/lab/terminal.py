"""What a terminal shows of a guest's output: lines of text, with the VT100's common sequences.

Lines that scroll out at the top are kept, up to a limit. `changed` tells which lines to draw.
"""

from __future__ import annotations

import codecs
import re
from itertools import groupby

COLUMNS, ROWS, KEPT = 80, 24, 1000
TOKEN = re.compile(
    r"\x1b\[(?P<arguments>[0-9;?]*)(?P<final>[@-~])|\x1b[()#].|\x1b[^\[()#]|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
    r"|(?P<text>[^\x00-\x1f\x7f]+)"
)
BOLD, INVERSE = 1 << 10, 1 << 11
FRONT, BACK = 0x1F, 0x1F << 5  # colour + 1, or 0
Cell = tuple[str, int]
#: Text, colour of the letters, colour behind them (None: the terminal's own), bold.
Run = tuple[str, int | None, int | None, bool]


class Terminal:
    """80 columns, 24 rows and what scrolled away above them."""

    def __init__(self) -> None:
        self.lines: list[list[Cell]] = [[] for _ in range(ROWS)]
        self.row, self.column = 0, 0  # of the screen, which is the last ROWS lines
        self.style = 0
        self.changed = 0  # the first line that is not as it was when somebody last took it
        self.dropped = 0  # lines forgotten at the top
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._saved = (0, 0)

    # --- output ------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Show what came."""
        text = self._rest + self._decoder.decode(data)
        self._rest, place = "", 0
        while place < len(text):
            found = TOKEN.match(text, place)
            if found is None:  # a sequence that is not complete yet
                self._rest = text[place:]
                if len(self._rest) > 64:
                    self._rest = ""
                return
            place = found.end()
            if found["text"]:
                self._write(found["text"])
            elif found["control"]:
                self._control(found["control"])
            elif found["final"]:
                self._sequence(found["arguments"], found["final"])
            else:
                self._escape(found[0])

    @property
    def top(self) -> int:
        """The line that the screen begins with."""
        return len(self.lines) - ROWS

    def _touch(self, line: int) -> None:
        self.changed = min(self.changed, self.dropped + line)

    def _line(self) -> list[Cell]:
        at = self.top + self.row
        self._touch(at)
        return self.lines[at]

    def _write(self, text: str) -> None:
        while text:
            if self.column >= COLUMNS:
                self.column = 0
                self._down()
            part, text = text[: COLUMNS - self.column], text[COLUMNS - self.column :]
            line = self._line()
            line += [(" ", 0)] * (self.column - len(line))
            line[self.column : self.column + len(part)] = [(letter, self.style) for letter in part]
            self.column += len(part)

    def _down(self) -> None:
        if self.row < ROWS - 1:
            self.row += 1
            return
        self._touch(self.top + self.row)
        self.lines.append([])
        if len(self.lines) > KEPT:
            del self.lines[0]
            self.dropped += 1

    def _control(self, letter: str) -> None:
        if letter in "\n\v\f":
            self._down()
        elif letter == "\r":
            self.column = 0
        elif letter == "\b":
            self.column = max(min(self.column, COLUMNS - 1) - 1, 0)
        elif letter == "\t":
            self.column = min(self.column // 8 * 8 + 8, COLUMNS - 1)

    def _escape(self, sequence: str) -> None:
        if sequence == "\x1b7":
            self._saved = self.row, self.column
        elif sequence == "\x1b8":
            self.row, self.column = self._saved
        elif sequence == "\x1bM" and self.row:
            self.row -= 1
        elif sequence == "\x1bc":
            self.style = self.row = self.column = 0
            self._clear(0, ROWS)

    def _sequence(self, arguments: str, final: str) -> None:
        numbers = [int(n) for n in re.findall(r"\d+", arguments)]
        n = numbers[0] if numbers else 0
        many = max(n, 1)
        if final == "A":
            self.row = max(self.row - many, 0)
        elif final == "B":
            self.row = min(self.row + many, ROWS - 1)
        elif final == "C":
            self.column = min(self.column + many, COLUMNS - 1)
        elif final == "D":
            self.column = max(self.column - many, 0)
        elif final == "G":
            self.column = min(many, COLUMNS) - 1
        elif final == "d":
            self.row = min(many, ROWS) - 1
        elif final in "Hf":
            second = numbers[1] if len(numbers) > 1 else 1
            self.row, self.column = min(many, ROWS) - 1, min(max(second, 1), COLUMNS) - 1
        elif final == "J":
            self._erase_screen(n)
        elif final == "K":
            self._erase_line(n)
        elif final == "m":
            self._graphics(numbers or [0])
        elif final == "s":
            self._saved = self.row, self.column
        elif final == "u":
            self.row, self.column = self._saved

    def _clear(self, first: int, end: int) -> None:
        for row in range(first, end):
            self.lines[self.top + row] = []
            self._touch(self.top + row)

    def _erase_line(self, how: int) -> None:
        line = self._line()
        if how == 0:
            del line[self.column :]
        elif how == 1:
            line[: self.column + 1] = [(" ", 0)] * min(self.column + 1, len(line))
        else:
            line.clear()

    def _erase_screen(self, how: int) -> None:
        if how == 0:
            self._erase_line(0)
            self._clear(self.row + 1, ROWS)
        elif how == 1:
            self._erase_line(1)
            self._clear(0, self.row)
        else:
            self._clear(0, ROWS)

    def _graphics(self, numbers: list[int]) -> None:
        for n in numbers:
            if n == 0:
                self.style = 0
            elif n == 1:
                self.style |= BOLD
            elif n == 22:
                self.style &= ~BOLD
            elif n == 7:
                self.style |= INVERSE
            elif n == 27:
                self.style &= ~INVERSE
            elif 30 <= n <= 37 or 90 <= n <= 97:
                self.style = self.style & ~FRONT | (n - 29 if n < 90 else n - 81)
            elif n == 39:
                self.style &= ~FRONT
            elif 40 <= n <= 47 or 100 <= n <= 107:
                self.style = self.style & ~BACK | (n - 39 if n < 100 else n - 91) << 5
            elif n == 49:
                self.style &= ~BACK

    # --- looks -------------------------------------------------------------------------

    @property
    def cursor(self) -> tuple[int, int]:
        """Line, counted from the first one ever, and column."""
        return self.dropped + self.top + self.row, min(self.column, COLUMNS - 1)

    def used(self) -> int:
        """How many lines there are to show: all up to the last that has text or the cursor."""
        end = self.top + self.row + 1
        for i in range(len(self.lines) - 1, end - 1, -1):
            if self.lines[i]:
                return i + 1
        return end

    @property
    def text(self) -> str:
        lines = ["".join(letter for letter, _ in line).rstrip() for line in self.lines[: self.used()]]
        return "\n".join(lines).rstrip("\n")

    def runs(self, line: int) -> list[Run]:
        """A line as pieces of one look."""
        out: list[Run] = []
        for style, cells in groupby(self.lines[line], key=lambda cell: cell[1]):
            front, back = style & FRONT, (style & BACK) >> 5
            if style & INVERSE:
                front, back = back or 1, front or 8
            letters = "".join(letter for letter, _ in cells)
            out.append(
                (letters, front - 1 if front else None, back - 1 if back else None, bool(style & BOLD))
            )
        return out

    def take_all(self) -> tuple[int, list[list[Run]]]:
        """Number of the first line that is kept, and all from there on."""
        return self.dropped, [self.runs(i) for i in range(self.used())]

    def take(self) -> tuple[int, list[list[Run]]]:
        """The lines from the first one that changed since the last call."""
        first = max(min(self.changed, self.dropped + self.used()), self.dropped)
        self.changed = self.dropped + self.used()
        return first, [self.runs(i) for i in range(first - self.dropped, self.used())]
