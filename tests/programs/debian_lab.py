"""Debian packages unpacked for a test, and small disks and RAM disks made of what is in them."""

from __future__ import annotations

import atexit
import gzip
import re
import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

SECTOR = 512
FIRST = 2048  # sector of the only partition
GRUB = Path("/usr/lib/grub/i386-pc")
BOOT_MODULES = "biosdisk part_msdos ext2 multiboot linux linux16 echo ls boot".split()
FOLDER, FILE, DEVICE = 0o40755, 0o100755, 0o20600
Entry = tuple[str, int, bytes]


@cache
def package(name: str) -> Path:
    """The files of a Debian package, downloaded by apt; skips the test where that is impossible."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("apt-get is not here")
    where = Path(tempfile.mkdtemp(prefix="debian-"))
    atexit.register(shutil.rmtree, where, ignore_errors=True)  # for all tests of a run, then gone
    got = subprocess.run(
        ["apt-get", "download", name], cwd=where, capture_output=True, text=True, timeout=300
    )
    archives = list(where.glob("*.deb"))
    if not archives:
        pytest.skip(f"apt-get download {name}: {got.stderr.strip().splitlines()[-1:]}")
    subprocess.run(["dpkg-deb", "-x", str(archives[0]), str(where)], check=True, timeout=300)
    archives[0].unlink()
    return where


def newest(flavour: str) -> Path:
    """The unpacked package of the newest Linux for ``686`` or ``686-pae``."""
    listed = subprocess.run(
        ["apt-cache", "search", "--names-only", rf"^linux-image-[0-9].*-{flavour}-unsigned$"],
        capture_output=True,
        text=True,
    ).stdout
    names = [line.split()[0] for line in listed.splitlines() if "-rt-" not in line]
    if not names:
        pytest.skip("no Linux for i386 among apt's packages: dpkg --add-architecture i386; apt-get update")
    release = max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    return package(f"{release}:i386")


def busybox() -> bytes:
    return (package("busybox-static:i386") / "bin/busybox").read_bytes()


def merged(names: list[str], where: Path) -> Path:
    """Packages of i386 in one tree, as an installation has them."""
    for name in names:
        shutil.copytree(package(f"{name}:i386"), where, symlinks=True, dirs_exist_ok=True)
    return where


def compiled(source: Path, root: Path, out: Path) -> Path:
    """A C program, for the x87, linked with the static C library of ``merged`` packages."""
    library = root / "usr/lib/i386-linux-gnu"
    gcc = subprocess.run(["gcc", "-print-file-name=include"], capture_output=True, text=True).stdout.strip()
    command = "gcc -m32 -O2 -march=i686 -mfpmath=387 -mno-sse -std=gnu11 -static -nostdlib -nostdinc".split()
    for folder in (root / "usr/include/i386-linux-gnu", root / "usr/include", Path(gcc)):
        command += ["-isystem", str(folder)]
    command += ["-o", str(out), str(library / "crt1.o"), str(library / "crti.o"), str(source)]
    archives = [library / "libm.a", library / "libc.a", *root.rglob("libgcc.a"), *root.rglob("libgcc_eh.a")]
    command += ["-Wl,--start-group", *map(str, archives), "-Wl,--end-group", str(library / "crtn.o")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return out


def with_dependencies(root: Path, wanted: list[str]) -> list[Path]:
    """Kernel modules in an order in which they can be loaded."""
    known = {path.stem.replace("-", "_"): path for path in root.rglob("*.ko")}
    order: list[Path] = []

    def need(name: str) -> None:
        path = known[name.replace("-", "_")]
        found = re.search(rb"depends=([^\0]*)\0", path.read_bytes())
        for other in found[1].decode().split(",") if found else ():
            if other:
                need(other)
        if path not in order:
            order.append(path)

    for name in wanted:
        need(name)
    return order


def archive(entries: list[Entry]) -> bytes:
    """A cpio archive ("newc") with a console, as a kernel unpacks it into its first file system."""
    out = b""
    entries = [("dev", FOLDER, b""), ("dev/console", DEVICE, b""), *entries, ("TRAILER!!!", 0, b"")]
    for number, (name, mode, data) in enumerate(entries):
        device = (5, 1) if mode == DEVICE else (0, 0)
        text = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(text), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + text
        out += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return out


def ram_disk(script: str, more: list[Entry] | None = None) -> bytes:
    """Busybox, and a script that is the first process."""
    start = (
        "#!/bin/busybox sh\n/bin/busybox --install -s /bin\n"
        "mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\n"
    )
    entries = [(name, FOLDER, b"") for name in ("bin", "proc", "sys", "mnt", "lib", "etc")]
    entries += [("bin/busybox", FILE, busybox()), ("init", FILE, (start + script).encode()), *(more or [])]
    return gzip.compress(archive(entries), 6)


def ext2(files: dict[str, bytes], megabytes: int, where: Path) -> bytes:
    """A file system with these files in its root."""
    if shutil.which("mke2fs") is None:
        pytest.skip("mke2fs (e2fsprogs) is not installed")
    root, out = where / "root", where / "ext2"
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    command = ["mke2fs", "-q", "-t", "ext2", "-d", str(root), str(out), f"{megabytes << 10}k"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return out.read_bytes()


def grub_disk(files: dict[str, bytes], commands: str, where: Path, megabytes: int = 31) -> bytes:
    """A disk whose GRUB runs these commands with the root of an ext2 partition as its root."""
    if not (GRUB / "boot.img").exists() or shutil.which("grub-mkimage") is None:
        pytest.skip("grub-pc-bin and grub-common are not installed")
    script, core = where / "grub.cfg", where / "core.img"
    script.write_text(f"set root=(hd0,msdos1)\n{commands}\n")
    command = ["grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-c", str(script), "-o", str(core)]
    subprocess.run([*command, *BOOT_MODULES], check=True, capture_output=True, timeout=60)
    partition = ext2(files, megabytes, where)
    sector = bytearray((GRUB / "boot.img").read_bytes())
    entry = struct.pack("<B3xB3xII", 0x80, 0x83, FIRST, len(partition) // SECTOR)
    sector[446:510] = entry.ljust(64, b"\0")
    return (bytes(sector) + core.read_bytes()).ljust(FIRST * SECTOR, b"\0") + partition
