"""One machine, however it is run.

Random programs with faults, stores into their own code, REP and device reads, and a guest that
goes through every mode, must give the same hash of the whole state at every checkpoint whether
they are run whole, in single steps, in random slices, traced, restored from snapshots, or with all
caches of the core dropped at random moments.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.memory.hostaccess_ops import HOST_RESET_DERIVED

from .. import every_mode
from ..random_code import instruction, rows

CODE, STEPS, EVERY = 0x10000, 3000, 500
RAM = 0x80000

# Every exception skips one byte of the code that raised it, so a random program goes on
# for ever; the vectors with an error code drop it first.
HANDLERS = assemble(
    """
    plain:  inc dword [esp]
            and dword [esp], 0x10fff
            or dword [esp], 0x10000
            iretd
    coded:  add esp, 4
            jmp plain
    """,
    origin=0x9000,
)

LEAVES = frozenset(
    "HLT LGDT LIDT LLDT LTR MOV_SREG SYSENTER SYSEXIT CALLF JMPF RETF IRET LDS LES LSS LFS LGS".split()
)


def program(seed: int, machine: Machine | None = None) -> Machine:
    """A machine about to run 4 KiB of random instructions, with data right behind them."""
    rng = random.Random(seed)
    m = machine or Machine(ram=RAM, devices=())
    code = b""
    chosen = [
        row
        for row in rows(LEAVES)
        if not any(o in ("ES", "CS", "SS", "DS", "FS", "GS", "Sw", "Cd", "Dd") for o in row.operands)
    ]
    while len(code) < 0x1000:
        code += instruction(rng, rng.choice(chosen), 32, prefixes=0.1)
    m.load(code, at=CODE)
    gates = b""
    for vector in range(256):
        handler = HANDLERS.symbols["coded" if vector in (8, 10, 11, 12, 13, 14, 17) else "plain"]
        gates += ((handler & 0xFFFF) | 8 << 16).to_bytes(4, "little") + (0x8E00 << 0).to_bytes(4, "little")
    m.load(gates, at=0x8000)
    m.load(HANDLERS, at=0x9000)
    gdt = bytes(8) + bytes.fromhex("ffff0000009bcf00") + bytes.fromhex("ffff00000093cf00")
    m.load(gdt, at=0x7000)
    start = assemble("lgdt [0x7100]\nlidt [0x7108]\njmp 8:0x10000", origin=0x6000)
    m.load((0x17).to_bytes(2, "little") + (0x7000).to_bytes(4, "little"), at=0x7100)
    m.load((0x7FF).to_bytes(2, "little") + (0x8000).to_bytes(4, "little"), at=0x7108)
    m.load(start, at=0x6000)
    m.enter_protected_mode(eip=0x6000, esp=0x40000)
    for name in ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"):
        setattr(m.cpu, name, rng.choice((rng.randrange(64), CODE + rng.randrange(0x2000))))
    return m


def whole(m: Machine, rng: random.Random, target: int) -> None:
    m.run(max_instructions=target - m.instructions)


def stepped(m: Machine, rng: random.Random, target: int) -> None:
    while m.instructions < target and m.step().reason == "limit":
        pass


def sliced(m: Machine, rng: random.Random, target: int) -> None:
    while m.instructions < target:
        if m.run(max_instructions=min(rng.randrange(1, 60), target - m.instructions)).reason != "limit":
            break


def traced(m: Machine, rng: random.Random, target: int) -> None:
    m.trace(target - m.instructions)


def restored(m: Machine, rng: random.Random, target: int) -> None:
    while m.instructions < target:
        snapshot = m.snapshot()
        m.run(max_instructions=rng.randrange(1, 200))
        m.restore(snapshot)
        if m.run(max_instructions=min(rng.randrange(1, 200), target - m.instructions)).reason != "limit":
            break


def flushed(m: Machine, rng: random.Random, target: int) -> None:
    while m.instructions < target:
        m._host(m._handle, HOST_RESET_DERIVED, 0, 0)
        if m.run(max_instructions=min(rng.randrange(1, 90), target - m.instructions)).reason != "limit":
            break


def hashes(m: Machine, seed: int, how: Callable[[Machine, random.Random, int], None]) -> Iterator[str]:
    rng = random.Random(seed)
    for target in range(EVERY, STEPS + 1, EVERY):
        how(m, rng, target)
        yield m.digest()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("how", [stepped, sliced, traced, restored, flushed])
def test_same_state_however_it_is_run(seed: int, how: Callable[[Machine, random.Random, int], None]) -> None:
    assert list(hashes(program(seed), seed, how)) == list(hashes(program(seed), seed, whole))


@pytest.mark.parametrize("how", [stepped, sliced, traced, restored, flushed])
def test_same_state_in_every_mode(how: Callable[[Machine, random.Random, int], None]) -> None:
    expected = list(hashes(every_mode.guest(1), 1, whole))
    assert len(set(expected)) == len(expected)
    for seed in range(3):
        assert list(hashes(every_mode.guest(1), seed, how)) == expected


def test_the_programs_do_something() -> None:
    """Enough of the random programs live long, change memory and take faults."""
    lived = 0
    for seed in range(8):
        m = program(seed)
        before = m.read(CODE, 0x2000)
        m.run(max_instructions=STEPS)
        lived += m.instructions == STEPS and m.read(CODE, 0x2000) != before
    assert lived >= 4
