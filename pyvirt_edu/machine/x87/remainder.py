"""FPREM and FPREM1: the remainder, exact, in steps (manual 2A, FPREM).

A remainder of numbers far apart takes many subtractions. One instruction does up to 63 bits
of quotient and says with C2 that it is not done; the program repeats it.
"""

from __future__ import annotations

from ..state.jit import core
from .formats import (
    C0,
    C1,
    C2,
    C3,
    FULL_PRECISION,
    INFINITY,
    QNAN,
    SIGN,
    ZERO_CLASS,
    class_of,
    default_nan,
    denormals,
    exponent_of,
    nan_of_two,
    round_register,
)
from .wide import normalize


@core
def quotient_codes(quotient):
    """The three low bits of the quotient where FPREM shows them: C0, C3, C1."""
    codes = 0
    if quotient & 4:
        codes |= C0
    if quotient & 2:
        codes |= C3
    if quotient & 1:
        codes |= C1
    return codes


@core
def long_division(a, b, digits):
    """For two normalized words: low bits of the integer a * 2**digits / b, and the remainder."""
    quotient = 0
    if a >= b:
        a -= b
        quotient = 1
    for _ in range(digits):
        carried = a >> 63
        a <<= 1
        quotient <<= 1
        if carried or a >= b:
            a -= b
            quotient |= 1
    return quotient, a


@core
def remainder(a, a_head, b, b_head, nearest, control):
    """The remainder of a by b, its quotient rounded to nearest (FPREM1) or cut (FPREM).

    Returns significand, head, flags; the condition codes are among the flags.
    """
    a_kind, b_kind = class_of(a, a_head), class_of(b, b_head)
    if a_kind >= QNAN or b_kind >= QNAN:
        return nan_of_two(a, a_head, b, b_head)
    if a_kind == INFINITY or b_kind == ZERO_CLASS:
        return default_nan()
    flags = denormals(a_kind, b_kind, control)
    if a_kind == ZERO_CLASS:
        return a, a_head, flags
    sign = a_head & SIGN
    control |= FULL_PRECISION
    a, _, a_exponent = normalize(a, 0, exponent_of(a_head))
    if b_kind == INFINITY:
        significand, head, rounding = round_register(sign >> 15, a_exponent, a, 0, control)
        return significand, head, flags | rounding
    b, _, b_exponent = normalize(b, 0, exponent_of(b_head))
    if a_exponent + 1 < b_exponent or (a_exponent < b_exponent and nearest == 0):
        significand, head, rounding = round_register(sign >> 15, a_exponent, a, 0, control)
        return significand, head, flags | rounding
    quotient = 0
    exponent = b_exponent
    rest = a
    if a_exponent < b_exponent:
        exponent = a_exponent  # FPREM1 only: the quotient is 0 or, rounded, 1
        if a > b:
            quotient = 1
            rest = b - (a - b)
            sign ^= SIGN
    else:
        distance = a_exponent - b_exponent
        if distance >= 64:
            digits = distance & 31 | 32  # what real processors do in one step
            quotient, rest = long_division(a, b, digits)
            exponent = a_exponent - digits
            quotient = 0
            flags |= C2
        else:
            quotient, rest = long_division(a, b, distance)
            if nearest:
                double = rest << 1
                if rest >> 63 or double > b or (double == b and quotient & 1):
                    rest = b - rest
                    quotient += 1
                    sign ^= SIGN
    if flags & C2 == 0:
        flags |= quotient_codes(quotient)
    if rest == 0:
        return 0, sign, flags
    high, _, exponent = normalize(rest, 0, exponent)
    significand, head, rounding = round_register(sign >> 15, exponent, high, 0, control)
    return significand, head, flags | rounding
