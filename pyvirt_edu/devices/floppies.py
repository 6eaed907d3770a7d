"""Python's part of the floppy controller: which drives and disks are there, and their sectors."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ..machine.bare_machine import BareMachine
from ..machine.errors import ConfigurationError, ImageError
from . import fdc
from .cmos import BOOT_FIRST, EQUIPMENT, FLOPPIES, FLOPPY, MOUSE, X87, put
from .disk import SECTOR, Disk, restore_disks
from .layout import OP_FLOPPY_DONE, SERVICE_FLOPPY

DISK_THEN_FLOPPY, FLOPPY_THEN_DISK = 0x12, 0x21
SECOND_FLOPPY = 0x40


class Kind(NamedTuple):
    """A kind of floppy disk, and the drive for it as CMOS RAM names it."""

    name: str
    tracks: int
    heads: int
    sectors: int
    rate: int  # as the controller's registers have it
    drive: int


#: By the number of sectors.
KINDS = {
    kind.tracks * kind.heads * kind.sectors: kind
    for kind in (
        Kind("160K", 40, 1, 8, fdc.RATE_300K, 1),
        Kind("180K", 40, 1, 9, fdc.RATE_300K, 1),
        Kind("320K", 40, 2, 8, fdc.RATE_300K, 1),
        Kind("360K", 40, 2, 9, fdc.RATE_300K, 1),
        Kind("720K", 80, 2, 9, fdc.RATE_250K, 3),
        Kind("1.2M", 80, 2, 15, fdc.RATE_500K, 2),
        Kind("1.44M", 80, 2, 18, fdc.RATE_500K, 4),
        Kind("2.88M", 80, 2, 36, fdc.RATE_1M, 5),
    )
}


def is_floppy(size: int) -> bool:
    """Whether an image of so many bytes is a floppy disk's."""
    return size % SECTOR == 0 and size // SECTOR in KINDS


class Floppies:
    """Up to two floppy drives; each is there from the moment a disk is put in."""

    bits = SERVICE_FLOPPY

    def __init__(self, machine: BareMachine) -> None:
        self._machine = machine
        self.disks: list[Disk | None] = [None] * 2
        self.boots_first = False

    def attach(self, image: str | os.PathLike[str] | bytes | Disk, number: int, mode: str) -> Disk:
        """Put a disk into a drive; one that is in there comes out."""
        if number not in (0, 1):
            raise ConfigurationError(f"drive={number!r}: there are floppy drives 0 and 1")
        if isinstance(image, Disk) and image in self.disks:
            raise ConfigurationError(f"{image.name} is in a drive already")
        disk = image if isinstance(image, Disk) else Disk(image, mode)
        if disk.sectors not in KINDS:
            self._refuse(disk, disk is image)
        self.disks[number] = disk
        self._insert(number)
        self.set_up()
        return disk

    def _refuse(self, disk: Disk, keep: bool) -> None:
        if not keep:
            disk.close()
        sizes = ", ".join(f"{kind.name} ({sectors * SECTOR:,})" for sectors, kind in KINDS.items())
        raise ImageError(
            f"the floppy image {disk.name} has {disk.sectors * SECTOR:,} bytes; floppy disks are {sizes}. "
            "A disk image of another size goes to attach_disk"
        )

    def _insert(self, number: int) -> None:
        d, words, disk = self._machine._a.devices, fdc.DRIVES + fdc.DRIVE_WORDS * number, self.disks[number]
        if disk is not None:
            kind = KINDS[disk.sectors]
            d[words + fdc.TRACKS], d[words + fdc.HEADS] = kind.tracks, kind.heads
            d[words + fdc.TRACK_SECTORS], d[words + fdc.DISK_RATE] = kind.sectors, kind.rate
            d[words + fdc.PROTECTED] = disk.mode == "read-only"
            d[words + fdc.CHANGED] = 1

    def set_up(self) -> None:
        """What a set-up program would note in the CMOS RAM: the drives, and who boots first."""
        types = [0 if disk is None else KINDS[disk.sectors].drive for disk in self.disks]
        count = sum(kind != 0 for kind in types)
        equipment = X87 | MOUSE | (FLOPPY if count else 0) | (SECOND_FLOPPY if count > 1 else 0)
        order = FLOPPY_THEN_DISK if self.boots_first else DISK_THEN_FLOPPY
        put(
            self._machine,
            {FLOPPIES: types[0] << 4 | types[1], EQUIPMENT: equipment, BOOT_FIRST: order},
        )

    def reset(self) -> None:
        for number in range(2):
            self._insert(number)

    # --- requests ----------------------------------------------------------------------

    def serve(self, bits: int) -> None:
        if self._machine._a.devices[fdc.REQUEST]:
            status = fdc.CRC
            try:
                status = self._answer()
            finally:  # an ImageError is the guest's error as well
                self._machine._core_silently("card_access", (), OP_FLOPPY_DONE, status, 0)

    def _answer(self) -> int:
        """Do what the controller wants; returns bits of its status register 1."""
        a = self._machine._a
        what, number, sector = (
            int(a.devices[i]) for i in (fdc.REQUEST, fdc.REQUEST_DRIVE, fdc.REQUEST_SECTOR)
        )
        disk = self.disks[number] if number < 2 else None
        if disk is None or sector >= disk.sectors:
            return fdc.NO_ADDRESS
        place = slice(fdc.SECTOR_BUFFER, fdc.SECTOR_BUFFER + SECTOR)
        try:
            if what == fdc.REQUEST_READ:
                a.device_bytes[place] = memoryview(disk.read(sector))
            else:
                disk.write(sector, a.device_bytes[place].tobytes())
                if not self._machine._replaying:
                    disk._sync()
        except OSError:  # the host's disk failed: so does the guest's
            return fdc.CRC
        return 0

    # --- snapshots ---------------------------------------------------------------------

    def state(self) -> Any:
        return [None if disk is None else disk.state() for disk in self.disks]

    def restore(self, state: Any) -> None:
        restore_disks(self.disks, state, "floppy drive")
