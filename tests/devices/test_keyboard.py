"""The 8042, a PS/2 keyboard and a PS/2 mouse: against the IBM PS/2 hardware interface technical
reference, and against QEMU."""

from __future__ import annotations

import random

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.keys import CODES, SHIFTED
from pyvirt_edu.machine.errors import MachineError

from .lab import Ports, Step, compare

DATA, COMMAND = 0x60, 0x64
FULL, SYSTEM, WAS_COMMAND, FROM_MOUSE = 1, 4, 8, 0x20
QUIET: list[Step] = [("out", COMMAND, 0xAD), ("out", COMMAND, 0xA7)] + [("drop", DATA)] * 4


class Keys(Ports):
    def ask(self, command: int, *data: int) -> int:
        self.out(COMMAND, command)
        self.out(DATA, *data)
        assert self.inb(COMMAND) & FULL
        return self.inb(DATA)

    def tell(self, command: int, *data: int) -> None:
        self.out(COMMAND, command)
        self.out(DATA, *data)

    def everything(self) -> list[int]:
        """What comes out until the buffer stays empty."""
        result = []
        while self.inb(COMMAND) & FULL:
            result.append(self.inb(DATA))
        return result

    def typed(self) -> list[int]:
        """The same for keys, which take their time."""
        result = []
        for _ in range(40):
            self.wait(0.001)
            result += self.everything()
        return result

    def mouse(self, *data: int) -> list[int]:
        for value in data:
            self.tell(0xD4, value)
        return self.everything()


@pytest.fixture
def p() -> Keys:
    return Keys()


def test_self_tests(p: Keys) -> None:
    assert p.ask(0xAA) == 0x55
    assert p.inb(COMMAND) & SYSTEM
    assert (p.ask(0xAB), p.ask(0xA9), p.ask(0xC0), p.ask(0xA4)) == (0, 0, 0x80, 0xF1)


def test_status_tells_command_from_data(p: Keys) -> None:
    p.out(COMMAND, 0xAE)
    assert p.inb(COMMAND) & WAS_COMMAND
    p.out(DATA, 0xEE)
    assert p.inb(COMMAND) & WAS_COMMAND == 0


def test_command_byte_and_ram(p: Keys) -> None:
    assert p.ask(0x20) == 0x65  # as a BIOS leaves it
    p.tell(0x60, 0x03)
    assert p.ask(0x20) == 0x03
    p.out(COMMAND, 0xA7, 0xAD)
    assert p.ask(0x20) == 0x33
    p.out(COMMAND, 0xA8, 0xAE)
    assert p.ask(0x20) == 0x03
    p.tell(0x75, 0x5A)
    assert p.ask(0x35) == 0x5A


@pytest.mark.parametrize("how", ["D1", "DD", "92"])
def test_a20(p: Keys, how: str) -> None:
    def gate(on: int) -> None:
        if how == "D1":
            p.tell(0xD1, 0xCD | on << 1)
        elif how == "DD":
            p.out(COMMAND, 0xDD | on << 1)
        else:
            p.out(0x92, on << 1)

    for on in (0, 1, 0, 1):
        gate(on)
        assert (p.m.a20, p.inb(0x92) >> 1 & 1, p.ask(0xD0) >> 1 & 1) == (bool(on), on, on)


def test_a20_closes_for_the_next_instruction() -> None:
    """The instruction behind the OUT reads through the gate as it is then."""
    m = Machine(ram="2MiB")
    m.write(0x1234, b"low")
    m.write(0x101234, b"top")
    m.load(
        assemble("mov al, [0x101234]\nmov ah, al\nmov al, 0\nout 0x92, al\nmov al, [0x101234]\nhlt", bits=32),
        at=0x10000,
    )
    m.enter_protected_mode(eip=0x10000, esp=0x9000)
    m.run()
    assert m.cpu.ax.to_bytes(2, "little") == b"lt"


def test_interrupts(p: Keys) -> None:
    """IRQ 1 while a byte of the keyboard waits, IRQ 12 for the mouse, as the command byte says."""
    p.out(0x20, 0x11)
    p.out(0x21, 8, 4, 1, 0xF9)
    p.out(0xA0, 0x11)
    p.out(0xA1, 0x70, 2, 1, 0xEF)
    p.out(DATA, 0xEE)
    assert p.intr and p.acknowledge() == 9
    p.out(0x20, 0x20)
    assert p.inb(DATA) == 0xEE
    p.tell(0x60, 0x46)  # the mouse's only
    p.out(DATA, 0xEE)
    assert p.intr == 0
    p.inb(DATA)
    p.tell(0xD4, 0xF4)
    assert p.inb(COMMAND) & FROM_MOUSE
    assert p.intr and p.acknowledge() == 0x74


def test_each_byte_raises_the_line_again(p: Keys) -> None:
    p.out(0x20, 0x11)
    p.out(0x21, 8, 4, 3, 0xFD)  # automatic end of interrupt
    p.out(DATA, 0xF2)
    for byte in (0xFA, 0xAB, 0x41):
        assert p.intr and p.acknowledge() == 9
        assert p.intr == 0
        assert p.inb(DATA) == byte
    assert p.intr == 0


def test_keyboard_commands(p: Keys) -> None:
    """Each gets an ACK, and what else it asks for."""
    p.tell(0x60, 0x05)  # no translation
    for sent, replies in (
        ([0xEE], [0xEE]),
        ([0xF2], [0xFA, 0xAB, 0x83]),
        ([0xED, 0x07], [0xFA, 0xFA]),
        ([0xF3, 0x2B], [0xFA, 0xFA]),
        ([0xF0, 0x00], [0xFA, 0xFA, 0x02]),
        ([0xF0, 0x01], [0xFA, 0xFA]),
        ([0xF0, 0x00], [0xFA, 0xFA, 0x01]),
        ([0xF6], [0xFA]),
        ([0xF0, 0x00], [0xFA, 0xFA, 0x02]),
        ([0xFE], [0x02]),
        ([0xFF], [0xFA, 0xAA]),
        ([0x00], [0xFE]),
        ([0xED, 0xF4], [0xFA, 0xFA]),  # a command instead of the parameter is obeyed
    ):
        got = []
        for byte in sent:
            p.out(DATA, byte)
            got += p.everything()
        assert got == replies, f"{sent}"


def test_keys_translated_or_not(p: Keys) -> None:
    p.m.keyboard.type("a")
    assert p.typed() == [0x1E, 0x9E]
    p.m.keyboard.press("up")
    assert p.typed() == [0xE0, 0x48, 0xE0, 0xC8]
    p.m.keyboard.hold("ctrl", "right")  # and down they stay
    assert p.typed() == [0x1D, 0xE0, 0x4D]
    p.m.keyboard.release("right", "ctrl")
    assert p.typed() == [0xE0, 0xCD, 0x9D]
    p.m.keyboard.type("Q!")
    assert p.typed() == [0x2A, 0x10, 0x90, 0xAA, 0x2A, 0x02, 0x82, 0xAA]
    p.tell(0x60, 0x05)
    p.m.keyboard.type("a")
    assert p.typed() == [0x1C, 0xF0, 0x1C]
    p.out(DATA, 0xF0)
    p.out(DATA, 1)
    p.everything()
    p.m.keyboard.type("a")
    assert p.typed() == [0x1E, 0x9E]


def test_disabled_keyboard(p: Keys) -> None:
    """The controller keeps a byte back (AD), a keyboard told to stop (F5) drops it."""
    p.out(COMMAND, 0xAD)
    p.m.keyboard.type("a")
    assert p.typed() == []
    p.out(COMMAND, 0xAE)
    assert p.typed() == [0x1E, 0x9E]
    p.out(DATA, 0xF5)
    p.everything()
    p.m.keyboard.type("a")
    assert p.typed() == []
    p.out(DATA, 0xF4)
    p.everything()
    p.m.keyboard.type("b")
    assert p.typed() == [0x30, 0xB0]


def test_mouse(p: Keys) -> None:
    assert p.mouse(0xFF) == [0xFA, 0xAA, 0x00]
    assert p.mouse(0xF2) == [0xFA, 0x00]
    assert p.mouse(0xF3, 60)[-1:] == [0xFA]
    assert p.mouse(0xE8, 3)[-1:] == [0xFA]
    assert p.mouse(0xF4) == [0xFA]
    assert p.mouse(0xE7) == [0xFA]
    assert p.mouse(0xE9) == [0xFA, 0x30, 3, 60]
    assert p.mouse(0xEB) == [0xFA, 8, 0, 0]


def test_written_to_the_output_buffer(p: Keys) -> None:
    p.tell(0xD2, 0x42)
    assert (p.inb(COMMAND) & (FULL | FROM_MOUSE), p.inb(DATA)) == (FULL, 0x42)
    p.tell(0xD3, 0x43)
    assert (p.inb(COMMAND) & (FULL | FROM_MOUSE), p.inb(DATA)) == (FULL | FROM_MOUSE, 0x43)


@pytest.mark.parametrize("how", ["pulse", "output port", "port 92", "port CF9"])
def test_reset(how: str) -> None:
    """The run ends; the processor stands at the reset vector, the counts go on, RAM stays."""
    m = Machine(ram="1MiB")
    p = Keys(m)
    p.out(0x21, 0x55)
    m.write(0x500, b"kept")
    port, *values = {
        "pulse": (COMMAND, 0xFE),
        "output port": (DATA, 0x02),
        "port 92": (0x92, 0x00, 0x01),
        "port CF9": (0xCF9, 0x02, 0x06),
    }[how]
    if how == "output port":
        p.out(COMMAND, 0xD1)
    m.load(assemble("out dx, al\nmov al, ah\nout dx, al\nhlt", bits=16), at=0x2000)
    before = m.instructions
    m.cpu.edx, m.cpu.eax, m.cpu.eip = port, values[0] | values[-1] << 8, 0x2000
    out = m.run()
    assert out.reason == "reset"
    assert "reset" in out.meaning
    assert (m.cpu.cs, m.cpu.eip, m.read(0x500, 4)) == (0xF000, 0xFFF0, b"kept")
    assert m.instructions > before
    assert Keys(m).inb(0x21) == 0xFF


def test_rewind_across_a_reset() -> None:
    m = Machine(ram="1MiB")
    m.load(assemble("inc bx\nmov al, 0xfe\nout 0x64, al", bits=16), at=0x2000)
    seen = []
    for turn in range(3):
        m.cpu.cs = 0
        m.cpu.ip, m.cpu.bx = 0x2000, turn
        assert m.run().reason == "reset"
        seen.append((m.instructions, m.digest()))
    m.back(seen[2][0] - seen[0][0])
    assert m.cpu.bx == 1  # what was put in before the second run is there again
    assert m.run().reason == "reset"
    assert (m.instructions, m.digest()) == seen[1]


def test_text_that_no_key_makes() -> None:
    m = Machine(ram="1MiB", history=False)
    with pytest.raises(MachineError, match="no key for 'é'"):
        m.keyboard.type("é")
    with pytest.raises(MachineError, match="no key 'any'"):
        m.keyboard.press("any")
    with pytest.raises(MachineError, match="no key 'any'"):
        m.keyboard.hold("a", "any")
    assert m.keyboard.waiting == 0
    with pytest.raises(MachineError, match="room for"):
        for _ in range(5000):
            m.keyboard.type("a")


def test_every_printable_character_has_a_key() -> None:
    typed = {*CODES, *SHIFTED, *(c.upper() for c in CODES), " "}
    assert {chr(c) for c in range(32, 127)} <= typed


def test_controller_as_on_qemu() -> None:
    rng = random.Random(8042)
    steps: list[Step] = [*QUIET, ("out", COMMAND, 0x60), ("out", DATA, 0x30)]
    for _ in range(150):
        command = rng.choice((0x20, 0x60, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAD, 0xAE, 0xC0))
        steps.append(("out", COMMAND, command))
        if command == 0x60:
            steps.append(("out", DATA, rng.choice((0x30, 0x70, 0x20, 0x10, 0x74, 0x00))))
        steps.append(("in", COMMAND))
        if command in (0x20, 0xA9, 0xAA, 0xAB, 0xC0):
            steps += [("in", DATA), ("in", COMMAND)]
    # the system flag is kept apart in QEMU, and bit 3 of the status is always set there
    compare(steps, masks={DATA: 0xFB, COMMAND: 0xF3})


def test_keyboard_and_mouse_as_on_qemu() -> None:
    steps: list[Step] = [*QUIET, ("out", COMMAND, 0xAE), ("out", COMMAND, 0xA8)]
    steps += [("out", COMMAND, 0x60), ("out", DATA, 0x40)]
    for sent, replies in (
        ([0xFF], 2), ([0xEE], 1), ([0xF2], 3), ([0xF5], 1), ([0xF4], 1), ([0xF6], 1),
    ):  # fmt: skip
        for byte in sent:
            steps += [("out", DATA, byte)]
        steps += [("in", COMMAND), ("in", DATA)] * replies + [("in", COMMAND)]
    for byte, parameter in ((0xED, 2), (0xF3, 0x20)):
        steps += [("out", DATA, byte), ("in", DATA), ("out", DATA, parameter), ("in", DATA), ("in", COMMAND)]
    for byte, replies in ((0xFF, 3), (0xF2, 2), (0xF4, 1), (0xF5, 1), (0xE7, 1), (0xE9, 4), (0xE6, 1)):
        steps += [("out", COMMAND, 0xD4), ("out", DATA, byte)]
        steps += [("in", COMMAND), ("in", DATA)] * replies + [("in", COMMAND)]
    compare(steps, masks={COMMAND: 0xF3})
