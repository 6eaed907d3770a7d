"""Segment descriptors and gates: what stands in a GDT and an IDT (manual 3A, 3.4.5 and 6.11)."""

from __future__ import annotations

from typing import NamedTuple

from ..machine.memory.descriptor_fields import descriptor_base, descriptor_limit
from ..machine.state.jit import in_python

INTERRUPT_KIND, TRAP_KIND = 14, 15  # of 32-bit gates; a trap gate leaves IF as it is
GATE_PRESENT = 0x8000
# Of a segment descriptor's two doublewords, as the processor reads them
base_in, limit_in = in_python(descriptor_base), in_python(descriptor_limit)


def descriptor(base: int, limit: int, access: int, flags: int = 0) -> int:
    """A segment descriptor (manual 3A, 3.4.5); the limit is in bytes, or pages with G in flags."""
    return (
        limit & 0xFFFF
        | (base & 0xFF_FFFF) << 16
        | access << 40
        | (limit >> 16 & 15) << 48
        | (flags & 15) << 52
        | base >> 24 << 56
    )


def outward(value: int, ring: int, top: int) -> int:
    """A descriptor for a guest in an outer ring: its privilege at least that, its end below top.

    Descriptors of the system (TSS, LDT, gates) become empty ones: they are not the guest's.
    """
    if not value >> 44 & 1:
        return 0
    low, high = value & 0xFFFF_FFFF, value >> 32
    base, limit = base_in(low, high), limit_in(low, high)
    limit = max(min(limit, top - 1 - base), 0)
    access, flags = value >> 40 & 0xFF, value >> 52 & 7
    access = access & ~0x60 | max(access >> 5 & 3, ring) << 5
    if limit >> 20:
        return descriptor(base, limit >> 12, access, flags | 8)
    return descriptor(base, limit, access, flags)


class Gate(NamedTuple):
    """A gate of an IDT (manual 3A, 6.11)."""

    present: bool
    dpl: int
    kind: int
    selector: int
    offset: int

    @classmethod
    def unpack(cls, low: int, high: int) -> Gate:
        """From its two doublewords."""
        offset = high & 0xFFFF_0000 | low & 0xFFFF
        return cls(bool(high & GATE_PRESENT), high >> 13 & 3, high >> 8 & 31, low >> 16, offset)

    def pack(self) -> tuple[int, int]:
        low = self.offset & 0xFFFF | self.selector << 16
        return low, self.offset & 0xFFFF_0000 | GATE_PRESENT * self.present | self.dpl << 13 | self.kind << 8
