"""PCI: configuration mechanism #1, and the functions of the board.

The host bridge is an 82441FX (data sheet, order number 290549: configuration mechanism, section
3.1; PAM registers, section 3.2.17), the bridge to ISA and the IDE function an 82371SB (order number
290550: PIRQ routing, section 2.2.9). Behind them are a display adapter and an NE2000.

Configuration space is bytes, and behind it lies a mask of the bits that can be written.
Subsystem numbers are those of QEMU's PC: by them SeaBIOS knows which board it is on.
"""

from __future__ import annotations

import numpy as np

from ..machine.memory.tlb import flush_fast, flush_tlb
from ..machine.state.handles import cpu, device_bytes, devices, ports
from ..machine.state.jit import core
from ..machine.state.layout import ATTENTION, GENERATION, NESTED_ROOT, RAM_MAP, SERVICE, STOP
from .layout import CLAIM_NIC, PCI, PCI_BYTES, SERVICE_PCI
from .pic import set_line

FUNCTIONS = 5
HOST, ISA, IDE_FUNCTION, DISPLAY, NETWORK = range(FUNCTIONS)
MASKS = PCI_BYTES + 0x800

# words
ADDRESS, NIC_PORTS, INTA_NETWORK = range(PCI, PCI + 3)
ROUTED = PCI + 4  # four: the interrupt request line that an input drives now, plus 1

ADDRESS_PORT, DATA_PORT = 0xCF8, 0xCFC
COMMAND, BAR0, ROM_BAR = 0x04, 0x10, 0x30
COMMAND_IO, COMMAND_MEMORY = 1, 2
PAM0, PIRQ_ROUTE = 0x59, 0x60
NIC_PORT_COUNT = 32


@core
def function_at(address):
    """Which function a configuration address names; FUNCTIONS if there is none."""
    if address >> 16 & 0xFF:
        return FUNCTIONS
    place = address >> 8 & 0xFF  # 5 bits of device, 3 of function
    if place == 0:
        return HOST
    if place == 0x08:
        return ISA
    if place == 0x09:
        return IDE_FUNCTION
    if place == 0x10:
        return DISPLAY
    if place == 0x18:
        return NETWORK
    return FUNCTIONS


@core
def field(m, function, register, size):
    """A register of configuration space."""
    value = 0
    for i in range(size):
        value |= (0 + device_bytes(m)[PCI_BYTES + 256 * function + register + i]) << 8 * i
    return value


@core
def put(m, function, register, size, value, mask):
    """Give a register its value after reset, and say which bits can be written."""
    for i in range(size):
        place = 256 * function + register + i
        device_bytes(m)[PCI_BYTES + place] = value >> 8 * i
        device_bytes(m)[MASKS + place] = mask >> 8 * i


@core
def put_function(m, function, identity, class_code, status):
    put(m, function, 0x00, 4, identity, 0)
    put(m, function, 0x06, 2, status, 0)
    put(m, function, 0x08, 4, class_code, 0)
    put(m, function, 0x0C, 2, 0, 0xFFFF)  # cache line size, latency timer
    put(m, function, 0x2C, 4, 0x11001AF4, 0)
    put(m, function, 0x3C, 1, 0, 0xFF)


@core
def pci_reset(m):
    d = devices(m)
    for i in range(MASKS + 256 * FUNCTIONS - PCI_BYTES):
        device_bytes(m)[PCI_BYTES + i] = 0
    d[ADDRESS] = 0
    put_function(m, HOST, 0x12378086, 0x06000002, 0x0280)
    put(m, HOST, COMMAND, 2, 0x0006, 0x0100)
    put(m, HOST, PAM0, 4, 0, 0x33333330)
    put(m, HOST, PAM0 + 4, 3, 0, 0x333333)
    put(m, HOST, 0x60, 8, 0x0101010101010101, 0xFFFFFFFFFFFFFFFF)  # rows of memory
    put(m, HOST, 0x72, 1, 0x02, 0x78)  # no system management memory
    put_function(m, ISA, 0x70008086, 0x06010000, 0x0280)
    put(m, ISA, COMMAND, 2, 0x0007, 0x0008)
    put(m, ISA, 0x0E, 1, 0x80, 0)  # more functions in this device
    put(m, ISA, 0x4C, 1, 0x4D, 0xFF)
    put(m, ISA, 0x4E, 2, 0x0003, 0x01FF)
    put(m, ISA, PIRQ_ROUTE, 4, 0x80808080, 0x8F8F8F8F)
    put(m, ISA, 0x69, 1, 0x02, 0xFE)
    put_function(m, IDE_FUNCTION, 0x70108086, 0x01010000, 0x0280)  # no bus master: PIO only
    put(m, IDE_FUNCTION, COMMAND, 2, 0, 0x0005)
    put(m, IDE_FUNCTION, 0x40, 4, 0x80008000, 0xFFFFFFFF)  # both channels answer
    put_function(m, DISPLAY, 0x11111234, 0x03000002, 0)
    put(m, DISPLAY, COMMAND, 2, 0, COMMAND_IO | COMMAND_MEMORY)
    put_function(m, NETWORK, 0x802910EC, 0x02000000, 0x0200)
    put(m, NETWORK, COMMAND, 2, 0, COMMAND_IO)
    put(m, NETWORK, BAR0, 4, 1, 0xFFFFFFFF & ~(NIC_PORT_COUNT - 1))
    put(m, NETWORK, 0x3D, 1, 1, 0)  # INTA#
    d[INTA_NETWORK] = 0
    map_network(m)
    route_interrupts(m)


# --- what registers do ------------------------------------------------------------------------


@core
def map_memory(m):
    """PAM registers: what is RAM from C0000 on, for reads and for writes."""
    c = cpu(m)
    rights = 0
    for i in range(6):
        byte = field(m, HOST, PAM0 + 1 + i, 1)
        rights |= (byte & 3 | byte >> 2 & 12) << 4 * i
    system = field(m, HOST, PAM0, 1) >> 4 & 3
    rights |= (system * 0x55) << 24
    if rights == c[RAM_MAP]:
        return
    c[RAM_MAP] = rights
    if c[NESTED_ROOT]:
        flush_tlb(m, 0)  # there the chip set is below the tables that the TLB holds
    c[GENERATION] += 1
    flush_fast(m)
    c[STOP] = 1
    c[ATTENTION] = 1


@core
def map_network(m):
    """The NE2000's ports go where its base address register says."""
    d = devices(m)
    claims = ports(m)
    base = 0
    if field(m, NETWORK, COMMAND, 1) & COMMAND_IO:
        base = field(m, NETWORK, BAR0, 4) & ~(NIC_PORT_COUNT - 1)
    if base > 0xFFFF:
        base = 0
    for i in range(NIC_PORT_COUNT):
        if d[NIC_PORTS] and claims[d[NIC_PORTS] + i] == CLAIM_NIC:
            claims[d[NIC_PORTS] + i] = 0
    d[NIC_PORTS] = base
    for i in range(NIC_PORT_COUNT):
        if base and claims[base + i] == 0:  # a port that somebody else has stays theirs
            claims[base + i] = np.uint8(CLAIM_NIC)


@core
def route_interrupts(m):
    """INTA# of the network card is input C of the router, which drives a line of the PC.

    A board of this kind numbers inputs by device and pin: (device - 1 + pin) modulo 4.
    """
    d = devices(m)
    route = field(m, ISA, PIRQ_ROUTE + 2, 1)
    line = 0
    if route & 0x80 == 0:
        line = (route & 15) + 1
    if d[ROUTED + 2] != line and d[ROUTED + 2]:
        set_line(m, d[ROUTED + 2] - 1, 0)
    d[ROUTED + 2] = line
    if line:
        set_line(m, line - 1, d[INTA_NETWORK])


@core
def set_network_interrupt(m, level):
    d = devices(m)
    if d[INTA_NETWORK] != level:
        d[INTA_NETWORK] = level
        route_interrupts(m)


# --- ports ------------------------------------------------------------------------------------


@core
def config_read(m, register, size):
    """Bytes of the function that the address register names."""
    function = function_at(devices(m)[ADDRESS])
    if function == FUNCTIONS:
        return np.uint64(0xFFFFFFFF) >> (32 - 8 * size)
    return field(m, function, register, size)


@core
def config_write(m, register, size, value):
    function = function_at(devices(m)[ADDRESS])
    if function == FUNCTIONS:
        return
    memory = device_bytes(m)
    for i in range(size):
        place = 256 * function + register + i
        mask = 0 + memory[MASKS + place]
        memory[PCI_BYTES + place] = memory[PCI_BYTES + place] & ~mask | value >> 8 * i & mask
    if function == HOST:
        map_memory(m)
    elif function == ISA:
        route_interrupts(m)
    elif function == NETWORK:
        map_network(m)
    elif function == DISPLAY:
        c = cpu(m)
        c[SERVICE] |= SERVICE_PCI
        c[STOP] = 1
        c[ATTENTION] = 1


@core
def pci_read(m, port, size):
    """CF8h answers to 32-bit accesses only; CFCh to CFFh are a window of 4 bytes."""
    address = devices(m)[ADDRESS]
    if port == ADDRESS_PORT and size == 4:
        return address
    if port < DATA_PORT or address >> 31 == 0 or (port & 3) + size > 4:
        return np.uint64(0xFFFFFFFF) >> (32 - 8 * size)
    return config_read(m, (address & 0xFC) + (port & 3), size)


@core
def pci_write(m, port, size, value):
    d = devices(m)
    if port == ADDRESS_PORT and size == 4:
        d[ADDRESS] = value & 0x80FFFFFC
    elif port >= DATA_PORT and d[ADDRESS] >> 31 and (port & 3) + size <= 4:
        config_write(m, (d[ADDRESS] & 0xFC) + (port & 3), size, value)
