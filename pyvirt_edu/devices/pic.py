"""Two 8259A interrupt controllers, the second behind input 2 of the first (Intel 8259A data
sheet, order number 231468; ELCR: 82371SB data sheet, section 2.5.2).

A chip compares requests (IRR) that are not masked (IMR) with what is in service (ISR). What
wins drives the processor's INTR pin; when the processor acknowledges, the winner's vector is
computed, so a request that went away meanwhile gives the spurious interrupt 7.
"""

from __future__ import annotations

from ..machine.state.handles import call_unit, cpu, devices
from ..machine.state.jit import UNIT_DEVICES, core
from ..machine.state.layout import ATTENTION, INTERRUPT_PIN
from .layout import OP_SET_LINE, PIC

# words of one chip; the slave's follow the master's
LINES, IRR, IMR, ISR, VECTOR, ICW3, STEP, SINGLE, NEED_ICW4, LEVEL, AUTO_EOI, ROTATE = range(12)
NESTED, SPECIAL_MASK, READ_ISR, POLL, LOWEST, ELCR = range(12, 18)
CHIP_WORDS = 18
MASTER, SLAVE = PIC, PIC + CHIP_WORDS
CASCADE = 2
SPURIOUS = 7


@core
def level_inputs(m, chip):
    """Inputs that ask for as long as they are high, as a mask."""
    d = devices(m)
    if d[chip + LEVEL]:
        return 0xFF
    return d[chip + ELCR]


@core
def winner(m, chip):
    """The request that may interrupt now, plus 1; 0 if there is none."""
    d = devices(m)
    asking = d[chip + IRR] & ~d[chip + IMR]
    serving = d[chip + ISR]
    if d[chip + SPECIAL_MASK]:
        serving &= ~d[chip + IMR]
    for i in range(8):
        input_ = (d[chip + LOWEST] + 1 + i) & 7
        bit = 1 << input_
        if serving & bit:
            if chip == MASTER and input_ == CASCADE and d[chip + NESTED] and asking & bit:
                return input_ + 1  # special fully nested mode: the slave may have something better
            return 0
        if asking & bit:
            return input_ + 1
    return 0


@core
def set_input(m, chip, input_, level):
    """One input goes high or low."""
    d = devices(m)
    bit = 1 << input_
    rising = level != 0 and d[chip + LINES] & bit == 0
    if level:
        d[chip + LINES] |= bit
        if rising or level_inputs(m, chip) & bit:
            d[chip + IRR] |= bit
    else:
        d[chip + LINES] &= ~bit
        d[chip + IRR] &= ~bit  # the request must last until it is acknowledged


@core
def update(m):
    """Pass the slave's output to the master and the master's to the processor."""
    c = cpu(m)
    set_input(m, MASTER, CASCADE, winner(m, SLAVE))
    pin = 0
    if winner(m, MASTER):
        pin = 1
        c[ATTENTION] = 1
    c[INTERRUPT_PIN] = pin


@core
def set_line(m, line, level):
    """An interrupt request line of the PC, 0 to 15, goes high or low."""
    if line < 8:
        set_input(m, MASTER, line, level)
    else:
        set_input(m, SLAVE, line - 8, level)
    update(m)


@core
def drive_line(m, line, level):
    """The same for a chip that often drives the level that is there already."""
    d = devices(m)
    lines = d[MASTER + LINES] | d[SLAVE + LINES] << 8
    if lines >> line & 1 != level:
        call_unit(m, UNIT_DEVICES, OP_SET_LINE, line, level)


@core
def take(m, chip, input_):
    """The processor has acknowledged a request; INT falls, and rises again if there is more."""
    d = devices(m)
    if chip == SLAVE:
        set_input(m, MASTER, CASCADE, 0)
    bit = 1 << input_
    if level_inputs(m, chip) & bit == 0:
        d[chip + IRR] &= ~bit
    if d[chip + AUTO_EOI] == 0:
        d[chip + ISR] |= bit
    elif d[chip + ROTATE]:
        d[chip + LOWEST] = input_


@core
def acknowledge_chip(m, chip):
    """The vector that a chip puts on the bus."""
    found = winner(m, chip)
    if found == 0:
        return devices(m)[chip + VECTOR] | SPURIOUS
    take(m, chip, found - 1)
    return devices(m)[chip + VECTOR] | (found - 1)


@core
def acknowledge(m):
    """INTA: the vector of the interrupt that the processor takes now."""
    d = devices(m)
    vector = acknowledge_chip(m, MASTER)
    if vector == d[MASTER + VECTOR] | CASCADE and d[MASTER + SINGLE] == 0:
        vector = acknowledge_chip(m, SLAVE)
    update(m)
    return vector


@core
def highest_in_service(m, chip):
    """What an end of interrupt without a number ends, plus 1."""
    d = devices(m)
    serving = d[chip + ISR]
    if d[chip + SPECIAL_MASK]:
        serving &= ~d[chip + IMR]
    for i in range(8):
        input_ = (d[chip + LOWEST] + 1 + i) & 7
        if serving >> input_ & 1:
            return input_ + 1
    return 0


@core
def initialize(m, chip, value):
    """ICW1 starts the initialization sequence; inputs must rise again to ask."""
    d = devices(m)
    d[chip + LEVEL] = value >> 3 & 1
    d[chip + IRR] = d[chip + LINES] & level_inputs(m, chip)
    d[chip + IMR] = 0
    d[chip + ISR] = 0
    d[chip + LOWEST] = 7
    d[chip + SPECIAL_MASK] = 0
    d[chip + READ_ISR] = 0
    d[chip + POLL] = 0
    d[chip + ROTATE] = 0
    d[chip + AUTO_EOI] = 0
    d[chip + NESTED] = 0
    d[chip + NEED_ICW4] = value & 1
    d[chip + SINGLE] = value >> 1 & 1
    d[chip + STEP] = 2


@core
def operation_command(m, chip, value):
    """OCW2: end of interrupt and rotation of priorities."""
    d = devices(m)
    command, level = value >> 5, value & 7
    if command == 0 or command == 4:
        d[chip + ROTATE] = command >> 2
    elif command == 6:
        d[chip + LOWEST] = level
    elif command & 1:
        ended = level + 1
        if command & 2 == 0:
            ended = highest_in_service(m, chip)
        if ended:
            d[chip + ISR] &= ~(1 << (ended - 1))
            if command & 4:
                d[chip + LOWEST] = ended - 1


@core
def write_command(m, chip, value):
    """The register at the even port: ICW1, OCW2, OCW3."""
    d = devices(m)
    if value & 0x10:
        initialize(m, chip, value)
    elif value & 8:
        if value & 4:
            d[chip + POLL] = 1
        if value & 2:
            d[chip + READ_ISR] = value & 1
        if value & 0x40:
            d[chip + SPECIAL_MASK] = value >> 5 & 1
    else:
        operation_command(m, chip, value)


@core
def write_data(m, chip, value):
    """The register at the odd port: ICW2 to ICW4 in their turn, else the mask."""
    d = devices(m)
    step = d[chip + STEP]
    if step == 0:
        d[chip + IMR] = value
    elif step == 2:
        d[chip + VECTOR] = value & 0xF8
        d[chip + STEP] = 3
        if d[chip + SINGLE]:
            d[chip + STEP] = 4
    elif step == 3:
        d[chip + ICW3] = value
        d[chip + STEP] = 4
    else:
        d[chip + NESTED] = value >> 4 & 1
        d[chip + AUTO_EOI] = value >> 1 & 1
        d[chip + STEP] = 0
    if d[chip + STEP] == 4 and d[chip + NEED_ICW4] == 0:
        d[chip + STEP] = 0


@core
def chip_of(port):
    if port & 0x80:
        return SLAVE
    return MASTER


@core
def pic_write(m, port, value):
    d = devices(m)
    if port == 0x4D0:
        d[MASTER + ELCR] = value & 0xF8  # the timer, the keyboard and the cascade are edges
        d[MASTER + IRR] |= d[MASTER + LINES] & d[MASTER + ELCR]
    elif port == 0x4D1:
        d[SLAVE + ELCR] = value & 0xDE  # so are the clock and the x87
        d[SLAVE + IRR] |= d[SLAVE + LINES] & d[SLAVE + ELCR]
    elif port & 1:
        write_data(m, chip_of(port), value)
    else:
        write_command(m, chip_of(port), value)
    update(m)


@core
def pic_read(m, port):
    d = devices(m)
    if port == 0x4D0:
        return d[MASTER + ELCR]
    if port == 0x4D1:
        return d[SLAVE + ELCR]
    chip = chip_of(port)
    if d[chip + POLL]:
        d[chip + POLL] = 0
        found = winner(m, chip)
        if found == 0:
            return 0
        take(m, chip, found - 1)
        update(m)
        return 0x80 | (found - 1)
    if port & 1:
        return d[chip + IMR]
    if d[chip + READ_ISR]:
        return d[chip + ISR]
    return d[chip + IRR]


@core
def pic_reset(m):
    """Nothing gets through before the firmware has initialized the chips. The levels of the
    inputs are the devices' matter."""
    d = devices(m)
    for i in range(2 * CHIP_WORDS):
        if i % CHIP_WORDS != LINES:
            d[PIC + i] = 0
    d[MASTER + IMR] = 0xFF
    d[SLAVE + IMR] = 0xFF
    d[MASTER + LOWEST] = 7
    d[SLAVE + LOWEST] = 7
    update(m)
