"""Where instructions end: our decoder against Capstone, for every opcode and for random bytes.

The decoder is asked for one instruction at a time; the block it makes says how long it was and
whether it is an invalid opcode. Where the two disagree on purpose, `EXPECTED` says why.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from pyvirt_edu.machine.decoder_tables import decoder_tables  # noqa: F401  (the table under test)
from pyvirt_edu.machine.disassembler import _capstone
from pyvirt_edu.machine.machine import Machine
from pyvirt_edu.machine.opcodes import ROWS
from pyvirt_edu.machine.uops import U_FAULT

AT = 0x8000
PREFIXES = bytes.fromhex("66 67 26 2e 36 3e 64 65 f0 f2 f3")


class Decoder:
    """Lengths as the core sees them."""

    def __init__(self, bits: int) -> None:
        self.machine = Machine(ram="1MiB", devices=(), history=False)
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


def compare(decoder: Decoder, codes: Iterator[bytes], bits: int) -> None:
    wrong: Counter[str] = Counter()
    examples: dict[str, str] = {}
    both = 0
    for code in codes:
        ours = decoder.length(code)
        theirs, text = capstone_length(code, bits)
        both += bool(ours and theirs)
        if ours != theirs:
            body = code.lstrip(PREFIXES)
            key = (body[:2] if body[0] == 0x0F else body[:1]).hex() + (" len" if ours and theirs else "")
            wrong[key] += 1
            examples.setdefault(key, f"{code.hex()}: ours {ours}, Capstone {theirs} {text}")
    print(both, len(wrong))
    assert not wrong, "\n".join(f"{key} {n} {examples[key]}" for key, n in wrong.most_common())


def test_every_opcode(decoder: Decoder, bits: int) -> None:
    compare(decoder, every_opcode(), bits)
