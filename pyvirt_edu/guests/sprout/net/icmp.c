/* ICMP: answers to ping, and word that nobody listens at a port. */
#include "../include/network.h"

enum { ECHO_REPLY = 0, UNREACHABLE = 3, ECHO_REQUEST = 8, PORT_UNREACHABLE = 3, HEAD = 8 };

struct icmp {
    u8 type, code;
    u16 checksum, id, sequence;
};

static void send(u32 to, struct icmp *head, const void *data, u32 size) {
    head->checksum = 0;
    u32 sum = (u16)~checksum(head, HEAD, 0);
    head->checksum = checksum(data, size, sum);
    ip_send(to, IPPROTO_ICMP, head, HEAD, data, size);
}

void icmp_received(const struct ip_header *ip, const u8 *data, u32 size) {
    if (size < HEAD || checksum(data, size, 0))
        return;
    struct icmp head = *(const struct icmp *)data;
    u32 head_size = (ip->version_length & 15) * 4u;
    socket_deliver(IPPROTO_ICMP, 0, ip->from, 0, ip, head_size + size); /* raw sockets see the IP header */
    if (head.type == ECHO_REQUEST) {
        head.type = ECHO_REPLY;
        send(ip->from, &head, data + HEAD, size - HEAD);
    }
}

/* Tell the sender: with the head of its packet and eight bytes more. */
void icmp_unreachable(const struct ip_header *ip, u32 size) {
    struct icmp head = {UNREACHABLE, PORT_UNREACHABLE, 0, 0, 0};
    send(ip->from, &head, ip, MIN(size, (ip->version_length & 15) * 4u + 8));
}
