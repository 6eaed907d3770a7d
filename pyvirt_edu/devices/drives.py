"""Python's part of the IDE channels: which disks are there, and the sectors they ask for."""

from __future__ import annotations

from typing import Any

from ..machine.bare_machine import BareMachine
from ..machine.errors import ConfigurationError, ImageError
from .disk import Disk, restore_disks
from .ide import (
    ABRT,
    BUFFER,
    CACHE,
    CHANNEL_WORDS,
    DRIVE_WORDS,
    DRIVES,
    HEADS,
    MULTIPLE,
    READY,
    REQUEST,
    REQUEST_COUNT,
    REQUEST_DRIVE,
    REQUEST_FLUSH,
    REQUEST_IDENTIFY,
    REQUEST_LBA,
    REQUEST_READ,
    SECTOR,
    SECTORS,
    STATUS,
    TRACK,
    UNC,
)
from .layout import IDE, IDE_BYTES, OP_IDE_DONE, SERVICE_IDE

HEAD_COUNT, TRACK_SECTORS, MOST_CYLINDERS = 16, 63, 16383


class Drives:
    """Up to four hard disks: 0 and 1 on the first channel, 2 and 3 on the second."""

    bits = SERVICE_IDE

    def __init__(self, machine: BareMachine) -> None:
        self._machine = machine
        self.disks: list[Disk | None] = [None] * 4

    def attach(self, disk: Disk, number: int) -> None:
        if number not in range(4):
            raise ConfigurationError(f"drive={number!r}: there are drives 0 to 3")
        if self.disks[number] is not None:
            raise ConfigurationError(f"drive {number} has a disk already: {self.disks[number].name}")  # type: ignore[union-attr]
        self.disks[number] = disk
        self._power_on(number)

    def _words(self, number: int) -> int:
        return IDE + CHANNEL_WORDS * (number >> 1) + DRIVES + DRIVE_WORDS * (number & 1)

    def _power_on(self, number: int) -> None:
        d, words, disk = self._machine._a.devices, self._words(number), self.disks[number]
        if disk is not None:
            d[words + SECTORS], d[words + CACHE], d[words + MULTIPLE] = disk.sectors, 1, 0
            d[words + HEADS], d[words + TRACK] = HEAD_COUNT, TRACK_SECTORS
            d[words + STATUS] = READY

    def reset(self) -> None:
        for number in range(4):
            self._power_on(number)

    # --- requests ----------------------------------------------------------------------

    def serve(self, bits: int) -> None:
        d, problem = self._machine._a.devices, None
        for channel in (IDE, IDE + CHANNEL_WORDS):
            if d[channel + REQUEST]:
                try:
                    error = self._answer(channel)
                except ImageError as raised:
                    error, problem = UNC, raised
                self._machine._core_silently("card_access", (), OP_IDE_DONE, channel, error)
        if problem:
            raise problem

    def _answer(self, channel: int) -> int:
        """Do what a channel wants; returns the bits of the error register."""
        a = self._machine._a
        what, unit, lba, count = (
            int(a.devices[channel + i]) for i in (REQUEST, REQUEST_DRIVE, REQUEST_LBA, REQUEST_COUNT)
        )
        second = channel != IDE
        number = 2 * second + unit
        disk = self.disks[number]
        buffer = IDE_BYTES + BUFFER * second
        if disk is None:
            return ABRT
        try:
            if what == REQUEST_IDENTIFY:
                a.device_bytes[buffer : buffer + SECTOR] = _bytes(self.identify(number))
            elif what == REQUEST_READ:
                a.device_bytes[buffer : buffer + count * SECTOR] = _bytes(disk.read(lba, count))
            elif what == REQUEST_FLUSH:
                disk.flush()
            elif disk.mode == "read-only":
                return ABRT
            else:
                data = a.device_bytes[buffer : buffer + count * SECTOR].tobytes()
                disk.write(lba, data, cached=bool(a.devices[self._words(number) + CACHE]))
            if not self._machine._replaying and what != REQUEST_READ:
                disk._sync()
        except OSError:  # the host's disk failed: so does the guest's
            return UNC
        return 0

    def identify(self, number: int) -> bytes:
        """What IDENTIFY DEVICE returns (ATA-3, table 10; words 82 to 87 as in ATA-4)."""
        disk, words = self.disks[number], self._words(number)
        assert disk is not None
        heads, track, multiple, cache = (
            int(self._machine._a.devices[words + i]) for i in (HEADS, TRACK, MULTIPLE, CACHE)
        )
        cylinders = min(disk.sectors // (heads * track), 0xFFFF)
        native = max(1, min(disk.sectors // (HEAD_COUNT * TRACK_SECTORS), MOST_CYLINDERS))
        capacity = cylinders * heads * track
        table = [0] * 256
        table[0] = 0x0040  # a fixed disk
        table[1], table[3], table[6] = native, HEAD_COUNT, TRACK_SECTORS
        table[10:20] = _text(f"PYVIRT{number:04}", 10)
        table[20:23] = [3, BUFFER // SECTOR, 4]
        table[23:27] = _text("1.0", 4)
        table[27:47] = _text("PYVIRT HARDDISK", 20)
        table[47:50] = [0x8000 | BUFFER // SECTOR, 1, 0x0200]  # blocks; 32-bit transfers; LBA
        table[51] = 0x0200
        table[53:59] = [3, cylinders, heads, track, capacity & 0xFFFF, capacity >> 16]
        table[59] = 0x100 | multiple if multiple else 0
        table[60:62] = [disk.sectors & 0xFFFF, disk.sectors >> 16]
        table[64:69] = [3, 0, 0, 120, 120]  # PIO modes 3 and 4
        table[80] = 0x001E
        table[82:88] = [0x0020, 0x5000, 0x4000, 0x0020 * cache, 0x1000, 0x4000]  # cache, FLUSH CACHE
        return b"".join(word.to_bytes(2, "little") for word in table)

    # --- snapshots ---------------------------------------------------------------------

    def state(self) -> Any:
        return [None if disk is None else disk.state() for disk in self.disks]

    def restore(self, state: Any) -> None:
        restore_disks(self.disks, state, "drive")


def _bytes(data: bytes) -> Any:
    return memoryview(data)


def _text(text: str, words: int) -> list[int]:
    """Characters as ATA has them: the first of a pair in the upper byte."""
    data = text.ljust(2 * words).encode()
    return [data[2 * i] << 8 | data[2 * i + 1] for i in range(words)]
