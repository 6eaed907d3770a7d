"""Programs nobody here wrote, from Debian's packages; each test skips where its package is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.guests.firmware import find_firmware
from pyvirt_edu.machine.errors import ImageError

MEMTEST = Path("/boot/memtest86+ia32.bin")
GRUB = Path("/usr/lib/grub/i386-pc")

needs_memtest = pytest.mark.skipif(not MEMTEST.exists(), reason="memtest86+ is not installed")
needs_grub = pytest.mark.skipif(
    not (GRUB / "boot.img").exists() or shutil.which("grub-mkimage") is None,
    reason="grub-pc-bin and grub-common are not installed",
)


def has_firmware() -> bool:
    try:
        find_firmware()
    except ImageError:
        return False
    return True


needs_seabios = pytest.mark.skipif(not has_firmware(), reason="SeaBIOS is not installed")


def run_until(m: Machine, done: Callable[[Machine], bool], instructions: int) -> None:
    out: Any = m.run(max_instructions=instructions, until=done)
    assert out.reason == "until", f"{out!r}\n{m.screen.text}"


@needs_memtest
def test_memtest_comes_up_on_screen_and_serial_line() -> None:
    m = Machine(ram="16MiB", history=False)
    assert m.boot(MEMTEST, append="console=ttyS0,115200") == "bzimage"
    run_until(m, lambda m: "Memtest86+" in m.screen.text and "Testing" in m.screen.text, 100_000_000)
    assert "CLK/Temp: 200MHz" in m.screen.text  # calibrated with the timer
    assert "Memory  :   16MB" in m.screen.text
    run_until(m, lambda m: "Memtest86+" in m.console.serial, 2_000_000_000)  # after its countdown


@pytest.mark.long
@needs_memtest
def test_memtest_passes_without_an_error() -> None:
    m = Machine(ram="8MiB", history=False)
    m.boot(MEMTEST)
    run_until(m, lambda m: "Pass:  1" in m.screen.text, 60_000_000_000)
    assert "Errors: 0" in m.screen.text


@pytest.mark.long
@needs_memtest
def test_memtest_finds_a_stuck_bit() -> None:
    """Bit 3 of one byte of RAM reads as 1, whatever was written."""
    m = Machine(ram="8MiB", history=False)
    page, bad = 0x500000, 0x500123
    cells = bytearray(4096)

    def read(address: int, size: int) -> int:
        value = int.from_bytes(cells[address - page : address - page + size], "little")
        return value | 8 << 8 * (bad - address) if address <= bad < address + size else value

    def write(address: int, value: int, size: int) -> None:
        cells[address - page : address - page + size] = value.to_bytes(size, "little")

    m.on_mmio(page, 4096, read, write)
    m.boot(MEMTEST)
    run_until(m, lambda m: "Errors:" in m.screen.text and "Errors: 0" not in m.screen.text, 4_000_000_000)


BOOT_SECTOR = """
    cld
    xor ax, ax
    mov ds, ax
    mov si, text
next:
    lodsb
    mov ah, 0x0e            ; INT 10h: write a character
    int 0x10
    test al, al
    jne next
    mov ax, 0x0201          ; INT 13h: read one sector
    mov bx, 0x8000
    mov cx, 2
    mov dx, 0x80
    xor di, di
    mov es, di
    int 0x13
    mov si, 0x8000
    mov byte [text], 0
    cli
    hlt
text: db "boot sector: ", 0
"""


@needs_seabios
def test_seabios_boots_a_disk() -> None:
    sector = bytes(assemble(BOOT_SECTOR, bits=16, origin=0x7C00)).ljust(510, b"\0") + b"\x55\xaa"
    image = sector + b"the second sector".ljust(512, b"\0") + bytes(1 << 20)
    m = Machine(ram="16MiB", history=False)
    assert m.boot(image) == "boot-sector"
    assert m.cpu.eip == 0xFFF0
    assert m.cpu.segment("cs").base == 0xFFFF0000
    assert m.run(max_instructions=400_000_000).reason == "halt"
    assert "SeaBIOS" in m.screen.text
    assert "boot sector:" in m.screen.text
    assert m.read(0x8000, 17) == b"the second sector"


FLOPPY_BOOT_SECTOR = """
    cld
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov [0x600], dl         ; the drive that the BIOS booted from
    mov si, text
next:
    lodsb
    mov ah, 0x0e            ; INT 10h: write a character
    int 0x10
    test al, al
    jne next
    mov ax, 0x0201          ; INT 13h: read the sector behind this one
    mov bx, 0x8000
    mov cx, 2
    mov dx, 0
    int 0x13
    jc end
    mov si, 0x8000
    not byte [si]
    mov ax, 0x0301          ; write it to cylinder 30, head 1, sector 5
    mov cx, 0x1e05
    mov dx, 0x0100
    int 0x13
    jc end
    mov ax, 0x0201          ; and read it back
    mov bx, 0x9000
    mov cx, 0x1e05
    mov dx, 0x0100
    int 0x13
    jc end
    mov byte [0x601], 1
end:
    cli
    hlt
text: db "boot floppy: ", 0
"""


@needs_seabios
@pytest.mark.parametrize("kib", [360, 720, 1200, 1440, 2880])
def test_seabios_boots_a_floppy(kib: int) -> None:
    sector = bytes(assemble(FLOPPY_BOOT_SECTOR, bits=16, origin=0x7C00)).ljust(510, b"\0") + b"\x55\xaa"
    second = b"Not the first sector".ljust(512, b".")
    image = (sector + second).ljust(kib * 1024, b"\0")
    m = Machine(ram="16MiB", history=False)
    m.attach_disk(bytes(510) + b"\x55\xaa" + bytes(1 << 20))  # the floppy comes before a disk
    assert m.boot(image) == "boot-sector"
    assert m.run(max_instructions=400_000_000).reason == "halt"
    assert "Booting from Floppy" in m.screen.text and "boot floppy:" in m.screen.text
    assert m.read(0x600, 2) == b"\x00\x01"
    changed = bytes([second[0] ^ 0xFF]) + second[1:]
    assert m.read(0x9000, 512) == changed
    disk = m.floppies[0]
    track = {360: 9, 720: 9, 1200: 15, 1440: 18, 2880: 36}[kib]
    assert disk is not None and disk.changed == [(30 * 2 + 1) * track + 4]
    assert disk.read(disk.changed[0]) == changed


@needs_seabios
def test_a_disk_boots_before_a_floppy_that_is_only_there() -> None:
    sector = bytes(assemble(BOOT_SECTOR, bits=16, origin=0x7C00)).ljust(510, b"\0") + b"\x55\xaa"
    m = Machine(ram="16MiB", history=False)
    m.attach_floppy((bytes(510) + b"\x55\xaa").ljust(1440 * 1024, b"\0"))
    m.boot(sector.ljust(1 << 20, b"\0"))
    assert m.run(max_instructions=400_000_000).reason == "halt"
    assert "Booting from Hard Disk" in m.screen.text and "boot sector:" in m.screen.text


@needs_seabios
@needs_grub
def test_grub_comes_to_its_prompt_from_a_floppy(tmp_path: Path) -> None:
    core = tmp_path / "core.img"
    modules = ["biosdisk", "normal", "echo", "ls"]
    command = ["grub-mkimage", "-O", "i386-pc", "-p", "(fd0)/", "-o", str(core), *modules]
    subprocess.run(command, check=True, capture_output=True)
    floppy = tmp_path / "floppy.img"
    floppy.write_bytes(((GRUB / "boot.img").read_bytes() + core.read_bytes()).ljust(1440 << 10, b"\0"))
    m = Machine(ram="32MiB", history=False)
    m.boot(floppy)
    run_until(m, lambda m: "grub>" in m.screen.text, 600_000_000)
    m.keyboard.type("ls\n")
    run_until(m, lambda m: "(fd0)" in m.screen.text, 100_000_000)


@needs_seabios
@needs_grub
def test_grub_comes_to_its_prompt(tmp_path: Path) -> None:
    core = tmp_path / "core.img"
    modules = ["biosdisk", "part_msdos", "normal", "echo", "ls"]
    command = ["grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-o", str(core), *modules]
    subprocess.run(command, check=True, capture_output=True)
    disk = tmp_path / "disk.img"
    disk.write_bytes(((GRUB / "boot.img").read_bytes() + core.read_bytes()).ljust(8 << 20, b"\0"))
    m = Machine(ram="32MiB", history=False)
    m.boot(disk)
    run_until(m, lambda m: "grub>" in m.screen.text, 400_000_000)
    m.keyboard.type("echo 6 times 7\n")
    run_until(m, lambda m: m.screen.text.count("6 times 7") == 2, 100_000_000)


def test_no_firmware_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYVIRT_FIRMWARE", str(tmp_path))
    image = bytearray(1 << 20)
    image[510:512] = b"\x55\xaa"
    m = Machine(ram="1MiB", history=False)
    with pytest.raises(ImageError, match="apt install seabios"):
        m.boot(bytes(image))
