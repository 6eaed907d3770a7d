"""Which line of source an instruction comes from (DWARF, the line number table of each unit)."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, NamedTuple

from .debug_files import Image, open_dwarf


class SourceLine(NamedTuple):
    file: str  # as the compiler was told, "./" taken off
    line: int  # from 1


class SourceLines:
    """``lines.at(address)``; addresses that no line made are in none.

    >>> SourceLines.of(sprout.image()).at(symbols["schedule"])          # doctest: +SKIP
    SourceLine(file='kernel/schedule.c', line=42)
    """

    def __init__(self, rows: list[tuple[int, SourceLine | None]]) -> None:
        """Rows ``(first address, line)``; a line reaches to the next row."""
        # of several rows at one address the last says where the code comes from
        rows = sorted(dict(rows).items(), key=lambda row: row[0])
        self._starts = [start for start, _ in rows]
        self._lines = [line for _, line in rows]

    @classmethod
    def of(cls, image: Image) -> SourceLines:
        dwarf = open_dwarf(image).get_dwarf_info()
        rows: list[tuple[int, SourceLine | None]] = []
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is not None:
                rows += _rows(program)
        return cls(rows)

    def at(self, address: int) -> SourceLine | None:
        n = bisect_right(self._starts, address) - 1
        return self._lines[n] if n >= 0 else None


def _rows(program: Any) -> list[tuple[int, SourceLine | None]]:
    names = _file_names(program.header)
    out: list[tuple[int, SourceLine | None]] = []
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        end = state.end_sequence
        if end and out and out[-1][0] == state.address:
            continue
        nowhere = end or not state.line  # line 0: the compiler's own
        out.append((state.address, None if nowhere else SourceLine(names[state.file], state.line)))
    return out


def _file_names(header: Any) -> list[str]:
    """Of each file of the table, from number 0 (before DWARF 5, number 1 is the first)."""
    folders = [folder.decode() for folder in header["include_directory"]]
    if header["version"] < 5:
        folders = [".", *folders]
    names = [""] if header["version"] < 5 else []
    for file in header["file_entry"]:
        folder = folders[file.dir_index]
        path = file.name.decode() if folder == "." else f"{folder}/{file.name.decode()}"
        names.append(_plain(path))
    return names


def _plain(path: str) -> str:
    """Without "." and what ".." takes back."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
