"""Sine, tangent, arc tangent, logarithms, powers of two: in integers, the same on every host.

Inside, a number is a sign and (high, low, exponent): 128 bits with the top bit set, so that
what is left after the last rounding is all but correctly rounded. Each function brings its
argument near zero by an exact identity, sums a Taylor series in fixed point there, and goes
back. Fixed point comes in two kinds: fractions of 128 bits, and terms with one integer bit.

Angles are reduced with 256 bits of 2/pi, so that no argument the instructions accept loses
precision. (Processors of the time kept 66 bits of pi; manual 1, 8.3.8.)
"""

from __future__ import annotations

from ..decode.operations import (
    OP_F2XM1,
    OP_FCOS,
    OP_FLD_CONSTANT,
    OP_FPATAN,
    OP_FPTAN,
    OP_FSINCOS,
    OP_FYL2X,
    OP_FYL2XP1,
)
from ..state.handles import cpu
from ..state.jit import core, unit
from ..state.layout import T2, T3, T4, T5, X87_CONTROL
from .formats import (
    C1,
    C2,
    FULL_PRECISION,
    IE,
    INFINITY,
    OFFSET,
    ONE,
    QNAN,
    SIGN,
    SPECIAL,
    ZE,
    ZERO_CLASS,
    class_of,
    default_nan,
    denormals,
    exponent_of,
    nan_of_two,
    quiet,
    round_register,
)
from .state import get_register
from .wide import (
    TOP,
    add_wide,
    divide_small,
    divide_wide,
    multiply_high,
    multiply_words,
    normalize,
    shift_left_wide,
    shift_right_sticky,
    subtract_wide,
)

# 2/pi as a fraction of 256 bits
TWO_OVER_PI_0 = 0xA2F9_836E_4E44_1529
TWO_OVER_PI_1 = 0xFC27_57D1_F534_DDC0
TWO_OVER_PI_2 = 0xDB62_9599_3C43_9041
TWO_OVER_PI_3 = 0xFE51_63AB_DEBB_C561
# pi/2, 2/ln 2 and ln 2, top bit set; their exponents are those of 1, 2 and 1/2
HALF_PI, HALF_PI_LOW = 0xC90F_DAA2_2168_C234, 0xC4C6_628B_80DC_1CD1
TWO_OVER_LN2, TWO_OVER_LN2_LOW = 0xB8AA_3B29_5C17_F0BB, 0xBE87_FED0_691D_3E88
LN2, LN2_LOW = 0xB172_17F7_D1CF_79AB, 0xC9E3_B398_03F2_F6AF
# more that FLDL2T and FLDLG2 load: log2 10 and log10 2
LOG2_10, LOG2_10_LOW = 0xD49A_784B_CD1B_8AFE, 0x492B_F6FF_4DAF_DB4C
LOG10_2, LOG10_2_LOW = 0x9A20_9A84_FBCF_F798, 0x8F89_59AC_0B7C_9178
# arc tangents of 1/4, 1/2, 3/4 as fractions of 128 bits; that of 1 is a quarter of pi
ATAN_1, ATAN_1_LOW = 0x3EB6_EBF2_5901_BAC5, 0x5B71_E7BD_7DE8_85F9
ATAN_2, ATAN_2_LOW = 0x76B1_9C15_86ED_3DA2, 0xB7F2_22F6_5E1D_4681
ATAN_3, ATAN_3_LOW = 0xA4BC_7D19_34F7_0924, 0x19A8_7F2A_457D_AC9E
ROOT_2 = 0xB504_F333_F9DE_6484  # high half of the square root of 2


# --- numbers of 128 bits -----------------------------------------------------------------------------


@core
def rounded(sign, high, low, exponent, control):
    """An irrational result: never exact, whatever its last bits are."""
    return round_register(sign, exponent, high, low | 1, control | FULL_PRECISION)


@core
def times_term(high, low, exponent, th, tl):
    """A number times a term with one integer bit."""
    high, low = multiply_high(high, low, th, tl)
    return normalize(high, low, exponent + 1)


@core
def ratio(nh, nl, n_exponent, dh, dl, d_exponent):
    """The quotient of two numbers."""
    if nh > dh or (nh == dh and nl >= dl):
        nh, nl = shift_right_sticky(nh, nl, 1)
        n_exponent += 1
    high, low = divide_wide(nh, nl, dh, dl)
    return normalize(high, low, n_exponent + ONE - 1 - d_exponent)


@core
def total(high, low, exponent, less, bh, bl, b_exponent):
    """The sum of two numbers, or with `less` their difference; the first is the larger one."""
    bh, bl = shift_right_sticky(bh, bl, exponent - b_exponent)
    if less:
        high, low = subtract_wide(high, low, bh, bl)
        return normalize(high, low, exponent)
    ah = high
    high, low = add_wide(high, low, bh, bl)
    if high < ah:
        high, low = shift_right_sticky(high, low, 1)
        return high | TOP, low, exponent + 1
    return high, low, exponent


@core
def as_fraction(high, low, exponent):
    """A number below one as a fraction of 128 bits."""
    return shift_right_sticky(high, low, ONE - 1 - exponent)


@core
def alternating(zh, zl, terms, first):
    """1 - z / (n (n + 1)) (1 - z / ((n + 2) (n + 3)) (...)), n beginning with `first`.

    With z the square of an angle this is the cosine (first 1), or the sine over the angle
    (first 2). The result is a term, a little too small rather than too large.
    """
    th = TOP
    tl = 0
    for i in range(terms):
        n = first + 2 * (terms - 1 - i)
        high, low = multiply_high(zh, zl, th, tl)
        high, low = divide_small(high, low, n * (n + 1))
        th, tl = subtract_wide(TOP, 0, high, low)
    return subtract_wide(th, tl, 0, 1)


@core
def odd_reciprocals(zh, zl, terms, minus):
    """1 + z/3 + z**2/5 + ..., or with `minus` the same of -z: the area or arc tangent over s, z = s**2."""
    th = 0
    tl = 0
    for i in range(terms):
        n = 2 * (terms - i) - 1
        high, low = multiply_high(zh, zl, th, tl)
        th, tl = divide_small(TOP, 0, n)
        if minus:
            th, tl = subtract_wide(th, tl, high, low)
        else:
            th, tl = add_wide(th, tl, high, low)
    return th, tl


@core
def constant(which, control):
    """FLD1 to FLDZ, in the order of their opcodes; rounded as rounding control says."""
    control |= FULL_PRECISION
    if which == 0:
        return TOP, ONE - OFFSET
    high = LOG2_10
    low = LOG2_10_LOW
    exponent = ONE + 1
    if which == 2:
        high = TWO_OVER_LN2
        low = TWO_OVER_LN2_LOW
        exponent = ONE
    elif which == 3:
        high = HALF_PI
        low = HALF_PI_LOW
    elif which == 4:
        high = LOG10_2
        low = LOG10_2_LOW
        exponent = ONE - 2
    elif which == 5:
        high = LN2
        low = LN2_LOW
        exponent = ONE - 1
    elif which == 6:
        return 0, 0
    significand, head, _ = round_register(0, exponent, high, low, control)
    return significand, head


# --- angles ------------------------------------------------------------------------------------------


@core
def reduce_angle(a, exponent):
    """x as a multiple of pi/2 and a rest r of at most pi/4.

    Returns the multiple modulo 4, 1 if r is negative, and r.
    """
    if exponent < ONE - 1:
        return 0, 0, a, 0, exponent
    # x * 2/pi: a word times four, five words p4..p0 of which p0 is not needed
    h3, _ = multiply_words(a, TWO_OVER_PI_3)
    h2, l2 = multiply_words(a, TWO_OVER_PI_2)
    h1, l1 = multiply_words(a, TWO_OVER_PI_1)
    h0, l0 = multiply_words(a, TWO_OVER_PI_0)
    carry, p1 = add_wide(0, l2, 0, h3)
    carry, p2 = add_wide(0, l1, 0, carry)
    extra, p2 = add_wide(carry, p2, 0, h2)
    carry, p3 = add_wide(0, l0, 0, extra)
    extra, p3 = add_wide(carry, p3, 0, h1)
    p4 = h0 + extra
    # shift so that the fraction begins with p4; the integer part falls out at the top
    shift = exponent - (ONE - 1)
    quadrant = 0
    if shift:
        quadrant = p4 >> (64 - shift)
        p4 = p4 << shift | p3 >> (64 - shift)
        p3 = p3 << shift | p2 >> (64 - shift)
        p2 = p2 << shift | p1 >> (64 - shift)
    negative = p4 >> 63
    if negative:  # above one half: count from the next multiple
        quadrant += 1
        p4, p3, p2 = ~p4, ~p3, ~p2
    exponent = ONE - 1
    if p4 == 0:
        p4, p3, p2 = p3, p2, 0
        exponent -= 64
    high, low, r_exponent = normalize(p4, p3, exponent)
    shift = exponent - r_exponent
    if shift:
        low |= p2 >> (64 - shift)
    high, low = multiply_high(high, low, HALF_PI, HALF_PI_LOW)
    high, low, exponent = normalize(high, low, r_exponent + 1)
    return quadrant & 3, negative, high, low, exponent


@core
def sine_of_rest(high, low, exponent):
    """For r of at most pi/4."""
    fh, fl = as_fraction(high, low, exponent)
    zh, zl = multiply_high(fh, fl, fh, fl)
    th, tl = alternating(zh, zl, 14, 2)
    return times_term(high, low, exponent, th, tl)


@core
def cosine_of_rest(high, low, exponent):
    fh, fl = as_fraction(high, low, exponent)
    zh, zl = multiply_high(fh, fl, fh, fl)
    th, tl = alternating(zh, zl, 15, 1)
    return normalize(th, tl, ONE)


@core
def circular(a, a_head, quarters, control):
    """The sine of an angle and so many quarters of a turn."""
    kind = class_of(a, a_head)
    flags = denormals(kind, kind, control)
    sign = a_head >> 15
    a, _, exponent = normalize(a, 0, exponent_of(a_head))
    if exponent >= ONE + 63:
        return a, a_head, C2
    quadrant, negative, high, low, exponent = reduce_angle(a, exponent)
    if sign:
        quadrant = 4 - quadrant
        negative ^= 1
    quadrant = (quadrant + quarters) & 3
    if quadrant & 1:
        high, low, exponent = cosine_of_rest(high, low, exponent)
        sign = quadrant >> 1
    else:
        high, low, exponent = sine_of_rest(high, low, exponent)
        sign = quadrant >> 1 ^ negative
    significand, head, rounding = rounded(sign, high, low, exponent, control)
    return significand, head, flags | rounding


@core
def sine(a, a_head, control):
    """FSIN; C2 for an argument of 2**63 and above, which stays."""
    kind = class_of(a, a_head)
    if kind >= QNAN:
        return quiet(a, a_head, kind)
    if kind == INFINITY:
        return default_nan()
    if kind == ZERO_CLASS:
        return a, a_head, 0
    return circular(a, a_head, 0, control)


@core
def cosine(a, a_head, control):
    """FCOS."""
    kind = class_of(a, a_head)
    if kind >= QNAN:
        return quiet(a, a_head, kind)
    if kind == INFINITY:
        return default_nan()
    if kind == ZERO_CLASS:
        return TOP, ONE - OFFSET, 0
    return circular(a, a_head, 1, control)


@core
def tangent(a, a_head, control):
    """FPTAN: the tangent, then the 1.0 (or NaN) to push, and flags."""
    kind = class_of(a, a_head)
    if kind >= INFINITY:
        flags = IE
        if kind == INFINITY:
            a, a_head, flags = default_nan()
        else:
            a, a_head, flags = quiet(a, a_head, kind)
        return a, a_head, a, a_head, flags
    if kind == ZERO_CLASS:
        return a, a_head, TOP, ONE - OFFSET, 0
    flags = denormals(kind, kind, control)
    sign = a_head >> 15
    a, _, exponent = normalize(a, 0, exponent_of(a_head))
    if exponent >= ONE + 63:
        return a, a_head, TOP, ONE - OFFSET, C2
    quadrant, negative, high, low, exponent = reduce_angle(a, exponent)
    sh, sl, s_exponent = sine_of_rest(high, low, exponent)
    ch, cl, c_exponent = cosine_of_rest(high, low, exponent)
    sign ^= negative ^ quadrant & 1
    if quadrant & 1:
        high, low, exponent = ratio(ch, cl, c_exponent, sh, sl, s_exponent)
    else:
        high, low, exponent = ratio(sh, sl, s_exponent, ch, cl, c_exponent)
    significand, head, rounding = rounded(sign, high, low, exponent, control)
    return significand, head, TOP, ONE - OFFSET, flags | rounding


# --- arc tangent -------------------------------------------------------------------------------------


@core
def arc_of_ratio(n, n_exponent, d, d_exponent):
    """The arc tangent of n / d, two words with their exponents, n / d at most 1.

    atan q = atan c + atan((q - c) / (1 + q c)) for the nearest c of 0, 1/4 .. 1.
    """
    nh, nl = n, 0
    dh, dl = d, 0
    step = 0
    negative = 0
    distance = d_exponent - n_exponent
    if distance <= 4:
        # both exact, with room above for sums of eight
        dh, dl = shift_right_sticky(d, 0, 8)
        nh, nl = shift_right_sticky(n, 0, 8 + distance)
        n_exponent = d_exponent
        eh, el = shift_left_wide(nh, nl, 3)
        bh, bl = dh, dl  # odd multiples of d
        ch, cl = shift_left_wide(dh, dl, 1)
        while step < 4 and (eh > bh or (eh == bh and el >= bl)):
            step += 1
            bh, bl = add_wide(bh, bl, ch, cl)
        eh, el = shift_left_wide(nh, nl, 2)
        fh, fl = shift_left_wide(dh, dl, 2)
        for _ in range(step):
            eh, el = subtract_wide(eh, el, dh, dl)
            fh, fl = add_wide(fh, fl, nh, nl)
        negative = eh >> 63
        if negative:
            eh, el = subtract_wide(0, 0, eh, el)
        nh, nl = eh, el
        dh, dl = fh, fl
    base, base_low = 0, 0
    if step == 1:
        base, base_low = ATAN_1, ATAN_1_LOW
    elif step == 2:
        base, base_low = ATAN_2, ATAN_2_LOW
    elif step == 3:
        base, base_low = ATAN_3, ATAN_3_LOW
    elif step == 4:
        base, base_low = HALF_PI, HALF_PI_LOW
    if nh | nl == 0:
        return normalize(base, base_low, ONE - 1)
    nh, nl, n_exponent = normalize(nh, nl, n_exponent)
    dh, dl, d_exponent = normalize(dh, dl, d_exponent)
    high, low, exponent = ratio(nh, nl, n_exponent, dh, dl, d_exponent)
    zh, zl = as_fraction(high, low, exponent)
    zh, zl = multiply_high(zh, zl, zh, zl)
    th, tl = odd_reciprocals(zh, zl, 22, 1)
    high, low, exponent = times_term(high, low, exponent, th, tl)
    if step == 0:
        return high, low, exponent
    base, base_low, base_exponent = normalize(base, base_low, ONE - 1)
    return total(base, base_low, base_exponent, negative, high, low, exponent)


@core
def quarter_turns(quarters, sign, control):
    """So many eighths of a turn as the result, with a sign: 1 is pi/4."""
    exponent = ONE - 1
    high = HALF_PI
    low = HALF_PI_LOW
    if quarters == 2:
        exponent = ONE
    elif quarters == 3:
        high, low, exponent = total(HALF_PI, HALF_PI_LOW, ONE, 0, HALF_PI, HALF_PI_LOW, ONE - 1)
    elif quarters == 4:
        exponent = ONE + 1
    return rounded(sign, high, low, exponent, control)


@core
def arc_tangent(x, x_head, y, y_head, control):
    """FPATAN: the angle of the point (x, y), x in ST(0) (manual 2A, table of FPATAN)."""
    x_kind, y_kind = class_of(x, x_head), class_of(y, y_head)
    if x_kind >= QNAN or y_kind >= QNAN:
        return nan_of_two(x, x_head, y, y_head)
    flags = denormals(x_kind, y_kind, control)
    sign, left = y_head >> 15, x_head >> 15
    eighths = 5
    if y_kind == INFINITY:
        eighths = 2
        if x_kind == INFINITY:
            eighths = 1 + 2 * left
    elif x_kind == INFINITY or y_kind == ZERO_CLASS:
        eighths = 4 * left
    elif x_kind == ZERO_CLASS:
        eighths = 2
    if eighths == 0:
        return 0, sign << 15, flags
    if eighths < 5:
        significand, head, rounding = quarter_turns(eighths, sign, control)
        return significand, head, flags | rounding
    x, _, x_exponent = normalize(x, 0, exponent_of(x_head))
    y, _, y_exponent = normalize(y, 0, exponent_of(y_head))
    if y_exponent > x_exponent or (y_exponent == x_exponent and y > x):
        high, low, exponent = arc_of_ratio(x, x_exponent, y, y_exponent)
        high, low, exponent = total(HALF_PI, HALF_PI_LOW, ONE, 1 - left, high, low, exponent)
    else:
        high, low, exponent = arc_of_ratio(y, y_exponent, x, x_exponent)
        if left:
            high, low, exponent = total(HALF_PI, HALF_PI_LOW, ONE + 1, 1, high, low, exponent)
    significand, head, rounding = rounded(sign, high, low, exponent, control)
    return significand, head, flags | rounding


# --- powers and logarithms ---------------------------------------------------------------------------


@core
def power_of_two_minus_one(a, a_head, control):
    """F2XM1: 2**x - 1 for x from -1 to 1; other arguments stay (the manual leaves them open)."""
    kind = class_of(a, a_head)
    if kind >= QNAN:
        return quiet(a, a_head, kind)
    sign = a_head >> 15
    if kind == INFINITY and sign:
        return TOP, SIGN | ONE - OFFSET, 0
    if kind == ZERO_CLASS or kind == INFINITY:
        return a, a_head, 0
    flags = denormals(kind, kind, control)
    a, _, exponent = normalize(a, 0, exponent_of(a_head))
    if exponent >= ONE:
        if exponent == ONE and a == TOP and sign:
            return TOP, SIGN | ONE - 1 - OFFSET, flags
        return a, a_head, flags
    # e**y - 1 = y (1 + y/2 (1 + y/3 (...))) for y = x ln 2
    high, low = multiply_high(a, 0, LN2, LN2_LOW)
    high, low, exponent = normalize(high, low, exponent)
    fh, fl = as_fraction(high, low, exponent)
    th = TOP
    tl = 0
    for i in range(31):
        uh, ul = multiply_high(fh, fl, th, tl)
        uh, ul = divide_small(uh, ul, 32 - i)
        if sign:
            th, tl = subtract_wide(TOP, 0, uh, ul)
        else:
            th, tl = add_wide(TOP, 0, uh, ul)
    high, low, exponent = times_term(high, low, exponent, th, tl)
    significand, head, rounding = rounded(sign, high, low, exponent, control)
    return significand, head, flags | rounding


@core
def log_of_ratio(nh, nl, n_exponent, dh, dl, d_exponent):
    """log2((1 + s) / (1 - s)) for s = n / d of at most 1/3: 2 s / ln 2 (1 + s**2/3 + ...)."""
    high, low, exponent = ratio(nh, nl, n_exponent, dh, dl, d_exponent)
    zh, zl = as_fraction(high, low, exponent)
    zh, zl = multiply_high(zh, zl, zh, zl)
    th, tl = odd_reciprocals(zh, zl, 36, 0)
    high, low, exponent = times_term(high, low, exponent, th, tl)
    high, low = multiply_high(high, low, TWO_OVER_LN2, TWO_OVER_LN2_LOW)
    return normalize(high, low, exponent + 2)


@core
def log_of(high, low, exponent):
    """log2 of a number: 1 if it is exact, sign, and a number (no bits for zero)."""
    negative = 0
    ih, il, i_exponent = high, low, exponent
    whole = exponent - ONE
    if high >= ROOT_2:  # count down from the next power: m/2, s = -(2 - m) / (2 + m)
        whole += 1
        negative = 1
        nh, nl = subtract_wide(0, 0, high, low)
    else:
        nh, nl = subtract_wide(high, low, TOP, 0)
    sign = whole >> 63
    if sign:
        whole = ~whole + 1
    if nh | nl == 0:
        if whole == 0:
            return 1, 0, 0, 0, ONE
        ih, il, i_exponent = normalize(whole, 0, ONE + 63)
        return 1, sign, ih, il, i_exponent
    nh, nl, n_exponent = normalize(nh, nl, ONE)
    dh, dl = shift_right_sticky(high, low, 1)
    if negative:
        dh |= TOP  # m + 2, in quarters
    else:
        dh, dl = add_wide(dh, dl, TOP >> 1, 0)
    dh, dl, d_exponent = normalize(dh, dl, ONE + 1)
    high, low, exponent = log_of_ratio(nh, nl, n_exponent, dh, dl, d_exponent)
    if whole == 0:
        return 0, negative, high, low, exponent
    ih, il, i_exponent = normalize(whole, 0, ONE + 63)
    high, low, exponent = total(ih, il, i_exponent, sign ^ negative, high, low, exponent)
    return 0, sign, high, low, exponent


@core
def times_y(exact, sign, high, low, exponent, y, y_head, flags, control):
    """The logarithm times y, rounded; y is finite and not 0."""
    sign ^= y_head >> 15
    if high == 0:
        return 0, sign << 15, flags
    y, _, y_exponent = normalize(y, 0, exponent_of(y_head))
    high, low = multiply_high(high, low, y, 0)
    high, low, exponent = normalize(high, low, exponent + y_exponent + 1 - ONE)
    if exact == 0:
        low |= 1
    significand, head, rounding = round_register(sign, exponent, high, low, control | FULL_PRECISION)
    return significand, head, flags | rounding


@core
def logarithm(x, x_head, y, y_head, control):
    """FYL2X: y log2 x, x in ST(0) (manual 2A, table of FYL2X)."""
    x_kind, y_kind = class_of(x, x_head), class_of(y, y_head)
    if x_kind >= QNAN or y_kind >= QNAN:
        return nan_of_two(x, x_head, y, y_head)
    sign = y_head >> 15
    if x_kind == ZERO_CLASS:
        if y_kind == ZERO_CLASS:
            return default_nan()
        flags = ZE
        if y_kind == INFINITY:
            flags = 0
        return TOP, (sign ^ 1) << 15 | SPECIAL, flags
    if x_head >> 15:
        return default_nan()
    flags = denormals(x_kind, y_kind, control)
    if x_kind == INFINITY:
        if y_kind == ZERO_CLASS:
            return default_nan()
        return TOP, sign << 15 | SPECIAL, flags
    x, _, exponent = normalize(x, 0, exponent_of(x_head))
    below_one = 0
    if exponent < ONE:
        below_one = 1
    if y_kind == INFINITY:
        if exponent == ONE and x == TOP:
            return default_nan()
        return TOP, (sign ^ below_one) << 15 | SPECIAL, flags
    if y_kind == ZERO_CLASS:
        return 0, (sign ^ below_one) << 15, flags
    exact, minus, high, low, exponent = log_of(x, 0, exponent)
    return times_y(exact, minus, high, low, exponent, y, y_head, flags, control)


@core
def log_of_one_plus(sign, x, exponent):
    """log2(1 + x), as log_of gives it; x is above -1 and not 0."""
    if exponent < ONE - 1:  # s = x / (2 + x)
        dh, dl = shift_right_sticky(x, 0, ONE + 1 - exponent)
        if sign:
            dh, dl = subtract_wide(TOP, 0, dh, dl)
        else:
            dh, dl = add_wide(TOP, 0, dh, dl)
        dh, dl, d_exponent = normalize(dh, dl, ONE + 1)
        high, low, exponent = log_of_ratio(x, 0, exponent, dh, dl, d_exponent)
        return 0, sign, high, low, exponent
    if exponent < ONE or sign:
        high, low, exponent = total(TOP, 0, ONE, sign, x, 0, exponent)
    else:
        high, low, exponent = total(x, 0, exponent, 0, TOP, 0, ONE)
    return log_of(high, low, exponent)


@core
def logarithm_of_one_plus(x, x_head, y, y_head, control):
    """FYL2XP1: y log2(x + 1), x in ST(0); for -1 and below invalid (the manual leaves it open)."""
    x_kind, y_kind = class_of(x, x_head), class_of(y, y_head)
    if x_kind >= QNAN or y_kind >= QNAN:
        return nan_of_two(x, x_head, y, y_head)
    sign, minus = y_head >> 15, x_head >> 15
    if x_kind == INFINITY and (minus or y_kind == ZERO_CLASS):
        return default_nan()
    if x_kind == ZERO_CLASS and y_kind == INFINITY:
        return default_nan()
    flags = denormals(x_kind, y_kind, control)
    if x_kind == ZERO_CLASS:
        return 0, (sign ^ minus) << 15, flags
    if x_kind == INFINITY:
        return TOP, sign << 15 | SPECIAL, flags
    x, _, exponent = normalize(x, 0, exponent_of(x_head))
    if minus and exponent >= ONE:
        return default_nan()
    if y_kind == INFINITY:
        return TOP, (sign ^ minus) << 15 | SPECIAL, flags
    if y_kind == ZERO_CLASS:
        return 0, (sign ^ minus) << 15, flags
    exact, minus, high, low, exponent = log_of_one_plus(minus, x, exponent)
    return times_y(exact, minus, high, low, exponent, y, y_head, flags, control)


# --- the unit ----------------------------------------------------------------------------------------


@core
def series_of_two(op, a, a_head, b, b_head, control):
    if op == OP_FYL2X:
        return logarithm(a, a_head, b, b_head, control)
    if op == OP_FYL2XP1:
        return logarithm_of_one_plus(a, a_head, b, b_head, control)
    return arc_tangent(a, a_head, b, b_head, control)


@core
def series_of_one(op, a, a_head, control):
    if op == OP_F2XM1:
        return power_of_two_minus_one(a, a_head, control)
    if op == OP_FCOS:
        return cosine(a, a_head, control)
    return sine(a, a_head, control)


@unit
def x87_series(m, op, which, unused):
    """Compute for instructions.py: operands in ST(0) and ST(1), results in T2 to T5, flags returned."""
    c = cpu(m)
    control = c[X87_CONTROL]
    a, a_head = get_register(m, 0)
    b, b_head = get_register(m, 1)
    flags = 0
    if op == OP_FLD_CONSTANT:
        c[T2], c[T3] = constant(which, control)
    elif op == OP_FPTAN:
        c[T2], c[T3], c[T4], c[T5], flags = tangent(a, a_head, control)
    elif op == OP_FYL2X or op == OP_FYL2XP1 or op == OP_FPATAN:
        c[T2], c[T3], flags = series_of_two(op, a, a_head, b, b_head, control)
    else:
        c[T2], c[T3], flags = series_of_one(op, a, a_head, control)
        if op == OP_FSINCOS:
            c[T4], c[T5], more = series_of_one(OP_FCOS, a, a_head, control)
            flags = flags & ~C1 | more
    return flags
