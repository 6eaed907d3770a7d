"""Debian's busybox for i386: fetched on request, kept in the user's cache, never part of the package.

Its one file is some 270 commands; it is linked statically, so a kernel that speaks Linux's
system-call interface for i386 runs it as it is.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..machine.errors import ImageError
from . import elf
from .sprout import root_with

PACKAGE = "busybox-static"
PT_INTERP = 3
REMEDY = "get it with: pyvirt guests add busybox [FILE]"


def cache_file() -> Path:
    """Where it is kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("pyvirt_edu", appauthor=False)) / "guests" / "busybox-i386"


def find() -> bytes:
    """The program, if it was added."""
    path = cache_file()
    if not path.exists():
        raise ImageError(f"busybox is not in the cache; {REMEDY}")
    return path.read_bytes()


# --- verifying ------------------------------------------------------------------------------------


def check(data: bytes, name: str) -> bytes:
    """The same bytes, if they are a static busybox for i386."""
    if not elf.is_elf(data):
        raise ImageError(f"{name} is neither a Debian package nor an ELF program")
    elf.parse(data, name)  # 32-bit x86, and whole
    count, offset = int.from_bytes(data[44:46], "little"), int.from_bytes(data[28:32], "little")
    kinds = {int.from_bytes(data[offset + 32 * i : offset + 32 * i + 4], "little") for i in range(count)}
    if PT_INTERP in kinds:
        raise ImageError(f"{name} needs shared libraries; take the package {PACKAGE}")
    if not re.search(rb"BusyBox v\d", data):
        raise ImageError(f"{name} is a program, but not busybox")
    return data


def applets(busybox: bytes) -> tuple[str, ...]:
    """The commands in it: a sorted list of names, which begins with "[" and "[["."""
    start = busybox.find(b"\0[\0[[\0") + 1
    names: list[str] = []
    while start:
        end = busybox.index(b"\0", start)
        name = busybox[start:end].decode("ascii", "replace")
        if not re.fullmatch(r"[a-z0-9_.\[-]+", name) or (names and name <= names[-1]):
            break
        names.append(name)
        start = end + 1
    if len(names) < 3:
        raise ImageError("no list of commands was found in this busybox")
    return tuple(names)


# --- fetching -------------------------------------------------------------------------------------


def from_package(deb: bytes, name: str) -> bytes:
    """The program in a Debian package: an ar archive, in it a tar archive."""
    at = 8
    while at + 60 <= len(deb):
        member, size = deb[at : at + 16].decode("ascii", "replace").strip(" /"), int(deb[at + 48 : at + 58])
        if member.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(deb[at + 60 : at + 60 + size])) as archive:
                for path in ("./bin/busybox", "./usr/bin/busybox"):
                    if path in archive.getnames():
                        file = archive.extractfile(path)
                        return file.read() if file else b""
        at += 60 + size + size % 2
    raise ImageError(f"{name} is a Debian package without busybox in it; take {PACKAGE}")


def download() -> bytes:
    """The package, through apt, which checks Debian's signature."""
    if shutil.which("apt-get") is None:
        raise ImageError(
            f"there is no apt here: download {PACKAGE} for i386 from packages.debian.org, and name the file"
        )
    with tempfile.TemporaryDirectory() as folder:
        for package in (f"{PACKAGE}:i386", PACKAGE):
            done = subprocess.run(
                ["apt-get", "download", package], cwd=folder, capture_output=True, text=True, check=False
            )
            for path in Path(folder).glob("*_i386.deb"):
                return from_package(path.read_bytes(), path.name)
        raise ImageError(
            f"apt has no {PACKAGE} for i386: {done.stderr.strip().splitlines()[-1:] or 'it gave no reason'}\n"
            "(dpkg --add-architecture i386; apt-get update)"
        )


def add(source: Path | None = None) -> tuple[Path, str]:
    """Put busybox into the cache: from a package or program the user names, else through apt.

    Returns where it is now, and its SHA-256.
    """
    name = str(source or PACKAGE)
    data = download() if source is None else source.read_bytes()
    if data.startswith(b"!<arch>\n"):
        data = from_package(data, name)
    data = check(data, name)
    path = cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def root(files: Mapping[str, bytes] | None = None, busybox: bytes | None = None) -> bytes:
    """A root file system for sprout with busybox's commands, and files of yours."""
    program = find() if busybox is None else busybox
    return root_with(files or {}, program, applets(program))
