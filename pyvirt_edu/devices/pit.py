"""The 8254 interval timer: three 16-bit counters at 1.193182 MHz (Intel 8254 data sheet, order
number 231164).

A counter is not stepped. Its state says when it was loaded with what; the value and the output
at any moment follow by arithmetic, and only counter 0, which drives the timer interrupt,
announces an event for its next change of output. Times here are counted in clock pulses of
the chip, "ticks".
"""

from __future__ import annotations

from ..machine.state.handles import devices
from ..machine.state.jit import core
from ..machine.state.layout import NEVER
from .clock import CPU_HZ, now, set_event
from .layout import EVENT_PIT, IRQ_TIMER, PIT
from .pic import drive_line

PIT_HZ = 1_193_182
# ticks / cycles as a fraction in lowest terms
TICKS, CYCLES_FOR_TICKS = PIT_HZ // 2, CPU_HZ // 2

BEGIN = 1 << 20  # the number of the first tick: a period may have begun before that

# words of one counter
MODE, BCD, ACCESS, RELOAD, NEXT, WAITING, START, GATE, HELD, LOADED = range(10)
LOW_WRITTEN, LOW_BYTE, LATCHED, LATCH, STATUS_LATCHED, STATUS, READ_HIGH, RUNNING = range(10, 18)
FROZEN, PROGRAMMED = range(18, 20)
COUNTER_WORDS = 20
ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH = 1, 2, 3


@core
def ticks_at(cycles):
    """The pulse of the chip's clock at a cycle count; no intermediate result overflows."""
    part = cycles % CYCLES_FOR_TICKS * TICKS // CYCLES_FOR_TICKS
    return BEGIN + cycles // CYCLES_FOR_TICKS * TICKS + part


@core
def cycles_at(tick):
    """The first cycle count at which this pulse has come."""
    ticks = tick - BEGIN
    part = ticks % TICKS * CYCLES_FOR_TICKS
    return ticks // TICKS * CYCLES_FOR_TICKS + (part + TICKS - 1) // TICKS


@core
def counter(n):
    return PIT + n * COUNTER_WORDS


@core
def periodic(mode):
    """Rate generator and square wave."""
    return mode == 2 or mode == 3


@core
def triggered(mode):
    """Modes that a rising gate starts; its level does not matter to them."""
    return mode == 1 or mode == 5


@core
def elapsed(m, at, tick):
    """Ticks since the counter was loaded, without those when something held it."""
    d = devices(m)
    if d[at + FROZEN] or d[at + GATE] == 0 and not triggered(d[at + MODE]):
        return d[at + HELD]
    if tick < d[at + START]:
        return 0
    return tick - d[at + START]


@core
def high_part(m, at):
    """How long the output of a periodic counter is high."""
    d = devices(m)
    if d[at + MODE] == 2:
        return d[at + RELOAD] - 1
    return (d[at + RELOAD] + 1) // 2


@core
def take_next(m, at, tick):
    """A count written to a periodic counter that runs counts from the end of its period on; in
    mode 3, of its half period (data sheet, modes 2 and 3, "writing a new count")."""
    d = devices(m)
    if d[at + WAITING] == 0 or d[at + GATE] == 0 or not periodic(d[at + MODE]):
        return
    period, high = d[at + RELOAD], high_part(m, at)
    place = elapsed(m, at, d[at + WAITING]) % period
    boundary = d[at + WAITING] - place + period
    after_high = d[at + MODE] == 3 and place < high
    if after_high:
        boundary = d[at + WAITING] - place + high
    if tick >= boundary:
        d[at + RELOAD] = d[at + NEXT]
        d[at + WAITING] = 0
        d[at + START] = boundary
        if after_high:
            d[at + START] = boundary - high_part(m, at)


@core
def output(m, at, tick):
    """The OUT pin."""
    d = devices(m)
    mode = d[at + MODE]
    if d[at + RUNNING] == 0:
        if mode == 0:
            return 0
        return 1
    past = elapsed(m, at, tick)
    started = tick >= d[at + START]
    reload = d[at + RELOAD]
    if mode == 0:
        if started and past >= reload:
            return 1
        return 0
    if mode == 1:
        if started and past < reload:
            return 0
        return 1
    if periodic(mode):
        if d[at + GATE] == 0 or reload == 1 or past % reload < high_part(m, at):
            return 1
        return 0
    if past == reload:
        return 0  # modes 4 and 5: a strobe of one tick
    return 1


@core
def square_wave_value(reload, past):
    """What mode 3 counts: by twos, once for each half of the output."""
    past = past % reload
    high = (reload + 1) // 2
    odd = reload & 1
    low_half = 0
    if past >= high:
        past -= high
        low_half = 1
    if past == 0 or odd == 0:
        return reload - 2 * past
    if low_half:
        return reload - 1 - 2 * past  # an odd count is decremented by 3 first
    return reload + 1 - 2 * past  # or by 1


@core
def value(m, at, tick):
    """What the counting element holds."""
    d = devices(m)
    mode, reload = d[at + MODE], d[at + RELOAD]
    if d[at + LOADED] == 0:
        return 0
    past = elapsed(m, at, tick)
    if d[at + RUNNING] == 0 and d[at + FROZEN] == 0:
        past = 0
    if mode == 2:
        return reload - past % reload
    if mode == 3:
        return square_wave_value(reload, past)
    size = 0x10000
    if d[at + BCD]:
        size = 10000
    return (reload + size - past % size) % size


@core
def to_bcd(number):
    return number % 10 | number // 10 % 10 << 4 | number // 100 % 10 << 8 | number // 1000 % 10 << 12


@core
def from_bcd(number):
    return (number & 15) + (number >> 4 & 15) * 10 + (number >> 8 & 15) * 100 + (number >> 12 & 15) * 1000


@core
def shown(m, at, tick):
    """The value as the bus sees it."""
    number = value(m, at, tick)
    if devices(m)[at + BCD]:
        return to_bcd(number % 10000)
    return number & 0xFFFF


@core
def next_change(m, at, tick):
    """The first tick after this one at which the output differs, NEVER if it stays."""
    d = devices(m)
    mode, reload = d[at + MODE], d[at + RELOAD]
    if d[at + RUNNING] == 0 or d[at + FROZEN] or periodic(mode) and reload == 1:
        return NEVER
    if d[at + GATE] == 0 and not triggered(mode):
        return NEVER
    start = d[at + START]
    if tick < start:
        if mode == 1:
            return start
        tick = start
    past = tick - start
    if mode == 0 or mode == 1:
        if past < reload:
            return start + reload
        return NEVER
    if periodic(mode):
        place, high = past % reload, high_part(m, at)
        if place < high:
            return tick - place + high
        return tick - place + reload
    if past < reload:
        return start + reload
    if past == reload:
        return start + reload + 1
    return NEVER


@core
def refresh(m, tick):
    """Show counter 0's output to the interrupt controller and plan the next change."""
    at = counter(0)
    drive_line(m, IRQ_TIMER, output(m, at, tick))
    change = next_change(m, at, tick)
    if change == NEVER:
        set_event(m, EVENT_PIT, NEVER)
    else:
        set_event(m, EVENT_PIT, cycles_at(change))


@core
def pit_event(m, time):
    """The output of counter 0 changes."""
    tick = ticks_at(time)
    take_next(m, counter(0), tick)
    refresh(m, tick)


@core
def load_count(m, at, number, tick):
    """A whole count has been written."""
    d = devices(m)
    size = 0x10000
    if d[at + BCD]:
        number = from_bcd(number)
        size = 10000
    if number == 0:
        number = size
    mode = d[at + MODE]
    d[at + LOADED] = 1
    d[at + FROZEN] = 0
    counting = d[at + RUNNING] & d[at + GATE] != 0 and d[at + RELOAD] != 1 and tick >= d[at + START]
    if triggered(mode) or periodic(mode) and counting:
        d[at + NEXT] = number  # used at the next trigger, or at the end of the period
        d[at + WAITING] = tick
        return
    d[at + RELOAD] = number
    d[at + START] = tick + 1
    d[at + HELD] = 0
    d[at + RUNNING] = 1


@core
def rising_gate(m, at, tick):
    """A trigger for some modes, permission to go on counting for the others."""
    d = devices(m)
    mode = d[at + MODE]
    if triggered(mode) or periodic(mode):
        if d[at + WAITING]:
            d[at + RELOAD] = d[at + NEXT]
            d[at + WAITING] = 0
            d[at + RUNNING] = 1
        d[at + START] = tick + 1
    elif d[at + FROZEN] == 0:
        d[at + START] = max(tick, d[at + START]) - d[at + HELD]


@core
def set_gate(m, n, level):
    """The GATE pin of a counter."""
    d = devices(m)
    at = counter(n)
    tick = ticks_at(now(m))
    take_next(m, at, tick)
    before = d[at + GATE]
    if before and level == 0 and d[at + FROZEN] == 0:
        d[at + HELD] = elapsed(m, at, tick)
    d[at + GATE] = level
    if before == 0 and level and d[at + LOADED]:
        rising_gate(m, at, tick)
    if n == 0:
        refresh(m, tick)


@core
def counter_output(m, n):
    """OUT of a counter, now."""
    at = counter(n)
    tick = ticks_at(now(m))
    take_next(m, at, tick)
    return output(m, at, tick)


@core
def latch_status(m, at, tick):
    """OUT, whether the last count written has not reached the counter yet, the control word."""
    d = devices(m)
    if d[at + STATUS_LATCHED] == 0:
        null = 1
        if d[at + RUNNING] and d[at + WAITING] == 0 and d[at + FROZEN] == 0 and tick >= d[at + START]:
            null = 0
        d[at + STATUS] = output(m, at, tick) << 7 | null << 6 | d[at + PROGRAMMED]
        d[at + STATUS_LATCHED] = 1


@core
def latch_count(m, at, tick):
    d = devices(m)
    if d[at + LATCHED] == 0:
        d[at + LATCH] = shown(m, at, tick)
        d[at + LATCHED] = 1
        if d[at + ACCESS] == ACCESS_BOTH:
            d[at + LATCHED] = 2  # bytes to come


@core
def control(m, word, tick):
    """The control word register."""
    d = devices(m)
    which = word >> 6
    if which == 3:  # read back
        for i in range(3):
            if word >> (i + 1) & 1:
                take_next(m, counter(i), tick)
                if word & 0x10 == 0:
                    latch_status(m, counter(i), tick)
                if word & 0x20 == 0:
                    latch_count(m, counter(i), tick)
        return
    at = counter(which)
    take_next(m, at, tick)
    access = word >> 4 & 3
    if access == 0:
        latch_count(m, at, tick)
        return
    mode = word >> 1 & 7
    if mode > 5:
        mode -= 4
    d[at + PROGRAMMED] = word & 0x3F
    d[at + ACCESS] = access
    d[at + MODE] = mode
    d[at + BCD] = word & 1
    d[at + RUNNING] = 0
    d[at + LOADED] = 0
    d[at + FROZEN] = 0
    d[at + WAITING] = 0
    d[at + LATCHED] = 0
    d[at + STATUS_LATCHED] = 0
    d[at + LOW_WRITTEN] = 0
    d[at + READ_HIGH] = 0
    d[at + HELD] = 0


@core
def pit_write(m, port, byte):
    d = devices(m)
    tick = ticks_at(now(m))
    n = port & 3
    if n == 3:
        control(m, byte, tick)
        refresh(m, tick)
        return
    at = counter(n)
    take_next(m, at, tick)
    access = d[at + ACCESS]
    if access == ACCESS_LOW:
        load_count(m, at, byte, tick)
    elif access == ACCESS_HIGH:
        load_count(m, at, byte << 8, tick)
    elif d[at + LOW_WRITTEN] == 0:
        d[at + LOW_BYTE] = byte
        d[at + LOW_WRITTEN] = 1
        if d[at + MODE] == 0 and d[at + RUNNING]:
            d[at + HELD] = elapsed(m, at, tick)
            d[at + FROZEN] = 1  # the first byte stops the count,
            d[at + RUNNING] = 0  # and takes the output low
    else:
        d[at + LOW_WRITTEN] = 0
        load_count(m, at, byte << 8 | d[at + LOW_BYTE], tick)
    if n == 0:
        refresh(m, tick)


@core
def read_latch(m, at):
    """One byte of a latched count."""
    d = devices(m)
    left = d[at + LATCHED]
    d[at + LATCHED] = left - 1
    high = d[at + ACCESS] == ACCESS_HIGH or d[at + ACCESS] == ACCESS_BOTH and left == 1
    if high:
        return d[at + LATCH] >> 8
    return d[at + LATCH] & 0xFF


@core
def pit_read(m, port):
    d = devices(m)
    n = port & 3
    if n == 3:
        return 0xFF  # there is nothing to read
    at = counter(n)
    if d[at + STATUS_LATCHED]:
        d[at + STATUS_LATCHED] = 0
        return d[at + STATUS]
    if d[at + LATCHED]:
        return read_latch(m, at)
    tick = ticks_at(now(m))
    take_next(m, at, tick)
    number = shown(m, at, tick)
    if d[at + ACCESS] == ACCESS_BOTH:
        d[at + READ_HIGH] ^= 1
        if d[at + READ_HIGH]:
            return number & 0xFF
        return number >> 8
    if d[at + ACCESS] == ACCESS_HIGH:
        return number >> 8
    return number & 0xFF


@core
def pit_reset(m):
    """Counters 0 and 1 always count; the speaker's waits for its gate."""
    d = devices(m)
    for i in range(3 * COUNTER_WORDS):
        d[PIT + i] = 0
    for i in range(3):
        d[counter(i) + ACCESS] = ACCESS_BOTH
    d[counter(0) + GATE] = 1
    d[counter(1) + GATE] = 1
    refresh(m, ticks_at(now(m)))
