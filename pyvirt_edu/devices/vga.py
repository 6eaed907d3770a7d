"""The VGA's registers (IBM PS/2 hardware interface technical reference, "video subsystem").

Text lies in plain RAM at B8000h, where screen.py reads it; the registers say which part of it
is shown, where the cursor is and in what colours. They keep what is written as far as the
chip has bits for it, and start as a BIOS leaves text mode 3. The beam moves with simulated
time, by the timing of that mode: 70 frames of 449 lines a second.
"""

from __future__ import annotations

import numpy as np

from ..machine.state.handles import device_bytes, devices
from ..machine.state.jit import core
from .clock import CPU_HZ, now
from .layout import VGA, VGA_BYTES

# words
SEQUENCER_INDEX, GRAPHICS_INDEX, CRTC_INDEX, ATTRIBUTE_INDEX, ATTRIBUTE_DATA_NEXT = range(VGA, VGA + 5)
MISC, FEATURE, DAC_MASK, DAC_READ, DAC_WRITE, DAC_PART, DAC_READING = range(VGA + 5, VGA + 12)
DAC_LATCH = VGA + 12  # red and green of a colour that is being written
# bytes
SEQUENCER, GRAPHICS, ATTRIBUTE, CRTC, DAC = (VGA_BYTES + i for i in (0x00, 0x08, 0x18, 0x40, 0x100))

LINES, SHOWN_LINES, RETRACE_FIRST, RETRACE_LINES = 449, 400, 412, 2
LINE_TIME = CPU_HZ * 900 // 28_322_000  # 900 dots of the 28.322 MHz clock
SHOWN_TIME = LINE_TIME * 720 // 900
DISPLAY_OFF, VERTICAL_RETRACE = 1, 8
COLOUR = 1  # miscellaneous output: the CRTC is at 3D4h, not 3B4h
PROTECT = 0x80  # CRTC register 11h: 0 to 7 are read only
PALETTE_ACCESS = 0x20

#: Bits that the registers have.
SEQUENCER_BITS = np.array([0x03, 0x3D, 0x0F, 0x3F, 0x0E], np.uint64)
GRAPHICS_BITS = np.array([0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF], np.uint64)
ATTRIBUTE_BITS = np.array([0x3F] * 16 + [0xEF, 0xFF, 0x3F, 0x0F, 0x0F], np.uint64)
CRTC_REGISTERS = 25

#: Text mode 3 as a BIOS sets it.
MODE_3_SEQUENCER = np.array([0x03, 0x00, 0x03, 0x00, 0x02], np.uint64)
MODE_3_GRAPHICS = np.array([0, 0, 0, 0, 0, 0x10, 0x0E, 0x0F, 0xFF], np.uint64)
MODE_3_ATTRIBUTE = np.array([0, 1, 2, 3, 4, 5, 0x14, 7, *range(0x38, 0x40), 0x0C, 0, 0x0F, 8, 0], np.uint64)
MODE_3_CRTC = np.array(
    [
        *(0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E),
        *(0x00, 0x00, 0x00, 0x00, 0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF),
    ],
    np.uint64,
)


@core
def is_here(m, port):
    """The CRTC and its status answer at 3Bxh or at 3Dxh."""
    if port & 0xF0 == 0xC0:
        return True
    return port >> 6 & 1 == devices(m)[MISC] & COLOUR


@core
def beam(m):
    """Input status 1: outside of the picture, and in vertical retrace."""
    time = now(m)
    line = time // LINE_TIME % LINES
    status = 0
    if line >= SHOWN_LINES or time % LINE_TIME >= SHOWN_TIME:
        status = DISPLAY_OFF
    if line >= RETRACE_FIRST and line < RETRACE_FIRST + RETRACE_LINES:
        status |= VERTICAL_RETRACE
    return status


# --- the digital-to-analogue converter --------------------------------------------------------


@core
def write_colour(m, value):
    """3C9h: red, green, blue; the third makes the colour."""
    d = devices(m)
    value &= 0x3F
    if d[DAC_PART] < 2:
        d[DAC_LATCH] |= value << 8 * d[DAC_PART]
        d[DAC_PART] += 1
        return
    place = DAC + 3 * d[DAC_WRITE]
    device_bytes(m)[place] = d[DAC_LATCH] & 0xFF
    device_bytes(m)[place + 1] = d[DAC_LATCH] >> 8
    device_bytes(m)[place + 2] = value
    d[DAC_WRITE] = d[DAC_WRITE] + 1 & 0xFF
    d[DAC_PART] = 0
    d[DAC_LATCH] = 0


@core
def read_colour(m):
    d = devices(m)
    value = np.uint64(device_bytes(m)[DAC + 3 * d[DAC_READ] + d[DAC_PART]])
    d[DAC_PART] += 1
    if d[DAC_PART] == 3:
        d[DAC_PART] = 0
        d[DAC_READ] = d[DAC_READ] + 1 & 0xFF
    return value


@core
def start_colour(m, value, reading):
    """3C7h and 3C8h: which colour is read or written next."""
    d = devices(m)
    if reading:
        d[DAC_READ] = value
    else:
        d[DAC_WRITE] = value
    d[DAC_READING] = reading
    d[DAC_PART] = 0
    d[DAC_LATCH] = 0


# --- the bus ----------------------------------------------------------------------------------


@core
def write_attribute(m, value):
    """3C0h: index and data in turn."""
    d = devices(m)
    if d[ATTRIBUTE_DATA_NEXT] == 0:
        d[ATTRIBUTE_INDEX] = value & 0x3F
    else:
        index = d[ATTRIBUTE_INDEX] & 31
        # the palette is open to the processor only while it does not colour the screen
        if index < 21 and (index >= 16 or d[ATTRIBUTE_INDEX] & PALETTE_ACCESS == 0):
            device_bytes(m)[ATTRIBUTE + index] = value & ATTRIBUTE_BITS[index]
    d[ATTRIBUTE_DATA_NEXT] ^= 1


@core
def write_crtc(m, value):
    index = devices(m)[CRTC_INDEX]
    place = CRTC + index
    memory = device_bytes(m)
    if memory[CRTC + 0x11] & PROTECT and index < 8:
        if index == 7:  # bit 8 of the line comparison is not protected
            memory[place] = np.uint64(memory[place]) & 0xEF | value & 0x10
        return
    if index < CRTC_REGISTERS:
        memory[place] = value


@core
def vga_write(m, port, value):
    d = devices(m)
    if not is_here(m, port):
        return
    register = port & 0x1F
    if register == 0:
        write_attribute(m, value)
    elif register == 2:
        d[MISC] = value & 0xEF
    elif register == 4:
        d[SEQUENCER_INDEX] = value & 7
    elif register == 5:
        if d[SEQUENCER_INDEX] < 5:
            bits = SEQUENCER_BITS[d[SEQUENCER_INDEX]]
            device_bytes(m)[SEQUENCER + d[SEQUENCER_INDEX]] = value & bits
    elif register == 6:
        d[DAC_MASK] = value
    elif register == 7 or register == 8:
        start_colour(m, value, register & 1)
    elif register == 9:
        write_colour(m, value)
    elif register == 14:
        d[GRAPHICS_INDEX] = value & 15
    elif register == 15:
        if d[GRAPHICS_INDEX] < 9:
            bits = GRAPHICS_BITS[d[GRAPHICS_INDEX]]
            device_bytes(m)[GRAPHICS + d[GRAPHICS_INDEX]] = value & bits
    elif register == 0x14:
        d[CRTC_INDEX] = value & 0x3F
    elif register == 0x15:
        write_crtc(m, value)
    elif register == 0x1A:
        d[FEATURE] = value & 3


@core
def read_indexed(m, start, index, count):
    """A register behind an index; where there is none, 0."""
    if index < count:
        return np.uint64(device_bytes(m)[start + index])
    return 0


@core
def vga_read(m, port):
    d = devices(m)
    if not is_here(m, port):
        return 0xFF
    register = port & 0x1F
    if register == 0:
        return d[ATTRIBUTE_INDEX]
    if register == 1:
        return read_indexed(m, ATTRIBUTE, d[ATTRIBUTE_INDEX] & 31, 21)
    if register == 4:
        return d[SEQUENCER_INDEX]
    if register == 5:
        return read_indexed(m, SEQUENCER, d[SEQUENCER_INDEX], 5)
    if register == 6:
        return d[DAC_MASK]
    if register == 7:
        return 3 * d[DAC_READING]
    if register == 8:
        return d[DAC_WRITE]
    if register == 9:
        return read_colour(m)
    if register == 10:
        return d[FEATURE]
    if register == 12:
        return d[MISC]
    if register == 14:
        return d[GRAPHICS_INDEX]
    if register == 15:
        return read_indexed(m, GRAPHICS, d[GRAPHICS_INDEX], 9)
    if register == 0x14:
        return d[CRTC_INDEX]
    if register == 0x15:
        return read_indexed(m, CRTC, d[CRTC_INDEX], CRTC_REGISTERS)
    if register == 0x1A:
        d[ATTRIBUTE_DATA_NEXT] = 0
        return beam(m)
    return 0


@core
def vga_reset(m):
    """Text mode 3, in the 64 colours of the EGA."""
    d = devices(m)
    memory = device_bytes(m)
    for i in range(VGA, DAC_LATCH + 1):
        d[i] = 0
    d[MISC] = 0x67
    d[DAC_MASK] = 0xFF
    d[ATTRIBUTE_INDEX] = PALETTE_ACCESS
    for i in range(5):
        memory[SEQUENCER + i] = MODE_3_SEQUENCER[i]
    for i in range(9):
        memory[GRAPHICS + i] = MODE_3_GRAPHICS[i]
    for i in range(21):
        memory[ATTRIBUTE + i] = MODE_3_ATTRIBUTE[i]
    for i in range(CRTC_REGISTERS):
        memory[CRTC + i] = MODE_3_CRTC[i]
    for i in range(256):
        for part in range(3):  # bits 2, 1, 0 are two thirds of red, green, blue; 5, 4, 3 one third
            memory[DAC + 3 * i + part] = (i >> (2 - part) & 1) * 0x2A + (i >> (5 - part) & 1) * 0x15
