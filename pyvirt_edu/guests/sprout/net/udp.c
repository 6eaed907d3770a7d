/* UDP: IP with ports and a checksum over data and addresses. */
#include "../include/network.h"

static u32 pseudo_sum(u32 from, u32 to, u32 length) {
    struct {
        u32 from, to;
        u8 zero, protocol;
        u16 length;
    } head = {from, to, 0, IPPROTO_UDP, swap16((u16)length)};
    return (u16)~checksum(&head, sizeof(head), 0);
}

void udp_received(const struct ip_header *ip, const u8 *data, u32 size) {
    const struct udp_header *h = (const void *)data;
    if (size < sizeof(*h) || swap16(h->length) < sizeof(*h) || swap16(h->length) > size)
        return;
    size = swap16(h->length);
    if (h->checksum && checksum(data, size, pseudo_sum(ip->from, ip->to, size)))
        return;
    if (!socket_deliver(IPPROTO_UDP, h->to, ip->from, h->from, data + sizeof(*h), size - sizeof(*h)) &&
        ip->to == own_address)
        icmp_unreachable(ip, size + (ip->version_length & 15) * 4u);
}

int udp_send(u32 to, u16 to_port, u16 from_port, const void *data, u32 size) {
    u32 length = sizeof(struct udp_header) + size, from = (to & 0xff) == 127 ? to : own_address;
    struct udp_header h = {from_port, to_port, swap16((u16)length), 0};
    u32 sum = pseudo_sum(from, to, length) + (u16)~checksum(&h, sizeof(h), 0);
    h.checksum = checksum(data, size, sum);
    if (!h.checksum)
        h.checksum = 0xffff; /* 0 would mean "none" */
    return ip_send(to, IPPROTO_UDP, &h, sizeof(h), data, size);
}
