"""The other end of the network cable: a small network that answers, records and can be fed.

A reply to a frame of the guest is a consequence of that frame: rewinding the machine repeats it.
A frame that Python injects is input, noted in the history like everything that comes in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ..machine.bare_machine import BareMachine
from .layout import NIC_BYTES, OP_NIC_BYTES, OP_NIC_INPUT, OP_NIC_SENT, SERVICE_NIC
from .ne2000 import (
    LONGEST,
    PROM_SIZE,
    RX_COUNT,
    RX_FIRST,
    RX_PLACE,
    RX_SLOTS,
    SENDING,
    SHORTEST,
    SLOT,
    TX_LENGTH,
    TX_PLACE,
)

CARD = bytes.fromhex("525400123456")
STATION = bytes.fromhex("525500000002")
ARP, IPV4, ICMP, UDP, ECHO_PORT = 0x0806, 0x0800, 1, 17, 7


class Network:
    """A station at 10.0.2.2 that answers ARP, ping and UDP echo (port 7).

    >>> m.network.sent            # frames of the guest, oldest first
    >>> m.network.inject(frame)   # a frame arrives at the guest's card
    """

    bits = SERVICE_NIC

    def __init__(self, machine: BareMachine) -> None:
        self._machine = machine
        self._waiting: list[bytes] = []  # injected while the machine runs
        self._sink: Callable[[bytes], Any] | None = None
        self.card = CARD
        self.address = bytes((10, 0, 2, 2))
        self.answers = True
        self.sent: list[bytes] = []

    def reset(self) -> None:
        """The card's PROM: its address, each byte twice, and the mark of a 16-bit card."""
        prom = (self.card + bytes(8) + b"WW").ljust(PROM_SIZE // 2, b"\0")
        doubled = bytes(byte for byte in prom for _ in range(2))
        self._machine._a.device_bytes[NIC_BYTES : NIC_BYTES + PROM_SIZE] = memoryview(doubled)

    def attach(self, sink: Callable[[bytes], Any] | None) -> None:
        """Hand each frame the guest sends to a function; None ends that."""
        self._sink = sink

    # --- frames to the guest -----------------------------------------------------------

    def inject(self, frame: bytes) -> None:
        """A frame comes in, without check sum; short ones are padded as a driver would."""
        if not 14 <= len(frame) <= LONGEST:
            raise ValueError(f"an Ethernet frame has 14 to {LONGEST} bytes, not {len(frame)}")
        self._waiting.append(bytes(frame).ljust(SHORTEST, b"\0"))
        if not self._machine._running:
            self.pump()

    def pump(self) -> None:
        """Let in what was injected during a run."""
        while self._waiting:
            frame = self._waiting.pop(0)
            for offset in range(0, len(frame), 8):
                eight = int.from_bytes(frame[offset : offset + 8], "little")
                self._machine._core("card_access", (), OP_NIC_BYTES, offset, eight)
            self._machine._core("card_access", (), OP_NIC_INPUT, len(frame), 0)

    def _reply(self, frame: bytes) -> None:
        a = self._machine._a
        first, count = int(a.devices[RX_FIRST]), int(a.devices[RX_COUNT])
        if count < RX_SLOTS:
            frame = frame.ljust(SHORTEST, b"\0")
            place = RX_PLACE + SLOT * ((first + count) % RX_SLOTS)
            a.device_bytes[place : place + len(frame)] = memoryview(frame)
            self._machine._core_silently("card_access", (), OP_NIC_INPUT, len(frame), 0)

    # --- frames from the guest ---------------------------------------------------------

    def serve(self, bits: int) -> None:
        a = self._machine._a
        if not a.devices[SENDING]:
            return
        frame = a.device_bytes[TX_PLACE : TX_PLACE + int(a.devices[TX_LENGTH])].tobytes()
        self.sent.append(frame)
        self._machine._core_silently("card_access", (), OP_NIC_SENT, 0, 0)
        if self._sink is not None and not self._machine._replaying:
            self._sink(frame)
        answer = self.answer(frame) if self.answers else None
        if answer:
            self._reply(answer)

    def answer(self, frame: bytes) -> bytes | None:
        """What the station says to a frame, if anything."""
        if len(frame) < 34 or frame[:6] not in (STATION, b"\xff" * 6):
            return None
        kind = int.from_bytes(frame[12:14], "big")
        if kind == ARP and len(frame) >= 42 and frame[20:22] == b"\0\1" and frame[38:42] == self.address:
            head = frame[6:12] + STATION + frame[12:20] + b"\0\2"
            return head + STATION + self.address + frame[22:32]
        if kind == IPV4 and frame[14] == 0x45 and frame[30:34] == self.address:
            return self._ip_answer(frame)
        return None

    def _ip_answer(self, frame: bytes) -> bytes | None:
        length = int.from_bytes(frame[16:18], "big")
        packet = frame[34 : 14 + length]
        if frame[23] == ICMP and len(packet) >= 8 and packet[0] == 8:
            body = b"\0\0\0\0" + packet[4:]
            body = b"\0\0" + _checksum(body) + body[4:]
        elif frame[23] == UDP and len(packet) >= 8 and int.from_bytes(packet[2:4], "big") == ECHO_PORT:
            body = packet[2:4] + packet[:2] + packet[4:]  # the check sum does not mind the exchange
        else:
            return None
        header = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(body), 0, 0, 64, frame[23])
        header += b"\0\0" + frame[30:34] + frame[26:30]
        header = header[:10] + _checksum(header) + header[12:]
        return frame[6:12] + STATION + frame[12:14] + header + body

    # --- snapshots ---------------------------------------------------------------------

    def state(self) -> Any:
        return list(self.sent)

    def restore(self, state: Any) -> None:
        self.sent = list(state)


def _checksum(data: bytes) -> bytes:
    """The Internet's: the complement of the sum of 16-bit words."""
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data.ljust((len(data) + 1) // 2 * 2, b"\0")))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (total ^ 0xFFFF).to_bytes(2, "big")
