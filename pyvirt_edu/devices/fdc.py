"""The floppy controller, an 82077AA in an AT: ports 3F2h to 3F5h and 3F7h, IRQ 6, DMA channel 2
(82077AA data sheet: registers, section 2; commands and their results, sections 5 and 6).

A command's bytes come one by one through the FIFO port; then it executes; then its result is
read there. Data goes by DMA, sector by sector: Python has the contents (floppies.py), and fetches
or stores one sector for each request. Sectors pass at the speed at which the disk turns; finding
the first one costs nothing, and the motor is always at speed.
"""

from __future__ import annotations

import numpy as np

from ..machine.state.handles import cpu, device_bytes, devices
from ..machine.state.jit import core
from ..machine.state.layout import ATTENTION, NEVER, SERVICE, STOP
from .clock import MICROSECOND, now, set_event
from .dma import FROM_MEMORY, TO_MEMORY, byte_from_memory, byte_to_memory, is_ready
from .layout import EVENT_FLOPPY, FLOPPY, FLOPPY_BYTES, IRQ_FLOPPY, SERVICE_FLOPPY
from .pic import set_line

# words: what programs set ...
DOR, RATE, TAPE, SPECIFY1, SPECIFY2, CONFIGURATION, PRECOMPENSATION, LOCKED, PERPENDICULAR = range(
    FLOPPY, FLOPPY + 9
)
# ... the command under way ...
PHASE, POSITION, LENGTH, INTERRUPT, RESETS, TRANSFER_DUE, READY_AT, FILLED, ENDED, EOT = range(
    FLOPPY + 9, FLOPPY + 19
)
# ... and what is asked of Python
REQUEST, REQUEST_DRIVE, REQUEST_SECTOR = range(FLOPPY + 19, FLOPPY + 22)
DRIVES = FLOPPY + 24
DRIVE_WORDS = 12
# words of a drive: its disk, as Python says it (no tracks: no drive); where the heads are, and
# where the controller says they are (0 after a reset); a seek, and what it says when it has ended
TRACKS, HEADS, TRACK_SECTORS, DISK_RATE, PROTECTED, CHANGED = range(6)
CYLINDER, REPORTED, SEEK_DUE, TARGET, SEEK_STATUS = range(6, 11)
# bytes
COMMAND, RESULT, SECTOR_BUFFER = FLOPPY_BYTES, FLOPPY_BYTES + 16, FLOPPY_BYTES + 32
SECTOR = 512
MOST_CYLINDERS = 85
TRACK_0 = 0x100  # as the target of a RECALIBRATE: cylinder 0, and its signal

REQUEST_READ, REQUEST_WRITE = 1, 2
IDLE, EXECUTION, RESULTS = range(3)

DATA_PORT, STATUS_PORT, DOR_PORT, TAPE_PORT, DISK_PORT = 0x3F5, 0x3F4, 0x3F2, 0x3F3, 0x3F7
RUNNING, DMA_GATE = 4, 8  # digital output register
RQM, DIO, BUSY = 0x80, 0x40, 0x10  # main status register
ABNORMAL, INVALID, READY_CHANGED, SEEK_END, CHECK = 0x40, 0x80, 0xC0, 0x20, 0x10  # status register 0
END_OF_CYLINDER, CRC, OVERRUN, NO_DATA, PROTECT, NO_ADDRESS = 0x80, 0x20, 0x10, 4, 2, 1  # status 1
WRONG_CYLINDER = 0x10  # status 2
IMPLIED_SEEK, NO_FIFO, NO_POLLING = 0x40, 0x20, 0x10  # CONFIGURE
NO_DMA = 1  # SPECIFY
RATE_500K, RATE_300K, RATE_250K, RATE_1M = range(4)

VERSION = 0x90
STEP_TIME = 3000 * MICROSECOND
SETTLE_TIME = 15000 * MICROSECOND
TURN = 200_000 * MICROSECOND
COMMAND_TIME = 100 * MICROSECOND


# --- parts ------------------------------------------------------------------------------------


@core
def command_byte(m, i):
    return np.uint64(device_bytes(m)[COMMAND + i])


@core
def unit_of(m):
    return command_byte(m, 1) & 3


@core
def head_of(m):
    return command_byte(m, 1) >> 2 & 1


@core
def drive_words(number):
    return DRIVES + DRIVE_WORDS * number


@core
def update_line(m):
    """INT reaches the bus while the digital output register lets it."""
    d = devices(m)
    level = 0
    if d[INTERRUPT] and d[DOR] & DMA_GATE:
        level = 1
    set_line(m, IRQ_FLOPPY, level)


@core
def set_interrupt(m, level):
    devices(m)[INTERRUPT] = level
    update_line(m)


@core
def plan(m):
    """One source of events for the transfer and for the four drives' seeks."""
    d = devices(m)
    first = d[TRANSFER_DUE]
    for i in range(4):
        first = min(first, d[drive_words(i) + SEEK_DUE])
    set_event(m, EVENT_FLOPPY, first)


@core
def request(m, what, drive, sector):
    """Ask Python; it answers before the next instruction, the disk acts at READY_AT."""
    c, d = cpu(m), devices(m)
    d[REQUEST] = what
    d[REQUEST_DRIVE] = drive
    d[REQUEST_SECTOR] = sector
    c[SERVICE] |= SERVICE_FLOPPY
    c[STOP] = 1
    c[ATTENTION] = 1


# --- results ----------------------------------------------------------------------------------


@core
def set_result(m, i, value):
    device_bytes(m)[RESULT + i] = value


@core
def give(m, length):
    """So many bytes of result wait; without any the controller is free again."""
    d = devices(m)
    d[PHASE] = IDLE
    if length:
        d[PHASE] = RESULTS
    d[POSITION] = 0
    d[LENGTH] = length


@core
def give_one(m, value):
    set_result(m, 0, value)
    give(m, 1)


@core
def end_transfer(m, status1, status2):
    """The seven bytes after a command with data: three of status, and the next sector's address."""
    d = devices(m)
    kind = 0
    if status1 | status2:
        kind = ABNORMAL
    set_result(m, 0, kind | command_byte(m, 1) & 7)
    set_result(m, 1, status1)
    set_result(m, 2, status2)
    for i in range(4):
        set_result(m, 3 + i, command_byte(m, 2 + i))
    d[TRANSFER_DUE] = NEVER
    d[REQUEST] = 0
    give(m, 7)
    set_interrupt(m, 1)
    plan(m)


# --- seeks ------------------------------------------------------------------------------------


@core
def steps_to(m, drive, cylinder):
    here = devices(m)[drive + CYLINDER]
    return max(cylinder, here) - min(cylinder, here)


@core
def seek(m, number, target):
    """SEEK and RECALIBRATE: step pulses, while other commands may come."""
    d = devices(m)
    drive = drive_words(number)
    d[drive + TARGET] = target
    d[drive + SEEK_STATUS] = 0
    d[drive + SEEK_DUE] = now(m) + STEP_TIME * max(steps_to(m, drive, target & 0xFF), 1)
    plan(m)


@core
def step_to(m, drive, cylinder):
    """Where the heads are after the pulses; a step with a disk in the drive resets its change line."""
    d = devices(m)
    if d[drive + TRACKS] and cylinder != d[drive + CYLINDER]:
        d[drive + CHANGED] = 0
    d[drive + CYLINDER] = min(cylinder, MOST_CYLINDERS)
    d[drive + REPORTED] = cylinder


@core
def end_seek(m, number):
    d = devices(m)
    drive = drive_words(number)
    d[drive + SEEK_DUE] = NEVER
    step_to(m, drive, d[drive + TARGET] & 0xFF)
    d[drive + SEEK_STATUS] = SEEK_END | number
    if d[drive + TRACKS] == 0 and d[drive + TARGET] == TRACK_0:
        d[drive + SEEK_STATUS] |= ABNORMAL | CHECK  # nobody says that it is reached
    set_interrupt(m, 1)


@core
def sense_interrupt(m):
    """SENSE INTERRUPT STATUS: why INT is on; after a reset once for each drive."""
    d = devices(m)
    status = INVALID
    number = 0
    if d[RESETS]:
        number = 4 - d[RESETS]
        d[RESETS] -= 1
        status = READY_CHANGED | number
    else:
        for i in range(4):
            waiting = d[drive_words(3 - i) + SEEK_STATUS]
            if waiting:
                number = 3 - i
                status = waiting
        d[drive_words(number) + SEEK_STATUS] = 0
    set_interrupt(m, 0)
    if status == INVALID:
        give_one(m, status)
        return
    set_result(m, 0, status)
    set_result(m, 1, d[drive_words(number) + REPORTED])
    give(m, 2)


# --- sectors ----------------------------------------------------------------------------------


@core
def sector_time(m, drive):
    return TURN // max(1, devices(m)[drive + TRACK_SECTORS])


@core
def rate_fits(m, drive):
    """A disk of 40 tracks turns in either kind of drive: 250 kb/s in its own, 300 in that of 1.2 MB."""
    d = devices(m)
    if d[drive + DISK_RATE] == RATE_300K:
        return d[RATE] == RATE_300K or d[RATE] == RATE_250K
    return d[RATE] == d[drive + DISK_RATE]


@core
def is_readable(m, drive):
    """Whether address marks pass under the selected head."""
    d = devices(m)
    if d[drive + TRACKS] == 0 or d[drive + CYLINDER] >= d[drive + TRACKS]:
        return False
    return rate_fits(m, drive) and head_of(m) < d[drive + HEADS]


@core
def status_of_address(m, drive):
    """What is wrong with the sector that the command names: status 1, and status 2 << 8."""
    d = devices(m)
    if not is_readable(m, drive):
        return NO_ADDRESS
    if command_byte(m, 2) != d[drive + CYLINDER]:
        return NO_DATA | WRONG_CYLINDER << 8
    sector = command_byte(m, 4)
    if sector == 0 or sector > d[drive + TRACK_SECTORS]:
        return NO_DATA
    if command_byte(m, 3) != head_of(m) or command_byte(m, 5) != 2:
        return NO_DATA
    return 0


@core
def sector_number(m, drive):
    d = devices(m)
    track = d[drive + CYLINDER] * d[drive + HEADS] + head_of(m)
    return track * d[drive + TRACK_SECTORS] + command_byte(m, 4) - 1


@core
def next_address(m):
    """On to the next sector; 1 if there is none: the end of the cylinder (table of results)."""
    memory = device_bytes(m)
    if command_byte(m, 4) != devices(m)[EOT]:
        memory[COMMAND + 4] = command_byte(m, 4) + 1
        return 0
    memory[COMMAND + 4] = 1
    if command_byte(m, 0) & 0x80 and head_of(m) == 0:  # multi-track: the other side
        memory[COMMAND + 1] = command_byte(m, 1) | 4
        memory[COMMAND + 3] = 1
        return 0
    if command_byte(m, 0) & 0x80:
        memory[COMMAND + 3] = 0
    memory[COMMAND + 2] = command_byte(m, 2) + 1
    return 1


@core
def fill_from_memory(m):
    """A sector for the disk; zeros behind the terminal count."""
    d = devices(m)
    ended = d[ENDED]
    for i in range(SECTOR):
        value = 0
        if ended == 0:
            value = byte_from_memory(m, 2)
            ended = value >> 8
        device_bytes(m)[SECTOR_BUFFER + i] = value & 0xFF
    d[ENDED] = ended


@core
def empty_to_memory(m):
    d = devices(m)
    ended = d[ENDED]
    for i in range(SECTOR):
        if ended == 0:
            ended = byte_to_memory(m, 2, device_bytes(m)[SECTOR_BUFFER + i])
    d[ENDED] = ended


@core
def is_write(m):
    return command_byte(m, 0) & 0x1F == 5


@core
def ask_for_sector(m):
    """The next sector passes under the heads: the request for it, or the end with an error."""
    d = devices(m)
    drive = drive_words(unit_of(m))
    problem = status_of_address(m, drive)
    direction = TO_MEMORY
    if is_write(m):
        direction = FROM_MEMORY
    if problem:
        end_transfer(m, problem & 0xFF, problem >> 8)
    elif is_write(m) and d[drive + PROTECTED]:
        end_transfer(m, PROTECT, 0)
    elif d[SPECIFY2] & NO_DMA or d[DOR] & DMA_GATE == 0 or not is_ready(m, 2, direction):
        end_transfer(m, OVERRUN, 0)
    else:
        d[READY_AT] = now(m) + sector_time(m, drive)
        what = REQUEST_READ
        if is_write(m):
            fill_from_memory(m)
            what = REQUEST_WRITE
        request(m, what, unit_of(m), sector_number(m, drive))


@core
def floppy_done(m, problem):
    """Python has done what was asked."""
    d = devices(m)
    if d[REQUEST] == 0:
        return
    d[REQUEST] = 0
    if problem:
        end_transfer(m, problem, 0)
        return
    d[FILLED] = 1
    d[TRANSFER_DUE] = max(d[READY_AT], now(m))
    plan(m)


@core
def sector_passed(m):
    """A whole sector has passed: its data goes to memory, or is on the disk."""
    d = devices(m)
    d[FILLED] = 0
    if not is_write(m):
        empty_to_memory(m)
    at_end = next_address(m)
    if d[ENDED]:
        end_transfer(m, 0, 0)
    elif at_end:
        end_transfer(m, END_OF_CYLINDER, 0)  # the terminal count has not come
    else:
        ask_for_sector(m)


@core
def read_id(m):
    """READ ID: the address of the next sector that passes."""
    d = devices(m)
    drive = drive_words(unit_of(m))
    problem = 0
    if is_readable(m, drive):
        memory = device_bytes(m)
        memory[COMMAND + 2] = d[drive + CYLINDER]
        memory[COMMAND + 3] = head_of(m)
        memory[COMMAND + 4] = now(m) // sector_time(m, drive) % d[drive + TRACK_SECTORS] + 1
        memory[COMMAND + 5] = 2
    else:
        problem = NO_ADDRESS
    end_transfer(m, problem, 0)


@core
def format_track(m):
    """FORMAT TRACK, a sector at a time: the address that DMA gives, then the filler byte."""
    d = devices(m)
    drive = drive_words(unit_of(m))
    memory = device_bytes(m)
    if not is_readable(m, drive):
        end_transfer(m, NO_ADDRESS, 0)
    elif d[drive + PROTECTED]:
        end_transfer(m, PROTECT, 0)
    elif d[SPECIFY2] & NO_DMA or d[DOR] & DMA_GATE == 0 or not is_ready(m, 2, FROM_MEMORY):
        end_transfer(m, OVERRUN, 0)
    else:
        filler = command_byte(m, 5)
        for i in range(4):
            memory[RESULT + 8 + i] = byte_from_memory(m, 2) & 0xFF
        for i in range(SECTOR):
            memory[SECTOR_BUFFER + i] = filler
        memory[COMMAND + 4] = memory[RESULT + 10]
        d[READY_AT] = now(m) + sector_time(m, drive)
        if command_byte(m, 4) == 0 or command_byte(m, 4) > d[drive + TRACK_SECTORS]:
            end_transfer(m, NO_ADDRESS, 0)  # an image has the usual sectors only
        else:
            request(m, REQUEST_WRITE, unit_of(m), sector_number(m, drive))


@core
def sector_formatted(m):
    d = devices(m)
    d[FILLED] = 0
    d[EOT] -= 1
    if d[EOT] == 0:
        end_transfer(m, 0, 0)
    else:
        format_track(m)


@core
def transfer_event(m):
    """The time of a command has come: of a sector under way, or of the beginning."""
    d = devices(m)
    d[TRANSFER_DUE] = NEVER
    code = command_byte(m, 0) & 0x1F
    if code == 10:
        read_id(m)
    elif code == 13:
        if d[FILLED]:
            sector_formatted(m)
        else:
            format_track(m)
    elif d[FILLED]:
        sector_passed(m)
    else:
        drive = drive_words(unit_of(m))
        if d[CONFIGURATION] & IMPLIED_SEEK and d[drive + TRACKS]:
            step_to(m, drive, command_byte(m, 2))
        ask_for_sector(m)


@core
def floppy_event(m):
    """Seeks whose time has come, then the transfer."""
    d = devices(m)
    for i in range(4):
        if d[drive_words(i) + SEEK_DUE] <= now(m):
            end_seek(m, i)
    if d[TRANSFER_DUE] <= now(m):
        transfer_event(m)
    plan(m)


# --- commands ---------------------------------------------------------------------------------


@core
def command_length(code):
    """Bytes of a command, with the one that names it (table 5-1)."""
    low = code & 0x1F
    if low == 6 or low == 5:  # READ DATA and WRITE DATA
        return 9
    if low == 13:  # FORMAT TRACK
        return 6
    if code == 0x13:  # CONFIGURE
        return 4
    if code == 3 or code == 15:  # SPECIFY, SEEK
        return 3
    if code == 4 or code == 7 or code == 0x12 or low == 10:
        return 2  # SENSE DRIVE STATUS, RECALIBRATE, PERPENDICULAR MODE, READ ID
    return 1


@core
def begin_transfer(m, delay):
    """A command that ends with an interrupt and seven bytes."""
    d = devices(m)
    d[PHASE] = EXECUTION
    d[FILLED] = 0
    d[ENDED] = 0
    d[EOT] = command_byte(m, 6)
    if command_byte(m, 0) & 0x1F == 13:
        d[EOT] = max(1, command_byte(m, 3))
    d[TRANSFER_DUE] = now(m) + delay
    plan(m)


@core
def seek_delay(m):
    """For an implied seek."""
    d = devices(m)
    drive = drive_words(unit_of(m))
    if d[CONFIGURATION] & IMPLIED_SEEK == 0:
        return COMMAND_TIME
    steps = steps_to(m, drive, command_byte(m, 2))
    if steps == 0:
        return COMMAND_TIME
    return STEP_TIME * steps + SETTLE_TIME


@core
def sense_drive(m):
    """SENSE DRIVE STATUS: status register 3."""
    d = devices(m)
    drive = drive_words(unit_of(m))
    status = 0x28 | command_byte(m, 1) & 7
    if d[drive + TRACKS] and d[drive + CYLINDER] == 0:
        status |= 0x10
    if d[drive + PROTECTED]:
        status |= 0x40
    give_one(m, status)


@core
def dump_registers(m):
    d = devices(m)
    for i in range(4):
        set_result(m, i, d[drive_words(i) + REPORTED])
    set_result(m, 4, d[SPECIFY1])
    set_result(m, 5, d[SPECIFY2])
    set_result(m, 6, d[EOT])
    set_result(m, 7, d[LOCKED] << 7 | d[PERPENDICULAR] & 0x3F)
    set_result(m, 8, d[CONFIGURATION])
    set_result(m, 9, d[PRECOMPENSATION])
    give(m, 10)


@core
def execute(m):
    """All bytes of a command are there."""
    d = devices(m)
    code = command_byte(m, 0)
    low = code & 0x1F
    give(m, 0)
    if low == 6 or low == 5:
        begin_transfer(m, seek_delay(m))
    elif low == 10 or low == 13:
        begin_transfer(m, sector_time(m, drive_words(unit_of(m))))
    elif code == 3:
        d[SPECIFY1] = command_byte(m, 1)
        d[SPECIFY2] = command_byte(m, 2)
    elif code == 4:
        sense_drive(m)
    elif code == 7:
        seek(m, unit_of(m), TRACK_0)
    elif code == 8:
        sense_interrupt(m)
    elif code == 15:
        seek(m, unit_of(m), command_byte(m, 2))
    elif code == 0x0E:
        dump_registers(m)
    elif code == 0x10:
        give_one(m, VERSION)
    elif code == 0x12:
        d[PERPENDICULAR] = command_byte(m, 1)
    elif code == 0x13:
        d[CONFIGURATION] = command_byte(m, 2)
        d[PRECOMPENSATION] = command_byte(m, 3)
    elif code & 0x7F == 0x14:
        d[LOCKED] = code >> 7
        give_one(m, d[LOCKED] << 4)
    else:
        give_one(m, INVALID)


# --- reset ------------------------------------------------------------------------------------


@core
def stop(m):
    """Whatever goes on ends; what the drives are stays."""
    d = devices(m)
    d[TRANSFER_DUE] = NEVER
    d[REQUEST] = 0
    d[RESETS] = 0
    if d[LOCKED] == 0:
        d[CONFIGURATION] = NO_FIFO
        d[PRECOMPENSATION] = 0
    d[PERPENDICULAR] &= 0x3C
    for i in range(4):
        drive = drive_words(i)
        d[drive + SEEK_DUE] = NEVER
        d[drive + SEEK_STATUS] = 0
        d[drive + REPORTED] = 0
    give(m, 0)
    set_interrupt(m, 0)
    plan(m)


@core
def come_up(m):
    """The end of a reset: the controller polls its drives, and reports them."""
    d = devices(m)
    if d[CONFIGURATION] & NO_POLLING == 0:
        d[RESETS] = 4
        set_interrupt(m, 1)


@core
def floppy_reset(m):
    """Power on or a reset of the board. Which drives are there is Python's to say."""
    d = devices(m)
    for i in range(FLOPPY, DRIVES):
        d[i] = 0
    d[RATE] = RATE_250K
    for i in range(4):
        d[drive_words(i) + CHANGED] = 1
    stop(m)


# --- ports ------------------------------------------------------------------------------------


@core
def dor_write(m, value):
    d = devices(m)
    before = d[DOR]
    d[DOR] = value
    if value & RUNNING == 0:
        stop(m)
    elif before & RUNNING == 0:
        come_up(m)
    update_line(m)


@core
def data_write(m, value):
    d = devices(m)
    if d[PHASE] != IDLE or d[DOR] & RUNNING == 0:
        return
    device_bytes(m)[COMMAND + d[POSITION]] = value
    d[POSITION] += 1
    if d[POSITION] == command_length(command_byte(m, 0)):
        execute(m)


@core
def data_read(m):
    d = devices(m)
    if d[PHASE] != RESULTS:
        return 0
    value = np.uint64(device_bytes(m)[RESULT + d[POSITION]])
    d[POSITION] += 1
    if d[POSITION] == 1 and d[LENGTH] == 7:
        set_interrupt(m, 0)
    if d[POSITION] == d[LENGTH]:
        give(m, 0)
    return value


@core
def main_status(m):
    d = devices(m)
    if d[DOR] & RUNNING == 0:
        return 0
    status = 0
    for i in range(4):
        if d[drive_words(i) + SEEK_DUE] != NEVER:
            status |= 1 << i
    if d[PHASE] == EXECUTION:
        return status | BUSY
    if d[PHASE] == RESULTS:
        return status | RQM | DIO | BUSY
    if d[POSITION]:
        status |= BUSY
    return status | RQM


@core
def disk_changed(m):
    """Bit 7 at 3F7h: the selected drive's change line, while its motor is on."""
    d = devices(m)
    number = d[DOR] & 3
    if d[DOR] >> 4 >> number & 1 == 0:
        return 0
    return d[drive_words(number) + CHANGED] << 7


@core
def floppy_read(m, port):
    if port == DATA_PORT:
        return data_read(m)
    if port == STATUS_PORT:
        return main_status(m)
    if port == DOR_PORT:
        return devices(m)[DOR]
    if port == TAPE_PORT:
        return devices(m)[TAPE]
    return disk_changed(m)


@core
def floppy_write(m, port, value):
    d = devices(m)
    if port == DATA_PORT:
        data_write(m, value)
    elif port == DOR_PORT:
        dor_write(m, value)
    elif port == TAPE_PORT:
        d[TAPE] = value & 3
    else:
        d[RATE] = value & 3  # 3F7h, or 3F4h
        if port == STATUS_PORT and value & 0x80 and d[DOR] & RUNNING:
            stop(m)
            come_up(m)
