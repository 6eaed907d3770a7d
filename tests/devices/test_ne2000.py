"""The network card by the DP8390D data sheet, and the network at the other end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from zlib import crc32

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.network import CARD, STATION

from .lab import Ports
from .test_one_machine import by_cycles, by_rewinding, by_slices, by_snapshots, by_steps, by_trace, same

BASE = 0xC000
DATA = BASE + 16
START, STOP, TX = 0x46, 0x60, 0x40
ALL = b"\xff" * 6
OTHER = bytes.fromhex("020000000001")
SHORT = 0.002


class Card(Ports):
    def __init__(self, receive: int = 0x04) -> None:
        super().__init__(Machine(ram="1MiB"))
        self.inb(BASE + 0x1F)  # reset
        for register, value in ((0, 0x21), (14, 0x49), (10, 0), (11, 0), (12, receive), (13, 0)):
            self.out(BASE + register, value)
        for register, value in ((1, START), (2, STOP), (3, START), (7, 0xFF), (15, 0x7F)):
            self.out(BASE + register, value)
        self.out(BASE, 0x61)
        for i, value in enumerate(CARD):
            self.out(BASE + 1 + i, value)
        self.out(BASE + 7, START + 1)
        self.out(BASE, 0x22)

    def dma(self, command: int, address: int, length: int) -> None:
        for register, value in ((10, length), (11, length >> 8), (8, address), (9, address >> 8)):
            self.out(BASE + register, value & 0xFF)
        self.out(BASE, command)

    def get(self, address: int, length: int) -> bytes:
        self.dma(0x0A, address, length)
        return b"".join(self.m.port_in(DATA, 2).to_bytes(2, "little") for _ in range(length // 2))

    def put(self, address: int, data: bytes) -> None:
        self.dma(0x12, address, len(data))
        for i in range(0, len(data), 2):
            self.m.port_out(DATA, int.from_bytes(data[i : i + 2], "little"), 2)

    def send(self, frame: bytes) -> None:
        self.put(TX << 8, frame.ljust(len(frame) + len(frame) % 2, b"\0"))
        for register, value in ((4, TX), (5, len(frame) & 0xFF), (6, len(frame) >> 8), (0, 0x26)):
            self.out(BASE + register, value)

    @property
    def isr(self) -> int:
        return self.inb(BASE + 7)

    @property
    def current(self) -> int:
        self.out(BASE, 0x62)
        page = self.inb(BASE + 7)
        self.out(BASE, 0x22)
        return page

    def arrive(self, frame: bytes) -> None:
        self.m.network.inject(frame)
        self.wait(SHORT)

    def received(self) -> list[bytes]:
        """What a driver would take from the ring."""
        out = []
        page = self.inb(BASE + 3) + 1
        page = START if page == STOP else page
        while page != self.current:
            status, following, length = struct.unpack("<BBH", self.get(page << 8, 4))
            assert status & 1
            data = self.get((page << 8) + 4, length - 4 + length % 2)[: length - 4]
            out.append(data)
            page = following
            self.out(BASE + 3, STOP - 1 if page == START else page - 1)
        return out


def frame(to: bytes, length: int = 60, mark: int = 0) -> bytes:
    return (to + OTHER + b"\x88\xb5" + bytes([mark])).ljust(length, bytes([mark]))


def test_the_prom() -> None:
    card = Card()
    prom = card.get(0, 32)
    assert prom[::2][:6] == CARD and prom[1::2][:6] == CARD
    assert prom[28:32] == b"WWWW"
    assert card.isr & 0x40  # remote DMA complete


def test_memory_in_words_and_in_bytes() -> None:
    card = Card()
    card.put(0x4100, b"0123456789")
    assert card.get(0x4102, 6) == b"234567"
    card.out(BASE + 14, 0x48)  # byte mode
    card.dma(0x0A, 0x4100, 3)
    assert [card.inb(DATA) for _ in range(4)] == [*b"012", 0]
    card.dma(0x12, 0x100, 2)  # no memory there
    card.out(DATA, 1, 2)
    card.dma(0x0A, 0x100, 1)
    assert card.inb(DATA) == 0xFF


def test_byte_reads_in_word_mode_take_a_word_each() -> None:
    """Linux's ne2k-pci reads the PROM so: of each doubled byte it sees one."""
    card = Card()
    card.dma(0x0A, 0, 32)
    assert bytes(card.inb(DATA) for _ in range(16)) == CARD + bytes(8) + b"WW"
    assert card.isr & 0x40 and card.inb(DATA) == 0


def test_what_is_sent_comes_out() -> None:
    card = Card()
    card.m.network.answers = False
    heard: list[bytes] = []
    card.m.network.attach(heard.append)
    sent = frame(ALL, 100, 5)
    card.send(sent)
    assert card.inb(BASE) & 4 and card.isr & 2 == 0  # on its way
    card.wait(SHORT)
    assert card.inb(BASE) & 4 == 0 and card.isr & 2 and card.inb(BASE + 4) & 1
    assert card.m.network.sent == heard == [sent]
    card.m.back(3)
    assert card.m.network.sent == [sent] and heard == [sent]


@pytest.mark.parametrize(
    "receive, to, wanted",
    [
        (0x00, CARD, True),
        (0x00, OTHER, False),
        (0x10, OTHER, True),  # promiscuous
        (0x00, ALL, False),
        (0x04, ALL, True),
        (0x08, bytes.fromhex("01005e000001"), True),
        (0x08, bytes.fromhex("01005e7f0001"), False),
        (0x20, CARD, False),  # monitor: counted, not stored
    ],
)
def test_the_receive_filter(receive: int, to: bytes, wanted: bool) -> None:
    card = Card(receive)
    index = int(f"{(crc32(bytes.fromhex('01005e000001')) ^ 0xFFFFFFFF) & 0x3F:06b}"[::-1], 2)
    card.out(BASE, 0x62)
    card.out(BASE + 8 + (index >> 3), 1 << (index & 7))
    card.out(BASE, 0x22)
    sent = frame(to)
    card.arrive(sent)
    assert card.received() == ([sent] if wanted else [])
    assert card.isr & 1 == wanted


def test_the_check_sum_is_stored_behind_the_frame() -> None:
    card = Card()
    sent = frame(CARD, 61)
    card.arrive(sent)
    stored = card.get((START + 1) << 8, 70)
    assert stored[:4] == bytes([1, START + 2, 65, 0])
    assert stored[4:69] == sent + crc32(sent).to_bytes(4, "little")


def test_the_ring_wraps_and_fills() -> None:
    card = Card()
    sent = [frame(CARD, 1000, n) for n in range(40)]
    for one in sent:
        card.arrive(one)
        assert card.received() == [one]
    card.out(BASE + 7, 0x7F)
    for one in sent[:7]:  # 4 pages each; 26 pages, one of which keeps the ends apart
        card.arrive(one)
    assert card.isr & 0x10 and card.inb(BASE + 15) == 1
    assert card.inb(BASE + 15) == 0  # reading clears it
    assert card.received() == sent[:6]


def test_stopped_it_hears_nothing_and_runts_are_a_matter_of_configuration() -> None:
    card = Card()
    card.out(BASE, 0x21)
    assert card.isr & 0x80
    card.arrive(frame(CARD))
    card.out(BASE, 0x22)
    assert card.received() == [] and card.isr & 0x80 == 0


def test_a_loopback_does_not_leave_the_card() -> None:
    """Data sheet, section 12: the end of the frame and its check sum are in the FIFO."""
    card = Card()
    card.out(BASE + 13, 0x02)
    sent = frame(CARD, 64, 9)
    card.send(sent)
    card.wait(SHORT)
    assert card.m.network.sent == [] and card.isr & 2 and card.received() == []
    fifo = bytes(card.inb(BASE + 6) for _ in range(8))
    assert fifo == sent[-4:] + crc32(sent).to_bytes(4, "little")


def test_send_packet_reads_the_next_frame_by_its_header() -> None:
    card = Card()
    sent = frame(CARD, 60, 3)
    card.arrive(sent)
    card.out(BASE + 3, START + 1)
    card.out(BASE, 0x1A)
    got = b"".join(card.m.port_in(DATA, 2).to_bytes(2, "little") for _ in range(32))
    assert got[4:64] == sent


def test_the_station_answers() -> None:
    card = Card()
    us, them = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))
    arp = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + CARD + us + bytes(6) + them
    card.send((ALL + CARD + b"\x08\x06" + arp).ljust(60, b"\0"))
    card.wait(SHORT)
    (answer,) = card.received()
    assert answer[:12] == CARD + STATION and answer[20:42] == b"\0\2" + STATION + them + CARD + us

    def ip(protocol: int, body: bytes) -> bytes:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, protocol, 0) + us + them
        return (STATION + CARD + b"\x08\0" + head + body).ljust(60, b"\0")

    card.send(ip(1, b"\x08\0\0\0\1\2\3\4data"))
    card.wait(SHORT)
    (answer,) = card.received()
    assert answer[26:34] == them + us and answer[34] == 0 and answer[38:46] == b"\1\2\3\4data"
    for part in (answer[14:34], answer[34:46]):
        assert sum(struct.unpack(f">{len(part) // 2}H", part)) % 0xFFFF == 0
    card.send(ip(17, struct.pack(">HHHH", 4000, 7, 12, 0) + b"echo"))
    card.wait(SHORT)
    (answer,) = card.received()
    assert struct.unpack(">HH", answer[34:38]) == (7, 4000) and answer[42:46] == b"echo"


# Asks who has 10.0.2.2 and waits for the answer's interrupt by polling, then reads the ring.
GUEST = f"""
    mov dx, {BASE + 7:#x}
poll:
    in al, dx
    test al, 1
    jz poll
    out dx, al
    inc bx
    mov dx, {BASE:#x}
    mov al, 0x26                ; send again
    out dx, al
    mov dx, {BASE + 7:#x}
    mov cx, 300
work:
    loop work
    cmp bx, 20
    jne poll
    hlt
"""


def guest() -> Machine:
    card = Card()
    arp = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + CARD + bytes((10, 0, 2, 15)) + bytes(6)
    m = card.m
    card.send((ALL + CARD + b"\x08\x06" + arp + bytes((10, 0, 2, 2))).ljust(60, b"\0"))
    m.load(assemble(GUEST, bits=16, origin=0x3000), at=0x3000)
    m.cpu.ip = 0x3000
    return m


@pytest.fixture(scope="module")
def whole() -> Machine:
    m = guest()
    assert m.run(max_instructions=100_000).reason == "halt"
    assert m.cpu.bx == 20 and len(m.network.sent) == 21
    return m


@pytest.mark.parametrize("way", [by_steps, by_slices, by_cycles, by_trace, by_snapshots, by_rewinding])
def test_however_it_is_run(way: Callable[[Machine], None], whole: Machine) -> None:
    m = guest()
    way(m)
    assert same(m, whole) and m.network.sent == whole.network.sent


def test_frames_from_outside_are_replayed() -> None:
    card = Card()
    m = card.m
    m.load(assemble("spin: jmp spin", bits=16, origin=0x3000), at=0x3000)
    m.cpu.ip = 0x3000
    m.run(max_instructions=1000)
    m.network.inject(frame(CARD, 700, 8))
    m.run(max_cycles=2_000_000)
    seen, now = m.digest(), m.instructions
    m.run(max_instructions=5000)
    m.back(m.instructions - now)
    assert m.digest() == seen
    m.cpu.ip = 0x1000
    assert card.received() == [frame(CARD, 700, 8)]
