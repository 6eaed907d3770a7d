"""A network card of the NE2000 kind, as the RTL8029 on PCI has it: an 8390 controller with 16 KiB
of packet memory (DP8390D data sheet: registers, section 10; DMA, sections 7 to 9).

The first 16 ports are the controller's, those from 10h on the data port of remote DMA, those from
18h on the reset port. Card memory is at 4000h, the PROM with the address at 0. Frames on their
way in or out lie in slots of 2 KiB; network.py is at the other end.
"""

from __future__ import annotations

from ..machine.state.handles import cpu, device_bytes, devices
from ..machine.state.jit import core
from ..machine.state.layout import ATTENTION, NEVER, SERVICE, STOP
from .clock import MICROSECOND, now, set_event
from .layout import EVENT_NIC, NIC, NIC_BYTES, SERVICE_NIC
from .pci import set_network_interrupt

# registers, as words
CR, PSTART, PSTOP, BNRY, TPSR, TBCR, ISR, RSAR, RBCR, RCR, TCR, DCR, IMR = range(NIC, NIC + 13)
TSR, RSR, CURR, CLDA, CRC_ERRORS, MISSED, FIFO_COUNT = range(NIC + 13, NIC + 20)
ADDRESS = NIC + 20  # PAR0 to PAR5
MULTICAST = NIC + 26  # MAR0 to MAR7
FIFO = NIC + 34  # 8 bytes, after a loopback
TX_DUE, RX_DUE, RX_FIRST, RX_COUNT, TX_LENGTH, SENDING = range(NIC + 44, NIC + 50)
RX_LENGTHS = NIC + 52  # one a slot

PROM_SIZE = 32
MEMORY_START, MEMORY_END = 0x4000, 0x8000
SLOT = 2048
RX_SLOTS = 7
TX_PLACE = NIC_BYTES + 0x8000
RX_PLACE = TX_PLACE + SLOT
SHORTEST, LONGEST = 60, 1514

STP, STA, TXP, ABORT_DMA = 1, 2, 4, 0x20
I_PRX, I_PTX, I_RXE, I_TXE, I_OVW, I_CNT, I_RDC, I_RST = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80
AR, AB, AM, PRO, MON = 2, 4, 8, 0x10, 0x20  # receive configuration
INHIBIT_CRC = 1
WORDS = 1
BYTE_TIME = 4 * MICROSECOND // 5  # 10 Mbit/s
GAP = 20  # preamble and gap between frames, in bytes


@core
def update_interrupt(m):
    d = devices(m)
    level = 0
    if d[ISR] & d[IMR] & 0x7F:
        level = 1
    set_network_interrupt(m, level)


@core
def note(m, bits):
    devices(m)[ISR] |= bits
    update_interrupt(m)


@core
def nic_reset(m):
    """Section 11: the commands stop and interrupts are masked; the rest keeps its value."""
    d = devices(m)
    d[CR] = STP | ABORT_DMA
    d[ISR] = I_RST
    d[IMR] = 0
    d[TCR] = 0
    d[DCR] = 4
    d[TX_DUE] = NEVER
    d[SENDING] = 0
    if d[RX_COUNT] == 0:
        d[RX_DUE] = NEVER
    plan(m)
    update_interrupt(m)


@core
def plan(m):
    d = devices(m)
    set_event(m, EVENT_NIC, min(d[TX_DUE], d[RX_DUE]))


# --- card memory ------------------------------------------------------------------------------


@core
def card_byte(m, address):
    if address < PROM_SIZE or address >= MEMORY_START and address < MEMORY_END:
        return 0 + device_bytes(m)[NIC_BYTES + address]
    return 0xFF


@core
def set_card_byte(m, address, value):
    if address >= MEMORY_START and address < MEMORY_END:
        device_bytes(m)[NIC_BYTES + address] = value


@core
def count_data(m):
    """One byte of remote DMA has passed: the address wraps at the end of the ring."""
    d = devices(m)
    d[RSAR] = (d[RSAR] + 1) & 0xFFFF
    if d[RSAR] == d[PSTOP] << 8:
        d[RSAR] = d[PSTART] << 8
    if d[RBCR]:
        d[RBCR] -= 1


@core
def data_width(m, size):
    """Bytes that an access to the data port takes from the card: in word mode a pair even if the
    processor wants the low one only, as drivers do that read the PROM's doubled bytes."""
    if devices(m)[DCR] & WORDS:
        return max(size, 2)
    return 1


@core
def data_read(m, size):
    d = devices(m)
    if d[CR] >> 3 & 7 != 1 and d[CR] >> 3 & 7 != 3 or d[RBCR] == 0:
        return 0
    value = 0
    for i in range(data_width(m, size)):
        if i < size:
            value |= card_byte(m, d[RSAR]) << 8 * i
        count_data(m)
    if d[RBCR] == 0:
        note(m, I_RDC)
    return value


@core
def data_write(m, size, value):
    d = devices(m)
    if d[CR] >> 3 & 7 != 2 or d[RBCR] == 0:
        return
    for i in range(data_width(m, size)):
        set_card_byte(m, d[RSAR], value >> 8 * i & 0xFF)
        count_data(m)
    if d[RBCR] == 0:
        note(m, I_RDC)


# --- frames -----------------------------------------------------------------------------------


@core
def crc_of(m, place, length):
    """The check sum of IEEE 802.3 over bytes of the devices, not yet complemented."""
    memory = device_bytes(m)
    crc = 0xFFFFFFFF
    for i in range(length):
        crc ^= 0 + memory[place + i]
        for _ in range(8):
            if crc & 1:
                crc = crc >> 1 ^ 0xEDB88320
            else:
                crc >>= 1
    return crc


@core
def is_wanted(m, place):
    """The receive filter (section 5, address recognition). Returns the bits of RSR, or 0."""
    d, memory = devices(m), device_bytes(m)
    if memory[place] & 1:
        broadcast = 1
        for i in range(6):
            if memory[place + i] != 0xFF:
                broadcast = 0
        if broadcast and d[RCR] & AB:
            return 0x21
        if broadcast == 0 and d[RCR] & AM:
            low = crc_of(m, place, 6)
            index = 0
            for i in range(6):
                index |= (low >> i & 1) << (5 - i)
            if d[MULTICAST + (index >> 3)] >> (index & 7) & 1:
                return 0x21
    else:
        mine = 1
        for i in range(6):
            if 0 + memory[place + i] != d[ADDRESS + i]:
                mine = 0
        if mine:
            return 0x01
    if d[RCR] & PRO:
        return 0x01 | (0 + memory[place] & 1) << 5
    return 0


@core
def store_frame(m, place, length, status):
    """A frame with its header into the ring; without room it is lost (section 7, overflow)."""
    d = devices(m)
    total = length + 8  # with the header and the check sum
    pages = total + 255 >> 8
    ring = d[PSTOP] - d[PSTART]
    room = ring - (d[CURR] - d[BNRY])
    if d[BNRY] > d[CURR]:
        room = d[BNRY] - d[CURR]
    if d[PSTOP] <= d[PSTART] or pages >= room or d[CURR] < d[PSTART] or d[CURR] >= d[PSTOP]:
        d[MISSED] = min(d[MISSED] + 1, 0xFF)
        note(m, I_OVW)
        return
    next_page = d[CURR] + pages
    if next_page >= d[PSTOP]:
        next_page -= ring
    crc = crc_of(m, place, length) ^ 0xFFFFFFFF
    header = status | next_page << 8 | (length + 4) << 16
    address = d[CURR] << 8
    for i in range(total):
        if i < 4:
            byte = header >> 8 * i
        elif i < length + 4:
            byte = 0 + device_bytes(m)[place + i - 4]
        else:
            byte = crc >> 8 * (i - length - 4)
        set_card_byte(m, address, byte & 0xFF)
        address += 1
        if address == d[PSTOP] << 8:
            address = d[PSTART] << 8
    d[CURR] = next_page
    d[CLDA] = address
    d[RSR] = status
    note(m, I_PRX)


@core
def receive(m, place, length):
    """A frame comes from the wire."""
    d = devices(m)
    if d[CR] & STP or d[TCR] >> 1 & 3 or length < SHORTEST and d[RCR] & AR == 0:
        return
    status = is_wanted(m, place)
    if status == 0:
        return
    if d[RCR] & MON:  # looked at, not stored
        d[RSR] = status & ~1 | 0x40
        d[MISSED] = min(d[MISSED] + 1, 0xFF)
        return
    store_frame(m, place, length, status)


@core
def frame_in(m, length):
    """Python has put a frame into the next free slot: it arrives when it has been sent."""
    d = devices(m)
    if d[RX_COUNT] == RX_SLOTS:
        return
    d[RX_LENGTHS + (d[RX_FIRST] + d[RX_COUNT]) % RX_SLOTS] = length
    d[RX_COUNT] += 1
    if d[RX_COUNT] == 1:
        start = now(m)
        if d[TX_DUE] != NEVER:
            start = d[TX_DUE]  # the wire is taken
        d[RX_DUE] = start + BYTE_TIME * (length + GAP)
        plan(m)


@core
def put_bytes(m, offset, eight):
    """Bytes of a frame from outside, for the next free slot."""
    d = devices(m)
    if d[RX_COUNT] == RX_SLOTS:
        return
    place = RX_PLACE + SLOT * ((d[RX_FIRST] + d[RX_COUNT]) % RX_SLOTS) + offset
    for i in range(8):
        device_bytes(m)[place + i] = eight >> 8 * i & 0xFF


@core
def transmit(m):
    """Take the frame from card memory; Python gets it, unless it is a loopback."""
    c, d = cpu(m), devices(m)
    length = min(d[TBCR], SLOT)
    for i in range(length):
        device_bytes(m)[TX_PLACE + i] = card_byte(m, ((d[TPSR] << 8) + i) & 0xFFFF)
    d[TX_LENGTH] = length
    d[TSR] = 0
    if d[TCR] >> 1 & 3 or length == 0:
        loop_back(m, length)
        sent(m)
        return
    d[SENDING] = 1
    c[SERVICE] |= SERVICE_NIC
    c[STOP] = 1
    c[ATTENTION] = 1


@core
def loop_back(m, length):
    """Section 12: the frame goes through the receiver, the FIFO keeps its end, not the ring."""
    d = devices(m)
    crc = crc_of(m, TX_PLACE, length) ^ 0xFFFFFFFF
    total = length
    if d[TCR] & INHIBIT_CRC == 0:
        total += 4
    for i in range(8):
        place = total + i - 8  # wraps below the beginning: then it is no byte of the frame
        byte = 0
        if place < length:
            byte = 0 + device_bytes(m)[TX_PLACE + place]
        elif place < total:
            byte = crc >> 8 * (place - length) & 0xFF
        d[FIFO + i] = byte
    d[FIFO_COUNT] = 0
    d[RSR] = 0x01


@core
def sent(m):
    """The wire has the frame; the controller says so when its last bit has gone."""
    d = devices(m)
    d[SENDING] = 0
    d[TX_DUE] = now(m) + BYTE_TIME * (max(d[TX_LENGTH], SHORTEST) + GAP)
    plan(m)


@core
def nic_event(m):
    d = devices(m)
    time = now(m)
    if d[TX_DUE] <= time:
        d[TX_DUE] = NEVER
        d[CR] &= ~TXP
        d[TSR] = 1
        note(m, I_PTX)
    if d[RX_DUE] <= time:
        d[RX_DUE] = NEVER
        slot = d[RX_FIRST]
        receive(m, RX_PLACE + SLOT * slot, d[RX_LENGTHS + slot])
        d[RX_FIRST] = (slot + 1) % RX_SLOTS
        d[RX_COUNT] -= 1
        if d[RX_COUNT]:
            d[RX_DUE] = time + BYTE_TIME * (d[RX_LENGTHS + d[RX_FIRST]] + GAP)
    plan(m)


# --- registers --------------------------------------------------------------------------------


@core
def write_command(m, value):
    d = devices(m)
    was_sending = d[CR] & TXP
    d[CR] = value & ~TXP | was_sending
    if value & STP == 0:
        d[ISR] &= ~I_RST
    else:
        d[ISR] |= I_RST
    if value >> 3 & 7 == 3:  # send packet: the next one of the ring, by its header
        d[RSAR] = d[BNRY] << 8
        d[RBCR] = card_byte(m, d[RSAR] + 2) | card_byte(m, d[RSAR] + 3) << 8
    if value & 0x18 and value & ABORT_DMA == 0 and d[RBCR] == 0:
        d[ISR] |= I_RDC
    if value & TXP and value & STP == 0 and was_sending == 0:
        d[CR] |= TXP
        transmit(m)
    update_interrupt(m)


@core
def write_page_0(m, register, value):
    d = devices(m)
    if register == 1:
        d[PSTART] = value
    elif register == 2:
        d[PSTOP] = value
    elif register == 3:
        d[BNRY] = value
    elif register == 4:
        d[TPSR] = value
    elif register == 5:
        d[TBCR] = d[TBCR] & 0xFF00 | value
    elif register == 6:
        d[TBCR] = d[TBCR] & 0xFF | value << 8
    elif register == 7:
        d[ISR] &= ~(value & 0x7F)
    elif register == 8:
        d[RSAR] = d[RSAR] & 0xFF00 | value
    elif register == 9:
        d[RSAR] = d[RSAR] & 0xFF | value << 8
    elif register == 10:
        d[RBCR] = d[RBCR] & 0xFF00 | value
    elif register == 11:
        d[RBCR] = d[RBCR] & 0xFF | value << 8
    elif register == 12:
        d[RCR] = value & 0x3F
    elif register == 13:
        d[TCR] = value & 0x1F
    elif register == 14:
        d[DCR] = value & 0x7F
    else:
        d[IMR] = value & 0x7F
    update_interrupt(m)


@core
def read_fifo(m):
    """What a loopback left, byte by byte."""
    d = devices(m)
    value = d[FIFO + d[FIFO_COUNT]]
    d[FIFO_COUNT] = (d[FIFO_COUNT] + 1) & 7
    return value


@core
def read_page_0(m, register):
    d = devices(m)
    if register == 1:
        return d[CLDA] & 0xFF
    if register == 2:
        return d[CLDA] >> 8
    if register == 3:
        return d[BNRY]
    if register == 4:
        return d[TSR]
    if register == 6:
        return read_fifo(m)
    if register == 7:
        return d[ISR]
    if register == 8:
        return d[RSAR] & 0xFF
    if register == 9:
        return d[RSAR] >> 8
    if register == 10:
        return 0x50  # an RTL8029 says who it is
    if register == 11:
        return 0x43
    if register == 12:
        return d[RSR]
    if register == 15:
        missed = d[MISSED]
        d[MISSED] = 0
        return missed
    return 0  # collisions, frames out of step, check sum errors: none on this wire


@core
def read_page_2(m, register):
    """What was written to page 0."""
    d = devices(m)
    if register == 1:
        return d[PSTART]
    if register == 2:
        return d[PSTOP]
    if register == 4:
        return d[TPSR]
    if register == 12:
        return d[RCR] | 0xC0
    if register == 13:
        return d[TCR] | 0xE0
    if register == 14:
        return d[DCR] | 0x80
    if register == 15:
        return d[IMR] | 0x80
    return 0xFF


@core
def register_read(m, register):
    d = devices(m)
    page = d[CR] >> 6
    if register == 0:
        return d[CR]
    if page == 0:
        return read_page_0(m, register)
    if page == 2:
        return read_page_2(m, register)
    if page == 3:
        return 0
    if register < 7:
        return d[ADDRESS + register - 1]
    if register == 7:
        return d[CURR]
    return d[MULTICAST + register - 8]


@core
def register_write(m, register, value):
    d = devices(m)
    page = d[CR] >> 6
    if register == 0:
        write_command(m, value)
    elif page == 0:
        write_page_0(m, register, value)
    elif page == 1:
        if register < 7:
            d[ADDRESS + register - 1] = value
        elif register == 7:
            d[CURR] = value
        else:
            d[MULTICAST + register - 8] = value


@core
def nic_read(m, offset, size):
    """One of the card's 32 ports."""
    if offset >= 0x18:
        nic_reset(m)
        return 0
    if offset >= 0x10:
        return data_read(m, size)
    value = 0
    for i in range(size):
        value |= register_read(m, (offset + i) & 15) << 8 * i
    return value


@core
def nic_write(m, offset, size, value):
    if offset >= 0x18:
        nic_reset(m)
    elif offset >= 0x10:
        data_write(m, size, value)
    else:
        for i in range(size):
            register_write(m, (offset + i) & 15, value >> 8 * i & 0xFF)


@core
def nic_power_on(m):
    d = devices(m)
    for i in range(NIC, RX_LENGTHS + RX_SLOTS):
        d[i] = 0
    d[RX_DUE] = NEVER
    nic_reset(m)
