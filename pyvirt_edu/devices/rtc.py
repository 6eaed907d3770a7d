"""The MC146818 real-time clock and CMOS RAM at ports 70h and 71h, IRQ 8 (Motorola MC146818 data
sheet, "register A" to "register D", "update cycle", "interrupts").

The time registers hold the time of the last second that was asked about; `catch_up` advances
them as the chip would have, second by second where an alarm may hide. Without an enabled
interrupt nothing happens between two accesses. Simulated time drives the clock.
"""

from __future__ import annotations

import numpy as np

from ..machine.state.handles import device_bytes, devices
from ..machine.state.jit import core
from ..machine.state.layout import NEVER
from .clock import CPU_HZ, MICROSECOND, now, set_event
from .layout import CMOS_BYTES, EVENT_RTC, IRQ_RTC, RTC
from .pic import drive_line

# words
INDEX, AS_OF, DIVIDER_START, FLAGS, CHECKED_AT = range(RTC, RTC + 5)

# registers
SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM = range(6)
WEEKDAY, DAY, MONTH, YEAR, A, B, C, D = range(6, 14)
CENTURY = 0x32
CMOS_SIZE = 128

UIP = 0x80  # register A
SET, PIE, AIE, UIE, SQWE, BINARY, HOURS_24 = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02  # register B
IRQF = 0x80  # register C: PF, AF and UF lie where B has their enable bits
PM = 0x80
ANY = 0xC0  # an alarm byte that always matches
UPDATE_TIME = (244 + 1984) * MICROSECOND  # UIP, with the 32,768 Hz crystal
CRYSTAL = 32_768
DAY_SECONDS = 86_400


@core
def register(m, index):
    return np.uint64(device_bytes(m)[CMOS_BYTES + index])


@core
def set_register(m, index, value):
    device_bytes(m)[CMOS_BYTES + index] = value


# --- formats ----------------------------------------------------------------------------------


@core
def from_format(m, value):
    """A register's number: BCD or binary (register B, DM)."""
    if register(m, B) & BINARY:
        return value
    return (value >> 4) * 10 + (value & 15)


@core
def to_format(m, number):
    if register(m, B) & BINARY:
        return number
    return number // 10 << 4 | number % 10


@core
def hour_of_day(m):
    hours = register(m, HOURS)
    if register(m, B) & HOURS_24:
        return from_format(m, hours)
    hour = from_format(m, hours & ~PM) % 12
    if hours & PM:
        hour += 12
    return hour


@core
def set_hour_of_day(m, hour):
    if register(m, B) & HOURS_24:
        set_register(m, HOURS, to_format(m, hour))
        return
    afternoon = 0
    if hour >= 12:
        afternoon = PM
    twelve = hour % 12
    if twelve == 0:
        twelve = 12
    set_register(m, HOURS, to_format(m, twelve) | afternoon)


@core
def days_of_month(month, year):
    if month == 2:
        if year % 4 == 0:  # as the chip knows them: right from 1901 to 2099
            return 29
        return 28
    if month == 4 or month == 6 or month == 9 or month == 11:
        return 30
    return 31


# --- time passes ------------------------------------------------------------------------------


@core
def next_day(m):
    weekday = from_format(m, register(m, WEEKDAY)) % 7 + 1
    set_register(m, WEEKDAY, to_format(m, weekday))
    day, month = from_format(m, register(m, DAY)) + 1, from_format(m, register(m, MONTH))
    year = from_format(m, register(m, YEAR))
    if day > days_of_month(month, year):
        day = 1
        month += 1
        if month > 12:
            month = 1
            year += 1
            if year > 99:
                year = 0
                century = register(m, CENTURY)  # always BCD; the BIOS's, not the chip's
                century = (century >> 4) * 10 + (century & 15) + 1
                set_register(m, CENTURY, century // 10 % 10 << 4 | century % 10)
            set_register(m, YEAR, to_format(m, year))
        set_register(m, MONTH, to_format(m, month))
    set_register(m, DAY, to_format(m, day))


@core
def add_seconds(m, count):
    """Advance the time by less than a day or so."""
    total = from_format(m, register(m, SECONDS)) + count
    total += from_format(m, register(m, MINUTES)) * 60 + hour_of_day(m) * 3600
    for _ in range(total // DAY_SECONDS):
        next_day(m)
    total %= DAY_SECONDS
    set_register(m, SECONDS, to_format(m, total % 60))
    set_register(m, MINUTES, to_format(m, total // 60 % 60))
    set_hour_of_day(m, total // 3600)


@core
def alarm_matches(m):
    for i in range(3):
        alarm = register(m, 2 * i + 1)
        if alarm & ANY != ANY and alarm != register(m, 2 * i):
            return False
    return True


@core
def is_running(m):
    """Not while a program sets the time or holds the divider."""
    return register(m, B) & SET == 0 and register(m, A) >> 4 & 7 < 6


@core
def crystal_ticks(m, time):
    past = time - devices(m)[DIVIDER_START]
    return past // CPU_HZ * CRYSTAL + past % CPU_HZ * CRYSTAL // CPU_HZ


@core
def time_of_tick(m, tick):
    part = tick % CRYSTAL * CPU_HZ
    return devices(m)[DIVIDER_START] + tick // CRYSTAL * CPU_HZ + (part + CRYSTAL - 1) // CRYSTAL


@core
def period(m):
    """The periodic interrupt's period in ticks of the crystal; 0 if there is none (table 5)."""
    rate = register(m, A) & 15
    if rate == 0 or register(m, A) >> 4 & 7 > 2:
        return 0
    if rate < 3:
        return 64 << rate  # 1 and 2 are 8 and 9 again
    return 1 << (rate - 1)


@core
def catch_up(m, time):
    """Bring registers and flags to a moment."""
    d = devices(m)
    seconds = (time - d[AS_OF]) // CPU_HZ
    d[AS_OF] += seconds * CPU_HZ
    if seconds and is_running(m):
        d[FLAGS] |= UIE
        if seconds > DAY_SECONDS:  # every alarm has come by, once at least
            for _ in range(seconds // DAY_SECONDS):
                next_day(m)
            seconds %= DAY_SECONDS
            d[FLAGS] |= AIE
        if d[FLAGS] & AIE:
            add_seconds(m, seconds)
        else:
            for _ in range(seconds):
                add_seconds(m, 1)
                if alarm_matches(m):
                    d[FLAGS] |= AIE
    every = period(m)
    if every and crystal_ticks(m, time) // every != crystal_ticks(m, d[CHECKED_AT]) // every:
        d[FLAGS] |= PIE
    d[CHECKED_AT] = time


@core
def update(m, time):
    """Drive IRQ 8 and plan the next moment at which a flag with an enabled interrupt may rise."""
    d = devices(m)
    level = 0
    if d[FLAGS] & register(m, B) & (PIE | AIE | UIE):
        level = 1
    drive_line(m, IRQ_RTC, level)
    when = NEVER
    if register(m, B) & (AIE | UIE) and is_running(m):
        when = d[AS_OF] + CPU_HZ
    every = period(m)
    if register(m, B) & PIE and every:
        when = min(when, time_of_tick(m, (crystal_ticks(m, time) // every + 1) * every))
    set_event(m, EVENT_RTC, when)


@core
def rtc_event(m, time):
    catch_up(m, time)
    update(m, time)


# --- the bus ----------------------------------------------------------------------------------


@core
def write_a(m, value, time):
    """Register A; letting the divider go, the first update comes after half a second."""
    held = register(m, A) >> 4 & 7 >= 6
    set_register(m, A, value & 0x7F)
    if held and value >> 4 & 7 < 6:
        devices(m)[AS_OF] = time - CPU_HZ // 2
        devices(m)[DIVIDER_START] = time - CPU_HZ // 2
        devices(m)[CHECKED_AT] = time


@core
def rtc_write(m, port, value):
    d = devices(m)
    if port & 1 == 0:
        d[INDEX] = value & 0x7F  # bit 7 masks NMI, which nothing raises
        return
    index, time = d[INDEX], now(m)
    if index > D and index != CENTURY:
        set_register(m, index, value)
        return
    catch_up(m, time)
    if index == A:
        write_a(m, value, time)
    elif index == B:
        if value & SET:
            value &= ~UIE
        set_register(m, B, value)
    elif index < A or index == CENTURY:
        set_register(m, index, value)
    update(m, time)


@core
def update_in_progress(m, time):
    if is_running(m) and time - devices(m)[AS_OF] >= CPU_HZ - UPDATE_TIME:
        return UIP
    return 0


@core
def rtc_read(m, port):
    d = devices(m)
    if port & 1 == 0:
        return 0xFF  # the index is for writing
    index, time = d[INDEX], now(m)
    if index > D and index != CENTURY:
        return register(m, index)
    catch_up(m, time)
    if index == A:
        return register(m, A) | update_in_progress(m, time)
    if index == C:
        flags = d[FLAGS]
        if flags & register(m, B):
            flags |= IRQF
        d[FLAGS] = 0
        update(m, time)
        return flags
    return register(m, index)


@core
def rtc_reset(m):
    """RESET: no interrupt enabled, no flag set; the clock runs on."""
    d = devices(m)
    set_register(m, B, register(m, B) & ~(PIE | AIE | UIE | SQWE))
    d[FLAGS] = 0
    d[INDEX] = 0
    update(m, now(m))
