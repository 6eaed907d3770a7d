"""Whatever a guest does, Python goes on: no crash, no hang, no byte outside the machine.

Random bytes as code, random descriptor tables, gates, task segments and page tables, in real,
protected and paged mode. A run may end in any exit there is, and must leave a machine
that can be reset by restoring a snapshot. The long run does it with every array access of the
core checked (PYVIRT_CHECKED=1).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.machine.errors import MachineError

RAM = 1 << 20
REASONS = {"limit", "halt", "shutdown"}
SEEDS = int(os.environ.get("PYVIRT_FUZZ_SEEDS", "60"))


def random_descriptor(rng: random.Random) -> bytes:
    """A descriptor with plausible fields: many present, many flat, any type."""
    kind = rng.randrange(16) | (0x10 if rng.random() < 0.6 else 0) | rng.randrange(4) << 5
    kind |= 0x80 if rng.random() < 0.9 else 0
    limit = rng.choice((0xFFFF, 0xFFFFF, rng.randrange(0x100)))
    base = rng.choice((0, rng.randrange(RAM)))
    value = limit & 0xFFFF | (base & 0xFFFFFF) << 16 | kind << 40 | (limit >> 16) << 48
    value |= rng.choice((0x0, 0x4, 0x8, 0xC)) << 52 | (base >> 24) << 56
    if not kind & 0x10 and rng.random() < 0.7:  # a gate: selector and offset instead
        value = rng.randrange(0x10000) | rng.randrange(0x80) << 16 | kind << 40
    return value.to_bytes(8, "little")


def random_machine(seed: int) -> Machine:
    rng = random.Random(seed)
    m = Machine(ram=RAM, devices=())
    m.load(rng.randbytes(0x8000), at=0x10000)
    m.load(b"".join(random_descriptor(rng) for _ in range(512)), at=0x2000)
    tables = [rng.randrange(RAM) & ~0xFFF | rng.randrange(0x200) for _ in range(2048)]
    m.load(b"".join((t | (rng.random() < 0.9)).to_bytes(4, "little") for t in tables), at=0x4000)
    if seed % 4 == 0:
        m.cpu.cs = 0x1000
        m.cpu.eip = 0
        m.cpu.esp = 0x8000
    else:
        m.enter_protected_mode(eip=0x10000, esp=0x9000)
        gdt = (0x7FF).to_bytes(2, "little") + (0x2000).to_bytes(4, "little")
        idt = (0x7FF).to_bytes(2, "little") + (0x2800).to_bytes(4, "little")
        m.load(gdt, at=0x1000)
        m.load(idt, at=0x1008)
        start = bytes.fromhex("0f011500100000" + "0f011d08100000")
        if seed % 4 >= 2:  # page tables over everything, the code's page mapped to itself
            m.load(
                b"".join((0x4003 + (i & 1) * 0x1000).to_bytes(4, "little") for i in range(1024)), at=0x6000
            )
            for page in range(0x40):
                if rng.random() < 0.7 or page in (0, 1, 2, 8, 16):
                    m.load((page << 12 | 7).to_bytes(4, "little"), at=0x4000 + 4 * page)
            enable = "b800600000" + "0f22d8" + "0f20c0" + "0d00000080" + "0f22c0"
            start += bytes.fromhex(enable)
        m.load(start, at=0x10000)
    for name in ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"):
        setattr(m.cpu, name, rng.choice((rng.randrange(256), rng.randrange(RAM), rng.randrange(1 << 32))))
    return m


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_everything(seed: int) -> None:
    m = random_machine(seed)
    fresh = m.snapshot()
    before = m.digest()
    try:
        for _ in range(20):
            if m.run(max_instructions=1000).reason not in REASONS:
                pytest.fail("an exit that nobody asked for")
    except MachineError:
        pass  # a clear refusal to run a machine that has shut down
    m.restore(fresh)
    assert m.digest() == before


@pytest.mark.long
def test_checked_arrays() -> None:
    """The same with bounds checks: a violation would be reported by the interpreter."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", __file__, "-k", "random_everything", "-s"]
    environment = {**os.environ, "PYVIRT_CHECKED": "1", "PYVIRT_FUZZ_SEEDS": "400"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Exception ignored" not in done.stderr, done.stderr[-2000:]
    assert "the core left its own memory" not in done.stdout + done.stderr
