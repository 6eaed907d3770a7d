"""The unit for instructions that load segment registers or move between privilege levels.

The rows of the opcode table name its functions, those that are imported here too.
"""
# ruff: noqa: F401

from __future__ import annotations

import numpy as np

from ..costs import COST_GATE
from ..decode.dispatch import unit_by_rows
from ..decode.operations import OP_CALLF, OP_LAR, OP_LSL, OP_VERR, OP_VERW
from ..memory.access import read_segment, word_operand, write_segment
from ..memory.descriptor_fields import descriptor_limit
from ..memory.segment_cache import is_real, set_cpl, set_descriptor, stack_mask
from ..state.flags import read_eflags, set_arithmetic
from ..state.handles import call_unit, charge, costs, cpu, fault
from ..state.jit import UNIT_DELIVER, core, core_hot
from ..state.layout import (
    ARITHMETIC,
    ATTENTION,
    BP,
    BR,
    CPL,
    CS,
    DB,
    DS,
    EFLAGS,
    ES,
    EVENT,
    FS,
    GP,
    GS,
    IF,
    OF,
    OF_TRAP,
    RAX,
    RBP,
    RCX,
    RDX,
    REPLAY_INDEX,
    RF,
    RIP,
    RSP,
    SHADOW,
    SHADOW_DEBUG,
    SHADOW_NEXT,
    SS,
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    T0,
    T1,
    T3,
    TEMP,
    VM,
    ZF,
)
from .far_transfers import far_return, far_transfer, probe_stack, pushed, width_mask
from .iret import interrupt_return
from .privilege import exists
from .segments import (
    H_CODE,
    H_CODE_OR_DATA,
    H_CONFORMING,
    H_READABLE,
    H_WRITABLE,
    dpl_of,
    load_segment,
    peek_descriptor,
    set_stack_pointer,
)

SOFTWARE, SOFTWARE_TRAP, ICEBP = 1, 3, 4  # kinds of delivery, see interrupts.py


@core
def hold_interrupts(m):
    """MOV SS and POP SS: nothing comes between them and the next instruction (manual 3A, 6.8.3).

    Of several in a row the first holds off what there is, so that they do not do so for ever.
    """
    c = cpu(m)
    if c[SHADOW] & SHADOW_DEBUG:
        return
    c[SHADOW] = SHADOW_NEXT | SHADOW_DEBUG
    c[ATTENTION] = 1


@core
def write_register(m, number, size, value):
    c = cpu(m)
    if size == 2:
        c[number] = (c[number] & 0xFFFF0000) | value & 0xFFFF
    else:
        c[number] = value & 0xFFFFFFFF


@core
def set_zero_flag(m, on):
    flags = read_eflags(m) & ARITHMETIC & ~np.uint64(ZF)
    if on:
        flags |= ZF
    set_arithmetic(m, flags)


@core
def move_to_segment(m, reg):
    load_segment(m, reg, cpu(m)[T0])
    if reg == SS and not cpu(m)[EVENT]:
        hold_interrupts(m)


@core
def pop_segment(m, reg, size):
    c = cpu(m)
    selector = read_segment(m, SS, c[RSP] & stack_mask(m), size)
    if c[EVENT]:
        return
    pointer = c[RSP] + size
    # the old stack's size governs the pointer even when SS itself is popped
    mask = stack_mask(m)
    load_segment(m, reg, selector)
    if c[EVENT]:
        return
    if mask == 0xFFFF:
        c[RSP] = (c[RSP] & 0xFFFF0000) | pointer & 0xFFFF
    else:
        c[RSP] = pointer & 0xFFFFFFFF
    if reg == SS:
        hold_interrupts(m)


@core
def far_pointer(m, seg, size, address_size):
    """Read offset and selector at seg:T1; selector << 32 | offset. EVENT on a fault."""
    c = cpu(m)
    mask = width_mask(address_size)
    offset = read_segment(m, seg, c[T1], size)
    if c[EVENT]:
        return np.uint64(0)
    selector = read_segment(m, seg, (c[T1] + size) & mask, 2)
    return selector << 32 | offset


@core
def load_pointer(m, target, seg, size, address_size, reg):
    """LDS and its kin: the segment may fault, so the register comes last."""
    pointer = far_pointer(m, seg, size, address_size)
    if cpu(m)[EVENT]:
        return
    load_segment(m, target, pointer >> 32)
    if not cpu(m)[EVENT]:
        write_register(m, reg, size, pointer & 0xFFFFFFFF)


@core
def bound(m, seg, size, address_size, reg):
    """#BR unless lower <= register <= upper, all signed."""
    c = cpu(m)
    lower = read_segment(m, seg, c[T1], size)
    if c[EVENT]:
        return
    upper = read_segment(m, seg, (c[T1] + size) & width_mask(address_size), size)
    if c[EVENT]:
        return
    bias = np.uint64(0x80000000)
    if size == 2:
        bias = np.uint64(0x8000)
    mask = width_mask(size)
    value = (c[reg] + bias) & mask
    if value < (lower + bias) & mask or value > (upper + bias) & mask:
        fault(m, BR, 0)


@core
def enter(m, size, immediate):
    """ENTER: the frame pointers of outer procedures are copied (manual 1, 6.6)."""
    c = cpu(m)
    allocate, level = immediate & 0xFFFF, immediate >> 32 & 31
    mask = stack_mask(m)
    pointer, frame = c[RSP], c[RBP]
    # everything that can fault first: the words to be pushed, and the one at the final pointer
    for i in range(level + 1):
        probe_stack(m, (pointer - (i + 1) * size) & mask, size)
        if c[EVENT]:
            return
    words = np.uint64(1)
    if level:
        words = level + 1
    probe_stack(m, (pointer - words * size - allocate) & mask, size)
    if c[EVENT]:
        return
    answers = c[REPLAY_INDEX]
    for i in range(1, level):
        read_segment(m, SS, (frame - i * size) & mask, size)
        if c[EVENT]:
            return
    c[REPLAY_INDEX] = answers  # a device is asked once
    pushed(m, pointer - size, size, c[RBP])
    new_frame = (pointer & ~mask & 0xFFFFFFFF) | (pointer - size) & mask
    for i in range(1, level):
        value = read_segment(m, SS, (frame - i * size) & mask, size)
        pushed(m, new_frame - i * size, size, value)
    if level:
        pushed(m, new_frame - level * size, size, new_frame)
    write_register(m, RBP, size, new_frame)
    set_stack_pointer(m, pointer - words * size - allocate)


@core
def push_all(m, size):
    c = cpu(m)
    pointer = c[RSP]
    mask = stack_mask(m)
    for i in range(8):
        probe_stack(m, (pointer - (np.uint64(i) + 1) * size) & mask, size)
        if c[EVENT]:
            return
    for i in range(8):
        n = np.uint64(i)
        pushed(m, pointer - (n + 1) * size, size, c[n])
    set_stack_pointer(m, pointer - 8 * size)


@core
def pop_all(m, size):
    """POPA: seven words are read, into the temporaries, before a register changes; the saved
    stack pointer is skipped, not read (manual 2B, POPA)."""
    c = cpu(m)
    pointer = c[RSP]
    mask = stack_mask(m)
    for i in range(8):
        n = np.uint64(i)
        if n != 3:
            value = read_segment(m, SS, (pointer + n * size) & mask, size)
            if c[EVENT]:
                return
            if n != 7:
                c[TEMP + n] = value
            else:
                write_register(m, RAX, size, value)
    for i in range(7):
        n = np.uint64(i)
        if n != 3:
            write_register(m, 7 - n, size, c[TEMP + n])
    set_stack_pointer(m, pointer + 8 * size)


@core
def adjust_rpl(m, in_memory, seg):
    """ARPL: raise the requested privilege level of the operand to that of T3; else nothing is written."""
    c = cpu(m)
    selector = word_operand(m, in_memory, seg)
    if c[EVENT]:
        return
    lower = selector & 3 < c[T3] & 3
    if lower:
        selector = selector & 0xFFFC | c[T3] & 3
        if in_memory:
            write_segment(m, seg, c[T1], 2, selector)
            if c[EVENT]:
                return
    c[T0] = selector  # the decoder puts it into a register
    set_zero_flag(m, np.uint64(lower))


@core
def visible(m, selector, high):
    """Whether program and selector are privileged enough to look at a descriptor."""
    if high & (H_CODE_OR_DATA | H_CODE | H_CONFORMING) == H_CODE_OR_DATA | H_CODE | H_CONFORMING:
        return True
    return dpl_of(high) >= cpu(m)[CPL] and dpl_of(high) >= selector & 3


@core
def query_descriptor(m, op, size, reg, in_memory, seg):
    """LAR, LSL, VERR, VERW: ZF says whether the descriptor may be used (manual 3A, 5.10)."""
    c = cpu(m)
    selector = word_operand(m, in_memory, seg)
    if c[EVENT]:
        return
    low, high, found = peek_descriptor(m, selector)
    if c[EVENT]:
        return
    kind = high >> 8 & 15
    ok = found != 0 and visible(m, selector, high)
    if op == OP_VERR or op == OP_VERW:
        ok = ok and high & H_CODE_OR_DATA != 0
        if op == OP_VERR:
            ok = ok and (high & H_CODE == 0 or high & H_READABLE != 0)
        else:
            ok = ok and high & H_CODE == 0 and high & H_WRITABLE != 0
    elif high & H_CODE_OR_DATA == 0:
        # system types with a limit: TSSs and LDT; LAR knows call and task gates too
        has_limit = kind == 1 or kind == 2 or kind == 3 or kind == 9 or kind == 11
        is_gate = kind == 4 or kind == 5 or kind == 12
        ok = ok and (has_limit or (op == OP_LAR and is_gate))
    set_zero_flag(m, np.uint64(ok))
    if ok and op == OP_LAR:
        write_register(m, reg, size, high & 0x00F0FF00)
    elif ok and op == OP_LSL:
        write_register(m, reg, size, descriptor_limit(low, high))


@core
def flat_segment(m, seg, selector, is_code, dpl):
    """The fixed segments of SYSENTER and SYSEXIT: base 0, 4 GiB, 32-bit."""
    kind = np.uint64(0x00CF9300)
    if is_code:
        kind = np.uint64(0x00CF9B00)
    set_descriptor(m, seg, selector, 0xFFFF, kind | dpl << 13)


@core
def system_enter(m):
    c = cpu(m)
    if is_real(m) or c[SYSENTER_CS] & 0xFFFC == 0:
        fault(m, GP, 0)
        return
    c[EFLAGS] &= ~np.uint64(VM | IF | RF)
    base = c[SYSENTER_CS] & 0xFFFC
    set_cpl(m, 0)
    flat_segment(m, CS, base, 1, 0)
    flat_segment(m, SS, base + 8, 0, 0)
    c[RSP] = c[SYSENTER_ESP] & 0xFFFFFFFF
    c[RIP] = c[SYSENTER_EIP] & 0xFFFFFFFF


@core
def system_exit(m):
    c = cpu(m)
    if is_real(m) or c[SYSENTER_CS] & 0xFFFC == 0 or c[CPL] != 0:
        fault(m, GP, 0)
        return
    base = c[SYSENTER_CS] & 0xFFFC
    set_cpl(m, 3)
    flat_segment(m, CS, base + 16 | 3, 1, 3)
    flat_segment(m, SS, base + 24 | 3, 0, 3)
    c[RSP] = c[RCX] & 0xFFFFFFFF
    c[RIP] = c[RDX] & 0xFFFFFFFF


@core
def software_interrupt(m, vector, kind):
    call_unit(m, UNIT_DELIVER, vector, kind, 0)


@core
def interrupt_on_overflow(m):
    """INTO."""
    if read_eflags(m) & OF:
        charge(m, costs(m)[COST_GATE])
        software_interrupt(m, OF_TRAP, SOFTWARE_TRAP)


@core_hot
def jump_far(m, op, size, immediate, in_memory, seg, address_size):
    """CALLF, JMPF: the pointer is in the instruction or in memory."""
    pointer = immediate
    if in_memory:
        pointer = far_pointer(m, seg, size, address_size)
        if cpu(m)[EVENT]:
            return
    far_transfer(m, pointer >> 32, pointer & 0xFFFFFFFF, size, np.uint64(op == OP_CALLF))


assist_transfer = unit_by_rows("transfer", globals(), before="exists")
