"""What Python, and devices with DMA, may ask of the host_access unit."""

from __future__ import annotations

(
    HOST_NOTIFY_WRITE,  # Python wrote RAM [b, b + c)
    HOST_RESET_DERIVED,  # forget decoded code, links and the fast path
    HOST_FLUSH_FAST,
    HOST_TRANSLATE,  # linear b to physical, without side effects; all ones if unmapped
    HOST_UPDATE_SEGMENTS,  # Python changed segment registers or control registers
    HOST_LOAD_SEGMENT_REAL,  # segment b, selector c
    HOST_FLUSH_TLB,  # all of it, global pages too
    HOST_FLUSH_PAGE,  # linear b
    HOST_DMA_READ,  # a byte from physical b, for the device c
    HOST_DMA_WRITE,  # to physical b: the byte in c, by the device in bits 8 and up
    HOST_WALK,  # linear b for the access c as the processor walks, past the TLB: page | rights, or EVENT
    HOST_PORT_READ,  # accesses of a port, c (see below), to the place b
    HOST_PORT_WRITE,  # and to the port from there
) = range(13)

#: What c is for the two: the port, the bytes of one access from bit 16, how many from bit 32.
PORT_SIZE, PORT_COUNT = 16, 32
