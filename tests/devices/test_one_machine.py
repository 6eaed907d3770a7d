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


# --- all chips at once, and input in the middle -------------------------------------------------

# Everything that interrupts is told on port E9h; what comes in on the serial line goes out again.
BUSY = """
    mov al, 0x11
    out 0x20, al
    out 0xa0, al
    mov al, 0x08
    out 0x21, al
    mov al, 0x70
    out 0xa1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xa1, al
    mov al, 1
    out 0x21, al
    out 0xa1, al
    mov al, 0xe8            ; timer, keyboard, second chip, serial port
    out 0x21, al
    mov al, 0xfe            ; clock
    out 0xa1, al
    mov al, 0x36
    out 0x43, al
    mov al, 0x00
    out 0x40, al
    mov al, 0x08
    out 0x40, al
    mov al, 0x0a            ; the clock: 1024 a second, and once a second
    out 0x70, al
    mov al, 0x26
    out 0x71, al
    mov al, 0x0b
    out 0x70, al
    mov al, 0x52
    out 0x71, al
    mov al, 0x0c
    out 0x70, al
    in al, 0x71
    mov dx, 0x3fb
    mov al, 3
    out dx, al
    mov dx, 0x3fa
    mov al, 0xc7            ; trigger at 14: most interrupts are timeouts
    out dx, al
    mov dx, 0x3f9
    mov al, 3
    out dx, al
    sti
rest:
    hlt
    mov cx, 200
spin:
    mov dx, 0x3da           ; the beam, the counter and the second, into a sum
    in al, dx
    add bl, al
    in al, 0x40
    add bl, al
    in al, 0x61
    add bl, al
    loop spin
    cmp bh, '!'
    jne rest
    mov al, bl
    out 0xf4, al
    hlt
"""
BUSY_HANDLERS = {
    0x08: "push ax\nmov al, 't'\nout 0xe9, al",
    0x09: "push ax\nin al, 0x60\nout 0xe9, al",
    0x0C: """
        push ax
        push dx
    more:
        mov dx, 0x3fa
        in al, dx
        test al, 1
        jnz done
        mov dx, 0x3fd
        in al, dx
        test al, 1
        jz more
        mov dx, 0x3f8
        in al, dx
        mov bh, al
        out dx, al
        jmp more
    done:
        pop dx""",
    0x70: """
        push ax
        mov al, 0x0c
        out 0x70, al
        in al, 0x71
        out 0xe9, al
        mov al, 0x20
        out 0xa0, al""",
}
TYPED = {3000: "abc", 9000: "defghijklmnopqrstu", 20_000: "xyz", 40_000: "!"}  # by instruction count


def busy_guest() -> Machine:
    m = Machine(ram="1MiB")
    m.load(assemble(BUSY, bits=16, origin=0x1000), at=0x1000)
    for i, (vector, source) in enumerate(BUSY_HANDLERS.items()):
        at = 0x2000 + 0x100 * i
        m.load(assemble(source + "\nmov al, 0x20\nout 0x20, al\npop ax\niret", bits=16, origin=at), at=at)
        m.write(vector * 4, at.to_bytes(4, "little"))
    m.cpu.cs = m.cpu.ss = m.cpu.ds = 0
    m.cpu.ip, m.cpu.sp = 0x1000, 0x8000
    return m


def to(m: Machine, count: int, part: Callable[[int], int], how: str = "run") -> None:
    """Run to an instruction count, in parts of so many instructions."""
    while m.instructions < count:
        n = min(part(m.instructions), count - m.instructions)
        if how == "trace":
            out = m.trace(n).exit
        elif how == "snapshot":
            kept = m.snapshot()
            m.run(max_instructions=n // 2)
            m.restore(kept)
            out = m.run(max_instructions=n)
        elif how == "step":
            out = m.step(1)
        else:
            out = m.run(max_instructions=n)
        if out.reason != "limit":
            return


def type_in(m: Machine, count: int) -> None:
    m.console.type(TYPED[count])
    m.keyboard.type(TYPED[count][:2])  # on the keyboard as well


END = 60_000


@pytest.fixture(scope="module")
def busy() -> Machine:
    m = busy_guest()
    for count in TYPED:
        to(m, count, lambda now: END)
        type_in(m, count)
    assert m.run(max_instructions=END * 10).reason == "exit"
    assert m.console.serial == "".join(TYPED.values())
    debug = m.console.output
    assert debug.count(b"t") > 10 and b"\xc0" in debug and b"\x1e" in debug  # timer, clock, keyboard
    return m


@pytest.mark.parametrize("how", ["run", "step", "trace", "snapshot"])
def test_all_chips_however_it_is_run(how: str, busy: Machine) -> None:
    m = busy_guest()
    rng = random.Random(how)
    for count in TYPED:
        to(m, count, lambda now: rng.randrange(1, 2000), how)
        type_in(m, count)
    while m.instructions < busy.instructions:
        to(m, busy.instructions, lambda now: rng.randrange(1, 5000), how)
    assert same(m, busy)
    assert m.console.output == busy.console.output


def test_rewinding_past_what_was_typed(busy: Machine) -> None:
    """A place gone back to is as it was, and with the same keys typed again so is the end."""
    m = busy_guest()
    places = {}
    for count in TYPED:
        to(m, count, lambda now: END)
        places[count] = (m.cycles, m.digest(), m.console.output)
        type_in(m, count)
    m.run()
    for first in reversed(TYPED):
        m.back(m.instructions - first + 1)
        m.step()
        assert (m.cycles, m.digest(), m.console.output) == places[first]
        for count in TYPED:
            if count >= first:
                to(m, count, lambda now: END)
                type_in(m, count)
        m.run()
        assert same(m, busy)
