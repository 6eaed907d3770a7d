"""Far jumps, calls and returns (manual 3A, 5.8; 2A and 2B, JMP, CALL, RET).

A far pointer names a code segment, a call gate, a task gate or a TSS. Everything is checked,
and every stack word probed, before a register changes.
"""

from __future__ import annotations

import numpy as np

from ..memory.access import probe_segment_write, probe_write, read_segment, write, write_segment
from ..memory.descriptor_fields import descriptor_base, descriptor_limit, offset_in_limit
from ..memory.segment_cache import (
    is_protected,
    is_real,
    set_descriptor,
    set_real_segment,
    set_v86_segment,
    stack_mask,
)
from ..state.handles import call_unit, cpu, fault
from ..state.jit import UNIT_SWITCH_TASK, core, core_hot
from ..state.layout import (
    CPL,
    CS,
    CYCLES,
    EVENT,
    GP,
    LEDGER,
    LIMIT,
    NP,
    RETURNED_AT,
    RIP,
    RSP,
    SELECTOR,
    SS,
    SS_FAULT,
    TS,
)
from .segments import (
    H_ACCESSED,
    H_CODE,
    H_CODE_OR_DATA,
    H_CONFORMING,
    H_PRESENT,
    dpl_of,
    drop_privileged_segments,
    inner_stack,
    mark_accessed,
    read_descriptor,
    set_stack_pointer,
    stack_descriptor,
)

TASK_JMP, TASK_CALL, TASK_IRET = 0, 1, 2
TSS_16, LDT_TYPE, CALL_GATE_16, TASK_GATE, TSS_32, CALL_GATE_32 = 1, 2, 4, 5, 9, 12


@core
def width_mask(size):
    if size == 2:
        return np.uint64(0xFFFF)
    return np.uint64(0xFFFFFFFF)


@core
def load_cs_real(m, selector):
    """CS outside protected mode proper: a paragraph number."""
    if is_real(m):
        set_real_segment(m, CS, selector)
    else:
        set_v86_segment(m, CS, selector)


@core
def stack_room(m, count, size):
    """Probe the words that are about to be pushed on the current stack; EVENT on a fault."""
    c = cpu(m)
    pointer = c[RSP]
    for _ in range(count):
        pointer = (pointer - size) & stack_mask(m)
        probe_stack(m, pointer, size)
        if c[EVENT]:
            return


@core
def probe_stack(m, offset, size):
    """Fault as a push to SS:offset would."""
    probe_segment_write(m, SS, offset, size)


@core
def pushed(m, offset, size, value):
    """Write one probed stack word."""
    write_segment(m, SS, offset & stack_mask(m), size, value)


@core
def check_code(m, selector, high):
    """Privilege and type of a code segment that is jumped to or called directly."""
    c = cpu(m)
    if not high & H_CODE_OR_DATA or not high & H_CODE:
        fault(m, GP, selector & 0xFFFC)
    elif high & H_CONFORMING:
        if dpl_of(high) > c[CPL]:
            fault(m, GP, selector & 0xFFFC)
    elif dpl_of(high) != c[CPL] or (selector & 3) > c[CPL]:
        fault(m, GP, selector & 0xFFFC)
    if c[EVENT] == 0 and not high & H_PRESENT:
        fault(m, NP, selector & 0xFFFC)


@core_hot
def enter_code(m, selector, low, high, offset, cpl):
    """Commit a new CS:EIP and privilege level; the caller has marked the descriptor accessed."""
    c = cpu(m)
    c[CPL] = cpl
    set_descriptor(m, CS, selector & 0xFFFC | cpl, low, high | H_ACCESSED)
    c[RIP] = offset


@core
def far_transfer(m, selector, offset, size, is_call):
    """JMP or CALL to selector:offset."""
    c = cpu(m)
    offset &= width_mask(size)
    if not is_protected(m):
        if is_call:
            stack_room(m, 2, size)
            if c[EVENT]:
                return
        if offset > c[LIMIT + CS]:
            fault(m, GP, 0)
            return
        if is_call:
            push_return(m, size)
        load_cs_real(m, selector)
        c[RIP] = offset
        return
    if selector & 0xFFFC == 0:
        fault(m, GP, 0)
        return
    low, high = read_descriptor(m, selector, GP)
    if c[EVENT]:
        return
    if high & H_CODE_OR_DATA:
        check_code(m, selector, high)
        if c[EVENT]:
            return
        enter_same_level(m, selector, low, high, offset, size, is_call)
        return
    through_system_descriptor(m, selector, low, high, is_call)


@core
def through_system_descriptor(m, selector, low, high, is_call):
    """Call gates, task gates and TSSs."""
    c = cpu(m)
    kind = high >> 8 & 15
    is_call_gate = kind == CALL_GATE_16 or kind == CALL_GATE_32
    if not is_call_gate and kind != TASK_GATE and kind != TSS_16 and kind != TSS_32:
        fault(m, GP, selector & 0xFFFC)
        return
    if dpl_of(high) < c[CPL] or dpl_of(high) < (selector & 3):
        fault(m, GP, selector & 0xFFFC)
        return
    if not high & H_PRESENT:
        fault(m, NP, selector & 0xFFFC)
        return
    if is_call_gate:
        through_call_gate(m, low, high, is_call)
        return
    tss = selector
    if kind == TASK_GATE:
        tss = low >> 16
    if is_call:
        call_unit(m, UNIT_SWITCH_TASK, tss, TASK_CALL, 0)
    else:
        call_unit(m, UNIT_SWITCH_TASK, tss, TASK_JMP, 0)


@core
def push_return(m, size):
    """Push CS and the return address on a stack that has room for them (stack_room)."""
    c = cpu(m)
    top = c[RSP]
    pushed(m, top - size, size, c[SELECTOR + CS])
    pushed(m, top - 2 * size, size, c[RIP])
    set_stack_pointer(m, top - 2 * size)


@core
def enter_same_level(m, selector, low, high, offset, size, is_call):
    """The last checks of a transfer that keeps its privilege, in the manual's order, then the transfer."""
    c = cpu(m)
    if is_call:
        stack_room(m, 2, size)
        if c[EVENT]:
            return
    if offset > descriptor_limit(low, high):
        fault(m, GP, 0)
        return
    mark_accessed(m, selector, high)
    if c[EVENT]:
        return
    if is_call:
        push_return(m, size)
    enter_code(m, selector, low, high, offset, c[CPL])


@core
def through_call_gate(m, low, high, is_call):
    """To the segment a call gate names; to a more privileged one with that level's stack."""
    c = cpu(m)
    selector = low >> 16
    size = np.uint64(2)
    offset = low & 0xFFFF
    if high & 0x800:
        size = np.uint64(4)
        offset |= high & 0xFFFF0000
    if selector & 0xFFFC == 0:
        fault(m, GP, 0)
        return
    code_low, code_high = read_descriptor(m, selector, GP)
    if c[EVENT]:
        return
    is_code = code_high & (H_CODE_OR_DATA | H_CODE) == H_CODE_OR_DATA | H_CODE
    inner = is_call != 0 and not code_high & H_CONFORMING and dpl_of(code_high) < c[CPL]
    bad = not is_code or dpl_of(code_high) > c[CPL]
    if not is_call and not code_high & H_CONFORMING and dpl_of(code_high) != c[CPL]:
        bad = True
    if bad:
        fault(m, GP, selector & 0xFFFC)
        return
    if not code_high & H_PRESENT:
        fault(m, NP, selector & 0xFFFC)
        return
    if inner:
        call_inner(m, selector, code_low, code_high, offset, size, high & 31)
        return
    enter_same_level(m, selector, code_low, code_high, offset, size, is_call)


@core
def call_inner(m, selector, code_low, code_high, offset, size, count):
    """A call to a more privileged level: new stack, parameters copied, old stack saved."""
    c = cpu(m)
    level = dpl_of(code_high)
    stack, pointer = inner_stack(m, level)
    if c[EVENT]:
        return
    low, high = stack_descriptor(m, stack, level, TS)
    if c[EVENT]:
        return
    mask = np.uint64(0xFFFF)
    if high & 0x400000:
        mask = np.uint64(0xFFFFFFFF)
    base, limit = descriptor_base(low, high), descriptor_limit(low, high)
    words = count + 4
    for i in range(words):
        at = (pointer - (i + 1) * size) & mask
        if not offset_in_limit(limit, high >> 8, at, size):
            fault(m, SS_FAULT, stack & 0xFFFC)
            return
        probe_write(m, base + at, size, 0)
        if c[EVENT]:
            return
    if offset > descriptor_limit(code_low, code_high):
        fault(m, GP, 0)
        return
    mark_accessed(m, stack, high)
    if c[EVENT]:
        return
    mark_accessed(m, selector, code_high)
    if c[EVENT]:
        return
    old_pointer, old_stack = c[RSP], c[SELECTOR + SS]
    # The parameters keep their order. Reading one may still fault; what has been written by
    # then lies below the new stack's top, where nobody looks.
    for i in range(count):
        value = read_segment(m, SS, (old_pointer + (count - 1 - i) * size) & stack_mask(m), size)
        if c[EVENT]:
            return
        write(m, base + ((pointer - (3 + i) * size) & mask), size, value, 0)
    write(m, base + ((pointer - size) & mask), size, old_stack, 0)
    write(m, base + ((pointer - 2 * size) & mask), size, old_pointer, 0)
    write(m, base + ((pointer - (count + 3) * size) & mask), size, c[SELECTOR + CS], 0)
    write(m, base + ((pointer - (count + 4) * size) & mask), size, c[RIP], 0)
    enter_code(m, selector, code_low, code_high, offset, level)
    set_descriptor(m, SS, stack, low, high | H_ACCESSED)
    c[RSP] = (pointer & ~mask & 0xFFFFFFFF) | (pointer - words * size) & mask


@core_hot
def stack_word(m, index, size):
    """A word of the current stack, counted from its top; EVENT on a fault."""
    return read_segment(m, SS, (cpu(m)[RSP] + index * size) & stack_mask(m), size)


@core
def check_return_code(m, selector):
    """Descriptor of the code segment a RETF or IRET goes back to; EVENT on a refusal."""
    c = cpu(m)
    if selector & 0xFFFC == 0:
        fault(m, GP, 0)
        return np.uint64(0), np.uint64(0)
    low, high = read_descriptor(m, selector, GP)
    if c[EVENT]:
        return low, high
    rpl = selector & 3
    bad = high & (H_CODE_OR_DATA | H_CODE) != H_CODE_OR_DATA | H_CODE or rpl < c[CPL]
    if high & H_CONFORMING:
        bad = bad or dpl_of(high) > rpl
    else:
        bad = bad or dpl_of(high) != rpl
    if bad:
        fault(m, GP, selector & 0xFFFC)
    elif not high & H_PRESENT:
        fault(m, NP, selector & 0xFFFC)
    return low, high


@core_hot
def can_return(m, selector, low, high, offset):
    """The last that may fault in a return: the offset's limit, and marking the descriptor accessed."""
    if offset > descriptor_limit(low, high):
        fault(m, GP, 0)
        return
    mark_accessed(m, selector, high)


@core_hot
def enter_outer(m, selector, low, high, offset, stack, stack_low, stack_high, pointer):
    """Commit a return to a less privileged level, its stack included."""
    level = selector & 3
    enter_code(m, selector, low, high, offset, level)
    set_descriptor(m, SS, stack, stack_low, stack_high | H_ACCESSED)
    set_stack_pointer(m, pointer)
    drop_privileged_segments(m)
    c = cpu(m)
    c[RETURNED_AT] = c[CYCLES] + c[LEDGER]  # the instruction's own price is not in there


@core
def far_return(m, size, extra):
    """RETF: to the same or an outer level; ``extra`` bytes of parameters are dropped."""
    c = cpu(m)
    offset = stack_word(m, 0, size)
    if c[EVENT]:
        return
    selector = stack_word(m, 1, size) & 0xFFFF
    if c[EVENT]:
        return
    if not is_protected(m):
        if offset > c[LIMIT + CS]:
            fault(m, GP, 0)
            return
        set_stack_pointer(m, c[RSP] + 2 * size + extra)
        load_cs_real(m, selector)
        c[RIP] = offset
        return
    low, high = check_return_code(m, selector)
    if c[EVENT]:
        return
    if selector & 3 == c[CPL]:
        can_return(m, selector, low, high, offset)
        if c[EVENT]:
            return
        pointer = c[RSP] + 2 * size + extra
        enter_code(m, selector, low, high, offset, c[CPL])
        set_stack_pointer(m, pointer)
        return
    above = (c[RSP] + 2 * size + extra) & stack_mask(m)
    pointer = read_segment(m, SS, above, size)
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
    enter_outer(m, selector, low, high, offset, stack, stack_low, stack_high, pointer + extra)
