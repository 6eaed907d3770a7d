"""What a BIOS finds in the CMOS RAM of a new PC: the date, the memory, the drives (IBM AT
technical reference, "real-time clock/CMOS RAM information"; the bytes from 30h on by custom).
"""

from __future__ import annotations

from datetime import datetime

from ..machine.bare_machine import BareMachine
from ..machine.errors import ConfigurationError
from .layout import CMOS_BYTES
from .rtc import CENTURY, CMOS_SIZE, DAY, HOURS, MINUTES, MONTH, SECONDS, WEEKDAY, YEAR, A, B, D

EXAMPLE = "2026-01-01T00:00:00"

FLOPPIES, DISKS, EQUIPMENT = 0x10, 0x12, 0x14
BASE_KB, EXTENDED_KB, CHECKSUM, EXTENDED_KB_FOUND, ABOVE_16M = 0x15, 0x17, 0x2E, 0x30, 0x34
BOOT_LATER, BOOT_FIRST = 0x38, 0x3D
X87, MOUSE, FLOPPY = 0x02, 0x04, 0x01
KIB_64 = 1 << 16


def _bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


def moment(date: str | datetime) -> datetime:
    """A date as the clock can show it."""
    if isinstance(date, str):
        try:
            date = datetime.fromisoformat(date)
        except ValueError:
            raise ConfigurationError(f'date={date!r} is no date and time; write it as "{EXAMPLE}"') from None
    if not isinstance(date, datetime):
        raise ConfigurationError(f'date={date!r} is no date and time; write it as "{EXAMPLE}"')
    return date


def contents(ram: int, date: datetime) -> bytes:
    """The 128 bytes for so much RAM and this moment."""
    cmos = bytearray(CMOS_SIZE)
    for index, number in (
        (SECONDS, date.second),
        (MINUTES, date.minute),
        (HOURS, date.hour),
        (WEEKDAY, date.isoweekday() % 7 + 1),  # Sunday is 1
        (DAY, date.day),
        (MONTH, date.month),
        (YEAR, date.year % 100),
        (CENTURY, date.year // 100),
    ):
        cmos[index] = _bcd(number)
    cmos[A], cmos[B], cmos[D] = 0x26, 0x02, 0x80
    cmos[EQUIPMENT] = X87 | MOUSE
    for index, size in (
        (BASE_KB, 640),
        (EXTENDED_KB, min((ram >> 10) - 1024, 0xFFFF)),
        (EXTENDED_KB_FOUND, min((ram >> 10) - 1024, 0xFFFF)),
        (ABOVE_16M, max(ram - (16 << 20), 0) // KIB_64),
    ):
        cmos[index : index + 2] = size.to_bytes(2, "little")
    cmos[BOOT_FIRST], cmos[BOOT_LATER] = 0x12, 0x30  # disk, floppy, CD
    return with_checksum(cmos)


def with_checksum(cmos: bytearray) -> bytes:
    """Bytes 2Eh and 2Fh, the upper one first, are the sum of 10h to 2Dh."""
    cmos[CHECKSUM : CHECKSUM + 2] = sum(cmos[0x10:CHECKSUM]).to_bytes(2, "big")
    return bytes(cmos)


def switch_on(machine: BareMachine, date: datetime) -> None:
    """Put the contents into a machine that is being switched on."""
    place = slice(CMOS_BYTES, CMOS_BYTES + CMOS_SIZE)
    machine._a.device_bytes[place] = list(contents(machine.ram_size, date))


def put(machine: BareMachine, values: dict[int, int]) -> None:
    """Change bytes, for example the types of drives, as a set-up program would."""
    place = slice(CMOS_BYTES, CMOS_BYTES + CMOS_SIZE)
    cmos = bytearray(machine._a.device_bytes[place].tobytes())
    for index, value in values.items():
        cmos[index] = value
    machine._a.device_bytes[place] = list(with_checksum(cmos))
