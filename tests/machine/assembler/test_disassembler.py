"""The disassembler: what it prints, where it begins again after nonsense, whose names it shows."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from pyvirt_edu.machine.assembler import assemble
from pyvirt_edu.machine.assembler.disassembler import Disassembly, disassemble


def test_a_listing() -> None:
    code = bytes.fromhex("b82a000000 6bc007 f4")
    found = disassemble(code, at=0x1000)
    assert isinstance(found, Disassembly) and isinstance(found, list)
    assert [(i.address, i.bytes.hex(), i.text) for i in found] == [
        (0x1000, "b82a000000", "mov eax, 0x2a"),
        (0x1005, "6bc007", "imul eax, eax, 7"),
        (0x1008, "f4", "hlt"),
    ]
    assert found[0].mnemonic == "mov" and found[0].operands == "eax, 0x2a"
    assert len(found[1]) == 3 and str(found[2]) == "hlt"
    assert repr(found).splitlines()[0] == "00001000  b8 2a 00 00 00        mov eax, 0x2a"
    assert found.at(0x1005).mnemonic == "imul"
    with pytest.raises(KeyError, match="0x1001"):
        found.at(0x1001)
    assert assemble(found.source, origin=0x1000) == code


@pytest.mark.parametrize(
    ("code", "bits", "text"),
    [
        ("60", 32, "pushad"), ("6660", 32, "pushaw"), ("669c", 32, "pushfw"), ("66cf", 32, "iretw"),
        ("66c3", 32, "o16 ret"), ("66cb", 16, "o32 retf"), ("67e2fd", 32, "a16 loop 0"),
        ("64d7", 32, "fs xlatb"),
        ("ff2b", 32, "jmp far [ebx]"), ("66ff1b", 32, "o16 call far [ebx]"), ("ff2f", 16, "jmp far [bx]"),
        ("ea785634120800", 32, "jmp 8:0x12345678"), ("9a34120800", 16, "call 8:0x1234"),
        ("f3a6", 32, "repe cmpsb"),
        ("d010", 32, "rcl byte ptr [eax], 1"), ("666a05", 32, "push word 5"),
        ("660f0110", 16, "o32 lgdt [bx + si]"),
        ("67a13412", 32, "mov eax, dword ptr [word 0x1234]"), ("ebfc", 16, "jmp 0xfffe"),
        ("66ebfc", 32, "o16 jmp 0xffff"),
        ("c0f005", 32, "shl al, 5"), ("660f0118", 16, "o32 lidt [bx + si]"), ("6606", 32, "o16 push es"),
    ],
)  # fmt: skip
def test_spelling(code: str, bits: int, text: str) -> None:
    """What Capstone leaves out or spells otherwise."""
    (found,) = disassemble(bytes.fromhex(code), bits=bits)
    assert found.text.startswith(text)


def test_bad_bytes_one_at_a_time() -> None:
    found = disassemble(bytes.fromhex("90 0f0a 90 0f"))
    assert [i.text for i in found][:2] == ["nop", "db 0x0f"]
    assert found[-1].text == "db 0x0f" and not found[-1].valid and found[0].valid
    assert b"".join(i.bytes for i in found) == bytes.fromhex("900f0a900f")


@pytest.mark.parametrize("bits", [16, 32])
def test_any_bytes_are_covered_exactly(bits: int) -> None:
    rng = random.Random(bits)
    for _ in range(60):
        code = rng.randbytes(40)
        at = rng.choice((0, 0x7C00, 0xFFFFFFF0))
        found = disassemble(code, at=at, bits=bits)
        assert b"".join(i.bytes for i in found) == code
        assert [i.address for i in found] == [at + sum(map(len, found[:n])) for n in range(len(found))]
        assert all(1 <= len(i) <= 15 for i in found)


def test_count() -> None:
    assert [i.text for i in disassemble(b"\x90" * 10, count=3)] == ["nop"] * 3
    assert disassemble(b"\x90", count=0) == [] and repr(disassemble(b"")) == "<no instructions>"


def test_symbols_and_programs() -> None:
    program = assemble(
        """
        org 0x2000
        bits 16
        main:  jmp dword 8:go
        bits 32
        go:    call work
               mov eax, [value]
        .stop: jmp .stop
        work:  ret
        value: dd 0x90909090
        """
    )
    found = disassemble(program)
    assert found[0].text == "jmp dword 8:0x2008" or "0x2008" in found[0].text
    assert [i.label for i in found[:5]] == ["main", "go", "", "go.stop", "work"]
    assert [i.comment for i in found[1:4]] == ["work", "value", "go.stop"]
    text = repr(found)
    assert "work:\n" in text and "; value" in text
    table = found._repr_html_()
    assert table.startswith("<table>") and "go.stop:" in table and table.count("<tr>") == 1 + len(found) + 5
    assert (
        disassemble(bytes(program)[8:], at=0x2008, symbols={"w": program.symbols["work"]})[0].comment == "w"
    )


def test_wrong_mode() -> None:
    with pytest.raises(ValueError, match="16 or 32"):
        disassemble(b"", bits=64)


def test_capstone_is_imported_when_first_needed() -> None:
    code = """
import sys, pyvirt_edu.machine.assembler.disassembler as d
assert "capstone" not in sys.modules
d.disassemble(b"")
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
