"""What the assembler says when it cannot go on."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class AssemblyError(SyntaxError):
    """A line that cannot be assembled: where it is, what is wrong and what would help.

    It is a `SyntaxError`, so that notebooks and terminals show the line with a caret::

        line 3, column 1: unknown mnemonic movv; did you mean mov?
            movv eax, 1
            ^
    """

    def __init__(self, message: str, column: int = 1, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        self.line = 0
        self.column = column
        self.source_line = ""
        super().__init__(f"{message}; {remedy}" if remedy else message)

    def locate(self, line: int, source_line: str) -> AssemblyError:
        """Add the line; the code that finds an error knows only the column."""
        if not self.line:
            self.line, self.source_line = line, source_line
            self.filename, self.lineno, self.offset, self.text = "<assembly>", line, self.column, source_line
        return self

    def __str__(self) -> str:
        if not self.line:
            return str(self.msg)
        # Tabs stay tabs under the line, so that the caret stands where it should.
        blank = "".join("\t" if c == "\t" else " " for c in self.source_line[: self.column - 1])
        return f"line {self.line}, column {self.column}: {self.msg}\n    {self.source_line}\n    {blank}^"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy that names the nearest known word, or nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""
