"""The 8390's registers and remote DMA beside QEMU's card at the same ports."""

from __future__ import annotations

import pytest

from .lab import Step, compare

BASE, DATA, RESET = 0xC000, 0xC010, 0xC01F
ISA_CARD = f"ne2k_isa,iobase={BASE:#x},irq=11,mac=52:54:00:12:34:56"
OPTIONS = ("-M", "isapc", "-device", ISA_CARD)  # without PCI nobody else takes these ports


def out(*pairs: tuple[int, int]) -> list[Step]:
    return [("out", BASE + register, value) for register, value in pairs]


def read(*registers: int) -> list[Step]:
    return [("in", BASE + register) for register in registers]


def dma(command: int, address: int, length: int) -> list[Step]:
    return out((10, length & 0xFF), (11, length >> 8), (8, address & 0xFF), (9, address >> 8), (0, command))


START: list[Step] = [("in", RESET), ("out", RESET, 0)]
START += out((0, 0x21), (14, 0x48), (12, 0x04), (13, 0), (1, 0x46), (2, 0x60), (3, 0x46), (7, 0xFF), (15, 0))
START += out((0, 0x61), (7, 0x47), (0, 0x22))


def test_the_prom_byte_by_byte() -> None:
    compare(
        [*START, *dma(0x0A, 0, 12), *[("in", DATA)] * 12, *read(7)], *OPTIONS, mask_reads=[0] + [0xFF] * 13
    )


def test_the_prom_byte_by_byte_in_word_mode() -> None:
    steps = [*START, *out((14, 0x49)), *dma(0x0A, 0, 32), *[("in", DATA)] * 16, *read(7)]
    # between address and mark QEMU's PROM keeps what an earlier reset left
    compare(steps, *OPTIONS, mask_reads=[0] + [0xFF] * 6 + [0] * 8 + [0xFF] * 2 + [0x7F])


@pytest.mark.parametrize("address", [0x4000, 0x45F0, 0x5FF8])
def test_remote_dma(address: int) -> None:
    """Written and read back; at the end of the ring the address wraps (here: 6000h to 4600h)."""
    steps = [*START, *out((7, 0x40)), *dma(0x12, address, 16)]
    steps += [("out", DATA, 0xA0 + i) for i in range(16)]
    steps += read(7) + out((7, 0x40)) + read(7)
    steps += [*dma(0x0A, address, 16), *[("in", DATA)] * 16, *read(7, 0)]
    compare(steps, *OPTIONS, mask_reads=[0, *[0x7F] * 2, *[0xFF] * 16, 0x7F, 0x3F])


def test_registers_of_page_1_and_boundary() -> None:
    steps = [*START, *out((0, 0x62))]
    for register in range(1, 16):
        steps += out((register, 0x30 + register))
    steps += read(*range(1, 16)) + out((0, 0x22)) + read(3)
    compare(steps, *OPTIONS, mask_reads=[0, *[0xFF] * 16])


def test_a_stopped_and_started_card() -> None:
    """QEMU's card, too, shows RST while it is stopped, and starts with page 0."""
    steps = [*START, *read(0), *out((0, 0x21)), *read(0, 7), *out((0, 0x22)), *read(0, 7)]
    compare(steps, *OPTIONS, mask_reads=[0, 0xFF, 0xFF, 0, 0xFF, 0x7F])
