"""The number formats of the x87: 80-bit registers, and what memory holds (manual 1, 4.2 and 8.2).

A register is two words: the significand with its explicit integer bit, and sign and biased
exponent as in memory (``sign << 15 | exponent``). While computing, a number is a sign, an
exponent and a 128-bit significand whose top bit is set; the exponent is the biased one plus
OFFSET, so that it stays positive whatever is added or subtracted.

Every operation takes the control word and returns its flags beside the result: exception
flags where the status word has them, C1 for "rounded up". It obeys the masks only where they
change the result (overflow and underflow); whether a result is stored is its caller's business.
"""

from __future__ import annotations

from ..state.jit import core
from .wide import TOP, normalize, shift_right_sticky

# Exception flags of the status word, and at the same places their masks in the control word.
IE, DE, ZE, OE, UE, PE = 1, 2, 4, 8, 0x10, 0x20
STACK_FAULT, SUMMARY, C0, C1, C2, C3, BUSY = 0x40, 0x80, 0x100, 0x200, 0x400, 0x4000, 0x8000
#: Beside the control word: the operand was a denormal before it was made a register.
DENORMAL_OPERAND = 1 << 16
#: Beside the control word: round to 64 bits whatever precision control says.
FULL_PRECISION = 1 << 17

RC_MASK, RC_NEAREST, RC_DOWN, RC_UP, RC_CHOP = 0xC00, 0, 0x400, 0x800, 0xC00
PC_MASK, PC_SINGLE, PC_DOUBLE = 0x300, 0, 0x200

ZERO_CLASS, NORMAL, DENORMAL, INFINITY, QNAN, SNAN, UNSUPPORTED = range(7)

BIAS = 16383
OFFSET = 0x40000
LOWEST = OFFSET + 1  # exponents of normal numbers
HIGHEST = OFFSET + 0x7FFE
ONE = OFFSET + BIAS  # exponent of 1.0
SIGN = 0x8000
SPECIAL = 0x7FFF  # exponent of infinities and NaNs
QUIET = 1 << 62
INDEFINITE = 0xC000_0000_0000_0000  # significand of the default NaN
INDEFINITE_HEAD = 0xFFFF
BIAS_ADJUST = 0x6000  # 24576: what unmasked overflow and underflow add (manual 1, 8.5.4)


@core
def class_of(significand, head):
    """What kind of number a register holds (manual 1, table 8-3)."""
    exponent = head & SPECIAL
    if exponent == 0:
        if significand == 0:
            return ZERO_CLASS
        return DENORMAL  # with the integer bit set a pseudo-denormal, worth the same
    if significand & TOP == 0:
        return UNSUPPORTED
    if exponent != SPECIAL:
        return NORMAL
    if significand == TOP:
        return INFINITY
    if significand & QUIET:
        return QNAN
    return SNAN


@core
def exponent_of(head):
    """With OFFSET; denormals have the exponent of the smallest normal number."""
    exponent = head & SPECIAL
    if exponent == 0:
        exponent = 1
    return exponent + OFFSET


@core
def denormals(first, second, control):
    """DE if one of two classes, or the operand before it was converted, is a denormal."""
    if first == DENORMAL or second == DENORMAL or control & DENORMAL_OPERAND:
        return DE
    return 0


@core
def default_nan():
    return INDEFINITE, INDEFINITE_HEAD, IE


@core
def quiet(significand, head, kind):
    """The result of an operation on one NaN or unsupported number."""
    if kind == UNSUPPORTED:
        return default_nan()
    if kind == SNAN:
        return significand | QUIET, head, IE
    return significand, head, 0


@core
def nan_of_two(a, a_head, b, b_head):
    """The NaN of two operands, one of which is a NaN or unsupported (manual 1, table 4-7)."""
    a_kind, b_kind = class_of(a, a_head), class_of(b, b_head)
    if a_kind == UNSUPPORTED or b_kind == UNSUPPORTED:
        return default_nan()
    flags = 0
    if a_kind == SNAN or b_kind == SNAN:
        flags = IE
    first = b_kind < QNAN
    if a_kind >= QNAN and b_kind >= QNAN:
        if a_kind != b_kind:
            first = a_kind == QNAN  # the quiet one of the two
        elif a != b:
            first = a > b
        else:
            first = a_head < b_head
    if first:
        return a | QUIET, a_head, flags
    return b | QUIET, b_head, flags


# --- rounding ----------------------------------------------------------------------------------------


@core
def low_mask(keep):
    """The bits below the top `keep` ones."""
    if keep < 64:
        return (1 << (64 - keep)) - 1
    return 0


@core
def cut(sign, high, low, keep, control):
    """Round to the top `keep` bits of 64; returns the bits, the carry out and PE, C1."""
    mask = low_mask(keep)
    odd = high & 1
    half = low >> 63
    rest = low << 1
    if keep < 64:
        odd = high >> (64 - keep) & 1
        half = high >> (63 - keep) & 1
        rest = high & (mask >> 1) | low
    kept = high & ~mask
    if half == 0 and rest == 0:
        return kept, 0, 0
    rounding = control & RC_MASK
    up = 0
    if rounding == RC_NEAREST:
        if half and (rest or odd):
            up = 1
    elif rounding == RC_DOWN:
        up = sign
    elif rounding == RC_UP:
        up = 1 - sign
    if up == 0:
        return kept, 0, PE
    kept += mask + 1
    if kept == 0:
        return TOP, 1, PE | C1
    return kept, 0, PE | C1


@core
def round_to(sign, exponent, high, low, keep, lowest, highest, control):
    """Round to a format of `keep` bits; returns significand, exponent, flags.

    Masked overflow gives an exponent above `highest` for infinity, masked underflow a
    significand without its top bit. Where one of the two is not masked, the exponent is as
    it came: the caller biases it, or stores nothing. Tiny is what is tiny after rounding.
    """
    kept, carry, flags = cut(sign, high, low, keep, control)
    rounded = exponent + carry
    if rounded > highest:
        if control & OE == 0:
            return kept, rounded, flags | OE
        rounding = control & RC_MASK
        if rounding == RC_CHOP or (rounding == RC_DOWN and sign == 0) or (rounding == RC_UP and sign):
            return ~low_mask(keep), highest, OE | PE
        return TOP, highest + 1, OE | PE | C1
    if rounded >= lowest:
        return kept, rounded, flags
    if control & UE == 0:
        return kept, rounded, flags | UE
    high, low = shift_right_sticky(high, low, lowest - exponent)
    kept, carry, flags = cut(sign, high, low, keep, control)
    if flags & PE:
        flags |= UE
    return kept, lowest, flags


@core
def precision(control):
    """Bits that precision control keeps (manual 1, 8.1.5.2)."""
    if control & FULL_PRECISION:
        return 64
    field = control & PC_MASK
    if field == PC_SINGLE:
        return 24
    if field == PC_DOUBLE:
        return 53
    return 64


@core
def pack(sign, exponent, significand):
    """The register for a rounded number."""
    if significand & TOP == 0:
        exponent = OFFSET
    return significand, sign << 15 | exponent - OFFSET


@core
def round_register(sign, exponent, high, low, control):
    """Round to a register; returns significand, head, flags. The number is normalized, not 0."""
    significand, exponent, flags = round_to(
        sign, exponent, high, low, precision(control), LOWEST, HIGHEST, control
    )
    if flags & OE and control & OE == 0:
        exponent -= BIAS_ADJUST
        if exponent > HIGHEST:  # FSCALE only: too large even so
            return TOP, sign << 15 | SPECIAL, OE | PE | C1
    if flags & UE and control & UE == 0:
        exponent += BIAS_ADJUST
        if exponent < LOWEST:
            return 0, sign << 15, UE | PE
    significand, head = pack(sign, exponent, significand)
    return significand, head, flags


# --- loads -------------------------------------------------------------------------------------------


@core
def widen(bits, fraction_bits, bias, top_exponent):
    """A 32- or 64-bit number as a register; DENORMAL_OPERAND if it was a denormal."""
    fraction = (bits & ((1 << fraction_bits) - 1)) << (63 - fraction_bits)
    exponent = bits >> fraction_bits & top_exponent
    sign = (bits >> fraction_bits) // (top_exponent + 1) & 1
    if exponent == 0:
        if fraction == 0:
            return 0, sign << 15, 0
        high, _, exponent = normalize(fraction, 0, OFFSET + BIAS - bias + 1)
        return high, sign << 15 | exponent - OFFSET, DENORMAL_OPERAND
    if exponent == top_exponent:
        return fraction | TOP, sign << 15 | SPECIAL, 0
    return fraction | TOP, sign << 15 | exponent + BIAS - bias, 0


@core
def from_single(bits):
    return widen(bits, 23, 127, 0xFF)


@core
def from_double(bits):
    return widen(bits, 52, 1023, 0x7FF)


@core
def from_magnitude(sign, value):
    """A sign and a word as a register."""
    if value == 0:
        return 0, sign << 15
    high, _, exponent = normalize(value, 0, OFFSET + BIAS + 63)
    return high, sign << 15 | exponent - OFFSET


@core
def from_integer(value, size):
    """A signed integer of 2, 4 or 8 bytes as a register; always exact."""
    bits = size << 3
    sign = value >> (bits - 1) & 1
    if sign:
        value = ~value + 1
    if bits < 64:
        value &= (1 << bits) - 1
    return from_magnitude(sign, value)


@core
def from_bcd(low, high):
    """Eighteen decimal digits and a sign; digits above 9 count for what they are (FBLD)."""
    value = 0
    for i in range(18):
        digit = low >> 60
        if i < 2:
            digit = high >> (4 - 4 * i) & 15
        else:
            low <<= 4
        value = value * 10 + digit
    return from_magnitude(high >> 15 & 1, value)


# --- stores ------------------------------------------------------------------------------------------


@core
def narrow(significand, head, fraction_bits, bias, top_exponent, control):
    """A register as a 32- or 64-bit number, and the flags."""
    sign = head >> 15
    shifted_sign = (sign * (top_exponent + 1)) << fraction_bits
    kind = class_of(significand, head)
    if kind == ZERO_CLASS:
        return shifted_sign, 0
    if kind >= INFINITY:
        flags = 0
        if kind != INFINITY:
            significand, head, flags = quiet(significand, head, kind)
        shifted_sign = ((head >> 15) * (top_exponent + 1)) << fraction_bits
        fraction = (significand & ~TOP) >> (63 - fraction_bits)
        return shifted_sign | top_exponent << fraction_bits | fraction, flags
    high, low, exponent = normalize(significand, 0, exponent_of(head))
    lowest = OFFSET + BIAS - bias + 1
    highest = lowest + top_exponent - 2
    high, exponent, flags = round_to(sign, exponent, high, low, fraction_bits + 1, lowest, highest, control)
    if high & TOP == 0:
        exponent = lowest - 1
    exponent -= lowest - 1
    fraction = (high & ~TOP) >> (63 - fraction_bits)
    return shifted_sign | (exponent & top_exponent) << fraction_bits | fraction, flags


@core
def to_single(significand, head, control):
    return narrow(significand, head, 23, 127, 0xFF, control)


@core
def to_double(significand, head, control):
    return narrow(significand, head, 52, 1023, 0x7FF, control)


@core
def to_magnitude(significand, head, control):
    """Rounded to an integer below 2**64; returns it and PE, C1, or IE."""
    kind = class_of(significand, head)
    if kind == ZERO_CLASS:
        return 0, 0
    exponent = exponent_of(head)
    if kind >= INFINITY or exponent > ONE + 63:
        return 0, IE
    high, low = shift_right_sticky(significand, 0, ONE + 63 - exponent)
    value, carry, flags = cut(head >> 15, high, low, 64, control)
    if carry:
        return 0, IE
    return value, flags


@core
def to_integer(significand, head, size, control):
    """A register as a signed integer of 2, 4 or 8 bytes, and the flags (manual 2A, FIST)."""
    sign = head >> 15
    value, flags = to_magnitude(significand, head, control)
    limit = 1 << ((size << 3) - 1)
    if flags & IE or value > limit or (value == limit and sign == 0):
        return limit, IE
    if sign:
        value = (~value + 1) & ((limit << 1) - 1)
    return value, flags


@core
def to_bcd(significand, head, control):
    """A register as eighteen decimal digits: low word, high 16 bits, flags (FBSTP)."""
    value, flags = to_magnitude(significand, head, control)
    if flags & IE or value >= 1_000_000_000_000_000_000:
        return INDEFINITE, 0xFFFF, IE
    low = 0
    high = 0
    for i in range(18):
        rest = value // 10
        digit = value - rest * 10
        value = rest
        if i < 16:
            low |= digit << (4 * i)
        else:
            high |= digit << (4 * i - 64)
    return low, high | (head >> 15) << 15, flags
