"""The disassembler: what it prints, where it begins again after nonsense, whose names it shows."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from pyvirt_edu import Machine
from pyvirt_edu.machine.assembler import AssemblyError, assemble
from pyvirt_edu.machine.assembler.disassembler import Disassembly, Instruction, disassemble
from pyvirt_edu.machine.decode.uops import KINDS, U_FAULT, U_PAGE_END
from pyvirt_edu.machine.opcodes import ROWS
from pyvirt_edu.machine.state.layout import CPU_DTYPE

from ..random_code import instruction


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


AT = 0x8000
GDT, IDT = 0x1000, 0x2000

#: What an instruction may leave different: time, caches, where the x87 saw its last instruction.
_NOT_COMPARED = frozenset(
    "temp rip eflags cc_result cc_carries generation cycles deadline data_accesses fetch_accesses ledger "
    "current_block next_rip instruction_rip x87 run_deadline shadow_rip exit_length".split()
)
_COMPARED = [name for name in CPU_DTYPE.names or () if name not in _NOT_COMPARED]


class Judge:
    """Says whether two encodings do the same: as micro-ops, or, where these differ, by running both."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        rng = random.Random(bits)
        m = self.machine = Machine(ram="1MiB", devices=(), history=False)
        m.write(0, rng.randbytes(1 << 20))
        for vector in range(256):  # handlers of their own, so that exceptions differ
            m.write(vector * 4, struct.pack("<HH", 0x600 + vector, 0))
            m.write(IDT + vector * 8, struct.pack("<HHHH", 0x600 + vector, 0x38, 0x8E00, 0))
        m.write(GDT, struct.pack("<Q", 0))
        bases = [0x10000, 0, 0x20000, 0x30000, 0x40000, 0x50000, 0]  # ES CS SS DS FS GS; code, flat
        for number, base in enumerate(bases, 1):
            kind = 0x9A if number in (2, 7) else 0x92
            m.write(
                GDT + number * 8, struct.pack("<HHBBBB", 0xFFFF, base & 0xFFFF, base >> 16, kind, 0xCF, 0)
            )
        cpu = m.cpu
        if bits == 32:
            m.enter_protected_mode(eip=AT, esp=0x7000)
            cpu.gdtr_base, cpu.gdtr_limit, cpu.idtr_base, cpu.idtr_limit = GDT, 0x3F, IDT, 0x7FF
        for number, name in enumerate("es cs ss ds fs gs".split(), 1):
            if bits == 32:
                setattr(cpu, name, 0x38 if name == "cs" else number * 8)
            else:
                setattr(cpu, name, bases[number - 1] >> 4)
        for name in "eax ecx edx ebx ebp esi edi".split():
            setattr(cpu, name, rng.randrange(0x10, 0x7000))
        cpu.esp, cpu.eip = 0x7000, AT
        self.start = m.snapshot()

    def micro_ops(self, code: bytes) -> tuple[bool, list[tuple[int, ...]]]:
        """Whether the code is an instruction of this machine, and what it is decoded to."""
        machine = self.machine
        machine.write(AT, code.ljust(16, b"\x90"))
        block = machine._a.blocks[machine._units["find_block"](machine._handle, AT, AT, 1)]
        assert block["count"] == 1
        made = []
        for u in machine._a.uops[int(block["start"]) : int(block["end"])]:
            if u["kind"] == U_PAGE_END:
                continue
            words = {name: int(u[name]) for name in u.dtype.names if name not in ("rip", "next", "ordinal")}
            if KINDS[u["kind"]] in ("JUMP", "JUMP_IF", "LOOP", "CALL32"):
                words["imm"] = words["imm"] + int(u["next"]) & 0xFFFF_FFFF  # a target, not a distance
            made.append(tuple(words.values()))
        return made[0][0] != U_FAULT, made

    def effect(self, code: bytes, at: int) -> tuple[object, ...]:
        """The state after one step, from a state with little in common between its registers."""
        machine = self.machine
        machine.restore(self.start)
        machine.write(at, code)
        machine.cpu.eip = at
        exit = machine.step()
        machine.write(AT - 32, bytes(64))  # the code itself is no effect
        row = machine._a.processors[0]
        x87 = row["x87"][:19]  # registers, control, status, tags; not the pointers
        words = [np.asarray(row[name]).tobytes() for name in _COMPARED]
        where = machine.cpu.eip - (at + len(code))  # from the next instruction
        memory = zlib.crc32(machine.read(0, 1 << 20))
        return where, machine.cpu.eflags, x87.tobytes(), tuple(words), memory, exit.reason

    def same(self, first: bytes, second: bytes) -> bool:
        """Whether both do the same; a jump must lead to the same place from where each stands."""
        if first == second or self.micro_ops(first) == self.micro_ops(second):
            return True
        # A fault pushes where the instruction begins, a call where it ends.
        begin = self.effect(first, AT)[1:] == self.effect(second, AT)[1:]
        return begin or self.effect(first, AT - len(first))[1:] == self.effect(second, AT - len(second))[1:]


@pytest.fixture(scope="module", params=[16, 32])
def judge(request: pytest.FixtureRequest) -> Judge:
    return Judge(request.param)


def assembled_again(judge: Judge, found: Instruction) -> str:
    """What becomes of the text: the word for it, which has a colon if that is wrong."""
    valid, _ = judge.micro_ops(found.bytes)
    try:
        again = bytes(assemble(found.text, bits=judge.bits, origin=found.address))
    except AssemblyError as error:
        if "bytes away" in error.msg:
            return "out of reach"  # of a shorter instruction: a prefix was there twice
        return f"refused: {error.msg}" if valid else "no instruction, refused"
    if again == found.bytes:
        return "same bytes"
    if not valid:
        return f"invalid: {again.hex()}" if judge.micro_ops(again)[0] else "no instruction, nor the other"
    return "same effect" if judge.same(found.bytes, again) else f"another effect: {again.hex()}"


def check_again(judge: Judge, codes: Iterator[bytes]) -> Counter[str]:
    counts: Counter[str] = Counter()
    wrong = []
    for code in codes:
        found = disassemble(code, at=AT, bits=judge.bits, count=1)[0]
        outcome = assembled_again(judge, found)
        counts[outcome.split(":")[0]] += 1
        if ":" in outcome:
            wrong.append(f"bits {judge.bits}: {found.bytes.hex()} {found.text} -> {outcome}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:60])
    return counts


def test_every_row_listed_and_assembled_again(judge: Judge) -> None:
    """Rows without and with prefixes: the same bytes, or others that do the same."""
    rng = random.Random(3)
    plain = check_again(judge, (instruction(rng, row, judge.bits, 0) for row in ROWS for _ in range(3)))
    assert plain["same bytes"] > 1500, plain
    prefixed = check_again(judge, (instruction(rng, row, judge.bits, 0.4) for row in ROWS for _ in range(2)))
    assert prefixed["same bytes"] > 400 and prefixed["same effect"] > 200, prefixed


def test_random_bytes_listed_and_assembled_again(judge: Judge) -> None:
    rng = random.Random(4)
    counts = check_again(judge, (rng.randbytes(15) for _ in range(1500)))
    assert counts["same bytes"] > 700 and counts["same effect"] > 50, counts


@pytest.mark.parametrize("bits", [16, 32])
def test_any_source_assembles_again(bits: int) -> None:
    """What this machine does not know, and bytes that are nothing, stay the bytes that they are."""
    rng = random.Random(bits)
    unknown = 0
    for _ in range(60):
        found = disassemble(rng.randbytes(30) + b"\x0f\x58\xc1" + bytes(15), at=AT, bits=bits)
        again = disassemble(assemble(found.source, bits=bits, origin=AT))
        assert [i.mnemonic for i in again if i.mnemonic != "nop"] == [
            i.mnemonic for i in found if i.mnemonic != "nop"
        ]
        unknown += found.source.count("; addps")
    assert unknown > 20


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
