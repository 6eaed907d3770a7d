"""ELF executables for the i386, as far as a loader needs them (System V ABI, "Object Files")."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..machine.errors import ImageError

MAGIC = b"\x7fELF"
EM_386, ET_EXEC, ET_DYN, PT_LOAD = 3, 2, 3, 1
_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SEGMENT = struct.Struct("<8I")


@dataclass(frozen=True)
class Segment:
    """A part of the file that is loaded."""

    physical: int
    virtual: int
    data: bytes
    size: int  # in memory; what the file does not fill is zero


@dataclass(frozen=True)
class Executable:
    entry: int
    segments: tuple[Segment, ...]

    @property
    def end(self) -> int:
        """One past the highest physical address it occupies."""
        return max(s.physical + s.size for s in self.segments)

    def physical_entry(self) -> int:
        """The entry point where it lies before paging: kernels link to high addresses."""
        for s in self.segments:
            if s.virtual <= self.entry < s.virtual + s.size:
                return self.entry - s.virtual + s.physical
        return self.entry


def is_elf(data: bytes) -> bool:
    return data.startswith(MAGIC)


def parse(data: bytes, name: str) -> Executable:
    """The loadable segments of a 32-bit x86 executable."""
    if len(data) < _HEADER.size:
        raise ImageError(f"{name}: the ELF header is cut off after {len(data)} bytes; get the whole file")
    ident, kind, machine, _, entry, offset, _, _, _, size, count, _, _, _ = _HEADER.unpack_from(data)
    if ident[4] != 1 or machine != EM_386:
        what = "64-bit" if ident[4] == 2 else f"for machine {machine}"
        raise ImageError(f"{name} is an ELF file {what}; this machine runs 32-bit x86 (i386) ones")
    if ident[5] != 1 or kind not in (ET_EXEC, ET_DYN):
        raise ImageError(f"{name} is an ELF file but no executable; link it first")
    segments = []
    for i in range(count):
        place = offset + i * size
        if size < _SEGMENT.size or place + _SEGMENT.size > len(data):
            raise ImageError(
                f"{name} is cut off: its program headers end behind the file; get the whole file"
            )
        type_, start, virtual, physical, in_file, in_memory, _, _ = _SEGMENT.unpack_from(data, place)
        if type_ != PT_LOAD or in_memory == 0:
            continue
        if start + in_file > len(data) or in_file > in_memory:
            raise ImageError(
                f"{name} is cut off: a segment ends at {start + in_file:,}, the file at {len(data):,}; "
                "get the whole file"
            )
        segments.append(Segment(physical, virtual, data[start : start + in_file], in_memory))
    if not segments:
        raise ImageError(f"{name} has no segment to load")
    return Executable(entry, tuple(segments))
