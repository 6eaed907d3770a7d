"""IDE drives by ATA-3: registers, commands, the order of BSY, DRQ and the interrupt."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.devices.ide import INTRQ
from pyvirt_edu.devices.layout import IDE
from pyvirt_edu.machine.errors import ConfigurationError

from .lab import Ports

SECTOR = 512
COUNT = 2048
IMAGE = random.Random(7).randbytes(COUNT * SECTOR)
FIRST, SECOND = 0x1F0, 0x170
BUSY, READY, DRQ, ERR = 0x80, 0x50, 0x08, 0x01
OUT_WORD = 7  # where Ports has OUT DX, AX
SLOW = 0.05  # seconds: longer than any command here takes


class Bench(Ports):
    """A drive on the bench."""

    def __init__(self, image: bytes | Path = IMAGE, mode: str = "overlay", drive: int = 0) -> None:
        super().__init__()
        self.disk = self.m.attach_disk(image, drive, mode)
        self.base = SECOND if drive & 2 else FIRST

    def command(self, code: int, lba: int = 0, count: int = 1, select: int = 0xE0, features: int = 0) -> None:
        values = (features, count & 0xFF, lba & 0xFF, lba >> 8 & 0xFF, lba >> 16 & 0xFF, select | lba >> 24)
        for i, value in enumerate(values):
            self.out(self.base + 1 + i, value)
        self.out(self.base + 7, code)

    def chs(self, code: int, cylinder: int, head: int, sector: int, count: int = 1) -> None:
        self.command(code, cylinder << 8 | sector, count, 0xA0 | head)

    @property
    def status(self) -> int:
        return self.inb(self.base + 0x206)

    @property
    def error(self) -> int:
        return self.inb(self.base + 1)

    @property
    def interrupt(self) -> int:
        return int(self.m._a.devices[IDE + (self.base == SECOND) * 64 + INTRQ])

    @property
    def task_file(self) -> list[int]:
        return [self.inb(self.base + i) for i in range(2, 7)]

    def finish(self) -> int:
        self.wait(SLOW)
        return self.inb(self.base + 7)

    def data(self, sectors: int = 1) -> bytes:
        return b"".join(self.inl(self.base).to_bytes(4, "little") for _ in range(sectors * 128))

    def give(self, data: bytes) -> None:
        for i in range(0, len(data), 2):
            self._do(OUT_WORD, self.base, int.from_bytes(data[i : i + 2], "little"))

    def read(self, lba: int, count: int = 1) -> bytes:
        self.command(0x20, lba, count)
        out = b""
        for _ in range(count):
            assert self.finish() == READY | DRQ
            out += self.data()
        assert self.status == READY
        return out

    def write(self, lba: int, data: bytes) -> None:
        self.command(0x30, lba, len(data) // SECTOR)
        for i in range(0, len(data), SECTOR):
            assert self.finish() == READY | DRQ
            self.give(data[i : i + SECTOR])
        assert self.finish() == READY


@pytest.fixture
def bench() -> Bench:
    return Bench()


def sector(n: int, count: int = 1) -> bytes:
    return IMAGE[n * SECTOR : (n + count) * SECTOR]


def test_read_in_the_order_of_the_protocol(bench: Bench) -> None:
    """ATA-3, 9.5: BSY; then DRQ with the interrupt; reading the status takes the interrupt back."""
    assert bench.status == READY and bench.error == 1
    bench.command(0x20, 77, 2)
    assert bench.status & (BUSY | DRQ) == BUSY and bench.interrupt == 0
    bench.wait(SLOW)
    assert bench.status == READY | DRQ and bench.interrupt == 1
    assert bench.interrupt == 1  # the alternate status leaves it
    assert bench.inb(FIRST + 7) == READY | DRQ and bench.interrupt == 0
    assert bench.data() == sector(77)
    assert bench.status & (BUSY | DRQ) == BUSY  # the second sector
    bench.wait(SLOW)
    assert bench.interrupt == 1 and bench.inb(FIRST + 7) == READY | DRQ
    assert bench.data() == sector(78)
    assert bench.status == READY and bench.interrupt == 0  # no interrupt after the last data
    assert bench.task_file == [0, 78, 0, 0, 0xE0]


def test_write_in_the_order_of_the_protocol(bench: Bench) -> None:
    """ATA-3, 9.6: no interrupt before the first sector, one after each."""
    new = bytes(range(256)) * 4
    bench.command(0x30, 100, 2)
    bench.wait(SLOW)
    assert bench.status == READY | DRQ and bench.interrupt == 0
    bench.give(new[:SECTOR])
    assert bench.status & (BUSY | DRQ) == BUSY
    bench.wait(SLOW)
    assert bench.interrupt == 1 and bench.inb(FIRST + 7) == READY | DRQ
    bench.give(new[SECTOR:])
    bench.wait(SLOW)
    assert bench.interrupt == 1 and bench.inb(FIRST + 7) == READY
    assert bench.read(99, 4) == sector(99) + new + sector(102)
    assert bench.disk.changed == [100, 101]


def test_256_sectors_are_a_count_of_0(bench: Bench) -> None:
    bench.command(0x20, 300, 0)
    for i in range(256):
        bench.finish()
        assert bench.data() == sector(300 + i)
    assert bench.status == READY


def test_widths_of_the_data_port(bench: Bench) -> None:
    bench.command(0x20, 3)
    bench.finish()
    assert bench.inb(FIRST) == sector(3)[0]
    assert bench.inb(FIRST) == sector(3)[1]
    assert bench.inl(FIRST) == int.from_bytes(sector(3)[2:6], "little")
    assert bench.m.port_in(FIRST, 2) == int.from_bytes(sector(3)[6:8], "little")


def test_chs_and_lba_are_the_same_sectors(bench: Bench) -> None:
    bench.chs(0x20, 1, 2, 3)
    assert bench.finish() == READY | DRQ
    assert bench.data() == sector((1 * 16 + 2) * 63 + 2)
    bench.chs(0x91, 0, 3, 0, 10)  # 4 heads, 10 sectors a track
    assert bench.finish() == READY
    bench.chs(0x20, 5, 1, 10)
    assert bench.finish() == READY | DRQ
    assert bench.data() == sector((5 * 4 + 1) * 10 + 9)
    bench.chs(0x20, 5, 1, 11)  # there is no sector 11
    assert bench.finish() == READY | ERR and bench.error == 0x10


@pytest.mark.parametrize("code", [0x20, 0x30, 0x40, 0x70])
def test_past_the_end_is_id_not_found(bench: Bench, code: int) -> None:
    bench.command(code, COUNT)
    assert bench.finish() == READY | ERR
    assert bench.error == 0x10
    bench.command(0xE7)
    assert bench.finish() == READY  # the error is the command's, not the drive's


def test_the_sectors_before_the_end_are_transferred(bench: Bench) -> None:
    bench.command(0x20, COUNT - 2, 3)
    for n in (COUNT - 2, COUNT - 1):
        assert bench.finish() == READY | DRQ
        assert bench.data() == sector(n)
    assert bench.finish() == READY | ERR and bench.error == 0x10
    assert bench.task_file == [1, 0x00, 0x08, 0x00, 0xE0]  # sector 2048 is the one that is not there


def test_multiple(bench: Bench) -> None:
    bench.command(0xC4, 0, 8)
    assert bench.finish() == READY | ERR and bench.error == 4  # no mode has been set
    bench.command(0xC6, 0, 3)
    assert bench.finish() == READY | ERR and bench.error == 4  # no power of two
    bench.command(0xC6, 0, 4)
    assert bench.finish() == READY
    bench.command(0xC4, 40, 22)  # blocks of 4; the last one has 2
    for first, count in ((40, 4), (44, 4), (48, 4), (52, 4), (56, 4), (60, 2)):
        assert bench.finish() == READY | DRQ
        assert bench.data(count) == sector(first, count)
    assert bench.status == READY
    new = random.Random(1).randbytes(6 * SECTOR)
    bench.command(0xC5, 40, 6)
    assert bench.finish() == READY | DRQ
    bench.give(new[: 4 * SECTOR])
    assert bench.finish() == READY | DRQ
    bench.give(new[4 * SECTOR :])
    assert bench.finish() == READY
    assert bench.read(40, 7) == new + sector(46)


def test_identify(bench: Bench) -> None:
    bench.command(0xEC)
    assert bench.finish() == READY | DRQ
    words = [int.from_bytes(x, "little") for x in zip(*[iter(bench.data())] * 2, strict=True)]
    assert bench.status == READY
    assert words[0] == 0x40 and (words[1], words[3], words[6]) == (2, 16, 63)
    assert words[60] | words[61] << 16 == COUNT
    assert words[49] & 0x300 == 0x200  # LBA, no DMA
    assert b"".join(w.to_bytes(2, "big") for w in words[27:47]).strip() == b"PYVIRT HARDDISK"
    assert words[85] & 0x20


@pytest.mark.parametrize("code", [0x10, 0x1F, 0x40, 0x70, 0xE7, 0xE1, 0xE0])
def test_commands_without_data(bench: Bench, code: int) -> None:
    bench.command(code, 5, 2)
    assert bench.status & BUSY
    bench.wait(SLOW)
    assert bench.interrupt == 1
    assert bench.inb(FIRST + 7) == READY


@pytest.mark.parametrize("code", [0x00, 0x08, 0xA0, 0xA1, 0xC8, 0x25, 0xFF])
def test_commands_that_are_aborted(bench: Bench, code: int) -> None:
    """No packets, no DMA, no 48-bit addresses."""
    bench.command(code)
    bench.wait(SLOW)
    assert bench.interrupt == 1
    assert bench.inb(FIRST + 7) == READY | ERR and bench.error == 4


def test_features(bench: Bench) -> None:
    for feature, count, expected in ((2, 0, 0), (0x82, 0, 0), (3, 12, 0), (3, 0x42, 4), (0x99, 0, 4)):
        bench.command(0xEF, 0, count, features=feature)
        assert bench.finish() == (READY | ERR if expected else READY), hex(feature)
        assert bench.error == expected


def test_the_write_cache_and_what_survives(bench: Bench) -> None:
    bench.write(7, b"A" * SECTOR)
    assert bench.disk.cached == 1
    bench.command(0xE7)
    assert bench.finish() == READY and bench.disk.cached == 0
    bench.write(7, b"B" * SECTOR)
    bench.write(8, b"B" * SECTOR)
    assert bench.read(7) == b"B" * SECTOR
    assert bench.disk.power_cut() == 2
    assert bench.read(7, 2) == b"A" * SECTOR + sector(8)
    bench.command(0xEF, features=0x82)  # without the cache nothing is lost
    bench.finish()
    bench.write(8, b"C" * SECTOR)
    assert bench.disk.power_cut() == 0
    assert bench.read(8) == b"C" * SECTOR


def test_no_interrupts_while_nien_is_set(bench: Bench) -> None:
    bench.out(0x3F6, 2)
    bench.out(0xA1, 0)
    bench.command(0x20)
    bench.wait(SLOW)
    assert bench.m.port_in(0xA0) & 0x40 == 0
    bench.out(0x3F6, 0)
    assert bench.m.port_in(0xA0) & 0x40  # IRQ 14


def test_software_reset(bench: Bench) -> None:
    bench.command(0x20, 9)
    bench.out(0x3F6, 4)
    assert bench.status == BUSY
    bench.wait(SLOW)
    assert bench.status == BUSY  # as long as SRST is set
    bench.out(0x3F6, 0)
    assert bench.status == BUSY
    bench.wait(SLOW)
    assert bench.status == READY and bench.error == 1
    assert bench.task_file == [1, 1, 0, 0, 0xA0]
    assert bench.read(9) == sector(9)


def test_diagnostics(bench: Bench) -> None:
    bench.command(0x90, 0x123456)
    bench.wait(SLOW)
    assert bench.interrupt == 1 and bench.inb(FIRST + 7) == READY
    assert bench.error == 1 and bench.task_file == [1, 1, 0, 0, 0xA0]


def test_drives_that_are_not_there(bench: Bench) -> None:
    assert [bench.inb(SECOND + i) for i in range(1, 8)] == [0] * 7
    bench.out(FIRST + 6, 0xB0)
    assert bench.status == 0
    bench.out(FIRST + 7, 0xEC)
    bench.wait(SLOW)
    assert bench.interrupt == 0 and bench.status == 0
    bench.out(FIRST + 6, 0xA0)
    assert bench.status == READY


def test_four_drives() -> None:
    m = Machine(ram="1MiB", history=False)
    for number in range(4):
        m.attach_disk(bytes([number]) * SECTOR * 4, number)
    with pytest.raises(ConfigurationError, match="drive 1 has a disk"):
        m.attach_disk(bytes(512), 1)
    with pytest.raises(ConfigurationError, match="drives 0 to 3"):
        m.attach_disk(bytes(512), 4)
    for number in range(4):
        ports = Bench.__new__(Bench)
        Ports.__init__(ports, m)
        ports.base = SECOND if number & 2 else FIRST
        ports.command(0x20, 1, 1, 0xE0 | (number & 1) << 4)
        assert ports.finish() == READY | DRQ
        assert ports.data() == bytes([number]) * SECTOR


def test_a_read_only_disk_refuses() -> None:
    bench = Bench(mode="read-only")
    bench.command(0x30, 4)
    bench.finish()
    bench.give(bytes(SECTOR))
    assert bench.finish() == READY | ERR and bench.error == 4
    assert bench.read(4) == sector(4)


def test_registers_wait_while_the_drive_is_busy(bench: Bench) -> None:
    bench.command(0x20, 5)
    bench.out(FIRST + 3, 99)
    bench.out(FIRST + 7, 0x30)
    assert bench.finish() == READY | DRQ
    assert bench.data() == sector(5)
