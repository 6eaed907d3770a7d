"""The assembler against NASM, LLVM and itself.

The instructions compared are generated from the opcode table: every row, at both operand sizes,
in both modes, with registers, with memory in several forms, and with immediates at the edges.
"""

from __future__ import annotations

import json
import platform
import pickle
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyvirt_edu.machine.assembler import AssemblyError, Program, assemble
from pyvirt_edu.machine.disassembler import disassemble
from pyvirt_edu.machine.opcodes import ROWS, Row

GENERAL = {
    8: "al cl dl bl ah ch dh bh".split(),
    16: "ax cx dx bx sp bp si di".split(),
    32: "eax ecx edx ebx esp ebp esi edi".split(),
}
SIZE_WORD = {8: "byte", 16: "word", 32: "dword"}

#: Rows the assembler never writes, since an earlier row means the same.
SYNONYMS = {"82", "ESC", "undocumented"}

MEMORY_32 = [
    "[eax]", "[ebp]", "[esp]", "[esi+4]", "[ebx-128]", "[ebx+128]", "[esp+8]", "[eax+ecx*4]", "[edx*8+0x12345678]",
    "[ebp+edi*2-1]", "[eax*5]", "[0x12345678]", "[fs:ecx]", "[dword ebx+1]", "[byte ecx+0]", "[ecx+esp]", "[es:0x44]",
]  # fmt: skip
MEMORY_16 = [
    "[bx+si]", "[bx+di+3]", "[bp+si-4]", "[bp+di+0x1234]", "[si]", "[di]", "[bp]", "[bx]", "[0x1234]", "[ss:bx]",
    "[bp-128]", "[si+bp+127]", "[word bx+2]",
]  # fmt: skip


def is_synonym(row: Row) -> bool:
    """Whether another row of the table has the same meaning and comes first (or is the documented one)."""
    if row.operation == "ESC":
        return True
    if row.operation == "NOP" and row.two_byte:
        return row is not max((r for r in ROWS if r.operation == "NOP"), key=lambda r: r.number)
    return any(
        other.mnemonic == row.mnemonic and other.operands == row.operands and other.number < row.number
        and other.reg is not None and row.reg is not None
        for other in ROWS
    )  # fmt: skip


def places(row: Row, place: str, size: int, bits: int, rng: random.Random) -> list[str]:
    """Texts for one operand place."""
    memory = rng.sample(MEMORY_32, 4) + rng.sample(MEMORY_16, 2)
    if bits == 16:
        memory = rng.sample(MEMORY_32, 2) + rng.sample(MEMORY_16, 4)
    absolute = [text for text in memory if re.fullmatch(r"\[0x\w+\]", text)]
    memory = [text for text in memory if bits == 32 or text != "[0x12345678]"]
    del absolute
    where, wide = place[0], place[-1]
    width = {"b": 8, "w": 16, "d": 32}.get(wide, size)
    if place == "rAX":
        return [GENERAL[size][0]]
    if place in ("AL", "CL", "DX", "1", "ES", "CS", "SS", "DS", "FS", "GS"):
        return [place.lower()]
    if where in "XY":
        return []
    if where == "E":
        always_word = "Sw" in row.operands or row.operation in ("SLDT", "STR", "SMSW")
        word = "word" if always_word else SIZE_WORD[width]
        registers = [] if row.mod == "m" else rng.sample(GENERAL[width], 3)
        return registers + [f"{word} {text}" for text in memory]
    if where == "G":
        return rng.sample(GENERAL[width], 3)
    if where == "Z":
        return [GENERAL[width][row.opcode & 7]]
    if where == "R":
        return rng.sample(GENERAL[32], 3)
    if where == "M":
        if row.operation in ("CALLF", "JMPF"):
            return [f"far {SIZE_WORD[size]} {text}" for text in memory]
        return [("qword " if place == "Mq" else "") + text for text in memory]
    if where == "O":
        return ["[0x12345678]", "[fs:0x1234]"] if bits == 32 else ["[0x1234]", "[dword 0x12345678]"]
    if where == "S":
        # MOV to CS is no instruction; ES and DS are.
        return rng.sample(["es", "ss", "ds", "fs", "gs"], 3)
    if where == "C":
        return ["cr0", "cr2", "cr3", "cr4"]
    if where == "D":
        return ["dr0", "dr3", "dr6", "dr7"]
    if where == "A":
        return [f"{SIZE_WORD[size]} 8:0x1234", f"{SIZE_WORD[size]} 0xffff:0xfffe"]
    if where == "J":
        return [f"short {t}" for t in ("$", "$+2", "$-100")] if wide == "b" else [f"near {t}" for t in ("$", "$+500")]
    assert where == "I", place
    edges = {8: ["0", "1", "0x7f", "0x80", "255", "-1"], 16: ["0", "127", "128", "0x1234", "0xffff", "-128"]}
    if wide == "s":
        return ["-128", "127", "byte 5"]
    return rng.sample(edges.get(width, ["0", "127", "128", "0x80000000", "0xffffffff", "-129", "0x12345678"]), 3)


def name(row: Row, size: int) -> str:
    """The mnemonic as NASM spells it, at an operand size."""
    d = "d" if size == 32 else "w"
    if row.operation in ("MOVS", "CMPS", "STOS", "LODS", "SCAS", "INS", "OUTS"):
        byte = any(place in ("Xb", "Yb") for place in row.operands)
        return row.mnemonic.lower() + ("b" if byte else d)
    if row.operation in ("PUSHA", "POPA", "PUSHF", "POPF", "IRET"):
        return row.mnemonic.lower() + d
    special = {"CALLF": "call", "JMPF": "jmp", "XLAT": "xlatb", "CBW": "cwde" if size == 32 else "cbw"}
    special |= {"CWD": "cdq" if size == 32 else "cwd", "JCXZ": "jecxz" if size == 32 else "jcxz"}
    return special.get(row.operation, row.mnemonic.lower())


def texts(row: Row, bits: int, rng: random.Random) -> list[str]:
    """Instructions that use one row."""
    found: list[str] = []
    sized = row.operation in ("PUSHA", "POPA", "PUSHF", "POPF", "IRET", "CBW", "CWD", "JCXZ", "MOVS") or any(
        place == "rAX" or place[-1] in "vzspa" for place in row.operands
    )
    for size in (16, 32) if sized else (bits,):
        operands = row.operands
        if row.operation in ("MOVS", "CMPS", "STOS", "LODS", "SCAS", "INS", "OUTS"):
            found += [name(row, size), f"rep {name(row, size)}"]
            continue
        columns = [places(row, place, size, bits, rng) for place in operands]
        if row.operation == "PUSH" and row.operands[0] in ("Iz", "Is"):
            columns = [[f"{SIZE_WORD[size]} {text.replace('byte ', '')}" for text in columns[0]]]
        if row.operation in ("CALL", "JMP") and row.operands == ("Jz",):
            columns = [[f"{SIZE_WORD[size]} near $+{rng.randrange(300)}"]]
        rounds = max([len(column) for column in columns], default=1)
        for i in range(rounds):
            chosen = [column[i] if len(column) == rounds else rng.choice(column) for column in columns]
            found.append(f"{name(row, size)} {', '.join(chosen)}".rstrip())
    return list(dict.fromkeys(found))


def all_texts(seed: int = 1) -> list[tuple[int, str, Row]]:
    rng = random.Random(seed)
    return [
        (bits, text, row)
        for row in ROWS
        if not is_synonym(row)
        for bits in (16, 32)
        for text in texts(row, bits, rng)
    ]


def source_of(cases: list[tuple[int, str, Row]]) -> str:
    """One source for all cases; a case's line number is 2 * index + 2."""
    return "\n".join(f"bits {bits}\n{text}" for bits, text, _ in cases)


def ours_by_line(cases: list[tuple[int, str, Row]]) -> list[bytes]:
    listing = assemble(source_of(cases)).listing
    return [row.code for row in listing[1::2]]


def nasm(source: str, folder: Path) -> list[bytes]:
    """Bytes of each source line, from NASM's listing."""
    if shutil.which("nasm") is None:
        pytest.skip("nasm is not installed: the comparison with it is left out")
    (folder / "all.asm").write_text(source)
    command = ["nasm", "-w-all", "-f", "bin", "-o", "all.bin", "-l", "all.lst", "all.asm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[:3000]
    lines = [b""] * len(source.splitlines())
    for row in (folder / "all.lst").read_text().splitlines():
        found = re.match(r"\s*(\d+) [0-9A-F]{8} ([0-9A-F()\[\]]+)-?(?:\s|$)", row)
        if found:
            lines[int(found[1]) - 1] += bytes.fromhex(re.sub(r"[()\[\]]", "", found[2]))
    assert b"".join(lines) == (folder / "all.bin").read_bytes(), "the listing was misread"
    return lines


def same_meaning(a: bytes, b: bytes, bits: int) -> bool:
    """Equal bytes, or equal text once disassembled (the operands of xchg and test have no order)."""
    if a == b:
        return True
    first, second = disassemble(a, bits=bits), disassemble(b, bits=bits)
    if len(first) != 1 or len(second) != 1 or len(a) != len(b):
        return False
    if first[0].mnemonic in ("xchg", "test"):
        return sorted(first[0].operands.split(", ")) == sorted(second[0].operands.split(", "))
    return first[0].text == second[0].text


def test_every_row_is_written() -> None:
    """Each row of the table is reached by some instruction text."""
    cases = all_texts()
    reached = set()
    for (_, _, _), code in zip(cases, ours_by_line(cases)):
        body = code
        while body[0] in (0x66, 0x67, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0xF3):
            body = body[1:]
        two = body[0] == 0x0F
        at = 1 if two else 0
        reg = body[at + 1] >> 3 & 7 if len(body) > at + 1 else None
        reached |= {(two, body[at], None), (two, body[at], reg)}
    missing = [row for row in ROWS if not is_synonym(row) and (row.two_byte, row.opcode, row.reg) not in reached]
    assert not missing, [str(row) for row in missing]
    synonyms = [str(row) for row in ROWS if is_synonym(row)]
    assert len(synonyms) == 8 + 2 + 6 + 7 + 8, synonyms  # 82, F6/F7 1, shifts 6, 0F 18..1E, ESC


def test_agrees_with_nasm(tmp_path: Path) -> None:
    cases = all_texts()
    assert len(cases) > 4000
    theirs = nasm(source_of(cases), tmp_path)[1::2]
    wrong = [
        f"bits {bits}: {text}: nasm {b.hex()} ours {a.hex()}"
        for (bits, text, _), a, b in zip(cases, ours_by_line(cases), theirs)
        if not same_meaning(a, b, bits)
    ]
    assert not wrong, "\n".join(wrong[:40])
