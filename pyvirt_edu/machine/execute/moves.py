"""Micro-ops that move values between registers, and how every micro-op names its operands.

A micro-op reads ``a`` and ``b`` and an immediate and writes ``dst`` (uops.py). Its fields are
narrow, its registers are words: what is computed from both is a word.
"""

from __future__ import annotations

from ..state.flags import condition, sign_extend_8, sign_extend_16
from ..state.jit import core, core_hot

M32 = 0xFFFF_FFFF
ABOVE_16 = 0xFFFF_FFFF_FFFF_0000
ABOVE_8 = 0xFFFF_FFFF_FFFF_FF00
ALL_BUT_HIGH_BYTE = 0xFFFF_FFFF_FFFF_00FF
HIGH_DST, HIGH_A, HIGH_B = 1, 2, 4  # of u.high: the operand is AH, CH, DH or BH


# --- operands --------------------------------------------------------------------------


@core_hot
def second(c, u):
    """The second operand: a register or an immediate. Of the two fields one is always 0."""
    return c[u.b] + u.imm


@core_hot
def address_of(c, u):
    """The offset of a memory operand: base, scaled index, displacement (manual 1, 3.7.5)."""
    return (c[u.a] + (c[u.b] << u.scale) + u.disp) & M32


@core
def byte_of(value, high):
    if high:
        return value >> 8 & 0xFF
    return value & 0xFF


@core
def with_byte(old, value, high):
    """A register after a write to its low or its high byte."""
    if high:
        return old & ALL_BUT_HIGH_BYTE | value << 8
    return old & ABOVE_8 | value


@core
def merged(old, value, size):
    """A register after a write of 2 or 4 bytes."""
    if size == 2:
        return old & ABOVE_16 | value & 0xFFFF
    return value & M32


@core_hot
def second_byte(c, u):
    return (byte_of(c[u.b], u.high & HIGH_B) + u.imm) & 0xFF


@core_hot
def set_byte(c, u, value):
    c[u.dst] = with_byte(c[u.dst], value, u.high & HIGH_DST)


@core_hot
def set_merged(c, u, value):
    c[u.dst] = merged(c[u.dst], value, u.size)


# --- the micro-ops ---------------------------------------------------------------------


@core_hot
def move32(c, u):
    c[u.dst] = second(c, u) & M32


@core_hot
def move16(c, u):
    c[u.dst] = c[u.dst] & ABOVE_16 | second(c, u) & 0xFFFF


@core_hot
def move8(c, u):
    set_byte(c, u, second_byte(c, u))


@core_hot
def lea32(c, u):
    c[u.dst] = address_of(c, u)


@core_hot
def lea16(c, u):
    c[u.dst] = address_of(c, u) & 0xFFFF


@core_hot
def sign8(c, u):
    """MOVZX, MOVSX, CBW: a byte with zeros above, or (1) its sign."""
    value = byte_of(second(c, u), u.high & HIGH_B)
    if u.op == 1:
        value = sign_extend_8(value)
    set_merged(c, u, value)


@core_hot
def sign16(c, u):
    """MOVZX, MOVSX, CWDE: a word with zeros above, or (1) its sign; CWD (2): nothing but the sign."""
    value = c[u.b]
    if u.op == 2:
        value = 0 - (value >> ((u.size << 3) - 1) & 1)
    elif u.op == 1:
        value = sign_extend_16(value)
    else:
        value &= 0xFFFF
    set_merged(c, u, value)


@core_hot
def set_if(c, u, result, carries):
    """SETcc."""
    set_byte(c, u, condition(u.op, result, carries))


@core_hot
def move_if(c, u, result, carries):
    """CMOVcc: even where nothing moves, the upper half of a 64-bit register is cleared."""
    value = c[u.dst]
    if condition(u.op, result, carries):
        value = c[u.b]
    set_merged(c, u, value)


@core_hot
def swap32(c, u):
    """BSWAP."""
    x = c[u.dst]
    c[u.dst] = (x & 0xFF) << 24 | (x & 0xFF00) << 8 | x >> 8 & 0xFF00 | x >> 24 & 0xFF


@core_hot
def swap16(c, u):
    """BSWAP of a 16-bit register is undefined; real processors clear it."""
    c[u.dst] &= ABOVE_16
