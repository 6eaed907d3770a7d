"""Whatever a guest does to the ports of its PC, the machine stays a machine."""

from __future__ import annotations

import random

import pytest

from pyvirt_edu import Machine
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
