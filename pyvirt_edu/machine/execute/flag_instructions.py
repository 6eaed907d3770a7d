"""The instructions on EFLAGS, and who may change what (manual 2B, POPF, table 4-16)."""

from __future__ import annotations

from ..memory.access import read_segment
from ..memory.segment_cache import stack_mask
from ..protection.privilege import io_privilege
from ..protection.segments import push, set_stack_pointer
from ..state.flags import get_arithmetic, read_eflags, set_arithmetic, write_eflags
from ..state.handles import cpu, fault
from ..state.jit import core
from ..state.layout import (
    AC,
    AF,
    ARITHMETIC,
    ATTENTION,
    CC_CARRIES,
    CC_RESULT,
    CF,
    CPL,
    CR0,
    CR0_PE,
    DF,
    EFLAGS,
    EVENT,
    GP,
    ID,
    IF,
    IOPL_MASK,
    NT,
    OF,
    PF,
    RAX,
    RF,
    RSP,
    SF,
    SHADOW,
    SHADOW_NEXT,
    SS,
    TF,
    VM,
    ZF,
)

EVERYBODY = ARITHMETIC | TF | DF | NT | AC | ID
IN_AH = SF | ZF | AF | PF | CF


@core
def may_change_if(m):
    """CLI and STI need CPL <= IOPL; virtual-8086 mode runs at CPL 3. Real mode always may."""
    c = cpu(m)
    if (c[CR0] & CR0_PE) and c[CPL] > io_privilege(m):
        return 0
    return 1


@core
def clear_interrupt_flag(m):
    """CLI."""
    c = cpu(m)
    if may_change_if(m) == 0:
        fault(m, GP, 0)
        return
    c[EFLAGS] &= ~IF


@core
def set_interrupt_flag(m):
    """STI: interrupts are held off for one more instruction if they were off."""
    c = cpu(m)
    if may_change_if(m) == 0:
        fault(m, GP, 0)
        return
    if (c[EFLAGS] & IF) == 0:
        c[EFLAGS] |= IF
        c[SHADOW] = SHADOW_NEXT
        c[ATTENTION] = 1


@core
def forbidden_in_v86(m):
    """PUSHF and POPF in virtual-8086 mode need IOPL 3."""
    if (cpu(m)[EFLAGS] & VM) and io_privilege(m) < 3:
        fault(m, GP, 0)
        return 1
    return 0


@core
def push_flags(m, size):
    """PUSHF: VM and RF read as zero in the image."""
    if forbidden_in_v86(m):
        return
    push(m, size, read_eflags(m) & 0x00FC_FFFF)


@core
def pop_flags(m, size):
    """POPF: IOPL changes in ring 0 only, IF where CPL <= IOPL; the rest is ignored quietly."""
    c = cpu(m)
    if forbidden_in_v86(m):
        return
    value = read_segment(m, SS, c[RSP] & stack_mask(m), size)
    if c[EVENT]:
        return
    set_stack_pointer(m, c[RSP] + size)
    changeable = EVERYBODY
    if may_change_if(m):
        changeable |= IF
    if c[CPL] == 0:
        changeable |= IOPL_MASK
    if size == 2:
        changeable &= 0xFFFF
    else:
        value &= ~RF
        changeable |= RF
    write_eflags(m, value, changeable)


@core
def set_direction(m, value):
    """CLD, STD."""
    c = cpu(m)
    if value:
        c[EFLAGS] |= DF
    else:
        c[EFLAGS] &= ~DF


@core
def load_ah(m):
    """LAHF."""
    c = cpu(m)
    flags = (get_arithmetic(c[CC_RESULT], c[CC_CARRIES]) & IN_AH) | 2
    c[RAX] = (c[RAX] & ~0xFF00) | (flags << 8)


@core
def store_ah(m):
    """SAHF: OF stays."""
    c = cpu(m)
    old = get_arithmetic(c[CC_RESULT], c[CC_CARRIES])
    set_arithmetic(m, (old & OF) | ((c[RAX] >> 8) & IN_AH))
