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
) = range(11)
