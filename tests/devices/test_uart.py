"""The 16550A against its data sheet (PC16550D, section 8) and against QEMU."""

from __future__ import annotations

import random

import pytest

from pyvirt_edu.devices.clock import CPU_HZ

from .lab import Ports, Step, compare

RBR = THR = DLL = 0x3F8
IER = DLM = 0x3F9
IIR = FCR = 0x3FA
LCR, MCR, LSR, MSR, SCR = range(0x3FB, 0x400)
CHARACTER = 10 / 115200  # seconds


@pytest.fixture
def p() -> Ports:
    ports = Ports()
    ports.out(LCR, 3)
    return ports


def set_divisor(p: Ports, divisor: int) -> None:
    lcr = p.inb(LCR)
    p.out(LCR, lcr | 0x80)
    p.out(DLL, divisor & 0xFF)
    p.out(DLM, divisor >> 8)
    p.out(LCR, lcr)


def test_registers_after_reset() -> None:
    """Table I: reset configuration."""
    p = Ports()
    assert [p.inb(r) for r in (IER, IIR, LCR, MCR, LSR, SCR)] == [0, 1, 0, 0, 0x60, 0]
    assert p.inb(MSR) == 0xB0  # the console holds CTS, DSR and DCD


def test_scratch_and_divisor(p: Ports) -> None:
    """8.8 and 8.2: SCR holds a byte; DLAB puts the divisor where RBR and IER are."""
    p.out(SCR, 0x5A)
    set_divisor(p, 0x1234)
    assert (p.inb(SCR), p.inb(IER)) == (0x5A, 0)
    p.out(LCR, 0x83)
    assert (p.inb(DLL), p.inb(DLM)) == (0x34, 0x12)


def test_what_is_sent_reaches_the_console(p: Ports) -> None:
    p.out(THR, *b"hello")
    p.out(0xE9, *b"!")
    assert p.m.console.text == "hello!"
    assert (p.m.console.serial, p.m.console.debug) == ("hello", "!")
    assert p.inb(LSR) == 0x60


def test_slow_line_takes_its_time(p: Ports) -> None:
    """300 baud: THR is free once the shift register has the character, TEMT at the end (8.3)."""
    set_divisor(p, 384)
    p.out(THR, ord("a"))
    assert p.inb(LSR) == 0x20
    p.out(THR, ord("b"))
    assert p.inb(LSR) == 0
    p.wait(0.030)
    assert p.m.console.text == ""
    p.wait(0.005)  # 10 bits take 33.3 ms
    assert (p.m.console.text, p.inb(LSR)) == ("a", 0x20)
    p.wait(0.034)
    assert (p.m.console.text, p.inb(LSR)) == ("ab", 0x60)


def test_length_of_a_slow_character(p: Ports) -> None:
    """8 data bits, parity and two stop bits are 12 bit times (8.1)."""
    p.out(LCR, 0x0F)
    set_divisor(p, 384)
    p.out(THR, ord("a"))
    started = p.m.cycles
    while not p.m.console.text:
        p.wait_cycles(1000)
    bits = (p.m.cycles - started) * 300 / CPU_HZ
    assert bits == pytest.approx(12, abs=0.01)


def test_a_full_transmitter_fifo_loses_characters(p: Ports) -> None:
    set_divisor(p, 384)
    p.out(FCR, 1)
    p.out(THR, *range(ord("a"), ord("a") + 20))  # one is being sent, 16 wait
    p.wait(1)
    assert p.m.console.text == "abcdefghijklmnopq"


def test_typed_characters_arrive_at_the_pace_of_the_line(p: Ports) -> None:
    p.m.console.type("xyz")
    p.wait(3 * CHARACTER)
    assert p.inb(RBR) == ord("x")  # without FIFO the next one waits for room
    p.wait(0.5 * CHARACTER)
    assert p.inb(RBR) == ord("y")
    assert p.inb(LSR) & 1 == 0
    p.wait(0.4 * CHARACTER)
    assert p.inb(LSR) & 1 == 0
    p.wait(0.2 * CHARACTER)
    assert (p.inb(LSR) & 1, p.inb(RBR)) == (1, ord("z"))


def test_receiver_interrupts_by_trigger_level_and_timeout(p: Ports) -> None:
    """8.5: 04 at the trigger level, 0C after four character times without news."""
    p.out(FCR, 0x41)  # FIFO on, trigger at 4
    p.out(IER, 1)
    p.m.console.type("abc")
    p.wait(3 * CHARACTER)
    assert p.inb(IIR) == 0xC1
    p.wait(5 * CHARACTER)
    assert p.inb(IIR) == 0xCC
    assert p.inb(RBR) == ord("a")
    assert p.inb(IIR) == 0xC1  # reading ends the timeout
    p.m.console.type("defgh")
    p.wait(3 * CHARACTER)
    assert p.inb(IIR) == 0xC4
    assert [p.inb(RBR) for _ in range(2)] == [ord("b"), ord("c")]


def test_transmitter_interrupt(p: Ports) -> None:
    """Table III: reading IIR or writing THR ends the interrupt of an empty THR."""
    p.out(IER, 2)
    assert p.inb(IIR) == 2
    assert p.inb(IIR) == 1
    p.out(THR, ord("a"))
    assert p.inb(IIR) == 2
    p.out(IER, 0)
    p.out(IER, 2)
    assert p.inb(IIR) == 2


def test_priority_of_interrupts(p: Ports) -> None:
    """Table III: line status, received data, THR empty, modem status."""
    p.out(MCR, 0x10)
    p.inb(MSR)
    p.out(IER, 0x0F)
    p.out(MCR, 0x11)  # DTR appears as DSR: modem status
    p.out(THR, ord("a"))
    p.out(THR, ord("b"))  # overrun
    assert p.inb(IIR) == 6
    assert p.inb(LSR) == 0x63
    assert p.inb(IIR) == 4
    assert p.inb(RBR) == ord("b")  # the later one stays (8.3, bit 1)
    assert p.inb(IIR) == 2
    assert p.inb(IIR) == 0
    assert p.inb(MSR) == 0x22
    assert p.inb(IIR) == 1


def test_loopback_of_modem_lines(p: Ports) -> None:
    """8.6, bit 4: RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD; RI counts when it goes off."""
    p.out(MCR, 0x10)
    p.inb(MSR)
    for mcr, msr in ((0x12, 0x11), (0x11, 0x23), (0x14, 0x42), (0x18, 0x8C), (0x10, 0x08)):
        p.out(MCR, mcr)
        assert p.inb(MSR) == msr


def test_loopback_keeps_data_from_the_console(p: Ports) -> None:
    p.out(MCR, 0x10)
    p.out(LCR, 0)  # five data bits
    p.out(THR, 0xFF)
    assert p.inb(RBR) == 0x1F
    assert p.m.console.text == ""


def test_overrun_of_the_fifo_keeps_what_is_in_it(p: Ports) -> None:
    p.out(FCR, 1)
    p.out(MCR, 0x10)
    p.out(THR, *range(18))
    assert p.inb(LSR) == 0x63
    assert [p.inb(RBR) for _ in range(16)] == list(range(16))
    p.out(FCR, 3)
    assert p.inb(LSR) == 0x60


def test_break(p: Ports) -> None:
    """8.3, bit 4: one zero character with BI, in the FIFO when it comes to the top."""
    p.out(FCR, 1)
    p.m.console.type("a")
    p.m.console.send_break()
    p.wait(3 * CHARACTER)
    assert p.inb(LSR) == 0xE1  # the FIFO holds an error, not at the top
    assert p.inb(RBR) == ord("a")
    assert p.inb(LSR) == 0x71
    assert p.inb(LSR) == 0x61
    assert p.inb(RBR) == 0


def test_fifo_bits(p: Ports) -> None:
    """8.4: IIR tells that FIFOs are on; switching them empties them."""
    p.out(MCR, 0x10)
    p.out(FCR, 0xC7)
    p.out(THR, 1, 2, 3)
    assert p.inb(IIR) == 0xC1
    p.out(FCR, 0)
    assert (p.inb(IIR), p.inb(LSR)) == (1, 0x60)


def test_same_registers_as_qemu() -> None:
    rng = random.Random(16550)
    steps: list[Step] = [("out", IER, 0), ("out", LCR, 3), ("out", FCR, 7), ("out", MCR, 0)]
    steps += [("in", LSR), ("in", MSR), ("in", RBR)]
    for _ in range(500):
        register = rng.choice((IER, LCR, MCR, SCR, FCR))
        value = rng.randrange(256)
        if register == MCR:
            value = value & 0x0F | 0x10  # in loopback nothing depends on the console
        if register == LCR:
            value = value & 0x3C | 3  # eight bits, no break
        if register == FCR:
            value &= 0xC7
        if register == IER:
            value &= 0x0F
        steps.append(("out", register, value))
        steps += [("in", rng.choice((IER, LCR, MCR, MSR, SCR, LSR))) for _ in range(2)]
    compare(steps, "-serial", "null", masks={MSR: 0xF0})  # QEMU counts no changes in loopback


def test_loopback_data_as_in_qemu() -> None:
    steps: list[Step] = [("out", LCR, 3), ("out", FCR, 0), ("out", IER, 0), ("out", MCR, 0x10)]
    steps += [("in", RBR), ("in", LSR)]
    for value in (0x00, 0x55, 0xAE, 0xFF):
        steps += [("out", THR, value), ("in", LSR), ("in", RBR), ("in", LSR)]
    steps += [("out", IER, 7), ("in", IIR), ("in", IIR), ("out", THR, 1), ("in", IIR), ("in", RBR)]
    steps += [("in", IIR), ("in", IIR)]
    compare(steps, "-serial", "null")
