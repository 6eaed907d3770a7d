"""Arithmetic that leaves the loop: multiply, divide, decimal adjust, rotates, CMPXCHG8B.

Each function follows the operation section of its page in the manual (volume 2). Signed
multiplication and division work on magnitudes and put the sign back, so that everything
stays unsigned. Operands lie in T0, T3 and T4, as a row or its recipe says.
"""

from __future__ import annotations

from ..decode.dispatch import unit_by_rows
from ..memory.access import probe_segment_write, read_segment, write_segment
from ..state.flags import (
    carries_from,
    carry,
    get_arithmetic,
    result_for,
    set_arithmetic,
    sign_extend,
    size_mask,
)
from ..state.handles import cpu, fault
from ..state.jit import core
from ..state.layout import AF, CC_CARRIES, CC_RESULT, CF, DE, EVENT, RAX, RBX, RCX, RDX, T0, T1, T3, T4, ZF
from .shifts import double_shift, shift


@core
def low_register(c, number, size):
    """AX or EAX, DX or EDX; AL for size 1."""
    return c[number] & size_mask(size)


@core
def set_low_register(c, number, size, value):
    mask = size_mask(size)
    c[number] = (c[number] & (0xFFFF_FFFF ^ mask)) | (value & mask)


@core
def magnitude(value, bits):
    """The absolute value of a two's complement number of `bits` bits (at most 64)."""
    if (value >> (bits - 1)) & 1:
        value = 0 - value
        if bits < 64:
            value &= (1 << bits) - 1
    return value


# --- multiply and divide ----------------------------------------------------------------------


@core
def multiply(m, size, signed):
    """MUL and IMUL with one operand: AX = AL * E, rDX:rAX = rAX * E.

    CF and OF say that the upper half is more than the sign (or zeros) of the lower. SF, ZF
    and PF are undefined; they follow the lower half.
    """
    c = cpu(m)
    bits = size << 3
    a = low_register(c, RAX, size)
    b = c[T0] & size_mask(size)
    product = a * b
    if signed:
        product = magnitude(a, bits) * magnitude(b, bits)
        if ((a ^ b) >> (bits - 1)) & 1:
            product = 0 - product
    low = product & size_mask(size)
    high = (product >> bits) & size_mask(size)
    if size == 1:
        set_low_register(c, RAX, 2, product)
    else:
        set_low_register(c, RAX, size, low)
        set_low_register(c, RDX, size, high)
    expected = 0
    if signed and (low >> (bits - 1)) & 1:
        expected = size_mask(size)
    lost = 0
    if high != expected:
        lost = 1
    c[CC_RESULT] = sign_extend(low, size)
    c[CC_CARRIES] = carries_from(lost, lost, 0)
    return 0


@core
def divide(m, size, signed):
    """DIV and IDIV: #DE for a zero divisor and for a quotient that does not fit."""
    c = cpu(m)
    bits = size << 3
    mask = size_mask(size)
    divisor = c[T0] & mask
    dividend = c[RAX] & 0xFFFF
    if size != 1:
        dividend = (low_register(c, RDX, size) << bits) | low_register(c, RAX, size)
    if divisor == 0:
        return fault(m, DE, 0)
    largest = mask
    negative = 0
    negative_remainder = 0
    if signed:
        negative_remainder = (dividend >> (2 * bits - 1)) & 1
        negative = negative_remainder ^ ((divisor >> (bits - 1)) & 1)
        dividend = magnitude(dividend, 2 * bits)
        divisor = magnitude(divisor, bits)
        largest = (mask >> 1) + negative  # one more below zero than above
    quotient = dividend // divisor
    remainder = dividend % divisor
    if quotient > largest:
        return fault(m, DE, 0)
    if negative:
        quotient = 0 - quotient
    if negative_remainder:
        remainder = 0 - remainder
    if size == 1:
        set_low_register(c, RAX, 2, (quotient & 0xFF) | ((remainder & 0xFF) << 8))
    else:
        set_low_register(c, RAX, size, quotient)
        set_low_register(c, RDX, size, remainder)
    return 0


# --- decimal adjust (manual 1, 7.3.4) -----------------------------------------------------------


@core
def decimal_adjust_packed(m, subtract):
    """DAA and DAS: make AL two decimal digits again. OF is undefined: cleared."""
    c = cpu(m)
    old = c[RAX] & 0xFF
    old_carry = carry(c[CC_CARRIES])
    al = old
    new_carry = 0
    auxiliary = 0
    if (old & 15) > 9 or (c[CC_CARRIES] & 8) != 0:
        auxiliary = 1
        if subtract:
            al = old - 6
        else:
            al = old + 6
        new_carry = old_carry | ((al >> 8) & 1)
    if old > 0x99 or old_carry != 0:
        if subtract:
            al -= 0x60
        else:
            al += 0x60
        new_carry = 1
    elif not subtract:
        new_carry = 0
    set_low_register(c, RAX, 1, al)
    c[CC_RESULT] = sign_extend(al, 1)
    c[CC_CARRIES] = carries_from(new_carry, 0, auxiliary)


@core
def decimal_adjust_unpacked(m, subtract):
    """AAA and AAS: make AL one decimal digit, carry into AH. Undefined flags stay."""
    c = cpu(m)
    ax = c[RAX] & 0xFFFF
    flags = get_arithmetic(c[CC_RESULT], c[CC_CARRIES]) & ~(CF | AF)
    if (ax & 15) > 9 or (c[CC_CARRIES] & 8) != 0:
        flags |= CF | AF
        if subtract:
            ax = ax - 0x106
        else:
            ax = ax + 0x106
    set_low_register(c, RAX, 2, ax & 0xFF0F)
    set_arithmetic(m, flags)


@core
def adjust_after_multiply(m, base):
    """AAM: split AL into two digits of `base`. Base 0 is a division by zero."""
    c = cpu(m)
    if base == 0:
        return fault(m, DE, 0)
    al = c[RAX] & 0xFF
    digit = al % base
    set_low_register(c, RAX, 2, ((al // base) << 8) | digit)
    c[CC_RESULT] = sign_extend(digit, 1)
    c[CC_CARRIES] = 0
    return 0


@core
def adjust_before_divide(m, base):
    """AAD: put two digits together in AL."""
    c = cpu(m)
    ax = c[RAX] & 0xFFFF
    al = ((ax & 0xFF) + (ax >> 8) * base) & 0xFF
    set_low_register(c, RAX, 2, al)
    c[CC_RESULT] = sign_extend(al, 1)
    c[CC_CARRIES] = 0


# --- compare and exchange 8 bytes ---------------------------------------------------------------


@core
def compare_exchange_8_bytes(m, seg):
    """CMPXCHG8B: the memory operand is written in both cases, so it must be writable."""
    c = cpu(m)
    offset = c[T1]
    probe_segment_write(m, seg, offset, 8)
    if c[EVENT]:
        return 0
    old = read_segment(m, seg, offset, 8)
    if c[EVENT]:
        return 0
    expected = ((c[RDX] & 0xFFFF_FFFF) << 32) | (c[RAX] & 0xFFFF_FFFF)
    value = old
    if old == expected:
        value = ((c[RCX] & 0xFFFF_FFFF) << 32) | (c[RBX] & 0xFFFF_FFFF)
    write_segment(m, seg, offset, 8, value)
    if c[EVENT]:
        return 0
    flags = get_arithmetic(c[CC_RESULT], c[CC_CARRIES])
    if old == expected:
        flags |= ZF
    else:
        flags &= ~ZF
        c[RAX] = old & 0xFFFF_FFFF
        c[RDX] = old >> 32
    c[CC_RESULT] = result_for(flags)  # the chain of carries still holds the rest
    return 0


# --- shifts of an operand in T0, and what is left -----------------------------------------------


@core
def shift_operand(m, op, size):
    """ROL to SAR: the count is in T4."""
    c = cpu(m)
    value, result, carries = shift(op, c[T0], c[T4] & 31, size, c[CC_RESULT], c[CC_CARRIES])
    c[T0] = value
    c[CC_RESULT] = result
    c[CC_CARRIES] = carries


@core
def double_shift_operand(m, op, size):
    """SHLD, SHRD: T3 fills."""
    c = cpu(m)
    value, result, carries = double_shift(op, c[T0], c[T3], c[T4] & 31, size, c[CC_RESULT], c[CC_CARRIES])
    c[T0] = value
    c[CC_RESULT] = result
    c[CC_CARRIES] = carries


@core
def set_al_on_carry(m):
    """SALC."""
    c = cpu(m)
    set_low_register(c, RAX, 1, 0 - carry(c[CC_CARRIES]))


assist_arithmetic = unit_by_rows("arithmetic", globals())
