"""Help for the x87 tests: numbers worth trying, and the same code on the machine and on the host.

A case is a whole state of the x87 (an FSAVE image of 108 bytes) and a memory operand of 16
bytes. Both sides run a loop of FRSTOR, the instruction, FNSAVE over an array of cases, so what
is compared is everything an instruction may change: registers, tags, control and status word,
EFLAGS and memory. Instruction and operand pointers are left out: hosts keep them differently.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import platform
import random
import sys
from dataclasses import dataclass, field

from pyvirt_edu.machine.bare_machine import BareMachine

IMAGE = 120  # FSAVE image, then EFLAGS
EXPONENT, TOP = 0x7FFF, 1 << 63


@dataclass
class Case:
    """A state of the x87 before an instruction."""

    stack: list[tuple[int, int] | None] = field(default_factory=list)  #: ST(0).. ; None is empty
    control: int = 0x37F
    status: int = 0  #: TOP and the rest
    memory: bytes = bytes(16)
    eflags: int = 2

    def image(self) -> bytes:
        top = self.status >> 11 & 7
        stack = self.stack + [None] * (8 - len(self.stack))
        tags = 0
        for i, number in enumerate(stack):
            if number is None:
                tags |= 3 << (2 * ((top + i) & 7))
        words = (self.control, self.status, tags, 0, 0, 0, 0)
        out = b"".join(word.to_bytes(4, "little") for word in words)
        for number in stack:
            significand, head = number or (0x1234567890ABCDEF, 0x4321)
            out += significand.to_bytes(8, "little") + head.to_bytes(2, "little")
        return (out + self.eflags.to_bytes(4, "little")).ljust(IMAGE, b"\0")


@dataclass(frozen=True)
class Outcome:
    """What an instruction left behind."""

    control: int
    status: int
    tags: int
    stack: tuple[tuple[int, int], ...]
    eflags: int
    memory: bytes

    def __str__(self) -> str:
        stack = " ".join(f"{head:04x}:{significand:016x}" for significand, head in self.stack[:3])
        return (
            f"cw {self.control:04x} sw {self.status:04x} tags {self.tags:04x} fl {self.eflags:03x} "
            f"[{stack}] {self.memory.hex()}"
        )


def outcome(image: bytes, memory: bytes) -> Outcome:
    word = [int.from_bytes(image[i : i + 2], "little") for i in (0, 4, 8)]
    stack = []
    for i in range(28, 108, 10):
        stack.append(
            (int.from_bytes(image[i : i + 8], "little"), int.from_bytes(image[i + 8 : i + 10], "little"))
        )
    eflags = int.from_bytes(image[108:112], "little") & 0x8D5
    return Outcome(word[0], word[1], word[2], tuple(stack), eflags, memory)


def loop_code(code: bytes, wide: bool) -> bytes:
    """FRSTOR [edi]; POPF; the instruction; PUSHF; FNSAVE [esi]; next case. `wide` for 64-bit hosts."""
    rex = b"\x48" if wide else b""
    body = b"\xdd\x27\xff\x77\x6c\x9d" + code + b"\x9c\x58" + b"\xdd\x36" + b"\x89\x46\x6c"
    body += rex + b"\x83\xc7\x78" + rex + b"\x83\xc6\x78" + rex + b"\x83\xc2\x10" + rex + b"\xff\xc9"
    return body + b"\x75" + (256 - len(body) - 2).to_bytes(1, "little")


def host_has_x87() -> bool:
    return platform.machine() in ("x86_64", "AMD64") and sys.platform.startswith("linux")


def on_host(code: bytes, cases: list[Case]) -> list[Outcome]:
    """Run on the processor beneath. `code` may use [edx]."""
    program = b"\xf3\x0f\x1e\xfa" + loop_code(code, True) + b"\xc3"  # endbr64 .. ret
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(program)
        handle = ctypes.c_char.from_buffer(page)
        function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_uint64)(ctypes.addressof(handle))
        before = ctypes.create_string_buffer(b"".join(case.image() for case in cases))
        after = ctypes.create_string_buffer(IMAGE * len(cases))
        memory = ctypes.create_string_buffer(b"".join(case.memory for case in cases))
        function(before, after, memory, len(cases))
        del handle, function
    return split(after.raw, memory.raw, len(cases))


def split(after: bytes, memory: bytes, count: int) -> list[Outcome]:
    return [outcome(after[IMAGE * i : IMAGE * (i + 1)], memory[16 * i : 16 * i + 16]) for i in range(count)]


@functools.cache
def machine() -> BareMachine:
    """One machine for all: flat protected mode, no devices."""
    return BareMachine(ram="4MiB", devices=(), history=False)


CODE, BEFORE, AFTER, MEMORY, STACK = 0x1000, 0x100000, 0x200000, 0x300000, 0x8000


def on_machine(code: bytes, cases: list[Case]) -> list[Outcome]:
    """Run in the simulated processor."""
    m = machine()
    m.reset()
    m.enter_protected_mode(eip=CODE, esp=STACK)
    m.write(CODE, loop_code(code, False) + b"\xf4")
    m.write(BEFORE, b"".join(case.image() for case in cases))
    m.write(MEMORY, b"".join(case.memory for case in cases))
    m.cpu.edi, m.cpu.esi, m.cpu.edx, m.cpu.ecx = BEFORE, AFTER, MEMORY, len(cases)
    m.run()
    assert m.cpu.halted, m.cpu
    return split(m.read(AFTER, IMAGE * len(cases)), m.read(MEMORY, 16 * len(cases)), len(cases))


# --- numbers -----------------------------------------------------------------------------------------

SIGNIFICANDS = (
    0, 1, 2, 0x7FFF_FFFF_FFFF_FFFF, TOP, TOP + 1, TOP + 2, 0xC000_0000_0000_0000, 0xC000_0000_0000_0001,
    0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFE, 0xFFFF_FF80_0000_0000, 0xFFFF_FF00_0000_0000,
    0x8000_0080_0000_0000, 0x8000_0000_0000_0400, 0x8000_0000_0000_0C00, 0xFFFF_FFFF_FFFF_FC00,
    0xFFFF_FFFF_FFFF_F800, 0x4000_0000_0000_0000, 0xA000_0000_0000_0000, 0x8000_0180_0000_0000,
)  # fmt: skip
EXPONENTS = (
    0, 1, 2, 0x3FFF, 0x3FFE, 0x4000, 0x3FFF + 62, 0x3FFF + 63, 0x3FFF + 64, 0x3FFF + 31, 0x3FFF + 15,
    0x3FFF - 127, 0x3FFF - 126, 0x3FFF - 149, 0x3FFF + 127, 0x3FFF + 128, 0x3FFF - 1022, 0x3FFF - 1074,
    0x3FFF + 1023, 0x3FFF + 1024, 0x7FFD, 0x7FFE, 0x7FFF, 0x3FFF - 64, 64, 63, 65,
)  # fmt: skip


def number(rng: random.Random) -> tuple[int, int]:
    """A register: any value, special ones often."""
    kind = rng.random()
    significand = rng.choice(SIGNIFICANDS)
    if kind < 0.5:
        significand = rng.getrandbits(64) | TOP
        if rng.random() < 0.4:  # few bits: exact and half-way cases
            significand &= ~0 << rng.randrange(64) & (1 << 64) - 1
            significand |= TOP
    elif kind < 0.55:
        significand = rng.getrandbits(64)
    exponent = rng.choice(EXPONENTS)
    if rng.random() < 0.6:
        exponent = min(max(0x3FFF + int(rng.gauss(0, 40)), 0), EXPONENT)
    elif rng.random() < 0.2:
        exponent = rng.randrange(0x8000)
    return significand, rng.getrandbits(1) << 15 | exponent


def near(rng: random.Random, other: tuple[int, int]) -> tuple[int, int]:
    """A register close to another one: cancellation, ties, equal NaNs."""
    significand, head = other
    exponent = min(max((head & EXPONENT) + rng.choice((0, 0, 0, 1, -1, 2, -63, 64, 65)), 0), EXPONENT)
    significand = (significand + rng.choice((0, 0, 1, -1, 1 << 40, 1 << 11))) % (1 << 64)
    if rng.random() < 0.8 and exponent:
        significand |= TOP
    return significand, rng.getrandbits(1) << 15 | exponent


def memory(rng: random.Random) -> bytes:
    """A memory operand: at its beginning a number of some format, often a special one."""
    kind = rng.randrange(5)
    sign = rng.getrandbits(1)
    if kind == 0:  # 32 bits
        exponent = rng.choice((0, 0, 1, 126, 127, 128, 254, 255, 255, rng.randrange(256)))
        fraction = rng.choice((0, 1, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFF, rng.getrandbits(23)))
        return (sign << 31 | exponent << 23 | fraction).to_bytes(4, "little") + rng.randbytes(12)
    if kind == 1:  # 64 bits
        exponent = rng.choice((0, 0, 1, 1022, 1023, 1024, 2046, 2047, 2047, rng.randrange(2048)))
        fraction = rng.choice((0, 1, (1 << 51) - 1, 1 << 51, (1 << 52) - 1, rng.getrandbits(52)))
        return (sign << 63 | exponent << 52 | fraction).to_bytes(8, "little") + rng.randbytes(8)
    if kind == 2:  # integers at the edges
        edge = rng.choice((0, 1, 2, 1 << 15, 1 << 31, 1 << 63, rng.getrandbits(40)))
        return ((edge + rng.choice((0, -1, 1))) % (1 << 64)).to_bytes(8, "little") + rng.randbytes(8)
    if kind == 3:  # decimal digits
        digits = [rng.randrange(10) << 4 | rng.randrange(10) for _ in range(9)]
        return bytes(digits) + bytes([sign << 7]) + rng.randbytes(6)
    significand, head = number(rng)
    return significand.to_bytes(8, "little") + head.to_bytes(2, "little") + rng.randbytes(6)


def case(rng: random.Random, wild: float = 0.2) -> Case:
    """A random state: mostly all exceptions masked, mostly a full enough stack."""
    first = number(rng)
    second = near(rng, first) if rng.random() < 0.3 else number(rng)
    stack: list[tuple[int, int] | None] = [first, second, number(rng), number(rng)]
    if rng.random() < 0.03:
        stack = [first, second, *(number(rng) for _ in range(6))]
    for i in range(2):
        if rng.random() < 0.02:
            stack[i] = None
    control = 0x7F | rng.randrange(4) << 10 | rng.choice((0, 2, 3, 3)) << 8
    if rng.random() < wild:
        control &= ~rng.getrandbits(6)
    status = rng.randrange(8) << 11 | rng.getrandbits(1) << 9
    status |= rng.choice((0, 0x4500, 0x4000))
    return Case(stack, control, status, memory(rng), 2 | rng.getrandbits(12) & 0x8D5)
