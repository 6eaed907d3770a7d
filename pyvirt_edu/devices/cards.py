"""The second unit of the devices: PCI, IDE, the network, the floppy controller and DMA.

It takes the operations of bus.py, which passes them on: ports by claim, events by source.
"""

from __future__ import annotations

from ..machine.state.handles import devices
from ..machine.state.jit import core, unit
from .dma import dma_read, dma_reset, dma_write
from .fdc import floppy_done, floppy_event, floppy_read, floppy_reset, floppy_write
from .ide import ide_event, ide_read, ide_reset, ide_write, python_done
from .layout import (
    CLAIM_DMA,
    CLAIM_FLOPPY,
    CLAIM_IDE,
    CLAIM_PCI,
    EVENT_FLOPPY,
    EVENT_IDE,
    OP_EVENT,
    OP_FLOPPY_DONE,
    OP_IDE_DONE,
    OP_NIC_BYTES,
    OP_NIC_INPUT,
    OP_NIC_SENT,
    OP_PCI_CONFIG,
    OP_READ,
    OP_RESET,
    OP_WRITE,
)
from .ne2000 import frame_in, nic_event, nic_power_on, nic_read, nic_write, put_bytes, sent
from .pci import (
    ADDRESS,
    ADDRESS_PORT,
    DATA_PORT,
    NIC_PORTS,
    pci_read,
    pci_reset,
    pci_write,
)


@core
def card_read(m, claim, port, size):
    if claim == CLAIM_IDE:
        return ide_read(m, port, size)
    if claim == CLAIM_PCI:
        return pci_read(m, port, size)
    if claim == CLAIM_DMA:
        return dma_read(m, port)
    if claim == CLAIM_FLOPPY:
        return floppy_read(m, port)
    return nic_read(m, (port - devices(m)[NIC_PORTS]) & 31, size)


@core
def card_write(m, claim, port, size, value):
    if claim == CLAIM_IDE:
        ide_write(m, port, size, value)
    elif claim == CLAIM_PCI:
        pci_write(m, port, size, value)
    elif claim == CLAIM_DMA:
        dma_write(m, port, value)
    elif claim == CLAIM_FLOPPY:
        floppy_write(m, port, value)
    else:
        nic_write(m, (port - devices(m)[NIC_PORTS]) & 31, size, value)


@core
def configure(m, where, value):
    """A write to configuration space as firmware makes it: address, then a byte of data."""
    before = devices(m)[ADDRESS]
    pci_write(m, ADDRESS_PORT, 4, 1 << 31 | where & 0xFFFFFC)
    pci_write(m, DATA_PORT + (where & 3), 1, value)
    devices(m)[ADDRESS] = before


@unit
def card_access(m, operation, a, b):
    """One operation of layout.py."""
    what = operation & 0xFF
    if what == OP_READ:
        return card_read(m, operation >> 8 & 0xFF, a & 0xFFFF, a >> 16)
    if what == OP_WRITE:
        card_write(m, operation >> 8 & 0xFF, a & 0xFFFF, a >> 16, b)
    elif what == OP_EVENT:
        if a == EVENT_IDE:
            ide_event(m)
        elif a == EVENT_FLOPPY:
            floppy_event(m)
        else:
            nic_event(m)
    elif what == OP_RESET:
        pci_reset(m)
        ide_reset(m)
        dma_reset(m)
        floppy_reset(m)
        nic_power_on(m)
    elif what == OP_IDE_DONE:
        python_done(m, a, b)
    elif what == OP_FLOPPY_DONE:
        floppy_done(m, a)
    elif what == OP_NIC_INPUT:
        frame_in(m, a)
    elif what == OP_NIC_BYTES:
        put_bytes(m, a, b)
    elif what == OP_NIC_SENT:
        sent(m)
    elif what == OP_PCI_CONFIG:
        configure(m, a, b)
    return 0
