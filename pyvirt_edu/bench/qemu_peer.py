"""QEMU's TCG on the same kernels: a floppy image, and the debug console on a pipe."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .kernels import Console, Kernel

NAME = "QEMU"
SECTORS = 32
FLOPPY = 1440 * 1024
_boot_sector: dict[Path, bytes] = {}


def missing(place: Path | None) -> str:
    """Why it cannot be measured; empty if it can."""
    if shutil.which("qemu-system-i386") is None:
        return "qemu-system-i386 is not installed"
    if shutil.which("nasm") is None:
        return "nasm is not installed; it assembles the boot sector"
    if place is None or not (place / "src" / "boot.asm").exists():
        return "the shared kernels with their boot sector are not present"
    return ""


def boot_sector(place: Path) -> bytes:
    if place not in _boot_sector:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "boot.bin"
            source = place / "src" / "boot.asm"
            subprocess.run(
                ["nasm", "-f", "bin", f"-DNSEC={SECTORS}", "-o", str(out), str(source)], check=True
            )
            _boot_sector[place] = out.read_bytes()
    return _boot_sector[place]


def run(kernel: Kernel, n: int) -> Console:
    place = kernel.folder
    if place is None:
        raise ValueError(f"kernel {kernel.letter} comes without a boot sector")
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "floppy.img"
        image.write_bytes((boot_sector(place) + kernel.blob(n)).ljust(FLOPPY, b"\0"))
        command = ["qemu-system-i386", "-accel", "tcg", "-m", "32", "-display", "none", "-no-reboot"]
        command += ["-drive", f"file={image},format=raw,if=floppy", "-boot", "a", "-net", "none"]
        command += ["-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            while data := os.read(process.stdout.fileno(), 1):
                console.put(data[0])
    return console
