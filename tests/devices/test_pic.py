"""The 8259As against their data sheet (Intel 231468) and against QEMU.

The chips' inputs are driven from Python here, and acknowledged as the processor would.
"""

from __future__ import annotations

import random

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.layout import OP_SET_LINE
from pyvirt_edu.devices.pic import IRR, SLAVE

from .lab import BY_INSTRUCTIONS, Ports, Step, compare

EOI = 0x20


class Pics(Ports):
    def line(self, number: int, level: int) -> None:
        self.m._tell_devices(OP_SET_LINE, number, level)

    def pulse(self, number: int) -> None:
        """A request by an edge; the input stays high until the next one."""
        self.line(number, 0)
        self.line(number, 1)

    def initialize(self, icw1: int = 0x11, icw4: int = 1, slave_icw4: int | None = None) -> None:
        self.out(0x20, icw1)
        self.out(0x21, 0x08, 4)
        if icw1 & 1:
            self.out(0x21, icw4)
        self.out(0xA0, icw1)
        self.out(0xA1, 0x70, 2)
        if icw1 & 1:
            self.out(0xA1, icw4 if slave_icw4 is None else slave_icw4)

    def irr(self, chip: int = 0x20) -> int:
        self.out(chip, 0x0A)
        return self.inb(chip)

    def isr(self, chip: int = 0x20) -> int:
        self.out(chip, 0x0B)
        return self.inb(chip)


@pytest.fixture
def p() -> Pics:
    ports = Pics()
    ports.initialize()
    return ports


def test_initialization_clears(p: Pics) -> None:
    """ICW1: edge sense, IMR, special mask and status read are reset, IR7 is lowest."""
    p.out(0x21, 0x55)
    p.out(0x20, 0xC2, 0x68, 0x0B)
    p.pulse(3)
    p.acknowledge()
    p.initialize()
    assert (p.inb(0x20), p.inb(0x21), p.isr()) == (0, 0, 0)
    p.pulse(0)
    p.pulse(7)
    assert p.acknowledge() == 8


def test_an_input_must_rise_after_initialization(p: Pics) -> None:
    p.line(5, 1)
    p.initialize()
    assert (p.irr(), p.intr) == (0, 0)
    p.line(5, 0)
    p.line(5, 1)
    assert (p.irr(), p.intr) == (0x20, 1)


def test_icw4_not_needed(p: Pics) -> None:
    """IC4 = 0: all of ICW4 is zero, and the next write to the odd port is the mask."""
    p.initialize(icw4=2)
    p.initialize(icw1=0x10)
    p.out(0x21, 0xA5)
    assert p.inb(0x21) == 0xA5
    p.out(0x21, 0)
    p.pulse(1)
    assert (p.acknowledge(), p.isr()) == (9, 2)


def test_single_has_no_icw3(p: Pics) -> None:
    p.out(0x20, 0x13)
    p.out(0x21, 0x40, 1, 0xFE)  # ICW2, ICW4, mask
    assert p.inb(0x21) == 0xFE
    p.pulse(0)
    assert p.acknowledge() == 0x40


def test_priorities_and_nesting(p: Pics) -> None:
    """Fully nested: a request interrupts only what is lower."""
    p.pulse(4)
    p.pulse(6)
    assert p.acknowledge() == 12
    assert (p.irr(), p.isr(), p.intr) == (0x40, 0x10, 0)
    p.pulse(1)
    assert p.intr
    assert p.acknowledge() == 9
    assert p.isr() == 0x12
    p.out(0x20, EOI)
    assert p.isr() == 0x10
    p.out(0x20, EOI)
    assert (p.isr(), p.acknowledge()) == (0, 14)


def test_mask_hides_but_does_not_forget(p: Pics) -> None:
    p.out(0x21, 0x02)
    p.pulse(1)
    assert (p.irr(), p.intr) == (2, 0)
    p.out(0x21, 0)
    assert p.intr and p.acknowledge() == 9


def test_edge_request_ends_with_the_input(p: Pics) -> None:
    """The input must stay high until INTA, else IR7 comes: without an in-service bit."""
    p.pulse(3)
    p.line(3, 0)
    assert (p.irr(), p.intr) == (0, 0)
    assert (p.acknowledge(), p.isr()) == (15, 0)


def test_spurious_15_leaves_the_master_in_service(p: Pics) -> None:
    p.pulse(12)
    p.m._a.devices[SLAVE + IRR] = 0  # the request falls between the two INTA cycles
    assert p.acknowledge() == 0x77
    assert (p.isr(0x20), p.isr(0xA0)) == (4, 0)


def test_an_edge_asks_once(p: Pics) -> None:
    p.line(3, 1)
    p.acknowledge()
    p.out(0x20, EOI)
    assert (p.irr(), p.intr) == (0, 0)


@pytest.mark.parametrize("by", ["LTIM", "ELCR"])
def test_a_level_asks_as_long_as_it_lasts(p: Pics, by: str) -> None:
    if by == "LTIM":
        p.initialize(icw1=0x19)
    else:
        p.out(0x4D0, 0x08)
        assert p.inb(0x4D0) == 0x08
    p.line(3, 1)
    assert p.acknowledge() == 11
    p.out(0x20, EOI)
    assert p.intr and p.acknowledge() == 11
    p.line(3, 0)
    p.out(0x20, EOI)
    assert (p.irr(), p.intr) == (0, 0)


def test_elcr_keeps_the_board_s_edges(p: Pics) -> None:
    """82371SB, 2.5.2: IRQ 0, 1, 2, 8 and 13 cannot be made levels."""
    p.out(0x4D0, 0xFF)
    p.out(0x4D1, 0xFF)
    assert (p.inb(0x4D0), p.inb(0x4D1)) == (0xF8, 0xDE)


def test_slave(p: Pics) -> None:
    p.pulse(14)
    p.pulse(9)
    assert (p.irr(0x20), p.irr(0xA0), p.intr) == (4, 0x42, 1)
    assert p.acknowledge() == 0x71
    assert (p.isr(0x20), p.isr(0xA0), p.intr) == (4, 2, 0)
    p.out(0xA0, EOI)
    assert p.intr == 0  # the master still serves its input 2
    p.out(0x20, EOI)
    assert p.intr and p.acknowledge() == 0x76


def test_special_fully_nested(p: Pics) -> None:
    """The master lets a better request of the slave in service through, nothing lower."""
    p.initialize(icw4=0x11, slave_icw4=1)
    p.pulse(10)
    assert p.acknowledge() == 0x72
    p.pulse(3)
    assert p.intr == 0
    p.pulse(8)
    assert p.intr and p.acknowledge() == 0x70
    assert p.isr(0xA0) == 5


def test_automatic_end_of_interrupt(p: Pics) -> None:
    p.initialize(icw4=3)
    p.pulse(8)
    p.pulse(15)
    assert (p.acknowledge(), p.isr(0x20), p.isr(0xA0)) == (0x70, 0, 0)
    assert p.intr and p.acknowledge() == 0x77
    assert p.intr == 0


def test_automatic_rotation(p: Pics) -> None:
    """Rotate in automatic EOI mode (OCW2 100, 000)."""
    p.initialize(icw4=3)
    p.out(0x20, 0x80)
    p.pulse(3)
    assert p.acknowledge() == 11
    p.pulse(3)
    p.pulse(4)
    assert p.acknowledge() == 12  # input 3 is lowest now
    p.out(0x20, 0x00)
    assert p.acknowledge() == 11
    p.pulse(4)
    p.pulse(5)
    assert p.acknowledge() == 13  # 4 stayed lowest


def test_rotation_on_end_of_interrupt(p: Pics) -> None:
    p.pulse(2 + 1)
    p.acknowledge()
    p.out(0x20, 0xA0)  # rotate on non-specific EOI
    assert p.isr() == 0
    for number in (3, 4):
        p.pulse(number)
    assert p.acknowledge() == 12
    p.out(0x20, 0xE4)  # rotate on specific EOI of 4
    p.pulse(4)
    p.pulse(5)
    assert p.acknowledge() == 13


def test_specific_end_and_set_priority(p: Pics) -> None:
    p.out(0x20, 0xC0 | 4)  # 4 is lowest, 5 highest
    for number in (0, 5, 6):
        p.pulse(number)
    assert [p.acknowledge(), p.irr()] == [13, 0x41]
    p.out(0x20, 0x60 | 5)
    assert p.acknowledge() == 14
    p.out(0x20, 0x60 | 5)  # not in service: nothing happens
    assert p.isr() == 0x40
    p.out(0x20, 0x40)  # no operation
    assert p.isr() == 0x40


def test_special_mask(p: Pics) -> None:
    """A masked level in service no longer holds back lower ones, nor does EOI end it."""
    p.pulse(3)
    p.acknowledge()
    p.pulse(5)
    p.out(0x21, 0x08)
    assert p.intr == 0
    p.out(0x20, 0x68)
    assert p.intr and p.acknowledge() == 13
    p.out(0x20, EOI)
    assert p.isr() == 0x08
    p.out(0x20, EOI)
    assert p.isr() == 0x08
    p.out(0x20, 0x63)
    assert p.isr() == 0
    p.out(0x20, 0x48)  # and off again
    p.out(0x21, 0)
    p.pulse(5)
    p.acknowledge()
    p.pulse(6)
    p.out(0x21, 0x20)
    assert p.intr == 0


def test_poll(p: Pics) -> None:
    """OCW3 P: the next read acknowledges, and says which; bit 7 is set if there was one."""
    p.pulse(3)
    p.out(0x20, 0x0C)
    assert p.inb(0x20) == 0x83
    assert (p.isr(), p.irr(), p.intr) == (8, 0, 0)
    p.out(0x20, 0x0C)
    assert p.inb(0x20) & 0x80 == 0
    p.pulse(12)
    p.out(0xA0, 0x0C)
    assert p.inb(0xA1) == 0x84  # whichever port is read
    assert p.inb(0xA1) == 0
    assert p.isr(0xA0) == 0x10


def test_which_register_is_read_stays(p: Pics) -> None:
    p.pulse(1)
    p.acknowledge()
    p.pulse(4)
    p.out(0x20, 0x0B)
    assert [p.inb(0x20) for _ in range(2)] == [2, 2]
    p.out(0x20, 0x08)  # RR = 0: no change
    assert p.inb(0x20) == 2
    p.out(0x20, 0x0A)
    assert p.inb(0x20) == 0x10


def test_interrupts_reach_the_processor(p: Pics) -> None:
    """A pin that is high is taken when IF allows, and HLT ends."""
    m = Machine(ram="1MiB")
    q = Pics(m)
    q.initialize()
    q.out(0x21, 0xFF)
    m.load(assemble("sti\nhlt\nhlt", bits=16, origin=0x2000), at=0x2000)
    m.load(assemble("mov ax, 77\niret", bits=16, origin=0x3000), at=0x3000)
    m.write(13 * 4, (0x3000).to_bytes(4, "little"))
    m.cpu.eip = 0x2000
    q.m.run()
    q.line(5, 1)
    assert m.run().reason == "halt"
    m._core("device_access", (), 1, 0x21 | 1 << 16, 0xDF)  # unmask as OUT would
    assert (m.run().reason, m.cpu.ax) == ("halt", 77)


def random_steps(seed: int, count: int) -> list[Step]:
    """Commands and reads of both chips while IRQ 4 and IRQ 0 come and go.

    IRQ 4 is the serial port's (an empty transmitter, enabled or not), IRQ 0 the timer's (low
    in mode 0, high in mode 3). Left out, because QEMU 7.2 does not follow the data sheet there:
    LTIM, special fully nested mode, EOI in special mask mode, and requests that fall before
    they are acknowledged, which it does not forget.
    """
    rng = random.Random(seed)
    steps: list[Step] = [("out", 0x3FB, 3), ("out", 0x3FA, 0), ("out", 0x3F9, 0), ("out", 0x43, 0x30)]
    for base, vector, cascade in ((0x20, 8, 4), (0xA0, 0x70, 2)):
        steps += [("out", base, 0x11), ("out", base + 1, vector), ("out", base + 1, cascade)]
        steps += [("out", base + 1, 1), ("out", base + 1, 0)]
    steps += [("out", 0xA1, 0xFF)]
    for _ in range(count):
        what = rng.randrange(8)
        if what == 0:  # a new edge of the timer, or of the serial port, then taken by a poll
            low: list[Step] = [("out", 0x43, 0x30), ("out", 0x40, 0), ("out", 0x40, 0)]
            high: list[Step] = [("out", 0x43, 0x36), ("out", 0x40, 0), ("out", 0x40, 0)]
            steps += rng.choice([low + high, [("out", 0x3F9, 0), ("out", 0x3F9, 2)]])
        elif what == 1:
            steps += [("out", 0x20, 0x0C), ("in", 0x20)]
        elif what == 2:
            steps += [("out", 0x20, rng.choice((0x20, 0xA0, 0x80, 0x00, 0x40)))]
        elif what == 3:
            steps += [("out", 0x20, rng.choice((0x60, 0xC0, 0xE0)) | rng.randrange(8))]
        elif what == 4:
            steps += [("out", 0x21, rng.randrange(256) & ~rng.choice((0x11, 0x01, 0x10, 0)))]
        elif what == 5:
            steps += [("out", 0x20, rng.choice((0x0A, 0x0B, 0x48)))]
        steps += [("in", 0x20), ("in", 0x21)]
    return steps


@pytest.mark.parametrize("seed", range(2))
def test_random_commands_as_on_qemu(seed: int) -> None:
    compare(random_steps(seed, 350), "-serial", "null", *BY_INSTRUCTIONS)
