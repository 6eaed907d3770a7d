/* IP: to the right neighbour, or back to ourselves. Packets are neither cut up nor put together. */
#include "../include/network.h"

enum { VERSION4 = 0x45, TTL = 64, FRAGMENT = 0xff3f, LOOPBACK_NET = 127 }; /* swapped */

static bool is_own(u32 address) {
    return address == own_address || (address & 0xff) == LOOPBACK_NET;
}

static bool is_broadcast(u32 address) {
    return address == 0xffffffff || (address | network_mask) == 0xffffffff;
}

void ip_received(const u8 *data, u32 size) {
    const struct ip_header *h = (const void *)data;
    if (size < sizeof(*h))
        return;
    u32 head = (h->version_length & 15) * 4u, length = swap16(h->length);
    if (h->version_length >> 4 != 4 || head < sizeof(*h) || length < head || length > size ||
        checksum(data, head, 0) || h->fragment & FRAGMENT || !(is_own(h->to) || is_broadcast(h->to)))
        return;
    if (h->protocol == IPPROTO_ICMP)
        icmp_received(h, data + head, length - head);
    else if (h->protocol == IPPROTO_UDP)
        udp_received(h, data + head, length - head);
}

/* Send head and data in one packet. The first 14 bytes of the buffer are for the frame. */
int ip_send(u32 to, u8 protocol, const void *head, u32 head_size, const void *data, u32 size) {
    static u16 id;
    u32 length = sizeof(struct ip_header) + head_size + size;
    if (length > MOST_PAYLOAD)
        return -EMSGSIZE;
    u8 *frame = allocate_zeroed(2048);
    if (!frame)
        return -ENOMEM;
    struct ip_header *h = (void *)(frame + FRAME_HEADER);
    *h = (struct ip_header){
        .version_length = VERSION4, .length = swap16((u16)length), .id = swap16(++id), .ttl = TTL,
        .protocol = protocol, .from = is_own(to) ? to : own_address, .to = to,
    };
    h->checksum = checksum(h, sizeof(*h), 0);
    memcpy(h + 1, head, head_size);
    memcpy((u8 *)(h + 1) + head_size, data, size);
    ((struct frame_header *)frame)->type = TYPE_IP;
    if (is_own(to))
        ip_received((u8 *)h, length);
    else
        arp_send((to ^ own_address) & network_mask ? gateway : to, frame, FRAME_HEADER + length);
    release(frame);
    return 0;
}
