/*
 * Sockets: files that send and receive packets, by UDP, or as raw ICMP for ping. There is no TCP.
 *
 * Kept: a socket is in the list while its file is open; a packet belongs to one socket's queue.
 */
#include "../include/network.h"

enum { MOST_PACKETS = 16, FIRST_FREE_PORT = 32768 };

struct packet {
    struct packet *next;
    u32 from, size;
    u16 from_port;
    u8 data[];
};

static struct socket *sockets;

/* A packet for whoever wants it; raw sockets all get a copy. */
bool socket_deliver(u8 protocol, u16 port, u32 from, u16 from_port, const void *data, u32 size) {
    bool found = false;
    for (struct socket *s = sockets; s; s = s->next) {
        if (s->protocol != protocol || s->port != port || (s->peer && s->peer != from) ||
            (s->peer_port && s->peer_port != from_port))
            continue;
        found = true;
        struct packet **link = &s->packets, *p = s->count < MOST_PACKETS ? allocate(sizeof(*p) + size) : NULL;
        if (!p)
            continue; /* packets may be lost */
        *p = (struct packet){NULL, from, size, from_port};
        memcpy(p->data, data, size);
        while (*link)
            link = &(*link)->next;
        *link = p;
        s->count++;
        wake_up(s);
        wake_up(&poll_channel);
    }
    return found;
}

static bool port_taken(u16 port) {
    for (struct socket *s = sockets; s; s = s->next)
        if (s->protocol == IPPROTO_UDP && s->port == port)
            return true;
    return false;
}

int socket_bind(struct socket *s, u32 address, u16 port) {
    static u32 last;
    if (s->protocol != IPPROTO_UDP)
        return 0;
    for (u32 i = 0; !port && i < FIRST_FREE_PORT; i++) {
        u16 candidate = swap16((u16)(FIRST_FREE_PORT + last++ % FIRST_FREE_PORT));
        port = port_taken(candidate) ? 0 : candidate;
    }
    if (port_taken(port))
        return -EADDRINUSE;
    s->address = address;
    s->port = port;
    return 0;
}

/* --- sending and receiving ------------------------------------------------------------------ */

int socket_send(struct socket *s, struct transfer *t, u32 to, u16 port) {
    u32 size = t->left;
    if (!to)
        return -EDESTADDRREQ;
    if (size > MOST_PAYLOAD)
        return -EMSGSIZE;
    OWNED(memory) u8 *data = allocate(2048);
    int error = data ? take(t, data, size) : -ENOMEM;
    if (!error && s->protocol == IPPROTO_UDP && !s->port)
        error = socket_bind(s, 0, 0);
    if (!error)
        error = s->protocol == IPPROTO_UDP ? udp_send(to, port, s->port, data, size)
                                           : ip_send(to, s->protocol, data, size, NULL, 0);
    return error ? error : (int)size;
}

/* The next packet's data, and who sent it. The rest of a packet that does not fit is lost. */
int socket_receive(struct file *f, struct transfer *t, u32 flags, struct sockaddr_in *from) {
    struct socket *s = f->data;
    u32 end = s->receive_timeout ? ticks + 1 + s->receive_timeout : 0;
    while (!s->packets) {
        if (f->flags & O_NONBLOCK || flags & MSG_DONTWAIT)
            return -EAGAIN;
        int error = sleep_on(s, end);
        if (error)
            return error == -ETIMEDOUT ? -EAGAIN : error;
    }
    struct packet *p = s->packets;
    s->packets = p->next; /* ours alone, before the reader's memory is touched: that may sleep */
    s->count--;
    *from = (struct sockaddr_in){AF_INET, p->from_port, p->from, {0}};
    int error = give(t, p->data, MIN(p->size, t->left));
    if (flags & MSG_PEEK) {
        p->next = s->packets;
        s->packets = p;
        s->count++;
    } else {
        release(p);
    }
    return error;
}

static int socket_read(struct file *f, struct transfer *t) {
    struct sockaddr_in from;
    return socket_receive(f, t, 0, &from);
}

static int socket_write(struct file *f, struct transfer *t) {
    struct socket *s = f->data;
    int n = socket_send(s, t, s->peer, s->peer_port);
    return MIN(n, 0);
}

static int socket_poll(struct file *f) {
    struct socket *s = f->data;
    return POLLOUT | (s->packets ? POLLIN : 0);
}

static int socket_ioctl(struct file *f, u32 command, u32 argument) {
    struct socket *s = f->data;
    u32 size = s->packets ? s->packets->size : 0, on;
    if (command == FIONREAD)
        return copy_to_user(argument, &size, 4);
    if (command == FIONBIO) {
        if (copy_from_user(&on, argument, 4))
            return -EFAULT;
        f->flags = on ? f->flags | O_NONBLOCK : f->flags & ~(u32)O_NONBLOCK;
        return 0;
    }
    return -ENOTTY;
}

static void socket_close(struct file *f) {
    struct socket *s = f->data, **link = &sockets;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    while (s->packets) {
        struct packet *p = s->packets;
        s->packets = p->next;
        release(p);
    }
    release(s);
}

const struct file_ops socket_ops = {
    .read = socket_read, .write = socket_write, .poll = socket_poll, .ioctl = socket_ioctl,
    .close = socket_close,
};

struct file *socket_new(u8 protocol, u32 flags) {
    struct socket *s = allocate_zeroed(sizeof(*s));
    struct file *f = s ? file_new(&socket_ops, NULL, O_RDWR | flags) : NULL;
    if (!f) {
        release(s);
        return NULL;
    }
    s->protocol = protocol;
    s->next = sockets;
    sockets = f->data = s;
    return f;
}
