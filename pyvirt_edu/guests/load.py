"""Putting parts of an image into RAM, with errors that say what does not fit."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from ..machine.bare_machine import BareMachine
from ..machine.errors import ImageError
from .elf import Executable
from .memory_map import LOW_END

PAGE = 4096

# Flat descriptors as the Linux boot protocol wants them: code at selector 10h, data at 18h.
CODE, DATA = 0x10, 0x18
_GDT = struct.pack("<4Q", 0, 0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF)
GDT_AT = 0x800


def read_image(image: str | Path | bytes, what: str = "image") -> tuple[bytes, str]:
    """The bytes of a file (or bytes as they are), and what to call them in an error."""
    if isinstance(image, bytes | bytearray):
        return bytes(image), f"the {what}"
    path = Path(image)
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise ImageError(f"cannot read the {what} {path}: {error.strerror or error}") from error


def put(machine: BareMachine, address: int, data: bytes, size: int, name: str) -> None:
    """Copy data to physical memory and clear what follows it up to ``size``."""
    end = address + size
    if end > machine.offered_ram:
        raise ImageError(
            f"{name} needs memory up to {end:#x}, RAM ends at {machine.offered_ram:#x}; "
            f'make the machine with ram="{-(-end // (1 << 20)) + 1}MiB" or more'
        )
    if address < 0x100000 and end > LOW_END:
        raise ImageError(
            f"{name} wants to lie at {address:#x}..{end - 1:#x}, where a PC has its BIOS and "
            "screen; link it to 1 MiB or above"
        )
    machine.write(address, data + bytes(size - len(data)))


def put_executable(machine: BareMachine, executable: Executable, name: str) -> None:
    for segment in executable.segments:
        put(machine, segment.physical, segment.data, segment.size, name)


def page_up(address: int) -> int:
    return -(-address // PAGE) * PAGE


def free_range(taken: Iterable[tuple[int, int]], size: int, start: int, end: int, name: str) -> int:
    """The lowest page from ``start`` on where ``size`` bytes lie free of all taken ranges."""
    place = page_up(start)
    for first, last in sorted(taken):
        if first < place + size and last > place:
            place = page_up(last)
    if place + size > end:
        raise ImageError(
            f"{name}: no room for {size:,} bytes between {start:#x} and {end:#x}; give the machine more RAM"
        )
    return place


def enter_flat(machine: BareMachine, eip: int, esp: int | None = None) -> None:
    """32-bit protected mode, paging and interrupts off, with a GDT that holds what is loaded."""
    machine.write(GDT_AT, _GDT)
    machine.enter_protected_mode(eip=eip, esp=esp)
    cpu = machine.cpu
    cpu.gdtr_base, cpu.gdtr_limit = GDT_AT, len(_GDT) - 1
    cpu.idtr_base = cpu.idtr_limit = 0
    cpu.cs = CODE
    for name in ("ds", "es", "ss", "fs", "gs"):
        setattr(cpu, name, DATA)
