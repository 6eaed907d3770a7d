"""Shifts and rotates of every size: value and flags (manual 2, ROL, RCL, SHL, SHLD).

The count comes in masked by 31, as every processor since the 80286 does. A count of zero
changes neither value nor flags. Where the manual leaves a flag undefined, these do what
the P6 family does: OF after a count above one is that of the last step, AF is cleared by
shifts, and a 16-bit double shift by more than 16 goes on with the destination's own bits.
"""

from __future__ import annotations

from ..decode.operations import OP_RCL, OP_ROL, OP_ROR, OP_SAR, OP_SHL, OP_SHLD, OP_SHR
from ..state.flags import carries_from, sign_extend, size_mask
from ..state.jit import core, core_hot
from .moves import M32, second


@core
def rotate(op, value, count, size, result, carries):
    """ROL and ROR: only CF and OF change, even when a whole turn changes no bit."""
    if count == 0:
        return value, result, carries
    bits = size << 3
    by = count & (bits - 1)
    if op == OP_ROR:
        by = (bits - by) & (bits - 1)
    r = ((value << by) | (value >> (bits - by))) & size_mask(size)
    top = (r >> (bits - 1)) & 1
    if op == OP_ROL:
        carry = r & 1
        overflow = top ^ carry
    else:
        carry = top
        overflow = top ^ ((r >> (bits - 2)) & 1)
    return r, result, carries_from(carry, overflow, (carries >> 3) & 1)


@core
def rotate_through_carry(op, value, count, size, result, carries):
    """RCL and RCR: CF is one more bit of the circle, so the count goes modulo 9, 17 or 33."""
    if count == 0:
        return value, result, carries
    bits = size << 3
    by = count % (bits + 1)  # 0 after a whole turn: that changes nothing but OF
    circle = value | (((carries >> 31) & 1) << bits)
    if op != OP_RCL:
        by = bits + 1 - by
    turned = (circle << by) | (circle >> (bits + 1 - by))
    r = turned & size_mask(size)
    carry = (turned >> bits) & 1
    top = (r >> (bits - 1)) & 1
    if op == OP_RCL:
        overflow = top ^ carry
    else:
        overflow = top ^ ((r >> (bits - 2)) & 1)
    return r, result, carries_from(carry, overflow, (carries >> 3) & 1)


@core
def shift_plain(op, value, count, size, result, carries):
    """SHL, SHR and SAR. CF is the last bit that left; OF says whether the last step
    changed the sign."""
    if count == 0:
        return value, result, carries
    bits = size << 3
    mask = size_mask(size)
    if op == OP_SHL:
        before = value << (count - 1)
        r = before << 1
        carry = (before >> (bits - 1)) & 1
        overflow = carry ^ ((r >> (bits - 1)) & 1)
    elif op == OP_SHR:
        before = value >> (count - 1)
        r = before >> 1
        carry = before & 1
        overflow = (before >> (bits - 1)) & 1
    else:
        # sign-extended to 32 bits, and the sign once more above
        wide = sign_extend(value, size)
        wide |= (0 - (wide >> 31)) << 32
        before = wide >> (count - 1)
        r = before >> 1
        carry = before & 1
        overflow = 0
    return r & mask, sign_extend(r, size), carries_from(carry, overflow, 0)


@core
def shift(op, value, count, size, result, carries):
    """ROL ROR RCL RCR SHL SHR SAR: (value, result, carries)."""
    if op == OP_SHL or op == OP_SHR or op == OP_SAR:
        return shift_plain(op, value, count, size, result, carries)
    if op == OP_ROL or op == OP_ROR:
        return rotate(op, value, count, size, result, carries)
    return rotate_through_carry(op, value, count, size, result, carries)


@core
def double_shift(op, value, filler, count, size, result, carries):
    """SHLD and SHRD: shift `value`, filling from `filler` (size 2 or 4)."""
    if count == 0:
        return value, result, carries
    bits = size << 3
    carry = 0
    r = 0
    if size == 2:
        # 48 bits: beyond 16 places the destination follows the filler
        if op == OP_SHLD:
            wide = (value << 32) | (filler << 16) | value
            r = (wide << count) >> 32
            carry = (wide >> (48 - count)) & 1
        else:
            wide = (value << 32) | (filler << 16) | value
            r = wide >> count
            carry = (wide >> (count - 1)) & 1
    elif op == OP_SHLD:
        r = (((value << 32) | filler) << count) >> 32
        carry = (value >> (32 - count)) & 1
    else:
        r = ((filler << 32) | value) >> count
        carry = (value >> (count - 1)) & 1
    r &= size_mask(size)
    if op == OP_SHLD:
        overflow = carry ^ ((r >> (bits - 1)) & 1)
    else:
        overflow = ((r >> (bits - 1)) ^ (r >> (bits - 2))) & 1
    return r, sign_extend(r, size), carries_from(carry, overflow, 0)


# --- 32 bits: what the loop executes itself ----------------------------------------------


@core_hot
def shift32(c, u, op, result, carries):
    """SHL, SHR and SAR of a register: (result, carries)."""
    count = second(c, u) & 31
    value, result, carries = shift_plain(op, c[u.a] & M32, count, 4, result, carries)
    c[u.dst] = value
    return result, carries


@core_hot
def rotate32(c, u, op, carries):
    """ROL and ROR of a register: the carries."""
    value, _, carries = rotate(op, c[u.a] & M32, second(c, u) & 31, 4, 0, carries)
    c[u.dst] = value
    return carries
