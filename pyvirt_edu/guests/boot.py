"""`Machine.boot`: look at an image, and start it the way its format asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..machine.bare_machine import BareMachine
from ..machine.errors import ImageError
from . import elf
from .linux import boot_bzimage, boot_vmlinux, is_bzimage
from .load import enter_flat, put, read_image
from .multiboot import boot_multiboot, find_header

Image = str | Path | bytes
FLAT_AT, FLAT_STACK = 0x10000, 0x90000
SECTOR = 512

FORMATS = {
    "multiboot": "a kernel with a multiboot header (ELF, or with addresses in the header)",
    "bzimage": "a Linux kernel as distributions ship it (vmlinuz)",
    "elf": "an ELF kernel without multiboot header, such as vmlinux",
    "boot-sector": "a floppy or disk image whose first sector ends in 55 AA; needs a BIOS",
    "flat": "raw 32-bit code, loaded at 10000h and entered there",
}


def identify(data: bytes) -> str:
    """Which of FORMATS an image is; "" if none that announces itself."""
    if is_bzimage(data):
        return "bzimage"
    # before multiboot: GRUB's own disk images have a multiboot header inside
    if len(data) >= SECTOR and len(data) % SECTOR == 0 and data[510:512] == b"\x55\xaa":
        return "boot-sector"
    if find_header(data) is not None:
        return "multiboot"
    return "elf" if elf.is_elf(data) else ""


def boot_flat(machine: BareMachine, data: bytes, name: str) -> None:
    """Flat code at 10000h with a stack below 90000h."""
    put(machine, FLAT_AT, data, len(data), name)
    enter_flat(machine, FLAT_AT, FLAT_STACK)


def boot(
    machine: BareMachine,
    image: Image,
    append: str = "",
    initrd: Image | list[tuple[bytes, str]] | None = None,
    format: str | None = None,
    boot_sector: Callable[[bytes, str], None] | None = None,
) -> str:
    """Load an image and stand at its first instruction; returns the format it has.

    ``boot_sector`` is what to do with a disk image; loading firmware is not this layer's work.
    """
    data, name = read_image(image)
    if not data:
        raise ImageError(f"{name} is empty")
    if format is not None and format not in FORMATS:
        raise ImageError(f"format={format!r} is unknown; there are {', '.join(FORMATS)}")
    kind = format or identify(data)
    if not kind:
        raise ImageError(
            f"{name} is in no known format: no bzImage, multiboot, ELF or boot-sector signature is there; "
            'raw code needs format="flat"'
        )
    ramdisk: bytes | None = None
    modules: list[tuple[bytes, str]] = []
    if isinstance(initrd, list):
        modules = initrd
        ramdisk = initrd[0][0] if initrd else None
    elif initrd is not None:
        ramdisk, text = read_image(initrd, "initrd")
        modules = [(ramdisk, Path(text).name)]
    if kind == "multiboot":
        boot_multiboot(machine, data, name, append, modules)
    elif kind == "bzimage":
        boot_bzimage(machine, data, name, append, ramdisk)
    elif kind == "elf":
        boot_vmlinux(machine, data, name, append, ramdisk)
    elif kind == "boot-sector":
        if boot_sector is None:
            raise ImageError(f"{name} is a disk image; boot it on a machine with devices")
        boot_sector(data, name)
    else:
        boot_flat(machine, data, name)
    return kind
