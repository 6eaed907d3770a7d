"""The console: everything out in its order, everything in at its moment, again after a rewind."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.errors import MachineError
from pyvirt_edu.machine.time_travel.snapshots import Snapshot

# Sends back what it receives, capitals for small letters; "q" ends it.
ECHO = """
    mov edx, 0x3f8
again:
    mov edx, 0x3fd
wait:
    in al, dx
    test al, 1
    jz wait
    mov edx, 0x3f8
    in al, dx
    cmp al, 'q'
    je done
    cmp al, 'a'
    jb send
    sub al, 32
send:
    out dx, al
    jmp again
done:
    mov al, '.'
    out 0xe9, al
    mov eax, 0x2a
    out 0xf4, eax
    hlt
"""
COUNT = 100_000
MANY = f"""
    mov ecx, {COUNT}
more:
    mov al, cl
    and al, 63
    add al, 32
    mov edx, 0x3f8
    out dx, al
    dec ecx
    jnz more
    hlt
"""


def guest(source: str = ECHO, history: bool = True) -> Machine:
    m = Machine(ram="1MiB", history=history)
    m.load(assemble(source, bits=32, origin=0x10000), at=0x10000)
    m.enter_protected_mode(eip=0x10000, esp=0x9000)
    return m


def test_type_and_wait_for() -> None:
    m = guest()
    m.console.type("hello ")
    out = m.console.wait_for("LLO")
    assert (out.reason, m.console.text) == ("until", "HELLO")
    assert m.console.wait_for("L", max_instructions=100_000).reason == "limit"  # seen already
    m.console.type("worldq")
    out = m.run()
    assert (out.reason, out.value, out.status) == ("exit", 42, 85)
    assert m.console.text == "HELLO WORLD."
    assert (m.console.serial, m.console.debug, m.console.output) == ("HELLO WORLD", ".", b"HELLO WORLD.")
    assert m.console.wait_for("WORLD").reason == "until"
    assert "WORLD" in repr(m.console) and "HELLO WORLD." in m.console._repr_html_()
    assert m.run().reason == "halt"


@pytest.mark.parametrize(
    "write, value", [("out 0xf4, al", 0x78), ("out 0xf4, ax", 0x5678), ("out 0xf4, eax", 0x12345678)]
)
def test_exit_port_of_every_width(write: str, value: int) -> None:
    m = guest(f"mov eax, 0x12345678\n{write}\nhlt")
    out = m.run()
    assert (out.reason, out.value, out.status) == ("exit", value, value << 1 | 1)
    assert m.run().reason == "halt"


def test_wait_for_stops_at_the_same_instruction() -> None:
    """It does not matter where slices end."""
    places = set()
    for slices in (None, 7, 100):
        m = guest(MANY, history=False)
        while m.console.wait_for("$#", max_instructions=slices).reason == "limit":
            pass
        places.add((m.instructions, m.cycles, m.digest()))
    assert len(places) == 1


def test_more_than_the_ring_holds() -> None:
    m = guest(MANY)
    m.run()
    expected = bytes((n & 63) + 32 for n in range(COUNT, 0, -1))
    assert m.console.output == expected
    m.back(500_000)
    assert expected.startswith(m.console.output) and len(m.console.output) < COUNT
    m.run()
    assert m.console.output == expected


def test_input_is_repeated_after_a_rewind() -> None:
    m = guest()
    m.run(max_instructions=1000)
    m.console.type("abc")
    m.console.wait_for("C")
    m.console.type("defq")
    m.run(max_instructions=100_000)
    end, digest = m.instructions, m.digest()
    assert m.console.text == "ABCDEF."
    for n in (1, 50, 400, end - 500):
        m.back(n)
        m.run(max_instructions=n)
        assert m.instructions == end
        assert (m.console.text, m.digest()) == ("ABCDEF.", digest) or n == end - 500
    assert m.console.text == ""  # what was typed after the place gone back to is forgotten


def test_snapshots_hold_the_console(tmp_path: Path) -> None:
    m = guest()
    m.console.type("abc")
    m.console.wait_for("B")
    m.snapshot().save(tmp_path / "here.snapshot")
    other = guest()
    other.restore(Snapshot.load(tmp_path / "here.snapshot"))
    assert other.console.text == "AB"
    assert other.console.wait_for("C").reason == "until"
    other.console.type("dq")
    other.run()
    assert (other.console.text, m.console.text) == ("ABCD.", "AB")


def test_a_sink_hears_everything_once() -> None:
    heard: list[bytes] = []
    m = guest()
    m.console.type("abc")
    m.console.wait_for("A")
    m.console.attach(heard.append)
    m.console.wait_for("C")
    assert b"".join(heard) == b"BC"
    m.back(200)  # the replay is not heard
    m.console.type("xq")
    m.run()
    assert b"".join(heard) == b"BCBCX." or b"".join(heard) == b"BCCX." or b"".join(heard) == b"BCX."
    m.console.attach(None)
    assert m.console.text == "ABCX."


def test_typing_while_the_machine_runs() -> None:
    """From a handler the keys wait until the slice ends, then they are input like any other."""
    m = guest()
    typed = []

    def type_once(machine: Machine) -> bool:
        if not typed:
            typed.append(machine.instructions)
            machine.console.type("aq")
        return False

    assert m.run(until=type_once).reason == "exit"
    assert m.console.text == "A."
    digest, end = m.digest(), m.instructions
    m.back(end // 2)
    assert m.run(max_instructions=10_000_000).reason in ("exit", "limit")
    if m.instructions == end:
        assert m.digest() == digest


def test_too_much_typing() -> None:
    m = guest()
    with pytest.raises(MachineError, match="wait for the guest already"):
        for _ in range(9):
            m.console.type("x" * 4000)
    with pytest.raises(MachineError, match="no text to wait for"):
        m.console.wait_for("")


def test_console_does_not_change_the_machine() -> None:
    """Looking at it is no input: digests agree whether anybody looked or not."""
    m, looked = guest(MANY), guest(MANY)
    m.run()
    while looked.run(max_instructions=10_007).reason == "limit":
        _ = looked.console.text
    assert m.digest() == looked.digest()


def test_reset_empties_the_console() -> None:
    m = guest()
    m.console.type("a")
    m.console.wait_for("A")
    m.reset()
    assert m.console.text == "" and m.console.waiting == 0
