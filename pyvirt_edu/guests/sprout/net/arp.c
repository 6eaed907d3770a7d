/*
 * ARP: which card has an IP address. An answer is kept; until it comes, the last packet for that
 * address waits with the question.
 */
#include "../include/network.h"

enum { ENTRIES = 8, REQUEST = 0x0100, REPLY = 0x0200, ETHERNET = 0x0100 }; /* swapped */

struct arp {
    u16 hardware, protocol;
    u8 hardware_size, protocol_size;
    u16 operation;
    u8 from_card[MAC];
    u32 from;
    u8 to_card[MAC];
    u32 to;
} __attribute__((packed));

static struct entry_of_arp {
    u32 address;
    bool known;
    u8 card[MAC];
    u8 *waiting; /* a frame without its addresses */
    u32 size;
} entries[ENTRIES];
static u32 next_entry;

static struct entry_of_arp *find(u32 address) {
    for (u32 i = 0; i < ENTRIES; i++)
        if (entries[i].address == address)
            return &entries[i];
    return NULL;
}

static struct entry_of_arp *make(u32 address) {
    struct entry_of_arp *e = &entries[next_entry++ % ENTRIES];
    release(e->waiting);
    *e = (struct entry_of_arp){.address = address};
    return e;
}

static void send_arp(u16 operation, const u8 *card, u32 to) {
    u8 frame[SHORTEST_FRAME] = {0};
    struct frame_header *h = (void *)frame;
    struct arp *a = (void *)(frame + FRAME_HEADER);
    *a = (struct arp){ETHERNET, TYPE_IP, MAC, 4, operation, {0}, own_address, {0}, to};
    memcpy(a->from_card, card_address, MAC);
    memset(h->to, 0xff, MAC);
    if (card) {
        memcpy(a->to_card, card, MAC);
        memcpy(h->to, card, MAC);
    }
    memcpy(h->from, card_address, MAC);
    h->type = TYPE_ARP;
    card_send(frame, sizeof(frame));
}

static void send_to(struct entry_of_arp *e, u8 *frame, u32 size) {
    struct frame_header *h = (void *)frame;
    memcpy(h->to, e->card, MAC);
    memcpy(h->from, card_address, MAC);
    card_send(frame, size);
}

void arp_received(const u8 *data, u32 size) {
    const struct arp *a = (const void *)data;
    if (size < sizeof(*a) || a->hardware != ETHERNET || a->protocol != TYPE_IP || a->to != own_address)
        return;
    struct entry_of_arp *e = find(a->from);
    if (!e)
        e = make(a->from);
    memcpy(e->card, a->from_card, MAC);
    e->known = true;
    if (e->waiting) {
        u8 *frame = e->waiting;
        e->waiting = NULL;
        send_to(e, frame, e->size);
        release(frame);
    }
    if (a->operation == REQUEST)
        send_arp(REPLY, a->from_card, a->from);
}

void arp_send(u32 next_hop, u8 *frame, u32 size) {
    struct entry_of_arp *e = find(next_hop);
    if (e && e->known) {
        send_to(e, frame, size);
        return;
    }
    if (!e)
        e = make(next_hop);
    if (!e->waiting)
        e->waiting = allocate(2048);
    if (e->waiting) {
        memcpy(e->waiting, frame, size);
        e->size = size;
    }
    send_arp(REQUEST, NULL, next_hop);
}
