/*
 * The network: frames of the card, and above them ARP, IP, ICMP and UDP. What comes in is handled
 * in the card's interrupt, to the end: nothing else of the kernel runs then.
 *
 * Addresses and ports are kept as they are sent: most significant byte first.
 */
#pragma once
#include "files.h"

static inline u16 swap16(u16 v) {
    return (u16)(v << 8 | v >> 8);
}

enum { MAC = 6, FRAME_HEADER = 14, MOST_PAYLOAD = 1500, SHORTEST_FRAME = 60 };
enum { TYPE_IP = 0x0008, TYPE_ARP = 0x0608 }; /* swapped */

struct frame_header {
    u8 to[MAC], from[MAC];
    u16 type;
} __attribute__((packed));

struct ip_header {
    u8 version_length, service;
    u16 length, id, fragment;
    u8 ttl, protocol;
    u16 checksum;
    u32 from, to;
} __attribute__((packed));

struct udp_header {
    u16 from, to, length, checksum;
};

/* The interface: one card, one address. */
extern u8 card_address[MAC];
extern u32 own_address, network_mask, gateway;

/* drivers/ne2000.c */
bool card_start(void);
void card_send(const void *frame, u32 size);
/* net/network.c */
void frame_received(const u8 *frame, u32 size);
u16 checksum(const void *data, u32 size, u32 sum);
/* net/arp.c */
void arp_received(const u8 *data, u32 size);
void arp_send(u32 next_hop, u8 *frame, u32 size);   /* fills in the frame's addresses */
/* net/ip.c */
void ip_received(const u8 *data, u32 size);
int ip_send(u32 to, u8 protocol, const void *head, u32 head_size, const void *data, u32 size);
/* net/icmp.c */
void icmp_received(const struct ip_header *ip, const u8 *data, u32 size);
void icmp_unreachable(const struct ip_header *ip, u32 size);
/* net/udp.c */
void udp_received(const struct ip_header *ip, const u8 *data, u32 size);
int udp_send(u32 to, u16 to_port, u16 from_port, const void *data, u32 size);
/* net/socket.c */
struct socket {
    struct socket *next;
    u8 protocol;
    u16 port, peer_port;    /* as sent */
    u32 address, peer;
    struct packet *packets;
    u32 count;
    u32 receive_timeout;
};

extern const struct file_ops socket_ops;
struct file *socket_new(u8 protocol, u32 flags);
int socket_bind(struct socket *s, u32 address, u16 port);
int socket_send(struct socket *s, struct transfer *t, u32 to, u16 port);    /* how much */
int socket_receive(struct file *f, struct transfer *t, u32 flags, struct sockaddr_in *from);
bool socket_deliver(u8 protocol, u16 port, u32 from, u16 from_port, const void *data, u32 size);

/* net/unix.c */
extern const struct file_ops unix_ops;
struct file *unix_new(u32 flags);
int unix_pair(struct file *one, struct file *other);        /* connect the two */
int unix_bind(struct file *f, const char *path);
int unix_listen(struct file *f, u32 most);
int unix_connect(struct file *f, const char *path);
int unix_accept(struct file *f, struct file **peer);
int unix_shutdown(struct file *f, u32 how);

/* drivers/pci.c */
struct pci_function {
    u32 device, function;
};
bool pci_find(u32 vendor_and_device, struct pci_function *found);
u32 pci_read(struct pci_function f, u32 at);
void pci_write(struct pci_function f, u32 at, u32 value);
u32 pci_ports(struct pci_function f);       /* the first base address; the function answers then */
u32 pci_interrupt(struct pci_function f);   /* its interrupt line */
