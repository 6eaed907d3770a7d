"""Random instructions, drawn from the opcode table rather than from a list of our own."""

from __future__ import annotations

import random

from pyvirt_edu.machine.opcodes import ROWS, Row

PREFIXES = (0x66, 0x67, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF2, 0xF3, 0xF0)


def immediate_bytes(row: Row, operand: int, address: int) -> int:
    """How many bytes follow ModRM and displacement."""
    total = 0
    for code in row.operands:
        if code in ("Ib", "Is", "Jb"):
            total += 1
        elif code == "Iw":
            total += 2
        elif code in ("Iz", "Jz"):
            total += operand
        elif code in ("Ob", "Ov"):
            total += address
        elif code == "Ap":
            total += operand + 2
    return total


def modrm_bytes(rng: random.Random, row: Row, address: int, safe: bool) -> bytes:
    """ModRM, SIB and displacement; ``safe`` prefers displacements that stay small."""
    reg = row.reg if row.reg is not None else rng.randrange(8)
    mod = rng.choice((0, 1, 2, 3)) if row.mod == "" else (rng.randrange(3) if row.mod == "m" else 3)
    rm = rng.randrange(8)
    out = bytearray([mod << 6 | reg << 3 | rm])
    if mod == 3:
        return bytes(out)
    size = {1: 1, 2: address}.get(mod, 0)
    if address == 4:
        if rm == 4:
            sib = rng.randrange(256)
            out.append(sib)
            if sib & 7 == 5 and mod == 0:
                size = 4
        elif rm == 5 and mod == 0:
            size = 4
    elif rm == 6 and mod == 0:
        size = 2
    displacement = rng.randrange(1 << (8 * size)) if size else 0
    if safe and size == 4:
        displacement = rng.randrange(0x10000)
    return bytes(out) + displacement.to_bytes(size, "little")


def instruction(rng: random.Random, row: Row, bits: int, prefixes: float = 0.25, lock: bool = True) -> bytes:
    """One encoding of a row with random operands, in 16- or 32-bit code."""
    chosen = [rng.choice(PREFIXES if lock else PREFIXES[:-1]) for _ in range(3) if rng.random() < prefixes]
    operand = bits // 8 ^ (6 if 0x66 in chosen else 0)
    address = bits // 8 ^ (6 if 0x67 in chosen else 0)
    out = bytes(chosen) + (b"\x0f" if row.two_byte else b"") + bytes([row.opcode])
    if row.has_modrm:
        out += modrm_bytes(rng, row, address, safe=True)
    return out + rng.randbytes(immediate_bytes(row, operand, address))


def rows(exclude: frozenset[str] = frozenset()) -> list[Row]:
    return [row for row in ROWS if row.operation not in exclude]
