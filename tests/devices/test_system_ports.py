"""Small ports of a PC's board: POST code, DMA registers and pages, fast A20, debug port."""

from __future__ import annotations

import random

import pytest

from .lab import Ports, Step, compare


@pytest.fixture
def p() -> Ports:
    return Ports()


def test_post_code_and_pages_keep_what_is_written(p: Ports) -> None:
    for i, port in enumerate(range(0x80, 0x90)):
        p.out(port, 0x30 + i)
    assert [p.inb(port) for port in range(0x80, 0x90)] == list(range(0x30, 0x40))


def test_debug_port_says_that_it_is_there(p: Ports) -> None:
    assert p.inb(0xE9) == 0xE9


@pytest.mark.parametrize("base, step, clear", [(0x00, 1, 0x0C), (0xC0, 2, 0xD8)])
def test_dma_registers(p: Ports, base: int, step: int, clear: int) -> None:
    """8237A: 16 bits behind one port, lower byte first; the flip-flop can be cleared."""
    for register in range(8):
        p.out(clear, 0)
        p.out(base + step * register, register, 0x80 | register)
    p.out(base, 0x11)  # one byte only: the flip-flop points to the upper one
    p.out(clear, 0)
    assert [p.inb(base), p.inb(base)] == [0x11, 0x80]
    for register in range(1, 8):
        assert [p.inb(base + step * register) for _ in range(2)] == [register, 0x80 | register]


def test_dma_masks(p: Ports) -> None:
    assert p.inb(0x0F) == 15
    p.out(0x0E, 0)
    assert p.inb(0x0F) == 0
    p.out(0x0A, 0x06)
    assert p.inb(0x0F) == 4
    p.out(0x0A, 0x02)
    p.out(0x0F, 0x0A)
    assert p.inb(0x0F) == 10
    p.out(0x0D, 0)  # master clear
    assert p.inb(0x0F) == 15
    assert p.inb(0x08) == 0


def test_reset_control_keeps_its_bits(p: Ports) -> None:
    p.out(0xCF9, 0xFB)
    assert p.inb(0xCF9) == 0x02


def test_wide_accesses_are_split(p: Ports) -> None:
    p.out(0x80, 1)
    p.out(0x81, 2)
    p.out(0x82, 3)
    p.out(0x83, 4)
    assert p.inl(0x80) == 0x04030201


def test_as_on_qemu() -> None:
    rng = random.Random(8237)
    steps: list[Step] = []
    for _ in range(150):
        kind = rng.randrange(3)
        value = rng.randrange(256)
        if kind == 0:
            base, step, clear = rng.choice(((0x00, 1, 0x0C), (0xC0, 2, 0xD8)))
            port = base + step * rng.randrange(8)
            steps += [("out", clear, 0), ("out", port, value), ("out", port, value ^ 0x5A)]
            steps += [("out", clear, 0), ("in", port), ("in", port)]
        elif kind == 1:
            port = rng.choice((0x81, 0x82, 0x83, 0x87, 0x89, 0x8A, 0x8B))
            steps += [("out", port, value), ("in", port)]
        else:
            steps += [("out", 0x92, value & 2), ("in", 0x92), ("in", 0xE9)]
    compare(steps)
