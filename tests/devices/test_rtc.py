"""The MC146818 against its data sheet, the CMOS contents of a PC, and QEMU."""

from __future__ import annotations

import random
from datetime import datetime

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.devices import cmos
from pyvirt_edu.devices.rtc import CENTURY, A, B, C, D
from pyvirt_edu.machine.errors import ConfigurationError

from .lab import BY_INSTRUCTIONS, Ports, Step, compare

TIME = (9, 8, 7, 4, 2, 0)  # year, month, day, hours, minutes, seconds
UF, AF, PF, IRQF = 0x10, 0x20, 0x40, 0x80


class Clock(Ports):
    def __init__(self, date: str = "2026-01-01T00:00:00") -> None:
        super().__init__(Machine(ram="1MiB", history=False, date=date))

    def get(self, index: int) -> int:
        self.out(0x70, index)
        return self.inb(0x71)

    def put(self, index: int, value: int) -> None:
        self.out(0x70, index)
        self.out(0x71, value)

    def time(self) -> list[int]:
        return [self.get(index) for index in TIME]

    def unmask(self) -> None:
        """IRQ 8 reaches the processor's pin."""
        self.out(0x20, 0x11)
        self.out(0x21, 8, 4, 3, 0xFB)
        self.out(0xA0, 0x11)
        self.out(0xA1, 0x70, 2, 3, 0xFE)


def bcd(*numbers: int) -> list[int]:
    return [n // 10 << 4 | n % 10 for n in numbers]


def test_the_clock_runs_in_simulated_time() -> None:
    p = Clock("2026-07-04T12:34:56")
    assert p.time() == bcd(26, 7, 4, 12, 34, 56)
    assert (p.get(6), p.get(CENTURY), p.get(D)) == (7, 0x20, 0x80)  # a Saturday
    p.wait(10)
    assert p.time() == bcd(26, 7, 4, 12, 35, 6)
    p.wait(3600)
    assert p.time() == bcd(26, 7, 4, 13, 35, 6)


@pytest.mark.parametrize(
    "before, after",
    [
        ("2026-02-28T23:59:59", (26, 3, 1)),
        ("2028-02-28T23:59:59", (28, 2, 29)),
        ("2028-02-29T23:59:59", (28, 3, 1)),
        ("2026-04-30T23:59:59", (26, 5, 1)),
        ("2026-12-31T23:59:59", (27, 1, 1)),
        ("2099-12-31T23:59:59", (0, 1, 1)),
    ],
)
def test_the_calendar(before: str, after: tuple[int, int, int]) -> None:
    p = Clock(before)
    weekday = p.get(6)
    p.wait(1.5)
    assert p.time() == bcd(*after, 0, 0, 0)
    assert p.get(6) == weekday % 7 + 1
    assert p.get(CENTURY) == (0x21 if before.startswith("2099") else 0x20)


def test_many_days_at_once() -> None:
    p = Clock("2027-12-30T06:00:00")
    p.wait(86_400 * 70 + 5)
    assert p.time() == bcd(28, 3, 9, 6, 0, 5)


def test_binary_and_12_hours() -> None:
    """Register B: DM and 24/12. Bit 7 of the hours is PM; midnight and noon are 12."""
    p = Clock()
    for hour, shown in ((0, 12), (1, 1), (11, 11), (12, 0x80 | 12), (23, 0x80 | 11)):
        p.put(B, 0x86)
        p.put(4, hour)
        p.put(2, 59)
        p.put(0, 58)
        p.put(B, 0x84)
        p.put(4, shown)
        p.put(B, 0x04)
        assert p.get(4) == shown
        p.wait(3)
        later = (hour + 1) % 24
        assert p.get(4) == ((later - 1) % 12 + 1 | (0x80 if later >= 12 else 0))
    p.put(B, 0x80)
    p.put(4, 0x92)  # 12 PM in BCD
    p.put(2, 0x59)
    p.put(0, 0x59)
    p.put(B, 0)
    p.wait(1)
    assert p.get(4) == 0x81


def test_set_stops_the_time() -> None:
    p = Clock()
    p.put(B, 0x82)
    for index, value in zip(TIME, bcd(31, 10, 20, 21, 22, 23), strict=True):
        p.put(index, value)
    p.wait(5)
    assert p.time() == bcd(31, 10, 20, 21, 22, 23)
    assert p.get(A) & 0x80 == 0
    p.put(B, 0x02)
    p.wait(2)
    assert p.time() == bcd(31, 10, 20, 21, 22, 25)


def test_divider_reset() -> None:
    """DV = 11x holds the clock; half a second after its release comes the first update."""
    p = Clock()
    p.wait(0.9)
    p.put(A, 0x76)
    p.wait(3)
    assert p.get(0) == 0
    p.put(A, 0x26)
    p.wait(0.49)
    assert p.get(0) == 0
    p.wait(0.02)
    assert p.get(0) == 1


def test_update_in_progress() -> None:
    """UIP rises 244 us before an update of 1984 us (table 6), and falls with the new second."""
    p = Clock()
    p.wait(0.9977)
    assert (p.get(A) & 0x80, p.get(0)) == (0, 0)
    p.wait(0.0002)
    assert (p.get(A) & 0x80, p.get(0)) == (0x80, 0)
    p.wait(0.0022)
    assert (p.get(A) & 0x80, p.get(0)) == (0, 1)


def test_update_ended_interrupt() -> None:
    p = Clock()
    p.unmask()
    p.put(B, 0x12)
    p.get(C)
    p.wait(0.5)
    assert p.intr == 0
    p.wait(0.51)
    assert p.intr and p.acknowledge() == 0x70
    assert p.get(C) & ~PF == IRQF | UF
    assert p.get(C) == 0
    p.wait(1)
    assert p.intr


def test_flags_without_interrupts() -> None:
    """A flag rises whether its interrupt is enabled or not; reading C clears it."""
    p = Clock()
    p.put(A, 0x20)
    p.get(C)
    p.wait(1)
    assert p.get(C) == UF
    assert (p.get(C), p.intr) == (0, 0)


@pytest.mark.parametrize("rate, hertz", [(1, 256), (2, 128), (3, 8192), (6, 1024), (10, 64), (15, 2)])
def test_periodic_interrupt(rate: int, hertz: int) -> None:
    """Table 5, with the 32,768 Hz crystal."""
    p = Clock()
    p.unmask()
    p.put(A, 0x20 | rate)
    p.put(B, 0x42)
    p.get(C)
    start, times = p.m.cycles, []
    while len(times) < 9:
        p.wait(0.02 / hertz)
        if p.intr:
            assert p.acknowledge() == 0x70
            assert p.get(C) & (IRQF | PF) == IRQF | PF
            times.append((p.m.cycles - start) / 200e6)
    assert (times[-1] - times[0]) * hertz == pytest.approx(8, abs=0.15)


def test_alarm() -> None:
    p = Clock("2026-01-01T11:59:50")
    p.unmask()
    for index, value in ((1, 0x03), (3, 0x00), (5, 0x12)):
        p.put(index, value)
    p.put(B, 0x22)
    p.get(C)
    p.wait(12.9)
    assert p.intr == 0
    p.wait(0.2)
    assert p.intr and p.get(C) & (IRQF | AF) == IRQF | AF


def test_alarm_of_any_hour_and_without_interrupt() -> None:
    """C0h to FFh match always."""
    p = Clock("2026-01-01T05:59:50")
    for index, value in ((1, 0x05), (3, 0xFF), (5, 0xC0)):
        p.put(index, value)
    p.put(A, 0x20)
    p.get(C)
    p.wait(14)
    assert p.get(C) == UF
    p.wait(2)
    assert p.get(C) == UF | AF
    p.wait(60)
    assert p.get(C) == UF | AF


@pytest.mark.parametrize("ram, extended, above", [("1MiB", 0, 0), ("8MiB", 7168, 0), ("64MiB", 64512, 768)])
def test_memory_size(ram: str, extended: int, above: int) -> None:
    m = Machine(ram=ram, history=False)
    bytes_ = m._a.device_bytes[:128].tolist()
    assert bytes_[0x15] | bytes_[0x16] << 8 == 640
    assert bytes_[0x17] | bytes_[0x18] << 8 == extended
    assert bytes_[0x30] | bytes_[0x31] << 8 == extended
    assert bytes_[0x34] | bytes_[0x35] << 8 == above
    assert bytes_[0x2E] << 8 | bytes_[0x2F] == sum(bytes_[0x10:0x2E])


def test_cmos_keeps_what_is_written_and_survives_a_reset() -> None:
    p = Clock("2026-07-04T12:34:56")
    p.put(0x0F, 0x0A)
    p.put(0x7F, 0x55)
    p.put(B, 0x72)
    p.out(0x64, 0xFE)
    p.m.step()
    q = Ports(p.m)
    q.out(0x70, 0x0F)
    assert q.inb(0x71) == 0x0A
    q.out(0x70, B)
    assert q.inb(0x71) == 0x02  # RESET clears the interrupt enables
    q.out(0x70, 4)
    assert q.inb(0x71) == 0x12
    p.m.reset()
    assert p.m._a.device_bytes[0x0F] == 0


def test_drives_are_entered_with_their_checksum() -> None:
    m = Machine(ram="1MiB", history=False)
    cmos.put(m, {cmos.DISKS: 0xF0})
    bytes_ = m._a.device_bytes[:128].tolist()
    assert bytes_[0x12] == 0xF0
    assert bytes_[0x2E] << 8 | bytes_[0x2F] == sum(bytes_[0x10:0x2E])


def test_dates() -> None:
    assert cmos.moment(datetime(1999, 12, 31)).year == 1999
    with pytest.raises(ConfigurationError, match="is no date and time; write it as"):
        Machine(ram="1MiB", date="yesterday")


def test_registers_as_on_qemu() -> None:
    """With time stopped: which bits of the registers stay."""
    rng = random.Random(146818)
    steps: list[Step] = [("out", 0x70, B), ("out", 0x71, 0x82), ("out", 0x70, A), ("out", 0x71, 0x20)]
    steps += [("out", 0x70, C), ("drop", 0x71)]
    for _ in range(300):
        index = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, A, B, 0x10, 0x40, 0x7F))
        value = rng.choice((0x00, 0x01, 0x05, 0x09, 0x12))
        if index == A:
            value = 0x20 | rng.randrange(16)
        if index == B:
            value = 0x82 | rng.choice((0, 0x10, 0x20, 0x30))
        steps += [("out", 0x70, index), ("out", 0x71, value), ("in", 0x71)]
    compare(steps, *BY_INSTRUCTIONS)


def test_date_as_on_qemu() -> None:
    """Both start at the same moment; the BIOS has taken less than a minute of it."""
    steps: list[Step] = []
    for index in (2, 4, 6, 7, 8, 9, CENTURY, D):
        steps += [("out", 0x70, index), ("in", 0x71)]
    bits = [0xF0, *[0xFF] * 7]
    compare(steps, "-rtc", "base=2026-01-01T00:00:00", *BY_INSTRUCTIONS, mask_reads=bits)
