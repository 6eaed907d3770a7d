"""Two IDE channels with two hard disks each (ATA-3, X3T10/2008D: registers, section 7; commands,
section 8; protocols, section 9). Data goes through the data port; there is no DMA.

A drive's contents are Python's (disk.py). A command leaves a request there, the machine fetches
or stores up to 16 sectors, and the rest happens here: BSY falls, DRQ rises and the interrupt
comes when the time of the transfer has passed. Simulated times are those of a disk of 1995.
"""

from __future__ import annotations

from ..machine.state.handles import cpu, device_bytes, devices, load_u16, load_u32, store_u16, store_u32
from ..machine.state.jit import core
from ..machine.state.layout import ATTENTION, NEVER, SERVICE, STOP
from .clock import MICROSECOND, now, set_event
from .layout import EVENT_IDE, IDE, IDE_BYTES, IRQ_IDE, SERVICE_IDE
from .pic import set_line

SECTOR = 512
BUFFER = 8192  # bytes a channel
BUFFER_SECTORS = BUFFER // SECTOR
CHANNEL_WORDS = 64

# words of a channel: the registers of the task file ...
SELECT, FEATURES, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, CONTROL = range(7)
# ... the command under way: byte of the buffer that comes next, end of this block of data, end of
# what the buffer holds, sectors to go, the next one's address, sectors a block ...
COMMAND, POSITION, LIMIT, LOADED, LEFT, NEXT, BLOCK = range(7, 14)
DUE, PHASE, INTRQ, READY_AT, FAILURE = range(14, 19)
# ... and what is asked of Python
REQUEST, REQUEST_DRIVE, REQUEST_LBA, REQUEST_COUNT = range(19, 23)
DRIVES = 24
DRIVE_WORDS = 20
# words of a drive; one without sectors is not there
SECTORS, STATUS, ERROR, HEADS, TRACK, MULTIPLE, CACHE, LAST = range(8)

REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH, REQUEST_IDENTIFY = 1, 2, 3, 4
IDLE, DATA_IN, DATA_OUT, NO_DATA, RESETTING = range(5)

BSY, DRDY, DSC, DRQ, ERR = 0x80, 0x40, 0x10, 0x08, 0x01
READY = DRDY | DSC
UNC, IDNF, ABRT = 0x40, 0x10, 0x04
NIEN, SRST = 2, 4
DIAGNOSTICS_PASSED = 1

COMMAND_TIME = 20 * MICROSECOND
SECTOR_TIME = 50 * MICROSECOND  # 10 MB/s
SHORT_SEEK, FULL_STROKE = 1000 * MICROSECOND, 15000 * MICROSECOND
RESET_TIME = 2000 * MICROSECOND


# --- parts ------------------------------------------------------------------------------------


@core
def channel_of(port):
    """The words of the channel that has the port: 1F0h and 3F6h, 170h and 376h."""
    if port & 0x80:
        return IDE
    return IDE + CHANNEL_WORDS


@core
def number_of(channel):
    return (channel - IDE) // CHANNEL_WORDS


@core
def drive_of(m, channel):
    """The words of the selected drive."""
    return channel + DRIVES + DRIVE_WORDS * (devices(m)[channel + SELECT] >> 4 & 1)


@core
def buffer_of(channel):
    return IDE_BYTES + BUFFER * number_of(channel)


@core
def update_line(m, channel):
    d = devices(m)
    level = d[channel + INTRQ]
    if d[channel + CONTROL] & NIEN:
        level = 0
    set_line(m, IRQ_IDE + number_of(channel), level)


@core
def set_interrupt(m, channel, level):
    devices(m)[channel + INTRQ] = level
    update_line(m, channel)


@core
def plan(m, channel, when):
    """Something happens on the channel at a time; both share one source of events."""
    d = devices(m)
    d[channel + DUE] = when
    set_event(m, EVENT_IDE, min(d[IDE + DUE], d[IDE + CHANNEL_WORDS + DUE]))


@core
def request(m, channel, what, lba, count):
    """Ask Python; it answers before the next instruction, the drive acts at READY_AT."""
    c, d = cpu(m), devices(m)
    d[channel + REQUEST] = what
    d[channel + REQUEST_DRIVE] = d[channel + SELECT] >> 4 & 1
    d[channel + REQUEST_LBA] = lba
    d[channel + REQUEST_COUNT] = count
    c[SERVICE] |= SERVICE_IDE
    c[STOP] = 1
    c[ATTENTION] = 1


@core
def seek_time(m, drive, lba):
    """From the last sector touched to this one, and on average half a turn."""
    d = devices(m)
    last = d[drive + LAST]
    if last == lba:
        return 0
    distance = lba - last
    if last > lba:
        distance = last - lba
    return SHORT_SEEK + FULL_STROKE * distance // max(1, d[drive + SECTORS])


# --- addresses --------------------------------------------------------------------------------


@core
def address_given(m, channel):
    """The sector that the task file names; past every disk's end if CHS values are invalid."""
    d = devices(m)
    drive = drive_of(m, channel)
    select = d[channel + SELECT]
    cylinder = d[channel + LBA_HIGH] << 8 | d[channel + LBA_MID]
    if select & 0x40:
        return (select & 15) << 24 | cylinder << 8 | d[channel + LBA_LOW]
    head, sector = select & 15, d[channel + LBA_LOW]
    if sector == 0 or sector > d[drive + TRACK] or head >= d[drive + HEADS]:
        return NEVER
    return (cylinder * d[drive + HEADS] + head) * d[drive + TRACK] + sector - 1


@core
def show_address(m, channel, lba):
    """Put a sector's address into the task file, in the form in use."""
    d = devices(m)
    drive = drive_of(m, channel)
    if lba >= NEVER:
        return
    low, cylinder, head = lba & 0xFF, lba >> 8 & 0xFFFF, lba >> 24 & 15
    if d[channel + SELECT] & 0x40 == 0:
        if d[drive + TRACK] == 0 or d[drive + HEADS] == 0:
            return
        track = lba // d[drive + TRACK]
        low = lba % d[drive + TRACK] + 1
        head = track % d[drive + HEADS]
        cylinder = track // d[drive + HEADS]
    d[channel + LBA_LOW] = low
    d[channel + LBA_MID] = cylinder & 0xFF
    d[channel + LBA_HIGH] = cylinder >> 8 & 0xFF
    d[channel + SELECT] = d[channel + SELECT] & 0xF0 | head


# --- the end of a command ---------------------------------------------------------------------


@core
def finish(m, channel, error):
    """The command is over: with an error, or without (0)."""
    d = devices(m)
    drive = drive_of(m, channel)
    d[drive + STATUS] = READY
    d[drive + ERROR] = error
    if error:
        d[drive + STATUS] = READY | ERR
    d[channel + PHASE] = IDLE
    d[channel + COMMAND] = 0
    d[channel + REQUEST] = 0
    d[channel + FAILURE] = 0


@core
def fail_later(m, channel, error, when):
    d = devices(m)
    d[channel + FAILURE] = error
    d[drive_of(m, channel) + STATUS] = READY & ~DSC | BSY
    plan(m, channel, when)


@core
def abort(m, channel):
    finish(m, channel, ABRT)
    set_interrupt(m, channel, 1)


# --- reading ----------------------------------------------------------------------------------


@core
def fetch(m, channel, when):
    """Fill the buffer with the next sectors; the first block of them is there at a time."""
    d = devices(m)
    drive = drive_of(m, channel)
    lba = d[channel + NEXT]
    d[drive + STATUS] = BSY | READY
    if lba >= d[drive + SECTORS]:
        fail_later(m, channel, IDNF, when)
        return
    count = min(min(d[channel + LEFT], BUFFER_SECTORS), d[drive + SECTORS] - lba)
    d[channel + READY_AT] = when + seek_time(m, drive, lba)
    d[channel + READY_AT] += SECTOR_TIME * min(count, d[channel + BLOCK])
    d[channel + POSITION] = 0
    d[channel + LIMIT] = 0
    request(m, channel, REQUEST_READ, lba, count)
    d[drive + LAST] = lba + count


@core
def offer_block(m, channel):
    """Data for the host: DRQ and an interrupt."""
    d = devices(m)
    d[channel + LIMIT] = min(d[channel + LOADED], d[channel + POSITION] + SECTOR * d[channel + BLOCK])
    d[drive_of(m, channel) + STATUS] = READY | DRQ
    set_interrupt(m, channel, 1)


@core
def block_taken(m, channel):
    """The host has read a block to its end."""
    d = devices(m)
    drive = drive_of(m, channel)
    end = d[channel + LIMIT] // SECTOR
    sectors = end - (end - 1) // d[channel + BLOCK] * d[channel + BLOCK]
    d[channel + LEFT] -= sectors
    if d[channel + COMMAND] == 0xEC:
        finish(m, channel, 0)
        return
    d[channel + NEXT] += sectors
    d[channel + COUNT] = d[channel + LEFT] & 0xFF
    show_address(m, channel, d[channel + NEXT] - 1)
    if d[channel + LEFT] == 0:
        finish(m, channel, 0)
    elif d[channel + POSITION] < d[channel + LOADED]:
        d[drive + STATUS] = BSY | READY
        plan(m, channel, now(m) + SECTOR_TIME * sectors)
    else:
        fetch(m, channel, now(m))


# --- writing ----------------------------------------------------------------------------------


@core
def want_block(m, channel):
    """Room for the next block: DRQ; the interrupt is the caller's matter."""
    d = devices(m)
    drive = drive_of(m, channel)
    count = min(d[channel + BLOCK], d[channel + LEFT])
    if d[channel + NEXT] >= d[drive + SECTORS]:
        finish(m, channel, IDNF)
        show_address(m, channel, d[channel + NEXT])
        return 0
    d[channel + POSITION] = 0
    d[channel + LIMIT] = SECTOR * min(count, d[drive + SECTORS] - d[channel + NEXT])
    d[drive + STATUS] = READY | DRQ
    return 1


@core
def block_given(m, channel):
    """The host has written a block to its end."""
    d = devices(m)
    drive = drive_of(m, channel)
    count = d[channel + LIMIT] // SECTOR
    lba = d[channel + NEXT]
    d[drive + STATUS] = BSY | READY
    d[channel + READY_AT] = now(m) + SECTOR_TIME * count
    if d[drive + CACHE] == 0:
        d[channel + READY_AT] += seek_time(m, drive, lba)
    request(m, channel, REQUEST_WRITE, lba, count)
    d[drive + LAST] = lba + count


@core
def block_stored(m, channel):
    d = devices(m)
    count = d[channel + LIMIT] // SECTOR
    d[channel + LEFT] -= count
    d[channel + NEXT] += count
    d[channel + COUNT] = d[channel + LEFT] & 0xFF
    show_address(m, channel, d[channel + NEXT] - 1)
    if d[channel + LEFT] == 0:
        finish(m, channel, 0)
    else:
        want_block(m, channel)
    set_interrupt(m, channel, 1)


# --- commands ---------------------------------------------------------------------------------


@core
def begin_transfer(m, channel, command, block):
    """READ or WRITE SECTORS or MULTIPLE, READ VERIFY."""
    d = devices(m)
    drive = drive_of(m, channel)
    d[channel + BLOCK] = block
    d[channel + NEXT] = address_given(m, channel)
    d[channel + LEFT] = d[channel + COUNT]
    if d[channel + COUNT] == 0:
        d[channel + LEFT] = 256
    start = now(m) + COMMAND_TIME
    if command == 0x20 or command == 0xC4:
        d[channel + PHASE] = DATA_IN
        fetch(m, channel, start)
    elif command == 0x30:
        d[channel + PHASE] = DATA_OUT
        d[channel + LIMIT] = 0
        plan(m, channel, start)
    else:
        lba, count = d[channel + NEXT], d[channel + LEFT]
        d[channel + PHASE] = NO_DATA
        if lba >= d[drive + SECTORS] or lba + count > d[drive + SECTORS]:
            d[channel + NEXT] = max(lba, d[drive + SECTORS])
            fail_later(m, channel, IDNF, start)
        else:
            plan(m, channel, start + seek_time(m, drive, lba) + SECTOR_TIME * count)
            d[drive + LAST] = lba + count


@core
def begin_seek(m, channel):
    d = devices(m)
    drive = drive_of(m, channel)
    lba = address_given(m, channel)
    d[channel + PHASE] = NO_DATA
    if lba >= d[drive + SECTORS]:
        d[channel + NEXT] = lba
        fail_later(m, channel, IDNF, now(m) + COMMAND_TIME)
        return
    plan(m, channel, now(m) + COMMAND_TIME + seek_time(m, drive, lba))
    d[drive + LAST] = lba


@core
def set_multiple(m, channel):
    """SET MULTIPLE MODE: a power of two up to the buffer's size, or 0 for none."""
    d = devices(m)
    count = d[channel + COUNT]
    if count > BUFFER_SECTORS or count & (count - 1):
        return 0
    d[drive_of(m, channel) + MULTIPLE] = count
    return 1


@core
def set_features(m, channel):
    """SET FEATURES: what it returns is whether the drive can do it."""
    d = devices(m)
    feature = d[channel + FEATURES]
    if feature == 0x02:
        d[drive_of(m, channel) + CACHE] = 1
    elif feature == 0x82:
        d[drive_of(m, channel) + CACHE] = 0
        request(m, channel, REQUEST_FLUSH, 0, 0)
        d[channel + READY_AT] = now(m) + SHORT_SEEK
    elif feature == 0x03:
        return d[channel + COUNT] <= 1 or d[channel + COUNT] & 0xF8 == 8 and d[channel + COUNT] <= 12
    else:  # read look-ahead, and the defaults after a reset, have no effect here
        return feature == 0x55 or feature == 0xAA or feature == 0x66 or feature == 0xCC
    return True


@core
def initialize_parameters(m, channel):
    """INITIALIZE DEVICE PARAMETERS: how CHS addresses count."""
    d = devices(m)
    drive = drive_of(m, channel)
    if d[channel + COUNT] == 0:
        return 0
    d[drive + HEADS] = (d[channel + SELECT] & 15) + 1
    d[drive + TRACK] = d[channel + COUNT]
    return 1


@core
def accepted(m, channel, command):
    """Commands without data; whether the drive knows this one and its operands are right."""
    d = devices(m)
    if command >> 4 == 1:  # RECALIBRATE
        d[drive_of(m, channel) + LAST] = 0
        return True
    if command == 0x91:
        return initialize_parameters(m, channel) != 0
    if command == 0xC6:
        return set_multiple(m, channel) != 0
    if command == 0xEF:
        return set_features(m, channel)
    if command == 0xE7 or command == 0xE0 or command == 0xE2 or command == 0x94 or command == 0x96:
        request(m, channel, REQUEST_FLUSH, 0, 0)  # FLUSH CACHE, STANDBY
        d[channel + READY_AT] = now(m) + SHORT_SEEK
        return True
    if command == 0xE5 or command == 0x98:  # CHECK POWER MODE: active
        d[channel + COUNT] = 0xFF
        return True
    # IDLE and SLEEP, by their old codes and the new ones
    if command == 0x95 or command == 0x97 or command == 0x99:
        return True
    return command == 0xE1 or command == 0xE3 or command == 0xE6


@core
def begin(m, channel, command):
    """A command for the selected drive."""
    d = devices(m)
    drive = drive_of(m, channel)
    d[channel + COMMAND] = command
    d[channel + FAILURE] = 0
    d[drive + ERROR] = 0
    d[drive + STATUS] = BSY | READY
    if command == 0x20 or command == 0x21:
        begin_transfer(m, channel, 0x20, 1)
    elif command == 0x30 or command == 0x31 or command == 0x3C:
        begin_transfer(m, channel, 0x30, 1)
    elif command == 0x40 or command == 0x41:
        begin_transfer(m, channel, 0x40, 1)
    elif (command == 0xC4 or command == 0xC5) and d[drive + MULTIPLE]:
        begin_transfer(m, channel, 0x20 + (command & 1) * 0x10, d[drive + MULTIPLE])
    elif command >> 4 == 7:
        begin_seek(m, channel)
    elif command == 0xEC:
        d[channel + PHASE] = DATA_IN
        d[channel + BLOCK] = 1
        d[channel + LEFT] = 1
        d[channel + POSITION] = 0
        d[channel + LIMIT] = 0
        d[channel + READY_AT] = now(m) + COMMAND_TIME
        request(m, channel, REQUEST_IDENTIFY, 0, 0)
    elif command == 0x90:
        begin_reset(m, channel, now(m) + COMMAND_TIME)
    elif accepted(m, channel, command):
        d[channel + PHASE] = NO_DATA
        if d[channel + REQUEST] == 0:
            plan(m, channel, now(m) + COMMAND_TIME)
    else:
        abort(m, channel)


@core
def python_done(m, channel, error):
    """What was asked of Python is done: the drive goes on when the time has come."""
    d = devices(m)
    what = d[channel + REQUEST]
    d[channel + REQUEST] = 0
    if what == 0:
        return
    d[channel + LOADED] = SECTOR
    if what == REQUEST_READ:
        d[channel + LOADED] = SECTOR * d[channel + REQUEST_COUNT]
    d[channel + FAILURE] = error
    plan(m, channel, max(d[channel + READY_AT], now(m)))


@core
def channel_event(m, channel):
    """The drive's time has come."""
    d = devices(m)
    phase = d[channel + PHASE]
    if phase == RESETTING:
        end_reset(m, channel)
    elif d[channel + FAILURE]:
        lba = d[channel + NEXT]
        transfer = phase != NO_DATA or d[channel + FAILURE] == IDNF
        finish(m, channel, d[channel + FAILURE])
        if transfer:
            show_address(m, channel, lba)
        set_interrupt(m, channel, 1)
    elif phase == DATA_IN:
        offer_block(m, channel)
    elif phase == DATA_OUT and d[channel + LIMIT]:
        block_stored(m, channel)
    elif phase == DATA_OUT:
        if want_block(m, channel) == 0:
            set_interrupt(m, channel, 1)
    elif phase == NO_DATA:
        if d[channel + COMMAND] & 0xFE == 0x40:
            d[channel + COUNT] = 0
            show_address(m, channel, d[channel + NEXT] + d[channel + LEFT] - 1)
        finish(m, channel, 0)
        set_interrupt(m, channel, 1)


@core
def ide_event(m):
    """The channels whose time it is, the first before the second."""
    d = devices(m)
    for i in range(2):
        channel = IDE + CHANNEL_WORDS * i
        if d[channel + DUE] <= now(m):
            d[channel + DUE] = NEVER
            channel_event(m, channel)
    set_event(m, EVENT_IDE, min(d[IDE + DUE], d[IDE + CHANNEL_WORDS + DUE]))


# --- reset ------------------------------------------------------------------------------------


@core
def begin_reset(m, channel, when):
    """Both drives are busy with themselves until a time."""
    d = devices(m)
    d[channel + PHASE] = RESETTING
    d[channel + REQUEST] = 0
    d[channel + FAILURE] = 0
    for i in range(2):
        d[channel + DRIVES + DRIVE_WORDS * i + STATUS] = BSY
    set_interrupt(m, channel, 0)
    plan(m, channel, when)


@core
def end_reset(m, channel):
    """The signature of a hard disk, and the result of the diagnostics (section 9.1)."""
    d = devices(m)
    command = d[channel + COMMAND]
    d[channel + SELECT] = 0xA0
    d[channel + COUNT] = 1
    d[channel + LBA_LOW] = 1
    d[channel + LBA_MID] = 0
    d[channel + LBA_HIGH] = 0
    d[channel + PHASE] = IDLE
    d[channel + COMMAND] = 0
    for i in range(2):
        drive = channel + DRIVES + DRIVE_WORDS * i
        d[drive + STATUS] = READY
        d[drive + ERROR] = DIAGNOSTICS_PASSED
    if command == 0x90:
        set_interrupt(m, channel, 1)


@core
def ide_reset(m):
    """Power on or a reset of the board. Which disks are there is Python's to say."""
    d = devices(m)
    for i in range(2):
        channel = IDE + CHANNEL_WORDS * i
        for j in range(DRIVES):
            d[channel + j] = 0
        d[channel + DUE] = NEVER
        set_interrupt(m, channel, 0)
        end_reset(m, channel)


# --- ports ------------------------------------------------------------------------------------


@core
def next_bytes(m, channel, size):
    """Where the next data lies, if DRQ is on; else no place."""
    d = devices(m)
    place = d[channel + POSITION]
    if d[drive_of(m, channel) + STATUS] & DRQ == 0 or place + size > d[channel + LIMIT]:
        return NEVER
    d[channel + POSITION] = place + size
    return buffer_of(channel) + place


@core
def data_read(m, channel, size):
    place = next_bytes(m, channel, size)
    if place == NEVER:
        return 0
    memory = device_bytes(m)
    if size == 2:
        value = load_u16(memory, place)
    elif size == 4:
        value = load_u32(memory, place)
    else:
        value = 0 + memory[place]
    d = devices(m)
    if d[channel + POSITION] == d[channel + LIMIT] and d[channel + PHASE] == DATA_IN:
        block_taken(m, channel)
    return value


@core
def data_write(m, channel, size, value):
    d = devices(m)
    if d[channel + PHASE] != DATA_OUT:
        return
    place = next_bytes(m, channel, size)
    if place == NEVER:
        return
    memory = device_bytes(m)
    if size == 2:
        store_u16(memory, place, value)
    elif size == 4:
        store_u32(memory, place, value)
    else:
        memory[place] = value
    if d[channel + POSITION] == d[channel + LIMIT]:
        block_given(m, channel)


@core
def status_of(m, channel):
    """A drive that is not there answers with zeros."""
    drive = drive_of(m, channel)
    if devices(m)[drive + SECTORS] == 0:
        return 0
    return devices(m)[drive + STATUS]


@core
def register_read(m, port):
    d = devices(m)
    channel = channel_of(port)
    if d[channel + DRIVES + SECTORS] | d[channel + DRIVES + DRIVE_WORDS + SECTORS] == 0:
        return 0  # nobody is there
    if port & 0x200:
        return status_of(m, channel)
    register = port & 7
    if register == 1:
        return d[drive_of(m, channel) + ERROR]
    if register == 7:
        set_interrupt(m, channel, 0)
        return status_of(m, channel)
    if register == 6:
        return d[channel + SELECT] | 0xA0
    return d[channel + COUNT + register - 2]


@core
def control_write(m, channel, value):
    """Device control: interrupts off, software reset while bit 2 is on."""
    d = devices(m)
    before = d[channel + CONTROL]
    d[channel + CONTROL] = value
    if value & SRST:
        begin_reset(m, channel, NEVER)
        d[channel + COMMAND] = 0
    elif before & SRST:
        begin_reset(m, channel, now(m) + RESET_TIME)
    update_line(m, channel)


@core
def register_write(m, port, value):
    d = devices(m)
    channel = channel_of(port)
    if port & 0x200:
        control_write(m, channel, value)
        return
    if d[drive_of(m, channel) + STATUS] & (BSY | DRQ):
        return  # not the time for it
    register = port & 7
    if register == 1:
        d[channel + FEATURES] = value
    elif register == 6:
        d[channel + SELECT] = value | 0xA0
    elif register == 7:
        set_interrupt(m, channel, 0)
        if d[drive_of(m, channel) + SECTORS] or value == 0x90:
            begin(m, channel, value)
    else:
        d[channel + COUNT + register - 2] = value


@core
def ide_read(m, port, size):
    """The data port takes 1, 2 or 4 bytes at once; the other registers are bytes."""
    if port & 0x207 == 0:
        return data_read(m, channel_of(port), size)
    return register_read(m, port)


@core
def ide_write(m, port, size, value):
    if port & 0x207 == 0:
        data_write(m, channel_of(port), size, value)
    else:
        register_write(m, port, value & 0xFF)
