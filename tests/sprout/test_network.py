"""What sprout answers on the wire, and that no frame harms it."""

from __future__ import annotations

import random
import struct

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.guests import busybox, sprout

from .lab import boot, lines, needs_busybox, needs_qemu, qemu, run_script

CARD, STATION = bytes.fromhex("525400123456"), bytes.fromhex("525500000002")
OWN, PEER = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))
ARP_REQUEST = (
    STATION + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + STATION + PEER + bytes(6) + OWN
)


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(protocol: int, payload: bytes, to: bytes = OWN) -> bytes:
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, PEER, to)
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return CARD + STATION + b"\x08\x00" + head + payload


def echo(data: bytes, number: int = 1) -> bytes:
    packet = struct.pack(">BBHHH", 8, 0, 0, 77, number) + data
    return ip(1, packet[:2] + checksum(packet).to_bytes(2, "big") + packet[4:])


@pytest.fixture
def machine() -> Machine:
    m = boot()
    m.run(max_instructions=30_000_000, until=lambda m: m.console.text.endswith("$ "))
    m.network.answers = False
    return m


def answers(m: Machine, frame: bytes) -> list[bytes]:
    before = len(m.network.sent)
    m.network.inject(frame)
    m.run(max_instructions=300_000)
    return list(m.network.sent[before:])


def test_arp(machine: Machine) -> None:
    (reply,) = answers(machine, b"\xff" * 6 + ARP_REQUEST)
    assert reply[:14] == STATION + CARD + b"\x08\x06"
    assert reply[14:42] == struct.pack(">HHBBH", 1, 0x800, 6, 4, 2) + CARD + OWN + STATION + PEER


def test_ping_from_outside(machine: Machine) -> None:
    answers(machine, b"\xff" * 6 + ARP_REQUEST)
    for size in (0, 1, 56, 57, 1472):
        data = bytes(i % 251 for i in range(size))
        (reply,) = answers(machine, echo(data, size))
        assert reply[26:34] == OWN + PEER
        assert checksum(reply[14:34]) == 0 and checksum(reply[34 : 42 + size]) == 0
        assert reply[34:36] == b"\0\0" and reply[38:42] == struct.pack(">HH", 77, size)
        assert reply[42 : 42 + size] == data


def test_nobody_listens(machine: Machine) -> None:
    answers(machine, b"\xff" * 6 + ARP_REQUEST)
    datagram = struct.pack(">4H", 4000, 9, 12, 0) + b"text"
    (reply,) = answers(machine, ip(17, datagram))
    assert reply[34:36] == bytes((3, 3)) and reply[62:70] == datagram[:8]


def test_question_before_the_packet(machine: Machine) -> None:
    """Who pings us from an address we do not know is asked for its card first."""
    (question,) = answers(machine, echo(b"hello"))
    assert question[:6] == b"\xff" * 6 and question[20:22] == b"\0\1" and question[38:42] == PEER
    request = bytearray(ARP_REQUEST)
    (_, reply) = sorted(answers(machine, b"\xff" * 6 + bytes(request)), key=lambda f: f[12:14], reverse=True)
    assert reply[34] == 0 and reply[42:47] == b"hello"


@pytest.mark.parametrize("seed", range(3))
def test_random_frames(machine: Machine, seed: int) -> None:
    generator = random.Random(seed)
    datagram = struct.pack(">4H", 4000, 9, 12, 0) + b"text"
    frames = [b"\xff" * 6 + ARP_REQUEST, echo(bytes(40)), ip(17, datagram), ip(1, b""), ip(6, bytes(20))]
    for _ in range(150):
        frame = bytearray(generator.choice(frames))
        for _ in range(generator.randrange(6)):
            frame[generator.randrange(12, len(frame))] = generator.randrange(256)
        cut = (
            bytes(frame[: generator.randrange(14, len(frame) + 1)])
            if generator.random() < 0.3
            else bytes(frame)
        )
        machine.network.inject(cut + bytes(generator.randrange(3) * generator.randrange(400)))
        machine.run(max_instructions=generator.randrange(60_000))
    machine.run(max_instructions=5_000_000)
    answers(machine, b"\xff" * 6 + ARP_REQUEST)
    (reply,) = answers(machine, echo(b"alive"))
    assert reply[42:47] == b"alive"


def test_datagram_round_trip() -> None:
    """ubench talks to the echo port of the station at the other end."""
    said = run_script("ubench 20\n")
    measured = {line[:24].strip(): int(line[24:-7]) for line in said}
    assert len(measured) == 14 and all(0 < cycles < 1_000_000 for cycles in measured.values())
    assert measured["UDP round trip"] > measured["UDP to ourselves"] > measured["system call"]


@needs_qemu
@needs_busybox
def test_ping_in_qemu() -> None:
    root = busybox.root({"etc/script": b"ping -c 2 10.0.2.2\n"})
    options = ("-netdev", "user,id=net", "-device", "ne2k_pci,netdev=net")
    text = lines(qemu(root, "run=/etc/script", *options)[1])
    assert "2 packets transmitted, 2 packets received, 0% packet loss" in text


def test_slices_change_nothing() -> None:
    """Run whole or in pieces: the same text, instructions and cycles."""
    root = sprout.root_with({"etc/script": b"ubench 5\nps\nwild step\n"})
    whole, pieces = boot(root, "run=/etc/script"), boot(root, "run=/etc/script")
    whole.run(max_instructions=100_000_000)
    generator = random.Random(1)
    while pieces.run(max_instructions=generator.randrange(1, 200_000)).reason == "limit":
        pass
    assert pieces.console.text == whole.console.text
    assert (pieces.instructions, pieces.cycles) == (whole.instructions, whole.cycles)
