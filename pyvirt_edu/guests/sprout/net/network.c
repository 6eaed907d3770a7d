/* The interface: addresses from the command line (ip=10.0.2.15), and who gets a frame. */
#include "../include/network.h"

u8 card_address[MAC];
u32 own_address, network_mask, gateway;

static u32 parse_address(const char *s) {
    u32 address = 0;
    for (u32 i = 0; i < 4; i++) {
        address |= (parse_number(s) & 0xff) << 8 * i;
        while (*s >= '0' && *s <= '9')
            s++;
        s += *s == '.';
    }
    return address;
}

/* The Internet's checksum: the complement of the sum of 16-bit words, with carries added again. */
u16 checksum(const void *data, u32 size, u32 sum) {
    const u8 *p = data;
    for (; size > 1; size -= 2, p += 2)
        sum += p[0] | (u32)p[1] << 8;
    if (size)
        sum += p[0];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~sum;
}

void frame_received(const u8 *frame, u32 size) {
    const struct frame_header *h = (const void *)frame;
    if (size < FRAME_HEADER)
        return;
    if (h->type == TYPE_ARP)
        arp_received(frame + FRAME_HEADER, size - FRAME_HEADER);
    else if (h->type == TYPE_IP)
        ip_received(frame + FRAME_HEADER, size - FRAME_HEADER);
}

void network_start(void) {
    char text[32] = "10.0.2.15";
    option("ip", text, sizeof(text));
    own_address = parse_address(text);
    copy_string(text, "255.255.255.0", sizeof(text));
    option("mask", text, sizeof(text));
    network_mask = parse_address(text);
    copy_string(text, "10.0.2.2", sizeof(text));
    option("gateway", text, sizeof(text));
    gateway = parse_address(text);
    card_start();
}
