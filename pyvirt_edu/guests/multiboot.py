"""Multiboot version 1 (GNU, "Multiboot Specification version 0.6.96"): how GRUB and QEMU start
a kernel."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from ..machine.bare_machine import BareMachine
from ..machine.errors import ImageError
from . import elf
from .load import enter_flat, free_range, page_up, put, put_executable
from .memory_map import HIGH_START, LOW_END, memory_map

HEADER_MAGIC, LOADER_MAGIC = 0x1BADB002, 0x2BADB002
SEARCH = 8192  # the header lies in this much of the file, on a multiple of 4

# header flags
ALIGN_MODULES, MEMORY_INFO, VIDEO_MODE, ADDRESSES = 1, 2, 4, 1 << 16
MUST_UNDERSTAND = 0xFFFF
# flags of the information structure
INFO_MEMORY, INFO_COMMAND_LINE, INFO_MODULES, INFO_MAP, INFO_LOADER = 1, 4, 8, 0x40, 0x200
INFO_SIZE = 116
INFO_AT = 0x9000
LOADER_NAME = b"pyvirt_edu\0"


@dataclass(frozen=True)
class Header:
    flags: int
    offset: int
    addresses: tuple[int, ...]  # header, load, load end, bss end, entry


def find_header(data: bytes) -> Header | None:
    """The multiboot header of an image, None if it has none."""
    for offset in range(0, min(len(data), SEARCH) - 11, 4):
        magic, flags, checksum = struct.unpack_from("<3I", data, offset)
        if magic == HEADER_MAGIC and (magic + flags + checksum) & 0xFFFF_FFFF == 0:
            addresses = struct.unpack_from("<5I", data, offset + 12) if len(data) >= offset + 32 else ()
            return Header(flags, offset, addresses)
    return None


def _load_kernel(machine: BareMachine, data: bytes, header: Header, name: str) -> tuple[int, int, int]:
    """Put the kernel where it wants to be; entry, start and end."""
    if header.flags & ADDRESSES:
        if len(header.addresses) < 5:
            raise ImageError(f"{name} is cut off inside its multiboot header; get the whole file")
        at, load, load_end, bss_end, entry = header.addresses
        start = header.offset - (at - load)
        size = load_end - load if load_end else len(data) - start
        if start < 0 or size <= 0 or start + size > len(data):
            raise ImageError(
                f"{name}: its multiboot header asks for {size:,} bytes from offset {start:,} of a file of "
                f"{len(data):,}; the file is cut off or not linked as the header says"
            )
        end = max(bss_end, load + size)
        put(machine, load, data[start : start + size], end - load, name)
        return entry, load, end
    if not elf.is_elf(data):
        raise ImageError(f"{name}: the multiboot header gives no addresses, and the file is not ELF")
    executable = elf.parse(data, name)
    put_executable(machine, executable, name)
    first = min(s.physical for s in executable.segments)
    return executable.physical_entry(), first, executable.end


def boot_multiboot(
    machine: BareMachine, data: bytes, name: str, command_line: str, modules: list[tuple[bytes, str]]
) -> None:
    """Load the kernel and its modules, tell it what the specification promises, stand at its entry."""
    header = find_header(data)
    if header is None:
        raise ImageError(f"{name} has no multiboot header in its first {SEARCH} bytes")
    unknown = header.flags & MUST_UNDERSTAND & ~(ALIGN_MODULES | MEMORY_INFO)
    if unknown & ~VIDEO_MODE:
        raise ImageError(f"{name} asks for multiboot features {unknown:#x} that no loader here has")
    entry, first, end = _load_kernel(machine, data, header, name)

    taken = [(first, end)]
    module_list = b""
    placed = []
    for content, text in modules:
        at = free_range(
            taken, max(len(content), 1), max(end, HIGH_START), machine.offered_ram, f"a module of {name}"
        )
        put(machine, at, content, len(content), f"a module of {name}")
        taken.append((at, page_up(at + len(content))))
        placed.append((at, at + len(content), text))

    ranges = memory_map(machine.offered_ram)
    map_bytes = b"".join(struct.pack("<IQQI", 20, *item) for item in ranges)
    # the file's name without its folder: a guest must do the same wherever the file lies
    strings = [f"{Path(name).name} {command_line}".strip().encode() + b"\0", LOADER_NAME]
    strings += [text.encode() + b"\0" for _, _, text in placed]
    map_at = INFO_SIZE
    modules_at = map_at + len(map_bytes)
    strings_at = modules_at + 16 * len(placed)
    total = strings_at + sum(map(len, strings))
    info = free_range(taken, total, INFO_AT, LOW_END, f"the boot information of {name}")
    where = [info + strings_at + sum(map(len, strings[:i])) for i in range(len(strings))]
    for i, (start, stop, _) in enumerate(placed):
        module_list += struct.pack("<4I", start, stop, where[2 + i], 0)
    flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MAP | INFO_LOADER
    head = struct.pack(
        "<I2I4x3I16x2I12xI",
        flags,
        LOW_END >> 10,
        (machine.offered_ram - HIGH_START) >> 10,
        where[0],
        len(placed),
        info + modules_at,
        len(map_bytes),
        info + map_at,
        where[1],
    )
    head = head.ljust(INFO_SIZE, b"\0")
    machine.write(info, head + map_bytes + module_list + b"".join(strings))
    enter_flat(machine, entry)
    machine.cpu.eax, machine.cpu.ebx = LOADER_MAGIC, info
