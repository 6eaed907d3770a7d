"""Where the devices keep their state, who answers which claim, and who waits for Python.

Device state is data, like the processor's: words for registers, bytes for buffers, both in
arrays of the machine, so a snapshot is a copy. Each chip has a range of words; its file names
them. Times are cycle counts of the processor's clock.
"""

from __future__ import annotations

# --- words (machine.layout.DEVICE_WORDS of them) ------------------------------------------

EVENTS = 0  # one a source of events: the cycle count at which it is due, or NEVER
PIC = 16
PIT = 64
SPEAKER = 128
UART = 136
RTC = 192
KEYBOARD = 224
SYSTEM_PORTS = 288
IDE = 320
PCI = 448
VGA = 576
NIC = 640
FLOPPY = 768
DMA = 896

# --- bytes (machine.layout.DEVICE_BYTES of them) ------------------------------------------

CMOS_BYTES = 0x0000  # 128
VGA_BYTES = 0x0100  # register files and palette
PCI_BYTES = 0x0800  # configuration space, 256 bytes a function
KEYBOARD_BYTES = 0x1800  # queues of keyboard and mouse, what was typed
FLOPPY_BYTES = 0x2000  # command, result and a sector
IDE_BYTES = 0x4000  # sector buffers, 8 KiB a channel
NIC_BYTES = 0x8000  # PROM and packet memory, up to 48 KiB
UART_OUT_BYTES = 0x20000  # the last characters sent, for Python to take
UART_IN_BYTES = 0x30000  # typed, not yet received
UART_ROOM = 0x10000

# --- claims: the byte of the port table (0 nobody, 1 Python) -------------------------------

(
    CLAIM_PIC,
    CLAIM_PIT,
    CLAIM_SPEAKER,
    CLAIM_UART,
    CLAIM_RTC,
    CLAIM_KEYBOARD,
    CLAIM_SYSTEM_PORTS,
    CLAIM_IDE,
    CLAIM_PCI,
    CLAIM_VGA,
    CLAIM_NIC,
    CLAIM_FLOPPY,
    CLAIM_DMA,
) = range(2, 15)

# --- sources of events, in the order in which simultaneous ones happen ---------------------

EVENT_PIT, EVENT_RTC, EVENT_UART, EVENT_KEYBOARD, EVENT_IDE, EVENT_NIC, EVENT_FLOPPY = range(7)
EVENT_SOURCES = 7

# --- who waits for Python (bits of the processor's SERVICE word) ----------------------------

SERVICE_CONSOLE, SERVICE_EXIT, SERVICE_RESET, SERVICE_IDE, SERVICE_NIC, SERVICE_PCI = 1, 2, 4, 8, 16, 32
SERVICE_FLOPPY = 64

# --- operations of the unit (bus.py) --------------------------------------------------------

# A read or write has the claim in bits 8 and up, a = port | size << 16, b = value.
# Host operations enter from Python, each with its operands in a and b.
(
    OP_READ,
    OP_WRITE,
    OP_EVENT,
    OP_ACKNOWLEDGE,
    OP_RESET,  # a = 1: by the guest, the power stays on
    OP_SET_LINE,  # a = interrupt request line, b = level
    OP_UART_INPUT,  # a = number of characters, up to 8; b = they, the first one lowest
    OP_KEYBOARD_INPUT,  # a = number of bytes, up to 8; b = scan codes of set 2, the first one lowest
    OP_IDE_DONE,  # a = channel, b = what Python says of the request
    OP_NIC_INPUT,  # a = length of the frame that Python has put into the receive area
    OP_NIC_BYTES,  # a = offset in the receive area, b = 8 bytes of a frame from outside
    OP_NIC_SENT,  # Python has taken the frame that was sent
    OP_PCI_CONFIG,  # a = device and function << 8 | register, b = the byte that firmware writes there
    OP_FLOPPY_DONE,  # a = bits of status register 1: what Python says of the request
) = range(14)

# Interrupt request lines of a PC
IRQ_TIMER, IRQ_KEYBOARD, IRQ_SERIAL, IRQ_FLOPPY, IRQ_RTC = 0, 1, 4, 6, 8
IRQ_MOUSE, IRQ_X87, IRQ_IDE = 12, 13, 14  # the second IDE channel has the line after
