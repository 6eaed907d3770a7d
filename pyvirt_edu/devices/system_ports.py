"""What a PC's board has of small ports: debug output, exit, POST code, fast A20, reset, DMA.

E9h is the debug port and F4h the exit port of PC emulators (Bochs; QEMU's isa-debugcon and
isa-debug-exit). 80h shows the firmware's progress. 92h and CF9h are the 82371SB's fast A20
and reset control (data sheet, sections 2.5.5 and 2.5.9). The two 8237A DMA controllers and
their page registers keep what is written (8237A data sheet, "register description"): firmware
tests them, nothing here transfers by DMA.
"""

from __future__ import annotations

from ..machine.handles import cpu, device_bytes, devices
from ..machine.jit import core
from ..machine.layout import A20_MASK, ATTENTION, GENERATION, SERVICE, STOP
from ..machine.tlb import flush_fast
from .layout import SERVICE_EXIT, SERVICE_RESET, SYSTEM_BYTES, SYSTEM_PORTS
from .uart import FROM_DEBUG_PORT, to_console

# words
EXIT_VALUE, PORT_92, RESET_CONTROL, POST_CODE = range(SYSTEM_PORTS, SYSTEM_PORTS + 4)
HIGH_BYTES = SYSTEM_PORTS + 4  # one a controller: the next access is to the upper byte
MASKS = SYSTEM_PORTS + 6
COMMANDS = SYSTEM_PORTS + 8
# bytes: two controllers of 8 16-bit registers, then the page registers
DMA_REGISTERS = SYSTEM_BYTES
PAGES = SYSTEM_BYTES + 32

DEBUG_PORT, EXIT_PORT, POST_PORT, FAST_A20_PORT, RESET_PORT = 0xE9, 0xF4, 0x80, 0x92, 0xCF9
ALL_ADDRESSES = 0xFFFF_FFFF_FFFF_FFFF
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
    c[A20_MASK] = ALL_ADDRESSES
    if level == 0:
        c[A20_MASK] = ALL_ADDRESSES ^ BIT_20
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


# --- the 8237A --------------------------------------------------------------------------------


@core
def dma_write(m, chip, register, value):
    d = devices(m)
    if register < 8:
        place = DMA_REGISTERS + 16 * chip + 2 * register + d[HIGH_BYTES + chip]
        device_bytes(m)[place] = value
        d[HIGH_BYTES + chip] ^= 1
    elif register == 8:
        d[COMMANDS + chip] = value
    elif register == 10:
        bit = 1 << (value & 3)
        if value & 4:
            d[MASKS + chip] |= bit
        else:
            d[MASKS + chip] &= ~bit
    elif register == 12:
        d[HIGH_BYTES + chip] = 0
    elif register == 13:  # master clear
        d[HIGH_BYTES + chip] = 0
        d[COMMANDS + chip] = 0
        d[MASKS + chip] = 15
    elif register == 14:
        d[MASKS + chip] = 0
    elif register == 15:
        d[MASKS + chip] = value & 15


@core
def dma_read(m, chip, register):
    """Address and count registers, byte by byte; status says that nothing is requested."""
    d = devices(m)
    if register < 8:
        place = DMA_REGISTERS + 16 * chip + 2 * register + d[HIGH_BYTES + chip]
        d[HIGH_BYTES + chip] ^= 1
        return 0 + device_bytes(m)[place]
    if register == 15:
        return d[MASKS + chip]
    return 0


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
    elif port < 0x20:
        dma_write(m, 0, port & 15, value)
    elif port > 0x80 and port < 0x90:
        device_bytes(m)[PAGES + port - 0x80] = value
    elif port >= 0xC0 and port < 0xE0:
        dma_write(m, 1, port - 0xC0 >> 1, value)


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
    if port < 0x20:
        return dma_read(m, 0, port & 15)
    if port > 0x80 and port < 0x90:
        return 0 + device_bytes(m)[PAGES + port - 0x80]
    if port >= 0xC0 and port < 0xE0:
        return dma_read(m, 1, port - 0xC0 >> 1)
    return 0


@core
def system_reset(m):
    d = devices(m)
    for i in range(SYSTEM_PORTS, COMMANDS + 2):
        d[i] = 0
    for i in range(SYSTEM_BYTES, PAGES + 16):
        device_bytes(m)[i] = 0
    for chip in range(2):
        d[MASKS + chip] = 15
