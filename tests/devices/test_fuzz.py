"""A guest that hammers ports with random values: nothing of it reaches Python as an error, and
running it twice, whole and in pieces, gives the same machine."""

from __future__ import annotations

import random

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.platform import PORTS

# A list of accesses lies at 20000h: kind, port, value; eight bytes each. Interrupts are on, and
# every vector has a handler that reads the keyboard and ends the interrupt at both chips.
HAMMER = """
    mov esi, 0x20000
    sti
next:
    mov al, [esi]
    mov dx, [esi+2]
    mov ecx, [esi+4]
    add esi, 8
    cmp al, 6
    je done
    cmp al, 1
    jb byte_in
    je byte_out
    cmp al, 3
    jb word_in
    je word_out
    cmp al, 5
    jb long_in
    mov eax, ecx
    out dx, eax
    jmp next
byte_in:
    in al, dx
    jmp next
byte_out:
    mov al, cl
    out dx, al
    jmp next
word_in:
    in ax, dx
    jmp next
word_out:
    mov ax, cx
    out dx, ax
    jmp next
long_in:
    in eax, dx
    jmp next
done:
    hlt
    jmp done
"""
HANDLER = "push eax\nin al, 0x60\nmov al, 0x20\nout 0xa0, al\nout 0x20, al\npop eax\niret"
END = 6
CHIPS = sorted({claim for claim, _, _ in PORTS})


def accesses(seed: int, chips: list[int], count: int) -> bytes:
    rng = random.Random(seed)
    ports = [port + i for claim, port, size in PORTS if claim in chips for i in range(size)]
    table = bytearray()
    for _ in range(count):
        port = rng.choice(ports) if rng.random() < 0.97 else rng.randrange(65536)
        value = rng.choice((rng.randrange(256), rng.randrange(1 << 32), 0, 0xFF, 1 << rng.randrange(32)))
        kind = rng.choice((0, 1, 0, 1, 0, 1, 2, 3, 4, 5))
        table += bytes([kind, 0]) + port.to_bytes(2, "little") + value.to_bytes(4, "little")
    return bytes(table) + bytes([END]) * 8


def hammer(seed: int, chips: list[int], count: int) -> Machine:
    m = Machine(ram="2MiB")
    m.attach_disk(random.Random(seed).randbytes(512 * 64))
    m.attach_floppy(random.Random(seed).randbytes(1440 * 1024))
    m.load(assemble(HAMMER, bits=32, origin=0x10000), at=0x10000)
    m.load(assemble(HANDLER, bits=32, origin=0x11000), at=0x11000)
    m.load(accesses(seed, chips, count), at=0x20000)
    code = bytes.fromhex("ffff0000009bcf00")  # flat, from the only entry of the GDT
    m.write(0x1000, bytes(8) + code)
    gate = (0x0008_0000 | 0x1000).to_bytes(4, "little") + (0x0001_8E00).to_bytes(4, "little")
    m.write(0x2000, gate * 256)
    m.enter_protected_mode(eip=0x10000, esp=0x9000)
    m.cpu.gdtr_base, m.cpu.gdtr_limit = 0x1000, 15
    m.cpu.idtr_base, m.cpu.idtr_limit = 0x2000, 0x7FF
    return m


def finish(m: Machine, part: int, end: int) -> None:
    """Run in parts; a reset by the guest sends it on behind the access that did it."""
    while m.instructions < end:
        out = m.run(max_instructions=min(part, end - m.instructions))
        if out.reason == "reset":
            m.enter_protected_mode(eip=0x10005, esp=0x9000)
            m.cpu.gdtr_base, m.cpu.gdtr_limit = 0x1000, 15
            m.cpu.idtr_base, m.cpu.idtr_limit = 0x2000, 0x7FF
        assert out.reason in ("limit", "exit", "reset", "halt"), out
        if out.reason == "halt":
            return


@pytest.mark.parametrize("chip", CHIPS)
def test_every_register_of_a_chip(chip: int) -> None:
    m = hammer(chip, [chip], 4000)
    m.console.type("some input " * 20)
    m.keyboard.type("keys")
    finish(m, 50_000, 60_000)
    m.back(min(3000, m.instructions - 10))
    _ = (m.console.text, m.screen.text, m.screen.svg(), m.screen._repr_html_(), repr(m.screen))


@pytest.mark.parametrize("seed", range(3))
def test_all_chips_whole_and_in_pieces(seed: int) -> None:
    whole, pieces = (hammer(100 + seed, CHIPS, 8000) for _ in range(2))
    for m in (whole, pieces):
        m.console.type("input")
        m.keyboard.type("keys")
    end = 80_000
    finish(whole, end, end)
    finish(pieces, 997, end)
    assert (whole.instructions, whole.cycles, whole.digest()) == (
        pieces.instructions,
        pieces.cycles,
        pieces.digest(),
    )
    assert whole.console.output == pieces.console.output
