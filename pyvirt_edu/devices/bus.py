"""The unit through which the core reaches the devices: ports, events, interrupt acknowledge.

It knows which chip answers which claim, and splits wide accesses to byte-wide chips.
"""

from __future__ import annotations

import numpy as np

from ..machine.state.handles import call_unit, device_bytes, devices, ports
from ..machine.state.jit import core, unit
from ..machine.state.layout import DEVICE_BYTES, DEVICE_CLAIM, DEVICE_WORDS, NEVER
from . import UNIT_CARD_ACCESS
from .clock import due_source, now, set_event
from .keyboard import keyboard_event, keyboard_input, keyboard_read, keyboard_reset, keyboard_write
from .layout import (
    CLAIM_IDE,
    CLAIM_KEYBOARD,
    CLAIM_NIC,
    CLAIM_PCI,
    CLAIM_PIC,
    CLAIM_PIT,
    CLAIM_RTC,
    CLAIM_SPEAKER,
    CLAIM_SYSTEM_PORTS,
    CLAIM_UART,
    CLAIM_VGA,
    EVENT_KEYBOARD,
    EVENT_PIT,
    EVENT_RTC,
    EVENT_SOURCES,
    EVENT_UART,
    EVENTS,
    OP_ACKNOWLEDGE,
    OP_EVENT,
    OP_KEYBOARD_INPUT,
    OP_READ,
    OP_RESET,
    OP_SET_LINE,
    OP_UART_INPUT,
    OP_WRITE,
)
from .pic import acknowledge, pic_read, pic_reset, pic_write, set_line
from .pit import pit_event, pit_read, pit_reset, pit_write
from .rtc import rtc_event, rtc_read, rtc_reset, rtc_write
from .speaker import speaker_read, speaker_reset, speaker_write
from .system_ports import EXIT_PORT, exit_write, system_read, system_reset, system_write
from .uart import console_input, uart_event, uart_read, uart_reset, uart_write
from .vga import vga_read, vga_reset, vga_write


@core
def is_card(claim):
    """Whether a port takes accesses of any width; all that do are the other unit's (cards.py)."""
    return claim == CLAIM_IDE or claim == CLAIM_PCI or claim == CLAIM_NIC


@core
def read_byte(m, claim, port):
    """One byte from the chip that has the port."""
    if claim == CLAIM_PIC:
        return pic_read(m, port)
    if claim == CLAIM_PIT:
        return pit_read(m, port)
    if claim == CLAIM_SPEAKER:
        return speaker_read(m)
    if claim == CLAIM_UART:
        return uart_read(m, port)
    if claim == CLAIM_SYSTEM_PORTS:
        return system_read(m, port)
    if claim == CLAIM_VGA:
        return vga_read(m, port)
    if claim == CLAIM_KEYBOARD:
        return keyboard_read(m, port)
    if claim == CLAIM_RTC:
        return rtc_read(m, port)
    return call_unit(m, UNIT_CARD_ACCESS, OP_READ | claim << 8, port | 1 << 16, 0)


@core
def write_byte(m, claim, port, value):
    if claim == CLAIM_PIC:
        pic_write(m, port, value)
    elif claim == CLAIM_PIT:
        pit_write(m, port, value)
    elif claim == CLAIM_SPEAKER:
        speaker_write(m, value)
    elif claim == CLAIM_UART:
        uart_write(m, port, value)
    elif claim == CLAIM_SYSTEM_PORTS:
        system_write(m, port, value)
    elif claim == CLAIM_VGA:
        vga_write(m, port, value)
    elif claim == CLAIM_KEYBOARD:
        keyboard_write(m, port, value)
    elif claim == CLAIM_RTC:
        rtc_write(m, port, value)
    else:
        call_unit(m, UNIT_CARD_ACCESS, OP_WRITE | claim << 8, port | 1 << 16, value)


@core
def read_port(m, port, size):
    """1, 2 or 4 ports; bytes nobody claims read as ones."""
    claims = ports(m)
    claim = np.uint64(claims[port])
    if is_card(claim):
        return call_unit(m, UNIT_CARD_ACCESS, OP_READ | claim << 8, port | size << 16, 0)
    value = 0
    for i in range(size):
        place = (port + i) & 0xFFFF
        byte = 0xFF
        if claims[place] >= DEVICE_CLAIM:
            byte = read_byte(m, np.uint64(claims[place]), place)
        value |= (byte & 0xFF) << 8 * i
    return value


@core
def write_port(m, port, size, value):
    claims = ports(m)
    if port == EXIT_PORT and claims[port] == CLAIM_SYSTEM_PORTS:
        exit_write(m, value & (1 << 8 * size) - 1)
        return
    claim = np.uint64(claims[port])
    if is_card(claim):
        call_unit(m, UNIT_CARD_ACCESS, OP_WRITE | claim << 8, port | size << 16, value)
        return
    for i in range(size):
        place = (port + i) & 0xFFFF
        if claims[place] >= DEVICE_CLAIM:
            write_byte(m, np.uint64(claims[place]), place, value >> 8 * i & 0xFF)


@core
def run_events(m):
    """Everything that is due, in the order of its time."""
    source = due_source(m, now(m))
    while source != EVENT_SOURCES:
        time = devices(m)[EVENTS + source]
        set_event(m, source, NEVER)
        if source == EVENT_PIT:
            pit_event(m, time)
        elif source == EVENT_UART:
            uart_event(m, time)
        elif source == EVENT_RTC:
            rtc_event(m, time)
        elif source == EVENT_KEYBOARD:
            keyboard_event(m, time)
        else:
            call_unit(m, UNIT_CARD_ACCESS, OP_EVENT, source, time)
        source = due_source(m, now(m))


@core
def reset(m, by_guest):
    """Power on, or a reset while it is on."""
    if by_guest == 0:
        for i in range(DEVICE_WORDS):
            devices(m)[i] = 0
        for i in range(DEVICE_BYTES):
            device_bytes(m)[i] = 0
    for i in range(EVENT_SOURCES):
        devices(m)[EVENTS + i] = NEVER
    pic_reset(m)
    pit_reset(m)
    speaker_reset(m)
    uart_reset(m)
    rtc_reset(m)
    keyboard_reset(m)
    system_reset(m)
    vga_reset(m)
    call_unit(m, UNIT_CARD_ACCESS, OP_RESET, 0, 0)


@unit
def device_access(m, operation, a, b):
    """One operation of layout.py."""
    what = operation & 0xFF
    if what == OP_READ:
        return read_port(m, a & 0xFFFF, a >> 16)
    if what == OP_WRITE:
        write_port(m, a & 0xFFFF, a >> 16, b)
    elif what == OP_EVENT:
        run_events(m)
    elif what == OP_ACKNOWLEDGE:
        return acknowledge(m)
    elif what == OP_RESET:
        reset(m, a)
    elif what == OP_SET_LINE:
        set_line(m, a, b)
    elif what == OP_UART_INPUT:
        console_input(m, a, b)
    elif what == OP_KEYBOARD_INPUT:
        keyboard_input(m, a, b)
    return 0
