"""The Linux/x86 boot protocol (kernel tree, Documentation/arch/x86/boot.rst): bzImage and vmlinux
through the 32-bit entry point, with the "zero page" that says what the machine has."""

from __future__ import annotations

import struct

from ..machine.bare_machine import BareMachine
from ..machine.errors import ImageError
from . import elf
from .load import enter_flat, page_up, put, put_executable
from .memory_map import HIGH_START, memory_map

SETUP_HEADER = 0x1F1
MAGIC_AT, MAGIC = 0x202, b"HdrS"
OLDEST = 0x0202  # the first protocol with a command line pointer
LOADED_HIGH = 1
ZERO_PAGE_AT, COMMAND_LINE_AT = 0x10000, 0x20000
COMMAND_LINE_ROOM = 2048
E820_COUNT, E820_TABLE = 0x1E8, 0x2D0
UNKNOWN_LOADER = 0xFF
INITRD_LIMIT = 0x37FF_FFFF  # for protocols older than 2.03


def is_bzimage(data: bytes) -> bool:
    return data[MAGIC_AT : MAGIC_AT + 4] == MAGIC and data[0x1FE:0x200] == b"\x55\xaa"


def _zero_page(machine: BareMachine, header: bytes) -> bytearray:
    """What the kernel's own 16-bit code would have asked the BIOS."""
    page = bytearray(4096)
    page[SETUP_HEADER : SETUP_HEADER + len(header)] = header
    above = (machine.offered_ram - HIGH_START) >> 10
    struct.pack_into("<H", page, 0x002, min(above, 0xFFFF))  # ext_mem_k
    struct.pack_into("<I", page, 0x1E0, above)  # alt_mem_k
    # screen_info: a color text screen of 80 by 25, the cursor in the first row
    struct.pack_into("<BBHHBBH", page, 0, 0, 0, min(above, 0xFFFF), 0, 3, 80, 0)
    page[0x0E], page[0x0F] = 25, 1
    struct.pack_into("<H", page, 0x10, 16)  # lines of a character
    ranges = memory_map(machine.offered_ram)
    page[E820_COUNT] = len(ranges)
    for i, item in enumerate(ranges):
        struct.pack_into("<QQI", page, E820_TABLE + 20 * i, *item)
    page[0x210] = UNKNOWN_LOADER
    return page


def _put_initrd(
    machine: BareMachine, page: bytearray, initrd: bytes, kernel_end: int, limit: int, name: str
) -> None:
    """As high as RAM and kernel allow, where the kernel does not unpack itself."""
    top = min(machine.offered_ram, limit + 1)
    at = (top - len(initrd)) & ~0xFFF
    if at < page_up(kernel_end):
        need = (kernel_end + len(initrd) >> 20) + 8
        raise ImageError(
            f"the initial RAM disk of {name} has {len(initrd):,} bytes and does not fit above the kernel, "
            f'which ends at {kernel_end:#x}; make the machine with ram="{need}MiB" or more'
        )
    put(machine, at, initrd, len(initrd), f"the initial RAM disk of {name}")
    struct.pack_into("<II", page, 0x218, at, len(initrd))


def _enter(
    machine: BareMachine, page: bytearray, command_line: str, entry: int, limit: int, name: str
) -> None:
    text = command_line.encode() + b"\0"
    if len(text) > min(limit, COMMAND_LINE_ROOM):
        raise ImageError(f"the command line has {len(text) - 1} characters; {name} takes {limit - 1}")
    put(machine, COMMAND_LINE_AT, text, len(text), "the command line")
    struct.pack_into("<I", page, 0x228, COMMAND_LINE_AT)
    put(machine, ZERO_PAGE_AT, bytes(page), len(page), "the zero page")
    enter_flat(machine, entry)
    cpu = machine.cpu
    cpu.esi = ZERO_PAGE_AT
    cpu.ebp = cpu.edi = cpu.ebx = 0


def boot_bzimage(
    machine: BareMachine, data: bytes, name: str, command_line: str, initrd: bytes | None
) -> None:
    """Load a compressed kernel at 1 MiB and stand at its 32-bit entry point."""
    version = struct.unpack_from("<H", data, 0x206)[0]
    if version < OLDEST or not data[0x211] & LOADED_HIGH:
        raise ImageError(
            f"{name} speaks boot protocol {version >> 8}.{version & 0xFF:02d} of the days of zImage; "
            "2.02 and later, loaded high, are supported"
        )
    sectors = data[SETUP_HEADER] or 4
    start = (sectors + 1) * 512
    paragraphs = struct.unpack_from("<I", data, 0x1F4)[0]
    kernel = data[start:]
    expected = paragraphs * 16
    if len(kernel) < expected - 15 or not kernel:
        raise ImageError(
            f"{name} is cut off: its header promises {start + expected:,} bytes, there are {len(data):,}; "
            "get the whole file"
        )
    header_end = 0x202 + data[0x201]
    page = _zero_page(machine, data[SETUP_HEADER : min(header_end, 0x290)])
    at = struct.unpack_from("<I", data, 0x214)[0] or HIGH_START
    put(machine, at, kernel, len(kernel), name)
    needs = at + len(kernel)
    if version >= 0x020A:  # init_size, from the preferred address on
        preferred, size = struct.unpack_from("<QI", data, 0x258)
        needs = max(needs, preferred + size)
    if needs > machine.offered_ram:
        raise ImageError(
            f"{name} unpacks itself up to {needs:#x}, RAM ends at {machine.offered_ram:#x}; make the machine "
            f'with ram="{(needs >> 20) + 8}MiB" or more'
        )
    if initrd is not None:
        limit = struct.unpack_from("<I", data, 0x22C)[0] if version >= 0x0203 else INITRD_LIMIT
        _put_initrd(machine, page, initrd, needs, limit, name)
    line_limit = struct.unpack_from("<I", data, 0x238)[0] + 1 if version >= 0x0206 else 256
    _enter(machine, page, command_line, at, line_limit, name)


def boot_vmlinux(
    machine: BareMachine, data: bytes, name: str, command_line: str, initrd: bytes | None
) -> None:
    """Load an uncompressed ELF kernel where it was linked to and stand at its entry point."""
    executable = elf.parse(data, name)
    put_executable(machine, executable, name)
    header = bytearray(0x290 - SETUP_HEADER)
    header[0x1FE - SETUP_HEADER : 0x200 - SETUP_HEADER] = b"\x55\xaa"
    header[MAGIC_AT - SETUP_HEADER : MAGIC_AT + 4 - SETUP_HEADER] = MAGIC
    struct.pack_into("<H", header, 0x206 - SETUP_HEADER, 0x0206)
    header[0x211 - SETUP_HEADER] = LOADED_HIGH
    page = _zero_page(machine, bytes(header))
    if initrd is not None:
        # the kernel's first page tables follow its end
        _put_initrd(machine, page, initrd, executable.end + (2 << 20), INITRD_LIMIT, name)
    _enter(machine, page, command_line, executable.physical_entry(), COMMAND_LINE_ROOM, name)
