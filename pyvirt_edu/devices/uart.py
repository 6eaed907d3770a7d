"""The 16550A serial port at 3F8h, IRQ 4 (National Semiconductor PC16550D data sheet, section 8).

At the other end of the line is the console (console.py), always ready: CTS, DSR and DCD are
on. What is sent lies in a ring from which Python takes it; what is typed waits in another
and arrives at the pace of the line, as long as the receiver has room, so nothing is lost.

From 9600 baud up (divisors to 12) a character is sent the moment it is written: programs
that do not wait for the transmitter keep their text, and output is as fast as the guest.
Slower settings take their time. IRQ 4 does not pass the gate that PC boards control with
OUT2; kernels exist that leave it closed.
"""

from __future__ import annotations

from ..machine.state.handles import cpu, device_bytes, devices
from ..machine.state.jit import core
from ..machine.state.layout import ATTENTION, NEVER, SERVICE, STOP
from .clock import CPU_HZ, now, set_event
from .layout import (
    EVENT_UART,
    IRQ_SERIAL,
    SERVICE_CONSOLE,
    UART,
    UART_IN_BYTES,
    UART_OUT_BYTES,
    UART_ROOM,
)
from .pic import drive_line

# words
IER, LCR, MCR, SCR, DIVISOR, FIFO, TRIGGER = range(UART, UART + 7)
ERRORS, MSR_CHANGES, THRE_PENDING, TIMEOUT = range(UART + 7, UART + 11)
RX_COUNT, RX_FIRST, TX_COUNT, TX_FIRST, SHIFTING = range(UART + 11, UART + 16)
SENT_AT, NEXT_IN, TIMEOUT_AT = range(UART + 16, UART + 19)
IN_HEAD, IN_TAIL, OUT_HEAD, AWAITED = range(UART + 19, UART + 23)
RX, TX = UART + 24, UART + 40
DEPTH = 16

# bits (data sheet, section 8, table II)
ERBFI, ETBEI, ELSI, EDSSI = 1, 2, 4, 8  # interrupt enable register
IIR_NONE, IIR_MODEM, IIR_THRE, IIR_DATA, IIR_LINE, IIR_TIMEOUT = 1, 0, 2, 4, 6, 12
FCR_ENABLE, FCR_CLEAR_RX, FCR_CLEAR_TX = 1, 2, 4
LCR_STOP, LCR_PARITY, LCR_BREAK, LCR_DLAB = 4, 8, 0x40, 0x80
MCR_LOOP = 0x10
LSR_DR, LSR_OE, LSR_BI, LSR_THRE, LSR_TEMT, LSR_FIFO = 1, 2, 16, 32, 64, 128
MSR_TERI = 4
MSR_LINE_ON = 0xB0  # DCD, DSR, CTS

FASTEST_DIVISOR, LAST_QUICK_DIVISOR = 1, 12
CRYSTAL = 1_843_200

# An entry of the rings takes two bytes: the character, and where it comes from or what it is.
ENTRY = 2
ENTRIES = UART_ROOM // ENTRY
FROM_UART, FROM_DEBUG_PORT = 0, 1
TYPED, TYPED_BREAK = 0, 1
NOTHING_AWAITED = 0x100


# --- the line ---------------------------------------------------------------------------------


@core
def character_time(m):
    """Cycles for a start bit, the data, parity and stop bits."""
    d = devices(m)
    bits = 1 + 5 + (d[LCR] & 3) + 1
    if d[LCR] & LCR_PARITY:
        bits += 1
    if d[LCR] & LCR_STOP:
        bits += 1
    divisor = d[DIVISOR]
    if divisor <= LAST_QUICK_DIVISOR:
        divisor = FASTEST_DIVISOR
    return bits * divisor * 16 * CPU_HZ // CRYSTAL


@core
def is_quick(m):
    return devices(m)[DIVISOR] <= LAST_QUICK_DIVISOR


@core
def to_console(m, byte, source):
    """Put a character into the ring of what was sent; Python empties it before it wraps."""
    c, d = cpu(m), devices(m)
    head = d[OUT_HEAD]
    place = UART_OUT_BYTES + head % ENTRIES * ENTRY
    device_bytes(m)[place] = byte
    device_bytes(m)[place + 1] = source
    head += 1
    d[OUT_HEAD] = head
    if head % (ENTRIES // 2) == 0 or byte == d[AWAITED]:
        c[SERVICE] |= SERVICE_CONSOLE
        c[STOP] = 1
        c[ATTENTION] = 1


# --- registers that follow from others --------------------------------------------------------


@core
def line_status(m):
    """LSR. The error bits are those of the character at the top (section 8.3)."""
    d = devices(m)
    status = d[ERRORS]
    if d[RX_COUNT]:
        status |= LSR_DR
        if d[FIFO]:
            for i in range(d[RX_COUNT]):
                if d[RX + (d[RX_FIRST] + i) % DEPTH] >> 8:
                    status |= LSR_FIFO
    if d[TX_COUNT] == 0:
        status |= LSR_THRE
        if d[SHIFTING] == 0:
            status |= LSR_TEMT
    return status


@core
def modem_lines(m):
    """The upper half of MSR; in loopback it shows the outputs (section 8.7, bit 4)."""
    mcr = devices(m)[MCR]
    if mcr & MCR_LOOP == 0:
        return MSR_LINE_ON
    return (mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 | (mcr & 8) << 4


@core
def interrupt_cause(m):
    """The lower bits of IIR: the most urgent cause (table III)."""
    d = devices(m)
    enabled = d[IER]
    if enabled & ELSI and d[ERRORS]:
        return IIR_LINE
    if enabled & ERBFI:
        if d[RX_COUNT] >= d[TRIGGER]:
            return IIR_DATA
        if d[TIMEOUT]:
            return IIR_TIMEOUT
    if enabled & ETBEI and d[THRE_PENDING]:
        return IIR_THRE
    if enabled & EDSSI and d[MSR_CHANGES]:
        return IIR_MODEM
    return IIR_NONE


@core
def update(m):
    """Drive the interrupt line, and plan the next thing that happens on the serial line."""
    d = devices(m)
    level = 1
    if interrupt_cause(m) == IIR_NONE:
        level = 0
    drive_line(m, IRQ_SERIAL, level)
    when = NEVER
    if d[SHIFTING]:
        when = d[SENT_AT]
    if d[IN_HEAD] != d[IN_TAIL] and d[RX_COUNT] < room(m):
        when = min(when, d[NEXT_IN])
    if d[FIFO] and d[RX_COUNT] and d[TIMEOUT] == 0:
        when = min(when, d[TIMEOUT_AT])
    set_event(m, EVENT_UART, when)


# --- receiver ---------------------------------------------------------------------------------


@core
def room(m):
    if devices(m)[FIFO]:
        return DEPTH
    return 1


@core
def show_errors(m):
    """The character that has come to the top brings its errors into LSR."""
    d = devices(m)
    if d[RX_COUNT]:
        place = RX + d[RX_FIRST]
        d[ERRORS] |= d[place] >> 8
        d[place] &= 0xFF


@core
def receive(m, byte, errors, time):
    """A character has come in; without room for it there is an overrun."""
    d = devices(m)
    if d[RX_COUNT] == room(m):
        d[ERRORS] |= LSR_OE
        if d[FIFO]:
            return  # the FIFO stays, the character in the shift register is lost
        d[RX_COUNT] = 0
    d[RX + (d[RX_FIRST] + d[RX_COUNT]) % DEPTH] = byte | errors << 8
    d[RX_COUNT] += 1
    if d[RX_COUNT] == 1:
        show_errors(m)
    d[TIMEOUT] = 0
    d[TIMEOUT_AT] = time + 4 * character_time(m)


@core
def receive_typed(m, time):
    """The next character from the console."""
    d = devices(m)
    place = UART_IN_BYTES + d[IN_TAIL] % ENTRIES * ENTRY
    byte, what = device_bytes(m)[place], device_bytes(m)[place + 1]
    d[IN_TAIL] += 1
    d[NEXT_IN] = now(m) + character_time(m)  # it may have waited for room
    if what == TYPED_BREAK:
        receive(m, 0, LSR_BI, time)
    else:
        receive(m, 0 + byte, 0, time)


@core
def read_buffer(m):
    """RBR: the oldest character; reading an empty buffer gives the last one again."""
    d = devices(m)
    byte = d[RX + d[RX_FIRST]] & 0xFF
    if d[RX_COUNT]:
        d[RX_COUNT] -= 1
        if d[RX_COUNT]:
            d[RX_FIRST] = (d[RX_FIRST] + 1) % DEPTH
            show_errors(m)
        elif d[FIFO]:
            d[RX_FIRST] = (d[RX_FIRST] + 1) % DEPTH
    d[TIMEOUT] = 0
    d[TIMEOUT_AT] = now(m) + 4 * character_time(m)
    return byte


@core
def console_input(m, count, characters):
    """Python has typed up to 8 characters, the first one lowest; 0 of them are a break."""
    d = devices(m)
    if d[IN_HEAD] == d[IN_TAIL]:
        d[NEXT_IN] = max(d[NEXT_IN], now(m))
    what = TYPED
    if count == 0:
        count, what = 1, TYPED_BREAK
    for i in range(count):
        if d[IN_HEAD] - d[IN_TAIL] < ENTRIES:
            place = UART_IN_BYTES + d[IN_HEAD] % ENTRIES * ENTRY
            device_bytes(m)[place] = characters >> 8 * i & 0xFF
            device_bytes(m)[place + 1] = what
            d[IN_HEAD] += 1
    update(m)


# --- transmitter ------------------------------------------------------------------------------


@core
def leave(m, byte, time):
    """A character is out on the line: at the console, or in loopback at the receiver."""
    d = devices(m)
    if d[MCR] & MCR_LOOP:
        receive(m, byte & (1 << (5 + (d[LCR] & 3))) - 1, 0, time)
    elif d[LCR] & LCR_BREAK == 0:
        to_console(m, byte, FROM_UART)


@core
def start_shifting(m, time):
    """The shift register takes the next character; an empty THR or FIFO is news."""
    d = devices(m)
    d[SHIFTING] = 1 + (d[TX + d[TX_FIRST]] & 0xFF)
    d[SENT_AT] = time + character_time(m)
    d[TX_FIRST] = (d[TX_FIRST] + 1) % DEPTH
    d[TX_COUNT] -= 1
    if d[TX_COUNT] == 0:
        d[THRE_PENDING] = 1


@core
def transmit_at_once(m, byte):
    """What writing THR mostly is: a character for the console, and nothing that waits for it."""
    d = devices(m)
    if d[IER] or d[SHIFTING] or d[MCR] & MCR_LOOP or d[DIVISOR] > LAST_QUICK_DIVISOR:
        return False
    d[THRE_PENDING] = 1
    leave(m, byte, 0)
    return True


@core
def transmit(m, byte):
    """THR."""
    d = devices(m)
    d[THRE_PENDING] = 0
    time = now(m)
    if is_quick(m) and d[SHIFTING] == 0:
        update(m)  # the interrupt falls, and rises again
        d[THRE_PENDING] = 1
        leave(m, byte, time)
        return
    if d[TX_COUNT] == room(m):
        if d[FIFO]:
            return  # no room: lost
        d[TX_COUNT] = 0
    d[TX + (d[TX_FIRST] + d[TX_COUNT]) % DEPTH] = byte
    d[TX_COUNT] += 1
    if d[SHIFTING] == 0:
        update(m)
        start_shifting(m, time)


# --- the bus ----------------------------------------------------------------------------------


@core
def fifo_control(m, value):
    """FCR (section 8.4): a change of bit 0 empties both FIFOs; without it nothing else counts."""
    d = devices(m)
    enable = value & FCR_ENABLE
    clear = value
    if enable == 0:
        clear = 0
    if enable != d[FIFO]:
        clear = FCR_CLEAR_RX | FCR_CLEAR_TX
    d[FIFO] = enable
    d[TRIGGER] = 1
    if enable:
        level = value >> 6
        d[TRIGGER] = 4 * level
        if level == 0:
            d[TRIGGER] = 1
        elif level == 3:
            d[TRIGGER] = 14
    if clear & FCR_CLEAR_RX:
        d[RX_COUNT] = 0
        d[RX_FIRST] = 0
        d[TIMEOUT] = 0
    if clear & FCR_CLEAR_TX and d[TX_COUNT]:
        d[TX_COUNT] = 0
        d[THRE_PENDING] = 1


@core
def modem_control(m, value):
    """MCR; in loopback a change of it is seen in MSR."""
    d = devices(m)
    before = modem_lines(m)
    d[MCR] = value & 0x1F
    after = modem_lines(m)
    changed = (before ^ after) >> 4 & 0xB
    if before & ~after & 0x40:
        changed |= MSR_TERI  # the ring indicator went off
    d[MSR_CHANGES] |= changed


@core
def line_control(m, value):
    """LCR. A break in loopback reaches the receiver."""
    d = devices(m)
    starts = value & ~d[LCR] & LCR_BREAK
    d[LCR] = value
    if starts and d[MCR] & MCR_LOOP:
        receive(m, 0, LSR_BI, now(m))


@core
def interrupt_enable(m, value):
    """IER. Enabling the transmitter's interrupt while THR is empty raises it."""
    d = devices(m)
    if value & ~d[IER] & ETBEI and d[TX_COUNT] == 0:
        d[THRE_PENDING] = 1
    d[IER] = value & 15


@core
def uart_write(m, port, value):
    d = devices(m)
    register = port & 7
    if register < 2 and d[LCR] & LCR_DLAB:
        if register == 0:
            d[DIVISOR] = d[DIVISOR] & 0xFF00 | value
        else:
            d[DIVISOR] = d[DIVISOR] & 0xFF | value << 8
    elif register == 0:
        if transmit_at_once(m, value):
            return
        transmit(m, value)
    elif register == 1:
        interrupt_enable(m, value)
    elif register == 2:
        fifo_control(m, value)
    elif register == 3:
        line_control(m, value)
    elif register == 4:
        modem_control(m, value)
    elif register == 7:
        d[SCR] = value
        return
    update(m)  # LSR and MSR are for reading


@core
def read_identification(m):
    """IIR; reading it ends the interrupt of an empty transmitter."""
    d = devices(m)
    cause = interrupt_cause(m)
    if cause == IIR_THRE:
        d[THRE_PENDING] = 0
        update(m)
    if d[FIFO]:
        cause |= 0xC0
    return cause


@core
def uart_read(m, port):
    d = devices(m)
    register = port & 7
    if register < 2 and d[LCR] & LCR_DLAB:
        return d[DIVISOR] >> 8 * register & 0xFF
    if register == 0:
        value = read_buffer(m)
        update(m)
        return value
    if register == 1:
        return d[IER]
    if register == 2:
        return read_identification(m)
    if register == 3:
        return d[LCR]
    if register == 4:
        return d[MCR]
    if register == 5:
        value = line_status(m)
        if d[ERRORS]:
            d[ERRORS] = 0
            update(m)
        return value
    if register == 6:
        value = modem_lines(m) | d[MSR_CHANGES]
        if d[MSR_CHANGES]:
            d[MSR_CHANGES] = 0
            update(m)
        return value
    return d[SCR]


@core
def uart_event(m, time):
    """A character has been sent, one comes in, or the FIFO has waited for long enough."""
    d = devices(m)
    if d[SHIFTING] and d[SENT_AT] <= time:
        byte = d[SHIFTING] - 1
        d[SHIFTING] = 0
        if d[TX_COUNT]:
            start_shifting(m, time)
        leave(m, byte, time)
    if d[IN_HEAD] != d[IN_TAIL] and d[RX_COUNT] < room(m) and d[NEXT_IN] <= time:
        receive_typed(m, time)
    if d[FIFO] and d[RX_COUNT] and d[TIMEOUT_AT] <= time:
        d[TIMEOUT] = 1
    update(m)


@core
def uart_reset(m):
    """Master reset (table I). What was sent and typed before is no concern of the chip."""
    d = devices(m)
    for i in range(IER, IN_HEAD):
        d[i] = 0
    d[DIVISOR] = FASTEST_DIVISOR
    d[TRIGGER] = 1
    d[AWAITED] = NOTHING_AWAITED
    update(m)
