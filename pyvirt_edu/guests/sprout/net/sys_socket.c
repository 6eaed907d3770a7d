/*
 * System calls on sockets. kernel/syscall.c has the older way to them, through one number.
 *
 * Kept: an address is looked at only as far as the program says that it goes.
 */
#include "../include/network.h"

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
    struct file *f = socket_new((u8)protocol, type & O_NONBLOCK);
    return f ? descriptor_new(f, 0, type & O_CLOEXEC) : -ENOMEM;
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
    return error ? error : socket_bind(s, a.address, a.port);
}

int sys_connect(u32 fd, u32 at, u32 size) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error)
        error = read_address(at, size, &a);
    if (!error && !s->port)
        error = socket_bind(s, 0, 0);
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
    return at ? socket_send(s, &t, a.address, a.port) : socket_send(s, &t, s->peer, s->peer_port);
}

int sys_recvfrom(u32 fd, u32 to, u32 size, u32 flags, u32 at, u32 size_at) {
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    struct transfer t = {to, size, 0, false};
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error)
        error = socket_receive(f, &t, flags, &a);
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
