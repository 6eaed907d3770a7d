"""The two 8237A DMA controllers and their page registers (8237A data sheet, "register description";
page registers: 82371SB data sheet, DMA registers).

The first one's four channels move bytes, and the floppy controller is at channel 2. The second
one's move words; nothing is connected to them, so theirs are registers only. A device asks for one
byte after the other, and each takes the time that the device gives it.
"""

from __future__ import annotations

from ..machine.memory.hostaccess_ops import HOST_DMA_READ, HOST_DMA_WRITE
from ..machine.state.handles import call_unit, devices
from ..machine.state.jit import UNIT_HOST_ACCESS, core
from .layout import DMA

# words: two controllers with four channels each, then the page registers 80h to 8Fh
CHIP_WORDS, CHANNEL_WORDS = 32, 5
ADDRESS, COUNT, BASE_ADDRESS, BASE_COUNT, MODE = range(5)
FLIP_FLOP, COMMAND, STATUS, MASKS = range(4 * CHANNEL_WORDS, 4 * CHANNEL_WORDS + 4)
PAGES = DMA + 2 * CHIP_WORDS
DMA_WORDS = 2 * CHIP_WORDS + 16

DISABLED = 4  # in the command register
DECREMENT, AUTO_INITIALIZE = 0x20, 0x10  # in a channel's mode; bits 2 and 3 say where data goes
VERIFY, TO_MEMORY, FROM_MEMORY = 0, 1, 2


@core
def channel_words(chip, channel):
    return DMA + CHIP_WORDS * chip + CHANNEL_WORDS * channel


@core
def page_of(m, channel):
    """Bits 16 to 23 of the addresses of channels 0 to 3."""
    if channel == 0:
        return devices(m)[PAGES + 7]
    if channel == 1:
        return devices(m)[PAGES + 3]
    return devices(m)[PAGES + channel - 1]  # 2 and 3 have 81h and 82h


# --- transfers --------------------------------------------------------------------------------


@core
def is_ready(m, channel, direction):
    """Whether a byte channel would take a request for this direction, or to verify."""
    d = devices(m)
    if d[DMA + COMMAND] & DISABLED or d[DMA + MASKS] >> channel & 1:
        return False
    kind = d[channel_words(0, channel) + MODE] >> 2 & 3
    return kind == VERIFY or kind == direction


@core
def advance(m, channel):
    """To the next byte; 1 if this was the last one (terminal count)."""
    d = devices(m)
    words = channel_words(0, channel)
    step = 1
    if d[words + MODE] & DECREMENT:
        step = 0xFFFF
    d[words + ADDRESS] = (d[words + ADDRESS] + step) & 0xFFFF
    d[words + COUNT] = (d[words + COUNT] - 1) & 0xFFFF
    if d[words + COUNT] != 0xFFFF:
        return 0
    d[DMA + STATUS] |= 1 << channel
    if d[words + MODE] & AUTO_INITIALIZE:
        d[words + ADDRESS] = d[words + BASE_ADDRESS]
        d[words + COUNT] = d[words + BASE_COUNT]
    else:
        d[DMA + MASKS] |= 1 << channel
    return 1


@core
def current_address(m, channel):
    return page_of(m, channel) << 16 | devices(m)[channel_words(0, channel) + ADDRESS]


@core
def byte_to_memory(m, channel, value):
    """A device hands over a byte; 1 at the terminal count."""
    if devices(m)[channel_words(0, channel) + MODE] >> 2 & 3 == TO_MEMORY:
        what = value | channel << 8
        call_unit(m, UNIT_HOST_ACCESS, HOST_DMA_WRITE, current_address(m, channel), what)
    return advance(m, channel)


@core
def byte_from_memory(m, channel):
    """A byte for a device; bit 8 is on at the terminal count."""
    value = 0
    if devices(m)[channel_words(0, channel) + MODE] >> 2 & 3 == FROM_MEMORY:
        value = call_unit(m, UNIT_HOST_ACCESS, HOST_DMA_READ, current_address(m, channel), channel)
    return value | advance(m, channel) << 8


# --- registers --------------------------------------------------------------------------------


@core
def set_byte(m, register, flip_flop, value):
    """The lower or the upper byte of a 16-bit register."""
    d = devices(m)
    if flip_flop:
        d[register] = d[register] & 0xFF | value << 8
    else:
        d[register] = d[register] & 0xFF00 | value


@core
def write_counter(m, chip, register, value):
    """Address and count: the base register and the current one together."""
    d = devices(m)
    flip = d[DMA + CHIP_WORDS * chip + FLIP_FLOP]
    word = channel_words(chip, register >> 1) + (register & 1)
    set_byte(m, word, flip, value)
    set_byte(m, word + BASE_ADDRESS, flip, value)
    d[DMA + CHIP_WORDS * chip + FLIP_FLOP] = flip ^ 1


@core
def read_counter(m, chip, register):
    d = devices(m)
    flip = d[DMA + CHIP_WORDS * chip + FLIP_FLOP]
    d[DMA + CHIP_WORDS * chip + FLIP_FLOP] = flip ^ 1
    return d[channel_words(chip, register >> 1) + (register & 1)] >> 8 * flip & 0xFF


@core
def chip_write(m, chip, register, value):
    d = devices(m)
    words = DMA + CHIP_WORDS * chip
    if register < 8:
        write_counter(m, chip, register, value)
    elif register == 8:
        d[words + COMMAND] = value
    elif register == 10:
        bit = 1 << (value & 3)
        if value & 4:
            d[words + MASKS] |= bit
        else:
            d[words + MASKS] &= ~bit
    elif register == 11:
        d[channel_words(chip, value & 3) + MODE] = value
    elif register == 12:
        d[words + FLIP_FLOP] = 0
    elif register == 13:  # master clear
        d[words + FLIP_FLOP] = 0
        d[words + COMMAND] = 0
        d[words + STATUS] = 0
        d[words + MASKS] = 15
    elif register == 14:
        d[words + MASKS] = 0
    elif register == 15:
        d[words + MASKS] = value & 15


@core
def chip_read(m, chip, register):
    d = devices(m)
    words = DMA + CHIP_WORDS * chip
    if register < 8:
        return read_counter(m, chip, register)
    if register == 8:  # which channels are at their end; reading forgets it
        status = d[words + STATUS]
        d[words + STATUS] = 0
        return status
    if register == 15:
        return d[words + MASKS]
    return 0


@core
def dma_write(m, port, value):
    if port < 0x20:
        chip_write(m, 0, port & 15, value)
    elif port >= 0xC0:
        chip_write(m, 1, port - 0xC0 >> 1, value)
    else:
        devices(m)[PAGES + port - 0x80] = value


@core
def dma_read(m, port):
    if port < 0x20:
        return chip_read(m, 0, port & 15)
    if port >= 0xC0:
        return chip_read(m, 1, port - 0xC0 >> 1)
    return devices(m)[PAGES + port - 0x80]


@core
def dma_reset(m):
    d = devices(m)
    for i in range(DMA, DMA + DMA_WORDS):
        d[i] = 0
    for chip in range(2):
        d[DMA + CHIP_WORDS * chip + MASKS] = 15
