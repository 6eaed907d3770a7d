"""IRET in all its forms (manual 2A, IRET): real mode, V86, same and outer level, to V86, task."""

from __future__ import annotations

import numpy as np

from ..memory.access import read, read_segment
from ..memory.segment_cache import is_real, is_v86, set_cpl, set_v86_segment, stack_mask
from ..state.flags import write_eflags
from ..state.handles import call_unit, cpu, fault
from ..state.jit import UNIT_SWITCH_TASK, core, core_hot
from ..state.layout import (
    AC,
    ARITHMETIC,
    BASE,
    CPL,
    CS,
    DF,
    DS,
    EFLAGS,
    ES,
    EVENT,
    FS,
    GP,
    GS,
    ID,
    IF,
    IOPL_MASK,
    LIMIT,
    NMI_BLOCKED,
    NT,
    RF,
    RIP,
    RSP,
    SS,
    TF,
    TR,
    VIF,
    VIP,
    VM,
)
from .far_transfers import (
    TASK_IRET,
    can_return,
    check_return_code,
    enter_code,
    enter_outer,
    load_cs_real,
    stack_word,
)
from .segments import mark_accessed, set_stack_pointer, stack_descriptor


@core
def flags_writable(m, size, cpl, real):
    """Which flags IRET takes from its image, by operand size and the privilege it runs at."""
    c = cpu(m)
    mask = np.uint64(ARITHMETIC | TF | DF | NT)
    if size == 4:
        mask |= RF | AC | ID
    if real or cpl == 0:
        mask |= IF | IOPL_MASK
        if size == 4 and not real:
            mask |= VIF | VIP
    elif cpl <= (c[EFLAGS] >> 12 & 3):
        mask |= IF
    return mask


@core
def return_simple(m, size, offset, selector, image, mask):
    """Commit a return in real or V86 mode."""
    c = cpu(m)
    if offset > c[LIMIT + CS]:
        fault(m, GP, 0)
        return
    set_stack_pointer(m, c[RSP] + 3 * size)
    load_cs_real(m, selector)
    c[RIP] = offset
    write_eflags(m, image, mask)


@core
def return_to_v86(m, offset, selector, image):
    """From ring 0 into virtual-8086 mode: nine words on the stack (manual 3B, 20.2.4)."""
    c = cpu(m)
    pointer = stack_word(m, 3, 4)
    if c[EVENT]:
        return
    # ES, DS, FS, GS lie above SS; read them all before anything changes
    stack = stack_word(m, 4, 4)
    if c[EVENT]:
        return
    extra = stack_word(m, 5, 4)
    if c[EVENT]:
        return
    data = stack_word(m, 6, 4)
    if c[EVENT]:
        return
    fs = stack_word(m, 7, 4)
    if c[EVENT]:
        return
    gs = stack_word(m, 8, 4)
    if c[EVENT]:
        return
    if offset & 0xFFFFFFFF > 0xFFFF:
        fault(m, GP, 0)
        return
    everything = np.uint64(ARITHMETIC | TF | IF | DF | IOPL_MASK | NT | RF | VM | AC | VIF | VIP | ID)
    write_eflags(m, image, everything)
    set_v86_segment(m, CS, selector)
    set_v86_segment(m, SS, stack)
    set_v86_segment(m, ES, extra)
    set_v86_segment(m, DS, data)
    set_v86_segment(m, FS, fs)
    set_v86_segment(m, GS, gs)
    set_cpl(m, 3)
    c[RIP] = offset & 0xFFFF
    c[RSP] = pointer


@core_hot
def interrupt_return(m, size):
    """IRET and IRETD."""
    c = cpu(m)
    real = is_real(m)
    v86 = is_v86(m)
    if v86 and c[EFLAGS] & IOPL_MASK != IOPL_MASK:
        fault(m, GP, 0)
        return
    if not real and not v86 and c[EFLAGS] & NT:
        link = read(m, c[BASE + TR], 2, 0)
        if not c[EVENT]:
            call_unit(m, UNIT_SWITCH_TASK, link, TASK_IRET, 0)
        if not c[EVENT]:
            c[NMI_BLOCKED] = 0
        return
    offset = stack_word(m, 0, size)
    if c[EVENT]:
        return
    selector = stack_word(m, 1, size) & 0xFFFF
    if c[EVENT]:
        return
    image = stack_word(m, 2, size)
    if c[EVENT]:
        return
    if real:
        return_simple(m, size, offset, selector, image, flags_writable(m, size, 0, 1))
    elif v86:
        # IOPL and VM stay (manual, IRET: RETURN-FROM-VIRTUAL-8086-MODE)
        mask = flags_writable(m, size, 0, 1) & ~np.uint64(IOPL_MASK)
        return_simple(m, size, offset, selector, image, mask)
    elif size == 4 and image & VM and c[CPL] == 0:
        return_to_v86(m, offset, selector, image)
    else:
        return_protected(m, size, offset, selector, image)
    if not c[EVENT]:
        c[NMI_BLOCKED] = 0


@core_hot
def return_protected(m, size, offset, selector, image):
    c = cpu(m)
    low, high = check_return_code(m, selector)
    if c[EVENT]:
        return
    mask = flags_writable(m, size, c[CPL], 0)
    if selector & 3 == c[CPL]:
        can_return(m, selector, low, high, offset)
        if c[EVENT]:
            return
        pointer = c[RSP] + 3 * size
        enter_code(m, selector, low, high, offset, c[CPL])
        set_stack_pointer(m, pointer)
        write_eflags(m, image, mask)
        return
    above = c[RSP] + 3 * size
    pointer = read_segment(m, SS, above & stack_mask(m), size)
    if c[EVENT]:
        return
    stack = read_segment(m, SS, (above + size) & stack_mask(m), size) & 0xFFFF
    if c[EVENT]:
        return
    stack_low, stack_high = stack_descriptor(m, stack, selector & 3, GP)
    if c[EVENT]:
        return
    can_return(m, selector, low, high, offset)
    if c[EVENT]:
        return
    mark_accessed(m, stack, stack_high)
    if c[EVENT]:
        return
    write_eflags(m, image, mask)
    enter_outer(m, selector, low, high, offset, stack, stack_low, stack_high, pointer)
