"""Add, subtract, multiply, divide, square root, compare, round, scale, extract (manual 1, 8.3.5).

Every operation takes registers as (significand, head) and gives (significand, head, flags);
formats.py says what the words mean.
"""

from __future__ import annotations

from ..state.jit import core
from .formats import (
    BIAS,
    C0,
    C2,
    C3,
    DE,
    DENORMAL,
    IE,
    INFINITY,
    OFFSET,
    ONE,
    PC_MASK,
    QNAN,
    RC_DOWN,
    RC_MASK,
    SIGN,
    SNAN,
    SPECIAL,
    UNSUPPORTED,
    ZE,
    ZERO_CLASS,
    class_of,
    cut,
    default_nan,
    denormals,
    exponent_of,
    from_integer,
    nan_of_two,
    quiet,
    round_register,
)
from .wide import (
    TOP,
    add_wide,
    divide_words,
    multiply_words,
    normalize,
    shift_left_wide,
    shift_right_sticky,
    subtract_wide,
)

FULL = PC_MASK  # precision control: all 64 bits
#: From this exponent on FSCALE overflows or underflows whatever it scales.
SCALE_LIMIT = ONE + 16


@core
def add(a, a_head, b, b_head, control):
    """FADD. Subtraction is addition of the negated operand (unless that is a NaN)."""
    a_kind, b_kind = class_of(a, a_head), class_of(b, b_head)
    if a_kind >= QNAN or b_kind >= QNAN:
        return nan_of_two(a, a_head, b, b_head)
    sign, other = a_head >> 15, b_head >> 15
    flags = denormals(a_kind, b_kind, control)
    if a_kind == INFINITY:
        if b_kind == INFINITY and sign != other:
            return default_nan()
        return a, a_head, flags
    if b_kind == INFINITY:
        return b, b_head, flags
    a_exponent, b_exponent = exponent_of(a_head), exponent_of(b_head)
    if a_exponent < b_exponent or (a_exponent == b_exponent and a < b):  # the larger one first
        a, b = b, a
        a_exponent, b_exponent = b_exponent, a_exponent
        sign, other = other, sign
    bh, bl = shift_right_sticky(b, 0, a_exponent - b_exponent)
    if sign == other:
        high, low = add_wide(a, 0, bh, bl)
        if high < a:
            high, low = shift_right_sticky(high, low, 1)
            high |= TOP
            a_exponent += 1
    else:
        high, low = subtract_wide(a, 0, bh, bl)
    if high | low == 0:
        if sign != other:  # x - x is +0, or -0 when rounding down
            sign = 0
            if control & RC_MASK == RC_DOWN:
                sign = 1
        return 0, sign << 15, flags
    high, low, exponent = normalize(high, low, a_exponent)
    significand, head, rounding = round_register(sign, exponent, high, low, control)
    return significand, head, flags | rounding


@core
def subtract(a, a_head, b, b_head, control):
    """FSUB: a - b."""
    if class_of(b, b_head) < QNAN:
        b_head ^= SIGN
    return add(a, a_head, b, b_head, control)


@core
def multiply(a, a_head, b, b_head, control):
    """FMUL."""
    a_kind, b_kind = class_of(a, a_head), class_of(b, b_head)
    if a_kind >= QNAN or b_kind >= QNAN:
        return nan_of_two(a, a_head, b, b_head)
    sign = (a_head ^ b_head) >> 15
    flags = denormals(a_kind, b_kind, control)
    if a_kind == INFINITY or b_kind == INFINITY:
        if a_kind == ZERO_CLASS or b_kind == ZERO_CLASS:
            return default_nan()
        return TOP, sign << 15 | SPECIAL, flags
    if a_kind == ZERO_CLASS or b_kind == ZERO_CLASS:
        return 0, sign << 15, flags
    high, low = multiply_words(a, b)
    exponent = exponent_of(a_head) + exponent_of(b_head) - ONE + 1
    high, low, exponent = normalize(high, low, exponent)
    significand, head, rounding = round_register(sign, exponent, high, low, control)
    return significand, head, flags | rounding


@core
def quotient_of(a, b):
    """a / b for two normalized words: high, low (sticky), and 1 if the quotient is below one."""
    below = 0
    if a < b:
        below = 1
        quotient, rest = divide_words(a, b, 64)
    else:
        quotient, rest = divide_words(a - b, b, 63)
        quotient |= TOP
    low = 0
    if rest:
        low = 1  # below, on or above one half
        if rest >= b - rest:
            low = TOP
            if rest != b - rest:
                low |= 1
    return quotient, low, below


@core
def divide(a, a_head, b, b_head, control):
    """FDIV: a / b."""
    a_kind, b_kind = class_of(a, a_head), class_of(b, b_head)
    if a_kind >= QNAN or b_kind >= QNAN:
        return nan_of_two(a, a_head, b, b_head)
    sign = (a_head ^ b_head) >> 15
    if a_kind == b_kind and (a_kind == INFINITY or a_kind == ZERO_CLASS):
        return default_nan()
    flags = denormals(a_kind, b_kind, control)
    if a_kind == INFINITY:
        return TOP, sign << 15 | SPECIAL, flags
    if b_kind == ZERO_CLASS:
        return TOP, sign << 15 | SPECIAL, ZE
    if a_kind == ZERO_CLASS or b_kind == INFINITY:
        return 0, sign << 15, flags
    a, _, exponent = normalize(a, 0, exponent_of(a_head))
    b, _, subtrahend = normalize(b, 0, exponent_of(b_head))
    high, low, below = quotient_of(a, b)
    exponent = exponent + ONE - subtrahend - below
    significand, head, rounding = round_register(sign, exponent, high, low, control)
    return significand, head, flags | rounding


@core
def root_of(high, low):
    """The integer square root of a 128-bit number, and what remains (two words)."""
    root = 0
    rh = 0
    rl = 0
    for _ in range(64):
        rh, rl = shift_left_wide(rh, rl, 2)
        rl |= high >> 62
        high, low = shift_left_wide(high, low, 2)
        th, tl = root >> 62, root << 2 | 1  # (2r + 1)**2 = 4r**2 + (4r + 1)
        root <<= 1
        if rh > th or (rh == th and rl >= tl):
            rh, rl = subtract_wide(rh, rl, th, tl)
            root |= 1
    return root, rh, rl


@core
def square_root(a, a_head, control):
    """FSQRT."""
    kind = class_of(a, a_head)
    if kind >= QNAN:
        return quiet(a, a_head, kind)
    if kind == ZERO_CLASS:
        return a, a_head, 0
    if a_head >> 15:
        return default_nan()
    if kind == INFINITY:
        return a, a_head, 0
    flags = denormals(kind, kind, control)
    a, _, exponent = normalize(a, 0, exponent_of(a_head))
    # the biased exponent of a number with an even exponent is odd, as is BIAS
    shift = 64
    if (exponent - OFFSET) & 1:
        shift = 63
    high, low = shift_left_wide(0, a, shift)
    root, rh, rl = root_of(high, low)
    low = 0
    if rh | rl:
        low = 1
        if rh or rl > root:
            low = TOP | 1  # exactly one half cannot be
    exponent = (exponent + ONE) >> 1  # half of the unbiased one, rounded down
    significand, head, rounding = round_register(0, exponent, root, low, control)
    return significand, head, flags | rounding


# --- comparison ------------------------------------------------------------------------------------


@core
def compare(a, a_head, b, b_head, quiet_nans, control):
    """Condition codes of a compared with b, and flags (manual 1, table 8-6)."""
    a_kind, b_kind = class_of(a, a_head), class_of(b, b_head)
    if a_kind >= QNAN or b_kind >= QNAN:
        flags = C3 | C2 | C0
        if quiet_nans == 0 or a_kind >= SNAN or b_kind >= SNAN:
            flags |= IE
        return flags
    flags = denormals(a_kind, b_kind, control)
    if a_kind == ZERO_CLASS and b_kind == ZERO_CLASS:
        return flags | C3
    if (a_head ^ b_head) & SIGN:
        if a_head & SIGN:
            return flags | C0
        return flags
    a_exponent, b_exponent = exponent_of(a_head), exponent_of(b_head)
    if a_exponent == b_exponent and a == b:
        return flags | C3
    # a zero has the exponent of the smallest normal number and no bits: it compares as it should
    below = a_exponent < b_exponent or (a_exponent == b_exponent and a < b)
    if below == (a_head & SIGN == 0):
        return flags | C0
    return flags


@core
def examine(a, a_head):
    """FXAM: the class as condition codes, without the sign."""
    kind = class_of(a, a_head)
    if kind == ZERO_CLASS:
        return C3
    if kind == DENORMAL:
        return C3 | C2
    if kind == INFINITY:
        return C2 | C0
    if kind == UNSUPPORTED:
        return 0
    if kind >= QNAN:
        return C0
    return C2


# --- to an integer, by powers of two ---------------------------------------------------------------


@core
def round_to_integer(a, a_head, control):
    """FRNDINT."""
    kind = class_of(a, a_head)
    if kind >= QNAN:
        return quiet(a, a_head, kind)
    if kind == ZERO_CLASS or kind == INFINITY:
        return a, a_head, 0
    flags = denormals(kind, kind, control)
    exponent = exponent_of(a_head)
    if exponent >= ONE + 63:
        return a, a_head, flags
    sign = a_head >> 15
    high, low = shift_right_sticky(a, 0, ONE + 63 - exponent)
    value, _, rounding = cut(sign, high, low, 64, control)
    flags |= rounding
    if value == 0:
        return 0, sign << 15, flags
    value, _, exponent = normalize(value, 0, ONE + 63)
    return value, sign << 15 | exponent - OFFSET, flags


@core
def scale(a, a_head, b, b_head, control):
    """FSCALE: a times two to the power of b cut to an integer."""
    a_kind, b_kind = class_of(a, a_head), class_of(b, b_head)
    if a_kind >= QNAN or b_kind >= QNAN:
        return nan_of_two(a, a_head, b, b_head)
    sign, down = a_head >> 15, b_head >> 15
    flags = denormals(a_kind, b_kind, control)
    if b_kind == INFINITY:
        if a_kind == INFINITY and down or a_kind == ZERO_CLASS and down == 0:
            return default_nan()
        if down or a_kind == ZERO_CLASS:
            return 0, sign << 15, flags
        return TOP, sign << 15 | SPECIAL, flags
    if a_kind == INFINITY or a_kind == ZERO_CLASS:
        return a, a_head, flags
    power = 0
    b_exponent = exponent_of(b_head)
    if b_kind != ZERO_CLASS and b_exponent >= ONE:
        power = 0x1_0000
        if b_exponent < SCALE_LIMIT:
            power = b >> (ONE + 63 - b_exponent)
    high, _, exponent = normalize(a, 0, exponent_of(a_head))
    if down:
        exponent -= power
    else:
        exponent += power
    significand, head, rounding = round_register(sign, exponent, high, 0, control | FULL)
    return significand, head, flags | rounding


@core
def extract(a, a_head, control):
    """FXTRACT: exponent, then significand, each as a register, and flags."""
    kind = class_of(a, a_head)
    if kind >= QNAN:
        a, a_head, flags = quiet(a, a_head, kind)
        return a, a_head, a, a_head, flags
    if kind == ZERO_CLASS:
        return TOP, SIGN | SPECIAL, a, a_head, ZE
    if kind == INFINITY:
        return TOP, SPECIAL, a, a_head, 0
    flags = 0
    if kind == DENORMAL:
        flags = DE
    a, _, exponent = normalize(a, 0, exponent_of(a_head))
    power, head = from_integer(exponent - ONE, 8)
    return power, head, a, a_head & SIGN | BIAS, flags
