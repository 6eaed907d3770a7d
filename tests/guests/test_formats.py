"""Images are recognized by what is in them, and what cannot be booted says why."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.guests import elf, multiboot
from pyvirt_edu.guests.boot import identify
from pyvirt_edu.machine.errors import ImageError

LINKED_AT = 0x100000


def elf_image(code: bytes, entry: int = LINKED_AT, virtual: int = LINKED_AT, extra: int = 0) -> bytes:
    """An i386 executable of one segment, made by hand from the ABI's description."""
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, 84, virtual, LINKED_AT, len(code), len(code) + extra, 7, 4096)
    return header + segment + code


def multiboot_header(flags: int = 3, *addresses: int) -> bytes:
    checksum = -(multiboot.HEADER_MAGIC + flags) & 0xFFFF_FFFF
    return struct.pack(f"<3I{len(addresses)}I", multiboot.HEADER_MAGIC, flags, checksum, *addresses)


def multiboot_image(source: str, flags: int = 3) -> bytes:
    code = assemble(source, bits=32, origin=LINKED_AT + 12)
    return elf_image(multiboot_header(flags) + code, entry=LINKED_AT + 12)


REPORT = """
    mov esi, ebx
    mov edi, eax
    mov ecx, [esi]          ; flags
    hlt
"""


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(ram="8MiB", history=False)


def string_at(m: Machine, address: int) -> str:
    return m.read(address, 256).split(b"\0")[0].decode()


def test_multiboot_elf(machine: Machine) -> None:
    image = multiboot_image(REPORT)
    assert (
        machine.boot(image, append="one two", initrd=[(b"first", "a"), (b"x" * 5000, "b c")]) == "multiboot"
    )
    assert machine.cpu.cr0 & 0x8000_0001 == 1
    assert not machine.cpu.eflags & 0x200
    assert machine.run().reason == "halt"
    assert machine.cpu.edi == 0x2BADB002
    info = struct.unpack("<29I", machine.read(machine.cpu.esi, 116))
    flags, lower, upper, _, command_line, count, list_at = info[:7]
    assert flags == machine.cpu.ecx == 0x24D
    assert (lower, upper) == (0x9FC00 // 1024, 7 * 1024)
    assert string_at(machine, command_line).endswith("one two")
    assert string_at(machine, info[16]) == "pyvirt_edu"
    assert count == 2
    placed = [struct.unpack("<4I", machine.read(list_at + 16 * i, 16)) for i in range(2)]
    assert machine.read(placed[0][0], 5) == b"first"
    assert placed[1][1] - placed[1][0] == 5000
    assert [string_at(machine, item[2]) for item in placed] == ["a", "b c"]
    assert all(item[0] % 4096 == 0 for item in placed)
    assert placed[0][1] <= placed[1][0]


def test_multiboot_memory_map_covers_ram(machine: Machine) -> None:
    machine.boot(multiboot_image(REPORT))
    machine.run()
    length, at = struct.unpack("<2I", machine.read(machine.cpu.esi + 44, 8))
    raw = machine.read(at, length)
    entries = [struct.unpack_from("<IQQI", raw, i) for i in range(0, length, 24)]
    assert all(size == 20 for size, *_ in entries)
    usable = [(start, size) for _, start, size, kind in entries if kind == 1]
    assert usable == [(0, 0x9FC00), (0x100000, 7 << 20)]


def test_multiboot_with_addresses_in_the_header(machine: Machine) -> None:
    code = assemble(REPORT, bits=32, origin=0x200020)
    image = multiboot_header(0x10003, 0x200000, 0x200000, 0, 0x300000, 0x200020) + code
    machine.write(0x2FFFF0, b"old bytes of bss")
    machine.boot(image)
    assert machine.read(0x2FFFF0, 16) == bytes(16)
    assert machine.run().reason == "halt"
    assert machine.cpu.edi == 0x2BADB002


def test_elf_entry_is_physical(machine: Machine) -> None:
    """A kernel linked to C0100000 starts where its segment lies."""
    image = elf_image(b"\xf4", entry=0xC0100000, virtual=0xC0100000, extra=4096)
    assert machine.boot(image) == "elf"
    assert machine.cpu.eip == LINKED_AT


def test_flat(machine: Machine) -> None:
    assert machine.boot(b"\xb8\x05\x00\x00\x00\xf4", format="flat") == "flat"
    machine.run()
    assert machine.cpu.eax == 5


def bzimage(protocol: int = 0x020C, kernel: bytes = b"\xf4", promised: int | None = None) -> bytes:
    """The header of a bzImage before its 32-bit code (boot.rst, "The real-mode kernel header")."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    struct.pack_into("<I", setup, 0x1F4, -(-(promised or len(kernel)) // 16))
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x201] = 0x6A
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, protocol)
    setup[0x211] = 1
    struct.pack_into("<I", setup, 0x214, 0x100000)
    struct.pack_into("<I", setup, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<I", setup, 0x238, 255)
    return bytes(setup) + kernel


def test_bzimage(machine: Machine) -> None:
    assert machine.boot(bzimage(), append="quiet", initrd=b"ramdisk!") == "bzimage"
    cpu = machine.cpu
    assert (cpu.eip, cpu.cs, cpu.ds, cpu.ebx, cpu.ebp, cpu.edi) == (0x100000, 0x10, 0x18, 0, 0, 0)
    page = machine.read(cpu.esi, 4096)
    ramdisk, size = struct.unpack_from("<II", page, 0x218)
    assert machine.read(ramdisk, size) == b"ramdisk!"
    assert string_at(machine, struct.unpack_from("<I", page, 0x228)[0]) == "quiet"
    assert page[0x210] != 0
    assert page[0x1E8] == 5
    assert machine.run().reason == "halt"


@pytest.mark.parametrize(
    "image, said",
    [
        (b"", "is empty"),
        (b"hello world" * 100, "in no known format"),
        (bzimage(protocol=0x0201), "2.01"),
        (bzimage(promised=100_000), "cut off"),
        (elf_image(b"\xf4" * 100)[:150], "cut off"),
        (elf_image(b"")[:40], "cut off"),
        (b"\x7fELF\2\1\1" + bytes(60), "64-bit"),
        (elf_image(b"\xf4", extra=16 << 20), "RAM ends at"),
        (multiboot_image(REPORT, flags=0x103), "features 0x100"),
        (multiboot_header(0x10003), "cut off inside its multiboot header"),
        (multiboot_header(0x10003, 0x200000, 0x200000, 0x300000, 0, 0x200020), "cut off"),
    ],
)
def test_what_cannot_be_booted(machine: Machine, image: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        machine.boot(image)
    assert machine.boot(b"\xf4", format="flat") == "flat"
    assert machine.run().reason == "halt"


def test_missing_file_and_format(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nothing.bin"):
        machine.boot(tmp_path / "nothing.bin")
    with pytest.raises(ImageError, match="there are multiboot"):
        machine.boot(b"\xf4", format="coff")
    with pytest.raises(ImageError, match="does not fit above the kernel"):
        machine.boot(bzimage(), initrd=bytes(9 << 20))
    with pytest.raises(ImageError, match="300 characters"):
        machine.boot(bzimage(), append="x" * 300)


def test_identify() -> None:
    sector = bytearray(1024)
    sector[510:512] = b"\x55\xaa"
    assert identify(bytes(sector)) == "boot-sector"
    assert identify(bzimage()) == "bzimage"
    assert identify(elf_image(b"\xf4")) == "elf"
    assert identify(multiboot_image(REPORT)) == "multiboot"
    assert elf.is_elf(elf_image(b"\xf4"))
