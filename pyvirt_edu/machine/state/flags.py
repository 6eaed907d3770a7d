"""The arithmetic flags, kept as two words until somebody asks (manual 1, 3.4.3.1).

Most flags are overwritten before anybody looks at them. An instruction therefore leaves
just two words behind, and each flag is a short question to them:

    result    bits 0..31: the result, sign-extended to 32 bits
              ZF = these are all zero · SF = bit 31 XOR bit 32
              PF = even parity of bits 0..7 XOR bits 40..47
    carries   the carry (or borrow) out of every bit position, aligned so that the top
              bit of the operand is bit 31
              CF = bit 31 · OF = bit 31 XOR bit 30 · AF = bit 3

An instruction leaves bits 32..63 of the result zero. They serve those who load flags
that no result has (POPF, SAHF, IRET): SF with ZF, or a parity that does not fit.
"""

from __future__ import annotations

from .handles import cpu
from .jit import core
from .layout import (
    AF,
    ARITHMETIC,
    ATTENTION,
    CC_CARRIES,
    CC_RESULT,
    CF,
    EFLAGS,
    IF,
    OF,
    PF,
    RF,
    SF,
    TF,
    VM,
    ZF,
)

WORD32 = 0xFFFF_FFFF
TOP = 0x8000_0000


# --- making the two words ----------------------------------------------------------------


@core
def add_carries(a, b, r):
    """Carries out of each bit of r = a + b (+ carry): both bits set, or one and no sum."""
    return ((a & b) | ((a | b) & ~r)) & WORD32


@core
def sub_carries(a, b, r):
    """Borrows into each bit of r = a - b (- borrow)."""
    return ((~a & b) | ((~a | b) & r)) & WORD32


@core
def narrow_carries(chain, size):
    """Align the chain of an 8- or 16-bit operation: its top two bits to 31 and 30."""
    if size == 1:
        return ((chain << 24) & 0xC000_0000) | (chain & 8)
    if size == 2:
        return ((chain << 16) & 0xC000_0000) | (chain & 8)
    return chain & WORD32


@core
def with_carry(chain, carry):
    """The chain with CF replaced (0 or 1), OF kept: for INC and DEC."""
    change = ((chain >> 31) ^ carry) & 1
    return chain ^ (change << 31) ^ (change << 30)


@core
def carries_from(carry, overflow, auxiliary):
    """The chain that says CF, OF and AF (each 0 or 1)."""
    return (carry << 31) | ((carry ^ overflow) << 30) | (auxiliary << 3)


@core
def sign_extend_8(value):
    """Bits 0..7 as a signed number in 32 bits."""
    return (((value & 0xFF) ^ 0x80) - 0x80) & WORD32


@core
def sign_extend_16(value):
    return (((value & 0xFFFF) ^ 0x8000) - 0x8000) & WORD32


@core
def sign_extend(value, size):
    if size == 1:
        return sign_extend_8(value)
    if size == 2:
        return sign_extend_16(value)
    return value & WORD32


@core
def size_mask(size):
    """All ones in an operand of 1, 2 or 4 bytes."""
    return (1 << (size << 3)) - 1


# --- asking them ------------------------------------------------------------------------------


@core
def carry(carries):
    return (carries >> 31) & 1


@core
def overflow(carries):
    return ((carries >> 31) ^ (carries >> 30)) & 1


@core
def sign(result):
    return ((result >> 31) ^ (result >> 32)) & 1


@core
def zero(result):
    if (result & WORD32) == 0:
        return 1
    return 0


@core
def parity(result):
    """1 if the number of ones in the low byte is even. 9669h holds the answer for 4 bits."""
    byte = (result ^ (result >> 40)) & 0xFF
    return (0x9669 >> ((byte ^ (byte >> 4)) & 15)) & 1


@core
def get_arithmetic(result, carries):
    """The six arithmetic flags in their EFLAGS places."""
    return (
        carry(carries)
        | (parity(result) << 2)
        | ((carries & 8) << 1)
        | (zero(result) << 6)
        | (sign(result) << 7)
        | (overflow(carries) << 11)
    )


@core
def result_for(flags):
    """A result with the ZF, SF and PF of `flags`."""
    low = 1
    if flags & ZF:
        low = 0
    # the parity of the low word alone is even exactly when it is 0
    odd = ((flags & PF) >> 2) ^ 1 ^ low
    return low | (((flags & SF) >> 7) << 32) | (odd << 40)


@core
def carries_for(flags):
    """A chain of carries with the CF, OF and AF of `flags`."""
    return carries_from(flags & CF, (flags & OF) >> 11, (flags & AF) >> 4)


@core
def condition(cc, result, carries):
    """Whether condition code 0..15 of Jcc, SETcc, CMOVcc holds (manual 1, appendix B)."""
    kind = cc >> 1
    holds = 0
    if kind == 0:
        holds = overflow(carries)
    elif kind == 1:
        holds = carry(carries)
    elif kind == 2:
        holds = zero(result)
    elif kind == 3:
        holds = carry(carries) | zero(result)
    elif kind == 4:
        holds = sign(result)
    elif kind == 5:
        holds = parity(result)
    elif kind == 6:
        holds = sign(result) ^ overflow(carries)
    else:
        holds = zero(result) | (sign(result) ^ overflow(carries))
    return holds ^ (cc & 1)


# --- the flags of a processor -----------------------------------------------------------------


@core
def set_cc(m, result, carries):
    c = cpu(m)
    c[CC_RESULT] = result
    c[CC_CARRIES] = carries


@core
def set_arithmetic(m, flags):
    """Set all six arithmetic flags."""
    set_cc(m, result_for(flags), carries_for(flags))


@core
def read_eflags(m):
    """The whole EFLAGS register; bit 1 is always set."""
    c = cpu(m)
    return c[EFLAGS] | get_arithmetic(c[CC_RESULT], c[CC_CARRIES]) | 2


@core
def write_eflags(m, value, changeable):
    """Change those bits of EFLAGS that are in `changeable`; who may change what is the caller's."""
    c = cpu(m)
    if changeable & ARITHMETIC:
        old = get_arithmetic(c[CC_RESULT], c[CC_CARRIES])
        set_arithmetic(m, (old & ~changeable) | (value & changeable))
    mask = changeable & ~ARITHMETIC & ~2
    before = c[EFLAGS]
    after = (before & ~mask) | (value & mask)
    c[EFLAGS] = after
    # single steps, held-off interrupts and RF are looked at between instructions
    if ((before ^ after) & (IF | VM)) | ((before | after) & (TF | RF)):
        c[ATTENTION] = 1
