"""The x87 against exact arithmetic: fractions for what is algebraic, mpmath for the rest.

The model below is written from the manual (volume 1, 4.8 and 8.5), not from the core: it
computes in fractions, then rounds once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction

import mpmath
import pytest

from pyvirt_edu.machine.x87.values import Float80

from .lab import EXPONENT, TOP, Case, Outcome, number, on_machine

BIAS = 16383
IE, DE, ZE, OE, UE, PE, C1 = 1, 2, 4, 8, 16, 32, 0x200
KEEP = {0: 24, 2: 53, 3: 64}  # precision control
NEAREST, DOWN, UP, CHOP = range(4)


def power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def round_integer(value: Fraction, mode: int, negative: bool) -> int:
    """A magnitude to an integer, by the rounding of a number with this sign."""
    if mode == NEAREST:
        return round(value)  # ties to even
    return math.ceil(value) if mode == (DOWN if negative else UP) else math.floor(value)


def rounded(value: Fraction, mode: int, keep: int, lowest: int, highest: int) -> tuple[Fraction | None, int]:
    """A fraction in a format: exponents `lowest` to `highest`; None for infinity, and flags."""
    negative, magnitude = value < 0, abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < power(exponent)
    free = round_integer(magnitude / power(exponent - keep + 1), mode, negative)
    after = exponent + (free == 1 << keep)
    if after > highest:
        to_infinity = mode == NEAREST or mode == (DOWN if negative else UP)
        largest = (power(keep) - 1) * power(highest - keep + 1)
        if to_infinity:
            return None, OE | PE | C1
        return (-largest if negative else largest), OE | PE
    flags = 0
    if after < lowest:
        unit = power(lowest - keep + 1)
        free = round_integer(magnitude / unit, mode, negative)
        flags = UE if free * unit != magnitude else 0
    else:
        unit = power(exponent - keep + 1)
    result = free * unit
    if result != magnitude:
        flags |= PE | (C1 if result > magnitude else 0)
    return (-result if negative else result), flags


def to_register(value: Fraction | None, negative: bool) -> tuple[int, int]:
    if value is None:
        return TOP, negative << 15 | EXPONENT
    if value == 0:
        return 0, negative << 15
    made = Float80.nearest(value)
    assert made.exact == value
    return made.significand, made.head


def finite(rng: random.Random) -> tuple[int, int]:
    """A finite number of an encoding the x87 supports."""
    while True:
        significand, head = number(rng)
        exponent = head & EXPONENT
        if exponent == 0 or (exponent < EXPONENT and significand & TOP):
            return significand, head


def is_denormal(register: tuple[int, int]) -> bool:
    return register[1] & EXPONENT == 0 and register[0] != 0


def exact(register: tuple[int, int]) -> Fraction:
    return Float80(*register).exact


def states(count: int, seed: str) -> list[Case]:
    rng = random.Random(seed)
    cases = []
    for _ in range(count):
        control = 0x7F | rng.choice(list(KEEP)) << 8 | rng.randrange(4) << 10
        cases.append(Case([finite(rng), finite(rng)], control))
    return cases


def run(code: str, cases: list[Case]) -> list[Outcome]:
    return on_machine(bytes.fromhex(code), cases)


ARITHMETIC: dict[str, tuple[str, Callable[[Fraction, Fraction], Fraction]]] = {
    "FADD": ("d8 c1", lambda a, b: a + b),
    "FSUB": ("d8 e1", lambda a, b: a - b),
    "FMUL": ("d8 c9", lambda a, b: a * b),
    "FDIV": ("d8 f1", lambda a, b: a / b),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name: str) -> None:
    """Four operations, three precisions, four roundings: result, flags and C1."""
    code, compute = ARITHMETIC[name]
    cases = [one for one in states(4000, name) if all(register and register[0] for register in one.stack)]
    for one, after in zip(cases, run(code, cases)):
        a, b = one.stack[0], one.stack[1]
        assert a and b
        value = compute(exact(a), exact(b))
        mode, keep = one.control >> 10 & 3, KEEP[one.control >> 8 & 3]
        flags = DE if is_denormal(a) or is_denormal(b) else 0
        if value == 0:
            result = to_register(Fraction(0), mode == DOWN)  # x - x
        else:
            best, more = rounded(value, mode, keep, 1 - BIAS, BIAS)
            result, flags = to_register(best, value < 0), flags | more
        assert (after.stack[0], after.status & 0x23F) == (result, flags), one


def test_square_root() -> None:
    cases = [one for one in states(4000, "FSQRT") if one.stack[0] and one.stack[0][0]]
    for one, after in zip(cases, run("d9 fa", cases)):
        a = one.stack[0]
        assert a
        value, mode, keep = exact(a), one.control >> 10 & 3, KEEP[one.control >> 8 & 3]
        if value < 0:
            assert after.status & 0x3F == IE and after.stack[0] == (3 << 62, 0xFFFF)
            continue
        # 140 bits of the root, and one more bit if it goes on
        shift = 2 * ((300 - value.numerator.bit_length() + value.denominator.bit_length()) // 2)
        scaled = value * power(shift)
        root = math.isqrt(int(scaled))
        root = 2 * root + (Fraction(root) ** 2 != scaled)
        best, flags = rounded(Fraction(root) / 2 / power(shift // 2), mode, keep, 1 - BIAS, BIAS)
        flags |= DE if is_denormal(a) else 0
        assert (after.stack[0], after.status & 0x23F) == (to_register(best, False), flags), one


@pytest.mark.parametrize(("code", "nearest"), [("d9 f8", False), ("d9 f5", True)], ids=["FPREM", "FPREM1"])
def test_remainder(code: str, nearest: bool) -> None:
    """Exact when it is complete; else smaller, and congruent."""
    cases = [one for one in states(4000, code) if one.stack[1] and one.stack[1][0]]
    complete = 0
    for one, after in zip(cases, run(code, cases)):
        a, b = one.stack[0], one.stack[1]
        assert a and b
        x, y, rest = exact(a), exact(b), exact(after.stack[0])
        assert not after.status & (PE | UE | OE)
        assert ((x - rest) / y).denominator == 1
        if after.status & 0x400:
            assert abs(rest) < abs(x) and abs(x / y) >= power(62)
            continue
        complete += 1
        quotient = round(x / y) if nearest else int(x / y)
        assert rest == x - quotient * y, one
        assert (after.stack[0][1] ^ a[1]) & 0x8000 == 0 or rest
        codes = abs(quotient) & 7
        assert after.status & 0x4300 == (codes & 4) << 6 | (codes & 2) << 13 | (codes & 1) << 9
    assert complete > 2000


def test_round_to_integer() -> None:
    cases = states(3000, "FRNDINT")
    for one, after in zip(cases, run("d9 fc", cases)):
        a = one.stack[0]
        assert a
        value, mode = exact(a), one.control >> 10 & 3
        best = round_integer(abs(value), mode, value < 0)
        flags = DE if is_denormal(a) else 0
        if best != abs(value):
            flags |= PE | (C1 if best > abs(value) else 0)
        assert abs(exact(after.stack[0])) == best and after.stack[0][1] >> 15 == a[1] >> 15
        assert after.status & 0x23F == flags


def test_scale_and_extract() -> None:
    rng = random.Random("FSCALE")
    cases = []
    for _ in range(3000):
        by = Float80.nearest(Fraction(rng.randrange(-40_000, 40_000) + rng.choice((0, 0, Fraction(1, 3)))))
        cases.append(Case([finite(rng), (by.significand, by.head)], 0x37F | rng.randrange(4) << 10))
    for one, after in zip(cases, run("d9 fd", cases)):
        a, b = one.stack[0], one.stack[1]
        assert a and b
        value = exact(a) * power(int(exact(b)))
        flags = DE if is_denormal(a) else 0
        if value == 0:
            assert after.stack[0] == a
            continue
        best, more = rounded(value, one.control >> 10 & 3, 64, 1 - BIAS, BIAS)
        assert (after.stack[0], after.status & 0x23F) == (to_register(best, value < 0), flags | more), one
    for one, after in zip(cases, run("d9 f4", cases)):  # FXTRACT
        a = one.stack[0]
        assert a
        if a[0]:
            significand, exponent = exact(after.stack[0]), exact(after.stack[1])
            assert 1 <= abs(significand) < 2 and significand * power(int(exponent)) == exact(a)


@pytest.mark.parametrize(
    ("code", "size", "keep", "least"),
    [("d9 1a", 4, 24, -126), ("dd 1a", 8, 53, -1022)],
    ids=["FSTP m32", "FSTP m64"],
)
def test_store_and_load(code: str, size: int, keep: int, least: int) -> None:
    """A register to 32 or 64 bits by the rounding control, and back without loss."""
    rng = random.Random(code)
    cases = []
    for _ in range(4000):
        significand, head = finite(rng)
        if rng.random() < 0.8:  # about where the format begins and ends
            edge = rng.choice((0, least, least - keep, 1 - least))
            head = head & 0x8000 | BIAS + edge + rng.randrange(-3, 4)
            significand |= TOP
        cases.append(Case([(significand, head)], 0x37F | rng.randrange(4) << 10))
    outcomes = run(code, cases)
    for one, after in zip(cases, outcomes):
        a = one.stack[0]
        assert a
        value = exact(a)
        if value == 0:
            continue
        best, flags = rounded(value, one.control >> 10 & 3, keep, least, 1 - least)
        bits = int.from_bytes(after.memory[:size], "little")
        sign, bits = bits >> (8 * size - 1), bits & (1 << (8 * size - 1)) - 1
        exponent, fraction = bits >> (keep - 1), bits & (1 << (keep - 1)) - 1
        if best is None:
            assert exponent == (1 << (8 * size - keep)) - 1 and fraction == 0
        else:
            made = (fraction | (exponent > 0) << (keep - 1)) * power(max(exponent, 1) - 1 + least - keep + 1)
            assert made == abs(best), one
        assert sign == (value < 0) and after.status & 0x23F == flags, one
    loads = [Case([], 0x37F, memory=after.memory) for after in outcomes]
    back = run("d9 02" if size == 4 else "dd 02", loads)
    again = [Case([after.stack[0]], 0x37F) for after in back]
    for first, second in zip(outcomes, run(code, again)):
        assert first.memory[:size] == second.memory[:size]
        assert not second.status & PE


@pytest.mark.parametrize(
    ("load", "store", "size"), [("df 02", "df 1a", 2), ("db 02", "db 1a", 4), ("df 2a", "df 3a", 8)]
)
def test_integers(load: str, store: str, size: int) -> None:
    """FILD and FISTP: every integer that memory holds goes through a register unchanged."""
    rng = random.Random(size)
    low, high = -(1 << (8 * size - 1)), (1 << (8 * size - 1)) - 1
    numbers = [low, low + 1, -1, 0, 1, high - 1, high]
    numbers += [rng.randrange(low, high + 1) >> rng.randrange(8 * size) for _ in range(2000)]
    memory = [n.to_bytes(size, "little", signed=True).ljust(16, b"\xaa") for n in numbers]
    loaded = run(load, [Case([], 0x07F, memory=m) for m in memory])
    assert [exact(after.stack[0]) for after in loaded] == numbers
    assert all(after.status & 0x3F == 0 for after in loaded)
    stored = run(store, [Case([after.stack[0]], 0x07F, memory=b"\xaa" * 16) for after in loaded])
    assert [after.memory for after in stored] == memory
    assert all(after.status & 0x3F == 0 for after in stored)


def test_integers_are_rounded_or_refused() -> None:
    rng = random.Random("FISTP")
    cases = [Case([finite(rng)], 0x37F | rng.randrange(4) << 10) for _ in range(3000)]
    for one, after in zip(cases, run("df 3a", cases)):
        a = one.stack[0]
        assert a
        value, mode = exact(a), one.control >> 10 & 3
        best = round_integer(abs(value), mode, value < 0) * (-1 if value < 0 else 1)
        got = int.from_bytes(after.memory[:8], "little", signed=True)
        if -(1 << 63) <= best < 1 << 63:
            assert got == best and bool(after.status & PE) == (best != value)
        else:
            assert got == -(1 << 63) and after.status & 0x3F == IE


def test_decimal() -> None:
    """FBLD and FBSTP: eighteen digits and a sign."""
    rng = random.Random("FBLD")
    numbers = [0, 1, -1, 10**18 - 1, 1 - 10**18] + [
        rng.randrange(10 ** rng.randrange(1, 19)) * rng.choice((1, -1)) for _ in range(1000)
    ]
    images = []
    for n in numbers:
        digits = f"{abs(n):018d}"
        image = bytes(int(digits[i : i + 2], 16) for i in range(16, -2, -2)) + bytes([0x80 if n < 0 else 0])
        images.append(image.ljust(16, b"\0"))
    loaded = run("df 22", [Case([], 0x37F, memory=image) for image in images])
    assert [exact(after.stack[0]) for after in loaded] == numbers
    stored = run("df 32", [Case([after.stack[0]], 0x37F) for after in loaded])
    assert [after.memory for after in stored] == images


# --- functions without an exact result ---------------------------------------------------------------


def real(register: tuple[int, int]) -> mpmath.mpf:
    value = exact(register)
    return mpmath.mpf(value.numerator) / value.denominator


def ulps(register: tuple[int, int], truth: mpmath.mpf) -> mpmath.mpf:
    """Distance from the truth in units of the register's last place."""
    unit = mpmath.mpf(2) ** (max(register[1] & EXPONENT, 1) - BIAS - 63)
    return abs(real(register) - truth) / unit


def argument(rng: random.Random, least: int, most: int) -> tuple[int, int]:
    """Exponents from `least` to below `most`."""
    return rng.getrandbits(64) | TOP, rng.getrandbits(1) << 15 | BIAS + rng.randrange(least, most)


def positive(register: tuple[int, int]) -> tuple[int, int]:
    return register[0], register[1] & EXPONENT


def worst(code: str, pairs: list[list[tuple[int, int]]], *truths: Callable[..., mpmath.mpf]) -> float:
    """The largest error; truths are of ST(0), and of ST(1) if two are given."""
    cases = [Case(list(pair), 0x37F) for pair in pairs]
    largest = mpmath.mpf(0)
    with mpmath.workprec(500):
        for pair, after in zip(pairs, run(code, cases)):
            arguments = [real(register) for register in pair]
            for i, truth in enumerate(truths):
                largest = max(largest, ulps(after.stack[i], truth(*arguments)))
    return float(largest)


#: All but half a unit in the last of 64 bits: far better than the promised unit of a double.
GOOD = 0.5 + 2**-30


@pytest.mark.parametrize("most", [16, 63])
def test_circular_functions(most: int) -> None:
    """Every angle that the instructions take, near multiples of pi/2 as well."""
    rng = random.Random(most)
    angles = [[argument(rng, -40, most)] for _ in range(400)]
    with mpmath.workprec(500):
        for n in (1, 2, 3, 4, 1000, 12345, (1 << most - 2) // 3):
            value = mpmath.pi / 2 * n
            close = Float80.nearest(Fraction(int(value * mpmath.mpf(2) ** 100), 1 << 100))
            angles += [[(close.significand + i, close.head)] for i in (-1, 0, 1)]
    assert worst("d9 fe", angles, mpmath.sin) < GOOD
    assert worst("d9 ff", angles, mpmath.cos) < GOOD
    assert worst("d9 f2", angles, lambda x: mpmath.mpf(1), mpmath.tan) < GOOD
    assert worst("d9 fb", angles, mpmath.cos, mpmath.sin) < GOOD


def test_arc_tangent() -> None:
    rng = random.Random("FPATAN")
    pairs = [[argument(rng, -40, 40), argument(rng, -40, 40)] for _ in range(400)]
    for _ in range(400):  # comparable sides: every base angle of the reduction
        pairs.append([argument(rng, 0, 2), argument(rng, 0, 2)])
    assert worst("d9 f3", pairs, lambda x, y: mpmath.atan2(y, x)) < GOOD


def test_powers_and_logarithms() -> None:
    rng = random.Random("FYL2X")
    powers = [[argument(rng, -70, 0)] for _ in range(500)]
    assert worst("d9 f0", powers, lambda x: mpmath.expm1(x * mpmath.log(2))) < GOOD
    pairs = [[positive(argument(rng, -40, 40)), argument(rng, -20, 20)] for _ in range(300)]
    for _ in range(300):  # near one
        close = Float80.nearest(1 + Fraction(rng.randrange(-(1 << 20), 1 << 20), 1 << rng.randrange(22, 64)))
        pairs.append([(close.significand, close.head), argument(rng, -20, 20)])
    assert worst("d9 f1", pairs, lambda x, y: y * mpmath.log(x) / mpmath.log(2)) < GOOD
    pairs = [[argument(rng, -60, -2), argument(rng, -20, 20)] for _ in range(500)]
    assert worst("d9 f9", pairs, lambda x, y: y * mpmath.log1p(x) / mpmath.log(2)) < GOOD


def test_constants() -> None:
    """FLD1 to FLDZ in the four roundings."""
    with mpmath.workprec(200):
        two, ten = mpmath.log(2), mpmath.log(10)
        truths = [mpmath.mpf(1), ten / two, 1 / two, +mpmath.pi, two / ten, two, mpmath.mpf(0)]
        for i, truth in enumerate(truths):
            for mode in range(4):
                (after,) = run(f"d9 {0xE8 + i:02x}", [Case([], 0x07F | mode << 10)])
                value = Fraction(int(truth * mpmath.mpf(2) ** 150), 1 << 150)
                best = rounded(value, mode, 64, 1 - BIAS, BIAS)[0] if value else Fraction(0)
                assert after.stack[0] == to_register(best, False)
                assert after.status & 0x3F == 0


def test_exact_results_are_exact() -> None:
    """No PE where nothing was lost: a power of two has a whole logarithm."""
    eight, three = Float80.nearest(8), Float80.nearest(3)
    (after,) = run("d9 f1", [Case([(eight.significand, eight.head), (three.significand, three.head)])])
    assert exact(after.stack[0]) == 9 and after.status & 0x3F == 0
