"""Descriptors before they are loaded: base, limit, and what the limit allows (manual 3A, 3.4.5)."""

from __future__ import annotations

from ..state.jit import core


@core
def descriptor_base(low, high):
    return (low >> 16) | ((high & 0xFF) << 16) | (high & 0xFF00_0000)


@core
def descriptor_limit(low, high):
    """In bytes, granularity applied."""
    limit = (low & 0xFFFF) | (high & 0xF_0000)
    if high & 0x80_0000:
        limit = (limit << 12) | 0xFFF
    return limit


@core
def offset_in_limit(limit, attributes, offset, size):
    """Whether [offset, offset + size) lies in a data segment, expand-down ones included."""
    last = offset + size - 1
    if (attributes & 0xC) == 4:
        top = 0xFFFF
        if attributes & 0x4000:
            top = 0xFFFF_FFFF
        if offset <= limit or last > top:
            return 0
        return 1
    if last > limit:
        return 0
    return 1
