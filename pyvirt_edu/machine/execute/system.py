"""The system instructions: privileged ones, I/O, CPUID, flags.

One unit; a group of instructions has a file of its own.
"""

from __future__ import annotations

from ..decode.uops import (
    OP_CLD,
    OP_CLI,
    OP_CLTS,
    OP_CPUID,
    OP_HLT,
    OP_IN,
    OP_INVD,
    OP_INVLPG,
    OP_LAHF,
    OP_LGDT,
    OP_LIDT,
    OP_LLDT,
    OP_LMSW,
    OP_LTR,
    OP_MOV_FROM_CR,
    OP_MOV_FROM_DR,
    OP_MOV_TO_CR,
    OP_MOV_TO_DR,
    OP_OUT,
    OP_POPF,
    OP_PUSHF,
    OP_RDMSR,
    OP_RDTSC,
    OP_SAHF,
    OP_SGDT,
    OP_SIDT,
    OP_SLDT,
    OP_SMSW,
    OP_STD,
    OP_STI,
    OP_STR,
    OP_WBINVD,
    OP_WRMSR,
)
from ..memory.privilege import require_ring_0
from ..protection.descriptor_tables import (
    load_local_table,
    load_table,
    load_task_register,
    store_selector,
    store_table,
)
from ..state.handles import cpu, fault
from ..state.jit import core, unit
from ..state.layout import (
    ATTENTION,
    CR0,
    EVENT,
    GDTR_BASE,
    GDTR_LIMIT,
    HALTED,
    IDTR_BASE,
    IDTR_LIMIT,
    LDTR,
    RAX,
    STOP,
    T0,
    T1,
    TR,
    UD,
)
from .control_registers import (
    clear_task_switched,
    invalidate_linear,
    load_machine_status,
    move_from_control,
    move_to_control,
)
from .cpuid import identify
from .debug_registers import move_from_debug, move_to_debug
from .flag_instructions import (
    clear_interrupt_flag,
    load_ah,
    pop_flags,
    push_flags,
    set_direction,
    set_interrupt_flag,
    store_ah,
)
from .model_specific import read_msr, read_time_stamp, write_msr
from .port_access import check_port, port_read, port_write


@core
def halt(m):
    """HLT: nothing more until an interrupt."""
    if require_ring_0(m):
        c = cpu(m)
        c[HALTED] = 1
        c[ATTENTION] = 1


@core
def port_in(m, size):
    """IN AL/AX/EAX, port."""
    c = cpu(m)
    port = c[T1] & 0xFFFF
    if check_port(m, port, size) == 0:
        return
    value = port_read(m, port, size)
    if c[EVENT]:
        return
    mask = (1 << (size << 3)) - 1
    c[RAX] = (c[RAX] & ~mask) | value


@core
def port_out(m, size):
    """OUT port, AL/AX/EAX."""
    c = cpu(m)
    port = c[T1] & 0xFFFF
    if check_port(m, port, size):
        port_write(m, port, size, c[RAX])


@core
def table_instruction(m, op, size, address_size, seg):
    c = cpu(m)
    if op == OP_SGDT:
        store_table(m, seg, address_size, c[GDTR_BASE], c[GDTR_LIMIT])
    elif op == OP_SIDT:
        store_table(m, seg, address_size, c[IDTR_BASE], c[IDTR_LIMIT])
    elif op == OP_LGDT:
        load_table(m, seg, address_size, size, 0)
    elif op == OP_LIDT:
        load_table(m, seg, address_size, size, 1)
    elif op == OP_SLDT:
        store_selector(m, LDTR)
    elif op == OP_STR:
        store_selector(m, TR)
    elif op == OP_LLDT:
        load_local_table(m)
    else:
        load_task_register(m)


@core
def register_instruction(m, op, seg, reg):
    """Control, debug and model-specific registers."""
    if op == OP_SMSW:
        c = cpu(m)
        c[T0] = c[CR0]
    elif op == OP_LMSW:
        load_machine_status(m)
    elif op == OP_INVLPG:
        invalidate_linear(m, seg)
    elif op == OP_CLTS:
        clear_task_switched(m)
    elif op == OP_INVD or op == OP_WBINVD:
        require_ring_0(m)  # there is no cache to write back
    elif op == OP_MOV_FROM_CR:
        move_from_control(m, reg)
    elif op == OP_MOV_TO_CR:
        move_to_control(m, reg)
    elif op == OP_MOV_FROM_DR:
        move_from_debug(m, reg)
    else:
        move_to_debug(m, reg)


@core
def other_instruction(m, op, size):
    if op == OP_CLI:
        clear_interrupt_flag(m)
    elif op == OP_STI:
        set_interrupt_flag(m)
    elif op == OP_PUSHF:
        push_flags(m, size)
    elif op == OP_POPF:
        pop_flags(m, size)
    elif op == OP_HLT:
        halt(m)
    elif op == OP_CPUID:
        identify(m)
    elif op == OP_RDTSC:
        read_time_stamp(m)
    elif op == OP_RDMSR:
        read_msr(m)
    elif op == OP_WRMSR:
        write_msr(m)
    elif op == OP_CLD:
        set_direction(m, 0)
    elif op == OP_STD:
        set_direction(m, 1)
    elif op == OP_LAHF:
        load_ah(m)
    elif op == OP_SAHF:
        store_ah(m)
    else:
        fault(m, UD, 0)


@core
def port_instruction(m, op, size):
    """IN or OUT; 1 if nothing has changed that the loop would have to take up."""
    c = cpu(m)
    if op == OP_IN:
        port_in(m, size)
    else:
        port_out(m, size)
    if c[EVENT] | c[ATTENTION] | c[STOP]:
        return 0
    return 1


@unit
def assist_system(m, op, operands, imm):
    """Execute one system instruction; `operands` is packed as the decoder says. Returns 1 if the
    loop may go on at once."""
    size = operands & 0xFF
    if op == OP_IN or op == OP_OUT:
        return port_instruction(m, op, size)
    address_size = (operands >> 8) & 0xFF
    seg = (operands >> 16) & 7
    reg = (operands >> 24) & 7
    if op <= OP_LTR:
        table_instruction(m, op, size, address_size, seg)
    elif op <= OP_MOV_TO_DR:
        register_instruction(m, op, seg, reg)
    else:
        other_instruction(m, op, size)
    return 0
