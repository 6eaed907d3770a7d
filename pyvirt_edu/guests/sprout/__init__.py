"""sprout, the teaching operating system: its images, and root file systems to boot it with.

>>> from pyvirt_edu import Machine
>>> from pyvirt_edu.guests import sprout
>>> m = Machine(ram="16MiB")
>>> m.boot(sprout.image(), initrd=sprout.root())
'multiboot'
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..cpio import Member, pack, symlink, unpack
from .inspector import Inspector, Process

__all__ = ["Inspector", "Process", "image", "program", "root", "root_with"]

HERE = Path(__file__).parent
IMAGES = HERE / "images"
DIRECTORIES = ("bin", "etc", "tmp", "mnt", "dev", "proc")


def image() -> Path:
    """The kernel: a multiboot ELF, with symbols, lines and structures."""
    return IMAGES / "sprout.elf"


def root() -> Path:
    """Its own root file system: init, a shell and small programs, as a cpio archive."""
    return IMAGES / "root.cpio"


def program(name: str) -> bytes:
    """One of sprout's own programs, for example ``program("ubench")``."""
    return unpack(root().read_bytes())[f"bin/{name}"].data


def root_with(
    files: Mapping[str, bytes], busybox: bytes | None = None, applets: tuple[str, ...] = ()
) -> bytes:
    """A root file system with files of yours ("etc/motd": b"...").

    What lies in bin/ or is called init can be executed. With ``busybox``, its applets are the
    commands; without it, sprout's own programs are.
    """
    members = [Member(name, 0o40755) for name in DIRECTORIES]
    if busybox is None:
        members += [m for name, m in unpack(root().read_bytes()).items() if name not in DIRECTORIES]
    else:
        members += [Member("bin/busybox", 0o100755, busybox), Member("init", 0o100755, program("init"))]
        members += [symlink(f"bin/{name}", "busybox") for name in applets if name != "busybox"]
        members.append(Member("etc/passwd", 0o100644, b"root:x:0:0:root:/:/bin/sh\n"))
        members.append(Member("etc/group", 0o100644, b"root:x:0:\n"))
    for name, data in files.items():
        members = [m for m in members if m.name != name]
        members.append(
            Member(name, 0o100755 if name.startswith("bin/") or name == "init" else 0o100644, data)
        )
    return pack(members)
