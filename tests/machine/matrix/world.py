"""One image of 128 KiB for all cases, and the five modes the matrix looks at.

The same bytes serve every mode: an interrupt table for real mode, descriptor tables, a TSS
and page tables for the others. Linear addresses do not depend on the mode either: where
segments have bases (16-bit modes), offsets are smaller by the base.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

RAM = 0x20000
GDT, IDT32, IDT16, LDT, TSS = 0x1000, 0x1800, 0x1C00, 0x1E00, 0x2000
TSS_AVAILABLE = 0x2200
DIRECTORY, TABLE = 0x4000, 0x5000
CODE_PAGE, CODE = 0x6000, 0x6100  #: instructions begin at CODE
NEXT_CODE_PAGE = 0x7000
HANDLER = 0x6800  #: gates lead here; real mode too
TARGET = 0x6400  #: near and far jumps lead here
DATA_PAGE, OPERAND, SOURCE = 0x8000, 0x8100, 0x8180
EXTRA_PAGE, DESTINATION = 0xA000, 0xA180
STACK_PAGE, STACK = 0xC000, 0xC800
OTHER_STACK = 0xD100  #: what EBP leads to in some cases
STACK0 = 0x11000  #: of the TSS
FS_BASE, GS_BASE, OTHER_BASE = 0xE000, 0xF000, 0x12340
ES, CS, SS, DS, FS, GS = range(6)
BASES16 = {ES: EXTRA_PAGE, CS: CODE_PAGE, SS: STACK_PAGE, DS: DATA_PAGE, FS: FS_BASE, GS: GS_BASE}

# Ports: the I/O map of the TSS opens the first and closes the second
OPEN_PORT, CLOSED_PORT = 0x80, 0x90
IO_MAP, IO_MAP_BYTES = 0x68, 0x21
TSS_LIMIT = IO_MAP + IO_MAP_BYTES - 1


@dataclass(frozen=True)
class Descriptor:
    """A descriptor as the manual draws it: kind is the byte with P, DPL, S and type."""

    base: int
    limit: int  #: in bytes
    kind: int
    big: bool = False

    def encoded(self) -> bytes:
        low = (self.limit & 0xFFFF) | (self.base & 0xFFFF) << 16
        high = (self.base >> 16 & 0xFF) | self.kind << 8 | (self.limit & 0xF0000)
        high |= (self.base & 0xFF00_0000) | (0x40_0000 if self.big else 0)
        return struct.pack("<II", low, high)

    @property
    def attributes(self) -> int:
        return self.kind | (0x4000 if self.big else 0)


FLAT = RAM - 1
(
    CODE16, CODE32, CODE32_3, ES16, SS16, DS16, FS16, GS16, DATA32, DATA32_3, TSS_BUSY, TSS_FREE,
    LDT_HERE, ABSENT_DATA, ABSENT_CODE, SHORT_CODE, SHORT_TSS, ABSENT_SYSTEM, OTHER, OTHER_SS,
    ABSENT_SS, ABSENT_CODE_3, SHORT_CODE_3, ABSENT_TSS, DATA_0, FRESH, FRESH_SS,
) = range(8, 8 + 27 * 8, 8)  # fmt: skip
BEYOND_GDT = 0xF00
NAMES = {
    CODE16: Descriptor(CODE_PAGE, 0xFFFF, 0x9B),
    CODE32: Descriptor(0, FLAT, 0x9B, True),
    CODE32_3: Descriptor(0, FLAT, 0xFB, True),
    ES16: Descriptor(EXTRA_PAGE, 0xFFFF, 0x93),
    SS16: Descriptor(STACK_PAGE, 0xFFFF, 0x93),
    DS16: Descriptor(DATA_PAGE, 0xFFFF, 0x93),
    FS16: Descriptor(FS_BASE, 0xFFFF, 0x93),
    GS16: Descriptor(GS_BASE, 0xFFFF, 0x93),
    DATA32: Descriptor(0, FLAT, 0x93, True),
    DATA32_3: Descriptor(0, FLAT, 0xF3, True),
    TSS_BUSY: Descriptor(TSS, TSS_LIMIT, 0x8B),
    TSS_FREE: Descriptor(TSS_AVAILABLE, 0x67, 0x89),
    LDT_HERE: Descriptor(LDT, 0x1F, 0x82),
    ABSENT_DATA: Descriptor(0, FLAT, 0x73, True),
    ABSENT_CODE: Descriptor(0, FLAT, 0x1B, True),
    SHORT_CODE: Descriptor(0, 0xFF, 0x9B, True),
    SHORT_TSS: Descriptor(TSS_AVAILABLE, 0x66, 0x89),
    ABSENT_SYSTEM: Descriptor(LDT, 0x1F, 0x02),
    OTHER: Descriptor(OTHER_BASE, 0x4321, 0xF3),
    OTHER_SS: Descriptor(OTHER_BASE, 0x4321, 0x93),
    ABSENT_SS: Descriptor(0, FLAT, 0x13, True),
    ABSENT_CODE_3: Descriptor(0, FLAT, 0x7B, True),
    SHORT_CODE_3: Descriptor(0, 0xFF, 0xFB, True),
    ABSENT_TSS: Descriptor(TSS_AVAILABLE, 0x67, 0x09),
    FRESH: Descriptor(OTHER_BASE + 16, 0x5432, 0xF2),
    FRESH_SS: Descriptor(OTHER_BASE + 16, 0x5432, 0x92),
    DATA_0: Descriptor(0, FLAT, 0x93, True),
}
CALL_GATE, ABSENT_GATE = max(NAMES) + 8, max(NAMES) + 16
GDT_LIMIT = ABSENT_GATE + 7
VECTORS = 64


@dataclass(frozen=True)
class Mode:
    name: str
    bits: int
    protected: bool = False  #: selectors name descriptors
    v86: bool = False
    cpl: int = 0
    selectors: tuple[int, ...] = field(default=(), repr=False)  #: ES CS SS DS FS GS

    def __str__(self) -> str:
        return self.name

    @property
    def pages(self) -> bool:
        """Whether paging is possible."""
        return self.protected or self.v86

    def base(self, segment: int) -> int:
        return BASES16[segment] if self.bits == 16 else 0

    def limit(self, segment: int) -> int:
        return 0xFFFF if self.bits == 16 else FLAT

    def attributes(self, segment: int) -> int:
        """Descriptor bits 40 to 55, as the segment register holds them."""
        if self.v86:
            return 0xF3
        if not self.protected:
            return 0x9B if segment == CS else 0x93
        return NAMES[self.selectors[segment] & ~3].attributes


_real = tuple(BASES16[s] >> 4 for s in range(6))
_flat = (DATA32, CODE32, DATA32, DATA32, DATA32, DATA32)
_flat3 = (DATA32_3 | 3, CODE32_3 | 3, DATA32_3 | 3, DATA32_3 | 3, DATA32_3 | 3, DATA32_3 | 3)
REAL = Mode("real", 16, selectors=_real)
V86 = Mode("v86", 16, v86=True, cpl=3, selectors=_real)
P16 = Mode("p16", 16, protected=True, selectors=(ES16, CODE16, SS16, DS16, FS16, GS16))
P32 = Mode("p32", 32, protected=True, selectors=_flat)
P32_3 = Mode("p32/3", 32, protected=True, cpl=3, selectors=_flat3)
MODES = (REAL, V86, P16, P32, P32_3)


def gate(selector: int, offset: int, kind: int) -> bytes:
    return struct.pack("<HHHH", offset & 0xFFFF, selector, kind << 8, offset >> 16)


def image() -> bytes:
    """Memory before every case; what is not said here is HLT, so that blocks of code are short."""
    memory = bytearray(b"\xf4" * RAM)

    def put(where: int, data: bytes) -> None:
        memory[where : where + len(data)] = data

    put(0, struct.pack("<HH", HANDLER - CODE_PAGE, CODE_PAGE >> 4) * 256)
    put(GDT, bytes(8))
    for selector, descriptor in NAMES.items():
        put(GDT + selector, descriptor.encoded())
    put(GDT + CALL_GATE, gate(CODE32, TARGET, 0x8C))
    put(GDT + ABSENT_GATE, gate(CODE32, TARGET, 0x6C))
    put(IDT32, gate(CODE32, HANDLER, 0xEE) * VECTORS)
    put(IDT16, gate(CODE16, HANDLER - CODE_PAGE, 0xE6) * VECTORS)
    tss = bytearray(0x68)
    struct.pack_into("<II", tss, 4, STACK0, DATA32)
    struct.pack_into("<H", tss, 0x66, IO_MAP)
    bits = bytearray(b"\xff" * IO_MAP_BYTES)
    bits[OPEN_PORT >> 3] = 0
    put(TSS, bytes(tss) + bytes(bits))
    put(TSS_AVAILABLE, bytes(0x68))
    put(DIRECTORY, struct.pack("<I", TABLE | 0x67) + bytes(4092))
    put(TABLE, b"".join(struct.pack("<I", page << 12 | 0x67) for page in range(RAM >> 12)))
    return bytes(memory)


IMAGE = image()
