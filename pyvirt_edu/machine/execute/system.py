"""The system instructions: privileged ones, I/O, CPUID, flags.

One unit; a group of instructions has a file of its own. The rows of the opcode table name the
functions that are imported here.
"""
# ruff: noqa: F401

from __future__ import annotations

from ..decode.dispatch import unit_by_rows
from ..decode.uops import AS_PORT
from ..protection.descriptor_tables import (
    load_local_table,
    load_table,
    load_task_register,
    store_selector,
    store_table,
)
from ..protection.privilege import exists, require_ring_0
from ..state.handles import cpu
from ..state.jit import core
from ..state.layout import (
    ATTENTION,
    CR0,
    EVENT,
    HALTED,
    LDTR,
    RAX,
    STOP,
    T0,
    T1,
    TR,
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
def store_machine_status(m):
    """SMSW: the lower half of CR0, in all rings."""
    c = cpu(m)
    c[T0] = c[CR0]


@core
def flush_caches(m):
    """INVD, WBINVD: there is no cache to write back."""
    require_ring_0(m)


@core
def unnoticed(m, manner):
    """1 after IN or OUT if nothing has changed that the loop would have to take up."""
    c = cpu(m)
    if manner & AS_PORT and (c[EVENT] | c[ATTENTION] | c[STOP]) == 0:
        return 1
    return 0


assist_system = unit_by_rows("system", globals(), before="exists", after="unnoticed")
