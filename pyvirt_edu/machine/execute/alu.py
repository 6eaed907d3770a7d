"""8- and 16-bit arithmetic: value and flags of one operation.

The loop has the 32-bit forms inline; the formulas are the same. Operands come in
zero-extended. Each function returns the new value of the destination, and the two words
that hold the flags (see flags.py).
"""

from __future__ import annotations

from ..decode.uops import A_ADC, A_ADD, A_CMP, A_OR, A_SBB, A_SUB, A_XOR, N_DEC, N_INC, N_NOT
from ..state.flags import add_carries, carry, narrow_carries, sign_extend, size_mask, sub_carries, with_carry
from ..state.jit import core


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
