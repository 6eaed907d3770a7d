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

struct socket {
    struct socket *next;
    u8 protocol;
    u16 port, peer_port;    /* as sent */
    u32 address, peer;
    struct packet *packets;
    u32 count;
    u32 receive_timeout;
};

static struct socket *sockets;
static const struct file_ops socket_ops;

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

static int bind_to(struct socket *s, u32 address, u16 port) {
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

static int send_packet(struct socket *s, struct transfer *t, u32 to, u16 port) {
    u32 size = t->left;
    if (!to)
        return -EDESTADDRREQ;
    if (size > MOST_PAYLOAD)
        return -EMSGSIZE;
    OWNED(memory) u8 *data = allocate(2048);
    int error = data ? take(t, data, size) : -ENOMEM;
    if (!error && s->protocol == IPPROTO_UDP && !s->port)
        error = bind_to(s, 0, 0);
    if (!error)
        error = s->protocol == IPPROTO_UDP ? udp_send(to, port, s->port, data, size)
                                           : ip_send(to, s->protocol, data, size, NULL, 0);
    return error ? error : (int)size;
}

/* The next packet's data, and who sent it. The rest of a packet that does not fit is lost. */
static int receive_packet(struct file *f, struct transfer *t, u32 flags, struct sockaddr_in *from) {
    struct socket *s = f->data;
    u32 end = s->receive_timeout ? ticks + s->receive_timeout : 0;
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
    return receive_packet(f, t, 0, &from);
}

static int socket_write(struct file *f, struct transfer *t) {
    struct socket *s = f->data;
    int n = send_packet(s, t, s->peer, s->peer_port);
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

static const struct file_ops socket_ops = {
    .read = socket_read, .write = socket_write, .poll = socket_poll, .ioctl = socket_ioctl,
    .close = socket_close,
};

/* --- system calls --------------------------------------------------------------------------- */

int sys_socket(u32 family, u32 type, u32 protocol) {
    static bool told;
    u32 kind = type & SOCK_TYPE;
    if (family != AF_INET)
        return -EAFNOSUPPORT;
    if (kind == SOCK_STREAM && !told) {
        complain("TCP is not supported\n");
        told = true;
    }
    if (kind == SOCK_DGRAM && !protocol)
        protocol = IPPROTO_UDP;
    if (kind == SOCK_DGRAM ? protocol != IPPROTO_UDP : kind != SOCK_RAW || protocol != IPPROTO_ICMP)
        return -EPROTONOSUPPORT;
    struct socket *s = allocate_zeroed(sizeof(*s));
    struct file *f = s ? file_new(&socket_ops, NULL, O_RDWR | (type & O_NONBLOCK)) : NULL;
    if (!f) {
        release(s);
        return -ENOMEM;
    }
    s->protocol = (u8)protocol;
    s->next = sockets;
    sockets = f->data = s;
    return descriptor_new(f, 0, type & O_CLOEXEC);
}

/* The socket behind a descriptor, which stays open while *f is held. */
static int find_socket(u32 fd, struct file **f, struct socket **s) {
    *f = descriptor_use(fd);
    if (!*f)
        return -EBADF;
    *s = (*f)->data;
    return (*f)->ops == &socket_ops ? 0 : -ENOTSOCK;
}

static int read_address(u32 at, u32 size, struct sockaddr_in *a) {
    if (size < sizeof(*a))
        return -EINVAL;
    if (copy_from_user(a, at, sizeof(*a)))
        return -EFAULT;
    return a->family == AF_INET ? 0 : -EAFNOSUPPORT;
}

static int write_address(u32 at, u32 size_at, const struct sockaddr_in *a) {
    u32 size, whole = sizeof(*a);
    if (!at)
        return 0;
    if (copy_from_user(&size, size_at, 4) || copy_to_user(at, a, MIN(size, whole)))
        return -EFAULT;
    return copy_to_user(size_at, &whole, 4);
}

int sys_bind(u32 fd, u32 at, u32 size) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error)
        error = read_address(at, size, &a);
    return error ? error : bind_to(s, a.address, a.port);
}

int sys_connect(u32 fd, u32 at, u32 size) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error)
        error = read_address(at, size, &a);
    if (!error && !s->port)
        error = bind_to(s, 0, 0);
    if (error)
        return error;
    s->peer = a.address;
    s->peer_port = s->protocol == IPPROTO_UDP ? a.port : 0;
    return 0;
}

int sys_getsockname(u32 fd, u32 at, u32 size_at) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    int error = find_socket(fd, &f, &s);
    if (error)
        return error;
    u32 address = s->address ? s->address : s->peer ? own_address : 0;
    return write_address(at, size_at, &(struct sockaddr_in){AF_INET, s->port, address, {0}});
}

int sys_getpeername(u32 fd, u32 at, u32 size_at) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    int error = find_socket(fd, &f, &s);
    if (!error && !s->peer)
        error = -ENOTCONN;
    if (error)
        return error;
    return write_address(at, size_at, &(struct sockaddr_in){AF_INET, s->peer_port, s->peer, {0}});
}

int sys_sendto(u32 fd, u32 from, u32 size, u32 flags, u32 at, u32 address_size) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    struct transfer t = {from, size, 0, false};
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error && at)
        error = read_address(at, address_size, &a);
    if (error)
        return error;
    return at ? send_packet(s, &t, a.address, a.port) : send_packet(s, &t, s->peer, s->peer_port);
}

int sys_recvfrom(u32 fd, u32 to, u32 size, u32 flags, u32 at, u32 size_at) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    struct transfer t = {to, size, 0, false};
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error)
        error = receive_packet(f, &t, flags, &a);
    if (!error)
        error = write_address(at, size_at, &a);
    return error ? error : (int)t.done;
}

struct message {
    u32 name, name_size, parts, part_count, control, control_size, flags;
};

/* With one part, as all our programs have it. */
static int read_message(u32 at, struct message *m, u32 part[2]) {
    if (copy_from_user(m, at, sizeof(*m)))
        return -EFAULT;
    if (m->part_count != 1)
        return -EOPNOTSUPP;
    return copy_from_user(part, m->parts, 8);
}

int sys_sendmsg(u32 fd, u32 at, u32 flags) {
    struct message m;
    u32 part[2];
    int error = read_message(at, &m, part);
    return error ? error : sys_sendto(fd, part[0], part[1], flags, m.name, m.name_size);
}

int sys_recvmsg(u32 fd, u32 at, u32 flags) {
    struct message m;
    u32 part[2];
    int error = read_message(at, &m, part);
    if (error)
        return error;
    int n = sys_recvfrom(fd, part[0], part[1], flags, m.name, at + offsetof(struct message, name_size));
    m.control_size = m.flags = 0;
    if (n >= 0 && copy_to_user(at + offsetof(struct message, control_size), &m.control_size, 8))
        return -EFAULT;
    return n;
}

int sys_setsockopt(u32 fd, u32 level, u32 name, u32 value, u32 size) {
    enum { SOL_SOCKET = 1, RECEIVE_TIMEOUT = 20 };
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    struct timeval32 t;
    int error = find_socket(fd, &f, &s);
    if (error || level != SOL_SOCKET || name != RECEIVE_TIMEOUT)
        return error; /* the other options change nothing here */
    if (size < sizeof(t))
        return -EINVAL;
    if (copy_from_user(&t, value, sizeof(t)))
        return -EFAULT;
    s->receive_timeout = ticks_of((u32)t.seconds, (u32)t.microseconds * 1000);
    return 0;
}

/* Every option is 0: there is no error pending, above all. */
int sys_getsockopt(u32 fd, u32 level, u32 name, u32 value, u32 size_at) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    u32 answer = 0, four = 4;
    int error = find_socket(fd, &f, &s);
    return error ? error : copy_to_user(value, &answer, 4) || copy_to_user(size_at, &four, 4) ? -EFAULT : 0;
}
