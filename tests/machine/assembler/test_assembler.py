"""The assembler against NASM, LLVM and itself.

The instructions compared are generated from the opcode table: every row, at both operand sizes,
in both modes, with registers, with memory in several forms, and with immediates at the edges.
"""

from __future__ import annotations

import pickle
import platform
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from pyvirt_edu.machine.assembler import AssemblyError, Program, assemble
from pyvirt_edu.machine.assembler.disassembler import disassemble
from pyvirt_edu.machine.assembler.encoding import MEANINGS
from pyvirt_edu.machine.opcodes import ROWS, Row

GENERAL = {
    8: "al cl dl bl ah ch dh bh".split(),
    16: "ax cx dx bx sp bp si di".split(),
    32: "eax ecx edx ebx esp ebp esi edi".split(),
}
SIZE_WORD = {8: "byte", 16: "word", 32: "dword"}

MEMORY_32 = [
    "[eax]", "[ebp]", "[esp]", "[esi+4]", "[ebx-128]", "[ebx+128]", "[esp+8]", "[eax+ecx*4]",
    "[edx*8+0x12345678]",
    "[ebp+edi*2-1]", "[eax*5]", "[0x12345678]", "[fs:ecx]", "[dword ebx+1]", "[byte ecx+0]",
    "[ecx+esp]", "[es:0x44]",
]  # fmt: skip
MEMORY_16 = [
    "[bx+si]", "[bx+di+3]", "[bp+si-4]", "[bp+di+0x1234]", "[si]", "[di]", "[bp]", "[bx]", "[0x1234]",
    "[ss:bx]", "[bp-128]", "[si+bp+127]", "[word bx+2]",
]  # fmt: skip


def is_synonym(row: Row) -> bool:
    """Whether another row of the table has the same meaning and comes first (or is the documented one)."""
    if row.operation == "NOP" and row.two_byte:
        return row is not max((r for r in ROWS if r.operation == "NOP"), key=lambda r: r.number)
    return any(
        other.mnemonic == row.mnemonic and other.operands == row.operands and other.number < row.number
        and other.reg is not None and row.reg is not None and other.rm == row.rm
        for other in ROWS
    )  # fmt: skip


def places(row: Row, place: str, size: int, bits: int, rng: random.Random) -> list[str]:
    """Texts for one operand place."""
    memory = rng.sample(MEMORY_32, 4) + rng.sample(MEMORY_16, 2)
    if bits == 16:
        memory = rng.sample(MEMORY_32, 2) + rng.sample(MEMORY_16, 4)
    memory = [text for text in memory if bits == 32 or text != "[0x12345678]"]
    where, wide = place[0], place[-1]
    width = {"b": 8, "w": 16, "d": 32}.get(wide, size)
    if place == "rAX":
        return [GENERAL[size][0]]
    if place == "STi":
        # ST0 with itself has two encodings, and nothing says which to take
        return ["st1", "st7", "st2" if len(row.operands) > 1 else "st0"]
    if place in ("AL", "AX", "CL", "DX", "1", "ST0", "ES", "CS", "SS", "DS", "FS", "GS"):
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
        word = {"Mw": "word ", "Md": "dword ", "Mq": "qword ", "Mt": "tword "}.get(place, "")
        return [word + text for text in memory]
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
        if wide == "b":
            short = "" if row.operation[:2] in ("LO", "JC") and row.operation != "Jcc" else "short "
            return [short + target for target in ("$", "$+2", "$-100")]
        return [f"near {target}" for target in ("$", "$+500")]
    assert where == "I", place
    edges = {8: ["0", "1", "0x7f", "0x80", "255", "-1"], 16: ["0", "127", "128", "0x1234", "0xffff", "-128"]}
    if wide == "s":
        return ["-128", "127", "byte 5"]
    return rng.sample(
        edges.get(width, ["0", "127", "128", "0x80000000", "0xffffffff", "-129", "0x12345678"]), 3
    )


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
    sizes = (16, 32) if sized else (bits,)
    if row.operation == "BSWAP" or (row.operation in ("MOVZX", "MOVSX") and row.operands[1] == "Ew"):
        sizes = (32,)  # NASM does not write the 16-bit ones, which have no use
    for size in sizes:
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


@cache
def all_texts(seed: int = 1) -> list[tuple[int, str, Row]]:
    rng = random.Random(seed)
    return [
        (bits, text, row)
        for row in ROWS
        if not is_synonym(row) and row.operation != "FSTPNCE"  # which NASM has no name for
        for bits in (16, 32)
        for text in texts(row, bits, rng)
    ]


def source_of(cases: list[tuple[int, str, Row]]) -> str:
    """One source for all cases; a case's line number is 2 * index + 2."""
    return "\n".join(f"bits {bits}\n{text}" for bits, text, _ in cases)


@cache
def ours_by_line(seed: int = 1) -> list[bytes]:
    """Our bytes for all the texts, assembled as one source."""
    return [row.code for row in assemble(source_of(all_texts(seed))).listing[1::2]]


def nasm(source: str, folder: Path) -> bytes:
    """What NASM makes of a source."""
    if shutil.which("nasm") is None:
        pytest.skip("nasm is not installed: the comparison with it is left out")
    (folder / "all.asm").write_text(source)
    command = ["nasm", "-w-all", "-f", "bin", "-o", "all.bin", "-l", "all.lst", "all.asm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[:3000]
    return (folder / "all.bin").read_bytes()


class Line(NamedTuple):
    """What NASM makes of one line: bytes, or None if it refuses it, and whether it warns."""

    code: bytes | None
    at: int
    warned: bool


def nasm_each(cases: Sequence[tuple[int, str]], folder: Path) -> list[Line]:
    """What NASM makes of each (mode, text): lines that it refuses are left out, until it refuses none."""
    if shutil.which("nasm") is None:
        pytest.skip("nasm is not installed: the comparison with it is left out")
    pieces = [f"bits {bits}\n{text}" for bits, text in cases]
    command = ["nasm", "-w-all", "-w+number-overflow", "-w+other", "-w+label-orphan", "-w+error=label-orphan"]
    command += ["-f", "bin", "-o", "each.bin", "-l", "each.lst", "each.asm"]
    refused: set[int] = set()
    bad: set[int] | None = None
    while bad is None or bad:
        for number in bad or ():
            pieces[number] = "\n"
        (folder / "each.asm").write_text("\n".join(pieces) + "\n")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        said = re.findall(r"each\.asm:(\d+): (error|warning)", done.stderr)
        bad = {int(line) // 2 - 1 for line, kind in said if kind == "error"}
        refused |= bad
    assert done.returncode == 0, done.stderr[:3000]
    warned = {int(line) // 2 - 1 for line, kind in said if kind == "warning"}
    whole = (folder / "each.bin").read_bytes()
    where: dict[int, tuple[int, int]] = {}
    for row in (folder / "each.lst").read_text().splitlines():
        if found := re.match(r"\s*(\d+) ([0-9A-F]{8}) ([0-9A-F()\[\]]+)-?(?:\s|$)", row):
            at, size = where.get(int(found[1]) // 2 - 1, (int(found[2], 16), 0))
            where[int(found[1]) // 2 - 1] = at, size + len(re.sub(r"[()\[\]]", "", found[3])) // 2
    assert sum(size for _, size in where.values()) == len(whole), "the listing was misread"
    lines = []
    for number in range(len(cases)):
        at, size = where.get(number, (0, 0))
        lines.append(Line(None if number in refused else whole[at : at + size], at, number in warned))
    return lines


def only_nasm_2_16() -> None:
    """The sweeps know what NASM 2.16 takes and refuses; that of other versions is a little different."""
    if shutil.which("nasm") is None:
        pytest.skip("nasm is not installed: the comparison with it is left out")
    version = subprocess.run(["nasm", "-v"], capture_output=True, text=True, timeout=60).stdout
    if "version 2.16" not in version:
        pytest.skip(f"the sweeps are against NASM 2.16, this is {version.strip()}")


def ours(bits: int, text: str, at: int) -> tuple[bytes | None, str]:
    """Our bytes, or why we refuse."""
    try:
        return bytes(assemble(text, bits=bits, origin=at)), ""
    except AssemblyError as error:
        return None, str(error.msg)


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
    for (_, _, _), code in zip(cases, ours_by_line()):
        body = code
        while body[0] in (0x66, 0x67, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0xF3):
            body = body[1:]
        two = body[0] == 0x0F
        at = 1 if two else 0
        reg = body[at + 1] >> 3 & 7 if len(body) > at + 1 else None
        reached |= {(two, body[at], None), (two, body[at], reg)}
    missing = [
        row
        for row in ROWS
        if not is_synonym(row)
        and row.operation != "FSTPNCE"
        and (row.two_byte, row.opcode, row.reg) not in reached
    ]
    assert not missing, [str(row) for row in missing]
    synonyms = [str(row) for row in ROWS if is_synonym(row)]
    assert len(synonyms) == 8 + 2 + 6 + 7 + 7, synonyms  # 82, F6/F7 1, shifts 6, 0F 18..1E, the x87


def test_agrees_with_nasm(tmp_path: Path) -> None:
    cases = all_texts()
    assert len(cases) > 4000
    theirs = nasm_each([(bits, text) for bits, text, _ in cases], tmp_path)
    wrong = [
        f"bits {bits}: {text}: nasm {b.code and b.code.hex()} ours {a.hex()}"
        for (bits, text, _), a, b in zip(cases, ours_by_line(), theirs)
        if b.code is None or not same_meaning(a, b.code, bits)
    ]
    assert not wrong, "\n".join(wrong[:40])


# What our assembler and NASM are meant to differ in: the reason, and the lines (or what ours says of them).

OTHER_NAMES = "callf jmpf lcall ljmp pushal popal fstpnce".split()

TAKEN_BY_US = {
    "names that other assemblers use": rf"({'|'.join(OTHER_NAMES)})\b",
    "forms that exist, which NASM has no text for": r"(movzx|movsx|bswap) (word )?(ax|[bcd]x|[sb]p|[sd]i)\b",
    "short, where there is nothing else": r"(loop\w*|jcxz|jecxz) short ",
    "a size that is right": r"invlpg byte |enter (.*\b(byte|word) |)|sh[lr]d .*, (strict )?byte \S+$",
    "string instructions with operands": r"(movs|cmps|stos|lods|scas|ins|outs)[bwd]? .*\[",
}
REFUSED_BY_US = {
    "a register's size is what it is": "leave out the size",
    "an address is in brackets": "lea takes an address, not a number",
    "which size is not said": "the size of the memory operand is not known",
    "far needs memory": "a register holds no far pointer",
    "a target out of reach": r"the target \S+ does not fit|bytes away",
    "an address out of range": r"address \S+ does not fit",
    "a shift that the processor has not": "cannot shift by",
    "an operator with a fault": "<=> is no operator here|64 bits apart",
}


def excuse(text: str, line: Line, code: bytes | None, said: str) -> str:
    """Why ours may differ from NASM's here, or nothing."""
    if line.code is None:
        return next((why for why, lines in TAKEN_BY_US.items() if re.match(lines, text)), "")
    if code is None:
        if line.warned:
            return "NASM warns"
        if re.fullmatch(r"\w+ [c-gs]s", text):
            return "a prefix behind, which NASM takes for one before"
        return next((why for why, message in REFUSED_BY_US.items() if re.search(message, said)), "")
    if text.startswith("retw ") and code == b"\x66" + line.code:
        return "NASM forgets the prefix of RETW with a number"
    return ""


def sweep(cases: list[tuple[int, str]], folder: Path) -> tuple[Counter[str], list[str]]:
    """How often ours is what NASM's is, and the excuses; and what has none."""
    counts: Counter[str] = Counter()
    wrong = []
    for (bits, text), line in zip(cases, nasm_each(cases, folder)):
        code, said = ours(bits, text, line.at)
        if code == line.code:
            counts["both refuse" if code is None else "same"] += 1
        elif why := excuse(text, line, code, said):
            counts[why] += 1
        else:
            shown = [value.hex() if value is not None else "refused" for value in (line.code, code)]
            wrong.append(f"bits {bits}: {text}: nasm {shown[0]}, ours {shown[1]} {said}")
    return counts, wrong


def test_every_mnemonic_without_operands(tmp_path: Path) -> None:
    """A bare FADD pops (manual, FADD), a bare MOVS is nothing: as in NASM, or refused by both."""
    only_nasm_2_16()
    counts, wrong = sweep([(bits, name) for name in MEANINGS for bits in (16, 32)], tmp_path)
    assert not wrong, "\n".join(wrong[:40])
    assert counts["same"] > 200 and counts["both refuse"] > 200, counts


#: One operand of each kind, for where a row does not want it.
ANYTHING = (
    "al|cl|ax|dx|eax|edi|ds|cs|cr0|dr7|st0|st3|1|5|200|0x1234|0x12345678|-3|byte 5|byte 200|word 5|dword 5"
    "|qword 5|dword 0x12345678|strict byte 5|strict word 5|strict dword 5|[bx+4]|byte [bx]|word [ebx]"
    "|dword [ebx+4]|qword [ebx]|tword [bx]|far [ebx]|short $+4|near $+4|1:2|word 1:2|word ax|dword ax"
    "|dword es|byte al|[0x1234]"
).split("|")


def operand_lists(rng: random.Random) -> list[tuple[int, str]]:
    """Lines made from the rows of every mnemonic: what a row wants, sizes dropped, moved and made up."""
    cases = []
    for name, meaning in MEANINGS.items():
        for row in meaning.rows:
            for bits in (16, 32):
                for _ in range(3):
                    chosen = []
                    size = rng.choice((16, 32))
                    for place in row.operands:
                        text = rng.choice(
                            places(row, place, size, bits, rng) or ["[esi]", "[es:di]", "[edi]"]
                        )
                        if rng.random() < 0.4 and not re.search("short|near|far", text):
                            text = re.sub(r"^(byte|word|dword|qword|tword) ", "", text)
                            text = (
                                f"{rng.choice(['', '', 'byte ', 'word ', 'dword ', 'strict dword '])}{text}"
                            )
                        chosen.append(rng.choice(ANYTHING) if rng.random() < 0.12 else text)
                    if rng.random() < 0.1:
                        chosen.append(rng.choice(ANYTHING))
                    if chosen:
                        cases.append((bits, f"{name} {', '.join(chosen)}"))
    return list(dict.fromkeys(cases))


def test_operands_of_every_mnemonic(tmp_path: Path) -> None:
    """Every mnemonic with operands of every kind and size: NASM's bytes, or both refuse, or the reason."""
    only_nasm_2_16()
    counts, wrong = sweep(operand_lists(random.Random(5)), tmp_path)
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:60])
    assert counts["same"] > 1500 and counts["both refuse"] > 1000, counts


def test_sizes_on_either_operand(tmp_path: Path) -> None:
    """Each pair of operands of what takes memory and a number, each with each size word."""
    only_nasm_2_16()
    words = ("", "byte ", "word ", "dword ", "strict byte ", "strict word ", "strict dword ")
    first = ["al", "bx", "ecx", "[ebx]", "[si]"]
    cases = [
        (bits, f"{name} {a}{where}, {b}{number}")
        for name in ("mov", "add", "test", "shl", "bt", "out")
        for bits in (16, 32)
        for a in ("", "byte ", "dword ")
        for where in first
        for b in words
        for number in ("5", "0x81")
    ]
    cases += [
        (bits, f"{text}{size}{number}")
        for text in (
            "push ",
            "imul eax, ",
            "imul cx, [si], ",
            "imul eax, ebx, ",
            "int ",
            "ret ",
            "aam ",
            "push strict ",
        )
        for bits in (16, 32)
        for size in words
        for number in ("5", "-128", "0x81")
    ]
    counts, wrong = sweep(cases, tmp_path)
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:60])
    assert counts["same"] > 500, counts


def test_ranges_of_numbers(tmp_path: Path) -> None:
    """Numbers at the edges of 8, 16, 32 and 64 bits, wherever a number may stand."""
    only_nasm_2_16()
    edges = {
        sign * (1 << bits) + d for bits in (7, 8, 15, 16, 31, 32, 63) for sign in (1, -1) for d in (-1, 0, 1)
    }
    numbers = [
        *map(str, sorted(edges)),
        "0xffffffffffffffff",
        "0xffffffffffffff80",
        "~0x7f",
        "~0xffff",
        "-1 >> 1",
    ]
    starts = "mov al, |mov ax, |mov eax, |add ax, |add eax, |push |push word |db |dw |dd |dq |ret |int "
    cases = [
        (bits, f"{start}{number}")
        for bits in (16, 32)
        for number in numbers
        for start in starts.split("|")
        if start
    ]
    cases += [
        (bits, f"mov al, [{base}({number})]")
        for bits in (16, 32)
        for number in numbers
        for base in ("bx + ", "ebx + ", "", "fs:")
    ]
    counts, wrong = sweep(cases, tmp_path)
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:60])
    assert counts["same"] > 800, counts


def random_expression(rng: random.Random, depth: int) -> str:
    """An expression over every operator; blanks and parentheses at random."""
    kind = rng.random()
    if depth == 0 or kind < 0.15:
        return rng.choice(
            (
                "0",
                "1",
                "2",
                "3",
                "7",
                "255",
                "0x8000",
                "0xffffffff",
                "0x7fffffffffffffff",
                "1 << 63",
                "'a'",
                "0b101",
            )
        )
    if kind < 0.3:
        return rng.choice("-+~!") + rng.choice(("", " ")) + random_expression(rng, depth - 1)
    if kind < 0.4:
        return f"({random_expression(rng, depth - 1)})"
    left, right = random_expression(rng, depth - 1), random_expression(rng, depth - 1)
    if kind < 0.45:
        return f"{left} ? {right} : {random_expression(rng, depth - 1)}"
    if kind < 0.55:
        # A literal: NASM itself dies of -2^63 // -1.
        return f"{left} {rng.choice(('//', '%%'))} {rng.choice(('', '- ', '~'))}{rng.randrange(2, 9)}"
    operator = rng.choice("|| ^^ && = == != <> < > <= >= | ^ & << >> <<< >>> + - + - * / % <=>".split())
    if operator in ("<<", ">>", "<<<", ">>>"):
        right = str(rng.choice((0, 1, 4, 31, 32, 63, 63, 64)))
    return f"{left} {operator} {right}"


def test_expressions_as_nasm_has_them(tmp_path: Path) -> None:
    """Random expressions: the same 64 bits, or the error that says why not."""
    only_nasm_2_16()
    rng = random.Random(11)
    cases = [(32, f"dq 0 | ({random_expression(rng, 4)})") for _ in range(2000)]
    counts, wrong = sweep(list(dict.fromkeys(cases)), tmp_path)
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:40])
    assert counts["same"] > 1000 and counts["both refuse"] > 20, counts


PROGRAM = """
        org 0x7c00
        bits 16
SIZE    equ 4 * (3 + 5) % 7
MAGIC   equ 0x1234_5678 ^ ~0 & 0FFh | 1 << 20
start:  cli
        xor ax, ax
        mov ds, ax
        mov si, message
.next:  lodsb
        test al, al
        jz .done
        mov ah, 0x0e
        int 0x10
        jmp .next
.done:  lgdt [table]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 8:protected
message db "it's", 'a "test"', `tab\\t\\x41`, 13, 10, 0
        align 8
gdt:    dq 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
table:  dw table - gdt - 1
        dd gdt
        bits 32
protected:
        mov ecx, SIZE
        mov eax, [gdt + ecx*8 + 4]
        mov ebx, MAGIC
        add eax, end - start
        add eax, 2
        push end - protected
        push message
.next:  dec ecx
        jnz .next
        jz far_away
        call far_away
        jmp end
        times 100 nop
        jmp protected
        times 30 db 0x90, "x"
        jmp protected.next
        jecxz .next2
.next2: loop $
        times 3 jmp $ + 5
far_away:
        mov dword [esp + SIZE], $ - $$
        mov eax, 'abcd'
        mov al, -SIZE
        cmp byte [eax], -1
        ret
        resb 3
        resd 2
half:   dw half, -1, 'ab', 'abc'
        dd 1.5, -2.5, $, half - 1
        dq 1.5, -1
end:    hlt
        times 2048 - ($ - $$) db 0
        dw 0AA55h
"""


def test_a_whole_program_as_nasm_does(tmp_path: Path) -> None:
    theirs = nasm(PROGRAM, tmp_path)
    for row in assemble(PROGRAM).listing:
        start = row.address - 0x7C00
        assert row.code == theirs[start : start + len(row.code)], row
    assert bytes(assemble(PROGRAM)) == theirs


@pytest.mark.parametrize("seed", range(3))
def test_jumps_find_their_length_as_in_nasm(seed: int, tmp_path: Path) -> None:
    """Random jumps across random gaps: each as short as NASM's."""
    rng = random.Random(seed)
    lines = [f"bits {rng.choice((16, 32))}"]
    for i in range(150):
        target = max(0, min(149, i + rng.randrange(-20, 20)))
        lines.append(f"L{i}: {rng.choice(('jmp', 'jz', 'call', 'jnbe'))} L{target}")
        lines.append(f"times {rng.choice((0, 1, 5, 12))} nop")
    source = "\n".join(lines) + "\n"
    assert bytes(assemble(source)) == nasm(source, tmp_path)


_LLVM = """
import sys
import llvmlite.binding as llvm
llvm.initialize_all_targets(); llvm.initialize_all_asmprinters()
llvm.initialize_native_asmparser()
asm = sys.stdin.read().replace("\\n", "\\\\0A").replace('"', "\\\\22")
module = llvm.parse_assembly('target triple = "i386-unknown-none-elf"\\nmodule asm "' + asm + '"')
machine = llvm.Target.from_triple("i386-unknown-none-elf").create_target_machine()
obj = llvm.ObjectFileRef.from_data(machine.emit_object(module))
sys.stdout.write(next(s.data() for s in obj.sections() if s.name() == b".text").hex())
"""

#: Operations that LLVM's Intel syntax spells as ours (memory with "ptr").
_COMMON = frozenset(
    "ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NOT NEG MUL DIV IDIV ROL ROR RCL RCR SHL SHR SAR SHLD SHRD "
    "MOVZX MOVSX BT BTS BTR BTC BSF BSR XADD CMPXCHG BSWAP SETcc CMOVcc XCHG "
    "CPUID RDTSC CLC STC CLD STD".split()
)


@pytest.mark.parametrize("bits", [16, 32])
def test_agrees_with_llvm(bits: int) -> None:
    """LLVM's own parser, in a process of its own, since it exits at an error."""
    pytest.importorskip("llvmlite")
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("llvmlite parses x86 assembly on x86 only")
    cases = [
        text
        for mode, text, row in all_texts(seed=2)
        if mode == bits
        and row.operation in _COMMON
        and not re.search(r"\[(byte|word|dword|0x|\w\w:|\w+\*5)|esp\]|byte \d", text)
    ]
    cases = [re.sub(r"-(\d+)$", r"-\1", text) for text in cases]
    theirs_source = [re.sub(r"(byte|word|dword) \[", r"\1 ptr [", text) for text in cases]
    source = "\n".join([".intel_syntax noprefix", f".code{bits}", *theirs_source, ""])
    command = [sys.executable, "-c", _LLVM]
    done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[:2000]
    theirs = disassemble(bytes.fromhex(done.stdout), bits=bits)
    assert len(theirs) == len(cases) > 400
    wrong = [
        f"{text}: LLVM {b.bytes.hex()} {b.text}, ours {a.hex()}"
        for text, b in zip(cases, theirs)
        for a in [bytes(assemble(text, bits=bits))]
        if not same_meaning(a, b.bytes, bits)
    ]
    assert not wrong, "\n".join(wrong[:40])


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        ("nop\n  movv eax, 1", 2, 3, ("unknown mnemonic movv", "did you mean mov")),
        ("mov eax, bx", 1, 10, ("invalid operand sizes", "eax has 32 bits, bx has 16")),
        ("mov [eax], 5", 1, 5, ("size of the memory operand", "byte, word or dword")),
        ("inc [ebx+4]", 1, 5, ("size of the memory operand",)),
        ("push [ebx+4]", 1, 6, ("size of the memory operand",)),
        ("mov byte [ebx], dword 5", 1, 17, ("the memory operand has 8 bits, the number has 32",)),
        ("push dword ax", 1, 6, ("ax has 16 bits, not 32", "leave out the size")),
        ("lea eax, 5", 1, 10, ("not a number", "put it in brackets")),
        ("add eax, short 5", 1, 10, ("short belongs to jumps",)),
        ("jmp far eax", 1, 5, ("a register holds no far pointer",)),
        ("movs", 1, 1, ("the size is not known", "movsb, movsw or movsd")),
        ("dq 1 << 64", 1, 6, ("cannot shift by 64",)),
        ("dq 0x10000000000000000", 1, 4, ("does not fit in 64 bits",)),
        ("dq 1 <=> 2", 1, 6, ("<=> is no operator here",)),
        ("dq 1 << 63 < 1", 1, 12, ("cannot compare",)),
        ("mov eax, 'abcde'", 1, 10, ("at most 4 bytes",)),
        ("db `\\U110000`", 1, 4, ("there is no character",)),
        ("mov al, 300", 1, 9, ("300 does not fit in 8 bits",)),
        ("int 256", 1, 5, ("256 does not fit in 8 bits",)),
        ("push word 0x12345", 1, 6, ("does not fit in 16 bits",)),
        ("db 256", 1, 4, ("256 does not fit in 1 byte", "use dw")),
        ("jmp short x\ntimes 200 nop\nx:", 1, 5, ("200 bytes away", "leave out short")),
        ("x: times 200 nop\nloop x", 2, 6, ("reaches -128 to 127", "reverse the condition")),
        ("mov eax, nowhere", 1, 10, ("undefined symbol nowhere",)),
        ("here: jmp her", 1, 11, ("undefined symbol her", "did you mean here")),
        ("x: nop\nx: nop", 2, 1, ("x is already defined in line 1",)),
        ("add eax", 1, 5, ("add takes 2 operands, not 1",)),
        ("add [eax], [ebx]", 1, 12, ("two memory operands", "register first")),
        ("mov cs, eax, 5", 1, 5, ("mov takes 2 operands, not 3",)),
        ("mov eax, [ebx+esp*2]", 1, 11, ("esp cannot be an index",)),
        ("mov eax, [bx+eax]", 1, 11, ("mixes 16-bit and 32-bit",)),
        ("mov eax, [eax*3+ebx]", 1, 11, ("no such 32-bit address",)),
        ("mov ax, [cx]", 1, 10, ("no such 16-bit address",)),
        ("mov ax, [bx+si+di]", 1, 10, ("no such 16-bit address",)),
        ("mov eax, ebx + 1", 1, 10, ("put it in brackets",)),
        ("lock mov [eax], eax", 1, 6, ("lock cannot go with this form",)),
        ("lock add eax, [ebx]", 1, 6, ("memory destination",)),
        ("db 'abc", 1, 4, ("without its closing quote",)),
        ("mov eax, 12fh0", 1, 10, ("not a number: 12fh0", "0x1F or 1Fh")),
        ("mov eax, (1 + 2", 1, 16, ("expected ')'",)),
        ("mov eax, 1 / 0", 1, 12, ("division by zero",)),
        ("mov eax, 1 nop", 1, 12, ("expected ',' before 'nop'",)),
        ("times 3 - $ nop\ntimes 2 - $ nop", 2, 7, ("negative count",)),
        ("nop\norg 5", 2, 1, ("org must come before any code",)),
        ("%define x 5", 1, 1, ("no preprocessor", "equ")),
        ("align 3", 1, 7, ("power of two",)),
        ("bits 64", 1, 6, ("it can be 16 or 32",)),
        ("eax: nop", 1, 1, ("register",)),
        ("a equ b + 1\nb equ a + 1\nmov eax, a", 1, 7, ("b depends on itself",)),
        ("foo", 1, 1, ("unknown mnemonic foo", "if it is a label, write foo:")),
        ("mov eax, §", 1, 10, ("unexpected character",)),
        ("mov eax, [es]", 1, 11, ("es cannot be part of an address",)),
        ("mov eax,", 1, 9, ("expected a value",)),
        ("shl eax, bl", 1, 5, ("cannot take these operands", "cl")),
    ],
)
def test_errors_name_the_place_and_the_remedy(
    source: str, line: int, column: int, words: tuple[str, ...]
) -> None:
    with pytest.raises(AssemblyError) as caught:
        assemble(source)
    error = caught.value
    assert isinstance(error, SyntaxError)
    for word in words:
        assert word in str(error)
    assert (error.line, error.column) == (line, column), str(error)
    assert (error.lineno, error.offset, error.text) == (line, column, source.splitlines()[line - 1])
    *_, shown, caret = str(error).splitlines()
    assert shown[4:] == source.splitlines()[line - 1]
    assert caret.index("^") == 4 + column - 1


def test_symbols_listing_and_looks() -> None:
    source = "COUNT equ 3\nstart: mov ecx, COUNT\n.loop: dec ecx\n  jnz .loop ; again\n"
    source += "other:\n.loop: jmp start.loop\n"
    program = assemble(source, origin=0x1000)
    assert isinstance(program, Program) and isinstance(program, bytes)
    assert program.symbols == {"start": 0x1000, "start.loop": 0x1005, "other": 0x1008, "other.loop": 0x1008}
    assert program.constants == {"COUNT": 3}
    assert program.source == source and program.origin == 0x1000
    assert b"".join(row.code for row in program.listing) == program
    assert program.address_of(3) == 0x1005
    assert "00001005  49" in repr(program) and "jnz .loop ; again" in repr(program)
    table = program._repr_html_()
    assert table.startswith("<table>") and table.count("<tr>") == 7 and "49" in table
    again = pickle.loads(pickle.dumps(program))
    assert again == program and again.symbols == program.symbols
    assert "&lt;" in assemble("db 1 ; <b>")._repr_html_()
    assert repr(assemble("")).startswith("<Program of 0 bytes")


def test_symbols_from_outside() -> None:
    assert assemble("mov eax, PORT + 1", symbols={"PORT": 0xE8}).hex() == "b8e9000000"
    assert assemble("jmp there", origin=0x100, symbols={"there": 0x102}) == b"\xeb\x00"


def test_forward_constants_and_circles() -> None:
    assert assemble("a equ b\nb equ c\nc equ 7\nadd eax, a").hex() == "83c007"
    # The length of the program depends on a number that depends on the length.
    assert assemble("add eax, size\nstart:\ntimes 130 nop\nend:\nsize equ end - start")[:1] == b"\x05"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("mov eax, 1Fh", "b81f000000"),
        ("mov eax, 0b101", "b805000000"),
        ("mov eax, 17o", "b80f000000"),
        ("mov eax, 'a'", "b861000000"),
        ("mov eax, -1 >>> 1", "b8ffffffff"),
        ("mov eax, -1 >> 1", None),  # 7FFFFFFFFFFFFFFF
        ("dq -7 / 2", "fcffffffffffff7f"),
        ("dq -7 // 2, -7 %% 2, -7 % 4", "fdffffffffffffffffffffffffffffff0100000000000000"),
        ("db 1 < 2, 2 = 2, 1 <> 1, 3 && 0, 3 ^^ 0, 0 || 7, !3, 1 ? 5 : 6", "0101000001010005"),
        ("mov eax, 5 <=> 3", None),
        ("mov eax, 'abcde'", None),
        ("db `\\x41\\101\\u20ac\\?\\e\\q`", "4141e282ac3f1b71"),
        ("fadd", "dec1"),
        ("fsub", "dee9"),
        ("fdivr", "def1"),
        ("fadd st1", "d8c1"),
        ("fadd st0, st0", "dcc0"),
        ("fcom", "d8d1"),
        ("movs", None),
        ("mov [ebx], dword 5", "c70305000000"),
        ("cmp [ebx], byte 3", "803b03"),
        ("add [ebx], dword 5", "830305"),
        ("add [ebx], strict dword 5", "810305000000"),
        ("mov byte [ebx], dword 5", None),
        ("shl [ebx], byte 5", None),
        ("push dword 5", "6a05"),
        ("push dword ax", None),
        ("push [ebx]", None),
        ("imul eax, ebx, byte 5", "6bc305"),
        ("bits 16\norg 0x10000\nx: jmp x", "ebfe"),
        ("mov eax, 2 + 3 * 4 - 10 / 3 % 2", "b80d000000"),
        ("and eax, ~0x80000000", "25ffffff7f"),
        ("mov eax, 1 << 2 + 1 | 6 & 3 ^ 1", "b80b000000"),
        ("mov eax, -(2 - 7) // 2", "b802000000"),
        ("MOV EAX, [EBX]", "8b03"),
        ("es lodsb", "26ac"),
        ("rep es movsd", "f326a5"),
        ("fs xlatb", "64d7"),
        ("lodsb al, byte ptr fs:[esi]", "64ac"),
        ("movsd dword ptr es:[edi], dword ptr cs:[si]", ""),
        ("loop $, cx", "67e2fd"),
        ("jmp far [ebx]", "ff2b"),
        ("jmp 8:0x12345678", "ea785634120800"),
        ("call far word [ebx]", "66ff1b"),
        ("lock cmpxchg8b [eax]", "f00fc708"),
        ("xchg eax, eax", "90"),
        ("pause", "f390"),
        ("aam", "d40a"),
        ("ret 4", "c20400"),
        ("o16 iret", "66cf"),
        ("mov eax, [ebp*2]", "8b442d00"),
        ("mov eax, [nosplit ebp*2]", "8b046d00000000"),
        ("mov eax, [ebp*1+eax]", "8b0428"),
        ("a16 lodsb", "67ac"),
        ("push byte -1", "6aff"),
        ("push strict dword 5", "6805000000"),
        ("label: db 1, 2, label", "010200"),
        ("dw 'abc'", "61626300"),
        ("lock\nadd [eax], eax", "f00100"),
        ("align 4\nnop\nalign 4", "90909090"),
        ("align 4\nnop\nalign 4, db 0", "90000000"),
        ("section .text", None),
    ],
)
def test_spellings(source: str, code: str | None) -> None:
    if not code:
        with pytest.raises(AssemblyError):
            assemble(source)
    else:
        assert assemble(source).hex() == code


@pytest.mark.parametrize(("gap", "start"), [(127, "eb7f"), (128, "e980000000")])
def test_forward_jumps_at_the_edge(gap: int, start: str) -> None:
    assert assemble(f"jmp x\ntimes {gap} nop\nx:").hex().startswith(start)


@pytest.mark.parametrize(("gap", "end"), [(126, "eb80"), (127, "e97cffffff")])
def test_backward_jumps_at_the_edge(gap: int, end: str) -> None:
    assert assemble(f"x: times {gap} nop\njmp x").hex().endswith(end)


def test_wrong_mode() -> None:
    with pytest.raises(ValueError, match="16 or 32"):
        assemble("nop", bits=64)


def test_whatever_is_written_the_answer_is_a_program_or_an_assembly_error() -> None:
    """Lines made of random words: never another exception, and always with a place."""
    rng = random.Random(7)
    words = (
        "mov add jmp call push lodsb rep lock db dw dd dq times align equ org bits resb eax ebx ax al es cs "
        "cr0 dr7 byte word dword far near short ptr strict o16 a32 [ ] ( ) , : + - * / % << >> & | ^ ~ ! $$ "
        "0 1 5 0x10 1fh 9q 0b2 1.5 'a' 'abcd' \"x\" `\\n` label label: .local .local: nop ret lgdt imul xchg "
        "$ shl loop , , [ ] 300 -1"
    ).split()
    errors = 0
    for _ in range(4000):
        source = "\n".join(
            " ".join(rng.choices(words, k=rng.randrange(1, 8))) for _ in range(rng.randrange(1, 3))
        )
        try:
            assemble(source, bits=rng.choice((16, 32)))
        except AssemblyError as error:
            errors += 1
            assert error.line and error.column >= 1 and error.message, source
            assert error.source_line == source.splitlines()[error.line - 1]
    assert 2000 < errors < 4000


def test_long_repetitions_are_quick() -> None:
    assert len(assemble("times 1 << 20 nop\ntimes 1 << 20 dd $")) == 5 << 20
