"""What a PC's board has of small ports: debug output, exit, POST code, fast A20, reset, x87 errors.

E9h is the debug port and F4h the exit port of PC emulators (Bochs; QEMU's isa-debugcon and
isa-debug-exit). 80h shows the firmware's progress. 92h and CF9h are the 82371SB's fast A20
and reset control (data sheet, sections 2.5.5 and 2.5.9). A write to F0h lets go of IRQ 13, which
the x87 has raised (the same, coprocessor error register).
"""

from __future__ import annotations

from ..machine.memory.tlb import flush_fast, flush_tlb
from ..machine.state.handles import cpu, devices
from ..machine.state.jit import core
from ..machine.state.layout import (
    A20_MASK,
    A20_OPEN,
    ATTENTION,
    GENERATION,
    NESTED_ROOT,
    PLACE_MASK,
    SERVICE,
    STOP,
)
from .layout import IRQ_X87, SERVICE_EXIT, SERVICE_RESET, SYSTEM_PORTS
from .pic import set_line
from .uart import FROM_DEBUG_PORT, to_console

# words
EXIT_VALUE, PORT_92, RESET_CONTROL, POST_CODE = range(SYSTEM_PORTS, SYSTEM_PORTS + 4)

DEBUG_PORT, EXIT_PORT, POST_PORT, FAST_A20_PORT, RESET_PORT = 0xE9, 0xF4, 0x80, 0x92, 0xCF9
X87_PORT = 0xF0
BIT_20 = 0x100000


@core
def leave_for(m, service):
    """Let the machine leave the core after this instruction."""
    c = cpu(m)
    c[SERVICE] |= service
    c[STOP] = 1
    c[ATTENTION] = 1


@core
def a20_is_open(m):
    return cpu(m)[A20_MASK] >> 20 & 1


@core
def set_a20(m, level):
    """Open or close the gate: who writes last, here or at the keyboard controller, decides."""
    c = cpu(m)
    if level == a20_is_open(m):
        return
    c[A20_MASK] = A20_OPEN
    if level == 0:
        c[A20_MASK] = A20_OPEN ^ BIT_20
    if c[NESTED_ROOT]:
        flush_tlb(m, 0)  # there the gate is below the tables that the TLB holds
    else:
        c[PLACE_MASK] = c[A20_MASK]
    c[GENERATION] += 1
    flush_fast(m)
    c[STOP] = 1
    c[ATTENTION] = 1


@core
def exit_write(m, value):
    """Any write ends the run; the value becomes the status."""
    devices(m)[EXIT_VALUE] = value
    leave_for(m, SERVICE_EXIT)


@core
def write_fast_a20(m, value):
    """Port 92h: bit 1 is the gate, bit 0 resets when it rises."""
    d = devices(m)
    rises = value & ~d[PORT_92] & 1
    d[PORT_92] = value & 0xFD
    set_a20(m, value >> 1 & 1)
    if rises:
        leave_for(m, SERVICE_RESET)


@core
def write_reset_control(m, value):
    """CF9h: bit 2 resets when it rises."""
    d = devices(m)
    rises = value & ~d[RESET_CONTROL] & 4
    d[RESET_CONTROL] = value & 6
    if rises:
        leave_for(m, SERVICE_RESET)


# --- the bus ----------------------------------------------------------------------------------


@core
def system_write(m, port, value):
    if port == POST_PORT:
        devices(m)[POST_CODE] = value
    elif port == DEBUG_PORT:
        to_console(m, value, FROM_DEBUG_PORT)
    elif port == FAST_A20_PORT:
        write_fast_a20(m, value)
    elif port == RESET_PORT:
        write_reset_control(m, value)
    elif port == X87_PORT:
        set_line(m, IRQ_X87, 0)


@core
def system_read(m, port):
    d = devices(m)
    if port == POST_PORT:
        return d[POST_CODE]
    if port == DEBUG_PORT:
        return DEBUG_PORT  # how a program finds out that the port is there
    if port == FAST_A20_PORT:
        return d[PORT_92] | a20_is_open(m) << 1
    if port == RESET_PORT:
        return d[RESET_CONTROL]
    if port == X87_PORT:
        return 0xFF
    return 0


@core
def system_reset(m):
    d = devices(m)
    for i in range(SYSTEM_PORTS, POST_CODE + 1):
        d[i] = 0
    set_line(m, IRQ_X87, 0)
