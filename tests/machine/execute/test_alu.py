"""Arithmetic, shifts and decimal instructions against two independent judges.

The first is a small model in plain Python that follows the manual's pseudo-code one bit or
one step at a time; 8-bit operands are tried exhaustively. The second is Unicorn, which runs
the native instruction on random operands of every size. Flags the manual leaves undefined
are not compared (opcodes.FLAGS_WRITTEN_UNDEFINED).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from pyvirt_edu.machine.decode import operations
from pyvirt_edu.machine.execute import alu, shifts
from pyvirt_edu.machine.opcodes import FLAGS_WRITTEN_UNDEFINED
from pyvirt_edu.machine.state import flags, jit, layout
from pyvirt_edu.machine.state.jit import core
from pyvirt_edu.machine.state.layout import (
    AF,
    ARITHMETIC,
    CC_CARRIES,
    CC_RESULT,
    CF,
    OF,
    PF,
    RAX,
    RCX,
    RDX,
    SF,
    T0,
    T3,
    T4,
    ZF,
)

from ..core_bench import Bench

u64 = np.uint64
LETTERS = {"o": OF, "s": SF, "z": ZF, "a": AF, "p": PF, "c": CF}
BINARY = "ADD OR ADC SBB AND SUB XOR CMP TEST".split()
UNARY = "INC DEC NOT NEG".split()
SHIFTS = "ROL ROR RCL RCR SHL SHR SAR".split()


def number(name: str) -> int:
    """Of an operation in its unit."""
    return int(getattr(operations, f"OP_{name}"))


def defined(mnemonic: str) -> int:
    """The flags of an instruction that have a meaning: all six but the undefined ones."""
    undefined = FLAGS_WRITTEN_UNDEFINED.get(mnemonic, ("", ""))[1]
    return ARITHMETIC & ~sum(LETTERS[letter] for letter in undefined)


# --- the model ------------------------------------------------------------------------------------


def result_flags(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    even = bin(value & 0xFF).count("1") % 2 == 0
    return (ZF if value == 0 else 0) | (SF if value >> (bits - 1) else 0) | (PF if even else 0)


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def model_binary(name: str, a: int, b: int, bits: int, old: int) -> tuple[int, int]:
    mask = (1 << bits) - 1
    if name in ("AND", "OR", "XOR", "TEST"):
        r = {"AND": a & b, "OR": a | b, "XOR": a ^ b, "TEST": a & b}[name]
        return (a if name == "TEST" else r), result_flags(r, bits)
    carry = 1 if name in ("ADC", "SBB") and old & CF else 0
    if name in ("ADD", "ADC"):
        r, s = a + b + carry, signed(a, bits) + signed(b, bits) + carry
        half = (a & 15) + (b & 15) + carry > 15
    else:
        r, s = a - b - carry, signed(a, bits) - signed(b, bits) - carry
        half = (a & 15) - (b & 15) - carry < 0
    out = result_flags(r, bits)
    out |= CF if r != r & mask else 0
    out |= OF if s != signed(r & mask, bits) else 0
    out |= AF if half else 0
    return (a if name == "CMP" else r & mask), out


def model_unary(name: str, a: int, bits: int, old: int) -> tuple[int, int]:
    if name == "NOT":
        return ~a & (1 << bits) - 1, old
    if name == "NEG":
        return model_binary("SUB", 0, a, bits, old)
    r, out = model_binary("ADD" if name == "INC" else "SUB", a, 1, bits, old)
    return r, (out & ~CF) | (old & CF)


def model_shift(name: str, a: int, count: int, bits: int, old: int) -> tuple[int, int]:
    """One place at a time."""
    count &= 31
    top, cf, of = bits - 1, old & CF, bool(old & OF)
    mask = (1 << bits) - 1
    for _ in range(count):
        before, out_left, out_right = a, a >> top, a & 1
        if name == "ROL":
            a, cf = (a << 1 | out_left) & mask, out_left
        elif name == "ROR":
            a, cf = a >> 1 | out_right << top, out_right
        elif name == "RCL":
            a, cf = (a << 1 | cf) & mask, out_left
        elif name == "RCR":
            a, cf = a >> 1 | cf << top, out_right
        elif name == "SHL":
            a, cf = a << 1 & mask, out_left
        elif name == "SHR":
            a, cf = a >> 1, out_right
        else:
            a, cf = a >> 1 | before & 1 << top, out_right
        of = before >> top != a >> top
    if count == 0:
        return a, old
    keep = old & (SF | ZF | AF | PF) if name in ("ROL", "ROR", "RCL", "RCR") else result_flags(a, bits)
    return a, keep | cf | (OF if of else 0)


def model_double_shift(name: str, a: int, filler: int, count: int, bits: int, old: int) -> tuple[int, int]:
    count &= 31
    if count == 0:
        return a, old
    before, cf = a, 0
    for _ in range(count):
        before = a
        if name == "SHLD":
            cf = a >> (bits - 1)
            a = (a << 1 | filler >> (bits - 1)) & (1 << bits) - 1
            filler = filler << 1 & (1 << bits) - 1
        else:
            cf = a & 1
            a = a >> 1 | (filler & 1) << (bits - 1)
            filler >>= 1
    return a, result_flags(a, bits) | cf | (OF if (before ^ a) >> (bits - 1) else 0)


def model_decimal(name: str, ax: int, imm: int, old: int) -> tuple[int, int] | None:
    """The operation sections of DAA, DAS, AAA, AAS, AAM, AAD; None is #DE."""
    al, ah = ax & 255, ax >> 8
    cf, af = old & CF, bool(old & AF)
    if name in ("DAA", "DAS"):
        sign = 1 if name == "DAA" else -1
        old_al, old_cf, cf = al, cf, 0
        if al & 15 > 9 or af:
            al += 6 * sign
            cf = int(bool(old_cf or al not in range(256)))
            al &= 255
            af = True
        else:
            af = False
        if old_al > 0x99 or old_cf:
            al = (al + 0x60 * sign) & 255
            cf = 1
        elif name == "DAA":
            cf = 0
        return ah << 8 | al, result_flags(al, 8) | cf | (AF if af else 0)
    if name in ("AAA", "AAS"):
        if al & 15 > 9 or af:
            ax = (ax + (0x106 if name == "AAA" else -0x106)) & 0xFFFF
            return ax & 0xFF0F, CF | AF
        return ax & 0xFF0F, 0
    if name == "AAM":
        if imm == 0:
            return None
        return al // imm << 8 | al % imm, result_flags(al % imm, 8)
    al = (al + ah * imm) & 255
    return al, result_flags(al, 8)


def model_multiply(name: str, a: int, b: int, bits: int) -> tuple[int, int]:
    """The double-width product and CF, OF."""
    if name == "MUL":
        product = a * b
        lost = product >> bits != 0
    else:
        product = signed(a, bits) * signed(b, bits)
        lost = product != signed(product & (1 << bits) - 1, bits)
    return product & (1 << 2 * bits) - 1, CF | OF if lost else 0


def model_divide(name: str, dividend: int, divisor: int, bits: int) -> tuple[int, int] | None:
    """Quotient and remainder; None is #DE."""
    if divisor == 0:
        return None
    if name == "DIV":
        quotient, remainder = divmod(dividend, divisor)
        if quotient >> bits:
            return None
    else:
        n, d = signed(dividend, 2 * bits), signed(divisor, bits)
        quotient = abs(n) // abs(d) * (1 if (n < 0) == (d < 0) else -1)  # truncated toward zero
        remainder = n - quotient * d
        if not -(1 << bits - 1) <= quotient < 1 << bits - 1:
            return None
    mask = (1 << bits) - 1
    return quotient & mask, remainder & mask


# --- the core, many cases a call -------------------------------------------------------------------


@core
def run_binary(op, size, a, b, f, value, out):
    for i in range(a.size):
        r, result, carries = alu.alu(op, a[i], b[i], size, flags.carries_for(f[i]))
        value[i] = r
        out[i] = flags.get_arithmetic(result, carries)


@core
def run_unary(op, size, a, b, f, value, out):
    for i in range(a.size):
        r, result, carries = alu.unary(op, a[i], size, flags.result_for(f[i]), flags.carries_for(f[i]))
        value[i] = r
        out[i] = flags.get_arithmetic(result, carries)


@core
def run_shift(op, size, a, b, f, value, out):
    for i in range(a.size):
        r, result, carries = shifts.shift(
            op, a[i], b[i] & 31, size, flags.result_for(f[i]), flags.carries_for(f[i])
        )
        value[i] = r
        out[i] = flags.get_arithmetic(result, carries)


@core
def run_double_shift(op, size, a, b, f, value, out):
    """The operands are packed: filler in bits 8..39 of b, count below."""
    for i in range(a.size):
        r, result, carries = shifts.double_shift(
            op, a[i], b[i] >> 8, b[i] & 31, size, flags.result_for(f[i]), flags.carries_for(f[i])
        )
        value[i] = r
        out[i] = flags.get_arithmetic(result, carries)


def column(values: Iterable[int]) -> np.ndarray:
    return np.fromiter(values, u64)


def check(driver: Callable, op: int, bits: int, cases: list[tuple[int, int, int]], model: Callable,
          mask: Callable[[int], int]) -> None:  # fmt: skip
    """Compare value and flags of the core with the model's, case by case."""
    a, b, f = (column(c[k] for c in cases) for k in range(3))
    value, out = np.zeros(len(cases), u64), np.zeros(len(cases), u64)
    driver(u64(op), u64(bits // 8), a, b, f, value, out)
    for case, got, got_flags in zip(cases, value.tolist(), out.tolist()):
        expected, expected_flags = model(*case)
        shown = mask(case[1])
        assert (got, got_flags & shown) == (expected, expected_flags & shown), (op, bits, case)


def random_cases(
    bits: int, count: int, rng: random.Random, second: Callable[[], int] | None
) -> list[tuple[int, int, int]]:
    """Half uniform, half near the corners."""
    corners = [0, 1, 2, 7, 8, 9, 15, 16, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits) - 1, (1 << bits) - 2]
    pick = lambda: rng.choice(corners) if rng.random() < 0.5 else rng.getrandbits(bits)  # noqa: E731
    return [(pick(), second() if second else pick(), rng.getrandbits(12) & ARITHMETIC) for _ in range(count)]


EVERY_PAIR = [(a, b, c) for a in range(256) for b in range(256) for c in (0, CF)]


@pytest.mark.parametrize("name", BINARY)
def test_binary_8_bit_exhaustively(name: str) -> None:
    op = BINARY.index(name)
    check(
        run_binary, op, 8, EVERY_PAIR, lambda a, b, f: model_binary(name, a, b, 8, f), lambda _: defined(name)
    )


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("name", BINARY)
def test_binary_wide(name: str, bits: int) -> None:
    cases = random_cases(bits, 2000, random.Random(name), None)
    op = BINARY.index(name)
    check(
        run_binary,
        op,
        bits,
        cases,
        lambda a, b, f: model_binary(name, a, b, bits, f),
        lambda _: defined(name),
    )


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    op = UNARY.index(name)
    every = [(a, 0, f) for a in range(256) for f in (0, ARITHMETIC, CF, ARITHMETIC & ~CF)]
    check(run_unary, op, 8, every, lambda a, b, f: model_unary(name, a, 8, f), lambda _: ARITHMETIC)
    for bits in (16, 32):
        cases = random_cases(bits, 1000, random.Random(name), None)
        check(
            run_unary,
            op,
            bits,
            cases,
            lambda a, b, f, n=bits: model_unary(name, a, n, f),
            lambda _: ARITHMETIC,
        )


def shift_mask(name: str, count: int) -> int:
    """AF is undefined for shifts unless the count is 0. OF above 1 is our documented choice."""
    return defined(name) if count & 31 else ARITHMETIC


@pytest.mark.parametrize("name", SHIFTS)
def test_shift_8_bit_exhaustively(name: str) -> None:
    every = [(a, n, f) for a in range(256) for n in range(32) for f in (0, ARITHMETIC)]
    op = number(name)
    check(
        run_shift, op, 8, every, lambda a, n, f: model_shift(name, a, n, 8, f), lambda n: shift_mask(name, n)
    )


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("name", SHIFTS)
def test_shift_wide(name: str, bits: int) -> None:
    rng = random.Random(name)
    cases = random_cases(bits, 2000, rng, lambda: rng.randrange(32))
    op = number(name)
    check(
        run_shift,
        op,
        bits,
        cases,
        lambda a, n, f: model_shift(name, a, n, bits, f),
        lambda n: shift_mask(name, n),
    )


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("name", ["SHLD", "SHRD"])
def test_double_shift(name: str, bits: int) -> None:
    rng = random.Random(name)
    second = lambda: rng.getrandbits(bits) << 8 | rng.randrange(bits + 1 if bits == 16 else 32)  # noqa: E731
    cases = random_cases(bits, 2000, rng, second)
    check(
        run_double_shift, number(name), bits, cases,
        lambda a, b, f: model_double_shift(name, a, b >> 8, b, bits, f), lambda b: shift_mask(name, b),
    )  # fmt: skip


# --- instructions of the arithmetic unit ---------------------------------------------------------------


class Unit(Bench):
    """Runs one assist at a time and says what became of the registers."""

    def __init__(self) -> None:
        super().__init__()
        from pyvirt_edu.machine.execute import arithmetic

        self.function = jit.core(arithmetic.assist_arithmetic)

    def run(
        self, op: int, size: int, *, imm: int = 0, eflags: int = 0, **registers: int
    ) -> dict[str, int] | None:
        """Returns registers and flags, or None after #DE; nothing may have changed then."""
        c = self.words
        places = {"eax": RAX, "ecx": RCX, "edx": RDX, "t0": T0, "t3": T3, "t4": T4}
        for name, value in registers.items():
            c[places[name]] = value
        c[CC_RESULT], c[CC_CARRIES] = flags.result_for(u64(eflags)), flags.carries_for(u64(eflags))
        before = c.copy()
        self.function(self.m, u64(op), u64(size), u64(imm))
        if c[layout.EVENT]:
            assert c[layout.EVENT] == layout.EVENT_FAULT | layout.DE
            c[layout.EVENT] = 0
            assert (c == before).all()
            return None
        state = {name: int(c[place]) for name, place in places.items()}
        state["eflags"] = int(flags.get_arithmetic(c[CC_RESULT], c[CC_CARRIES]))
        return state


@pytest.fixture(scope="module")
def unit() -> Unit:
    pytest.importorskip("pyvirt_edu.machine.memory.slow_path")
    return Unit()


@pytest.mark.parametrize("name", "DAA DAS AAA AAS".split())
def test_decimal_adjust(unit: Unit, name: str) -> None:
    op, shown = number(name), defined(name)
    for al in range(256):
        for eflags in (0, CF, AF, CF | AF):
            for ah in (0, 1, 0x7F, 0xFF):
                state = unit.run(op, 1, eax=0xABCD0000 | ah << 8 | al, eflags=eflags)
                ax, expected = model_decimal(name, ah << 8 | al, 0, eflags)
                assert state["eax"] == 0xABCD0000 | ax, (name, al, ah, eflags)
                assert state["eflags"] & shown == expected & shown, (name, al, ah, eflags)


@pytest.mark.parametrize("name", ["AAM", "AAD"])
def test_decimal_base(unit: Unit, name: str) -> None:
    op, shown = number(name), defined(name)
    for imm in (0, 1, 2, 7, 10, 16, 100, 255):
        for ax in range(0, 65536, 97):
            state, expected = unit.run(op, 1, imm=imm, eax=ax), model_decimal(name, ax, imm, 0)
            if expected is None:
                assert state is None
            else:
                assert (state["eax"], state["eflags"] & shown) == (expected[0], expected[1] & shown), (
                    ax,
                    imm,
                )


@pytest.mark.parametrize("name", ["MUL", "IMUL"])
def test_multiply(unit: Unit, name: str) -> None:
    op, rng = number(name), random.Random(name)
    cases = [(8, a, b) for a in range(256) for b in range(0, 256, 3)]
    cases += [(bits, a, b) for bits in (16, 32) for a, b, _ in random_cases(bits, 2000, rng, None)]
    for bits, a, b in cases:
        state = unit.run(op, bits // 8, eax=0xEEEE0000 | a if bits < 32 else a, edx=0x77777777, t0=b)
        product, expected = model_multiply(name, a, b, bits)
        mask = (1 << bits) - 1
        if bits == 8:
            eax, edx = 0xEEEE0000 | product, 0x77777777
        elif bits == 16:
            eax, edx = 0xEEEE0000 | product & mask, 0x77770000 | product >> bits
        else:
            eax, edx = product & mask, product >> bits
        assert (state["eax"], state["edx"], state["eflags"] & (CF | OF)) == (eax, edx, expected), (bits, a, b)


@pytest.mark.parametrize("name", ["DIV", "IDIV"])
def test_divide(unit: Unit, name: str) -> None:
    op, rng = number(name), random.Random(name)
    edges = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x3F80, 0x3FFF, 0x4000, 0x4080, 0x7FFF, 0x8000, 0xFF80, 0xFFFF]
    cases = [(8, n, d) for d in range(256) for n in edges + [rng.getrandbits(16) for _ in range(40)]]
    for bits in (16, 32):
        top = 1 << bits - 1
        divisors = [0, 1, 2, 3, top - 1, top, top + 1, 2 * top - 1]
        for _ in range(3000):
            d = rng.choice(divisors) if rng.random() < 0.4 else rng.getrandbits(rng.randrange(1, bits + 1))
            q = rng.choice([0, 1, top - 1, top, top + 1, 2 * top - 1, 2 * top, rng.getrandbits(bits)])
            n = q * d + rng.choice([0, 1, d - 1, d])
            if name == "IDIV":
                n = rng.choice([1, -1]) * signed(q & 2 * top - 1, bits) * signed(d, bits)
                n += rng.choice([0, 1, -1, d - 1])
            cases.append((bits, n & (1 << 2 * bits) - 1, d))
    faults = 0
    for bits, n, d in cases:
        mask = (1 << bits) - 1
        eax, edx = (n & mask, n >> bits) if bits > 8 else (n, 0)
        state, expected = unit.run(op, bits // 8, eax=eax, edx=edx, t0=d), model_divide(name, n, d, bits)
        if expected is None:
            faults += 1
            assert state is None, (bits, hex(n), hex(d))
        else:
            q, r = expected
            wanted = (r << 8 | q, 0) if bits == 8 else (q, r)
            assert state is not None and (state["eax"], state["edx"]) == wanted, (bits, hex(n), hex(d))
    assert faults > len(cases) // 20  # the quotients that do not fit were really tried


# --- Unicorn as the judge ----------------------------------------------------------------------------


class Native:
    """Runs one native instruction over a table of (eax, ebx, ecx, edx, eflags) in Unicorn."""

    CODE, IN, OUT, STACK = 0x1000, 0x100000, 0x200000, 0x90000

    def __init__(self) -> None:
        self.unicorn = pytest.importorskip("unicorn")
        x86 = pytest.importorskip("unicorn.x86_const")
        self.x86 = x86
        self.uc = self.unicorn.Uc(self.unicorn.UC_ARCH_X86, self.unicorn.UC_MODE_32)
        self.uc.mem_map(0, 0x400000)

    def run(self, instruction: bytes, cases: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        head = bytes.fromhex("8B06 8B5E04 8B4E08 8B560C FF7610 9D")  # load the registers and flags
        tail = bytes.fromhex("9C 8F4710 8907 895F04 894F08 89570C 83C614 83C714 4D")
        body = head + instruction + tail
        body += b"\x0f\x85" + struct.pack("<i", -len(body) - 6)  # jnz to the start
        uc, x86 = self.uc, self.x86
        uc.ctl_remove_cache(self.CODE, self.CODE + 0x1000)
        uc.mem_write(self.CODE, body)
        uc.mem_write(self.IN, b"".join(struct.pack("<5I", *case) for case in cases))
        start = {
            x86.UC_X86_REG_ESI: self.IN,
            x86.UC_X86_REG_EDI: self.OUT,
            x86.UC_X86_REG_EBP: len(cases),
            x86.UC_X86_REG_ESP: self.STACK,
        }
        for register, value in start.items():
            uc.reg_write(register, value)
        uc.emu_start(self.CODE, self.CODE + len(body))
        data = bytes(uc.mem_read(self.OUT, 20 * len(cases)))
        return list(struct.iter_unpack("<5I", data))


@pytest.fixture(scope="module")
def native() -> Native:
    return Native()


def full(value: int, bits: int, old: int) -> int:
    """A register after its low part was written."""
    mask = (1 << bits) - 1
    return (old & ~mask) | value


def encode(bits: int, opcode8: bytes, opcode: bytes, modrm: int, imm: bytes = b"") -> bytes:
    return (b"\x66" if bits == 16 else b"") + (opcode8 if bits == 8 else opcode) + bytes([modrm]) + imm


def random_registers(rng: random.Random, count: int) -> list[tuple[int, ...]]:
    corners = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    pick = lambda: rng.choice(corners) if rng.random() < 0.4 else rng.getrandbits(32)  # noqa: E731
    return [(pick(), pick(), pick(), pick(), 2 | rng.getrandbits(12) & ARITHMETIC) for _ in range(count)]


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_binary_and_unary_as_unicorn(native: Native, bits: int) -> None:
    cases = random_registers(random.Random(bits), 400)
    mask = (1 << bits) - 1
    a = column(c[0] & mask for c in cases)
    b = column(c[1] & mask for c in cases)
    f = column(c[4] & ARITHMETIC for c in cases)
    value, out = np.zeros(len(cases), u64), np.zeros(len(cases), u64)
    jobs = []
    for op, name in enumerate(BINARY):
        opcode = 8 * op if name != "TEST" else 0x84
        jobs.append(
            (run_binary, op, name, encode(bits, bytes([opcode]), bytes([opcode + 1]), 0xD8))
        )  # eax, ebx
    for op, name in enumerate(UNARY):
        opcode, reg = {"INC": (0xFE, 0), "DEC": (0xFE, 1), "NOT": (0xF6, 2), "NEG": (0xF6, 3)}[name]
        jobs.append(
            (run_unary, op, name, encode(bits, bytes([opcode]), bytes([opcode + 1]), 0xC0 | reg << 3))
        )
    for driver, op, name, instruction in jobs:
        driver(u64(op), u64(bits // 8), a, b, f, value, out)
        for case, answer, r, got in zip(cases, native.run(instruction, cases), value.tolist(), out.tolist()):
            assert full(r, bits, case[0]) == answer[0], (name, bits, case)
            assert got & defined(name) == answer[4] & defined(name), (name, bits, case)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_shifts_as_unicorn(native: Native, bits: int) -> None:
    rng = random.Random(bits)
    mask = (1 << bits) - 1
    cases = random_registers(rng, 1500)
    a, f = column(c[0] & mask for c in cases), column(c[4] & ARITHMETIC for c in cases)
    value, out = np.zeros(len(cases), u64), np.zeros(len(cases), u64)
    jobs = []
    for i, name in enumerate(SHIFTS):
        reg = i if name != "SAR" else 7
        jobs.append(
            (
                run_shift,
                number(name),
                name,
                encode(bits, b"\xd2", b"\xd3", 0xC0 | reg << 3),
            )
        )
    if bits > 8:
        jobs.append((run_double_shift, number("SHLD"), "SHLD", encode(bits, b"", b"\x0f\xa5", 0xD8)))
        jobs.append((run_double_shift, number("SHRD"), "SHRD", encode(bits, b"", b"\x0f\xad", 0xD8)))
    for driver, op, name, instruction in jobs:
        second = column(
            (c[1] & mask) << 8 | c[2] & 31 if driver is run_double_shift else c[2] & 31 for c in cases
        )
        driver(u64(op), u64(bits // 8), a, second, f, value, out)
        for case, answer, r, got in zip(cases, native.run(instruction, cases), value.tolist(), out.tolist()):
            count = case[2] & 31
            shown = shift_mask(name, count)
            if count > 1:  # the manual defines OF for counts of one
                shown &= ~OF
            if driver is run_double_shift and count > bits:  # value and flags undefined
                continue
            if count >= bits and name in ("SHL", "SHR"):  # CF undefined
                shown &= ~CF
            assert full(r, bits, case[0]) == answer[0], (name, bits, case)
            assert got & shown == answer[4] & shown, (name, bits, case)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_multiply_divide_and_decimal_as_unicorn(unit: Unit, native: Native, bits: int) -> None:
    cases = random_registers(random.Random(bits), 300)
    mask = (1 << bits) - 1
    encoded = []
    for name, reg in zip("MUL IMUL DIV IDIV".split(), range(4, 8)):
        encoded.append((name, number(name), encode(bits, b"\xf6", b"\xf7", 0xC3 | reg << 3), 0))  # ebx
    if bits == 8:
        for opcode, name in ((0x27, "DAA"), (0x2F, "DAS"), (0x37, "AAA"), (0x3F, "AAS")):
            encoded.append((name, number(name), bytes([opcode]), 0))
        encoded += [("AAM", number("AAM"), b"\xd4\x07", 7), ("AAD", number("AAD"), b"\xd5\x0a", 10)]
    for name, op, instruction, imm in encoded:
        states = []
        for case in cases:
            eax, ebx, _, edx, eflags = case
            state = unit.run(
                op, bits // 8, imm=imm, eflags=eflags & ARITHMETIC, eax=eax, edx=edx, t0=ebx & mask
            )
            states.append((case, state))
        good = [(case, state) for case, state in states if state is not None]  # Unicorn stops at #DE
        assert good
        for (case, state), answer in zip(good, native.run(instruction, [case for case, _ in good])):
            assert (state["eax"], state["edx"]) == (answer[0], answer[3]), (name, bits, case)
            assert state["eflags"] & defined(name) == answer[4] & defined(name), (name, bits, case)
