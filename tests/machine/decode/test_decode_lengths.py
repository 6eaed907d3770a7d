"""Where instructions end: our decoder against Capstone, for every opcode and for random bytes.

The decoder is asked for one instruction at a time; the block it makes says how long it was and
whether it is an invalid opcode. Where the two disagree on purpose, `excused`
says why.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from pyvirt_edu.machine.assembler.disassembler import _capstone
from pyvirt_edu.machine.bare_machine import BareMachine
from pyvirt_edu.machine.decode.uops import U_FAULT
from pyvirt_edu.machine.opcodes import ROWS, Row

AT = 0x8000
PREFIXES = bytes.fromhex("66 67 26 2e 36 3e 64 65 f0 f2 f3")
#: Second encodings of FCOM, FCOMP, FXCH and FSTP, which Capstone does not know.
SECOND = frozenset(("DC/2r", "DC/3r", "DD/1r", "DE/2r", "DF/1r", "DF/2r", "DF/3r"))


class Decoder:
    """Lengths as the core sees them."""

    def __init__(self, bits: int) -> None:
        self.machine = BareMachine(ram="1MiB", devices=(), history=False)
        if bits == 32:
            self.machine.enter_protected_mode(eip=AT, esp=0x7000)
        else:
            self.machine.cpu.cs, self.machine.cpu.eip = 0, AT

    def length(self, code: bytes) -> int:
        """Bytes of the first instruction; 0 if it is an invalid opcode or too long."""
        machine = self.machine
        machine.write(AT, code.ljust(24, b"\x90"))
        number = machine._units["find_block"](machine._handle, AT, AT, 1)
        block = machine._a.blocks[number]
        assert block["count"] == 1
        first = machine._a.uops[int(block["start"])]
        return 0 if first["kind"] == U_FAULT else int(block["length"])


@pytest.fixture(scope="module", params=[16, 32])
def bits(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def decoder(bits: int) -> Decoder:
    return Decoder(bits)


def capstone_length(code: bytes, bits: int) -> tuple[int, str]:
    for _, size, mnemonic, operands in _capstone(bits).disasm_lite(code, AT, 1):
        return size, f"{mnemonic} {operands}"
    return 0, ""


def every_opcode() -> Iterator[bytes]:
    """Each opcode with each ModRM byte and a few SIB bytes."""
    tail = bytes.fromhex("25 24 7f 80 12 34 56 78 9a bc")
    for start in (b"", b"\x0f"):
        for opcode in range(256):
            if not start and (opcode == 0x0F or opcode in PREFIXES):
                continue
            for modrm in range(0, 256, 1 if opcode % 16 in (0, 7, 0xF) else 5):
                for sib in (0x25, 0xE4, 0x00) if modrm & 7 == 4 and modrm < 0xC0 else (0x25,):
                    yield start + bytes([opcode, modrm, sib]) + tail


def row_of(code: bytes) -> Row | None:
    """The row of the opcode table that an encoding without prefixes belongs to."""
    two_byte = code[0] == 0x0F
    opcode, modrm = code[two_byte], code[two_byte + 1]
    for row in ROWS:
        if (row.two_byte, row.opcode) == (two_byte, opcode) and row.reg in (None, modrm >> 3 & 7):
            memory = modrm < 0xC0
            if row.is_x87 and (memory == (row.mod == "r") or row.rm not in (None, modrm & 7)):
                continue
            only_memory = row.mod == "m" or any(place[0] == "M" for place in row.operands)
            return None if only_memory and not memory else row
    return None


def excused(code: bytes, ours: int, theirs: int) -> bool:
    """Whether a difference has a reason."""
    body = code.lstrip(PREFIXES)
    prefixes = code[: len(code) - len(body)]
    row = row_of(body.ljust(3, b"\0"))
    if ours and theirs:
        # Capstone reads MOV to and from CR and DR with a prefix, and later extensions, in its own way.
        return row is not None and row.operation in ("NOP", "BSF", "BSR") and bool(prefixes)
    if not ours:
        # Rows we do not have are later extensions; UD0, UD1 and UD2 are there to be invalid;
        # LOCK is checked by us, not by Capstone.
        if row is None or row.operation.startswith("UD"):
            return True
        if row.operands[:1] == ("Sw",) and body[1] >> 3 & 7 in (1, 6, 7):  # MOV to CS
            return True
        return 0xF0 in prefixes or theirs + len(prefixes) > 15
    # What Capstone leaves out: reserved NOPs, second encodings of the x87, segment registers
    # that do not exist (ours faults when it runs), LOCK with REP.
    assert row is not None, code.hex()
    if (
        row.notation in SECOND
        or row.operation == "NOP"
        or "Sw" in row.operands
        or row.operands[1:] in (("Cd",), ("Dd",))
    ):
        return True
    return row.operands[:1] in (("Cd",), ("Dd",)) or bool(prefixes)


def compare(decoder: Decoder, codes: Iterator[bytes], bits: int, least: int) -> None:
    wrong: Counter[str] = Counter()
    examples: dict[str, str] = {}
    both = 0
    for code in codes:
        ours = decoder.length(code)
        theirs, text = capstone_length(code, bits)
        both += ours == theirs and ours > 0
        if ours != theirs and not excused(code, ours, theirs):
            body = code.lstrip(PREFIXES)
            key = (body[:2] if body[0] == 0x0F else body[:1]).hex()
            wrong[key] += 1
            examples.setdefault(key, f"{code.hex()}: ours {ours}, Capstone {theirs} {text}")
    assert not wrong, "\n".join(f"{key}: {n} times, {examples[key]}" for key, n in wrong.most_common())
    assert both > least, both


def test_every_opcode(decoder: Decoder, bits: int) -> None:
    compare(decoder, every_opcode(), bits, least=30_000)


def test_every_row_is_decoded(decoder: Decoder) -> None:
    """No row of the table is shadowed by another: memory and register forms decode, or are meant not to."""
    for row in ROWS:
        for modrm in (0x00, 0xC0):
            if row.mod == ("m" if modrm else "r") or row.operation.startswith("UD"):
                continue
            if any(place[0] == "M" for place in row.operands) and modrm:
                continue
            code = (b"\x0f" if row.two_byte else b"") + bytes(
                [row.opcode, modrm | (row.reg or 0) << 3 | (row.rm or 0)]
            )
            assert decoder.length(code + bytes(10)), str(row)


def test_random_bytes(decoder: Decoder, bits: int) -> None:
    rng = random.Random(bits)
    compare(decoder, (rng.randbytes(16) for _ in range(20_000)), bits, least=10_000)


def test_random_prefixes(decoder: Decoder, bits: int) -> None:
    """One to three prefixes before opcodes of the table."""
    rng = random.Random(bits + 1)

    def codes() -> Iterator[bytes]:
        for _ in range(20_000):
            row = rng.choice(ROWS)
            code = bytes(rng.choices(PREFIXES, k=rng.randrange(1, 4)))
            code += bytes([0x0F, row.opcode] if row.two_byte else [row.opcode])
            modrm = rng.randrange(256)
            if row.reg is not None:
                modrm = modrm & 0xC7 | row.reg << 3
            yield (code + bytes([modrm]) + rng.randbytes(12))[:20]

    compare(decoder, codes(), bits, least=12_000)


def test_longest_instruction(decoder: Decoder, bits: int) -> None:
    """Fifteen bytes are the limit, however they are made up (manual, volume 2, section 2.3.11)."""
    assert decoder.length(b"\x2e" * 14 + b"\x90") == 15
    assert decoder.length(b"\x2e" * 15 + b"\x90") == 0
    longest = "81 84 24 78 56 34 12 78 56 34 12" if bits == 32 else "81 84 78 56 34 12"
    code = bytes.fromhex(longest)
    assert decoder.length(b"\x2e" * (15 - len(code)) + code) == 15
    assert decoder.length(b"\x2e" * (16 - len(code)) + code) == 0
