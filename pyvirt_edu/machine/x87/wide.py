"""128-bit numbers in two words: what the significands of the x87 are computed with.

A pair is (high, low). Where a result is cut off, "sticky" means that the lowest bit is set if
anything was lost, so that a later rounding still knows that the number was not exact.
"""

from __future__ import annotations

from ..state.jit import core

WORD32 = 0xFFFF_FFFF
TOP = 1 << 63


@core
def add_wide(ah, al, bh, bl):
    """Sum modulo 2**128."""
    low = al + bl
    carry = 0
    if low < al:
        carry = 1
    return ah + bh + carry, low


@core
def subtract_wide(ah, al, bh, bl):
    """Difference modulo 2**128."""
    borrow = 0
    if al < bl:
        borrow = 1
    return ah - bh - borrow, al - bl


@core
def multiply_words(a, b):
    """The 128-bit product of two words, by the four products of their halves."""
    a1, a0, b1, b0 = a >> 32, a & WORD32, b >> 32, b & WORD32
    low = a0 * b0
    first = a1 * b0 + (low >> 32)
    second = a0 * b1 + (first & WORD32)
    return a1 * b1 + (first >> 32) + (second >> 32), second << 32 | low & WORD32


@core
def multiply_high(ah, al, bh, bl):
    """The upper 128 bits of a product of two 128-bit numbers (at most two units too small)."""
    high, low = multiply_words(ah, bh)
    cross, _ = multiply_words(ah, bl)
    high, low = add_wide(high, low, 0, cross)
    cross, _ = multiply_words(al, bh)
    return add_wide(high, low, 0, cross)


@core
def leading_zeros(word):
    """Zero bits above the highest one; the word is not 0."""
    count = 0
    if word >> 32 == 0:
        count += 32
        word <<= 32
    if word >> 48 == 0:
        count += 16
        word <<= 16
    if word >> 56 == 0:
        count += 8
        word <<= 8
    if word >> 60 == 0:
        count += 4
        word <<= 4
    if word >> 62 == 0:
        count += 2
        word <<= 2
    if word >> 63 == 0:
        count += 1
    return count


@core
def shift_left_wide(high, low, count):
    """For a count below 128."""
    if count >= 64:
        return low << (count - 64), 0
    if count == 0:
        return high, low
    return high << count | low >> (64 - count), low << count


@core
def shift_right_sticky(high, low, count):
    """For any count."""
    if count == 0:
        return high, low
    if count < 64:
        lost = low << (64 - count)
        low = high << (64 - count) | low >> count
        high = high >> count
    elif count == 64:
        lost = low
        low = high
        high = 0
    elif count < 128:
        lost = low | high << (128 - count)
        low = high >> (count - 64)
        high = 0
    else:
        lost = high | low
        low = 0
        high = 0
    if lost:
        low |= 1
    return high, low


@core
def normalize(high, low, exponent):
    """Shift left until the top bit is set, the exponent following; the number is not 0."""
    if high == 0:
        high = low
        low = 0
        exponent -= 64
    count = leading_zeros(high)
    high, low = shift_left_wide(high, low, count)
    return high, low, exponent - count


@core
def divide_words(n, d, bits):
    """For n < d: the first `bits` binary digits of n / d, and the remainder."""
    quotient = 0
    for _ in range(bits):
        carried = n >> 63
        n <<= 1
        quotient <<= 1
        if carried or n >= d:
            n -= d
            quotient |= 1
    return quotient, n


@core
def divide_wide(nh, nl, dh, dl):
    """For n < d: the first 128 binary digits of n / d, sticky."""
    qh = 0
    ql = 0
    for _ in range(128):
        carried = nh >> 63
        nh, nl = shift_left_wide(nh, nl, 1)
        qh, ql = shift_left_wide(qh, ql, 1)
        if carried or nh > dh or (nh == dh and nl >= dl):
            nh, nl = subtract_wide(nh, nl, dh, dl)
            ql |= 1
    if nh | nl:
        ql |= 1
    return qh, ql


@core
def divide_small(high, low, divisor):
    """A 128-bit number by one below 2**32, rounded down."""
    quotient = high // divisor
    rest = (high - quotient * divisor) << 32 | low >> 32
    middle = rest // divisor
    rest = (rest - middle * divisor) << 32 | low & WORD32
    return quotient, middle << 32 | rest // divisor
