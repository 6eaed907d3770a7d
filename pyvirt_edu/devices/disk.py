"""Disk contents: an image, what was written over it, and what a drive's cache still holds.

    overlay     (default) the image is read only; what the guest writes lives in the machine
    read-write  what reaches the medium is written to the image file too
    read-only   the drive refuses to write

What is written is a dictionary of sectors that is never changed once somebody else has it, so a
snapshot of a disk costs nothing until the next write. An image file follows: when the machine is
rewound, the next flush puts back what was there. A file that somebody else changes meanwhile is
neither read nor written any more: an ImageError says so once, from then on the guest's drive fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..machine.errors import ImageError, SnapshotError

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None  # type: ignore[assignment]

SECTOR = 512
MOST_SECTORS = 1 << 28  # 28-bit addresses
CACHE_SECTORS = 4096
MODES = ("overlay", "read-write", "read-only")
Sectors = dict[int, bytes]


class Disk:
    """A hard disk. `flush` and `power_cut` show what a write cache means for what survives."""

    def __init__(self, image: str | os.PathLike[str] | bytes, mode: str = "overlay") -> None:
        if mode not in MODES:
            raise ImageError(f"mode={mode!r}: a disk is attached as one of {', '.join(MODES)}")
        self.mode = mode
        self.name = "bytes"
        self._file: int | None = None
        self._bytes = b""
        if isinstance(image, bytes | bytearray):
            if mode == "read-write":
                raise ImageError('bytes cannot be changed: use mode="overlay", or an image file')
            self._bytes = bytes(image)
            size = len(image)
        else:
            self.name = os.fspath(image)
            size = self._open(Path(image), mode == "read-write")
        self.sectors = self._checked(size)
        self._written: Sectors = {}  # on the medium
        self._cache: Sectors = {}  # in the drive, the oldest first
        self._shared = False  # somebody keeps the dictionaries as they are
        self._originals: Sectors = {}  # of the image file, where it was changed
        self._behind: set[int] = set()  # sectors in which the file may differ from the medium
        self._stamp = self._file_stamp()
        self._foreign = False  # somebody else has changed the file

    def _open(self, path: Path, writable: bool) -> int:
        if path.exists() and not path.is_file():
            raise ImageError(f"the disk image {path} is no file")
        try:
            self._file = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise ImageError(f"cannot open the disk image {path}: {error.strerror or error}") from error
        if fcntl is not None:
            try:
                fcntl.flock(self._file, (fcntl.LOCK_EX if writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                if writable:
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kind QEMU takes
            except OSError as error:
                self.close()
                raise ImageError(
                    f"the disk image {path} is in use: another machine or program has it open"
                    f"{'' if writable else ' for writing'}; close that, or work with a copy"
                ) from error
        return os.fstat(self._file).st_size

    def _checked(self, size: int) -> int:
        problem = ""
        if size < SECTOR:
            problem = f"has {size} bytes, less than one sector of {SECTOR}"
        elif size % SECTOR:
            problem = (
                f"has {size:,} bytes, no whole number of sectors: pad it to {-(-size // SECTOR) * SECTOR:,}"
            )
        elif size // SECTOR > MOST_SECTORS:
            problem = f"has {size:,} bytes; drives of this machine hold up to {MOST_SECTORS * SECTOR:,}"
        if problem:
            self.close()
            raise ImageError(f"the disk image {self.name} {problem}")
        return size // SECTOR

    def close(self) -> None:
        """Write what is on the medium to the file, and let go of it. The machine must not use
        the disk any more."""
        if self._file is not None:
            try:
                if hasattr(self, "_written"):
                    self._sync()
            finally:
                os.close(self._file)
                self._file = None

    def _file_stamp(self) -> tuple[int, int]:
        """What changes when somebody writes to the file."""
        if self._file is None:
            return 0, 0
        status = os.fstat(self._file)
        return status.st_mtime_ns, status.st_size

    def _check_file(self) -> None:
        """Nobody else has written to the file since we opened it or wrote to it."""
        if self._foreign:
            raise OSError("the image file was changed")
        if self._file_stamp() != self._stamp:
            self._foreign = True
            raise ImageError(
                f"the disk image {self.name} was changed by another program while a machine uses it. The "
                "machine leaves it alone from now on, and keeps what its guest wrote (Disk.changed, "
                "Disk.read). Attach the image to a new machine, or work with a copy"
            )

    # --- sectors -----------------------------------------------------------------------

    def _base(self, lba: int, count: int) -> bytes:
        if self._file is None:
            return self._bytes[lba * SECTOR : (lba + count) * SECTOR]
        self._check_file()
        os.lseek(self._file, lba * SECTOR, os.SEEK_SET)  # pread is not there on Windows
        data = os.read(self._file, count * SECTOR)
        if len(data) < count * SECTOR:
            raise OSError("the image file has become shorter")
        return data

    def read(self, lba: int, count: int = 1) -> bytes:
        """Sectors as the guest sees them."""
        if lba < 0 or count < 0 or lba + count > self.sectors:
            raise ImageError(f"sectors {lba} to {lba + count - 1} are not on a disk of {self.sectors}")
        layers = [layer for layer in (self._cache, self._written, self._originals) if layer]
        if not layers:
            return self._base(lba, count)
        found = [next((s[n] for s in layers if n in s), b"") for n in range(lba, lba + count)]
        if b"" in found:
            base = self._base(lba, count)
            found = [x or base[SECTOR * i : SECTOR * (i + 1)] for i, x in enumerate(found)]
        return b"".join(found)

    def _own(self) -> None:
        if self._shared:
            self._written, self._cache, self._shared = dict(self._written), dict(self._cache), False

    def write(self, lba: int, data: bytes, cached: bool = False) -> None:
        """Whole sectors, to the medium or into the cache."""
        self._own()
        for i in range(len(data) // SECTOR):
            sector = bytes(data[SECTOR * i : SECTOR * (i + 1)])
            if cached:
                self._cache[lba + i] = sector
            else:
                self._cache.pop(lba + i, None)
                self._to_medium(lba + i, sector)
        if len(self._cache) > CACHE_SECTORS:
            self.flush()

    def _to_medium(self, lba: int, sector: bytes) -> None:
        self._written[lba] = sector
        if self.mode == "read-write":
            self._behind.add(lba)

    def flush(self) -> None:
        """Empty the cache onto the medium."""
        if self._cache:
            self._own()
            for lba, sector in self._cache.items():
                self._to_medium(lba, sector)
            self._cache.clear()

    def power_cut(self) -> int:
        """Lose what is only in the cache; returns how many sectors that were."""
        lost = len(self._cache)
        if lost:
            self._own()
            self._cache.clear()
        return lost

    @property
    def cached(self) -> int:
        """Sectors that a power cut would lose."""
        return len(self._cache)

    @property
    def changed(self) -> list[int]:
        """Sectors on the medium or in the cache that the guest has written."""
        return sorted({*self._written, *self._cache})

    def written(self) -> bytes:
        """These sectors with their numbers, the medium's first, then the cache's."""
        layers = (self._written, self._cache)
        heads = b"".join(len(layer).to_bytes(8, "little") for layer in layers)
        return heads + b"".join(n.to_bytes(8, "little") + s[n] for s in layers for n in sorted(s))

    def contents(self) -> bytes:
        """The whole disk as the guest sees it."""
        return self.read(0, self.sectors)

    # --- the image file ----------------------------------------------------------------

    def _sync(self) -> None:
        """Make the image file what the medium is now."""
        if self._file is None or not self._behind:
            return
        self._check_file()
        for lba in self._behind:
            if lba not in self._originals:
                self._originals[lba] = self._base(lba, 1)
        try:
            for lba in sorted(self._behind):
                os.lseek(self._file, lba * SECTOR, os.SEEK_SET)
                os.write(self._file, self._written.get(lba, self._originals[lba]))
            os.fsync(self._file)
        finally:
            self._stamp = self._file_stamp()
        self._behind.clear()

    # --- snapshots ---------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        self._shared = True
        return {"sectors": self.sectors, "written": self._written, "cache": self._cache}

    def restore(self, state: dict[str, Any]) -> None:
        if self.mode == "read-write" and state["written"] is not self._written:
            self._behind.update(_differing(self._written, state["written"]))
        self._written, self._cache, self._shared = state["written"], state["cache"], True


def restore_disks(disks: list[Disk | None], state: list[dict[str, Any] | None], what: str) -> None:
    """Put the disks of a machine back to what a snapshot says; they must be the same ones."""
    sizes = [0 if disk is None else disk.sectors for disk in disks]
    for number, (kept, sectors) in enumerate(zip(state, sizes, strict=True)):
        if (kept["sectors"] if kept else 0) != sectors:
            raise SnapshotError(
                f"the snapshot has {kept['sectors'] if kept else 'no'} sectors at {what} {number}, this "
                f"machine {sectors or 'no'}: attach the same disks before restoring it"
            )
    for disk, kept in zip(disks, state, strict=True):
        if disk is not None and kept is not None:
            disk.restore(kept)


def _differing(a: Sectors, b: Sectors) -> Iterable[int]:
    return (lba for lba in {*a, *b} if a.get(lba) is not b.get(lba))
