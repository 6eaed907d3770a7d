"""Segment descriptors and gates: what stands in a GDT and an IDT (manual 3A, 3.4.5 and 6.11)."""

from __future__ import annotations

from typing import NamedTuple

from ..machine.memory.descriptor_fields import descriptor_base, descriptor_limit
from ..machine.state.jit import in_python

INTERRUPT_KIND, TRAP_KIND = 14, 15  # of 32-bit gates; a trap gate leaves IF as it is
GATE_PRESENT = 0x8000
SEGMENT, PRESENT = 1 << 44, 1 << 47  # of a descriptor: not the system's, and there
CODE, EXPAND_DOWN = 8, 4  # of its type: code; data whose offsets lie above its limit (3A, 5.3)
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
    """A descriptor for a guest in an outer ring: its privilege at least that, and no byte at or above top.

    Where cutting the limit cannot say that (a segment that expands down, or begins above top) data
    becomes *closed*: present, and every access faults. Code that begins there, descriptors of the
    system and absent ones become empty ones. What faults is done by the hypervisor for the guest.
    """
    if value & (SEGMENT | PRESENT) != SEGMENT | PRESENT:
        return 0
    low, high = value & 0xFFFF_FFFF, value >> 32
    base, limit = base_in(low, high), limit_in(low, high)
    access, flags = value >> 40 & 0xFF, value >> 52 & 7
    access = access & ~0x60 | max(access >> 5 & 3, ring) << 5
    if base >= top and access & CODE:
        return 0
    if base >= top or not access & CODE and access & EXPAND_DOWN:
        return descriptor(0, 0xFFFFF, access | EXPAND_DOWN, flags | 8)
    limit = min(limit, top - 1 - base)
    if limit >> 20:  # in whole pages; what lies in the last part of one faults
        return descriptor(base, (limit + 1 >> 12) - 1, access, flags | 8)
    return descriptor(base, limit, access, flags)


def is_closed(value: int, top: int) -> bool:
    """Whether cutting its limit cannot keep a present segment below top."""
    access = value >> 40 & 0xFF
    return bool(value & SEGMENT and value & PRESENT) and (
        base_in(value & 0xFFFF_FFFF, value >> 32) >= top or not access & CODE and access & EXPAND_DOWN != 0
    )


def ends_below(value: int, top: int) -> bool:
    """Whether a descriptor gives nothing at or above top, nor any privilege of ring 0."""
    if value == 0:
        return True
    low, high = value & 0xFFFF_FFFF, value >> 32
    base, limit, access = base_in(low, high), limit_in(low, high), value >> 40 & 0xFF
    if not value & SEGMENT or not access & 0x60:
        return False
    if not access & CODE and access & EXPAND_DOWN:
        return limit == 0xFFFF_FFFF
    return base + limit < top


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
