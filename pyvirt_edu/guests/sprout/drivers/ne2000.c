/*
 * NE2000 network cards on PCI: a DP8390 with 16 KiB of its own memory, in pages of 256 bytes. What
 * arrives is put into a ring of pages there, each frame behind a header of four bytes; we fetch it
 * through a data port ("remote DMA").
 *
 * Kept: the page after the boundary register is the next one to read; the ring is empty when that
 * is the card's current page.
 */
#include "../include/network.h"

enum { COMMAND = 0, START = 1, STOP = 2, BOUNDARY = 3, SEND_PAGE = 4, SEND_SIZE = 5, STATUS = 7,
       REMOTE_AT = 8, REMOTE_SIZE = 10, RECEIVE = 12, TRANSMIT = 13, DATA_CONFIGURATION = 14, MASK = 15,
       DATA = 16, RESET = 31 };
enum { OWN_ADDRESS = 1, CURRENT = 7, MULTICAST = 8 }; /* with page 1 of the registers */
enum { STOPPED_ = 1, STARTED = 2, SENDING = 4, READ = 8, WRITE = 16, NO_DMA = 32, PAGE1 = 64 };
enum { RECEIVED = 1, SENT = 2, OVERFLOWN = 16, DMA_DONE = 64, RESET_DONE = 128 };
enum { WORDS = 0x49, BROADCASTS = 4, MONITOR = 32, LOOPBACK = 2 };
enum { SEND_FIRST = 0x40, RING_FIRST = 0x46, RING_END = 0x80, RTL8029 = 0x802910ec };

static u16 port;
static bool there;

static u8 in(u32 index) {
    return port_in8((u16)(port + index));
}

static void out(u32 index, u32 value) {
    port_out8((u16)(port + index), (u8)value);
}

static void remote(u32 at, u32 size, u32 what) {
    out(STATUS, DMA_DONE);
    out(REMOTE_SIZE, size);
    out(REMOTE_SIZE + 1, size >> 8);
    out(REMOTE_AT, at);
    out(REMOTE_AT + 1, at >> 8);
    out(COMMAND, what | STARTED);
}

static void fetch(u32 at, void *to, u32 size) {
    remote(at, (size + 1) & ~1u, READ);
    port_in16s((u16)(port + DATA), to, (size + 1) / 2);
}

static void set_up(void) {
    out(COMMAND, STOPPED_ | NO_DMA);
    out(DATA_CONFIGURATION, WORDS);
    out(REMOTE_SIZE, 0);
    out(REMOTE_SIZE + 1, 0);
    out(RECEIVE, MONITOR);
    out(TRANSMIT, LOOPBACK);
    out(START, RING_FIRST);
    out(STOP, RING_END);
    out(BOUNDARY, RING_FIRST);
    out(STATUS, 0xff);
    out(COMMAND, STOPPED_ | NO_DMA | PAGE1);
    for (u32 i = 0; i < MAC; i++)
        out(OWN_ADDRESS + i, card_address[i]);
    for (u32 i = 0; i < 8; i++)
        out(MULTICAST + i, 0);
    out(CURRENT, RING_FIRST + 1);
    out(COMMAND, STARTED | NO_DMA);
    out(TRANSMIT, 0);
    out(RECEIVE, BROADCASTS);
    out(MASK, RECEIVED | OVERFLOWN);
}

static u32 current_page(void) {
    out(COMMAND, STARTED | NO_DMA | PAGE1);
    u32 page = in(CURRENT);
    out(COMMAND, STARTED | NO_DMA);
    return page;
}

/* One frame out of the ring; false: the ring makes no sense. */
static bool receive(u32 page) {
    static u8 frame[FRAME_HEADER + MOST_PAYLOAD + 6];
    struct {
        u8 status, next;
        u16 size; /* with this header */
    } header;
    fetch(page * 256, &header, sizeof(header));
    u32 size = header.size - 4u;
    if (header.next < RING_FIRST || header.next >= RING_END || header.size < 4 || size > sizeof(frame))
        return false;
    u32 at = page * 256 + 4, part = MIN(size, RING_END * 256 - at);
    fetch(at, frame, part);
    if (part < size)
        fetch(RING_FIRST * 256, frame + part, size - part);
    out(BOUNDARY, header.next == RING_FIRST ? RING_END - 1 : header.next - 1);
    frame_received(frame, size);
    return true;
}

static void receive_all(void) {
    for (;;) {
        u32 page = in(BOUNDARY) + 1u;
        page = page >= RING_END ? (u32)RING_FIRST : page;
        if (page == current_page())
            return;
        if (!receive(page)) {
            set_up();
            return;
        }
    }
}

static void interrupt(void) {
    u8 status;
    while ((status = in(STATUS)) & (RECEIVED | OVERFLOWN)) {
        out(STATUS, status);
        receive_all();
        if (status & OVERFLOWN)
            set_up();
    }
}

void card_send(const void *frame, u32 size) {
    if (!there)
        return;
    for (u32 i = 0; i < 1000000 && in(COMMAND) & SENDING; i++)
        ;
    u32 whole = MAX(size, (u32)SHORTEST_FRAME);
    remote(SEND_FIRST * 256, (whole + 1) & ~1u, WRITE);
    port_out16s((u16)(port + DATA), frame, (whole + 1) / 2);
    out(SEND_PAGE, SEND_FIRST);
    out(SEND_SIZE, whole);
    out(SEND_SIZE + 1, whole >> 8);
    out(COMMAND, STARTED | SENDING | NO_DMA);
}

bool card_start(void) {
    struct pci_function f;
    u8 prom[32];
    if (!pci_find(RTL8029, &f))
        return false;
    port = (u16)pci_ports(f);
    u32 irq = pci_interrupt(f);
    out(RESET, in(RESET));
    for (u32 i = 0; i < 100000 && !(in(STATUS) & RESET_DONE); i++)
        ;
    set_up();
    fetch(0, prom, sizeof(prom));
    for (u32 i = 0; i < MAC; i++)
        card_address[i] = prom[2 * i]; /* each byte stands there twice */
    set_up();
    there = true;
    irq_install(irq, interrupt);
    return irq != 0;
}
