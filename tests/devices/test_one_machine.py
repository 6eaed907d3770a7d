"""With devices and interrupts too, it does not matter how a machine is run (design, section 9.1)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.errors import MachineError

# The timer interrupts a guest that first waits with HLT, then spins.
GUEST = """
    mov al, 0x11
    out 0x20, al            ; ICW1 to ICW4: vectors from 8 on
    mov al, 0x08
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xfe            ; the timer only
    out 0x21, al
    mov al, 0x34            ; counter 0, mode 2
    out 0x43, al
    mov al, 0x00
    out 0x40, al
    mov al, 0x03
    out 0x40, al
    sti
wait:
    hlt
    cmp bx, 5
    jb wait
spin:
    inc ecx
    in al, 0x40             ; the count at this moment
    in al, 0x40
    add dl, al
    cmp bx, 9
    jne spin
    cli
    hlt
"""
HANDLER = """
    inc bx
    push ax
    mov al, 0x20
    out 0x20, al
    pop ax
    iret
"""


def guest() -> Machine:
    m = Machine(ram="1MiB")
    m.load(assemble(GUEST, bits=16, origin=0x1000), at=0x1000)
    m.load(assemble(HANDLER, bits=16, origin=0x2000), at=0x2000)
    m.write(8 * 4, (0x2000).to_bytes(4, "little"))
    m.cpu.cs = m.cpu.ss = m.cpu.ds = 0
    m.cpu.ip, m.cpu.sp = 0x1000, 0x8000
    return m


@pytest.fixture(scope="module")
def whole() -> Machine:
    m = guest()
    assert m.run().reason == "halt"
    assert m.cpu.bx == 9
    return m


def same(m: Machine, whole: Machine) -> bool:
    return (m.instructions, m.cycles, m.digest()) == (whole.instructions, whole.cycles, whole.digest())


def by_steps(m: Machine) -> None:
    while m.step().reason == "limit":
        pass


def by_slices(m: Machine) -> None:
    rng = random.Random(3)
    while m.run(max_instructions=rng.randrange(1, 400)).reason == "limit":
        pass


def by_cycles(m: Machine) -> None:
    rng = random.Random(4)
    while m.run(max_cycles=rng.randrange(1, 3000)).reason == "deadline":
        pass


def by_trace(m: Machine) -> None:
    while m.trace(997).exit.reason == "limit":
        pass


def by_snapshots(m: Machine) -> None:
    rng = random.Random(5)
    while True:
        kept = m.snapshot()
        m.run(max_instructions=rng.randrange(1, 300))
        m.restore(kept)
        if m.run(max_instructions=rng.randrange(1, 900)).reason == "halt":
            return


def by_rewinding(m: Machine) -> None:
    m.run()
    for n in (1, 100, 4000):
        m.back(n)
        m.run()


@pytest.mark.parametrize("way", [by_steps, by_slices, by_cycles, by_trace, by_snapshots, by_rewinding])
def test_however_it_is_run(way: Callable[[Machine], None], whole: Machine) -> None:
    m = guest()
    way(m)
    assert same(m, whole)


def test_input_while_halted_is_replayed() -> None:
    """Time passes for a halted guest without instructions; what enters then keeps its time."""
    m = guest()
    m.run(max_cycles=50_000)
    start = m.instructions
    assert m.run(max_cycles=1000).reason == "deadline"
    assert m.instructions == start  # halted all the time
    m.write(0x500, b"typed")
    m.step(3)
    seen, now = m.digest(), m.instructions
    m.step(40)
    m.back(m.instructions - now)
    assert m.read(0x500, 5) == b"typed"
    assert m.digest() == seen


def test_python_uses_ports_as_software_does() -> None:
    """What a hypervisor in Python does to devices costs time and is rewound like the rest."""
    m = guest()
    m.run(max_instructions=12)
    before = m.cycles
    m.port_out(0x21, 0xFB)
    assert m.port_in(0x21) == 0xFB
    assert m.port_in(0x20, 2) >> 8 == 0xFB
    assert m.cycles == before + 3 * m.costs.port
    m.charge(1000)
    seen = m.digest()
    m.step(5)
    m.back(5)
    assert m.digest() == seen
    with pytest.raises(ValueError, match="1, 2 or 4 bytes"):
        m.port_in(0x21, 3)
    m.on_port(0x300, lambda port, size: 7)
    with pytest.raises(MachineError, match="claimed in Python"):
        m.port_in(0x300)
