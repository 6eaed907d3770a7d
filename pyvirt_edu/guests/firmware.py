"""Where a computer keeps SeaBIOS, the free BIOS that QEMU uses: disk images need one to boot.

It is not part of this package. Debian and Ubuntu have it in the package `seabios`; QEMU brings
it along on every system.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..machine.errors import ImageError

FOLDERS = (
    "/usr/share/seabios",
    "/usr/share/qemu",
    "/opt/homebrew/share/qemu",
    "/usr/local/share/qemu",
    "C:/Program Files/qemu/share",
)
BIOS, VGA_BIOS = "bios-256k.bin", "vgabios-stdvga.bin"


def find_firmware() -> tuple[Path, Path]:
    """BIOS and VGA BIOS: in the folder that PYVIRT_FIRMWARE names, or where packages put them."""
    own = os.environ.get("PYVIRT_FIRMWARE")
    for folder in map(Path, (own,) if own else FOLDERS):
        if (folder / BIOS).is_file() and (folder / VGA_BIOS).is_file():
            return folder / BIOS, folder / VGA_BIOS
    where = f"PYVIRT_FIRMWARE={own}" if own else "any of the usual folders"
    raise ImageError(
        f"a disk image needs a BIOS, and {BIOS} with {VGA_BIOS} is not in {where}. Install SeaBIOS "
        "(Debian, Ubuntu: apt install seabios; elsewhere it comes with QEMU), or name its folder in "
        "PYVIRT_FIRMWARE"
    )
