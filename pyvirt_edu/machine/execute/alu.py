"""Arithmetic and logic on registers: value and flags.

The flags of an operation are the two words ``result`` and ``carries`` (see flags.py). While a
block runs they are local variables of the loop, so a micro-op returns what it leaves in them.
8- and 16-bit operations share a second dispatch, `alu` and `unary`; there operands come in
zero-extended, and the new value of the destination comes back as well.
"""

from __future__ import annotations

import numpy as np

from ..decode.uops import A_ADC, A_ADD, A_CMP, A_OR, A_SBB, A_SUB, A_XOR, N_DEC, N_INC, N_NOT
from ..state.flags import (
    add_carries,
    carries_from,
    carry,
    narrow_carries,
    overflow,
    sign_extend,
    size_mask,
    sub_carries,
    with_carry,
)
from ..state.jit import core, core_hot
from ..state.layout import RAX, T4
from .moves import (
    ABOVE_16,
    HIGH_A,
    M32,
    address_of,
    byte_of,
    second,
    second_byte,
    set_byte,
    set_merged,
)

# --- 32 bits: a micro-op each ----------------------------------------------------------


@core_hot
def add32(c, u):
    x, y = c[u.a], second(c, u)
    result = (x + y) & M32
    c[u.dst] = result
    return result, add_carries(x, y, result)


@core_hot
def adc32(c, u, carries):
    x, y = c[u.a], second(c, u)
    result = (x + y + carry(carries)) & M32
    c[u.dst] = result
    return result, add_carries(x, y, result)


@core_hot
def sub32(c, u):
    result, carries = cmp32(c, u)
    c[u.dst] = result
    return result, carries


@core_hot
def sbb32(c, u, carries):
    x, y = c[u.a], second(c, u)
    result = (x - y - carry(carries)) & M32
    c[u.dst] = result
    return result, sub_carries(x, y, result)


@core_hot
def cmp32(c, u):
    x, y = c[u.a], second(c, u)
    result = (x - y) & M32
    return result, sub_carries(x, y, result)


@core_hot
def and32(c, u):
    result = c[u.a] & second(c, u) & M32
    c[u.dst] = result
    return result, 0


@core_hot
def or32(c, u):
    result = (c[u.a] | second(c, u)) & M32
    c[u.dst] = result
    return result, 0


@core_hot
def xor32(c, u):
    result = (c[u.a] ^ second(c, u)) & M32
    c[u.dst] = result
    return result, 0


@core_hot
def test32(c, u):
    return c[u.a] & second(c, u) & M32, 0


@core_hot
def inc32(c, u, carries):
    x = c[u.a]
    result = (x + 1) & M32
    c[u.dst] = result
    return result, with_carry(add_carries(x, 1, result), carry(carries))


@core_hot
def dec32(c, u, carries):
    x = c[u.a]
    result = (x - 1) & M32
    c[u.dst] = result
    return result, with_carry(sub_carries(x, 1, result), carry(carries))


@core_hot
def neg32(c, u):
    x = c[u.a]
    result = (0 - x) & M32
    c[u.dst] = result
    return result, sub_carries(0, x, result)


@core_hot
def not32(c, u):
    c[u.dst] = ~c[u.a] & M32


# --- 8 and 16 bits ---------------------------------------------------------------------


@core
def alu(op, a, b, size, carries):
    """ADD OR ADC SBB AND SUB XOR CMP TEST: (value, result, carries)."""
    mask = size_mask(size)
    chain = 0
    r = 0
    if op == A_ADD or op == A_ADC:
        r = a + b
        if op == A_ADC:
            r += carry(carries)
        chain = narrow_carries(add_carries(a, b, r), size)
    elif op == A_OR:
        r = a | b
    elif op == A_XOR:
        r = a ^ b
    elif op == A_SBB or op == A_SUB or op == A_CMP:
        r = a - b
        if op == A_SBB:
            r -= carry(carries)
        chain = narrow_carries(sub_carries(a, b, r), size)
    else:  # AND and TEST
        r = a & b
    value = r & mask
    if op >= A_CMP:  # CMP and TEST only set flags
        value = a
    return value, sign_extend(r, size), chain


@core
def unary(op, a, size, result, carries):
    """INC DEC NOT NEG: (value, result, carries). INC and DEC keep CF; NOT keeps all."""
    mask = size_mask(size)
    if op == N_NOT:
        return ~a & mask, result, carries
    r = 0
    chain = 0
    if op == N_INC:
        r = a + 1
        chain = with_carry(narrow_carries(add_carries(a, 1, r), size), carry(carries))
    elif op == N_DEC:
        r = a - 1
        chain = with_carry(narrow_carries(sub_carries(a, 1, r), size), carry(carries))
    else:  # NEG is 0 - a
        r = 0 - a
        chain = narrow_carries(sub_carries(0, a, r), size)
    return r & mask, sign_extend(r, size), chain


@core_hot
def alu8(c, u, carries):
    x = byte_of(c[u.a], u.high & HIGH_A)
    value, result, carries = alu(u.op, x, second_byte(c, u), 1, carries)
    if u.op < A_CMP:
        set_byte(c, u, value)
    return result, carries


@core_hot
def alu16(c, u, carries):
    value, result, carries = alu(u.op, c[u.a] & 0xFFFF, second(c, u) & 0xFFFF, 2, carries)
    if u.op < A_CMP:
        c[u.dst] = c[u.dst] & ABOVE_16 | value
    return result, carries


@core_hot
def unary8(c, u, result, carries):
    value, result, carries = unary(u.op, byte_of(c[u.a], u.high & HIGH_A), 1, result, carries)
    set_byte(c, u, value)
    return result, carries


@core_hot
def unary16(c, u, result, carries):
    value, result, carries = unary(u.op, c[u.a] & 0xFFFF, 2, result, carries)
    c[u.dst] = c[u.dst] & ABOVE_16 | value
    return result, carries


# --- products and comparisons ----------------------------------------------------------


@core
def signed(value, size):
    """An operand of 2 or 4 bytes as a signed number."""
    if size == 2:
        return np.int64(np.int16(np.uint16(value)))
    return np.int64(np.int32(np.uint32(value)))


@core_hot
def imul(c, u):
    """IMUL with two or three operands; CF and OF say that the product does not fit (manual 2A)."""
    product = signed(c[u.a], u.size) * signed(second(c, u), u.size)
    result = sign_extend(np.uint64(product), u.size)
    too_large = np.uint64(product != signed(result, u.size))
    set_merged(c, u, result)
    return result, carries_from(too_large, too_large, 0)


@core_hot
def cmpxchg(c, u):
    """CMPXCHG: ``dst`` = what the destination becomes, T4 = what the accumulator becomes."""
    old = c[u.a]
    expected = c[RAX] & size_mask(u.size)
    r = expected - old
    c[u.dst] = old
    c[T4] = old
    if old == expected:
        c[u.dst] = c[u.b]
        c[T4] = c[RAX]
    return sign_extend(r, u.size), narrow_carries(sub_carries(expected, old, r), u.size)


# --- bits ------------------------------------------------------------------------------


@core_hot
def with_carry_flag(carries, cf):
    """CF replaced (0 or 1), OF and AF kept."""
    return carries_from(cf, overflow(carries), carries >> 3 & 1)


@core_hot
def set_carry(u, carries):
    """CLC (0), STC (1), CMC (2)."""
    cf = carry(carries) ^ 1
    if u.op != 2:
        cf = u.op & 1
    return with_carry_flag(carries, cf)


@core_hot
def bit_test(c, u, carries):
    """BT (0), BTS (1), BTR (2), BTC (3); CF is the bit as it was."""
    index = second(c, u) & ((u.size << 3) - 1)
    x = c[u.a]
    bit = 1 << index
    if u.op == 1:
        c[u.dst] = x | bit
    elif u.op == 2:
        c[u.dst] = x & ~bit
    elif u.op == 3:
        c[u.dst] = x ^ bit
    return with_carry_flag(carries, x >> index & 1)


@core_hot
def bit_offset(c, u):
    """Where the word with a given bit lies. The index, in register ``imm``, is signed (manual 2A, BT)."""
    shift = 4 + (u.size >> 2)  # 16 or 32 bits a word
    words = np.uint64(signed(c[u.imm], u.size) >> np.int64(shift))
    address = address_of(c, u) + words * u.size
    if u.op == 2:
        address &= 0xFFFF
    c[u.dst] = address & M32


@core
def highest_bit(value):
    index = np.uint64(31)
    while not value >> index & 1:
        index -= 1
    return index


@core
def lowest_bit(value):
    index = np.uint64(0)
    while not value >> index & 1:
        index += 1
    return index


@core_hot
def bit_scan(c, u):
    """BSF (0), BSR (1); of zero the destination stays, as on real processors."""
    value = c[u.b]
    if value:
        index = np.uint64(0)
        if u.op:
            index = highest_bit(value)
        else:
            index = lowest_bit(value)
        set_merged(c, u, index)
    return value, 0
