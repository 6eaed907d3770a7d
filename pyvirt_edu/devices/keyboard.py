"""The 8042 keyboard controller, ports 60h and 64h, with a PS/2 keyboard and a PS/2 mouse
(IBM PS/2 hardware interface technical reference, "keyboard and auxiliary device controller",
"keyboards", "mouse").

The controller has one output buffer, which its own answers, the keyboard and the mouse fill,
in this order; reading port 60h lets the next byte in. The keyboard sends codes of set 2, which
the controller translates to set 1 unless it is told not to. The mouse answers and never moves.

The controller starts as a BIOS leaves it: keyboard on, translating, interrupts enabled.
"""

from __future__ import annotations

import numpy as np

from ..machine.state.handles import device_bytes, devices
from ..machine.state.jit import core
from ..machine.state.layout import NEVER
from .clock import MICROSECOND, now, set_event
from .layout import (
    EVENT_KEYBOARD,
    IRQ_KEYBOARD,
    IRQ_MOUSE,
    KEYBOARD,
    KEYBOARD_BYTES,
    SERVICE_RESET,
)
from .pic import drive_line
from .system_ports import a20_is_open, leave_for, set_a20

# words
MODE, OUTPUT, FULL, FROM_MOUSE, SELF_TESTED, LAST_COMMAND, AWAITED = range(KEYBOARD, KEYBOARD + 7)
ANSWER, ANSWER_WAITS, ANSWER_FROM_MOUSE, BREAK_PREFIX = range(KEYBOARD + 7, KEYBOARD + 11)
KEY_HEAD, KEY_TAIL, NEXT_KEY = range(KEYBOARD + 11, KEYBOARD + 14)
# words of a device; the mouse's follow the keyboard's
HEAD, TAIL, COMMAND, ENABLED, LAST_SENT, CODE_SET, LEDS, RATE, RESOLUTION, SCALING, REMOTE = range(11)
DEVICE_SIZE = 12
KEYS, MOUSE = KEYBOARD + 16, KEYBOARD + 16 + DEVICE_SIZE
# bytes: what a device has to say, what was typed and is still to be said
ROOM = 64
KEYS_BYTES, MOUSE_BYTES, TYPED_BYTES = KEYBOARD_BYTES, KEYBOARD_BYTES + ROOM, KEYBOARD_BYTES + 0x400
TYPED_ROOM = 0x2000
KEY_PACE = 1000 * MICROSECOND  # the line to the keyboard takes about this for a byte

# the controller's command byte
KEYBOARD_INTERRUPT, MOUSE_INTERRUPT, SYSTEM_FLAG = 1, 2, 4
KEYBOARD_OFF, MOUSE_OFF, TRANSLATE = 0x10, 0x20, 0x40
AS_BIOS_LEAVES_IT = KEYBOARD_INTERRUPT | SYSTEM_FLAG | MOUSE_OFF | TRANSLATE
RAM = KEYBOARD_BYTES + 2 * ROOM  # the controller's; its first byte is MODE

ACK, RESEND, BAT_PASSED, BREAK = 0xFA, 0xFE, 0xAA, 0xF0

#: Codes of set 2 (the index) as codes of set 1.
SET_1 = np.arange(256, dtype=np.uint64)
SET_1[:0x85] = np.frombuffer(
    bytes.fromhex(
        "ff43413f3d3b3c58644442403e0f2959 65382a701d10025a66712c1f1e11035b"
        "672e2d201205045c68392f211413065d 693130232215075e6a7232241608095f"
        "6b33251718 0b0a606c34352627190c61 6d732874 1a0d626e3a361c1b752b6376"
        "5556777879 7a0e7b7c4f7d4b477e7f6f 525350 4c4d48014557 4e514a37494654"
        "8081824154"
    ),
    np.uint8,
)


# --- devices at the controller ----------------------------------------------------------------


@core
def say(m, device, byte):
    """A device puts a byte into its queue; a full one loses it."""
    d = devices(m)
    if d[device + HEAD] - d[device + TAIL] < ROOM:
        start = KEYS_BYTES
        if device == MOUSE:
            start = MOUSE_BYTES
        device_bytes(m)[start + d[device + HEAD] % ROOM] = byte
        d[device + HEAD] += 1


@core
def be_silent(m, device):
    """Forget what was not sent yet."""
    devices(m)[device + TAIL] = devices(m)[device + HEAD]


@core
def keyboard_defaults(m):
    d = devices(m)
    d[KEYS + LEDS] = 0
    d[KEYS + RATE] = 0x2B
    d[KEYS + CODE_SET] = 2


@core
def keyboard_parameter(m, command, value):
    """The second byte of a command to the keyboard."""
    d = devices(m)
    if command == 0xF0 and value > 2:
        say(m, KEYS, RESEND)  # this keyboard has no set 3
        return
    say(m, KEYS, ACK)
    if command == 0xED:
        d[KEYS + LEDS] = value & 7
    elif command == 0xF3:
        d[KEYS + RATE] = value & 0x7F
    elif value:
        d[KEYS + CODE_SET] = value
    else:
        say(m, KEYS, d[KEYS + CODE_SET])


@core
def keyboard_command(m, value):
    """A byte for the keyboard."""
    d = devices(m)
    command = d[KEYS + COMMAND]
    d[KEYS + COMMAND] = 0
    if command and value < 0x80:
        keyboard_parameter(m, command, value)
        return
    if value == 0xFE:
        say(m, KEYS, d[KEYS + LAST_SENT])
        return
    be_silent(m, KEYS)
    if value == 0xEE:  # echo
        say(m, KEYS, 0xEE)
    elif value < 0xED or value == 0xEF or value == 0xF1:
        say(m, KEYS, RESEND)
    else:
        say(m, KEYS, ACK)
    if value == 0xED or value == 0xF0 or value == 0xF3:
        d[KEYS + COMMAND] = value
    elif value == 0xF2:
        say(m, KEYS, 0xAB)
        say(m, KEYS, 0x83)
    elif value == 0xF4:
        d[KEYS + ENABLED] = 1
    elif value == 0xF5 or value == 0xF6:
        keyboard_defaults(m)
        d[KEYS + ENABLED] = value & 1 ^ 1
    elif value == 0xFF:
        keyboard_defaults(m)
        d[KEYS + ENABLED] = 1
        say(m, KEYS, BAT_PASSED)


@core
def mouse_defaults(m):
    d = devices(m)
    d[MOUSE + ENABLED] = 0
    d[MOUSE + RATE] = 100
    d[MOUSE + RESOLUTION] = 2
    d[MOUSE + SCALING] = 0
    d[MOUSE + REMOTE] = 0


@core
def mouse_command(m, value):
    """A byte for the mouse."""
    d = devices(m)
    command = d[MOUSE + COMMAND]
    d[MOUSE + COMMAND] = 0
    be_silent(m, MOUSE)
    if command == 0xE8:
        d[MOUSE + RESOLUTION] = value & 3
        say(m, MOUSE, ACK)
        return
    if command == 0xF3:
        d[MOUSE + RATE] = value
        say(m, MOUSE, ACK)
        return
    if value < 0xE6 or value == 0xED or value == 0xEF or value == 0xF1:
        say(m, MOUSE, RESEND)
        return
    say(m, MOUSE, ACK)
    if value == 0xE6 or value == 0xE7:
        d[MOUSE + SCALING] = value & 1
    elif value == 0xE8 or value == 0xF3:
        d[MOUSE + COMMAND] = value
    elif value == 0xE9:
        say(m, MOUSE, d[MOUSE + REMOTE] << 6 | d[MOUSE + ENABLED] << 5 | d[MOUSE + SCALING] << 4)
        say(m, MOUSE, d[MOUSE + RESOLUTION])
        say(m, MOUSE, d[MOUSE + RATE])
    elif value == 0xEA or value == 0xF0:
        d[MOUSE + REMOTE] = value >> 4 & 1
    elif value == 0xEB:  # a packet: no button, no movement
        say(m, MOUSE, 8)
        say(m, MOUSE, 0)
        say(m, MOUSE, 0)
    elif value == 0xF2:
        say(m, MOUSE, 0)
    elif value == 0xF4 or value == 0xF5:
        d[MOUSE + ENABLED] = value & 1 ^ 1
    elif value == 0xF6:
        mouse_defaults(m)
    elif value == 0xFF:
        mouse_defaults(m)
        say(m, MOUSE, BAT_PASSED)
        say(m, MOUSE, 0)


# --- what is typed ----------------------------------------------------------------------------


@core
def keyboard_input(m, count, codes):
    """Python has pressed or released keys: up to 8 bytes of set 2, the first one lowest."""
    d = devices(m)
    if d[KEY_HEAD] == d[KEY_TAIL]:
        d[NEXT_KEY] = max(d[NEXT_KEY], now(m))
    for i in range(count):
        if d[KEY_HEAD] - d[KEY_TAIL] < TYPED_ROOM:
            device_bytes(m)[TYPED_BYTES + d[KEY_HEAD] % TYPED_ROOM] = codes >> 8 * i & 0xFF
            d[KEY_HEAD] += 1
    plan(m)


@core
def plan(m):
    """The next byte typed is due once the keyboard has got rid of the one before."""
    d = devices(m)
    if d[KEY_HEAD] == d[KEY_TAIL] or d[KEYS + HEAD] != d[KEYS + TAIL] or d[FULL]:
        set_event(m, EVENT_KEYBOARD, NEVER)
    else:
        set_event(m, EVENT_KEYBOARD, d[NEXT_KEY])


@core
def keyboard_event(m, time):
    """The keyboard scans a key, unless it was told not to."""
    d = devices(m)
    byte = np.uint64(device_bytes(m)[TYPED_BYTES + d[KEY_TAIL] % TYPED_ROOM])
    d[KEY_TAIL] += 1
    d[NEXT_KEY] = time + KEY_PACE
    if d[KEYS + ENABLED]:
        if d[KEYS + CODE_SET] == 1:
            translate_and_say(m, byte)
        else:
            say(m, KEYS, byte)
    update(m)


@core
def translate_and_say(m, byte):
    """A keyboard that was told to speak set 1 itself."""
    d = devices(m)
    if byte == BREAK:
        d[BREAK_PREFIX] = 0x80
        return
    say(m, KEYS, SET_1[byte] | d[BREAK_PREFIX])
    d[BREAK_PREFIX] = 0


# --- the controller ---------------------------------------------------------------------------


@core
def answer(m, byte):
    """The controller's own reply; it goes before what the devices say."""
    d = devices(m)
    d[ANSWER] = byte
    d[ANSWER_WAITS] = 1
    d[ANSWER_FROM_MOUSE] = 0


@core
def fill_output(m, byte, from_mouse):
    d = devices(m)
    d[OUTPUT] = byte
    d[FULL] = 1
    d[FROM_MOUSE] = from_mouse


@core
def next_from_keyboard(m):
    """Take a byte of the keyboard and translate it; the prefix of a release is kept back."""
    d = devices(m)
    while d[KEYS + HEAD] != d[KEYS + TAIL] and d[FULL] == 0:
        byte = np.uint64(device_bytes(m)[KEYS_BYTES + d[KEYS + TAIL] % ROOM])
        d[KEYS + TAIL] += 1
        d[KEYS + LAST_SENT] = byte
        if d[MODE] & TRANSLATE == 0:
            fill_output(m, byte, 0)
        elif byte == BREAK:
            d[BREAK_PREFIX] = 0x80
        else:
            fill_output(m, SET_1[byte] | d[BREAK_PREFIX], 0)
            d[BREAK_PREFIX] = 0


@core
def update(m):
    """Fill the output buffer if it is free, drive the interrupt lines."""
    d = devices(m)
    if d[FULL] == 0 and d[ANSWER_WAITS]:
        d[ANSWER_WAITS] = 0
        fill_output(m, d[ANSWER], d[ANSWER_FROM_MOUSE])
    if d[FULL] == 0 and d[MODE] & KEYBOARD_OFF == 0:
        next_from_keyboard(m)
    if d[FULL] == 0 and d[MODE] & MOUSE_OFF == 0 and d[MOUSE + HEAD] != d[MOUSE + TAIL]:
        byte = np.uint64(device_bytes(m)[MOUSE_BYTES + d[MOUSE + TAIL] % ROOM])
        d[MOUSE + TAIL] += 1
        d[MOUSE + LAST_SENT] = byte
        fill_output(m, byte, 1)
    drive_lines(m)
    plan(m)


@core
def drive_lines(m):
    d = devices(m)
    keyboard, mouse = 0, 0
    if d[FULL] and d[FROM_MOUSE]:
        mouse = d[MODE] >> 1 & 1
    elif d[FULL]:
        keyboard = d[MODE] & 1
    drive_line(m, IRQ_KEYBOARD, keyboard)
    drive_line(m, IRQ_MOUSE, mouse)


@core
def status(m):
    """Port 64h read: bit 4 says that no key locks the keyboard."""
    d = devices(m)
    return d[FULL] | d[SELF_TESTED] << 2 | d[LAST_COMMAND] << 3 | 0x10 | (d[FULL] & d[FROM_MOUSE]) << 5


@core
def output_port(m):
    """Bit 0 holds the processor out of reset, 1 is A20, 4 and 5 the interrupt lines."""
    d = devices(m)
    lines = d[FULL] << 4
    if d[FROM_MOUSE]:
        lines = d[FULL] << 5
    return 0xCD | a20_is_open(m) << 1 | lines


@core
def write_output_port(m, value):
    set_a20(m, value >> 1 & 1)
    if value & 1 == 0:
        leave_for(m, SERVICE_RESET)


@core
def controller_ram(m, place):
    if place == 0:
        return devices(m)[MODE]
    return np.uint64(device_bytes(m)[RAM + place])


@core
def controller_command(m, command):
    """Port 64h write."""
    d = devices(m)
    d[LAST_COMMAND] = 1
    d[AWAITED] = 0
    if command >= 0x20 and command < 0x40:
        answer(m, controller_ram(m, command & 31))
    elif command >= 0x60 and command < 0x80 or command >= 0xD1 and command <= 0xD4:
        d[AWAITED] = command
    elif command == 0xA4:
        answer(m, 0xF1)  # there is no password
    elif command == 0xA7:
        d[MODE] |= MOUSE_OFF
    elif command == 0xA8:
        d[MODE] &= ~MOUSE_OFF
    elif command == 0xA9 or command == 0xAB or command == 0xE0:
        answer(m, 0)  # the line to the device is good; test inputs
    elif command == 0xAA:
        d[SELF_TESTED] = 1
        d[MODE] |= SYSTEM_FLAG
        answer(m, 0x55)
    elif command == 0xAD:
        d[MODE] |= KEYBOARD_OFF
    elif command == 0xAE:
        d[MODE] &= ~KEYBOARD_OFF
    elif command == 0xC0:
        answer(m, 0x80)
    elif command == 0xD0:
        answer(m, output_port(m))
    elif command == 0xDD or command == 0xDF:
        set_a20(m, command >> 1 & 1)
    elif command >= 0xF0 and command & 1 == 0:
        leave_for(m, SERVICE_RESET)  # pulse bit 0 of the output port


@core
def controller_data(m, value):
    """Port 60h write: what a command waits for, else a byte for the keyboard."""
    d = devices(m)
    command = d[AWAITED]
    d[LAST_COMMAND] = 0
    d[AWAITED] = 0
    if command == 0:
        d[MODE] &= ~KEYBOARD_OFF
        keyboard_command(m, value)
    elif command == 0x60:
        d[MODE] = value
        d[SELF_TESTED] = value >> 2 & 1
    elif command < 0x80:
        device_bytes(m)[RAM + (command & 31)] = value
    elif command == 0xD1:
        write_output_port(m, value)
    elif command == 0xD4:
        d[MODE] &= ~MOUSE_OFF
        mouse_command(m, value)
    else:
        answer(m, value)
        d[ANSWER_FROM_MOUSE] = command & 1


@core
def keyboard_write(m, port, value):
    if port & 4:
        controller_command(m, value)
    else:
        controller_data(m, value)
    update(m)


@core
def keyboard_read(m, port):
    d = devices(m)
    if port & 4:
        return status(m)
    byte = d[OUTPUT]
    if d[FULL]:
        d[FULL] = 0
        d[NEXT_KEY] = max(d[NEXT_KEY], now(m))
        drive_lines(m)  # the line falls before the next byte raises it
        update(m)
    return byte


@core
def keyboard_reset(m):
    d = devices(m)
    for i in range(KEYBOARD, MOUSE + DEVICE_SIZE):
        d[i] = 0
    d[MODE] = AS_BIOS_LEAVES_IT
    d[SELF_TESTED] = 1
    keyboard_defaults(m)
    d[KEYS + ENABLED] = 1
    mouse_defaults(m)
    update(m)
