/*
 * ARP: which card has an IP address. An answer is kept; until it comes, the last packet for that
 * address waits with the question.
 */
#include "../include/network.h"

enum { NEIGHBOURS = 8, REQUEST = 0x0100, REPLY = 0x0200, ETHERNET = 0x0100 }; /* swapped */

struct arp {
    u16 hardware, protocol;
    u8 hardware_size, protocol_size;
    u16 operation;
    u8 from_card[MAC];
    u32 from;
    u8 to_card[MAC];
    u32 to;
} __attribute__((packed));

static struct neighbour {
    u32 address;
    bool known;
    u8 card[MAC];
    u8 *waiting; /* a frame without its addresses */
    u32 size;
} neighbours[NEIGHBOURS];
static u32 next_neighbour;

static struct neighbour *find(u32 address) {
    for (u32 i = 0; i < NEIGHBOURS; i++)
        if (neighbours[i].address == address)
            return &neighbours[i];
    return NULL;
}

static struct neighbour *make(u32 address) {
    struct neighbour *n = &neighbours[next_neighbour++ % NEIGHBOURS];
    release(n->waiting);
    *n = (struct neighbour){.address = address};
    return n;
}

static void send_to(const u8 *card, u8 *frame, u32 size) {
    struct frame_header *h = (void *)frame;
    memcpy(h->to, card, MAC);
    memcpy(h->from, card_address, MAC);
    card_send(frame, size);
}

/* To one card, or with a question (card NULL) to all. */
static void send_arp(u16 operation, const u8 *card, u32 to) {
    static const u8 everybody[MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    u8 frame[SHORTEST_FRAME] = {0};
    struct frame_header *h = (void *)frame;
    struct arp *a = (void *)(frame + FRAME_HEADER);
    *a = (struct arp){ETHERNET, TYPE_IP, MAC, 4, operation, {0}, own_address, {0}, to};
    memcpy(a->from_card, card_address, MAC);
    if (card)
        memcpy(a->to_card, card, MAC);
    h->type = TYPE_ARP;
    send_to(card ? card : everybody, frame, sizeof(frame));
}

void arp_received(const u8 *data, u32 size) {
    const struct arp *a = (const void *)data;
    if (size < sizeof(*a) || a->hardware != ETHERNET || a->protocol != TYPE_IP || a->to != own_address)
        return;
    struct neighbour *n = find(a->from);
    if (!n)
        n = make(a->from);
    memcpy(n->card, a->from_card, MAC);
    n->known = true;
    if (n->waiting) {
        u8 *frame = n->waiting;
        n->waiting = NULL;
        send_to(n->card, frame, n->size);
        release(frame);
    }
    if (a->operation == REQUEST)
        send_arp(REPLY, a->from_card, a->from);
}

void arp_send(u32 next_hop, u8 *frame, u32 size) {
    struct neighbour *n = find(next_hop);
    if (n && n->known) {
        send_to(n->card, frame, size);
        return;
    }
    if (!n)
        n = make(next_hop);
    if (!n->waiting)
        n->waiting = allocate_zeroed(2048); /* a short frame is sent with what follows it */
    if (n->waiting) {
        memcpy(n->waiting, frame, size);
        n->size = size;
    }
    send_arp(REQUEST, NULL, next_hop);
}
