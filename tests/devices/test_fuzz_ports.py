"""Whatever a guest does to the ports of its PC, the machine stays a machine."""

from __future__ import annotations

import random

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.platform import PORTS

WRITES, READS, AT = (0, 1, 2), (3, 4, 5), 0x1000
CODE = bytes.fromhex("ee ef 66ef ec ed 66ed".replace(" ", ""))
OFFSETS = (0, 1, 2, 4, 5, 6)
SIZES = (1, 2, 4)


def plausible(rng: random.Random) -> int:
    """A port that somebody has, mostly."""
    if rng.random() < 0.1:
        return rng.randrange(0x10000)
    if rng.random() < 0.2:
        return 0xC000 + rng.randrange(32)
    if rng.random() < 0.3:
        return rng.choice((0x1F0, 0x170)) + rng.randrange(8)
    if rng.random() < 0.3:
        return rng.choice((0x3F2, 0x3F4, 0x3F5, 0x3F5, 0x3F5, 0x04, 0x05, 0x0A, 0x0B, 0x0C, 0x81))
    _, first, count = rng.choice(PORTS)
    return first + rng.randrange(count)


def value(rng: random.Random) -> int:
    choice = rng.random()
    if choice < 0.3:
        return rng.choice((0, 1, 2, 0x10, 0x20, 0x22, 0x26, 0x30, 0x40, 0xC4, 0xC5, 0xC6, 0xE0, 0xE7, 0xEC))
    if choice < 0.5:
        return 1 << 31 | rng.choice((0, 8, 9, 16, 24)) << 8 | rng.randrange(64) * 4
    return rng.randrange(1 << 32)


@pytest.mark.parametrize("seed", range(4))
def test_any_access_to_any_port(seed: int) -> None:
    rng = random.Random(seed)
    m = Machine(ram="1MiB")
    m.attach_disk(rng.randbytes(512 * 64), 0)
    m.attach_disk(rng.randbytes(512 * 64), 3, "read-only")
    m.attach_floppy(rng.randbytes(1440 * 1024), 0)
    m.attach_floppy(rng.randbytes(160 * 1024), 1, "read-only")
    m.load(CODE, at=AT)
    for i in range(6000):
        which = rng.randrange(6)
        m.cpu.cs = 0
        m.cpu.ip, m.cpu.edx, m.cpu.eax = AT + OFFSETS[which], plausible(rng), value(rng)
        reason = m.step().reason
        assert reason in ("limit", "exit", "reset"), (reason, i)
        if rng.random() < 0.05:
            m.charge(rng.randrange(10_000_000))
        if rng.random() < 0.01:
            m.network.inject(rng.randbytes(rng.randrange(14, 1515)))
        if i % 500 == 250:
            kept = m.snapshot()
            m.restore(kept)
        if i % 500 == 499:
            seen = m.digest()
            m.step()
            m.back(1)
            assert m.digest() == seen


def test_any_data_through_the_string_instructions() -> None:
    """REP INS and OUTS of any count and width on the data ports, whatever command is on."""
    rng = random.Random(9)
    m = Machine(ram="1MiB")
    m.attach_disk(rng.randbytes(512 * 64))
    m.load(bytes.fromhex("f36c f36d f3666d f36e f36f f3666f".replace(" ", "")), at=AT)
    for _ in range(300):
        m.port_out(0x1F2, rng.randrange(4))
        m.port_out(0x1F3, rng.randrange(70))
        m.port_out(0x1F6, 0xE0)
        m.port_out(0x1F7, rng.choice((0x20, 0x30, 0xC4, 0xC5, 0xEC, 0xC6)))
        for offset in rng.sample((0, 2, 4, 7, 9, 11), 3):
            m.cpu.cs = m.cpu.ds = m.cpu.es = 0
            m.cpu.ip, m.cpu.dx, m.cpu.cx = AT + offset, rng.choice((0x1F0, 0xC010)), rng.randrange(600)
            m.cpu.si = m.cpu.di = 0x4000
            assert m.run(max_instructions=1200, until=AT + offset + 2 + (offset in (4, 11))).reason == "until"
            m.charge(rng.randrange(2_000_000))
    assert m.disks[0] is not None and m.disks[0].sectors == 64


# Each port from SI on, CX of them: read and written in all widths; BX is what comes next.
SWEEP = """
next:
    mov dx, si
    in al, dx
    add bl, al
    in ax, dx
    in eax, dx
    add ebx, eax
    imul ebx, ebx, 0x19660D
    add ebx, 0x3C6EF35F
    mov eax, ebx
    shr eax, 7
    test bl, 4
    jz small
    out dx, eax
    out dx, ax
small:
    out dx, al
    inc si
    dec cx
    jnz next
    hlt
"""


@pytest.mark.parametrize("seed", range(2))
def test_every_port_there_is(seed: int) -> None:
    """All 65,536 of them, forwards; a guest that resets itself or leaves goes on behind that."""
    rng = random.Random(seed)
    m = Machine(ram="1MiB", history=False)
    m.attach_disk(rng.randbytes(512 * 64))
    m.attach_floppy(rng.randbytes(1440 * 1024))
    m.load(assemble(SWEEP, bits=16, origin=AT), at=AT)

    def start(port: int) -> None:
        m.cpu.cs, m.cpu.ip, m.cpu.si = 0, AT, port
        m.cpu.cx, m.cpu.ebx = 0x10000 - port & 0xFFFF, rng.randrange(1 << 32)

    start(0)
    reasons = []
    while (out := m.run(max_instructions=3_000_000)).reason != "halt":
        reasons.append(out.reason)
        if out.reason == "reset":
            start(0xCFA)  # registers are as after a reset; the port is the one that does it
        else:
            assert out.reason == "exit", out
    assert m.cpu.si == 0 and len(reasons) < 20


@pytest.mark.parametrize("seed", range(3))
def test_any_configuration_of_any_card(seed: int) -> None:
    """Random values in every register of configuration space; what is mapped there is used, too."""
    rng = random.Random(seed)
    m = Machine(ram="1MiB")
    for i in range(3000):
        where = rng.choice((0x00, 0x08, 0x09, 0x10, 0x18, rng.randrange(256))) << 8 | rng.randrange(256)
        m.port_out(0xCF8, 1 << 31 | rng.choice((0, 0, 0, rng.randrange(256))) << 16 | where & 0xFFFC, 4)
        size = rng.choice((1, 2, 4))
        offset = rng.randrange(0, 4, size)
        change = rng.choice(
            (rng.randrange(1 << 32), 0xFFFFFFFF, 0, 0xC0000001, 0xFEB00003, rng.randrange(65536))
        )
        m.port_out(0xCFC + offset, change & (1 << 8 * size) - 1, size)
        assert m.port_in(0xCFC + offset, size) < 1 << 8 * size
        if i % 10 == 0:
            m.port_in(0xC000 + rng.randrange(64), 1)
            m.load(bytes.fromhex("a1 00c0 f4".replace(" ", "")), at=AT)  # MOV AX, [C000h]: where a ROM may be
            m.cpu.cs, m.cpu.ds, m.cpu.ip = 0, rng.choice((0xC000, 0xF000, 0)), AT
            assert m.run(max_instructions=2).reason in ("halt", "limit")
        if i % 500 == 250:
            m.restore(m.snapshot())


FLOPPY_COMMANDS = (0xE6, 0xC5, 0x4D, 0x4A, 0x0F, 0x07, 0x08, 0x03, 0x04, 0x13, 0x12, 0x0E, 0x94, 0x66, 0x45)


@pytest.mark.parametrize("seed", range(4))
def test_any_floppy_command(seed: int) -> None:
    """Commands that are nearly right, DMA that is set up somehow, resets in the middle."""
    rng = random.Random(seed)
    m = Machine(ram="1MiB")
    m.attach_floppy(rng.randbytes(1440 * 1024), 0)
    m.attach_floppy(rng.randbytes(360 * 1024), 1, "read-only")
    m.load(bytes.fromhex("fb f4 eb fd".replace(" ", "")), at=AT)  # STI, HLT: time passes
    m.port_out(0x3F2, 0x1C)
    results = set()
    for i in range(600):
        m.port_out(0x0A, 6)
        m.port_out(0x0C, 0)
        for port in (0x04, 0x04, 0x05, 0x05):
            m.port_out(port, rng.choice((0, 0xFF, rng.randrange(256))))
        m.port_out(0x0B, rng.choice((0x46, 0x4A, 0x42, 0x56, 0x6A, rng.randrange(256))))
        m.port_out(0x81, rng.choice((0, 8, 15, 16, rng.randrange(256))))
        m.port_out(0x0A, rng.choice((2, 2, 2, 6)))
        m.port_out(0x3F7, rng.choice((0, 0, 0, 2, rng.randrange(256))))
        m.port_out(0x3F5, rng.choice(FLOPPY_COMMANDS) if rng.random() < 0.9 else rng.randrange(256))
        for limit in (8, 80, 2, 19, 4, 20, 256, 256):
            if m.port_in(0x3F4) & 0xC0 == 0x80:
                m.port_out(0x3F5, rng.randrange(limit) if rng.random() < 0.9 else rng.randrange(256))
        if rng.random() < 0.05:
            m.port_out(0x3F2, rng.choice((0, 0x0C, 0x1C, rng.randrange(256))))
            m.port_out(0x3F2, 0x1C)
        m.cpu.cs, m.cpu.ip = 0, AT
        m.run(max_cycles=rng.choice((1000, 5_000_000, 60_000_000)))
        while m.port_in(0x3F4) & 0xC0 == 0xC0:
            results.add(m.port_in(0x3F5))
        if i % 100 == 50:
            m.restore(m.snapshot())
    assert len(results) > 20


def test_a_floppy_command_in_pieces() -> None:
    """The same commands, however the time between them is cut, end in the same machine."""

    def machine(cut: int) -> Machine:
        rng = random.Random(5)
        m = Machine(ram="1MiB")
        m.attach_floppy(rng.randbytes(1440 * 1024))
        m.load(b"\xeb\xfe", at=AT)
        m.cpu.cs, m.cpu.ip = 0, AT
        for _ in range(15):
            m.port_out(rng.choice((0x3F2, 0x3F7, 0x0B, 0x0A, 0x05)), rng.choice((0x1C, 0x46, 2, 0)))
            for _ in range(rng.randrange(9)):
                m.port_out(0x3F5, rng.choice((0xE6, 0, 1, 2, 18, 0x4A, 8, 0xC5)))
            end = m.instructions + 3_000_000
            while m.instructions < end:
                m.run(max_instructions=min(cut, end - m.instructions))
        return m

    whole, pieces = machine(3_000_000), machine(77_777)
    assert (whole.cycles, whole.digest()) == (pieces.cycles, pieces.digest())
