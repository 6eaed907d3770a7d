"""What a boot protocol tells a kernel about memory: the map that BIOS call E820 would give
(ACPI specification, "System Address Map Interfaces")."""

from __future__ import annotations

USABLE, RESERVED = 1, 2
LOW_END = 0x9FC00  # the last KiB below 640 KiB is the BIOS's data area
HIGH_START = 0x100000


def memory_map(ram: int) -> list[tuple[int, int, int]]:
    """Start, size in bytes and type of each range, in order."""
    return [
        (0, LOW_END, USABLE),
        (LOW_END, 0xA0000 - LOW_END, RESERVED),
        (0xF0000, 0x10000, RESERVED),
        (HIGH_START, ram - HIGH_START, USABLE),
        (0xFFFC_0000, 0x40000, RESERVED),
    ]
